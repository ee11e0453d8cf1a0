//! Ten thousand ways to misuse a ticket, against the real database: none is accepted.

use crate::support::{ORIGIN, TENANT, World, uuid};
use interview_runtime::ids::TenantId;
use interview_runtime::ports::{Rows, Sessions};
use std::collections::BTreeMap;

const TRIES: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_misuse_of_a_ticket_is_accepted() {
    let world = World::start().await;
    let (session, other) = (world.new_session().await, world.new_session().await);
    let store = world.store();
    let (rows, _): (Rows, _) = store.claim(TenantId(uuid(TENANT)), session).await.expect("claimed");
    let mut rng = fastrand::Rng::with_seed(7);
    // Many may try the same one at once.
    let contested = world.ticket(session).await;
    let tries = (0..100).map(|_| {
        let (rows, ticket) = (rows.clone(), contested.clone());
        tokio::spawn(async move { rows.consume_ticket(&ticket, Some(ORIGIN)).await.expect("an answer").is_ok() })
    });
    let mut accepted = 0;
    for done in tries.collect::<Vec<_>>() {
        accepted += usize::from(done.await.expect("no panic"));
    }
    assert_eq!(accepted, 1, "one of a hundred at once");

    // They outlive ten thousand tries on a slow machine.
    let fresh = world.ticket_for(session, ORIGIN, 3_600).await;
    let elsewhere = world.ticket_for(other, ORIGIN, 3_600).await;
    let expired = world.ticket_for(session, ORIGIN, -1).await;
    let bound = world.ticket_for(session, "https://another.test", 3_600).await;
    let mut refused = BTreeMap::<&str, usize>::new();
    for n in 0..TRIES {
        let position = rng.usize(..fresh.len());
        let (what, ticket, origin) = match n % 10 {
            0 => ("used before", contested.clone(), ORIGIN.to_owned()),
            1 => ("expired", expired.clone(), ORIGIN.to_owned()),
            2 => ("of another session", elsewhere.clone(), ORIGIN.to_owned()),
            3 => ("of another origin", bound.clone(), ORIGIN.to_owned()),
            4 => ("from a look-alike origin", fresh.clone(), origin_like(n)),
            5 => ("truncated", fresh[..position].to_owned(), ORIGIN.to_owned()),
            6 => ("lengthened", format!("{fresh}{}", rng.alphanumeric()), ORIGIN.to_owned()),
            7 => {
                // One bit of one character, which then may be any byte.
                let mut bytes = fresh.clone().into_bytes();
                bytes[position] ^= 1 << rng.u8(0..7);
                ("with one bit changed", String::from_utf8(bytes).expect("ASCII"), ORIGIN.to_owned())
            }
            8 => ("in other letters", fresh.to_uppercase(), ORIGIN.to_owned()),
            _ => {
                let odd = ["", " ", "'; drop table app.sessions; --", "%", "\u{0}", "null", "*", "../"];
                ("nonsense", rng.choice(odd).expect("some").to_owned(), ORIGIN.to_owned())
            }
        };
        if ticket == fresh && origin == ORIGIN {
            continue;
        }
        let answer = rows.consume_ticket(&ticket, Some(&origin)).await.expect("the database answers");
        assert!(answer.is_err(), "accepted: {what}");
        *refused.entry(what).or_default() += 1;
    }
    println!("{} misuses refused: {refused:?}", refused.values().sum::<usize>());
    assert!(refused.len() == 10 && refused.values().sum::<usize>() > TRIES * 9 / 10);
    assert!(rows.consume_ticket(&fresh, Some(ORIGIN)).await.expect("an answer").is_ok(), "all that did not use it up");
    store.close().await;
    world.stop().await;
}

fn origin_like(n: usize) -> String {
    let odd = [
        "http://localhost",
        "https://localhost:8080",
        "http://localhost:8080/",
        "http://LOCALHOST:8080",
        "http://localhost:8080.evil.test",
        "null",
        "",
        " http://localhost:8080",
    ];
    odd[n / 10 % odd.len()].to_owned()
}
