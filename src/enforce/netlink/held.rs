//! What the kernel's sets hold, listed: the bans, and a pause.

use super::interval::keyed;
use super::reply::Found;
use super::socket::Socket;
use super::{SinkError, failed};
use crate::model::event::{KernelElement, ScopeId};
use crate::model::pause::Pause;
use crate::model::time::Time;
use crate::sys::clock::monotonic_now;
use crate::table::structure::{PAUSED, SetKey, SetKind, Structure};

/// Returns what the sets of `structure` hold, begun to be listed at `now`. A set that is not there holds nothing.
pub(super) fn elements(
    socket: &mut Socket,
    structure: &Structure,
    now: Time,
) -> Result<Vec<KernelElement>, SinkError> {
    let mut all = Vec::new();
    for (scope, kind, set) in structure.sets() {
        let found = match socket.list(&set).map_err(failed) {
            Err(SinkError::NoTable) => continue,
            found => found?,
        };
        let keyed = keyed(kind, found);
        all.extend(keyed.iter().filter_map(|(key, found)| one(structure, scope, *key, found, now)));
    }
    Ok(all)
}

/// Does the same while the sets change: with a million bans, that takes minutes. A ban that comes or goes then may be
/// missing, or be there though it is gone.
pub(super) fn elements_meanwhile(
    socket: &mut Socket,
    structure: &Structure,
    now: Time,
) -> Result<Vec<KernelElement>, SinkError> {
    let begun = monotonic_now();
    let mut all = Vec::new();
    for (scope, kind, set) in structure.sets() {
        // What is left of a ban is told when the kernel comes to it.
        let then = || now.plus(monotonic_now().since(begun));
        let listed = if kind == SetKind::Networks {
            // Half an interval says nothing, and of these there are few.
            socket.list(&set).map(|found| {
                let (keyed, now) = (keyed(kind, found), then());
                let networks = keyed.iter();
                all.extend(
                    networks.filter_map(|(key, found)| one(structure, scope, *key, found, now)),
                );
            })
        } else {
            socket.each(&set, |found| {
                let key = found.set_key();
                all.extend(key.and_then(|key| one(structure, scope, key, &found, then())));
            })
        };
        match listed.map_err(failed) {
            Err(SinkError::NoTable) => {}
            listed => listed?,
        }
    }
    Ok(all)
}

/// Returns the pause that is in force at `now`.
pub(super) fn pause(socket: &mut Socket, now: Time) -> Result<Pause, SinkError> {
    let elements = socket.list(PAUSED).map_err(failed)?;
    let ends = elements.iter().map(|element| element.left.map(|left| now.plus(left)));
    Ok(Pause::longest(ends))
}

fn one(
    structure: &Structure,
    scope: ScopeId,
    key: SetKey,
    found: &Found,
    now: Time,
) -> Option<KernelElement> {
    let until = found.left.map(|left| now.plus(left));
    structure.adopted(scope, key, until, found.comment.as_deref())
}
