//! What Asterisk's own configuration says: its file format, and the trunks in it.

pub mod conf;
pub mod trunks;
