//! Reads one log path live, through rotations, truncations and everything else that happens to it.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::log_file::{FINGERPRINT, FileId, FollowError, LogFile, Position};
use super::rotation::{self, InMotion, Sibling};
use super::source::{
    LineSource, Origin, Poll, SourceCheckpoint, SourceEvent, SourceNumbers, SourceState,
};
use crate::input::line_splitter::{HISTORY, LineSplitter, MAX_LINE, Region};

/// The number of bytes that are read at a time.
const READ_SIZE: usize = 128 * 1024;

/// The number of files left behind that are remembered, so that none is read twice.
const MAX_FINISHED: usize = 16;

/// The number of times that one poll changes files or begins a file again.
const MAX_TURNS: usize = 32;

/// The number of bytes that are read at most of those written while nobody read, in all files that
/// a log was rotated to meanwhile: a guard that was away for long looks at the end of what it has
/// missed.
pub const FURTHEST_BACK: u64 = 1 << 30;

/// Follows the bytes of one path; never blocks, never fails: see [`state`](Self::state).
///
/// - **Renamed, deleted or switched**: the old file is read until one that was begun after it has
///   its first byte, and to its end. Then come the files that were rotated away in between, as
///   long as they are not compressed, then the path's from its start. Nothing is lost and nothing
///   comes twice if one writer moves from file to file and writes whole lines. While files are
///   being renamed, the change waits for a later poll.
/// - **Truncated in place** (`copytruncate`): found by the first and the last 256 bytes that were
///   read, which are compared after each read. What had not been read by then is read from the copy that was
///   made, if it lies next to the path, uncompressed. Lost are only the lines written between copy
///   and truncation, which no file holds; without such a copy those since the last poll; and a
///   file's whole content if it was begun and truncated between two polls.
/// - **Cut lines** are never given out: neither the rest of a file that was left nor the end of a
///   line that was entered in its middle.
///
/// At most three files are open during a poll, and one between polls. Memory: the splitter's buffer
/// of 144 KiB, allocated when there is something to read, 16 remembered positions of 0.5 KiB, and
/// while files are changed a list of at most 4096 rotated ones.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    start: Start,
    current: Option<OpenLog>,
    /// Files that were left behind, the last one at the back.
    finished: VecDeque<Position>,
    /// The path's file, if it was empty when it was found that nothing lies between it and the file being read.
    last_empty: Option<FileId>,
    splitter: LineSplitter,
    state: SourceState,
    /// Told by the next poll.
    events: Vec<SourceEvent>,
    /// Whether the file was found again that a position was taken in.
    resumed: bool,
    /// The number of bytes that are read at most of what was written before the start, and the
    /// number of those that have yet to be passed over because there are more.
    furthest_back: u64,
    too_many: u64,
}

/// The place to begin at in the next file that is opened while none is.
#[derive(Debug)]
enum Start {
    Begin,
    End,
    At(Position),
}

/// The file being read.
#[derive(Debug)]
struct OpenLog {
    file: LogFile,
    /// The number of bytes that have been read.
    offset: u64,
    /// The first of them, at most [`FINGERPRINT`].
    fingerprint: Vec<u8>,
}

impl OpenLog {
    /// Reads on into `splitter`, which has what was read before: the number of bytes, 0 at the end; `None` if the
    /// file was truncated.
    fn read(&mut self, splitter: &mut LineSplitter) -> io::Result<Option<usize>> {
        let space = splitter.space();
        let n = self.file.read_at(space, self.offset)?;
        let known = self.fingerprint.len();
        self.fingerprint.extend(space.iter().take(n.min(FINGERPRINT - known)));
        // Checked after the read: bytes of a file that was truncated before it must not be joined
        // with what was read earlier. A file that has grown again may begin as the old one did.
        let begun = self.file.read_before(self.fingerprint.len() as u64, FINGERPRINT)?;
        let last = splitter.last_read(
            usize::try_from(self.offset).map_or(FINGERPRINT, |read| FINGERPRINT.min(read)),
        );
        if begun != self.fingerprint || self.file.read_before(self.offset, last.len())? != last {
            self.fingerprint.truncate(known);
            return Ok(None);
        }
        splitter.filled(n);
        self.offset += n as u64;
        Ok(Some(n))
    }
}

/// The thing that the path names now.
enum PathLook {
    /// The file being read, or nothing that could be read instead.
    Nothing,
    /// Another file.
    Other(LogFile),
}

/// The reason why reading a file stopped.
enum Stopped {
    AtEnd,
    ByBudget,
    ByTruncation,
    ByError(io::Error),
}

impl Follower {
    /// Follows `path` from now on. If there is no file yet, it is awaited, and then read from its
    /// start, whatever the origin. With [`Origin::End`], a file that may not be read yet is taken
    /// at its end once it may.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, origin: Origin) -> Self {
        Self::with_start(
            path.into(),
            match origin {
                Origin::Start => Start::Begin,
                Origin::End => Start::End,
            },
            FURTHEST_BACK,
        )
    }

    /// Goes on at `position`, in the file that it was taken in, which may have been rotated since:
    /// then the files after it follow. If that file cannot be found, the path's file is read from
    /// its start.
    #[must_use]
    pub fn resume(path: impl Into<PathBuf>, position: Position) -> Self {
        Self::resume_within(path, position, FURTHEST_BACK)
    }

    /// As [`Follower::resume`], and reads at most `most` bytes of what was written before now.
    #[must_use]
    pub fn resume_within(path: impl Into<PathBuf>, position: Position, most: u64) -> Self {
        Self::with_start(path.into(), Start::At(position), most)
    }

    fn with_start(path: PathBuf, start: Start, furthest_back: u64) -> Self {
        let mut follower = Self {
            path,
            start,
            current: None,
            finished: VecDeque::new(),
            last_empty: None,
            splitter: LineSplitter::new(READ_SIZE),
            state: FollowError::Missing.into(),
            events: Vec::new(),
            resumed: false,
            furthest_back,
            too_many: 0,
        };
        // Opened here, so that lines written from now on are not taken for old ones.
        if let PathLook::Other(file) = follower.look_at_path() {
            // If it cannot be done now, the first poll tries again.
            let _ = follower.begin(file);
        }
        follower
    }

    /// The path that is followed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns how the path fared at the last poll.
    #[must_use]
    pub fn state(&self) -> &SourceState {
        &self.state
    }

    /// Whether it goes on where it was told to [resume](Self::resume): the file was found, so that what
    /// comes was written later.
    #[must_use]
    pub fn has_resumed(&self) -> bool {
        self.resumed
    }

    /// Returns the number of lines that were too long to be given out ([`MAX_LINE`]).
    #[must_use]
    pub fn oversized(&self) -> u64 {
        self.splitter.oversized()
    }

    /// Bytes of the open file that have not been read yet; 0 while none is open.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let unread =
            |reading: &OpenLog| Some(reading.file.len().ok()?.saturating_sub(reading.offset));
        self.current.as_ref().and_then(unread).unwrap_or(0)
    }

    /// Returns where to go on later: right after the last line that was given out. `None` while no file is
    /// open.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        let reading = self.current.as_ref()?;
        let history = self.splitter.history();
        let offset = reading.offset.saturating_sub(self.splitter.carry() as u64);
        let known =
            history.len().min(FINGERPRINT).min(usize::try_from(offset).unwrap_or(FINGERPRINT));
        let before = history.get(history.len() - known..).unwrap_or_default();
        Some(reading.file.position(offset, &reading.fingerprint, before))
    }

    /// Reads what there is, up to the end of the path's file, or up to the first read (of at most
    /// 128 KiB) that reaches `budget` bytes. `each` gets all complete lines, in order.
    pub fn poll(&mut self, budget: u64, each: &mut dyn FnMut(Region<'_>)) -> Poll {
        let (mut bytes, mut more) = (0, true);
        for _ in 0..MAX_TURNS {
            more = self.turn(budget, &mut bytes, each);
            if !more || bytes >= budget {
                break;
            }
        }
        Poll {
            bytes,
            more,
            behind: false,
            between_lines: self.splitter.is_between_lines(),
            events: std::mem::take(&mut self.events),
        }
    }

    /// Reads the current file to its end, and changes to the next one. Whether there is more to do.
    fn turn(&mut self, budget: u64, bytes: &mut u64, each: &mut dyn FnMut(Region<'_>)) -> bool {
        // First look, then read: once the file is replaced, the read that follows is the last.
        let look = self.look_at_path();
        if self.current.is_none() {
            let PathLook::Other(file) = look else { return false };
            return self.begin(file).is_ok() && self.current.is_some();
        }
        let changed = match (self.read(budget, bytes, each), look) {
            (Stopped::ByBudget, _) => return true,
            (Stopped::AtEnd, PathLook::Nothing) => {
                // All that comes now is new.
                self.too_many = 0;
                return false;
            }
            (Stopped::AtEnd, PathLook::Other(file)) => self.advance(file),
            (Stopped::ByTruncation, _) => self.begin_again(),
            (Stopped::ByError(error), _) => {
                self.close();
                self.failed(error);
                return false;
            }
        };
        // If files are in motion, the next poll finds them settled.
        changed.is_ok()
    }

    /// Looks at what the path names now, and opens it unless it is what is being read.
    fn look_at_path(&mut self) -> PathLook {
        let current = self.current.as_ref().map(|reading| reading.file.id);
        if let (Some(id), Ok(meta)) = (current, fs::metadata(&self.path)) {
            if FileId::of(&meta) == id {
                self.state = SourceState::Following;
                return PathLook::Nothing;
            }
        }
        match LogFile::open(&self.path) {
            Ok(file) => {
                self.state = SourceState::Following;
                let same = current == Some(file.id);
                if same || self.may_still_be_written_to(&file) {
                    PathLook::Nothing
                } else {
                    PathLook::Other(file)
                }
            }
            Err(why) => {
                // A file that appears from now on is new; one that only becomes readable is not.
                let absent = matches!(why, FollowError::Missing | FollowError::NotAFile(_));
                if absent && matches!(self.start, Start::End) {
                    self.start = Start::Begin;
                }
                self.state = why.into();
                PathLook::Nothing
            }
        }
    }

    /// Whether the writer may still write to the file being read: its `newest` one is empty, and so is what was
    /// rotated away in between.
    fn may_still_be_written_to(&mut self, newest: &LogFile) -> bool {
        if self.current.is_none() || newest.len().is_ok_and(|length| length > 0) {
            return false;
        }
        if self.last_empty != Some(newest.id) {
            match self.next_rotated() {
                Ok(Some(_)) => return false,
                Ok(None) => self.last_empty = Some(newest.id),
                // The next poll finds them settled.
                Err(InMotion) => {}
            }
        }
        true
    }

    fn read(&mut self, budget: u64, bytes: &mut u64, each: &mut dyn FnMut(Region<'_>)) -> Stopped {
        let Some(reading) = &mut self.current else { return Stopped::AtEnd };
        while *bytes < budget {
            let n = match reading.read(&mut self.splitter) {
                Ok(Some(0)) => return Stopped::AtEnd,
                Ok(Some(n)) => n,
                Ok(None) => return Stopped::ByTruncation,
                Err(error) => return Stopped::ByError(error),
            };
            *bytes += n as u64;
            while let Some(region) = self.splitter.next_region() {
                each(region);
            }
        }
        Stopped::ByBudget
    }

    /// Opens the first file, or the first one after a failure; none if it cannot be read.
    fn begin(&mut self, file: LogFile) -> Result<(), InMotion> {
        let (file, offset) = match &self.start {
            Start::Begin => {
                let offset = self.left_at(&file);
                (file, offset)
            }
            Start::End => {
                let offset = line_start_before_end(&file);
                (file, offset)
            }
            Start::At(position) => {
                let (file, left_at) = self.find_again(file, position)?;
                let later = self.length_after(&file)?;
                self.resumed = left_at.is_some();
                let left_at = left_at.unwrap_or(0);
                let unread = file.len().unwrap_or(0).saturating_sub(left_at).saturating_add(later);
                self.too_many = unread.saturating_sub(self.furthest_back);
                let offset = self.pass_over(&file, left_at);
                (file, offset)
            }
        };
        self.enter(file, offset);
        if self.current.is_some() {
            self.start = Start::Begin;
        }
        Ok(())
    }

    /// Returns the number of bytes in the files that are to be read after `file`.
    fn length_after(&self, file: &LogFile) -> Result<u64, InMotion> {
        let live = fs::metadata(&self.path).ok();
        let live = live.filter(|meta| meta.is_file() && FileId::of(meta) != file.id);
        let Some(live) = live else { return Ok(0) };
        let between = rotation::successors(&self.path, file)?;
        let between = between.iter().filter(|sibling| sibling.id != FileId::of(&live));
        Ok(between.map(|sibling| sibling.length).sum::<u64>().saturating_add(live.len()))
    }

    /// Returns where to begin in a file that was left there, if there is too much to read: the oldest is left
    /// out.
    fn pass_over(&mut self, file: &LogFile, left_at: u64) -> u64 {
        let bytes = self.too_many.min(file.len().unwrap_or(0).saturating_sub(left_at));
        self.too_many -= bytes;
        if bytes > 0 {
            self.events.push(SourceEvent::PassedOver { bytes });
        }
        left_at + bytes
    }

    /// The file that `position` was taken in, at the path or next to it, and where to go on; or the
    /// path's file and nothing.
    fn find_again(
        &self,
        file: LogFile,
        position: &Position,
    ) -> Result<(LogFile, Option<u64>), InMotion> {
        if file.continues(position).unwrap_or(false) {
            return Ok((file, Some(position.offset)));
        }
        let is_it = |file: &LogFile| file.continues(position).unwrap_or(false);
        let rotated = find(rotation::siblings(&self.path)?, is_it)?;
        Ok(rotated.map_or((file, None), |rotated| (rotated, Some(position.offset))))
    }

    /// Leaves a file that was read to its end for the next one in the line that ends at `newest`.
    fn advance(&mut self, newest: LogFile) -> Result<(), InMotion> {
        let next = self.next_rotated()?.unwrap_or(newest);
        self.close();
        let left_at = self.left_at(&next);
        let offset = self.pass_over(&next, left_at);
        self.enter(next, offset);
        Ok(())
    }

    /// The first file that was rotated away after the one being read was.
    fn next_rotated(&self) -> Result<Option<LogFile>, InMotion> {
        let (Some(old), Some(position)) = (&self.current, self.position()) else { return Ok(None) };
        let is_known = |file: &LogFile| {
            let mut known = self.finished.iter().chain([&position]);
            known.any(|position| file.continues(position).unwrap_or(false))
        };
        find(rotation::successors(&self.path, &old.file)?, |file| !is_known(file))
    }

    /// The file was truncated: what had not been read is in a copy, or lost.
    fn begin_again(&mut self) -> Result<(), InMotion> {
        let Some(reading) = &self.current else { return Ok(()) };
        let before = self.splitter.last_read(FINGERPRINT);
        let position = reading.file.position(reading.offset, &reading.fingerprint, before);
        let mut siblings = rotation::siblings(&self.path)?;
        siblings.retain(|copy| copy.id != reading.file.id && copy.length > reading.offset);
        let copy = find(siblings, |file| file.has_content_of(&position).unwrap_or(false))?;
        self.events
            .push(SourceEvent::Truncated { copy: copy.as_ref().map(|copy| copy.path.clone()) });
        let Some(reading) = self.current.take() else { return Ok(()) };
        self.current = Some(if let Some(copy) = copy {
            // The rest stays: the copy goes on right where the file was left.
            OpenLog { file: copy, ..reading }
        } else {
            self.drop_rest();
            OpenLog { offset: 0, fingerprint: Vec::new(), ..reading }
        });
        Ok(())
    }

    /// Returns where `file` was left, if it ever was; else its start.
    fn left_at(&self, file: &LogFile) -> u64 {
        let mut left = self.finished.iter().rev();
        left.find(|position| file.continues(position).unwrap_or(false)).map_or(0, |at| at.offset)
    }

    fn enter(&mut self, file: LogFile, offset: u64) {
        let begun = offset.min(FINGERPRINT as u64);
        let known = file
            .read_before(begun, FINGERPRINT)
            .and_then(|fingerprint| Ok((fingerprint, file.read_before(offset, HISTORY)?)));
        match known {
            Ok((fingerprint, before)) => {
                if offset > 0 {
                    self.splitter.continue_after(&before);
                }
                self.events.push(SourceEvent::Opened { file: file.path.clone(), offset });
                self.current = Some(OpenLog { file, offset, fingerprint });
            }
            Err(error) => self.failed(error),
        }
    }

    fn failed(&mut self, error: io::Error) {
        self.events.push(SourceEvent::ReadFailed { error: error.to_string() });
        self.state = FollowError::from(error).into();
    }

    /// Closes the file, remembers where it was left, and drops its unterminated rest.
    fn close(&mut self) {
        let Some(position) = self.position() else { return };
        if self.finished.len() == MAX_FINISHED {
            self.finished.pop_front();
        }
        // A file that was not begun would be taken for any file that gets its number.
        if position.offset > 0 {
            self.finished.push_back(position);
        }
        self.drop_rest();
        self.current = None;
    }

    fn drop_rest(&mut self) {
        let bytes = self.splitter.drop_carry();
        if bytes > 0 {
            self.events.push(SourceEvent::RestDropped { bytes });
        }
    }
}

impl LineSource for Follower {
    fn poll(&mut self, budget: u64, each: &mut dyn FnMut(Region<'_>)) -> Poll {
        self.poll(budget, each)
    }

    fn checkpoint(&self) -> Option<SourceCheckpoint> {
        self.position().map(|position| position.to_checkpoint())
    }

    fn state(&self) -> &SourceState {
        self.state()
    }

    fn status(&self) -> SourceNumbers {
        SourceNumbers { unread: self.unread(), oversized: self.oversized() }
    }
}

/// The first of these files that is `wanted`, open.
fn find(
    siblings: Vec<Sibling>,
    wanted: impl Fn(&LogFile) -> bool,
) -> Result<Option<LogFile>, InMotion> {
    for sibling in siblings {
        if let Some(file) = sibling.open()?.filter(&wanted) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Returns where the unfinished last line of a file begins, if its last line is unfinished; else its end.
/// The end too if that line is too long to be given out anyway, or if the file cannot be read.
fn line_start_before_end(file: &LogFile) -> u64 {
    let end = file.len().unwrap_or(0);
    let tail = file.read_before(end, MAX_LINE).unwrap_or_default();
    match memchr::memrchr(b'\n', &tail) {
        Some(at) => end - (tail.len() - at - 1) as u64,
        None if tail.len() < MAX_LINE => end - tail.len() as u64,
        None => end,
    }
}
