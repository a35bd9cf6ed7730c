//! Where a host is: its country, and the network (AS) that it belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A country by its two letters (ISO 3166-1 alpha-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Country([u8; 2]);

/// The reason why a text is no country.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no country: write its two letters (ISO 3166), for example \"DE\"")]
pub struct NoCountry(pub String);

impl Country {
    /// Returns the country of these two letters, large or small; `None` if they are anything else.
    #[must_use]
    pub fn of(code: &[u8]) -> Option<Self> {
        let code: [u8; 2] = code.try_into().ok()?;
        code.iter().all(u8::is_ascii_alphabetic).then(|| Self(code.map(|c| c.to_ascii_uppercase())))
    }

    /// Returns its letters, in capitals.
    #[must_use]
    pub fn letters(self) -> [u8; 2] {
        self.0
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.0.map(char::from);
        f.pad(&format!("{first}{second}"))
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.to_string()
    }
}

impl TryFrom<String> for Country {
    type Error = NoCountry;

    fn try_from(code: String) -> Result<Self, NoCountry> {
        Self::of(code.as_bytes()).ok_or(NoCountry(code))
    }
}

/// Where a host is, as far as the databases of the administrator know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
    /// The number of the autonomous system, as in `AS64496`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Whose network it is. Text of the database, of at most 100 characters and without control characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}

impl Place {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the network in words: `AS64496 Example`.
    #[must_use]
    pub fn network(&self) -> Option<String> {
        match (self.asn, &self.organisation) {
            (Some(asn), Some(name)) => Some(format!("AS{asn} {name}")),
            (Some(asn), None) => Some(format!("AS{asn}")),
            (None, name) => name.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.country, self.network()) {
            (Some(country), Some(network)) => write!(f, "{country}, {network}"),
            (Some(country), None) => country.fmt(f),
            (None, network) => f.write_str(network.as_deref().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_two_letters() {
        assert_eq!(Country::of(b"de").unwrap().to_string(), "DE");
        assert_eq!(format!("{:<4}|", Country::of(b"NL").unwrap()), "NL  |");
        for wrong in ["", "D", "DEU", "D1", "d\n", "\u{e9}"] {
            assert_eq!(Country::of(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert!(serde_json::from_str::<Country>("\"D\\u0001\"").is_err());
    }

    #[test]
    fn a_place_is_said_in_words() {
        let country = Country::of(b"NL");
        let place = Place { country, asn: Some(64_496), organisation: Some("Example".to_owned()) };
        assert_eq!(place.to_string(), "NL, AS64496 Example");
        assert_eq!(Place { country, ..Place::default() }.to_string(), "NL");
        assert_eq!(Place { country: None, ..place }.to_string(), "AS64496 Example");
        assert!(Place::default().is_unknown());
    }
}
