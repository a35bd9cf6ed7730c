//! What the kernel's notifications say that others did to our table.
//!
//! Each transaction is told of message by message, and ends with the number of the new generation,
//! which names the process. The port in the headers is that of the socket it came by.

use super::super::foreign::{Actor, Deed, Done, Foreign, Thing};
use super::super::structure::TABLE;
use super::message::{
    DELETE_CHAIN, DELETE_ELEMENTS, DELETE_RULE, DELETE_SET, DELETE_TABLE, INET, LIST_TABLE,
    NEW_CHAIN, NEW_ELEMENTS, NEW_GENERATION, NEW_RULE, NEW_SET, NEW_TABLE, Received, SET_NAME,
    attributes, messages, number,
};
use super::snapshot::{CHAIN_NAME, RULE_CHAIN, text_of};

/// Attributes of the message that ends a transaction.
const GENERATION_PID: u16 = 2;
const GENERATION_NAME: u16 = 3;

/// The most bytes in the name of a process.
const NAME_MAX: usize = 16;

/// Puts transactions together, as they come.
#[derive(Debug)]
pub(super) struct Listener {
    /// The port of the socket that our own changes go by: they are no news.
    own: u32,
    /// What is known of the transaction that has not ended yet.
    open: Foreign,
}

impl Listener {
    pub(super) fn new(own: u32) -> Self {
        Self { own, open: Foreign::default() }
    }

    /// Takes in what was received at once: adds to `heard` what the transactions that ended with it
    /// did. `ours` says whether a process is one that we ran.
    pub(super) fn hear(&mut self, bytes: &[u8], ours: impl Fn(u32) -> bool, heard: &mut Foreign) {
        for message in messages(bytes).filter(|message| message.port != self.own) {
            if message.kind != NEW_GENERATION {
                if let Some(deed) = deed(&message) {
                    self.open.note(deed);
                }
            } else if !self.open.is_empty() {
                let actor = actor(message.attributes());
                self.open.by(Some(actor).filter(|actor| !ours(actor.pid)));
                heard.merge(std::mem::take(&mut self.open));
            }
        }
    }

    /// Takes note that notifications were lost: what is open may never end.
    pub(super) fn lose(&mut self, heard: &mut Foreign) {
        heard.merge(std::mem::take(&mut self.open));
        heard.lost = true;
    }
}

/// What a message says was done to our table; `None`: nothing.
fn deed(message: &Received<'_>) -> Option<Deed> {
    if message.family() != INET {
        return None;
    }
    let about = message.attributes();
    // Everywhere the first attribute, and most messages are about other tables.
    let (_, table) = attributes(about).find(|(kind, _)| *kind == LIST_TABLE)?;
    if table.strip_suffix(&[0]) != Some(TABLE.as_bytes()) {
        return None;
    }
    let name = |kind| text_of(about, kind).unwrap_or_default();
    let (done, thing) = match message.kind {
        NEW_TABLE => (Done::Added, Thing::Table),
        DELETE_TABLE => (Done::Deleted, Thing::Table),
        NEW_CHAIN => (Done::Added, Thing::Chain(name(CHAIN_NAME))),
        DELETE_CHAIN => (Done::Deleted, Thing::Chain(name(CHAIN_NAME))),
        NEW_RULE => (Done::Added, Thing::Rules(name(RULE_CHAIN))),
        DELETE_RULE => (Done::Deleted, Thing::Rules(name(RULE_CHAIN))),
        NEW_SET => (Done::Added, Thing::Set(name(SET_NAME))),
        DELETE_SET => (Done::Deleted, Thing::Set(name(SET_NAME))),
        NEW_ELEMENTS => (Done::Added, Thing::Elements(name(SET_NAME))),
        DELETE_ELEMENTS => (Done::Deleted, Thing::Elements(name(SET_NAME))),
        _ => (Done::Added, Thing::Other),
    };
    Some(Deed { thing, done })
}

fn actor(generation: &[u8]) -> Actor {
    let pid = attributes(generation)
        .find(|(kind, _)| *kind == GENERATION_PID)
        .and_then(|(_, pid)| number(pid, 0))
        .map_or(0, u32::from_be_bytes);
    // A process may call itself whatever it likes.
    let name = text_of(generation, GENERATION_NAME).unwrap_or_default();
    let name = name.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).take(NAME_MAX);
    Actor { name: name.collect(), pid }
}
