//! A CSV file of candidates: read whole, each row by itself. One at a time for a company: its rows are compared with all that are there.

use super::AppState;
use super::candidates::{KIND, external_id_taken};
use super::edit::{Answer, Asked};
use crate::domain::candidate_import::{Columns, ImportRow, MOST_ROWS, Plan, RowError, plan};
use crate::error::ErrorCode;
use crate::http::problem::ApiError;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use csv::{ReaderBuilder, StringRecord};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(super) const MAX_BYTES: usize = 2 * 1024 * 1024;
/// Of what is wrong, so much is told; nobody mends more at once.
const MOST_ERRORS: usize = 1_000;

#[derive(Deserialize)]
pub(super) struct ImportQuery {
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize)]
struct ImportView {
    dry_run: bool,
    /// All of the file; each is in one of the four counts.
    rows: usize,
    created: usize,
    updated: usize,
    unchanged: usize,
    refused: usize,
    errors: Vec<RowError>,
    errors_left_off: usize,
    ignored_columns: Vec<String>,
}

/// `POST /api/candidates/import`
pub(super) async fn import(
    State(state): State<AppState>,
    query: Result<Query<ImportQuery>, QueryRejection>,
    asked: Asked,
) -> Result<Answer, ApiError> {
    let Query(ImportQuery { dry_run }) = query?;
    let _importing = state.limits.importing()?;
    let (turn, body) = (state.checks.turn().await?, asked.body.clone());
    let (columns, rows) = turn
        .run(move || read(&body))
        .await?
        .map_err(|detail| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::ImportInvalid, detail))?;
    let mut change = match asked.begin(&state).await? {
        Ok(change) => change,
        Err(answer) => return Ok(answer),
    };
    let drafts = || rows.iter().filter_map(|row| row.draft.as_ref().ok());
    let external_ids: Vec<String> = drafts().filter_map(|draft| draft.external_id.as_deref().map(str::to_owned)).collect();
    let emails: Vec<String> = drafts().map(|draft| draft.email.key()).collect();
    let known = change.known_candidates(&external_ids, &emails).await?.ok_or_else(|| state.limits.import_runs())?;
    let (count, mut plan) = (rows.len(), turn.run(move || plan(rows, &known)).await?);
    if dry_run {
        return Answer::read(&view(dry_run, count, plan, columns));
    }
    let done = change.import_candidates(&plan.create, &plan.update).await?.map_err(external_id_taken)?;
    change.audit_all("created", KIND, &done.created, json!({"by": "import"})).await?;
    change.audit_all("changed", KIND, &done.updated, json!({"by": "import"})).await?;
    plan.create.retain(|(line, _)| !done.lost.contains(line));
    plan.update.retain(|update| !done.lost.contains(&update.line));
    plan.refused += done.lost.len();
    let lost = |line| RowError::new(line, "external_id", "somebody changed this candidate at the same moment; import it again");
    plan.errors.extend(done.lost.into_iter().map(lost));
    Answer::kept(change, StatusCode::OK, &view(dry_run, count, plan, columns)).await
}

fn view(dry_run: bool, rows: usize, mut plan: Plan, columns: Columns) -> ImportView {
    plan.errors.sort_by_key(|error| error.line);
    let errors_left_off = plan.errors.len().saturating_sub(MOST_ERRORS);
    plan.errors.truncate(MOST_ERRORS);
    ImportView {
        dry_run,
        rows,
        created: plan.create.len(),
        updated: plan.update.len(),
        unchanged: plan.unchanged,
        refused: plan.refused,
        errors: plan.errors,
        errors_left_off,
        ignored_columns: columns.ignored,
    }
}

/// The rows, or why the file cannot be read.
fn read(body: &[u8]) -> Result<(Columns, Vec<ImportRow>), String> {
    let text = std::str::from_utf8(body).map_err(|_| "the file is not UTF-8; save it as “CSV UTF-8”".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let delimiter = delimiter(text);
    if let Some(at) = open_quote(text.as_bytes(), delimiter) {
        let line = Lines::new(text).of(at);
        return Err(format!("line {line}: a quotation mark begins a cell there, and none ends it"));
    }
    let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let columns = Columns::of(reader.headers().map_err(|error| error.to_string())?)?;
    let (mut rows, mut lines) = (Vec::new(), Lines::new(text));
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| error.to_string())? {
        // What a spreadsheet leaves below its table.
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if rows.len() == MOST_ROWS {
            return Err(format!("the file has more than {MOST_ROWS} rows; import it in parts"));
        }
        let cells: Vec<&str> = record.iter().collect();
        let begins = record.position().map_or(0, csv::Position::byte);
        rows.push(columns.read(lines.of(usize::try_from(begins).unwrap_or(usize::MAX)), &cells));
    }
    if rows.is_empty() {
        return Err("the file has no rows below its first line".to_owned());
    }
    Ok((columns, rows))
}

/// Lines as an editor counts them. The reader's own count stands before the line breaks that a record follows.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0, line: 1 }
    }

    /// Of the record that begins at `byte` or behind the line breaks there. Asked in the order of the file.
    fn of(&mut self, byte: usize) -> u64 {
        let is_break = |at: usize| matches!(self.text.get(at), Some(b'\r' | b'\n'));
        let start = (byte.min(self.text.len())..self.text.len()).find(|at| !is_break(*at)).unwrap_or(self.text.len());
        // A carriage return before a line feed is the same break.
        let breaks = |at: &usize| self.text[*at] == b'\n' || (self.text[*at] == b'\r' && self.text.get(at + 1) != Some(&b'\n'));
        self.line += (self.at..start).filter(breaks).count() as u64;
        self.at = self.at.max(start);
        self.line
    }
}

/// Where a cell begins with a quotation mark that nothing ends. The reader would take the rest of the file for that cell.
fn open_quote(text: &[u8], delimiter: u8) -> Option<usize> {
    enum At {
        CellBegins,
        Plain,
        Quoted(usize),
        /// Behind a quotation mark in a quoted cell: its end, or half of one that is meant.
        Ended(usize),
    }
    let mut state = At::CellBegins;
    for (at, byte) in text.iter().enumerate() {
        state = match (state, *byte) {
            (At::CellBegins, b'"') => At::Quoted(at),
            (At::Quoted(begun), b'"') => At::Ended(begun),
            (At::Quoted(begun), _) | (At::Ended(begun), b'"') => At::Quoted(begun),
            (_, b'\r' | b'\n') => At::CellBegins,
            (_, byte) if byte == delimiter => At::CellBegins,
            _ => At::Plain,
        };
    }
    if let At::Quoted(begun) = state { Some(begun) } else { None }
}

/// Spreadsheets of many countries write semicolons.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    let count = |delimiter: u8| header.bytes().filter(|byte| *byte == delimiter).count();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(u64, bool)> {
        let (_, rows) = read(text.as_bytes()).expect("a file");
        rows.iter().map(|row| (row.line, row.draft.is_ok())).collect()
    }

    #[test]
    fn files_of_any_spreadsheet_are_read_with_the_lines_people_see() {
        assert_eq!(lines("name,email\nA,a@x.test\n\nB,b@x.test\n,,\n"), [(2, true), (4, true)]);
        assert_eq!(lines("\u{feff}Name;E-Mail;Tags\r\nA;a@x.test;x|y\r\n"), [(2, true)]);
        assert_eq!(lines("email\tname\na@x.test\tA"), [(2, true)]);
        assert_eq!(lines("name,email\n\"A\nB\",a@x.test\nC,c@x.test"), [(2, false), (4, true)]);
        assert_eq!(lines("name,email\nA\nB,b@x.test,more"), [(2, false), (3, true)]);
        assert_eq!(
            lines("name,email\r\n\r\nA,a@x.test\r\n\r\n\r\n\"B\r\nC\",b@x.test\r\nD,d@x.test"),
            [(3, true), (6, false), (8, true)]
        );
        assert_eq!(lines("name,email\rA,a@x.test\rB,b@x.test"), [(2, true), (3, true)]);
    }

    #[test]
    fn a_file_that_cannot_be_read_says_why() {
        let refused = |body: &[u8]| read(body).expect_err("refused");
        assert!(refused(b"name,email\nJos\xe9,a@x.test").contains("UTF-8"));
        assert!(refused(b"").contains("first line"));
        assert!(refused(b"name,email\n").contains("no rows"));
        let open = "name,email\r\n\"A \"\"B\"\" \",a@x.test\r\n\r\n\"C,c@x.test\r\nD,d@x.test\r\n";
        assert!(refused(open.as_bytes()).starts_with("line 4: a quotation mark"));
        assert!(refused(b"\"name,email\nA,a@x.test").starts_with("line 1: "));
        assert!(
            read(b"name;email\nA \"B\";a@x.test\n\"C;\"\"\";c@x.test\n\"\";\"d@x.test\"").is_ok(),
            "marks that are ended, or begin no cell"
        );
        assert!(refused(b"Amara,amara@x.test\nB,b@x.test").contains("first line"));
        let many = "N,n@x.test\n".repeat(MOST_ROWS + 1);
        assert!(refused(format!("name,email\n{many}").as_bytes()).contains("more than 5000"));
    }
}
