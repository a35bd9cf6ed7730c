//! Asterisk's own configuration: its file format, and the trunks, ports, logs, modules and HEP capture in it.

pub mod conf;
pub mod hep_conf;
pub mod logger_conf;
pub mod modules_conf;
pub mod ports;
pub mod trunks;
pub mod version;
