//! What administrators have ordered while the guard runs, besides bans: networks that are let through, and pauses.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::clock_step::ClockStep;
use super::listed::{ExemptNetwork, ExemptReason};
use super::time::Time;

/// Networks that can be let through by order; about 300 bytes each. They go into sets of the kernel that have to stay
/// small.
pub const MOST_ALLOWED: usize = 1024;
/// The longest comment, in bytes.
pub const LONGEST_COMMENT: usize = 200;

/// The reason why a comment is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoComment {
    /// It is too long.
    #[error("a comment has {LONGEST_COMMENT} bytes at most")]
    TooLong,
    /// There are control characters in it.
    #[error("a comment is one line of plain text: it has control characters")]
    NotPlain,
}

/// Returns a comment without spaces around it; `None` if nothing is left.
///
/// # Errors
/// When it is too long, or not plain text.
pub fn comment(text: &str) -> Result<Option<String>, NoComment> {
    let text = text.trim();
    if text.len() > LONGEST_COMMENT {
        return Err(NoComment::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(NoComment::NotPlain);
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Who gave an order, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The person: see [`Caller`].
    pub by: String,
    /// In the person's own words.
    pub comment: Option<String>,
}

/// The person who gives an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user, as the kernel says.
    uid: u32,
    /// The user who became root by `sudo`, as sudo says.
    sudo: Option<String>,
}

impl Caller {
    /// Returns the caller of this user id. Only root is believed about who became root.
    #[must_use]
    pub fn new(uid: u32, sudo: Option<String>) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-@\\$".contains(c);
        let is_name = |name: &String| (1..=64).contains(&name.len()) && name.chars().all(plain);
        Self { uid, sudo: sudo.filter(|name| uid == 0 && is_name(name)) }
    }
}

/// `alice (sudo)`, `root` or `uid 1000`
impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.sudo, self.uid) {
            (Some(name), _) => write!(f, "{name} (sudo)"),
            (None, 0) => f.write_str("root"),
            (None, uid) => write!(f, "uid {uid}"),
        }
    }
}

/// A network that is let through by order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedNetwork {
    /// The network.
    pub net: IpNet,
    /// The time of the order.
    pub since: Time,
    /// The time when it ends; `None`: it has to be taken back.
    pub until: Option<Time>,
    /// The person and the reason.
    #[serde(flatten)]
    pub note: Note,
}

impl AllowedNetwork {
    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self, now: Time) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// A pause that was ordered: no bans are in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedPause {
    /// The jail whose bans are not in force; `None`: nobody's.
    pub jail: Option<String>,
    /// The time when it ends; `None`: it has to be ended.
    pub until: Option<Time>,
    /// The person.
    pub by: String,
}

/// All that is ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// The networks that are let through, each once.
    pub allowed: Vec<AllowedNetwork>,
    /// The pauses; each jail once.
    pub pauses: Vec<OrderedPause>,
}

impl Orders {
    /// Lets a network through, in place of an earlier order about the same, which is returned.
    ///
    /// # Errors
    /// When there are too many.
    pub fn allow(&mut self, new: AllowedNetwork) -> Result<Option<AllowedNetwork>, TooMany> {
        let is_full = self.allowed.len() >= MOST_ALLOWED;
        match self.allowed.iter_mut().find(|known| known.net == new.net) {
            Some(known) => Ok(Some(std::mem::replace(known, new))),
            None if is_full => Err(TooMany),
            None => {
                self.allowed.push(new);
                Ok(None)
            }
        }
    }

    /// Takes an order back.
    pub fn disallow(&mut self, net: &IpNet) -> Option<AllowedNetwork> {
        let at = self.allowed.iter().position(|known| known.net == *net)?;
        Some(self.allowed.remove(at))
    }

    /// Records a pause, in place of an earlier one of the same jail.
    pub fn pause(&mut self, new: OrderedPause) {
        self.resume(new.jail.as_deref());
        self.pauses.push(new);
    }

    /// Forgets the pause of a jail, or of all jails together. Whether there was one.
    pub fn resume(&mut self, jail: Option<&str>) -> bool {
        let before = self.pauses.len();
        self.pauses.retain(|pause| pause.jail.as_deref() != jail);
        self.pauses.len() < before
    }

    /// Takes out and returns what has ended.
    #[expect(clippy::return_self_not_must_use, reason = "what is left in is what matters")]
    pub fn expire(&mut self, now: Time) -> Self {
        let is_over = |until: Option<Time>| until.is_some_and(|until| until <= now);
        let allowed = std::mem::take(&mut self.allowed).into_iter();
        let pauses = std::mem::take(&mut self.pauses).into_iter();
        let (over, allowed) = allowed.partition(|known| is_over(known.until));
        let (ended, pauses) = pauses.partition(|pause| is_over(pause.until));
        (self.allowed, self.pauses) = (allowed, pauses);
        Self { allowed: over, pauses: ended }
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        let allowed = self.allowed.iter_mut();
        let times =
            allowed.flat_map(|known| [&mut known.since].into_iter().chain(&mut known.until));
        step.correct_all(times.chain(self.pauses.iter_mut().flat_map(|pause| &mut pause.until)));
    }

    /// Returns the networks that are let through, with the reason.
    pub fn exempt(&self) -> impl Iterator<Item = ExemptNetwork> {
        self.allowed.iter().map(|AllowedNetwork { net, until, note, .. }| {
            let Note { by, comment } = note.clone();
            let until = until.map(Time::utc);
            ExemptNetwork::new(*net, ExemptReason::Order { by, comment, until })
        })
    }

    /// Whether nothing is ordered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allowed.is_empty() && self.pauses.is_empty()
    }
}

/// There are as many networks let through as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{MOST_ALLOWED} networks are let through by order already: write a list (`allow`) instead")]
pub struct TooMany;

/// Returns when something that lasts for `length` ends; `None`: never.
#[must_use]
pub fn end(length: Option<Duration>, now: Time) -> Option<Time> {
    length.map(|length| now.plus(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(net: &str, until: Option<i64>) -> AllowedNetwork {
        let note = Note { by: "root".to_owned(), comment: None };
        let until = until.map(Time::from_secs);
        AllowedNetwork { net: net.parse().unwrap(), since: Time::from_secs(1), until, note }
    }

    fn pause(jail: Option<&str>, until: Option<i64>) -> OrderedPause {
        let (jail, until) = (jail.map(str::to_owned), until.map(Time::from_secs));
        OrderedPause { jail, until, by: "root".to_owned() }
    }

    #[test]
    fn the_last_order_about_a_network_counts() {
        let mut orders = Orders::default();
        let first = allowed("192.0.2.0/24", Some(100));
        assert_eq!(orders.allow(first.clone()), Ok(None));
        let second = allowed("192.0.2.0/24", None);
        assert_eq!(orders.allow(second.clone()), Ok(Some(first)));
        assert_eq!(orders.expire(Time::from_secs(100)), Orders::default());
        assert_eq!(orders.exempt().count(), 1);
        assert_eq!(orders.disallow(&second.net), Some(second.clone()));
        assert_eq!(orders.disallow(&second.net), None);
        for n in 0..MOST_ALLOWED {
            orders.allow(allowed(&format!("10.0.{}.{}/32", n / 256, n % 256), None)).unwrap();
        }
        assert_eq!(orders.allow(second), Err(TooMany));
        assert!(orders.allow(allowed("10.0.0.0/32", Some(9))).is_ok(), "that one is there");
    }

    #[test]
    fn orders_end_by_themselves_and_move_with_the_clock() {
        let mut orders = Orders::default();
        orders.allow(allowed("192.0.2.7/32", Some(100))).unwrap();
        orders.pause(pause(Some("a"), Some(50)));
        orders.pause(pause(None, Some(200)));
        orders.pause(pause(Some("a"), Some(120)));
        orders.correct(ClockStep::by_millis(10_000));
        assert_eq!(orders.expire(Time::from_secs(109)), Orders::default());
        let over = orders.expire(Time::from_secs(130));
        assert_eq!((over.allowed.len(), over.pauses), (1, vec![pause(Some("a"), Some(130))]));
        assert!(orders.resume(None) && !orders.resume(None) && orders.is_empty());
    }

    #[test]
    fn callers_and_comments_are_plain() {
        for (uid, sudo, name) in [
            (0, None, "root"),
            (0, Some("alice"), "alice (sudo)"),
            (0, Some("evil\nname"), "root"),
            (1000, Some("alice"), "uid 1000"),
        ] {
            assert_eq!(Caller::new(uid, sudo.map(str::to_owned)).to_string(), name);
        }
        assert_eq!(comment(" ticket 4711 "), Ok(Some("ticket 4711".to_owned())));
        assert_eq!(comment("  "), Ok(None));
        assert_eq!(comment("a\nb"), Err(NoComment::NotPlain));
        assert_eq!(comment(&"x".repeat(201)), Err(NoComment::TooLong));
    }
}
