//! On a kernel without `nf_tables`: what cannot work says so, with an exit code of its own, and the rest works.

use std::process::Command;

use crate::kit::guard::{Guard, Home, PROGRAM, Told, told};
use crate::kit::kernel::without_netfilter;
use crate::kit::{self, EVE, Netns};
use crate::{CONFIG, wrong_password};

/// How a command of the program ends where there is no `nf_tables`.
fn tell(command: &mut Command) -> Told {
    without_netfilter(|| told(&command.output().unwrap()))
}

/// A command that needs no daemon, in a home where none runs.
fn offline(netns: &Netns, home: &Home, args: &[&str]) -> Told {
    tell(home.program(&mut netns.command(PROGRAM), args))
}

/// Says what is missing, and what to do.
fn is_clear((code, out, said): &Told) {
    assert_eq!(*code, 5, "{out}{said}");
    for words in ["this kernel has no nf_tables", "modprobe nf_tables", "Protocol not supported"] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(out, "");
}

#[test]
fn without_nf_tables_nothing_starts_and_it_is_said_why() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(CONFIG);
    is_clear(&tell(&mut home.run(netns.command(PROGRAM))));
    assert!(!home.path("socket").exists());
    // A list is the first thing that the kernel is told of.
    let home = Home::new(&format!("[lists]\nblock = [\"{EVE}\"]\n{CONFIG}"));
    is_clear(&tell(&mut home.run(netns.command(PROGRAM))));
    let config = home.path("asterguard.toml").display().to_string();
    let state = home.path("state").display().to_string();
    let args = ["restore", "--config", &config, "--state-dir", &state];
    is_clear(&tell(netns.command(PROGRAM).args(args)));
}

#[test]
fn without_nf_tables_commands_say_what_they_lack() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(CONFIG);
    // Those that work without a daemon need the kernel.
    for command in ["pause", "resume"] {
        is_clear(&offline(&netns, &home, &[command]));
    }
    // In JSON too.
    let (code, _, said) = offline(&netns, &home, &["pause", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, said["result"].as_str()), (5, Some("failed")), "{said}");
    assert!(said["message"].as_str().unwrap().contains("modprobe nf_tables"), "{said}");
    // The others need the daemon.
    for command in [&["verify"][..], &["status"], &["ban", EVE]] {
        let (code, _, said) = offline(&netns, &home, command);
        assert_eq!(code, 4, "{said}");
        assert!(said.contains("no daemon answers"), "{said}");
    }
}

#[test]
fn without_nf_tables_the_doctor_says_so() {
    if !kit::usable() {
        return;
    }
    let (netns, home) = (Netns::new(), Home::new(CONFIG));
    let config = home.path("asterguard.toml").display().to_string();
    let (code, out, said) = offline(&netns, &home, &["doctor", "--config", &config]);
    assert_eq!(code, 1, "{out}{said}");
    assert!(out.contains("nf_tables"), "{out}{said}");
}

#[test]
fn without_nf_tables_a_dry_run_works() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(CONFIG);
    let mut run = home.run(netns.command(PROGRAM));
    run.arg("--dry-run");
    let guard = without_netfilter(|| Guard::start_in(home, run));
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    assert_eq!(guard.status()["health"], "OK", "{}", guard.order(&["status"]));
    guard.stop();
}
