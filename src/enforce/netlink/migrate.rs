//! Loads a structure over a table that an older version, or somebody else, declared otherwise: sets of
//! another kind are made again in the same transaction, with what they held.

use std::fmt::Write as _;
use std::io;

use super::counters::CounterSocket;
use super::interval::keyed;
use super::reply::Found;
use super::{NetlinkSink, failed};
use crate::enforce::{SinkError, set_element};
use crate::table::structure::{PAUSED, SetKind, Structure, TABLE, declarations};

/// The prefix of the names of list sets: those are always new where they differ.
const LISTS: &str = "list_";

/// Elements in one command.
const ELEMENTS: usize = 1000;

impl NetlinkSink {
    /// Returns the text that makes of whatever there is the table that `text`, of `structure`, declares.
    pub(super) fn over_another(
        &mut self,
        structure: &Structure,
        text: &str,
    ) -> Result<String, SinkError> {
        let now = self.look()?;
        let mut all = String::new();
        for (kind, name) in declarations(text).filter(|(kind, name)| now.has(kind, name)) {
            if kind == "chain" {
                let _ = writeln!(all, "flush chain inet {TABLE} {name}");
            }
        }
        let mut gone: Vec<_> = declarations(text)
            .filter(|(kind, name)| *kind == "set" && !name.starts_with(LISTS))
            .filter(|(kind, name)| now.has(kind, name))
            .map(|(_, name)| name)
            .collect();
        gone.sort_unstable();
        gone.dedup();
        for set in &gone {
            let _ = writeln!(all, "delete set inet {TABLE} {set}");
        }
        all.push_str(text);
        self.write_held(structure, &gone, &mut all).map_err(failed)?;
        for net in CounterSocket::open()?.by_hand()? {
            let family = if net.addr().is_ipv6() { 6 } else { 4 };
            let _ = writeln!(all, "add element inet {TABLE} block{family} {{ {net} }}");
        }
        Ok(all)
    }

    /// Appends what the sets of bans, and that of the pause, hold.
    fn write_held(
        &mut self,
        structure: &Structure,
        there: &[&str],
        text: &mut String,
    ) -> io::Result<()> {
        let bans = structure.sets().map(|(_, kind, set)| (kind, set));
        let all: Vec<_> = bans.chain([(SetKind::Hosts, PAUSED.to_owned())]).collect();
        for (kind, set) in &all {
            if !there.contains(&set.as_str()) {
                continue;
            }
            let held: Vec<_> = written(*kind, self.socket.list(set)?);
            for some in held.chunks(ELEMENTS) {
                let some = some.join(", ");
                let _ = writeln!(text, "add element inet {TABLE} {set} {{ {some} }}");
            }
        }
        Ok(())
    }
}

/// Returns elements as nft writes them, with what is left of their time.
fn written(kind: SetKind, held: Vec<Found>) -> Vec<String> {
    let (families, held): (Vec<_>, Vec<_>) =
        held.into_iter().partition(|found| found.key.len() == 1);
    let families = families.into_iter().map(|found| {
        let family = if found.key == [2] { "ipv4" } else { "ipv6" };
        (family.to_owned(), found)
    });
    let keys = keyed(kind, held).into_iter();
    let all = families.chain(keys.map(|(key, found)| (set_element::key_text(key), found)));
    let text = |(key, found): (String, Found)| {
        set_element::text(&key, found.left, found.comment.as_deref())
    };
    all.map(text).collect()
}
