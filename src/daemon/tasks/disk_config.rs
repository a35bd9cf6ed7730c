//! Looks whether the configuration on disk could be used: the next start would go by it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::config::load::MAIN;
use crate::daemon::Daemon;
use crate::daemon::engine_thread::log_reader;
use crate::decide::plan_files::{PlanError, load_plan};

/// The time between two looks at the files' times.
const LOOK: Duration = Duration::from_secs(5);
/// Files that are looked at, at most.
const MOST: usize = 4096;

/// A file's name, length in bytes, and the time when it was last written.
type Stamp = (PathBuf, Option<(u64, SystemTime)>);

impl Daemon {
    /// Has the state say when the configuration on disk cannot be used, for as long as the guard runs. It is read when
    /// one of its files has changed.
    pub(crate) async fn watch_configuration(&self) {
        let main = self.options.config.clone();
        // The guard goes by what is there now.
        let (mut known, mut told) = (stamps(main.as_deref()), None);
        loop {
            tokio::time::sleep(LOOK).await;
            let main = main.clone();
            let look = move || {
                let stamps = stamps(main.as_deref());
                let problem = (stamps != known).then(|| problem(main.as_deref()));
                (stamps, problem)
            };
            // Fails only if it panics; then it begins again.
            let (stamps, problem) = tokio::task::spawn_blocking(look).await.unwrap_or_default();
            known = stamps;
            if let Some(problem) = problem.filter(|problem| *problem != told) {
                told.clone_from(&problem);
                if self.engine.ask(move |core| core.unusable = problem).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Returns why the configuration on disk cannot be used, if it cannot.
fn problem(main: Option<&Path>) -> Option<String> {
    let usable = load_plan(main)
        .and_then(|plan| log_reader::compile(&plan).map(|_| ()).map_err(PlanError::from));
    let why = usable.err()?.to_string();
    why.lines().next().map(str::to_owned)
}

/// Returns the files that a configuration may be of.
fn stamps(main: Option<&Path>) -> Vec<Stamp> {
    let main = main.unwrap_or(Path::new(MAIN));
    let beside = ["conf.d", "rules.d"].into_iter().flat_map(|name| {
        let entries = fs::read_dir(main.with_file_name(name)).into_iter().flatten().flatten();
        entries.map(|entry| entry.path())
    });
    let stamp = |path: PathBuf| {
        let metadata = fs::metadata(&path).ok();
        let written = metadata.and_then(|file| Some((file.len(), file.modified().ok()?)));
        (path, written)
    };
    let mut stamps: Vec<_> =
        std::iter::once(main.to_owned()).chain(beside).take(MOST).map(stamp).collect();
    stamps.sort();
    stamps
}
