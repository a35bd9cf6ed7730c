//! What is known of all fetched lists, for those in the guard who may not read files.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::record::FetchRecord;
use crate::config::ListFile;
use crate::sys::mutex::lock;

/// The records of fetched lists by their names, as they were last read.
pub type Records = BTreeMap<String, FetchRecord>;

/// Records that are replaced while others look at them.
#[derive(Debug, Default)]
pub struct SharedRecords(Mutex<Arc<Records>>);

impl SharedRecords {
    /// Returns them as they are now.
    #[must_use]
    pub fn get(&self) -> Arc<Records> {
        Arc::clone(&lock(&self.0))
    }

    /// Reads them again.
    pub fn refresh(&self, feeds: &[ListFile]) {
        let fetched = feeds.iter().filter(|feed| feed.fetch.is_some());
        let records = fetched.map(|feed| (feed.name.clone(), FetchRecord::read(&feed.path)));
        let records = Arc::new(records.collect());
        *lock(&self.0) = records;
    }
}
