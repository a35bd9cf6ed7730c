//! The form of the dates in Asterisk's logs, by logger.conf.

use super::conf::{self, Files};

/// Returns the `dateformat` of `[general]`; `None` is Asterisk's default, `%b %e %T`.
pub fn dateformat(files: &mut dyn Files) -> Option<String> {
    let conf = conf::read(files, "logger.conf", &["dateformat"]);
    let general = conf.sections.iter().filter(|s| s.name.eq_ignore_ascii_case("general"));
    let named = general.filter_map(|section| section.last("dateformat")).next_back();
    named.filter(|format| !format.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::conf::tests::Memory;
    use super::*;

    #[test]
    fn the_last_format_counts() {
        let format = |text: &str| dateformat(&mut Memory::of(&[("logger.conf", text)]));
        assert_eq!(format("[general]\ndateformat=%F %T\n[logfiles]\n"), Some("%F %T".to_owned()));
        let two = "[general]\ndateformat = %F %T\ndateformat = %d/%m/%Y %T ; ours\n";
        assert_eq!(format(two), Some("%d/%m/%Y %T".to_owned()));
        assert_eq!(format("[logfiles]\ndateformat=%F\n"), None);
        assert_eq!(dateformat(&mut Memory::of(&[])), None);
    }
}
