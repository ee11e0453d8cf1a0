//! A model of a call: replies are generated before they are heard, turns end some time after the last word and are answered by the
//! provider itself, their words come later, and who speaks cuts off who is heard.

use crate::candidate::{Asked, Candidate, Meaning, UserAction, Utterance, Words};
use crate::interviewer::Interviewer;
use crate::stage::{End, Moment, Stage};
use interview_domain::conduct::{self, Place, Script, Shown, is_said};
use interview_domain::ids::{ItemId, ReplyId, ToolCallId};
use interview_domain::plan::{Pace, TurnTaking};
use interview_domain::replies::{Purpose, Request};
use interview_domain::transcript::Recognition;
use interview_domain::voice::{Delivery, ItemContent, Refusal, ReplyOutcome, Speaker, VoiceEvent};
use std::collections::BTreeMap;
use std::time::Duration;

/// Between the provider and us.
pub const DELAY: Duration = Duration::from_millis(60);
/// From the end of a turn to the provider's own answer to it, and from there to its first sound.
const ANSWERED: Duration = Duration::from_millis(450);
const FIRST_SOUND: Duration = Duration::from_millis(300);
/// A reply in which only a tool is called takes so long.
const TOOL_CALL: Duration = Duration::from_millis(280);
/// From the end of a turn to its words.
const WRITTEN: Duration = Duration::from_millis(900);
/// From the end of a turn to the next piece of an answer: its speaker has not seen that it was taken for the end.
const NEXT_PIECE: Duration = Duration::from_millis(1_200);
/// Generated faster than it is spoken, by so much.
const GENERATED: f64 = 0.35;

/// What happens after a while.
#[derive(Debug)]
pub enum Due {
    CallOpens,
    TimeLimit,
    /// The interviewer has ended the interview.
    Ends,
    Instructed(String),
    Requested {
        request: Request,
        purpose: Purpose,
    },
    /// The provider answers a turn by itself.
    Answers,
    Plays(ReplyId),
    Generated(ReplyId),
    Played(ReplyId),
    Does(UserAction),
    Interrupts(Utterance),
    Stops(ItemId),
    TurnEnds(ItemId),
    Written(ItemId, Utterance),
}

/// A reply that is being generated.
#[derive(Debug)]
struct Active {
    reply: ReplyId,
    item: ItemId,
    text: Option<String>,
    calls: Vec<(&'static str, String)>,
}

/// A reply whose sound is on its way, or is heard.
#[derive(Debug)]
struct Sound {
    reply: ReplyId,
    item: ItemId,
    text: String,
    lasts: Duration,
    place: Place,
    /// When it was begun, and since when it is heard.
    begun: Moment,
    since: Option<Moment>,
}

#[derive(Debug)]
struct Speech {
    item: ItemId,
    what: Utterance,
    since: Moment,
    /// When the last word was said; the turn ends later.
    stopped: Option<Moment>,
}

pub struct Call<'a> {
    pub model: Interviewer<'a>,
    candidate: Candidate<'a>,
    pace: Pace,
    /// A pause of so long is the end of a turn.
    turn_end: Duration,
    agenda: BTreeMap<(Moment, u64), Due>,
    steps: u64,
    names: u64,
    last_item: Option<ItemId>,
    /// As the model reads it now.
    pub instructed: String,
    active: Option<Active>,
    sounds: Vec<Sound>,
    plays_until: Moment,
    speech: Option<Speech>,
    /// What the candidate is about to do, and what they held back.
    pending: Option<(Moment, u64)>,
    held: Option<UserAction>,
    /// The turn that is not answered yet.
    unanswered: Option<Meaning>,
    said_last: String,
}

impl<'a> Call<'a> {
    pub fn new(turn_taking: TurnTaking, pace: Pace, candidate: Candidate<'a>, model: Interviewer<'a>) -> Self {
        let turn_end = Duration::from_millis(match turn_taking {
            TurnTaking::Patient => 1_800,
            TurnTaking::Normal => 900,
            TurnTaking::Brisk => 500,
        });
        Self {
            model,
            candidate,
            pace,
            turn_end,
            agenda: BTreeMap::new(),
            steps: 0,
            names: 0,
            last_item: None,
            instructed: String::new(),
            active: None,
            sounds: Vec::new(),
            plays_until: Moment::ZERO,
            speech: None,
            pending: None,
            held: None,
            unanswered: None,
            said_last: String::new(),
        }
    }

    pub fn after(&mut self, now: Moment, after: Duration, due: Due) -> (Moment, u64) {
        self.steps += 1;
        let key = (now.saturating_add(after), self.steps);
        self.agenda.insert(key, due);
        key
    }

    pub fn next_due(&self) -> Option<Moment> {
        self.agenda.keys().next().map(|(at, _)| *at)
    }

    pub fn take_due(&mut self, now: Moment) -> Option<Due> {
        let first = self.agenda.first_entry().filter(|first| first.key().0 <= now)?;
        if self.pending == Some(*first.key()) {
            self.pending = None;
        }
        Some(first.remove())
    }

    pub fn somebody_speaks(&self) -> bool {
        self.sounds.iter().any(|sound| sound.since.is_some())
            || self.speech.as_ref().is_some_and(|speech| speech.stopped.is_none())
    }

    pub fn is_speaking(&self) -> bool {
        self.speech.is_some()
    }

    pub fn page_shows(&mut self, shown: Shown) {
        self.candidate.is_shown_thinking(matches!(shown, Shown::Thinking { .. }));
    }

    /// The provider ends the turn, in the middle of what they say.
    pub fn candidate_is_closed(&mut self, now: Moment) {
        let Some(speech) = &mut self.speech else { return };
        speech.stopped.get_or_insert(now);
        let item = speech.item.clone();
        self.after(now, DELAY, Due::TurnEnds(item));
    }

    /// Nothing of it is heard any more.
    pub fn hangs_up(&mut self) {
        (self.active, self.speech, self.unanswered, self.last_item) = (None, None, None, None);
        self.sounds.clear();
        let stays = |due: &Due| matches!(due, Due::TimeLimit | Due::CallOpens | Due::Ends);
        self.agenda.retain(|_, due| stays(due));
        (self.pending, self.held) = (None, None);
    }

    fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{kind}_{}", self.names)
    }

    fn spoken(&self, text: &str) -> Duration {
        Duration::from_secs(u64::from(self.pace.seconds(text))).max(Duration::from_millis(400))
    }

    /// Something of the interviewer is on its way, or of the candidate.
    fn is_busy(&self) -> bool {
        let comes =
            |due: &Due| matches!(due, Due::Answers | Due::Requested { .. } | Due::Plays(_) | Due::TurnEnds(_) | Due::CallOpens);
        self.active.is_some() || !self.sounds.is_empty() || self.speech.is_some() || self.agenda.values().any(comes)
    }
}

impl Stage<'_> {
    pub fn happens(&mut self, due: Due) {
        match due {
            Due::CallOpens => self.call_opens(),
            Due::Ends => self.ends(End::Interviewer, None),
            Due::TimeLimit => self.ends(End::Limit, Some("time_limit")),
            Due::Instructed(instructions) => self.call.instructed = instructions,
            Due::Requested { request, .. } if self.call.active.is_some() => {
                self.hear(&VoiceEvent::Refused { refusal: Refusal::AlreadyReplying, command: Some(request.to_string()) });
            }
            Due::Requested { purpose, .. } => {
                let to = self.call.unanswered.take().filter(|_| purpose == Purpose::Answer);
                self.begins_reply(to.as_ref(), Some(purpose));
            }
            Due::Answers if self.call.active.is_none() => {
                let to = self.call.unanswered.take();
                self.begins_reply(to.as_ref(), None);
            }
            Due::Answers => {}
            Due::Plays(reply) => self.plays(&reply),
            Due::Generated(reply) => self.generated(&reply),
            Due::Played(reply) => self.played(&reply),
            Due::Does(UserAction::Says { what, .. }) | Due::Interrupts(what) => self.candidate_speaks(what),
            Due::Does(UserAction::Think { .. }) => self.conduct(conduct::Input::ThinkAsked),
            Due::Does(UserAction::GoesOn { .. }) => self.conduct(conduct::Input::Resumed),
            Due::Stops(item) => self.candidate_stops(&item),
            Due::TurnEnds(item) => self.turn_ends(&item),
            Due::Written(item, what) => self.hear(&match what.words {
                Words::Failed => VoiceEvent::CandidateFailed { item },
                Words::Heard | Words::Cough => {
                    VoiceEvent::CandidateSettled { item, text: what.text, recognition: Recognition::default() }
                }
            }),
        }
    }

    // ---- the interviewer ----

    fn begins_reply(&mut self, to: Option<&Meaning>, purpose: Option<Purpose>) {
        let turn = self.call.model.replies(&self.call.instructed, to, purpose);
        let (reply, item) = (ReplyId::new(self.call.name("resp")), ItemId::new(self.call.name("ai")));
        let text = turn.says.filter(|text| !text.trim().is_empty());
        self.hear(&VoiceEvent::ReplyStarted {
            reply: reply.clone(),
            in_conversation: true,
            purpose: purpose.map(|purpose| purpose.as_str().to_owned()),
        });
        let mut generated = TOOL_CALL;
        if let Some(text) = &text {
            self.hear(&VoiceEvent::ReplyItem { reply: reply.clone(), item: item.clone(), commentary: false });
            let previous = self.call.last_item.replace(item.clone());
            let content = ItemContent::Message { speaker: Speaker::Ai, commentary: false };
            self.hear(&VoiceEvent::ItemPlaced { item: item.clone(), previous, content });
            let lasts = self.call.spoken(text);
            // What was said before is heard first.
            let begins = self.call.plays_until.saturating_sub(self.now).max(FIRST_SOUND);
            generated = FIRST_SOUND + lasts.mul_f64(GENERATED).min(Duration::from_secs(8));
            self.call.after(self.now, begins, Due::Plays(reply.clone()));
            self.call.plays_until = self.now + begins.max(generated) + lasts;
            let place = self.conduct.place();
            let sound = Sound {
                reply: reply.clone(),
                item: item.clone(),
                text: text.clone(),
                lasts,
                place,
                begun: self.now,
                since: None,
            };
            self.call.sounds.push(sound);
        }
        self.call.after(self.now, generated, Due::Generated(reply.clone()));
        self.call.active = Some(Active { reply, item, text, calls: turn.calls });
    }

    fn generated(&mut self, reply: &ReplyId) {
        let Some(active) = self.call.active.take_if(|active| active.reply == *reply) else { return };
        let Active { reply, item, text, calls } = active;
        if let Some(text) = &text {
            self.hear(&VoiceEvent::ReplySettled { item: item.clone(), text: text.clone() });
        }
        let mut before: Option<(ToolCallId, String)> = None;
        for (tool, arguments) in calls {
            // The same once more is the same call, told twice.
            let call = match &before {
                Some((call, same)) if *same == arguments => call.clone(),
                _ => ToolCallId::new(self.call.name("call")),
            };
            before = Some((call.clone(), arguments.clone()));
            self.hear(&VoiceEvent::ToolCalled { reply: Some(reply.clone()), call, name: tool.to_owned(), arguments });
        }
        let delivery = if text.is_some() { Delivery::Audio } else { Delivery::Unknown };
        let texts = text.map(|text| (item, text)).into_iter().collect();
        self.hear(&VoiceEvent::ReplyDone { reply, outcome: ReplyOutcome::Completed, texts, tokens: None, delivery });
    }

    fn plays(&mut self, reply: &ReplyId) {
        let now = self.now;
        let Some(sound) = self.call.sounds.iter_mut().find(|sound| sound.reply == *reply) else { return };
        sound.since = Some(now);
        let (lasts, begun, asked) = (sound.lasts, sound.begun, asked(self.script, sound.place, &sound.text));
        self.watch.interviewer_speaks(now, begun);
        self.call.after(now, lasts, Due::Played(reply.clone()));
        // Who was about to speak listens.
        if let Some(Due::Does(action)) = self.call.pending.take().and_then(|key| self.call.agenda.remove(&key)) {
            self.call.held = Some(action);
        }
        if let Some(what) = self.call.candidate.interrupts(asked) {
            self.call.after(now, lasts.mul_f64(0.5), Due::Interrupts(what));
        }
        self.hear(&VoiceEvent::PlaybackStarted { reply: reply.clone() });
    }

    fn played(&mut self, reply: &ReplyId) {
        let Some(at) = self.call.sounds.iter().position(|sound| sound.reply == *reply) else { return };
        let sound = self.call.sounds.remove(at);
        let asked = asked(self.script, sound.place, &sound.text);
        self.watch.is_said(&sound.item, &sound.text, asked, false);
        self.call.said_last.clone_from(&sound.text);
        let holds = self.call.held.is_some();
        if self.call.candidate.hears(asked, holds) {
            self.call.held = None;
        }
        self.hear(&VoiceEvent::PlaybackEnded { reply: reply.clone() });
    }

    /// By a voice, or by us.
    fn is_cut(&mut self, outcome: ReplyOutcome) {
        let now = self.now;
        if let Some(active) = self.call.active.take() {
            let half = active.text.as_deref().map(|text| text.chars().take(text.chars().count() / 2).collect::<String>());
            let texts = half.map(|half| (active.item, half)).into_iter().collect();
            let delivery = Delivery::Unknown;
            self.hear(&VoiceEvent::ReplyDone { reply: active.reply, outcome, texts, tokens: None, delivery });
        }
        for sound in std::mem::take(&mut self.call.sounds) {
            if let Some(since) = sound.since {
                let asked = asked(self.script, sound.place, &sound.text);
                self.watch.is_said(&sound.item, &sound.text, asked, true);
                let heard_ms = u64::try_from(now.saturating_sub(since).as_millis()).unwrap_or_default();
                self.hear(&VoiceEvent::PlaybackCut { reply: sound.reply });
                self.hear(&VoiceEvent::ItemCut { item: sound.item, heard_ms });
            }
        }
        self.call.plays_until = now;
    }

    /// We cancel what is being generated; nobody hears it any more.
    pub fn cancels(&mut self, reply: &ReplyId) {
        if self.call.active.as_ref().is_some_and(|active| active.reply == *reply) {
            self.is_cut(ReplyOutcome::CancelledByClient);
        }
    }

    // ---- the candidate ----

    /// Who has something to say says it when nobody else does.
    pub fn candidate_turns(&mut self) {
        if self.call.pending.is_some() || self.call.is_busy() {
            return;
        }
        let held = self.call.held.take();
        let said_last = std::mem::take(&mut self.call.said_last);
        let action = held.or_else(|| self.call.candidate.next(&said_last));
        self.call.said_last = said_last;
        if let Some(action) = action {
            let (UserAction::Says { after, .. } | UserAction::Think { after } | UserAction::GoesOn { after }) = action;
            self.call.pending = Some(self.call.after(self.now, after, Due::Does(action)));
        }
    }

    fn candidate_speaks(&mut self, what: Utterance) {
        if self.call.speech.is_some() {
            return;
        }
        let (item, now) = (ItemId::new(self.call.name("me")), self.now);
        let start_ms = Some(millis(now));
        if what.words != Words::Cough {
            self.watch.candidate_speaks();
        }
        self.call.after(now, what.lasts, Due::Stops(item.clone()));
        self.call.speech = Some(Speech { item: item.clone(), what, since: now, stopped: None });
        self.hear(&VoiceEvent::SpeechStarted { item, start_ms });
        self.is_cut(ReplyOutcome::Cancelled);
        // A turn that was to be answered goes on.
        self.call.agenda.retain(|_, due| !matches!(due, Due::Answers));
    }

    fn candidate_stops(&mut self, item: &ItemId) {
        let now = self.now;
        let Some(speech) = self.call.speech.as_mut().filter(|speech| speech.item == *item && speech.stopped.is_none()) else {
            return;
        };
        speech.stopped = Some(now);
        let what = speech.what.clone();
        let turn_end = self.call.turn_end;
        self.call.after(now, turn_end, Due::TurnEnds(item.clone()));
        if self.call.candidate.goes_on(&what)
            && let Some(UserAction::Says { what, .. }) = self.call.candidate.next("")
        {
            self.call.after(now, turn_end + NEXT_PIECE, Due::Interrupts(what));
        }
    }

    fn turn_ends(&mut self, item: &ItemId) {
        let Some(speech) = self.call.speech.take_if(|speech| speech.item == *item) else { return };
        let end_ms = Some(millis(speech.stopped.unwrap_or(self.now)));
        debug_assert!(speech.since <= self.now);
        self.hear(&VoiceEvent::SpeechStopped { item: item.clone(), end_ms });
        if speech.what.words == Words::Cough {
            return;
        }
        let previous = self.call.last_item.replace(item.clone());
        self.hear(&VoiceEvent::ItemPlaced { item: item.clone(), previous, content: ItemContent::Committed });
        self.call.unanswered = Some(speech.what.means.clone());
        self.call.after(self.now, ANSWERED, Due::Answers);
        self.call.after(self.now, WRITTEN, Due::Written(item.clone(), speech.what));
    }
}

fn millis(at: Moment) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX)
}

/// Which words of the plan this is, said at this place.
fn asked(script: &Script, place: Place, text: &str) -> Asked {
    match place {
        Place::Question(at) => {
            let question = &script.questions[at];
            if is_said(&question.text, text) || !question.simpler.is_empty() && is_said(&question.simpler, text) {
                return Asked::Question(at);
            }
            let probe = question.probes.iter().position(|probe| is_said(&probe.text, text));
            probe.map_or(Asked::Other, |probe| Asked::Probe(at, probe))
        }
        Place::CandidateQuestions if is_said(&script.candidate_questions, text) => Asked::CandidateQuestions,
        Place::Closing if is_said(&script.closing, text) => Asked::Closing,
        Place::CandidateQuestions | Place::Closing => Asked::Other,
    }
}
