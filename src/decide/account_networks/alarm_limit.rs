//! Limits how often alarms about accounts are told: a site that gets another address is hundreds of accounts.

use crate::model::clock_step::ClockStep;

/// Alarms, and accounts that move, that are told in an hour.
const AN_HOUR: u32 = 20;
const HOUR: u32 = 3600;
/// The time between two reports of what was withheld, in seconds.
const REPORT: u32 = 600;

/// The alarms that were told lately.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlarmLimit {
    /// Since when alarms are counted, in seconds; the same for accounts that move.
    alarms: (u32, u32),
    roaming: (u32, u32),
    withheld: u64,
    reported: u32,
}

impl AlarmLimit {
    /// Whether one more alarm may be told.
    pub fn allows(&mut self, now: u32) -> bool {
        one_more(&mut self.alarms, now)
    }

    /// Whether it may be told of one more account that it moves.
    pub fn allows_roaming(&mut self, now: u32) -> bool {
        one_more(&mut self.roaming, now)
    }

    /// Counts an alarm that is not told.
    pub fn withhold(&mut self) {
        self.withheld = self.withheld.saturating_add(1);
    }

    /// Returns how many alarms were withheld, once in a while.
    pub fn tick(&mut self, now: u32) -> Option<u64> {
        if self.withheld == 0 || now.saturating_sub(self.reported) < REPORT {
            return None;
        }
        self.reported = now;
        Some(std::mem::take(&mut self.withheld))
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        for time in [&mut self.alarms.0, &mut self.roaming.0, &mut self.reported] {
            *time = step.correct_secs(*time);
        }
    }
}

fn one_more((since, count): &mut (u32, u32), now: u32) -> bool {
    if now.saturating_sub(*since) >= HOUR {
        (*since, *count) = (now, 0);
    }
    *count = count.saturating_add(1);
    *count <= AN_HOUR
}
