//! The handle to the engine's thread, for the daemon's other threads and tasks.

use std::sync::mpsc::Sender;

use tokio::sync::oneshot;

use super::{Core, Message};
use crate::control::Problem;

/// Handle to the engine's thread.
#[derive(Clone)]
pub struct EngineHandle(Sender<Message>);

impl EngineHandle {
    /// Returns a handle to the thread that reads the other end.
    #[must_use]
    pub fn new(inbox: Sender<Message>) -> Self {
        Self(inbox)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the engine has ended.
    pub fn send(&self, message: Message) -> Result<(), Problem> {
        self.0.send(message).map_err(|_| stopping())
    }

    /// Returns what wakes the engine, so that it polls its sources.
    pub fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let inbox = self.0.clone();
        // Fails when the engine has ended.
        move || drop(inbox.send(Message::Wake))
    }

    /// Runs `question` on the engine's thread and returns its answer. It must not wait for anything:
    /// no line is read meanwhile.
    ///
    /// # Errors
    /// When the engine ends.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Run(Box::new(move |core| {
            // Whoever asked may have gone away.
            drop(reply.send(question(core)));
        })))?;
        answer.await.map_err(|_| stopping())
    }

    /// Does the same as [`EngineHandle::ask`], but returns only when a crash no longer undoes what was done.
    ///
    /// # Errors
    /// When the engine ends.
    pub async fn order<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Run(Box::new(move |core| {
            let done = order(core);
            core.recorder.then(move || drop(reply.send(done)));
        })))?;
        answer.await.map_err(|_| stopping())
    }
}

fn stopping() -> Problem {
    Problem::failed("asterguard is stopping")
}
