//! HL7 chapter 13 to events.

use jiff::tz::TimeZone;
use labwire_protocols::{
    automation::{AutomationMessage, write::Envelope},
    hl7::Message,
};

use super::*;
use crate::track::{
    adapter::{Read, Unplaced, hl7},
    model::Reason,
    route::{Chosen, Go},
};

const RECEIVED: Time = Time::from_s(1_736_910_000);

fn read(kind: &str, body: &str) -> Read {
    let [_, trigger] = kind.split('^').collect::<Vec<_>>()[..] else {
        panic!("{kind}")
    };
    let text = format!(
        "MSH|^~\\&|TRACK|LAB|BRIDGE|LAB|20250115095500+0700||{kind}^{}_{trigger}|1|P|2.5.1\r{body}",
        kind.split('^').next().unwrap()
    );
    let message = Message::parse(&text).unwrap().0;
    let (message, _) = AutomationMessage::read(&message).unwrap();
    let zone = TimeZone::get("Asia/Ho_Chi_Minh").unwrap();
    hl7::read(&message, &example(), &zone, RECEIVED)
}

/// 02:55 UTC.
const AT: Time = Time::from_s(1_736_909_700);

#[track_caller]
fn check(sac: &str, module: &str, what: What) {
    let line = example();
    let body = format!("EQU|{module}^TRACK|20250115095500+0700|OP\r{sac}\r");
    let read = read("SSU^U03", &body);
    assert_eq!(read.unplaced, [], "{sac}");
    let event = Event::Tube {
        tube: TubeId::new("25011500021"),
        module: at(&line, module),
        what,
        at: AT,
    };
    assert_eq!(read.events, [event], "{sac}");
}

#[test]
fn every_status_of_a_container_means_something() {
    let line = example();
    let lane = line.lane_named("L2");
    check(
        "SAC|||25011500021|||||I^Identified^HL70370||PUCK0231|1||||BL1",
        "IN1",
        SEEN,
    );
    check(
        "SAC|||25011500021|||||P||PUCK0231|1||||L2",
        "CENT1",
        What::Seen { lane },
    );
    check("SAC|||25011500021|||||O", "CENT1", What::Started);
    check("SAC|||25011500021|||||R", "CENT1", What::Finished);
    let to = line.module_named("DECAP1");
    check(
        "SAC|||25011500021|||||L|||||||DECAP1~L2",
        "CENT1",
        What::Left { to, lane },
    );
    check(
        "SAC|||25011500021|||||L",
        "CENT1",
        What::Left {
            to: None,
            lane: None,
        },
    );
    let position = "SHELF2/FRIDGE1/R12/7".to_owned();
    check(
        "SAC|||25011500021|||||R|||||R12|7|SHELF2~FRIDGE1",
        "STORE1",
        What::Kept { position },
    );
    for status in ["M", "X", "U"] {
        check(
            &format!("SAC|||25011500021|||||{status}"),
            "AU1",
            What::Lost,
        );
    }
}

#[test]
fn a_container_without_id_is_unread_and_one_without_status_or_place_is_told() {
    let read_of =
        |module: &str, sac: &str| read("SSU^U03", &format!("EQU|{module}|20250115095500\r{sac}\r"));
    let module = at(&example(), "TEMPUS1");
    // A time without a zone is of the laboratory.
    assert_eq!(
        read_of("TEMPUS1", "SAC||||||||I").events,
        [Event::Unread { module, at: AT }]
    );
    assert_eq!(
        read_of("TEMPUS1", "SAC|||T1|||||").unplaced,
        [Unplaced::Status]
    );
    assert_eq!(
        read_of("TEMPUS1", "SAC|||T1|||||Z").unplaced,
        [Unplaced::Status]
    );
    let long = format!("SAC|||{}|||||I", "9".repeat(81));
    assert_eq!(read_of("TEMPUS1", &long).unplaced, [Unplaced::Tube]);
    let unknown = read_of("XY9", "SAC|||T1|||||I");
    assert_eq!(unknown.unplaced, [Unplaced::Module("XY9".to_owned())]);
    assert_eq!(unknown.events, []);
}

#[test]
fn states_and_notifications_are_conditions_of_modules() {
    let condition = |kind: &str, body: &str| {
        let read = read(kind, body);
        assert_eq!(read.unplaced, []);
        match read.events[..] {
            [
                Event::Module {
                    module,
                    condition,
                    at: time,
                },
            ] => {
                assert_eq!(module, at(&example(), "CENT1"));
                Some((condition, time))
            }
            [] => None,
            _ => panic!("{read:?}"),
        }
    };
    for (state, is) in [
        ("OP", Condition::Up),
        ("ID", Condition::Up),
        ("PD", Condition::Jam),
        ("ES", Condition::Down),
        ("IN", Condition::Down),
    ] {
        let found = condition(
            "ESU^U01",
            &format!("EQU|CENT1^T|20250115095500+0700|{state}\r"),
        );
        assert_eq!(found, Some((is, AT)), "{state}");
    }
    assert_eq!(
        condition("ESU^U01", "EQU|CENT1|20250115095500+0700|QQ\r"),
        None
    );
    // A request says nothing of the state.
    assert_eq!(
        condition("ESR^U02", "EQU|CENT1|20250115095500+0700|PD\r"),
        None
    );
    let notification = |code: &str, state: &str| {
        let nds = format!("NDS|55|20250115100500+0700|S|{code}^Imbalance^99TRK\r");
        condition("EAN^U09", &format!("EQU|CENT1|x|{state}\r{nds}"))
    };
    assert_eq!(
        notification("CEN0007", "OP"),
        Some((Condition::Jam, RECEIVED))
    );
    assert_eq!(
        notification("CEN0008", "ES"),
        Some((Condition::Down, RECEIVED))
    );
    assert_eq!(notification("CEN0008", ""), None);
}

#[test]
fn a_container_is_followed_through_messages() {
    let line = example();
    let mut track = Track::new(Arc::clone(&line));
    let now = AT.after(600_000);
    for (module, time, status) in [
        ("BL1", "20250115095500", "I"),
        ("BL1", "20250115095505", "L|||||||CENT1"),
        ("CENT1", "20250115095540", "P"),
        ("CENT1", "20250115095600", "O"),
    ] {
        let body = format!("EQU|{module}|{time}\rSAC|||T1|||||{status}\r");
        for event in read("SSU^U03", &body).events {
            track.on_event(now, event);
        }
    }
    assert_eq!(track.poll(), None);
    assert_eq!(track.load(at(&line, "CENT1")).inside, 1);
}

#[test]
fn an_aliquot_is_told_with_the_tube_it_was_made_from() {
    let read_of =
        |sac: &str| read("SSU^U03", &format!("EQU|ALIQ1|20250115095500\r{sac}\r")).aliquots;
    let [child, parent] = ["T1A", "T1"].map(TubeId::new);
    assert_eq!(read_of("SAC|||T1A|T1||||R"), [(child, parent)]);
    assert_eq!(read_of("SAC|||T1|T1||||R"), []);
    assert_eq!(read_of("SAC|||T1|||||R"), []);
}

#[test]
fn an_advice_is_a_transport_command_of_the_chapter() {
    let line = example();
    let envelope = Envelope {
        sending_application: "BRIDGE",
        sending_facility: "LAB",
        receiving_application: "TRACK",
        receiving_facility: "LAB",
        time: "20250115095501+0700",
        control_id: "BR000710",
        ..Envelope::default()
    };
    let tube = TubeId::new("25011500021");
    let write = |go| hl7::transport(&line, (&tube, &go), "1001", &envelope).unwrap();
    let module = at(&line, "DXI1");
    let (lane, reason) = (None, Reason::NoAnalyzer);
    let written = concat!(
        "MSH|^~\\&|BRIDGE|LAB|TRACK|LAB|20250115095501+0700||EAC^U07^EAC_U07|BR000710|P|2.5.1",
        "|||AL|NE||UNICODE UTF-8\rEQU|TRACK^BRIDGE|20250115095501+0700\r",
        "ECD|1001|TT^Transport To^HL70368|Y||DXI1\rSAC|||25011500021\r",
    );
    let chosen = Chosen::Only;
    assert_eq!(
        write(Go::To {
            module,
            lane,
            chosen
        })
        .as_deref(),
        Some(written)
    );
    let module = at(&line, "OUT1");
    let to_outlet = write(Go::Outlet {
        module,
        lane,
        reason,
    });
    assert_eq!(to_outlet, Some(written.replace("DXI1", "OUT1")));
    assert_eq!(write(Go::Wait { reason }), None);
}

/// `test usable` of every event about a reagent of AU1, in the order told.
fn reagents(inventory: &str) -> Vec<String> {
    let body = format!("EQU|AU1^TRACK|20250115095500+0700|OP\r{inventory}");
    let read = read("INU^U05", &body);
    assert_eq!(read.unplaced, [], "{inventory}");
    let events = read.events.iter().map(|event| match event {
        Event::Reagent {
            test, is_usable, ..
        } => format!("{test} {is_usable}"),
        Event::Tube { .. } | Event::Unread { .. } | Event::Module { .. } => format!("{event:?}"),
    });
    events.collect()
}

#[test]
fn a_reagent_is_usable_where_one_pack_has_no_error_and_is_not_empty() {
    let pack = |status: &str, kind: &str, left: &str, tests: &str| {
        format!("INV|R1|{status}|{kind}||||100|{left}|||||||{tests}\r")
    };
    for (status, left, is_usable) in [
        ("OK", "40", true),
        ("OK", "", true),
        ("EW", "40", true),
        ("OK", "0", false),
        ("NE", "", false),
        ("EE", "40", false),
        ("OK~QE", "40", false),
    ] {
        let told = reagents(&pack(status, "SR", left, "GLU"));
        assert_eq!(told, [format!("GLU {is_usable}")], "{status} {left}");
    }
    let [empty, full] = ["0", "90"].map(|left| pack("OK", "SR", left, "GLU"));
    assert_eq!(reagents(&format!("{empty}{full}")), ["GLU true"]);
    assert_eq!(reagents(&format!("{full}{empty}")), ["GLU true"]);
    // One pack for several tests, and what no test is measured with.
    let several = pack("NE", "MR", "", "AST~ALT");
    let waste = pack("NE", "LW", "", "GLU");
    let told = reagents(&format!("{several}{waste}"));
    assert_eq!(told, ["ALT false", "AST false"]);
}

#[test]
fn the_last_word_about_a_reagent_counts_and_a_test_of_another_module_does_not() {
    let line = example();
    let mut track = Track::new(Arc::clone(&line));
    let module = at(&line, "AU1");
    let mut tell = |test: &str, is_usable, s: u64| {
        let at = Time::from_s(1_736_909_700 + s);
        let event = Event::Reagent {
            module,
            test: test.to_owned(),
            is_usable,
            at,
        };
        track.on_event(RECEIVED, event);
        let out = track.without_reagent();
        out.map(|(_, test)| test.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(tell("GLU", false, 10), ["GLU"]);
    assert_eq!(tell("TSH", false, 11), ["GLU"]);
    // Told late: something later is known.
    assert_eq!(tell("GLU", true, 5), ["GLU"]);
    assert!(tell("GLU", true, 20).is_empty());
}
