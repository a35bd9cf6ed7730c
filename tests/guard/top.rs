//! `top` at a real terminal (tmux's), with a real guard.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::guard::{Guard, Home, PROGRAM, told};
use crate::kit::{self, EVE, Netns};
use crate::{CONFIG, login, wrong_password};

/// The host of a phone that gets banned.
const PHONE: &str = "198.51.100.20";

/// A terminal with a shell in it; gone when dropped.
struct Terminal<'a> {
    home: &'a Home,
    /// That of tmux: one that ends may still be there when the next one begins.
    socket: PathBuf,
}

impl<'a> Terminal<'a> {
    /// Begins one of this size, in which `top` runs with a shell behind it.
    fn new(home: &'a Home, size: (u16, u16), options: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let terminal = Self { home, socket: home.path(&format!("tmux{count}")) };
        let (columns, lines) = size;
        let (columns, lines) = (columns.to_string(), lines.to_string());
        // Nothing of whoever runs the test, and a prompt that is found.
        let shell = "env -i PATH=\"$PATH\" TZ=UTC LC_ALL=C.UTF-8 TERM=\"$TERM\" PS1='ready> ' bash --norc -i";
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-s",
            "t",
            "-x",
            &columns,
            "-y",
            &lines,
            shell,
        ]);
        terminal.shows("ready>");
        let path = |name| home.path(name).display().to_string();
        terminal.line(&format!(
            "export PATH={}:$PATH; {options} {PROGRAM} top --socket {} --state-dir {}; echo ended $?",
            path("bin"),
            path("socket"),
            path("state")
        ));
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(args).env_remove("TMUX");
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        let (code, out, said) = told(&command.output().unwrap());
        assert_eq!(code, 0, "tmux {args:?}: {said}");
        out
    }

    /// What is to be seen; with `styles`, the sequences too.
    fn seen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "t"])
    }

    fn styled(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e", "-t", "t"])
    }

    /// Waits until something is to be seen, and returns all of it.
    fn shows(&self, words: &str) -> String {
        self.until(words, |text| text.contains(words))
    }

    fn until(&self, what: &str, mut condition: impl FnMut(&str) -> bool) -> String {
        let begin = Instant::now();
        let mut last = String::new();
        loop {
            let text = self.seen();
            // What is seen twice is not half of a screen that is being drawn.
            if text == last && condition(&text) {
                return text;
            }
            last.clone_from(&text);
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "waited in vain for {what}:\n{text}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses keys, by tmux's names.
    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", "t"], keys].concat());
    }

    /// Types a text.
    fn text(&self, text: &str) {
        self.tmux(&["send-keys", "-t", "t", "-l", text]);
    }

    fn line(&self, text: &str) {
        self.text(text);
        self.press(&["Enter"]);
    }

    fn resize(&self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.tmux(&["resize-window", "-t", "t", "-x", &columns, "-y", &lines]);
    }

    /// The process of `top`.
    fn top(&self) -> Pid {
        let pattern = format!("^{PROGRAM} top --socket {}", self.home.path("socket").display());
        let output = Command::new("pgrep").args(["-f", &pattern]).output().unwrap();
        let pid: i32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        Pid::from_raw(pid).unwrap()
    }

    /// Whether the terminal is as a shell wants it: what is typed is seen, by lines, and the cursor too.
    fn is_given_back(&self) {
        self.shows("ended 0");
        self.line("stty -a | tr ' ;' '\\n\\n' | grep -xE -- '-?(echo|icanon)' | paste -sd,");
        self.shows("\nicanon,echo\n");
        let flags =
            self.tmux(&["display-message", "-p", "-t", "t", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(flags.trim(), "0 1");
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).arg("kill-server").stdin(Stdio::null());
        let _ = command.stderr(Stdio::null()).status();
    }
}

/// A guard that has banned a phone, an attacker, and a host by order.
fn guard(netns: &Netns) -> Guard {
    let config = CONFIG.replace(
        "[jail.asterisk-scan]",
        "[jail.watching]\nfilter = \"asterisk-sip\"\nclass = \"guess\"\nmode = \"observe\"\nmaxretry = 3\n[jail.asterisk-scan]",
    );
    let home = Home::new(&config);
    home.script(
        "bin/whois",
        "#!/bin/sh\necho '% comment'\nprintf 'netname: EVIL\\033[2J %s\\n' \"$2\"\n",
    );
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    guard.order(&["ban", "2001:db8::7", "--for", "1h"]);
    guard
}

#[test]
fn bans_are_sorted_filtered_and_fit_the_screen() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    let terminal = Terminal::new(&guard, (80, 24), "");
    let text = terminal.shows("? help  q quit");
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with(concat!("asterguard ", env!("CARGO_PKG_VERSION"), "  ")),
        "{text}"
    );
    assert!(text.contains("attempts/min") && text.contains("dropped/s"), "{text}");
    let row = lines.iter().find(|line| line.starts_with(EVE)).unwrap();
    assert!(row.contains(" guess ") && row.ends_with("password: 1000"), "{text}");
    assert!(
        lines.iter().any(|line| line.starts_with("2001:db8::/64") && line.ends_with("by hand")),
        "{text}"
    );
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");

    // Help.
    terminal.press(&["?"]);
    terminal.shows("the shell's `fg` brings it back");
    terminal.press(&["Escape"]);
    // Orders, and which hosts that shows: the one that is banned for longer comes first.
    let first = |text: &str| {
        let mut rows = text.lines().skip_while(|line| !line.starts_with("HOST"));
        rows.nth(1).unwrap().split(' ').next().unwrap().to_owned()
    };
    assert_eq!(first(&terminal.shows("sort: last")), EVE);
    for order in ["tries", "dropped", "left"] {
        terminal.press(&["s"]);
        terminal.shows(&format!("sort: {order}"));
    }
    terminal.until("the longer ban", |text| {
        text.contains("sort: left") && first(text) == "2001:db8::/64"
    });
    terminal.press(&["s", "s"]);
    terminal.shows("sort: last");
    // Filters.
    for (filter, host) in
        [("2001:db8::7", "2001:db8::/64"), ("1000", EVE), ("guess", EVE), ("192.0.2.0/24", EVE)]
    {
        terminal.press(&["f"]);
        terminal.shows("filter (address");
        terminal.line(filter);
        let text = terminal.until(filter, |text| {
            text.contains(&format!("1 of 2 bans  sort: last  filter: {filter}"))
        });
        assert_eq!(first(&text), host, "{text}");
        terminal.press(&["Escape"]);
        terminal.shows("1-2: 2 bans");
    }
    // A wider terminal.
    terminal.resize(200, 50);
    let text = terminal.shows("EVIDENCE");
    assert!(text.contains(" asterisk-guess ") && text.contains("asterisk-sip/"), "{text}");
    // Local times, and UTC.
    terminal.press(&["t"]);
    terminal.shows("  UTC");
    terminal.resize(80, 24);
    terminal.until("the smaller size", |text| !text.contains("EVIDENCE"));

    terminal.press(&["q"]);
    terminal.is_given_back();
}

#[test]
fn all_about_a_host_is_a_key_away() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    let terminal = Terminal::new(&guard, (80, 24), "");
    terminal.shows("1-2: 2 bans");
    // All about a host.
    terminal.press(&["Home", "Enter"]);
    let text = terminal.shows(&format!("{EVE}: banned"));
    assert!(text.contains("ban [asterisk-guess]") && text.contains("wrong-password"), "{text}");
    terminal.press(&["w"]);
    let text = terminal.shows("netname");
    assert!(text.contains(&format!(r"netname: EVIL\u{{fffd}}[2J {EVE}")), "{text}");
    assert!(!text.contains("comment"), "{text}");
    terminal.press(&["Escape"]);
    terminal.shows("sort: last");

    // What a jail in observe mode would have banned.
    terminal.press(&["o"]);
    let text = terminal.shows("would-be ban");
    assert!(text.contains("watching"), "{text}");
    terminal.press(&["o"]);
    terminal.shows("1-2: 2 bans");

    terminal.press(&["q"]);
    terminal.is_given_back();
}

#[test]
fn orders_are_carried_out_when_they_are_confirmed() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    let terminal = Terminal::new(&guard, (80, 24), "");
    terminal.shows("1-2: 2 bans");
    terminal.press(&["u"]);
    terminal.shows(&format!("unban {EVE} (all its bans)? y/n"));
    terminal.press(&["n"]);
    terminal.shows("nothing was done");
    terminal.press(&["U"]);
    terminal.shows("and let it through for 1 hour? y/n");
    terminal.press(&["y"]);
    terminal.shows(&format!("1 ban lifted; {EVE} is let through until"));
    terminal.until("it is gone", |text| !text.lines().any(|line| line.starts_with(EVE)));
    assert!(guard.order(&["allow", "--list"]).contains(EVE));
    terminal.press(&["b"]);
    terminal.shows("ban (address");
    terminal.line("203.0.113.0/24 2h");
    terminal.shows("ban 203.0.113.0/24 for 2h? y/n");
    terminal.press(&["y"]);
    terminal
        .until("it is banned", |text| text.lines().any(|line| line.starts_with("203.0.113.0/24")));
    terminal.press(&["Home", "u"]);
    let text = terminal.shows("(all its bans)? y/n");
    terminal.press(&["y"]);
    terminal.shows("1 ban lifted");
    assert!(text.contains("unban "), "{text}");
    terminal.press(&["a"]);
    terminal.shows("allow (address");
    for _ in 0..40 {
        terminal.press(&["BSpace"]);
    }
    terminal.line("192.0.2.77 1h");
    terminal.shows("let 192.0.2.77 through for 1h? y/n");
    terminal.press(&["y"]);
    terminal.shows("192.0.2.77 is let through until");
    terminal.press(&["p"]);
    terminal.shows("block nobody for 15 minutes? y/n");
    terminal.press(&["y"]);
    terminal.shows("!  paused: nothing is blocked until");
    assert!(terminal.seen().contains("PAUSED"));
    terminal.press(&["p", "y"]);
    terminal.until("it blocks again", |text| {
        !text.contains("PAUSED") && text.contains("banned hosts are dropped again")
    });
    terminal.press(&["q"]);
    terminal.is_given_back();
    assert!(terminal.seen().contains("ended 0"));
}

#[test]
fn explain_asks_whois_if_it_is_wanted() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    let explain = |options: &[&str]| {
        let mut command = Command::new(PROGRAM);
        guard.program(&mut command, &[&["explain", EVE], options].concat());
        command.arg("--state-dir").arg(guard.path("state"));
        let path = std::env::var("PATH").unwrap();
        told(
            &command
                .env("PATH", format!("{}:{path}", guard.path("bin").display()))
                .output()
                .unwrap(),
        )
    };
    let (code, out, said) = explain(&["--whois"]);
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(out.contains(&format!("  whois: netname: EVIL\u{fffd}[2J {EVE}\n")), "{out}");
    let (_, out, _) = explain(&["--whois", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["whois"].as_array().unwrap().len(), 1, "{out}");
    assert!(!explain(&["--json"]).1.contains("whois"));
    // It takes no longer than it may, whatever the servers do.
    guard.script("bin/whois", "#!/bin/sh\nexec tail -f /dev/null\n");
    let begin = Instant::now();
    let (code, out, _) = explain(&["--whois"]);
    assert!(code == 0 && out.contains("  whois: not known: "), "{out}");
    assert!((4..15).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    let (code, _, said) = guard.ctl(&["explain", "a line", "--whois"]);
    assert!(code == 2 && said.contains("is no address"), "{said}");
}

#[test]
fn the_phone_of_a_customer_comes_first() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(&CONFIG.replace(
        "filter = \"asterisk-sip\"",
        "filter = [\"asterisk-sip\", \"asterisk-security\"]",
    ));
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.append("messages", &[login(PHONE)]);
    kit::until("it has logged in", || guard.status()["logins"]["host"] == PHONE);
    guard.order(&["ban", PHONE, "--for", "1h", "--yes"]);
    // Later than the phone, and with packets.
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("Ban {EVE}"));
    let terminal = Terminal::new(&guard, (80, 24), "");
    let text =
        terminal.until("the phone", |text| text.contains("!  1 banned host has logged in before"));
    assert!(text.contains(&format!("{PHONE} (account 1000)")), "{text}");
    let rows: Vec<_> = text.lines().skip_while(|line| !line.starts_with("HOST")).skip(1).collect();
    assert!(rows[0].starts_with(&format!("{PHONE} * ")) && rows[1].starts_with(EVE), "{text}");
    // Yellow, unless colours are not wanted.
    assert!(terminal.styled().contains("[38;5;3m"), "{}", terminal.styled());
    drop(terminal);
    for options in ["NO_COLOR=1", "CLICOLOR=0"] {
        let terminal = Terminal::new(&guard, (80, 24), options);
        terminal.shows("1 banned host has logged in before");
        assert!(!terminal.styled().contains("38;5;"), "{options}: {}", terminal.styled());
    }
}

#[test]
fn packets_that_are_dropped_are_seen() {
    if !kit::usable() {
        return;
    }
    let (pbx, eve) = kit::wired(&["192.0.2.1"], &[EVE]);
    let guard = Guard::start(&pbx, CONFIG);
    guard.order(&["ban", EVE, "--for", "1h"]);
    let terminal = Terminal::new(&guard, (80, 24), "");
    terminal.until("no packet yet", |text| text.contains("dropped/s") && text.contains("  now 0"));
    let row = |text: &str| text.lines().find(|line| line.starts_with(EVE)).unwrap_or("").to_owned();
    assert!(row(&terminal.shows(EVE)).ends_with("by hand"));
    eve.exec("ping -c 20 -i 0.002 -W 1 192.0.2.1 || true");
    let text = terminal.until("20 packets", |text| row(text).contains(" 20 "));
    // When the last one came is known, too.
    terminal.until("the last packet", |text| row(text).contains("s by hand"));
    assert!(!text.contains("PAUSED"));
}

#[test]
fn a_guard_that_ends_and_comes_back_is_survived() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    // The terminal outlives the guard, so its files are in another place.
    let other = Home::new("");
    let (socket, state) = (guard.path("socket"), guard.path("state"));
    std::os::unix::fs::symlink(&socket, other.path("socket")).unwrap();
    std::os::unix::fs::symlink(&state, other.path("state")).unwrap();
    let terminal = Terminal::new(&other, (80, 24), "");
    terminal.shows(EVE);
    let home = guard.stop();
    let text = terminal.shows("!  no report from the daemon for ");
    assert!(text.contains(EVE), "the last report stays: {text}");
    // Whatever is ordered meanwhile is not done, and said not to be.
    terminal.press(&["u", "y"]);
    terminal.shows("no daemon answers at");
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    terminal.until("it is back", |text| !text.contains("no report") && text.contains(EVE));
    drop(guard);
    terminal.shows("!  no report from the daemon for ");
    terminal.press(&["q"]);
    terminal.is_given_back();
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let terminal = Terminal::new(&guard, (80, 24), "");
        terminal.shows("? help  q quit");
        kill_process(terminal.top(), signal).unwrap();
        terminal.is_given_back();
    }
    let terminal = Terminal::new(&guard, (80, 24), "");
    terminal.shows("? help  q quit");
    // Suspended by its key, and by a signal, and taken up again.
    for by_key in [true, false] {
        if by_key {
            terminal.press(&["C-z"]);
        } else {
            kill_process(terminal.top(), Signal::TSTP).unwrap();
        }
        terminal
            .until("the shell is back", |text| text.contains("Stopped") && !text.contains("HOST "));
        terminal.line("clear; jobs");
        terminal.shows("[1]+  Stopped");
        terminal.resize(if by_key { 130 } else { 80 }, 24);
        terminal.line("fg");
        terminal.until("it is back", |text| {
            text.contains("? help  q quit") && text.contains("EVIDENCE") == by_key
        });
        terminal.press(&["?"]);
        terminal.shows("choose a host");
        terminal.press(&["Escape"]);
        terminal.shows("? help  q quit");
    }
    // Stopped and continued from outside: all of it is drawn again.
    let pid = terminal.top();
    kill_process(pid, Signal::STOP).unwrap();
    terminal.shows("Stopped");
    terminal.line("clear; fg");
    terminal.shows("? help  q quit");
    terminal.press(&["C-c"]);
    terminal.until("the shell is back", |text| text.trim_end().ends_with("ready>"));
    terminal.line("echo ended $?");
    terminal.is_given_back();
}

#[test]
fn names_of_strangers_are_escaped_on_the_screen() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    // The name of a log is the administrator's, and yet no reason to clear the screen.
    let config = CONFIG.replace("$DIR/messages", "$DIR/log\\u001b]0;x\\u0007\\u009b");
    let home = Home::new(&config);
    let log = "log\u{1b}]0;x\u{7}\u{9b}";
    fs::write(home.path(log), "").unwrap();
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    let mut lines = vec![wrong_password(EVE); 5];
    lines.push(wrong_password(EVE).replace("sip:1000@", "sip:\\u001b[2J\\u0007@"));
    guard.append(log, &lines);
    guard.says(&format!("Ban {EVE}"));
    let terminal = Terminal::new(&guard, (100, 30), "");
    terminal.shows(EVE);
    terminal.press(&["Enter"]);
    terminal.shows(&format!("{EVE}: banned"));
    terminal.shows(r"log\u{1b}]0;x\u{7}\u{9b}:");
    let title = terminal.tmux(&["display-message", "-p", "-t", "t", "#{pane_title}"]);
    assert_ne!(title.trim(), "x");
}

#[test]
fn without_a_terminal_it_is_text() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    let (code, out, said) = guard.ctl(&["top"]);
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(
        out.starts_with(concat!("asterguard ", env!("CARGO_PKG_VERSION"), "  "))
            && !out.contains('\u{1b}'),
        "{out}"
    );
    assert!(
        out.lines().any(|line| line.starts_with(EVE) && line.contains("asterisk-sip/")),
        "{out}"
    );
    let (code, out, said) = guard.ctl(&["top", "--interval", "soon"]);
    assert_eq!((code, out.as_str()), (2, ""), "{said}");
}

/// Asks the guard, and returns how long the answer took, and its length.
fn ask(guard: &Guard, request: &str) -> (Duration, usize) {
    let begin = Instant::now();
    let mut socket = UnixStream::connect(guard.path("socket")).unwrap();
    socket.write_all(format!("{request}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer).unwrap();
    assert!(answer.starts_with(r#"{"answer":"top""#), "{answer}");
    (begin.elapsed(), answer.len())
}

#[test]
fn refresh_with_very_many_bans_keeps_nobody_waiting() {
    if !kit::usable() {
        return;
    }
    // `make soak` has 100 000, and an optimised build; BANS is how many.
    let bans: u32 = std::env::var("BANS").map_or(10_000, |bans| bans.parse().unwrap());
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let host = |n: u32| format!("10.{}.{}.{}", n / 65_536, n / 256 % 256, n % 256);
    let until = kit::now().secs() + 86_400;
    let line = |n: u32| {
        format!(
            "{{\"jail\":\"asterisk-guess\",\"host\":\"{}\",\"scope\":\"all\",\"since\":{},\"until\":{},\"offences\":{},\"evidence\":\"proven\"}}\n",
            host(n),
            until - 86_400 - i64::from(n % 977),
            until + i64::from(n % 499),
            n % 97 + 1
        )
    };
    guard.write("bans.json", &(0..bans).map(line).collect::<String>());
    guard.order(&["import", guard.path("bans.json").to_str().unwrap()]);
    kit::until("all are banned", || guard.ctl(&["status", "--json"]).0 == 0);
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        (times[times.len() / 2], times[times.len() * 95 / 100], times[times.len() - 1])
    };
    let ban_takes = |begin: u32| {
        let one = |n: u32| {
            let host = format!("198.51.{}.{}", 100 + (begin + n) / 250, (begin + n) % 250 + 1);
            let start = Instant::now();
            guard.append("messages", &vec![wrong_password(&host); 5]);
            guard.says(&format!("Ban {host}"));
            start.elapsed()
        };
        median((0..50).map(one).collect())
    };
    let before = ban_takes(0);
    let mut took = Vec::new();
    for sort in ["last", "tries", "dropped", "left", "bans"] {
        for filter in ["", "10.0.1.0/24", "1000", "guess", "10.0."] {
            let request =
                format!(r#"{{"command":"top","sort":"{sort}","filter":"{filter}","rows":50}}"#);
            let all: Vec<_> = (0..5).map(|_| ask(&guard, &request)).collect();
            assert!(all.iter().all(|(_, length)| *length < 100_000));
            took.extend(all.into_iter().map(|(time, _)| time));
        }
    }
    // The first one copies all bans.
    let first = took.remove(0);
    let all = median(took);
    // Somebody looks on, twenty times a second.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let during = std::thread::scope(|scope| {
        let guard = &guard;
        scope.spawn(move || {
            while stopped
                .recv_timeout(Duration::from_millis(50))
                .is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                ask(guard, r#"{"command":"top","sort":"last","rows":50}"#);
            }
        });
        let during = ban_takes(5000);
        drop(stop);
        during
    });
    let mut once = Command::new(PROGRAM);
    guard.program(&mut once, &["top", "--once"]);
    let begin = Instant::now();
    assert!(once.output().unwrap().status.success());
    println!(
        "{bans} bans: the first report {first:?}, then median, 95 % and longest {all:?}; `top --once` {:?}; \
         from five lines to a ban {before:?}, while somebody looks on {during:?}",
        begin.elapsed()
    );
    // Figures of a machine that does other things meanwhile: what would be wrong is another order of magnitude.
    assert!(all.0 < Duration::from_secs(1), "{all:?}");
    assert!(during.0 < before.0 * 10 + Duration::from_millis(100), "{before:?} {during:?}");
}
