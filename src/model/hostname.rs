//! A host's name, as DNS and `/etc/hosts` know it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A host's name: labels of letters, digits, `-` and `_` with dots between them, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

/// A text that is no [`HostName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not the name of a host")]
pub struct NotAName;

impl HostName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// RFC 1123, section 2.1: what ends in a label of digits is meant as an address. RFC 1035, section
/// 2.3.4: 63 bytes for a label, 253 for what is written of a name.
impl FromStr for HostName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let bare = text.strip_suffix('.').unwrap_or(text);
        let byte = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let label = |label: &str| {
            (1..=63).contains(&label.len()) && label.bytes().all(byte) && !label.starts_with('-')
        };
        let digits = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let address = bare.rsplit('.').next().is_none_or(digits);
        if bare.len() <= 253 && bare.split('.').all(label) && !address {
            Ok(Self(bare.to_ascii_lowercase()))
        } else {
            Err(NotAName)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames_are_told_from_other_text() {
        for (text, name) in [
            ("SIP.Example.com", Some("sip.example.com")),
            ("sip.example.com.", Some("sip.example.com")),
            ("localhost", Some("localhost")),
            ("3cx.example", Some("3cx.example")),
            ("_sip.example", Some("_sip.example")),
            ("300.1.1.1", None),
            ("10.0.0", None),
            ("5060", None),
            ("", None),
            (".", None),
            ("a..b", None),
            ("-n", None),
            ("a b", None),
            ("a/24", None),
            ("2001:db8::g", None),
            ("caf\u{e9}.example", None),
        ] {
            let read = text.parse::<HostName>().ok();
            assert_eq!(read.as_ref().map(HostName::as_str), name, "{text}");
        }
        assert!("a.".repeat(127).parse::<HostName>().is_ok());
        assert!("a.".repeat(128).parse::<HostName>().is_err());
        assert!("a".repeat(64).parse::<HostName>().is_err());
    }
}
