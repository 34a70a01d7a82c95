//! Lot and level of controls, where profiles say them.

use super::*;

fn material(line: &LineProfile, raw: &str) -> Vec<[Option<String>; 3]> {
    let decoded = decode_text(line, raw);
    let found = observations(&decoded).into_iter();
    found
        .map(|one| [one.control.clone(), one.lot.clone(), one.level.clone()])
        .collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_lot_behind_a_mark_is_a_lot_and_another_id_has_none() {
    let line = line("sysmex/xn");
    let raw = |id: &str| {
        format!(
            "H|\\^&|||XN\rP|1\rO|1||^^{id}^A|^^^^WBC\rR|1|^^^^WBC^1|3.02|10*3/uL||N||F\rL|1|N\r"
        )
    };
    assert_eq!(
        material(&line, &raw("QC-52151401")),
        [[some("QC-52151401"), some("52151401"), None]]
    );
    assert_eq!(
        material(&line, &raw("BACKGROUNDCHECK")),
        [[some("BACKGROUNDCHECK"), None, None]]
    );
    assert_eq!(
        material(&line, &raw("25")),
        [[None, None, None]],
        "a patient's"
    );
}

#[test]
fn a_level_in_a_row_of_its_own_is_that_of_its_order_alone() {
    let order = |number: u8, level: &str| {
        format!(
            "OBR|{number}||{number}|00003^LJ QCR^99MRC\rOBX|1|NM|6690-2^WBC^LN||7.40|10*9/L|||||F\r\
             OBX|2|IS|05001^Qc Level^99MRC||{level}||||||F\r"
        )
    };
    let raw = format!(
        "MSH|^~\\&|BC|M|||20250115||ORU^R01|1|Q|2.3.1\rPID|1||LOT9\r{}{}OBR|3||3|00003^LJ QCR^99MRC\r\
         OBX|1|NM|6690-2^WBC^LN||7.40|10*9/L|||||F\r",
        order(1, "L"),
        order(2, "H")
    );
    assert_eq!(
        material(&line("mindray/bc-5000"), &raw),
        [
            [some("1"), some("LOT9"), some("L")],
            [some("2"), some("LOT9"), some("H")],
            [some("3"), some("LOT9"), None],
        ]
    );
}

#[test]
fn a_text_that_is_none_of_the_levels_is_no_level() {
    let line = line("horiba/yumizen-h500");
    let raw = |kind: &str| {
        format!(
            "H|\\^&|||H500|||||||Q|LIS2-A2\rP|1\rO|1|PX440N||^^^DIF|R||||||||||CTRL^^{kind}\r\
             R|1|^^^WBC^6690-2|7.40|10E3/uL||N||F\rL|1|N\r"
        )
    };
    let level = |kind: &str| material(&line, &raw(kind))[0][2].clone();
    assert_eq!(level("CTRL MEDIUM"), some("MEDIUM"));
    assert_eq!(level("CTRL LOW"), some("LOW"));
    assert_eq!(level("CTRL SOMETHING"), None);
}
