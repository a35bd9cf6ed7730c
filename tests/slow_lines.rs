//! No line takes much longer to read than others of its length, whoever wrote it.
#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::input::line_splitter::{MAX_LINE, Region};
use asterguard::model::event::ChannelId;
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;
use rustix::time::{ClockId, clock_gettime};

/// As long as a line may be, with its line feed.
const LONG: usize = MAX_LINE - 1;

/// The CPU time that this thread has used, in ns: what else the machine does hardly matters.
fn cpu_time() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// `line`, with as much of `filler` put in at `at` as fits.
fn stretched(line: &[u8], at: usize, filler: &[u8]) -> Vec<u8> {
    let room = LONG.saturating_sub(line.len() + 1) / filler.len();
    [&line[..at], &filler.repeat(room), &line[at..], b"\n"].concat()
}

/// Long lines made of an example: its text stretched with nothing, with itself, and with more and more
/// places where the address could stand; each as it is and with another end.
fn long_lines(line: &[u8], host: Option<&str>) -> Vec<Vec<u8>> {
    let mut fillers: Vec<Vec<u8>> =
        [&b"a"[..], b"1", b":", b"'", b"\\\"", b"]", b" ", b"\xff"].map(<[u8]>::to_vec).into();
    let body = memchr::memmem::find(line, b".c: ").map_or(0, |file| file + 4);
    fillers.push(line[body..].to_vec());
    if let Some(place) = host.and_then(|host| memchr::memmem::find(line, host.as_bytes())) {
        let behind = place + host.map_or(0, str::len);
        for (before, after) in [(1, 1), (10, 10), (20, 30), (40, 60), (place - body, line.len())] {
            let from = place.saturating_sub(before).max(body);
            fillers.push(line[from..(behind + after).min(line.len())].to_vec());
        }
    }
    let marks = (body..line.len()).filter(|at| b"'\"(".contains(&line[*at]));
    let places: Vec<usize> = marks.flat_map(|at| [at, at + 1]).chain([body, line.len()]).collect();
    let mut lines = Vec::new();
    for filler in &fillers {
        for at in places.iter().step_by(places.len().div_ceil(4)) {
            let long = stretched(line, *at, filler);
            let mut near = long.clone();
            let last = near.len() - 2;
            near[last] ^= 1;
            lines.extend([long, near]);
        }
    }
    lines
}

/// How much longer than usual a line may take. One in which the address could stand in several places is
/// read once more for each, while of usual ones most is passed over without a look at each byte; what grows with the
/// square of a line would take hundreds of times as long.
const MOST: f64 = 45.0;

/// The time that a line takes, in ns a byte: the least of some tries; and whether a rule matches it.
fn cost(scanner: &mut Scanner, line: &[u8], tries: usize) -> (f64, bool) {
    let region = Region::of(line, 1);
    let mut events = Vec::new();
    let try_once = |_| {
        events.clear();
        let begin = cpu_time();
        scanner.scan(&region, &mut Clock::At(Time::default()), &mut events);
        cpu_time() - begin
    };
    let least = (0..tries).map(try_once).min().unwrap();
    (least as f64 / line.len() as f64, !events.is_empty())
}

#[test]
fn no_line_is_slow() {
    let rules = Arc::new(RuleSet::load(None).unwrap());
    let all: Vec<_> = rules.iter().map(|(id, _)| id).collect();
    let matcher = Arc::new(Matcher::new(&rules, &all).unwrap());
    let mut scanner = Scanner::new(matcher, ChannelId(0));
    let (mut costs, mut usual) = (Vec::new(), Vec::new());
    for (_, rule) in rules.iter() {
        let (hits, others): (Vec<_>, Vec<_>) =
            rule.examples.iter().partition(|example| example.host.is_some());
        for example in hits.iter().take(1).chain(others.first()) {
            let host = example.host.map(|host| host.to_string());
            for line in long_lines(&example.line, host.as_deref()) {
                let (cost, hit) = cost(&mut scanner, &line, 2);
                usual.extend(hit.then_some(cost));
                costs.push((cost, line));
            }
        }
    }
    // Most lines are given up after a few bytes; what matters is what reading to the end takes.
    usual.sort_by(f64::total_cmp);
    let median = usual[usual.len() / 2];
    costs.sort_by(|one, other| one.0.total_cmp(&other.0));
    // What seemed slow is tried again: an interrupt is not the line's fault.
    let slowest = costs.len() - 40..;
    let (worst, line) = costs[slowest]
        .iter()
        .map(|(_, line)| (cost(&mut scanner, line, 30).0, line))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .unwrap();
    println!("{} lines, {median:.2} ns a byte, the slowest {worst:.2}", costs.len());
    assert!(
        worst <= MOST * median,
        "{worst:.2} ns a byte, where {median:.2} are usual:\n{}",
        [&line[..300], b" [...] ", &line[line.len() - 300..]].concat().escape_ascii()
    );
}
