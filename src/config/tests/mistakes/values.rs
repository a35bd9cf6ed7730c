//! Values that are of the right type and mean nothing.

use super::bad;

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
    help: known: drop, reject, drop-new

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
    help: write 64: a host with one IPv6 address usually has its whole /64
    ");
    insta::assert_snapshot!(bad("[default]\nmaxretry = 0x1_0000_0000\nipv6prefix = 0\nbantime = { first = '1h', factor = 0 }\n"), @"
    a.toml:2:12: 0x100000000 is not between 1 and 4294967295
    2 | maxretry = 0x1_0000_0000
      |            ^^^^^^^^^^^^^
    help: write 1 to ban at the first offence, 3 to ban at the third

    a.toml:3:14: 0 is not between 1 and 128
    3 | ipv6prefix = 0
      |              ^
    help: write 64: a host with one IPv6 address usually has its whole /64

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
    a.toml:2:12: "permanent" is not a duration
    2 | findtime = 'permanent'
      |            ^^^^^^^^^^^
    help: write for example "10m", "1d 12h", or 3600 (seconds)

    a.toml:3:11: -7 must not be negative
    3 | bantime = -7
      |           ^^
    help: write for example "1h", "permanent", or { first = "1h", factor = 4, max = "30d" }
    "#);
    insta::assert_snapshot!(bad("[default]\nbantime = { first = '2d', factor = 4, max = '1d' }\n"), @r#"
    a.toml:2:45: shorter than the first ban
    2 | bantime = { first = '2d', factor = 4, max = '1d' }
      |                                             ^^^^
    help: write at least "2d"
    "#);
    insta::assert_snapshot!(bad("[default]\nbantime = { first = 'permanent', max = '200y' }\nunverified = { bantime = '' }\n"), @r#"
    a.toml:2:40: too long: the longest is 100y
    2 | bantime = { first = 'permanent', max = '200y' }
      |                                        ^^^^^^
    help: write for example "10m", "1d 12h", 3600 (seconds) or "permanent"

    a.toml:3:26: "" is not a duration
    3 | unverified = { bantime = '' }
      |                          ^^
    help: write for example "1h", "permanent", or { first = "1h", factor = 4, max = "30d" }
    "#);
}

#[test]
fn paths() {
    insta::assert_snapshot!(bad("[default]\nlogpath = ['messages', '/var/log/asterisk/', '/var/log/***.log']\n"), @r#"
    a.toml:2:12: "messages" is not the path of a file
    2 | logpath = ['messages', '/var/log/asterisk/', '/var/log/***.log']
      |            ^^^^^^^^^^
    help: write absolute paths, for example "/var/log/asterisk/messages"

    a.toml:2:24: "/var/log/asterisk/" is not the path of a file
    2 | logpath = ['messages', '/var/log/asterisk/', '/var/log/***.log']
      |                        ^^^^^^^^^^^^^^^^^^^^
    help: write absolute paths, for example "/var/log/asterisk/messages"

    a.toml:2:46: not a pattern: wildcards are either regular `*` or recursive `**`
    2 | logpath = ['messages', '/var/log/asterisk/', '/var/log/***.log']
      |                                              ^^^^^^^^^^^^^^^^^^
    help: * stands for any characters, ? for one, [abc] for one of these; ** only between slashes
    "#);
}

#[test]
fn parts_of_the_journal() {
    insta::assert_snapshot!(bad("[default]\nlogpath = ['journal:asterisk', 'journal:*.service']\n"), @r#"
    a.toml:2:12: "journal:asterisk" names no part of the journal
    2 | logpath = ['journal:asterisk', 'journal:*.service']
      |            ^^^^^^^^^^^^^^^^^^
    help: a unit ends with .service or .scope: write for example journal:asterisk.service

    a.toml:2:32: "journal:*.service" names no part of the journal
    2 | logpath = ['journal:asterisk', 'journal:*.service']
      |                                ^^^^^^^^^^^^^^^^^^^
    help: a part of the journal is no pattern: name one unit, for example journal:asterisk.service
    "#);
    insta::assert_snapshot!(bad("[default]\nlogpath = ['journal:uid:asterisk', 'journal:a b.service', 'journal:']\n"), @r#"
    a.toml:2:12: "journal:uid:asterisk" names no part of the journal
    2 | logpath = ['journal:uid:asterisk', 'journal:a b.service', 'journal:']
      |            ^^^^^^^^^^^^^^^^^^^^^^
    help: a user is named by its number (id -u asterisk): write for example journal:uid:996

    a.toml:2:36: "journal:a b.service" names no part of the journal
    2 | logpath = ['journal:uid:asterisk', 'journal:a b.service', 'journal:']
      |                                    ^^^^^^^^^^^^^^^^^^^^^
    help: this is no name of a unit or container

    a.toml:2:59: "journal:" names no part of the journal
    2 | logpath = ['journal:uid:asterisk', 'journal:a b.service', 'journal:']
      |                                                           ^^^^^^^^^^
    help: the unit is missing: write for example journal:asterisk.service
    "#);
}

#[test]
fn port_lists() {
    insta::assert_snapshot!(bad("[default]\nport = 'sipp'\nunverified = { port = 'shop' }\n"), @r#"
    a.toml:2:8: unknown port list "sipp"
    2 | port = 'sipp'
      |        ^^^^^^
    help: did you mean "sip"?

    a.toml:3:23: unknown port list "shop"
    3 | unverified = { port = 'shop' }
      |                       ^^^^^^
    help: port lists: all, ami, ftp, http, iax, mail, sip, ssh, web
    "#);
    insta::assert_snapshot!(bad("[default]\nport = '5060-5061'\n"), @r#"
    a.toml:2:8: unknown port list "5060-5061"
    2 | port = '5060-5061'
      |        ^^^^^^^^^^^
    help: name these ports below [ports], for example mine = ["5060-5061"], and write port = "mine" here; the ports of SIP are "sip"
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
    help: write [5060, 5061]

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
