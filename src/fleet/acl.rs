//! The line by which a server knows a node, and what it may do there.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

use super::layout::{ALL, own};
use crate::model::node::NodeName;

/// The commands that a node uses, and no others.
const COMMANDS: [&str; 19] = [
    "auth",
    "ping",
    "time",
    "get",
    "set",
    "del",
    "exists",
    "pexpire",
    "pttl",
    "xadd",
    "xrange",
    "xrevrange",
    "publish",
    "subscribe",
    "psubscribe",
    "unsubscribe",
    "multi",
    "exec",
    "discard",
];

/// Returns the command for the server. The password is in it as its SHA-256 only; without one, a word stands in its place.
#[must_use]
pub fn line(node: &NodeName, user: Option<&str>, password: Option<&str>) -> String {
    let user = user.unwrap_or(node.as_str());
    let secret = password.map_or_else(|| "SHA256-OF-ITS-PASSWORD".to_owned(), hash);
    let mut line = format!("ACL SETUSER {user} reset on #{secret} ~{} %R~{ALL} &{ALL}", own(node));
    for command in COMMANDS {
        let _ = write!(line, " +{command}");
    }
    line
}

fn hash(password: &str) -> String {
    let digest = digest(&SHA256, password.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_in_the_line() {
        let node = "pbx1".parse().unwrap();
        let line = line(&node, None, Some("s3cret"));
        let begin = "ACL SETUSER pbx1 reset on #1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0 ~ag:{pbx1}:* %R~ag:* &ag:* +auth ";
        assert!(line.starts_with(begin), "{line}");
        assert!(!line.contains("s3cret"));
    }
}
