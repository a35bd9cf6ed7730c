//! Checks of the journal as a source: whether anything ever came from the parts that are read.

use super::Finding;
use super::facts::World;
use crate::model::journal_part::JournalPart;

/// A part of the journal that jails read, and the last entry of it that `journalctl` prints.
pub type Part = (JournalPart, Result<String, String>);

/// Checks whether the parts of the journal that are read have entries.
pub fn entries(world: &World) -> Vec<Finding> {
    const CHECK: &str = "journal";
    if world.journal.is_empty() {
        return vec![Finding::ok(CHECK, "not read")];
    }
    let found = world.journal.iter().map(|(part, last)| match last {
        Err(why) => Finding::unchecked(CHECK, format!("journal:{part}: {why}")),
        Ok(last) if last.trim_ascii().is_empty() => {
            Finding::problem(CHECK, format!("journal:{part}: the journal has no entry of it"))
                .at("`logpath`")
                .change("have Asterisk write there (`syslog.local0 => notice,warning,error,security` in logger.conf), and name the unit that it runs in: `systemctl status asterisk`")
        }
        Ok(_) => Finding::ok(CHECK, format!("journal:{part} has entries")),
    });
    found.collect()
}
