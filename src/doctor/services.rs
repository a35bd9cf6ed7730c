//! Checks whether the services whose logs are read are at the ports that the configuration names.

use super::Finding;
use super::facts::World;
use crate::model::scope::range_words;
use crate::sys::sock_diag::Protocol;

/// Checks that a program listens at one of each service's ports. A line about a service counts only beside packets at its
/// ports, so that none counts if they are others, and a ban closes the wrong ports.
pub fn ports(world: &World) -> Vec<Finding> {
    const CHECK: &str = "service-ports";
    let Ok(plan) = &world.plan else {
        return vec![Finding::unchecked(CHECK, "the configuration cannot be read")];
    };
    let services = plan.services();
    if services.is_empty() {
        return vec![Finding::ok(CHECK, "no jail guards a service beside Asterisk")];
    }
    let sockets = match &world.sockets {
        Ok(sockets) => sockets,
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    let is_open = |(low, high): &(u16, u16)| {
        sockets.iter().any(|it| it.protocol == Protocol::Tcp && (*low..=*high).contains(&it.port))
    };
    let check = |(name, ranges): (&str, &[(u16, u16)])| {
        let words = ranges.iter().copied().map(range_words).collect::<Vec<_>>().join(", ");
        if ranges.iter().any(is_open) {
            return Finding::ok(CHECK, format!("{name} at {words}"));
        }
        Finding::problem(
            CHECK,
            format!("nothing listens at TCP port {words}: no line about {name} counts, and a ban closes the wrong ports"),
        )
        .at(format!("`{name}` below [ports]"))
        .change(format!("write the ports where it listens, for example {name} = [2222]; then: asterguard reload"))
    };
    services.into_iter().map(check).collect()
}
