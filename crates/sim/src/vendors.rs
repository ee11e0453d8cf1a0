//! Models of the provider that writes the summary and of the one that stores the recording.

use crate::database::COMPETENCY;
use crate::faults::Fault;
use crate::plan::{Plan, SummaryFault};
use crate::world::{KillSwitch, World};
use async_trait::async_trait;
use interview_runtime::domain::usage::Tokens;
use interview_runtime::ids::VideoId;
use interview_runtime::integrations::api_video::{Ingest, VideoStatus};
use interview_runtime::integrations::call_error::{CallError, CallErrorKind};
use interview_runtime::integrations::http_client::{CallLimits, Vendor};
use interview_runtime::integrations::openai::responses::{ResponseError, ResponseOutcome, ResponseRequest};
use interview_runtime::ports::{SummaryModel, VideoProvider};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// What a planted panic says; any other panic is a finding.
pub const INJECTED: &str = "injected fault";

fn timed_out(vendor: Vendor, action: &'static str) -> CallError {
    CallError::new(CallLimits { vendor, action, deadline: Duration::from_secs(10), max_body_bytes: 1 }, CallErrorKind::TimedOut)
}

#[derive(Clone, Debug)]
pub struct Writer {
    world: World,
    faults: Arc<Mutex<VecDeque<SummaryFault>>>,
    /// What each summary was made of.
    inputs: Arc<Mutex<Vec<String>>>,
    cut: KillSwitch,
}

impl Writer {
    pub fn new(world: World, plan: &Plan) -> Self {
        Self {
            world,
            faults: Arc::new(Mutex::new(plan.summary_faults.clone())),
            inputs: Arc::default(),
            cut: KillSwitch::default(),
        }
    }

    pub fn door(&self, cut: KillSwitch) -> Arc<Self> {
        Arc::new(Self { cut, ..self.clone() })
    }

    pub fn inputs(&self) -> Vec<String> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Writer {
    /// The summary says which input it was made of.
    fn read(&self, input: &str) -> usize {
        let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        inputs.push(input.to_owned());
        inputs.len() - 1
    }
}

/// The lines of the transcript that a model is given.
pub fn lines(input: &str) -> Vec<Value> {
    input.split_once("Transcript:\n").and_then(|(_, lines)| serde_json::from_str(lines).ok()).unwrap_or_default()
}

fn quotes(input: &str) -> Vec<Value> {
    let said = lines(input).into_iter().filter(|line| line["speaker"] == "candidate");
    said.map(|line| json!({"entry": line["entry"], "quote": line["text"]})).collect()
}

#[async_trait]
impl SummaryModel for Writer {
    async fn ask(&self, request: &ResponseRequest) -> Result<ResponseOutcome, ResponseError> {
        sleep(Duration::from_millis(700)).await;
        if self.cut.is_cut() {
            return Err(ResponseError::Call(timed_out(Vendor::OpenAi, "create_response")));
        }
        let fault = self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match fault {
            Some(SummaryFault::Panics) => self.world.struck(Fault::SummarizerPanics),
            Some(_) => self.world.count(Fault::SummaryUnusable),
            None => {}
        }
        let text = match fault {
            Some(SummaryFault::Panics) => panic!("{INJECTED}"),
            Some(SummaryFault::Garbage) => "{}".to_owned(),
            Some(SummaryFault::Refusal) => return Err(ResponseError::Refused { refusal: "no".into(), tokens: Tokens::default() }),
            Some(SummaryFault::Unavailable) => return Err(ResponseError::Failed { code: "server_error".to_owned() }),
            Some(SummaryFault::Hangs) => {
                sleep(Duration::from_mins(2)).await;
                return Err(ResponseError::Call(timed_out(Vendor::OpenAi, "create_response")));
            }
            // With all that the candidate said for evidence: a summary that rests on nothing does not keep its words.
            None => json!({
                "overall": self.read(&request.input).to_string(), "recommendation": "hold", "strengths": [], "concerns": [],
                "competencies": [{"competency_id": COMPETENCY, "name": "Care", "assessment": "adequate", "rationale": "Said so.", "evidence": quotes(&request.input)}],
            })
            .to_string(),
        };
        Ok(ResponseOutcome {
            id: "r".into(),
            model: request.model.as_str().into(),
            text: text.into(),
            request_id: None,
            tokens: Tokens::default(),
        })
    }
}

#[derive(Clone, Debug)]
pub struct Videos {
    world: World,
    settles: bool,
    finished: Arc<AtomicBool>,
    cut: KillSwitch,
}

impl Videos {
    pub fn new(world: World, plan: &Plan) -> Self {
        Self { world, settles: plan.recording_settles, finished: Arc::default(), cut: KillSwitch::default() }
    }

    pub fn door(&self, cut: KillSwitch) -> Arc<Self> {
        Arc::new(Self { cut, ..self.clone() })
    }

    /// The browser has sent the last part.
    pub fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl VideoProvider for Videos {
    async fn status(&self, _: &VideoId) -> Result<VideoStatus, CallError> {
        sleep(Duration::from_millis(60)).await;
        if self.cut.is_cut() {
            return Err(timed_out(Vendor::ApiVideo, "status"));
        }
        let finished = self.finished.load(Ordering::Relaxed);
        if finished && !self.settles {
            self.world.count(Fault::RecordingNeverSettles);
        }
        let status = if finished && self.settles { "uploaded" } else { "uploading" };
        Ok(VideoStatus { ingest: Ingest { status: Some(status.to_owned()), ..Ingest::default() }, ..VideoStatus::default() })
    }

    async fn close_upload(&self, _: &VideoId, _: u32) -> Result<(), CallError> {
        sleep(Duration::from_millis(60)).await;
        Ok(())
    }

    async fn delete_upload_token(&self, _: &SecretString) -> Result<(), CallError> {
        sleep(Duration::from_millis(60)).await;
        Ok(())
    }
}
