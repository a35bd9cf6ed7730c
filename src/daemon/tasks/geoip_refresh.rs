//! Reads the databases of `[geoip]` again when they are replaced.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::daemon::Daemon;

/// The time between two looks at the files' times. Makers of databases replace them once a week.
const LOOK: Duration = Duration::from_secs(10);

impl Daemon {
    /// Looks for as long as the guard runs, and at the files of a new configuration too.
    pub(crate) async fn watch_places(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let Ok(plan) = self.plan().await else { return };
            if self.read_places(plan.config.geoip.files.clone()).await {
                self.renew_geofence().await;
            }
        }
    }

    /// Reads those of the files that have changed. Returns whether any had.
    pub(crate) async fn read_places(&self, files: Vec<std::path::PathBuf>) -> bool {
        let places = Arc::clone(&self.places);
        let read = move || {
            let is_new = places.refresh(&files);
            if is_new {
                for problem in places.get().problems() {
                    warn!("[geoip] {problem}");
                }
            }
            is_new
        };
        // Fails only if it panics; then what was known stays.
        tokio::task::spawn_blocking(read).await.unwrap_or(false)
    }
}
