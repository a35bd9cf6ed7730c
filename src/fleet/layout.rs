//! The names of what a node has on the server. The braces keep all of it in one slot of a Cluster.

use crate::model::node::NodeName;
use crate::model::subject::Subject;

/// The pattern of all that nodes have, and of all channels. A server lets a node listen to exactly this one.
pub const ALL: &str = "ag:*";

/// Returns the key of a ban.
#[must_use]
pub fn ban(node: &NodeName, host: &Subject) -> Vec<u8> {
    format!("ag:{{{node}}}:b:{}", host.net()).into_bytes()
}

/// Returns the key of the stream.
#[must_use]
pub fn stream(node: &NodeName) -> Vec<u8> {
    format!("ag:{{{node}}}:e").into_bytes()
}

/// Returns the key of the head of the snapshot.
#[must_use]
pub fn head(node: &NodeName) -> Vec<u8> {
    format!("ag:{{{node}}}:s").into_bytes()
}

/// Returns the key of a block of the snapshot.
#[must_use]
pub fn block(node: &NodeName, number: usize) -> Vec<u8> {
    format!("ag:{{{node}}}:s:{number}").into_bytes()
}

/// Returns the channel.
#[must_use]
pub fn channel(node: &NodeName) -> Vec<u8> {
    format!("ag:{{{node}}}:c").into_bytes()
}

/// Returns the node of a channel.
#[must_use]
pub fn node_of(channel: &[u8]) -> Option<NodeName> {
    let text = std::str::from_utf8(channel).ok()?;
    text.strip_prefix("ag:{")?.strip_suffix("}:c")?.parse().ok()
}

/// Returns the pattern of all keys that a node writes.
#[must_use]
pub fn own(node: &NodeName) -> String {
    format!("ag:{{{node}}}:*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_names_its_node_and_no_other_text_does() {
        let node: NodeName = "pbx-1".parse().unwrap();
        assert_eq!(node_of(&channel(&node)), Some(node.clone()));
        for other in [&b"ag:{pbx-1}:e"[..], b"ag:{A}:c", b"ag:{}:c", b"x", b"\xff"] {
            assert_eq!(node_of(other), None);
        }
        let host = "2001:db8::/64".parse().unwrap();
        assert_eq!(ban(&node, &host), b"ag:{pbx-1}:b:2001:db8::/64");
    }
}
