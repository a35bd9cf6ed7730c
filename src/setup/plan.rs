//! What to change so that the guard gets the best evidence that this Asterisk can give. Pure: from what is there to
//! texts, each with its reason. What Asterisk makes of a text is checked with its parser before it is proposed.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use glob::Pattern;
use serde::Serialize;
use toml::{Table, Value};

use super::edits::{self, MARK};
use super::survey::{Owner, Survey, USER, own_settings};
use super::tree::Tree;
use crate::hosts::asterisk::conf::{self, Conf};
use crate::hosts::asterisk::hep_conf::{CaptureAddress, HepConf};
use crate::hosts::asterisk::logger_conf::{LogFile, LoggerConf};
use crate::hosts::asterisk::modules_conf;
use crate::hosts::asterisk::ports::{Driver, is_true};
use crate::hosts::asterisk::version::AsteriskVersion;
use crate::services::ami_session::stanza;

/// The file that Asterisk writes for the guard.
const JSON: &str = "asterguard.json";
/// Its levels.
const JSON_LEVELS: &str = "[json]notice,warning,error,security";
/// The address of the collector in the sample of hep.conf that Asterisk installs.
const SAMPLE: &str = "192.168.1.1:9061";
/// The ports that copies may be sent to: the first that nobody uses.
const HEP_PORTS: std::ops::Range<u16> = 9060..9070;
/// The port of the manager interface.
const AMI_PORT: u16 = 5038;
/// The modules that send copies.
pub const HEP_MODULES: [&str; 2] = ["res_hep", "res_hep_pjsip"];
/// The journal of Asterisk's service, as the guard reads it.
const JOURNAL: &str = "journal:asterisk.service";
/// Why a text is not written: checked with Asterisk's parser, it is not there.
const UNREAD: &str = "Asterisk would not read it where setup would write it";
/// The name of logrotate's file.
const ROTATION: &str = "asterguard-asterisk";

/// Whether the guard bans after setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It reports only, unless it bans already.
    Observe,
    /// It bans.
    Enforce,
}

/// What setup is to do besides the logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// Whether the guard bans.
    pub mode: Wanted,
    /// Whether the guard gets a user of the manager interface.
    pub ami: bool,
    /// Jails of services that are not Asterisk's, to be switched on.
    pub jails: Vec<String>,
}

/// One file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEdit {
    /// Its path.
    pub path: PathBuf,
    /// Why, for people.
    pub why: Vec<String>,
    /// What is there; `None`: the file is new.
    pub old: Option<Vec<u8>>,
    /// What shall be there.
    pub new: Vec<u8>,
    /// The owner and mode of a new file. One that exists keeps its own.
    pub owner: Owner,
}

/// A group to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupEdit {
    /// The user.
    pub user: String,
    /// The group.
    pub group: String,
    /// Why, for people.
    pub why: String,
}

/// Something that setup cannot write here, and people can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ByHand {
    /// Where.
    pub place: String,
    /// Why it is not written.
    pub why: String,
    /// The text.
    pub text: String,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files to write, in their order, each once.
    pub files: Vec<FileEdit>,
    /// Groups to join.
    pub groups: Vec<GroupEdit>,
    /// What to write by hand.
    pub by_hand: Vec<ByHand>,
    /// What is left as it is, and why.
    pub notes: Vec<String>,
    /// Words that are not shown.
    pub secrets: Vec<String>,
}

impl Plan {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.groups.is_empty()
    }

    /// Whether a file of this name is among those to write.
    #[must_use]
    pub fn writes(&self, path: &Path) -> bool {
        self.files.iter().any(|edit| edit.path == path)
    }

    /// Returns the plan for what is there.
    #[must_use]
    pub fn make(survey: &Survey, wishes: &Wishes) -> Self {
        let secrets = vec![survey.secret.clone()];
        let plan = Self { secrets, ..Self::default() };
        let mut planner = Planner { survey, tree: survey.tree.clone(), plan };
        let added = planner.logger();
        planner.hep();
        planner.rotation(&added);
        let ami = wishes.ami && planner.ami();
        planner.own(wishes, ami);
        planner.group();
        planner.group_of_services(&wishes.jails);
        planner.plan
    }
}

struct Planner<'a> {
    survey: &'a Survey,
    /// The files as they will be.
    tree: Tree,
    plan: Plan,
}

impl Planner<'_> {
    fn asterisk(&self, name: &str) -> PathBuf {
        self.survey.places.asterisk.join(name)
    }

    /// What Asterisk reads of a file and those that it includes, and which these are.
    fn read(&self, tree: &Tree, name: &str) -> (Conf, Vec<PathBuf>) {
        let mut files = tree.conf(&self.survey.places.asterisk);
        let conf = conf::read_all(&mut files, name);
        (conf, files.opened)
    }

    /// Whether a program writes a part of a file when Asterisk reads it: what it says is not known then.
    fn executes(&self, files: &[PathBuf]) -> bool {
        let is_exec = |line: &[u8]| line.trim_ascii_start().starts_with(b"#exec");
        let texts = files.iter().filter_map(|path| self.tree.get(path));
        texts.flat_map(|text| text.split(|byte| *byte == b'\n')).any(is_exec)
    }

    /// Whether a file includes another by this name.
    fn includes(&self, files: &[PathBuf], name: &str) -> bool {
        let names = |line: &[u8]| {
            let line = String::from_utf8_lossy(line);
            let mut words = line.split_whitespace();
            let is_include =
                ["#include", "#tryinclude"].contains(&words.next().unwrap_or_default());
            let named = words.next().unwrap_or_default().trim_matches(['"', '<', '>', '\'']);
            is_include && (named == name || self.asterisk(name) == Path::new(named))
        };
        let texts = files.iter().filter_map(|path| self.tree.get(path));
        texts.flat_map(|text| text.split(|byte| *byte == b'\n')).any(names)
    }

    /// The owner that a new file of Asterisk's configuration gets: that of another one there.
    fn owner(&self, private: bool) -> Owner {
        let directory = self.survey.asterisk_owner.map(|owner| Owner { mode: 0o640, ..owner });
        let owner = self.survey.conf_owner.or(directory);
        let owner = owner.unwrap_or(Owner { uid: 0, gid: 0, mode: 0o640 });
        // No program runs by it, and a password in it is nobody else's.
        let mask = if private { 0o640 } else { 0o664 };
        Owner { mode: owner.mode & mask, ..owner }
    }

    /// Takes up a change, whatever is proposed for that file already.
    fn write(&mut self, path: PathBuf, new: Vec<u8>, owner: Owner, why: impl Into<String>) {
        self.tree.put(&path, new.clone());
        let why = why.into();
        if let Some(edit) = self.plan.files.iter_mut().find(|edit| edit.path == path) {
            edit.new = new;
            edit.why.push(why);
            return;
        }
        let old = self.survey.tree.get(&path).map(<[u8]>::to_vec);
        if old.as_deref() != Some(&new) {
            self.plan.files.push(FileEdit { path, why: vec![why], old, new, owner });
        }
    }

    fn by_hand(
        &mut self,
        place: impl Into<String>,
        why: impl Into<String>,
        text: impl Into<String>,
    ) {
        self.plan.by_hand.push(ByHand { place: place.into(), why: why.into(), text: text.into() });
    }

    /// Whether the distribution `writes` Asterisk's files itself; then people are told where to write the `text`.
    fn is_written_anew(&mut self, writes: &str, text: &str) -> bool {
        let distribution = self.survey.distribution;
        let Some(place) = distribution.writes_by_itself() else { return false };
        self.by_hand(place, format!("{} writes {writes}", distribution.name()), text);
        true
    }

    fn note(&mut self, note: impl Into<String>) {
        self.plan.notes.push(note.into());
    }

    fn is_read(&self, path: &Path) -> bool {
        let fits = |pattern: &String| Pattern::new(pattern).is_ok_and(|p| p.matches_path(path));
        self.survey.logpath.iter().any(fits)
    }

    fn logger_conf(&self, tree: &Tree) -> LoggerConf {
        let (conf, _) = self.read(tree, "logger.conf");
        LoggerConf::of(&conf, &self.survey.logs, self.survey.host.as_deref())
    }

    /// Plans what Asterisk logs; returns the paths of the new logs.
    fn logger(&mut self) -> Vec<PathBuf> {
        let logger = self.logger_conf(&self.tree);
        let json = self.survey.version.is_some_and(AsteriskVersion::writes_json);
        let has = |level: &str, is_it: &dyn Fn(&LogFile) -> bool| {
            logger.files.iter().any(|file| file.has(level) && is_it(file))
        };
        let sound = |file: &LogFile| file.is_believed();
        let mut lines: Vec<(String, &str, &str)> = Vec::new();
        let whole = |file: &LogFile| file.json && file.has("security");
        if json && !has("notice", &whole) {
            let why = "one JSON object a message: nobody can fake lines in it, so it can prove what it says";
            lines.push((JSON.to_owned(), JSON_LEVELS, why));
        }
        let taken =
            |name: &str| logger.files.iter().any(|file| file.path == self.survey.logs.join(name));
        let free = |names: [&'static str; 3]| {
            names.into_iter().find(|name| !taken(name)).unwrap_or("asterguard.log").to_owned()
        };
        if !has("notice", &|file| sound(file) && !file.json) {
            let why = "refused logins and calls, without VERBOSE lines, into which callers write what they like";
            let name = free(["messages", "messages.log", "asterguard"]);
            lines.push((name, "notice,warning,error", why));
        }
        if !json && !has("security", &sound) {
            let why = "PJSIP's wrong passwords and logins";
            lines.push((free(["security", "security.log", "asterguard"]), "security", why));
        }
        if lines.is_empty() {
            self.note("Asterisk's logs have all that they can have: logger.conf stays as it is");
            return Vec::new();
        }
        let text = lines.iter().map(|(name, levels, _)| format!("{name} => {levels}\n"));
        let text = text.collect::<Vec<_>>().concat();
        let why = lines
            .iter()
            .map(|(name, _, why)| format!("{name}: {why}"))
            .collect::<Vec<_>>()
            .join("\n");
        if self.write_logger(&text, &why, lines.len() + logger.files.len()) {
            let added = lines.iter().map(|(name, ..)| self.survey.logs.join(name));
            added.collect()
        } else {
            Vec::new()
        }
    }

    /// Writes lines into `[logfiles]`, where this distribution keeps those of people. Whether that worked.
    fn write_logger(&mut self, lines: &str, why: &str, files: usize) -> bool {
        let (conf, opened) = self.read(&self.tree, "logger.conf");
        let place = self.asterisk("logger.conf");
        let shown = place.display().to_string();
        let text = format!("[logfiles]\n{lines}");
        if self.is_written_anew("logger.conf anew: it would be lost there", &text) {
            return false;
        }
        if self.executes(&opened) {
            self.by_hand(shown, "a program writes a part of logger.conf (#exec)", text);
            return false;
        }
        let marked = format!("{MARK}\n{lines}");
        let section = conf.sections.iter().find(|s| s.name.eq_ignore_ascii_case("logfiles"));
        let (custom, more) = ("logger_logfiles_custom.conf", "logger.d/*.conf");
        let (path, new) = if self.includes(&opened, custom) {
            let path = self.asterisk(custom);
            let old = self.tree.get(&path).unwrap_or_default();
            (path.clone(), Some(edits::append(old, &marked)))
        } else if self.includes(&opened, more) {
            let header = if section.is_some() { "[logfiles](+)" } else { "[logfiles]" };
            (
                self.asterisk("logger.d/90-asterguard.conf"),
                Some(format!("{MARK}\n{header}\n{lines}").into()),
            )
        } else if let Some(section) = section {
            let path = PathBuf::from(&*section.file);
            let old = self.tree.get(&path).unwrap_or_default();
            let new = edits::into_section(old, "logfiles", &marked);
            (path, new)
        } else {
            let old = self.tree.get(&place).unwrap_or_default();
            (place.clone(), Some(edits::append(old, &format!("{MARK}\n[logfiles]\n{lines}"))))
        };
        let read = |tree: &Tree| self.logger_conf(tree).files.len();
        let Some(new) = new.filter(|new| {
            let mut tree = self.tree.clone();
            tree.put(&path, new.clone());
            read(&tree) == files
        }) else {
            self.by_hand(shown, UNREAD, text);
            return false;
        };
        let owner = self.owner(false);
        self.write(path, new, owner, why);
        true
    }

    /// Plans that Asterisk copies its SIP messages to the guard.
    fn hep(&mut self) {
        let is_pjsip = self.survey.listening.sip.iter().any(|port| port.driver == Driver::Pjsip);
        if !is_pjsip {
            return self.note("chan_pjsip opens no port: HEP, which is of it, stays as it is");
        }
        if !self.survey.wire {
            return self.note(
                "the guard watches no network traffic ([wire] enabled = false): HEP stays as it is",
            );
        }
        if self.survey.hep_module == Some(false) {
            return self.note(
                "res_hep_pjsip is not installed: what comes over TLS and WebSocket is seen in the logs only",
            );
        }
        let found = HepConf::read(&mut self.tree.conf(&self.survey.places.asterisk));
        let (conf, opened) = self.read(&self.tree, "hep.conf");
        let written = || {
            let section = conf.sections.iter().find(|s| !s.template && s.name == "general")?;
            section.last("capture_address").filter(|address| !address.is_empty())
        };
        match found {
            Some(HepConf { enabled: true, capture_address, .. })
                if capture_address != CaptureAddress::Missing =>
            {
                let words = match capture_address {
                    CaptureAddress::Address(to) => {
                        format!("hep.conf sends to {to}: it stays as it is, and is copied")
                    }
                    _ => "hep.conf names a collector: it stays as it is".to_owned(),
                };
                self.note(words);
                return self.modules();
            }
            Some(HepConf { enabled: false, .. })
                if written().is_some_and(|address| address != SAMPLE) =>
            {
                return self.note(
                    "hep.conf has a collector and is switched off: it stays so; with `enabled = yes`, the guard is copied what is sent there",
                );
            }
            _ => {}
        }
        if self.survey.secret.is_empty() {
            return self.note("there are no random numbers for a password: HEP stays as it is");
        }
        let free = HEP_PORTS.into_iter().find(|port| !self.survey.udp.contains(port));
        let address = SocketAddr::from(([127, 0, 0, 1], free.unwrap_or(HEP_PORTS.start)));
        let (to, secret) = (address.to_string(), self.survey.secret.clone());
        let values = [
            ("enabled", "yes"),
            ("capture_address", to.as_str()),
            ("capture_password", secret.as_str()),
            ("uuid_type", "call-id"),
        ];
        let lines = values.iter().map(|(key, value)| format!("{key} = {value}\n"));
        let lines = lines.collect::<Vec<_>>().concat();
        let by_hand =
            format!("[general]\n{lines}").replace(&secret, "(a long word that nobody knows)");
        let place = self.asterisk("hep.conf");
        let shown = place.display().to_string();
        if self.is_written_anew("Asterisk's configuration anew (hep.conf)", &by_hand) {
            return;
        }
        if self.executes(&opened) {
            return self.by_hand(shown, "a program writes a part of hep.conf (#exec)", by_hand);
        }
        let section = conf.sections.iter().find(|s| !s.template && s.name == "general");
        let (path, new) = match section {
            _ if self.includes(&opened, "hep.d/*.conf") => {
                let header = if section.is_some() { "[general](+)" } else { "[general]" };
                let path = self.asterisk("hep.d/90-asterguard.conf");
                (path, Some(format!("{MARK}\n{header}\n{lines}").into_bytes()))
            }
            Some(section) => {
                let path = PathBuf::from(&*section.file);
                let old = self.tree.get(&path).unwrap_or_default();
                let new = edits::with_values(old, "general", &values);
                (path, new)
            }
            None => {
                let old = self.tree.get(&place).unwrap_or_default();
                (place, Some(edits::append(old, &format!("{MARK}\n[general]\n{lines}"))))
            }
        };
        let new = new.filter(|new| {
            let mut tree = self.tree.clone();
            tree.put(&path, new.clone());
            let read = HepConf::read(&mut tree.conf(&self.survey.places.asterisk));
            read.is_some_and(|hep| hep.target() == Some(address))
        });
        let Some(new) = new else {
            return self.by_hand(shown, UNREAD, by_hand);
        };
        let owner = self.owner(true);
        let why = format!(
            "Asterisk copies each SIP message to {address} on this machine, TLS and WebSocket too; nobody has to listen there, the guard sees it on the way"
        );
        self.write(path, new, owner, why);
        self.modules();
    }

    /// Plans that Asterisk loads what sends copies.
    fn modules(&mut self) {
        let loads_all = |tree: &Tree| {
            let (conf, _) = self.read(tree, "modules.conf");
            HEP_MODULES.iter().all(|module| modules_conf::loads(&conf, module))
        };
        let (_, opened) = self.read(&self.tree, "modules.conf");
        // Without modules.conf, Asterisk does not start.
        if opened.is_empty() || loads_all(&self.tree) {
            return;
        }
        let is_ours = |value: &str| HEP_MODULES.contains(&value.trim_end_matches(".so"));
        let mut tree = self.tree.clone();
        let mut changed = Vec::new();
        for path in &opened {
            if let Some(new) = edits::without(tree.get(path).unwrap_or_default(), "noload", is_ours)
            {
                tree.put(path, new.clone());
                changed.push((path.clone(), new));
            }
        }
        if !loads_all(&tree) {
            let main = self.asterisk("modules.conf");
            let lines = "load = res_hep.so\nload = res_hep_pjsip.so\n";
            let old = tree.get(&main).unwrap_or_default();
            if let Some(new) = edits::into_section(old, "modules", &format!("{MARK}\n{lines}")) {
                tree.put(&main, new.clone());
                changed.retain(|(path, _)| *path != main);
                changed.push((main, new));
            }
        }
        if !loads_all(&tree) {
            let shown = self.asterisk("modules.conf").display().to_string();
            let text = "load = res_hep.so\nload = res_hep_pjsip.so\n";
            return self.by_hand(shown, UNREAD, text);
        }
        let owner = self.owner(false);
        for (path, new) in changed {
            self.write(
                path,
                new,
                owner,
                "Asterisk loads what sends the copies when it starts, too",
            );
        }
    }

    /// Plans that the new logs are rotated.
    fn rotation(&mut self, added: &[PathBuf]) {
        let logger = self.logger_conf(&self.tree);
        let ours = self.survey.logs.join(JSON);
        let ours = logger.files.iter().map(|file| &file.path).filter(|path| **path == ours);
        let Some(directory) = self.survey.places.logrotate.clone() else {
            if let Some(first) = added.first() {
                let place = first.display();
                self.note(format!(
                    "there is no /etc/logrotate.d: see to it that {place} does not grow for ever"
                ));
            }
            return;
        };
        let path = directory.join(ROTATION);
        let kept = self.tree.get(&path).map(rotated).unwrap_or_default();
        let others: Vec<String> = self
            .tree
            .iter()
            .filter(|(file, _)| file.parent() == Some(&directory) && *file != path)
            .flat_map(|(_, text)| rotated(text))
            .collect();
        let is_new = |path: &PathBuf| {
            let fits = |pattern: &String| Pattern::new(pattern).is_ok_and(|p| p.matches_path(path));
            !others.iter().any(fits)
        };
        let all = added.iter().chain(ours).filter(|path| is_new(path));
        let mut paths: BTreeSet<String> = all.map(|path| path.display().to_string()).collect();
        paths.extend(kept);
        if paths.is_empty() {
            return;
        }
        let su = self.survey.logs_owner.and_then(|owner| {
            let user = self.survey.users.get(&owner.uid)?;
            let group = self.survey.groups.get(&owner.gid)?;
            Some(format!("\tsu {user} {group}\n")).filter(|_| owner.uid != 0)
        });
        let text = format!(
            "# By asterguard setup.\n{}\n{{\n\tdaily\n\trotate 7\n\tmaxsize 100M\n\tmissingok\n\tnotifempty\n\tcompress\n\tdelaycompress\n{}\tsharedscripts\n\tpostrotate\n\t\tasterisk -rx 'logger reload' >/dev/null 2>&1 || true\n\tendscript\n}}\n",
            paths.iter().cloned().collect::<Vec<_>>().join("\n"),
            su.unwrap_or_default(),
        );
        let owner = Owner { uid: 0, gid: 0, mode: 0o644 };
        self.write(path, text.into(), owner, "logrotate keeps a week of the new logs");
    }

    /// Plans a user of the manager interface, which tells of refused logins whatever is logged. Whether the guard has one.
    fn ami(&mut self) -> bool {
        let (conf, opened) = self.read(&self.tree, "manager.conf");
        if !conf.general("enabled").is_some_and(is_true) {
            self.note("the manager interface (AMI) is switched off, and stays so");
            return false;
        }
        let bound = conf.general("bindaddr").and_then(|text| text.parse::<IpAddr>().ok());
        if bound.is_some_and(|address| !address.is_unspecified() && !address.is_loopback()) {
            self.note("the manager interface (AMI) is not at 127.0.0.1: the guard does without it");
            return false;
        }
        let is_ours = |conf: &Conf| {
            let mut users = conf.sections.iter().filter(|section| section.name == USER);
            users.any(|user| user.last("read") == Some("security"))
        };
        let path = self.survey.places.secret.clone();
        let known =
            self.tree.get(&path).map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
        if is_ours(&conf) {
            if known.is_none() {
                let shown = path.display();
                self.note(format!(
                    "manager.conf has a user {USER}, and there is no {shown} with its secret"
                ));
            }
            return known.is_some();
        }
        let secret = known.clone().unwrap_or_else(|| self.survey.ami_secret.clone());
        if secret.is_empty() {
            self.note("there are no random numbers for a secret: the guard gets no user of the manager interface");
            return false;
        }
        self.plan.secrets.push(secret.clone());
        let user = stanza(USER, &secret);
        let by_hand = user.replace(&secret, "(what asterguard ami-user --generate says)");
        let place = self.asterisk("manager.conf");
        let shown = place.display().to_string();
        if self.is_written_anew("manager.conf anew: it would be lost there", &by_hand) {
            return false;
        }
        let custom = "manager_custom.conf";
        let (path_of_user, old) = if self.includes(&opened, custom) {
            let path = self.asterisk(custom);
            let old = self.tree.get(&path).unwrap_or_default().to_vec();
            (path, old)
        } else if self.includes(&opened, "manager.d/*.conf") {
            (self.asterisk("manager.d/90-asterguard.conf"), Vec::new())
        } else {
            let old = self.tree.get(&place).unwrap_or_default().to_vec();
            (place, old)
        };
        let new = edits::append(&old, &format!("{MARK}\n{user}"));
        let mut tree = self.tree.clone();
        tree.put(&path_of_user, new.clone());
        if !is_ours(&self.read(&tree, "manager.conf").0) {
            self.by_hand(shown, UNREAD, by_hand);
            return false;
        }
        let owner = self.owner(true);
        let why = "the guard may read security events here, and nothing else: they tell of refused logins, whatever is logged";
        self.write(path_of_user, new, owner, why);
        if known.is_none() {
            let gid = self.survey.user.as_ref().map_or(0, |user| user.gid.as_raw());
            let owner = Owner { uid: 0, gid, mode: 0o640 };
            self.write(path, format!("{secret}\n").into_bytes(), owner, "the secret of that user");
        }
        true
    }

    /// Plans what the guard's own configuration says.
    fn own(&mut self, wishes: &Wishes, ami: bool) {
        let wanted = wishes.mode;
        let survey = self.survey;
        let path = survey.places.own.clone();
        let old = own_settings(survey);
        if old.is_none() && survey.tree.get(&path).is_some() {
            let shown = path.display().to_string();
            return self.note(format!("{shown} cannot be read: it stays as it is"));
        }
        let default = old.as_ref().and_then(|old| old.get("default")?.as_table()).cloned();
        let mut default = default.unwrap_or_default();
        let mut why = Vec::new();
        match (wanted, &old) {
            (Wanted::Enforce, _) => {
                if default.remove("mode").is_some() {
                    why.push("the guard bans from now on".to_owned());
                }
            }
            // What was decided since is somebody's will.
            (Wanted::Observe, Some(_)) => {}
            (Wanted::Observe, None) if survey.mode_written.is_some() => {
                let file = survey.mode_written.as_deref().unwrap_or(Path::new("")).display();
                self.note(format!("{file} says whether the guard bans: that stays"));
            }
            (Wanted::Observe, None) if survey.has_banned => {
                self.note("the guard has banned hosts already, and goes on; to begin by observing: mode = \"observe\"");
            }
            (Wanted::Observe, None) => {
                default.insert("mode".to_owned(), "observe".into());
                why.push("the guard begins by reporting whom it would ban; when you agree: asterguard setup --enforce".to_owned());
            }
        }
        let unread = self.unread_logs();
        if !unread.is_empty() {
            let named = default.get("logpath").and_then(Value::as_array).cloned();
            let named = named
                .unwrap_or_else(|| survey.logpath.iter().cloned().map(Value::String).collect());
            let all = named.into_iter().chain(unread.iter().cloned().map(Value::String)).collect();
            default.insert("logpath".to_owned(), Value::Array(all));
            why.push(format!("the guard reads {}", unread.join(", ")));
        }
        let mut file = old.unwrap_or_default();
        if ami && !file.contains_key("ami") {
            let (conf, _) = self.read(&self.tree, "manager.conf");
            let ports = conf.sections.iter().filter_map(|section| section.last("port"));
            let port =
                ports.filter_map(|port| port.parse::<u16>().ok()).find(|port| *port != AMI_PORT);
            let mut section = Table::new();
            section.extend(port.map(|port| ("port".to_owned(), Value::Integer(port.into()))));
            file.insert("ami".to_owned(), Value::Table(section));
            why.push("the guard asks the manager interface".to_owned());
        }
        self.services(&wishes.jails, &mut file, &mut why);
        if why.is_empty() {
            return;
        }
        if !default.is_empty() || file.contains_key("default") {
            file.insert("default".to_owned(), Value::Table(default));
        }
        let owner = Owner { uid: 0, gid: 0, mode: 0o644 };
        self.write(path, own_text(&file).into(), owner, why.join("\n"));
    }

    /// Plans which jails of services that are not Asterisk's are switched on, and names those that could be.
    fn services(&mut self, jails: &[String], file: &mut Table, why: &mut Vec<String>) {
        for offer in &self.survey.services {
            let name = &offer.jail;
            if !jails.contains(name) {
                self.note(format!("the jail {name} is off, and its service runs here; to switch it on: asterguard setup --jail {name}"));
                continue;
            }
            let all = file.entry("jail").or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(all) = all else { continue };
            let mut jail = Table::from_iter([("enabled".to_owned(), Value::Boolean(true))]);
            let logpath = offer.logpath.clone().map(Value::String);
            jail.extend(logpath.map(|path| ("logpath".to_owned(), path)));
            all.insert(name.clone(), Value::Table(jail));
            why.push(format!("the guard guards the logins of {name}"));
        }
    }

    /// Plans that the service may read the logs of those that are switched on.
    fn group_of_services(&mut self, jails: &[String]) {
        let Some(user) = &self.survey.user else { return };
        let wanted = self.survey.services.iter().filter(|offer| jails.contains(&offer.jail));
        for (path, owner) in wanted.filter_map(|offer| offer.log.as_ref()) {
            let member = user.groups.iter().any(|group| group.as_raw() == owner.gid);
            if owner.mode & 0o004 != 0 || (member && owner.mode & 0o040 != 0) {
                continue;
            }
            let path = path.display();
            match self.survey.groups.get(&owner.gid) {
                Some(group) if owner.mode & 0o040 != 0 && owner.gid != 0 => {
                    if !self.plan.groups.iter().any(|known| known.group == *group) {
                        self.plan.groups.push(GroupEdit {
                            user: USER.to_owned(),
                            group: group.clone(),
                            why: format!("the service reads {path}"),
                        });
                    }
                }
                _ => self.plan.notes.push(format!(
                    "{path} has the mode {:o}: the user {USER} cannot read it; give it a group, and that group r",
                    owner.mode
                )),
            }
        }
    }

    /// Logs with attempts that the guard does not read.
    fn unread_logs(&self) -> Vec<String> {
        let logger = self.logger_conf(&self.tree);
        let read = |level: &str| {
            logger
                .files
                .iter()
                .any(|file| file.has(level) && file.is_believed() && self.is_read(&file.path))
        };
        let ours = self.survey.logs.join(JSON);
        let is_missed = |file: &&LogFile| {
            let tells = ["notice", "security"].iter().any(|level| file.has(level) && !read(level));
            file.is_believed() && !self.is_read(&file.path) && (tells || file.path == ours)
        };
        let missed = logger.files.iter().filter(is_missed);
        let mut missed: Vec<_> = missed.map(|file| file.path.display().to_string()).collect();
        // Where no file can be had, what goes to syslog is in the journal, too.
        let tells = |file: &LogFile| file.has("notice") && file.is_believed();
        let is_known = self.survey.logpath.iter().any(|path| path == JOURNAL);
        if logger.syslog && !is_known && !logger.files.iter().any(tells) {
            missed.push(JOURNAL.to_owned());
        }
        missed
    }

    /// Plans that the service may read what it has to.
    fn group(&mut self) {
        let Some(user) = &self.survey.user else { return };
        let places = [
            (&self.survey.logs, self.survey.logs_owner, "Asterisk's logs"),
            (
                &self.survey.places.asterisk,
                self.survey.asterisk_owner,
                "Asterisk's configuration, with your trunks",
            ),
        ];
        for (path, owner, what) in places {
            let Some(owner) = owner else { continue };
            let member = user.groups.iter().any(|group| group.as_raw() == owner.gid);
            let others = owner.mode & 0o005 == 0o005;
            if others || (member && owner.mode & 0o050 == 0o050) || user.uid.as_raw() == owner.uid {
                continue;
            }
            match self.survey.groups.get(&owner.gid) {
                Some(group) if owner.mode & 0o050 == 0o050 && owner.gid != 0 => {
                    let edit = GroupEdit {
                        user: USER.to_owned(),
                        group: group.clone(),
                        why: format!("the service reads {what} in {}", path.display()),
                    };
                    if !self.plan.groups.iter().any(|known| known.group == edit.group) {
                        self.plan.groups.push(edit);
                    }
                }
                _ => {
                    let (path, mode) = (path.display(), owner.mode);
                    self.plan.notes.push(format!(
                        "{path} has the mode {mode:o}: the user {USER} cannot read {what}; give it a group, and that group rx"
                    ));
                }
            }
        }
    }
}

/// Returns the logs that Asterisk writes about hosts, whose lines can be believed and the guard reads.
#[must_use]
pub fn watched(survey: &Survey) -> Vec<PathBuf> {
    let planner = Planner { survey, tree: survey.tree.clone(), plan: Plan::default() };
    let logger = planner.logger_conf(&planner.tree);
    let tells =
        |file: &&LogFile| file.has("notice") && file.is_believed() && planner.is_read(&file.path);
    logger.files.iter().filter(tells).map(|file| file.path.clone()).collect()
}

/// Returns the logs that Asterisk writes, each with its levels, for people.
#[must_use]
pub fn logs_in_words(survey: &Survey) -> Vec<String> {
    let planner = Planner { survey, tree: survey.tree.clone(), plan: Plan::default() };
    let words = |file: &LogFile| {
        let json = if file.json { "[json] " } else { "" };
        let read = if planner.is_read(&file.path) { "" } else { "; no jail reads it" };
        format!("{} ({json}{}){read}", file.path.display(), file.levels.join(", "))
    };
    planner.logger_conf(&planner.tree).files.iter().map(words).collect()
}

/// The paths and patterns that a file of logrotate's is about.
fn rotated(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let mut within = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if !within {
            let words = line.trim_end_matches('{').split_whitespace();
            let words = words.map(|word| word.trim_matches(['"', '\'']));
            found.extend(words.filter(|word| word.starts_with('/')).map(str::to_owned));
        }
        within = (within || line.ends_with('{')) && line != "}";
    }
    found
}

/// The text of the guard's file.
fn own_text(file: &Table) -> String {
    format!(
        "# By asterguard setup. What files with later names in this directory say counts more; `asterguard setup --undo`\n# takes it back.\n{}",
        toml::to_string(file).unwrap_or_default()
    )
}
