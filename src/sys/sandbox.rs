//! The rights that the processes of the guard give up before they read what strangers wrote: capabilities, other
//! files, other programs, other sockets. The kernel holds them to it from then on.
//!
//! All of it is of the calling thread, and of those that it starts later on.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::geteuid;
use rustix::thread::{self, CapabilitySet, CapabilitySets};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};
use thiserror::Error;

/// The kernel's newest abilities that are asked for; of older kernels, what they have.
const LANDLOCK: ABI = ABI::V6;

/// The system calls that neither process ever makes. Not a list of what they do: what a libc or
/// a later version of ours calls for the same work must not fail.
const NEVER: &[libc::c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    // It opens sockets and files past a filter.
    libc::SYS_io_uring_setup,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_fsopen,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_mknodat,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // It opens files past the directories that they are in.
    libc::SYS_open_by_handle_at,
    // Modes, owners, attributes and times of files. Landlock knows nothing of them.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    SETXATTRAT,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    REMOVEXATTRAT,
    FILE_SETATTR,
    libc::SYS_utimensat,
];

/// Those of them that only this architecture has, under older names.
#[cfg(target_arch = "x86_64")]
const NEVER_OLD: &[libc::c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_mknod,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_OLD: &[libc::c_long] = &[];

// Calls of kernels later than the libraries that we are built with. They have these numbers on all machines that have a
// filter (`include/uapi/asm-generic/unistd.h`).
const FCHMODAT2: libc::c_long = 452;
const SETXATTRAT: libc::c_long = 463;
const REMOVEXATTRAT: libc::c_long = 466;
const FILE_SETATTR: libc::c_long = 469;

/// The flags by which `clone` makes a namespace (`linux/sched.h`). That of time is a bit which `clone` has for signals.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The call that has such flags in memory, where no filter can look. It is answered as by a kernel that does not have it, so
/// that a C library makes `clone` in its place.
const CLONE3: libc::c_long = libc::SYS_clone3;

/// The bits of a socket's type that say what it is; the others are flags.
const SOCKET_TYPE: u64 = 0xf;

/// The reason why something could not be given up.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// Capabilities, or the right to get new ones.
    #[error("cannot give up capabilities: {0}")]
    Capabilities(#[from] rustix::io::Errno),
    /// Files.
    #[error("no Landlock: {0}")]
    Landlock(#[from] RulesetError),
    /// The kernel has none.
    #[error("the kernel has no Landlock, or it is switched off")]
    NoLandlock,
    /// System calls.
    #[error("no filter for system calls: {0}")]
    Filter(String),
}

impl SandboxError {
    /// Whether all files are still there to be read.
    #[must_use]
    pub fn is_about_files(&self) -> bool {
        matches!(self, Self::Landlock(_) | Self::NoLandlock)
    }
}

/// The rights that a process keeps.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Files and directories that it reads, with all that is below.
    pub read: Vec<PathBuf>,
    /// Those that it also writes, and makes files in.
    pub write: Vec<PathBuf>,
    /// Those that it executes programs of.
    pub execute: Vec<PathBuf>,
    /// The sockets that it opens, besides those to the kernel.
    pub sockets: Sockets,
}

/// The sockets that a process may open and connect. Pairs of local ones, which lead nowhere else, and netlink it always may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sockets {
    /// No others, and none is connected. What it has open, or is handed, it may use.
    #[default]
    None,
    /// Local ones: it asks other processes for something.
    Local,
    /// Internet sockets: it looks up names itself.
    Internet,
}

/// Gives up all capabilities, for a process that reads what strangers wrote. One that was started as root keeps what lets it
/// read files of others, which [`confine`] narrows: without it, it would not see Asterisk's logs. That is
/// `CAP_DAC_READ_SEARCH` if it became another user ([`become_user`](super::user::become_user)), and as root `CAP_DAC_OVERRIDE`.
///
/// # Errors
/// When the kernel does not want that.
pub fn give_up_capabilities() -> Result<(), SandboxError> {
    let root = geteuid().is_root();
    keep(
        if root { CapabilitySet::DAC_OVERRIDE } else { CapabilitySet::DAC_READ_SEARCH },
        Heirs::None,
    )
}

/// Gives up all capabilities but that to change the firewall, which the programs that it runs have too.
///
/// # Errors
/// When the kernel does not want that.
pub fn keep_net_admin() -> Result<(), SandboxError> {
    keep(CapabilitySet::NET_ADMIN, Heirs::Programs)
}

/// Other threads and processes that share what is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heirs {
    None,
    Programs,
}

fn keep(kept: CapabilitySet, heirs: Heirs) -> Result<(), SandboxError> {
    for capability in CapabilitySet::all().iter().filter(|one| !kept.contains(*one)) {
        // Without permission for that there is none to get it back either: see below.
        let _ = thread::remove_capability_from_bounding_set(capability);
    }
    thread::set_no_new_privs(true)?;
    thread::clear_ambient_capability_set()?;
    let kept = thread::capabilities(None)?.permitted & kept;
    let inheritable = if heirs == Heirs::Programs { kept } else { CapabilitySet::empty() };
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable };
    thread::set_capabilities(None, sets)?;
    for capability in inheritable.iter() {
        thread::configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

/// Gives up all files, programs and sockets but these. What cannot be given up here is returned, and
/// the rest is given up all the same.
#[must_use]
pub fn confine(needs: &Needs) -> Vec<SandboxError> {
    [restrict_files(needs), filter_calls(needs)].into_iter().filter_map(Result::err).collect()
}

fn restrict_files(needs: &Needs) -> Result<(), SandboxError> {
    let all = AccessFs::from_all(LANDLOCK);
    let read: BitFlags<_> = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = all & !AccessFs::Execute & !AccessFs::MakeChar & !AccessFs::MakeBlock;
    let status = Ruleset::default()
        .handle_access(all)?
        .scope(Scope::Signal | Scope::AbstractUnixSocket)?
        .create()?
        .add_rules(path_beneath_rules(&needs.read, read))?
        .add_rules(path_beneath_rules(&needs.write, write))?
        .add_rules(path_beneath_rules(&needs.execute, read | AccessFs::Execute))?
        .restrict_self()?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err(SandboxError::NoLandlock),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

fn filter_calls(needs: &Needs) -> Result<(), SandboxError> {
    let failed = |error: &dyn std::fmt::Display| SandboxError::Filter(error.to_string());
    let none = |_| SandboxError::Filter(format!("there is none for {ARCH}"));
    let machine = TargetArch::try_from(ARCH).map_err(none)?;
    let refused = refused(needs).map_err(|error| failed(&error))?;
    // A filter has one answer, so this is another one.
    let unknown = always(&[CLONE3]).collect();
    for (rules, error) in [(refused, libc::EPERM), (unknown, libc::ENOSYS)] {
        let answer = SeccompAction::Errno(error.unsigned_abs());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, machine);
        let program: BpfProgram =
            filter.and_then(TryInto::try_into).map_err(|error| failed(&error))?;
        seccompiler::apply_filter(&program).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Calls, and for which arguments they are meant: for those that all conditions of one rule hold for. None: for all.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Returns the rules for calls that are meant whatever their arguments are.
fn always(calls: &[libc::c_long]) -> impl Iterator<Item = (i64, Vec<SeccompRule>)> {
    calls.iter().map(|call| (number(*call), Vec::new()))
}

/// Returns the number of a call as filters have it.
#[allow(clippy::useless_conversion, reason = "it is shorter on 32-bit machines")]
fn number(call: libc::c_long) -> i64 {
    call.into()
}

/// Returns the calls that a process with these needs may not make.
fn refused(needs: &Needs) -> Result<Rules, BackendError> {
    let mut rules: Rules = always(NEVER).chain(always(NEVER_OLD)).collect();
    if needs.execute.is_empty() {
        rules.extend(always(&[libc::SYS_execve, libc::SYS_execveat]));
    }
    if needs.sockets == Sockets::None {
        rules.extend(always(&[libc::SYS_connect]));
    }
    let namespace = |flag: libc::c_int| {
        let flag = u64::from(flag.unsigned_abs());
        SeccompRule::new(vec![argument(0, SeccompCmpOp::MaskedEq(flag), flag)?])
    };
    let namespaces = NAMESPACES.into_iter().map(namespace).collect::<Result<_, _>>()?;
    rules.insert(number(libc::SYS_clone), namespaces);
    let families: &[_] = match needs.sockets {
        Sockets::None => &[libc::AF_NETLINK],
        Sockets::Local => &[libc::AF_NETLINK, libc::AF_UNIX],
        Sockets::Internet => &[libc::AF_NETLINK, libc::AF_INET, libc::AF_INET6],
    };
    let protocols = [libc::NETLINK_ROUTE, libc::NETLINK_SOCK_DIAG, libc::NETLINK_NETFILTER];
    let other_protocol = [vec![is(0, libc::AF_NETLINK)?], none_of(2, &protocols)?].concat();
    let mut sockets = no_stream()?;
    sockets.extend([SeccompRule::new(none_of(0, families)?)?, SeccompRule::new(other_protocol)?]);
    rules.insert(number(libc::SYS_socket), sockets);
    let mut pairs = no_stream()?;
    pairs.push(SeccompRule::new(none_of(0, &[libc::AF_UNIX])?)?);
    rules.insert(number(libc::SYS_socketpair), pairs);
    Ok(rules)
}

/// Returns the rules for local sockets that are no streams. Whoever has another one can send by it wherever it likes: a
/// stream leads to where it was connected.
fn no_stream() -> Result<Vec<SeccompRule>, BackendError> {
    let stream = u64::from(libc::SOCK_STREAM.unsigned_abs());
    let differs = |bit: u64| {
        let value = !stream & bit;
        let kind = argument(1, SeccompCmpOp::MaskedEq(bit), value)?;
        SeccompRule::new(vec![is(0, libc::AF_UNIX)?, kind])
    };
    let bits = (0..u64::BITS).map(|bit| 1 << bit).filter(|bit| SOCKET_TYPE & bit != 0);
    bits.map(differs).collect()
}

/// The condition that an argument has this value.
fn is(number: u8, value: libc::c_int) -> Result<SeccompCondition, BackendError> {
    argument(number, SeccompCmpOp::Eq, u64::from(value.unsigned_abs()))
}

/// The conditions that an argument has none of these values.
fn none_of(number: u8, values: &[libc::c_int]) -> Result<Vec<SeccompCondition>, BackendError> {
    let differs =
        |value: &libc::c_int| argument(number, SeccompCmpOp::Ne, u64::from(value.unsigned_abs()));
    values.iter().map(differs).collect()
}

/// A condition for an argument of 32 bits: the kernel looks at no others of those that are looked at here.
fn argument(
    number: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(number, SeccompCmpArgLen::Dword, operator, value)
}

/// Returns the directories that programs and their libraries are in, and where those look things up.
#[must_use]
pub fn programs() -> Vec<PathBuf> {
    let system =
        ["/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/nix/store"].map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::split_paths(&path).filter(|directory| directory != Path::new(""));
    system.into_iter().chain(path).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{self, ErrorKind};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::process::Command;
    use std::thread;

    use super::*;

    /// Whether this kernel has what it takes.
    fn usable() -> bool {
        let tried = thread::spawn(|| restrict_files(&Needs::default())).join().unwrap();
        let Err(error) = tried else { return true };
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{error}");
        eprintln!("skipped: {error}");
        false
    }

    /// Returns which `tries` work in a thread that is shut in like this: `false` in its place if forbidden.
    fn shut_in(needs: Needs, tries: Vec<Box<dyn Fn() -> io::Result<()> + Send>>) -> Vec<bool> {
        let confined = thread::spawn(move || {
            give_up_capabilities().unwrap();
            let failed = confine(&needs);
            assert!(failed.is_empty(), "{failed:?}");
            let works = |done: io::Result<()>| match done {
                Ok(()) => true,
                Err(error) if error.kind() == ErrorKind::PermissionDenied => false,
                Err(error) => panic!("{error}"),
            };
            tries.into_iter().map(|attempt| works(attempt())).collect()
        });
        confined.join().unwrap()
    }

    fn attempt<T>(
        what: impl Fn() -> io::Result<T> + Send + 'static,
    ) -> Box<dyn Fn() -> io::Result<()> + Send> {
        Box::new(move || what().map(drop))
    }

    #[test]
    fn only_what_is_needed_can_be_done() {
        if !usable() {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        for directory in ["logs", "state", "home"] {
            fs::create_dir(at(directory)).unwrap();
            fs::write(at(directory).join("file"), "text").unwrap();
        }
        let needs = Needs {
            read: vec![at("logs"), "/usr".into()],
            write: vec![at("state")],
            ..Needs::default()
        };
        let (logs, state, secret) = (at("logs/file"), at("state/file"), at("home/file"));
        let (log, new, other) = (logs.clone(), at("state/new"), at("logs/new"));
        let named = secret.clone();
        let packets = rustix::net::AddressFamily::PACKET;
        let tries = vec![
            attempt(move || fs::read(&logs)),
            attempt(move || fs::write(&state, "other")),
            attempt(move || fs::write(&new, "new").and_then(|()| fs::remove_file(&new))),
            attempt(UnixStream::pair),
            attempt(|| thread::spawn(|| {}).join().map_err(|_| ErrorKind::Other.into())),
            // And what it must not:
            attempt(move || fs::read(&secret)),
            attempt(move || fs::read_dir("/root")),
            attempt(move || File::options().append(true).open(&log)),
            attempt(move || fs::write(&other, "")),
            attempt(move || fs::remove_file(&named)),
            attempt(|| Command::new("/bin/sh").status()),
            attempt(|| UdpSocket::bind("127.0.0.1:0")),
            attempt(|| UdpSocket::bind("[::1]:0")),
            attempt(UnixDatagram::unbound),
            attempt(UnixDatagram::pair),
            attempt(move || {
                let kind = rustix::net::SocketType::DGRAM;
                Ok(rustix::net::socket(packets, kind, None)?)
            }),
        ];
        let works = shut_in(needs, tries);
        assert_eq!(works, [vec![true; 5], vec![false; 11]].concat());
    }

    #[test]
    fn names_are_looked_up_only_by_who_may() {
        if !usable() {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("socket");
        let local = UnixListener::bind(&path).unwrap();
        let internet = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = internet.local_addr().unwrap();
        for (sockets, expected) in [
            (Sockets::None, [false, false, false]),
            (Sockets::Local, [true, false, false]),
            (Sockets::Internet, [false, true, true]),
        ] {
            let path = path.clone();
            let tries = vec![
                attempt(move || UnixStream::connect(&path)),
                attempt(move || TcpStream::connect(address)),
                attempt(|| UdpSocket::bind("127.0.0.1:0")),
            ];
            let works = shut_in(Needs { sockets, ..Needs::default() }, tries);
            assert_eq!(works, expected, "{sockets:?}");
        }
        drop((local, internet));
    }

    #[test]
    fn writer_runs_programs_but_reads_and_writes_nothing_else() {
        if !usable() {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "text").unwrap();
        let needs = Needs { execute: programs(), ..Needs::default() };
        let there = file.clone();
        let tries = vec![
            attempt(|| Command::new("true").status()),
            attempt(move || fs::read(&there)),
            attempt(move || fs::write(&file, "other")),
            attempt(|| UdpSocket::bind("127.0.0.1:0")),
        ];
        assert_eq!(shut_in(needs, tries), [true, false, false, false]);
    }

    #[test]
    fn capabilities_do_not_come_back() {
        let sets = thread::spawn(|| {
            keep_net_admin().unwrap();
            let first = rustix::thread::capabilities(None).unwrap();
            give_up_capabilities().unwrap();
            (first, rustix::thread::capabilities(None).unwrap())
        });
        let (writer, reader) = sets.join().unwrap();
        assert!(CapabilitySet::NET_ADMIN.contains(writer.permitted));
        assert_eq!(reader.permitted, CapabilitySet::empty());
        assert_eq!(reader.effective, CapabilitySet::empty());
    }
}
