//! A connection to the fleet's server: TLS, login, and commands with their answers.

use std::io::{self, BufReader};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::resp::{self, Commands, NoReply, Reply};
use super::tls_trouble;
use crate::config::Fleet;
use crate::config::fleet::FleetServer;
use crate::model::trouble::Trouble;
use crate::sys::https::certificates;
use crate::sys::secret_file;
use crate::sys::tcp::{Stream, Times};

/// How long each thing may take. A read returns without bytes after half a second, so that time passes.
const TIMES: Times = Times {
    connecting: Duration::from_secs(5),
    turn: Duration::from_millis(500),
    sending: Duration::from_secs(10),
};
/// The turns for which an answer is awaited: ten seconds.
const TURNS: usize = 20;

/// A connection to the server, with the user logged in.
pub struct Client {
    stream: BufReader<Stream>,
    server: Server,
}

/// What is said of the server when something is wrong.
struct Server {
    /// Its name.
    name: String,
    /// Whether this node shows it a certificate.
    shows: bool,
    /// Whether it has answered something.
    answered: bool,
}

impl Client {
    /// Connects, and logs in.
    ///
    /// # Errors
    /// Returns what is wrong and what to do.
    pub fn connect(fleet: &Fleet) -> Result<Self, Trouble> {
        let (name, shows) = (fleet.server.to_string(), fleet.tls_client.is_some());
        // Without TLS, no certificate is missing.
        let server = Server { name, shows: shows || !fleet.server.tls, answered: false };
        // What is wrong with files is said without a connection, too.
        let password = fleet.password.as_deref().map(secret_file::read_line).transpose()?;
        let tls = if fleet.server.tls { Some(tls(fleet)?) } else { None };
        let failed = |error: io::Error| server.no_connection(&error);
        let FleetServer { host, port, .. } = &fleet.server;
        let stream = Stream::connect(host, *port, tls, TIMES).map_err(failed)?;
        let stream = BufReader::with_capacity(64 << 10, stream);
        let mut client = Self { stream, server };
        client.log_in(fleet, password.as_deref())?;
        Ok(client)
    }

    fn log_in(&mut self, fleet: &Fleet, password: Option<&str>) -> Result<(), Trouble> {
        let mut login = Commands::default();
        if let Some(password) = password {
            let user = fleet.server.user.as_deref().unwrap_or("default");
            login.add(&[b"AUTH", user.as_bytes(), password.as_bytes()]);
        }
        login.add(&[b"PING"]);
        let replies = self.ask(&login)?;
        match replies.iter().find_map(refusal) {
            Some(refusal) => Err(Trouble::new(
                format!("{} refuses the login: {refusal}", self.server.name),
                "compare the server's user and its password with the file that `password` names (docs/fleet.md)",
            )),
            None => Ok(()),
        }
    }

    /// Sends commands, and returns their answers.
    ///
    /// # Errors
    /// When the connection is over. A command that the server refuses is no error: its answer is [`Reply::Error`].
    pub fn ask(&mut self, commands: &Commands) -> Result<Vec<Reply>, Trouble> {
        self.send(commands)?;
        let mut replies = Vec::with_capacity(commands.number);
        for _ in 0..commands.number {
            replies.push(self.awaited()?);
        }
        Ok(replies)
    }

    /// Sends one command, and returns its answer.
    ///
    /// # Errors
    /// When the connection is over, or the server refuses.
    pub fn ask_one(&mut self, words: &[&[u8]]) -> Result<Reply, Trouble> {
        let mut commands = Commands::default();
        commands.add(words);
        let reply = self.ask(&commands)?.pop().unwrap_or(Reply::Nothing);
        match refusal(&reply) {
            Some(refusal) => Err(self.refused(&refusal)),
            None => Ok(reply),
        }
    }

    /// Sends commands whose answers are read by [`Client::read`].
    ///
    /// # Errors
    /// When the connection is over.
    pub fn send(&mut self, commands: &Commands) -> Result<(), Trouble> {
        let sent = self.stream.get_mut().send(&commands.bytes);
        sent.map_err(|error| self.server.no_connection(&error))
    }

    /// Reads what comes next; `None` if nothing came for half a second.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn read(&mut self) -> Result<Option<Reply>, Trouble> {
        let read = resp::read(&mut self.stream).map_err(|error| match error {
            NoReply::Io(error) => self.server.no_connection(&error),
            other => Trouble::new(
                format!("{}: {other}", self.server.name),
                "see that `server` names the port of a Valkey or Redis server",
            ),
        })?;
        self.server.answered |= read.is_some();
        Ok(read)
    }

    fn awaited(&mut self) -> Result<Reply, Trouble> {
        for _ in 0..TURNS {
            if let Some(reply) = self.read()? {
                return Ok(reply);
            }
        }
        let late = io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
        Err(self.server.no_connection(&late))
    }

    /// Returns the trouble that the server refuses something.
    #[must_use]
    pub fn refused(&self, refusal: &str) -> Trouble {
        let todo = if refusal.starts_with("OOM") {
            "give the server more memory (maxmemory)"
        } else if refusal.starts_with("NOPERM") {
            "give the user what `asterguard fleet acl` prints"
        } else if refusal.starts_with("MOVED") || refusal.starts_with("READONLY") {
            "let `server` name the primary; a Cluster cannot be used (docs/fleet.md)"
        } else {
            "see docs/fleet.md"
        };
        Trouble::new(format!("{} refuses: {refusal}", self.server.name), todo)
    }
}

/// Returns what a refusal says, without what a terminal would obey.
#[must_use]
pub fn refusal(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Error(text) => {
            Some(text.chars().filter(|letter| !letter.is_control()).take(200).collect())
        }
        Reply::Array(items) => items.iter().find_map(refusal),
        _ => None,
    }
}

impl Server {
    fn no_connection(&self, error: &io::Error) -> Trouble {
        let (seen, todo) = tls_trouble::of(error, self.shows).unwrap_or_else(|| {
            // Some servers say no word to whom they do not want.
            let is_sent_away = error.kind() == io::ErrorKind::UnexpectedEof && !self.answered;
            let todo = if is_sent_away && !self.shows {
                "see that the server runs; if it asks for certificates, write tls_cert and tls_key into [fleet]"
            } else {
                "see that the server runs, and that this machine reaches it"
            };
            (error.to_string(), todo)
        });
        Trouble::new(format!("no connection to {}: {seen}", self.name), todo)
    }
}

/// The client's side of TLS.
fn tls(fleet: &Fleet) -> Result<ClientConnection, Trouble> {
    let mut roots = RootCertStore::empty();
    match &fleet.tls_ca {
        Some(file) => roots.add_parsable_certificates(certificates(file)?),
        None => roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    };
    let unusable = |error: &dyn std::fmt::Display| {
        Trouble::new(
            format!("no TLS with {}: {error}", fleet.server),
            "see tls_ca, tls_cert and tls_key",
        )
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots);
    let config = match &fleet.tls_client {
        Some((certificate, key)) => {
            let text = secret_file::read(key).map_err(|error| error.trouble())?;
            let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
                let todo = format!("write the private key (PEM) into {}", key.display());
                Trouble::new(format!("{} holds no private key (PEM)", key.display()), todo)
            })?;
            let chain = certificates(certificate)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| unusable(&error))?
        }
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from(fleet.server.host.clone())
        .map_err(|_| unusable(&"the host has no name for TLS"))?;
    ClientConnection::new(Arc::new(config), name).map_err(|error| unusable(&error))
}
