//! What the lines of a channel stand in: text from outside that may go on into the next line.
//!
//! Some messages hold text that a sender chose and that may hold line feeds. Where such a message
//! is cut in two, what follows may be a complete forged line at the start of a line; there is no
//! end to it that could not be forged too. So everything within [`REACH`] bytes of a message that
//! did not end as it should, of the head of a raw packet, or of a line so long that Asterisk cut
//! it, is hearsay. All that has to be remembered of a channel's past is how far that reaches.

use crate::lines::Region;
use crate::prefix::{self, Level};
use crate::rules::MessageShape;

/// How far a doubt reaches, in bytes: the longest message that Asterisk writes (it cuts at 8192).
pub const REACH: usize = 8192;

/// The state of a channel; a few words whatever was read.
#[derive(Debug, Default)]
pub struct Context {
    /// How many bytes from the region's start on are doubtful.
    doubtful: usize,
    /// Up to where in the region lines are known to begin as messages do.
    known: usize,
    /// Whether a line of level VERBOSE has been seen: packets and dialplan text stand in such
    /// files without any mark of their end.
    free_text: bool,
}

impl Context {
    /// Begins with a region.
    pub fn enter(&mut self, region: &Region<'_>, scratch: &mut Vec<u8>) {
        self.known = usize::MAX;
        if region.after_gap {
            self.doubtful = REACH;
        }
        if !self.free_text {
            self.free_text = holds_verbose_line(region.text(), scratch);
        }
    }

    /// Ends with a region.
    pub fn leave(&mut self, region: &Region<'_>) {
        self.doubtful = self.doubtful.saturating_sub(region.text().len());
    }

    /// Whether the channel holds free text.
    pub fn has_free_text(&self) -> bool {
        self.free_text
    }

    /// Takes note of a message that no rule matched and that ends at `end` of the region: whether
    /// it is whole, and whether a packet follows.
    pub fn note(&mut self, messages: &[MessageShape], body: &[u8], end: usize) {
        let broken = messages
            .iter()
            .filter(|message| body.starts_with(&message.head))
            .any(|message| message.dump || !message.ends.iter().any(|tail| body.ends_with(tail)));
        if broken {
            self.doubtful = end + REACH;
        }
    }

    /// Whether `line`, which begins at `start` of the region's lines, cannot be believed for what
    /// stands before it.
    pub fn makes_hearsay(
        &mut self,
        region: &Region<'_>,
        start: usize,
        line: &[u8],
        scratch: &mut Vec<u8>,
    ) -> bool {
        // Syslog daemons escape line feeds; in a file that Asterisk writes, each message begins with
        // a bracket. The line after one that was a message itself need not be looked at.
        let follows_on = line.first() == Some(&b'[')
            && start != self.known
            && line_before(region.bytes, region.start + start).is_some_and(|before| {
                prefix::strip(before, scratch).is_none() && !prefix::begins_message(before)
            });
        self.known = start + line.len() + 1;
        self.free_text || start < self.doubtful || follows_on
    }
}

/// The last line before `end` that is not empty; Asterisk ends some messages with an empty one.
fn line_before(text: &[u8], end: usize) -> Option<&[u8]> {
    let before = text.get(..end)?;
    let last = before.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'))?;
    let start = memchr::memrchr(b'\n', before.get(..last)?).map_or(0, |lf| lf + 1);
    before.get(start..=last)
}

fn holds_verbose_line(text: &[u8], scratch: &mut Vec<u8>) -> bool {
    memchr::memmem::find_iter(text, b"VERBOSE[").any(|at| {
        let start =
            text.get(..at).and_then(|before| memchr::memrchr(b'\n', before)).map_or(0, |lf| lf + 1);
        let end = memchr::memchr(b'\n', text.get(at..).unwrap_or_default())
            .map_or(text.len(), |lf| at + lf);
        text.get(start..end)
            .and_then(|line| prefix::strip(line, scratch))
            .is_some_and(|stripped| stripped.level == Level::Verbose)
    })
}
