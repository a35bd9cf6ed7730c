//! A queue's file may hold any bytes, and so may a line of the guard: it is read, or it is not. Whatever an event says, each
//! line of a message stays one, and what each service gets is JSON within its limits.
#![no_main]

use asterguard::config::notify::{Place, Preset, Webhook};
use asterguard::notify::batch::Batch;
use asterguard::notify::message::message;
use asterguard::notify::payload::{for_command, payload};
use asterguard::notify::protocol::{Report, ToNotifier};
use asterguard::notify::queue::Queue;
use asterguard::sys::json_line::read;
use libfuzzer_sys::fuzz_target;

const PRESETS: [(Preset, usize); 7] = [
    (Preset::Json, usize::MAX),
    (Preset::Slack, usize::MAX),
    (Preset::Teams, 28_000),
    (Preset::Telegram, usize::MAX),
    (Preset::Ntfy, usize::MAX),
    (Preset::Gotify, usize::MAX),
    (Preset::Discord, usize::MAX),
];

fuzz_target!(|data: &[u8]| {
    if let Ok(queue) = Queue::read(data) {
        assert_eq!(Queue::read(&queue.write()), Ok(queue));
    }
    let _ = read::<Report>(data);
    let mut batch = Batch::default();
    for line in data.split(|byte| *byte == b'\n') {
        if let Some(ToNotifier::Event(event)) = read(line) {
            batch.add(*event);
        }
    }
    if batch.is_empty() {
        return;
    }
    let message = message(&batch, "pbx");
    assert!(!message.subject.chars().any(char::is_control));
    assert!(message.lines().iter().all(|line| !line.chars().any(char::is_control)));
    let _ = for_command(&batch);
    for (preset, most) in PRESETS {
        let url = Place::Written("https://example.com/topic".to_owned());
        let hook = Webhook { preset, url, tokenfile: None, cafile: None, chat: None };
        let body = payload(&hook, &batch, &message, "pbx", "/topic").body;
        assert!(body.len() <= most && serde_json::from_slice::<serde_json::Value>(&body).is_ok());
    }
});
