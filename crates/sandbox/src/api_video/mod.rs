//! api.video: containers, upload tokens, part uploads, status, private playback.
//!
//! Recordings are really stored: parts land in the data folder, are joined when the
//! last one has come, and play back in the recruiter's page. There is no encoder, so
//! `mp4/source.mp4` serves the recorded bytes under their true content type.

mod playback;
mod problem;
mod routes;
mod state;
mod upload;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use serde_json::Value;

pub(crate) use self::routes::route_name;
use self::state::State;
use crate::ledger::Ledger;
use crate::util::{lock, random_hex};

pub const VENDOR: &str = "api.video";
/// The vendor's smallest part, except for the last one.
pub const MIN_PART_BYTES: u64 = 5 * 1024 * 1024;
/// The vendor's largest single request.
pub const MAX_PART_BYTES: u64 = 200 * 1024 * 1024;

#[derive(Clone, Debug)]
pub struct ApiVideoOptions {
    /// Where parts and recordings are kept.
    pub data_dir: PathBuf,
    /// What asset URLs begin with, as a browser reaches the stand-in.
    pub public_base: String,
    pub min_part_bytes: u64,
    /// From the last part to `playable`.
    pub encoding_time: Duration,
    /// Enforce the vendor's limits per minute (100 uploads, 200 writes, 500 reads).
    pub rate_limits: bool,
}

struct Inner {
    options: ApiVideoOptions,
    api_key: String,
    ledger: Ledger,
    state: Mutex<State>,
}

/// Cheap to clone; all clones are the same project.
#[derive(Clone)]
pub struct ApiVideo {
    inner: Arc<Inner>,
}

impl ApiVideo {
    pub fn new(options: ApiVideoOptions, ledger: Ledger) -> Self {
        Self { inner: Arc::new(Inner { options, api_key: random_hex::<22>(), ledger, state: Mutex::new(State::default()) }) }
    }

    pub fn api_key(&self) -> &str {
        &self.inner.api_key
    }

    /// The API as `ws.api.video` has it.
    pub fn router(&self) -> Router {
        routes::router(self.clone())
    }

    /// What a browser needs: token uploads and playback.
    pub fn browser_router(&self) -> Router {
        routes::browser_router(self.clone())
    }

    /// All containers with their status, as `GET /videos/{id}` and `/status` show them.
    pub fn snapshot(&self) -> Value {
        let state = lock(&self.inner.state);
        let videos = state.videos.values().map(|video| {
            serde_json::json!({
                "video_id": video.id,
                "title": video.title,
                "metadata": video.metadata,
                "status": video.status_json(self.inner.options.encoding_time),
            })
        });
        serde_json::json!({
            "videos": videos.collect::<Vec<_>>(),
            "upload_tokens": state.tokens.len(),
        })
    }

    /// The joined recording of a video, once its last part has come.
    pub fn recording(&self, video_id: &str) -> Option<PathBuf> {
        let state = lock(&self.inner.state);
        state.videos.get(video_id)?.completed.map(|_| self.folder(video_id).join("source"))
    }

    fn folder(&self, video_id: &str) -> PathBuf {
        self.inner.options.data_dir.join(video_id)
    }
}
