//! Planted bugs: a simulation that does not find them proves nothing.
//!
//! Some are in the models, where they take away what the real database or provider is trusted
//! for; the others are in the runtime itself and exist only with the feature `mutants`.

/// One bug at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    NoFencing,
    NoUniqueKey,
    NoHangUp,
    #[cfg(feature = "mutants")]
    Planted(interview_runtime::mutants::Mutant),
}

impl Mutant {
    pub fn all() -> Vec<Self> {
        #[allow(unused_mut)]
        let mut all = vec![Self::NoFencing, Self::NoUniqueKey, Self::NoHangUp];
        #[cfg(feature = "mutants")]
        all.extend(interview_runtime::mutants::Mutant::ALL.iter().map(|mutant| Self::Planted(*mutant)));
        all
    }

    pub fn name(self) -> String {
        match self {
            #[cfg(feature = "mutants")]
            Self::Planted(mutant) => format!("{mutant:?}"),
            other => format!("{other:?}"),
        }
    }

    /// The bug in the runtime, if it is one there.
    #[cfg(feature = "mutants")]
    pub fn planted(self) -> Option<interview_runtime::mutants::Mutant> {
        match self {
            Self::Planted(mutant) => Some(mutant),
            _ => None,
        }
    }
}
