//! Translates changes for the kernel: which set, which key, and how long from now on.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::model::event::{Change, Element, JailId, ScopeId};
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::table::structure::{Scope, SetKey, SetKind, Structure, TABLE};

/// The longest comment that nft takes is 128 bytes, its closing zero included.
const COMMENT_MAX: usize = 127;

/// Elements in one command of a text for `nft`.
const ELEMENTS: usize = 1000;

/// The longest timeout that every version of nft takes (68 years).
const NFT_TIMEOUT_MAX: Duration = Duration::from_secs(i32::MAX.unsigned_abs() as u64);

/// A day, in seconds.
const DAY: u64 = 24 * 60 * 60;

/// A change as the kernel is told.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) change: Change,
    /// The name of the set.
    pub(super) set: Arc<str>,
    /// The key in it.
    pub(super) key: SetKey,
    /// The element that is to be there; `None`: none.
    pub(super) put: Option<Put>,
}

/// Timeout and comment of an element; without a timeout it stays.
#[derive(Debug)]
pub(super) struct Put {
    /// Whole seconds, at least one.
    pub(super) timeout: Option<Duration>,
    pub(super) comment: Option<Arc<str>>,
}

/// The names that orders have in common: ten thousand orders have a few of them.
#[derive(Default)]
struct Names {
    sets: HashMap<(ScopeId, SetKind, bool), Arc<str>, RandomState>,
    comments: HashMap<JailId, Arc<str>, RandomState>,
}

impl Names {
    fn set(&mut self, id: ScopeId, scope: &Scope, subject: Subject) -> Arc<str> {
        let (kind, ipv6) = (scope.kind_of(subject), subject.is_ipv6());
        let name = self.sets.entry((id, kind, ipv6));
        Arc::clone(name.or_insert_with(|| scope.set(kind, ipv6).into()))
    }

    fn comment(&mut self, id: JailId, structure: &Structure) -> Option<Arc<str>> {
        let jail = structure.jails.get(usize::from(id.0))?;
        Some(Arc::clone(self.comments.entry(id).or_insert_with(|| comment(jail).into())))
    }
}

impl Order {
    fn new(
        change: Change,
        structure: &Structure,
        names: &mut Names,
        now: Time,
    ) -> Result<Self, String> {
        let (id, subject) = change.key();
        let scope = structure.existing_scope(id).map_err(|misfit| misfit.to_string())?;
        let (set, key) = (names.set(id, scope, subject), scope.key_of(subject));
        let put = match change {
            Change::Remove(..) => None,
            Change::Put(Element { until: Some(until), .. }) if until <= now => None,
            Change::Put(Element { until, jail, .. }) => Some(Put {
                timeout: until.map(|until| whole_seconds(until.since(now))),
                comment: names.comment(jail, structure),
            }),
        };
        Ok(Self { change, set, key, put })
    }
}

/// Returns the orders for `changes`, and the changes that no set can hold, each with the reason.
///
/// Of several changes to one key only the last counts. Removals come first, because they make room
/// for what comes after them; what goes to one set comes together.
pub(super) fn orders(
    changes: &[Change],
    structure: &Structure,
    now: Time,
) -> (Vec<Order>, Vec<(Change, String)>) {
    let (mut orders, mut misfits) = (Vec::with_capacity(changes.len()), Vec::new());
    let mut names = Names::default();
    for change in last_of_each_key(changes) {
        match Order::new(change, structure, &mut names, now) {
            Ok(order) => orders.push(order),
            Err(misfit) => misfits.push((change, misfit)),
        }
    }
    orders.sort_by(|a, b| (a.put.is_some(), &a.set).cmp(&(b.put.is_some(), &b.set)));
    (orders, misfits)
}

/// Returns the text for `nft` after which the IPv6 sets of `scopes` hold these elements and no others.
pub(super) fn refill(
    structure: &Structure,
    scopes: &[ScopeId],
    elements: &[Element],
    now: Time,
) -> String {
    let mut text = String::new();
    for scope in scopes.iter().filter_map(|id| structure.scope(*id)) {
        for kind in [SetKind::Hosts, SetKind::Networks] {
            let _ = writeln!(text, "flush set inet {TABLE} {}", scope.set(kind, true));
        }
    }
    // What flows are keyed by has no length.
    let is_network = |subject: &Subject| subject.is_ipv6() && !subject.is_flow();
    let mine = |element: &&Element| scopes.contains(&element.scope) && is_network(&element.subject);
    let changes: Vec<_> = elements.iter().filter(mine).map(|one| Change::Put(*one)).collect();
    let (orders, _) = orders(&changes, structure, now);
    let of_one_set = orders.chunk_by(|a, b| a.set == b.set).flat_map(|set| set.chunks(ELEMENTS));
    for some in of_one_set {
        let Some(Order { set, .. }) = some.first() else { continue };
        let some: Vec<_> = some.iter().filter_map(written).collect();
        if !some.is_empty() {
            let _ = writeln!(text, "add element inet {TABLE} {set} {{ {} }}", some.join(", "));
        }
    }
    text
}

/// Returns the element of an order as nft writes it.
fn written(order: &Order) -> Option<String> {
    let Put { timeout, comment } = order.put.as_ref()?;
    Some(text(&key_text(order.key), *timeout, comment.as_deref()))
}

/// Returns a key as nft writes it.
pub(super) fn key_text(key: SetKey) -> String {
    match key {
        SetKey::Host(address) => address.to_string(),
        SetKey::Flow(address, port) => format!("{address} . {port}"),
        SetKey::Network(net) => net.to_string(),
    }
}

/// Returns an element as nft writes it.
pub(super) fn text(key: &str, timeout: Option<Duration>, comment: Option<&str>) -> String {
    let mut text = key.to_owned() + &timeout.map_or_else(String::new, timeout_text);
    // Others write what they like into comments, and what nft could not read is not worth a ban.
    // Names of jails have none of these; and if they had, they would not become part of the ruleset.
    let plain = |c: char| !c.is_control() && c != '"' && c != '\\';
    if let Some(comment) = comment.filter(|comment| comment.chars().all(plain)) {
        let _ = write!(text, " comment \"{comment}\"");
    }
    text
}

/// Returns a timeout as nft writes it, with a space ahead: at least a millisecond, and not more than every
/// version takes. In days, seconds and the rest, since nft takes no more than eight digits of each.
pub(super) fn timeout_text(span: Duration) -> String {
    let span = span.clamp(Duration::from_millis(1), NFT_TIMEOUT_MAX);
    let (days, seconds) = (span.as_secs() / DAY, span.as_secs() % DAY);
    format!(" timeout {days}d{seconds}s{}ms", span.subsec_millis())
}

/// Returns the changes without those that a later one to the same key makes void, in the order given.
fn last_of_each_key(changes: &[Change]) -> Vec<Change> {
    let mut seen = HashSet::with_capacity_and_hasher(changes.len(), RandomState::default());
    let mut last: Vec<_> =
        changes.iter().rev().filter(|change| seen.insert(change.key())).copied().collect();
    last.reverse();
    last
}

/// Rounded up: no ban ends early, and listings are easy to read.
fn whole_seconds(span: Duration) -> Duration {
    let rest = u64::from(span.subsec_nanos() > 0);
    Duration::from_secs(span.as_secs().saturating_add(rest).max(1))
}

fn comment(jail: &str) -> &str {
    let ends = (0..=COMMENT_MAX.min(jail.len())).rev();
    ends.into_iter().find_map(|end| jail.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_whole_seconds_rounded_up() {
        for (millis, secs) in [(0, 1), (1, 1), (1000, 1), (1001, 2)] {
            let span = Duration::from_millis(millis);
            assert_eq!(whole_seconds(span), Duration::from_secs(secs));
        }
        assert_eq!(whole_seconds(Duration::MAX).as_secs(), u64::MAX);
    }

    #[test]
    fn no_unit_of_a_timeout_has_too_many_digits() {
        for (span, text) in [
            (Duration::ZERO, " timeout 0d0s1ms"),
            (Duration::from_millis(61_001), " timeout 0d61s1ms"),
            (Duration::from_secs(100_000_000), " timeout 1157d35200s0ms"),
            (Duration::MAX, " timeout 24855d11647s0ms"),
        ] {
            assert_eq!(timeout_text(span), text);
        }
    }

    #[test]
    fn comments_are_cut_between_characters() {
        assert_eq!(comment(&"ä".repeat(100)), "ä".repeat(63));
        assert_eq!(comment("scan"), "scan");
    }
}
