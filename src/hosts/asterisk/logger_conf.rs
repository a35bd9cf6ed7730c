//! What Asterisk logs, into which files, and how it writes dates, by logger.conf.

use std::path::{Path, PathBuf};

use super::conf::{self, Conf, Files};
use super::ports::is_true;

/// The directory where Asterisk writes files that are named without one, unless `asterisk.conf` names another.
pub const LOG_DIRECTORY: &str = "/var/log/asterisk";

/// A file that Asterisk writes messages into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Its whole path.
    pub path: PathBuf,
    /// The levels that it gets, in lower case.
    pub levels: Vec<String>,
    /// Whether each message is an object of the `[json]` formatter.
    pub json: bool,
}

impl LogFile {
    /// Whether it gets this level, which is in lower case.
    #[must_use]
    pub fn has(&self, level: &str) -> bool {
        self.levels.iter().any(|known| known == level || known == "*")
    }

    /// Whether its lines can be told from what strangers wrote.
    #[must_use]
    pub fn is_believed(&self) -> bool {
        self.json || !self.has("verbose")
    }
}

/// The settings that `logger.conf` has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggerConf {
    /// The files, in their order.
    pub files: Vec<LogFile>,
    /// Whether NOTICE goes to syslog.
    pub syslog: bool,
    /// The form of dates; `None` is Asterisk's default.
    pub dateformat: Option<String>,
    /// The messages that wait at most; `None` is Asterisk's default, 1000.
    pub queue_limit: Option<u32>,
}

impl LoggerConf {
    /// Takes the settings from what was read of `logger.conf`. Files are in `directory`, unless they say otherwise, and
    /// `host` is the name that `appendhostname` appends.
    #[must_use]
    pub fn of(conf: &Conf, directory: &Path, host: Option<&str>) -> Self {
        let suffix = conf.general("appendhostname").filter(|value| is_true(value)).and(host);
        let suffix = suffix.map_or_else(String::new, |host| format!(".{host}"));
        let mut logger = Self {
            dateformat: conf.general("dateformat").map(str::to_owned),
            queue_limit: conf
                .general("logger_queue_limit")
                .and_then(|limit| limit.trim().parse().ok()),
            ..Self::default()
        };
        // Of several sections, Asterisk reads the first.
        let section = conf.sections.iter().find(|s| s.name.eq_ignore_ascii_case("logfiles"));
        for (name, value) in section.into_iter().flat_map(|section| &section.values) {
            let (json, levels) = levels(value);
            if name.to_ascii_lowercase().starts_with("syslog.") {
                logger.syslog |= levels.iter().any(|l| l == "notice" || l == "*");
            } else if !name.eq_ignore_ascii_case("console") {
                let path = directory.join(format!("{name}{suffix}"));
                logger.files.push(LogFile { path, levels, json });
            }
        }
        logger
    }
}

/// Returns the directory where Asterisk writes files that are named without one, by what was read of `asterisk.conf`.
#[must_use]
pub fn log_directory(conf: &Conf) -> PathBuf {
    let real = conf.sections.iter().filter(|section| !section.template);
    let named = real.filter_map(|section| section.last("astlogdir")).next_back();
    named.unwrap_or(LOG_DIRECTORY).into()
}

/// Reads a value such as `[json]notice,verbose(3)`: whether it is JSON, and the levels in lower case.
fn levels(value: &str) -> (bool, Vec<String>) {
    let value = value.trim().to_ascii_lowercase();
    let (formatter, levels) = match value.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((formatter, levels)) => (formatter, levels),
        None => ("", value.as_str()),
    };
    let level = |word: &str| word.split('(').next().unwrap_or_default().trim().to_owned();
    (formatter.trim() == "json", levels.split(',').map(level).collect())
}

/// Returns the `dateformat` of `[general]`; `None` is Asterisk's default, `%b %e %T`.
pub fn dateformat(files: &mut dyn Files) -> Option<String> {
    let conf = conf::read(files, "logger.conf", &["dateformat"]);
    let named = conf.general("dateformat");
    named.filter(|format| !format.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::conf::tests::Memory;
    use super::*;

    #[test]
    fn levels_are_taken_apart() {
        let words = |text: &str| levels(text);
        assert_eq!(words("notice,warning"), (false, vec!["notice".into(), "warning".into()]));
        assert_eq!(
            words("[json]Notice, verbose(3)"),
            (true, vec!["notice".into(), "verbose".into()])
        );
        assert_eq!(words("[default] *"), (false, vec!["*".into()]));
    }

    #[test]
    fn files_are_named_with_directory_and_host() {
        let text = "[general]\nappendhostname = yes\nlogger_queue_limit = 250\n\
                    [logfiles]\nmessages => notice\n/srv/full => *\nconsole => notice\n\
                    syslog.local0 => notice\n[logfiles]\nlost => notice\n";
        let conf = conf::read_all(&mut Memory::of(&[("logger.conf", text)]), "logger.conf");
        let logger = LoggerConf::of(&conf, Path::new("/logs"), Some("pbx"));
        let paths: Vec<_> = logger.files.iter().map(|file| file.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["/logs/messages.pbx", "/srv/full.pbx"]);
        assert!(logger.files[1].has("verbose") && !logger.files[1].is_believed());
        assert_eq!((logger.syslog, logger.queue_limit), (true, Some(250)));
        assert_eq!(log_directory(&conf), Path::new(LOG_DIRECTORY));
    }

    #[test]
    fn the_last_format_counts() {
        let format = |text: &str| dateformat(&mut Memory::of(&[("logger.conf", text)]));
        assert_eq!(format("[general]\ndateformat=%F %T\n[logfiles]\n"), Some("%F %T".to_owned()));
        let two = "[general]\ndateformat = %F %T\ndateformat = %d/%m/%Y %T ; ours\n";
        assert_eq!(format(two), Some("%d/%m/%Y %T".to_owned()));
        assert_eq!(format("[logfiles]\ndateformat=%F\n"), None);
        assert_eq!(dateformat(&mut Memory::of(&[])), None);
    }
}
