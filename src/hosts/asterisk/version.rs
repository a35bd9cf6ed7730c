//! The version of Asterisk, and what depends on it.

use std::fmt;

/// A version, such as 22.10.0. A certified one has the numbers of the version that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AsteriskVersion {
    /// The branch.
    pub major: u16,
    /// The release of that branch.
    pub minor: u16,
}

impl AsteriskVersion {
    /// Reads what `asterisk -V` prints: `Asterisk 22.10.0`, `Asterisk certified/18.9-cert5`. `None` if there is no
    /// number in it, as in a build from a development branch.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().strip_prefix("Asterisk ")?;
        let text =
            text.strip_prefix("certified").map_or(text, |rest| rest.trim_start_matches(['/', '-']));
        let (major, rest) = text.split_once('.')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        Some(Self { major: major.parse().ok()?, minor: rest.get(..end)?.parse().ok()? })
    }

    /// Whether `logger.conf` knows the formatter `[json]`: since 14.0.
    #[must_use]
    pub fn writes_json(self) -> bool {
        self.major >= 14
    }

    /// Whether a full queue of the logger keeps WARNING and ERROR, and drops what the guard reads first: since 20.21,
    /// 22.11 and 23.5 (commit 99fe892b66 of Asterisk).
    #[must_use]
    pub fn drops_notices_first(self) -> bool {
        match self.major {
            20 => self.minor >= 21,
            22 => self.minor >= 11,
            23 => self.minor >= 5,
            major => major > 23,
        }
    }
}

impl fmt::Display for AsteriskVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_they_are_printed() {
        let read = |text| AsteriskVersion::parse(text).map(|v| (v.major, v.minor));
        assert_eq!(read("Asterisk 22.10.0~dfsg+~cs6.15.60671435-1\n"), Some((22, 10)));
        assert_eq!(read("Asterisk 16.28.0~dfsg-0+deb11u4"), Some((16, 28)));
        assert_eq!(read("Asterisk certified/18.9-cert5"), Some((18, 9)));
        assert_eq!(read("Asterisk certified-20.7-cert3"), Some((20, 7)));
        for text in ["Asterisk GIT-master-7b2d31a", "Asterisk ", "", "Unable to connect"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn versions_differ_in_what_a_full_queue_drops() {
        let drops = |major, minor| AsteriskVersion { major, minor }.drops_notices_first();
        for (major, minor) in [(20, 21), (22, 11), (23, 5), (24, 0)] {
            assert!(drops(major, minor), "{major}.{minor}");
        }
        for (major, minor) in [(16, 30), (18, 26), (20, 20), (21, 12), (22, 10), (23, 4)] {
            assert!(!drops(major, minor), "{major}.{minor}");
        }
    }
}
