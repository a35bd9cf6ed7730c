//! A notifier at work: its queue in memory and in a file, and the thread that sends.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::protocol::NotifyStatus;
use super::queue::{MOST_FILE, Next, Queue};
use super::send::send;
use crate::config::Notifier;
use crate::model::guard_event::GuardEvent;
use crate::sys::clock::now;
use crate::sys::mutex::lock;
use crate::sys::replace::replace;
use crate::sys::text_file::read_bytes;

/// The mode of a queue's file: it holds log lines.
const MODE: u32 = 0o600;
/// The longest time that the thread sleeps: a clock may be set in between.
const NAP: Duration = Duration::from_secs(30);

/// A notifier, its queue, and what wakes its thread.
pub struct Desk {
    notifier: Notifier,
    file: PathBuf,
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Whether the file lacks what was added.
    unsaved: AtomicBool,
    /// Called when the state has changed.
    news: Arc<dyn Fn() + Send + Sync>,
}

impl Desk {
    /// Takes up what is in the file of this notifier. A damaged file is put aside; what was wrong is returned as words.
    #[must_use]
    pub fn open(
        notifier: Notifier,
        state: &Path,
        news: Arc<dyn Fn() + Send + Sync>,
    ) -> (Arc<Self>, Option<String>) {
        let file = file(state, &notifier.name);
        let (queue, wrong) = match read_bytes(&file, MOST_FILE as u64) {
            Ok(bytes) => match Queue::read(&bytes) {
                Ok(queue) => (queue, None),
                Err(damaged) => (Queue::default(), Some(put_aside(&file, &damaged))),
            },
            Err(_) if !file.exists() => (Queue::default(), None),
            Err(error) => (Queue::default(), Some(put_aside(&file, &error))),
        };
        let queue = Mutex::new(queue);
        (
            Arc::new(Self {
                notifier,
                file,
                queue,
                changed: Condvar::new(),
                unsaved: AtomicBool::new(false),
                news,
            }),
            wrong,
        )
    }

    /// Starts the thread that sends.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(self: &Arc<Self>, machine: &str) -> io::Result<()> {
        let (desk, machine) = (Arc::clone(self), machine.to_owned());
        let name = format!("to-{}", self.notifier.name);
        thread::Builder::new().name(name).spawn(move || desk.run(&machine))?;
        Ok(())
    }

    /// Adds an event, if this notifier tells such events; returns whether it does.
    pub fn add(&self, event: &GuardEvent) -> bool {
        let is_told = lock(&self.queue).add(&self.notifier, event, now());
        if is_told {
            self.unsaved.store(true, Ordering::Relaxed);
        }
        is_told
    }

    /// Writes the queue into its file if something was added, and wakes the thread.
    ///
    /// # Errors
    /// When the file cannot be written; what waits is told all the same.
    pub fn save(&self) -> io::Result<()> {
        if !self.unsaved.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let queue = lock(&self.queue);
        let saved = self.write(&queue);
        drop(queue);
        self.changed.notify_all();
        saved
    }

    /// With the queue locked, so that a later state is never replaced by an earlier one.
    fn write(&self, queue: &Queue) -> io::Result<()> {
        replace(&self.file, &queue.write(), MODE, |_| Ok(()))
    }

    /// Returns the state for people.
    #[must_use]
    pub fn status(&self) -> NotifyStatus {
        lock(&self.queue).status(&self.notifier)
    }

    fn run(&self, machine: &str) {
        let zone = TimeZone::system();
        loop {
            let batch = {
                let mut queue = lock(&self.queue);
                match queue.next(&self.notifier, now(), &zone) {
                    Next::Send(batch) => batch,
                    Next::Wait(until) => {
                        let nap = until.map_or(NAP, |until| until.since(now()).min(NAP));
                        let nap = nap.max(Duration::from_millis(10));
                        let waited = self.changed.wait_timeout(queue, nap);
                        drop(waited.unwrap_or_else(PoisonError::into_inner));
                        continue;
                    }
                }
            };
            // Without the lock: a slow receiver keeps nobody waiting.
            let sent = send(&self.notifier, &batch, machine);
            let mut queue = lock(&self.queue);
            match sent {
                Ok(_) => queue.done(now()),
                Err(failure) => {
                    // The first failure in a row is logged; the status has the others.
                    if queue.status(&self.notifier).failing_since.is_none() {
                        eprintln!("<4>{}: {}", self.notifier.name, failure.trouble);
                    }
                    queue.failed(&failure, now(), RandomState::new().hash_one(0));
                }
            }
            if let Err(error) = self.write(&queue) {
                eprintln!("<4>{}: {error}", self.file.display());
            }
            drop(queue);
            (self.news)();
        }
    }
}

/// Returns the file of a notifier's queue.
#[must_use]
pub fn file(state: &Path, name: &str) -> PathBuf {
    state.join(format!("{name}.queue"))
}

/// Renames a file that cannot be used, and returns what was done about it.
fn put_aside(file: &Path, why: &dyn std::fmt::Display) -> String {
    let aside = file.with_extension("damaged");
    let done = match fs::rename(file, &aside) {
        Ok(()) => format!("it is now {}", aside.display()),
        Err(error) => format!("and cannot be renamed: {error}"),
    };
    format!("the queue in {} cannot be used ({why}), {done}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::tests::{ban, notifier};

    #[test]
    fn a_queue_outlives_the_process_and_damage_does_not_stop_it() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Desk::open(notifier(""), directory.path(), Arc::new(|| {}));
        let (desk, wrong) = open();
        assert_eq!(wrong, None);
        assert!(desk.add(&ban("192.0.2.7")));
        desk.save().unwrap();
        assert_eq!(open().0.status().queued, 1);
        let path = file(directory.path(), "test");
        fs::write(&path, b"{\"version\":1").unwrap();
        let (desk, wrong) = open();
        assert_eq!(desk.status().queued, 0);
        assert!(wrong.unwrap().contains("test.damaged"));
        assert!(!path.exists() && path.with_extension("damaged").exists());
    }
}
