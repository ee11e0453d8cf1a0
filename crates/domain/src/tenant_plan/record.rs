//! The stored state of a tenant's deployment, and how an order changes it.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Upgrade,
    Rotate,
    Destroy,
}

impl Operation {
    pub const ALL: [Self; 4] = [Self::Create, Self::Upgrade, Self::Rotate, Self::Destroy];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Upgrade => "upgrade",
            Self::Rotate => "rotate-secrets",
            Self::Destroy => "destroy",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == text)
    }
}

/// What was last written to an app's secrets; Fly does not give values back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Fly's number of that write; a machine must not boot with an older one.
    pub version: u64,
    /// Of the names and values, keyed: it tells nothing about them.
    pub fingerprint: String,
}

/// What the operator's database keeps of a tenant's deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Under way; `None`: all of it is there.
    pub operation: Option<Operation>,
    /// Gateways carry the release they were made for; those of another one are replaced.
    pub release: u32,
    pub image: String,
    /// Where to go back to when the new gateways do not become healthy.
    pub previous: Option<Release>,
    pub region: String,
    /// The routing secret is derived from the operator's root key and this number.
    pub routing_generation: u32,
    /// Still accepted, so that interviews under way are not cut off.
    pub previous_generation: Option<u32>,
    /// The release that asked for a new deploy token, and the one it was issued for.
    pub token_wanted: u32,
    pub token_issued: u32,
    pub gateway_secrets: Written,
    pub session_secrets: Written,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub number: u32,
    pub image: String,
}

/// What the operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Create {
        image: String,
        region: String,
    },
    Upgrade {
        image: String,
    },
    Rotate {
        routing: bool,
        token: bool,
    },
    /// Stop accepting the routing secret from before the last rotation.
    Retire {
        force: bool,
    },
    Destroy {
        force: bool,
    },
}

impl Order {
    pub fn operation(&self) -> Operation {
        match self {
            Self::Create { .. } => Operation::Create,
            Self::Upgrade { .. } => Operation::Upgrade,
            Self::Rotate { .. } | Self::Retire { .. } => Operation::Rotate,
            Self::Destroy { .. } => Operation::Destroy,
        }
    }
}

/// Why nothing is done, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no tenant of this name; make it first: interview-runtime tenant create {0}")]
    Unknown(String),
    #[error("{} is under way for this tenant; finish it first by running it again", .0.as_str())]
    UnderWay(Operation),
    #[error(
        "the app {app} exists and is not this tenant's ({why}); nothing was changed. App names are world-wide: choose another name for the tenant, or remove that app by hand if it is yours"
    )]
    ForeignApp { app: String, why: String },
    #[error("{0} interviews are not over; wait for them, or end them with --force")]
    Interviews(u32),
    #[error("the image {0:?} is not pinned; name it by digest: registry.fly.io/interview-runtime@sha256:…")]
    Unpinned(String),
}

/// Move the record to what is ordered. The same order again, after an interruption, moves nothing.
pub fn begin(order: &Order, slug: &str, current: Option<&Record>, interviews: u32) -> Result<Record, Refusal> {
    if let Order::Create { image, .. } | Order::Upgrade { image } = order
        && !image.contains("@sha256:")
    {
        return Err(Refusal::Unpinned(image.clone()));
    }
    let Some(current) = current else {
        return match order {
            Order::Create { image, region } => Ok(first(image, region)),
            _ => Err(Refusal::Unknown(slug.to_owned())),
        };
    };
    let operation = order.operation();
    if let Some(under_way) = current.operation
        && under_way != operation
        && operation != Operation::Destroy
    {
        return Err(Refusal::UnderWay(under_way));
    }
    let resumed = current.operation == Some(operation);
    let mut next = current.clone();
    match order {
        // Of a tenant that is there, it mends what is missing.
        Order::Create { .. } => {}
        Order::Upgrade { image } if *image == current.image => {}
        Order::Upgrade { image } => {
            next.release += 1;
            if !resumed {
                next.previous = Some(Release { number: current.release, image: current.image.clone() });
            }
            next.image.clone_from(image);
            next.operation = Some(operation);
        }
        Order::Rotate { .. } if resumed => {}
        Order::Rotate { routing, token } => {
            next.release += 1;
            next.previous = None;
            if *routing {
                next.previous_generation = Some(current.routing_generation);
                next.routing_generation += 1;
            }
            if *token {
                next.token_wanted = next.release;
            }
            next.operation = Some(operation);
        }
        Order::Retire { .. } if resumed || current.previous_generation.is_none() => {}
        Order::Retire { force } => {
            if interviews > 0 && !force {
                return Err(Refusal::Interviews(interviews));
            }
            next.release += 1;
            next.previous = None;
            next.previous_generation = None;
            next.operation = Some(operation);
        }
        Order::Destroy { force } => {
            if interviews > 0 && !force && !resumed {
                return Err(Refusal::Interviews(interviews));
            }
            next.operation = Some(operation);
        }
    }
    Ok(next)
}

fn first(image: &str, region: &str) -> Record {
    Record {
        operation: Some(Operation::Create),
        release: 1,
        image: image.to_owned(),
        previous: None,
        region: region.to_owned(),
        routing_generation: 1,
        previous_generation: None,
        token_wanted: 1,
        token_issued: 0,
        gateway_secrets: Written::default(),
        session_secrets: Written::default(),
    }
}

/// Back to the release before, when an upgrade's gateways do not become healthy.
pub fn back(record: &Record) -> Option<Record> {
    let previous = record.previous.clone()?;
    Some(Record { release: previous.number, image: previous.image, previous: None, ..record.clone() })
}
