//! Asterisk's configuration on disk: read, and read again when one of its files has changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::stamp::{Stamp, stamp};
use crate::asterisk::conf::Files;
use crate::asterisk::trunks::Trunks;

/// Files at most, and their bytes in all.
const MOST_FILES: usize = 256;
const MOST_BYTES: u64 = 16 << 20;

/// The trunks, and the files that they were found in.
#[derive(Debug, Default)]
pub struct TrunkFiles {
    directory: Option<PathBuf>,
    /// What was looked at: files, and the directories that they are in.
    seen: BTreeMap<PathBuf, Stamp>,
    found: Trunks,
}

impl TrunkFiles {
    /// Reads the configuration in `directory` if it has changed, and says whether; `None`: there is
    /// nothing to read.
    pub fn look(&mut self, directory: Option<&Path>) -> bool {
        let same = self.directory.as_deref() == directory
            && self.seen.iter().all(|(path, seen)| stamp(path) == *seen);
        if same {
            return false;
        }
        self.directory = directory.map(Path::to_owned);
        let Some(directory) = directory else {
            *self = Self::default();
            return true;
        };
        let mut disk = Disk {
            directory,
            seen: BTreeMap::new(),
            files: 0,
            left: MOST_BYTES,
            left_out: Vec::new(),
        };
        disk.see(directory);
        let mut found = Trunks::read(&mut disk);
        found.left_out.append(&mut disk.left_out);
        self.seen = disk.seen;
        for words in found.left_out.iter().filter(|words| !self.found.left_out.contains(words)) {
            warn!("{words}");
        }
        self.found = found;
        true
    }

    /// What was found.
    pub fn found(&self) -> &Trunks {
        &self.found
    }
}

/// Hands files out, and remembers what they were like.
struct Disk<'a> {
    directory: &'a Path,
    seen: BTreeMap<PathBuf, Stamp>,
    files: usize,
    left: u64,
    left_out: Vec<String>,
}

impl Disk<'_> {
    /// Remembers what is at `path` now: before it is read, so that a change meanwhile is seen.
    fn see(&mut self, path: &Path) {
        if self.seen.len() < 2 * MOST_FILES {
            self.seen.entry(path.to_owned()).or_insert_with(|| stamp(path));
        }
    }

    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        self.see(path);
        if self.files >= MOST_FILES || self.left == 0 {
            return self.refuse(path, "there is too much of it");
        }
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| {
            // A pipe would never end; a directory is not read.
            let regular = file.metadata()?.is_file();
            if regular { file.take(self.left).read_to_end(&mut bytes) } else { Ok(0) }
        });
        match read {
            Ok(read) => {
                self.files += 1;
                self.left -= read as u64;
                Some(bytes)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => self.refuse(path, &error.to_string()),
        }
    }

    fn refuse(&mut self, path: &Path, why: &str) -> Option<Vec<u8>> {
        if self.left_out.len() < 16 {
            let path = path.display();
            self.left_out.push(format!("{path} is not searched for trunks: {why}"));
        }
        None
    }
}

impl Files for Disk<'_> {
    fn open(&mut self, pattern: &str) -> Vec<(String, Vec<u8>)> {
        let whole = self.directory.join(pattern);
        if let Some(parent) = whole.parent() {
            self.see(parent);
        }
        let paths = match whole.to_str().map(glob::glob) {
            Some(Ok(paths)) if pattern.contains(['*', '?', '[']) => {
                paths.flatten().take(MOST_FILES + 1).collect()
            }
            _ => vec![whole],
        };
        let named = |path: PathBuf| {
            let bytes = self.read(&path)?;
            Some((path.display().to_string(), bytes))
        };
        paths.into_iter().filter_map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_read_again_when_they_change() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        let names = |files: &mut TrunkFiles| -> Vec<String> {
            files.look(Some(directory.path()));
            files.found().trunks.iter().map(|trunk| trunk.name.clone()).collect()
        };
        let trunk = |name: &str| format!("[{name}]\ntype=identify\nmatch=192.0.2.1\n");
        let mut files = TrunkFiles::default();
        assert_eq!(names(&mut files), [""; 0]);
        write("pjsip.conf", "#include pjsip_*.conf\n");
        assert_eq!(names(&mut files), [""; 0]);
        write("pjsip_a.conf", &trunk("a"));
        assert_eq!(names(&mut files), ["a"]);
        write("pjsip_b.conf", &trunk("b"));
        assert_eq!(names(&mut files), ["a", "b"]);
        write("pjsip_a.conf", &trunk("other"));
        assert_eq!(names(&mut files), ["b", "other"]);
        fs::remove_file(directory.path().join("pjsip_b.conf")).unwrap();
        assert_eq!(names(&mut files), ["other"]);
        files.look(None);
        assert!(files.found().trunks.is_empty());
    }

    #[test]
    fn what_is_too_much_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("sip.conf"), "#include d/*\n#include d\n").unwrap();
        fs::create_dir(directory.path().join("d")).unwrap();
        for n in 0..300 {
            let text = format!("[t{n}]\ntype=peer\nhost=192.0.2.1\n");
            fs::write(directory.path().join(format!("d/{n:03}")), text).unwrap();
        }
        let mut files = TrunkFiles::default();
        files.look(Some(directory.path()));
        assert_eq!(files.found().trunks.len(), MOST_FILES - 1);
        assert!(files.found().left_out[0].ends_with("trunks: there is too much of it"));
    }
}
