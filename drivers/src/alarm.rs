//! What people are told of a thing that may come a thousand times a second: that it came, and how
//! often.

use std::{collections::BTreeMap, time::Duration};

use labwire_protocols::wire::Mono;

/// Between two lines of the log about one code of one line: a device that is refused sends again
/// within seconds, for hours, and a log that it can fill hides everything else.
const BETWEEN: Duration = Duration::from_secs(60);

/// When each code of a line was told last.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    told: BTreeMap<&'static str, Told>,
}

#[derive(Debug)]
struct Told {
    at: Mono,
    since: u64,
}

impl Alarms {
    /// Counts one. Gives how many there were since people were told, if it is time to tell them.
    pub(crate) fn on(&mut self, now: Mono, code: &'static str) -> Option<u64> {
        let Some(told) = self.told.get_mut(code) else {
            self.told.insert(code, Told { at: now, since: 0 });
            return Some(1);
        };
        told.since += 1;
        if now.since(told.at) < BETWEEN {
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_told_at_once_and_then_once_a_minute_with_its_count() {
        let mut alarms = Alarms::default();
        let mut on = |second: u64, code| alarms.on(Mono::from_millis(second * 1_000), code);
        assert_eq!(on(0, "ASTM-0109"), Some(1));
        assert_eq!(on(1, "ASTM-0109"), None);
        // Another code is another matter.
        assert_eq!(on(1, "ASTM-0112"), Some(1));
        assert_eq!(on(59, "ASTM-0109"), None);
        assert_eq!(on(60, "ASTM-0109"), Some(3));
        assert_eq!(on(61, "ASTM-0109"), None);
        assert_eq!(on(600, "ASTM-0109"), Some(2));
    }
}
