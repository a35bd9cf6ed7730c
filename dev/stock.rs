//! Prints hashes of failregexes for Asterisk, for `src/fail2ban/stock-hashes.txt`: of `filter.d/asterisk.conf` in
//! directories of fail2ban's, and of all lines with `<HOST>` in other texts. The originals are read where they lie.

use std::collections::BTreeMap;
use std::path::Path;

use asterguard::fail2ban::{jails, stock};

/// The failregexes of a directory, or of a text.
fn regexes(path: &Path) -> Vec<String> {
    if path.is_dir() {
        return jails::filter_alone(path, "asterisk")
            .map(|(filter, _)| filter.failregex)
            .unwrap_or_default();
    }
    let text = std::fs::read(path)
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .unwrap_or_default();
    // A line that goes on with a reason was broken for a page.
    let text = text.replace("\n - ", "- ");
    let lines = text
        .lines()
        .map(|line| line.trim().trim_start_matches("failregex").trim_start_matches([' ', '=']));
    lines
        .filter(|line| line.contains("<HOST>") && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn main() {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for argument in std::env::args().skip(1) {
        let Some((name, path)) = argument.split_once('=') else { continue };
        for regex in regexes(Path::new(path)) {
            let names = found.entry(stock::hash(&regex)).or_default();
            if names.last().is_none_or(|last| last != name) {
                names.push(name.to_owned());
            }
        }
    }
    println!(
        "# Hashes of failregexes for Asterisk, and where they occur: written by dev/stock.sh."
    );
    for (hash, names) in found {
        println!("{hash} {}", names.join(" "));
    }
}
