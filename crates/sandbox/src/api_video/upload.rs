//! Receiving a recording, whole or in parts.

use std::path::{Path as FilePath, PathBuf};

use axum::Json;
use axum::extract::multipart::Field;
use axum::extract::{Multipart, Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::problem::Problem;
use super::routes::{new_video, shown};
use super::state::{Form, Video};
use super::{ApiVideo, MAX_PART_BYTES};
use crate::ledger::RequestSummary;
use crate::util::{lock, random_hex};

const MAX_PARTS: u64 = 10_000;

/// What `Content-Range` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// No header: the whole file in one request.
    Whole,
    /// `part n/*` or `part n/total`.
    Part { number: u64, total: Option<u64> },
    /// `bytes from-to/total`.
    Bytes { from: u64, to: u64, total: u64 },
}

fn parse_range(headers: &HeaderMap) -> Result<Range, Problem> {
    let Some(value) = headers.get(http::header::CONTENT_RANGE) else {
        return Ok(Range::Whole);
    };
    let text = value.to_str().unwrap_or_default();
    read_range(text)
        .ok_or_else(|| Problem::bad("video-content-range-malformed", format!("The Content-Range header {text:?} is malformed.")))
}

fn read_range(text: &str) -> Option<Range> {
    let (unit, rest) = text.split_once(' ')?;
    let (span, total) = rest.split_once('/')?;
    match unit {
        "part" => {
            let number = span.parse().ok().filter(|number| (1..=MAX_PARTS).contains(number))?;
            let total = match total {
                "*" => None,
                digits => Some(digits.parse().ok().filter(|total| (1..=MAX_PARTS).contains(total))?),
            };
            Some(Range::Part { number, total })
        }
        "bytes" => {
            let (from, to) = span.split_once('-')?;
            let (from, to, total) = (from.parse().ok()?, to.parse().ok()?, total.parse().ok()?);
            (from <= to && to < total).then_some(Range::Bytes { from, to, total })
        }
        _ => None,
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct TokenQuery {
    token: Option<String>,
}

/// `POST /upload?token=…`: what a browser does.
pub(super) async fn with_token(
    State(api): State<ApiVideo>,
    Query(query): Query<TokenQuery>,
    headers: HeaderMap,
    form: Multipart,
) -> Response {
    let refusal = match &query.token {
        None => Some(("authentication-missing-upload-token", "Missing upload token.")),
        Some(token) => {
            let valid = lock(&api.inner.state).tokens.get(token).is_some_and(super::state::UploadToken::is_valid);
            (!valid).then_some(("authentication-invalid-upload-token", "The upload token is invalid."))
        }
    };
    if let Some((slug, title)) = refusal {
        return Problem::new(StatusCode::UNAUTHORIZED, slug, title).into_response();
    }
    receive(&api, None, &headers, form).await
}

/// `POST /videos/{id}/source`: what a server does.
pub(super) async fn with_key(
    State(api): State<ApiVideo>,
    Path(id): Path<String>,
    headers: HeaderMap,
    form: Multipart,
) -> Response {
    receive(&api, Some(id), &headers, form).await
}

async fn receive(api: &ApiVideo, named: Option<String>, headers: &HeaderMap, form: Multipart) -> Response {
    let incoming = api.inner.options.data_dir.join("incoming");
    let file = incoming.join(random_hex::<12>());
    let mut seen = json!({ "multipart": [] });
    let mut result = Err(Problem::bad("uploaded-file-empty", "The uploaded file is empty."));
    match read_form(form, &incoming, &file, &mut seen).await {
        Err(problem) => result = Err(problem),
        Ok((_, 0)) => {}
        Ok((in_form, size)) => {
            if let Ok(range) = parse_range(headers).map_err(|problem| result = Err(problem)) {
                result = accept(api, named.or(in_form), range, &file, size).await;
            }
        }
    }
    let _ = tokio::fs::remove_file(&file).await;
    let mut response = match result {
        Ok(video) => (StatusCode::CREATED, Json(video)).into_response(),
        Err(problem) => problem.into_response(),
    };
    response.extensions_mut().insert(RequestSummary(seen));
    response
}

/// Reads the form to its end; the file goes to disk as it comes.
async fn read_form(
    mut form: Multipart,
    folder: &FilePath,
    path: &FilePath,
    seen: &mut Value,
) -> Result<(Option<String>, u64), Problem> {
    let (mut video_id, mut size) = (None, None);
    loop {
        let field = form
            .next_field()
            .await
            .map_err(|error| Problem::bad("invalid-attribute", format!("The form cannot be read: {error}")))?;
        let Some(field) = field else { break };
        let name = field.name().unwrap_or_default().to_owned();
        let mut note = json!({ "name": name, "content_type": field.content_type() });
        match name.as_str() {
            "videoId" => {
                let text = field.text().await.unwrap_or_default();
                note["text"] = text.as_str().into();
                video_id = Some(text);
            }
            "file" => {
                note["filename"] = field.file_name().into();
                let stored = store(field, folder, path).await?;
                note["size"] = stored.into();
                size = Some(stored);
            }
            _ => {}
        }
        if let Some(parts) = seen["multipart"].as_array_mut() {
            parts.push(note);
        }
    }
    let size = size.ok_or_else(|| Problem::bad("attribute-required", "This attribute is required.").named("file"))?;
    Ok((video_id, size))
}

async fn store(mut field: Field<'_>, folder: &FilePath, path: &FilePath) -> Result<u64, Problem> {
    tokio::fs::create_dir_all(folder).await.map_err(Problem::internal)?;
    let mut file = tokio::fs::File::create(path).await.map_err(Problem::internal)?;
    let mut size = 0u64;
    while let Some(chunk) =
        field.chunk().await.map_err(|error| Problem::bad("invalid-attribute", format!("The file cannot be read: {error}")))?
    {
        size += chunk.len() as u64;
        if size > MAX_PART_BYTES {
            return Err(Problem::bad(
                "uploaded-file-too-large",
                "The uploaded file is too large. Upload it in parts of at most 200 MiB.",
            ));
        }
        file.write_all(&chunk).await.map_err(Problem::internal)?;
    }
    file.flush().await.map_err(Problem::internal)?;
    Ok(size)
}

async fn accept(api: &ApiVideo, id: Option<String>, range: Range, file: &FilePath, size: u64) -> Result<Value, Problem> {
    let id = match id {
        Some(id) => id,
        None => new_video(api, "Untitled")?.id,
    };
    let folder = api.folder(&id);
    let complete = {
        let mut state = lock(&api.inner.state);
        let video = state.video(&id)?;
        let number = admit(video, range, size, api.inner.options.min_part_bytes)?;
        // Renaming is quick and must be one step with the book-keeping: of two equal
        // parts that come at once only one may win.
        std::fs::create_dir_all(&folder).map_err(Problem::internal)?;
        std::fs::rename(file, part_path(&folder, number)).map_err(Problem::internal)?;
        video.received.insert(number, size);
        video.updated = crate::util::now();
        video.is_whole().then(|| video.received.keys().copied().collect::<Vec<_>>())
    };
    if let Some(parts) = complete {
        join(&folder, &parts).await.map_err(Problem::internal)?;
        if let Ok(video) = lock(&api.inner.state).video(&id) {
            video.completed = Some(std::time::Instant::now());
        }
    }
    shown(api, &id)
}

/// The vendor's rules. Answers under which number the bytes are kept.
fn admit(video: &mut Video, range: Range, size: u64, smallest: u64) -> Result<u64, Problem> {
    if video.completed.is_some() || (video.is_whole() && !video.received.is_empty()) {
        // A part that came already is said to be so, even after the end: this is what a
        // client hears that lost the answer to its last part.
        if let Range::Part { number, .. } = range
            && video.received.contains_key(&number)
        {
            return Err(already_sent(number));
        }
        return Err(Problem::bad("video-source-already-uploaded", "The source of the video is already uploaded."));
    }
    let form = match range {
        Range::Whole => Form::Whole,
        Range::Part { .. } => Form::Parts,
        Range::Bytes { .. } => Form::Bytes,
    };
    if video.form.is_some_and(|begun| begun != form) {
        return Err(Problem::bad(
            "video-content-range-already-initiated",
            "The upload was begun with another form of Content-Range.",
        ));
    }
    let number = match range {
        Range::Whole => 1,
        Range::Part { number, total } => {
            admit_part(video, number, total, size, smallest)?;
            number
        }
        Range::Bytes { from, to, total } => {
            if to - from + 1 != size || video.total.is_some_and(|known| known != total) {
                return Err(Problem::bad("video-content-range-malformed", "The Content-Range header does not fit the file."));
            }
            video.total = Some(total);
            from
        }
    };
    video.form = Some(form);
    Ok(number)
}

fn already_sent(number: u64) -> Problem {
    Problem::bad("video-content-range-by-part-part-already-sent", format!("The part {number} was already sent."))
        .named("Content-Range")
}

fn admit_part(video: &mut Video, number: u64, total: Option<u64>, size: u64, smallest: u64) -> Result<(), Problem> {
    if video.received.contains_key(&number) {
        return Err(already_sent(number));
    }
    if let (Some(known), Some(said)) = (video.total, total)
        && known != said
    {
        return Err(Problem::bad(
            "video-content-range-by-part-different-total-parts",
            format!("The total number of parts was {known} before."),
        ));
    }
    let total = total.or(video.total);
    let highest = video.received.keys().next_back().copied().unwrap_or(0).max(number);
    if total.is_some_and(|total| total < highest) {
        return Err(Problem::bad(
            "video-content-range-by-part-total-parts-too-low",
            "The total number of parts is lower than a part's number.",
        ));
    }
    if total != Some(number) && size < smallest {
        return Err(Problem::bad(
            "video-content-range-by-part-uploaded-file-too-small",
            format!("Each part except the last one must have at least {smallest} bytes."),
        ));
    }
    video.total = total;
    Ok(())
}

fn part_path(folder: &FilePath, number: u64) -> PathBuf {
    folder.join(format!("part-{number}"))
}

async fn join(folder: &FilePath, parts: &[u64]) -> std::io::Result<()> {
    let unfinished = folder.join("source.new");
    let mut whole = tokio::fs::File::create(&unfinished).await?;
    for number in parts {
        let mut part = tokio::fs::File::open(part_path(folder, *number)).await?;
        tokio::io::copy(&mut part, &mut whole).await?;
    }
    whole.flush().await?;
    whole.sync_all().await?;
    tokio::fs::rename(&unfinished, folder.join("source")).await?;
    for number in parts {
        tokio::fs::remove_file(part_path(folder, *number)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_of_content_range() {
        assert_eq!(read_range("part 1/*"), Some(Range::Part { number: 1, total: None }));
        assert_eq!(read_range("part 3/3"), Some(Range::Part { number: 3, total: Some(3) }));
        assert_eq!(read_range("bytes 0-9/20"), Some(Range::Bytes { from: 0, to: 9, total: 20 }));
        for bad in ["part 0/*", "part 10001/*", "part x/*", "bytes 5-4/9", "bytes 0-9/*", "lines 1/2", "part 1"] {
            assert_eq!(read_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn small_parts_are_refused_except_the_last() {
        let mut video = Video::new("vi1".into(), "t".into());
        let part = |number, total| Range::Part { number, total };
        assert!(admit(&mut video, part(1, None), 10, 100).is_err());
        assert_eq!(admit(&mut video, part(1, None), 100, 100).unwrap(), 1);
        video.received.insert(1, 100);
        assert!(admit(&mut video, part(1, None), 100, 100).is_err(), "sent already");
        assert!(admit(&mut video, part(2, Some(1)), 100, 100).is_err(), "total too low");
        assert_eq!(admit(&mut video, part(2, Some(2)), 1, 100).unwrap(), 2);
        video.received.insert(2, 1);
        assert!(video.is_whole());
        assert!(admit(&mut video, Range::Whole, 1, 100).is_err(), "complete");
    }
}
