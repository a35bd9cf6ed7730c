//! The terminal of `asterguard top`: taken over, given back however the program ends, keys and signals.

use std::io::{Stdout, stdout};
use std::sync::mpsc::Sender;
use std::thread;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::Input;
use super::keys::Key;

/// A signal that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// To end.
    End,
    /// To stop until somebody continues the program.
    Suspend,
    /// It goes on.
    Continue,
}

/// The terminal while it is taken over; it is given back when this is dropped.
pub struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    /// Takes the terminal over. If the program panics, in whatever thread, it is given back first.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn take() -> std::io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
            // Else the other threads would go on, and draw.
            std::process::exit(101);
        }));
        let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        let mut screen = Self(terminal);
        screen.enter()?;
        Ok(screen)
    }

    /// Returns its columns and lines.
    pub fn size(&self) -> std::io::Result<(u16, u16)> {
        self.0.size().map(|size| (size.width, size.height))
    }

    /// Takes it over again: all of it is drawn the next time.
    pub fn enter(&mut self) -> std::io::Result<()> {
        // While it is on by what this knows, it would not be turned on, whatever a shell did meanwhile.
        disable_raw_mode()?;
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen, Hide)?;
        self.0.clear()
    }

    /// Draws.
    pub fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame<'_>)) -> std::io::Result<()> {
        self.0.draw(draw).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back. If it has gone away, there is nothing to be done.
pub fn give_back() {
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// Stops this process, as the terminal would at Ctrl-Z. It goes on at SIGCONT.
pub fn stop() {
    let _ = kill_process(getpid(), Signal::STOP);
}

/// Reads keys in a thread of its own.
///
/// # Errors
/// When there can be no thread.
pub fn read_keys(inbox: Sender<Input>) -> std::io::Result<()> {
    let read = move || {
        loop {
            let input = match event::read() {
                Ok(Event::Key(pressed)) if pressed.kind != KeyEventKind::Release => {
                    match key(pressed.code, pressed.modifiers) {
                        Some(key) => Input::Key(key),
                        None => continue,
                    }
                }
                Ok(Event::Resize(columns, lines)) => Input::Size((columns, lines)),
                Ok(_) => continue,
                // The terminal has gone away.
                Err(_) => Input::Signal(Told::End),
            };
            let is_end = matches!(input, Input::Signal(Told::End));
            if inbox.send(input).is_err() || is_end {
                return;
            }
        }
    };
    thread::Builder::new().name("keys".to_owned()).spawn(read).map(drop)
}

fn key(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
    Some(match code {
        KeyCode::Char(c) if modifiers.contains(KeyModifiers::CONTROL) => Key::Ctrl(c),
        KeyCode::Char(_) if modifiers.contains(KeyModifiers::ALT) => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

/// Waits for signals in a thread of its own. From when this returns, none is missed.
///
/// # Errors
/// When there can be no thread, or no signal can be waited for.
pub fn await_signals(inbox: Sender<Input>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut waiting = {
        let _within = runtime.enter();
        [
            (SignalKind::terminate(), Told::End),
            (SignalKind::interrupt(), Told::End),
            (SignalKind::hangup(), Told::End),
            (SignalKind::quit(), Told::End),
            (SignalKind::from_raw(libc::SIGTSTP), Told::Suspend),
            (SignalKind::from_raw(libc::SIGCONT), Told::Continue),
        ]
        .map(|(kind, told)| signal(kind).map(|signal| (signal, told)))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?
    };
    let wait = move || {
        runtime.block_on(async {
            loop {
                let told = std::future::poll_fn(|context| {
                    for (signal, told) in &mut waiting {
                        if signal.poll_recv(context).is_ready() {
                            return std::task::Poll::Ready(*told);
                        }
                    }
                    std::task::Poll::Pending
                });
                if inbox.send(Input::Signal(told.await)).is_err() {
                    return;
                }
            }
        });
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, tcgetattr};

    use super::*;

    /// Set for the process that panics.
    const PANICS: &str = "ASTERGUARD_TEST_PANICS";

    #[test]
    fn a_panic_gives_the_terminal_back() {
        if std::env::var_os(PANICS).is_some() {
            let _screen = Screen::take().unwrap();
            // In another thread, as a panic there ends the program too.
            let _ = thread::spawn(|| panic!("as it is meant")).join();
            unreachable!("the hook ends the program");
        }
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let terminal =
            OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let end = || Stdio::from(terminal.try_clone().unwrap());
        let mut child = Command::new("setsid")
            .arg("--ctty")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "cli::top::terminal::tests::a_panic_gives_the_terminal_back"])
            .arg("--nocapture")
            .env(PANICS, "1")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let status = child.wait().unwrap();
        assert!(
            tcgetattr(&terminal)
                .unwrap()
                .local_modes
                .contains(LocalModes::ICANON | LocalModes::ECHO)
        );
        drop(terminal);
        let mut text = Vec::new();
        // Linux says by an error that nobody has the other end any more.
        let _ = File::from(master).read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text);
        assert_eq!(status.code(), Some(101), "{text}");
        let (taken, given_back) = (text.find("\u{1b}[?1049h"), text.find("\u{1b}[?1049l"));
        assert!(taken.is_some() && taken < given_back, "{text:?}");
        assert!(
            given_back < text.find("as it is meant") && text.contains("\u{1b}[?25h"),
            "{text:?}"
        );
    }
}
