//! Captures the packets that the kernel copies for us (NFLOG), in a thread of its own.
#![expect(clippy::disallowed_methods, reason = "an edge: it waits between attempts")]

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{bind, recv, send, socket_with};

use super::{Numbers, Observation, Observer};
use crate::model::event::Evidence;
use crate::model::exchange::{AsteriskPorts, ServicePorts};
use crate::model::time::Time;
use crate::sip::nflog::{self, NflogMessage};
use crate::sys::mutex::lock;

/// The bytes that the kernel may keep for us: some ten thousand packets.
const BUFFER: usize = 16 << 20;
/// The longest message: a segment as far as it is copied, and its attributes.
const PART: usize = 68 << 10;
/// The most that is copied of one packet, whatever the ruleset says.
const COPY: u32 = 64 << 10;
/// The time between two ticks for open dialogues, within which a change of group takes effect.
const TICK: Duration = Duration::from_secs(1);
/// The time after a failure until it is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Packets that are taken up before what they meant is handed on.
const TURN: usize = 256;
/// Observations that may wait for the engine, and how many of them may be unverified: forged
/// packets must not take the room of what is proven.
const WAITING: usize = 16_384;
const WAITING_UNVERIFIED: usize = WAITING / 4 * 3;

/// The state of the capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Listening {
    /// It is switched off.
    #[default]
    Off,
    /// It works.
    On,
    /// It does not work, for this reason; says what to do.
    Trouble(String),
}

/// Opens a socket that gets the packets of a group, as [`nflog_socket`] does.
type Open = Box<dyn FnMut(u16) -> io::Result<OwnedFd> + Send>;

/// A handle to the thread.
pub struct SipMonitor {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The group to be listened to.
    group: Mutex<Option<u16>>,
    /// The knowledge of Asterisk's ports, to be taken over.
    ports: Mutex<Option<(AsteriskPorts, ServicePorts)>>,
    published: Mutex<Published>,
}

/// The thread's results.
#[derive(Default)]
struct Published {
    listening: Listening,
    numbers: Numbers,
    observations: Vec<Observation>,
    /// Observations for which there was no room.
    dropped: u64,
}

impl SipMonitor {
    /// Starts the thread, which listens to `group` by sockets that `open` opens. `now` is the
    /// clock; `wake` is called when there are observations to be taken, and says whether to go on.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        group: Option<u16>,
        open: impl FnMut(u16) -> io::Result<OwnedFd> + Send + 'static,
        now: fn() -> Time,
        wake: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        *lock(&shared.group) = group;
        let listener = CaptureThread {
            shared: Arc::clone(&shared),
            open: Box::new(open),
            now,
            observer: Observer::default(),
            part: vec![0; PART],
            ticked: Instant::now(),
        };
        std::thread::Builder::new().name("wire".into()).spawn(move || listener.run(&wake))?;
        Ok(Self { shared })
    }

    /// Listens to another group from now on, or to none.
    pub fn listen(&self, group: Option<u16>) {
        *lock(&self.shared.group) = group;
    }

    /// Goes by what is known of Asterisk's ports, and of those of its other services, from now on.
    pub fn change(&self, ports: AsteriskPorts, services: ServicePorts) {
        *lock(&self.shared.ports) = Some((ports, services));
    }

    /// Returns the observations since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Observation> {
        std::mem::take(&mut lock(&self.shared.published).observations)
    }

    /// Returns the state of the capture, the numbers so far, and the observations without room.
    #[must_use]
    pub fn state(&self) -> (Listening, Numbers, u64) {
        let published = lock(&self.shared.published);
        (published.listening.clone(), published.numbers, published.dropped)
    }
}

struct CaptureThread {
    shared: Arc<Shared>,
    open: Open,
    now: fn() -> Time,
    observer: Observer,
    part: Vec<u8>,
    ticked: Instant,
}

impl CaptureThread {
    fn run(mut self, wake: &dyn Fn() -> bool) {
        loop {
            let wanted = *lock(&self.shared.group);
            let Some(group) = wanted else {
                self.say(Listening::Off);
                std::thread::sleep(TICK);
                continue;
            };
            let ended = match (self.open)(group) {
                Ok(socket) => {
                    self.say(Listening::On);
                    self.observer.restart();
                    self.listen(&socket, wanted, wake)
                }
                Err(error) => Err(explain(&error, group)),
            };
            match ended {
                Ok(Next::Stop) => return,
                Ok(Next::Change) => {}
                Err(trouble) => {
                    self.say(Listening::Trouble(trouble));
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    fn say(&self, listening: Listening) {
        lock(&self.shared.published).listening = listening;
    }

    /// Listens for as long as this group is wanted.
    fn listen(
        &mut self,
        socket: &OwnedFd,
        wanted: Option<u16>,
        wake: &dyn Fn() -> bool,
    ) -> Result<Next, String> {
        let mut observations = Vec::new();
        while *lock(&self.shared.group) == wanted {
            // The first is awaited, for a tick at most; further ones are there or not.
            let mut flags = RecvFlags::empty();
            for _ in 0..TURN {
                match recv(socket, self.part.as_mut_slice(), flags) {
                    Ok((length, _)) => self.take_in(length, &mut observations),
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    // The number of the next one shows how many were lost.
                    Err(Errno::NOBUFS) => self.observer.lost(),
                    Err(error) => return Err(format!("listening failed: {error}")),
                }
                // Observations that are certain are handed on immediately.
                if !observations.is_empty() {
                    break;
                }
                flags = RecvFlags::DONTWAIT;
            }
            if self.ticked.elapsed() >= TICK {
                self.ticked = Instant::now();
                self.observer.tick((self.now)(), &mut observations);
            }
            if !self.hand_on(&mut observations, wake) {
                return Ok(Next::Stop);
            }
        }
        Ok(Next::Change)
    }

    fn take_in(&mut self, length: usize, observations: &mut Vec<Observation>) {
        let now = (self.now)();
        if let Some((ports, services)) = lock(&self.shared.ports).take() {
            self.observer.change(ports, services);
        }
        for message in nflog::messages(self.part.get(..length).unwrap_or_default()) {
            if let NflogMessage::Packet { bytes, number, path } = message {
                self.observer.packet(bytes, number, path, now, observations);
            }
        }
    }

    /// Hands observations over to the engine, as far as there is room; whether to go on.
    fn hand_on(&mut self, observations: &mut Vec<Observation>, wake: &dyn Fn() -> bool) -> bool {
        self.observer.tell(observations);
        let mut published = lock(&self.shared.published);
        published.numbers = self.observer.numbers();
        let waited = !published.observations.is_empty();
        for observation in observations.drain(..) {
            let room = match observation.evidence {
                Evidence::Proven => WAITING,
                Evidence::Unverified | Evidence::Hearsay => WAITING_UNVERIFIED,
            };
            if published.observations.len() < room {
                published.observations.push(observation);
            } else {
                published.dropped += 1;
            }
        }
        let fresh = !waited && !published.observations.is_empty();
        drop(published);
        !fresh || wake()
    }
}

/// The reason why listening to a group ended.
enum Next {
    /// Another one is wanted.
    Change,
    /// Observations are not wanted any more.
    Stop,
}

/// Opens a socket that gets the packets of `group`.
///
/// # Errors
/// When the kernel refuses; the caller needs `CAP_NET_ADMIN`.
pub fn nflog_socket(group: u16) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::NETFILTER),
    )?;
    bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(TICK))?;
    // Without permission for that there is none to listen either, which the kernel says next.
    let _ = set_socket_recv_buffer_size_force(&socket, BUFFER);
    send(&socket, &nflog::bind(group, COPY), SendFlags::empty())?;
    let mut part = vec![0; PART];
    loop {
        let (length, _) = recv(&socket, part.as_mut_slice(), RecvFlags::empty())?;
        for message in nflog::messages(part.get(..length).unwrap_or_default()) {
            match message {
                NflogMessage::Status(0) => return Ok(socket),
                NflogMessage::Status(errno) => return Err(io::Error::from_raw_os_error(errno)),
                NflogMessage::Packet { .. } => {}
            }
        }
    }
}

fn explain(error: &io::Error, group: u16) -> String {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        // The kernel says the same of both.
        Some(Errno::BUSY | Errno::PERM | Errno::ACCESS) => format!(
            "NFLOG group {group} is somebody else's (write another `group` below [wire]), or listening is not permitted (run as root or with CAP_NET_ADMIN): {error}"
        ),
        Some(Errno::INVAL | Errno::PROTONOSUPPORT | Errno::NOENT) => {
            format!("the kernel has no NFLOG ({error}); it needs the module nfnetlink_log")
        }
        _ => format!("cannot listen to NFLOG group {group}: {error}"),
    }
}
