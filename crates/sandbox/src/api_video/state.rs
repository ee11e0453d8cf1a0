//! What the project holds: containers, tokens, windows of the rate limits.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::problem::Problem;
use crate::util::{now, rfc3339};

pub(super) const MAX_VIDEOS: usize = 20_000;
pub(super) const MAX_TOKENS: usize = 20_000;
/// The playing session of a private token.
const PLAYING: Duration = Duration::from_hours(24);
const MAX_PLAY_TOKENS: usize = 50_000;

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: String,
}

/// How a source arrives; the forms must not be mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    Parts,
    Bytes,
}

#[derive(Clone, Debug)]
pub(super) struct Video {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) public: bool,
    pub(super) mp4_support: bool,
    pub(super) tags: Vec<String>,
    pub(super) metadata: Vec<Pair>,
    pub(super) created: OffsetDateTime,
    pub(super) updated: OffsetDateTime,
    pub(super) form: Option<Form>,
    /// Part number (or first byte) and size.
    pub(super) received: BTreeMap<u64, u64>,
    /// Number of parts (or of bytes), once known.
    pub(super) total: Option<u64>,
    pub(super) completed: Option<Instant>,
}

impl Video {
    pub(super) fn new(id: String, title: String) -> Self {
        let at = now();
        Self {
            id,
            title,
            description: String::new(),
            public: true,
            mp4_support: true,
            tags: Vec::new(),
            metadata: Vec::new(),
            created: at,
            updated: at,
            form: None,
            received: BTreeMap::new(),
            total: None,
            completed: None,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.received.values().sum()
    }

    /// All that was announced has come.
    pub(super) fn is_whole(&self) -> bool {
        match (self.form, self.total) {
            (Some(Form::Whole), _) => !self.received.is_empty(),
            (Some(Form::Parts), Some(total)) => self.received.len() as u64 == total,
            (Some(Form::Bytes), Some(total)) => self.size() == total,
            _ => false,
        }
    }

    pub(super) fn playable(&self, encoding_time: Duration) -> bool {
        self.completed.is_some_and(|at| at.elapsed() >= encoding_time)
    }

    pub(super) fn status_json(&self, encoding_time: Duration) -> Value {
        let (mut parts, mut bytes) = (json!({}), json!([]));
        match self.form {
            Some(Form::Parts) => {
                let numbers: Vec<u64> = self.received.keys().copied().collect();
                parts = json!({ "parts": numbers, "total": self.total });
            }
            Some(Form::Bytes) => {
                let spans =
                    self.received.iter().map(|(from, size)| json!({ "from": from, "to": from + size - 1, "total": self.total }));
                bytes = spans.collect();
            }
            _ => {}
        }
        let playable = self.playable(encoding_time);
        let ingest = if self.completed.is_some() { "uploaded" } else { "uploading" };
        let quality = if playable {
            "encoded"
        } else if self.completed.is_some() {
            "encoding"
        } else {
            "waiting"
        };
        json!({
            "ingest": {
                "status": ingest,
                "filesize": self.completed.map(|_| self.size()),
                "receivedBytes": bytes,
                "receivedParts": parts,
            },
            "encoding": {
                "playable": playable,
                "qualities": [
                    { "type": "hls", "quality": "360p", "status": quality },
                    { "type": "mp4", "quality": "360p", "status": quality }
                ],
                "metadata": if playable {
                    json!({ "width": 640, "height": 360, "bitrate": null, "duration": null,
                            "framerate": null, "samplerate": 48000, "videoCodec": null,
                            "audioCodec": null, "aspectRatio": "16/9" })
                } else {
                    json!({ "width": null, "height": null, "bitrate": null, "duration": null })
                },
            }
        })
    }

    pub(super) fn json(&self, assets: &Value) -> Value {
        json!({
            "videoId": self.id,
            "title": self.title,
            "description": self.description,
            "public": self.public,
            "panoramic": false,
            "mp4Support": self.mp4_support,
            "tags": self.tags,
            "metadata": self.metadata,
            "publishedAt": rfc3339(self.created),
            "createdAt": rfc3339(self.created),
            "updatedAt": rfc3339(self.updated),
            "discarded": false,
            "source": { "uri": format!("/videos/{}/source", self.id) },
            "assets": assets,
        })
    }
}

pub(super) struct UploadToken {
    pub(super) ttl: u64,
    pub(super) created: OffsetDateTime,
}

impl UploadToken {
    pub(super) fn expires(&self) -> Option<OffsetDateTime> {
        (self.ttl > 0).then(|| self.created + time::Duration::seconds(self.ttl as i64))
    }

    pub(super) fn is_valid(&self) -> bool {
        self.expires().is_none_or(|at| now() < at)
    }

    pub(super) fn json(&self, token: &str) -> Value {
        json!({
            "token": token,
            "ttl": self.ttl,
            "createdAt": rfc3339(self.created),
            "expiresAt": self.expires().map(rfc3339),
        })
    }
}

/// A private asset's token: nobody's until the first player uses it, then only that
/// player's.
struct PlayToken {
    video: String,
    session: String,
    made: Instant,
    player: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Upload,
    Write,
    Read,
}

impl Class {
    pub(super) fn limit(self) -> u32 {
        match self {
            Self::Upload => 100,
            Self::Write => 200,
            Self::Read => 500,
        }
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) videos: BTreeMap<String, Video>,
    pub(super) tokens: HashMap<String, UploadToken>,
    pub(super) bearers: HashMap<String, Instant>,
    pub(super) refresh: HashMap<String, Instant>,
    play: HashMap<String, PlayToken>,
    windows: HashMap<Class, (Instant, u32)>,
}

/// What the rate limit says about a request: what is left, and for how long.
pub(super) struct Allowance {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    pub(super) seconds_left: u64,
    pub(super) exceeded: bool,
}

impl State {
    pub(super) fn video(&mut self, id: &str) -> Result<&mut Video, Problem> {
        self.videos.get_mut(id).ok_or_else(|| Problem::not_found("videoId"))
    }

    pub(super) fn count(&mut self, class: Class) -> Allowance {
        const WINDOW: Duration = Duration::from_mins(1);
        let (since, used) = self.windows.entry(class).or_insert((Instant::now(), 0));
        if since.elapsed() >= WINDOW {
            (*since, *used) = (Instant::now(), 0);
        }
        *used = used.saturating_add(1);
        Allowance {
            limit: class.limit(),
            remaining: class.limit().saturating_sub(*used),
            seconds_left: WINDOW.saturating_sub(since.elapsed()).as_secs(),
            exceeded: *used > class.limit(),
        }
    }

    pub(super) fn remember_play_token(&mut self, token: String, video: &str, session: String) {
        if self.play.len() >= MAX_PLAY_TOKENS {
            self.play.retain(|_, token| token.made.elapsed() < PLAYING);
        }
        self.play.insert(token, PlayToken { video: video.to_owned(), session, made: Instant::now(), player: None });
    }

    /// The first use binds the token to its player; `avh` is the session's own token.
    pub(super) fn may_play(&mut self, token: &str, video: &str, player: &str, avh: Option<&str>) -> bool {
        let Some(held) = self.play.get_mut(token) else { return false };
        if held.video != video || held.made.elapsed() >= PLAYING {
            return false;
        }
        if avh == Some(held.session.as_str()) {
            return true;
        }
        held.player.get_or_insert_with(|| player.to_owned()) == player
    }

    /// `GET …/session`: consumes the token and gives the session's own one.
    pub(super) fn play_session(&mut self, token: &str, video: &str, player: &str) -> Option<String> {
        if !self.may_play(token, video, player, None) {
            return None;
        }
        self.play.get(token).map(|held| held.session.clone())
    }
}
