//! A mail server that takes connections and never says a word, and the process that tells, which waits for it.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::CONFIG;
use crate::kit::Netns;
use crate::kit::guard::{Guard, Home, PROGRAM};

/// A guard whose mails are not taken; the process that tells ends with it.
pub struct Untold {
    pub guard: Guard,
    notifier: Child,
    /// The connections that were taken.
    connections: Receiver<TcpStream>,
}

impl Untold {
    /// Starts all of it in the namespace that this thread is in.
    pub fn start(netns: &Netns) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let (taken, connections) = channel();
        std::thread::spawn(move || {
            server.incoming().map_while(Result::ok).try_for_each(|stream| taken.send(stream))
        });
        let home = Home::new(&format!(
            "{CONFIG}\n[notify.office]\nkind = \"mail\"\nserver = \"127.0.0.1\"\nport = {port}\n\
             security = \"none\"\nto = [\"admin@example.com\"]\non = [\"ban\"]\n"
        ));
        std::fs::create_dir(home.path("queue")).unwrap();
        let socket = UnixListener::bind(home.path("teller")).unwrap();
        let mut notifier = netns.command("setpriv");
        notifier.args(["--pdeathsig", "KILL", PROGRAM, "notifier", "--config"]);
        notifier.arg(home.path("asterguard.toml")).arg("--state-dir").arg(home.path("queue"));
        notifier.stdin(Stdio::from(OwnedFd::from(socket))).stderr(Stdio::null());
        let notifier = notifier.spawn().unwrap();
        let mut run = home.run(netns.command(PROGRAM));
        run.arg("--notify").arg(home.path("teller"));
        Self { guard: Guard::start_in(home, run), notifier, connections }
    }

    /// Waits until the server has a mail to take.
    pub fn hangs(&self) -> TcpStream {
        self.connections.recv_timeout(Duration::from_secs(30)).expect("a mail is being sent")
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        let _ = self.notifier.kill();
        let _ = self.notifier.wait();
    }
}
