//! Writes manual pages and completions, from what the program itself goes by: the definition of its
//! command line, and its built-in configuration. So they cannot say something else than it does.
//!
//! `make pages` runs it. Its tests run with all others.

mod command_page;
mod config_page;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use asterguard::config::load::BUILT_IN;
use clap::Command;
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use roff::{Inline, Roff, bold, roman};

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).context("where shall the pages go?")?;
    let directory = Path::new(&directory);
    for (path, text) in pages()? {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// All files: their names, and what is in them.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut program = without_help(asterguard::cli::command());
    program.build();
    let mut pages = Vec::new();
    commands(&program, &[], &mut pages)?;
    pages.push(("man/asterguard.toml.5".to_owned(), config_page::page(&BUILT_IN)?));
    let shells: [(&dyn EnvCompleter, &str); 3] =
        [(&Bash, "asterguard.bash"), (&Zsh, "_asterguard"), (&Fish, "asterguard.fish")];
    for (shell, name) in shells {
        // They ask the program itself.
        let (mut script, program) = (Vec::new(), "asterguard");
        shell.write_registration("COMPLETE", program, program, program, &mut script)?;
        pages.push((format!("completions/{name}"), script));
    }
    Ok(pages)
}

/// The page of a command, and those of its own commands.
fn commands(
    command: &Command,
    before: &[Inline],
    pages: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    let mut page = command_page::page(command, before)?;
    if before.is_empty() {
        files(&mut page);
    } else {
        see_also(&mut page);
    }
    pages.push((format!("man/{}.8", command_page::name(command)), page.render().into_bytes()));
    for own in command_page::told(command) {
        commands(own, &command_page::before(command, before), pages)?;
    }
    Ok(())
}

/// Begins a page. It has no date, as its version says more.
fn title(page: &mut Roff, name: &str, section: &str, manual: &str) {
    let program = concat!("asterguard ", env!("CARGO_PKG_VERSION"));
    page.control("TH", [name, section, "\"\"", program, manual]);
}

/// The commands that `help` prints have no pages of their own.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

/// Which files the program goes by.
fn files(page: &mut Roff) {
    page.control("SH", ["FILES"]);
    for (file, what) in [
        ("/etc/asterguard/asterguard.toml", "The configuration; see asterguard.toml(5)."),
        ("/etc/asterguard/conf.d/*.toml", "Read after it, in the order of their names."),
        (
            "/etc/asterguard/rules.d/*.toml",
            "Your own rules: added to the built-in ones, or in their place.",
        ),
        (asterguard::daemon::STATE_DIR, "The state of the daemon."),
        (asterguard::control::SOCKET, "The control socket."),
    ] {
        page.control("TP", []).text([bold(file)]).text([roman(what)]);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("asterguard.toml"), roman("(5), "), bold("nft"), roman("(8)")]);
    page.control("PP", []).text([roman("/usr/share/doc/asterguard/README.md")]);
}

fn see_also(page: &mut Roff) {
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("asterguard"), roman("(8), "), bold("asterguard.toml"), roman("(5)")]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_has_the_version_of_the_program() {
        let changelog = include_str!("../debian/changelog");
        let version = concat!("asterguard (", env!("CARGO_PKG_VERSION"), "-");
        assert!(changelog.starts_with(version), "packaging/debian/changelog begins with {version}");
        let news = include_str!("../../CHANGELOG.md");
        assert!(news.contains(concat!("## [", env!("CARGO_PKG_VERSION"), "]")), "CHANGELOG.md");
    }

    #[test]
    fn the_examples_of_configurations_are_right() {
        let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/examples");
        let mut tried = 0;
        for file in fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "toml") {
                asterguard::decide::plan_files::load_plan(Some(&file))
                    .unwrap_or_else(|error| panic!("{error}"));
                tried += 1;
            }
        }
        assert!(tried > 0);
    }

    fn text(name: &str) -> String {
        let pages = pages().unwrap();
        let (_, bytes) = pages.into_iter().find(|(path, _)| path == name).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_command_has_a_page_and_is_completed() {
        let program = asterguard::cli::command();
        let shells = ["asterguard.bash", "_asterguard", "asterguard.fish"]
            .map(|name| text(&format!("completions/{name}")));
        for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let page = text(&format!("man/asterguard-{name}.8"));
            assert!(page.contains(".SH DESCRIPTION"), "{page}");
            for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
                let dashes = option.replace('-', "\\-");
                assert!(page.contains(&dashes), "{name} --{option} is in its page: {page}");
            }
            assert!(page.contains(".SH EXAMPLES\n.nf\nasterguard"), "{name}: {page}");
        }
        for script in &shells {
            assert!(script.contains("COMPLETE=") && script.contains("asterguard"), "{script}");
        }
    }

    #[test]
    fn the_page_of_the_program_tells_commands_files_and_exit_codes() {
        let page = text("man/asterguard.8");
        for word in [
            "asterguard\\-replay\\fR(8)",
            "asterguard.toml",
            "/var/lib/asterguard",
            ".nf\nTry it",
            ".SH \"EXIT STATUS\"\n.TP 4\n\\fB0\\fR\ndone\n",
        ] {
            assert!(page.contains(word), "{word}: {page}");
        }
        assert!(!page.contains("look\\-up"), "what is hidden is not told: {page}");
    }

    /// A page without fonts.
    fn plain(page: &str) -> String {
        let fonts = ["\\fB", "\\fI", "\\fR", "\\"];
        fonts.iter().fold(page.to_owned(), |page, font| page.replace(font, ""))
    }

    fn synopsis(name: &str) -> String {
        let page = plain(&text(name));
        let (_, rest) = page.split_once(".SH SYNOPSIS\n").unwrap();
        rest.lines().next().unwrap().trim().to_owned()
    }

    #[test]
    fn a_synopsis_is_what_can_be_written() {
        for (page, words) in [
            ("asterguard", "asterguard [--json] [--color WHEN] COMMAND"),
            ("asterguard-reload", "asterguard reload [--json] [--socket PATH] [--color WHEN]"),
            (
                "asterguard-ban",
                "asterguard ban [--ensure] [-y|--yes] [--json] [-j|--jail JAIL] [--for TIME] [--comment TEXT] \
                 [--confirm TIME] [--socket PATH] [--color WHEN] HOST|NETWORK...",
            ),
            (
                "asterguard-test",
                "asterguard test [--matched] [--missed] [--ignored] [--tampered] [-v|--verbose] [--json] [--limit N|all] [--regex FAILREGEX] [--ignoreregex REGEX] [--class CLASS] [--prefix PREFIX] [-c|--config FILE] [--color WHEN] LINE|FILE|-",
            ),
            (
                "asterguard-get",
                "asterguard get [--json] [--socket PATH] [--color WHEN] JAIL [WHAT]",
            ),
        ] {
            assert_eq!(synopsis(&format!("man/{page}.8")), words);
        }
    }

    #[test]
    fn each_page_that_is_named_is_there() {
        let pages = pages().unwrap();
        let mut named = 0;
        for (path, text) in pages.iter().filter(|(path, _)| path.starts_with("man/")) {
            let text = plain(&String::from_utf8_lossy(text));
            let words = text.split_whitespace().filter(|word| word.starts_with("asterguard"));
            for word in words.filter_map(|word| word.trim_end_matches(',').strip_suffix("(8)")) {
                named += 1;
                let there = pages.iter().any(|(path, _)| *path == format!("man/{word}.8"));
                assert!(there, "{path} names {word}(8)");
            }
        }
        assert!(named > 0);
    }
}
