//! Any bytes may be said at the ports of IAX2, AMI and HTTP, and a stream may be cut anywhere: what is read of the
//! parts is what is read of the whole.
#![no_main]

use asterguard::services::{ami, http, iax};
use libfuzzer_sys::fuzz_target;

/// The beginnings of what is spoken, behind which anything may follow.
const BEGINNINGS: [&[u8]; 5] = [
    b"",
    b"Asterisk Call Manager/11.0.0\r\nResponse: Error\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nResponse: Error\r\n",
    b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /ari/channels?api_key=a:b HTTP/1.1\r\nAuthorization: Basic ",
];

fn all(parts: &[&[u8]]) -> (Vec<ami::Message>, Vec<http::Answer>, Vec<http::Request>) {
    let (mut messages, mut answers, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ami, mut told, mut asked) =
        (ami::Reader::default(), http::Answers::default(), http::Requests::default());
    for part in parts {
        ami.read(part, |message| {
            messages.push(message);
            true
        });
        told.read(part, |answer| answers.push(answer));
        asked.read(part, |request| requests.push(request));
    }
    (messages, answers, requests)
}

fuzz_target!(|data: &[u8]| {
    let _ = iax::Frame::read(data);
    let (cut, data) = data.split_first().map_or((0, data), |(cut, rest)| (usize::from(*cut), rest));
    for beginning in BEGINNINGS {
        let bytes = [beginning, data].concat();
        let (first, rest) = bytes.split_at(cut.min(bytes.len()));
        assert_eq!(all(&[&bytes]), all(&[first, rest]));
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(all(&[&bytes]), all(&single));
    }
});
