//! Where a host stands, and what led there.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Engine;
use crate::event::{Ban, ChannelId, Event, JailId};
use crate::known_good;
use crate::offence::Count;
use crate::policy;
use crate::subject::{Subject, bannable, canonical};
use crate::time::Time;

/// Where a host stands.
#[derive(Debug)]
pub struct Explanation {
    /// Who.
    pub host: IpAddr,
    /// What would be banned with it.
    pub subject: Subject,
    /// Whether it can be banned at all.
    pub bannable: bool,
    /// What it is known good by.
    pub known_good: Option<known_good::Standing>,
    /// In each jail.
    pub jails: Vec<InJail>,
    /// The bans in force.
    pub bans: Vec<Ban>,
    /// The last lines that named it, newest first.
    pub lines: Vec<Event>,
}

/// Where a host stands in one jail.
#[derive(Debug)]
pub struct InJail {
    /// Which.
    pub jail: JailId,
    /// The entry of `ignoreip` that it is in.
    pub ignored_by: Option<IpNet>,
    /// Its offences within findtime: the largest of the next.
    pub count: Count,
    /// Log by log.
    pub channels: Vec<(ChannelId, Count)>,
}

impl Engine {
    /// Where `host` stands at `now`, with at most `most` lines.
    #[must_use]
    pub fn explain(&self, host: IpAddr, now: Time, most: usize) -> Explanation {
        let host = canonical(host);
        let subject = self.known_as(host);
        let jails = self.plan.jails().filter(|(id, _)| *id != self.plan.manual());
        let jails = jails.zip(&self.states).map(|((id, jail), state)| {
            let subject = Subject::of(host, jail.ipv6prefix);
            InJail {
                jail: id,
                ignored_by: policy::holding(&jail.ignoreip, &IpNet::from(host)),
                count: state.offences.count(&subject, now),
                channels: state.offences.channels(&subject, now),
            }
        });
        let concerns = |ban: &&Ban| ban.subject.net().contains(&host);
        Explanation {
            host,
            subject,
            bannable: bannable(host),
            known_good: self.known.standing(&subject, now),
            jails: jails.collect(),
            bans: self.bans.iter().filter(concerns).copied().collect(),
            lines: self.recent.of(subject.net()).take(most).copied().collect(),
        }
    }
}
