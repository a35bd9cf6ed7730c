//! A request with JSON, over HTTPS.

use std::io::Read as _;
use std::sync::Arc;

use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use super::{Failure, PATIENCE, certificates, chain, is_certificate, later, refused};
use crate::config::notify::{Place, Preset, Webhook, webhook_url};
use crate::model::trouble::Trouble;
use crate::notify::batch::Batch;
use crate::notify::message::Message;
use crate::notify::payload::payload;
use crate::notify::words::plain;
use crate::sys::secret_file;

/// Bytes of an answer that are read.
const LONGEST_ANSWER: u64 = 4096;
/// Characters of it that are shown.
const SHOWN: usize = 150;

/// Sends a request.
pub(super) fn send(
    hook: &Webhook,
    batch: &Batch,
    message: &Message,
    machine: &str,
) -> Result<String, Failure> {
    let url = url(hook)?;
    let host = url.authority().map_or("", |authority| host_of(authority.as_str())).to_owned();
    let request = payload(hook, batch, message, machine, url.path());
    let target = match &request.topic {
        Some(topic) => without_topic(&url, topic),
        None => url.clone(),
    };
    let mut post = agent(hook)?.post(target).header("content-type", "application/json");
    if let Some(file) = &hook.tokenfile {
        let token = secret_file::read_line(file)?;
        post = match hook.preset {
            Preset::Gotify => post.header("x-gotify-key", token),
            _ => post.header("authorization", format!("Bearer {token}")),
        };
    }
    let sent = post.send(&request.body[..]);
    let mut answer = sent.map_err(|error| failed(hook, &host, &url, &error))?;
    let status = answer.status();
    let mut said = Vec::new();
    // What it says is for people: half of it is better than nothing.
    let _ = answer.body_mut().as_reader().take(LONGEST_ANSWER).read_to_end(&mut said);
    let said = hide(&plain(String::from_utf8_lossy(&said).trim(), SHOWN), &url);
    let words = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
    match status.as_u16() {
        200..=299 => Ok(format!("{host} has taken the request: {status}")),
        300..=399 => Err(later(
            format!("{host} leads elsewhere ({words}), and that is not followed"),
            "write the address where it leads into url or urlfile",
        )),
        401 | 403 | 404 | 405 | 410 => Err(later(
            format!("{host} does not let us in: {words}"),
            "see url, urlfile and tokenfile of this notifier",
        )),
        408 | 425 | 429 | 500..=599 => Err(later(
            format!("{host} cannot take it now: {words}"),
            "it is tried again; see whether the service is well",
        )),
        _ => Err(refused(
            format!("{host} does not take the message: {words}"),
            "see preset of this notifier",
        )),
    }
}

fn url(hook: &Webhook) -> Result<Uri, Failure> {
    let (text, todo) = match &hook.url {
        Place::Written(url) => (url.clone(), "correct url of this notifier".to_owned()),
        Place::File(file) => {
            (secret_file::read_line(file)?, format!("write the address into {}", file.display()))
        }
    };
    webhook_url(text.trim()).map_err(|wrong| Trouble::new(wrong, todo).into())
}

/// Returns the host and port of an authority, without the user before it.
fn host_of(authority: &str) -> &str {
    authority.rsplit('@').next().unwrap_or_default()
}

/// Returns the address above the topic of ntfy.
fn without_topic(url: &Uri, topic: &str) -> Uri {
    let path = url.path().trim_end_matches('/');
    let above = path.strip_suffix(topic).filter(|above| !above.is_empty()).unwrap_or("/");
    let mut parts = url.clone().into_parts();
    parts.path_and_query = above.parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| url.clone())
}

fn agent(hook: &Webhook) -> Result<Agent, Failure> {
    let authorities = match &hook.cafile {
        Some(file) => certificates(file)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let authorities = authorities.iter().map(|one| Certificate::from_der(one.as_ref()).to_owned());
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::from(authorities.collect::<Vec<_>>()))
        .build();
    let agent = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        // The address is a secret, and what it leads to is somebody else's.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("asterguard/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(agent.new_agent())
}

/// Takes the address, and its longer parts, out of a text.
fn hide(text: &str, url: &Uri) -> String {
    const SECRET: usize = 6;
    let parts = url.path().split('/').chain(url.query());
    let mut text = text.replace(&url.to_string(), "***");
    for part in parts.filter(|part| part.len() >= SECRET) {
        text = text.replace(part, "***");
    }
    text
}

fn failed(hook: &Webhook, host: &str, url: &Uri, error: &ureq::Error) -> Failure {
    let why = hide(&chain(error), url);
    // It does not name what it is caused by.
    let is_about_certificate = match error {
        ureq::Error::Io(error) => is_certificate(error),
        ureq::Error::Rustls(error) => is_certificate(error),
        error => is_certificate(error),
    };
    if is_about_certificate {
        let todo = hook.cafile.as_deref().map_or_else(
            || "let the service have a certificate that the system knows, or name its authority: cafile = \"/path\"".to_owned(),
            |file| format!("see that the certificate of the service is signed by one in {}, and names it", file.display()),
        );
        return later(format!("the certificate of {host} is not believed: {why}"), todo);
    }
    later(
        format!("no request to {host}: {why}"),
        "see that the service is reachable from this machine",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_not_told() {
        let url: Uri =
            "https://user:pw@hooks.example.com/T00/s3cretpart?token=abcdef".parse().unwrap();
        assert_eq!(host_of(url.authority().unwrap().as_str()), "hooks.example.com");
        let text = hide(&format!("{url} s3cretpart token=abcdef T00"), &url);
        assert_eq!(text, "*** *** *** T00");
    }

    #[test]
    fn a_topic_is_taken_off_the_path() {
        let above = |url: &str| without_topic(&url.parse().unwrap(), "alerts").to_string();
        assert_eq!(above("https://ntfy.sh/alerts"), "https://ntfy.sh/");
        assert_eq!(above("https://example.com/ntfy/alerts/"), "https://example.com/ntfy/");
    }
}
