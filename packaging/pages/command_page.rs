//! Makes the manual page of a command from its definition.

use anyhow::{Context, Result};
use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command};
use roff::{Inline, Roff, bold, italic, roman};

/// The page of `command`. `before` is what stands before its name where it is called: the program,
/// and for the command of a command that one, too, with what it takes.
///
/// # Errors
/// When nothing says what the command is for.
pub fn page(command: &Command, before: &[Inline]) -> Result<Roff> {
    let name = name(command);
    let about = command.get_about().with_context(|| format!("{name} has no description"))?;
    let mut page = Roff::new();
    crate::title(&mut page, name, "8", "System administration");
    page.control("SH", ["NAME"]).text([roman(format!("{name} - {about}"))]);
    page.control("SH", ["SYNOPSIS"]).text(synopsis(command, before));
    page.control("SH", ["DESCRIPTION"]);
    paragraphs(&mut page, command.get_long_about().unwrap_or(about));
    list(&mut page, "ARGUMENTS", command.get_positionals());
    list(&mut page, "OPTIONS", command.get_opts().chain(switches(command)));
    commands(&mut page, command);
    if let Some(after) = command.get_after_help() {
        examples_and_exit_codes(&mut page, &after.to_string())?;
    }
    Ok(page)
}

/// What the page is called, and its file.
pub fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

/// The commands of a command that have pages.
pub fn told(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|own| !own.is_hide_set())
}

/// What stands before the names of the commands of `command`.
pub fn before(command: &Command, before: &[Inline]) -> Vec<Inline> {
    let mut words = before.to_vec();
    words.extend([bold(command.get_name()), roman(" ")]);
    words.extend(command.get_positionals().flat_map(synopsis_of));
    words
}

/// Options without a value. Those that only print help and version are not in the synopsis.
fn switches(command: &Command) -> impl Iterator<Item = &Arg> {
    let switch = |arg: &&Arg| !arg.is_positional() && !arg.get_action().takes_values();
    command.get_arguments().filter(switch)
}

fn synopsis(command: &Command, before: &[Inline]) -> Vec<Inline> {
    let helps = |arg: &&Arg| {
        !matches!(
            arg.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        )
    };
    let mut line = before.to_vec();
    line.extend([bold(command.get_name()), roman(" ")]);
    let options = switches(command).filter(helps).chain(command.get_opts());
    line.extend(options.chain(command.get_positionals()).flat_map(synopsis_of));
    if command.has_subcommands() {
        line.push(italic("COMMAND"));
    }
    line
}

/// An argument as it stands in a synopsis: `[-c|--config FILE] `.
fn synopsis_of(arg: &Arg) -> Vec<Inline> {
    let mut words = words(arg, "|");
    if !arg.is_required_set() {
        words.insert(0, roman("["));
        words.push(roman("]"));
    }
    words.push(roman(" "));
    words
}

/// How an argument is written: its names, and its value.
fn words(arg: &Arg, between: &str) -> Vec<Inline> {
    let mut words = Vec::new();
    if let Some(short) = arg.get_short() {
        words.extend([bold(format!("-{short}")), roman(between)]);
    }
    if let Some(long) = arg.get_long() {
        words.push(bold(format!("--{long}")));
    }
    if arg.is_positional() || arg.get_action().takes_values() {
        let value = arg.get_value_names().and_then(|names| names.first());
        let value = value.map_or_else(|| arg.get_id().to_string(), ToString::to_string);
        if !arg.is_positional() {
            words.push(roman(" "));
        }
        let more = arg.get_num_args().is_some_and(|number| number.max_values() > 1);
        words.push(italic(if more { format!("{value}...") } else { value }));
    }
    words
}

/// A section of arguments, if there are any.
fn list<'a>(page: &mut Roff, heading: &str, arguments: impl Iterator<Item = &'a Arg>) {
    let mut arguments = arguments.filter(|arg| !arg.is_hide_set()).peekable();
    if arguments.peek().is_some() {
        page.control("SH", [heading]);
    }
    for arg in arguments {
        page.control("TP", []).text(words(arg, ", "));
        let help = match arg.get_action() {
            // Where else there is more of it depends on where one is.
            ArgAction::Help => "Print help".to_owned(),
            _ => arg.get_help().map(ToString::to_string).unwrap_or_default(),
        };
        let default = arg.get_default_values().first().filter(|_| arg.get_action().takes_values());
        let default = default
            .map(|value| format!(" [default: {}]", value.to_string_lossy()))
            .unwrap_or_default();
        page.text([roman(help + &default)]);
        let values = arg.get_possible_values();
        // A switch is true or false, which nobody writes.
        if !arg.get_action().takes_values() || values.is_empty() {
            continue;
        }
        page.control("RS", []);
        for value in values {
            page.control("TP", ["12"]).text([bold(value.get_name())]);
            page.text([roman(value.get_help().map(ToString::to_string).unwrap_or_default())]);
        }
        page.control("RE", []);
    }
}

fn commands(page: &mut Roff, command: &Command) {
    if told(command).next().is_some() {
        page.control("SH", ["COMMANDS"]);
    }
    for own in told(command) {
        let about = own.get_about().map(ToString::to_string).unwrap_or_default();
        page.control("TP", []).text([bold(name(own)), roman("(8)")]).text([roman(about)]);
    }
}

/// The text behind the help of the program: commands as they are written, then `Exit codes: 0 done, …`.
fn examples_and_exit_codes(page: &mut Roff, text: &str) -> Result<()> {
    let (examples, codes) = text.split_once("Exit codes: ").unwrap_or((text, ""));
    let examples = examples.trim_start_matches("Examples:\n");
    let lines: Vec<_> = examples.lines().map(str::trim_start).collect();
    page.control("SH", ["EXAMPLES"]).control("nf", []).text([roman(lines.join("\n").trim())]);
    page.control("fi", []);
    if codes.is_empty() {
        return Ok(());
    }
    page.control("SH", ["EXIT STATUS"]);
    let codes = codes.replace('\n', " ");
    for code in codes.trim_end_matches('.').split(", ") {
        let (code, meaning) = code.split_once(' ').context("an exit code without a meaning")?;
        page.control("TP", ["4"]).text([bold(code)]).text([roman(meaning)]);
    }
    Ok(())
}

fn paragraphs(page: &mut Roff, text: &StyledStr) {
    for paragraph in text.to_string().split("\n\n") {
        page.control("PP", []).text([roman(paragraph)]);
    }
}
