//! Events to decisions: counts the offences of each host, weighs what excuses them, and decides on
//! bans.

pub mod account_networks;
pub mod announced;
pub mod ban_activity;
pub mod ban_rate_limit;
pub mod ban_table;
pub mod ban_view;
pub mod drop_totals;
pub mod effects;
pub mod engine;
pub mod exchange_event;
pub mod hour_counts;
pub mod interval;
pub mod joins;
pub mod known_good;
pub mod login_log;
pub mod observed;
pub mod offences;
pub mod peer_bans;
pub mod plan;
pub mod plan_files;
pub mod policy;
pub mod rates;
pub mod recent_events;
pub mod recent_ports;
pub mod shared;
pub mod talked;
pub mod targeted;
pub mod totals;
