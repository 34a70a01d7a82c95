//! Books built again from rows, and the words of commands.

use std::{collections::BTreeMap, sync::Arc};

use jiff::tz::TimeZone;

use super::{
    books::Books,
    command::{Answered, Transport, answers, refusal, transport},
};
use crate::{
    config::problem::{Problems, source},
    track::{TubeId, model::Line, state::Place},
    tubes::{
        rows::{Detail, TrackRow, kinds},
        site::TrackSite,
    },
};

const LINE: &str = include_str!("../../../config/example/line.toml");
/// 2026-03-10 08:00 UTC.
const MORNING: i64 = 1_773_129_600_000_000;

fn site(commands: &str) -> TrackSite {
    let text = LINE.replace("commands = \"none\"", &format!("commands = \"{commands}\""));
    let line = Line::read(&source("line.toml", text), &mut Problems::default());
    TrackSite {
        id: "line-1".to_owned(),
        line: Arc::new(line.expect("the example is clean")),
        mapping: None,
        zone: TimeZone::UTC,
        instruments: BTreeMap::new(),
    }
}

fn row(module: &str, kind: &str, seconds: i64) -> TrackRow {
    let at = MORNING + seconds * 1_000_000;
    TrackRow {
        message: 1,
        span: 0..0,
        line: "line-1".to_owned(),
        module: module.to_owned(),
        barcode: "T1".to_owned(),
        kind: kind.to_owned(),
        detail: Detail::default(),
        at,
        received_at: at,
    }
}

#[test]
fn books_built_again_find_what_was_found_and_keep_what_people_said() {
    let site = site("none");
    let id = TubeId::new("T1");
    let mut rows = vec![row("IN1", "seen", 0), row("STORE1", "seen", 2)];
    let (books, missing) = Books::rebuilt(&site, &rows, MORNING);
    let found: Vec<&str> = missing.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(found, [kinds::TWO_PLACES]);
    assert!(books.track.tube(&id).is_some_and(|tube| tube.is_doubled));
    rows.extend(missing);
    let (_, missing) = Books::rebuilt(&site, &rows, MORNING);
    assert_eq!(missing, []);
    rows.push(row("STORE1", kinds::CLEARED, 3));
    let (books, missing) = Books::rebuilt(&site, &rows, MORNING);
    assert_eq!(missing, []);
    assert!(books.track.tube(&id).is_some_and(|tube| !tube.is_doubled));
}

#[test]
fn a_line_that_takes_commands_is_asked_about_again_and_one_that_takes_none_is_not() {
    let mut rows = vec![row("CENT1", "started", 0), row("CENT1", "finished", 480)];
    let mut routed = row("CENT1", kinds::ROUTED, 481);
    routed.detail.to = "DECAP1".to_owned();
    rows.push(routed);
    for (commands, is_asked) in [("transport", true), ("none", false)] {
        let site = site(commands);
        let (books, _) = Books::rebuilt(&site, &rows, MORNING);
        let tube = books.track.tube(&TubeId::new("T1")).expect("it was seen");
        assert_eq!(tube.advised, site.line.module_named("DECAP1"), "{commands}");
        assert!(matches!(tube.place, Place::Done { .. }));
        assert_eq!(books.has_waiting(MORNING), is_asked, "{commands}");
    }
}

#[test]
fn a_command_stands_under_its_number_until_its_tube_goes_or_it_is_refused() {
    let site = site("transport");
    let id = TubeId::new("T1");
    let mut rows = vec![row("CENT1", "started", 0), row("CENT1", "finished", 480)];
    let mut routed = row("CENT1", kinds::ROUTED, 481);
    routed.detail.to = "DECAP1".to_owned();
    routed.detail.command = "77".to_owned();
    rows.push(routed);
    let answered = |why: &str| {
        let mut answered = row("DECAP1", kinds::ANSWERED, 482);
        answered.detail.why = why.to_owned();
        answered.detail.command = "77".to_owned();
        answered
    };
    let with = |more: Option<TrackRow>| {
        let rows: Vec<TrackRow> = rows.iter().cloned().chain(more).collect();
        Books::rebuilt(&site, &rows, MORNING).0
    };
    // Nobody knows whether the line was told before the books were lost.
    for more in [None, Some(answered("OK"))] {
        assert_eq!(with(more).command_of(&id), Some(("77", true)));
    }
    for more in [answered("ST"), row("CENT1", "left", 482)] {
        assert_eq!(with(Some(more)).command_of(&id), None);
    }
    let mut books = with(None);
    books.on_lost("77", MORNING);
    assert_eq!(books.command_of(&id), Some(("77", true)));
    books.on_refused("77", MORNING);
    assert_eq!(books.command_of(&id), None);
    assert!(books.has_waiting(MORNING + 300_000_000));
}

#[test]
fn a_command_names_tube_module_and_lane_and_its_answer_is_found_by_its_number() {
    let written = transport(&Transport {
        line: "line-1",
        number: "77",
        barcode: "T1",
        to: "DXI1",
        lane: "L2",
        time: "20260310150000+0700",
        control_id: "LWR1",
    });
    assert_eq!(
        written.expect("all that it needs is there"),
        "MSH|^~\\&|LABWIRE||line-1||20260310150000+0700||EAC^U07^EAC_U07|LWR1|P|2.5.1|||AL|NE||\
         UNICODE UTF-8\rEQU|line-1^LABWIRE|20260310150000+0700\r\
         ECD|77|TT^Transport To^HL70368|Y||DXI1~L2\rSAC|||T1\r"
    );
    let answer = |outcome: &str| {
        format!(
            "MSH|^~\\&|TRACK||LABWIRE||20260310150001||EAR^U08^EAR_U08|1|P|2.5.1\r\
             EQU|TRACK|20260310150001\rECD|77|TT\rSAC|||T1\rECR|{outcome}^^HL70387|20260310150001\r"
        )
    };
    for (outcome, is_done) in [("OK", true), ("ST", false)] {
        let wanted = Answered {
            number: "77".to_owned(),
            is_done,
            outcome: outcome.to_owned(),
        };
        assert_eq!(answers(answer(outcome).as_bytes()), [wanted]);
    }
    assert_eq!(answers(b"MSH|^~\\&|TRACK\r"), []);
    assert_eq!(answers(b"nothing"), []);
    let reply = |code: &str| format!("MSH|^~\\&|T\rMSA|{code}|1\r").into_bytes();
    assert_eq!(refusal(&reply("CA")), None);
    assert_eq!(refusal(&reply("CR")).as_deref(), Some("CR"));
}
