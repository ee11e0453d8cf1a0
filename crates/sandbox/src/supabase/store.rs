//! Users, sessions, one-time codes and mails of the auth stand-in.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use uuid::Uuid;

use super::{Mail, User};
use crate::util::{now, random_bytes, random_hex};

const MAX_USERS: usize = 10_000;
const MAX_SESSIONS: usize = 20_000;
const MAX_MAILS: usize = 200;
const CODE_LIFE: Duration = Duration::from_hours(1);
/// Within this time a used refresh token works once more (a lost answer, two tabs).
const REUSE_INTERVAL: Duration = Duration::from_secs(10);

struct Session {
    user: Uuid,
    method: String,
    /// The valid token, and the one before it with the time of its use.
    token: String,
    previous: Option<(String, Instant)>,
}

/// How the browser proves that it is the one that asked for the mail.
#[derive(Clone, Debug)]
pub(super) struct Challenge {
    pub(super) value: String,
    pub(super) s256: bool,
}

struct OneTime {
    user: Uuid,
    code: String,
    hash: String,
    challenge: Option<Challenge>,
    made: Instant,
}

struct AuthCode {
    user: Uuid,
    challenge: Challenge,
    made: Instant,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum RefreshError {
    Unknown,
    AlreadyUsed,
}

pub(super) struct Grant {
    pub(super) user: User,
    pub(super) session: Uuid,
    pub(super) refresh_token: String,
    pub(super) method: String,
}

pub(super) struct Store {
    users: Vec<User>,
    sessions: HashMap<Uuid, Session>,
    order: VecDeque<Uuid>,
    one_time: VecDeque<OneTime>,
    auth_codes: HashMap<String, AuthCode>,
    mail: VecDeque<Mail>,
}

impl Store {
    pub(super) fn new(users: Vec<User>) -> Self {
        Self {
            users,
            sessions: HashMap::new(),
            order: VecDeque::new(),
            one_time: VecDeque::new(),
            auth_codes: HashMap::new(),
            mail: VecDeque::new(),
        }
    }

    pub(super) fn users(&self) -> &[User] {
        &self.users
    }

    pub(super) fn by_email(&self, email: &str) -> Option<&User> {
        self.users.iter().find(|user| user.email.eq_ignore_ascii_case(email.trim()))
    }

    pub(super) fn by_id(&self, id: Uuid) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// A stranger who asks for a code becomes a user without any tenant.
    pub(super) fn sign_up(&mut self, email: &str) -> Option<User> {
        if self.users.len() >= MAX_USERS {
            return None;
        }
        let user = User {
            id: Uuid::new_v4(),
            email: email.trim().to_lowercase(),
            password: None,
            name: String::new(),
            app_metadata: json!({}),
        };
        self.users.push(user.clone());
        Some(user)
    }

    pub(super) fn open_session(&mut self, user: &User, method: &str) -> Grant {
        while self.order.len() >= MAX_SESSIONS {
            if let Some(oldest) = self.order.pop_front() {
                self.sessions.remove(&oldest);
            }
        }
        let (id, token) = (Uuid::new_v4(), super::tokens::refresh_token());
        self.order.push_back(id);
        self.sessions.insert(id, Session { user: user.id, method: method.to_owned(), token: token.clone(), previous: None });
        Grant { user: user.clone(), session: id, refresh_token: token, method: method.to_owned() }
    }

    /// Rotation with GoTrue's rule: an old token used again ends the whole session.
    pub(super) fn refresh(&mut self, token: &str) -> Result<Grant, RefreshError> {
        let held = |session: &Session| session.token == token || session.previous.as_ref().is_some_and(|(old, _)| old == token);
        let (id, session) = self.sessions.iter_mut().find(|(_, session)| held(session)).ok_or(RefreshError::Unknown)?;
        let id = *id;
        if session.token == token {
            let fresh = super::tokens::refresh_token();
            session.previous = Some((std::mem::replace(&mut session.token, fresh), Instant::now()));
        } else if session.previous.as_ref().is_some_and(|(_, at)| at.elapsed() > REUSE_INTERVAL) {
            self.sessions.remove(&id);
            return Err(RefreshError::AlreadyUsed);
        }
        let (user, refresh_token, method) = (session.user, session.token.clone(), session.method.clone());
        let user = self.by_id(user).cloned().ok_or(RefreshError::Unknown)?;
        Ok(Grant { user, session: id, refresh_token, method })
    }

    pub(super) fn has_session(&self, id: Uuid) -> bool {
        self.sessions.contains_key(&id)
    }

    /// `scope` as in GoTrue: `global` (default), `local`, `others`.
    pub(super) fn log_out(&mut self, user: Uuid, session: Uuid, scope: &str) {
        self.sessions.retain(|id, kept| {
            let this = *id == session;
            let ends = match scope {
                "local" => this,
                "others" => kept.user == user && !this,
                _ => kept.user == user,
            };
            !ends
        });
    }

    /// Writes the mail with a one-time code for `user`.
    pub(super) fn send_code(&mut self, user: &User, issuer: &str, redirect_to: &str, challenge: Option<Challenge>) {
        let number = u32::from_be_bytes(random_bytes::<4>()) % 1_000_000;
        let (code, hash) = (format!("{number:06}"), random_hex::<28>());
        let link: String = url::Url::parse_with_params(
            &format!("{issuer}/verify"),
            [("token", hash.as_str()), ("type", "magiclink"), ("redirect_to", redirect_to)],
        )
        .map(Into::into)
        .unwrap_or_default();
        // A new mail makes the earlier codes of this user invalid.
        self.one_time.retain(|entry| entry.user != user.id && entry.made.elapsed() < CODE_LIFE);
        self.one_time.push_back(OneTime { user: user.id, code: code.clone(), hash, challenge, made: Instant::now() });
        while self.mail.len() >= MAX_MAILS {
            self.mail.pop_front();
        }
        self.mail.push_back(Mail { at: now(), to: user.email.clone(), subject: "Your sign-in code".into(), code, link });
    }

    /// Uses a code up. `email` is needed for the six digits, not for a link's hash.
    pub(super) fn redeem(&mut self, email: Option<&str>, secret: &str) -> Option<(User, Option<Challenge>)> {
        let user = email.and_then(|email| self.by_email(email)).map(|user| user.id);
        let index = self.one_time.iter().position(|entry| {
            let by_code = user == Some(entry.user) && entry.code == secret;
            (by_code || entry.hash == secret) && entry.made.elapsed() < CODE_LIFE
        })?;
        let entry = self.one_time.remove(index)?;
        Some((self.by_id(entry.user)?.clone(), entry.challenge))
    }

    pub(super) fn auth_code(&mut self, user: &User, challenge: Challenge) -> String {
        self.auth_codes.retain(|_, code| code.made.elapsed() < Duration::from_mins(5));
        let code = Uuid::new_v4().to_string();
        self.auth_codes.insert(code.clone(), AuthCode { user: user.id, challenge, made: Instant::now() });
        code
    }

    /// Exchanges a PKCE code; the verifier must fit the challenge.
    pub(super) fn exchange(&mut self, code: &str, verifier: &str) -> Option<User> {
        let found = self.auth_codes.remove(code)?;
        let shown = if found.challenge.s256 {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
            BASE64URL_NOPAD.encode(digest.as_ref())
        } else {
            verifier.to_owned()
        };
        (shown == found.challenge.value).then(|| self.by_id(found.user).cloned())?
    }

    pub(super) fn mail(&self) -> Vec<Mail> {
        self.mail.iter().cloned().collect()
    }
}
