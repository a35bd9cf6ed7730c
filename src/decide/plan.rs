//! The plan: configuration, rules and lists put together, with the jails that count each rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;

use crate::config::{
    BanTerms, Config, Counting, Countries, Diagnostic, FLEET, Hearsay, Jail, MANUAL, Mode,
    OwnRules, RECIDIVE,
};
use crate::decide::peer_bans::PeerTerms;
use crate::decide::policy;
use crate::detect::prefilter::PatternSetError;
use crate::detect::prefix::Tags;
use crate::detect::scanner::Matcher;
use crate::detect::timestamp::DateFormat;
use crate::hosts::discover::asterisk_ports::Found;
use crate::hosts::exempt::IgnoreList;
use crate::hosts::lists::Lists;
use crate::model::event;
use crate::model::event::{Evidence, JailId, Meaning, RuleId, ScopeId};
use crate::model::scope::{Blocktype, Ports, merged};
use crate::model::time::{BanDuration, BanTime};
use crate::rules::{Rule, RuleFile, RuleSet, Service};
use crate::table::geofence_rules::Fence;
use crate::table::list_sets::ListSet;
use crate::table::structure::Structure;

/// Ports of one service that the kernel is asked about, for a line that does not name the connection.
const MOST_PORTS: usize = 32;

/// The list of ports that bans close by default.
const SIP_PORTS: &str = "sip";

/// Configuration, rules and kernel structure that belong together. Replaced as a whole by a reload.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The configuration; [`FLEET`] and [`MANUAL`] are its last jails.
    pub config: Config,
    /// The rules.
    pub rules: Arc<RuleSet>,
    /// The lists, as they were last read.
    pub lists: Arc<Lists>,
    /// What is in them that is worth a second look, with its place.
    pub notes: Vec<Diagnostic>,
    /// The structure of the kernel's table.
    pub structure: Structure,
    /// What is taken of the fleet's peers; `None`: there is no fleet.
    pub peers: Option<PeerTerms>,
    /// For each rule, the jails that count it.
    counted_by: Vec<Vec<JailId>>,
}

impl Plan {
    /// Puts `config` and `rules` together.
    #[must_use]
    pub fn new(mut config: Config, rules: Arc<RuleSet>) -> Self {
        config.jails.push(fleet(&config));
        config.jails.push(manual(config.ipv6prefix));
        let structure = Structure { served: served(&config, &rules), ..Structure::new(&config) };
        let counted_by = rules
            .rules
            .iter()
            .map(|rule| {
                let Meaning::Offence(class) = rule.meaning else { return Vec::new() };
                let Some(file) = rules.file_of(rule) else { return Vec::new() };
                // What stands in a jail's own table counts there, whatever it is.
                let is_own = file.owner.is_some();
                jails(&config)
                    .filter(|(_, jail)| is_own || jail.class.contains(&class))
                    .filter(|(_, jail)| selects(jail, file))
                    .map(|(id, _)| id)
                    .collect()
            })
            .collect();
        let notes = config.places.notes().to_vec();
        let peers = config.fleet.as_ref().map(PeerTerms::of);
        Self { config, rules, lists: Arc::default(), notes, structure, peers, counted_by }
    }

    /// Returns the plan with more that is worth a second look.
    #[must_use]
    pub fn with_notes(mut self, notes: Vec<Diagnostic>) -> Self {
        self.notes.extend(notes);
        self
    }

    /// Returns the plan with these lists, which are `sets` in the kernel.
    #[must_use]
    pub fn with_lists(mut self, lists: Arc<Lists>, sets: Vec<ListSet>) -> Self {
        let fence = lists.geofence.as_ref().filter(|fence| !fence.networks.is_empty());
        self.structure.geofence = fence.map(|fence| {
            let Countries { action, mode, .. } = fence.countries;
            Fence { action, mode }
        });
        self.lists = lists;
        self.structure.lists = sets;
        self
    }

    /// Returns the plan with other lists, and the sets that they are in.
    #[must_use]
    pub fn with_other_lists(&self, lists: Arc<Lists>, sets: Vec<ListSet>) -> Self {
        self.clone().with_lists(lists, sets)
    }

    /// Returns the plan with what was found out about Asterisk since.
    #[must_use]
    pub fn with_asterisk(&self, found: Found) -> Self {
        let mut plan = self.clone();
        found.apply(&mut plan.config);
        let Structure { lists, served, geofence, .. } = plan.structure;
        plan.structure = Structure { lists, geofence, served, ..Structure::new(&plan.config) };
        plan
    }

    /// Returns the networks that the kernel lets through, whatever is banned: configured, listed, and
    /// those of `exempt`.
    #[must_use]
    pub fn allowed(&self, exempt: &IgnoreList) -> Vec<IpNet> {
        let listed = self.lists.allow.iter().map(|listed| listed.net);
        self.config.ignoreip.iter().copied().chain(exempt.nets()).chain(listed).collect()
    }

    /// A jail.
    #[must_use]
    pub fn jail(&self, id: JailId) -> Option<&Jail> {
        self.config.jails.get(usize::from(id.0))
    }

    /// All jails with their ids.
    pub fn jails(&self) -> impl Iterator<Item = (JailId, &Jail)> {
        jails(&self.config)
    }

    /// The jail of this name.
    #[must_use]
    pub fn jail_named(&self, name: &str) -> Option<JailId> {
        self.jails().find(|(_, jail)| jail.name == name).map(|(id, _)| id)
    }

    /// The jail for bans by hand.
    #[must_use]
    pub fn manual(&self) -> JailId {
        JailId(u16::try_from(self.config.jails.len().saturating_sub(1)).unwrap_or(u16::MAX))
    }

    /// The jail for bans of the fleet's peers.
    #[must_use]
    pub fn fleet(&self) -> JailId {
        JailId(self.manual().0.saturating_sub(1))
    }

    /// The jail that counts the bans of the others, if it is in use.
    #[must_use]
    pub fn recidive(&self) -> Option<(JailId, &Jail)> {
        self.jails().find(|(_, jail)| jail.name == RECIDIVE)
    }

    /// Returns the ports of the service that a rule is about, if that is none of Asterisk's: [`MOST_PORTS`] at most.
    #[must_use]
    pub fn service_ports(&self, rule: RuleId) -> Vec<u16> {
        let service = self.rules.get(rule).map(|rule| &rule.service);
        let ranges = service.map_or(&[][..], |service| ports_of(&self.config, service));
        ranges.iter().flat_map(|(low, high)| *low..=*high).take(MOST_PORTS).collect()
    }

    /// Returns the services beside Asterisk whose lines jails count, by the names of their port lists, and these ports.
    #[must_use]
    pub fn services(&self) -> BTreeMap<&str, &[(u16, u16)]> {
        let used = self.rules.rules.iter().filter(|rule| is_used(&self.config, &self.rules, rule));
        used.filter_map(|rule| {
            Some((rule.service.port_list()?, ports_of(&self.config, &rule.service)))
        })
        .filter(|(_, ports)| !ports.is_empty())
        .collect()
    }

    /// Returns what is worth a second look.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.config.warnings(&self.rules.filters());
        let used = self.rules.rules.iter().filter(|rule| is_used(&self.config, &self.rules, rule));
        let unlisted: BTreeSet<_> = used
            .filter_map(|rule| Some((self.rules.file_of(rule)?, rule.service.port_list()?)))
            .filter(|(_, list)| self.config.ports.iter().all(|(name, _)| name != list))
            .map(|(file, list)| (file.path.display().to_string(), list))
            .collect();
        warnings.extend(unlisted.into_iter().map(|(path, list)| {
            format!(
                "{path}: no line about the service {list:?} counts: write its ports below [ports], for example {list} = [7000]"
            )
        }));
        warnings
    }

    /// A rule's name, as `filter/id`.
    #[must_use]
    pub fn rule_name(&self, id: RuleId) -> Option<String> {
        self.rules.name_of(id)
    }

    /// The jails that count a rule.
    #[must_use]
    pub fn counted_by(&self, rule: RuleId) -> &[JailId] {
        self.counted_by.get(usize::from(rule.0)).map_or(&[], Vec::as_slice)
    }

    /// The jails that count a rule which lines can match: those that read logs.
    pub fn readers(&self) -> impl Iterator<Item = (JailId, &Jail)> {
        let of_lines = |jail: &Jail| {
            self.rules
                .files
                .iter()
                .any(|file| !event::is_wire_filter(&file.name) && selects(jail, file))
        };
        self.jails().filter(move |(_, jail)| of_lines(jail))
    }

    /// Returns the jails that count the SIP response monitor's rules.
    #[must_use]
    pub fn watchers(&self) -> Vec<JailId> {
        let watches = |jail: &Jail| event::wire_filters().any(|filter| reads(jail, filter));
        self.jails().filter(|(_, jail)| watches(jail)).map(|(id, _)| id).collect()
    }

    /// The rules that matter where these jails read: those that one of them counts, and those of
    /// its filters that say who logged in and what is to be ignored.
    #[must_use]
    pub fn rules_for(&self, jails: &[JailId]) -> Vec<RuleId> {
        let wanted = |id: RuleId, rule: &Rule| match (rule.meaning, self.rules.file_of(rule)) {
            (Meaning::Offence(_), _) => self.counted_by(id).iter().any(|jail| jails.contains(jail)),
            (_, None) => false,
            (_, Some(file)) => {
                jails.iter().filter_map(|jail| self.jail(*jail)).any(|jail| selects(jail, file))
            }
        };
        self.rules.iter().filter(|(id, rule)| wanted(*id, rule)).map(|(id, _)| id).collect()
    }

    /// Compiles these rules, for lines that are tagged as the configuration says.
    ///
    /// # Errors
    /// When they are too large together.
    pub fn matcher(&self, rules: &[RuleId]) -> Result<Matcher, PatternSetError> {
        Ok(Matcher::new(&self.rules, rules)?.with_tags(self.tags()))
    }

    /// Returns the tags by which lines in the logs of others are known as Asterisk's.
    #[must_use]
    pub fn tags(&self) -> Tags {
        Tags::new(self.config.tag.iter().map(String::as_str))
    }

    /// Returns the zone of dates that name none.
    #[must_use]
    pub fn log_time_zone(&self) -> TimeZone {
        self.config
            .logtimezone
            .as_ref()
            .map_or_else(TimeZone::system, |of_logs| of_logs.zone.clone())
    }

    /// Returns the failregexes in a jail's own table, with their names and how far their hosts can be believed.
    pub fn own_rules<'a>(
        &'a self,
        jail: &'a Jail,
    ) -> impl Iterator<Item = (String, Evidence)> + 'a {
        let is_own = move |rule: &Rule| {
            let owner = self.rules.file_of(rule).and_then(|file| file.owner.as_ref());
            owner == Some(&jail.name)
        };
        let own = self.rules.iter().filter(move |(_, rule)| is_own(rule));
        own.filter_map(|(id, rule)| Some((self.rule_name(id)?, rule.evidence)))
    }

    /// Returns the form of the dates in Asterisk's logs, as far as its configuration says it and it can be read.
    #[must_use]
    pub fn date_format(&self) -> Option<DateFormat> {
        DateFormat::new(self.config.dateformat.as_deref()?)
    }

    /// Returns the scope that a jail's bans on this evidence close, and their length.
    #[must_use]
    pub fn ban_terms(&self, jail: &Jail, evidence: Evidence) -> (ScopeId, BanTime) {
        let BanTerms { bantime, port } = policy::punishment(jail, evidence);
        // Structure::new made a scope for every port list that a jail uses.
        (
            self.structure.find_scope(&port, jail.blocktype, jail.ipv6prefix).unwrap_or(ScopeId(0)),
            bantime,
        )
    }
}

/// Returns the ports of the services that are not Asterisk's, as far as the rules that jails use are about them.
fn served(config: &Config, rules: &RuleSet) -> Vec<(u16, u16)> {
    let used = rules.rules.iter().filter(|rule| is_used(config, rules, rule));
    merged(used.flat_map(|rule| ports_of(config, &rule.service)).copied())
}

/// Whether a jail in use has the file of a rule.
fn is_used(config: &Config, rules: &RuleSet, rule: &Rule) -> bool {
    rules.file_of(rule).is_some_and(|file| config.jails.iter().any(|jail| selects(jail, file)))
}

/// Returns the ports of a service that is not Asterisk's, as `[ports]` lists them.
fn ports_of<'a>(config: &'a Config, service: &Service) -> &'a [(u16, u16)] {
    let list = service.port_list().and_then(|name| config.ports.iter().find(|(it, _)| it == name));
    match list {
        Some((_, Ports::Ranges(ranges))) => ranges,
        _ => &[],
    }
}

fn jails(config: &Config) -> impl Iterator<Item = (JailId, &Jail)> {
    (0..=u16::MAX).map(JailId).zip(&config.jails)
}

/// Whether a jail counts the rules of a file.
fn selects(jail: &Jail, file: &RuleFile) -> bool {
    file.owner.as_ref().map_or_else(|| reads(jail, &file.name), |owner| *owner == jail.name)
}

fn reads(jail: &Jail, filter: &str) -> bool {
    jail.filter.iter().any(|glob| glob.matches(filter))
}

/// The jail of peers' bans: the ports are those that bans close by default, where there is no jail of the same name.
fn fleet(config: &Config) -> Jail {
    let terms =
        BanTerms { bantime: BanTime::fixed(BanDuration::Permanent), port: SIP_PORTS.to_owned() };
    Jail {
        name: FLEET.to_owned(),
        port: terms.port.clone(),
        unverified: terms,
        ignoreip: config.ignoreip.clone(),
        ..manual(config.ipv6prefix)
    }
}

fn manual(ipv6prefix: u8) -> Jail {
    let forever =
        BanTerms { bantime: BanTime::fixed(BanDuration::Permanent), port: "all".to_owned() };
    Jail {
        name: MANUAL.to_owned(),
        mode: Mode::Enforce,
        filter: Vec::new(),
        own: OwnRules::default(),
        class: Vec::new(),
        logpath: Vec::new(),
        count: Counting::Attempts,
        maxretry: 1,
        findtime: Duration::from_secs(1),
        bantime: forever.bantime,
        port: forever.port.clone(),
        blocktype: Blocktype::Drop,
        // A ban by hand beats every list; the kernel's allow set still lets its hosts through.
        ignoreip: Vec::new(),
        ignorenames: Vec::new(),
        ipv6prefix,
        unverified: forever,
        hearsay: Hearsay::Ignore,
        renew: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    /// The names of the rules that are looked for in a log, with these services' jails in use.
    fn rules_of(log: &str, services: &[&str]) -> Vec<String> {
        let rules = Arc::new(RuleSet::load(None).unwrap());
        let sections = services.iter().map(|jail| format!("[jail.{jail}]\nenabled = true\n"));
        let text = sections.collect::<Vec<_>>().concat();
        let config = load::parse(&[("a.toml".into(), text)], &rules.filters()).unwrap();
        let plan = Plan::new(config, rules);
        let reads = |jail: &Jail| jail.logpath.iter().any(|path| path == log);
        let jails: Vec<_> =
            plan.readers().filter(|(_, jail)| reads(jail)).map(|(id, _)| id).collect();
        plan.rules_for(&jails).into_iter().filter_map(|id| plan.rule_name(id)).collect()
    }

    #[test]
    fn a_log_of_asterisk_is_read_as_before_beside_ten_services() {
        let services = [
            "sshd",
            "sshd-probe",
            "freepbx-web",
            "nginx-http-auth",
            "apache-auth",
            "postfix-sasl",
            "dovecot",
            "vsftpd",
            "kamailio",
        ];
        let log = "/var/log/asterisk/messages";
        let alone = rules_of(log, &[]);
        let is_of_asterisk =
            |rule: &String| rule.starts_with("asterisk-") || rule.starts_with("wire");
        assert!(alone.len() > 50 && alone.iter().all(is_of_asterisk), "{alone:?}");
        assert_eq!(rules_of(log, &services), alone);
        let ssh = rules_of("/var/log/auth.log", &services);
        assert!(ssh.len() > 4 && ssh.iter().all(|rule| rule.starts_with("sshd/")), "{ssh:?}");
        assert!(rules_of("/var/log/auth.log", &[]).is_empty());
    }

    #[test]
    fn the_kernel_watches_the_ports_of_jails_in_use() {
        let plan = |text: &str| {
            let rules = Arc::new(RuleSet::load(None).unwrap());
            let source = [("a.toml".into(), text.to_owned())];
            Plan::new(load::parse(&source, &rules.filters()).unwrap(), rules)
        };
        assert!(plan("").structure.served.is_empty());
        let on = plan("[ports]\nssh = [22, '2222-2223']\n[jail.sshd]\nenabled = true\n");
        assert_eq!(on.structure.served, [(22, 22), (2222, 2223)]);
        let rule = on.rules.named("sshd", "wrong-password").unwrap();
        assert_eq!(on.service_ports(rule), [22, 2222, 2223]);
        let others = on.rules.named("asterisk-sip", "wrong-password").unwrap();
        assert!(on.service_ports(others).is_empty());
        assert_eq!(on.warnings(), [""; 0]);
    }

    #[test]
    fn a_service_without_a_list_of_ports_is_said() {
        let text = "service = 'door'\nprefix = 'none'\n[[rule]]\nid = 'x'\n\
                    failregex = '^knock <HOST>$'\nclass = 'scan'\nevidence = 'unverified'\n";
        let rules = Arc::new(RuleSet::parse(&[("door.toml".into(), text.to_owned())]).unwrap());
        let said = |text: &str| {
            let source = [("a.toml".into(), format!("{text}[jail.door]\nfilter = 'door'\n"))];
            let config = load::parse(&source, &rules.filters()).unwrap();
            Plan::new(config, Arc::clone(&rules)).warnings()
        };
        let missing = said("");
        assert!(missing.iter().any(|it| it.starts_with("door.toml: ") && it.contains("[ports]")));
        assert_eq!(said("[ports]\ndoor = 7000\n").len() + 1, missing.len());
    }
}
