//! The state of the screen: what was reported, what is shown, and what each key does. Pure: reports, keys and times come
//! in, and what is to be done goes out.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::keys::{KEYS, Key};
use crate::config::duration;
use crate::control::top::{LONGEST_FILTER, MOST_ROWS, TopReport, TopRequest, TopRow};
use crate::decide::ban_view::BanOrder;
use crate::model::subject::Subject;
use crate::model::time::{BanDuration, Time};

/// Readings of dropped packets that are shown.
pub const MOST_READINGS: usize = 180;
/// Hosts whose `whois` is remembered; 40 lines of 160 characters each.
const MOST_WHOIS: usize = 64;
/// Characters that may be typed.
const LONGEST_INPUT: usize = LONGEST_FILTER;
/// The time that a host is let through by `U`, in seconds.
const ALLOWED_FOR: u64 = 3600;
/// The length of a pause, in seconds.
const PAUSED_FOR: u64 = 900;
/// Reports that are missing before it is said that none comes.
const MISSING: u32 = 3;

/// Something that is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask for a report now.
    Refresh,
    /// Do this, and tell what came of it.
    Run(Task),
    /// Give the terminal back, and stop until somebody continues the program.
    Suspend,
    /// End.
    Quit,
}

/// Something that takes a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Find out all about a host.
    Explain(Subject),
    /// Ask `whois` about a host.
    Whois(IpAddr),
    /// Have the daemon do something.
    Order(Order),
}

/// An order to the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Lift the bans of a host, and perhaps let it through for so many seconds.
    Unban { host: Subject, allow_seconds: Option<u64> },
    /// Ban a host or network.
    Ban { host: Subject, length: BanDuration, sure: bool },
    /// Let a host or network through.
    Allow { host: Subject, length: BanDuration },
    /// Stop blocking, for so many seconds.
    Pause { seconds: u64 },
    /// Block again.
    Resume,
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All about a host, or why that is not known.
    Explained(Subject, Result<Vec<String>, String>),
    /// What `whois` says.
    Whois(IpAddr, Vec<String>),
    /// An order was carried out: what was done; or why it was not.
    Ordered(Result<String, String>),
    /// An order is carried out if the person is sure; the reason to doubt it.
    Unsure(Order, String),
}

/// What the screen shows besides the lines at its top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The bans.
    Table,
    /// The bans, and a line in which something is typed.
    Typing { what: Typed, text: String },
    /// The bans, and a question about an order.
    Asking { question: String, order: Order },
    /// Text in place of the bans.
    Text(Pages),
}

/// What is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A filter.
    Filter,
    /// A host to ban, and for how long.
    Ban,
    /// A host to let through, and for how long.
    Allow,
}

impl Typed {
    /// Returns what is said before what is typed.
    pub fn prompt(self) -> &'static str {
        match self {
            Self::Filter => "filter (address, network, jail, account): ",
            Self::Ban => "ban (address or network, then 1d for example): ",
            Self::Allow => "allow (address or network, then 1h for example): ",
        }
    }
}

/// A text that may be longer than the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    /// Its title.
    pub title: String,
    /// Its lines; `None`: it is being fetched.
    pub lines: Option<Vec<String>>,
    /// The host that it is about.
    pub host: Option<Subject>,
    /// The first line that is shown, as they are broken for the screen.
    pub top: usize,
}

/// What is said in the last line until the next key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub text: String,
    pub is_good: bool,
}

/// A ban, as it is found again in the next report.
type RowKey = (String, String, String);

fn key_of(row: &TopRow) -> RowKey {
    (row.ban.ban.host.clone(), row.ban.jail.clone(), row.ban.ban.scope.clone())
}

/// The state of the screen.
#[derive(Debug)]
pub struct Model {
    pub report: Option<TopReport>,
    /// The time when it came.
    received: Time,
    /// The time that it is.
    pub now: Time,
    interval: Duration,
    /// The reason why there is no newer report; `None` if the last request was answered.
    pub lost: Option<String>,
    /// Whether the rows are not yet those that are wanted.
    pub is_waiting: bool,
    pub sort: BanOrder,
    pub filter: String,
    pub observe: bool,
    /// The row that is chosen, and the first one that is shown.
    pub chosen: usize,
    pub first: usize,
    chosen_key: Option<RowKey>,
    pub mode: Mode,
    pub said: Option<Said>,
    /// Packets a second that were dropped, oldest first, and the time of the last reading.
    pub dropped: VecDeque<f64>,
    read: Option<i64>,
    whois: BTreeMap<IpAddr, Vec<String>>,
    local: TimeZone,
    utc: TimeZone,
    pub is_utc: bool,
    /// Columns and lines of the screen.
    pub size: (u16, u16),
}

impl Model {
    /// Returns the state before anything was reported.
    pub fn new(local: TimeZone, interval: Duration, size: (u16, u16), now: Time) -> Self {
        Self {
            report: None,
            received: now,
            now,
            interval,
            lost: None,
            is_waiting: false,
            sort: BanOrder::Last,
            filter: String::new(),
            observe: false,
            chosen: 0,
            first: 0,
            chosen_key: None,
            mode: Mode::Table,
            said: None,
            dropped: VecDeque::new(),
            read: None,
            whois: BTreeMap::new(),
            local,
            utc: TimeZone::UTC,
            is_utc: false,
            size,
        }
    }

    /// Returns the zone in which times are shown.
    pub fn zone(&self) -> &TimeZone {
        if self.is_utc { &self.utc } else { &self.local }
    }

    /// Returns what to ask for.
    pub fn request(&self) -> TopRequest {
        let rows = self.first.saturating_add(usize::from(self.size.1)).min(MOST_ROWS);
        TopRequest { sort: self.sort, filter: self.filter.clone(), rows, observe: self.observe }
    }

    /// Returns the rows that were reported.
    pub fn rows(&self) -> &[TopRow] {
        self.report.as_ref().map_or(&[], |report| &report.rows)
    }

    /// Returns how old the report is, if one is missing.
    pub fn missing(&self) -> Option<Duration> {
        let age = self.now.since(self.received);
        let late = self.interval.max(Duration::from_secs(1)) * MISSING;
        (self.lost.is_some() || age > late).then_some(age)
    }

    /// Takes up what time it is.
    pub fn on_time(&mut self, now: Time) {
        self.now = now;
    }

    /// Takes up the answer to a request. If something else is wanted meanwhile, it is left aside.
    pub fn on_answer(&mut self, request: &TopRequest, report: Result<TopReport, String>) {
        let wanted = self.request();
        let is_wanted = (request.sort, &request.filter, request.observe)
            == (wanted.sort, &wanted.filter, wanted.observe);
        if is_wanted || report.is_err() {
            self.on_report(report);
        }
    }

    /// Takes up a report of what is wanted, or why there is none.
    pub fn on_report(&mut self, report: Result<TopReport, String>) {
        let report = match report {
            Ok(report) => report,
            Err(why) => {
                self.lost = Some(why);
                return;
            }
        };
        self.lost = None;
        self.is_waiting = false;
        self.received = self.now;
        if let (Some(rate), true) = (report.dropped_per_second, report.counters_read != self.read) {
            self.read = report.counters_read;
            self.dropped.push_back(rate);
            let old = self.dropped.len().saturating_sub(MOST_READINGS);
            self.dropped.drain(..old);
        }
        // The host that was chosen stays so, wherever it is now.
        let place = |key: &RowKey| report.rows.iter().position(|row| key_of(row) == *key);
        if let Some(place) = self.chosen_key.as_ref().and_then(place) {
            self.chosen = place;
        }
        self.report = Some(report);
        self.settle();
    }

    /// Takes up what came of a task.
    pub fn on_outcome(&mut self, outcome: Outcome) -> Vec<Effect> {
        match outcome {
            Outcome::Explained(host, lines) => {
                self.show(host, "explain", lines.unwrap_or_else(|why| vec![why]));
                Vec::new()
            }
            Outcome::Whois(host, lines) => {
                if self.whois.len() >= MOST_WHOIS {
                    self.whois.pop_first();
                }
                self.whois.insert(host, lines.clone());
                self.show(Subject::of(host, 128), "whois", lines);
                Vec::new()
            }
            Outcome::Ordered(result) => {
                let is_good = result.is_ok();
                let text = result.unwrap_or_else(|why| why);
                self.said = Some(Said { text, is_good });
                vec![Effect::Refresh]
            }
            Outcome::Unsure(order, doubt) => {
                self.mode = Mode::Asking { question: doubt, order };
                Vec::new()
            }
        }
    }

    /// Fills a text that is waited for.
    fn show(&mut self, of: Subject, what: &str, found: Vec<String>) {
        if let Mode::Text(Pages { title, lines: lines @ None, host, .. }) = &mut self.mode {
            let is_of = host.is_some_and(|host| host == of || host.address() == of.address());
            if is_of && title.starts_with(what) {
                *lines = Some(found);
            }
        }
    }

    /// Takes up that the screen has another size.
    pub fn on_size(&mut self, size: (u16, u16)) -> Vec<Effect> {
        self.size = size;
        self.settle();
        vec![Effect::Refresh]
    }

    /// Takes up a key.
    pub fn on_key(&mut self, key: Key) -> Vec<Effect> {
        match key {
            Key::Ctrl('c') => return vec![Effect::Quit],
            Key::Ctrl('z') => return vec![Effect::Suspend],
            Key::Ctrl(_) => return Vec::new(),
            _ => self.said = None,
        }
        match std::mem::replace(&mut self.mode, Mode::Table) {
            Mode::Table => self.in_table(key),
            Mode::Typing { what, text } => self.in_line(what, text, key),
            Mode::Asking { order, .. } => match key {
                Key::Char('y' | 'Y') => vec![Effect::Run(Task::Order(order))],
                _ => self.say("nothing was done", true),
            },
            Mode::Text(pages) => self.in_text(pages, key),
        }
    }

    fn say(&mut self, text: &str, is_good: bool) -> Vec<Effect> {
        self.said = Some(Said { text: text.to_owned(), is_good });
        Vec::new()
    }

    fn in_table(&mut self, key: Key) -> Vec<Effect> {
        let page = self.page();
        match key {
            Key::Char('q') => return vec![Effect::Quit],
            Key::Up | Key::Char('k') => self.choose(self.chosen.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.choose(self.chosen.saturating_add(1)),
            Key::PageUp => self.choose(self.chosen.saturating_sub(page)),
            Key::PageDown => self.choose(self.chosen.saturating_add(page)),
            Key::Home => self.choose(0),
            Key::End => self.choose(usize::MAX),
            Key::Char('s') => {
                let at = BanOrder::ALL.iter().position(|(order, _)| *order == self.sort);
                let next = (at.unwrap_or(0) + 1) % BanOrder::ALL.len();
                self.sort = BanOrder::ALL.get(next).map_or(BanOrder::Last, |(order, _)| *order);
                return self.begin_anew();
            }
            Key::Char('o') => {
                self.observe = !self.observe;
                return self.begin_anew();
            }
            Key::Esc if !self.filter.is_empty() => {
                self.filter.clear();
                return self.begin_anew();
            }
            Key::Char('t') => self.is_utc = !self.is_utc,
            Key::Char('f') => self.type_in(Typed::Filter, self.filter.clone()),
            Key::Char('b') => self.type_in(Typed::Ban, String::new()),
            Key::Char('a') => {
                let host = self.chosen_host().map_or_else(String::new, |host| host.to_string());
                self.type_in(Typed::Allow, host);
            }
            Key::Char('?') => {
                let width = KEYS.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
                let line = |(key, does): &(&str, &str)| format!("{key:<width$}  {does}");
                let lines = Some(KEYS.iter().map(line).collect());
                self.mode =
                    Mode::Text(Pages { title: "keys".to_owned(), lines, host: None, top: 0 });
            }
            Key::Char('p') => self.ask_pause(),
            Key::Enter => return self.on_host(Self::explain),
            Key::Char('w') => return self.on_host(Self::ask_whois),
            Key::Char('u') => return self.on_host(|model, host| model.ask_unban(host, None)),
            Key::Char('U') => {
                return self.on_host(|model, host| model.ask_unban(host, Some(ALLOWED_FOR)));
            }
            _ => {}
        }
        // Rows that were not asked for yet may be needed.
        let shown = self.first.saturating_add(usize::from(self.size.1));
        let more = self
            .report
            .as_ref()
            .is_some_and(|report| report.rows.len() < shown.min(report.matching).min(MOST_ROWS));
        if more { vec![Effect::Refresh] } else { Vec::new() }
    }

    fn type_in(&mut self, what: Typed, text: String) {
        self.mode = Mode::Typing { what, text };
    }

    /// Does something with the host that is chosen.
    fn on_host(&mut self, act: impl FnOnce(&mut Self, Subject) -> Vec<Effect>) -> Vec<Effect> {
        match self.chosen_host() {
            Some(host) => act(self, host),
            None => self.say("no host is chosen", false),
        }
    }

    fn chosen_host(&self) -> Option<Subject> {
        self.rows().get(self.chosen)?.ban.ban.host.parse().ok()
    }

    /// Explains a host; of a network, the address that it begins with.
    fn explain(&mut self, host: Subject) -> Vec<Effect> {
        let whom = if host.is_one_address() { host } else { Subject::of(host.address(), 128) };
        let title = format!("explain {whom}");
        self.mode = Mode::Text(Pages { title, lines: None, host: Some(whom), top: 0 });
        vec![Effect::Run(Task::Explain(whom))]
    }

    fn ask_whois(&mut self, host: Subject) -> Vec<Effect> {
        let address = host.address();
        let lines = self.whois.get(&address).cloned();
        let effect = lines.is_none().then_some(Effect::Run(Task::Whois(address)));
        let title = format!("whois {address}");
        self.mode = Mode::Text(Pages { title, lines, host: Some(host), top: 0 });
        effect.into_iter().collect()
    }

    fn ask_unban(&mut self, host: Subject, allow_seconds: Option<u64>) -> Vec<Effect> {
        if self.observe {
            return self.say("these hosts are not banned: their jails only observe", false);
        }
        let question = match allow_seconds {
            Some(_) => format!("unban {host} (all its bans), and let it through for 1 hour?"),
            None => format!("unban {host} (all its bans)?"),
        };
        let order = Order::Unban { host, allow_seconds };
        self.mode = Mode::Asking { question, order };
        Vec::new()
    }

    fn ask_pause(&mut self) {
        let paused = self.report.as_ref().is_some_and(|report| !report.paused.is_empty());
        let (question, order) = if paused {
            ("end all pauses, and block again?".to_owned(), Order::Resume)
        } else {
            let question = "pause: block nobody for 15 minutes?".to_owned();
            (question, Order::Pause { seconds: PAUSED_FOR })
        };
        self.mode = Mode::Asking { question, order };
    }

    fn in_line(&mut self, what: Typed, mut text: String, key: Key) -> Vec<Effect> {
        match key {
            Key::Esc => return Vec::new(),
            Key::Enter => return self.typed(what, text.trim()),
            Key::Backspace => drop(text.pop()),
            Key::Char(c) if !c.is_control() && text.chars().count() < LONGEST_INPUT => text.push(c),
            _ => {}
        }
        self.type_in(what, text);
        Vec::new()
    }

    fn typed(&mut self, what: Typed, text: &str) -> Vec<Effect> {
        if what == Typed::Filter {
            text.clone_into(&mut self.filter);
            return self.begin_anew();
        }
        if text.is_empty() {
            return Vec::new();
        }
        let (host, length) = match host_and_length(text) {
            Ok(read) => read,
            Err(why) => return self.say(&why, false),
        };
        let ends = match length {
            BanDuration::Permanent => "without an end".to_owned(),
            BanDuration::For(_) => format!("for {length}"),
        };
        let (question, order) = match what {
            Typed::Ban => (format!("ban {host} {ends}?"), Order::Ban { host, length, sure: false }),
            Typed::Filter | Typed::Allow => {
                (format!("let {host} through {ends}?"), Order::Allow { host, length })
            }
        };
        self.mode = Mode::Asking { question, order };
        Vec::new()
    }

    fn in_text(&mut self, mut pages: Pages, key: Key) -> Vec<Effect> {
        let page = self.page();
        match key {
            Key::Esc | Key::Enter | Key::Char('q' | '?') => return Vec::new(),
            Key::Up | Key::Char('k') => pages.top = pages.top.saturating_sub(1),
            Key::Down | Key::Char('j') => pages.top = pages.top.saturating_add(1),
            Key::PageUp => pages.top = pages.top.saturating_sub(page),
            Key::PageDown | Key::Char(' ') => pages.top = pages.top.saturating_add(page),
            Key::Home => pages.top = 0,
            Key::Char('w') => {
                if let Some(host) = pages.host {
                    return self.ask_whois(host);
                }
            }
            _ => {}
        }
        let most = pages.lines.as_ref().map_or(0, Vec::len).saturating_mul(8);
        pages.top = pages.top.min(most);
        self.mode = Mode::Text(pages);
        Vec::new()
    }

    /// Shows other bans from their beginning.
    fn begin_anew(&mut self) -> Vec<Effect> {
        (self.chosen, self.first, self.chosen_key) = (0, 0, None);
        self.is_waiting = true;
        vec![Effect::Refresh]
    }

    fn choose(&mut self, at: usize) {
        self.chosen = at;
        self.settle();
        self.chosen_key = self.rows().get(self.chosen).map(key_of);
    }

    /// Keeps what is chosen within what there is, and on the screen.
    fn settle(&mut self) {
        self.chosen = self.chosen.min(self.rows().len().saturating_sub(1));
        let page = self.page().max(1);
        self.first = self.first.min(self.chosen);
        self.first = self.first.max((self.chosen + 1).saturating_sub(page));
    }

    /// Returns how many rows fit the screen.
    pub fn page(&self) -> usize {
        usize::from(self.size.1).saturating_sub(super::screen::head_height(self) + 2)
    }
}

/// Reads a host or network, and for how long: `192.0.2.7`, `192.0.2.0/24 1d`.
fn host_and_length(text: &str) -> Result<(Subject, BanDuration), String> {
    let (host, length) = text.split_once(' ').unwrap_or((text, "permanent"));
    let host = host.parse().map_err(|error| format!("{error}"))?;
    let length = duration::parse_ban_duration(length.trim())
        .map_err(|error| format!("{error}; write for example 10m, 1d or permanent"))?;
    Ok((host, length))
}
