//! Sends each request to the file that answers it.

use std::sync::Arc;

use super::{
    accounts, allow, ban, banned, explain, failregex, fleet, ignoreip, import, list, metrics,
    pause, settings, status, top, unban, verify,
};
use crate::control::status::Detail;
use crate::control::{Answer, Request};
use crate::daemon::Daemon;
use crate::model::orders::Caller;

/// Answers a request of `caller`.
pub(super) async fn dispatch(daemon: &Arc<Daemon>, request: Request, caller: Caller) -> Answer {
    match request {
        Request::Status(request) => status::answer(daemon, request).await.into(),
        Request::Metrics => metrics::answer(daemon).await.into(),
        Request::Reload => daemon.reload().await.into(),
        Request::Ban(request) => ban::answer(daemon, request, caller).await.into(),
        Request::Unban(request) => unban::answer(daemon, request, caller).await.into(),
        Request::Pause(request) => pause::answer(daemon, request, caller).await.into(),
        Request::Resume(request) => pause::resume(daemon, request, caller).await.into(),
        Request::Allow(request) => allow::answer(daemon, request, caller).await.into(),
        Request::Allowed => allow::list(daemon).await.into(),
        Request::Accounts => accounts::list(daemon).await.into(),
        Request::Acknowledge(request) => {
            accounts::acknowledge(daemon, request, caller).await.into()
        }
        Request::ForgetAccount(request) => accounts::forget(daemon, request, caller).await.into(),
        Request::Import(request) => import::answer(daemon, request, caller).await.into(),
        Request::Failregex(request) => failregex::answer(daemon, request).await.into(),
        Request::Settings(request) => settings::answer(daemon, request).await.into(),
        Request::Explain(request) => explain::answer(daemon, request).await.into(),
        Request::Verify(request) => verify::answer(daemon, request).await.into(),
        Request::Ignoreip(request) => ignoreip::answer(daemon, request).await.into(),
        Request::Banned(request) => banned::answer(daemon, request).await.into(),
        Request::List(request) => list::answer(daemon, request).await.into(),
        Request::Top(request) => top::answer(daemon, request).await.into(),
        Request::Fleet => fleet::answer(daemon).await.into(),
    }
}

/// Whether the answer may be of many megabytes.
pub(super) fn may_be_long(request: &Request) -> bool {
    match request {
        Request::Status(request) => request.detail == Detail::Full,
        Request::Banned(request) => request.host.is_none_or(|host| !host.0.is_one_address()),
        Request::List(request) => request.host.is_none(),
        Request::Accounts | Request::Fleet => true,
        Request::Metrics
        | Request::Reload
        | Request::Ban(_)
        | Request::Unban(_)
        | Request::Allow(_)
        | Request::Allowed
        | Request::Acknowledge(_)
        | Request::ForgetAccount(_)
        | Request::Import(_)
        | Request::Pause(_)
        | Request::Resume(_)
        | Request::Failregex(_)
        | Request::Settings(_)
        | Request::Explain(_)
        | Request::Verify(_)
        | Request::Ignoreip(_)
        | Request::Top(_) => false,
    }
}
