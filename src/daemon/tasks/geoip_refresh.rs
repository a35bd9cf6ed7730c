//! Reads the databases of `[geoip]` again when they are replaced.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::daemon::Daemon;
use crate::geo::SharedDatabases;

/// The time between two looks at the files' times. Makers of databases replace them once a week.
const LOOK: Duration = Duration::from_secs(10);

impl Daemon {
    /// Looks for as long as the guard runs, and at the files of a new configuration too.
    pub(crate) async fn watch_places(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let Ok(plan) = self.plan().await else { return };
            let (places, files) = (Arc::clone(&self.places), plan.config.geoip.files.clone());
            let read = tokio::task::spawn_blocking(move || refresh(&places, &files)).await;
            // Fails only if it panics; then what was known stays.
            if read.unwrap_or(false) {
                self.renew_geofence().await;
            }
        }
    }
}

/// Reads those of the files that have changed, and says what is wrong with them. Returns whether any had.
pub(super) fn refresh(places: &SharedDatabases, files: &[PathBuf]) -> bool {
    let is_new = places.refresh(files);
    if is_new {
        for problem in places.get().problems() {
            warn!("[geoip] {problem}");
        }
    }
    is_new
}
