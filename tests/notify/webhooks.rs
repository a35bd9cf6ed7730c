//! Webhooks, to a real web server.

use crate::{HOSTILE, Helper, Server, able, ban, certificate, hostile, many};

fn tls(statuses: &str) -> Server {
    Server::start("web.py", &[statuses, &certificate("signed.crt"), &certificate("signed.key")])
}

fn hook(server: &Server, more: &str) -> String {
    format!(
        "[notify.chat]\nkind = 'webhook'\nurl = 'https://127.0.0.1:{}/services/T00/s3cretpath'\ncafile = '{}'\n{more}\n",
        server.port,
        certificate("authority.crt")
    )
}

#[test]
fn events_arrive_as_json() {
    if !able() {
        return;
    }
    let server = tls("200");
    let mut helper = Helper::start(&hook(&server, "tokenfile = '$DIR/secret'"));
    helper.tell(&ban("203.0.113.9"));
    let request = server.next();
    assert_eq!(request["path"], "/services/T00/s3cretpath");
    assert_eq!(request["headers"]["authorization"], "Bearer s3cret");
    let body = &request["body"];
    assert_eq!(
        (body["total"].as_u64(), body["events"][0]["host"].as_str()),
        (Some(1), Some("203.0.113.9"))
    );
    many(1000).for_each(|event| helper.tell(&event));
    let request = server.next();
    let events = request["body"]["events"].as_array().unwrap();
    assert_eq!((request["body"]["total"].as_u64(), events.len()), (Some(1000), 101));
    assert_eq!(events[100]["omitted"], 900);
    assert!(server.is_done());
}

#[test]
fn a_strange_certificate_is_refused() {
    if !able() {
        return;
    }
    let server = tls("200");
    let config = hook(&server, "").replace("authority.crt", "own.crt");
    let mut helper = Helper::start(&config);
    helper.tell(&ban("203.0.113.9"));
    let status = helper.until("chat", |status| status.failing_since.is_some());
    assert!(status.why.as_ref().unwrap().contains("is not believed"), "{status:?}");
    assert!(!format!("{status:?}").contains("s3cretpath"), "{status:?}");
}

#[test]
fn what_fails_for_now_is_tried_again() {
    if !able() {
        return;
    }
    let server = tls("500,429,200");
    let mut helper = Helper::start(&hook(&server, ""));
    helper.tell(&ban("203.0.113.9"));
    assert_eq!(server.next()["status"], 500);
    let status = helper.until("chat", |status| status.failing_since.is_some());
    let why = status.why.unwrap();
    assert!(why.contains("500") && !why.contains('\u{1b}'), "{why}");
    assert_eq!(server.next()["status"], 429);
    assert_eq!(server.next()["status"], 200);
    helper.until("chat", |status| status.sent == 1 && status.failing_since.is_none());
}

#[test]
fn what_is_refused_for_good_is_given_up_and_redirects_are_not_followed() {
    if !able() {
        return;
    }
    let server = tls("400,302");
    let mut helper = Helper::start(&hook(&server, ""));
    helper.tell(&ban("203.0.113.9"));
    helper.until("chat", |status| status.dropped == 1 && status.queued == 0);
    helper.tell(&ban("203.0.113.10"));
    let status = helper.until("chat", |status| {
        status.queued == 1 && status.why.as_ref().is_some_and(|why| why.contains("302"))
    });
    assert!(status.why.unwrap().contains("leads elsewhere"));
}

#[test]
fn secrets_come_from_files_that_others_may_not_read() {
    if !able() {
        return;
    }
    let server = Server::start("web.py", &["200"]);
    let config = "[notify.chat]\nkind = 'webhook'\nurlfile = '$DIR/url'\n";
    let home = crate::home(config);
    home.write("url", &format!("http://127.0.0.1:{}/hook\n", server.port));
    std::fs::set_permissions(home.path("url"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    let mut helper = Helper::start_in(home);
    helper.tell(&ban("203.0.113.9"));
    let status = helper.until("chat", |status| status.failing_since.is_some());
    assert!(status.todo.unwrap().starts_with("chmod 640 "));
    std::fs::set_permissions(
        helper.home.path("url"),
        std::os::unix::fs::PermissionsExt::from_mode(0o640),
    )
    .unwrap();
    assert_eq!(server.next()["path"], "/hook");
}

#[test]
fn hostile_values_are_text_for_each_service() {
    if !able() {
        return;
    }
    for preset in ["json", "slack", "teams", "telegram", "ntfy", "gotify", "discord"] {
        let server = tls("200");
        let chat = if preset == "telegram" { "chat = '-1'\n" } else { "" };
        let more = format!("preset = '{preset}'\ntokenfile = '$DIR/secret'\njail = '*'\n{chat}");
        let mut helper = Helper::start(&hook(&server, &more));
        helper.tell(&hostile());
        let request = server.next();
        let body = &request["body"];
        let text = match preset {
            "json" => {
                assert_eq!(body["events"][0]["text"], HOSTILE);
                &body["text"]
            }
            "slack" => {
                assert_eq!(
                    (&body["blocks"][0]["text"]["type"], &body["mrkdwn"]),
                    (&"plain_text".into(), &false.into())
                );
                assert!(!body.to_string().contains("<!channel>"), "{body}");
                &body["blocks"][0]["text"]["text"]
            }
            "teams" => {
                let blocks = body["attachments"][0]["content"]["body"].as_array().unwrap();
                assert!(blocks.iter().all(|block| block["type"] == "RichTextBlock"), "{body}");
                &blocks[2]["inlines"][0]["text"]
            }
            "telegram" => {
                assert!(body["parse_mode"].is_null() && body["chat_id"] == "-1", "{body}");
                &body["text"]
            }
            "ntfy" => {
                assert_eq!(
                    (request["path"].as_str(), body["topic"].as_str()),
                    (Some("/services/T00/"), Some("s3cretpath"))
                );
                assert_eq!(body["markdown"], false);
                &body["message"]
            }
            "gotify" => {
                assert_eq!(request["headers"]["x-gotify-key"], "s3cret");
                assert_eq!(body["extras"]["client::display"]["contentType"], "text/plain");
                &body["message"]
            }
            _ => {
                assert_eq!(body["allowed_mentions"]["parse"].as_array().map(Vec::len), Some(0));
                assert!(body["content"].as_str().unwrap().contains("\\@everyone"), "{body}");
                &body["content"]
            }
        };
        let text = text.as_str().unwrap();
        assert!(!text.contains(['\u{1b}', '\u{0}', '\u{202e}', '\r']), "{preset}: {text:?}");
        assert!(text.contains("evil.example"), "{preset}: {text:?}");
    }
}
