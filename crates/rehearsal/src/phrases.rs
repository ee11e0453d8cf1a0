//! What candidates say, and what an interviewer says that stands in no plan, by language. A language that has no table of its own is
//! rehearsed with the English words; how long they take is measured as its own.

mod english;
mod german;
mod japanese;

use interview_domain::language::LanguageTag;
use interview_domain::plan::Pace;

#[derive(Debug)]
pub struct Phrases {
    // ---- the candidate ----
    /// Sentences of which answers of any length are made.
    pub answer: &'static [&'static str],
    pub one_word: &'static str,
    pub nothing_to_add: &'static str,
    pub wants_time: &'static str,
    pub wants_repeat: &'static str,
    pub wants_break: &'static str,
    pub wants_to_stop: &'static str,
    pub injects: &'static str,
    pub distress: &'static str,
    pub asks_for_answer: &'static str,
    pub other_language: &'static str,
    pub background: &'static str,
    pub asks_company: &'static str,
    pub no_more_questions: &'static str,
    pub thanks: &'static str,
    // ---- the interviewer, where its instructions leave the words to it ----
    /// After an answer, before what comes next.
    pub acknowledges: &'static [&'static str],
    pub go_on: &'static str,
    pub no_hurry: &'static str,
    pub offers_help: &'static str,
    pub cannot_share: &'static str,
    pub goes_on_calmly: &'static str,
    pub names_language: &'static str,
    pub offers_pause: &'static str,
    pub say_again: &'static str,
    pub company_answers: &'static str,
    pub goodbye: &'static str,
    pub apologizes: &'static str,
    // ---- an interviewer that misbehaves ----
    pub own_question: &'static str,
    pub forbidden: &'static str,
    pub preamble: &'static str,
    pub other_words: &'static str,
}

pub fn of(language: &LanguageTag) -> &'static Phrases {
    match language.code() {
        "de" | "deu" => &german::PHRASES,
        "ja" | "jpn" => &japanese::PHRASES,
        _ => &english::PHRASES,
    }
}

impl Phrases {
    /// An answer of about so many words; a word of a language that is counted by signs is two of them.
    pub fn answer_of(&self, words: usize, pace: Pace) -> String {
        if words <= 1 {
            return self.one_word.to_owned();
        }
        let count = |text: &str| match pace {
            Pace::WordsPerMinute(_) => text.split_whitespace().count(),
            Pace::CharactersPerMinute(_) => text.chars().count() / 2,
        };
        let (mut answer, mut counted) = (String::new(), 0);
        for sentence in self.answer.iter().cycle().take(words) {
            if counted >= words {
                break;
            }
            if !answer.is_empty() {
                answer.push(' ');
            }
            answer.push_str(sentence);
            counted += count(sentence).max(1);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interview_domain::plan::lint::topics_in;

    #[test]
    fn no_word_that_the_interviewer_is_given_here_opens_a_forbidden_topic_but_the_one_that_shall() {
        for language in ["en", "de", "ja"] {
            let language = LanguageTag::new(language).expect("a tag");
            let phrases = of(&language);
            let said = [
                phrases.acknowledges,
                &[
                    phrases.go_on,
                    phrases.no_hurry,
                    phrases.offers_help,
                    phrases.cannot_share,
                    phrases.goes_on_calmly,
                    phrases.names_language,
                    phrases.offers_pause,
                    phrases.say_again,
                    phrases.company_answers,
                    phrases.goodbye,
                    phrases.apologizes,
                    phrases.own_question,
                ],
            ];
            for text in said.into_iter().flatten() {
                assert_eq!(topics_in(&language, text), [], "{text}");
            }
            assert!(!topics_in(&language, phrases.forbidden).is_empty(), "{}", phrases.forbidden);
        }
    }

    #[test]
    fn an_answer_is_as_long_as_it_should_be() {
        for (language, least, most) in [("en", 55, 85), ("de", 60, 100), ("ja", 55, 90)] {
            let language = LanguageTag::new(language).expect("a tag");
            let pace = Pace::of(&language).expect("measured");
            let seconds = pace.seconds(&of(&language).answer_of(170, pace));
            assert!((least..=most).contains(&seconds), "{language}: {seconds} s");
        }
    }
}
