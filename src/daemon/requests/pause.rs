//! `pause` and `resume`: stop dropping for a while, and drop again.

use std::time::Duration;

use tokio::sync::oneshot;
use tracing::info;

use super::kernel_is_silent;
use crate::control::pause::PauseRequest;
use crate::control::{Done, Problem};
use crate::daemon::Daemon;
use crate::model::pause::Pause;
use crate::sys::clock::now;

pub(super) async fn answer(daemon: &Daemon, request: PauseRequest) -> Result<Done, Problem> {
    let length = request.seconds.map(Duration::from_secs);
    set(daemon, Pause::lasting(length, now())).await
}

pub(super) async fn resume(daemon: &Daemon) -> Result<Done, Problem> {
    set(daemon, Pause::Off).await
}

async fn set(daemon: &Daemon, pause: Pause) -> Result<Done, Problem> {
    let (reply, answer) = oneshot::channel();
    let pass_on = move |result| drop(reply.send(result));
    daemon.engine.ask(move |core| core.worker.pause(pause, pass_on)).await?;
    answer.await.map_err(|_| kernel_is_silent())?.map_err(Problem::failed)?;
    daemon.engine.ask(move |core| core.paused = pause).await?;
    info!("{pause}");
    Ok(Done::new(pause.to_string()))
}
