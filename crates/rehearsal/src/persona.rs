//! The candidates of a rehearsal, as a table.

use serde::Serialize;

/// What an answer lacks, so that a probe is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    Example,
    OwnPart,
    Reason,
    Result,
    Reflection,
    Short,
    /// What the author put in words, of the first, second or third probe of a question.
    Custom(usize),
}

use Gap::{Custom, Example, OwnPart, Reason, Reflection, Result, Short};

/// What a candidate does before they answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// "I need a moment", to the interviewer.
    WantsTime,
    /// The same by the page's button; and the button to go on.
    PressesThink,
    WantsRepeat,
    /// They go out for a while, and come back by the page's button.
    WantsBreak,
    Injects,
    Distress,
    SpeaksOtherLanguage,
    AsksForAnswer,
    /// They cough: a sound that is no turn.
    Coughs,
    /// A radio is taken for a word.
    Background,
    /// The microphone hears the loudspeaker.
    Echoes,
    /// Words that cannot be transcribed.
    Mumbles,
    Stops,
}

/// How somebody behaves in all of an interview.
#[derive(Clone, Copy, Debug)]
pub struct Persona {
    pub kind: Kind,
    /// In one line, for the person who reads the report.
    pub described: &'static str,
    /// Words of a first answer, and of one to a probe. None: they never speak.
    pub words: Option<(usize, usize)>,
    /// Turns of one answer: between them is a pause in which the interviewer may begin.
    pub pieces: usize,
    /// Seconds before they speak.
    pub hesitates: u64,
    pub gaps: &'static [Gap],
    /// What they are asked for by a probe they tell then.
    pub learns: bool,
    /// What they do before they answer: at the first question, the second, and so on; then from the beginning.
    pub acts: &'static [&'static [Act]],
    /// They speak before the question is at its end, the first time that it is put.
    pub interrupts: bool,
    /// How long the plan allows for what they say is a finding of its own.
    pub is_timed: bool,
}

macro_rules! kinds {
    ($($name:ident = $text:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind { $($name,)+ }

        impl Kind {
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

kinds! {
    Plain = "plain",
    Silent = "silent",
    OneWord = "one_word",
    Rambling = "rambling",
    Interrupting = "interrupting",
    Injecting = "injecting",
    Distressed = "distressed",
    Bilingual = "bilingual",
    Noisy = "noisy",
    AsksForAnswers = "asks_for_answers",
    LeavesEarly = "leaves_early",
    Echo = "echo",
}

const USUAL: Persona = Persona {
    kind: Kind::Plain,
    described: "answers well, takes a moment to think, asks once to hear a question again",
    words: Some((150, 60)),
    pieces: 1,
    hesitates: 2,
    gaps: &[],
    learns: true,
    acts: &[&[], &[Act::WantsTime], &[Act::WantsRepeat], &[Act::PressesThink]],
    interrupts: false,
    is_timed: true,
};

/// Each lacks something else, so that each probe that can be put is put to somebody.
pub const PERSONAS: &[Persona] = &[
    USUAL,
    Persona { kind: Kind::Silent, described: "says nothing at all", words: None, acts: &[], is_timed: false, ..USUAL },
    Persona {
        kind: Kind::OneWord,
        described: "answers with one word",
        words: Some((1, 1)),
        gaps: &[Short, Example, OwnPart, Reason, Result, Reflection, Custom(0), Custom(1), Custom(2)],
        learns: false,
        acts: &[],
        ..USUAL
    },
    Persona {
        kind: Kind::Rambling,
        described: "talks long, with pauses in the middle of a sentence",
        words: Some((260, 130)),
        pieces: 2,
        gaps: &[OwnPart],
        acts: &[],
        ..USUAL
    },
    Persona {
        kind: Kind::Interrupting,
        described: "speaks before the question is at its end",
        words: Some((90, 40)),
        hesitates: 1,
        gaps: &[Reason],
        acts: &[],
        interrupts: true,
        ..USUAL
    },
    Persona {
        kind: Kind::Injecting,
        described: "tells the interviewer to ignore its instructions",
        words: Some((100, 40)),
        gaps: &[Reflection],
        acts: &[&[Act::Injects], &[]],
        ..USUAL
    },
    Persona {
        kind: Kind::Distressed,
        described: "breaks down at a question, goes on, and takes a break",
        words: Some((80, 40)),
        hesitates: 5,
        gaps: &[Short],
        acts: &[&[], &[Act::Distress], &[], &[Act::WantsBreak]],
        is_timed: false,
        ..USUAL
    },
    Persona {
        kind: Kind::Bilingual,
        described: "answers in another language first",
        words: Some((110, 40)),
        hesitates: 4,
        gaps: &[Custom(1)],
        acts: &[&[Act::SpeaksOtherLanguage], &[], &[Act::PressesThink]],
        ..USUAL
    },
    Persona {
        kind: Kind::Noisy,
        described: "sits in a loud place: coughs, a radio, words that nobody understands",
        words: Some((100, 40)),
        gaps: &[Example],
        acts: &[&[Act::Coughs], &[Act::Background], &[Act::Mumbles]],
        ..USUAL
    },
    Persona {
        kind: Kind::AsksForAnswers,
        described: "asks for hints, the right answer and their score",
        words: Some((100, 40)),
        gaps: &[Custom(2)],
        acts: &[&[Act::AsksForAnswer]],
        ..USUAL
    },
    Persona {
        kind: Kind::LeavesEarly,
        described: "wants to stop at the third question",
        words: Some((80, 40)),
        gaps: &[OwnPart],
        acts: &[&[], &[], &[Act::Stops]],
        is_timed: false,
        ..USUAL
    },
    Persona {
        kind: Kind::Echo,
        described: "has a loudspeaker that comes back through the microphone",
        words: Some((110, 40)),
        hesitates: 4,
        gaps: &[Result],
        acts: &[&[Act::Echoes]],
        ..USUAL
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_there_once_and_each_gap_is_somebodys_alone_or_first() {
        let kinds: Vec<Kind> = PERSONAS.iter().map(|persona| persona.kind).collect();
        assert_eq!(kinds, Kind::ALL);
        // A question that allows one probe puts the first that fits: so somebody lacks each of them alone. The first of all is put to
        // who lacks everything.
        for gap in [Example, OwnPart, Reason, Result, Reflection, Short, Custom(1), Custom(2)] {
            assert!(PERSONAS.iter().any(|persona| persona.gaps == [gap]), "{gap:?}");
        }
    }
}
