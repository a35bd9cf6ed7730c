//! The text that declares a table where there is none yet: without what only takes away, and each chain once.
//!
//! What is deleted or declared again, Linux frees only after a while (an RCU grace period), and a program that closes
//! its netlink socket waits for that: measured on 6.18, 12 of 20 ms of `nft -f`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::structure::TABLE;

/// Returns what `text`, a ruleset of ours, does where the table is not there. It fails where it is.
#[must_use]
pub fn first_load(text: &str) -> String {
    let mut first = format!("create table inet {TABLE}\n");
    let mut known = BTreeSet::new();
    // The chain whose rules are read, if it was declared before, and rules that have to stand behind a block.
    let (mut again, mut rules) = (None, String::new());
    for line in text.lines() {
        let name = line.strip_prefix("\tchain ").and_then(|line| line.strip_suffix(" {"));
        if name.is_some_and(|name| !known.insert(name)) {
            again = name;
        } else if again.is_some() && line == "\t}" {
            again = None;
        } else if let Some(chain) = again {
            let rule = line.trim_start();
            if !rule.is_empty() && !rule.starts_with('#') {
                let _ = writeln!(rules, "add rule inet {TABLE} {chain} {rule}");
            }
        } else if !line.starts_with("flush ") {
            let _ = writeln!(first, "{line}");
            if line == "}" {
                first.push_str(&std::mem::take(&mut rules));
            }
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
define ports = { 5060 }

table inet asterguard {
	set ban4 {
		type ipv4_addr
	}
	chain prerouting {
		type filter hook prerouting priority raw; policy accept;
	}
	chain passed {
	}
}

flush chain inet asterguard prerouting
flush set inet asterguard ban4
add element inet asterguard ban4 { 192.0.2.1 }

table inet asterguard {
	set more4 {
		type ipv4_addr
	}
	chain prerouting {
		# A note.
		ip saddr @ban4 drop

		ip saddr @more4 drop
	}
	chain new {
		drop
	}
}
";

    const FIRST: &str = "\
create table inet asterguard
define ports = { 5060 }

table inet asterguard {
	set ban4 {
		type ipv4_addr
	}
	chain prerouting {
		type filter hook prerouting priority raw; policy accept;
	}
	chain passed {
	}
}

add element inet asterguard ban4 { 192.0.2.1 }

table inet asterguard {
	set more4 {
		type ipv4_addr
	}
	chain new {
		drop
	}
}
add rule inet asterguard prerouting ip saddr @ban4 drop
add rule inet asterguard prerouting ip saddr @more4 drop
";

    #[test]
    fn nothing_is_taken_away_and_no_chain_is_declared_twice() {
        assert_eq!(first_load(TEXT), FIRST);
    }
}
