//! A small language to describe which JSON the vendor accepts, and a checker that refuses with the vendor's words and the path
//! of the invalid field.

use serde_json::{Map, Value};

use super::problem::Problem;

/// What a value may be.
#[derive(Debug)]
pub enum Shape {
    Any,
    Text,
    /// Text of at most so many characters.
    TextUpTo(usize),
    Bool,
    Integer(i64, i64),
    Number(f64, f64),
    OneOf(&'static [&'static str]),
    /// Any object.
    Map,
    Object(&'static [Field]),
    List(&'static Shape),
    Nullable(&'static Shape),
    /// The first shape that fits; the last one's complaint when none does.
    Either(&'static [Shape]),
    /// An object whose `type` decides its shape.
    Tagged(&'static [(&'static str, &'static [Field])]),
}

/// A field of an object.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub required: bool,
    pub shape: Shape,
}

pub const fn may(name: &'static str, shape: Shape) -> Field {
    Field { name, required: false, shape }
}

pub const fn must(name: &'static str, shape: Shape) -> Field {
    Field { name, required: true, shape }
}

impl Shape {
    /// Checks `value`, which sits at `path`.
    pub fn check(&self, path: &str, value: &Value) -> Result<(), Problem> {
        match (self, value) {
            (Self::Any, _)
            | (Self::Text, Value::String(_))
            | (Self::Bool, Value::Bool(_))
            | (Self::Map, Value::Object(_))
            | (Self::Nullable(_), Value::Null) => Ok(()),
            (Self::TextUpTo(limit), Value::String(text)) => {
                if text.chars().count() > *limit {
                    let message = format!("Invalid '{path}': string too long. Expected a string with maximum length {limit}.");
                    return Err(Problem::invalid("string_above_max_length", message).at(path));
                }
                Ok(())
            }
            (Self::Integer(low, high), Value::Number(number)) => match number.as_i64() {
                Some(number) => in_range(path, "integer", number as f64, *low as f64, *high as f64),
                None => Err(wrong_type(path, "an integer", value)),
            },
            (Self::Number(low, high), Value::Number(number)) => {
                in_range(path, "decimal", number.as_f64().unwrap_or(f64::NAN), *low, *high)
            }
            (Self::OneOf(allowed), Value::String(text)) => one_of(path, text, allowed),
            (Self::Object(fields), Value::Object(map)) => check_object(path, fields, map, None),
            (Self::List(item), Value::Array(values)) => {
                values.iter().enumerate().try_for_each(|(index, value)| item.check(&format!("{path}[{index}]"), value))
            }
            (Self::Nullable(shape), value) => shape.check(path, value),
            (Self::Either(shapes), value) => {
                let mut complaint = Ok(());
                for shape in *shapes {
                    complaint = shape.check(path, value);
                    if complaint.is_ok() {
                        break;
                    }
                }
                complaint
            }
            (Self::Tagged(variants), Value::Object(map)) => {
                let at = join(path, "type");
                let Some(tag) = map.get("type") else { return Err(Problem::missing_parameter(&at)) };
                let Some(tag) = tag.as_str() else { return Err(wrong_type(&at, "a string", tag)) };
                let names: Vec<&str> = variants.iter().map(|(name, _)| *name).collect();
                one_of(&at, tag, &names)?;
                let fields = variants.iter().find(|(name, _)| *name == tag).map_or(&[][..], |(_, fields)| fields);
                check_object(path, fields, map, Some("type"))
            }
            (shape, value) => Err(wrong_type(path, shape.expected(), value)),
        }
    }

    fn expected(&self) -> &'static str {
        match self {
            Self::Text | Self::TextUpTo(_) => "a string",
            Self::OneOf(_) => "one of the supported values",
            Self::Bool => "a boolean",
            Self::Integer(..) => "an integer",
            Self::Number(..) => "a decimal",
            Self::Map | Self::Object(_) | Self::Tagged(_) => "an object",
            Self::List(_) => "an array",
            Self::Any | Self::Nullable(_) | Self::Either(_) => "another type",
        }
    }
}

fn check_object(path: &str, fields: &[Field], map: &Map<String, Value>, tag: Option<&str>) -> Result<(), Problem> {
    for name in map.keys() {
        if Some(name.as_str()) != tag && !fields.iter().any(|field| field.name == name) {
            return Err(Problem::unknown_parameter(&join(path, name)));
        }
    }
    for field in fields {
        let at = join(path, field.name);
        match map.get(field.name) {
            Some(value) => field.shape.check(&at, value)?,
            None if field.required => return Err(Problem::missing_parameter(&at)),
            None => {}
        }
    }
    Ok(())
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn in_range(path: &str, kind: &str, value: f64, low: f64, high: f64) -> Result<(), Problem> {
    let (side, bound) = if value < low {
        ("below_min", low)
    } else if value > high || value.is_nan() {
        ("above_max", high)
    } else {
        return Ok(());
    };
    let relation = if side == "below_min" { ">=" } else { "<=" };
    let words = side.replace('_', " ");
    let message =
        format!("Invalid '{path}': {kind} {words} value. Expected a value {relation} {bound}, but got {value} instead.");
    Err(Problem::invalid(&format!("{kind}_{side}_value"), message).at(path))
}

fn one_of(path: &str, text: &str, allowed: &[&str]) -> Result<(), Problem> {
    if allowed.contains(&text) {
        return Ok(());
    }
    let names: Vec<String> = allowed.iter().map(|name| format!("'{name}'")).collect();
    let listed = match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{}, and {last}", rest.join(", ")),
        _ => names.join(""),
    };
    Err(Problem::invalid("invalid_value", format!("Invalid value: '{text}'. Supported values are: {listed}.")).at(path))
}

pub fn wrong_type(path: &str, expected: &str, got: &Value) -> Problem {
    let got = match got {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Problem::invalid("invalid_type", format!("Invalid type for '{path}': expected {expected}, but got {got} instead.")).at(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    static SHAPE: Shape = Shape::Object(&[
        must("type", Shape::OneOf(&["a", "b", "c"])),
        may("size", Shape::Integer(1, 5)),
        may("tags", Shape::List(&Shape::Text)),
        may("either", Shape::Either(&[Shape::Integer(1, 4096), Shape::OneOf(&["inf"])])),
        may("tool", Shape::Nullable(&Shape::Tagged(&[("x", &[must("name", Shape::Text)])]))),
    ]);

    fn complaint(value: Value) -> (String, Option<String>) {
        let problem = SHAPE.check("it", &value).unwrap_err();
        (problem.code.unwrap(), problem.param)
    }

    #[test]
    fn accepts_what_fits() {
        for value in [
            json!({"type": "a"}),
            json!({"type": "b", "size": 5, "tags": ["x"], "either": "inf", "tool": null}),
            json!({"type": "c", "either": 7, "tool": {"type": "x", "name": "n"}}),
        ] {
            SHAPE.check("it", &value).unwrap();
        }
    }

    #[test]
    fn names_the_culprit() {
        let cases = [
            (json!({}), "missing_required_parameter", "it.type"),
            (json!({"type": "z"}), "invalid_value", "it.type"),
            (json!({"type": "a", "more": 1}), "unknown_parameter", "it.more"),
            (json!({"type": "a", "size": 6}), "integer_above_max_value", "it.size"),
            (json!({"type": "a", "size": 1.5}), "invalid_type", "it.size"),
            (json!({"type": "a", "tags": ["x", 2]}), "invalid_type", "it.tags[1]"),
            (json!({"type": "a", "tool": {"type": "y"}}), "invalid_value", "it.tool.type"),
            (json!({"type": "a", "tool": {"type": "x"}}), "missing_required_parameter", "it.tool.name"),
            (json!([]), "invalid_type", "it"),
        ];
        for (value, code, param) in cases {
            assert_eq!(complaint(value), (code.to_owned(), Some(param.to_owned())));
        }
    }
}
