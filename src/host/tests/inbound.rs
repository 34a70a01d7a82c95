//! Messages of a host, and what they are answered.

use insta::assert_snapshot;
use labwire_protocols::{hl7::Message, mllp};

use super::*;
use crate::{
    book,
    config::choice::{Reply, Version},
    store::journal,
};

/// A conversation: each message as sent, then `>` and its replies.
fn talk(bench: &mut Bench, messages: &[&str]) -> String {
    messages.iter().fold(String::new(), |mut text, message| {
        text.push_str(message);
        for line in bench.replies(message).lines() {
            text.push_str(&format!("> {line}\n"));
        }
        text
    })
}

#[test]
fn orders_are_answered_one_by_one() {
    let mut bench = Bench::new();
    let new = oml("M1", &format!("{CBC}{TSH}"));
    let unknown = oml(
        "M2",
        "ORC|NW|REQ3^HIS\nOBR|1|REQ3^HIS||NOPE^Not known^L\nSPM|1|T1\nORC|HD|REQ1^HIS\n",
    );
    let nameless = oml("M3", "ORC|NW|REQ4^HIS\nOBR|1|REQ4^HIS||TSH^TSH^L\n");
    assert_snapshot!(
        "orders_are_answered_one_by_one",
        talk(&mut bench, &[&new, &unknown, &nameless])
    );
}

#[test]
fn the_same_new_order_again_is_ok_and_another_content_is_not() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", TSH));
    let again = oml("M2", TSH);
    let other_tube = oml("M3", &TSH.replace("T1", "T2"));
    let other_patient = oml("M4", TSH)
        .replace("PID0098", "PID0001")
        .replace("079091001234", "2");
    let other_service = oml("M5", &TSH.replace("TSH^TSH", "HBSAG^HBsAg"));
    let said = talk(
        &mut bench,
        &[&again, &other_tube, &other_patient, &other_service],
    );
    let orc: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("> ORC") || line.starts_with("> MSA"))
        .collect();
    assert_snapshot!(
        "the_same_new_order_again_is_ok_and_another_content_is_not",
        orc.join("\n")
    );
}

#[test]
fn a_cancel_and_a_change_are_answered_by_what_the_laboratory_has() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", &format!("{CBC}{TSH}")));
    bench.measure(vec![quantity("WBC", "6.4")]);
    let cancels = oml(
        "M2",
        "ORC|CA|REQ1^HIS|LW1^LABWIRE\nOBR|1|REQ1^HIS|LW1^LABWIRE|CBC^Công thức máu^L\n\
         ORC|CA|REQ2^HIS\nORC|DC|REQ9^HIS\nOBR|3|REQ9^HIS||TSH\n",
    );
    let changes = oml(
        "M3",
        "ORC|XO|REQ2^HIS\nOBR|1|REQ2^HIS||TSH^TSH^L\nSPM|1|T2\n\
         ORC|XO|REQ1^HIS\nOBR|2|REQ1^HIS||CBC^CBC^L\nSPM|1|T3\n",
    );
    assert_snapshot!(
        "a_cancel_and_a_change_are_answered_by_what_the_laboratory_has",
        talk(&mut bench, &[&cancels, &changes])
    );
}

#[test]
fn an_order_moves_to_another_tube_only_for_a_named_patient() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", TSH));
    let change = "ORC|XO|REQ2^HIS\nOBR|1|REQ2^HIS||TSH^TSH^L\nSPM|1|T2\n";
    let nameless = oml("M2", change).replace(&format!("{PID}\n"), "");
    assert!(bench.replies(&nameless).contains("ORC|UX|REQ2^HIS"));
    assert!(
        bench
            .replies(&oml("M3", change))
            .contains("ORC|XR|REQ2^HIS")
    );
    let tubes = bench.work(|db| book::specimens_with_barcode(db, "T2", 0));
    let items = bench.work(move |db| book::open_items(db, tubes[0].id));
    assert_eq!(items.len(), 1);
}

#[test]
fn an_addition_goes_to_the_tube_that_is_there() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", CBC));
    let heard = bench.hear(oml("M2", TSH).replace('\n', "\r").as_bytes());
    assert_eq!(heard.barcodes, ["T1"]);
    let tubes = bench.work(|db| book::specimens_with_barcode(db, "T1", 0));
    assert_eq!(tubes.len(), 1, "no second generation");
    assert!(
        tubes[0].fields.contains_key(&17),
        "nor is the tube forgotten"
    );
}

#[test]
fn an_order_without_specimen_takes_the_only_one_and_never_one_of_several() {
    let bare = "ORC|NW|REQ5^HIS\nOBR|1|REQ5^HIS||HBSAG^HBsAg^L\n";
    let mut bench = Bench::new();
    let heard = bench.hear(
        oml("M1", &format!("{TSH}{bare}"))
            .replace('\n', "\r")
            .as_bytes(),
    );
    assert_eq!(heard.barcodes, ["T1"]);
    assert!(!shown(&heard.replies).contains("ORC|UA"));
    let other = "ORC|NW|REQ6^HIS\nOBR|1|REQ6^HIS||TSH^TSH^L\nSPM|1|T2\n";
    let several = oml(
        "M2",
        &format!("{TSH}{other}{}", bare.replace("REQ5", "REQ7")),
    );
    let two_tubes = oml("M3", &format!("{}SPM|2|T9\n", TSH.replace("REQ2", "REQ8")));
    assert_snapshot!(
        "an_order_without_specimen_takes_the_only_one_and_never_one_of_several",
        talk(&mut bench, &[&several, &two_tubes])
    );
    assert_eq!(
        bench.work(|db| book::specimens_with_barcode(db, "T2", 0)),
        [],
        "nothing of a refused message is applied"
    );
}

#[test]
fn an_order_that_contradicts_itself_is_refused_alone() {
    let mut bench = Bench::new();
    let faulty = "ORC|NW|A1\nOBR|1|A2||TSH\nSPM|1|T1\nORC|NW|B1\nOBR|2|B1\nSPM|1|T1\n";
    let said = bench.replies(&oml("M1", &format!("{faulty}{TSH}")));
    let orc: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("ORC"))
        .collect();
    assert_eq!(
        orc,
        [
            "ORC|UA|A1||||||||||||||NUMBERS^ORC and OBR name different orders^L",
            "ORC|UA|B1||||||||||||||NOSERVICE^the order names no service^L",
            "ORC|OK|REQ2^HIS|LW1^LABWIRE|REQ^HIS|SC",
        ]
    );
}

#[test]
fn orders_of_an_old_version_name_the_tube_where_the_site_says() {
    let orm = |id: &str, body: &str| {
        format!("MSH|^~\\&|HIS|BV01|LABWIRE|XN|20260310145900||ORM^O01|{id}|P|2.3.1\n{PID}\n{body}")
    };
    let mut bench = Bench::old(Version::V231, "OBR-3.1");
    let new = orm(
        "M1",
        "ORC|NW|REQ1\nOBR|1|REQ1|T1^HIS|TSH^TSH^L||||||||||||EDTA|||||||||||^^^^^S\n",
    );
    let change = orm(
        "M2",
        "ORC|XO|REQ1|LW1\nOBR|1|REQ1|LW1|TSH^TSH^L||||||||||||EDTA\n",
    );
    let missing = orm("M3", "ORC|NW|REQ2\nOBR|1|REQ2||TSH^TSH^L\n");
    assert_snapshot!(
        "orders_of_an_old_version_name_the_tube_where_the_site_says",
        talk(&mut bench, &[&new, &change, &missing])
    );
    let tubes = bench.work(|db| book::specimens_with_barcode(db, "T1", 0));
    assert_eq!(tubes.len(), 1);
    assert_eq!(
        bench.work(|db| book::specimens_with_barcode(db, "LW1", 0)),
        []
    );
}

#[test]
fn patients_change_and_merge() {
    let adt = |id: &str, event: &str, body: &str| {
        format!(
            "MSH|^~\\&|HIS|BV01|LABWIRE|XN|20260310145900||ADT^{event}|{id}|P|2.5.1|||AL|NE\n\
             EVN||20260310145900\n{body}"
        )
    };
    let mut bench = Bench::new();
    bench.replies(&oml("M1", TSH));
    let a08 = adt(
        "M2",
        "A08^ADT_A01",
        "PID|1||PID0098^^^BV01^PI||TRẦN^BÌNH^AN\nPV1|1|O\n",
    );
    let a40 = adt(
        "M3",
        "A40^ADT_A39",
        "PID|1||PID0500^^^BV01^PI||TRẦN^BÌNH^AN||19911105|F\nMRG|PID0098^^^BV01^PI\n",
    );
    let no_prior = adt("M4", "A40^ADT_A39", "PID|1||PID0500^^^BV01^PI||TRẦN^BÌNH\n");
    let no_number = adt("M5", "A08^ADT_A01", "PID|1||||TRẦN^BÌNH\n");
    let link = adt("M6", "A24^ADT_A24", "PID|1||PID0500^^^BV01^PI||TRẦN^BÌNH\n");
    assert_snapshot!(
        "patients_change_and_merge",
        talk(&mut bench, &[&a08, &a40, &no_prior, &no_number, &link])
    );
    bench.measure(vec![quantity("TSH", "2.31")]);
    let pid = bench.sent();
    let pid = pid.lines().find(|line| line.starts_with("PID"));
    assert_eq!(
        pid,
        Some("PID|1||PID0500^^^BV01^PI||TRẦN^BÌNH^AN||19911105|F")
    );
}

#[test]
fn a_merge_that_leaves_out_the_authority_still_finds_the_patient() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", TSH));
    bench.replies("MSH|^~\\&|HIS|BV01|||1||ADT^A40|M2|P|2.5.1\nPID|1||PID0500||A^B\nMRG|PID0098\n");
    bench.measure(vec![quantity("TSH", "2.31")]);
    assert!(bench.sent().contains("PID|1||PID0500||A^B\n"));
}

#[test]
fn silence_about_a_field_changes_nothing_and_two_quotes_delete_it() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", TSH));
    bench.replies("MSH|^~\\&|HIS|BV01|||1||ADT^A08|M2|P|2.5.1\nPID|1||PID0098^^^BV01^PI||||\"\"\n");
    bench.measure(vec![quantity("TSH", "2.31")]);
    let sent = bench.sent();
    let pid = sent.lines().find(|line| line.starts_with("PID"));
    assert_eq!(pid, Some("PID|1||PID0098^^^BV01^PI||TRẦN^BÌNH^THỊ|||F"));
}

#[test]
fn a_message_that_comes_again_is_answered_again_and_not_applied() {
    let mut bench = Bench::new();
    let first = bench.hear(oml("M1", TSH).replace('\n', "\r").as_bytes());
    let again = bench.hear(oml("M1", TSH).replace('\n', "\r").as_bytes());
    assert_eq!(first.replies, again.replies, "to the byte, MSH-10 included");
    assert!(again.barcodes.is_empty());
    let other = bench.replies(&oml("M1", CBC));
    assert!(
        other.contains("ORC|OK|REQ1"),
        "another message is another message: {other}"
    );
    let states = bench.work(|db| {
        (1..=3)
            .map(|id| Ok(journal::message(db, id)?.map(|row| row.state.code())))
            .collect::<Result<Vec<_>, StoreError>>()
    });
    assert_eq!(
        states,
        [Some("parsed"), Some("retransmission"), Some("parsed")]
    );
}

#[test]
fn a_message_cut_before_its_end_is_kept_and_neither_applied_nor_answered() {
    let mut bench = Bench::new();
    let inbound = bench.inbound(oml("M1", TSH).replace('\n', "\r").as_bytes(), false);
    let site = bench.site.clone();
    let heard = bench.work(move |db| hear(db, &site, &inbound));
    assert!(heard.replies.is_empty() && heard.barcodes.is_empty());
    assert_eq!(
        bench.work(|db| book::specimens_with_barcode(db, "T1", 0)),
        []
    );
    assert!(bench.replies(&oml("M1", TSH)).contains("ORC|OK"));
}

#[test]
fn what_is_not_for_us_is_rejected_with_its_reason() {
    let msh = |kind: &str, processing: &str, version: &str| {
        format!("MSH|^~\\&|HIS|BV01|LABWIRE|XN|1||{kind}|M9|{processing}|{version}\n{PID}\n")
    };
    let mut bench = Bench::new();
    let said = talk(
        &mut bench,
        &[
            &msh("SIU^S12", "P", "2.5.1"),
            &msh("OML^O99", "P", "2.5.1"),
            &msh("OML^O21", "T", "2.5.1"),
            &msh("OML^O21", "P", "3.0"),
            &msh("OML^O21", "P", "2.5.1"),
        ],
    );
    assert_snapshot!("what_is_not_for_us_is_rejected_with_its_reason", said);
}

#[test]
fn bytes_that_do_not_decode_are_refused_and_named() {
    let mut bench = Bench::new();
    for (head, code) in [("", "AE"), ("|||AL|NE", "CR"), ("|||NE|NE", "")] {
        let mut raw =
            format!("MSH|^~\\&|HIS|BV|||1||OML^O21|M1|P|2.5.1{head}\rPID|1||P1||").into_bytes();
        raw.extend_from_slice(b"TR\xFFN\r");
        let heard = bench.hear(&raw);
        let text = shown(&heard.replies);
        if code.is_empty() {
            assert_eq!(text, "");
        } else {
            assert!(text.contains(&format!("MSA|{code}|M1\n")), "{text}");
            assert!(text.contains("ERR||MSH^1^18|102^"), "{text}");
        }
    }
    let heard = bench.hear(b"hello");
    assert!(shown(&heard.replies).contains("MSA|AR\n"));
}

#[test]
fn a_reply_is_written_in_the_character_set_of_its_message() {
    let mut bench = Bench::new();
    let text = "MSH|^~\\&|HIS|BV|||1||OML^O21|M1|P|2.5.1||||||8859/1\rPID|1||Pé||X^Y\r\
                ORC|NW|é1\rOBR|1|é1||TSH\rSPM|1|T1\r";
    let heard = bench.hear(&Charset::Latin1.encode(text).expect("Latin-1"));
    let reply = Charset::Latin1.decode(&heard.replies[0]).expect("Latin-1");
    assert!(
        reply.contains("|8859/1\r") && reply.contains("ORC|OK|é1|"),
        "{reply}"
    );
    bench.measure(vec![quantity("TSH", "2.31")]);
    assert!(bench.sent().contains("PID|1||Pé||X^Y"));
}

#[test]
fn every_acknowledgement_mode_gets_what_it_asks_for() {
    for (modes, expected) in [
        ("|||AL|AL", "ACK CA, ORL AA"),
        ("|||AL|NE", "ACK CA"),
        ("|||NE|AL", "ORL AA"),
        ("|||NE|NE", ""),
        ("|||ER|SU", "ORL AA"),
        ("", "ORL AA"),
    ] {
        let mut bench = Bench::new();
        let message = format!("MSH|^~\\&|HIS|BV|||1||OML^O21|M1|P|2.5.1{modes}\n{PID}\n{TSH}");
        let heard = bench.hear(message.replace('\n', "\r").as_bytes());
        let kinds: Vec<String> = heard
            .replies
            .iter()
            .map(|reply| {
                let text = std::str::from_utf8(reply).expect("UTF-8");
                let (message, _) = Message::parse(text).expect("a message");
                let code = message.query("MSA-1").unwrap_or_default().to_owned();
                format!("{} {code}", message.header().message_type())
            })
            .collect();
        assert_eq!(kinds.join(", "), expected, "{modes}");
        // As the line sends them: blocks of their own, in this order.
        let blocks = mllp::join_replies(&heard.replies);
        let separators = blocks
            .windows(3)
            .filter(|w| *w == [0x1C, 0x0D, 0x0B])
            .count();
        assert_eq!(separators, heard.replies.len().saturating_sub(1));
    }
}

#[test]
fn a_host_that_wants_plain_acknowledgements_learns_which_order_was_refused() {
    let mut bench = Bench::with(|site| site.reply = Reply::Ack);
    let fine = oml("M1", TSH);
    let mixed = oml(
        "M2",
        &format!("{CBC}ORC|NW|REQ3\nOBR|2|REQ3||NOPE\nSPM|1|T1\n"),
    );
    let several = oml(
        "M3",
        &format!("{CBC}ORC|NW|R8\nOBR|1|R8||TSH\nSPM|1|T2\nORC|NW|R9\nOBR|1|R9||TSH\n"),
    );
    assert_snapshot!(
        "a_host_that_wants_plain_acknowledgements_learns_which_order_was_refused",
        talk(&mut bench, &[&fine, &mixed, &several])
    );
}

#[test]
fn every_message_of_a_batch_is_applied_and_answered_by_itself() {
    let mut bench = Bench::new();
    let batch = format!(
        "FHS|^~\\&|HIS|BV01|LABWIRE|XN\nBHS|^~\\&|HIS|BV01|LABWIRE|XN|||||B1\n{}{}\
         MSH|^~\\&|HIS|BV01|LABWIRE|XN|20260310150000+0700||DFT^P03|M3|P|2.5.1\nBTS|3\nFTS|1\n",
        oml("M1", CBC),
        oml("M2", TSH),
    );
    let raw = batch.replace('\n', "\r");
    let heard = bench.hear(raw.as_bytes());
    let text = shown(&heard.replies);
    let answers: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("MSA"))
        .map(|line| line.get(..9).unwrap_or(line))
        .collect();
    assert_eq!(answers, ["MSA|AA|M1", "MSA|AA|M2", "MSA|AR|M3"]);
    assert_eq!(heard.barcodes, ["T1", "T1"]);
    let controls: Vec<String> = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("MSH|")?
                .split('|')
                .nth(8)
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(
        controls,
        ["R1.1", "R1.2", "R1.3"],
        "each answer has its own id"
    );
    // The same batch again: each message is known, and answered as it was.
    let again = bench.hear(raw.as_bytes());
    assert_eq!(again.replies, heard.replies);
    assert!(again.barcodes.is_empty(), "nothing is applied twice");
}

crate::on_postgres_too! {
    orders_are_answered_one_by_one
    the_same_new_order_again_is_ok_and_another_content_is_not
    a_cancel_and_a_change_are_answered_by_what_the_laboratory_has
    an_order_moves_to_another_tube_only_for_a_named_patient
    an_addition_goes_to_the_tube_that_is_there
    an_order_without_specimen_takes_the_only_one_and_never_one_of_several
    an_order_that_contradicts_itself_is_refused_alone
    orders_of_an_old_version_name_the_tube_where_the_site_says
    patients_change_and_merge
    a_merge_that_leaves_out_the_authority_still_finds_the_patient
    silence_about_a_field_changes_nothing_and_two_quotes_delete_it
    a_message_that_comes_again_is_answered_again_and_not_applied
    a_message_cut_before_its_end_is_kept_and_neither_applied_nor_answered
    what_is_not_for_us_is_rejected_with_its_reason
    bytes_that_do_not_decode_are_refused_and_named
    a_reply_is_written_in_the_character_set_of_its_message
    every_acknowledgement_mode_gets_what_it_asks_for
    a_host_that_wants_plain_acknowledgements_learns_which_order_was_refused
    every_message_of_a_batch_is_applied_and_answered_by_itself
}
