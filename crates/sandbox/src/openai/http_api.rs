//! The REST side of Realtime: calls, hang-up, ephemeral keys, models.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, options, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::call::Command;
use super::problem::Problem;
use super::recording::report;
use super::shape::{Shape, may};
use super::{OpenAi, session};
use crate::util::random_hex;

/// An offer is some kilobytes, instructions at most some hundred.
const MAX_BODY: usize = 1024 * 1024;

pub(super) fn routes() -> Router<OpenAi> {
    Router::new()
        .route("/v1/realtime/calls", post(create_call).options(preflight))
        .route("/v1/realtime/calls/{call_id}/hangup", post(hang_up))
        .route("/v1/realtime/client_secrets", post(create_secret))
        .route("/v1/models", get(list_models))
        .route("/v1/models/{model}", get(get_model))
        .route("/v1/{*path}", options(preflight).fallback(unknown_url))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

/// Who asks, by the key in the request.
#[derive(Debug)]
pub(super) enum Caller {
    Project,
    Ephemeral { session: Option<Value> },
}

pub(super) fn authenticate(openai: &OpenAi, headers: &HeaderMap) -> Result<Caller, Problem> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(key) = value.strip_prefix("Bearer ").filter(|key| !key.is_empty()) else {
        let message = "You didn't provide an API key. You need to provide your API key in an Authorization header \
                       using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
        let mut problem = Problem::unauthorized(message);
        problem.code = None;
        return Err(problem);
    };
    if key.starts_with("ek_") {
        let secret = openai.secret(key).ok_or_else(|| Problem::unauthorized("Incorrect or expired ephemeral key provided."))?;
        return Ok(Caller::Ephemeral { session: secret.session });
    }
    if openai.is_project_key(key) {
        return Ok(Caller::Project);
    }
    let shown: String = key.chars().take(3).collect();
    Err(Problem::unauthorized(&format!("Incorrect API key provided: {shown}***.")))
}

/// The beta interface is switched off; its header shows a client that still speaks it.
pub(super) fn refuse_beta(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key("openai-beta") {
        let message = "The Realtime Beta API is no longer available. Remove the OpenAI-Beta header and use the GA interface.";
        return Err(Problem::invalid("beta_api_shape_disabled", message));
    }
    Ok(())
}

async fn create_call(State(openai): State<OpenAi>, request: Request) -> Response {
    match try_create_call(&openai, request).await {
        Ok((call_id, answer)) => {
            let mut response = (StatusCode::CREATED, answer).into_response();
            let headers = response.headers_mut();
            if let Ok(location) = HeaderValue::from_str(&format!("/v1/realtime/calls/{call_id}")) {
                headers.insert(header::LOCATION, location);
            }
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            finish(response)
        }
        Err(problem) => refuse(&openai, "POST /v1/realtime/calls", problem),
    }
}

async fn try_create_call(openai: &OpenAi, request: Request) -> Result<(String, String), Problem> {
    let caller = authenticate(openai, request.headers())?;
    refuse_beta(request.headers())?;
    if let Some(query) = request.uri().query().filter(|query| !query.is_empty()) {
        let name = query.split(['=', '&']).next().unwrap_or_default();
        return Err(Problem::unknown_parameter(name));
    }
    let kind = content_type(request.headers());
    match (caller, kind.as_str()) {
        (Caller::Project, "multipart/form-data") => {
            let (sdp, session) = read_form(openai, request).await?;
            if let Some(session) = &session {
                session::check(session)?;
            }
            openai.start_call(&sdp, session.as_ref(), false)
        }
        (Caller::Ephemeral { session }, "application/sdp") => {
            let sdp = String::from_request(request, &()).await.map_err(|_| unreadable())?;
            openai.start_call(&sdp, session.as_ref(), true)
        }
        (Caller::Project, "application/sdp") => {
            let message = "A raw SDP body needs an ephemeral key. Send multipart/form-data with 'sdp' and 'session' instead.";
            Err(Problem::invalid("invalid_request", message))
        }
        _ => {
            let message = format!(
                "Unsupported content type: '{kind}'. This API method only accepts 'application/sdp' or 'multipart/form-data' requests."
            );
            Err(Problem::invalid("unsupported_content_type", message))
        }
    }
}

/// The parts `sdp` and `session`, as text and as JSON.
async fn read_form(openai: &OpenAi, request: Request) -> Result<(String, Option<Value>), Problem> {
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| unreadable())?;
    let (mut sdp, mut session) = (None, None);
    while let Some(field) = form.next_field().await.map_err(|_| unreadable())? {
        let name = field.name().unwrap_or_default().to_owned();
        let kind = field.content_type().map(str::to_owned);
        if field.file_name().is_some() {
            openai.ledger().violation(super::VENDOR, format!("the part '{name}' was sent as a file"));
        }
        let expected = match name.as_str() {
            "sdp" => "application/sdp",
            "session" => "application/json",
            _ => return Err(Problem::unknown_parameter(&name)),
        };
        if let Some(kind) = kind.filter(|kind| kind.split(';').next() != Some(expected)) {
            let message = format!("Invalid content type for '{name}': expected '{expected}', but got '{kind}' instead.");
            return Err(Problem::invalid("invalid_value", message).at(name));
        }
        let text = field.text().await.map_err(|_| unreadable())?;
        if name == "sdp" {
            sdp = Some(text);
        } else {
            let value: Value = serde_json::from_str(&text)
                .map_err(|error| Problem::invalid("invalid_json", format!("Invalid JSON in 'session': {error}")).at("session"))?;
            session = Some(value);
        }
    }
    Ok((sdp.ok_or_else(|| Problem::missing_parameter("sdp"))?, session))
}

async fn hang_up(State(openai): State<OpenAi>, Path(call_id): Path<String>, headers: HeaderMap) -> Response {
    let hung_up = async {
        match authenticate(&openai, &headers)? {
            Caller::Project => {}
            Caller::Ephemeral { .. } => return Err(Problem::unauthorized("Ephemeral keys cannot hang up calls.")),
        }
        let call = openai.living_call(&call_id)?;
        call.commands.send(Command::HangUp).await.map_err(|_| Problem::call_not_found())
    };
    match hung_up.await {
        // Answered as the end begins, without a body.
        Ok(()) => finish(StatusCode::OK.into_response()),
        Err(problem) => refuse(&openai, "POST /v1/realtime/calls/{call_id}/hangup", problem),
    }
}

const SECRET: Shape = Shape::Object(&[
    may(
        "expires_after",
        Shape::Object(&[may("anchor", Shape::OneOf(&["created_at"])), may("seconds", Shape::Integer(10, 7_200))]),
    ),
    may("session", Shape::Map),
]);

async fn create_secret(State(openai): State<OpenAi>, headers: HeaderMap, body: Bytes) -> Response {
    let created = (|| {
        if !matches!(authenticate(&openai, &headers)?, Caller::Project) {
            return Err(Problem::unauthorized("Ephemeral keys cannot make ephemeral keys."));
        }
        refuse_beta(&headers)?;
        let request = if body.is_empty() { json!({}) } else { parse(&body)? };
        SECRET.check("", &request)?;
        let session = request.get("session").cloned();
        if let Some(session) = &session {
            session::check(session)?;
        }
        let lifetime = request["expires_after"]["seconds"].as_i64().unwrap_or(600);
        Ok(openai.add_secret(lifetime, session))
    })();
    match created {
        Ok(secret) => {
            let id = format!("sess_{}", random_hex::<10>());
            let session = session::Session::new(&id, 0, secret.session.as_ref());
            let body = json!({ "value": secret.value, "expires_at": secret.expires_at, "session": session.value() });
            finish(Json(body).into_response())
        }
        Err(problem) => refuse(&openai, "POST /v1/realtime/client_secrets", problem),
    }
}

/// Some of the catalogue, with the announced ends that a preflight check looks for.
const CATALOGUE: &[(&str, Option<i64>)] = &[
    ("gpt-realtime-2.1", None),
    ("gpt-realtime-2.1-mini", None),
    ("gpt-realtime-2", None),
    ("gpt-realtime-1.5", None),
    ("gpt-realtime", Some(1_800_403_200)),
    ("gpt-realtime-mini", Some(1_800_403_200)),
    ("gpt-realtime-whisper", None),
    ("gpt-transcribe", None),
    ("gpt-6-luna", None),
    ("gpt-6-sol", None),
    ("gpt-6.2-sol", None),
    ("gpt-6-astra", None),
];

pub(super) fn is_text_model(model: &str) -> bool {
    ["gpt-6", "gpt-5"].iter().any(|family| model.starts_with(family))
}

fn model_object((id, shutdown): &(&str, Option<i64>)) -> Value {
    let mut model = json!({ "id": id, "object": "model", "created": 1_780_000_000, "owned_by": "system" });
    if let Some(shutdown) = shutdown {
        model["shutdown_date"] = (*shutdown).into();
    }
    model
}

async fn list_models(State(openai): State<OpenAi>, headers: HeaderMap) -> Response {
    match authenticate(&openai, &headers) {
        Ok(_) => {
            let data: Vec<Value> = CATALOGUE.iter().map(model_object).collect();
            finish(Json(json!({ "object": "list", "data": data })).into_response())
        }
        Err(problem) => refuse(&openai, "GET /v1/models", problem),
    }
}

async fn get_model(State(openai): State<OpenAi>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let model = authenticate(&openai, &headers)
        .and_then(|_| CATALOGUE.iter().find(|(name, _)| *name == id).ok_or_else(|| model_not_found(&id)));
    match model {
        Ok(model) => finish(Json(model_object(model)).into_response()),
        Err(problem) => refuse(&openai, "GET /v1/models/{model}", problem),
    }
}

pub(super) fn model_not_found(model: &str) -> Problem {
    let message = format!("The model '{model}' does not exist or you do not have access to it.");
    Problem::invalid("model_not_found", message).status(StatusCode::NOT_FOUND)
}

/// A page of another origin may call the vendor with an ephemeral key.
async fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, OPTIONS, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, x-openai-agents-sdk"),
    ];
    (StatusCode::OK, headers).into_response()
}

async fn unknown_url(State(openai): State<OpenAi>, method: axum::http::Method, uri: Uri) -> Response {
    let mut problem = Problem::invalid("unknown_url", format!("Unknown request URL: {method} {}.", uri.path()));
    problem = problem.status(StatusCode::NOT_FOUND);
    refuse(&openai, "an unknown address", problem)
}

pub(super) fn parse(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|_| {
        let message = "We could not parse the JSON body of your request.";
        Problem::invalid("invalid_json", message)
    })
}

pub(super) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn unreadable() -> Problem {
    Problem::invalid("invalid_request", "The request body could not be read.")
}

pub(super) fn refuse(openai: &OpenAi, what: &str, problem: Problem) -> Response {
    report(openai.ledger(), what, &problem);
    finish(problem.into_response())
}

/// What every answer of the vendor carries.
pub(super) fn finish(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&format!("req_{}", random_hex::<16>())) {
        headers.insert("x-request-id", id);
    }
    headers.insert("openai-version", HeaderValue::from_static("2020-10-01"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Location, X-Request-Id, CF-Ray"));
    response
}
