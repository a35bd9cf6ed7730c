//! Metrics: what is printed, written and served, by a real guard; judged by `promtool`. The dashboard, the alert rules and
//! the page use no metric that there is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use asterguard::metrics::catalog::{CATALOG, Kind};
use asterguard::metrics::samples::is_known;
use serde_json::Value;

use crate::kit::guard::{Guard, Home, PROGRAM, told};
use crate::kit::{self, Fate, Lab, Netns, SIP, until};
use crate::{CONFIG, login, odd_packet_line, wrong_password};

const EVE: &str = "198.51.100.66";
const MALLORY: &str = "2001:db8:66::1";
const OFFICE: &str = "198.51.100.20";
/// A line whose address a stranger may have written.
const HEARSAY: &str = "[Nov 22 01:12:24] NOTICE[1638] chan_iax2.c: No registration for peer 'admin' (from 203.0.113.9)";
const DASHBOARD: &str = include_str!("../../docs/grafana.json");
const ALERTS: &str = include_str!("../../docs/alerts.yml");
const PAGE: &str = include_str!("../../docs/metrics.md");

/// A feed, and a log whose name is as hostile as a name can be.
const MORE: &str = r#"
[feed.drop]
path = "$DIR/drop.list"

[jail.odd]
filter = ["asterisk-sip", "asterisk-iax"]
logpath = ["$DIR/a\"b\\c\nasterguard_up 7{x}"]
"#;
const ODD_NAME: &str = "a\"b\\c\nasterguard_up 7{x}";

/// A sample: name and labels, and the value.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// Reads the text format as its definition has it, and nothing else.
fn parsed(text: &str) -> Samples {
    let mut samples = Samples::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, mut rest) = series.split_once('{').unwrap_or((series, "}"));
        let mut labels = BTreeMap::new();
        while rest != "}" {
            let (label, quoted) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            let mut text = String::new();
            let mut characters = quoted.char_indices();
            let end = loop {
                match characters.next() {
                    Some((at, '"')) => break at,
                    Some((_, '\\')) => text.push(match characters.next() {
                        Some((_, 'n')) => '\n',
                        Some((_, c @ ('\\' | '"'))) => c,
                        other => panic!("{other:?}: {line}"),
                    }),
                    Some((_, c)) => text.push(c),
                    None => panic!("{line}"),
                }
            };
            labels.insert(label.to_owned(), text);
            rest = quoted[end + 1..].trim_start_matches(',');
        }
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(samples.insert((name.to_owned(), labels), value).is_none(), "twice: {line}");
    }
    samples
}

/// The sum of the samples that have these labels; `None` if there are none.
fn sum(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let fits = |own: &BTreeMap<String, String>| {
        labels.iter().all(|(label, value)| own.get(*label).is_some_and(|own| own == value))
    };
    let values = samples.iter().filter(|((own, labels), _)| own == name && fits(labels));
    values.map(|(_, value)| *value).reduce(|a, b| a + b)
}

fn metrics(home: &Home) -> Samples {
    parsed(&home.order(&["metrics"]))
}

/// Has `promtool` judge: `promtool ARGS`, with this on its standard input.
fn judged(args: &[&str], directory: &Path, input: &str) {
    let mut command = Command::new("promtool");
    command.args(args).current_dir(directory).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let (code, out, said) = told(&child.wait_with_output().unwrap());
    assert_eq!(code, 0, "promtool {args:?}: {out}{said}\n{input}");
}

/// A guard with a feed, logs with odd names, and lines of all kinds.
fn busy_guard(netns: &Netns) -> Guard {
    let config = CONFIG.replace("[\"$DIR/messages\"]", "[\"$DIR/messages\", \"$DIR/security\"]");
    let config = config.replace("\"asterisk-sip\"", "[\"asterisk-sip\", \"asterisk-security\"]");
    let home = Home::new(&format!("{config}{MORE}"));
    home.write("drop.list", "192.0.2.67 ; SBL1\n");
    home.write(ODD_NAME, "");
    home.write("security", "");
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    guard.append("messages", &vec![wrong_password(MALLORY); 5]);
    guard.says("[asterisk-guess] Ban 2001:db8:66::/64");
    guard.append("security", &[login(OFFICE)]);
    guard.append(ODD_NAME, &[odd_packet_line(EVE), HEARSAY.to_owned()]);
    until("all of it is read, and the kernel has the bans", || {
        let samples = metrics(&guard);
        sum(&samples, "asterguard_line_to_kernel_seconds_count", &[]) == Some(2.0)
            && sum(&samples, "asterguard_logins_total", &[]) == Some(1.0)
            && sum(&samples, "asterguard_source_lines_total", &[("source", &odd(&guard))])
                == Some(2.0)
    });
    guard
}

fn odd(home: &Home) -> String {
    home.path(ODD_NAME).to_str().unwrap().to_owned()
}

#[test]
fn metrics_move_with_bans_and_are_valid() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = busy_guard(&netns);
    let text = guard.order(&["metrics"]);
    judged(&["check", "metrics"], Path::new("/"), &text);
    let samples = parsed(&text);
    let guess = ("jail", "asterisk-guess");
    let all = [guess, ("evidence", "proven"), ("family", "ipv4"), ("scope", "sip")];
    for (name, labels, value) in [
        ("asterguard_up", &[][..], 1.0),
        ("asterguard_health", &[], 0.0),
        ("asterguard_banned_hosts", &[], 2.0),
        ("asterguard_bans", &all, 1.0),
        ("asterguard_bans_total", &all, 1.0),
        ("asterguard_bans", &[guess, ("family", "ipv6")], 1.0),
        ("asterguard_offences_total", &[guess, ("class", "guess"), ("evidence", "proven")], 10.0),
        ("asterguard_source_up", &[("source", &odd(&guard))], 1.0),
        ("asterguard_feed_networks", &[("feed", "drop")], 1.0),
        ("asterguard_sink_up", &[("sink", "netlink")], 1.0),
        ("asterguard_rule_hearsay_total", &[("source", &odd(&guard))], 1.0),
        ("asterguard_line_to_kernel_seconds_bucket", &[("le", "+Inf")], 2.0),
        ("asterguard_check_problems", &[("check", "configuration")], 0.0),
        ("asterguard_dropped_counted", &[], 1.0),
    ] {
        assert_eq!(sum(&samples, name, labels), Some(value), "{name} {labels:?}: {text}");
    }
    let memory = sum(&samples, "asterguard_resident_memory_bytes", &[]).unwrap();
    assert!(memory > 1e6 && memory < 1e9, "{memory}");
    let took = sum(&samples, "asterguard_line_to_kernel_seconds_sum", &[]).unwrap();
    assert!(took > 0.0 && took < 20.0, "{took}");
    // No host, no account: a sender could make as many series as it likes.
    for secret in [EVE, "2001:db8:66", OFFICE, "\"1000\""] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    // A ban ends: one less in force, and the total stays.
    guard.order(&["unban", EVE]);
    let samples = metrics(&guard);
    assert_eq!(sum(&samples, "asterguard_bans", &all), Some(0.0));
    assert_eq!(sum(&samples, "asterguard_bans_total", &all), Some(1.0));
    // A reload keeps counters; a pause and a mistake on disk are seen.
    guard.order(&["reload"]);
    guard.order(&["pause"]);
    guard.write("conf.d/wrong.toml", "nonsense = 1\n");
    until("the mistake is seen", || {
        let problems = [("check", "configuration")];
        sum(&metrics(&guard), "asterguard_check_problems", &problems) == Some(1.0)
    });
    let samples = metrics(&guard);
    assert_eq!(sum(&samples, "asterguard_bans_total", &all), Some(1.0));
    assert_eq!(sum(&samples, "asterguard_health", &[]), Some(2.0));
    assert_eq!(sum(&samples, "asterguard_paused", &[]), Some(1.0));
}

#[test]
fn dropped_packets_are_counted_by_jail() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    let dropped = || {
        let own = [("jail", "asterisk-guess")];
        sum(&metrics(&guard), "asterguard_dropped_packets_total", &own)
    };
    // What was dropped before the first look is not counted.
    assert_eq!(dropped(), None);
    guard.append("messages", &vec![wrong_password(kit::EVE); 5]);
    until("the host is shut out", || lab.udp(kit::EVE, SIP) == Fate::Dropped);
    until("the packet is counted", || dropped().is_some_and(|packets| packets >= 1.0));
    let before = dropped().unwrap();
    lab.udp(kit::EVE, SIP);
    until("another one is counted", || dropped().is_some_and(|packets| packets > before));
    // They are those of the jail, whatever becomes of the ban.
    let before = dropped().unwrap();
    guard.order(&["unban", kit::EVE]);
    assert_eq!(dropped(), Some(before));
}

#[test]
fn every_metric_is_printed_on_the_page_and_used_as_it_is() {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let table: BTreeSet<_> = PAGE
        .lines()
        .filter(|line| line.starts_with("| `asterguard_"))
        .map(|line| {
            let cells = cells(line);
            (cells[1].clone(), cells[2].clone(), cells[3].clone())
        })
        .collect();
    let known: BTreeSet<_> = CATALOG
        .iter()
        .map(|metric| {
            let labels = metric.labels.iter().map(|label| format!("`{label}`"));
            let labels = labels.collect::<Vec<_>>().join(", ");
            (format!("`{}`", metric.name), metric.kind.name().to_owned(), labels)
        })
        .collect();
    assert_eq!(table, known, "docs/metrics.md has another table");
    for (file, text) in [("grafana.json", DASHBOARD), ("alerts.yml", ALERTS)] {
        let used = used(text);
        assert!(used.len() > 10, "{file}");
        for name in used {
            assert!(is_known(&name), "{file}: there is no metric {name}");
        }
    }
    let rows = panels().into_iter().filter(|panel| panel["type"] == "row");
    let rows: Vec<_> = rows.map(|row| row["title"].as_str().unwrap().to_owned()).collect();
    assert_eq!(rows, ["State", "Attack", "Trust", "Guard"]);
}

/// The names of metrics in a text.
fn used(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("asterguard_")).map(str::to_owned).collect()
}

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

#[test]
fn dashboard_and_alerts_use_what_a_guard_prints() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = busy_guard(&netns);
    until("a checkpoint was made", || {
        sum(&metrics(&guard), "asterguard_checkpoint_timestamp_seconds", &[]).is_some()
    });
    let printed: BTreeSet<String> = metrics(&guard).into_keys().map(|(name, _)| name).collect();
    // Those of notifiers and of the fleet are there where a notifier or a fleet is.
    let of_others = ["asterguard_notifications_", "asterguard_fleet_"];
    let is_there = |name: &str| {
        printed.contains(name) || of_others.iter().any(|prefix| name.starts_with(prefix))
    };
    for name in used(DASHBOARD).union(&used(ALERTS)) {
        assert!(is_there(name), "{name} is not printed");
    }
    for metric in CATALOG {
        let end = if metric.kind == Kind::Histogram { "_count" } else { "" };
        assert!(is_there(&format!("{}{end}", metric.name)), "{} is never printed", metric.name);
    }
    // Labels that expressions and legends name.
    let labels: BTreeSet<_> = CATALOG.iter().flat_map(|metric| metric.labels).copied().collect();
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (n, target) in
        panels().iter().filter_map(|panel| panel["targets"].as_array()).flatten().enumerate()
    {
        let legend = target["legendFormat"].as_str().unwrap();
        for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
            assert!(labels.contains(label) || label == "instance", "{legend}");
        }
        let expr = target["expr"].as_str().unwrap();
        let expr = expr.replace("$__rate_interval", "1m").replace("$instance", ".*");
        let expr = serde_json::to_string(&expr).unwrap();
        rules.extend(["  - record: panel:", &n.to_string(), "\n    expr: ", &expr, "\n"]);
    }
    guard.write("dashboard.yml", &rules);
    judged(&["check", "rules", "dashboard.yml"], &guard.path(""), "");
    guard.write("alerts.under-test.yml", ALERTS);
    guard.write("test.yml", include_str!("../data/metrics/alerts.yml"));
    judged(&["check", "rules", "alerts.under-test.yml"], &guard.path(""), "");
    judged(&["test", "rules", "test.yml"], &guard.path(""), "");
}

#[test]
fn panels_of_the_dashboard_do_not_overlap() {
    let (mut places, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let number = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(number("x") + number("w") <= 24, "{panel}");
        for x in number("x")..number("x") + number("w") {
            for y in number("y")..number("y") + number("h") {
                assert!(places.insert((x, y)), "{panel}");
            }
        }
    }
}

#[test]
fn a_file_is_for_everybody_to_read_and_says_that_there_is_no_guard() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let file = guard.path("asterguard.prom");
    let write = |home: &Home| {
        let (code, out, said) = home.ctl(&["metrics", "--textfile", file.to_str().unwrap()]);
        assert_eq!((code, out.as_str(), said.as_str()), (0, "", ""));
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        let text = fs::read_to_string(&file).unwrap();
        judged(&["check", "metrics"], Path::new("/"), &text);
        sum(&parsed(&text), "asterguard_up", &[])
    };
    assert_eq!(write(&guard), Some(1.0));
    assert_eq!(guard.ctl(&["metrics", "--textfile", "/tmp/x.txt"]).0, 2);
    let (code, _, said) = guard.ctl(&["metrics", "--textfile", "/nowhere/x.prom"]);
    assert!(code == 1 && said.contains("/nowhere/x.prom"), "{said}");
    let home = guard.stop();
    assert_eq!(write(&home), Some(0.0));
    // For people, it is a failure; what stands there is the same.
    let (code, out, said) = home.ctl(&["metrics"]);
    assert_eq!((code, sum(&parsed(&out), "asterguard_up", &[])), (4, Some(0.0)), "{said}");
}

#[test]
fn names_of_the_other_exporter_are_there_if_asked_for() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    assert!(!guard.order(&["metrics"]).contains("f2b_"));
    let text = guard.order(&["metrics", "--compat", "f2b"]);
    let samples = parsed(&text);
    let guess = [("jail", "asterisk-guess")];
    for (name, value) in [
        ("f2b_jail_banned_current", 1.0),
        ("f2b_jail_banned_total", 1.0),
        ("f2b_jail_failed_current", 0.0),
        ("f2b_jail_failed_total", 5.0),
        ("f2b_config_jail_ban_time", 600.0),
        ("f2b_config_jail_find_time", 600.0),
        ("f2b_config_jail_max_retries", 5.0),
    ] {
        assert_eq!(sum(&samples, name, &guess), Some(value), "{name}: {text}");
    }
    assert_eq!(sum(&samples, "f2b_up", &[]), Some(1.0));
    let home = guard.stop();
    let (_, out, _) = home.ctl(&["metrics", "--compat", "f2b"]);
    assert_eq!(sum(&parsed(&out), "f2b_up", &[]), Some(0.0));
}

/// The socket for numbers gives numbers and nothing else.
#[test]
fn who_may_read_metrics_may_do_nothing_else() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    let socket = guard.path("socket-numbers");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let ask = |request: &str| -> String {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for request in [
        r#"{"command":"status","jail":null,"detail":"brief"}"#,
        r#"{"command":"banned","host":null}"#,
        r#"{"command":"ban","host":"192.0.2.1","jail":null,"seconds":null,"permanent":true}"#,
        r#"{"command":"unban","net":null,"jail":null}"#,
        r#"{"command":"pause","seconds":900}"#,
        r#"{"command":"allow","host":"192.0.2.1","seconds":null}"#,
        r#"{"command":"reload"}"#,
        "nonsense",
    ] {
        let answer: Value = serde_json::from_str(&ask(request)).unwrap();
        assert_eq!(
            (&answer["answer"], &answer["usage"]),
            (&"failed".into(), &true.into()),
            "{request}"
        );
    }
    assert_eq!(guard.status()["hosts_banned"], 1);
    let answer = ask(r#"{"command":"metrics"}"#);
    assert!(answer.contains("\"answer\":\"metrics\"") && !answer.contains(EVE), "{answer}");
    assert!(!answer.contains("\"root\""), "{answer}");
    let own = |args: &[&str]| {
        told(&Command::new(PROGRAM).args(args).arg("--socket").arg(&socket).output().unwrap())
    };
    assert_eq!(own(&["metrics"]).0, 0);
    assert_eq!(own(&["status", "--check", "--nagios"]).0, 0);
    let (code, _, said) = own(&["ban", "192.0.2.1"]);
    assert!(code == 2 && said.contains("nothing but metrics"), "{code} {said}");
    // It goes with the guard.
    let home = guard.stop();
    assert!(!home.path("socket-numbers").exists());
}

/// A process that serves metrics; killed when dropped.
struct Server(Child);

impl Server {
    fn start(home: &Home, args: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        home.program(&mut command, &[&["metrics"], args].concat());
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// Bytes of memory that it uses.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a request, and returns the answer; what it says when the server closes early.
fn exchange(mut stream: UnixStream, request: &[u8]) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn metrics_are_served_and_hostile_clients_harm_nobody() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let path = guard.path("http");
    let server = Server::start(&guard, &["--listen", path.to_str().unwrap()]);
    until("it listens", || UnixStream::connect(&path).is_ok());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let connect = || UnixStream::connect(&path).unwrap();
    let get = || exchange(connect(), b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = get();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    judged(&["check", "metrics"], Path::new("/"), text);
    assert_eq!(sum(&parsed(text), "asterguard_up", &[]), Some(1.0));
    for (request, status) in [
        ("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ("GET / HTTP/1.0\r\n\r\n", "200"),
        ("GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nevil", "405"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let answer = exchange(connect(), request.as_bytes());
        let first = answer.lines().next().unwrap_or_default();
        assert_eq!(first.split(' ').nth(1), Some(status), "{request}: {answer}");
    }
    let before = server.memory();
    // A header without an end, one that is much too large, and far too many of them.
    let endless = [b"GET /metrics HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 4 << 20]].concat();
    let many = [b"GET / HTTP/1.1\r\n".to_vec(), b"X: y\r\n".repeat(100_000)].concat();
    for request in [endless, many] {
        let answer = exchange(connect(), &request);
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    // A thousand that say nothing, or half of a request, and stay.
    let idle: Vec<_> = (0..1000)
        .map(|n| {
            let mut stream = connect();
            if n % 2 == 0 {
                let _ = stream.write_all(b"GET /metrics HT");
            }
            stream
        })
        .collect();
    let begin = Instant::now();
    assert!(get().contains("asterguard_up 1\n"));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let open = fs::read_dir(format!("/proc/{}/fd", server.0.id())).unwrap().count();
    assert!(open < 64, "{open} open files");
    for _ in 0..200 {
        assert!(get().contains("asterguard_up 1\n"));
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more");
    drop(idle);
    // Without the guard it goes on, and says so.
    let home = guard.stop();
    until("it says that there is no guard", || get().contains("asterguard_up 0\n"));
    // Another one takes the place of one that was killed.
    let path = home.path("http");
    drop(server);
    let _again = Server::start(&home, &["--listen", path.to_str().unwrap()]);
    until("it listens again", || UnixStream::connect(&path).is_ok());
}

#[test]
fn a_port_is_for_this_machine_only() {
    if !kit::usable() {
        return;
    }
    let home = Home::new(CONFIG);
    for place in ["0.0.0.0:9587", "[::]:9587", "192.0.2.1:9587", "9587", "nonsense"] {
        let (code, _, said) = home.ctl(&["metrics", "--listen", place]);
        assert_eq!(code, 2, "{place}: {said}");
        let is_address = place.parse::<std::net::SocketAddr>().is_ok();
        assert_eq!(said.contains("is not a loopback address"), is_address, "{place}: {said}");
    }
    // A port that nobody has.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let _server = Server::start(&home, &["--listen", &address]);
    until("it listens", || TcpStream::connect(&address).is_ok());
    let ask = |host: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        let _ = write!(stream, "GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    // No guard answers, and that is what it says.
    assert!(ask(&address).contains("asterguard_up 0\n"));
    // A page of somebody else in a browser of this machine, whose name leads here.
    let answer = ask("evil.example");
    assert!(answer.starts_with("HTTP/1.1 403") && !answer.contains("asterguard_"), "{answer}");
}

#[test]
fn an_inherited_socket_is_served_as_by_the_unit() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let path = guard.path("inherited");
    let listener = UnixListener::bind(&path).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["metrics", "--listen", "-", "--socket"]).arg(guard.path("socket-numbers"));
    let _server = Server(command.stdin(std::os::fd::OwnedFd::from(listener)).spawn().unwrap());
    let stream = UnixStream::connect(&path).unwrap();
    let answer = exchange(stream, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.contains("asterguard_up 1\n"), "{answer}");
    let (code, _, said) = guard.ctl(&["metrics", "--listen", "-"]);
    assert!(code == 1 && said.contains("standard input"), "{code}: {said}");
}

#[test]
fn a_plugin_says_one_line_and_one_of_four_codes() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let plugin = |home: &Home| home.ctl(&["status", "--check", "--nagios"]);
    let (code, out, said) = plugin(&guard);
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    assert!(
        out.starts_with("ASTERGUARD OK - 0 hosts banned, no login seen | banned_hosts=0;;;0 "),
        "{out}"
    );
    assert_eq!((out.lines().count(), out.matches('|').count()), (1, 1), "{out}");
    guard.order(&["pause"]);
    let (code, out, _) = plugin(&guard);
    assert!(code == 1 && out.starts_with("ASTERGUARD WARNING - PAUSED (pause): "), "{out}");
    guard.order(&["resume"]);
    // Nobody else may ask.
    fs::set_permissions(guard.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let mut other = Command::new(guard.public_program());
    other.args(["status", "--check", "--nagios", "--socket"]).arg(guard.path("socket"));
    let (code, out, _) = told(&other.uid(65_534).gid(65_534).output().unwrap());
    assert!(code == 3 && out.starts_with("ASTERGUARD UNKNOWN - "), "{out}");
    let home = guard.stop();
    let (code, out, _) = plugin(&home);
    assert!(code == 2 && out.starts_with("ASTERGUARD CRITICAL - no daemon answers "), "{out}");
    assert_eq!(home.ctl(&["status", "--nagios"]).0, 2, "only with --check");
}
