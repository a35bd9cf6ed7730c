//! The sections `[feed.NAME]`: lists that others make, from a file, or fetched from the web.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;
use ureq::http::Uri;

use super::named_sections::{self, Kind, NamedSections, Notes};
use super::notify::webhook_url;
use super::toml_reader::{PathOf, TomlKey, TomlReader, TomlValue, name_of};
use crate::model::hostname::HostName;
use crate::model::time::HumanDuration;

/// The directory where fetched lists are kept if nothing else is said.
pub const FETCHED_DIR: &str = "/var/lib/asterguard-feeds";
/// The place of the key in an address.
pub const KEY_PLACE: &str = "{key}";

/// Feeds that there may be.
const MOST_FEEDS: usize = 256;
/// Bytes that an address or a path through JSON may have.
const LONGEST_TEXT: usize = 2048;
/// Hosts that a feed may lead to.
const MOST_HOSTS: usize = 16;
/// The bounds of `every`.
const SHORTEST: Duration = Duration::from_secs(5 * 60);
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// The value of `every` if none is written.
const USUAL: Duration = Duration::from_secs(3600);
/// The address of APIBAN (<https://apiban.org/doc.html>).
const APIBAN: &str = "https://apiban.org/api/{key}/banned";

/// The keys of all feeds, and of those that are fetched.
const COMMON: [&str; 3] = ["enabled", "path", "url"];
const FETCHED: [&str; 7] =
    ["every", "format", "jsonpath", "keyfile", "keyheader", "cafile", "redirecthosts"];

const PATH_HELP: &str = "write an absolute path, for example \"/var/lib/feed.list\"";
const URL_HELP: &str = "write where the list is: \"https://lists.example.com/drop.txt\"";
const JSON_HELP: &str =
    "write the keys that lead to the networks, with [] after each array: \"data[].ipAddress\"";
const HEADER_HELP: &str =
    "write the name of the header in which the service wants the key: \"Key\"";
const HOSTS_HELP: &str =
    "write the names of the hosts that the address may lead to: [\"cdn.example.com\"]";

const FORMATS: [(Format, &str); 3] =
    [(Format::Plain, "plain"), (Format::Apiban, "apiban"), (Format::Json, "json")];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Plain,
    Apiban,
    Json,
}

/// A list that somebody else makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFile {
    /// Its name here.
    pub name: String,
    /// Its place.
    pub path: PathBuf,
    /// How it gets there; `None`: by whatever the administrator uses.
    pub fetch: Option<Fetch>,
}

/// How a list is fetched.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The address, with [`KEY_PLACE`] where the key goes.
    pub url: String,
    /// The time from one try to the next.
    pub every: Duration,
    /// The form of the answer.
    pub content: Content,
    /// The file with the key, and where the key goes.
    pub key: Option<(PathBuf, KeyUse)>,
    /// The certificates (PEM) of authorities that are believed; `None`: those of the system.
    pub cafile: Option<PathBuf>,
    /// The other hosts that the address may lead to.
    pub redirecthosts: Vec<String>,
}

/// Without the address: people write secrets into it.
impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetch").field("content", &self.content).finish_non_exhaustive()
    }
}

/// The form of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One network a line.
    Plain,
    /// Pages of APIBAN.
    Apiban,
    /// JSON, with the way to the networks in it.
    Json(Vec<Step>),
}

/// A step on the way through JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To what stands behind this key.
    Key(String),
    /// To each item of an array.
    Items,
}

/// The place of a key in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// In the address.
    Url,
    /// In the header `Authorization`, as `Bearer`.
    Bearer,
    /// In a header of this name.
    Header(String),
}

impl Fetch {
    /// Returns the values, as TOML, with their keys. What may be secret in the address is left out.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let path = |path: &Path| text(&path.to_string_lossy());
        let (format, steps) = match &self.content {
            Content::Plain => (Format::Plain, None),
            Content::Apiban => (Format::Apiban, None),
            Content::Json(steps) => (Format::Json, Some(written(steps))),
        };
        let shown = match self.url.split_once('?') {
            Some((before, _)) => format!("{before}?***"),
            None => self.url.clone(),
        };
        let every = HumanDuration(self.every).to_string();
        let mut all = vec![
            ("url", text(&shown)),
            ("every", text(&every)),
            ("format", text(name_of(&format, &FORMATS))),
        ];
        all.extend(steps.map(|steps| ("jsonpath", text(&steps))));
        if let Some((file, used)) = &self.key {
            all.push(("keyfile", path(file)));
            if let KeyUse::Header(name) = used {
                all.push(("keyheader", text(name)));
            }
        }
        all.extend(self.cafile.as_deref().map(|file| ("cafile", path(file))));
        if !self.redirecthosts.is_empty() {
            let hosts: Vec<_> = self.redirecthosts.iter().map(|host| text(host)).collect();
            all.push(("redirecthosts", format!("[{}]", hosts.join(", "))));
        }
        all
    }
}

/// Reads the way through JSON: keys with `.` between them, and `[]` for each item of an array.
fn steps(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for (place, part) in text.split('.').enumerate() {
        let arrays = part.len() - part.trim_end_matches("[]").len();
        let key = part.get(..part.len() - arrays)?;
        // Only an array as a whole has no key before it.
        if key.contains(['[', ']']) || (key.is_empty() && (place > 0 || arrays == 0)) {
            return None;
        }
        steps.extend((!key.is_empty()).then(|| Step::Key(key.to_owned())));
        steps.extend(std::iter::repeat_n(Step::Items, arrays / 2));
    }
    Some(steps)
}

/// Returns the way as it is written.
fn written(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Items => text.push_str("[]"),
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
        }
    }
    text
}

/// Returns the address of a request, with the key in its place.
///
/// # Errors
/// Returns what is wrong with it, without the address.
pub fn address(url: &str, key: Option<&str>) -> Result<Uri, &'static str> {
    let address = webhook_url(&url.replace(KEY_PLACE, key.unwrap_or("key")))?;
    let has_user = address.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if has_user { Err("a name or password may not stand in this address") } else { Ok(address) }
}

/// The sections, merged so far.
#[derive(Default)]
pub(super) struct FeedSections(NamedSections<Values>);

#[derive(Default)]
struct Values {
    enabled: Option<bool>,
    path: Option<PathBuf>,
    url: Option<String>,
    every: Option<Duration>,
    format: Option<Format>,
    jsonpath: Option<Vec<Step>>,
    keyfile: Option<PathBuf>,
    keyheader: Option<String>,
    cafile: Option<PathBuf>,
    redirecthosts: Option<Vec<String>>,
}

impl FeedSections {
    /// Merges in what the file of this number says.
    pub fn merge(&mut self, reader: &mut TomlReader, file: usize, table: &DeTable) {
        if let Some(value) = table.get("feed") {
            self.0.merge(reader, file, value);
        }
    }

    /// Returns the feeds that are wanted, by name; what is missing or does not fit together is noted.
    pub fn finish(self, readers: &mut [TomlReader]) -> Vec<ListFile> {
        self.0.finish(readers, Values::list)
    }
}

impl named_sections::Values for Values {
    const KIND: Kind = Kind {
        plural: "feeds",
        most: MOST_FEEDS,
        with_more: "join lists that come from the same place",
        help: "write [feed.NAME], and its keys below it",
    };

    fn enabled(&self) -> Option<bool> {
        self.enabled
    }

    fn merge(&mut self, reader: &mut TomlReader, key: &TomlKey, value: &TomlValue) {
        match key.get_ref().as_ref() {
            "enabled" => self.enabled = reader.boolean(value).or(self.enabled),
            "path" => self.path = file(reader, value).or(self.path.take()),
            "url" => self.url = url(reader, value).or(self.url.take()),
            "every" => self.every = every(reader, value).or(self.every),
            "format" => self.format = reader.choice(value, "format", &FORMATS).or(self.format),
            "jsonpath" => self.jsonpath = json_path(reader, value).or(self.jsonpath.take()),
            "keyfile" => self.keyfile = file(reader, value).or(self.keyfile.take()),
            "keyheader" => self.keyheader = header(reader, value).or(self.keyheader.take()),
            "cafile" => self.cafile = file(reader, value).or(self.cafile.take()),
            "redirecthosts" => {
                self.redirecthosts = hosts(reader, value).or(self.redirecthosts.take());
            }
            "key" | "token" | "apikey" => {
                let help = "write it into a file of its own that others may not read, and here keyfile = \"/etc/asterguard/feed.key\"";
                reader.error(key.span(), "no secret may stand in this file", help);
            }
            _ => reader.unknown_key(key, &[&COMMON[..], &FETCHED].concat()),
        }
    }
}

impl Values {
    fn list(self, notes: &mut Notes<'_>) -> Option<ListFile> {
        let name = notes.name.to_owned();
        if notes.is_written("url") || self.format == Some(Format::Apiban) {
            let place = Path::new(FETCHED_DIR).join(format!("{name}.list"));
            let path = self.path.clone().unwrap_or(place);
            return Some(ListFile { name, path, fetch: Some(self.fetch(notes)?) });
        }
        for key in FETCHED {
            if notes.is_written(key) {
                notes.note(key, &format!("{key} is only for a feed with a url"), URL_HELP);
            }
        }
        if !notes.are_there() && !notes.is_written("path") {
            let help = "write path = \"/var/lib/feed.list\", or url = \"https://lists.example.com/drop.txt\" to have it fetched";
            notes.note("", &format!("feed {name:?} has no path and no url"), help);
        }
        Some(ListFile { name, path: self.path?, fetch: None })
    }

    fn fetch(self, notes: &mut Notes<'_>) -> Option<Fetch> {
        let format = self.format.unwrap_or(Format::Plain);
        let usual = (format == Format::Apiban && !notes.is_written("url")).then_some(APIBAN);
        let url = self.url.or(usual.map(str::to_owned))?;
        let in_url = url.contains(KEY_PLACE);
        if in_url && !notes.is_written("keyfile") {
            let help = "write the file that holds nothing but the key: keyfile = \"/etc/asterguard/feed.key\"";
            let key = if usual.is_some() { "format" } else { "url" };
            notes.note(key, "this needs a key, and there is no keyfile", help);
        }
        if notes.is_written("keyheader") && (in_url || !notes.is_written("keyfile")) {
            let help = "write keyfile beside it, and no {key} in the address";
            notes.note("keyheader", "there is no key for this header", help);
        }
        match (format, notes.is_written("jsonpath")) {
            (Format::Json, false) => {
                notes.note("format", "format = \"json\" needs a jsonpath", JSON_HELP);
            }
            (Format::Plain | Format::Apiban, true) => {
                let help = "write format = \"json\", or leave it out";
                notes.note("jsonpath", "only format = \"json\" has a jsonpath", help);
            }
            _ => {}
        }
        let used = match self.keyheader {
            _ if in_url => KeyUse::Url,
            Some(name) => KeyUse::Header(name),
            None => KeyUse::Bearer,
        };
        let content = match format {
            Format::Plain => Content::Plain,
            Format::Apiban => Content::Apiban,
            Format::Json => Content::Json(self.jsonpath?),
        };
        Some(Fetch {
            url,
            every: self.every.unwrap_or(USUAL),
            content,
            key: self.keyfile.map(|file| (file, used)),
            cafile: self.cafile,
            redirecthosts: self.redirecthosts.unwrap_or_default(),
        })
    }
}

fn file(reader: &mut TomlReader, value: &TomlValue) -> Option<PathBuf> {
    let text = reader.text(value, PATH_HELP)?;
    reader.absolute_path(text, &value.span(), PathOf::File, PATH_HELP).map(Path::to_owned)
}

fn url(reader: &mut TomlReader, value: &TomlValue) -> Option<String> {
    let text = reader.text(value, URL_HELP)?;
    let read = address(text, None);
    let wrong = match &read {
        Ok(_) if text.len() > LONGEST_TEXT => Some("this address (URL) is too long"),
        Ok(_) if host_of(text).contains(KEY_PLACE) => {
            Some("a key cannot stand in the name of a host: others would see it")
        }
        Ok(_) => None,
        Err(wrong) => Some(*wrong),
    };
    if let Some(wrong) = wrong {
        let help = format_args!(
            "{URL_HELP}; a key goes into a file (keyfile), and {{key}} stands for it here"
        );
        reader.error(value.span(), wrong, help);
    }
    wrong.is_none().then(|| text.to_owned())
}

/// Returns what stands in the place of the host in an address.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn every(reader: &mut TomlReader, value: &TomlValue) -> Option<Duration> {
    let length = reader.duration(value)?;
    let is_right = (SHORTEST..=LONGEST).contains(&length);
    if !is_right {
        let help = "write how often the list is fetched: between \"5m\" and \"30d\"";
        reader.error(
            value.span(),
            "lists are fetched every five minutes at most, and every month at least",
            help,
        );
    }
    is_right.then_some(length)
}

fn json_path(reader: &mut TomlReader, value: &TomlValue) -> Option<Vec<Step>> {
    let text = reader.text(value, JSON_HELP)?;
    let read = steps(text).filter(|_| text.len() <= LONGEST_TEXT);
    if read.is_none() {
        reader.error(value.span(), format_args!("{text:?} is no way through JSON"), JSON_HELP);
    }
    read
}

fn header(reader: &mut TomlReader, value: &TomlValue) -> Option<String> {
    let text = reader.text(value, HEADER_HELP)?;
    let is_right = ureq::http::HeaderName::from_bytes(text.as_bytes()).is_ok();
    if !is_right {
        reader.error(value.span(), format_args!("{text:?} is no name of a header"), HEADER_HELP);
    }
    is_right.then(|| text.to_owned())
}

fn hosts(reader: &mut TomlReader, value: &TomlValue) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for (text, span) in reader.some_texts(value, HOSTS_HELP) {
        let is_host = text.parse::<HostName>().is_ok();
        if is_host && all.len() < MOST_HOSTS {
            all.push(text.to_ascii_lowercase());
        } else {
            let message = if is_host {
                "too many hosts".to_owned()
            } else {
                format!("{text:?} is not the name of a host")
            };
            reader.error(span, message, HOSTS_HELP);
        }
    }
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn way_through_json_is_keys_and_arrays() {
        let key = |key: &str| Step::Key(key.to_owned());
        for (text, expected) in [
            ("cidr", vec![key("cidr")]),
            ("data[].ipAddress", vec![key("data"), Step::Items, key("ipAddress")]),
            ("[]", vec![Step::Items]),
            ("[].net", vec![Step::Items, key("net")]),
            ("a.b-c.d[][]", vec![key("a"), key("b-c"), key("d"), Step::Items, Step::Items]),
        ] {
            let read = steps(text).unwrap();
            assert_eq!(read, expected, "{text}");
            assert_eq!(written(&read), text);
        }
        for text in ["", ".", "a.", ".a", "a..b", "a[", "a[0]", "[]a", "a.[]", "a]", "$.a[*]"] {
            assert_eq!(steps(text), None, "{text:?}");
        }
    }

    #[test]
    fn keys_go_into_addresses_of_https_only() {
        let url = address("https://lists.example.com/api/{key}/banned", Some("k3y")).unwrap();
        assert_eq!(url.to_string(), "https://lists.example.com/api/k3y/banned");
        assert!(address("http://127.0.0.1:8080/list", None).is_ok());
        for bad in [
            "http://lists.example.com/",
            "https://user:pw@lists.example.com/",
            "ftp://lists.example.com/",
            "file:///etc/passwd",
            "lists.example.com/list",
            "https:///list",
            "https://a b/",
        ] {
            assert!(address(bad, None).is_err(), "{bad}");
        }
    }
}
