//! The language of an interview, by its tag (BCP 47: language, script, region).

use isolang::Language as Known;

/// Codes of the list that are no language: uncoded, several, undetermined, no linguistic content.
const NO_LANGUAGE: [&str; 4] = ["mis", "mul", "und", "zxx"];

#[derive(Clone, Copy, Debug)]
pub struct Language<'a> {
    tag: &'a str,
    known: Known,
}

impl<'a> Language<'a> {
    /// None for a tag that is not well-formed, or whose language is not in ISO 639.
    pub fn parse(tag: &'a str) -> Option<Self> {
        let mut parts = tag.split('-').peekable();
        let code = parts.next().filter(|code| code.bytes().all(|byte| byte.is_ascii_lowercase()))?;
        let known = match code.len() {
            2 => Known::from_639_1(code),
            3 => Known::from_639_3(code).filter(|_| !NO_LANGUAGE.contains(&code)),
            _ => None,
        }?;
        parts.next_if(|part| is_script(part));
        parts.next_if(|part| is_region(part));
        parts.next().is_none().then_some(Self { tag, known })
    }

    /// In English, as a person would call it: `German`.
    pub fn name(&self) -> &'static str {
        let name = self.known.to_name();
        name.split_once(" (").map_or(name, |(name, _)| name)
    }

    /// What the model is told: `German (de-DE)`.
    pub fn described(&self) -> String {
        format!("{} ({})", self.name(), self.tag)
    }

    /// What the transcription takes for a hint; of languages without a two-letter code it takes none.
    pub fn hint(&self) -> Option<&'static str> {
        self.known.to_639_1()
    }
}

fn is_script(part: &str) -> bool {
    let bytes = part.as_bytes();
    bytes.len() == 4 && bytes[0].is_ascii_uppercase() && bytes[1..].iter().all(u8::is_ascii_lowercase)
}

fn is_region(part: &str) -> bool {
    let all = |class: fn(&u8) -> bool| part.as_bytes().iter().all(class);
    part.len() == 2 && all(u8::is_ascii_uppercase) || part.len() == 3 && all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_has_a_name_and_perhaps_a_hint() {
        for (tag, described, hint) in [
            ("de-DE", "German (de-DE)", Some("de")),
            ("en", "English (en)", Some("en")),
            ("ja", "Japanese (ja)", Some("ja")),
            ("el", "Modern Greek (el)", Some("el")),
            ("fil", "Filipino (fil)", None),
            ("yue", "Yue Chinese (yue)", None),
            ("deu-AT", "German (deu-AT)", Some("de")),
            ("zh-Hant-TW", "Chinese (zh-Hant-TW)", Some("zh")),
            ("es-419", "Spanish (es-419)", Some("es")),
        ] {
            let language = Language::parse(tag).expect(tag);
            assert_eq!((language.described().as_str(), language.hint()), (described, hint));
        }
    }

    #[test]
    fn a_code_that_does_not_exist_is_none() {
        for tag in
            ["xx", "", "EN", "english", "en-us", "en-", "en_US", "und", "qaa", "zxx", "de-DE-1996", "d", "xx-DE", "e\u{301}"]
        {
            assert!(Language::parse(tag).is_none(), "{tag}");
        }
    }
}
