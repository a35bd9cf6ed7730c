//! `asterguard reload`

use std::path::Path;

use super::client::order;
use super::output::{Failure, Output};
use crate::control::reload::ReloadRequest;

pub fn reload(socket: &Path, output: &Output) -> Result<(), Failure> {
    order(socket, &ReloadRequest, output)
}
