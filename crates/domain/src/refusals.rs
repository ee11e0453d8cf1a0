//! What prevents storing, and what to do about it.
//!
//! A database that is away refuses everything, and then everything waits, however long it takes. A record that cannot be
//! stored is refused alone, while others are accepted. One failure does not show which of the two it is. So it is tested: with
//! a part of the batch, with a neighbouring record, with an empty batch. A record that is refused alone is set aside. A record
//! that cannot be set aside either is given up, so that it blocks neither the other records nor the end.

/// What one failure says about what was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The database looked at the values and does not take them: it will not change its mind.
    Refused,
    /// We panicked with it in hand.
    Broke,
    /// It may be this record; or the network, a restart, a lock, a full disk, a migration, and then
    /// all others meet it as well.
    Unclear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The same again, at once.
    Again,
    /// The same again, after a pause.
    Wait,
    /// A part of the batch.
    Halve,
    /// See whether others are taken meanwhile: [`Refusals::probed`].
    Probe,
    /// Keep the record where a person finds it, and go on.
    SetAside,
    /// It can be kept nowhere: go on without it.
    GiveUp,
}

/// What the database took while it refused the head of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Nothing,
    /// A unit of work without records: it is there, and takes writes.
    Empty,
    /// A record of the same kind.
    Neighbour,
}

/// How many failures it takes to be sure.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    refused: u32,
    broke: u32,
    /// Of unclear failures each n-th is followed by a probe.
    probe_every: u32,
    /// Probes in which a neighbour was taken.
    neighbours: u32,
    /// Probes in which no more than the empty unit was taken: a table that is locked or migrated
    /// refuses all records of a kind, for a while. About a minute, at the writer's pace.
    empty: u32,
}

impl Patience {
    pub const USUAL: Self = Self { refused: 3, broke: 2, probe_every: 3, neighbours: 5, empty: 60 };
    /// Nobody tries again after us: a record that is set aside is not lost.
    pub const LAST: Self = Self { refused: 1, broke: 1, probe_every: 1, neighbours: 1, empty: 1 };
}

/// What is known about the head of the queue. Whoever stores may crash; this outlives it.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Records of the next batch, at most, while one is looked for.
    at_once: Option<usize>,
    refused: u32,
    broke: u32,
    unclear: u32,
    neighbours: u32,
    empty: u32,
    letters: u32,
    /// All patience was spent on this kind: its next one does not get it again, until one is stored.
    worn: Option<&'static str>,
    set_aside: u64,
    lost: u64,
}

impl Refusals {
    /// Records of the next batch, at most.
    pub fn batch(&self, most: usize) -> usize {
        self.at_once.map_or(most, |size| size.clamp(1, most))
    }

    /// Which of so many neighbours to try next: one of them may be refused itself.
    pub fn turn(&self, neighbours: usize) -> usize {
        (self.neighbours + self.empty) as usize % neighbours.max(1)
    }

    /// Records of these kinds were stored.
    pub fn stored(&mut self, mut kinds: impl Iterator<Item = &'static str>, most: usize) {
        let worn = self.worn.filter(|worn| !kinds.any(|kind| kind == *worn));
        let at_once = self.at_once.map(|size| size * 2).filter(|size| *size < most);
        *self = Self { at_once, worn, ..self.afresh() };
    }

    /// A batch of so many `records` was not stored.
    pub fn failed(&mut self, failure: Failure, records: usize, patience: Patience) -> Step {
        match failure {
            Failure::Refused | Failure::Broke if records > 1 => self.halve(records),
            Failure::Refused => {
                self.refused += 1;
                if self.refused >= patience.refused { Step::SetAside } else { Step::Wait }
            }
            Failure::Broke => {
                self.broke += 1;
                if self.broke >= patience.broke { Step::SetAside } else { Step::Again }
            }
            // That it is refused alone was found already; only its letter was refused too.
            Failure::Unclear if records == 1 && self.letters > 0 => Step::SetAside,
            Failure::Unclear => {
                self.unclear += 1;
                if self.unclear.is_multiple_of(patience.probe_every) { Step::Probe } else { Step::Wait }
            }
        }
    }

    /// What was taken right after a batch of so many `records`, the first of this `kind`, was not.
    pub fn probed(&mut self, taken: Taken, records: usize, kind: &'static str, patience: Patience) -> Step {
        match taken {
            // All meet it, however long it lasts.
            Taken::Nothing => self.wait_for_all(),
            _ if records > 1 => self.halve(records),
            Taken::Neighbour => {
                self.neighbours += 1;
                if self.neighbours >= patience.neighbours { Step::SetAside } else { Step::Wait }
            }
            Taken::Empty => {
                self.empty += 1;
                let enough = if self.worn == Some(kind) { patience.neighbours } else { patience.empty };
                if self.empty < enough {
                    return Step::Wait;
                }
                self.worn = Some(kind);
                Step::SetAside
            }
        }
    }

    /// The record could not be set aside, and right after that the database took the empty unit, or nothing.
    pub fn letter_failed(&mut self, failure: Failure, taken: Taken, patience: Patience) -> Step {
        if taken == Taken::Nothing {
            return self.wait_for_all();
        }
        self.letters += 1;
        let enough = match failure {
            Failure::Refused => patience.refused,
            Failure::Broke => patience.broke,
            Failure::Unclear => patience.empty,
        };
        if self.letters >= enough { Step::GiveUp } else { Step::Wait }
    }

    /// The head is kept elsewhere.
    pub fn was_set_aside(&mut self) {
        *self = Self { set_aside: self.set_aside + 1, ..self.afresh() };
    }

    /// The head is kept nowhere.
    pub fn was_lost(&mut self) {
        *self = Self { lost: self.lost + 1, ..self.afresh() };
    }

    /// Records of this process that were set aside, and that were lost.
    pub fn totals(&self) -> (u64, u64) {
        (self.set_aside, self.lost)
    }

    fn wait_for_all(&mut self) -> Step {
        (self.neighbours, self.empty, self.letters) = (0, 0, 0);
        Step::Wait
    }

    fn halve(&mut self, records: usize) -> Step {
        self.at_once = Some(records / 2);
        Step::Halve
    }

    /// Nothing is known of the next head.
    fn afresh(&self) -> Self {
        Self { at_once: self.at_once, worn: self.worn, set_aside: self.set_aside, lost: self.lost, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "entry";

    /// One try of a single record that fails, and its probe.
    fn fail(refusals: &mut Refusals, failure: Failure, taken: Taken) -> Step {
        match refusals.failed(failure, 1, Patience::USUAL) {
            Step::Probe => refusals.probed(taken, 1, KIND, Patience::USUAL),
            step => step,
        }
    }

    /// Tries until it is set aside.
    fn tries(refusals: &mut Refusals, failure: Failure, taken: Taken) -> usize {
        (1..10_000).find(|_| fail(refusals, failure, taken) == Step::SetAside).expect("it is set aside")
    }

    #[test]
    fn what_is_refused_alone_is_set_aside_and_the_surer_the_sooner() {
        for (failure, taken, expected) in [
            (Failure::Broke, Taken::Nothing, 2),
            (Failure::Refused, Taken::Nothing, 3),
            (Failure::Unclear, Taken::Neighbour, 15),
            (Failure::Unclear, Taken::Empty, 180),
        ] {
            assert_eq!(tries(&mut Refusals::default(), failure, taken), expected, "{failure:?}, {taken:?}");
        }
    }

    #[test]
    fn while_nothing_is_taken_everything_waits_however_long() {
        let mut refusals = Refusals::default();
        for _ in 0..1_000_000 {
            assert_eq!(fail(&mut refusals, Failure::Unclear, Taken::Nothing), Step::Wait);
            assert_eq!(refusals.letter_failed(Failure::Unclear, Taken::Nothing, Patience::USUAL), Step::Wait);
        }
        // And what was seen before an outage does not count after it.
        let mut refusals = Refusals::default();
        for _ in 0..100 {
            for _ in 0..14 {
                assert_eq!(fail(&mut refusals, Failure::Unclear, Taken::Neighbour), Step::Wait);
            }
            fail(&mut refusals, Failure::Unclear, Taken::Nothing);
        }
    }

    #[test]
    fn a_batch_is_halved_only_when_the_database_takes_something_and_grows_again() {
        let mut refusals = Refusals::default();
        for _ in 0..2 {
            assert_eq!(refusals.failed(Failure::Unclear, 8, Patience::USUAL), Step::Wait);
        }
        assert_eq!(refusals.failed(Failure::Unclear, 8, Patience::USUAL), Step::Probe);
        assert_eq!(refusals.probed(Taken::Nothing, 8, KIND, Patience::USUAL), Step::Wait);
        assert_eq!(refusals.batch(8), 8);
        assert_eq!(refusals.probed(Taken::Empty, 8, KIND, Patience::USUAL), Step::Halve);
        assert_eq!(refusals.batch(8), 4);
        assert_eq!(refusals.failed(Failure::Broke, 4, Patience::USUAL), Step::Halve);
        assert_eq!(refusals.batch(8), 2);
        let sizes: Vec<usize> = (0..3)
            .map(|_| {
                refusals.stored([KIND].into_iter(), 8);
                refusals.batch(8)
            })
            .collect();
        assert_eq!(sizes, [4, 8, 8]);
    }

    #[test]
    fn a_kind_that_is_refused_as_a_whole_is_waited_for_once() {
        let mut refusals = Refusals::default();
        assert_eq!(tries(&mut refusals, Failure::Unclear, Taken::Empty), 180);
        refusals.was_set_aside();
        refusals.stored(["phase"].into_iter(), 100);
        assert_eq!(tries(&mut refusals, Failure::Unclear, Taken::Empty), 15);
        refusals.stored([KIND].into_iter(), 100);
        assert_eq!(tries(&mut refusals, Failure::Unclear, Taken::Empty), 180);
    }

    #[test]
    fn what_can_be_set_aside_nowhere_is_given_up() {
        for (failure, expected) in [(Failure::Broke, 2), (Failure::Refused, 3), (Failure::Unclear, 60)] {
            let mut refusals = Refusals::default();
            let tries = (1..1_000)
                .find(|_| refusals.letter_failed(failure, Taken::Empty, Patience::USUAL) == Step::GiveUp)
                .expect("it is given up");
            assert_eq!(tries, expected, "{failure:?}");
            refusals.was_lost();
            assert_eq!((refusals.totals(), refusals.letters), ((0, 1), 0));
        }
    }
}
