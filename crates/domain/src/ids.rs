//! Ids are types: no function takes or returns a bare `Uuid` or `String` as an id.

use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    )+};
}

/// The longest id of a vendor that is kept as it is.
const LONGEST_ID: usize = 128;

/// A vendor's id as it can be stored, logged and compared. One that cannot be (empty, too long, control characters)
/// is replaced by a digest of itself: the same id always by the same digest, so that what it names is kept.
fn usable(raw: &str) -> Cow<'_, str> {
    if (1..=LONGEST_ID).contains(&raw.len()) && raw.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Cow::Borrowed(raw);
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, raw.as_bytes());
    Cow::Owned(format!("derived:{}", data_encoding::HEXLOWER.encode(&digest.as_ref()[..16])))
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(raw: impl AsRef<str>) -> Self {
                Self(usable(raw.as_ref()).into_owned())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub fn into_string(self) -> String {
                self.0
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<str>::deserialize(deserializer).map(Self::new)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }
    )+};
}

uuid_id! {
    /// A company whose interviews we run.
    TenantId,
    /// One interview: the truth whose chapters are calls.
    SessionId,
    /// A person who is interviewed, as the tenant knows them.
    CandidateId,
    /// A job that is interviewed for.
    PositionId,
    /// What a position is judged by.
    CompetencyId,
    /// What the company's library has of a competency; positions and plans copy it.
    LibraryCompetencyId,
    /// A structured interview as data; its versions have numbers.
    PlanId,
    /// An account in Supabase Auth.
    UserId,
    /// A place in the pool of machines that wait for a session.
    StandbyId,
    /// A link for one candidate and one position.
    InviteId,
    /// A mail that waits, or has left.
    MailId,
}

text_id! {
    /// One WebRTC call at the voice provider.
    CallId,
    /// One turn of the conversation, as the voice provider names it.
    ItemId,
    /// One answer of the AI, as the voice provider names it.
    ReplyId,
    /// One function call of the model.
    ToolCallId,
    /// One recording at the recording provider.
    VideoId,
    /// A Fly Machine.
    MachineId,
}

/// What is kept of a ticket: its SHA-256. Who knows it cannot join with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TicketHash(pub [u8; 32]);

impl TicketHash {
    pub fn of(ticket: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, ticket.as_bytes()).as_ref());
        Self(hash)
    }
}

/// A secret that is given out once: 256 random bits, as they stand in a link, a token, a ticket. Only its hash is kept.
pub struct Secret {
    pub text: String,
    pub hash: TicketHash,
}

impl Secret {
    /// `prefix` is a part of the text, and of what is hashed. None: the system gives no randomness.
    pub fn new(prefix: &str) -> Option<Self> {
        let mut bits = [0; 32];
        aws_lc_rs::rand::fill(&mut bits).ok()?;
        let text = format!("{prefix}{}", data_encoding::BASE64URL_NOPAD.encode(&bits));
        Some(Self { hash: TicketHash::of(&text), text })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl fmt::Display for TicketHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}
impl fmt::Debug for TicketHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which of a session's browser connections: the newest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Fencing token of a session process: an older epoch writes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Epoch(pub i32);

impl Epoch {
    /// No process held the session before this one.
    pub fn is_first(self) -> bool {
        self.0 <= 1
    }

    /// The number before a process's first event. Numbers rise across processes, so a browser
    /// that resumes on a new one is understood; they stay below 2^53 for 2^21 epochs.
    pub fn events_before(self) -> u64 {
        u64::from(self.0.unsigned_abs()) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_fit_a_subprotocol_and_are_not_shown() {
        let (one, other) = (Secret::new("").expect("randomness"), Secret::new("invite_").expect("randomness"));
        assert_ne!(one.hash, other.hash);
        assert_eq!((one.text.len(), one.hash), (43, TicketHash::of(&one.text)));
        assert!(one.text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert!(other.text.starts_with("invite_") && other.hash == TicketHash::of(&other.text));
        assert!(!format!("{one:?}").contains(&one.text));
    }

    #[test]
    fn an_unusable_id_of_a_vendor_is_replaced_by_the_same_one_each_time() {
        for bad in ["", "it\0em", "line\nbreak", &"x".repeat(300), "\u{202e}item"] {
            let id: ItemId = serde_json::from_value(bad.into()).expect("any text");
            assert_eq!(id, ItemId::new(bad));
            assert!(id.as_str().starts_with("derived:") && id.as_str().len() == 40, "{id}");
            assert_eq!(ItemId::new(id.as_str()), id);
        }
        assert_eq!(ItemId::new("item_CnX8x:1-2").as_str(), "item_CnX8x:1-2");
        assert_ne!(ItemId::new("a\0"), ItemId::new("b\0"));
    }
}
