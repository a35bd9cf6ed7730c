//! Which modules Asterisk loads when it starts, by modules.conf.

use super::conf::Conf;
use super::ports::is_true;

/// The keys of `modules.conf` that say so.
pub const KEYS: [&str; 4] = ["autoload", "load", "noload", "preload"];

/// Whether Asterisk loads a module, given by its name without `.so`, as far as `modules.conf` says.
#[must_use]
pub fn loads(conf: &Conf, module: &str) -> bool {
    let named = |key: &'static str| {
        let named = move |value: &str| value.trim_end_matches(".so") == module;
        conf.sections.iter().any(|section| section.all(key).any(named))
    };
    let autoload = conf.sections.iter().filter_map(|section| section.last("autoload")).next_back();
    !named("noload") && (autoload.is_some_and(is_true) || named("load") || named("preload"))
}
