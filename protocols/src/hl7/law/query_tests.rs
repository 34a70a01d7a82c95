//! LAB-27 against the messages of the chapter, and in both directions.

use proptest::prelude::*;

use super::{
    Envelope, Problem, WriteError,
    analyzer::{QueryDraft, QueryReply, build_query},
    order::build_no_work,
    query::{Asked, Query, QueryName, UNKNOWN_NAME, build_reply},
    transcripts::{codes, transcript},
};
use crate::hl7::{
    Message, ParseError,
    ack::{AckCode, ErrSegment, Outcome, Own},
};

const FROM_ANALYZER: Envelope<'_> = Envelope {
    sending_application: "AN1",
    sending_facility: "LAB",
    receiving_application: "BRIDGE",
    receiving_facility: "LAB",
    time: "20250115101500+0700",
    control_id: "Q0001",
    profile: "",
    acks: None,
    charset: "",
};
const OWN: Own<'_> = Own {
    application: "BRIDGE",
    facility: "LAB",
    time: "20250115101500+0700",
    control_id: "B0001",
    charset: "",
    version: "2.5.1",
};

/// A QBP^Q11 with this QPD.
fn text(qpd: &str) -> String {
    format!(
        "MSH|^~\\&|AN1|LAB|BRIDGE|LAB|1||QBP^Q11^QBP_Q11|Q1|P|2.5.1|||NE|AL||UNICODE UTF-8|||LAB-27^IHE\r\
         {qpd}\rRCP|I||R^Real Time^HL70394\r"
    )
}

/// What a query asks for, or its problem as `code field condition outcome`.
#[track_caller]
fn check(qpd: &str, expected: Result<Asked<'_>, &str>, noted: &[&str]) {
    let text = text(qpd);
    let message = Message::parse(&text).unwrap().0;
    let (query, notes) = Query::read(&message).unwrap();
    let shown = |problem: Problem| {
        let ErrSegment { location, code, .. } = problem.error;
        format!(
            "{} {}-{} {code} {:?}",
            problem.code, location.segment, location.field, problem.outcome
        )
    };
    let asked = query.asked().map_err(shown);
    assert_eq!(asked, expected.map_err(str::to_owned), "{qpd}");
    assert_eq!(codes(&notes), noted, "{qpd}");
}

#[test]
fn the_query_of_the_chapter_is_answered_to_the_byte() {
    let text = transcript("Q0001");
    let message = Message::parse(&text).unwrap().0;
    let (query, notes) = Query::read(&message).unwrap();
    assert_eq!(codes(&notes), [""; 0]);
    assert_eq!((query.name(), query.tag()), (QueryName::Container, "T0001"));
    let id = "25011500021".into();
    assert_eq!(query.asked(), Ok(Asked::Container { id }));
    let reply = build_reply(&query, Outcome::Accepted, &[], &OWN).unwrap();
    assert_eq!(reply, transcript("B0001"));
}

#[test]
fn the_analyzer_writes_the_query_of_the_chapter_and_reads_its_answer() {
    let query = QueryDraft {
        tag: "T0001",
        container: "25011500021",
        carrier: ["S54", "14"],
        ..QueryDraft::default()
    };
    let written = build_query(&FROM_ANALYZER, QueryName::Container, &query).unwrap();
    assert_eq!(written, transcript("Q0001"));
    let answer = transcript("B0001");
    let message = Message::parse(&answer).unwrap().0;
    let reply = QueryReply::read(&message).unwrap();
    assert_eq!((reply.tag(), reply.status()), ("T0001", "OK"));
    assert_eq!(reply.answer.code, Some(AckCode::AA));
    assert!(written.contains(&format!("\r{}\r", reply.qpd.unwrap().raw())));
}

#[test]
fn every_kind_of_query_says_what_it_asks_for() {
    let id = || "25011500021".into();
    check(
        "QPD|WOS^Work Order Step^IHELAW|T1|25011500021",
        Ok(Asked::Container { id: id() }),
        &[],
    );
    check(
        "QPD|WOS_ROCHE^Work Order Step Roche Extension^ROCHE|T1|25011500021|S54|14",
        Ok(Asked::Container { id: id() }),
        &[],
    );
    check(
        "QPD|WOS_ADDITIONAL^^ROCHE|T1|25011500021",
        Ok(Asked::Additional { id: id() }),
        &[],
    );
    check("QPD|WOS_ALL^^IHELAW|T1", Ok(Asked::All), &[]);
    check(
        "QPD|WOS_BY_RACK^^IHE_LABTF|T1||S55|3^4|||MODULE 1",
        Ok(Asked::Rack {
            carrier: "S55".into(),
            position: "3^4",
        }),
        &[],
    );
    check(
        "QPD|WOS_BY_TRAY^^IHELAW|T1||||TR 1|B2",
        Ok(Asked::Tray {
            tray: "TR 1".into(),
            position: "B2",
        }),
        &[],
    );
    check(
        "QPD|WOS_BY_ISOLATE^^IHELAW|T1|ISO-7||||||25011500021",
        Ok(Asked::Isolate {
            id: "ISO-7".into(),
            primary: id(),
        }),
        &[],
    );
}

#[test]
fn what_a_query_lacks_is_told_and_not_guessed_from_other_fields() {
    for (qpd, problem, noted) in [
        (
            "QPD|WOS^^IHELAW||25011500021",
            "LAW-0402 QPD-2 101 Error",
            [].as_slice(),
        ),
        (
            "QPD|WOS^^IHELAW|T1||S54|14",
            "LAW-0403 QPD-3 101 Error",
            &[],
        ),
        ("QPD|WOS^^IHELAW|T1|\"\"", "LAW-0403 QPD-3 101 Error", &[]),
        (
            "QPD|WOS_BY_RACK^^IHELAW|T1|25011500021|S54",
            "LAW-0403 QPD-5 101 Error",
            &["LAW-0302"],
        ),
        (
            "QPD|WOS_BY_TRAY^^IHELAW|T1||||TR1",
            "LAW-0403 QPD-7 101 Error",
            &[],
        ),
        (
            "QPD|WOS_BY_ISOLATE^^IHELAW|T1|ISO-7",
            "LAW-0403 QPD-9 101 Error",
            &[],
        ),
        (
            "QPD|INISEQ^^99ROC|T1|25011500021",
            "LAW-0401 QPD-1 103 Rejected",
            &["LAW-0301"],
        ),
        ("QPD||T1|1", "LAW-0401 QPD-1 103 Rejected", &["LAW-0301"]),
    ] {
        check(qpd, Err(problem), noted);
    }
}

#[test]
fn what_a_query_has_too_much_is_noted_and_kept() {
    let asked = || {
        Ok(Asked::Container {
            id: "25011500021".into(),
        })
    };
    check(
        "ZQ1|x\rQPD|WOS^^IHELAW|T1|25011500021|||||||SER|more\rQPD|WOS^^IHELAW|T2|9\rDSC|4711",
        asked(),
        &["LAW-0201", "LAW-0202", "LAW-0208", "LAW-0205"],
    );
    check(
        "QPD|WOS^^IHELAW|T1|25011500021\r pd|lost",
        asked(),
        &["LAW-0203"],
    );
    check("QPD|WOS_ALL^^IHELAW|T1|9", Ok(Asked::All), &["LAW-0302"]);
    let late = text("QPD|WOS^^IHELAW|T1|25011500021").replace("RCP|I", "RCP|D");
    let message = Message::parse(&late).unwrap().0;
    assert_eq!(codes(&Query::read(&message).unwrap().1), ["LAW-0303"]);
}

#[test]
fn a_header_that_is_not_of_the_profile_is_noted_and_the_query_read() {
    for (from, to, code) in [
        ("QBP_Q11", "QBP_Q21", "LAW-0104"),
        ("|Q1|P|", "|Q1|T|", "LAW-0105"),
        ("|2.5.1|", "|2.6|", "LAW-0102"),
        ("|NE|AL|", "|AL|NE|", "LAW-0103"),
        ("|NE|AL|", "|||", "LAW-0103"),
        ("UNICODE UTF-8", "8859/1", "LAW-0106"),
        ("LAB-27^IHE", "LAB-28^IHE", "LAW-0101"),
        ("LAB-27^IHE", "LAB-271^IHE", "LAW-0101"),
        ("|||LAB-27^IHE", "", "LAW-0101"),
    ] {
        let text = text("QPD|WOS^^IHELAW|T1|1").replace(from, to);
        let message = Message::parse(&text).unwrap().0;
        let (query, notes) = Query::read(&message).unwrap();
        assert_eq!(codes(&notes), [code], "{to}");
        assert!(query.asked().is_ok());
    }
    let vendor = text("QPD|WOS^^IHELAW|T1|1").replace("LAB-27^IHE", "LAB-27R^ROCHE~X");
    let message = Message::parse(&vendor).unwrap().0;
    assert_eq!(codes(&Query::read(&message).unwrap().1), [""; 0]);
}

#[test]
fn a_refusal_has_the_same_word_in_msa_and_qak_and_says_why() {
    let text = text("QPD|WOS_BY_X^^IHELAW|T1|1&2");
    let message = Message::parse(&text).unwrap().0;
    let (query, _) = Query::read(&message).unwrap();
    let problem = query.asked().unwrap_err();
    let reply = build_reply(&query, problem.outcome, &[problem.error], &OWN).unwrap();
    let (_, body) = reply.split_once('\r').unwrap();
    assert_eq!(
        body,
        concat!(
            "MSA|AR|Q1\rERR||QPD^1^1|103^Table value not found^HL70357|E\r",
            "QAK|T1|AR|WOS_BY_X^^IHELAW\rQPD|WOS_BY_X^^IHELAW|T1|1&2\r",
        )
    );
    for (outcome, msa, qak) in [
        (Outcome::Error, "MSA|AE|Q1\r", "QAK|T1|AE|"),
        (Outcome::NotStored, "MSA|AR|Q1\r", "QAK|T1|AR|"),
    ] {
        let reply = build_reply(&query, outcome, &[], &OWN).unwrap();
        assert!(reply.contains(msa) && reply.contains(qak), "{reply}");
        assert!(
            reply.contains("ERR|||207^Application internal error^HL70357|E\r"),
            "{reply}"
        );
    }
}

#[test]
fn a_vendors_profile_comes_back_in_the_answer() {
    let text = transcript("Q0004");
    let message = Message::parse(&text).unwrap().0;
    let (query, notes) = Query::read(&message).unwrap();
    assert_eq!(codes(&notes), [""; 0]);
    let reply = build_reply(&query, Outcome::Accepted, &[], &OWN).unwrap();
    assert!(
        reply.contains("|UNICODE UTF-8|||LAB-27R^ROCHE\r"),
        "{reply}"
    );
}

#[test]
fn a_vendors_name_of_a_query_is_answered_as_what_it_means() {
    let text = text("QPD|INIBAR^^99ROC|T1|25011500099|S54|15");
    let message = Message::parse(&text).unwrap().0;
    let (query, _) = Query::read(&message).unwrap();
    assert_eq!(query.asked().unwrap_err().code, UNKNOWN_NAME);
    let query = query.meaning(QueryName::Container);
    assert_eq!(
        query.asked(),
        Ok(Asked::Container {
            id: "25011500099".into()
        })
    );
    let reply = build_reply(&query, Outcome::Accepted, &[], &OWN).unwrap();
    assert!(reply.ends_with("QAK|T1|OK|INIBAR^^99ROC\rQPD|INIBAR^^99ROC|T1|25011500099|S54|15\r"));
    assert!(build_no_work(&FROM_ANALYZER, &query, "1").is_ok());
}

#[test]
fn the_answer_that_there_is_no_work_is_the_one_of_the_chapter() {
    let text = text("QPD|WOS^Work Order Step^IHELAW|T1|25011500099|S54|15");
    let message = Message::parse(&text).unwrap().0;
    let (query, _) = Query::read(&message).unwrap();
    let envelope = Envelope {
        sending_application: "BRIDGE",
        receiving_application: "AN1",
        time: "20250115101501+0700",
        control_id: "B0003",
        ..FROM_ANALYZER
    };
    let written = build_no_work(&envelope, &query, "20250115101501").unwrap();
    assert_eq!(written, transcript("B0003"));
}

#[test]
fn the_place_that_was_asked_for_stands_in_the_answer() {
    for (qpd, sac) in [
        (
            "WOS_BY_RACK^^IHELAW|T1||S55|3^4|||M 1",
            "SAC||||||||||S55|3^4||||M 1",
        ),
        ("WOS_BY_TRAY^^IHELAW|T1||||TR1|7", "SAC|||||||||||||TR1|7"),
        (
            "WOS_BY_ISOLATE^^IHELAW|T1|I\\T\\7||||||P1^N",
            "SAC|||I\\T\\7|P1^N",
        ),
    ] {
        let text = text(&format!("QPD|{qpd}"));
        let message = Message::parse(&text).unwrap().0;
        let (query, _) = Query::read(&message).unwrap();
        let written = build_no_work(&FROM_ANALYZER, &query, "1").unwrap();
        assert!(written.contains(&format!("\r{sac}\r")), "{written}");
    }
}

#[test]
fn nothing_can_be_said_of_a_query_that_names_nothing() {
    for qpd in ["QPD|WOS_ALL^^IHELAW|T1", "QPD|WOS^^IHELAW|T1", "QPD|X|T1|1"] {
        let text = text(qpd);
        let message = Message::parse(&text).unwrap().0;
        let (query, _) = Query::read(&message).unwrap();
        assert_eq!(
            build_no_work(&FROM_ANALYZER, &query, "1"),
            Err(WriteError::NotAnswerable)
        );
    }
}

#[test]
fn another_message_is_no_query() {
    for (text, error) in [
        (transcript("B0001"), ParseError::WrongType),
        (
            text("QPD|WOS").replace("\rQPD|", "\rQPX|"),
            ParseError::SegmentMissing("QPD"),
        ),
    ] {
        let message = Message::parse(&text).unwrap().0;
        assert_eq!(Query::read(&message).unwrap_err(), error);
    }
    let text = transcript("Q0001");
    let message = Message::parse(&text).unwrap().0;
    assert_eq!(
        QueryReply::read(&message).unwrap_err(),
        ParseError::WrongType
    );
}

#[test]
fn a_query_in_other_delimiters_is_answered_with_the_same_meaning() {
    let text = "MSH$%*!/$AN1$LAB$BRIDGE$LAB$1$$QBP%Q11%QBP_Q11$Q!S!1$P$2.5.1$$$NE$AL$$UNICODE UTF-8$$$LAB-27%IHE\r\
                QPD$WOS%%IHELAW$T*1$2501^15$S54$1%4\rRCP$I\r";
    let message = Message::parse(text).unwrap().0;
    let (query, notes) = Query::read(&message).unwrap();
    assert_eq!(codes(&notes), [""; 0]);
    let id = "2501^15".into();
    assert_eq!(query.asked(), Ok(Asked::Container { id }));
    let reply = build_reply(&query, Outcome::Accepted, &[], &OWN).unwrap();
    assert!(
        reply.ends_with(
            "MSA|AA|Q%1\rQAK|T~1|OK|WOS^^IHELAW\rQPD|WOS^^IHELAW|T~1|2501\\S\\15|S54|1^4\r"
        ),
        "{reply}"
    );
}

proptest! {
    #[test]
    fn every_text_of_a_query_comes_back_in_its_answers(
        tag in ".+", container in ".+", carrier in any::<String>(), place in any::<String>(),
        location in any::<String>(),
    ) {
        let draft = QueryDraft {
            tag: &tag,
            container: &container,
            carrier: [&carrier, &place],
            location: &location,
            ..QueryDraft::default()
        };
        let asked = build_query(&FROM_ANALYZER, QueryName::Container, &draft).unwrap();
        let message = Message::parse(&asked).unwrap().0;
        let (query, notes) = Query::read(&message).unwrap();
        prop_assert_eq!(codes(&notes), [""; 0]);
        prop_assert_eq!(query.asked(), Ok(Asked::Container { id: container.as_str().into() }));

        let reply = build_reply(&query, Outcome::Accepted, &[], &OWN).unwrap();
        let message = Message::parse(&reply).unwrap().0;
        let read = QueryReply::read(&message).unwrap();
        prop_assert_eq!(read.tag(), query.tag());
        prop_assert_eq!(read.qpd.unwrap().raw(), query.qpd.raw());

        let answer = build_no_work(&FROM_ANALYZER, &query, "1").unwrap();
        let message = Message::parse(&answer).unwrap().0;
        let sac = message.first("SAC").unwrap();
        for (n, text) in [(3, &container), (10, &carrier), (11, &place), (15, &location)] {
            prop_assert_eq!(sac.field(n).component(1).text(), text.as_str());
        }
    }
}
