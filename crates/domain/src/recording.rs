//! The recording of one interview, take by take, as pure decisions.
//!
//! A container at the provider holds one stream of one recorder. When a page reloads or its recorder breaks, recording goes on
//! in the next container: the next take. The provider decides what a take contains. The browser's reports only make it visible
//! sooner: what is closed or given up is decided by what was seen at the provider. At the end each take is waited for, or closed
//! with the parts that have arrived.

use super::edge::{Label, PartNumber};
use super::outbox_record::{RecordingRecord, RecordingState};
use super::protocol::ClientRecordingState;
use crate::ids::VideoId;

/// One container, as the database knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTake {
    pub segment: i32,
    pub video: VideoId,
    pub state: RecordingState,
    /// Parts that the provider has.
    pub parts: i32,
}

/// The browser named a take that is not one of this interview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTake;

/// Looks at a take of which the browser has told more than the provider: what was stored a moment ago may not show yet.
const LOOKS: u32 = 3;

#[derive(Clone, Debug)]
struct Take {
    known: KnownTake,
    /// Parts that the browser says it has sent.
    claimed: i32,
    /// The browser cannot go on with it.
    broken: bool,
    /// How often the provider was asked since the end began.
    looks: u32,
    /// What the browser says it writes.
    mime_type: Option<Label>,
    /// Closed by us, or given up: the rest never came.
    incomplete: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settling {
    No,
    /// The browser is there and may still be sending.
    Patient,
    /// The same, but it had time enough for all takes but the one it recorded last.
    NewestOnly,
    /// Nobody is there to send anything.
    Impatient,
}

#[derive(Clone, Debug)]
pub struct Takes {
    takes: Vec<Take>,
    settling: Settling,
}

impl Takes {
    pub fn new(known: Vec<KnownTake>) -> Self {
        let mut takes = Self { takes: Vec::new(), settling: Settling::No };
        takes.learn(known);
        takes
    }

    /// Rows that the gateway has made since. True when one was new.
    pub fn learn(&mut self, known: Vec<KnownTake>) -> bool {
        let before = self.takes.len();
        for known in known {
            if self.find(&known.video).is_none() {
                self.takes.push(Take { known, claimed: 0, broken: false, looks: 0, mime_type: None, incomplete: false });
            }
        }
        self.takes.sort_by_key(|take| take.known.segment);
        self.takes.len() > before
    }

    pub fn is_empty(&self) -> bool {
        self.takes.is_empty()
    }

    pub fn videos(&self) -> Vec<VideoId> {
        self.takes.iter().map(|take| take.known.video.clone()).collect()
    }

    fn find(&self, video: &VideoId) -> Option<usize> {
        self.takes.iter().position(|take| take.known.video == *video)
    }

    /// What the browser says. Without a name it speaks of the newest take.
    pub fn reported(
        &mut self,
        video: Option<&VideoId>,
        state: ClientRecordingState,
        part: Option<PartNumber>,
        mime_type: Option<Label>,
    ) -> Result<Option<RecordingRecord>, UnknownTake> {
        let named = match video {
            Some(video) => self.find(video),
            None => self.takes.len().checked_sub(1),
        };
        let index = named.ok_or(UnknownTake)?;
        // `Finished` and `Failed` are believed once the provider has been asked too.
        let take = &mut self.takes[index];
        take.broken |= state == ClientRecordingState::Failed;
        take.claimed = take.claimed.max(part.map_or(0, PartNumber::get));
        let told = take.mime_type.is_none() && mime_type.is_some();
        if told {
            take.mime_type = mime_type;
        }
        Ok(self.advance(index, RecordingState::Recording, 0).or_else(|| told.then(|| self.record(index, None))))
    }

    /// What the provider says.
    pub fn seen(&mut self, video: &VideoId, state: RecordingState, parts: i32) -> Option<RecordingRecord> {
        let index = self.find(video)?;
        let take = &mut self.takes[index];
        take.looks = take.looks.saturating_add(u32::from(self.settling != Settling::No));
        let change = self.advance(index, state, parts);
        if self.settling == Settling::No || !self.is_lost(index) {
            return change;
        }
        // Begun, given up, and nothing of it has arrived.
        self.takes[index].known.state = RecordingState::Failed;
        self.takes[index].incomplete = true;
        Some(self.record(index, Some("nothing_received")))
    }

    /// We have closed it with what had arrived.
    pub fn closed(&mut self, video: &VideoId) -> Option<RecordingRecord> {
        let index = self.find(video)?;
        self.takes[index].incomplete = true;
        Some(self.record(index, None))
    }

    /// The interview is over. `patient`: the browser is there and may still be sending.
    pub fn settle(&mut self, patient: bool) {
        self.settling = if patient { Settling::Patient } else { Settling::Impatient };
    }

    /// The browser had its time. Only its newest take may still come in, even after us.
    pub fn lose_patience(&mut self) {
        if self.settling == Settling::Patient {
            self.settling = Settling::NewestOnly;
        }
    }

    /// Whom to ask the provider about.
    pub fn to_ask(&self) -> Vec<VideoId> {
        self.takes.iter().filter(|take| take.is_awaited()).map(|take| take.known.video.clone()).collect()
    }

    /// Takes that nobody will go on with, to be closed with what has arrived of them, and
    /// the number of the part that closes each.
    pub fn to_close(&self) -> Vec<(VideoId, u32)> {
        let given_up = |index: &usize| self.is_given_up(*index) && self.takes[*index].known.parts > 0;
        (0..self.takes.len())
            .filter(given_up)
            .map(|index| {
                let known = &self.takes[index].known;
                (known.video.clone(), known.parts.unsigned_abs() + 1)
            })
            .collect()
    }

    /// Whether nothing more is to be waited for.
    pub fn is_settled(&self) -> bool {
        self.settling != Settling::No && !self.takes.iter().any(Take::is_awaited)
    }

    fn is_given_up(&self, index: usize) -> bool {
        let take = &self.takes[index];
        let hopeless = match self.settling {
            Settling::No | Settling::Patient => take.broken,
            Settling::NewestOnly => take.broken || self.takes[index + 1..].iter().any(Take::is_begun),
            Settling::Impatient => true,
        };
        hopeless && take.is_awaited() && take.looks >= take.looks_needed()
    }

    fn is_lost(&self, index: usize) -> bool {
        self.is_given_up(index) && self.takes[index].known.parts == 0
    }

    /// Forward only: a late report of a part does not undo an upload.
    fn advance(&mut self, index: usize, to: RecordingState, parts: i32) -> Option<RecordingRecord> {
        let rank = |state: RecordingState| match state {
            RecordingState::Waiting => 0,
            RecordingState::Recording => 1,
            RecordingState::Failed | RecordingState::Declined => 2,
            RecordingState::Uploaded => 3,
            RecordingState::Playable => 4,
        };
        let known = &mut self.takes[index].known;
        let to = if rank(to) > rank(known.state) { to } else { known.state };
        let parts = parts.max(known.parts);
        if (to, parts) == (known.state, known.parts) {
            return None;
        }
        (known.state, known.parts) = (to, parts);
        Some(self.record(index, None))
    }

    fn record(&self, index: usize, failure: Option<&str>) -> RecordingRecord {
        let Take { known, mime_type, incomplete, .. } = &self.takes[index];
        RecordingRecord {
            video: known.video.clone(),
            state: known.state,
            parts: known.parts,
            failure: failure.map(Into::into),
            mime_type: mime_type.clone(),
            incomplete: *incomplete,
        }
    }
}

impl Take {
    /// Something was recorded into it.
    fn is_begun(&self) -> bool {
        self.known.state != RecordingState::Waiting || self.known.parts > 0
    }

    fn looks_needed(&self) -> u32 {
        if self.claimed > self.known.parts { LOOKS } else { 1 }
    }

    /// Something was recorded into it and not all of it is known to be there.
    fn is_awaited(&self) -> bool {
        self.is_begun() && !self.known.state.is_settled()
    }
}

#[cfg(test)]
#[path = "recording_tests.rs"]
mod tests;
