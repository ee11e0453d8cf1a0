//! The clients of one process, built once from its configuration.

use super::api_video::{ApiVideoClient, ApiVideoOptions};
use super::http_client::{HttpClient, HttpClientOptions};
use super::openai::{OpenAiClient, OpenAiOptions};
use super::store::{Store, StoreOptions};
use crate::config::Config;

/// What a session's actors speak to the outside with.
#[derive(Debug)]
pub struct Integrations {
    pub openai: OpenAiClient,
    pub api_video: ApiVideoClient,
}

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("http client")]
    Http(#[from] super::http_client::BuildHttpClientError),
    #[error("openai client")]
    OpenAi(#[from] super::openai::OpenAiOptionsError),
    #[error("a base url is not usable")]
    BaseUrl(#[from] super::http_client::InvalidBaseUrl),
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
    })?)
}

pub fn api_video(config: &Config, http: HttpClient) -> Result<ApiVideoClient, BuildError> {
    let options = ApiVideoOptions {
        deadline: config.api_video.timeout(),
        ..ApiVideoOptions::new(config.api_video.base_url.clone(), config.api_video.api_key.clone())
    };
    Ok(ApiVideoClient::new(http, options)?)
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
        Ok(Self { openai: OpenAiClient::new(http.clone(), openai)?, api_video: api_video(config, http)? })
    }
}
