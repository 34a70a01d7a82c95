//! Results as a host gets them.

use insta::assert_snapshot;

use super::*;
use crate::{
    config::choice::Version,
    model::{Hold, HoldReason, Private},
    queue::Rendered,
};

#[test]
fn a_result_carries_the_order_the_code_as_ordered_and_the_analyzers_text() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", TSH));
    bench.measure(vec![Observation {
        comments: vec!["Mẫu hơi tán huyết".to_owned()],
        ..full("TSH", "2.310", "m[IU]/L")
    }]);
    assert_snapshot!(
        "a_result_carries_the_order_the_code_as_ordered_and_the_analyzers_text",
        bench.sent()
    );
}

#[test]
fn a_panel_is_partial_until_its_last_test_is_there() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", CBC));
    bench.measure(vec![full("HGB", "131", "g/L")]);
    let first = bench.sent();
    bench.measure(vec![full("WBC", "6.40", "10*9/L")]);
    assert_snapshot!(
        "a_panel_is_partial_until_its_last_test_is_there",
        format!("{first}--\n{}", bench.sent())
    );
}

#[test]
fn a_panel_is_told_in_the_order_of_the_catalogue() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", CBC));
    bench.measure(vec![
        full("HGB", "131", "g/L"),
        full("WBC", "6.40", "10*9/L"),
    ]);
    let sent = bench.sent();
    let codes: Vec<&str> = sent
        .lines()
        .filter(|line| line.starts_with("OBX"))
        .map(|line| line.split('|').nth(3).unwrap_or_default())
        .collect();
    assert_eq!(
        codes,
        [
            "XN0001^White blood cells^L^6690-2^White blood cells^LN",
            "HGB^Haemoglobin^L^718-7^Haemoglobin^LN"
        ]
    );
}

#[test]
fn results_about_different_donor_units_are_told_apart_in_obx_4() {
    let about = |unit: &str, text: &str| Observation {
        about: Some(unit.to_owned()),
        ..full("TSH", text, "m[IU]/L")
    };
    let mut bench = Bench::new();
    bench.replies(&oml("M1", TSH));
    bench.measure(vec![about("D1", "2.31")]);
    let first = bench.sent();
    bench.measure(vec![about("D2", "2.30")]);
    let sent = format!("{first}{}", bench.sent());
    let told: Vec<_> = sent
        .lines()
        .filter(|line| line.starts_with("OBX"))
        .map(|line| {
            let fields: Vec<&str> = line.split('|').collect();
            [4, 5, 11].map(|number| fields.get(number).copied().unwrap_or_default())
        })
        .collect();
    assert_eq!(told, [["D1", "2.31", "F"], ["D2", "2.30", "F"]]);
}

#[test]
fn a_correction_is_c_once_the_first_was_tried_and_f_before() {
    let correction = |text: &str| Observation {
        status: ResultStatus::Correction,
        ..full("TSH", text, "m[IU]/L")
    };
    let mut bench = Bench::new();
    bench.replies(&oml("M1", TSH));
    bench.measure(vec![full("TSH", "2.31", "m[IU]/L")]);
    bench.measure(vec![correction("2.30")]);
    let before = bench.sent();
    bench.measure(vec![correction("2.13")]);
    let after = bench.sent();
    let shown = |text: &str| {
        let wanted = |line: &&str| line.starts_with("OBR") || line.starts_with("OBX");
        text.lines().filter(wanted).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(
        "a_correction_is_c_once_the_first_was_tried_and_f_before",
        format!("{}\n--\n{}", shown(&before), shown(&after))
    );
}

#[test]
fn a_final_after_a_preliminary_that_a_person_released_is_final() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", TSH));
    bench.measure(vec![Observation {
        status: ResultStatus::NotFinal,
        ..full("TSH", "2.3", "m[IU]/L")
    }]);
    let preliminary = bench.sent();
    bench.measure(vec![Observation {
        supersedes: true,
        ..full("TSH", "2.31", "m[IU]/L")
    }]);
    let last = bench.sent();
    let statuses = |text: &str, name: &str, n: usize| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split('|').nth(n))
            .map(str::to_owned)
    };
    for (text, obr, obx) in [(preliminary, "P", "P"), (last, "F", "F")] {
        assert_eq!(statuses(&text, "OBR", 25).as_deref(), Some(obr), "{text}");
        assert_eq!(statuses(&text, "OBX", 11).as_deref(), Some(obx), "{text}");
    }
}

#[test]
fn extras_stand_alone_and_keep_their_number_through_corrections() {
    let mut bench = Bench::with(|site| site.posts_extras = true);
    bench.replies(&oml("M1", TSH));
    bench.measure(vec![
        full("TSH", "2.31", "m[IU]/L"),
        full("PLT", "250", "10*9/L"),
    ]);
    let first = bench.sent();
    bench.measure(vec![Observation {
        status: ResultStatus::Correction,
        ..full("PLT", "205", "10*9/L")
    }]);
    assert_snapshot!(
        "extras_stand_alone_and_keep_their_number_through_corrections",
        format!("{first}--\n{}", bench.sent())
    );
}

#[test]
fn an_unordered_result_goes_out_under_the_devices_patient() {
    let mut bench = Bench::with(|site| site.posts_unordered = true);
    let mut one = full("TSH", "2.31", "m[IU]/L");
    one.patient.ids = vec![Private::new("D7".to_owned())];
    one.patient.name = Private::new("NGUYỄN^LAN|x".to_owned());
    one.patient.birth = Private::new("19800312".to_owned());
    bench.measure(vec![one]);
    assert_snapshot!(
        "an_unordered_result_goes_out_under_the_devices_patient",
        bench.sent()
    );
}

#[test]
fn every_version_says_it_in_its_own_words() {
    let mut all = String::new();
    for (version, barcode) in [
        (Version::V231, "OBR-3.1"),
        (Version::V231, "OBR-18"),
        (Version::V24, "OBR-20.2"),
        (Version::V251, "SPM-2.1"),
        (Version::V26, "SPM-2.1"),
    ] {
        let mut bench = Bench::old(version, barcode);
        let order = match barcode {
            "OBR-3.1" => "OBR|1|REQ1^HIS|T1^HIS|HBSAG^HBsAg^L",
            "OBR-18" => "OBR|1|REQ1^HIS||HBSAG^HBsAg^L||||||||||||||T1",
            "OBR-20.2" => "OBR|1|REQ1^HIS||HBSAG^HBsAg^L||||||||||||||||lab^T1",
            _ => "OBR|1|REQ1^HIS||HBSAG^HBsAg^L\nSPM|1|T1&HIS",
        };
        let said = bench.replies(&oml("M1", &format!("ORC|NW|REQ1^HIS\n{order}\n")));
        assert!(said.contains("ORC|OK"), "{said}");
        let code = "NEG".to_owned();
        let flags = ["N", "A", "*"].map(str::to_owned).to_vec();
        bench.measure(vec![Observation {
            flags,
            completed: None,
            instrument: "m1".to_owned(),
            ..observation("HBSAG", "Âm tính", Value::Coded { code })
        }]);
        all.push_str(&format!("# {barcode}\n{}", bench.sent()));
    }
    assert_snapshot!("every_version_says_it_in_its_own_words", all);
}

#[test]
fn an_unusable_time_is_left_out_and_the_receipt_told() {
    let year = 365 * DAY;
    for (utc, expected) in [
        (Some(MORNING - MINUTE), "20260310145900+0700,"),
        (None, ",20260310150000+0700"),
        (Some(MORNING - year), ",20260310150000+0700"),
    ] {
        let mut bench = Bench::new();
        bench.replies(&oml("M1", TSH));
        let mut one = full("TSH", "2.31", "m[IU]/L");
        one.completed = Some(WallTime {
            sent: "2025".to_owned(),
            utc,
        });
        bench.measure(vec![one]);
        // A person released it if the year held it.
        bench.work(|db| {
            const RELEASE: crate::store::Sql = crate::store::Sql::same(
                "UPDATE result SET state = 'released' WHERE state = 'held'",
            );
            if db.exec(&RELEASE, &[])? > 0 {
                let news = queue::News {
                    host: "his".to_owned(),
                    specimen: 1,
                    priority: crate::model::Priority::Routine,
                    behind: None,
                };
                let row = queue::enqueue_results(db, &[news], MORNING)?[0];
                const TELL: crate::store::Sql =
                    crate::store::Sql::same("UPDATE result SET queue = $1 WHERE id = 1");
                db.exec(&TELL, &[row.into()])?;
            }
            Ok(())
        });
        let sent = bench.sent();
        let obx = sent
            .lines()
            .find(|line| line.starts_with("OBX"))
            .expect("an OBX");
        let fields: Vec<&str> = obx.split('|').collect();
        let field = |n: usize| fields.get(n).copied().unwrap_or_default();
        assert_eq!(format!("{},{}", field(14), field(19)), expected);
    }
}

#[test]
fn a_message_that_the_hosts_character_set_cannot_hold_is_set_aside_and_says_why() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", TSH));
    bench.measure(vec![full("TSH", "2.31", "m[IU]/L")]);
    bench.site.charset = Charset::Latin1;
    assert!(bench.lease().is_empty());
    let row = bench.work(|db| queue::find(db, 1)).expect("a row");
    assert_eq!(row.state.code(), "set-aside");
    assert!(row.reason.contains("character set"), "{}", row.reason);
}

#[test]
fn a_result_that_cannot_be_read_does_not_hold_up_the_next_patients() {
    const SPOIL: crate::store::Sql =
        crate::store::Sql::same("UPDATE result SET detail = 'no JSON' WHERE id = 1");
    let mut bench = Bench::new();
    bench.replies(&oml("M1", TSH));
    bench.measure(vec![full("TSH", "2.31", "m[IU]/L")]);
    let other = TSH.replace("T1", "T2").replace("REQ2", "REQ9");
    bench.replies(&oml("M2", &other));
    let mut second = full("TSH", "4.00", "m[IU]/L");
    if let Some(tube) = &mut second.specimen {
        tube.id = "T2".to_owned();
    }
    bench.measure(vec![second]);
    bench.work(|db| db.exec(&SPOIL, &[]));
    let leased = bench.lease();
    let bodies: Vec<Vec<u8>> = leased.into_iter().map(|row| row.body).collect();
    let sent = shown(&bodies);
    assert!(sent.contains("|4.00|") && !sent.contains("2.31"), "{sent}");
    let row = bench.work(|db| queue::find(db, 1)).expect("a row");
    assert_eq!(row.state.code(), "set-aside");
    assert!(row.reason.contains("cannot be read"), "{}", row.reason);
}

#[test]
fn a_second_try_sends_the_same_bytes_and_a_cancelled_order_is_not_told() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", &format!("{CBC}{TSH}")));
    bench.replies(&oml("M2", "ORC|CA|REQ2^HIS\nOBR|1|REQ2^HIS||TSH^TSH^L\n"));
    bench.measure(vec![full("WBC", "6.4", "10*9/L")]);
    let first = bench.lease();
    let (now, body) = (bench.now, first[0].body.clone());
    bench.work(move |db| {
        let verdict = Verdict::Deferred {
            reason: "cut".to_owned(),
            answer: String::new(),
        };
        queue::settle_attempt(db, 1, "worker", &verdict, Backoff::default(), now)
    });
    bench.now += DAY;
    let second = bench.lease();
    assert_eq!(second[0].body, body);
    assert!(!shown(&[body]).contains("REQ2"));
}

#[test]
fn nothing_is_rendered_of_results_that_were_all_replaced() {
    let mut bench = Bench::new();
    bench.replies(&oml("M1", TSH));
    bench.measure(vec![Observation {
        holds: vec![Hold::new(HoldReason::SuspectFlag, "")],
        ..full("TSH", "2.31", "m[IU]/L")
    }]);
    let site = bench.site.clone();
    let rendered = bench.work(move |db| {
        let pending = queue::Pending {
            id: 7,
            kind: "result".to_owned(),
            specimen: 1,
            results: vec![1],
            items: Vec::new(),
        };
        let mut renderer = ResultRenderer {
            site: &site,
            run: "RUN",
            now: MORNING,
        };
        renderer.render(db, &[pending])
    });
    assert_eq!(rendered, [Rendered::Nothing]);
}

crate::on_postgres_too! {
    a_result_carries_the_order_the_code_as_ordered_and_the_analyzers_text
    a_panel_is_partial_until_its_last_test_is_there
    a_panel_is_told_in_the_order_of_the_catalogue
    a_correction_is_c_once_the_first_was_tried_and_f_before
    a_final_after_a_preliminary_that_a_person_released_is_final
    extras_stand_alone_and_keep_their_number_through_corrections
    an_unordered_result_goes_out_under_the_devices_patient
    every_version_says_it_in_its_own_words
    an_unusable_time_is_left_out_and_the_receipt_told
    a_message_that_the_hosts_character_set_cannot_hold_is_set_aside_and_says_why
    a_result_that_cannot_be_read_does_not_hold_up_the_next_patients
    a_second_try_sends_the_same_bytes_and_a_cancelled_order_is_not_told
    nothing_is_rendered_of_results_that_were_all_replaced
    results_about_different_donor_units_are_told_apart_in_obx_4
}
