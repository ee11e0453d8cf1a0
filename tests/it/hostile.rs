//! Bad data on every way in, against the real process and the real PostgreSQL (docs/HOSTILE_INPUT.md). Whatever comes is
//! answered, the records beside it are stored in order, and the interview ends.

use crate::interview::new_session;
use crate::support::room::{Room, told};
use crate::support::system::System;
use crate::support::voice_stub::{OFFER, VoiceStub};
use crate::support::{World, room, uuid, wait_for};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Times that are none, or that cannot have been.
const TIMES: &[&str] = &[
    "9999-12-31T23:59:59-01:00",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:60Z",
    "0000-01-01T00:00:00+01:00",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "1970-01-01T00:00:00Z",
    "2024-06-10T14:32:01.123456789123Z",
    "2026-02-30T00:00:00Z",
    "+10000-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z",
    "1764350000",
    "NaN",
    "infinity",
    "yesterday",
    "",
    "\u{0}2026\u{202e}",
    "2026-11-28T10:00:00Zxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

fn time_of(row: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(row["at"].as_str().expect("a time"), &Rfc3339).expect("PostgreSQL's own form")
}

/// H-01, H-02, H-10, A-21: with our line in the call, and without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_that_cannot_have_been_becomes_one_of_the_call_and_is_kept_as_it_was_written() {
    let (world, stub) = (World::start().await, VoiceStub::start().await);
    for sideband_is_up in [true, false] {
        let opened = OffsetDateTime::now_utc();
        let (mut process, mut browser) = if sideband_is_up {
            let Room { process, browser, .. } = world.room(&stub, &[]).await;
            (process, browser)
        } else {
            let (process, mut browser) = world.lobby(&stub, &[]).await;
            stub.refuse_joins(1, 401);
            room::offer(&mut browser, OFFER).await;
            (process, browser)
        };
        for (n, time) in TIMES.iter().enumerate() {
            let seq = n as u64 + 1;
            let entry = |text: String, time: &str| json!({"text": text, "speaker": "candidate", "timestamp": time, "id": text});
            let now = OffsetDateTime::now_utc().format(&Rfc3339).expect("a time");
            browser.tell(seq, vec![entry(format!("odd {n}"), time), entry(format!("good {n}"), &now)]).await;
            browser.send(json!({"type": "integrity_event", "kind": format!("odd {n}"), "at": time})).await;
        }
        browser.acked(TIMES.len() as u64).await;
        wait_for("all is noted", || async { world.notes(process.session).await.len() >= TIMES.len() }).await;

        let rows = world.entries(process.session).await;
        let told: Vec<&str> = rows
            .iter()
            .filter_map(|row| row["text"].as_str())
            .filter(|text| text.contains("odd") || text.contains("good"))
            .collect();
        let expected: Vec<String> = (0..TIMES.len()).flat_map(|n| [format!("odd {n}"), format!("good {n}")]).collect();
        assert_eq!(told, expected, "in order, nothing lost");
        let (first, last) = (opened - Duration::from_mins(1), OffsetDateTime::now_utc());
        for row in rows.iter().chain(&world.notes(process.session).await) {
            let at = time_of(row);
            assert!(first <= at && at <= last, "{first} {last} {row}");
        }
        for (n, time) in TIMES.iter().enumerate() {
            let row = world.entry(process.session, &format!("odd {n}")).await.expect("it is stored");
            let claimed = row["claimed_at"].as_str().unwrap_or_else(|| panic!("{time:?}: {row}"));
            assert!(claimed.len() <= 64 && !claimed.contains('\u{202e}'), "{claimed:?}");
            assert!(time.len() > 64 || time.contains('\0') || claimed == *time, "{claimed:?} for {time:?}");
            let good = world.entry(process.session, &format!("good {n}")).await.expect("it is stored");
            assert_eq!(good["claimed_at"], Value::Null, "a possible time is kept as it is");
        }
        let restarts = process.restarts().await;
        world.over(&mut process, &mut browser, restarts).await;
    }
    world.stop().await;
}

/// H-02: rows of a version before this one hold anything that the column takes. One entry never makes the others
/// unreadable, in no format, and the next process takes them up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_cannot_have_been_leaves_the_others_readable_in_every_format() {
    let system = System::start().await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let id = new_session(&system, &recruiter).await;
    let admin = sqlx::PgPool::connect(&system.sandbox.database_admin_url().expect("a database")).await.expect("a connection");
    let odd = [
        "0001-01-01 00:00:00+00 BC",
        "0001-01-01 00:00:00+00",
        "9999-12-31 23:59:59+00",
        "4713-01-01 00:00:00+00 BC",
        "9999-12-31 23:59:59.999999+00",
    ];
    for (n, at) in odd.iter().flat_map(|odd| [*odd, "now"]).enumerate() {
        let text = if at == "now" { format!("good {n}") } else { format!("odd {n} \u{1b}[31m \u{202e} --> <v Boss>") };
        sqlx::query(
            "insert into app.transcript_entries (tenant_id, session_id, seq, entry_key, item_id, segment, position, speaker,
               text, source, authoritative, status, interrupted, heard_ms, heard_text, started_ms, ended_ms, at, epoch)
             select tenant_id, id, $2, $3, $4, 1, $2, 'candidate', $5, 'sideband', $2 % 3 > 0, 'final', true, -5, '', -1,
               9223372036854775807, $6::text::timestamptz, 1 from app.sessions where id = $1",
        )
        .bind(uuid(&id))
        .bind(n as i32 + 1)
        .bind(format!("{}{n}", "k".repeat(190)))
        .bind(format!("it\u{202e}em {n}"))
        .bind(text)
        .bind(at)
        .execute(&admin)
        .await
        .expect("the table takes it");
    }
    let http = reqwest::Client::new();
    let get = async |path: &str| {
        let url = format!("{}/api/sessions/{id}/{path}", system.sandbox.urls().front);
        let answer = http.get(url).bearer_auth(&recruiter).send().await.expect("an answer");
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        (answer.status().as_u16(), kind, answer.text().await.expect("a body"))
    };
    for format in ["json", "text", "vtt"] {
        for client_report in ["", "&include=witness"] {
            let (status, _, body) = get(&format!("transcript?format={format}{client_report}")).await;
            assert_eq!(status, 200, "{body}");
            let good = body.matches("good").count();
            assert_eq!(good, if client_report.is_empty() { 4 } else { 5 }, "{format}{client_report}: {body}");
            assert!(!body.contains('\u{202e}') && !body.contains('\u{1b}'), "{body}");
            // Nothing reckons with what is far away: whoever reads sees the interview's own times.
            let marks = body.lines().filter(|line| line.starts_with('[') || line.contains("-->"));
            let mut hours = marks.map(|line| line.trim_start_matches('[').split(':').next().unwrap_or_default());
            assert!(format == "json" || hours.all(|hours| hours == "00"), "{body}");
        }
    }
    let (status, kind, body) = get("transcript?format=nonsense").await;
    assert_eq!((status, kind.as_str()), (400, "application/problem+json"), "{body}");

    let url = format!("{}/api/sessions/{id}/events", system.sandbox.urls().front);
    let mut events = http.get(url).bearer_auth(&recruiter).send().await.expect("an answer").bytes_stream();
    let mut seen = String::new();
    let all = async {
        while !seen.contains("good 9") {
            seen += &String::from_utf8_lossy(&events.next().await.expect("goes on").expect("bytes"));
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.unwrap_or_else(|_| panic!("not all came: {seen}"));

    // The next process takes all of it up.
    let (_, view) = system.get(&recruiter, &format!("/api/sessions/{id}")).await;
    system.kill_machine(view["machine"]["id"].as_str().expect("a machine"));
    let (status, _) = system.post(&recruiter, &format!("/api/sessions/{id}/end"), &json!({})).await;
    assert_eq!(status, 202);
    wait_for("the interview ends", || async { system.phase(&recruiter, &id).await == "completed" }).await;
    admin.close().await;
    system.stop().await;
}

/// Text that PostgreSQL refuses, or that changes what stands around it; and what becomes of it.
const TEXTS: &[(&str, &str)] = &[
    ("a\0b I led the team", "a\u{fffd}b I led the team"),
    ("\0\0\0", "\u{fffd}\u{fffd}\u{fffd}"),
    ("\u{1b}[31mred\u{7}", "\u{fffd}[31mred\u{fffd}"),
    ("abc\u{202e}fdp.exe", "abc\u{fffd}fdp.exe"),
    ("one\r\ntwo\u{2028}three", "one\ntwo\nthree"),
    ("\u{feff}mark \u{fff9}", "\u{fffd}mark \u{fffd}"),
    ("\u{10ffff} 👩‍👩‍👧 はい。", "\u{10ffff} 👩‍👩‍👧 はい。"),
];
/// Ids that cannot be a key, or not be shown.
fn ids() -> Vec<String> {
    ["it\0em", "\0", "line\nbreak", "\u{202e}item", "", "é"].map(str::to_owned).into_iter().chain(["x".repeat(300)]).collect()
}

/// H-03: a NUL, and what else cannot be stored, in everything that the provider says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nul_in_anything_the_provider_says_costs_no_word() {
    let (world, stub) = (World::start().await, VoiceStub::start().await);
    let room = world.room(&stub, &[]).await;
    let (call, session) = (&room.call, room.session());
    for (n, (bad, clean)) in TEXTS.iter().enumerate() {
        call.turn(&format!("{bad} {n}"));
        call.reply(&format!("{bad} reply {n}"));
        call.turn(&format!("good {n}"));
        world.until_stored(session, &format!("good {n}")).await;
        for text in [format!("{clean} {n}"), format!("{clean} reply {n}")] {
            assert!(world.entry(session, &text).await.is_some(), "{text:?}");
        }
    }
    for (n, bad) in ids().iter().enumerate() {
        // The same bad id twice is the same item: its words find their place.
        call.speech_as(bad);
        call.completed(bad, format!("words of id {n}"));
        call.created(bad, json!({ (bad.as_str()): bad }));
        call.item(bad, &format!("{bad}\0answer"));
        call.words_done(bad, &format!("{bad}\0answer"), format!("answer of id {n}"));
        call.done(bad, "completed", json!({"reason": bad, "error": {"code": bad, "message": bad}}));
        call.playback(bad, "started");
        call.playback(bad, "stopped");
        call.send(json!({"type": bad, "item_id": bad}));
        call.send(json!({"type": "response.function_call_arguments.done", "response_id": bad, "item_id": bad, "call_id": bad, "name": bad, "arguments": bad}));
        call.send(json!({"type": "error", "error": {"type": bad, "code": bad, "message": bad, "param": bad, "event_id": bad}}));
        call.send(json!({"type": "conversation.item.input_audio_transcription.failed", "item_id": bad, "error": {"code": bad}}));
        call.send(json!({"type": "session.updated", "session": {"id": bad, "model": bad}}));
        call.send(json!({"type": "rate_limits.updated", "rate_limits": [{"name": bad}]}));
        call.turn(&format!("good after id {n}"));
        world.until_stored(session, &format!("good after id {n}")).await;
        for text in [format!("words of id {n}"), format!("answer of id {n}")] {
            let entry = world.entry(session, &text).await.unwrap_or_else(|| panic!("{text:?}"));
            assert!(entry["item_id"].as_str().is_some_and(|id| id.starts_with("derived:")), "{entry}");
        }
    }
    assert_eq!(world.set_aside(session).await, [] as [Value; 0]);
    assert!(!room.browser.seen.iter().any(|event| event["what"] == "storage"), "{:?}", room.browser.seen);
    room.over(&world).await;
    world.stop().await;
}

/// H-04, A-06: ids and names from the page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nul_in_an_id_of_the_page_is_refused_with_its_number_and_stops_nothing() {
    let (world, stub) = (World::start().await, VoiceStub::start().await);
    let mut room = world.room(&stub, &[]).await;
    let mut seq = 0;
    for id in ids().iter().filter(|id| *id != "é") {
        for field in ["id", "item_id"] {
            seq += 1;
            let mut entry = told("candidate", "x1", "hello");
            entry[field] = json!(id);
            room.browser.tell(seq, vec![entry]).await;
            let error = room.browser.expect("error").await;
            assert_eq!((&error["code"], &error["seq"]), (&json!("message_invalid"), &json!(seq)), "{field} {id:?}: {error}");
            seq += 1;
            room.tell(seq, room::note("candidate", &format!("good {seq}"))).await;
        }
    }
    let nul = "a\0b";
    for (frame, code) in [
        (json!({"type": "integrity_event", "kind": nul}), "message_invalid"),
        (json!({"type": "consent", "kinds": ["recording"], "policy_version": nul}), "consent_policy_outdated"),
        (json!({"type": "consent", "kinds": [nul], "policy_version": "2026-11"}), "message_invalid"),
        (json!({"type": "sdp_offer", "sdp": format!("{OFFER}a={nul}\r\n")}), "sdp_invalid"),
        (json!({"type": nul}), "message_invalid"),
        (json!({"type": "media_state", "state": nul}), "message_invalid"),
    ] {
        room.browser.send(frame.clone()).await;
        assert_eq!(room.browser.expect("error").await["code"], code, "{frame}");
    }
    // What is taken without looking has no effect.
    for frame in [
        json!({"type": "recording_state", "state": "failed", "video_id": nul}),
        json!({"type": "refresh_auth", "token": nul}),
        json!({"type": "integrity_event", "kind": "kept", "at": nul}),
    ] {
        room.browser.send(frame).await;
    }
    seq += 1;
    room.tell(seq, room::note("candidate", "the last")).await;
    let rows = world.entries(room.session()).await;
    let good = rows.iter().filter(|row| row["text"].as_str().is_some_and(|text| text.starts_with("good"))).count();
    assert_eq!(good, 2 * (ids().len() - 1), "{rows:#?}");
    assert_eq!(world.set_aside(room.session()).await, [] as [Value; 0]);
    room.over(&world).await;
    world.stop().await;
}

/// H-06: final words that nobody can read, or none, take nothing from those that came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_character_or_nothing_as_the_final_words_loses_no_word() {
    let (world, stub) = (World::start().await, VoiceStub::start().await);
    let room = world.room(&stub, &[]).await;
    let (call, session) = (&room.call, room.session());
    // As it stands in the JSON, without the comma before it; N is the turn.
    let finals = [
        (r#","transcript":"I agree N \ud83d""#, "I agree N \u{fffd}"),
        (r#","transcript":"\ude00 I agree N""#, "\u{fffd} I agree N"),
        (r#","transcript":null"#, "I agree N"),
        ("", "I agree N"),
        (r#","transcript":"""#, "I agree N"),
        (r#","transcript":" \n ""#, "I agree N"),
        (r#","transcript":7"#, "I agree N"),
        (r#","transcript":["words"]"#, "I agree N"),
        (r#","transcript":{"text":"words"}"#, "I agree N"),
    ];
    for (n, (last, _)) in finals.iter().enumerate() {
        let last = last.replace('N', &n.to_string());
        let item = call.speech();
        let of =
            |kind: &str, item: &str, rest: &str| format!(r#"{{"type":"{kind}","item_id":"{item}","response_id":"r{n}"{rest}}}"#);
        let delta = format!(r#","delta":"I agree {n} ""#);
        call.send_text(of("conversation.item.input_audio_transcription.delta", &item, &delta));
        call.send_text(of("conversation.item.input_audio_transcription.completed", &item, &last));
        let (reply, answer) = (format!("r{n}"), format!("answer{n}"));
        call.created(&reply, Value::Null);
        call.item(&reply, &answer);
        call.send_text(of("response.output_audio_transcript.delta", &answer, &delta));
        call.send_text(of("response.output_audio_transcript.done", &answer, &last));
        let response = format!(
            r#"{{"type":"response.done","response":{{"id":"r{n}","status":"completed","conversation_id":"conv_1","output":[{{"id":"{answer}","type":"message","role":"assistant","content":[{{"type":"output_audio"{last}}}]}}]}}}}"#
        );
        call.send_text(response);
    }
    call.turn("the last");
    world.until_stored(session, "the last").await;
    let rows = world.entries(session).await;
    for (n, (_, expected)) in finals.iter().enumerate() {
        let expected = expected.replace('N', &n.to_string());
        let of = |item: String| rows.iter().find(|row| row["item_id"] == item).map(|row| (&row["text"], &row["status"]));
        assert_eq!(of(format!("answer{n}")), Some((&json!(expected), &json!("final"))), "the interviewer's, {n}");
        let place = rows.iter().position(|row| row["item_id"] == format!("answer{n}")).expect("it is there");
        assert_eq!(
            (&rows[place - 1]["text"], &rows[place - 1]["status"]),
            (&json!(expected), &json!("final")),
            "the candidate's, {n}"
        );
    }
    room.over(&world).await;
    world.stop().await;
}

/// H-07: a refusal is final, names its number and closes the order over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_will_always_be_refused_holds_up_none_behind_it() {
    let (world, stub) = (World::start().await, VoiceStub::start().await);
    let mut room = world.room(&stub, &[]).await;
    let entry = |text: &str| {
        format!(r#"{{"text":"{text}","speaker":"candidate","timestamp":"2026-11-28T10:00:00Z","id":"{}"}}"#, text.len())
    };
    let update = |seq: u64, entry: &str| format!(r#"{{"type":"transcript_update","seq":{seq},"entries":[{entry}]}}"#);
    // Text is never refused: half a character, NUL, too much of it.
    room.browser.send_text(update(1, &entry(r"Great job \ud83d"))).await;
    room.browser.send_text(update(2, &entry(r"a\u0000b"))).await;
    room.browser.send_text(update(3, &entry(&"x".repeat(17_000)))).await;
    room.browser.acked(3).await;
    let rows = world.entries(room.session()).await;
    let texts: Vec<&str> = rows.iter().skip(1).filter_map(|row| row["text"].as_str()).collect();
    assert_eq!(texts[..2], ["Great job \u{fffd}", "a\u{fffd}b"]);
    assert!(texts[2].len() <= 16 * 1024 && texts[2].ends_with("x […]"), "{}", texts[2].len());

    let refused = [
        update(4, &vec![entry("many"); 101].join(",")),
        update(5, &entry("bad id").replace(r#""id":"6""#, r#""id":"""#)),
        update(6, &entry("nobody").replace("candidate", "nobody")),
        update(7, r#"{"text":"no speaker"}"#),
        update(8, "7"),
        r#"{"type":"transcript_update","seq":9}"#.to_owned(),
        r#"{"type":"transcript_update","seq":10,"entries":"x"}"#.to_owned(),
    ];
    // As a page does that was away: everything that waits, behind what will never be taken.
    for frame in &refused {
        room.browser.send_text(frame.clone()).await;
    }
    for seq in 11..=610 {
        room.browser.say(seq, &[&format!("good {seq}")]).await;
    }
    let mut told = Vec::new();
    for _ in &refused {
        let error = room.browser.expect("error").await;
        assert_eq!((&error["code"], &error["retryable"]), (&json!("message_invalid"), &json!(false)), "{error}");
        told.push(error["seq"].as_u64());
    }
    assert_eq!(told, (4..=10).map(Some).collect::<Vec<_>>(), "each refusal names its number");
    room.browser.acked(610).await;
    for seq in 11..=610 {
        room.browser.say(seq, &[&format!("good {seq}")]).await;
    }
    room.browser.say(611, &["the last"]).await;
    room.browser.acked(611).await;

    // Whatever else is wrong with it, and of any type. Only an update uses its number up.
    let deep = "[".repeat(200) + &"]".repeat(200);
    for (frame, kind, seq) in [
        (r#"{"type":"transcript_update","seq":612,"entries":[NaN]}"#, json!("transcript_update"), 612),
        (r#"{"type":"transcript_update","seq":613.0,"entries":[]}"#, json!("transcript_update"), 613),
        (&format!(r#"{{"type":"transcript_update","entries":{deep},"seq":614}}"#), json!("transcript_update"), 614),
        (r#"{"type":"transcript_update","seq":614,"seq":615,"entries":[]}"#, json!("transcript_update"), 615),
        (r#"{"type":"consent","seq":616}"#, json!("consent"), 616),
        (r#"{"type":"nonsense","seq":616}"#, Value::Null, 616),
    ] {
        room.browser.send_text(frame.to_owned()).await;
        let error = room.browser.expect("error").await;
        let told = (&error["code"], &error["request_type"], &error["seq"]);
        assert_eq!(told, (&json!("message_invalid"), &kind, &json!(seq)), "{frame:.80}: {error}");
    }
    // A time of another type is no reason either.
    let entry = r#"{"text":"a number for a time","speaker":"candidate","timestamp":7,"id":"t"}"#;
    room.browser.send_text(update(616, entry)).await;
    room.browser.acked(616).await;
    assert!(world.entry(room.session(), "a number for a time").await.is_some());
    let rows = world.entries(room.session()).await;
    let texts: Vec<&str> = rows.iter().filter_map(|row| row["text"].as_str()).filter(|text| text.starts_with("good")).collect();
    assert_eq!(texts, (11..=610).map(|seq| format!("good {seq}")).collect::<Vec<_>>());
    room.over(&world).await;
    world.stop().await;
}

/// H-09: what is too long or too large for a column. What the database refuses all the same is in tests/it/storing.rs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_and_numbers_that_no_column_takes_are_cut_to_what_fits_and_marked() {
    let (world, stub) = (World::start().await, VoiceStub::start().await);
    let room = world.room(&stub, &[]).await;
    let (call, session) = (&room.call, room.session());
    for (n, unit) in ["x", "é", "🎤", "\0", "word "].iter().enumerate() {
        let long = unit.repeat(70_000);
        let item = call.speech();
        for _ in 0..2 {
            call.send(json!({"type": "conversation.item.input_audio_transcription.delta", "item_id": item, "delta": long}));
        }
        call.completed(&item, long.clone());
        let answer = call.reply(&long);
        call.turn(&format!("good {n}"));
        world.until_stored(session, &format!("good {n}")).await;
        let rows = world.entries(session).await;
        for item in [&item, &answer] {
            let text = rows.iter().find(|row| row["item_id"] == **item).and_then(|row| row["text"].as_str()).expect("stored");
            assert!(text.ends_with(" […]") && text.len() <= 65_536 && text.len() > 60_000, "{} of {unit:?}", text.len());
        }
    }
    for (n, number) in ["5000000000", "9223372036854775813", "18446744073709551616", "-1", "1.5", "1e300", "null", "\"x\"", "[]"]
        .iter()
        .enumerate()
    {
        let item = call.name("numbered_");
        let of = |kind: &str, rest: &str| {
            call.send_text(format!(r#"{{"type":"{kind}","item_id":"{item}","response_id":"n{n}","audio_start_ms":{number},"audio_end_ms":{number},"content_index":{number}{rest}}}"#));
        };
        of("input_audio_buffer.speech_started", "");
        of("input_audio_buffer.speech_stopped", "");
        of("input_audio_buffer.committed", "");
        of("conversation.item.input_audio_transcription.completed", &format!(r#","transcript":"numbered {n}""#));
        of("conversation.item.truncated", "");
        let usage = format!(r#"{{"total_tokens":{number},"output_token_details":{{"audio_tokens":{number}}}}}"#);
        call.send_text(format!(r#"{{"type":"response.created","response":{{"id":"n{n}","conversation_id":"conv_1"}}}}"#));
        call.send_text(format!(r#"{{"type":"response.done","response":{{"id":"n{n}","status":"completed","conversation_id":"conv_1","output":[{{"id":"said{n}","type":"message","role":"assistant","content":[{{"type":"output_audio","transcript":"answer {n}"}}]}}],"usage":{usage}}}}}"#));
        world.until_stored(session, &format!("numbered {n}")).await;
        world.until_stored(session, &format!("answer {n}")).await;
    }
    assert_eq!(world.set_aside(session).await, [] as [Value; 0]);
    room.over(&world).await;
    world.stop().await;
}
