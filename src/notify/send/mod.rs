//! Sends a message: by mail, by a webhook or by a command. Each takes a bounded time.

mod command;
mod mail;
mod webhook;
pub mod whois;

use std::io;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::batch::Batch;
use super::message::message;
use super::protocol::Letter;
use super::queue::{Failure, Lasting};
use crate::config::Notifier;
use crate::config::notify::Way;
use crate::model::trouble::Trouble;
use crate::sys::text_file::read_bytes;

/// The time that a server may take for each of its answers (mail), or for the whole request (webhook).
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a file of certificates.
const LARGEST: u64 = 1 << 20;
/// The name of this machine if it tells none.
const NO_NAME: &str = "localhost";

/// Sends a batch of events as one message, and returns what the receiver said.
///
/// # Errors
/// When it was not sent.
pub fn send(notifier: &Notifier, batch: &Batch, machine: &str) -> Result<String, Failure> {
    let mut message = message(batch, machine);
    match &notifier.way {
        Way::Mail(server) => {
            if server.whois {
                message.lists.extend(batch.single().and_then(whois::of_banned));
            }
            mail::send(server, &message, machine)
        }
        Way::Webhook(hook) => webhook::send(hook, batch, &message, machine),
        Way::Command(command) => command::send(command, batch),
    }
}

/// Sends a letter, and returns what the receiver said.
///
/// # Errors
/// When it was not sent, or this is not a notifier that sends mails.
pub fn send_letter(notifier: &Notifier, letter: &Letter, machine: &str) -> Result<String, Failure> {
    match &notifier.way {
        Way::Mail(server) => mail::deliver(server, letter, machine),
        Way::Webhook(_) | Way::Command(_) => {
            Err(refused("only a mail can hold a report", "asterguard check"))
        }
    }
}

/// Returns the name of this machine.
#[must_use]
pub fn machine() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { NO_NAME.to_owned() } else { name }
}

/// A failure after which another try makes sense.
fn later(seen: impl Into<String>, todo: impl Into<String>) -> Failure {
    Failure { trouble: Trouble::new(seen, todo), lasting: Lasting::ForNow }
}

/// A failure that another try does not change.
fn refused(seen: impl Into<String>, todo: impl Into<String>) -> Failure {
    Failure { trouble: Trouble::new(seen, todo), lasting: Lasting::ForGood }
}

impl From<Trouble> for Failure {
    /// What is wrong with a file: somebody can mend it.
    fn from(trouble: Trouble) -> Self {
        Self { trouble, lasting: Lasting::ForNow }
    }
}

/// Reads the certificates of a file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let file = path.display();
    let todo =
        || format!("write the certificates (PEM) of the authority into {file}, which all may read");
    let bytes = read_bytes(path, LARGEST).map_err(|error| {
        Trouble::new(format!("cannot read the certificates in {file}: {error}"), todo())
    })?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let read = read.ok().filter(|read| !read.is_empty());
    read.ok_or_else(|| Trouble::new(format!("{file} does not hold certificates (PEM)"), todo()))
}

/// Returns an error and what it was caused by, as one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Whether an error is one of the certificates of TLS.
fn is_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut source = Some(error);
    while let Some(cause) = source {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let error = cause.downcast_ref::<rustls::Error>().or(inner);
        if matches!(error, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        source = cause.source();
    }
    false
}
