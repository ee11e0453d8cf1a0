//! What somebody else does in our call is noticed, corrected and noted. The second time the call is replaced.

use super::*;
use crate::domain::call_guard::{Intrusion, Ours};
use crate::integrations::openai::events::NewItem;

/// Intrusions after which a call is replaced.
const PATIENCE: u32 = 2;
/// Calls in a row that are replaced. One that comes back changed each time is the provider's doing, and replacing it
/// for ever would help nobody.
const MOST_REPLACED: u32 = 3;

/// What the call shows of a command of ours, to us as to everybody in it.
pub(super) fn effect(command: &ClientEvent) -> Option<Ours> {
    match command {
        // What has a name of ours is known by it.
        ClientEvent::ItemCreate { item: NewItem::Message { id: None, .. }, .. } => Some(Ours::Message),
        ClientEvent::ItemDelete { item_id, .. } => Some(Ours::Deletion(item_id.clone())),
        ClientEvent::ResponseCreate { .. } => Some(Ours::Reply),
        ClientEvent::ResponseCancel { response_id, .. } => response_id.clone().map(Ours::Cancel),
        ClientEvent::ItemCreate { .. }
        | ClientEvent::SessionUpdate { .. }
        | ClientEvent::InputCommit { .. }
        | ClientEvent::PlaybackClear { .. } => None,
    }
}

impl ControlChannelState {
    /// Whether the event may go into the transcript. Nothing does of a call that is replaced because of it.
    pub(super) fn guard(&mut self, event: &VoiceEvent) -> bool {
        let judged = self.guard.judge(event, self.begun.elapsed());
        let Some(intrusion) = judged else { return true };
        self.intruded(&intrusion);
        match intrusion {
            Intrusion::ItemCreated(item) => {
                self.send(|event_id| ClientEvent::ItemDelete { event_id, item_id: item });
            }
            Intrusion::ReplyCreated(reply) => {
                self.decide(Input::Dismissed(&reply));
                self.send(|event_id| ClientEvent::ResponseCancel { event_id, response_id: Some(reply) });
            }
            // What the candidate hears of the interviewer stays what was said.
            Intrusion::ItemTruncated => return false,
            Intrusion::ItemDeleted
            | Intrusion::ItemRetrieved
            | Intrusion::ReplyCancelled
            | Intrusion::PlaybackCleared
            | Intrusion::SessionUpdated => {}
        }
        true
    }

    pub(super) fn intruded(&mut self, intrusion: &Intrusion) {
        self.intrusions += 1;
        let kind = intrusion.label();
        tracing::warn!(
            error_code = ErrorCode::CallTampered.as_str(),
            kind = kind.as_str(),
            times = self.intrusions,
            "somebody else acts in the call"
        );
        self.args.journal.note_integrity(kind, None, self.args.integrations.clock.now());
        if self.intrusions == PATIENCE && self.replaced < MOST_REPLACED && self.joined.is_some() {
            self.replaced += 1;
            self.args.journal.note_integrity(Label::of("call_replaced"), None, self.args.integrations.clock.now());
            self.tell(SessionMsg::RenewCall);
        }
    }
}
