//! `asterguard fleet unban`

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Args;

use super::notify::unusable;
use super::output::{Failure, Output};
use super::{ConfigArg, Exit, host};
use crate::config::load::load_fleet;
use crate::fleet::keys::PrivateKey;
use crate::fleet::process::SOCKET;
use crate::fleet::protocol::{FromFleet, LONGEST_LINE, OrderState, ToFleet};
use crate::fleet::record::{Host, Order};
use crate::model::subject::Subject;
use crate::sys::clock::{monotonic_now, now};
use crate::sys::json_line::line;

/// The time for which the guard and the server are waited for: a guard connects again after a second.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time between two questions.
const PAUSE: Duration = Duration::from_millis(100);

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
    outcome(&args.host, &give(&args.helper, &order)?, output)
}

/// Gives an order until the guard of this node and the server have it, or it is too late to wait.
fn give(helper: &Path, order: &Order) -> Result<OrderState, Failure> {
    let began = monotonic_now();
    loop {
        let said = ask(helper, order);
        let patience = match &said {
            Ok(OrderState { refused: None, guard: true, server: true }) => Duration::ZERO,
            Ok(OrderState { refused: None, .. }) => PATIENCE,
            // A process that has not read the last configuration yet ends soon.
            Ok(_) => PATIENCE / 4,
            Err(error) if is_nobody(error) => Duration::ZERO,
            Err(_) => PATIENCE,
        };
        if monotonic_now().since(began) < patience {
            thread::sleep(PAUSE);
            continue;
        }
        return said.map_err(|error| {
            Failure::new(format!(
                "no process takes the order at {}: {error}; do: asterguard fleet status; systemctl status asterguard-fleet.socket",
                helper.display()
            ))
        });
    }
}

/// Whether nobody is at the other end, and nobody comes.
fn is_nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    matches!(error.kind(), ConnectionRefused | NotFound | PermissionDenied)
}

/// Gives the order once, and returns what has become of it so far.
fn ask(helper: &Path, order: &Order) -> io::Result<OrderState> {
    let mut stream = UnixStream::connect(helper)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&line(&ToFleet::Unban(order.clone())))?;
    let (mut reader, mut text) = (BufReader::new(stream), Vec::new());
    loop {
        text.clear();
        let read = (&mut reader).take(LONGEST_LINE as u64).read_until(b'\n', &mut text)?;
        match serde_json::from_slice::<FromFleet>(&text) {
            Ok(FromFleet::Order(state)) => return Ok(state),
            // It says what is wrong to everybody, and nothing else.
            Ok(FromFleet::Status(status)) if status.trouble.is_some() => {
                return Err(io::Error::other(status.trouble.unwrap_or_default()));
            }
            _ if read == 0 => return Err(io::Error::other("it has ended")),
            _ => {}
        }
    }
}

/// Says what is done, and what is not.
fn outcome(host: &Subject, state: &OrderState, output: &Output) -> Result<Exit, Failure> {
    const LATER: &str = "within ten minutes of the order. After that, give it again";
    let no_server = format!(
        "the server does not have the order, so no other node has it: asterguard fleet status says why. It gets it if it is there {LATER}"
    );
    let no_guard = format!(
        "the guard of this node has not carried it out, and keeps its bans of {host}: systemctl start asterguard; asterguard reload. It does so if it is connected {LATER}"
    );
    let (exit, message) = match state {
        OrderState { refused: Some(why), .. } => (Exit::Failed, refused(why)),
        OrderState { guard: true, server: true, .. } => {
            output.done(&format!(
                "{host} is unbanned at this node, and the server has the order for the others"
            ));
            return Ok(Exit::Done);
        }
        OrderState { guard: false, server: true, .. } => (
            Exit::NoDaemon,
            format!("the server has the order for the other nodes, but {no_guard}"),
        ),
        OrderState { guard: true, server: false, .. } => {
            (Exit::Failed, format!("{host} is unbanned at this node, but {no_server}"))
        }
        OrderState { guard: false, server: false, .. } => {
            (Exit::Failed, format!("{no_server}. And {no_guard}"))
        }
    };
    Err(Failure { exit, message })
}

/// Returns why an order is not taken, in words.
fn refused(why: &str) -> String {
    let words = match why {
        "no-order" => {
            "it has another operator's key (asterguard reload), or the clock of this machine is more than ten minutes wrong"
        }
        "too-many" => "there were too many orders within ten minutes",
        "not-a-host" => "this is not one host that a fleet can ban",
        other => other,
    };
    format!("the process that reaches the server refuses the order: {words}")
}
