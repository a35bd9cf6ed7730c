//! An exchange: what a host asked, and what our PBX answered.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::LazyLock;

use foldhash::quality::RandomState;
use serde::{Deserialize, Serialize};

use super::scope::{Ports, merged};

/// The thing that is asked, by a request's own first line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// A phone tells where it is.
    Register,
    /// A call.
    Invite,
    /// The end of a refused call: it is never answered.
    Ack,
    /// A call is given up.
    Cancel,
    /// Somebody asks whether we are there.
    Options,
    /// State is asked for.
    Subscribe,
    /// A text message.
    Message,
    /// Any other, or one that was cut off.
    #[default]
    Other,
}

impl Method {
    /// Returns the method of this name.
    #[must_use]
    pub fn of(word: &[u8]) -> Self {
        match word {
            b"REGISTER" => Self::Register,
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"SUBSCRIBE" => Self::Subscribe,
            b"MESSAGE" => Self::Message,
            _ => Self::Other,
        }
    }

    /// The method as SIP spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "REGISTER",
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Subscribe => "SUBSCRIBE",
            Self::Message => "MESSAGE",
            Self::Other => "another method",
        }
    }
}

/// The transport that carries a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// UDP, or a port that UDP is spoken at too: senders may be forged.
    Datagram,
    /// TCP, or what is built on it: the host completed a handshake.
    Stream,
}

/// The transport of SIP that a line in a log names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// It names none.
    #[default]
    Unknown,
    /// UDP: the source may be spoofed.
    Datagram,
    /// TCP: the source completed a handshake, and what it sends can be seen.
    Stream,
    /// TLS, WS or WSS: the same, and SIP is wrapped in another protocol, so that packets do not show it.
    Wrapped,
}

/// A Call-ID, or a nonce, by its hash: it is text from outside, which is compared and nothing else. No
/// sender can foresee it, and it is another after each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExchangeId(NonZeroU64);

impl ExchangeId {
    /// Returns that of a text; `None` for an empty one.
    #[must_use]
    pub fn of(text: &[u8]) -> Option<Self> {
        if text.is_empty() { None } else { Self::from_hash(hash(seed(), &[text])) }
    }

    /// Returns that of a text whose [`hash`] with our [`seed`] this is; 0 stands for none.
    #[must_use]
    pub fn from_hash(hash: u64) -> Option<Self> {
        NonZeroU64::new(hash).map(Self)
    }
}

/// The seed of what is compared by its hash, whether packets or lines tell of it.
#[must_use]
pub fn seed() -> &'static RandomState {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);
    &SEED
}

/// Returns one hash over several texts, each with its length, so that no two lists run together.
#[must_use]
pub fn hash(seed: &RandomState, parts: &[&[u8]]) -> u64 {
    let mut hasher = seed.build_hasher();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}

/// The observer that saw a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Asterisk itself, by its module `res_hep_pjsip`.
    Hep,
    /// The kernel, which copied the packet.
    Wire,
}

/// The protocol that an exchange was in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// SIP.
    #[default]
    Sip,
    /// IAX2.
    Iax2,
    /// The manager (AMI).
    Ami,
    /// HTTP: ARI, and AMI over HTTP.
    Http,
}

/// The result that an exchange came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Credentials were refused: one attempt.
    CredentialsRefused,
    /// A challenge was not answered.
    ChallengeUnanswered,
    /// A guest was turned away.
    RefusedOutright,
    /// Somebody asked whether we, or an account, are there.
    Probed,
    /// A phone logged in.
    Login,
    /// Somebody connected and did not log in.
    NeverLoggedIn,
}

/// The exchange that something rests on, as `explain` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// The result that it came to.
    pub outcome: Outcome,
    /// The method that was asked: of IAX2, whether it was a registration or a call.
    pub method: Method,
    /// The status that was answered: of SIP and HTTP. Of IAX2 it is the code of the cause, of AMI 0.
    pub status: u16,
    /// Our port.
    pub port: u16,
    /// The transport that carried it.
    pub carrier: Carrier,
    /// The observer that saw it.
    pub source: Source,
}

/// As `explain` shows it: `REGISTER with credentials at port 5061, answered 403; seen by HEP`, or `AMI login at port
/// 5038, refused; seen by the wire`.
impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = match self.outcome {
            Outcome::CredentialsRefused | Outcome::Login => "with credentials",
            Outcome::ChallengeUnanswered => "without credentials, which never came,",
            Outcome::RefusedOutright | Outcome::NeverLoggedIn | Outcome::Probed => {
                "without credentials"
            }
        };
        let Self { protocol, outcome, method, status, port, .. } = self;
        let call = if *method == Method::Invite { "call" } else { "registration" };
        let end = match outcome {
            Outcome::Login => "accepted",
            Outcome::NeverLoggedIn => "on which nobody logged in",
            // The words before it say all of it.
            Outcome::ChallengeUnanswered => "asked for them",
            _ => "refused",
        };
        match (protocol, outcome) {
            (Protocol::Sip, _) => {
                write!(f, "{} {with} at port {port}, answered {status}", method.name())
            }
            (Protocol::Iax2, _) => write!(f, "IAX2 {call} {with} at port {port}, {end}"),
            (Protocol::Http, _) => write!(f, "HTTP request {with} at port {port}, {end}"),
            (Protocol::Ami, Outcome::NeverLoggedIn) => {
                write!(f, "AMI connection at port {port}, {end}")
            }
            (Protocol::Ami, Outcome::RefusedOutright) => {
                write!(f, "AMI request before a login at port {port}, {end}")
            }
            (Protocol::Ami, _) => write!(f, "AMI login at port {port}, {end}"),
        }?;
        f.write_str(match self.source {
            Source::Hep => "; seen by HEP",
            Source::Wire => "; seen by the wire",
        })
    }
}

/// The part of Asterisk that speaks SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SipDriver {
    /// `chan_pjsip`.
    Pjsip,
    /// `chan_sip`, up to Asterisk 20.
    ChanSip,
}

/// The facts that are known of the ports of the Asterisk on this machine.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AsteriskPorts {
    /// Ports that SIP is spoken at.
    pub sip: BTreeSet<u16>,
    /// Those of them that no datagram reaches: TLS, WebSocket, TCP alone.
    pub streams: BTreeSet<u16>,
    /// Those that SIP is wrapped in another protocol at, TLS or WebSocket: what is said there is not read on
    /// the wire.
    pub wrapped: BTreeSet<u16>,
    /// Those of `chan_pjsip`'s, of which Asterisk tells by HEP.
    pub pjsip: BTreeSet<u16>,
    /// Those of `chan_sip`'s.
    pub chan_sip: BTreeSet<u16>,
    /// Those of the HTTP server, at which nothing but WebSocket carries SIP.
    pub websocket: BTreeSet<u16>,
    /// Ports at which its user listens, and of which its configuration does not say what is there: SIP may be.
    pub heard: BTreeSet<u16>,
    /// Those of them that HTTP is spoken at in clear.
    pub http: BTreeSet<u16>,
    /// Ports that IAX2 is spoken at.
    pub iax: BTreeSet<u16>,
    /// The password that its HEP datagrams carry; empty: none.
    pub hep_password: Vec<u8>,
}

/// The password stays hidden.
impl fmt::Debug for AsteriskPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sip, streams, wrapped, pjsip, chan_sip, websocket, http, iax, heard, .. } = self;
        let hep_password = &self.hep_password;
        let password = if hep_password.is_empty() { "none" } else { "hidden" };
        f.debug_struct("AsteriskPorts")
            .field("sip", sip)
            .field("streams", streams)
            .field("wrapped", wrapped)
            .field("pjsip", pjsip)
            .field("chan_sip", chan_sip)
            .field("websocket", websocket)
            .field("heard", heard)
            .field("http", http)
            .field("iax", iax)
            .field("hep_password", &password)
            .finish()
    }
}

impl AsteriskPorts {
    /// Returns who listens at a port, where that is certain.
    #[must_use]
    pub fn driver(&self, port: u16) -> Option<SipDriver> {
        match (self.pjsip.contains(&port), self.chan_sip.contains(&port)) {
            (true, false) => Some(SipDriver::Pjsip),
            (false, true) => Some(SipDriver::ChanSip),
            (true, true) | (false, false) => None,
        }
    }
}

/// The ports at which the other services of the PBX are watched in clear.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePorts {
    /// IAX2, over UDP: ranges as in [`Ports`].
    pub iax: Vec<(u16, u16)>,
    /// AMI, over TCP.
    pub ami: Vec<(u16, u16)>,
    /// HTTP, over TCP.
    pub http: Vec<(u16, u16)>,
}

impl ServicePorts {
    /// Returns those of an Asterisk with these ports, given those of each list of the configuration. What Asterisk
    /// has at one of them instead (SIP over TCP, TLS) is not among them.
    #[must_use]
    pub fn new(asterisk: &AsteriskPorts, listed: impl Fn(&str) -> Option<Ports>) -> Self {
        let ranges = |name: &str, own: &BTreeSet<u16>, without: &dyn Fn(u16) -> bool| {
            let listed = match listed(name) {
                Some(Ports::Ranges(ranges)) => ranges,
                Some(Ports::All) | None => Vec::new(),
            };
            let listed = listed.into_iter().flat_map(|(first, last)| first..=last);
            let all = listed.chain(own.iter().copied()).filter(|port| !without(*port));
            merged(all.map(|port| (port, port)))
        };
        let web = |port: u16| asterisk.websocket.contains(&port);
        let sip = |port: u16| asterisk.sip.contains(&port) && !web(port);
        let tls = |port: u16| web(port) && !asterisk.http.contains(&port);
        Self {
            iax: ranges("iax", &asterisk.iax, &sip),
            ami: ranges("ami", &BTreeSet::new(), &|port| sip(port) || web(port)),
            http: ranges("http", &asterisk.http, &|port| sip(port) || tls(port)),
        }
    }
}

/// The datagrams that Asterisk sends to its HEP collector, as the kernel tells them from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HepFlow {
    /// The user that Asterisk runs as.
    pub uid: u32,
    /// The address and port that they go to.
    pub to: SocketAddr,
    /// Ports that they never come from, ascending, not overlapping: those of SIP, RTP and UDPTL.
    pub never_from: Vec<(u16, u16)>,
}

impl HepFlow {
    /// The part of an nft rule that they match.
    #[must_use]
    pub fn matching(&self) -> String {
        let Self { uid, to, never_from } = self;
        let family = if to.is_ipv4() { "ip" } else { "ip6" };
        let ranges: Vec<_> =
            never_from.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let from = match ranges.as_slice() {
            [] => String::new(),
            ranges => format!(" udp sport != {{ {} }}", ranges.join(", ")),
        };
        format!("meta skuid {uid} {family} daddr {} udp dport {}{from}", to.ip(), to.port())
    }
}
