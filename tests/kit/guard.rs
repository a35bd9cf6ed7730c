//! The real program, started as users start it.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Netns;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_asterguard");

/// How long something that is awaited may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A command's exit code, standard output and standard error.
pub type Told = (i32, String, String);

/// What a command told.
pub fn told(output: &Output) -> Told {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A directory with configuration, logs, state and control socket of one guard.
pub struct Home(TempDir);

impl Home {
    /// `$DIR` in `config` becomes the directory; there is an empty log `messages`.
    pub fn new(config: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.write("messages", "");
        home.write("asterguard.toml", config);
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, replacing `$DIR`; `asterguard.toml` is the configuration.
    pub fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), self.placed(text)).unwrap();
    }

    /// The same, and the file is a program.
    pub fn script(&self, name: &str, text: &str) {
        super::script(&self.path(name), &self.placed(text));
    }

    fn placed(&self, text: &str) -> String {
        text.replace("$DIR", self.0.path().to_str().unwrap())
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Appends to a log with a single write.
    pub fn append_bytes(&self, log: &str, bytes: &[u8]) {
        Self::append_to(&self.path(log), bytes);
    }

    /// The same, by its path.
    pub fn append_to(log: &Path, bytes: &[u8]) {
        let mut file = OpenOptions::new().create(true).append(true).open(log).unwrap();
        file.write_all(bytes).unwrap();
    }

    pub fn append(&self, log: &str, lines: &[impl AsRef<str>]) {
        let lines = lines.iter().flat_map(|line| [line.as_ref(), "\n"]);
        self.append_bytes(log, lines.collect::<String>().as_bytes());
    }

    /// The program where whoever may enter this directory can execute it: where it was built may be root's alone.
    pub fn public_program(&self) -> PathBuf {
        let program = self.path("bin/asterguard");
        fs::create_dir_all(self.path("bin")).unwrap();
        fs::hard_link(PROGRAM, &program)
            .or_else(|_| fs::copy(PROGRAM, &program).map(drop))
            .unwrap();
        program
    }

    /// Makes `command` the program with these arguments; the first is the command's name.
    pub fn program<'a>(&self, command: &'a mut Command, args: &[&str]) -> &'a mut Command {
        command.args(&args[..1]).arg("--socket").arg(self.path("socket")).args(&args[1..])
    }

    /// A control command, from any namespace: the socket is a file.
    pub fn ctl(&self, args: &[&str]) -> Told {
        told(&self.program(&mut Command::new(PROGRAM), args).output().unwrap())
    }

    /// A control command in a namespace.
    pub fn ctl_in(&self, netns: &Netns, args: &[&str]) -> Told {
        told(&self.program(&mut netns.command(PROGRAM), args).output().unwrap())
    }

    /// A control command that has to work; what it printed.
    pub fn order(&self, args: &[&str]) -> String {
        let (code, out, complaint) = self.ctl(args);
        assert_eq!(code, 0, "{args:?}: {complaint}");
        out
    }

    /// What `status --json` prints, asked for without a process of its own.
    pub fn status(&self) -> serde_json::Value {
        self.ask(r#"{"command":"status","jail":null}"#)
    }

    fn ask(&self, request: &str) -> serde_json::Value {
        let mut socket = UnixStream::connect(self.path("socket")).unwrap();
        socket.write_all(format!("{request}\n").as_bytes()).unwrap();
        serde_json::from_reader(BufReader::new(socket)).unwrap()
    }

    /// What `status --json` says of a jail; null if it does not show it.
    pub fn jail(&self, name: &str) -> serde_json::Value {
        let status = self.status();
        let jails = status["jails"].as_array().unwrap();
        jails.iter().find(|jail| jail["jail"] == name).cloned().unwrap_or_default()
    }

    /// `run` with the configuration of this home, as whoever this is; `command` is the program, in whatever wrapping.
    pub fn run(&self, command: Command) -> Command {
        let mut run = self.run_as_service(command);
        // Whatever users this machine has.
        run.args(["--user", "root"]);
        run
    }

    /// The same, by the service's user, or by one that becomes it.
    pub fn run_as_service(&self, mut command: Command) -> Command {
        self.program(&mut command, &["run", "--config"]).arg(self.path("asterguard.toml"));
        command.arg("--state-dir").arg(self.path("state")).stdin(Stdio::null());
        command
    }
}

/// A guard that runs; killed when dropped.
pub struct Guard {
    home: Option<Home>,
    child: Child,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
    /// Where it says that it is ready.
    notify: UnixDatagram,
}

impl Guard {
    pub fn start(netns: &Netns, config: &str) -> Self {
        let home = Home::new(config);
        let run = home.run(netns.command(PROGRAM));
        Self::start_in(home, run)
    }

    /// Starts in a home that has been lived in; returns when the guard says that it is ready.
    pub fn start_in(home: Home, run: Command) -> Self {
        Self::start_within(PATIENCE, home, run)
    }

    /// The same, for a guard that has very much to do before it is ready.
    pub fn start_within(patience: Duration, home: Home, run: Command) -> Self {
        let mut guard = Self::spawn(home, run);
        guard.await_ready(patience);
        guard
    }

    /// The same, and waits for nothing.
    pub fn spawn(home: Home, mut run: Command) -> Self {
        let _ = fs::remove_file(home.path("notify"));
        let notify = UnixDatagram::bind(home.path("notify")).unwrap();
        // Whoever the guard runs as.
        fs::set_permissions(home.path("notify"), fs::Permissions::from_mode(0o777)).unwrap();
        notify.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        run.env("NOTIFY_SOCKET", home.path("notify")).stderr(Stdio::piped());
        let mut child = run.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::<(Mutex<Vec<String>>, Condvar)>::default();
        let heard = Arc::clone(&log);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.0.lock().unwrap().push(line);
                heard.1.notify_all();
            }
        });
        Self { home: Some(home), child, log, notify }
    }

    /// Waits until it says that it is ready, and answers.
    pub fn await_ready(&mut self, patience: Duration) {
        let (begin, mut word) = (Instant::now(), [0; 64]);
        while !self.notify.recv(&mut word).is_ok_and(|n| word[..n].starts_with(b"READY=1")) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the guard ended: {ended:?} {:#?}", self.log_lines());
            assert!(begin.elapsed() < patience, "never ready: {:#?}", self.log_lines());
        }
        // Not for all bans, which may be a million.
        let answer = self.ask(r#"{"command":"status","jail":null,"detail":"brief"}"#);
        assert_ne!(answer["health"], "", "the control socket answers");
    }

    /// Waits until it sees what is sent: the rules for that come after the bans, which cannot wait.
    pub fn listens(&self) {
        super::until("the guard listens to the wire", || {
            self.status()["wire"]["state"] == "listening"
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error so far.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.0.lock().unwrap().clone()
    }

    /// How many lines it has written that contain `words`.
    pub fn count(&self, words: &str) -> usize {
        self.log_lines().iter().filter(|line| line.contains(words)).count()
    }

    /// Waits for the first line that contains `words`.
    pub fn says(&self, words: &str) -> String {
        self.says_times(words, 1)
    }

    /// Waits for the `n`th line that contains `words`.
    pub fn says_times(&self, words: &str, n: usize) -> String {
        let lines = self.log.0.lock().unwrap();
        let find =
            |lines: &[String]| lines.iter().filter(|l| l.contains(words)).nth(n - 1).cloned();
        let waiting = |lines: &mut Vec<String>| find(lines).is_none();
        let (lines, _) = self.log.1.wait_timeout_while(lines, PATIENCE, waiting).unwrap();
        find(&lines).unwrap_or_else(|| panic!("never said {words:?} {n} times: {lines:#?}"))
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let (name, pid) = (format!("-{name}"), self.pid().to_string());
        assert!(Command::new("kill").args([&name, &pid]).status().unwrap().success());
    }

    /// Kilobytes of memory that are resident.
    pub fn resident(&self) -> u64 {
        memory(self.pid(), "VmRSS:")
    }

    /// Kilobytes of memory that no file backs: the guard's, and its firewall helper's.
    pub fn anonymous(&self) -> [u64; 2] {
        let of = |pid| memory(pid, "RssAnon:");
        [of(self.pid()), self.children().into_iter().map(of).sum()]
    }

    /// The processes that it has started.
    fn children(&self) -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().flatten();
        let children = tasks.flat_map(|task| {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            children.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>()
        });
        children.collect()
    }

    /// The time of a processor that it has taken: the guard, and its firewall helper.
    pub fn processor(&self) -> Duration {
        let of = |pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
            let ticks: u64 = fields.skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
            // USER_HZ is 100 on all that it runs on.
            Duration::from_millis(10 * ticks)
        };
        of(self.pid()) + self.children().into_iter().map(of).sum()
    }

    /// Has it end as a service does: by SIGTERM, with exit code 0, within 2 seconds.
    pub fn stop(self) -> Home {
        self.stop_within(Duration::from_secs(2))
    }

    /// The same, within this time.
    pub fn stop_within(mut self, patience: Duration) -> Home {
        let begin = Instant::now();
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{:#?}", self.log_lines());
        let took = begin.elapsed();
        assert!(took < patience, "took {took:?}");
        self.home.take().unwrap()
    }

    /// Waits until it has ended by itself: its exit code.
    pub fn ends(mut self) -> (Option<i32>, Home) {
        let begin = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < PATIENCE, "it goes on: {:#?}", self.log_lines());
            thread::sleep(Duration::from_millis(10));
        }
        (self.child.wait().unwrap().code(), self.home.take().unwrap())
    }

    /// Ends it without a chance to do anything about it.
    pub fn kill(mut self) -> Home {
        self.signal("KILL");
        self.child.wait().unwrap();
        self.home.take().unwrap()
    }
}

/// What the kernel says of a process's memory, in kilobytes.
fn memory(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

impl Deref for Guard {
    type Target = Home;

    fn deref(&self) -> &Home {
        self.home.as_ref().unwrap()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
