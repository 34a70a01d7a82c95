//! Codes and units that people map.

use super::*;

fn map(lab: &Lab, code: &'static str, test: &'static str) -> Result<Moved, Refused> {
    lab.act("lan", move |acting, db| {
        acting.map_code(db, "xn-1", code, test)
    })
}

fn accept(lab: &Lab, id: i64) -> Result<Moved, Refused> {
    lab.act("lan", move |acting, db| acting.accept_unit(db, id))
}

#[test]
fn a_code_is_mapped_once_and_everything_that_waits_for_it_moves() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["GLU"]);
    lab.order("P2", "T2", "MRN2", &["GLU"]);
    lab.measure("T1", ("GLUC", "5.40", "mmol/L", "N"));
    lab.measure("T2", ("GLUC", "6.1", "mmol/L", "!"));
    lab.measure("T3", ("GLUC", "7.2", "mmol/L", "N"));
    lab.measure("T1", ("OTHER", "1", "", "N"));
    assert_eq!(map(&lab, "GLUC", "SUGAR"), Err(Refused::UnknownTest));
    assert_eq!(map(&lab, "gluc", "GLU"), Err(Refused::NothingWaits));
    let moved = map(&lab, "GLUC", "GLU").expect("nothing maps it");
    assert_eq!(
        moved.results,
        [
            (1, ResultState::Released),
            (2, ResultState::Held),
            (3, ResultState::Waiting)
        ]
    );
    assert_eq!(
        lab.shown(),
        "r1 T1 5.40 released v1\nr2 T2 6.1 held v1 suspect-flag\n\
         r3 T3 7.2 waiting v1 unknown-specimen\nr4 T1 1 held v1 unknown-test\n"
    );
    // And from now on.
    lab.order("P3", "T3", "MRN3", &["GLU"]);
    lab.order("P4", "T4", "MRN4", &["GLU"]);
    lab.measure("T4", ("GLUC", "4.4", "mmol/L", "N"));
    lab.now += UNDO;
    assert_eq!(
        lab.deliver(),
        ["MRN3 T3: 7.2 v1", "MRN4 T4: 4.4 v1", "MRN1 T1: 5.40 v1"],
        "what could be undone was due last"
    );
    assert_eq!(lab.findings(), Vec::<String>::new());
    let test = "GLU".to_owned();
    assert_eq!(
        map(&lab, "GLUC", "HGB"),
        Err(Refused::MappedAlready { test })
    );
}

#[test]
fn a_code_that_the_files_map_is_mapped_there_and_a_line_must_be_one() {
    let mut lab = Lab::new();
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "N"));
    let test = "WBC".to_owned();
    assert_eq!(
        map(&lab, "WBC", "HGB"),
        Err(Refused::MappedAlready { test })
    );
    let of_nobody = lab.act("lan", |acting, db| acting.map_code(db, "xn-9", "X", "GLU"));
    assert_eq!(of_nobody, Err(Refused::UnknownLine));
}

#[test]
fn a_mapped_code_of_transfusion_is_held_all_the_same() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["ABO"]);
    lab.measure("T1", ("BG", "O", "", "N"));
    map(&lab, "BG", "ABO").expect("nothing maps it");
    assert_eq!(lab.shown(), "r1 T1 O held v1 transfusion\n");
}

#[test]
fn another_spelling_of_the_unit_is_accepted_and_another_unit_is_not() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC", "HGB"]);
    lab.order("P2", "T2", "MRN2", &["WBC", "HGB"]);
    lab.measure("T1", ("WBC", "6.4", "G/L", "N"));
    lab.measure("T1", ("HGB", "13.1", "g/dL", "N"));
    lab.measure("T2", ("WBC", "7.5", "G/L", "N"));
    lab.order("P4", "T4", "MRN4", &["WBC"]);
    lab.measure("T4", ("WBC", "8.5", "10*3/uL", "N"));
    assert!(
        lab.shown().starts_with("r1 T1 6.4 held v1 unit-differs\n"),
        "{}",
        lab.shown()
    );
    let refused = accept(&lab, 2).expect_err("ten times the unit");
    let Refused::OtherUnit { why } = &refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("g/dL is"), "{why}");
    let moved = accept(&lab, 4).expect("10*3/uL is 10*9/L");
    assert_eq!(moved.results, [(4, ResultState::Released)]);
    assert_eq!(
        lab.act("lan", |acting, db| acting.accept_unit(db, 4)),
        Err(Refused::NotOpen {
            state: ResultState::Released
        })
    );
    // From now on it is known on this line.
    lab.order("P3", "T3", "MRN3", &["WBC"]);
    lab.measure("T3", ("WBC", "9.5", "10*3/uL", "N"));
    assert!(
        lab.shown().contains("r5 T3 9.5 released v1\n"),
        "{}",
        lab.shown()
    );
    assert_eq!(lab.findings(), Vec::<String>::new());
}

#[test]
fn a_mapping_that_is_undone_moves_everything_back_and_is_forgotten() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["GLU"]);
    lab.measure("T1", ("GLUC", "5.40", "mmol/L", "N"));
    let before = lab.shown();
    let moved = map(&lab, "GLUC", "GLU").expect("nothing maps it");
    lab.undo("lan", moved.done.act).expect("within ten seconds");
    assert_eq!(lab.shown(), before);
    lab.order("P2", "T2", "MRN2", &["GLU"]);
    lab.measure("T2", ("GLUC", "6.1", "mmol/L", "N"));
    assert!(
        lab.shown().ends_with("r2 T2 6.1 held v1 unknown-test\n"),
        "{}",
        lab.shown()
    );
    lab.now += UNDO;
    assert_eq!(lab.deliver(), Vec::<String>::new());
    assert_eq!(lab.findings(), Vec::<String>::new());
}

crate::on_postgres_too! {
    a_code_is_mapped_once_and_everything_that_waits_for_it_moves
    a_code_that_the_files_map_is_mapped_there_and_a_line_must_be_one
    a_mapped_code_of_transfusion_is_held_all_the_same
    another_spelling_of_the_unit_is_accepted_and_another_unit_is_not
    a_mapping_that_is_undone_moves_everything_back_and_is_forgotten
}
