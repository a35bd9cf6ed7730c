use super::*;
use crate::model::event::{Clue, Evidence, RuleId, SIP_RESPONSES};
use crate::model::exchange::{Carrier, ExchangeId, Method, Protocol, Source};

const LOG: ChannelId = ChannelId(3);

fn exchange(outcome: Outcome) -> Exchange {
    Exchange {
        protocol: Protocol::Sip,
        outcome,
        method: Method::Register,
        status: 401,
        port: 5060,
        carrier: Carrier::Stream,
        source: Source::Wire,
    }
}

/// A line at a time in milliseconds.
fn line(millis: i64, host: &str, class: Class, clue: Clue) -> Event {
    Event {
        time: Time::from_millis(millis),
        channel: LOG,
        rule: RuleId(1),
        meaning: Meaning::Offence(class),
        host: host.parse().unwrap(),
        evidence: Evidence::Hearsay,
        line: 7,
        account: None,
        basis: Basis::Text,
        clue,
    }
}

/// An exchange in which credentials were refused.
fn refused(millis: i64, host: &str, clue: Clue) -> Event {
    Event {
        channel: SIP_RESPONSES,
        evidence: Evidence::Proven,
        basis: Basis::Exchange(exchange(Outcome::CredentialsRefused)),
        ..line(millis, host, Class::Guess, clue)
    }
}

fn call(text: &str) -> Clue {
    Clue { call: ExchangeId::of(text.as_bytes()), port: 5071, ..Clue::default() }
}

fn port(port: u16) -> Clue {
    Clue { port, ..Clue::default() }
}

/// What becomes of a line beside an exchange, whichever comes first.
fn together(line: &Event, exchange: &Event) -> Event {
    let both = [true, false].map(|line_first| {
        let (mut joins, mut out) = (Joins::new(AT_ONCE), Vec::new());
        if line_first {
            take(&mut joins, line, &mut out);
            joins.exchange(exchange, &mut out);
        } else {
            joins.exchange(exchange, &mut out);
            take(&mut joins, line, &mut out);
        }
        joins.tick(Time::from_millis(10_000), &mut out);
        assert_eq!(out.len(), 1, "{out:?}");
        assert!(joins.known.is_empty() && joins.waiting.is_empty());
        out.remove(0)
    });
    // The order makes no difference.
    assert_eq!(both[0], both[1]);
    both[0]
}

/// Takes a line up as the engine does.
fn take(joins: &mut Joins, line: &Event, out: &mut Vec<Event>) {
    match joins.find(line) {
        Some(joined) => out.push(joined),
        None => joins.wait(line, out),
    }
}

const HOST: &str = "203.0.113.9";
const OTHER: &str = "192.0.2.66";

#[test]
fn a_line_gets_the_evidence_of_its_exchange() {
    for (clue, class) in [(call("a"), Class::User), (port(5071), Class::Guess)] {
        let joined = together(&line(100, HOST, class, clue), &refused(90, HOST, call("a")));
        let exchange = exchange(Outcome::CredentialsRefused);
        assert_eq!((joined.evidence, joined.basis), (Evidence::Proven, Basis::Exchange(exchange)));
        assert_eq!(
            (joined.meaning, joined.channel, joined.line),
            (Meaning::Offence(class), LOG, 7)
        );
    }
}

#[test]
fn another_host_is_another_exchange() {
    for (line, refused) in [
        (line(0, OTHER, Class::Guess, call("a")), refused(0, HOST, call("a"))),
        (line(0, HOST, Class::Guess, port(5072)), refused(0, HOST, call("a"))),
        (line(0, HOST, Class::Guess, port(0)), refused(0, HOST, call("a"))),
    ] {
        assert_eq!(together(&line, &refused).basis, Basis::Unmatched);
    }
}

#[test]
fn another_time_is_another_exchange() {
    for (line_at, exchange_at) in [(0, 500), (1100, 0)] {
        let (mut joins, mut out) = (Joins::new(AT_ONCE), Vec::new());
        let line = line(line_at, HOST, Class::Guess, call("a"));
        let refused = refused(exchange_at, HOST, call("a"));
        joins.tick(Time::from_millis(line_at.min(exchange_at)), &mut out);
        if line_at < exchange_at {
            take(&mut joins, &line, &mut out);
            joins.tick(refused.time, &mut out);
            joins.exchange(&refused, &mut out);
        } else {
            joins.exchange(&refused, &mut out);
            joins.tick(line.time, &mut out);
            take(&mut joins, &line, &mut out);
        }
        joins.tick(Time::from_millis(9000), &mut out);
        assert_eq!(out.iter().map(|event| event.basis).collect::<Vec<_>>(), [Basis::Unmatched]);
    }
}

#[test]
fn a_nonce_names_the_host_that_it_was_given_to() {
    let clue = Clue { nonce: ExchangeId::of(b"41d26de5"), ..Clue::default() };
    let joined = together(&line(0, OTHER, Class::Guess, clue), &refused(0, HOST, clue));
    assert_eq!((joined.host, joined.evidence), (HOST.parse().unwrap(), Evidence::Proven));
}

#[test]
fn by_the_port_alone_a_line_says_no_more_than_the_exchange() {
    let joined = together(&line(0, HOST, Class::User, port(5071)), &refused(0, HOST, call("a")));
    assert_eq!(joined.basis, Basis::Beside(exchange(Outcome::CredentialsRefused)));
    let guest = exchange(Outcome::RefusedOutright);
    let guest = Event { basis: Basis::Exchange(guest), ..refused(0, HOST, call("a")) };
    let joined = together(&line(0, HOST, Class::Guess, port(5071)), &guest);
    assert_eq!(joined.basis, Basis::Beside(self::exchange(Outcome::RefusedOutright)));
}

/// Whoever has heard of a host's port, or of a Call-ID, can write as many lines as it likes.
#[test]
fn an_exchange_has_one_line_in_each_log() {
    let (mut joins, mut out) = (Joins::new(AT_ONCE), Vec::new());
    let first = line(0, HOST, Class::Guess, call("a"));
    (0..5).for_each(|_| take(&mut joins, &first, &mut out));
    joins.exchange(&refused(10, HOST, call("a")), &mut out);
    (0..5).for_each(|_| take(&mut joins, &first, &mut out));
    take(&mut joins, &Event { channel: ChannelId(4), ..first }, &mut out);
    let counting = |out: &[Event]| {
        out.iter().filter(|event| matches!(event.basis, Basis::Exchange(_))).count()
    };
    assert_eq!((out.len(), counting(&out)), (2, 2));
    // The others wait for further ones, and add nothing to this one.
    joins.exchange(&refused(20, HOST, call("a")), &mut out);
    assert_eq!(counting(&out), 3);
    joins.tick(Time::from_millis(600), &mut out);
    let beside = out.iter().filter(|event| matches!(event.basis, Basis::Beside(_)));
    assert_eq!((out.len(), counting(&out), beside.count()), (11, 3, 8));
}

/// Packets are read at once, and a log a little later.
#[test]
fn lines_that_come_late_find_an_exchange_each() {
    let (mut joins, mut out) = (Joins::new(AT_ONCE), Vec::new());
    for n in 0..5 {
        joins.exchange(&refused(n, HOST, call("a")), &mut out);
    }
    (0..7).for_each(|_| take(&mut joins, &line(100, HOST, Class::Guess, call("a")), &mut out));
    assert!(out.iter().all(|event| matches!(event.basis, Basis::Exchange(_))));
    assert_eq!(out.len(), 5);
}

#[test]
fn logins_are_no_offences() {
    let login = exchange(Outcome::Login);
    let login = Event {
        meaning: Meaning::Success,
        basis: Basis::Exchange(login),
        ..refused(0, HOST, call("a"))
    };
    let offence = line(0, HOST, Class::Guess, call("a"));
    assert_eq!(together(&offence, &login).basis, Basis::Unmatched);
    let success = Event { meaning: Meaning::Success, ..offence };
    assert!(matches!(together(&success, &login).basis, Basis::Beside(_)));
    assert_eq!(together(&success, &refused(0, HOST, call("a"))).basis, Basis::Unmatched);
}

/// 100 000 lines a second that nothing is beside of, and as many exchanges.
#[test]
fn memory_is_bounded() {
    let (mut joins, mut out) = (Joins::new(AT_ONCE), Vec::new());
    for n in 0..100_000_u32 {
        let host = std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string();
        let id = |of: &str| call(&format!("{of}{n}"));
        take(&mut joins, &line(i64::from(n) / 100, &host, Class::Guess, id("line")), &mut out);
        joins.exchange(
            &refused(i64::from(n) / 100, &host, Clue { port: 1, ..id("exchange") }),
            &mut out,
        );
    }
    assert_eq!(joins.lines.len(), WAITING);
    assert_eq!(out.len(), 100_000 - WAITING);
    assert_eq!(joins.exchanges.len(), EXCHANGES);
    // Entries of a B-tree fill two thirds of its nodes.
    let entries = joins.waiting.len() * size_of::<(u64, u64)>() / 2 * 3;
    let lines = joins.lines.capacity() * size_of::<Option<Event>>() + entries;
    assert!(lines <= 8 << 20, "{lines} bytes");
    joins.tick(Time::from_secs(2), &mut out);
    assert!(joins.known.is_empty() && joins.waiting.is_empty() && joins.lines.is_empty());
}

#[test]
fn a_line_of_one_service_is_about_no_exchange_of_another() {
    let services = [Protocol::Sip, Protocol::Iax2, Protocol::Ami];
    for of_line in services {
        for of_exchange in services {
            for named in [0, 5071] {
                let clue = Clue { protocol: of_line, ..port(named) };
                let line = line(0, HOST, Class::Guess, clue);
                let clue = Clue { protocol: of_exchange, ..port(5071) };
                let joined = together(&line, &refused(0, HOST, clue));
                // IAX2's and AMI's lines may name no port, SIP's do.
                let is_about = of_line == of_exchange && (named != 0 || of_line != Protocol::Sip);
                let is_joined = matches!(joined.basis, Basis::Exchange(_));
                assert_eq!(is_joined, is_about, "{of_line:?} {of_exchange:?} {named}");
            }
        }
    }
    // By the host alone, a line says no more than the exchange.
    let clue = Clue { protocol: Protocol::Ami, ..Clue::default() };
    let exchange = refused(0, HOST, Clue { port: 5071, ..clue });
    let joined = together(&line(0, HOST, Class::User, clue), &exchange);
    assert!(matches!(joined.basis, Basis::Beside(_)));
    assert_eq!(together(&line(0, OTHER, Class::Guess, clue), &exchange).basis, Basis::Unmatched);
}
