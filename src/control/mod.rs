//! The control protocol between the command line and the daemon: one line of JSON each way. One file
//! for each request, with what it is answered by.

pub mod accounts;
pub mod allow;
pub mod ban;
pub mod banned;
pub mod explain;
pub mod failregex;
pub mod fleet;
pub mod geofence;
pub mod health;
pub mod ignoreip;
pub mod import;
pub mod list;
pub mod metrics;
pub mod pause;
pub mod reload;
pub mod settings;
pub mod status;
pub mod top;
pub mod unban;
pub mod verify;

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::config::Setting;
use crate::model::listed::ExemptNetwork;
use crate::model::subject::{NoSubject, Subject};
use accounts::{AccountReport, AcknowledgeRequest, ForgetAccountRequest};
use allow::{AllowRequest, AllowedReport};
use ban::BanRequest;
use banned::{BannedRequest, Dropped, NamedBan};
use explain::{ExplainRequest, HostReport};
use failregex::{FailregexRequest, RuleText};
use fleet::FleetReport;
use geofence::FenceReport;
use ignoreip::IgnoreipRequest;
use import::{ImportRequest, Imported};
use list::{BlockReport, FeedReport, KnownHost, ListRequest};
use metrics::Metrics;
use pause::{PauseRequest, ResumeRequest};
use settings::SettingsRequest;
use status::{Status, StatusRequest};
use top::{TopReport, TopRequest};
use unban::UnbanRequest;
use verify::{Verification, VerifyRequest};

/// The path of the socket that the daemon listens on unless it is told otherwise.
pub const SOCKET: &str = "/run/asterguard/asterguard.sock";

/// The longest request that the daemon reads, in bytes.
pub const LONGEST_REQUEST: u64 = 64 << 10;

/// A request as it is sent: `{"command": "ban", ...}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Request {
    /// The state of the guard, with one jail or all.
    Status(StatusRequest),
    /// The numbers of the guard, which name nobody.
    Metrics,
    /// Read configuration and rules again.
    Reload,
    /// Ban a host or network.
    Ban(BanRequest),
    /// Lift the bans in a network, or all.
    Unban(UnbanRequest),
    /// Let a host or network through, or no longer.
    Allow(AllowRequest),
    /// The networks that are let through by order.
    Allowed,
    /// The accounts that have logged in, and from which networks.
    Accounts,
    /// Networks of an account count as used.
    Acknowledge(AcknowledgeRequest),
    /// The networks of an account are learned anew.
    #[serde(rename = "forget-account")]
    ForgetAccount(ForgetAccountRequest),
    /// Take up bans of another guard, or of an earlier time.
    Import(ImportRequest),
    /// Stop dropping for a while.
    Pause(PauseRequest),
    /// Drop again.
    Resume(ResumeRequest),
    /// The failregexes that a jail counts.
    Failregex(FailregexRequest),
    /// The values of a jail that are in force.
    Settings(SettingsRequest),
    /// The knowledge of a host, and the reasons why it is banned or not.
    Explain(ExplainRequest),
    /// The differences between kernel, configuration and memory.
    Verify(VerifyRequest),
    /// The hosts that are never banned: by any jail, and by this one.
    Ignoreip(IgnoreipRequest),
    /// The bans in force, or those of a host.
    Banned(BannedRequest),
    /// The entries of a list, or those that hold a host.
    List(ListRequest),
    /// What there is to see for somebody who looks on.
    Top(TopRequest),
    /// The state of the fleet.
    Fleet,
}

/// An answer as it is sent: `{"answer": "done", ...}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Answer {
    /// It is done.
    Done(Done),
    /// It was not done.
    Failed(Problem),
    /// The state of the guard.
    Status(Box<Status>),
    /// The numbers of the guard.
    Metrics(Box<Metrics>),
    /// Failregexes.
    Failregex { rules: Vec<RuleText> },
    /// Values in force.
    Settings { settings: Vec<Setting> },
    /// The knowledge of a host.
    Explain(Box<HostReport>),
    /// The networks that are never banned, and why.
    Ignoreip { ignored: Vec<ExemptNetwork> },
    /// The differences between kernel, configuration and memory.
    Verification(Verification),
    /// The bans in force.
    Banned { bans: Vec<NamedBan> },
    /// The networks that are let through by order.
    Allowed { allowed: Vec<AllowedReport> },
    /// The accounts that have logged in.
    Accounts { accounts: Vec<AccountReport> },
    /// What has become of bans that were to be taken up.
    Imported(Imported),
    /// The entries of `block`.
    Block { blocked: Vec<BlockReport> },
    /// The feeds.
    Feed { feeds: Vec<FeedReport>, dropped: Dropped },
    /// The geofence.
    Countries { geofence: Option<Box<FenceReport>> },
    /// Hosts that are known good.
    #[serde(rename = "known-good")]
    KnownGood { known: Vec<KnownHost> },
    /// What there is to see for somebody who looks on.
    Top(Box<TopReport>),
    /// The state of the fleet.
    Fleet(Box<FleetReport>),
}

/// A request, and who it is that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The request.
    #[serde(flatten)]
    pub request: Request,
    /// The user who became root by `sudo`. The user id is told by the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sudo: Option<String>,
}

/// A host, a network, or one port of a host, as people write it. Who knows no ports takes none for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubjectText(pub Subject);

impl TryFrom<String> for SubjectText {
    type Error = NoSubject;

    fn try_from(text: String) -> Result<Self, NoSubject> {
        text.parse().map(Self)
    }
}

impl From<SubjectText> for String {
    fn from(SubjectText(subject): SubjectText) -> Self {
        subject.to_string()
    }
}

/// A request with the type of the reply that it gets when nothing is wrong.
pub trait Query {
    /// The type of the reply.
    type Reply: Into<Answer>;

    /// Returns the request as it is sent.
    fn request(&self) -> Request;

    /// Returns the reply from an answer; `None` if the answer is one to another request.
    fn reply(answer: Answer) -> Option<Self::Reply>;
}

/// A report of something that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// In words.
    pub message: String,
    /// Whether anything is other than before; not there where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
}

impl Done {
    /// Something was done; `message` says what.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), changed: None }
    }

    /// Something was to be done; `message` says what, and `changed` whether anything is other than before.
    #[must_use]
    pub fn changing(changed: bool, message: impl Into<String>) -> Self {
        Self { message: message.into(), changed: Some(changed) }
    }

    /// Returns it from an answer.
    fn of(answer: Answer) -> Option<Self> {
        match answer {
            Answer::Done(done) => Some(done),
            _ => None,
        }
    }
}

impl From<Done> for Answer {
    fn from(done: Done) -> Self {
        Self::Done(done)
    }
}

/// The reason why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// In words.
    pub message: String,
    /// Whether the request itself was wrong.
    pub usage: bool,
    /// Whether it is done when the caller says that it is sure.
    #[serde(default, skip_serializing_if = "ban::is_default")]
    pub unsure: bool,
}

impl Problem {
    /// Something did not work.
    #[must_use]
    pub fn failed(message: impl Display) -> Self {
        Self { message: message.to_string(), usage: false, unsure: false }
    }

    /// Returns the problem of a request that makes no sense.
    #[must_use]
    pub fn refused(message: impl Display) -> Self {
        Self { message: message.to_string(), usage: true, unsure: false }
    }

    /// Returns the problem of a request that only a caller who is sure gets done.
    #[must_use]
    pub fn unsure(message: impl Display) -> Self {
        Self { unsure: true, ..Self::refused(message) }
    }
}

impl<T: Into<Answer>> From<Result<T, Problem>> for Answer {
    fn from(result: Result<T, Problem>) -> Self {
        result.map_or_else(Self::Failed, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_format_of_requests_and_answers_stays() {
        let requests = [
            r#"{"command":"status","jail":null,"detail":"brief"}"#,
            r#"{"command":"metrics"}"#,
            r#"{"command":"reload"}"#,
            r#"{"command":"ban","host":"192.0.2.1","jail":"a","seconds":60,"permanent":false}"#,
            r#"{"command":"unban","net":"192.0.2.0/24","jail":null}"#,
            r#"{"command":"pause","seconds":900}"#,
            r#"{"command":"pause","seconds":null,"jail":"a"}"#,
            r#"{"command":"resume"}"#,
            r#"{"command":"resume","jail":"a"}"#,
            r#"{"command":"unban","net":null,"jail":"a","allow_seconds":60}"#,
            r#"{"command":"ban","host":"192.0.2.0/24","jail":null,"seconds":60,"permanent":false,"comment":"x","manner":"ensure","sure":true}"#,
            r#"{"command":"allow","host":"192.0.2.1","seconds":null}"#,
            r#"{"command":"allow","host":"192.0.2.1","seconds":1,"comment":"x","remove":true}"#,
            r#"{"command":"allowed"}"#,
            r#"{"command":"accounts"}"#,
            r#"{"command":"acknowledge","account":"1001"}"#,
            r#"{"command":"acknowledge","account":"1001","host":"203.0.113.0/24"}"#,
            r#"{"command":"acknowledge","host":"203.0.113.7"}"#,
            r#"{"command":"forget-account","account":"1001"}"#,
            r#"{"command":"import","bans":[]}"#,
            r#"{"command":"failregex","jail":"a"}"#,
            r#"{"command":"settings","jail":"a"}"#,
            r#"{"command":"explain","host":"192.0.2.1"}"#,
            r#"{"command":"verify","repair":true}"#,
            r#"{"command":"ignoreip","jail":null}"#,
            r#"{"command":"banned","host":null}"#,
            r#"{"command":"list","list":"known-good","host":null}"#,
            r#"{"command":"fleet"}"#,
            r#"{"command":"top","sort":"dropped","filter":"1000","rows":20,"observe":true}"#,
        ];
        for text in requests {
            let request: Request = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
        }
        let answers = [
            r#"{"answer":"done","message":"reloaded"}"#,
            r#"{"answer":"done","message":"banned","changed":true}"#,
            r#"{"answer":"failed","message":"no","usage":true,"unsure":true}"#,
            r#"{"answer":"allowed","allowed":[]}"#,
            r#"{"answer":"accounts","accounts":[]}"#,
            r#"{"answer":"imported","new":1,"known":2,"over":3,"earlier":0,"refused":[]}"#,
            r#"{"answer":"failed","message":"no","usage":true}"#,
            r#"{"answer":"failregex","rules":[{"rule":"a/b","failregex":["x"]}]}"#,
            r#"{"answer":"settings","settings":[{"section":"jail.a","key":"maxretry","value":"3","place":null}]}"#,
            r#"{"answer":"ignoreip","ignored":[]}"#,
            r#"{"answer":"verification","differences":[],"count":0,"repaired":false}"#,
            r#"{"answer":"banned","bans":[]}"#,
            r#"{"answer":"block","blocked":[]}"#,
            r#"{"answer":"feed","feeds":[],"dropped":{"packets":1,"bytes":2}}"#,
            r#"{"answer":"known-good","known":[]}"#,
        ];
        for text in answers {
            let answer: Answer = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&answer).unwrap(), text);
        }
    }

    #[test]
    fn a_call_is_a_request_with_a_name() {
        for (text, sudo) in [
            (r#"{"command":"reload"}"#, None),
            (r#"{"command":"resume","sudo":"alice"}"#, Some("alice")),
            (r#"{"command":"verify","repair":true,"sudo":"alice"}"#, Some("alice")),
        ] {
            let call: Call = serde_json::from_str(text).unwrap();
            assert_eq!(call.sudo.as_deref(), sudo);
            assert_eq!(serde_json::to_string(&call).unwrap(), text);
        }
    }

    #[test]
    fn a_ban_without_an_end_is_not_taken_for_a_permanent_one() {
        let ban = r#"{"jail":"a","host":"192.0.2.1","scope":"all","since":1,"until":null,"offences":0,"evidence":"proven"}"#;
        assert!(serde_json::from_str::<import::ImportedBan>(ban).is_ok());
        let without = ban.replace(r#""until":null,"#, "");
        assert!(serde_json::from_str::<import::ImportedBan>(&without).is_err());
    }

    #[test]
    fn a_status_without_detail_is_a_full_one() {
        let request: Request = serde_json::from_str(r#"{"command":"status","jail":null}"#).unwrap();
        let full = StatusRequest { jail: None, detail: status::Detail::Full };
        assert_eq!(request, Request::Status(full));
    }
}
