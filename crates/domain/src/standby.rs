//! Standby machines: how many must wait, and what each of them needs next.

use std::time::Duration;

/// How many may wait in one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub min: u32,
    pub max: u32,
}

/// How many should wait, for a region whose busiest minute of late brought `peak` sessions.
///
/// Fly makes about one machine a second, so what a minute takes the next minute brings back;
/// half as much again is for a minute that is busier than any before.
pub fn target(peak: u32, size: Size) -> u32 {
    peak.saturating_add(peak.div_ceil(2)).clamp(size.min.min(size.max), size.max)
}

/// What brings a pool to its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    pub make: u32,
    pub release: u32,
}

/// Those that are being made count: else each pass would ask for them again.
pub fn balance(provisioning: u32, ready: u32, target: u32) -> Balance {
    let have = provisioning.saturating_add(ready);
    Balance { make: target.saturating_sub(have), release: have.saturating_sub(target) }
}

macro_rules! states {
    ($($name:ident = $text:literal,)*) => {
        /// Of a machine's row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum State { $($name,)* }

        impl State {
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            pub fn named(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

states! {
    Provisioning = "provisioning",
    Ready = "ready",
    Claimed = "claimed",
    Contaminated = "contaminated",
}

/// A machine of a pool, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub state: State,
    pub made: bool,
    pub labelled: bool,
    /// Since it came into this state, or, if that is later, was made.
    pub in_state: Duration,
}

/// What is to be done for a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Make,
    Check,
    /// Tell Fly whose it is.
    Label,
    Destroy,
    /// There is nothing but its row.
    Forget,
    Rest,
}

impl Stored {
    pub fn next(&self) -> Step {
        match (self.state, self.made) {
            (State::Provisioning, false) => Step::Make,
            (State::Provisioning | State::Ready, _) => Step::Check,
            (State::Claimed, _) if self.labelled => Step::Rest,
            (State::Claimed, _) => Step::Label,
            (State::Contaminated, true) => Step::Destroy,
            (State::Contaminated, false) => Step::Forget,
        }
    }

    /// What follows from a look at a waiting machine.
    pub fn judge(&self, seen: Seen, start_within: Duration) -> State {
        match seen {
            Seen::Answers => State::Ready,
            // It was ready, and its machine may be starting it again: it gets the time of a start.
            Seen::Silent if self.state == State::Ready || self.in_state < start_within => State::Provisioning,
            Seen::Silent | Seen::Lost => State::Contaminated,
        }
    }
}

/// A waiting machine, as the private network and Fly tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Answers,
    Silent,
    /// It is silent, and Fly says that it is not coming back.
    Lost,
}

/// The name of a pool's machine: unique in its app.
pub fn standby_name(id: impl std::fmt::Display) -> String {
    format!("{PREFIX}{id}")
}

/// Whose row it is, by a machine's name.
pub fn standby_row(name: &str) -> Option<crate::ids::StandbyId> {
    let id: crate::ids::StandbyId = name.strip_prefix(PREFIX)?.parse().ok()?;
    (standby_name(id) == name).then_some(id)
}

const PREFIX: &str = "standby-";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StandbyId;
    use proptest::prelude::*;
    use uuid::Uuid;

    const START: Duration = Duration::from_mins(1);

    fn stored(state: State, made: bool, in_state_s: u64) -> Stored {
        Stored { state, made, labelled: false, in_state: Duration::from_secs(in_state_s) }
    }

    proptest! {
        #[test]
        fn a_target_stays_in_its_bounds_and_rises_with_the_demand(peak in 0u32..10_000, more in 0u32..100, min in 0u32..50, max in 0u32..500) {
            let size = Size { min, max };
            let (few, many) = (target(peak, size), target(peak + more, size));
            prop_assert!(few <= max && few >= min.min(max) && few <= many);
        }

        #[test]
        fn a_balance_reaches_the_target_and_never_makes_and_releases(provisioning in 0u32..200, ready in 0u32..200, target in 0u32..200) {
            let change = balance(provisioning, ready, target);
            prop_assert_eq!(provisioning + ready + change.make - change.release, target);
            prop_assert!(change.make == 0 || change.release == 0);
        }
    }

    #[test]
    fn zero_is_allowed_and_wins() {
        assert_eq!(target(500, Size { min: 0, max: 0 }), 0);
        assert_eq!(target(500, Size { min: 5, max: 0 }), 0);
        assert_eq!(target(0, Size { min: 2, max: 10 }), 2);
        assert_eq!(target(4, Size { min: 0, max: 10 }), 6);
    }

    #[test]
    fn each_state_has_one_next_step() {
        for (state, made, step) in [
            (State::Provisioning, false, Step::Make),
            (State::Provisioning, true, Step::Check),
            (State::Ready, true, Step::Check),
            (State::Claimed, true, Step::Label),
            (State::Contaminated, true, Step::Destroy),
            (State::Contaminated, false, Step::Forget),
        ] {
            assert_eq!(stored(state, made, 0).next(), step, "{state:?} {made}");
        }
        assert_eq!(Stored { labelled: true, ..stored(State::Claimed, true, 0) }.next(), Step::Rest);
    }

    #[test]
    fn a_silent_machine_gets_the_time_of_a_start_and_a_lost_one_none() {
        let (new, old) = (stored(State::Provisioning, true, 5), stored(State::Provisioning, true, 61));
        assert_eq!(new.judge(Seen::Silent, START), State::Provisioning);
        assert_eq!(old.judge(Seen::Silent, START), State::Contaminated);
        assert_eq!(old.judge(Seen::Answers, START), State::Ready);
        let waited_long = stored(State::Ready, true, 9_999);
        assert_eq!(waited_long.judge(Seen::Silent, START), State::Provisioning);
        assert_eq!(waited_long.judge(Seen::Lost, START), State::Contaminated);
    }

    #[test]
    fn a_name_leads_to_its_row_and_no_other_name_does() {
        let id = StandbyId(Uuid::now_v7());
        assert_eq!(standby_row(&standby_name(id)), Some(id));
        for name in
            ["standby-", "standby-x", &format!("s-{id}"), &format!("standby-{id}-2"), &format!("standby-{}", id.0.simple())]
        {
            assert_eq!(standby_row(name), None, "{name}");
        }
    }
}
