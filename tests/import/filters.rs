//! Every filter that Debian's fail2ban brings, and the samples of its own tests, read where they lie.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use asterguard::fail2ban::jails::filter_alone;
use asterguard::fail2ban::regexes::with_prefix;
use asterguard::rules::Grammar;
use asterguard::rules::date_pattern::Dates;
use asterguard::rules::search::{Found, LineRegex, Search};

use crate::guards::{fail2ban, named_by_fail2ban};

/// Filters that put several lines together, by a window of lines or by the id of a connection.
const SEVERAL_LINES: [&str; 6] =
    ["ejabberd-auth", "guacamole", "mongodb-auth", "sendmail-reject", "slapd", "sshd"];

/// A filter as it is run here.
struct Filter {
    dates: Dates,
    searches: Vec<Search>,
    ignore: Vec<LineRegex>,
    /// Reasons why failregexes are left out.
    refused: Vec<String>,
}

fn filter(base: &Path, name: &str) -> Filter {
    let (filter, _) = filter_alone(base, name).unwrap();
    let prefix = filter.prefregex.as_deref();
    let whole = |regex: &String| {
        prefix.map_or_else(|| Ok(regex.clone()), |prefix| with_prefix(prefix, regex))
    };
    let mut refused = Vec::new();
    let mut searches = Vec::new();
    for regex in &filter.failregex {
        if regex.contains("<F-NOFAIL>") {
            refused.push("it explains other lines".to_owned());
            continue;
        }
        match whole(regex).and_then(|regex| Search::new(&regex).map_err(|error| error.to_string()))
        {
            Ok(search) => searches.push(search),
            Err(error) => refused.push(error),
        }
    }
    let ignore = filter.ignoreregex.iter();
    let ignore =
        ignore.filter_map(|regex| LineRegex::read(&whole(regex).ok()?, Grammar::Fail2ban).ok());
    if filter.maxlines.is_some_and(|lines| lines > 1) {
        refused.push("it needs several lines at once".to_owned());
    }
    let dates = Dates::new(filter.datepattern.as_deref()).unwrap_or_else(|error| {
        refused.push(error.to_string());
        Dates::new(None).unwrap()
    });
    Filter { ignore: ignore.collect(), dates, searches, refused }
}

impl Filter {
    fn named(&self, line: &str) -> BTreeSet<IpAddr> {
        let mut body = line.as_bytes().to_vec();
        body.drain(self.dates.find(line.as_bytes()).unwrap_or_default());
        if self.ignore.iter().any(|regex| regex.is_match(&body)) {
            return BTreeSet::new();
        }
        let found = self.searches.iter().find_map(|search| match search.find(&body) {
            Found::Host(host) => Some(host.to_canonical()),
            _ => None,
        });
        found.into_iter().collect()
    }
}

/// The lines of a sample, without what fail2ban's tests say about them.
fn lines(path: &Path) -> Vec<String> {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(str::to_owned).collect()
}

#[test]
fn filters_of_debian_name_the_same_hosts() {
    let Some(place) = fail2ban() else { return };
    let base = place.join("etc/fail2ban");
    let config = tempfile::tempdir().unwrap();
    assert!(
        std::process::Command::new("cp")
            .arg("-r")
            .arg(base.join("."))
            .arg(config.path())
            .status()
            .unwrap()
            .success()
    );
    let samples = place.join("usr/lib/python3/dist-packages/fail2ban/tests/files/logs");
    let mut names: Vec<String> = fs::read_dir(base.join("filter.d"))
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().to_str()?.strip_suffix(".conf").map(str::to_owned)
        })
        .collect();
    names.sort();
    let (mut whole, mut in_part, mut reasons) = (0, 0, BTreeMap::<String, usize>::new());
    let (mut agreeing, mut missed, mut total, mut others) = (0, Vec::new(), 0, Vec::new());
    for name in &names {
        let filter = filter(&base, name);
        match (filter.searches.is_empty(), filter.refused.is_empty()) {
            // Files that others include hold no failregex.
            (true, true) => continue,
            (false, true) => whole += 1,
            (false, false) => in_part += 1,
            (true, false) => {}
        }
        for reason in &filter.refused {
            *reasons.entry(format!("{name}: {reason}")).or_default() += 1;
        }
        let sample = samples.join(name);
        if !sample.is_file() {
            continue;
        }
        let lines = lines(&sample);
        let texts: Vec<_> = lines.iter().map(String::as_str).collect();
        let Ok(theirs) = named_by_fail2ban(&place, config.path(), name, &texts) else { continue };
        for line in texts {
            total += 1;
            let ours = filter.named(line);
            let theirs = theirs.get(line.trim_end()).cloned().unwrap_or_default();
            if ours == theirs {
                agreeing += 1;
            } else if ours.is_subset(&theirs) {
                missed.push(format!("{name}: {line}"));
            } else {
                others.push(format!("{name}: {ours:?}, not {theirs:?}: {line}"));
            }
        }
    }
    for (reason, count) in &reasons {
        eprintln!("left out, {count} times: {reason}");
    }
    for line in missed.iter().take(60) {
        eprintln!("named by fail2ban only: {line}");
    }
    for line in &others {
        eprintln!("another host: {line}");
    }
    for line in &missed {
        let known = SEVERAL_LINES.iter().any(|name| line.starts_with(&format!("{name}: ")));
        assert!(known, "named by fail2ban only: {line}");
    }
    assert!(others.is_empty(), "another host than fail2ban's");
    assert!(whole >= 80 && in_part <= 6, "filters: {whole} whole, {in_part} in part");
    assert!(agreeing * 100 >= total * 90, "{agreeing} of {total} lines");
    eprintln!(
        "filters: {whole} whole and {in_part} in part; lines: {agreeing} of {total} agree, {} are named by fail2ban only, {} otherwise",
        missed.len(),
        others.len()
    );
}
