//! What Asterisk's own configuration says: its file format, and the trunks, ports and HEP capture in it.

pub mod conf;
pub mod hep_conf;
pub mod ports;
pub mod trunks;
