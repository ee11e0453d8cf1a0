//! A candidate as a company keeps them: what may stand in their fields, and which two are one person.

use crate::edge::{EmailAddress, FieldError, Fields, Text};
use crate::ids::CandidateId;
use serde::Deserialize;

pub const NAME_CHARS: usize = 200;
pub const EXTERNAL_ID_CHARS: usize = 200;
pub const TAG_CHARS: usize = 50;
pub const MOST_TAGS: usize = 20;

/// What somebody typed, or what is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCandidate {
    pub name: String,
    pub email: String,
    #[serde(default)]
    pub external_id: Option<String>,
    #[serde(default)]
    pub tags: Vec<String>,
}

/// A change of it: what is absent stays, and an external id that is null is taken away.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CandidatePatch {
    name: Option<String>,
    email: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[expect(clippy::option_option, reason = "absent, null and a value are three things")]
    external_id: Option<Option<String>>,
    tags: Option<Vec<String>>,
}

/// A value that is there, be it null: absent is the default.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

impl RawCandidate {
    pub fn patched(self, patch: CandidatePatch) -> Self {
        Self {
            name: patch.name.unwrap_or(self.name),
            email: patch.email.unwrap_or(self.email),
            external_id: patch.external_id.unwrap_or(self.external_id),
            tags: patch.tags.unwrap_or(self.tags),
        }
    }
}

/// A candidate that can be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateDraft {
    pub name: Text,
    pub email: EmailAddress,
    pub external_id: Option<Text>,
    pub tags: Vec<Text>,
}

impl CandidateDraft {
    pub fn check(raw: &RawCandidate) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::default();
        let draft = Self {
            name: fields.cell("name", &raw.name, NAME_CHARS),
            email: fields.email("email", &raw.email),
            external_id: external_id(&mut fields, raw.external_id.as_deref()),
            tags: tags(&mut fields, &raw.tags),
        };
        fields.finish(draft)
    }
}

/// An empty one is none.
fn external_id(fields: &mut Fields, raw: Option<&str>) -> Option<Text> {
    let raw = raw.filter(|raw| !raw.trim().is_empty())?;
    Some(fields.cell("external_id", raw, EXTERNAL_ID_CHARS))
}

/// Each once, in the order they were given.
fn tags(fields: &mut Fields, raw: &[String]) -> Vec<Text> {
    let mut tags: Vec<Text> = Vec::new();
    for raw in raw.iter().filter(|raw| !raw.trim().is_empty()).take(MOST_TAGS * 2) {
        let tag = fields.cell("tags", raw, TAG_CHARS);
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if tags.len() > MOST_TAGS {
        fields.refuse("tags", format!("must be at most {MOST_TAGS}"));
    }
    tags
}

/// One of two candidates that are one person.
#[derive(Clone, Debug)]
pub struct Twin {
    pub id: CandidateId,
    pub archived: bool,
    pub external_id: Option<String>,
    pub tags: Vec<String>,
    pub has_account: bool,
    /// Interviews that are not over.
    pub open_interviews: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeRefusal {
    SamePerson,
    Archived,
    /// Somebody may be talking in it as the one who would go.
    OpenInterview,
    /// Together they have more than one may have; none is left out without a word.
    TooManyTags,
}

/// What the one who stays has afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    pub external_id: Option<String>,
    pub tags: Vec<String>,
    /// The account of the one who goes becomes theirs.
    pub takes_account: bool,
}

/// `stays` gets the interviews of `goes`, who is archived.
pub fn merge(stays: &Twin, goes: &Twin) -> Result<Merged, MergeRefusal> {
    if stays.id == goes.id {
        return Err(MergeRefusal::SamePerson);
    }
    if stays.archived || goes.archived {
        return Err(MergeRefusal::Archived);
    }
    if goes.open_interviews > 0 {
        return Err(MergeRefusal::OpenInterview);
    }
    let mut tags = stays.tags.clone();
    tags.extend(goes.tags.iter().filter(|tag| !stays.tags.contains(tag)).cloned());
    if tags.len() > MOST_TAGS {
        return Err(MergeRefusal::TooManyTags);
    }
    Ok(Merged {
        external_id: stays.external_id.clone().or_else(|| goes.external_id.clone()),
        tags,
        takes_account: goes.has_account && !stays.has_account,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn raw() -> RawCandidate {
        let (name, email) = ("Amara Okafor".to_owned(), "amara@demo.test".to_owned());
        RawCandidate { name, email, external_id: Some("A-1".to_owned()), tags: vec!["rust".to_owned()] }
    }

    fn twin(n: u128) -> Twin {
        Twin {
            id: CandidateId(Uuid::from_u128(n)),
            archived: false,
            external_id: None,
            tags: vec![format!("t{n}"), "both".to_owned()],
            has_account: false,
            open_interviews: 0,
        }
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name_and_null_takes_away() {
        let patch = |value| serde_json::from_value::<CandidatePatch>(value).expect("a change");
        assert_eq!(raw().patched(patch(json!({}))), raw());
        assert_eq!(raw().patched(patch(json!({"external_id": null}))).external_id, None);
        let changed = raw().patched(patch(json!({"name": "A", "tags": []})));
        assert_eq!((changed.name.as_str(), changed.tags.len(), changed.external_id.as_deref()), ("A", 0, Some("A-1")));
        assert!(serde_json::from_value::<CandidatePatch>(json!({"nmae": "A"})).is_err(), "a typing error is told");
    }

    #[test]
    fn tags_are_few_short_and_each_there_once() {
        let with = |tags: &[&str]| {
            CandidateDraft::check(&RawCandidate { tags: tags.iter().map(|&tag| tag.to_owned()).collect(), ..raw() })
        };
        assert_eq!(with(&["a", " a ", "", "b"]).expect("fine").tags, ["a", "b"].map(Text::from));
        assert_eq!(with(&["=HYPERLINK(\"x\")"]).expect_err("a formula")[0].field, "tags");
        let many: Vec<String> = (0..21).map(|n| n.to_string()).collect();
        assert!(CandidateDraft::check(&RawCandidate { tags: many, ..raw() }).is_err());
        assert_eq!(
            CandidateDraft::check(&RawCandidate { external_id: Some(" ".to_owned()), ..raw() }).expect("fine").external_id,
            None
        );
    }

    #[test]
    fn who_stays_gets_what_they_lack_and_nobody_is_pulled_out_of_an_interview() {
        let goes = Twin { external_id: Some("B".to_owned()), has_account: true, ..twin(2) };
        let merged = merge(&twin(1), &goes).expect("one person");
        assert_eq!((merged.external_id.as_deref(), merged.takes_account), (Some("B"), true));
        assert_eq!(merged.tags, ["t1", "both", "t2"]);
        let own = Twin { external_id: Some("A".to_owned()), has_account: true, ..twin(1) };
        let merged = merge(&own, &goes).expect("one person");
        assert_eq!((merged.external_id.as_deref(), merged.takes_account), (Some("A"), false));
        assert_eq!(merge(&twin(1), &twin(1)), Err(MergeRefusal::SamePerson));
        assert_eq!(merge(&twin(1), &Twin { archived: true, ..twin(2) }), Err(MergeRefusal::Archived));
        assert_eq!(merge(&twin(1), &Twin { open_interviews: 1, ..twin(2) }), Err(MergeRefusal::OpenInterview));
        assert!(merge(&Twin { open_interviews: 1, ..twin(1) }, &twin(2)).is_ok());
        let many = |from: usize| (from..from + 15).map(|n| format!("t{n}")).collect::<Vec<_>>();
        let (one, other) = (Twin { tags: many(0), ..twin(1) }, Twin { tags: many(10), ..twin(2) });
        assert_eq!(merge(&one, &other), Err(MergeRefusal::TooManyTags));
    }
}
