//! The items of one conversation, in order.

use serde_json::{Value, json};

/// No interview of an hour comes near this; a runaway client does.
const MAX_ITEMS: usize = 2_000;

#[derive(Clone, Debug)]
pub struct Item {
    /// The item as it goes over the wire.
    pub value: Value,
    /// How much audio it holds.
    pub audio_ms: u64,
}

impl Item {
    pub fn id(&self) -> &str {
        self.value["id"].as_str().unwrap_or_default()
    }
}

#[derive(Debug)]
pub struct Conversation {
    pub id: String,
    items: Vec<Item>,
}

/// Where a new item goes.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    End,
    Front,
    After(&'a str),
}

impl Conversation {
    pub fn new(id: String) -> Self {
        Self { id, items: Vec::new() }
    }

    pub fn items(&self) -> &[Item] {
        &self.items
    }

    pub fn is_full(&self) -> bool {
        self.items.len() >= MAX_ITEMS
    }

    pub fn last_id(&self) -> Option<&str> {
        self.items.last().map(Item::id)
    }

    pub fn get(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id() == id)
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.id() == id)
    }

    /// The item before `id`, as the vendor names it in events.
    pub fn before(&self, id: &str) -> Option<&str> {
        let index = self.items.iter().position(|item| item.id() == id)?;
        index.checked_sub(1).and_then(|index| self.items.get(index)).map(Item::id)
    }

    /// `false` when there is no such place.
    pub fn insert(&mut self, place: Place<'_>, item: Item) -> bool {
        let index = match place {
            Place::End => Some(self.items.len()),
            Place::Front => Some(0),
            Place::After(id) => self.items.iter().position(|item| item.id() == id).map(|index| index + 1),
        };
        if let Some(index) = index {
            self.items.insert(index, item);
        }
        index.is_some()
    }

    pub fn remove(&mut self, id: &str) -> bool {
        let before = self.items.len();
        self.items.retain(|item| item.id() != id);
        self.items.len() < before
    }

    /// Whether a function call with this id was made.
    pub fn has_call(&self, call_id: &str) -> bool {
        self.items.iter().any(|item| item.value["type"] == "function_call" && item.value["call_id"] == call_id)
    }

    /// Truncation deletes the words: audio and text are not aligned.
    pub fn truncate(&mut self, id: &str, audio_ms: u64) {
        let Some(item) = self.get_mut(id) else { return };
        item.audio_ms = audio_ms;
        item.value["content"] = json!([{"type": "output_audio"}]);
    }
}
