//! Asterisk's configuration on disk: read, and read again when one of its files has changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::conf_files::ConfFiles;
use crate::hosts::asterisk::trunks::Trunks;
use crate::model::trouble::Trouble;
use crate::sys::file_stamp::{FileStamp, are_current};

/// The trunks, and the files that they were found in.
#[derive(Debug, Default)]
pub struct TrunkFiles {
    directory: Option<PathBuf>,
    /// The places that were looked at: files, and the directories that they are in.
    seen: BTreeMap<PathBuf, FileStamp>,
    found: Trunks,
    /// Files that could not be read, each with the reason.
    unread: Vec<String>,
}

impl TrunkFiles {
    /// Reads the configuration in `directory` if it has changed, and says whether; `None`: there is
    /// nothing to read.
    pub fn look(&mut self, directory: Option<&Path>) -> bool {
        if self.directory.as_deref() == directory && are_current(&self.seen) {
            return false;
        }
        self.directory = directory.map(Path::to_owned);
        let Some(directory) = directory else {
            *self = Self::default();
            return true;
        };
        let mut disk = ConfFiles::new(directory);
        let mut found = Trunks::find(&mut disk);
        (self.seen, self.unread) = disk.finish();
        found.left_out.extend_from_slice(&self.unread);
        for words in found.left_out.iter().filter(|words| !self.found.left_out.contains(words)) {
            warn!("{words}");
        }
        self.found = found;
        true
    }

    /// Returns what follows from files that could not be read.
    pub fn problem(&self) -> Option<Trouble> {
        let (first, others) = self.unread.split_first()?;
        let others = match others.len() {
            0 => String::new(),
            1 => " (nor another file)".to_owned(),
            more => format!(" (nor {more} others)"),
        };
        Some(Trouble::new(
            format!("trunks can be banned, for {first}{others}"),
            "let the guard's user read it (in a directory that it did not need before, from a reload or restart on), or write them into `ignoreip`",
        ))
    }

    /// Returns what was found.
    pub fn found(&self) -> &Trunks {
        &self.found
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::conf_files::MOST_FILES;
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
    fn trunks_that_cannot_be_read_are_a_problem_until_they_can() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = TrunkFiles::default();
        files.look(Some(directory.path()));
        assert_eq!(files.problem(), None, "what is not there has no trunks");
        // A link to itself cannot be opened, not even by root.
        for name in ["pjsip.conf", "sip.conf"] {
            std::os::unix::fs::symlink(name, directory.path().join(name)).unwrap();
        }
        files.look(Some(directory.path()));
        let problem = files.problem().unwrap();
        assert!(problem.seen.contains("/pjsip.conf was not read: "), "{problem}");
        assert!(problem.seen.contains("(nor another file)"), "{problem}");
        for name in ["pjsip.conf", "sip.conf"] {
            fs::remove_file(directory.path().join(name)).unwrap();
        }
        files.look(Some(directory.path()));
        assert_eq!(files.problem(), None);
    }

    #[test]
    fn directories_are_those_of_what_is_included_wherever_it_is() {
        let home = tempfile::tempdir().unwrap();
        let base = home.path().canonicalize().unwrap();
        for name in ["etc", "absolute", "relative", "linked", "nested", "other"] {
            fs::create_dir(base.join(name)).unwrap();
        }
        let write = |name: &str, text: String| fs::write(base.join(name), text).unwrap();
        write(
            "etc/pjsip.conf",
            format!(
                "#include {}/absolute/*.conf\n#include ../relative/a.conf\n#include real.conf\n\
                 #include /nowhere/a.conf\n#include /*.conf\n;#include ../other/a.conf\n",
                base.display()
            ),
        );
        write("absolute/a.conf", "#tryinclude ../nested/a.conf\n".to_owned());
        for name in ["nested/a.conf", "relative/a.conf", "linked/a.conf"] {
            write(name, String::new());
        }
        std::os::unix::fs::symlink("../linked/a.conf", base.join("etc/real.conf")).unwrap();
        let expected = ["absolute", "etc", "linked", "nested", "relative"];
        assert!(
            super::super::conf_directories(&base.join("etc"))
                .into_iter()
                .eq(expected.map(|name| base.join(name)))
        );
        assert_eq!(
            super::super::conf_directories(&base.join("nothing")),
            std::collections::BTreeSet::new()
        );
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
        assert!(files.found().left_out[0].ends_with("was not read: there is too much of it"));
    }
}
