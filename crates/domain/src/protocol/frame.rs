//! Reads a frame of a browser: the whole message, or at least which one it was meant to be.

use super::{ClientMessage, MAX_SEQ, Refusal, TYPED, UPDATE};
use crate::edge::{ClientId, Place, mend_surrogates};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A frame that is no message of the protocol, with what could be read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub refusal: Refusal,
    /// One of our types, as the frame names it.
    pub request_type: Option<&'static str>,
    /// Of an update this closes the order over the number; in any other frame it only tells which was refused.
    pub seq: Option<u64>,
    /// Of a `typed_answer`.
    pub id: Option<String>,
}

impl Unreadable {
    /// The refusal is final, and those behind it need not wait.
    pub fn is_update(&self) -> bool {
        self.request_type == Some(UPDATE)
    }
}

impl ClientMessage {
    /// Read a text frame.
    pub fn read(frame: &str) -> Result<Self, Unreadable> {
        let frame = mend_surrogates(frame);
        serde_json::from_str(&frame).map_err(|error| {
            // Without a copy of what was sent: it may be a candidate's words.
            let kind = match error.classify() {
                serde_json::error::Category::Data => "the message is not understood",
                _ => "the frame is no JSON",
            };
            let refusal = Refusal::invalid(format!("{kind}{}", Place::of(&error)));
            let Numbered { request_type, seq, id } = Numbered::of(&frame);
            Unreadable { refusal, request_type, seq, id: id.filter(|_| request_type == Some(TYPED)) }
        })
    }
}

/// The outermost `type`, `seq` and `id`, whatever the rest of the frame is.
#[derive(Default)]
struct Numbered {
    request_type: Option<&'static str>,
    seq: Option<u64>,
    id: Option<String>,
}

impl Numbered {
    fn of(frame: &str) -> Self {
        let mut numbered = Self::default();
        // Of a frame that breaks off in the middle, what stands before that has been read.
        let _ = numbered.deserialize(&mut serde_json::Deserializer::from_str(frame));
        numbered
    }
}

impl<'de> DeserializeSeed<'de> for &mut Numbered {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, frame: D) -> Result<(), D::Error> {
        frame.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Numbered {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        // A key that comes twice counts as every JSON reader counts it: the last one.
        while let Some(field) = fields.next_key::<Cow<'de, str>>()? {
            match &*field {
                "type" => self.request_type = known_type(fields.next_value::<&RawValue>()?),
                "seq" => self.seq = number(fields.next_value::<&RawValue>()?),
                "id" => self.id = name(fields.next_value::<&RawValue>()?),
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

fn known_type(raw: &RawValue) -> Option<&'static str> {
    let name: String = serde_json::from_str(raw.get()).ok()?;
    ClientMessage::TYPES.into_iter().find(|known| *known == name)
}

/// One that a client may give.
fn name(raw: &RawValue) -> Option<String> {
    let id: String = serde_json::from_str(raw.get()).ok()?;
    ClientId::new(&id).is_ok().then_some(id)
}

/// Also as `7.0`, which some languages write.
fn number(raw: &RawValue) -> Option<u64> {
    let whole = || serde_json::from_str::<f64>(raw.get()).ok().filter(|n| n.fract() == 0.0 && (0.0..=MAX_SEQ as f64).contains(n));
    serde_json::from_str(raw.get()).ok().or_else(|| whole().map(|n| n as u64))
}

/// For an optional field: a value that does not fit counts as none.
pub(super) fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: de::Deserialize<'de> + Default,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Field<T> {
        Fits(T),
        Other(IgnoredAny),
    }
    Ok(match Field::deserialize(deserializer)? {
        Field::Fits(value) => value,
        Field::Other(_) => T::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{ClientEntry, ClientRecordingState, MediaState};
    use super::*;
    use proptest::prelude::*;

    fn refused(frame: &str) -> Option<(Option<&'static str>, Option<u64>)> {
        ClientMessage::read(frame).err().map(|no| (no.request_type, no.seq))
    }

    #[test]
    fn a_frame_that_is_not_understood_names_its_number_and_its_type() {
        let update = Some(UPDATE);
        let deep = "[".repeat(200) + &"]".repeat(200);
        let entry =
            |field: &str| format!(r#"{{"type":"transcript_update","seq":7,"entries":[{{"text":"x","speaker":"ai",{field}}}]}}"#);
        for (frame, told) in [
            (r#"{"type":"transcript_update","seq":7,"entries":[{"text":"x","speaker":"nobody"}]}"#, (update, Some(7))),
            (r#"{"type":"transcript_update","seq":7,"entries":"x"}"#, (update, Some(7))),
            (r#"{"entries":[7],"seq":7,"type":"transcript_update"}"#, (update, Some(7))),
            (r#"{"type":"transcript_update","seq":7.0,"entries":[]}"#, (update, Some(7))),
            (r#"{"type":"transcript_update","seq":6,"seq":7,"entries":[]}"#, (update, Some(7))),
            (r#"{"type":"transcript_update","seq":7,"entries":[],"entries":[]}"#, (update, Some(7))),
            (r#"{"type":"transcript_update","seq":7,"entries":[NaN]}"#, (update, Some(7))),
            (r#"{"type":"transcript_update","seq":7,"entries":[{"text":"#, (update, Some(7))),
            (r#"{"type":"transcript_update","seq":7,"entries":[],"x":1e400}"#, (update, Some(7))),
            (r#"{"type":"transcript_update","seq":7,"entries":[]} x"#, (update, Some(7))),
            (&format!(r#"{{"type":"transcript_update","entries":{deep},"seq":7}}"#), (update, Some(7))),
            (&entry(r#""id":7"#), (update, Some(7))),
            (&entry(r#""item_id":{}"#), (update, Some(7))),
            (r#"{"type":"transcript_update","seq":"7","entries":[]}"#, (update, None)),
            (r#"{"type":"transcript_update","seq":-1}"#, (update, None)),
            (r#"{"type":"transcript_update","seq":1e400}"#, (update, None)),
            (&format!(r#"{{"type":"transcript_update","seq":{deep}}}"#), (update, None)),
            (r#"{"type":"consent","seq":7}"#, (Some("consent"), Some(7))),
            (r#"{"type":"recording_state","state":"recording","part":-1}"#, (Some("recording_state"), None)),
            (r#"{"type":"x","seq":7}"#, (None, Some(7))),
            (r#"{"type":7,"seq":7}"#, (None, Some(7))),
            (r#"[{"type":"transcript_update","seq":7}]"#, (None, None)),
            ("{", (None, None)),
            ("", (None, None)),
        ] {
            assert_eq!(refused(frame), Some(told), "{frame:.120}");
        }
        let id = |frame: &str| ClientMessage::read(frame).expect_err("no message").id;
        assert_eq!(id(r#"{"type":"typed_answer","id":"a-1","text":7}"#).as_deref(), Some("a-1"));
        assert_eq!(id(r#"{"type":"typed_answer","id":"a\u0000","text":7}"#), None);
        assert_eq!(id(r#"{"type":"consent","id":"a-1"}"#), None);
        let half = r#"{"type":"transcript_update","seq":1,"entries":[{"text":"Great \ud83d","speaker":"ai","timestamp":""}]}"#;
        assert_eq!(refused(half), None);
    }

    #[test]
    fn every_type_is_known() {
        let error = serde_json::from_str::<ClientMessage>(r#"{"type":"?"}"#).expect_err("no such type").to_string();
        let told: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(told, ClientMessage::TYPES);
    }

    #[test]
    fn an_optional_field_of_another_type_is_left_out() {
        for odd in ["null", "7", "true", "[]", "{}", "[[[7]]]"] {
            let entry = format!(r#"{{"text":"x","speaker":"ai","timestamp":{odd}}}"#);
            let entry = serde_json::from_str::<ClientEntry>(&entry).expect("a time is never a reason to refuse");
            assert_eq!(entry.timestamp, "", "{odd}");
            let read = |frame: &str| ClientMessage::read(&frame.replace("ODD", odd)).unwrap_or_else(|no| panic!("{odd}: {no:?}"));
            assert!(matches!(
                read(r#"{"type":"recording_state","state":"recording","mime_type":ODD}"#),
                ClientMessage::RecordingState { state: ClientRecordingState::Recording, mime_type: None, .. }
            ));
            assert!(matches!(
                read(r#"{"type":"integrity_event","kind":"x","at":ODD}"#),
                ClientMessage::IntegrityEvent { at: None, .. }
            ));
            assert!(matches!(
                read(r#"{"type":"end_session","recording_url":ODD,"final_transcript":ODD,"reason":ODD}"#),
                ClientMessage::EndSession { recording_url: None }
            ));
            assert!(matches!(
                read(r#"{"type":"media_state","state":"connected","stats":{"rtt_ms":ODD}}"#),
                ClientMessage::MediaState { state: MediaState::Connected, .. }
            ));
        }
        let entry = serde_json::from_str::<ClientEntry>(r#"{"text":"x","speaker":"ai"}"#).expect("nor is its absence");
        assert_eq!(entry.timestamp, "");
    }

    proptest! {
        #[test]
        fn no_frame_panics(frame in "\\{\"type\":\"(sdp_offer|consent|resume|transcript_update|end_session)\".{0,80}") {
            let _ = ClientMessage::read(&frame);
        }

        /// Whatever stands around them.
        #[test]
        fn a_number_is_named_whatever_else_is_wrong(seq in 0..=MAX_SEQ, before in "[a-df-rt-z]{1,8}", value in json(), rest in ".{0,40}") {
            let frame = format!(r#"{{"{before}":{value},"seq":{seq},"type":"transcript_update","entries":7,{rest}"#);
            if !rest.contains("seq") && !rest.contains("type") {
                prop_assert_eq!(refused(&frame), Some((Some(UPDATE), Some(seq))), "{}", frame);
            }
        }
    }

    /// Any JSON value, also one that is nested too deeply to be read.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<f64>().prop_map(|n| serde_json::json!(n).to_string()),
            any::<String>().prop_map(|text| serde_json::json!(text).to_string()),
        ];
        (leaf, 0usize..300).prop_map(|(leaf, depth)| format!("{}{leaf}{}", "[".repeat(depth), "]".repeat(depth)))
    }
}
