//! Fetches the lists that others make, for the command `asterguard fetch`.
//!
//! A list takes the place of the last one only when it came whole and makes sense. What the servers send is read with
//! bounds of its own, written down as nothing but networks, and read again by the guard.

mod draft;
mod json;
mod pages;
mod record;
mod shared;
mod transfer;

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufReader};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use crate::config::{Content, Fetch, ListFile};
use crate::model::time::Time;
use crate::model::trouble::Trouble;
use crate::sys::replace::replace;
use crate::sys::text_file::read_bytes;
use draft::{Draft, Finished, Refusal};
pub use record::FetchRecord;
pub use shared::{Records, SharedRecords};
use transfer::{Answer, Asker, LARGEST, Validators, refused};

/// The user that fetches.
pub const USER: &str = "asterguard-fetch";

/// What to do so that lists are fetched.
pub const ENABLE: &str = "systemctl enable --now asterguard-fetch.timer";

/// How lists are to be fetched.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Also what is not due yet or unchanged, and a list that has lost nearly everything.
    pub force: bool,
    /// The time for each list.
    pub patience: Duration,
}

/// What became of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FetchResult {
    /// It is another one than before.
    Fetched,
    /// It is the one that was there.
    Unchanged,
    /// It was not asked for, because that is not due.
    NotDue,
    /// The last one stays.
    Failed,
}

/// What became of a list, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Its name.
    pub feed: String,
    /// The result.
    pub result: FetchResult,
    /// The networks in the list that is in place.
    pub networks: usize,
    /// The entries that are not in it.
    pub skipped: usize,
    /// What went wrong.
    pub error: Option<String>,
    /// What to do about it.
    pub todo: Option<String>,
    /// Seconds until it is due, if it was not.
    pub due_in: Option<u64>,
}

/// Fetches a list if it is due. `step` is told of each page.
pub fn fetch(
    list: &ListFile,
    fetch: &Fetch,
    terms: Terms,
    now: Time,
    step: &dyn Fn(usize),
) -> Outcome {
    let outcome = |record: FetchRecord, result: FetchResult| Outcome {
        feed: list.name.clone(),
        result,
        networks: record.networks,
        skipped: record.skipped,
        error: record.error,
        todo: record.todo,
        due_in: None,
    };
    let locked = lock(&list.path);
    let mut record = FetchRecord::read(&list.path);
    let source = source(fetch);
    let rest = record.rest(source, fetch.every, now);
    if !rest.is_zero() && !terms.force {
        return Outcome {
            due_in: Some(rest.as_secs().max(1)),
            ..outcome(record, FetchResult::NotDue)
        };
    }
    record.tried = Some(now.secs());
    let tried = locked.and_then(|_lock| {
        let result = renew(list, fetch, terms, &mut record, source, step)?;
        record.fetched = Some(now.secs());
        record.source = source;
        (record.error, record.todo) = (None, None);
        Ok(result)
    });
    let mut result = tried.unwrap_or_else(|Trouble { seen, todo }| {
        record.failed(&seen, &todo);
        FetchResult::Failed
    });
    if let Err(error) = record.write(&list.path) {
        let Trouble { seen, todo } = unwritten(&list.path, &error);
        record.failed(&seen, &todo);
        result = FetchResult::Failed;
    }
    outcome(record, result)
}

/// Waits until nobody else fetches into the same directory.
fn lock(list: &Path) -> Result<File, Trouble> {
    let directory = list.parent().unwrap_or(Path::new("/"));
    let opened = File::open(directory).and_then(|file| {
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    });
    opened.map_err(|error| unwritten(list, &error))
}

/// Fetches a list, and puts it in its place if it is another one.
fn renew(
    list: &ListFile,
    fetch: &Fetch,
    terms: Terms,
    record: &mut FetchRecord,
    source: u64,
    step: &dyn Fn(usize),
) -> Result<FetchResult, Trouble> {
    // Another list may be as small as it likes; and of one that is gone or was changed, nothing is known.
    let is_same = record.source == source && size(&list.path) == Some(record.bytes);
    let known = match &fetch.content {
        Content::Apiban => Validators::default(),
        _ if !is_same || terms.force => Validators::default(),
        _ => Validators { etag: record.etag.clone(), modified: record.modified.clone() },
    };
    let before = (is_same && !terms.force).then_some(record.networks);
    let Some((finished, validators)) = received(fetch, terms, &known, before, step)? else {
        return Ok(FetchResult::Unchanged);
    };
    let text = finished.text();
    let is_there = read_bytes(&list.path, LARGEST).is_ok_and(|there| there == text.as_bytes());
    if !is_there {
        replace(&list.path, text.as_bytes(), record::MODE, |_| Ok(()))
            .map_err(|error| unwritten(&list.path, &error))?;
    }
    record.bytes = text.len() as u64;
    (record.networks, record.skipped) = (finished.networks.len(), finished.skipped);
    (record.etag, record.modified) = (validators.etag, validators.modified);
    Ok(if is_there { FetchResult::Unchanged } else { FetchResult::Fetched })
}

/// Asks for a list, and judges it; `None` if it is the one that is there.
fn received(
    fetch: &Fetch,
    terms: Terms,
    known: &Validators,
    before: Option<usize>,
    step: &dyn Fn(usize),
) -> Result<Option<(Finished, Validators)>, Trouble> {
    let mut asker = Asker::new(fetch, terms.patience)?;
    let mut draft = Draft::default();
    let url = asker.url()?;
    let steps = match &fetch.content {
        Content::Apiban => {
            pages::read(&mut asker, &mut draft, step)?;
            let finished = draft.finish(before).map_err(|why| not_taken(&why))?;
            return Ok(Some((finished, Validators::default())));
        }
        Content::Plain => None,
        Content::Json(steps) => Some(steps),
    };
    let (validators, body) = match asker.ask(url.clone(), known)? {
        Answer::Unchanged => return Ok(None),
        Answer::Content(200, validators, body) => (validators, BufReader::new(body)),
        Answer::Content(status, ..) => return Err(refused(&url, status)),
    };
    let read = match steps {
        None => draft.add_lines(body),
        Some(steps) => json::read(body, steps, &mut draft).map_err(io_error),
    };
    if let Err(error) = read {
        return Err(draft.refusal().map_or_else(|| asker.unread(&url, &error), not_taken));
    }
    let finished = draft.finish(before).map_err(|why| not_taken(&why))?;
    Ok(Some((finished, validators)))
}

/// Returns the error of reading that is behind one of JSON, or one that says so.
fn io_error(error: serde_json::Error) -> io::Error {
    if error.is_io() {
        return error.into();
    }
    // Its words may quote the answer.
    let why = match error.classify() {
        serde_json::error::Category::Eof => "the JSON is not whole",
        _ => "it is no JSON",
    };
    io::Error::new(io::ErrorKind::InvalidData, format!("{why} (line {})", error.line()))
}

/// Returns the words for a list that is not taken.
fn not_taken(why: &Refusal) -> Trouble {
    let todo = match why {
        Refusal::Shrunk { .. } => "if that is right: asterguard fetch --force NAME",
        Refusal::NoText => "correct jsonpath of this feed",
        _ => "see url and format of this feed; it is tried again",
    };
    Trouble::new(format!("the new list is not taken: {why}"), todo)
}

fn unwritten(list: &Path, error: &io::Error) -> Trouble {
    let directory = list.parent().unwrap_or(Path::new("/")).display();
    Trouble::new(
        format!("cannot write {}: {error}", list.display()),
        format!("let this user write to {directory}; in the service, leave path out"),
    )
}

fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|data| data.len())
}

/// Returns what a list is fetched by, as a number: what is known of another source counts for nothing.
fn source(fetch: &Fetch) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&fetch.url, format!("{:?}", fetch.content)).hash(&mut hasher);
    hasher.finish()
}
