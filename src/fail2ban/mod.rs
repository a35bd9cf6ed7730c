//! fail2ban's configuration: reads it as fail2ban does, and says what is the same here.

pub mod files;
pub mod ini;
pub mod jails;
pub mod merged;
pub mod options;
