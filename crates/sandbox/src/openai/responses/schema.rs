//! What a strict JSON schema must look like before the model is asked to follow it.

use serde_json::Value;

use crate::openai::problem::Problem;

const MAX_DEPTH: usize = 10;

pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    let fits = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if fits {
        return Ok(());
    }
    let message = "Invalid 'text.format.name': string does not match pattern. \
                   Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.";
    Err(Problem::invalid("invalid_value", message).at("text.format.name"))
}

/// The subset that structured outputs accept.
pub(super) fn check_strict(format: &Value) -> Result<(), Problem> {
    let name = format["name"].as_str().unwrap_or_default();
    let schema = &format["schema"];
    let refusal = |context: &str, text: String| {
        let message = format!("Invalid schema for response_format '{name}': In context=({context}), {text}");
        Problem::invalid("invalid_json_schema", message).at("text.format.schema")
    };
    if schema["type"] != "object" {
        return Err(refusal("", "schema must be a JSON Schema of 'type: \"object\"'.".to_owned()));
    }
    check_node(schema, schema, &mut Vec::new()).map_err(|(path, text)| {
        let context: Vec<String> = path.iter().map(|step| format!("'{step}'")).collect();
        refusal(&context.join(", "), text)
    })
}

type Culprit = (Vec<String>, String);

fn check_node(root: &Value, node: &Value, path: &mut Vec<String>) -> Result<(), Culprit> {
    if path.len() > 2 * MAX_DEPTH {
        return Err((path.clone(), "the schema is nested too deeply.".to_owned()));
    }
    if let Some(reference) = node["$ref"].as_str() {
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return if target.is_some() {
            Ok(())
        } else {
            Err((path.clone(), format!("reference '{reference}' cannot be resolved.")))
        };
    }
    for banned in ["allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "oneOf"] {
        if node.get(banned).is_some() {
            return Err((path.clone(), format!("'{banned}' is not permitted.")));
        }
    }
    if let Some(properties) = node["properties"].as_object() {
        if node["additionalProperties"] != false {
            return Err((path.clone(), "'additionalProperties' is required to be supplied and to be false.".to_owned()));
        }
        for (name, property) in properties {
            let listed = node["required"].as_array().is_some_and(|required| required.iter().any(|entry| entry == name));
            if !listed {
                let text = "'required' is required to be supplied and to be an array including every key in properties. ";
                return Err((path.clone(), format!("{text}Missing '{name}'.")));
            }
            path.extend(["properties".to_owned(), name.clone()]);
            check_node(root, property, path)?;
            path.truncate(path.len() - 2);
        }
    } else if node["type"] == "object" {
        return Err((path.clone(), "'additionalProperties' is required to be supplied and to be false.".to_owned()));
    }
    for (keyword, child) in [("items", node.get("items"))] {
        if let Some(child) = child {
            path.push(keyword.to_owned());
            check_node(root, child, path)?;
            path.pop();
        } else if node["type"] == "array" {
            return Err((path.clone(), "array schema missing items.".to_owned()));
        }
    }
    for (index, child) in node["anyOf"].as_array().into_iter().flatten().enumerate() {
        path.extend(["anyOf".to_owned(), index.to_string()]);
        check_node(root, child, path)?;
        path.truncate(path.len() - 2);
    }
    for (name, child) in node["$defs"].as_object().into_iter().flatten() {
        path.extend(["$defs".to_owned(), name.clone()]);
        check_node(root, child, path)?;
        path.truncate(path.len() - 2);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(schema: Value) -> String {
        check_strict(&json!({"name": "it", "schema": schema})).unwrap_err().message
    }

    #[test]
    fn names_what_is_wrong() {
        let inner = json!({"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]});
        let outer = json!({"type": "object", "additionalProperties": false, "required": ["a"], "properties": {"a": inner}});
        assert!(refused(outer).contains("context=('properties', 'a'), 'additionalProperties'"));
        let optional =
            json!({"type": "object", "additionalProperties": false, "required": [], "properties": {"a": {"type": "string"}}});
        assert!(refused(optional).contains("Missing 'a'"));
        assert!(refused(json!({"type": "array", "items": {"type": "string"}})).contains("type: \"object\""));
    }

    #[test]
    fn accepts_the_subset() {
        let schema = json!({"type": "object", "additionalProperties": false, "required": ["a", "b"], "properties": {
            "a": {"type": "array", "items": {"$ref": "#/$defs/x"}}, "b": {"anyOf": [{"type": "null"}, {"type": "integer"}]}
        }, "$defs": {"x": {"type": "string", "enum": ["y"]}}});
        check_strict(&json!({"name": "it", "schema": schema})).unwrap();
    }
}
