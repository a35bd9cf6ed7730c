//! Checks what the firewall helper does not take the guard's word for: which hosts to ban, how many, and
//! the names in the table.
#![expect(
    clippy::disallowed_methods,
    reason = "an edge: how many bans there may be is a matter of time"
)]

use std::io;
use std::time::{Duration, Instant};

use super::Channel;
use super::connections::{Connections, Issuer};
use crate::config::FLEET;
use crate::enforce::{BanSink, Operation, Report, SinkError};
use crate::hosts::lists::Networks;
use crate::model::event::KernelElement;
use crate::model::event::{Change, Element, JailId, ScopeId};
use crate::model::listed::unblockable;
use crate::model::scope::{Blocktype, Ports};
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::table::list_sets::Contents;
use crate::table::structure::{Scope, Structure};

/// New bans at the same time: more than the hosts of a botnet that come at the same time ...
const BURST: usize = 50_000;
/// ... and this many more a second.
const RATE: usize = 1_000;
/// The time after the start in which all bans that were stored may be put back.
const START: Duration = Duration::from_secs(60);

/// Refuses lists one of whose sets has a name that is none.
pub(super) fn check_lists(contents: &Contents) -> Result<(), SinkError> {
    named(contents.odd_name())
}

fn named(odd: Option<&str>) -> Result<(), SinkError> {
    odd.map_or(Ok(()), |name| Err(SinkError::Refused(format!("{name:?} is no name"))))
}

/// A sink that bans no host that is never to be banned, nor more than it may in a while.
pub(super) struct CheckedSink {
    sink: Box<dyn BanSink + Send>,
    allowed: Networks,
    allowance: Allowance,
    /// The ports that each scope closes to open connections, too; `None` where those go on.
    scopes: Vec<Option<Ports>>,
    /// The jail of the bans of peers.
    fleet: Option<JailId>,
    /// Destroys the connections of banned hosts.
    connections: Option<Connections>,
}

impl CheckedSink {
    pub(super) fn new(sink: Box<dyn BanSink + Send>, connections: Option<Connections>) -> Self {
        let allowance = Allowance::new(Instant::now());
        let (allowed, scopes, fleet) = (Networks::default(), Vec::new(), None);
        Self { sink, allowed, allowance, scopes, fleet, connections }
    }

    fn forbids(&self, subject: &Subject) -> bool {
        let net = subject.net();
        let allowed = || self.allowed.find(net.addr()).is_some_and(|known| known.contains(&net));
        unblockable(&net).is_some() || allowed()
    }

    fn permitted(&self, elements: &[Element]) -> Vec<Element> {
        elements.iter().filter(|element| !self.forbids(&element.subject)).copied().collect()
    }

    /// Records what is to be let pass, unless a name in the structure is none.
    fn check(&mut self, structure: &Structure) -> Result<(), SinkError> {
        named(structure.odd_name())?;
        self.allowed = Networks::new(structure.allow.iter().copied());
        let closed =
            |scope: &Scope| (scope.blocktype != Blocktype::DropNew).then(|| scope.ports.clone());
        self.scopes = structure.scopes.iter().map(closed).collect();
        self.fleet = structure.jail(FLEET);
        Ok(())
    }

    /// Has the connections of those destroyed that have just been banned.
    fn disconnect<'a>(&self, banned: impl Iterator<Item = &'a Element>) {
        let Some(connections) = &self.connections else { return };
        for element in banned {
            if let Some(Some(ports)) = self.scopes.get(usize::from(element.scope.0)) {
                let is_of_peer = self.fleet == Some(element.jail);
                let issuer = if is_of_peer { Issuer::Peer } else { Issuer::Own };
                connections.destroy(element.subject, ports, issuer);
            }
        }
    }
}

impl CheckedSink {
    /// Makes the sink carry out an operation, as far as policy allows, and answers.
    pub(super) fn answer(&mut self, operation: Operation<'_>, to: &mut Channel) -> io::Result<()> {
        match &operation {
            Operation::Load { structure }
            | Operation::LoadWire { structure }
            | Operation::Repair { structure } => {
                if let Err(error) = self.check(structure) {
                    return to.answer::<()>(&Err(error));
                }
            }
            Operation::LoadRekeyed { structure, scopes, elements, now } => {
                return to.answer(&self.load_rekeyed(structure, scopes, elements, *now));
            }
            Operation::Allow { nets } => self.allowed = Networks::new(nets.iter().copied()),
            Operation::Adopt { now } => return to.answer(&self.adopt(*now)),
            Operation::AdoptWithin { now, limit, pieces } => {
                return to.answer(&self.adopt_within(*now, *limit, *pieces));
            }
            Operation::Apply { changes, now } => return to.answer(&self.apply(changes, *now)),
            Operation::Restore { wanted, now } => return to.answer(&self.restore(wanted, *now)),
            Operation::Inspect {}
            | Operation::Compare { .. }
            | Operation::Pause { .. }
            | Operation::Resume {}
            | Operation::Paused { .. } => {}
        }
        operation.answer(&mut *self.sink, to)
    }

    fn load_rekeyed(
        &mut self,
        structure: &Structure,
        scopes: &[ScopeId],
        elements: &[Element],
        now: Time,
    ) -> Result<(), SinkError> {
        self.check(structure)?;
        let elements = self.permitted(elements);
        self.allowance.hold(elements.len().max(self.allowance.held), Instant::now())?;
        self.sink.load_rekeyed(structure, scopes, &elements, now)
    }

    fn adopt(&mut self, now: Time) -> Result<Vec<KernelElement>, SinkError> {
        let found = self.sink.adopt(now)?;
        self.allowance.held = self.allowance.held.max(found.len());
        Ok(found)
    }

    fn adopt_within(
        &mut self,
        now: Time,
        limit: Duration,
        pieces: u32,
    ) -> Result<Option<Vec<KernelElement>>, SinkError> {
        let found = self.sink.adopt_within(now, limit, pieces)?;
        // What cannot be listed may be as many as there can be.
        let held = found.as_ref().map_or(crate::decide::ban_table::CAPACITY, Vec::len);
        self.allowance.held = self.allowance.held.max(held);
        Ok(found)
    }

    fn apply(&mut self, changes: &[Change], now: Time) -> Result<Report, SinkError> {
        let is_put = |change: &Change| matches!(change, Change::Put(_));
        let (mut sound, mut refused) = (Vec::with_capacity(changes.len()), Vec::new());
        for change in changes {
            match change {
                Change::Put(element) if self.forbids(&element.subject) => {
                    refused.push((*change, "it is never banned".to_owned()));
                }
                change => sound.push(*change),
            }
        }
        let puts = sound.iter().filter(|change| is_put(change)).count();
        self.allowance.spend(puts, Instant::now())?;
        let applied = self.sink.apply(&sound, now);
        // Bans that were not put are tried again.
        let undone = match &applied {
            Ok(report) => report.refused.iter().filter(|(change, _)| is_put(change)).count(),
            Err(_) => puts,
        };
        self.allowance.left += undone;
        let mut report = applied?;
        self.allowance.held(puts - undone.min(puts), sound.len() - puts);
        report.refused.extend(refused);
        let banned = sound.iter().filter_map(|change| match change {
            Change::Put(element) => Some(element),
            Change::Remove(..) => None,
        });
        self.disconnect(banned);
        Ok(report)
    }

    fn restore(&mut self, wanted: &[Element], now: Time) -> Result<Report, SinkError> {
        let wanted = self.permitted(wanted);
        // Read once: with very many bans, that is what takes long.
        let found = self.sink.compare(&wanted, now)?;
        self.allowance.hold(wanted.len() + found.extra.len(), Instant::now())?;
        let report = self.sink.fill_in(&found, now)?;
        self.disconnect(found.missing.iter());
        Ok(report)
    }
}

/// The number of bans that there may be. What the kernel has lost may be put back at any time.
#[derive(Debug)]
struct Allowance {
    start: Instant,
    /// The number of bans that there may be at the same time, as of `filled`.
    left: usize,
    filled: Instant,
    /// The number of bans in the kernel, at most.
    held: usize,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { start: now, left: crate::decide::ban_table::CAPACITY, filled: now, held: 0 }
    }

    /// Counts `new` bans, if there may be as many.
    fn spend(&mut self, new: usize, now: Instant) -> Result<(), SinkError> {
        let seconds = now.saturating_duration_since(self.filled).as_secs();
        let most = if now < self.start + START { self.left.max(BURST) } else { BURST };
        let fresh = usize::try_from(seconds).unwrap_or(usize::MAX).saturating_mul(RATE);
        self.left = self.left.saturating_add(fresh).min(most);
        self.filled += Duration::from_secs(seconds);
        self.left =
            self.left.checked_sub(new).ok_or(SinkError::TooMany { at_once: BURST, rate: RATE })?;
        Ok(())
    }

    /// Records how many were put and removed.
    fn held(&mut self, put: usize, removed: usize) {
        self.held = self
            .held
            .saturating_add(put)
            .saturating_sub(removed)
            .min(crate::decide::ban_table::CAPACITY);
    }

    /// Records how many are to be in the kernel, if that is not too many more than before.
    fn hold(&mut self, whole: usize, now: Instant) -> Result<(), SinkError> {
        self.spend(whole.saturating_sub(self.held), now)?;
        self.held = whole;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde::de::DeserializeOwned;

    use super::*;
    use crate::enforce::DryRunSink;
    use crate::model::event::JailId;
    use crate::model::network_set::Keys;
    use crate::table::list_sets::{ListKind, ListSet};
    use crate::table::structure::tests::with;

    fn put(host: &str) -> Change {
        let subject: Subject = host.parse().unwrap();
        let until = Some(Time::from_secs(600));
        Change::Put(Element { scope: ScopeId(0), subject, until, jail: JailId(0) })
    }

    fn element(n: u32) -> Element {
        let subject = Subject::of(std::net::Ipv4Addr::from(0x0b00_0000 + n).into(), 128);
        Element { scope: ScopeId(0), subject, until: None, jail: JailId(0) }
    }

    fn puts(range: std::ops::Range<u32>) -> Vec<Change> {
        range.map(|n| Change::Put(element(n))).collect()
    }

    /// Returns the answer to an operation; it has to fit into a socket.
    fn ask<T: DeserializeOwned>(
        checked: &mut CheckedSink,
        operation: Operation<'_>,
    ) -> Result<T, SinkError> {
        let (mut to, end) = Channel::pair().unwrap();
        checked.answer(operation, &mut to).unwrap();
        Channel::from(end).receive().unwrap().0
    }

    /// Returns a checked sink that has been there for longer than [`START`].
    fn checked() -> CheckedSink {
        let mut checked = CheckedSink::new(Box::new(DryRunSink::new()), None);
        let allow = ["192.0.2.0/24", "2001:db8:1::/48"].map(|net| net.parse().unwrap()).to_vec();
        let structure = Cow::Owned(Structure { allow, ..with(Vec::new()) });
        ask::<()>(&mut checked, Operation::Load { structure }).unwrap();
        checked.allowance.start -= START;
        checked
    }

    #[test]
    fn exempt_hosts_are_not_banned() {
        let mut checked = checked();
        let never = [
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::",
            "::1",
            "192.0.2.7",
            "192.0.2.7:5060",
            "127.0.0.1:5060",
            "2001:db8:1:2::/64",
            "[2001:db8:1:2::7]:5060",
        ];
        let changes: Vec<_> = never.iter().chain(&["198.51.100.7"]).map(|host| put(host)).collect();
        let report = checked.apply(&changes, Time::from_secs(0)).unwrap();
        let refused: Vec<_> = report.refused.iter().map(|(change, _)| change.key().1).collect();
        assert_eq!(refused, never.map(|host| host.parse().unwrap()));
        let elements = changes.iter().filter_map(|change| match change {
            Change::Put(element) => Some(*element),
            Change::Remove(..) => None,
        });
        let report = checked.restore(&elements.collect::<Vec<_>>(), Time::from_secs(0)).unwrap();
        assert!(report.refused.is_empty());
        let held = checked.adopt(Time::from_secs(0)).unwrap();
        assert_eq!(held.len(), 1, "{held:?}");
        // A host that is let pass later on is not banned either, and one that no longer is can be.
        let nets = Cow::Owned(vec!["198.51.100.0/24".parse().unwrap()]);
        ask::<()>(&mut checked, Operation::Allow { nets }).unwrap();
        let report = checked.apply(&[put("198.51.100.8"), put("192.0.2.7")], Time::from_secs(0));
        assert_eq!(report.unwrap().refused.len(), 1);
    }

    #[test]
    fn bans_are_limited_in_number_and_rate() {
        let mut checked = checked();
        let burst = u32::try_from(BURST).unwrap();
        let now = Time::from_secs(0);
        checked.apply(&puts(0..burst), now).unwrap();
        let more = checked.apply(&puts(burst..2 * burst), now);
        assert!(matches!(more, Err(SinkError::TooMany { .. })));
        assert_eq!(checked.adopt(now).unwrap().len(), BURST);
        // A whole that holds more is no way around it, removing is never too much, ...
        let whole: Vec<_> = (0..2 * burst).map(element).collect();
        assert!(matches!(checked.restore(&whole, now), Err(SinkError::TooMany { .. })));
        let removals: Vec<_> =
            (0..burst).map(|n| Change::Remove(ScopeId(0), element(n).subject)).collect();
        checked.apply(&removals, now).unwrap();
        // ... and makes no room.
        assert!(matches!(checked.restore(&whole, now), Err(SinkError::TooMany { .. })));
        checked.allowance.filled -= Duration::from_secs(5);
        checked.apply(&puts(burst..burst + 5000), now).unwrap();
        assert!(checked.apply(&puts(0..burst), now).is_err());
    }

    #[test]
    fn lost_bans_may_be_restored_at_any_rate() {
        let mut checked = checked();
        let now = Time::from_secs(0);
        let whole: Vec<_> = (0..u32::try_from(BURST).unwrap()).map(element).collect();
        for _ in 0..5 {
            checked.restore(&whole, now).unwrap();
        }
        // But no others.
        let others: Vec<_> =
            (0..u32::try_from(BURST).unwrap()).map(|n| element(0x0100_0000 + n)).collect();
        assert!(matches!(checked.restore(&others, now), Err(SinkError::TooMany { .. })));
        // At the start, as many as there can be at all: they were stored.
        let mut fresh = Allowance::new(Instant::now());
        fresh.spend(crate::decide::ban_table::CAPACITY, Instant::now()).unwrap();
        assert!(fresh.spend(BURST, Instant::now()).is_err());
    }

    #[test]
    fn odd_names_are_refused() {
        let mut checked = checked();
        let jails = vec!["x\" }\nflush ruleset".to_owned()];
        let odd = Structure { jails, ..with(Vec::new()) };
        let structure = || Cow::Borrowed(&odd);
        for operation in [
            Operation::Load { structure: structure() },
            Operation::LoadWire { structure: structure() },
            Operation::Repair { structure: structure() },
            Operation::LoadRekeyed {
                structure: structure(),
                scopes: Cow::Borrowed(&[]),
                elements: Cow::Borrowed(&[]),
                now: Time::from_secs(0),
            },
        ] {
            let answer = ask::<()>(&mut checked, operation);
            assert!(matches!(answer, Err(SinkError::Refused(_))), "{answer:?}");
        }
        for (name, fits) in [
            ("list_block4_32_0123456789abcdef", true),
            ("list_x { type ipv4_addr; }; flush ruleset; set y", false),
            ("ban4", false),
        ] {
            let (kind, name) = (ListKind::Block, name.to_owned());
            let set = ListSet { kind, ipv6: false, bits: 32, size: 1, name };
            let bytes = postcard::to_stdvec(&[(set, Keys::V4(vec![0]))].to_vec()).unwrap();
            assert_eq!(check_lists(&postcard::from_bytes(&bytes).unwrap()).is_ok(), fits);
        }
    }
}
