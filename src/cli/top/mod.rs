//! `asterguard top`: who is blocked, and what goes on, on a screen that is kept up to date.

mod keys;
mod model;
mod screen;
mod terminal;
#[cfg(test)]
mod tests;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use clap::Args;
use jiff::tz::TimeZone;

use super::ban::length;
use super::client::{Reply, ask, ask_unsure};
use super::explain::{about, whois};
use super::output::{Failure, Output};
use super::state_file::StateDirArg;
use super::{Exit, SocketArg};
use crate::control::SubjectText;
use crate::control::allow::AllowRequest;
use crate::control::ban::{BanManner, BanRequest};
use crate::control::pause::{PauseRequest, ResumeRequest};
use crate::control::top::{MOST_ROWS, TopReport, TopRequest};
use crate::control::unban::UnbanRequest;
use crate::decide::ban_view::BanOrder;
use crate::model::time::{BanDuration, Time};
use crate::sys::clock::{monotonic_now, now};
use keys::Key;
use model::{Effect, Model, Order, Outcome, Task};
use screen::{Look, Signs};
use terminal::{Screen, Told};

/// Rows of a report that is printed once.
const ONCE: usize = 20;
/// Ages on the screen go on at this pace.
const TICK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct TopArgs {
    /// Print one report as text, and end. In a pipe, it always does
    #[arg(long)]
    once: bool,
    /// The time between two reports, one second or more
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = length)]
    interval: Duration,
    /// Which bans come first: those with the last packet, the most tries, dropped packets, time left or bans
    #[arg(long, value_name = "ORDER", default_value = "last", value_parser = order)]
    sort: BanOrder,
    /// Show only bans of this address or network, of jails whose name contains this, or of hosts that tried this account
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    #[command(flatten)]
    socket: SocketArg,
    #[command(flatten)]
    state: StateDirArg,
}

/// Something that the loop waits for.
pub enum Input {
    Key(Key),
    Size((u16, u16)),
    Signal(Told),
    /// What was asked for, and the answer.
    Report(TopRequest, Box<Result<TopReport, String>>),
    Outcome(Outcome),
}

/// Reads the name of an order.
fn order(name: &str) -> Result<BanOrder, String> {
    let named = BanOrder::ALL.iter().find(|(_, known)| *known == name);
    named.map(|(order, _)| *order).ok_or_else(|| {
        let known: Vec<_> = BanOrder::ALL.iter().map(|(_, name)| *name).collect();
        format!("write one of {}", known.join(", "))
    })
}

impl TopArgs {
    /// Returns what is asked for first.
    fn request(&self, rows: usize) -> TopRequest {
        TopRequest { sort: self.sort, filter: self.filter.clone(), rows, observe: false }
    }
}

pub fn top(args: &TopArgs, output: &Output) -> Result<Exit, Failure> {
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    if args.once || output.json || !is_terminal || is_dumb {
        return once(args, output);
    }
    // If nobody may ask, or no daemon runs, that is said as by any other command.
    let first = ask(&args.socket.socket, &args.request(ONCE))?;
    watch(args, first)?;
    Ok(Exit::Done)
}

/// Prints one report.
fn once(args: &TopArgs, output: &Output) -> Result<Exit, Failure> {
    let rows = if output.json { MOST_ROWS } else { ONCE };
    let report = ask(&args.socket.socket, &args.request(rows))?;
    if output.json {
        output.object(&report);
        return Ok(Exit::Done);
    }
    let width = output.width().map(usize::from);
    let size = (output.width().unwrap_or(u16::MAX), u16::MAX);
    let mut model = Model::new(TimeZone::system(), args.interval, size, now());
    model.filter.clone_from(&args.filter);
    model.on_report(Ok(report));
    let look = Look { signs: signs(), is_coloured: false };
    for line in screen::plain(&model, look, width) {
        output.line(line);
    }
    Ok(Exit::Done)
}

/// Returns the signs that the terminal shows.
fn signs() -> Signs {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    let is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
    if is_utf8 { Signs::Unicode } else { Signs::Ascii }
}

/// Shows reports until somebody ends it.
fn watch(args: &TopArgs, first: TopReport) -> Result<(), Failure> {
    let choice = anstream::AutoStream::choice(&std::io::stdout());
    let is_coloured = choice != anstream::ColorChoice::Never;
    // What was said on the command line goes before the environment.
    ratatui::crossterm::style::force_color_output(is_coloured);
    let look = Look { signs: signs(), is_coloured };
    let (inbox, inputs) = mpsc::channel();
    terminal::await_signals(inbox.clone())?;
    let reports = reporter(args.socket.socket.clone(), inbox.clone())?;
    let tasks = worker(args, inbox.clone())?;
    let screen = Screen::take()?;
    terminal::read_keys(inbox)?;
    let interval = args.interval;
    let mut model = Model::new(TimeZone::system(), interval, screen.size()?, now());
    (model.sort, model.filter) = (args.sort, args.filter.clone());
    model.on_report(Ok(first));
    let mut watch = Watch {
        screen,
        model,
        look,
        inputs,
        reports,
        tasks,
        interval,
        asked: None,
        is_asked_again: false,
    };
    Ok(watch.run()?)
}

/// The screen, and who is asked.
struct Watch {
    screen: Screen,
    model: Model,
    look: Look,
    inputs: Receiver<Input>,
    reports: Sender<TopRequest>,
    tasks: Sender<Task>,
    interval: Duration,
    /// The time of the last request, by the monotonic clock, and whether it was answered.
    asked: Option<(Time, bool)>,
    /// Whether something else is to be asked for as soon as it is.
    is_asked_again: bool,
}

impl Watch {
    fn run(&mut self) -> std::io::Result<()> {
        loop {
            self.ask_when_due();
            self.model.on_time(now());
            let (model, look) = (&self.model, self.look);
            self.screen
                .draw(|frame| screen::draw(model, look, frame.area(), frame.buffer_mut()))?;
            let mut next = match self.inputs.recv_timeout(self.wait()) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            self.model.on_time(now());
            while let Some(input) = next {
                for effect in self.take(input) {
                    match effect {
                        Effect::Refresh => self.refresh(),
                        // The worker lives as long as this does.
                        Effect::Run(task) => drop(self.tasks.send(task)),
                        Effect::Suspend if self.suspend()? => {}
                        Effect::Suspend | Effect::Quit => return Ok(()),
                    }
                }
                next = self.inputs.try_recv().ok();
            }
        }
    }

    fn take(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Key(key) => self.model.on_key(key),
            Input::Size(size) => self.model.on_size(size),
            Input::Signal(Told::End) => vec![Effect::Quit],
            Input::Signal(Told::Suspend) => vec![Effect::Suspend],
            // Somebody stopped it from outside: the shell may have used the terminal.
            Input::Signal(Told::Continue) => match self.screen.enter() {
                Ok(()) => Vec::new(),
                Err(_) => vec![Effect::Quit],
            },
            Input::Report(request, report) => {
                self.asked = self.asked.map(|(time, _)| (time, true));
                self.model.on_answer(&request, *report);
                if std::mem::take(&mut self.is_asked_again) {
                    vec![Effect::Refresh]
                } else {
                    Vec::new()
                }
            }
            Input::Outcome(outcome) => self.model.on_outcome(outcome),
        }
    }

    /// Asks for a report now, or as soon as the last request is answered.
    fn refresh(&mut self) {
        if matches!(self.asked, Some((_, false))) {
            self.is_asked_again = true;
            return;
        }
        self.asked = Some((monotonic_now(), false));
        let _ = self.reports.send(self.model.request());
    }

    fn ask_when_due(&mut self) {
        let is_due = match self.asked {
            None => true,
            Some((_, false)) => false,
            Some((time, true)) => monotonic_now().since(time) >= self.interval,
        };
        if is_due {
            self.refresh();
        }
    }

    /// Returns how long there is nothing to do.
    fn wait(&self) -> Duration {
        let due = match self.asked {
            Some((time, true)) => self.interval.saturating_sub(monotonic_now().since(time)),
            None | Some((_, false)) => TICK,
        };
        due.min(TICK)
    }

    /// Gives the terminal back and stops, until somebody continues the program. Returns false if it is to end.
    fn suspend(&mut self) -> std::io::Result<bool> {
        terminal::give_back();
        terminal::stop();
        // What comes in meanwhile is old, but for answers.
        loop {
            match self.inputs.recv() {
                Ok(Input::Signal(Told::Continue)) => break,
                Ok(Input::Signal(Told::End)) | Err(_) => return Ok(false),
                Ok(input @ (Input::Report(..) | Input::Outcome(_))) => drop(self.take(input)),
                Ok(Input::Key(_) | Input::Size(_) | Input::Signal(Told::Suspend)) => {}
            }
        }
        self.screen.enter()?;
        self.model.on_size(self.screen.size()?);
        self.refresh();
        Ok(true)
    }
}

/// Asks for reports in a thread of its own: a daemon that does not answer keeps no key waiting.
fn reporter(socket: PathBuf, inbox: Sender<Input>) -> std::io::Result<Sender<TopRequest>> {
    let (sender, requests) = mpsc::channel::<TopRequest>();
    let report = move || {
        for request in requests {
            let report = ask(&socket, &request).map_err(|failure| failure.message);
            if inbox.send(Input::Report(request, Box::new(report))).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("reports".to_owned()).spawn(report)?;
    Ok(sender)
}

/// Does what takes a while in a thread of its own, one task after the other.
fn worker(args: &TopArgs, inbox: Sender<Input>) -> std::io::Result<Sender<Task>> {
    let (socket, state_dir) = (args.socket.socket.clone(), args.state.state_dir.clone());
    let (sender, tasks) = mpsc::channel::<Task>();
    let work = move || {
        for task in tasks {
            let outcome = match task {
                Task::Explain(host) => {
                    let lines = about(host, &socket, &state_dir);
                    Outcome::Explained(host, lines.map_err(|failure| failure.message))
                }
                Task::Whois(host) => Outcome::Whois(host, whois(host)),
                Task::Order(order) => match carry_out(&order, &socket) {
                    Ok(Reply::Done(message)) => Outcome::Ordered(Ok(message)),
                    Ok(Reply::Unsure(doubt)) => {
                        Outcome::Unsure(sure(order), format!("{doubt}. Do it all the same?"))
                    }
                    Err(failure) => Outcome::Ordered(Err(failure.message)),
                },
            };
            if inbox.send(Input::Outcome(outcome)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("tasks".to_owned()).spawn(work)?;
    Ok(sender)
}

/// Returns an order that the person is sure of.
fn sure(order: Order) -> Order {
    match order {
        Order::Ban { host, length, .. } => Order::Ban { host, length, sure: true },
        order => order,
    }
}

/// Has the daemon carry out an order; returns what it says.
fn carry_out(order: &Order, socket: &std::path::Path) -> Result<Reply<String>, Failure> {
    let done = match order {
        Order::Unban { host, allow_seconds } => {
            let net = Some(SubjectText(*host));
            let allow_seconds = *allow_seconds;
            ask(socket, &UnbanRequest { net, jail: None, allow_seconds })?
        }
        Order::Ban { host, length, sure } => {
            let request = BanRequest {
                host: SubjectText(*host),
                jail: None,
                seconds: super::ban::seconds(*length),
                permanent: *length == BanDuration::Permanent,
                comment: None,
                manner: BanManner::Set,
                sure: *sure,
            };
            match ask_unsure(socket, &request)? {
                Reply::Done(done) => done,
                Reply::Unsure(doubt) => return Ok(Reply::Unsure(doubt)),
            }
        }
        Order::Allow { host, length } => {
            let (host, seconds) = (SubjectText(*host), super::ban::seconds(*length));
            ask(socket, &AllowRequest { host, seconds, comment: None, remove: false })?
        }
        Order::Pause { seconds } => {
            ask(socket, &PauseRequest { seconds: Some(*seconds), jail: None })?
        }
        Order::Resume => ask(socket, &ResumeRequest { jail: None })?,
    };
    Ok(Reply::Done(done.message))
}
