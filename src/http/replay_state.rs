//! What the gateway signs when it passes a request to a session's machine through `fly-replay`.
//!
//! Fly's proxy adds the text as `fly-replay-src: …;state=…`. It proves that the request came through the tenant's own gateway a
//! moment ago. The ticket decides who may join.

use crate::ids::SessionId;
use crate::integrations::signature;
use secrecy::SecretString;
use time::OffsetDateTime;

/// A replay is immediate; this is for clocks that differ and for slow starts.
const LIFETIME_S: i64 = 60;
/// A rotation has two secrets; more tags are nobody's.
const MAX_TAGS: usize = 2;

/// The state for a request to this session: `{unix seconds}-{hex}`, free of `;`, `,` and `=`.
///
/// While secrets are rotated there are two, and one tag for each: machines that know only one of
/// them, older or newer than this gateway, find theirs.
pub fn sign(secrets: &[&SecretString], session: SessionId, now: OffsetDateTime) -> String {
    let expires = now.unix_timestamp() + LIFETIME_S;
    let mut state = expires.to_string();
    for secret in secrets {
        state.push('-');
        state.push_str(&signature::sign(secret, &message(session, expires)));
    }
    state
}

/// Whether `fly-replay-src` carries a state that our gateway signed for this session and that is still fresh.
pub fn admits(source: &str, secrets: &[&SecretString], session: SessionId) -> bool {
    admits_at(source, secrets, session, crate::clock::now())
}

fn admits_at(source: &str, secrets: &[&SecretString], session: SessionId, now: OffsetDateTime) -> bool {
    // Fly's own clients disagree on the separator.
    let state = source.split([';', ',']).find_map(|pair| pair.trim().strip_prefix("state="));
    let Some((expires, tags)) = state.and_then(|state| state.split_once('-')) else { return false };
    let Ok(expires) = expires.parse::<i64>() else { return false };
    if expires < now.unix_timestamp() {
        return false;
    }
    let message = message(session, expires);
    let fits = |tag: &str| secrets.iter().any(|secret| signature::verify(secret, &message, tag));
    tags.split('-').take(MAX_TAGS).any(fits)
}

fn message(session: SessionId, expires: i64) -> String {
    format!("fly-replay.{session}.{expires}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration;
    use uuid::Uuid;

    fn secret() -> SecretString {
        SecretString::from("0123456789abcdef0123456789abcdef")
    }

    #[test]
    fn what_was_signed_is_admitted_in_both_spellings() {
        let (session, now) = (SessionId(Uuid::now_v7()), OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        let state = sign(&[&secret()], session, now);
        assert!(!state.contains([';', ',', '=']));
        for source in [format!("instance=abc;region=fra;t=1;state={state}"), format!("instance=abc, region=fra, state={state}")] {
            assert!(admits_at(&source, &[&secret()], session, now), "{source}");
        }
    }

    #[test]
    fn another_session_secret_or_time_is_refused() {
        let (session, now) = (SessionId(Uuid::now_v7()), OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        let source = format!("state={}", sign(&[&secret()], session, now));
        assert!(!admits_at(&source, &[&secret()], SessionId(Uuid::now_v7()), now));
        assert!(!admits_at(&source, &[&SecretString::from("another secret of another tenant")], session, now));
        assert!(!admits_at(&source, &[&secret()], session, now + Duration::seconds(LIFETIME_S + 1)));
        let later = source.replacen(|c: char| c.is_ascii_digit(), "9", 1);
        assert!(!admits_at(&later, &[&secret()], session, now), "a changed expiry");
        for odd in ["", "state=", "state=-", "state=99999999999-zz", "instance=a;region=b"] {
            assert!(!admits_at(odd, &[&secret()], session, now), "{odd}");
        }
    }

    #[test]
    fn while_secrets_are_rotated_old_and_new_machines_admit_old_and_new_gateways() {
        let (session, now) = (SessionId(Uuid::now_v7()), OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        let [first, second, third] = ["first", "second", "third"].map(|name| SecretString::from(name.repeat(8)));
        let (before, during, after) = (vec![&first], vec![&second, &first], vec![&second]);
        for (gateway, machine, admitted) in [
            (&before, &before, true),
            (&before, &during, true),
            (&during, &before, true),
            (&during, &during, true),
            (&during, &after, true),
            (&after, &during, true),
            (&before, &after, false),
            (&after, &before, false),
            (&during, &vec![&third], false),
        ] {
            let source = format!("instance=abc;state={}", sign(gateway, session, now));
            assert_eq!(admits_at(&source, machine, session, now), admitted);
        }
    }
}
