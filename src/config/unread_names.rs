//! What lies beside the files that are read and is passed over for its name, and the name that it should have.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::fail2ban;
use crate::sys::text_file;

/// Names that are told of one directory.
const MOST: usize = 20;
/// Bytes of a file that are looked at.
const LARGEST: u64 = 1 << 20;

/// Endings that editors, package managers and people give to what is not to be used.
const PUT_ASIDE: [&str; 14] = [
    "~",
    ".bak",
    ".old",
    ".orig",
    ".save",
    ".disabled",
    ".off",
    ".swp",
    ".swo",
    ".tmp",
    ".dpkg-old",
    ".dpkg-dist",
    ".dpkg-new",
    ".rpmsave",
];

/// Something that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadName {
    /// Its path.
    pub path: PathBuf,
    /// Why, and what to do.
    why: String,
}

impl fmt::Display for UnreadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.why)
    }
}

/// Returns what is not read in a directory of which `*.toml` is. `page` says what files of fail2ban's are here.
#[must_use]
pub fn look(directory: &Path, page: &str) -> Vec<UnreadName> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name())
        .filter(|name| !text_file::is_toml_name(name))
        .collect();
    names.sort_unstable();
    let told = names.into_iter().take(MOST).map(|name| {
        let path = directory.join(&name);
        let why = why(directory, &path, &name.to_string_lossy(), page);
        UnreadName { path, why }
    });
    told.collect()
}

fn why(directory: &Path, path: &Path, name: &str, page: &str) -> String {
    if path.is_dir() {
        return format!(
            "is a directory, of which nothing is read: put its files into {}",
            directory.display()
        );
    }
    let text = text_file::read_text(path, LARGEST);
    if text.is_ok_and(|text| fail2ban::is_its_file(&text)) {
        return format!("is not read, and is a file of fail2ban: {page} says what to write here");
    }
    let better = toml_name(name);
    if directory.join(&better).exists() {
        return format!(
            "is not read: only names that end in .toml are, such as {better} beside it"
        );
    }
    format!(
        "is not read: only names that end in .toml and begin with no dot are; to have it read, call it {better}"
    )
}

/// Returns the name under which a file would be read.
fn toml_name(name: &str) -> String {
    let mut stem = name.trim_start_matches(['.', '#', '_']);
    while let Some(shorter) = PUT_ASIDE.iter().find_map(|end| stem.strip_suffix(end)) {
        stem = shorter;
    }
    let (begin, ending) = stem.rsplit_once('.').unwrap_or((stem, ""));
    let is_ending = !begin.is_empty()
        && ["toml", "conf", "local", "cfg", "ini", "txt", "tml", "rules"]
            .contains(&ending.to_lowercase().as_str());
    let stem = if is_ending { begin } else { stem };
    format!("{}.toml", if stem.is_empty() { "mine" } else { stem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_better_name_is_found() {
        for (name, better) in [
            ("x.conf", "x.toml"),
            ("x.toml.bak", "x.toml"),
            ("x.TOML", "x.toml"),
            (".x.toml", "x.toml"),
            (".x.toml.swp", "x.toml"),
            (".#x.toml", "x.toml"),
            ("x", "x.toml"),
            ("x.toml~", "x.toml"),
            ("10-pbx.example.com", "10-pbx.example.com.toml"),
            ("toml", "toml.toml"),
            (".toml", "toml.toml"),
            ("~", "mine.toml"),
        ] {
            assert_eq!(toml_name(name), better, "{name}");
        }
    }
}
