//! Where every tube is.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::track::{
    Priority,
    state::{Finding, Place, STEPS_MAX},
};

#[test]
fn a_tube_is_followed_from_inlet_to_storage() {
    let mut bench = Bench::new();
    let kept = What::Kept {
        position: "R1/3".to_owned(),
    };
    let way = [
        (0, "IN1", SEEN),
        (3, "IN1", What::Started),
        (6, "IN1", What::Finished),
        (6, "IN1", bench.left_for("CENT1")),
        (36, "CENT1", SEEN),
        (60, "CENT1", What::Started),
        (540, "CENT1", What::Finished),
        (540, "CENT1", bench.left_for("DECAP1")),
        (566, "DECAP1", SEEN),
        (900, "STORE1", kept),
    ];
    for (second, module, what) in way {
        bench.tell(second, "T1", module, what);
    }
    assert_eq!(bench.codes(), [""; 0]);
    let tube = bench.track.tube(&TubeId::new("T1")).unwrap();
    assert_eq!(
        tube.place,
        Place::Kept {
            module: bench.at("STORE1"),
            position: "R1/3".to_owned()
        }
    );
    let waited: u64 = tube
        .spans(Time::from_s(1_000))
        .filter(|(step, _)| step.module == bench.at("CENT1") && step.what == SEEN)
        .map(|(_, ms)| ms)
        .sum();
    assert_eq!(waited, 24_000);
    assert_eq!(bench.track.load(bench.at("STORE1")).kept, 1);
}

#[test]
fn a_tube_that_does_not_come_is_overdue_once_until_it_comes() {
    let mut bench = Bench::new();
    bench.tell(0, "T1", "IN1", SEEN);
    let left = bench.left_for("CENT1");
    bench.tell(5, "T1", "IN1", left);
    // Three times thirty seconds.
    bench.track.on_time(Time::from_s(95));
    assert_eq!(bench.codes(), [""; 0]);
    bench.track.on_time(Time::from_s(96));
    bench.track.on_time(Time::from_s(500));
    assert_eq!(bench.codes(), ["tube-overdue-on-way"]);
    assert_eq!(bench.track.overdue().count(), 1);
    bench.tell(600, "T1", "CENT1", SEEN);
    assert_eq!(bench.track.overdue().count(), 0);
    bench.tell(610, "T1", "CENT1", What::Started);
    bench.track.on_time(Time::from_s(610 + 3 * 480 + 1));
    assert_eq!(bench.codes(), ["tube-overdue-in-module"]);
}

#[test]
fn a_tube_that_left_for_no_named_place_is_overdue_after_the_longest_way() {
    let mut bench = Bench::new();
    bench.tell(
        0,
        "T1",
        "DECAP1",
        What::Left {
            to: None,
            lane: None,
        },
    );
    bench.track.on_time(Time::from_s(270));
    assert_eq!(bench.codes(), [""; 0]);
    bench.track.on_time(Time::from_s(271));
    assert_eq!(bench.codes(), ["tube-overdue-on-way"]);
}

#[test]
fn one_barcode_in_two_places_is_told_with_both() {
    for seconds in [[100, 109], [109, 100]] {
        let mut bench = Bench::new();
        let [first, second] = seconds;
        let events = [
            bench.event(first, "T1", "IN1", SEEN),
            bench.event(second, "T1", "CENT1", SEEN),
        ];
        for event in events {
            bench.track.on_event(Time::from_s(200), event);
        }
        let found = bench.track.poll().unwrap();
        let places = [("IN1", first), ("CENT1", second)];
        let mut places = places.map(|(module, s)| (bench.at(module), Time::from_s(s)));
        places.sort_by_key(|(_, at)| *at);
        let Finding::TwoPlaces { here, there, .. } = found else {
            panic!("{found:?}")
        };
        assert_eq!([here, there], places);
        let id = TubeId::new("T1");
        assert!(bench.track.tube(&id).unwrap().is_doubled);
        bench.track.settle_double(&id);
        assert!(!bench.track.tube(&id).unwrap().is_doubled);
    }
    let mut bench = Bench::new();
    bench.tell(100, "T1", "IN1", SEEN);
    bench.tell(110, "T1", "CENT1", SEEN);
    assert_eq!(bench.codes(), [""; 0]);
}

#[test]
fn a_late_event_is_history_and_a_repeated_one_is_nothing() {
    let mut bench = Bench::new();
    bench.tell(100, "T1", "CENT1", SEEN);
    let late = bench.event(50, "T1", "IN1", SEEN);
    bench.track.on_event(Time::from_s(120), late.clone());
    assert_eq!(bench.codes(), ["tube-event-out-of-order"]);
    bench.track.on_event(Time::from_s(121), late);
    assert_eq!(bench.codes(), [""; 0]);
    let counts = bench.track.counts();
    assert_eq!((counts.late, counts.repeated), (1, 1));
    let tube = bench.track.tube(&TubeId::new("T1")).unwrap();
    assert_eq!(tube.place.module(), bench.at("CENT1"));
    assert_eq!(tube.steps().next().unwrap().module, bench.at("IN1"));
    assert_eq!(tube.receipt, (bench.at("IN1"), Time::from_s(50)));
}

#[test]
fn the_receipt_outlives_the_steps_that_are_forgotten() {
    let mut bench = Bench::new();
    bench.tell(7, "T1", "TEMPUS1", SEEN);
    for second in 100..300 {
        bench.tell(second, "T1", "AU1", SEEN);
    }
    let tube = bench.track.tube(&TubeId::new("T1")).unwrap();
    assert_eq!(tube.receipt, (bench.at("TEMPUS1"), Time::from_s(7)));
    assert_eq!(tube.steps().len(), STEPS_MAX);
    assert_eq!(tube.dropped() as usize, 201 - STEPS_MAX);
}

#[test]
fn an_event_from_the_future_is_of_now() {
    let mut bench = Bench::new();
    let event = bench.event(9_000, "T1", "IN1", SEEN);
    bench.track.on_event(Time::from_s(10), event);
    assert_eq!(
        bench.track.tube(&TubeId::new("T1")).unwrap().last(),
        Time::from_s(10)
    );
    assert_eq!(bench.track.counts().ahead, 1);
}

#[test]
fn unread_barcodes_are_counted_and_told() {
    let mut bench = Bench::new();
    let module = bench.at("TEMPUS1");
    let at = Time::from_s(1);
    bench.track.on_event(at, Event::Unread { module, at });
    assert_eq!(bench.codes(), ["tube-unread"]);
    assert_eq!(bench.track.load(module).unread, 1);
}

#[test]
fn old_tubes_go_and_what_goes_under_way_is_told() {
    let mut bench = Bench::new();
    bench.tell(
        0,
        "KEPT",
        "STORE1",
        What::Kept {
            position: String::new(),
        },
    );
    bench.tell(0, "LOST", "IN1", SEEN);
    let day = 24 * 3_600;
    bench.track.on_time(Time::from_s(day));
    assert_eq!(bench.track.tubes().count(), 2);
    bench.track.on_time(Time::from_s(day + 1));
    assert_eq!(bench.track.tubes().count(), 0);
    assert_eq!(bench.codes(), ["tube-forgotten"]);
    assert_eq!(bench.track.load(bench.at("IN1")).queue(), 0);
}

#[test]
fn more_tubes_than_the_limit_push_the_oldest_kept_ones_out() {
    let line = read(&EXAMPLE.replace("tubes_max = 20000", "tubes_max = 3"));
    let mut bench = Bench {
        track: Track::new(line.into()),
        ..Bench::new()
    };
    bench.tell(1, "A", "IN1", SEEN);
    bench.tell(
        2,
        "B",
        "STORE1",
        What::Kept {
            position: String::new(),
        },
    );
    bench.tell(3, "C", "IN1", SEEN);
    bench.tell(4, "D", "IN1", SEEN);
    assert_eq!(bench.codes(), [""; 0]);
    bench.tell(5, "E", "IN1", SEEN);
    assert_eq!(bench.codes(), ["tube-forgotten"]);
    let mut left: Vec<_> = bench.track.tubes().map(|(id, _)| id.to_string()).collect();
    left.sort();
    assert_eq!(left, ["C", "D", "E"]);
}

#[test]
fn an_outlet_that_was_emptied_has_room_again() {
    let mut bench = Bench::new();
    let outlet = bench.at("ERR1");
    for tube in 0..40 {
        bench.tell(
            tube,
            &format!("T{tube}"),
            "ERR1",
            What::Kept {
                position: String::new(),
            },
        );
    }
    let line = Arc::clone(&bench.line);
    assert!(bench.track.load(outlet).is_full(line.module(outlet)));
    bench.set(50, "ERR1", Condition::Full);
    assert!(bench.track.load(outlet).is_full(line.module(outlet)));
    bench.set(60, "ERR1", Condition::Up);
    assert!(!bench.track.load(outlet).is_full(line.module(outlet)));
}

fn what() -> impl Strategy<Value = u8> {
    0..6_u8
}

/// Any event, by numbers.
fn event(line: &Line, (tube, module, what, at): (u8, usize, u8, u64)) -> Event {
    let count = line.modules.len();
    let other = ModuleNo((module + 3) % count);
    let what = match what {
        0 => SEEN,
        1 => What::Started,
        2 => What::Finished,
        3 => What::Left {
            to: Some(other),
            lane: line.lane_named("L1"),
        },
        4 => What::Kept {
            position: String::new(),
        },
        _ => What::Lost,
    };
    Event::Tube {
        tube: TubeId::new(&format!("T{tube}")),
        module: ModuleNo(module % count),
        what,
        at: Time::from_s(at),
    }
}

/// Every count of the books is what the tubes themselves say.
fn check_counts(track: &Track) {
    let mut counts: BTreeMap<(ModuleNo, &str), u32> = BTreeMap::new();
    let mut lanes: BTreeMap<_, u32> = BTreeMap::new();
    let mut stat: BTreeMap<(ModuleNo, &str), u32> = BTreeMap::new();
    for (_, tube) in track.tubes() {
        let key = match &tube.place {
            Place::Waiting { module, .. } => Some((*module, "waiting")),
            Place::Working { module } | Place::Done { module } => Some((*module, "inside")),
            Place::Between { to, .. } => to.map(|to| (to, "coming")),
            Place::Kept { module, .. } => Some((*module, "kept")),
            Place::Lost { .. } => None,
        };
        if let Some(key) = key {
            *counts.entry(key).or_default() += 1;
            *stat.entry(key).or_default() += u32::from(tube.priority == Priority::Stat);
        }
        if let Some(lane) = tube.place.lane() {
            *lanes.entry(lane).or_default() += 1;
        }
        assert!(tube.steps().len() <= STEPS_MAX);
        let times: Vec<_> = tube.steps().map(|step| step.at).collect();
        assert!(times.is_sorted());
    }
    let line = track.line();
    for (no, _) in line.all() {
        let load = track.load(no);
        let count = |what| counts.get(&(no, what)).copied().unwrap_or_default();
        assert_eq!(load.queue(), count("waiting"));
        assert_eq!(load.inside, count("inside"));
        assert_eq!(load.coming.len(), count("coming") as usize);
        assert_eq!(load.kept, count("kept"));
        let stat = |what| stat.get(&(no, what)).copied().unwrap_or_default();
        assert_eq!(load.waiting_stat, stat("waiting"));
        assert_eq!(load.coming_stat, stat("coming"));
        assert_eq!(load.busy_since.is_some(), load.queue() > 0);
    }
    for lane in 0..line.lanes.len() {
        let lane = crate::track::model::LaneNo(lane);
        assert_eq!(
            track.occupancy(lane),
            lanes.get(&lane).copied().unwrap_or_default()
        );
    }
}

proptest! {
    /// Whatever comes in whatever order: a tube that was named is in one place, or was told to be
    /// forgotten; and the counts agree with the tubes after every event.
    #[test]
    fn no_order_of_events_loses_a_tube(
        events in prop::collection::vec((0..6_u8, 0..30_usize, what(), 0..4_000_u64), 1..60),
        stat in 0..6_u8,
        tubes_max in 2..8_usize,
    ) {
        let mut line = Line::clone(&example());
        line.limits.tubes_max = tubes_max;
        let line = Arc::new(line);
        let mut track = Track::new(Arc::clone(&line));
        let mut forgotten = Vec::new();
        let mut ended = Vec::new();
        for (number, of) in events.iter().enumerate() {
            let now = Time::from_s(4_000 + number as u64);
            track.on_event(now, event(&line, *of));
            track.set_priority(&TubeId::new(&format!("T{stat}")), Priority::Stat, now);
            track.on_time(now);
            check_counts(&track);
            prop_assert!(track.tubes().count() <= tubes_max);
            while let Some(finding) = track.poll() {
                if let Finding::Forgotten { tube, .. } = finding {
                    forgotten.push(tube);
                }
            }
            ended.extend(track.tubes().filter(|(_, tube)| tube.place.is_end()).map(|(id, _)| id.clone()));
        }
        for (tube, ..) in &events {
            let id = TubeId::new(&format!("T{tube}"));
            let is_known = track.tube(&id).is_some() || forgotten.contains(&id) || ended.contains(&id);
            prop_assert!(is_known, "{id} is lost");
        }
    }

    /// Events with times of their own end in the same place in any order.
    #[test]
    fn the_order_of_arrival_does_not_decide_where_a_tube_is(
        events in prop::collection::vec((0..3_u8, 0..30_usize, what()), 1..40),
        keys in prop::collection::vec(any::<u32>(), 40),
    ) {
        let line = example();
        let numbered = events.iter().zip(0..).map(|((tube, module, what), at)| (*tube, *module, *what, at));
        let in_order: Vec<_> = numbered.map(|of| event(&line, of)).collect();
        let mut shuffled: Vec<_> = in_order.iter().cloned().zip(keys).collect();
        shuffled.sort_by_key(|(_, key)| *key);
        let place = |events: Vec<Event>| {
            let mut track = Track::new(Arc::clone(&line));
            for event in events {
                track.on_event(Time::from_s(100), event);
            }
            check_counts(&track);
            let places = track.tubes().map(|(id, tube)| (id.clone(), tube.place.clone()));
            places.collect::<BTreeMap<_, _>>()
        };
        let shuffled = shuffled.into_iter().map(|(event, _)| event).collect();
        prop_assert_eq!(place(in_order), place(shuffled));
    }
}
