//! What the lines of a channel stand in: text from outside that may go on into the next line.
//!
//! Some messages hold text that a sender chose and that may hold line feeds. Where such a message
//! is cut in two, what follows may be a complete forged line at the start of a line; there is no
//! end to it that could not be forged too. So everything within [`REACH`] bytes of a message that
//! did not end as it should, of the head of a raw packet, or of a line so long that Asterisk cut
//! it, is hearsay; only whom that message itself names may be named again, because the text is
//! his. All that has to be remembered of a channel's past is how far that reaches.

use std::net::IpAddr;

use super::Line;
use crate::event::{Event, Evidence};
use crate::lines::Region;
use crate::prefix::{self, Level};
use crate::rules::MessageShape;

/// How far a doubt reaches, in bytes: the longest message that Asterisk writes (it cuts at 8192).
pub const REACH: usize = 8192;

/// Senders whose text is told apart; with more at once, that of the others is nobody's.
const DOUBTS: usize = 4;

/// Text that somebody outside may have written.
#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    /// How far it reaches from the region's start on, in bytes; 0: there is none.
    until: usize,
    /// Who wrote it, if that is known: what names him is believed all the same.
    sender: Option<IpAddr>,
}

/// The state of a channel: a few words, and a buffer of at most a line.
#[derive(Debug, Default)]
pub struct Context {
    /// What is doubtful.
    doubts: [Doubt; DOUBTS],
    /// Up to where in the region lines are known to begin as messages do.
    known: usize,
    /// Whether a line of level VERBOSE has been seen: packets and dialplan text stand in such
    /// files without any mark of their end.
    free_text: bool,
    scratch: Vec<u8>,
}

impl Context {
    /// Begins with a region.
    pub fn enter(&mut self, region: &Region<'_>) {
        self.known = usize::MAX;
        if region.after_gap {
            self.doubt(None, 0, REACH);
        }
        if !self.free_text {
            self.free_text = holds_verbose_line(region.text(), &mut self.scratch);
        }
    }

    /// Ends with a region.
    pub fn leave(&mut self, region: &Region<'_>) {
        for doubt in &mut self.doubts {
            doubt.until = doubt.until.saturating_sub(region.text().len());
        }
    }

    /// Whether the channel holds free text.
    pub fn has_free_text(&self) -> bool {
        self.free_text
    }

    /// Takes note of a message: whether it is `whole` (a rule matches it) or ends as it should, and
    /// whether what follows may be its sender's. `sender` is whom it names, if the rule is sure.
    pub(super) fn note(
        &mut self,
        messages: &[MessageShape],
        body: &[u8],
        line: &Line<'_>,
        whole: bool,
        sender: Option<IpAddr>,
    ) {
        let begins_doubt = messages
            .iter()
            .filter(|message| begins_with(body, &message.head))
            .filter(|message| memchr::memmem::find(body, &message.needle).is_some())
            .any(|message| {
                let whole = whole || message.ends.iter().any(|end| body.ends_with(end));
                let in_doubt = || self.doubts.iter().any(|doubt| line.start < doubt.until);
                !whole || message.dump || (message.echo && in_doubt())
            });
        if begins_doubt {
            self.doubt(sender, line.start, line.next() + REACH);
        }
    }

    /// From `now` on, doubts everything up to `until` that does not name `sender`.
    fn doubt(&mut self, sender: Option<IpAddr>, now: usize, until: usize) {
        let known = self.doubts.iter().position(|doubt| doubt.sender == sender && doubt.until > 0);
        let free = || self.doubts.iter().position(|doubt| doubt.until <= now);
        let (place, sender) = known.or_else(free).map_or((0, None), |place| (place, sender));
        if let Some(doubt) = self.doubts.get_mut(place) {
            *doubt = Doubt { until: until.max(doubt.until), sender };
        }
    }

    /// Makes hearsay of the `hits` in a line that cannot be believed for what stands before it.
    pub(super) fn weigh(&mut self, line: &Line<'_>, hits: &mut [Event]) {
        let follows_on = self.follows_on(line);
        self.known = line.next();
        for hit in hits {
            let anothers =
                |doubt: &Doubt| line.start < doubt.until && doubt.sender != Some(hit.host);
            if self.free_text || follows_on || self.doubts.iter().any(anothers) {
                hit.evidence = Evidence::Hearsay;
            }
        }
    }

    /// Whether the line before is no message, so that this one may belong to what is. Syslog
    /// daemons escape line feeds; in a file that Asterisk writes, each message begins with a
    /// bracket. The line after one that was a message itself need not be looked at.
    fn follows_on(&mut self, line: &Line<'_>) -> bool {
        line.text.first() == Some(&b'[')
            && line.start != self.known
            && line_before(line.region.bytes, line.region.start + line.start).is_some_and(
                |before| {
                    prefix::strip(before, &mut self.scratch).is_none()
                        && !prefix::begins_message(before)
                },
            )
    }
}

/// Most heads begin like many bodies, with the name of a source file; few end alike.
fn begins_with(body: &[u8], head: &[u8]) -> bool {
    let same_end = head.len().checked_sub(1).and_then(|last| body.get(last)) == head.last();
    same_end && body.starts_with(head)
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
