//! Setup on the files of each distribution (`tests/data/distributions`): what it plans, that a second run plans nothing,
//! and that undo leaves what was there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::apply::{ApplyError, apply};
use super::plan::{Plan, Wanted, Wishes, logs_in_words, watched};
use super::record::Record;
use super::survey::{Owner, Places, Survey};
use super::undo::{Undone, undo};
use super::*;
use crate::decide::plan_files::load_plan;
use crate::hosts::asterisk::hep_conf::HepConf;
use crate::hosts::asterisk::version::AsteriskVersion;

/// The word that stands for a random one.
const SECRET: &str = "nobodyknowsthis";
const AMI_SECRET: &str = "norhasseenthis";

/// A machine with the files of a distribution.
struct Machine {
    root: TempDir,
    version: Option<AsteriskVersion>,
}

impl Machine {
    fn of(distribution: &str) -> Self {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/distributions");
        let root = tempfile::tempdir().unwrap();
        let from = data.join(distribution);
        copy(&from, root.path());
        let version = fs::read_to_string(from.join("version")).unwrap();
        fs::remove_file(root.path().join("version")).unwrap();
        let machine = Self { root, version: AsteriskVersion::parse(&version) };
        machine.write("etc/asterguard/asterguard.toml", "# nothing\n");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn look(&self) -> Survey {
        let main = self.path("etc/asterguard/asterguard.toml");
        let guard = load_plan(Some(&main)).unwrap();
        let (etc, main) =
            (Path::new("/etc/asterisk"), Path::new("/etc/asterguard/asterguard.toml"));
        let places = Places::below(self.root.path(), etc, main, Path::new("/var/lib/asterguard"));
        let survey = Survey::look(self.root.path(), places, &guard, None);
        Survey {
            version: self.version,
            secret: SECRET.to_owned(),
            ami_secret: AMI_SECRET.to_owned(),

            ..survey
        }
    }

    fn plan(&self, mode: Wanted) -> Plan {
        Plan::make(&self.look(), &Wishes { mode, ami: false, jails: Vec::new() })
    }

    fn record(&self) -> Record {
        Record::open(&self.path("var/lib/asterguard-setup")).unwrap()
    }

    fn apply(&self, plan: &Plan) -> Result<(), ApplyError> {
        apply(plan, &mut self.record(), |_| {})
    }

    fn set_up(&self) {
        self.apply(&self.plan(Wanted::Observe)).unwrap();
    }

    fn undo(&self) -> Vec<Undone> {
        undo(&mut self.record()).unwrap()
    }

    /// All files with their bytes and modes.
    fn all(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut all = BTreeMap::new();
        collect(self.root.path(), &mut all);
        all
    }

    /// What a plan says, with all differences.
    fn shown(&self, plan: &Plan) -> String {
        let mut text = String::new();
        for edit in &plan.files {
            let path = edit.path.display().to_string();
            let why = edit.why.join("\n").replace('\n', "\n  ");
            let shown = difference(&path, edit.old.as_deref(), Some(&edit.new), &plan.secrets);
            writeln!(text, "{path}\n  {why}\n{shown}").unwrap();
        }
        for hand in &plan.by_hand {
            writeln!(text, "by hand: {}: {}\n{}", hand.place, hand.why, hand.text).unwrap();
        }
        for note in &plan.notes {
            writeln!(text, "note: {note}").unwrap();
        }
        text.replace(&self.root.path().display().to_string(), "")
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn collect(directory: &Path, all: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            all.insert(path.clone(), (meta.permissions().mode(), Vec::new()));
            collect(&path, all);
        } else {
            let bytes = fs::read(&path).unwrap();
            all.insert(path, (meta.permissions().mode(), bytes));
        }
    }
}

const DISTRIBUTIONS: [&str; 13] = [
    "basic-pbx",
    "freepbx",
    "freepbx-sysadmin",
    "issabel",
    "magnusbilling",
    "mikopbx",
    "nixos",
    "samples-11",
    "samples-18",
    "samples-22",
    "vicidial",
    "vitalpbx",
    "wazo",
];

#[test]
fn each_distribution_gets_what_fits_it() {
    for name in DISTRIBUTIONS {
        let machine = Machine::of(name);
        insta::assert_snapshot!(name, machine.shown(&machine.plan(Wanted::Observe)));
    }
}

#[test]
fn second_run_plans_nothing_and_undo_leaves_no_trace() {
    for name in DISTRIBUTIONS {
        let machine = Machine::of(name);
        fs::create_dir_all(machine.path("var/lib")).unwrap();
        for (number, (path, _)) in
            machine.all().into_iter().filter(|(path, _)| path.is_file()).enumerate()
        {
            let mode = [0o640, 0o644, 0o600][number % 3];
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let before = machine.all();
        machine.set_up();
        let after = machine.all();
        let again = machine.plan(Wanted::Observe);
        assert!(again.is_empty(), "{name}: {}", machine.shown(&again));
        machine.set_up();
        assert_eq!(machine.all(), after, "{name}");
        for (path, (mode, _)) in &before {
            assert_eq!(after.get(path).unwrap().0, *mode, "{name}: {}", path.display());
        }
        for undone in machine.undo() {
            assert!(
                matches!(undone, Undone::Restored(_) | Undone::Removed(_)),
                "{name}: {undone:?}"
            );
        }
        assert_eq!(machine.all(), before, "{name}");
    }
}

#[test]
fn the_guard_reads_what_asterisk_writes_afterwards() {
    for name in DISTRIBUTIONS {
        let machine = Machine::of(name);
        machine.set_up();
        let logs = watched(&machine.look());
        // NixOS has to be told by hand.
        assert_eq!(
            logs.is_empty(),
            name == "nixos",
            "{name}: {:?}",
            logs_in_words(&machine.look())
        );
    }
}

#[test]
fn changed_files_are_left_and_named() {
    let machine = Machine::of("samples-22");
    let logger = "etc/asterisk/logger.conf";
    let before = machine.read(logger);
    machine.set_up();
    let mine = machine.read(logger) + "mine.log => error\n";
    machine.write(logger, &mine);
    let undone = machine.undo();
    let changed = undone.iter().filter_map(|undone| match undone {
        Undone::Changed { path, difference } => Some((path.clone(), difference.clone())),
        _ => None,
    });
    let changed: Vec<_> = changed.collect();
    assert_eq!(changed.len(), 1, "{undone:?}");
    assert_eq!(changed[0].0, machine.path(logger));
    assert!(changed[0].1.contains("\n+mine.log => error"), "{}", changed[0].1);
    assert!(!changed[0].1.contains("asterguard.json\n-"), "{}", changed[0].1);
    assert_eq!(machine.read(logger), mine);
    assert!(!machine.path("etc/logrotate.d/asterguard-asterisk").exists());
    // Once the file is what setup made of it, it can be taken back, too.
    machine.write(logger, &mine.replace("mine.log => error\n", ""));
    assert_eq!(machine.undo(), [Undone::Restored(machine.path(logger))]);
    assert_eq!(machine.read(logger), before);
    assert!(machine.undo().is_empty());
}

#[test]
fn changes_on_top_of_changes_are_taken_back_one_by_one() {
    let machine = Machine::of("samples-22");
    let before = machine.all();
    machine.set_up();
    machine.apply(&machine.plan(Wanted::Enforce)).unwrap();
    assert!(!machine.read("etc/asterguard/conf.d/10-setup.toml").contains("observe"));
    machine.undo();
    fs::remove_dir_all(machine.path("var")).unwrap();
    assert_eq!(machine.all(), before);
}

#[test]
fn nothing_is_written_over_what_changed_meanwhile() {
    let machine = Machine::of("samples-22");
    let before = machine.all();
    let plan = machine.plan(Wanted::Observe);
    let last = plan.files.last().unwrap().path.clone();
    fs::create_dir_all(last.parent().unwrap()).unwrap();
    fs::write(&last, "# somebody else's\n").unwrap();
    let error = machine.apply(&plan).unwrap_err();
    assert!(matches!(&error, ApplyError::Changed(path) if *path == last), "{error}");
    assert_eq!(fs::read_to_string(&last).unwrap(), "# somebody else's\n");
    // What came before it can be taken back.
    machine.undo();
    fs::remove_dir_all(last.parent().unwrap()).unwrap();
    fs::remove_dir_all(machine.path("var")).unwrap();
    assert_eq!(machine.all(), before);
}

#[test]
fn a_run_that_was_killed_can_be_taken_back() {
    let machine = Machine::of("samples-22");
    let before = machine.read("etc/asterisk/logger.conf");
    let plan = machine.plan(Wanted::Observe);
    let edit = &plan.files[0];
    // It was recorded, and not written any more.
    machine.record().add_file(&edit.path, edit.old.as_deref(), &edit.new, Vec::new()).unwrap();
    assert_eq!(machine.undo(), [Undone::AsBefore(edit.path.clone())]);
    assert_eq!(machine.read("etc/asterisk/logger.conf"), before);
}

#[test]
fn the_record_is_for_root_alone() {
    let machine = Machine::of("samples-22");
    machine.set_up();
    let directory = machine.path("var/lib/asterguard-setup");
    assert_eq!(Owner::of(&directory).unwrap().mode, 0o700);
    for entry in fs::read_dir(directory).unwrap() {
        assert_eq!(Owner::of(&entry.unwrap().path()).unwrap().mode, 0o600);
    }
}

#[test]
fn a_record_of_others_is_not_used() {
    let machine = Machine::of("samples-22");
    machine.set_up();
    let directory = machine.path("var/lib/asterguard-setup");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o770)).unwrap();
    let error = Record::open(&directory).unwrap_err();
    assert!(error.to_string().contains("others could have written it"), "{error}");
    // Nor one behind a link.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    let real = machine.path("var/lib/else");
    fs::rename(&directory, &real).unwrap();
    symlink(&real, &directory).unwrap();
    assert!(Record::open(&directory).is_err());
    assert!(Record::open(&real).is_ok());
}

#[test]
fn links_stay_links() {
    let machine = Machine::of("samples-22");
    let (path, real) = (machine.path("etc/asterisk/logger.conf"), machine.path("srv/logger.conf"));
    fs::create_dir_all(machine.path("srv")).unwrap();
    fs::rename(&path, &real).unwrap();
    symlink(&real, &path).unwrap();
    let before = fs::read(&real).unwrap();
    machine.set_up();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("asterguard.json"));
    machine.undo();
    assert_eq!(fs::read(&real).unwrap(), before);
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
}

#[test]
fn links_of_others_to_what_is_not_theirs_are_not_followed() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let machine = Machine::of("samples-22");
    let (path, real) = (machine.path("etc/asterisk/logger.conf"), machine.path("of-root"));
    fs::rename(&path, &real).unwrap();
    symlink(&real, &path).unwrap();
    std::os::unix::fs::lchown(&path, Some(12_345), None).unwrap();
    let before = fs::read(&real).unwrap();
    let error = machine.apply(&machine.plan(Wanted::Observe)).unwrap_err();
    assert!(matches!(&error, ApplyError::Link(link) if *link == path), "{error}");
    assert_eq!(fs::read(&real).unwrap(), before);
    std::os::unix::fs::chown(&real, Some(12_345), None).unwrap();
    machine.set_up();
    assert_ne!(fs::read(&real).unwrap(), before);
}

/// What is planned for a hep.conf: its new content, if it gets one, and what is said.
fn hep(text: &str) -> (Option<String>, String) {
    let machine = Machine::of("samples-22");
    machine.write("etc/asterisk/hep.conf", text);
    let plan = machine.plan(Wanted::Observe);
    let edit = plan.files.iter().find(|edit| edit.path.ends_with("hep.conf"));
    let new = edit.map(|edit| String::from_utf8(edit.new.clone()).unwrap());
    (new, plan.notes.join("\n"))
}

#[test]
fn a_collector_is_never_overwritten() {
    let (new, said) = hep("[general]\nenabled = yes\ncapture_address = 192.0.2.9:9060\n");
    assert!(new.is_none() && said.contains("hep.conf sends to 192.0.2.9:9060"), "{said}");
    let (new, said) = hep("[general]\ncapture_address = homer.example:9060\n");
    assert!(new.is_none() && said.contains("hep.conf names a collector"), "{said}");
    let (new, said) = hep("[general]\nenabled = no\ncapture_address = 192.0.2.9:9060\n");
    assert!(new.is_none() && said.contains("is switched off"), "{said}");
    for text in ["", "[general]\nenabled = yes\n", "[general]\nenabled=no\n[general]\nenabled=no\n"]
    {
        let (new, said) = hep(text);
        let new = new.unwrap_or_else(|| panic!("{text}: {said}"));
        let mut tree = tree::Tree::default();
        tree.put("/e/hep.conf", new);
        let read = HepConf::read(&mut tree.conf(Path::new("/e"))).unwrap();
        assert_eq!(read.target(), Some("127.0.0.1:9060".parse().unwrap()), "{text}");
        assert_eq!(read.capture_password.as_bytes(), SECRET.as_bytes());
    }
}

#[test]
fn a_port_in_use_is_not_taken() {
    let machine = Machine::of("samples-22");
    let mut survey = machine.look();
    survey.udp.extend([9060, 9061]);
    let plan =
        Plan::make(&survey, &Wishes { mode: Wanted::Observe, ami: false, jails: Vec::new() });
    assert!(machine.shown(&plan).contains("+capture_address = 127.0.0.1:9062\n"));
}

#[test]
fn modules_that_are_switched_off_are_switched_on() {
    let machine = Machine::of("samples-22");
    machine.write("etc/asterisk/modules.conf", "[modules]\nautoload=yes\nnoload=res_hep.so\n");
    machine.set_up();
    assert_eq!(
        machine.read("etc/asterisk/modules.conf"),
        "[modules]\nautoload=yes\n; by asterguard setup: noload=res_hep.so\n"
    );
}

#[test]
fn passwords_are_not_shown() {
    let machine = Machine::of("samples-22");
    let plan = machine.plan(Wanted::Observe);
    let text = machine.shown(&plan);
    assert!(text.contains("+capture_password = ****") && !text.contains(SECRET), "{text}");
    machine.set_up();
    assert_eq!(Owner::of(&machine.path("etc/asterisk/hep.conf")).unwrap().mode & 0o007, {
        // It exists already, so it keeps its mode.
        Owner::of(&machine.path("etc/asterisk/logger.conf")).unwrap().mode & 0o007
    });
    let none = Machine::of("freepbx");
    none.set_up();
    assert_eq!(Owner::of(&none.path("etc/asterisk/hep.conf")).unwrap().mode & 0o137, 0);
}

#[test]
fn the_guard_gets_a_user_of_the_manager_interface() {
    let plan = |machine: &Machine, ami| {
        Plan::make(&machine.look(), &Wishes { mode: Wanted::Observe, ami, jails: Vec::new() })
    };
    let machine = Machine::of("freepbx");
    assert!(!machine.shown(&plan(&machine, false)).contains("manager_custom.conf"));
    machine.write("etc/asterisk/manager_additional.conf", "[general](+)\nport = 5039\n");
    machine.apply(&plan(&machine, true)).unwrap();
    let user = machine.read("etc/asterisk/manager_custom.conf");
    assert!(user.contains("[asterguard]\nsecret = norhasseenthis\n"), "{user}");
    assert!(user.contains("\nread = security\nwrite =\n"), "{user}");
    assert_eq!(machine.read("etc/asterguard/ami.secret"), "norhasseenthis\n");
    assert_eq!(Owner::of(&machine.path("etc/asterguard/ami.secret")).unwrap().mode, 0o640);
    let own = machine.read("etc/asterguard/conf.d/10-setup.toml");
    assert!(own.contains("[ami]\nport = 5039\n"), "{own}");
    let again = plan(&machine, true);
    assert!(again.is_empty(), "{}", machine.shown(&again));
    // Where it is switched off, or far away, it stays so.
    for general in ["[general]\nenabled = no\n", "[general]\nenabled = yes\nbindaddr = 192.0.2.1\n"]
    {
        let machine = Machine::of("freepbx");
        machine.write("etc/asterisk/manager.conf", general);
        let plan = plan(&machine, true);
        let manager =
            |edit: &super::plan::FileEdit| edit.path.to_string_lossy().contains("manager");
        assert!(!plan.files.iter().any(manager), "{}", machine.shown(&plan));
        assert!(plan.notes.iter().any(|note| note.contains("manager interface")));
    }
}

#[test]
fn the_jail_of_a_service_is_switched_on_where_it_is_asked_for() {
    let machine = Machine::of("samples-22");
    machine.write("proc/7/comm", "sshd\n");
    machine.write("usr/lib/systemd/system/ssh.service", "");
    let plan = |jails: &[&str]| {
        let jails = jails.iter().map(|jail| (*jail).to_owned()).collect();
        Plan::make(&machine.look(), &Wishes { mode: Wanted::Observe, ami: false, jails })
    };
    let own = machine.path("etc/asterguard/conf.d/10-setup.toml");
    let text = |plan: &Plan| {
        let edit = plan.files.iter().find(|edit| edit.path == own);
        edit.map(|edit| String::from_utf8(edit.new.clone()).unwrap())
    };
    let offered = plan(&[]);
    assert!(offered.notes.iter().any(|note| note.contains("--jail sshd")), "{:?}", offered.notes);
    assert!(!text(&offered).unwrap().contains("sshd"));
    let asked = plan(&["sshd"]);
    let written = text(&asked).unwrap();
    let section = "[jail.sshd]\nenabled = true\nlogpath = \"journal:ssh.service\"\n";
    assert!(written.contains(section), "{written}");
    machine.apply(&asked).unwrap();
    let guard = load_plan(Some(&machine.path("etc/asterguard/asterguard.toml"))).unwrap();
    assert!(guard.jail_named("sshd").is_some());
    // Again, nothing is left to do; and all of it can be taken back.
    assert!(plan(&["sshd"]).is_empty());
    machine.undo();
    assert!(!own.exists());
}

#[test]
fn the_guard_observes_only_where_nobody_decided() {
    let own = |machine: &Machine, wanted| {
        let plan = machine.plan(wanted);
        let edit = plan.files.iter().find(|edit| edit.path.ends_with("10-setup.toml"));
        edit.map(|edit| String::from_utf8(edit.new.clone()).unwrap())
    };
    let machine = Machine::of("samples-22");
    assert!(own(&machine, Wanted::Observe).unwrap().contains("mode = \"observe\""));
    assert_eq!(own(&machine, Wanted::Enforce), None);
    machine.write("etc/asterguard/conf.d/a.toml", "[default]\nmode = 'enforce'\n");
    assert_eq!(own(&machine, Wanted::Observe), None);
    // What setup wrote, and somebody changed, stays.
    let machine = Machine::of("samples-22");
    machine.write("etc/asterguard/conf.d/10-setup.toml", "[default]\nmaxretry = 4\n");
    assert_eq!(own(&machine, Wanted::Observe), None);
    let survey = Survey { has_banned: true, ..Machine::of("samples-22").look() };
    let plan =
        Plan::make(&survey, &Wishes { mode: Wanted::Observe, ami: false, jails: Vec::new() });
    assert!(!plan.files.iter().any(|edit| edit.path.ends_with("10-setup.toml")));
    assert!(plan.notes.iter().any(|note| note.contains("has banned hosts already")));
}

#[test]
fn logs_with_names_of_their_own_are_read() {
    let machine = Machine::of("samples-22");
    machine.write("etc/asterisk/asterisk.conf", "[directories]\nastlogdir => /srv/logs\n");
    machine.set_up();
    let text = machine.read("etc/asterguard/conf.d/10-setup.toml");
    assert!(
        text.contains("\"/srv/logs/asterguard.json\"") && text.contains("/var/log/asterisk/full"),
        "{text}"
    );
    assert!(text.contains("\"/srv/logs/messages.log\""), "{text}");
    assert!(machine.plan(Wanted::Observe).is_empty());
}

#[test]
fn what_asterisk_would_not_read_is_not_written() {
    let machine = Machine::of("samples-22");
    let logger = ";--\n[logfiles]\n--;\n[general]\n";
    machine.write("etc/asterisk/logger.conf", logger);
    let plan = machine.plan(Wanted::Observe);
    let edit = plan.files.iter().find(|edit| edit.path.ends_with("logger.conf")).unwrap();
    assert!(edit.new.starts_with(logger.as_bytes()), "{}", machine.shown(&plan));
    machine.write("etc/asterisk/logger.conf", ";--\n[logfiles]\n--;\n[logfiles]\n");
    let plan = machine.plan(Wanted::Observe);
    assert_eq!(plan.by_hand.len(), 1, "{}", machine.shown(&plan));
    assert!(plan.by_hand[0].why.contains("would not read it"));
}
