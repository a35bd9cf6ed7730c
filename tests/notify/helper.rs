//! The process that tells: its queue over restarts, its configuration, and `notify test`.

use std::fs;
use std::process::Command;

use asterguard::notify::protocol::ToNotifier;
use serde_json::Value;

use crate::kit::guard::{PROGRAM, told};
use crate::{Helper, Server, able, ban, home, kit, many};

fn mail(port: u16) -> String {
    format!("[notify.office]\nkind = 'mail'\nport = {port}\nto = 'admin@example.com'\n")
}

/// A port at which nobody listens.
fn nowhere() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_restart_keeps_what_is_queued() {
    if !able() {
        return;
    }
    let mut helper = Helper::start(&mail(nowhere()));
    many(30).for_each(|event| helper.tell(&event));
    helper.taken(30);
    helper.until("office", |status| status.failing_since.is_some());
    helper.tell(&ban("192.0.2.99"));
    helper.taken(31);
    let server = Server::start("smtp.py", &[]);
    helper.home.write("asterguard.toml", &mail(server.port));
    helper.restart();
    let (first, second) = (server.next(), server.next());
    assert!(first["subject"].as_str().unwrap().ends_with(": 30 bans"), "{first}");
    assert!(second["subject"].as_str().unwrap().contains("192.0.2.99"), "{second}");
    assert!(server.is_done());
    let status = helper.until("office", |status| status.sent == 2);
    assert_eq!((status.queued, status.dropped), (0, 0));
}

#[test]
fn a_damaged_queue_is_put_aside() {
    if !able() {
        return;
    }
    let server = Server::start("smtp.py", &[]);
    let home = home(&mail(server.port));
    fs::write(home.path("queue/office.queue"), b"\xff\x00{").unwrap();
    fs::write(home.path("queue/gone.queue"), b"of a notifier that is gone").unwrap();
    let mut helper = Helper::start_in(home);
    helper.tell(&ban("203.0.113.9"));
    server.next();
    assert!(helper.home.path("queue/office.damaged").exists());
    assert!(!helper.home.path("queue/gone.queue").exists());
}

#[test]
fn another_configuration_ends_the_process_and_a_wrong_one_does_not() {
    if !able() {
        return;
    }
    let mut helper = Helper::start(&mail(nowhere()));
    helper.say(&ToNotifier::Reload);
    helper.taken(1);
    helper.home.write("asterguard.toml", "[notify.office]\nkind = 'mial'\n");
    helper.say(&ToNotifier::Reload);
    helper.taken(2);
    kit::until("it says what is wrong", || {
        helper.report().trouble.is_some_and(|it| it.contains("asterguard.toml:2:8: unknown kind"))
    });
    helper.home.write("asterguard.toml", &mail(nowhere()));
    helper.say(&ToNotifier::Reload);
    let mut ended = None;
    kit::until("it ends", || {
        ended = helper.child.try_wait().unwrap();
        ended.is_some()
    });
    assert!(ended.unwrap().success());
}

#[test]
fn with_a_wrong_configuration_the_guard_keeps_everything() {
    if !able() {
        return;
    }
    let mut helper = Helper::start("[notify.office]\nkind = 'mial'\n");
    helper.tell(&ban("203.0.113.9"));
    kit::until("it says what is wrong", || helper.report().trouble.is_some());
    assert_eq!(helper.report().taken, 0);
    helper.home.write("asterguard.toml", &mail(nowhere()));
    kit::until("it ends", || helper.child.try_wait().unwrap().is_some());
    assert_eq!(helper.report().taken, 0);
}

#[test]
fn nonsense_is_passed_over() {
    use std::io::Write as _;
    if !able() {
        return;
    }
    let server = Server::start("smtp.py", &[]);
    let mut helper = Helper::start(&mail(server.port));
    helper.stream.write_all(b"nonsense\n\n{\"event\":{}}\n\xff\xfe\n").unwrap();
    helper.tell(&ban("203.0.113.9"));
    helper.taken(5);
    assert!(server.next()["subject"].as_str().unwrap().contains("203.0.113.9"));
}

#[test]
fn a_test_goes_the_way_of_the_real_ones() {
    if !able() {
        return;
    }
    let server = Server::start("smtp.py", &[]);
    let config = mail(server.port)
        + "quiet = '00:00-23:59'\non = 'stop'\n"
        + &format!("[notify.broken]\nkind = 'mail'\nport = {}\nto = 'a@example.com'\n", nowhere());
    let helper = Helper::start(&config);
    let test = |socket: &str, args: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["notify", "test", "--config"]).arg(helper.home.path("asterguard.toml"));
        told(&command.arg("--helper").arg(helper.home.path(socket)).args(args).output().unwrap())
    };
    let (code, out, said) = test("notify", &[]);
    assert_eq!(code, 1, "{out}{said}");
    assert!(
        out.contains("office (mail): sent: 127.0.0.1:")
            && out.contains("broken (mail): NOT SENT: "),
        "{out}"
    );
    assert!(
        out.contains("\n  do: see that the mail server runs") || out.starts_with("broken"),
        "{out}"
    );
    assert_eq!(said, "");
    assert!(server.next()["text"].as_str().unwrap().contains("this is a test of [notify.office]"));
    let (code, out, _) = test("notify", &["office", "--json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, json["sent"].as_bool(), json["name"].as_str()),
        (0, Some(true), Some("office"))
    );
    // Without the process, the command sends itself, and says so.
    let (code, _, said) = test("nowhere", &["office"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("this command sends the message itself"), "{said}");
    let (code, _, said) = test("notify", &["ofice"]);
    assert_eq!(code, 2);
    assert!(said.contains("there is no notifier \"ofice\"; there are: broken, office"), "{said}");
}

#[test]
fn memory_is_bounded() {
    if !able() {
        return;
    }
    let mut helper = Helper::start(&mail(nowhere()));
    let mut large = ban("203.0.113.9");
    large.text = "x".repeat(500);
    large.ban.as_mut().unwrap().lines = vec!["y".repeat(500); 10];
    for _ in 0..10_000 {
        helper.tell(&large);
    }
    helper.taken(10_000);
    helper.until("office", |status| status.queued == 10_000);
    let status = fs::read_to_string(format!("/proc/{}/status", helper.child.id())).unwrap();
    let memory = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let kib: u64 = memory.split_whitespace().nth(1).unwrap().parse().unwrap();
    eprintln!(
        "{memory}; queue: {} bytes",
        fs::metadata(helper.home.path("queue/office.queue")).unwrap().len()
    );
    assert!(kib < 64 << 10, "{memory}");
}
