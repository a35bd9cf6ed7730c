//! Writes the same changes by the `nft` program, in its own language: a second opinion on what netlink
//! does that shares nothing with it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use asterguard::model::event::{Change, Element};
use asterguard::model::time::Time;
use asterguard::sys::program::Program;
use asterguard::table::structure::{SetKey, Structure, TABLE};

/// Puts changes into the sets of a structure that is loaded.
pub struct NftWriter {
    nft: Program,
    structure: Structure,
}

/// One change, as commands.
struct Command {
    change: Change,
    set: String,
    text: String,
}

impl NftWriter {
    /// A writer that has loaded `structure`.
    pub fn load(nft: Program, structure: Structure) -> Self {
        nft.run(&["-f", "-"], structure.ruleset().as_bytes()).unwrap();
        Self { nft, structure }
    }

    /// Carries out what it can, removals first; returns what was refused, with the words of `nft`.
    pub fn apply(&self, changes: &[Change], now: Time) -> Vec<(Change, String)> {
        // Of several changes to one key only the last counts. Otherwise they stay in the order given,
        // which decides who gets the last place in a set.
        let mut seen = BTreeSet::new();
        let mut last: Vec<_> =
            changes.iter().rev().filter(|change| seen.insert(change.key())).copied().collect();
        last.reverse();
        let (mut commands, mut refused) = (Vec::new(), Vec::new());
        for change in last {
            match self.command(change, now) {
                Ok(command) => commands.push(command),
                Err(misfit) => refused.push((change, misfit)),
            }
        }
        commands
            .sort_by_key(|command| (matches!(command.change, Change::Put(_)), command.set.clone()));
        self.carry_out(&commands, &mut refused);
        refused
    }

    /// Added so that it can be deleted, deleted, and added as it is to be.
    fn command(&self, change: Change, now: Time) -> Result<Command, String> {
        let (scope, subject) = change.key();
        let (set, key) =
            self.structure.place(scope, subject).map_err(|unknown| unknown.to_string())?;
        let place = format!("element inet {TABLE} {set}");
        let address = match key {
            SetKey::Host(address) => address.to_string(),
            SetKey::Flow(address, port) => format!("{address} . {port}"),
            SetKey::Network(net) => net.to_string(),
        };
        let mut text = format!("add {place} {{ {address} timeout 1s }}\n");
        let _ = writeln!(text, "delete {place} {{ {address} }}");
        if let Change::Put(Element { until, jail, .. }) = change {
            let jail = &self.structure.jails[usize::from(jail.0)];
            let timeout = until.map_or_else(String::new, |until| {
                format!(" timeout {}s", until.since(now).as_millis().div_ceil(1000))
            });
            text = text.replacen(" timeout 1s", &timeout, 1);
            let _ = writeln!(text, "add {place} {{ {address}{timeout} comment \"{jail}\" }}");
        }
        Ok(Command { change, set, text })
    }

    /// One transaction; if that is refused, its halves.
    fn carry_out(&self, commands: &[Command], refused: &mut Vec<(Change, String)>) {
        let text: String = commands.iter().map(|command| command.text.as_str()).collect();
        match (self.nft.run(&["-f", "-"], text.as_bytes()), commands) {
            (Ok(_), _) => {}
            (Err(error), [one]) => {
                let full = error.to_string().contains("Too many open files in system");
                assert!(full, "only a full set refuses anything: {error}");
                // A removal begins by adding: where there is no room for that, it was not there.
                if let Change::Put(_) = one.change {
                    refused.push((one.change, "the set is full".to_owned()));
                }
            }
            (Err(_), several) => {
                let (first, second) = several.split_at(several.len() / 2);
                self.carry_out(first, refused);
                self.carry_out(second, refused);
            }
        }
    }
}
