//! A candidate of the table in one interview: what they do next, and when.

use crate::persona::{Act, Gap, Persona};
use crate::phrases::Phrases;
use fastrand::Rng;
use interview_domain::plan::{Pace, Question, Trigger};
use std::collections::VecDeque;
use std::time::Duration;

/// What somebody says means, to an interviewer that understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It lacks the probes of these conditions, as the interviewer is told them.
    Answer {
        lacks: Vec<String>,
    },
    WantsTime,
    WantsRepeat,
    WantsBreak,
    WantsToStop,
    Injection,
    Distress,
    AsksForAnswer,
    OtherLanguage,
    /// Nobody said it to the interviewer.
    Background,
    Unintelligible,
    AsksCompany,
    NoMoreQuestions,
    Thanks,
}

/// What the microphone brings of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    Heard,
    /// The provider cannot write them down.
    Failed,
    /// It is a sound, and no turn.
    Cough,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    pub text: String,
    pub means: Meaning,
    pub words: Words,
    pub lasts: Duration,
}

/// What they do when the floor is free.
#[derive(Clone, Debug, PartialEq)]
pub enum UserAction {
    Says {
        after: Duration,
        what: Utterance,
    },
    /// The page's buttons.
    Think {
        after: Duration,
    },
    GoesOn {
        after: Duration,
    },
}

/// What was heard of the interviewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Question(usize),
    Probe(usize, usize),
    CandidateQuestions,
    Closing,
    /// Something that is no question of the plan.
    Other,
}

#[derive(Debug)]
enum Intent {
    Act(Act),
    /// With what was asked for by a probe, if it was one; how many turns of it are left.
    Answer {
        probe: Option<usize>,
        pieces: usize,
    },
    GoesOn,
    AsksCompany,
    NoMoreQuestions,
    Thanks,
    NothingToAdd,
}

/// The longest somebody takes to think.
const THINKS: Duration = Duration::from_secs(45);
/// Somebody who was told something that asks nothing says after so long that they are done.
const WONDERS: Duration = Duration::from_secs(7);

pub struct Candidate<'a> {
    persona: &'a Persona,
    questions: Vec<&'a Question>,
    phrases: &'a Phrases,
    pace: Pace,
    dice: Rng,
    intents: VecDeque<Intent>,
    /// The question that they answer, and the probes of it whose gap they have filled.
    at: Option<usize>,
    filled: Vec<usize>,
    asked_company: bool,
    /// The page shows that there is time to think.
    thinking: bool,
    interrupted: Option<usize>,
}

impl<'a> Candidate<'a> {
    pub fn new(persona: &'a Persona, questions: Vec<&'a Question>, phrases: &'a Phrases, pace: Pace, seed: u64) -> Self {
        Self {
            persona,
            questions,
            phrases,
            pace,
            dice: Rng::with_seed(seed),
            intents: VecDeque::new(),
            at: None,
            filled: Vec::new(),
            asked_company: false,
            thinking: false,
            interrupted: None,
        }
    }

    /// The interviewer was heard to the end of something. Whether what they were about to say is out of date; `holds` if there was
    /// something.
    pub fn hears(&mut self, asked: Asked, holds: bool) -> bool {
        match asked {
            // Asked again, it is answered as before; what they wanted first they have had.
            Asked::Question(at) if self.at == Some(at) => {
                if self.intents.is_empty() && !holds {
                    self.will_answer(None);
                }
                false
            }
            Asked::Question(at) => {
                self.at = Some(at);
                self.filled.clear();
                self.intents.clear();
                let acts = self.persona.acts;
                if !acts.is_empty() {
                    self.intents.extend(acts[at % acts.len()].iter().map(|act| Intent::Act(*act)));
                }
                self.will_answer(None);
                true
            }
            Asked::Probe(_, probe) => {
                self.intents.clear();
                self.will_answer(Some(probe));
                true
            }
            Asked::CandidateQuestions => {
                self.intents.clear();
                self.intents.push_back(if self.asked_company { Intent::NoMoreQuestions } else { Intent::AsksCompany });
                self.asked_company = true;
                true
            }
            Asked::Closing => {
                self.intents.clear();
                self.intents.push_back(Intent::Thanks);
                true
            }
            Asked::Other => {
                if self.intents.is_empty() && !holds {
                    self.intents.push_back(if self.asked_company { Intent::NoMoreQuestions } else { Intent::NothingToAdd });
                }
                false
            }
        }
    }

    fn will_answer(&mut self, probe: Option<usize>) {
        self.intents.push_back(Intent::Answer { probe, pieces: self.persona.pieces });
    }

    /// They hear themselves in the middle of what the interviewer says; once for each question.
    pub fn interrupts(&mut self, asked: Asked) -> Option<Utterance> {
        let Asked::Question(at) = asked else { return None };
        if !self.persona.interrupts || self.persona.words.is_none() || self.interrupted == Some(at) {
            return None;
        }
        self.interrupted = Some(at);
        let means = Meaning::Answer { lacks: Vec::new() };
        Some(self.says(self.phrases.answer[0].to_owned(), means, Words::Heard))
    }

    /// The page shows a moment to think, or that it is over.
    pub fn is_shown_thinking(&mut self, thinking: bool) {
        self.thinking = thinking;
    }

    /// What they do next, if the interviewer says nothing more.
    pub fn next(&mut self, said_last: &str) -> Option<UserAction> {
        let (first, _) = self.persona.words?;
        let after = self.hesitation();
        let thought = Duration::from_secs(self.dice.u64(20..THINKS.as_secs()));
        match self.intents.pop_front()? {
            Intent::Act(Act::PressesThink) => {
                self.intents.push_front(Intent::GoesOn);
                Some(UserAction::Think { after })
            }
            Intent::GoesOn => Some(UserAction::GoesOn { after: thought }),
            Intent::Act(act) => {
                if act == Act::WantsBreak {
                    self.intents.push_front(Intent::GoesOn);
                }
                Some(UserAction::Says { after, what: self.acts(act, said_last) })
            }
            Intent::Answer { probe, pieces } => {
                let after = if std::mem::take(&mut self.thinking) { thought } else { after };
                let words = probe.map_or(first, |_| self.persona.words.map_or(first, |(_, probe)| probe));
                let text = self.phrases.answer_of(words / pieces.max(1), self.pace);
                self.filled.extend(probe.filter(|_| self.persona.learns));
                let means = Meaning::Answer { lacks: self.lacks() };
                if pieces > 1 {
                    self.intents.push_front(Intent::Answer { probe, pieces: pieces - 1 });
                }
                Some(UserAction::Says { after, what: self.says(text, means, Words::Heard) })
            }
            Intent::AsksCompany => {
                self.intents.push_back(Intent::NoMoreQuestions);
                let text = self.phrases.asks_company.to_owned();
                Some(UserAction::Says { after, what: self.says(text, Meaning::AsksCompany, Words::Heard) })
            }
            Intent::NoMoreQuestions => {
                let text = self.phrases.no_more_questions.to_owned();
                Some(UserAction::Says { after, what: self.says(text, Meaning::NoMoreQuestions, Words::Heard) })
            }
            Intent::Thanks => {
                let text = self.phrases.thanks.to_owned();
                let after = Duration::from_millis(700);
                Some(UserAction::Says { after, what: self.says(text, Meaning::Thanks, Words::Heard) })
            }
            Intent::NothingToAdd => {
                let text = self.phrases.nothing_to_add.to_owned();
                let means = Meaning::Answer { lacks: Vec::new() };
                Some(UserAction::Says { after: WONDERS, what: self.says(text, means, Words::Heard) })
            }
        }
    }

    /// Whether they go on by themselves after what they have just said: it was a piece of an answer, or nobody heard it as a turn.
    pub fn goes_on(&self, said: &Utterance) -> bool {
        said.words == Words::Cough
            || matches!(self.intents.front(), Some(Intent::Answer { pieces, .. }) if *pieces < self.persona.pieces)
    }

    fn acts(&mut self, act: Act, said_last: &str) -> Utterance {
        let phrases = self.phrases;
        let (text, means, words) = match act {
            Act::WantsTime => {
                self.thinking = true;
                (phrases.wants_time, Meaning::WantsTime, Words::Heard)
            }
            Act::WantsRepeat => (phrases.wants_repeat, Meaning::WantsRepeat, Words::Heard),
            Act::WantsBreak => (phrases.wants_break, Meaning::WantsBreak, Words::Heard),
            Act::Injects => (phrases.injects, Meaning::Injection, Words::Heard),
            Act::Distress => (phrases.distress, Meaning::Distress, Words::Heard),
            Act::SpeaksOtherLanguage => (phrases.other_language, Meaning::OtherLanguage, Words::Heard),
            Act::AsksForAnswer => (phrases.asks_for_answer, Meaning::AsksForAnswer, Words::Heard),
            // The button makes no sound at all, and is pressed elsewhere.
            Act::Coughs | Act::PressesThink => ("", Meaning::Background, Words::Cough),
            Act::Background => (phrases.background, Meaning::Background, Words::Heard),
            Act::Echoes => (said_last, Meaning::Background, Words::Heard),
            Act::Mumbles => ("", Meaning::Unintelligible, Words::Failed),
            Act::Stops => (phrases.wants_to_stop, Meaning::WantsToStop, Words::Heard),
        };
        let mut said = self.says(text.to_owned(), means, words);
        if act == Act::Background || act == Act::Coughs {
            // A click, of which a model makes a sentence.
            said.lasts = Duration::from_millis(400);
        }
        said
    }

    fn says(&self, text: String, means: Meaning, words: Words) -> Utterance {
        let lasts = Duration::from_secs(u64::from(self.pace.seconds(&text))).max(Duration::from_millis(600));
        Utterance { text, means, words, lasts }
    }

    fn hesitation(&mut self) -> Duration {
        Duration::from_millis(self.persona.hesitates * 1_000 + self.dice.u64(0..800))
    }

    /// Of the question that they answer, in the words in which the interviewer is told.
    fn lacks(&self) -> Vec<String> {
        let Some(question) = self.at.and_then(|at| self.questions.get(at)) else { return Vec::new() };
        let probes = question.probes.iter().enumerate().filter(|(n, _)| !self.filled.contains(n));
        let lacked = probes.filter(|(n, probe)| self.persona.gaps.contains(&gap(probe.trigger.as_ref(), *n)));
        lacked.map(|(_, probe)| when(probe.trigger.as_ref())).collect()
    }
}

/// As the script has it.
fn when(trigger: Option<&Trigger>) -> String {
    trigger.map_or("the answer stays general", Trigger::described).to_owned()
}

fn gap(trigger: Option<&Trigger>, n: usize) -> Gap {
    match trigger {
        None | Some(Trigger::NoExample) => Gap::Example,
        Some(Trigger::NoOwnPart) => Gap::OwnPart,
        Some(Trigger::NoReason) => Gap::Reason,
        Some(Trigger::NoResult) => Gap::Result,
        Some(Trigger::NoReflection) => Gap::Reflection,
        Some(Trigger::ShortAnswer) => Gap::Short,
        Some(Trigger::Custom(_)) => Gap::Custom(n),
    }
}
