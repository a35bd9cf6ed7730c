//! Commands, with real programs.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::{HOSTILE, Helper, able, ban, home, hostile, kit, many};

/// Runs a script that the test writes; it writes what it got into `out`.
fn start(script: &str, more: &str) -> Helper {
    let home = home(&format!(
        "[notify.tool]\nkind = 'command'\ncommand = ['$DIR/tool', 'an argument', '$(id)']\n{more}\n"
    ));
    home.script("tool", script);
    Helper::start_in(home)
}

fn lines(helper: &Helper) -> Vec<String> {
    let text = fs::read_to_string(helper.home.path("out")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn what_strangers_write_comes_only_as_json_on_standard_input() {
    if !able() {
        return;
    }
    let mut helper = start(
        "#!/bin/sh\n{ printf '%s|' \"$@\"; echo; env; echo end; cat; } > $DIR/.out; mv $DIR/.out $DIR/out\n",
        "",
    );
    let event = hostile();
    helper.tell(&event);
    helper.until("tool", |status| status.sent == 1);
    let got = lines(&helper);
    assert_eq!(got[0], "an argument|$(id)|");
    let end = got.iter().position(|line| line == "end").unwrap();
    let variables: Vec<_> =
        got[1..end].iter().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert!(
        variables.iter().all(|name| ["PATH", "PWD", "_", "SHLVL", "OLDPWD"].contains(name)),
        "{variables:?}"
    );
    assert_eq!(got.len(), end + 2, "one line: {got:?}");
    let json: Value = serde_json::from_str(&got[end + 1]).unwrap();
    assert_eq!(json["text"], HOSTILE);
    assert_eq!(json["ban"]["lines"][0], HOSTILE);
    assert_eq!(
        serde_json::from_value::<asterguard::model::guard_event::GuardEvent>(json).unwrap(),
        event
    );
    assert!(!std::path::Path::new("/tmp/pwned").exists());
}

#[test]
fn a_program_that_hangs_is_killed_with_its_children() {
    if !able() {
        return;
    }
    let mark = format!("7{}", std::process::id());
    let mut helper = start(&format!("#!/bin/sh\nsleep {mark} &\nsleep {mark}\n"), "timeout = '1s'");
    helper.tell(&ban("203.0.113.9"));
    let status = helper.until("tool", |status| status.dropped == 1);
    assert!(status.why.unwrap().contains("did not finish within 1s"));
    kit::until("its children are gone", || {
        !Command::new("pgrep")
            .args(["-f", &format!("^sleep {mark}")])
            .output()
            .unwrap()
            .status
            .success()
    });
}

#[test]
fn a_thousand_events_are_one_run() {
    if !able() {
        return;
    }
    let mut helper = start("#!/bin/sh\n{ cat; } >> $DIR/out\n", "");
    many(1000).for_each(|event| helper.tell(&event));
    helper.taken(1000);
    helper.until("tool", |status| status.sent == 1 && status.queued == 0);
    let got = lines(&helper);
    assert_eq!(got.len(), 1);
    let json: Value = serde_json::from_str(&got[0]).unwrap();
    let events = json.as_array().unwrap();
    assert_eq!((events.len(), events[100]["omitted"].as_u64()), (101, Some(900)));
}

#[test]
fn no_more_than_two_programs_run_at_once() {
    if !able() {
        return;
    }
    let section =
        |number| format!("[notify.tool-{number}]\nkind = 'command'\ncommand = ['$DIR/tool']\n");
    let sections: Vec<_> = (0..6).map(section).collect();
    let home = home(&sections.concat());
    home.script(
        "tool",
        "#!/bin/sh\necho + >> $DIR/out; sleep 0.3; echo - >> $DIR/out; cat > /dev/null\n",
    );
    let mut helper = Helper::start_in(home);
    helper.tell(&ban("203.0.113.9"));
    kit::until("all have run", || lines(&helper).len() == 12);
    let (mut now, mut most) = (0_i32, 0);
    for line in lines(&helper) {
        now += if line == "+" { 1 } else { -1 };
        most = most.max(now);
    }
    assert_eq!(most, 2);
}

#[test]
fn only_exit_code_75_asks_for_another_try() {
    if !able() {
        return;
    }
    let mut helper = start(
        "#!/bin/sh\ncat >/dev/null\n[ -e $DIR/second ] && exit 3\ntouch $DIR/second; echo busy >&2; exit 75\n",
        "",
    );
    helper.tell(&ban("203.0.113.9"));
    let status = helper.until("tool", |status| status.failing_since.is_some());
    assert!(status.why.unwrap().ends_with("asks for another try: busy") && status.queued == 1);
    let status = helper.until("tool", |status| status.dropped == 1);
    assert!(status.why.unwrap().contains("exit status: 3"));
}
