//! `asterguard fleet keygen`, `join`, `acl`, `trust` and `leave`: what makes a guard a node of a fleet.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, fchown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::notify::unusable;
use super::output::{Failure, Output};
use super::{ConfigArg, Exit};
use crate::config::Fleet;
use crate::config::fleet::FleetServer;
use crate::config::load::{MAIN, load_fleet, load_left_fleet};
use crate::fleet::keys::PrivateKey;
use crate::fleet::process;
use crate::fleet::protocol::ToFleet;
use crate::fleet::toml_edit::{with_fleet, with_peer, without_fleet};
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
/// What `join` begins with.
const NEW: &str = "# By asterguard fleet join. See docs/fleet.md.\n[fleet]\n\n[fleet.peers]\n";
/// The time in which a process has ended.
const PATIENCE: Duration = Duration::from_secs(5);

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
    let file = beside(&args.config, "conf.d/fleet.toml");
    let usage = |message: String| Failure { exit: Exit::Usage, message };
    let left = left_fleet(&args.config);
    if file.exists() && left.is_none() {
        let path = file.display();
        return Err(usage(format!("{path} is there already: `asterguard fleet leave` first")));
    }
    if !args.server.tls && !args.server.is_local() && !args.insecure {
        return Err(usage(format!(
            "everybody on the way to {} could read along: write rediss:// for TLS, or --insecure",
            args.server.host
        )));
    }
    let is_back = file.exists();
    let old = if is_back { read(&file)? } else { NEW.to_owned() };
    // Whoever knows this node goes on to know it by the same key and password.
    let directory = beside(&args.config, "fleet");
    let key = left.as_ref().map_or_else(|| directory.join("node.key"), |left| left.key.clone());
    let password = left.and_then(|left| left.password);
    let password = password.unwrap_or_else(|| directory.join("password"));
    let public = key_in(&key)?;
    let mut line = None;
    if args.server.user.is_some() {
        if !password.exists() {
            let random = PrivateKey::random_text().map_err(Failure::new)?;
            write_new(&password, &format!("{random}\n"))?;
        }
        let secret = secret_file::read_line(&password).map_err(Failure::new)?;
        line = Some(acl::line(&args.node, args.server.user.as_deref(), Some(&secret)));
    }
    let quoted = |text: &dyn std::fmt::Display| serde_json::Value::from(text.to_string());
    let values = [
        ("server", Some(quoted(&args.server).to_string())),
        ("node", Some(quoted(&args.node).to_string())),
        ("key", Some(quoted(&key.display()).to_string())),
        ("password", line.as_ref().map(|_| quoted(&password.display()).to_string())),
        ("insecure", args.insecure.then(|| "true".to_owned())),
    ];
    put(&file, &with_fleet(&old, &values), PLAIN)?;
    let loaded = load_fleet(args.config.config.as_deref());
    if !matches!(loaded, Ok(Some(_))) {
        // What stands elsewhere does not fit to it.
        let _ = if is_back { put(&file, &old, PLAIN) } else { remove(&file) };
        loaded.map_err(unusable)?;
        return Err(usage("another file says enabled = false in [fleet]: remove that".to_owned()));
    }
    if output.json {
        output.object(&json!({ "file": file, "node": args.node, "public": public, "acl": line }));
        return Ok(Exit::Done);
    }
    output.line(format_args!("written: {}", file.display()));
    if is_back {
        output.line("The key, the password and the peers are those of before.");
    }
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

/// Returns the fleet that this node has left.
fn left_fleet(config: &ConfigArg) -> Option<Fleet> {
    let (fleet, is_on) = load_left_fleet(config.config.as_deref()).ok()??;
    (!is_on).then_some(fleet)
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
    let old = read(&file).map_err(|Failure { exit, message }| Failure {
        exit,
        message: format!("{message}; do: asterguard fleet join"),
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
    let loaded = load_left_fleet(args.config.config.as_deref()).map_err(unusable)?;
    let (fleet, is_on) = loaded.ok_or_else(no_fleet)?;
    let file = beside(&args.config, "conf.d/fleet.toml");
    if is_on {
        let old = read(&file).map_err(|Failure { exit, message }| {
            let message = format!("{message}; do: remove [fleet] where it is written");
            Failure { exit, message }
        })?;
        put(&file, &without_fleet(&old), PLAIN)?;
    }
    end_process(&args.helper);
    let file = file.display();
    let removed = departure::remove(&fleet).map_err(|trouble| {
        Failure::new(format!(
            "[fleet] is off in {file}, but the server may still have what this node has published: {trouble}; then again: asterguard fleet leave"
        ))
    })?;
    output.done(&format!(
        "[fleet] is off in {file}, and {removed} keys are removed from the server; now: asterguard reload"
    ));
    Ok(Exit::Done)
}

/// Has the process that publishes end, and waits for that: it would publish again what is removed.
fn end_process(helper: &Path) {
    let Ok(mut stream) = UnixStream::connect(helper) else { return };
    let _ = stream.set_read_timeout(Some(PATIENCE));
    // One that has something to say does not publish.
    let _ = stream.write_all(&line(&ToFleet::Reload)).and_then(|()| stream.read(&mut [0]));
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

/// Reads a file of the configuration.
fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::new(format!("cannot read {}: {error}", file.display()));
    fs::read_to_string(file).map_err(failed)
}

/// Removes a file of the configuration.
fn remove(file: &Path) -> Result<(), Failure> {
    fs::remove_file(file).map_err(|error| cannot_write(file, &error))
}

/// Writes a file of the configuration.
fn put(file: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let failed = |error: std::io::Error| cannot_write(file, &error);
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    replace(file, text.as_bytes(), mode, |_| Ok(())).map_err(failed)
}
