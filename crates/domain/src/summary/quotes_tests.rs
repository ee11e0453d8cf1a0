use super::*;
use proptest::prelude::*;

/// The text, a quote of it as a model spells it, and the span that is stored.
const FOUND: &[(&str, &str, &str)] = &[
    ("I built a ledger in Rust.", "built a ledger", "built a ledger"),
    ("I built a ledger in Rust.", "I built a ledger in Rust.", "I built a ledger in Rust."),
    ("I built a ledger in Rust.", "i built a ledger in rust!", "I built a ledger in Rust"),
    (
        "Well, I’m responsible for  two teams and built a ledger.",
        "I'm responsible for two teams",
        "I’m responsible for  two teams",
    ),
    ("Well, I’m responsible for  two teams.", "\"I'm responsible for two teams.\"", "I’m responsible for  two teams."),
    ("We ran a cafe\u{301} in Lyon.", "We ran a caf\u{e9}", "We ran a cafe\u{301}"),
    ("We ran a caf\u{e9} in Lyon.", "we ran a cafe\u{301}", "We ran a caf\u{e9}"),
    ("So… we shipped it…", "So... we shipped it...", "So… we shipped it…"),
    ("So ... we shipped it", "So… we shipped it", "So ... we shipped it"),
    ("built – and ran – a team", "built - and ran - a team", "built – and ran – a team"),
    ("two teams—and a budget", "two teams -- and a budget", "two teams—and a budget"),
    ("We called it «the big ledger», yes", "called it \"the big ledger\"", "called it «the big ledger»"),
    ("We called it “the big ledger”", "called it 'the big ledger'", "called it “the big ledger”"),
    ("I led\u{a0}two\u{202f}teams\tand\nmore", "I led two teams and more", "I led\u{a0}two\u{202f}teams\tand\nmore"),
    ("Ｉ ｌｅｄ ２ ｔｅａｍｓ", "I led 2 teams", "Ｉ ｌｅｄ ２ ｔｅａｍｓ"),
    ("I led 2 teams", "Ｉ ｌｅｄ　２ ｔｅａｍｓ", "I led 2 teams"),
    ("I was respon\u{ad}sible for it", "I was responsible for", "I was respon\u{ad}sible for"),
    ("I was res\u{200b}ponsible for it", "responsible for it", "res\u{200b}ponsible for it"),
    ("we found the ﬁrst oﬀer", "the first offer", "the ﬁrst oﬀer"),
    ("I speak Vec<String> and Map<K,V>.", "I speak Vec<String> and Map<K,V>", "I speak Vec<String> and Map<K,V>"),
    ("microservices", "Microservices", "microservices"),
    ("a well-known open-source tool", "well‑known open‐source tool", "well-known open-source tool"),
    ("from 2019–2021 there", "from 2019-2021 there", "from 2019–2021 there"),
    ("at −5 percent growth", "at -5 percent growth", "at −5 percent growth"),
    ("half, ½ of it all", "1/2 of it all", "½ of it all"),
    ("Οδυσσεύς έφυγε τώρα", "ΟΔΥΣΣΕΎΣ ΈΦΥΓΕ ΤΏΡΑ", "Οδυσσεύς έφυγε τώρα"),
    ("मैंने एक हिंदी ऐप बनाया", "एक हिंदी ऐप", "एक हिंदी ऐप"),
    ("私は決済システムを作りました。", "決済システムを", "決済システムを"),
    ("ﾁｰﾑを三つ率いました", "チームを三つ率いました", "ﾁｰﾑを三つ率いました"),
    ("ガイドを書きました", "カ\u{3099}イドを書きました", "ガイドを書きました"),
    ("저는 두 팀을 이끌었습니다", "두 팀을 이끌었습니다", "두 팀을 이끌었습니다"),
    ("ผมดูแลสองทีมในบริษัท", "ดูแลสองทีมในบริษัท", "ดูแลสองทีมในบริษัท"),
    ("no, no, no, no, I did", "no, I did", "no, I did"),
    ("I write C and C++ daily", "C and C++", "C and C++"),
];

const NOT_FOUND: &[(&str, &str)] = &[
    ("I led ten teams there", "I led two teams there"),
    ("We start again tomorrow morning", "art again tomorrow"),
    ("We start again tomorrow", "We start ag"),
    ("I built a big ledger", "I built ... ledger"),
    ("I can't code in Rust", "I can code in Rust"),
    ("I can't code in Rust", "t code in Rust"),
    ("and I can't, not at all", "and I can"),
    ("for non-technical people at work", "technical people at work"),
    ("grew by 1.5 percent overall", "5 percent overall then"),
    ("grew by 1.5 percent overall", "5 percent overall"),
    ("grew by -5 percent overall", "5 percent overall"),
    ("I mainly write C++", "I mainly write C"),
    ("it costs ½ of all", "2 of all"),
    ("We ran a cafe\u{301} there", "We ran a cafe"),
    ("I led ten teams", "ten teams"),
    ("I led teams", "I"),
    ("I led teams", ""),
    ("I led teams", " … \u{301}"),
    ("", "I led teams"),
    ("スタートは大変でした", "アートは大変"),
    ("はい、そうです", "はい"),
    ("私は二つのチームを率いました", "十のチームを率いました"),
    ("I led", "I led two teams at once"),
];

#[test]
fn what_differs_in_writing_is_found_as_it_stands() {
    for (text, quote, span) in FOUND {
        assert_eq!(find(text, quote), Some(*span), "{quote:?} in {text:?}");
    }
}

#[test]
fn what_was_not_said_or_says_nothing_is_not_found() {
    for (text, quote) in NOT_FOUND {
        assert_eq!(find(text, quote), None, "{quote:?} in {text:?}");
    }
}

fn forms(text: &str) -> Vec<String> {
    words(text).into_iter().map(|word| word.text).collect()
}

/// As another hand would write it.
fn respelled(text: &str, how: &[u8]) -> String {
    let mut how = how.iter().cycle();
    text.chars()
        .map(|c| match (c, how.next()) {
            (' ', Some(0)) => "\u{a0}".to_owned(),
            (' ', Some(1)) => "  ".to_owned(),
            ('\'', Some(0)) => "’".to_owned(),
            ('"', Some(0)) => "»".to_owned(),
            ('-', Some(0 | 1)) => "\u{2011}".to_owned(),
            ('é', Some(0)) => "e\u{301}".to_owned(),
            (letter, Some(2)) if letter.is_ascii_lowercase() => letter.to_uppercase().to_string(),
            (letter, Some(3)) if letter.is_alphabetic() => format!("{letter}\u{ad}"),
            (letter, Some(4)) if letter.is_ascii_graphic() && letter != '-' => {
                char::from_u32(letter as u32 + 0xfee0).map_or_else(String::new, String::from)
            }
            (other, _) => other.to_string(),
        })
        .collect()
}

proptest! {
    #[test]
    fn three_words_of_a_text_are_found_however_they_are_spelled(
        text in "[a-z]{1,6}([ ,.\"]{1,2}[a-zé]{1,6}('[a-z]{1,2}|-[a-z]{1,5})?){3,12}",
        at in any::<prop::sample::Index>(),
        how in proptest::collection::vec(0u8..8, 1..20),
    ) {
        let starts: Vec<Word> = words(&text).into_iter().filter(|word| !word.joined).collect();
        let first = at.index(starts.len() - 2);
        let end = starts.get(first + 3).map_or(text.len(), |next| next.start);
        let quote = text[starts[first].start..end].trim_end_matches([' ', ',', '.', '"']);
        let found = find(&text, &respelled(quote, &how));
        prop_assert!(found.is_some_and(|found| forms(found) == forms(quote) && text.contains(found)), "{quote:?}: {found:?}");
    }

    #[test]
    fn what_is_found_is_of_the_text_has_the_quotes_words_and_is_found_again(
        text in "([a-cé'\\-.,…½ア-ウあ-う가각\u{301}\u{ad}\u{3099}»— ]|C\\+|-5){0,40}",
        quote in "([a-cé'\\-.,…½ア-ウあ-う가각\u{301}\u{ad}\u{3099}»— ]|C\\+|-5){0,12}",
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let boundary = |index: &prop::sample::Index| text.floor_char_boundary(index.index(text.len() + 1));
        let (from, to) = (boundary(&from), boundary(&to));
        for quote in [quote.as_str(), &text[from.min(to)..from.max(to)]] {
            if let Some(found) = find(&text, quote) {
                prop_assert!(text.contains(found));
                prop_assert_eq!(forms(found), forms(quote));
                prop_assert!(find(&text, found).is_some());
            }
        }
    }

    #[test]
    fn nothing_panics(text in any::<String>(), quote in any::<String>()) {
        find(&text, &quote);
        find(&text, &text);
    }
}
