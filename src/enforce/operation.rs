//! The operations of a sink. Each stands here once, and becomes a method of [`BanSink`], a
//! value of [`Operation`] that travels to the firewall helper, the call of the one by the other there,
//! and the method of the sink that asks the helper.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::helper::{Channel, RemoteSink};
use super::{Comparison, Drift, Report, SinkError};
use crate::model::event::{Change, Element, KernelElement, ScopeId};
use crate::model::time::Time;
use crate::table::structure::Structure;

/// Accepts operations as `Variant = method(&borrowed: Type, ...; copied: Type, ...) -> Answer;`.
macro_rules! operations {
    ($(
        $(#[$doc:meta])+
        $variant:ident = $method:ident(
            $(& $borrowed:ident: $whole:ty),* $(; $($copied:ident: $value:ty),+)?
        ) -> $answer:ty;
    )+) => {
        /// Somewhere that bans are put into force.
        pub trait BanSink {
            $(
                $(#[$doc])+
                fn $method(
                    &mut self $(, $borrowed: &$whole)* $($(, $copied: $value)+)?
                ) -> Result<$answer, SinkError>;
            )+

            /// Puts what a [`BanSink::compare`] found missing or wrong. No operation: the firewall
            /// helper does not take a guard's word for what was found.
            ///
            /// # Errors
            /// As [`BanSink::apply`].
            fn fill_in(&mut self, found: &Comparison, now: Time) -> Result<Report, SinkError> {
                let wrong = found.wrong.iter().map(|(element, _)| element);
                let all = found.missing.iter().chain(wrong).copied();
                self.apply(&all.map(Change::Put).collect::<Vec<_>>(), now)
            }
        }

        /// A method of [`BanSink`], with what it is called with.
        #[derive(Debug, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the methods describe their arguments")]
        pub enum Operation<'a> {
            $(
                $(#[$doc])+
                $variant { $($borrowed: Cow<'a, $whole>,)* $($($copied: $value,)+)? },
            )+
        }

        impl Operation<'_> {
            /// Makes `sink` carry it out, and sends back what the method returns.
            pub(super) fn answer(self, sink: &mut dyn BanSink, to: &mut Channel) -> io::Result<()> {
                match self {
                    $(Self::$variant { $($borrowed,)* $($($copied,)+)? } => {
                        to.answer(&sink.$method($(&$borrowed,)* $($($copied,)+)?))
                    })+
                }
            }
        }

        impl BanSink for RemoteSink {
            $(fn $method(
                &mut self $(, $borrowed: &$whole)* $($(, $copied: $value)+)?
            ) -> Result<$answer, SinkError> {
                self.ask(Operation::$variant {
                    $($borrowed: Cow::Borrowed($borrowed),)* $($($copied,)+)?
                })
            })+
        }
    };
}

operations! {
    /// Declares table, sets and chains for `structure`; what the sets hold stays. From here on,
    /// scopes and jails in elements are indices into it.
    ///
    /// # Errors
    /// When the sink cannot be reached or refuses the structure.
    Load = load(&structure: Structure) -> ();

    /// As [`BanSink::load`], and in the same transaction the IPv6 sets of `scopes`, whose networks have
    /// another length than before, hold these elements and no others.
    ///
    /// # Errors
    /// As [`BanSink::load`].
    LoadRekeyed = load_rekeyed(
        &structure: Structure, &scopes: [ScopeId], &elements: [Element]; now: Time
    ) -> ();

    /// Makes the sink show our own answers as `structure` says (see [`crate::sip`]), as far as it can. It
    /// comes after [`BanSink::load`] and apart from it: where that cannot be done, bans work all the same.
    ///
    /// # Errors
    /// When the sink cannot do it; nothing else has changed then.
    LoadWire = load_wire(&structure: Structure) -> super::WireRules;

    /// Lets these networks pass from now on, whatever the sets say, in place of those that
    /// [`Structure::allow`] had; nothing else changes, and nobody is dropped in between.
    ///
    /// # Errors
    /// When the sink does not carry it out; after [`SinkError::NoTable`] [`BanSink::load`] comes
    /// first.
    Allow = allow(&nets: [IpNet]) -> ();

    /// The bans that the sink already holds, read once at start. An element whose comment names no
    /// jail of the structure is no [`KernelElement::known_jail`].
    ///
    /// # Errors
    /// When the sink cannot be read.
    Adopt = adopt(; now: Time) -> Vec<KernelElement>;

    /// Does the same, if that takes no longer than `limit`, or no more than so many pieces of a list, however slow the
    /// machine is; `None`: it takes both. With a million bans, the kernel takes minutes to list them.
    ///
    /// # Errors
    /// As [`BanSink::adopt`].
    AdoptWithin = adopt_within(
        ; now: Time, limit: Duration, pieces: u32
    ) -> Option<Vec<KernelElement>>;

    /// Carries out `changes`, in order where keys repeat. A change that the sink refuses never
    /// costs the others: it comes back in the report, with the reason.
    ///
    /// # Errors
    /// When the sink as a whole does not work (not there, hanging, no permission): nothing is
    /// known to have been carried out, and all of it should be tried again; after
    /// [`SinkError::NoTable`] [`BanSink::load`] comes first.
    Apply = apply(&changes: [Change]; now: Time) -> Report;

    /// Returns what of the structure is not there any more, or not as it was loaded. A sink that cannot
    /// look finds nothing.
    ///
    /// # Errors
    /// When the sink cannot be read.
    Inspect = inspect() -> Vec<Drift>;

    /// Puts back what others took away or changed of `structure`, which is loaded; what its sets hold
    /// may be lost then.
    ///
    /// # Errors
    /// As [`BanSink::load`].
    Repair = repair(&structure: Structure) -> ();

    /// Makes the sets hold these elements, until the times that they have; what else they hold
    /// stays. The report counts what was missing or wrong.
    ///
    /// # Errors
    /// As [`BanSink::apply`].
    Restore = restore(&wanted: [Element]; now: Time) -> Report;

    /// Compares what is held with these elements.
    ///
    /// # Errors
    /// When the sink cannot be read.
    Compare = compare(&wanted: [Element]; now: Time) -> Comparison;

    /// Stops all dropping immediately, for `span` (`None`: until [`BanSink::resume`]). The sink itself
    /// ends the pause.
    ///
    /// # Errors
    /// When the sink does not carry it out.
    Pause = pause(; span: Option<Duration>) -> ();

    /// Ends a pause.
    ///
    /// # Errors
    /// When the sink does not carry it out.
    Resume = resume() -> ();

    /// Whether a pause is in force, and until when.
    ///
    /// # Errors
    /// When the sink cannot be read.
    Paused = paused(; now: Time) -> crate::model::pause::Pause;
}
