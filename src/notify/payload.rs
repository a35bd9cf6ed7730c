//! The body of a webhook's request, in the form of each service. Pure.

use serde_json::{Value, json};

use super::batch::Batch;
use super::message::Message;
use super::words::{discord, fitting, slack};
use crate::config::notify::{Preset, Webhook};
use crate::model::guard_event::GuardEvent;

/// Slack: characters of the text of a block (3000); escaping makes some longer.
const SLACK: usize = 2900;
/// Teams: 28 KB for the whole card; a line is a part of it.
const TEAMS: usize = 12_000;
/// Telegram: characters of a text (4096).
const TELEGRAM: usize = 4000;
/// ntfy: bytes of a message (4096); a longer one becomes an attachment.
const NTFY: usize = 3900;
/// Gotify has no such limit; nobody reads more.
const GOTIFY: usize = 8000;
/// Discord: characters of a text (2000).
const DISCORD: usize = 1900;

/// A request: where it goes beyond the address, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The part that is taken off the end of the address's path.
    pub topic: Option<String>,
    /// The JSON.
    pub body: Vec<u8>,
}

/// Returns the events of a batch as JSON: those that are there as a whole, and at the end how many are not.
#[must_use]
pub fn events(batch: &Batch) -> Vec<Value> {
    let value = |event: &GuardEvent| serde_json::to_value(event).unwrap_or(Value::Null);
    let mut all: Vec<_> = batch.events.iter().map(value).collect();
    if batch.omitted() > 0 {
        all.push(json!({ "omitted": batch.omitted(), "counts": batch.counts }));
    }
    all
}

/// Returns what a command gets on its standard input: an event, or an array of them.
#[must_use]
pub fn for_command(batch: &Batch) -> Vec<u8> {
    let mut bytes = match batch.single() {
        Some(event) => serde_json::to_vec(event).unwrap_or_default(),
        None => Value::Array(events(batch)).to_string().into_bytes(),
    };
    bytes.push(b'\n');
    bytes
}

/// Returns the request for a service; `path` is that of its address.
#[must_use]
pub fn payload(
    hook: &Webhook,
    batch: &Batch,
    message: &Message,
    machine: &str,
    path: &str,
) -> Payload {
    let chars = |line: &str| line.chars().count() + 1;
    let lines = [vec![message.subject.clone(), String::new()], message.lines()].concat();
    let joined = |most: usize, size: &dyn Fn(&str) -> usize| fitting(&lines, most, size).join("\n");
    let topic = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let topic = (hook.preset == Preset::Ntfy && !topic.is_empty()).then_some(topic);
    let body = match hook.preset {
        Preset::Json => json!({
            "machine": machine,
            "subject": message.subject,
            "text": message.lines().join("\n"),
            "total": batch.total(),
            "counts": batch.counts,
            "events": events(batch),
        }),
        Preset::Slack => {
            let escaped: Vec<_> = lines.iter().map(|line| slack(line)).collect();
            let text = fitting(&escaped, SLACK, chars).join("\n");
            json!({
                "text": slack(&message.subject),
                "mrkdwn": false,
                "unfurl_links": false,
                "blocks": [{
                    "type": "section",
                    "text": { "type": "plain_text", "text": text, "emoji": false },
                }],
            })
        }
        Preset::Teams => {
            // The text of such a run is never markup; that of a `TextBlock` is.
            let run = |(place, line): (usize, &String)| {
                json!({
                    "type": "RichTextBlock",
                    "spacing": if place == 0 { "Default" } else { "None" },
                    "inlines": [{
                        "type": "TextRun",
                        "text": if line.is_empty() { " " } else { line.as_str() },
                        "weight": if place == 0 { "Bolder" } else { "Default" },
                    }],
                })
            };
            let size = |line: &str| line.len() + 120;
            let blocks: Vec<_> = fitting(&lines, TEAMS, size).iter().enumerate().map(run).collect();
            json!({
                "type": "message",
                "attachments": [{
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "content": {
                        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                        "type": "AdaptiveCard",
                        "version": "1.4",
                        "body": blocks,
                    },
                }],
            })
        }
        // Without `parse_mode`, a text is a text.
        Preset::Telegram => json!({
            "chat_id": hook.chat,
            "text": joined(TELEGRAM, &chars),
            "link_preview_options": { "is_disabled": true },
        }),
        Preset::Ntfy => json!({
            "topic": topic,
            "title": message.subject,
            "message": fitting(&message.lines(), NTFY, |line| line.len() + 1).join("\n"),
            "priority": if message.urgent { 4 } else { 3 },
            "markdown": false,
        }),
        Preset::Gotify => json!({
            "title": message.subject,
            "message": fitting(&message.lines(), GOTIFY, chars).join("\n"),
            "priority": if message.urgent { 8 } else { 5 },
            "extras": { "client::display": { "contentType": "text/plain" } },
        }),
        Preset::Discord => {
            let escaped: Vec<_> = lines.iter().map(|line| discord(line)).collect();
            json!({
                "content": fitting(&escaped, DISCORD, chars).join("\n"),
                "allowed_mentions": { "parse": [] },
                // No previews of links.
                "flags": 4,
            })
        }
    };
    Payload { topic, body: body.to_string().into_bytes() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::notify::{PRESETS, Place, Way};
    use crate::notify::message::message;
    use crate::notify::tests::{any_event, ban, notifier};

    fn hook(preset: Preset) -> Webhook {
        Webhook {
            preset,
            url: Place::Written("https://example.com/x/alerts".to_owned()),
            tokenfile: None,
            cafile: None,
            chat: Some("-100".to_owned()),
        }
    }

    fn told(preset: Preset, batch: &Batch) -> Value {
        let message = message(batch, "pbx1");
        let Payload { body, .. } = payload(&hook(preset), batch, &message, "pbx1", "/x/alerts");
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn each_preset_is_one_that_the_configuration_knows() {
        for (preset, name) in PRESETS {
            let chat = if name == "telegram" { "chat = '1'" } else { "" };
            let read = notifier(&format!(
                "kind = 'webhook'\nurl = 'https://example.com/'\npreset = '{name}'\n{chat}"
            ));
            assert!(matches!(read.way, Way::Webhook(hook) if hook.preset == preset), "{name}");
        }
    }

    #[test]
    fn markup_of_strangers_is_text() {
        let mut event = ban("203.0.113.9");
        event.text = "<!channel> *x* [y](http://z) @everyone <b>".to_owned();
        let batch = Batch::of(event);
        let slack = told(Preset::Slack, &batch);
        assert_eq!(slack["blocks"][0]["text"]["type"], "plain_text");
        assert!(
            slack.to_string().contains("&lt;!channel&gt;") && !slack.to_string().contains("<!")
        );
        let discord = told(Preset::Discord, &batch);
        let content = discord["content"].as_str().unwrap();
        assert!(
            content.contains("\\<!channel\\> \\*x\\* \\[y\\]\\(http\\://z\\) \\@everyone"),
            "{content}"
        );
        assert_eq!(discord["allowed_mentions"]["parse"], json!([]));
        let telegram = told(Preset::Telegram, &batch);
        assert!(telegram.get("parse_mode").is_none() && telegram["chat_id"] == "-100");
        let teams = told(Preset::Teams, &batch);
        assert!(
            !teams.to_string().contains("TextBlock\",\"text")
                || teams.to_string().contains("TextRun")
        );
        assert_eq!(told(Preset::Ntfy, &batch)["topic"], "alerts");
        assert_eq!(
            told(Preset::Gotify, &batch)["extras"]["client::display"]["contentType"],
            "text/plain"
        );
        assert_eq!(told(Preset::Json, &batch)["events"][0]["host"], "203.0.113.9");
    }

    proptest! {
        #[test]
        fn limits_of_the_services_hold(events in prop::collection::vec(any_event(), 1..30)) {
            let mut batch = Batch::default();
            for event in events {
                batch.add(event);
            }
            let chars = |value: &Value| value.as_str().unwrap().chars().count();
            prop_assert!(chars(&told(Preset::Slack, &batch)["blocks"][0]["text"]["text"]) <= 3000);
            prop_assert!(chars(&told(Preset::Telegram, &batch)["text"]) <= 4096);
            prop_assert!(chars(&told(Preset::Discord, &batch)["content"]) <= 2000);
            prop_assert!(told(Preset::Ntfy, &batch)["message"].as_str().unwrap().len() <= 4096);
            prop_assert!(told(Preset::Teams, &batch).to_string().len() <= 28_000);
            let value: Value = serde_json::from_slice(&for_command(&batch)).unwrap();
            prop_assert!(value.is_array() || batch.total() == 1);
        }
    }
}
