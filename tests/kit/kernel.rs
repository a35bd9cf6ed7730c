//! A kernel that lacks something, made of the one that is there.

use std::collections::BTreeMap;
use std::thread;

use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Does something where no socket to netfilter can be had, as on a kernel that has neither `nfnetlink`
/// nor `nf_tables`; that goes for all programs that are started there, too.
pub fn without_netfilter<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let equals = |argument, value: i32| {
        let value = u64::from(value.unsigned_abs());
        let length = SeccompCmpArgLen::Dword;
        SeccompCondition::new(argument, length, SeccompCmpOp::Eq, value).unwrap()
    };
    let netfilter = [equals(0, libc::AF_NETLINK), equals(2, libc::NETLINK_NETFILTER)];
    let rules = vec![SeccompRule::new(netfilter.to_vec()).unwrap()];
    let filter = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_socket, rules)]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPROTONOSUPPORT.unsigned_abs()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: seccompiler::BpfProgram = filter.unwrap().try_into().unwrap();
    // It holds for one thread, and for what that starts.
    thread::scope(|scope| {
        let confined = scope.spawn(move || {
            seccompiler::apply_filter(&program).unwrap();
            act()
        });
        confined.join().unwrap()
    })
}
