//! Which metrics there are: name, type, labels and what they mean. `docs/metrics.md` has the same list.

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only goes up, and begins at zero when the guard starts.
    Counter,
    /// A count of each range of lengths.
    Histogram,
}

impl Kind {
    /// Returns its name in the text format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, with the unit at the end.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The names of its labels. Their values come from the configuration and from Asterisk's files, never from a sender.
    pub labels: &'static [&'static str],
    /// What it is, in words.
    pub help: &'static str,
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const JAIL: &[&str] = &["jail"];
const SOURCE: &[&str] = &["source"];
const RULE: &[&str] = &["source", "rule"];
const SINK: &[&str] = &["sink"];
const FEED: &[&str] = &["feed"];
const NOTIFIER: &[&str] = &["notifier"];
const BAN: &[&str] = &["jail", "evidence", "family", "scope"];

/// All metrics, in the order in which they are printed.
pub const CATALOG: [Metric; 75] = [
    gauge("asterguard_up", &[], "1 if the guard answers, 0 if it does not"),
    gauge("asterguard_build_info", &["version"], "1; the label is the version of the guard"),
    gauge("asterguard_health", &[], "0 OK, 1 DEGRADED, 2 PAUSED"),
    gauge(
        "asterguard_check_problems",
        &["check"],
        "Problems that a health check found; 0 if all is well",
    ),
    gauge("asterguard_uptime_seconds", &[], "Seconds since the guard started"),
    gauge("asterguard_dry_run", &[], "1 if bans are only logged (dry run)"),
    gauge("asterguard_paused", &[], "1 while nothing is blocked (asterguard pause)"),
    gauge("asterguard_jail_paused", JAIL, "1 while the bans of the jail are not in force"),
    gauge("asterguard_jail_observing", JAIL, "1 if the jail is in observe mode"),
    gauge("asterguard_banned_hosts", &[], "Hosts and networks that are banned, each once"),
    gauge("asterguard_bans", BAN, "Bans in force"),
    counter("asterguard_bans_total", BAN, "Bans made"),
    gauge(
        "asterguard_bans_observed",
        JAIL,
        "Bans that would be in force if the jail did not only observe",
    ),
    counter("asterguard_bans_observed_total", JAIL, "Bans that observe mode only logged"),
    counter(
        "asterguard_bans_withheld_total",
        JAIL,
        "Unverified bans that were withheld (maxunverified)",
    ),
    counter(
        "asterguard_bans_refused_total",
        &[],
        "Bans that were not made because there were too many",
    ),
    gauge(
        "asterguard_bans_without_effect",
        &[],
        "Bans in force whose hosts still get packets through, 64 at most",
    ),
    gauge("asterguard_failing_hosts", JAIL, "Hosts with a failed attempt within findtime"),
    counter(
        "asterguard_offences_total",
        &["jail", "class", "evidence"],
        "Failed attempts that counted",
    ),
    counter(
        "asterguard_offences_excused_total",
        JAIL,
        "Failed attempts that did not count because the host is trusted",
    ),
    counter(
        "asterguard_offences_ignored_total",
        JAIL,
        "Failed attempts of hosts that are never banned",
    ),
    counter(
        "asterguard_offences_hearsay_total",
        JAIL,
        "Failed attempts that did not count because their address cannot be trusted",
    ),
    gauge("asterguard_targeted_accounts", &[], "Accounts that many hosts guess at"),
    counter(
        "asterguard_hearsay_total",
        SOURCE,
        "Lines that matched a rule, but whose address cannot be trusted",
    ),
    counter("asterguard_tampered_total", SOURCE, "Lines that can be read as naming two hosts"),
    counter(
        "asterguard_rule_hearsay_total",
        RULE,
        "Lines of a rule whose address cannot be trusted",
    ),
    counter(
        "asterguard_rule_tampered_total",
        RULE,
        "Lines of a rule that can be read as naming two hosts",
    ),
    gauge("asterguard_source_up", SOURCE, "1 if the log, or the network traffic, is read"),
    counter("asterguard_source_lines_total", SOURCE, "Lines read"),
    counter("asterguard_source_hits_total", SOURCE, "Lines that a rule matched"),
    gauge(
        "asterguard_source_last_line_timestamp_seconds",
        SOURCE,
        "When the last line was read; missing if none was",
    ),
    gauge(
        "asterguard_source_silent_seconds",
        SOURCE,
        "Seconds since the last line, or since the log was first looked at",
    ),
    gauge("asterguard_source_lag_seconds", SOURCE, "Seconds since everything was read; 0 if it is"),
    gauge("asterguard_source_unread_bytes", SOURCE, "Bytes that are not read yet"),
    counter("asterguard_source_errors_total", SOURCE, "How often the log could not be read"),
    counter(
        "asterguard_source_oversized_lines_total",
        SOURCE,
        "Lines that were skipped because they were too long",
    ),
    counter("asterguard_logins_total", &[], "Successful logins that can be believed"),
    gauge(
        "asterguard_last_login_timestamp_seconds",
        &[],
        "When the last login was; missing if none was seen",
    ),
    gauge(
        "asterguard_recent_login_hosts",
        &[],
        "Hosts that logged in within the last five minutes",
    ),
    gauge("asterguard_banned_known_good", &[], "Bans of hosts that had logged in before"),
    gauge("asterguard_never_banned_networks", &["reason"], "Networks that are never banned"),
    gauge(
        "asterguard_dropped_counted",
        &[],
        "1 if the two metrics below are up to date; 0 while there are too many bans for that",
    ),
    counter(
        "asterguard_dropped_packets_total",
        &["jail", "list"],
        "Packets dropped, by the jail of the ban or by the list",
    ),
    counter(
        "asterguard_dropped_bytes_total",
        &["jail", "list"],
        "Bytes dropped, by the jail of the ban or by the list",
    ),
    counter("asterguard_wire_packets_total", &[], "Packets that the kernel copied for the guard"),
    counter("asterguard_wire_answers_total", &[], "SIP answers of the PBX in them"),
    counter(
        "asterguard_wire_refusals_total",
        &[],
        "Answers that refused something (401, 403, 407)",
    ),
    counter(
        "asterguard_wire_attempts_total",
        &[],
        "Failed attempts that were seen in network traffic",
    ),
    counter("asterguard_wire_logins_total", &[], "Logins that were seen in network traffic"),
    counter(
        "asterguard_wire_lost_total",
        &[],
        "Packets that the kernel could not copy because there were too many",
    ),
    counter(
        "asterguard_wire_unmatched_lines_total",
        &[],
        "Lines that did not count because nothing like it was seen in network traffic",
    ),
    gauge(
        "asterguard_wire_limited_hosts",
        &[],
        "Hosts over a rate of the limiter within ten minutes",
    ),
    counter("asterguard_wire_limited_total", &[], "Hosts that were over a rate of the limiter"),
    gauge("asterguard_sink_up", SINK, "1 if the kernel takes bans"),
    gauge("asterguard_sink_queue", SINK, "Changes that wait for the kernel"),
    gauge(
        "asterguard_sink_refused_bans",
        SINK,
        "Bans that the kernel does not take, each tried again",
    ),
    counter(
        "asterguard_table_heals_total",
        SINK,
        "How often the table was put back after another program removed it",
    ),
    Metric {
        name: "asterguard_line_to_kernel_seconds",
        kind: Kind::Histogram,
        labels: &[],
        help: "From the reading of a line until the kernel has the ban",
    },
    gauge("asterguard_feed_networks", FEED, "Networks in the feed"),
    gauge(
        "asterguard_feed_age_seconds",
        FEED,
        "Seconds since the feed was fetched, or its file was changed",
    ),
    gauge(
        "asterguard_store_up",
        &[],
        "1 if the state file is written; 0 if the state is in memory only",
    ),
    gauge("asterguard_store_bytes", &[], "Bytes of the state file"),
    gauge(
        "asterguard_checkpoint_timestamp_seconds",
        &[],
        "When positions and counts were last stored",
    ),
    gauge("asterguard_checkpoint_duration_seconds", &[], "How long that took"),
    gauge("asterguard_resident_memory_bytes", &[], "Bytes of memory that the guard uses"),
    counter("asterguard_notifications_sent_total", NOTIFIER, "Messages sent"),
    gauge("asterguard_notifications_queue", NOTIFIER, "Events that wait to be sent"),
    counter("asterguard_notifications_dropped_total", NOTIFIER, "Events that were given up"),
    gauge(
        "asterguard_fleet_connected",
        &[],
        "1 if the fleet's server is connected; absent without a fleet",
    ),
    gauge("asterguard_fleet_published", &[], "Bans of this node that the fleet's server has"),
    gauge("asterguard_fleet_waiting", &[], "Records that wait for the fleet's server"),
    counter(
        "asterguard_fleet_dropped_total",
        &[],
        "Records for the fleet that there was no room for",
    ),
    counter(
        "asterguard_fleet_refused_total",
        &["peer", "reason"],
        "Records and bans of a peer (no label: of no peer) that were refused",
    ),
    gauge("asterguard_fleet_bans", &["peer"], "Bans of a peer that are in force here"),
    gauge(
        "asterguard_series_left_out",
        &[],
        "Series that are missing here because a metric has too many of them",
    ),
];

/// Returns the metric of this name.
#[must_use]
pub fn metric(name: &str) -> Option<&'static Metric> {
    CATALOG.iter().find(|metric| metric.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        for Metric { name, kind, labels, help } in CATALOG {
            assert!(name.starts_with("asterguard_"), "{name}");
            let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(is_plain(name) && labels.iter().all(|label| is_plain(label)), "{name}");
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
            assert!(!help.is_empty() && !help.ends_with('.'), "{name}");
            // A sender chooses its address, and could make as many series as it likes.
            assert!(
                !labels.iter().any(|label| ["host", "ip", "account"].contains(label)),
                "{name}"
            );
            assert_eq!(CATALOG.iter().filter(|other| other.name == name).count(), 1, "{name}");
        }
    }
}
