//! A server of the fleet may send any bytes, and so may a peer and a process that was taken over: they are read, or they
//! are not, and what is read names one host of others at most.
#![no_main]

use asterguard::fleet::protocol::{FromFleet, ToFleet};
use asterguard::fleet::record::{Operation, Record};
use asterguard::fleet::resp;
use asterguard::fleet::snapshot::Head;
use asterguard::sys::json_line::read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(record) = Record::read(data)
        && let Operation::Ban(ban) = record.operation
        && let Some(subject) = ban.host.subject()
    {
        let net = subject.net();
        assert!(net.prefix_len() >= if net.addr().is_ipv4() { 32 } else { 64 });
    }
    if let Ok(head) = Head::read(data) {
        assert!((0..head.blocks()).all(|number| head.block(number, data).is_none()));
    }
    let mut bytes = data;
    while let Ok(Some(_)) = resp::read(&mut bytes) {}
    for line in data.split(|byte| *byte == b'\n') {
        let _ = read::<FromFleet>(line);
        let _ = read::<ToFleet>(line);
    }
});
