//! Wakes up when a followed file may have changed.
//!
//! A wake-up is a hint. Some changes give none: a link that is pointed elsewhere, a directory that
//! was missing and appears, a line that is still written to a file that was replaced, an inotify
//! limit that is reached. So poll all followers and [`refresh`](Watcher::refresh) the watcher once
//! a second: that second is the bound, whatever happens.

use std::fs;
use std::future::{Future, poll_fn};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;
use std::thread;

use linemux::MuxedEvents;
use thiserror::Error;

/// The number of notifications that one wake-up accepts; more give another one.
const MAX_COALESCED: usize = 65_536;

/// Watching is impaired: changes are noticed by polling only.
#[derive(Debug, Error)]
pub enum WatchError {
    /// A path cannot be watched.
    #[error(
        "cannot watch {}: {error}; it is polled instead \
         (limits: fs.inotify.max_user_watches and max_user_instances)", path.display()
    )]
    Path {
        /// The path that cannot be watched.
        path: PathBuf,
        /// The error that the system gave.
        error: io::Error,
    },
    /// No path can be watched.
    #[error("cannot watch any file: {0}; files are polled instead")]
    All(io::Error),
}

/// Watches paths, existing or not.
///
/// Notifications that were not taken yet wait in memory, about 200 bytes for each write to a
/// watched file: have [`changed`](Self::changed) polled by a task that does not block for long.
#[derive(Debug)]
pub struct Watcher {
    events: Option<MuxedEvents>,
    paths: Vec<Watched>,
    /// Told at the next wake-up.
    trouble: Option<WatchError>,
    /// Whether the trouble that there is has been told.
    told: bool,
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    target: WatchTarget,
}

/// The watched part of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WatchTarget {
    /// Nothing: it could not be added.
    Nothing,
    /// Its directory, because it is missing.
    Directory,
    /// This file.
    File { dev: u64, ino: u64 },
}

impl WatchTarget {
    /// Returns what should be watched now.
    fn of(path: &Path) -> Self {
        fs::metadata(path)
            .map_or(Self::Directory, |meta| Self::File { dev: meta.dev(), ino: meta.ino() })
    }
}

impl Watcher {
    /// A watcher without paths. Never fails: if the system refuses, the first call of
    /// [`changed`](Self::changed) says so, and it is tried again at each refresh.
    #[must_use]
    pub fn new() -> Self {
        let mut watcher = Self { events: None, paths: Vec::new(), trouble: None, told: false };
        watcher.renew();
        watcher
    }

    /// Watches one more path. If that is impossible now, it is tried again at each refresh.
    pub async fn watch(&mut self, path: impl Into<PathBuf>) {
        self.add(path.into());
        self.add_missing().await;
    }

    /// Watches exactly these paths from now on.
    pub async fn set(&mut self, paths: &[PathBuf]) {
        let before = self.paths.len();
        self.paths.retain(|watched| paths.contains(&watched.path));
        if self.paths.len() < before {
            // The only way to watch a path no longer.
            self.renew();
        }
        for path in paths {
            self.add(path.clone());
        }
        self.add_missing().await;
    }

    fn add(&mut self, path: PathBuf) {
        if self.paths.iter().all(|watched| watched.path != path) {
            self.paths.push(Watched { path, target: WatchTarget::Nothing });
        }
    }

    /// Makes sure that the files that the paths name now are the ones being watched. To be called
    /// once a second.
    pub async fn refresh(&mut self) {
        // A path that was added once cannot be added again: all are added to a new instance.
        if self.events.is_none() || self.is_outdated() {
            self.renew();
        }
        self.add_missing().await;
    }

    /// Returns when something may have changed since it last returned: poll all followers. May be
    /// cancelled at any time, nothing is lost by it.
    ///
    /// # Errors
    /// Returns an error if watching is impaired; said once, until all is well again. Wake-ups go on
    /// as far as they can, and a refresh tries to mend it.
    pub async fn changed(&mut self) -> Result<(), WatchError> {
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        let Some(events) = &mut self.events else { return std::future::pending().await };
        // Unconstrained: tokio would let it see no more than 128 notifications at a time.
        if let Err(error) = tokio::task::unconstrained(next(events)).await {
            self.events = None;
            self.report(WatchError::All(error));
        }
        // Some changes escape linemux: it saw a file being deleted, but not that there is another
        // one already. Nothing waits from here on, so this cannot be cancelled half-way.
        if self.is_outdated() {
            self.refresh().await;
        }
        self.trouble.take().map_or(Ok(()), Err)
    }

    /// Whether another file is watched than the one that a path names now.
    fn is_outdated(&self) -> bool {
        let mut watched =
            self.paths.iter().filter(|watched| watched.target != WatchTarget::Nothing);
        watched.any(|watched| watched.target != WatchTarget::of(&watched.path))
    }

    /// Starts over with an instance that watches nothing yet.
    fn renew(&mut self) {
        for watched in &mut self.paths {
            watched.target = WatchTarget::Nothing;
        }
        // An instance whose thread cannot be started would panic when a path is added.
        let threads = thread::Builder::new().spawn(|| ()).map(|thread| drop(thread.join()));
        match threads.and_then(|()| MuxedEvents::new()) {
            Ok(events) => self.events = Some(events),
            Err(error) => {
                self.events = None;
                self.report(WatchError::All(error));
            }
        }
    }

    /// Adds the paths that are not watched yet.
    async fn add_missing(&mut self) {
        let Some(events) = &mut self.events else { return };
        let mut refused = None;
        let unwatched = |watched: &&mut Watched| watched.target == WatchTarget::Nothing;
        for watched in self.paths.iter_mut().filter(unwatched) {
            // Looked up before it is added: if the path changes in between, a refresh sees it.
            let target = WatchTarget::of(&watched.path);
            match events.add_file(&watched.path).await {
                Ok(_) => watched.target = target,
                Err(error) if is_its_own_trouble(&error) => {}
                Err(error) => refused = Some((watched.path.clone(), error)),
            }
        }
        match refused {
            Some((path, error)) => self.report(WatchError::Path { path, error }),
            None => self.told = false,
        }
    }

    fn report(&mut self, trouble: WatchError) {
        if !self.told {
            self.told = true;
            self.trouble = Some(trouble);
        }
    }
}

impl Default for Watcher {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits for a notification, and takes up those that came with it.
async fn next(events: &mut MuxedEvents) -> io::Result<()> {
    poll_fn(|cx| {
        let mut woken = false;
        for _ in 0..MAX_COALESCED {
            match pin!(events.next_event()).poll(cx) {
                Poll::Ready(Ok(Some(_))) => woken = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                // There is none now; or, without the `Pending`, there is no path.
                Poll::Ready(Ok(None)) | Poll::Pending if woken => break,
                Poll::Ready(Ok(None)) | Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Whether the path itself is why it cannot be watched (it is a directory, its directory is
/// missing, it may not be read): its follower says so already.
fn is_its_own_trouble(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), InvalidInput | NotADirectory | NotFound | PermissionDenied)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use tokio::time::{error::Elapsed, timeout};

    use super::*;

    /// Far more than a wake-up takes, and far less than the second between two refreshes.
    const SOON: Duration = Duration::from_millis(300);

    fn append(path: &Path) {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(b"line\n").unwrap();
    }

    /// Accepts all notifications that are under way.
    async fn settle(watcher: &mut Watcher) {
        while timeout(Duration::from_millis(50), watcher.changed()).await.is_ok() {}
    }

    async fn wakes_up(watcher: &mut Watcher) -> Result<(), Elapsed> {
        timeout(SOON, watcher.changed()).await.map(|changed| changed.unwrap())
    }

    async fn watching(path: &Path) -> Watcher {
        let mut watcher = Watcher::new();
        watcher.watch(path).await;
        settle(&mut watcher).await;
        watcher
    }

    #[tokio::test]
    async fn a_write_wakes_and_silence_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path);
        let mut watcher = watching(&path).await;
        assert!(timeout(SOON, watcher.changed()).await.is_err());
        append(&path);
        wakes_up(&mut watcher).await.unwrap();
    }

    #[tokio::test]
    async fn many_writes_are_one_wake_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path);
        let mut watcher = watching(&path).await;
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        for _ in 0..5000 {
            file.write_all(b"line\n").unwrap();
        }
        let mut wake_ups = 0;
        while timeout(Duration::from_millis(100), watcher.changed()).await.is_ok() {
            wake_ups += 1;
        }
        assert!((1..500).contains(&wake_ups), "{wake_ups} wake-ups for 5000 writes");
    }

    #[tokio::test]
    async fn the_file_after_a_rename_wakes_at_its_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path);
        let mut watcher = watching(&path).await;
        for rotation in 0..12 {
            fs::rename(&path, dir.path().join(format!("log.{rotation}"))).unwrap();
            File::create(&path).unwrap();
            // As a follower does: one wake-up for the change, one for each line from then on.
            settle(&mut watcher).await;
            append(&path);
            wakes_up(&mut watcher).await.expect("the first line of the new file wakes");
            match rotation % 3 {
                0 => watcher.refresh().await,
                1 => fs::remove_file(dir.path().join(format!("log.{rotation}"))).unwrap(),
                _ => {}
            }
            settle(&mut watcher).await;
            append(&path);
            wakes_up(&mut watcher).await.expect("its second line wakes, refreshed or not");
            settle(&mut watcher).await;
        }
    }

    #[tokio::test]
    async fn a_missing_file_wakes_when_it_appears() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut watcher = watching(&path).await;
        append(&path);
        wakes_up(&mut watcher).await.unwrap();
        settle(&mut watcher).await;
        append(&path);
        wakes_up(&mut watcher).await.unwrap();
    }

    /// Does `change`, which the watcher may miss, and checks that after one refresh a line wakes.
    async fn heals(path: &Path, change: impl FnOnce()) {
        let mut watcher = watching(path).await;
        change();
        settle(&mut watcher).await;
        watcher.refresh().await;
        settle(&mut watcher).await;
        append(path);
        wakes_up(&mut watcher).await.expect("a line after the refresh wakes");
        settle(&mut watcher).await;
        assert!(watcher.trouble.is_none());
    }

    #[tokio::test]
    async fn a_refresh_finds_every_other_change() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);

        // Deleted and created while the writer holds the old file open.
        append(&at("deleted"));
        let held = File::open(at("deleted")).unwrap();
        heals(&at("deleted"), || {
            fs::remove_file(at("deleted")).unwrap();
            append(&at("deleted"));
        })
        .await;
        drop(held);

        append(&at("over"));
        let held = File::open(at("over")).unwrap();
        heals(&at("over"), || {
            append(&at("new"));
            fs::rename(at("new"), at("over")).unwrap();
        })
        .await;
        drop(held);

        fs::create_dir(at("elsewhere")).unwrap();
        append(&at("elsewhere/a"));
        append(&at("elsewhere/b"));
        symlink(at("elsewhere/a"), at("link")).unwrap();
        heals(&at("link"), || {
            symlink(at("elsewhere/b"), at("link2")).unwrap();
            fs::rename(at("link2"), at("link")).unwrap();
        })
        .await;

        heals(&at("missing/log"), || {
            fs::create_dir(at("missing")).unwrap();
            append(&at("missing/log"));
        })
        .await;

        fs::create_dir(at("vanishing")).unwrap();
        append(&at("vanishing/log"));
        heals(&at("vanishing/log"), || {
            fs::remove_dir_all(at("vanishing")).unwrap();
            fs::create_dir(at("vanishing")).unwrap();
            append(&at("vanishing/log"));
        })
        .await;

        fs::create_dir(at("directory")).unwrap();
        heals(&at("directory"), || {
            fs::remove_dir(at("directory")).unwrap();
            append(&at("directory"));
        })
        .await;
    }

    #[tokio::test]
    async fn paths_can_be_exchanged() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| dir.path().join(name));
        for path in [&a, &b, &c] {
            append(path);
        }
        let mut watcher = watching(&a).await;
        watcher.watch(&b).await;
        watcher.set(&[b.clone(), c.clone()]).await;
        settle(&mut watcher).await;
        append(&a);
        assert!(wakes_up(&mut watcher).await.is_err(), "a is watched no longer");
        for path in [&b, &c] {
            append(path);
            wakes_up(&mut watcher).await.unwrap();
            settle(&mut watcher).await;
        }
    }

    /// Runs in a user namespace of its own, where inotify limits can be set without harm.
    #[test]
    fn limits_are_told_once_and_end_nothing() {
        const NAME: &str = "source::watch::tests::limits_are_told_once_and_end_nothing";
        const INSIDE: &str = "ASTERGUARD_TEST_IN_NAMESPACE";
        if std::env::var_os(INSIDE).is_some() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            return runtime.unwrap().block_on(limits());
        }
        let own = std::env::current_exe().unwrap();
        let unshare = |program: &Path| {
            let mut command = std::process::Command::new("unshare");
            command.args(["--user", "--map-root-user"]).arg(program);
            command
        };
        if !unshare(Path::new("true")).status().is_ok_and(|status| status.success()) {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "no user namespaces");
            eprintln!("skipped: no user namespaces here (unshare --user)");
            return;
        }
        let inside = unshare(&own).args(["--exact", NAME]).env(INSIDE, "1").output().unwrap();
        assert!(inside.status.success(), "{}", String::from_utf8_lossy(&inside.stdout));
    }

    async fn limits() {
        let limit = |name: &str, value: &str| {
            fs::write(format!("/proc/sys/user/max_inotify_{name}"), value).unwrap();
        };
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
        append(&a);
        append(&b);

        limit("watches", "1");
        let mut watcher = watching(&a).await;
        watcher.watch(&b).await;
        let told = watcher.changed().await.unwrap_err();
        assert!(matches!(&told, WatchError::Path { path, .. } if *path == b), "{told}");
        for _ in 0..3 {
            watcher.refresh().await;
            assert!(wakes_up(&mut watcher).await.is_err(), "told again");
        }
        append(&a);
        wakes_up(&mut watcher).await.expect("the first path is watched all the same");
        limit("watches", "100");
        watcher.refresh().await;
        settle(&mut watcher).await;
        append(&b);
        wakes_up(&mut watcher).await.expect("the second path is watched once that is possible");

        drop(watcher);
        limit("instances", "0");
        let mut watcher = Watcher::new();
        watcher.watch(&a).await;
        assert!(matches!(watcher.changed().await, Err(WatchError::All(_))));
        watcher.refresh().await;
        assert!(wakes_up(&mut watcher).await.is_err(), "told again");
        limit("instances", "100");
        watcher.refresh().await;
        append(&a);
        wakes_up(&mut watcher).await.unwrap();
    }

    #[tokio::test]
    async fn without_paths_there_is_nothing_to_wake_for() {
        assert!(timeout(SOON, Watcher::new().changed()).await.is_err());
    }
}
