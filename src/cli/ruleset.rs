//! `asterguard ruleset`

use std::path::PathBuf;

use clap::Args;

use super::ConfigArg;
use super::output::{Failure, Output};
use crate::decide::plan_files::{PlanError, load_plan};
use crate::enforce::SinkError;
use crate::hosts::discover::{self, Wanted};
use crate::hosts::lists::{self, Lists};
use crate::sys::program::Program;
use crate::sys::replace::replace;
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
    // Meanwhile it has a name that a glob for *.nft does not find.
    replace(path, text.as_bytes(), 0o666, |_| Ok(()))
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
    output.done(&format!("{} is written", path.display()));
    Ok(())
}
