//! Reads from the server what was not heard: streams and snapshots of the peers.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::client::Client;
use super::layout;
use super::peer::Missing;
use super::publisher::record_of;
use super::record::{LONGEST_RECORD, Position, SignedBan};
use super::refusal::Refusal;
use super::resp::{Commands, Reply};
use super::shared::Shared;
use super::snapshot::{BLOCK, Head};
use crate::model::node::NodeName;
use crate::model::trouble::Trouble;
use crate::sys::clock::monotonic_now;
use crate::sys::mutex::lock;

/// The shortest time between two snapshots of a peer, in milliseconds, and what is added by chance: a gap is one of all
/// nodes at once.
const SNAPSHOT: i64 = 5000;
const CHANCE: u64 = 2000;
/// The shortest time between two looks at the stream of a peer, in milliseconds.
const STREAM: i64 = 200;
/// Entries of a stream that are read together.
const ENTRIES: usize = 500;
/// The pause after trouble.
const PAUSE: Duration = Duration::from_secs(2);

/// When what of a peer may be read again, in milliseconds of a clock that is never set.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    snapshot: i64,
    stream: i64,
}

/// Reads, for ever.
pub fn run(shared: &Arc<Shared>) {
    let mut reader = Reader { shared: Arc::clone(shared), due: HashMap::new(), client: None };
    loop {
        match reader.turn() {
            Ok(pause) => {
                shared.is_up(&shared.reader, shared.epoch());
                shared.to_read.wait(pause);
            }
            Err(trouble) => {
                reader.client = None;
                shared.is_down(&shared.reader, &trouble);
                thread::sleep(PAUSE);
            }
        }
    }
}

struct Reader {
    shared: Arc<Shared>,
    due: HashMap<NodeName, Due>,
    /// It is closed when there is nothing to read: a server has an end to its connections.
    client: Option<Client>,
}

impl Reader {
    /// Reads what is missing and due; returns how long to wait.
    fn turn(&mut self) -> Result<Duration, Trouble> {
        let missing = lock(&self.shared.admission).missing();
        if missing.is_empty() {
            self.client = None;
            return Ok(Duration::from_secs(60));
        }
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(&self.shared.fleet)?,
        };
        for (node, missing, last) in missing {
            let at = monotonic_now().millis();
            let due = self.due.get(&node).copied().unwrap_or_default();
            match missing {
                Missing::Snapshot if at >= due.snapshot => {
                    let chance = RandomState::new().hash_one(0) % CHANCE;
                    let snapshot = at + SNAPSHOT + i64::try_from(chance).unwrap_or(0);
                    self.due.insert(node.clone(), Due { snapshot, stream: at + STREAM });
                    // What was lifted is in the stream only; what is there over a gap, in the snapshot only. A ban that
                    // was lifted since the snapshot has no key any more.
                    if lock(&self.shared.admission).holds_any(&node) {
                        self.stream(&mut client, &node, last, true)?;
                        lock(&self.shared.admission).want(&node, Missing::Snapshot);
                    }
                    if self.snapshot(&mut client, &node)? {
                        let last = self.last(&node, last);
                        self.stream(&mut client, &node, last, true)?;
                    }
                }
                Missing::Records if at >= due.stream => {
                    self.due.insert(node.clone(), Due { stream: at + STREAM, ..due });
                    self.stream(&mut client, &node, last, false)?;
                }
                _ => {}
            }
        }
        self.client = Some(client);
        Ok(Duration::from_millis(STREAM.unsigned_abs()))
    }

    fn last(&self, node: &NodeName, before: Position) -> Position {
        lock(&self.shared.admission).last(node).unwrap_or(before)
    }

    /// Reads a stream to its end, and once more: what came meanwhile was not taken.
    fn stream(
        &self,
        client: &mut Client,
        node: &NodeName,
        mut last: Position,
        after_snapshot: bool,
    ) -> Result<(), Trouble> {
        let mut ended = false;
        loop {
            let after = format!("({}-{}", last.epoch, last.sequence);
            let count = ENTRIES.to_string();
            let stream = layout::stream(node);
            let words: [&[u8]; 6] =
                [b"XRANGE", &stream, after.as_bytes(), b"+", b"COUNT", count.as_bytes()];
            let entries = client.ask_one(&words)?.items();
            let is_last = entries.len() < ENTRIES;
            if !self.take(node, &entries, after_snapshot) {
                return Ok(());
            }
            let before = last;
            last = self.last(node, last);
            if !is_last && last > before {
                continue;
            }
            let mut admission = lock(&self.shared.admission);
            if admission.all_read(node) {
                if ended {
                    return Ok(());
                }
                ended = true;
            } else if after_snapshot {
                // The server has no more of it.
                admission.given_up(node);
                return Ok(());
            } else {
                admission.want(node, Missing::Snapshot);
                return Ok(());
            }
        }
    }

    /// Takes entries of a stream; returns whether to go on.
    fn take(&self, node: &NodeName, entries: &[Reply], over_gaps: bool) -> bool {
        let mut told = Vec::new();
        let mut goes_on = true;
        {
            let mut admission = lock(&self.shared.admission);
            for entry in entries {
                let record = record_of(entry).unwrap_or(&[0; LONGEST_RECORD + 1]);
                let now = self.shared.moment();
                match admission.streamed(node, record, over_gaps, now, &mut told) {
                    Ok(true) | Err(Refusal::TooFast) => {
                        admission.want(node, Missing::Snapshot);
                        goes_on = false;
                        break;
                    }
                    Ok(false) | Err(_) => {}
                }
            }
        }
        self.shared.tell(&told, true);
        goes_on
    }

    /// Reads a snapshot; returns whether that is done.
    fn snapshot(&self, client: &mut Client, node: &NodeName) -> Result<bool, Trouble> {
        let reply = client.ask_one(&[b"GET", &layout::head(node)])?;
        let head = match reply.bytes() {
            Some(bytes) => match lock(&self.shared.admission).head(node, bytes) {
                Ok(head) => head,
                // Counted there. What was heard stays, and what is heard goes on.
                Err(_) => return Ok(true),
            },
            None => return Ok(true),
        };
        let most = (self.shared.fleet.max_bans as usize).div_ceil(BLOCK);
        for number in 0..head.blocks().min(most) {
            let reply = client.ask_one(&[b"GET", &layout::block(node, number)])?;
            let Some(bans) = reply.bytes().and_then(|bytes| head.block(number, bytes)) else {
                // It is being written anew; if not, the next try finds the same.
                return is_whole(client, node, &head);
            };
            self.bans(client, node, bans)?;
        }
        lock(&self.shared.admission).snapshot_read(node, &head);
        Ok(true)
    }

    /// Takes the bans of a block, for as long as the server says.
    fn bans(
        &self,
        client: &mut Client,
        node: &NodeName,
        bans: Vec<SignedBan>,
    ) -> Result<(), Trouble> {
        let new: Vec<_> = {
            let admission = lock(&self.shared.admission);
            let now = self.shared.moment();
            bans.into_iter().filter(|ban| admission.is_new(node, ban, now)).collect()
        };
        let mut commands = Commands::default();
        let mut asked = Vec::new();
        for ban in new {
            if let Some(host) = ban.host.subject() {
                commands.add(&[b"PTTL", &layout::ban(node, &host)]);
                asked.push(ban);
            } else {
                lock(&self.shared.admission).refuse_of(node, Refusal::NotAHost);
            }
        }
        let replies = client.ask(&commands)?;
        let mut told = Vec::new();
        {
            let mut admission = lock(&self.shared.admission);
            let now = self.shared.moment();
            for (ban, reply) in asked.into_iter().zip(replies) {
                let left = match reply {
                    Reply::Number(-1) => u64::MAX,
                    Reply::Number(left) => u64::try_from(left).unwrap_or(0),
                    // The server does not say: it was lifted, or has ended.
                    _ => 0,
                };
                if left > 0 {
                    admission.snapshot_ban(node, ban, left, now, &mut told);
                }
            }
        }
        self.shared.tell(&told, true);
        Ok(())
    }
}

/// Whether the server still has this head: if so, a part that is missing will not come.
fn is_whole(client: &mut Client, node: &NodeName, head: &Head) -> Result<bool, Trouble> {
    let reply = client.ask_one(&[b"GET", &layout::head(node)])?;
    let again = reply.bytes().and_then(|bytes| Head::read(bytes).ok());
    Ok(again.is_some_and(|again| again == *head))
}
