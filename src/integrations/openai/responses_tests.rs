use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::integrations::openai::OpenAiOptions;
use crate::integrations::test_server::{Reply, TestServer, http_client};

fn request() -> ResponseRequest {
    ResponseRequest {
        model: "gpt-6-luna".into(),
        instructions: "Summarise.".into(),
        input: "words".into(),
        schema_name: "interview_summary".into(),
        schema: json!({"type": "object", "additionalProperties": false, "required": [], "properties": {}}),
        max_output_tokens: 4000,
        effort: Effort::Low,
        metadata: vec![("session_id".into(), "s1".into())],
        safety_identifier: Some(safety_identifier("candidate-1")),
    }
}

async fn ask(reply: Reply) -> (Result<ResponseOutcome, ResponseError>, TestServer) {
    let server = TestServer::always(reply).await;
    let options = OpenAiOptions::new(server.base(), SecretString::from("sk-test"));
    let client = OpenAiClient::new(http_client(), options).expect("usable options");
    (client.create_response(&request()).await, server)
}

#[tokio::test]
async fn what_is_odd_in_an_answer_beside_its_words_costs_no_answer() {
    let words = json!({"type": "message", "content": [{"type": "output_text", "text": "words"}]});
    for (field, odd) in [
        ("usage", json!({"input_tokens": -1, "output_tokens": 1e300, "total_tokens": null})),
        ("usage", json!("much")),
        ("id", json!(null)),
        ("id", json!("r\0\u{202e}")),
        ("model", json!(7)),
        ("error", json!("none")),
        ("incomplete_details", json!([])),
        ("output", json!([7, {"type": "message", "content": "odd"}, {"type": "other"}, words])),
    ] {
        let mut body = json!({"id": "r", "status": "completed", "model": "m", "output": [words]});
        body[field] = odd.clone();
        let outcome = ask(Reply::json(200, &body.to_string())).await.0.unwrap_or_else(|error| panic!("{field} {odd}: {error}"));
        assert_eq!(outcome.text.as_str(), "words", "{field}");
        assert!(!outcome.id.contains('\0'), "{field}");
    }
}

#[tokio::test]
async fn request_has_the_shape_of_the_responses_api() {
    let body = json!({
        "id": "resp_1", "status": "completed", "model": "gpt-6-luna-2026-09-01", "error": null, "incomplete_details": null,
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "{\"a\":", "annotations": []}, {"type": "output_text", "text": "1}"}
            ]}
        ],
        "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "output_tokens_details": {"reasoning_tokens": 2}}
    });
    let (result, server) = ask(Reply::json(200, &body.to_string())).await;
    let outcome = result.expect("an answer");
    assert_eq!(outcome.text.as_str(), "{\"a\":1}");
    assert_eq!(outcome.model, "gpt-6-luna-2026-09-01");
    assert!(!format!("{outcome:?}").contains("\"a\""), "the answer does not print");

    let sent = server.only_request();
    assert_eq!(sent.line, "POST /v1/responses");
    let expected = json!({
        "model": "gpt-6-luna", "store": false, "max_output_tokens": 4000, "reasoning": {"effort": "low"},
        "instructions": "Summarise.",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "words"}]}],
        "text": {"format": {
            "type": "json_schema", "name": "interview_summary", "strict": true,
            "schema": {"type": "object", "additionalProperties": false, "required": [], "properties": {}}
        }},
        "metadata": {"session_id": "s1"},
        "safety_identifier": safety_identifier("candidate-1")
    });
    assert_eq!(sent.json(), expected);
}

#[tokio::test]
async fn failures_by_the_table() {
    use ErrorCode as C;
    use FaultClass::{Bug, Rejected, Transient};
    let refusal = json!({"id": "r", "status": "completed", "output": [
        {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]});
    let incomplete =
        |reason: &str| json!({"id": "r", "status": "incomplete", "incomplete_details": {"reason": reason}, "output": []});
    let failed = |code: &str| json!({"id": "r", "status": "failed", "error": {"code": code, "message": "m"}, "output": []});
    let cases = [
        (200, refusal.to_string(), Rejected, C::OpenAiSummaryRefused),
        (200, incomplete("max_output_tokens").to_string(), Transient, C::OpenAiSummaryIncomplete),
        (200, incomplete("content_filter").to_string(), Rejected, C::OpenAiSummaryIncomplete),
        (200, incomplete("something_new").to_string(), Transient, C::OpenAiSummaryIncomplete),
        (200, failed("server_error").to_string(), Transient, C::OpenAiSummaryFailed),
        (200, failed("rate_limit_exceeded").to_string(), Transient, C::OpenAiSummaryFailed),
        (200, failed("invalid_prompt").to_string(), Rejected, C::OpenAiSummaryFailed),
        (200, json!({"id": "r", "status": "completed", "output": []}).to_string(), Transient, C::OpenAiAnswerInvalid),
        (200, json!({"id": "r", "status": "queued", "output": []}).to_string(), Transient, C::OpenAiAnswerInvalid),
        (200, "<html>".to_owned(), Transient, C::OpenAiAnswerInvalid),
        (
            400,
            r#"{"error":{"type":"invalid_request_error","param":"text.format","code":null}}"#.to_owned(),
            Bug,
            C::OpenAiRequestInvalid,
        ),
        (404, r#"{"error":{"code":"model_not_found"}}"#.to_owned(), Rejected, C::OpenAiModelUnavailable),
        (429, r#"{"error":{"code":"credit_balance_exhausted"}}"#.to_owned(), Rejected, C::OpenAiQuotaExhausted),
        (429, r#"{"error":{"code":"slow_down"}}"#.to_owned(), Transient, C::OpenAiRateLimited),
    ];
    for (status, body, class, code) in cases {
        let (result, _server) = ask(Reply::json(status, &body)).await;
        let error = result.expect_err("a failure");
        assert_eq!((error.class(), error.code()), (class, code), "{status} {body}");
    }
}

#[tokio::test]
async fn an_answer_with_half_a_character_and_a_nul_is_read() {
    let body = r#"{"id": "r\u0000", "status": "completed", "model": "m\ud83d", "output": [
        {"type": "message", "content": [{"type": "output_text", "text": "a \ud83d b \u0000"}]}]}"#;
    let (result, _server) = ask(Reply::json(200, body)).await;
    let outcome = result.expect("an answer");
    assert_eq!((&*outcome.id, &*outcome.model, outcome.text.as_str()), ("r\u{fffd}", "m\u{fffd}", "a \u{fffd} b \0"));
}

#[test]
fn safety_identifier_does_not_tell_the_id() {
    let hash = safety_identifier("candidate-1");
    assert_eq!(hash.len(), 64);
    assert_ne!(hash, safety_identifier("candidate-2"));
}
