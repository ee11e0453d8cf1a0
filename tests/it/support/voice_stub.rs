//! A stand-in for the voice provider that sends whatever the test tells it. The sandbox only behaves correctly and cannot do
//! this.
//!
//! It opens calls, joins our sideband to them, and answers our commands as the provider would; everything else is sent by the
//! test, event by event or in the short forms `turn` and `reply`. There is no media.

// The campaigns use the other parts.
#![allow(dead_code)]

use super::wait_for;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Multipart, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// An offer that the provider takes.
pub const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
/// One that passes our own checks and that the provider refuses.
pub const JUNK_OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=junk\r\n";
const MARKER: &str = "a=junk";
pub const OPENING: &str = "Welcome. What have you built?";

#[derive(Clone)]
pub struct VoiceStub {
    /// For `INTERVIEW__OPENAI__BASE_URL`.
    pub url: String,
    state: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    calls: Vec<CallState>,
    /// Joins that are still refused, and with what.
    refusals: (u32, u16),
    /// Requests for a reply are taken and not answered; the test does.
    by_hand: bool,
    /// What becomes of a `session.update`.
    updates: Updates,
    /// Lines are let in and closed with this at our first word.
    closes: Option<u16>,
    /// `POST /v1/responses` answers this.
    summary: Option<(u16, Value)>,
    asked: Vec<Value>,
}

/// What the provider does with a `session.update`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Updates {
    #[default]
    Taken,
    /// Refused by an error; the smaller configuration of the runtime is taken if so wished.
    Refused { smaller_too: bool },
    /// Taken, and told without the transcription of it.
    ToldWithoutTranscription,
}

struct CallState {
    by_hand: bool,
    updates: Updates,
    id: String,
    offer: String,
    /// The configuration as it stands.
    session: Value,
    /// What `session.updated` tells instead.
    told: Option<Value>,
    hung_up: bool,
    line: Option<mpsc::UnboundedSender<Order>>,
    /// Lines of ours that have spoken.
    lines: usize,
    /// Lines that were let in and closed.
    joins: usize,
    sent: Vec<Value>,
    previous: Value,
    /// Names that are taken.
    items: Vec<Value>,
    names: usize,
}

enum Order {
    Event(String),
    Drop,
}

impl VoiceStub {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
        let stub = Self { url, state: Arc::default() };
        let router = Router::new()
            .route("/v1/realtime/calls", post(create))
            .route("/v1/realtime/calls/{id}/hangup", post(hang_up))
            .route("/v1/realtime", get(join))
            .route("/v1/responses", post(respond))
            .with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        stub
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn calls(&self) -> usize {
        self.lock().calls.len()
    }

    /// The call with this number, once our line is in it.
    pub async fn call(&self, number: usize) -> Call {
        let call = Call { stub: self.clone(), index: number };
        wait_for("our line is in the call", || async { call.stub.lock().calls.get(number).is_some_and(|call| call.lines > 0) })
            .await;
        call
    }

    /// The call with this number, whether our line gets in or not.
    pub async fn call_opened(&self, number: usize) -> Call {
        wait_for("the call is opened", || async { self.calls() > number }).await;
        Call { stub: self.clone(), index: number }
    }

    /// The call that was opened with this offer last.
    pub async fn call_of(&self, offer: &str) -> Call {
        let find = || self.lock().calls.iter().rposition(|call| call.offer == offer);
        wait_for("the call is opened", || async { find().is_some() }).await;
        self.call(find().unwrap_or_default()).await
    }

    /// Requests for a reply are not answered from now on, in calls that are opened from now on.
    pub fn reply_by_hand(&self) {
        self.lock().by_hand = true;
    }

    pub fn take_updates(&self, updates: Updates) {
        self.lock().updates = updates;
    }

    pub fn close_lines(&self, code: Option<u16>) {
        self.lock().closes = code;
    }

    pub fn refuse_joins(&self, times: u32, status: u16) {
        self.lock().refusals = (times, status);
    }

    pub fn answer_summaries(&self, status: u16, body: Value) {
        self.lock().summary = Some((status, body));
    }

    /// What the summary's model was asked.
    pub fn summaries_asked(&self) -> Vec<Value> {
        self.lock().asked.clone()
    }
}

/// A call, and our line into it, as the test plays it.
#[derive(Clone)]
pub struct Call {
    stub: VoiceStub,
    index: usize,
}

impl Call {
    fn with<T>(&self, look: impl FnOnce(&mut CallState) -> T) -> T {
        look(&mut self.stub.lock().calls[self.index])
    }

    /// Send anything at all on our line.
    pub fn send_text(&self, text: String) {
        self.with(|call| call.order(Order::Event(text)));
    }

    pub fn send(&self, event: Value) {
        self.with(|call| call.send(event));
    }

    /// The line breaks without a word; we dial again.
    pub async fn break_sideband(&self) {
        let before = self.lines();
        self.with(|call| call.order(Order::Drop));
        wait_for("our line is back", || async { self.lines() > before }).await;
    }

    /// The line breaks, and no other is let in for so many tries.
    pub fn keep_out(&self, tries: u32) {
        self.stub.refuse_joins(tries, 503);
        self.with(|call| call.order(Order::Drop));
    }

    /// Lines that were let in and closed at their first word.
    pub fn closed_joins(&self) -> usize {
        self.with(|call| call.joins)
    }

    pub fn lines(&self) -> usize {
        self.with(|call| call.lines)
    }

    pub fn is_hung_up(&self) -> bool {
        self.with(|call| call.hung_up)
    }

    /// What we sent on it, of this type.
    pub fn sent(&self, kind: &str) -> Vec<Value> {
        self.with(|call| call.sent.iter().filter(|event| event["type"] == kind).cloned().collect())
    }

    pub fn configuration(&self) -> Value {
        self.with(|call| call.session.clone())
    }

    /// `session.updated` tells this from now on, whatever is true.
    pub fn tell_configuration(&self, told: Option<Value>) {
        self.with(|call| call.told = told);
    }

    /// The browser's own `session.update`, on its channel.
    pub fn browser_updates(&self, change: &Value) {
        self.with(|call| call.update(change));
    }

    pub fn name(&self, kind: &str) -> String {
        self.with(|call| call.name(kind))
    }

    /// An item takes its place behind the one before.
    pub fn place(&self, item: Value) {
        self.with(|call| call.place(item));
    }

    /// The candidate speaks and the audio is committed; its words are still to come.
    pub fn speech(&self) -> String {
        let item = self.name("item_u");
        self.speech_as(&item);
        item
    }

    pub fn speech_as(&self, item: &str) {
        self.speech_for(item, 1_000);
    }

    /// So many milliseconds of it.
    pub fn speech_for(&self, item: &str, ms: u64) {
        self.with(|call| {
            call.send(json!({"type": "input_audio_buffer.speech_started", "item_id": item, "audio_start_ms": 1_000}));
            call.send(json!({"type": "input_audio_buffer.speech_stopped", "item_id": item, "audio_end_ms": 1_000 + ms}));
            let previous = call.previous.clone();
            call.send(json!({"type": "input_audio_buffer.committed", "item_id": item, "previous_item_id": previous}));
            call.place(said(item, "user", json!([{"type": "input_audio", "transcript": null}])));
        });
    }

    pub fn completed(&self, item: &str, text: impl Into<Value>) {
        let (kind, text) = ("conversation.item.input_audio_transcription.completed", text.into());
        self.send(json!({"type": kind, "item_id": item, "content_index": 0, "transcript": text}));
    }

    /// TURN
    pub fn turn(&self, text: &str) -> String {
        let item = self.speech();
        self.completed(&item, text);
        item
    }

    /// CREATED
    pub fn created(&self, reply: &str, metadata: Value) {
        self.with(|call| call.created(reply, metadata));
    }

    /// ITEM
    pub fn item(&self, reply: &str, item: &str) {
        self.with(|call| call.item(reply, item));
    }

    pub fn words(&self, reply: &str, item: &str, delta: &str) {
        let kind = "response.output_audio_transcript.delta";
        self.send(json!({"type": kind, "response_id": reply, "item_id": item, "content_index": 0, "delta": delta}));
    }

    pub fn words_done(&self, reply: &str, item: &str, text: impl Into<Value>) {
        let (kind, text) = ("response.output_audio_transcript.done", text.into());
        self.send(json!({"type": kind, "response_id": reply, "item_id": item, "content_index": 0, "transcript": text}));
    }

    /// DONE
    pub fn done(&self, reply: &str, status: &str, details: Value) {
        self.with(|call| call.done(reply, status, details, json!([])));
    }

    /// PLAY, STOP, CUT: `started`, `stopped`, `cleared`.
    pub fn playback(&self, reply: &str, what: &str) {
        self.send(json!({"type": format!("output_audio_buffer.{what}"), "response_id": reply}));
    }

    /// Requests for a reply are not answered from now on, or again.
    pub fn by_hand(&self, by_hand: bool) {
        self.with(|call| call.by_hand = by_hand);
    }

    /// What the candidate typed and we put into the call, in order: item and words.
    pub fn typed(&self) -> Vec<(String, String)> {
        let items = self.sent("conversation.item.create");
        let typed = items.iter().filter(|sent| sent["item"]["id"].as_str().is_some_and(|id| id.starts_with("typed_")));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        typed.map(|sent| (text(&sent["item"]["id"]), text(&sent["item"]["content"][0]["text"]))).collect()
    }

    /// Why replies were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        let purpose = |sent: &Value| sent["response"]["metadata"]["purpose"].as_str().unwrap_or("-").to_owned();
        self.sent("response.create").iter().map(purpose).collect()
    }

    pub async fn until_asked(&self, purposes: &[&str]) {
        wait_for(&format!("{purposes:?} are asked for"), || async { self.asked() == purposes }).await;
    }

    /// The provider refuses what we sent last of this kind.
    pub fn refuse_last(&self, kind: &str, code: &Value, message: &str, with_id: bool) {
        let last = self.sent(kind).pop().expect("sent");
        let id = if with_id { last["event_id"].clone() } else { Value::Null };
        let error = json!({"type": "invalid_request_error", "code": code, "message": message, "param": null, "event_id": id});
        self.send(json!({"type": "error", "error": error}));
    }

    /// TOOL
    pub fn tool(&self, reply: &str, call: &str, name: &str, arguments: &str) {
        let kind = "response.function_call_arguments.done";
        self.send(json!({"type": kind, "response_id": reply, "item_id": format!("f{call}"), "output_index": 1,
            "call_id": call, "name": name, "arguments": arguments}));
    }

    /// What we answered this tool call.
    pub fn outputs(&self, tool: &str) -> Vec<String> {
        let items = self.sent("conversation.item.create");
        let of = items.iter().filter(|sent| sent["item"]["call_id"] == tool);
        of.filter_map(|sent| sent["item"]["output"].as_str().map(str::to_owned)).collect()
    }

    /// What the model was told silently.
    pub fn notes(&self) -> Vec<String> {
        let items = self.sent("conversation.item.create");
        let system = items.iter().filter(|sent| sent["item"]["role"] == "system");
        system.filter_map(|sent| sent["item"]["content"][0]["text"].as_str().map(str::to_owned)).collect()
    }

    /// CREATED ITEM PLAY WORDS DONE without STOP: what is still heard.
    pub fn reply_unheard(&self, reply: &str, metadata: Value, text: &str) -> String {
        let item = format!("item_{reply}");
        self.created(reply, metadata);
        self.item(reply, &item);
        self.playback(reply, "started");
        self.words(reply, &item, text);
        self.words_done(reply, &item, text);
        self.done(reply, "completed", Value::Null);
        item
    }

    /// REPLY, to a request of ours.
    pub fn reply_for(&self, purpose: &str, text: &str) -> String {
        self.with(|call| call.reply(text, json!({"purpose": purpose})))
    }

    /// A reply that calls a tool and says nothing.
    pub fn tool_alone(&self, tool: &str, name: &str, arguments: &str) {
        let reply = self.name("resp_");
        self.created(&reply, Value::Null);
        self.tool(&reply, tool, name, arguments);
        self.done(&reply, "completed", Value::Null);
    }

    /// REPLY, to a turn of the candidate.
    pub fn reply(&self, text: &str) -> String {
        self.with(|call| call.reply(text, Value::Null))
    }
}

fn said(id: &str, role: &str, content: Value) -> Value {
    json!({"id": id, "type": "message", "role": role, "content": content})
}

impl CallState {
    fn order(&mut self, order: Order) {
        if let Some(line) = &self.line {
            let _ = line.send(order);
        }
    }

    fn name(&mut self, kind: &str) -> String {
        // No two calls have an item of the same name.
        self.names += 1;
        format!("{kind}{}_{}", self.id, self.names)
    }

    fn send(&mut self, mut event: Value) {
        event["event_id"] = json!(self.name("event_"));
        self.order(Order::Event(event.to_string()));
    }

    fn place(&mut self, item: Value) {
        self.items.push(item["id"].clone());
        let previous = std::mem::replace(&mut self.previous, item["id"].clone());
        self.send(json!({"type": "conversation.item.added", "previous_item_id": previous, "item": item}));
    }

    fn created(&mut self, reply: &str, metadata: Value) {
        let response =
            json!({"id": reply, "status": "in_progress", "conversation_id": "conv_1", "metadata": metadata, "output": []});
        self.send(json!({"type": "response.created", "response": response}));
    }

    fn item(&mut self, reply: &str, item: &str) {
        let item = said(item, "assistant", json!([]));
        self.send(json!({"type": "response.output_item.added", "response_id": reply, "item": item}));
        self.place(item);
    }

    fn done(&mut self, reply: &str, status: &str, details: Value, output: Value) {
        let response =
            json!({"id": reply, "status": status, "status_details": details, "conversation_id": "conv_1", "output": output});
        self.send(json!({"type": "response.done", "response": response}));
    }

    fn reply(&mut self, text: &str, metadata: Value) -> String {
        let (reply, item) = (self.name("resp_"), self.name("item_a"));
        self.created(&reply, metadata);
        self.item(&reply, &item);
        let of = |kind: &str| json!({"type": kind, "response_id": reply, "item_id": item, "content_index": 0});
        let mut delta = of("response.output_audio_transcript.delta");
        delta["delta"] = json!(text);
        let mut done = of("response.output_audio_transcript.done");
        done["transcript"] = json!(text);
        self.send(json!({"type": "output_audio_buffer.started", "response_id": reply}));
        self.send(delta);
        self.send(done);
        let output = said(&item, "assistant", json!([{"type": "output_audio", "transcript": text}]));
        self.done(&reply, "completed", Value::Null, json!([output]));
        self.send(json!({"type": "output_audio_buffer.stopped", "response_id": reply}));
        item
    }

    fn update(&mut self, change: &Value) {
        merge(&mut self.session, change);
        let mut session = self.told.clone().unwrap_or_else(|| self.session.clone());
        if self.updates == Updates::ToldWithoutTranscription {
            session["audio"]["input"]["transcription"] = Value::Null;
        }
        self.send(json!({"type": "session.updated", "session": session}));
    }

    /// What the provider does when we say something.
    fn obey(&mut self, command: Value) {
        match command["type"].as_str().unwrap_or_default() {
            "session.update" => {
                let small = command["session"]["truncation"].is_null();
                match self.updates {
                    Updates::Refused { smaller_too } if smaller_too || !small => {
                        let error = json!({"type": "invalid_request_error", "code": "invalid_value", "message": "no",
                            "param": "session.truncation", "event_id": command["event_id"]});
                        self.send(json!({"type": "error", "error": error}));
                    }
                    _ => self.update(&command["session"]),
                }
                if command["event_id"].as_str().is_some_and(|id| id.ends_with("-0")) {
                    // The first that a line says.
                    self.lines += 1;
                }
            }
            "response.create" if self.by_hand => {}
            "response.create" => {
                let metadata = command["response"]["metadata"].clone();
                let text = match metadata["purpose"].as_str() {
                    Some("opening") => OPENING,
                    Some("goodbye") => "Thank you, goodbye.",
                    _ => "Let us go on.",
                };
                self.reply(text, metadata);
            }
            "conversation.item.create" => {
                let mut item = command["item"].clone();
                if item["id"].is_null() {
                    item["id"] = json!(self.name("item_c"));
                }
                if self.items.contains(&item["id"]) {
                    let error = json!({"type": "invalid_request_error", "code": "item_create_duplicate_item_id",
                        "message": "Error creating item: the item already exists.", "param": "item.id", "event_id": command["event_id"]});
                    self.send(json!({"type": "error", "error": error}));
                } else {
                    self.place(item);
                }
            }
            "conversation.item.delete" => {
                self.items.retain(|item| *item != command["item_id"]);
                self.send(json!({"type": "conversation.item.deleted", "item_id": command["item_id"]}));
            }
            "response.cancel" => {
                let reply = command["response_id"].as_str().unwrap_or_default().to_owned();
                self.done(&reply, "cancelled", json!({"type": "cancelled", "reason": "client_cancelled"}), json!([]));
            }
            _ => {}
        }
        self.sent.push(command);
    }
}

/// As the provider merges an update: null is a value.
fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => into.clone_from(change),
    }
}

async fn create(State(stub): State<VoiceStub>, mut form: Multipart) -> Response {
    let mut parts = HashMap::new();
    while let Ok(Some(field)) = form.next_field().await {
        let name = field.name().unwrap_or_default().to_owned();
        parts.insert(name, field.text().await.unwrap_or_default());
    }
    let offer = parts.remove("sdp").unwrap_or_default();
    if offer.contains(MARKER) {
        let error =
            json!({"type": "invalid_request_error", "code": "invalid_offer", "message": "Failed to parse offer", "param": null});
        return (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response();
    }
    let session = parts.get("session").and_then(|session| serde_json::from_str(session).ok()).unwrap_or_default();
    let mut inner = stub.lock();
    let id = format!("rtc_{}", inner.calls.len() + 1);
    let location = format!("/v1/realtime/calls/{id}");
    let (by_hand, updates) = (inner.by_hand, inner.updates);
    inner.calls.push(CallState {
        by_hand,
        updates,
        id,
        offer,
        session,
        told: None,
        hung_up: false,
        line: None,
        lines: 0,
        joins: 0,
        sent: vec![],
        previous: Value::Null,
        items: vec![],
        names: 0,
    });
    let headers = [("location", location), ("content-type", "application/sdp".to_owned())];
    (StatusCode::CREATED, headers, "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n").into_response()
}

async fn hang_up(State(stub): State<VoiceStub>, Path(id): Path<String>) -> StatusCode {
    let mut inner = stub.lock();
    let Some(call) = inner.calls.iter_mut().find(|call| call.id == id) else { return StatusCode::NOT_FOUND };
    call.hung_up = true;
    StatusCode::OK
}

async fn join(
    State(stub): State<VoiceStub>,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let mut inner = stub.lock();
    let (left, status) = inner.refusals;
    if left > 0 {
        inner.refusals.0 -= 1;
        return StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE).into_response();
    }
    let index = inner.calls.iter().position(|call| query.get("call_id") == Some(&call.id) && !call.hung_up);
    let Some(index) = index else { return StatusCode::NOT_FOUND.into_response() };
    let (line, orders) = mpsc::unbounded_channel();
    inner.calls[index].line = Some(line);
    drop(inner);
    upgrade.on_upgrade(move |socket| serve(Call { stub, index }, socket, orders))
}

async fn serve(call: Call, mut socket: WebSocket, mut orders: mpsc::UnboundedReceiver<Order>) {
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Event(text)) => if socket.send(Message::Text(text.into())).await.is_err() { return },
                Some(Order::Drop) | None => return,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Text(_))) if call.stub.lock().closes.is_some() => {
                    let code = call.stub.lock().closes.unwrap_or_default();
                    call.with(|call| call.joins += 1);
                    let frame = axum::extract::ws::CloseFrame { code, reason: "no".into() };
                    let _ = socket.send(Message::Close(Some(frame))).await;
                    return;
                }
                Some(Ok(Message::Text(text))) => {
                    let command = serde_json::from_str(&text).expect("we send JSON");
                    call.with(|call| call.obey(command));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}

/// Without another order a summary is refused at once: nothing here depends on its shape.
async fn respond(State(stub): State<VoiceStub>, Json(asked): Json<Value>) -> Response {
    let mut inner = stub.lock();
    inner.asked.push(asked);
    let refused = || (400, json!({"error": {"type": "invalid_request_error", "code": null, "message": "no", "param": null}}));
    let (status, body) = inner.summary.clone().unwrap_or_else(refused);
    (StatusCode::from_u16(status).unwrap_or_default(), Json(body)).into_response()
}
