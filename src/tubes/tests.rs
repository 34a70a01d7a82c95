//! Tubes of a line in a real store: receipt, stations, needs, controls, holds.

use std::sync::Arc;

use labwire_protocols::wire::Mono;
use rust_decimal::Decimal;

use super::{
    control,
    need::{self, Wanted},
    receipt,
    rows::{self, TrackRow, kinds, time},
    stations::{self, Station},
    whereabouts::OnLine,
};
use crate::{
    book::{self, Action, BookContext, Identifier, OrderEntry, PatientEntry, SpecimenEntry},
    config::{problem::Problems, problem::source},
    model::{
        Item, Observation, ObservationKind, PatientSeen, Priority, Private, ResultStatus,
        SpecimenRead, Value,
    },
    settle::{self, SettleContext, SiteRules},
    store::{Clock, Db, Sql, Store, StoreError, StoreOptions, Turn},
    track::{
        TubeId,
        model::Line,
        route::{Qc, Step},
        state::{Event, What},
    },
};

/// 2026-03-10 08:00 UTC.
const MORNING: i64 = 1_773_129_600_000_000;
const MINUTE: i64 = 60_000_000;

const LINE: &str = include_str!("../../config/example/line.toml");

#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn mono(&self) -> Mono {
        Mono::default()
    }
    fn utc_micros(&self) -> i64 {
        MORNING
    }
}

/// A site whose `xn-1` is XN1 of the line, and whose `au-1` people feed.
struct Site;

impl SiteRules for Site {
    fn releases_automatically(&self, _: &str) -> bool {
        true
    }
    fn posts_extras(&self, _: &str) -> bool {
        false
    }
    fn is_transfusion(&self, _: &str, _: &str) -> bool {
        false
    }
    fn has_tracks(&self) -> bool {
        true
    }
    fn on_track(&self, line: &str) -> Option<OnLine<'_>> {
        (line == "xn-1").then_some(OnLine {
            line: "line-1",
            module: "XN1",
        })
    }
}

struct Lab {
    store: Store,
    line: Arc<Line>,
    _folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let url = format!("sqlite:{}", folder.path().join("labwire.db").display());
        let open = Store::open(&url, StoreOptions::default(), Arc::new(StoppedClock));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let store = runtime.block_on(open).expect("a new store opens");
        let mut problems = Problems::default();
        let line = Line::read(&source("line.toml", LINE.to_owned()), &mut problems);
        Self {
            store,
            line: Arc::new(line.expect("the example is clean")),
            _folder: folder,
        }
    }

    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store
            .transact_blocking(Turn::Canonical, work)
            .expect("the store works")
    }

    /// Orders tests on a tube, as a station does.
    fn order(&self, barcode: &'static str, tests: &'static [&'static str], station: &'static str) {
        let patient = PatientEntry {
            identifiers: vec![Identifier {
                id: Private::new(format!("MRN-{barcode}")),
                ..Identifier::default()
            }],
            ..PatientEntry::default()
        };
        let entry = OrderEntry {
            action: Action::New,
            placer: format!("P-{barcode}-{}", tests.join("-")),
            service: "S".to_owned(),
            tests: tests.iter().map(|&test| test.to_owned()).collect(),
            specimen: Some(SpecimenEntry {
                barcode: barcode.to_owned(),
                ..SpecimenEntry::default()
            }),
            priority: Priority::Stat,
            orc: book::Fields::new(),
            obr: book::Fields::new(),
        };
        self.work(move |db| {
            let context = BookContext {
                host: "his",
                message: 1,
                now: MORNING,
                specimen_age_max: 1_000 * MINUTE,
            };
            book::apply(db, &context, Some(&patient), &entry)?;
            receipt::set_station(db, (barcode, "his"), station, 0)?;
            receipt::on_order(db, barcode, 0)
        });
    }

    fn event(&self, barcode: &str, module: &str, what: What, minute: i64) -> Event {
        Event::Tube {
            tube: TubeId::new(barcode),
            module: self.line.module_named(module).expect("a module"),
            what,
            at: time(MORNING + minute * MINUTE),
        }
    }

    fn row(&self, event: &Event, minute: i64) -> TrackRow {
        TrackRow {
            message: 7,
            received_at: MORNING + minute * MINUTE,
            ..TrackRow::of_event(&self.line, "line-1", event)
        }
    }

    /// The line tells of a tube; whether it is its receipt.
    fn tells(&self, barcode: &str, module: &str, what: What, minute: i64) -> bool {
        let row = self.row(&self.event(barcode, module, what, minute), minute);
        self.work(move |db| {
            rows::insert(db, std::slice::from_ref(&row))?;
            receipt::on_reading(db, &row, 0)
        })
    }

    /// Settles one result; its state and reasons.
    fn result(&self, line: &'static str, observation: Observation) -> String {
        let barcode = observation.specimen.as_ref().map(|tube| tube.id.clone());
        self.work(move |db| {
            let items = [Item::Observation(Box::new(observation))];
            settle::settle(db, &context(line), &items)?;
            let stored = settle::of_barcode(db, &barcode.unwrap_or_default())?;
            let last = stored.last().expect("it was stored");
            let holds: Vec<_> = last.holds.iter().map(|hold| hold.reason.code()).collect();
            Ok(format!("{} {}", last.state.code(), holds.join(" "))
                .trim_end()
                .to_owned())
        })
    }

    fn wanted(&self, barcode: &'static str, done: &[(&str, What)]) -> Wanted {
        let mut track = crate::track::state::Track::new(Arc::clone(&self.line));
        for (minute, (module, what)) in (1..).zip(done) {
            let event = self.event(barcode, module, what.clone(), minute);
            let row = self.row(&event, minute);
            self.work(move |db| rows::insert(db, &[row]));
            track.on_event(time(MORNING + 60 * MINUTE), event);
        }
        let tube = track
            .tube(&TubeId::new(barcode))
            .expect("it was seen")
            .clone();
        let line = Arc::clone(&self.line);
        self.work(move |db| need::of_tube(db, ("line-1", &line), (barcode, &tube), 0))
    }
}

fn context(line: &'static str) -> SettleContext<'static> {
    SettleContext {
        message: 9,
        line,
        received_at: MORNING + 30 * MINUTE,
        now: MORNING + 30 * MINUTE,
        specimen_age_max: 1_000 * MINUTE,
        digest_input: b"",
        site: &Site,
    }
}

const LATER: Sql = Sql::same("UPDATE order_item SET created_at = $1");

const SEEN: What = What::Seen { lane: None };

fn observation(barcode: &str, test: &str, text: &str) -> Observation {
    Observation {
        kind: ObservationKind::Patient,
        specimen: Some(SpecimenRead {
            sent: barcode.to_owned(),
            id: barcode.to_owned(),
            rack: String::new(),
            position: String::new(),
        }),
        patient: PatientSeen::default(),
        code: test.to_owned(),
        qualifiers: Vec::new(),
        about: None,
        test: Some(test.to_owned()),
        text: text.to_owned(),
        value: text.parse::<Decimal>().map_or_else(
            |_| Value::Text {
                text: text.to_owned(),
            },
            |number| Value::Quantity {
                comparator: None,
                number,
            },
        ),
        unit: String::new(),
        ucum: None,
        range: String::new(),
        flags: Vec::new(),
        status: ResultStatus::Final,
        status_sent: "F".to_owned(),
        run: None,
        dilution: None,
        operator: String::new(),
        instrument: String::new(),
        completed: None,
        comments: Vec::new(),
        control: None,
        lot: None,
        level: None,
        supersedes: false,
        span: 0..0,
        holds: Vec::new(),
        notes: Vec::new(),
    }
}

#[test]
fn every_event_of_a_line_is_a_row_and_back() {
    let lab = Lab::new();
    let lane = lab.line.lane_named("L2");
    let to = lab.line.module_named("DECAP1");
    let module = lab.line.module_named("CENT1").expect("a module");
    let mut events: Vec<Event> = [
        What::Seen { lane },
        SEEN,
        What::Started,
        What::Finished,
        What::Left { to, lane },
        What::Left {
            to: None,
            lane: None,
        },
        What::kept("R1/7"),
        What::Lost,
    ]
    .into_iter()
    .map(|what| lab.event("T1", "CENT1", what, 1))
    .collect();
    let at = time(MORNING);
    events.push(Event::Unread { module, at });
    for condition in <crate::track::model::Condition as crate::config::choice::Choice>::ALL {
        events.push(Event::Module {
            module,
            condition: *condition,
            at,
        });
    }
    for is_usable in [false, true] {
        events.push(Event::Reagent {
            module,
            test: "WBC".to_owned(),
            is_usable,
            at,
        });
    }
    for event in events {
        let row = lab.row(&event, 1);
        assert_eq!(row.event(&lab.line).as_ref(), Some(&event));
        let stored = row.clone();
        lab.work(move |db| rows::insert(db, &[stored]));
        let recent = lab.work(|db| rows::recent(db, "line-1", 0, 1));
        assert_eq!(recent, [row]);
    }
}

#[test]
fn the_first_reading_of_a_barcode_is_its_receipt_also_where_the_order_comes_later() {
    let lab = Lab::new();
    lab.order("T1", &["WBC"], "KKB");
    assert!(lab.tells("T1", "TEMPUS1", SEEN, 1));
    assert!(!lab.tells("T1", "XN1", SEEN, 2));
    assert!(lab.tells("T2", "IN1", SEEN, 3));
    lab.order("T2", &["WBC"], "");
    for (barcode, minute, on, station) in [
        ("T1", 1, "line-1:TEMPUS1", "KKB"),
        ("T2", 3, "line-1:IN1", ""),
    ] {
        let known = lab.work(move |db| {
            let tubes = book::specimens_with_barcode(db, barcode, 0)?;
            receipt::of_specimen(db, tubes[0].id)
        });
        assert_eq!(
            known.received_at,
            Some(MORNING + minute * MINUTE),
            "{barcode}"
        );
        assert_eq!(
            (known.received_on.as_str(), known.station.as_str()),
            (on, station)
        );
    }
    let kinds: Vec<String> = lab
        .work(|db| rows::of_barcode(db, "T1"))
        .into_iter()
        .map(|row| row.kind)
        .collect();
    assert_eq!(kinds, ["seen", kinds::RECEIVED, "seen"]);
}

#[test]
fn haemolysis_is_counted_by_station_and_by_the_last_index_of_a_tube() {
    let lab = Lab::new();
    for (barcode, station, values) in [
        ("T1", "KKB", &["12"][..]),
        ("T2", "KKB", &["90"]),
        ("T3", "KKB", &["90", "10"]),
        ("T4", "ICU", &["120"]),
        ("T5", "ICU", &["++"]),
        ("T6", "ICU", &[]),
    ] {
        lab.order(barcode, &["HI"], station);
        lab.tells(barcode, "TEMPUS1", SEEN, 1);
        for value in values {
            lab.result("au-1", observation(barcode, "HI", value));
        }
    }
    // Nobody's receipt, so nobody's tube.
    lab.order("T7", &["HI"], "KKB");
    lab.result("au-1", observation("T7", "HI", "400"));
    let limit = Decimal::from(50);
    let found = lab.work(move |db| {
        let indices = [("HI".to_owned(), limit)].into();
        stations::stations(db, &indices, (0, i64::MAX))
    });
    let station = |name: &str, [tubes, measured, over, unreadable]: [u64; 4]| Station {
        station: name.to_owned(),
        tubes,
        measured,
        over,
        unreadable,
    };
    assert_eq!(
        found,
        [station("ICU", [3, 1, 1, 1]), station("KKB", [3, 3, 1, 0])]
    );
    assert_eq!(found[1].over_permille(), Some(333));
}

#[test]
fn what_is_left_to_do_follows_from_orders_results_and_the_way_of_the_tube() {
    let lab = Lab::new();
    let steps = |barcode, done: &[(&str, What)]| match lab.wanted(barcode, done) {
        Wanted::Need(need) => Some((need.step(), need.tests.len())),
        Wanted::NoOrder | Wanted::TwoPatients => None,
    };
    assert_eq!(lab.wanted("T0", &[("IN1", SEEN)]), Wanted::NoOrder);
    lab.order("T1", &["GLU", "WBC"], "");
    let way = |stops: &[&'static str]| -> Vec<(&'static str, What)> {
        let mut way = vec![("IN1", SEEN)];
        way.extend(stops.iter().map(|&stop| (stop, What::Finished)));
        way
    };
    assert_eq!(steps("T1", &way(&[])), Some((Step::Centrifuge, 2)));
    assert_eq!(steps("T1", &way(&["CENT1"])), Some((Step::Decap, 2)));
    let opened = ["CENT1", "DECAP1"];
    assert_eq!(steps("T1", &way(&opened)), Some((Step::Analyze, 2)));
    let sampled = ["CENT1", "DECAP1", "AU1"];
    assert_eq!(steps("T1", &way(&sampled)), Some((Step::Analyze, 1)));
    lab.result("au-1", observation("T1", "WBC", "5.1"));
    assert_eq!(steps("T1", &way(&sampled)), Some((Step::Recap, 0)));
    let closed = ["CENT1", "DECAP1", "AU1", "RECAP1"];
    assert_eq!(steps("T1", &way(&closed)), Some((Step::Store, 0)));
    // What is ordered later is measured by whoever measured before.
    let at = MORNING + 30 * MINUTE;
    lab.work(move |db| db.exec(&LATER, &[at.into()]).map(drop));
    assert_eq!(steps("T1", &way(&opened)), Some((Step::Analyze, 1)));
    // Whole blood is neither spun nor opened.
    lab.order("T2", &["WBC"], "");
    assert_eq!(steps("T2", &way(&[])), Some((Step::Analyze, 1)));
}

#[test]
fn a_result_is_held_where_its_line_speaks_against_it_and_in_no_case_near_by() {
    let lab = Lab::new();
    for barcode in ["T1", "T2", "T3", "T4", "T5"] {
        lab.order(barcode, &["WBC"], "");
    }
    // Known to the line and never at the analyzer.
    lab.tells("T1", "IN1", SEEN, 1);
    let held = lab.result("xn-1", observation("T1", "WBC", "5.1"));
    assert_eq!(held, "held tube-not-at-analyzer");
    // Was there; nobody told of it; an analyzer that people feed or that is on no line.
    lab.tells("T2", "IN1", SEEN, 1);
    lab.tells("T2", "XN1", SEEN, 3);
    assert_eq!(
        lab.result("xn-1", observation("T2", "WBC", "5.2")),
        "released"
    );
    assert_eq!(
        lab.result("xn-1", observation("T3", "WBC", "5.3")),
        "released"
    );
    lab.tells("T4", "IN1", SEEN, 1);
    assert_eq!(
        lab.result("au-1", observation("T4", "WBC", "5.4")),
        "released"
    );
    // It came to the analyzer after the result: that was another tube.
    lab.tells("T5", "IN1", SEEN, 1);
    lab.tells("T5", "XN1", SEEN, 45);
    let early = lab.result("xn-1", observation("T5", "WBC", "5.5"));
    assert_eq!(early, "held tube-not-at-analyzer");
    // The line told late; what waited goes on, the other does not.
    lab.tells("T1", "XN1", SEEN, 20);
    let released = lab.work(|db| {
        let mut released = Vec::new();
        for barcode in ["T1", "T5"] {
            released.push(settle::resume_tracked(db, &context(""), barcode)?.released);
        }
        Ok(released)
    });
    assert_eq!(released, [1, 0]);
}

/// The connection of the line was gone while the tube was measured.
#[test]
fn a_line_that_was_cut_off_tells_late_where_a_tube_was_by_a_clock_of_its_own() {
    // By how many minutes the clock of the line is wrong.
    for wrong in [0, -90, 45, -600_000] {
        let lab = Lab::new();
        let late = |barcode: &'static str, module: &'static str, happened: i64, came: i64| {
            let event = lab.event(barcode, module, SEEN, happened + wrong);
            let row = TrackRow {
                // On its way for a second at the least.
                received_at: MORNING + came * MINUTE + 1_000_000,
                ..lab.row(&event, came)
            };
            lab.work(move |db| {
                rows::insert(db, std::slice::from_ref(&row))?;
                receipt::on_reading(db, &row, 0)
            });
        };
        for barcode in ["T1", "T2", "T3"] {
            lab.order(barcode, &["WBC"], "");
            late(barcode, "IN1", 1, 1);
            // Results come at minute 30.
            let held = lab.result("xn-1", observation(barcode, "WBC", "5.1"));
            assert_eq!(held, "held tube-not-at-analyzer", "{wrong}");
        }
        // There before its result; there after it; never there.
        late("T1", "XN1", 20, 50);
        late("T2", "XN1", 45, 50);
        late("T3", "CENT1", 20, 50);
        let released = lab.work(|db| {
            let mut released = Vec::new();
            for barcode in ["T1", "T2", "T3"] {
                released.push(settle::resume_tracked(db, &context(""), barcode)?.released);
            }
            Ok(released)
        });
        assert_eq!(released, [1, 0, 0], "{wrong}");
    }
}

#[test]
fn a_doubled_barcode_holds_results_until_the_second_tube_is_found_and_those_for_good() {
    let lab = Lab::new();
    lab.order("T1", &["WBC", "HGB"], "");
    lab.tells("T1", "XN1", SEEN, 1);
    let mark = |kind: &'static str, minute: i64| {
        let row = lab.row(&lab.event("T1", "IN1", SEEN, minute), minute);
        let row = TrackRow {
            kind: kind.to_owned(),
            ..row
        };
        lab.work(move |db| rows::insert(db, &[row]));
    };
    mark(kinds::TWO_PLACES, 2);
    let held = lab.result("xn-1", observation("T1", "WBC", "5.1"));
    assert_eq!(held, "held tube-in-two-places");
    mark(kinds::CLEARED, 5);
    assert_eq!(
        lab.result("xn-1", observation("T1", "HGB", "131")),
        "released"
    );
    let resumed = lab.work(|db| settle::resume_tracked(db, &context(""), "T1"));
    assert_eq!(resumed.released, 0);
}

#[test]
fn the_last_control_with_limits_says_how_a_test_stands() {
    let lab = Lab::new();
    let control = |test: &str, material: &str, value: &str, range: &str| {
        let mut one = observation(material, test, value);
        one.kind = ObservationKind::Control;
        one.range = range.to_owned();
        lab.work(move |db| {
            let items = [Item::Observation(Box::new(one))];
            settle::settle(db, &context("xn-1"), &items)
        });
    };
    control("WBC", "L1", "9.9", "6.0-8.0");
    control("WBC", "L1", "7.1", "6.0-8.0");
    control("HGB", "L1", "120", "115 - 125");
    control("HGB", "L2", "190", "115 - 125");
    control("PLT", "L1", "200", "");
    let found = lab.work(|db| control::of_line(db, "xn-1", 0));
    let wanted = [("HGB", Qc::Failed), ("WBC", Qc::Passed)];
    let wanted = wanted.map(|(test, qc)| (test.to_owned(), qc));
    assert_eq!(found, wanted.into());
    assert_eq!(lab.work(|db| control::of_line(db, "xn-2", 0)), [].into());
}
