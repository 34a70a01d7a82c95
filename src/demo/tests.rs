use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    config::{self, Seams},
    ledger::End,
    profile::{Library, LineSettings},
};

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("few")
}

fn loaded() -> config::Loaded {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let lab = hospital::write(folder.path(), ([127, 0, 0, 1], 1).into()).expect("it is writable");
    let (loaded, problems) = config::load(&lab, &Seams::default());
    assert!(problems.is_empty(), "{}", render(&problems, false));
    loaded.expect("a site without problems")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_morning_accounts_for_every_result() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let options = Options {
        seed: 3,
        specimens: 20,
        speed: 1_000.0,
        length: None,
        // It ends as soon as everything is there; this is for a machine that is busy.
        settle: Duration::from_secs(180),
        folder: folder.path().to_path_buf(),
        console: None,
    };
    let report = run(&options, CancellationToken::new(), &mut |_| {})
        .await
        .expect("a morning");
    assert_eq!(report.verdict(), Verdict::Clean, "{report}");
    assert!(
        report
            .to_string()
            .contains("lost 0, altered 0, wrong patient 0")
    );
    let at_his = report.account.ends.get(&End::Delivered).copied();
    assert!(at_his > Some(50), "{report}");
    // Tubes by the line were received, measured and stored, and none of them was in doubt.
    let bridge = &report.live.bridge;
    assert!(
        bridge.on_line > 0 && bridge.on_line == bridge.stored,
        "{report}"
    );
    for reason in ["tube-in-two-places", "tube-not-at-analyzer"] {
        assert_eq!(bridge.holds.get(reason), None, "{report}");
    }
    // Every second tube came by air, and everything that can go wrong with the line did.
    let line = &report.line;
    assert!(line.by_air > 0 && line.by_hand > 0, "{report}");
    assert_eq!(line.by_air + line.by_hand, bridge.on_line, "{report}");
    assert_eq!(count(line.ways.len()), bridge.stored, "{report}");
    for fault in ["jam", "full", "off", "unread", "gate", "restart"] {
        assert!(line.faults.contains_key(fault), "{fault}: {report}");
    }
    // Nobody was there to release a group, and nothing else of the three departments was left out.
    let shares = &report.account.departments;
    assert_eq!(shares.len(), Department::ALL.len(), "{report}");
    let bank = &shares[&Department::Transfusion];
    assert!(bank.held > 0 && bank.posted == 0, "{report}");
    let posted: u64 = shares.values().map(|share| share.posted).sum();
    assert_eq!(Some(posted), at_his, "{report}");
    // The library's profiles, catalogue and simulators fit each other.
    for reason in ["unknown-test", "unit-differs", "unit-missing", "dilution"] {
        assert_eq!(report.live.bridge.holds.get(reason), None, "{report}");
    }
}

#[test]
fn every_test_of_the_library_is_in_its_catalogue_in_a_unit_that_passes() {
    let catalogue = Arc::new(loaded().catalogue);
    let (library, problems) = Library::load(None);
    assert!(problems.is_empty(), "{}", render(&problems, false));
    for profile in library.iter() {
        for rule in &profile.tests {
            let name = &profile.name;
            assert!(
                catalogue.test(&rule.test).is_some(),
                "{name}: {}",
                rule.test
            );
        }
        let line = profile.for_line(LineSettings::default());
        let problems = line.check_units(&*catalogue);
        assert!(problems.is_empty(), "{}", render(&problems, false));
        let problems = line.check_codes(&*catalogue);
        assert!(problems.is_empty(), "{}", render(&problems, false));
    }
}
