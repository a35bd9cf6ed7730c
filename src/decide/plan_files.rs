//! The files that a [`Plan`] is made of: the only file of this room that reads any.

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::plan::Plan;
use crate::config::Config;
use crate::config::diagnostic::Diagnostics;
use crate::config::fail2ban;
use crate::config::load::{self, LoadError, MAIN};
use crate::config::unread_names::{self, UnreadName};
use crate::detect::prefilter::PatternSetError;
use crate::fail2ban::own_rules;
use crate::hosts::discover::asterisk_ports::AsteriskFiles;
use crate::hosts::lists::ListsError;
use crate::rules::{RuleFile, RuleSet, RulesError};

/// The reason why configuration and rules cannot be used.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The rules are wrong.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// A list that the configuration names is wrong.
    #[error(transparent)]
    Lists(#[from] ListsError),
    /// The rules are too large together.
    #[error(transparent)]
    Gate(#[from] PatternSetError),
}

/// Returns what lies in `conf.d` and `rules.d` and is not read; see [`load_plan`].
#[must_use]
pub fn unread_names(config: Option<&Path>) -> Vec<UnreadName> {
    let Some(directory) = config.unwrap_or(Path::new(MAIN)).parent() else { return Vec::new() };
    let pages = [("conf.d", fail2ban::PAGE), ("rules.d", "docs/rules.md")];
    pages
        .into_iter()
        .flat_map(|(name, page)| unread_names::look(&directory.join(name), page))
        .collect()
}

/// Reads configuration and rules: `rules.d` and `conf.d` are next to the main file (if `config` is
/// `None`: [`MAIN`] if it exists, else the built-in default).
///
/// # Errors
/// Returns an error if something is wrong in them; see [`PlanError`].
pub fn load_plan(config: Option<&Path>) -> Result<Plan, PlanError> {
    load_plan_with(config, None)
}

/// Returns what is wrong in the rules, and in the configuration: all mistakes are told at once.
fn also_of_config(
    mut wrong: Diagnostics,
    config: Option<&Path>,
    rules_d: Option<&Path>,
) -> Diagnostics {
    if let Err(LoadError::Invalid(more)) = load::load(config, &RuleSet::names(rules_d)) {
        wrong.0.extend(more.0);
    }
    wrong
}

/// The same, with one more rule file.
///
/// # Errors
/// The same as [`load_plan`].
pub fn load_plan_with(config: Option<&Path>, more: Option<RuleFile>) -> Result<Plan, PlanError> {
    let main = config.unwrap_or(Path::new(MAIN));
    let rules_d = main.parent().map(|directory| directory.join("rules.d"));
    let mut rules = RuleSet::load(rules_d.as_deref()).map_err(|error| match error {
        RulesError::Wrong(wrong) => also_of_config(wrong, config, rules_d.as_deref()).into(),
        error @ RulesError::Text(_) => error,
    })?;
    if let Some(file) = more {
        rules.add(file);
    }
    let mut config: Config = load::load(config, &rules.filters())?;
    let notes = own_rules::add(&config, &mut rules).map_err(LoadError::from)?;
    AsteriskFiles::default().look(&config.asteriskconf).apply(&mut config);
    Ok(Plan::new(config, Arc::new(rules)).with_notes(notes))
}
