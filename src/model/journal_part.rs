//! The part of the journal that is Asterisk's: a unit, a user, or a container.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest name of a unit, in bytes (`UNIT_NAME_MAX` in systemd).
const LONGEST_UNIT: usize = 255;

/// The kinds of units that processes belong to.
const KINDS: [&str; 2] = [".service", ".scope"];

/// Whose entries of the journal are read. journald itself says who wrote an entry, so a part is named by what it says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JournalPart {
    /// The processes of a unit: `asterisk.service`.
    Unit(String),
    /// The processes of a user, by its number: `uid:996`.
    User(u32),
    /// A container, by its name: `container:pbx`; its runtime writes the entries.
    Container {
        /// The name of the container.
        name: String,
        /// The user whose runtime it is (`container:pbx:uid:1001`); `None`: root's.
        user: Option<u32>,
    },
}

/// A text that is no [`JournalPart`], and what to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoJournalPart {
    /// There is nothing.
    #[error("the unit is missing: write for example journal:asterisk.service")]
    Empty,
    /// A pattern.
    #[error(
        "a part of the journal is no pattern: name one unit, for example journal:asterisk.service"
    )]
    Pattern,
    /// A unit without its kind.
    #[error("a unit ends with .service or .scope: write for example journal:asterisk.service")]
    Kind,
    /// A name with bytes that names do not have.
    #[error("this is no name of a unit or container")]
    Name,
    /// Not the number of a user.
    #[error("a user is named by its number (id -u asterisk): write for example journal:uid:996")]
    User,
}

impl FromStr for JournalPart {
    type Err = NoJournalPart;

    fn from_str(text: &str) -> Result<Self, NoJournalPart> {
        if let Some(number) = text.strip_prefix("uid:") {
            return user(number).map(Self::User);
        }
        if let Some(container) = text.strip_prefix("container:") {
            let (name, number) = match container.split_once(":uid:") {
                Some((name, number)) => (name, Some(user(number)?)),
                None => (container, None),
            };
            let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            return if begins && name.len() <= LONGEST_UNIT && name.bytes().all(is_name) {
                Ok(Self::Container { name: name.to_owned(), user: number })
            } else {
                Err(wrong(name))
            };
        }
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || br":-_.\@".contains(&byte);
        let stem = KINDS.iter().find_map(|kind| text.strip_suffix(kind));
        if !text.bytes().all(is_name) || text.len() > LONGEST_UNIT || text.starts_with('-') {
            return Err(wrong(text));
        }
        match stem {
            Some(stem) if !stem.is_empty() => Ok(Self::Unit(text.to_owned())),
            _ if text.is_empty() => Err(NoJournalPart::Empty),
            _ => Err(NoJournalPart::Kind),
        }
    }
}

/// Returns why this is no name.
fn wrong(name: &str) -> NoJournalPart {
    if name.is_empty() {
        NoJournalPart::Empty
    } else if name.contains(['*', '?', '[']) {
        NoJournalPart::Pattern
    } else {
        NoJournalPart::Name
    }
}

fn user(number: &str) -> Result<u32, NoJournalPart> {
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    // `-1` is nobody (`setreuid(2)`).
    let user = number.parse().ok().filter(|user| digits && *user != u32::MAX);
    user.ok_or(NoJournalPart::User)
}

impl fmt::Display for JournalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit(unit) => f.write_str(unit),
            Self::User(user) => write!(f, "uid:{user}"),
            Self::Container { name, user: None } => write!(f, "container:{name}"),
            Self::Container { name, user: Some(user) } => write!(f, "container:{name}:uid:{user}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_and_written() {
        for text in [
            "asterisk.service",
            "asterisk@pbx-1.service",
            r"app-foo\x2dbar.scope",
            "uid:0",
            "uid:996",
            "container:pbx",
            "container:systemd-pbx_1.2",
            "container:freepbx:uid:1001",
        ] {
            assert_eq!(text.parse::<JournalPart>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_part_is_told() {
        use NoJournalPart::*;
        for (text, why) in [
            ("", Empty),
            ("container:", Empty),
            ("*.service", Pattern),
            ("container:pbx*", Pattern),
            ("asterisk", Kind),
            (".service", Kind),
            ("asterisk.socket", Kind),
            ("asterisk .service", Name),
            ("asterisk.service\n", Name),
            ("--user.service", Name),
            ("a/b.service", Name),
            ("container:-x", Name),
            ("container:a b", Name),
            ("uid:asterisk", User),
            ("uid:", User),
            ("uid:+1", User),
            ("uid:4294967295", User),
            ("container:a:uid:x", User),
        ] {
            assert_eq!(text.parse::<JournalPart>(), Err(why), "{text}");
        }
        let long = format!("{}.service", "a".repeat(300));
        assert_eq!(long.parse::<JournalPart>(), Err(Name));
    }
}
