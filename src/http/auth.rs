//! Authentication: the bearer of a Supabase access token of this tenant, or of a token that was given out by an invite.

use super::limits::GatewayLimits;
use super::problem::ApiError;
use crate::error::ErrorCode;
use crate::ids::{TenantId, TicketHash, UserId};
use crate::integrations::Redacted;
use crate::integrations::store::Scope;
use crate::integrations::store::gateway::invites::Invited;
use crate::integrations::store::gateway::{Actor, GatewayStore};
use crate::integrations::supabase::{Claims, JwksVerifier};
use axum::extract::{FromRef, FromRequestParts};
use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use time::OffsetDateTime;

/// What it takes to know who asks.
#[derive(Clone, Debug)]
pub struct Authority {
    pub verifier: Arc<JwksVerifier>,
    pub tenant: TenantId,
    /// Knows the tokens of those who came by an invite.
    pub store: GatewayStore,
}

/// Begins every token that we give out by an invite: no JWT looks like it.
pub const INVITE_TOKEN: &str = "invite_";

/// What a person may do in their tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Also the owner.
    Recruiter,
    Candidate,
}

/// A signed-in person of this tenant.
#[derive(Clone, Debug)]
pub struct Person {
    pub user: UserId,
    pub email: Option<Redacted>,
    pub role: Role,
    pub tenant: TenantId,
    pub expires_at: OffsetDateTime,
    /// Has no account, and came by an invite. Then `user` is the candidate's id.
    pub invited: Option<Invited>,
    tenant_role: String,
}

impl Person {
    fn new(claims: Claims, tenant: TenantId) -> Result<Self, ApiError> {
        if claims.tenant_id != tenant.0 {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                ErrorCode::JwtTenantRefused,
                "your account belongs to another company than this address",
            ));
        }
        let tenant_role = claims.tenant_role.unwrap_or_default();
        let role = match tenant_role.as_str() {
            "owner" | "recruiter" => Role::Recruiter,
            "candidate" => Role::Candidate,
            _ => return Err(ApiError::forbidden("your account has no role in this company")),
        };
        let expires_at = i64::try_from(claims.exp).ok().and_then(|exp| OffsetDateTime::from_unix_timestamp(exp).ok());
        Ok(Self {
            user: UserId(claims.sub),
            email: claims.email,
            role,
            tenant,
            expires_at: expires_at
                .ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, ErrorCode::JwtClaimInvalid, "exp is no time"))?,
            invited: None,
            tenant_role,
        })
    }

    fn by_invite(invited: Invited, tenant: TenantId) -> Self {
        Self {
            user: UserId(invited.candidate.0),
            email: None,
            role: Role::Candidate,
            tenant,
            expires_at: invited.expires_at,
            invited: Some(invited),
            tenant_role: "candidate".to_owned(),
        }
    }

    /// The claims row level security decides by; nothing else of the token reaches the database.
    pub fn scope(&self) -> Scope {
        let mut app_metadata = json!({"tenant_id": self.tenant, "tenant_role": self.tenant_role});
        if let Some(invited) = self.invited {
            app_metadata["invited_session_id"] = json!(invited.session);
            app_metadata["invited_candidate_id"] = json!(invited.candidate);
        }
        Scope::Person { claims: json!({"sub": self.user, "role": "authenticated", "app_metadata": app_metadata}) }
    }

    /// As the audit names them.
    pub fn actor(&self) -> Actor {
        Actor { user: self.user, role: self.tenant_role.clone() }
    }

    pub fn is_recruiter(&self) -> bool {
        self.role == Role::Recruiter
    }

    pub fn require_recruiter(&self) -> Result<(), ApiError> {
        if self.is_recruiter() { Ok(()) } else { Err(ApiError::forbidden("only recruiters may do this")) }
    }
}

/// The token that a request came with.
pub fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let missing = || ApiError::new(StatusCode::UNAUTHORIZED, ErrorCode::JwtMissing, "sign in first");
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
    let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(missing()) }
}

impl<S> FromRequestParts<S> for Person
where
    S: Send + Sync,
    Authority: FromRef<S>,
    GatewayLimits: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let authority = Authority::from_ref(state);
        let claims = authority.verifier.verify(bearer(&parts.headers)?).await?;
        let person = Self::new(claims, authority.tenant)?;
        GatewayLimits::from_ref(state).request_of_person(person.user)?;
        Ok(person)
    }
}

/// Who may take part in an interview: a signed-in person, or a candidate who came by an invite. Only the few routes that a
/// room needs take this; all others take a [`Person`], whom no invite makes.
#[derive(Clone, Debug)]
pub struct Participant(pub Person);

impl<S> FromRequestParts<S> for Participant
where
    S: Send + Sync,
    Authority: FromRef<S>,
    GatewayLimits: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if !bearer(&parts.headers)?.starts_with(INVITE_TOKEN) {
            return Person::from_request_parts(parts, state).await.map(Self);
        }
        let authority = Authority::from_ref(state);
        let invited = authority.store.invited(TicketHash::of(bearer(&parts.headers)?)).await?;
        let person = Person::by_invite(invited.ok_or_else(invite_token_refused)?, authority.tenant);
        GatewayLimits::from_ref(state).request_of_person(person.user)?;
        Ok(Self(person))
    }
}

pub fn invite_token_refused() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, ErrorCode::InviteTokenRefused, "open the link of your invite again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn claims(tenant: Uuid, role: Option<&str>) -> Claims {
        Claims {
            sub: Uuid::now_v7(),
            email: None,
            tenant_id: tenant,
            tenant_role: role.map(str::to_owned),
            role: "authenticated".to_owned(),
            exp: 2_000_000_000,
            iat: None,
            session_id: None,
            assurance: None,
            json: Redacted::default(),
        }
    }

    #[test]
    fn only_this_tenants_people_with_a_role_are_let_in() {
        let tenant = Uuid::now_v7();
        let person = |claims| Person::new(claims, TenantId(tenant));
        assert!(person(claims(tenant, Some("owner"))).expect("an owner").is_recruiter());
        assert!(!person(claims(tenant, Some("candidate"))).expect("a candidate").is_recruiter());
        for (claims, code) in [
            (claims(Uuid::now_v7(), Some("owner")), "jwt_tenant_refused"),
            (claims(tenant, None), "permission_denied"),
            (claims(tenant, Some("service")), "permission_denied"),
        ] {
            assert_eq!(person(claims).expect_err(code).code().as_str(), code);
        }
    }
}
