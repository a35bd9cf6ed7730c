//! Any text may stand where a time should be, and any line where a message should be.
#![no_main]

use asterguard::detect::prefix::{self, Tags};
use asterguard::detect::timestamp::TimestampParser;
use asterguard::model::time::Time;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut parser = TimestampParser::new(jiff::tz::TimeZone::UTC, Time::from_secs(1_800_000_000));
    let fresh = parser.parse(data);
    assert_eq!(fresh, parser.parse(data), "the cache changes the answer");
    let mut scratch = Vec::new();
    if let Some(stripped) = prefix::strip(data, &Tags::default(), &mut scratch) {
        assert!(stripped.body.len() <= data.len());
        let _ = parser.parse(stripped.stamp);
    }
});
