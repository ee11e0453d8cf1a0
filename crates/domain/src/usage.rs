//! What was asked of the voice and summary vendor, as it bills it, and how long the candidate waited for an answer.

use crate::edge::{Label, Millis, Text, Timestamp};
use crate::ids::ReplyId;
use crate::voice::{ReplyOutcome, VoiceEvent};
use std::time::Duration;

/// One request that costs money. The same one may be told again with more: its kind and subject name it.
#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    pub kind: Kind,
    /// The reply, the candidate's item, or the answer of the summary's model, as the vendor names it.
    pub subject: Text,
    pub model: Text,
    /// How it ended: of a reply as the vendor says, else `completed` or an error code.
    pub outcome: Label,
    pub tokens: Tokens,
    /// Of a transcription that is billed by time.
    pub audio_ms: Option<Millis>,
    /// From the end of the candidate's speech to the first sound of the reply to it.
    pub latency_ms: Option<Millis>,
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Reply,
    Transcription,
    Summary,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Transcription => "transcription",
            Self::Summary => "summary",
        }
    }
}

/// By modality. Cached tokens are part of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input_text: u32,
    pub input_audio: u32,
    pub input_cached: u32,
    pub output_text: u32,
    pub output_audio: u32,
}

/// Between the candidate's last word and the interviewer's first.
#[derive(Debug, Default)]
pub struct Meter {
    /// When the candidate stopped, while nobody has answered.
    stopped: Option<Duration>,
    /// The reply that is the answer, and how long it took to be heard.
    answered: Option<(ReplyId, Duration)>,
    /// The last reply that was generated before it was heard.
    unheard: Option<Usage>,
}

impl Meter {
    /// What the event costs, but for the model that was asked for. `now` is steady time, `at` the clock's.
    pub fn hear(&mut self, event: &VoiceEvent, now: Duration, at: Timestamp) -> Option<Usage> {
        match event {
            VoiceEvent::SpeechStarted { .. } => {
                self.stopped = None;
                None
            }
            VoiceEvent::SpeechStopped { .. } => {
                self.stopped = Some(now);
                None
            }
            VoiceEvent::PlaybackStarted { reply } => {
                let latency = now.saturating_sub(self.stopped.take()?);
                self.answered = Some((reply.clone(), latency));
                let unheard = self.unheard.take().filter(|usage| usage.subject == reply.as_str())?;
                Some(Usage { latency_ms: Some(millis(latency)), ..unheard })
            }
            VoiceEvent::ReplyDone { reply, outcome, tokens, .. } => {
                let answered = self.answered.take_if(|(answer, _)| answer == reply);
                let usage = Usage {
                    kind: Kind::Reply,
                    subject: reply.as_str().into(),
                    model: Text::default(),
                    outcome: Label::of(outcome_name(*outcome)),
                    tokens: tokens.unwrap_or_default(),
                    audio_ms: None,
                    latency_ms: answered.map(|(_, latency)| millis(latency)),
                    at,
                };
                self.unheard = usage.latency_ms.is_none().then(|| usage.clone());
                Some(usage)
            }
            VoiceEvent::CandidateSettled { item, recognition, .. } => Some(Usage {
                kind: Kind::Transcription,
                subject: item.as_str().into(),
                model: Text::default(),
                outcome: Label::of("completed"),
                tokens: recognition.tokens,
                audio_ms: recognition.audio_ms,
                latency_ms: None,
                at,
            }),
            _ => None,
        }
    }
}

fn millis(time: Duration) -> Millis {
    Millis::new(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn outcome_name(outcome: ReplyOutcome) -> &'static str {
    match outcome {
        ReplyOutcome::Completed => "completed",
        ReplyOutcome::Cancelled => "cancelled",
        ReplyOutcome::CancelledByClient => "cancelled_by_client",
        ReplyOutcome::Failed => "failed",
        ReplyOutcome::Incomplete => "incomplete",
        ReplyOutcome::AccountBlocked => "account_blocked",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::Recognition;
    use crate::voice::Delivery;

    fn hear(meter: &mut Meter, event: &VoiceEvent, ms: u64) -> Option<Usage> {
        meter.hear(event, Duration::from_millis(ms), Timestamp::UNIX_EPOCH)
    }

    fn done(reply: &str, outcome: ReplyOutcome) -> VoiceEvent {
        let tokens = Some(Tokens { input_text: 10, input_audio: 20, input_cached: 5, output_text: 3, output_audio: 40 });
        VoiceEvent::ReplyDone { reply: reply.into(), outcome, texts: vec![], tokens, delivery: Delivery::Audio }
    }

    #[test]
    fn a_reply_costs_what_it_says_and_the_candidate_waited_for_its_first_sound() {
        let mut meter = Meter::default();
        let playing = |reply: &str| VoiceEvent::PlaybackStarted { reply: reply.into() };
        assert_eq!(hear(&mut meter, &playing("opening"), 10), None);
        let opening = hear(&mut meter, &done("opening", ReplyOutcome::Completed), 20).expect("a row");
        assert_eq!((opening.latency_ms, opening.tokens.output_audio), (None, 40), "nobody waited for the opening");
        hear(&mut meter, &VoiceEvent::SpeechStopped { item: "u".into(), end_ms: None }, 1_000);
        assert_eq!(hear(&mut meter, &playing("r1"), 1_700), None);
        let heard_first = hear(&mut meter, &done("r1", ReplyOutcome::Completed), 2_000).expect("a row");
        assert_eq!(heard_first.latency_ms, Some(Millis::new(700)));
        // Generated before it was heard: told again, with the time.
        hear(&mut meter, &VoiceEvent::SpeechStopped { item: "v".into(), end_ms: None }, 3_000);
        let generated = hear(&mut meter, &done("r2", ReplyOutcome::Completed), 3_100).expect("a row");
        assert_eq!(generated.latency_ms, None);
        let again = hear(&mut meter, &playing("r2"), 3_400).expect("the same, with its time");
        assert_eq!(again, Usage { latency_ms: Some(Millis::new(400)), ..generated });
        // Who speaks on was not answered.
        hear(&mut meter, &VoiceEvent::SpeechStopped { item: "w".into(), end_ms: None }, 5_000);
        hear(&mut meter, &VoiceEvent::SpeechStarted { item: "x".into(), start_ms: None }, 5_100);
        assert_eq!(hear(&mut meter, &playing("r3"), 5_200), None);
        let failed = hear(&mut meter, &done("r3", ReplyOutcome::Failed), 5_300).expect("what fails may cost as well");
        assert_eq!((failed.outcome.as_str(), failed.latency_ms), ("failed", None));
    }

    #[test]
    fn a_transcription_is_billed_by_tokens_or_by_time() {
        let recognition = Recognition { audio_ms: Some(Millis::new(3_000)), ..Recognition::default() };
        let event = VoiceEvent::CandidateSettled { item: "u".into(), text: "Yes.".into(), recognition };
        let usage = hear(&mut Meter::default(), &event, 0).expect("a row");
        assert_eq!((usage.kind, usage.subject.as_str(), usage.audio_ms), (Kind::Transcription, "u", Some(Millis::new(3_000))));
    }
}
