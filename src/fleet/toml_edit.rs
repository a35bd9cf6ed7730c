//! Changes of `conf.d/fleet.toml`, as a text: everything else stays as people wrote it.

use crate::model::node::NodeName;

const PEERS: &str = "[fleet.peers]";

/// Returns the text with this value for a peer.
#[must_use]
pub fn with_peer(text: &str, node: &NodeName, value: &str) -> String {
    let new = format!("{node} = \"{value}\"\n");
    let (mut kept, mut rest, mut section, mut done) = (String::new(), String::new(), "", false);
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if trimmed.starts_with('[') {
            section = trimmed;
        }
        let is_it = section.starts_with(PEERS) && key_of(trimmed) == Some(node.as_str());
        if is_it {
            if !done {
                kept += &std::mem::take(&mut rest);
                kept += &new;
            }
            done = true;
        } else if !done && !section.starts_with(PEERS) && kept.contains(PEERS) {
            // Behind the section, until the peer is found there or not.
            rest += line;
        } else {
            kept += &std::mem::take(&mut rest);
            kept += line;
        }
    }
    if !done {
        if !kept.is_empty() && !kept.ends_with('\n') {
            kept.push('\n');
        }
        if !kept.contains(PEERS) {
            kept.extend(["\n", PEERS, "\n"]);
        }
        kept += &new;
    }
    kept + &rest
}

/// Returns the text with the section `[fleet]` switched off.
#[must_use]
pub fn without_fleet(text: &str) -> String {
    let (mut new, mut within) = (String::new(), false);
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if trimmed.starts_with('[') {
            within = trimmed.starts_with("[fleet]");
            new += line;
            if within {
                new += "enabled = false\n";
            }
        } else if !within || key_of(trimmed) != Some("enabled") {
            new += line;
        }
    }
    new
}

/// Returns the key that a line sets.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim().trim_matches('"');
    (!key.starts_with('#')).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_set_where_it_stands_and_comments_stay() {
        let node: NodeName = "pbx2".parse().unwrap();
        let text = "# mine\n[fleet]\nnode = \"a\"\n\n[fleet.peers]\n# the office\npbx2 = \"OLD\"\npbx3 = \"B\"\n";
        let new = with_peer(text, &node, "NEW");
        assert_eq!(new, text.replace("OLD", "NEW"));
        let other: NodeName = "pbx4".parse().unwrap();
        assert_eq!(with_peer(text, &other, "C"), format!("{text}pbx4 = \"C\"\n"));
        let behind = format!("{text}[jail.x]\nmode = \"observe\"\n");
        let expected = behind.replace("[jail.x]", "pbx4 = \"C\"\n[jail.x]");
        assert_eq!(with_peer(&behind, &other, "C"), expected);
        let none = "[fleet]\nnode = \"a\"";
        let made = with_peer(none, &other, "C");
        assert_eq!(made, "[fleet]\nnode = \"a\"\n\n[fleet.peers]\npbx4 = \"C\"\n");
    }

    #[test]
    fn the_section_is_switched_off_once() {
        let text = "[fleet]\nenabled = true\nnode = \"a\"\n[fleet.peers]\n";
        let off = without_fleet(text);
        assert_eq!(off, text.replace("true", "false"));
        assert_eq!(without_fleet(&off), off);
    }
}
