//! The pages of APIBAN (<https://apiban.org/doc.html>): each names the next one by a number, until there is none.

use std::io::Read as _;

use serde::Deserialize;
use ureq::http::Uri;

use super::draft::{Draft, Refusal};
use super::transfer::{Answer, Asker, Validators, refused};
use crate::model::trouble::Trouble;

/// Pages of a list; one has 250 addresses.
const MOST_PAGES: usize = 400;
/// Bytes of a page.
const LARGEST_PAGE: u64 = 1 << 20;
/// Digits of the number of a page.
const LONGEST_ID: usize = 20;

/// A page, or what is said in its place.
#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    ipaddress: Words,
    #[serde(rename = "ID")]
    id: String,
}

/// Addresses, or words such as `no new bans`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Words {
    Many(Vec<String>),
    One(String),
}

impl Default for Words {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Words {
    fn all(&self) -> &[String] {
        match self {
            Self::Many(all) => all,
            Self::One(one) => std::slice::from_ref(one),
        }
    }

    fn say(&self, words: &str) -> bool {
        self.all().iter().any(|one| one == words)
    }
}

/// Where a page leads.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Page(String),
    End,
}

/// Reads all pages.
///
/// # Errors
/// When one of them cannot be had: half of the list is none.
pub fn read(asker: &mut Asker<'_>, draft: &mut Draft, step: &dyn Fn(usize)) -> Result<(), Trouble> {
    let first = asker.url()?;
    let mut url = first.clone();
    let mut last = None;
    for page in 0..MOST_PAGES {
        step(page);
        let Answer::Content(status, _, mut body) =
            asker.ask(url.clone(), &Validators::default())?
        else {
            return Err(refused(&url, 304));
        };
        let mut text = Vec::new();
        let read = body.by_ref().take(LARGEST_PAGE).read_to_end(&mut text);
        read.map_err(|error| asker.unread(&url, &error))?;
        asker.used(&body);
        match page_of(&text, status, draft).map_err(|why| why.trouble(&url, status))? {
            Next::Page(id) if last.as_ref() != Some(&id) => {
                url = below(&first, &id).ok_or_else(|| refused(&first, status))?;
                last = Some(id);
            }
            Next::Page(_) | Next::End => return Ok(()),
        }
    }
    Err(Trouble::new(format!("more than {MOST_PAGES} pages"), "see url of this feed"))
}

/// The reason why a page is none.
#[derive(Debug, PartialEq, Eq)]
enum NoPage {
    Unauthorized,
    TooOften,
    Status,
    Nonsense,
    Refused(Refusal),
}

impl NoPage {
    fn trouble(self, url: &Uri, status: u16) -> Trouble {
        match self {
            Self::Unauthorized => refused(url, 401),
            Self::TooOften => refused(url, 429),
            Self::Status => refused(url, status),
            Self::Nonsense => {
                Trouble::new("the answer is no page of APIBAN", "see url and format of this feed")
            }
            Self::Refused(why) => super::not_taken(&why),
        }
    }
}

/// Adds a page to the draft, and returns where it leads.
fn page_of(text: &[u8], status: u16, draft: &mut Draft) -> Result<Next, NoPage> {
    let is_fine = status == 200;
    // The end of the list, and errors, come with status 400.
    let Ok(page) = serde_json::from_slice::<Page>(text) else {
        return Err(if is_fine { NoPage::Nonsense } else { NoPage::Status });
    };
    let words = &page.ipaddress;
    if page.id == "unauthorized" || words.say("unauthorized") {
        return Err(NoPage::Unauthorized);
    }
    if words.say("rate limit exceeded") {
        return Err(NoPage::TooOften);
    }
    if page.id == "none" && (is_fine || words.say("no new bans")) {
        return Ok(Next::End);
    }
    if !is_fine {
        return Err(NoPage::Status);
    }
    let is_id = (1..=LONGEST_ID).contains(&page.id.len())
        && page.id.bytes().all(|byte| byte.is_ascii_digit());
    if !is_id {
        return Err(NoPage::Nonsense);
    }
    for address in words.all() {
        draft.add(address.as_bytes()).map_err(NoPage::Refused)?;
    }
    Ok(Next::Page(page.id))
}

/// Returns the address of a page below the first one.
fn below(first: &Uri, id: &str) -> Option<Uri> {
    let mut parts = first.clone().into_parts();
    let query = first.query().map_or(String::new(), |query| format!("?{query}"));
    let path = format!("{}/{id}{query}", first.path().trim_end_matches('/'));
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lead_to_the_next_until_there_is_none() {
        let read = |text: &str, status| {
            let mut draft = Draft::default();
            let next = page_of(text.as_bytes(), status, &mut draft);
            (next, draft.finish(None).map_or(0, |list| list.networks.len()))
        };
        let page = Next::Page("1606412345".to_owned());
        let some = r#"{"ipaddress":["198.51.100.1","198.51.100.2"],"ID":"1606412345"}"#;
        assert_eq!(read(some, 200), (Ok(page), 2));
        let end = r#"{"ipaddress":["no new bans"],"ID":"none"}"#;
        assert_eq!((read(end, 200), read(end, 400)), ((Ok(Next::End), 0), (Ok(Next::End), 0)));
        for (text, status, why) in [
            (r#"{"ipaddress":["unauthorized"],"ID":"unauthorized"}"#, 400, NoPage::Unauthorized),
            (r#"{"ipaddress":"rate limit exceeded","ID":"none"}"#, 400, NoPage::TooOften),
            (r#"{"ipaddress":["198.51.100.1"],"ID":"../../admin"}"#, 200, NoPage::Nonsense),
            (r#"{"ipaddress":["198.51.100.1"],"ID":""}"#, 200, NoPage::Nonsense),
            (r#"{"ipaddress":["198.51.100.1"],"ID":7}"#, 200, NoPage::Nonsense),
            (r#"{"ipaddress":["198.51.100.1"],"ID":"none"}"#, 500, NoPage::Status),
            ("<html>", 200, NoPage::Nonsense),
            ("<html>", 502, NoPage::Status),
            ("", 200, NoPage::Nonsense),
        ] {
            assert_eq!(read(text, status), (Err(why), 0), "{text}");
        }
        let first: Uri = "https://apiban.org/api/k3y/banned".parse().unwrap();
        assert_eq!(
            below(&first, "12").unwrap().to_string(),
            "https://apiban.org/api/k3y/banned/12"
        );
    }
}
