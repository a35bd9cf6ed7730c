//! Events and decisions, which pass from the sources to the engine and on to the kernel: `Copy`, of
//! a fixed size, without a pointer.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::account::Account;
use crate::model::exchange::{Exchange, ExchangeId, Outcome, Protocol, Source, Transport};
use crate::model::place::Country;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// One stream of lines: a log file with its rotations, or standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u16);

/// The channel of what is not read but decided: bans, as the jail `recidive` counts them.
pub const BANS: ChannelId = ChannelId(u16::MAX);

/// The channel of [the PBX's own SIP responses](crate::sip). All jails that count its rules read
/// it.
pub const SIP_RESPONSES: ChannelId = ChannelId(u16::MAX - 1);

/// A rule: its index in the [`RuleSet`](crate::rules::RuleSet) in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u16);

/// A jail: its index in the [`Config`](crate::config::Config) in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JailId(pub u16);

/// A scope, what a ban closes: its index in the [`Structure`](crate::table::structure::Structure)
/// in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ScopeId(pub u16);

/// The kind of offence that a message tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A wrong password for an account that exists (or may exist).
    Guess,
    /// An account that does not exist.
    User,
    /// An extension that does not exist, dialled by a stranger.
    Extension,
    /// An address that an access list refuses.
    Acl,
    /// A packet that no phone sends.
    Malformed,
    /// Probing.
    Scan,
}

impl Class {
    /// All classes, as the configuration spells them.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Guess, "guess"),
        (Self::User, "user"),
        (Self::Extension, "extension"),
        (Self::Acl, "acl"),
        (Self::Malformed, "malformed"),
        (Self::Scan, "scan"),
    ];
}

/// The evidence that an address is the true sender's, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// The address cannot be trusted from the text; never an offence.
    Hearsay,
    /// The address is the packet's source, but UDP sources can be spoofed.
    Unverified,
    /// The host completed a handshake or answered our own nonce.
    Proven,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hearsay => "hearsay",
            Self::Unverified => "unverified",
            Self::Proven => "proven",
        })
    }
}

/// The meaning of a line that a rule matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// An offence of this class.
    Offence(Class),
    /// A login that succeeded.
    Success,
    /// Known to be harmless, or excused by an ignoreregex.
    Ignored,
    /// The line can be read in two ways that name two hosts: it counts against none.
    Tampered,
}

/// One line that a rule matched, as a source hands it to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The time: arrival for live lines, the line's own time in a replay.
    pub time: Time,
    /// The channel that the line was read from.
    pub channel: ChannelId,
    /// The rule that matched.
    pub rule: RuleId,
    /// The meaning of the line.
    pub meaning: Meaning,
    /// The host that it names; the unspecified address for [`Meaning::Tampered`].
    pub host: IpAddr,
    /// The evidence for `host`.
    pub evidence: Evidence,
    /// The line's number in its channel, from 1.
    pub line: u64,
    /// The account that it was about, where the line names it beyond doubt.
    pub account: Option<Account>,
    /// The thing that it rests on.
    pub basis: Basis,
    /// The parts of it that tell which exchange it is about.
    pub clue: Clue,
}

/// The thing that an event rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// A line by itself: it proves nothing.
    #[default]
    Text,
    /// A line in a file whose records no sender can break in two.
    Framed,
    /// A line about a connection that cannot be read, at a time when the PBX sent something on it.
    Talked,
    /// A line about a service that is not Asterisk's, at a time when that sent something to the host.
    Served,
    /// An exchange, or a line that tells what was wrong in one.
    Exchange(Exchange),
    /// A line beside an exchange that counts by itself: the line adds nothing.
    Beside(Exchange),
    /// A line where exchanges are seen, and there was none beside it: it counts for nothing.
    Unmatched,
}

/// The parts of a line, or of an exchange, by which one finds the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clue {
    /// The Call-ID.
    pub call: Option<ExchangeId>,
    /// The nonce that the credentials answer.
    pub nonce: Option<ExchangeId>,
    /// The host's port; 0: not known.
    pub port: u16,
    /// The transport that a line names.
    pub transport: Transport,
    /// The protocol that it is about: of a login of the manager's AMI, also if it came by HTTP.
    pub protocol: Protocol,
}

impl Event {
    /// Returns the exchange that it is, or stands beside.
    #[must_use]
    pub fn exchange(&self) -> Option<Exchange> {
        match self.basis {
            Basis::Exchange(exchange) | Basis::Beside(exchange) => Some(exchange),
            Basis::Text | Basis::Framed | Basis::Talked | Basis::Served | Basis::Unmatched => None,
        }
    }

    /// Whether somebody only asked who is there.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.exchange().is_some_and(|exchange| exchange.outcome == Outcome::Probed)
    }

    /// Returns where it was seen.
    #[must_use]
    pub fn origin(&self) -> Origin {
        match self.exchange().map(|exchange| exchange.source) {
            None => Origin::Log,
            Some(Source::Wire) => Origin::Wire,
            Some(Source::Hep) => Origin::Hep,
        }
    }
}

/// The places where offences are seen. Whoever forges packets for one of them must not silence another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The logs.
    Log,
    /// Packets that the kernel copied.
    Wire,
    /// The copies that Asterisk sends by HEP.
    Hep,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Log, Self::Wire, Self::Hep];
}

/// `the logs`, `the wire`, `HEP`
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "the logs",
            Self::Wire => "the wire",
            Self::Hep => "HEP",
        })
    }
}

/// A ban: (jail, subject, scope) with a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The jail that decided.
    pub jail: JailId,
    /// The banned host or network.
    pub subject: Subject,
    /// The exact address whose line completed the count (or the subject's own for a manual ban).
    pub host: IpAddr,
    /// The scope that is closed to the subject.
    pub scope: ScopeId,
    /// The time when it was decided, or renewed.
    pub since: Time,
    /// The time when the kernel lets go; `None`: never.
    pub until: Option<Time>,
    /// Offences counted; 0 for a manual ban or one found in the kernel.
    pub offences: u32,
    /// The weakest evidence that the ban rests on.
    pub evidence: Evidence,
    /// The rule and line that completed the count.
    pub cause: Option<(RuleId, u64)>,
}

/// The reason why a ban ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifted {
    /// Its time was over; the kernel has let go by itself.
    Expired,
    /// Somebody lifted it.
    ByHand,
    /// The host became ignored.
    Ignored,
    /// Another one took its place: longer, or of another network.
    Replaced,
    /// The peer that issued it took it back, or is no peer any more.
    Recalled,
}

/// An element of the kernel's sets: a subject, the scope closed to it, and a deadline. One element
/// may stand for the bans of several jails; its deadline is the latest of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    /// The scope, which has a pair of sets.
    pub scope: ScopeId,
    /// The key.
    pub subject: Subject,
    /// The time when the kernel lets go; `None`: never.
    pub until: Option<Time>,
    /// The jail whose ban lasts longest; its name becomes the element's comment.
    pub jail: JailId,
}

/// A change to the kernel's sets. Carrying one out twice does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Have exactly this element, whether its key was there before or not.
    Put(Element),
    /// Have no element with this key.
    Remove(ScopeId, Subject),
}

impl Change {
    /// The set and key that the change is about.
    #[must_use]
    pub fn key(&self) -> (ScopeId, Subject) {
        match self {
            Self::Put(element) => (element.scope, element.subject),
            Self::Remove(scope, subject) => (*scope, *subject),
        }
    }
}

/// A decision of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// An offence was counted: the jail, whose, how many there are now, and where this one was read.
    Found { jail: JailId, host: IpAddr, offences: u32, channel: ChannelId },
    /// A ban begins. What the kernel has to do about it follows as [`Decision::Change`].
    Ban(Ban),
    /// A ban begins again, because its host is still sending packets.
    Renewed(Ban),
    /// A jail in observe mode would have banned.
    Observed(Ban),
    /// A ban ended.
    Unban { jail: JailId, subject: Subject, why: Lifted },
    /// More unverified bans are due by what one origin tells than may be: they are withheld from now on.
    FloodBegins(Origin),
    /// They are carried out again; how many were withheld.
    FloodEbbs { origin: Origin, withheld: u64 },
    /// A line needs to be weighed by what was sent to the host's address and port lately; the answer goes to
    /// the engine.
    AskTalked(Event),
    /// Accounts that have logged in from a host fail there now.
    AccountsFail(AccountFailures),
    /// An account fails at a host that others are logged in from, and is not banned: jail, its failures since then,
    /// and how many accounts have logged in there.
    StrangerFails {
        jail: JailId,
        subject: Subject,
        account: Option<Account>,
        failures: u32,
        since: Time,
        others: usize,
    },
    /// Many hosts guess at an account.
    AccountTargeted(Targeted),
    /// An account logged in from a network that it never used.
    NewNetwork(NewNetworkLogin),
    /// An account uses new networks so often that none of them is an alarm from now on.
    AccountRoams(RoamingAccount),
    /// More accounts logged in from new networks than is told of one by one: so many logins.
    NewNetworksWithheld(u64),
    /// Packets of a banned host come through all the same. If its ban is widened, that follows.
    WithoutEffect(WithoutEffect),
    /// The kernel's sets have to change.
    Change(Change),
}

/// Packets of a banned host that came through all the same, as the kernel has counted them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// The host.
    pub host: IpAddr,
    /// The port here that they come to, behind address translation.
    pub port: u16,
    /// The number of packets since there was none for a while.
    pub packets: u64,
}

/// A ban whose host's packets come through all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithoutEffect {
    /// The ban.
    pub ban: Ban,
    /// The port here that packets came to last, behind address translation.
    pub port: u16,
    /// The packets that were seen to come through.
    pub packets: u64,
    /// The time of the first look that found some.
    pub since: Time,
    /// The time of the last one.
    pub last: Time,
    /// The outcome for the ban.
    pub outcome: Remedy,
}

/// The outcome for a ban without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Remedy {
    /// All ports are closed to the host now, for as long.
    Widened,
    /// It stays as it is: its addresses may be forged.
    Unverified,
    /// It stays as it is: the administrator chose its ports.
    ByHand,
    /// It stays as it is: all ports are closed already, or no set for that can hold the host.
    Unchanged,
}

impl Remedy {
    /// Returns what is done about the ban.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Widened => "all ports are closed to it now, for as long",
            Self::Unverified => "it stays as it is, since its address may be forged",
            Self::ByHand => "it stays as it is, since it was made by hand",
            Self::Unchanged => "it stays as it is",
        }
    }
}

/// An account that many hosts guess at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targeted {
    /// The account.
    pub account: Account,
    /// The number of hosts within a day, 64 at most.
    pub hosts: usize,
    /// The time of the first failure.
    pub since: Time,
}

/// A login of an account from a network that it never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewNetworkLogin {
    /// The account.
    pub account: Account,
    /// The host that it logged in from.
    pub host: IpAddr,
    /// The network of this host: an IPv4 /24 or an IPv6 /48.
    pub network: IpNet,
    /// The time of the first login of the account.
    pub since: Time,
    /// The number of networks that it has used, 16 at most.
    pub networks: usize,
    /// The one of these that it used last.
    pub before: Option<IpNet>,
    /// The country, if the alarm is about that: the account uses many networks, and never one there.
    pub country: Option<Country>,
}

/// An account that uses new networks often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoamingAccount {
    /// The account.
    pub account: Account,
    /// The number of networks that it has used, as far as they are remembered.
    pub networks: usize,
    /// The time of its first login.
    pub since: Time,
}

/// A host whose accounts fail: most likely a password was changed, and not in the phones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountFailures {
    /// The host.
    pub subject: Subject,
    /// Accounts that have logged in from there before, and fail now.
    pub known: u32,
    /// Offences of others.
    pub unknown: u32,
}

/// The name under which jails and logs know the SIP response monitor: its filter, and the first
/// half of its rules' names.
pub const FILTER: &str = "wire";

/// The same for the other services that are seen there.
pub const SERVICE_FILTERS: [(Protocol, &str); 3] =
    [(Protocol::Iax2, "wire-iax"), (Protocol::Ami, "wire-ami"), (Protocol::Http, "wire-http")];

/// Returns the name of the filter for what is seen in a protocol.
#[must_use]
pub fn wire_filter(protocol: Protocol) -> &'static str {
    SERVICE_FILTERS.iter().find(|(of, _)| *of == protocol).map_or(FILTER, |(_, name)| name)
}

/// Returns the filters of what is seen on the wire: they have rules, and no line that these match.
pub fn wire_filters() -> impl Iterator<Item = &'static str> {
    [FILTER, OPTIONS_FILTER].into_iter().chain(SERVICE_FILTERS.map(|(_, name)| name))
}

/// Whether a filter is one of these.
#[must_use]
pub fn is_wire_filter(name: &str) -> bool {
    wire_filters().any(|known| known == name)
}

/// The rule of a refusal that counts, after `wire/`.
pub const REFUSED: &str = "refused";

/// The rule of a login, after `wire/`.
pub const REGISTERED: &str = "registered";

/// The rule of a challenge that was not answered, after `wire/`.
pub const UNANSWERED: &str = "unanswered";

/// The filter of what asks for accounts by OPTIONS.
pub const OPTIONS_FILTER: &str = "wire-options";

/// The rule of a refused OPTIONS, after `wire-options/`.
pub const PROBED: &str = "probed";

/// The rule of a guest that was turned away, after `wire/`; of a request without a login, after `wire-ami/` and
/// `wire-iax/`.
pub const REJECTED: &str = "rejected";

/// The rule of a connection on which nobody logged in, after `wire-ami/`.
pub const NO_LOGIN: &str = "no-login";

/// An element that was found in the sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelElement {
    /// The element; `jail` is only meaningful if `known_jail`.
    pub element: Element,
    /// Whether the element's comment names a jail of the structure in force.
    pub known_jail: bool,
}
