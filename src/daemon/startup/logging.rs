//! The messages of the daemon: lines that fail2ban's users know how to grep.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogLevel;

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

/// Starts to log to standard error, with local times and their zone. Under systemd, the journal adds the date.
pub fn start(level: LogLevel) -> Volume {
    let (filter, handle) = reload::Layer::new(filter(level));
    let dated = std::env::var_os("JOURNAL_STREAM").is_none();
    let lines =
        tracing_subscriber::fmt::layer().event_format(Lines { dated }).with_writer(std::io::stderr);
    // Fails only if somebody in this process logs already: then that one goes on.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Volume(handle)
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
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "NOTICE",
            Level::DEBUG => "INFO",
            Level::TRACE => "DEBUG",
        };
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
