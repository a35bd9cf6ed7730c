//! The names by which lines in the logs of others are known as Asterisk's.

/// Stands in a list of tags for any container: one whose id Docker writes where no tag is named, and any
/// service in what `docker compose logs` prints.
pub const CONTAINER: &str = "<CONTAINER>";

/// The tags where the configuration names none: Asterisk's own, that of `NethServer`, and containers.
pub const DEFAULT: [&str; 3] = [ASTERISK, "freepbx", CONTAINER];

/// The tag that Asterisk itself gives to syslog (`openlog` in `main/logger.c`).
const ASTERISK: &str = "asterisk";

/// The digits of a container's short id, and of its whole one.
const ID_LENGTHS: [usize; 2] = [12, 64];

/// The programs, services and containers whose lines are Asterisk's. Immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags {
    names: Vec<Vec<u8>>,
    asterisk: bool,
    containers: bool,
    /// Whether these are lines that the journal's own source has chosen.
    journal: bool,
}

/// No tags: of a line that has no header.
pub(super) static NONE: Tags =
    Tags { names: Vec::new(), asterisk: false, containers: false, journal: false };

impl Default for Tags {
    fn default() -> Self {
        Self::new(DEFAULT)
    }
}

impl Tags {
    /// These names, of which [`CONTAINER`] is none.
    pub fn new<'a>(tags: impl IntoIterator<Item = &'a str>) -> Self {
        let (containers, names): (Vec<_>, Vec<_>) =
            tags.into_iter().partition(|tag| *tag == CONTAINER);
        Self {
            asterisk: names.contains(&ASTERISK),
            containers: !containers.is_empty(),
            names: names.into_iter().map(|name| name.as_bytes().to_vec()).collect(),
            journal: false,
        }
    }

    /// Of the lines that the process which reads the journal hands on: all are Asterisk's, by what journald says of them. A
    /// line that begins with `|` holds a line of a console, and an object holds a datagram.
    #[must_use]
    pub fn journal() -> Self {
        Self { journal: true, ..Self::new([]) }
    }

    /// Whether they are for lines of the journal's own source.
    pub(super) fn is_journal(&self) -> bool {
        self.journal
    }

    /// Whether the tag that Asterisk gives itself is one of them.
    pub(super) fn has_asterisk(&self) -> bool {
        self.asterisk
    }

    /// Whether this is the tag of a program or a container. Docker can write `NAME/ID`, and numbers the
    /// containers of a service.
    pub(super) fn has(&self, tag: &[u8]) -> bool {
        let is_id = |part: &[u8]| self.containers && is_container_id(part);
        self.has_name(tag)
            || tag.split(|byte| *byte == b'/').any(|part| self.has_name(part) || is_id(part))
    }

    /// Whether this is the name of a container, as Docker Compose and Docker's journald driver give it.
    pub(super) fn has_container(&self, name: &[u8]) -> bool {
        self.containers || self.has(name)
    }

    fn has_name(&self, name: &[u8]) -> bool {
        self.names.iter().any(|known| name.strip_prefix(&known[..]).is_some_and(is_replica))
    }
}

/// Whether this follows the name of a service: nothing, `-1`, `_1`, or `.1.x8q@node` of a swarm.
fn is_replica(rest: &[u8]) -> bool {
    match rest {
        [] => true,
        [b'-' | b'_', number @ ..] => !number.is_empty() && number.iter().all(u8::is_ascii_digit),
        [b'.', digit, ..] => digit.is_ascii_digit(),
        _ => false,
    }
}

fn is_container_id(name: &[u8]) -> bool {
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    ID_LENGTHS.contains(&name.len()) && name.iter().all(is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_names_replicas_and_ids() {
        let tags = Tags::default();
        for tag in [
            "asterisk",
            "freepbx",
            "asterisk-1",
            "asterisk_2",
            "asterisk.1.x8qk@node",
            "3f1c2d4e5a6b",
            "docker/3f1c2d4e5a6b",
            "andrius/asterisk/pbx",
            "asterisk/3f1c2d4e5a6b",
        ] {
            assert!(tags.has(tag.as_bytes()), "{tag}");
        }
        for tag in [
            "",
            "sshd",
            "asterisk-web",
            "asterisks",
            "asterisk-",
            "my-asterisk",
            "3f1c2d4e5a6",
            "3F1C2D4E5A6B",
            "notacontaine",
            "asterisk.x",
        ] {
            assert!(!tags.has(tag.as_bytes()), "{tag}");
        }
        assert!(tags.has_container(b"web-1"));
    }

    #[test]
    fn named_tags_are_all_that_there_are() {
        let tags = Tags::new(["pbx"]);
        assert!(tags.has(b"pbx") && tags.has_container(b"pbx-1") && !tags.has_asterisk());
        for other in ["asterisk", "3f1c2d4e5a6b", "web-1", "pbx-web-1"] {
            assert!(
                !tags.has(other.as_bytes()) && !tags.has_container(other.as_bytes()),
                "{other}"
            );
        }
    }
}
