//! A vendor, a call to it, and the head of its answer.

use http::{HeaderMap, StatusCode};
use std::fmt;
use std::time::{Duration, SystemTime};

/// No vendor asks for a longer pause and means it; also keeps the arithmetic safe.
pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vendor {
    OpenAi,
    ApiVideo,
    Fly,
    Supabase,
    /// A machine of ours, over the private network.
    Machine,
}

impl Vendor {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::ApiVideo => "api_video",
            Self::Fly => "fly",
            Self::Supabase => "supabase",
            Self::Machine => "machine",
        }
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one call may behave.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    pub vendor: Vendor,
    /// Names the call in logs: `create_call`, `destroy_machine`.
    pub action: &'static str,
    /// For everything: resolving, connecting, sending, waiting, reading the body.
    pub deadline: Duration,
    pub max_body_bytes: usize,
}

/// Status and headers of an answer.
#[derive(Clone)]
pub struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The vendor's own name for this exchange; support asks for it.
    pub fn request_id(&self) -> Option<&str> {
        ["x-request-id", "fly-request-id", "sb-request-id", "cf-ray"].iter().find_map(|name| self.header(name))
    }

    /// Understands `retry-after-ms`, `retry-after` in seconds or as a date, and
    /// the header api.video uses instead.
    pub fn retry_after(&self) -> Option<Duration> {
        let milliseconds = self.header("retry-after-ms").and_then(|v| v.trim().parse::<f64>().ok());
        if let Some(duration) = milliseconds.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok()) {
            return Some(duration.min(LONGEST_RETRY_AFTER));
        }
        let value = self.header("retry-after").or_else(|| self.header("x-ratelimit-retry-after"))?.trim();
        let duration = match value.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
            Err(_) => until_http_date(value)?,
        };
        Some(duration.min(LONGEST_RETRY_AFTER))
    }
}

fn until_http_date(text: &str) -> Option<Duration> {
    let format =
        time::macros::format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let at = time::PrimitiveDateTime::parse(text, &format).ok()?.assume_utc();
    Some(SystemTime::from(at).duration_since(SystemTime::now()).unwrap_or_default())
}
