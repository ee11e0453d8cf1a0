//! Planted bugs: a simulation that does not find them proves nothing.

/// One bug at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    // In the database: what its rules are for.
    NoFencing,
    NoUniqueKey,
    OlderRevisionOverwrites,
    /// The provider is not really told.
    NoHangUp,
}
