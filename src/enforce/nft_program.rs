//! The table by way of the `nft` program: pauses and resumes where no daemon runs, and reads what the
//! sets hold as JSON, apart from all that netlink says of them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use nftables::expr::{Elem, Expression, NamedExpression, Prefix};
use serde::Deserialize;

use super::SinkError;
use super::set_element::{key_text, timeout_text};
use crate::model::event::{KernelElement, ScopeId};
use crate::model::pause::Pause;
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::sys::program::Program;
use crate::table::list_sets::PREFIX;
use crate::table::structure::{ALLOWED, PAUSED, SetKey, SetKind, Structure, TABLE};

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
            let Some((scope, kind)) = structure.scope_of_set(&set.name) else { continue };
            let found = set.elem.into_iter().filter_map(Found::read).filter_map(|found| {
                let until = found.left.map(|left| now.plus(left));
                let key = match found.key {
                    // A network of one address.
                    SetKey::Host(address) if kind == SetKind::Networks => {
                        SetKey::Network(IpNet::from(address))
                    }
                    key => key,
                };
                structure.adopted(scope, key, until, found.comment.as_deref())
            });
            bans.extend(found);
        }
        Ok(bans)
    }

    /// Returns the networks by which the table drops a host without a ban.
    ///
    /// # Errors
    /// As [`NftProgram::bans`].
    pub fn listed(&self, host: IpAddr) -> Result<Vec<(ListOrigin, IpNet)>, SinkError> {
        let sets = match self.list(&["table", "inet", TABLE]) {
            Err(SinkError::NoTable) => return Ok(Vec::new()),
            sets => sets?,
        };
        let mut listed = Vec::new();
        for set in sets {
            let Some((origin, bits)) = list_of(&set.name) else { continue };
            let elements = set.elem.into_iter().filter_map(|element| match element {
                Expression::Named(NamedExpression::Elem(Elem { val, .. })) => network(&val, bits),
                bare => network(&bare, bits),
            });
            let holding = elements.filter(|net| net.contains(&host));
            listed.extend(holding.map(|net| (origin, net)));
        }
        Ok(listed)
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
            let (set, key) = structure
                .place(*scope, *subject)
                .map_err(|misfit| SinkError::Refused(misfit.to_string()))?;
            let key = key_text(key);
            // Writing to a string does not fail.
            let _ = writeln!(text, "delete element inet {TABLE} {set} {{ {key} }}");
        }
        if text.is_empty() { Ok(()) } else { self.command(&text) }
    }

    /// Lets a network through, besides those that are.
    ///
    /// # Errors
    /// When `nft` does not do it.
    pub fn allow(&self, net: IpNet) -> Result<(), SinkError> {
        self.command(&format!("add element inet {TABLE} {} {{ {net} }}\n", allow_set(&net)))
    }

    /// Lets a network through no longer.
    ///
    /// # Errors
    /// When `nft` does not do it; [`SinkError::NoTable`] also if it is not let through.
    pub fn disallow(&self, net: IpNet) -> Result<(), SinkError> {
        let set = allow_set(&net);
        self.command(&format!("delete element inet {TABLE} {set} {{ {net} }}\n"))
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

/// What a network that is dropped without a ban comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOrigin {
    /// The list `block`.
    Block,
    /// A feed.
    Feed,
    /// Somebody put it into `block4` or `block6`.
    Hand,
}

/// Returns the list that a set belongs to, and the length of its networks where they have one length.
fn list_of(set: &str) -> Option<(ListOrigin, Option<u8>)> {
    if matches!(set, "block4" | "block6") {
        return Some((ListOrigin::Hand, None));
    }
    let rest = set.strip_prefix(PREFIX)?;
    let (origin, rest) = match rest.strip_prefix("block") {
        Some(rest) => (ListOrigin::Block, rest),
        None => (ListOrigin::Feed, rest.strip_prefix("feed")?),
    };
    let bits = rest.split('_').nth(1)?.parse().ok()?;
    Some((origin, Some(bits)))
}

/// Reads a network; an address alone has `bits`. Of a range, the smallest network that holds all of it.
fn network(value: &Expression<'_>, bits: Option<u8>) -> Option<IpNet> {
    if let Expression::Range(range) = value {
        let [first, last] = &range.range;
        let (SetKey::Host(first), SetKey::Host(last)) = (key(first)?, key(last)?) else {
            return None;
        };
        let holds = |bits: &u8| IpNet::new(first, *bits).is_ok_and(|net| net.contains(&last));
        let widest = if first.is_ipv4() { 32 } else { 128 };
        let bits = (0..=widest).rev().find(holds)?;
        return IpNet::new(first, bits).ok().map(|net| net.trunc());
    }
    match key(value)? {
        SetKey::Host(address) => {
            IpNet::new(address, bits.unwrap_or(if address.is_ipv4() { 32 } else { 128 })).ok()
        }
        SetKey::Network(net) => Some(net),
        SetKey::Flow(..) => None,
    }
}

/// Returns the set of a network that is let through.
fn allow_set(net: &IpNet) -> &'static str {
    let [(v4, _), (v6, _)] = ALLOWED;
    if matches!(net, IpNet::V6(_)) { v6 } else { v4 }
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
    key: SetKey,
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

/// Reads an address, an address and a port, or a network.
fn key(value: &Expression<'_>) -> Option<SetKey> {
    match value {
        Expression::String(address) => Some(SetKey::Host(address.parse().ok()?)),
        Expression::Named(NamedExpression::Concat(parts)) => match parts.as_slice() {
            [Expression::String(address), Expression::Number(port)] => {
                Some(SetKey::Flow(address.parse().ok()?, u16::try_from(*port).ok()?))
            }
            _ => None,
        },
        Expression::Named(NamedExpression::Prefix(Prefix { addr, len })) => match &**addr {
            Expression::String(address) => {
                let bits = u8::try_from(*len).ok()?;
                Some(SetKey::Network(IpNet::new(address.parse().ok()?, bits).ok()?))
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
        let keys: Vec<_> = found.iter().map(|found| key_text(found.key)).collect();
        let expected = [
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.3",
            "10.0.0.0/8",
            "192.0.2.4 . 5060",
            "2001:db8::7 . 40312",
        ];
        assert_eq!(keys, expected);
    }
}
