//! A list of candidates that a company brings along: each row is made, changed, left alone or refused by itself.
//!
//! The same file twice changes nothing: a row is known by its external id, or else by its e-mail address.

use crate::candidate::{CandidateDraft, MOST_TAGS, RawCandidate};
use crate::edge::{FieldError, Text};
use crate::ids::CandidateId;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::HashMap;

pub const MOST_ROWS: usize = 5_000;
const MOST_COLUMNS: usize = 100;

/// Where the fields stand, by the first line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    name: usize,
    email: usize,
    external_id: Option<usize>,
    tags: Option<usize>,
    /// Names that mean nothing to us.
    pub ignored: Vec<String>,
}

impl Columns {
    /// Or why the file cannot be read.
    pub fn of<'a>(header: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut found = [None; 4];
        let mut ignored = Vec::new();
        for (at, title) in header.into_iter().take(MOST_COLUMNS).enumerate() {
            let title = title.trim();
            let plain: String = title.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
            let which = match plain.as_str() {
                "name" | "fullname" | "candidate" => 0,
                "email" | "emailaddress" | "mail" => 1,
                "externalid" | "id" => 2,
                "tags" | "tag" => 3,
                _ => {
                    let shown = Text::bounded(title, 60).into_string();
                    ignored.extend((!shown.is_empty()).then_some(shown));
                    continue;
                }
            };
            if found[which].replace(at).is_some() {
                return Err(format!("the column {} is there twice", ["name", "email", "external_id", "tags"][which]));
            }
        }
        match found {
            [Some(name), Some(email), external_id, tags] => Ok(Self { name, email, external_id, tags, ignored }),
            _ => Err("the first line must name the columns: name and email, and if you like external_id and tags".to_owned()),
        }
    }

    /// One row, with the line of the file on which it begins.
    pub fn read(&self, line: u64, cells: &[&str]) -> ImportRow {
        let cell = |at: usize| cells.get(at).copied().unwrap_or_default();
        let tags = self.tags.map(cell).unwrap_or_default();
        let raw = RawCandidate {
            name: cell(self.name).to_owned(),
            email: cell(self.email).to_owned(),
            external_id: self.external_id.map(|at| cell(at).to_owned()),
            tags: tags.split([';', '|', ',']).map(str::to_owned).collect(),
        };
        ImportRow { line, draft: CandidateDraft::check(&raw) }
    }
}

#[derive(Clone, Debug)]
pub struct ImportRow {
    pub line: u64,
    pub draft: Result<CandidateDraft, Vec<FieldError>>,
}

/// What is wrong with one field of one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowError {
    pub line: u64,
    #[serde(flatten)]
    pub error: FieldError,
}

impl RowError {
    pub fn new(line: u64, field: &'static str, message: impl Into<String>) -> Self {
        Self { line, error: FieldError { field: Cow::Borrowed(field), message: message.into() } }
    }
}

/// A candidate who is there already and may be meant.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: CandidateId,
    pub name: String,
    pub email: String,
    pub external_id: Option<String>,
    pub tags: Vec<String>,
    pub archived: bool,
    pub version: i32,
}

/// What is to be done. Rows that change nothing are only counted.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub create: Vec<(u64, CandidateDraft)>,
    pub update: Vec<Update>,
    pub unchanged: usize,
    pub errors: Vec<RowError>,
    /// Rows that have errors: each may have several.
    pub refused: usize,
}

#[derive(Clone, Debug)]
pub struct Update {
    pub line: u64,
    pub id: CandidateId,
    pub version: i32,
    pub to: CandidateDraft,
}

/// Row by row; a later row that repeats an earlier one's external id or address, or means the same candidate, is refused.
pub fn plan(rows: Vec<ImportRow>, known: &[Known]) -> Plan {
    let mut plan = Plan::default();
    let mut by_external: HashMap<&str, &Known> = HashMap::new();
    let mut by_email: HashMap<String, Vec<&Known>> = HashMap::new();
    for one in known {
        by_external.extend(one.external_id.as_deref().map(|id| (id, one)));
        by_email.entry(one.email.to_lowercase()).or_default().push(one);
    }
    let (mut ids, mut emails) = (Lines::new(), Lines::new());
    let mut lines_of: HashMap<CandidateId, u64> = HashMap::new();
    for ImportRow { line, draft } in rows {
        let outcome =
            draft.map_err(|errors| errors.into_iter().map(|error| RowError { line, error }).collect()).and_then(|draft| {
                repeated(line, &draft, &mut ids, &mut emails)?;
                let with_email = by_email.get(&draft.email.key()).map_or(&[][..], Vec::as_slice);
                let meant =
                    meant(line, &draft, draft.external_id.as_deref().and_then(|id| by_external.get(id).copied()), with_email)?;
                if let Some(first) = meant.and_then(|known| lines_of.insert(known.id, line)) {
                    return Err(vec![RowError::new(line, "email", format!("is the same candidate as on line {first}"))]);
                }
                Ok((draft, meant))
            });
        match outcome {
            Err(errors) => {
                plan.refused += 1;
                plan.errors.extend::<Vec<RowError>>(errors);
            }
            Ok((draft, None)) => plan.create.push((line, draft)),
            Ok((draft, Some(known))) => match changed(draft, known) {
                None => plan.unchanged += 1,
                Some(to) if to.tags.len() > MOST_TAGS => {
                    plan.refused += 1;
                    plan.errors.push(RowError::new(line, "tags", format!("with those that they have: at most {MOST_TAGS}")));
                }
                Some(to) => plan.update.push(Update { line, id: known.id, version: known.version, to }),
            },
        }
    }
    plan
}

type Lines = HashMap<String, u64>;

fn repeated(line: u64, draft: &CandidateDraft, ids: &mut Lines, emails: &mut Lines) -> Result<(), Vec<RowError>> {
    let mut errors = Vec::new();
    if let Some(id) = draft.external_id.as_deref()
        && let Some(first) = ids.insert(id.to_owned(), line)
    {
        errors.push(RowError::new(line, "external_id", format!("is the same as on line {first}")));
    }
    if let Some(first) = emails.insert(draft.email.key(), line) {
        errors.push(RowError::new(line, "email", format!("is the same as on line {first}")));
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Who is meant by a row, if they are there.
fn meant<'a>(
    line: u64,
    draft: &CandidateDraft,
    by_external: Option<&'a Known>,
    with_email: &[&'a Known],
) -> Result<Option<&'a Known>, Vec<RowError>> {
    let refused = |field, message: String| Err(vec![RowError::new(line, field, message)]);
    let here: Vec<&Known> = with_email.iter().copied().filter(|one| !one.archived).collect();
    let found = match (by_external, &draft.external_id) {
        (Some(known), _) if here.iter().any(|one| one.id != known.id) => {
            return refused("email", "another candidate has this address".to_owned());
        }
        (Some(known), _) => Some(known),
        (None, Some(_)) => match here.as_slice() {
            [] => None,
            [one] if one.external_id.is_none() => Some(*one),
            [one] => {
                let other = one.external_id.as_deref().unwrap_or_default();
                return refused("email", format!("a candidate with the external id {other} has this address"));
            }
            _ => return refused("email", "several candidates have this address; merge them first".to_owned()),
        },
        (None, None) => match here.as_slice() {
            [] => with_email.first().copied(),
            [one] => Some(*one),
            _ => return refused("email", "several candidates have this address; name the external id".to_owned()),
        },
    };
    match found {
        Some(known) if known.archived => {
            let field = if by_external.is_some() { "external_id" } else { "email" };
            refused(field, "this candidate is archived; restore them first".to_owned())
        }
        found => Ok(found),
    }
}

/// What the known one becomes; None when that is what they are. An empty cell takes nothing away, tags are added.
fn changed(draft: CandidateDraft, known: &Known) -> Option<CandidateDraft> {
    let mut tags: Vec<Text> = known.tags.iter().map(|tag| Text::from(tag.as_str())).collect();
    let before = tags.len();
    for tag in draft.tags {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let external_id = draft.external_id.or_else(|| known.external_id.as_deref().map(Text::from));
    let same = draft.name == known.name.as_str()
        && draft.email.as_str() == known.email
        && external_id.as_deref() == known.external_id.as_deref()
        && tags.len() == before;
    (!same).then_some(CandidateDraft { external_id, tags, ..draft })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn known(n: u128, email: &str, external_id: Option<&str>) -> Known {
        Known {
            id: CandidateId(Uuid::from_u128(n)),
            name: format!("N{n}"),
            email: email.to_owned(),
            external_id: external_id.map(str::to_owned),
            tags: vec!["old".to_owned()],
            archived: false,
            version: 1,
        }
    }

    fn import(rows: &[[&str; 4]], known: &[Known]) -> Plan {
        let columns = Columns::of(["Name", "E-Mail", "External ID", "tags"]).expect("a header");
        plan(rows.iter().enumerate().map(|(at, row)| columns.read(at as u64 + 2, row)).collect(), known)
    }

    fn errors(plan: &Plan) -> Vec<(u64, &str)> {
        plan.errors.iter().map(|error| (error.line, error.error.field.as_ref())).collect()
    }

    #[test]
    fn the_first_line_names_the_columns_in_any_order_and_spelling() {
        let columns = Columns::of(["EMAIL", "phone", " full name "]).expect("enough");
        assert_eq!((columns.name, columns.email, columns.ignored.as_slice()), (2, 0, &["phone".to_owned()][..]));
        assert!(Columns::of(["Amara", "amara@demo.test"]).is_err());
        assert!(Columns::of(["name", "email", "Email address"]).is_err());
    }

    #[test]
    fn a_row_is_known_by_its_external_id_or_else_by_its_address() {
        let here = [known(1, "a@x.test", Some("A")), known(2, "b@x.test", None)];
        let plan = import(
            &[
                ["N1", "a@x.test", "A", ""],
                ["N2", "B@x.test", "B", "new"],
                ["New", "c@x.test", "", ""],
                ["New too", "d@x.test", "D", ""],
            ],
            &here,
        );
        assert_eq!((plan.unchanged, plan.update.len(), plan.create.len(), plan.refused), (1, 1, 2, 0), "{plan:?}");
        let update = &plan.update[0];
        assert_eq!((update.id, update.to.external_id.as_deref(), update.to.tags.len()), (here[1].id, Some("B"), 2));
    }

    #[test]
    fn the_same_file_again_changes_nothing() {
        let rows = [["N1", "a@x.test", "A", "old"], ["N2", "b@x.test", "", ""]];
        let first = import(&rows, &[]);
        assert_eq!(first.create.len(), 2);
        let again = import(&rows, &[known(1, "a@x.test", Some("A")), known(2, "b@x.test", None)]);
        assert_eq!((again.unchanged, again.create.len() + again.update.len() + again.refused), (2, 0), "{again:?}");
    }

    /// One is found by the external id, the other by the address that the first row takes away.
    #[test]
    fn two_rows_that_mean_one_candidate_are_not_both_written() {
        let here = [known(1, "a@x.test", Some("A"))];
        let plan = import(&[["New name", "new@x.test", "A", ""], ["Other name", "a@x.test", "", ""]], &here);
        assert_eq!((plan.update.len(), plan.create.len(), errors(&plan)), (1, 0, vec![(3, "email")]), "{plan:?}");
        assert_eq!(plan.errors[0].error.message, "is the same candidate as on line 2");
    }

    #[test]
    fn tags_that_do_not_fit_are_refused_and_not_left_out() {
        let tags: Vec<String> = (0..MOST_TAGS).map(|n| format!("t{n}")).collect();
        let plan = import(&[["N1", "a@x.test", "", &tags.join("|")]], &[known(1, "a@x.test", None)]);
        assert_eq!((plan.update.len(), plan.refused, errors(&plan)), (0, 1, vec![(2, "tags")]), "{plan:?}");
        let plan = import(&[["N1", "a@x.test", "", &tags[1..].join("|")]], &[known(1, "a@x.test", None)]);
        assert_eq!(plan.update[0].to.tags.len(), MOST_TAGS);
    }

    #[test]
    fn each_bad_row_is_refused_by_itself_with_its_line_and_field() {
        let archived = Known { archived: true, ..known(9, "z@x.test", Some("Z")) };
        let here = [known(1, "a@x.test", Some("A")), known(2, "b@x.test", None), known(3, "b@x.test", None), archived];
        let plan = import(
            &[
                ["", "nobody", "", ""],
                ["=cmd|' /C calc'!A0", "f@x.test", "", ""],
                ["N\0", "g@x.test", "", ""],
                ["Other", "a@x.test", "B", ""],
                ["Twice", "b@x.test", "", ""],
                ["Gone", "z@x.test", "", ""],
                ["Good", "h@x.test", "H", ""],
                ["Same", "H@x.test", "H", ""],
                ["Short", "", "", ""],
            ],
            &here,
        );
        let told = [
            (2, "name"),
            (2, "email"),
            (3, "name"),
            (4, "name"),
            (5, "email"),
            (6, "email"),
            (7, "email"),
            (9, "external_id"),
            (9, "email"),
            (10, "email"),
        ];
        assert_eq!(errors(&plan), told);
        assert_eq!((plan.create.len(), plan.refused), (1, 8));
    }
}
