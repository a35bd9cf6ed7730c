//! The kernel's sets, by way of the `nft` program: element batches and listings as JSON.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use nftables::batch::Batch;
use nftables::expr::{Elem, Expression, NamedExpression};
use nftables::schema::{Element as SetElements, NfListObject};
use nftables::types::NfFamily;
use serde::Deserialize;

use super::set_element::{self, Order};
use super::{BanSink, Report, SinkError};
use crate::model::event::KernelElement;
use crate::model::event::{self, Change, ScopeId};
use crate::model::pause::Pause;
use crate::model::time::Time;
use crate::sys::program::Program;
use crate::table::structure::{PAUSED, Structure, TABLE};

/// The most changes in one transaction (a few megabytes of JSON).
const BATCH_MAX: usize = 16_384;

/// The most runs of `nft` that one [`BanSink::apply`] spends on telling good changes from bad
/// ones, at a few milliseconds each. One bad change among 16 384 needs 28. When they are used up,
/// as when thousands do not fit into a full set, what is still together is refused together.
const SPLITS_MAX: u32 = 128;

/// The longest timeout that every version of nft takes, in seconds (68 years).
const TIMEOUT_MAX: u32 = i32::MAX.unsigned_abs();

/// A listing may take this many times as long as a change: it grows with the number of bans.
const LISTING_PATIENCE: u32 = 12;

/// What nft says of a set that holds as many elements as it may (ENFILE).
const SET_FULL: &str = "Too many open files in system";

/// What nft says of a table or set that is not there (ENOENT).
const NOT_THERE: &str = "No such file or directory";

/// The kernel's sets.
#[derive(Debug)]
pub struct NftSink {
    nft: Program,
    structure: Option<Structure>,
}

impl NftSink {
    /// A sink that has to be [loaded](BanSink::load) before it takes changes.
    #[must_use]
    pub fn new(nft: Program) -> Self {
        Self { nft, structure: None }
    }

    /// A sink for a kernel that has `structure` loaded already.
    #[must_use]
    pub fn attached(nft: Program, structure: Structure) -> Self {
        Self { nft, structure: Some(structure) }
    }

    /// Runs a few words of nft's own language.
    fn command(&self, text: &str) -> Result<(), SinkError> {
        self.nft.run(&["-f", "-"], text.as_bytes()).map_err(no_table).map(drop)
    }

    fn list(&self, what: &[&str]) -> Result<Vec<FoundSet>, SinkError> {
        let args: Vec<_> = ["-j", "list"].iter().chain(what).copied().collect();
        let patient = self.nft.limited(self.nft.limit().saturating_mul(LISTING_PATIENCE));
        let output = patient.run(&args, b"").map_err(no_table)?;
        let listing: Listing = serde_json::from_slice(&output)
            .map_err(|error| SinkError::Output(error.to_string()))?;
        Ok(listing.nftables.into_iter().filter_map(|object| object.set).collect())
    }
}

impl BanSink for NftSink {
    fn load(&mut self, structure: &Structure) -> Result<(), SinkError> {
        self.nft.run(&["-f", "-"], structure.ruleset().as_bytes())?;
        self.structure = Some(structure.clone());
        Ok(())
    }

    fn load_rekeyed(
        &mut self,
        structure: &Structure,
        scopes: &[ScopeId],
        elements: &[event::Element],
        now: Time,
    ) -> Result<(), SinkError> {
        let text = structure.ruleset() + &set_element::refill(structure, scopes, elements, now);
        self.nft.run(&["-f", "-"], text.as_bytes())?;
        self.structure = Some(structure.clone());
        Ok(())
    }

    fn load_wire(&mut self, structure: &Structure) -> Result<(), SinkError> {
        self.nft.run(&["-f", "-"], structure.wire_ruleset().as_bytes())?;
        Ok(())
    }

    fn allow(&mut self, nets: &[IpNet]) -> Result<(), SinkError> {
        let structure = self.structure.as_mut().ok_or(SinkError::NoTable)?;
        structure.allow = nets.to_vec();
        let text = structure.allow_text();
        self.command(&text)
    }

    fn adopt(&mut self, now: Time) -> Result<Vec<KernelElement>, SinkError> {
        let structure = self.structure.as_ref().ok_or(SinkError::NoTable)?;
        let sets = match self.list(&["table", "inet", TABLE]) {
            Err(SinkError::NoTable) => return Ok(Vec::new()),
            sets => sets?,
        };
        let mut adopted = Vec::new();
        for set in sets {
            let Some(scope) = structure.scope_of_set(&set.name) else { continue };
            let found = set.elem.into_iter().filter_map(Found::read).filter_map(|found| {
                let until = found.left.map(|left| now.plus(left));
                structure.adopted(scope, found.address, until, found.comment.as_deref())
            });
            adopted.extend(found);
        }
        Ok(adopted)
    }

    fn apply(&mut self, changes: &[Change], now: Time) -> Result<Report, SinkError> {
        let structure = self.structure.as_ref().ok_or(SinkError::NoTable)?;
        let (orders, misfits) = set_element::orders(changes, structure, now);
        let mut run = Run { nft: &self.nft, splits: SPLITS_MAX, done: 0, refused: Vec::new() };
        for batch in orders.chunks(BATCH_MAX) {
            run.carry_out(batch)?;
        }
        let mut report = run.finish()?;
        report.refused.extend(misfits);
        Ok(report)
    }

    fn pause(&mut self, span: Option<Duration>) -> Result<(), SinkError> {
        let timeout = span.map_or_else(String::new, |span| format!(" timeout {}s", seconds(span)));
        // Emptied first: not every kernel gives an element that is there a new timeout.
        self.command(&format!(
            "flush set inet {TABLE} {PAUSED}\n\
             add element inet {TABLE} {PAUSED} {{ ipv4{timeout}, ipv6{timeout} }}\n"
        ))
    }

    fn resume(&mut self) -> Result<(), SinkError> {
        self.command(&format!("flush set inet {TABLE} {PAUSED}\n"))
    }

    fn paused(&mut self, now: Time) -> Result<Pause, SinkError> {
        let sets = self.list(&["set", "inet", TABLE, PAUSED])?;
        let ends = sets.into_iter().flat_map(|set| set.elem).map(|element| {
            let Expression::Named(NamedExpression::Elem(Elem { expires, .. })) = element else {
                return None;
            };
            expires.map(|left| now.plus(Duration::from_secs(left.into())))
        });
        Ok(Pause::longest(ends))
    }
}

/// `apply` under way.
struct Run<'a> {
    nft: &'a Program,
    splits: u32,
    done: usize,
    refused: Vec<(Change, String)>,
}

impl Run<'_> {
    /// Carries out `orders` as one transaction; if that is refused, its halves.
    fn carry_out(&mut self, orders: &[Order]) -> Result<(), SinkError> {
        let words = match self.nft.run(&["-j", "-f", "-"], &batch(orders)?).map_err(no_table) {
            Ok(_) => {
                self.done += orders.len();
                return Ok(());
            }
            Err(SinkError::Refused(words)) => words,
            Err(error) => return Err(error),
        };
        if let [order] = orders {
            if order.put.is_none() && words.contains(SET_FULL) {
                // Adding it, which is how a removal starts, needed room: it was not there.
                self.done += 1;
            } else {
                self.refused.push((order.change, explained(&words)));
            }
        } else if let Some(left) = self.splits.checked_sub(2) {
            self.splits = left;
            let (first, second) = orders.split_at(orders.len() / 2);
            self.carry_out(first)?;
            self.carry_out(second)?;
        } else {
            let words = explained(&words);
            self.refused.extend(orders.iter().map(|order| (order.change, words.clone())));
        }
        Ok(())
    }

    /// The report; or the error, if what was refused is not the fault of single elements.
    fn finish(self) -> Result<Report, SinkError> {
        let Self { done, refused, .. } = self;
        match refused.first() {
            Some((_, words)) if done == 0 && !refused.iter().any(|(_, w)| w.contains(SET_FULL)) => {
                Err(SinkError::Refused(words.clone()))
            }
            _ => Ok(Report { done, refused, ..Report::default() }),
        }
    }
}

impl Order {
    fn key(&self) -> Expression<'_> {
        Expression::String(Cow::Owned(self.subject().address().to_string()))
    }

    fn element(&self) -> Expression<'_> {
        // What is to be removed is added first, and must not stay if anything goes wrong.
        let (timeout, comment) = match &self.put {
            Some(put) => (put.timeout.map(seconds), put.comment.as_deref()),
            None => (Some(1), None),
        };
        Expression::Named(NamedExpression::Elem(Elem {
            val: Box::new(self.key()),
            timeout,
            expires: None,
            comment: comment.map(Cow::Borrowed),
            counter: None,
        }))
    }
}

/// One transaction, as JSON: everything is added, so that everything can be deleted; what is to
/// stay is then added anew. This works whether a key was there or not, and on kernels that do not
/// give an element a new timeout or comment when it is added again.
fn batch(orders: &[Order]) -> Result<Vec<u8>, SinkError> {
    let mut batch = Batch::new();
    for same_set in orders.chunk_by(|a, b| a.set == b.set && a.put.is_some() == b.put.is_some()) {
        let Some(Order { set, put, .. }) = same_set.first() else { continue };
        batch.add(elements(set, same_set, Order::element));
        batch.delete(elements(set, same_set, Order::key));
        if put.is_some() {
            batch.add(elements(set, same_set, Order::element));
        }
    }
    serde_json::to_vec(&batch.to_nftables()).map_err(|error| SinkError::Io(error.into()))
}

fn elements<'a>(
    set: &'a str,
    orders: &'a [Order],
    written: impl Fn(&'a Order) -> Expression<'a>,
) -> NfListObject<'a> {
    NfListObject::Element(SetElements {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: set.into(),
        elem: orders.iter().map(written).collect(),
    })
}

/// The names of all sets of the table. Their elements are not read.
pub(super) fn set_names(nft: &Program) -> Result<Vec<String>, SinkError> {
    let output = nft.run(&["-j", "-t", "list", "table", "inet", TABLE], b"").map_err(no_table)?;
    let listing: Listing =
        serde_json::from_slice(&output).map_err(|error| SinkError::Output(error.to_string()))?;
    Ok(listing.nftables.into_iter().filter_map(|object| Some(object.set?.name)).collect())
}

/// A timeout for nft, in seconds; rounded up and at least 1.
fn seconds(span: Duration) -> u32 {
    let secs = span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0));
    u32::try_from(secs).unwrap_or(TIMEOUT_MAX).clamp(1, TIMEOUT_MAX)
}

/// Takes "no such thing" for what it means where only table and sets are asked for. Only the first
/// complaint counts: after an element that is refused the deletion of it misses it.
pub(super) fn no_table(error: impl Into<SinkError>) -> SinkError {
    match error.into() {
        SinkError::Refused(words)
            if words.lines().next().is_some_and(|first| first.contains(NOT_THERE)) =>
        {
            SinkError::NoTable
        }
        error => error,
    }
}

fn explained(words: &str) -> String {
    if words.contains(SET_FULL) { format!("the set is full ({words})") } else { words.to_owned() }
}

/// What `nft -j list …` prints. Of each object only what is needed is read, since the crate's own
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
    address: IpAddr,
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
        let Expression::String(address) = value else { return None };
        Some(Self {
            address: address.parse().ok()?,
            left: expires.map(|secs| Duration::from_secs(secs.into())),
            comment: comment.map(Cow::into_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Element, JailId, ScopeId};
    use crate::model::scope::Ports;
    use crate::table::structure::Scope;
    use serde_json::Value;

    const NOW: Time = Time::from_secs(1_000_000);

    fn structure() -> Structure {
        let ban = Scope::builtin("all", Ports::All, 64, "ban");
        Structure {
            scopes: vec![ban],
            jails: vec!["scan".to_owned()],
            allow: Vec::new(),
            lists: Vec::new(),
            guarded: Vec::new(),
            wire: crate::config::SipMonitor::default(),
        }
    }

    fn put(address: &str, until: Option<Time>) -> Change {
        let (scope, subject, jail) = (ScopeId(0), address.parse().unwrap(), JailId(0));
        Change::Put(Element { scope, subject, until, jail })
    }

    /// The commands of a batch: (command, set, elements).
    fn commands(changes: &[Change]) -> Vec<(String, String, Vec<Value>)> {
        let (orders, misfits) = set_element::orders(changes, &structure(), NOW);
        assert_eq!(misfits, []);
        let json: Value = serde_json::from_slice(&batch(&orders).unwrap()).unwrap();
        let commands = json["nftables"].as_array().unwrap().iter();
        commands
            .map(|command| {
                let (name, what) = command.as_object().unwrap().iter().next().unwrap();
                let element = &what["element"];
                assert_eq!(
                    (&element["family"], &element["table"]),
                    (&"inet".into(), &TABLE.into())
                );
                let set = element["name"].as_str().unwrap().to_owned();
                (name.clone(), set, element["elem"].as_array().unwrap().clone())
            })
            .collect()
    }

    #[test]
    fn a_timed_element_is_never_sent_without_its_timeout() {
        let until = NOW.plus(Duration::from_millis(60_001));
        let sent = commands(&[put("192.0.2.1", Some(until)), put("2001:db8::/64", Some(until))]);
        let names: Vec<_> = sent.iter().map(|(name, set, _)| format!("{name} {set}")).collect();
        assert_eq!(
            names,
            ["add ban4", "delete ban4", "add ban4", "add ban6", "delete ban6", "add ban6"]
        );
        for (name, _, elements) in sent {
            for element in elements {
                if name == "add" {
                    assert_eq!(element["elem"]["timeout"], 61, "{element}");
                    assert_eq!(element["elem"]["comment"], "scan", "{element}");
                } else {
                    assert!(element == "192.0.2.1" || element == "2001:db8::", "{element}");
                }
            }
        }
    }

    #[test]
    fn a_removal_leaves_nothing() {
        let over = put("192.0.2.2", Some(NOW));
        let remove = Change::Remove(ScopeId(0), "192.0.2.1".parse().unwrap());
        let sent = commands(&[remove, over]);
        let names: Vec<_> = sent.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["add", "delete"]);
        assert_eq!(sent[0].2.len(), 2);
        assert!(sent[0].2.iter().all(|element| element["elem"]["timeout"] == 1), "{sent:?}");
        assert_eq!(sent[1].2, ["192.0.2.1", "192.0.2.2"]);
    }

    #[test]
    fn only_a_permanent_ban_has_no_timeout() {
        let sent = commands(&[put("192.0.2.1", None)]);
        assert_eq!(sent.len(), 3);
        assert!(sent[2].2[0]["elem"]["timeout"].is_null());
    }

    #[test]
    fn timeouts_are_whole_seconds_rounded_up() {
        for (millis, secs) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (u64::MAX, TIMEOUT_MAX)] {
            assert_eq!(seconds(Duration::from_millis(millis)), secs);
        }
    }

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
                "192.0.2.3", {"prefix": {"addr": "10.0.0.0", "len": 8}}, "not an address"]}},
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
        let addresses: Vec<_> = found.iter().map(|found| found.address.to_string()).collect();
        assert_eq!(addresses, ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    }
}
