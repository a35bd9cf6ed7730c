//! `pause` and `resume`: stop dropping for a while, and drop again.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{jail_named, kernel_is_silent};
use crate::control::pause::{PauseRequest, ResumeRequest};
use crate::control::{Done, Problem};
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::model::guard_event::GuardEvent;
use crate::model::orders::{Caller, OrderedPause};
use crate::model::pause::Pause;
use crate::model::scope::range_words;
use crate::model::words::counted;
use crate::sys::clock::now;

pub(super) async fn answer(
    daemon: &Daemon,
    request: PauseRequest,
    caller: Caller,
) -> Result<Done, Problem> {
    let length = request.seconds.map(Duration::from_secs);
    let pause = Pause::lasting(length, now());
    if let Some(jail) = request.jail {
        return daemon.engine.order(move |core| pause_jail(core, jail, pause, &caller)).await?;
    }
    set(daemon, pause, &caller).await?;
    let opened = daemon.engine.ask(|core| opened(core)).await?;
    Ok(Done::new(format!("{pause}: {opened}")))
}

pub(super) async fn resume(
    daemon: &Daemon,
    request: ResumeRequest,
    caller: Caller,
) -> Result<Done, Problem> {
    if let Some(jail) = request.jail {
        return daemon.engine.order(move |core| resume_jail(core, &jail, &caller)).await?;
    }
    let ends = caller.clone();
    let resume_all = move |core: &mut Core| {
        let jails: Vec<_> = core.orders.pauses.iter().filter_map(|p| p.jail.clone()).collect();
        for jail in &jails {
            core.orders.resume(Some(jail));
            core.resume_jail(jail);
            core.events.tell(in_force_again(jail, &ends));
        }
        core.recorder.orders(&core.orders, now());
    };
    daemon.engine.order(resume_all).await?;
    set(daemon, Pause::Off, &caller).await?;
    Ok(Done::new(Pause::Off.to_string()))
}

/// Pauses everything, or ends that.
async fn set(daemon: &Daemon, pause: Pause, caller: &Caller) -> Result<(), Problem> {
    let (reply, answer) = oneshot::channel();
    let pass_on = move |result| drop(reply.send(result));
    daemon.engine.ask(move |core| core.worker.pause(pause, pass_on)).await?;
    answer.await.map_err(|_| kernel_is_silent())?.map_err(Problem::failed)?;
    let by = caller.to_string();
    let note = move |core: &mut Core| {
        core.events.tell(GuardEvent::ordered(now(), pause, &by).leaving(pause));
        core.paused = pause;
        if pause.is_on() {
            core.orders.pause(OrderedPause { jail: None, until: pause.end(), by });
        } else {
            core.orders.resume(None);
        }
        core.recorder.orders(&core.orders, now());
    };
    daemon.engine.ask(note).await
}

/// Returns what a pause lets through.
fn opened(core: &Core) -> String {
    let (plan, kernel) = (core.engine.plan(), core.lists.lists());
    let mut all = vec![counted(core.engine.bans().len(), "ban")];
    let blocked = kernel.block.len();
    if blocked > 0 {
        all.push(counted(blocked, "network") + " of block");
    }
    let fed: usize = kernel.feeds.iter().map(|feed| feed.networks.len()).sum();
    if fed > 0 {
        all.push(counted(fed, "network") + " of feeds");
    }
    if !plan.config.lists.guardedports.is_empty() {
        let ranges = plan.config.lists.guardedports.iter().copied().map(range_words);
        all.push(format!(
            "the guarded ports {} for everybody",
            ranges.collect::<Vec<_>>().join(", ")
        ));
    }
    format!("this opens {}", all.join(", "))
}

/// Takes the bans of a jail out of force.
fn pause_jail(
    core: &mut Core,
    jail: String,
    pause: Pause,
    caller: &Caller,
) -> Result<Done, Problem> {
    let Some(id) = jail_named(core.engine.plan(), Some(&jail))? else {
        return Err(kernel_is_silent());
    };
    let bans = core.engine.pause_jail(id, true, &mut core.decisions);
    core.carry_out();
    let end =
        pause.end().map_or("until `asterguard resume`".to_owned(), |end| format!("until {end}"));
    let words =
        format!("the bans of {jail} are not in force {end}: this opens {}", counted(bans, "ban"));
    let event = GuardEvent::ordered(now(), &words, caller).leaving(pause);
    core.events.tell(GuardEvent { jail: Some(jail.clone()), ..event });
    core.orders.pause(OrderedPause {
        jail: Some(jail),
        until: pause.end(),
        by: caller.to_string(),
    });
    core.recorder.orders(&core.orders, now());
    Ok(Done::new(words))
}

/// Puts the bans of a jail into force again.
fn resume_jail(core: &mut Core, jail: &str, caller: &Caller) -> Result<Done, Problem> {
    jail_named(core.engine.plan(), Some(jail))?;
    let was_paused = core.orders.resume(Some(jail));
    core.resume_jail(jail);
    core.recorder.orders(&core.orders, now());
    let words = if was_paused {
        format!("the bans of {jail} are in force again")
    } else {
        format!("the bans of {jail} were not paused: nothing changed")
    };
    core.events.tell(if was_paused {
        in_force_again(jail, caller)
    } else {
        GuardEvent::ordered(now(), &words, caller)
    });
    Ok(Done::changing(was_paused, words))
}

/// Returns that somebody ended the pause of a jail.
fn in_force_again(jail: &str, caller: &Caller) -> GuardEvent {
    let words = format!("the bans of {jail} are in force again");
    let event = GuardEvent::ordered(now(), words, caller).leaving(Pause::Off);
    GuardEvent { jail: Some(jail.to_owned()), ..event }
}
