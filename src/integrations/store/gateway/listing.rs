//! What all lists of a company's things have in common: a search, a place to go on from, a length.

use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

pub(super) const LAST: OffsetDateTime = datetime!(9999-12-31 00:00 UTC);

/// Which rows of a list, and in which order: by name, or the newest first.
#[derive(Clone, Debug)]
pub struct ListFilter {
    /// None: both.
    pub archived: Option<bool>,
    /// Each must be found, in any order.
    pub words: Vec<String>,
    pub newest_first: bool,
    /// The last row of the page before.
    pub after: Option<ListKey>,
    pub limit: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ListKey {
    Name(String, Uuid),
    Time(OffsetDateTime, Uuid),
}

impl ListFilter {
    /// For `like all`.
    pub(super) fn patterns(&self) -> Vec<String> {
        self.words.iter().map(|word| format!("%{}%", like_literal(&word.to_lowercase()))).collect()
    }

    /// Before every row where no page came before, so that the index is asked for a range in any case.
    pub(super) fn after_name(&self) -> (String, Uuid) {
        match &self.after {
            Some(ListKey::Name(name, id)) => (name.clone(), *id),
            _ => (String::new(), Uuid::nil()),
        }
    }

    pub(super) fn after_time(&self) -> (OffsetDateTime, Uuid) {
        match &self.after {
            Some(ListKey::Time(at, id)) => (*at, *id),
            _ => (LAST, Uuid::max()),
        }
    }
}

/// As it stands, whatever `like` makes of it.
pub(super) fn like_literal(text: &str) -> String {
    text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_searched_word_means_itself() {
        let words = vec!["Okafor".to_owned(), r"100%_\".to_owned()];
        let filter = ListFilter { archived: None, words, newest_first: false, after: None, limit: 1 };
        assert_eq!(filter.patterns(), ["%okafor%", r"%100\%\_\\%"]);
    }
}
