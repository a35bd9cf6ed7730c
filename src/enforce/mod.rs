//! Carrying decisions out: where elements and the ruleset around them go.

pub mod drift;
pub mod dry_run;
pub mod helper;
mod list_sink;
pub mod netlink;
pub mod nft_program;
mod set_element;

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::event::{Change, Element, ScopeId};
use crate::model::time::Time;

use crate::model::event::Adopted;
use crate::sys::program::ProgramError;
use crate::table::structure::Structure;
pub use drift::compare::{Comparison, TOLERANCE};
pub use drift::damage::{Damage, Part};
pub use drift::external_changes::{Actor, Deed, Done, Foreign, Thing};
pub use dry_run::DryRunSink;
pub use list_sink::ListSink;
pub use netlink::{CounterSocket, NetlinkSink, Watch};
pub use nft_program::NftProgram;

/// Where bans go.
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

/// Somewhere that bans are put into force.
pub trait BanSink {
    /// Declares table, sets and chains for `structure`; what the sets hold stays. From here on,
    /// scopes and jails in elements are indices into it.
    ///
    /// # Errors
    /// When the sink cannot be reached or refuses the structure.
    fn load(&mut self, structure: &Structure) -> Result<(), SinkError>;

    /// As [`BanSink::load`], and in the same transaction the IPv6 sets of `scopes`, whose networks have
    /// another length than before, hold these elements and no others.
    ///
    /// # Errors
    /// As [`BanSink::load`].
    fn load_rekeyed(
        &mut self,
        structure: &Structure,
        scopes: &[ScopeId],
        elements: &[Element],
        now: Time,
    ) -> Result<(), SinkError>;

    /// Has the sink show our own answers as `structure` says (see [`crate::sip`]). It comes after
    /// [`BanSink::load`] and apart from it: where that cannot be done, bans work all the same.
    ///
    /// # Errors
    /// When the sink cannot do it; nothing else has changed then.
    fn load_wire(&mut self, structure: &Structure) -> Result<(), SinkError> {
        let _ = structure;
        Ok(())
    }

    /// Lets these networks pass from now on, whatever the sets say, in place of those that
    /// [`Structure::allow`] had; nothing else changes, and nobody is dropped in between.
    ///
    /// # Errors
    /// When the sink does not carry it out; after [`SinkError::NoTable`] [`BanSink::load`] comes
    /// first.
    fn allow(&mut self, nets: &[IpNet]) -> Result<(), SinkError>;

    /// The bans that the sink already holds, read once at start. An element whose comment names no
    /// jail of the structure is no [`Adopted::known_jail`].
    ///
    /// # Errors
    /// When the sink cannot be read.
    fn adopt(&mut self, now: Time) -> Result<Vec<Adopted>, SinkError>;

    /// Carries out `changes`, in order where keys repeat. A change that the sink refuses never
    /// costs the others: it comes back in the report, with the reason.
    ///
    /// # Errors
    /// When the sink as a whole does not work (not there, hanging, no permission): nothing is
    /// known to have been carried out, and all of it should be tried again; after
    /// [`SinkError::NoTable`] [`BanSink::load`] comes first.
    fn apply(&mut self, changes: &[Change], now: Time) -> Result<Report, SinkError>;

    /// What of the structure is not there any more, or not as it was loaded. A sink that cannot look
    /// finds nothing.
    ///
    /// # Errors
    /// When the sink cannot be read.
    fn inspect(&mut self) -> Result<Vec<Damage>, SinkError> {
        Ok(Vec::new())
    }

    /// Puts back what others took away or changed of `structure`, which is loaded; what its sets hold
    /// may be lost then.
    ///
    /// # Errors
    /// As [`BanSink::load`].
    fn mend(&mut self, structure: &Structure) -> Result<(), SinkError> {
        self.load(structure)
    }

    /// Has the sets hold these elements, until the times that they have; what they hold beside them
    /// stays. The report counts what was missing or wrong.
    ///
    /// # Errors
    /// As [`BanSink::apply`].
    fn restore(&mut self, wanted: &[Element], now: Time) -> Result<Report, SinkError> {
        let changes: Vec<_> = wanted.iter().map(|element| Change::Put(*element)).collect();
        self.apply(&changes, now)
    }

    /// Puts what a [`BanSink::compare`] found missing or wrong.
    ///
    /// # Errors
    /// As [`BanSink::apply`].
    fn fill_in(&mut self, found: &Comparison, now: Time) -> Result<Report, SinkError> {
        let wrong = found.wrong.iter().map(|(element, _)| element);
        let changes: Vec<_> = found.missing.iter().chain(wrong).copied().map(Change::Put).collect();
        self.apply(&changes, now)
    }

    /// How what is held differs from these elements.
    ///
    /// # Errors
    /// When the sink cannot be read.
    fn compare(&mut self, wanted: &[Element], now: Time) -> Result<Comparison, SinkError> {
        Ok(Comparison::new(&self.adopt(now)?, wanted))
    }

    /// Stops all dropping at once, for `span` (`None`: until [`BanSink::resume`]). The sink itself
    /// ends the pause.
    ///
    /// # Errors
    /// When the sink does not carry it out.
    fn pause(&mut self, span: Option<Duration>) -> Result<(), SinkError>;

    /// Ends a pause.
    ///
    /// # Errors
    /// When the sink does not carry it out.
    fn resume(&mut self) -> Result<(), SinkError>;

    /// Whether a pause is in force, and until when (`Some(None)`: until somebody ends it).
    ///
    /// # Errors
    /// When the sink cannot be read.
    fn paused(&mut self, now: Time) -> Result<Option<Option<Time>>, SinkError>;
}

/// What became of a list of changes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// How many were carried out; of several changes to one key only the last counts.
    pub done: usize,
    /// Those that the sink refused, with its words.
    pub refused: Vec<(Change, String)>,
    /// Whether others may have changed something meanwhile that nobody is told of.
    pub unheard: bool,
}

/// Why a sink did not do what it was told.
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
    /// The writer lets no more bans through for now.
    #[error("there are more than {at_once} new bans at once and {rate} a second: the others wait")]
    TooMany { at_once: usize, rate: usize },
    /// The process that may change the ruleset is no more.
    #[error("there is no process that writes to the firewall ({0}); bans stay in force")]
    NoWriter(String),
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

/// What `nft` said when it failed, sorted by kind.
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
