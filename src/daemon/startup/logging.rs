//! The messages of the daemon: lines that fail2ban's users know how to grep, and under systemd, fields beside them.

use std::fmt;
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer, debug_fn};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogLevel;
use crate::sys::journal_socket::{Entry, JournalSocket};

/// A handle that changes how much is said.
pub struct Volume(
    reload::Handle<tracing_subscriber::filter::LevelFilter, tracing_subscriber::Registry>,
);

impl Volume {
    /// Says, from now on, what is at least as grave as `level`.
    pub fn set(&self, level: LogLevel) {
        // The handle fails only when the subscriber is gone, and then nobody hears it.
        let _ = self.0.reload(filter(level));
    }
}

/// Starts to log: to the journal with fields where standard error is the journal, otherwise to standard error with local
/// times and their zone. What the journal does not take goes to standard error.
pub fn start(level: LogLevel) -> Volume {
    let (filter, handle) = reload::Layer::new(filter(level));
    let dated = std::env::var_os("JOURNAL_STREAM").is_none();
    let journal = JournalSocket::of_stderr();
    let registry = tracing_subscriber::registry().with(filter);
    // Fails only if somebody in this process logs already: then that one goes on.
    let _ = match journal {
        Some(socket) => registry.with(Fields { socket }).try_init(),
        None => {
            // Fields are for the journal.
            let text = debug_fn(|writer, field, value| match field.name() {
                MESSAGE => write!(writer, "{value:?}"),
                _ => Ok(()),
            });
            let lines = tracing_subscriber::fmt::layer()
                .fmt_fields(text)
                .event_format(Lines { dated })
                .with_writer(std::io::stderr);
            registry.with(lines).try_init()
        }
    };
    Volume(handle)
}

/// The name that `tracing` gives to the text of a message.
const MESSAGE: &str = "message";

/// Returns the word for a level, and its number in the journal (`sd-daemon(3)`).
fn level_words(level: Level) -> (&'static str, char) {
    match level {
        Level::ERROR => ("ERROR", '3'),
        Level::WARN => ("WARNING", '4'),
        Level::INFO => ("NOTICE", '5'),
        Level::DEBUG => ("INFO", '6'),
        Level::TRACE => ("DEBUG", '7'),
    }
}

/// Sends messages to the journal with their fields: `jail` as `ASTERGUARD_JAIL`.
struct Fields {
    socket: JournalSocket,
}

impl<S: Subscriber> Layer<S> for Fields {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (word, priority) = level_words(*event.metadata().level());
        let mut fields = Collected::default();
        event.record(&mut fields);
        let message = format!("{word:<7} {}", fields.message);
        let mut entry = Entry::default();
        entry.field("PRIORITY", &priority.to_string());
        entry.field("SYSLOG_IDENTIFIER", "asterguard");
        entry.field("MESSAGE", &message);
        for (name, value) in &fields.others {
            entry.field(name, value);
        }
        if self.socket.send(&entry).is_err() {
            // What cannot be written there either is lost.
            let _ = writeln!(std::io::stderr(), "{message}");
        }
    }
}

/// The text of a message, and its fields.
#[derive(Default)]
struct Collected {
    message: String,
    others: Vec<(String, String)>,
}

impl Collected {
    fn take(&mut self, field: &Field, value: String) {
        match field.name() {
            MESSAGE => self.message = value,
            name => self.others.push((format!("ASTERGUARD_{}", name.to_uppercase()), value)),
        }
    }
}

impl Visit for Collected {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}

/// Returns the filter for a level: fail2ban's NOTICE (bans) is `tracing`'s INFO, and its INFO (each
/// offence) is DEBUG.
fn filter(level: LogLevel) -> tracing_subscriber::filter::LevelFilter {
    match level {
        LogLevel::Critical | LogLevel::Error => Level::ERROR,
        LogLevel::Warning => Level::WARN,
        LogLevel::Notice => Level::INFO,
        LogLevel::Info => Level::DEBUG,
        LogLevel::Debug => Level::TRACE,
    }
    .into()
}

struct Lines {
    dated: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (level, _) = level_words(*event.metadata().level());
        if self.dated {
            #[expect(clippy::disallowed_methods, reason = "an edge: the date of a log line")]
            let now = jiff::Zoned::now();
            write!(writer, "{} ", now.strftime("%F %T%:z"))?;
        }
        write!(writer, "{level:<7} ")?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
