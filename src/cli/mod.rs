//! The command line.

mod accounts;
mod allow;
mod ami_user;
mod ban;
mod banned;
mod check;
mod client;
mod columns;
mod completions;
mod doctor;
mod events;
mod examples;
mod explain;
mod export;
mod fetch;
mod fleet;
mod fleet_setup;
mod fleet_status;
mod fleet_unban;
mod get;
mod history;
mod import;
mod line_forms;
mod list;
mod log_file;
mod metrics;
mod nagios;
mod notify;
mod output;
mod pause;
mod person;
mod reload;
mod replay;
mod report;
mod restore;
mod resume;
mod ruleset;
mod run;
mod setup;
mod state_file;
mod status;
mod test;
mod text;
mod times;
mod top;
mod unban;
mod verify;
mod without_daemon;

use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::CompleteEnv;
use jiff::tz::TimeZone;

use crate::control::SOCKET;
use crate::enforce::helper;
use crate::fleet::process as fleet_process;
use crate::hosts::discover::dns_helper;
use crate::model::subject::{NoSubject, Subject};
use crate::model::time;
use crate::notify::helper as notifier;
use crate::sources;
use crate::sources::journal;
use crate::sys::peer::Peers;
use crate::sys::sandbox::{self, Needs, Sockets};
use output::{Failure, Output};

/// The exit code of a command, for scripts. Part of the interface: the numbers stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It worked.
    Done = 0,
    /// It did not work.
    Failed = 1,
    /// The command line makes no sense, or names what cannot be: an unknown jail, a protected host.
    Usage = 2,
    /// Configuration or rules are wrong.
    Config = 3,
    /// No daemon answers.
    NoDaemon = 4,
    /// nftables cannot be used.
    NoNftables = 5,
    /// The state file cannot be used, or only in part.
    BadState = 6,
    /// A guard requests a restart.
    Restart = 7,
    /// This user may not do that.
    NotPermitted = 8,
    /// Nothing was found: no ban of that host, no such entry in that list.
    NotFound = 9,
}

const AFTER_HELP: &str = "\
Try it without changing anything:
  asterguard replay /var/log/asterisk/messages   which hosts would it have banned?
Run it:
  asterguard run                                 (as root, or as a service)
Locked out?
  asterguard pause                               nothing is blocked for 15 minutes

Exit codes: 0 done, 1 failed, 2 wrong command line (also: an unknown jail or a protected host),
3 wrong configuration or rules, 4 no daemon answers, 5 nftables cannot be used,
6 the state file cannot be used, 7 a supervised daemon requests a restart,
8 this user may not do that, 9 nothing was found.";

/// Protect an Asterisk phone system: find the hosts that attack it, and block them in the firewall.
#[derive(Debug, Parser)]
#[command(name = "asterguard", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    /// Print JSON, one object per line
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    color: colorchoice_clap::Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct ConfigArg {
    /// Configuration file. The directories conf.d and rules.d next to it are read too
    /// [default: /etc/asterguard/asterguard.toml if it exists, else the built-in configuration]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct SocketArg {
    /// Control socket of the daemon
    #[arg(long, value_name = "PATH", default_value = SOCKET, global = true)]
    socket: PathBuf,
}

#[derive(Clone, Debug, Args)]
struct PeerArgs {
    /// Socket of the helper that looks up names (asterguard-names.socket)
    #[arg(long, value_name = "PATH")]
    names: Option<PathBuf>,
    /// Socket of the helper that reads the journal (asterguard-journal.socket)
    #[arg(long, value_name = "PATH")]
    journal: Option<PathBuf>,
    /// Socket of the helper that reads events of the manager interface (asterguard-ami.socket)
    #[arg(long, value_name = "PATH")]
    ami: Option<PathBuf>,
    /// Socket of the helper that sends notifications (asterguard-notify.socket)
    #[arg(long, value_name = "PATH")]
    notify: Option<PathBuf>,
    /// Socket of the helper that reaches the fleet's server (asterguard-fleet.socket)
    #[arg(long, value_name = "PATH")]
    fleet: Option<PathBuf>,
}

impl From<PeerArgs> for Peers {
    fn from(args: PeerArgs) -> Self {
        let PeerArgs { names, journal, ami, notify, fleet } = args;
        Self { names, journal, ami, notify, fleet }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run asterguard in the foreground, as the service does
    Run(run::RunArgs),
    /// Read configuration and rules again; no ban, no count and no log line is lost
    Reload(SocketArg),
    /// Show whether it works, what each jail counted, and how many hosts are banned
    Status(status::StatusArgs),
    /// Print the numbers of the guard for Prometheus, or serve them
    ///
    /// They name no host. Without the daemon, `asterguard_up` is 0 and the exit code is 4; with --textfile it is 0.
    Metrics(metrics::MetricsArgs),
    /// Show which hosts are banned, and whether they still send packets
    Banned(banned::BannedArgs),
    /// Show past bans: which hosts, when, why, which accounts they tried, and how each ban ended
    ///
    /// It works without the daemon too. The exit code is 9 if there is none.
    History(history::HistoryArgs),
    /// Show what the guard did: bans, orders, problems and repairs
    ///
    /// It works without the daemon too. The exit code is 9 if nothing is known.
    Events(events::EventsArgs),
    /// Tell what happened in a week: in one sentence, what to look at, and by the hour
    ///
    /// It is text, a page of HTML, JSON or a mail. It works without the daemon too, but then it cannot say how old feeds
    /// are, and which names do not resolve.
    Report(report::ReportArgs),
    /// Show what goes on, on a screen that is kept up to date: health, rates, and which hosts are blocked
    ///
    /// The key `?` shows all keys. In a pipe, or with `--once`, it prints one report.
    Top(top::TopArgs),
    /// Show a list: its entries, the reasons, and what was dropped
    List(list::ListArgs),
    /// Ban hosts, networks, or single ports of hosts
    ///
    /// Without a jail, the ban closes all ports and never ends, unless `--for` sets its duration. If the host is banned
    /// already, `--for` sets the duration of this ban. Without `--for`, the ban stays as it is.
    Ban(ban::BanArgs),
    /// Remove the bans of hosts, networks or single ports of hosts, or all bans
    Unban(unban::UnbanArgs),
    /// Let hosts or networks through, even if they are banned: for a time, or until you remove them
    ///
    /// It works without the daemon too, and stays after a restart.
    Allow(allow::AllowArgs),
    /// Show which accounts have logged in, from which networks, and which logins came from new ones
    Accounts(accounts::AccountsArgs),
    /// Write the bans in force with end, reason and person, one JSON object per line
    Export(export::ExportArgs),
    /// Take over from fail2ban: its configuration, or bans that `export` wrote
    ///
    /// A directory is read as fail2ban reads it. Each line is reported: taken, done better by something built in,
    /// untrusted (`hearsay`), or not possible. A file holds bans; each is in force until its end. The exit code is 1 if
    /// something is wrong in a file.
    Import(import::ImportArgs),
    /// Fetch the lists that have a url: block lists that others make
    ///
    /// It fetches what is due. asterguard-fetch.timer runs it, if you switch that on. A list takes the place of the last
    /// one only if it came whole and makes sense; then the guard takes it up by itself. The exit code is 1 if a list was
    /// not fetched, and 2 if there is no such feed.
    Fetch(fetch::FetchArgs),
    /// Stop blocking now, for a time; works without the daemon too
    Pause(pause::PauseArgs),
    /// End all pauses, or the pause of one jail
    Resume(resume::ResumeArgs),
    /// Show the values of a jail that are in force, what it counts, or which hosts are never banned
    Get(get::GetArgs),
    /// Print the nftables table without its bans, to include it in your firewall
    Ruleset(ruleset::RulesetArgs),
    /// Show where kernel, configuration and memory differ
    ///
    /// The exit code is 1 if they differ.
    Verify(verify::VerifyArgs),
    /// Check the configuration and the rules, and test the examples of every rule
    Check(check::CheckArgs),
    /// Find problems, and say what to change
    ///
    /// It changes nothing, and works without the daemon too. The exit code is 1 if there is a problem.
    Doctor(doctor::DoctorArgs),
    /// Have Asterisk log what the guard needs, and wait until a line arrives
    ///
    /// It looks for Asterisk, its version, distribution and logs, shows each change with its reason, and asks before it
    /// writes. A second run changes nothing more. `--undo` takes all of it back. The exit code is 1 if something is
    /// missing at the end.
    Setup(setup::SetupArgs),
    /// Show what the rules find in a line or a log: how often each rule matches, and which lines no rule matches
    ///
    /// For a log, it prints a summary, also with the formats of lines and dates. `--matched` and `--missed` print lines.
    /// `--regex` tries a failregex without a rule file. The exit code is 9 if nothing matches, and 1 if the file cannot
    /// be read, or not to its end.
    Test(test::TestArgs),
    /// Show why a host is banned or not, or what each jail does with a log line
    Explain(explain::ExplainArgs),
    /// Show the bans that these logs and captures would have caused, when and why; changes nothing
    ///
    /// Only a capture (--pcap) shows what the PBX did with a host. Without one, the last line says that it is unknown.
    /// The end of the output shows what was left out and why, which bans were withheld, and which jails only observe.
    /// The exit code is 1 if a file cannot be read, or not to its end. The lines that can be read count.
    Replay(replay::ReplayArgs),
    /// Put the stored bans into the kernel, before the network comes up and the daemon starts
    Restore(restore::RestoreArgs),
    /// Print the user that asterguard needs in Asterisk's manager.conf
    ///
    /// The user gets security events and nothing else. See docs/ami.md for what to do with it.
    AmiUser(ami_user::AmiUserArgs),
    /// Try the notifications
    Notify(notify::NotifyArgs),
    /// Send notifications for the guard at the listening socket on standard input: what asterguard-notify.service runs
    #[command(hide = true)]
    Notifier(notify::NotifierArgs),
    /// Share bans with other guards
    Fleet(fleet::FleetArgs),
    /// Reach the fleet's server for the guard at the listening socket on standard input: what asterguard-fleet.service runs
    #[command(hide = true)]
    FleetNode(fleet_setup::FleetNodeArgs),
    /// Read events of the manager interface for the guard on standard input: what asterguard-ami@.service runs
    #[command(hide = true)]
    AmiSource(ConfigArg),
    /// Look up the name on standard input: what asterguard-names@.service runs
    #[command(hide = true)]
    LookUp,
    /// Read the journal for the guard at the socket on standard input: what asterguard-journal@.service runs
    #[command(hide = true)]
    JournalSource,
    /// Write to the firewall what the socket on standard input asks for: what `run` runs
    #[command(hide = true)]
    Writer(PeerArgs),
}

/// Reads the address of a host, or the address and one port of a host.
fn host(text: &str) -> Result<Subject, String> {
    let whom: Subject = text.parse().map_err(|error| match error {
        NoSubject::Text => {
            "write an address, or an address and port like 192.0.2.7:5060 or [2001:db8::7]:5060"
                .to_owned()
        }
        NoSubject::Port => error.to_string(),
    })?;
    let refused = || format!("{whom} is a network: write one address");
    whom.is_one_address().then_some(whom).ok_or_else(refused)
}

/// Returns the command line's definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    examples::add(Cli::command())
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    time::write_in(TimeZone::system());
    // A shell that asks what could follow gets its answer, and nothing is run.
    CompleteEnv::with_factory(command).complete();
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return not_understood(error),
    };
    cli.color.write_global();
    let output = Output::new(cli.json);
    let result = match cli.command {
        Command::Doctor(args) => return ended(Ok(doctor::doctor(&args, &output)), &output),
        Command::Run(args) => return ended(run::run(&args), &output),
        Command::Reload(args) => reload::reload(&args.socket, &output),
        Command::Status(args) if args.is_for_nagios() => {
            return ExitCode::from(nagios::nagios(args.socket(), &output) as u8);
        }
        Command::Metrics(args) => return ended(metrics::metrics(&args, &output), &output),
        Command::Status(args) => return ended(status::status(&args, &output), &output),
        Command::Banned(args) => return ended(banned::banned(&args, &output), &output),
        Command::History(args) => return ended(history::history(&args, &output), &output),
        Command::Events(args) => return ended(events::events(&args, &output), &output),
        Command::Report(args) => return ended(report::report(&args, &output), &output),
        Command::Top(args) => return ended(top::top(&args, &output), &output),
        Command::List(args) => return ended(list::list(&args, &output), &output),
        Command::Ban(args) => ban::ban(&args, &output),
        Command::Unban(args) => return ended(unban::unban(&args, &output), &output),
        Command::Pause(args) => pause::pause(&args, &output),
        Command::Allow(args) => allow::allow(&args, &output),
        Command::Accounts(args) => accounts::accounts(&args, &output),
        Command::Export(args) => export::export(&args, &output),
        Command::Import(args) => return ended(import::import(&args, &output), &output),
        Command::Fetch(args) => return ended(fetch::fetch(&args, &output), &output),
        Command::Resume(args) => resume::resume(&args, &output),
        Command::Get(args) => get::get(&args, &output),
        Command::Ruleset(args) => ruleset::ruleset(&args, &output),
        Command::Verify(args) => verify::verify(&args, &output),
        Command::Check(args) => check::check(&args, &output),
        Command::Setup(args) => return ended(setup::setup(&args, &output), &output),
        Command::Test(args) => return ended(test::test(&args, &output), &output),
        Command::Explain(args) => explain::explain(&args, &output),
        Command::Replay(args) => replay::replay(&args, &output),
        Command::Restore(args) => restore::restore(&args, &output),
        Command::Writer(peers) => write_to_firewall(&peers.into()).map_err(Failure::new),
        Command::AmiUser(args) => ami_user::ami_user(&args, &output),
        Command::Notify(args) => return ended(notify::notify(&args, &output), &output),
        Command::Notifier(args) => tell(args).map_err(Failure::new),
        Command::Fleet(args) => return ended(fleet::fleet(&args, &output), &output),
        Command::FleetNode(args) => reach_fleet(args).map_err(Failure::new),
        Command::AmiSource(args) => read_ami(args.config).map_err(Failure::new),
        Command::LookUp => {
            dns_helper::serve(std::io::stdin(), std::io::stdout()).map_err(Failure::new)
        }
        Command::JournalSource => {
            journal::helper::serve(std::io::stdin().as_fd(), std::io::stdout())
                .map_err(Failure::new)
        }
    };
    ended(result.map(|()| Exit::Done), &output)
}

/// Says what is wrong with the command line, or the help or version that it asks for.
fn not_understood(mut error: clap::Error) -> ExitCode {
    // Behind `--`, a negative number would be the name of a host.
    let is_number =
        |word: &str| word.starts_with('-') && word.contains(|c: char| c.is_ascii_digit());
    if matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(word)) if is_number(word))
    {
        error.remove(ContextKind::Suggested);
    }
    let is_wrong = error.use_stderr();
    let mut words = std::env::args_os().skip(1).take_while(|word| word != "--");
    if is_wrong && words.any(|word| word == "--json") {
        let message = error.render().to_string();
        let message = message.trim_start_matches("error: ").trim_end().to_owned();
        return ended(Err(Failure { exit: Exit::Usage, message }), &Output::new(true));
    }
    let exit = match error.print() {
        _ if is_wrong => Exit::Usage,
        // As with all else that is printed, a reader may go away.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Exit::Failed,
        _ => Exit::Done,
    };
    ExitCode::from(exit as u8)
}

/// Serves the guard that started this process, with nothing but what that takes. It connects to no socket but `names`.
fn write_to_firewall(peers: &Peers) -> anyhow::Result<()> {
    let line = std::io::stdin().as_fd().try_clone_to_owned()?;
    // It was executed by the name `exe`. Under which name it runs changes nothing.
    let _ = rustix::thread::set_name(c"asterguard");
    // What cannot be given up is said by the guard, which cannot either.
    let _ = sandbox::keep_net_admin();
    let execute = sandbox::programs();
    let sockets = if peers.each().next().is_some() { Sockets::Local } else { Sockets::None };
    let _ = sandbox::confine(&Needs { execute, sockets, ..Needs::default() });
    Ok(helper::serve(line.into(), peers)?)
}

/// Serves the guard on standard input with events of the manager interface, with nothing but what that takes.
fn read_ami(config: Option<PathBuf>) -> anyhow::Result<()> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let read = sources::ami::files(config.as_deref(), credentials.as_deref());
    // What cannot be given up here is what the unit takes away.
    let _ = sandbox::give_up_capabilities();
    let _ = sandbox::confine(&Needs { read, sockets: Sockets::Internet, ..Needs::default() });
    Ok(sources::ami::serve(config, credentials, std::io::stdin(), std::io::stdout())?)
}

/// Serves the guard at the listening socket on standard input with messages for people, with nothing but what that takes.
fn tell(args: notify::NotifierArgs) -> anyhow::Result<()> {
    let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
    let (read, runs_commands) = notifier::files(args.config.config.as_deref());
    // What cannot be given up here is what the unit takes away.
    let _ = sandbox::give_up_capabilities();
    // Commands would inherit this, and nobody knows what they need.
    if !runs_commands {
        let write = vec![args.state_dir.clone()];
        let _ = sandbox::confine(&Needs {
            read,
            write,
            sockets: Sockets::Internet,
            ..Needs::default()
        });
    }
    Ok(notifier::serve(listener.into(), args.config.config, &args.state_dir)?)
}

/// Serves the guard at the listening socket on standard input with the bans of a fleet, with nothing but what that takes.
fn reach_fleet(args: fleet_setup::FleetNodeArgs) -> anyhow::Result<()> {
    let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
    let needs = Needs {
        read: fleet_process::files(args.config.config.as_deref()),
        write: vec![args.state_dir.clone()],
        sockets: Sockets::Internet,
        ..Needs::default()
    };
    // What cannot be given up here is what the unit takes away.
    let _ = sandbox::give_up_capabilities();
    let _ = sandbox::confine(&needs);
    Ok(fleet_process::serve(listener.into(), args.config.config, &args.state_dir)?)
}

/// Returns the exit code, after saying what went wrong if something did.
fn ended(result: Result<Exit, Failure>, output: &Output) -> ExitCode {
    let exit = result.unwrap_or_else(|Failure { exit, message }| {
        output.failure(&message);
        exit
    });
    ExitCode::from(exit as u8)
}
