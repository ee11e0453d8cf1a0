//! One machine for each interview, on a Fly with every fault on.

use crate::support::storm::storm;

/// The campaign in small; `scripts/chaos fly` is the large one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_no_attempt_has_two_machines_and_one_pass_leaves_nothing_behind() {
    let outcome = storm(60, 7, "storm").await;
    println!("{outcome}");
    let struck = |names: &[&str]| names.iter().map(|name| outcome.faults.get(*name).copied().unwrap_or(0)).sum::<u64>();
    let kinds: &[(&str, &[&str])] = &[
        (
            "ambiguous answers",
            &["machines.create timed_out_after", "machines.create unavailable_after", "machines.create lose_answer"],
        ),
        ("want of room", &["no_capacity", "no_candidate_host", "region_full", "host_full", "no_addresses", "volume_placement"]),
        ("machines that do not start", &["stuck_created", "launch_failed"]),
        ("lies", &["list_empty", "list_omits", "list_resurrects"]),
        ("losses", &["machine lost", "host lost", "host cut off", "process hung", "process killed"]),
        ("gateways killed", &["gateway killed"]),
    ];
    for (kind, names) in kinds {
        assert!(struck(names) > 0, "the run is void without {kind}: {:?}", outcome.faults);
    }
}

/// A page that names tests is believed; so it is read against them.
#[test]
fn the_page_on_fly_names_tests_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/FLY.md")).expect("the page");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).expect("a source");
    let files = [
        "tests/it/machines.rs",
        "src/reconcilers/machines_tests.rs",
        "src/integrations/fly_tests.rs",
        "src/integrations/fly/pace.rs",
    ];
    let code: String = files.map(read).concat();
    let (_, table) = page.split_once("## Each class of answer").expect("the section");
    let rows: Vec<&str> =
        table.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 15, "{rows:#?}");
    for row in rows.iter().skip(1) {
        let tests = row.split('|').nth(4).expect("the column of tests");
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test: {row}");
        for name in named {
            assert!(code.contains(&format!("fn {name}()")), "no test is called {name}");
        }
    }
}
