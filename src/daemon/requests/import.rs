//! `import`: takes up bans of another guard, or of an earlier time.

use crate::config::FLEET;
use crate::control::import::{ImportRequest, Imported, ImportedBan, ImportedHistory};
use crate::control::{Problem, SubjectText};
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::decide::engine::Ordered;
use crate::decide::plan::Plan;
use crate::model::event::{Ban, Evidence};
use crate::model::orders::{Caller, Note};
use crate::model::time::Time;
use crate::store::ban_record::PlanIndex;
use crate::sys::clock::now;

use super::ban::{may_be_banned, no_room};
use super::note;

pub(super) async fn answer(
    daemon: &Daemon,
    request: ImportRequest,
    caller: Caller,
) -> Result<Imported, Problem> {
    daemon.engine.order(move |core| import(core, request, &caller)).await
}

fn import(core: &mut Core, request: ImportRequest, caller: &Caller) -> Imported {
    let (mut imported, now) = (Imported::default(), now());
    let names = PlanIndex::new(core.engine.plan());
    for ban in request.bans {
        match take_up(core, &names, &ban, caller, now) {
            Ok(Some(true)) => imported.new += 1,
            Ok(Some(false)) => imported.known += 1,
            Ok(None) => imported.over += 1,
            Err(Problem { message, .. }) => imported.refused.push(message),
        }
    }
    for ImportedHistory { host, bans, until } in request.earlier {
        let until = until.map(Time::from_secs);
        imported.earlier += usize::from(core.engine.take_over(host, bans, until, now));
    }
    core.carry_out();
    imported
}

/// Takes up a ban. Whether it is new; `None`: its time is over.
fn take_up(
    core: &mut Core,
    names: &PlanIndex,
    imported: &ImportedBan,
    caller: &Caller,
    now: Time,
) -> Result<Option<bool>, Problem> {
    if imported.jail == FLEET {
        let SubjectText(subject) = imported.host;
        return Err(Problem::refused(format!(
            "{subject}: a ban of a peer is the fleet's to bring"
        )));
    }
    let ban = ban(core.engine.plan(), names, imported, now)?;
    if ban.until.is_some_and(|until| until <= now) {
        return Ok(None);
    }
    may_be_banned(&core.engine, ban.subject)?;
    let note = match &imported.by {
        Some(by) => Note {
            by: by.chars().filter(|c| !c.is_control()).take(100).collect(),
            ..note(caller, imported.comment.as_deref())?
        },
        None => note(caller, imported.comment.as_deref())?,
    };
    match core.engine.import(ban, now, &mut core.decisions) {
        Ordered::Banned { ban, .. } => {
            // So that the store has the ban before the note about it.
            core.carry_out();
            if ban.offences == 0 {
                core.recorder.annotate(&mut core.engine, &ban, note, now);
            }
            Ok(Some(true))
        }
        Ordered::Kept(_) => Ok(Some(false)),
        ordered => Err(no_room(ban.subject, &ordered)),
    }
}

/// Returns the ban in terms of the plan.
fn ban(plan: &Plan, names: &PlanIndex, imported: &ImportedBan, now: Time) -> Result<Ban, Problem> {
    let ImportedBan { jail, host: SubjectText(subject), scope, .. } = imported;
    let id = names.jail(jail);
    let unknown = || {
        Problem::refused(format!(
            "{subject}: there is no list of ports {scope:?} for bans of {jail:?} here"
        ))
    };
    let of_jail = plan
        .jail(id)
        .and_then(|jail| plan.structure.find_scope(scope, jail.blocktype, jail.ipv6prefix));
    let since = Time::from_secs(imported.since).min(now);
    Ok(Ban {
        jail: id,
        subject: *subject,
        host: subject.address(),
        scope: of_jail.ok_or_else(unknown)?,
        since,
        until: imported.until.map(Time::from_secs),
        offences: imported.offences,
        evidence: match imported.evidence {
            Evidence::Proven => Evidence::Proven,
            Evidence::Unverified | Evidence::Hearsay => Evidence::Unverified,
        },
        cause: imported.rule.as_ref().and_then(|rule| Some((names.rule(rule)?, 0))),
    })
}
