//! The actors of one interview.
//!
//! [`tree`] is the supervisor tree as data. [`session`] is its root. Children do not know each other: they send facts to the
//! session and share the [`journal`], which the process owns and which outlives all of them.
//!
//! To add a child: a row in [`tree::TREE`], a file with its actor, its arms in `session/children.rs`.

pub mod budget;
pub mod control_channel;
pub mod journal;
pub mod mailbox_limit;
pub mod messages;
pub mod recording_tracker;
pub mod session;
pub mod signaling_socket;
pub mod storing;
pub mod summarizer;
pub mod transcript_writer;
pub mod tree;

use tokio::task::JoinHandle;

/// A fault on purpose, in the middle of an actor's message (sandbox only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injected {
    Panic,
    /// As [`Self::Panic`]; who listens to the browser does it with the next message in hand, which
    /// is lost with it.
    PanicHolding,
    /// Never come back.
    Hang,
}

impl Injected {
    pub async fn strike(self, whom: &str) {
        match self {
            Self::Panic | Self::PanicHolding => panic!("injected fault in {whom}"),
            Self::Hang => std::future::pending().await,
        }
    }
}

/// A task that ends with the actor that holds it: `post_stop` does not run when an actor
/// fails, dropping its state does.
#[derive(Debug)]
pub struct TaskGuard(JoinHandle<()>);

impl TaskGuard {
    pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }

    /// Until it ends by itself.
    pub async fn ended(&mut self) {
        let _ = (&mut self.0).await;
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}
