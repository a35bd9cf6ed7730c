//! Asks the kernel whether anything was sent lately on the connection that a line is about, or to its host: in a thread of
//! its own, since the engine waits for nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "an edge: a service that is not Asterisk's may write its line before it answers"
)]

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::engine_thread::{EngineHandle, Message};
use crate::enforce::helper::{Channel, Request};
use crate::model::event::Event;
use crate::model::subject::Subject;

/// Lines that may wait for an answer, about 120 bytes each; a question takes a tenth of a millisecond. Further
/// ones count for nothing.
const QUEUE: usize = 4096;

/// A line about a service that had sent nothing yet is asked about once more after this time.
const AGAIN: Duration = Duration::from_secs(1);

/// The thread's inbox.
pub struct TalkedAsker(SyncSender<Question>);

/// A line, and the ports of the service that it is about; none if that is Asterisk.
struct Question {
    line: Event,
    service: Vec<u16>,
}

impl TalkedAsker {
    /// Starts the thread, which asks by `channel` and tells the engine.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(channel: Channel, engine: EngineHandle) -> std::io::Result<Self> {
        let (sender, inbox) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("talked".into())
            .spawn(move || run(&inbox, &mut Kernel(channel), &engine))?;
        Ok(Self(sender))
    }

    /// Has it ask about a line; never waits. `service`: the ports of the service that the line is about, if that is not
    /// Asterisk. Returns whether there will be an answer.
    pub fn ask(&self, line: &Event, service: Vec<u16>) -> bool {
        self.0.try_send(Question { line: *line, service }).is_ok()
    }
}

fn run(inbox: &Receiver<Question>, kernel: &mut Kernel, engine: &EngineHandle) {
    let mut again = Again::default();
    while let Some((question, is_first)) = next(inbox, &mut again) {
        let sent = kernel.sent(&question);
        if sent.is_none() && is_first && !question.service.is_empty() && again.len() < QUEUE {
            again.push_back((Instant::now() + AGAIN, question));
            continue;
        }
        let line = question.line;
        let tell = Message::Run(Box::new(move |core| core.tell_talked(&line, sent)));
        if engine.send(tell).is_err() {
            return;
        }
    }
}

/// Questions to be asked again, the oldest first, and when.
type Again = VecDeque<(Instant, Question)>;

/// Waits for the next question, and says whether it is asked for the first time; `None`: there will be none. What is due comes
/// before what is new, or whoever writes lines without a pause would keep others from being counted.
fn next(inbox: &Receiver<Question>, again: &mut Again) -> Option<(Question, bool)> {
    loop {
        let wait = again.front().map(|(due, _)| due.saturating_duration_since(Instant::now()));
        let asked = match wait {
            Some(Duration::ZERO) => return again.pop_front().map(|(_, due)| (due, false)),
            Some(wait) => inbox.recv_timeout(wait),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match asked {
            Ok(question) => return Some((question, true)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// The way to the firewall helper.
struct Kernel(Channel);

impl Kernel {
    /// Returns how many segments went to the host lately: from the ports of the service, if it is one, and to the port that the
    /// line names, if it names one. What the kernel does not tell counts as nothing.
    fn sent(&mut self, Question { line, service }: &Question) -> Option<u64> {
        if service.is_empty() {
            return self.count(&Request::Talked(Subject::flow(line.host, line.clue.port)?));
        }
        let from = service.iter().filter_map(|port| Subject::flow(line.host, *port));
        let served: Vec<u64> = from.filter_map(|flow| self.count(&Request::Served(flow))).collect();
        if served.is_empty() {
            return None;
        }
        match Subject::flow(line.host, line.clue.port) {
            Some(flow) => self.count(&Request::Talked(flow)),
            None => Some(served.into_iter().fold(0, u64::saturating_add)),
        }
    }

    fn count(&mut self, request: &Request<'_>) -> Option<u64> {
        self.0.call::<Option<u64>>(request).ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Basis, ChannelId, Class, Clue, Evidence, Meaning, RuleId};
    use crate::model::time::Time;

    fn question(number: u64) -> Question {
        let line = Event {
            time: Time::from_secs(1_800_000_000),
            channel: ChannelId(0),
            rule: RuleId(0),
            meaning: Meaning::Offence(Class::Guess),
            host: "192.0.2.1".parse().unwrap(),
            evidence: Evidence::Unverified,
            line: number,
            account: None,
            basis: Basis::Text,
            clue: Clue::default(),
        };
        Question { line, service: vec![22] }
    }

    #[test]
    fn what_is_due_is_asked_before_what_is_new() {
        let (sender, inbox) = sync_channel(QUEUE);
        (1..=9).for_each(|number| sender.send(question(number)).unwrap());
        let (past, later) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
        let mut again = Again::from([(past, question(100)), (later, question(200))]);
        let mut order = Vec::new();
        while order.len() < 10 {
            let (question, is_first) = next(&inbox, &mut again).unwrap();
            order.push((question.line.line, is_first));
        }
        let new: Vec<_> = (1..=9).map(|number| (number, true)).collect();
        assert_eq!(order[0], (100, false));
        assert_eq!(order[1..], new);
        // At the end, nobody waits for what is due in an hour.
        drop(sender);
        assert!(next(&inbox, &mut again).is_none());
    }
}
