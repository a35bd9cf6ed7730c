//! Any text may stand in a file of fail2ban's, and any regex: it is read in bounded time, or refused with a place.
#![no_main]

use std::path::Path;

use asterguard::config::load;
use asterguard::fail2ban::ini;
use asterguard::fail2ban::jails;
use asterguard::fail2ban::merged::{Given, Merged};
use asterguard::fail2ban::options::named;
use asterguard::fail2ban::own_rules;
use asterguard::fail2ban::regexes::with_prefix;
use asterguard::rules::RuleSet;
use asterguard::rules::date_pattern::Dates;
use asterguard::rules::python_regex::translate;
use asterguard::rules::search::{Found, Search};
use libfuzzer_sys::fuzz_target;

/// Has texts as failregex, ignoreregex and datepattern of a jail's own table: they are rules of it, or wrong at a place.
fn in_a_jail(regex: &str, other: &str) {
    let Ok(mut rules) = RuleSet::parse(&[]) else { return };
    let text = format!(
        "[jail.x]\nfailregex = '''{regex}<HOST>\n{other}'''\nignoreregex = '''{other}'''\ndatepattern = '''{regex}'''\n"
    );
    let sources = [("fuzz.toml".into(), text)];
    let Ok(config) = load::parse(&sources, &["asterisk-sip".to_owned()]) else { return };
    match own_rules::add(&config, &mut rules) {
        Ok(notes) => assert!(notes.iter().all(|note| note.line().starts_with("fuzz.toml:"))),
        Err(wrong) => assert!(wrong.to_string().starts_with("fuzz.toml:")),
    }
}

fuzz_target!(|text: &str| {
    let ini = ini::parse(Path::new("jail.local"), text);
    for problem in &ini.problems {
        assert!(problem.to_string().starts_with("jail.local:"));
    }
    let mut merged = Merged::default();
    merged.add(&ini);
    merged.add(&ini);
    let mut problems = Vec::new();
    for section in ["Definition", "Init", "asterisk"] {
        for key in merged.own(section).into_iter().flat_map(|keys| keys.keys()) {
            let _ = merged.get(section, key, &Given::new());
        }
    }
    if let Ok(named) = named(text.lines().next().unwrap_or_default()) {
        let _ = jails::filter(named, &merged, "auto", &mut Given::new(), &mut problems);
    }
    let Some((regex, line)) = text.split_once('\n') else { return };
    let _ = with_prefix(regex, line);
    in_a_jail(regex, line);
    let _ = translate(regex);
    if let Ok(dates) = Dates::new(Some(regex)) {
        let _ = dates.find(line.as_bytes());
    }
    if let Ok(search) = Search::new(&format!("{regex}<HOST>")) {
        // What the first step does not let through, the second does not match.
        let found = search.find(line.as_bytes());
        if found != Found::Nothing && found != Found::GaveUp {
            let gate = regex_automata::meta::Regex::builder()
                .syntax(regex_automata::util::syntax::Config::new().unicode(false).utf8(false))
                .configure(regex_automata::meta::Config::new().utf8_empty(false))
                .build(search.gate());
            assert!(gate.is_ok_and(|gate| gate.is_match(line.as_bytes())), "{}", search.gate());
        }
    }
});
