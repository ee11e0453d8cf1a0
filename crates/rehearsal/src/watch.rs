//! What happens in a rehearsal as somebody sees it who knows nothing of how it is decided.

use crate::candidate::Asked;
use crate::stage::Moment;
use interview_domain::conduct::Shown;
use interview_domain::ids::ItemId;
use std::time::Duration;

/// A request for words may have been on its way when a pause began.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// Words of the interviewer.
#[derive(Clone, Debug)]
pub struct Said {
    pub item: ItemId,
    pub text: String,
    pub asked: Asked,
    /// The candidate spoke over it.
    pub cut: bool,
}

#[derive(Debug, Default)]
pub struct Watch {
    pub said: Vec<Said>,
    /// The longest time in which nobody spoke, no pause was granted, and the page said nothing; and when it was over.
    pub longest_silence: (Duration, Moment),
    silent_since: Option<Moment>,
    shows: Option<(Shown, Moment)>,
    /// The candidate has spoken since that was shown: who answers them speaks into no pause.
    broken: bool,
    trouble: bool,
    /// When the interviewer spoke into a pause that was granted.
    pub into_pauses: Vec<Moment>,
}

impl Watch {
    pub fn time_passes(&mut self, now: Moment) {
        if let Some(since) = self.silent_since {
            let silence = now.saturating_sub(since);
            if silence > self.longest_silence.0 {
                self.longest_silence = (silence, now);
            }
        }
    }

    /// Whether somebody speaks from now on.
    pub fn floor(&mut self, now: Moment, somebody_speaks: bool) {
        let says_nothing = self.shows.is_none_or(|(shown, _)| shown == Shown::Nothing) && !self.trouble;
        let is_silent = !somebody_speaks && says_nothing;
        self.silent_since = is_silent.then(|| self.silent_since.unwrap_or(now));
    }

    pub fn page_shows(&mut self, now: Moment, shown: Shown) {
        let since = self.shows.filter(|(known, _)| is_pause(*known) && is_pause(shown)).map_or(now, |(_, since)| since);
        (self.shows, self.broken) = (Some((shown, since)), false);
    }

    pub fn trouble(&mut self, now: Moment, news: bool) {
        self.time_passes(now);
        self.trouble |= news;
    }

    pub fn recovered(&mut self, now: Moment) {
        self.time_passes(now);
        self.trouble = false;
    }

    /// What was begun before the pause, as a word with which it is granted, is said to its end.
    pub fn interviewer_speaks(&mut self, now: Moment, begun: Moment) {
        if !self.broken && self.shows.is_some_and(|(shown, since)| is_pause(shown) && begun > since + ON_ITS_WAY) {
            self.into_pauses.push(now);
        }
    }

    pub fn candidate_speaks(&mut self) {
        self.broken = true;
    }

    pub fn is_said(&mut self, item: &ItemId, text: &str, asked: Asked, cut: bool) {
        self.said.push(Said { item: item.clone(), text: text.to_owned(), asked, cut });
    }
}

fn is_pause(shown: Shown) -> bool {
    matches!(shown, Shown::Thinking { .. } | Shown::Paused)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silence_is_as_long_as_nobody_speaks_and_the_page_says_nothing() {
        let mut watch = Watch::default();
        let at = |watch: &mut Watch, second: u32, speaks| {
            watch.time_passes(second * SECOND);
            watch.floor(second * SECOND, speaks);
        };
        at(&mut watch, 0, true);
        at(&mut watch, 5, false);
        at(&mut watch, 9, true);
        assert_eq!(watch.longest_silence, (4 * SECOND, 9 * SECOND));
        at(&mut watch, 10, false);
        watch.time_passes(13 * SECOND);
        watch.page_shows(13 * SECOND, Shown::TakeYourTime);
        at(&mut watch, 13, false);
        at(&mut watch, 60, true);
        assert_eq!(watch.longest_silence.0, 4 * SECOND, "the page said so");
        watch.trouble(61 * SECOND, true);
        at(&mut watch, 61, false);
        at(&mut watch, 90, false);
        assert_eq!(watch.longest_silence.0, 4 * SECOND);
    }

    #[test]
    fn who_speaks_into_a_pause_is_noticed_unless_it_was_on_its_way() {
        let mut watch = Watch::default();
        watch.page_shows(SECOND, Shown::Thinking { at_most: 60 * SECOND });
        watch.interviewer_speaks(2 * SECOND, SECOND + Duration::from_millis(300));
        assert!(watch.into_pauses.is_empty());
        watch.interviewer_speaks(5 * SECOND, 4 * SECOND);
        watch.page_shows(6 * SECOND, Shown::Nothing);
        watch.interviewer_speaks(7 * SECOND, 7 * SECOND);
        assert_eq!(watch.into_pauses, [5 * SECOND]);
    }
}
