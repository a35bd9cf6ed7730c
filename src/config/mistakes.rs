//! How every mistake in a configuration file is answered.

use std::path::PathBuf;

use proptest::prelude::*;

use super::load::{BUILT_IN, parse};

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
    help: known here: loglevel, trunks, asteriskconf, ports, wire, default, jail, lists, feed
    "#);
    insta::assert_snapshot!(bad("[default]\nmaxretries = 3\nbackend = 'auto'\n"), @r#"
    a.toml:2:1: unknown key "maxretries"
    2 | maxretries = 3
      | ^^^^^^^^^^
    help: did you mean "maxretry"?

    a.toml:3:1: unknown key "backend"
    3 | backend = 'auto'
      | ^^^^^^^
    help: known here: enabled, mode, filter, class, logpath, maxretry, findtime, bantime, port, blocktype, ignoreip, ipv6prefix, unverified, hearsay, renew, knowngood, maxunverified
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
    help: write true or false, without quotes

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
    help: write 1 to ban at the first offence, 3 to ban at the third

    a.toml:7:12: expected a length of time, found a number with a point
    7 | findtime = 1.5
      |            ^^^
    help: write for example "10m", "1d 12h", or 3600 (seconds)

    a.toml:8:11: expected a length of time, found an array
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
    help: write one of: drop, reject

    a.toml:11:12: expected a string or an array of strings, found a table
    11 | ignoreip = { a = 1 }
       |            ^^^^^^^^^
    help: write for example ["203.0.113.10", "2001:db8::/32"]

    a.toml:12:14: expected a table, found a string
    12 | unverified = '10m'
       |              ^^^^^
    help: write for example { bantime = "10m", port = "sip" }
    "#);
}

#[test]
fn words_that_mean_nothing() {
    insta::assert_snapshot!(bad("loglevel = 'INFO'\n"), @r#"
    a.toml:1:12: unknown loglevel "INFO"
    1 | loglevel = 'INFO'
      |            ^^^^^^
    help: did you mean "info"?
    "#);
    insta::assert_snapshot!(bad("loglevel = 'verbose'\n"), @r#"
    a.toml:1:12: unknown loglevel "verbose"
    1 | loglevel = 'verbose'
      |            ^^^^^^^^^
    help: known: critical, error, warning, notice, info, debug
    "#);
    insta::assert_snapshot!(bad("[default]\nmode = 'obsrve'\nblocktype = 'icmp-host-prohibited'\nhearsay = 'yes'\nclass = ['gues', 'brute-force']\n"), @r#"
    a.toml:2:8: unknown mode "obsrve"
    2 | mode = 'obsrve'
      |        ^^^^^^^^
    help: did you mean "observe"?

    a.toml:3:13: unknown blocktype "icmp-host-prohibited"
    3 | blocktype = 'icmp-host-prohibited'
      |             ^^^^^^^^^^^^^^^^^^^^^^
    help: known: drop, reject

    a.toml:4:11: unknown hearsay value "yes"
    4 | hearsay = 'yes'
      |           ^^^^^
    help: known: ignore, count

    a.toml:5:10: unknown class "gues"
    5 | class = ['gues', 'brute-force']
      |          ^^^^^^
    help: did you mean "guess"?

    a.toml:5:18: unknown class "brute-force"
    5 | class = ['gues', 'brute-force']
      |                  ^^^^^^^^^^^^^
    help: known: guess, user, extension, acl, malformed, scan
    "#);
}

#[test]
fn numbers_out_of_bounds() {
    insta::assert_snapshot!(bad("[default]\nmaxretry = 0\nipv6prefix = 129\n"), @"
    a.toml:2:12: 0 is not between 1 and 4294967295
    2 | maxretry = 0
      |            ^
    help: write 1 to ban at the first offence, 3 to ban at the third

    a.toml:3:14: 129 is not between 1 and 128
    3 | ipv6prefix = 129
      |              ^^^
    help: write 64: whoever has one IPv6 address has its whole /64
    ");
    insta::assert_snapshot!(bad("[default]\nmaxretry = 0x1_0000_0000\nipv6prefix = 0\nbantime = { first = '1h', factor = 0 }\n"), @"
    a.toml:2:12: 0x100000000 is not between 1 and 4294967295
    2 | maxretry = 0x1_0000_0000
      |            ^^^^^^^^^^^^^
    help: write 1 to ban at the first offence, 3 to ban at the third

    a.toml:3:14: 0 is not between 1 and 128
    3 | ipv6prefix = 0
      |              ^
    help: write 64: whoever has one IPv6 address has its whole /64

    a.toml:4:36: 0 is not between 1 and 4294967295
    4 | bantime = { first = '1h', factor = 0 }
      |                                    ^
    help: write 1 for bans of the same length, 2 for bans that double
    ");
    insta::assert_snapshot!(bad("[default]\nmaxretry = 99999999999999999999\nfindtime = 99999999999999999999\n"), @r#"
    a.toml:2:12: 99999999999999999999 is not between 1 and 4294967295
    2 | maxretry = 99999999999999999999
      |            ^^^^^^^^^^^^^^^^^^^^
    help: write 1 to ban at the first offence, 3 to ban at the third

    a.toml:3:12: too long: the longest is 100y
    3 | findtime = 99999999999999999999
      |            ^^^^^^^^^^^^^^^^^^^^
    help: write for example "10m", "1d 12h", or 3600 (seconds)
    "#);
}

#[test]
fn lengths_of_time() {
    insta::assert_snapshot!(bad("[default]\nfindtime = 0\nbantime = '1 fortnight'\n"), @r#"
    a.toml:2:12: too short: the shortest is 1s
    2 | findtime = 0
      |            ^
    help: write for example "10m", "1d 12h", or 3600 (seconds)

    a.toml:3:11: unknown unit "fortnight": use s, m, h, d, w, M (months) or y
    3 | bantime = '1 fortnight'
      |           ^^^^^^^^^^^^^
    help: write for example "1h", "permanent", or { first = "1h", factor = 4, max = "30d" }
    "#);
    insta::assert_snapshot!(bad("[default]\nfindtime = 'permanent'\nbantime = -7\n"), @r#"
    a.toml:2:12: "permanent" is not a length of time
    2 | findtime = 'permanent'
      |            ^^^^^^^^^^^
    help: write for example "10m", "1d 12h", or 3600 (seconds)

    a.toml:3:11: -7 is less than nothing
    3 | bantime = -7
      |           ^^
    help: write for example "1h", "permanent", or { first = "1h", factor = 4, max = "30d" }
    "#);
    insta::assert_snapshot!(bad("[default]\nbantime = { first = '2d', factor = 4, max = '1d' }\n"), @r#"
    a.toml:2:45: shorter than the first ban
    2 | bantime = { first = '2d', factor = 4, max = '1d' }
      |                                             ^^^^
    help: write at least "2days"
    "#);
    insta::assert_snapshot!(bad("[default]\nbantime = { first = 'permanent', max = '200y' }\nunverified = { bantime = '' }\n"), @r#"
    a.toml:2:40: too long: the longest is 100y
    2 | bantime = { first = 'permanent', max = '200y' }
      |                                        ^^^^^^
    help: write for example "10m", "1d 12h", 3600 (seconds) or "permanent"

    a.toml:3:26: "" is not a length of time
    3 | unverified = { bantime = '' }
      |                          ^^
    help: write for example "1h", "permanent", or { first = "1h", factor = 4, max = "30d" }
    "#);
}

#[test]
fn filters_that_match_no_rule_file() {
    insta::assert_snapshot!(bad("[default]\nfilter = ['asterisk-*', 'asterisc-sip']\n"), @r#"
    a.toml:2:25: no rule file is called "asterisc-sip"
    2 | filter = ['asterisk-*', 'asterisc-sip']
      |                         ^^^^^^^^^^^^^^
    help: did you mean "asterisk-sip"?
    "#);
    insta::assert_snapshot!(bad("[default]\nfilter = 'freeswitch'\n"), @r#"
    a.toml:2:10: no rule file is called "freeswitch"
    2 | filter = 'freeswitch'
      |          ^^^^^^^^^^^^
    help: rule files: asterisk-ami, asterisk-iax, asterisk-sip, kamailio, wire
    "#);
    insta::assert_snapshot!(bad("[default]\nfilter = 'asterisk-[*'\n"), @"
    a.toml:2:10: not a pattern: invalid range pattern
    2 | filter = 'asterisk-[*'
      |          ^^^^^^^^^^^^^
    help: * stands for any characters, ? for one, [abc] for one of these; ** only between slashes
    ");
    insta::assert_snapshot!(bad("[default]\nfilter = []\nclass = []\nlogpath = []\n"), @r#"
    a.toml:2:10: empty list
    2 | filter = []
      |          ^^
    help: write for example ["asterisk-*"]

    a.toml:3:9: empty list
    3 | class = []
      |         ^^
    help: write for example ["guess", "acl"]

    a.toml:4:11: empty list
    4 | logpath = []
      |           ^^
    help: write whole paths, for example "/var/log/asterisk/messages"
    "#);
}

#[test]
fn jails_without_a_filter() {
    insta::assert_snapshot!(bad("[jail.asterisk-scann]\nmaxretry = 4\n"), @r#"
    a.toml:1:7: jail "asterisk-scann" has no filter
    1 | [jail.asterisk-scann]
      |       ^^^^^^^^^^^^^^
    help: give it a filter, or did you mean [jail.asterisk-scan]?
    "#);
    insta::assert_snapshot!(bad("[jail.manual]\nfilter = 'asterisk-*'\n"), @r#"
    a.toml:1:7: "manual" is the jail of bans made by hand
    1 | [jail.manual]
      |       ^^^^^^
    help: give this jail another name
    "#);
    insta::assert_snapshot!(bad("[jail.recidive]\nclass = 'scan'\n"), @r#"
    a.toml:2:1: "recidive" has no class
    2 | class = 'scan'
      | ^^^^^
    help: it reads no logs: it counts the proven bans of all jails
    "#);
    insta::assert_snapshot!(bad("[jail.web]\n"), @r#"
    a.toml:1:7: jail "web" has no filter
    1 | [jail.web]
      |       ^^^
    help: write for example: filter = ["asterisk-*"]
    "#);
}

#[test]
fn paths() {
    insta::assert_snapshot!(bad("[default]\nlogpath = ['messages', '/var/log/asterisk/', '/var/log/***.log']\n"), @r#"
    a.toml:2:12: "messages" is not the path of a file
    2 | logpath = ['messages', '/var/log/asterisk/', '/var/log/***.log']
      |            ^^^^^^^^^^
    help: write whole paths, for example "/var/log/asterisk/messages"

    a.toml:2:24: "/var/log/asterisk/" is not the path of a file
    2 | logpath = ['messages', '/var/log/asterisk/', '/var/log/***.log']
      |                        ^^^^^^^^^^^^^^^^^^^^
    help: write whole paths, for example "/var/log/asterisk/messages"

    a.toml:2:46: not a pattern: wildcards are either regular `*` or recursive `**`
    2 | logpath = ['messages', '/var/log/asterisk/', '/var/log/***.log']
      |                                              ^^^^^^^^^^^^^^^^^^
    help: * stands for any characters, ? for one, [abc] for one of these; ** only between slashes
    "#);
}

#[test]
fn port_lists() {
    insta::assert_snapshot!(bad("[default]\nport = 'sipp'\nunverified = { port = 'web' }\n"), @r#"
    a.toml:2:8: unknown port list "sipp"
    2 | port = 'sipp'
      |        ^^^^^^
    help: did you mean "sip"?

    a.toml:3:23: unknown port list "web"
    3 | unverified = { port = 'web' }
      |                       ^^^^^
    help: port lists: all, sip
    "#);
    insta::assert_snapshot!(bad("[default]\nport = '5060-5061'\n"), @r#"
    a.toml:2:8: unknown port list "5060-5061"
    2 | port = '5060-5061'
      |        ^^^^^^^^^^^
    help: give these ports a name under [ports], and write that name here
    "#);
    insta::assert_snapshot!(bad("[ports]\nall = [5060]\nsip = []\nweb = [0, 65536, '90-80', '5060,5061', true]\n'my ports' = 80\n"), @r#"
    a.toml:2:1: "all" cannot be defined
    2 | all = [5060]
      | ^^^
    help: it is built in and means every port: choose another name

    a.toml:3:7: empty list
    3 | sip = []
      |       ^^
    help: write numbers from 1 to 65535 and ranges in quotes: [5060, "5080-5089"]

    a.toml:4:8: 0 is not between 1 and 65535
    4 | web = [0, 65536, '90-80', '5060,5061', true]
      |        ^
    help: write numbers from 1 to 65535 and ranges in quotes: [5060, "5080-5089"]

    a.toml:4:11: 65536 is not between 1 and 65535
    4 | web = [0, 65536, '90-80', '5060,5061', true]
      |           ^^^^^
    help: write numbers from 1 to 65535 and ranges in quotes: [5060, "5080-5089"]

    a.toml:4:18: "90-80" is not a range of ports
    4 | web = [0, 65536, '90-80', '5060,5061', true]
      |                  ^^^^^^^
    help: write numbers from 1 to 65535 and ranges in quotes: [5060, "5080-5089"]

    a.toml:4:27: "5060,5061" is not a range of ports
    4 | web = [0, 65536, '90-80', '5060,5061', true]
      |                           ^^^^^^^^^^^
    help: write numbers from 1 to 65535 and ranges in quotes: [5060, "5080-5089"]

    a.toml:4:40: expected a whole number, found true or false
    4 | web = [0, 65536, '90-80', '5060,5061', true]
      |                                        ^^^^
    help: write numbers from 1 to 65535 and ranges in quotes: [5060, "5080-5089"]

    a.toml:5:1: "my ports" cannot be a name
    5 | 'my ports' = 80
      | ^^^^^^^^^^
    help: use letters, digits, - and _, at most 64 of them
    "#);
}

#[test]
fn names() {
    insta::assert_snapshot!(bad("[jail.'asterisk scan']\n[jail.\"\"]\n[jail.'ü[2J']\n"), @r#"
    a.toml:1:7: "asterisk scan" cannot be a name
    1 | [jail.'asterisk scan']
      |       ^^^^^^^^^^^^^^^
    help: use letters, digits, - and _, at most 64 of them

    a.toml:2:7: "" cannot be a name
    2 | [jail.""]
      |       ^^
    help: use letters, digits, - and _, at most 64 of them

    a.toml:3:7: "ü[2J" cannot be a name
    3 | [jail.'ü[2J']
      |       ^^^^^^
    help: use letters, digits, - and _, at most 64 of them
    "#);
    insta::assert_snapshot!(bad("[jail.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]\n"), @r#"
    a.toml:1:7: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" cannot be a name
    1 | [jail.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    help: use letters, digits, - and _, at most 64 of them
    "#);
}

#[test]
fn addresses() {
    insta::assert_snapshot!(bad("[default]\nignoreip = ['127.0.0.1', 'pbx.example.com:5060']\n"), @r#"
    a.toml:2:27: "pbx.example.com:5060" is not an address, network or name
    2 | ignoreip = ['127.0.0.1', 'pbx.example.com:5060']
      |                           ^^^^^^^^^^^^^^^^^^^^
    help: write an address such as "203.0.113.10", a network, "203.0.113.0/24", or a name, "sip.example.com"
    "#);
    insta::assert_snapshot!(bad("[default]\nignoreip = '127.0.0.1/8 10.0.0.0/33 ::1/255.0'\n"), @r#"
    a.toml:2:25: "10.0.0.0/33" is not an address, network or name
    2 | ignoreip = '127.0.0.1/8 10.0.0.0/33 ::1/255.0'
      |                         ^^^^^^^^^^^
    help: after the / comes how many bits count: 0 to 32 for IPv4, 0 to 128 for IPv6

    a.toml:2:37: "::1/255.0" is not an address, network or name
    2 | ignoreip = '127.0.0.1/8 10.0.0.0/33 ::1/255.0'
      |                                     ^^^^^^^^^
    help: after the / comes how many bits count: 0 to 32 for IPv4, 0 to 128 for IPv6
    "#);
    insta::assert_snapshot!(bad("[default]\nignoreip = \"\"\"\n127.0.0.1\n300.1.1.1 ::1\"\"\"\n"), @r#"
    a.toml:4:1: "300.1.1.1" is not an address, network or name
    4 | 300.1.1.1 ::1"""
      | ^^^^^^^^^
    help: write an address such as "203.0.113.10", a network, "203.0.113.0/24", or a name, "sip.example.com"
    "#);
    insta::assert_snapshot!(bad("[default]\nignoreip = \"127.0.0.1\\t-localhost\"\n"), @r#"
    a.toml:2:12: "-localhost" is not an address, network or name
    2 | ignoreip = "127.0.0.1\t-localhost"
      |            ^^^^^^^^^^^^^^^^^^^^^^^
    help: write an address such as "203.0.113.10", a network, "203.0.113.0/24", or a name, "sip.example.com"
    "#);
}

#[test]
fn where_asterisks_configuration_is() {
    insta::assert_snapshot!(bad("trunks = 'no'\nasteriskconf = 'etc'\n"), @r#"
    a.toml:1:10: expected true or false, found a string
    1 | trunks = 'no'
      |          ^^^^
    help: write true or false, without quotes

    a.toml:2:16: "etc" is not a whole path
    2 | asteriskconf = 'etc'
      |                ^^^^^
    help: write a whole path, for example "/etc/asterisk"
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
    a.toml:1:9: unclosed table, expected `]`
    1 | [default
      |         ^
    ");
    insta::assert_snapshot!(bad("[default]\nignoreip = [\"127.0.0.1\" \"::1\"]\n"), @r#"
    a.toml:2:25: missing comma between array elements, expected `,`
    2 | ignoreip = ["127.0.0.1" "::1"]
      |                         ^
    "#);
    insta::assert_snapshot!(bad("[default]\nmode = \"observe\nfindtime = 9\n"), @r#"
    a.toml:2:16: invalid basic string, expected `"`
    2 | mode = "observe
      |                ^
    "#);
    insta::assert_snapshot!(bad("enabled = True\n[jail.a b]\n"), @"
    a.toml:1:11: invalid boolean, expected `true`
    1 | enabled = True
      |           ^^^^

    a.toml:2:8: unclosed table, expected `]`
    2 | [jail.a b]
      |        ^
    ");
}

#[test]
fn what_is_no_configuration_at_all_is_answered() {
    let log =
        "[2026-11-22 01:01:03] NOTICE[7] chan_sip.c: Registration from '\"9\"<sip:9@h>' failed\n";
    let answer = bad(&log.repeat(2000));
    assert!(answer.starts_with("a.toml:1:12: unclosed table"), "{answer}");
    assert!(answer.lines().count() < 300);
    assert!(bad(&"a = [".repeat(50_000)).starts_with("a.toml:1:"));
    assert!(bad(&"{a = ".repeat(50_000)).starts_with("a.toml:1:"));
}

proptest! {
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

#[test]
fn what_is_about_all_jails_together() {
    insta::assert_snapshot!(bad("[jail.asterisk-scan]\nmaxunverified = 7\nknowngood = { time = '1h' }\n[default]\nmaxunverified = 0\nknowngood = { tim = '1h', maxrate = 'often', enabled = 'no', findtime = '1 eon' }\n"), @r#"
    a.toml:2:1: "maxunverified" is about all jails together
    2 | maxunverified = 7
      | ^^^^^^^^^^^^^
    help: write it below [default]

    a.toml:3:1: "knowngood" is about all jails together
    3 | knowngood = { time = '1h' }
      | ^^^^^^^^^
    help: write it below [default]

    a.toml:5:17: 0 is not between 1 and 4294967295
    5 | maxunverified = 0
      |                 ^
    help: write how many bans a minute may rest on packets that can be forged

    a.toml:6:15: unknown key "tim"
    6 | knowngood = { tim = '1h', maxrate = 'often', enabled = 'no', findtime = '1 eon' }
      |               ^^^
    help: did you mean "time"?

    a.toml:6:37: expected a whole number, found a string
    6 | knowngood = { tim = '1h', maxrate = 'often', enabled = 'no', findtime = '1 eon' }
      |                                     ^^^^^^^
    help: write after how many failures of one account in a minute nothing is excused

    a.toml:6:56: expected true or false, found a string
    6 | knowngood = { tim = '1h', maxrate = 'often', enabled = 'no', findtime = '1 eon' }
      |                                                        ^^^^
    help: write true or false, without quotes

    a.toml:6:73: unknown unit "eon": use s, m, h, d, w, M (months) or y
    6 | …e = 'often', enabled = 'no', findtime = '1 eon' }
      |                                          ^^^^^^^
    help: write for example "10m", "1d 12h", or 3600 (seconds)
    "#);
    insta::assert_snapshot!(bad("[default]\nknowngood = true\nmaxunverified = '100'\n"), @r#"
    a.toml:2:13: expected a table, found true or false
    2 | knowngood = true
      |             ^^^^
    help: write for example { time = "1d", maxunknown = 5, findtime = "10m", maxrate = 30 }

    a.toml:3:17: expected a whole number, found a string
    3 | maxunverified = '100'
      |                 ^^^^^
    help: write how many bans a minute may rest on packets that can be forged
    "#);
}

#[test]
fn lists() {
    insta::assert_snapshot!(bad("[lists]\nallow = ['203.0.113.256', 'sip.example.com']\nblock = '0.0.0.0/0'\nblockfile = '/x'\nblockfiles = 'x'\n"), @r#"
    a.toml:2:10: "203.0.113.256" is not an address or network
    2 | allow = ['203.0.113.256', 'sip.example.com']
      |          ^^^^^^^^^^^^^^^
    help: write an address such as 203.0.113.10, or a network, 203.0.113.0/24

    a.toml:2:27: "sip.example.com" is a name: lists have addresses only
    2 | allow = ['203.0.113.256', 'sip.example.com']
      |                           ^^^^^^^^^^^^^^^^^
    help: write names into ignoreip: they are looked up there

    a.toml:3:9: networks wider than /8 (IPv6: /16) are not blocked
    3 | block = '0.0.0.0/0'
      |         ^^^^^^^^^^^
    help: leave it out

    a.toml:4:1: unknown key "blockfile"
    4 | blockfile = '/x'
      | ^^^^^^^^^
    help: did you mean "blockfiles"?

    a.toml:5:14: "x" is not the path of a file
    5 | blockfiles = 'x'
      |              ^^^
    help: write whole paths, for example "/etc/asterguard/block.list"
    "#);
    insta::assert_snapshot!(bad("[feed.drop]\nfile = '/x'\n[feed.\"a b\"]\n"), @r#"
    a.toml:1:7: feed "drop" has no path
    1 | [feed.drop]
      |       ^^^^
    help: write for example: path = "/var/lib/feed.list"

    a.toml:2:1: unknown key "file"
    2 | file = '/x'
      | ^^^^
    help: known here: enabled, path

    a.toml:3:7: "a b" cannot be a name
    3 | [feed."a b"]
      |       ^^^^^
    help: use letters, digits, - and _, at most 64 of them
    "#);
    insta::assert_snapshot!(bad("[lists]\nguardedports = 22\n"), @"
    a.toml:2:16: these ports would be closed to everybody
    2 | guardedports = 22
      |                ^^
    help: say in allow or allowfiles who may reach them
    ");
}

#[test]
fn the_wire() {
    insta::assert_snapshot!(bad("[wire]\nenable = true\ngroup = 0\nsnaplen = 64\nforward = ['pbx']\n"), @r#"
    a.toml:2:1: unknown key "enable"
    2 | enable = true
      | ^^^^^^
    help: did you mean "enabled"?

    a.toml:3:9: 0 is not between 1 and 65535
    3 | group = 0
      |         ^
    help: write the number of an NFLOG group that nothing else listens to

    a.toml:4:11: 64 is not between 256 and 32768
    4 | snaplen = 64
      |           ^^
    help: write how many bytes of a packet are looked at: 2048

    a.toml:5:12: "pbx" is not an address or network
    5 | forward = ['pbx']
      |            ^^^^^
    help: write the addresses of PBXs behind this machine: ["172.17.0.2", "10.0.3.0/24"]
    "#);
}
