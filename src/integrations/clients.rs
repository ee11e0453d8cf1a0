//! The clients of one process, built once from its configuration.

use super::api_video::VideoStatus;
use super::api_video::{ApiVideoClient, ApiVideoOptions};
use super::call_error::CallError;
use super::http_client::{HttpClient, HttpClientOptions};
use super::mail::Mailer;
use super::openai::calls::{CallCreated, CreateCallError, HungUp};
use super::openai::events::ClientEvent;
use super::openai::responses::{ResponseError, ResponseOutcome, ResponseRequest};
use super::openai::session_config::SessionConfig;
use super::openai::sideband::{ConnectSidebandError, Inbound, SidebandError, SidebandReader, SidebandWriter};
use super::openai::{OpenAiClient, OpenAiOptions};
use super::private_network::PrivateNetwork;
use super::store::{Store, StoreOptions};
use crate::clock::Clock;
use crate::config::Config;
use crate::ids::{CallId, VideoId};
use crate::ports::{Sideband, SidebandRead, SidebandWrite, SummaryModel, VideoProvider, VoiceProvider};
use async_trait::async_trait;
use secrecy::SecretString;
use std::sync::Arc;

/// What a session's actors speak to the outside with.
#[derive(Debug)]
pub struct Integrations {
    pub voice: Arc<dyn VoiceProvider>,
    pub summaries: Arc<dyn SummaryModel>,
    pub video: Arc<dyn VideoProvider>,
    pub clock: Clock,
}

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("http client")]
    Http(#[from] super::http_client::BuildHttpClientError),
    #[error("openai client")]
    OpenAi(#[from] super::openai::OpenAiOptionsError),
    #[error("a base url is not usable")]
    BaseUrl(#[from] super::http_client::InvalidBaseUrl),
    #[error("mail")]
    Mail(#[from] super::mail::MailerError),
    #[error("store")]
    Store(#[from] super::store::StoreError),
}

pub fn http_client() -> Result<HttpClient, BuildError> {
    Ok(HttpClient::new(&HttpClientOptions::default())?)
}

pub fn store(config: &Config) -> Result<Store, BuildError> {
    let database = &config.database;
    Ok(Store::new(&StoreOptions {
        url: database.url.clone(),
        max_connections: database.max_connections,
        connect_timeout: database.connect_timeout(),
        statement_timeout_ms: database.statement_timeout_ms,
        transaction_timeout: database.transaction_timeout(),
        pooler: database.pooler,
        attempt: config.session.attempt,
    })?)
}

pub fn api_video(config: &Config, http: HttpClient) -> Result<ApiVideoClient, BuildError> {
    let options = ApiVideoOptions {
        deadline: config.api_video.timeout(),
        ..ApiVideoOptions::new(config.api_video.base_url.clone(), config.api_video.api_key.clone())
    };
    Ok(ApiVideoClient::new(http, options)?)
}

/// None: no mail is sent.
pub fn mailer(config: &Config) -> Result<Option<Mailer>, BuildError> {
    Ok(Mailer::new(&config.mail)?)
}

pub fn private_network(config: &Config, http: HttpClient) -> PrivateNetwork {
    PrivateNetwork::new(http, config.routing.machine_address.clone(), config.routing.private_resolver())
}

impl Integrations {
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        let http = http_client()?;
        let openai = OpenAiOptions {
            call_deadline: config.openai.call_timeout(),
            handshake_deadline: config.openai.sideband_timeout(),
            response_deadline: config.openai.summary_timeout(),
            ..OpenAiOptions::new(config.openai.base_url.clone(), config.openai.api_key.clone())
        };
        let openai = Arc::new(OpenAiClient::new(http.clone(), openai)?);
        let video = Arc::new(api_video(config, http)?);
        Ok(Self { voice: openai.clone(), summaries: openai, video, clock: Clock::system() })
    }
}

#[async_trait]
impl VoiceProvider for OpenAiClient {
    async fn create_call(&self, sdp: &str, session: &SessionConfig) -> Result<CallCreated, CreateCallError> {
        self.create_call(sdp, session).await
    }

    async fn hang_up(&self, call: &CallId) -> Result<HungUp, CallError> {
        self.hang_up(call).await
    }

    async fn join(&self, call: &CallId) -> Result<Sideband, ConnectSidebandError> {
        let (reader, writer) = self.connect_sideband(call).await?.split();
        Ok((Box::new(reader), Box::new(writer)))
    }
}

#[async_trait]
impl SidebandRead for SidebandReader {
    async fn next(&mut self) -> Result<Inbound, SidebandError> {
        self.next().await
    }
}

#[async_trait]
impl SidebandWrite for SidebandWriter {
    async fn send(&mut self, event: &ClientEvent) -> Result<(), SidebandError> {
        self.send(event).await
    }

    async fn ping(&mut self) -> Result<(), SidebandError> {
        self.ping().await
    }

    async fn close(&mut self) -> Result<(), SidebandError> {
        self.close().await
    }
}

#[async_trait]
impl SummaryModel for OpenAiClient {
    async fn ask(&self, request: &ResponseRequest) -> Result<ResponseOutcome, ResponseError> {
        self.create_response(request).await
    }
}

#[async_trait]
impl VideoProvider for ApiVideoClient {
    async fn status(&self, video: &VideoId) -> Result<VideoStatus, CallError> {
        self.status(video).await
    }

    async fn close_upload(&self, video: &VideoId, part: u32) -> Result<(), CallError> {
        self.close_upload(video, part).await
    }

    async fn delete_upload_token(&self, token: &SecretString) -> Result<(), CallError> {
        self.delete_upload_token(token).await
    }
}
