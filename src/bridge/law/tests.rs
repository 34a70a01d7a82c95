use super::*;

/// Two steps, TSH to be done and FT4 to be left.
const ORDER: &str = "MSH|^~\\&|LABWIRE||AN1||20250115101501+0700||OML^O33^OML_O33|B1|P|2.5.1|||NE|AL\
                     ||UNICODE UTF-8|||LAB-28^IHE\rSPM|1|T1||SER|||||||P^Patient^HL70369\rSAC|||T1\r\
                     ORC|NW\rOBR||N1||TSH^^99LAB\rTCD|TSH^^99LAB\r\
                     ORC|CA\rOBR||N2||FT4^^99LAB\rTCD|FT4^^99LAB\r";
const NO_WORK: &str = "MSH|^~\\&|LABWIRE||AN1||20250115101501+0700||OML^O33^OML_O33|B1|P|2.5.1|||NE|AL\
                       ||UNICODE UTF-8|||LAB-28^IHE\rSPM|1||||||||||U^^HL70369\rSAC|||T1\rORC|DC\r";

fn reply(kind: &str, rest: &str) -> String {
    format!("MSH|^~\\&|AN1||LABWIRE||20250115101502+0700||{kind}|A1|P|2.5.1\r{rest}")
}

fn orl(rest: &str) -> String {
    reply("ORL^O34^ORL_O42", rest)
}

/// What an answer makes of the row, and of the steps.
#[track_caller]
fn check(order: &str, answer: &str, row: &str, states: &[StepState]) {
    let said = said(order.as_bytes(), answer.as_bytes()).expect("an order and an answer");
    let own: Vec<_> = said.steps.iter().map(StepSaid::state).collect();
    assert_eq!(own, states, "{answer}");
    let verdict = match said.verdict() {
        Verdict::Accepted { .. } => "accepted".to_owned(),
        Verdict::Deferred { .. } => "again".to_owned(),
        Verdict::Refused { reason, .. } => reason,
    };
    assert_eq!(verdict, row);
}

#[test]
fn an_answer_is_accepted_only_when_every_step_is() {
    use StepState::{Accepted, Cancelled, Refused, Told};
    let check = |answer: &str, row: &str, states| check(ORDER, answer, row, states);
    let steps = "MSA|AA|B1\rSPM|1|T1||SER\rSAC|||T1\r";
    check(
        &orl(&format!("{steps}ORC|OK|N1|||SC\rORC|CR|N2|||CA\r")),
        "accepted",
        &[Accepted, Cancelled],
    );
    check(
        &orl(&format!(
            "{steps}ORC|UA|N1|||CA|||||||||||R7^Reagent empty^99X\rORC|UC|N2|||IP\r"
        )),
        "the device answered AA []: TSH refused (UA CA R7 Reagent empty), FT4 cannot be cancelled any more (UC IP)",
        &[Refused, Accepted],
    );
    check(
        &orl(&format!("{steps}ORC|OK|N1|||SC\r")),
        "the device answered AA []: FT4 not answered",
        &[Accepted, Told],
    );
    check(
        &orl(&format!("{steps}ORC|OK|N1|||CA\rORC|UX|N2\r")),
        "the device answered AA []: TSH answered unclearly (OK CA), FT4 answered unclearly (UX)",
        &[Told, Told],
    );
    check(
        &orl("MSA|AE|B1\rERR||OBR^1^4|103^Table value not found^HL70357|E\r"),
        "the device answered AE [103]: TSH refused with its message, FT4 refused with its message",
        &[Refused, Accepted],
    );
    check(
        &orl("MSA|AR|B1\rERR||MSH^1^10|207^Internal error^HL70357|E\r"),
        "again",
        &[Refused, Accepted],
    );
    // A plain ACK speaks of all.
    check(
        &reply("ACK^O33^ACK", "MSA|AA|B1\r"),
        "accepted",
        &[Accepted, Cancelled],
    );
    check(
        &reply("ACK^O33^ACK", "MSA|AR|B1\r"),
        "the device answered AR []: TSH refused with its message, FT4 refused with its message",
        &[Refused, Accepted],
    );
}

#[test]
fn the_answer_to_no_work_has_no_steps() {
    check(NO_WORK, &orl("MSA|AA|B1\r"), "accepted", &[]);
    check(
        NO_WORK,
        &orl("MSA|AE|B1\r"),
        "the device answered AE []: ",
        &[],
    );
}

#[test]
fn bytes_that_are_no_answer_say_nothing() {
    for answer in ["", "MSH|", "MSH|^~\\&|AN1\rPID|1\r", "\u{fffd}\u{0}"] {
        assert!(
            said(ORDER.as_bytes(), answer.as_bytes()).is_none(),
            "{answer}"
        );
        assert!(
            said(answer.as_bytes(), ORDER.as_bytes()).is_none(),
            "{answer}"
        );
    }
    let words = "x".repeat(100_000);
    let long = orl(&format!("MSA|AE|B1|{words}\r"));
    let said = said(ORDER.as_bytes(), long.as_bytes()).expect("an answer");
    assert!(said.answer.len() <= WORDS_MAX);
}

/// The acknowledgements of a status change with these MSH-15 and MSH-16, as MSA-1.
fn codes(accept: &str, application: &str, outcome: Outcome) -> Vec<String> {
    let change = format!(
        "MSH|^~\\&|AN1|LAB|LABWIRE||20250115104000+0700||OUL^R22^OUL_R22|A7|P|2.5.1|||{accept}|{application}\
         ||UNICODE UTF-8|||LAB-29^IHE\rSPM|1|T1||SER\r"
    );
    let replies = acknowledge(change.as_bytes(), outcome, "R1", "20250115104001+0700");
    let code = |reply: Vec<u8>| {
        let text = String::from_utf8(reply).expect("UTF-8");
        assert!(text.contains("||ACK^R22^ACK|R1|P|2.5.1|"), "{text}");
        assert!(text.contains("|||LAB-29^IHE\r"), "{text}");
        let msa = text.split('\r').find(|row| row.starts_with("MSA|"));
        let is_explained = text.contains("\rERR|");
        assert_eq!(is_explained, outcome != Outcome::Accepted, "{text}");
        msa.expect("MSA").to_owned()
    };
    replies
        .expect("a status change")
        .into_iter()
        .map(code)
        .collect()
}

#[test]
fn a_status_change_is_acknowledged_as_msh_15_and_16_ask() {
    let accepted = Outcome::Accepted;
    assert_eq!(codes("NE", "AL", accepted), ["MSA|AA|A7"]);
    assert_eq!(codes("", "", accepted), ["MSA|AA|A7"]);
    assert_eq!(codes("AL", "NE", accepted), ["MSA|CA|A7"]);
    assert_eq!(codes("AL", "AL", accepted), ["MSA|CA|A7", "MSA|AA|A7"]);
    assert!(codes("NE", "NE", accepted).is_empty());
    // The analyzer keeps what was not stored, and sends it again.
    assert_eq!(codes("NE", "AL", Outcome::NotStored), ["MSA|AR|A7"]);
    assert_eq!(codes("AL", "NE", Outcome::NotStored), ["MSA|CE|A7"]);
}

#[test]
fn a_query_without_an_answer_is_refused_as_a_query() {
    let query = "MSH|^~\\&|AN1|LAB|LABWIRE||20250115104000+0700||QBP^Q11^QBP_Q11|Q7|P|2.5.1|||AL|AL\
                 ||UNICODE UTF-8|||LAB-27^IHE\rQPD|WOS^Work Order Step^IHELAW|T7|25\rRCP|I\r";
    let replies = acknowledge(
        query.as_bytes(),
        Outcome::Error,
        "R1",
        "20250115104001+0700",
    );
    let replies = replies.expect("a query");
    let text = String::from_utf8(replies.concat()).expect("UTF-8");
    assert!(text.contains("||RSP^K11^RSP_K11|R1|"), "{text}");
    assert!(text.contains("\rMSA|AE|Q7\r"), "{text}");
    assert!(
        text.contains("\rQAK|T7|AE|WOS^Work Order Step^IHELAW\r"),
        "{text}"
    );
    // Asked for, a commit acknowledgement goes before the answer.
    let commit = commit(query.as_bytes(), "R1", "20250115104001+0700").expect("it asks for one");
    let commit = String::from_utf8(commit).expect("UTF-8");
    assert!(commit.ends_with("\rMSA|CA|Q7\r"), "{commit}");
    let plain = query.replace("|||AL|AL|", "|||NE|AL|");
    assert_eq!(super::commit(plain.as_bytes(), "R1", ""), None);
}

#[test]
fn the_names_of_an_analyzer_go_back_in_its_own_bytes() {
    let change =
        b"MSH|^~\\&|cobas\xae pro||host||1||OUL^R22^OUL_R22|A7|P|2.5.1|||NE|AL||8859/1\rSPM|1|T1\r";
    let replies = acknowledge(change, Outcome::Accepted, "R1", "2").expect("a status change");
    let start = b"MSH|^~\\&|host||cobas\xae pro||2||ACK^R22^ACK|R1|P|2.5.1||||||8859/1|||";
    assert!(replies[0].starts_with(start), "{:?}", replies[0]);
}
