//! Mails, to a real server.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::kit;
use crate::kit::guard::{PROGRAM, told};
use crate::{Helper, Server, able, ban, certificate, hostile, many};

fn mail(server: &Server, more: &str) -> String {
    format!(
        "[notify.office]\nkind = 'mail'\nport = {}\nto = ['admin@example.com', 'Bo <bo@example.com>']\n{more}\n",
        server.port
    )
}

fn header<'m>(mail: &'m Value, name: &str) -> &'m str {
    let headers = mail["headers"].as_array().unwrap();
    let found: Vec<_> = headers.iter().filter(|it| it[0].as_str() == Some(name)).collect();
    assert_eq!(found.len(), 1, "{name}: {mail}");
    found[0][1].as_str().unwrap()
}

#[test]
fn a_ban_arrives_by_the_local_server() {
    if !able() {
        return;
    }
    let server = Server::start("smtp.py", &[]);
    let mut helper = Helper::start(&mail(&server, ""));
    helper.tell(&ban("203.0.113.9"));
    let mail = server.next();
    assert_eq!(mail["to"], serde_json::json!(["admin@example.com", "bo@example.com"]));
    assert!(header(&mail, "From").starts_with("asterguard@"), "{mail}");
    assert_eq!(header(&mail, "Auto-Submitted"), "auto-generated");
    assert!(header(&mail, "Message-ID").contains('@') && !header(&mail, "Date").is_empty());
    let subject = mail["subject"].as_str().unwrap();
    assert!(subject.ends_with(": banned 203.0.113.9 [asterisk-guess]"), "{subject}");
    let text = mail["text"].as_str().unwrap();
    for part in [
        "Failed attempts: 5",
        "Accounts tried:  1000, 1001",
        "Evidence:        proven",
        "(1h)",
        "InvalidPassword <sip:1000@pbx>",
        "asterguard unban 203.0.113.9",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(mail["html"].as_str().unwrap().contains("&lt;sip:1000@pbx&gt;"), "{mail}");
    helper.until("office", |status| status.sent == 1 && status.queued == 0);
}

/// The program is a stand-in here: the real one asks servers on the internet.
#[test]
fn what_whois_knows_is_told_if_wanted() {
    if !able() {
        return;
    }
    let server = Server::start("smtp.py", &[]);
    let home = crate::home(&mail(&server, "whois = true"));
    let script = "#!/bin/sh\necho '% a comment'\necho \"netname: OF $*\"\n\
                  echo \"secret: ${SECRET_OF_THE_ENVIRONMENT-none}\"\n";
    kit::script(&home.path("bin/whois"), script);
    let mut helper = Helper::start_in(home);
    helper.tell(&ban("203.0.113.9"));
    let mail = server.next();
    let text = mail["text"].as_str().unwrap();
    assert!(text.contains("netname: OF -- 203.0.113.9") && !text.contains("a comment"), "{text}");
    assert!(text.contains("secret: none"), "{text}");
}

#[test]
fn a_thousand_bans_are_one_mail() {
    if !able() {
        return;
    }
    let server = Server::start("smtp.py", &[]);
    let mut helper = Helper::start(&mail(&server, ""));
    many(1000).for_each(|event| helper.tell(&event));
    helper.taken(1000);
    let mail = server.next();
    assert!(mail["subject"].as_str().unwrap().ends_with(": 1000 bans"), "{mail}");
    assert!(mail["text"].as_str().unwrap().contains("and 990 more (asterguard banned)"), "{mail}");
    assert!(server.is_done());
}

#[test]
fn what_strangers_write_stays_where_it_belongs() {
    if !able() {
        return;
    }
    let server = Server::start("smtp.py", &[]);
    let mut helper = Helper::start(&mail(&server, ""));
    helper.tell(&hostile());
    let mail = server.next();
    let mut names: Vec<_> =
        mail["headers"].as_array().unwrap().iter().map(|it| it[0].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "Auto-Submitted",
            "Content-Type",
            "Date",
            "From",
            "MIME-Version",
            "Message-ID",
            "Subject",
            "To"
        ]
    );
    assert_eq!(mail["to"].as_array().unwrap().len(), 2);
    let is_hidden = |c: char| c == '\u{202e}' || (c.is_control() && !"\r\n".contains(c));
    assert!(!mail["subject"].as_str().unwrap().contains(is_hidden), "{mail}");
    assert!(!mail["text"].as_str().unwrap().contains(is_hidden), "{mail}");
    let html = mail["html"].as_str().unwrap();
    assert!(
        !html.contains("<b>") && !html.contains("<!channel>") && html.contains("&lt;b&gt;"),
        "{html}"
    );
}

#[test]
fn over_tls_only_a_known_server_gets_the_mail() {
    if !able() {
        return;
    }
    let (signed, key) = (certificate("signed.crt"), certificate("signed.key"));
    for (security, authority, login, is_right) in [
        ("starttls", "authority.crt", true, true),
        ("tls", "authority.crt", false, true),
        ("starttls", "own.crt", true, false),
        ("tls", "own.crt", false, false),
    ] {
        let mut args = vec!["--tls", security, "--cert", &signed, "--key", &key];
        let mut more = format!("security = '{security}'\ncafile = '{}'\n", certificate(authority));
        if login {
            args.extend(["--user", "pbx", "--password", "s3cret"]);
            more.push_str("user = 'pbx'\npasswordfile = '$DIR/secret'\n");
        }
        let server = Server::start("smtp.py", &args);
        let mut helper = Helper::start(&mail(&server, &more));
        helper.tell(&ban("203.0.113.9"));
        if is_right {
            let mail = server.next();
            assert_eq!(mail["tls"], true, "{security}");
            assert_eq!(mail["user"].is_null(), !login, "{mail}");
        } else {
            let status = helper.until("office", |status| status.failing_since.is_some());
            assert!(status.why.unwrap().contains("is not believed"), "{security} {authority}");
            assert_eq!((status.sent, status.queued), (0, 1));
        }
    }
}

#[test]
fn a_server_without_tls_does_not_get_the_password() {
    if !able() {
        return;
    }
    let server = Server::start("smtp.py", &[]);
    let more = "security = 'starttls'\nuser = 'pbx'\npasswordfile = '$DIR/secret'";
    let mut helper = Helper::start(&mail(&server, more));
    helper.tell(&ban("203.0.113.9"));
    let status = helper.until("office", |status| status.failing_since.is_some());
    assert_eq!(status.sent, 0, "{status:?}");
    assert!(server.is_done());
}

#[test]
fn a_wrong_password_is_told_and_keeps_the_mail() {
    if !able() {
        return;
    }
    let server = Server::start("smtp.py", &["--user", "pbx", "--password", "other"]);
    let more = "user = 'pbx'\npasswordfile = '$DIR/secret'";
    let mut helper = Helper::start(&mail(&server, more));
    helper.tell(&ban("203.0.113.9"));
    let status = helper.until("office", |status| status.failing_since.is_some());
    assert!(status.why.as_ref().unwrap().contains("refused the login"), "{status:?}");
    assert!(!format!("{status:?}").contains("s3cret"));
    assert_eq!((status.queued, status.dropped), (1, 0));
}

#[test]
fn a_refused_mail_does_not_keep_others_waiting() {
    if !able() {
        return;
    }
    let server = Server::start("smtp.py", &["--refuse", "554 no, \u{1b}[2J"]);
    let mut helper = Helper::start(&mail(&server, ""));
    helper.tell(&ban("203.0.113.9"));
    let status = helper.until("office", |status| status.dropped == 1);
    assert!(status.why.unwrap().contains("refused the mail"));
    assert_eq!(status.queued, 0);
}

#[test]
fn a_slow_server_gets_the_mail() {
    if !able() {
        return;
    }
    let server = Server::start("smtp.py", &["--slow", "4"]);
    let mut helper = Helper::start(&mail(&server, ""));
    helper.tell(&ban("203.0.113.9"));
    assert!(server.next()["subject"].as_str().unwrap().contains("203.0.113.9"));
}

#[test]
fn a_server_that_says_nothing_delays_no_other() {
    if !able() {
        return;
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start("smtp.py", &[]);
    let port = silent.local_addr().unwrap().port();
    let config = mail(&server, "")
        + &format!("[notify.silent]\nkind = 'mail'\nport = {port}\nto = 'a@example.com'\n");
    let mut helper = Helper::start(&config);
    for host in ["203.0.113.9", "203.0.113.10"] {
        helper.tell(&ban(host));
        assert!(server.next()["subject"].as_str().unwrap().contains(host));
    }
    let time = Duration::from_secs(60);
    let status = helper.until_in(time, "silent", |status| status.failing_since.is_some());
    assert_eq!((status.sent, status.queued), (0, 2), "{status:?}");
    assert_eq!(helper.until("office", |status| status.sent == 2).failing_since, None);
}

/// The report goes to those who want it, with text and page, by the process and without it.
#[test]
fn the_report_arrives_at_who_wants_it() {
    if !able() {
        return;
    }
    let server = Server::start("smtp.py", &[]);
    let config = mail(&server, "on = ['ban', 'report']")
        + &mail(&server, "").replace("[notify.office]", "[notify.others]");
    let helper = Helper::start(&config);
    let report = |socket: &str, args: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["report", "--config"]).arg(helper.home.path("asterguard.toml"));
        command.arg("--state-dir").arg(helper.home.path("state"));
        command.arg("--socket").arg(helper.home.path("socket"));
        told(&command.arg("--helper").arg(helper.home.path(socket)).args(args).output().unwrap())
    };
    for socket in ["notify", "nowhere"] {
        let (code, out, said) = report(socket, &["--mail"]);
        assert_eq!(code, 0, "{out}{said}");
        assert!(out.starts_with("office (mail): sent: 127.0.0.1:"), "{out}");
        assert_eq!(said.contains("sends the message itself"), socket == "nowhere", "{said}");
        let mail = server.next();
        let subject = header(&mail, "Subject");
        assert!(
            subject.contains("Nothing is stored of this time; 0 attempts, 0 bans"),
            "{subject}"
        );
        let (text, html) = (mail["text"].as_str().unwrap(), mail["html"].as_str().unwrap());
        assert!(text.contains("Attempts an hour: this week") && html.contains("<svg "), "{text}");
    }
    assert!(server.is_done(), "the others want no report");
    drop(server);
    let (code, out, _) = report("notify", &["--mail"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("office (mail): NOT SENT: ") && out.contains("  do: "), "{out}");
    // Nobody is to get it.
    helper.home.write("asterguard.toml", "[notify.office]\nkind = 'mail'\nto = 'a@example.com'\n");
    let (code, _, said) = report("notify", &["--mail"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("nobody is to get the report"), "{said}");
}
