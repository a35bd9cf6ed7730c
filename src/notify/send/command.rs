//! A program that gets the events as JSON on its standard input.

use std::sync::{Condvar, Mutex, PoisonError};

use super::{Failure, later, refused};
use crate::config::notify::Command;
use crate::notify::batch::Batch;
use crate::notify::payload::for_command;
use crate::notify::words::plain;
use crate::sys::mutex::lock;
use crate::sys::program::{Program, ProgramError};

/// Programs that run at the same time, of all notifiers.
const AT_ONCE: usize = 2;
/// Bytes that a program may print: nobody reads them.
const MOST_PRINTED: usize = 1 << 20;
/// Characters of its complaint that are shown.
const SHOWN: usize = 200;
/// The exit code that asks for another try (`EX_TEMPFAIL` of `sysexits.h`).
const TRY_AGAIN: i32 = 75;

/// The programs that run now.
static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// A turn to run a program.
struct Turn;

impl Turn {
    fn wait() -> Self {
        let (running, ended) = &RUNNING;
        let full = |running: &mut usize| *running >= AT_ONCE;
        let mut running =
            ended.wait_while(lock(running), full).unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (running, ended) = &RUNNING;
        *lock(running) -= 1;
        ended.notify_one();
    }
}

/// Runs the program.
pub(super) fn send(command: &Command, batch: &Batch) -> Result<String, Failure> {
    let name = command.argv.first().map_or("", String::as_str);
    let program = Program::with_argv(command.argv.iter().map(String::as_str))
        .limited(command.timeout)
        .capped(MOST_PRINTED)
        .bare();
    let _turn = Turn::wait();
    match program.run(&[], &for_command(batch)) {
        Ok(_) => Ok(format!("{name} has ended well")),
        Err(error @ ProgramError::NotFound { .. }) => Err(later(
            plain(&error.to_string(), SHOWN),
            "see command of this notifier; the user asterguard-notify must be allowed to run it",
        )),
        Err(ProgramError::Failed { said, code: Some(TRY_AGAIN), .. }) => Err(later(
            format!("{name} asks for another try: {}", plain(&said, SHOWN)),
            "it is tried again",
        )),
        Err(ProgramError::Failed { said, .. }) => Err(refused(
            format!("{name} has failed: {}", plain(&said, SHOWN)),
            "see what it says; exit code 75 asks for another try",
        )),
        Err(error @ ProgramError::Hangs { .. }) => Err(refused(
            error.to_string(),
            "see what it waits for, or give it more time: timeout = \"1m\"",
        )),
        Err(error) => Err(refused(plain(&error.to_string(), SHOWN), "see what the program does")),
    }
}
