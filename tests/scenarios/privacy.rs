//! The log of the real program, at every level, under everything that a hospital does: nothing in
//! it says who a patient is or what was measured. Nor does it, or `labwire check`, tell a password.

use std::{ffi::OsStr, process::Command};

use labwire_sims::{
    chance::Chance,
    his::{Answering, Policy, Refusal},
};

use crate::{
    cluster::Cluster,
    crash::{Labwire, first_start},
    hospital::{His, PATIENCE, Site, comes},
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

/// What `labwire check` says of a site, on both of its ways out.
fn checked(site: &Site) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_labwire"))
        .args(["check", "-c"])
        .arg(site.lab())
        .env("RUST_LOG", "trace")
        .output()
        .expect("labwire runs");
    String::from_utf8([done.stdout, done.stderr].concat()).expect("it speaks UTF-8")
}

const IN_THE_FILE: &str = "Geheim1-in-the-file";
const IN_PGPASS: &str = "Geheim2-in-pgpass";

/// A password stands where it should not, and one where it should: neither is ever shown, at the lowest
/// level of the log of every crate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_the_site_appears_in_the_log_or_in_what_check_says() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.new_schema();
    let url = url.replacen("labwire@", &format!("labwire:{IN_THE_FILE}@"), 1);
    assert!(url.contains(IN_THE_FILE), "{url}");
    let site = Site::on(&url, "[console]\nlisten = \"127.0.0.1:0\"\n");
    site.file("pgpass", &format!("*:*:*:*:{IN_PGPASS}\n"));
    let pgpass = site.lab().with_file_name("pgpass");
    let said = checked(&site);
    assert!(
        said.contains("CONF-0212") && said.contains("PGPASSFILE"),
        "{said}"
    );
    assert!(!said.contains(IN_THE_FILE), "{said}");
    let environment = [
        ("RUST_LOG", OsStr::new("trace")),
        ("PGPASSFILE", pgpass.as_os_str()),
    ];
    let mut labwire = Labwire::start_in(&site.lab(), &environment);
    let is_at_work = comes(PATIENCE, || labwire.count("the console is open") > 0);
    assert!(is_at_work.await, "{}", labwire.log());
    labwire.stop();
    assert!(labwire.count("holds a password") > 0, "{}", labwire.log());
    assert!(labwire.count("TRACE") > 0, "every level is looked at");
    for secret in [IN_THE_FILE, IN_PGPASS] {
        assert_eq!(labwire.count(secret), 0, "{secret}");
    }
    // An address of a host with a password is refused, and not shown either.
    let refused = Site::new(&format!(
        "[[host]]\nid = \"his\"\nkind = \"http\"\nresults = \"https://me:{IN_THE_FILE}@his/x\"\n"
    ));
    let said = checked(&refused);
    assert!(
        said.contains("CONF-0247") && said.contains("certificate"),
        "{said}"
    );
    assert!(!said.contains(IN_THE_FILE), "{said}");
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
