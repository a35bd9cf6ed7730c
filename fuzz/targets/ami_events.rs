//! The manager interface may say any bytes, and a connection may be cut anywhere: what is read of the parts is what is
//! read of the whole. A line never holds more than one value of a name, whatever a sender wrote into the values.
#![no_main]

use asterguard::services::ami_events::{Item, LONGEST_MESSAGE, Reader};
use libfuzzer_sys::fuzz_target;

/// An event, up to the name that a sender chose.
const BEGINNING: &[u8] = b"Asterisk Call Manager/11.0.0\r\nEvent: InvalidAccountID\r\nPrivilege: security,all\r\nEventTV: 2026-11-22T10:00:00.659+0100\r\nSeverity: Error\r\nService: PJSIP\r\nEventVersion: 1\r\nAccountID: ";
/// What follows the name.
const END: &[u8] = b"\r\nSessionID: 1\r\nLocalAddress: IPV4/UDP/192.0.2.10/5060\r\nRemoteAddress: IPV4/UDP/203.0.113.9/5071\r\n\r\n";

fn all(parts: &[&[u8]]) -> Vec<String> {
    let mut reader = Reader::default();
    let mut items = Vec::new();
    for part in parts {
        reader.read(part, |item| {
            if let Item::Event(line) = item {
                assert!(!line.iter().any(|byte| *byte < b' ') && line.len() < 2 * LONGEST_MESSAGE);
                let line = String::from_utf8_lossy(line);
                assert_eq!(line.matches("RemoteAddress=\"").count(), 1);
            }
            items.push(format!("{item:?}"));
        });
    }
    items
}

fuzz_target!(|data: &[u8]| {
    let (cut, data) = data.split_first().map_or((0, data), |(cut, rest)| (usize::from(*cut), rest));
    for bytes in [data.to_vec(), [BEGINNING, data, END, data].concat()] {
        let (first, rest) = bytes.split_at(cut.min(bytes.len()));
        assert_eq!(all(&[&bytes]), all(&[first, rest]));
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(all(&[&bytes]), all(&single));
    }
});
