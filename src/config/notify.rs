//! `[notify.NAME]`: who is told what the guard does, and how.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::message::Mailbox;
use toml::de::DeValue;

use super::named_sections::{self, NamedSections, Notes};
use super::toml_reader::{PathOf, TomlKey, TomlReader, TomlValue, name_of};
use crate::model::event::Evidence;
use crate::model::guard_event::EventKind;
use crate::model::hostname::HostName;

/// Notifiers that there may be; each has a thread of the process that tells.
pub const MOST_NOTIFIERS: usize = 32;
/// Addresses that a mail may go to.
const MOST_ADDRESSES: usize = 50;
/// Arguments that a command may have, and bytes of each text.
const MOST_WORDS: usize = 64;
const LONGEST_WORD: usize = 4096;
/// The longest time limit of a command.
const LONGEST_RUN: Duration = Duration::from_secs(600);
/// The longest time that events are gathered.
const LONGEST_DIGEST: Duration = Duration::from_secs(7 * 86_400);

/// The keys of all kinds.
const COMMON: [&str; 8] =
    ["enabled", "kind", "on", "jail", "evidence", "quiet", "digest", "maxperhour"];
const MAIL: [&str; 9] =
    ["server", "port", "security", "user", "passwordfile", "cafile", "from", "to", "whois"];
const WEBHOOK: [&str; 6] = ["preset", "url", "urlfile", "tokenfile", "cafile", "chat"];
const COMMAND: [&str; 2] = ["command", "timeout"];

const FILE_HELP: &str = "write the path of a file: \"/etc/asterguard/notify.secret\"";

const KINDS: [(Kind, &str); 3] =
    [(Kind::Mail, "mail"), (Kind::Webhook, "webhook"), (Kind::Command, "command")];

/// What may be told, as the configuration calls it.
const TOPICS: [(Topic, &str); 11] = [
    (Topic::Event(EventKind::Ban), "ban"),
    (Topic::Event(EventKind::Unban), "unban"),
    (Topic::Event(EventKind::Observed), "observed"),
    (Topic::Event(EventKind::Login), "login-from-new-network"),
    (Topic::Event(EventKind::Health), "health"),
    (Topic::Event(EventKind::Order), "order"),
    (Topic::Event(EventKind::Heal), "heal"),
    (Topic::Event(EventKind::Start), "start"),
    (Topic::Event(EventKind::Stop), "stop"),
    (Topic::Event(EventKind::Lost), "lost"),
    (Topic::Report, "report"),
];

/// Something that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Events of this kind, when they happen.
    Event(EventKind),
    /// The report, when `asterguard report --mail` makes one.
    Report,
}

const EVIDENCE: [(Evidence, &str); 2] =
    [(Evidence::Proven, "proven"), (Evidence::Unverified, "unverified")];

const SECURITY: [(Security, &str); 3] =
    [(Security::None, "none"), (Security::StartTls, "starttls"), (Security::Tls, "tls")];

/// The presets, as the configuration spells them.
pub(crate) const PRESETS: [(Preset, &str); 7] = [
    (Preset::Json, "json"),
    (Preset::Slack, "slack"),
    (Preset::Teams, "teams"),
    (Preset::Telegram, "telegram"),
    (Preset::Ntfy, "ntfy"),
    (Preset::Gotify, "gotify"),
    (Preset::Discord, "discord"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Mail,
    Webhook,
    Command,
}

impl Kind {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Mail => &MAIL,
            Self::Webhook => &WEBHOOK,
            Self::Command => &COMMAND,
        }
    }
}

/// One way by which people or programs are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Notifier {
    /// Its name (letters, digits, `-`, `_`; at most 64 bytes).
    pub name: String,
    /// The things that are told.
    pub on: Vec<Topic>,
    /// The jails whose events are told, as globs over their names. Events without a jail are told in any case.
    pub jail: Vec<glob::Pattern>,
    /// The evidence of the bans that are told.
    pub evidence: Vec<Evidence>,
    /// The hours of each day in which nothing is told.
    pub quiet: Option<QuietHours>,
    /// The time for which events are gathered; zero: each is told at once, unless there are many.
    pub digest: Duration,
    /// The most messages in an hour; what happens beyond that is told together later.
    pub maxperhour: u32,
    /// Where and how they are sent.
    pub way: Way,
}

impl Notifier {
    /// Returns the kind, as the configuration calls it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        let kind = match self.way {
            Way::Mail(_) => Kind::Mail,
            Way::Webhook(_) => Kind::Webhook,
            Way::Command(_) => Kind::Command,
        };
        name_of(&kind, &KINDS)
    }

    /// Returns the values, as TOML, with their keys. Secrets are left out.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let path = |path: &Path| text(&path.to_string_lossy());
        let list = |items: Vec<String>| format!("[{}]", items.join(", "));
        let mut all = vec![("kind", text(self.kind()))];
        let on = self.on.iter().map(|kind| text(name_of(kind, &TOPICS))).collect();
        let jails = self.jail.iter().map(|jail| text(jail.as_str())).collect();
        let evidence = self.evidence.iter().map(|kind| text(name_of(kind, &EVIDENCE))).collect();
        all.extend([("on", list(on)), ("jail", list(jails)), ("evidence", list(evidence))]);
        all.extend(self.quiet.map(|quiet| ("quiet", text(&quiet.to_string()))));
        let digest = crate::model::time::HumanDuration(self.digest).to_string();
        all.extend([("digest", text(&digest)), ("maxperhour", self.maxperhour.to_string())]);
        match &self.way {
            Way::Mail(mail) => {
                all.extend([
                    ("server", text(&mail.server)),
                    ("port", mail.port().to_string()),
                    ("security", text(name_of(&mail.security, &SECURITY))),
                ]);
                all.extend(
                    mail.login.iter().flat_map(|(user, file)| {
                        [("user", text(user)), ("passwordfile", path(file))]
                    }),
                );
                all.extend(mail.cafile.as_deref().map(|file| ("cafile", path(file))));
                all.extend(mail.from.as_deref().map(|from| ("from", text(from))));
                all.push(("to", list(mail.to.iter().map(|to| text(to)).collect())));
                all.push(("whois", mail.whois.to_string()));
            }
            Way::Webhook(hook) => {
                all.push(("preset", text(name_of(&hook.preset, &PRESETS))));
                all.push(match &hook.url {
                    Place::Written(_) => ("url", text("***")),
                    Place::File(file) => ("urlfile", path(file)),
                });
                all.extend(hook.tokenfile.as_deref().map(|file| ("tokenfile", path(file))));
                all.extend(hook.cafile.as_deref().map(|file| ("cafile", path(file))));
                all.extend(hook.chat.as_deref().map(|chat| ("chat", text(chat))));
            }
            Way::Command(command) => {
                let limit = crate::model::time::HumanDuration(command.timeout).to_string();
                // An argument may hold a secret, though the page of notifications says not to.
                let shown = command
                    .argv
                    .iter()
                    .enumerate()
                    .map(|(place, word)| if place == 0 { text(word) } else { text("***") });
                all.extend([("command", list(shown.collect())), ("timeout", text(&limit))]);
            }
        }
        all
    }
}

/// Hours of each day, in minutes since midnight: from the first until the second, which may be of the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    /// The first minute.
    pub from: u16,
    /// The minute after the last.
    pub until: u16,
}

impl std::fmt::Display for QuietHours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, until } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

impl QuietHours {
    fn read(text: &str) -> Option<Self> {
        let minute = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let number = |text: &str, most: u16| {
                let is_number =
                    (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse::<u16>().ok().filter(|number| is_number && *number <= most)
            };
            let minutes = number(hour, 24)? * 60 + number(minute, 59)?;
            (minutes <= 24 * 60).then_some(minutes)
        };
        let (from, until) = text.split_once('-')?;
        let (from, until) = (minute(from)?, minute(until)?);
        (from < 24 * 60 && from != until).then_some(Self { from, until: until % (24 * 60) })
    }
}

/// Where and how something is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// By mail.
    Mail(Mail),
    /// By a request over HTTP.
    Webhook(Webhook),
    /// By a program.
    Command(Command),
}

/// A server that takes mails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// An address, or the name of a host.
    pub server: String,
    /// The port, if one is written.
    pub written_port: Option<u16>,
    /// The encryption of the connection.
    pub security: Security,
    /// The name that it is logged in with, and the file with the password.
    pub login: Option<(String, PathBuf)>,
    /// The certificates (PEM) of authorities that are believed; `None`: those of the system.
    pub cafile: Option<PathBuf>,
    /// The sender; `None`: `asterguard` at this machine.
    pub from: Option<String>,
    /// The recipients.
    pub to: Vec<String>,
    /// Whether what `whois` knows of a banned host is told too.
    pub whois: bool,
}

impl Mail {
    /// Returns the port: the one that is written, otherwise the usual one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.written_port.unwrap_or(match self.security {
            Security::None => 25,
            Security::StartTls => 587,
            Security::Tls => 465,
        })
    }
}

/// The encryption of a connection to a mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// There is none; for a server on this machine.
    None,
    /// The server is asked for it, and must have it.
    StartTls,
    /// From the first byte on.
    Tls,
}

/// A service that takes requests.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The form of the request.
    pub preset: Preset,
    /// The address, which is a secret.
    pub url: Place,
    /// The file with a token that goes with each request.
    pub tokenfile: Option<PathBuf>,
    /// The certificates (PEM) of authorities that are believed; `None`: those of the system.
    pub cafile: Option<PathBuf>,
    /// With Telegram: the number or name of the chat.
    pub chat: Option<String>,
}

/// Without the address.
impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("preset", &self.preset).finish_non_exhaustive()
    }
}

/// Where an address is.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// In the configuration.
    Written(String),
    /// In a file of its own.
    File(PathBuf),
}

/// The form of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Our own JSON.
    Json,
    /// An incoming webhook of Slack.
    Slack,
    /// A workflow of Microsoft Teams.
    Teams,
    /// A bot of Telegram.
    Telegram,
    /// A topic of ntfy.
    Ntfy,
    /// An application of Gotify.
    Gotify,
    /// A webhook of Discord.
    Discord,
}

/// A program that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The path of the program, and its arguments.
    pub argv: Vec<String>,
    /// The time after which it is killed.
    pub timeout: Duration,
}

/// Whether this names the own machine beyond doubt.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_own = |host: IpAddr| host.to_canonical().is_loopback();
    bare == "localhost" || bare.parse().is_ok_and(is_own)
}

/// Reads the address of a webhook.
///
/// # Errors
/// Returns what is wrong with it, without the address: that is a secret.
pub fn webhook_url(text: &str) -> Result<ureq::http::Uri, &'static str> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    let url = text.parse::<ureq::http::Uri>().ok().filter(|_| is_plain);
    let url = url.ok_or("this is not an address of the web (URL)")?;
    let host = url.host().unwrap_or_default();
    match url.scheme_str() {
        _ if host.is_empty() => Err("this address (URL) has no host"),
        Some("https") => Ok(url),
        Some("http") if is_loopback(host) => Ok(url),
        Some("http") => Err("with http:// everybody on the way could read this"),
        _ => Err("this address (URL) does not begin with https://"),
    }
}

/// The sections, merged so far.
#[derive(Default)]
pub(super) struct NotifySections(NamedSections<Values>);

#[derive(Default)]
struct Values {
    enabled: Option<bool>,
    kind: Option<Kind>,
    on: Option<Vec<Topic>>,
    jail: Option<Vec<glob::Pattern>>,
    evidence: Option<Vec<Evidence>>,
    quiet: Option<QuietHours>,
    digest: Option<Duration>,
    maxperhour: Option<u32>,
    server: Option<String>,
    port: Option<u16>,
    security: Option<Security>,
    user: Option<String>,
    passwordfile: Option<PathBuf>,
    cafile: Option<PathBuf>,
    from: Option<String>,
    to: Option<Vec<String>>,
    whois: Option<bool>,
    preset: Option<Preset>,
    url: Option<String>,
    urlfile: Option<PathBuf>,
    tokenfile: Option<PathBuf>,
    chat: Option<String>,
    command: Option<Vec<String>>,
    timeout: Option<Duration>,
}

impl NotifySections {
    /// Merges in what the file of this number says.
    pub fn merge(&mut self, reader: &mut TomlReader, file: usize, value: &TomlValue) {
        self.0.merge(reader, file, value);
    }

    /// Returns the notifiers that are wanted; what is missing or does not fit together is noted.
    pub fn finish(self, readers: &mut [TomlReader]) -> Vec<Notifier> {
        self.0.finish(readers, Values::notifier)
    }
}

impl named_sections::Values for Values {
    const KIND: named_sections::Kind = named_sections::Kind {
        plural: "notifiers",
        most: MOST_NOTIFIERS,
        with_more: "one notifier can tell several people, and of several jails",
        help: "write [notify.NAME], and its keys below it",
    };

    fn enabled(&self) -> Option<bool> {
        self.enabled
    }

    fn merge(&mut self, reader: &mut TomlReader, key: &TomlKey, value: &TomlValue) {
        let number_help = "write the port of the server: 25, 465 or 587";
        let hour_help = "write how many messages an hour may have: 60";
        match key.get_ref().as_ref() {
            "enabled" => self.enabled = reader.boolean(value).or(self.enabled),
            "kind" => self.kind = reader.choice(value, "kind", &KINDS).or(self.kind),
            "on" => {
                let help = "write for example [\"ban\", \"health\"]";
                self.on = names(reader, value, "event", &TOPICS, help).or(self.on.take());
            }
            "jail" => self.jail = jails(reader, value).or(self.jail.take()),
            "evidence" => {
                let help = "write [\"proven\", \"unverified\"], or one of them";
                let read = names(reader, value, "evidence", &EVIDENCE, help);
                self.evidence = read.or(self.evidence.take());
            }
            "quiet" => self.quiet = quiet(reader, value).or(self.quiet),
            "digest" => self.digest = span(reader, value, LONGEST_DIGEST).or(self.digest),
            "maxperhour" => {
                self.maxperhour = reader.number(value, 1..=3600, hour_help).or(self.maxperhour);
            }
            "server" => self.server = server(reader, value).or(self.server.take()),
            "port" => self.port = reader.number(value, 1..=u16::MAX, number_help).or(self.port),
            "security" => {
                self.security = reader.choice(value, "security", &SECURITY).or(self.security);
            }
            "user" => {
                let help = "write the name that the mail server knows: \"pbx@example.com\"";
                self.user = word(reader, value, help).or(self.user.take());
            }
            "passwordfile" => {
                self.passwordfile = file(reader, value).or(self.passwordfile.take());
            }
            "cafile" => self.cafile = file(reader, value).or(self.cafile.take()),
            "from" => {
                let help = "write the sender of the mails: \"asterguard@example.com\"";
                let one = mailboxes(reader, value, help).and_then(|all| all.into_iter().next());
                self.from = one.or(self.from.take());
            }
            "to" => {
                let help = "write whom to send the mails: [\"admin@example.com\"]";
                self.to = mailboxes(reader, value, help).or(self.to.take());
            }
            "whois" => self.whois = reader.boolean(value).or(self.whois),
            "preset" => self.preset = reader.choice(value, "preset", &PRESETS).or(self.preset),
            "url" => self.url = url(reader, value).or(self.url.take()),
            "urlfile" => self.urlfile = file(reader, value).or(self.urlfile.take()),
            "tokenfile" => self.tokenfile = file(reader, value).or(self.tokenfile.take()),
            "chat" => {
                let help = "write the number of the chat in quotes: \"-1001234567890\"";
                self.chat = word(reader, value, help).or(self.chat.take());
            }
            "command" => self.command = command(reader, value).or(self.command.take()),
            "timeout" => self.timeout = span(reader, value, LONGEST_RUN).or(self.timeout),
            "password" | "token" => {
                let name = key.get_ref();
                let help = format!(
                    "write it into a file of its own that others may not read, and here \
                     {name}file = \"/etc/asterguard/notify.secret\""
                );
                reader.error(key.span(), "no secret may stand in this file", help);
            }
            _ => {
                let known = [&COMMON[..], &MAIL, &WEBHOOK, &COMMAND].concat();
                reader.unknown_key(key, &known);
            }
        }
    }
}

impl Values {
    fn notifier(mut self, notes: &mut Notes<'_>) -> Option<Notifier> {
        let Some(kind) = self.kind else {
            // What is no kind was noted where it stands.
            notes.missing("kind", "write kind = \"mail\", \"webhook\" or \"command\"");
            return None;
        };
        for key in notes.written() {
            let is_other = [&MAIL[..], &WEBHOOK, &COMMAND].concat().contains(&key.as_str());
            if is_other && !kind.keys().contains(&key.as_str()) {
                let kind_name = name_of(&kind, &KINDS);
                let help = format!("its keys: {}", kind.keys().join(", "));
                notes.note(&key, &format!("{key} is not for kind = {kind_name:?}"), &help);
            }
        }
        let way = match kind {
            Kind::Mail => mail(&mut self, notes)?,
            Kind::Webhook => webhook(&mut self, notes)?,
            Kind::Command => {
                let help = "write command = [\"/path/of/program\", \"argument\"]";
                notes.missing("command", help);
                let timeout = self.timeout.unwrap_or(Duration::from_secs(30));
                Way::Command(Command { argv: self.command?, timeout })
            }
        };
        let usual = [EventKind::Ban, EventKind::Health, EventKind::Login].map(Topic::Event);
        let on = self.on.unwrap_or(usual.to_vec());
        if kind != Kind::Mail && on.contains(&Topic::Report) {
            let help = "write \"report\" into a notifier of kind = \"mail\"";
            notes.note("on", "only a mail can hold a report", help);
        }
        Some(Notifier {
            name: notes.name.to_owned(),
            on,
            jail: self.jail.unwrap_or_else(|| glob::Pattern::new("*").into_iter().collect()),
            evidence: self.evidence.unwrap_or(vec![Evidence::Proven, Evidence::Unverified]),
            quiet: self.quiet,
            digest: self.digest.unwrap_or_default(),
            maxperhour: self.maxperhour.unwrap_or(60),
            way,
        })
    }
}

impl Notes<'_> {
    /// Notes that a key is missing, unless it is written.
    fn missing(&mut self, key: &str, help: &str) {
        if !self.is_written(key) {
            self.note(key, &format!("notifier {:?} has no {key}", self.name), help);
        }
    }
}

fn mail(values: &mut Values, notes: &mut Notes<'_>) -> Option<Way> {
    let server = values.server.take().unwrap_or_else(|| "127.0.0.1".to_owned());
    let usual = if is_loopback(&server) { Security::None } else { Security::StartTls };
    let security = values.security.unwrap_or(usual);
    notes.missing("to", "write whom to send the mails: to = [\"admin@example.com\"]");
    if notes.is_written("user") {
        notes.missing("passwordfile", "write the file with the password of this user");
    }
    if notes.is_written("passwordfile") {
        notes.missing("user", "write the name that belongs to this password");
    }
    if security == Security::None && !is_loopback(&server) {
        let help = "write security = \"starttls\" or \"tls\"; \"none\" is only for a server on this machine";
        let message = format!("everybody on the way to {server} could read these mails");
        notes.note("security", &message, help);
    }
    Some(Way::Mail(Mail {
        server,
        written_port: values.port,
        security,
        login: values.user.take().zip(values.passwordfile.take()),
        cafile: values.cafile.take(),
        from: values.from.take(),
        to: values.to.take()?,
        whois: values.whois.unwrap_or(false),
    }))
}

fn webhook(values: &mut Values, notes: &mut Notes<'_>) -> Option<Way> {
    let preset = values.preset.unwrap_or(Preset::Json);
    if notes.is_written("url") && notes.is_written("urlfile") {
        let help = "write one of them; the address is a secret, so better urlfile";
        notes.note("url", "both url and urlfile are written", help);
    } else if !notes.is_written("url") {
        let help =
            "write the file that holds the address: urlfile = \"/etc/asterguard/notify.url\"";
        notes.missing("urlfile", help);
    }
    if preset == Preset::Telegram {
        notes.missing("chat", "write the number of the chat: chat = \"-1001234567890\"");
    } else if notes.is_written("chat") {
        let help = "leave it out, or write preset = \"telegram\"";
        notes.note("chat", "only preset = \"telegram\" has a chat", help);
    }
    let url = values.url.take().map(Place::Written);
    Some(Way::Webhook(Webhook {
        preset,
        url: url.or(values.urlfile.take().map(Place::File))?,
        tokenfile: values.tokenfile.take(),
        cafile: values.cafile.take(),
        chat: values.chat.take(),
    }))
}

fn names<T: Copy + PartialEq>(
    reader: &mut TomlReader,
    value: &TomlValue,
    what: &str,
    known: &[(T, &str)],
    help: &str,
) -> Option<Vec<T>> {
    let mut all = Vec::new();
    for (text, span) in reader.some_texts(value, help) {
        let named = reader.named(text, span, what, known);
        all.extend(named.filter(|named| !all.contains(named)));
    }
    (!all.is_empty()).then_some(all)
}

fn jails(reader: &mut TomlReader, value: &TomlValue) -> Option<Vec<glob::Pattern>> {
    let help = "write the names of jails: [\"asterisk-*\"]";
    let mut all = Vec::new();
    for (text, span) in reader.some_texts(value, help) {
        match glob::Pattern::new(text) {
            Ok(pattern) if !text.is_empty() && text.len() <= LONGEST_WORD => all.push(pattern),
            _ => reader.error(span, format_args!("{text:?} is not a pattern of names"), help),
        }
    }
    (!all.is_empty()).then_some(all)
}

fn quiet(reader: &mut TomlReader, value: &TomlValue) -> Option<QuietHours> {
    let help = "write from when until when, in the time of this machine: \"22:00-07:00\"";
    let text = reader.text(value, help)?;
    let read = QuietHours::read(text);
    if read.is_none() {
        reader.error(value.span(), format_args!("{text:?} are no hours of a day"), help);
    }
    read
}

fn span(reader: &mut TomlReader, value: &TomlValue, longest: Duration) -> Option<Duration> {
    let length = reader.duration(value)?;
    let is_right = length <= longest;
    if !is_right {
        let most = crate::model::time::HumanDuration(longest);
        reader.error(value.span(), format_args!("longer than {most}"), "write a shorter time");
    }
    is_right.then_some(length)
}

fn server(reader: &mut TomlReader, value: &TomlValue) -> Option<String> {
    let help = "write the name of the mail server: \"mail.example.com\"";
    let text = reader.text(value, help)?;
    let is_host = text.parse::<IpAddr>().is_ok() || text.parse::<HostName>().is_ok();
    if !is_host {
        let message = format_args!("{text:?} is not the address or name of a host");
        reader.error(value.span(), message, help);
    }
    is_host.then(|| text.to_owned())
}

/// A text without control characters, of bounded length.
fn word(reader: &mut TomlReader, value: &TomlValue, help: &str) -> Option<String> {
    let text = reader.text(value, help)?;
    let is_right = (1..=LONGEST_WORD).contains(&text.len()) && !text.chars().any(char::is_control);
    if !is_right {
        reader.error(value.span(), "this is empty, too long, or holds control characters", help);
    }
    is_right.then(|| text.to_owned())
}

fn file(reader: &mut TomlReader, value: &TomlValue) -> Option<PathBuf> {
    let text = reader.text(value, FILE_HELP)?;
    reader.absolute_path(text, &value.span(), PathOf::File, FILE_HELP).map(Path::to_owned)
}

fn url(reader: &mut TomlReader, value: &TomlValue) -> Option<String> {
    let help = "write the address that the service gave you: \"https://hooks.example.com/…\"; better, write it into a file, and here urlfile = \"/etc/asterguard/notify.url\"";
    let text = reader.text(value, help)?;
    match webhook_url(text) {
        Ok(_) => Some(text.to_owned()),
        Err(message) => {
            reader.error(value.span(), message, help);
            None
        }
    }
}

fn mailboxes(reader: &mut TomlReader, value: &TomlValue, help: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for (text, span) in reader.some_texts(value, help) {
        let is_plain = text.len() <= 320 && !text.chars().any(char::is_control);
        if all.len() >= MOST_ADDRESSES {
            let message = format_args!("more than {MOST_ADDRESSES} addresses");
            reader.error(span, message, "write the address of a mailing list");
            break;
        }
        if is_plain && text.parse::<Mailbox>().is_ok() {
            all.push(text.to_owned());
        } else {
            reader.error(span, format_args!("{text:?} is not an address for mail"), help);
        }
    }
    (!all.is_empty()).then_some(all)
}

fn command(reader: &mut TomlReader, value: &TomlValue) -> Option<Vec<String>> {
    let help = "write the path of a program and its arguments: [\"/usr/local/bin/tell\", \"--ban\"]; no shell reads them";
    if let DeValue::String(_) = value.get_ref() {
        return reader.wrong_type(value, "an array of strings", help);
    }
    let words = reader.some_texts(value, help);
    let (first, place) = words.first()?;
    reader.absolute_path(first, place, PathOf::File, help)?;
    for (text, place) in &words {
        if text.len() > LONGEST_WORD || text.contains('\0') {
            reader.error(
                place.clone(),
                "this is too long for an argument, or holds a zero byte",
                help,
            );
            return None;
        }
    }
    if words.len() > MOST_WORDS {
        reader.error(value.span(), format_args!("more than {MOST_WORDS} arguments"), help);
        return None;
    }
    Some(words.into_iter().map(|(text, _)| text.to_owned()).collect())
}
