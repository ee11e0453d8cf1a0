//! Webhooks of the vendors. Their content is not trusted: a webhook only makes the keepers check now, and only once for each
//! event.

use super::AppState;
use crate::error::ErrorCode;
use crate::http::problem::ApiError;
use crate::ids::VideoId;
use aws_lc_rs::hmac;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode};
use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

const SIGNATURE: &str = "x-api-video-signature";
const MAX_WORD_BYTES: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VideoEvent {
    #[serde(rename = "type")]
    kind: String,
    video_id: String,
    #[serde(default)]
    encoding: String,
    #[serde(default)]
    quality: String,
}

/// `POST /hooks/api-video`. The vendor repeats three times within seconds what it gets no 2xx for,
/// then never again; the keepers' own looks make up for that.
pub(super) async fn api_video(
    State(state): State<AppState>,
    headers: HeaderMap,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let secret = &state.config.api_video.webhook_secret;
    if secret.expose_secret().is_empty() {
        return Err(ApiError::not_found(ErrorCode::RouteNotFound, "there is nothing at this address"));
    }
    let refused = || ApiError::new(StatusCode::UNAUTHORIZED, ErrorCode::WebhookRefused, "the signature is not valid");
    // Nothing is read of whoever does not even claim to be the vendor.
    let signature = headers.get(SIGNATURE).ok_or_else(refused)?;
    let body = Bytes::from_request(request, &()).await?;
    if !is_signed(secret, signature.as_bytes(), &body) {
        return Err(refused());
    }
    // Signed, so it is the vendor's; a form we do not know is none of our business.
    let Some(event) = read(&body) else { return Ok(StatusCode::NO_CONTENT) };
    if state.store.recording_event(&VideoId::new(event.video_id), &event.kind, &event.encoding, &event.quality).await? {
        state.recording_news.notify_one();
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Compared in constant time, over the bytes as they came.
fn is_signed(secret: &SecretString, signature: &[u8], body: &[u8]) -> bool {
    let Ok(signature) = HEXLOWER.decode(signature) else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    hmac::verify(&key, body, &signature).is_ok()
}

fn read(body: &[u8]) -> Option<VideoEvent> {
    let event: VideoEvent = serde_json::from_slice(body).ok()?;
    let short = [&event.kind, &event.video_id, &event.encoding, &event.quality].iter().all(|word| word.len() <= MAX_WORD_BYTES);
    (short && event.kind == "video.encoding.quality.completed" && !event.video_id.is_empty()).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"type":"video.encoding.quality.completed","emittedAt":"2024-08-08T14:12:18+00:00","videoId":"vi1","encoding":"hls","quality":"720p"}"#;

    fn signature(secret: &str, body: &[u8]) -> String {
        HEXLOWER.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body).as_ref())
    }

    #[test]
    fn of_ten_thousand_forgeries_none_is_taken() {
        let secret = SecretString::from("whsec-of-the-vendor");
        let good = signature("whsec-of-the-vendor", BODY);
        assert!(is_signed(&secret, good.as_bytes(), BODY));
        let mut random = fastrand::Rng::with_seed(7);
        let (mut accepted, mut tried) = (0, 0);
        while tried < 10_000 {
            let (mut body, mut given) = (BODY.to_vec(), good.clone().into_bytes());
            match tried % 6 {
                // One bit of the body, one bit of the signature.
                0 => body[random.usize(..BODY.len())] ^= 1 << random.u8(..8),
                1 => given[random.usize(..good.len())] ^= 1 << random.u8(..8),
                2 => given.truncate(random.usize(..good.len())),
                3 => given = signature(&format!("guess-{}", random.u64(..)), BODY).into_bytes(),
                4 => body.truncate(random.usize(..BODY.len())),
                _ => given = HEXLOWER.encode(&std::array::from_fn::<u8, 32, _>(|_| random.u8(..))).into_bytes(),
            }
            accepted += usize::from(is_signed(&secret, &given, &body));
            tried += 1;
        }
        assert_eq!(accepted, 0);
        assert!(!is_signed(&secret, b"", BODY));
        assert!(!is_signed(&secret, good.to_uppercase().as_bytes(), BODY), "the vendor writes lowercase");
    }

    #[test]
    fn only_what_the_vendor_says_of_an_encoding_is_read() {
        assert!(read(BODY).is_some());
        for odd in
            ["", "[]", "{}", r#"{"type":"video.encoding.quality.completed","videoId":""}"#, r#"{"type":"other","videoId":"vi1"}"#]
        {
            assert!(read(odd.as_bytes()).is_none(), "{odd}");
        }
        let long = format!(r#"{{"type":"video.encoding.quality.completed","videoId":"{}"}}"#, "v".repeat(65));
        assert!(read(long.as_bytes()).is_none());
    }
}
