//! `[ami]`: where the manager interface of Asterisk is asked for security events.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::toml_reader::{PathOf, TomlReader, TomlValue};
use crate::model::hostname::HostName;

const KEYS: [&str; 7] = ["enabled", "host", "port", "tls", "cafile", "user", "secretfile"];

/// Asterisk's ports (`manager.conf`: `port`, `tlsbindaddr`).
const PORT: u16 = 5038;
const TLS_PORT: u16 = 5039;

/// Where the manager interface is, and who asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmiAccess {
    /// Whether it is asked.
    pub enabled: bool,
    /// An address, or the name of a host.
    pub host: String,
    /// The port, if one is written.
    pub written_port: Option<u16>,
    /// Whether the connection is by TLS.
    pub tls: bool,
    /// With TLS: the certificates (PEM) by which Asterisk is known, those of authorities or its own.
    pub cafile: PathBuf,
    /// The section of manager.conf.
    pub user: String,
    /// The file with the secret of this user.
    pub secretfile: PathBuf,
}

impl Default for AmiAccess {
    fn default() -> Self {
        Self {
            enabled: true,
            host: "127.0.0.1".to_owned(),
            written_port: None,
            tls: false,
            cafile: "/etc/asterguard/ami.crt".into(),
            user: "asterguard".to_owned(),
            secretfile: "/etc/asterguard/ami.secret".into(),
        }
    }
}

impl AmiAccess {
    /// Returns the port: the one that is written, otherwise Asterisk's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.written_port.unwrap_or(if self.tls { TLS_PORT } else { PORT })
    }

    /// Whether Asterisk runs on this machine, as far as its host says so.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let is_loopback = |host: IpAddr| host.to_canonical().is_loopback();
        self.host == "localhost" || self.host.parse().is_ok_and(is_loopback)
    }

    /// Merges in what `[ami]` says.
    pub(super) fn merge(&mut self, reader: &mut TomlReader, value: &TomlValue) {
        let help = "write [ami], and its keys below it";
        for (key, value) in reader.table(value, help).into_iter().flatten() {
            match key.get_ref().as_ref() {
                "enabled" => self.enabled = reader.boolean(value).unwrap_or(self.enabled),
                "host" => self.host = host(reader, value).unwrap_or_else(|| self.host.clone()),
                "port" => {
                    let help = "write the port of the manager interface: 5038, or 5039 with TLS";
                    self.written_port =
                        reader.number(value, 1..=u16::MAX, help).or(self.written_port);
                }
                "tls" => self.tls = reader.boolean(value).unwrap_or(self.tls),
                "cafile" => {
                    let help = "write the path of a file with certificates (PEM): \
                                \"/etc/asterguard/ami.crt\"";
                    if let Some(path) = file(reader, value, help) {
                        self.cafile = path;
                    }
                }
                "user" => self.user = user(reader, value).unwrap_or_else(|| self.user.clone()),
                "secretfile" => {
                    let help = "write the path of the file with the secret: \"/etc/asterguard/ami.secret\"";
                    if let Some(path) = file(reader, value, help) {
                        self.secretfile = path;
                    }
                }
                "secret" => {
                    let help = "write the secret into a file of its own, and here \
                                secretfile = \"/etc/asterguard/ami.secret\" (`asterguard ami-user --generate` does both)";
                    reader.error(key.span(), "no secret may stand in this file", help);
                }
                _ => reader.unknown_key(key, &KEYS),
            }
        }
    }
}

fn host(reader: &mut TomlReader, value: &TomlValue) -> Option<String> {
    let help = "write the address of Asterisk: \"127.0.0.1\"";
    let text = reader.text(value, help)?;
    let is_host = text.parse::<IpAddr>().is_ok() || text.parse::<HostName>().is_ok();
    if !is_host {
        reader.error(
            value.span(),
            format_args!("{text:?} is not the address or name of a host"),
            help,
        );
    }
    is_host.then(|| text.to_owned())
}

fn file(reader: &mut TomlReader, value: &TomlValue, help: &str) -> Option<PathBuf> {
    let text = reader.text(value, help)?;
    reader.absolute_path(text, &value.span(), PathOf::File, help).map(Path::to_owned)
}

fn user(reader: &mut TomlReader, value: &TomlValue) -> Option<String> {
    let text = reader.text(value, "write the section of manager.conf: \"asterguard\"")?;
    let is_name = is_user(text);
    if !is_name {
        let help =
            "write the name in brackets in manager.conf: letters, digits, - and _, at most 64";
        reader.error(value.span(), format_args!("{text:?} is not the name of a user"), help);
    }
    is_name.then(|| text.to_owned())
}

/// Whether this can be the name of a user here: a section of manager.conf that needs no quotes anywhere.
#[must_use]
pub fn is_user(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(is_part) && text != "general"
}
