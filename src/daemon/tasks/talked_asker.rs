//! Asks the kernel whether the PBX sent anything lately on the connection that a line is about: in a thread of its
//! own, since the engine waits for nothing.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::daemon::engine_thread::{EngineHandle, Message};
use crate::enforce::helper::{Channel, Request};
use crate::model::event::Event;
use crate::model::subject::Subject;

/// Lines that may wait for an answer, about 90 bytes each; a question takes a tenth of a millisecond. Further
/// ones count for nothing.
const QUEUE: usize = 4096;

/// The thread's inbox.
pub struct TalkedAsker(SyncSender<Event>);

impl TalkedAsker {
    /// Starts the thread, which asks by `channel` and tells the engine.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(channel: Channel, engine: EngineHandle) -> std::io::Result<Self> {
        let (sender, inbox) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("talked".into())
            .spawn(move || run(&inbox, channel, &engine))?;
        Ok(Self(sender))
    }

    /// Has it ask about a line; never waits. Returns whether there will be an answer.
    pub fn ask(&self, line: &Event) -> bool {
        self.0.try_send(*line).is_ok()
    }
}

fn run(inbox: &Receiver<Event>, mut channel: Channel, engine: &EngineHandle) {
    while let Ok(line) = inbox.recv() {
        let flow = Subject::flow(line.host, line.clue.port);
        // What the kernel does not tell counts as nothing.
        let sent: Option<u64> =
            flow.and_then(|flow| channel.call(&Request::Talked(flow)).ok().flatten());
        let tell = Message::Run(Box::new(move |core| core.tell_talked(&line, sent)));
        if engine.send(tell).is_err() {
            return;
        }
    }
}
