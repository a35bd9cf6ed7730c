//! The jails that fail2ban would start, with every value as it would have it, and their filters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::files::Files;
use super::ini::Value;
use super::merged::{Given, Merged, Unresolved};
use super::options::{self, Named, is_yes};
use crate::config::diagnostic::Diagnostic;

/// Jails that are read.
const MOST_JAILS: usize = 500;
/// Failregexes of a jail, and ignoreregexes.
const MOST_REGEXES: usize = 500;

/// The keys of a jail that fail2ban knows.
const KEYS: [&str; 31] = [
    "enabled",
    "backend",
    "filter",
    "maxretry",
    "maxmatches",
    "findtime",
    "bantime",
    "bantime.increment",
    "bantime.factor",
    "bantime.formula",
    "bantime.multipliers",
    "bantime.maxtime",
    "bantime.rndtime",
    "bantime.overalljails",
    "ignorecommand",
    "ignoreself",
    "ignoreip",
    "ignorecache",
    "logtimezone",
    "logencoding",
    "logpath",
    "skip_if_nologs",
    "systemd_if_nologs",
    "action",
    "usedns",
    "prefregex",
    "ignoreregex",
    "failregex",
    "maxlines",
    "datepattern",
    "journalmatch",
];

/// Keys that fail2ban does not look at itself: they are variables of actions.
const VARIABLES: [&str; 9] = [
    "port",
    "protocol",
    "chain",
    "banaction",
    "banaction_allports",
    "blocktype",
    "destemail",
    "sender",
    "mta",
];

/// A value with everything in it replaced.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The value.
    pub text: String,
    /// The place where it is written; `None` for what fail2ban sets itself.
    pub written: Option<Value>,
}

impl Setting {
    /// Whether an administrator wrote it: it does not come from a `.conf` file that packages bring.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.written.as_ref().is_some_and(|value| !is_stock(&value.source.path))
    }
}

/// Whether packages bring such a file: those `.conf` files that are not in a `jail.d` or the like.
#[must_use]
pub fn is_stock(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == "jail.conf"
        || name == "defaults-debian.conf"
        || (name.starts_with("paths-") && name.ends_with(".conf"))
}

/// What a jail looks for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The name and options behind `filter =`, if there is a file of that name.
    pub named: Option<Named>,
    /// The regex that takes the beginning of a line away first.
    pub prefregex: Option<String>,
    /// The failregexes, one a line in fail2ban.
    pub failregex: Vec<String>,
    /// Lines in which one of these is found are left out.
    pub ignoreregex: Vec<String>,
    /// The form of the dates, if it is given.
    pub datepattern: Option<String>,
    /// The number of lines that are looked at together.
    pub maxlines: Option<u32>,
    /// The journal's fields.
    pub journalmatch: Vec<String>,
}

/// A jail that is enabled.
#[derive(Clone, Debug)]
pub struct Jail {
    /// Its name.
    pub name: String,
    /// Its values, by key in small letters.
    pub settings: BTreeMap<String, Setting>,
    /// What it looks for.
    pub filter: Filter,
    /// What it does.
    pub actions: Vec<Named>,
    /// The keys of its own section that are none of fail2ban's.
    pub unknown: Vec<(String, Value)>,
}

impl Jail {
    /// Returns the value of a key, unless it is empty.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(|setting| setting.text.as_str()).filter(|text| !text.is_empty())
    }
}

/// All of a configuration.
#[derive(Debug)]
pub struct Configuration {
    /// The jails that are enabled.
    pub jails: Vec<Jail>,
    /// The names of those that are not.
    pub disabled: Vec<String>,
    /// `ignoreip` of `[DEFAULT]`.
    pub ignoreip: Option<Setting>,
    /// `dbfile` of `fail2ban.conf`: its database.
    pub database: Option<String>,
    /// What is wrong in the files, each with its place.
    pub problems: Vec<Diagnostic>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

/// Reads a directory such as `/etc/fail2ban` as fail2ban does. `None` if it has no `jail.conf` or `jail.local`.
#[must_use]
pub fn load(base: &Path) -> Option<Configuration> {
    let mut files = Files::below(base);
    let merged = files.read("jail")?;
    let mut problems = Vec::new();
    let mut jails = Vec::new();
    let mut disabled = Vec::new();
    let confpath = base.to_string_lossy().into_owned();
    let given = Given::from([
        ("fail2ban_version".to_owned(), "1.1.0".to_owned()),
        ("fail2ban_confpath".to_owned(), confpath),
    ]);
    let names = merged.sections().filter(|name| *name != "INCLUDES");
    for name in names {
        let enabled = merged.get(name, "enabled", &given);
        if !enabled.ok().flatten().is_some_and(|text| is_yes(&text)) {
            disabled.push(name.to_owned());
        } else if jails.len() < MOST_JAILS {
            jails.push(jail(name, &merged, &given, &mut files, &mut problems));
        }
    }
    let ignoreip = merged.defaults().get("ignoreip").map(|value| Setting {
        text: merged.interpolate("DEFAULT", &value.text, &given).unwrap_or_default(),
        written: Some(value.clone()),
    });
    let general = files.read("fail2ban");
    let database = general.as_ref().and_then(|merged| {
        let of = |section| merged.get(section, "dbfile", &given).ok().flatten();
        of("DEFAULT").or_else(|| of("Definition"))
    });
    let mut all = files.take_problems();
    all.extend(problems);
    let files = files.paths().map(Path::to_owned).collect();
    Some(Configuration { jails, disabled, ignoreip, database, problems: all, files })
}

/// Reads an enabled jail.
fn jail(
    name: &str,
    merged: &Merged,
    given: &Given,
    files: &mut Files,
    problems: &mut Vec<Diagnostic>,
) -> Jail {
    let mut given = given.clone();
    let mut settings = BTreeMap::new();
    for key in ["enabled", "backend", "filter"] {
        read(key, name, merged, &given, &mut settings, problems);
    }
    let backend =
        settings.get("backend").map_or("auto", |setting: &Setting| &setting.text).to_owned();
    let mut filter = Filter::default();
    if let Some(setting) =
        settings.get("filter").filter(|setting| !setting.text.is_empty()).cloned()
    {
        match options::named(&setting.text) {
            Ok(named) => {
                filter = read_filter(named, &backend, &setting, files, problems, &mut given);
            }
            Err(error) => problems.extend(
                setting.written.as_ref().map(|value| value.problem(error.to_string(), None)),
            ),
        }
    }
    for key in KEYS.iter().chain(&VARIABLES) {
        read(key, name, merged, &given, &mut settings, problems);
    }
    // What the jail says itself comes in the place of what the filter says.
    let lines = |key: &str| settings.get(key).map(|setting: &Setting| regexes(&setting.text));
    filter.failregex = lines("failregex").unwrap_or(filter.failregex);
    filter.ignoreregex = lines("ignoreregex").unwrap_or(filter.ignoreregex);
    let text = |key: &str| settings.get(key).map(|setting: &Setting| setting.text.clone());
    filter.prefregex = text("prefregex").or(filter.prefregex).filter(|text| !text.is_empty());
    filter.datepattern = text("datepattern").or(filter.datepattern).filter(|text| !text.is_empty());
    filter.maxlines = text("maxlines").map_or(filter.maxlines, |text| text.trim().parse().ok());
    filter.journalmatch = lines("journalmatch").unwrap_or(filter.journalmatch);
    let actions = text("action").unwrap_or_default();
    let mut wrong = Vec::new();
    let actions =
        options::split(&actions).into_iter().filter_map(|action| match options::named(action) {
            Ok(named) => Some(named),
            Err(error) => {
                wrong.push(error.to_string());
                None
            }
        });
    let actions: Vec<_> = actions.collect();
    let place = settings.get("action").and_then(|setting| setting.written.as_ref());
    problems.extend(wrong.into_iter().filter_map(|error| Some(place?.problem(error, None))));
    let known = |key: &str| KEYS.contains(&key) || VARIABLES.contains(&key);
    let own = merged.own(name).into_iter().flatten();
    let unknown =
        own.filter(|(key, _)| !known(key)).map(|(key, value)| (key.clone(), value.clone()));
    Jail { name: name.to_owned(), filter, actions, unknown: unknown.collect(), settings }
}

/// Reads a value of a jail into `settings`, unless it is there.
fn read(
    key: &str,
    jail: &str,
    merged: &Merged,
    given: &Given,
    settings: &mut BTreeMap<String, Setting>,
    problems: &mut Vec<Diagnostic>,
) {
    let Some(value) = merged.written(jail, key).filter(|_| !settings.contains_key(key)) else {
        return;
    };
    match merged.interpolate(jail, &value.text, given) {
        Ok(text) => {
            settings.insert(key.to_owned(), Setting { text, written: Some(value.clone()) });
        }
        Err(error) => problems.push(error.at(value)),
    }
}

/// Reads the filter that a jail names, and adds its values to `given` as `known/KEY`.
fn read_filter(
    named: Named,
    backend: &str,
    setting: &Setting,
    files: &mut Files,
    problems: &mut Vec<Diagnostic>,
    given: &mut Given,
) -> Filter {
    let place = setting.written.as_ref();
    // It names a file of that directory, and no other.
    let is_name = !named.name.contains("..") && !named.name.starts_with('/');
    let read = is_name.then(|| files.read(&format!("filter.d/{}", named.name))).flatten();
    let Some(merged) = read else {
        let message =
            format!("there is no filter.d/{}.conf: fail2ban does not start this jail", named.name);
        problems.extend(place.map(|value| value.problem(message, None)));
        return Filter::default();
    };
    filter(named, &merged, backend, given, problems)
}

/// Returns what a filter looks for if a jail has these options for it, and adds its values to `given` as `known/KEY`.
pub fn filter(
    named: Named,
    merged: &Merged,
    backend: &str,
    given: &mut Given,
    problems: &mut Vec<Diagnostic>,
) -> Filter {
    let mut init: BTreeMap<String, String> = named.options.clone();
    let has_logtype = merged.own("Definition").is_some_and(|keys| keys.contains_key("logtype"));
    if !has_logtype {
        let logtype = if backend.starts_with("systemd") { "journal" } else { "file" };
        init.entry("logtype".to_owned()).or_insert_with(|| logtype.to_owned());
    }
    let mut vars = given.clone();
    vars.extend(init.iter().map(|(key, value)| (key.to_lowercase(), value.clone())));
    for key in merged.own("Init").into_iter().flat_map(|keys| keys.keys()) {
        if let Ok(Some(value)) = merged.get("Init", key, &vars) {
            init.entry(format!("known/{key}")).or_insert_with(|| value.clone());
            init.entry(key.clone()).or_insert(value);
        }
    }
    let raw = |key: &str| -> Result<Option<String>, Unresolved> {
        match init.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None => merged.get_tag("Definition", key, &vars),
        }
    };
    let mut value = |key: &str| -> Option<String> {
        let text = match raw(key) {
            Ok(text) => text?,
            Err(error) => {
                problems.extend(merged.written("Definition", key).map(|value| error.at(value)));
                return None;
            }
        };
        match options::substituted(key, &text, |tag| raw(tag).ok().flatten()) {
            Ok(text) => Some(text),
            Err(error) => {
                let place = merged.written("Definition", key);
                problems.extend(place.map(|value| value.problem(error.to_string(), None)));
                None
            }
        }
    };
    let keys = merged.own("Definition").into_iter().flat_map(|keys| keys.keys().cloned());
    let values: BTreeMap<_, _> = keys.filter_map(|key| Some((key.clone(), value(&key)?))).collect();
    given.extend(values.iter().map(|(key, value)| (format!("known/{key}"), value.clone())));
    let lines = |key: &str| values.get(key).map(|text| regexes(text)).unwrap_or_default();
    let text = |key: &str| {
        values.get(key).or_else(|| init.get(key)).filter(|text| !text.is_empty()).cloned()
    };
    Filter {
        prefregex: text("prefregex"),
        failregex: lines("failregex"),
        ignoreregex: lines("ignoreregex"),
        datepattern: text("datepattern"),
        maxlines: text("maxlines").and_then(|text| text.trim().parse().ok()),
        journalmatch: text("journalmatch").map(|text| regexes(&text)).unwrap_or_default(),
        named: Some(named),
    }
}

/// Reads one filter of a directory as a jail without options would have it; `None` if there is no such file.
#[must_use]
pub fn filter_alone(base: &Path, name: &str) -> Option<(Filter, Vec<Diagnostic>)> {
    let mut files = Files::below(base);
    let merged = files.read(&format!("filter.d/{name}"))?;
    let mut problems = files.take_problems();
    let named = options::named(name).ok()?;
    let filter = filter(named, &merged, "auto", &mut Given::new(), &mut problems);
    Some((filter, problems))
}

/// Returns the lines of a list of regexes.
fn regexes(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.take(MOST_REGEXES).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn loaded(files: &[(&str, &str)]) -> Configuration {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        load(directory.path()).unwrap()
    }

    const COMMON: (&str, &str) = (
        "filter.d/common.conf",
        "[DEFAULT]\nlogtype = file\n__prefix_line = <lt_<logtype>/__prefix>\n[lt_file]\n__prefix = F<_daemon>\n\
         [lt_journal]\n__prefix = J\n",
    );
    const FILTER: (&str, &str) = (
        "filter.d/pbx.conf",
        "[INCLUDES]\nbefore = common.conf\n[Definition]\n_daemon = pbx\nfailregex = ^%(__prefix_line)s one <HOST>$\n  \
         ^<mode-<mode>> <HOST>$\nignoreregex =\nmode-more = two\nmode-normal = three\n[Init]\nmode = normal\n",
    );

    #[test]
    fn a_jail_has_its_values_and_its_filter() {
        let jail = (
            "jail.conf",
            "[DEFAULT]\nfilter = %(__name__)s\nmaxretry = 3\n[pbx]\nenabled = true\nlogpath = /a\n  /b tail\naction = x[name=%(__name__)s]\n    y\nwrong = 1\n[off]\n[also]\nenabled = no\n",
        );
        let all = loaded(&[COMMON, FILTER, jail]);
        assert_eq!((all.jails.len(), all.disabled.len(), all.problems.len()), (1, 2, 0));
        let jail = &all.jails[0];
        assert_eq!((jail.get("maxretry"), jail.get("logpath")), (Some("3"), Some("/a\n/b tail")));
        assert_eq!(jail.filter.failregex, ["^Fpbx one <HOST>$", "^three <HOST>$"]);
        let actions: Vec<_> = jail.actions.iter().map(|action| action.name.as_str()).collect();
        assert_eq!(actions, ["x", "y"]);
        assert_eq!(
            (jail.actions[0].options["name"].as_str(), jail.unknown[0].0.as_str()),
            ("pbx", "wrong")
        );
    }

    #[test]
    fn options_of_a_filter_change_it() {
        let jail = (
            "jail.local",
            "[a]\nenabled = 1\nbackend = systemd[journalflags=1]\nfilter = pbx[mode=\"more\"]\nfailregex = %(known/failregex)s\n   new <HOST>\n",
        );
        let all = loaded(&[COMMON, FILTER, jail]);
        assert_eq!(all.jails[0].filter.failregex, ["^J one <HOST>$", "^two <HOST>$", "new <HOST>"]);
    }

    #[test]
    fn a_broken_jail_does_not_stop_the_others() {
        let jail = (
            "jail.local",
            "stray\n[a]\nenabled = true\nfilter = none\n[b]\nenabled = true\nfilter = pbx[\n[c]\nenabled = true\nfilter = pbx\nbantime = %(no)s\n",
        );
        let all = loaded(&[COMMON, FILTER, jail]);
        let said: Vec<_> = all.problems.iter().map(|problem| problem.message.clone()).collect();
        assert_eq!(all.jails.len(), 3);
        for words in [
            "neither a section",
            "no filter.d/none.conf",
            "is no option",
            "`%(no)s` is set nowhere",
        ] {
            assert!(said.iter().any(|said| said.contains(words)), "{words}: {said:?}");
        }
        assert_eq!(all.jails[2].filter.failregex.len(), 2);
        assert!(load(Path::new("/nonexistent")).is_none());
    }
}
