//! `asterguard fleet unban`

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::notify::unusable;
use super::output::{Failure, Output};
use super::{ConfigArg, Exit, host};
use crate::config::load::load_fleet;
use crate::fleet::keys::PrivateKey;
use crate::fleet::process::SOCKET;
use crate::fleet::protocol::{FromFleet, LONGEST_LINE, ToFleet};
use crate::fleet::record::{Host, Order};
use crate::model::subject::Subject;
use crate::sys::clock::now;
use crate::sys::json_line::line;

/// The time in which the order must be taken.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub struct FleetUnbanArgs {
    /// The host
    #[arg(value_parser = host)]
    host: Subject,
    /// The file with the private key of the fleet's operator
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    config: ConfigArg,
    /// Socket of the helper that reaches the fleet's server
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    helper: PathBuf,
}

pub fn unban(args: &FleetUnbanArgs, output: &Output) -> Result<Exit, Failure> {
    let fleet = load_fleet(args.config.config.as_deref()).map_err(unusable)?;
    let usage = |message: String| Failure { exit: Exit::Usage, message };
    let operator = fleet.and_then(|fleet| fleet.operator).ok_or_else(|| {
        usage(
            "no operator is configured: write operator = \"PUBLIC KEY\" into [fleet] of each node"
                .to_owned(),
        )
    })?;
    let key = PrivateKey::read_file(&args.key).map_err(Failure::new)?;
    if key.public() != operator {
        return Err(usage(format!(
            "the key in {} is not the operator's of [fleet]: its public key is {}",
            args.key.display(),
            key.public()
        )));
    }
    let order = Order::new(Host::of(&args.host), now().millis(), &key);
    let failed = |error: std::io::Error| {
        Failure::new(format!(
            "no process answers at {}: {error}; do: systemctl status asterguard-fleet",
            args.helper.display()
        ))
    };
    let mut stream = UnixStream::connect(&args.helper).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.write_all(&line(&ToFleet::Unban(order))).map_err(failed)?;
    let (mut reader, mut text) = (BufReader::new(stream), Vec::new());
    loop {
        text.clear();
        let read = (&mut reader).take(LONGEST_LINE as u64).read_until(b'\n', &mut text);
        if read.map_err(failed)? == 0 {
            return Err(Failure::new("the process that reaches the server has ended"));
        }
        let said = serde_json::from_slice::<FromFleet>(&text);
        if matches!(said, Ok(FromFleet::Unban { host, .. }) if host == args.host) {
            output.done(&format!("{} is unbanned in the fleet", args.host));
            return Ok(Exit::Done);
        }
    }
}
