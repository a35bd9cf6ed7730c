//! Runs a program: input in, output out, within a time limit, errors sorted by kind.
#![expect(clippy::disallowed_methods, reason = "an edge: a program must end within its limit")]

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::mutex::lock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use thiserror::Error;

/// The time that a program may take if nothing else is said.
pub const LIMIT: Duration = Duration::from_secs(10);

/// The most that is read from a program's standard output, in bytes: a listing of four million bans.
const STDOUT_MAX: usize = 512 << 20;

/// The most that is kept of a program's standard error, in bytes; the rest is read and forgotten.
const STDERR_MAX: usize = 4 << 10;

/// The number of the last runs that are remembered.
const RUNS_MAX: usize = 16;

/// A program, its first arguments, and its limits.
#[derive(Clone, Debug)]
pub struct Program {
    argv: Vec<OsString>,
    limit: Duration,
    /// The most that is read from its standard output, in bytes.
    most: usize,
    /// Whether it gets no variable of the environment but `PATH`.
    bare: bool,
    /// The processes of the last runs, of all clones of this.
    ran: Arc<Mutex<VecDeque<u32>>>,
}

impl Program {
    /// `nft` as found on the PATH, stopped after [`LIMIT`].
    #[must_use]
    pub fn nft() -> Self {
        Self::with_argv(["nft"])
    }

    /// Returns the program and its first arguments, which come before those of each run.
    pub fn with_argv<A: Into<OsString>>(argv: impl IntoIterator<Item = A>) -> Self {
        let argv = argv.into_iter().map(Into::into).collect();
        Self { argv, limit: LIMIT, most: STDOUT_MAX, bare: false, ran: Arc::default() }
    }

    /// Returns the same, stopped after `limit`.
    #[must_use]
    pub fn limited(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// Returns the same, which may print `most` bytes.
    #[must_use]
    pub fn capped(&self, most: usize) -> Self {
        Self { most, ..self.clone() }
    }

    /// Returns the same, without any variable of the environment but `PATH`.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self { bare: true, ..self.clone() }
    }

    /// Asks a program that is given by its name and arguments, and returns what it prints, of at most a MiB, without
    /// blanks around it.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn ask(argv: &[&str], limit: Duration) -> Result<String, ProgramError> {
        let program = Self::with_argv(argv.iter().copied()).limited(limit).capped(1 << 20);
        let output = program.run(&[], b"")?;
        Ok(String::from_utf8_lossy(&output).trim().to_owned())
    }

    /// Returns the time that a run may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether one of the last runs was this process.
    #[must_use]
    pub fn ran(&self, pid: u32) -> bool {
        lock(&self.ran).contains(&pid)
    }

    /// Runs the program with `args` and gives it `input`; returns what it printed.
    ///
    /// # Errors
    /// When the program is not there, does not end in time (it and all that it started are killed),
    /// fails, or prints more than 512 MiB or what it is [capped](Self::capped) to.
    pub fn run(&self, args: &[&str], input: &[u8]) -> Result<Vec<u8>, ProgramError> {
        let deadline = Instant::now() + self.limit;
        let mut child = self.start(args)?;
        self.remember(child.id());
        let captured =
            Pipes::new(&mut child, input, self.most).and_then(|pipes| pipes.run(deadline));
        let outcome = match captured {
            Ok(captured) => wait(&mut child, deadline).map(|status| (captured, status)),
            Err(error) => Err(error),
        };
        match outcome {
            Ok((Captured { stdout, .. }, status)) if status.success() => Ok(stdout),
            Ok((Captured { stderr, .. }, status)) => Err(self.complaint(&stderr, status)),
            Err(error) => {
                stop(&mut child);
                Err(match error {
                    Aborted::Late => {
                        ProgramError::Hangs { program: self.name(), limit: self.limit }
                    }
                    Aborted::Endless => {
                        ProgramError::Endless { program: self.name(), most: self.most }
                    }
                    Aborted::Io(error) => ProgramError::Io { program: self.name(), error },
                })
            }
        }
    }

    fn name(&self) -> String {
        self.argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Returns the error of a failed run.
    fn complaint(&self, stderr: &[u8], status: ExitStatus) -> ProgramError {
        let text = String::from_utf8_lossy(stderr).trim().to_owned();
        let said = if text.is_empty() { format!("no reason given ({status})") } else { text };
        ProgramError::Failed { program: self.name(), said, code: status.code() }
    }

    fn remember(&self, pid: u32) {
        let mut ran = lock(&self.ran);
        ran.push_back(pid);
        if ran.len() > RUNS_MAX {
            ran.pop_front();
        }
    }

    fn start(&self, args: &[&str]) -> Result<Child, ProgramError> {
        let (program, first) = self.argv.split_first().ok_or_else(|| ProgramError::NotFound {
            program: String::new(),
            error: ErrorKind::InvalidInput.into(),
        })?;
        let mut command = Command::new(program);
        if self.bare {
            command.env_clear();
            command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        } else {
            // The complaints are sorted by their words.
            command.env("LC_ALL", "C");
        }
        command
            .args(first)
            .args(args)
            // A group of its own, so that all that it starts can be stopped with it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound | ErrorKind::PermissionDenied => {
                    ProgramError::NotFound { program: self.name(), error }
                }
                _ => ProgramError::Io { program: self.name(), error },
            })
    }
}

/// The reason why a program did not do what it was run for.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// It is not there, or may not be run.
    #[error("cannot run `{program}`: {error}")]
    NotFound { program: String, error: io::Error },
    /// It did not end in time and was killed.
    #[error("`{program}` did not finish within {limit:?} and was stopped")]
    Hangs { program: String, limit: Duration },
    /// It ended with an error; its own words follow.
    #[error("`{program}` refused: {said}")]
    Failed { program: String, said: String, code: Option<i32> },
    /// It printed more than it may, in bytes.
    #[error("`{program}` printed more than {} MiB and was stopped", most >> 20)]
    Endless { program: String, most: usize },
    /// The system failed while it ran.
    #[error("cannot talk to `{program}`: {error}")]
    Io { program: String, error: io::Error },
}

/// The reason why a run was ended before the program ended.
enum Aborted {
    Late,
    Endless,
    Io(io::Error),
}

impl From<io::Error> for Aborted {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for Aborted {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

/// The output of a program.
struct Captured {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// The three pipes to a running program, served together: one that waits to be read never keeps
/// another from being written.
struct Pipes<'a> {
    stdin: Option<ChildStdin>,
    rest: &'a [u8],
    stdout: PipeReader,
    stderr: PipeReader,
}

/// A pipe that is read up to its end; what exceeds `max` bytes is not kept.
struct PipeReader {
    pipe: Option<Box<dyn Source>>,
    bytes: Vec<u8>,
    max: usize,
    cut: bool,
}

trait Source: Read + AsFd {}
impl<T: Read + AsFd> Source for T {}

impl<'a> Pipes<'a> {
    fn new(child: &mut Child, input: &'a [u8], most: usize) -> Result<Self, Aborted> {
        let stdin = child.stdin.take();
        if let Some(stdin) = &stdin {
            // Otherwise a write of more than the pipe holds would wait for the reader.
            rustix::io::ioctl_fionbio(stdin, true)?;
        }
        let stdout = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Source>);
        let stderr = child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Source>);
        Ok(Self {
            stdin,
            rest: input,
            stdout: PipeReader { pipe: stdout, bytes: Vec::new(), max: most, cut: false },
            stderr: PipeReader { pipe: stderr, bytes: Vec::new(), max: STDERR_MAX, cut: false },
        })
    }

    /// Serves them until the program has closed both of its outputs.
    fn run(mut self, deadline: Instant) -> Result<Captured, Aborted> {
        if self.rest.is_empty() {
            self.stdin = None;
        }
        while self.stdout.pipe.is_some() || self.stderr.pipe.is_some() {
            let (stdin, stdout, stderr) = self.ready(deadline)?;
            if stdin {
                self.write()?;
            }
            if stdout {
                self.stdout.read()?;
            }
            if stderr {
                self.stderr.read()?;
            }
            if self.stdout.cut {
                return Err(Aborted::Endless);
            }
        }
        Ok(Captured { stdout: self.stdout.bytes, stderr: self.stderr.bytes })
    }

    /// Waits until at least one of the pipes can go on; says which.
    fn ready(&self, deadline: Instant) -> Result<(bool, bool, bool), Aborted> {
        let stdin = self.stdin.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::OUT));
        let stdout = self.stdout.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN));
        let stderr = self.stderr.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN));
        let asked = [stdin.is_some(), stdout.is_some(), stderr.is_some()];
        let mut fds: Vec<_> = [stdin, stdout, stderr].into_iter().flatten().collect();
        wait_for(&mut fds, deadline)?;
        let mut answers = fds.iter().map(|fd| !fd.revents().is_empty());
        let [stdin, stdout, stderr] =
            asked.map(|asked| asked && answers.next().unwrap_or_default());
        Ok((stdin, stdout, stderr))
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.stdin else { return Ok(()) };
        match pipe.write(self.rest) {
            Ok(written) => self.rest = self.rest.get(written..).unwrap_or_default(),
            Err(error) if again(&error) => return Ok(()),
            // It has seen enough; why is on its standard error.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.rest = &[],
            Err(error) => return Err(error),
        }
        if self.rest.is_empty() {
            self.stdin = None;
        }
        Ok(())
    }
}

impl PipeReader {
    fn read(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        let mut buffer = [0; 16 << 10];
        match pipe.read(&mut buffer) {
            Ok(0) => self.pipe = None,
            Ok(n) => {
                let keep = n.min(self.max - self.bytes.len());
                self.cut |= keep < n;
                self.bytes.extend(buffer.iter().take(keep));
            }
            Err(error) if again(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Waits until something happens to one of `fds`.
fn wait_for(fds: &mut [PollFd<'_>], deadline: Instant) -> Result<(), Aborted> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| Aborted::Late)?;
        match poll(fds, Some(&left)) {
            Ok(0) => return Err(Aborted::Late),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for the end of a program that says no more.
fn wait(child: &mut Child, deadline: Instant) -> Result<ExitStatus, Aborted> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    let handle = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    wait_for(&mut [PollFd::new(&handle, PollFlags::IN)], deadline)?;
    Ok(child.wait()?)
}

/// Ends a program and all that it started. Nothing can be done about an error here.
fn stop(child: &mut Child) {
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::with_argv(["sh", "-c", script, "sh"])
    }

    #[test]
    fn much_may_flow_both_ways_at_once() {
        let input: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let noisy = shell("head -c 3000000 /dev/zero >&2; cat; head -c 3000000 /dev/zero >&2");
        assert!(noisy.run(&[], &input).unwrap() == input);
    }

    #[test]
    fn arguments_and_locale_arrive() {
        let output = shell("echo \"$LC_ALL $*\"").run(&["-j", "-f", "a b"], b"").unwrap();
        assert_eq!(output, b"C -j -f a b\n");
    }

    #[test]
    fn unread_input_is_no_error() {
        let input = vec![b'x'; 1 << 20];
        let error = shell("echo 'Error: no' >&2; exit 1").run(&[], &input).unwrap_err();
        assert!(
            matches!(&error, ProgramError::Failed { said, .. } if said == "Error: no"),
            "{error}"
        );
        assert!(shell("exit 0").run(&[], &input).is_ok());
    }

    #[test]
    fn what_prints_too_much_is_stopped() {
        let error = shell("yes").capped(1 << 20).run(&[], b"").unwrap_err();
        assert!(error.to_string().contains("printed more than 1 MiB"), "{error}");
    }

    #[test]
    fn complaints_are_cut() {
        let error = shell("yes | head -c 1000000 >&2; exit 1").run(&[], b"").unwrap_err();
        assert!(matches!(&error, ProgramError::Failed { said, .. } if said.len() <= STDERR_MAX));
    }

    #[test]
    fn failures_have_kinds() {
        let error = Program::with_argv(["/nonexistent/nft"]).run(&[], b"").unwrap_err();
        assert!(
            matches!(&error, ProgramError::NotFound { program, .. } if program == "/nonexistent/nft")
        );
        let error = Program::with_argv(Vec::<String>::new()).run(&[], b"").unwrap_err();
        assert!(matches!(error, ProgramError::NotFound { .. }));
        let error = shell("kill -9 $$").run(&[], b"").unwrap_err();
        assert!(error.to_string().contains("signal"), "{error}");
    }

    #[test]
    fn hanging_programs_are_stopped_with_all_they_started() {
        let limit = Duration::from_millis(200);
        // The second one keeps quiet, the third lets go of the pipes, the fourth never reads.
        for script in
            ["sleep 1000", "sleep 1000 & wait", "exec <&- >&- 2>&-; sleep 1000", "yes >/dev/null"]
        {
            let before = Instant::now();
            let error = shell(script).limited(limit).run(&[], &vec![b'x'; 1 << 20]).unwrap_err();
            assert!(
                matches!(error, ProgramError::Hangs { limit: l, .. } if l == limit),
                "{script}: {error}"
            );
            assert!(before.elapsed() < Duration::from_secs(5), "{script}");
        }
    }
}
