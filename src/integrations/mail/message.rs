//! A mail, from its template to its parts: text, HTML, and the entry for the calendar.
//!
//! A template is one text for each language: the subject, an empty line, paragraphs. A paragraph that begins with `>` is the label
//! of the link. The HTML part is made of the same paragraphs, so that both parts say the same.

use super::calendar::{Appointment, calendar};
use super::{MailError, Mailer};
use crate::domain::edge::{EmailAddress, Timestamp};
use crate::domain::mail::{Kind, Locale};
use crate::domain::zone::Zone;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use time::OffsetDateTime;
use url::Host;

/// What is written to one person.
#[derive(Clone, Debug)]
pub struct Letter<'a> {
    pub kind: Kind,
    pub locale: Locale,
    /// Never changes for one mail: who gets it twice has one.
    pub message_id: &'a str,
    pub recipient: &'a str,
    pub company: &'a str,
    pub candidate: &'a str,
    pub position: &'a str,
    pub opens_at: OffsetDateTime,
    pub closes_at: OffsetDateTime,
    pub zone: &'a str,
    /// 0: not told.
    pub minutes: i64,
    /// Where its button leads; empty for a letter that has none.
    pub link: &'a str,
    /// The entry of the calendar that it writes, and which version of it this is.
    pub uid: &'a str,
    pub sequence: i32,
}

fn template(kind: Kind, locale: Locale) -> &'static str {
    match (kind, locale) {
        (Kind::Invite, Locale::En) => include_str!("templates/invite.en.txt"),
        (Kind::Invite, Locale::De) => include_str!("templates/invite.de.txt"),
        (Kind::Invite, Locale::Ja) => include_str!("templates/invite.ja.txt"),
        (Kind::Withdrawal, Locale::En) => include_str!("templates/withdrawal.en.txt"),
        (Kind::Withdrawal, Locale::De) => include_str!("templates/withdrawal.de.txt"),
        (Kind::Withdrawal, Locale::Ja) => include_str!("templates/withdrawal.ja.txt"),
    }
}

#[derive(Debug)]
struct Rendered {
    subject: String,
    text: String,
    html: String,
}

/// Whether a mail can be addressed to it at all.
pub fn is_deliverable(address: &str) -> bool {
    envelope_address(address).is_some()
}

/// As servers take it. The name of a domain has a form in ASCII; what stands before the `@` has none, and few servers take other letters.
fn envelope_address(address: &str) -> Option<Address> {
    let address = EmailAddress::parse(address)?;
    let (local, domain) = address.as_str().rsplit_once('@')?;
    match Host::parse(domain).ok()? {
        Host::Domain(domain) if local.is_ascii() => Address::new(local, domain).ok(),
        _ => None,
    }
}

pub fn compose(mailer: &Mailer, letter: &Letter<'_>) -> Result<Message, MailError> {
    let unwritable = |what: &str| MailError::Unwritable(what.to_owned());
    let to =
        envelope_address(letter.recipient).ok_or_else(|| MailError::Bounced("no mail can be sent to this address".to_owned()))?;
    let rendered = render(letter).map_err(|error| MailError::Unwritable(error.to_string()))?;
    let entry = calendar(&Appointment {
        cancelled: letter.kind == Kind::Withdrawal,
        uid: letter.uid,
        sequence: letter.sequence,
        opens_at: letter.opens_at,
        closes_at: letter.closes_at,
        summary: &rendered.subject,
        organizer: mailer.from.email.as_ref(),
        attendee: letter.recipient,
    });
    let method = if letter.kind == Kind::Withdrawal { "CANCEL" } else { "REQUEST" };
    let calendar_type = ContentType::parse(&format!("text/calendar; method={method}; charset=utf-8"));
    let calendar_type = calendar_type.map_err(|_| unwritable("the calendar's type"))?;
    let parts = MultiPart::alternative()
        .singlepart(SinglePart::plain(rendered.text))
        .singlepart(SinglePart::html(rendered.html))
        .singlepart(SinglePart::builder().header(calendar_type.clone()).body(entry.clone()));
    let file = Attachment::new("interview.ics".to_owned()).body(entry, calendar_type);
    let mut message = Message::builder()
        .from(mailer.from.clone())
        .to(Mailbox::new(None, to))
        .subject(rendered.subject)
        .message_id(Some(letter.message_id.to_owned()))
        .date_now();
    if let Some(reply_to) = &mailer.reply_to {
        message = message.reply_to(reply_to.clone());
    }
    message
        .multipart(MultiPart::mixed().multipart(parts).singlepart(file))
        .map_err(|error| MailError::Unwritable(error.to_string()))
}

fn render(letter: &Letter<'_>) -> Result<Rendered, minijinja::Error> {
    let (subject, body) = template(letter.kind, letter.locale).split_once("\n\n").unwrap_or_default();
    let subject = fill(letter, subject, AutoEscape::None)?;
    let (mut text, mut paragraphs) = (Vec::new(), Vec::new());
    // What a paragraph is stands in the template: what it is filled with changes nothing about that.
    for paragraph in body.split("\n\n").map(str::trim) {
        let (source, is_label) = paragraph.strip_prefix('>').map_or((paragraph, false), |label| (label.trim(), true));
        let plain = fill(letter, source, AutoEscape::None)?;
        text.push(if is_label { format!("{plain}:\n{}", letter.link) } else { plain });
        let html = fill(letter, source, AutoEscape::Html)?;
        paragraphs.push(if is_label { button(&html, letter.link) } else { format!("<p>{}</p>", html.replace('\n', "<br>")) });
    }
    let (text, paragraphs) = (text.join("\n\n"), paragraphs.concat());
    let lang = letter.locale.as_str();
    let html = format!(
        "<!doctype html><html lang=\"{lang}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"></head>\
         <body style=\"font-family:sans-serif;line-height:1.5;max-width:36rem;margin:0 auto;padding:1rem\">{paragraphs}</body></html>"
    );
    Ok(Rendered { subject: subject.trim().to_owned(), text: format!("{text}\n"), html })
}

/// Strict: a template that names anything else is refused.
fn fill(letter: &Letter<'_>, source: &str, escape: AutoEscape) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(move |_| escape.clone());
    let zone = Zone::parse(letter.zone).or_else(|| Zone::parse("UTC"));
    let moment =
        |at: OffsetDateTime| zone.as_ref().map_or_else(String::new, |zone| letter.locale.moment(Timestamp::from(at), zone));
    environment.render_str(
        source,
        context! {
            company => one_line(letter.company),
            candidate => one_line(letter.candidate),
            position => one_line(letter.position),
            opens => moment(letter.opens_at),
            closes => moment(letter.closes_at),
            minutes => letter.minutes,
        },
    )
}

/// A name cannot end a paragraph, or begin one of its own.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The link is ours: letters, digits and signs that HTML leaves alone.
fn button(label: &str, link: &str) -> String {
    format!(
        "<p><a href=\"{link}\" style=\"display:inline-block;padding:.7em 1.2em;border-radius:.4em;background:#1f4fd8;\
         color:#fff;text-decoration:none\">{label}</a></p><p style=\"font-size:.85em;word-break:break-all\">{link}</p>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn letter(kind: Kind, locale: Locale) -> Letter<'static> {
        Letter {
            kind,
            locale,
            message_id: "<0190@interviews.acme.example>",
            recipient: "amara@demo.test",
            company: "Ben & Söhne <GmbH>",
            candidate: "Amara\n\n> Okafor",
            position: "Senior Software Engineer",
            opens_at: datetime!(2026-11-30 08:00 UTC),
            closes_at: datetime!(2026-12-04 16:00 UTC),
            zone: "Europe/Berlin",
            minutes: 30,
            link: "https://interviews.acme.example/#/i/abc-_09",
            uid: "0190@interviews.acme.example",
            sequence: 2,
        }
    }

    #[test]
    fn every_letter_says_who_what_when_and_in_which_zone_in_both_parts() {
        for kind in Kind::ALL {
            for locale in Locale::ALL {
                let letter = letter(kind, locale);
                let Rendered { subject, text, html } = render(&letter).expect("every template");
                let closes = locale.moment(letter.closes_at.into(), &Zone::parse("Europe/Berlin").expect("a zone"));
                assert!(!subject.contains('\n') && subject.contains("Senior Software Engineer"), "{subject}");
                let read = html.replace("&#x2f;", "/");
                for part in [&text, &read] {
                    assert!(part.contains("Amara &gt; Okafor") || part.contains("Amara > Okafor"), "{part}");
                    assert!(!part.contains("{{") && !part.contains("{%"), "{part}");
                    let tells = kind == Kind::Withdrawal || part.contains(&closes) && part.contains(letter.link);
                    assert!(tells, "{kind:?} {locale:?}: {part}");
                }
                assert!(text.contains("Ben & Söhne <GmbH>") && html.contains("Ben &amp; Söhne &lt;GmbH&gt;"), "{html}");
                assert!(!html.contains("<GmbH>") && html.contains(&format!("lang=\"{}\"", locale.as_str())));
            }
        }
    }

    #[test]
    fn what_servers_do_not_take_is_no_address() {
        for (address, sent_to) in [
            ("a@b.co", Some("a@b.co")),
            ("Amara.Okafor+jobs@Demo.Test", Some("Amara.Okafor+jobs@demo.test")),
            ("o'neil_1@x-y.example.org", Some("o'neil_1@x-y.example.org")),
            ("a@m\u{fc}nchen.example", Some("a@xn--mnchen-3ya.example")),
            ("j\u{fc}rgen@demo.test", None),
            ("not an address", None),
            ("a@127.0.0.1", None),
            ("a@b.co, c@d.co", None),
        ] {
            assert_eq!(envelope_address(address).as_ref().map(AsRef::as_ref), sent_to, "{address}");
        }
    }

    #[test]
    fn a_name_makes_no_paragraph_a_button() {
        for kind in Kind::ALL {
            for locale in Locale::ALL {
                let odd = Letter { company: "> Open", candidate: "> Click", position: ">\n\n> Go", ..letter(kind, locale) };
                let Rendered { text, html, .. } = render(&odd).expect("every template");
                let links = usize::from(kind == Kind::Invite);
                assert_eq!((text.matches(odd.link).count(), html.matches("<a ").count()), (links, links), "{text}");
            }
        }
    }

    #[test]
    fn a_template_may_name_only_what_is_listed() {
        let letter = letter(Kind::Invite, Locale::En);
        assert!(fill(&letter, "{{ candidate }} {{ minutes }}", AutoEscape::None).is_ok());
        for bad in ["{{ secret }}", "{{ config.url }}", "{% include 'x' %}"] {
            assert!(fill(&letter, bad, AutoEscape::None).is_err(), "{bad}");
        }
    }
}
