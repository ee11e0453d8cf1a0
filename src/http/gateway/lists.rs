//! Lists of a company's things: filters, and cursors that stay in place while others add rows.

use super::view::{Page, limit};
use crate::http::problem::ApiError;
use crate::integrations::store::gateway::{ListFilter, ListKey};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

const MAX_LIMIT: i64 = 200;
/// Of a request without a limit, as pages made before there were limits send it.
const DEFAULT_LIMIT: i64 = 1_000;
const MAX_WORDS: usize = 10;
const MAX_CHARS: usize = 200;

#[derive(Debug, Default, Deserialize)]
pub(super) struct ListQuery {
    limit: Option<i64>,
    cursor: Option<String>,
    q: Option<String>,
    sort: Option<String>,
    state: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) email: Option<String>,
}

#[derive(Serialize, Deserialize)]
enum Cursor {
    #[serde(rename = "n")]
    Name(String, Uuid),
    /// Microseconds.
    #[serde(rename = "t")]
    Time(i64, Uuid),
}

impl ListQuery {
    /// For a list that is always whole and the newest first: only where a page begins and ends is asked for.
    pub(super) fn newest_of_all(self) -> Self {
        let (sort, state) = (Some("-created_at".to_owned()), Some("all".to_owned()));
        Self { limit: self.limit, cursor: self.cursor, sort, state, ..Self::default() }
    }

    pub(super) fn filter(&self) -> Result<ListFilter, ApiError> {
        let limit = limit(self.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
        let newest_first = match self.sort.as_deref() {
            None | Some("name") => false,
            Some("-created_at") => true,
            Some(_) => return Err(ApiError::invalid("sort: name or -created_at")),
        };
        let archived = match self.state.as_deref() {
            None | Some("active") => Some(false),
            Some("archived") => Some(true),
            Some("all") => None,
            Some(_) => return Err(ApiError::invalid("state: active, archived or all")),
        };
        for (name, value) in [("q", &self.q), ("tag", &self.tag), ("email", &self.email)] {
            if value.as_deref().is_some_and(|text| !is_plain(text)) {
                return Err(ApiError::invalid(format!("{name}: at most {MAX_CHARS} characters, without control characters")));
            }
        }
        let words: Vec<String> = self.q.as_deref().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        if words.len() > MAX_WORDS {
            return Err(ApiError::invalid(format!("q: at most {MAX_WORDS} words")));
        }
        let after = self.cursor.as_deref().map(|cursor| read_cursor(cursor, newest_first)).transpose()?;
        // One more than asked for tells whether there is another page.
        Ok(ListFilter { archived, words, newest_first, after, limit: limit + 1 })
    }
}

fn is_plain(text: &str) -> bool {
    text.chars().count() <= MAX_CHARS && !text.contains(char::is_control)
}

/// The rows of a page, and where the next one goes on.
pub(super) fn page<R, V>(
    filter: &ListFilter,
    rows: Vec<R>,
    key: impl Fn(&R) -> (&str, OffsetDateTime, Uuid),
    view: impl Fn(R) -> V,
) -> Page<V> {
    let cursor = |row: &R| {
        let (name, at, id) = key(row);
        write_cursor(&if filter.newest_first { ListKey::Time(at, id) } else { ListKey::Name(name.to_owned(), id) })
    };
    Page::of(rows, filter.limit - 1, cursor, view)
}

fn write_cursor(key: &ListKey) -> String {
    let cursor = match key {
        ListKey::Name(name, id) => Cursor::Name(name.clone(), *id),
        ListKey::Time(at, id) => Cursor::Time(i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX), *id),
    };
    BASE64URL_NOPAD.encode(serde_json::to_string(&cursor).unwrap_or_default().as_bytes())
}

fn read_cursor(text: &str, newest_first: bool) -> Result<ListKey, ApiError> {
    let key = || {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        match (serde_json::from_slice(&bytes).ok()?, newest_first) {
            (Cursor::Name(name, id), false) if !name.contains('\0') => Some(ListKey::Name(name, id)),
            (Cursor::Time(micros, id), true) => {
                let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).ok();
                // What the database can hold, whoever made it up.
                Some(ListKey::Time(at.filter(|at| (1..=9_999).contains(&at.year()))?, id))
            }
            _ => None,
        }
    };
    key().ok_or_else(|| ApiError::invalid("cursor: take it from next_cursor of a list in the same order"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn query(change: impl FnOnce(&mut ListQuery)) -> Result<ListFilter, ApiError> {
        let mut query = ListQuery::default();
        change(&mut query);
        query.filter()
    }

    #[test]
    fn a_cursor_comes_back_as_it_was_in_its_own_order_only() {
        let name = ListKey::Name("okafor, \"a\" é".to_owned(), Uuid::now_v7());
        let time = ListKey::Time(datetime!(2026-11-23 10:11:12.123456 UTC), Uuid::now_v7());
        assert_eq!(read_cursor(&write_cursor(&name), false).expect("our own"), name);
        assert_eq!(read_cursor(&write_cursor(&time), true).expect("our own"), time);
        assert!(read_cursor(&write_cursor(&name), true).is_err());
        let far = BASE64URL_NOPAD.encode(format!("{{\"t\":[{},\"{}\"]}}", i64::MAX, Uuid::nil()).as_bytes());
        let nul = BASE64URL_NOPAD.encode(format!("{{\"n\":[\"\\u0000\",\"{}\"]}}", Uuid::nil()).as_bytes());
        for odd in ["", "x", "AAAA", &far, &nul] {
            assert!(read_cursor(odd, true).is_err() && read_cursor(odd, false).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_a_list_is_asked_is_bounded() {
        assert_eq!(query(|_| {}).expect("fine").limit, DEFAULT_LIMIT + 1);
        assert_eq!(query(|query| query.q = Some(" a  b ".into())).expect("fine").words, ["a", "b"]);
        assert!(query(|query| query.limit = Some(0)).is_err());
        assert!(query(|query| query.limit = Some(201)).is_err());
        assert!(query(|query| query.q = Some("a\0".into())).is_err());
        assert!(query(|query| query.q = Some("x".repeat(201))).is_err());
        assert!(query(|query| query.q = Some("x ".repeat(11))).is_err());
        assert!(query(|query| query.tag = Some("\u{7}".into())).is_err());
        assert!(query(|query| query.sort = Some("email".into())).is_err());
        assert!(query(|query| query.state = Some("gone".into())).is_err());
    }

    #[test]
    fn the_last_page_names_no_next_one() {
        let filter = query(|query| query.limit = Some(2)).expect("fine");
        let all =
            |rows: Vec<u128>| page(&filter, rows, |row| ("n", OffsetDateTime::UNIX_EPOCH, Uuid::from_u128(*row)), |row| row);
        assert!(all(vec![1, 2]).next_cursor.is_none());
        let first = all(vec![1, 2, 3]);
        assert_eq!(first.items, [1, 2]);
        let key = read_cursor(&first.next_cursor.expect("there is more"), false).expect("our own");
        assert_eq!(key, ListKey::Name("n".to_owned(), Uuid::from_u128(2)));
    }
}
