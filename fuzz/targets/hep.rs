//! Any bytes may come as a HEP datagram, and it may be cut anywhere: what is read of a part is what is
//! read of the whole, as far as it goes.
#![no_main]

use asterguard::sip::hep::Hep;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The length of a datagram is seldom guessed; so each is read as it is, and with its length right.
    let mut right = [b"HEP3\0\0", data].concat();
    if let Ok(length) = u16::try_from(right.len()) {
        right[4..6].copy_from_slice(&length.to_be_bytes());
    }
    for bytes in [data, &right] {
        let Some(whole) = Hep::read(bytes) else { continue };
        assert!(whole.payload.len() < bytes.len());
        let _ = format!("{whole:?}");
        let key = whole.auth_key.unwrap_or_default().to_vec();
        assert_eq!(whole.has_password(&key), whole.auth_key != Some(&[]));
        for length in 0..bytes.len() {
            if let Some(part) = Hep::read(&bytes[..length]) {
                assert!(part.truncated && whole.payload.starts_with(part.payload));
                assert_eq!((part.source, part.destination), (whole.source, whole.destination));
            }
        }
    }
});
