//! The simulated line by itself, its time given.

use labwire_protocols::wire::Received;

use super::*;
use crate::{
    runner::Action,
    text::{component, field},
};

/// A line, and what it says.
struct Bench {
    line: TrackLine,
    now: Mono,
    said: Vec<String>,
    commands: u32,
}

impl Bench {
    fn new() -> Self {
        let setup = Setup {
            layout: POWER_EXPRESS,
            transit: Duration::from_secs(10),
            dwell: Duration::from_secs(20),
            pace: None,
            stops_when_idle: true,
            clock: Clock::new(crate::clock::Wall::fixed(1_736_908_200, 420), 1_000),
        };
        let mut bench = Self {
            line: TrackLine::new(setup),
            now: Mono::default(),
            said: Vec::new(),
            commands: 76,
        };
        let mut out = Actions::default();
        bench.line.on_open(bench.now, &mut out);
        bench.settle(out);
        bench
    }

    /// Everything it says is taken at once.
    fn settle(&mut self, mut out: Actions) {
        while let Some(action) = out.pop() {
            let Action::Send(id, outgoing) = action else {
                continue;
            };
            self.said
                .push(String::from_utf8(outgoing.payload.to_vec()).expect("text"));
            let reply = Bytes::from_static(b"MSH|^~\\&|L\rMSA|CA|1\r");
            let now = self.now;
            self.line
                .on_finished(now, id, SendOutcome::Answered(reply), &mut out);
        }
    }

    fn wake(&mut self) {
        let mut out = Actions::default();
        self.line.on_wake(self.now, &mut out);
        self.settle(out);
    }

    /// Lets time pass until nothing moves by itself.
    fn run(&mut self) {
        self.wake();
        while let Some(at) = self.line.deadline() {
            self.now = at.max(self.now);
            self.wake();
        }
    }

    fn command(&mut self, barcode: &str, to: &str) {
        self.commands += 1;
        self.command_again(barcode, to);
    }

    /// The same under the number of the last one.
    fn command_again(&mut self, barcode: &str, to: &str) {
        let number = self.commands;
        let text = format!(
            "MSH|^~\\&|LABWIRE||line-1||20250115093001+0700||EAC^U07^EAC_U07|LW1|P|2.5.1|||AL|NE\r\
             EQU|line-1^LABWIRE|20250115093001+0700\rECD|{number}|TT^Transport To^HL70368|Y||{to}~L2\r\
             SAC|||{barcode}\r"
        );
        let received = Received {
            session: 1,
            bytes: text.into(),
            is_complete: true,
        };
        let mut out = Actions::default();
        self.line
            .on_commit(self.now, CommitId(1), Commit::Message(received), &mut out);
        self.settle(out);
        self.run();
    }

    fn told(&self) -> Vec<String> {
        let told = self.line.attendant().log().told;
        told.iter()
            .map(|(tube, module, what)| format!("{tube} {module} {what}"))
            .collect()
    }
}

fn arrival(barcode: &str, course: &[&str]) -> Arrival {
    Arrival {
        barcode: barcode.to_owned(),
        inlet: "TEMPUS1".to_owned(),
        course: course.iter().map(|&stop| stop.to_owned()).collect(),
    }
}

#[test]
fn a_tube_by_air_goes_where_it_is_told_and_every_step_is_said() {
    let mut bench = Bench::new();
    bench.line.attendant().arrive(arrival("T1", &[]));
    bench.run();
    bench.command("T1", "XN1");
    bench.command("T1", "STORE1");
    assert_eq!(
        bench.told(),
        [
            "T1 TEMPUS1 identified",
            "T1 TEMPUS1 left",
            "T1 XN1 in position",
            "T1 XN1 in process",
            "T1 XN1 completed",
            "T1 XN1 left",
            "T1 STORE1 in position",
            "T1 STORE1 kept",
        ]
    );
    assert!(bench.line.is_done());
    let left = bench.said.iter().find(|said| said.contains("|L|"));
    assert!(
        left.is_some_and(|said| said.contains("XN1~L2")),
        "{:?}",
        bench.said
    );
    let answers = bench.said.iter().filter(|said| said.contains("ECR|OK"));
    assert_eq!(answers.count(), 2);
}

#[test]
fn a_command_that_comes_again_is_answered_again_and_done_once() {
    let mut bench = Bench::new();
    bench.line.attendant().arrive(arrival("T1", &[]));
    bench.run();
    bench.command("T1", "XN1");
    let told = bench.told();
    bench.command_again("T1", "XN1");
    assert_eq!(bench.told(), told);
    let answers = bench.said.iter().filter(|said| said.contains("ECR|OK"));
    assert_eq!(answers.count(), 2);
    bench.command("T1", "STORE1");
    assert!(bench.line.is_done());
}

#[test]
fn what_goes_wrong_is_said_and_a_closed_module_takes_no_tube() {
    let mut bench = Bench::new();
    let attendant = bench.line.attendant();
    attendant.break_down(Fault::Off("XN1".to_owned()));
    attendant.break_down(Fault::Full("ERR1".to_owned()));
    attendant.break_down(Fault::Jam("CENT1".to_owned()));
    attendant.break_down(Fault::Unread);
    attendant.arrive(arrival("T0", &[]));
    attendant.arrive(arrival("T1", &[]));
    bench.run();
    let has = |part: &str| bench.said.iter().any(|said| said.contains(part));
    assert!(has("EQU|XN1^TRACK|20250115093000|ES\r"), "{:?}", bench.said);
    assert!(has("|S|OUT0001^^99TRK\r") && has("|S|JAM0001^^99TRK\r"));
    assert!(has("SAC||||||||I^Identified"), "unread");
    bench.command("T1", "XN1");
    bench.command("T9", "XN2");
    bench.command("T1", "CENT1");
    let answers: Vec<String> = attendant
        .log()
        .commands
        .into_iter()
        .map(|one| one.2)
        .collect();
    assert_eq!(answers, ["ST", "UN", "OK"]);
    // It stands before the jam until somebody mends it.
    assert_eq!(
        bench.told().last().map(String::as_str),
        Some("T1 CENT1 in position")
    );
    attendant.mend("CENT1");
    bench.run();
    assert_eq!(
        bench.told().last().map(String::as_str),
        Some("T1 CENT1 completed")
    );
}

#[test]
fn a_gate_that_errs_shows_the_tube_where_it_should_not_be() {
    let mut bench = Bench::new();
    let attendant = bench.line.attendant();
    attendant.break_down(Fault::Gate);
    attendant.arrive(arrival("T1", &["XN1", "STORE1"]));
    bench.run();
    let told = bench.told();
    let wrong = told.iter().position(|said| said == "T1 AU1 in position");
    let right = told.iter().position(|said| said == "T1 XN1 in position");
    assert!(wrong.is_some() && wrong < right, "{told:?}");
    attendant.break_down(Fault::Lost("T1".to_owned()));
    bench.run();
    assert_eq!(
        bench.told().last().map(String::as_str),
        Some("T1 STORE1 missing")
    );
}

/// Ten tubes at once before one decapper, at life's pace.
#[test]
fn a_module_works_at_its_rate_and_tubes_wait_for_their_turn() {
    let mut bench = Bench::new();
    bench.line.setup.pace = Some(1.0);
    let attendant = bench.line.attendant();
    for number in 0..10 {
        attendant.arrive(Arrival {
            barcode: format!("T{number}"),
            inlet: "IN1".to_owned(),
            course: ["DECAP1", "STORE1"].map(str::to_owned).to_vec(),
        });
    }
    bench.run();
    let log = attendant.log();
    assert!(log.is_idle, "{log:?}");
    let begun = |one: &&(String, String, String)| one.1 == "DECAP1" && one.2 == "in process";
    assert_eq!(log.told.iter().filter(begun).count(), 10);
    // Six hundred an hour: the tenth begins nine times six seconds after the first, and takes six.
    let ways = Duration::from_secs(10 + 9 * 6 + 6 + 10);
    assert_eq!(bench.now, Mono::default().after(ways));
}

#[test]
fn a_tube_that_was_not_read_comes_again_and_what_befell_the_line_is_counted() {
    let mut bench = Bench::new();
    bench.line.setup.pace = Some(1.0);
    let attendant = bench.line.attendant();
    attendant.break_down(Fault::Unread);
    attendant.arrive(Arrival {
        barcode: "T1".to_owned(),
        inlet: "IN1".to_owned(),
        course: vec!["STORE1".to_owned()],
    });
    bench.run();
    let log = attendant.log();
    let read: Vec<_> = log
        .told
        .iter()
        .filter(|one| one.2 == "identified")
        .map(|one| one.0.as_str())
        .collect();
    assert_eq!(read, ["", "T1"]);
    assert_eq!(log.faults, BTreeMap::from([("unread", 1)]));
    assert!(log.is_idle);
}

#[test]
fn at_a_pace_one_message_says_what_there_is_to_say_of_a_module_and_every_tube_in_its_order() {
    let mut bench = Bench::new();
    bench.line.setup.pace = Some(1.0);
    let attendant = bench.line.attendant();
    for barcode in ["T1", "T2", "T3"] {
        attendant.arrive(Arrival {
            barcode: barcode.to_owned(),
            inlet: "IN1".to_owned(),
            course: vec!["STORE1".to_owned()],
        });
    }
    bench.run();
    let shown: Vec<String> = bench
        .said
        .iter()
        .map(|message| modules_of(message))
        .collect();
    let identified = "I^Identified^HL70370";
    assert_eq!(
        shown,
        [
            format!("IN1 T1{identified} T1L T2{identified} T2L T3{identified} T3L"),
            "STORE1 T1P T1R T2P T2R T3P T3R".to_owned(),
        ]
    );
}

/// The module, then barcode and SAC-8 of every container.
fn modules_of(message: &str) -> String {
    let mut shown = String::new();
    for segment in crate::text::segments(message) {
        match segment.split('|').next() {
            Some("EQU") => shown.push_str(component(field(segment, 1), 1)),
            Some("SAC") => {
                shown.push_str(&format!(" {}{}", field(segment, 3), field(segment, 8)));
            }
            _ => {}
        }
    }
    shown
}
