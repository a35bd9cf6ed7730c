//! Checks of the log files themselves: whether they are there, their clock, and what is missing.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use jiff::tz::TimeZone;

use super::facts::World;
use super::{Finding, logger, some_of};
use crate::control::health::Check;
use crate::decide::plan::Plan;
use crate::detect::prefix::{self, Tags};
use crate::detect::timestamp::TimestampParser;
use crate::input::glob::{self, Unread};
use crate::model::time::Time;
use crate::sys::text_file;

/// The longest time between a log's last line and the time when the file was written, in seconds.
const MOST_SKEW: u64 = 120;
/// The number of bytes at a log's end that are looked at.
const END: u64 = 1 << 20;
/// The text that Asterisk writes when it drops messages instead of writing them.
const DROPPED: &[u8] = b"logger: Log queue threshold (";

/// Checks whether the logs that jails read are there.
pub fn logpath(world: &World) -> Vec<Finding> {
    const CHECK: &str = "logpath";
    let Ok(plan) = &world.plan else {
        return vec![Finding::unchecked(CHECK, "the configuration cannot be read")];
    };
    let files = world.logs.iter().filter(|log| log.is_file()).map(|log| log.display().to_string());
    let journal = world.journal.iter().map(|(part, _)| format!("journal:{part}"));
    let there: Vec<_> = files.chain(journal).collect();
    let mut found = Vec::new();
    if !there.is_empty() {
        found.push(Finding::ok(CHECK, format!("read: {}", some_of(&there))));
    } else if !world.has_problem(Check::Logs) {
        found.push(
            Finding::problem(CHECK, "none of the logs that the jails read is there")
                .at("`logpath`")
                .change(
                    "asterguard setup; or write where Asterisk's logs are (`asterguard check` shows what is awaited)",
                ),
        );
    }
    let mut other: Vec<_> = plan.readers().flat_map(|(_, jail)| &jail.logpath).collect();
    other.sort_unstable();
    other.dedup();
    for logpath in other {
        if let Some(why @ Unread::Irregular(_)) = glob::unread(logpath) {
            let seen = format!("{logpath} {why}");
            let change = "write where Asterisk's logs are, for example /var/log/asterisk/messages";
            found.push(Finding::problem(CHECK, seen).at("`logpath`").change(change));
        }
    }
    let mut patterns: Vec<String> =
        plan.jails().flat_map(|(_, jail)| logger::rotated(&jail.logpath)).collect();
    patterns.sort_unstable();
    patterns.dedup();
    if !patterns.is_empty() {
        let seen = format!("rotated files are never read as logs: {}", some_of(&patterns));
        found.push(
            Finding::advice(CHECK, seen)
                .at("`logpath`")
                .change("name the log itself; it is followed through rotation"),
        );
    }
    found
}

/// Returns the end of a log, from a line's beginning on, and the time when it was written.
fn end_of(path: &Path) -> Option<(Vec<u8>, Time)> {
    let (file, metadata) = text_file::open_regular(path).ok()?;
    let written = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let begin = metadata.len().saturating_sub(END);
    let mut bytes = vec![0; usize::try_from(metadata.len() - begin).ok()?];
    let read = file.read_at(&mut bytes, begin).ok()?;
    bytes.truncate(read);
    if begin > 0 {
        let first = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..first);
    }
    Some((bytes, Time::from_millis(i64::try_from(written.as_millis()).ok()?)))
}

/// Returns when the last line that has a time says that it was written.
fn last_line(bytes: &[u8], tags: &Tags, mut parser: TimestampParser) -> Option<Time> {
    let mut scratch = Vec::new();
    let mut lines = bytes.split(|byte| *byte == b'\n').rev().take(1000);
    lines.find_map(|line| {
        let stamp = prefix::strip(line, tags, &mut scratch)?.stamp.to_vec();
        parser.parse(&stamp)
    })
}

/// Checks whether Asterisk's clock, its time zone and this machine's agree.
pub fn clock(world: &World) -> Vec<Finding> {
    const CHECK: &str = "clock";
    let mut found = Vec::new();
    let mut agree = Vec::new();
    let tags = world.plan.as_ref().map_or_else(|_| Tags::default(), Plan::tags);
    for log in &world.logs {
        let Some((bytes, written)) = end_of(log) else { continue };
        let path = log.display().to_string();
        if written.since(world.now).as_secs() > MOST_SKEW {
            let seen =
                format!("{path} was written in the future, at {written}: the clock was set back");
            found.push(
                Finding::advice(CHECK, seen)
                    .change("have the clock kept by NTP: timedatectl set-ntp true"),
            );
        }
        let plan = world.plan.as_ref().ok();
        let zone = plan.map_or_else(TimeZone::system, Plan::log_time_zone);
        let parser = TimestampParser::new(zone, written);
        let parser = parser.with_format(plan.and_then(Plan::date_format));
        let Some(said) = last_line(&bytes, &tags, parser) else { continue };
        let skew = said.since(written).max(written.since(said)).as_secs();
        if skew <= MOST_SKEW {
            agree.push(path);
        } else {
            found.push(skewed(CHECK, &path, said, written, skew));
        }
    }
    if found.is_empty() && agree.is_empty() {
        return vec![Finding::unchecked(CHECK, "no log has a line with a time that can be read")];
    }
    if found.is_empty() {
        found.push(Finding::ok(
            CHECK,
            format!("the last lines are as old as their files: {}", some_of(&agree)),
        ));
    }
    found
}

fn skewed(check: &'static str, path: &str, said: Time, written: Time, skew: u64) -> Finding {
    // Zones differ by quarters of an hour.
    let zone = skew % 900 < MOST_SKEW || skew % 900 > 900 - MOST_SKEW;
    let (why, change) = if zone {
        (
            "by whole quarters of an hour: another time zone",
            "run both in one time zone, or write one into the dates: `dateformat = %FT%T%z` in logger.conf; or say which zone the dates are in: `logtimezone` in [default]",
        )
    } else {
        ("so one of two clocks is wrong", "have both clocks kept by NTP: timedatectl set-ntp true")
    };
    let seen = format!(
        "the last line says {said}, and was written at {written}, {why}. The running guard uses the time when lines arrive; `replay` uses the time in the lines"
    );
    Finding::advice(check, seen).at(path).change(change)
}

/// Checks whether Asterisk dropped messages because there were too many.
pub fn queue(world: &World) -> Vec<Finding> {
    const CHECK: &str = "log-queue";
    let mut looked = 0;
    let mut found = Vec::new();
    for log in &world.logs {
        let Some((bytes, _)) = end_of(log) else { continue };
        looked += 1;
        let times = memchr::memmem::find_iter(&bytes, DROPPED).count();
        if times > 0 {
            let seen = format!(
                "Asterisk dropped messages {times} times, because its queue was full: attempts were not logged"
            );
            found.push(Finding::problem(CHECK, seen).at(log.display().to_string()).change(
                "write `logger_queue_limit = 10000` into [general] of logger.conf, and take `debug` and `verbose` out of files that nobody reads",
            ));
        }
    }
    match (found.is_empty(), looked) {
        (true, 0) => vec![Finding::unchecked(CHECK, "no log can be read")],
        (true, _) => vec![Finding::ok(CHECK, "Asterisk dropped no messages lately")],
        (false, _) => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_time_is_found_behind_lines_that_have_none() {
        let written = Time::from_secs(1_795_309_297);
        let text = b"[2026-11-22 00:00:00] NOTICE[1] a.c: x\n[1795309290] NOTICE[1] a.c: x\nrest of it\n\n";
        let parser = TimestampParser::new(TimeZone::UTC, written);
        let last = |text: &[u8]| last_line(text, &Tags::default(), parser.clone());
        assert_eq!(last(text), Some(Time::from_secs(1_795_309_290)));
        assert_eq!(last(b"nothing\n"), None);
    }

    #[test]
    fn zones_are_told_from_wrong_clocks() {
        let at = Time::from_secs;
        let zone = skewed("clock", "x", at(0), at(5400), 5401);
        assert!(zone.seen.contains("another time zone"), "{zone:?}");
        let wrong = skewed("clock", "x", at(0), at(400), 400);
        assert!(wrong.seen.contains("one of two clocks"), "{wrong:?}");
    }
}
