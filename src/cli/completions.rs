//! What a shell offers on Tab: jails, and hosts that are banned or let through.

use std::ffi::OsString;
use std::path::PathBuf;

use clap_complete::engine::CompletionCandidate;

use super::client::ask;
use crate::control::SOCKET;
use crate::control::allow::AllowedRequest;
use crate::control::banned::BannedRequest;
use crate::control::status::{Detail, StatusRequest};
use crate::decide::plan_files::load_plan;
use crate::model::subject::written;

/// Hosts that are offered at most.
const MOST: usize = 200;

/// Returns the jails: those of the daemon, or of the configuration if none answers.
pub fn jails() -> Vec<CompletionCandidate> {
    let request = StatusRequest { jail: None, detail: Detail::Brief };
    let names = match ask(&socket(), &request) {
        Ok(status) => status.jails.into_iter().map(|jail| jail.jail).collect(),
        Err(_) => load_plan(None).map_or_else(
            |_| Vec::new(),
            |plan| plan.jails().map(|(_, jail)| jail.name.clone()).collect::<Vec<_>>(),
        ),
    };
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Returns the hosts that are banned, those with the longest bans first.
pub fn banned() -> Vec<CompletionCandidate> {
    let bans = ask(&socket(), &BannedRequest { host: None, observe: false }).unwrap_or_default();
    let named = |named: crate::control::banned::NamedBan| {
        CompletionCandidate::new(named.ban.host).help(Some(named.jail.into()))
    };
    bans.into_iter().take(MOST).map(named).collect()
}

/// Returns the networks that are let through by order.
pub fn allowed() -> Vec<CompletionCandidate> {
    let allowed = ask(&socket(), &AllowedRequest).unwrap_or_default();
    allowed.iter().map(|known| CompletionCandidate::new(written(&known.net))).collect()
}

/// Returns the socket of the command line that is being completed.
fn socket() -> PathBuf {
    let mut words = std::env::args_os().skip_while(|word| word != "--socket");
    let named = words.nth(1).filter(|path: &OsString| !path.is_empty());
    named.map_or_else(|| PathBuf::from(SOCKET), PathBuf::from)
}
