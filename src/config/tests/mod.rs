//! What configuration files come to, and how mistakes in them are answered.

mod mistakes;
mod values;
