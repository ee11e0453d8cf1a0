//! A bounded memory: whoever tells without end is remembered as far as it matters.

use std::collections::VecDeque;

/// The latest few of something, each once.
#[derive(Debug)]
pub struct Recent<T, const KEPT: usize = 64>(VecDeque<T>);

impl<T, const KEPT: usize> Default for Recent<T, KEPT> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: PartialEq, const KEPT: usize> Recent<T, KEPT> {
    /// False: it was known.
    pub fn insert(&mut self, value: T) -> bool {
        if self.contains(&value) {
            return false;
        }
        self.0.push_back(value);
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
        true
    }

    pub fn remember(&mut self, value: T) {
        self.insert(value);
    }

    pub fn contains(&self, value: &T) -> bool {
        self.0.contains(value)
    }

    /// At most `KEPT`.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
