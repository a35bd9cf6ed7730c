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
    // Questions to be asked again, the oldest first.
    let mut again: VecDeque<(Instant, Question)> = VecDeque::new();
    loop {
        let wait = again.front().map(|(due, _)| due.saturating_duration_since(Instant::now()));
        let asked = match wait {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(wait) => inbox.recv_timeout(wait),
        };
        let (question, is_first) = match (asked, again.pop_front()) {
            (Ok(question), due) => {
                if let Some(due) = due {
                    again.push_front(due);
                }
                (question, true)
            }
            (Err(RecvTimeoutError::Timeout), Some((_, question))) => (question, false),
            (Err(RecvTimeoutError::Timeout), None) => continue,
            (Err(RecvTimeoutError::Disconnected), _) => return,
        };
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
