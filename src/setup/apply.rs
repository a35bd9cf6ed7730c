//! Writes what was planned: the record first, then each file whole or not at all, with the owner, mode and attributes
//! that it has.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, fchown, fgetxattr, flistxattr, fsetxattr};
use rustix::process::{Gid, Uid};
use thiserror::Error;

use super::plan::Plan;
use super::record::{Entry, Record, RecordError};
use super::survey::Owner;
use crate::sys::program::{Program, ProgramError};
use crate::sys::replace::replace;

/// The longest list of the names of a file's attributes, and the longest value, in bytes; what Linux allows.
const LONGEST_ATTRIBUTE: usize = 1 << 16;

/// The reason why not all of a plan was carried out. What was written before is in the record.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// A file is not as it was when the plan was made.
    #[error("{} has changed meanwhile: run `asterguard setup` again", .0.display())]
    Changed(PathBuf),
    /// A link of another user leads to a file that is not its own.
    #[error("{} is a link that leads to somebody else's file: it is not followed", .0.display())]
    Link(PathBuf),
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    /// The record cannot be written.
    #[error("the record of what was changed: {0}")]
    Record(#[from] RecordError),
    /// A user cannot be added to a group.
    #[error("{0}")]
    Group(#[from] ProgramError),
}

impl ApplyError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { path, error }
    }
}

/// Carries a plan out, step by step; `done` is told of each.
///
/// # Errors
/// See [`ApplyError`].
pub fn apply(
    plan: &Plan,
    record: &mut Record,
    mut done: impl FnMut(&str),
) -> Result<(), ApplyError> {
    for edit in &plan.files {
        let path = real(&edit.path)?;
        if read(&path).map_err(ApplyError::file(&path))? != edit.old {
            return Err(ApplyError::Changed(edit.path.clone()));
        }
        record.add_file(&path, edit.old.as_deref(), &edit.new, missing(&path))?;
        write(&path, &edit.new, edit.owner).map_err(ApplyError::file(&path))?;
        done(&format!("wrote {}", edit.path.display()));
    }
    for edit in &plan.groups {
        record.add(Entry::Group { user: edit.user.clone(), group: edit.group.clone() })?;
        Program::with_argv(["usermod"]).run(&["-a", "-G", &edit.group, &edit.user], b"")?;
        done(&format!("added {} to the group {}", edit.user, edit.group));
    }
    Ok(())
}

/// Returns the file that a path leads to, through links. Asterisk's user may make links in Asterisk's directory: one
/// that leads out of its own files is not followed.
fn real(path: &Path) -> Result<PathBuf, ApplyError> {
    let Ok(real) = fs::canonicalize(path) else { return Ok(path.to_owned()) };
    let (Ok(link), Some(file)) = (fs::symlink_metadata(path), Owner::of(&real)) else {
        return Ok(real);
    };
    if link.is_symlink() && link.uid() != 0 && link.uid() != file.uid {
        return Err(ApplyError::Link(path.to_owned()));
    }
    Ok(real)
}

/// Returns what is in a file; `None` if there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The directories that have to be made for a file, the innermost first.
fn missing(path: &Path) -> Vec<PathBuf> {
    let parents = path.ancestors().skip(1).take_while(|parent| !parent.exists());
    parents.map(Path::to_owned).collect()
}

/// Puts `bytes` into a file. One that exists keeps its owner, its mode and its attributes; a new one gets `owner`.
pub(super) fn write(path: &Path, bytes: &[u8], owner: Owner) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
    replace(path, bytes, 0o600, |file| {
        let owner = Owner::of(path).unwrap_or(owner);
        fchown(file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
        file.set_permissions(Permissions::from_mode(owner.mode))?;
        if let Ok(old) = File::open(path) {
            copy_attributes(&old, file);
        }
        Ok(())
    })
}

/// Gives a file the extended attributes of another: access lists, and labels. A file system that has none has none to
/// copy.
fn copy_attributes(from: &File, to: &File) {
    let mut names = vec![0_u8; LONGEST_ATTRIBUTE];
    let Ok(length) = flistxattr(from, &mut names[..]) else { return };
    let names = names.get(..length).unwrap_or_default().split(|byte| *byte == 0);
    for name in names.filter(|name| !name.is_empty()) {
        let mut value = vec![0_u8; LONGEST_ATTRIBUTE];
        if let Ok(length) = fgetxattr(from, name, &mut value[..]) {
            let value = value.get(..length).unwrap_or_default();
            let _ = fsetxattr(to, name, value, XattrFlags::empty());
        }
    }
}
