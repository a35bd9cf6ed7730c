//! Whatever stands in a log, reading it does not fail, and it does not matter how it arrives.
#![no_main]

use std::sync::{Arc, LazyLock};

use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::input::line_splitter::LineSplitter;
use asterguard::model::event::{ChannelId, Event};
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;
use libfuzzer_sys::fuzz_target;

static MATCHER: LazyLock<Arc<Matcher>> = LazyLock::new(|| {
    let rules = Arc::new(RuleSet::load(None).expect("the shipped rules are right"));
    let all: Vec<_> = rules.iter().map(|(id, _)| id).collect();
    Arc::new(Matcher::new(&rules, &all).expect("the shipped rules are small"))
});

fn scan(data: &[u8], piece: usize) -> Vec<Event> {
    let mut scanner = Scanner::new(Arc::clone(&MATCHER), ChannelId(0));
    let mut splitter = LineSplitter::new(piece);
    let mut events = Vec::new();
    for bytes in data.chunks(piece) {
        splitter.space()[..bytes.len()].copy_from_slice(bytes);
        splitter.filled(bytes.len());
        while let Some(region) = splitter.next_region() {
            scanner.scan(&region, &mut Clock::At(Time::default()), &mut events);
        }
    }
    events
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (piece, data) = input;
    // A line of free text makes hearsay of what stands before it in the same region as well.
    if data.windows(8).any(|bytes| bytes == b"VERBOSE[") {
        let _ = scan(&data, data.len().max(1));
        return;
    }
    assert_eq!(scan(&data, data.len().max(1)), scan(&data, usize::from(piece) + 1));
});
