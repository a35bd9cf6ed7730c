//! `asterguard ruleset`

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::ConfigArg;
use super::output::{Failure, Output};
use crate::decide::plan_files::{PlanError, load_plan};
use crate::enforce::SinkError;
use crate::hosts::discover::{self, Wanted};
use crate::hosts::lists::{self, Lists};
use crate::sys::program::Program;
use crate::table::structure::Structure;

#[derive(Debug, Args)]
pub struct RulesetArgs {
    /// Write the table to this file, in one step, after `nft` has found no mistake in it
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

pub fn ruleset(args: &RulesetArgs, output: &Output) -> Result<(), Failure> {
    let plan = load_plan(args.config.config.as_deref())?;
    let own = lists::load(&plan.config.lists.own(), &Lists::default()).map_err(PlanError::from)?;
    let (ignored, _) = discover::scan(&Wanted::by(&plan.config, &own));
    let structure = Structure { allow: plan.allowed(&ignored), ..plan.structure.clone() };
    let text = structure.ruleset();
    let Some(path) = &args.output else {
        if output.json {
            output.object(&serde_json::json!({ "ruleset": text }));
        } else {
            output.line(text.trim_end());
        }
        return Ok(());
    };
    Program::nft().run(&["-c", "-f", "-"], text.as_bytes()).map_err(SinkError::from)?;
    replace(path, &text)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
    output.done(&format!("{} is written", path.display()));
    Ok(())
}

/// Writes a file so that whoever reads it finds the old text or the new, whatever happens.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    // Hidden, and of no name that a glob for *.nft finds.
    let beside = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let replaced = written.and_then(|()| fs::rename(&beside, path));
    if replaced.is_err() {
        // It may not even be there; what went wrong is told.
        let _ = fs::remove_file(&beside);
    }
    replaced
}
