//! Files by their paths, as Asterisk's configuration is read from them: those of the disk, with changes laid over them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::hosts::asterisk::conf::Files;

/// Files that are there, with their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<PathBuf, Vec<u8>>);

impl Tree {
    /// Puts a file there, or another content into it.
    pub fn put(&mut self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), bytes.into());
    }

    /// The content of a file; `None` if it is not there.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// All files, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.0.iter().map(|(path, bytes)| (path.as_path(), bytes.as_slice()))
    }

    /// The files of a directory of Asterisk's configuration, as its parser asks for them.
    #[must_use]
    pub fn conf<'a>(&'a self, directory: &'a Path) -> TreeFiles<'a> {
        TreeFiles { tree: self, directory, opened: Vec::new() }
    }
}

/// A tree as the source of what a parser reads; remembers what was read.
#[derive(Debug)]
pub struct TreeFiles<'a> {
    tree: &'a Tree,
    directory: &'a Path,
    /// The files that were read, in their order.
    pub opened: Vec<PathBuf>,
}

impl Files for TreeFiles<'_> {
    fn open(&mut self, pattern: &str) -> Vec<(String, Vec<u8>)> {
        const OPTIONS: MatchOptions = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let whole = self.directory.join(pattern);
        let found: Vec<&Path> = match whole.to_str().map(Pattern::new) {
            Some(Ok(wild)) if pattern.contains(['*', '?', '[']) => {
                let paths = self.tree.iter().map(|(path, _)| path);
                paths.filter(|path| wild.matches_path_with(path, OPTIONS)).collect()
            }
            _ => vec![&whole],
        };
        let mut files = Vec::new();
        for path in found {
            if let Some(bytes) = self.tree.get(path) {
                self.opened.push(path.to_owned());
                files.push((path.display().to_string(), bytes.to_vec()));
            }
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_what_is_there_and_what_was_put_there() {
        let mut tree = Tree::default();
        tree.put("/a/logger.d/01.conf", "1");
        tree.put("/a/logger.d/.hidden.conf", "x");
        tree.put("/a/logger.d/deep/02.conf", "x");
        let mut over = tree.clone();
        over.put("/a/logger.d/90.conf", "9");
        let names = |tree: &Tree, pattern: &str| {
            let files = tree.conf(Path::new("/a")).open(pattern);
            files.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(&tree, "logger.d/*.conf"), ["/a/logger.d/01.conf"]);
        assert_eq!(
            names(&over, "/a/logger.d/*.conf"),
            ["/a/logger.d/01.conf", "/a/logger.d/90.conf"]
        );
        assert_eq!(names(&tree, "logger.conf"), Vec::<String>::new());
    }
}
