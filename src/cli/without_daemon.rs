//! The commands that work on the kernel and the state file where no daemon runs.

use std::time::Duration;

use clap::Args;
use rustix::process::geteuid;

use super::client::{ask_over, connect};
use super::list::Listed;
use super::output::{Failure, Output};
use super::state_file::StateDirArg;
use super::{ConfigArg, Exit, SocketArg};
use crate::control::accounts::AccountReport;
use crate::control::allow::{AllowRequest, AllowedReport};
use crate::control::banned::{BanStatus, NamedBan};
use crate::control::{Done, Problem, Query, SubjectText};
use crate::daemon::requests::status::named_ban;
use crate::daemon::requests::{self, allow, jail_named, note, unban};
use crate::daemon::{LiftedOffline, Offline};
use crate::enforce::SinkError;
use crate::model::event::Ban;
use crate::model::orders::{AllowedNetwork, Caller, end};
use crate::model::subject::{Subject, canonical, written};
use crate::store::{self, ban_record};
use crate::sys::clock::now;

/// Where a daemon would be, and what there is without one.
#[derive(Debug, Args)]
pub struct PlacesArgs {
    #[command(flatten)]
    pub config: ConfigArg,
    #[command(flatten)]
    pub socket: SocketArg,
    #[command(flatten)]
    pub state: StateDirArg,
}

impl PlacesArgs {
    /// Asks the daemon; `None` where none runs.
    pub fn ask<Q: Query>(&self, query: &Q) -> Result<Option<Q::Reply>, Failure> {
        match connect(&self.socket.socket) {
            Ok(stream) => ask_over(stream, &self.socket.socket, query).map(Some),
            Err(Failure { exit: Exit::NoDaemon, .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Whether no daemon runs: one that hangs, or has broken off, may act on what it knows.
    pub fn is_down(&self) -> bool {
        connect(&self.socket.socket).is_err_and(|failure| failure.exit == Exit::NoDaemon)
    }

    /// Returns what there is without a daemon, after saying that there is none.
    fn offline(&self, output: &Output) -> Result<Offline, Failure> {
        let (offline, problem) =
            Offline::new(self.config.config.as_deref(), &self.state.state_dir)?;
        output.note("no daemon answers: this is about the kernel and the state file");
        if let Some(problem) = problem {
            output.note(&format!(
                "the configuration cannot be used ({problem}): bans of your own port lists are left out"
            ));
        }
        Ok(offline)
    }

    /// Returns the bans that the kernel holds.
    pub fn bans(&self, whom: Option<Subject>, output: &Output) -> Result<Vec<NamedBan>, Failure> {
        let offline = self.offline(output)?;
        Ok(self.named(&offline, whom)?)
    }

    fn named(&self, offline: &Offline, whom: Option<Subject>) -> Result<Vec<NamedBan>, SinkError> {
        let notes = store::notes(&self.state.state_dir);
        let named = |ban: &Ban| {
            let named = named_ban(offline.plan(), ban, now());
            let key = ban_record::key(offline.plan(), ban);
            let note = key.and_then(|key| notes.get(&key));
            let (by, comment) = note.map(|note| (note.by.clone(), note.comment.clone())).unzip();
            NamedBan { ban: BanStatus { by, comment: comment.flatten(), ..named.ban }, ..named }
        };
        Ok(offline.bans(whom)?.iter().map(named).collect())
    }

    /// Returns the bans of a host in the kernel, and the lists there that drop it; `None` where nobody may look.
    pub fn in_kernel(&self, whom: Subject) -> Option<(Vec<NamedBan>, Vec<Listed>)> {
        let (offline, _) =
            Offline::new(self.config.config.as_deref(), &self.state.state_dir).ok()?;
        let bans = self.named(&offline, Some(whom)).ok()?;
        let listed = offline.listed(canonical(whom.address())).ok()?;
        Some((bans, listed.into_iter().map(Listed::in_kernel).collect()))
    }

    /// Lets a host or network through, or no longer.
    pub fn allow(&self, request: &AllowRequest, output: &Output) -> Result<(), Failure> {
        let usage = |message: String| Failure { exit: Exit::Usage, message };
        let SubjectText(whom) = request.host;
        let net = allow::network(whom).map_err(usage)?;
        let caller = Caller::new(geteuid().as_raw(), std::env::var("SUDO_USER").ok());
        let note = note(&caller, request.comment.as_deref()).map_err(|p| usage(p.message))?;
        let offline = self.offline(output)?;
        let done = if request.remove {
            let was_there = offline.disallow(net)?;
            let words = format!("{} is no longer let through by order", written(&net));
            let words = if was_there { words } else { allow::not_allowed(net) };
            Done::changing(was_there, words)
        } else {
            let until = end(request.seconds.map(Duration::from_secs), now());
            offline.allow(AllowedNetwork { net, since: now(), until, note })?;
            Done::changing(true, allow::allowed(net, until))
        };
        output.changed(&done);
        Ok(())
    }

    /// Returns the networks that are let through by order, after saying that there is no daemon.
    pub fn allowed(&self, output: &Output) -> Vec<AllowedReport> {
        output.note("no daemon answers: this is what the state file says");
        allow::reports(&store::orders(&self.state.state_dir))
    }

    /// Returns the accounts that have logged in, after saying that there is no daemon.
    pub fn accounts(&self, output: &Output) -> Result<Vec<AccountReport>, Failure> {
        output.note("no daemon answers: this is what the state file says");
        if !self.state.is_there()? {
            return Ok(Vec::new());
        }
        let stored = store::accounts(&self.state.state_dir);
        let stored = stored.map_err(|error| self.state.unreadable(&error))?;
        Ok(requests::accounts::reports(&stored, now()))
    }

    /// Lifts bans: those of each of `whom`, or all. Returns how many.
    pub fn unban(
        &self,
        whom: &[Subject],
        jail: Option<&str>,
        output: &Output,
    ) -> Result<usize, Failure> {
        let offline = self.offline(output)?;
        jail_named(offline.plan(), jail)
            .map_err(|Problem { message, .. }| Failure { exit: Exit::Usage, message })?;
        let each: Vec<_> =
            if whom.is_empty() { vec![None] } else { whom.iter().copied().map(Some).collect() };
        let mut all = 0;
        for whom in each {
            let LiftedOffline { bans, problem } = offline.unban(whom, jail)?;
            all += bans;
            output.changed(&Done::changing(bans > 0, unban::lifted(whom, jail, bans)));
            if let Some(problem) = problem {
                let message = format!(
                    "the state file was not told, so the next start puts them back: {problem}"
                );
                return Err(Failure { exit: Exit::BadState, message });
            }
        }
        Ok(all)
    }
}
