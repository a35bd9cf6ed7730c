//! Another plan comes into force.

use super::*;

#[test]
fn reload_keeps_the_counts() {
    let mut bench = Bench::new("");
    (0..4).for_each(|_| bench.offence(GUESS, "203.0.113.9", 0));
    (0..2).for_each(|_| bench.offence(SCAN, "203.0.113.8", 0));
    (0..2).for_each(|_| bench.offence(SCAN, "2001:db8::1", 0));
    bench
        .reload("[jail.aaa]\nfilter='asterisk-*'\nclass='acl'\n[jail.asterisk-scan]\nmaxretry = 4");
    bench.offence(GUESS, "203.0.113.9", 1);
    bench.offence(SCAN, "203.0.113.8", 1);
    assert_eq!(bench.said(), ["asterisk-guess Ban 203.0.113.9 sip 600"]);
    bench.offence(SCAN, "203.0.113.8", 1);
    assert_eq!(bench.said(), ["asterisk-scan Ban 203.0.113.8 sip 600"], "the fourth of four");
    // Fewer offences are enough now: that shows at the next one.
    bench.reload("[jail.asterisk-scan]\nmaxretry = 2");
    assert_eq!(bench.said(), [""; 0]);
    bench.offence(SCAN, "2001:db8::2", 1);
    assert_eq!(bench.said(), ["asterisk-scan Ban 2001:db8::/64 sip 600"]);
}

#[test]
fn new_ipv6_prefix_resets_ipv6_counts() {
    let mut bench = Bench::new("");
    (0..2).for_each(|_| bench.offence(SCAN, "203.0.113.8", 0));
    (0..2).for_each(|_| bench.offence(SCAN, "2001:db8::1", 0));
    bench.reload("[default]\nipv6prefix = 48");
    bench.offence(SCAN, "203.0.113.8", 1);
    bench.offence(SCAN, "2001:db8::1", 1);
    assert_eq!(bench.said(), ["asterisk-scan Ban 203.0.113.8 sip 600"]);
}

#[test]
fn reload_lifts_only_bans_of_newly_ignored_hosts() {
    let mut bench = Bench::new(
        "[jail.web]\nfilter='asterisk-*'\nclass='guess'\nport='web'\nmaxretry=5\n[ports]\nweb=[80]",
    );
    for host in ["203.0.113.8", "203.0.113.9"] {
        (0..5).for_each(|_| bench.offence(GUESS, host, 0));
    }
    assert_eq!(bench.said().len(), 4);
    bench.reload("[default]\nignoreip = '203.0.113.9'");
    assert_eq!(
        bench.said(),
        [
            "manual Unban 203.0.113.8 ByHand",
            "manual Unban 203.0.113.9 ByHand",
            "asterisk-guess Unban 203.0.113.9 Ignored"
        ],
        "without its ports, a ban has no meaning"
    );
    assert_eq!(bench.engine.bans().len(), 1);
}

#[test]
fn new_ipv6_prefix_rekeys_bans() {
    let mut bench = Bench::new("");
    (0..5).for_each(|_| bench.offence(GUESS, "2001:db8:1:2::9", 0));
    bench.decisions.clear();
    let plan = Arc::clone(bench.engine.plan());
    assert_eq!(bench.engine.rekeyed(&plan), [], "nothing changes");
    bench.reload("[default]\nipv6prefix = 56");
    assert!(bench.changes().is_empty(), "the kernel has been told as the structure was loaded");
    let bans: Vec<_> = bench.engine.bans().iter().map(|ban| ban.subject.to_string()).collect();
    assert_eq!(bans, ["2001:db8:1::/56"]);
    let back: Vec<_> = bench.engine.rekeyed(&plan);
    let back: Vec<_> = back.iter().map(|element| element.subject.to_string()).collect();
    assert_eq!(back, ["2001:db8:1:2::/64"]);
}
