//! A mail, by SMTP: with text and HTML.

use std::hash::{BuildHasher as _, RandomState};

use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message as Mime, SmtpTransport, Transport as _};

use super::{Failure, PATIENCE, later, refused};
use crate::config::notify::{Mail, Security};
use crate::model::hostname::HostName;
use crate::notify::message::Message;
use crate::notify::protocol::Letter;
use crate::notify::words::plain;
use crate::sys::https::{certificates, chain, is_certificate};
use crate::sys::secret_file;

/// Says to programs that no person wrote this (RFC 3834), so that none answers.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Characters of a subject that somebody else has made.
const LONGEST_SUBJECT: usize = 300;

/// Sends a message as a mail.
pub(super) fn send(mail: &Mail, message: &Message, machine: &str) -> Result<String, Failure> {
    deliver(mail, &words(message), machine)
}

/// Returns a message as a letter.
fn words(message: &Message) -> Letter {
    let text = message.lines().join("\n") + "\n";
    Letter { subject: message.subject.clone(), text, html: message.html() }
}

/// Sends a mail.
pub(super) fn deliver(mail: &Mail, letter: &Letter, machine: &str) -> Result<String, Failure> {
    let letter = formed(mail, letter, machine)?;
    let transport = transport(mail, machine)?;
    let address = format!("{}:{}", mail.server, mail.port());
    let answer = transport.send(&letter).map_err(|error| failure(mail, &address, &error))?;
    let said: Vec<_> = answer.message().collect();
    Ok(format!("{address} has taken the mail: {} {}", answer.code(), said.join(" ")))
}

/// Returns the name of this machine as a part of an address.
fn domain(machine: &str) -> &str {
    if machine.parse::<HostName>().is_ok() { machine } else { "localhost" }
}

fn formed(mail: &Mail, letter: &Letter, machine: &str) -> Result<Mime, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        refused(format!("the mail cannot be written: {error}"), "asterguard check")
    };
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| wrong(&error));
    let domain = domain(machine);
    let from = match &mail.from {
        Some(from) => mailbox(from)?,
        None => mailbox(&format!("asterguard@{domain}"))?,
    };
    let id = (RandomState::new().hash_one(0), RandomState::new().hash_one(1));
    let mut builder = Mime::builder()
        .from(from)
        .subject(plain(&letter.subject, LONGEST_SUBJECT))
        .message_id(Some(format!("<{:016x}{:016x}@{domain}>", id.0, id.1)))
        .header(AutoSubmitted);
    for to in &mail.to {
        builder = builder.to(mailbox(to)?);
    }
    let text = letter.text.replace('\n', "\r\n");
    let parts = MultiPart::alternative_plain_html(text, letter.html.clone());
    builder.multipart(parts).map_err(|error| wrong(&error))
}

fn transport(mail: &Mail, machine: &str) -> Result<SmtpTransport, Failure> {
    let tls = match mail.security {
        Security::None => Tls::None,
        Security::StartTls => Tls::Required(tls(mail)?),
        Security::Tls => Tls::Wrapper(tls(mail)?),
    };
    let mut builder = SmtpTransport::builder_dangerous(&mail.server)
        .port(mail.port())
        .timeout(Some(PATIENCE))
        .hello_name(ClientId::Domain(domain(machine).to_owned()))
        .tls(tls);
    if let Some((user, file)) = &mail.login {
        let password = secret_file::read_line(file)?;
        builder = builder
            .credentials(Credentials::new(user.clone(), password))
            .authentication(vec![Mechanism::Plain, Mechanism::Login]);
    }
    Ok(builder.build())
}

fn tls(mail: &Mail) -> Result<TlsParameters, Failure> {
    let mut builder = TlsParameters::builder(mail.server.clone());
    if let Some(file) = &mail.cafile {
        builder = builder.certificate_store(CertificateStore::None);
        for certificate in certificates(file)? {
            let certificate = Certificate::from_der(certificate.to_vec());
            let certificate =
                certificate.map_err(|error| later(chain(&error), "asterguard check"))?;
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|error| later(format!("no TLS: {}", chain(&error)), "asterguard check"))
}

fn failure(mail: &Mail, address: &str, error: &lettre::transport::smtp::Error) -> Failure {
    let why = chain(error);
    if is_certificate(error) {
        let file = mail.cafile.as_deref().map_or_else(
            || "let the server have a certificate that the system knows, or name its authority: cafile = \"/path\"".to_owned(),
            |file| format!("see that the certificate of the server is signed by one in {}, and names it", file.display()),
        );
        return later(format!("the certificate of {address} is not believed: {why}"), file);
    }
    // Login refused, required or too weak (RFC 4954).
    let code = error.status().map(u16::from);
    if matches!(code, Some(530 | 534 | 535 | 538)) {
        let todo = "see user and passwordfile of this notifier";
        return later(format!("{address} refused the login: {why}"), todo);
    }
    if error.is_permanent() {
        let todo = "see from and to of this notifier, and the log of the mail server";
        return refused(format!("{address} refused the mail: {why}"), todo);
    }
    let todo = "see that the mail server runs, and server, port and security of this notifier";
    later(format!("no mail by {address}: {why}"), todo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::notify::Way;
    use crate::notify::batch::Batch;
    use crate::notify::message::message;
    use crate::notify::tests::{ban, notifier};

    #[test]
    fn headers_hold_nothing_but_themselves() {
        let Way::Mail(mail) = notifier("").way else { panic!() };
        let mut event = ban("192.0.2.7");
        event.jail = Some("x\r\nBcc: eve@example.com\r\n\r\nbody".to_owned());
        event.host = Some("\u{202e}evil\u{0}".to_owned());
        let message = message(&Batch::of(event), "pbx1\r\nX: y");
        let mut words = words(&message);
        words.subject.push_str("\r\nBcc: eve@example.com");
        let letter = formed(&mail, &words, "pbx1\r\nX: y").unwrap().formatted();
        let letter = String::from_utf8(letter).unwrap();
        let (head, _) = letter.split_once("\r\n\r\n").unwrap();
        let names: Vec<_> = head
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']))
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name)
            .collect();
        let mut known = [
            "From",
            "Subject",
            "Message-ID",
            "Auto-Submitted",
            "To",
            "MIME-Version",
            "Date",
            "Content-Type",
        ];
        known.sort_unstable();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, known, "{head}");
        assert!(head.contains("Auto-Submitted: auto-generated") && head.is_ascii(), "{head}");
    }
}
