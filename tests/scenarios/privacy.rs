//! The log of the real program, at every level, under everything that a hospital does: nothing in
//! it says who a patient is or what was measured.

use labwire_sims::{
    chance::Chance,
    his::{Answering, Policy, Refusal},
};

use crate::{
    crash::first_start,
    hospital::{His, PATIENCE, comes},
    load::Load,
};

const SEED: u64 = 20_260_311;

/// For good: a person has to look, and the log tells so.
const REFUSAL: Refusal = Refusal {
    code: "AE",
    error: Some(204),
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_patient_and_no_value_appears_in_the_log() {
    let mut chance = Chance::fork(SEED, "privacy");
    let his = His::open(Answering::by_chance(
        [
            (150, Policy::Refuse(REFUSAL)),
            (150, Policy::Cut),
            (50, Policy::Busy),
        ],
        SEED,
    ))
    .await;
    let (_site, lines, mut labwire) = first_start(&his, &mut chance, None).await;
    let mut load = Load::plug(SEED, &lines, &his);
    load.add(80);
    // What nobody can read is where a program is tempted to print it.
    load.say(0, b"H|\\^&|||X^1|||||||P\rP|1||PNSECRET||TR\xff\xfeN^SECRET||19911105|F\rO|1|26SECRET||^^^WBC\rR|1|^^^WBC|4.SECRET|\xff\rL|1|N\r");
    load.say(1, b"MSH|^~\\&|X|Y|||2026||ORU^R01|1|P|2.5.1\rPID|1||PNSECRET||SECRET^NAME\rOBR|1||26SECRET\rSECRET without a name\rOBX|1|NM|WBC||9.SECRET\r");
    let drained = comes(PATIENCE, || {
        load.watch();
        // Refusals, and messages that could not be read as they stood.
        load.is_idle() && labwire.count("not taken") > 3 && labwire.count("message settled") > 20
    });
    let is_drained = drained.await;
    let state = load.state();
    labwire.stop();
    load.unplug();
    assert!(is_drained, "not drained: {state}; {}", labwire.log());
    let secrets = secrets(&load);
    assert!(secrets.len() > 100, "there is something to look for");
    labwire.with_log(|log| {
        assert!(log.len() > 200, "the log says what happens: {}", log.len());
        let traces = log
            .iter()
            .filter(|line| line.contains("DEBUG") || line.contains("TRACE"));
        assert!(traces.count() > 0, "every level is looked at");
        for line in log {
            let found = secrets.iter().find(|secret| line.contains(secret.as_str()));
            assert_eq!(found, None, "in the log: {line}");
        }
    });
}

/// Names, numbers and birth dates of patients, barcodes of tubes, order numbers.
fn secrets(load: &Load) -> Vec<String> {
    let mut secrets = vec!["SECRET".to_owned()];
    for patient in load.patients.values() {
        let own = [
            &patient.id,
            &patient.national_id,
            &patient.insurance,
            &patient.family,
            &patient.given,
            &patient.middle,
            &patient.birth,
        ];
        secrets.extend(own.into_iter().cloned());
    }
    for tube in &load.tubes {
        secrets.push(tube.barcode.clone());
        secrets.extend(tube.items.iter().map(|(placer, _)| placer.clone()));
    }
    secrets.retain(|secret| secret.len() > 2);
    secrets.sort();
    secrets.dedup();
    secrets
}
