//! `[fleet]`: the server over which guards share bans, and which of them are believed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use super::toml_reader::{PathOf, TomlReader, TomlValue, name_of};
use crate::model::event::Evidence;
use crate::model::hostname::HostName;
use crate::model::node::NodeName;
use crate::model::public_key::PublicKey;
use crate::model::time::HumanDuration;

const KEYS: [&str; 16] = [
    "enabled",
    "server",
    "node",
    "key",
    "password",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "insecure",
    "accept",
    "unverified_needs",
    "bantime_max",
    "max_bans",
    "max_rate",
    "operator",
    "peers",
];

/// Peers that there may be: as many as a fleet has nodes.
pub const MOST_PEERS: usize = 10_000;
/// The most bans of one peer that may be in force.
pub const MOST_BANS: u32 = 200_000;
/// The most bans that one peer may make in a second.
pub const MOST_RATE: u32 = 10_000;
/// The port of Valkey and Redis.
const PORT: u16 = 6379;
/// Bytes of a user's name.
const LONGEST_USER: usize = 64;

const EVIDENCE: [(Evidence, &str); 2] =
    [(Evidence::Proven, "proven"), (Evidence::Unverified, "unverified")];

const SERVER_HELP: &str =
    "write rediss://USER@HOST:PORT, for example \"rediss://pbx1@valkey.example.org:6380\"";
const REVOKED: &str = "revoked";

/// The fleet that this guard is a node of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// The server.
    pub server: FleetServer,
    /// The name of this node.
    pub node: NodeName,
    /// The file with the private key of this node.
    pub key: PathBuf,
    /// The file with the password of the server's user.
    pub password: Option<PathBuf>,
    /// The certificates (PEM) of the authorities that the server's certificate may be of; `None`: the system's.
    pub tls_ca: Option<PathBuf>,
    /// The certificate (PEM) by which the server knows this node, and its private key.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// The evidence of the bans that are taken.
    pub accept: Vec<Evidence>,
    /// The peers that have to say the same before an unverified ban counts.
    pub unverified_needs: u32,
    /// The longest ban of a peer.
    pub bantime_max: Duration,
    /// The bans of one peer that may be in force.
    pub max_bans: u32,
    /// The bans that one peer may make in a second; ten times as many at once.
    pub max_rate: u32,
    /// The key of whoever may unban a host in the whole fleet.
    pub operator: Option<PublicKey>,
    /// The peers, by name.
    pub peers: BTreeMap<NodeName, PeerKey>,
}

/// How a peer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerKey {
    /// By this key.
    Trusted(PublicKey),
    /// Not any more: nothing of it is taken, and its bans end.
    Revoked,
}

/// Where the server is, and as whom it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetServer {
    /// Whether the connection is by TLS.
    pub tls: bool,
    /// The user of the server.
    pub user: Option<String>,
    /// An address, or the name of a host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl FleetServer {
    /// Reads `rediss://USER@HOST:PORT`.
    ///
    /// # Errors
    /// Returns in words what is wrong.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("this is no address of a server")?;
        let tls = match scheme {
            "rediss" | "valkeys" => true,
            "redis" | "valkey" => false,
            _ => return Err("only redis:// and rediss:// (TLS) can be used"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err("no password may stand in this file");
        }
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_user =
            |user: &str| (1..=LONGEST_USER).contains(&user.len()) && user.bytes().all(is_part);
        if !user.is_none_or(is_user) {
            return Err("the user's name may have letters, digits and -_. only");
        }
        let (host, port) = match place.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, port))) => (host, port.strip_prefix(':')),
            Some(None) => return Err("this is no address of a server"),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(PORT), str::parse).map_err(|_| "this is no port")?;
        if host.parse::<IpAddr>().is_err() && host.parse::<HostName>().is_err() {
            return Err("this is not the address or name of a host");
        }
        Ok(Self { tls, user: user.map(str::to_owned), host: host.to_owned(), port })
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let is_loopback = |host: IpAddr| host.to_canonical().is_loopback();
        self.host == "localhost" || self.host.parse().is_ok_and(is_loopback)
    }
}

impl fmt::Display for FleetServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        write!(f, "{scheme}://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Fleet {
    /// Returns the values, as TOML, with their keys; the peers are keys as `peers.NAME`.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let text = |text: &dyn fmt::Display| serde_json::Value::from(text.to_string()).to_string();
        let path = |path: &Path| text(&path.display());
        let mut all = vec![
            ("server", text(&self.server)),
            ("node", text(&self.node)),
            ("key", path(&self.key)),
        ];
        all.extend(self.password.as_deref().map(|file| ("password", path(file))));
        all.extend(self.tls_ca.as_deref().map(|file| ("tls_ca", path(file))));
        if let Some((certificate, key)) = &self.tls_client {
            all.extend([("tls_cert", path(certificate)), ("tls_key", path(key))]);
        }
        let accept: Vec<_> = self.accept.iter().map(|it| text(&name_of(it, &EVIDENCE))).collect();
        all.extend([
            ("accept", format!("[{}]", accept.join(", "))),
            ("unverified_needs", self.unverified_needs.to_string()),
            ("bantime_max", text(&HumanDuration(self.bantime_max))),
            ("max_bans", self.max_bans.to_string()),
            ("max_rate", self.max_rate.to_string()),
        ]);
        all.extend(self.operator.map(|key| ("operator", text(&key))));
        let mut all: Vec<_> = all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        all.extend(self.peers.iter().map(|(name, key)| {
            let value = match key {
                PeerKey::Trusted(key) => text(key),
                PeerKey::Revoked => text(&REVOKED),
            };
            (format!("peers.{name}"), value)
        }));
        all
    }
}

/// A place: the file (by its number), and where in it.
type Place = (usize, Range<usize>);

/// What files say of `[fleet]`; a later file wins key by key.
#[derive(Default)]
pub(super) struct FleetSection {
    start: Option<Place>,
    written: BTreeMap<String, Place>,
    enabled: Option<bool>,
    server: Option<FleetServer>,
    node: Option<NodeName>,
    key: Option<PathBuf>,
    password: Option<PathBuf>,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    insecure: Option<bool>,
    accept: Option<Vec<Evidence>>,
    unverified_needs: Option<u32>,
    bantime_max: Option<Duration>,
    max_bans: Option<u32>,
    max_rate: Option<u32>,
    operator: Option<PublicKey>,
    peers: BTreeMap<NodeName, PeerKey>,
}

impl FleetSection {
    /// Merges in what the file of this number says.
    pub fn merge(&mut self, reader: &mut TomlReader, file: usize, table: &DeTable) {
        let Some((key, value)) = table.get_key_value("fleet") else { return };
        let Some(section) = reader.table(value, "write [fleet], and its keys below it") else {
            return;
        };
        self.start.get_or_insert((file, key.span()));
        for (key, value) in section {
            self.written.insert(key.get_ref().to_string(), (file, key.span()));
            match key.get_ref().as_ref() {
                "enabled" => self.enabled = reader.boolean(value).or(self.enabled),
                "server" => self.server = server(reader, value).or(self.server.take()),
                "node" => self.node = node(reader, value).or(self.node.take()),
                "key" => self.key = path(reader, value, "node.key").or(self.key.take()),
                "password" => {
                    self.password = path(reader, value, "password").or(self.password.take());
                }
                "tls_ca" => self.tls_ca = path(reader, value, "ca.crt").or(self.tls_ca.take()),
                "tls_cert" => {
                    self.tls_cert = path(reader, value, "node.crt").or(self.tls_cert.take());
                }
                "tls_key" => {
                    self.tls_key = path(reader, value, "tls.key").or(self.tls_key.take());
                }
                "insecure" => self.insecure = reader.boolean(value).or(self.insecure),
                "accept" => self.accept = accept(reader, value).or(self.accept.take()),
                "unverified_needs" => {
                    let help = "write how many peers have to say the same: 2";
                    self.unverified_needs =
                        reader.number(value, 1..=1000, help).or(self.unverified_needs);
                }
                "bantime_max" => self.bantime_max = reader.duration(value).or(self.bantime_max),
                "max_bans" => {
                    let help = "write how many bans of one peer may be in force: 20000";
                    self.max_bans = reader.number(value, 1..=MOST_BANS, help).or(self.max_bans);
                }
                "max_rate" => {
                    let help = "write how many bans one peer may make in a second: 100";
                    self.max_rate = reader.number(value, 1..=MOST_RATE, help).or(self.max_rate);
                }
                "operator" => self.operator = public_key(reader, value).or(self.operator),
                "peers" => self.merge_peers(reader, value),
                _ => reader.unknown_key(key, &KEYS),
            }
        }
    }

    fn merge_peers(&mut self, reader: &mut TomlReader, value: &TomlValue) {
        let help = "write [fleet.peers], and below it a line for each peer: pbx2 = \"PUBLIC KEY\"";
        for (key, value) in reader.table(value, help).into_iter().flatten() {
            let name = match key.get_ref().parse::<NodeName>() {
                Ok(name) => name,
                Err(error) => {
                    reader.error(key.span(), error, "write the name that the peer calls itself");
                    continue;
                }
            };
            if self.peers.len() >= MOST_PEERS && !self.peers.contains_key(&name) {
                let message = format_args!("more than {MOST_PEERS} peers");
                reader.error(key.span(), message, "a fleet has no more nodes");
                return;
            }
            if let Some(known) = peer(reader, value) {
                self.peers.insert(name, known);
            }
        }
    }

    /// Returns the fleet, if there is one, it is wanted and right; what is missing or does not fit together is noted.
    pub fn finish(self, readers: &mut [TomlReader]) -> Option<Fleet> {
        self.finish_left(readers).and_then(|(fleet, is_on)| is_on.then_some(fleet))
    }

    /// Returns the fleet, and whether it is wanted: after `asterguard fleet leave`, it is not.
    pub fn finish_left(mut self, readers: &mut [TomlReader]) -> Option<(Fleet, bool)> {
        self.start.as_ref()?;
        let mut note = |key: &str, message: &str, help: &str| {
            let place = self.written.get(key).or(self.start.as_ref());
            if let Some((file, span)) = place.cloned() {
                if let Some(reader) = readers.get_mut(file) {
                    reader.error(span, message, help);
                }
            }
        };
        let written = |key: &str| self.written.contains_key(key);
        let needed = [
            ("server", SERVER_HELP),
            ("node", "write the name of this node: node = \"pbx1\""),
            (
                "key",
                "make a key by `asterguard fleet keygen`, and name its file: key = \"/etc/asterguard/fleet/node.key\"",
            ),
        ];
        for (key, help) in needed.into_iter().filter(|(key, _)| !written(key)) {
            note(key, &format!("[fleet] has no {key}"), help);
        }
        let server = self.server.take()?;
        let mut right = true;
        if !server.tls && !server.is_local() && self.insecure != Some(true) {
            let message = format!(
                "everybody on the way to {} could read along and use this connection",
                server.host
            );
            let help = "write rediss:// for TLS; insecure = true if the way is protected otherwise";
            note("server", &message, help);
            right = false;
        }
        if server.user.is_some() && !written("password") {
            note(
                "password",
                "this user has no password",
                "name the file with it: password = \"/etc/asterguard/fleet/password\"",
            );
            right = false;
        }
        for (one, other) in [("tls_cert", "tls_key"), ("tls_key", "tls_cert")] {
            if written(one) && !written(other) {
                let help = "a certificate needs its private key: write both, or none";
                note(one, &format!("[fleet] has no {other}"), help);
                right = false;
            }
        }
        for key in ["tls_ca", "tls_cert"].into_iter().filter(|key| !server.tls && written(key)) {
            let help = "leave it out, or write rediss:// for TLS";
            note(key, &format!("without TLS, {key} has no effect"), help);
            right = false;
        }
        let (node, key) = (self.node.take()?, self.key.take()?);
        if self.peers.contains_key(&node) {
            note(
                "peers",
                "this node itself is among its peers",
                "remove its line: no node is its own peer",
            );
            right = false;
        }
        if !right {
            return None;
        }
        let fleet = Fleet {
            server,
            node,
            key,
            password: self.password,
            tls_ca: self.tls_ca,
            tls_client: self.tls_cert.zip(self.tls_key),
            accept: self.accept.unwrap_or_else(|| vec![Evidence::Proven]),
            unverified_needs: self.unverified_needs.unwrap_or(2),
            bantime_max: self.bantime_max.unwrap_or(Duration::from_secs(86_400)),
            max_bans: self.max_bans.unwrap_or(20_000),
            max_rate: self.max_rate.unwrap_or(100),
            operator: self.operator,
            peers: self.peers,
        };
        Some((fleet, self.enabled != Some(false)))
    }
}

fn server(reader: &mut TomlReader, value: &TomlValue) -> Option<FleetServer> {
    let text = reader.text(value, SERVER_HELP)?;
    let read = FleetServer::read(text);
    read.map_err(|message| reader.error(value.span(), message, SERVER_HELP)).ok()
}

fn node(reader: &mut TomlReader, value: &TomlValue) -> Option<NodeName> {
    let help = "write the name of this node: \"pbx1\"";
    let read = reader.text(value, help)?.parse();
    read.map_err(|error| reader.error(value.span(), error, help)).ok()
}

fn path(reader: &mut TomlReader, value: &TomlValue, usual: &str) -> Option<PathBuf> {
    let help = format!("write the path of a file: \"/etc/asterguard/fleet/{usual}\"");
    let text = reader.text(value, &help)?;
    reader.absolute_path(text, &value.span(), PathOf::File, &help).map(Path::to_owned)
}

fn accept(reader: &mut TomlReader, value: &TomlValue) -> Option<Vec<Evidence>> {
    let help = "write [\"proven\"], or [\"proven\", \"unverified\"]";
    let mut all = Vec::new();
    for (text, span) in reader.some_texts(value, help) {
        let named = reader.named(text, span, "evidence", &EVIDENCE);
        all.extend(named.filter(|named| !all.contains(named)));
    }
    (!all.is_empty()).then_some(all)
}

fn public_key(reader: &mut TomlReader, value: &TomlValue) -> Option<PublicKey> {
    let help = "write the line that `asterguard fleet keygen` printed there";
    let read = reader.text(value, help)?.parse();
    read.map_err(|error| reader.error(value.span(), error, help)).ok()
}

fn peer(reader: &mut TomlReader, value: &TomlValue) -> Option<PeerKey> {
    let help = "write the line that `asterguard fleet keygen` printed there, or \"revoked\"";
    let text = reader.text(value, help)?;
    if text == REVOKED {
        return Some(PeerKey::Revoked);
    }
    let read = text.parse().map(PeerKey::Trusted);
    read.map_err(|error| reader.error(value.span(), error, help)).ok()
}
