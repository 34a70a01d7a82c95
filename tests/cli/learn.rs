//! `labwire profile learn`, heard by simulated analyzers over real ports.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use labwire_protocols::{astm::link::Link, mllp};
use labwire_sims::{
    analyzer::{Astm, Hl7, Log, Rates, Setup, Tube, endpoint_config, link_dialect},
    clock::Clock,
    persona::Persona,
    port::{Port, keep},
    runner::Wire,
};
use tokio_util::sync::CancellationToken;

use super::lab::{Told, labwire_in};

/// A listening `labwire profile learn`, and the address at which it listens.
struct Listening {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    address: String,
}

impl Listening {
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_labwire"))
            .args([
                "profile",
                "learn",
                "tcp-listen://127.0.0.1:0",
                "--out",
                "prof",
            ])
            .args(more)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("labwire runs");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("its first line");
        let address = line
            .strip_prefix("listening at ")
            .and_then(|rest| rest.split(';').next())
            .expect("an address in the line");
        Self {
            address: address.to_owned(),
            child,
            out,
        }
    }

    fn end(mut self) -> Told {
        let mut out = String::new();
        self.out.read_to_string(&mut out).expect("text");
        let ended = self.child.wait_with_output().expect("it ends");
        Told {
            code: ended.status.code(),
            out,
            err: String::from_utf8(ended.stderr).expect("text"),
        }
    }
}

/// Plays an analyzer that gets no answer to what it asks.
fn play(name: &str, address: &str, tubes: &[&str], asks: bool, cancel: CancellationToken) -> Log {
    let persona = Persona::named(name).expect("a persona");
    // It gives up sooner than the real one, which waits for ten seconds.
    let persona: &'static Persona = Box::leak(Box::new(Persona {
        answer_timeout: Duration::from_secs(3),
        queries: asks,
        ..*persona
    }));
    let clock = Clock::real(420);
    let setup = Setup {
        persona,
        seed: 7,
        rates: Rates::default(),
        measuring: Duration::ZERO,
        stops_when_idle: true,
        clock,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let port = Port::Connect(address.to_owned());
    let mut wire = Wire::new(clock);
    wire.cancel = cancel;
    runtime.block_on(async {
        if let Some(mut device) = Astm::new(setup.clone()) {
            let operator = device.operator();
            wire.wake = operator.wake();
            tubes
                .iter()
                .for_each(|tube| operator.load(tube_of(persona, tube)));
            let mut link = Link::new(link_dialect(persona));
            keep(port, &mut link, &mut device, &mut wire)
                .await
                .expect("a port");
            return operator.log();
        }
        let mut device = Hl7::new(setup).expect("ASTM or HL7");
        let operator = device.operator();
        wire.wake = operator.wake();
        tubes
            .iter()
            .for_each(|tube| operator.load(tube_of(persona, tube)));
        let mut endpoint = mllp::Endpoint::new(endpoint_config(persona));
        keep(port, &mut endpoint, &mut device, &mut wire)
            .await
            .expect("a port");
        operator.log()
    })
}

/// A tube that is asked about, or one of which the operator says what to measure.
fn tube_of(persona: &Persona, barcode: &str) -> Tube {
    let told = || persona.default_codes().map(str::to_owned).collect();
    Tube {
        tests: (!persona.queries).then(told),
        ..Tube::patient(barcode)
    }
}

const TUBES: [&str; 3] = ["25112800017", "25112800018", "25112800019"];

/// Learns from an analyzer over TCP; the draft's text.
#[track_caller]
fn check(persona: &'static str, asks: bool, lines: &[&str], best: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let messages = if asks { "6" } else { "3" };
    let listening = Listening::start(
        folder.path(),
        &[
            "--journal",
            "kept.raw",
            "--messages",
            messages,
            "--for",
            "1m",
            "--name",
            "acme/one",
        ],
    );
    let cancel = CancellationToken::new();
    let (address, stop) = (listening.address.clone(), cancel.clone());
    let device = std::thread::spawn(move || play(persona, &address, &TUBES, asks, stop));
    let told = listening.end();
    cancel.cancel();
    let log = device.join().expect("the device ends");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(log.acknowledged.len() > TUBES.len(), "{log:?}");
    let text = fs::read_to_string(folder.path().join("prof/acme/one.toml")).expect("a draft");
    for line in lines {
        assert!(text.contains(line), "{persona}: no {line} in\n{text}");
    }
    let ranked = told
        .out
        .split("the best first:\n")
        .nth(1)
        .expect("a ranking");
    assert!(ranked.trim_start().starts_with(best), "{persona}: {ranked}");
    for tube in TUBES {
        assert!(
            !text.contains(tube) && !told.out.contains(tube),
            "{persona}: {tube}"
        );
    }
    check_site(folder.path(), persona);
    // What the journal holds says the same.
    let args = [
        "profile", "learn", "--from", "kept.raw", "--out", "prof", "--name", "acme/two",
    ];
    let again = labwire_in(folder.path(), &args);
    assert_eq!(again.code, Some(0), "{again:?}");
    let second = fs::read_to_string(folder.path().join("prof/acme/two.toml")).expect("a draft");
    for line in lines {
        assert!(second.contains(line), "{persona}: no {line} in\n{second}");
    }
}

/// `labwire check` accepts a site that uses the draft, with its examples.
#[track_caller]
fn check_site(folder: &Path, persona: &str) {
    let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/catalogue.toml");
    fs::copy(catalogue, folder.join("catalogue.toml")).expect("the catalogue");
    let port = if persona.contains("hl7") || persona.contains("mindray") {
        "mllp-listen"
    } else {
        "tcp-listen"
    };
    let lab = format!(
        "[lab]\nprofiles = \"prof\"\ncatalogue = \"catalogue.toml\"\n\n[[instrument]]\nid = \"one\"\n\
         profile = \"acme/one\"\nport = \"{port}://127.0.0.1:0\"\n"
    );
    fs::write(folder.join("lab.toml"), lab).expect("lab.toml");
    let told = labwire_in(folder, &["check", "--no-ports"]);
    assert_eq!(told.code, Some(0), "{persona}: {told:?}");
}

#[test]
fn a_blood_counter_that_asks_is_learned_over_tcp() {
    let lines = [
        "protocol = \"astm\"",
        "id = \"O.4.3\"",
        "id = \"Q.3.3\"",
        "code = \"R.3.5\"",
        "3 come again in queries",
        "code = \"WBC\"\ntest = \"WBC\"\nunits = { \"10*9/L\" = \"10*9/L\" }",
        "# test = \"NEUTP\"",
    ];
    check("sysmex-xn", true, &lines, "sysmex/xn ");
}

#[test]
fn an_analyzer_by_the_standard_is_learned_over_tcp() {
    let lines = [
        "id = \"O.3.1\"",
        "code = \"R.3.4\"",
        "range = \"R.6\"",
        "code = \"GLU\"\ntest = \"GLU\"\nunits = { \"mmol/L\" = \"mmol/L\" }",
        "It asked for no orders",
    ];
    check("generic-astm", false, &lines, "generic/astm ");
}

#[test]
fn a_counter_that_speaks_hl7_is_learned_over_tcp() {
    let lines = [
        "protocol = \"hl7\"",
        "id = \"OBR-3.1\"",
        "code = \"OBX-3.2\"",
        "messages = [\"ORM^O01\"]",
        "id = \"ORC-2.1\"",
        "code = \"HGB\"\ntest = \"HGB\"\nunits = { \"g/L\" = \"g/L\" }",
    ];
    check("mindray-bc5000", true, &lines, "mindray/bc-5000 ");
}

#[test]
fn specimen_centred_messages_are_learned_over_tcp() {
    let lines = [
        "id = \"SPM-2.1\"",
        "completed = \"OBX-14\"",
        "code = \"CREA\"\ntest = \"CREA\"",
    ];
    check("generic-hl7-oul", false, &lines, "generic/hl7 ");
}

#[test]
fn whoever_gave_no_leave_sends_no_acknowledgement() {
    let folder = tempfile::tempdir().expect("a folder");
    let listening = Listening::start(folder.path(), &["--messages", "1", "--for", "1m"]);
    let mut device = TcpStream::connect(&listening.address).expect("it listens");
    device
        .write_all(b"\x05\x021H|\\^&|||A\r\x03CF\r\n\x022L|1|N\r\x0305\r\n\x04")
        .expect("sent");
    let mut heard = Vec::new();
    device.read_to_end(&mut heard).expect("it ends");
    assert_eq!(heard, b"");
    let told = listening.end();
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.out.contains("draft: prof/unknown/a.toml"),
        "{}",
        told.out
    );
}

#[test]
fn a_profile_that_is_there_is_not_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let wire = "H|\\^&|||A\rO|1|12345678\rR|1|^^^K|4.1|mmol/L||N||F\rL|1|N\r";
    fs::write(folder.path().join("wire"), wire).expect("a capture");
    let learn = |more: &[&str]| {
        let args = [
            &["profile", "learn", "--from", "wire", "--out", "prof"],
            more,
        ]
        .concat();
        labwire_in(folder.path(), &args)
    };
    assert_eq!(learn(&[]).code, Some(0));
    let path = folder.path().join("prof/unknown/a.toml");
    fs::write(&path, "mine").expect("written");
    let second = learn(&[]);
    assert!(
        second.out.contains("draft: prof/unknown/a-2.toml"),
        "{second:?}"
    );
    let named = learn(&["--name", "unknown/a"]);
    assert_eq!(named.code, Some(2), "{named:?}");
    assert_eq!(fs::read_to_string(&path).expect("a file"), "mine");
    assert_eq!(learn(&["--name", "unknown/a", "--force"]).code, Some(0));
    assert_ne!(fs::read_to_string(&path).expect("a file"), "mine");
    assert_eq!(learn(&["--name", "../a"]).code, Some(2));
}

#[test]
fn nothing_to_draft_from_is_exit_code_1_and_a_port_that_is_taken_2() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("wire"), [0_u8, 255, 7, 9, 200]).expect("a capture");
    let told = labwire_in(folder.path(), &["profile", "learn", "--from", "wire"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(!folder.path().join("profiles").exists());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = format!("tcp-listen://{}", taken.local_addr().expect("an address"));
    let told = labwire_in(folder.path(), &["profile", "learn", &port, "--for", "1m"]);
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(told.err.contains("DRV-01"), "{}", told.err);
}
