//! Reads what `nft -j list ruleset` says: base chains, rules, and which of them turn a host away.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::Dropper;
use crate::table::structure::TABLE;

/// Sets of other tables that are asked whether they hold a host.
const MOST_SETS: usize = 64;

/// A listing, as far as it is of interest.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    /// Family and name of each table.
    pub tables: Vec<(String, String)>,
    /// The chains that the kernel sends packets to.
    pub chains: Vec<BaseChain>,
    /// The names of all chains, with their tables.
    pub chain_names: Vec<(String, String)>,
    /// Flow tables, with their tables: what is in one passes all chains by.
    pub flowtables: Vec<(String, String)>,
    /// The names of all sets, with their tables.
    pub sets: Vec<(String, String)>,
    rules: Vec<Rule>,
}

/// A chain that the kernel sends packets to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseChain {
    /// Family and name of its table.
    pub table: (String, String),
    /// Its name.
    pub name: String,
    /// `prerouting`, `input` …
    pub hook: String,
    /// Its place among the chains of that hook: lower ones come first.
    pub priority: i64,
    /// The fate of packets that no rule decides on: `accept`, `drop`.
    pub policy: String,
}

/// A set, as `nft` wants it named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetName {
    /// `ip`, `ip6`, `inet` …
    pub family: String,
    /// Its table.
    pub table: String,
    /// Its own name.
    pub name: String,
}

#[derive(Clone, Debug)]
struct Rule {
    table: (String, String),
    chain: String,
    handle: u64,
    expr: Vec<Value>,
}

impl Ruleset {
    /// Reads a listing in JSON.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn parse(json: &[u8]) -> serde_json::Result<Self> {
        let listing: Value = serde_json::from_slice(json)?;
        let mut found = Self::default();
        let objects = listing.get("nftables").and_then(Value::as_array);
        for object in objects.into_iter().flatten().filter_map(Value::as_object) {
            for (kind, value) in object {
                found.take(kind, value);
            }
        }
        Ok(found)
    }

    fn take(&mut self, kind: &str, value: &Value) {
        let name = text(value, "name");
        let table = (text(value, "family"), text(value, "table"));
        let named = (written(&table), name.clone());
        match kind {
            "table" => self.tables.push((table.0, name)),
            "flowtable" => self.flowtables.push(named),
            "set" | "map" => self.sets.push(named),
            "chain" => {
                self.chain_names.push(named);
                if let Some(priority) = value.get("prio").and_then(Value::as_i64) {
                    let (hook, policy) = (text(value, "hook"), text(value, "policy"));
                    self.chains.push(BaseChain { table, name, hook, priority, policy });
                }
            }
            "rule" => self.rules.push(Rule {
                table,
                chain: text(value, "chain"),
                handle: value.get("handle").and_then(Value::as_u64).unwrap_or_default(),
                expr: value.get("expr").and_then(Value::as_array).cloned().unwrap_or_default(),
            }),
            _ => {}
        }
    }

    /// Whether our own table is there.
    #[must_use]
    pub fn has_ours(&self) -> bool {
        self.tables.iter().any(|(family, name)| family == "inet" && name == TABLE)
    }

    /// Whether a chain, or one that it leads to, can drop or reject.
    #[must_use]
    pub fn can_drop(&self, chain: &BaseChain) -> bool {
        let mut seen = HashSet::from([chain.name.as_str()]);
        let mut open = vec![chain.name.as_str()];
        while let Some(name) = open.pop() {
            for rule in self.rules.iter().filter(|r| r.table == chain.table && r.chain == name) {
                if rule.drops() {
                    return true;
                }
                open.extend(rule.targets().filter(|target| seen.insert(*target)));
            }
        }
        chain.policy == "drop"
    }

    /// Returns the rules outside of our tables that turn `host` away. `holds` says whether a set does.
    pub fn droppers(
        &self,
        host: IpAddr,
        holds: &mut dyn FnMut(&SetName, IpAddr) -> bool,
    ) -> Vec<Dropper> {
        let mut asked = 0;
        let mut found = Vec::new();
        for rule in self.rules.iter().filter(|rule| !is_ours(&rule.table)) {
            let mut holds = |set: &SetName, host: IpAddr| {
                asked += 1;
                asked <= MOST_SETS && holds(set, host)
            };
            if let Some(reach) =
                rule.reach(host, &|chain| self.always_drops(rule, chain), &mut holds)
            {
                found.push(Dropper {
                    table: written(&rule.table),
                    chain: rule.chain.clone(),
                    rule: format!("handle {}", rule.handle),
                    set: reach.set,
                    partly: reach.partly,
                });
            }
        }
        found
    }

    /// Whether whatever comes into a chain of the same table as `rule` is dropped there.
    fn always_drops(&self, rule: &Rule, chain: &str) -> bool {
        let mut rules = self.rules.iter().filter(|r| r.table == rule.table && r.chain == chain);
        rules.any(|rule| rule.drops() && !rule.expr.iter().any(is_condition))
    }
}

/// The way in which a rule reaches a host.
struct Reach {
    set: Option<String>,
    partly: bool,
}

impl Rule {
    fn drops(&self) -> bool {
        self.expr.iter().any(|part| is_drop(part) || vmap_drops(part))
    }

    /// Returns the chains that it leads to.
    fn targets(&self) -> impl Iterator<Item = &str> {
        self.expr.iter().filter_map(target)
    }

    /// Returns how it turns `host` away; `None` if it does not. `fatal` says whether a chain drops all that
    /// comes into it.
    fn reach(
        &self,
        host: IpAddr,
        fatal: &dyn Fn(&str) -> bool,
        holds: &mut dyn FnMut(&SetName, IpAddr) -> bool,
    ) -> Option<Reach> {
        let by_map = self.expr.iter().any(|part| in_vmap(part, host));
        let ends = self.expr.iter().any(|part| is_drop(part) || target(part).is_some_and(fatal));
        if by_map {
            return Some(Reach { set: None, partly: self.expr.iter().any(is_condition) });
        }
        if !ends {
            return None;
        }
        let (mut set, mut partly, mut by_source) = (None, false, false);
        for condition in self.expr.iter().filter(|part| is_condition(part)) {
            match source_match(condition) {
                Some(Source { ipv6, .. }) if ipv6 != host.is_ipv6() => return None,
                Some(Source { op, right, mask, .. }) => {
                    let seen = mask.map_or(host, |mask| and(host, mask));
                    let fits = match right.as_str().and_then(|text| text.strip_prefix('@')) {
                        Some(name) => {
                            let (family, table) = self.table.clone();
                            set = Some(name.to_owned());
                            holds(&SetName { family, table, name: name.to_owned() }, seen)
                        }
                        None => covers(right, seen)?,
                    };
                    if fits == (op == "!=") {
                        return None;
                    }
                    // "Everybody but these" is about everybody, not about this host.
                    by_source |= op != "!=";
                }
                None => partly = true,
            }
        }
        by_source.then_some(Reach { set, partly })
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn written((family, name): &(String, String)) -> String {
    format!("{family} {name}")
}

/// Whether a table is one of ours.
fn is_ours((_, name): &(String, String)) -> bool {
    name.starts_with(TABLE)
}

fn is_drop(part: &Value) -> bool {
    part.get("drop").is_some() || part.get("reject").is_some()
}

fn target(part: &Value) -> Option<&str> {
    let jump = part.get("jump").or_else(|| part.get("goto"))?;
    jump.get("target").and_then(Value::as_str)
}

/// Whether a part of a rule can keep a packet from the verdict at its end.
fn is_condition(part: &Value) -> bool {
    ["match", "limit", "xt", "ct count"].iter().any(|kind| part.get(kind).is_some())
}

/// A match by source address.
struct Source<'a> {
    ipv6: bool,
    /// `==`, `!=`.
    op: &'a str,
    /// The value that it is compared with.
    right: &'a Value,
    /// The part that is taken of it before that.
    mask: Option<IpAddr>,
}

fn source_match(part: &Value) -> Option<Source<'_>> {
    let inside = part.get("match")?;
    let (left, right) = (inside.get("left")?, inside.get("right")?);
    let op = inside.get("op").and_then(Value::as_str).unwrap_or("==");
    if let Some(ipv6) = source(left) {
        return Some(Source { ipv6, op, right, mask: None });
    }
    let masked = left.get("&")?.as_array()?;
    let mask = Some(masked.get(1)?.as_str()?.parse().ok()?);
    Some(Source { ipv6: source(masked.first()?)?, op, right, mask })
}

/// Whether a source address is an IPv6 one; `None` if it is something else.
fn source(left: &Value) -> Option<bool> {
    let payload = left.get("payload")?;
    match (payload.get("protocol")?.as_str()?, payload.get("field")?.as_str()?) {
        ("ip", "saddr") => Some(false),
        ("ip6", "saddr") => Some(true),
        _ => None,
    }
}

/// Whether `value` (an address, a prefix, a range, or a list of them) holds `host`; `None` if it is
/// something else.
fn covers(value: &Value, host: IpAddr) -> Option<bool> {
    let address = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
    if value.is_string() {
        return address(value).map(|address| address == host);
    }
    if let Some(prefix) = value.get("prefix") {
        let bits = u8::try_from(prefix.get("len")?.as_u64()?).ok()?;
        return Some(IpNet::new(address(prefix.get("addr")?)?, bits).ok()?.contains(&host));
    }
    if let Some(range) = value.get("range").and_then(Value::as_array) {
        let (first, last) = (address(range.first()?)?, address(range.get(1)?)?);
        return Some(first.is_ipv4() == host.is_ipv4() && first <= host && host <= last);
    }
    let list = value.get("set")?.as_array()?;
    Some(list.iter().any(|value| covers(value, host) == Some(true)))
}

/// Returns the pairs of a map of verdicts by source address that stands in the rule itself.
fn vmap_pairs(part: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    let map = part.get("vmap").filter(|map| map.get("key").and_then(source).is_some());
    let pairs = map.and_then(|map| map.get("data")?.get("set")?.as_array());
    pairs.into_iter().flatten().filter_map(|pair| Some((pair.get(0)?, pair.get(1)?)))
}

fn vmap_drops(part: &Value) -> bool {
    vmap_pairs(part).any(|(_, verdict)| is_drop(verdict))
}

fn in_vmap(part: &Value, host: IpAddr) -> bool {
    vmap_pairs(part).any(|(key, verdict)| is_drop(verdict) && covers(key, host) == Some(true))
}

fn and(host: IpAddr, mask: IpAddr) -> IpAddr {
    match (host, mask) {
        (IpAddr::V4(host), IpAddr::V4(mask)) => (host & mask).into(),
        (IpAddr::V6(host), IpAddr::V6(mask)) => (host & mask).into(),
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nft 1.0.6 prints it, but for the table that is ours.
    const LISTING: &str = r#"{"nftables": [
{"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}},
{"table": {"family": "inet", "name": "f2b-table", "handle": 1}},
{"table": {"family": "inet", "name": "asterguard", "handle": 2}},
{"set": {"family": "inet", "name": "addr-set-asterisk", "table": "f2b-table", "type": "ipv4_addr", "handle": 3}},
{"chain": {"family": "inet", "table": "f2b-table", "name": "black", "handle": 1}},
{"chain": {"family": "inet", "table": "f2b-table", "name": "f2b-chain", "handle": 2, "type": "filter", "hook": "input", "prio": -1, "policy": "accept"}},
{"rule": {"family": "inet", "table": "f2b-table", "chain": "black", "handle": 5, "expr": [{"reject": {"type": "icmpx", "expr": "port-unreachable"}}]}},
{"rule": {"family": "inet", "table": "f2b-table", "chain": "f2b-chain", "handle": 7, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [22, {"range": [80, 90]}]}}}, {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@addr-set-asterisk"}}, {"reject": {"type": "icmp", "expr": "port-unreachable"}}]}},
{"rule": {"family": "inet", "table": "f2b-table", "chain": "f2b-chain", "handle": 8, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "203.0.113.0", "len": 24}}}}, {"counter": {"packets": 0, "bytes": 0}}, {"drop": null}]}},
{"rule": {"family": "inet", "table": "f2b-table", "chain": "f2b-chain", "handle": 10, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"set": ["1.2.3.4", {"prefix": {"addr": "10.0.0.0", "len": 8}}, {"range": ["11.0.0.1", "11.0.0.9"]}]}}}, {"drop": null}]}},
{"rule": {"family": "inet", "table": "f2b-table", "chain": "f2b-chain", "handle": 11, "expr": [{"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@nets"}}, {"jump": {"target": "black"}}]}},
{"rule": {"family": "inet", "table": "f2b-table", "chain": "f2b-chain", "handle": 13, "expr": [{"vmap": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "data": {"set": [["5.5.5.5", {"drop": null}], ["5.5.5.6", {"accept": null}]]}}}]}},
{"rule": {"family": "inet", "table": "f2b-table", "chain": "f2b-chain", "handle": 14, "expr": [{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "ip6", "field": "saddr"}}, "ffff:ffff:ffff:ffff::"]}, "right": "@net6"}}, {"drop": null}]}},
{"rule": {"family": "inet", "table": "f2b-table", "chain": "f2b-chain", "handle": 15, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"range": ["9.9.9.9", "9.9.9.10"]}}}, {"goto": {"target": "black"}}]}},
{"rule": {"family": "inet", "table": "f2b-table", "chain": "f2b-chain", "handle": 16, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "7.7.7.7"}}, {"accept": null}]}},
{"rule": {"family": "inet", "table": "asterguard", "chain": "prerouting", "handle": 3, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@ban4"}}, {"drop": null}]}}
]}"#;

    fn droppers(host: &str, held: &[(&str, &str)]) -> Vec<String> {
        let ruleset = Ruleset::parse(LISTING.as_bytes()).unwrap();
        let found = ruleset.droppers(host.parse().unwrap(), &mut |set, host| {
            held.iter().any(|(name, address)| set.name == *name && *address == host.to_string())
        });
        let text = |d: &Dropper| {
            let part = if d.partly { " partly" } else { "" };
            format!("{}{}{part}", d.rule, d.set.as_ref().map_or(String::new(), |s| format!(" {s}")))
        };
        found.iter().map(text).collect()
    }

    #[test]
    fn rules_that_turn_a_source_away_are_found() {
        let none = [""; 0];
        assert_eq!(droppers("192.0.2.66", &[]), none);
        assert_eq!(
            droppers("192.0.2.66", &[("addr-set-asterisk", "192.0.2.66"), ("ban4", "192.0.2.66")]),
            ["handle 7 addr-set-asterisk partly"]
        );
        assert_eq!(droppers("203.0.113.9", &[]), ["handle 8"]);
        for host in ["1.2.3.4", "10.9.8.7", "11.0.0.9"] {
            assert_eq!(droppers(host, &[]), ["handle 10"], "{host}");
        }
        for host in ["11.0.0.10", "5.5.5.6", "7.7.7.7", "9.9.9.11"] {
            assert_eq!(droppers(host, &[]), none, "{host}");
        }
        assert_eq!(droppers("5.5.5.5", &[]), ["handle 13"]);
        assert_eq!(droppers("9.9.9.9", &[]), ["handle 15"]);
        assert_eq!(droppers("2001:db8::7", &[("net6", "2001:db8::")]), ["handle 14 net6"]);
    }

    #[test]
    fn what_can_drop_is_known_through_jumps() {
        let mut ruleset = Ruleset::parse(LISTING.as_bytes()).unwrap();
        assert!(ruleset.has_ours());
        let [chain] = ruleset.chains.as_slice() else { panic!("{:?}", ruleset.chains) };
        let chain = chain.clone();
        assert_eq!((chain.hook.as_str(), chain.priority), ("input", -1));
        assert!(ruleset.can_drop(&chain));
        ruleset.rules.retain(|rule| rule.handle == 15 || rule.handle == 5);
        assert!(ruleset.can_drop(&chain), "by the chain that it goes to");
        ruleset.rules.retain(|rule| rule.handle == 15);
        assert!(!ruleset.can_drop(&chain));
    }

    #[test]
    fn an_empty_listing_has_nothing() {
        let ruleset = Ruleset::parse(br#"{"nftables": [{"metainfo": {}}]}"#).unwrap();
        assert!(!ruleset.has_ours());
        assert!(Ruleset::parse(b"table inet x {}").is_err());
    }
}
