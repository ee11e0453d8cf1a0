use interview_sandbox::postgres::{ClusterOptions, PrivateCluster};
use sqlx::{Connection as _, PgConnection};

#[tokio::test]
async fn a_cluster_starts_keeps_its_data_and_stops() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("postgres");
    let cluster = PrivateCluster::start(ClusterOptions::new(&folder)).await.unwrap();
    let url = cluster.create_database("one").await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("create table kept (id int)").execute(&mut connection).await.unwrap();
    let fsync: String = sqlx::query_scalar("show fsync").fetch_one(&mut connection).await.unwrap();
    assert_eq!(fsync, "on");
    connection.close().await.unwrap();
    cluster.stop().await;
    assert!(PgConnection::connect(&url).await.is_err(), "it is stopped");

    let cluster = PrivateCluster::start(ClusterOptions::new(&folder)).await.unwrap();
    let url = cluster.create_database("one").await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let rows: i64 = sqlx::query_scalar("select count(*) from kept").fetch_one(&mut connection).await.unwrap();
    assert_eq!(rows, 0);
    cluster.stop().await;
}

#[tokio::test]
async fn policies_see_the_claims_and_a_stranger_needs_the_password() {
    let data = tempfile::tempdir().unwrap();
    let cluster = PrivateCluster::start(ClusterOptions::new(data.path().join("postgres"))).await.unwrap();
    let url = cluster.create_database("claims").await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)")
        .bind(r#"{"sub":"7a000000-0000-4000-8000-000000000011","role":"authenticated","app_metadata":{"tenant_id":"t"}}"#)
        .execute(&mut *transaction)
        .await
        .unwrap();
    let seen: (String, String, String) =
        sqlx::query_as("select auth.uid()::text, auth.role(), auth.jwt()->'app_metadata'->>'tenant_id'")
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
    assert_eq!(seen.0, "7a000000-0000-4000-8000-000000000011");
    assert_eq!((seen.1.as_str(), seen.2.as_str()), ("authenticated", "t"));
    transaction.rollback().await.unwrap();
    let nobody: Option<String> = sqlx::query_scalar("select auth.uid()::text").fetch_one(&mut connection).await.unwrap();
    assert_eq!(nobody, None, "outside of the transaction nobody is asking");

    let stranger = cluster.url_for("postgres", "guess", "claims");
    assert!(PgConnection::connect(&stranger).await.is_err());
    assert!(cluster.create_database("bad name; drop").await.is_err());
    cluster.stop().await;
}

#[tokio::test]
async fn dropping_a_cluster_leaves_no_server_and_a_stale_pid_file_is_no_obstacle() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("postgres");
    let cluster = PrivateCluster::start(ClusterOptions::new(&folder)).await.unwrap();
    let (url, home) = (cluster.admin_url(), cluster.home().to_owned());
    drop(cluster);
    assert!(PgConnection::connect(&url).await.is_err());
    // What a crash leaves behind, with the number of a process that is not a server.
    let stale = format!("{}\n{}\n", std::process::id(), home.join("cluster").display());
    std::fs::write(home.join("cluster/postmaster.pid"), stale).unwrap();
    let cluster = PrivateCluster::start(ClusterOptions::new(&folder)).await.unwrap();
    cluster.stop().await;
}
