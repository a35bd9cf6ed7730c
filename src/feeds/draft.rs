//! A list on its way: what has been read of it, and whether it may take the place of the last one.

use std::io::{BufRead, Read as _};

use ipnet::IpNet;
use thiserror::Error;

use crate::hosts::lists::parse::{line, unfeedable};
use crate::hosts::lists::{MOST_FED, Networks, covers_too_much};

/// Bytes that are read of a line; the rest of a longer one is left out.
const LONGEST_LINE: u64 = 4096;
/// Networks from which on a list does not lose nine tenths at once.
const MANY: usize = 100;

/// The reason why a list does not take the place of the last one. None has words of the server: they could hold a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It begins like a page.
    #[error("it is a page (HTML), not a list")]
    Page,
    /// Too much of it is something else.
    #[error("it is no list of networks: {broken} of {lines} entries are none (see line {line})")]
    NoList { broken: usize, lines: usize, line: usize },
    /// The path through JSON leads nowhere.
    #[error("there is no text where jsonpath leads")]
    NoText,
    /// It has more networks than the guard takes.
    #[error("it has more than {MOST_FED} networks")]
    TooMany,
    /// It has lost nearly everything.
    #[error("it has {now} networks, and the last one had {before}")]
    Shrunk { before: usize, now: usize },
    /// It would block the internet.
    #[error("it blocks more than half of all IPv4 addresses")]
    TooMuch,
}

/// What has been read of a list: at most [`MOST_FED`] networks of 18 bytes.
#[derive(Debug, Default)]
pub struct Draft {
    nets: Vec<IpNet>,
    /// Entries so far.
    entries: usize,
    /// Those that are no networks, and the number of the first.
    broken: usize,
    first: Option<usize>,
    /// Networks that no feed may block.
    left_out: usize,
    /// The places where a path through JSON ends too early.
    missed: usize,
    /// Why the last entry was not added.
    refusal: Option<Refusal>,
}

/// A list that may take the place of the last one.
#[derive(Debug)]
pub struct Finished {
    /// Its networks.
    pub networks: Networks,
    /// Entries that are none, or that no feed may block.
    pub skipped: usize,
}

impl Finished {
    /// Returns the list as the guard reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for net in self.networks.iter() {
            text += &net.to_string();
            text.push('\n');
        }
        text
    }
}

impl Draft {
    /// Adds an entry: a line, or a text of JSON.
    ///
    /// # Errors
    /// When there are too many, or it is the first line of a page.
    pub fn add(&mut self, entry: &[u8]) -> Result<(), Refusal> {
        let added = self.judge(entry);
        self.refusal = added.clone().err();
        added
    }

    /// Returns why the last entry was not added.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    fn judge(&mut self, entry: &[u8]) -> Result<(), Refusal> {
        self.entries += 1;
        match line(entry) {
            Ok(None) => {}
            Ok(Some(net)) if unfeedable(&net).is_some() => self.left_out += 1,
            Ok(Some(_)) if self.nets.len() >= MOST_FED => return Err(Refusal::TooMany),
            Ok(Some(net)) => self.nets.push(net),
            Err(_) if self.nets.is_empty() && entry.trim_ascii_start().starts_with(b"<") => {
                return Err(Refusal::Page);
            }
            Err(_) => {
                self.broken += 1;
                self.first.get_or_insert(self.entries);
            }
        }
        Ok(())
    }

    /// Notes that a path through JSON has no end in one place.
    pub fn miss(&mut self) {
        self.missed += 1;
    }

    /// Adds the lines of a text.
    ///
    /// # Errors
    /// When it cannot be read to its end, or a line cannot be added.
    pub fn add_lines(&mut self, mut text: impl BufRead) -> Result<(), std::io::Error> {
        let mut entry = Vec::new();
        while text.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut entry)? > 0 {
            let is_whole = entry.ends_with(b"\n") || (entry.len() as u64) < LONGEST_LINE;
            let bytes = entry.strip_prefix(b"\xef\xbb\xbf").filter(|_| self.entries == 0);
            let bytes = bytes.unwrap_or(&entry);
            self.add(bytes.strip_suffix(b"\n").unwrap_or(bytes)).map_err(std::io::Error::other)?;
            entry.clear();
            if !is_whole {
                text.skip_until(b'\n')?;
            }
        }
        Ok(())
    }

    /// Judges the list; `before` is how many networks the last one has, if that counts.
    ///
    /// # Errors
    /// When it may not take the place of the last one.
    pub fn finish(self, before: Option<usize>) -> Result<Finished, Refusal> {
        let Self { nets, entries, broken, first, left_out, missed, .. } = self;
        // A tenth of it: an error page, or another kind of file.
        if let Some(line) = first.filter(|_| broken > (nets.len() + left_out + broken) / 10) {
            return Err(Refusal::NoList { broken, lines: entries, line });
        }
        if nets.is_empty() && left_out == 0 && missed > 0 {
            return Err(Refusal::NoText);
        }
        let networks = Networks::new(nets);
        let now = networks.len();
        if let Some(before) = before.filter(|before| *before >= MANY && now < before / 10) {
            return Err(Refusal::Shrunk { before, now });
        }
        if covers_too_much(&networks) {
            return Err(Refusal::TooMuch);
        }
        Ok(Finished { networks, skipped: broken + left_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &[u8], before: Option<usize>) -> Result<(usize, usize), String> {
        let mut draft = Draft::default();
        draft.add_lines(text).map_err(|error| error.to_string())?;
        let finished = draft.finish(before).map_err(|error| error.to_string())?;
        // The guard reads again what is written.
        let mut again = Draft::default();
        again.add_lines(finished.text().as_bytes()).unwrap();
        assert_eq!(again.finish(None).unwrap().networks, finished.networks);
        Ok((finished.networks.len(), finished.skipped))
    }

    fn many(count: usize) -> Vec<u8> {
        let line = |n: usize| format!("198.{}.{}.{}\n", n >> 16 & 255, n >> 8 & 255, n & 255);
        (0..count).map(line).collect::<String>().into_bytes()
    }

    #[test]
    fn lists_are_taken_as_far_as_they_are_lists() {
        let text = b"\xef\xbb\xbf# comment\r\n198.51.100.0/24 ; SBL1\r\n\r\n198.51.100.7\n10.0.0.0/8\n0.0.0.0/0\n2001:db8::1";
        assert_eq!(judged(text, None), Ok((2, 2)));
        assert_eq!(judged(b"", None), Ok((0, 0)));
        assert_eq!(judged(b"", Some(99)), Ok((0, 0)));
        let mut one_wrong = many(20);
        one_wrong.extend_from_slice(b"last updated today\n");
        assert_eq!(judged(&one_wrong, None), Ok((20, 1)));
        // A line without an end is one entry.
        let mut endless = many(20);
        endless.extend(std::iter::repeat_n(b'1', 1 << 20));
        assert_eq!(judged(&endless, None), Ok((20, 1)));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for (text, before, why) in [
            (&b" <!DOCTYPE html>\n<p>198.51.100.1"[..], None, "it is a page (HTML), not a list"),
            (
                b"Too many requests\n",
                None,
                "it is no list of networks: 1 of 1 entries are none (see line 1)",
            ),
            (
                b"198.51.100.1\nwhat\n",
                None,
                "it is no list of networks: 1 of 2 entries are none (see line 2)",
            ),
            (
                b"\x1f\x8b\x08\0\0\0",
                None,
                "it is no list of networks: 1 of 1 entries are none (see line 1)",
            ),
            (b"", Some(5000), "it has 0 networks, and the last one had 5000"),
            (b"198.51.100.1\n", Some(100), "it has 1 networks, and the last one had 100"),
        ] {
            assert_eq!(judged(text, before), Err(why.to_owned()));
        }
        let quarters: Vec<_> = (1..=140)
            .filter(|n| ![10, 127].contains(n))
            .map(|n| format!("{n}.0.0.0/8\n"))
            .collect();
        assert_eq!(
            judged(quarters.concat().as_bytes(), None),
            Err("it blocks more than half of all IPv4 addresses".to_owned())
        );
    }

    #[test]
    fn there_is_an_end_to_networks() {
        let text = many(MOST_FED + 1);
        assert_eq!(judged(&text, None), Err("it has more than 1048576 networks".to_owned()));
    }
}
