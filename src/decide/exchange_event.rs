//! The event that an exchange is to the engine.

use super::plan::Plan;
use crate::exchange::Observation;
use crate::model::event::{Basis, Event, Meaning, SIP_RESPONSES};
use crate::model::event::{
    NO_LOGIN, OPTIONS_FILTER, PROBED, REFUSED, REGISTERED, REJECTED, UNANSWERED, wire_filter,
};
use crate::model::exchange::Outcome;
use crate::model::time::Time;

/// Returns the event that an observation is, at `now`: its own time may be by another clock. `line` is its
/// number, as lines have numbers. `None`: the rules do not have its kind.
#[must_use]
pub fn event(plan: &Plan, observation: &Observation, line: u64, now: Time) -> Option<Event> {
    let (outcome, filter) =
        (observation.exchange.outcome, wire_filter(observation.exchange.protocol));
    let (filter, rule) = match outcome {
        Outcome::CredentialsRefused => (filter, REFUSED),
        Outcome::Login => (filter, REGISTERED),
        Outcome::ChallengeUnanswered => (filter, UNANSWERED),
        Outcome::RefusedOutright => (filter, REJECTED),
        Outcome::NeverLoggedIn => (filter, NO_LOGIN),
        Outcome::Probed => (OPTIONS_FILTER, PROBED),
    };
    let rule = plan.rules.named(filter, rule)?;
    Some(Event {
        time: now,
        channel: SIP_RESPONSES,
        rule,
        meaning: plan.rules.get(rule).map_or(Meaning::Ignored, |rule| rule.meaning),
        host: observation.host,
        evidence: observation.evidence,
        line,
        account: observation.account,
        basis: Basis::Exchange(observation.exchange),
        clue: observation.clue,
    })
}
