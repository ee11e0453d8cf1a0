//! What a plan offers to an interview that is to be held with it: its languages and its time.

use crate::edge::{List, Whole};
use crate::language::LanguageTag;
use serde::Deserialize;

/// Beyond the plan's own minutes: for who comes in slowly, asks for something again or takes a moment.
const SLACK_S: u64 = 5 * 60;

/// A part of a published plan's document, read without the rest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PlanOffer {
    pub default_language: LanguageTag,
    pub languages: List<LanguageTag, 16>,
    pub minutes: Whole<1, 240>,
}

impl PlanOffer {
    /// In which language an interview is to be held: the one that was asked for when the plan has it, the plan's own when
    /// none was. None: the plan has no words for it.
    pub fn language<'a>(&'a self, wanted: Option<&'a str>) -> Option<&'a str> {
        match wanted {
            None => Some(self.default_language.as_str()),
            Some(wanted) => LanguageTag::lookup(wanted, &self.languages).map(|_| wanted),
        }
    }

    /// How long the plan takes.
    pub fn duration_s(&self) -> u64 {
        60 * u64::from(self.minutes.get())
    }

    /// How long an interview may take for which nobody said how long.
    pub fn default_duration_s(&self) -> u64 {
        self.duration_s() + SLACK_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plan_is_held_in_its_own_languages_and_takes_its_time() {
        let offer = json!({"default_language": "de", "languages": ["de", "pt-BR"], "minutes": 20});
        let offer: PlanOffer = serde_json::from_value(offer).expect("an offer");
        for (wanted, held) in [
            (None, Some("de")),
            (Some("de"), Some("de")),
            (Some("de-AT"), Some("de-AT")),
            (Some("pt-BR"), Some("pt-BR")),
            (Some("pt"), None),
            (Some("en-US"), None),
        ] {
            assert_eq!(offer.language(wanted), held, "{wanted:?}");
        }
        assert_eq!((offer.duration_s(), offer.default_duration_s()), (1_200, 1_500));
    }
}
