//! One machine for each interview, on a Fly in the worst of moods.

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
