//! Explains why a host is banned or not: counts, bans, exemptions and the last lines that named it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Engine;
use crate::decide::known_good;
use crate::decide::offences::Count;
use crate::decide::policy;
use crate::decide::shared;
use crate::model::event::{Ban, ChannelId, Event, JailId, Meaning};
use crate::model::hostname::HostName;
use crate::model::listed::ExemptReason;
use crate::model::subject::{Subject, bannable, canonical, written};
use crate::model::time::Time;

/// Events among which the last attempts of a host are looked for.
const ATTEMPTS_WITHIN: usize = 4096;

/// The standing of a host.
#[derive(Debug)]
pub struct Explanation {
    /// The host.
    pub host: IpAddr,
    /// The subject that would be banned with it.
    pub subject: Subject,
    /// Whether it can be banned at all.
    pub bannable: bool,
    /// The reason why no jail bans it, besides the configuration's.
    pub protected: Option<ExemptReason>,
    /// Its standing as a known good host, if it is one.
    pub known_good: Option<known_good::Standing>,
    /// The failures there of accounts that have not logged in, beside those that have.
    pub stranger: Option<shared::Failures>,
    /// Its standing in each jail.
    pub jails: Vec<JailStanding>,
    /// The bans in force.
    pub bans: Vec<Ban>,
    /// The last lines that named it, newest first.
    pub lines: Vec<Event>,
}

/// The standing of a host in one jail.
#[derive(Debug)]
pub struct JailStanding {
    /// The jail.
    pub jail: JailId,
    /// The entry of `ignoreip` that it is in.
    pub ignored_by: Option<String>,
    /// Its offences within findtime: the largest of the next.
    pub count: Count,
    /// Its offences log by log.
    pub channels: Vec<(ChannelId, Count)>,
}

impl Engine {
    /// Returns the standing of `host` at `now`, with at most `most` lines.
    #[must_use]
    pub fn explain(&self, host: IpAddr, now: Time, most: usize) -> Explanation {
        let host = canonical(host);
        let subject = self.known_as(host);
        let jails = self.plan.jails().filter(|(_, jail)| !jail.is_without_section());
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
        let whom = Subject::of(host, 128);
        // Those of its flows too.
        let concerns = |ban: &&Ban| ban.subject.overlaps(&whom);
        Explanation {
            host,
            subject,
            bannable: bannable(host),
            protected: self.ignored.find(host).map(|entry| entry.origin.clone()),
            known_good: self.known.standing(&subject, now),
            stranger: self.shared.of(&subject, now),
            jails: jails.collect(),
            bans: self.bans.iter().filter(concerns).copied().collect(),
            lines: self.recent.of(subject.net()).take(most).copied().collect(),
        }
    }

    /// Returns the last offences of a host or network, newest first: of the last thousands of events, so that it
    /// takes no time worth mentioning even where thousands of hosts are banned at once.
    pub fn attempts(&self, subject: &Subject) -> impl Iterator<Item = &Event> {
        let events = self.recent.of_last(ATTEMPTS_WITHIN, subject.net());
        events.filter(|event| matches!(event.meaning, Meaning::Offence(_)))
    }
}
