//! A request for a list, and its answer: no longer, no larger, and to no other host than is configured.

use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use ureq::http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderName, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, LOCATION, TRANSFER_ENCODING,
};
use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body};

use super::record::validator;
use crate::config::feeds::address;
use crate::config::{Fetch, KeyUse};
use crate::model::time::{HumanDuration, Time};
use crate::model::trouble::Trouble;
use crate::notify::words::plain;
use crate::sys::clock::monotonic_now;
use crate::sys::https::{
    agent, certificate_todo, chain, hide, host_and_port, is_about_certificate,
};
use crate::sys::secret_file;

/// Bytes of an answer, or of all pages of one list.
pub const LARGEST: u64 = 64 << 20;
/// Redirects that are followed.
const MOST_REDIRECTS: usize = 5;
/// Characters of the name of a host that are shown.
const LONGEST_NAME: usize = 100;

/// What the server said of the list that is there: it need not send it again.
#[derive(Clone, Debug, Default)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub modified: Option<String>,
}

impl Validators {
    /// Returns those of an answer.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| {
            let value = headers.get(name)?.to_str().ok()?;
            validator(value.to_owned())
        };
        Self { etag: text(ETAG), modified: text(LAST_MODIFIED) }
    }

    fn is_empty(&self) -> bool {
        self.etag.is_none() && self.modified.is_none()
    }
}

/// An answer.
pub enum Answer {
    /// The list is the one that is there.
    Unchanged,
    /// Another one, with its status.
    Content(u16, Validators, Bounded),
}

/// Asks for one list, in a bounded time.
pub struct Asker<'a> {
    fetch: &'a Fetch,
    agent: Agent,
    /// The key, which is never told.
    key: Option<String>,
    /// The end of the time for all requests together, by the monotonic clock.
    end: Time,
    patience: Duration,
    /// Bytes that all answers together may still have.
    left: u64,
}

impl<'a> Asker<'a> {
    /// Returns one that takes at most `patience` for all.
    ///
    /// # Errors
    /// When the key or the certificates cannot be read.
    pub fn new(fetch: &'a Fetch, patience: Duration) -> Result<Self, Trouble> {
        let key = fetch.key.as_ref().map(|(file, used)| key(file, used)).transpose()?;
        let agent = agent(fetch.cafile.as_deref(), patience)?;
        let end = monotonic_now().plus(patience);
        Ok(Self { fetch, agent, key, end, patience, left: LARGEST })
    }

    /// Returns the address, with the key in its place.
    ///
    /// # Errors
    /// When the two do not make one.
    pub fn url(&self) -> Result<Uri, Trouble> {
        let wrong = |wrong| Trouble::new(wrong, "correct url and keyfile of this feed");
        address(&self.fetch.url, self.key.as_deref()).map_err(wrong)
    }

    /// Returns the words for an error while an answer is read.
    #[must_use]
    pub fn unread(&self, url: &Uri, error: &io::Error) -> Trouble {
        let host = host(url);
        if let Some(ureq::Error::Timeout(_)) =
            error.get_ref().and_then(|inner| inner.downcast_ref())
        {
            return self.too_slow(&host);
        }
        let why = self.harmless(&chain(error), url);
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Trouble::new(
                format!("{host} did not send the whole list: {why}"),
                "nothing, if that does not last: it is tried again",
            ),
            _ => Trouble::new(
                format!("the list of {host} is not taken: {why}"),
                "see url and format of this feed",
            ),
        }
    }

    /// Asks for the list, and follows where that leads if it may.
    ///
    /// # Errors
    /// When there is no answer that can be used.
    pub fn ask(&self, mut url: Uri, known: &Validators) -> Result<Answer, Trouble> {
        let first = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.request(&url, &first, known)?;
            let status = answer.status().as_u16();
            match status {
                301 | 302 | 303 | 307 | 308 => url = self.next(&url, &first, answer.headers())?,
                304 if !known.is_empty() => return Ok(Answer::Unchanged),
                _ => return self.content(&url, answer),
            }
        }
        Err(Trouble::new(
            format!(
                "{} leads from one address to the next, more than {MOST_REDIRECTS} times",
                host(&first)
            ),
            "write the address where it ends into url",
        ))
    }

    fn request(
        &self,
        url: &Uri,
        first: &Uri,
        known: &Validators,
    ) -> Result<Response<Body>, Trouble> {
        let left = self.end.since(monotonic_now());
        if left.is_zero() {
            return Err(self.too_slow(&host(url)));
        }
        let mut get = self.agent.get(url).header("accept", "*/*");
        if let Some(etag) = &known.etag {
            get = get.header(IF_NONE_MATCH, etag);
        }
        if let Some(modified) = &known.modified {
            get = get.header(IF_MODIFIED_SINCE, modified);
        }
        // Another host has no business with the key.
        let is_first = host_and_port(url) == host_and_port(first);
        if let (Some(key), Some((_, used)), true) = (&self.key, &self.fetch.key, is_first) {
            get = match used {
                KeyUse::Url => get,
                KeyUse::Bearer => get.header(AUTHORIZATION, format!("Bearer {key}")),
                KeyUse::Header(name) => get.header(name.as_str(), key),
            };
        }
        let get = get.config().timeout_global(Some(left)).build();
        get.call().map_err(|error| self.failed(url, &error))
    }

    /// Returns where a redirect leads, if it may.
    fn next(&self, from: &Uri, first: &Uri, headers: &HeaderMap) -> Result<Uri, Trouble> {
        let name = host(from);
        let todo = "write the address where it leads into url, or its host into redirecthosts";
        let nowhere =
            || Trouble::new(format!("{name} leads elsewhere, and does not say where"), todo);
        let place =
            headers.get(LOCATION).and_then(|place| place.to_str().ok()).ok_or_else(nowhere)?;
        let next = resolved(from, place).ok_or_else(nowhere)?;
        let to = host(&next);
        // As an address in the configuration: nothing but https, but for this machine.
        let is_fine = address(&next.to_string(), None).is_ok()
            && (next.scheme_str() == Some("https") || first.scheme_str() == Some("http"));
        if !is_fine {
            return Err(Trouble::new(format!("{name} leads to {to}, and not by https"), todo));
        }
        let same = |one: Option<&str>, other: Option<&str>| {
            one.zip(other).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
        };
        let is_known = same(next.host(), first.host())
            || self.fetch.redirecthosts.iter().any(|host| same(next.host(), Some(host)));
        if !is_known {
            return Err(Trouble::new(format!("{name} leads to another host: {to}"), todo));
        }
        Ok(next)
    }

    fn content(&self, url: &Uri, answer: Response<Body>) -> Result<Answer, Trouble> {
        let name = host(url);
        let headers = answer.headers();
        let refused = |seen: String| Trouble::new(seen, "see url and format of this feed");
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        if text(CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(refused(format!("{name} sent a packed list, which was not asked for")));
        }
        let is_chunked =
            text(TRANSFER_ENCODING).is_some_and(|it| it.to_ascii_lowercase().contains("chunked"));
        let length = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        if !is_chunked && length.is_none() {
            return Err(refused(format!(
                "{name} does not say where its list ends, so half of it would look whole"
            )));
        }
        if length.is_some_and(|length| length > self.left) {
            return Err(refused(format!("{name} sent a list that is {}", too_large())));
        }
        let (status, known) = (answer.status().as_u16(), Validators::of(headers));
        let reader = Box::new(answer.into_body().into_reader());
        Ok(Answer::Content(status, known, Bounded { reader, left: self.left }))
    }

    /// Notes that so many bytes were read, of which there is an end for all answers together.
    pub fn used(&mut self, body: &Bounded) {
        self.left = body.left;
    }

    fn too_slow(&self, host: &str) -> Trouble {
        Trouble::new(
            format!("{host} did not send the list within {}", HumanDuration(self.patience)),
            "nothing, if that does not last: it is tried again",
        )
    }

    fn failed(&self, url: &Uri, error: &ureq::Error) -> Trouble {
        let host = host(url);
        let why = self.harmless(&chain(error), url);
        match error {
            ureq::Error::Timeout(_) => self.too_slow(&host),
            error if is_about_certificate(error) => Trouble::new(
                format!("the certificate of {host} is not believed: {why}"),
                certificate_todo(self.fetch.cafile.as_deref()),
            ),
            _ => Trouble::new(
                format!("no answer of {host}: {why}"),
                "see that this machine reaches it; it is tried again",
            ),
        }
    }

    /// Returns the words of an error without what is secret.
    fn harmless(&self, text: &str, url: &Uri) -> String {
        let text = hide(text, url);
        match &self.key {
            Some(key) => text.replace(key.as_str(), "***"),
            None => text,
        }
    }
}

/// Returns what is wrong with an answer of this status.
#[must_use]
pub fn refused(url: &Uri, status: u16) -> Trouble {
    let host = host(url);
    match status {
        401 | 403 => Trouble::new(
            format!("{host} does not let us in ({status})"),
            "see keyfile of this feed",
        ),
        404 | 410 => {
            Trouble::new(format!("{host} has no such list ({status})"), "correct url of this feed")
        }
        429 => Trouble::new(
            format!("{host} is asked too often ({status})"),
            "write a longer time into every",
        ),
        500..=599 => Trouble::new(
            format!("{host} cannot answer now ({status})"),
            "nothing, if that does not last: it is tried again",
        ),
        _ => Trouble::new(format!("{host} answered with status {status}"), "see url of this feed"),
    }
}

/// Reads the key of a feed.
fn key(file: &Path, used: &KeyUse) -> Result<String, Trouble> {
    let key = secret_file::read_line(file)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_fine = match used {
        KeyUse::Url => key.bytes().all(is_plain),
        KeyUse::Bearer | KeyUse::Header(_) => key.bytes().all(|byte| byte.is_ascii_graphic()),
    };
    if is_fine {
        Ok(key)
    } else {
        let file = file.display();
        Err(Trouble::new(
            format!(
                "{file} does not hold a key: there are other characters in it than letters, digits, - . _ and ~"
            ),
            format!("write the key, and nothing else, into {file}"),
        ))
    }
}

/// Returns the host of an address, for people.
fn host(url: &Uri) -> String {
    plain(host_and_port(url), LONGEST_NAME)
}

/// Returns where `place` leads from an address: to another address, or to a path on the same host.
fn resolved(from: &Uri, place: &str) -> Option<Uri> {
    let place = place.split('#').next().filter(|place| !place.is_empty())?;
    let scheme = from.scheme_str()?;
    if place.starts_with("//") {
        return format!("{scheme}:{place}").parse().ok();
    }
    let is_scheme = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if place.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme)) {
        return place.parse().ok();
    }
    let host = from.authority()?;
    let above = from.path().rsplit_once('/').map_or("", |(above, _)| above);
    let above = if place.starts_with('/') { "" } else { above };
    let between = if place.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{host}{above}{between}{place}").parse().ok()
}

fn too_large() -> String {
    format!("larger than {} MiB", LARGEST >> 20)
}

/// A body, up to a bound: more is an error, and so is an end before the server said that it is one.
pub struct Bounded {
    reader: Box<dyn Read>,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::new(io::ErrorKind::FileTooLarge, too_large())),
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_read_as_browsers_do() {
        let from: Uri = "https://lists.example.com/a/list?k=1".parse().unwrap();
        for (place, to) in [
            ("/b", Some("https://lists.example.com/b")),
            ("b?x=2", Some("https://lists.example.com/a/b?x=2")),
            ("https://cdn.example.com/c", Some("https://cdn.example.com/c")),
            ("//cdn.example.com/c", Some("https://cdn.example.com/c")),
            ("http://lists.example.com/", Some("http://lists.example.com/")),
            ("", None),
            ("https://", None),
            ("\u{1b}[2J", None),
        ] {
            let read = resolved(&from, place).map(|url| url.to_string());
            assert_eq!(read.as_deref(), to, "{place:?}");
        }
    }

    #[test]
    fn too_much_is_an_error() {
        let mut body = Bounded { reader: Box::new(&b"0123456789"[..]), left: 10 };
        assert_eq!(io::read_to_string(&mut body).unwrap(), "0123456789");
        let mut body = Bounded { reader: Box::new(&b"0123456789"[..]), left: 9 };
        assert_eq!(io::read_to_string(&mut body).unwrap_err().to_string(), "larger than 64 MiB");
    }
}
