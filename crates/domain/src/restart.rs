//! Decides when a crashed child is started again, with the terms and the arithmetic of Erlang/OTP's `supervisor`: at most
//! `intensity` restarts within a period, counted in whole seconds.

use std::collections::VecDeque;

/// Restart a child that ended…
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// …however it ended.
    Permanent,
    /// …only when it failed.
    Transient,
    /// …never.
    Temporary,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, in order, or because it was told to.
    Normally,
    /// It panicked, returned an error or could not start.
    Abnormally,
}

impl Restart {
    pub fn wants(self, ended: Ended) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => ended == Ended::Abnormally,
            Self::Temporary => false,
        }
    }
}

/// At most `restarts` within `period_s` seconds.
#[derive(Clone, Copy, Debug)]
pub struct Intensity {
    pub restarts: usize,
    pub period_s: u64,
}

/// The restarts of one child that still count.
#[derive(Debug, Default)]
pub struct History {
    at_s: VecDeque<u64>,
}

impl History {
    /// Count a restart at `now_s` (whole monotonic seconds). False: too many, give up.
    ///
    /// As `supervisor:add_restart/1`: keep those with `at >= now - period`, add this one,
    /// refuse when more than `restarts` are left.
    pub fn admit(&mut self, now_s: u64, limit: Intensity) -> bool {
        let oldest = now_s.saturating_sub(limit.period_s);
        self.at_s.retain(|at| *at >= oldest);
        self.at_s.push_back(now_s);
        self.at_s.len() <= limit.restarts
    }

    /// Restarts that still count.
    pub fn recent(&self) -> usize {
        self.at_s.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_of_the_period_still_counts_as_in_otp() {
        let limit = Intensity { restarts: 1, period_s: 5 };
        let mut history = History::default();
        assert!(history.admit(0, limit));
        assert!(!history.admit(5, limit), "5 s later is inside an OTP period of 5");
        let mut history = History::default();
        assert!(history.admit(0, limit));
        assert!(history.admit(6, limit));
    }

    #[test]
    fn intensity_zero_never_restarts() {
        assert!(!History::default().admit(1, Intensity { restarts: 0, period_s: 60 }));
    }

    #[test]
    fn a_transient_child_that_ends_normally_stays_ended() {
        assert!(!Restart::Transient.wants(Ended::Normally));
        assert!(Restart::Transient.wants(Ended::Abnormally));
        assert!(Restart::Permanent.wants(Ended::Normally));
        assert!(!Restart::Temporary.wants(Ended::Abnormally));
    }
}
