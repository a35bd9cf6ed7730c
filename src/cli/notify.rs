//! `asterguard notify`

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::output::{Failure, Output};
use super::{ConfigArg, Exit};
use crate::config::load::{LoadError, load_notify};
use crate::decide::plan_files::PlanError;
use crate::notify::helper::{self, SOCKET};
use crate::notify::protocol::{LONGEST_REPORT, Outcome, Report, ToNotifier};
use crate::sys::json_line::{line, read};

/// How often a process that ends for another configuration is asked again.
const TRIES: usize = 3;

#[derive(Debug, Args)]
pub struct NotifyArgs {
    #[command(subcommand)]
    command: NotifyCommand,
}

#[derive(Debug, Subcommand)]
enum NotifyCommand {
    /// Send a test message by each notifier, and show what the receiver said
    ///
    /// The process that sends the real messages (asterguard-notify.service) sends it at once, whatever `on`, `quiet` and
    /// `digest` say. If that process is not there, this command sends the message itself, and says so. The exit code is
    /// 1 if a message was not sent, and 2 if there is no such notifier.
    Test(TestArgs),
}

#[derive(Debug, Args)]
pub struct TestArgs {
    /// Only this notifier: the NAME of [notify.NAME]
    name: Option<String>,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    helper: HelperArg,
}

/// Where the process is that sends.
#[derive(Debug, Args)]
pub struct HelperArg {
    /// Socket of the helper that sends notifications
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    pub helper: PathBuf,
}

pub fn notify(args: &NotifyArgs, output: &Output) -> Result<Exit, Failure> {
    match &args.command {
        NotifyCommand::Test(args) => test(args, output),
    }
}

fn test(args: &TestArgs, output: &Output) -> Result<Exit, Failure> {
    let config = args.config.config.as_deref();
    let notifiers = load_notify(config).map_err(unusable)?;
    let is_asked = |name: &str| args.name.as_deref().is_none_or(|asked| asked == name);
    if !notifiers.iter().any(|notifier| is_asked(&notifier.name)) {
        let known: Vec<_> = notifiers.iter().map(|notifier| notifier.name.as_str()).collect();
        let message = match (&args.name, known.as_slice()) {
            (_, []) => "no notifier is configured: write [notify.NAME] into the configuration (docs/notifications.md)".to_owned(),
            (name, known) => format!(
                "there is no notifier {:?}; there are: {}",
                name.as_deref().unwrap_or_default(),
                known.join(", ")
            ),
        };
        return Err(Failure { exit: Exit::Usage, message });
    }
    args.helper.sent(&ToNotifier::Test(args.name.clone()), output, || {
        helper::test(&notifiers, args.name.as_deref())
    })
}

impl HelperArg {
    /// Lets the process that sends do that now, or `send` where there is none, and tells what became of it.
    pub fn sent(
        &self,
        request: &ToNotifier,
        output: &Output,
        send: impl FnOnce() -> Vec<Outcome>,
    ) -> Result<Exit, Failure> {
        let outcomes = match asked(&self.helper, request)? {
            Some(outcomes) => outcomes,
            None => {
                output.note(&format!(
                    "no process answers at {}, so this command sends the message itself, with the rights of the user who runs it",
                    self.helper.display()
                ));
                send()
            }
        };
        for outcome in &outcomes {
            told(outcome, output);
        }
        let all_sent = !outcomes.is_empty() && outcomes.iter().all(|outcome| outcome.sent);
        Ok(if all_sent { Exit::Done } else { Exit::Failed })
    }
}

/// Returns the failure to read the configuration.
pub fn unusable(error: LoadError) -> Failure {
    PlanError::Config(error).into()
}

fn told(outcome: &Outcome, output: &Output) {
    let Outcome { name, kind, sent, said, todo } = outcome;
    if output.json {
        output.object(outcome);
        return;
    }
    output
        .line(format_args!("{name} ({kind}): {}: {said}", if *sent { "sent" } else { "NOT SENT" }));
    if let Some(todo) = todo {
        output.line(format_args!("  do: {todo}"));
    }
}

/// Asks the process that sends; `None` if it is not there.
fn asked(socket: &Path, request: &ToNotifier) -> Result<Option<Vec<Outcome>>, Failure> {
    for _ in 0..TRIES {
        let mut stream = match UnixStream::connect(socket) {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(Failure {
                    exit: Exit::NotPermitted,
                    message: format!("you may not ask {}: run this as root", socket.display()),
                });
            }
            Err(_) => return Ok(None),
        };
        if stream.write_all(&[line(&ToNotifier::Reload), line(request)].concat()).is_err() {
            continue;
        }
        let (mut reader, mut text) = (BufReader::new(stream), Vec::new());
        loop {
            text.clear();
            let got = (&mut reader).take(LONGEST_REPORT as u64).read_until(b'\n', &mut text);
            if !got.is_ok_and(|bytes| bytes > 0) {
                break;
            }
            if let Some(Report { tested: Some(outcomes), .. }) = read(&text) {
                return Ok(Some(outcomes));
            }
        }
    }
    Err(Failure::new(format!(
        "the process at {} ends at once: see journalctl -u asterguard-notify",
        socket.display()
    )))
}

/// What `asterguard-notify.service` runs.
#[derive(Debug, Args)]
pub struct NotifierArgs {
    #[command(flatten)]
    pub config: ConfigArg,
    /// Directory of the queues
    #[arg(long, value_name = "DIR", default_value = helper::STATE_DIR)]
    pub state_dir: PathBuf,
}
