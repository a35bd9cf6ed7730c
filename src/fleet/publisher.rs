//! Publishes the bans of this guard's own on the server: each as it happens, many together, and snapshots of all.

use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::client::{Client, refusal};
use super::keys::PrivateKey;
use super::record::{Operation, Position, Record};
use super::resp::{Commands, Reply};
use super::shared::Shared;
use super::{former, layout, snapshot, state_file};
use crate::model::backoff;
use crate::model::subject::Subject;
use crate::model::trouble::Trouble;
use crate::sys::clock::{monotonic_now, now};
use crate::sys::mutex::lock;

/// The shortest and the longest pause after trouble.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// Bans that are sent together.
const BATCH: usize = 64;
/// More bans than these at once go into a snapshot, and not one by one to each peer.
const MANY: usize = 500;
/// Records after which there is another snapshot, and the time after which there is one if anything changed.
const SNAPSHOT_RECORDS: u64 = 500;
const SNAPSHOT_TIME: i64 = 600_000;
/// The time after which bans that end by themselves are taken out of a snapshot, and its keys kept from ending.
const SNAPSHOT_DAY: i64 = 86_400_000;
/// The time for which the server keeps a snapshot, a stream: that of a node that is gone for good ends.
const KEPT: &[u8] = b"2592000000";
/// Records that the server keeps for those that were away for a moment: some more than are said between two snapshots.
const STREAM: &[u8] = b"2000";
/// The time between two looks at the server, and after which its clock is asked again, in milliseconds.
const LOOK: i64 = 10_000;
const CLOCK: i64 = 60_000;
/// Peers with which there is a heartbeat at each look. With more they are rarer, so that no node hears more than ten a
/// second.
const CROWD: usize = 100;

/// What this node said last, and when.
pub struct Publisher {
    shared: Arc<Shared>,
    key: PrivateKey,
    state: PathBuf,
    at: Position,
    /// Records since the snapshot, its time and its blocks; `None`: the server has none of this start.
    snapshot: Option<(u64, i64, usize)>,
    /// When the last look at the server was; `None`: the next one is due.
    looked: Option<i64>,
    /// When the last heartbeat was; `None`: the next one is due.
    beat: Option<i64>,
    clock: i64,
    /// Whether bans that an earlier start has published, and that are no more, are found out.
    has_compared: bool,
}

impl Publisher {
    /// Returns a publisher that has said nothing yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, key: PrivateKey, state: PathBuf, epoch: u64) -> Self {
        let at = Position { epoch, sequence: 0 };
        Self {
            shared,
            key,
            state,
            at,
            snapshot: None,
            looked: None,
            beat: None,
            clock: 0,
            has_compared: false,
        }
    }

    /// Publishes, for ever.
    pub fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            let began = monotonic_now();
            let Err(trouble) = self.connected();
            self.shared.is_down(&self.shared.publisher, &trouble);
            // What was on its way may have been lost, so the next snapshot is to have it.
            self.snapshot = None;
            if monotonic_now().since(began) > Duration::from_secs(60) {
                failures = 0;
            }
            let chance = RandomState::new().hash_one(0);
            thread::sleep(backoff::wait(FIRST, LONGEST, failures, chance));
            failures = failures.saturating_add(1);
        }
    }

    fn connected(&mut self) -> Result<std::convert::Infallible, Trouble> {
        let shared = Arc::clone(&self.shared);
        let mut client = Client::connect(&shared.fleet)?;
        self.ask_clock(&mut client)?;
        self.pass_former(&mut client)?;
        // Another server may be there now, or this one without what it had.
        let own = lock(&shared.own).hosts();
        let there = former::there(&mut client, &shared.fleet.node, &own)?;
        lock(&shared.own).found(&own, &there);
        lock(&shared.admission).orders.say_again(&shared.fleet.node, shared.moment());
        (self.looked, self.beat, self.clock) = (None, None, monotonic_now().millis());
        let mut seen = 0;
        loop {
            let epoch = shared.epoch();
            if epoch != seen {
                // This connection may be lost as well: the look asks the server.
                self.looked = None;
            }
            self.turn(&mut client)?;
            shared.is_up(&shared.publisher, epoch);
            seen = epoch;
            let due = self.looked.map_or(0, |looked| looked.saturating_add(LOOK));
            let pause = due - monotonic_now().millis();
            let waits = lock(&shared.own).counts().1 > 0 && lock(&shared.own).is_known();
            if pause > 0 && !waits {
                shared.to_publish.wait(Duration::from_millis(pause.unsigned_abs()));
            }
        }
    }

    /// Does what is due.
    fn turn(&mut self, client: &mut Client) -> Result<(), Trouble> {
        let at = monotonic_now().millis();
        if at >= self.clock.saturating_add(CLOCK) {
            self.ask_clock(client)?;
            self.clock = at;
            lock(&self.shared.own).end(now());
        }
        if !self.has_compared && lock(&self.shared.own).is_known() {
            let before = former::hosts(client, &self.shared.fleet.node, &self.key.public())?;
            lock(&self.shared.own).found(&[], &before);
            self.has_compared = true;
        }
        self.publish(client)?;
        if self.is_snapshot_due(at) {
            self.write_snapshot(client)?;
            (self.looked, self.beat) = (None, None);
        }
        if self.looked.is_none_or(|looked| at >= looked.saturating_add(LOOK)) {
            self.look(client, at)?;
        }
        Ok(())
    }

    fn ask_clock(&self, client: &mut Client) -> Result<(), Trouble> {
        let reply = client.ask_one(&[b"TIME"])?.items();
        let number = |place: usize| -> Option<i64> {
            std::str::from_utf8(reply.get(place)?.bytes()?).ok()?.parse().ok()
        };
        let read = number(0).zip(number(1));
        let (seconds, micros) =
            read.ok_or_else(|| client.refused("the answer to TIME makes no sense"))?;
        self.shared.set_clock(seconds.saturating_mul(1000).saturating_add(micros / 1000));
        Ok(())
    }

    /// Takes an epoch above that of an earlier start whose state was lost, as the server tells it. It is believed only with
    /// our own signature.
    fn pass_former(&mut self, client: &mut Client) -> Result<(), Trouble> {
        let stream = layout::stream(&self.shared.fleet.node);
        let last = client.ask_one(&[b"XREVRANGE", &stream, b"+", b"-", b"COUNT", b"1"])?.items();
        let last = last.first().and_then(record_of).and_then(|bytes| self.own(bytes));
        let head = client.ask_one(&[b"GET", &layout::head(&self.shared.fleet.node)])?;
        let head = head.bytes().and_then(|bytes| {
            let head = snapshot::Head::read(bytes).ok()?;
            snapshot::Head::is_signed(bytes, &self.key.public()).then_some(head.at)
        });
        let former = last.max(head).filter(|former| *former > self.at);
        if let Some(former) = former {
            self.at = Position { epoch: former.epoch.saturating_add(1), sequence: 0 };
            if let Err(error) = state_file::keep_epoch(&self.state, self.at.epoch) {
                eprintln!("<4>{}: {error}", self.state.display());
            }
        }
        Ok(())
    }

    fn own(&self, bytes: &[u8]) -> Option<Position> {
        let record = Record::read(bytes).ok()?;
        Record::is_signed(bytes, &self.key.public()).then_some(record.at)
    }

    /// Publishes what the server lacks.
    fn publish(&mut self, client: &mut Client) -> Result<(), Trouble> {
        self.pass_orders_on(client)?;
        loop {
            let (known, waiting) = {
                let own = lock(&self.shared.own);
                (own.is_known(), own.counts().1)
            };
            if !known || waiting == 0 {
                return Ok(());
            }
            if waiting > MANY {
                self.publish_many(client)?;
                continue;
            }
            let hosts = lock(&self.shared.own).take(BATCH);
            let commands = self.one_by_one(&hosts);
            if let Err(trouble) = all_taken(client, &commands) {
                lock(&self.shared.own).give_back(&hosts);
                return Err(trouble);
            }
        }
    }

    /// Publishes the operator's orders that were given here.
    fn pass_orders_on(&mut self, client: &mut Client) -> Result<(), Trouble> {
        let orders = lock(&self.shared.admission).orders.unsaid();
        for order in orders {
            let mut commands = Commands::default();
            let signed = self.next_record(Operation::Unban(order.clone()));
            self.say(&mut commands, &signed, None);
            all_taken(client, &commands)?;
            lock(&self.shared.admission).orders.said(&order);
        }
        Ok(())
    }

    /// Returns the commands that say of each host whether it is banned.
    fn one_by_one(&mut self, hosts: &[Subject]) -> Commands {
        let mut commands = Commands::default();
        for host in hosts {
            let signed = lock(&self.shared.own).signed(host, now(), self.shared.moment().server);
            let lasts = signed.as_ref().map(|ban| ban.duration.to_string());
            let operation = signed
                .map_or_else(|| Operation::Lift(super::record::Host::of(host)), Operation::Ban);
            let record = self.next_record(operation);
            self.say(&mut commands, &record, Some((host, lasts)));
        }
        commands
    }

    /// Says a record in one transaction, and what becomes of the key of a ban.
    fn say(&self, commands: &mut Commands, record: &[u8], ban: Option<(&Subject, Option<String>)>) {
        let node = &self.shared.fleet.node;
        let id = format!("{}-{}", self.at.epoch, self.at.sequence);
        commands.add(&[b"MULTI"]);
        match ban {
            Some((host, Some(lasts))) => {
                commands.add(&[b"SET", &layout::ban(node, host), record, b"PX", lasts.as_bytes()]);
            }
            Some((host, None)) => commands.add(&[b"DEL", &layout::ban(node, host)]),
            None => {}
        }
        let stream = layout::stream(node);
        commands.add(&[b"XADD", &stream, b"MAXLEN", b"~", STREAM, id.as_bytes(), b"r", record]);
        commands.add(&[b"PUBLISH", &layout::channel(node), record]);
        commands.add(&[b"EXEC"]);
    }

    fn next_record(&mut self, operation: Operation) -> Vec<u8> {
        self.at.sequence = self.at.sequence.saturating_add(1);
        if let Some((records, ..)) = &mut self.snapshot {
            *records = records.saturating_add(1);
        }
        Record::new(self.shared.fleet.node.clone(), self.at, operation).sign(&self.key)
    }

    /// Sets the keys of many bans. Peers read them from a snapshot.
    fn publish_many(&mut self, client: &mut Client) -> Result<(), Trouble> {
        let node = self.shared.fleet.node.clone();
        loop {
            let hosts = lock(&self.shared.own).take(1000);
            if hosts.is_empty() {
                break;
            }
            let mut commands = Commands::default();
            for host in &hosts {
                let key = layout::ban(&node, host);
                let signed =
                    lock(&self.shared.own).signed(host, now(), self.shared.moment().server);
                match signed {
                    Some(ban) => {
                        let lasts = ban.duration.to_string();
                        commands.add(&[b"SET", &key, b"s", b"PX", lasts.as_bytes()]);
                    }
                    None => commands.add(&[b"DEL", &key]),
                }
            }
            if let Err(trouble) = all_taken(client, &commands) {
                lock(&self.shared.own).give_back(&hosts);
                return Err(trouble);
            }
        }
        self.at.sequence = self.at.sequence.saturating_add(1);
        self.write_snapshot(client)?;
        self.beat = None;
        self.look(client, monotonic_now().millis())
    }

    fn is_snapshot_due(&self, at: i64) -> bool {
        if !lock(&self.shared.own).is_known() {
            return false;
        }
        self.snapshot.is_none_or(|(records, written, _)| {
            let age = at.saturating_sub(written);
            records >= SNAPSHOT_RECORDS
                || (records > 0 && age > SNAPSHOT_TIME)
                || age > SNAPSHOT_DAY
        })
    }

    fn write_snapshot(&mut self, client: &mut Client) -> Result<(), Trouble> {
        let node = self.shared.fleet.node.clone();
        let bans = lock(&self.shared.own).all(now(), self.shared.moment().server);
        let written = snapshot::write(node.clone(), self.at, &bans, &self.key);
        for (number, block) in written.blocks.iter().enumerate() {
            client.ask_one(&[b"SET", &layout::block(&node, number), block, b"PX", KEPT])?;
        }
        client.ask_one(&[b"SET", &layout::head(&node), &written.head, b"PX", KEPT])?;
        client.ask_one(&[b"PEXPIRE", &layout::stream(&node), KEPT])?;
        let blocks = written.blocks.len();
        for number in blocks..self.snapshot.map_or(0, |(.., blocks)| blocks) {
            client.ask_one(&[b"DEL", &layout::block(&node, number)])?;
        }
        self.snapshot = Some((0, monotonic_now().millis(), blocks));
        // It has no orders: whoever reads it goes on with what comes after it.
        lock(&self.shared.admission).orders.say_again(&node, self.shared.moment());
        self.pass_orders_on(client)
    }

    /// Looks whether the server has lost everything, and says, if it is time, that this node is there.
    fn look(&mut self, client: &mut Client, at: i64) -> Result<(), Trouble> {
        self.looked = Some(at);
        let node = self.shared.fleet.node.clone();
        let pause = heartbeat_pause(self.shared.fleet.peers.len());
        if self.beat.is_none_or(|beat| at >= beat.saturating_add(pause)) {
            let operation = Operation::Heartbeat { clock: now().millis() };
            let record = Record::new(node.clone(), self.at, operation).sign(&self.key);
            client.ask_one(&[b"PUBLISH", &layout::channel(&node), &record])?;
            self.beat = Some(at);
        }
        let there = client.ask_one(&[b"EXISTS", &layout::head(&node)])?;
        if there == Reply::Number(0) {
            self.snapshot = None;
            lock(&self.shared.own).all_lost();
        }
        Ok(())
    }
}

/// Returns the time between two heartbeats of a node with so many peers, in milliseconds.
fn heartbeat_pause(peers: usize) -> i64 {
    LOOK.saturating_mul(i64::try_from(peers.div_ceil(CROWD)).unwrap_or(i64::MAX).max(1))
}

/// Returns the record in an entry of a stream.
#[must_use]
pub fn record_of(entry: &Reply) -> Option<&[u8]> {
    let Reply::Array(parts) = entry else { return None };
    let Reply::Array(fields) = parts.get(1)? else { return None };
    match fields.as_slice() {
        [name, value, ..] if name.bytes() == Some(b"r") => value.bytes(),
        _ => None,
    }
}

/// Sends commands that the server may not refuse.
fn all_taken(client: &mut Client, commands: &Commands) -> Result<(), Trouble> {
    let replies = client.ask(commands)?;
    match replies.iter().find_map(refusal) {
        Some(refusal) => Err(client.refused(&refusal)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_hears_more_than_ten_heartbeats_a_second() {
        for peers in [0, 1, 100, 101, 10_000] {
            let pause = heartbeat_pause(peers);
            assert!(
                pause >= LOOK && i64::try_from(peers).unwrap() * 1000 <= 10 * pause,
                "{peers}: {pause}"
            );
        }
        assert_eq!([1, 100, 10_000].map(heartbeat_pause), [10_000, 10_000, 1_000_000]);
    }
}
