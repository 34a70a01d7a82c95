//! Simulated mornings.

use proptest::prelude::*;

use super::example;
use crate::track::simulate::{Morning, Outcome, Policy, simulate};

/// Every tube came to its end: stored, or in an outlet with a reason; and the books know where.
#[track_caller]
fn check_ends(outcome: &Outcome, tubes: u32) {
    let in_outlets: u32 = outcome.outlets.values().sum();
    assert_eq!(outcome.stored + in_outlets, tubes, "{outcome:?}");
    assert_eq!((outcome.unended, outcome.misplaced), (0, 0), "{outcome:?}");
}

#[test]
fn a_morning_with_its_faults_is_shorter_by_the_advice() {
    let line = example();
    let morning = Morning::of_seed(1);
    let [first, turns, advised] = Policy::ALL.map(|policy| simulate(&line, morning, policy));
    for outcome in [&first, &turns, &advised] {
        check_ends(outcome, 1_200);
        assert!(
            outcome.outlets.contains_key("unread") && outcome.outlets.contains_key("not-on-line")
        );
    }
    assert!(advised.longest_lane_queue * 10 < first.longest_lane_queue * 8);
    assert!(advised.wait.mean < first.wait.mean / 2.0);
    assert!(advised.wait.mean < turns.wait.mean);
    assert!(advised.stat_wait.mean < turns.stat_wait.mean);
    // Hardly any advice changes on the way: the hysteresis holds.
    assert!(advised.changed < 120, "{}", advised.changed);
    assert!(!advised.findings.contains_key("tube-in-two-places"));
    assert!(first.forecast.announced > 0);
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_does_not() {
    let line = example();
    let run = |seed| {
        let morning = Morning {
            tubes: 300,
            ..Morning::of_seed(seed)
        };
        simulate(&line, morning, Policy::Advised)
    };
    let one = run(7);
    assert_eq!(one, run(7));
    assert_ne!(one, run(8));
}

#[test]
fn a_morning_without_faults_puts_every_tube_away() {
    let line = example();
    let morning = Morning {
        tubes: 300,
        unread_per_mille: 0,
        has_faults: false,
        ..Morning::of_seed(3)
    };
    for policy in Policy::ALL {
        let outcome = simulate(&line, morning, policy);
        check_ends(&outcome, 300);
        assert!(
            outcome
                .outlets
                .keys()
                .all(|reason| *reason == "not-on-line"),
            "{outcome:?}"
        );
        assert!(outcome.findings.is_empty(), "{outcome:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever fails, every tube comes to its end and the books know where.
    #[test]
    fn every_tube_of_any_morning_is_stored_or_in_an_outlet_with_a_reason(
        seed in any::<u64>(),
        tubes in 1..150_u32,
        stat_per_mille in 0..1_000_u64,
        unread_per_mille in 0..200_u64,
        gate_per_mille in 0..100_u64,
        policy in 0..3_usize,
    ) {
        let line = example();
        let morning = Morning {
            tubes,
            stat_per_mille,
            unread_per_mille,
            gate_per_mille,
            ..Morning::of_seed(seed)
        };
        let outcome = simulate(&line, morning, Policy::ALL[policy]);
        check_ends(&outcome, tubes);
    }
}
