//! `asterguard status --check --nagios`: one line and an exit code in the form of plugins for Nagios, Icinga and others
//! (<https://nagios-plugins.org/doc/guidelines.html>).

use std::path::Path;

use serde::Serialize;

use super::Exit;
use super::client::ask;
use super::output::Output;
use crate::control::health::{Check, names_of_problems};
use crate::control::metrics::{Metrics, MetricsRequest};
use crate::control::status::{Health, Status};
use crate::model::time::RoughDuration;
use crate::model::words::counted;

/// Checks that say that attackers are not seen, or not blocked.
const GRAVE: [Check; 5] =
    [Check::Nftables, Check::TableChanges, Check::BanEffect, Check::Logs, Check::Evidence];

/// The state of a service, as plugins tell it by their exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[repr(u8)]
pub enum ServiceState {
    /// All is well.
    Ok = 0,
    /// Somebody should look.
    Warning = 1,
    /// The PBX is not guarded.
    Critical = 2,
    /// It cannot be known.
    Unknown = 3,
}

impl ServiceState {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// What a plugin tells.
#[derive(Debug, Serialize)]
struct Told {
    state: ServiceState,
    message: String,
    perfdata: String,
}

/// Prints the state of the guard, and returns it.
pub fn nagios(socket: &Path, output: &Output) -> ServiceState {
    let told = match ask(socket, &MetricsRequest) {
        Ok(metrics) => told(&metrics),
        Err(failure) => {
            let state = match failure.exit {
                Exit::NoDaemon => ServiceState::Critical,
                _ => ServiceState::Unknown,
            };
            Told { state, message: failure.message, perfdata: String::new() }
        }
    };
    if output.json {
        output.object(&told);
    } else {
        output.line(line(&told));
    }
    told.state
}

/// Returns the line. What is behind `|` is numbers, so there is only one.
fn line(Told { state, message, perfdata }: &Told) -> String {
    let message = message.replace(['\n', '|'], " ");
    let line = format!("ASTERGUARD {} - {message}", state.word());
    if perfdata.is_empty() { line } else { format!("{line} | {perfdata}") }
}

fn told(metrics: &Metrics) -> Told {
    let status = &metrics.status;
    let is_grave =
        status.checks.iter().any(|result| result.is_problem() && GRAVE.contains(&result.check));
    let wrong = names_of_problems(&status.checks);
    let (state, what) = match status.health {
        Health::Ok if status.dry_run => (ServiceState::Warning, "dry run: ".to_owned()),
        Health::Ok => (ServiceState::Ok, String::new()),
        Health::Paused => (ServiceState::Warning, format!("PAUSED ({wrong}): ")),
        Health::Degraded if is_grave => (ServiceState::Critical, format!("DEGRADED ({wrong}): ")),
        Health::Degraded => (ServiceState::Warning, format!("DEGRADED ({wrong}): ")),
    };
    let login = status.logins.ago.map_or("no login seen".to_owned(), |ago| {
        format!("last login {} ago", RoughDuration(std::time::Duration::from_secs(ago)))
    });
    let message = format!("{what}{} banned, {login}", counted(status.hosts_banned, "host"));
    Told { state, message, perfdata: perfdata(metrics, status) }
}

/// Returns the numbers, as `name=value[unit];warn;critical;minimum`.
fn perfdata(metrics: &Metrics, status: &Status) -> String {
    let offences: u64 = metrics.offences.iter().map(|count| count.total).sum();
    let bans: u64 = metrics.bans.iter().map(|count| count.total).sum();
    let lag = status.sources.iter().map(|source| source.lag).max().unwrap_or(0);
    let mut numbers = vec![
        format!("banned_hosts={};;;0", status.hosts_banned),
        format!("bans={bans}c"),
        format!("offences={offences}c"),
        format!("banned_known_good={};;;0", status.logins.banned),
        format!("lag={lag}s;;;0"),
        format!("queue={};;;0", status.queue),
    ];
    numbers.extend(status.logins.ago.map(|ago| format!("last_login={ago}s;;;0")));
    numbers.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_said_is_one_line() {
        let told = Told {
            state: ServiceState::Critical,
            message: "no daemon at /tmp/a|b\nc".to_owned(),
            perfdata: String::new(),
        };
        assert_eq!(line(&told), "ASTERGUARD CRITICAL - no daemon at /tmp/a b c");
    }
}
