//! What the gateway signs when it passes a request to a session's machine through `fly-replay`.
//!
//! Fly's proxy adds the text as `fly-replay-src: …;state=…`. It proves that the request came through the tenant's own gateway a
//! moment ago. The ticket decides who may join.

use crate::ids::SessionId;
use crate::signature::{MAX_KEYS, PublicKeys, SigningKeys};
use time::OffsetDateTime;

/// A replay is immediate; this is for clocks that differ and for slow starts.
const LIFETIME_S: i64 = 60;

/// The state for a request to this session: `{unix seconds}.{signature}`, free of `;`, `,` and `=`.
///
/// While keys are rotated there are two, and one signature by each: machines that know only one of
/// them, older or newer than this gateway, find theirs.
pub fn sign(keys: &SigningKeys, session: SessionId, now: OffsetDateTime) -> String {
    let expires = now.unix_timestamp() + LIFETIME_S;
    let mut state = expires.to_string();
    for signature in keys.sign_by_each(&message(session, expires)) {
        state.push('.');
        state.push_str(&signature);
    }
    state
}

/// Whether `fly-replay-src` carries a state that our gateway signed for this session and that is still fresh.
pub fn admits(source: &str, keys: &PublicKeys, session: SessionId) -> bool {
    admits_at(source, keys, session, crate::clock::now())
}

fn admits_at(source: &str, keys: &PublicKeys, session: SessionId, now: OffsetDateTime) -> bool {
    // Fly's own clients disagree on the separator.
    let state = source.split([';', ',']).find_map(|pair| pair.trim().strip_prefix("state="));
    let Some((expires, signatures)) = state.and_then(|state| state.split_once('.')) else { return false };
    let Ok(expires) = expires.parse::<i64>() else { return false };
    if expires < now.unix_timestamp() {
        return false;
    }
    let message = message(session, expires);
    // A rotation has two keys; more signatures are nobody's.
    signatures.split('.').take(MAX_KEYS).any(|signature| keys.verify(&message, signature))
}

fn message(session: SessionId, expires: i64) -> String {
    format!("fly-replay.{session}.{expires}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrations::assign::Assignment;
    use secrecy::SecretString;
    use time::Duration;
    use uuid::Uuid;

    fn keys(secret: &str) -> SigningKeys {
        SigningKeys::derive(&SecretString::from(secret), None).expect("a key pair")
    }

    fn ours() -> SigningKeys {
        keys("0123456789abcdef0123456789abcdef")
    }

    #[test]
    fn what_was_signed_is_admitted_in_both_spellings() {
        let (session, now) = (SessionId(Uuid::now_v7()), OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        let state = sign(&ours(), session, now);
        assert!(!state.contains([';', ',', '=']));
        for source in [format!("instance=abc;region=fra;t=1;state={state}"), format!("instance=abc, region=fra, state={state}")] {
            assert!(admits_at(&source, &ours().public(), session, now), "{source}");
        }
    }

    #[test]
    fn another_session_secret_or_time_is_refused() {
        let (session, now) = (SessionId(Uuid::now_v7()), OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        let source = format!("state={}", sign(&ours(), session, now));
        assert!(!admits_at(&source, &ours().public(), SessionId(Uuid::now_v7()), now));
        assert!(!admits_at(&source, &keys("another secret of another tenant").public(), session, now));
        assert!(!admits_at(&source, &ours().public(), session, now + Duration::seconds(LIFETIME_S + 1)));
        let later = source.replacen(|c: char| c.is_ascii_digit(), "9", 1);
        assert!(!admits_at(&later, &ours().public(), session, now), "a changed expiry");
        for odd in ["", "state=", "state=.", "state=99999999999.zz", "instance=a;region=b"] {
            assert!(!admits_at(odd, &ours().public(), session, now), "{odd}");
        }
    }

    /// Neither with what a machine holds, nor with what the gateway signed for another purpose or in another spelling.
    #[test]
    fn a_machine_cannot_make_a_state_from_what_it_has() {
        let (session, now) = (SessionId(Uuid::now_v7()), OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        let public = ours().public();
        let forged = sign(&keys(&public.to_string()), session, now);
        let assignment = Assignment::sign(&ours(), &"148e".into(), session, now);
        let state = sign(&ours(), session, now);
        let (expires, signature) = state.split_once('.').expect("a state");
        let third = ["zz", "zz", signature].join(".");
        for state in [
            forged,
            format!("{}.{}", assignment.expires, assignment.signature),
            format!("{expires}.{third}"),
            format!("{expires}-{signature}"),
            expires.to_owned(),
        ] {
            assert!(!admits_at(&format!("state={state}"), &public, session, now), "{state}");
        }
        assert!(admits_at(&format!("state={expires}.zz.{signature}"), &public, session, now), "the second of two");
    }

    #[test]
    fn while_keys_are_rotated_old_and_new_machines_admit_old_and_new_gateways() {
        let (session, now) = (SessionId(Uuid::now_v7()), OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        let [first, second, third] = ["first", "second", "third"].map(|name| SecretString::from(name.repeat(8)));
        let pair = |current, previous| SigningKeys::derive(current, previous).expect("key pairs");
        let (before, during, after) = (pair(&first, None), pair(&second, Some(&first)), pair(&second, None));
        for (gateway, machine, admitted) in [
            (&before, &before, true),
            (&before, &during, true),
            (&during, &before, true),
            (&during, &during, true),
            (&during, &after, true),
            (&after, &during, true),
            (&before, &after, false),
            (&after, &before, false),
            (&during, &pair(&third, None), false),
        ] {
            let source = format!("instance=abc;state={}", sign(gateway, session, now));
            assert_eq!(admits_at(&source, &machine.public(), session, now), admitted);
        }
    }
}
