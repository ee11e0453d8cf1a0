//! How two versions of a plan differ, for people.
//!
//! Parts of a list are compared by their id, or by themselves where they have none: a question that moved is one that moved, and
//! not two that changed.

use super::Plan;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where, by ids: `sections/main/questions/needs/spoken/en`.
    pub path: String,
    pub what: What,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub before: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub after: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Added,
    Removed,
    Changed,
    /// Another order of the same parts: `before` and `after` name them.
    Reordered,
}

/// What was done to `before` to get `after`, in the order of their names.
pub fn diff(before: &Plan, after: &Plan) -> Result<Vec<Change>, serde_json::Error> {
    let mut changes = Vec::new();
    compare("", &serde_json::to_value(before)?, &serde_json::to_value(after)?, &mut changes);
    Ok(changes)
}

fn compare(path: &str, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(before), Value::Object(after)) => compare_members(path, before, after, changes),
        (Value::Array(before), Value::Array(after)) => compare_lists(path, before, after, changes),
        _ => changes.push(change(path, What::Changed, before, after)),
    }
}

fn compare_members(path: &str, before: &Map<String, Value>, after: &Map<String, Value>, changes: &mut Vec<Change>) {
    for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        compare_parts(&join(path, key), before.get(key), after.get(key), changes);
    }
}

fn compare_lists(path: &str, before: &[Value], after: &[Value], changes: &mut Vec<Change>) {
    let (names_before, names_after) = (names(before), names(after));
    for (name, part) in names_before.iter().zip(before) {
        let there = names_after.iter().position(|other| other == name).and_then(|n| after.get(n));
        compare_parts(&join(path, name), Some(part), there, changes);
    }
    for (name, part) in names_after.iter().zip(after) {
        if !names_before.contains(name) {
            compare_parts(&join(path, name), None, Some(part), changes);
        }
    }
    let kept = |names: &[String], others: &[String]| -> Vec<String> {
        names.iter().filter(|name| others.contains(name)).cloned().collect()
    };
    let (order_before, order_after) = (kept(&names_before, &names_after), kept(&names_after, &names_before));
    if order_before != order_after {
        changes.push(change(path, What::Reordered, &order_before.into(), &order_after.into()));
    }
}

fn compare_parts(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        (Some(before), Some(after)) => compare(path, before, after, changes),
        (Some(before), None) => changes.push(change(path, What::Removed, before, &Value::Null)),
        (None, Some(after)) => changes.push(change(path, What::Added, &Value::Null, after)),
        (None, None) => {}
    }
}

/// What the parts are called: by their id, or by what they are; the second of the same name gets a number.
fn names(parts: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for part in parts {
        let name = part.get("id").or(part.get("finding")).unwrap_or(part);
        let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        let same = names.iter().filter(|other| **other == name || other.strip_prefix(&name).is_some_and(is_number)).count();
        names.push(if same == 0 { name } else { format!("{name}#{}", same + 1) });
    }
    names
}

fn is_number(rest: &str) -> bool {
    rest.strip_prefix('#').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

fn change(path: &str, what: What, before: &Value, after: &Value) -> Change {
    Change { path: path.to_owned(), what, before: before.clone(), after: after.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::small;
    use serde_json::json;

    fn plan(document: &Value) -> Plan {
        Plan::parse(document.to_string().as_bytes()).expect("a plan")
    }

    fn changes(edit: impl FnOnce(&mut Value)) -> Vec<(String, What)> {
        let before = small();
        let mut after = before.clone();
        edit(&mut after);
        let changes = diff(&plan(&before), &plan(&after)).expect("both are JSON");
        changes.into_iter().map(|change| (change.path, change.what)).collect()
    }

    #[test]
    fn each_change_is_named_at_its_place() {
        assert_eq!(changes(|_| ()), []);
        let needs = "/sections/0/questions/0";
        let told = changes(|plan| {
            plan["minutes"] = json!(10);
            plan["sections"][0]["questions"][0]["spoken"]["en"] = json!("Please tell me about a customer.");
            plan.pointer_mut(needs).expect("it")["probes"] = json!([]);
            plan.pointer_mut(needs).expect("it")["evidence_sought"] = json!(["A question that was asked."]);
            plan["languages"] = json!(["en", "de"]);
        });
        let expected = [
            ("languages/de", What::Added),
            ("minutes", What::Changed),
            ("sections/main/questions/needs/evidence_sought/A question that was asked.", What::Added),
            ("sections/main/questions/needs/probes/result", What::Removed),
            ("sections/main/questions/needs/spoken/en", What::Changed),
        ];
        assert_eq!(told, expected.map(|(path, what)| (path.to_owned(), what)));
    }

    #[test]
    fn what_moved_is_not_what_changed() {
        let mut before = small();
        let mut other = before["sections"][0]["questions"][0].clone();
        other["id"] = json!("second");
        before["sections"][0]["questions"].as_array_mut().expect("questions").push(other);
        let mut after = before.clone();
        after["sections"][0]["questions"].as_array_mut().expect("questions").reverse();
        let told = diff(&plan(&before), &plan(&after)).expect("both are JSON");
        assert_eq!(told.len(), 1, "{told:#?}");
        assert_eq!((told[0].path.as_str(), told[0].what), ("sections/main/questions", What::Reordered));
        assert_eq!(told[0].after, json!(["second", "needs"]));
    }
}
