//! Fields of a form: what a person typed is taken as it is, or refused at its field. Nothing is cut or replaced without a word.

use super::Text;
use super::text::is_harmful;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// Why one field cannot be taken, in words for whoever filled it in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// As the request names it: `name`, `competencies[2].name`.
    pub field: Cow<'static, str>,
    pub message: String,
}

/// Reads fields and collects what is wrong with them, so that a form is told everything at once.
#[derive(Debug, Default)]
pub struct Fields(Vec<FieldError>);

impl Fields {
    /// One line that must be there.
    pub fn line(&mut self, field: impl Into<Cow<'static, str>>, raw: &str, most: usize) -> Text {
        let (field, text) = (field.into(), tidy(raw));
        if text.chars().all(is_unseen) {
            self.refuse(field, "must not be empty");
        } else if text.contains('\n') || text.contains('\t') {
            self.refuse(field, "must be one line");
        } else {
            self.bounded(field, &text, most);
        }
        text.into()
    }

    /// Any number of lines, also none.
    pub fn paragraph(&mut self, field: impl Into<Cow<'static, str>>, raw: &str, most: usize) -> Text {
        let text = tidy(raw);
        self.bounded(field.into(), &text, most);
        text.into()
    }

    /// A line that a spreadsheet shows as it is: one that begins like a formula would be run by it after an export.
    pub fn cell(&mut self, field: impl Into<Cow<'static, str>>, raw: &str, most: usize) -> Text {
        let field = field.into();
        if begins_like_a_formula(raw) {
            self.refuse(field.clone(), "must not begin with =, +, - or @: spreadsheets would run it as a formula");
        }
        self.line(field, raw, most)
    }

    /// An address that mail can be sent to, as far as that can be told by reading it.
    pub fn email(&mut self, field: impl Into<Cow<'static, str>>, raw: &str) -> EmailAddress {
        let (field, before) = (field.into(), self.0.len());
        let text = self.cell(field.clone(), raw, EmailAddress::MAX_CHARS);
        if self.0.len() == before && !is_address(&text) {
            self.refuse(field, "is not an e-mail address, such as name@example.com");
        }
        EmailAddress(text)
    }

    pub fn refuse(&mut self, field: impl Into<Cow<'static, str>>, message: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), message: message.into() });
    }

    /// `value`, if nothing was wrong.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<FieldError>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }

    fn bounded(&mut self, field: Cow<'static, str>, text: &str, most: usize) {
        let count = text.chars().count();
        if text.contains(is_harmful) {
            self.refuse(field, "must not contain control characters");
        } else if count > most {
            self.refuse(field, format!("must have at most {most} characters; it has {count}"));
        }
    }
}

/// As a person sees it: what is not seen is skipped, and a sign of another width is that sign (NFKC).
fn begins_like_a_formula(raw: &str) -> bool {
    let first = raw.chars().find(|c| !is_unseen(*c));
    first.is_some_and(|first| std::iter::once(first).nfkc().any(|c| matches!(c, '=' | '+' | '-' | '@' | '\u{2212}')))
}

/// Space, and what Unicode calls default-ignorable: joiners, marks of direction, fillers, variation selectors, tags.
fn is_unseen(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// One spelling of each letter, one kind of line break, no space around it.
fn tidy(raw: &str) -> String {
    raw.trim().replace("\r\n", "\n").replace('\r', "\n").nfc().collect()
}

/// Where mail goes to. Prints as its length, for it is a person's.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct EmailAddress(Text);

impl EmailAddress {
    /// RFC 5321: longer ones cannot be sent to.
    pub const MAX_CHARS: usize = 254;

    pub fn parse(raw: &str) -> Option<Self> {
        let mut fields = Fields::default();
        let address = fields.email("email", raw);
        fields.finish(address).ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Two that differ in this are two mailboxes.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\"(),:;<>[\\]@".contains(c);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c == '-' || c.is_alphanumeric())
    };
    let dots = |part: &str| !part.starts_with('.') && !part.ends_with('.') && !part.contains("..");
    (1..=64).contains(&local.len()) && !local.contains(odd) && dots(local) && domain.contains('.') && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn messages(read: impl FnOnce(&mut Fields)) -> Vec<String> {
        let mut fields = Fields::default();
        read(&mut fields);
        fields.0.into_iter().map(|error| format!("{} {}", error.field, error.message)).collect()
    }

    #[test]
    fn what_cannot_be_taken_is_refused_at_its_field_and_all_of_it_at_once() {
        let told = messages(|fields| {
            fields.line("name", "  ", 5);
            fields.line("title", "a\nb", 5);
            fields.line("label", "sixsix", 5);
            fields.paragraph("text", "a\0b", 5);
            fields.cell("tag", " =1+1", 9);
            fields.email("email", "nobody");
        });
        for (at, part) in ["name must not be empty", "title must be one line", "at most 5", "control", "formula", "e-mail"]
            .into_iter()
            .enumerate()
        {
            assert!(told[at].contains(part), "{told:?}");
        }
        assert_eq!(told.len(), 6, "{told:?}");
    }

    #[test]
    fn a_formula_is_one_whatever_is_put_before_its_sign_and_however_wide_that_is() {
        let refused = [
            "=1",
            "+1",
            "-1",
            "@a",
            " \u{200b}=1",
            "\u{2060}\u{ad}+1",
            "\u{feff}@a",
            "\u{ff1d}1",
            "\u{ff0b}1",
            "\u{ff0d}1",
            "\u{ff20}a",
            "\u{fe66}1",
            "\u{fe63}1",
            "\u{2212}1",
            "\u{200e}\u{3000}=1",
            "\u{e0020}=1",
            "\u{3164}-1",
        ];
        for raw in refused {
            assert!(messages(|fields| drop(fields.cell("name", raw, 20))).iter().any(|told| told.contains("formula")), "{raw:?}");
        }
        for raw in ["a=1", "\u{200f}مرحبا", "O-1", "1+1", "“=”"] {
            assert_eq!(messages(|fields| drop(fields.cell("name", raw, 20))), Vec::<String>::new(), "{raw:?}");
        }
        for raw in ["\u{200b}", "\u{3164} \u{200d}", "\u{2800}"] {
            assert_eq!(messages(|fields| drop(fields.line("name", raw, 20))), ["name must not be empty"], "{raw:?}");
        }
    }

    #[test]
    fn what_people_write_is_taken_and_tidied() {
        let mut fields = Fields::default();
        assert_eq!(fields.line("name", "  José ", 4), "Jos\u{e9}");
        assert_eq!(fields.paragraph("text", "a\r\nb\rc\n", 9), "a\nb\nc");
        assert_eq!(fields.line("name", "مرحبا 👩‍👩‍👧", 20), "مرحبا 👩‍👩‍👧");
        fields.finish(()).expect("nothing is wrong");
    }

    #[test]
    fn an_address_is_one_that_mail_can_go_to() {
        for good in ["a@b.co", "Amara.Okafor+jobs@demo.test", "jürgen@münchen.example", "o'neil_1@x-y.example.org"] {
            assert!(EmailAddress::parse(good).is_some(), "{good}");
        }
        let long = format!("{}@example.com", "x".repeat(65));
        for bad in [
            "",
            "a",
            "a@",
            "@b.co",
            "a@b",
            "a b@c.de",
            "a@b..co",
            "a@-b.co",
            ".a@b.co",
            "a@b.co, c@d.co",
            "<a@b.co>",
            "a@b.co\r\nBcc: x@y.zz",
            "=cmd@b.co",
            "a@b@c.de",
            long.as_str(),
        ] {
            assert!(EmailAddress::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(EmailAddress::parse("A@B.co").expect("one").key(), "a@b.co");
        assert_eq!(format!("{:?}", EmailAddress::parse("a@b.co")), "Some([6 bytes])");
    }

    proptest! {
        #[test]
        fn what_is_taken_can_be_stored(raw in any::<String>()) {
            let mut fields = Fields::default();
            let text = fields.paragraph("text", &raw, 20);
            if fields.finish(()).is_ok() {
                prop_assert!(text.chars().count() <= 20 && !text.contains(is_harmful));
            }
        }
    }
}
