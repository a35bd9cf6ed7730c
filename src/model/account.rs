//! The accounts that lines name, as far as they matter: two names are the same, or they are not.

use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::num::NonZeroU64;

use foldhash::quality::FixedState;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

/// The longest name that is taken from a line.
const LONGEST_NAME: usize = 64;

/// The longest name that can be shown whole.
const SHOWN: usize = 8;

/// An account. Two are the same if the hashes of their names are; the beginning of the name, which is text
/// from outside, is only shown. (The hash is the same for all logs and after a reload. An attacker that finds
/// two names with the same hash gains nothing: it would have to log in with the one and ask for the other.)
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(from = "NonZeroU64", into = "NonZeroU64")]
pub struct Account {
    hash: NonZeroU64,
    /// The first bytes of the name, zeros behind them; only zeros if it was restored by its hash.
    name: [u8; SHOWN],
}

impl Account {
    /// Returns the account of this name; `None` if the name holds other bytes than ASCII letters, digits
    /// and `_.+-`, or is longer than 64 bytes.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.iter().copied().all(is_plain) {
            return None;
        }
        let mut hasher = FixedState::default().build_hasher();
        hasher.write(name);
        let hash = NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN);
        let mut shown = [0; SHOWN];
        shown.iter_mut().zip(name).for_each(|(place, byte)| *place = *byte);
        // One that is longer ends with a sign that no name has.
        if let (true, Some(last)) = (name.len() > SHOWN, shown.last_mut()) {
            *last = b'*';
        }
        Some(Self { hash, name: shown })
    }

    /// Returns the beginning of the name, a colon, and 16 hexadecimal digits that only this account has.
    #[must_use]
    pub fn to_stored(self) -> String {
        format!("{self}:{:016x}", self.hash)
    }

    /// Returns the account of which [`Account::to_stored`] returned this.
    #[must_use]
    pub fn from_stored(stored: &str) -> Option<Self> {
        let (shown, number) = stored.rsplit_once(':')?;
        let hash = NonZeroU64::new(u64::from_str_radix(number, 16).ok()?)?;
        Some(Self::restored(hash, shown))
    }

    /// Returns the account of this hash, whose name is shown in this way.
    #[must_use]
    pub fn restored(hash: NonZeroU64, shown: &str) -> Self {
        let mut name = [0; SHOWN];
        let plain = shown.bytes().filter(|byte| is_plain(*byte) || *byte == b'*');
        name.iter_mut().zip(plain).for_each(|(place, byte)| *place = byte);
        Self { hash, name }
    }

    /// Returns the account of the same name at this service, which is another one.
    #[must_use]
    pub fn at_service(self, service: &str) -> Self {
        let mut hasher = FixedState::default().build_hasher();
        hasher.write(service.as_bytes());
        hasher.write_u64(self.hash.get());
        Self { hash: NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN), ..self }
    }

    /// Returns a number that two accounts have in common only by chance, never 0.
    #[must_use]
    pub fn number(self) -> u32 {
        let [a, b, c, d, ..] = self.hash.get().to_le_bytes();
        u32::from_le_bytes([a, b, c, d]).max(1)
    }
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Account {}

impl Hash for Account {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl From<NonZeroU64> for Account {
    fn from(hash: NonZeroU64) -> Self {
        Self { hash, name: [0; SHOWN] }
    }
}

impl From<Account> for NonZeroU64 {
    fn from(account: Account) -> Self {
        account.hash
    }
}

/// The name, or its first 7 characters and `*`; `?` if only its hash is known.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.name.iter().take_while(|byte| **byte != 0);
        let text: String = shown.map(|byte| char::from(*byte)).collect();
        f.write_str(if text.is_empty() { "?" } else { &text })
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether names of accounts may contain this byte: none that a log may print in two ways, and
/// none that can follow a name.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte)
}

/// The place in a rule's messages where they name the account.
#[derive(Clone, Debug)]
pub struct AccountPlace {
    /// The text right before the name, at its first occurrence in the message.
    before: Finder<'static>,
    /// Messages longer than this name no account.
    longest: usize,
    /// Whether messages that have the text before it twice name no account: its sender chose what stands there.
    once: bool,
    /// The text right behind the name; `None`: what ends a name in an event, and in a SIP address.
    until: Option<Vec<u8>>,
}

impl AccountPlace {
    /// Right behind the first `before`, in messages of at most `longest` bytes; if `once`, in those that have it once.
    #[must_use]
    pub fn new(before: &str, longest: usize, once: bool) -> Self {
        Self { before: Finder::new(before).into_owned(), longest, once, until: None }
    }

    /// Takes the name only if this text follows it.
    #[must_use]
    pub fn until(self, text: Option<&str>) -> Self {
        Self { until: text.map(|text| text.as_bytes().to_vec()), ..self }
    }

    /// Returns the account that `body` names. A message with a byte that is no printable ASCII
    /// names none: with such bytes a sender keeps a message out of some logs, or changes how others
    /// print it, so that what two logs tell of one attempt no longer agrees.
    #[must_use]
    pub fn read(&self, body: &[u8]) -> Option<Account> {
        // Not `all`: what need not stop at the first is done for many bytes at the same time.
        let printable =
            |body: &[u8]| body.iter().fold(true, |is, b| is & (b' '..=b'~').contains(b));
        if body.len() > self.longest || !printable(body) {
            return None;
        }
        let name = body.get(self.before.find(body)? + self.before.needle().len()..)?;
        if self.once && self.before.find(name).is_some() {
            return None;
        }
        let end = name.iter().position(|byte| !is_plain(*byte))?;
        let is_end = match &self.until {
            Some(text) => name.get(end..)?.starts_with(text),
            None => matches!(name.get(end)?, b'"' | b'@'),
        };
        is_end.then(|| Account::named(name.get(..end)?))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_far_as_there_is_room() {
        for (name, shown) in [("1001", "1001"), ("01234567", "01234567"), ("012345678", "0123456*")]
        {
            let account = Account::named(name.as_bytes()).unwrap();
            assert_eq!(account.to_string(), shown);
            let stored = serde_json::to_string(&account).unwrap();
            let restored: Account = serde_json::from_str(&stored).unwrap();
            assert_eq!((restored, restored.to_string().as_str()), (account, "?"));
            let restored = Account::restored(account.into(), shown);
            assert_eq!((restored, restored.to_string().as_str()), (account, shown));
            let restored = Account::from_stored(&account.to_stored()).unwrap();
            assert_eq!((restored, restored.to_string().as_str()), (account, shown));
        }
    }

    #[test]
    fn what_was_not_stored_by_us_is_no_account() {
        for stored in ["", "1001", "1001:", "1001:0", "1001:x", "1001:1ffffffffffffffff"] {
            assert_eq!(Account::from_stored(stored), None, "{stored}");
        }
        assert_eq!(Account::from_stored("\u{1b}[31m:1").unwrap().to_string(), "31m");
    }

    #[test]
    fn a_text_that_stands_there_twice_tells_of_nobody() {
        let place = AccountPlace::new("<sip:", 200, true);
        let read = |body: &str| place.read(body.as_bytes());
        assert_eq!(read("from '\"100\" <sip:100@x>' failed"), Account::named(b"100"));
        assert_eq!(read("from '\"<sip:200@x>\" <sip:100@x>' failed"), None);
        let place = AccountPlace::new(" for ", 200, false).until(Some(" from "));
        let read = |body: &str| place.read(body.as_bytes());
        let root = Account::named(b"root").unwrap();
        assert_eq!(read("Failed password for root from 203.0.113.9"), Some(root));
        assert_eq!(read("Failed password for root fr"), None);
        assert_eq!(read("Failed password for a b from 203.0.113.9"), None);
        assert_ne!(root.at_service("ssh"), root);
        assert_ne!(root.at_service("ssh"), root.at_service("web"));
    }

    #[test]
    fn account_is_read_after_its_key() {
        let place = AccountPlace::new("AccountID=\"", 40, false);
        let read = |body: &str| place.read(body.as_bytes());
        let account = Account::named(b"1000");
        assert!(account.is_some() && account != Account::named(b"1001"));
        assert_eq!(read("AccountID=\"1000\",X"), account);
        assert_eq!(read("Y,AccountID=\"1000\",AccountID=\"1001\""), account, "the first counts");
        for nobody in [
            "AccountID=\"<unknown>\"",
            "AccountID=\"\"",
            "AccountID=\"1000",
            "AccountID=\"1000 \"",
            "AccountID=\"1000:x\"",
            "AccountID=\"10%300\"",
            "AccountID=\"1000\",\x1b",
            "AccountID=\"1000\",\u{ff}",
            "AccountID=\"1000\", which is said in too many words",
            "ID=\"1000\"",
        ] {
            assert_eq!(read(nobody), None, "{nobody}");
        }
        assert_eq!(AccountPlace::new("<sip:", 99, false).read(b"<sip:1000@192.0.2.1>"), account);
        assert_eq!(Account::named(&[b'a'; LONGEST_NAME + 1]), None);
    }
}
