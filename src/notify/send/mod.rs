//! Sends a message: by mail, by a webhook or by a command. Each takes a bounded time.

mod command;
mod mail;
mod webhook;
pub mod whois;

use std::time::Duration;

use super::batch::Batch;
use super::message::message;
use super::protocol::Letter;
use super::queue::{Failure, Lasting};
use crate::config::Notifier;
use crate::config::notify::Way;
use crate::model::trouble::Trouble;

/// The time that a server may take for each of its answers (mail), or for the whole request (webhook).
const PATIENCE: Duration = Duration::from_secs(30);
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
