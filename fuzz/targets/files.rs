//! Any text may stand in a configuration or rule file: it is read, or refused with a place. So it
//! may in Asterisk's configuration, which is read as far as it makes sense.
#![no_main]

use asterguard::config::load;
use asterguard::hosts::asterisk::conf::Files;
use asterguard::hosts::asterisk::trunks::{TrunkHost, Trunks};
use asterguard::rules::RuleSet;
use libfuzzer_sys::fuzz_target;

/// The same text, whatever file is asked for: it may include itself.
struct Same<'a>(&'a str);

impl Files for Same<'_> {
    fn open(&mut self, pattern: &str) -> Vec<(String, Vec<u8>)> {
        let small = if self.0.matches("include").count() > 2 { "" } else { self.0 };
        vec![(pattern.to_owned(), small.as_bytes().to_vec())]
    }
}

fuzz_target!(|text: &str| {
    let sources = [("fuzz.toml".into(), text.to_owned())];
    if let Err(wrong) = load::parse(&sources, &["asterisk-sip".to_owned()]) {
        assert!(wrong.to_string().contains(".toml:") || wrong.to_string().contains("built"));
    }
    if let Err(wrong) = RuleSet::parse(&sources) {
        assert!(wrong.to_string().contains("fuzz.toml:"));
    }
    for trunk in Trunks::find(&mut Same(text)).trunks {
        assert!(!matches!(trunk.target, TrunkHost::Net(net) if net.prefix_len() < 16));
    }
});
