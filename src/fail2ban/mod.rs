//! fail2ban's configuration: reads it as fail2ban does, and says what is the same here.

pub mod database;
pub mod files;
pub mod ini;
pub mod jails;
pub mod merged;
pub mod options;
pub mod own_rules;
pub mod regexes;
pub mod report;
pub mod stock;
pub mod terms;
pub mod translation;
