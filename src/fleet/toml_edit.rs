//! Changes of `conf.d/fleet.toml`, as a text: everything else stays as people wrote it.

use crate::model::node::NodeName;

const SECTION: &str = "[fleet]";
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
            within = trimmed.starts_with(SECTION);
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

/// Returns the text with the section `[fleet]` switched on, and these keys with these values (TOML); `None`: without the
/// key.
#[must_use]
pub fn with_fleet(text: &str, values: &[(&str, Option<String>)]) -> String {
    let is_set = |key: &str| key == "enabled" || values.iter().any(|(name, _)| *name == key);
    let lines = values.iter().filter_map(|(key, value)| Some([*key, " = ", value.as_ref()?, "\n"]));
    let written: String = lines.flatten().collect();
    let (mut new, mut within, mut done) = (String::new(), false, false);
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if trimmed.starts_with('[') {
            within = trimmed.starts_with(SECTION);
            new += line.trim_end_matches('\n');
            new.push('\n');
            if within && !done {
                new += &written;
                done = true;
            }
        } else if !within || !key_of(trimmed).is_some_and(is_set) {
            new += line;
        }
    }
    if !done {
        new = format!("{SECTION}\n{written}\n{new}");
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

    #[test]
    fn the_section_is_switched_on_with_other_values_and_the_rest_stays() {
        let text = "# mine\n[fleet]\nenabled = false\nserver = \"a\"\n# theirs\naccept = [\"proven\"]\ninsecure = true\n[fleet.peers]\nserver = \"KEY\"\n";
        let values = [("server", Some("\"b\"".to_owned())), ("insecure", None)];
        let on = "# mine\n[fleet]\nserver = \"b\"\n# theirs\naccept = [\"proven\"]\n[fleet.peers]\nserver = \"KEY\"\n";
        assert_eq!(with_fleet(text, &values), on);
        assert_eq!(with_fleet(on, &values), on);
    }
}
