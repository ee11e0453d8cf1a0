//! Detects who speaks, from the audio level that browsers send with every packet (RFC 6464).
//!
//! There is no decoding: a packet above [`LOUD`] counts as speech. The header's own voice bit is useless, because Chromium sets
//! it on every packet.

use std::time::Duration;

/// Decibels below overload. Speech lies around -30, a quiet room below -60.
const LOUD: i8 = -45;
/// Loud packets in a row that make speech (120 ms); a key press is shorter.
const TO_START: u8 = 6;
/// Quiet packets in between that are forgiven.
const FORGIVEN: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Started,
    Stopped,
}

#[derive(Debug, Default)]
pub struct Vad {
    loud: u8,
    quiet: u8,
    speaking: bool,
    last_loud: Duration,
}

impl Vad {
    /// A packet with audio of `level` came in.
    pub fn hear(&mut self, now: Duration, level: i8) -> Option<Turn> {
        if level > LOUD {
            self.quiet = 0;
            self.last_loud = now;
            if !self.speaking {
                self.loud += 1;
                if self.loud >= TO_START {
                    self.speaking = true;
                    return Some(Turn::Started);
                }
            }
            return None;
        }
        self.quiet = self.quiet.saturating_add(1);
        if self.quiet > FORGIVEN {
            self.loud = 0;
        }
        None
    }

    /// Time passes; packets may have stopped altogether.
    pub fn advance(&mut self, now: Duration, silence: Duration) -> Option<Turn> {
        if now < self.deadline(silence)? {
            return None;
        }
        *self = Self::default();
        Some(Turn::Stopped)
    }

    /// When the turn ends if nothing more is heard.
    pub fn deadline(&self, silence: Duration) -> Option<Duration> {
        self.speaking.then(|| self.last_loud + silence)
    }

    pub fn speaking(&self) -> bool {
        self.speaking
    }

    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_millis(500);

    fn run(levels: impl IntoIterator<Item = i8>) -> Vec<(u64, Turn)> {
        let mut vad = Vad::default();
        let mut turns = Vec::new();
        for (index, level) in levels.into_iter().enumerate() {
            let ms = index as u64 * 20;
            let now = Duration::from_millis(ms);
            turns.extend(vad.hear(now, level).map(|turn| (ms, turn)));
            turns.extend(vad.advance(now, SILENCE).map(|turn| (ms, turn)));
        }
        turns
    }

    #[test]
    fn a_click_is_not_speech() {
        assert_eq!(run([-20; 5].into_iter().chain([-100; 50])), []);
    }

    #[test]
    fn speech_starts_after_120_ms_and_stops_after_the_silence() {
        let turns = run([-20; 20].into_iter().chain([-100; 50]));
        assert_eq!(turns, [(100, Turn::Started), (880, Turn::Stopped)]);
    }

    #[test]
    fn a_short_gap_inside_speech_is_forgiven() {
        let levels = [-20, -20, -90, -20, -20, -90, -20, -20].into_iter().chain([-110; 40]);
        assert_eq!(run(levels).len(), 2);
    }

    #[test]
    fn a_stream_that_breaks_off_ends_the_turn() {
        let mut vad = Vad::default();
        for n in 0..10 {
            vad.hear(Duration::from_millis(n * 20), -20);
        }
        assert_eq!(vad.advance(Duration::from_millis(600), SILENCE), None);
        assert_eq!(vad.advance(Duration::from_millis(680), SILENCE), Some(Turn::Stopped));
    }
}
