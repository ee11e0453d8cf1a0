//! What is said in a scripted interview.
//!
//! No words are recognised: the candidate's answers are texts of this file, one for each turn in which the voice-activity
//! detector hears the candidate stop. The page tells the user so.

use std::time::Duration;

use super::clips::Clip;

const LINES: &str = include_str!("../../assets/lines.txt");

/// A sentence of the interviewer: its words and its sound.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub text: String,
    pub clip: Clip,
}

impl Line {
    /// Several lines in one breath.
    pub fn joined(lines: &[&Self]) -> Self {
        let clips: Vec<Clip> = lines.iter().map(|line| line.clip.clone()).collect();
        Self { text: lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join(" "), clip: Clip::joined(&clips) }
    }
}

/// One question, what leads over to it, and what the candidate will have answered.
#[derive(Clone, Debug)]
pub struct Question {
    pub transition: Option<Line>,
    pub question: Line,
    pub answer: String,
}

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptSpeed {
    /// From the decision to answer until the first event of the answer's item.
    pub think: Duration,
    /// Between two words of a transcript as they are generated.
    pub per_word: Duration,
    /// From the end of the candidate's turn until its transcript is final.
    pub transcribe: Duration,
    /// Between two words of the candidate's transcript while the candidate speaks.
    pub heard_word: Duration,
    /// Speech longer than this is cut; `None` plays everything.
    pub longest_clip: Option<Duration>,
    /// How long the candidate must be silent, at most, for the turn to end.
    pub longest_silence: Duration,
}

impl ScriptSpeed {
    /// As a person would meet it.
    pub const fn natural() -> Self {
        Self {
            think: Duration::from_millis(180),
            per_word: Duration::from_millis(35),
            transcribe: Duration::from_millis(420),
            heard_word: Duration::from_millis(330),
            longest_clip: None,
            longest_silence: Duration::from_secs(8),
        }
    }

    /// For tests: the same events in the same order, without the waiting.
    pub const fn fast() -> Self {
        Self {
            think: Duration::from_millis(8),
            per_word: Duration::from_millis(2),
            transcribe: Duration::from_millis(20),
            heard_word: Duration::from_millis(40),
            longest_clip: Some(Duration::from_millis(200)),
            longest_silence: Duration::from_millis(200),
        }
    }
}

/// The whole interview.
#[derive(Clone, Debug)]
pub struct InterviewScript {
    pub greeting: Line,
    pub questions: Vec<Question>,
    /// After the last answer.
    pub goodbye: Line,
    /// When the interview is ended from outside.
    pub wrap_up: Line,
    /// First words of a call that continues an interview.
    pub resume: Line,
    /// When there is nothing new to ask and the candidate has not answered yet.
    pub listening: Line,
    /// After a long silence.
    pub still_there: Line,
    /// When all is said and somebody still speaks.
    pub closing: Line,
    /// What the candidate says when no scripted answer is left for the question.
    pub extras: Vec<String>,
    pub speed: ScriptSpeed,
}

impl Default for InterviewScript {
    fn default() -> Self {
        Self::standard()
    }
}

macro_rules! line {
    ($name:literal) => {
        line($name, include_bytes!(concat!("../../assets/", $name, ".opus")))
    };
}

impl InterviewScript {
    /// Five questions that suit a senior software engineer, and most other positions.
    pub fn standard() -> Self {
        let lines = [
            (None, line!("question_1")),
            (Some(line!("transition_2")), line!("question_2")),
            (Some(line!("transition_3")), line!("question_3")),
            (Some(line!("transition_4")), line!("question_4")),
            (Some(line!("transition_5")), line!("question_5")),
        ];
        let questions = lines
            .into_iter()
            .zip(ANSWERS)
            .map(|((transition, question), answer)| Question { transition, question, answer: answer.to_owned() })
            .collect();
        Self {
            greeting: line!("greeting"),
            questions,
            goodbye: line!("goodbye"),
            wrap_up: line!("wrap_up"),
            resume: line!("resume"),
            listening: line!("listening"),
            still_there: line!("still_there"),
            closing: line!("closing"),
            extras: EXTRAS.iter().map(|text| (*text).to_owned()).collect(),
            speed: ScriptSpeed::natural(),
        }
    }

    /// Words that no clip was made for, with a voice that takes about as long as they do.
    pub fn spoken(&self, text: String) -> Line {
        const PER_CHARACTER: Duration = Duration::from_millis(65);
        const SHORTEST: Duration = Duration::from_millis(700);
        // A character of Chinese, Japanese or Korean is a syllable.
        let characters = text.chars().map(|c| if c >= '\u{2e80}' { 3 } else { 1 }).sum::<u32>();
        let length = (PER_CHARACTER * characters).max(SHORTEST);
        let speech = Clip::joined(&self.questions.iter().map(|question| question.question.clip.clone()).collect::<Vec<_>>());
        Line { text, clip: speech.repeated(length) }
    }

    /// Asks only the first `count` questions (at least one).
    pub fn with_questions(mut self, count: usize) -> Self {
        self.questions.truncate(count.max(1));
        self
    }

    pub fn with_speed(mut self, speed: ScriptSpeed) -> Self {
        self.speed = speed;
        self
    }

    /// Short clips and next to no waiting.
    pub fn fast(self) -> Self {
        self.with_speed(ScriptSpeed::fast())
    }
}

fn line(name: &str, ogg: &[u8]) -> Line {
    let text = LINES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| line.split_once('|').filter(|(key, _)| *key == name))
        .map_or_else(String::new, |(_, text)| text.to_owned());
    let clip = Clip::from_ogg(ogg).expect("the clips compiled in are ogg opus, a test reads them all");
    Line { text, clip }
}

/// Concrete facts on purpose, so that a summary has something to quote.
const ANSWERS: [&str; 5] = [
    "I led the rebuild of our invoicing platform, which served four hundred business customers. \
     We moved it from one large application to six smaller services over nine months. \
     I wrote the migration plan, and we never had to stop taking payments. \
     In the end the monthly closing went from eleven hours to forty minutes.",
    "The hardest problem was a fault that appeared only under heavy load, about twice a week. \
     I added tracing to every request and found that two workers locked the same rows in a different order. \
     I fixed the order, and I wrote a load test that reproduced the problem in under five minutes. \
     After that we had no such incident for more than a year.",
    "A colleague wanted to replace our database in the middle of a release, and I thought that was too risky. \
     I asked him to show me the numbers, and I brought my own measurements to the same meeting. \
     We agreed on a two week experiment with clear goals. \
     His idea won for the reporting part, and we kept the old database for payments.",
    "I review every change in small steps, and I ask for tests before I look at the code. \
     In my last team we raised the test coverage of the core modules from thirty five to eighty percent. \
     I also introduced a short checklist for releases, and the number of rollbacks fell by half. \
     When something breaks, I write down what happened without blaming anybody.",
    "I would like to become better at mentoring, because I have guided three junior colleagues and enjoyed it. \
     I also want to learn more about distributed systems, so I am reading about consensus protocols. \
     In my next role I would like to own a service from design to operation. \
     I know that I sometimes take on too much, so I am learning to hand work over earlier.",
];

const EXTRAS: [&str; 3] = [
    "Let me add one more thing. I always write down the decision and the reasons for it.",
    "Yes, and I would do it the same way again today.",
    "I think that covers it, thank you.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_words_and_a_sound_of_reasonable_length() {
        let script = InterviewScript::standard();
        let mut lines = vec![&script.greeting, &script.goodbye, &script.wrap_up, &script.resume];
        lines.extend([&script.listening, &script.still_there, &script.closing]);
        for question in &script.questions {
            lines.extend(question.transition.as_ref());
            lines.push(&question.question);
        }
        for line in lines {
            assert!(!line.text.is_empty());
            let length = line.clip.duration();
            assert!(length > Duration::from_millis(700) && length < Duration::from_millis(5_600), "{}: {length:?}", line.text);
            assert!(line.clip.packets().iter().all(|packet| !packet.is_empty() && packet.len() < 400));
        }
    }

    #[test]
    fn at_least_one_question_is_left() {
        assert_eq!(InterviewScript::standard().with_questions(0).questions.len(), 1);
        assert_eq!(InterviewScript::standard().with_questions(9).questions.len(), 5);
    }
}
