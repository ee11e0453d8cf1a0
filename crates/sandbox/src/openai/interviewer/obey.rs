//! An interviewer that is led by its instructions: it says word for word what they tell it to, and calls the tool that they name.
//!
//! A model does the same, less reliably. It reads what a model reads (instructions, silent notes, answers to its tool calls) and
//! knows nothing of whoever wrote them.

use serde_json::Value;

/// The tool by which an interviewer asks what comes next. A session that declares it leads its interviewer.
pub const NEXT_TOOL: &str = "next_question";

const VERBATIM: &str = "word for word";

/// What the interviewer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Say(String),
    /// Ask what comes next, without a word.
    AskNext,
    /// Listen.
    Nothing,
}

/// What is to be done after these, the latest being the most important: the instructions of the session, a silent note since the
/// last words, the answer to the last tool call.
pub fn act(instructions: &str, note: &str, tool_answer: Option<&Value>) -> Act {
    if let Some(answer) = tool_answer {
        return answer["say"].as_str().map_or(Act::Nothing, |text| Act::Say(text.to_owned()));
    }
    let told = quoted_after(note, VERBATIM);
    if !told.is_empty() {
        return Act::Say(told.join(" "));
    }
    if !note.is_empty() {
        return Act::Say(spoken_for(note));
    }
    // What follows a heading of the present counts; what stands above it holds always.
    let now = instructions.rsplit_once("# Now").map_or(instructions, |(_, now)| now);
    if now.contains(&format!("call {NEXT_TOOL}")) {
        return Act::AskNext;
    }
    let told = quoted_after(now, VERBATIM);
    if told.is_empty() { Act::Nothing } else { Act::Say(told.join(" ")) }
}

/// A note without words to say is put into words, as short as can be.
fn spoken_for(note: &str) -> String {
    let note = note.to_lowercase();
    let text = if note.contains("goodbye") {
        "Thank you very much. Goodbye."
    } else if note.contains("no hurry") {
        "There is no hurry."
    } else if note.contains("offer") {
        "Shall I repeat the question, or shall we go on?"
    } else {
        "Let us go on."
    };
    text.to_owned()
}

/// The JSON strings that follow the phrase, in its line.
fn quoted_after(text: &str, phrase: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.find(phrase).map(|at| &line[at + phrase.len()..]));
    lines
        .filter_map(|rest| {
            let quoted = &rest[rest.find('"')?..];
            let first = serde_json::Deserializer::from_str(quoted).into_iter::<String>().next();
            first.and_then(Result::ok)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_stands_now_is_said_word_for_word() {
        let instructions = "# Tools\nWhen it is answered, call next_question.\n# Now\nFirst say this, word for word: \"Hello.\"\nAsk this question, word for word, and no other: \"Why \\\"Rust\\\"?\"\nThen wait.";
        assert_eq!(act(instructions, "", None), Act::Say("Hello. Why \"Rust\"?".to_owned()));
    }

    #[test]
    fn an_answered_question_is_followed_by_the_tool_and_its_answer_is_said() {
        let instructions = "# Now\nYou have asked: \"Why?\" Listen.\nyou may ask one of these, word for word, each once, and no other:\n- when …: \"How?\"\nWhen it is answered, call next_question without a word before.";
        assert_eq!(act(instructions, "", None), Act::AskNext);
        assert_eq!(act(instructions, "", Some(&json!({"say": "And how?"}))), Act::Say("And how?".to_owned()));
        assert_eq!(act(instructions, "", Some(&json!({"not_yet": "wait"}))), Act::Nothing);
    }

    #[test]
    fn a_note_goes_before_the_instructions() {
        let note = "Say this now, word for word, after at most one short sentence: \"Goodbye.\"";
        assert_eq!(act("# Now\ncall next_question", note, None), Act::Say("Goodbye.".to_owned()));
        assert_eq!(act("", "Say in one sentence that there is no hurry.", None), Act::Say("There is no hurry.".to_owned()));
    }
}
