//! Where a host is: its country and network, from the MMDB files that the administrator has.
//!
//! The files are read whole, so that one that is replaced meanwhile is never seen half. Nothing is downloaded.

mod geofence;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use maxminddb::{LookupResult, PathElement, Reader};

pub use crate::model::place::{Country, Place};
use crate::sys::file_stamp::{FileStamp, stamp};
use crate::sys::mutex::lock;
use crate::sys::text_file::read_bytes;

/// Bytes that a file may have. The largest that is in use, with all cities, has a quarter of it.
const LARGEST: u64 = 256 << 20;

/// Characters that the name of an organisation may have; more are cut off.
const LONGEST_NAME: usize = 100;

/// Where the code of a country stands: with the fields of `MaxMind` (`DB-IP` has them, too), of `ip-location-db` and newer
/// files of `IPinfo`, and of older ones of `IPinfo`.
const COUNTRY: [&[&str]; 4] = [
    &["country", "iso_code"],
    &["registered_country", "iso_code"],
    &["country_code"],
    &["country"],
];
/// Where the number of a network stands: `MaxMind`, `IPinfo` (as `AS64496`).
const ASN: [&str; 2] = ["autonomous_system_number", "asn"];
/// Where its name stands: `MaxMind`, `IPinfo`.
const ORGANISATION: [&str; 3] = ["autonomous_system_organization", "as_name", "name"];

/// The databases that are in use.
#[derive(Debug, Default)]
pub struct Databases {
    files: Vec<Database>,
}

/// A file, as it was when it was read last.
#[derive(Clone, Debug)]
struct Database {
    path: PathBuf,
    stamp: FileStamp,
    /// `None`: it could never be read.
    reader: Option<Arc<Reader<Vec<u8>>>>,
    problem: Option<String>,
}

impl Databases {
    /// Reads the files. What is wrong with one of them is in [`Databases::problems`].
    #[must_use]
    pub fn open(paths: &[PathBuf]) -> Self {
        Self::default().again(paths)
    }

    /// Reads the files again that have changed; what cannot be read stays as it was.
    #[must_use]
    pub fn again(&self, paths: &[PathBuf]) -> Self {
        let before = |path: &PathBuf| self.files.iter().find(|known| known.path == *path);
        Self { files: paths.iter().map(|path| Database::read(path, before(path))).collect() }
    }

    /// Whether these are the files, and they are on disk as they were read.
    #[must_use]
    pub fn are_current(&self, paths: &[PathBuf]) -> bool {
        self.files.iter().map(|file| &file.path).eq(paths)
            && self.files.iter().all(|file| stamp(&file.path) == file.stamp)
    }

    /// Returns what is known of a host: of each field, what the first file that has it says.
    #[must_use]
    pub fn place(&self, host: IpAddr) -> Place {
        let mut place = Place::default();
        for found in self.found(host) {
            place.country = place.country.or_else(|| country(&found));
            place.asn = place.asn.or_else(|| asn(&found));
            place.organisation = place.organisation.take().or_else(|| organisation(&found));
        }
        place
    }

    /// Returns the country of a host alone.
    #[must_use]
    pub fn country(&self, host: IpAddr) -> Option<Country> {
        self.found(host).find_map(|found| country(&found))
    }

    /// Returns what each file has of a host.
    fn found(&self, host: IpAddr) -> impl Iterator<Item = Found<'_>> {
        let readers = self.files.iter().filter_map(|file| file.reader.as_deref());
        readers.filter_map(move |reader| reader.lookup(host.to_canonical()).ok())
    }

    /// Returns what is wrong with the files, in words.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter_map(|file| file.problem.as_deref())
    }

    /// Whether no file could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.iter().all(|file| file.reader.is_none())
    }
}

impl Database {
    fn read(path: &Path, before: Option<&Self>) -> Self {
        // Before the file: what is written meanwhile is read again.
        let stamp = stamp(path);
        if let Some(before) = before.filter(|before| before.stamp == stamp) {
            return before.clone();
        }
        let bytes = read_bytes(path, LARGEST).map_err(|error| error.to_string());
        let read = bytes.and_then(|bytes| Reader::from_source(bytes).map_err(|e| e.to_string()));
        let path = path.to_owned();
        match read {
            Ok(reader) => Self { path, stamp, reader: Some(Arc::new(reader)), problem: None },
            Err(error) => {
                let reader = before.and_then(|before| before.reader.clone());
                let kept = if reader.is_some() { "; what it said before is used" } else { "" };
                let problem = Some(format!("cannot use {}: {error}{kept}", path.display()));
                Self { path, stamp, reader, problem }
            }
        }
    }
}

/// Databases that are replaced while others look hosts up.
#[derive(Debug, Default)]
pub struct SharedDatabases(Mutex<Arc<Databases>>);

impl SharedDatabases {
    /// Returns those in use now.
    #[must_use]
    pub fn get(&self) -> Arc<Databases> {
        Arc::clone(&lock(&self.0))
    }

    /// Reads the files that have changed. Returns whether any had.
    pub fn refresh(&self, paths: &[PathBuf]) -> bool {
        let before = self.get();
        let is_new = !before.are_current(paths);
        if is_new {
            let read = Arc::new(before.again(paths));
            *lock(&self.0) = read;
        }
        is_new
    }
}

type Found<'r> = LookupResult<'r, Vec<u8>>;

/// Returns the text at the end of these keys, if there is one.
fn text<'r>(found: &Found<'r>, keys: &[&str]) -> Option<&'r str> {
    let path: Vec<_> = keys.iter().map(|key| PathElement::Key(key)).collect();
    found.decode_path(&path).ok().flatten()
}

fn country(found: &Found) -> Option<Country> {
    COUNTRY.iter().find_map(|keys| Country::of(text(found, keys)?.as_bytes()))
}

fn asn(found: &Found) -> Option<u32> {
    ASN.iter().find_map(|key| {
        let number = found.decode_path(&[PathElement::Key(key)]).ok().flatten();
        number.or_else(|| text(found, &[key])?.strip_prefix("AS")?.parse().ok())
    })
}

fn organisation(found: &Found) -> Option<String> {
    let name = ORGANISATION.iter().find_map(|key| text(found, &[key]))?;
    let name: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests;
