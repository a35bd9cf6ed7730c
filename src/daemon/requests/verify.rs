//! `verify`: the differences between kernel, configuration and memory.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::kernel_is_silent;
use crate::control::Problem;
use crate::control::verify::{
    Difference, DifferenceKind, MOST_DIFFERENCES, Verification, VerifyRequest,
};
use crate::daemon::Daemon;
use crate::daemon::firewall_thread::{Repair, Verified};
use crate::decide::plan::Plan;
use crate::decide::plan_files::load_plan;
use crate::model::event::{Element, ScopeId};
use crate::model::time::Time;

pub(super) async fn answer(
    daemon: &Daemon,
    request: VerifyRequest,
) -> Result<Verification, Problem> {
    let repair = if request.repair { Repair::Yes } else { Repair::No };
    let plan = daemon.plan().await?;
    let (reply, answer) = oneshot::channel();
    let pass_on = move |found| drop(reply.send(found));
    daemon
        .engine
        .ask(move |core| core.worker.verify(core.desired_state(), repair, pass_on))
        .await?;
    let found = answer.await.map_err(|_| kernel_is_silent())?.map_err(Problem::failed)?;
    let (config, in_force) = (daemon.options.config.clone(), Arc::clone(&plan));
    let changed = move |_: &_| changed(config.as_deref(), &in_force);
    Ok(report(&plan, found, daemon.apart(changed).await?))
}

/// Returns how the configuration's files differ from what is in force.
fn changed(config: Option<&Path>, in_force: &Plan) -> Option<String> {
    match load_plan(config) {
        Err(error) => Some(format!("the configuration is wrong: {error}")),
        Ok(read) if read.config != in_force.config => {
            Some("the configuration has changed since it was read: asterguard reload".to_owned())
        }
        Ok(_) => None,
    }
}

/// Puts what was found into words. `configuration` is what the files have against what is in force.
fn report(plan: &Plan, verified: Verified, configuration: Option<String>) -> Verification {
    let Verified { damage, comparison, pause, repaired } = verified;
    let plain = |kind, message| Difference { kind, host: None, scope: None, message };
    let of = |kind, element: &Element, words: &str| {
        let scope = scope_name(plan, element.scope);
        let message = format!("{} ({scope} ports): {words}", element.subject);
        Difference { kind, host: Some(element.subject.to_string()), scope: Some(scope), message }
    };
    let configuration = configuration.map(|message| plain(DifferenceKind::Configuration, message));
    let damage = damage.iter().map(|one| plain(DifferenceKind::Structure, one.to_string()));
    let pause = pause.map(|message| plain(DifferenceKind::Pause, message));
    let missing = comparison
        .missing
        .iter()
        .map(|element| of(DifferenceKind::Missing, element, "banned, but not in the kernel"));
    let wrong = comparison.wrong.iter().map(|(element, held)| {
        let words = format!("banned {}, but in the kernel {}", end(element.until), end(*held));
        of(DifferenceKind::End, element, &words)
    });
    let extra = comparison
        .extra
        .iter()
        .map(|element| of(DifferenceKind::Extra, element, "in the kernel, but not banned"));
    let all = configuration.into_iter().chain(damage).chain(pause);
    let mut all = all.chain(missing).chain(wrong).chain(extra);
    let differences: Vec<_> = all.by_ref().take(MOST_DIFFERENCES).collect();
    let count = differences.len() + all.count();
    Verification { differences, count, repaired }
}

fn scope_name(plan: &Plan, id: ScopeId) -> String {
    let scope = plan.structure.scope(id);
    scope.map_or_else(String::new, |scope| scope.name.clone())
}

fn end(until: Option<Time>) -> String {
    until.map_or_else(|| "without an end".to_owned(), |until| format!("until {until}"))
}
