//! Whether somebody said the words that a transcription model wrote down.
//!
//! Such models write stock phrases where they hear noise or silence ("Thank you for watching!"), and the loudspeaker's sound
//! comes back through the microphone. No list of phrases tells that: the length of the speech, the model's own certainty, the
//! script and the words of the interviewer do. What is doubted is kept, shown with its mark, and nobody is judged by it.

use super::entry::Doubt;
use crate::edge::{Label, Millis};
use crate::usage::Tokens;
use serde::Serialize;
use std::time::Duration;
use unicode_script::{Script, UnicodeScript};

/// The natural logarithm of a probability: a finite number of at most 0.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Logprob(f64);

impl Logprob {
    /// None for what is no logarithm of a probability.
    pub fn new(logprob: f64) -> Option<Self> {
        (logprob.is_finite() && logprob <= 0.0).then_some(Self(logprob))
    }

    /// Of several; none where there are none.
    fn mean(of: impl IntoIterator<Item = f64>) -> Option<Self> {
        let (mut sum, mut count) = (0.0, 0u32);
        for logprob in of.into_iter().filter_map(Self::new) {
            // A token without any probability is as bad as an unlikely one: it does not decide over a long answer alone.
            sum += logprob.0.max(LEAST_LOGPROB);
            count += 1;
        }
        Self::new(sum / f64::from(count))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

/// What the transcription tells about its own words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recognition {
    /// Mean of its tokens.
    pub logprob: Option<Logprob>,
    /// The language that it heard, as it names it.
    pub language: Option<Label>,
    /// What it costs, by tokens or by time.
    pub tokens: Tokens,
    pub audio_ms: Option<Millis>,
}

impl Recognition {
    /// Of the log-probabilities of single tokens; what is no logarithm of a probability is left out.
    pub fn new(logprobs: impl IntoIterator<Item = f64>, language: Option<Label>) -> Self {
        Self { logprob: Logprob::mean(logprobs), language, ..Self::default() }
    }
}

const LEAST_LOGPROB: f64 = -20.0;
/// Below this a transcript counts as failed in OpenAI's Whisper (`logprob_threshold` of its `transcribe`).
const UNCERTAIN: f64 = -1.0;
/// Only of such a short sound more words than can be spoken are doubted: of a longer answer the provider may have told the last
/// part's length alone.
const SHORT: Duration = Duration::from_millis(600);
/// No detector hears speech in less: its ends were not measured.
const LEAST_SPEECH: Duration = Duration::from_millis(50);
/// A short turn in a script that the interviewer does not speak is doubted; who answers in another language speaks for longer.
const SHORT_TURN: Duration = Duration::from_secs(3);
/// The offsets that the provider tells are not exact.
const TOLERANCE: Duration = Duration::from_millis(150);
/// The fastest speakers say ten syllables a second: about three letters each, or one sign of a script that writes syllables.
const MS_PER_LETTER: u64 = 30;
const MS_PER_SYLLABLE: u64 = 80;
/// Letters that are no accident when somebody has said them just before.
const ECHO_LETTERS: u64 = 12;

/// A turn of the candidate, as it was written down.
pub(super) struct Turn<'a> {
    pub text: &'a str,
    /// How long the provider heard speech; none if it did not tell both ends.
    pub speech: Option<Duration>,
    pub recognition: &'a Recognition,
    /// What the interviewer said just before.
    pub before: &'a [&'a str],
}

impl Turn<'_> {
    pub(super) fn doubt(&self) -> Option<Doubt> {
        if self.repeats_interviewer() {
            return Some(Doubt::Echo);
        }
        let made_up = self.is_faster_than_speech() || self.is_uncertain() || self.is_of_another_script();
        made_up.then_some(Doubt::Hallucination)
    }

    fn is_faster_than_speech(&self) -> bool {
        self.speech
            .is_some_and(|speech| (LEAST_SPEECH..SHORT).contains(&speech) && speech + TOLERANCE < least_duration(self.text))
    }

    fn is_uncertain(&self) -> bool {
        self.recognition.logprob.is_some_and(|logprob| logprob.get() < UNCERTAIN)
    }

    /// Latin letters stand everywhere: names and terms are written in them in most languages.
    fn is_of_another_script(&self) -> bool {
        let spoken: Vec<Script> = self.before.iter().flat_map(|text| text.chars()).filter_map(script).collect();
        let letters: Vec<Script> = self.text.chars().filter_map(script).collect();
        let foreign = letters.iter().filter(|script| **script != Script::Latin && !spoken.contains(script)).count();
        let is_short = self.speech.is_none_or(|speech| speech < SHORT_TURN);
        is_short && !spoken.is_empty() && foreign * 2 > letters.len()
    }

    /// All of it stands in what the interviewer has just said.
    fn repeats_interviewer(&self) -> bool {
        let words = words(self.text);
        let is_in = |before: &&str| format!(" {} ", self::words(before)).contains(&format!(" {words} "));
        letters(self.text) >= ECHO_LETTERS && self.before.iter().any(is_in)
    }
}

/// Signs of Chinese, Japanese and Korean count as two letters.
fn letters(text: &str) -> u64 {
    text.chars().filter(|character| character.is_alphanumeric()).map(|character| 1 + u64::from(is_syllable(character))).sum()
}

fn is_syllable(character: char) -> bool {
    matches!(character.script(), Script::Han | Script::Hiragana | Script::Katakana | Script::Hangul)
}

/// The shortest time in which a person can say it.
fn least_duration(text: &str) -> Duration {
    let spoken = text.chars().filter(|character| character.is_alphanumeric());
    Duration::from_millis(spoken.map(|sign| if is_syllable(sign) { MS_PER_SYLLABLE } else { MS_PER_LETTER }).sum())
}

/// None for what stands in many scripts: digits, punctuation. The scripts of Japanese are one, for one text mixes them.
fn script(character: char) -> Option<Script> {
    match character.script() {
        Script::Common | Script::Inherited | Script::Unknown => None,
        Script::Hiragana | Script::Katakana => Some(Script::Han),
        script => Some(script),
    }
}

/// Without case and punctuation, one space between words.
fn words(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).flat_map(char::to_lowercase).collect();
    // A script without spaces has none between its words, so a part of a sentence is found in it as well.
    let spaced = plain.chars().flat_map(|c| if is_syllable(c) { vec![' ', c, ' '] } else { vec![c] }).collect::<String>();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(text: &str, ms: Option<u64>, logprob: Option<f64>, before: &[&str]) -> Option<Doubt> {
        let recognition = Recognition { logprob: logprob.and_then(Logprob::new), ..Recognition::default() };
        Turn { text, speech: ms.map(Duration::from_millis), recognition: &recognition, before }.doubt()
    }

    #[test]
    fn s04_more_words_than_a_short_sound_can_hold_were_said_by_nobody() {
        for (text, ms) in [
            ("Thank you for watching!", 200),
            ("Thanks for watching, and see you in the next video.", 500),
            ("Untertitel der Amara.org-Community", 300),
            ("Sous-titres réalisés par la communauté d'Amara.org", 550),
            ("ご視聴ありがとうございました", 400),
            ("시청해주셔서 감사합니다.", 400),
            ("Субтитры сделал DimaTorzok", 250),
            ("Продолжение следует...", 200),
        ] {
            assert_eq!(doubt(text, Some(ms), None, &[]), Some(Doubt::Hallucination), "{text}");
        }
        for (text, ms) in [
            ("Yes.", 200),
            ("Yes.", 90),
            ("No, never.", 250),
            ("Ja.", 100),
            ("はい。", 150),
            ("네.", 120),
            ("Okay, thanks.", 350),
            ("I built a ledger.", 1_000),
            ("I led the rebuild of our invoicing platform, which served many customers.", 700),
            ("I led the rebuild of our invoicing platform, which served many customers.", 1),
            ("It took us three months, and I would not do it a second time.", 2_000),
            ("A long answer of which the provider told only the length of its last part, as happens.", 1_000),
        ] {
            assert_eq!(doubt(text, Some(ms), Some(-0.2), &[]), None, "{text}");
            assert_eq!(doubt(text, None, None, &[]), None, "{text}: nothing is known of it");
        }
    }

    #[test]
    fn words_that_the_transcription_itself_does_not_believe_are_doubted() {
        assert_eq!(doubt("Thank you.", Some(1_500), Some(-1.4), &[]), Some(Doubt::Hallucination));
        assert_eq!(doubt("Thank you.", Some(1_500), Some(-0.6), &[]), None);
        let of = |logprobs: &[f64]| Recognition::new(logprobs.iter().copied(), None).logprob.map(Logprob::get);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[f64::NAN, f64::INFINITY, 0.5]), None, "none of them is the logarithm of a probability");
        assert_eq!(of(&[-1.0, -2.0]), Some(-1.5));
        assert_eq!(of(&[f64::NEG_INFINITY, -1.0]), Some(-1.0));
        let unlikely = of(&[-1e308, -0.0, 0.0, 0.0]);
        assert_eq!(unlikely, Some(-5.0));
    }

    #[test]
    fn a_short_turn_in_a_script_that_is_not_the_interviews_is_doubted() {
        let english = ["Which database did you choose?"];
        let japanese = ["どのデータベースを選びましたか。"];
        assert_eq!(doubt("MBC 뉴스 이덕영입니다.", Some(1_800), None, &english), Some(Doubt::Hallucination));
        assert_eq!(doubt("字幕志愿者 李宗盛", None, None, &english), Some(Doubt::Hallucination));
        assert_eq!(doubt("PostgreSQL です。", Some(1_000), None, &japanese), None);
        assert_eq!(doubt("Kubernetes.", Some(1_000), None, &japanese), None, "a term is written in Latin letters");
        assert_eq!(doubt("データベースはポストグレスです。", Some(4_000), None, &english), None, "who speaks on says something");
        assert_eq!(doubt("はい。", Some(300), None, &[]), None, "before the interviewer has spoken nothing is known");
        assert_eq!(doubt("2024.", Some(500), None, &japanese), None);
    }

    #[test]
    fn the_interviewers_own_words_out_of_the_microphone_are_an_echo() {
        let before = ["Thank you. What was the hardest part of the migration?"];
        assert_eq!(doubt("The hardest part of the migration?", Some(2_000), None, &before), Some(Doubt::Echo));
        assert_eq!(doubt("what was the hardest part", Some(2_000), None, &before), Some(Doubt::Echo));
        assert_eq!(doubt("The hardest part of the migration was the schema.", Some(3_000), None, &before), None);
        assert_eq!(doubt("Thank you.", Some(600), None, &before), None, "everybody says that");
        assert_eq!(doubt("hardest part of the migrations", Some(2_000), None, &before), None, "only whole words");
        let japanese = ["これまでの経験について教えてください。"];
        assert_eq!(doubt("経験について教えて", Some(2_000), None, &japanese), Some(Doubt::Echo));
        assert_eq!(doubt("はい", Some(500), None, &["はい、そうですね。"]), None);
    }
}
