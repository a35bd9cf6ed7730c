//! `asterguard run`

use clap::Args;

use super::output::Failure;
use super::state_file::StateDirArg;
use super::{ConfigArg, Exit, PeerArgs, SocketArg};
use crate::daemon::{self, Ended, Options, SinkKind, Supervisor};

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    state: StateDirArg,
    #[command(flatten)]
    socket: SocketArg,
    /// Only say which hosts would be banned; do not change the kernel
    #[arg(long, conflicts_with = "sink")]
    dry_run: bool,
    /// How bans get into the kernel: there is one way, `netlink`
    #[arg(long, hide = true, default_value = "netlink", value_parser = sink)]
    sink: SinkKind,
    #[command(flatten)]
    peers: PeerArgs,
    /// User that the daemon becomes, with its groups, if it is started as root. With `root`, it stays root
    /// [default: asterguard, if this user exists]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Something starts the daemon again when it ends with exit code 7. It ends like this if a reload needs a
    /// directory that this process may not read any more
    #[arg(long)]
    supervised: bool,
}

fn sink(word: &str) -> Result<SinkKind, &'static str> {
    match word {
        "netlink" => Ok(SinkKind::Netlink),
        "nft" => {
            Err("bans are not written by the `nft` program any more, netlink does all that it \
                      did; leave `--sink` out")
        }
        _ => {
            Err("the only way is `netlink`; leave `--sink` out, or write `--dry-run` to ban nobody")
        }
    }
}

pub fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let ended = daemon::run(&Options {
        config: args.config.config.clone(),
        state_dir: args.state.state_dir.clone(),
        socket: args.socket.socket.clone(),
        sink: if args.dry_run { SinkKind::DryRun } else { args.sink },
        peers: args.peers.clone().into(),
        user: args.user.clone(),
        supervisor: if args.supervised { Supervisor::Somebody } else { Supervisor::Nobody },
    })?;
    Ok(match ended {
        Ended::Stopped => Exit::Done,
        Ended::RestartRequested => Exit::Restart,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nft_as_a_sink_says_what_to_do_instead() {
        assert_eq!(sink("netlink"), Ok(SinkKind::Netlink));
        assert!(sink("nft").unwrap_err().contains("leave `--sink` out"));
        assert!(sink("dry-run").unwrap_err().contains("--dry-run"));
    }
}
