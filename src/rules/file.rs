//! One rule file: from TOML to checked rules, every mistake with its place.

use std::path::Path;
use std::sync::Arc;

use memchr::memmem::Finder;
use regex_automata::meta::Regex;
use serde::Deserialize;
use serde_spanned::Spanned;

use super::date_pattern::Dates;
use super::pattern::{Pattern, PatternError};
use super::search::LineRegex;
use super::{Example, Grammar, LONGEST_MESSAGE, MessageShape, Rule, RuleFile, Service, TextPlace};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::fail2ban;
use crate::config::spelling::{Repaired, syntax};
use crate::model::account::AccountPlace;
use crate::model::event::{Class, Evidence, Meaning};

/// The longest name of a program that is looked for, in bytes.
const LONGEST_PROGRAM: usize = 64;

const FILTER_HELP: &str = "what Asterisk writes is read already: leave this file out, let `asterguard import` translate it, or write each failregex as a [[rule]] with id, class and evidence, from ^ to $ and without %(…)s (docs/rules.md)";
const RULE_HELP: &str =
    "a [[rule]] has id, failregex, class and evidence; docs/rules.md has all keys";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    prefix: Option<Grammar>,
    program: Option<Spanned<OneOrMany>>,
    service: Option<Spanned<String>>,
    #[serde(default)]
    ignoreregex: Vec<Spanned<String>>,
    datepattern: Option<Spanned<String>>,
    #[serde(default)]
    message: Vec<RawMessage>,
    #[serde(default)]
    rule: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMessage {
    head: Spanned<String>,
    contains: Option<String>,
    #[serde(default)]
    end: Vec<String>,
    #[serde(default)]
    dump: bool,
    #[serde(default)]
    echo: bool,
    #[serde(default)]
    own: bool,
    next: Option<Spanned<String>>,
    reach: Option<Spanned<usize>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "keys of a rule, each by itself")]
struct RawRule {
    id: Spanned<String>,
    failregex: Spanned<OneOrMany>,
    class: Spanned<String>,
    evidence: Evidence,
    account: Option<RawAccount>,
    call: Option<RawText>,
    nonce: Option<RawText>,
    per_attempt: Option<Spanned<u8>>,
    #[serde(default)]
    cut: bool,
    framed: Option<Evidence>,
    #[serde(default)]
    twin: bool,
    #[serde(default)]
    unbroken: bool,
    #[serde(default)]
    announces: bool,
    service: Option<Spanned<String>>,
    since: Option<Spanned<String>>,
    until: Option<Spanned<String>>,
    #[serde(default)]
    example: Vec<RawExample>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAccount {
    after: Spanned<String>,
    longest: Option<usize>,
    #[serde(default)]
    once: bool,
    until: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawText {
    after: String,
    until: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExample {
    line: Spanned<String>,
    host: Spanned<String>,
}

/// Reads the rule file `source`; `path` is only named in messages, its stem is the filter's name.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(path: &Path, source: &str) -> Result<RuleFile, Diagnostics> {
    let source: Arc<str> = source.into();
    let mut reader = Reader { path, source: Arc::clone(&source), problems: Vec::new() };
    if let Some(span) = fail2ban::filter_file(&source) {
        reader.problem(span, "this is a filter of fail2ban, and no rule file", Some(FILTER_HELP));
        return Err(Diagnostics(reader.problems));
    }
    let raw: RawFile = match toml::from_str(&source) {
        Ok(raw) => raw,
        Err(error) => {
            reader.no_rules(&error);
            return Err(Diagnostics(reader.problems));
        }
    };
    let file = reader.file(raw);
    if reader.problems.is_empty() { Ok(file) } else { Err(Diagnostics(reader.problems)) }
}

struct Reader<'a> {
    path: &'a Path,
    source: Arc<str>,
    problems: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn problem(
        &mut self,
        span: std::ops::Range<usize>,
        message: impl Into<String>,
        help: Option<&str>,
    ) {
        self.problems.push(Diagnostic {
            path: self.path.to_owned(),
            source: Arc::clone(&self.source),
            span,
            message: message.into(),
            help: help.map(str::to_owned),
        });
    }

    /// Notes why this cannot be read.
    fn no_rules(&mut self, error: &toml::de::Error) {
        let source = Arc::clone(&self.source);
        for fault in Repaired::of(&source, None).faults {
            self.problem(fault.span, fault.message, Some(&fault.help));
        }
        if self.problems.is_empty() {
            let span = error.span().unwrap_or(0..0);
            let message = error.message();
            let is_about_keys =
                message.contains("unknown field") || message.contains("missing field");
            let (message, help) = syntax(message, source.get(span.clone()).unwrap_or_default());
            let help = help.or_else(|| is_about_keys.then(|| RULE_HELP.to_owned()));
            self.problem(span, message, help.as_deref());
        }
    }

    /// Notes what is wrong with a failregex.
    fn no_pattern(&mut self, span: &std::ops::Range<usize>, source: &str, error: &PatternError) {
        if !fail2ban::is_variable(source) {
            self.problem(span.clone(), error.to_string(), pattern_help(source, error));
            return;
        }
        let help =
            "leave it out: date, level and thread are taken away before a failregex sees a line";
        self.problem(
            span.clone(),
            "%(…)s is a variable of fail2ban: there are none here",
            Some(help),
        );
        let mut plain = source.to_owned();
        while let Some((start, rest)) = plain.split_once("%(") {
            let Some((_, end)) = rest.split_once(")s") else { break };
            plain = format!("{start}{end}");
        }
        if let Err(error) = Pattern::new(&plain) {
            self.problem(span.clone(), error.to_string(), pattern_help(&plain, &error));
        }
    }

    fn file(&mut self, raw: RawFile) -> RuleFile {
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let grammar = raw.prefix.unwrap_or_default();
        let ignoreregex = raw.ignoreregex.iter();
        let ignoreregex =
            ignoreregex.filter_map(|regex| self.ignoreregex(regex, grammar)).collect();
        if let Some(dates) = &raw.datepattern {
            if grammar != Grammar::Fail2ban {
                let message = "datepattern belongs to prefix = \"fail2ban\"";
                self.problem(
                    dates.span(),
                    message,
                    Some("leave it out: dates are found by themselves"),
                );
            } else if let Err(error) = Dates::new(Some(dates.get_ref())) {
                self.problem(dates.span(), error.to_string(), None);
            }
        }
        let messages =
            raw.message.into_iter().filter_map(|message| self.message(message)).collect();
        if raw.rule.is_empty() {
            self.problem(
                0..0,
                "there is no rule in this file",
                Some("add a `[[rule]]` with id, failregex, class and evidence"),
            );
        }
        let programs = self.programs(raw.program.as_ref(), grammar);
        let service = raw.service.as_ref().map(|name| self.service(name));
        let mut rules = Vec::<Rule>::new();
        for raw in raw.rule {
            if rules.iter().any(|rule| rule.id == *raw.id.get_ref()) {
                self.problem(
                    raw.id.span(),
                    format!("there is a rule `{}` already", raw.id.get_ref()),
                    Some("give each rule of a file its own id"),
                );
            }
            rules.extend(self.rule(raw, service.as_ref(), grammar));
        }
        RuleFile {
            name,
            path: self.path.to_owned(),
            source: Arc::clone(&self.source),
            grammar,
            programs,
            ignoreregex,
            datepattern: raw.datepattern.map(Spanned::into_inner),
            messages,
            rules,
            owner: None,
        }
    }

    /// Reads the names of programs; a file for lines of syslog has some, and no other has.
    fn programs(&mut self, raw: Option<&Spanned<OneOrMany>>, grammar: Grammar) -> Vec<String> {
        let help = "write the names that stand before the colon or the brackets, for example program = [\"sshd\"]";
        let Some(raw) = raw else {
            if grammar == Grammar::Syslog {
                self.problem(0..0, "prefix = \"syslog\" needs the names of programs", Some(help));
            }
            return Vec::new();
        };
        let names = raw.get_ref().all();
        let is_name = |name: &String| {
            let is_part = |byte: u8| byte.is_ascii_graphic() && !b"[]:<>|\"".contains(&byte);
            (1..=LONGEST_PROGRAM).contains(&name.len()) && name.bytes().all(is_part)
        };
        if grammar != Grammar::Syslog {
            self.problem(raw.span(), "program belongs to prefix = \"syslog\"", None);
        } else if names.is_empty() || !names.iter().all(is_name) {
            self.problem(raw.span(), "these are no names of programs", Some(help));
        }
        names.to_vec()
    }

    /// Reads the name of a service: one of Asterisk's, or that of a port list.
    fn service(&mut self, name: &Spanned<String>) -> Service {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let text = name.get_ref();
        if text.is_empty() || text == "all" || !text.bytes().all(is_part) {
            let help =
                "write pjsip, chan_sip, iax, ami, http, none, or the name of a list in [ports]";
            self.problem(name.span(), format!("{text:?} is no service"), Some(help));
        }
        Service::named(text)
    }

    fn ignoreregex(&mut self, regex: &Spanned<String>, grammar: Grammar) -> Option<LineRegex> {
        let read = LineRegex::read(regex.get_ref(), grammar);
        read.map_err(|error| self.problem(regex.span(), error.to_string(), None)).ok()
    }

    fn regex(&mut self, regex: &Spanned<String>) -> Option<Regex> {
        match super::byte_regex(regex.get_ref()) {
            Ok(regex) => Some(regex),
            Err(error) => {
                self.problem(regex.span(), format!("this is no valid regex: {error}"), None);
                None
            }
        }
    }

    fn message(&mut self, raw: RawMessage) -> Option<MessageShape> {
        // A file's name is in all messages of that file.
        let text = raw.head.get_ref().split_once(": ").map(|(_, text)| text);
        if raw.contains.as_deref().or(text).is_none_or(|known_by| known_by.len() < 5) {
            self.problem(
                raw.head.span(),
                "too little to know this message by: at least five bytes behind `FILE: `, or `contains`",
                Some("for example `chan_sip.c: Call from '`"),
            );
            return None;
        }
        let reach = raw.reach.as_ref().map_or(LONGEST_MESSAGE, |reach| *reach.get_ref());
        if let Some(wrong) = raw.reach.filter(|_| !(1..=LONGEST_MESSAGE).contains(&reach)) {
            self.problem(wrong.span(), format!("`reach` is 1 to {LONGEST_MESSAGE} bytes"), None);
        }
        let next = raw.next.and_then(|regex| self.regex(&regex));
        Some(MessageShape {
            head: raw.head.into_inner().into_bytes(),
            contains: raw.contains.map(|text| Finder::new(&text).into_owned()),
            ends: raw.end.into_iter().map(String::into_bytes).collect(),
            dump: raw.dump,
            echo: raw.echo,
            own: raw.own,
            next,
            reach,
        })
    }

    fn rule(&mut self, raw: RawRule, service: Option<&Service>, grammar: Grammar) -> Option<Rule> {
        let before = self.problems.len();
        let well_named = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if raw.id.get_ref().is_empty() || !raw.id.get_ref().bytes().all(well_named) {
            self.problem(
                raw.id.span(),
                "a rule's id is made of small letters, digits and `-`",
                None,
            );
        }
        let meaning = match raw.class.get_ref().as_str() {
            "success" => Meaning::Success,
            "ignored" => Meaning::Ignored,
            name => {
                let class =
                    Class::ALL.iter().find(|(_, known)| *known == name).map(|(class, _)| *class);
                if class.is_none() {
                    let known = Class::ALL.map(|(_, known)| known).join(", ");
                    self.problem(
                        raw.class.span(),
                        format!("there is no class `{name}`"),
                        Some(&format!("use one of {known}, success, ignored")),
                    );
                }
                Meaning::Offence(class.unwrap_or(Class::Scan))
            }
        };
        let mut patterns = Vec::new();
        for source in raw.failregex.get_ref().all() {
            let pattern = match grammar {
                Grammar::Fail2ban => Pattern::of_fail2ban(source),
                Grammar::Asterisk => Pattern::new(source),
                Grammar::Kernel | Grammar::Syslog | Grammar::None => Pattern::of_text(source),
            };
            match pattern {
                Ok(pattern) => patterns.push(pattern),
                Err(error @ PatternError::OfFail2ban(_)) => {
                    self.problem(raw.failregex.span(), error.to_string(), None);
                }
                Err(error) => self.no_pattern(&raw.failregex.span(), source, &error),
            }
        }
        let per_attempt = raw.per_attempt.as_ref().map_or(1, |count| *count.get_ref());
        if let (0, Some(place)) = (per_attempt, &raw.per_attempt) {
            self.problem(place.span(), "an attempt writes at least one line", None);
        }
        for version in [&raw.since, &raw.until].into_iter().flatten() {
            if !version
                .get_ref()
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
            {
                self.problem(
                    version.span(),
                    "this is no Asterisk version",
                    Some("write it like \"1.8\" or \"22.10\""),
                );
            }
        }
        let own = raw.service.as_ref().map(|name| self.service(name));
        let account = raw.account.as_ref().and_then(|account| self.account(account));
        let examples =
            raw.example.into_iter().filter_map(|example| self.example(example)).collect();
        (self.problems.len() == before).then(|| Rule {
            id: raw.id.into_inner(),
            file: 0,
            patterns,
            meaning,
            evidence: raw.evidence,
            account,
            call: raw.call.as_ref().map(text_place),
            nonce: raw.nonce.as_ref().map(text_place),
            per_attempt,
            cut: raw.cut,
            framed: raw.framed,
            twin: raw.twin,
            unbroken: raw.unbroken,
            announces: raw.announces,
            service: own.or_else(|| service.cloned()).unwrap_or(Service::None),
            since: raw.since.map(Spanned::into_inner),
            until: raw.until.map(Spanned::into_inner),
            examples,
        })
    }

    fn account(&mut self, raw: &RawAccount) -> Option<AccountPlace> {
        if raw.after.get_ref().is_empty() {
            let help = "for example { after = 'AccountID=\"' }";
            self.problem(raw.after.span(), "the text right before the name is missing", Some(help));
            return None;
        }
        // Otherwise any text would end a name that is longer.
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.+-".contains(byte);
        let until = raw.until.as_ref().map(|until| until.get_ref().as_str());
        if let Some(until) = raw.until.as_ref() {
            if until.get_ref().as_bytes().first().is_none_or(is_part) {
                let help =
                    "it begins with a byte that no name contains, for example until = ' from '";
                self.problem(until.span(), "a name does not end there", Some(help));
            }
        }
        let longest = raw.longest.unwrap_or(usize::MAX);
        Some(AccountPlace::new(raw.after.get_ref(), longest, raw.once).until(until))
    }

    fn example(&mut self, raw: RawExample) -> Option<Example> {
        let host = match raw.host.get_ref().as_str() {
            "none" => None,
            text => match text.parse() {
                Ok(host) => Some(host),
                Err(_) => {
                    self.problem(
                        raw.host.span(),
                        format!("`{text}` is no address"),
                        Some("write the address that the rule must find, or \"none\""),
                    );
                    return None;
                }
            },
        };
        Some(Example { span: raw.line.span(), line: raw.line.into_inner().into_bytes(), host })
    }
}

/// Returns what to write in place of what fail2ban knows.
fn pattern_help(source: &str, error: &PatternError) -> Option<&'static str> {
    let has = |tags: &[&str]| tags.iter().any(|tag| source.contains(tag));
    match error {
        _ if has(&[
            "<ADDR>", "<IP4>", "<IP6>", "<DNS>", "<CIDR>", "<SUBNET>", "?P<host>", "?<host>",
        ]) =>
        {
            Some("write <HOST> where the address stands")
        }
        _ if has(&["<F-", "</F-"]) => Some("write <TEXT> for what a caller chooses, without <F-…>"),
        _ if has(&["<SKIPLINES>", "<HOST>(?:", "<HOST>(:"]) => {
            Some("see the address tags in docs/rules.md")
        }
        PatternError::NotAnchored => {
            Some("write the message from ^ to $, with .* where anything may stand")
        }
        _ => None,
    }
}

fn text_place(RawText { after, until }: &RawText) -> TextPlace {
    TextPlace::new(after, until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(source: &str) -> String {
        parse(Path::new("rules.d/mine.toml"), source).unwrap_err().to_string()
    }

    const GOOD: &str = r#"
[[rule]]
id = "no-entry"
failregex = '^door\.c: <HOST> knocked$'
class = "scan"
evidence = "unverified"
"#;

    #[test]
    fn a_small_file_is_read() {
        let file = parse(Path::new("rules.d/mine.toml"), GOOD).unwrap();
        assert_eq!((file.name.as_str(), file.rules.len()), ("mine", 1));
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        for (wrong, place, words) in [
            (GOOD.replace("class", "klass"), "mine.toml:5:1", "unknown field `klass`"),
            (GOOD.replace("\"scan\"", "\"scam\""), "mine.toml:5:9", "no class `scam`"),
            (GOOD.replace("<HOST>", "<HST>"), "mine.toml:4:13", "exactly one address tag"),
            (GOOD.replace("knocked", "(knocked"), "mine.toml:4:13", "unclosed group"),
            (GOOD.replace("no-entry", "No Entry"), "mine.toml:3:6", "small letters"),
            (format!("{GOOD}{GOOD}"), "mine.toml:9:6", "already"),
            (GOOD.replace("unverified", "sure"), "mine.toml:6:12", "sure"),
            (format!("{GOOD}per_attempt = 0\n"), "mine.toml:7:15", "at least one line"),
            (format!("{GOOD}since = \"v1\"\n"), "mine.toml:7:9", "no Asterisk version"),
            (format!("{GOOD}account = {{ after = '' }}\n"), "mine.toml:7:21", "before the name"),
            (format!("{GOOD}account = 'x'\n"), "mine.toml:7:11", "expected"),
            (
                format!("{GOOD}account = {{ after = 'user ', until = 'x' }}\n"),
                "mine.toml:7:38",
                "does not end there",
            ),
            ("ignoreregex = ['(']\n".to_owned() + GOOD, "mine.toml:1:16", "no valid regex"),
            ("[[message]]\nhead = 'x'\nend = ['y']\n".to_owned() + GOOD, "mine.toml:2:8", "FILE"),
            ("prefix = 'none'".to_owned(), "mine.toml:1:1", "no rule"),
            ("prefix = 'syslog'\n".to_owned() + GOOD, "mine.toml:1:1", "names of programs"),
            ("program = 'sshd'\n".to_owned() + GOOD, "mine.toml:1:11", "prefix = \"syslog\""),
            (
                "prefix = 'syslog'\nprogram = ['a b']\n".to_owned() + GOOD,
                "mine.toml:2:11",
                "no names of programs",
            ),
            ("service = 'ssh port'\n".to_owned() + GOOD, "mine.toml:1:11", "is no service"),
        ] {
            let said = complaint(&wrong);
            assert!(said.contains(place) && said.contains(words), "{said}");
        }
    }
}
