//! Says in the log when a check of the health turns: once, and seldom where it goes back and forth.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::control::health::{Check, CheckResult, CheckState};
use crate::model::time::Time;

/// The time between two lines about a check: at first, and at most. It doubles with each line.
const PACE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(3600));
/// A check that has not turned for this long is as if it never had.
const CALM: Duration = Duration::from_secs(2 * 3600);

/// The checks that are said where they turn, of each host, file or feed by itself.
const SAID_THERE: [Check; 7] = [
    Check::Pause,
    Check::BanEffect,
    Check::Flood,
    Check::LogAccess,
    Check::StateDamage,
    Check::NeverBanned,
    Check::Lists,
];

/// A check that has turned.
#[derive(Debug, PartialEq, Eq)]
pub struct Turned {
    /// The check.
    pub check: Check,
    /// How it stands now.
    pub state: CheckState,
    /// The same in words.
    pub line: String,
    /// Whether the log has it already, from where it turned.
    pub is_logged: bool,
}

/// What the log has about the checks.
#[derive(Debug, Default)]
pub struct HealthLog {
    /// At most one entry for each check.
    said: BTreeMap<Check, Said>,
}

/// What the log has about a check.
#[derive(Clone, Copy, Debug)]
struct Said {
    state: CheckState,
    at: Time,
    /// The time until there may be another line.
    wait: Duration,
}

impl HealthLog {
    /// Returns the checks that have turned. `now` is of a clock that nobody sets. Results of one check stand together.
    pub fn turned(&mut self, checks: &[CheckResult], now: Time) -> Vec<Turned> {
        let mut turned = Vec::new();
        for results in checks.chunk_by(|one, next| one.check == next.check) {
            let Some(first) = results.first() else { continue };
            if self.may_say(first.check, first.state, now) {
                turned.push(Turned {
                    check: first.check,
                    state: first.state,
                    line: line(first, results.len() - 1),
                    is_logged: SAID_THERE.contains(&first.check),
                });
            }
        }
        turned
    }

    /// Whether it is to be said now that a check is in this state; then it counts as said.
    fn may_say(&mut self, check: Check, state: CheckState, now: Time) -> bool {
        let known = self.said.get(&check).copied();
        if known.map_or(CheckState::Ok, |said| said.state) == state {
            return false;
        }
        let wait = match known {
            Some(said) if now.since(said.at) < said.wait => return false,
            Some(said) if now.since(said.at) < CALM => (said.wait * 2).min(PACE.1),
            _ => PACE.0,
        };
        self.said.insert(check, Said { state, at: now, wait });
        true
    }
}

/// Returns the line about a check, of which there are `more` results.
fn line(first: &CheckResult, more: usize) -> String {
    let (name, words) = (first.check.name(), first.in_words().replace('\n', " "));
    match (first.state, more) {
        (CheckState::Ok, _) => format!("{name} is ok again: {words}"),
        (CheckState::Problem, 0) => format!("{name}: {words}"),
        (CheckState::Problem, more) => format!("{name}: {words} (and {more} more)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::trouble::Trouble;

    fn at(secs: i64) -> Time {
        Time::from_secs(secs)
    }

    fn wrong(check: Check, seen: &str) -> CheckResult {
        CheckResult::problem(check, Trouble::new(seen, "todo"))
    }

    #[test]
    fn a_check_is_said_when_it_turns() {
        let mut log = HealthLog::default();
        let fine = CheckResult::ok(Check::Logs, "well");
        let mut told = |checks: &[CheckResult], secs| -> Vec<String> {
            log.turned(checks, at(secs)).into_iter().map(|turned| turned.line).collect()
        };
        assert_eq!(told(std::slice::from_ref(&fine), 0), [""; 0]);
        assert_eq!(told(&[wrong(Check::Logs, "a")], 1), ["logs: a; do: todo"]);
        // Numbers change all the time.
        assert_eq!(told(&[wrong(Check::Logs, "b")], 2), [""; 0]);
        assert_eq!(told(std::slice::from_ref(&fine), 3), ["logs is ok again: well"]);
        assert_eq!(told(&[fine], 9), [""; 0]);
        let two = [wrong(Check::FreeText, "x\ny"), wrong(Check::FreeText, "z")];
        assert_eq!(told(&two, 9), ["free-text: x y; do: todo (and 1 more)"]);
        // Of each file there is a line already.
        let turned = log.turned(&[wrong(Check::LogAccess, "x")], at(9));
        assert!(turned.iter().all(|turned| turned.is_logged) && turned.len() == 1, "{turned:?}");
    }

    #[test]
    fn what_goes_back_and_forth_is_said_seldom() {
        let mut log = HealthLog::default();
        let states = [wrong(Check::Wire, "gone"), CheckResult::ok(Check::Wire, "there")];
        let mut lines = Vec::new();
        for second in 0..86_400 {
            let turned = usize::try_from(second % 2).unwrap();
            let said = log.turned(&states[turned..=turned], at(second));
            lines.extend(said.into_iter().map(|_| second));
        }
        assert_eq!(lines[..5], [0, 3, 8, 17, 34]);
        assert!(lines.len() < 40, "{lines:?}");
        // Once it was calm, it is said at once again.
        let _ = log.turned(&states[1..], at(100_000));
        assert_eq!(log.turned(&states[..1], at(200_000)).len(), 1);
        assert_eq!(log.turned(&states[1..], at(200_002)).len(), 1);
    }
}
