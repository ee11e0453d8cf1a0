//! Checks who may import whom, and compares the documentation with the code.

use interview_runtime::actors::tree::TREE;
use interview_runtime::error::ErrorCode;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the source folder is there") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Code of a file or folder, without comments.
fn code_of(layer: &str) -> Vec<(PathBuf, String)> {
    let path = root().join(layer);
    let mut files = Vec::new();
    if path.is_dir() {
        sources(&path, &mut files)
    } else {
        files.push(path)
    }
    files
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(&file).expect("readable source");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            (file, code)
        })
        .collect()
}

#[test]
fn layers_import_only_what_stands_below_them() {
    let forbidden: &[(&str, &[&str])] = &[
        ("crates/domain/src/ids.rs", &["crate::"]),
        ("crates/domain/src/error.rs", &["crate::"]),
        ("crates/domain/src/clock.rs", &["crate::"]),
        ("crates/domain/src/backoff.rs", &["crate::"]),
        ("src/signature.rs", &["crate::"]),
        ("src/ports.rs", &["crate::integrations::store", "crate::actors", "crate::http::", "crate::roles"]),
        (
            "src/integrations",
            &["ractor", "crate::actors", "crate::reconcilers", "crate::http::", "crate::roles", "crate::operator"],
        ),
        ("src/actors", &["axum", "crate::reconcilers", "crate::http", "crate::roles", "crate::operator"]),
        ("src/reconcilers", &["axum", "crate::http", "crate::roles", "crate::operator"]),
        ("src/http", &["crate::roles", "crate::operator"]),
    ];
    let mut broken = Vec::new();
    for (layer, words) in forbidden {
        for (file, code) in code_of(layer) {
            for word in *words {
                // `crate::http` also begins `crate::http_client`-like names of other crates: match whole segments.
                let found = code.match_indices(word).any(|(at, _)| {
                    let before = code[..at].chars().next_back();
                    let after = code[at + word.len()..].chars().next();
                    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                    !inside(before) && (word.ends_with("::") || !inside(after))
                });
                if found {
                    broken.push(format!("{} uses {word}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "the import table is broken:\n{}", broken.join("\n"));
}

/// The compiler keeps the domain pure as long as nothing that waits, stores or sends is among its dependencies.
#[test]
fn the_domain_depends_on_nothing_that_waits_stores_or_sends() {
    let text = std::fs::read_to_string(root().join("crates/domain/Cargo.toml")).expect("its manifest");
    let manifest: toml::Table = text.parse().expect("TOML");
    let names: Vec<&String> = manifest["dependencies"].as_table().expect("dependencies").keys().collect();
    const PURE: [&str; 16] = [
        "aws-lc-rs",
        "backon",
        "data-encoding",
        "isolang",
        "jiff",
        "regex",
        "schemars",
        "secrecy",
        "serde",
        "serde_json",
        "thiserror",
        "time",
        "unicode-normalization",
        "unicode-script",
        "unicode-segmentation",
        "uuid",
    ];
    assert!(names.iter().all(|name| PURE.contains(&name.as_str())), "{names:?}");
    // Nor does the rehearsal: what it needs is the domain.
    let text = std::fs::read_to_string(root().join("crates/rehearsal/Cargo.toml")).expect("its manifest");
    let manifest: toml::Table = text.parse().expect("TOML");
    let names: Vec<&String> = manifest["dependencies"].as_table().expect("dependencies").keys().collect();
    assert_eq!(names, ["fastrand", "interview-domain", "serde", "serde_json"]);
    // What shall stand in for a vendor, or be a candidate, must not share our mistakes.
    for member in ["sandbox", "candidate"] {
        let text = std::fs::read_to_string(root().join(format!("crates/{member}/Cargo.toml"))).expect("its manifest");
        assert!(!text.contains("interview-domain") && !text.contains("interview-runtime"), "{member} depends on us");
    }
}

/// Whom a child tells, and what, is in `actors/messages.rs`.
#[test]
fn children_of_the_tree_do_not_know_each_other() {
    let names: Vec<&str> = TREE.iter().map(|row| row.child.name()).chain(["session"]).collect();
    let mut broken = Vec::new();
    for child in TREE.iter().map(|row| row.child.name()) {
        let folder = format!("src/actors/{child}");
        let inside = if root().join(&folder).is_dir() { code_of(&folder) } else { Vec::new() };
        for (file, code) in code_of(&format!("src/actors/{child}.rs")).into_iter().chain(inside) {
            for other in names.iter().filter(|other| **other != child) {
                if code.contains(&format!("super::{other}::")) || code.contains(&format!("crate::actors::{other}::")) {
                    broken.push(format!("{} imports {other}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_protocol_page_names_every_message() {
    let page = std::fs::read_to_string(root().join("docs/PROTOCOL.md")).expect("the protocol page is there");
    let code = std::fs::read_to_string(root().join("crates/domain/src/protocol.rs")).expect("readable source");
    let variants = |name: &str| -> Vec<String> {
        let start = code.find(&format!("pub enum {name} {{")).expect("the enum is there");
        let body = &code[start..start + code[start..].find("\n}").expect("the enum ends")];
        body.lines()
            .filter(|line| line.starts_with("    ") && !line.starts_with("     "))
            .filter_map(|line| line.trim().split(|c: char| !c.is_alphanumeric()).next().map(str::to_owned))
            .filter(|word| word.chars().next().is_some_and(char::is_uppercase))
            .map(|word| {
                word.chars().enumerate().fold(String::new(), |mut name, (index, c)| {
                    if c.is_uppercase() && index > 0 {
                        name.push('_');
                    }
                    name.extend(c.to_lowercase());
                    name
                })
            })
            .collect()
    };
    let names: Vec<String> = variants("ClientMessage").into_iter().chain(variants("ServerEvent")).collect();
    assert!(names.len() > 20, "the enums were not read: {names:?}");
    let missing: Vec<_> =
        names.iter().filter(|name| !page.contains(&format!("`{name}`")) && !page.contains(&format!("\"{name}\""))).collect();
    assert!(missing.is_empty(), "docs/PROTOCOL.md does not name {missing:?}");
}

#[test]
fn panics_unwind_in_every_profile() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the manifest is there");
    assert!(!manifest.contains("panic = \"abort\"") && !manifest.contains("panic=\"abort\""), "supervision needs unwinding");
}

/// `UPDATE_DOCS=1 cargo test --test it error_code` writes the page anew.
#[test]
fn the_error_code_page_is_current() {
    use interview_runtime::error::ErrorCode;
    let rows: String = ErrorCode::ALL
        .iter()
        .fold(String::new(), |page, code| page + &format!("| `{}` | {} |\n", code.as_str(), code.help().trim()));
    let page = format!(
        "# Error codes\n\nStable codes of problems, socket errors and log lines (`error_code`), and what to do.\nWritten from `crates/domain/src/error.rs` by a test; do not edit by hand.\n\n| code | cause, and what to do |\n|---|---|\n{rows}"
    );
    let path = root().join("docs/ERROR_CODES.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("the page is written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == page,
        "docs/ERROR_CODES.md is not what crates/domain/src/error.rs says: run UPDATE_DOCS=1 cargo test --test it error_code"
    );
}

/// A page that names tests is believed; so it is read against them.
#[test]
fn every_error_code_is_emitted_and_none_is_spelled_as_text() {
    let (_, declared) = code_of("crates/domain/src/error.rs").pop().expect("crates/domain/src/error.rs");
    let emitted = ["src", "crates/domain/src"]
        .into_iter()
        .flat_map(code_of)
        .filter(|(file, _)| !file.ends_with("error.rs"))
        .map(|(_, code)| code)
        .collect::<String>();
    let pairs = declared.lines().filter_map(|line| line.trim().split_once(" = \""));
    let variants = pairs.filter(|(name, _)| name.starts_with(char::is_uppercase) && !name.contains(' '));
    let mut seen = 0;
    for (name, _) in variants {
        seen += 1;
        let uses = emitted.match_indices(name).filter(|(at, _)| {
            let after = emitted[at + name.len()..].chars().next();
            !after.is_some_and(|next| next.is_alphanumeric() || next == '_') && !emitted[..*at].ends_with(char::is_alphanumeric)
        });
        assert!(uses.count() > 0, "nothing emits ErrorCode::{name}");
    }
    assert_eq!(seen, ErrorCode::ALL.len(), "all of them were looked for");
    for text in ["error_code = \"", "code: \""] {
        assert!(!emitted.contains(text), "a code is spelled as text: {text}");
    }
}

#[test]
fn the_help_of_error_codes_names_configuration_keys_that_exist() {
    let text = std::fs::read_to_string(root().join("config/default.toml")).expect("the defaults");
    let defaults: toml::Table = text.parse().expect("TOML");
    let mut named = 0;
    for code in ErrorCode::ALL {
        for name in code.help().split('`').skip(1).step_by(2) {
            let Some((section, key)) = name.split_once('.') else { continue };
            named += 1;
            let known = defaults.get(section).and_then(|section| section.get(key)).is_some();
            assert!(known, "{code} names {name}, which config/default.toml does not have");
        }
        let names_a_variable = code.help().split(' ').any(|word| word.contains("__"));
        assert!(!names_a_variable, "{code} names an environment variable: name the key");
    }
    assert!(named > 5, "{named}");
}

#[test]
fn the_reliability_page_has_every_row_and_names_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/RELIABILITY.md")).expect("the page");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit()).collect();
    let numbers: Vec<u32> = rows.iter().filter_map(|row| row.split('|').nth(1)?.trim().parse().ok()).collect();
    assert_eq!(numbers, (1..=45).collect::<Vec<_>>());
    let code = all_code();
    for row in rows {
        let tests = row.split('|').nth(3).expect("the column of tests");
        assert!(tests_exist(tests, &code) > 0 || tests.contains("sim"), "no test: {row}");
    }
}

#[test]
fn the_page_of_hostile_input_names_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/HOSTILE_INPUT.md")).expect("the page");
    let code = all_code();
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[3] == b'-');
    for row in rows.filter(|row| !row.contains("(to come)")) {
        let columns: Vec<&str> = row.split('|').collect();
        assert!(tests_exist(&columns[3..].join(" "), &code) > 0 || columns[3].contains("web/"), "no test: {row}");
    }
    let found = page.split("what holds now |").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("the second table");
    let rows: Vec<&str> = found.lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 5, "{rows:?}");
    for row in rows {
        assert!(tests_exist(row.split('|').nth(3).expect("a column"), &code) > 0, "no test: {row}");
    }
}

#[test]
fn the_page_of_the_conversation_names_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/CONVERSATION.md")).expect("the page");
    let code = all_code();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| C-")).collect();
    assert_eq!(rows.len(), 17, "all but C-15, which is the transcript's");
    for row in rows {
        assert!(tests_exist(row.split('|').nth(4).expect("a column"), &code) > 0, "no test: {row}");
    }
}

#[test]
fn the_page_of_access_names_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/ACCESS.md")).expect("the page");
    let code = all_code();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| A-")).collect();
    assert!(rows.len() >= 12, "{rows:?}");
    for row in rows {
        assert!(tests_exist(row.split('|').nth(3).expect("a column"), &code) > 0, "no test: {row}");
    }
}

/// The titles of the pages' and the browsers' tests, as they are written there.
#[test]
fn the_page_of_browsers_names_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/BROWSERS.md")).expect("the page");
    let mut files = Vec::new();
    for folder in ["tests/e2e", "web/app", "web/sdk"] {
        tests_of_pages(&root().join(folder), &mut files);
    }
    let code: String = files.iter().map(|file| std::fs::read_to_string(file).expect("readable")).collect();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| B-") || line.starts_with("| U-"))
        .map(|line| line.split('|').collect())
        .collect();
    assert_eq!(rows.len(), 18, "six of browsers, twelve of people");
    for row in rows {
        let named: Vec<&str> = row[3].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test: {}", row[1]);
        for title in named {
            let quoted = ["'", "`"].iter().any(|quote| code.contains(&format!("{quote}{title}{quote}")));
            assert!(quoted, "{}: no test is called {title:?}", row[1]);
        }
    }
}

fn tests_of_pages(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() && name != "node_modules" {
            tests_of_pages(&path, into);
        } else if name.ends_with(".test.ts") || name.ends_with(".test.mjs") {
            into.push(path);
        }
    }
}

/// Each key of the section has its row, and each bound that refuses by itself its error code.
#[test]
fn the_page_of_limits_names_every_key() {
    let page = std::fs::read_to_string(root().join("docs/LIMITS.md")).expect("the page");
    let defaults = std::fs::read_to_string(root().join("config/default.toml")).expect("the defaults");
    let section = defaults.split("\n[limits]\n").nth(1).and_then(|rest| rest.split("\n[").next()).expect("the section");
    let keys: Vec<&str> = section
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, _)| key)
        .collect();
    assert!(keys.len() > 20, "{keys:?}");
    let named = |key: &str| {
        let whole = page.contains(&format!("`{key}`"));
        let group = key.match_indices('_').any(|(at, _)| page.contains(&format!("`{}_*`", &key[..at])));
        whole || group
    };
    let missing: Vec<_> = keys.into_iter().filter(|key| !named(key)).collect();
    assert!(missing.is_empty(), "docs/LIMITS.md does not name {missing:?}");
    for bound in interview_runtime::http::limits::Bound::ALL {
        let code = bound.refusal(std::time::Duration::from_secs(1)).code();
        assert!(page.contains(&format!("`{code}`")), "docs/LIMITS.md does not name {code}");
    }
}

fn all_code() -> String {
    let mut files = Vec::new();
    for folder in ["tests/it", "src", "crates/domain/src", "crates/sim/tests"] {
        sources(&root().join(folder), &mut files);
    }
    files.iter().map(|file| std::fs::read_to_string(file).expect("a source")).collect()
}

/// How many tests are named here; each of them is there.
fn tests_exist(text: &str, code: &str) -> usize {
    let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter(|name| !name.contains('/')).collect();
    for name in &named {
        // A property's arguments stand behind its name.
        assert!(code.contains(&format!("fn {name}(")), "no test is called {name}");
    }
    named.len()
}

/// What goes into a record has passed the edge (`domain/edge.rs`): a record has no field that takes a raw string, number
/// or time from the wire. Counts of our own are named here.
#[test]
fn records_hold_nothing_raw() {
    const OURS: [&str; 7] =
        ["ClientSeq(u64)", "segment: i32", "parts: i32", "seq: i32", "revision: i32", "position: i64", "entry: i32"];
    let files = ["outbox_record.rs", "transcript/entry.rs", "summary.rs"].map(|file| root().join("crates/domain/src").join(file));
    let types =
        ["Record", "RecordingRecord", "SummaryRecord", "Entry", "Summary", "CompetencyAssessment", "Observation", "Quote"];
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable source");
        for name in types {
            let of = |kind: &str| text.find(&format!("pub {kind} {name} {{"));
            let Some(start) = of("struct").or_else(|| of("enum")) else { continue };
            found.push(name);
            let end = start + text[start..].find("\n}").expect("the type ends");
            for line in text[start..end].lines().map(|line| line.trim().trim_end_matches(',')) {
                let declares = line.contains(':') || line.contains('(');
                let raw = ["String", "&str", "OffsetDateTime", "Value", "i32", "i64", "u32", "u64", "f64"]
                    .iter()
                    .any(|raw| line.split(|c: char| !c.is_alphanumeric() && c != '&').any(|word| word == *raw));
                let ours = OURS.iter().any(|ours| line.trim_start_matches("pub ") == *ours) || line.contains("&'static str");
                assert!(
                    !declares || !raw || ours || line.starts_with("//"),
                    "{}: {name} has a raw field: {line}",
                    file.display()
                );
            }
        }
    }
    found.sort_unstable();
    assert_eq!(found.len(), types.len(), "{found:?}");
}
