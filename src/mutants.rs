//! Bugs that are planted for the simulation to find (docs/SIMULATION.md).
//!
//! Without the feature `mutants`, which nothing that ships turns on, there is no such bug: the
//! question whether one is planted is the constant `false`.

macro_rules! mutants {
    ($($name:ident,)+) => {
        #[cfg(feature = "mutants")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant { $($name,)+ }

        #[cfg(feature = "mutants")]
        impl Mutant {
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
        }
    };
}

mutants! {
    AckBeforeCommit,
    MarkBeforeCommit,
    RevisionNotRaised,
    AckPassesGap,
    MarkVouchesForOtherPages,
    NoReplayOnResume,
    LostReceipt,
    OutboxClearedOnCrash,
    NoRetryOfStoring,
    PoisonBlocksAll,
    WrongOrderKey,
    RestartForgetsCall,
    CallForgottenTooSoon,
    ControlNotRevived,
    GreetAgain,
    NoGapAfterRootCrash,
    PlacesLostAtShutdown,
    TimeLimitNotArmed,
    OfferLostWithControl,
    DeadLineUnnoticed,
    DoorLeftOpen,
    RefusalBlocksOrder,
    ClientGapsCount,
    TextNotCleaned,
    TimesNotClamped,
    WordsBeforeCall,
    NotesCount,
    TypedItemsCount,
    TailWithoutDoubt,
    EmptyFinalWins,
    ForeignDoingsIgnored,
    SecondIntrusionIgnored,
    OldCallLetGoFirst,
    OldLineNotHeardOn,
    CopyDroppedAtStop,
    FadingCallForgotten,
}

#[cfg(feature = "mutants")]
thread_local! {
    /// For what has no journal: the simulation runs all of an interview in one thread.
    pub static HERE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Whether this bug is planted in this thread.
macro_rules! planted_here {
    ($name:ident) => {{
        #[cfg(feature = "mutants")]
        {
            $crate::mutants::HERE.get() == Some($crate::mutants::Mutant::$name)
        }
        #[cfg(not(feature = "mutants"))]
        {
            false
        }
    }};
}
pub(crate) use planted_here;

/// Whether this bug is planted; the journal knows.
macro_rules! planted {
    ($journal:expr, $name:ident) => {{
        #[cfg(feature = "mutants")]
        {
            $journal.mutant() == Some($crate::mutants::Mutant::$name)
        }
        #[cfg(not(feature = "mutants"))]
        {
            false
        }
    }};
}
pub(crate) use planted;
