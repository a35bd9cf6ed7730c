//! What a notifier has yet to tell: a value that is kept in a file. Pure: times are arguments.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::batch::Batch;
use super::protocol::{LONGEST_WORDS, NotifyStatus};
use super::schedule::{self, MOST_SINGLE};
use super::words::plain;
use crate::config::Notifier;
use crate::config::notify::Topic;
use crate::model::backoff;
use crate::model::guard_event::GuardEvent;
use crate::model::time::Time;
use crate::model::trouble::Trouble;

/// The shortest time before a message is tried again; it doubles …
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// A message that could not be sent for so long is given up.
pub const GIVEN_UP: Duration = Duration::from_secs(2 * 86_400);
/// Bytes of a file: the messages on their way and the events that wait, at their largest.
pub const MOST_FILE: usize = 8 << 20;
/// Times of messages that a file may hold.
const MOST_SENT: usize = 4096;
/// The version of the file.
const VERSION: u32 = 1;

/// What a notifier has yet to tell. It takes at most two [`MOST_BYTES`](super::batch::MOST_BYTES) and some KiB: what comes
/// while a message waits is gathered, and of most of it only the number is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    version: u32,
    /// Events that no message has yet.
    waiting: Batch,
    /// When the first of them came.
    first: Time,
    /// Messages on their way, the next one first.
    outgoing: VecDeque<Batch>,
    /// How often the next one was tried in vain, since when, and when it is tried again.
    tries: u32,
    tried: Option<Time>,
    again: Time,
    /// Since when no message was sent, though one was tried.
    failing: Option<Time>,
    /// When the last messages were sent, oldest first.
    times: Vec<Time>,
    sent: u64,
    dropped: u64,
    /// Why the last try failed, and what to do.
    why: Option<(String, String)>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            version: VERSION,
            waiting: Batch::default(),
            first: Time::default(),
            outgoing: VecDeque::new(),
            tries: 0,
            tried: None,
            again: Time::default(),
            failing: None,
            times: Vec::new(),
            sent: 0,
            dropped: 0,
            why: None,
        }
    }
}

/// A file holds no queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is not what was written there")]
pub struct Damaged;

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this, and say what became of it.
    Send(Batch),
    /// Nothing until then, or until more comes; `None`: there is nothing to send.
    Wait(Option<Time>),
}

/// A message that was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why, and what to do.
    pub trouble: Trouble,
    /// Whether another try makes sense.
    pub lasting: Lasting,
}

/// Whether a message that was not sent is worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// The receiver does not answer, or does not let us in: it may later.
    ForNow,
    /// The receiver has read this message, and does not want it.
    ForGood,
}

impl Queue {
    /// Reads the content of a file.
    ///
    /// # Errors
    /// When it is not one that [`Queue::write`] made.
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        if bytes.len() > MOST_FILE {
            return Err(Damaged);
        }
        let queue: Self = serde_json::from_slice(bytes).map_err(|_| Damaged)?;
        let is_right = queue.version == VERSION
            && queue.waiting.is_bounded()
            && queue.outgoing.len() <= MOST_SINGLE
            && queue.outgoing.iter().all(|batch| batch.is_bounded() && !batch.is_empty())
            && queue.times.len() <= MOST_SENT;
        if is_right { Ok(queue) } else { Err(Damaged) }
    }

    /// Returns the content of a file.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Adds an event, if this notifier tells such events.
    pub fn add(&mut self, notifier: &Notifier, event: &GuardEvent, now: Time) -> bool {
        let is_told = is_told(notifier, event);
        if is_told {
            if self.waiting.is_empty() {
                self.first = now;
            }
            self.waiting.add(event.clone());
        }
        is_told
    }

    /// Returns what is to be done now.
    pub fn next(&mut self, notifier: &Notifier, now: Time, zone: &TimeZone) -> Next {
        let is_set_back = |then: Time, longest: Duration| then > now.plus(longest);
        self.give_up(now);
        if self.outgoing.is_empty() {
            if self.waiting.is_empty() {
                return Next::Wait(None);
            }
            let first = self.first.min(now);
            schedule::forget(notifier, &mut self.times, now);
            let due = schedule::due(notifier, first, &self.times, now, zone);
            if due > now {
                return Next::Wait(Some(due));
            }
            self.promote(notifier, now);
        }
        if let Some(end) = notifier.quiet.and_then(|quiet| schedule::quiet_until(quiet, now, zone))
        {
            return Next::Wait(Some(end));
        }
        if self.again > now && !is_set_back(self.again, LONGEST_WAIT) {
            return Next::Wait(Some(self.again));
        }
        match self.outgoing.front() {
            Some(batch) => Next::Send(batch.clone()),
            None => Next::Wait(None),
        }
    }

    /// Makes messages of what waits: one for each event if there are few, otherwise one for all.
    fn promote(&mut self, notifier: &Notifier, now: Time) {
        let batch = std::mem::take(&mut self.waiting);
        let room = schedule::room(notifier, &self.times, now) as u64;
        let is_apart = notifier.digest.is_zero() && batch.total() <= room;
        // What waited for the end of quiet hours is told together.
        let is_apart = is_apart
            && (notifier.quiet.is_none() || now.since(self.first) < 2 * schedule::GATHERED);
        match if is_apart { batch.apart() } else { Err(batch) } {
            Ok(singles) => self.outgoing.extend(singles),
            Err(batch) => self.outgoing.push_back(batch),
        }
        (self.tries, self.tried, self.again) = (0, None, Time::default());
    }

    fn give_up(&mut self, now: Time) {
        if self.tried.is_some_and(|since| now.since(since) >= GIVEN_UP) {
            self.drop_front();
        }
    }

    fn drop_front(&mut self) {
        if let Some(batch) = self.outgoing.pop_front() {
            self.dropped = self.dropped.saturating_add(batch.total());
        }
        // The next one has tries of its own.
        (self.tries, self.tried, self.again) = (0, None, Time::default());
    }

    /// Takes up that the message of [`Next::Send`] was sent.
    pub fn done(&mut self, now: Time) {
        self.outgoing.pop_front();
        self.sent = self.sent.saturating_add(1);
        self.times.push(now);
        (self.tries, self.tried, self.again) = (0, None, Time::default());
        (self.failing, self.why) = (None, None);
    }

    /// Takes up that the message of [`Next::Send`] was not sent; `chance` is any number.
    pub fn failed(&mut self, failure: &Failure, now: Time, chance: u64) {
        let Trouble { seen, todo } = &failure.trouble;
        self.why = Some((plain(seen, LONGEST_WORDS), plain(todo, LONGEST_WORDS)));
        self.tried = Some(self.tried.unwrap_or(now));
        self.failing = Some(self.failing.unwrap_or(now));
        match failure.lasting {
            Lasting::ForGood => self.drop_front(),
            Lasting::ForNow => {
                let wait = backoff::wait(FIRST_WAIT, LONGEST_WAIT, self.tries, chance);
                self.tries = self.tries.saturating_add(1);
                self.again = now.plus(wait);
            }
        }
    }

    /// Returns the state for people.
    #[must_use]
    pub fn status(&self, notifier: &Notifier) -> NotifyStatus {
        let outgoing = self.outgoing.iter().map(Batch::total);
        let queued = outgoing.fold(self.waiting.total(), u64::saturating_add);
        let (why, todo) = self.why.clone().unzip();
        NotifyStatus {
            name: notifier.name.clone(),
            kind: notifier.kind().to_owned(),
            sent: self.sent,
            queued,
            dropped: self.dropped,
            failing_since: self.failing.map(Time::secs),
            why,
            todo,
        }
    }
}

/// Whether a notifier tells such events.
#[must_use]
pub fn is_told(notifier: &Notifier, event: &GuardEvent) -> bool {
    let of_jail = event
        .jail
        .as_deref()
        .is_none_or(|jail| notifier.jail.iter().any(|pattern| pattern.matches(jail)));
    let by_evidence = event.evidence.is_none_or(|evidence| notifier.evidence.contains(&evidence));
    notifier.on.contains(&Topic::Event(event.kind)) && of_jail && by_evidence
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::event::Evidence;
    use crate::model::guard_event::EventKind;
    use crate::notify::tests::{any_event, ban, notifier};

    const NOW: Time = Time::from_secs(1_795_308_766);

    fn later(seconds: u64) -> Time {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn failure(lasting: Lasting) -> Failure {
        Failure { trouble: Trouble::new("no\nanswer", "see to it"), lasting }
    }

    fn with(count: usize) -> (Notifier, Queue) {
        let (notifier, mut queue) = (notifier(""), Queue::default());
        for number in 0..count {
            assert!(queue.add(&notifier, &ban(&format!("192.0.2.{}", number % 250)), NOW));
        }
        (notifier, queue)
    }

    fn next(queue: &mut Queue, notifier: &Notifier, at: Time) -> Next {
        queue.next(notifier, at, &TimeZone::UTC)
    }

    /// The numbers of events of the messages that are sent.
    fn sent(queue: &mut Queue, notifier: &Notifier, at: Time) -> Vec<u64> {
        let mut all = Vec::new();
        while let Next::Send(batch) = next(queue, notifier, at) {
            all.push(batch.total());
            queue.done(at);
        }
        all
    }

    #[test]
    fn few_are_told_one_by_one_and_many_together() {
        let (notifier, mut queue) = with(3);
        assert_eq!(next(&mut queue, &notifier, NOW), Next::Wait(Some(later(2))));
        assert_eq!(sent(&mut queue, &notifier, later(2)), [1, 1, 1]);
        let (notifier, mut queue) = with(1000);
        assert_eq!(sent(&mut queue, &notifier, later(2)), [1000]);
        // Ten in a minute, and what comes then is one.
        let (notifier, mut queue) = with(10);
        assert_eq!(sent(&mut queue, &notifier, later(2)).len(), 10);
        for _ in 0..5 {
            queue.add(&notifier, &ban("192.0.2.7"), later(3));
        }
        assert_eq!(next(&mut queue, &notifier, later(10)), Next::Wait(Some(later(62))));
        assert_eq!(sent(&mut queue, &notifier, later(62)), [1, 1, 1, 1, 1]);
    }

    #[test]
    fn quiet_hours_end_with_one_digest() {
        let notifier = Notifier {
            quiet: notifier("kind='mail'\nto='a@b.c'\nquiet = '00:00-07:00'").quiet,
            ..notifier("")
        };
        let mut queue = Queue::default();
        queue.add(&notifier, &ban("192.0.2.7"), NOW);
        queue.add(&notifier, &GuardEvent::new(NOW, EventKind::Health, "logs: gone"), NOW);
        let Next::Wait(Some(end)) = next(&mut queue, &notifier, later(10)) else { panic!() };
        assert_eq!(end.utc(), "2026-11-22T07:00:00Z");
        assert_eq!(sent(&mut queue, &notifier, end), [2]);
    }

    #[test]
    fn what_fails_is_tried_again_and_given_up_after_days() {
        let (notifier, mut queue) = with(1);
        let Next::Send(batch) = next(&mut queue, &notifier, later(2)) else { panic!() };
        queue.failed(&failure(Lasting::ForNow), later(2), 0);
        let status = queue.status(&notifier);
        assert_eq!((status.queued, status.failing_since), (1, Some(later(2).secs())));
        assert_eq!(status.why.as_deref(), Some("no\u{fffd}answer"));
        assert!(matches!(next(&mut queue, &notifier, later(3)), Next::Wait(Some(_))));
        assert_eq!(next(&mut queue, &notifier, later(8)), Next::Send(batch));
        queue.add(&notifier, &ban("192.0.2.8"), later(9));
        for try_number in 0..50 {
            queue.failed(&failure(Lasting::ForNow), later(10 + try_number), 7);
        }
        // A clock that was set back by a year keeps nothing waiting.
        assert!(matches!(
            next(&mut queue, &notifier, Time::from_secs(1_000_000_000)),
            Next::Send(_)
        ));
        let days = NOW.plus(GIVEN_UP + Duration::from_secs(60));
        assert_eq!(sent(&mut queue, &notifier, days), [1]);
        let status = queue.status(&notifier);
        assert_eq!((status.sent, status.dropped, status.queued, status.why), (1, 1, 0, None));
    }

    #[test]
    fn what_is_refused_does_not_keep_others_waiting() {
        let (notifier, mut queue) = with(2);
        assert!(matches!(next(&mut queue, &notifier, later(2)), Next::Send(_)));
        queue.failed(&failure(Lasting::ForGood), later(2), 0);
        let status = queue.status(&notifier);
        assert_eq!((status.dropped, status.queued), (1, 1));
        assert_eq!(status.failing_since, Some(later(2).secs()));
        assert!(matches!(next(&mut queue, &notifier, later(3)), Next::Send(_)));
        queue.failed(&failure(Lasting::ForGood), later(3), 0);
        queue.add(&notifier, &ban("192.0.2.9"), later(4));
        assert!(matches!(next(&mut queue, &notifier, later(9)), Next::Send(_)));
        assert_eq!(queue.status(&notifier).failing_since, Some(later(2).secs()));
        assert_eq!(sent(&mut queue, &notifier, later(9)), [1]);
        assert_eq!(queue.status(&notifier).failing_since, None);
    }

    #[test]
    fn only_what_is_asked_for_is_told() {
        let notifier = notifier(
            "kind='mail'\nto='a@b.c'\non=['ban','login-from-new-network']\njail='asterisk-*'\nevidence='proven'",
        );
        let told = |event: &GuardEvent| is_told(&notifier, event);
        assert!(told(&ban("192.0.2.7")));
        assert!(!told(&GuardEvent { jail: Some("manual".to_owned()), ..ban("192.0.2.7") }));
        assert!(!told(&GuardEvent { evidence: Some(Evidence::Unverified), ..ban("192.0.2.7") }));
        assert!(told(&GuardEvent { evidence: None, jail: None, ..ban("192.0.2.7") }));
        assert!(told(&GuardEvent::new(NOW, EventKind::Login, "new")));
        assert!(!told(&GuardEvent::new(NOW, EventKind::Health, "bad")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_queue_or_damaged(bytes: Vec<u8>, cut in 0..2000_usize, flip in 0..2000_usize) {
            let _ = Queue::read(&bytes);
            let mut written = with(3).1.write();
            let place = flip % written.len();
            written[place] ^= 1;
            let _ = Queue::read(&written);
            written.truncate(cut);
            prop_assert_eq!(Queue::read(&written[..cut.min(written.len()) / 2]), Err(Damaged));
        }

        #[test]
        fn what_is_written_is_read(events in prop::collection::vec(any_event(), 0..30)) {
            let (mut notifier, mut queue) = with(0);
            notifier.on = EventKind::ALL.map(|(kind, _)| Topic::Event(kind)).to_vec();
            for event in &events {
                queue.add(&notifier, event, NOW);
            }
            let _ = queue.next(&notifier, later(5), &TimeZone::UTC);
            prop_assert!(queue.write().len() <= MOST_FILE);
            prop_assert_eq!(Queue::read(&queue.write()), Ok(queue));
        }
    }
}
