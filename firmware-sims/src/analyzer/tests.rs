//! Simulated instruments against a host made of the real machines, through memory.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use labwire_protocols::{
    astm::link::{Dialect, Link},
    mllp,
    wire::{Commit, CommitId, Mono, OutId, Outgoing, OutgoingKind, Received, SendOutcome},
};
use tokio::{io::DuplexStream, task::JoinHandle};

use super::*;
use crate::{
    clock::Wall,
    faults::FaultPlan,
    persona::ALL,
    runner::{Wire, session},
    text::{astm_field, field, segment},
};

/// A host that keeps everything and answers queries from a table.
#[derive(Debug, Default)]
struct Host {
    received: Vec<String>,
    /// What it says to a message of which it has this part; ASTM sends it, HL7 replies with it.
    answers: Vec<(&'static str, String)>,
    /// So many messages are refused first.
    refusals: u32,
    sends: u64,
    is_hl7: bool,
}

impl Host {
    fn take(&mut self, received: &Received, out: &mut Actions) -> Verdict {
        let text = String::from_utf8(received.bytes.to_vec()).expect("text");
        let answer = self.answers.iter().find(|(part, _)| text.contains(part));
        let answer = answer.map(|(_, answer)| answer.clone());
        if !self.is_hl7 {
            self.received.push(text);
            if let Some(answer) = answer {
                self.sends += 1;
                let outgoing = Outgoing {
                    payload: Bytes::from(answer),
                    kind: OutgoingKind::Answer,
                    expires_after: None,
                };
                out.send(OutId(self.sends), outgoing);
            }
            return Verdict::Kept(None);
        }
        let control = field(segment(&text, "MSH").expect("a header"), 10).to_owned();
        let code = if self.refusals > 0 { "AE" } else { "AA" };
        self.refusals = self.refusals.saturating_sub(1);
        self.received.push(text);
        let ack = format!("MSH|^~\\&|H|H|||20250115||ACK|9|P|2.3.1\rMSA|{code}|{control}\r");
        let reply = answer.map(|answer| answer.replace("{control}", &control));
        Verdict::Kept(Some(Bytes::from(reply.unwrap_or(ack))))
    }
}

impl Device for Host {
    fn on_open(&mut self, _now: Mono, _out: &mut Actions) {}

    fn on_commit(&mut self, _now: Mono, id: CommitId, commit: Commit, out: &mut Actions) {
        let messages = match commit {
            Commit::Frame { messages, .. } => messages,
            Commit::Message(message) => vec![message],
        };
        let mut verdict = Verdict::Kept(None);
        for message in messages.iter().filter(|message| message.is_complete) {
            verdict = self.take(message, out);
        }
        out.answer(id, verdict);
    }

    fn on_finished(&mut self, _: Mono, _: OutId, outcome: SendOutcome, _: &mut Actions) {
        assert_eq!(outcome, SendOutcome::Sent);
    }

    fn on_wake(&mut self, _now: Mono, _out: &mut Actions) {}
    fn on_close(&mut self, _now: Mono) {}

    fn deadline(&self) -> Option<Mono> {
        None
    }
}

/// Those on wires of their own have tests of their own.
fn is_own(persona: &Persona) -> bool {
    !matches!(persona.protocol(), "astm" | "hl7")
}

fn setup(name: &str, rates: Rates) -> Setup {
    Setup {
        persona: Persona::named(name).expect("a persona"),
        seed: 11,
        rates,
        measuring: Duration::from_secs(60),
        stops_when_idle: true,
        clock: Clock::new(Wall::fixed(1_736_908_200, 420), 1_000),
    }
}

fn serve(mut host: Host, stream: DuplexStream, clock: Clock) -> JoinHandle<Host> {
    tokio::spawn(async move {
        let mut wire = Wire::new(clock);
        if host.is_hl7 {
            let mut machine = mllp::Endpoint::new(mllp::Config::default());
            session(stream, &mut machine, &mut host, &mut wire).await;
        } else {
            let mut machine = Link::new(Dialect::default());
            session(stream, &mut machine, &mut host, &mut wire).await;
        }
        host
    })
}

/// Runs an instrument against a host until it is idle; gives both sides' books.
async fn run(setup: Setup, tubes: Vec<Tube>, mut host: Host, faults: &str) -> (Log, Host) {
    let (near, far) = tokio::io::duplex(4_096);
    let clock = setup.clock;
    let persona = setup.persona;
    let plan: FaultPlan = faults.parse().expect("a plan");
    host.is_hl7 = persona.protocol() == "hl7";
    let host = serve(host, far, clock);
    let mut wire = Wire::new(clock).with_faults(plan, 3);
    let log = if let Some(mut device) = Astm::new(setup.clone()) {
        let operator = device.operator();
        wire.wake = operator.wake();
        tubes.into_iter().for_each(|tube| operator.load(tube));
        let mut machine = Link::new(link_dialect(persona));
        let end = session(near, &mut machine, &mut device, &mut wire).await;
        assert!(matches!(end, crate::runner::End::Done), "{end:?}");
        operator.log()
    } else {
        let mut device = Hl7::new(setup).expect("one of the two");
        let operator = device.operator();
        wire.wake = operator.wake();
        tubes.into_iter().for_each(|tube| operator.load(tube));
        let mut machine = mllp::Endpoint::new(endpoint_config(persona));
        session(near, &mut machine, &mut device, &mut wire).await;
        operator.log()
    };
    (log, host.await.expect("the host ends"))
}

fn told(specimen: &str, tests: &[&str]) -> Tube {
    Tube {
        tests: Some(tests.iter().map(|test| (*test).to_owned()).collect()),
        ..Tube::patient(specimen)
    }
}

fn texts(sent: &[Sent]) -> Vec<(String, String)> {
    sent.iter()
        .map(|sent| (sent.code.clone(), sent.text.clone()))
        .collect()
}

/// Every value in the log stands in a message that the host kept, in its field.
fn assert_kept(log: &Log, host: &Host) {
    assert!(!log.sent.is_empty());
    assert_eq!(log.sent, log.acknowledged);
    for sent in &log.sent {
        let found = host.received.iter().any(|message| {
            message.contains(&sent.specimen)
                && message.split('\r').any(|record| {
                    record.contains(&sent.code)
                        && record.contains(&format!("|{}", sent.text))
                        && record.contains(&sent.unit)
                })
        });
        assert!(found, "{sent:?} is in no message");
    }
}

#[tokio::test(start_paused = true)]
async fn every_persona_delivers_what_it_was_told_to_measure() {
    for persona in ALL.iter().filter(|persona| !is_own(persona)) {
        let setup = setup(persona.name, Rates::default());
        let codes: Vec<_> = persona.default_codes().collect();
        let tubes = vec![told("25011500017", &codes), Tube::control(persona)];
        let (log, host) = run(setup, tubes, Host::default(), "").await;
        assert_eq!(log.sent.len(), 2 * codes.len(), "{}", persona.name);
        assert_eq!(host.received.len(), 2, "{}", persona.name);
        assert_kept(&log, &host);
    }
}

#[tokio::test(start_paused = true)]
async fn every_astm_order_record_is_final_and_marks_its_control() {
    for persona in ALL.iter().filter(|persona| persona.protocol() == "astm") {
        let setup = setup(persona.name, Rates::default());
        let tubes = vec![told("25011500017", &["WBC"]), Tube::control(persona)];
        let (_, host) = run(setup, tubes, Host::default(), "").await;
        for message in &host.received {
            let order = message
                .split('\r')
                .find(|record| record.starts_with("O|"))
                .expect("an O");
            assert_eq!(astm_field(order, 26), "F", "{}: {order}", persona.name);
        }
        let control = host.received.last().expect("the control");
        let order = control
            .split('\r')
            .find(|record| record.starts_with("O|"))
            .expect("an O");
        let is_marked = astm_field(order, 12) == "Q"
            || control
                .lines()
                .next()
                .is_some_and(|header| header.split('|').nth(11) == Some("Q"))
            || order.contains("QC-");
        assert!(is_marked, "{}: {control}", persona.name);
    }
}

fn answers(question: &'static str, answer: &str) -> Host {
    Host {
        answers: vec![(question, answer.to_owned())],
        ..Host::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_instrument_measures_exactly_what_the_answer_to_its_query_orders() {
    let check = async |name: &str, question, answer: &str, expected: &[&str]| {
        let setup = setup(name, Rates::default());
        let tubes = vec![Tube::patient("25011500021")];
        let (log, _) = run(setup, tubes, answers(question, answer), "").await;
        let codes: Vec<_> = log.sent.iter().map(|sent| sent.code.as_str()).collect();
        assert_eq!(codes, expected, "{name}");
        assert!(log.sent.iter().all(|sent| sent.is_ordered));
        assert_eq!((log.queries, log.unanswered), (1, 0));
    };
    check(
        "access2",
        "Q|1|^25011500021|",
        "H|\\^&|||LIS|||||ACCESS^500001||P|1|20250115100001\rP|1|PID0098\rO|1|25011500021||^^^TSH\\^^^FRT4|R||||||A||||Serum\rL|1|F\r",
        &["TSH", "FRT4"],
    )
    .await;
    check(
        "cobas-e411",
        "TSREQ^REAL",
        "H|\\^&|||host|||||cobas-e411^1|TSDWN^REPLY|P|1\rP|1\rO|1|25011500021|40^0^5^^S1^SC|^^^30^\\^^^10^2|R||||||A||||1||||||||||O\rL|1|N\r",
        &["30", "10"],
    )
    .await;
    check(
        "sysmex-xn",
        "25011500021^B||ALL|0|",
        "H|\\^&|||LIS\rP|1\rO|1|000001^02^           25011500021^B||^^^^WBC\\^^^^HGB|||||||N||||||||||||||Q\rL|1|N\r",
        &["WBC", "HGB"],
    )
    .await;
    check(
        "genexpert",
        "Q|1|^25011500021|",
        "H|@^\\|REPLY||LIS\rP|1\rO|1|25011500021||^^^MTB-RIF|R\rL|1|F\r",
        &["MTB", "Rif"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_an_order_each_model_does_what_it_does() {
    let check = async |name: &str, answer: Option<&str>, measured: usize, unanswered| {
        let host = answer.map_or_else(Host::default, |answer| answers("Q|1|", answer));
        let setup = setup(name, Rates::default());
        let (log, _) = run(setup, vec![Tube::patient("25011500021")], host, "").await;
        assert_eq!(
            (log.sent.len(), log.unanswered),
            (measured, unanswered),
            "{name}"
        );
        assert!(log.sent.iter().all(|sent| !sent.is_ordered));
    };
    let nothing = "H|\\^&|||LIS\rL|1|I\r";
    let empty = "H|\\^&|||host|||||x|TSDWN^REPLY|P|1\rP|1\rO|1|25011500021|4||R||||||A\rL|1|N\r";
    let refused =
        "H|\\^&|||LIS\rP|1\rO|1|1^1^25011500021^B||^^^^WBC|||||||N||||||||||||||Y\rL|1|N\r";
    check("access2", Some(nothing), 0, 0).await;
    check("cobas-e411", Some(empty), 0, 0).await;
    check("sysmex-xn", Some(refused), 21, 0).await;
    check("sysmex-xn", None, 21, 1).await;
    check("access2", None, 0, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_counter_asks_by_orm_and_measures_after_a_positive_orr() {
    let orr = "MSH|^~\\&|LIS||||20250115||ORR^O02|1|P|2.3.1\rMSA|AA|{control}\rPID|1\rORC|AF|25011500021\rOBR|1|25011500021\r";
    let host = answers("ORC|RF|25011500021|||IP", orr);
    let setup = setup("mindray-bc5000", Rates::default());
    let (log, host) = run(setup, vec![Tube::patient("25011500021")], host, "").await;
    assert_eq!((log.queries, log.sent.len()), (1, 21));
    assert!(log.acknowledged.iter().all(|sent| sent.is_ordered));
    assert_eq!(host.received.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_is_sent_again_to_the_byte() {
    let setup = setup("generic-hl7", Rates::default());
    let host = Host {
        refusals: 3,
        ..Host::default()
    };
    let (log, host) = run(setup, vec![told("25011500021", &["GLU"])], host, "").await;
    assert_eq!((log.messages, log.repeated, log.refused), (1, 3, 3));
    assert_eq!(host.received.len(), 4);
    assert!(
        host.received
            .iter()
            .all(|message| *message == host.received[0])
    );
    assert_eq!(log.acknowledged.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn noise_on_the_line_costs_time_and_no_result() {
    for seed in 0..8 {
        let mut setup = setup("generic-astm", Rates::default());
        setup.seed = seed;
        let tubes = (0..6)
            .map(|n| told(&format!("2501150{n}"), &["GLU", "K"]))
            .collect();
        let (log, host) = run(setup, tubes, Host::default(), "split=40,flip=30,delay=50").await;
        assert_eq!(log.acknowledged.len(), 12);
        assert_kept(&log, &host);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_unusual_is_marked_as_the_model_marks_it() {
    let rates = Rates {
        suspect: 250,
        absent: 250,
        error: 250,
        rerun: 300,
    };
    let tubes = (0..12).map(|n| told(&format!("2501150{n:02}"), &["WBC", "PLT", "HGB"]));
    let setup = setup("sysmex-xn", rates);
    let (log, host) = run(setup, tubes.collect(), Host::default(), "").await;
    for nature in [
        Nature::Ordinary,
        Nature::Suspect,
        Nature::Absent,
        Nature::Error,
        Nature::Preliminary,
        Nature::Rerun,
    ] {
        assert!(
            log.sent.iter().any(|sent| sent.nature == nature),
            "no {nature:?}"
        );
    }
    let all = host.received.concat();
    let mut records = all.split('\r').filter(|record| record.starts_with("R|"));
    for sent in &log.sent {
        // Results stand in the order of the log, with the model's own extras between them.
        let record = records
            .find(|record| component_five(record) == sent.code)
            .expect("a record");
        let shown = (
            astm_field(record, 4),
            astm_field(record, 7),
            astm_field(record, 9),
        );
        let is_as_marked = match sent.nature {
            Nature::Ordinary | Nature::Rerun => matches!(shown, (_, "N" | "L" | "H", "F")),
            Nature::Suspect => matches!(shown, (_, "W", "F")),
            Nature::Absent => shown == ("", "", "X"),
            Nature::Error => shown == ("----", "W", "F"),
            Nature::Preliminary => shown.2 == "P",
            Nature::Control => false,
        };
        assert!(is_as_marked, "{sent:?}: {record}");
    }
}

fn component_five(record: &str) -> &str {
    crate::text::component(astm_field(record, 3), 5)
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_measures_the_same_values() {
    let measured = async |seed| {
        let mut setup = setup("sysmex-xn", Rates::usual());
        setup.seed = seed;
        let tubes = vec![
            told("1", &["WBC", "RBC"]),
            told("2", &["PLT"]),
            told("1", &["WBC"]),
        ];
        texts(&run(setup, tubes, Host::default(), "").await.0.sent)
    };
    let first = measured(5).await;
    assert_eq!(first, measured(5).await);
    assert_ne!(first, measured(6).await);
    assert_ne!(first[0], first[3], "a second run is another measurement");
}

#[tokio::test(start_paused = true)]
async fn a_cut_line_repeats_the_message_on_the_next_connection() {
    let setup = setup("generic-astm", Rates::default());
    let clock = setup.clock;
    let mut device = Astm::new(setup).expect("astm");
    let operator = device.operator();
    let mut machine = Link::new(link_dialect(Persona::named("generic-astm").expect("one")));
    let plan: FaultPlan = "cut-at=150".parse().expect("a plan");
    let mut wire = Wire::new(clock).with_faults(plan, 1);
    wire.wake = Arc::clone(&operator.wake());
    operator.load(told("25011500021", &["GLU", "K", "NA"]));
    let mut hosts = Vec::new();
    for _ in 0..2 {
        let (near, far) = tokio::io::duplex(4_096);
        let host = serve(Host::default(), far, clock);
        session(near, &mut machine, &mut device, &mut wire).await;
        hosts.push(host.await.expect("the host ends"));
    }
    let log = operator.log();
    assert_eq!((log.connections, log.messages, log.repeated), (2, 1, 1));
    assert_eq!(log.acknowledged.len(), 3);
    assert!(hosts[0].received.is_empty());
    assert_kept(&log, &hosts[1]);
}

/// What each model says in one short session: its question, a result, a control.
#[tokio::test(start_paused = true)]
async fn the_words_of_every_persona_are_frozen() {
    let mut all = String::new();
    for persona in ALL.iter().filter(|persona| !is_own(persona)) {
        let setup = setup(persona.name, Rates::default());
        let codes: Vec<_> = persona.default_codes().take(2).collect();
        let orr = "MSH|^~\\&|L||||1||ORR^O02|1|P|2.3.1\rMSA|AR|{control}\r";
        let host = if persona.protocol() == "hl7" {
            answers("ORC|RF|", orr)
        } else {
            Host::default()
        };
        let tubes = vec![
            Tube::patient("25011500021"),
            told("25011500022", &codes),
            Tube::control(persona),
        ];
        let (_, host) = run(setup, tubes, host, "").await;
        all.push_str(&format!("== {}\n", persona.name));
        for message in &host.received {
            let shown = message.split('\r').take(11);
            shown.for_each(|record| all.push_str(&format!("{record}\n")));
        }
    }
    insta::assert_snapshot!(all);
}

/// The codecs of the protocol crate, which these texts were not written with, find no fault.
#[tokio::test(start_paused = true)]
async fn every_message_is_read_by_an_independent_parser() {
    let rates = Rates {
        suspect: 200,
        absent: 200,
        error: 200,
        rerun: 200,
    };
    for persona in ALL.iter().filter(|persona| !is_own(persona)) {
        let codes: Vec<_> = persona.default_codes().collect();
        let tubes = (0..5)
            .map(|n| told(&format!("2501150{n}"), &codes))
            .collect();
        let (_, host) = run(setup(persona.name, rates), tubes, Host::default(), "").await;
        for text in &host.received {
            if host.is_hl7 {
                let (message, notes) =
                    labwire_protocols::hl7::Message::parse(text).expect("a message");
                assert_eq!(notes, [], "{text}");
                assert_eq!(message.header().message_type(), component_of_type(text));
            } else {
                let (message, notes) =
                    labwire_protocols::astm::record::Message::parse(text.as_bytes());
                assert_eq!(notes, [], "{text}");
                assert!(message.is_complete());
            }
        }
    }
}

fn component_of_type(text: &str) -> &str {
    crate::text::component(field(segment(text, "MSH").expect("a header"), 9), 1)
}

#[tokio::test(start_paused = true)]
async fn an_instrument_that_cannot_keep_an_answer_gets_it_again() {
    let setup = setup("generic-astm", Rates::default());
    let clock = setup.clock;
    let mut device = Astm::new(setup).expect("astm");
    let operator = device.operator();
    operator.load(Tube::patient("25011500021"));
    let (near, far) = tokio::io::duplex(4_096);
    let order = "H|\\^&|||LIS\rP|1\rO|1|25011500021||^^^K|R\rL|1|F\r";
    let host = serve(answers("Q|1|", order), far, clock);
    let mut wire = Wire::new(clock);
    wire.keeping = crate::runner::Keeping {
        delay: Duration::from_millis(200),
        fail: 600,
    };
    let mut machine = Link::new(link_dialect(Persona::named("generic-astm").expect("one")));
    session(near, &mut machine, &mut device, &mut wire).await;
    let log = operator.log();
    assert_eq!(texts(&log.acknowledged).len(), 1);
    assert_eq!(log.acknowledged[0].code, "K");
    assert_kept(&log, &host.await.expect("the host ends"));
}

/// Rack, position and id in a record's field of the form `rack^position^id^…`.
fn place_of(field: &str) -> String {
    let mut parts = field.split('^').map(str::trim);
    let mut part = || parts.next().unwrap_or_default();
    let (rack, position, id) = (part(), part(), part());
    format!("{rack}-{position} {id}")
}

/// What an XN read and what it measured, in order.
async fn read_and_measured(mistake: Option<Mistake>) -> Vec<String> {
    // Every order that the answer names is for both tubes; each takes its own.
    let order = |id: &str| format!("O|1|1^1^{id}^B||^^^^WBC|||||||N||||||||||||||Q\r");
    let answer = format!(
        "H|\\^&|||LIS\rP|1\r{}{}{}L|1|N\r",
        order("T1"),
        order("T2"),
        order("000042")
    );
    let tubes = rack("000042", &["T1", "T2"], mistake);
    let setup = setup("sysmex-xn", Rates::default());
    let (log, host) = run(setup, tubes, answers("Q|1|", &answer), "").await;
    assert!(log.sent.iter().all(|sent| sent.is_ordered), "{log:?}");
    let told = host.received.iter().map(|message| {
        let record = |letter: &str| message.split('\r').find(|one| one.starts_with(letter));
        match (record("Q|"), record("O|")) {
            (Some(query), _) => format!("read {}", place_of(astm_field(query, 3))),
            (None, Some(order)) => format!("measured {}", place_of(astm_field(order, 4))),
            (None, None) => message.clone(),
        }
    });
    told.collect()
}

#[tokio::test(start_paused = true)]
async fn mistakes_with_a_rack_show_in_what_is_read_and_where_it_is_measured() {
    assert_eq!(
        read_and_measured(None).await,
        [
            "read 000042-01 T1",
            "measured 000042-01 T1",
            "read 000042-02 T2",
            "measured 000042-02 T2"
        ]
    );
    assert_eq!(
        read_and_measured(Some(Mistake::Swapped)).await,
        [
            "read 000042-01 T1",
            "read 000042-02 T2",
            "measured 000042-01 T2",
            "measured 000042-02 T1"
        ]
    );
    assert_eq!(
        read_and_measured(Some(Mistake::RackRead)).await,
        [
            "read 000042-01 000042",
            "measured 000042-01 000042",
            "read 000042-02 T2",
            "measured 000042-02 T2"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_tube_that_is_not_read_is_measured_where_the_other_one_stood() {
    let tubes = rack("000042", &["T1", "T2"], Some(Mistake::Replaced));
    let setup = setup("sysmex-xn", Rates::default());
    let order = "H|\\^&|||LIS\rP|1\rO|1|1^1^T1^B||^^^^WBC|||||||N||||||||||||||Q\rL|1|N\r";
    let (log, host) = run(setup, tubes, answers("Q|1|", order), "").await;
    assert_eq!(log.queries, 1);
    let last = host.received.last().expect("results");
    let order = last.split('\r').find(|one| one.starts_with("O|"));
    assert_eq!(
        place_of(astm_field(order.expect("an O"), 4)),
        "000042-01 T2"
    );
    // Nobody asked what to measure, so it measures what it always does.
    let of_second = log.sent.iter().filter(|sent| sent.specimen == "T2");
    assert_eq!(of_second.filter(|sent| !sent.is_ordered).count(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_blood_bank_reads_the_blood_in_the_tube_and_says_who_had_a_hand_in_it() {
    let blood = Blood::of_group(Abo::B);
    let tube = Tube {
        tests: Some(["ABO", "Rh", "ABScr", "XM_IgG"].map(str::to_owned).to_vec()),
        ..Tube::patient("T1").filled(blood)
    };
    let tube = tube
        .reading(Reading::of("ABO", "AB").marked(Mark::Edited))
        .reading(Reading::of("Rh", "NEG").marked(Mark::Corrected))
        .reading(Reading::of_donor("XM_IgG", "D0001"));
    let setup = setup("vision", Rates::default());
    let (_, host) = run(setup, vec![tube], Host::default(), "").await;
    let records = host.received.first().expect("results").split('\r');
    let shown: Vec<_> = records
        .filter(|record| record.starts_with("R|"))
        .map(|record| [3, 4, 7, 9].map(|n| astm_field(record, n)))
        .collect();
    assert_eq!(
        shown,
        [
            ["ABO", "AB", "M", "F"],
            ["Rh", "NEG", "", "C"],
            ["ABScr", "NEG", "", "F"],
            ["XM_IgG^D0001", "Compatible", "", "F"],
        ]
    );
}
