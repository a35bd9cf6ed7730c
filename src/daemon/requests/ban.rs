//! `ban`: bans a host by hand.

use std::num::NonZeroU16;
use std::time::Duration;

use super::{jail_named, one_host};
use crate::control::ban::BanRequest;
use crate::control::{Done, Problem, SubjectText};
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::decide::engine::ManualBan;
use crate::decide::policy;
use crate::model::event::Decision;
use crate::model::subject::bannable;
use crate::model::time::BanDuration;
use crate::sys::clock::now;

pub(super) async fn answer(daemon: &Daemon, request: BanRequest) -> Result<Done, Problem> {
    daemon.engine.order(move |core| ban(core, &request)).await?
}

fn ban(core: &mut Core, request: &BanRequest) -> Result<Done, Problem> {
    let BanRequest { host: SubjectText(whom), jail, seconds, permanent } = request;
    let jail = jail_named(core.engine.plan(), jail.as_deref())?;
    let whom = one_host(*whom)?;
    let (host, port) = (whom.address(), whom.port().and_then(NonZeroU16::new));
    if !bannable(host) {
        return Err(Problem::refused(format!(
            "{host} is loopback, link-local, multicast or unspecified: banning it would cut this machine off"
        )));
    }
    if policy::covers(&core.engine.plan().config.ignoreip, &host.into()) {
        return Err(Problem::refused(format!(
            "{host} is in ignoreip: the kernel lets it through whatever is banned"
        )));
    }
    if let Some(entry) = core.engine.ignored().find(host) {
        return Err(Problem::refused(format!(
            "{host} is {}: the kernel lets it through whatever is banned",
            entry.origin
        )));
    }
    let length = if *permanent {
        Some(BanDuration::Permanent)
    } else {
        seconds.map(|seconds| BanDuration::For(Duration::from_secs(seconds)))
    };
    core.engine.ban(&ManualBan { host, port, jail, length }, now(), &mut core.decisions);
    let banned = core.decisions.iter().find_map(|decision| match decision {
        Decision::Ban(ban) => Some(*ban),
        _ => None,
    });
    core.carry_out();
    let ban = banned.ok_or_else(|| Problem::failed("there are too many bans"))?;
    let length = ban.until.map_or("until it is lifted".to_owned(), |end| format!("until {end}"));
    Ok(Done::new(format!("{} is banned {length}", ban.subject)))
}
