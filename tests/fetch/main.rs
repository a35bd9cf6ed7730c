//! Lists that are fetched: the real command, beside a real server for the web, and the guard that takes them up.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and wait for things that really happen"
)]

#[path = "../kit/mod.rs"]
mod kit;

mod good_lists;
mod guard;
mod refused_lists;

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;

use kit::guard::{Home, PATIENCE, PROGRAM, told};

/// A secret that nothing may show.
const KEY: &str = "s3cretkey";

/// Whether what these tests run is there. Says so if not.
fn able() -> bool {
    let missing = kit::programs::missing();
    if let Some(why) = &missing {
        kit::programs::skip(why);
    }
    missing.is_none()
}

/// One of the certificates that the tests of the manager interface have, too.
fn certificate(name: &str) -> String {
    format!("{}/tests/data/ami/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A server with lists, and the machine that fetches them.
struct Lists {
    home: Home,
    child: Child,
    port: u16,
    requests: Receiver<String>,
}

/// What a command printed: its exit code, and all of its words.
type Said = (i32, String);

impl Lists {
    /// Starts a server with a certificate, and writes a configuration in which `$URL` is its address.
    fn start(config: &str) -> Self {
        Self::start_with(&["signed.crt", "signed.key"], config)
    }

    fn start_with(certificates: &[&str], config: &str) -> Self {
        let home = Home::new("");
        home.write("mode", "good");
        home.write("key", &format!("{KEY}\n"));
        fs::set_permissions(home.path("key"), Permissions::from_mode(0o640)).unwrap();
        fs::create_dir(home.path("lists")).unwrap();
        let script = format!("{}/tests/fetch/lists.py", env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(kit::python())
            .arg(script)
            .arg(home.path("mode").parent().unwrap())
            .args(certificates.iter().map(|name| certificate(name)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        let (told, requests) = channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| told.send(line)));
        let lists = Self { home, child, port, requests };
        lists.configure(config);
        lists
    }

    fn configure(&self, config: &str) {
        let directory = self.home.path("lists");
        let config = config
            .replace("$URL", &format!("https://127.0.0.1:{}", self.port))
            .replace("$TLS", &format!("cafile = '{}'", certificate("authority.crt")))
            .replace("$KEYFILE", self.home.path("key").to_str().unwrap())
            .replace("$LISTS", directory.to_str().unwrap());
        self.home.write(
            "asterguard.toml",
            &config.replace("$DIR", directory.parent().unwrap().to_str().unwrap()),
        );
    }

    /// How the server answers from now on.
    fn mode(&self, mode: &str) {
        self.home.write("mode", mode);
    }

    fn fetch(&self, args: &[&str]) -> Said {
        let mut command = Command::new(PROGRAM);
        command.arg("fetch").args(args).arg("--config").arg(self.home.path("asterguard.toml"));
        let (code, out, err) =
            told(&command.env("SSL_CERT_FILE", "/nonexistent").output().unwrap());
        let said = out + &err;
        assert!(!said.contains(KEY) && !said.contains('\u{1b}'), "{said}");
        // Nor is it in what is kept.
        for entry in fs::read_dir(self.home.path("lists")).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains(KEY), "{}: {text}", path.display());
        }
        (code, said)
    }

    /// The list as the guard reads it.
    fn list(&self, name: &str) -> String {
        fs::read_to_string(self.home.path(&format!("lists/{name}.list"))).unwrap_or_default()
    }

    fn record(&self, name: &str) -> Value {
        let text = self.home.read(&format!("lists/{name}.list.state"));
        serde_json::from_str(&text).unwrap()
    }

    /// The next request that the server gets.
    fn request(&self) -> Value {
        serde_json::from_str(&self.requests.recv_timeout(PATIENCE).unwrap()).unwrap()
    }
}

impl Drop for Lists {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A feed of one network a line.
const DROP: &str = "[feed.drop]\nurl = '$URL/list'\n$TLS\npath = '$LISTS/drop.list'\n";
