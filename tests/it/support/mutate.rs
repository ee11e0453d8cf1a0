//! Valid inputs, broken in many ways from a seed. Same seed, same inputs.

// The campaigns use the other parts.
#![allow(dead_code)]

use serde_json::Value;

/// A number from the environment: FUZZ_INPUTS, FUZZ_SEED.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

const TOKENS: &[&str] = &[
    "null",
    "true",
    "-1",
    "0",
    "1e400",
    "18446744073709551616",
    "9007199254740993",
    "\"\"",
    "[]",
    "{}",
    "[[[[[[[[",
    "}",
    "\"",
    ",",
    ":",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "é",
    "🎤",
    "\r\n",
    "\n",
    "m=video 9 X 0\r\n",
    "a=",
    "v=0\r\n",
    "@",
    "%2e%2e",
    "..",
    "\\",
    "#",
    "?",
    "//",
    ":443",
    "https://",
    "vod",
    "videos",
    "type",
    "item_id",
    "entries",
    "seq",
    "session",
    "response",
];

/// A valid input, changed a few times.
pub fn mutated(rng: &mut fastrand::Rng, corpus: &[String]) -> Vec<u8> {
    let mut bytes = rng.choice(corpus).expect("a corpus").clone().into_bytes();
    for _ in 0..rng.usize(0..6) {
        let at = rng.usize(..=bytes.len());
        let until = (at + rng.usize(0..24)).min(bytes.len());
        match rng.u8(0..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(0..8),
            1 => drop(bytes.drain(at..until)),
            2 => {
                let piece = bytes[at..until].to_vec();
                let to = rng.usize(..=bytes.len());
                bytes.splice(to..to, piece);
            }
            3 | 4 => drop(bytes.splice(at..at, rng.choice(TOKENS).expect("some").bytes()).count()),
            5 => drop(bytes.splice(at..until, rng.choice(TOKENS).expect("some").bytes()).count()),
            6 => {
                let other = rng.choice(corpus).expect("a corpus").as_bytes();
                let from = rng.usize(..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                // Another value where one was.
                if let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) {
                    replace(rng, &mut value);
                    bytes = value.to_string().into_bytes();
                }
            }
        }
    }
    bytes
}

fn replace(rng: &mut fastrand::Rng, value: &mut Value) {
    match value {
        Value::Object(fields) if !fields.is_empty() && rng.u8(0..6) > 0 => {
            let index = rng.usize(..fields.len());
            if let Some(field) = fields.values_mut().nth(index) {
                replace(rng, field);
            }
        }
        Value::Array(items) if !items.is_empty() && rng.u8(0..6) > 0 => {
            let index = rng.usize(..items.len());
            replace(rng, &mut items[index]);
        }
        _ => {
            *value = match rng.u8(0..9) {
                0 => Value::Null,
                1 => Value::Bool(rng.bool()),
                2 => rng.i64(..).into(),
                3 => rng.u64(..).into(),
                4 => serde_json::Number::from_f64(rng.f64() * 1e308).map_or(Value::Null, Value::Number),
                5 => {
                    let length = rng.usize(0..40);
                    Value::String((0..length).map(|_| rng.char(..)).collect())
                }
                6 => Value::Array(vec![Value::Null; rng.usize(0..4)]),
                7 => Value::Object(serde_json::Map::new()),
                _ => Value::String("x".repeat(rng.usize(0..5_000))),
            }
        }
    }
}

pub fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}
