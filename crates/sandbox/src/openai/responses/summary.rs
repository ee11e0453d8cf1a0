//! A summary made of nothing but the words in the request, in the shape of the schema.

use serde_json::{Map, Value, json};

/// One line of the transcript that the request carries.
#[derive(Clone, Debug)]
struct Entry {
    number: i64,
    text: String,
}

/// One thing to judge.
#[derive(Clone, Debug)]
struct Competency {
    id: Value,
    name: String,
    words: Vec<String>,
}

/// Words that say nothing about a competency.
const FILLERS: &[&str] =
    &["with", "that", "this", "from", "about", "their", "have", "what", "when", "which", "and", "the", "for"];

/// Composes the answer. `forge`: put a quote in that nobody said.
pub(super) fn compose(request: &Value, schema: &Value, forge: bool) -> Value {
    let mut arrays = Vec::new();
    for text in texts(&request["input"]) {
        find_arrays(&text, &mut arrays);
    }
    let entries = candidate_entries(&arrays);
    let competencies = competencies(&arrays);
    let mut parts = summary(&entries, &competencies);
    if forge {
        let number = entries.first().map_or(1, |entry| entry.number);
        let quote = json!({ "entry": number, "quote": "I single-handedly invented the transistor." });
        if let Some(evidence) = parts.get_mut("strengths").and_then(|strengths| strengths.as_array_mut()) {
            evidence.push(json!({ "text": "Shows remarkable modesty.", "evidence": [quote] }));
        }
    }
    conform(schema, schema, Some(&Value::Object(parts)))
}

fn summary(entries: &[Entry], competencies: &[Competency]) -> Map<String, Value> {
    let judged: Vec<Value> = competencies.iter().enumerate().map(|(index, it)| assess(it, index, entries)).collect();
    let count = |wanted: &str| judged.iter().filter(|it| it["assessment"] == wanted).count();
    let recommendation = match (entries.is_empty(), count("strong"), count("weak")) {
        (true, _, _) => "insufficient_evidence",
        (false, strong, 0) if strong >= 1 => "advance",
        (false, 0, weak) if weak > 0 => "decline",
        _ => "hold",
    };
    let overall = match entries.first() {
        None => "The candidate said nothing that could be assessed.".to_owned(),
        Some(first) => format!(
            "The candidate gave {} {} with concrete examples. The first one began: \"{}\" \
             This summary was written by the sandbox from the transcript, without a language model.",
            entries.len(),
            if entries.len() == 1 { "answer" } else { "answers" },
            sentences(&first.text).first().copied().unwrap_or_default(),
        ),
    };
    let with_figures = entries.iter().flat_map(|entry| sentences(&entry.text).into_iter().map(move |it| (entry.number, it)));
    let strengths: Vec<Value> = with_figures
        .filter(|(_, sentence)| NUMBERS.iter().any(|number| words(sentence).iter().any(|word| word == number)))
        .take(2)
        .map(|(entry, quote)| observation("Backs up the account with figures.", entry, quote))
        .collect();
    let concerns: Vec<Value> = entries
        .iter()
        .flat_map(|entry| sentences(&entry.text).into_iter().map(move |it| (entry.number, it)))
        .filter(|(_, sentence)| sentence.contains("too much") || sentence.contains("too risky"))
        .take(1)
        .map(|(entry, quote)| observation("Names a limit of their own way of working; worth a follow-up question.", entry, quote))
        .collect();
    let mut parts = Map::new();
    parts.insert("overall".into(), overall.into());
    parts.insert("recommendation".into(), recommendation.into());
    parts.insert("competencies".into(), judged.into());
    parts.insert("strengths".into(), strengths.into());
    parts.insert("concerns".into(), concerns.into());
    parts
}

const NUMBERS: &[&str] =
    &["two", "three", "four", "five", "six", "nine", "ten", "eleven", "thirty", "forty", "eighty", "hundred", "thousand", "half"];

fn observation(text: &str, entry: i64, quote: &str) -> Value {
    json!({ "text": text, "evidence": [{ "entry": entry, "quote": quote }] })
}

fn assess(competency: &Competency, index: usize, entries: &[Entry]) -> Value {
    let best = entries
        .iter()
        .flat_map(|entry| sentences(&entry.text).into_iter().map(move |sentence| (entry, sentence)))
        .map(|(entry, sentence)| (overlap(&competency.words, sentence), entry, sentence))
        .rev()
        // The earliest of equals: of those, the maximum is the last one seen.
        .max_by_key(|(score, _, _)| *score);
    // Without a word in common, the answers are shared out in turn.
    let fallback = (!entries.is_empty()).then(|| &entries[index % entries.len()]);
    let chosen = match best {
        Some((score, entry, sentence)) if score > 0 => Some((score, entry, sentence)),
        _ => fallback.and_then(|entry| sentences(&entry.text).first().map(|sentence| (0, entry, *sentence))),
    };
    let (assessment, rationale, evidence) = match chosen {
        None => ("not_assessed", "The interview did not touch on this.".to_owned(), json!([])),
        Some((score, entry, sentence)) => {
            let length = words(&entry.text).len();
            let assessment = match (score, length) {
                (_, 0..8) => "weak",
                (2.., 30..) => "strong",
                _ => "adequate",
            };
            let rationale = format!("Answer {} speaks to {}.", entry.number, competency.name.to_lowercase());
            (assessment, rationale, json!([{ "entry": entry.number, "quote": sentence }]))
        }
    };
    json!({
        "competency_id": competency.id,
        "name": competency.name,
        "assessment": assessment,
        "rationale": rationale,
        "evidence": evidence,
    })
}

fn overlap(wanted: &[String], sentence: &str) -> usize {
    // A shared stem is enough: "test", "tests", "tested".
    let stem = |word: &str| word.chars().take(4).collect::<String>();
    let said: Vec<String> = words(sentence).iter().map(|word| stem(word)).collect();
    wanted.iter().filter(|word| said.contains(&stem(word))).count()
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// The sentences of a text, each a verbatim part of it.
fn sentences(text: &str) -> Vec<&str> {
    text.split_inclusive(['.', '!', '?']).map(str::trim).filter(|sentence| !sentence.is_empty()).collect()
}

/// All text that the model would read.
fn texts(input: &Value) -> Vec<String> {
    match input {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(map) => ["content", "text"].iter().filter_map(|key| map.get(*key)).flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// Every JSON array in a text, wherever it stands; those inside objects too.
fn find_arrays(text: &str, found: &mut Vec<Vec<Value>>) {
    let mut at = 0;
    while let Some(offset) = text[at..].find('[') {
        let start = at + offset;
        let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Vec<Value>>();
        match stream.next() {
            Some(Ok(values)) => {
                at = start + stream.byte_offset();
                found.push(values);
            }
            _ => at = start + 1,
        }
    }
}

fn candidate_entries(arrays: &[Vec<Value>]) -> Vec<Entry> {
    let lines = arrays.iter().flatten().filter(|line| line["speaker"] == "candidate");
    lines
        .filter_map(|line| {
            let text = line["text"].as_str().filter(|text| !text.trim().is_empty())?;
            Some(Entry { number: line["entry"].as_i64()?, text: text.to_owned() })
        })
        .collect()
}

fn competencies(arrays: &[Vec<Value>]) -> Vec<Competency> {
    let items = arrays.iter().flatten().filter(|item| item.get("competency_id").is_some());
    items
        .map(|item| {
            let name = item["name"].as_str().unwrap_or_default().to_owned();
            let all = format!("{name} {}", item["description"].as_str().unwrap_or_default());
            let words = words(&all).into_iter().filter(|word| word.len() > 3 && !FILLERS.contains(&word.as_str())).collect();
            Competency { id: item["competency_id"].clone(), name, words }
        })
        .collect()
}

/// `value` where it fits the schema, something neutral of the right type where not.
fn conform(root: &Value, schema: &Value, value: Option<&Value>) -> Value {
    if let Some(target) = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#')).and_then(|it| root.pointer(it)) {
        return conform(root, target, value);
    }
    if let Some(options) = schema["anyOf"].as_array() {
        let fitting = options.iter().find(|option| value.is_some_and(|value| is_of_type(option, value)));
        return conform(root, fitting.or(options.first()).unwrap_or(&Value::Null), value);
    }
    if let Some(allowed) = schema["enum"].as_array() {
        let fitting = value.filter(|value| allowed.contains(value)).or(allowed.first());
        return fitting.cloned().unwrap_or(Value::Null);
    }
    let value = value.filter(|value| is_of_type(schema, value));
    match (type_name(schema), value) {
        ("object", value) => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties.map(|(name, of)| (name.clone(), conform(root, of, value.and_then(|value| value.get(name))))).collect()
        }
        ("array", Some(Value::Array(values))) => {
            values.iter().map(|value| conform(root, &schema["items"], Some(value))).collect()
        }
        ("array", _) => json!([]),
        (_, Some(value)) => value.clone(),
        ("string", None) => "Not covered by the sandbox.".into(),
        ("integer" | "number", None) => json!(0),
        ("boolean", None) => json!(false),
        _ => Value::Null,
    }
}

fn type_name(schema: &Value) -> &str {
    schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or_default()
}

fn is_of_type(schema: &Value, value: &Value) -> bool {
    let fits = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => true,
    };
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(fits),
        kind => fits(kind.as_str().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Value {
        let competencies = json!([
            {"competency_id": "c1", "name": "Debugging", "description": "Finds hard faults with tracing and load tests"},
            {"competency_id": "c2", "name": "Ballet", "description": ""},
        ]);
        let transcript = json!([
            {"entry": 1, "speaker": "ai", "text": "Hello [there]. What was hard?"},
            {"entry": 2, "speaker": "candidate", "text": "I added tracing to every request. I wrote a load test in five minutes. It found a fault that hid for weeks, in the code that locks the rows of two tables, and nobody had seen it."},
        ]);
        let text = format!("Position: [x\nCompetencies:\n{competencies}\nTranscript:\n{transcript}");
        json!({"input": [{"role": "user", "content": [{"type": "input_text", "text": text}]}]})
    }

    fn schema() -> Value {
        let evidence = json!({"type": "array", "items": {"type": "object", "properties": {"entry": {"type": "integer"}, "quote": {"type": "string"}}}});
        json!({"type": "object", "properties": {
            "overall": {"type": "string"},
            "recommendation": {"type": "string", "enum": ["advance", "hold", "decline", "insufficient_evidence"]},
            "competencies": {"type": "array", "items": {"type": "object", "properties": {
                "competency_id": {"type": "string"}, "assessment": {"type": "string", "enum": ["strong", "adequate", "weak", "not_assessed"]},
                "evidence": evidence, "score": {"type": "integer"}}}},
            "strengths": {"type": "array", "items": {"type": "object", "properties": {"text": {"type": "string"}, "evidence": evidence}}},
        }})
    }

    #[test]
    fn every_quote_is_verbatim() {
        let summary = compose(&request(), &schema(), false);
        let said = "I added tracing to every request. I wrote a load test in five minutes. It found a fault that hid for weeks, in the code that locks the rows of two tables, and nobody had seen it.";
        let judged = summary["competencies"].as_array().unwrap();
        assert_eq!(judged.len(), 2);
        assert_eq!(judged[0]["assessment"], "strong");
        assert_eq!(judged[0]["score"], 0);
        for it in judged.iter().chain(summary["strengths"].as_array().unwrap()) {
            assert_eq!(it["evidence"][0]["entry"], 2);
            assert!(said.contains(it["evidence"][0]["quote"].as_str().unwrap()), "{it}");
        }
        assert_eq!(summary["recommendation"], "advance");
        assert!(summary.get("concerns").is_none());
    }

    #[test]
    fn without_words_nothing_is_judged() {
        let mut request = request();
        request["input"] = json!([{"role": "user", "content": "[{\"competency_id\":\"c1\",\"name\":\"X\"}] []"}]);
        let summary = compose(&request, &schema(), false);
        assert_eq!(summary["recommendation"], "insufficient_evidence");
        assert_eq!(summary["competencies"][0]["assessment"], "not_assessed");
    }
}
