//! `failregex`: the failregexes that a jail counts.

use super::jail_named;
use crate::control::Problem;
use crate::control::failregex::{FailregexRequest, RuleText};
use crate::daemon::Daemon;
use crate::decide::plan::Plan;
use crate::model::event::JailId;

pub(super) async fn answer(
    daemon: &Daemon,
    request: FailregexRequest,
) -> Result<Vec<RuleText>, Problem> {
    let plan = daemon.plan().await?;
    let jail = jail_named(&plan, Some(&request.jail))?;
    Ok(jail.map_or_else(Vec::new, |jail| rules(&plan, jail)))
}

fn rules(plan: &Plan, jail: JailId) -> Vec<RuleText> {
    let counted = plan.rules.iter().filter(|(rule, _)| plan.counted_by(*rule).contains(&jail));
    let text = |(id, rule): (_, &crate::rules::Rule)| RuleText {
        rule: plan.rule_name(id).unwrap_or_default(),
        failregex: rule.patterns.iter().map(|pattern| pattern.source.clone()).collect(),
    };
    counted.map(text).collect()
}
