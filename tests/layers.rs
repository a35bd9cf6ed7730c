//! The rooms of `src/` stand in the order of the data: each imports only from rooms above it.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The rooms, in order. A new room goes where what it needs stands above it.
const ROOMS: [&str; 27] = [
    "model", "sys", "config", "rules", "fail2ban", "hosts", "geo", "table", "input", "detect",
    "sip", "services", "sources", "notify", "feeds", "fleet", "exchange", "decide", "enforce",
    "store", "control", "report", "daemon", "metrics", "doctor", "setup", "cli",
];

/// Path segments, such as `["crate", "model", "time", "Time"]`, and the line where they begin.
type Written = (Vec<String>, usize);

/// Returns every path that begins with `crate` or `super` outside of tests.
fn paths(tokens: TokenStream, prefix: &[String], found: &mut Vec<Written>) {
    let mut path: Vec<String> = Vec::new();
    let mut line = 0;
    let mut skips_next_block = false;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(name) => {
                if path.is_empty() {
                    path = prefix.to_vec();
                    line = name.span().start().line;
                }
                path.push(name.to_string());
                let continues =
                    matches!(tokens.peek(), Some(TokenTree::Punct(p)) if p.as_char() == ':');
                if !continues {
                    found.push((std::mem::take(&mut path), line));
                }
            }
            // `::` goes on with the path; a single `:` of a type ends it.
            TokenTree::Punct(colon) if colon.as_char() == ':' => {
                if matches!(tokens.peek(), Some(TokenTree::Punct(p)) if p.as_char() == ':') {
                    tokens.next();
                } else {
                    path.clear();
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                if let Some(TokenTree::Group(attribute)) = tokens.peek() {
                    skips_next_block |=
                        attribute.stream().to_string().replace(' ', "") == "cfg(test)";
                }
            }
            TokenTree::Punct(punct) => {
                path.clear();
                skips_next_block &= punct.as_char() != ';';
            }
            TokenTree::Group(group) => {
                let goes_on = if group.delimiter() == Delimiter::Brace {
                    std::mem::take(&mut path)
                } else {
                    Vec::new()
                };
                path.clear();
                if group.delimiter() == Delimiter::Brace && skips_next_block {
                    skips_next_block = false;
                } else {
                    paths(group.stream(), &goes_on, found);
                }
            }
            TokenTree::Literal(_) => path.clear(),
        }
    }
}

/// Where in the crate a path leads, as seen from the module `of`; `None` if it leads out of it.
fn absolute(of: &[String], path: &[String]) -> Option<Vec<String>> {
    let supers = path.iter().take_while(|segment| *segment == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "super" if supers <= of.len() => Some([&of[..of.len() - supers], &path[supers..]].concat()),
        _ => None,
    }
}

/// What breaks the order in the text of a file, given as its module path.
fn upward(module: &[String], text: &str) -> Vec<String> {
    let Some(own) = module.first().and_then(|room| ROOMS.iter().position(|known| known == room))
    else {
        return Vec::new();
    };
    let mut found = Vec::new();
    paths(text.parse().expect("Rust"), &[], &mut found);
    let mut wrong = BTreeSet::new();
    for (path, line) in found {
        let Some(target) = absolute(module, &path) else { continue };
        let Some(room) =
            target.first().and_then(|name| ROOMS.iter().position(|known| known == name))
        else {
            continue;
        };
        if room > own {
            wrong.insert(format!(
                "src/{}, line {line}: `{}` is above it",
                module.join("/"),
                target.join("::")
            ));
        }
    }
    wrong.into_iter().collect()
}

fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            into.push(path);
        }
    }
}

/// `decide/engine/mod.rs` is the module `["decide", "engine"]`.
fn module_of(file: &Path) -> Vec<String> {
    let mut parts: Vec<_> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts
}

#[test]
fn each_room_imports_only_from_those_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 100, "{} files found below {}", files.len(), src.display());
    files.sort();
    let mut wrong = Vec::new();
    for file in files {
        let module = module_of(file.strip_prefix(&src).unwrap());
        if !module.iter().any(|part| part == "tests") {
            wrong.extend(upward(&module, &fs::read_to_string(&file).unwrap()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} imports run against the data:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_folder_is_a_room() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut there: Vec<_> = fs::read_dir(src)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "main.rs" && name != "lib.rs")
        .collect();
    there.sort();
    let mut rooms = ROOMS.to_vec();
    rooms.sort_unstable();
    assert_eq!(there, rooms);
}

#[test]
fn upward_import_is_found_in_every_form() {
    let module = ["model".to_owned(), "time".to_owned()];
    for text in [
        "use crate::daemon::Options;",
        "use crate::{sys::clock, daemon::{self, Options}};",
        "pub use super::super::daemon::Options as Chosen;",
        "fn f() -> crate::daemon::Options { todo!() }",
        "fn f() { log!(crate::sys::clock::now()) }",
        "mod inner { fn f() { crate::cli::main() } }",
        "#[cfg(test)]\nmod tests;\nuse crate::daemon::Options;",
    ] {
        assert!(!upward(&module, text).is_empty(), "{text}");
    }
    for text in [
        "use super::event::Event;",
        "//! [`crate::daemon`]\nuse std::time;",
        "#[cfg(test)]\nmod tests { use crate::daemon::Options; }",
    ] {
        assert_eq!(upward(&module, text), Vec::<String>::new(), "{text}");
    }
}
