//! `asterguard metrics`

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::{Args, ValueEnum};
use rustix::fs::Mode;
use rustix::process::umask;

use super::client::ask;
use super::output::{Failure, Output};
use super::{Exit, SocketArg};
use crate::control::metrics::{Metrics, MetricsRequest};
use crate::daemon::listen_at;
use crate::metrics::http::{self, Listener};
use crate::metrics::{Samples, fail2ban};
use crate::sys::mutex::lock;
use crate::sys::replace::replace;
use crate::sys::sandbox::{self, Needs, Sockets};

/// Who may read the file of a collector: it names nobody.
const TEXTFILE_MODE: u32 = 0o644;
/// Who may connect to a socket that this process makes: its user and group.
const SOCKET_MASK: u32 = 0o117;

#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Write them into FILE, which ends with .prom, for the textfile collector of `node_exporter`
    #[arg(long, value_name = "FILE", value_parser = prom, conflicts_with = "listen")]
    textfile: Option<PathBuf>,
    /// Serve them by HTTP at a Unix socket (a path), at a port of this machine (127.0.0.1:PORT), or at the
    /// listening socket on standard input (-)
    #[arg(long, value_name = "WHERE", value_parser = place)]
    listen: Option<Place>,
    /// Also print them by the names that another exporter has
    #[arg(long, value_name = "NAMES")]
    compat: Option<Compat>,
    #[command(flatten)]
    socket: SocketArg,
}

/// The names that other exporters have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Compat {
    /// Those of the exporter for fail2ban: `f2b_up`, `f2b_jail_banned_current` and others
    F2b,
}

/// Where clients may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// The listening socket on standard input.
    Inherited,
    /// A Unix socket.
    Path(PathBuf),
    /// A port.
    Port(SocketAddr),
}

fn place(text: &str) -> Result<Place, String> {
    if text == "-" {
        return Ok(Place::Inherited);
    }
    if text.contains('/') {
        return Ok(Place::Path(text.into()));
    }
    let address = text.replace("localhost:", "127.0.0.1:").parse();
    address.map(Place::Port).map_err(|_| {
        "write a path with a /, or an address and port like 127.0.0.1:9587, or -".to_owned()
    })
}

fn prom(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_read = path.extension().is_some_and(|end| end == "prom");
    let wrong = || "node_exporter reads only files whose names end with .prom".to_owned();
    is_read.then_some(path).ok_or_else(wrong)
}

pub fn metrics(args: &MetricsArgs, output: &Output) -> Result<Exit, Failure> {
    match (&args.listen, &args.textfile) {
        (Some(place), _) => listen(place, args, *output),
        (None, Some(file)) => textfile(file, args),
        (None, None) => {
            let (samples, failure) = samples(&args.socket.socket, args.compat);
            match failure {
                Some(failure) if failure.exit != Exit::NoDaemon => return Err(failure),
                _ => print(&samples, output)?,
            }
            failure.map_or(Ok(Exit::Done), Err)
        }
    }
}

fn print(samples: &Samples, output: &Output) -> Result<(), Failure> {
    if output.json {
        samples.each().for_each(|sample| output.object(&sample));
    } else {
        output.line(samples.text().map_err(Failure::new)?.trim_end());
    }
    Ok(())
}

/// Returns the samples, and why the guard does not answer if it does not.
fn samples(socket: &Path, compat: Option<Compat>) -> (Samples, Option<Failure>) {
    let told: Result<Metrics, _> = ask(socket, &MetricsRequest);
    let own = told.as_ref().map_or_else(|_| Samples::without_guard(), Samples::of);
    let samples = match compat {
        Some(Compat::F2b) => own.with(fail2ban::samples(told.as_ref().ok())),
        None => own,
    };
    (samples, told.err())
}

/// Writes the samples into a file. That there is no guard stands in the file: then this has worked.
fn textfile(file: &Path, args: &MetricsArgs) -> Result<Exit, Failure> {
    let (samples, failure) = samples(&args.socket.socket, args.compat);
    let text = samples.text().map_err(Failure::new)?;
    let readable = |new: &std::fs::File| new.set_permissions(Permissions::from_mode(TEXTFILE_MODE));
    replace(file, text.as_bytes(), TEXTFILE_MODE, readable)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    match failure {
        Some(failure) if failure.exit != Exit::NoDaemon => Err(failure),
        _ => Ok(Exit::Done),
    }
}

/// Serves the samples until the process ends, with nothing but what that takes.
fn listen(place: &Place, args: &MetricsArgs, output: Output) -> Result<Exit, Failure> {
    let listener = match place {
        Place::Inherited => {
            let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
            Listener::from_socket(socket).map_err(|error| not_there("standard input", &error))?
        }
        Place::Port(address) => {
            Listener::at_port(*address).map_err(|error| not_there(&address.to_string(), &error))?
        }
        Place::Path(path) => {
            umask(Mode::from_raw_mode(SOCKET_MASK));
            Listener::Unix(listen_at(path)?)
        }
    };
    // What cannot be given up here is what the unit takes away.
    let _ = sandbox::give_up_capabilities();
    let _ = sandbox::confine(&Needs { sockets: Sockets::Local, ..Needs::default() });
    let (socket, compat) = (args.socket.socket.clone(), args.compat);
    // What went wrong is said once, and again when it is something else.
    let said = Mutex::new(None::<String>);
    let text = move || {
        let (samples, failure) = samples(&socket, compat);
        let message = failure.map(|failure| failure.message);
        let mut said = lock(&said);
        if let Some(message) = message.as_ref().filter(|message| said.as_ref() != Some(message)) {
            output.note(message);
        }
        *said = message;
        samples.text().unwrap_or_default()
    };
    http::serve(listener, text).map_err(|error| not_there("the socket", &error))?;
    Ok(Exit::Done)
}

fn not_there(place: &str, error: &std::io::Error) -> Failure {
    let exit = match error.kind() {
        std::io::ErrorKind::InvalidInput => Exit::Usage,
        _ => Exit::Failed,
    };
    Failure { exit, message: format!("cannot listen at {place}: {error}") }
}
