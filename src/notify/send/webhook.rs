//! A request with JSON, over HTTPS.

use std::io::Read as _;

use ureq::http::Uri;

use super::{Failure, PATIENCE, later, refused};
use crate::config::notify::{Place, Preset, Webhook, webhook_url};
use crate::model::trouble::Trouble;
use crate::notify::batch::Batch;
use crate::notify::message::Message;
use crate::notify::payload::payload;
use crate::notify::words::plain;
use crate::sys::https::{
    agent, certificate_todo, chain, hide, host_and_port, is_about_certificate,
};
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
    let host = host_and_port(&url).to_owned();
    let request = payload(hook, batch, message, machine, url.path());
    let target = match &request.topic {
        Some(topic) => without_topic(&url, topic),
        None => url.clone(),
    };
    // The address is a secret, and what it leads to is somebody else's: no redirect is followed.
    let agent = agent(hook.cafile.as_deref(), PATIENCE)?;
    let mut post = agent.post(target).header("content-type", "application/json");
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

/// Returns the address above the topic of ntfy.
fn without_topic(url: &Uri, topic: &str) -> Uri {
    let path = url.path().trim_end_matches('/');
    let above = path.strip_suffix(topic).filter(|above| !above.is_empty()).unwrap_or("/");
    let mut parts = url.clone().into_parts();
    parts.path_and_query = above.parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| url.clone())
}

fn failed(hook: &Webhook, host: &str, url: &Uri, error: &ureq::Error) -> Failure {
    let why = hide(&chain(error), url);
    if is_about_certificate(error) {
        let todo = certificate_todo(hook.cafile.as_deref());
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
    fn a_topic_is_taken_off_the_path() {
        let above = |url: &str| without_topic(&url.parse().unwrap(), "alerts").to_string();
        assert_eq!(above("https://ntfy.sh/alerts"), "https://ntfy.sh/");
        assert_eq!(above("https://example.com/ntfy/alerts/"), "https://example.com/ntfy/");
    }
}
