//! The programs that tests run, and what becomes of a test where one is missing.

use std::env;

/// What building and testing run: in each line a program, its Debian packages, and the jobs that need it.
const LIST: &str = include_str!("../../dev/programs");

/// Returns what is missing here of all that tests run, with the packages that have it.
pub fn missing() -> Option<String> {
    let lines = LIST.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut needed = lines.filter_map(|line| {
        let (program, rest) = line.split_once(' ')?;
        let (packages, jobs) = rest.trim_start().split_once(' ')?;
        jobs.split_whitespace().any(|job| job == "test").then_some((program, packages))
    });
    let (program, packages) = needed.find(|(program, _)| !is_there(program))?;
    let packages = packages.replace(',', " ");
    Some(format!("`{program}` is not on the PATH (apt-get install {packages}, or make deps)"))
}

fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Says why a test cannot run here. In continuous integration (`CI=true`), where each must be able to, panics.
pub fn skip(why: &str) {
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{why}");
    eprintln!("skipped: {why}");
}
