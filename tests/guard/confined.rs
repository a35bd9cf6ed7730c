//! What shuts the two processes in, from within: a program that tries each thing which they must not do.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Command, Stdio};
use std::thread;

use asterguard::daemon::{self, Options, SinkKind, Supervisor};
use asterguard::decide::plan_files::load_plan;
use asterguard::sys::peer::Peers;
use asterguard::sys::sandbox::{self, Needs};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::CONFIG;
use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, Netns};

const PROBE: &str = include_str!("../kit/confined.py");

/// What is refused always.
const NEVER: [&str; 33] = [
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "chown",
    "lchown",
    "fchown",
    "fchownat",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "setxattrat",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "removexattrat",
    "file_setattr",
    "utimensat",
    "open_by_handle_at",
    "clone(NEWNS)",
    "clone(NEWCGROUP)",
    "clone(NEWUTS)",
    "clone(NEWIPC)",
    "clone(NEWUSER)",
    "clone(NEWPID)",
    "clone(NEWNET)",
    "unshare",
    "packet",
    "netlink-audit",
    "netlink-uevent",
    "netlink-generic",
    "pair-datagram",
    "pair-seqpacket",
];

/// What works always.
const ALWAYS: [&str; 6] =
    ["fork", "thread", "pair-stream", "netlink-route", "netlink-sock-diag", "netlink-netfilter"];

/// What depends on the process: the names of those that work are given.
const DEPENDS: [&str; 6] =
    ["connect", "local-stream", "local-datagram", "local-seqpacket", "abstract", "udp"];

/// The outcomes by name.
type Outcomes = BTreeMap<String, String>;

fn outcomes(printed: &str) -> Outcomes {
    let lines = printed.lines().filter_map(|line| line.split_once(' '));
    let known =
        |name: &str| name == "clone3" || [&NEVER[..], &ALWAYS, &DEPENDS].concat().contains(&name);
    let lines = lines.filter(|(name, _)| known(name));
    lines.map(|(name, outcome)| (name.to_owned(), outcome.to_owned())).collect()
}

fn is_refused(outcomes: &Outcomes, name: &str) -> bool {
    outcomes.get(name).is_none_or(|outcome| outcome == "Operation not permitted")
}

/// Checks that nothing works but what always does, and these.
fn assert_only(outcomes: &Outcomes, works: &[&str]) {
    let old = if cfg!(target_arch = "x86_64") { 0 } else { 3 };
    assert_eq!(
        outcomes.len(),
        NEVER.len() + ALWAYS.len() + DEPENDS.len() + 1 - old,
        "{outcomes:#?}"
    );
    for name in NEVER {
        assert!(is_refused(outcomes, name), "{name} is not refused: {outcomes:#?}");
    }
    // As on a kernel that does not have it, so that a C library uses `clone`.
    assert_eq!(outcomes["clone3"], "Function not implemented");
    for name in ALWAYS.iter().chain(works) {
        assert_eq!(outcomes[*name], "works", "{name}: {outcomes:#?}");
    }
    for name in DEPENDS.iter().filter(|name| !works.contains(name)) {
        assert!(is_refused(outcomes, name), "{name} is not refused: {outcomes:#?}");
    }
}

/// A place for the probe: somebody's file, and sockets that somebody listens at.
struct Place {
    home: Home,
    abstract_name: String,
    _listeners: [UnixListener; 2],
}

impl Place {
    fn new() -> Self {
        let home = Home::new(CONFIG);
        home.write("theirs", "secret");
        fs::create_dir(home.path("state")).unwrap();
        let abstract_name = format!("asterguard-probe-{}", home.path("").display());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let listeners = [
            UnixListener::bind(home.path("theirs.sock")).unwrap(),
            UnixListener::bind_addr(&address).unwrap(),
        ];
        Self { home, abstract_name, _listeners: listeners }
    }

    fn arguments(&self) -> [String; 3] {
        let path = |name: &str| self.home.path(name).to_str().unwrap().to_owned();
        [path("theirs"), path("theirs.sock"), self.abstract_name.clone()]
    }

    /// Runs the probe in a thread that is shut in by what a process needs; `None`: that is not shut in.
    fn probe(&self, needs: Option<Needs>) -> Outcomes {
        let arguments = self.arguments();
        let unconnected = unconnected();
        let probing = thread::spawn(move || {
            if let Some(needs) = needs {
                sandbox::give_up_capabilities().unwrap();
                // The probe is a program, and the guard would execute none.
                let needs = Needs { execute: sandbox::programs(), ..needs };
                let failed = sandbox::confine(&needs);
                assert!(failed.is_empty(), "{failed:?}");
            }
            let mut python = Command::new(kit::python());
            let output =
                python.args(["-c", PROBE]).args(arguments).stdin(unconnected).output().unwrap();
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{complaint}");
            String::from_utf8(output.stdout).unwrap()
        });
        outcomes(&probing.join().unwrap())
    }

    fn guard(&self, names: Option<&str>, sink: SinkKind) -> Needs {
        let config = self.home.path("asterguard.toml");
        let options = Options {
            config: Some(config.clone()),
            state_dir: self.home.path("state"),
            socket: self.home.path("state/socket"),
            sink,
            peers: Peers { names: names.map(Into::into), ..Peers::default() },
            user: None,
            supervisor: Supervisor::Nobody,
        };
        daemon::needs(&options, &load_plan(Some(&config)).unwrap().config)
    }
}

fn unconnected() -> Stdio {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    Stdio::from(socket)
}

#[test]
fn whoever_is_not_shut_in_can_do_it() {
    if !kit::usable() {
        return;
    }
    let outcomes = Place::new().probe(None);
    // A kernel may not have all of them, or not all with these arguments.
    for name in NEVER.iter().chain(&["clone3"]) {
        let old = ["chmod", "chown", "lchown"].contains(name) && !cfg!(target_arch = "x86_64");
        assert!(old || !is_refused(&outcomes, name), "{name}: {outcomes:#?}");
    }
    assert_ne!(outcomes["clone3"], "Function not implemented");
    for name in ALWAYS.iter().chain(&DEPENDS) {
        assert_eq!(outcomes[*name], "works", "{name}");
    }
}

#[test]
fn guard_that_is_shut_in_can_do_nothing_else() {
    if !kit::usable() {
        return;
    }
    let place = Place::new();
    let names = Some("/run/asterguard-names.sock");
    // The service: names are looked up by another process, and the firewall helper connects to that.
    assert_only(&place.probe(Some(place.guard(names, SinkKind::Netlink))), &[]);
    // By hand, it looks names up itself: it connects to name servers. To something local it could if it were handed a socket
    // that leads nowhere yet, as the probe is.
    assert_only(&place.probe(Some(place.guard(None, SinkKind::Netlink))), &["connect", "udp"]);
    let local = ["connect", "local-stream"];
    assert_only(&place.probe(Some(place.guard(names, SinkKind::DryRun))), &local);
}

#[test]
fn firewall_helper_can_do_nothing_else() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    // The listener with a name that is no file's has to be in the same network namespace.
    netns.enter();
    let place = Place::new();
    // What the real one runs is shut in as it is: here, the probe in place of nft.
    let arguments = place.arguments().map(|argument| format!("'{argument}'")).join(" ");
    assert!(!PROBE.contains('\''), "it has to fit between quotes");
    let script =
        format!("#!/bin/sh\nexec {} -c '{PROBE}\nexit(1)' {arguments} 1>&2\n", kit::python());
    place.home.script("bin/nft", &script);
    let path = format!("{}:{}", place.home.path("bin").display(), std::env::var("PATH").unwrap());
    for names in [None, Some(place.home.path("theirs.sock"))] {
        let mut run = place.home.run(netns.command(PROGRAM));
        run.env("PATH", &path)
            .args(names.iter().flat_map(|path| ["--names".as_ref(), path.as_os_str()]));
        let output = run.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let found = outcomes(&said);
        assert_only(&found, if names.is_some() { &["connect", "local-stream"] } else { &[] });
    }
}

#[test]
fn names_are_looked_up_by_another_process() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let config = "[default]\nignoreip = [\"127.0.0.0/8\", \"office.example\"]";
    let home = Home::new(&CONFIG.replace("[default]", config));
    let socket = home.path("names.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let asked = thread::spawn(move || {
        let (mut caller, _) = listener.accept().unwrap();
        let mut name = String::new();
        BufReader::new(&caller).read_line(&mut name).unwrap();
        caller.write_all(b"{\"Ok\":[\"198.51.100.20\"]}\n").unwrap();
        name
    });
    let mut run = home.run(netns.command(PROGRAM));
    run.arg("--names").arg(&socket);
    let guard = Guard::start_in(home, run);
    assert_eq!(asked.join().unwrap(), "office.example\n");
    kit::until("the address is ignored", || {
        guard.order(&["get", "ignoreip"]).contains("198.51.100.20     in ignoreip (office.example)")
    });
    // Nobody is there any more: it says which socket that is about.
    guard.order(&["reload"]);
    let socket = socket.display();
    guard.says(&format!("no resolver helper at {socket} (asterguard-names.socket): Connection"));
    assert_eq!(guard.status()["health"], "OK");
}
