//! Stand-ins for configurations that are in use, each with what is strange about it: read, checked, and run beside the
//! real fail2ban on the same lines.
//!
//! All of them are written for this test. They have the oddities of real ones, and not their texts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use asterguard::fail2ban::jails::{Configuration, load};
use asterguard::fail2ban::report::Verdict;
use asterguard::fail2ban::translation::{Translation, translate};
use asterguard::rules::RuleSet;

use crate::guards::{fail2ban, named_by_fail2ban, named_by_us};

/// Lines that Asterisk writes, each with a number: of `chan_sip`, the SECURITY level, `chan_pjsip`, AMI, a dialplan, a syslog.
const LINES: [&str; 16] = [
    "[2026-11-22 10:00:01] NOTICE[1638] chan_sip.c: Registration from '\"100\"<sip:100@192.0.2.10>' failed for '203.0.113.1:5071' - Wrong password",
    "[2026-11-22 10:00:02] NOTICE[1638] chan_sip.c: Registration from '<sip:9@192.0.2.10>' failed for '203.0.113.2:5071' - No matching peer found",
    "[2026-11-22 10:00:03] NOTICE[1638] chan_sip.c: Registration from '<sip:100@192.0.2.10>' failed for '203.0.113.3' - Wrong password",
    "[2026-11-22 10:00:04] NOTICE[1638][C-00000001] chan_sip.c: Call from '' (203.0.113.4:5060) to extension '00972' rejected because extension not found in context 'default'.",
    "[2026-11-22 10:00:00] SECURITY[1724] res_security_log.c: SecurityEvent=\"ChallengeResponseFailed\",EventTV=\"2026-11-22T10:00:00.659+0100\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"1000\",SessionID=\"abc@203.0.113.9\",LocalAddress=\"IPV4/UDP/192.0.2.10/5060\",RemoteAddress=\"IPV4/UDP/203.0.113.5/5071\",Challenge=\"1569024763/510a77c1\",Response=\"8e18d5a3\",ExpectedResponse=\"\"",
    "[2026-11-22 10:00:06] SECURITY[99] res_security_log.c: SecurityEvent=\"InvalidAccountID\",EventTV=\"2026-11-22T10:00:06.000+0000\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"bob\",SessionID=\"a@b\",LocalAddress=\"IPV4/TCP/192.0.2.10/5060\",RemoteAddress=\"IPV4/TCP/203.0.113.6/5071\"",
    "[2026-11-22 10:00:07] SECURITY[99] res_security_log.c: SecurityEvent=\"SuccessfulAuth\",EventTV=\"2026-11-22T10:00:07.000+0000\",Severity=\"Informational\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"100\",SessionID=\"a@b\",LocalAddress=\"IPV4/UDP/192.0.2.10/5060\",RemoteAddress=\"IPV4/UDP/203.0.113.7/5071\",UsingPassword=\"1\"",
    "[2026-11-22 10:00:08] NOTICE[77] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from '<sip:100@192.0.2.10>' failed for '203.0.113.8:5071' (callid: a1) - No matching endpoint found",
    "[2026-11-22 10:00:09] NOTICE[77] res_pjsip/pjsip_distributor.c: Request 'INVITE' from '<sip:100@192.0.2.10>' failed for '203.0.113.9:5071' (callid: a1) - Failed to authenticate",
    "[2026-11-22 10:00:10] NOTICE[55] manager.c: 203.0.113.10 failed to authenticate as 'admin'",
    "[2026-11-22 10:00:11] NOTICE[55] manager.c: 203.0.113.11 tried to authenticate with nonexistent user 'x'",
    "[2026-11-22 10:00:12] NOTICE[12][C-00000002] Ext. pin: wrong PIN from 203.0.113.12:5071",
    "[2026-11-22 10:00:13] VERBOSE[12][C-00000003] pbx.c: Executing [00@public:1] NoOp(\"SIP/203.0.113.13-0000001\", \"x\") in new stack",
    "Nov 22 10:00:14 pbx asterisk[555]: NOTICE[541]: chan_sip.c:29062 in handle_request_register: Registration from '<sip:9@192.0.2.10>' failed for '203.0.113.14:5071' - No matching peer found",
    "[2026-11-22 10:00:15] NOTICE[1638] chan_sip.c: Registration from '\"x' failed for '198.51.100.66:5060' - Wrong password\" <sip:1@192.0.2.10>' failed for '203.0.113.15:5071' - Wrong password",
    "[2026-11-22 10:00:16] WARNING[9] chan_iax2.c: Host 203.0.113.16 failed MD5 authentication for 'trunk' (a != b)",
];

/// A configuration.
struct Case {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// The jail that is run.
    jail: &'static str,
    /// What the report or the mistakes say.
    said: &'static [&'static str],
    /// Lines, by number, where fail2ban counts a host and we do not, and why.
    differs: &'static [(usize, Difference, &'static str)],
}

/// What we do with a host that fail2ban counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// It is shown, as hearsay, and bans nobody.
    NotBelieved,
    /// No rule reads the line.
    NotNamed,
}

const COMMON: (&str, &str) = (
    "filter.d/common.conf",
    "[DEFAULT]\nlogtype = file\n_daemon = \\S*\n__date_ambit = (?:\\[\\])\n\
     __prefix_line = <lt_<logtype>/__prefix_line>\n\
     [lt_file]\n__prefix_line = (?:%(__date_ambit)s\\s*|\\S+ <_daemon>\\[\\d+\\]: )?\n\
     [lt_journal]\n__prefix_line = \\s*\n",
);

/// A filter in the manner of the newest ones: a prefix, then whole messages.
const PREFIXED: &str = "[INCLUDES]\nbefore = common.conf\n[Definition]\n_daemon = asterisk\n\
    __pid = (?:\\[\\d+\\])\nlead = (?:NOTICE|WARNING|SECURITY)%(__pid)s:?(?:\\[C-[\\da-f]+\\])? [^:]+:\\d*(?: in [^:]+:)?\n\
    prefregex = ^\\s*%(__prefix_line)s\\s*%(lead)s <F-CONTENT>.+</F-CONTENT>$\n\
    failregex = ^Registration of '[^']*' refused to '<HOST>'$\n  ^Registration from '.*' failed for '<HOST>(?::\\d+)?' - [\\w ]+$\n  \
    ^Request '[^']*' from '[^']*' failed for '<HOST>(?::\\d+)?' \\(callid: [^)]*\\) - [\\w ]+$\nignoreregex =\ndatepattern = {^LN-BEG}\n";

const CASES: &[Case] = &[
    Case {
        name: "1: free text in the lines of a syslog",
        files: &[
            (
                "filter.d/asterisk.conf",
                "[Definition]\nfailregex = asterisk.*chan_sip.c.*Registration of '.*' refused: '<HOST>'\n  asterisk.*chan_sip.c.*failed for '<HOST>\n",
            ),
            (
                "jail.local",
                "[asterisk]\nenabled = true\nfilter = asterisk\nlogpath = /var/log/syslog\nmaxretry = 3\naction = iptables-allports[name=A, protocol=all]\n",
            ),
        ],
        jail: "asterisk",
        said: &["port = \"all\"|", "a stranger can write in it"],
        differs: &[(
            13,
            Difference::NotBelieved,
            "in syslog, text of any length stands before the host",
        )],
    },
    Case {
        name: "2: tabs, a macro, an anchor in the middle, look-ahead",
        files: &[
            (
                "filter.d/pbx.conf",
                "[Definition]\n_c_ooooo = (?:\\[C-[0-9a-f]+\\])?\nfailregex =\t^.*NOTICE\\[\\d+\\]%(_c_ooooo)s chan_sip\\.c: Registration from '.*' failed for '<HOST>(?::\\d+)?' - Wrong password$\n\t\tNOTICE ^middle <HOST>\n\t\tSecurityEvent=\"(?!Successful|Challenge)\\w+\".*RemoteAddress=\"IPV[46]/\\w+/<HOST>/\\d+\"\n",
            ),
            (
                "jail.local",
                "[asterisk]\nenabled=true\nfilter=pbx\nlogpath=/storage/usbdisk1/mikopbx/log/asterisk/security_log\nbantime=86400\n",
            ),
        ],
        jail: "asterisk",
        said: &["bantime = 86400", "asterisk-security/", "hearsay"],
        differs: &[],
    },
    Case {
        name: "3: the prefix is commented out, so anchors match bare messages only",
        files: &[
            (
                "filter.d/asterisk.conf",
                "[INCLUDES]\nbefore = common.conf\n[Definition]\n#prefregex = ^x<F-CONTENT>.+</F-CONTENT>$\nfailregex = ^Registration from '[^']*' failed for '<HOST>(?::\\d+)?' - Wrong password$\n",
            ),
            COMMON,
            (
                "jail.conf",
                "[DEFAULT]\nbantime = 10m\n[asterisk]\nenabled = true\nfilter = asterisk\nlogpath = /var/log/asterisk/full\n",
            ),
        ],
        jail: "asterisk",
        said: &["/var/log/asterisk/full"],
        differs: &[],
    },
    Case {
        name: "4: a stray byte before the first comment, and an action of its own",
        files: &[
            (
                "filter.d/asterisk.conf",
                "i# a comment, once\n[Definition]\nfailregex = NOTICE.* .*: Registration from '.*' failed for '<HOST>:.*' - No matching peer found\n",
            ),
            ("action.d/mine.conf", "[Definition]\nactionban = iptables -I x -s <ip> -j DROP\n"),
            (
                "jail.d/asterisk.conf",
                "[asterisk]\nenabled  = true\nfilter = asterisk\nport = 0:65535\naction = mine[name=a]\nlogpath = /var/log/asterisk/messages\n",
            ),
            ("jail.conf", "[DEFAULT]\n"),
        ],
        jail: "asterisk",
        said: &[
            "filter.d/asterisk.conf:1:1: this is neither",
            "its commands are never run by a shell",
            "port = \"all\"|",
        ],
        differs: &[],
    },
    Case {
        name: "5: hundreds of blanks at the ends, and numbers only",
        files: &[
            (
                "filter.d/asterisk.conf",
                "[Definition]\nfailregex = SECURITY.* SecurityEvent=\"ChallengeResponseFailed\".*,AccountID=\"(\\d*|<unknown>)\".*,RemoteAddress=\"IPV[46]/(UDP|TCP|WS)/<HOST>/\\d+\"                                                                                                                                                                 \n      NOTICE.* failed for '<HOST>(:\\d+)?' - Wrong password$                                                      \n",
            ),
            (
                "jail.local",
                "[asterisk]\nenabled = true\nfilter = asterisk\nlogpath = /var/log/asterisk/security\n",
            ),
        ],
        jail: "asterisk",
        said: &["asterisk-security/pjsip-"],
        differs: &[],
    },
    Case {
        name: "6: tabs and blanks mixed, and anything behind the host",
        files: &[
            (
                "filter.d/asterisk.conf",
                "[Definition]\nfailregex = NOTICE.* .*: Registration from '.*' failed for '<HOST>.*' - Wrong password\n \t NOTICE.* .*: Registration from '.*' failed for '<HOST>.*' - No matching\n\t NOTICE.* <HOST> failed to authenticate as '.*'$\n        NOTICE.* .*: Host <HOST> failed MD5 authentication for '.*' (.*)\n",
            ),
            (
                "jail.local",
                "[asterisk-iptables]\nenabled = true\nfilter = asterisk\nlogpath = /var/log/asterisk/full\nmaxretry=5\nbantime = 259200\n",
            ),
        ],
        jail: "asterisk-iptables",
        said: &["a stranger can write in it"],
        differs: &[
            (
                1,
                Difference::NotBelieved,
                "the true end has an m, which an ESC in the sender's text can hide",
            ),
            (
                13,
                Difference::NotBelieved,
                "the true end has an m, which an ESC in the sender's text can hide",
            ),
        ],
    },
    Case {
        name: "7: an old filter without ports",
        files: &[
            (
                "filter.d/asterisk.conf",
                "[INCLUDES]\n[Definition]\nfailregex = NOTICE.* .*: Registration from '.*' failed for '<HOST>' - Wrong password\n            NOTICE.* <HOST> failed to authenticate as '.*'$\nignoreregex =\n",
            ),
            (
                "jail.conf",
                "[DEFAULT]\nignoreip = 127.0.0.1 192.168.0.0/16,10.0.0.0/8\nbantime = 600\n[asterisk-iptables]\nenabled=true\nfilter=asterisk\nlogpath=/var/log/asterisk/full\nbantime = -1\naction = iptables-allports[name=ASTERISK, protocol=all]\n  sendmail-whois[name=ASTERISK, dest=root, sender=fail2ban@localhost]\n",
            ),
        ],
        jail: "asterisk-iptables",
        said: &[
            "bantime = -1",
            "`root` is no address outside of this machine",
            "127.0.0.1 192.168.0.0/16,10.0.0.0/8",
        ],
        differs: &[],
    },
    Case {
        name: "8: unescaped parentheses, and names of channels in VERBOSE",
        files: &[
            (
                "filter.d/asterisk.conf",
                "[Definition]\nfailregex = NOTICE.* .*: Registration from '.*' failed for '<HOST>:\\d+' - ACL error (permit/deny)\n  VERBOSE.* NoOp\\(\"SIP/<HOST>-\n  NOTICE.*  twice <HOST>\n",
            ),
            (
                "jail.local",
                "[asterisk]\nenabled = true\nfilter = asterisk\nlogpath = /var/log/asterisk/full\n",
            ),
        ],
        jail: "asterisk",
        said: &["hearsay"],
        differs: &[(12, Difference::NotBelieved, "VERBOSE lines hold free text")],
    },
    Case {
        name: "9: any address of any security event",
        files: &[
            (
                "filter.d/asterisk.conf",
                "[Definition]\nfailregex = .*SECURITY.*ChallengeResponseFailed.*RemoteAddress=\"IPV4/(UDP|TCP|TLS)/<HOST>/.*\n  .*SECURITY.*InvalidAccountID.*RemoteAddress=\"IPV4/(UDP|TCP|TLS)/<HOST>/.*\n",
            ),
            (
                "jail.d/asterisk.local",
                "[asterisk]\nenabled = true\nfilter = asterisk\nport = 5060,5061\nprotocol = udp\nlogpath = /var/log/asterisk/security.log\n",
            ),
            ("jail.conf", "[DEFAULT]\n"),
        ],
        jail: "asterisk",
        said: &["asterisk-security/pjsip-", "a ban closes UDP and TCP"],
        differs: &[],
    },
    Case {
        name: "10: a failregex without a host",
        files: &[
            (
                "filter.d/asterisk.conf",
                "[Definition]\nfailregex = NOTICE.* rejected because extension not found\n  NOTICE.* .*: Call from '.*' \\(<HOST>:\\d+\\) to extension\n",
            ),
            (
                "jail.local",
                "[asterisk]\nenabled = true\nfilter = asterisk\nlogpath = /var/log/asterisk/messages\n",
            ),
        ],
        jail: "asterisk",
        said: &["no host stands in it", "asterisk-sip/unknown-extension"],
        differs: &[],
    },
    Case {
        name: "11: a section for the journal that extends the prefix",
        files: &[
            ("filter.d/asterisk.conf", PREFIXED),
            (
                "filter.d/asterisk.local",
                "[lt_journal]\nextra = (?:\\[[^\\]]+\\]\\s+)?\n__prefix_line = %(known/__prefix_line)s%(extra)s\n",
            ),
            COMMON,
            (
                "jail.local",
                "[asterisk]\nenabled = true\nfilter = asterisk[logtype=journal]\nbackend = systemd\njournalmatch = _SYSTEMD_UNIT=asterisk.service\n",
            ),
        ],
        jail: "asterisk",
        said: &["journal:asterisk.service"],
        differs: &[],
    },
    Case {
        name: "12: two actions, a mail, an empty prefix",
        files: &[
            (
                "filter.d/cyber.conf",
                "[Definition]\n_daemon = asterisk\nprefregex =\nfailregex = ^.*: wrong PIN from <HOST>:\\d+$\nignoreregex =\n",
            ),
            (
                "jail.d/a.conf",
                "[DEFAULT]\nmta = sendmail\ndestemail = admin@example.com\nbanaction = iptables-multiport\n[cyber-asterisk]\nenabled = true\nfilter = cyber\nport = 5060,5061\naction = %(banaction)s[name=%(__name__)s-tcp, port=\"%(port)s\", protocol=\"tcp\", actname=%(banaction)s-tcp]\n   %(banaction)s[name=%(__name__)s-udp, port=\"%(port)s\", protocol=\"udp\", actname=%(banaction)s-udp]\n   %(mta)s-whois[name=%(__name__)s, dest=\"%(destemail)s\"]\nlogpath = /var/log/asterisk/own\n",
            ),
            ("jail.conf", "[DEFAULT]\n"),
        ],
        jail: "cyber-asterisk",
        said: &["[notify.mail-of-fail2ban], switched off", "whois = true|", "hearsay"],
        differs: &[(
            11,
            Difference::NotBelieved,
            "free text before it, so a stranger may write all of it",
        )],
    },
    Case {
        name: "13: the newest form, with an optional part",
        files: &[
            ("filter.d/asterisk.conf", PREFIXED),
            COMMON,
            (
                "jail.local",
                "[asterisk]\nenabled = true\nfilter = asterisk\nlogpath = /var/log/asterisk/messages\nbantime.increment = true\nbantime.factor = 2\nbantime.formula = ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor\nbantime.maxtime = 5w\nbantime = 1h\n",
            ),
        ],
        jail: "asterisk",
        said: &[
            "a rule; its host counts as unproven",
            "bantime = { first = 7200, factor = 2, max = \"5w\" }|",
        ],
        differs: &[
            (
                1,
                Difference::NotBelieved,
                "the true end has an m, which an ESC in the sender's text can hide",
            ),
            (7, Difference::NotBelieved, "text from outside on both sides of the address"),
            (8, Difference::NotBelieved, "text from outside on both sides of the address"),
            (13, Difference::NotBelieved, "in syslog, text of any length stands before the host"),
        ],
    },
    Case {
        name: "14: two logs in one value",
        files: &[
            (
                "filter.d/asterisk.local",
                "[Definition]\nfailregex = %(known/failregex)s\n   ^\\[\\] NOTICE\\[\\d+\\]\\[C-\\w+\\] Ext\\. pin: wrong PIN from <HOST>:\\d+$\n",
            ),
            (
                "filter.d/asterisk.conf",
                "[Definition]\nfailregex = NOTICE.* failed for '<HOST>(:\\d+)?' - Wrong password$\n",
            ),
            (
                "jail.d/asterisk.local",
                "[asterisk]\nenabled = true\nfilter = asterisk\nlogpath = /var/log/asterisk/security\n    /var/log/asterisk/full\n",
            ),
            ("jail.conf", "[DEFAULT]\n"),
        ],
        jail: "asterisk",
        said: &[
            "logpath = /var/log/asterisk/security",
            "logpath = /var/log/asterisk/full",
            "its host counts as unproven",
        ],
        differs: &[],
    },
    Case {
        name: "15: comments with semicolons, two actions with a chain",
        files: &[
            (
                "filter.d/asterisk.conf",
                "[Definition]\n; old\nfailregex = NOTICE.* failed for '<HOST>(:\\d+)?' - Wrong password$ ; this one\n",
            ),
            (
                "jail.d/asterisk.conf",
                "; mine\n[asterisk]\nenabled = true ; yes\nbackend = polling\nfilter = asterisk\nlogpath = /var/log/asterisk/full\nchain = INPUT\naction = iptables-multiport[name=a, port=\"5060\", protocol=tcp, chain=\"%(chain)s\"]\n         iptables-multiport[name=b, port=\"5060\", protocol=udp, chain=\"%(chain)s\"]\n",
            ),
            ("jail.conf", "[DEFAULT]\n"),
        ],
        jail: "asterisk",
        said: &["the guard has a table of its own"],
        differs: &[],
    },
    Case {
        name: "16: a filter and an action of its own",
        files: &[
            (
                "filter.d/asterisk-pjsip-auth.conf",
                "[Definition]\nfailregex = ^.*NOTICE.*res_pjsip/pjsip_distributor\\.c: Request '.*' from '.*' failed for '<HOST>:\\d+' \\(callid: .*\\) - (?:No matching endpoint found|Failed to authenticate)$\nignoreregex = callid: friend\n",
            ),
            (
                "action.d/iptables-docker.conf",
                "[Definition]\nactionban = iptables -I DOCKER-USER -s <ip> -j DROP\n",
            ),
            (
                "jail.d/asterisk.conf",
                "[asterisk-pjsip-auth]\nenabled = true\nfilter = asterisk-pjsip-auth\naction = iptables-docker\nlogpath = /var/log/asterisk/messages\nmaxretry = 4\n",
            ),
            ("jail.conf", "[DEFAULT]\n"),
        ],
        jail: "asterisk-pjsip-auth",
        said: &["asterisk-pjsip/", "maxretry = 4"],
        differs: &[
            (7, Difference::NotBelieved, "text from outside on both sides of the address"),
            (8, Difference::NotBelieved, "text from outside on both sides of the address"),
        ],
    },
    Case {
        name: "17: no filter named, and addresses of others let through",
        files: &[
            (
                "filter.d/asterisk-ami.conf",
                "[Definition]\nfailregex = ^.*NOTICE.*manager\\.c: <HOST> (?:failed to authenticate as|tried to authenticate with nonexistent user) '.*'$\n",
            ),
            (
                "jail.conf",
                "[DEFAULT]\nfilter = %(__name__)s\nignoreip = 127.0.0.1 198.51.100.7 file:/etc/fail2ban/friends\n[asterisk-ami]\nenabled = 1\nport = 5038\naction = own-action[name=x, port=5038, chain=INPUT]\nlogpath = /var/log/asterisk/security_log\nbantime=4w\n",
            ),
            ("action.d/own-action.conf", "[Definition]\nactionban = geoiplookup <ip>\n"),
        ],
        jail: "asterisk-ami",
        said: &["there is no such file", "198.51.100.7", "asterisk-ami/failed-to-authenticate"],
        differs: &[],
    },
    Case {
        name: "18: an empty section of includes, bans without end, a line of a dialplan",
        files: &[
            (
                "filter.d/asterisk_manager.conf",
                "[INCLUDES]\n[Definition]\nfailregex = NOTICE.* <HOST> failed to authenticate as\n",
            ),
            (
                "filter.d/asterisk_pin.conf",
                "[INCLUDES]\n[Definition]\nfailregex = NOTICE.* .*: wrong PIN from <HOST>\n",
            ),
            (
                "jail.local",
                "[DEFAULT]\nbantime = 600\n[asterisk_manager]\nenabled=true\nfilter=asterisk_manager\nbantime=-1\nmaxretry=1\nlogpath=/var/log/asterisk/messages\naction = iptables-allports[name=AST_MGR, protocol=all, chain=INPUT]\n[asterisk_pin]\nenabled=true\nfilter=asterisk_pin\nlogpath=/var/log/asterisk/messages\nmaxretry=5\n",
            ),
        ],
        jail: "asterisk_manager",
        said: &["bantime = \"permanent\"|", "maxretry = 1", "hearsay"],
        differs: &[],
    },
    Case {
        name: "19: two jails for one log, a mail behind a line feed, recidive",
        files: &[
            ("filter.d/asterisk.conf", PREFIXED),
            COMMON,
            ("filter.d/recidive.conf", "[Definition]\nfailregex = Ban <HOST>\n"),
            (
                "jail.local",
                "[asterisk-tcp]\nenabled = true\nfilter = asterisk\nport = 5060,5061\nlogpath = /var/log/asterisk/fail2ban\nmaxretry = 5\naction = iptables-multiport[name=t, port=\"5060,5061\", protocol=tcp]\n    sendmail-whois[name=Asterisk, dest=admin@example.com,\n    sender=fail2ban@example.com]\n[asterisk-udp]\nenabled = true\nfilter = asterisk\nport = 5060,5061\nlogpath = /var/log/asterisk/fail2ban\nmaxretry = 7\n[recidive]\nenabled = true\nlogpath = /var/log/f2b.log\nfilter = recidive\nbantime = 1w\nmaxretry = 3\n[sshd]\nenabled = true\nlogpath = /var/log/auth.log\n",
            ),
        ],
        jail: "asterisk-udp",
        said: &[
            "the built-in jail recidive counts the proven bans",
            "from = \"fail2ban@example.com\"|",
        ],
        differs: &[
            (
                1,
                Difference::NotBelieved,
                "the true end has an m, which an ESC in the sender's text can hide",
            ),
            (7, Difference::NotBelieved, "text from outside on both sides of the address"),
            (8, Difference::NotBelieved, "text from outside on both sides of the address"),
            (13, Difference::NotBelieved, "in syslog, text of any length stands before the host"),
        ],
    },
];

fn written(case: &Case) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in case.files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn translated(directory: &Path) -> (Configuration, Translation) {
    let configuration = load(directory).unwrap();
    let translation = translate(&configuration, &RuleSet::load(None).unwrap(), &[], |_| false);
    (configuration, translation)
}

fn asterguard(arguments: &[&str]) -> (i32, String) {
    let said = Command::new(env!("CARGO_BIN_EXE_asterguard")).args(arguments).output().unwrap();
    let text = [said.stdout, said.stderr].concat();
    (said.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn each_is_read_reported_and_passes_check() {
    for case in CASES {
        let directory = written(case);
        let out = tempfile::tempdir().unwrap();
        let out_path = out.path().to_str().unwrap();
        let (code, said) =
            asterguard(&["import", directory.path().to_str().unwrap(), "--out", out_path]);
        let (configuration, translation) = translated(directory.path());
        assert_eq!(code, i32::from(!configuration.problems.is_empty()), "{}: {said}", case.name);
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in case.said {
            // With a bar, in what is written.
            let found = match words.strip_suffix('|') {
                Some(words) => translation.config.contains(words),
                None => flat.contains(words),
            };
            assert!(found, "{}: {words}: {said}\n{}", case.name, translation.config);
        }
        let config = out.path().join("asterguard.toml");
        let (code, checked) = asterguard(&["check", "--config", config.to_str().unwrap()]);
        assert_eq!(code, 0, "{}: {checked}\n{}", case.name, translation.config);
        // A second time, what was written is written again.
        let (again, said) =
            asterguard(&["import", directory.path().to_str().unwrap(), "--out", out_path]);
        assert_eq!(again, i32::from(!configuration.problems.is_empty()), "{}: {said}", case.name);
    }
}

#[test]
fn each_names_the_same_hosts_as_fail2ban() {
    let Some(place) = fail2ban() else { return };
    let mut wrong = Vec::new();
    for case in CASES {
        let directory = written(case);
        let (_, translation) = translated(directory.path());
        let rules_d = tempfile::tempdir().unwrap();
        for (name, text) in &translation.rules {
            fs::write(rules_d.path().join(format!("{name}.toml")), text).unwrap();
        }
        let (named, believed) = named_by_us(rules_d.path(), &LINES);
        let configuration = load(directory.path()).unwrap();
        let jail = configuration.jails.iter().find(|jail| jail.name == case.jail).unwrap();
        let filter = jail.settings["filter"].text.clone();
        // fail2ban refuses a file that is broken, and a filter with a failregex without a host.
        let broken = !configuration.problems.is_empty() || case.name.starts_with("10:");
        let theirs = match named_by_fail2ban(&place, directory.path(), &filter, &LINES) {
            Ok(theirs) => theirs,
            Err(error) => {
                assert!(broken, "{}: {error}", case.name);
                continue;
            }
        };
        for (number, line) in LINES.iter().enumerate() {
            let Some(theirs) = theirs.get(*line) else { continue };
            let reasons: Vec<_> =
                case.differs.iter().filter(|(known, ..)| *known == number).collect();
            let ours = named.get(*line).cloned().unwrap_or_default();
            let difference = match () {
                () if believed.get(*line) == Some(theirs) => None,
                () if ours == *theirs => Some(Difference::NotBelieved),
                () if ours.is_empty() => Some(Difference::NotNamed),
                () => {
                    wrong.push(format!("{}: line {number}: {ours:?}, not {theirs:?}", case.name));
                    continue;
                }
            };
            let known = reasons.first().map(|(_, difference, _)| *difference);
            if known != difference {
                wrong.push(format!("{}: line {number}: {difference:?}, not {known:?}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn jails_that_are_not_about_asterisk_stay() {
    let directory = written(&CASES[18]);
    let (_, translation) = translated(directory.path());
    assert_eq!(
        (translation.taken.len(), translation.stay.as_slice()),
        (3, &["sshd".to_owned()][..])
    );
    let verdicts: BTreeSet<_> = translation.report.items.iter().map(|item| item.verdict).collect();
    assert!(verdicts.contains(&Verdict::Taken) && verdicts.contains(&Verdict::Better));
}
