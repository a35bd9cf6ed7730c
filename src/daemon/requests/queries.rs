//! Answers what takes long to put together, away from the engine: who is banned, and what is in
//! the lists, with what the kernel has dropped of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::status::ban_status;
use crate::control::{Answer, BanStatus, BlockReport, FeedReport, ListName, NamedBan, Status};
use crate::daemon::{Kernel, now};
use crate::decide::ban_table::end;
use crate::decide::engine::Engine;
use crate::decide::plan::Plan;
use crate::model::event::Ban;
use crate::model::listed::ListedNetwork;
use crate::model::subject::canonical;

/// Bans that are listed with what was dropped of them. The kernel goes through a set from its beginning
/// for each part of a list: twice as many bans take four times as long. 100 000 take it 0.7 s, and these
/// five, which whoever asks for nothing but bans may wait for.
const MOST_COUNTED: usize = 1 << 18;
/// The same in a status, which is asked for all the time.
const MOST_COUNTED_IN_STATUS: usize = 20_000;

/// Whose bans are asked for.
#[derive(Debug)]
pub enum Who {
    /// Everybody's.
    All,
    /// Those of the jail with this name.
    Jail(String),
    /// Those that hold this host.
    Host(IpAddr),
}

/// The bans in force, as the engine had them.
pub struct Snapshot {
    plan: Arc<Plan>,
    bans: Vec<Ban>,
}

impl Snapshot {
    /// What the engine has of them now.
    pub fn new(engine: &Engine, who: &Who) -> Self {
        let (plan, bans) = (engine.plan(), engine.bans().iter().copied());
        let bans = match who {
            Who::All => bans.collect(),
            Who::Jail(name) => {
                let jail = plan.jail_named(name);
                bans.filter(|ban| Some(ban.jail) == jail).collect()
            }
            Who::Host(host) => bans.filter(|ban| ban.subject.net().contains(host)).collect(),
        };
        Self { plan: Arc::clone(plan), bans }
    }

    /// The bans, longest first, with what was dropped of them if they are not more than `most`.
    fn named(self, kernel: &Kernel, most: usize) -> Vec<NamedBan> {
        let Self { plan, mut bans } = self;
        bans.sort_by_key(|ban| std::cmp::Reverse(end(ban)));
        let counts = if (1..=most).contains(&bans.len()) {
            kernel.counters.banned(&plan.structure)
        } else {
            HashMap::new()
        };
        let now = now();
        let named = |ban: &Ban| {
            let count = counts.get(&(ban.scope, ban.subject.address()));
            let dropped = count.map(|count| count.dropped).into();
            let knocked = count.and_then(|count| count.moved).map(crate::model::time::Time::secs);
            let ban_status = BanStatus { dropped, knocked, ..ban_status(&plan, ban, now) };
            let jail = plan.jail(ban.jail).map_or_else(String::new, |jail| jail.name.clone());
            NamedBan { jail, ban: ban_status }
        };
        bans.iter().map(named).collect()
    }
}

/// Fills the bans into a status.
pub fn fill(status: &mut Status, snapshot: Snapshot, kernel: &Kernel) {
    for NamedBan { jail, ban } in snapshot.named(kernel, MOST_COUNTED_IN_STATUS) {
        if let Some(known) = status.jails.iter_mut().find(|known| known.jail == jail) {
            known.banned.push(ban);
        }
    }
}

/// Who is banned.
pub fn banned(snapshot: Snapshot, kernel: &Kernel) -> Answer {
    Answer::Banned { bans: snapshot.named(kernel, MOST_COUNTED) }
}

/// What is in `block` or in the feeds; of one `host`, if that is asked for.
pub fn list(list: ListName, host: Option<IpAddr>, kernel: &Kernel) -> Answer {
    match list {
        ListName::Feed => feeds(host.map(canonical), kernel),
        _ => block(host.map(canonical), kernel),
    }
}

fn feeds(host: Option<IpAddr>, kernel: &Kernel) -> Answer {
    let lists = kernel.lists.lists();
    let feeds = lists.feeds.iter().map(|feed| FeedReport::new(feed, host));
    let feeds = feeds.filter(|feed| host.is_none() || feed.net.is_some()).collect();
    Answer::Feed { feeds, dropped: kernel.counters.fed().into() }
}

fn block(host: Option<IpAddr>, kernel: &Kernel) -> Answer {
    let lists = kernel.lists.lists();
    let (counts, by_hand) = kernel.counters.blocked(&kernel.lists.sets());
    let networks = lists.blocked();
    let report = |listed: &ListedNetwork| {
        // An entry within another is not in the kernel.
        let held = networks.find(listed.net.addr());
        BlockReport {
            net: listed.net,
            origin: "block".to_owned(),
            file: Some(Arc::clone(&listed.place.file)),
            line: Some(listed.place.line),
            dropped: held.and_then(|net| counts.get(&net).copied()).into(),
        }
    };
    let hand = |net| BlockReport {
        net,
        origin: "hand".to_owned(),
        file: None,
        line: None,
        dropped: None.into(),
    };
    let all = lists.block.iter().map(report).chain(by_hand.into_iter().map(hand));
    let wanted = |report: &BlockReport| host.is_none_or(|host| report.net.contains(&host));
    Answer::Block { blocked: all.filter(wanted).collect() }
}
