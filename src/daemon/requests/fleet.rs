//! `fleet`: the state of the fleet, by what its process says and what the engine has.

use std::collections::BTreeMap;

use crate::control::Problem;
use crate::control::fleet::{FleetReport, FleetSummary, PeerReport};
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::fleet::protocol::FleetStatus;
use crate::model::node::NodeName;

pub(super) async fn answer(daemon: &Daemon) -> Result<FleetReport, Problem> {
    let report = daemon.engine.ask(|core| core.fleet_report()).await?;
    report.ok_or_else(|| {
        Problem::refused("this guard is in no fleet: write [fleet] into the configuration")
    })
}

impl Core {
    /// Returns the state of the fleet in few numbers; `None` if there is none.
    pub(super) fn fleet_summary(&self) -> Option<FleetSummary> {
        let (status, summary) = self.fleet_state()?;
        let of_engine: u64 = self.engine.peers().issuers().flat_map(|(.., all)| all.values()).sum();
        let of_process = status.peers.values().flat_map(|peer| peer.refused.values());
        let of_process: u64 = of_process.chain(status.refused.values()).sum();
        let refused =
            of_engine.saturating_add(of_process).saturating_add(self.engine.peers().strangers());
        Some(FleetSummary { refused, ..summary })
    }

    /// Returns the state of the fleet with each peer; `None` if there is none.
    pub(super) fn fleet_report(&self) -> Option<FleetReport> {
        let (status, _) = self.fleet_state()?;
        let summary = self.fleet_summary()?;
        let named = self.engine.plan().config.fleet.iter().flat_map(|fleet| fleet.peers.keys());
        let mut members: BTreeMap<&NodeName, PeerReport> = BTreeMap::new();
        for name in named.chain(status.peers.keys()) {
            let node = name.to_string();
            members.entry(name).or_insert_with(|| PeerReport { node, ..PeerReport::default() });
        }
        for (name, peer) in &status.peers {
            if let Some(member) = members.get_mut(name) {
                member.refused.clone_from(&peer.refused);
                (member.last, member.clock) = (peer.last, peer.clock);
                member.accepted = peer.accepted;
            }
        }
        for (name, bans, refused) in self.engine.peers().issuers() {
            let Some(member) = members.get_mut(name) else { continue };
            member.bans = bans;
            for (why, count) in refused {
                *member.refused.entry(why.name().to_owned()).or_default() += count;
            }
        }
        let mut strangers = status.refused.clone();
        if self.engine.peers().strangers() > 0 {
            *strangers.entry("stranger".to_owned()).or_default() += self.engine.peers().strangers();
        }
        Some(FleetReport { summary, members: members.into_values().collect(), strangers })
    }

    /// Returns what the process of the fleet said last, and what follows from it and from what is here.
    fn fleet_state(&self) -> Option<(FleetStatus, FleetSummary)> {
        let fleet = self.engine.plan().config.fleet.as_ref()?;
        let said = self.fleet.as_ref().and_then(|link| link.status());
        let since = said.as_ref().map(|status| status.since);
        let status = said.unwrap_or_default();
        let (lines, dropped) = self.fleet.as_ref().map(|link| link.numbers()).unwrap_or_default();
        let troubles = self.fleet.as_ref().map(|link| link.troubles()).unwrap_or_default();
        let summary = FleetSummary {
            node: fleet.node.to_string(),
            server: format!("{}:{}", fleet.server.host, fleet.server.port),
            connected: status.connected,
            since,
            trouble: troubles.first().map(|trouble| trouble.seen.clone()),
            peers: self.engine.plan().peers.as_ref().map_or(0, |terms| terms.peers.len()),
            bans: self.engine.peers().len(),
            published: status.published,
            waiting: status.waiting.saturating_add(u64::try_from(lines).unwrap_or(u64::MAX)),
            dropped: status.dropped.saturating_add(dropped),
            refused: 0,
        };
        Some((status, summary))
    }
}
