//! Where the person who runs this program is logged in from.

use std::fs;
use std::net::IpAddr;

/// Processes above this one that are looked at.
const MOST_PARENTS: usize = 32;

/// Returns the address from which somebody is logged in by SSH, in a process above this one: `sudo` keeps no
/// environment.
#[must_use]
pub fn ssh_client() -> Option<IpAddr> {
    let mut pid = std::process::id();
    for _ in 0..MOST_PARENTS {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let address = variables.find_map(|variable| {
            let value = variable.strip_prefix("SSH_CONNECTION=")?.to_owned();
            value.split_whitespace().next()?.parse().ok()
        });
        if address.is_some() {
            return address;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        pid = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
        if pid == 0 {
            return None;
        }
    }
    None
}
