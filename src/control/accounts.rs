//! Accounts that have logged in, and the networks that they did so from.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::ban::is_default;
use super::{Answer, Done, Query, Request, SubjectText};
use crate::model::place::Country;

/// Asks which accounts have logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountsRequest;

impl Query for AccountsRequest {
    type Reply = Vec<AccountReport>;

    fn request(&self) -> Request {
        Request::Accounts
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Accounts { accounts } => Some(accounts),
            _ => None,
        }
    }
}

impl From<Vec<AccountReport>> for Answer {
    fn from(accounts: Vec<AccountReport>) -> Self {
        Self::Accounts { accounts }
    }
}

/// Says that logins from new networks are right: these networks count as used from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcknowledgeRequest {
    /// The name of the account; `None`: all accounts that raised an alarm in the network.
    #[serde(default, skip_serializing_if = "is_default")]
    pub account: Option<String>,
    /// The host or network; `None`: all networks in which the account raised an alarm.
    #[serde(default, skip_serializing_if = "is_default")]
    pub host: Option<SubjectText>,
}

impl Query for AcknowledgeRequest {
    type Reply = Done;

    fn request(&self) -> Request {
        Request::Acknowledge(self.clone())
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        Done::of(answer)
    }
}

/// Asks that the networks of an account are forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetAccountRequest {
    /// The name of the account.
    pub account: String,
}

impl Query for ForgetAccountRequest {
    type Reply = Done;

    fn request(&self) -> Request {
        Request::ForgetAccount(self.clone())
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        Done::of(answer)
    }
}

/// The state of an account, as far as its networks are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountState {
    /// It has logged in from a network that it never used.
    Alarm,
    /// Its networks are learned.
    Learning,
    /// A login from a new network raises an alarm.
    Watched,
    /// Its networks change often: no alarm.
    Roaming,
}

/// An account that has logged in. Times are in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountReport {
    /// The first eight characters of its name; the last of these is `*` if the name is longer.
    pub account: String,
    /// The state.
    pub state: AccountState,
    /// Until when its networks are learned; `null`: they are no longer.
    pub until: Option<i64>,
    /// Its first login.
    pub since: i64,
    /// Its last one.
    pub last: i64,
    /// The host that this one came from.
    pub host: String,
    /// The networks that it has logged in from.
    pub networks: Vec<NetworkReport>,
}

/// A network that an account has logged in from. Times are in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkReport {
    /// The network.
    pub net: IpNet,
    /// The first login from there.
    pub since: i64,
    /// The last one.
    pub last: i64,
    /// Whether it has raised an alarm, and does not count as used yet.
    pub alarm: bool,
    /// The country, if this is about a country; the network is then that of its last login there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
}
