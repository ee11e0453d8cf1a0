//! Ids and names: those that a client chooses, and those of rows.

use super::text::is_harmful;
use crate::ids::ItemId;
use serde::Serialize;
use std::fmt;

/// A name that a client gave: 1 to 128 bytes, no control characters. Unlike a vendor's it is refused when it is
/// not usable: the client can give another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientId(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {max} bytes and no control characters", max = ClientId::MAX_BYTES)]
pub struct ClientIdError;

impl ClientId {
    pub const MAX_BYTES: usize = 128;

    pub fn new(raw: &str) -> Result<Self, ClientIdError> {
        if raw.is_empty()
            || raw.len() > Self::MAX_BYTES
            || raw.contains(|character: char| character.is_control() || is_harmful(character))
        {
            return Err(ClientIdError);
        }
        Ok(Self(raw.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The item of the provider that a client names.
    pub fn item(raw: &str) -> Result<ItemId, ClientIdError> {
        Self::new(raw).map(|id| ItemId::new(id.0))
    }
}

/// What makes a repeated entry the same entry: the provider's item, the client's name for it, or a digest of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct EntryKey(String);

impl EntryKey {
    pub fn of_item(item: &ItemId) -> Self {
        Self(item.as_str().to_owned())
    }

    pub fn of_client(id: &ClientId) -> Self {
        Self(format!("c:{}", id.0))
    }

    /// What the candidate typed under this name.
    pub fn of_typed(id: &ClientId) -> Self {
        Self(format!("t:{}", id.0))
    }

    pub fn of_content(content: &str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content.as_bytes());
        Self(format!("h:{}", data_encoding::HEXLOWER.encode(digest.as_ref())))
    }

    /// As a row has it.
    pub fn stored(key: String) -> Self {
        Self(key)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<&str> for EntryKey {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_not_name_things_with_control_characters_or_at_length() {
        assert!(ClientId::new("note-1 é").is_ok());
        for bad in ["", "a\0b", "a\u{202e}b", "a\nb", &"x".repeat(129)] {
            assert_eq!(ClientId::new(bad), Err(ClientIdError), "{bad:?}");
            assert_eq!(ClientId::item(bad), Err(ClientIdError), "{bad:?}");
        }
    }
}
