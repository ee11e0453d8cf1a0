//! Webhooks of the vendors. Their content is not trusted: a webhook only makes the reconcilers check now, and only once for each
//! event.

use super::AppState;
use crate::domain::edge::Label;
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
/// What we listen to: each is told once for each quality.
const ENCODED: &str = "video.encoding.quality.completed";

#[derive(Debug, PartialEq)]
struct VideoEvent {
    video: VideoId,
    encoding: Label,
    quality: Label,
}

/// `POST /hooks/api-video`. The vendor repeats three times within seconds what it gets no 2xx for,
/// then never again; the reconcilers' own looks make up for that.
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
    let (encoding, quality) = (event.encoding.as_str(), event.quality.as_str());
    if state.store.recording_event(&event.video, ENCODED, encoding, quality).await? {
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

/// Each word passes the edge: it becomes a row.
fn read(body: &[u8]) -> Option<VideoEvent> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Told {
        #[serde(rename = "type")]
        kind: String,
        video_id: String,
        #[serde(default)]
        encoding: String,
        #[serde(default)]
        quality: String,
    }
    let told: Told = serde_json::from_slice(body).ok()?;
    let video = Label::new(&told.video_id).ok()?;
    let word = |word: &str| if word.is_empty() { Ok(Label::of("")) } else { Label::new(word) };
    let event = VideoEvent {
        video: VideoId::new(video.as_str()),
        encoding: word(&told.encoding).ok()?,
        quality: word(&told.quality).ok()?,
    };
    (told.kind == ENCODED).then_some(event)
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
        let event = read(BODY).expect("the vendor's own form");
        assert_eq!((event.video.as_str(), event.encoding.as_str(), event.quality.as_str()), ("vi1", "hls", "720p"));
        for odd in
            ["", "[]", "{}", r#"{"type":"video.encoding.quality.completed","videoId":""}"#, r#"{"type":"other","videoId":"vi1"}"#]
        {
            assert!(read(odd.as_bytes()).is_none(), "{odd}");
        }
        // What no row takes, or nobody can read in one: the vendor would repeat what is answered with an error.
        for odd in ["a\0", "\u{202e}a", "é", "line\nbreak", &"v".repeat(65)] {
            for field in ["videoId", "encoding", "quality"] {
                let mut body: serde_json::Value = serde_json::from_slice(BODY).expect("JSON");
                body[field] = odd.into();
                assert_eq!(read(body.to_string().as_bytes()), None, "{field}: {odd:?}");
            }
        }
        for odd in [r#""videoId":7"#, r#""videoId":{}"#, r#""quality":[[]]"#, r#""type":"other""#, r#""encoding":"\ud83d""#] {
            let body = std::str::from_utf8(BODY).expect("text").replacen('{', &format!("{{{odd},"), 1);
            assert_eq!(read(body.as_bytes()), None, "also twice: {body}");
        }
    }
}
