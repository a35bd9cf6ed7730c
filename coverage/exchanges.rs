//! What `exchanges.toml` says: the packet exchanges behind the messages, and how they look where they are seen.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use asterguard::exchange::{Exchanges, Flow, Observation, PATIENCE};
use asterguard::model::exchange::{Carrier, SipDriver, Source};
use asterguard::model::time::Time;
use serde::Deserialize;

/// The address of our PBX.
const PBX: &str = "192.0.2.10";
/// Between two messages.
const PAUSE: Duration = Duration::from_millis(20);
/// As the running guard ticks.
const TICK: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    exchange: Vec<Written>,
}

/// An exchange as it is written down.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    driver: Option<Driver>,
    #[serde(default)]
    steps: Vec<String>,
    unseen: Option<String>,
    #[serde(rename = "facts")]
    _facts: String,
}

/// The part of Asterisk that answers.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Driver {
    ChanSip,
    ChanPjsip,
}

/// What carries the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Transport {
    #[default]
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

/// Of whom packets are, and what a line can know them by.
pub struct Packets<'a> {
    pub over: Transport,
    pub host: IpAddr,
    /// The host's port.
    pub port: u16,
    /// The Call-ID.
    pub call: &'a str,
    /// The first nonce that is sent; `None`: any.
    pub nonce: Option<&'a str>,
}

/// An exchange: requests of a host, and our answers.
pub struct Script {
    pub name: String,
    kind: Kind,
}

enum Kind {
    /// There is no answer, or none that is seen yet: which, in a word or two.
    Unseen(String),
    Steps {
        driver: Driver,
        steps: Vec<Step>,
        words: String,
    },
}

/// A request and the answers to it.
struct Step {
    method: String,
    credentials: Nonce,
    answers: Vec<Status>,
}

/// The nonce that a request's credentials answer.
#[derive(PartialEq, Eq)]
enum Nonce {
    NoCredentials,
    Ours,
    Foreign,
}

struct Status {
    code: u16,
    stale: bool,
}

/// The exchanges in `text`.
pub fn read(text: &str) -> Result<Vec<Script>> {
    let File { exchange } = toml::from_str(text).context("exchanges.toml")?;
    exchange.into_iter().map(Written::script).collect()
}

impl Written {
    fn script(self) -> Result<Script> {
        let kind = match (self.unseen, self.driver) {
            (Some(why), None) if self.steps.is_empty() => Kind::Unseen(why),
            (None, Some(driver)) if !self.steps.is_empty() => Kind::Steps {
                driver,
                words: self.steps.join(", "),
                steps: self.steps.iter().map(|step| Step::read(step)).collect::<Result<_>>()?,
            },
            _ => bail!("either `unseen`, or `driver` and `steps`: {}", self.name),
        };
        Ok(Script { name: self.name, kind })
    }
}

impl Step {
    fn read(text: &str) -> Result<Self> {
        let mut words = text.split(' ');
        let asked = words.next().unwrap_or_default();
        let method = asked.trim_end_matches(['+', '*']);
        let credentials = match asked.get(method.len()..) {
            Some("+") => Nonce::Ours,
            Some("*") => Nonce::Foreign,
            _ => Nonce::NoCredentials,
        };
        let answer = |word: &str| {
            let code = word.trim_end_matches('s');
            Some(Status { code: code.parse().ok()?, stale: code != word })
        };
        let answers: Option<Vec<_>> = words.map(answer).collect();
        let answers = answers.with_context(|| format!("a step: {text}"))?;
        ensure!(!method.is_empty() && !answers.is_empty(), "a step: {text}");
        Ok(Self { method: method.to_owned(), credentials, answers })
    }
}

impl Script {
    /// Whether our answers can be seen: HEP shows all of `chan_pjsip`'s; of `chan_sip`, the wire shows what is in clear.
    pub fn is_seen(&self, over: Transport) -> bool {
        match &self.kind {
            Kind::Unseen(_) => false,
            Kind::Steps { driver: Driver::ChanPjsip, .. } => true,
            Kind::Steps { driver: Driver::ChanSip, .. } => {
                matches!(over, Transport::Udp | Transport::Tcp)
            }
        }
    }

    /// Whether the PBX answers.
    pub fn is_answered(&self) -> bool {
        matches!(self.kind, Kind::Steps { .. })
    }

    /// What the page says of it.
    pub fn in_words(&self) -> String {
        match &self.kind {
            Kind::Unseen(why) => why.clone(),
            Kind::Steps { words, .. } => format!("`{words}`"),
        }
    }

    /// What a host is seen to do, from `start` on, if this is all that it does. Nothing if it is not seen.
    pub fn play(&self, packets: &Packets<'_>, start: Time) -> Vec<Observation> {
        let mut seen = Vec::new();
        let Kind::Steps { driver, steps, .. } = &self.kind else { return seen };
        let Packets { over, call, nonce: given, .. } = *packets;
        if !self.is_seen(over) {
            return seen;
        }
        let mut exchanges = Exchanges::default();
        let flow = packets.flow(*driver);
        let (mut now, mut nonce) = (start, String::new());
        for (number, step) in (1..).zip(steps) {
            let answered = match step.credentials {
                Nonce::NoCredentials => None,
                Nonce::Ours => Some(nonce.clone()),
                Nonce::Foreign => Some("of-somebody-else".to_owned()),
            };
            let transaction = Transaction { packets, call, number, method: &step.method };
            let mut tell = |message: String| {
                now = now.plus(PAUSE);
                let read = exchanges.message(&flow, message.as_bytes(), now, &mut seen);
                assert!(read.is_some(), "no SIP message: {message}");
            };
            tell(transaction.request(answered.as_deref()));
            for answer in &step.answers {
                let given = given.filter(|_| number == 1);
                nonce = given.map_or_else(|| format!("nonce-{number}"), str::to_owned);
                tell(transaction.answer(answer, &nonce));
            }
        }
        let end = now.plus(PATIENCE + TICK);
        while now < end {
            now = now.plus(TICK);
            exchanges.tick(now, &mut seen);
        }
        seen
    }
}

impl Packets<'_> {
    /// How the messages come to us.
    fn flow(&self, driver: Driver) -> Flow {
        let (driver, source) = match driver {
            Driver::ChanPjsip => (SipDriver::Pjsip, Source::Hep),
            Driver::ChanSip => (SipDriver::ChanSip, Source::Wire),
        };
        let (carrier, port) = match self.over {
            Transport::Udp => (Carrier::Datagram, 5060),
            Transport::Tcp => (Carrier::Stream, 5060),
            Transport::Tls => (Carrier::Stream, 5061),
            Transport::Ws => (Carrier::Stream, 8088),
            Transport::Wss => (Carrier::Stream, 8089),
        };
        let Self { host, port: host_port, .. } = *self;
        Flow { host, host_port, port, carrier, source, driver: Some(driver), doubted: false }
    }
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }
}

/// A request and its answers, as they are written.
struct Transaction<'a> {
    packets: &'a Packets<'a>,
    call: &'a str,
    number: u32,
    method: &'a str,
}

impl Transaction<'_> {
    fn request(&self, nonce: Option<&str>) -> String {
        let Self { number, method, .. } = self;
        let credentials = nonce.map_or(String::new(), |nonce| {
            format!(
                "Authorization: Digest username=\"100\",realm=\"asterisk\",nonce=\"{nonce}\",\
                 uri=\"sip:{PBX}\",response=\"{number:032x}\",algorithm=MD5\r\n"
            )
        });
        format!(
            "{method} sip:100@{PBX} SIP/2.0\r\n{}From: <sip:100@{PBX}>;tag=a\r\n\
             To: <sip:100@{PBX}>\r\n{}{credentials}Content-Length: 0\r\n\r\n",
            self.via(""),
            self.ids(),
        )
    }

    fn answer(&self, status: &Status, nonce: &str) -> String {
        let Status { code, stale } = status;
        let challenge = if matches!(code, 401 | 407) {
            let stale = if *stale { ",stale=true" } else { "" };
            format!(
                "WWW-Authenticate: Digest algorithm=MD5,realm=\"asterisk\",nonce=\"{nonce}\"{stale}\r\n"
            )
        } else {
            String::new()
        };
        format!(
            "SIP/2.0 {code} -\r\n{}From: <sip:100@{PBX}>;tag=a\r\nTo: <sip:100@{PBX}>;tag=b\r\n\
             {}{challenge}Content-Length: 0\r\n\r\n",
            self.via(&format!(";received={}", self.packets.host)),
            self.ids(),
        )
    }

    fn via(&self, noted: &str) -> String {
        let Self { packets: Packets { over, host, port, .. }, number, .. } = self;
        let host = if host.is_ipv6() { format!("[{host}]") } else { host.to_string() };
        format!("Via: SIP/2.0/{} {host}:{port};branch=z9hG4bK-{number}{noted}\r\n", over.name())
    }

    fn ids(&self) -> String {
        format!("Call-ID: {}\r\nCSeq: {} {}\r\n", self.call, self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use asterguard::model::event::Evidence;
    use asterguard::model::exchange::Outcome;

    use super::*;

    fn seen(driver: &str, over: Transport, steps: &str) -> Vec<(Outcome, Evidence)> {
        let text = format!(
            "[[exchange]]\nname = '-'\nfacts = '-'\ndriver = '{driver}'\nsteps = [{steps}]"
        );
        let scripts = read(&text).unwrap();
        let host = "203.0.113.9".parse().unwrap();
        let packets = Packets { over, host, port: 5071, call: "a@b", nonce: None };
        let seen = scripts[0].play(&packets, Time::from_secs(1_800_000_000));
        assert!(seen.iter().all(|seen| seen.host == host));
        seen.iter().map(|seen| (seen.exchange.outcome, seen.evidence)).collect()
    }

    #[test]
    fn scripts_are_played_as_they_are_written() {
        let guess = "'REGISTER 401', 'REGISTER+ 403'";
        let refused = Outcome::CredentialsRefused;
        assert_eq!(seen("chan_sip", Transport::Udp, guess), [(refused, Evidence::Proven)]);
        assert_eq!(seen("chan_sip", Transport::Tls, guess), [], "nobody sees chan_sip's TLS");
        let again = "'REGISTER 401', 'REGISTER+ 401'";
        assert_eq!(seen("chan_pjsip", Transport::Wss, again), [(refused, Evidence::Proven)]);
        assert_eq!(seen("chan_pjsip", Transport::Wss, guess), [], "the password was right");
        let forged = seen("chan_sip", Transport::Udp, "'REGISTER* 401'");
        assert_eq!(forged, [(refused, Evidence::Unverified)]);
        let open = seen("chan_sip", Transport::Udp, "'INVITE 401'");
        assert_eq!(open, [(Outcome::ChallengeUnanswered, Evidence::Unverified)]);
        let guest = seen("chan_pjsip", Transport::Tcp, "'INVITE 404'");
        assert_eq!(guest, [(Outcome::RefusedOutright, Evidence::Proven)]);
        let login = seen("chan_sip", Transport::Udp, "'REGISTER* 401s', 'REGISTER+ 200'");
        assert_eq!(login, [(Outcome::Login, Evidence::Proven)]);
    }

    #[test]
    fn what_makes_no_exchange_is_refused() {
        for text in
            ["", "steps = ['REGISTER']", "driver = 'chan_sip'", "unseen = 'x'\nsteps = ['A 1']"]
        {
            let text = format!("[[exchange]]\nname = '-'\nfacts = '-'\n{text}");
            assert!(read(&text).is_err(), "{text}");
        }
    }
}
