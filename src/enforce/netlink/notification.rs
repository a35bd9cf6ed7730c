//! Reads the kernel's notifications of changes to our table.
//!
//! Each transaction is told of message by message, and ends with the number of the new generation,
//! which names the process. The port in the headers is that of the socket it came by.

use super::message::{
    DELETE_CHAIN, DELETE_ELEMENTS, DELETE_RULE, DELETE_SET, DELETE_TABLE, INET, LIST_TABLE,
    NEW_CHAIN, NEW_ELEMENTS, NEW_GENERATION, NEW_RULE, NEW_SET, NEW_TABLE, SET_NAME,
};
use super::reply::{Received, messages};
use super::snapshot::{CHAIN_NAME, RULE_CHAIN, text_of};
use crate::enforce::drift::external_changes::{
    Action, ExternalChanges, Object, Origin, TableChange,
};
use crate::sys::netlink::{attributes, number};
use crate::table::structure::TABLE;

/// Attributes of the message that ends a transaction.
const GENERATION_PID: u16 = 2;
const GENERATION_NAME: u16 = 3;

/// The most bytes in the name of a process.
const NAME_MAX: usize = 16;

/// Puts transactions together, as they come.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The port of the socket that our own changes go by: they are no news.
    own: u32,
    /// The changes of the transaction that has not ended yet.
    open: ExternalChanges,
}

impl Decoder {
    pub(super) fn new(own: u32) -> Self {
        Self { own, open: ExternalChanges::default() }
    }

    /// Reads what was received: adds to `heard` what the transactions that ended with it
    /// did. `ours` says whether a process is one that we ran.
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        ours: impl Fn(u32) -> bool,
        heard: &mut ExternalChanges,
    ) {
        for message in messages(bytes).filter(|message| message.port != self.own) {
            if message.kind != NEW_GENERATION {
                if let Some(change) = change(&message) {
                    self.open.record(change);
                }
            } else if !self.open.is_empty() {
                let origin = origin(message.attributes());
                self.open.set_origin(Some(origin).filter(|origin| !ours(origin.pid)));
                heard.merge(std::mem::take(&mut self.open));
            }
        }
    }

    /// Records that notifications were lost: what is open may never end.
    pub(super) fn lose_track(&mut self, heard: &mut ExternalChanges) {
        heard.merge(std::mem::take(&mut self.open));
        heard.lost = true;
    }
}

/// Returns the change to our table that a message is about; `None`: it is about none.
fn change(message: &Received<'_>) -> Option<TableChange> {
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
    let (action, object) = match message.kind {
        NEW_TABLE => (Action::Added, Object::Table),
        DELETE_TABLE => (Action::Deleted, Object::Table),
        NEW_CHAIN => (Action::Added, Object::Chain(name(CHAIN_NAME))),
        DELETE_CHAIN => (Action::Deleted, Object::Chain(name(CHAIN_NAME))),
        NEW_RULE => (Action::Added, Object::Rules(name(RULE_CHAIN))),
        DELETE_RULE => (Action::Deleted, Object::Rules(name(RULE_CHAIN))),
        NEW_SET => (Action::Added, Object::Set(name(SET_NAME))),
        DELETE_SET => (Action::Deleted, Object::Set(name(SET_NAME))),
        NEW_ELEMENTS => (Action::Added, Object::Elements(name(SET_NAME))),
        DELETE_ELEMENTS => (Action::Deleted, Object::Elements(name(SET_NAME))),
        _ => (Action::Added, Object::Other),
    };
    Some(TableChange { object, action })
}

fn origin(generation: &[u8]) -> Origin {
    let pid = attributes(generation)
        .find(|(kind, _)| *kind == GENERATION_PID)
        .and_then(|(_, pid)| number(pid, 0))
        .map_or(0, u32::from_be_bytes);
    // A process may call itself whatever it likes.
    let name = text_of(generation, GENERATION_NAME).unwrap_or_default();
    let name = name.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).take(NAME_MAX);
    Origin { name: name.collect(), pid }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::message::{Element, Key, Transaction, attribute};
    use super::*;

    /// Returns the bytes that the kernel would send about adding an element and about the end of that
    /// transaction. (Its messages have the layout of those that it is sent; what begins and ends a
    /// transaction is none.)
    fn told(name: &str, pid: u32) -> Vec<u8> {
        let mut transaction = Transaction::begin(1);
        let key = Key::Address([192, 0, 2, 1].into());
        transaction.add("ban4", &Element { key, timeout: None, comment: None });
        let mut generation = Vec::new();
        attribute(&mut generation, GENERATION_PID, |value| value.extend(pid.to_be_bytes()));
        attribute(&mut generation, GENERATION_NAME, |value| value.extend(name.as_bytes()));
        transaction.order(NEW_GENERATION, 0, &generation);
        transaction.end().0
    }

    fn heard(own: u32, bytes: &[u8]) -> ExternalChanges {
        let mut heard = ExternalChanges::default();
        Decoder::new(own).decode(bytes, |pid| pid == 7, &mut heard);
        heard
    }

    #[test]
    fn a_transaction_names_its_origin() {
        let words = heard(1, &told("nft\0", 4711)).to_string();
        assert_eq!(words, "nft (pid 4711) added elements of set ban4");
        let evil = heard(1, &told("\u{1b}[2J a\nb\0", 9)).to_string();
        assert!(evil.starts_with("?[2J?a?b (pid 9) "), "{evil}");
        // The messages come from port 0: if that is ours, they are no news.
        assert!(heard(0, &told("nft\0", 4711)).is_empty());
        // A run of ours is looked at, and nobody is blamed for it.
        let ours = heard(1, &told("nft\0", 7));
        assert!(!ours.is_empty() && ours.gravest.is_none() && ours.sets.contains("ban4"));
    }

    #[test]
    fn an_open_transaction_counts_once_some_are_lost() {
        let whole = told("nft\0", 4711);
        let first = messages(&whole).position(|message| message.kind == NEW_GENERATION).unwrap();
        // The end of a transaction is 36 bytes long, and the end of the bytes 20.
        let (cut, mut news) = (&whole[..whole.len() - 56], ExternalChanges::default());
        assert_eq!(messages(cut).count(), first);
        let mut decoder = Decoder::new(1);
        decoder.decode(cut, |_| false, &mut news);
        assert!(news.is_empty());
        decoder.lose_track(&mut news);
        assert!(news.lost && news.sets.contains("ban4"));
    }

    proptest! {
        #[test]
        fn any_datagram_can_be_decoded(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            heard(1, &bytes);
        }

        #[test]
        fn broken_datagrams_can_be_decoded(at in 0_usize..200, byte: u8) {
            let mut bytes = told("nft\0", 4711);
            let place = at % bytes.len();
            bytes[place] = byte;
            heard(1, &bytes);
        }
    }
}
