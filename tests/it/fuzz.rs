//! Outside data, broken in many ways from a seed: nothing panics, and what is accepted keeps its promises.
//!
//! A few thousand inputs each in every test run; `scripts/fuzz` runs a million (`FUZZ_INPUTS`, `FUZZ_SEED`). Same seed, same
//! inputs.

use crate::support::mutate::{lines, mutated, setting};
use interview_runtime::domain::protocol::{ClientMessage, MAX_SDP_BYTES, MAX_SDP_LINE_BYTES, check_offer};
use interview_runtime::domain::transcript::Transcript;
use interview_runtime::domain::typed::TypedAnswer;
use interview_runtime::integrations::api_video::parse_recording_url;
use interview_runtime::integrations::openai::events::ServerEvent;
use interview_runtime::integrations::openai::voice::translate;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use time::OffsetDateTime;

/// How many inputs the target took, of how many.
fn fuzz(name: &str, corpus: &[String], target: impl Fn(&[u8]) -> bool) {
    let (inputs, seed) = (setting("FUZZ_INPUTS", 20_000), setting("FUZZ_SEED", 1));
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut taken = 0_u64;
    for n in 0..inputs {
        let input = mutated(&mut rng, corpus);
        match catch_unwind(AssertUnwindSafe(|| target(&input))) {
            Ok(was_taken) => taken += u64::from(was_taken),
            Err(panic) => {
                println!("{name}: input {n} of seed {seed}: {:?}", String::from_utf8_lossy(&input));
                resume_unwind(panic);
            }
        }
    }
    println!("{name}: {inputs} inputs, {taken} taken, {} refused, 0 panics", inputs - taken);
    assert!(
        taken > inputs / 100 && inputs - taken > inputs / 100,
        "{name}: the inputs are all of one kind: {taken} of {inputs} taken"
    );
}

#[test]
fn frames_of_a_browser() {
    let corpus = lines(include_str!("corpus/frames.jsonl"));
    fuzz("frames of a browser", &corpus, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return false };
        let Ok(message) = serde_json::from_str::<ClientMessage>(text) else { return false };
        assert!(text.contains('"'), "a message has a type");
        if let ClientMessage::TranscriptUpdate { entries, .. } = message {
            for entry in entries {
                if let Ok(client_report) = entry.into_client_report() {
                    assert!(
                        client_report.key.as_str().len() <= 130 && !client_report.text.contains('\0'),
                        "what the database takes"
                    );
                }
            }
        } else if let ClientMessage::SdpOffer { sdp, .. } = message {
            let _ = check_offer(&sdp);
        } else if let ClientMessage::TypedAnswer { id, text } = message
            && let Ok(answer) = TypedAnswer::read(&id, &text)
        {
            assert!(answer.key().as_str().len() <= 130 && !answer.text.contains('\0'), "what the database takes");
        }
        true
    });
}

#[test]
fn events_of_the_voice_provider() {
    let corpus = lines(include_str!("corpus/events.jsonl"));
    let transcript = std::cell::RefCell::new(Transcript::default());
    let now = OffsetDateTime::UNIX_EPOCH;
    fuzz("events of the voice provider", &corpus, |input| {
        let text = String::from_utf8_lossy(input);
        let event = ServerEvent::parse(&text);
        let mut transcript = transcript.borrow_mut();
        for event in translate(&event) {
            for entry in transcript.apply(&event, now.into()) {
                assert!(entry.revision > 0 && !entry.key.as_str().is_empty() || entry.item_id.is_some());
            }
        }
        if transcript.len() > 300 {
            transcript.close();
            assert!(transcript.entries().is_sorted_by_key(|entry| entry.position));
            *transcript = Transcript::default();
        }
        !matches!(event, ServerEvent::Unknown { .. })
    });
}

#[test]
fn offers() {
    let corpus = vec![include_str!("corpus/offer.sdp").replace('\n', "\r\n")];
    fuzz("offers", &corpus, |input| {
        let Ok(sdp) = std::str::from_utf8(input) else { return false };
        if check_offer(sdp).is_err() {
            return false;
        }
        assert!(sdp.len() <= MAX_SDP_BYTES && sdp.starts_with("v=0") && sdp.ends_with('\n'));
        assert!(sdp.lines().all(|line| line.len() <= MAX_SDP_LINE_BYTES && !line.contains('\0')));
        let media: Vec<_> = sdp.lines().filter_map(|line| line.strip_prefix("m=")).collect();
        assert!(media.iter().any(|media| media.starts_with("audio ")));
        assert!(media.iter().all(|media| media.starts_with("audio ") || media.starts_with("application ")));
        true
    });
}

#[test]
fn addresses_of_recordings() {
    let corpus = lines(include_str!("corpus/recordings.txt"));
    fuzz("addresses of recordings", &corpus, |input| {
        let Ok(address) = std::str::from_utf8(input) else { return false };
        let Some(video) = parse_recording_url(address) else { return false };
        assert!(video.as_str().starts_with("vi") && video.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        // As a careful parser sees it: api.video's own host, no other place in disguise.
        let url = url::Url::parse(address).expect("what we take is an address");
        let host = url.host_str().expect("a host");
        assert!(host == "api.video" || host.ends_with(".api.video"), "{address}");
        assert!((url.port(), url.username(), url.password(), url.fragment()) == (None, "", None, None), "{address}");
        assert!(url.path_segments().is_some_and(|mut segments| segments.any(|segment| segment == video.as_str())), "{address}");
        true
    });
}
