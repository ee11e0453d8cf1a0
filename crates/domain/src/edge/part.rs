//! Numbers that a client counts.

use serde::Deserialize;

/// The number of a part of a recording. They begin with 1; more than any interview has is no such number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct PartNumber(u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be from 1 to {max}", max = PartNumber::MAX)]
pub struct PartNumberError;

impl PartNumber {
    /// Of the 5 MiB that the provider takes at least, this is fifty gigabytes.
    pub const MAX: u16 = 10_000;

    pub fn get(self) -> i32 {
        i32::from(self.0)
    }
}

impl TryFrom<u32> for PartNumber {
    type Error = PartNumberError;
    fn try_from(number: u32) -> Result<Self, PartNumberError> {
        u16::try_from(number).ok().filter(|number| (1..=Self::MAX).contains(number)).map(Self).ok_or(PartNumberError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_one_and_within_reason() {
        for (json, number) in [("1", Some(1)), ("10000", Some(10_000)), ("0", None), ("10001", None), ("4294967295", None)] {
            assert_eq!(serde_json::from_str::<PartNumber>(json).ok().map(PartNumber::get), number, "{json}");
        }
        for odd in ["-1", "1.5", "18446744073709551616", "\"1\"", "[]"] {
            assert!(serde_json::from_str::<PartNumber>(odd).is_err(), "{odd}");
        }
    }
}
