//! Prints the output of commands, as text for people or as JSON for scripts, and reports failures.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal as _, Write as _};

use rustix::termios::tcgetwinsize;
use serde::Serialize;
use serde_json::Value;

use super::Exit;
use super::columns::Columns;
use super::times;
use crate::config::Setting;
use crate::config::load::LoadError;
use crate::config::settings::as_file;
use crate::control::Done;
use crate::daemon::{OrderError, RunError};
use crate::decide::plan_files::PlanError;
use crate::enforce::SinkError;
use crate::hosts::lists::ListsError;
use crate::rules::RulesError;

/// The form of all JSON that is printed. It changes when a field goes, or means something else.
const SCHEMA: u32 = 1;

/// A failure as the user sees it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The message to print.
    pub message: String,
}

impl Failure {
    /// Returns a failure without a code of its own.
    pub fn new(message: impl Display) -> Self {
        Self { exit: Exit::Failed, message: message.to_string() }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        // Mistakes with a place are shown with colours where there is somebody to see them.
        let colour = colours();
        let message = match &error {
            PlanError::Rules(RulesError::Wrong(wrong))
            | PlanError::Config(LoadError::Invalid(wrong))
            | PlanError::Lists(ListsError::Wrong(wrong)) => wrong.render(colour),
            other => other.to_string(),
        };
        Self { exit: Exit::Config, message }
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        Self { exit: Exit::NoNftables, message: error.to_string() }
    }
}

impl From<OrderError> for Failure {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Sink(error) => error.into(),
            OrderError::Store(_) => Self { exit: Exit::BadState, message: error.to_string() },
            OrderError::TooMany(_) => Self { exit: Exit::Usage, message: error.to_string() },
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Plan(error) => error.into(),
            RunError::Sink(error) => error.into(),
            RunError::User(message) => Self { exit: Exit::Usage, message },
            other => Self::new(other),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}

/// Whether standard error shows colours: as `--color` says, else if it is a terminal, and `NO_COLOR` is not set.
pub(super) fn colours() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// The output for people or for scripts. Whatever a command prints goes through one of these.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Whether JSON is wanted.
    pub json: bool,
    /// The columns of the terminal that standard output is; `None`: it is none.
    width: Option<u16>,
}

#[expect(
    clippy::unused_self,
    reason = "what is printed the same way in both is still printed by it"
)]
impl Output {
    /// Prints values in force: one object a line, or as a configuration file.
    pub fn settings(&self, settings: &[Setting]) {
        if self.json {
            for setting in settings {
                self.object(setting);
            }
        } else {
            for line in as_file(settings) {
                self.line(line);
            }
        }
    }

    /// Returns output in JSON or as text.
    pub fn new(json: bool) -> Self {
        let stdout = std::io::stdout();
        let size = stdout.is_terminal().then(|| tcgetwinsize(&stdout).ok()).flatten();
        let width = size.map(|size| size.ws_col).filter(|width| *width > 0);
        Self { json, width }
    }

    /// Returns the columns of the terminal that standard output is; `None`: it is none.
    pub fn width(&self) -> Option<u16> {
        self.width
    }

    /// Prints one line of text to standard output.
    pub fn line(&self, text: impl Display) {
        print(format_args!("{text}\n"));
    }

    /// Prints one JSON object, as a line: with the number of its form ahead, and each time as seconds and in RFC 3339.
    pub fn object(&self, object: &impl Serialize) {
        // Everything that is printed is made of strings, numbers and lists of them.
        let mut value = serde_json::to_value(object).unwrap_or_default();
        times::say_both(&mut value);
        let mut whole = serde_json::Map::from_iter([("schema".to_owned(), SCHEMA.into())]);
        if let Value::Object(fields) = value {
            whole.extend(fields);
        }
        print(format_args!("{}\n", Value::Object(whole)));
    }

    /// Prints rows in columns; see [`Columns`].
    pub fn table(&self, columns: Columns) {
        print(format_args!("{}", columns.text(self.width)));
    }

    /// Prints the result of a command that has little to say.
    pub fn done(&self, message: &str) {
        if self.json {
            self.object(&serde_json::json!({ "result": "done", "message": message }));
        } else {
            self.line(message);
        }
    }

    /// Prints what was done, and for scripts whether anything is other than before, where that is known.
    pub fn changed(&self, done: &Done) {
        match done {
            Done { message, changed: Some(changed) } if self.json => self.object(
                &serde_json::json!({ "result": "done", "changed": changed, "message": message }),
            ),
            Done { message, .. } => self.done(message),
        }
    }

    /// Says something besides on standard error.
    pub fn note(&self, message: &str) {
        self.tell("note", message);
    }

    /// Reports a failure on standard error.
    pub fn failure(&self, message: &str) {
        self.tell("failed", message);
    }

    fn tell(&self, result: &str, message: &str) {
        let text = if self.json {
            serde_json::json!({ "schema": SCHEMA, "result": result, "message": message })
                .to_string()
        } else {
            format!("asterguard: {}", message.trim_end())
        };
        // Where standard error is closed there is nobody to tell.
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }
}

/// Prints, and ends quietly when nobody reads on (`asterguard status | head`).
fn print(text: std::fmt::Arguments<'_>) {
    if let Err(error) = anstream::stdout().lock().write_fmt(text) {
        let exit = if error.kind() == ErrorKind::BrokenPipe { Exit::Done } else { Exit::Failed };
        std::process::exit(exit as i32);
    }
}
