//! Whether our sideband into a call carries the speech of the candidate. Some calls were seen where it does not.

use crate::voice::VoiceEvent;

/// Turns that were answered and not heard, before the sideband counts as deaf.
const UNHEARD_TURNS: u32 = 3;

/// What our sideband shows of the candidate's speech in one call.
#[derive(Debug, Default)]
pub struct DeafSideband {
    unheard_turns: u32,
    candidate_heard: bool,
    deaf: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The provider answers a candidate whom our sideband does not bring.
    Deaf,
    /// It brings them after all.
    Hears,
}

impl DeafSideband {
    /// Only what the provider says by itself is an answer to a turn. What we ask for, a greeting or a reply that is to
    /// go on, needs no candidate.
    pub fn hear(&mut self, event: &VoiceEvent) -> Option<Change> {
        if event.is_candidate_speech() {
            self.candidate_heard = true;
            return std::mem::take(&mut self.deaf).then_some(Change::Hears);
        }
        if matches!(event, VoiceEvent::ReplyStarted { in_conversation: true, purpose: None, .. }) {
            self.unheard_turns += 1;
        }
        let is_deaf = self.unheard_turns >= UNHEARD_TURNS && !self.candidate_heard;
        (is_deaf && !std::mem::replace(&mut self.deaf, true)).then_some(Change::Deaf)
    }

    /// It was away, and is heard on again.
    pub fn sideband_back(&mut self) {
        self.deaf = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(purpose: Option<&str>) -> VoiceEvent {
        VoiceEvent::ReplyStarted { reply: "r".into(), in_conversation: true, purpose: purpose.map(str::to_owned) }
    }

    fn speech() -> VoiceEvent {
        VoiceEvent::SpeechStarted { item: "u".into(), start_ms: None }
    }

    #[test]
    fn a_line_is_deaf_when_turns_are_answered_that_it_does_not_bring() {
        let mut sideband = DeafSideband::default();
        assert_eq!([None, None, None].map(|purpose| sideband.hear(&reply(purpose))), [None, None, Some(Change::Deaf)]);
        assert_eq!(sideband.hear(&reply(None)), None, "once");
        assert_eq!([sideband.hear(&speech()), sideband.hear(&speech())], [Some(Change::Hears), None]);
        assert_eq!([None; 5].map(|purpose| sideband.hear(&reply(purpose))), [None; 5]);
    }

    /// A reply that is cut by its limit, fails or calls a tool too early is followed by another within a second.
    #[test]
    fn what_we_ask_the_interviewer_to_say_proves_no_line_deaf() {
        let mut sideband = DeafSideband::default();
        for purpose in ["opening", "continue", "tool", "tool", "thread", "answer", "nudge"] {
            assert_eq!(sideband.hear(&reply(Some(purpose))), None, "{purpose}");
        }
        let aside = VoiceEvent::ReplyStarted { reply: "r".into(), in_conversation: false, purpose: None };
        for _ in 0..4 {
            assert_eq!(sideband.hear(&aside), None);
        }
    }
}
