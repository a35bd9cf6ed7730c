//! The operator's orders of the last minutes: a guard or a server that was away when one was given gets it later.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::admission::Moment;
use super::protocol::{FromFleet, OrderState};
use super::record::Order;
use super::refusal::Refusal;
use crate::model::node::NodeName;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// The age at which an order is not taken any more, and forgotten.
const ORDER_AGE: Duration = Duration::from_secs(600);
/// Orders that are kept: a guard carries out fewer in that time.
pub const MOST_ORDERS: usize = 100;
/// By how much clocks of nodes may differ, in milliseconds.
pub const CLOCKS: i64 = 60_000;

/// An order that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// It, with the operator's signature.
    pub order: Order,
    /// The node where the operator gave it.
    pub by: NodeName,
    /// It lifts bans that had begun then, by this machine's clock, in milliseconds since the epoch.
    pub begun: i64,
    /// Whether it was given here, and the server has not taken it yet.
    pub unsaid: bool,
    /// Whether the guard of this node has carried it out.
    pub obeyed: bool,
}

impl Kept {
    fn host(&self) -> Option<Subject> {
        self.order.host.subject()
    }

    /// Returns the order as the guard is told it.
    #[must_use]
    pub fn line(&self) -> Option<FromFleet> {
        let (by, begun) = (self.by.clone(), Time::from_millis(self.begun));
        Some(FromFleet::Unban { host: self.host()?, by, issued: self.order.issued, begun })
    }
}

/// Whether an order counts at this time. The server alone cannot make an old one young again: this machine's clock has a
/// say, too.
#[must_use]
pub fn is_due(order: &Order, now: Moment) -> bool {
    let most = i64::try_from(ORDER_AGE.as_millis()).unwrap_or(i64::MAX);
    now.server.max(now.wall).saturating_sub(order.issued) <= most
        && order.issued.saturating_sub(now.server) <= most
}

/// The orders, each once.
#[derive(Debug, Default)]
pub struct Orders(Vec<Kept>);

impl Orders {
    /// Whether it was taken before.
    #[must_use]
    pub fn has(&self, order: &Order) -> bool {
        self.0.iter().any(|kept| kept.order == *order)
    }

    /// Keeps an order.
    ///
    /// # Errors
    /// When there are too many.
    pub fn keep(&mut self, kept: Kept, now: Moment) -> Result<(), Refusal> {
        self.end(now);
        if self.0.len() >= MOST_ORDERS {
            return Err(Refusal::TooMany);
        }
        self.0.push(kept);
        Ok(())
    }

    /// Forgets what is old.
    pub fn end(&mut self, now: Moment) {
        self.0.retain(|kept| is_due(&kept.order, now));
    }

    /// Whether a ban that a peer said at this time, by the server's clock, was surely there when an order lifted it.
    #[must_use]
    pub fn covers(&self, host: Subject, issued: i64) -> bool {
        let is_older = |kept: &Kept| issued.saturating_add(CLOCKS) <= kept.order.issued;
        self.0.iter().any(|kept| is_older(kept) && kept.host() == Some(host))
    }

    /// Returns all, to be stored.
    #[must_use]
    pub fn all(&self) -> &[Kept] {
        &self.0
    }

    /// Returns all, as a guard is told them that connects now.
    pub fn lines(&mut self, now: Moment) -> Vec<FromFleet> {
        self.end(now);
        self.0.iter().filter_map(Kept::line).collect()
    }

    /// Returns those that the server has to be told.
    #[must_use]
    pub fn unsaid(&self) -> Vec<Order> {
        self.0.iter().filter(|kept| kept.unsaid).map(|kept| kept.order.clone()).collect()
    }

    /// Notes that the server has an order.
    pub fn said(&mut self, order: &Order) {
        let said = self.0.iter_mut().filter(|kept| kept.order == *order);
        said.for_each(|kept| kept.unsaid = false);
    }

    /// Has the server told again what was given at this node.
    pub fn say_again(&mut self, node: &NodeName, now: Moment) {
        self.end(now);
        let own = self.0.iter_mut().filter(|kept| kept.by == *node);
        own.for_each(|kept| kept.unsaid = true);
    }

    /// Notes that the guard of this node has carried out an order.
    pub fn obeyed(&mut self, host: Subject, issued: i64) {
        let it = |kept: &&mut Kept| kept.order.issued == issued && kept.host() == Some(host);
        self.0.iter_mut().filter(it).for_each(|kept| kept.obeyed = true);
    }

    /// Returns what has become of an order.
    #[must_use]
    pub fn state(&self, order: &Order) -> OrderState {
        let kept = self.0.iter().find(|kept| kept.order == *order);
        kept.map_or_else(OrderState::default, |kept| OrderState {
            refused: None,
            guard: kept.obeyed,
            server: !kept.unsaid,
        })
    }
}
