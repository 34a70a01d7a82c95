use super::*;

fn parse(text: &str) -> Message<'_> {
    Message::parse(text).unwrap().0
}

#[test]
fn due_replies_follow_msh_15_and_16() {
    use AckCode::{AA, AE, AR, CA, CE, CR};
    use Outcome::{Accepted, Error, NotStored, Rejected};
    for (accept, application, outcome, immediate, deferred) in [
        ("", "", Accepted, Some(AA), None),
        ("", "", Error, Some(AE), None),
        ("", "", Rejected, Some(AR), None),
        ("", "", NotStored, Some(AR), None),
        ("AL", "NE", Accepted, Some(CA), None),
        ("AL", "NE", Error, Some(CE), None),
        ("AL", "NE", Rejected, Some(CR), None),
        ("AL", "NE", NotStored, Some(CE), None),
        ("AL", "", Accepted, Some(CA), None),
        ("NE", "AL", Accepted, Some(AA), None),
        ("", "AL", Accepted, Some(AA), None),
        ("NE", "AL", NotStored, Some(AR), None),
        ("AL", "AL", Accepted, Some(CA), Some(AA)),
        ("AL", "AL", Error, Some(CE), Some(AE)),
        ("AL", "SU", Accepted, Some(CA), Some(AA)),
        ("AL", "ER", Accepted, Some(CA), None),
        ("AL", "ER", Error, Some(CE), Some(AE)),
        ("ER", "AL", Accepted, Some(AA), None),
        ("ER", "AL", NotStored, Some(CE), None),
        ("SU", "NE", Accepted, Some(CA), None),
        ("SU", "NE", NotStored, None, None),
        ("ER", "ER", Accepted, None, None),
        ("NE", "ER", Error, Some(AE), None),
        ("NE", "NE", Error, None, None),
        // Mindray's kind of result in MSH-16 is no condition.
        ("", "0", Accepted, Some(AA), None),
        ("", "2", Accepted, Some(AA), None),
    ] {
        let mode = AckMode::read(accept, application);
        assert_eq!(
            mode.immediate(outcome),
            immediate,
            "{accept}/{application} {outcome:?}"
        );
        assert_eq!(
            mode.deferred(outcome),
            deferred,
            "{accept}/{application} {outcome:?}"
        );
    }
}

const OWN: Own<'_> = Own {
    application: "BRIDGE",
    facility: "LAB",
    time: "20250115103000",
    control_id: "B1",
    charset: "UNICODE UTF-8",
    version: "2.5.1",
};

fn errors() -> Vec<ErrSegment> {
    vec![
        ErrSegment {
            location: ErrLocation {
                segment: "ORC",
                occurrence: 2,
                field: 2,
                component: 1,
            },
            code: 205,
            text: "number | known".into(),
            ..ErrSegment::default()
        },
        ErrSegment {
            code: 207,
            severity: Severity::Fatal,
            ..ErrSegment::default()
        },
    ]
}

#[track_caller]
fn check(request: &str, code: AckCode, expected: &[&str]) {
    let errors = errors();
    let ack = Ack {
        code,
        text: "",
        errors: &errors,
    };
    let message = parse(request);
    let text = build_ack(Some(message.header()), &ack, &OWN).unwrap();
    assert_eq!(text.trim_end().split('\r').collect::<Vec<_>>(), expected);
    let answer = parse(&text);
    let answer = Answer::read(&answer).unwrap();
    assert_eq!(
        (answer.code, answer.control_id),
        (Some(code), message.header().control_id())
    );
    let codes = if code.is_positive() {
        vec![]
    } else {
        vec![205, 207]
    };
    assert_eq!(answer.error_codes().collect::<Vec<_>>(), codes);
}

#[test]
fn an_acknowledgement_swaps_the_parties_and_echoes_the_rest() {
    check(
        "MSH|^~\\&|AN1^x|LAB1|BRIDGE2|LAB2|1||ORU^R01^ORU_R01|47\\T\\11|T|2.5.1\r",
        AckCode::AA,
        &[
            "MSH|^~\\&|BRIDGE2|LAB2|AN1^x|LAB1|20250115103000||ACK^R01^ACK|B1|T|2.5.1||||||UNICODE UTF-8",
            "MSA|AA|47\\T\\11",
        ],
    );
}

#[test]
fn errors_are_written_in_the_form_of_the_version_asked() {
    check(
        "MSH|^~\\&|A|B|||1||OML^O21|7|P|2.5\r",
        AckCode::AE,
        &[
            "MSH|^~\\&|BRIDGE|LAB|A|B|20250115103000||ACK^O21^ACK|B1|P|2.5||||||UNICODE UTF-8",
            "MSA|AE|7",
            "ERR||ORC^2^2^^1|205^Duplicate key identifier^HL70357|E|||number \\F\\ known",
            "ERR|||207^Application internal error^HL70357|F",
        ],
    );
    check(
        "MSH|^~\\&|A|B|||1||ORM^O01|7|P|2.3.1\r",
        AckCode::AR,
        &[
            "MSH|^~\\&|BRIDGE|LAB|A|B|20250115103000||ACK^O01^ACK|B1|P|2.3.1||||||UNICODE UTF-8",
            "MSA|AR|7",
            "ERR|ORC^2^2^205&Duplicate key identifier&HL70357~^^^207&Application internal error&HL70357",
        ],
    );
}

#[test]
fn a_request_in_other_delimiters_is_answered_in_the_usual_ones() {
    check(
        "MSH$%*!/$A%x$B$$$1$$ORU%R01$7^7$P$2.5.1\r"
            .replace("7^7", "77")
            .as_str(),
        AckCode::AA,
        &[
            "MSH|^~\\&|BRIDGE|LAB|A^x|B|20250115103000||ACK^R01^ACK|B1|P|2.5.1||||||UNICODE UTF-8",
            "MSA|AA|77",
        ],
    );
}

#[test]
fn an_unreadable_request_is_answered_without_its_id() {
    let ack = Ack {
        code: AckCode::AR,
        text: "no MSH",
        errors: &[],
    };
    assert_eq!(
        build_ack(None, &ack, &OWN).unwrap(),
        concat!(
            "MSH|^~\\&|BRIDGE|LAB|||20250115103000||ACK|B1|P|2.5.1||||||UNICODE UTF-8\r",
            "MSA|AR||no MSH\r"
        )
    );
}

#[test]
fn a_reply_is_read_in_every_form_it_comes_in() {
    let head = "MSH|^~\\&|HIS|BV|B|L|1||ACK^R01|9|P|2.5.1\r";
    let read = |tail: &str| {
        let text = format!("{head}{tail}");
        let message = parse(&text);
        let answer = Answer::read(&message).unwrap();
        let errors: Vec<_> = answer
            .errors
            .iter()
            .map(|e| format!("{:?} {} {} {}", e.code, e.severity, e.location, e.text))
            .collect();
        (
            answer.code,
            answer.control_id.to_owned(),
            answer.text.into_owned(),
            errors,
        )
    };
    assert_eq!(
        read("MSA|CA|1|fine\r"),
        (Some(AckCode::CA), "1".into(), "fine".into(), vec![])
    );
    assert_eq!(read("MSA|OK|1\r").0, None);
    assert_eq!(
        read("MSA|AE|1\rERR||PID^1^3|204^Unknown key^HL70357|E|||no patient\rERR|||X9^own|W\r").3,
        ["Some(204) E PID^1^3 no patient", "None W  own"]
    );
    assert_eq!(read("MSA|AE|1||||207^boom\r").3, ["Some(207)   boom"]);
    assert_eq!(
        read("MSA|AE|1\rERR|OBX^2^5^102&Data type&HL70357\r").3,
        ["Some(102)  OBX^2^5 Data type"]
    );
    assert_eq!(
        Answer::read(&parse(head)),
        Err(ParseError::SegmentMissing("MSA"))
    );
}

#[test]
fn versions_compare_by_number() {
    for (version, expected) in [
        ("2.5", true),
        ("2.5.1", true),
        ("2.10", true),
        ("3", true),
        ("2.4", false),
        ("2.3.1", false),
        ("", false),
        ("x", false),
        ("2", false),
    ] {
        assert_eq!(is_since(version, 2, 5), expected, "{version:?}");
    }
}
