//! A machine as Fly describes it, read leniently: fields come and go, and most of them are missing when a host is out of reach.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::ids::MachineId;

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Machine {
    pub id: MachineId,
    #[serde(default, deserialize_with = "lenient")]
    pub name: Option<String>,
    #[serde(default)]
    pub state: MachineState,
    /// Where it really is, whatever was asked for.
    #[serde(default, deserialize_with = "lenient")]
    pub region: Option<String>,
    /// Changes with each new version of the machine.
    #[serde(default, deserialize_with = "lenient")]
    pub instance_id: Option<String>,
    /// Its address in the tenant's private network.
    #[serde(default, deserialize_with = "lenient")]
    pub private_ip: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub created_at: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub updated_at: Option<String>,
    /// `ok`, `unknown` or `unreachable`.
    #[serde(default, deserialize_with = "lenient")]
    pub host_status: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    config: Option<Config>,
    /// What is left of the configuration while the host is out of reach.
    #[serde(default, deserialize_with = "lenient")]
    incomplete_config: Option<Config>,
    #[serde(default, deserialize_with = "lenient")]
    events: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    #[serde(default, deserialize_with = "lenient")]
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Event {
    #[serde(default, deserialize_with = "lenient")]
    timestamp: i64,
    #[serde(default, deserialize_with = "lenient")]
    request: Option<EventRequest>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct EventRequest {
    #[serde(default, deserialize_with = "lenient")]
    exit_event: Option<ExitEvent>,
    #[serde(default, rename = "MonitorEvent", deserialize_with = "lenient")]
    monitor_event: Option<MonitorEvent>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct MonitorEvent {
    #[serde(default, deserialize_with = "lenient")]
    exit_event: Option<ExitEvent>,
}

/// How the process in the machine ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ExitEvent {
    #[serde(deserialize_with = "lenient")]
    pub exit_code: Option<i32>,
    #[serde(deserialize_with = "lenient")]
    pub signal: Option<i32>,
    #[serde(deserialize_with = "lenient")]
    pub oom_killed: bool,
    #[serde(deserialize_with = "lenient")]
    pub requested_stop: bool,
    #[serde(deserialize_with = "lenient")]
    pub restarting: bool,
    #[serde(deserialize_with = "lenient")]
    pub exited_at: Option<String>,
}

impl Machine {
    /// `None` if Fly did not tell.
    pub fn metadata(&self) -> Option<&BTreeMap<String, String>> {
        let config = self.config.as_ref().or(self.incomplete_config.as_ref());
        config.and_then(|config| config.metadata.as_ref())
    }

    /// The events are newest first by custom, so the time decides.
    pub fn last_exit(&self) -> Option<&ExitEvent> {
        let exits = self.events.iter().filter_map(|event| {
            let request = event.request.as_ref()?;
            let monitored = || request.monitor_event.as_ref().and_then(|monitor| monitor.exit_event.as_ref());
            Some((event.timestamp, request.exit_event.as_ref().or_else(monitored)?))
        });
        exits.max_by_key(|(timestamp, _)| *timestamp).map(|(_, exit)| exit)
    }
}

macro_rules! states {
    ($($name:ident = $text:literal in $group:ident,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub enum MachineState {
            $($name,)*
            /// A state Fly has added since.
            #[default]
            Unknown,
        }

        impl MachineState {
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* Self::Unknown => "unknown" }
            }

            pub fn parse(text: &str) -> Self {
                match text { $($text => Self::$name,)* _ => Self::Unknown }
            }

            pub const fn group(self) -> StateGroup {
                match self { $(Self::$name => StateGroup::$group,)* Self::Unknown => StateGroup::Unknown }
            }
        }
    };
}

states! {
    Created = "created" in Pending,
    Creating = "creating" in Pending,
    Starting = "starting" in Pending,
    Restarting = "restarting" in Pending,
    Updating = "updating" in Pending,
    Replacing = "replacing" in Pending,
    Started = "started" in Running,
    Stopping = "stopping" in Stopping,
    Suspending = "suspending" in Stopping,
    Stopped = "stopped" in Idle,
    Suspended = "suspended" in Idle,
    Failed = "failed" in Failed,
    LaunchFailed = "launch_failed" in Failed,
    Destroying = "destroying" in Gone,
    Destroyed = "destroyed" in Gone,
    Replaced = "replaced" in Gone,
    Migrated = "migrated" in Gone,
}

impl<'de> Deserialize<'de> for MachineState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(value.as_str().map_or(Self::Unknown, Self::parse))
    }
}

/// What a state means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateGroup {
    Pending,
    Running,
    Stopping,
    Idle,
    Failed,
    Gone,
    Unknown,
}

fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}
