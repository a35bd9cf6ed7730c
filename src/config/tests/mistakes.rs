//! Tests for the answer to every mistake in a configuration file.

mod sections;
mod values;

use std::path::PathBuf;

use proptest::prelude::*;

use crate::config::load::{BUILT_IN, parse};

/// What files of other formats are made of.
const FRAGMENTS: [&str; 42] = [
    "[default]",
    "[DEFAULT]",
    "[asterisk]",
    "[jail.x",
    "]",
    "[",
    "{",
    "}",
    "\n",
    "\n",
    "\n",
    " ",
    "\t",
    "\r\n",
    "=",
    " = ",
    ":",
    ",",
    ";",
    "; c",
    "# c",
    "// c",
    "\"",
    "'",
    "\u{201c}",
    "\u{201d}",
    "'''",
    "\"\"\"",
    "maxretry",
    "ignoreip",
    "bantime",
    "enabled",
    "logpath",
    "banaction",
    "127.0.0.1",
    "::1",
    "10.0.0.0/8",
    "1d",
    "yes",
    "%(x)s",
    "\u{e9}\u{4e2d}",
    "\n    /var/log/x",
];

fn bad(text: &str) -> String {
    let filters = ["asterisk-ami", "asterisk-iax", "asterisk-sip", "kamailio"].map(str::to_owned);
    let source = (PathBuf::from("a.toml"), text.to_owned());
    parse(&[source], &filters).expect_err(text).to_string()
}

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(bad("maxretry = 3\n"), @r#"
    a.toml:1:1: "maxretry" does not belong here
    1 | maxretry = 3
      | ^^^^^^^^
    help: write it below [default] or [jail.NAME]
    "#);
    insta::assert_snapshot!(bad("[defaults]\nmode = 'observe'\n"), @r#"
    a.toml:1:2: unknown key "defaults"
    1 | [defaults]
      |  ^^^^^^^^
    help: did you mean "default"?
    "#);
    insta::assert_snapshot!(bad("[asterisk-scan]\nmaxretry = 3\n"), @r#"
    a.toml:1:2: unknown section "asterisk-scan"
    1 | [asterisk-scan]
      |  ^^^^^^^^^^^^^
    help: if it is a jail, write [jail.asterisk-scan]
    "#);
    insta::assert_snapshot!(bad("dbpurgeage = 1\n"), @r#"
    a.toml:1:1: unknown key "dbpurgeage"
    1 | dbpurgeage = 1
      | ^^^^^^^^^^
    help: leave it out: old bans are kept for as long as they count
    "#);
    insta::assert_snapshot!(bad("[default]\nmaxretries = 3\nbackend = 'auto'\n"), @r#"
    a.toml:2:1: unknown key "maxretries"
    2 | maxretries = 3
      | ^^^^^^^^^^
    help: did you mean "maxretry"?

    a.toml:3:1: unknown key "backend"
    3 | backend = 'auto'
      | ^^^^^^^
    help: leave it out: log files are read as they grow; for the journal, write logpath = ["journal:asterisk.service"]
    "#);
    insta::assert_snapshot!(bad("[jail.asterisk-scan]\nbantime = { first = '1h', factors = 4 }\nunverified = { length = '1h' }\n"), @r#"
    a.toml:2:27: unknown key "factors"
    2 | bantime = { first = '1h', factors = 4 }
      |                           ^^^^^^^
    help: did you mean "factor"?

    a.toml:3:16: unknown key "length"
    3 | unverified = { length = '1h' }
      |                ^^^^^^
    help: known here: bantime, port
    "#);
}

#[test]
fn wrong_types() {
    insta::assert_snapshot!(bad("loglevel = 3\nports = 3\ndefault = 3\njail = 3\n"), @r#"
    a.toml:1:12: expected a string, found a whole number
    1 | loglevel = 3
      |            ^
    help: write one of: critical, error, warning, notice, info, debug

    a.toml:2:9: expected a table, found a whole number
    2 | ports = 3
      |         ^
    help: write [ports], and below it for example: sip = [5060, "5080-5089"]

    a.toml:3:11: expected a table, found a whole number
    3 | default = 3
      |           ^
    help: write [default], and its keys below it

    a.toml:4:8: expected a table, found a whole number
    4 | jail = 3
      |        ^
    help: write [jail.NAME], and its keys below it
    "#);
    insta::assert_snapshot!(bad("[jail]\nmaxretry = 3\n"), @"
    a.toml:2:12: expected a table, found a whole number
    2 | maxretry = 3
      |            ^
    help: write [jail.NAME], and its keys below it
    ");
    insta::assert_snapshot!(bad("[default]\nenabled = 'yes'\nmode = true\nfilter = 3\nclass = ['guess', 4]\nmaxretry = '5'\nfindtime = 1.5\nbantime = [3600]\nport = 5060\nblocktype = 1979-05-27\nignoreip = { a = 1 }\nunverified = '10m'\n"), @r#"
    a.toml:2:11: expected true or false, found a string
    2 | enabled = 'yes'
      |           ^^^^^
    help: write true, without quotes

    a.toml:3:8: expected a string, found true or false
    3 | mode = true
      |        ^^^^
    help: write one of: enforce, observe

    a.toml:4:10: expected a string or an array of strings, found a whole number
    4 | filter = 3
      |          ^
    help: write for example ["asterisk-*"]

    a.toml:5:19: expected a string, found a whole number
    5 | class = ['guess', 4]
      |                   ^
    help: write for example ["guess", "acl"]

    a.toml:6:12: expected a whole number, found a string
    6 | maxretry = '5'
      |            ^^^
    help: write 5, without quotes

    a.toml:7:12: expected a duration, found a number with a point
    7 | findtime = 1.5
      |            ^^^
    help: write for example "10m", "1d 12h", or 3600 (seconds)

    a.toml:8:11: expected a duration, found an array
    8 | bantime = [3600]
      |           ^^^^^^
    help: write for example "1h", "permanent", or { first = "1h", factor = 4, max = "30d" }

    a.toml:9:8: expected a string, found a whole number
    9 | port = 5060
      |        ^^^^
    help: write the name of a port list: all, sip or one from [ports]

    a.toml:10:13: expected a string, found a date
    10 | blocktype = 1979-05-27
       |             ^^^^^^^^^^
    help: write one of: drop, reject, drop-new

    a.toml:11:12: expected a string or an array of strings, found a table
    11 | ignoreip = { a = 1 }
       |            ^^^^^^^^^
    help: write for example ["203.0.113.10", "2001:db8::/32"]

    a.toml:12:14: expected a table, found a string
    12 | unverified = '10m'
       |              ^^^^^
    help: write for example { bantime = "10m", port = "sip" }, or "as-proven"
    "#);
}

#[test]
fn broken_toml() {
    insta::assert_snapshot!(bad("[default]\nmode = observe\nbantime = 1d\nfindtime =\n"), @r#"
    a.toml:2:8: quotes are missing
    2 | mode = observe
      |        ^^^^^^^
    help: write "observe"

    a.toml:3:11: quotes are missing
    3 | bantime = 1d
      |           ^^
    help: write "1d"

    a.toml:4:11: a value is missing
    4 | findtime =
      |           ^
    help: write it after the =
    "#);
    insta::assert_snapshot!(bad("[default]\nmaxretry = 3\nmaxretry = 4\n[default]\n"), @"
    a.toml:3:1: duplicate key
    3 | maxretry = 4
      | ^^^^^^^^
    help: it is there already, further up: keep one of the two

    a.toml:4:2: duplicate key
    4 | [default]
      |  ^^^^^^^
    help: it is there already, further up: keep one of the two
    ");
    insta::assert_snapshot!(bad("[default\nmaxretry = 3\n"), @"
    a.toml:1:9: the ] of this section is missing
    1 | [default
      |         ^
    help: write [default]
    ");
    insta::assert_snapshot!(bad("[default]\nignoreip = [\"127.0.0.1\" \"::1\"]\n"), @r#"
    a.toml:2:24: a comma is missing
    2 | ignoreip = ["127.0.0.1" "::1"]
      |                        ^
    help: write ["127.0.0.1", "::1"]
    "#);
    insta::assert_snapshot!(bad("[default]\nmode = \"observe\nfindtime = 9\n"), @r#"
    a.toml:2:8: a quote is missing
    2 | mode = "observe
      |        ^^^^^^^^
    help: write "observe"
    "#);
    insta::assert_snapshot!(bad("enabled = True\n[jail.a b]\n"), @"
    a.toml:1:11: true and false are written in small letters
    1 | enabled = True
      |           ^^^^
    help: write true

    a.toml:2:8: this is no section
    2 | [jail.a b]
      |        ^
    help: a section is written [default] or [jail.NAME], alone on its line
    ");
}

#[test]
fn what_is_no_configuration_at_all_is_answered() {
    let log =
        "[2026-11-22 01:01:03] NOTICE[7] chan_sip.c: Registration from '\"9\"<sip:9@h>' failed\n";
    let answer = bad(&log.repeat(2000));
    assert!(answer.starts_with("a.toml:1:12: this is no section"), "{answer}");
    assert!(answer.lines().count() < 300);
    assert!(bad(&"a = [".repeat(50_000)).starts_with("a.toml:1:"));
    assert!(bad(&"{a = ".repeat(50_000)).starts_with("a.toml:1:"));
}

proptest! {
    /// Whatever somebody writes who knows other formats: an answer, at a place in the file.
    #[test]
    fn a_file_of_another_format_is_answered(
        parts in proptest::collection::vec(0..FRAGMENTS.len(), 0..40),
    ) {
        let text: String = parts.iter().filter_map(|part| FRAGMENTS.get(*part).copied()).collect();
        if let Err(errors) = parse(&[(PathBuf::from("a.toml"), text.clone())], &["asterisk-sip".to_owned()]) {
            prop_assert!(!errors.0.is_empty());
            for error in &errors.0 {
                let span = error.span.clone();
                prop_assert!(span.start <= span.end && span.end <= text.len(), "{text:?}");
                prop_assert!(error.to_string().starts_with("a.toml:"));
            }
        }
    }

    /// Whatever a slip of the finger makes of the file: an answer, and one that can be shown.
    #[test]
    fn a_damaged_file_is_answered(
        cuts in proptest::collection::vec((0..BUILT_IN.len(), 0usize..40, "[\\[\\]{}=,.#\"'0-9a-z\n \\-]{0,4}"), 1..6),
    ) {
        let mut text = BUILT_IN.to_owned();
        for (at, length, inserted) in cuts {
            let start = at.min(text.len());
            let end = (start + length).min(text.len());
            text.replace_range(start..end, &inserted);
        }
        if let Err(errors) = parse(&[(PathBuf::from("a.toml"), text.clone())], &["asterisk-sip".to_owned()]) {
            prop_assert!(!errors.0.is_empty());
            for error in &errors.0 {
                prop_assert_eq!(error.path.to_str(), Some("a.toml"));
                prop_assert!(error.span.start <= error.span.end && error.span.end <= text.len());
                prop_assert!(error.to_string().starts_with("a.toml:"));
            }
        }
    }
}
