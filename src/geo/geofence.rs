//! The networks of some countries, as the databases say: what the geofence is made of.
//!
//! A geofence is rough. Of IPv4 it goes by networks of /24, and of IPv6 by /32, which are the smallest that registries
//! hand out to providers. One that is only in part in a country is let through, whether countries are allowed or
//! denied. So a packet costs few lookups.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};
use maxminddb::{MaxMindDbError, Reader, WithinOptions};

use super::{Databases, country};
use crate::config::{Countries, FenceAction};
use crate::hosts::lists::{Geofence, MOST_FED, Networks};
use crate::model::place::Country;

/// Lookups that a packet of either family costs at most.
const LENGTHS: usize = 3;

/// Ranges of addresses that belong to a country, one after the other, of a family: 32 bytes each. There are a quarter as
/// many in a database of countries.
const MOST_RANGES: usize = 1 << 22;

/// The smallest networks, in bits.
const SMALLEST_V4: u32 = 24;
const SMALLEST_V6: u32 = 32;

/// First addresses, and those behind the last; of IPv4, only the lowest 32 bits count.
type Range = (u128, u128);

/// What a family is, for this.
#[derive(Clone, Copy)]
struct Family {
    all: &'static str,
    bits: u32,
    smallest: u32,
}

/// Nothing else of IPv6 is routed.
const FAMILIES: [Family; 2] = [
    Family { all: "0.0.0.0/0", bits: 32, smallest: SMALLEST_V4 },
    Family { all: "2000::/3", bits: 128, smallest: SMALLEST_V6 },
];

impl Databases {
    /// Returns the geofence for these countries. If the databases cannot be used, or say much less than they did
    /// `before`, it keeps the networks that it had; without any, it is off.
    #[must_use]
    pub fn geofence(&self, countries: &Countries, before: Option<&Geofence>) -> Geofence {
        let countries = countries.clone();
        let before = before.filter(|before| {
            let same = (&before.countries.action, &before.countries.named)
                == (&countries.action, &countries.named);
            same && !before.networks.is_empty()
        });
        let read = self.named(&countries).and_then(|(networks, missing)| {
            let shrunk = before.is_some_and(|before| is_much_less(&networks, &before.networks));
            if shrunk {
                return Err("the databases say less than half of what they said".to_owned());
            }
            Ok((networks, missing))
        });
        match (read, before) {
            (Ok((networks, missing)), _) => {
                Geofence { countries, networks: Arc::new(networks), missing, problem: None }
            }
            (Err(why), Some(before)) => {
                let problem =
                    Some(format!("{why}; the networks before stay in force until a restart"));
                let (networks, missing) = (Arc::clone(&before.networks), before.missing.clone());
                Geofence { countries, networks, missing, problem }
            }
            (Err(why), None) => {
                let problem = Some(format!("{why}, so there is no geofence"));
                Geofence { countries, networks: Arc::default(), missing: Vec::new(), problem }
            }
        }
    }

    /// Returns the networks of these countries, and those of the countries that have none.
    fn named(&self, countries: &Countries) -> Result<(Networks, Vec<Country>), String> {
        if self.files.is_empty() {
            return Err("no database is named in `files` below [geoip]".to_owned());
        }
        if self.is_empty() {
            return Err("no database can be read".to_owned());
        }
        let mut found = BTreeSet::new();
        let mut nets = Vec::new();
        for family in FAMILIES {
            let (mut named, mut known) = (Vec::new(), Vec::new());
            for file in &self.files {
                let Some(reader) = file.reader.as_deref() else { continue };
                let scanned = scan(reader, family, &countries.named, &mut found);
                let (own, all) =
                    scanned.map_err(|why| format!("{}: {why}", file.path.display()))?;
                // Of each address, the first file that knows its country is right.
                named = merged(named.into_iter().chain(without(&own, &known)).collect());
                known = merged(known.into_iter().chain(all).collect());
            }
            let whole =
                named.into_iter().filter_map(|range| rounded(range, family, countries.action));
            nets.extend(
                merged(whole.collect()).into_iter().flat_map(|range| networks(range, family)),
            );
        }
        if nets.is_empty() {
            return Err("the databases know no network of these countries".to_owned());
        }
        let all = Networks::new(nets);
        // More lengths only if there would be far too many networks.
        let few = (LENGTHS..=32).find_map(|most| all.in_lengths(most, MOST_FED));
        let few = few.ok_or_else(|| format!("the databases know more than {MOST_FED} networks"))?;
        let missing = countries.named.difference(&found).copied().collect();
        Ok((few, missing))
    }
}

/// Returns the ranges of these countries, and those of any.
fn scan(
    reader: &Reader<Vec<u8>>,
    family: Family,
    wanted: &BTreeSet<Country>,
    found: &mut BTreeSet<Country>,
) -> Result<(Vec<Range>, Vec<Range>), String> {
    if family.bits == 128 && reader.metadata().ip_version == 4 {
        return Ok(Default::default());
    }
    let (mut named, mut known) = (Vec::new(), Vec::new());
    let damaged = |error: MaxMindDbError| error.to_string();
    // Many networks have the same record.
    let mut seen: HashMap<usize, Option<Country>, RandomState> = HashMap::default();
    let all = family.all.parse().map_err(|_| "no network".to_owned())?;
    // Also what it says nothing of, so that there is an end to looking.
    let options = WithinOptions::default().include_networks_without_data();
    // A tree has one leaf more than nodes. A damaged one, in which branches lead back or meet, has more than anybody
    // could wait for; sound ones have some that meet.
    let nodes = usize::try_from(reader.metadata().node_count).unwrap_or(usize::MAX);
    let most = nodes.saturating_add(1).saturating_mul(4);
    for (number, result) in reader.within(all, options).map_err(damaged)?.enumerate() {
        if number >= most {
            return Err("its networks go round in circles".to_owned());
        }
        if known.len() > MOST_RANGES {
            return Err(format!("it splits countries into more than {MOST_RANGES} parts"));
        }
        let result = result.map_err(damaged)?;
        let Some(offset) = result.offset() else { continue };
        let Some(country) = *seen.entry(offset).or_insert_with(|| country(&result)) else {
            continue;
        };
        let net = result.network().map_err(damaged)?;
        let Some(range) = range(net.ip(), net.prefix(), family) else { continue };
        append(&mut known, range);
        if wanted.contains(&country) {
            found.insert(country);
            append(&mut named, range);
        }
    }
    Ok((merged(named), merged(known)))
}

/// Returns the range of a network of this family.
fn range(first: IpAddr, length: u8, family: Family) -> Option<Range> {
    let start = match (first, family.bits) {
        (IpAddr::V4(v4), 32) => u128::from(v4.to_bits()),
        (IpAddr::V6(v6), 128) => v6.to_bits(),
        _ => return None,
    };
    let size = 1_u128.checked_shl(family.bits.checked_sub(length.into())?)?;
    Some((start, start.checked_add(size)?))
}

/// Appends a range, or lengthens the last one if it follows that.
fn append(ranges: &mut Vec<Range>, range: Range) {
    match ranges.last_mut() {
        Some((_, end)) if *end == range.0 => *end = range.1,
        _ => ranges.push(range),
    }
}

/// Returns ranges in ascending order, none of which touches another.
fn merged(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut whole: Vec<Range> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match whole.last_mut() {
            Some((_, last)) if *last >= start => *last = end.max(*last),
            _ => whole.push((start, end)),
        }
    }
    whole
}

/// Returns what of `ranges` is in none of `others`; of both, none touches another.
fn without(ranges: &[Range], others: &[Range]) -> Vec<Range> {
    let mut left = Vec::with_capacity(ranges.len());
    let mut others = others.iter().copied().peekable();
    for (mut start, end) in ranges.iter().copied() {
        while others.next_if(|(_, behind)| *behind <= start).is_some() {}
        while let Some((from, behind)) = others.peek().copied().filter(|(from, _)| *from < end) {
            if start < from {
                left.push((start, from));
            }
            start = start.max(behind);
            if behind > end {
                break;
            }
            others.next();
        }
        if start < end {
            left.push((start, end));
        }
    }
    left
}

/// Returns the smallest networks that are allowed at least in part, or denied as a whole.
fn rounded((start, end): Range, family: Family, action: FenceAction) -> Option<Range> {
    let size = 1_u128.checked_shl(family.bits.checked_sub(family.smallest)?)?;
    let (start, end) = match action {
        FenceAction::Allow => (start / size, end.div_ceil(size)),
        FenceAction::Deny => (start.div_ceil(size), end / size),
    };
    (start < end).then(|| (start * size, end * size))
}

/// Returns the fewest networks that make up a range.
fn networks((start, end): Range, family: Family) -> Vec<IpNet> {
    let Some(last) = end.checked_sub(1) else { return Vec::new() };
    if family.bits == 32 {
        let bound = |bits: u128| u32::try_from(bits).unwrap_or(u32::MAX).into();
        let nets = Ipv4Subnets::new(bound(start), bound(last), 0);
        nets.map(|net: Ipv4Net| IpNet::V4(net)).collect()
    } else {
        let nets = Ipv6Subnets::new(start.into(), last.into(), 0);
        nets.map(|net: Ipv6Net| IpNet::V6(net)).collect()
    }
}

/// Whether `now` has less than half of the addresses of either family that were there `before`.
fn is_much_less(now: &Networks, before: &Networks) -> bool {
    let [now, before] = [now, before].map(Networks::addresses);
    now.0 < before.0 / 2 || now.1 < before.1 / 2
}
