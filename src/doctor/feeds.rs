//! Lists that are to be fetched: whether anything fetches them.

use super::{Finding, World};
use crate::feeds::ENABLE;

/// Looks whether the timer is on, if a feed has a url.
pub(super) fn timer(world: &World) -> Vec<Finding> {
    const CHECK: &str = "feeds";
    let Ok(plan) = &world.plan else {
        return vec![Finding::unchecked(CHECK, "the configuration cannot be used")];
    };
    let fetched = plan.config.lists.feeds.iter().filter(|feed| feed.fetch.is_some());
    let names: Vec<_> = fetched.map(|feed| feed.name.clone()).collect();
    if names.is_empty() {
        return vec![Finding::ok(CHECK, "no feed has a url")];
    }
    let names = super::some_of(&names);
    vec![match world.fetch_timer {
        Some(true) => Finding::ok(CHECK, format!("asterguard-fetch.timer fetches {names}")),
        Some(false) => Finding::problem(
            CHECK,
            format!("nothing fetches {names}: asterguard-fetch.timer is off"),
        )
        .change(ENABLE),
        None => Finding::unchecked(
            CHECK,
            format!("there is no systemd here that runs `asterguard fetch`, for {names}"),
        ),
    }]
}
