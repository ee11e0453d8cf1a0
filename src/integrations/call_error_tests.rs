use super::*;

#[test]
fn secrets_are_blanked_and_the_rest_is_kept() {
    let text = r#"{"message":"Incorrect API key provided: sk-proj-abc***xyz. Bearer eyJhbGciOi.J9.x and FlyV1 fm2_lJPE, sorry"}"#;
    let redacted = redact_secrets(text);
    for secret in ["sk-proj", "xyz", "eyJ", "fm2_"] {
        assert!(!redacted.contains(secret), "{redacted}");
    }
    assert!(redacted.contains("Incorrect API key provided: [redacted] Bearer [redacted]"), "{redacted}");
}

#[test]
fn truncation_keeps_whole_characters() {
    assert_eq!(truncated("aé", 2), "a");
    assert_eq!(truncated("aé", 3), "aé");
}

#[test]
fn excerpt_is_bounded_and_does_not_print() {
    let excerpt = BodyExcerpt::new(&[b'w'; 10_000]);
    assert_eq!(excerpt.expose().len(), EXCERPT_BYTES);
    assert_eq!(format!("{excerpt:?}"), "[2048 bytes]");
}
