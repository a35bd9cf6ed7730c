//! Listens to the channels of the peers.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::client::{Client, refusal};
use super::layout;
use super::peer::Missing;
use super::protocol::FromFleet;
use super::record::LONGEST_RECORD;
use super::resp::{Commands, Reply};
use super::shared::Shared;
use crate::model::backoff;
use crate::model::trouble::Trouble;
use crate::sys::clock::monotonic_now;
use crate::sys::mutex::lock;

/// The shortest and the longest pause after trouble.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// The silence after which the server is asked whether it is there, and that after which it is not, in milliseconds.
const SILENCE: i64 = 10_000;
const DEAD: i64 = 25_000;
/// Peers whose channels are named one by one. With more, all channels are heard by their pattern: a subscription takes 140
/// bytes of the server (Redis 7.0), and each of many nodes would have many.
const NAMED: usize = 500;

/// Listens, for ever.
pub fn run(shared: &Arc<Shared>) {
    let mut failures = 0_u32;
    loop {
        let began = monotonic_now();
        let Err(trouble) = connected(shared);
        shared.is_down(&shared.listener, &trouble);
        if monotonic_now().since(began) > Duration::from_secs(60) {
            failures = 0;
        }
        let chance = RandomState::new().hash_one(0);
        thread::sleep(backoff::wait(FIRST, LONGEST, failures, chance));
        failures = failures.saturating_add(1);
    }
}

/// Subscribes to the channels of all peers; returns the number of answers to that.
fn subscribe(shared: &Shared, client: &mut Client) -> Result<usize, Trouble> {
    let channels: Vec<_> = lock(&shared.admission).trusted().iter().map(layout::channel).collect();
    if channels.len() > NAMED {
        let mut commands = Commands::default();
        commands.add(&[b"PSUBSCRIBE", layout::ALL.as_bytes()]);
        client.send(&commands)?;
        return Ok(1);
    }
    for some in channels.chunks(500) {
        let words: Vec<&[u8]> =
            std::iter::once(&b"SUBSCRIBE"[..]).chain(some.iter().map(Vec::as_slice)).collect();
        let mut commands = Commands::default();
        commands.add(&words);
        client.send(&commands)?;
    }
    Ok(channels.len())
}

/// Takes a message of a channel.
fn heard(shared: &Shared, channel: &Reply, payload: &Reply, told: &mut Vec<FromFleet>) {
    let Some(node) = channel.bytes().and_then(layout::node_of) else { return };
    // Longer than any record, if it was not kept: it is refused as such.
    let record = payload.bytes().unwrap_or(&[0; LONGEST_RECORD + 1]);
    let now = shared.moment();
    let is_behind = {
        let mut admission = lock(&shared.admission);
        // Refusals are counted there.
        let _ = admission.live(&node, record, now, told);
        admission.is_behind(&node)
    };
    shared.tell(told, false);
    told.clear();
    if is_behind {
        shared.to_read.ring();
    }
}

/// Takes the answer to a PING.
fn answered(shared: &Shared, unanswered: &mut VecDeque<u64>) {
    if let Some(epoch) = unanswered.pop_front() {
        shared.is_up(&shared.listener, epoch);
    }
}

fn connected(shared: &Shared) -> Result<std::convert::Infallible, Trouble> {
    let began = shared.epoch();
    let mut client = Client::connect(&shared.fleet)?;
    let mut awaited = subscribe(shared, &mut client)?;
    let (mut last, mut asked, mut seen) = (monotonic_now().millis(), 0, began);
    // The epochs in which the server was asked, and has not answered yet.
    let mut unanswered = VecDeque::new();
    let mut told = Vec::new();
    if awaited == 0 {
        shared.is_up(&shared.listener, began);
    }
    loop {
        let (at, epoch) = (monotonic_now().millis(), shared.epoch());
        if epoch != seen || (at - last > SILENCE && at - asked > SILENCE) {
            let mut commands = Commands::default();
            commands.add(&[b"PING"]);
            client.send(&commands)?;
            unanswered.push_back(epoch);
            (asked, seen) = (at, epoch);
        }
        let Some(reply) = client.read()? else {
            if at - last > DEAD {
                return Err(client.refused("it is silent"));
            }
            continue;
        };
        last = at;
        if let Some(refusal) = refusal(&reply) {
            return Err(client.refused(&refusal));
        }
        // Without channels, the server answers like this.
        let is_pong = reply == Reply::Text("PONG".to_owned());
        let items = reply.items();
        match items.as_slice() {
            _ if is_pong => answered(shared, &mut unanswered),
            [kind, ..] if matches!(kind.bytes(), Some(b"subscribe" | b"psubscribe")) => {
                awaited = awaited.saturating_sub(1);
                if awaited == 0 {
                    // From now on nothing is lost; what was before is read.
                    lock(&shared.admission).want_all(Missing::Records);
                    shared.is_up(&shared.listener, began);
                    shared.to_read.ring();
                }
            }
            [kind, ..] if kind.bytes() == Some(b"pong") && awaited == 0 => {
                answered(shared, &mut unanswered);
            }
            [kind, channel, payload] if kind.bytes() == Some(b"message") => {
                heard(shared, channel, payload, &mut told);
            }
            [kind, _, channel, payload] if kind.bytes() == Some(b"pmessage") => {
                heard(shared, channel, payload, &mut told);
            }
            _ => {}
        }
    }
}
