//! The rights that the processes of the guard give up before they read what strangers wrote: capabilities, other
//! files, other programs, other sockets. The kernel holds them to it from then on.
//!
//! All of it is of the calling thread, and of those that it starts later on.

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
const NEVER: [libc::c_long; 27] = [
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
];

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
    /// Whether it needs the internet.
    pub internet: Internet,
}

/// Whether a process may open internet sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Internet {
    /// It may not.
    #[default]
    No,
    /// It may: it looks up names itself.
    Yes,
}

/// Gives up all capabilities, for a process that reads what strangers wrote. root keeps what lets it
/// read files of others, which [`confine`] narrows: without it, it would not see Asterisk's logs.
///
/// # Errors
/// When the kernel does not want that.
pub fn give_up_capabilities() -> Result<(), SandboxError> {
    let root = geteuid().is_root();
    keep(if root { CapabilitySet::DAC_OVERRIDE } else { CapabilitySet::empty() }, Heirs::None)
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
        .scope(Scope::Signal)?
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
    let none = |_| SandboxError::Filter(format!("there is none for {ARCH}"));
    let machine = TargetArch::try_from(ARCH).map_err(none)?;
    let program =
        program(needs, machine).map_err(|error| SandboxError::Filter(error.to_string()))?;
    seccompiler::apply_filter(&program).map_err(|error| SandboxError::Filter(error.to_string()))
}

#[allow(clippy::useless_conversion, reason = "the number of a call is shorter on 32-bit machines")]
fn program(needs: &Needs, machine: TargetArch) -> Result<BpfProgram, BackendError> {
    let mut families = vec![libc::AF_UNIX, libc::AF_NETLINK];
    if needs.internet == Internet::Yes {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    let other = |family: &libc::c_int| {
        let family = u64::from(family.unsigned_abs());
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
    };
    let other_families = families.iter().map(other).collect::<Result<Vec<_>, _>>()?;
    let mut calls = NEVER.to_vec();
    if needs.execute.is_empty() {
        calls.extend([libc::SYS_execve, libc::SYS_execveat]);
    }
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
        calls.into_iter().map(|call| (call.into(), Vec::new())).collect();
    rules.insert(libc::SYS_socket.into(), vec![SeccompRule::new(other_families)?]);
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refused, machine)?.try_into()
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
    use std::net::UdpSocket;
    use std::os::unix::net::UnixStream;
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
            // And what it must not:
            attempt(move || fs::read(&secret)),
            attempt(move || fs::read_dir("/root")),
            attempt(move || File::options().append(true).open(&log)),
            attempt(move || fs::write(&other, "")),
            attempt(move || fs::remove_file(&named)),
            attempt(|| Command::new("/bin/sh").status()),
            attempt(|| UdpSocket::bind("127.0.0.1:0")),
            attempt(|| UdpSocket::bind("[::1]:0")),
            attempt(move || {
                let kind = rustix::net::SocketType::DGRAM;
                Ok(rustix::net::socket(packets, kind, None)?)
            }),
        ];
        let works = shut_in(needs, tries);
        assert_eq!(works, [vec![true; 4], vec![false; 9]].concat());
    }

    #[test]
    fn names_are_looked_up_only_by_who_may() {
        if !usable() {
            return;
        }
        let needs = Needs { internet: Internet::Yes, ..Needs::default() };
        let works = shut_in(needs, vec![attempt(|| UdpSocket::bind("127.0.0.1:0"))]);
        assert_eq!(works, [true]);
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
