//! Another program that owns the table: the kernel then refuses every change that is not its own.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Stdio};

use crate::kit::{self, Netns};

/// The table as it was, in other hands; when this is dropped, the kernel removes it.
pub struct Owner {
    child: Child,
    stdin: Option<ChildStdin>,
    netns: String,
}

impl Owner {
    /// Replaces our table by one with the same in it.
    pub fn take(netns: &Netns) -> Self {
        let mut child = netns
            .command("nft")
            .arg("-i")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let mut owner = Self { child, stdin, netns: netns.name().to_owned() };
        let file = tempfile::NamedTempFile::new().unwrap();
        let table = netns.exec("nft list table inet asterguard");
        let (head, rest) = table.split_once('\n').unwrap();
        let text = format!("delete table inet asterguard\n{head}\nflags owner\n{rest}");
        std::fs::write(file.path(), text).unwrap();
        owner.does(&format!("include \"{}\"", file.path().display()));
        let listed = || netns.try_exec("nft list table inet asterguard").stdout;
        kit::until("the table has another owner", || {
            String::from_utf8(listed()).unwrap().contains("flags owner")
        });
        owner
    }

    /// Hands over commands, which are carried out some time later.
    pub fn does(&mut self, commands: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{commands}").unwrap();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // At the end of its input it ends, and the table with it.
        self.stdin = None;
        let ended = self.child.wait().unwrap();
        assert!(std::thread::panicking() || ended.success(), "nft in {}: {ended}", self.netns);
    }
}
