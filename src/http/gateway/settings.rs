//! The settings that may be requested for an interview.

use crate::config::Config;
use crate::domain::edge::Text;
use crate::domain::language::{Language, LanguageTag};
use crate::domain::placement::Importance;
use crate::domain::plan::PlanOffer;
use crate::error::ErrorCode;
use crate::http::problem::ApiError;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The voices OpenAI has for Realtime.
const VOICES: [&str; 10] = ["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"];
const SHORTEST_S: u64 = 60;

/// `settings` of a request for an interview.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wishes {
    #[serde(default)]
    voice: Option<String>,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    importance: Option<String>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    max_duration_s: Option<u64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// What the interview is held with.
#[derive(Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) voice: String,
    pub(super) language: Option<String>,
    pub(super) max_duration_s: u64,
    pub(super) importance: Importance,
    pub(super) warnings: Vec<String>,
}

impl Settings {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "voice": self.voice, "language": self.language, "max_duration_s": self.max_duration_s, "importance": self.importance
        })
    }
}

impl Wishes {
    /// Refuse what cannot be; warn of what changes nothing, or takes something away. `plan`: of the position, when it has one.
    pub(super) fn check(self, config: &Config, plan: Option<&PlanOffer>) -> Result<Settings, ApiError> {
        let refused =
            |detail: String| Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::SessionSettingsInvalid, detail));
        let voice = self.voice.unwrap_or_else(|| config.openai.default_voice.clone());
        if !VOICES.contains(&voice.as_str()) && voice != config.openai.default_voice {
            return refused(format!("settings.voice: one of {}", VOICES.join(", ")));
        }
        if self.language.as_deref().is_some_and(|language| Language::parse(language).is_none()) {
            return refused("settings.language: a language of ISO 639, such as \"en\", \"pt-BR\" or \"fil\"".to_owned());
        }
        let language = match plan {
            None => self.language,
            Some(plan) => match plan.language(self.language.as_deref()) {
                Some(language) => Some(language.to_owned()),
                None => return Err(not_in_the_plan(plan)),
            },
        };
        let longest = config.interview.max_duration_s;
        let default_s = plan.map_or(config.interview.default_duration_s, |plan| plan.default_duration_s().min(longest));
        let max_duration_s = self.max_duration_s.unwrap_or(default_s);
        if !(SHORTEST_S..=longest).contains(&max_duration_s) && self.max_duration_s.is_some() {
            return refused(format!("settings.max_duration_s: {SHORTEST_S} to {longest}"));
        }
        let importance = match self.importance.as_deref() {
            None => Importance::default(),
            Some(name) => match Importance::named(name) {
                Some(importance) => importance,
                None => {
                    return refused(format!(
                        "settings.importance: one of {}",
                        Importance::ALL.map(Importance::as_str).join(", ")
                    ));
                }
            },
        };
        let mut warnings = Vec::new();
        if let Some(plan) = plan.filter(|plan| max_duration_s < plan.duration_s()) {
            warnings.push(format!(
                "settings.max_duration_s: the plan takes {} minutes; in {} a part of its questions is left out",
                plan.minutes.get(),
                max_duration_s / 60
            ));
        }
        if self.temperature.is_some() {
            warnings.push("settings.temperature has no effect: OpenAI Realtime no longer takes it".to_owned());
        }
        warnings.extend(
            self.others
                .keys()
                .take(8)
                .map(|key| format!("settings.{} is not known and has no effect", Text::bounded(key, 64).as_str())),
        );
        Ok(Settings { voice, language, max_duration_s, importance, warnings })
    }
}

fn not_in_the_plan(plan: &PlanOffer) -> ApiError {
    let offered: Vec<&str> = plan.languages.iter().map(LanguageTag::as_str).collect();
    let detail = format!("settings.language: the plan of this position is written in {}", offered.join(", "));
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::PlanLanguageMissing, detail).with("languages", json!(offered))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;

    fn config() -> Config {
        let overrides = [
            ("INTERVIEW__TENANT__ID", "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001"),
            ("INTERVIEW__DATABASE__URL", "postgres://runtime@localhost:5432/db"),
            ("INTERVIEW__ROUTING__PUBLIC_KEYS", "bfWojW5xEbNs-y_p87TTGTPhoc32MmgCwbFKv2mpwas"),
            ("INTERVIEW__OPENAI__API_KEY", "key"),
            ("INTERVIEW__API_VIDEO__API_KEY", "key"),
        ];
        let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Config::load(None, Role::Session, Some(overrides)).expect("the defaults with the required keys")
    }

    fn check(wishes: &Value) -> Result<Settings, ApiError> {
        serde_json::from_value::<Wishes>(wishes.clone()).expect("wishes").check(&config(), None)
    }

    fn check_with_plan(wishes: &Value, minutes: u32) -> Result<Settings, ApiError> {
        let plan = json!({"default_language": "de", "languages": ["de", "ja"], "minutes": minutes});
        let plan = serde_json::from_value(plan).expect("a plan");
        serde_json::from_value::<Wishes>(wishes.clone()).expect("wishes").check(&config(), Some(&plan))
    }

    #[test]
    fn a_plan_says_in_which_language_and_how_long() {
        let settings = check_with_plan(&json!({}), 20).expect("the plan's own");
        assert_eq!((settings.language.as_deref(), settings.max_duration_s), (Some("de"), 1_500));
        assert!(settings.warnings.is_empty());
        assert_eq!(check_with_plan(&json!({}), 240).expect("as long as any").max_duration_s, 7_200);
        let settings = check_with_plan(&json!({"language": "ja-JP", "max_duration_s": 600}), 20).expect("shorter");
        assert_eq!((settings.language.as_deref(), settings.max_duration_s), (Some("ja-JP"), 600));
        assert!(settings.warnings[0].contains("the plan takes 20 minutes; in 10 "), "{:?}", settings.warnings);
        let error = check_with_plan(&json!({"language": "en-US"}), 20).expect_err("it has no English");
        assert_eq!((error.code(), error.status().as_u16()), (ErrorCode::PlanLanguageMissing, 422));
        assert!(error.detail().ends_with("is written in de, ja"), "{}", error.detail());
    }

    #[test]
    fn nothing_wished_is_the_default() {
        let settings = check(&json!({"voice": null})).expect("the defaults");
        assert_eq!(settings.voice, "marin");
        assert_eq!(
            settings.to_json(),
            json!({"voice": "marin", "language": null, "max_duration_s": 2700, "importance": "standard"})
        );
        assert!(settings.warnings.is_empty());
    }

    #[test]
    fn what_changes_nothing_is_said() {
        let settings =
            check(&json!({"temperature": 0.7, "mood": "sunny", "language": "pt-BR", "max_duration_s": 60})).expect("fine");
        assert_eq!(settings.warnings.len(), 2);
        for language in ["fil", "yue", "zh-Hant-TW"] {
            check(&json!({"language": language})).expect("a language");
        }
        assert!(settings.warnings[0].contains("temperature") && settings.warnings[1].contains("mood"));
    }

    #[test]
    fn a_key_that_nobody_knows_is_told_without_what_is_harmful_in_it() {
        let warnings = check(&json!({"a\0\u{202e}b": 1, ("k".repeat(5_000)): 1})).expect("fine").warnings;
        assert!(warnings.iter().any(|warning| warning.contains("settings.a\u{fffd}\u{fffd}b ")), "{warnings:?}");
        assert!(warnings.iter().all(|warning| warning.len() < 120), "{warnings:?}");
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (wishes, key) in [
            (json!({"voice": "darth"}), "voice"),
            (json!({"language": "english"}), "language"),
            (json!({"language": "EN"}), "language"),
            (json!({"language": "en-"}), "language"),
            (json!({"language": "en-us"}), "language"),
            (json!({"language": "xx"}), "language"),
            (json!({"importance": "vital"}), "importance"),
            (json!({"max_duration_s": 59}), "max_duration_s"),
            (json!({"max_duration_s": 7201}), "max_duration_s"),
        ] {
            let error = check(&wishes).expect_err(key);
            assert_eq!((error.code().as_str(), error.status().as_u16()), ("session_settings_invalid", 422), "{wishes}");
        }
    }
}
