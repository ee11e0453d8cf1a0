//! Many interviews over few server connections: behind a transaction pooler (PgBouncer, as Supabase's port 6543) each sees its
//! own rows and loses nothing. A second test shows that this can fail: with statements prepared under a name the same load goes
//! wrong.

use crate::support::browser::Browser;
use crate::support::{World, free_address, wait_for};
use interview_runtime::ids::SessionId;
use interview_runtime::integrations::store::Store;
use interview_runtime::ports::Sessions;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SERVER_CONNECTIONS: usize = 3;
const INTERVIEWS: usize = 8;
const UPDATES: u64 = 60;

struct PgBouncer {
    address: SocketAddr,
    process: Child,
    _data: tempfile::TempDir,
}

impl PgBouncer {
    /// None, said aloud, where it is not installed.
    async fn before(world: &World) -> Option<Self> {
        let found = Command::new("pgbouncer").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if found.is_err() {
            eprintln!("\nNOTICE: no pgbouncer here (Debian: pgbouncer): the tests behind a transaction pooler were SKIPPED\n");
            return None;
        }
        let (data, address, server) = (tempfile::tempdir().expect("a folder"), free_address(), world.database_address());
        let login = url::Url::parse(&world.database_at(server)).expect("an address");
        let (user, password) = (login.username(), login.password().expect("a password"));
        let users = data.path().join("users.txt");
        std::fs::write(&users, format!("\"{user}\" \"{password}\"\n")).expect("written");
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n\
             auth_type = plain\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 500\n\
             ignore_startup_parameters = extra_float_digits,options\n",
            server.port(),
            address.port(),
            users.display(),
        );
        let file = data.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("written");
        let mut command = Command::new("pgbouncer");
        if std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
            // It refuses to run as root, and whoever it runs as must read its files.
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(data.path(), open).expect("opened");
            command.args(["-u", "nobody"]);
        }
        let process = command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let bouncer = Self { address, process, _data: data };
        wait_for("pgbouncer listens", || async { tokio::net::TcpStream::connect(address).await.is_ok() }).await;
        Some(bouncer)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_interviews_share_few_server_connections_and_each_keeps_its_own_words() {
    let world = World::start().await;
    let Some(bouncer) = PgBouncer::before(&world).await else { return world.stop().await };
    let url = world.database_at(bouncer.address);
    let behind = [("INTERVIEW__DATABASE__URL", url.as_str()), ("INTERVIEW__DATABASE__POOLER", "transaction")];
    let mut interviews = Vec::new();
    for number in 0..INTERVIEWS {
        let session = world.new_session().await;
        let runtime = world.run_with(session, &behind).await;
        let browser = Browser::join(&runtime.websocket_url(), &world.ticket(session).await).await;
        interviews.push((number, session, runtime, browser));
    }
    let talking = interviews.into_iter().map(|(number, session, mut runtime, mut browser)| {
        tokio::spawn(async move {
            for seq in 1..=UPDATES {
                browser.say(seq, &[&words(number, seq)]).await;
            }
            while browser.expect("transcript_ack").await["seq"] != UPDATES {}
            runtime.stop();
            runtime.exit().await;
            (number, session)
        })
    });
    let mut most = 0;
    let all: Vec<_> = talking.collect();
    while !all.iter().all(tokio::task::JoinHandle::is_finished) {
        most = most.max(server_connections(&world).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for talk in all {
        let (number, session) = talk.await.expect("the interview was held");
        let stored: Vec<String> = world.rows(session).await.into_iter().map(|row| row.2).collect();
        let said: Vec<String> = (1..=UPDATES).map(|seq| words(number, seq)).collect();
        assert_eq!(stored, said, "interview {number}: its own words, once, in order");
    }
    println!("{INTERVIEWS} interviews over {most} server connections");
    assert!(most > 0 && most <= SERVER_CONNECTIONS as i64, "{most}");
    drop(bouncer);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_transaction_pooler_named_statements_fail_and_ours_do_not() {
    let world = World::start().await;
    let Some(bouncer) = PgBouncer::before(&world).await else { return world.stop().await };
    let url = world.database_at(bouncer.address);
    let mut sessions = Vec::new();
    for _ in 0..INTERVIEWS {
        sessions.push(world.new_session().await);
    }
    let failures = |pooler| {
        let (url, sessions) = (url.clone(), sessions.clone());
        let stores: Vec<Store> = sessions
            .iter()
            .map(|_| world.store_with(&[("INTERVIEW__DATABASE__URL", &url), ("INTERVIEW__DATABASE__POOLER", pooler)]))
            .collect();
        async move {
            let work = stores.into_iter().zip(sessions).map(|(store, session)| tokio::spawn(touch(store, session)));
            let mut failed = 0;
            for one in work.collect::<Vec<_>>() {
                // A statement under a name that another session prepared may answer with other columns; the driver then panics.
                failed += one.await.unwrap_or(1);
            }
            failed
        }
    };
    assert_eq!(failures("transaction").await, 0);
    // Otherwise the test above proves nothing.
    let named = failures("none").await;
    println!("with named statements {named} of {} units of work failed", INTERVIEWS * 40);
    assert!(named > 0, "a pooler that does not break named statements is no transaction pooler");
    drop(bouncer);
    world.stop().await;
}

/// Claims and heartbeats; how many of them failed or told of another session.
async fn touch(store: Store, session: SessionId) -> usize {
    let tenant = crate::support::TENANT.parse().expect("a tenant");
    let mut failed = 0;
    for _ in 0..20 {
        match store.claim(tenant, session).await {
            Ok((rows, _)) => failed += usize::from(rows.heartbeat().await.is_err()),
            Err(_) => failed += 2,
        }
    }
    store.close().await;
    failed
}

fn words(interview: usize, seq: u64) -> String {
    format!("interview {interview} says {seq}")
}

async fn server_connections(world: &World) -> i64 {
    let sql = "select count(*) from pg_stat_activity where usename = 'interview_runtime'";
    sqlx::query_scalar(sql).fetch_one(&world.admin).await.expect("a count")
}
