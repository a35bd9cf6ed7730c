//! Any text may stand in a configuration or rule file: it is read, or refused with a place.
#![no_main]

use asterguard::config::load;
use asterguard::rules::RuleSet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let sources = [("fuzz.toml".into(), text.to_owned())];
    if let Err(wrong) = load::parse(&sources, &["asterisk-sip".to_owned()]) {
        assert!(wrong.to_string().contains(".toml:") || wrong.to_string().contains("built"));
    }
    if let Err(wrong) = RuleSet::parse(&sources) {
        assert!(wrong.to_string().contains("fuzz.toml:"));
    }
});
