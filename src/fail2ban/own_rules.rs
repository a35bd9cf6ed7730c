//! The failregexes in a jail's own table, as a rule file of that jail alone, and how far their hosts can be believed.

use std::sync::Arc;

use super::regexes::{Samples, evidence};
use crate::config::{Config, Diagnostic, Diagnostics, Hearsay, Jail, PlacedText};
use crate::model::event::{Class, Evidence, Meaning};
use crate::rules::date_pattern::Dates;
use crate::rules::pattern::Pattern;
use crate::rules::search::LineRegex;
use crate::rules::{Grammar, Rule, RuleFile, RuleSet};

/// Failregexes of all jails together, at most.
const MOST: usize = 10_000;

const NO_FAILREGEX: &str = "write a failregex, too; lines that the filter reads are passed over by a rule with class = \"ignored\" \
                            (docs/rules.md)";
const OF_OWN_ALONE: &str = "what the filter reads counts anyhow: lines of it are passed over by a rule with class = \"ignored\" \
                            (docs/rules.md)";
const PIN_HELP: &str = "let it begin with ^ and the text of its message, and leave no room for another address on one side of \
                        <HOST>, up to the end (docs/from-fail2ban.md)";

/// Adds the failregexes of jails to `rules`, each jail's as a file `jail.NAME` that no other jail uses. Returns what is worth a
/// second look.
///
/// # Errors
/// All that is wrong with them.
pub fn add(config: &Config, rules: &mut RuleSet) -> Result<Vec<Diagnostic>, Diagnostics> {
    let mut reader = Reader { samples: None, wrong: Vec::new(), notes: Vec::new(), read: 0 };
    let files: Vec<_> = config.described().filter_map(|jail| reader.jail(jail, rules)).collect();
    for told in [&mut reader.wrong, &mut reader.notes] {
        told.sort_by(|one, other| {
            (&one.path, one.span.start).cmp(&(&other.path, other.span.start))
        });
    }
    if !reader.wrong.is_empty() {
        return Err(Diagnostics(reader.wrong));
    }
    for file in files {
        rules.add(file);
    }
    Ok(reader.notes)
}

struct Reader {
    /// Lines of Asterisk's, once they are needed.
    samples: Option<Samples>,
    wrong: Vec<Diagnostic>,
    notes: Vec<Diagnostic>,
    read: usize,
}

impl Reader {
    fn jail(&mut self, jail: &Jail, rules: &RuleSet) -> Option<RuleFile> {
        let own = &jail.own;
        let Some(first) = own.failregex.first() else {
            let lonely = own.ignoreregex.first().or(own.datepattern.as_ref());
            let message = "it is about the failregexes of this table, and there are none";
            self.wrong.extend(lonely.map(|text| text.problem(message, Some(NO_FAILREGEX))));
            return None;
        };
        let name = format!("jail.{}", jail.name);
        if rules.files.iter().any(|file| file.name == name) {
            let message =
                format!("a rule file is called {name}.toml: its rules would have the same names");
            self.wrong.push(first.problem(message, Some("give that file another name")));
        }
        self.read += own.failregex.len();
        if self.read > MOST {
            let message = format!("more than {MOST} failregexes in the tables of jails");
            self.wrong.push(first.problem(message, Some("join some with |")));
            return None;
        }
        if let Some(ignored) = own.ignoreregex.first().filter(|_| !jail.filter.is_empty()) {
            let message = "this is about the failregexes of this table alone";
            self.notes.push(ignored.problem(message, Some(OF_OWN_ALONE)));
        }
        let ignoreregex = own.ignoreregex.iter().filter_map(|text| self.ignoreregex(text));
        let ignoreregex = ignoreregex.collect();
        if let Some(dates) = &own.datepattern {
            let wrong = Dates::new(Some(&dates.text)).err();
            self.wrong.extend(wrong.map(|error| dates.problem(error.to_string(), None)));
        }
        let numbered = (1..).zip(&own.failregex);
        let built = numbered.filter_map(|(number, text)| self.rule(jail, number, text, rules));
        let built = built.collect();
        Some(RuleFile {
            name,
            path: first.path.clone(),
            source: Arc::from(""),
            grammar: Grammar::Fail2ban,
            programs: Vec::new(),
            ignoreregex,
            datepattern: own.datepattern.as_ref().map(|dates| dates.text.clone()),
            messages: Vec::new(),
            rules: built,
            owner: Some(jail.name.clone()),
        })
    }

    fn ignoreregex(&mut self, text: &PlacedText) -> Option<LineRegex> {
        let read = LineRegex::read(&text.text, Grammar::Fail2ban);
        read.map_err(|error| self.wrong.push(text.problem(error.to_string(), None))).ok()
    }

    fn rule(
        &mut self,
        jail: &Jail,
        number: usize,
        text: &PlacedText,
        rules: &RuleSet,
    ) -> Option<Rule> {
        let pattern = match Pattern::of_fail2ban(&text.text) {
            Ok(pattern) => pattern,
            Err(error) => {
                self.wrong.push(text.problem(error.to_string(), None));
                return None;
            }
        };
        let search = pattern.search.as_ref()?;
        let samples = self.samples.get_or_insert_with(|| Samples::of(rules));
        let (evidence, beside) = evidence(search, samples);
        self.notes.extend(note(jail, text, search.pinned, evidence, &beside));
        let meaning = Meaning::Offence(Class::Guess);
        Some(Rule { evidence, ..Rule::plain(number.to_string(), vec![pattern], meaning) })
    }
}

/// Returns what its writer should know of a failregex with this evidence, which reads lines that these built-in rules read, too.
fn note(
    jail: &Jail,
    text: &PlacedText,
    is_pinned: bool,
    evidence: Evidence,
    beside: &[String],
) -> Option<Diagnostic> {
    let names = beside.join(", ");
    if evidence > Evidence::Hearsay {
        let message = format!("these lines are read already, by {names}");
        let help =
            "leave it out: the built-in jails count these lines, and know what each of them proves";
        return (!beside.is_empty()).then(|| text.problem(message, Some(help)));
    }
    let why = if is_pinned {
        format!("the address in these lines can be forged, as {names} knows")
    } else {
        "a stranger may write such a line, with any address in it".to_owned()
    };
    let (message, way) = match jail.hearsay {
        Hearsay::Ignore => (
            format!("untrusted (hearsay), and bans nobody: {why}"),
            "; or write hearsay = \"count\", and it can ban innocent hosts",
        ),
        Hearsay::Count => (format!("untrusted (hearsay), and can ban innocent hosts: {why}"), ""),
    };
    let pin =
        if is_pinned { "leave it out: the built-in rules read these lines" } else { PIN_HELP };
    Some(text.problem(message, Some(&format!("{pin}{way}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::parse;

    fn added(text: &str) -> Result<(RuleSet, Vec<Diagnostic>), String> {
        let mut rules = RuleSet::load(None).unwrap();
        let source = ("a.toml".into(), text.to_owned());
        let config = parse(&[source], &rules.filters()).map_err(|wrong| wrong.to_string())?;
        let notes = add(&config, &mut rules).map_err(|wrong| wrong.to_string())?;
        Ok((rules, notes))
    }

    fn evidence_of(failregex: &str) -> (Evidence, Vec<String>) {
        let (rules, notes) = added(&format!("[jail.x]\nfailregex = '''{failregex}'''\n")).unwrap();
        let rule = rules.iter().last().unwrap().1;
        (rule.evidence, notes.into_iter().map(|note| note.message).collect())
    }

    #[test]
    fn each_failregex_is_a_rule_of_its_jail() {
        let text = "[jail.x]\nfailregex = '''\n  ^door: <HOST> knocked$\n\n  ^gate: <HOST> rang$\n'''\n\
                    ignoreregex = ['office', '''a\nb''']\ndatepattern = '%d\\.%m'\n";
        let (rules, notes) = added(text).unwrap();
        let file = rules.files.last().unwrap();
        assert_eq!((file.name.as_str(), file.owner.as_deref()), ("jail.x", Some("x")));
        assert_eq!((file.grammar, file.ignoreregex.len()), (Grammar::Fail2ban, 3));
        assert_eq!(file.datepattern.as_deref(), Some(r"%d\.%m"));
        let names: Vec<_> = rules.iter().filter_map(|(id, _)| rules.name_of(id)).collect();
        assert!(names.ends_with(&["jail.x/1".to_owned(), "jail.x/2".to_owned()]), "{names:?}");
        assert_eq!(notes, []);
    }

    #[test]
    fn a_host_that_a_stranger_can_write_bans_nobody() {
        assert_eq!(evidence_of(r"^door: .* by <HOST>$"), (Evidence::Unverified, vec![]));
        for open in [r"door: .* by <HOST>$", r"^door: .* by <HOST> .*$", r"^.*door: by <HOST>$"] {
            let (evidence, notes) = evidence_of(open);
            assert_eq!(evidence, Evidence::Hearsay, "{open}");
            assert!(notes[0].starts_with("untrusted (hearsay), and bans nobody"), "{notes:?}");
        }
        let known = r"^\[\] NOTICE\[\d+\]\S* chan_sip\.c: Registration from '.*' failed for '<HOST>:\d+' - Wrong password$";
        let (evidence, notes) = evidence_of(known);
        assert!(
            evidence > Evidence::Hearsay && notes[0].contains("asterisk-sip/wrong-password"),
            "{notes:?}"
        );
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        for (text, place, words) in [
            ("failregex = ['^a <HOST>$', '^b$']", "a.toml:2:28:", "no host"),
            ("failregex = '''^a <HOST>$\n  ^(b <HOST>$'''", "a.toml:3:3:", "("),
            ("failregex = '^a <HOST>$'\nignoreregex = 'x('", "a.toml:3:15:", "("),
            ("failregex = '^a <HOST>$'\ndatepattern = '('", "a.toml:3:15:", "("),
            ("filter = 'asterisk-*'\nignoreregex = 'x'", "a.toml:3:15:", "there are none"),
            ("filter = 'asterisk-*'\ndatepattern = '%d'", "a.toml:3:15:", "there are none"),
            ("failregex = ' '", "a.toml:2:13:", "no failregex in it"),
            ("failregex = '%(__prefix_line)s<HOST>'", "a.toml:2:13:", "variable"),
            ("failregex = 7", "a.toml:2:13:", "expected a string"),
        ] {
            let said = added(&format!("[jail.x]\n{text}\n")).unwrap_err();
            assert!(said.starts_with(place) && said.contains(words), "{text}: {said}");
        }
    }

    #[test]
    fn there_is_an_end_to_regexes() {
        let jail = |name: usize, count: usize| {
            let regexes = "'^a <HOST>$',".repeat(count);
            format!("[jail.j{name}]\nfailregex = [{regexes}]\n")
        };
        assert!(added(&jail(0, 100)).is_ok());
        assert!(added(&jail(0, 101)).unwrap_err().contains("more than 100"));
    }

    #[test]
    fn a_rule_file_of_the_same_name_is_no_trap() {
        let mut rules = RuleSet::load(None).unwrap();
        let source = "[[rule]]\nid = 'a'\nfailregex = '^a <HOST>$'\nclass = 'scan'\nevidence = 'unverified'\n";
        rules.add(
            RuleSet::parse(&[("jail.x.toml".into(), source.to_owned())]).unwrap().files.remove(0),
        );
        let text = ("a.toml".into(), "[jail.x]\nfailregex = '^a <HOST>$'\n".to_owned());
        let config = parse(&[text], &rules.filters()).unwrap();
        let said = add(&config, &mut rules).unwrap_err().to_string();
        assert!(said.starts_with("a.toml:2:13: a rule file is called jail.x.toml"), "{said}");
    }
}
