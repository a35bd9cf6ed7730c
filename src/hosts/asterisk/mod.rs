//! Asterisk's own configuration: its file format, and the trunks, ports, HEP capture and dates in it.

pub mod conf;
pub mod hep_conf;
pub mod logger_conf;
pub mod ports;
pub mod trunks;
