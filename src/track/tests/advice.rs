//! Where a tube is sent.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::track::{
    Priority,
    model::{Kind, Reason},
    route::{
        Advice, Analyzer, Analyzers, Chosen, Closed, Go, Need, Qc, Situation, Step, Verdict, advise,
    },
};

fn passed(line: &Line) -> Analyzers {
    let analyzers = line.of_kind(Kind::Analyzer).map(|no| {
        let tests = line.module(no).tests.iter();
        let qc: BTreeMap<_, _> = tests.map(|test| (test.clone(), Qc::Passed)).collect();
        (
            no,
            Analyzer {
                qc,
                ..Analyzer::default()
            },
        )
    });
    analyzers.collect()
}

fn need(tests: &[&str]) -> Need {
    Need {
        tests: tests.iter().map(|test| (*test).to_owned()).collect(),
        ..Need::default()
    }
}

fn ask(bench: &Bench, analyzers: &Analyzers, from: &str, need: &Need) -> Advice {
    let situation = Situation {
        track: &bench.track,
        analyzers,
        now: Time::from_s(1_000),
    };
    advise(&situation, &TubeId::new("T1"), bench.at(from), need)
}

fn target(bench: &Bench, advice: &Advice) -> String {
    match advice.go {
        Go::To { module, .. } => bench.line.module(module).id.clone(),
        Go::Outlet { module, reason, .. } => {
            format!("{} {}", bench.line.module(module).id, reason.code())
        }
        Go::Wait { reason } => format!("wait {}", reason.code()),
    }
}

fn closed(bench: &Bench, advice: &Advice, name: &str) -> Option<Closed> {
    let of = advice
        .candidates
        .iter()
        .find(|one| one.module == bench.at(name))?;
    match of.verdict {
        Verdict::Closed(why) => Some(why),
        Verdict::Open(_) => None,
    }
}

#[test]
fn steps_come_in_their_order() {
    let bench = Bench::new();
    let analyzers = passed(&bench.line);
    let mut all = Need {
        centrifuge: true,
        decap: true,
        aliquot: true,
        recap: true,
        ..need(&["GLU"])
    };
    let mut steps = Vec::new();
    for _ in 0..6 {
        let advice = ask(&bench, &analyzers, "AU2", &all);
        steps.push((advice.step, target(&bench, &advice)));
        match advice.step {
            Step::Centrifuge => all.centrifuge = false,
            Step::Decap => all.decap = false,
            Step::Aliquot => all.aliquot = false,
            Step::Analyze => all.tests.clear(),
            Step::Recap => all.recap = false,
            Step::Store => {}
        }
    }
    let targets: Vec<_> = steps.iter().map(|(_, target)| target.as_str()).collect();
    assert_eq!(
        targets,
        ["CENT1", "DECAP1", "ALIQ1", "AU2", "RECAP1", "STORE1"]
    );
}

#[test]
fn the_shorter_queue_is_taken_and_every_candidate_has_its_cost() {
    let mut bench = Bench::new();
    for tube in 0..10 {
        bench.tell(990, &format!("X{tube}"), "XN1", SEEN);
    }
    let advice = ask(&bench, &passed(&bench.line), "IN1", &need(&["WBC"]));
    assert_eq!(target(&bench, &advice), "XN2");
    assert_eq!(advice.candidates.len(), 8);
    assert_eq!(closed(&bench, &advice, "AU1"), Some(Closed::RunsNone));
    let Go::To {
        chosen: Chosen::Least { ahead_ms },
        ..
    } = advice.go
    else {
        panic!("{advice:?}")
    };
    // Ten tubes of 36 s less the way of 60 s.
    assert_eq!(ahead_ms, 300_000);
}

#[test]
fn urgent_tubes_count_urgent_ones_only_and_take_the_urgent_lane() {
    let mut bench = Bench::new();
    for tube in 0..20 {
        bench.tell(990, &format!("X{tube}"), "XN1", SEEN);
    }
    bench.tell(990, "S1", "XN2", SEEN);
    bench
        .track
        .set_priority(&TubeId::new("S1"), Priority::Stat, Time::from_s(990));
    let stat = Need {
        priority: Priority::Stat,
        ..need(&["WBC"])
    };
    let advice = ask(&bench, &passed(&bench.line), "XN1", &stat);
    assert_eq!(target(&bench, &advice), "XN1");
    let advice = ask(&bench, &passed(&bench.line), "IN1", &stat);
    let Go::To { lane, .. } = advice.go else {
        panic!("{advice:?}")
    };
    assert_eq!(lane, bench.line.lane_named("L1"));
    let advice = ask(&bench, &passed(&bench.line), "IN1", &need(&["WBC"]));
    let Go::To { lane, .. } = advice.go else {
        panic!("{advice:?}")
    };
    assert_eq!(lane, bench.line.lane_named("L3"));
}

#[test]
fn a_full_lane_is_left_for_another() {
    let mut bench = Bench::new();
    let lane = bench.line.lane_named("L2");
    for tube in 0..120 {
        bench.tell(990, &format!("X{tube}"), "RECAP1", What::Seen { lane });
    }
    let spun = Need {
        centrifuge: true,
        ..need(&["GLU"])
    };
    let advice = ask(&bench, &passed(&bench.line), "IN1", &spun);
    let Go::To { lane, .. } = advice.go else {
        panic!("{advice:?}")
    };
    assert_eq!(lane, bench.line.lane_named("L1"));
}

#[test]
fn an_analyzer_that_runs_more_of_the_tests_saves_a_second_visit() {
    let bench = Bench::new();
    // AU1 alone has lipids.
    let advice = ask(
        &bench,
        &passed(&bench.line),
        "DECAP1",
        &need(&["GLU", "CHOL"]),
    );
    assert_eq!(target(&bench, &advice), "AU1");
    let cost = |name| {
        let of = advice
            .candidates
            .iter()
            .find(|one| one.module == bench.at(name))
            .unwrap();
        match of.verdict {
            Verdict::Open(cost) => cost,
            Verdict::Closed(why) => panic!("{name} {why:?}"),
        }
    };
    assert_eq!(cost("AU1").rest_ms, 0);
    assert_eq!(cost("AU2").rest_ms, 75_000);
}

#[test]
fn an_advice_changes_only_for_a_real_gain() {
    let mut bench = Bench::new();
    let analyzers = passed(&bench.line);
    bench.tell(900, "T1", "IN1", SEEN);
    bench
        .track
        .set_advised(&TubeId::new("T1"), Some(bench.at("XN2")));
    for tube in 0..2 {
        bench.tell(990, &format!("X{tube}"), "XN2", SEEN);
    }
    let advice = ask(&bench, &analyzers, "IN1", &need(&["WBC"]));
    assert_eq!(target(&bench, &advice), "XN2");
    assert!(matches!(
        advice.go,
        Go::To {
            chosen: Chosen::Kept { behind_ms: 12_000 },
            ..
        }
    ));
    for tube in 2..9 {
        bench.tell(990, &format!("X{tube}"), "XN2", SEEN);
    }
    let advice = ask(&bench, &analyzers, "IN1", &need(&["WBC"]));
    assert_eq!(target(&bench, &advice), "XN1");
}

#[test]
fn a_tube_does_not_count_itself_in_the_queue_it_stands_in() {
    let mut bench = Bench::new();
    bench.tell(990, "T1", "XN1", SEEN);
    let advice = ask(&bench, &passed(&bench.line), "XN1", &need(&["WBC"]));
    let Verdict::Open(cost) = &advice
        .candidates
        .iter()
        .find(|one| one.module == bench.at("XN1"))
        .unwrap()
        .verdict
    else {
        panic!("{advice:?}")
    };
    assert_eq!((cost.travel_ms, cost.wait_ms), (0, 0));
}

#[test]
fn a_failed_control_closes_a_test_and_a_due_one_costs() {
    let bench = Bench::new();
    let mut analyzers = passed(&bench.line);
    let au1 = bench.at("AU1");
    analyzers
        .get_mut(&au1)
        .unwrap()
        .qc
        .insert("GLU".to_owned(), Qc::Failed);
    let advice = ask(&bench, &analyzers, "DECAP1", &need(&["GLU", "K"]));
    assert_eq!(target(&bench, &advice), "AU2");
    let of = advice
        .candidates
        .iter()
        .find(|one| one.module == au1)
        .unwrap();
    assert_eq!(of.tests, BTreeSet::from(["K".to_owned()]));
    let advice = ask(&bench, &analyzers, "DECAP1", &need(&["GLU"]));
    assert_eq!(closed(&bench, &advice, "AU1"), Some(Closed::QcFailed));
    // Nothing known is a control that is due: equal for both, and no reason to refuse.
    let advice = ask(&bench, &Analyzers::new(), "DECAP1", &need(&["GLU"]));
    assert!(matches!(advice.go, Go::To { .. }));
    let mut due = passed(&bench.line);
    due.get_mut(&au1)
        .unwrap()
        .qc
        .insert("GLU".to_owned(), Qc::Due);
    let advice = ask(&bench, &due, "DECAP1", &need(&["GLU"]));
    assert_eq!(target(&bench, &advice), "AU2");
}

#[test]
fn reagent_offline_and_condition_close_an_analyzer() {
    let mut bench = Bench::new();
    let mut analyzers = passed(&bench.line);
    let [au1, au2] = ["AU1", "AU2"].map(|name| bench.at(name));
    analyzers
        .get_mut(&au1)
        .unwrap()
        .no_reagent
        .insert("GLU".to_owned());
    analyzers.get_mut(&au2).unwrap().is_offline = true;
    let advice = ask(&bench, &analyzers, "DECAP1", &need(&["GLU"]));
    assert_eq!(target(&bench, &advice), "OUT1 no-analyzer");
    assert_eq!(closed(&bench, &advice, "AU1"), Some(Closed::NoReagent));
    assert_eq!(closed(&bench, &advice, "AU2"), Some(Closed::Offline));
    bench.set(10, "AU1", Condition::Down);
    let advice = ask(&bench, &passed(&bench.line), "DECAP1", &need(&["GLU"]));
    assert_eq!(closed(&bench, &advice, "AU1"), Some(Closed::Down));
    assert_eq!(target(&bench, &advice), "AU2");
}

#[test]
fn tests_that_nobody_runs_go_to_their_outlet_after_those_that_somebody_does() {
    let bench = Bench::new();
    let analyzers = passed(&bench.line);
    let advice = ask(&bench, &analyzers, "IN1", &need(&["WBC", "ESR"]));
    assert!(matches!(advice.go, Go::To { .. }));
    let advice = ask(&bench, &analyzers, "XN1", &need(&["ESR"]));
    assert_eq!(target(&bench, &advice), "OUT1 not-on-line");
}

#[test]
fn a_tube_waits_for_a_jam_but_not_for_ever() {
    let mut bench = Bench::new();
    let analyzers = passed(&bench.line);
    bench.set(10, "XN1", Condition::Jam);
    bench.set(10, "XN2", Condition::Down);
    let mut wbc = need(&["WBC"]);
    let advice = ask(&bench, &analyzers, "IN1", &wbc);
    assert_eq!(target(&bench, &advice), "wait no-analyzer");
    wbc.waited_ms = 600_000;
    let advice = ask(&bench, &analyzers, "IN1", &wbc);
    assert_eq!(target(&bench, &advice), "OUT1 no-analyzer");
    // A centrifuge that is jammed is waited for in its queue.
    bench.set(10, "CENT1", Condition::Jam);
    bench.set(10, "CENT2", Condition::Down);
    let advice = ask(
        &bench,
        &analyzers,
        "IN1",
        &Need {
            centrifuge: true,
            ..need(&["GLU"])
        },
    );
    assert_eq!(target(&bench, &advice), "CENT1");
}

#[test]
fn a_barcode_of_two_tubes_and_full_outlets() {
    let mut bench = Bench::new();
    let analyzers = passed(&bench.line);
    bench.tell(900, "T1", "IN1", SEEN);
    bench.tell(901, "T1", "AU1", SEEN);
    let advice = ask(&bench, &analyzers, "AU1", &need(&["GLU"]));
    assert_eq!(target(&bench, &advice), "ERR1 tube-in-two-places");
    bench.set(910, "ERR1", Condition::Full);
    let advice = ask(&bench, &analyzers, "AU1", &need(&["GLU"]));
    assert_eq!(target(&bench, &advice), "OUT1 tube-in-two-places");
    bench.set(910, "OUT1", Condition::Full);
    let advice = ask(&bench, &analyzers, "AU1", &need(&["GLU"]));
    assert_eq!(target(&bench, &advice), "wait tube-in-two-places");
}

proptest! {
    /// Whatever is down, jammed, out of reagent or out of control: no advice names it.
    #[test]
    fn no_advice_names_an_analyzer_that_is_not_available(
        conditions in prop::collection::vec(0..4_usize, 19),
        offline in prop::collection::vec(prop::bool::weighted(0.2), 19),
        failed in prop::collection::vec((0..19_usize, 0..12_usize, any::<bool>()), 0..30),
        tests in prop::collection::btree_set(0..12_usize, 1..4),
        queues in prop::collection::vec((0..19_usize, 0..60_u64), 0..5),
        (from, is_stat, before) in (0..19_usize, any::<bool>(), 0..19_usize),
    ) {
        let all = ["GLU", "K", "CHOL", "TSH", "PROCT", "WBC", "PLT", "PT", "FIB", "ESR", "HDL", "NA"];
        let mut bench = Bench::new();
        let line = Arc::clone(&bench.line);
        for ((no, module), condition) in line.all().zip(conditions) {
            let known = [Condition::Up, Condition::Jam, Condition::Down, Condition::Up];
            bench.set(1, &module.id, known[condition]);
            prop_assert_eq!(bench.track.load(no).condition, known[condition]);
        }
        for (module, count) in queues {
            for tube in 0..count {
                let name = line.modules[module].id.clone();
                bench.tell(900, &format!("Q{module}-{tube}"), &name, SEEN);
            }
        }
        let mut analyzers = passed(&line);
        for (no, analyzer) in &mut analyzers {
            analyzer.is_offline = offline[no.0];
        }
        for (module, test, is_qc) in failed {
            if let Some(analyzer) = analyzers.get_mut(&ModuleNo(module)) {
                if is_qc {
                    analyzer.qc.insert(all[test].to_owned(), Qc::Failed);
                } else {
                    analyzer.no_reagent.insert(all[test].to_owned());
                }
            }
        }
        let wanted: Vec<&str> = tests.iter().map(|test| all[*test]).collect();
        let mut asked = need(&wanted);
        if is_stat {
            asked.priority = Priority::Stat;
        }
        bench.tell(950, "T1", &line.modules[from].id.clone(), SEEN);
        bench.track.set_advised(&TubeId::new("T1"), Some(ModuleNo(before)));
        let advice = ask(&bench, &analyzers, &line.modules[from].id.clone(), &asked);
        match advice.go {
            Go::To { module, .. } => {
                let analyzer = &analyzers[&module];
                prop_assert_eq!(bench.track.load(module).condition, Condition::Up);
                prop_assert!(!analyzer.is_offline);
                let runs = |test: &&&str| {
                    line.module(module).tests.contains(**test)
                        && analyzer.qc_of(test) != Qc::Failed
                        && !analyzer.no_reagent.contains(**test)
                };
                let runnable: BTreeSet<String> = wanted.iter().filter(runs).map(|test| (*test).to_owned()).collect();
                prop_assert!(!runnable.is_empty());
                let of = advice.candidates.iter().find(|one| one.module == module).unwrap();
                prop_assert_eq!(&of.tests, &runnable);
            }
            Go::Outlet { module, reason, .. } => {
                prop_assert_eq!(line.module(module).kind, Kind::Outlet);
                prop_assert!(matches!(reason, Reason::NoAnalyzer | Reason::NotOnLine));
            }
            Go::Wait { .. } => {}
        }
    }
}
