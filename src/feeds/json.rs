//! The texts that a path leads to in JSON, while it is read: nothing else of it is kept, however deep or long it is.

use std::fmt;
use std::io::Read;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::draft::{Draft, Refusal};
use crate::config::Step;

/// Reads one JSON value after the other, as lists with one on each line are written, and adds the texts at the end of
/// `steps` to the draft.
///
/// # Errors
/// When it is no JSON, cannot be read to its end, or the draft does not take it.
pub fn read(json: impl Read, steps: &[Step], draft: &mut Draft) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_reader(json);
    loop {
        match json.end() {
            Ok(()) => return Ok(()),
            // There is more.
            Err(error) if error.is_syntax() => {}
            Err(error) => return Err(error),
        }
        Way { steps, draft }.deserialize(&mut json)?;
    }
}

/// A value that the rest of a way leads through.
struct Way<'a> {
    steps: &'a [Step],
    draft: &'a mut Draft,
}

impl Way<'_> {
    /// The way ends, or another value stands where it goes on.
    fn missed(self) {
        self.draft.miss();
    }
}

impl<'de> DeserializeSeed<'de> for Way<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Way<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.missed();
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.missed();
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.missed();
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.missed();
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.missed();
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.steps {
            [] => self.draft.add(text.as_bytes()).map_err(|refusal: Refusal| E::custom(refusal)),
            _ => {
                self.missed();
                Ok(())
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Step::Items, rest)) = self.steps.split_first() else {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            self.missed();
            return Ok(());
        };
        while items.next_element_seed(Way { steps: rest, draft: &mut *self.draft })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(key), rest)) = self.steps.split_first() else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            self.missed();
            return Ok(());
        };
        let mut is_there = false;
        while let Some(is_it) = map.next_key_seed(IsKey(key))? {
            if is_it && is_there {
                return Err(A::Error::custom("the same key is there twice"));
            } else if is_it {
                map.next_value_seed(Way { steps: rest, draft: &mut *self.draft })?;
                is_there = true;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if !is_there {
            self.missed();
        }
        Ok(())
    }
}

/// Whether a key is this one.
struct IsKey<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IsKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> Step {
        Step::Key(key.to_owned())
    }

    fn found(json: &str, steps: &[Step]) -> Result<Vec<String>, String> {
        let mut draft = Draft::default();
        read(json.as_bytes(), steps, &mut draft).map_err(|error| error.to_string())?;
        let finished = draft.finish(None).map_err(|error| error.to_string())?;
        Ok(finished.networks.iter().map(|net| net.to_string()).collect())
    }

    #[test]
    fn networks_are_found_where_the_path_leads() {
        let both = ["192.0.2.1/32", "198.51.100.0/24"].map(str::to_owned).to_vec();
        let one_a_line = "{\"cidr\":\"192.0.2.1\",\"sblid\":\"SBL1\"}\n{\"cidr\":\"198.51.100.0/24\"}\n{\"type\":\"metadata\",\"size\":2}\n";
        for (json, steps) in [
            (one_a_line, vec![key("cidr")]),
            ("[\"192.0.2.1\",\"198.51.100.0/24\"]", vec![Step::Items]),
            (
                "{\"meta\":{\"data\":[\"203.0.113.9\"]},\"data\":[{\"ip\":\"192.0.2.1\",\"n\":[1,{}]},{\"ip\":\"198.51.100.0/24\"},7,null]}",
                vec![key("data"), Step::Items, key("ip")],
            ),
            ("[[\"192.0.2.1\"],[],[\"198.51.100.0\\u002f24\"]]", vec![Step::Items, Step::Items]),
        ] {
            assert_eq!(found(json, &steps).unwrap(), both, "{json}");
        }
    }

    #[test]
    fn hostile_json_is_refused_and_costs_nothing() {
        let deep = "[".repeat(10_000_000);
        let nested = format!(
            "{{\"x\":{}{},\"ip\":\"192.0.2.1\"}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let long = format!(
            "{{\"{}\":\"{}\",\"ip\":\"192.0.2.1\"}}",
            "k".repeat(1 << 20),
            "v".repeat(1 << 22)
        );
        let ip = [key("ip")];
        // What the path does not lead to may be as deep and long as it likes.
        for json in [&nested, &long] {
            assert_eq!(found(json, &ip).unwrap(), ["192.0.2.1/32"]);
        }
        let many = vec![Step::Items; 200];
        for (json, steps) in [
            (deep.as_str(), &ip[..]),
            (deep.as_str(), &many[..]),
            ("", &ip[..]),
            ("{\"ip\":\"192.0.2.1\"", &ip[..]),
            ("{\"ip\":\"192.0.2.1\"} trailing", &ip[..]),
            ("{\"ip\":\"192.0.2.1\",\"ip\":\"192.0.2.2\"}", &ip[..]),
            ("{\"ip\":[\"192.0.2.1\"]}", &ip[..]),
            ("{\"ip\":{\"a\":\"192.0.2.1\"}}", &ip[..]),
            ("{\"ip\":1921681}", &ip[..]),
            ("<html>192.0.2.1</html>", &ip[..]),
            ("192.0.2.1\n192.0.2.2\n", &ip[..]),
        ] {
            let shown: String = json.chars().take(60).collect();
            let all = found(json, steps);
            assert!(all.is_err() || (json.is_empty() && all == Ok(Vec::new())), "{shown}");
        }
    }
}
