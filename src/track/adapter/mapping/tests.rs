//! The mapping files of the project and their mistakes.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{
    config::problem::{Problems, render, source},
    track::{TUBE_ID_BYTES_MAX, state::Track},
};

const ASTM: &str = include_str!("../../../../config/example/line-mapping.toml");
const RECORDS: &str = include_str!("../../../../config/example/line-records.toml");

fn load(text: &str) -> (Option<Mapping>, String) {
    let mut problems = Problems::default();
    let mapping = Mapping::load(&source("mapping.toml", text), &mut problems);
    let codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    assert_eq!(mapping.is_none(), problems.has_errors());
    let shown = if codes.is_empty() {
        String::new()
    } else {
        format!("{} {}", codes.join(" "), render(&problems, false))
    };
    (mapping, shown)
}

fn line() -> Line {
    let mut problems = Problems::default();
    let text = include_str!("../../../../config/example/line.toml");
    Line::read(&source("line.toml", text), &mut problems).unwrap()
}

#[test]
fn every_example_of_the_mapping_files_is_met() {
    for text in [ASTM, RECORDS] {
        let (mapping, problems) = load(text);
        assert_eq!(problems, "");
        let examples = mapping.unwrap().examples;
        assert!(!examples.is_empty() && examples.iter().all(|example| !example.expect.is_empty()));
    }
}

#[test]
fn an_example_that_means_something_else_refuses_the_file() {
    let wrong = ASTM.replace(
        "module = \"IN1\", position = \"RACKA/3\"",
        "module = \"IN2\"",
    );
    let (mapping, problems) = load(&wrong);
    assert!(
        mapping.is_none() && problems.starts_with("CONF-0312 "),
        "{problems}"
    );
}

#[test]
fn every_mistake_of_a_mapping_file_is_told() {
    for (from, to, code) in [
        ("records = \"astm\"", "records = \"csv\"", "CONF-0105"),
        ("kind = \"lost\"", "kind = \"gone\"", "CONF-0105"),
        ("tube = \"Q.3.2\"", "tube = \"Q-3.2\"", "CONF-0311"),
        ("lane = \"R.5\"", "lane = \"R.5.1+\"", "CONF-0311"),
        (
            "when = [\"R.3.4 = ARRIVED\"]",
            "when = [\"R.3.4\"]",
            "CONF-0311",
        ),
        ("tube = \"Q.3.2\"\n", "", "CONF-0103"),
        ("module_is = \"IN1\"             #", "#", "CONF-0103"),
        ("charset = \"utf-8\"", "charset = \"utf-88\"", "CONF-0311"),
        ("kind = \"kept\"", "kindd = \"kept\"", "CONF-0107"),
    ] {
        assert!(ASTM.contains(from), "{from}");
        let (_, problems) = load(&ASTM.replacen(from, to, 1));
        assert!(problems.contains(code), "{to}: {problems}");
    }
    let (_, problems) = load(&RECORDS.replacen("REC-4", "RDX-4", 1));
    // A rule may name any record, but only REC is there.
    assert!(problems.contains("CONF-0312"), "{problems}");
    let (_, problems) = load(&RECORDS.replacen("module = \"REC-3\"", "module = \"RDX-3\"", 1));
    assert!(problems.contains("CONF-0311"), "{problems}");
}

#[test]
fn mapped_records_move_tubes_in_the_books() {
    let (mapping, _) = load(RECORDS);
    let mapping = mapping.unwrap();
    let line = line();
    let zone = TimeZone::get("Asia/Ho_Chi_Minh").unwrap();
    let wire = "RD;15.01.2025 09:55:00;01;25011500021;B\r\
                RD;15.01.2025 09:55:30;77;25011500021;B\r\
                ST;;90;;;R12;7\r\
                RD;15.01.2025 09:55:40;10;;B\r";
    let received = Time::from_s(1_736_910_000);
    let read = mapping.read(wire.as_bytes(), &line, &zone, received);
    assert_eq!(
        read.unplaced,
        [Unplaced::Module("77".to_owned()), Unplaced::Tube]
    );
    let inlet = line.module_named("IN1").unwrap();
    let seen = Event::Tube {
        tube: TubeId::new("25011500021"),
        module: inlet,
        what: What::Seen {
            lane: line.lane_named("L2"),
        },
        // 02:55 UTC.
        at: Time::from_s(1_736_909_700),
    };
    assert_eq!(read.events[0], seen);
    assert!(matches!(read.events[1], Event::Unread { .. }));
    let mut track = Track::new(line.into());
    for event in read.events {
        track.on_event(received, event);
    }
    assert_eq!(track.load(inlet).queue(), 1);
}

#[test]
fn segments_of_hl7_are_mapped_by_place() {
    let text = "[mapping]\nrecords = \"hl7\"\n[[event]]\non = \"ZTR\"\nkind = \"seen\"\n\
                tube = \"ZTR-2.1\"\nmodule = \"ZTR-3.2.1\"\nlane = \"MSH-3\"\ntime = \"ZTR-4\"\n\
                [[example]]\nname = \"seen\"\nwire = '''\nMSH|^~\\&|L1|LAB\nZTR|1|T1^X~T2|A^M1&N\n'''\n\
                expect = [{ kind = \"seen\", tube = \"T1\", module = \"M1\", lane = \"L1\" }]\n";
    let (mapping, problems) = load(text);
    assert_eq!(problems, "");
    assert_eq!(mapping.unwrap().mapped(b"ZTR|1|T1|M1\r"), None);
}

proptest! {
    /// Whatever a line sends, in the delimiters that it might use.
    #[test]
    fn no_bytes_of_a_line_panic(
        wire in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "(H\\|\\\\\\^&\r)?([RQOL]\\|[0-9A-Z^|]{0,40}\r){0,6}".prop_map(String::into_bytes),
            "(RD|ST|AL|HB)(;[0-9A-Z.: ]{0,12}){0,9}\r".prop_map(String::into_bytes),
        ],
    ) {
        for mapping in [&*MAPPINGS.0, &*MAPPINGS.1] {
            let read = mapping.read(&wire, &MAPPINGS.2, &TimeZone::UTC, Time::from_s(1));
            let records = wire.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count() + 1;
            prop_assert!(read.events.len() + read.unplaced.len() <= records);
            for event in read.events {
                if let Event::Tube { tube, .. } = event {
                    prop_assert!((1..=TUBE_ID_BYTES_MAX).contains(&tube.as_str().len()));
                }
            }
        }
    }
}

/// Both mapping files and the line, read once.
static MAPPINGS: LazyLock<(Box<Mapping>, Box<Mapping>, Line)> = LazyLock::new(|| {
    let read = |text| Box::new(load(text).0.unwrap());
    (read(ASTM), read(RECORDS), line())
});

#[test]
fn what_is_longer_than_a_barcode_is_no_tube() {
    let mapping = load(RECORDS).0.unwrap();
    let wire = format!(
        "RD;;01;{};B\rST;;90;T1;;{};1\r",
        "9".repeat(81),
        "R".repeat(500)
    );
    let read = mapping.read(wire.as_bytes(), &line(), &TimeZone::UTC, Time::from_s(1));
    assert_eq!(read.unplaced, [Unplaced::Tube]);
    let [
        Event::Tube {
            what: What::Kept { position },
            ..
        },
    ] = &read.events[..]
    else {
        panic!("{read:?}")
    };
    assert_eq!(position.len(), 120);
}
