//! The response object, and what a response cost.

use serde_json::{Value, json};

use super::Interviewer;
use super::response::{Content, PartProgress, Run, item_value};

impl Interviewer {
    pub(super) fn response_object(&self, run: &Run, status: &str, details: Value, usage: Value) -> Value {
        let output: Vec<Value> = if status == "in_progress" {
            Vec::new()
        } else {
            let shown = |index: &usize| run.parts[*index].progress > PartProgress::Planned;
            let status = if status == "completed" { "completed" } else { "incomplete" };
            (0..run.parts.len()).filter(shown).map(|index| item_value(run, index, status)).collect()
        };
        let audio = &self.session.value()["audio"]["output"];
        json!({
            "object": "realtime.response",
            "id": run.id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": run.in_conversation.then(|| self.conversation.id.clone()),
            "output_modalities": [if run.speaks { "audio" } else { "text" }],
            "max_output_tokens": run.max_output_tokens,
            "audio": { "output": { "format": audio["format"], "voice": audio["voice"] } },
            "usage": usage,
            "metadata": run.metadata,
        })
    }

    pub(super) fn usage(&mut self, run: &Run) -> Value {
        let mut audio = 0;
        let mut text = 0;
        for part in run.parts.iter().filter(|part| part.progress > PartProgress::Planned) {
            text += part.said.split_whitespace().count() as u64;
            if let Content::Message { line, .. } = &part.content
                && run.speaks
            {
                // One token for 50 ms of the AI's voice.
                audio += line.clip.duration().as_millis() as u64 / 50;
            }
        }
        let input = 60 + self.used_tokens.min(100_000);
        self.used_tokens += audio + text;
        json!({
            "total_tokens": input + audio + text,
            "input_tokens": input,
            "output_tokens": audio + text,
            "input_token_details": {
                "text_tokens": input,
                "audio_tokens": 0,
                "image_tokens": 0,
                "cached_tokens": 0,
                "cached_tokens_details": { "text_tokens": 0, "audio_tokens": 0, "image_tokens": 0 },
            },
            "output_token_details": { "text_tokens": text, "audio_tokens": audio },
        })
    }
}
