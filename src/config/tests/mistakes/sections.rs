//! Tests for mistakes in a jail, its filters, or another section as a whole.

use super::bad;

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
    help: rule files: asterisk-ami, asterisk-iax, asterisk-sip, kamailio, wire, wire-options, wire-iax, wire-ami, wire-http
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
    help: write absolute paths, for example "/var/log/asterisk/messages"
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
fn where_asterisks_configuration_is() {
    insta::assert_snapshot!(bad("trunks = 'no'\nasteriskconf = 'etc'\n"), @r#"
    a.toml:1:10: expected true or false, found a string
    1 | trunks = 'no'
      |          ^^^^
    help: write false, without quotes

    a.toml:2:16: "etc" is not an absolute path
    2 | asteriskconf = 'etc'
      |                ^^^^^
    help: write an absolute path, for example "/etc/asterisk"
    "#);
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
    help: write false, without quotes

    a.toml:6:73: unknown unit "eon": use s, m, h, d, w, M (months) or y
    6 | …e = 'often', enabled = 'no', findtime = '1 eon' }
      |                                          ^^^^^^^
    help: write for example "10m", "1d 12h", or 3600 (seconds)
    "#);
    insta::assert_snapshot!(bad("[default]\nknowngood = true\nmaxunverified = '100'\n"), @r#"
    a.toml:2:13: expected a table, found true or false
    2 | knowngood = true
      |             ^^^^
    help: write for example { time = "1d", maxunknown = 3, findtime = "10m", maxrate = 30 }

    a.toml:3:17: expected a whole number, found a string
    3 | maxunverified = '100'
      |                 ^^^^^
    help: write 100, without quotes
    "#);
}

#[test]
fn tags() {
    insta::assert_snapshot!(bad("[jail.asterisk-scan]\ntag = 'x'\n[default]\ntag = ['asterisk[1]', 'a b']\n"), @r#"
    a.toml:2:1: "tag" is about all jails together
    2 | tag = 'x'
      | ^^^
    help: write it below [default]

    a.toml:4:8: "asterisk[1]" is no tag
    4 | tag = ['asterisk[1]', 'a b']
      |        ^^^^^^^^^^^^^
    help: write the names before the brackets or the colon in the log, for example ["asterisk", "pbx"]; "<CONTAINER>" stands for any container

    a.toml:4:23: "a b" is no tag
    4 | tag = ['asterisk[1]', 'a b']
      |                       ^^^^^
    help: write the names before the brackets or the colon in the log, for example ["asterisk", "pbx"]; "<CONTAINER>" stands for any container
    "#);
}

#[test]
fn lists() {
    insta::assert_snapshot!(bad("[lists]\nallow = ['203.0.113.256', 'sip.example.com']\nblock = '0.0.0.0/0'\nblockfile = '/x'\nblockfiles = 'x'\n"), @r#"
    a.toml:2:11: "203.0.113.256" is not an address or network
    2 | allow = ['203.0.113.256', 'sip.example.com']
      |           ^^^^^^^^^^^^^
    help: write an address such as 203.0.113.10, or a network, 203.0.113.0/24

    a.toml:2:28: "sip.example.com" is a name: lists have addresses only
    2 | allow = ['203.0.113.256', 'sip.example.com']
      |                            ^^^^^^^^^^^^^^^
    help: write names into ignoreip: they are looked up there

    a.toml:3:10: networks wider than /8 (IPv6: /16) are not blocked
    3 | block = '0.0.0.0/0'
      |          ^^^^^^^^^
    help: leave it out

    a.toml:4:1: unknown key "blockfile"
    4 | blockfile = '/x'
      | ^^^^^^^^^
    help: did you mean "blockfiles"?

    a.toml:5:14: "x" is not the path of a file
    5 | blockfiles = 'x'
      |              ^^^
    help: write absolute paths, for example "/etc/asterguard/block.list"
    "#);
    insta::assert_snapshot!(bad("[feed.drop]\nfile = '/x'\n[feed.\"a b\"]\n"), @r#"
    a.toml:1:7: feed "drop" has no path and no url
    1 | [feed.drop]
      |       ^^^^
    help: write path = "/var/lib/feed.list", or url = "https://lists.example.com/drop.txt" to have it fetched

    a.toml:2:1: unknown key "file"
    2 | file = '/x'
      | ^^^^
    help: known here: enabled, path, url, every, format, jsonpath, keyfile, keyheader, cafile, redirecthosts

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
fn fetched_feeds() {
    let values = "[feed.a]\nurl = 'http://lists.example.com/'\nevery = '1m'\nformat = 'csv'\njsonpath = 'a[0]'\nkeyfile = 'key'\nkeyheader = 'a b'\nredirecthosts = ['https://x', '*']\nkey = 'x'\nurls = 'x'\n";
    insta::assert_snapshot!(bad(values), @r#"
    a.toml:2:7: with http:// everybody on the way could read this
    2 | url = 'http://lists.example.com/'
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^
    help: write where the list is: "https://lists.example.com/drop.txt"; a key goes into a file (keyfile), and {key} stands for it here

    a.toml:3:9: lists are fetched every five minutes at most, and every month at least
    3 | every = '1m'
      |         ^^^^
    help: write how often the list is fetched: between "5m" and "30d"

    a.toml:4:10: unknown format "csv"
    4 | format = 'csv'
      |          ^^^^^
    help: known: plain, apiban, json

    a.toml:5:12: "a[0]" is no way through JSON
    5 | jsonpath = 'a[0]'
      |            ^^^^^^
    help: write the keys that lead to the networks, with [] after each array: "data[].ipAddress"

    a.toml:6:11: "key" is not the path of a file
    6 | keyfile = 'key'
      |           ^^^^^
    help: write an absolute path, for example "/var/lib/feed.list"

    a.toml:7:13: "a b" is no name of a header
    7 | keyheader = 'a b'
      |             ^^^^^
    help: write the name of the header in which the service wants the key: "Key"

    a.toml:8:18: "https://x" is not the name of a host
    8 | redirecthosts = ['https://x', '*']
      |                  ^^^^^^^^^^^
    help: write the names of the hosts that the address may lead to: ["cdn.example.com"]

    a.toml:8:31: "*" is not the name of a host
    8 | redirecthosts = ['https://x', '*']
      |                               ^^^
    help: write the names of the hosts that the address may lead to: ["cdn.example.com"]

    a.toml:9:1: no secret may stand in this file
    9 | key = 'x'
      | ^^^
    help: write it into a file of its own that others may not read, and here keyfile = "/etc/asterguard/feed.key"

    a.toml:10:1: unknown key "urls"
    10 | urls = 'x'
       | ^^^^
    help: did you mean "url"?
    "#);
    let urls = "[feed.a]\nurl = 'https://me:pw@lists.example.com/'\n[feed.b]\nurl = 'https://{key}.example.com/'\nkeyfile = '/k'\n[feed.c]\nurl = 'lists.example.com'\n";
    insta::assert_snapshot!(bad(urls), @r#"
    a.toml:2:7: a name or password may not stand in this address
    2 | url = 'https://me:pw@lists.example.com/'
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    help: write where the list is: "https://lists.example.com/drop.txt"; a key goes into a file (keyfile), and {key} stands for it here

    a.toml:4:7: a key cannot stand in the name of a host: others would see it
    4 | url = 'https://{key}.example.com/'
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    help: write where the list is: "https://lists.example.com/drop.txt"; a key goes into a file (keyfile), and {key} stands for it here

    a.toml:7:7: this address (URL) does not begin with https://
    7 | url = 'lists.example.com'
      |       ^^^^^^^^^^^^^^^^^^^
    help: write where the list is: "https://lists.example.com/drop.txt"; a key goes into a file (keyfile), and {key} stands for it here
    "#);
    let whole = "[feed.a]\nurl = 'https://x.example.com/{key}'\n[feed.b]\nformat = 'apiban'\n[feed.c]\nformat = 'json'\nurl = 'https://x.example.com/'\n[feed.d]\npath = '/x'\nevery = '1h'\n[feed.e]\nurl = 'https://x.example.com/'\njsonpath = 'a'\nkeyheader = 'Key'\n";
    insta::assert_snapshot!(bad(whole), @r#"
    a.toml:2:1: this needs a key, and there is no keyfile
    2 | url = 'https://x.example.com/{key}'
      | ^^^
    help: write the file that holds nothing but the key: keyfile = "/etc/asterguard/feed.key"

    a.toml:4:1: this needs a key, and there is no keyfile
    4 | format = 'apiban'
      | ^^^^^^
    help: write the file that holds nothing but the key: keyfile = "/etc/asterguard/feed.key"

    a.toml:6:1: format = "json" needs a jsonpath
    6 | format = 'json'
      | ^^^^^^
    help: write the keys that lead to the networks, with [] after each array: "data[].ipAddress"

    a.toml:10:1: every is only for a feed with a url
    10 | every = '1h'
       | ^^^^^
    help: write where the list is: "https://lists.example.com/drop.txt"

    a.toml:13:1: only format = "json" has a jsonpath
    13 | jsonpath = 'a'
       | ^^^^^^^^
    help: write format = "json", or leave it out

    a.toml:14:1: there is no key for this header
    14 | keyheader = 'Key'
       | ^^^^^^^^^
    help: write keyfile beside it, and no {key} in the address
    "#);
}

#[test]
fn countries() {
    insta::assert_snapshot!(bad("[lists]\ncountries = { allow = ['DE', 'UK', 'Germany'], deny = 'RU', mod = 'x' }\n"), @r#"
    a.toml:2:30: "UK" is no country
    2 | countries = { allow = ['DE', 'UK', 'Germany'], deny = 'RU', mod = 'x' }
      |                              ^^^^
    help: write "GB": that is the United Kingdom's code

    a.toml:2:36: "Germany" is no country
    2 | countries = { allow = ['DE', 'UK', 'Germany'], deny = 'RU', mod = 'x' }
      |                                    ^^^^^^^^^
    help: write their two letters, for example ["DE", "AT"]

    a.toml:2:48: allow and deny exclude each other
    2 | countries = { allow = ['DE', 'UK', 'Germany'], deny = 'RU', mod = 'x' }
      |                                                ^^^^
    help: name those that may call, or those that may not

    a.toml:2:61: unknown key "mod"
    2 | countries = { allow = ['DE', 'UK', 'Germany'], deny = 'RU', mod = 'x' }
      |                                                             ^^^
    help: did you mean "mode"?
    "#);
    insta::assert_snapshot!(bad("[lists]\ncountries = { mode = 'enforce' }\n"), @r#"
    a.toml:2:13: countries names no country
    2 | countries = { mode = 'enforce' }
      |             ^^^^^^^^^^^^^^^^^^^^
    help: write for example: countries = { allow = ["DE", "AT"], mode = "observe" }
    "#);
    insta::assert_snapshot!(bad("[lists]\ncountries = { deny = ['UR', 'de', 'WX'] }\n"), @r#"
    a.toml:2:23: "UR" is no country
    2 | countries = { deny = ['UR', 'de', 'WX'] }
      |                       ^^^^
    help: did you mean "RU"?

    a.toml:2:35: "WX" is no country
    2 | countries = { deny = ['UR', 'de', 'WX'] }
      |                                   ^^^^
    help: near it: WF, WS
    "#);
}

#[test]
fn the_manager_interface() {
    insta::assert_snapshot!(bad("[ami]\nhost = '1.2.3'\nport = 0\nuser = 'a b'\nsecret = 'x'\nsecretfile = 'x'\ntsl = true\n"), @r#"
    a.toml:2:8: "1.2.3" is not the address or name of a host
    2 | host = '1.2.3'
      |        ^^^^^^^
    help: write the address of Asterisk: "127.0.0.1"

    a.toml:3:8: 0 is not between 1 and 65535
    3 | port = 0
      |        ^
    help: write the port of the manager interface: 5038, or 5039 with TLS

    a.toml:4:8: "a b" is not the name of a user
    4 | user = 'a b'
      |        ^^^^^
    help: write the name in brackets in manager.conf: letters, digits, - and _, at most 64

    a.toml:5:1: no secret may stand in this file
    5 | secret = 'x'
      | ^^^^^^
    help: write the secret into a file of its own, and here secretfile = "/etc/asterguard/ami.secret" (`asterguard ami-user --generate` does both)

    a.toml:6:14: "x" is not the path of a file
    6 | secretfile = 'x'
      |              ^^^
    help: write the path of the file with the secret: "/etc/asterguard/ami.secret"

    a.toml:7:1: unknown key "tsl"
    7 | tsl = true
      | ^^^
    help: known here: enabled, host, port, tls, cafile, user, secretfile
    "#);
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

    a.toml:5:13: "pbx" is not an address or network
    5 | forward = ['pbx']
      |             ^^^
    help: write the addresses of PBXs behind this machine: ["172.17.0.2", "10.0.3.0/24"]
    "#);
}

/// The messages and the advice, without what is between them.
fn messages(text: &str) -> Vec<String> {
    let all = bad(text);
    let lines = all.lines().filter(|line| line.starts_with("a.toml:") || line.starts_with("help:"));
    lines.map(str::to_owned).collect()
}

#[test]
fn notifiers_that_are_not_whole() {
    insta::assert_snapshot!(bad("[notify.a]\nkind = 'mailx'\nqiet = '22:00-07:00'\n"), @r#"
    a.toml:2:8: unknown kind "mailx"
    2 | kind = 'mailx'
      |        ^^^^^^^
    help: did you mean "mail"?

    a.toml:3:1: unknown key "qiet"
    3 | qiet = '22:00-07:00'
      | ^^^^
    help: did you mean "quiet"?
    "#);
    for (text, expected) in [
        (
            "[notify.a]\n",
            [
                "a.toml:1:9: notifier \"a\" has no kind",
                "help: write kind = \"mail\", \"webhook\" or \"command\"",
            ],
        ),
        (
            "[notify.a]\nkind = 'mail'\n",
            [
                "a.toml:1:9: notifier \"a\" has no to",
                "help: write whom to send the mails: to = [\"admin@example.com\"]",
            ],
        ),
        (
            "[notify.a]\nkind = 'mail'\nto = 'x@example.com'\nurl = 'https://example.com'\n",
            [
                "a.toml:4:1: url is not for kind = \"mail\"",
                "help: its keys: server, port, security, user, passwordfile, cafile, from, to, whois",
            ],
        ),
        (
            "[notify.a]\nkind = 'mail'\nto = 'x@example.com'\nserver = 'mail.example.com'\nsecurity = 'none'\n",
            [
                "a.toml:5:1: everybody on the way to mail.example.com could read these mails",
                "help: write security = \"starttls\" or \"tls\"; \"none\" is only for a server on this machine",
            ],
        ),
        (
            "[notify.a]\nkind = 'mail'\nto = 'admin'\n",
            [
                "a.toml:3:6: \"admin\" is not an address for mail",
                "help: write whom to send the mails: [\"admin@example.com\"]",
            ],
        ),
        (
            "[notify.a]\nkind = 'mail'\nto = 'x@example.com'\nuser = 'x'\n",
            [
                "a.toml:1:9: notifier \"a\" has no passwordfile",
                "help: write the file with the password of this user",
            ],
        ),
        (
            "[notify.a]\nkind = 'mail'\nto = 'x@example.com'\npassword = 'x'\n",
            [
                "a.toml:4:1: no secret may stand in this file",
                "help: write it into a file of its own that others may not read, and here passwordfile = \"/etc/asterguard/notify.secret\"",
            ],
        ),
    ] {
        assert_eq!(messages(text), expected, "{text}");
    }
}

#[test]
fn notifiers_whose_values_are_wrong() {
    for (text, expected) in [
        (
            "[notify.a]\nkind = 'webhook'\nurl = 'http://example.com/x'\n",
            [
                "a.toml:3:7: with http:// everybody on the way could read this",
                "help: write the address that the service gave you: \"https://hooks.example.com/…\"; better, write it into a file, and here urlfile = \"/etc/asterguard/notify.url\"",
            ],
        ),
        (
            "[notify.a]\nkind = 'webhook'\npreset = 'telegram'\nurlfile = '/etc/x'\n",
            [
                "a.toml:1:9: notifier \"a\" has no chat",
                "help: write the number of the chat: chat = \"-1001234567890\"",
            ],
        ),
        (
            "[notify.a]\nkind = 'command'\ncommand = 'mail root'\n",
            [
                "a.toml:3:11: expected an array of strings, found a string",
                "help: write the path of a program and its arguments: [\"/usr/local/bin/tell\", \"--ban\"]; no shell reads them",
            ],
        ),
        (
            "[notify.a]\nkind = 'command'\ncommand = ['tell']\n",
            [
                "a.toml:3:12: \"tell\" is not the path of a file",
                "help: write the path of a program and its arguments: [\"/usr/local/bin/tell\", \"--ban\"]; no shell reads them",
            ],
        ),
        (
            "[notify.a]\nkind = 'command'\ncommand = ['/bin/tell']\nquiet = '22-7'\n",
            [
                "a.toml:4:9: \"22-7\" are no hours of a day",
                "help: write from when until when, in the time of this machine: \"22:00-07:00\"",
            ],
        ),
        (
            "[notify.a]\nkind = 'command'\ncommand = ['/bin/tell']\non = ['login']\n",
            [
                "a.toml:4:7: unknown event \"login\"",
                "help: known: ban, unban, observed, login-from-new-network, health, order, heal, start, stop, lost, report",
            ],
        ),
        (
            "[notify.a]\nkind = 'command'\ncommand = ['/bin/tell']\non = ['ban', 'report']\n",
            [
                "a.toml:4:1: only a mail can hold a report",
                "help: write \"report\" into a notifier of kind = \"mail\"",
            ],
        ),
        (
            "[notify.a]\nkind = 'command'\ncommand = ['/bin/tell']\ndigest = '8d'\n",
            ["a.toml:4:10: longer than 7d", "help: write a shorter time"],
        ),
    ] {
        assert_eq!(messages(text), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_with_new_networks() {
    for (text, said) in [
        ("[default]\nnewnetworks = true", "write for example { enabled = true, learn = \"1w\" }"),
        ("[default]\nnewnetworks = { weeks = 1 }", "weeks"),
        ("[default]\nnewnetworks = { learn = 'long' }", "long"),
        ("[jail.asterisk-scan]\nnewnetworks = {}", "is about all jails together"),
    ] {
        let found = bad(text);
        assert!(found.contains(said), "{text}: {found}");
    }
}

#[test]
fn fleets_that_are_not_whole() {
    insta::assert_snapshot!(bad("[fleet]\nserver = 'redis://a@valkey.example.org'\naccept = ['hearsay']\ntls_cert = '/c'\n[fleet.peers]\nPBX = 'x'\npbx2 = 'x'\n"), @r#"
    a.toml:1:2: [fleet] has no node
    1 | [fleet]
      |  ^^^^^
    help: write the name of this node: node = "pbx1"

    a.toml:1:2: [fleet] has no key
    1 | [fleet]
      |  ^^^^^
    help: make a key by `asterguard fleet keygen`, and name its file: key = "/etc/asterguard/fleet/node.key"

    a.toml:1:2: this user has no password
    1 | [fleet]
      |  ^^^^^
    help: name the file with it: password = "/etc/asterguard/fleet/password"

    a.toml:2:1: everybody on the way to valkey.example.org could read along and use this connection
    2 | server = 'redis://a@valkey.example.org'
      | ^^^^^^
    help: write rediss:// for TLS; insecure = true if the way is protected otherwise

    a.toml:3:11: unknown evidence "hearsay"
    3 | accept = ['hearsay']
      |           ^^^^^^^^^
    help: known: proven, unverified

    a.toml:4:1: [fleet] has no tls_key
    4 | tls_cert = '/c'
      | ^^^^^^^^
    help: a certificate needs its private key: write both, or none

    a.toml:4:1: without TLS, tls_cert has no effect
    4 | tls_cert = '/c'
      | ^^^^^^^^
    help: leave it out, or write rediss:// for TLS

    a.toml:6:1: a node's name has 1 to 63 lower-case letters, digits and hyphens, and begins with a letter or digit
    6 | PBX = 'x'
      | ^^^
    help: write the name that the peer calls itself

    a.toml:7:8: a public key has 44 characters of base64, as `asterguard fleet keygen` prints them
    7 | pbx2 = 'x'
      |        ^^^
    help: write the line that `asterguard fleet keygen` printed there, or "revoked"
    "#);
    for (server, message) in [
        ("http://a", "only redis:// and rediss:// (TLS) can be used"),
        ("a", "this is no address of a server"),
        ("rediss://a:s3cret@b", "no password may stand in this file"),
        ("rediss://a b@b", "the user's name may have letters, digits and -_. only"),
        ("rediss://a/0", "this is not the address or name of a host"),
        ("rediss://a:70000", "this is no port"),
        ("rediss://[::1", "this is no address of a server"),
    ] {
        let text = format!("[fleet]\nserver = '{server}'\nnode = 'a'\nkey = '/k'\n");
        assert_eq!(messages(&text)[0], format!("a.toml:2:10: {message}"));
    }
    let own =
        "[fleet]\nserver = 'rediss://a'\nnode = 'a'\nkey = '/k'\n[fleet.peers]\na = 'revoked'\n";
    assert_eq!(messages(own)[0], "a.toml:5:8: this node itself is among its peers");
}
