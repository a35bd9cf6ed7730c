//! `[geoip]`: files that know the country and the network of a host.

use std::path::{Path, PathBuf};

use super::toml_reader::{PathOf, TomlReader, TomlValue};

const KEYS: [&str; 1] = ["files"];

/// Files that there may be: one for countries and one for networks are usual.
const MOST_FILES: usize = 8;

const HELP: &str = "write for example [\"/var/lib/GeoIP/GeoLite2-Country.mmdb\"]";

/// What `[geoip]` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeoIp {
    /// Files of the format MMDB. The first that knows something wins.
    pub files: Vec<PathBuf>,
}

impl GeoIp {
    /// Merges in what a file says.
    pub(super) fn merge(&mut self, reader: &mut TomlReader, value: &TomlValue) {
        let help = "write [geoip], and its keys below it";
        for (key, value) in reader.table(value, help).into_iter().flatten() {
            if key.get_ref() != "files" {
                reader.unknown_key(key, &KEYS);
                continue;
            }
            let texts = reader.texts(value, HELP);
            let files = texts.iter().filter_map(|(text, span)| {
                reader.absolute_path(text, span, PathOf::File, HELP).map(Path::to_owned)
            });
            self.files = files.collect();
            if self.files.len() > MOST_FILES {
                let message = format_args!("more than {MOST_FILES} files");
                reader.error(value.span(), message, "name one for countries and one for networks");
            }
        }
    }
}
