//! One item of the conversation, from its first sign to its settled words.

use super::entry::{Doubt, Entry, Source, Status};
use super::hearing::Cause;
use super::plausible::Recognition;
use crate::edge::{EntryKey, Millis, Text, Timestamp};
use crate::ids::{ItemId, ReplyId};
use crate::voice::Speaker;
use time::Duration;
use unicode_segmentation::UnicodeSegmentation;

/// Speech that is a turn is committed as soon as it stops.
const COMMITTED_WITHIN: Duration = Duration::seconds(3);
/// Between two pieces of which what lies between was not heard.
const GAP_MARK: &str = " … ";

/// How far the candidate's typed words have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// They are not in the database yet.
    Kept,
    /// They are, and the call may not have them.
    Stored,
    InCall,
}

#[derive(Debug)]
pub(super) struct Slot {
    /// Set once the slot is first told to the outside; see [`Entry::seq`].
    pub(super) seq: Option<i32>,
    pub(super) key: EntryKey,
    pub(super) item: Option<ItemId>,
    pub(super) segment: i32,
    pub(super) position: i64,
    pub(super) revision: i32,
    pub(super) speaker: Option<Speaker>,
    pub(super) silent: bool,
    /// Somebody took it out of the conversation. What was said stays said, and keeps its place.
    pub(super) deleted: bool,
    /// How many gaps there were when the provider told its place; none: it has not.
    pub(super) placed: Option<usize>,
    /// Audio of the candidate by its kind, in a call in which our sideband has carried no speech yet.
    pub(super) unheard: bool,
    /// Known to be spoken: audio that was committed on the call, or part of a reply.
    pub(super) spoken: bool,
    /// Since when its audio is committed: its words should come soon.
    pub(super) committed_at: Option<Duration>,
    /// When the speech stopped that may become a turn.
    pub(super) stopped_at: Option<Duration>,
    /// Somebody switched the transcription off while it was open: no word of the browser settles it.
    pub(super) tampered: bool,
    /// Our sideband had just come when it was placed, and heard nothing of how it was spoken.
    pub(super) unproven: bool,
    /// What was heard of it, in pieces with gaps between them.
    pub(super) heard: Vec<String>,
    /// Whether the first piece is its beginning.
    pub(super) heard_begin: bool,
    /// A turn in which nothing was said: it has its place, and no line.
    pub(super) wordless: bool,
    /// The settled words.
    pub(super) text: Text,
    /// None while words may still come.
    pub(super) settled: Option<Status>,
    pub(super) source: Source,
    pub(super) authoritative: bool,
    pub(super) doubt: Option<Doubt>,
    pub(super) reply: Option<ReplyId>,
    /// Told by the provider; an estimate of the heard text needs the length as well.
    pub(super) heard_ms: Option<Millis>,
    pub(super) audio_ms: Option<Millis>,
    pub(super) commentary: bool,
    pub(super) started_ms: Option<Millis>,
    pub(super) ended_ms: Option<Millis>,
    /// What the browser says was said, while the words are not settled.
    pub(super) client_report: Option<Text>,
    /// The gaps that it was said in, as the browser told of it: one after the first number, up to the second.
    pub(super) told_in: Option<(usize, usize)>,
    /// The browser has told of it: a repeat is no news about its neighbours.
    pub(super) told: bool,
    /// Begun before we listened, or the sideband broke before it was settled: the truth may never come.
    pub(super) orphaned: Option<Cause>,
    /// The call ended before it was settled: no gap closed behind it.
    pub(super) cut_by_end: bool,
    /// Stands behind an item that nobody has told us of yet.
    pub(super) awaits: Option<ItemId>,
    /// Who made the gap that swallowed the item before it.
    pub(super) hole: Option<Cause>,
    /// How many gaps there were when our sideband, or the provider's chain, named it; none: only the browser did.
    pub(super) named: Option<usize>,
    /// It began in the last of those gaps, or before: what was said behind it may have fallen into that gap as well.
    pub(super) begun_unheard: bool,
    pub(super) at: Timestamp,
    pub(super) claimed_at: Option<Text>,
    pub(super) recognition: Recognition,
    /// None: it was not typed.
    pub(super) typed: Option<Typed>,
}

impl Slot {
    pub(super) fn new(key: EntryKey, item: Option<ItemId>, segment: i32, position: i64, at: Timestamp) -> Self {
        Self {
            seq: None,
            key,
            item,
            segment,
            position,
            revision: 0,
            speaker: None,
            silent: false,
            deleted: false,
            placed: None,
            unheard: false,
            spoken: false,
            committed_at: None,
            stopped_at: None,
            tampered: false,
            unproven: false,
            heard: Vec::new(),
            heard_begin: true,
            wordless: false,
            text: Text::default(),
            settled: None,
            source: Source::Sideband,
            authoritative: true,
            doubt: None,
            reply: None,
            heard_ms: None,
            audio_ms: None,
            commentary: false,
            started_ms: None,
            ended_ms: None,
            client_report: None,
            told_in: None,
            told: false,
            orphaned: None,
            cut_by_end: false,
            awaits: None,
            hole: None,
            named: None,
            begun_unheard: false,
            at,
            claimed_at: None,
            recognition: Recognition::default(),
            typed: None,
        }
    }

    /// As stored by an earlier process.
    pub(super) fn restore(entry: Entry) -> Self {
        let by_browser = entry.source == Source::Browser;
        let blank = Self {
            seq: Some(entry.seq),
            revision: entry.revision,
            speaker: Some(entry.speaker),
            spoken: true,
            placed: Some(0),
            heard_ms: entry.heard_ms,
            commentary: entry.commentary,
            started_ms: entry.started_ms,
            ended_ms: entry.ended_ms,
            claimed_at: entry.claimed_at,
            recognition: Recognition { logprob: entry.logprob, language: entry.language, ..Recognition::default() },
            ..Self::new(entry.key, entry.item_id, entry.segment, entry.position, entry.at)
        };
        if by_browser && !entry.authoritative && entry.status == Status::Partial {
            // The browser's word, kept beside until ours came.
            return Self { client_report: Some(entry.text), named: Some(0), orphaned: Some(Cause::Ours), ..blank };
        }
        if entry.source == Source::Typed {
            // Whether the call has it shows when it is put in once more.
            return Self { text: entry.text, settled: Some(entry.status), placed: None, ..blank }.typed(Typed::Stored);
        }
        let heard = if entry.status == Status::Partial { pieces(&entry.text) } else { Vec::new() };
        Self {
            heard,
            heard_begin: false,
            text: entry.text,
            settled: Some(entry.status),
            source: entry.source,
            authoritative: entry.authoritative,
            doubt: entry.doubt,
            named: (!by_browser).then_some(0),
            ..blank
        }
    }

    /// The candidate's own words by our own hand: nothing is to be heard of them.
    pub(super) fn typed(self, typed: Typed) -> Self {
        let speaker = Some(Speaker::Candidate);
        Self { typed: Some(typed), source: Source::Typed, authoritative: true, spoken: true, speaker, ..self }
    }

    /// Speech that stopped and was no turn: it is not committed, though our sideband hears the call. Nothing comes of it.
    pub(super) fn was_no_turn(&self, gaps: usize, steady: Duration) -> bool {
        let stopped = self.stopped_at.is_some_and(|at| steady - at >= COMMITTED_WITHIN);
        let says_nothing = self.heard.iter().all(String::is_empty) && self.client_report.is_none();
        stopped && self.placed.is_none() && self.is_open() && self.named == Some(gaps) && self.orphaned.is_none() && says_nothing
    }

    /// Someone spoke, and the words may still come.
    pub(super) fn is_open(&self) -> bool {
        self.settled.is_none() && !self.silent && self.spoken && self.speaker.is_some()
    }

    /// We were there and did not hear it to its end.
    pub(super) fn lacks_words(&self) -> bool {
        self.source == Source::Sideband && matches!(self.settled, Some(Status::Missing | Status::Partial))
    }

    /// Whether the browser alone told of it.
    pub(super) fn is_unnamed(&self) -> bool {
        self.item.is_some() && self.named.is_none()
    }

    /// Nothing that happened to the sideband explains that its words did not come.
    pub(super) fn may_be_filled(&self) -> bool {
        self.orphaned == Some(Cause::Ours) && !self.tampered && !self.unproven
    }

    pub(super) fn add_words(&mut self, delta: &str) {
        if self.lacks_words() {
            // Settled by a process that stopped: the words come now.
            self.settled = None;
            self.break_off();
        }
        // A little more than can be kept, so that it is seen to be cut.
        let room = (Text::MAX_BYTES + 8).saturating_sub(self.heard.iter().map(String::len).sum());
        if self.settled.is_some() || room == 0 {
            return;
        }
        let delta = &delta[..delta.floor_char_boundary(room)];
        match self.heard.last_mut() {
            Some(piece) => piece.push_str(delta),
            None => self.heard.push(delta.to_owned()),
        }
    }

    /// What comes from now on does not follow on what was heard so far.
    pub(super) fn break_off(&mut self) {
        match self.heard.last() {
            Some(piece) if piece.is_empty() => {}
            Some(_) => self.heard.push(String::new()),
            None => self.heard_begin = false,
        }
    }

    /// Everything that was heard of it, in one text.
    pub(super) fn words_heard(&self) -> Text {
        let pieces: Vec<&str> = self.heard.iter().map(|piece| piece.trim()).filter(|piece| !piece.is_empty()).collect();
        Text::new(pieces.join(GAP_MARK))
    }

    /// Whether these may be its words: what was heard of it is in them, piece by piece in order.
    pub(super) fn agrees_with(&self, told: &str) -> bool {
        let told = letters(told);
        let mut from = 0;
        for (index, piece) in self.heard.iter().map(|piece| letters(piece)).enumerate() {
            let Some(found) = told[from..].find(&piece) else { return false };
            if index == 0 && self.heard_begin && found > 0 {
                return false;
            }
            from += found + piece.len();
        }
        true
    }

    pub(super) fn entry(&self) -> Option<Entry> {
        if self.wordless {
            return None;
        }
        self.as_settled(self.settled?)
    }

    /// The browser's word, while ours is awaited: it stands beside, and the truth will take its place.
    pub(super) fn beside(&self) -> Option<Entry> {
        let text = self.client_report.clone().filter(|_| self.settled.is_none())?.trimmed();
        let entry = self.as_settled(Status::Partial)?;
        Some(Entry { text, source: Source::Browser, authoritative: false, doubt: Some(Doubt::Unconfirmed), ..entry })
    }

    /// Whether what stands beside may still turn out to be its words.
    pub(super) fn may_stay_beside(&self) -> bool {
        self.client_report.as_deref().is_some_and(|told| !self.tampered && self.agrees_with(told))
    }

    /// What was heard of a turn that is not finished.
    pub(super) fn so_far(&self) -> Option<Entry> {
        let text = self.words_heard();
        let is_begun = self.is_open() && !text.is_empty();
        let entry = self.as_settled(Status::Partial).filter(|_| is_begun)?;
        Some(Entry { text, ..entry })
    }

    /// How long the provider heard speech.
    pub(super) fn speech(&self) -> Option<std::time::Duration> {
        let (started, ended) = (self.started_ms?.get(), self.ended_ms?.get());
        Some(std::time::Duration::from_millis(u64::try_from(ended - started).ok()?))
    }

    /// The entry that it would be with this status.
    pub(super) fn as_settled(&self, status: Status) -> Option<Entry> {
        let (seq, speaker) = (self.seq?, self.speaker?);
        Some(Entry {
            seq,
            key: self.key.clone(),
            item_id: self.item.clone(),
            segment: self.segment,
            position: self.position,
            revision: self.revision,
            speaker,
            text: self.text.clone(),
            source: self.source,
            authoritative: self.authoritative,
            doubt: self.doubt,
            status,
            interrupted: self.heard_ms.is_some(),
            heard_ms: self.heard_ms,
            heard_text: self.heard_text().map(Into::into),
            commentary: self.commentary,
            started_ms: self.started_ms,
            ended_ms: self.ended_ms,
            at: self.at,
            claimed_at: self.claimed_at.clone(),
            logprob: self.recognition.logprob,
            language: self.recognition.language.clone(),
        })
    }

    /// The share of the text that corresponds to the share of the audio, cut at a word; in a script without spaces,
    /// between characters as a reader sees them.
    fn heard_text(&self) -> Option<String> {
        let (heard, audio) = (self.heard_ms?.get(), self.audio_ms?.get());
        if heard >= audio {
            return Some(self.text.as_str().to_owned());
        }
        let wanted =
            self.text.chars().count() as u128 * u128::from(heard.unsigned_abs()) / u128::from(audio.unsigned_abs().max(1));
        Some(cut_at_word(&self.text, wanted as usize).to_owned())
    }
}

/// As many whole words as fit into so many characters.
fn cut_at_word(text: &str, characters: usize) -> &str {
    let limit = text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
    let fits = |pieces: &mut dyn Iterator<Item = (usize, &str)>| {
        pieces.map(|(at, piece)| at + piece.len()).take_while(|end| *end <= limit).last().unwrap_or(0)
    };
    let words = fits(&mut text.split_word_bound_indices());
    // Katakana is written in one piece, however long.
    let run =
        text[words..].chars().next().is_some_and(|first| matches!(first, '\u{30a0}'..='\u{30ff}' | '\u{ff66}'..='\u{ff9f}'));
    let end = if run { fits(&mut text.grapheme_indices(true)) } else { words };
    text[..end].trim_end()
}

fn pieces(text: &str) -> Vec<String> {
    text.split(GAP_MARK).map(str::to_owned).collect()
}

/// What two writings of the same words have in common. A piece may begin or end in the middle of a word.
fn letters(text: &str) -> String {
    text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::cut_at_word;

    #[test]
    fn a_text_is_cut_at_a_word_and_between_characters_where_there_are_no_spaces() {
        for (text, characters, cut) in [
            ("And what did you learn?", 12, "And what did"),
            ("And what did you learn?", 11, "And what"),
            ("Don't worry", 4, ""),
            ("これまでの経験について教えてください", 12, "これまでの経験について教"),
            ("ソフトウェアエンジニア", 5, "ソフトウェ"),
            ("AI について", 5, "AI につ"),
            ("请谈谈你的经历", 3, "请谈谈"),
            ("ช่วยเล่าประสบการณ์", 6, "ช่วยเ"),
            ("👩‍🚀👩‍🚀", 4, "👩‍🚀"),
            ("", 3, ""),
        ] {
            assert_eq!(cut_at_word(text, characters), cut, "{text} {characters}");
        }
    }
}
