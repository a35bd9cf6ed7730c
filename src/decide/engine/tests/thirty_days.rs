//! Thirty days of an office, a provider, a monitor, a user that travels, and those that guess slowly: all at the same
//! guard, by what the PBX answers them and, for accounts that do not exist, by its log too.

use std::collections::BTreeMap;

use super::shared::seen_plan;
use super::*;
use crate::model::event::SIP_RESPONSES;

const DAY: i64 = 86_400;
const MINUTE: i64 = 60;
const START: i64 = 1_800_000_000;

struct Month {
    bench: Bench,
    /// What each host asked for, and how much of that got an answer.
    asked: BTreeMap<&'static str, (u32, u32)>,
    said: Vec<String>,
}

/// Something that a host asks for.
struct Ask {
    host: &'static str,
    port: u16,
    account: String,
    outcome: Outcome,
    evidence: Evidence,
}

fn ask(host: &'static str, port: u16, account: impl Into<String>, outcome: Outcome) -> Ask {
    Ask { host, port, account: account.into(), outcome, evidence: Evidence::Proven }
}

impl Month {
    fn is_banned(&self, host: &str, port: u16) -> bool {
        let flow = Subject::flow(host.parse().unwrap(), port).unwrap();
        let host: Subject = host.parse().unwrap();
        self.bench.engine.bans().iter().any(|ban| ban.subject == host || ban.subject == flow)
    }

    /// Returns whether there was an answer.
    fn take(&mut self, ask: &Ask, now: i64) -> bool {
        let count = self.asked.entry(ask.host).or_default();
        count.0 += 1;
        if self.is_banned(ask.host, ask.port) {
            return false;
        }
        self.asked.entry(ask.host).or_default().1 += 1;
        let (filter, rule) = match ask.outcome {
            Outcome::Login => ("wire", "registered"),
            Outcome::Probed => ("wire-options", "probed"),
            _ => ("wire", "refused"),
        };
        let rule = self.bench.engine.plan().rules.named(filter, rule).unwrap();
        let event = Event {
            channel: SIP_RESPONSES,
            account: Account::named(ask.account.as_bytes()),
            basis: Basis::Exchange(Exchange {
                outcome: ask.outcome,
                carrier: Carrier::Stream,
                ..refused(Source::Hep)
            }),
            clue: Clue { port: ask.port, ..Clue::default() },
            ..self.bench.fresh_event(rule, ask.host, now, ask.evidence)
        };
        self.bench.engine.on_event(&event, &mut self.bench.decisions);
        true
    }

    /// What Asterisk's log says of an exchange right after it: there is no such account.
    fn line(&mut self, ask: &Ask, now: i64) {
        let rules = &self.bench.engine.plan().rules;
        let rule = rules.named("asterisk-pjsip", "no-matching-endpoint").unwrap();
        let exchange = Exchange { carrier: Carrier::Stream, ..refused(Source::Hep) };
        let event = Event {
            account: Account::named(ask.account.as_bytes()),
            basis: Basis::Exchange(exchange),
            channel: ChannelId(0),
            clue: Clue { port: ask.port, ..Clue::default() },
            ..self.bench.fresh_event(rule, ask.host, now, ask.evidence)
        };
        // It has found its exchange.
        let plan = Arc::clone(&self.bench.engine.plan);
        self.bench.engine.decide(&plan, &event, &mut self.bench.decisions);
    }

    fn tick(&mut self, now: i64) {
        self.bench.tick(now);
        self.said.extend(self.bench.said().into_iter().filter(|said| !said.contains("Expired")));
    }
}

#[test]
fn thirty_days_of_innocents_and_slow_guessers() {
    const OFFICE: &str = "203.0.113.50";
    const PROVIDER: &str = "203.0.113.60";
    const MONITOR: &str = "203.0.113.70";
    const ROAMING: [&str; 4] = ["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"];
    const SLOW: &str = "192.0.2.200";
    const STUBBORN: &str = "192.0.2.201";
    let mut month = Month {
        bench: Bench::of(Arc::new(seen_plan(""))),
        asked: BTreeMap::new(),
        said: Vec::new(),
    };
    for minute in 0..30 * DAY / MINUTE {
        let now = START + minute * MINUTE;
        let port = |of: i64| 10_000 + u16::try_from((minute + of * 977) % 50_000).unwrap();
        let mut asks = Vec::new();
        // Twenty phones register every half hour, over TLS with connections that last.
        if minute % 30 < 20 {
            let phone = minute % 30;
            let port = 5100 + u16::try_from(phone).unwrap();
            asks.push(ask(OFFICE, port, format!("1{phone:02}"), Outcome::Login));
            // Sometimes somebody sets up a phone, and mistypes its password twice.
            if minute % 4001 == phone {
                let new = format!("3{minute}");
                asks.push(ask(OFFICE, 4000, new.as_str(), Outcome::CredentialsRefused));
                asks.push(ask(OFFICE, 4001, new.as_str(), Outcome::CredentialsRefused));
                asks.push(ask(OFFICE, 4002, new, Outcome::Login));
            }
        }
        // A provider and a monitor ask whether we are there, without credentials.
        for _ in 0..6 {
            asks.push(ask(PROVIDER, 5060, "trunk", Outcome::Probed));
            asks.push(ask(MONITOR, 40_000, "", Outcome::Probed));
        }
        // A user that travels, and mistypes now and then.
        if minute % 45 == 0 {
            let host = ROAMING[usize::try_from(minute / 700 % 4).unwrap()];
            if minute % 450 == 0 {
                asks.push(ask(host, port(3), "777", Outcome::CredentialsRefused));
                asks.push(ask(host, port(4), "777", Outcome::CredentialsRefused));
            }
            asks.push(ask(host, port(5), "777", Outcome::Login));
        }
        // Accounts one after the other, and one account, each a few times an hour.
        if minute % 13 == 0 {
            let account = format!("9{}", minute / 13);
            asks.push(ask(SLOW, port(6), account, Outcome::CredentialsRefused));
            asks.push(ask(STUBBORN, port(7), "100", Outcome::CredentialsRefused));
        }
        for ask in &asks {
            month.take(ask, now);
        }
        // An old phone, whose account was deleted: each minute, over another connection.
        let old = ask(OFFICE, port(1), "199", Outcome::CredentialsRefused);
        if month.take(&old, now) {
            month.line(&old, now);
        }
        month.tick(now);
    }
    // Whoever did nothing was let in, each time.
    for host in [PROVIDER, MONITOR].iter().chain(&ROAMING) {
        let (asked, answered) = month.asked[host];
        assert_eq!(asked, answered, "{host}: {:#?}", month.said);
    }
    let (asked, answered) = month.asked[OFFICE];
    assert_eq!(asked, answered, "{:#?}", &month.said[..month.said.len().min(30)]);
    // The owner is told of the old phone, once an hour at most.
    let told = |text: &str| month.said.iter().filter(|said| said.contains(text)).count();
    let reports = told(&format!("fails at {OFFICE}"));
    assert!((30..=720).contains(&reports), "{reports}");
    // The guessers got few answers of more than three thousand tries.
    let first = |host: &str| month.said.iter().find(|said| said.contains(host)).cloned();
    assert_eq!(first(SLOW), Some(format!("asterisk-accounts Ban {SLOW} all 3600")));
    assert_eq!(first(STUBBORN), Some(format!("asterisk-slow Ban {STUBBORN} sip 600")));
    let (asked, answered) = month.asked[SLOW];
    assert!(asked > 3000 && answered < 60, "{answered} of {asked}");
    let (asked, answered) = month.asked[STUBBORN];
    assert!(asked > 3000 && answered < 600, "{answered} of {asked}");
}
