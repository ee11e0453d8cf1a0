//! Authentication: the bearer of a Supabase access token of this tenant.

use super::limits::GatewayLimits;
use super::problem::ApiError;
use crate::error::ErrorCode;
use crate::ids::{TenantId, UserId};
use crate::integrations::Redacted;
use crate::integrations::store::Scope;
use crate::integrations::store::gateway::Actor;
use crate::integrations::supabase::{Claims, JwksVerifier};
use axum::extract::{FromRef, FromRequestParts};
use axum::http::{StatusCode, header, request::Parts};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use time::OffsetDateTime;

/// What it takes to know who asks.
#[derive(Clone, Debug)]
pub struct Authority {
    pub verifier: Arc<JwksVerifier>,
    pub tenant: TenantId,
}

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
            tenant_role,
        })
    }

    /// The claims row level security decides by; nothing else of the token reaches the database.
    pub fn scope(&self) -> Scope {
        Scope::Person {
            claims: json!({
                "sub": self.user,
                "role": "authenticated",
                "app_metadata": {"tenant_id": self.tenant, "tenant_role": self.tenant_role},
            }),
        }
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

impl<S> FromRequestParts<S> for Person
where
    S: Send + Sync,
    Authority: FromRef<S>,
    GatewayLimits: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let missing = || ApiError::new(StatusCode::UNAUTHORIZED, ErrorCode::JwtMissing, "sign in first");
        let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
        let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let authority = Authority::from_ref(state);
        let claims = authority.verifier.verify(token.trim()).await?;
        let person = Self::new(claims, authority.tenant)?;
        GatewayLimits::from_ref(state).request_of_person(person.user)?;
        Ok(person)
    }
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
