//! The secrets of a tenant's two apps.

use super::keys::Keys;
use crate::config::Config;
use crate::config::operator::{Settings, variable};
use crate::domain::tenant_plan::{self, Names, Record, Which};
use crate::ids::TenantId;
use crate::signature::{SigningKeys, Underivable};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub(super) struct Sources<'a> {
    pub(super) config: &'a Config,
    /// What the operator's configuration sets for every tenant.
    pub(super) shared: &'a Settings,
    pub(super) names: &'a Names,
    pub(super) tenant: TenantId,
    pub(super) keys: &'a Keys,
}

impl Sources<'_> {
    /// All but the deploy token, which cannot be made again from anything.
    pub(super) fn of(&self, which: Which, record: &Record) -> Result<Settings, Underivable> {
        let door = self.config.operator.door_url(&self.names.gateway_app);
        let mut settings = self.shared.clone();
        if which == Which::Session {
            // Only gateways send mail: its password has no business on an interview's machine.
            settings.retain(|name, _| !name.starts_with(&variable("mail.")));
        }
        let mut set = |key: &str, value: SecretString| drop(settings.insert(variable(key), value));
        set("tenant.id", self.tenant.to_string().into());
        set("tenant.slug", self.names.slug.as_str().into());
        set("http.public_url", door.as_str().into());
        set("http.allowed_origins", door.into());
        set("database.url", self.database_url(which));
        let current = self.keys.routing(record.routing_generation);
        let previous = record.previous_generation.map(|number| self.keys.routing(number));
        // Always written: an empty one takes the place of one that is retired, or of one that the session app had before.
        let (secret, previous_secret) = match which {
            Which::Gateway => {
                set("fly.session_app", self.names.session_app.as_str().into());
                (current, previous.unwrap_or_default())
            }
            Which::Session => {
                let public = SigningKeys::derive(&current, previous.as_ref())?.public();
                set("routing.public_keys", public.to_string().into());
                (SecretString::default(), SecretString::default())
            }
        };
        set("routing.secret", secret);
        set("routing.previous_secret", previous_secret);
        Ok(settings)
    }

    /// The operator's address with a login of the tenant's own. A pooler's suffix of the user's name
    /// (`login.project`) stays.
    fn database_url(&self, which: Which) -> SecretString {
        let address = self.config.database.url.expose_secret();
        let Ok(mut url) = Url::parse(address) else { return address.into() };
        let login = match url.username().split_once('.') {
            Some((_, project)) => format!("{}.{project}", self.names.login(which)),
            None => self.names.login(which).to_owned(),
        };
        let _ = url.set_username(&login);
        let _ = url.set_password(Some(self.keys.database_password(which).expose_secret()));
        url.as_str().into()
    }

    pub(super) fn wanted(&self, which: Which, record: &Record) -> Result<tenant_plan::Settings, Underivable> {
        let settings = self.of(which, record)?;
        Ok(tenant_plan::Settings { fingerprint: self.keys.fingerprint(&settings), names: settings.into_keys().collect() })
    }
}
