//! The table by way of the `nft` program: pauses and resumes where no daemon runs, and reads what the
//! sets hold as JSON, apart from all that netlink says of them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use nftables::expr::{Elem, Expression, NamedExpression};
use serde::Deserialize;

use super::SinkError;
use super::set_element::{key_text, timeout_text};
use crate::model::event::{KernelElement, ScopeId};
use crate::model::pause::Pause;
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::sys::program::Program;
use crate::table::structure::{PAUSED, Structure, TABLE};

/// A listing may take this many times as long as a change: it grows with the number of bans.
const LISTING_PATIENCE: u32 = 12;

/// The words of nft for a table or set that is not there (ENOENT).
const NOT_THERE: &str = "No such file or directory";

/// The table that the kernel has, as this `nft` reads and changes it.
#[derive(Debug)]
pub struct NftProgram(Program);

impl NftProgram {
    /// In the network namespace where `nft` runs.
    #[must_use]
    pub fn new(nft: Program) -> Self {
        Self(nft)
    }

    /// Returns the bans that the sets of `structure` hold; none if there is no table. An end is a whole
    /// second or less too early, which is how `nft` prints it.
    ///
    /// # Errors
    /// When `nft` cannot list the table, or prints something else than JSON.
    pub fn bans(&self, structure: &Structure, now: Time) -> Result<Vec<KernelElement>, SinkError> {
        let sets = match self.list(&["table", "inet", TABLE]) {
            Err(SinkError::NoTable) => return Ok(Vec::new()),
            sets => sets?,
        };
        let mut bans = Vec::new();
        for set in sets {
            let Some(scope) = structure.scope_of_set(&set.name) else { continue };
            let found = set.elem.into_iter().filter_map(Found::read).filter_map(|found| {
                let until = found.left.map(|left| now.plus(left));
                structure.adopted(scope, found.key, until, found.comment.as_deref())
            });
            bans.extend(found);
        }
        Ok(bans)
    }

    /// Takes these out of the sets of `structure`.
    ///
    /// # Errors
    /// When `nft` does not do it: all of them, if one is not there any more.
    pub fn lift(
        &self,
        structure: &Structure,
        bans: &[(ScopeId, Subject)],
    ) -> Result<(), SinkError> {
        let mut text = String::new();
        for (scope, subject) in bans {
            let set = structure
                .set_for(*scope, *subject)
                .map_err(|misfit| SinkError::Refused(misfit.to_string()))?;
            let key = key_text(subject.address(), subject.port());
            // Writing to a string does not fail.
            let _ = writeln!(text, "delete element inet {TABLE} {set} {{ {key} }}");
        }
        if text.is_empty() { Ok(()) } else { self.command(&text) }
    }

    /// Stops all dropping immediately, for `span` (`None`: until [`NftProgram::resume`]). The kernel
    /// itself ends the pause.
    ///
    /// # Errors
    /// When `nft` does not carry it out.
    pub fn pause(&self, span: Option<Duration>) -> Result<(), SinkError> {
        let timeout = span.map_or_else(String::new, timeout_text);
        // Emptied first: not every kernel gives an element that is there a new timeout.
        self.command(&format!(
            "flush set inet {TABLE} {PAUSED}\n\
             add element inet {TABLE} {PAUSED} {{ ipv4{timeout}, ipv6{timeout} }}\n"
        ))
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// When `nft` does not carry it out.
    pub fn resume(&self) -> Result<(), SinkError> {
        self.command(&format!("flush set inet {TABLE} {PAUSED}\n"))
    }

    /// Whether a pause is in force, and until when (`Some(None)`: until somebody ends it).
    ///
    /// # Errors
    /// As [`NftProgram::bans`], and when there is no table.
    pub fn paused(&self, now: Time) -> Result<Pause, SinkError> {
        let sets = self.list(&["set", "inet", TABLE, PAUSED])?;
        let ends = sets.into_iter().flat_map(|set| set.elem).map(|element| {
            let Expression::Named(NamedExpression::Elem(Elem { expires, .. })) = element else {
                return None;
            };
            expires.map(|left| now.plus(Duration::from_secs(left.into())))
        });
        Ok(Pause::longest(ends))
    }

    /// Runs a few words of nft's own language.
    fn command(&self, text: &str) -> Result<(), SinkError> {
        self.0.run(&["-f", "-"], text.as_bytes()).map_err(no_table).map(drop)
    }

    fn list(&self, what: &[&str]) -> Result<Vec<FoundSet>, SinkError> {
        let args: Vec<_> = ["-j", "list"].iter().chain(what).copied().collect();
        let patient = self.0.limited(self.0.limit().saturating_mul(LISTING_PATIENCE));
        let output = patient.run(&args, b"").map_err(no_table)?;
        let listing: Listing = serde_json::from_slice(&output)
            .map_err(|error| SinkError::Output(error.to_string()))?;
        Ok(listing.nftables.into_iter().filter_map(|object| object.set).collect())
    }
}

/// Reads "no such thing" as what it means where only table and sets are asked for.
fn no_table(error: impl Into<SinkError>) -> SinkError {
    match error.into() {
        SinkError::Refused(words)
            if words.lines().next().is_some_and(|first| first.contains(NOT_THERE)) =>
        {
            SinkError::NoTable
        }
        error => error,
    }
}

/// The output of `nft -j list …`. Of each object only what is needed is read, since the crate's own
/// types do not know every kind of set.
#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    set: Option<FoundSet>,
}

#[derive(Deserialize)]
struct FoundSet {
    name: String,
    #[serde(default)]
    elem: Vec<Expression<'static>>,
}

/// An element as it is listed.
struct Found {
    /// An address, of a flow with its port.
    key: (IpAddr, Option<u16>),
    left: Option<Duration>,
    comment: Option<String>,
}

impl Found {
    fn read(element: Expression<'_>) -> Option<Self> {
        let (value, expires, comment) = match element {
            Expression::Named(NamedExpression::Elem(Elem { val, expires, comment, .. })) => {
                (*val, expires, comment)
            }
            bare => (bare, None, None),
        };
        Some(Self {
            key: key(&value)?,
            left: expires.map(|secs| Duration::from_secs(secs.into())),
            comment: comment.map(Cow::into_owned),
        })
    }
}

/// Reads an address, or an address and a port.
fn key(value: &Expression<'_>) -> Option<(IpAddr, Option<u16>)> {
    match value {
        Expression::String(address) => Some((address.parse().ok()?, None)),
        Expression::Named(NamedExpression::Concat(parts)) => match parts.as_slice() {
            [Expression::String(address), Expression::Number(port)] => {
                Some((address.parse().ok()?, Some(u16::try_from(*port).ok()?)))
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_of_all_kinds_are_read() {
        let text = br#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "inet", "name": "asterguard", "handle": 1}},
            {"set": {"family": "inet", "name": "paused", "table": "asterguard", "type": "nf_proto",
                "handle": 4, "flags": ["timeout"], "elem": ["ipv6"]}},
            {"set": {"name": "ban4", "type": "ipv4_addr", "stmt": [{"counter": null}], "elem": [
                {"elem": {"val": "192.0.2.1", "timeout": 100, "expires": 99, "comment": "scan",
                    "counter": {"packets": 5000000000, "bytes": 5000000000}}},
                {"elem": {"val": "192.0.2.2", "counter": {"packets": 0, "bytes": 0}}},
                "192.0.2.3", {"prefix": {"addr": "10.0.0.0", "len": 8}}, "not an address",
                {"concat": ["192.0.2.4", 5060]}, {"concat": ["192.0.2.5", 65536]},
                {"elem": {"val": {"concat": ["2001:db8::7", 40312]}}}]}},
            {"rule": {"expr": [{"something": "new"}]}}]}"#;
        let listing: Listing = serde_json::from_slice(text).unwrap();
        let sets: Vec<_> = listing.nftables.into_iter().filter_map(|object| object.set).collect();
        assert_eq!((sets.len(), sets[0].name.as_str()), (2, "paused"));
        let found: Vec<_> = sets[1].elem.iter().cloned().filter_map(Found::read).collect();
        let (first, rest) = found.split_first().unwrap();
        assert_eq!(
            (first.left, first.comment.as_deref()),
            (Some(Duration::from_secs(99)), Some("scan"))
        );
        assert!(rest.iter().all(|found| found.left.is_none() && found.comment.is_none()));
        let keys: Vec<_> = found
            .iter()
            .map(|found| {
                let (address, port) = found.key;
                port.map_or_else(|| address.to_string(), |port| format!("{address} . {port}"))
            })
            .collect();
        let expected =
            ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4 . 5060", "2001:db8::7 . 40312"];
        assert_eq!(keys, expected);
    }
}
