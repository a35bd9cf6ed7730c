//! What is there: Asterisk, its configuration and logs, the distribution, and the guard's own configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use toml::Table;

use super::services::{Offer, offers};
use super::tree::Tree;
use crate::config::{Config, Mode};
use crate::control::status::Status;
use crate::decide::plan::Plan as GuardPlan;
use crate::hosts::asterisk::conf::{self, Files};
use crate::hosts::asterisk::logger_conf::{LOG_DIRECTORY, log_directory};
use crate::hosts::asterisk::ports::Listening;
use crate::hosts::asterisk::trunks::Trunks;
use crate::hosts::asterisk::version::AsteriskVersion;
use crate::hosts::discover::{ConfFiles, asterisk_ports};
use crate::sys::program::Program;
use crate::sys::sock_diag::Protocol;
use crate::sys::ssh_client::ssh_client;
use crate::sys::text_file;
use crate::sys::user::User;

/// The files of Asterisk's configuration that setup reads and may change.
pub const CONFS: [&str; 5] =
    ["asterisk.conf", "logger.conf", "hep.conf", "modules.conf", "manager.conf"];
/// The user that the service runs as.
pub const USER: &str = "asterguard";
/// The time that a program that is asked something may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;
/// Files of a directory that are read, at most.
const MOST_FILES: usize = 256;

/// The distribution of Asterisk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Distribution {
    /// Asterisk alone, from packages or source.
    Asterisk,
    FreePBX,
    Issabel,
    Wazo,
    MikoPBX,
    VitalPBX,
    #[serde(rename = "VICIdial")]
    Vicidial,
    NixOS,
}

impl Distribution {
    /// What is there only where this distribution is installed, each relative to the root.
    const MARKS: [(Self, &'static [&'static str]); 7] = [
        (Self::NixOS, &["etc/NIXOS"]),
        (
            Self::MikoPBX,
            &["etc/inc/mikopbx-settings.json", "offload/rootfs/usr/www", "etc/t2-sde-build"],
        ),
        (Self::Wazo, &["usr/bin/wazo-confgen", "etc/asterisk/logger.d/01-wazo.conf"]),
        (Self::VitalPBX, &["usr/share/vitalpbx", "etc/asterisk/vitalpbx"]),
        (Self::Issabel, &["etc/issabel.conf"]),
        (Self::FreePBX, &["etc/freepbx.conf"]),
        (Self::Vicidial, &["etc/astguiclient.conf"]),
    ];

    fn of(root: &Path) -> Self {
        let has = |marks: &[&str]| marks.iter().any(|mark| root.join(mark).exists());
        let found = Self::MARKS.iter().find(|(_, marks)| has(marks));
        found.map_or(Self::Asterisk, |(distribution, _)| *distribution)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Asterisk => "plain Asterisk",
            Self::FreePBX => "FreePBX",
            Self::Issabel => "Issabel",
            Self::Wazo => "Wazo",
            Self::MikoPBX => "MikoPBX",
            Self::VitalPBX => "VitalPBX",
            Self::Vicidial => "VICIdial",
            Self::NixOS => "NixOS",
        }
    }

    /// Where to write Asterisk's settings, where a program writes the files anew and would undo a change of them.
    #[must_use]
    pub fn writes_by_itself(self) -> Option<&'static str> {
        match self {
            Self::NixOS => Some("services.asterisk.confFiles of the system's configuration"),
            Self::MikoPBX => Some("System → Customization of system files, in the web interface"),
            _ => None,
        }
    }
}

/// Where things are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Asterisk's configuration.
    pub asterisk: PathBuf,
    /// The guard's configuration that setup writes.
    pub own: PathBuf,
    /// The file with the secret of the guard's user of the manager interface.
    pub secret: PathBuf,
    /// The directory of logrotate's configuration; `None`: logrotate is not there.
    pub logrotate: Option<PathBuf>,
    /// The record of what setup wrote.
    pub record: PathBuf,
}

impl Places {
    /// The places below `root`; `main` is the guard's main configuration file.
    #[must_use]
    pub fn below(root: &Path, asterisk: &Path, main: &Path, state: &Path) -> Self {
        let below = |path: &Path| match path.strip_prefix(root) {
            // It is named from outside.
            Ok(_) => path.to_owned(),
            Err(_) => root.join(path.strip_prefix("/").unwrap_or(path)),
        };
        let beside = main.parent().unwrap_or(Path::new("/etc/asterguard"));
        Self {
            asterisk: below(asterisk),
            own: below(&beside.join("conf.d/10-setup.toml")),
            secret: below(&beside.join("ami.secret")),
            logrotate: Some(below(Path::new("/etc/logrotate.d"))).filter(|path| path.is_dir()),
            // Beside the state directory: what root takes back must not be in a directory of the service's user.
            record: below(&with_suffix(state, "-setup")),
        }
    }
}

/// Returns a path whose last name is longer.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// The owner and mode of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

impl Owner {
    /// Returns those of what is at `path`.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self { uid: meta.uid(), gid: meta.gid(), mode: meta.mode() & 0o7777 })
    }
}

/// What there is.
#[derive(Clone, Debug)]
pub struct Survey {
    pub places: Places,
    pub distribution: Distribution,
    /// The operating system, as it calls itself.
    pub system: Option<String>,
    /// The version of Asterisk; `None` if it cannot be asked or has no number.
    pub version: Option<AsteriskVersion>,
    /// Whether Asterisk runs and answers.
    pub runs: bool,
    /// The files that matter.
    pub tree: Tree,
    /// The directory where Asterisk writes its logs.
    pub logs: PathBuf,
    /// The owner of that directory.
    pub logs_owner: Option<Owner>,
    /// The owner of the directory of Asterisk's configuration.
    pub asterisk_owner: Option<Owner>,
    /// The owner of a file of that configuration.
    pub conf_owner: Option<Owner>,
    /// This machine's name.
    pub host: Option<String>,
    /// What the guard reads.
    pub logpath: Vec<String>,
    /// Whether the guard watches network traffic.
    pub wire: bool,
    /// The file that says whether the guard bans, if one does.
    pub mode_written: Option<PathBuf>,
    /// Whether a running guard has banned hosts.
    pub has_banned: bool,
    /// The ports that Asterisk opens.
    pub listening: Listening,
    /// The trunks, each with its host.
    pub trunks: Vec<String>,
    /// The UDP ports that are in use.
    pub udp: BTreeSet<u16>,
    /// Services that are not Asterisk's, which run here and whose jails are off.
    pub services: Vec<Offer>,
    /// Whether `res_hep_pjsip` is installed; `None`: not known.
    pub hep_module: Option<bool>,
    /// The user of the service, if there is one.
    pub user: Option<User>,
    /// The names of users and groups, by number.
    pub users: BTreeMap<u32, String>,
    pub groups: BTreeMap<u32, String>,
    /// Contacts that Asterisk knows now, as it prints them.
    pub contacts: Vec<String>,
    /// The address from which the person who runs setup is logged in.
    pub caller: Option<IpAddr>,
    /// A word that nobody knows, for HEP.
    pub secret: String,
    /// Another one, for the manager interface.
    pub ami_secret: String,
}

impl Survey {
    /// Looks around below `root`. Programs are asked, and the kernel, only if that is `/`.
    #[must_use]
    pub fn look(root: &Path, places: Places, guard: &GuardPlan, status: Option<&Status>) -> Self {
        let here = root == Path::new("/");
        let ask = |argv: &[&str]| if here { ask(argv) } else { None };
        let config = &guard.config;
        let mut tree = Tree::default();
        let logs = read_confs(&places.asterisk, &mut tree);
        if let Some(logrotate) = &places.logrotate {
            put_all(logrotate, &mut tree);
        }
        put(&places.own, &mut tree);
        put(&places.secret, &mut tree);
        let logs_here = root.join(logs.strip_prefix("/").unwrap_or(&logs));
        let mut disk = ConfFiles::new(&places.asterisk);
        let listening = Listening::read(&mut disk);
        let trunks = Trunks::find(&mut ConfFiles::new(&places.asterisk)).trunks;
        let mut trunks: Vec<_> = trunks.into_iter().map(|trunk| trunk.name).collect();
        trunks.dedup();
        let udp = if here { udp_ports() } else { BTreeSet::new() };
        let contacts = ask(&["asterisk", "-rx", "pjsip show contacts"]).unwrap_or_default();
        let version = ask(&["asterisk", "-V"]);
        Self {
            distribution: Distribution::of(root),
            system: system(root),
            version: version.as_deref().and_then(AsteriskVersion::parse),
            runs: ask(&["asterisk", "-rx", "core show version"])
                .is_some_and(|answer| answer.starts_with("Asterisk ")),
            logs_owner: Owner::of(&logs_here),
            asterisk_owner: Owner::of(&places.asterisk),
            conf_owner: CONFS.iter().find_map(|name| Owner::of(&places.asterisk.join(name))),
            host: text(&root.join("etc/hostname")).map(|name| name.trim().to_owned()),
            logpath: logpath(config),
            wire: config.wire.enabled,
            mode_written: config.places.of_default("mode").map(|place| PathBuf::from(&*place.file)),
            has_banned: status.is_some_and(has_banned),
            trunks,
            hep_module: hep_module(root, &places.asterisk),
            user: User::find(USER).ok().flatten().filter(|_| here),
            users: names(&root.join("etc/passwd")),
            groups: names(&root.join("etc/group")),
            contacts: contacts.lines().filter(|line| line.contains("sip:")).map(contact).collect(),
            caller: if here { ssh_client() } else { None },
            secret: secret(),
            ami_secret: secret(),
            places,
            tree,
            logs,
            listening,
            udp,
            services: offers(root, config.places.disabled()),
        }
    }
}

/// Reads the files of Asterisk's configuration that matter, with what they include, and returns where its logs are.
fn read_confs(directory: &Path, tree: &mut Tree) -> PathBuf {
    let mut logs = LOG_DIRECTORY.into();
    for name in CONFS {
        let mut recorder = Recorder { disk: ConfFiles::new(directory), tree };
        let read = conf::read_all(&mut recorder, name);
        if name == "asterisk.conf" {
            logs = log_directory(&read);
        }
    }
    logs
}

/// Hands files out, and keeps them.
struct Recorder<'a, 'b> {
    disk: ConfFiles<'a>,
    tree: &'b mut Tree,
}

impl Files for Recorder<'_, '_> {
    fn open(&mut self, pattern: &str) -> Vec<(String, Vec<u8>)> {
        let files = self.disk.open(pattern);
        for (name, bytes) in &files {
            self.tree.put(name, bytes.clone());
        }
        files
    }
}

fn put(path: &Path, tree: &mut Tree) {
    if let Ok(bytes) = text_file::read_bytes(path, LARGEST) {
        tree.put(path, bytes);
    }
}

fn put_all(directory: &Path, tree: &mut Tree) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.take(MOST_FILES) {
        put(&entry.path(), tree);
    }
}

fn text(path: &Path) -> Option<String> {
    let bytes = text_file::read_bytes(path, LARGEST).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns what a program prints; `None` if it does not run well.
#[must_use]
pub fn ask(argv: &[&str]) -> Option<String> {
    Program::ask(argv, PATIENCE).ok()
}

/// Returns how the operating system calls itself.
fn system(root: &Path) -> Option<String> {
    let text = text(&root.join("etc/os-release"))?;
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches(['"', '\'']).to_owned())
}

/// Returns the names in `/etc/passwd` or `/etc/group`, by their numbers.
fn names(path: &Path) -> BTreeMap<u32, String> {
    let text = text(path).unwrap_or_default();
    let name = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    };
    text.lines().filter_map(name).collect()
}

/// Returns what the guard's jails for Asterisk's logs read.
fn logpath(config: &Config) -> Vec<String> {
    let mut readers = config.jails.iter().filter(|jail| !jail.logpath.is_empty());
    let usual = readers.clone().find(|jail| jail.name == "asterisk-guess");
    usual.or_else(|| readers.next()).map(|jail| jail.logpath.clone()).unwrap_or_default()
}

/// Whether somebody relies on the bans of this guard.
fn has_banned(status: &Status) -> bool {
    let bans = |jail: &crate::control::status::JailStatus| {
        jail.mode == Mode::Enforce && (jail.total_banned > 0 || jail.currently_banned > 0)
    };
    status.jails.iter().any(bans)
}

fn udp_ports() -> BTreeSet<u16> {
    let sockets = asterisk_ports::sockets().unwrap_or_default();
    sockets.iter().filter(|s| s.protocol == Protocol::Udp).map(|s| s.port).collect()
}

/// Whether the module is where Asterisk's modules are; `None` if that place is not known.
fn hep_module(root: &Path, asterisk: &Path) -> Option<bool> {
    let conf = conf::read(&mut ConfFiles::new(asterisk), "asterisk.conf", &["astmoddir"]);
    let named = conf.sections.iter().filter_map(|section| section.last("astmoddir")).next_back();
    let usual = ["/usr/lib/asterisk/modules", "/usr/lib64/asterisk/modules"];
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let directories = named.into_iter().chain(usual).map(below);
    let multiarch = glob::glob(&below("/usr/lib/*/asterisk/modules").display().to_string());
    let all = directories.chain(multiarch.into_iter().flatten().flatten());
    let mut there = all.filter(|directory| directory.join("res_pjsip.so").exists()).peekable();
    there.peek()?;
    Some(there.any(|directory| directory.join("res_hep_pjsip.so").exists()))
}

/// Returns the contact in a line of `pjsip show contacts`.
fn contact(line: &str) -> String {
    line.split_whitespace().find(|word| word.contains("sip:")).unwrap_or(line).to_owned()
}

/// The characters of a secret.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Returns 24 random characters that no configuration file means anything by.
fn secret() -> String {
    let mut bytes = [0_u8; 24];
    // Without random numbers there is no secret: an empty one is never written.
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_err() {
        return String::new();
    }
    let letter = |byte: u8| LETTERS.get(usize::from(byte % 32)).copied().map_or('x', char::from);
    bytes.iter().map(|byte| letter(*byte)).collect()
}

/// Returns what the guard's file that setup writes says already.
#[must_use]
pub fn own_settings(survey: &Survey) -> Option<Table> {
    let bytes = survey.tree.get(&survey.places.own)?;
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
