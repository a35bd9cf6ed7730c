//! Users of this machine, and becoming one of them.

use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

use super::program::{Program, ProgramError};

/// The capabilities by which a process may become another user.
const BECOMES: CapabilitySet = CapabilitySet::SETUID.union(CapabilitySet::SETGID);

/// A user, with its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: Uid,
    /// Its own group.
    pub gid: Gid,
    /// All groups that it is a member of.
    pub groups: Vec<Gid>,
}

impl User {
    /// Looks a user up by its name, in all places that the system knows users from (`nsswitch.conf`): the program `id` asks
    /// the system's C library, which ours need not be. `None` if there is no such user.
    ///
    /// # Errors
    /// When `id` cannot be run, or says what is no number.
    pub fn find(name: &str) -> Result<Option<Self>, ProgramError> {
        // An option of that program is no name.
        if name.is_empty() || name.starts_with('-') {
            return Ok(None);
        }
        let ask = |what: &str| match Program::with_argv(["id"]).run(&[what, name], b"") {
            Ok(said) => Ok(numbers(&said)),
            Err(ProgramError::Failed { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        let (Some(uid), Some(gid), Some(groups)) = (ask("-u")?, ask("-g")?, ask("-G")?) else {
            return Ok(None);
        };
        let (Some(uid), Some(gid)) = (uid.first(), gid.first()) else { return Ok(None) };
        let groups = groups.into_iter().map(Gid::from_raw).collect();
        Ok(Some(Self { uid: Uid::from_raw(*uid), gid: Gid::from_raw(*gid), groups }))
    }
}

/// Returns the number of a group of this machine (group(5)); `None` if there is none by this name.
///
/// # Errors
/// When the file of groups cannot be read.
pub fn group(name: &str) -> std::io::Result<Option<Gid>> {
    let text = std::fs::read_to_string("/etc/group")?;
    Ok(number_of_group(&text, name).map(Gid::from_raw))
}

fn number_of_group(text: &str, name: &str) -> Option<u32> {
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok().filter(|number| *number != u32::MAX)
}

/// Reads numbers of users or groups; `None` if that is something else.
fn numbers(said: &[u8]) -> Option<Vec<u32>> {
    let number = |word: &str| word.parse().ok().filter(|number| *number != u32::MAX);
    let numbers: Option<Vec<_>> =
        std::str::from_utf8(said).ok()?.split_whitespace().map(number).collect();
    numbers.filter(|numbers| !numbers.is_empty())
}

/// Whether this process may become another user.
///
/// # Errors
/// When the kernel does not say.
pub fn may_become() -> Result<bool, Errno> {
    Ok(thread::capabilities(None)?.effective.contains(BECOMES))
}

/// Becomes this user: the calling thread, and those that it starts later on. Of its capabilities it keeps that to change
/// the firewall, which the programs that it runs have too, that to read files of others, and that to give up more.
///
/// # Errors
/// When the kernel does not want that. It may have some of the user's rights then, so it should end.
pub fn become_user(user: &User) -> Result<(), Errno> {
    thread::set_keep_capabilities(true)?;
    thread::set_thread_groups(&user.groups)?;
    thread::set_thread_res_gid(user.gid, user.gid, user.gid)?;
    thread::set_thread_res_uid(user.uid, user.uid, user.uid)?;
    thread::set_keep_capabilities(false)?;
    let kept = CapabilitySet::DAC_READ_SEARCH | CapabilitySet::NET_ADMIN | CapabilitySet::SETPCAP;
    let kept = thread::capabilities(None)?.permitted & kept;
    let inheritable = kept & CapabilitySet::NET_ADMIN;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable };
    thread::set_capabilities(None, sets)?;
    for capability in CapabilitySet::all().iter().filter(|one| !inheritable.contains(*one)) {
        // Without permission for that, a program of root's would get it; no new privileges are to be had later on.
        let _ = thread::remove_capability_from_bounding_set(capability);
    }
    for capability in inheritable.iter() {
        thread::configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_with_their_groups() {
        let root = User::find("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (Uid::ROOT, Gid::ROOT));
        assert!(root.groups.contains(&Gid::ROOT));
        for name in ["", "-u", "--help", "no-such-user-of-this-machine", "root root"] {
            assert_eq!(User::find(name).unwrap(), None, "{name:?}");
        }
    }

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let text = "root:x:0:\nmetrics-old:x:7:\nmetrics:x:42:prometheus,root\nodd\nbad:x:-1:\n";
        for (name, number) in
            [("root", Some(0)), ("metrics", Some(42)), ("odd", None), ("bad", None), ("", None)]
        {
            assert_eq!(number_of_group(text, name), number, "{name}");
        }
        assert_eq!(group("root").unwrap(), Some(Gid::ROOT));
    }

    #[test]
    fn only_numbers_are_read_as_users() {
        assert_eq!(numbers(b"65534\n"), Some(vec![65534]));
        assert_eq!(numbers(b"4 27 999\n"), Some(vec![4, 27, 999]));
        for nonsense in [&b""[..], b"\n", b"nobody\n", b"4 -1\n", b"4294967295\n", b"\xff\n"] {
            assert_eq!(numbers(nonsense), None, "{nonsense:?}");
        }
    }
}
