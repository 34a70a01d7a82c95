//! Whether the tube that was measured is the one that stood there.

use super::*;
use crate::model::{Query, QueryAction, QuerySubject};

fn at(rack: &str, position: &str, id: &str) -> SpecimenRead {
    SpecimenRead {
        sent: id.to_owned(),
        id: id.to_owned(),
        rack: rack.to_owned(),
        position: position.to_owned(),
    }
}

fn measured(tube: SpecimenRead, text: &str) -> Observation {
    Observation {
        specimen: Some(tube),
        ..wbc(text)
    }
}

/// `rack position id` of a result.
fn result_at(place: &str) -> Observation {
    let parts: Vec<&str> = place.split(' ').collect();
    measured(at(parts[0], parts[1], parts[2]), "6.4")
}

fn lab() -> Lab {
    let mut lab = Lab::new();
    for (placer, barcode) in [("P1", "T1"), ("P2", "T2"), ("P3", "R7")] {
        lab.order(&Order {
            placer,
            barcode,
            ..CBC
        });
    }
    lab
}

impl Lab {
    /// The line reads tubes, and asks what to measure.
    fn read(&mut self, tubes: Vec<SpecimenRead>) {
        let message = self.journal("query");
        let (now, site) = (self.now, self.site);
        let query = Item::Query(Query {
            subject: QuerySubject::Specimens(tubes),
            action: QueryAction::Ask,
            echo: Vec::new(),
            codes: Vec::new(),
        });
        self.work(move |db| settle(db, &settle_context(message, now, b"q", &site), &[query]));
    }
}

#[test]
fn in_one_message_a_position_has_one_tube_and_a_tube_one_position() {
    let check = |places: &[&str], expected: [&str; 2]| {
        let mut lab = lab();
        let results = places.iter().map(|place| result_at(place)).collect();
        lab.result_message("rack", results);
        let holds = |barcode| {
            let shown = lab.shown(barcode);
            let line = shown.lines().next().unwrap_or_default();
            line.split(" v1").nth(1).unwrap_or("none").trim().to_owned()
        };
        assert_eq!([holds("T1"), holds("T2")], expected, "{places:?}");
    };
    check(&["R1 1 T1", "R1 2 T2"], ["", ""]);
    check(&["R1 1 T1", "R2 1 T2"], ["", ""]);
    check(&["R1 1 T1", "R1 1 T2"], ["rack-count", "rack-count"]);
    check(&["R1 1 T1", "R1 2 T1", "R1 3 T2"], ["rack-count", ""]);
    // Without a position there is nothing to count.
    let mut lab = lab();
    let bare = |id| measured(at("R1", "", id), "6.4");
    lab.result_message("rack", vec![bare("T1"), bare("T2")]);
    assert_eq!(lab.shown("T1"), "6.4 released v1\n");
}

#[test]
fn two_loads_of_one_rack_in_one_message_count_up() {
    let check = |minutes: i64, expected: &str| {
        let mut lab = lab();
        let timed = |place: &str, at: i64| Observation {
            completed: Some(WallTime {
                sent: "x".to_owned(),
                utc: Some(at),
            }),
            ..result_at(place)
        };
        let first = timed("R1 1 T1", MORNING - minutes * MINUTE);
        lab.result_message("day", vec![first, timed("R1 1 T2", MORNING)]);
        assert_eq!(lab.shown("T2"), expected, "{minutes}");
    };
    check(30, "6.4 held v1 rack-count\n");
    check(31, "6.4 released v1\n");
}

#[test]
fn a_specimen_id_that_is_the_id_of_a_rack_is_held() {
    let mut lab = lab();
    lab.result(result_at("R7 1 R7"));
    assert_eq!(lab.shown("R7"), "6.4 held v1 rack-is-specimen\n");
    lab.result(result_at("R7 1 T1"));
    assert_eq!(lab.shown("T1"), "6.4 released v1\n");
    // The line read a tube in that rack, so it is one.
    let mut lab = self::lab();
    lab.read(vec![at("R7", "2", "T2")]);
    lab.result(result_at("R1 1 R7"));
    assert_eq!(lab.shown("R7"), "6.4 held v1 rack-is-specimen\n");
}

#[test]
fn another_tube_than_was_read_there_does_not_count_up() {
    let mut lab = lab();
    lab.read(vec![at("R1", "1", "T1"), at("R1", "2", "X9")]);
    lab.result(result_at("R1 1 T2"));
    assert_eq!(lab.shown("T2"), "6.4 held v1 rack-count\n");
    lab.result(result_at("R1 1 T1"));
    assert_eq!(lab.shown("T1"), "6.4 released v1\n");
}

#[test]
fn a_line_that_is_told_its_orders_need_not_have_read_a_tube() {
    let mut lab = lab();
    lab.site.told = true;
    lab.read(vec![at("R1", "1", "T1")]);
    lab.result(result_at("R1 1 T2"));
    assert_eq!(lab.shown("T2"), "6.4 released v1\n");
}

#[test]
fn a_position_used_again_is_held_unless_the_tube_was_read_or_the_rack_came_back_later() {
    let run = |is_read: bool, after: i64| {
        let mut lab = lab();
        lab.read(vec![at("R1", "1", "T1")]);
        lab.now += MINUTE;
        lab.result(result_at("R1 1 T1"));
        if is_read {
            lab.read(vec![at("R1", "1", "T2")]);
        }
        lab.now += after;
        lab.result(result_at("R1 1 T2"));
        lab.shown("T2")
    };
    assert_eq!(run(false, 5 * MINUTE), "6.4 held v1 position-reused\n");
    assert_eq!(run(true, 5 * MINUTE), "6.4 released v1\n");
    assert_eq!(run(false, 3 * HOUR), "6.4 released v1\n");
}

#[test]
fn a_late_result_of_a_tube_that_was_read_before_the_next_one_is_released() {
    let mut lab = lab();
    lab.read(vec![at("R1", "1", "T1")]);
    lab.now += 10 * MINUTE;
    lab.read(vec![at("R1", "1", "T2")]);
    lab.now += 10 * MINUTE;
    lab.result(result_at("R1 1 T1"));
    assert_eq!(lab.shown("T1"), "6.4 released v1\n");
}

#[test]
fn what_was_known_of_the_place_still_holds_when_the_order_comes() {
    let mut lab = Lab::new();
    lab.read(vec![at("R1", "1", "T9")]);
    lab.result(result_at("R1 1 T1"));
    lab.order(&CBC);
    assert_eq!(lab.shown("T1"), "6.4 held v1 rack-count\n");
}

#[test]
fn readings_are_forgotten_after_a_week() {
    const COUNT: crate::store::Sql = crate::store::Sql::same("SELECT count(*) FROM tube_read");
    let mut lab = lab();
    for _ in 0..10 {
        lab.read(vec![at("R1", "1", "T1")]);
        lab.now += DAY;
    }
    let count = lab.work(|db| db.row(&COUNT, &[])?.int(0));
    assert_eq!(count, 8);
}

#[test]
fn a_tube_of_a_type_that_the_test_does_not_take_is_held() {
    let check = |tube_type: &'static str, expected: &str| {
        let mut lab = Lab::new();
        lab.order(&Order { tube_type, ..CBC });
        lab.result(wbc("6.4"));
        assert_eq!(lab.shown("T1"), format!("6.4 {expected}\n"), "{tube_type}");
    };
    check("SERUM^Serum^HL70487", "held v1 tube-type");
    check("EDTA^EDTA blood^L", "released v1");
    check("WB^Whole blood^HL70487^EDTA^EDTA^L", "released v1");
    check("", "released v1");
    check("WB^Whole blood^HL70487", "released v1");
}

crate::on_postgres_too! {
    in_one_message_a_position_has_one_tube_and_a_tube_one_position
    two_loads_of_one_rack_in_one_message_count_up
    a_specimen_id_that_is_the_id_of_a_rack_is_held
    another_tube_than_was_read_there_does_not_count_up
    a_line_that_is_told_its_orders_need_not_have_read_a_tube
    a_position_used_again_is_held_unless_the_tube_was_read_or_the_rack_came_back_later
    a_late_result_of_a_tube_that_was_read_before_the_next_one_is_released
    what_was_known_of_the_place_still_holds_when_the_order_comes
    readings_are_forgotten_after_a_week
    a_tube_of_a_type_that_the_test_does_not_take_is_held
}
