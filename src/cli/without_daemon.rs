//! The commands that work on the kernel and the state file where no daemon runs.

use std::path::PathBuf;

use clap::Args;

use super::client::{ask_over, connect};
use super::output::{Failure, Output};
use super::{ConfigArg, Exit, SocketArg};
use crate::control::banned::NamedBan;
use crate::control::{Problem, Query};
use crate::daemon::requests::jail_named;
use crate::daemon::requests::status::named_ban;
use crate::daemon::{LiftedOffline, Offline, STATE_DIR};
use crate::model::event::Ban;
use crate::model::subject::Subject;
use crate::model::words::counted;
use crate::sys::clock::now;

/// Where a daemon would be, and what there is without one.
#[derive(Debug, Args)]
pub struct PlacesArgs {
    #[command(flatten)]
    pub config: ConfigArg,
    #[command(flatten)]
    pub socket: SocketArg,
    /// Directory that the daemon keeps its state in
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub state_dir: PathBuf,
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
        let (offline, problem) = Offline::new(self.config.config.as_deref(), &self.state_dir)?;
        output.note("no daemon answers: this is about the kernel and the state file");
        if let Some(problem) = problem {
            output.note(&format!(
                "the configuration cannot be used ({problem}): bans of port lists of your own are left out"
            ));
        }
        Ok(offline)
    }

    /// Returns the bans that the kernel holds.
    pub fn bans(&self, whom: Option<Subject>, output: &Output) -> Result<Vec<NamedBan>, Failure> {
        let offline = self.offline(output)?;
        let named = |ban: &Ban| named_ban(offline.plan(), ban, now());
        Ok(offline.bans(whom)?.iter().map(named).collect())
    }

    /// Lifts bans: those of each of `whom`, or all.
    pub fn unban(
        &self,
        whom: &[Subject],
        jail: Option<&str>,
        output: &Output,
    ) -> Result<(), Failure> {
        let offline = self.offline(output)?;
        jail_named(offline.plan(), jail)
            .map_err(|Problem { message, .. }| Failure { exit: Exit::Usage, message })?;
        let each: Vec<_> =
            if whom.is_empty() { vec![None] } else { whom.iter().copied().map(Some).collect() };
        for whom in each {
            let LiftedOffline { bans, problem } = offline.unban(whom, jail)?;
            output.done(&format!("{} lifted", counted(bans, "ban")));
            if let Some(problem) = problem {
                let message = format!(
                    "the state file was not told, so the next start puts them back: {problem}"
                );
                return Err(Failure { exit: Exit::BadState, message });
            }
        }
        Ok(())
    }
}
