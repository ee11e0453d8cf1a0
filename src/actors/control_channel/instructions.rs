//! What the interviewer is told at the beginning of each call.

use crate::domain::claimed::Claimed;
use crate::domain::conduct::Conduct;
use crate::domain::edge::Text;
use crate::domain::instructions::{Brief, Names};

/// Of an interview whose settings name none.
pub(super) const DEFAULT_LANGUAGE: &str = "en-US";

/// The candidate's browser can read it.
pub(super) fn instructions(claimed: &Claimed, conduct: Option<&Conduct>) -> String {
    let names = names(claimed);
    if let Some(conduct) = conduct {
        return names.with_plan(conduct);
    }
    let competencies: Vec<(&str, &str)> =
        claimed.competencies.iter().map(|one| (one.name.as_str(), one.description.as_str())).collect();
    names.without_plan(Brief {
        description: &claimed.position_description,
        guidance: &claimed.guidance,
        language: claimed.settings.language.as_deref().unwrap_or(DEFAULT_LANGUAGE),
        competencies: &competencies,
    })
}

/// For the record: what was told can be proved.
pub(super) fn prefix_digest(claimed: &Claimed, conduct: &Conduct) -> Text {
    names(claimed).role_digest(conduct)
}

fn names(claimed: &Claimed) -> Names<'_> {
    Names { company: &claimed.company, position: &claimed.position_title, candidate: &claimed.candidate_name }
}
