//! What the candidate typed goes into the call, once (`domain::typed`). The journal has it, and tells when it is stored.

use super::*;
use crate::domain::voice::ItemContent;
use crate::ids::ItemId;
use crate::integrations::openai::events::NewItem;

/// What the names of such commands begin with; the item's own follows.
const PUT: &str = "put-";

impl ControlChannelState {
    /// What is on its way on this sideband is not sent again on it. On the next it is: what the call has, it refuses.
    pub(super) fn put_typed_in(&mut self) {
        if self.joined.as_ref().is_none_or(|joined| !joined.ready) {
            return;
        }
        for (item, text) in self.args.journal.typed_to_put_in() {
            if self.joined.as_ref().is_some_and(|joined| joined.typed.contains(&item)) {
                continue;
            }
            let event_id = format!("{PUT}{item}");
            let new = NewItem::typed(item.clone(), text.as_str());
            if self.send_event(ClientEvent::ItemCreate { event_id, previous_item_id: None, item: new })
                && let Some(joined) = &mut self.joined
            {
                joined.typed.push(item);
            }
        }
    }

    /// It takes its place in the conversation, for the first time.
    pub(super) fn typed_comes(&self, event: &VoiceEvent) -> Option<ItemId> {
        match event {
            VoiceEvent::ItemPlaced { item, content: ItemContent::Typed, .. } if self.args.journal.awaits_typed(item) => {
                Some(item.clone())
            }
            _ => None,
        }
    }

    /// Whoever leads the interview first: the reply is asked for as that has decided.
    pub(super) fn typed_is_in(&mut self, item: &ItemId) {
        self.conduct(Conducted::Typed(item));
        self.decide(Input::Typed { item });
    }

    /// A sideband, or a process, before this one has put it in.
    pub(super) fn typed_is_there(&self, command: Option<&str>) {
        if let Some(item) = command.and_then(|command| command.strip_prefix(PUT)) {
            self.args.journal.typed_is_there(&ItemId::new(item));
        }
    }
}
