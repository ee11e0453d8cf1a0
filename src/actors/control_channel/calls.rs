//! Opens and ends a call at the provider. Retries only where a repeat is safe.

use super::*;

pub(super) async fn open_call(
    voice: &dyn VoiceProvider,
    sdp: &str,
    setup: &SessionConfig,
    trace: &Trace,
) -> Result<(CallId, String), CallRefused> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
    let mut tries = 0;
    loop {
        tries += 1;
        let span = trace.adopt_under(
            tracing::info_span!("openai.realtime.calls.create", otel.kind = "client"),
            &Trace::context_of(&tracing::Span::current()),
        );
        let error = match voice.create_call(sdp, setup).instrument(span).await {
            Ok(created) => {
                tracing::Span::current().record("tries", tries);
                return Ok((created.call_id, created.answer_sdp));
            }
            Err(error) => error,
        };
        if let Some(orphan) = error.orphan() {
            hang_up(voice, orphan).await;
        }
        let after = error.retry_after().unwrap_or_else(|| backoff.next_delay());
        let again = error.class() == FaultClass::Transient && error.is_safe_to_repeat() && after < Duration::from_secs(5);
        if !again || tries >= OPEN_TRIES {
            tracing::Span::current().record("tries", tries);
            tracing::Span::current().record("error_code", error.code().as_str());
            tracing::error!(error_code = error.code().as_str(), error = %chain(&error), tries, "the call could not be opened");
            // An offer that is refused is the browser's; a key that is refused is ours for good.
            let fatal = matches!(error.code(), ErrorCode::OpenAiUnauthorized | ErrorCode::OpenAiQuotaExhausted);
            return Err(CallRefused { code: error.code(), fatal });
        }
        tokio::time::sleep(after).await;
    }
}

/// True when the call is known to be over.
pub async fn hang_up(voice: &dyn VoiceProvider, call: &CallId) -> bool {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
    for _ in 0..3 {
        match voice.hang_up(call).await {
            Ok(_) => return true,
            Err(error) if error.class() == FaultClass::Transient => tokio::time::sleep(backoff.next_delay()).await,
            Err(error) => {
                tracing::Span::current().record("error_code", error.code().as_str());
                tracing::warn!(error_code = error.code().as_str(), error = %chain(&error), "the call could not be hung up; the provider ends it when the browser is gone");
                return false;
            }
        }
    }
    false
}
