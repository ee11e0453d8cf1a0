//! When our own sideband heard a call, and who caused the gaps in which it did not.

use time::Duration;

/// Who made a gap in what our sideband hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// We, the provider, or the network between us.
    Ours,
    /// The browser brought a new offer while we heard the call: what it says of that moment is not believed.
    Client,
}

/// A gap that the browser made is over when our sideband is in the new call. What it lasts longer is the provider's.
const LONGEST_OF_A_CLIENT: Duration = Duration::seconds(3);
/// Events that a sideband may have missed just before it came are missed for so long.
const JOINING: Duration = Duration::seconds(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Sideband {
    /// There is no call: nothing can be said.
    #[default]
    NoCall,
    Away,
    Up {
        since: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    cause: Cause,
    since: Duration,
    /// From the opening of a call until our sideband is in it. It is short, and nothing is asked of the interviewer in it.
    opening: bool,
    /// The first item that was placed after it stands right behind one that we know: no item fell into it.
    empty: bool,
    /// A process died in it, and with it what it had heard begin and not stored: that may stand before the last item
    /// that we know.
    hides: bool,
}

/// Times are of the transcript's steady clock: a wall clock that is set changes nobody's gap. Gaps are numbered from 1.
/// What our sideband hears first when there were `n` gaps was heard after gap `n`.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    sideband: Sideband,
    gaps: Vec<Gap>,
    /// The sideband is up and carries no speech of the candidate.
    pub(super) deaf: bool,
}

impl Hearing {
    pub(super) fn is_up(&self) -> bool {
        matches!(self.sideband, Sideband::Up { .. })
    }

    pub(super) fn is_away(&self) -> bool {
        self.sideband == Sideband::Away
    }

    /// The sideband came so late, or so lately, that it may have missed how an item began.
    pub(super) fn has_just_come(&self, now: Duration) -> bool {
        match self.sideband {
            Sideband::Up { since } => now - since < JOINING,
            Sideband::NoCall | Sideband::Away => true,
        }
    }

    /// How many gaps there were.
    pub(super) fn gaps(&self) -> usize {
        self.gaps.len()
    }

    /// Who made the gap with this number.
    pub(super) fn cause(&self, number: usize) -> Option<Cause> {
        number.checked_sub(1).and_then(|index| self.gaps.get(index)).map(|gap| gap.cause)
    }

    /// Whether an item may have fallen into one of our gaps after the first `after`, up to the one numbered `last`.
    pub(super) fn ours_between(&self, after: usize, last: usize) -> bool {
        let gaps = self.gaps.iter().take(last).skip(after);
        gaps.clone().any(|gap| gap.cause == Cause::Ours && !gap.empty)
    }

    /// The same of gaps of which nothing that we heard shows that anything fell into them. One in which our sideband was only
    /// on its way into the call is none, unless it is kept out for long.
    pub(super) fn tail_between(&self, after: usize, last: usize, now: Duration) -> bool {
        let open = self.gaps.len().checked_sub(1).filter(|_| self.is_away());
        let kept_out = |index, gap: &Gap| !gap.opening || open == Some(index) && now - gap.since > LONGEST_OF_A_CLIENT;
        let mut gaps = self.gaps.iter().enumerate().take(last).skip(after);
        gaps.any(|(index, gap)| gap.cause == Cause::Ours && !gap.empty && kept_out(index, gap))
    }

    /// Whether a process died in one of those gaps: none of them is ever known to be empty.
    pub(super) fn died_between(&self, after: usize, last: usize) -> bool {
        self.gaps.iter().take(last).skip(after).any(|gap| gap.hides)
    }

    /// The provider's chain shows that no item fell into the gaps after the first `known`: what was placed now stands right
    /// behind what was heard then.
    pub(super) fn gaps_are_empty_since(&mut self, known: usize) {
        for gap in self.gaps.iter_mut().skip(known) {
            gap.empty = !gap.hides;
        }
    }

    /// A call was opened; our sideband is not in it yet.
    pub(super) fn call_opened(&mut self, cause: Cause, now: Duration) {
        self.deaf = false;
        self.sideband = Sideband::Away;
        self.gaps.push(Gap { cause, since: now, opening: true, empty: false, hides: false });
    }

    /// A process before us was in the call.
    pub(super) fn taken_over(&mut self) {
        self.sideband = Sideband::Away;
        self.gaps.push(Gap { cause: Cause::Ours, since: Duration::ZERO, opening: false, empty: false, hides: true });
    }

    pub(super) fn call_over(&mut self) {
        self.sideband = Sideband::NoCall;
    }

    /// True when it was up.
    pub(super) fn lost(&mut self, cause: Cause, now: Duration) -> bool {
        let was_up = self.is_up();
        if was_up {
            self.sideband = Sideband::Away;
            self.gaps.push(Gap { cause, since: now, opening: false, empty: false, hides: false });
        }
        was_up
    }

    pub(super) fn back(&mut self, now: Duration) {
        self.outlasts_client(now);
        self.deaf = false;
        self.sideband = Sideband::Up { since: now };
    }

    /// A gap that a client made by an offer, and that is open for longer than the client can answer for, is ours.
    pub(super) fn outlasts_client(&mut self, now: Duration) {
        if self.is_away()
            && let Some(gap) = self.gaps.last_mut().filter(|gap| gap.opening)
            && now - gap.since > LONGEST_OF_A_CLIENT
        {
            gap.cause = Cause::Ours;
        }
    }
}
