//! `countries` below `[lists]`: which countries may reach the SIP ports, or may not.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Mode;
use super::jail_section::MODES;
use super::toml_reader::{TomlReader, TomlValue, name_of};
use crate::model::place::Country;

const KEYS: [&str; 3] = ["allow", "deny", "mode"];
const HELP: &str =
    "write for example: countries = { allow = [\"DE\", \"AT\"], mode = \"observe\" }";
const CODES_HELP: &str = "write their two letters, for example [\"DE\", \"AT\"]";

/// The codes of ISO 3166-1 alpha-2, and XK, which databases use for Kosovo.
const CODES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT \
    BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ \
    FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS \
    IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN \
    MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW \
    PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN \
    TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

/// Codes that are often meant for countries, and what to write instead.
const MEANT: [(&str, &str); 3] = [
    ("UK", "write \"GB\": that is the United Kingdom's code"),
    ("EU", "it is no country: write the codes of its members"),
    ("EN", "write \"GB\": that is the United Kingdom's code"),
];

/// What happens to the countries that are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FenceAction {
    /// Only hosts of these may reach the SIP ports.
    Allow,
    /// Hosts of these may not.
    Deny,
}

impl FenceAction {
    /// Returns its key.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// The geofence of the SIP ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Countries {
    /// What happens to them.
    pub action: FenceAction,
    /// The countries; at least one.
    pub named: BTreeSet<Country>,
    /// Whether packets are dropped, or only counted.
    pub mode: Mode,
}

impl Countries {
    /// Returns the value as it is written.
    #[must_use]
    pub fn text(&self) -> String {
        let codes: Vec<_> = self.named.iter().map(|country| format!("\"{country}\"")).collect();
        let (action, codes) = (self.action.word(), codes.join(", "));
        format!("{{ {action} = [{codes}], mode = \"{}\" }}", name_of(&self.mode, &MODES))
    }
}

/// What `countries` says; each key of a later file wins over that of an earlier one.
#[derive(Clone, Debug, Default)]
pub(super) struct CountriesSection {
    named: Option<(FenceAction, BTreeSet<Country>)>,
    mode: Option<Mode>,
    /// The file (by its number) and place where it stands last.
    place: Option<(usize, Range<usize>)>,
}

impl CountriesSection {
    /// Merges in what the file of this number says.
    pub fn merge(&mut self, reader: &mut TomlReader, file: usize, value: &TomlValue) {
        self.place = Some((file, value.span()));
        let mut named = None;
        for (key, value) in reader.table(value, HELP).into_iter().flatten() {
            let action = match key.get_ref().as_ref() {
                "allow" => FenceAction::Allow,
                "deny" => FenceAction::Deny,
                "mode" => {
                    self.mode = reader.choice(value, "mode", &MODES).or(self.mode);
                    continue;
                }
                _ => {
                    reader.unknown_key(key, &KEYS);
                    continue;
                }
            };
            if named.is_some() {
                let message = "allow and deny exclude each other";
                reader.error(
                    key.span(),
                    message,
                    "name those that may call, or those that may not",
                );
            }
            named = Some((action, codes(reader, value)));
        }
        self.named = named.or(self.named.take());
    }

    /// The geofence; what is missing is noted.
    pub fn finish(self, readers: &mut [TomlReader]) -> Option<Countries> {
        let (file, span) = self.place?;
        let Some((action, named)) = self.named else {
            let reader = readers.get_mut(file)?;
            reader.error(span, "countries names no country", HELP);
            return None;
        };
        // An empty list to take back what a file before it said: not one that closes the ports to everybody.
        let mode = self.mode.unwrap_or(Mode::Observe);
        (!named.is_empty()).then_some(Countries { action, named, mode })
    }
}

fn codes(reader: &mut TomlReader, value: &TomlValue) -> BTreeSet<Country> {
    let known: Vec<_> = CODES.split_ascii_whitespace().collect();
    let mut named = BTreeSet::new();
    for (text, span) in reader.texts(value, CODES_HELP) {
        let upper = text.to_ascii_uppercase();
        match Country::of(upper.as_bytes()).filter(|_| known.contains(&upper.as_str())) {
            Some(country) => {
                named.insert(country);
            }
            None => {
                let meant = MEANT.iter().find(|(code, _)| *code == upper);
                let help =
                    meant.map_or_else(|| near(&upper, &known), |(_, help)| (*help).to_owned());
                reader.error(span, format_args!("{text:?} is no country"), help);
            }
        }
    }
    named
}

/// Returns the codes that are probably meant: those that differ in one letter, as far as they are few.
fn near(code: &str, known: &[&str]) -> String {
    let letters: Vec<_> = code.bytes().collect();
    let [first, second] = letters.as_slice() else { return CODES_HELP.to_owned() };
    let swapped: String = [*second, *first].map(char::from).iter().collect();
    if known.contains(&swapped.as_str()) {
        return format!("did you mean {swapped:?}?");
    }
    let near = known.iter().filter(|known| known.as_bytes().first() == Some(first));
    let near: Vec<_> = near.copied().collect();
    if near.is_empty() { CODES_HELP.to_owned() } else { format!("near it: {}", near.join(", ")) }
}
