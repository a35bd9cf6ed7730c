//! A source of lines that a helper process reads for the guard: a part of the journal, or the manager interface.

use std::fmt;

use super::journal_part::{JournalPart, NoJournalPart};

/// How the name of a part of the journal begins, in `logpath` and in the state file.
const JOURNAL: &str = "journal:";
/// The name of the manager interface there.
const AMI: &str = "ami:";

/// Which of these sources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RemoteSource {
    /// This part of the journal: `journal:asterisk.service`.
    Journal(JournalPart),
    /// Events of Asterisk's manager interface: `ami:`.
    Ami,
}

impl RemoteSource {
    /// Returns the source of this name; `None` if it is a name of something else.
    ///
    /// # Errors
    /// When it is meant to name a part of the journal, and does not.
    pub fn named(name: &str) -> Result<Option<Self>, NoJournalPart> {
        match name.strip_prefix(JOURNAL) {
            Some(part) => part.parse().map(|part| Some(Self::Journal(part))),
            None => Ok((name == AMI).then_some(Self::Ami)),
        }
    }
}

impl fmt::Display for RemoteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(part) => write!(f, "{JOURNAL}{part}"),
            Self::Ami => f.write_str(AMI),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_known_by_their_names() {
        for name in ["journal:asterisk.service", "journal:uid:996", "ami:"] {
            assert_eq!(RemoteSource::named(name).unwrap().unwrap().to_string(), name);
        }
        for name in ["/var/log/asterisk/messages", "", "ami", "ami:5038", "kafka:asterisk"] {
            assert_eq!(RemoteSource::named(name), Ok(None), "{name}");
        }
        RemoteSource::named("journal:").unwrap_err();
    }
}
