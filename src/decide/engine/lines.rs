//! Weighs lines: by the exchange that they are about, by what was sent on their connection, or by themselves.

use std::sync::Arc;

use super::Engine;
use super::offence::TOGETHER;
use crate::decide::hour_counts::Counted;
use crate::decide::plan::Plan;
use crate::model::event::{Basis, Clue, Decision, Event, Evidence, Meaning};
use crate::model::exchange::Transport;
use crate::model::subject::Subject;
use crate::rules::Service;

/// The things that a line is weighed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinePlace {
    /// The exchange that it is about.
    BesideExchanges,
    /// Whether anything was sent on the connection that it is about.
    OnWrappedConnection,
    /// The same, by a service that is not Asterisk's; if it names no port, whether anything was sent to its host.
    OnServed,
    /// Nothing: it stands alone.
    Alone,
}

impl Engine {
    /// Takes events up, one after the other, and adds what follows from them to `out`. A line about what the PBX did,
    /// where that is seen, counts by the exchange that it is about, and waits for that for a moment.
    pub fn on_events(&mut self, events: &[Event], out: &mut Vec<Decision>) {
        let plan = Arc::clone(&self.plan);
        for events in events.chunks(TOGETHER) {
            self.look_ahead(events);
            for event in events {
                self.take_up(&plan, event, out);
            }
        }
    }

    /// Takes up one event, as [`Engine::on_events`] does.
    pub fn on_event(&mut self, event: &Event, out: &mut Vec<Decision>) {
        let plan = Arc::clone(&self.plan);
        self.take_up(&plan, event, out);
    }

    fn take_up(&mut self, plan: &Plan, event: &Event, out: &mut Vec<Decision>) {
        let mut found = Vec::new();
        match (event.basis, self.place_of(event)) {
            (Basis::Exchange(_), _) => {
                self.decide(plan, event, out);
                self.joins.exchange(event, &mut found);
            }
            (_, LinePlace::BesideExchanges) => match self.joins.find(event) {
                Some(joined) => found.push(joined),
                None if self.may_be_wrapped(event) => out.push(Decision::AskTalked(*event)),
                None => self.joins.wait(event, &mut found),
            },
            (_, LinePlace::OnWrappedConnection | LinePlace::OnServed) => {
                out.push(Decision::AskTalked(*event));
            }
            (_, LinePlace::Alone) => self.decide(plan, event, out),
        }
        self.on_joined(plan, &found, out);
    }

    /// Takes up lines that have found their exchanges, or have waited for long enough.
    pub(super) fn on_joined(&mut self, plan: &Plan, lines: &[Event], out: &mut Vec<Decision>) {
        for event in lines {
            match event.basis {
                Basis::Unmatched => self.note_unmatched(event),
                Basis::Beside(_) => self.recent.push(event),
                _ => self.decide(plan, event, out),
            }
        }
    }

    /// Takes up a line that [`Decision::AskTalked`] was about: our side `sent` so many segments to the host's address
    /// and port lately; `None`: none. Without one for it, it may be about an exchange that comes yet.
    pub fn on_talked(&mut self, event: &Event, sent: Option<u64>, out: &mut Vec<Decision>) {
        let plan = Arc::clone(&self.plan);
        let flow = (event.host, event.clue.port);
        let is_believed = self.talked.use_up(flow, event.channel, sent, event.time);
        if is_believed && self.port_list(event).is_some() {
            let event = Event { basis: Basis::Served, ..*event };
            self.decide(&plan, &event, out);
        } else if is_believed {
            let subject = self.known_as(event.host);
            self.talked.note_port(subject, event.clue.port, event.time);
            let event = Event { basis: Basis::Talked, evidence: Evidence::Unverified, ..*event };
            // Lines that were written before the ban took hold.
            let is_closed = |flow| self.bans.of(flow).next().is_some();
            if Subject::flow(event.host, event.clue.port).is_some_and(is_closed) {
                self.recent.push(&event);
            } else {
                self.decide(&plan, &event, out);
            }
        } else if self.place_of(event) == LinePlace::BesideExchanges {
            let mut found = Vec::new();
            match self.joins.find(event) {
                Some(joined) => found.push(joined),
                None => self.joins.wait(event, &mut found),
            }
            self.on_joined(&plan, &found, out);
        } else {
            self.note_unmatched(&Event { basis: Basis::Unmatched, ..*event });
        }
    }

    fn note_unmatched(&mut self, event: &Event) {
        self.unmatched += 1;
        self.hours.count(Counted::Untrusted, event.time, Some(event.rule));
        self.recent.push(event);
    }

    fn service(&self, event: &Event) -> &Service {
        self.plan.rules.get(event.rule).map_or(&Service::None, |rule| &rule.service)
    }

    /// Returns the list of the ports of the service that a line is about, if that is none of Asterisk's.
    fn port_list(&self, event: &Event) -> Option<&str> {
        self.service(event).port_list()
    }

    /// Returns what a line is to be weighed by.
    fn place_of(&self, event: &Event) -> LinePlace {
        let (service, sight) = (self.service(event), self.sight);
        let counts = matches!(event.meaning, Meaning::Offence(_) | Meaning::Success);
        let is_framed = event.basis == Basis::Framed;
        if service.port_list().is_some() {
            let is_offence = matches!(event.meaning, Meaning::Offence(_));
            let is_seen = sight.served && event.basis == Basis::Text && self.late.now.is_none();
            return if is_seen && is_offence { LinePlace::OnServed } else { LinePlace::Alone };
        }
        // What was written while nobody listened has no exchange.
        if !(is_framed || event.basis == Basis::Text)
            || !matches!(service, Service::Pjsip | Service::ChanSip | Service::Iax | Service::Ami)
            || !counts
            || self.late.now.is_some()
        {
            return LinePlace::Alone;
        }
        let seen = match event.clue.transport {
            // Of what is wrapped nothing is seen.
            Transport::Wrapped if matches!(service, Service::Iax | Service::Ami) => false,
            _ if *service == Service::Iax => sight.iax,
            _ if *service == Service::Ami => sight.ami,
            Transport::Wrapped => sight.hep && *service == Service::Pjsip,
            // It is true, and of what was said on a wrapped connection nothing may be seen.
            Transport::Unknown if is_framed => false,
            _ => sight.answers || sight.hep,
        };
        if is_framed && !seen {
            LinePlace::Alone
        } else if seen {
            LinePlace::BesideExchanges
        } else if self.may_be_wrapped(event) {
            LinePlace::OnWrappedConnection
        } else {
            LinePlace::Alone
        }
    }

    /// Whether a line may be about a connection of which packets do not show what is said on it.
    fn may_be_wrapped(&self, event: &Event) -> bool {
        let service = self.service(event);
        let told = self.sight.hep && *service == Service::Pjsip;
        let is_sip = matches!(service, Service::Pjsip | Service::ChanSip);
        let Clue { port, transport, .. } = event.clue;
        let fits = matches!(transport, Transport::Unknown | Transport::Wrapped) && port != 0;
        let is_offence = matches!(event.meaning, Meaning::Offence(_));
        self.sight.talked && is_sip && !told && fits && is_offence
    }
}
