//! Tests for the values that configuration files give.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeTable;

use crate::config::diagnostic::Diagnostics;
use crate::config::jail_section::KEYS;
use crate::config::load::{BUILT_IN, SHIPPED, parse};
use crate::config::*;
use crate::model::event::Class;
use crate::model::scope::{Blocktype, Ports};
use crate::model::time::{BanDuration, BanTime};

fn filters() -> Vec<String> {
    [
        "asterisk-ami",
        "asterisk-iax",
        "asterisk-sip",
        "apache-auth",
        "dovecot",
        "freepbx-web",
        "kamailio",
        "nginx-http-auth",
        "postfix-sasl",
        "sshd",
        "vsftpd",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn parse_all(texts: &[(&str, &str)]) -> Result<Config, Diagnostics> {
    let sources: Vec<_> =
        texts.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    parse(&sources, &filters())
}

fn good(text: &str) -> Config {
    parse_all(&[("a.toml", text)]).unwrap_or_else(|errors| panic!("{errors}"))
}

fn jail<'a>(config: &'a Config, name: &str) -> &'a Jail {
    config.jails.iter().find(|jail| jail.name == name).unwrap()
}

const YEAR: Duration = Duration::from_secs(31_557_600);

fn hours(n: u64) -> BanDuration {
    BanDuration::For(Duration::from_secs(n * 3600))
}

/// A ban time with the factor 4 and nothing unusual.
fn growing(first: BanDuration, max: BanDuration) -> BanTime {
    let BanDuration::For(decay) = max else { panic!() };
    let fixed = BanTime::fixed(first);
    BanTime { factor: 4, max, decay: Some(decay), ..fixed }
}

fn nets(texts: &[&str]) -> Vec<ipnet::IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn what_is_written_of_new_networks_wins() {
    let text = "[default]\nnewnetworks = { enabled = false }\n";
    let config = parse(&[("a.toml".into(), text.to_owned())], &filters()).unwrap();
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(config.newnetworks, NewNetworks { enabled: false, learn: week });
    let settings = config.settings();
    let shown = settings.iter().find(|setting| setting.key == "newnetworks").unwrap();
    assert_eq!(shown.value, "{ enabled = false, learn = \"7d\" }");
    assert_eq!(shown.place.as_deref(), Some("a.toml:2"));
}

#[test]
fn services_have_lists_of_ports() {
    let config = parse(&[], &filters()).unwrap();
    let sip = Ports::Ranges(vec![(4569, 4569), (5038, 5039), (5060, 5061), (8088, 8089)]);
    let list = |name: &str, first, last| (name.to_owned(), Ports::Ranges(vec![(first, last)]));
    let lists = |name: &str, ports: &[u16]| {
        let ranges = ports.iter().map(|port| (*port, *port)).collect();
        (name.to_owned(), Ports::Ranges(ranges))
    };
    let services = [
        list("ami", 5038, 5039),
        list("ftp", 21, 21),
        list("http", 8088, 8089),
        list("iax", 4569, 4569),
        lists("mail", &[25, 110, 143, 465, 587, 993, 995, 4190]),
        list("ssh", 22, 22),
        lists("web", &[80, 443]),
    ];
    let all = [("all".to_owned(), Ports::All), ("sip".to_owned(), sip)];
    assert!(config.ports.iter().eq(all.iter().chain(&services)), "{:?}", config.ports);
}

#[test]
fn the_built_in_text_is_complete_and_right() {
    let config = parse(&[], &filters()).unwrap();
    assert_eq!(config.loglevel, LogLevel::Notice);
    assert_eq!(config.ignoreip, nets(&["127.0.0.0/8", "::1/128"]));
    assert!(config.ignorenames.is_empty() && config.trunks);
    assert_eq!(config.asteriskconf.to_str(), Some("/etc/asterisk"));
    assert_eq!(config.ipv6prefix, 64);
    assert_eq!(config.maxunverified, 100);
    assert_eq!(config.tag, ["asterisk", "freepbx", "<CONTAINER>"]);
    let known_good = KnownGood {
        enabled: true,
        time: Duration::from_secs(86400),
        maxunknown: 3,
        findtime: Duration::from_secs(600),
        maxrate: 30,
        maxtries: 50,
    };
    assert_eq!(config.knowngood, known_good);
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(config.newnetworks, NewNetworks { enabled: true, learn: week });
    let names: Vec<_> = config.jails.iter().map(|jail| jail.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "asterisk-accounts",
            "asterisk-ami",
            "asterisk-ami-malformed",
            "asterisk-ami-probe",
            "asterisk-guess",
            "asterisk-http",
            "asterisk-iax",
            "asterisk-options",
            "asterisk-probe",
            "asterisk-scan",
            "asterisk-slow",
            "asterisk-wire",
            "recidive"
        ]
    );
    assert_eq!(config.wire, SipMonitor::default());
    assert_eq!(jail(&config, "asterisk-wire").filter, [glob::Pattern::new("wire").unwrap()]);

    let day = Duration::from_secs(86400);
    let mild = growing(BanDuration::For(Duration::from_secs(600)), BanDuration::For(day));
    let scan = jail(&config, "asterisk-scan");
    assert_eq!(
        *scan,
        Jail {
            name: "asterisk-scan".to_owned(),
            mode: Mode::Enforce,
            own: crate::config::OwnRules::default(),
            filter: vec![glob::Pattern::new("asterisk-*").unwrap()],
            class: vec![Class::User, Class::Extension, Class::Scan, Class::Malformed],
            logpath: scan.logpath.clone(),
            count: Counting::Accounts,
            maxretry: 3,
            findtime: day,
            bantime: growing(hours(1), hours(30 * 24)),
            port: "all".to_owned(),
            blocktype: Blocktype::Drop,
            ignoreip: config.ignoreip.clone(),
            ignorenames: Vec::new(),
            ipv6prefix: 64,
            unverified: BanTerms { bantime: mild, port: "sip".to_owned() },
            hearsay: Hearsay::Ignore,
            renew: false,
        }
    );
    assert_eq!(scan.logpath.len(), 13);
    let usual = scan.logpath.iter().filter(|path| path.starts_with("/var/log/asterisk/"));
    assert_eq!(usual.count(), 10);
    assert_eq!(scan.logpath.last().map(String::as_str), Some("ami:"));
    let guess = jail(&config, "asterisk-guess");
    assert_eq!(guess.class, [Class::Guess, Class::Acl, Class::User]);
    assert_eq!(
        (guess.maxretry, guess.findtime, guess.bantime),
        (5, Duration::from_secs(600), mild)
    );
    assert_eq!(guess.port, "sip");
    let recidive = jail(&config, "recidive");
    assert!(recidive.filter.is_empty() && recidive.class.is_empty() && recidive.logpath.is_empty());
    assert_eq!((recidive.maxretry, recidive.findtime), (5, day));
    assert_eq!(recidive.port, "all");
    let week = Duration::from_secs(7 * 86400);
    let weekly = BanTime { decay: Some(week), ..BanTime::fixed(BanDuration::For(week)) };
    assert_eq!(recidive.bantime, weekly);
}

#[test]
fn how_bans_grow_is_inherited_key_by_key() {
    let config = good(
        "[default]\nbantime = { decay = '3d', rndtime = '5m' }\n\
         [jail.a]\nfilter = '*'\nbantime = { first = '1h', overalljails = true }\n\
         [jail.b]\nfilter = '*'\nbantime = 'permanent'\n",
    );
    let (decay, rndtime) = (Some(Duration::from_secs(3 * 86400)), Duration::from_secs(300));
    let a = BanTime { decay, rndtime, overalljails: true, ..growing(hours(1), hours(24)) };
    assert_eq!(jail(&config, "a").bantime, a);
    let b = BanTime { decay, rndtime, ..BanTime::fixed(BanDuration::Permanent) };
    assert_eq!(jail(&config, "b").bantime, b);
}

#[test]
fn the_shipped_file_in_its_place_changes_nothing() {
    assert_eq!(good(&BUILT_IN), good(""));
}

#[test]
fn every_key_is_explained_in_the_built_in_default_section() {
    let table = DeTable::parse(&BUILT_IN).unwrap();
    let default = table.get_ref().get("default").unwrap().get_ref().as_table().unwrap();
    // These have no value that would be that of all.
    let none = ["filter", "failregex", "ignoreregex", "datepattern", "logtimezone"];
    for key in KEYS.iter().filter(|key| !none.contains(key)) {
        assert!(default.contains_key(*key), "{key}");
    }
}

#[test]
fn one_key_of_a_built_in_jail_can_be_changed() {
    let config = good("[jail.asterisk-scan]\nmaxretry = 7\nbantime = { first = \"2h\" }\n");
    let scan = jail(&config, "asterisk-scan");
    assert_eq!(scan.maxretry, 7);
    assert_eq!(scan.bantime, growing(hours(2), hours(720)));
    assert_eq!(scan.port, "all");
    assert_eq!(jail(&config, "asterisk-guess"), jail(&good(""), "asterisk-guess"));

    let config = good("[jail.asterisk-scan]\nenabled = false\n");
    let names: Vec<_> = config.jails.iter().map(|jail| jail.name.as_str()).collect();
    let all = good("");
    let others = all.jails.iter().map(|jail| jail.name.as_str());
    assert_eq!(names, others.filter(|name| *name != "asterisk-scan").collect::<Vec<_>>());
    assert_eq!(good("[default]\nenabled = false").jails, []);
}

#[test]
fn a_first_ban_longer_than_the_inherited_longest_raises_it() {
    let config = good("[jail.asterisk-scan]\nbantime = { first = \"60d\" }\n");
    let scan = jail(&config, "asterisk-scan");
    assert_eq!(scan.bantime, growing(hours(1440), hours(1440)));
}

#[test]
fn a_new_jail_takes_the_rest_from_default() {
    let config = good(
        "[default]\nmaxretry = 9\nmode = 'observe'\nipv6prefix = 56\n\
         [ports]\nweb = [443, '80', '8080-8089']\nsip = 5060\n\
         [jail.proxy]\nfilter = 'kamailio'\nbantime = -1\nport = 'web'\nlogpath = '/var/log/kam*.log'\n\
         unverified = { port = 'all' }\nhearsay = 'count'\nblocktype = 'reject'\nfindtime = 90\n",
    );
    let proxy = jail(&config, "proxy");
    assert_eq!((proxy.maxretry, proxy.mode, proxy.ipv6prefix), (9, Mode::Observe, 56));
    assert_eq!(config.ipv6prefix, 56);
    assert_eq!(proxy.class.len(), Class::ALL.len());
    assert_eq!(proxy.bantime, BanTime::fixed(BanDuration::Permanent));
    assert_eq!(proxy.logpath, ["/var/log/kam*.log"]);
    assert_eq!(proxy.findtime, Duration::from_secs(90));
    assert_eq!((proxy.hearsay, proxy.blocktype), (Hearsay::Count, Blocktype::Reject));
    assert_eq!(proxy.unverified.port, "all");
    assert_eq!(proxy.unverified.bantime.max, hours(24));
    let names: Vec<_> = config.ports.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["all", "sip", "ami", "ftp", "http", "iax", "mail", "ssh", "web"]);
    assert_eq!(config.ports[1].1, Ports::Ranges(vec![(5060, 5060)]));
    assert_eq!(config.ports[8].1, Ports::Ranges(vec![(80, 80), (443, 443), (8080, 8089)]));
}

#[test]
fn what_is_written_wins_over_what_is_built_in() {
    let text = "[default]\nmaxretry = 4\nfindtime = '2d'\nbantime = '1y'\nport = 'all'\nfilter = 'kamailio'\n\
                [jail.asterisk-guess]\nmaxretry = 6\n[jail.proxy]\n";
    let (config, built_in) = (good(text), good(""));
    let year = BanTime { decay: Some(YEAR), ..BanTime::fixed(BanDuration::For(YEAR)) };
    for jail in &config.jails {
        let maxretry = if jail.name == "asterisk-guess" { 6 } else { 4 };
        let found = (jail.maxretry, jail.findtime, jail.bantime, jail.port.as_str());
        assert_eq!(found, (maxretry, Duration::from_secs(172_800), year, "all"), "{}", jail.name);
    }
    // A filter is what makes a built-in jail, and what can be forged is as mild as before.
    for before in &built_in.jails {
        let now = jail(&config, &before.name);
        assert_eq!(
            (&now.filter, &now.class, now.count),
            (&before.filter, &before.class, before.count)
        );
        assert_eq!(now.unverified, before.unverified);
    }
    assert_eq!(jail(&config, "proxy").filter, [glob::Pattern::new("kamailio").unwrap()]);
    let place = |jail, key| config.places.of_jail(jail, key).map(ToString::to_string);
    assert_eq!(place("asterisk-guess", "maxretry").as_deref(), Some("a.toml:8"));
    assert_eq!(place("asterisk-wire", "maxretry").as_deref(), Some("a.toml:2"));
    assert_eq!(place("asterisk-wire", "filter"), None);
    assert_eq!(place("proxy", "filter").as_deref(), Some("a.toml:6"));
    assert_eq!(place("asterisk-wire", "blocktype"), None);
    // In one file the order of sections changes nothing, nor does that of files.
    let (default, guess) = ("[default]\nmaxretry = 4\n", "[jail.asterisk-guess]\nmaxretry = 6\n");
    let turned = parse_all(&[("a.toml", guess), ("b.toml", default)]).unwrap();
    assert_eq!(turned, good(&format!("{default}{guess}")));
}

#[test]
fn what_can_be_forged_is_as_proven_where_that_is_written() {
    let terms = |text: &str, name: &str| jail(&good(text), name).unverified.clone();
    let year = BanTime { decay: Some(YEAR), ..BanTime::fixed(BanDuration::For(YEAR)) };
    let all = "bantime = '1y'\nport = 'all'\nunverified = 'as-proven'\n";
    for text in [format!("[default]\n{all}"), format!("[jail.asterisk-iax]\n{all}")] {
        let expected = BanTerms { bantime: year, port: "all".to_owned() };
        assert_eq!(terms(&text, "asterisk-iax"), expected);
    }
    // A jail's own ports, and the length as below [default].
    let text = format!("[default]\n{all}[jail.asterisk-scan]\nunverified = {{ port = 'sip' }}\n");
    let expected = BanTerms { bantime: year, port: "sip".to_owned() };
    assert_eq!(terms(&text, "asterisk-scan"), expected);
    // Without another word, as the built-in jail has it.
    let text = "[jail.asterisk-iax]\nunverified = 'as-proven'\n";
    assert_eq!(terms(text, "asterisk-iax").port, "iax");
}

#[test]
fn the_shipped_file_says_nothing() {
    let shipped = good(SHIPPED);
    assert_eq!(shipped, good(""));
    for jail in &shipped.jails {
        assert_eq!(shipped.places.written_for(&jail.name).count(), 0, "{}", jail.name);
    }
    assert_eq!(shipped.places.written_for_all().count(), 0);
    let mut changed = SHIPPED.replacen("#maxretry = 5", "maxretry = 7", 1);
    changed = changed.replacen("#loglevel = \"notice\"", "loglevel = \"info\"", 1);
    let changed = good(&changed);
    assert!(
        changed.jails.iter().all(|jail| jail.maxretry == 7) && changed.loglevel == LogLevel::Info
    );
}

#[test]
fn jails_off_by_default_are_switched_on_by_name() {
    let config = good("[default]\nenabled = false\n[jail.asterisk-scan]\nenabled = true\n");
    let names: Vec<_> = config.jails.iter().map(|jail| jail.name.as_str()).collect();
    assert_eq!(names, ["asterisk-scan"]);
}

#[test]
fn addresses_in_all_spellings() {
    let config = good(
        "[default]\nignoreip = '127.0.0.1/8 ::1, 203.0.113.9'\n\
         [jail.asterisk-scan]\n\
         ignoreip = ['192.0.2.77/24', '::ffff:198.51.100.7', '64:ff9b::c633:6400/120', '2001:db8::1/32', '::1']\n",
    );
    assert_eq!(config.ignoreip, nets(&["127.0.0.0/8", "203.0.113.9/32", "::1/128"]));
    let scan = &jail(&config, "asterisk-scan").ignoreip;
    let all = [
        "127.0.0.0/8",
        "192.0.2.0/24",
        "198.51.100.0/24",
        "198.51.100.7/32",
        "203.0.113.9/32",
        "::1/128",
        "2001:db8::/32",
    ];
    assert_eq!(*scan, nets(&all));
    assert!(scan.iter().any(|net| net.contains(&"198.51.100.9".parse::<IpAddr>().unwrap())));
    assert_eq!(jail(&config, "asterisk-guess").ignoreip, config.ignoreip);
}

#[test]
fn names_stand_beside_addresses() {
    let config = good(
        "trunks = false\nasteriskconf = '/opt/asterisk'\n\
         [default]\nignoreip = ['office.example.com., 192.0.2.1', 'Office.Example.com']\n\
         [jail.asterisk-scan]\nignoreip = 'monitor'\n",
    );
    assert!(!config.trunks && config.asteriskconf.to_str() == Some("/opt/asterisk"));
    let names = |names: &[crate::model::hostname::HostName]| -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    };
    assert_eq!(config.ignoreip, nets(&["192.0.2.1/32"]));
    assert_eq!(names(&config.ignorenames), ["office.example.com"]);
    assert_eq!(names(&jail(&config, "asterisk-scan").ignorenames), ["monitor"]);
    assert!(jail(&config, "asterisk-guess").ignorenames.is_empty());
}

#[test]
fn a_later_file_wins_key_by_key() {
    let config = parse_all(&[
        ("main.toml", "loglevel = 'info'\n[jail.asterisk-scan]\nmaxretry = 8\nfindtime = '2d'\n"),
        ("conf.d/10.toml", "[jail.asterisk-scan]\nmaxretry = 9\nport = 'pbx'\n"),
        ("conf.d/20.toml", "[ports]\npbx = [5080]\n[jail]\nasterisk-scan.maxretry = 10\n"),
    ])
    .unwrap();
    let scan = jail(&config, "asterisk-scan");
    assert_eq!((scan.maxretry, scan.port.as_str()), (10, "pbx"));
    assert_eq!(scan.findtime, Duration::from_secs(2 * 86400));
    assert_eq!(config.loglevel, LogLevel::Info);
}

#[test]
fn the_manager_interface_is_asked_where_there_is_a_section() {
    assert_eq!(good("").ami, None);
    let ami = good("[ami]\n").ami.unwrap();
    assert_eq!((ami.enabled, ami.port(), ami.is_local()), (true, 5038, true));
    assert_eq!(ami, AmiAccess::default());
    let config = good(
        "[ami]\nhost = '192.0.2.7'\ntls = true\ncafile = '/c'\nuser = 'guard'\nsecretfile = '/s'\n",
    );
    let ami = config.ami.clone().unwrap();
    assert_eq!((ami.port(), ami.is_local(), ami.user.as_str()), (5039, false, "guard"));
    assert_eq!((ami.cafile.to_str(), ami.secretfile.to_str()), (Some("/c"), Some("/s")));
    let shown = config.settings();
    let port = shown.iter().find(|setting| setting.section == "ami" && setting.key == "port");
    assert_eq!(port.unwrap().value, "5039");
    let warned = |text: &str| -> Vec<String> {
        let warnings = good(text).warnings(&[]);
        warnings.into_iter().filter(|warning| warning.contains("events")).collect()
    };
    assert_eq!(warned("[ami]\ntls = true\nhost = '192.0.2.7'\n"), [""; 0]);
    assert!(warned("[ami]\nhost = '192.0.2.7'\n")[0].starts_with("a.toml:2: events come from"));
    let unread = warned("[ami]\n[default]\nlogpath = '/var/log/asterisk/full'\n");
    assert_eq!(
        unread,
        ["a.toml:3: no events are taken from 127.0.0.1: no jail has \"ami:\" in its logpath"]
    );
}

#[test]
fn the_wire_can_be_set() {
    let config = good(
        "[wire]\nenabled = false\ngroup = 7\nsnaplen = 1024\nforward = ['172.17.0.2', 'fd00::/8']\n\
         limiter = 'ban'\nmaxrefusals = 9\nmaxpackets = 8\n",
    );
    let forward = nets(&["172.17.0.2/32", "fd00::/8"]);
    let (limiter, maxrefusals, maxpackets) = (Limiter::Ban, 9, 8);
    let expected = SipMonitor {
        enabled: false,
        group: 7,
        snaplen: 1024,
        forward,
        limiter,
        maxrefusals,
        maxpackets,
        hep: None,
    };
    assert_eq!(config.wire, expected);
}

#[test]
fn notifiers_are_merged_key_by_key_and_show_no_secret() {
    use crate::config::notify::{Security, Way};
    assert_eq!(good("").notify, []);
    let config = good(
        "[notify.office]\nkind = 'mail'\nserver = 'mail.example.com'\nto = ['a@example.com', 'Bo <b@example.com>']\n\
         user = 'pbx'\npasswordfile = '/etc/p'\nquiet = '22:00-07:00'\n\
         [notify.off]\nenabled = false\nkind = 'command'\ncommand = ['/bin/true']\n\
         [notify.chat]\nkind = 'webhook'\nurl = 'https://example.com/s3cret'\n\
         [notify.tool]\nkind = 'command'\ncommand = ['/bin/tell', 's3cret']\ntimeout = 5\n",
    );
    let names: Vec<_> = config.notify.iter().map(|it| (it.name.as_str(), it.kind())).collect();
    assert_eq!(names, [("chat", "webhook"), ("office", "mail"), ("tool", "command")]);
    let Way::Mail(mail) = &config.notify[1].way else { panic!() };
    assert_eq!((mail.security, mail.port(), mail.to.len()), (Security::StartTls, 587, 2));
    let shown = crate::config::settings::as_file(&config.settings()).join("\n");
    assert!(!shown.contains("s3cret") && shown.contains("url = \"***\""), "{shown}");
    assert!(
        shown.contains("quiet = \"22:00-07:00\"") && shown.contains("[notify.office]"),
        "{shown}"
    );
    let warned = |jail: &str| {
        let text = format!("[notify.a]\nkind = 'mail'\nto = 'root@localhost'\njail = {jail}\n");
        good(&text).warnings(&filters())
    };
    assert_eq!(warned("['asterisk-*', 'manual']"), [""; 0]);
    assert_eq!(
        warned("['asterisc-*']"),
        ["a.toml:4: no jail in use is called \"asterisc-*\": [notify.a] waits in vain"]
    );
    let local = good("[notify.a]\nkind = 'mail'\nto = 'root@localhost'\n");
    let Way::Mail(mail) = &local.notify[0].way else { panic!() };
    assert_eq!(
        (mail.server.as_str(), mail.security, mail.port()),
        ("127.0.0.1", Security::None, 25)
    );
}

#[test]
fn fetched_feeds_have_a_place_and_show_no_secret() {
    use crate::config::{Content, KeyUse, Step};
    use std::time::Duration;
    let config = good(
        "[feed.apiban]\nformat = 'apiban'\nkeyfile = '/etc/k'\n[feed.own]\npath = '/var/own.list'\n\
         [feed.ips]\nurl = 'https://x.example.com/a?token=s3cret'\nevery = '1d'\nformat = 'json'\njsonpath = 'data[].ip'\n\
         keyfile = '/etc/k'\nkeyheader = 'Key'\nredirecthosts = 'CDN.example.com'\npath = '/var/ips.list'\n\
         [feed.off]\nurl = 'https://x.example.com/'\nenabled = false\n",
    );
    let [apiban, ips, own] = &config.lists.feeds[..] else { panic!() };
    assert_eq!((own.path.to_str(), &own.fetch), (Some("/var/own.list"), &None));
    assert_eq!(apiban.path.to_str(), Some("/var/lib/asterguard-feeds/apiban.list"));
    let fetch = apiban.fetch.as_ref().unwrap();
    assert_eq!(fetch.url, "https://apiban.org/api/{key}/banned");
    assert_eq!((&fetch.content, fetch.every), (&Content::Apiban, Duration::from_secs(3600)));
    assert_eq!(fetch.key, Some(("/etc/k".into(), KeyUse::Url)));
    let fetch = ips.fetch.as_ref().unwrap();
    let steps = vec![Step::Key("data".to_owned()), Step::Items, Step::Key("ip".to_owned())];
    assert_eq!((&fetch.content, fetch.every), (&Content::Json(steps), Duration::from_secs(86_400)));
    assert_eq!(fetch.key, Some(("/etc/k".into(), KeyUse::Header("Key".to_owned()))));
    assert_eq!(fetch.redirecthosts, ["cdn.example.com"]);
    let shown = crate::config::settings::as_file(&config.settings()).join("\n");
    assert!(
        shown.contains("url = \"https://x.example.com/a?***\"") && !shown.contains("s3cret"),
        "{shown}"
    );
    assert!(
        shown.contains("jsonpath = \"data[].ip\"") && !format!("{config:?}").contains("s3cret"),
        "{shown}"
    );
}

#[test]
fn services_that_are_not_asterisks_wait_for_a_word() {
    let off = good("[default]\nenabled = true\nlogpath = '/var/log/pbx'\n");
    assert!(off.jails.iter().all(|jail| jail.name != "sshd"));
    assert!(off.places.disabled.iter().any(|name| name == "sshd"));
    // What [default] says about Asterisk is no word about them; its limits are.
    let config = good(
        "[default]\nlogpath = '/var/log/pbx'\nclass = 'scan'\nmaxretry = 9\n\
         unverified = { bantime = '1m', port = 'sip' }\n[ports]\nssh = 2222\n\
         [jail.sshd]\nenabled = true\nbantime = '1w'\n",
    );
    let sshd = jail(&config, "sshd");
    assert_eq!(sshd.logpath, ["/var/log/auth.log", "/var/log/secure"]);
    assert_eq!((&sshd.class[..], sshd.maxretry), (&[Class::Guess, Class::User][..], 9));
    assert_eq!((sshd.port.as_str(), sshd.blocktype), ("ssh", Blocktype::DropNew));
    assert_eq!(sshd.unverified, BanTerms { bantime: sshd.bantime, port: "ssh".to_owned() });
    // A jail that is all the administrator's own, as there may have been before.
    let own = good("[jail.sshd]\nfilter = 'sshd'\nlogpath = '/var/log/x'\n");
    assert_eq!(jail(&own, "sshd").logpath, ["/var/log/x"]);
}

#[test]
fn a_geofence_only_observes_until_it_is_told_otherwise() {
    let fence = |text: &str| good(text).lists.countries;
    assert_eq!(fence(""), None);
    let observed = fence("[lists]\ncountries.allow = ['de', 'AT']\n").unwrap();
    assert_eq!(observed.text(), "{ allow = [\"AT\", \"DE\"], mode = \"observe\" }");
    let shown = good("[lists.countries]\ndeny = 'CN'\nmode = 'enforce'\n");
    let settings = shown.settings();
    let shown = settings.iter().find(|setting| setting.key == "countries").unwrap();
    assert_eq!(shown.value, "{ deny = [\"CN\"], mode = \"enforce\" }");
    // A file beside the main one changes the mode, or takes it back: to nobody, not to everybody.
    let main = "[lists]\ncountries = { allow = ['DE'] }\n";
    let both =
        |other: &str| parse_all(&[("a.toml", main), ("b.toml", other)]).unwrap().lists.countries;
    assert_eq!(both("[lists]\ncountries = { mode = 'enforce' }\n").unwrap().mode, Mode::Enforce);
    assert_eq!(both("[lists]\ncountries = { allow = [] }\n"), None);
    assert_eq!(both("[lists]\ncountries.deny = 'RU'\n").unwrap().action, FenceAction::Deny);
}

#[test]
fn a_fleet_is_merged_key_by_key() {
    use crate::config::fleet::PeerKey;
    assert_eq!(good("").fleet, None);
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let text = format!(
        "[fleet]\nserver = 'rediss://pbx1@valkey.example.org:6380'\nnode = 'pbx1'\nkey = '/k'\n\
         password = '/p'\ntls_cert = '/c'\ntls_key = '/t'\naccept = ['unverified', 'proven']\n\
         bantime_max = '1h'\n[fleet.peers]\npbx2 = '{key}'\npbx3 = 'revoked'\n"
    );
    let config = good(&text);
    let fleet = config.fleet.clone().unwrap();
    assert_eq!(fleet.server.to_string(), "rediss://pbx1@valkey.example.org:6380");
    assert_eq!((fleet.bantime_max.as_secs(), fleet.max_bans, fleet.max_rate), (3600, 20_000, 100));
    assert_eq!(fleet.tls_client, Some(("/c".into(), "/t".into())));
    let of = |name: &str| fleet.peers[&name.parse().unwrap()];
    assert_eq!(of("pbx2"), PeerKey::Trusted(key.parse().unwrap()));
    assert_eq!(of("pbx3"), PeerKey::Revoked);
    let shown = crate::config::settings::as_file(&config.settings()).join("\n");
    assert!(shown.contains("\n[fleet]\nserver = "), "{shown}");
    assert!(shown.contains("[fleet.peers]") && shown.contains("# a.toml:12"), "{shown}");
    assert_eq!(good(&text.replace("[fleet]", "[fleet]\nenabled = false")).fleet, None);
    for (server, is_local) in [
        ("redis://127.0.0.1", true),
        ("redis://localhost:6379", true),
        ("rediss://[2001:db8::7]:6380", false),
    ] {
        let config = good(&format!("[fleet]\nserver = '{server}'\nnode = 'a'\nkey = '/k'\n"));
        let server = config.fleet.unwrap().server;
        assert_eq!(server.is_local(), is_local);
        let said = server.to_string();
        assert_eq!(crate::config::fleet::FleetServer::read(&said), Ok(server));
    }
}
