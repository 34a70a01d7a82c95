//! The simulated HIS against a sender that repeats until it is acknowledged, through memory.

use std::time::Duration;

use bytes::Bytes;
use labwire_protocols::{
    hl7::{Message as Hl7Message, order},
    mllp,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::clock::Wall;

fn clock() -> Clock {
    Clock::new(Wall::fixed(1_736_908_200, 420), 1_000)
}

fn oru(control: &str, patient: &str, placer: &str, code: &str, text: &str) -> Written {
    let bytes = format!(
        "MSH|^~\\&|LABWIRE|LAB|HIS|BV01|20250115104000||ORU^R01^ORU_R01|{control}|P|2.5.1\rPID|1||{patient}^^^BV01^PI\rORC|RE|{placer}^HIS|F1^LIS\rOBR|1|{placer}^HIS|F1^LIS|{code}^x^L|||||||||||||||||||||F\rOBX|1|NM|{code}^x^L||{text}|mmol/L^^UCUM||N|||F\rSPM|1|25011500021&HIS\r"
    );
    Written {
        control_id: control.to_owned(),
        bytes: Bytes::from(bytes),
    }
}

fn expected(patient: &str, code: &str, text: &str) -> Expected {
    Expected {
        patient: patient.to_owned(),
        barcode: "25011500021".to_owned(),
        code: code.to_owned(),
        text: text.to_owned(),
        is_required: true,
    }
}

/// Sends until everything is answered for good, over as many connections as that takes.
async fn deliver(answering: Answering, messages: Vec<Written>) -> (Book, Orders, Vec<Duration>) {
    let clock = clock();
    let book = Book::new(answering, clock);
    let orders = Orders::default();
    messages
        .into_iter()
        .for_each(|message| orders.push(message));
    let mut placer = Placer::new(orders.clone(), true);
    let mut machine = mllp::Endpoint::new(mllp::Config::default());
    let mut ends = Vec::new();
    while orders.waiting() > 0 {
        assert!(ends.len() < 20, "it does not end");
        let (near, far) = tokio::io::duplex(4_096);
        let mut receiver = Receiver::new(book.clone());
        let server = tokio::spawn(async move {
            let mut machine = mllp::Endpoint::new(mllp::Config::default());
            session(far, &mut machine, &mut receiver, &mut Wire::new(clock)).await
        });
        let mut wire = Wire::new(clock);
        wire.wake = orders.wake();
        session(near, &mut machine, &mut placer, &mut wire).await;
        server.await.expect("the HIS ends");
        ends.push(clock.now().since(labwire_protocols::wire::Mono::default()));
    }
    (book, orders, ends)
}

#[tokio::test(start_paused = true)]
async fn whatever_passes_every_result_is_in_the_book_once() {
    let check = async |script: &[Policy], sends: u64, connections: usize| {
        let messages = vec![
            oru("B1", "P1", "R1", "GLU", "5.40"),
            oru("B2", "P1", "R2", "K", "4.1"),
        ];
        let (book, orders, ends) = deliver(Answering::scripted(script), messages).await;
        let all = [expected("P1", "GLU", "5.40"), expected("P1", "K", "4.1")];
        assert_eq!(book.verify(&all), [], "{script:?}");
        assert_eq!(orders.accepted(), 2, "{script:?}");
        assert_eq!(
            (orders.sends(), ends.len()),
            (sends, connections),
            "{script:?}"
        );
    };
    let refuse = |code, error| Policy::Refuse(Refusal { code, error });
    check(&[], 2, 1).await;
    check(&[Policy::Slow(Duration::from_secs(5))], 2, 1).await;
    check(&[Policy::Busy, Policy::Busy], 4, 1).await;
    check(&[refuse("AR", Some(207))], 3, 1).await;
    check(&[refuse("CE", None)], 3, 1).await;
    check(&[Policy::Cut, Policy::Cut], 4, 3).await;
    check(&[Policy::Silent], 3, 1).await;
    check(&[Policy::Late, Policy::Late], 2, 1).await;
    check(&[Policy::Twice, Policy::Good], 2, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_answered_with_its_code_and_nothing_is_taken() {
    let check = async |code: &'static str, error: u16| {
        let refusal = Policy::Refuse(Refusal {
            code,
            error: Some(error),
        });
        let message = oru("B1", "P1", "R1", "GLU", "5.40");
        let (book, orders, _) = deliver(Answering::scripted([refusal]), vec![message]).await;
        let answer = orders.answer("B1").expect("an answer");
        assert_eq!(answer.code, code);
        assert!(
            answer
                .text
                .contains(&format!("\rERR|||{error}^^HL70357|E\r")),
            "{}",
            answer.text
        );
        assert_eq!(orders.refused(), ["B1"]);
        assert_eq!(
            book.verify(&[expected("P1", "GLU", "5.40")]),
            [Discrepancy::Missing(expected("P1", "GLU", "5.40"))]
        );
    };
    check("AE", 204).await;
    check("AR", 203).await;
    check("CR", 200).await;
}

#[tokio::test(start_paused = true)]
async fn in_enhanced_mode_it_says_kept_and_then_processed() {
    let mut message = oru("B1", "P1", "R1", "GLU", "5.40");
    let text = String::from_utf8(message.bytes.to_vec()).expect("text");
    message.bytes = Bytes::from(text.replace("|P|2.5.1\r", "|P|2.5.1|||AL|AL\r"));
    let answering = Answering {
        is_enhanced: true,
        ..Answering::scripted([Policy::Slow(Duration::from_secs(7))])
    };
    let (_, orders, ends) = deliver(answering, vec![message]).await;
    let answer = orders.answer("B1").expect("an answer");
    assert_eq!((answer.code.as_str(), orders.sends()), ("AA", 1));
    assert!(ends[0] >= Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn chance_comes_from_the_seed_and_the_control_id_alone() {
    let rates = [(300, Policy::Busy), (200, Policy::Cut), (200, Policy::Late)];
    let sends = async |seed, is_reversed: bool| {
        let numbers = 0..20;
        let mut messages: Vec<_> = numbers
            .map(|n| {
                oru(
                    &format!("B{n}"),
                    "P1",
                    &format!("R{n}"),
                    "GLU",
                    &n.to_string(),
                )
            })
            .collect();
        if is_reversed {
            messages.reverse();
        }
        let (book, orders, _) = deliver(Answering::by_chance(rates, seed), messages).await;
        assert_eq!(orders.accepted(), 20);
        book.with_ledger(|ledger| {
            ledger
                .messages()
                .values()
                .map(|m| m.times)
                .collect::<Vec<_>>()
        })
    };
    let first = sends(1, false).await;
    assert_eq!(first, sends(1, true).await);
    assert_ne!(first, sends(2, false).await);
    assert!(first.iter().any(|times| *times > 1));
}

fn book_of(messages: &[Written]) -> Ledger {
    let mut ledger = Ledger::default();
    for message in messages {
        ledger.receive(&message.control_id, &message.bytes);
        ledger.take(&message.control_id);
    }
    ledger
}

#[test]
fn the_same_control_id_with_two_bodies_is_found() {
    let ledger = book_of(&[
        oru("B1", "P1", "R1", "GLU", "5.40"),
        oru("B1", "P1", "R1", "GLU", "5.41"),
    ]);
    assert_eq!(
        ledger.verify(&[expected("P1", "GLU", "5.40")]),
        [Discrepancy::TwoBodies("B1".to_owned())]
    );
    let same = book_of(&[
        oru("B1", "P1", "R1", "GLU", "5.40"),
        oru("B1", "P1", "R1", "GLU", "5.40"),
    ]);
    assert_eq!(same.verify(&[expected("P1", "GLU", "5.40")]), []);
    assert_eq!(same.messages()["B1"].times, 2);
}

#[test]
fn every_way_to_be_wrong_is_found() {
    let check = |messages: &[Written], found: &str| {
        let discrepancies = book_of(messages).verify(&[expected("P1", "GLU", "5.40")]);
        let texts: Vec<_> = discrepancies.iter().map(ToString::to_string).collect();
        assert_eq!(texts.join("; "), found);
    };
    let right = oru("B1", "P1", "R1", "GLU", "5.40");
    check(std::slice::from_ref(&right), "");
    check(&[], "missing: 25011500021 GLU = 5.40");
    check(
        &[oru("B1", "P2", "R1", "GLU", "5.40")],
        "other patient: 25011500021 GLU was filed under P2 in B1, not P1",
    );
    check(
        &[oru("B1", "P1", "R1", "GLU", "5.4")],
        "other value: 25011500021 GLU is 5.4 in B1, not 5.40; unexpected: 25011500021 GLU = 5.4 in B1",
    );
    check(
        &[right.clone(), oru("B2", "P1", "R1", "GLU", "5.40")],
        "twice: 25011500021 GLU = 5.40 in B1 and B2",
    );
    check(
        &[right, oru("B2", "P1", "R1", "K", "4.1")],
        "unexpected: 25011500021 K = 4.1 in B2",
    );
}

#[test]
fn a_tube_is_found_by_its_order_where_the_message_does_not_name_it() {
    let mut ledger = Ledger::default();
    ledger.place("R1", "P1", "25011500021");
    let message = oru("B1", "P1", "R1", "GLU", "5.40");
    let text = String::from_utf8(message.bytes.to_vec()).expect("text");
    let bytes = Bytes::from(text.replace("SPM|1|25011500021&HIS\r", ""));
    ledger.receive("B1", &bytes);
    ledger.take("B1");
    assert_eq!(ledger.verify(&[expected("P1", "GLU", "5.40")]), []);
}

fn request() -> Request {
    Request {
        control: Control::New,
        patient: Patient {
            id: "PID0098".to_owned(),
            national_id: "079091001234".to_owned(),
            insurance: "DN4010012345678".to_owned(),
            family: "TRẦN".to_owned(),
            given: "BÌNH".to_owned(),
            middle: "THỊ".to_owned(),
            birth: "19911105".to_owned(),
            sex: "F".to_owned(),
        },
        group: "REQ778".to_owned(),
        barcode: "25011500021".to_owned(),
        items: ["TSH", "FT4"]
            .map(|code| Item {
                placer: format!("REQ778-{code}"),
                service: code.to_owned(),
                name: code.to_owned(),
            })
            .to_vec(),
        is_stat: true,
        ward: "KKB".to_owned(),
        visit: "V240099".to_owned(),
        collected: "20250115094000".to_owned(),
        tube_type: "SER^Serum^HL70487".to_owned(),
    }
}

#[test]
fn an_order_means_the_same_to_an_independent_reader() {
    for (version, control) in [
        (Version::V251, Control::New),
        (Version::V231, Control::Change),
    ] {
        let mut writer = Writer::new(version, "HIS");
        let request = Request {
            control,
            ..request()
        };
        let written = writer.request(&request, "20250115093000");
        let text = String::from_utf8(written.bytes.to_vec()).expect("text");
        let message = Hl7Message::parse(&text).expect("a message").0;
        let read = order::OrderMessage::read(&message).expect("orders");
        assert_eq!(read.problems, []);
        assert_eq!(read.header.control_id(), written.control_id);
        assert_eq!(read.orders.len(), 2);
        for (group, item) in read.orders.iter().zip(&request.items) {
            assert_eq!(group.control, control.code());
            assert_eq!(group.placer.id, item.placer);
            assert_eq!(group.priority, "S");
            let barcode = group
                .specimens
                .first()
                .map(|specimen| specimen.placer_id.as_ref());
            assert_eq!(barcode.unwrap_or(group.placer_field_1), "25011500021");
        }
    }
}

#[test]
fn no_two_messages_share_a_control_id() {
    let mut writer = Writer::new(Version::V251, "HIS");
    let patient = request().patient;
    let written = [
        writer.request(&request(), "20250115093000"),
        writer.update(&patient, "20250115093000"),
        writer.merge(&patient, "PID0777", "20250115093000"),
    ];
    let ids: Vec<_> = written
        .iter()
        .map(|written| written.control_id.as_str())
        .collect();
    assert_eq!(ids, ["HIS000001", "HIS000002", "HIS000003"]);
    let merge = String::from_utf8(written[2].bytes.to_vec()).expect("text");
    assert!(merge.contains("|ADT^A40^ADT_A39|") && merge.contains("\rMRG|PID0777^^^BV01^PI\r"));
}

#[tokio::test]
async fn a_sender_whose_line_is_cut_dials_again_and_repeats_the_same_bytes() {
    let book = Book::new(Answering::scripted([Policy::Cut]), clock());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = Port::Connect(listener.local_addr().expect("an address").to_string());
    let cancel = CancellationToken::new();
    let server = tokio::spawn(serve_results(listener, book.clone(), cancel.clone()));
    let orders = Orders::default();
    orders.push(oru("B1", "P1", "R1", "GLU", "5.40"));
    place_orders(port, &orders, true, &mut Wire::new(clock()))
        .await
        .expect("an end");
    cancel.cancel();
    server.await.expect("no panic").expect("an end");
    assert_eq!(book.verify(&[expected("P1", "GLU", "5.40")]), []);
    assert_eq!(book.with_ledger(|ledger| ledger.messages()["B1"].times), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_with_an_answer_holds_up_no_later_order() {
    let clock = clock();
    let orders = Orders::default();
    for control in ["C1", "C2"] {
        orders.push(oru(control, "P1", "1", "GLU", "5.0"));
    }
    let mut placer = Placer::new(orders.clone(), true);
    let mut machine = mllp::Endpoint::new(mllp::Config::default());
    // The first answer lacks its last byte, so the end of the connection ends it.
    for (control, end) in [("C1", "\x1c"), ("C2", "\x1c\r")] {
        let (near, mut far) = tokio::io::duplex(4_096);
        let peer = tokio::spawn(async move {
            let mut heard = Vec::new();
            while !heard.ends_with(b"\x1c\r") {
                heard.push(far.read_u8().await.expect("a whole message"));
            }
            let answer = format!(
                "\x0bMSH|^~\\&|LAB|LAB|HIS|BV01|20250115104000||ACK|1|P|2.5.1\rMSA|AA|{control}\r{end}"
            );
            far.write_all(answer.as_bytes()).await.expect("it is heard");
        });
        let mut wire = Wire::new(clock);
        wire.wake = orders.wake();
        session(near, &mut machine, &mut placer, &mut wire).await;
        peer.await.expect("the peer ends");
    }
    assert_eq!((orders.waiting(), orders.accepted()), (0, 2));
}
