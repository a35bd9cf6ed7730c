//! The checks that the daemon makes itself, with its names and words: nothing of that is looked at again.

use super::facts::World;
use super::{Finding, Verdict};
use crate::control::health::{CheckResult, CheckState};

/// Returns what the daemon says of its own health.
pub fn checks(world: &World) -> Vec<Finding> {
    match &world.status {
        Ok(status) => status.checks.iter().map(finding).collect(),
        Err(_) => vec![Finding::unchecked("health", "only a running daemon knows how it is")],
    }
}

fn finding(CheckResult { check, state, seen, todo }: &CheckResult) -> Finding {
    let verdict = match state {
        CheckState::Ok => Verdict::Ok,
        CheckState::Problem => Verdict::Problem,
    };
    Finding { change: todo.clone(), ..Finding::new(check.name(), verdict, seen.trim_end()) }
}
