//! api.video: the container into which a browser uploads its recording, the token for the upload, and which parts have arrived.
//! The key reaches every video of the project. So a video is only trusted if its metadata names our session.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use url::Url;

use super::Redacted;
use super::call_error::CallError;
use super::http_client::{Answer, CallLimits, HttpClient, InvalidBaseUrl, Vendor, check_base_url, endpoint};
use crate::error::{ErrorCode, FaultClass};
use crate::ids::VideoId;

const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// The largest page the vendor allows; one session has a handful of videos.
const MAX_URL_BYTES: usize = 2048;
const MAX_VIDEO_ID_BYTES: usize = 64;
/// Where api.video serves or names videos.
const RECORDING_HOSTS: [&str; 5] = ["api.video", "ws.api.video", "embed.api.video", "vod.api.video", "cdn.api.video"];

#[derive(Debug, Clone)]
pub struct ApiVideoOptions {
    /// `https://ws.api.video`, or the vendor's own sandbox with its own key.
    pub base_url: Url,
    pub api_key: SecretString,
    pub deadline: Duration,
}

impl ApiVideoOptions {
    pub fn new(base_url: Url, api_key: SecretString) -> Self {
        Self { base_url, api_key, deadline: Duration::from_secs(10) }
    }
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiVideoClient {
    http: HttpClient,
    options: Arc<ApiVideoOptions>,
}

/// Ids only: never a name or an e-mail address.
pub type Metadata = [(&'static str, String)];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Video {
    pub video_id: VideoId,
    pub created_at: Option<String>,
    pub metadata: Vec<(String, String)>,
}

#[derive(Debug)]
pub struct UploadToken {
    /// Whoever holds it can create videos: one per session, deleted at its end.
    pub token: SecretString,
    pub expires_at: Option<String>,
}

/// Each is good for one viewer and one time; never store them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Playback {
    /// A page with a player, for an iframe.
    pub player_url: Option<Redacted>,
    pub hls_url: Option<Redacted>,
    pub mp4_url: Option<Redacted>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct VideoStatus {
    #[serde(deserialize_with = "lenient")]
    pub ingest: Ingest,
    #[serde(deserialize_with = "lenient")]
    pub encoding: Encoding,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Ingest {
    /// The guide and the schema list different values, so it is not an enum.
    #[serde(deserialize_with = "lenient")]
    pub status: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub filesize: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub received_parts: ReceivedParts,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ReceivedParts {
    #[serde(deserialize_with = "lenient")]
    pub parts: Vec<u32>,
    /// Known once the last part has arrived.
    #[serde(deserialize_with = "lenient")]
    pub total: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Encoding {
    #[serde(deserialize_with = "lenient")]
    pub playable: bool,
    #[serde(deserialize_with = "lenient")]
    pub qualities: Vec<Quality>,
    #[serde(deserialize_with = "lenient")]
    pub metadata: EncodingMetadata,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Quality {
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub kind: String,
    #[serde(deserialize_with = "lenient")]
    pub quality: String,
    #[serde(deserialize_with = "lenient")]
    pub status: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct EncodingMetadata {
    /// Seconds.
    #[serde(deserialize_with = "lenient")]
    pub duration: Option<f64>,
}

impl VideoStatus {
    /// The whole recording is at the vendor.
    pub fn uploaded(&self) -> bool {
        let by_status = matches!(self.ingest.status.as_deref(), Some("uploaded" | "ingested"));
        let received = &self.ingest.received_parts;
        by_status || received.total.is_some_and(|total| total > 0 && received.parts.len() >= total as usize)
    }

    pub fn playable(&self) -> bool {
        self.encoding.playable
    }

    /// Nothing more will change.
    pub fn encoded(&self) -> bool {
        let settled = |quality: &Quality| matches!(quality.status.as_str(), "encoded" | "failed");
        !self.encoding.qualities.is_empty() && self.encoding.qualities.iter().all(settled)
    }

    pub fn parts(&self) -> u32 {
        u32::try_from(self.ingest.received_parts.parts.len()).unwrap_or(u32::MAX)
    }
}

/// An absent, null or odd field is worth less than the rest of the status.
fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireVideo {
    video_id: String,
    #[serde(default, deserialize_with = "lenient")]
    created_at: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    metadata: Vec<WirePair>,
    #[serde(default, deserialize_with = "lenient")]
    assets: WireAssets,
}

#[derive(Serialize, Deserialize)]
struct WirePair {
    key: String,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireAssets {
    #[serde(deserialize_with = "lenient")]
    player: Option<String>,
    #[serde(deserialize_with = "lenient")]
    hls: Option<String>,
    #[serde(deserialize_with = "lenient")]
    mp4: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireToken {
    token: SecretString,
    #[serde(default, deserialize_with = "lenient")]
    expires_at: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateVideo<'a> {
    title: &'a str,
    /// The vendor's default is public.
    public: bool,
    transcript: bool,
    mp4_support: bool,
    metadata: Vec<WirePair>,
}

#[derive(Serialize)]
struct CreateToken {
    ttl: u64,
}

impl WireVideo {
    fn into_video(self) -> Option<Video> {
        Some(Video {
            video_id: video_id(&self.video_id)?,
            created_at: self.created_at,
            metadata: self.metadata.into_iter().map(|pair| (pair.key, pair.value)).collect(),
        })
    }
}

impl ApiVideoClient {
    pub fn new(http: HttpClient, options: ApiVideoOptions) -> Result<Self, InvalidBaseUrl> {
        check_base_url(&options.base_url)?;
        Ok(Self { http, options: Arc::new(options) })
    }

    /// Not idempotent: after an unclear failure the video may exist.
    pub async fn create_video(&self, title: &str, metadata: &Metadata) -> Result<Video, CallError> {
        let pairs = metadata.iter().map(|(key, value)| WirePair { key: (*key).to_owned(), value: value.clone() });
        let body = CreateVideo { title, public: false, transcript: false, mp4_support: true, metadata: pairs.collect() };
        let request = self.request(Method::POST, &["videos"]).json(&body);
        let answer = self.accept("create_video", request).await?;
        let video = answer.json::<WireVideo>()?.into_video();
        video.ok_or_else(|| answer.unexpected("the answer names no video"))
    }

    /// `ttl` has to cover the whole interview and its last upload; zero would mean
    /// for ever and is raised to a second.
    pub async fn create_upload_token(&self, ttl: Duration) -> Result<UploadToken, CallError> {
        let body = CreateToken { ttl: ttl.as_secs().clamp(1, i32::MAX as u64) };
        let request = self.request(Method::POST, &["upload-tokens"]).json(&body);
        let token: WireToken = self.accept("create_upload_token", request).await?.json()?;
        Ok(UploadToken { token: token.token, expires_at: token.expires_at })
    }

    /// A token that is gone already counts as deleted.
    pub async fn delete_upload_token(&self, token: &SecretString) -> Result<(), CallError> {
        let request = self.request(Method::DELETE, &["upload-tokens", token.expose_secret()]);
        self.delete("delete_upload_token", request).await
    }

    pub async fn status(&self, video_id: &VideoId) -> Result<VideoStatus, CallError> {
        let request = self.request(Method::GET, &["videos", video_id.as_str(), "status"]);
        self.accept("status", request).await?.json()
    }

    /// The last part of an upload whose sender is gone: without one the vendor waits for seven
    /// days and throws away what it has. The part must not be empty, so it is a Void element,
    /// which WebM players skip; of MP4 three bytes are no box, and the file ends there.
    pub async fn close_upload(&self, video_id: &VideoId, part: u32) -> Result<(), CallError> {
        const VOID: &[u8] = &[0xEC, 0x81, 0x00];
        let file = reqwest::multipart::Part::bytes(VOID).file_name("file");
        let request = self
            .request(Method::POST, &["videos", video_id.as_str(), "source"])
            .header(http::header::CONTENT_RANGE, format!("part {part}/{part}"))
            .multipart(reqwest::multipart::Form::new().part("file", file));
        self.accept("close_upload", request).await.map(drop)
    }

    /// Mints fresh one-use addresses. They exist from the start, so they do not
    /// prove that there is something to see; [`Self::status`] does.
    pub async fn playback(&self, video_id: &VideoId) -> Result<Playback, CallError> {
        let request = self.request(Method::GET, &["videos", video_id.as_str()]);
        let video: WireVideo = self.accept("playback", request).await?.json()?;
        Ok(Playback {
            player_url: web_address(video.assets.player),
            hls_url: web_address(video.assets.hls),
            mp4_url: web_address(video.assets.mp4),
        })
    }

    /// A video that is gone already counts as deleted. With the vendor's "Video
    /// Restore" feature on, this only hides it for 90 days.
    pub async fn delete_video(&self, video_id: &VideoId) -> Result<(), CallError> {
        let request = self.request(Method::DELETE, &["videos", video_id.as_str()]);
        self.delete("delete_video", request).await
    }

    /// Basic auth with the key as the user is stateless; there is no token to renew.
    fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        self.http
            .request(method, endpoint(&self.options.base_url, segments))
            .basic_auth(self.options.api_key.expose_secret().trim(), Some(""))
    }

    async fn send(&self, action: &'static str, request: RequestBuilder) -> Result<Answer, CallError> {
        let limits =
            CallLimits { vendor: Vendor::ApiVideo, action, deadline: self.options.deadline, max_body_bytes: MAX_ANSWER_BYTES };
        self.http.send(limits, request).await
    }

    async fn accept(&self, action: &'static str, request: RequestBuilder) -> Result<Answer, CallError> {
        let answer = self.send(action, request).await?;
        if answer.status().is_success() { Ok(answer) } else { Err(judge(&answer)) }
    }

    async fn delete(&self, action: &'static str, request: RequestBuilder) -> Result<(), CallError> {
        let answer = self.send(action, request).await?;
        match answer.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            _ => Err(judge(&answer)),
        }
    }
}

/// The last part of the problem's `type` is the vendor's error code.
fn judge(answer: &Answer) -> CallError {
    #[derive(Deserialize)]
    struct Problem {
        #[serde(rename = "type")]
        kind: String,
    }
    let problem = serde_json::from_slice::<Problem>(&answer.body).ok();
    let code = problem.as_ref().and_then(|p| p.kind.trim_end_matches('/').rsplit('/').next()).filter(|c| !c.is_empty());
    let failure = answer.failure(code);
    match (answer.status(), code) {
        (_, Some("authorization-suspended-account")) => failure.judged(FaultClass::Rejected, ErrorCode::ApiVideoAccountSuspended),
        (StatusCode::NOT_FOUND, Some("unrecognized-request-url")) => failure,
        (StatusCode::NOT_FOUND, _) => failure.judged(FaultClass::Rejected, ErrorCode::ApiVideoVideoNotFound),
        _ => failure,
    }
}

fn video_id(text: &str) -> Option<VideoId> {
    let usable = !text.is_empty()
        && text.len() <= MAX_VIDEO_ID_BYTES
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    usable.then(|| VideoId::from(text))
}

/// The address ends up in a page of ours.
fn web_address(address: Option<String>) -> Option<Redacted> {
    let address = address?;
    let url = Url::parse(&address).ok()?;
    (matches!(url.scheme(), "https" | "http") && url.has_host()).then(|| Redacted::new(address))
}

/// The video that a browser says it recorded into. Everything unusual is refused
/// on the text itself, before a URL parser may repair it into something else. The
/// result still has to be compared with the session's own video id.
pub fn parse_recording_url(text: &str) -> Option<VideoId> {
    if text.len() > MAX_URL_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    if text.contains(['\\', '@', '%', '#']) {
        return None;
    }
    let (host, rest) = text.strip_prefix("https://")?.split_once('/')?;
    // An exact match leaves no room for ports, users, trailing dots or look-alikes.
    if !RECORDING_HOSTS.contains(&host) {
        return None;
    }
    let path = rest.split('?').next().unwrap_or_default();
    let mut segments = path.split('/');
    if !matches!(segments.next()?, "vod" | "videos") {
        return None;
    }
    let id = segments.next()?;
    if segments.any(|segment| segment == "." || segment == "..") {
        return None;
    }
    let named_like_one = id.len() > 2 && id.starts_with("vi") && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if named_like_one { video_id(id) } else { None }
}

#[cfg(test)]
#[path = "api_video_tests.rs"]
mod tests;
