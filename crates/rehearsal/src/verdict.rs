//! What is wrong with one interview of a rehearsal. Rules decide, never a model.

use crate::candidate::Asked;
use crate::interviewer::Behaviour;
use crate::persona::{Act, Persona};
use crate::report::{Code, Finding, Outcome};
use crate::stage::{End, Held};
use interview_domain::conduct::{Because, Conduct, ConductRecord, Event, PauseKind, Recorded, Script, Spot, is_said};
use interview_domain::edge::Slug;
use interview_domain::plan::{Plan, Question, QuestionKind, Section};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The page says "Take your time" by then.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(12);

/// One interview, with what the plan says about it.
pub struct Case<'a> {
    pub plan: &'a Plan,
    pub script: &'a Arc<Script>,
    pub persona: &'a Persona,
    pub behaviour: Behaviour,
    pub held: &'a Held,
    record: ConductRecord,
}

impl<'a> Case<'a> {
    pub fn new(plan: &'a Plan, script: &'a Arc<Script>, persona: &'a Persona, behaviour: Behaviour, held: &'a Held) -> Self {
        let record = ConductRecord::of(script, &held.events, &held.transcript.entries());
        Self { plan, script, persona, behaviour, held, record }
    }

    fn is_faithful(&self) -> bool {
        self.behaviour == Behaviour::Faithful
    }

    fn place_of(&self, id: &Slug) -> Option<(&'a Section, &'a Question)> {
        self.plan.questions().find(|(_, question)| question.id == *id)
    }

    fn about(&self, finding: Finding, id: &Slug) -> Finding {
        match self.place_of(id) {
            Some((section, question)) => finding.at(&section.id, &question.id),
            None => finding,
        }
    }

    pub fn outcome(&self) -> Outcome {
        match self.held.end {
            End::Interviewer if self.record.closed => Outcome::Completed,
            End::Interviewer if self.wants_to_stop() || self.is_time_up() || self.core_left().next().is_none() => {
                Outcome::Stopped
            }
            End::Limit => Outcome::TimeLimit,
            End::Failed(_) => Outcome::Failed,
            End::Interviewer | End::Never | End::Stopped => Outcome::Broken,
        }
    }

    fn wants_to_stop(&self) -> bool {
        let asked = self.record.questions.iter().rposition(|question| question.asked.is_some());
        let acts = self.persona.acts;
        asked.is_some_and(|at| !acts.is_empty() && acts[at % acts.len()].contains(&Act::Stops))
    }

    fn core_left(&self) -> impl Iterator<Item = &Slug> {
        let left = self.record.questions.iter().filter(|one| one.kind == QuestionKind::Core && one.asked.is_none());
        left.map(|question| &question.id)
    }

    pub fn questions_asked(&self) -> Vec<Slug> {
        self.record.questions.iter().filter(|question| question.asked.is_some()).map(|question| question.id.clone()).collect()
    }

    pub fn probes_fired(&self) -> BTreeSet<(Slug, Slug)> {
        let of = |id: &Slug, probes: &[Slug]| probes.iter().map(|probe| (id.clone(), probe.clone())).collect::<Vec<_>>();
        self.record.questions.iter().flat_map(|question| of(&question.id, &question.probes_used)).collect()
    }

    /// Without pauses.
    pub fn clock(&self) -> Duration {
        let pauses = self.record.pauses.iter().map(|pause| {
            let ended = pause.ended_ms.map_or(self.held.took, Duration::from_millis);
            ended.saturating_sub(Duration::from_millis(pause.began_ms))
        });
        self.held.took.saturating_sub(pauses.sum())
    }

    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.check_order(&mut findings);
        self.check_words(&mut findings);
        self.check_end(&mut findings);
        self.check_pauses(&mut findings);
        let (silence, at) = self.held.watch.longest_silence;
        if silence > LONGEST_SILENCE {
            let message = format!(
                "Nobody spoke for {:.1} seconds until {} and the page said nothing: this is a fault of the product, report it.",
                silence.as_secs_f64(),
                clock(at)
            );
            findings.push(Finding::error(Code::Silence, message));
        }
        if self.is_faithful() && self.persona.is_timed {
            self.check_time(&mut findings);
        }
        findings.sort_by_key(|finding| (finding.severity, finding.code));
        findings
    }

    /// By the record, and by what was heard.
    fn check_order(&self, findings: &mut Vec<Finding>) {
        let asked = self.held.events.iter().filter_map(|recorded| match &recorded.event {
            Event::Asked { question, .. } => self.script.position(question),
            _ => None,
        });
        let asked: Vec<usize> = asked.collect();
        if !asked.is_sorted_by(|a, b| a < b) {
            findings.push(Finding::error(Code::OutOfOrder, "The questions were not asked in the order of the plan, each once."));
        }
        if !self.is_faithful() {
            return;
        }
        let again = self.held.events.iter().filter(|one| matches!(&one.event, Event::PauseEnded)).count();
        for (at, question) in self.script.questions.iter().enumerate() {
            let heard = self.held.watch.said.iter().filter(|said| said.asked == Asked::Question(at) && !said.cut).count();
            let repeats = self.record.questions[at].repeats as usize;
            if heard > 1 + repeats + again {
                let message = format!("“{}” was asked {heard} times: no rule wanted that.", question.text);
                findings.push(self.about(Finding::error(Code::AskedAgain, message), &question.id));
            }
        }
        for leftover in self.core_left().collect::<Vec<_>>() {
            let time_up = self.is_time_up();
            let excused = self.persona.words.is_none() || self.wants_to_stop() || time_up;
            if !excused {
                let message = "A core question was not asked although there was time: this is a fault of the product, report it.";
                findings.push(self.about(Finding::error(Code::NotAsked, message), leftover));
            }
        }
    }

    fn check_words(&self, findings: &mut Vec<Finding>) {
        for recorded in &self.held.events {
            let Event::Asked { question, item, verbatim } = &recorded.event else { continue };
            let text = self.script.position(question).map_or("", |at| self.script.questions[at].text.as_str());
            let said = self.held.watch.said.iter().find(|said| said.item == *item && !said.cut);
            let is_word_for_word = said.is_some_and(|said| is_said(text, &said.text));
            if *verbatim != is_word_for_word {
                let message =
                    "The record says otherwise than what was heard of this question: this is a fault of the product, report it.";
                findings.push(self.about(Finding::error(Code::NotVerbatim, message), question));
            } else if !verbatim && self.is_faithful() {
                let message = format!("“{text}” was not asked in these words: make it shorter and plainer.");
                findings.push(self.about(Finding::error(Code::NotVerbatim, message), question));
            }
        }
    }

    fn check_end(&self, findings: &mut Vec<Finding>) {
        let never_speaks = self.persona.words.is_none();
        let message = match (self.outcome(), self.is_faithful()) {
            // Once all that everybody is asked was asked, the interviewer may end it.
            (Outcome::Completed, _) | (Outcome::TimeLimit | Outcome::Failed | Outcome::Stopped, false) => return,
            (Outcome::TimeLimit, true) if never_speaks => return,
            (Outcome::Stopped, true) if self.wants_to_stop() => return,
            (Outcome::Broken, false) if self.parted_twice() => return,
            (Outcome::TimeLimit, true) => "The interview ran into its time limit: give the plan more minutes, or ask less.",
            (Outcome::Stopped, _) => "It ended before the closing words: this is a fault of the product, report it.",
            (Outcome::Failed, true) => "The interviewer fell silent: this is a fault of the product, report it.",
            (Outcome::Broken, _) => {
                "It ended before all was asked, and nobody wanted that: this is a fault of the product, report it."
            }
        };
        findings.push(Finding::error(Code::NotEndedByRule, message));
    }

    /// Whoever says goodbye and says it once more, when told that questions are left, ends the interview.
    fn parted_twice(&self) -> bool {
        self.behaviour == Behaviour::PartsEarly
    }

    fn check_pauses(&self, findings: &mut Vec<Finding>) {
        for at in &self.held.watch.into_pauses {
            let message =
                format!("The interviewer spoke into a pause at {}: this is a fault of the product, report it.", clock(*at));
            findings.push(Finding::error(Code::ThinkTime, message));
        }
        let mut thinks = None;
        for recorded in &self.held.events {
            match &recorded.event {
                Event::PauseBegan { pause: PauseKind::Think, at_most_ms } => {
                    let longest = u64::try_from(self.script.think.as_millis()).unwrap_or(u64::MAX);
                    if at_most_ms.is_none_or(|at_most| at_most > longest) {
                        findings.push(Finding::error(Code::ThinkTime, "More time to think was given than the plan allows."));
                    }
                    thinks = Some(recorded.at());
                }
                Event::PauseEnded => thinks = None,
                Event::Moved { because: Because::Time | Because::TimeUp, .. } if thinks.is_some() => {
                    findings.push(Finding::error(Code::ThinkTime, "A moment to think was counted as time of the question."));
                }
                _ => {}
            }
        }
    }

    // ---- the budget ----

    fn time_up(&self) -> Option<(usize, &Recorded)> {
        self.held
            .events
            .iter()
            .enumerate()
            .find(|(_, recorded)| matches!(&recorded.event, Event::Moved { to: Spot::Closing, because: Because::TimeUp }))
    }

    fn is_time_up(&self) -> bool {
        self.time_up().is_some()
    }

    fn check_time(&self, findings: &mut Vec<Finding>) {
        // How good candidates fare is the plan's fault; how others do is worth knowing.
        let is_plain = self.persona.kind == crate::persona::Kind::Plain;
        let before = self.time_up().map(|(n, _)| &self.held.events[..n]);
        let at = before.map(|before| Conduct::replay(self.script.clone(), before).place());
        if let Some(interview_domain::conduct::Place::Question(at)) = at {
            let question = &self.script.questions[at];
            let left = self.core_left().count();
            let what = match left {
                0 => "the answer to it was cut short".to_owned(),
                1 => "one core question was not asked".to_owned(),
                left => format!("{left} core questions were not asked"),
            };
            let message = format!(
                "The time for questions was over at “{}”, and {what}: allow more minutes, or less time for the questions before.",
                question.text
            );
            findings.push(self.about(Finding::error(Code::OverTime, message).unless(!is_plain), &question.id));
        }
        if !is_plain {
            return;
        }
        for section in &self.plan.sections {
            let of_section = |id: &Slug| section.questions.iter().any(|question| question.id == *id);
            let seconds: u64 = self.record.questions.iter().filter(|one| of_section(&one.id)).map(|one| one.seconds).sum();
            let minutes = u64::from(section.minutes.get());
            if seconds > minutes * 60 {
                let message = format!(
                    "“{}” took {} minutes with a candidate who answers well, and has {minutes}: give it more, or ask less.",
                    section.name,
                    seconds.div_ceil(60)
                );
                findings.push(Finding::warning(Code::SectionOverTime, message).in_section(&section.id));
            }
        }
    }
}

/// `3:05`.
fn clock(at: Duration) -> String {
    format!("{}:{:02}", at.as_secs() / 60, at.as_secs() % 60)
}
