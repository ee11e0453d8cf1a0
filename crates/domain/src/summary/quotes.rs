//! Finds where a quote is in a text.
//!
//! A quote may be spelled differently: straight quotation marks for curly ones, one space for two, `...` for `…`, a composed
//! `é`. So words are compared in one form (Unicode NFKD, case folded), and the characters between words are ignored. The result
//! is the passage as it is in the text: no word is lost or added.
//!
//! A quote begins and ends between words. It must be long enough to mean something: three words, or twelve characters. Scripts
//! without spaces have no words to count. A character of Chinese, Japanese or Korean counts as two (East Asian Width).

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

const ENOUGH_WORDS: usize = 3;
const ENOUGH_CHARACTERS: usize = 12;

/// The part of `text` that `quote` quotes.
pub fn find<'a>(text: &'a str, quote: &str) -> Option<&'a str> {
    let (said, quoted) = (words(text), words(quote));
    let (first, last) = (quoted.first()?, quoted.last()?);
    let ends = |at: usize| said.get(at).is_none_or(|next| !next.joined);
    let at = (0..(said.len() + 1).saturating_sub(quoted.len()))
        .find(|at| ends(*at) && ends(at + quoted.len()) && same(&said[*at..at + quoted.len()], &quoted))?;
    let span = &said[at..at + quoted.len()];
    if !says_something(span) {
        return None;
    }
    let (start, end) = (span.first()?.start, span.last()?.end);
    // The marks around the words belong to it where both have them.
    let before = shared(text[..start].chars().rev(), quote[..first.start].chars().rev());
    let after = shared(text[end..].chars(), quote[last.end..].chars());
    Some(&text[start - before..end + after])
}

fn same(said: &[Word], quoted: &[Word]) -> bool {
    said.iter().zip(quoted).all(|(said, quoted)| said.text == quoted.text)
}

fn says_something(span: &[Word]) -> bool {
    let words = span.iter().filter(|word| word.script == Script::Spaced && !word.joined).count();
    let gaps = span.windows(2).filter(|pair| pair[0].end < pair[1].start).count();
    let characters = gaps + span.iter().flat_map(|word| word.text.chars()).map(width).sum::<usize>();
    words >= ENOUGH_WORDS || characters >= ENOUGH_CHARACTERS
}

/// How many bytes of `text` go on with the same marks as `quote`, whatever the spaces.
fn shared(text: impl Iterator<Item = char>, quote: impl Iterator<Item = char>) -> usize {
    let mut marks = quote.filter(|c| !c.is_whitespace() && !is_ignored(*c)).flat_map(fold).peekable();
    let (mut read, mut kept) = (0, 0);
    for character in text {
        read += character.len_utf8();
        if character.is_whitespace() || is_ignored(character) {
            continue;
        }
        if marks.peek().is_none() || fold(character).any(|mark| marks.next() != Some(mark)) {
            break;
        }
        kept = read;
    }
    kept
}

/// A run of characters that a quote has whole or not at all.
#[derive(Debug)]
struct Word {
    /// In the one form.
    text: String,
    /// In the source.
    start: usize,
    end: usize,
    script: Script,
    /// Goes on from the word before it: `'m` of `I'm`, the second half of `well-known` or of `1.5`.
    joined: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Spaced,
    /// Written without spaces, but its runs are words.
    Katakana,
    /// Written without spaces: any character may begin a quote.
    Unspaced,
}

fn words(source: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut open = false;
    let mut characters = source.char_indices().filter(|(_, c)| !is_ignored(*c)).peekable();
    while let Some((start, character)) = characters.next() {
        let end = start + character.len_utf8();
        let before_digit = characters.peek().is_some_and(|(_, next)| next.is_numeric());
        for folded in fold(character) {
            let mark = open && is_combining_mark(folded);
            let sign = folded == '-' && !open && before_digit;
            let script = if sign { Some(Script::Spaced) } else { script(folded) };
            match (words.last_mut(), script) {
                (Some(word), script) if mark || open && script == Some(word.script) && word.script != Script::Unspaced => {
                    word.text.push(folded);
                    word.end = end;
                }
                (_, Some(script)) => {
                    words.push(Word { text: folded.into(), start, end, script, joined: false });
                    open = true;
                }
                (_, None) => open = false,
            }
        }
    }
    for at in 0..words.len() {
        words[at].joined = at > 0 && is_joined(source, &words[at - 1], &words[at]);
        // Marks in one order.
        words[at].text = words[at].text.nfkd().collect();
    }
    words
}

fn is_joined(source: &str, before: &Word, word: &Word) -> bool {
    if before.end > word.start {
        // Both are of one character, as in `½`.
        return true;
    }
    let between = &source[before.end..word.start];
    let mut between = between.chars().filter(|c| !is_ignored(*c));
    let (Some(only), None) = (between.next(), between.next()) else { return false };
    let digits = before.text.ends_with(char::is_numeric) && word.text.starts_with(char::is_numeric);
    before.script == Script::Spaced
        && word.script == Script::Spaced
        && match only {
            // Apostrophes and short dashes. A long dash parts a sentence, however close it stands.
            '\''
            | '\u{2bc}'
            | '\u{2018}'
            | '\u{2019}'
            | '\u{ff07}'
            | '-'
            | '\u{2010}'..='\u{2013}'
            | '\u{2212}'
            | '\u{fe63}'
            | '\u{ff0d}' => true,
            '.' | ',' | ':' | '/' => digits,
            _ => false,
        }
}

/// A character in the one form: decomposed, without case, one kind of quotation mark and one of dash.
fn fold(character: char) -> impl Iterator<Item = char> {
    let mut folded = ['\0'; 20];
    let mut length = 0;
    let mut push = |c: char| {
        if let Some(place) = folded.get_mut(length) {
            *place = c;
            length += 1;
        }
    };
    match character {
        '"'
        | '\''
        | '`'
        | '\u{b4}'
        | '«'
        | '»'
        | '\u{2b9}'..='\u{2bf}'
        | '\u{2018}'..='\u{201f}'
        | '\u{2032}'..='\u{2037}'
        | '‹'
        | '›'
        | '\u{300c}'..='\u{300f}'
        | '\u{301d}'..='\u{301f}'
        | '\u{ff02}'
        | '\u{ff07}'
        | '\u{ff40}'
        | '\u{ff62}'
        | '\u{ff63}' => push('\''),
        '-' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => push('-'),
        other => decompose_compatible(other, |part| part.to_uppercase().flat_map(char::to_lowercase).for_each(&mut push)),
    }
    folded.into_iter().take(length)
}

/// None for what stands between words.
fn script(folded: char) -> Option<Script> {
    match folded {
        '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' => Some(Script::Katakana),
        // Thai, Lao; Myanmar; Khmer; ideographs and Hiragana, Bopomofo, and the ideographs beyond.
        '\u{e01}'..='\u{eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3041}'..='\u{312f}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}'
            if folded.is_alphanumeric() =>
        {
            Some(Script::Unspaced)
        }
        // Without these `C++` would be `C`, and `5%` five.
        '+' | '#' | '%' | '\u{2030}' | '&' | '@' | '_' | '$' | '\u{a2}'..='\u{a5}' | '\u{20a0}'..='\u{20cf}' => {
            Some(Script::Spaced)
        }
        other => other.is_alphanumeric().then_some(Script::Spaced),
    }
}

/// In columns. Hangul is decomposed here: its first letter stands for the syllable.
fn width(folded: char) -> usize {
    match folded {
        mark if is_combining_mark(mark) => 0,
        '\u{1160}'..='\u{11ff}' => 0,
        '\u{1100}'..='\u{115f}' | '\u{3005}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => 2,
        _ => 1,
    }
}

/// Seen by nobody: soft hyphens, joiners, marks of direction, selectors of a glyph's variant.
fn is_ignored(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
#[path = "quotes_tests.rs"]
mod tests;
