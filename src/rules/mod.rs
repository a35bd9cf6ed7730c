//! The rules: what messages mean, and where in them the host stands.

pub mod address_tag;
pub mod date_pattern;
mod expand;
pub mod file;
pub mod pattern;
pub mod python_regex;
pub mod search;
pub mod trial;

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::memmem::Finder;
use regex_automata::meta::{BuildError, Regex};
use regex_automata::util::syntax;
use serde::Deserialize;
use thiserror::Error;

use crate::config::diagnostic::Diagnostics;
use crate::model::account::{Account, AccountPlace};
use crate::model::event;
use crate::model::event::{Class, Evidence, Meaning, RuleId};
use crate::model::exchange::Protocol;
use crate::sys::text_file::{self, TextError};
use pattern::Pattern;
use search::LineRegex;

/// The rule files that come with the program, by name.
const BUILTIN: [(&str, &str); 16] = [
    ("apache-auth", include_str!("../../rules/apache-auth.toml")),
    ("asterisk-ami", include_str!("../../rules/asterisk-ami.toml")),
    ("asterisk-dialplan", include_str!("../../rules/asterisk-dialplan.toml")),
    ("asterisk-iax", include_str!("../../rules/asterisk-iax.toml")),
    ("asterisk-other", include_str!("../../rules/asterisk-other.toml")),
    ("asterisk-pjsip", include_str!("../../rules/asterisk-pjsip.toml")),
    ("asterisk-security", include_str!("../../rules/asterisk-security.toml")),
    ("asterisk-sip", include_str!("../../rules/asterisk-sip.toml")),
    ("dovecot", include_str!("../../rules/dovecot.toml")),
    ("freepbx-web", include_str!("../../rules/freepbx-web.toml")),
    ("kamailio", include_str!("../../rules/kamailio.toml")),
    ("kernel-firewall", include_str!("../../rules/kernel-firewall.toml")),
    ("nginx-http-auth", include_str!("../../rules/nginx-http-auth.toml")),
    ("postfix-sasl", include_str!("../../rules/postfix-sasl.toml")),
    ("sshd", include_str!("../../rules/sshd.toml")),
    ("vsftpd", include_str!("../../rules/vsftpd.toml")),
];

/// Bytes that a rule file may have.
const LARGEST: u64 = 16 << 20;

/// The longest message that Asterisk writes, in bytes (`max(BUFSIZ, 8192)` in `main/logger.c`).
pub const LONGEST_MESSAGE: usize = 8192;

/// The line grammar that is stripped before the failregexes look at what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grammar {
    /// [`crate::detect::prefix`]: the failregex sees `FILE: MESSAGE`.
    #[default]
    Asterisk,
    /// [`crate::detect::prefix::kernel`]: what the kernel wrote into a syslog.
    Kernel,
    /// [`crate::detect::prefix::syslog_message`]: what one of the file's programs wrote into a syslog or the journal.
    Syslog,
    /// None: the failregex sees the whole line.
    None,
    /// As in fail2ban: the failregex is one of fail2ban's own, and sees the line without its date.
    Fail2ban,
}

/// A message that holds text from outside, which may break it in two: where it ends is where
/// believing may go on.
#[derive(Clone, Debug)]
pub struct MessageShape {
    /// The bytes that its body begins with.
    pub head: Vec<u8>,
    /// The text that it also holds.
    pub contains: Option<Finder<'static>>,
    /// The ends that its body can have when it is whole though no rule matches it; one of these.
    pub ends: Vec<Vec<u8>>,
    /// Whether what follows cannot be told from what its sender wrote, even if it ends as it
    /// should: a raw packet, or text that may go on over several lines and end like a message.
    pub dump: bool,
    /// Whether it repeats such text of a message before it.
    pub echo: bool,
    /// Whether all of it is Asterisk's own: nothing that a sender wrote stands in it.
    pub own: bool,
    /// The form of its second line, where it has one.
    pub next: Option<Regex>,
    /// The number of bytes of text from outside that it can hold: no line that is part of it begins
    /// further than that behind its first.
    pub reach: usize,
}

/// A line with the host that its rule must find in it.
#[derive(Clone, Debug)]
pub struct Example {
    /// The whole line.
    pub line: Vec<u8>,
    /// The host, or `None` if the rule must not match.
    pub host: Option<IpAddr>,
    /// The place of the line in the rule file.
    pub span: Range<usize>,
}

/// A rule.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is true of a rule, or not, by itself")]
pub struct Rule {
    /// Its name within its file.
    pub id: String,
    /// Its file: an index into [`RuleSet::files`].
    pub file: usize,
    /// Its failregexes; a line that one of them matches is a hit.
    pub patterns: Vec<Pattern>,
    /// The meaning of a hit: an offence, a success, or something to be ignored.
    pub meaning: Meaning,
    /// The degree to which the address may be believed where the line itself does not say more.
    pub evidence: Evidence,
    /// The place of the account, if its messages name one that can be told.
    pub account: Option<AccountPlace>,
    /// The place of the Call-ID, and that of the nonce which the credentials answer, if its messages name
    /// them.
    pub call: Option<TextPlace>,
    /// See [`Rule::call`].
    pub nonce: Option<TextPlace>,
    /// The number of lines that one attempt writes of this rule in one channel.
    pub per_attempt: u8,
    /// Whether it reads the first half of a message that was cut in two: the line is not whole
    /// although a rule matches it.
    pub cut: bool,
    /// The evidence in a record whose text is as Asterisk wrote it and that no sender can break in two, if that is more.
    pub framed: Option<Evidence>,
    /// Whether an event of the SECURITY level tells the same. In records of a log that has that level, it counts for
    /// nothing.
    pub twin: bool,
    /// Whether no text of a sender's in it can hold a line feed where Asterisk may cut it: one that ends with a line feed
    /// is whole.
    pub unbroken: bool,
    /// The service that it is about.
    pub service: Service,
    /// Whether another line follows about the same attempt, on the same connection: that one counts, and not both.
    pub announces: bool,
    /// The first Asterisk version that writes this message.
    pub since: Option<String>,
    /// The last one.
    pub until: Option<String>,
    /// Lines to test the rule with.
    pub examples: Vec<Example>,
}

impl Rule {
    /// Returns the account that a message names. One of another service than Asterisk's is no account of Asterisk's.
    #[must_use]
    pub fn account_in(&self, body: &[u8]) -> Option<Account> {
        let account = self.account.as_ref()?.read(body)?;
        Some(self.service.port_list().map_or(account, |service| account.at_service(service)))
    }

    /// A rule that is only this: nothing proves its hosts, and it tells of no account and no call.
    pub(crate) fn plain(id: String, patterns: Vec<Pattern>, meaning: Meaning) -> Self {
        Self {
            id,
            file: 0,
            patterns,
            meaning,
            evidence: Evidence::Unverified,
            account: None,
            call: None,
            nonce: None,
            per_attempt: 1,
            cut: false,
            framed: None,
            twin: false,
            unbroken: false,
            service: Service::None,
            announces: false,
            since: None,
            until: None,
            examples: Vec::new(),
        }
    }
}

/// The place of a text in a rule's messages: behind the first `after`, up to the next `until`.
#[derive(Clone, Debug)]
pub struct TextPlace {
    after: Finder<'static>,
    until: Finder<'static>,
}

impl TextPlace {
    /// Behind the first `after`, up to the next `until`.
    #[must_use]
    pub fn new(after: &str, until: &str) -> Self {
        let finder = |text: &str| Finder::new(text).into_owned();
        Self { after: finder(after), until: finder(until) }
    }

    /// Returns the text that stands there in `body`.
    #[must_use]
    pub fn read<'a>(&self, body: &'a [u8]) -> Option<&'a [u8]> {
        let rest = body.get(self.after.find(body)? + self.after.needle().len()..)?;
        rest.get(..self.until.find(rest)?)
    }
}

/// A service of this machine, as far as it matters what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// SIP, by `chan_pjsip`.
    Pjsip,
    /// SIP, by `chan_sip`, of which HEP does not tell.
    ChanSip,
    /// IAX2.
    Iax,
    /// The manager (AMI), which escapes nothing of what a client sends: no file is framed to it.
    Ami,
    /// The HTTP server, of which that is just as true.
    Http,
    /// One that is not Asterisk's, at the ports of this list in `[ports]`.
    Listed(String),
    /// None: it answers nothing to what the message tells of.
    None,
}

impl Service {
    /// Those that have a name of their own; any other name is that of a port list.
    const NAMED: [(&'static str, Self); 6] = [
        ("pjsip", Self::Pjsip),
        ("chan_sip", Self::ChanSip),
        ("iax", Self::Iax),
        ("ami", Self::Ami),
        ("http", Self::Http),
        ("none", Self::None),
    ];

    /// Returns the service of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let named = Self::NAMED.into_iter().find(|(known, _)| *known == name);
        named.map_or_else(|| Self::Listed(name.to_owned()), |(_, service)| service)
    }

    /// Returns the list of its ports, if it is none of Asterisk's.
    #[must_use]
    pub fn port_list(&self) -> Option<&str> {
        match self {
            Self::Listed(name) => Some(name),
            _ => None,
        }
    }

    /// Returns the protocol that it speaks.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Pjsip | Self::ChanSip | Self::Listed(_) | Self::None => Protocol::Sip,
            Self::Iax => Protocol::Iax2,
            Self::Ami => Protocol::Ami,
            Self::Http => Protocol::Http,
        }
    }

    /// Whether what a client sends stands in its messages as it is, so that no file is framed to it.
    #[must_use]
    pub fn escapes_nothing(&self) -> bool {
        matches!(self, Self::Ami | Self::Http)
    }
}

/// A rule file, which jails know as a filter.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// The filter's name: the file's without `.toml`.
    pub name: String,
    /// The path that it was read from; a bare name for one that came with the program.
    pub path: PathBuf,
    /// Its text.
    pub source: Arc<str>,
    /// The grammar of what is stripped from lines first.
    pub grammar: Grammar,
    /// The programs whose lines it reads, by their names in a syslog, where the grammar is [`Grammar::Syslog`].
    pub programs: Vec<String>,
    /// Bodies that one of these matches anywhere are ignored.
    pub ignoreregex: Vec<LineRegex>,
    /// Where the dates are that a failregex of fail2ban's does not see: its `datepattern`.
    pub datepattern: Option<String>,
    /// Messages that text from outside may break in two.
    pub messages: Vec<MessageShape>,
    /// The rules; moved into [`RuleSet::rules`] when a set is made.
    pub rules: Vec<Rule>,
    /// The name of the jail in whose own table they are written: only that jail counts them. `None`: it is a file.
    pub owner: Option<String>,
}

/// All rules in force.
#[derive(Clone, Debug)]
pub struct RuleSet {
    /// The files, by name.
    pub files: Vec<RuleFile>,
    /// The rules of all files; [`RuleId`] is an index.
    pub rules: Vec<Rule>,
}

/// The reason why rules cannot be used.
#[derive(Debug, Error)]
pub enum RulesError {
    /// A file or the directory cannot be read, or is not text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Something is wrong in the files.
    #[error(transparent)]
    Wrong(#[from] Diagnostics),
}

impl RuleSet {
    /// The rules that come with the program, and those in `*.toml` in `directory`, where a file
    /// of the same name replaces one that came with the program. A directory that does not exist
    /// holds no files.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or is wrong.
    pub fn load(directory: Option<&Path>) -> Result<Self, RulesError> {
        let mut sources: Vec<(PathBuf, String)> = BUILTIN
            .iter()
            .map(|(name, text)| (format!("{name}.toml").into(), (*text).to_owned()))
            .collect();
        for path in directory.map_or(Ok(Vec::new()), text_file::toml_files)? {
            let text = text_file::read_text(&path, LARGEST)?;
            sources.retain(|(known, _)| known.file_name() != path.file_name());
            sources.push((path, text));
        }
        let mut rules = Self::parse(&sources)?;
        rules.add_wire();
        Ok(rules)
    }

    /// Returns the names of the filters that there are with the files of `directory`, be they right or wrong.
    #[must_use]
    pub fn names(directory: Option<&Path>) -> Vec<String> {
        let files = directory.map_or(Ok(Vec::new()), text_file::toml_files).unwrap_or_default();
        let stems = files.iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
        let shipped = Self::load(None).map(|rules| rules.filters()).unwrap_or_default();
        shipped.into_iter().chain(stems).collect()
    }

    /// Adds what is seen on the wire: rules without a failregex, which no line can match.
    fn add_wire(&mut self) {
        let refused = (event::REFUSED, Meaning::Offence(Class::Guess));
        let registered = (event::REGISTERED, Meaning::Success);
        let rejected = |class| (event::REJECTED, Meaning::Offence(class));
        let unanswered = (event::UNANSWERED, Meaning::Offence(Class::Scan));
        let no_login = (event::NO_LOGIN, Meaning::Offence(Class::Scan));
        self.add_seen(
            event::FILTER,
            &[refused, registered, unanswered, rejected(Class::Extension)],
        );
        self.add_seen(event::OPTIONS_FILTER, &[(event::PROBED, Meaning::Offence(Class::Scan))]);
        self.add_seen(
            event::wire_filter(Protocol::Iax2),
            &[refused, registered, unanswered, rejected(Class::Scan)],
        );
        self.add_seen(
            event::wire_filter(Protocol::Ami),
            &[refused, rejected(Class::Malformed), no_login],
        );
        self.add_seen(event::wire_filter(Protocol::Http), &[refused]);
    }

    /// Adds the rules for what is seen, as a filter of this name.
    fn add_seen(&mut self, name: &str, rules: &[(&str, Meaning)]) {
        let file = self.files.len();
        self.files.push(RuleFile {
            name: name.to_owned(),
            path: name.into(),
            source: "".into(),
            grammar: Grammar::None,
            programs: Vec::new(),
            ignoreregex: Vec::new(),
            datepattern: None,
            messages: Vec::new(),
            rules: Vec::new(),
            owner: None,
        });
        let rule = |(id, meaning): &(&str, Meaning)| Rule {
            file,
            ..Rule::plain((*id).to_owned(), Vec::new(), *meaning)
        };
        self.rules.extend(rules.iter().map(rule));
    }

    /// Adds the rules of a file.
    pub fn add(&mut self, mut file: RuleFile) {
        let index = self.files.len();
        self.rules.extend(file.rules.drain(..).map(|rule| Rule { file: index, ..rule }));
        self.files.push(file);
    }

    /// The rule of this name.
    #[must_use]
    pub fn named(&self, filter: &str, id: &str) -> Option<RuleId> {
        let mut rules = self.iter();
        let found = rules.find(|(_, rule)| {
            rule.id == id && self.file_of(rule).is_some_and(|file| file.name == filter)
        });
        found.map(|(id, _)| id)
    }

    /// The rules of the given files (path and text).
    ///
    /// # Errors
    /// Everything that is wrong in any of them.
    pub fn parse(sources: &[(PathBuf, String)]) -> Result<Self, Diagnostics> {
        let mut files = Vec::new();
        let mut problems = Vec::new();
        for (path, text) in sources {
            match file::parse(path, text) {
                Ok(file) => files.push(file),
                Err(Diagnostics(more)) => problems.extend(more),
            }
        }
        if !problems.is_empty() {
            return Err(Diagnostics(problems));
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut rules = Vec::new();
        for (index, file) in files.iter_mut().enumerate() {
            rules.extend(file.rules.drain(..).map(|rule| Rule { file: index, ..rule }));
        }
        Ok(Self { files, rules })
    }

    /// The names of the filters.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        self.files.iter().map(|file| file.name.clone()).collect()
    }

    /// A rule of this set.
    #[must_use]
    pub fn get(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(usize::from(id.0))
    }

    /// The file of a rule.
    #[must_use]
    pub fn file_of(&self, rule: &Rule) -> Option<&RuleFile> {
        self.files.get(rule.file)
    }

    /// The name of a rule, as `filter/id`.
    #[must_use]
    pub fn name_of(&self, id: RuleId) -> Option<String> {
        let rule = self.get(id)?;
        Some(format!("{}/{}", self.file_of(rule)?.name, rule.id))
    }

    /// For the rules of another set, as it was before a reload, those of this one with the same
    /// names.
    pub fn successors(&self, before: &Self) -> impl Fn(RuleId) -> Option<RuleId> + use<> {
        let named = |id| Some((self.name_of(id)?, id));
        let ids: HashMap<_, _> = self.iter().filter_map(|(id, _)| named(id)).collect();
        let successor = |(id, _)| ids.get(&before.name_of(id)?).copied();
        let successors: Vec<_> = before.iter().map(successor).collect();
        move |id| successors.get(usize::from(id.0)).copied().flatten()
    }

    /// All rules with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (RuleId, &Rule)> {
        (0..=u16::MAX).map(RuleId).zip(&self.rules)
    }
}

/// Builds a regex over bytes, not characters: one byte that is not UTF-8 must not hide a line.
pub(crate) fn byte_regex(regex: &str) -> Result<Regex, Box<BuildError>> {
    Regex::builder()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .configure(Regex::config().utf8_empty(false).nfa_size_limit(Some(10 << 20)))
        .build(regex)
        .map_err(Box::new)
}
