//! The CPU time of this thread, and of other programs that are run.
//!
//! For benchmarks (`#[path = "../process/mod.rs"] mod process;`).
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each user needs some of it, and ends where it fails"
)]

use std::fs;
use std::io::{Read as _, Seek as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// What a program did.
pub struct Ran {
    /// User and system time of all its threads.
    pub cpu: Duration,
    /// What it wrote to its standard output.
    pub out: String,
}

/// Runs a program to its end, which has to be a good one.
pub fn run(command: &mut Command) -> Ran {
    let mut out = tempfile::tempfile().unwrap();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It has ended, and the kernel still has its times.
    let pid = Pid::from_child(&child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    let cpu = cpu_time(child.id());
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    let mut text = String::new();
    out.rewind().unwrap();
    out.read_to_string(&mut text).unwrap();
    Ran { cpu, out: text }
}

/// User and system time of all threads of a process: fields 14 and 15 of `/proc/PID/stat` (proc(5)), in hundredths of a
/// second.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

/// CPU time of this thread; without the kernel's help, the time that passes.
pub fn own_cpu_time() -> Duration {
    // The kernel brings its count up to date when it schedules.
    std::thread::yield_now();
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = schedstat.and_then(|text| text.split(' ').next()?.parse().ok());
    thread_local!(static START: Instant = Instant::now());
    nanos.map_or_else(|| START.with(Instant::elapsed), Duration::from_nanos)
}
