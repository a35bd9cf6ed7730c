//! `asterguard fleet keygen`, `join`, `acl`, `trust` and `leave`: what makes a guard a node of a fleet.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, fchown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::notify::unusable;
use super::output::{Failure, Output};
use super::{ConfigArg, Exit};
use crate::config::Fleet;
use crate::config::fleet::FleetServer;
use crate::config::load::{MAIN, load_fleet};
use crate::fleet::keys::PrivateKey;
use crate::fleet::process;
use crate::fleet::protocol::ToFleet;
use crate::fleet::toml_edit::{with_peer, without_fleet};
use crate::fleet::{acl, departure};
use crate::model::node::NodeName;
use crate::model::public_key::PublicKey;
use crate::sys::json_line::line;
use crate::sys::replace::replace;
use crate::sys::secret_file;
use crate::sys::user::group;

/// The group of the service.
const GROUP: &str = "asterguard";
/// The file of this node's key.
const KEY: &str = "/etc/asterguard/fleet/node.key";
/// The mode of a file that only the group of the service reads, and of one that all may read.
const SECRET: u32 = 0o640;
const PLAIN: u32 = 0o644;

#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// The file for the private key
    #[arg(long, value_name = "FILE", default_value = KEY)]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The server: rediss://USER@HOST:PORT
    #[arg(value_parser = server)]
    server: FleetServer,
    /// The name of this node, which no other node has
    #[arg(long, value_name = "NAME")]
    node: NodeName,
    /// Connect without TLS, also to another machine
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
pub struct AclArgs {
    /// Other nodes, whose passwords are not known here
    nodes: Vec<NodeName>,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
pub struct TrustArgs {
    /// The name of the peer
    node: NodeName,
    /// Its public key, as `asterguard fleet keygen` printed it there
    #[arg(required_unless_present = "revoke")]
    key: Option<PublicKey>,
    /// Take nothing of it any more
    #[arg(long, conflicts_with = "key")]
    revoke: bool,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
pub struct LeaveArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Socket of the helper that reaches the fleet's server
    #[arg(long, value_name = "PATH", default_value = process::SOCKET)]
    helper: PathBuf,
}

/// What `asterguard-fleet.service` runs.
#[derive(Debug, Args)]
pub struct FleetNodeArgs {
    #[command(flatten)]
    pub config: ConfigArg,
    /// Directory of the state
    #[arg(long, value_name = "DIR", default_value = process::STATE_DIR)]
    pub state_dir: PathBuf,
}

fn server(text: &str) -> Result<FleetServer, &'static str> {
    FleetServer::read(text)
}

pub fn keygen(args: &KeygenArgs, output: &Output) -> Result<Exit, Failure> {
    let public = key_in(&args.out)?;
    if output.json {
        output.object(&json!({ "file": args.out, "public": public }));
    } else {
        output.line(public);
    }
    Ok(Exit::Done)
}

pub fn join(args: &JoinArgs, output: &Output) -> Result<Exit, Failure> {
    let directory = beside(&args.config, "fleet");
    let (file, key) = (beside(&args.config, "conf.d/fleet.toml"), directory.join("node.key"));
    if file.exists() {
        let message =
            format!("{} is there already: `asterguard fleet leave` first", file.display());
        return Err(Failure { exit: Exit::Usage, message });
    }
    if !args.server.tls && !args.server.is_local() && !args.insecure {
        let message = format!(
            "everybody on the way to {} could read along: write rediss:// for TLS, or --insecure",
            args.server.host
        );
        return Err(Failure { exit: Exit::Usage, message });
    }
    let public = key_in(&key)?;
    let quoted = |text: &dyn std::fmt::Display| serde_json::Value::from(text.to_string());
    let mut text = format!(
        "# By asterguard fleet join. See docs/fleet.md.\n[fleet]\nserver = {}\nnode = {}\nkey = {}\n",
        quoted(&args.server),
        quoted(&args.node),
        quoted(&key.display()),
    );
    let mut line = None;
    if args.server.user.is_some() {
        let password = directory.join("password");
        if !password.exists() {
            let random = PrivateKey::random_text().map_err(Failure::new)?;
            write_new(&password, &format!("{random}\n"))?;
        }
        let secret = secret_file::read_line(&password).map_err(Failure::new)?;
        let path = quoted(&password.display()).to_string();
        text.extend(["password = ", &path, "\n"]);
        line = Some(acl::line(&args.node, args.server.user.as_deref(), Some(&secret)));
    }
    if args.insecure {
        text += "insecure = true\n";
    }
    text += "\n[fleet.peers]\n";
    put(&file, &text, PLAIN)?;
    if let Err(error) = load_fleet(args.config.config.as_deref()) {
        // What stands elsewhere does not fit to it.
        let _ = fs::remove_file(&file);
        return Err(unusable(error));
    }
    if output.json {
        output.object(&json!({ "file": file, "node": args.node, "public": public, "acl": line }));
        return Ok(Exit::Done);
    }
    output.line(format_args!("written: {}", file.display()));
    if let Some(line) = line {
        output.line("On the server (valkey-cli or redis-cli), then ACL SAVE:");
        output.line(format_args!("  {line}"));
    }
    output.line("On each other node:");
    output.line(format_args!("  asterguard fleet trust {} {public}", args.node));
    output.line("Here, for each other node, with its public key; then asterguard reload:");
    output.line("  asterguard fleet trust NODE PUBLICKEY");
    Ok(Exit::Done)
}

pub fn acl(args: &AclArgs, output: &Output) -> Result<Exit, Failure> {
    let fleet = load_fleet(args.config.config.as_deref()).map_err(unusable)?;
    let mut lines = Vec::new();
    if let Some(fleet) = fleet.filter(|_| args.nodes.is_empty()) {
        let secret = fleet.password.as_deref().map(secret_file::read_line).transpose();
        let secret = secret.map_err(Failure::new)?;
        lines.push(acl::line(&fleet.node, fleet.server.user.as_deref(), secret.as_deref()));
    } else if args.nodes.is_empty() {
        return Err(no_fleet());
    }
    lines.extend(args.nodes.iter().map(|node| acl::line(node, None, None)));
    if output.json {
        output.object(&json!({ "acl": lines }));
    } else {
        for line in lines {
            output.line(line);
        }
    }
    Ok(Exit::Done)
}

pub fn trust(args: &TrustArgs, output: &Output) -> Result<Exit, Failure> {
    let file = beside(&args.config, "conf.d/fleet.toml");
    let old = fs::read_to_string(&file).map_err(|error| {
        Failure::new(format!("cannot read {}: {error}; do: asterguard fleet join", file.display()))
    })?;
    let value = args.key.map_or_else(|| "revoked".to_owned(), |key| key.to_string());
    put(&file, &with_peer(&old, &args.node, &value), PLAIN)?;
    if let Err(error) = load_fleet(args.config.config.as_deref()) {
        put(&file, &old, PLAIN)?;
        return Err(unusable(error));
    }
    let what = if args.revoke { "is taken no more" } else { "is a peer" };
    output.done(&format!("{} {what} in {}; now: asterguard reload", args.node, file.display()));
    Ok(Exit::Done)
}

pub fn leave(args: &LeaveArgs, output: &Output) -> Result<Exit, Failure> {
    let config = args.config.config.as_deref();
    let fleet: Fleet = load_fleet(config).map_err(unusable)?.ok_or_else(no_fleet)?;
    let file = beside(&args.config, "conf.d/fleet.toml");
    let old = fs::read_to_string(&file).map_err(|error| {
        let path = file.display();
        Failure::new(format!("cannot read {path}: {error}; do: remove [fleet] where it is written"))
    })?;
    put(&file, &without_fleet(&old), PLAIN)?;
    // It would publish again what is removed.
    if let Ok(mut stream) = UnixStream::connect(&args.helper) {
        let _ = stream.write_all(&line(&ToFleet::Reload));
    }
    let removed = departure::remove(&fleet).map_err(Failure::new)?;
    output.done(&format!(
        "[fleet] is off in {}, and {removed} keys are removed from the server; now: asterguard reload",
        file.display()
    ));
    Ok(Exit::Done)
}

fn no_fleet() -> Failure {
    let message = "no fleet is configured: `asterguard fleet join` (docs/fleet.md)".to_owned();
    Failure { exit: Exit::Usage, message }
}

/// Returns a path next to the main configuration file.
fn beside(config: &ConfigArg, name: &str) -> PathBuf {
    config.config.as_deref().unwrap_or(Path::new(MAIN)).with_file_name(name)
}

/// Returns the public key of the private key in a file, which is made if it is not there.
fn key_in(file: &Path) -> Result<PublicKey, Failure> {
    if file.exists() {
        return PrivateKey::read_file(file).map(|key| key.public()).map_err(Failure::new);
    }
    let (key, text) = PrivateKey::generate().map_err(Failure::new)?;
    write_new(file, &text)?;
    Ok(key.public())
}

fn cannot_write(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {error}", file.display()))
}

/// Writes a new file that the group of the guard may read, and others not.
fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| cannot_write(file, &error);
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    let mut options = fs::OpenOptions::new();
    let mut made = options.write(true).create_new(true).mode(SECRET).open(file).map_err(failed)?;
    made.write_all(text.as_bytes()).and_then(|()| made.sync_all()).map_err(failed)?;
    if let Some(group) = group(GROUP).map_err(failed)? {
        fchown(&made, None, Some(group.as_raw())).map_err(failed)?;
    }
    Ok(())
}

/// Writes a file of the configuration.
fn put(file: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let failed = |error: std::io::Error| cannot_write(file, &error);
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    replace(file, text.as_bytes(), mode, |_| Ok(())).map_err(failed)
}
