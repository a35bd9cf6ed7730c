//! What is known of the last tries to fetch a list, in a file beside it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::time::Time;
use crate::notify::words::plain;
use crate::sys::replace::replace;
use crate::sys::text_file::read_bytes;

/// Bytes that the file may have.
const LARGEST: u64 = 1 << 20;
/// Characters of what is told of an error.
const LONGEST_WORDS: usize = 400;
/// Bytes of what a server names the state of its list by; longer ones are not kept.
const LONGEST_VALIDATOR: usize = 1024;
/// The last second that is read: the end of the year 9999.
const LATEST: i64 = 253_402_300_799;
/// The longest pause after a failure.
const SOON: Duration = Duration::from_secs(15 * 60);
/// The share of `every` by which a timer may be early.
const EARLY: u32 = 20;
/// A list is stale after so many of the times in which it should have been fetched.
const STALE: u32 = 3;
/// The mode of what is kept: the guard reads it by its group.
pub(super) const MODE: u32 = 0o640;

/// What is known of the last tries. Times are seconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FetchRecord {
    /// What the list was fetched by, as a number.
    pub source: u64,
    /// The last try.
    pub tried: Option<i64>,
    /// The last try that went well.
    pub fetched: Option<i64>,
    /// By what the server names the state of the list: `ETag`.
    pub etag: Option<String>,
    /// The same: `Last-Modified`.
    pub modified: Option<String>,
    /// Bytes of the list as it was written.
    pub bytes: u64,
    /// Networks in it.
    pub networks: usize,
    /// Entries of the answer that are not in it.
    pub skipped: usize,
    /// What went wrong at the last try.
    pub error: Option<String>,
    /// What to do about it.
    pub todo: Option<String>,
}

/// Returns the place of the record of a list.
#[must_use]
pub fn beside(list: &Path) -> PathBuf {
    let mut name = list.as_os_str().to_owned();
    name.push(".state");
    name.into()
}

impl FetchRecord {
    /// Reads the record of the list at this path, whoever wrote it; an empty one if there is none that makes sense.
    #[must_use]
    pub fn read(list: &Path) -> Self {
        let bytes = read_bytes(&beside(list), LARGEST).unwrap_or_default();
        let mut record: Self = serde_json::from_slice(&bytes).unwrap_or_default();
        let in_time = |time: Option<i64>| time.filter(|time| (0..=LATEST).contains(time));
        (record.tried, record.fetched) = (in_time(record.tried), in_time(record.fetched));
        let shown = |text: &mut Option<String>| {
            *text = text.as_deref().map(|text| plain(text, LONGEST_WORDS));
        };
        shown(&mut record.error);
        shown(&mut record.todo);
        record.etag = record.etag.and_then(validator);
        record.modified = record.modified.and_then(validator);
        record
    }

    /// Puts it beside the list at this path.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn write(&self, list: &Path) -> io::Result<()> {
        replace(&beside(list), &serde_json::to_vec(self)?, MODE, |_| Ok(()))
    }

    /// Returns for how long the list need not be fetched yet; zero: it is due.
    #[must_use]
    pub fn rest(&self, source: u64, every: Duration, now: Time) -> Duration {
        let Some(tried) = self.tried.map(Time::from_secs) else { return Duration::ZERO };
        // Another source, or a clock that was set back.
        if self.source != source || tried > now {
            return Duration::ZERO;
        }
        let pause = if self.error.is_some() { every.min(SOON) } else { every };
        pause.saturating_sub(pause / EARLY).saturating_sub(now.since(tried))
    }

    /// Returns how old the list is, if it was ever fetched.
    #[must_use]
    pub fn age(&self, now: Time) -> Option<Duration> {
        Some(now.since(Time::from_secs(self.fetched?)))
    }

    /// Whether the list is older than it should ever be.
    #[must_use]
    pub fn is_stale(&self, every: Duration, now: Time) -> bool {
        self.age(now).is_none_or(|age| age > every.saturating_mul(STALE))
    }

    /// Notes what went wrong.
    pub fn failed(&mut self, error: &str, todo: &str) {
        self.error = Some(plain(error, LONGEST_WORDS));
        self.todo = Some(plain(todo, LONGEST_WORDS));
    }
}

/// Returns what a server names the state of its list by, if it can be said to it again.
#[must_use]
pub fn validator(text: String) -> Option<String> {
    let is_sayable = |text: &String| {
        text.len() <= LONGEST_VALIDATOR
            && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    };
    Some(text).filter(is_sayable)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn lists_are_due_again_after_their_time() {
        let now = Time::from_secs(1_000_000);
        let ago = |minutes: i64, error: Option<&str>| FetchRecord {
            tried: Some(now.secs() - 60 * minutes),
            error: error.map(str::to_owned),
            ..FetchRecord::default()
        };
        let rest = |record: &FetchRecord| record.rest(0, HOUR, now).as_secs() / 60;
        assert_eq!(rest(&FetchRecord::default()), 0);
        assert_eq!(rest(&ago(10, None)), 47);
        assert_eq!(rest(&ago(57, None)), 0, "a timer is not exact");
        assert_eq!(rest(&ago(10, Some("no"))), 4);
        assert_eq!(rest(&ago(-10, None)), 0, "the clock was set back");
        assert_eq!(ago(10, None).rest(1, HOUR, now), Duration::ZERO, "another address");
        let fetched = |hours: i64| FetchRecord {
            fetched: Some(now.secs() - 3600 * hours),
            ..FetchRecord::default()
        };
        assert_eq!([0, 3, 4].map(|hours| fetched(hours).is_stale(HOUR, now)), [false, false, true]);
        assert!(FetchRecord::default().is_stale(HOUR, now));
    }

    #[test]
    fn whatever_is_written_there_is_read_without_harm() {
        let directory = tempfile::tempdir().unwrap();
        let list = directory.path().join("drop.list");
        assert_eq!(FetchRecord::read(&list), FetchRecord::default());
        let record = FetchRecord { networks: 7, fetched: Some(5), ..FetchRecord::default() };
        record.write(&list).unwrap();
        assert_eq!(FetchRecord::read(&list), record);
        for hostile in
            ["", "{", "[]", "{\"tried\":\"x\"}", "{\"networks\":-1}", &"[".repeat(1 << 20)]
        {
            fs::write(beside(&list), hostile).unwrap();
            assert_eq!(FetchRecord::read(&list), FetchRecord::default(), "{hostile:.20}");
        }
        let far = format!(
            "{{\"tried\":{},\"fetched\":{},\"error\":\"\\u001b[2J{}\",\"etag\":\"a\\r\\nX: y\"}}",
            i64::MIN,
            i64::MAX,
            "x".repeat(5000)
        );
        fs::write(beside(&list), far).unwrap();
        let read = FetchRecord::read(&list);
        let now = Time::from_secs(1_000_000);
        assert_eq!(read.rest(0, HOUR, now), Duration::ZERO);
        assert_eq!((read.tried, read.fetched), (None, None));
        let error = read.error.unwrap();
        assert!(!error.contains('\u{1b}') && error.chars().count() <= LONGEST_WORDS, "{error}");
        assert_eq!(read.etag, None);
    }
}
