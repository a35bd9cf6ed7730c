//! Any bytes may be said to be a capture: reading them ends, and what is said to be a packet was there.
#![no_main]

use asterguard::input::capture_file::CaptureFile;
use asterguard::input::link_layer::{Content, content};
use asterguard::sip::packet::Packet;
use libfuzzer_sys::fuzz_target;

/// The beginnings of files that are recognised: pcap, and the section of pcapng, of both byte orders.
const BEGINNINGS: [&[u8]; 5] = [
    b"",
    b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x01\0\0\0",
    b"\xa1\xb2\x3c\x4d\0\x02\0\x04\0\0\0\0\0\0\0\0\0\x04\0\0\0\0\0\x65",
    b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0",
    b"\x0a\x0d\x0d\x0a\0\0\0\x1c\x1a\x2b\x3c\x4d\0\x01\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x1c",
];

fuzz_target!(|data: &[u8]| {
    for beginning in BEGINNINGS {
        let bytes = [beginning, data].concat();
        let mut capture = CaptureFile::new(&bytes[..]);
        let mut read = 0;
        while let Ok(Some(packet)) = capture.next_packet() {
            read += packet.bytes.len() + 12;
            assert!(read <= bytes.len());
            assert_eq!(packet.number, capture.packets());
            let kind = packet.link_type.unwrap_or(1);
            if let Content::Ip(ip) = content(kind, &packet.bytes) {
                let _ = Packet::read(ip);
            }
        }
    }
});
