//! One way to write a document, and a digest of that.
//!
//! Object keys in the order of their bytes, no space between tokens, strings with the shortest escapes, whole numbers only:
//! what RFC 8785 makes of a plan. The database computes the same (`app.plan_hash`, migrations/0022), so nobody can store a
//! version under another one's digest.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The SHA-256 of a version's canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanHash([u8; 32]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 64 hexadecimal digits")]
pub struct PlanHashError;

impl PlanHash {
    pub fn of(document: &Value) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, canonical(document).as_bytes()).as_ref());
        Self(hash)
    }

    /// As a row has it.
    pub fn stored(bytes: &[u8]) -> Result<Self, PlanHashError> {
        bytes.try_into().map(Self).map_err(|_| PlanHashError)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for PlanHash {
    type Err = PlanHashError;
    fn from_str(text: &str) -> Result<Self, PlanHashError> {
        Self::stored(&HEXLOWER.decode(text.as_bytes()).map_err(|_| PlanHashError)?)
    }
}

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PlanHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

pub fn canonical(document: &Value) -> String {
    let mut text = String::new();
    write(document, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    let mut separator = "";
    match value {
        Value::Object(members) => {
            text.push('{');
            // Sorted here: whether a map of serde_json is sorted depends on a feature that any crate may turn on.
            for (key, member) in members.iter().collect::<BTreeMap<_, _>>() {
                text.push_str(separator);
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(member, text);
                separator = ",";
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                text.push_str(separator);
                write(item, text);
                separator = ",";
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_has_one_form_and_one_digest() {
        let document: Value =
            serde_json::from_str(r#"{ "b": [1, {"z": null, "a": "é\"\n\u0001"}], "a": {}, "B": true }"#).expect("JSON");
        assert_eq!(canonical(&document), r#"{"B":true,"a":{},"b":[1,{"a":"é\"\n\u0001","z":null}]}"#);
        let other = json!({"a": {}, "B": true, "b": [1, {"a": "é\"\n\u{1}", "z": null}]});
        assert_eq!(PlanHash::of(&document), PlanHash::of(&other));
        assert_ne!(PlanHash::of(&document), PlanHash::of(&json!({})));
        assert_eq!(
            PlanHash::of(&json!({})).to_string(),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "the SHA-256 of the two characters {{}}"
        );
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let hash = PlanHash::of(&json!({"a": 1}));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(PlanHash::stored(hash.as_bytes()), Ok(hash));
        assert_eq!("00".parse::<PlanHash>(), Err(PlanHashError));
    }
}
