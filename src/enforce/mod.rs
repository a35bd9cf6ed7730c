//! Carrying decisions out: where elements and the ruleset around them go.

pub mod drift;
pub mod dry_run;
pub mod helper;
mod list_sink;
pub mod netlink;
pub mod nft_program;
mod operation;
mod set_element;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::event::Change;
use crate::sys::program::ProgramError;
pub use drift::compare::{Comparison, TOLERANCE};
pub use drift::external_changes::{Action, ExternalChanges, Object, Origin, TableChange};
pub use drift::structure::{Drift, Part};
pub use dry_run::DryRunSink;
pub use list_sink::ListSink;
pub use netlink::{CounterSocket, Monitor, NetlinkSink};
pub use nft_program::{ListOrigin, NftProgram};
pub use operation::{BanSink, Operation};

/// The place that bans go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// To the kernel, by netlink.
    Netlink,
    /// Nowhere: say what would be banned, and leave the kernel alone.
    DryRun,
}

impl SinkKind {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Netlink => "netlink",
            Self::DryRun => "dry run",
        }
    }
}

/// The part of our own answers that is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WireRules {
    /// All.
    Whole,
    /// Those over UDP: the kernel (before 5.16) or `nft` (before 1.0.1) refuses the rules for TCP, in these
    /// words.
    DatagramsOnly(String),
}

/// The outcome of a list of changes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The number of changes that were carried out; of several changes to one key only the last counts.
    pub done: usize,
    /// Those that the sink refused, with its words.
    pub refused: Vec<(Change, String)>,
    /// Whether others may have changed something meanwhile that nobody is told of.
    pub unheard: bool,
}

/// The reason why a sink did not do what it was told.
#[derive(Debug, Error, Serialize, Deserialize)]
pub enum SinkError {
    /// The `nft` program is not there.
    #[error(
        "cannot run `{program}`: {error}; install it (Debian: apt-get install nftables) or put it on the PATH"
    )]
    NoProgram {
        program: String,
        #[serde(with = "io_error")]
        error: std::io::Error,
    },
    /// `nft` did not answer in time and was killed.
    #[error(
        "`nft` did not finish within {0:?} and was stopped; see whether `nft list tables` works, and whether somebody's set is very large (nft -t list sets)"
    )]
    Hangs(Duration),
    /// The kernel has no `nf_tables`.
    #[error(
        "this kernel has no nf_tables: load the module (modprobe nf_tables), in a container on the host ({0})"
    )]
    NoKernel(String),
    /// We may not change the ruleset.
    #[error("not permitted to change the ruleset: run as root or with CAP_NET_ADMIN ({0})")]
    NotPermitted(String),
    /// The table or one of its sets is gone.
    #[error("table `inet asterguard` or one of its sets is not there: it has to be loaded again")]
    NoTable,
    /// `nft` refused the input; its own words follow.
    #[error("`nft` refused: {0}")]
    Refused(String),
    /// `nft` printed something that cannot be read.
    #[error("cannot read what `nft` printed: {0}")]
    Output(String),
    /// Talking to `nft` or to the kernel failed.
    #[error("talking to nftables: {0}")]
    Io(
        #[from]
        #[serde(with = "io_error")]
        std::io::Error,
    ),
    /// The firewall helper lets no more bans through for now.
    #[error("there are more than {at_once} new bans at once and {rate} a second: the others wait")]
    TooMany { at_once: usize, rate: usize },
    /// The process that may change the ruleset is no more.
    #[error("there is no process that writes to the firewall ({0}); bans stay in force")]
    NoHelper(String),
}

impl From<ProgramError> for SinkError {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::NotFound { program, error } => Self::NoProgram { program, error },
            ProgramError::Hangs { limit, .. } => Self::Hangs(limit),
            ProgramError::Failed { said, .. } => complaint(said),
            ProgramError::Endless { most, .. } => {
                Self::Output(format!("more than {} MiB", most >> 20))
            }
            ProgramError::Io { error, .. } => Self::Io(error),
        }
    }
}

/// Sorts by kind what `nft` said when it failed.
fn complaint(said: String) -> SinkError {
    let not_permitted = ["Operation not permitted", "Permission denied"];
    // The last: not even a table can be made.
    let no_kernel = [
        "Unable to initialize Netlink socket",
        "cache initialization failed",
        "Operation not supported\ntable inet asterguard {",
    ];
    if not_permitted.iter().any(|words| said.contains(words)) {
        SinkError::NotPermitted(said)
    } else if no_kernel.iter().any(|words| said.contains(words)) {
        SinkError::NoKernel(said)
    } else {
        SinkError::Refused(said)
    }
}

/// Errors of the system as they pass from one process to another: by number, or else by their words.
mod io_error {
    use std::io::Error;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(error: &Error, serializer: S) -> Result<S::Ok, S::Error> {
        (error.raw_os_error(), error.to_string()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Error, D::Error> {
        let (number, words) = <(Option<i32>, String)>::deserialize(deserializer)?;
        Ok(number.map_or_else(|| Error::other(words), Error::from_raw_os_error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_of_nft_have_kinds() {
        assert!(matches!(
            complaint("Operation not permitted (you must be root)".to_owned()),
            SinkError::NotPermitted(_)
        ));
        assert!(matches!(complaint("Error: no".to_owned()), SinkError::Refused(_)));
        for words in [
            "Unable to initialize Netlink socket: Protocol not supported",
            "netlink: Error: cache initialization failed: Invalid argument",
            "-:1:1-5: Error: Could not process rule: Operation not supported\ntable inet asterguard {\n^^^^^",
        ] {
            let error = complaint(words.to_owned());
            assert!(error.to_string().contains("modprobe nf_tables"), "{error}");
        }
    }
}
