//! How kernel, configuration and memory differ, in words.

use crate::control::{Difference, DifferenceKind, MOST_DIFFERENCES, Verification};
use crate::daemon::firewall_thread::Verified;
use crate::decide::plan::Plan;
use crate::model::event::{Element, ScopeId};
use crate::model::time::Time;

/// What is said of what was found. `configuration` is what the files have against what is in force.
pub fn report(plan: &Plan, verified: Verified, configuration: Option<String>) -> Verification {
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
    until.map_or_else(|| "for ever".to_owned(), |until| format!("until {until}"))
}
