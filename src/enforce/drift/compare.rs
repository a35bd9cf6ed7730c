//! Compares what a sink holds with what it should hold.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::event::KernelElement;
use crate::model::event::{Element, ScopeId};
use crate::model::subject::Subject;
use crate::model::time::{Time, is_near};

/// The distance of two ends that count as the same: the kernel is told whole seconds.
pub const TOLERANCE: Duration = Duration::from_secs(2);

/// Differences between the elements that are held and those that are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Wanted, and not held.
    pub missing: Vec<Element>,
    /// Held, but ending at another time, which stands next to it.
    pub wrong: Vec<(Element, Option<Time>)>,
    /// Held, and not wanted.
    pub extra: Vec<Element>,
}

impl Comparison {
    /// Compares what is held with what is wanted, which has each key once.
    #[must_use]
    pub fn new(held: &[KernelElement], wanted: &[Element]) -> Self {
        let mut left: HashMap<(ScopeId, Subject), Element> = held
            .iter()
            .map(|held| ((held.element.scope, held.element.subject), held.element))
            .collect();
        let mut comparison = Self::default();
        for element in wanted {
            match left.remove(&(element.scope, element.subject)) {
                None => comparison.missing.push(*element),
                Some(held) if is_near(held.until, element.until, TOLERANCE) => {}
                Some(held) => comparison.wrong.push((*element, held.until)),
            }
        }
        comparison.extra = left.into_values().collect();
        comparison.extra.sort_unstable_by_key(|element| (element.scope.0, element.subject));
        comparison
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::JailId;

    fn element(address: &str, until: Option<i64>) -> Element {
        let subject = address.parse().unwrap();
        Element { scope: ScopeId(0), subject, until: until.map(Time::from_secs), jail: JailId(0) }
    }

    #[test]
    fn missing_wrong_and_extra_elements_are_told_apart() {
        let held = [
            element("192.0.2.1", Some(100)),
            element("192.0.2.2", Some(103)),
            element("192.0.2.3", None),
            element("192.0.2.4", Some(100)),
            element("192.0.2.6", None),
        ];
        let held = held.map(|element| KernelElement { element, known_jail: true });
        let wanted = [
            element("192.0.2.1", Some(102)),
            element("192.0.2.2", Some(100)),
            element("192.0.2.3", Some(100)),
            element("192.0.2.5", None),
            element("192.0.2.6", None),
        ];
        let comparison = Comparison::new(&held, &wanted);
        assert_eq!(comparison.missing, [wanted[3]]);
        let wrong = [(wanted[1], Some(Time::from_secs(103))), (wanted[2], None)];
        assert_eq!(comparison.wrong, wrong);
        assert_eq!(comparison.extra, [held[3].element]);
        assert_eq!(Comparison::new(&[], &[]), Comparison::default());
    }
}
