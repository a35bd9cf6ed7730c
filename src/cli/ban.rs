//! `asterguard ban`

use clap::Args;

use super::client::one_by_one;
use super::output::{Failure, Output};
use super::{SocketArg, host};
use crate::config::duration;
use crate::control::SubjectText;
use crate::control::ban::BanRequest;
use crate::model::subject::Subject;
use crate::model::time::BanDuration;

#[derive(Debug, Args)]
pub struct BanArgs {
    /// Addresses of the hosts; an IPv6 address stands for its network. With a port
    /// (`192.0.2.7:40000`, `[2001:db8::7]:40000`), only what comes from there
    #[arg(required = true, value_name = "HOST", value_parser = host)]
    hosts: Vec<Subject>,
    /// In the name of this jail, with its bantime and ports [default: all ports]
    #[arg(long, short)]
    jail: Option<String>,
    /// How long: 10m, 1d 12h, seconds, or permanent [default: what the jail says, else permanent]
    #[arg(long = "for", value_name = "TIME", value_parser = lasting)]
    length: Option<BanDuration>,
    #[command(flatten)]
    socket: SocketArg,
}

/// Reads a length of time, or `permanent`.
pub(super) fn lasting(text: &str) -> Result<BanDuration, String> {
    duration::parse_ban_duration(text).map_err(|error| error.to_string())
}

pub fn ban(args: &BanArgs, output: &Output) -> Result<(), Failure> {
    let (seconds, permanent) = match args.length {
        Some(BanDuration::For(length)) => (Some(length.as_secs().max(1)), false),
        Some(BanDuration::Permanent) => (None, true),
        None => (None, false),
    };
    let request = |host: &Subject| {
        let host = SubjectText(*host);
        BanRequest { host, jail: args.jail.clone(), seconds, permanent }
    };
    one_by_one(&args.socket.socket, args.hosts.iter().map(request), output)
}
