//! Tests for the values that configuration files give, and for the answers to mistakes in them.

mod mistakes;
mod values;
