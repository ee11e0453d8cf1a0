//! Reading a `fly-replay` answer.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

pub(super) const HEADER: &str = "fly-replay";
pub(super) const JSON_TYPE: &str = "application/vnd.fly.replay+json";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fallback {
    ForceSelf,
    PreferSelf,
}

/// Where the original request should go instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Replay {
    pub(super) app: Option<String>,
    pub(super) instance: Option<String>,
    pub(super) prefer_instance: Option<String>,
    pub(super) regions: Vec<String>,
    pub(super) elsewhere: bool,
    pub(super) state: Option<String>,
    pub(super) timeout: Option<Duration>,
    pub(super) fallback: Option<Fallback>,
    pub(super) transform: Transform,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Transform {
    pub(super) path: Option<String>,
    pub(super) delete_headers: Vec<String>,
    pub(super) set_headers: Vec<SetHeader>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct SetHeader {
    pub(super) name: String,
    pub(super) value: String,
}

impl Transform {
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.delete_headers {
            headers.remove(name.as_str());
        }
        for SetHeader { name, value } in &self.set_headers {
            let name = HeaderName::try_from(name.as_str());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value.as_str())) {
                headers.insert(name, value);
            }
        }
    }
}

/// `app=a;instance=b;region="iad,us"` with `;` as separator outside quotes.
pub(super) fn from_header(text: &str) -> Result<Replay, String> {
    let mut replay = Replay::default();
    for (name, value) in fields(text)? {
        replay.set(&name, value)?;
    }
    replay.checked()
}

pub(super) fn from_json(bytes: &[u8]) -> Result<Replay, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut replay = Replay::default();
    for (name, value) in value.as_object().ok_or("not an object")? {
        match (name.as_str(), value) {
            ("transform", value) => {
                replay.transform = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
            }
            ("cache" | "allow_bypass", _) => {}
            (name, Value::Bool(flag)) => replay.set(name, flag.to_string())?,
            (name, Value::String(text)) => replay.set(name, text.clone())?,
            (name, other) => return Err(format!("{name}={other} is not text")),
        }
    }
    replay.checked()
}

fn fields(text: &str) -> Result<Vec<(String, String)>, String> {
    let (mut fields, mut current, mut quoted) = (Vec::new(), String::new(), false);
    let mut close = |current: &mut String| -> Result<(), String> {
        let field = std::mem::take(current);
        let field = field.trim();
        if !field.is_empty() {
            let (name, value) = field.split_once('=').ok_or_else(|| format!("{field:?} has no value"))?;
            fields.push((name.trim().to_lowercase(), value.trim().to_owned()));
        }
        Ok(())
    };
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            ';' if !quoted => close(&mut current)?,
            _ => current.push(letter),
        }
    }
    if quoted {
        return Err("a quote is not closed".into());
    }
    close(&mut current)?;
    Ok(fields)
}

impl Replay {
    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "app" => self.app = Some(value),
            "instance" => self.instance = Some(value),
            "prefer_instance" => self.prefer_instance = Some(value),
            "region" => self.regions = value.split(',').map(|region| region.trim().to_owned()).collect(),
            "elsewhere" => self.elsewhere = value == "true",
            "state" => {
                if value.contains([';', ',', '=']) {
                    return Err("state must not contain ; , or =".into());
                }
                self.state = Some(value);
            }
            "timeout" => {
                let seconds = value.strip_suffix("ms").map_or_else(
                    || value.strip_suffix('s').and_then(|digits| digits.parse::<f64>().ok()),
                    |digits| digits.parse::<f64>().ok().map(|ms| ms / 1_000.0),
                );
                let seconds = seconds.ok_or_else(|| format!("timeout={value} is not a duration"))?;
                self.timeout = Some(Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?);
            }
            "fallback" => {
                self.fallback = Some(match value.as_str() {
                    "force_self" => Fallback::ForceSelf,
                    "prefer_self" => Fallback::PreferSelf,
                    _ => return Err(format!("fallback={value} is unknown")),
                });
            }
            _ => return Err(format!("{name} is not a field of fly-replay")),
        }
        Ok(())
    }

    fn checked(self) -> Result<Self, String> {
        let somewhere = self.app.is_some()
            || self.instance.is_some()
            || self.prefer_instance.is_some()
            || !self.regions.is_empty()
            || self.elsewhere;
        if somewhere { Ok(self) } else { Err("it names no target".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_header_form() {
        let replay = from_header("app=a-s;instance=abc;state=x1;timeout=10s;fallback=force_self").unwrap();
        assert_eq!(replay.app.as_deref(), Some("a-s"));
        assert_eq!(replay.instance.as_deref(), Some("abc"));
        assert_eq!(replay.timeout, Some(Duration::from_secs(10)));
        assert_eq!(replay.fallback, Some(Fallback::ForceSelf));
        assert_eq!(from_header("region=\"iad,us\"").unwrap().regions, ["iad", "us"]);
        assert!(from_header("elsewhere=true").unwrap().elsewhere);
    }

    #[test]
    fn refuses_what_fly_calls_invalid() {
        for bad in ["", "instance", "nonsense=1;app=a", "app=a;timeout=soon", "region=\"iad", "app=a;state=\"a;b\"", "state=x"] {
            assert!(from_header(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_the_json_form() {
        let replay =
            from_json(br#"{"app":"b","elsewhere":true,"transform":{"path":"/x","set_headers":[{"name":"a","value":"b"}]}}"#)
                .unwrap();
        assert_eq!(replay.transform.path.as_deref(), Some("/x"));
        let mut headers = HeaderMap::new();
        replay.transform.apply(&mut headers);
        assert_eq!(headers["a"], "b");
    }
}
