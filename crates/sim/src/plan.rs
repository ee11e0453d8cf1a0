//! What will happen to one interview, generated from its seed before it begins.

use crate::database::Moment;
use crate::world::Point;
use fastrand::Rng;
use interview_runtime::actors::tree::Child;
use std::collections::VecDeque;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// None: the root.
    Crash(Option<Child>),
    /// Who listens to the browser, with the next message in hand.
    CrashHolding,
    CrashLoop(Child),
    Kill,
    Sigterm,
    /// A second process starts; the first is not told.
    SecondProcess,
    DatabaseAway {
        lasts: Duration,
        refuses: bool,
    },
    DatabaseSlow {
        lasts: Duration,
    },
    DatabaseReadOnly {
        lasts: Duration,
    },
    LoseReplies(u32),
    DropSideband,
    EndCall,
    HangHangUps,
    JumpClock {
        hours: i64,
    },
    Reload,
    DropLink,
    /// The link is lost, and the person types a last word.
    LastWord,
    GoSilent(Duration),
    SecondTab,
    Note {
        poison: bool,
    },
    RenewToken,
    /// The person answers in writing.
    Type,
    /// A button of the page: a moment to think, or on.
    Think,
    GoOn,
    Odd(Oddity),
    Lie(Lie),
    End(Ending),
    Probe,
}

/// What a page tells that no page should. The number chooses among those of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    Text(u8),
    Id(u8),
    Time(u8),
    Shape(u8),
    Note(u8),
}

/// What a page does whose candidate wants to have said something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Items that are not there, of both speakers.
    Invent {
        items: u8,
    },
    /// An offer that the provider refuses.
    JunkOffer,
    Offers(u8),
    /// On the call's own channel.
    Update(u8),
    Create(u8),
    Delete,
    Truncate,
    Reply,
    Cancel,
    Clear,
}

/// A page that lies, in all of an interview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liar {
    /// It tells other words than were said.
    pub twists: bool,
    /// Nothing else goes wrong: every gap is known.
    pub calm: bool,
}

/// An interview that is led through a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conducted {
    /// The interviewer says other words, and calls tools at the wrong moment or not at all.
    pub wayward: bool,
}

/// How the interview is meant to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Candidate {
        twice: bool,
        forged: bool,
    },
    Recruiter,
    /// The model calls its tool.
    Interviewer,
    TimeLimit,
    /// The page is closed and nobody comes back.
    Leaves,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    RateLimited,
    Fails,
    Hangs,
    Orphaned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SummaryFault {
    Garbage,
    Refusal,
    Unavailable,
    Hangs,
    Panics,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub at: Vec<(Duration, Action)>,
    pub on: Vec<(Point, u64, Action)>,
    pub ending: Ending,
    pub call_faults: VecDeque<CallFault>,
    pub summary_faults: VecDeque<SummaryFault>,
    pub sideband_refusals: u32,
    pub writer_panics: Vec<(Moment, u64)>,
    pub recording_settles: bool,
    /// None: the provider's usual hour.
    pub call_lifetime: Option<Duration>,
    pub consents: bool,
    /// Does not tell the state of its media, as a client of the first hour.
    pub quiet_client: bool,
    /// Keeps its media up after the end.
    pub rude_client: bool,
    pub liar: Option<Liar>,
    /// The provider sends what its documents do not promise.
    pub odd_voice: bool,
    /// Replies fail, are cut, say nothing, never begin or are refused.
    pub reply_faults: bool,
    pub conducted: Option<Conducted>,
    pub max_duration_s: u64,
    pub grace_s: u64,
    pub max_records: usize,
    pub heartbeat_ms: u64,
    /// The interview has to be over by then.
    pub limit: Duration,
}

fn seconds(rng: &mut Rng, from: f64, to: f64) -> Duration {
    Duration::from_millis((1_000.0 * (from + rng.f64() * (to - from))) as u64)
}

impl Plan {
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x5eed_0f1a_11f0_0d01);
        let rng = &mut rng;
        let talk = seconds(rng, 20.0, 120.0);
        let ending = match rng.u8(0..10) {
            0..=4 => Ending::Candidate { twice: rng.u8(0..4) == 0, forged: rng.u8(0..4) == 0 },
            5 => Ending::Recruiter,
            6 | 7 => Ending::Interviewer,
            8 => Ending::TimeLimit,
            _ => Ending::Leaves,
        };
        let mut plan = Self {
            at: vec![(talk, Action::End(ending))],
            on: vec![],
            ending,
            call_faults: VecDeque::new(),
            summary_faults: VecDeque::new(),
            sideband_refusals: 0,
            writer_panics: vec![],
            recording_settles: true,
            call_lifetime: None,
            consents: rng.bool(),
            quiet_client: rng.u8(0..10) == 0,
            rude_client: rng.u8(0..3) == 0,
            liar: None,
            odd_voice: false,
            reply_faults: false,
            conducted: None,
            max_duration_s: if ending == Ending::TimeLimit { talk.as_secs().max(20) } else { 600 },
            grace_s: 120,
            max_records: 20_000,
            heartbeat_ms: 2_000,
            limit: Duration::from_hours(1),
        };
        for _ in 0..rng.u8(0..4) {
            plan.at.push((seconds(rng, 1.0, talk.as_secs_f64()), Action::Note { poison: false }));
        }
        // Every tenth interview runs without faults: the baseline.
        if !seed.is_multiple_of(10) {
            for _ in 0..rng.u8(1..=4) {
                plan.add_fault(rng, talk);
            }
            // Dice of their own: what else happens stays as it was without them.
            let rng = &mut Rng::with_seed(seed ^ 0xa13d_9a71_c5ed);
            for _ in 0..rng.u8(0..5) {
                plan.aim_panic(rng, talk);
            }
            if rng.u8(0..8) == 0 {
                plan.on.push((Point::Ending, 1, Action::LastWord));
            }
            if rng.u8(0..20) == 0 {
                plan.at.push((seconds(rng, 1.0, talk.as_secs_f64()), Action::SecondTab));
            }
        }
        if !seed.is_multiple_of(10) {
            plan.add_strangers(&mut Rng::with_seed(seed ^ 0x0000_dd0f_a115_0f75), talk);
        }
        // Of an honest page only: a request that was never followed excuses one reply that somebody else made.
        plan.reply_faults = plan.liar.is_none() && !seed.is_multiple_of(10) && Rng::with_seed(seed ^ 0x4e91_1e5f).u8(0..3) == 0;
        plan.lead(&mut Rng::with_seed(seed ^ 0xc0d0_c7ed), talk);
        plan.write(&mut Rng::with_seed(seed ^ 0x7e97_1e77), talk);
        if plan.limit > Duration::from_hours(1) {
            // A day of calls of half a minute each would be thousands of chapters, and a day of talk
            // with another page as many entries.
            plan.call_lifetime = None;
            let another_page = |action: &Action| matches!(action, Action::Reload | Action::SecondTab);
            plan.at.retain(|(_, action)| !another_page(action));
            plan.on.retain(|(_, _, action)| !another_page(action));
        }
        plan.at.sort_by_key(|(at, _)| *at);
        plan
    }

    /// An interview that is led through a plan to its end, with a provider that fails in every way that it can: replies that come to
    /// nothing, calls that do not open or end, lines that are refused or break. Nothing else goes wrong.
    pub fn with_a_failing_provider(seed: u64) -> Self {
        // Each tenth is drawn without faults.
        let mut plan = Self::draw(10 * seed);
        let rng = &mut Rng::with_seed(seed ^ 0xfa11_1279_0f1d);
        let ending = Ending::Candidate { twice: false, forged: false };
        (plan.ending, plan.max_duration_s) = (ending, 600);
        let talk = Duration::from_mins(6);
        plan.at = vec![(talk, Action::End(ending))];
        plan.on.clear();
        plan.conducted = Some(Conducted { wayward: rng.bool() });
        plan.reply_faults = true;
        plan.odd_voice = rng.u8(0..4) == 0;
        let opening = [CallFault::RateLimited, CallFault::Fails, CallFault::Hangs, CallFault::Orphaned];
        plan.call_faults = (0..rng.u8(0..3)).filter_map(|_| rng.choice(opening)).collect();
        plan.sideband_refusals = u32::from(rng.u8(0..4));
        for _ in 0..rng.u8(0..4) {
            let action = if rng.u8(0..3) == 0 { Action::EndCall } else { Action::DropSideband };
            plan.at.push((seconds(rng, 2.0, talk.as_secs_f64()), action));
        }
        if rng.bool() {
            let at = seconds(rng, 5.0, talk.as_secs_f64());
            plan.at.push((at, Action::Think));
        }
        plan.at.sort_by_key(|(at, _)| *at);
        plan
    }

    fn add_fault(&mut self, rng: &mut Rng, talk: Duration) {
        let action = match rng.u8(0..36) {
            0 | 1 => Action::Crash(Some(Child::SignalingSocket)),
            2 | 3 => Action::Crash(Some(Child::ControlChannel)),
            4 | 5 => Action::Crash(Some(Child::TranscriptWriter)),
            6 => Action::Crash(Some(Child::RecordingTracker)),
            7 | 8 => Action::Crash(None),
            9 => Action::CrashLoop(
                *rng.choice(&[Child::ControlChannel, Child::TranscriptWriter, Child::SignalingSocket])
                    .unwrap_or(&Child::ControlChannel),
            ),
            10..=12 => Action::Kill,
            13 | 14 => Action::Sigterm,
            15 => Action::SecondProcess,
            16..=18 => Action::DatabaseAway { lasts: seconds(rng, 0.5, 70.0), refuses: rng.bool() },
            19 => Action::DatabaseSlow { lasts: seconds(rng, 5.0, 40.0) },
            20 => Action::DatabaseReadOnly { lasts: seconds(rng, 1.0, 20.0) },
            21 => Action::LoseReplies(rng.u32(1..4)),
            22 | 23 => Action::DropSideband,
            24 => Action::EndCall,
            25 => Action::HangHangUps,
            26 => Action::JumpClock { hours: if rng.bool() { 1 } else { -1 } },
            27 => Action::Reload,
            28 => Action::DropLink,
            29 => Action::GoSilent(match rng.u8(0..20) {
                // Only where the person ends it: another page would talk until the time is over.
                0 if self.ending != Ending::TimeLimit => {
                    self.last_a_day();
                    Duration::from_hours(24)
                }
                0..=9 => Duration::from_secs(30),
                _ => Duration::from_mins(2),
            }),
            30 => Action::SecondTab,
            31 => Action::Note { poison: true },
            32 => Action::RenewToken,
            33 => {
                let fault = *rng
                    .choice(&[CallFault::RateLimited, CallFault::Fails, CallFault::Hangs, CallFault::Orphaned])
                    .unwrap_or(&CallFault::Fails);
                return self.call_faults.extend(std::iter::repeat_n(fault, rng.usize(1..4)));
            }
            34 => {
                use SummaryFault::{Garbage, Hangs, Panics, Refusal, Unavailable};
                let fault = *rng.choice(&[Garbage, Refusal, Unavailable, Hangs, Panics]).unwrap_or(&Garbage);
                return self.summary_faults.extend(std::iter::repeat_n(fault, rng.usize(1..6)));
            }
            _ => match rng.u8(0..4) {
                0 => return self.sideband_refusals = rng.u32(1..6),
                1 => return self.recording_settles = false,
                2 => {
                    self.max_records = rng.usize(8..40);
                    Action::DatabaseAway { lasts: seconds(rng, 20.0, 90.0), refuses: true }
                }
                _ => return self.call_lifetime = Some(seconds(rng, 25.0, 60.0)),
            },
        };
        if let Action::DatabaseAway { .. } = action {
            let at = seconds(rng, 0.5, talk.as_secs_f64() + 10.0);
            self.at.push((at + seconds(rng, 0.1, 2.0), Action::Probe));
            return self.at.push((at, action));
        }
        // Half of the faults strike at some time, half at an exact point.
        let point = match rng.u8(0..8) {
            0 | 1 => Some((Point::Commit, rng.u64(1..80))),
            2 => Some((Point::Heard, rng.u64(1..150))),
            3 => Some((Point::Frame, rng.u64(1..25))),
            4 => Some((Point::CallOpened, 1)),
            _ => None,
        };
        match point {
            Some((point, count)) => self.on.push((point, count, action)),
            None => self.at.push((seconds(rng, 0.2, talk.as_secs_f64() + 12.0), action)),
        }
    }

    /// A panic in a state that random times seldom meet.
    fn aim_panic(&mut self, rng: &mut Rng, talk: Duration) {
        use Child::{ControlChannel, RecordingTracker, SignalingSocket};
        let writer = |rng: &mut Rng, moment| (moment, rng.u64(1..30));
        let (point, count, child) = match rng.u8(0..24) {
            0 | 1 => (Point::PageNew, 1, SignalingSocket),
            2 | 3 => (Point::PageOffered, rng.u64(1..3), SignalingSocket),
            // Few interviews have a second answer.
            4 | 5 => (Point::PageAnswered, 1 + rng.u64(0..4) / 3, SignalingSocket),
            // With words in its hands that only the browser has.
            6 => {
                self.at.push((seconds(rng, 2.0, talk.as_secs_f64()), Action::Note { poison: false }));
                return self.on.push((Point::Note, self.notes(), Action::CrashHolding));
            }
            7 | 8 => (Point::PageClosing, 1, SignalingSocket),
            9 => (Point::Dialing, rng.u64(1..4), ControlChannel),
            10 | 11 => {
                self.at.push((seconds(rng, 2.0, talk.as_secs_f64()), Action::DropSideband));
                (Point::SidebandLost, 1, ControlChannel)
            }
            12 => (Point::Replying, rng.u64(1..12), ControlChannel),
            13 | 14 => (Point::Heard, rng.u64(8..60), ControlChannel),
            15 | 16 => return self.writer_panics.push(writer(rng, Moment::Taken)),
            17 | 18 => return self.writer_panics.push(writer(rng, Moment::Sent)),
            19 | 20 => return self.writer_panics.push(writer(rng, Moment::Replied)),
            21 => return self.summary_faults.push_front(SummaryFault::Panics),
            22 => (Point::Frame, rng.u64(3..25), RecordingTracker),
            _ => return self.on.push((Point::Frame, rng.u64(2..40), Action::Crash(None))),
        };
        self.on.push((point, count, Action::Crash(Some(child))));
    }

    /// Input that nobody should send, and pages that lie.
    fn add_strangers(&mut self, rng: &mut Rng, talk: Duration) {
        self.odd_voice = rng.u8(0..4) == 0;
        if rng.u8(0..3) == 0 {
            for _ in 0..rng.u8(1..5) {
                let which = rng.u8(..);
                let oddity = match rng.u8(0..5) {
                    0 => Oddity::Text(which),
                    1 => Oddity::Id(which),
                    2 => Oddity::Time(which),
                    3 => Oddity::Shape(which),
                    _ => Oddity::Note(which),
                };
                self.at.push((seconds(rng, 0.2, talk.as_secs_f64() + 1.0), Action::Odd(oddity)));
            }
        }
        if rng.u8(0..16) == 0 {
            // A process stops while its sideband may be dead and a page knows more.
            let at = seconds(rng, 3.0, talk.as_secs_f64().max(6.0));
            self.at.push((at, Action::DropSideband));
            self.at.push((at + seconds(rng, 1.0, 15.0), Action::Sigterm));
        }
        if rng.u8(0..8) != 0 || self.limit > Duration::from_hours(1) {
            return;
        }
        let liar = Liar { twists: rng.u8(0..3) == 0, calm: rng.bool() };
        self.liar = Some(liar);
        if liar.calm {
            let calm = |action: &Action| matches!(action, Action::End(_) | Action::Note { .. } | Action::Odd(_));
            self.at.retain(|(_, action)| calm(action));
            self.on.clear();
            self.writer_panics.clear();
            self.call_faults.clear();
            self.sideband_refusals = 0;
            self.call_lifetime = None;
            self.max_records = 20_000;
        }
        for _ in 0..rng.u8(1..8) {
            let at = seconds(rng, 0.1, talk.as_secs_f64());
            let lie = match rng.u8(0..16) {
                0..=3 => Lie::Invent { items: rng.u8(1..4) },
                4 | 5 => Lie::JunkOffer,
                6 => Lie::Offers(rng.u8(2..16)),
                7 | 8 => Lie::Update(rng.u8(..)),
                9..=11 => Lie::Create(rng.u8(..)),
                12 => Lie::Delete,
                13 => Lie::Truncate,
                14 => Lie::Reply,
                _ if rng.bool() => Lie::Cancel,
                _ => Lie::Clear,
            };
            self.at.push((at, Action::Lie(lie)));
            if matches!(lie, Lie::JunkOffer | Lie::Offers(_)) || rng.u8(0..3) == 0 {
                // What is told in that moment.
                for later in [0, 60, 200, 500] {
                    self.at.push((at + Duration::from_millis(later), Action::Lie(Lie::Invent { items: 1 })));
                }
            }
        }
    }

    /// Of an honest page only, and of an interview of minutes.
    fn lead(&mut self, rng: &mut Rng, talk: Duration) {
        if self.liar.is_some() || self.limit > Duration::from_hours(1) || rng.u8(0..4) != 0 {
            return;
        }
        self.conducted = Some(Conducted { wayward: rng.bool() });
        for _ in 0..rng.u8(0..3) {
            let at = seconds(rng, 1.0, talk.as_secs_f64());
            self.at.push((at, Action::Think));
            if rng.bool() {
                self.at.push((at + seconds(rng, 0.5, 20.0), Action::GoOn));
            }
        }
    }

    /// Now and then somebody types, and what goes wrong goes wrong around that.
    fn write(&mut self, rng: &mut Rng, talk: Duration) {
        if rng.u8(0..3) != 0 {
            return;
        }
        for _ in 0..rng.u8(1..6) {
            self.at.push((seconds(rng, 0.5, talk.as_secs_f64() + 2.0), Action::Type));
        }
        let faults: Vec<Duration> = self.at.iter().filter(|(_, action)| *action != Action::Type).map(|(at, _)| *at).collect();
        let near = rng.bool();
        if let Some(at) = rng.choice(&faults).filter(|_| near) {
            self.at.push((at.saturating_sub(Duration::from_millis(rng.u64(0..80))), Action::Type));
        }
    }

    fn notes(&self) -> u64 {
        self.at.iter().filter(|(_, action)| matches!(action, Action::Note { .. })).count() as u64
    }

    fn last_a_day(&mut self) {
        self.grace_s = 48 * 3_600;
        self.max_duration_s = 30 * 3_600;
        self.heartbeat_ms = 60_000;
        self.limit = Duration::from_hours(80);
    }
}
