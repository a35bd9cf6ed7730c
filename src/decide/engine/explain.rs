//! Where a host stands, and what led there.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Engine;
use crate::decide::known_good;
use crate::decide::offences::Count;
use crate::decide::policy;
use crate::model::event::{Ban, ChannelId, Event, JailId};
use crate::model::hostname::HostName;
use crate::model::listed::ExemptReason;
use crate::model::subject::{Subject, bannable, canonical, written};
use crate::model::time::Time;

/// Where a host stands.
#[derive(Debug)]
pub struct Explanation {
    /// Who.
    pub host: IpAddr,
    /// What would be banned with it.
    pub subject: Subject,
    /// Whether it can be banned at all.
    pub bannable: bool,
    /// Why no jail bans it, beside what the configuration says.
    pub protected: Option<ExemptReason>,
    /// What it is known good by.
    pub known_good: Option<known_good::Standing>,
    /// In each jail.
    pub jails: Vec<JailStanding>,
    /// The bans in force.
    pub bans: Vec<Ban>,
    /// The last lines that named it, newest first.
    pub lines: Vec<Event>,
}

/// Where a host stands in one jail.
#[derive(Debug)]
pub struct JailStanding {
    /// Which.
    pub jail: JailId,
    /// The entry of `ignoreip` that it is in.
    pub ignored_by: Option<String>,
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
            let subject = super::subject(&self.ignored, host, jail.ipv6prefix);
            let net = policy::holding(&jail.ignoreip, &IpNet::from(host));
            let has = |name: &&HostName| self.ignored.addresses(name).contains(&host);
            let name = || jail.ignorenames.iter().find(has).map(ToString::to_string);
            JailStanding {
                jail: id,
                ignored_by: net.map(|net| written(&net)).or_else(name),
                count: state.offences.count(&subject, now),
                channels: state.offences.channels(&subject, now),
            }
        });
        let concerns = |ban: &&Ban| ban.subject.net().contains(&host);
        Explanation {
            host,
            subject,
            bannable: bannable(host),
            protected: self.ignored.find(host).map(|entry| entry.origin.clone()),
            known_good: self.known.standing(&subject, now),
            jails: jails.collect(),
            bans: self.bans.iter().filter(concerns).copied().collect(),
            lines: self.recent.of(subject.net()).take(most).copied().collect(),
        }
    }
}
