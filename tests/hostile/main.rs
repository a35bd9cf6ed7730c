//! No log text makes the guard name a host that did nothing.
//!
//! Streams of hostile messages are made up from a seed, as Asterisk would write them; who really sent
//! what is known, and the matcher with the shipped rules must not believe anything else. It must
//! still find those who attack without tricks.
//!
//! What the model takes for granted: Asterisk writes as [`messages`] and [`logger`] say (read from its
//! sources, and compared with what 16.28 wrote); names of endpoints, peers, contexts and access lists
//! are the administrator's and harmless; no other module prints a stranger's line feed; senders do
//! not share an address with those they would like to harm.
//!
//! `make soak` runs ten million messages; `SEED=… MESSAGES=…` as it says on failure runs others.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::struct_excessive_bools,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

/// Joins byte strings.
macro_rules! bytes {
    ($($part:expr),* $(,)?) => {{
        let mut all: Vec<u8> = Vec::new();
        $( all.extend_from_slice(AsRef::<[u8]>::as_ref(&$part)); )*
        all
    }};
}

mod cases;
mod guard;
mod logger;
mod messages;
mod oracle;
#[path = "../kit/random.rs"]
mod random;
mod scene;
mod sip;
mod stream;
mod tricks;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::input::line_splitter::LineSplitter;
use asterguard::model::event::{ChannelId, Event, Evidence, Meaning};
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;

use guard::Flaw;
use messages::Kind;
use oracle::{Count, Verdict};
use scene::Scene;
use stream::{Entry, Stream};

/// Attacks that leave no line whose address can be believed, or none with an address.
const NEVER_COUNTED: [Kind; 7] = [
    Kind::Dialplan,
    Kind::IaxUnknownPeer,
    Kind::SipForeignDomain,
    Kind::SipInviteRefused,
    Kind::SipNameMismatch,
    Kind::SipNoPeer,
    Kind::SipUserFails,
];

fn matcher() -> &'static Arc<Matcher> {
    static MATCHER: OnceLock<Arc<Matcher>> = OnceLock::new();
    MATCHER.get_or_init(|| {
        let rules = Arc::new(RuleSet::load(None).unwrap());
        let all: Vec<_> = rules.iter().map(|(id, _)| id).collect();
        Arc::new(Matcher::new(&rules, &all).unwrap())
    })
}

fn read<'a>(entries: impl Iterator<Item = &'a Entry>, piece: usize) -> Vec<Event> {
    let mut scanner = Scanner::new(Arc::clone(matcher()), ChannelId(0));
    let mut splitter = LineSplitter::new(piece);
    let mut events = Vec::new();
    for bytes in entries.flat_map(|entry| entry.bytes.chunks(piece)) {
        splitter.space()[..bytes.len()].copy_from_slice(bytes);
        splitter.filled(bytes.len());
        while let Some(region) = splitter.next_region() {
            scanner.scan(&region, &mut Clock::At(Time::default()), &mut events);
        }
    }
    events
}

/// Whether `event` says of a host what it did not do.
fn is_forged(stream: &Stream, event: &Event) -> bool {
    let deeds = stream.truth.get(&event.host).copied().unwrap_or_default();
    let true_enough = match (event.meaning, event.evidence) {
        (_, Evidence::Hearsay) | (Meaning::Ignored | Meaning::Tampered, _) => true,
        (Meaning::Offence(_), Evidence::Unverified) => deeds.offence,
        (Meaning::Offence(_), Evidence::Proven) => deeds.proven,
        (Meaning::Success, _) => deeds.login,
    };
    !true_enough
}

/// The records of the fewest packets that still make a forged event, and that event.
fn shrunk(stream: &Stream) -> (Vec<&Entry>, Event) {
    let forged = |entries: &[&Entry]| {
        let events = read(entries.iter().copied(), stream.piece);
        events.into_iter().find(|event| is_forged(stream, event))
    };
    let mut entries: Vec<&Entry> = stream.entries.iter().collect();
    let mut event = forged(&entries).expect("it was forged a moment ago");
    for packet in 0..stream.packets {
        let fewer: Vec<_> = entries.iter().copied().filter(|e| e.packet != packet).collect();
        if let Some(found) = forged(&fewer) {
            (entries, event) = (fewer, found);
        }
    }
    (entries, event)
}

fn complaint(stream: &Stream, seed: u64, index: u64) -> String {
    let (entries, event) = shrunk(stream);
    let rules = RuleSet::load(None).unwrap();
    let rule = rules.get(event.rule).map(|rule| rule.id.clone()).unwrap_or_default();
    let mut text = format!(
        "a forged line is believed: rule `{rule}` says {:?} of {} ({})\nseed {seed}, stream {index}\n",
        event.meaning, event.host, event.evidence
    );
    for entry in entries {
        let cut = &entry.bytes[..entry.bytes.len().min(1500)];
        let (kind, rest) = (entry.kind, entry.bytes.len() - cut.len());
        let _ =
            writeln!(text, "{kind:?}: {}{}", cut.escape_ascii(), if rest > 0 { "…" } else { "" });
    }
    text
}

/// What came of plain attacks of a kind.
#[derive(Clone, Copy, Default)]
struct Recall {
    attacks: u64,
    counted: u64,
}

#[derive(Default)]
struct Tally {
    messages: u64,
    /// By kind, where all levels are logged and nobody used tricks.
    among_honest: BTreeMap<String, Recall>,
    /// Where others in the same file did.
    among_hostile: Recall,
    complaints: Vec<String>,
}

impl Tally {
    fn run(&mut self, seed: u64, index: u64) {
        let stream = Stream::new(seed, index);
        let events = read(stream.entries.iter(), stream.piece);
        if events.iter().any(|event| is_forged(&stream, event)) {
            self.complaints.push(complaint(&stream, seed, index));
        }
        self.messages += stream.packets as u64;
        for (host, kind) in &stream.plain {
            if !stream.complete {
                continue;
            }
            let recall = if stream.honest {
                self.among_honest.entry(format!("{kind:?}")).or_default()
            } else {
                &mut self.among_hostile
            };
            let counts = |event: &Event| {
                event.host == *host
                    && event.evidence > Evidence::Hearsay
                    && matches!(event.meaning, Meaning::Offence(_))
            };
            recall.attacks += 1;
            recall.counted += u64::from(events.iter().any(counts));
        }
    }

    fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.complaints.extend(other.complaints);
        self.among_hostile.add(other.among_hostile);
        for (kind, recall) in other.among_honest {
            self.among_honest.entry(kind).or_default().add(recall);
        }
    }
}

impl Recall {
    fn add(&mut self, other: Self) {
        self.attacks += other.attacks;
        self.counted += other.counted;
    }

    fn percent(self) -> u64 {
        100 * self.counted / self.attacks.max(1)
    }
}

/// Runs streams of `seed` until they hold `messages`.
fn run(seed: u64, messages: u64) -> Tally {
    const AT_ONCE: u64 = 200;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, all) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let bar = indicatif::ProgressBar::new(messages);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let first = next.fetch_add(AT_ONCE, Ordering::Relaxed);
                    let mut tally = Tally::default();
                    for index in first..first + AT_ONCE {
                        tally.run(seed, index);
                    }
                    let mut all = all.lock().unwrap();
                    all.add(tally);
                    bar.set_position(all.messages.min(messages));
                    if all.messages >= messages || all.complaints.len() > 20 {
                        return;
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    all.into_inner().unwrap()
}

fn number_from(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value} is no number")))
}

fn check(seed: u64, messages: u64) {
    let tally = run(seed, messages);
    println!("seed {seed}, {} messages, {} forged hosts", tally.messages, tally.complaints.len());
    let mut honest = Recall::default();
    for (kind, recall) in &tally.among_honest {
        println!("  {kind}: {} of {} attacks counted", recall.counted, recall.attacks);
        honest.add(*recall);
    }
    println!("of plain attacks among plain ones, {} % counted", honest.percent());
    println!("of plain attacks among hostile ones, {} % counted", tally.among_hostile.percent());
    assert!(tally.complaints.is_empty(), "\n{}", tally.complaints.join("\n"));
    // A guard that names nobody is never wrong.
    for kind in Kind::ALL.iter().filter(|kind| !NEVER_COUNTED.contains(kind)) {
        if let Some(recall) = tally.among_honest.get(&format!("{kind:?}")) {
            assert!(recall.percent() >= 45, "{kind:?}: {} % of plain attacks", recall.percent());
        }
    }
    assert!(honest.percent() >= 50, "plain attacks are not found");
    assert!(tally.among_hostile.percent() >= 25, "plain attacks among hostile ones are not found");
}

#[test]
fn nobody_who_did_nothing_is_named() {
    check(number_from("SEED").unwrap_or(1), number_from("MESSAGES").unwrap_or(100_000));
}

#[test]
fn every_kind_of_message_is_generated() {
    let mut seen: Vec<Kind> = Vec::new();
    for index in 0..2000 {
        seen.extend(Stream::new(7, index).entries.iter().map(|entry| entry.kind));
    }
    for kind in Kind::ALL.iter().filter(|kind| !Kind::FREE.contains(kind)) {
        assert!(seen.contains(kind), "{kind:?}");
    }
}

/// What came of many scenes.
#[derive(Default)]
struct Sum {
    messages: u64,
    scenes: u64,
    due: u64,
    compared: u64,
    count: Count,
    complaints: Vec<String>,
}

/// Runs scenes of `seed` until they hold `messages`.
fn play(seed: u64, messages: u64, flaw: Option<Flaw>) -> Sum {
    const AT_ONCE: u64 = 4;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, all) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    let work = || {
        loop {
            let first = next.fetch_add(AT_ONCE, Ordering::Relaxed);
            let mut sum = Sum::default();
            for index in first..first + AT_ONCE {
                let scene = Scene::new(seed, index);
                let Verdict { wrong, due, compared } = oracle::judge(&scene, flaw);
                sum.scenes += 1;
                sum.due += due;
                sum.compared += compared;
                sum.messages += scene.items.len() as u64;
                sum.count.add(Count::of(&wrong));
                if let (Some(wrong), None) = (wrong.first(), flaw) {
                    sum.complaints.push(oracle::complaint(&scene, *wrong, seed, index, flaw));
                }
            }
            let mut all = all.lock().unwrap();
            all.messages += sum.messages;
            all.scenes += sum.scenes;
            all.due += sum.due;
            all.compared += sum.compared;
            all.count.add(sum.count);
            all.complaints.extend(sum.complaints);
            if all.messages >= messages || all.complaints.len() > 10 {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    all.into_inner().unwrap()
}

#[test]
fn nobody_is_named_missed_or_hidden() {
    let (seed, wanted) = (number_from("SEED").unwrap_or(1), number_from("MESSAGES"));
    let begin = std::time::Instant::now();
    let sum = play(seed, wanted.unwrap_or(100_000), None);
    let Sum { messages, scenes, due, compared, count, complaints } = sum;
    let (Count { named, missed, blinded }, secs) = (count, begin.elapsed().as_secs().max(1));
    println!(
        "seed {seed}, {messages} messages in {scenes} scenes, {secs} s, {} a second",
        messages / secs
    );
    println!("{named} named, {missed} of {due} missed, {blinded} of {compared} bans blinded");
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    // A guard that is asked nothing is never wrong.
    assert!(due > scenes / 4 && compared > scenes / 4, "too little happens");
}

/// Each of the three is counted where the guard has a fault. (Of faults that only its source can have: where an
/// exchange takes any number of lines from a log, hosts that mistyped a password are named.)
#[test]
fn faults_of_a_guard_are_found() {
    const SEEDS: u64 = 20;
    let found = |flaw, of: fn(&Count) -> u64| {
        (1..=SEEDS).map(|seed| of(&play(seed, 5_000, Some(flaw)).count)).find(|found| *found > 0)
    };
    for (flaw, found) in [
        (Flaw::LinesCountAlone, found(Flaw::LinesCountAlone, |count| count.named)),
        (Flaw::EverythingTalked, found(Flaw::EverythingTalked, |count| count.named)),
        (
            Flaw::AnswersNameTheirReceiver,
            found(Flaw::AnswersNameTheirReceiver, |count| count.named),
        ),
        (Flaw::OneAttemptACall, found(Flaw::OneAttemptACall, |count| count.missed)),
        (Flaw::DoubtStays, found(Flaw::DoubtStays, |count| count.blinded)),
        (Flaw::TextSilences, found(Flaw::TextSilences, |count| count.blinded)),
    ] {
        println!("{flaw:?}: {found:?}");
        assert!(found.is_some(), "{flaw:?} is not found");
    }
}
