//! Talks to a running daemon through its control socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::Exit;
use super::output::{Failure, Output};
use crate::control::{Answer, Call, Done, Problem, Query, Request};

/// The time that the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connects to the daemon.
///
/// # Errors
/// When none listens, or this user may not ask it.
pub fn connect(socket: &Path) -> Result<UnixStream, Failure> {
    UnixStream::connect(socket).map_err(|error| unreachable(socket, &error))
}

fn unreachable(socket: &Path, error: &std::io::Error) -> Failure {
    let socket = socket.display();
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => Failure {
            exit: Exit::NotPermitted,
            message: format!(
                "you may not ask the daemon at {socket}: run this as root, or as a member of the socket's group"
            ),
        },
        _ => Failure {
            exit: Exit::NoDaemon,
            message: format!(
                "no daemon answers at {socket}: {error}; is it running? (asterguard run, or: systemctl status asterguard)"
            ),
        },
    }
}

/// Asks the daemon.
///
/// # Errors
/// When it cannot be reached, or does not do what it is asked for.
pub fn ask<Q: Query>(socket: &Path, query: &Q) -> Result<Q::Reply, Failure> {
    ask_over(connect(socket)?, socket, query)
}

/// Asks the daemon over a connection to it.
///
/// # Errors
/// As [`ask`].
pub fn ask_over<Q: Query>(
    stream: UnixStream,
    socket: &Path,
    query: &Q,
) -> Result<Q::Reply, Failure> {
    let request = query.request();
    match answer(stream, socket, &request)? {
        Answer::Failed(problem) => Err(failed(&request, problem)),
        answer => reply::<Q>(answer),
    }
}

/// The reply to an order that the daemon may want to be confirmed.
pub enum Reply<R> {
    /// It is done.
    Done(R),
    /// It is done if the person is sure; the reason to doubt it.
    Unsure(String),
}

/// Asks the daemon for something that it may want to be confirmed.
///
/// # Errors
/// As [`ask`].
pub fn ask_unsure<Q: Query>(socket: &Path, query: &Q) -> Result<Reply<Q::Reply>, Failure> {
    let request = query.request();
    match answer(connect(socket)?, socket, &request)? {
        Answer::Failed(Problem { message, unsure: true, .. }) => Ok(Reply::Unsure(message)),
        Answer::Failed(problem) => Err(failed(&request, problem)),
        answer => reply::<Q>(answer).map(Reply::Done),
    }
}

fn reply<Q: Query>(answer: Answer) -> Result<Q::Reply, Failure> {
    let another = || Failure::new("the daemon answered another request: is it of this version?");
    Q::reply(answer).ok_or_else(another)
}

fn failed(request: &Request, Problem { message, usage, .. }: Problem) -> Failure {
    let exit = match (usage, request) {
        (true, Request::Reload) => Exit::Config,
        (true, _) => Exit::Usage,
        (false, _) => Exit::Failed,
    };
    Failure { exit, message }
}

/// Returns the daemon's answer to a request.
fn answer(mut stream: UnixStream, socket: &Path, request: &Request) -> Result<Answer, Failure> {
    let unreachable = |error: std::io::Error| unreachable(socket, &error);
    let silent = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Failure {
            exit: Exit::NoDaemon,
            message: format!(
                "the daemon at {} has said nothing for {} s: it hangs, or is very busy",
                socket.display(),
                PATIENCE.as_secs()
            ),
        },
        _ => unreachable(error),
    };
    stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(unreachable)?;
    let call = Call { request: request.clone(), sudo: std::env::var("SUDO_USER").ok() };
    let mut line = serde_json::to_string(&call).map_err(Failure::new)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(unreachable)?;
    let mut answer = String::new();
    if BufReader::new(stream).read_line(&mut answer).map_err(silent)? == 0 {
        let message = "the daemon ended before it answered; ask again once it runs".to_owned();
        return Err(Failure { exit: Exit::NoDaemon, message });
    }
    // It ended meanwhile, or did not tell on because this took too long to read.
    if !answer.ends_with('\n') {
        let length = answer.len();
        let message = format!("the daemon broke off its answer after {length} bytes; ask again");
        return Err(Failure::new(message));
    }
    serde_json::from_str(&answer)
        .map_err(|error| Failure::new(format!("cannot read the daemon's answer: {error}")))
}

/// Asks for something to be done, and prints that it was.
///
/// # Errors
/// As [`ask`].
pub fn order(
    socket: &Path,
    query: &impl Query<Reply = Done>,
    output: &Output,
) -> Result<(), Failure> {
    output.changed(&ask(socket, query)?);
    Ok(())
}

/// Asks for several things to be done, each of which may fail while the others are done.
///
/// # Errors
/// The first failure decides the exit code; the messages are those of all.
pub fn one_by_one<T>(
    things: impl Iterator<Item = T>,
    mut act: impl FnMut(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut failed: Vec<Failure> = Vec::new();
    for thing in things {
        match act(thing) {
            Ok(()) => {}
            // The others would not be done either.
            Err(failure) if matches!(failure.exit, Exit::NoDaemon | Exit::NotPermitted) => {
                failed.push(failure);
                break;
            }
            Err(failure) => failed.push(failure),
        }
    }
    let Some(exit) = failed.first().map(|failure| failure.exit) else { return Ok(()) };
    let mut messages: Vec<_> = failed.into_iter().map(|failure| failure.message).collect();
    messages.dedup();
    Err(Failure { exit, message: messages.join("\n") })
}
