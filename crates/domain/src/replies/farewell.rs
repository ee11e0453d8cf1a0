//! Whether words are a farewell. Said without the tool that ends the interview, they end it all the same, after a while.

/// How people part, in the languages that interviews are held in most. A farewell in another language ends the interview
/// by the tool or by its time.
const FAREWELLS: [&str; 34] = [
    "goodbye",
    "good bye",
    "farewell",
    "bye bye",
    "have a great day",
    "have a nice day",
    "have a good day",
    "take care",
    "auf wiedersehen",
    "auf wiederhören",
    "tschüss",
    "schönen tag",
    "au revoir",
    "bonne journée",
    "adiós",
    "hasta luego",
    "que tengas un buen",
    "arrivederci",
    "buona giornata",
    "tot ziens",
    "fijne dag",
    "adeus",
    "até logo",
    "do widzenia",
    "miłego dnia",
    "до свидания",
    "до побачення",
    "さようなら",
    "失礼します",
    "失礼いたします",
    "再见",
    "再見",
    "안녕히",
    "مع السلامة",
];
/// A farewell stands at the end: what stands before so many characters of it was said about something else.
const ENDING: usize = 120;

/// Whether this is how somebody parts, and asks nothing.
pub fn is_farewell(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    let from = text.char_indices().rev().nth(ENDING).map_or(0, |(at, _)| at);
    let ending = text[from..].replace('-', " ");
    !ending.ends_with(['?', '？', '؟']) && FAREWELLS.iter().any(|farewell| ending.contains(farewell))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farewell_stands_at_the_end_and_asks_nothing() {
        for text in [
            "Thank you for your time. Goodbye!",
            "Vielen Dank für das Gespräch. Auf Wiedersehen.",
            "本日はありがとうございました。さようなら。",
            "Good-bye, and all the best",
        ] {
            assert!(is_farewell(text), "{text}");
        }
        let long_ago = format!("Before we say goodbye: {}", "tell me more about that project. ".repeat(8));
        for text in ["What have you built?", "How did you say goodbye to that client?", "", "よろしいでしょうか。", &long_ago]
        {
            assert!(!is_farewell(text), "{text}");
        }
    }
}
