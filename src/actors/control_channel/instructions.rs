//! What the interviewer is told at the beginning of each call.

use crate::domain::conduct::Conduct;
use crate::domain::instructions::{Brief, Names};
use crate::integrations::store::session::Claimed;

/// Of an interview whose settings name none.
pub(super) const DEFAULT_LANGUAGE: &str = "en-US";

/// The candidate's browser can read it.
pub(super) fn instructions(claimed: &Claimed, conduct: Option<&Conduct>) -> String {
    let names = Names { company: &claimed.company, position: &claimed.position_title, candidate: &claimed.candidate_name };
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
