//! A position, and the competencies that a company judges by: what may stand in their fields.

use crate::edge::{FieldError, Fields, Text};
use crate::ids::{CompetencyId, LibraryCompetencyId};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

pub const NAME_CHARS: usize = 200;
pub const TEXT_CHARS: usize = 4_000;
pub const DEFINITION_CHARS: usize = 2_000;
pub const ANCHOR_CHARS: usize = 1_000;
/// More cannot be judged in one conversation.
pub const MOST_COMPETENCIES: usize = 20;

/// What somebody typed, or what is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPosition {
    pub title: String,
    #[serde(default)]
    pub description: String,
    /// What the interviewer is told beyond the competencies.
    #[serde(default)]
    pub guidance: String,
    #[serde(default)]
    pub competencies: Vec<RawCompetency>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCompetency {
    /// One that the position has already; without it, it is a new one.
    #[serde(default)]
    pub id: Option<CompetencyId>,
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// Where it was copied from.
    #[serde(default)]
    pub library_id: Option<LibraryCompetencyId>,
}

/// A change of it: what is absent stays. The competencies are replaced as a whole.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionPatch {
    title: Option<String>,
    description: Option<String>,
    guidance: Option<String>,
    competencies: Option<Vec<RawCompetency>>,
}

impl RawPosition {
    pub fn patched(self, patch: PositionPatch) -> Self {
        Self {
            title: patch.title.unwrap_or(self.title),
            description: patch.description.unwrap_or(self.description),
            guidance: patch.guidance.unwrap_or(self.guidance),
            competencies: patch.competencies.unwrap_or(self.competencies),
        }
    }

    /// The same again, for a position that is alike.
    pub fn copied(self) -> Self {
        let title: String = self.title.chars().take(NAME_CHARS - " (copy)".len()).collect();
        let competencies = self.competencies.into_iter().map(|one| RawCompetency { id: None, ..one }).collect();
        Self { title: title + " (copy)", competencies, ..self }
    }
}

/// A position that can be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionDraft {
    pub title: Text,
    pub description: Text,
    pub guidance: Text,
    /// In the order of their rank.
    pub competencies: Vec<CompetencyDraft>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompetencyDraft {
    pub id: Option<CompetencyId>,
    pub name: Text,
    pub description: Text,
    pub library_id: Option<LibraryCompetencyId>,
}

impl PositionDraft {
    /// `known`: the competencies that this position has.
    pub fn check(raw: &RawPosition, known: &[CompetencyId]) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::default();
        if raw.competencies.len() > MOST_COMPETENCIES {
            fields.refuse("competencies", format!("must be at most {MOST_COMPETENCIES}"));
        }
        let (mut names, mut ids) = (HashSet::new(), HashSet::new());
        let competencies = raw.competencies.iter().take(MOST_COMPETENCIES).enumerate().map(|(at, one)| {
            let field = |name: &str| format!("competencies[{at}].{name}");
            let name = fields.line(field("name"), &one.name, NAME_CHARS);
            if !name.is_empty() && !names.insert(name.to_lowercase()) {
                fields.refuse(field("name"), "is there twice");
            }
            if one.id.is_some_and(|id| !known.contains(&id) || !ids.insert(id)) {
                fields.refuse(field("id"), "is no competency of this position, or is there twice");
            }
            let description = fields.paragraph(field("description"), &one.description, DEFINITION_CHARS);
            CompetencyDraft { id: one.id, name, description, library_id: one.library_id }
        });
        let competencies = competencies.collect();
        let draft = Self {
            title: fields.line("title", &raw.title, NAME_CHARS),
            description: fields.paragraph("description", &raw.description, TEXT_CHARS),
            guidance: fields.paragraph("guidance", &raw.guidance, TEXT_CHARS),
            competencies,
        };
        fields.finish(draft)
    }
}

/// Behaviour that is worth a 1, a 3 and a 5 (behaviourally anchored rating scale).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAnchors {
    #[serde(rename = "1")]
    pub one: String,
    #[serde(rename = "3")]
    pub three: String,
    #[serde(rename = "5")]
    pub five: String,
}

/// A competency of the library, as somebody typed it or as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLibraryCompetency {
    pub name: String,
    #[serde(default)]
    pub definition: String,
    #[serde(default)]
    pub anchors: RawAnchors,
}

/// A change of it: what is absent stays, of the anchors too.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibraryCompetencyPatch {
    name: Option<String>,
    definition: Option<String>,
    #[serde(default)]
    anchors: AnchorsPatch,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorsPatch {
    #[serde(rename = "1")]
    one: Option<String>,
    #[serde(rename = "3")]
    three: Option<String>,
    #[serde(rename = "5")]
    five: Option<String>,
}

impl RawLibraryCompetency {
    pub fn patched(self, patch: LibraryCompetencyPatch) -> Self {
        let (old, new) = (self.anchors, patch.anchors);
        Self {
            name: patch.name.unwrap_or(self.name),
            definition: patch.definition.unwrap_or(self.definition),
            anchors: RawAnchors {
                one: new.one.unwrap_or(old.one),
                three: new.three.unwrap_or(old.three),
                five: new.five.unwrap_or(old.five),
            },
        }
    }
}

/// A competency of the library that can be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryCompetencyDraft {
    pub name: Text,
    pub definition: Text,
    /// For 1, 3 and 5.
    pub anchors: [Text; 3],
}

impl LibraryCompetencyDraft {
    pub fn check(raw: &RawLibraryCompetency) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::default();
        let RawAnchors { one, three, five } = &raw.anchors;
        let draft = Self {
            name: fields.line("name", &raw.name, NAME_CHARS),
            definition: fields.paragraph("definition", &raw.definition, DEFINITION_CHARS),
            anchors: [("anchors.1", one), ("anchors.3", three), ("anchors.5", five)]
                .map(|(field, raw)| fields.paragraph(field, raw, ANCHOR_CHARS)),
        };
        fields.finish(draft)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn refused(position: serde_json::Value, known: &[CompetencyId]) -> Vec<String> {
        let raw = serde_json::from_value::<RawPosition>(position).expect("a position");
        let errors = PositionDraft::check(&raw, known).err().unwrap_or_default();
        errors.into_iter().map(|error| error.field.into_owned()).collect()
    }

    #[test]
    fn a_position_names_each_competency_once_and_only_its_own() {
        let known = [CompetencyId(Uuid::from_u128(1))];
        let (own, other) = (json!({"id": known[0], "name": "Depth"}), json!({"id": Uuid::from_u128(2), "name": "Craft"}));
        assert_eq!(refused(json!({"title": "T", "competencies": [own]}), &known), Vec::<String>::new());
        assert_eq!(refused(json!({"title": "T", "competencies": [own, {"name": "depth "}]}), &known), ["competencies[1].name"]);
        assert_eq!(refused(json!({"title": "T", "competencies": [other]}), &known), ["competencies[0].id"]);
        let many: Vec<_> = (0..21).map(|n| json!({"name": n.to_string()})).collect();
        assert_eq!(refused(json!({"title": " ", "competencies": many}), &known), ["competencies", "title"]);
    }

    #[test]
    fn a_copy_is_told_from_its_original_and_has_competencies_of_its_own() {
        let competency = RawCompetency { id: Some(CompetencyId(Uuid::from_u128(1))), name: "N".to_owned(), ..Default::default() };
        let position = RawPosition { title: "x".repeat(NAME_CHARS), competencies: vec![competency], ..Default::default() };
        let copy = position.copied();
        assert!(copy.title.ends_with(" (copy)") && copy.competencies[0].id.is_none());
        PositionDraft::check(&copy, &[]).expect("it can be stored");
    }

    #[test]
    fn a_change_of_one_anchor_leaves_the_others() {
        let raw = json!({"name": "N", "anchors": {"1": "a", "3": "b", "5": "c"}});
        let raw = serde_json::from_value::<RawLibraryCompetency>(raw).expect("a competency");
        let patch = serde_json::from_value(json!({"anchors": {"3": "B"}})).expect("a change");
        let draft = LibraryCompetencyDraft::check(&raw.patched(patch)).expect("fine");
        assert_eq!(draft.anchors, ["a", "B", "c"].map(Text::from));
        let long = RawLibraryCompetency { name: "N".to_owned(), definition: "x".repeat(2_001), ..Default::default() };
        assert_eq!(LibraryCompetencyDraft::check(&long).expect_err("too long")[0].field, "definition");
    }
}
