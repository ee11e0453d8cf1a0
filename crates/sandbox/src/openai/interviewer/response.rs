//! What a response is made of, and the order of its steps.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::openai::script::Line;

/// One response while it is generated.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: String,
    /// Writes the default conversation (else it is out of band).
    pub(super) in_conversation: bool,
    pub(super) speaks: bool,
    pub(super) metadata: Value,
    pub(super) max_output_tokens: Value,
    pub(super) steps: VecDeque<Step>,
    pub(super) parts: Vec<Part>,
    pub(super) ends_interview: bool,
}

/// One output item of a response.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) item: String,
    /// The item before it, once it is added.
    pub(super) previous: Option<String>,
    pub(super) content: Content,
    /// What of the words is out so far.
    pub(super) said: String,
    pub(super) progress: PartProgress,
}

#[derive(Debug)]
pub(super) enum Content {
    Message { line: Line, commentary: bool },
    Call { id: String, name: &'static str },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum PartProgress {
    Planned,
    Added,
    Open,
    Closed,
    Done,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Added(usize),
    Open(usize),
    Words(usize, String),
    Play(usize),
    Closed(usize),
    Done(usize),
    Finish,
}

/// The steps of a response, in the order that recordings show.
pub(super) fn plan(parts: &[Part], arguments: Option<&str>, speaks: bool) -> VecDeque<Step> {
    let mut steps = VecDeque::new();
    for (index, part) in parts.iter().enumerate() {
        let Content::Message { line, .. } = &part.content else { continue };
        steps.extend([Step::Added(index), Step::Open(index)]);
        let words = split_words(&line.text);
        for (n, word) in words.iter().enumerate() {
            steps.push_back(Step::Words(index, word.clone()));
            // Sound starts a moment after the first words are known.
            if speaks && n == words.len().min(2) - 1 {
                steps.push_back(Step::Play(index));
            }
        }
        // A second item opens before the first is closed.
        if arguments.is_some() {
            steps.push_back(Step::Added(index + 1));
        }
        steps.extend([Step::Closed(index), Step::Done(index)]);
    }
    if let Some(arguments) = arguments {
        let index = parts.len() - 1;
        if index == 0 {
            // Nothing is said before it.
            steps.push_back(Step::Added(index));
        }
        let middle = arguments.len() / 2;
        let middle = (0..=middle).rev().find(|at| arguments.is_char_boundary(*at)).unwrap_or(0);
        let (first, second) = arguments.split_at(middle);
        let pieces = [first, second].into_iter().filter(|piece| !piece.is_empty());
        steps.extend(pieces.map(|piece| Step::Words(index, piece.to_owned())));
        steps.extend([Step::Closed(index), Step::Done(index)]);
    }
    steps.push_back(Step::Finish);
    steps
}

/// Words with the space before them; a sentence's last sign is a piece of its own.
pub(super) fn split_words(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let space = if pieces.is_empty() { "" } else { " " };
        let word = word.trim_end();
        let bare = word.trim_end_matches(['.', ',', '?', '!']);
        pieces.push(format!("{space}{bare}"));
        if bare.len() < word.len() {
            pieces.push(word[bare.len()..].to_owned());
        }
    }
    pieces
}

pub(super) fn place(run: &Run, index: usize) -> Value {
    json!({ "response_id": run.id, "item_id": run.parts[index].item, "output_index": index, "content_index": 0 })
}

pub(super) fn remove(fields: &mut Value, name: &str) {
    if let Some(map) = fields.as_object_mut() {
        map.remove(name);
    }
}

pub(super) fn item_value(run: &Run, index: usize, status: &str) -> Value {
    let part = &run.parts[index];
    match &part.content {
        Content::Message { commentary, .. } => {
            let content = if part.progress < PartProgress::Open {
                json!([])
            } else if run.speaks {
                json!([{ "type": "output_audio", "transcript": part.said }])
            } else {
                json!([{ "type": "output_text", "text": part.said }])
            };
            let phase = if *commentary { "commentary" } else { "final_answer" };
            json!({
                "id": part.item,
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": content,
                "phase": phase,
            })
        }
        Content::Call { id, name } => json!({
            "id": part.item,
            "type": "function_call",
            "status": status,
            "name": name,
            "call_id": id,
            "arguments": part.said,
        }),
    }
}
