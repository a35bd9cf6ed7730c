//! Compiles the failregexes of the shipped rules, so that the program need not do it each time that it starts.
//!
//! There is one automaton for each grammar: see `src/detect/shipped.rs`.

#[allow(dead_code, reason = "the program needs the rest")]
#[path = "src/rules/address_tag.rs"]
mod address_tag;
#[path = "src/detect/compile.rs"]
mod compile;
#[allow(dead_code, reason = "the program needs the rest")]
#[path = "src/detect/dfa.rs"]
mod dfa;
#[path = "src/rules/expand.rs"]
mod expand;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

/// What is compiled, and what it depends on.
const INPUTS: [&str; 6] = [
    "rules",
    "build.rs",
    "src/rules/address_tag.rs",
    "src/rules/expand.rs",
    "src/detect/compile.rs",
    "src/detect/dfa.rs",
];

fn main() -> Result<(), Box<dyn Error>> {
    for input in INPUTS {
        println!("cargo::rerun-if-changed={input}");
    }
    let out = env::var("OUT_DIR")?;
    let grammars = failregexes(Path::new("rules"))?;
    let mut made = String::new();
    for (grammar, regexes) in &grammars {
        let regexes: Vec<_> = regexes.iter().map(String::as_str).collect();
        let automaton = compile::automaton(&compile::nfa(&regexes)?, compile::DENSE_LIMIT)?;
        // Where it is too large, the program does what it does with all rules that are.
        let Some(automaton) = automaton else { continue };
        let file = format!("{grammar}.automaton");
        fs::write(Path::new(&out).join(&file), postcard::to_stdvec(&automaton)?)?;
        let bytes = format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))");
        writeln!(made, "    Made::new(&{regexes:?}, {bytes}),")?;
    }
    let count = made.lines().count();
    let text = format!("static MADE: [Made; {count}] = [\n{made}];\n");
    fs::write(Path::new(&out).join("automata.rs"), text)?;
    Ok(())
}

/// Returns the failregexes of all rule files, expanded, by the name of their grammar.
fn failregexes(directory: &Path) -> Result<BTreeMap<String, Vec<String>>, Box<dyn Error>> {
    let entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut grammars = BTreeMap::<String, Vec<String>>::new();
    for path in files {
        let file: toml::Table = fs::read_to_string(&path)?.parse()?;
        let grammar = file.get("prefix").and_then(toml::Value::as_str).unwrap_or("asterisk");
        let rules = file.get("rule").and_then(toml::Value::as_array).into_iter().flatten();
        for failregex in rules.filter_map(|rule| rule.get("failregex")).flat_map(all_of) {
            // A failregex that has not one address is complained of when the rules are read.
            if let [(tag, at, len)] = expand::address_tags(failregex)[..] {
                let head = expand::text_tags(failregex.get(..at).unwrap_or_default());
                let tail = expand::text_tags(failregex.get(at + len..).unwrap_or_default());
                let regex = format!("{head}{}{tail}", tag.regex());
                grammars.entry(grammar.to_owned()).or_default().push(regex);
            }
        }
    }
    Ok(grammars)
}

/// Returns one text, or all of a list.
fn all_of(value: &toml::Value) -> Vec<&str> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    list.iter().filter_map(toml::Value::as_str).collect()
}
