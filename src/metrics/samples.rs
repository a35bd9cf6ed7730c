//! What the guard tells, as samples of metrics and as text.

use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric as Series, MetricFamily, MetricType,
};
use serde::Serialize;

use super::catalog::{CATALOG, Kind, Metric, metric};
use crate::config::Mode;
use crate::control::fleet::{FleetReport, FleetSummary};
use crate::control::metrics::{BanCount, DropCount, DropReason, FeedCount, Metrics, OffenceCount};
use crate::control::status::{Health, JailStatus, LoginStatus, SinkStatus, SourceStatus, Status};
use crate::model::event::Class;
use crate::model::histogram::BOUNDS;
use crate::model::subject::Family;

/// Series of one metric. A pattern of log paths, or a configuration with very many jails, could make more; those are left
/// out and counted.
pub const MOST_SERIES: usize = 1000;

/// One value of a metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// The name of the metric.
    pub metric: &'static str,
    /// `gauge`, `counter` or `histogram`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its labels that are not empty.
    pub labels: serde_json::Map<String, serde_json::Value>,
    /// Its value; of a histogram, the count of all.
    pub value: f64,
}

/// All samples, by metric.
#[derive(Debug)]
pub struct Samples {
    families: Vec<(Metric, Vec<Series>)>,
    left_out: u32,
}

impl Samples {
    /// Returns the samples of a guard that does not answer.
    #[must_use]
    pub fn without_guard() -> Self {
        let mut samples = Self::empty(&CATALOG);
        samples.set("asterguard_up", 0.0);
        samples
    }

    /// Returns the samples of what the guard told.
    #[must_use]
    pub fn of(metrics: &Metrics) -> Self {
        let mut samples = Self::empty(&CATALOG);
        samples.state(&metrics.status);
        samples.jails(metrics);
        for source in &metrics.status.sources {
            samples.source(source);
        }
        samples.traffic(&metrics.status);
        samples.drops(metrics);
        for sink in &metrics.status.sinks {
            samples.sink(sink);
        }
        samples.guard(metrics);
        let left_out = samples.left_out;
        samples.set("asterguard_series_left_out", f64::from(left_out));
        samples
    }

    /// Returns no samples of these metrics.
    #[must_use]
    pub(super) fn empty(metrics: &[Metric]) -> Self {
        let families = metrics.iter().map(|metric| (*metric, Vec::new())).collect();
        Self { families, left_out: 0 }
    }

    /// Adds all samples of `others`.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.families.extend(others.families);
        self.left_out += others.left_out;
        self
    }

    /// Returns the text format of Prometheus (version 0.0.4).
    ///
    /// # Errors
    /// Never with the metrics of [`CATALOG`]: when a metric has no name.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let families = self.families.iter().filter(|(_, series)| !series.is_empty());
        let families: Vec<_> = families.map(|(metric, series)| family(metric, series)).collect();
        TextEncoder::new().encode_to_string(&families)
    }

    /// The samples, one by one.
    pub fn each(&self) -> impl Iterator<Item = Sample> {
        self.families.iter().flat_map(|(metric, all)| {
            all.iter().map(|series| {
                let labels = series.get_label().iter();
                Sample {
                    metric: metric.name,
                    kind: metric.kind.name(),
                    labels: labels.map(|l| (l.name().to_owned(), l.value().into())).collect(),
                    value: match metric.kind {
                        Kind::Gauge => series.get_gauge().get_value(),
                        Kind::Counter => series.get_counter().get_value(),
                        Kind::Histogram => number(series.get_histogram().get_sample_count()),
                    },
                }
            })
        })
    }

    /// Sets the value of a metric without labels.
    pub(super) fn set(&mut self, name: &str, value: f64) {
        self.add(name, &[], value);
    }

    /// Sets the value of a metric whose labels have these values, in the order of its labels.
    pub(super) fn add(&mut self, name: &str, labels: &[&str], value: f64) {
        let Some((metric, series)) = self.room(name) else { return };
        let mut one = Series::default();
        one.set_label(pairs(metric, labels));
        if metric.kind == Kind::Counter {
            let mut counter = Counter::default();
            counter.set_value(value);
            one.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            one.set_gauge(gauge);
        }
        series.push(one);
    }

    /// Returns the series of a metric, if there is room for one more.
    fn room(&mut self, name: &str) -> Option<(&Metric, &mut Vec<Series>)> {
        let family = self.families.iter_mut().find(|(metric, _)| metric.name == name);
        debug_assert!(family.is_some(), "{name} is not in the catalog");
        let (metric, series) = family?;
        if series.len() >= MOST_SERIES {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        Some((metric, series))
    }

    fn state(&mut self, status: &Status) {
        self.set("asterguard_up", 1.0);
        self.add("asterguard_build_info", &[&status.version], 1.0);
        self.set("asterguard_health", health(status.health));
        let mut checks = status.checks.as_slice();
        while let Some(first) = checks.first() {
            let end = checks.iter().position(|result| result.check != first.check);
            let (own, others) = checks.split_at(end.unwrap_or(checks.len()));
            let problems = own.iter().filter(|result| result.is_problem()).count();
            self.add("asterguard_check_problems", &[first.check.name()], size(problems));
            checks = others;
        }
        self.set("asterguard_uptime_seconds", number(status.uptime));
        self.set("asterguard_dry_run", flag(status.dry_run));
        let is_paused = status.paused.iter().any(|pause| pause.jail.is_none());
        self.set("asterguard_paused", flag(is_paused));
        self.set("asterguard_banned_hosts", size(status.hosts_banned));
        for (reason, networks) in &status.never_banned {
            self.add("asterguard_never_banned_networks", &[reason], size(*networks));
        }
        let LoginStatus { last, lately, banned, total, .. } = &status.logins;
        self.set("asterguard_logins_total", number(*total));
        if let Some(last) = last {
            self.set("asterguard_last_login_timestamp_seconds", time(*last));
        }
        self.set("asterguard_recent_login_hosts", size(*lately));
        self.set("asterguard_banned_known_good", size(*banned));
    }

    fn jails(&mut self, metrics: &Metrics) {
        let Status { jails, paused, .. } = &metrics.status;
        for jail in jails {
            let JailStatus { jail: name, mode, .. } = jail;
            let own = &[name.as_str()];
            let is_paused = paused.iter().any(|pause| pause.jail.as_ref() == Some(name));
            self.add("asterguard_jail_paused", own, flag(is_paused));
            self.add("asterguard_jail_observing", own, flag(*mode == Mode::Observe));
            self.add("asterguard_bans_observed", own, size(jail.currently_observed));
            self.add("asterguard_bans_observed_total", own, number(jail.total_observed));
            self.add("asterguard_bans_withheld_total", own, number(jail.withheld));
            self.add("asterguard_failing_hosts", own, size(jail.currently_failed));
            self.add("asterguard_offences_excused_total", own, number(jail.excused));
            self.add("asterguard_offences_ignored_total", own, number(jail.ignored));
            self.add("asterguard_offences_hearsay_total", own, number(jail.hearsay));
        }
        for BanCount { jail, evidence, family, scope, in_force, total } in &metrics.bans {
            let family = match family {
                Family::Ipv4 => "ipv4",
                Family::Ipv6 => "ipv6",
            };
            let own = &[jail.as_str(), &evidence.to_string(), family, scope];
            self.add("asterguard_bans", own, number(*in_force));
            self.add("asterguard_bans_total", own, number(*total));
        }
        for OffenceCount { jail, class, evidence, total } in &metrics.offences {
            let class = Class::ALL.iter().find(|(known, _)| known == class);
            let class = class.map_or("", |(_, name)| *name);
            let own = &[jail.as_str(), class, &evidence.to_string()];
            self.add("asterguard_offences_total", own, number(*total));
        }
        self.set("asterguard_bans_refused_total", number(metrics.refused));
        self.set("asterguard_bans_without_effect", size(metrics.without_effect));
        self.set("asterguard_targeted_accounts", size(metrics.targeted));
    }

    fn source(&mut self, source: &SourceStatus) {
        let own = &[source.path.as_str()];
        self.add("asterguard_hearsay_total", own, number(source.hearsay));
        self.add("asterguard_tampered_total", own, number(source.tampered));
        for count in &source.unbelieved {
            let own = &[source.path.as_str(), &count.rule];
            self.add("asterguard_rule_hearsay_total", own, number(count.hearsay));
            self.add("asterguard_rule_tampered_total", own, number(count.tampered));
        }
        self.add("asterguard_source_up", own, flag(source.state == "following"));
        self.add("asterguard_source_lines_total", own, number(source.lines));
        self.add("asterguard_source_hits_total", own, number(source.hits));
        if let Some(last) = source.last_line {
            self.add("asterguard_source_last_line_timestamp_seconds", own, time(last));
        }
        self.add("asterguard_source_silent_seconds", own, number(source.silent_for));
        self.add("asterguard_source_lag_seconds", own, number(source.lag));
        self.add("asterguard_source_unread_bytes", own, number(source.unread));
        self.add("asterguard_source_errors_total", own, number(source.errors));
        self.add("asterguard_source_oversized_lines_total", own, number(source.oversized));
    }

    fn traffic(&mut self, status: &Status) {
        let wire = &status.wire;
        // One that is not wanted is not down.
        if !wire.state.starts_with("off") {
            self.add("asterguard_source_up", &["wire"], flag(wire.state.starts_with("listening")));
        }
        self.set("asterguard_wire_packets_total", number(wire.numbers.packets));
        self.set("asterguard_wire_answers_total", number(wire.numbers.answers));
        self.set("asterguard_wire_refusals_total", number(wire.numbers.refusals));
        self.set("asterguard_wire_attempts_total", number(wire.numbers.attempts));
        self.set("asterguard_wire_logins_total", number(wire.numbers.logins));
        self.set("asterguard_wire_lost_total", number(wire.numbers.lost));
        self.set("asterguard_wire_unmatched_lines_total", number(wire.unmatched));
        self.set("asterguard_wire_limited_hosts", size(wire.limiter.hosts));
        self.set("asterguard_wire_limited_total", number(wire.limiter.total));
    }

    fn drops(&mut self, metrics: &Metrics) {
        self.set("asterguard_dropped_counted", flag(metrics.dropped.is_some()));
        for DropCount { reason, packets, bytes } in metrics.dropped.iter().flatten() {
            let own: [&str; 2] = match reason {
                DropReason::Jail(jail) => [jail, ""],
                DropReason::Block => ["", "block"],
                DropReason::Feed => ["", "feed"],
            };
            self.add("asterguard_dropped_packets_total", &own, number(*packets));
            self.add("asterguard_dropped_bytes_total", &own, number(*bytes));
        }
    }

    fn sink(&mut self, sink: &SinkStatus) {
        let own = &[sink.sink.as_str()];
        self.add("asterguard_sink_up", own, flag(sink.error.is_none()));
        self.add("asterguard_sink_queue", own, size(sink.queue));
        self.add("asterguard_sink_refused_bans", own, size(sink.refused));
        self.add("asterguard_table_heals_total", own, number(sink.heals));
    }

    fn guard(&mut self, metrics: &Metrics) {
        let mut lengths = Histogram::default();
        let mut up_to = 0;
        let bucket = |(bound, count): (&f64, &u64)| {
            up_to += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(up_to);
            bucket
        };
        lengths.set_bucket(BOUNDS.iter().zip(&metrics.took.ranges).map(bucket).collect());
        lengths.set_sample_count(metrics.took.count);
        lengths.set_sample_sum(metrics.took.seconds);
        if let Some((_, series)) = self.room("asterguard_line_to_kernel_seconds") {
            let mut one = Series::default();
            one.set_histogram(lengths);
            series.push(one);
        }
        for FeedCount { feed, networks, age } in &metrics.feeds {
            self.add("asterguard_feed_networks", &[feed], number(*networks));
            if let Some(age) = age {
                self.add("asterguard_feed_age_seconds", &[feed], number(*age));
            }
        }
        let store = &metrics.status.store;
        if store.state != "off" {
            self.set("asterguard_store_up", flag(store.state == "stored"));
        }
        if let Some(bytes) = store.bytes {
            self.set("asterguard_store_bytes", number(bytes));
        }
        if let (Some(last), Some(took)) = (store.checkpoint, store.checkpoint_took) {
            self.set("asterguard_checkpoint_timestamp_seconds", time(last));
            self.set("asterguard_checkpoint_duration_seconds", number(took) / 1000.0);
        }
        if let Some(memory) = metrics.memory {
            self.set("asterguard_resident_memory_bytes", number(memory));
        }
        for notifier in &metrics.status.notify {
            let own = &[notifier.name.as_str()];
            self.add("asterguard_notifications_sent_total", own, number(notifier.sent));
            self.add("asterguard_notifications_queue", own, number(notifier.queued));
            self.add("asterguard_notifications_dropped_total", own, number(notifier.dropped));
        }
        if let Some(fleet) = &metrics.fleet {
            self.fleet(fleet);
        }
    }
}

impl Samples {
    fn fleet(&mut self, fleet: &FleetReport) {
        let FleetSummary { connected, published, waiting, dropped, .. } = &fleet.summary;
        self.set("asterguard_fleet_connected", flag(*connected));
        self.set("asterguard_fleet_published", number(*published));
        self.set("asterguard_fleet_waiting", number(*waiting));
        self.set("asterguard_fleet_dropped_total", number(*dropped));
        for peer in &fleet.members {
            self.add("asterguard_fleet_bans", &[&peer.node], size(peer.bans));
        }
        let of_peers = fleet.members.iter().map(|peer| (peer.node.as_str(), &peer.refused));
        for (peer, refused) in of_peers.chain([("", &fleet.strangers)]) {
            for (reason, count) in refused {
                self.add("asterguard_fleet_refused_total", &[peer, reason], number(*count));
            }
        }
    }
}

/// Returns the number of a state of health.
fn health(health: Health) -> f64 {
    match health {
        Health::Ok => 0.0,
        Health::Degraded => 1.0,
        Health::Paused => 2.0,
    }
}

fn pairs(metric: &Metric, values: &[&str]) -> Vec<LabelPair> {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels = metric.labels.iter().zip(values);
    // A label without a value is as good as none.
    let pair = |(name, value): (&&str, &&str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.filter(|(_, value)| !value.is_empty()).map(pair).collect()
}

fn family(metric: &Metric, series: &[Series]) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        Kind::Gauge => MetricType::GAUGE,
        Kind::Counter => MetricType::COUNTER,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    family.set_metric(series.to_vec());
    family
}

/// Whatever is counted here is exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "values of metrics are 64-bit floats")]
pub(super) fn number(number: u64) -> f64 {
    number as f64
}

pub(super) fn size(size: usize) -> f64 {
    number(u64::try_from(size).unwrap_or(u64::MAX))
}

fn time(seconds: i64) -> f64 {
    number(u64::try_from(seconds).unwrap_or(0))
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

/// Returns whether there is a metric of this name; of a histogram, also with the ends that its series have.
#[must_use]
pub fn is_known(name: &str) -> bool {
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    let is_histogram = |base: &str| metric(base).is_some_and(|known| known.kind == Kind::Histogram);
    metric(name).is_some() || base.is_some_and(is_histogram)
}
