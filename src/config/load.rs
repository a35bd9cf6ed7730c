//! Reads the configuration: the main file, the files next to it, and what is built in below them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::mem::take;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use thiserror::Error;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostics, nearest};
use super::fail2ban;
use super::feeds::{FeedSections, ListFile};
use super::fleet::FleetSection;
use super::global::GlobalKeys;
use super::jail_section::{KEYS, KnownNames, Layer, Layers, OF_READERS};
use super::lists::ListSections;
use super::notify::NotifySections;
use super::own_rules::{self, OwnKeys};
use super::places::Places;
use super::ports::PortLists;
use super::spelling::Repaired;
use super::toml_reader::{PathOf, TomlKey, TomlReader, TomlValue};
use super::{
    AmiAccess, Config, FLEET, Fleet, GeoIp, Jail, LogLevel, MANUAL, Notifier, RECIDIVE, SipMonitor,
};
use crate::model::exchange::AsteriskPorts;
use crate::sys::text_file::{self, TextError};

/// The file that asterguard is shipped with, as it is installed: each key stands behind a `#`, with its built-in value.
pub const SHIPPED: &str = include_str!("../../packaging/etc/asterguard.toml");

/// What is built in: [`SHIPPED`], with all of its keys in force.
pub static BUILT_IN: LazyLock<String> = LazyLock::new(|| uncommented(SHIPPED));

/// The name by which errors and listings refer to it.
pub const BUILT_IN_NAME: &str = "(built in)";

/// The main file that is read when none is named.
pub const MAIN: &str = "/etc/asterguard/asterguard.toml";

/// Takes the `#` away from each line where no space follows it: from keys, and not from prose.
fn uncommented(text: &str) -> String {
    let key = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with([' ', '\n']) => key.to_owned(),
        _ => line.to_owned(),
    };
    text.split_inclusive('\n').map(key).collect()
}

/// Bytes that a file may have.
const LARGEST: u64 = 16 << 20;

/// Jails that there may be.
const MOST_JAILS: usize = 1000;

/// What to write in the place of fail2ban's jail.
const BUILT_IN_JAILS: &str = "write [jail.asterisk-scan] (strangers) and [jail.asterisk-guess] (wrong passwords) in its place, without filter: they are built in";

/// The tables at the top of a file.
const SECTIONS: [&str; 10] =
    ["ports", "wire", "ami", "geoip", "default", "jail", "lists", "feed", "notify", "fleet"];

pub(super) const LOGLEVELS: [(LogLevel, &str); 6] = [
    (LogLevel::Critical, "critical"),
    (LogLevel::Error, "error"),
    (LogLevel::Warning, "warning"),
    (LogLevel::Notice, "notice"),
    (LogLevel::Info, "info"),
    (LogLevel::Debug, "debug"),
];

/// The reason why there is no configuration.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file or the directory `conf.d` cannot be read, or is not text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The content of the files is wrong.
    #[error(transparent)]
    Invalid(#[from] Diagnostics),
}

/// Reads the configuration from `main` (if `None`: [`MAIN`], which may be absent) and the files
/// `conf.d/*.toml` next to it, in the order of their names. `filters` are the names of the rule
/// files.
///
/// # Errors
/// Returns an error if a file cannot be read, or for all that is wrong in the files.
pub fn load(main: Option<&Path>, filters: &[String]) -> Result<Config, LoadError> {
    Ok(parse(&all_sources(main)?, filters)?)
}

/// The configuration that the files `sources` (path and text) describe, a later one laid over an
/// earlier one key by key, and all of them over [`BUILT_IN`].
///
/// # Errors
/// All that is wrong in the files.
pub fn parse(sources: &[(PathBuf, String)], filters: &[String]) -> Result<Config, Diagnostics> {
    let built_in = (Path::new(BUILT_IN_NAME), BUILT_IN.as_str(), Repaired::nothing(&BUILT_IN));
    let written = sources
        .iter()
        .map(|(path, text)| (path.as_path(), text.as_str(), Repaired::of(text, Some(&is_section))));
    let files: Vec<_> = std::iter::once(built_in).chain(written).collect();
    let (mut readers, tables): (Vec<_>, Vec<_>) =
        files.iter().map(|(path, text, repaired)| TomlReader::parse(path, text, repaired)).unzip();
    let mut general = TopLevel::default();
    let mut sections = Sections::default();
    let mut lists = ListSections::default();
    let mut notify = NotifySections::default();
    let mut fleet = FleetSection::default();
    let mut places = Places::default();

    // With a file half understood, errors about what it defines would lead astray.
    if !readers.iter().any(TomlReader::is_half_understood) {
        for (reader, table) in readers.iter_mut().zip(&tables) {
            general.merge(reader, table.get_ref());
        }
        let ports = general.ports.names();
        for (file, (reader, table)) in readers.iter_mut().zip(&tables).enumerate() {
            let layer = if file == 0 { Layer::BuiltIn } else { Layer::Written };
            let filters = (layer == Layer::Written).then_some(filters);
            let known = KnownNames { filters, ports: &ports };
            sections.merge(reader, file, layer, table.get_ref(), known);
            lists.merge(reader, file, table.get_ref());
            if let Some(value) = section(table.get_ref(), "notify") {
                notify.merge(reader, file, value);
            }
            fleet.merge(reader, file, table.get_ref());
            places.merge(reader, layer, table.get_ref());
        }
    }
    let jails = sections.jails(&mut readers, &mut places.disabled);
    let lists = lists.finish(&mut readers);
    let notify = notify.finish(&mut readers);
    let fleet = fleet.finish(&mut readers);

    places.notes = readers.iter_mut().flat_map(TomlReader::take_warnings).collect();
    let errors: Vec<_> = readers.into_iter().flat_map(TomlReader::into_errors).collect();
    if !errors.is_empty() {
        return Err(Diagnostics(errors));
    }
    let ignored = sections.default.ignoreip();
    Ok(Config {
        asterisk: AsteriskPorts::default(),
        dateformat: None,
        loglevel: general.loglevel,
        trunks: general.trunks,
        asteriskconf: general.asteriskconf,
        ignoreip: ignored.nets,
        ignorenames: ignored.names,
        ipv6prefix: sections.default.ipv6prefix().unwrap_or(64),
        knowngood: sections.global.finish_known_good(),
        newnetworks: sections.global.finish_new_networks(),
        maxunverified: sections.global.finish_maxunverified(),
        tag: sections.global.finish_tags(),
        logtimezone: sections.global.logtimezone,
        ports: general.ports.finish(),
        lists,
        wire: general.wire,
        ami: general.ami,
        geoip: general.geoip,
        notify,
        fleet,
        jails,
        places,
    })
}

/// Reads nothing but `[ami]`, from the same files as [`load`]: for a process that needs no more of them. Other sections may
/// be wrong.
///
/// # Errors
/// Returns an error if a file cannot be read, or for all that is wrong in that section.
pub fn load_ami(main: Option<&Path>) -> Result<Option<AmiAccess>, LoadError> {
    let sources = all_sources(main)?;
    let mut ami = None::<AmiAccess>;
    let mut errors = Vec::new();
    for (path, text) in &sources {
        let repaired = Repaired::of(text, Some(&is_section));
        let (mut reader, table) = TomlReader::parse(path, text, &repaired);
        if let Some(value) = table.get_ref().get("ami").filter(|_| !reader.is_half_understood()) {
            ami.get_or_insert_default().merge(&mut reader, value);
        }
        errors.extend(reader.into_errors());
    }
    if errors.is_empty() { Ok(ami) } else { Err(Diagnostics(errors).into()) }
}

/// Reads nothing but `[notify.NAME]`, from the same files as [`load`], as [`load_ami`] does.
///
/// # Errors
/// Returns an error if a file cannot be read, or for all that is wrong in these sections.
pub fn load_notify(main: Option<&Path>) -> Result<Vec<Notifier>, LoadError> {
    load_part::<NotifySections, _>(
        main,
        |notify, reader, file, table| {
            if let Some(value) = table.get("notify") {
                notify.merge(reader, file, value);
            }
        },
        NotifySections::finish,
    )
}

/// Reads nothing but `[fleet]`, from the same files as [`load`], as [`load_ami`] does.
///
/// # Errors
/// Returns an error if a file cannot be read, or for all that is wrong in this section.
pub fn load_fleet(main: Option<&Path>) -> Result<Option<Fleet>, LoadError> {
    load_part::<FleetSection, _>(main, FleetSection::merge, FleetSection::finish)
}

/// Reads `[fleet]` as [`load_fleet`] does, even if it is switched off; says whether it is on.
///
/// # Errors
/// As there.
pub fn load_left_fleet(main: Option<&Path>) -> Result<Option<(Fleet, bool)>, LoadError> {
    load_part::<FleetSection, _>(main, FleetSection::merge, FleetSection::finish_left)
}

/// Reads nothing but `[feed.NAME]`, from the same files as [`load`], as [`load_ami`] does.
///
/// # Errors
/// Returns an error if a file cannot be read, or for all that is wrong in these sections.
pub fn load_feeds(main: Option<&Path>) -> Result<Vec<ListFile>, LoadError> {
    load_part::<FeedSections, _>(main, FeedSections::merge, FeedSections::finish)
}

/// Reads the sections of one kind.
fn load_part<S: Default, T>(
    main: Option<&Path>,
    merge: impl Fn(&mut S, &mut TomlReader, usize, &DeTable),
    finish: impl FnOnce(S, &mut [TomlReader]) -> T,
) -> Result<T, LoadError> {
    let sources = all_sources(main)?;
    let repaired: Vec<_> =
        sources.iter().map(|(_, text)| Repaired::of(text, Some(&is_section))).collect();
    let parsed = sources.iter().zip(&repaired);
    let (mut readers, tables): (Vec<_>, Vec<_>) =
        parsed.map(|((path, text), repaired)| TomlReader::parse(path, text, repaired)).unzip();
    let mut sections = S::default();
    if !readers.iter().any(TomlReader::is_half_understood) {
        for (file, (reader, table)) in readers.iter_mut().zip(&tables).enumerate() {
            merge(&mut sections, reader, file, table.get_ref());
        }
    }
    let read = finish(sections, &mut readers);
    let errors: Vec<_> = readers.into_iter().flat_map(TomlReader::into_errors).collect();
    if errors.is_empty() { Ok(read) } else { Err(Diagnostics(errors).into()) }
}

/// The keys outside the sections.
#[derive(Default)]
struct TopLevel {
    loglevel: LogLevel,
    trunks: bool,
    asteriskconf: PathBuf,
    ports: PortLists,
    wire: SipMonitor,
    ami: Option<AmiAccess>,
    geoip: GeoIp,
}

impl TopLevel {
    fn merge(&mut self, reader: &mut TomlReader, table: &DeTable) {
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "loglevel" => {
                    self.loglevel =
                        reader.choice(value, "loglevel", &LOGLEVELS).unwrap_or(self.loglevel);
                }
                "trunks" => self.trunks = reader.boolean(value).unwrap_or(self.trunks),
                "asteriskconf" => {
                    self.asteriskconf =
                        directory(reader, value).unwrap_or_else(|| take(&mut self.asteriskconf));
                }
                "ports" => self.ports.merge(reader, value),
                "wire" => self.wire.merge(reader, value),
                "ami" => self.ami.get_or_insert_default().merge(reader, value),
                "geoip" => self.geoip.merge(reader, value),
                // Sections::merge, ListSections::merge, NotifySections::merge, FleetSection::merge
                "default" | "jail" | "lists" | "feed" | "notify" | "fleet" => {}
                _ => unknown(reader, key, value),
            }
        }
    }
}

/// Returns a section, or what is meant by it: one whose name is wrong is noted, and what is in it is read.
fn section<'t, 'i>(table: &'t DeTable<'i>, name: &str) -> Option<&'t TomlValue<'i>> {
    let is_meant = |key: &str| nearest(key, SECTIONS) == Some(name);
    let near = || table.iter().find(|(key, _)| is_meant(key.get_ref())).map(|(_, value)| value);
    table.get(name).or_else(near)
}

/// Whether the header of a section is ours, or one of ours with a mistake in it.
fn is_section(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or(name);
    let is_near = name != "DEFAULT" && nearest(first, SECTIONS).is_some();
    is_near || BUILT_IN.contains(&format!("[jail.{name}]"))
}

/// Notes a key that does not belong at the top of a file, and where it may belong.
fn unknown(reader: &mut TomlReader, key: &TomlKey, value: &TomlValue) {
    let name = key.get_ref();
    if KEYS.contains(&name.as_ref()) {
        let help = if own_rules::KEYS.contains(&name.as_ref()) {
            "write it below [jail.NAME]"
        } else {
            "write it below [default] or [jail.NAME]"
        };
        reader.error(key.span(), format_args!("{name:?} does not belong here"), help);
    } else if matches!(value.get_ref(), DeValue::Table(_)) && nearest(name, SECTIONS).is_none() {
        let help = format_args!("if it is a jail, write [jail.{name}]");
        reader.error(key.span(), format_args!("unknown section {name:?}"), help);
    } else {
        let known = [
            "loglevel",
            "trunks",
            "asteriskconf",
            "ports",
            "wire",
            "ami",
            "geoip",
            "default",
            "jail",
            "lists",
            "feed",
            "notify",
            "fleet",
        ];
        reader.unknown_key(key, &known);
    }
}

fn directory(reader: &mut TomlReader, value: &TomlValue) -> Option<PathBuf> {
    let help = "write an absolute path, for example \"/etc/asterisk\"";
    let text = reader.text(value, help)?;
    reader.absolute_path(text, &value.span(), PathOf::Directory, help).map(Path::to_owned)
}

/// `[default]` and the jails.
#[derive(Default)]
struct Sections {
    default: Layers,
    global: GlobalKeys,
    jails: BTreeMap<String, PlacedSection>,
}

/// A jail's section, and the file (by its number) and place where it is first named.
struct PlacedSection {
    file: usize,
    span: Range<usize>,
    section: Layers,
}

impl Sections {
    fn merge(
        &mut self,
        reader: &mut TomlReader,
        file: usize,
        layer: Layer,
        table: &DeTable,
        known: KnownNames,
    ) {
        if let Some(value) = section(table, "default") {
            let help = "write [default], and its keys below it";
            if let Some(table) = reader.table(value, help) {
                self.global.merge(reader, table);
                OwnKeys::refuse(reader, table);
                self.default.of(layer).merge(reader, table, known);
            }
        }
        let Some(value) = section(table, "jail") else { return };
        let help = "write [jail.NAME], and its keys below it";
        for (key, value) in reader.table(value, help).into_iter().flatten() {
            if !reader.is_name(key) {
                continue;
            }
            let Some(table) = reader.table(value, help) else { continue };
            let name = key.get_ref();
            let taken = [(MANUAL, "bans made by hand"), (FLEET, "the bans of the fleet's peers")];
            if let Some((taken, whose)) = taken.iter().find(|(taken, _)| name == *taken) {
                let message = format_args!("{taken:?} is the jail of {whose}");
                reader.error(key.span(), message, "give this jail another name");
                continue;
            }
            if self.jails.len() >= MOST_JAILS && !self.jails.contains_key(name.as_ref()) {
                let help = "several logs or filters can share one jail";
                reader.error(key.span(), format_args!("more than {MOST_JAILS} jails"), help);
                return;
            }
            let filter =
                table.iter().find(|(key, value)| key.get_ref() == "filter" && is_its_filter(value));
            if let Some((filter, _)) = filter.filter(|_| fail2ban::is_asterisk(name)) {
                let message = format_args!("[jail.{name}] with this filter is a jail of fail2ban");
                reader.error(filter.span(), message, BUILT_IN_JAILS);
                continue;
            }
            let placed = self.jails.entry(name.to_string()).or_insert_with(|| PlacedSection {
                file,
                span: key.span(),
                section: Layers::default(),
            });
            GlobalKeys::refuse(reader, table);
            if name == RECIDIVE {
                refuse_logs(reader, table);
            }
            placed.section.of(layer).merge(reader, table, known);
        }
    }

    /// The jails that are wanted, by name, and the names of the others; for one that lacks a value, that is noted.
    fn jails(&self, readers: &mut [TomlReader], disabled: &mut Vec<String>) -> Vec<Jail> {
        let known: Vec<_> = self.jails.keys().map(String::as_str).collect();
        let mut jails = Vec::new();
        for (name, PlacedSection { file, span, section }) in &self.jails {
            let merged = section.over(&self.default);
            let merged = if name == RECIDIVE { merged.of_bans() } else { merged };
            let is_enabled = merged.enabled.unwrap_or(true);
            let jail = merged.jail(name, section.ignoreip(), self.default.ignoreip());
            match (jail, readers.get_mut(*file)) {
                (Ok(jail), _) if is_enabled => jails.push(jail),
                (Ok(jail), _) => disabled.push(jail.name),
                // Of all keys, only `filter` has no default.
                (Err(key), Some(reader)) if fail2ban::is_asterisk(name) => {
                    let message =
                        format_args!("jail {name:?} is fail2ban's, and has no {key} here");
                    reader.error(span.clone(), message, BUILT_IN_JAILS);
                }
                (Err(key), Some(reader)) => {
                    let others = known.iter().copied().filter(|other| other != name);
                    let help = match nearest(name, others) {
                        Some(other) => format!("give it a {key}, or did you mean [jail.{other}]?"),
                        None => format!("write for example: {key} = [\"asterisk-*\"]"),
                    };
                    reader.error(span.clone(), format_args!("jail {name:?} has no {key}"), help);
                }
                _ => {}
            }
        }
        jails
    }
}

/// Whether a filter is fail2ban's for Asterisk.
fn is_its_filter(value: &TomlValue) -> bool {
    matches!(value.get_ref(), DeValue::String(name) if fail2ban::is_asterisk(name))
}

/// Notes the keys that the jail [`RECIDIVE`] cannot have.
fn refuse_logs(reader: &mut TomlReader, table: &DeTable) {
    for (key, _) in table.iter().filter(|(key, _)| OF_READERS.contains(&key.get_ref().as_ref())) {
        let message = format_args!("{RECIDIVE:?} has no {}", key.get_ref());
        reader.error(
            key.span(),
            message,
            "it reads no logs: it counts the proven bans of all jails",
        );
    }
}

/// Reads the texts of all files: `None` is [`MAIN`], which need not be there.
fn all_sources(main: Option<&Path>) -> Result<Vec<(PathBuf, String)>, TextError> {
    match main {
        Some(main) => sources(main, true),
        None => sources(Path::new(MAIN), false),
    }
}

/// Reads the texts of the main file and of those next to it.
fn sources(main: &Path, required: bool) -> Result<Vec<(PathBuf, String)>, TextError> {
    let mut sources = Vec::new();
    let absent =
        fs::symlink_metadata(main).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if required || !absent {
        sources.push((main.to_owned(), text_file::read_text(main, LARGEST)?));
    }
    for path in text_file::toml_files(&main.with_file_name("conf.d"))? {
        let text = text_file::read_text(&path, LARGEST)?;
        sources.push((path, text));
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters() -> Vec<String> {
        vec!["asterisk-sip".to_owned()]
    }

    fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        directory
    }

    #[test]
    fn the_main_file_and_those_beside_it_are_read_in_order() {
        let directory = directory(&[
            ("main.toml", b"[default]\nmaxretry = 1\nfindtime = 60\n"),
            ("conf.d/20-b.toml", b"[default]\nmaxretry = 3\n"),
            (
                "conf.d/10-a.toml",
                b"[default]\nmaxretry = 2\nfindtime = 120\n[jail.x]\nfilter = '*'\n",
            ),
            ("conf.d/.30-c.toml", b"not read"),
            ("conf.d/40-d.toml.bak", b"not read"),
        ]);
        let config = load(Some(&directory.path().join("main.toml")), &filters()).unwrap();
        let x = config.jails.iter().find(|jail| jail.name == "x").unwrap();
        assert_eq!((x.maxretry, x.findtime.as_secs()), (3, 120));
    }

    #[test]
    fn only_the_standard_main_file_may_be_absent() {
        let directory = directory(&[("conf.d/a.toml", b"loglevel = 'debug'\n")]);
        let main = directory.path().join("asterguard.toml");
        let read = sources(&main, false).unwrap();
        assert_eq!(
            read,
            [(directory.path().join("conf.d/a.toml"), "loglevel = 'debug'\n".to_owned())]
        );
        let error = load(Some(&main), &filters()).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("cannot read {}: No such file or directory (os error 2)", main.display())
        );

        std::os::unix::fs::symlink("nowhere", &main).unwrap();
        assert!(
            matches!(sources(&main, false), Err(TextError::Unreadable { path, .. }) if path == main)
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let strange = directory(&[("main.toml", b""), ("conf.d/a.toml", b"# 1\n# 2\n# caf\xe9\n")]);
        let error =
            load(Some(&strange.path().join("main.toml")), &filters()).unwrap_err().to_string();
        let path = strange.path().join("conf.d/a.toml");
        assert_eq!(error, format!("{}:3: not UTF-8: save the file as UTF-8", path.display()));

        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let error =
            load(Some(&strange.path().join("main.toml")), &filters()).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("cannot read {}: it is a directory, not a regular file", path.display())
        );

        let flat = directory(&[("main.toml", b""), ("conf.d", b"")]);
        let error = load(Some(&flat.path().join("main.toml")), &filters()).unwrap_err().to_string();
        let path = flat.path().join("conf.d");
        assert_eq!(error, format!("cannot read {}: Not a directory (os error 20)", path.display()));

        let error = load(Some(Path::new("/dev/zero")), &filters()).unwrap_err().to_string();
        assert_eq!(error, "cannot read /dev/zero: it is a device, not a regular file");
    }

    #[test]
    fn errors_name_their_files() {
        let directory = directory(&[
            ("main.toml", b"loglevel = 'loud'\n[default]\nmaxretry = 0\n"),
            ("conf.d/a.toml", b"[default]\n\nmaxretry = -1\n[jail.web]\nport = 'sip'\n"),
            ("conf.d/b.toml", b"[jail.web]\nmode = 'off'\n"),
        ]);
        let error =
            load(Some(&directory.path().join("main.toml")), &filters()).unwrap_err().to_string();
        let places: Vec<_> = error
            .lines()
            .filter_map(|line| line.strip_prefix(directory.path().to_str()?))
            .collect();
        assert_eq!(
            places,
            [
                "/main.toml:1:12: unknown loglevel \"loud\"",
                "/main.toml:3:12: 0 is not between 1 and 4294967295",
                "/conf.d/a.toml:3:12: -1 is not between 1 and 4294967295",
                "/conf.d/a.toml:4:7: jail \"web\" has no filter",
                "/conf.d/b.toml:2:8: unknown mode \"off\"",
            ]
        );
    }

    #[test]
    fn there_is_an_end_to_jails() {
        let jails = |n: usize| -> String {
            (0..n).map(|i| format!("[jail.j{i}]\nfilter = '*'\n")).collect::<Vec<_>>().concat()
        };
        let source = |n| [(PathBuf::from("a.toml"), jails(n))];
        let built_in = parse(&[], &filters()).unwrap();
        let built_in = built_in.jails.len() + built_in.places.disabled.len();
        let most = parse(&source(MOST_JAILS - built_in), &filters()).unwrap();
        assert_eq!(most.jails.len() + most.places.disabled.len(), MOST_JAILS);
        let errors = parse(&source(MOST_JAILS), &filters()).unwrap_err();
        assert_eq!(errors.0.len(), 1);
        assert_eq!(errors.0[0].message, "more than 1000 jails");
    }
}
