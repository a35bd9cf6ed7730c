//! Checks of Asterisk's `logger.conf` against the logs that the jails read.

use std::path::Path;

use jiff::tz::TimeZone;

use super::facts::World;
use super::{Finding, some_of};
use crate::detect::prefix::{self, Tags};
use crate::detect::timestamp::{DateFormat, TimestampParser};
use crate::hosts::asterisk::logger_conf::{LOG_DIRECTORY, LogFile, LoggerConf, log_directory};
use crate::hosts::asterisk::version::AsteriskVersion;
use crate::input::glob;
use crate::model::time::Time;

/// The advice after a change of `logger.conf`.
const RELOAD: &str = "then: asterisk -rx 'logger reload'";
/// The messages that wait at most, if `logger.conf` does not say otherwise.
const QUEUE: u32 = 1000;

/// Returns the settings that `logger.conf` has.
fn settings(world: &World) -> Result<LoggerConf, String> {
    let conf = world.conf_all("logger.conf")?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let directory = world.conf("asterisk.conf", &["astlogdir"]);
    let directory = directory.map_or_else(|_| LOG_DIRECTORY.into(), |conf| log_directory(&conf));
    Ok(LoggerConf::of(&conf, &directory, host.as_deref().map(str::trim)))
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
    let logger = match settings(world) {
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
        let add = format!("asterguard setup; or add `{name} => {levels}` to [logfiles], {RELOAD}");
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
    let logger = match settings(world) {
        Ok(logger) => logger,
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    let mut found = Vec::new();
    let read = || logger.files.iter().filter(|other| is_read(world, other));
    let has_both = |file: &LogFile, is_enough: &dyn Fn(&LogFile) -> bool| {
        // What a log that is read holds too is not missed.
        ["notice", "security"].iter().all(|level| {
            !file.has(level) || read().any(|other| other.has(level) && is_enough(other))
        })
    };
    let repeats = |file: &LogFile| has_both(file, &|_| true);
    let is_spare = |file: &LogFile| has_both(file, &LogFile::is_believed);
    for file in &logger.files {
        if is_read(world, file) && !file.is_believed() && file.has("notice") && !is_spare(file) {
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
    let format = match settings(world) {
        Ok(LoggerConf { dateformat: Some(format), .. }) => format,
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

/// Checks how many messages wait, and which are dropped when too many do.
pub fn limit(world: &World) -> Vec<Finding> {
    const CHECK: &str = "logger-limit";
    let limit = match settings(world) {
        Ok(logger) => logger.queue_limit.unwrap_or(QUEUE),
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    let mut found = Vec::new();
    if limit < QUEUE {
        let seen =
            format!("only {limit} messages wait to be written; of a flood, the rest is lost");
        found.push(
            Finding::advice(CHECK, seen)
                .at(world.path("logger.conf"))
                .change(format!("write `logger_queue_limit = 10000` into [general], {RELOAD}")),
        );
    }
    match world.version.as_deref().map(AsteriskVersion::parse) {
        Ok(Some(version)) if version.drops_notices_first() && !sees_without_logs(world) => {
            let seen = format!(
                "in a flood, Asterisk {version} drops NOTICE and SECURITY first, and those are what the guard reads"
            );
            let change = "let the guard see attempts without the log: [wire] enabled = true, and HEP (asterguard setup)";
            found.push(Finding::advice(CHECK, seen).at(world.path("logger.conf")).change(change));
        }
        Err(why) if found.is_empty() => {
            let seen = format!("{limit} messages wait at most; which are dropped first: {why}");
            found.push(Finding::unchecked(CHECK, seen));
        }
        _ => {}
    }
    if found.is_empty() {
        found.push(Finding::ok(CHECK, format!("{limit} messages wait at most")));
    }
    found
}

/// Whether a running guard sees what Asterisk answers, whatever is logged.
fn sees_without_logs(world: &World) -> bool {
    world.status.as_ref().is_ok_and(|status| status.wire.state.starts_with("listening"))
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
