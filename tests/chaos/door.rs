//! What an attacker gains who requests ten times as much as a limit allows, and what another user notices of it. Paired rounds:
//! the other user's median before and during the attack (docs/LIMITS.md).

use crate::Options;
use crate::support::browser::Browser;
use crate::support::system::System;
use futures_util::StreamExt;
use futures_util::stream;
use interview_sandbox::{GATEWAY_APP, SESSION_APP};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
const AMARA: &str = "ca000000-0000-4000-8000-000000000011";
const NEIGHBOUR: &str = "203.0.113.1";
/// Of the neighbour, each time.
const LOOKS: usize = 15;
/// Requests of the attacker at once.
const AT_ONCE: usize = 64;
const ROUNDS: u32 = 9;

/// As the product has them: the tests' own system lifts some.
const KEYS: [(&str, &str); 5] = [
    ("LIMITS__ADDRESS_REQUESTS_BURST", "1000"),
    ("LIMITS__PERSON_REQUESTS_BURST", "200"),
    ("LIMITS__TICKETS_BURST", "30"),
    // A tenth of the product's, so that ten times as many fit into one test.
    ("LIMITS__GATEWAY_CONNECTIONS", "200"),
    ("DATABASE__MAX_CONNECTIONS", "10"),
];

#[derive(Clone, Copy, Debug)]
enum Attack {
    Address,
    Person,
    Tickets,
    Lookups,
    Streams,
    Sessions,
    Sockets,
    Ticketless,
    JunkTickets,
}

const ATTACKS: [Attack; 9] = [
    Attack::Ticketless,
    Attack::JunkTickets,
    Attack::Address,
    Attack::Person,
    Attack::Tickets,
    Attack::Lookups,
    Attack::Streams,
    Attack::Sessions,
    Attack::Sockets,
];

struct Scene {
    system: System,
    http: Client,
    /// The neighbour's own connections.
    quiet: Client,
    door: SocketAddr,
    machine: SocketAddr,
    session: String,
    amara: String,
    neighbour: String,
}

impl Scene {
    async fn open() -> Self {
        let system = System::start_with(&KEYS).await;
        let recruiter = system.sign_in("recruiter@demo.test").await;
        let order = json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": {}});
        let (status, made) = system.post(&recruiter, "/api/sessions", &order).await;
        assert_eq!(status, 201, "{made}");
        let session = made["session_id"].as_str().expect("an id").to_owned();
        let limit = Instant::now() + Duration::from_mins(1);
        while system.phase(&recruiter, &session).await != "ready" {
            assert!(Instant::now() < limit, "the session's process is not ready");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let address = |app: &str| system.sandbox.fly().machines(app)[0].status().address.expect("it listens");
        let (door, machine) = (address(GATEWAY_APP), address(SESSION_APP));
        let (amara, neighbour) = (system.amara().await, system.sign_in("mei@demo.test").await);
        let client = || Client::builder().timeout(Duration::from_secs(30)).build().expect("a client");
        let (http, quiet) = (client(), client());
        Self { system, http, quiet, door, machine, session, amara, neighbour }
    }

    /// A recruiter whom nobody has seen yet.
    fn somebody(&self) -> String {
        let supabase = self.system.sandbox.supabase();
        let mut options = supabase.options_for(&supabase.user("recruiter@demo.test").expect("a user"));
        options.subject = Uuid::new_v4().to_string();
        supabase.mint(options)
    }

    async fn ask(&self, http: &Client, method: Method, path: &str, token: &str, from: &str) -> u16 {
        let request = http.request(method, format!("http://{}{path}", self.door)).header("fly-client-ip", from);
        status(if token.is_empty() { request } else { request.bearer_auth(token) }).await
    }

    async fn look_up(&self, from: &str) -> u16 {
        let url = format!("http://{}/ws/{}", self.door, Uuid::new_v4());
        let request =
            self.http.get(url).header("fly-client-ip", from).header("connection", "Upgrade").header("upgrade", "websocket");
        status(request).await
    }

    async fn create(&self) -> u16 {
        let order = json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": {}});
        let request = self.http.post(format!("http://{}/api/sessions", self.door)).bearer_auth(&self.amara).json(&order);
        status(request).await
    }

    async fn handshake(&self, ticket: &str, from: &str) -> (u16, Option<Browser>) {
        let (url, origin) = (format!("ws://{}/ws/{}", self.machine, self.session), self.system.sandbox.urls().front.clone());
        match Browser::connect_with(&url, ticket, &origin, &[("fly-client-ip", from)]).await {
            Ok(browser) => (101, Some(browser)),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => (answer.status().as_u16(), None),
            Err(_) => (0, None),
        }
    }

    /// The candidate's own socket, and the number of the last words said over it. Without a heartbeat it is held for
    /// dead after a while, so each attack finds a new one.
    async fn sit(&self) -> (Browser, u64) {
        let limit = Instant::now() + Duration::from_mins(1);
        let info = loop {
            let (status, info) =
                self.system.post(&self.amara, &format!("/api/sessions/{}/ticket", self.session), &json!({})).await;
            if status == 200 {
                break info;
            }
            assert!(Instant::now() < limit, "no ticket: {info}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let text = |name: &str| info[name].as_str().unwrap_or_default().to_owned();
        let origin = self.system.sandbox.urls().front.clone();
        let mut seat = Browser::connect_from(&text("websocket_url"), &text("websocket_ticket"), &origin).await.expect("joins");
        let ready: Value = seat.expect("session_ready").await;
        (seat, ready["acked_seq"].as_u64().unwrap_or(0))
    }

    /// Ten times the bound, by an attacker who is new in each round; what each request was answered.
    async fn attack(&self, attack: Attack, round: u32) -> BTreeMap<u16, u32> {
        let (from, somebody) = (format!("198.51.{}.{round}", attack as u8), self.somebody());
        let (from, somebody) = (from.as_str(), somebody.as_str());
        let ticket = format!("/api/sessions/{}/ticket", self.session);
        let events = format!("/api/sessions/{}/events", self.session);
        let many = |times: usize| stream::iter(0..times);
        let statuses: Vec<u16> = match attack {
            Attack::Address => {
                many(10_000)
                    .map(|_| self.ask(&self.http, Method::GET, "/api/config", "", from))
                    .buffer_unordered(AT_ONCE)
                    .collect()
                    .await
            }
            Attack::Person => {
                let asked = |n: usize| async move {
                    self.ask(&self.http, Method::GET, "/api/me", somebody, &format!("198.18.{round}.{}", n % 250)).await
                };
                many(2_000).map(asked).buffer_unordered(AT_ONCE).collect().await
            }
            Attack::Tickets => {
                many(300)
                    .map(|_| self.ask(&self.http, Method::POST, &ticket, &self.amara, from))
                    .buffer_unordered(AT_ONCE)
                    .collect()
                    .await
            }
            Attack::Lookups => many(1_200).map(|_| self.look_up(from)).buffer_unordered(AT_ONCE).collect().await,
            Attack::Sessions => many(30).map(|_| self.create()).buffer_unordered(AT_ONCE).collect().await,
            Attack::Streams => {
                let url = format!("http://{}{events}", self.door);
                let open = |_| self.http.get(&url).bearer_auth(somebody).header("fly-client-ip", from).send();
                let opened: Vec<_> = many(60).map(open).buffer_unordered(AT_ONCE).collect().await;
                tokio::time::sleep(Duration::from_secs(2)).await;
                opened.into_iter().map(|answer| answer.map_or(0, |answer| answer.status().as_u16())).collect()
            }
            Attack::Sockets => {
                // Silent ones, and a head that never ends.
                let opened: Vec<_> = many(2_000).map(|_| TcpStream::connect(self.door)).buffer_unordered(AT_ONCE).collect().await;
                tokio::time::sleep(Duration::from_secs(2)).await;
                opened.iter().map(|stream| if stream.is_ok() { 1 } else { 0 }).collect()
            }
            Attack::Ticketless => {
                let knock = |n: usize| async move { self.handshake("", &format!("198.18.{round}.{}", n / 10)).await };
                let opened: Vec<_> = many(160).map(knock).buffer_unordered(AT_ONCE).collect().await;
                tokio::time::sleep(Duration::from_secs(2)).await;
                opened.iter().map(|(status, _)| *status).collect()
            }
            Attack::JunkTickets => {
                let show = |n: usize| async move {
                    let (status, browser) = self.handshake(&format!("junk-{round}-{n}"), from).await;
                    match browser {
                        Some(mut browser) => timeout(Duration::from_secs(20), browser.closed()).await.unwrap_or(0),
                        None => status,
                    }
                };
                many(200).map(show).buffer_unordered(AT_ONCE).collect().await
            }
        };
        let mut counted = BTreeMap::new();
        for status in statuses {
            *counted.entry(status).or_default() += 1;
        }
        counted
    }

    /// The median of the neighbour's looks: at the door, or, of attacks on a session's machine, of its candidate's words.
    async fn neighbour(&self, seat: &mut Browser, seq: &mut u64, attack: Attack) -> Duration {
        let mut all = Vec::new();
        for _ in 0..LOOKS {
            let begun = Instant::now();
            if matches!(attack, Attack::Ticketless | Attack::JunkTickets) {
                *seq += 1;
                seat.say(*seq, &["a word"]).await;
                while seat.expect("transcript_ack").await["seq"] != json!(*seq) {}
            } else {
                let status = self.ask(&self.quiet, Method::GET, "/api/me", &self.neighbour, NEIGHBOUR).await;
                assert_eq!(status, 200, "the neighbour was turned away during {attack:?}");
            }
            all.push(begun.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        all.sort_unstable();
        all[all.len() / 2]
    }
}

/// Read to its end, so that the connection is used again; 0: there was no answer.
async fn status(request: RequestBuilder) -> u16 {
    let Ok(answer) = request.send().await else { return 0 };
    let status = answer.status().as_u16();
    let _ = answer.bytes().await;
    status
}

pub async fn profiles(options: &Options) {
    let (scene, rounds) = (Scene::open().await, options.times.clamp(ROUNDS, 100));
    println!("door: {rounds} paired rounds of each, {LOOKS} looks of a neighbour in each half");
    for attack in ATTACKS {
        let (mut seat, mut seq) = scene.sit().await;
        let (mut before, mut during, mut got) = (Vec::new(), Vec::new(), BTreeMap::<u16, u32>::new());
        for round in 0..rounds {
            before.push(scene.neighbour(&mut seat, &mut seq, attack).await);
            let looks = scene.neighbour(&mut seat, &mut seq, attack);
            let (answered, median) = tokio::join!(scene.attack(attack, round), looks);
            during.push(median);
            for (status, times) in answered {
                *got.entry(status).or_default() += times;
            }
        }
        let middle = |all: &mut Vec<Duration>| {
            all.sort_unstable();
            all[all.len() / 2].as_secs_f64() * 1e3
        };
        let (before, during) = (middle(&mut before), middle(&mut during));
        let got: Vec<String> = got.into_iter().map(|(status, times)| format!("{} × {status}", times / rounds)).collect();
        println!("  {attack:?}: a round got {}; neighbour {before:.1} ms before, {during:.1} ms during", got.join(", "));
    }
    scene.system.stop().await;
}
