//! Named points at which a test lets the process die.
//!
//! `LABWIRE_CRASH_AT=<point>#<n>` or `<point>@<where>#<n>` ends the process when it passes the point
//! (of that line, say) for the `n`-th time, by a signal that cannot be caught in time: nothing is
//! flushed, nobody is told, no destructor runs. So every moment of the crash table can be met at
//! will, while kills from outside meet them by luck.
//!
//! Only builds with debug assertions have the points; in a release build nothing is left of them.

/// Passes a point.
#[inline]
pub fn point(name: &str) {
    point_at(name, "");
}

/// Passes a point of a line, or of whatever else there are several of.
#[cfg(debug_assertions)]
pub fn point_at(name: &str, place: &str) {
    plan::pass(name, place);
}

/// Passes a point of a line, or of whatever else there are several of.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point_at(_name: &str, _place: &str) {}

#[cfg(debug_assertions)]
mod plan {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };

    /// Where the process is to die.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Plan {
        pub(super) point: String,
        /// Absent: wherever it is passed.
        pub(super) place: Option<String>,
        pub(super) times: u64,
    }

    impl Plan {
        pub(super) fn read(text: &str) -> Option<Self> {
            let (point, times) = text.rsplit_once('#')?;
            let (point, place) = match point.split_once('@') {
                Some((point, place)) => (point, Some(place.to_owned())),
                None => (point, None),
            };
            Some(Self {
                point: point.to_owned(),
                place,
                times: times.parse().ok().filter(|times| *times > 0)?,
            })
        }

        pub(super) fn names(&self, point: &str, place: &str) -> bool {
            self.point == point && self.place.as_deref().is_none_or(|own| own == place)
        }
    }

    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    pub(super) fn pass(point: &str, place: &str) {
        let plan = PLAN.get_or_init(|| Plan::read(&std::env::var("LABWIRE_CRASH_AT").ok()?));
        let Some(plan) = plan.as_ref().filter(|plan| plan.names(point, place)) else {
            return;
        };
        if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == plan.times {
            std::process::abort();
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::plan::Plan;

    #[test]
    fn a_plan_names_a_point_a_place_and_a_count() {
        let plan = Plan::read("written@host:his:results-1#3").expect("a plan");
        assert_eq!(plan.times, 3);
        assert!(plan.names("written", "host:his:results-1"));
        assert!(!plan.names("written", "host:his:results-2"));
        assert!(!plan.names("read", "host:his:results-1"));
        assert!(Plan::read("commit#1").is_some_and(|plan| plan.names("commit", "peers")));
        for wrong in ["", "read", "read#", "read#0", "read#x"] {
            assert_eq!(Plan::read(wrong), None, "{wrong}");
        }
    }
}
