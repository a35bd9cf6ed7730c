//! Checks of Asterisk's `logger.conf` against the logs that the jails read.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::facts::World;
use super::{Finding, some_of};
use crate::detect::prefix::{self, Tags};
use crate::detect::timestamp::{DateFormat, TimestampParser};
use crate::hosts::asterisk::conf::Conf;
use crate::hosts::asterisk::ports::is_true;
use crate::input::glob;
use crate::model::time::Time;

/// The advice after a change of `logger.conf`.
const RELOAD: &str = "then: asterisk -rx 'logger reload'";

/// A file that Asterisk writes messages into.
struct LogFile {
    path: PathBuf,
    levels: Vec<String>,
    json: bool,
}

impl LogFile {
    fn has(&self, level: &str) -> bool {
        self.levels.iter().any(|known| known == level || known == "*")
    }

    /// Whether its lines can be told from what strangers wrote.
    fn is_believed(&self) -> bool {
        self.json || !self.has("verbose")
    }
}

/// The settings that `logger.conf` has.
struct Logger {
    files: Vec<LogFile>,
    syslog: bool,
    dateformat: Option<String>,
}

impl Logger {
    fn read(world: &World) -> Result<Self, String> {
        let conf = world.conf_all("logger.conf")?;
        let general = |key: &str| last(&conf, "general", key);
        let suffix = general("appendhostname").filter(|value| is_true(value)).and_then(|_| {
            let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
            Some(format!(".{}", name.trim()))
        });
        let directory = directory(world);
        let mut logger =
            Self { files: Vec::new(), syslog: false, dateformat: general("dateformat") };
        for section in conf.sections.iter().filter(|s| s.name.eq_ignore_ascii_case("logfiles")) {
            for (name, value) in &section.values {
                let (json, levels) = levels(value);
                if name.to_ascii_lowercase().starts_with("syslog.") {
                    logger.syslog |= levels.iter().any(|l| l == "notice" || l == "*");
                } else if !name.eq_ignore_ascii_case("console") {
                    let name = format!("{name}{}", suffix.as_deref().unwrap_or_default());
                    logger.files.push(LogFile { path: directory.join(name), levels, json });
                }
            }
        }
        Ok(logger)
    }
}

/// Returns the last value of a key in a section.
fn last(conf: &Conf, section: &str, key: &str) -> Option<String> {
    let named = conf.sections.iter().filter(|s| s.name.eq_ignore_ascii_case(section));
    named.filter_map(|section| section.last(key)).next_back().map(str::to_owned)
}

/// Returns the directory where Asterisk writes files that are named without one.
fn directory(world: &World) -> PathBuf {
    let named = world.conf("asterisk.conf", &["astlogdir"]).ok().and_then(|conf| {
        let real = conf.sections.iter().filter(|section| !section.template);
        real.filter_map(|section| section.last("astlogdir")).next_back().map(PathBuf::from)
    });
    named.unwrap_or_else(|| "/var/log/asterisk".into())
}

/// Reads a value such as `[json]notice,verbose(3)`: whether it is JSON, and the levels in lower case.
fn levels(value: &str) -> (bool, Vec<String>) {
    let value = value.trim().to_ascii_lowercase();
    let (formatter, levels) = match value.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((formatter, levels)) => (formatter, levels),
        None => ("", value.as_str()),
    };
    let level = |word: &str| word.split('(').next().unwrap_or_default().trim().to_owned();
    (formatter.trim() == "json", levels.split(',').map(level).collect())
}

/// Whether two paths name one file.
fn same(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn is_read(world: &World, file: &LogFile) -> bool {
    world.logs.iter().any(|log| same(log, &file.path))
}

/// Checks whether NOTICE and SECURITY reach a file that can be believed and is read.
pub fn levels_of(world: &World) -> Vec<Finding> {
    const CHECK: &str = "logger";
    let place = world.path("logger.conf");
    let logger = match Logger::read(world) {
        Ok(logger) => logger,
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    let mut found = Vec::new();
    for (level, name, what) in [
        ("notice", "messages", "refused logins and calls of chan_sip, IAX2 and the manager"),
        ("security", "security", "PJSIP's wrong passwords and logins"),
    ] {
        let has: Vec<_> = logger.files.iter().filter(|file| file.has(level)).collect();
        let upper = level.to_ascii_uppercase();
        let levels = if level == "notice" { "notice,warning,error" } else { level };
        let add = format!("add `{name} => {levels}` to [logfiles], {RELOAD}");
        found.push(if has.is_empty() && level == "notice" && logger.syslog {
            Finding::advice(CHECK, "NOTICE goes to syslog only")
                .change("read the journal (`logpath = [\"journal:asterisk.service\"]`), or name the file that the syslog daemon writes")
        } else if has.is_empty() {
            Finding::problem(CHECK, format!("no file gets {upper}: {what} are not seen")).change(add)
        } else if !has.iter().any(|file| file.is_believed()) {
            let path = has.first().map(|file| file.path.display().to_string()).unwrap_or_default();
            let seen = format!(
                "{upper} goes only to {path}, among VERBOSE lines, in which strangers write what they like: nobody is banned by it"
            );
            Finding::problem(CHECK, seen).change(add)
        } else if has.iter().any(|file| file.is_believed() && is_read(world, file)) {
            let files: Vec<_> = has.iter().map(|file| file.path.display().to_string()).collect();
            Finding::ok(CHECK, format!("{upper} goes to {}", some_of(&files)))
        } else {
            let files: Vec<_> = has
                .iter()
                .filter(|file| file.is_believed())
                .map(|file| file.path.display().to_string())
                .collect();
            Finding::problem(CHECK, format!("no jail reads what {upper} goes to: {}", some_of(&files)))
                .change("name it in `logpath` of [default]")
        });
    }
    found.into_iter().map(|finding| finding.at(&place)).collect()
}

/// Finds files with messages about hosts that no jail reads.
pub fn files(world: &World) -> Vec<Finding> {
    const CHECK: &str = "logger-files";
    let logger = match Logger::read(world) {
        Ok(logger) => logger,
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    let mut found = Vec::new();
    let repeats = |file: &LogFile| {
        // What a log that is read holds too is not missed.
        let read = || logger.files.iter().filter(|other| is_read(world, other));
        ["notice", "security"]
            .iter()
            .all(|level| !file.has(level) || read().any(|other| other.has(level)))
    };
    for file in &logger.files {
        if is_read(world, file) && !file.is_believed() && file.has("notice") {
            let path = file.path.display();
            found.push(
                Finding::problem(
                    CHECK,
                    format!("{path} holds VERBOSE lines: what it says is hearsay"),
                )
                .at(world.path("logger.conf"))
                .change(format!("take `verbose` (or `*`) from its line, {RELOAD}")),
            );
        } else if !is_read(world, file) && file.is_believed() && !repeats(file) {
            let path = file.path.display();
            found.push(
                Finding::advice(CHECK, format!("Asterisk writes {path}, which no jail reads"))
                    .at(world.path("logger.conf"))
                    .change("name it in `logpath` of [default]"),
            );
        }
    }
    if found.is_empty() {
        found.push(Finding::ok(CHECK, "every log that Asterisk writes about hosts is read"));
    }
    found
}

/// Checks whether dates in this format can be read.
pub fn dateformat(world: &World) -> Vec<Finding> {
    const CHECK: &str = "dateformat";
    let format = match Logger::read(world) {
        Ok(Logger { dateformat: Some(format), .. }) => format,
        Ok(_) => return vec![Finding::ok(CHECK, "the default, which can be read")],
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    let change = format!("write `dateformat = %F %T` into [general], {RELOAD}");
    vec![match try_format(&format, world.now) {
        Format::Read => Finding::ok(CHECK, format!("`{format}` can be read")),
        Format::NoTime => Finding::advice(
            CHECK,
            format!("no time can be read from `{format}`: the running guard does without, but `replay` cannot say when"),
        )
        .at(world.path("logger.conf"))
        .change(change),
        Format::NoLine => Finding::problem(
            CHECK,
            format!("lines with a date as `{format}` are not recognised as Asterisk's"),
        )
        .at(world.path("logger.conf"))
        .change(change),
        Format::Unknown => Finding::unchecked(
            CHECK,
            format!("`{format}` has marks that are not known here; see `asterguard test LINE`"),
        ),
    }]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Read,
    NoTime,
    NoLine,
    Unknown,
}

/// Writes a line with a date in this format, and reads it.
fn try_format(named: &str, now: Time) -> Format {
    let Ok(stamp) = jiff::Timestamp::from_millisecond(now.millis()) else { return Format::Unknown };
    let zoned = stamp.to_zoned(TimeZone::UTC);
    // As the C locale has them.
    let mut format = named.replace("%c", "%a %b %e %T %Y").replace("%x", "%D").replace("%X", "%T");
    // `%q` is Asterisk's own: that many digits of the second's fraction, three if not said.
    for digits in 1..=6 {
        format = format.replace(&format!("%{digits}q"), &"1".repeat(digits));
    }
    let format = format.replace("%q", "111");
    let Ok(date) = jiff::fmt::strtime::format(format.as_bytes(), &zoned) else {
        return Format::Unknown;
    };
    let line = format!("[{date}] NOTICE[1] logger.c: x");
    let mut scratch = Vec::new();
    let Some(stripped) = prefix::strip(line.as_bytes(), &Tags::default(), &mut scratch) else {
        return Format::NoLine;
    };
    let mut parser = TimestampParser::new(TimeZone::UTC, now).with_format(DateFormat::new(named));
    match parser.parse(stripped.stamp) {
        // Formats without seconds, or with half days, are near enough.
        Some(time) if time.since(now).max(now.since(time)).as_secs() <= 60 => Format::Read,
        _ => Format::NoTime,
    }
}

/// Checks whether a filter that somebody set on Asterisk's console hides lines.
pub fn filter(world: &World) -> Vec<Finding> {
    const CHECK: &str = "logger-filter";
    vec![match &world.filter {
        Ok(answer) if answer.contains("currently enabled") => Finding::problem(
            CHECK,
            "a `logger filter` is set: lines about other calls are left out",
        )
        .at("the running Asterisk")
        .change("asterisk -rx 'logger filter reset'"),
        Ok(answer) if answer.contains("Unable to connect") => {
            Finding::unchecked(CHECK, "Asterisk does not run")
        }
        Ok(_) => Finding::ok(CHECK, "none is set"),
        Err(why) => Finding::unchecked(CHECK, why),
    }]
}

/// Checks whether a `logpath` names rotated files.
pub fn rotated(patterns: &[String]) -> Vec<String> {
    patterns.iter().filter(|path| glob::is_rotated_name(Path::new(path))).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_taken_apart() {
        let words = |text: &str| levels(text);
        assert_eq!(words("notice,warning"), (false, vec!["notice".into(), "warning".into()]));
        assert_eq!(
            words("[json]Notice, verbose(3)"),
            (true, vec!["notice".into(), "verbose".into()])
        );
        assert_eq!(words("[default] *"), (false, vec!["*".into()]));
    }

    #[test]
    fn dateformats_are_tried_out() {
        let now = Time::from_secs(1_795_309_297);
        for format in [
            "%b %e %T",
            "%F %T",
            "%F %T.%3q",
            "%FT%T.%q%z",
            "%F %T.%6q",
            "%m/%d/%Y %I:%M:%S %p",
            "%d.%m.%Y %T",
            "%s",
            "%c",
        ] {
            assert_eq!(try_format(format, now), Format::Read, "{format}");
        }
        for format in ["pbx1", "%H", "%A"] {
            assert_eq!(try_format(format, now), Format::NoTime, "{format}");
        }
        assert_eq!(try_format("%F %T %!", now), Format::Unknown);
        assert_eq!(
            try_format("%F %T a very long text that no date of any log has ever had so far", now),
            Format::NoLine
        );
    }
}
