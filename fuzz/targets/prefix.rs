//! Any bytes may stand in a line of any shape: what is left of it is no longer than the line, and an
//! object of the `[json]` formatter gives back whatever message was put into it.
#![no_main]

use asterguard::detect::prefix::{self, Shape, Tags};
use libfuzzer_sys::fuzz_target;

/// What may stand before or around hostile bytes.
const FRAMES: [(&str, &str); 12] = [
    ("", ""),
    ("[Nov 22 10:00:00] NOTICE[1]", ""),
    ("[Nov 22 10:00:00] \x1b[1;33mNOTICE\x1b[0m[1]: \x1b[1;37m", ""),
    ("Nov 22 10:00:00 pbx asterisk[1]: ", ""),
    ("<141>1 2026-11-22T10:00:00Z pbx asterisk 5 - [", ""),
    ("2026-11-22T10:00:00.1Z stdout F ", ""),
    ("asterisk-1  | ", ""),
    ("Nov 22 10:00:00 ", ""),
    (r#"{"MESSAGE":[27,"#, r#"],"_COMM":"asterisk"}"#),
    ("{", "}"),
    (r#"{"log":""#, r#"","stream":"stdout"}"#),
    (r#"{"logmsg":{"location":{"filename":"a.c"},"level":"NOTICE","message":""#, r#""}}"#),
];

fuzz_target!(|data: &[u8]| {
    let mut scratch = Vec::new();
    for (before, behind) in FRAMES {
        scratch.clear();
        let line = [before.as_bytes(), data, behind.as_bytes()].concat();
        let left = prefix::strip(&line, &Tags::default(), &mut scratch)
            .map(|stripped| stripped.body.len());
        assert!(left.is_none_or(|left| left <= line.len()));
        assert!(scratch.len() <= line.len());
        let _ = prefix::kernel(&line);
    }
    let Ok(message) = std::str::from_utf8(data) else { return };
    let quoted = serde_json::to_string(message).expect("any text can be quoted");
    let line = format!(
        r#"{{"timestamp":"x","logmsg":{{"location":{{"filename":"a.c"}},"level":"NOTICE","message":{quoted}}}}}"#
    );
    let stripped =
        prefix::strip(line.as_bytes(), &Tags::default(), &mut scratch).expect("a whole object");
    let expected = format!("a.c: {}", message.replace('\n', "\r").trim_end_matches('\r'));
    assert_eq!((stripped.shape, stripped.body), (Shape::Json, expected.as_bytes()));
});
