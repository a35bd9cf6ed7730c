//! Connections of the guard to a process that serves it at a listening socket.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Serves each connection in a thread of its own, at most `most` at once: others are closed. A guard that is gone comes
/// again. Returns why there can be no more.
pub fn accept(
    listener: &UnixListener,
    most: usize,
    serve: impl Fn(&UnixStream) -> io::Result<()> + Send + Sync + 'static,
) -> io::Error {
    let (serve, open) = (Arc::new(serve), Arc::new(AtomicUsize::new(0)));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return error,
            Err(_) => {
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if open.fetch_add(1, Ordering::Relaxed) >= most {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (serve, closed) = (Arc::clone(&serve), Arc::clone(&open));
        let serve = move || {
            let _ = serve(&stream);
            closed.fetch_sub(1, Ordering::Relaxed);
        };
        if thread::Builder::new().name("guard".to_owned()).spawn(serve).is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
