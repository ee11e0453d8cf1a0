//! Every failure of the runtime carries two facts besides its text: a class and a stable code. The class decides what the
//! code does about the failure. People and dashboards find the failure by its code. Both are set once, where the failure is
//! first seen.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// What may be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultClass {
    /// The same call may succeed later: retry with backoff.
    Transient,
    /// The other side decided against us and will decide so again until an
    /// operator changes something: do not retry, tell a person.
    Rejected,
    /// The browser or the user sent something that cannot be accepted: answer
    /// them, do not retry and do not page anybody.
    Client,
    /// We built something the other side cannot accept: do not retry, fix the code.
    Bug,
}

impl FaultClass {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Rejected => "rejected",
            Self::Client => "client",
            Self::Bug => "bug",
        }
    }

    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Transient)
    }
}

impl fmt::Display for FaultClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Implemented by every error of the crate.
pub trait Fault {
    fn class(&self) -> FaultClass;

    fn code(&self) -> ErrorCode;

    /// How long the other side asked us to wait, if it did.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

macro_rules! error_codes {
    ($( #[doc = $help:literal] $name:ident = $code:literal, )*) => {
        /// The stable name of a failure. A code is never renamed and never reused:
        /// alerts, the browser client and `docs/ERROR_CODES.md` refer to it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $( #[doc = $help] $name, )*
        }

        impl ErrorCode {
            /// All codes, in the order of their declaration.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )* ];

            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $code, )* }
            }

            /// The cause and what to do about it, in one line.
            pub const fn help(self) -> &'static str {
                match self { $( Self::$name => $help, )* }
            }
        }
    };
}

error_codes! {
    // --- OpenAI: the call, its sideband, the summary ---
    /// OpenAI refused our project key (401, 403). Check that the key exists, belongs to the right project and may use Realtime.
    OpenAiUnauthorized = "openai_unauthorized",
    /// OpenAI asked us to slow down. It is retried by itself; if it stays, ask OpenAI for higher limits.
    OpenAiRateLimited = "openai_rate_limited",
    /// The OpenAI account has no credit or hit its billing limit. Retrying is useless: top up the account.
    OpenAiQuotaExhausted = "openai_quota_exhausted",
    /// OpenAI could not use the browser's SDP offer. Look at the browser and network of this candidate; others are not affected.
    OpenAiOfferRefused = "openai_offer_refused",
    /// OpenAI refused what we sent as malformed. A bug or a changed contract: compare the request with the vendor's current reference.
    OpenAiRequestInvalid = "openai_request_invalid",
    /// The configured model does not exist or is not open to this project. Change the model in the configuration.
    OpenAiModelUnavailable = "openai_model_unavailable",
    /// OpenAI could not be reached or answered with a server error. It is retried; check the vendor's status page if it lasts.
    OpenAiUnavailable = "openai_unavailable",
    /// OpenAI did not answer within our deadline. It is retried where a repeat is harmless.
    OpenAiTimedOut = "openai_timed_out",
    /// OpenAI answered with something we cannot read. Compare the stored request id with the vendor's changelog.
    OpenAiAnswerInvalid = "openai_answer_invalid",
    /// A call exists at OpenAI but its SDP answer was lost on the way. The runtime hangs it up; nothing to do unless it repeats.
    OpenAiCallOrphaned = "openai_call_orphaned",
    /// The call has ended at OpenAI. The runtime asks the browser for a new one.
    OpenAiCallGone = "openai_call_gone",
    /// The control connection to OpenAI broke. It is dialled again; transcripts come from the browser meanwhile.
    OpenAiSidebandLost = "openai_sideband_lost",
    /// Nothing arrived on the control connection for too long. It is dialled again.
    OpenAiSidebandSilent = "openai_sideband_silent",
    /// The control connection carries no speech of the candidate. The browser's word is used meanwhile; look at the vendor's status if it repeats.
    SidebandDeaf = "sideband_deaf",
    /// The control connection could not be joined for too long. The browser's word is all there is until the next call.
    ControlChannelGivenUp = "control_channel_given_up",
    /// A command for the AI found no control connection to go out on. Normal for a moment after a loss.
    ControlCommandDropped = "control_command_dropped",
    /// Somebody else acts in the call: its configuration, items or replies are not ours. The candidate's browser can do that. It is set right and noted; at the second time the call is replaced.
    CallTampered = "call_tampered",
    /// A reply of the interviewer failed, was empty or was refused. It is asked for again, then in another call; read the vendor's code beside it.
    ReplyFailed = "reply_failed",
    /// The control connection lives and the interviewer says nothing where it owes an answer. It is asked once, then another call is begun, then the interview ends.
    InterviewerSilent = "interviewer_silent",
    /// The provider refuses the call's configuration, or tells another than asked for. A smaller one is tried, then another call; compare session.update with the vendor's reference.
    CallConfigurationRefused = "call_configuration_refused",
    /// The plan of this interview, or its course so far, cannot be read by this version of the program. The interview is held without it; compare app.plan_versions.document with docs/plan.schema.json, and see app.conduct_events.
    PlanUnreadable = "plan_unreadable",
    /// What the candidate said could not be transcribed. After three turns the fallback model is used (openai.transcription_fallback_model), after three more the interview ends; read the vendor's code beside it.
    TranscriptionFailed = "transcription_failed",
    /// A browser brought more offers than an interview needs. It is told to wait; the call that stands goes on.
    OfferRateExceeded = "offer_rate_exceeded",
    /// OpenAI reported an error event for something we sent during the interview. Read the vendor code beside it.
    OpenAiEventRefused = "openai_event_refused",
    /// The model declined to write the summary. A person has to write it.
    OpenAiSummaryRefused = "openai_summary_refused",
    /// The summary was cut off: with the most room that it is given (32,000 tokens), or by a content filter. A person has to write it.
    OpenAiSummaryIncomplete = "openai_summary_incomplete",
    /// OpenAI failed while it wrote the summary. It is retried by the session and then by the gateway.
    OpenAiSummaryFailed = "openai_summary_failed",
    /// The model's answer is not the summary's JSON. It is asked for again, then kept as failed.
    SummaryInvalid = "summary_invalid",
    /// Nobody could finish the summary: its actor does not stay alive, or processes crashed until `keeper.summary_tries` was used up. Look for `actor_crashed`; a person has to write it.
    SummaryFailed = "summary_failed",
    /// The summary quoted words that nobody said. The quotes were removed; look at the model if it repeats.
    SummaryQuoteUnverified = "summary_quote_unverified",

    // --- Recording ---
    /// api.video refused our key. Check the key and that it belongs to this environment (production or sandbox).
    ApiVideoUnauthorized = "api_video_unauthorized",
    /// The api.video account is suspended. Contact the vendor; interviews continue without a recording.
    ApiVideoAccountSuspended = "api_video_account_suspended",
    /// api.video asked us to slow down. It is retried after the time it named.
    ApiVideoRateLimited = "api_video_rate_limited",
    /// api.video refused what we sent. A bug or a changed contract.
    ApiVideoRequestInvalid = "api_video_request_invalid",
    /// api.video could not be reached or answered with a server error. It is retried; interviews continue.
    ApiVideoUnavailable = "api_video_unavailable",
    /// api.video did not answer within our deadline. It is retried.
    ApiVideoTimedOut = "api_video_timed_out",
    /// api.video answered with something we cannot read. Compare with the vendor's changelog.
    ApiVideoAnswerInvalid = "api_video_answer_invalid",
    /// api.video does not know this video: deleted, expired after seven days without upload, or of another project.
    ApiVideoVideoNotFound = "api_video_video_not_found",
    /// The recording URL a browser sent does not point to this session's video. It was ignored; look for tampering if it repeats.
    RecordingUrlRefused = "recording_url_refused",
    /// A browser reported a recording that is not one of this interview's takes. It was ignored; look for tampering if it repeats.
    RecordingUnknown = "recording_unknown",
    /// An interview has as many takes of its recording as it may. It goes on without a further one.
    RecordingTakesExhausted = "recording_takes_exhausted",
    /// There is no recording for this session, or not yet.
    RecordingNotFound = "recording_not_found",
    /// The recording could not be finished. The transcript and the summary are not affected.
    RecordingFailed = "recording_failed",

    // --- Fly ---
    /// Fly refused our token. Check that the gateway holds a valid deploy token of the session app.
    FlyUnauthorized = "fly_unauthorized",
    /// Fly asked us to slow down (creation is limited to about one per second and app). It is retried.
    FlyRateLimited = "fly_rate_limited",
    /// Fly refused what we sent. A bug or a changed contract.
    FlyRequestInvalid = "fly_request_invalid",
    /// The Fly API could not be reached or answered with a server error. It is retried.
    FlyUnavailable = "fly_unavailable",
    /// The Fly API did not answer within our deadline. It is retried by looking the machine up first.
    FlyTimedOut = "fly_timed_out",
    /// The Fly API answered with something we cannot read.
    FlyAnswerInvalid = "fly_answer_invalid",
    /// Fly does not know this app or machine. Right after a creation this heals; else check the app's name.
    FlyMachineNotFound = "fly_machine_not_found",
    /// Another change of this machine is under way at Fly. It is retried.
    FlyMachineConflicted = "fly_machine_conflicted",
    /// Fly has no room in the asked region. The gateway tries the next region; add regions if all are full.
    FlyCapacityExhausted = "fly_capacity_exhausted",
    /// The Fly organisation reached a limit (machines, billing, a taken name). An operator has to act.
    FlyLimitReached = "fly_limit_reached",

    // --- The private network ---
    /// The private network does not tell where a machine is: it is not started, or gone. It is asked again; check that both apps share one network if it lasts.
    MachineAddressUnknown = "machine_address_unknown",
    /// A machine does not take what the gateway sends it over the private network. The browser comes back, or another machine is taken; look at the machine's log if it repeats.
    MachineUnreachable = "machine_unreachable",
    /// The gateway carries as many WebSockets as it may. Start another gateway, or route by fly_replay.
    CarriedSocketsExhausted = "carried_sockets_exhausted",

    // --- Mail ---
    /// No mail can be sent: `mail.smtp_url` is not set. Set it, or give the links to the candidates yourself.
    MailUnconfigured = "mail_unconfigured",
    /// The mail server could not be reached, or could not take a mail now. It is tried again; check `mail.smtp_url` if it lasts.
    MailUnavailable = "mail_unavailable",
    /// The mail server refuses the recipient for good: the address does not exist. The invite shows it as bounced.
    MailBounced = "mail_bounced",
    /// The mail server refuses us: sign-in, sender or TLS. It is tried again; correct `mail.smtp_url` or `mail.from`.
    MailRefused = "mail_refused",
    /// No mail can be sent to a candidate's address: it is none, or has letters before the `@` that mail servers do not take. Correct it, or give the link yourself.
    MailAddressRefused = "mail_address_refused",
    /// A mail was tried `mail.tries` times and never left. Read the last error beside it; a recruiter may send it again.
    MailGivenUp = "mail_given_up",

    // --- Sign-in ---
    /// The key set of the identity provider could not be fetched and no usable copy is left. Check that `supabase.jwks_url` is reachable.
    JwksUnavailable = "jwks_unavailable",
    /// The request has no access token. The client has to sign in.
    JwtMissing = "jwt_missing",
    /// The access token is not a well-formed signed JWT.
    JwtMalformed = "jwt_malformed",
    /// The access token is longer than any real one.
    JwtOversized = "jwt_oversized",
    /// The access token asks for an algorithm we do not accept (only ES256 and RS256), or not the one of its key.
    JwtAlgorithmRefused = "jwt_algorithm_refused",
    /// The access token names a key that the identity provider does not publish. Normal for a moment after a key rotation.
    JwtKeyUnknown = "jwt_key_unknown",
    /// The signature of the access token is wrong. Look for forgery if it repeats.
    JwtSignatureInvalid = "jwt_signature_invalid",
    /// The access token has expired. The client has to refresh it.
    JwtExpired = "jwt_expired",
    /// The access token is not valid yet. Check the clocks.
    JwtNotYetValid = "jwt_not_yet_valid",
    /// The access token comes from another issuer. Check `supabase.issuer`.
    JwtIssuerRefused = "jwt_issuer_refused",
    /// The access token was made for another audience.
    JwtAudienceRefused = "jwt_audience_refused",
    /// The access token lacks a claim that we need, or has it in another form.
    JwtClaimInvalid = "jwt_claim_invalid",
    /// The access token is not one of a signed-in user (an API key, for example).
    JwtRoleRefused = "jwt_role_refused",
    /// Anonymous users may not take part.
    JwtAnonymousRefused = "jwt_anonymous_refused",
    /// The access token carries no tenant. Check the access token hook of the identity provider.
    JwtTenantMissing = "jwt_tenant_missing",
    /// The access token belongs to another tenant than this gateway. Refused; look for a wrong link.
    JwtTenantRefused = "jwt_tenant_refused",
    /// The signed-in user may not do this.
    PermissionDenied = "permission_denied",

    // --- Joining an interview ---
    /// The WebSocket came without a ticket in time.
    TicketMissing = "ticket_missing",
    /// The ticket is unknown or not well-formed. The client asks for a new one.
    TicketUnknown = "ticket_unknown",
    /// The ticket is too old. The client asks for a new one.
    TicketExpired = "ticket_expired",
    /// The ticket was used before. The client asks for a new one; look for a leak if it repeats.
    TicketConsumed = "ticket_consumed",
    /// The ticket belongs to another session, tenant or origin. Refused; look for tampering.
    TicketRefused = "ticket_refused",
    /// The page was served by an origin that is not allowed. Check `http.allowed_origins`.
    OriginRefused = "origin_refused",
    /// A request claims to be routed by the gateway without its signature. Check that its `routing.public_keys` belong to the gateway's `routing.secret`; else tampering.
    ReplayStateRefused = "replay_state_refused",
    /// The candidate has not given all consents that the tenant requires, or reports a recording without consent to one.
    ConsentRequired = "consent_required",
    /// The consent was given for an older text. The client shows the current one.
    ConsentPolicyOutdated = "consent_policy_outdated",
    /// There is no such session, or not for this user.
    SessionNotFound = "session_not_found",
    /// The session is over. Nothing more can be done in it.
    SessionOver = "session_over",
    /// The invitation ended before the candidate came. Create the interview anew.
    InvitationExpired = "invitation_expired",
    /// The end of an invitation was to be moved although the candidate has begun the interview. There is nothing to extend.
    InvitationTaken = "invitation_taken",
    /// An invitation was to end earlier than it does, or later than any may. See `interview.longest_invitation_s`.
    InvitationEndRefused = "invitation_end_refused",
    /// No invite has this link, or there is no such invite for this user. A link that was cut in a mail program looks like this.
    InviteUnknown = "invite_unknown",
    /// The window of the invite has not begun. The page says when it does.
    InviteTooEarly = "invite_too_early",
    /// The window of the invite has closed before an interview was begun. A recruiter may extend it.
    InviteExpired = "invite_expired",
    /// The invite was revoked. A recruiter may open it again.
    InviteRevoked = "invite_revoked",
    /// The interview of the invite was held. A recruiter may open it again, with a reason.
    InviteSpent = "invite_spent",
    /// Interviews were begun by the invite many times and none could be held. Look at their end reasons; a recruiter may open it again.
    InviteExhausted = "invite_exhausted",
    /// The invite's candidate or position was archived, so no interview is begun. Restore it, or revoke the invite.
    InviteClosed = "invite_closed",
    /// The interview of the invite is over and is being stored. Whether another may be begun is known in a moment; the client asks again.
    InviteStoring = "invite_storing",
    /// The invite cannot be changed like this in its state: an interview runs by it, or it is still open.
    InviteStateRefused = "invite_state_refused",
    /// The window of an invite ends in the past, not later than before, or too far ahead. See `invites.longest_window_d`.
    InviteWindowInvalid = "invite_window_invalid",
    /// The external id stands for an invite of another candidate or position.
    InviteConflicted = "invite_conflicted",
    /// The token that a page got by an invite has expired or is not known. The page gets another by its link.
    InviteTokenRefused = "invite_token_refused",
    /// A newer connection took the place of this one.
    SessionSuperseded = "session_superseded",
    /// The session is still starting. The client tries again.
    SessionNotReady = "session_not_ready",
    /// The settings of the session cannot be used.
    SessionSettingsInvalid = "session_settings_invalid",

    // --- Frames and requests ---
    /// The SDP offer is not usable (no audio, no data channel, not an SDP).
    SdpInvalid = "sdp_invalid",
    /// An offer came while another is being answered. The browser brings its next one when that is done.
    OfferInProgress = "offer_in_progress",
    /// A message of the browser is not valid JSON of a known shape, or breaks a limit. Compare client and runtime versions.
    MessageInvalid = "message_invalid",
    /// A candidate typed an answer before the first call of the interview. The page sends it again.
    TypedBeforeCall = "typed_before_call",
    /// Typed answers come faster than anybody writes. The page sends them again later.
    TypedRateExceeded = "typed_rate_exceeded",
    /// An interview has as many typed answers as one may have. The candidate can speak.
    TypedAnswersExhausted = "typed_answers_exhausted",
    /// An interview had as many calls as one may have. It goes on in the call it has, or ends.
    CallsExhausted = "calls_exhausted",
    /// A frame is larger than the limit.
    FrameOversized = "frame_oversized",
    /// Frames arrive faster than the limit.
    FrameRateExceeded = "frame_rate_exceeded",
    /// A binary frame arrived; the protocol has only text.
    FrameBinaryRefused = "frame_binary_refused",
    /// The HTTP request cannot be understood.
    RequestInvalid = "request_invalid",
    /// The HTTP request is larger than the limit.
    RequestOversized = "request_oversized",
    /// Requests arrive faster than the limit.
    RequestRateExceeded = "request_rate_exceeded",
    /// A request's body did not arrive in time.
    RequestTimedOut = "request_timed_out",
    /// A person has as many live streams open as one may have. Close one; the browser tries again by itself.
    StreamsExhausted = "streams_exhausted",
    /// Tickets are asked for, or shown, faster than any page needs. The client waits; look for an attack if it repeats.
    TicketRateExceeded = "ticket_rate_exceeded",
    /// The candidate has an interview for this position open already. It is the one to join.
    SessionAlreadyOpen = "session_already_open",
    /// A person has asked for as many interviews as one may have open, or ask for in a day. See `limits.candidate_open_sessions` and its neighbours.
    SessionQuotaExhausted = "session_quota_exhausted",
    /// The tenant has as many interviews open as it may have. See `limits.tenant_open_sessions`.
    TenantSessionsExhausted = "tenant_sessions_exhausted",
    /// Somebody else than the candidate asked to sit in an interview. Recruiters watch by the event stream.
    SeatRefused = "seat_refused",
    /// The Idempotency-Key was used before with another request.
    IdempotencyConflicted = "idempotency_conflicted",
    /// There is nothing at this address.
    RouteNotFound = "route_not_found",
    /// The position does not exist, or not for this tenant.
    PositionNotFound = "position_not_found",
    /// The candidate does not exist, or not for this tenant.
    CandidateNotFound = "candidate_not_found",
    /// The competency does not exist in the library, or not for this tenant.
    CompetencyNotFound = "competency_not_found",
    /// Fields of the request cannot be taken. The problem's `errors` name each field and what is wrong with it.
    FieldsInvalid = "fields_invalid",
    /// It was changed by somebody else since it was read (If-Match). The client reads it again and shows both.
    VersionConflicted = "version_conflicted",
    /// A change names no version (If-Match), so it could undo somebody else's. The client sends the ETag that it read.
    VersionRequired = "version_required",
    /// It is archived, or was merged into another one. Restore it first.
    ResourceArchived = "resource_archived",
    /// Another candidate has this external id. Change one of them, or merge them.
    ExternalIdTaken = "external_id_taken",
    /// The library has a competency of this name already. Use that one, or choose another name.
    CompetencyNameTaken = "competency_name_taken",
    /// Two candidates cannot be merged: they are the same one, the one to be archived has an interview that is not over, or together they have too many tags.
    MergeRefused = "merge_refused",
    /// A file to import cannot be read as a whole: its encoding, its columns, a quotation mark that none ends, or too many rows. The detail says which.
    ImportInvalid = "import_invalid",

    // --- Plans ---
    /// The plan does not exist, or not for this tenant.
    PlanNotFound = "plan_not_found",
    /// The plan has no such version, or none yet. Publish it first.
    PlanVersionNotFound = "plan_version_not_found",
    /// What was sent is not a plan, or breaks a limit. The detail names the place; docs/plan.schema.json says what a plan is.
    PlanInvalid = "plan_invalid",
    /// The linter found errors in the draft, so that no version was made. The findings say what to do.
    PlanNotPublishable = "plan_not_publishable",
    /// A position uses the plan, so that it cannot be archived. Give the position another one first.
    PlanInUse = "plan_in_use",
    /// The position's plan has no words in the language that was asked for. Ask for one of `languages` (in the answer), or publish a version that has it.
    PlanLanguageMissing = "plan_language_missing",
    /// There are as many plans as a tenant may have. Archive those that nobody uses.
    PlansExhausted = "plans_exhausted",

    // --- Storage ---
    /// Transcript entries cannot be written to PostgreSQL. They are kept and written later; check the database.
    TranscriptStoreUnavailable = "transcript_store_unavailable",
    /// PostgreSQL refused a transcript entry as invalid. A bug: the entry is kept in the log by its number.
    TranscriptStoreRefused = "transcript_store_refused",
    /// A record that the database never takes was set aside so that the others can be stored. A bug; the record is in the table app.dead_letters.
    TranscriptRecordSetAside = "transcript_record_set_aside",
    /// A record could be stored nowhere, not even aside, and the others went on without it. A bug; the log has its kind, number and PostgreSQL's code.
    TranscriptRecordLost = "transcript_record_lost",
    /// More waits for the database than we may hold, so the browser is not listened to until there is room. Nothing is dropped; check the database.
    OutboxFull = "outbox_full",
    /// A browser used the number of a transcript update again for other words. The first words stay; compare the client's outbox.
    SeqConflict = "seq_conflict",
    /// A browser is too far ahead of an update that never came. It is told which one is missing.
    SeqGap = "seq_gap",
    /// A browser told more than is said in any interview. Nothing more of it is taken.
    TranscriptFull = "transcript_full",
    /// PostgreSQL could not be reached. It is retried; check the database and its connection limit.
    DatabaseUnavailable = "database_unavailable",
    /// PostgreSQL refused a statement. A bug or a migration that has not run.
    DatabaseRefused = "database_refused",
    /// A migration failed. Read the statement named in the log; nothing was half applied.
    MigrationFailed = "migration_failed",

    // --- The gateway's reconcilers ---
    /// A session's machine is lost: gone, failed, out of reach or silent. The next attempt's machine is being made; look at Fly's status if it repeats.
    MachineLost = "machine_lost",
    /// A session had no machine, as its request was cut off. It gets one now.
    MachineMissing = "machine_missing",
    /// No machine could be had for a session. It is tried again with the next passes, until the session's deadline.
    MachineUnavailable = "machine_unavailable",
    /// A session lost as many machines as it may. It failed; what was stored stays. Look for the cause in its process's lines.
    SessionGivenUp = "session_given_up",
    /// A session ran past its deadline. It was asked to end, or ended without its process.
    SessionOverdue = "session_overdue",
    /// A machine that no session needs was destroyed. Normal after a loss; look for its cause if it repeats.
    MachineOrphaned = "machine_orphaned",
    /// A reconciler could not finish a session now. It is tried again with the next passes.
    SessionUnfinished = "session_unfinished",
    /// What is stored of a session cannot be read, so nobody can finish it. It failed; read the cause and mend the row.
    SessionUnreadable = "session_unreadable",
    /// The work of a reconciler's pass failed. Its next pass tries again; the error beside it names the cause.
    KeeperPassFailed = "keeper_pass_failed",
    /// A reconciler's pass panicked. The next one starts afresh; read the panic before this line.
    KeeperPassCrashed = "keeper_pass_crashed",
    /// A reconciler's pass took too long and was cut. What it held is free again when its leases end.
    KeeperPassTimedOut = "keeper_pass_timed_out",
    /// A recording did not become playable within the looks it is given. Look at the provider's page of the video.
    RecordingAbandoned = "recording_abandoned",
    /// A webhook came without a valid signature. Refused; check `api_video.webhook_secret`, else look for forgery.
    WebhookRefused = "webhook_refused",

    // --- The operator's commands ---
    /// What was asked for a tenant cannot be done as it is asked. Nothing was changed; the line says what to do.
    TenantRefused = "tenant_refused",
    /// A tenant's new gateway did not become healthy. Read its log; an upgrade went back by itself.
    TenantGatewayUnhealthy = "tenant_gateway_unhealthy",
    /// What was done for a tenant does not show in what Fly tells. Run the command again in a minute.
    TenantUnsettled = "tenant_unsettled",

    // --- Standby machines ---
    /// A ready machine did not take its session. It is destroyed, and the session gets a machine of its own; read the cause beside it if it repeats.
    StandbyUnassigned = "standby_unassigned",
    /// A machine of a pool could not be made now. It is tried again; sessions get machines of their own meanwhile.
    StandbyUnmade = "standby_unmade",
    /// A waiting machine is gone or does not answer. It is destroyed and replaced; look for its cause if it repeats.
    StandbyLost = "standby_lost",
    /// A waiting machine was sent an assignment that is not from our gateway, too old, or not its first. Look for forgery; check that its `routing.public_keys` belong to the gateway's `routing.secret`.
    AssignmentRefused = "assignment_refused",

    // --- The process itself ---
    /// A configuration value is missing or not usable. The log names the key.
    ConfigInvalid = "config_invalid",
    /// An actor panicked or returned an error. Its supervisor restarts it; read the error before this line.
    ActorCrashed = "actor_crashed",
    /// An actor could not be started. The error beside it names the reason.
    ActorStartFailed = "actor_start_failed",
    /// An actor failed too often in too short a time, so its supervisor gave up on it.
    ActorExhausted = "actor_exhausted",
    /// A child that the interview cannot go on without is exhausted. The process exits and its machine restarts it.
    TreeFailed = "tree_failed",
    /// The root of the tree panicked. The process exits and its machine restarts it; read the panic before this line.
    TreeCrashed = "tree_crashed",
    /// The event loop stood still, so nothing was answered. The process ended itself and its machine restarts it; look for a blocking call.
    EventLoopStalled = "event_loop_stalled",
    /// The HTTP listener ended by itself. The process exits and is restarted; check the port and the file descriptor limit.
    HttpServerFailed = "http_server_failed",
    /// The last write before the exit did not finish in time. What is missing comes from the browser or the next process.
    LastFlushTimedOut = "last_flush_timed_out",
    /// An actor did not answer or stop within its deadline.
    ActorUnresponsive = "actor_unresponsive",
    /// The process is stopping and takes nothing new.
    ServiceDraining = "service_draining",
    /// Too many connections or sessions for this process.
    ServiceSaturated = "service_saturated",
    /// Something happened that the code holds for impossible. A bug.
    InternalFailure = "internal_failure",
    /// An event for the browser could not be written as JSON. A bug.
    EventUnserializable = "event_unserializable",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The error and all its causes, for one log line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_snake_case_and_explained() {
        let mut seen = HashSet::new();
        for code in ErrorCode::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} is used twice");
            assert!(text.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{text} is not snake_case");
            assert!(code.help().trim().ends_with('.'), "{text} has no help");
        }
    }

    #[test]
    fn code_serializes_as_its_stable_name() {
        let json = serde_json::to_string(&ErrorCode::ConsentRequired).expect("a string");
        assert_eq!(json, r#""consent_required""#);
    }
}
