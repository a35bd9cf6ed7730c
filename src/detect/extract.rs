//! From a matching failregex to the host: found by position, and only if there is one reading.

use std::sync::OnceLock;

use memchr::memmem::Finder;

use super::address::FoundAddress;
use super::prefilter::PatternSet;
use crate::model::exchange::Transport;
use crate::model::subject::canonical;
use crate::rules::address_tag::AddressTag;
use crate::rules::pattern::Pattern;
use crate::rules::search::{Found, Search};

/// Places in one body where an address may stand for one failregex; with more, a sender put them
/// there, and the line is not believed.
const MOST_PLACES: usize = 16;

/// The host that a failregex found in a body that it matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extraction {
    /// There is one.
    One(FoundAddress),
    /// There are several, with different hosts.
    Several,
    /// There is no valid address where one should stand.
    Nothing,
}

/// Finds the host in bodies that one failregex matches.
#[derive(Debug)]
pub struct Extractor {
    tag: AddressTag,
    /// A failregex of fail2ban's, which finds its host itself.
    search: Option<Search>,
    before: Option<Finder<'static>>,
    after: Vec<u8>,
    around: (String, String),
    /// The patterns of what stands before the address and behind it. Built when a body first needs
    /// it; `None` inside: it cannot be built. Automata, because a line that needs them must not
    /// take much longer than others.
    exact: OnceLock<Option<(PatternSet, PatternSet)>>,
}

impl Extractor {
    /// Prepares the search for the host of `pattern`.
    #[must_use]
    pub fn new(pattern: &Pattern) -> Self {
        Self {
            tag: pattern.tag,
            search: pattern.search.clone(),
            before: (!pattern.before.is_empty()).then(|| Finder::new(&pattern.before).into_owned()),
            after: pattern.after.clone(),
            around: pattern.around.clone(),
            exact: OnceLock::new(),
        }
    }

    /// Reads the host out of `body`, which the whole failregex matches.
    ///
    /// The address stands right behind fixed text. Where that text occurs once, there is one place
    /// to read; where it occurs more often, each place counts for which the part before it matches
    /// what the failregex has before the address and the part behind it what it has behind. If
    /// two such places name two hosts, a host outside wrote one of them.
    #[must_use]
    pub fn read(&self, body: &[u8]) -> Extraction {
        if let Some(search) = &self.search {
            return match search.find(body) {
                Found::Host(host) => Extraction::One(FoundAddress {
                    host,
                    port: 0,
                    transport: Transport::Unknown,
                    len: 0,
                }),
                Found::Nothing | Found::NoAddress | Found::GaveUp => Extraction::Nothing,
            };
        }
        let Some(before) = &self.before else {
            return self.at(body, 0).map_or(Extraction::Nothing, Extraction::One);
        };
        let mut from = 0;
        let mut places = std::iter::from_fn(|| {
            loop {
                let found = from + before.find(body.get(from..)?)?;
                from = found + 1;
                let start = found + before.needle().len();
                if let Some(found_address) = self.at(body, start) {
                    return Some((start, found_address));
                }
            }
        });
        match (places.next(), places.next()) {
            (None, _) => Extraction::Nothing,
            (Some((_, found_address)), None) => Extraction::One(found_address),
            (Some(first), Some(second)) => {
                let all: Vec<_> =
                    [first, second].into_iter().chain(places).take(MOST_PLACES + 1).collect();
                if all.len() > MOST_PLACES { Extraction::Several } else { self.exactly(body, &all) }
            }
        }
    }

    /// The address at `start`, if the fixed text behind it is there.
    fn at(&self, body: &[u8], start: usize) -> Option<FoundAddress> {
        let found_address = self.tag.read(body.get(start..)?)?;
        body.get(start + found_address.len..)?.starts_with(&self.after).then_some(found_address)
    }

    /// Of several places, those for which the whole failregex holds.
    fn exactly(&self, body: &[u8], places: &[(usize, FoundAddress)]) -> Extraction {
        let exact = self.exact.get_or_init(|| {
            let pattern_set = |part: &str| PatternSet::new(&[&format!("^(?:{part})$")]).ok();
            Some((pattern_set(&self.around.0)?, pattern_set(&self.around.1)?))
        });
        let Some((head, tail)) = exact else { return Extraction::Several };
        let holds = |(start, found_address): &&(usize, FoundAddress)| {
            body.get(start + found_address.len..).is_some_and(|part| tail.matches(part))
                && body.get(..*start).is_some_and(|part| head.matches(part))
        };
        let Some((_, first)) = places.iter().find(holds) else { return Extraction::Nothing };
        // Other places that name the same host change nothing, and looking at each takes time.
        let other =
            |place: &&(usize, FoundAddress)| canonical(place.1.host) != canonical(first.host);
        if places.iter().filter(other).any(|place| holds(&place)) {
            Extraction::Several
        } else {
            Extraction::One(*first)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::byte_regex;

    fn read(failregex: &str, body: &str) -> Result<String, Extraction> {
        let pattern = Pattern::new(failregex).unwrap();
        assert!(byte_regex(&pattern.regex).unwrap().is_match(body.as_bytes()), "{body}");
        match Extractor::new(&pattern).read(body.as_bytes()) {
            Extraction::One(found_address) => Ok(found_address.host.to_string()),
            other => Err(other),
        }
    }

    const LOOSE: &str = r"^f: Request from '.*' failed for '<HOST:PORT>' \(callid: .*\) - No$";

    #[test]
    fn one_reading_names_the_host() {
        let body = "f: Request from 'a' failed for '203.0.113.9:1' (callid: b) - No";
        assert_eq!(read(LOOSE, body).unwrap(), "203.0.113.9");
        let twice =
            "f: Request from 'x failed for '192.0.2.6' failed for '203.0.113.9:1' (callid: b) - No";
        assert_eq!(read(LOOSE, twice).unwrap(), "203.0.113.9", "192.0.2.6 has no port: no reading");
        let same = "f: Request from '' failed for '203.0.113.9:2' (callid: ' failed for '203.0.113.9:1' (callid: b) - No";
        assert_eq!(read(LOOSE, same).unwrap(), "203.0.113.9");
    }

    #[test]
    fn two_readings_name_nobody() {
        for body in [
            "f: Request from 'x' failed for '192.0.2.6:1' (callid: y' failed for '203.0.113.9:1' (callid: b) - No",
            "f: Request from 'x' failed for '203.0.113.9:1' (callid: ' failed for '192.0.2.6:1' (callid: b) - No",
        ] {
            assert_eq!(read(LOOSE, body).unwrap_err(), Extraction::Several);
        }
        let many = "' failed for '203.0.113.9:1' (callid: ".repeat(40);
        let body = format!("f: Request from '{many}) - No");
        assert_eq!(read(LOOSE, &body).unwrap_err(), Extraction::Several);
    }

    #[test]
    fn a_strict_rule_knows_the_right_one_of_two_places() {
        let strict = r"^f: Request from '<TEXT>' failed for '<HOST:PORT>' \(callid: .*\) - No$";
        let body = "f: Request from 'x' failed for '203.0.113.9:1' (callid: ' failed for '192.0.2.6:1' (callid: b) - No";
        assert_eq!(read(strict, body).unwrap(), "203.0.113.9");
    }

    #[test]
    fn an_address_that_is_none_names_nobody() {
        assert_eq!(
            read(r"^f: from <HOST>$", "f: from 1.2.3.4.5").unwrap_err(),
            Extraction::Nothing
        );
        assert_eq!(read(r"^<HOST> failed$", "1.2.3 failed").unwrap_err(), Extraction::Nothing);
        assert_eq!(read(r"^<HOST> failed$", "1.2.3.4 failed").unwrap(), "1.2.3.4");
    }
}
