//! Lines that a real Asterisk 16.28 wrote under attack, read with the shipped rules.
//!
//! `data/hostile-*.log` are lines by which senders tried to have 192.0.2.66 (or 192.0.2.6), which
//! did nothing, taken for the attacker, with the lines around them; in the default shape, as the
//! `[plain]` and `[json]` formatters write them, from rsyslog, from a log with everything, and from the
//! manager's event stream. `data/attack-*.log` are plain attacks, and two phones (198.51.100.2 and .102) whose owners mistyped a password once.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and wait for things that really happen"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use asterguard::config::load;
use asterguard::decide::engine::Engine;
use asterguard::decide::plan::Plan;
use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::detect::timestamp::TimestampParser;
use asterguard::input::line_splitter::{LineSplitter, Region};
use asterguard::model::event::{ChannelId, Decision, Event, Evidence, Meaning};
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;

fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn plan(config: &str) -> Arc<Plan> {
    let rules = RuleSet::load(None).unwrap();
    let config = load::parse(&[("test.toml".into(), config.to_owned())], &rules.filters());
    Arc::new(Plan::new(config.unwrap_or_else(|wrong| panic!("{wrong}")), Arc::new(rules)))
}

/// What the rules make of `text`, which arrives in pieces of `piece` bytes.
fn read(plan: &Plan, scanner: &mut Scanner, text: &[u8], piece: usize) -> Vec<Event> {
    let reference = Time::from_secs(1_795_320_000);
    let mut parser = TimestampParser::new(jiff::tz::TimeZone::UTC, reference);
    let (mut last, mut events) = (None, Vec::new());
    let mut splitter = LineSplitter::new(piece);
    assert!(!plan.rules.rules.is_empty());
    for bytes in text.chunks(piece) {
        splitter.space()[..bytes.len()].copy_from_slice(bytes);
        splitter.filled(bytes.len());
        while let Some(region) = splitter.next_region() {
            scanner.scan(&region, &mut Clock::Lines(&mut parser, &mut last), &mut events);
        }
    }
    events
}

/// Of all rules, which are the same in each plan.
fn matcher(plan: &Plan) -> Arc<Matcher> {
    static MATCHER: OnceLock<Arc<Matcher>> = OnceLock::new();
    let all: Vec<_> = plan.rules.iter().map(|(id, _)| id).collect();
    Arc::clone(MATCHER.get_or_init(|| Arc::new(Matcher::new(&plan.rules, &all).unwrap())))
}

#[test]
fn forged_lines_name_no_innocent_host() {
    let plan = plan("");
    let matcher = matcher(&plan);
    let mut engine = Engine::new(Arc::clone(&plan));
    for (name, attackers) in [
        ("hostile-messages.log", 4),
        ("hostile-security.log", 3),
        ("hostile-plain.log", 3),
        ("hostile-json.log", 3),
        ("hostile-syslog.log", 4),
        // Everything that there is, with raw packets and free text between the lines.
        ("hostile-full.log", 0),
        // No log at all.
        ("hostile-ami.txt", 0),
    ] {
        let text = data(name);
        let channel = engine.open_channel(plan.jails().map(|(id, _)| id));
        let mut readings = [1 << 17, 4096, 97].map(|piece| {
            let mut scanner = Scanner::new(Arc::clone(&matcher), channel);
            read(&plan, &mut scanner, &text, piece)
        });
        let [whole, rest @ ..] = &mut readings;
        assert!(rest.iter().all(|events| events == whole), "it matters how the bytes arrive");
        let innocent = |event: &&Event| event.host.to_string().starts_with("192.0.2.6");
        let forged: Vec<_> = whole.iter().filter(innocent).collect();
        let believed = |event: &&&Event| {
            event.evidence > Evidence::Hearsay || event.meaning == Meaning::Success
        };
        let wrong: Vec<_> = forged.iter().filter(believed).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        // The attackers themselves are seen all the same.
        let seen = whole.iter().filter(|event| event.evidence > Evidence::Hearsay);
        let seen: BTreeSet<_> = seen.map(|event| event.host).collect();
        assert!(seen.len() >= attackers, "{name}: {seen:?}");
    }
}

#[test]
fn attackers_are_banned_and_mistyping_phones_are_not() {
    let plan = plan("[default]\nipv6prefix = 128\n[jail.asterisk-guess]\nmaxretry = 3");
    let matcher = matcher(&plan);
    let mut engine = Engine::new(Arc::clone(&plan));
    let mut events = Vec::new();
    for name in ["attack-messages.log", "attack-security.log"] {
        let channel = engine.open_channel(plan.jails().map(|(id, _)| id));
        let mut scanner = Scanner::new(Arc::clone(&matcher), channel);
        events.extend(read(&plan, &mut scanner, &data(name), 4096));
    }
    events.sort_by_key(|event| event.time);
    let mut decisions = Vec::new();
    for event in &events {
        engine.on_event(event, &mut decisions);
    }
    let bans: BTreeSet<_> = decisions
        .iter()
        .filter_map(|decision| match decision {
            Decision::Ban(ban) => {
                let jail = &plan.jail(ban.jail).unwrap().name;
                Some(format!("{} {jail} {} {}", ban.host, ban.evidence, ban.offences))
            }
            _ => None,
        })
        .collect();
    let expected = [
        "198.51.100.115 asterisk-guess unverified 3",
        "198.51.100.116 asterisk-guess unverified 3",
        "198.51.100.145 asterisk-scan unverified 3",
        "198.51.100.15 asterisk-guess unverified 3",
        "198.51.100.16 asterisk-guess unverified 3",
        "198.51.100.20 asterisk-guess unverified 3",
        "198.51.100.42 asterisk-scan unverified 3",
        "198.51.100.71 asterisk-guess unverified 3",
        "2001:db8:bad::15 asterisk-guess unverified 3",
    ];
    assert_eq!(bans.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn default_jails_use_the_asterisk_rules_only() {
    let filters = |plan: &Plan| -> BTreeSet<String> {
        let jails: Vec<_> = plan.jails().map(|(id, _)| id).collect();
        let rules = plan.rules_for(&jails);
        let file = |rule| plan.rules.file_of(plan.rules.get(rule).unwrap()).unwrap().name.clone();
        rules.into_iter().map(file).collect()
    };
    let default = filters(&plan(""));
    assert!(default.contains("asterisk-dialplan") && default.contains("asterisk-other"));
    assert!(!default.contains("kernel-firewall"));
    let asked = filters(&plan("[jail.firewall]\nfilter = \"kernel-firewall\""));
    assert!(asked.contains("kernel-firewall"));
}

#[test]
fn firewall_log_is_read_with_its_times() {
    let line = |prefix: &str| {
        format!(
            "Nov 22 01:00:00 pbx kernel: [5.1] {prefix}: IN=eth0 OUT= SRC=203.0.113.9 DST=192.0.2.10 \
             LEN=443 TOS=0x00 PREC=0x00 TTL=52 ID=0 DF PROTO=UDP SPT=5071 DPT=5060 LEN=423\n"
        )
    };
    let text = [line("SIP"), line("OTHER"), "[x] a\n".to_owned(), line("DROPPED")].concat();
    let plan = plan("");
    let mut scanner = Scanner::new(matcher(&plan), ChannelId(0));
    let events = read(&plan, &mut scanner, text.as_bytes(), 4096);
    let seen: Vec<_> =
        events.iter().map(|event| (event.line, event.time.to_string(), event.evidence)).collect();
    let time = "2026-11-22T01:00:00Z".to_owned();
    let expected = [(1, time.clone(), Evidence::Unverified), (4, time, Evidence::Unverified)];
    assert_eq!(seen, expected);
}

/// Events of lines that arrive a second apart, each by itself.
fn read_slowly(plan: &Plan, lines: &[&str]) -> Vec<Event> {
    let mut scanner = Scanner::new(matcher(plan), ChannelId(0));
    let (mut whole, mut events) = (Vec::new(), Vec::new());
    for line in lines {
        let start = whole.len();
        whole.extend(line.bytes().chain([b'\n']));
        let region = Region { bytes: &whole, start, ..Region::of(&whole, 1) };
        scanner.rested();
        scanner.scan(&region, &mut Clock::At(Time::from_secs(0)), &mut events);
    }
    events
}

const GUESS: &str = "[2026-11-28 10:00:01] NOTICE[1638] chan_sip.c: Registration from '<sip:1@h>' failed for '203.0.113.9:5060' - Wrong password";

/// Lines with which one packet of a stranger, or an administrator, once made hearsay of a log for good. The
/// first two are of Asterisk 22.10, the third of every version.
const BLINDING: [&str; 3] = [
    "[2026-11-28 10:00:00] SECURITY[1724] res_security_log.c: SecurityEvent=\"InvalidAccountID\",EventTV=\"2026-11-28T10:00:00.000+0000\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"x\n[2026-11-28 10:00:00] VERBOSE[1] x\",SessionID=\"s0\",LocalAddress=\"IPV4/UDP/192.0.2.10/5060\",RemoteAddress=\"IPV4/UDP/198.51.100.7/33021\"",
    "[2026-11-28 10:00:00] ERROR[27317] pjproject: \t        sip_endpoint.c Error processing packet from 198.51.100.58:44335: Missing required header(s) (PJSIP_EMISSINGHDR) Call-ID [code 171050]:\nOPTIONS sip:203.0.113.22 SIP/2.0\nTo: <sip:a@b>\n\n[2026-11-28 10:00:00] VERBOSE[1] x.c: y\n\n-- end of packet.",
    "[2026-11-28 10:00:00] VERBOSE[12] logger.c: Asterisk Queue Logger restarted",
];

#[test]
fn nothing_blinds_a_log_for_good() {
    let plan = plan("");
    let believed = |events: &[Event]| {
        let guesses = events.iter().filter(|event| event.host.to_string() == "203.0.113.9");
        guesses.filter(|event| event.evidence > Evidence::Hearsay).count()
    };
    for blinding in BLINDING {
        // As soon as the log has rested.
        let lines = [blinding, GUESS, GUESS, GUESS];
        assert_eq!(believed(&read_slowly(&plan, &lines)), 3, "{blinding}");
        // Without a rest, as far as what a stranger wrote may reach.
        let text = [&[blinding][..], &vec![GUESS; 100]].concat().join("\n") + "\n";
        let mut scanner = Scanner::new(matcher(&plan), ChannelId(0));
        let seen = believed(&read(&plan, &mut scanner, text.as_bytes(), 4096));
        let within = 8192 / GUESS.len() + 2;
        assert!((100 - within..100).contains(&seen), "{seen}: {blinding}");
    }
}

#[test]
fn lines_behind_a_message_that_no_rule_reads_name_nobody() {
    let plan = plan("");
    // Asterisk 16.28; an INVITE with `Replaces`, by a stranger without an account.
    let real = "[Nov 28 17:03:09] NOTICE[27305][C-0000000a] chan_sip.c: Supervised transfer attempted to replace non-existent call id (x\n\
                [Nov 28 17:03:09] NOTICE[4711] chan_sip.c: Registration from '<sip:1@x>' failed for '192.0.2.70:5060' - Wrong password\n\
                z)!\n";
    let mut scanner = Scanner::new(matcher(&plan), ChannelId(0));
    let events = read(&plan, &mut scanner, real.repeat(20).as_bytes(), 97);
    assert!(!events.is_empty());
    assert!(events.iter().all(|event| event.evidence == Evidence::Hearsay), "{events:#?}");
    // The same of a message that nobody knows: nothing is proven, and nobody logs in.
    let login = "[Nov 28 17:03:09] SECURITY[4711] res_security_log.c: SecurityEvent=\"SuccessfulAuth\",EventTV=\"2026-11-28T17:00:00.000+0000\",Severity=\"Informational\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"1000\",SessionID=\"a\",LocalAddress=\"IPV4/TCP/203.0.113.16/5060\",RemoteAddress=\"IPV4/TCP/192.0.2.70/5060\",UsingPassword=\"1\"";
    let unknown = real.replace("Supervised transfer", "Whatever comes next").replace("z)!", login);
    let mut scanner = Scanner::new(matcher(&plan), ChannelId(0));
    let events = read(&plan, &mut scanner, unknown.repeat(20).as_bytes(), 97);
    assert!(events.iter().all(|event| event.evidence < Evidence::Proven), "{events:#?}");
    let mut logins = events.iter().filter(|event| event.meaning == Meaning::Success);
    assert!(logins.all(|event| event.evidence == Evidence::Hearsay));
}

#[test]
fn messages_of_two_lines_that_are_known_hide_nothing() {
    let plan = plan("");
    let text = format!(
        "[2026-11-28 10:00:01] WARNING[1638] chan_sip.c: Retransmission timeout reached on transmission 1a2b3c1@198.51.100.77 for seqno 1 (Critical Response) -- See https://wiki.asterisk.org/wiki/display/AST/SIP+Retransmissions\nPacket timed out after 32000ms with no response\n{GUESS}\n"
    );
    let mut scanner = Scanner::new(matcher(&plan), ChannelId(0));
    let events = read(&plan, &mut scanner, text.repeat(12).as_bytes(), 97);
    // As far as a line by itself can be believed.
    assert_eq!(events.iter().filter(|event| event.evidence == Evidence::Unverified).count(), 12);
}
