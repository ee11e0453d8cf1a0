//! Whether a call is configured as we asked, and what becomes of it when it is not.
//!
//! The first answer to our configuration is the provider's: refused, or other than asked for, a smaller one that is
//! known to work is tried, then another call. Once a configuration has stood, who changes it is somebody else.

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    #[default]
    Full,
    /// What an interview cannot do without, in the provider's oldest words.
    Small,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The call is configured.
    Stands,
    /// Somebody else changed it.
    Foreign,
    /// Send the smaller one.
    AskSmaller,
    /// Even the smaller one cannot be had here.
    Renew,
    /// An update of ours had no effect; what stood before stands.
    Nothing,
}

/// Times in a row that a candidate's turn may not be written down by one model.
const MOST_FAILED: u32 = 3;

/// What is done about words that could not be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transcription {
    Goes,
    /// Try another model.
    FallBack,
    /// No model does.
    Lost,
}

#[derive(Debug, Default)]
pub struct CallSetup {
    pub level: Level,
    /// The other model for transcription is used.
    pub fallen_back: bool,
    /// It has been told as asked for, in the call that is open.
    stands: bool,
    failed: u32,
}

impl CallSetup {
    /// What was found out about the provider is kept.
    pub fn call_opened(&mut self) {
        self.stands = false;
    }

    /// The provider tells how the call is configured.
    pub fn told(&mut self, as_asked: bool) -> Verdict {
        match (as_asked, self.stands) {
            (true, _) => {
                self.stands = true;
                Verdict::Stands
            }
            (false, true) => Verdict::Foreign,
            (false, false) => self.smaller(),
        }
    }

    /// Our configuration was refused.
    pub fn refused(&mut self) -> Verdict {
        if self.stands { Verdict::Nothing } else { self.smaller() }
    }

    fn smaller(&mut self) -> Verdict {
        match std::mem::replace(&mut self.level, Level::Small) {
            Level::Full => Verdict::AskSmaller,
            Level::Small => Verdict::Renew,
        }
    }

    pub fn transcribed(&mut self) {
        self.failed = 0;
    }

    pub fn not_transcribed(&mut self, has_fallback: bool) -> Transcription {
        self.failed += 1;
        if self.failed < MOST_FAILED {
            return Transcription::Goes;
        }
        self.failed = 0;
        if has_fallback && !std::mem::replace(&mut self.fallen_back, true) {
            Transcription::FallBack
        } else {
            Transcription::Lost
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c18_a_configuration_that_is_refused_or_changed_is_made_smaller_then_the_call_is_replaced() {
        let mut setup = CallSetup::default();
        assert_eq!(setup.refused(), Verdict::AskSmaller);
        assert_eq!(setup.told(false), Verdict::Renew);
        setup.call_opened();
        assert_eq!(setup.level, Level::Small, "what is known of the provider is kept");
        assert_eq!(setup.told(true), Verdict::Stands);
        assert_eq!(setup.told(false), Verdict::Foreign, "it stood: somebody changed it");
        assert_eq!(setup.refused(), Verdict::Nothing);
        setup.call_opened();
        assert_eq!(setup.told(false), Verdict::Renew);
    }

    #[test]
    fn c17_a_model_that_writes_nothing_down_is_replaced_and_then_missed() {
        let mut setup = CallSetup::default();
        let mut verdicts = |has_fallback| (0..3).map(|_| setup.not_transcribed(has_fallback)).last();
        assert_eq!(verdicts(true), Some(Transcription::FallBack));
        assert_eq!(verdicts(true), Some(Transcription::Lost));
        let mut setup = CallSetup::default();
        for _ in 0..9 {
            assert_eq!(setup.not_transcribed(true), Transcription::Goes);
            assert_eq!(setup.not_transcribed(true), Transcription::Goes);
            setup.transcribed();
        }
        let lost = (0..3).map(|_| setup.not_transcribed(false)).last();
        assert_eq!(lost, Some(Transcription::Lost));
    }
}
