//! Events to decisions: who did how much, what excuses it, and what follows.

pub mod ban_activity;
pub mod ban_rate_limit;
pub mod ban_table;
pub mod engine;
pub mod known_good;
pub mod login_log;
pub mod offences;
pub mod plan;
pub mod policy;
pub mod recent_events;
