//! Which files fail2ban reads for a name, and in which order; reads them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ini::{self, Ini, Value};
use super::merged::{Given, Merged};
use crate::config::diagnostic::Diagnostic;
use crate::sys::text_file;

/// Bytes that a file may have.
const LARGEST: u64 = 1 << 20;
/// How deep files may include others.
const DEEPEST: usize = 16;
/// Files that are read for one name, with those that they include.
const MOST: usize = 500;

/// The files of a directory such as `/etc/fail2ban`; each is read once.
#[derive(Debug)]
pub struct Files {
    base: PathBuf,
    read: BTreeMap<PathBuf, Option<Arc<Ini>>>,
    problems: Vec<Diagnostic>,
}

impl Files {
    /// The files below `base`.
    #[must_use]
    pub fn below(base: &Path) -> Self {
        Self { base: base.to_owned(), read: BTreeMap::new(), problems: Vec::new() }
    }

    /// Returns the directory.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Takes what was wrong in the files that were read.
    pub fn take_problems(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.problems)
    }

    /// Returns the files that were read, or tried.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.read.iter().filter(|(_, ini)| ini.is_some()).map(|(path, _)| path.as_path())
    }

    /// Reads what `name` stands for (`jail`, `filter.d/NAME`, `action.d/NAME`): `NAME.conf`, `NAME.d/*.conf`, `NAME.local`,
    /// `NAME.d/*.local`, and what these include. `None` if there is none of it.
    pub fn read(&mut self, name: &str) -> Option<Merged> {
        let file = |end: &str| self.base.join(format!("{name}{end}"));
        let directory = file(".d");
        let mut wanted = vec![file(".conf")];
        wanted.extend(listed(&directory, "conf"));
        wanted.push(file(".local"));
        wanted.extend(listed(&directory, "local"));
        wanted.retain(|path| path.exists());
        let mut order = Vec::new();
        self.with_includes(&wanted, &[], &mut order);
        let mut merged = Merged::default();
        let mut any = false;
        for path in &order {
            if let Some(ini) = self.file(path) {
                merged.add(&ini);
                any = true;
            }
        }
        any.then_some(merged)
    }

    /// Adds these files to `order`, each with its `.local` sibling, and with what it includes before and behind it.
    fn with_includes(&mut self, files: &[PathBuf], within: &[PathBuf], order: &mut Vec<PathBuf>) {
        let mut all = Vec::new();
        for path in files {
            let local = path.with_extension("local");
            all.push(path.clone());
            if !files.contains(&local) && local.is_file() {
                all.push(local);
            }
        }
        for path in all {
            if order.len() >= MOST {
                return;
            }
            let Some(ini) = self.file(&path) else { continue };
            let mut within = within.to_vec();
            within.push(path.clone());
            let parts = ["before", "after"].map(|key| self.included(&ini, key, &path, &within));
            let [before, after] = parts;
            self.with_includes(&before, &within, order);
            order.push(path);
            self.with_includes(&after, &within, order);
        }
    }

    /// Returns the files that a file names under `key` of its section `[INCLUDES]`, without those that include it.
    fn included(&mut self, ini: &Ini, key: &str, path: &Path, within: &[PathBuf]) -> Vec<PathBuf> {
        let section = ini.sections.iter().find(|section| section.name == "INCLUDES");
        let Some(value) = section.and_then(|section| section.get(key)) else { return Vec::new() };
        let mut alone = Merged::default();
        alone.add(ini);
        let names = match alone.interpolate("INCLUDES", &value.text, &Given::new()) {
            Ok(names) => names,
            Err(error) => {
                self.problems.push(error.at(value));
                return Vec::new();
            }
        };
        let directory = path.parent().unwrap_or(&self.base);
        let paths = names.lines().filter(|name| !name.trim().is_empty());
        let paths: Vec<_> = paths.map(|name| directory.join(name.trim())).collect();
        let (known, paths): (Vec<_>, Vec<_>) =
            paths.into_iter().partition(|path| within.contains(path));
        let problem = |message: String| value.problem(message, None);
        if let Some(path) = known.first() {
            let message = format!("{} includes this file: left out", path.display());
            self.problems.push(problem(message));
        }
        if within.len() > DEEPEST {
            self.problems.push(problem(format!("more than {DEEPEST} files include one another")));
            return Vec::new();
        }
        // Stock files include `.local` ones that need not be there.
        let is_local = |path: &Path| path.extension().is_some_and(|end| end == "local");
        for missing in paths.iter().filter(|path| !path.exists() && !is_local(path)) {
            let message =
                format!("there is no file {}: fail2ban goes on without it", missing.display());
            self.problems.push(problem(message));
        }
        paths
    }

    /// Reads a file, or returns what was read before.
    fn file(&mut self, path: &Path) -> Option<Arc<Ini>> {
        if let Some(known) = self.read.get(path) {
            return known.clone();
        }
        let ini = if path.exists() { self.parse(path) } else { None };
        self.read.insert(path.to_owned(), ini.clone());
        ini
    }

    fn parse(&mut self, path: &Path) -> Option<Arc<Ini>> {
        match text_file::read_text(path, LARGEST) {
            Ok(text) => {
                let ini = ini::parse(path, &text);
                self.problems.extend(ini.problems.iter().cloned());
                Some(Arc::new(ini))
            }
            Err(error) => {
                self.problems.push(Diagnostic {
                    path: path.to_owned(),
                    source: "".into(),
                    span: 0..0,
                    message: error.to_string(),
                    help: None,
                });
                None
            }
        }
    }

    /// Notes what is wrong with a value.
    pub fn problem(&mut self, value: &Value, message: impl Into<String>, help: Option<&str>) {
        self.problems.push(value.problem(message, help));
    }
}

/// Returns the files of a directory that end so, by name.
fn listed(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let hidden =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let ends_so = |path: &Path| path.extension().is_some_and(|end| end == extension);
    let mut paths: Vec<_> =
        paths.filter(|path| ends_so(path) && !hidden(path)).take(MOST).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    fn read(files: &[(&str, &str)], name: &str, key: &str) -> (Option<String>, Vec<String>) {
        let directory = directory(files);
        let mut files = Files::below(directory.path());
        let merged = files.read(name).unwrap();
        let value = merged.get("a", key, &Given::new()).unwrap();
        (value, files.take_problems().iter().map(|one| one.message.clone()).collect())
    }

    #[test]
    fn later_files_win_in_the_order_of_fail2ban() {
        let mut files = vec![("jail.conf", "[a]\nx = conf\n")];
        for (name, text, expected) in [
            ("jail.d/b.conf", "[a]\nx = %(known/x)s b.conf\n", "conf b.conf"),
            ("jail.d/a.conf", "[a]\nx = a.conf\n", "a.conf b.conf"),
            ("jail.local", "[a]\nx = local\n", "local"),
            ("jail.d/z.local", "[a]\nx = z.local\n", "z.local"),
            ("jail.d/.hidden.local", "[a]\nx = hidden\n", "z.local"),
            ("jail.d/zz.localx", "[a]\nx = other\n", "z.local"),
        ] {
            files.push((name, text));
            assert_eq!(read(&files, "jail", "x").0.unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn includes_stand_before_and_behind_with_their_local_files() {
        let files = [
            (
                "filter.d/f.conf",
                "[INCLUDES]\nbefore = common.conf\nafter = last.conf\n[a]\nx = f\ny = f\nz = f\n",
            ),
            ("filter.d/common.conf", "[a]\nx = common\nw = common\nv = common\n"),
            ("filter.d/common.local", "[a]\nw = common.local\n"),
            ("filter.d/last.conf", "[INCLUDES]\nbefore = f.conf\n[a]\ny = last\n"),
            ("filter.d/f.local", "[a]\nz = f.local\n"),
        ];
        for (key, expected) in
            [("x", "f"), ("y", "last"), ("z", "f.local"), ("w", "common.local"), ("v", "common")]
        {
            let (value, problems) = read(&files, "filter.d/f", key);
            assert_eq!(value.unwrap(), expected, "{key}");
            assert!(
                problems.iter().any(|said| said.contains("includes this file")),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_does_not_stop_the_rest() {
        let directory = directory(&[
            ("jail.conf", "[INCLUDES]\nbefore = paths-none.conf\n[a]\nx = 1\n"),
            ("jail.d/dir.conf/x", ""),
            ("jail.local", ""),
        ]);
        fs::write(directory.path().join("jail.d/latin.conf"), b"[a]\ny = \xff\n").unwrap();
        let mut files = Files::below(directory.path());
        let merged = files.read("jail").unwrap();
        assert_eq!(merged.get("a", "x", &Given::new()).unwrap().unwrap(), "1");
        let said: Vec<_> = files.take_problems().iter().map(ToString::to_string).collect();
        for words in ["no file", "is a directory", "not UTF-8"] {
            assert!(said.iter().any(|said| said.contains(words)), "{words}: {said:?}");
        }
        assert!(files.read("filter.d/none").is_none());
    }

    #[test]
    fn files_that_include_each_other_end() {
        let files: Vec<_> = (0..40)
            .map(|n| {
                (
                    format!("f{n}.conf"),
                    format!("[INCLUDES]\nbefore = f{}.conf\n f{}.conf\n[a]\nx=1\n", n + 1, n + 2),
                )
            })
            .collect();
        let files: Vec<_> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(read(&files, "f0", "x").0.unwrap(), "1");
    }
}
