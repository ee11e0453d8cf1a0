use super::*;
use crate::ids::MachineId;
use uuid::Uuid;

const OLD: &str = "registry.test/runtime@sha256:aa";
const NEW: &str = "registry.test/runtime@sha256:bb";

fn create() -> Order {
    Order::Create { image: OLD.into(), region: "fra".into() }
}

/// What a plan makes of the world, without Fly: enough to plan again from.
fn apply(seen: &mut Seen, wanted: &mut Wanted, step: &Step) {
    let present = AppSeen::Present { org: wanted.org.clone(), network: wanted.names.network.clone() };
    match step {
        Step::Record { .. } => seen.record = Some(wanted.record.clone()),
        Step::ClaimApp { which: Which::Gateway, .. } => seen.gateway_app = present,
        Step::ClaimApp { which: Which::Session, .. } => seen.session_app = present,
        Step::PrepareLogin { login, .. } => assert!(seen.logins.insert(login.clone()), "it is there"),
        Step::DropLogin { login } => assert!(seen.logins.remove(login), "it is not there"),
        Step::SetSecrets { which, .. } => {
            let (there, written, settings) = match which {
                Which::Gateway => (&mut seen.gateway_secrets, &mut wanted.record.gateway_secrets, &wanted.gateway_settings),
                Which::Session => (&mut seen.session_secrets, &mut wanted.record.session_secrets, &wanted.session_settings),
            };
            there.extend(settings.names.iter().cloned());
            *written = Written { version: written.version + 1, fingerprint: settings.fingerprint.clone() };
        }
        Step::IssueToken { .. } => {
            seen.gateway_secrets.insert(TOKEN_SECRET.into());
            wanted.record.token_issued = wanted.record.token_wanted;
        }
        Step::ReleaseAddress { ip, .. } => seen.session_addresses.retain(|address| address.ip != *ip),
        Step::SetPolicy { .. } => seen.policy = PolicySeen::AsWanted,
        Step::AssignAddress { kind, .. } => seen.gateway_addresses.push(Address { ip: kind.as_str().into(), kind: *kind }),
        Step::StartGateway { slot, release, .. } => {
            assert!(!seen.gateways.iter().any(|other| other.slot == *slot && other.release == *release), "the name is taken");
            seen.gateways.push(gateway(*slot, *release));
        }
        Step::RemoveGateway { gateway, .. } => seen.gateways.retain(|other| other.id != gateway.id),
        Step::Settle => {
            wanted.record.operation = None;
            wanted.record.previous = None;
        }
        Step::CheckDoor { .. } => assert!(!seen.gateways.is_empty(), "nobody opens"),
        other => panic!("not a step of this plan: {other}"),
    }
    if seen.record.is_some() {
        seen.record = Some(wanted.record.clone());
    }
}

fn gateway(slot: u8, release: u32) -> GatewaySeen {
    GatewaySeen { id: MachineId::new(format!("m{slot}-{release}")), slot, release, runs: true, secrets: None }
}

fn nothing() -> Seen {
    Seen {
        record: None,
        logins: BTreeSet::new(),
        interviews: 0,
        gateway_app: AppSeen::Absent,
        session_app: AppSeen::Absent,
        gateway_secrets: BTreeSet::new(),
        session_secrets: BTreeSet::new(),
        gateway_addresses: Vec::new(),
        session_addresses: Vec::new(),
        policy: PolicySeen::Otherwise(Vec::new()),
        gateways: Vec::new(),
    }
}

fn wanted(record: Record) -> Wanted {
    let settings = |app: &str| Settings {
        names: ["A".to_owned(), "B".to_owned()].into(),
        fingerprint: format!("{app}{}{:?}", record.routing_generation, record.previous_generation),
    };
    Wanted {
        names: Names::of("acme").expect("usable"),
        tenant: TenantId(Uuid::from_u128(1)),
        org: "ours".into(),
        gateway_settings: settings("g"),
        session_settings: settings("s"),
        record,
        gateways: 2,
    }
}

/// Run an order against the world, interrupted after `until` steps. True when it came to its end.
fn run(seen: &mut Seen, order: &Order, until: usize) -> bool {
    let record = begin(order, "acme", seen.record.as_ref(), 0).expect("no refusal");
    let mut wanted = wanted(record);
    let steps = plan(&wanted, seen).expect("no refusal");
    for step in steps.iter().take(until) {
        apply(seen, &mut wanted, step);
    }
    until >= steps.len()
}

/// Everything but how often secrets were written.
fn end_of(mut seen: Seen) -> String {
    if let Some(record) = &mut seen.record {
        record.gateway_secrets.version = 0;
        record.session_secrets.version = 0;
    }
    seen.gateways.sort_by(|a, b| a.id.cmp(&b.id));
    format!("{seen:?}")
}

#[test]
fn any_order_interrupted_at_any_steps_and_run_again_ends_the_same() {
    let orders = [
        create(),
        Order::Upgrade { image: NEW.into() },
        Order::Rotate { routing: true, token: true },
        Order::Retire { force: false },
        Order::Rotate { routing: false, token: false },
    ];
    let mut before = nothing();
    for order in &orders {
        let mut undisturbed = before.clone();
        assert!(run(&mut undisturbed, order, usize::MAX), "{order:?}");
        for first in 0..20 {
            for second in [0, 1, 3, 7, usize::MAX] {
                let mut seen = before.clone();
                for until in [first, second, usize::MAX] {
                    // A repeat of an order that was carried out would be another one.
                    let done =
                        seen.record != before.record && seen.record.as_ref().is_some_and(|record| record.operation.is_none());
                    if !done {
                        run(&mut seen, order, until);
                    }
                }
                assert_eq!(end_of(seen), end_of(undisturbed.clone()), "{order:?} after {first} and {second} steps");
            }
        }
        before = undisturbed;
    }
}

#[test]
fn a_finished_tenant_needs_nothing_and_a_damaged_one_what_is_missing() {
    let mut seen = nothing();
    run(&mut seen, &create(), usize::MAX);
    let again = |seen: &Seen| {
        let record = begin(&create(), "acme", seen.record.as_ref(), 0).expect("no refusal");
        plan(&wanted(record), seen).expect("no refusal")
    };
    assert_eq!(again(&seen), []);
    seen.gateways.remove(0);
    seen.session_addresses.push(Address { ip: "1.2.3.4".into(), kind: AddressKind::V4 });
    let steps: Vec<String> = again(&seen).iter().map(Step::to_string).collect();
    assert_eq!(
        steps,
        [
            "release the public address 1.2.3.4 of interviews-acme-s, which must have none",
            "start gateway 1 of interviews-acme at release 1 and wait until it is healthy",
            "check the door of interviews-acme",
        ]
    );
}

#[test]
fn an_upgrade_never_removes_a_gateway_before_its_successor_is_healthy_and_can_go_back() {
    let mut seen = nothing();
    run(&mut seen, &create(), usize::MAX);
    let settled = end_of(seen.clone());
    let record = begin(&Order::Upgrade { image: NEW.into() }, "acme", seen.record.as_ref(), 0).expect("no refusal");
    let mut upgrade = wanted(record);
    let steps = plan(&upgrade, &seen).expect("no refusal");
    for step in &steps[..4] {
        apply(&mut seen, &mut upgrade, step);
        assert!(seen.gateways.len() >= 2, "after {step}");
    }
    // The second one does not become healthy.
    let mut again = wanted(back(&upgrade.record).expect("there is a way back"));
    seen.gateways.iter_mut().filter(|gateway| gateway.slot == 2 && gateway.release == 2).for_each(|new| new.runs = false);
    for step in plan(&again, &seen).expect("no refusal") {
        apply(&mut seen, &mut again, &step);
        assert!(seen.gateways.iter().any(|gateway| gateway.runs), "after {step}");
    }
    assert_eq!(end_of(seen), settled);
}

#[test]
fn a_shared_login_goes_when_no_gateway_and_no_interview_of_before_is_left() {
    let mut seen = nothing();
    run(&mut seen, &create(), usize::MAX);
    let shared = Names::of("acme").expect("usable").shared_login;
    assert!(seen.logins.insert(shared.clone()), "nothing makes it");
    let settled = wanted(seen.record.clone().expect("a record"));
    let drop = Step::DropLogin { login: shared };
    seen.gateways.iter_mut().for_each(|gateway| gateway.secrets = Some(settled.record.session_secrets.version));
    assert_eq!(plan(&settled, &seen).expect("no refusal"), std::slice::from_ref(&drop));
    let kept = |wanted: &Wanted, seen: &Seen| {
        assert_eq!(shared_login(wanted, seen), SharedLogin::InUse);
        assert!(!plan(wanted, seen).expect("no refusal").contains(&drop));
    };
    kept(&settled, &Seen { interviews: 1, ..seen.clone() });
    // Of a release that did not note it, or of one that an upgrade went back to.
    for secrets in [None, Some(settled.record.session_secrets.version - 1)] {
        let mut gateways = seen.gateways.clone();
        gateways[1].secrets = secrets;
        kept(&settled, &Seen { gateways, ..seen.clone() });
    }
    let elsewhere = Settings { fingerprint: "another".into(), ..settled.session_settings.clone() };
    kept(&Wanted { session_settings: elsewhere, ..settled.clone() }, &seen);
    let under_way = Record { operation: Some(Operation::Rotate), ..settled.record.clone() };
    kept(&Wanted { record: under_way, ..settled.clone() }, &seen);
    // Whatever is left of it is destroyed.
    let destroyed = plan_destroy(&settled, &Seen { interviews: 1, ..seen.clone() }).expect("no refusal");
    let dropped = destroyed.iter().filter(|step| matches!(step, Step::DropLogin { .. })).count();
    assert_eq!(dropped, 3);
}

#[test]
fn what_belongs_to_somebody_else_is_not_touched() {
    for (app, why) in [
        (AppSeen::OutOfReach, "another organisation"),
        (AppSeen::Present { org: "theirs".into(), network: "tenant-acme".into() }, "theirs"),
        (AppSeen::Present { org: "ours".into(), network: "default".into() }, "default"),
    ] {
        let seen = Seen { session_app: app, ..nothing() };
        let record = begin(&create(), "acme", None, 0).expect("no refusal");
        let wanted = wanted(record);
        for refused in [plan(&wanted, &seen), plan_destroy(&wanted, &seen)] {
            let text = refused.expect_err("refused").to_string();
            assert!(text.contains(why) && text.contains("interviews-acme-s"), "{text}");
        }
    }
}

#[test]
fn orders_that_cannot_be_are_refused_with_what_to_do() {
    let refused =
        |order: Order, record: Option<&Record>, interviews| begin(&order, "acme", record, interviews).expect_err("refused");
    assert_eq!(refused(Order::Upgrade { image: NEW.into() }, None, 0), Refusal::Unknown("acme".into()));
    assert_eq!(refused(Order::Upgrade { image: "latest".into() }, None, 0), Refusal::Unpinned("latest".into()));
    let under_way = begin(&create(), "acme", None, 0).expect("begun");
    assert_eq!(refused(Order::Rotate { routing: true, token: true }, Some(&under_way), 0), Refusal::UnderWay(Operation::Create));
    let settled = Record { operation: None, ..under_way };
    assert_eq!(refused(Order::Destroy { force: false }, Some(&settled), 3), Refusal::Interviews(3));
    assert!(begin(&Order::Destroy { force: true }, "acme", Some(&settled), 3).is_ok());
    for slug in ["", "-a", "a-", "A", "a_b", "acme-s", "a.b", &"a".repeat(42)] {
        assert_eq!(Names::of(slug), None, "{slug}");
    }
}
