//! The command line, as people and scripts meet it: the built program on real files.

#[path = "cluster.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "other tests stop their cluster; all of them share the file"
)]
mod cluster;
#[path = "cli/keep.rs"]
mod keep;
#[macro_use]
#[path = "cli/lab.rs"]
mod lab;
#[path = "cli/learn.rs"]
mod learn;
#[path = "cli/planted.rs"]
mod planted;
#[path = "cli/service.rs"]
mod service;

use std::{fs, path::Path};

use insta::assert_snapshot;
use labwire::{
    store::{Beside, RESTORED_AT, journal},
    tubes::rows::{self, Detail, TrackRow},
};
use labwire_drivers::{Clock as _, SystemClock};

use lab::{Lab, MORNING, Told, labwire_in, records};

#[track_caller]
fn check(told: &Told, code: i32) -> String {
    assert_eq!(told.code, Some(code), "{}{}", told.out, told.err);
    told.out.clone()
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn help_names_every_command_with_examples() {
    assert_snapshot!("help", check(&labwire_in(here(), &["--help"]), 0));
    for command in [
        "run", "check", "trace", "held", "queue", "line", "nodes", "ledger", "replay", "backup",
        "restore", "user", "audit",
    ] {
        let help = check(&labwire_in(here(), &[command, "--help"]), 0);
        assert_snapshot!(format!("help-{command}"), help);
    }
    let help = check(&labwire_in(here(), &["profile", "learn", "--help"]), 0);
    assert_snapshot!("help-profile-learn", help);
}

#[test]
fn people_are_added_listed_disabled_and_given_a_new_password() {
    let lab = Lab::new();
    let add = [
        "user",
        "add",
        "minh",
        "--name",
        "Lê Minh",
        "--role",
        "technician",
    ];
    let added = check(&lab.labwire(&add), 0);
    assert!(added.starts_with("minh may log in with "), "{added}");
    let password = |told: &str| {
        told.lines()
            .next()
            .and_then(|line| line.rsplit(' ').next().map(str::to_owned))
    };
    assert_eq!(
        check(&lab.labwire(&add), 2),
        "",
        "there is somebody of that name"
    );
    let line = |lab: &Lab| {
        let list = check(&lab.labwire(&["user", "list"]), 0);
        list.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        line(&lab),
        "minh technician has to change the password Lê Minh"
    );
    check(&lab.labwire(&["user", "disable", "minh"]), 0);
    assert_eq!(line(&lab), "minh technician disabled Lê Minh");
    let reset = check(&lab.labwire(&["user", "reset", "minh"]), 0);
    assert_ne!(password(&added), password(&reset));
    assert_eq!(
        line(&lab),
        "minh technician has to change the password Lê Minh"
    );
    check(&lab.labwire(&["user", "disable", "nobody"]), 2);
    check(
        &lab.labwire(&["user", "add", "Bad Name", "--role", "viewer"]),
        2,
    );
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = check(&labwire_in(here(), &["completions", shell]), 0);
        assert!(
            script.contains("ledger") && script.contains("learn"),
            "{shell}"
        );
    }
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let told = labwire_in(here(), &["frobnicate"]);
    check(&told, 2);
    assert!(told.err.contains("frobnicate"), "{}", told.err);
}

#[test]
fn the_example_site_is_clean() {
    let told = labwire_in(
        here(),
        &["check", "-c", "config/example/lab.toml", "--no-ports"],
    );
    let out = check(&told, 0);
    let parts = "right (1 host, 3 instruments, 1 automation line";
    assert!(out.contains(parts), "{out}");
}

/// A site with an automation line of the example's modules.
fn with_line(folder: &Path, port: &str, change: (&str, &str), rest: &str) {
    let line =
        fs::read_to_string(here().join("config/example/line.toml")).expect("the example is there");
    assert!(line.contains(change.0), "{}", change.0);
    fs::write(
        folder.join("line.toml"),
        line.replacen(change.0, change.1, 1),
    )
    .expect("the folder is writable");
    let mapping = here().join("config/example/line-mapping.toml");
    fs::copy(mapping, folder.join("line-mapping.toml")).expect("the folder is writable");
    let lab = format!(
        "[[instrument]]\nid = \"xn-1\"\nprofile = \"sysmex/xn\"\n\
         port = \"tcp-listen://127.0.0.1:0\"\n\
         [[track]]\nid = \"line-1\"\nport = \"{port}\"\nfile = \"line.toml\"\n{rest}"
    );
    fs::write(folder.join("lab.toml"), lab).expect("the folder is writable");
}

#[test]
fn every_mistake_of_an_automation_line_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let hl7 = "mllp-listen://127.0.0.1:5010";
    let same = ("[line]", "[line]");
    let xn2 = "id = \"XN2\"\nkind = \"analyzer\"\n";
    let twice = format!("{xn2}instrument = \"xn-1\"\n");
    let by_mapping = "mapping = \"line-mapping.toml\"\n";
    let told = ("commands = \"none\"", "commands = \"transport\"");
    for (port, change, rest, code) in [
        (hl7, same, "", ""),
        ("tcp-listen://127.0.0.1:5010", same, by_mapping, ""),
        ("tcp-listen://127.0.0.1:5010", same, "", "CONF-0315"),
        (hl7, same, by_mapping, "CONF-0315"),
        ("tcp-listen://127.0.0.1:5010", told, by_mapping, "CONF-0316"),
        (hl7, ("\"xn-1\"", "\"xn-2\""), "", "CONF-0313"),
        (hl7, (xn2, &twice), "", "CONF-0314"),
        (
            hl7,
            ("kind = \"decapper\"", "kind = \"decaper\""),
            "",
            "CONF-0105",
        ),
        (hl7, same, "mapping = \"none.toml\"\n", "CONF-0001"),
        (hl7, same, "speed = 1\n", "CONF-0107"),
        (hl7, same, "[[track]]\nid = \"xn-1\"\n", "CONF-0201"),
        (
            hl7,
            same,
            "[[track]]\nid = \"b\"\nport = \"x\"\n",
            "CONF-0203",
        ),
    ] {
        with_line(folder.path(), port, change, rest);
        let code_wanted = i32::from(!code.is_empty());
        let out = check(
            &labwire_in(folder.path(), &["check", "--no-ports"]),
            code_wanted,
        );
        assert!(out.contains(code), "{port} {rest}: {out}");
    }
}

#[test]
fn an_automation_line_is_seen_beside_the_bridge_and_a_doubled_barcode_is_settled() {
    let lab = Lab::after_a_morning().close();
    let port = "mllp-listen://127.0.0.1:5010";
    with_line(&lab.path(""), port, ("[line]", "[line]"), "");
    let store = lab.url();
    let now = SystemClock::default().utc_micros();
    let row = |module: &str, kind: &str, seconds_ago: i64| TrackRow {
        message: 1,
        span: 0..0,
        line: "line-1".to_owned(),
        module: module.to_owned(),
        barcode: "T1".to_owned(),
        kind: kind.to_owned(),
        detail: Detail::default(),
        at: now - seconds_ago * 1_000_000,
        received_at: now - seconds_ago * 1_000_000,
    };
    let told = [
        row("TEMPUS1", "seen", 600),
        row("CENT1", "seen", 520),
        row("CENT1", "started", 500),
        row("STORE1", "tube-in-two-places", 400),
    ];
    Beside::writer(&store)
        .unwrap()
        .transact(|db| rows::insert(db, &told))
        .unwrap();
    let out = check(&lab.labwire(&["line", "show"]), 0);
    for part in [
        "Line line-1",
        "CENT1",
        "L4",
        "in CENT1",
        "Overdue: none",
        "Forecasts: none",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    check(&lab.labwire(&["line", "show", "line-2"]), 1);
    check(
        &lab.labwire(&["line", "stations", "--since", "yesterday"]),
        2,
    );
    let out = check(&lab.labwire(&["line", "stations"]), 0);
    assert!(out.starts_with("station"), "{out}");
    let cleared = ["line", "cleared", "T1", "--as", "lan"];
    let out = check(&lab.labwire(&cleared), 0);
    assert!(out.contains("says lan"), "{out}");
    check(&lab.labwire(&cleared), 1);
    let out = check(&lab.labwire(&["trace", "T1"]), 0);
    for part in ["line-1 TEMPUS1  barcode read", "double-cleared", "by lan"] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

const FIVE_MISTAKES: &str = r#"
[lab]
timezone = "Asia/Saigonn"

[[host]]
id = "his"
results = "mlp://127.0.0.1:2576"
releas = "auto"

[[instrument]]
id = "xn-1"
profile = "sysmex/xm"
port = "tcp-listen://127.0.0.1:0"
charset = "utf-9"
"#;

#[test]
fn five_mistakes_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lab.toml"), FIVE_MISTAKES).unwrap();
    let out = check(&labwire_in(folder.path(), &["check", "--no-ports"]), 1);
    assert!(out.ends_with("5 errors\n"), "{out}");
    assert_snapshot!("five-mistakes", out);
}

#[test]
fn a_mistake_in_a_profile_of_the_site_is_told_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("profiles/acme")).unwrap();
    fs::write(
        folder.path().join("profiles/acme/one.toml"),
        "[device]\nvendor = \"Acme\"\nmodels = [\"One\"]\nprotocol = \"smtp\"\n",
    )
    .unwrap();
    let lab = "[lab]\nprofiles = \"profiles\"\n\n[[instrument]]\nid = \"one\"\nprofile = \
               \"acme/one\"\nport = \"tcp-listen://127.0.0.1:0\"\n";
    fs::write(folder.path().join("lab.toml"), lab).unwrap();
    let out = check(&labwire_in(folder.path(), &["check", "--no-ports"]), 1);
    assert!(out.contains("acme/one.toml"), "{out}");
    assert!(!out.contains("unknown profile"), "{out}");
}

#[test]
fn a_port_that_cannot_carry_its_profile_is_refused_as_the_start_would() {
    let folder = tempfile::tempdir().unwrap();
    for (profile, port) in [
        ("generic/hl7", "tcp-listen://127.0.0.1:0"),
        ("generic/hl7", "serial:///dev/ttyS77?baud=9600"),
        ("generic/astm", "mllp-listen://127.0.0.1:0"),
    ] {
        let lab =
            format!("[[instrument]]\nid = \"one\"\nprofile = \"{profile}\"\nport = \"{port}\"\n");
        fs::write(folder.path().join("lab.toml"), lab).unwrap();
        let out = check(&labwire_in(folder.path(), &["check", "--no-ports"]), 1);
        assert!(out.contains("CONF-0219"), "{profile} {port}: {out}");
    }
}

#[test]
fn a_unit_that_no_device_sends_is_missed_and_a_wrong_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = here().join("config/catalogue.toml");
    let told = |units: &str, code: i32| {
        let lab = format!(
            "[lab]\ncatalogue = {catalogue:?}\n[[instrument]]\nid = \"au-1\"\n\
             profile = \"beckman/au\"\nport = \"tcp-listen://127.0.0.1:5001\"\n\
             tests = {{ \"016\" = \"ALT\" }}\n{units}\n"
        );
        fs::write(folder.path().join("lab.toml"), lab).unwrap();
        check(&labwire_in(folder.path(), &["check", "--no-ports"]), code)
    };
    let out = told("", 0);
    assert!(out.contains("CONF-0221") && out.contains("`016`"), "{out}");
    let out = told("units = { \"016\" = \"U/L\" }", 0);
    assert!(!out.contains("warning"), "{out}");
    let out = told("units = { \"016\" = \"ukat/L\" }", 1);
    assert!(out.contains("CONF-0220"), "{out}");
}

#[test]
fn a_picture_folder_is_there_and_something_names_files_in_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("share")).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let told = |profile: &str, keys: &str, code: i32| {
        let scheme = if profile.starts_with("sysmex") {
            "tcp"
        } else {
            "mllp"
        };
        let lab = format!(
            "[[host]]\nid = \"his\"\nkind = \"http\"\nresults = \"http://127.0.0.1:1/r\"\n{}\n\
             [[instrument]]\nid = \"one\"\nprofile = \"{profile}\"\n\
             port = \"{scheme}-listen://127.0.0.1:5001\"\ntests = {{ \"WBC\" = \"WBC\" }}\n{}\n",
            keys.split('/').nth(1).unwrap_or_default(),
            keys.split('/').next().unwrap_or_default(),
        );
        fs::write(folder.path().join("lab.toml"), lab).unwrap();
        check(&labwire_in(folder.path(), &["check", "--no-ports"]), code)
    };
    let out = told("sysmex/xn", "images = \"share\"", 0);
    assert!(!out.contains("CONF-02"), "{out}");
    for nothing in ["images = \"nowhere\"", "images = \"file\""] {
        let out = told("sysmex/xn", nothing, 1);
        assert!(out.contains("CONF-0242"), "{out}");
    }
    let out = told("mindray/bc-5000", "images = \"share\"", 0);
    assert!(out.contains("CONF-0243"), "{out}");
    let out = told("sysmex/xn", "images_taken = \"delete\"", 1);
    assert!(out.contains("CONF-0241"), "{out}");
    let out = told("sysmex/xn", "/images = \"ed\"", 1);
    assert!(out.contains("CONF-0240"), "{out}");
}

#[test]
fn a_port_that_is_taken_is_found_and_a_device_that_is_off_is_a_warning() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Bound, so that nobody else gets the port, but not listening.
    let off = tokio::net::TcpSocket::new_v4().unwrap();
    off.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (at, gone) = (taken.local_addr().unwrap(), off.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let lab = |port: String| {
        format!("[[instrument]]\nid = \"one\"\nprofile = \"generic/astm\"\nport = \"{port}\"\n")
    };
    let write = |text: String| fs::write(folder.path().join("lab.toml"), text).unwrap();
    write(lab(format!("tcp-listen://{at}")));
    let out = check(&labwire_in(folder.path(), &["check"]), 1);
    assert!(out.contains("DRV-01") && out.contains("in use"), "{out}");
    write(lab(format!("tcp://{gone}")));
    let out = check(&labwire_in(folder.path(), &["check"]), 0);
    assert!(
        out.contains("1 warning") && out.contains("right ("),
        "{out}"
    );
}

#[test]
fn a_lab_toml_that_is_not_there_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &["check"][..],
        &["ledger"],
        &["trace", "T1"],
        &["queue", "list"],
        &["run"],
    ] {
        let told = labwire_in(folder.path(), command);
        check(&told, 2);
        assert!(
            told.err.contains("lab.toml") && told.out.is_empty(),
            "{told:?}"
        );
    }
}

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = Vec::new();
    for message in messages {
        wire.push(5);
        for (number, record) in (1_u8..).zip(message.split_inclusive(|byte| *byte == b'\r')) {
            let mut text = vec![b'0' + number % 8];
            text.extend_from_slice(record);
            text.push(3);
            let sum = text.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
            wire.push(2);
            wire.extend_from_slice(&text);
            wire.extend_from_slice(format!("{sum:02X}\r\n").as_bytes());
        }
        wire.push(4);
    }
    wire
}

#[test]
fn a_capture_gives_the_lines_of_the_contract_framed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let message = records(
        "2501150042",
        &[("WBC", "6.45", "10*9/L"), ("HGB", "", "g/L")],
    );
    fs::write(folder.path().join("bare"), &message).unwrap();
    fs::write(folder.path().join("framed"), framed(&[message])).unwrap();
    let args = ["replay", "framed", "--profile", "generic/astm", "--json"];
    let out = check(&labwire_in(folder.path(), &args), 0);
    assert_snapshot!("replay-json", out);
    let args = ["replay", "bare", "--profile", "generic/astm", "--json"];
    // That records stood there without frames is noted.
    let bare = check(&labwire_in(folder.path(), &args), 0);
    assert_eq!(bare.replace("[\"ASTM-0129\"]", "[]"), out);
    let args = ["replay", "bare", "--profile", "generic/astm"];
    assert_snapshot!("replay-table", check(&labwire_in(folder.path(), &args), 0));
}

#[test]
fn a_refused_frame_is_a_line_and_the_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut wire = framed(&[records("T1", &[("WBC", "6.45", "10*9/L")])]);
    let value = wire.windows(4).position(|part| part == b"6.45").unwrap();
    wire[value] = b'9';
    fs::write(folder.path().join("bad"), wire).unwrap();
    let args = ["replay", "bad", "--profile", "generic/astm", "--json"];
    let out = check(&labwire_in(folder.path(), &args), 0);
    assert!(
        out.contains(r#"{"kind":"incomplete""#) && out.contains("checksum"),
        "{out}"
    );
}

#[test]
fn hl7_is_read_with_and_without_mllp() {
    let folder = tempfile::tempdir().unwrap();
    let message = "MSH|^~\\&|A||||20260310||ORU^R01|1|P|2.5.1\rPID|1||M1\rOBR|1||T1|CBC\r\
                   OBX|1|NM|WBC||6.45|10*9/L|||||F\r";
    fs::write(folder.path().join("bare"), message).unwrap();
    fs::write(folder.path().join("mllp"), format!("\x0B{message}\x1C\r")).unwrap();
    let read = |file: &str| {
        let args = ["replay", file, "--profile", "generic/hl7", "--json"];
        check(&labwire_in(folder.path(), &args), 0)
    };
    assert_eq!(read("bare"), read("mllp"));
    assert!(read("bare").contains(r#""code":"WBC""#));
}

#[test]
fn a_profile_that_is_not_there_is_a_usage_error_with_a_proposal() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x"), "").unwrap();
    let told = labwire_in(folder.path(), &["replay", "x", "--profile", "sysmex/xm"]);
    check(&told, 2);
    assert!(told.err.contains("did you mean sysmex/xn?"), "{}", told.err);
}

#[test]
fn the_journal_read_again_shows_only_what_differs() {
    let lab = Lab::after_a_morning().close();
    let out = check(&lab.labwire(&["replay", "--since", "2026-03-10"]), 0);
    assert_eq!(out, "3 messages read again, 0 would differ\n");
    let toml = fs::read_to_string(lab.path("lab.toml")).unwrap();
    let toml = toml.replace("\"HGB\" = \"HGB\"", "\"HGB\" = \"HB\"");
    fs::write(lab.path("lab.toml"), toml).unwrap();
    let out = check(&lab.labwire(&["replay", "--since", "2026-03-10"]), 1);
    assert_snapshot!("replay-since", out);
}

#[test]
fn everything_about_a_tube_is_on_one_page() {
    let lab = Lab::after_a_morning().close();
    assert_snapshot!("trace-tube", check(&lab.labwire(&["trace", "T1"]), 0));
}

#[test]
fn a_result_and_a_control_id_lead_to_the_same_bytes() {
    let lab = Lab::after_a_morning().close();
    for word in ["r2", "2", "LW-1"] {
        let out = check(&lab.labwire(&["trace", word]), 0);
        let chain = [
            "answer: AA",
            "control id: LW-1",
            "r2 > R|2|^^^HGB|132|g/L||N||F<CR>",
            "placer P1",
        ];
        for link in chain {
            assert!(out.contains(link), "{word} has no {link}:\n{out}");
        }
    }
    let told = lab.labwire(&["trace", "nothing"]);
    check(&told, 1);
    assert!(told.out.is_empty() && told.err.contains("nothing"));
}

#[test]
fn a_sound_store_has_a_ledger_without_findings() {
    let lab = Lab::after_a_morning().close();
    assert_snapshot!("ledger", check(&lab.labwire(&["ledger"]), 0));
    assert_snapshot!("ledger-json", check(&lab.labwire(&["ledger", "--json"]), 0));
    let out = check(
        &lab.labwire(&["ledger", "--since", "2026-03-10T15:00:04"]),
        0,
    );
    assert_eq!(out.lines().count(), 3, "{out}");
    let out = check(&lab.labwire(&["ledger", "--findings"]), 0);
    assert_eq!(out.lines().count(), 1, "{out}");
    check(&lab.labwire(&["ledger", "--since", "yesterday"]), 2);
}

#[test]
fn a_reader_who_has_heard_enough_is_no_failure() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_labwire"));
    command.args(["completions", "zsh"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_store_of_an_older_labwire_is_left_alone() {
    let lab = Lab::after_a_morning().close();
    lab.plant(&["DELETE FROM schema_change WHERE number > 1"]);
    let told = lab.labwire(&["ledger"]);
    check(&told, 2);
    assert!(told.err.contains("labwire run") && told.err.contains("STORE-0107"));
}

#[test]
fn a_bridge_does_not_start_on_files_that_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lab.toml"), FIVE_MISTAKES).unwrap();
    let told = labwire_in(folder.path(), &["run"]);
    check(&told, 2);
    assert!(told.err.contains("5 errors") && told.err.contains("nothing was started"));
    assert!(!folder.path().join("labwire.db").exists());
}

#[test]
fn what_waits_is_seen_and_decided_while_the_bridge_holds_the_store() {
    let mut lab = Lab::new();
    assert_eq!(check(&lab.labwire(&["held", "list"]), 0), "nothing waits\n");
    lab = Lab::after_a_morning();
    lab.measure(&records("T1", &[("GLU2", "5.1", "mmol/L")]));
    assert_snapshot!("held-list", check(&lab.labwire(&["held", "list"]), 0));
    assert_snapshot!("held-show", check(&lab.labwire(&["held", "show", "r3"]), 0));
    check(&lab.labwire(&["held", "show", "r99"]), 1);
    let json = check(&lab.labwire(&["held", "list", "--json"]), 0);
    assert!(
        json.contains(r#""acts":["release","set-aside","rerun"]"#),
        "{json}"
    );

    let why = ["--reason", "compared with the tube", "--as", "lan"];
    let act = |lab: &Lab, words: &[&str], code: i32| {
        let told = lab.labwire(&[&["held"], words, &why].concat());
        let out = check(&told, code);
        if code == 0 { out } else { told.err }
    };
    // Refused: nothing changes, and the reason is told.
    let no = act(&lab, &["release", "r4"], 1);
    assert_eq!(
        no,
        "labwire: it is held as unknown-specimen, which release does not end [not-for]\n"
    );
    let no = act(&lab, &["release", "r3", "--now"], 1);
    assert!(no.contains("[not-urgent]"), "{no}");
    check(&lab.labwire(&["held", "release", "r3"]), 2);
    check(&lab.labwire(&["held", "release", "r3", "--reason", " "]), 2);
    act(&lab, &["release", "m3"], 2);

    let out = act(&lab, &["release", "r3"], 0);
    assert_eq!(out, "r3 leaves in ten seconds (act 1)\n");
    let out = check(&lab.labwire(&["held", "undo", "--as", "lan"]), 0);
    assert_eq!(out, "act 1 is undone\n");
    let again = lab.labwire(&["held", "undo", "1", "--as", "lan"]);
    check(&again, 1);
    assert!(again.err.contains("[undone-already]"), "{}", again.err);

    let out = act(&lab, &["map", "xn-1", "GLU2", "GLU"], 0);
    assert_eq!(
        out,
        "GLU2 of xn-1 is GLU from now on (act 3)\n  r5 is kept now\n"
    );
    let out = act(&lab, &["link", "r4", "--tube", "T1"], 0);
    assert_eq!(out, "r4 is of T1 and kept now (act 4)\n");
    let out = act(&lab, &["rerun", "r3"], 0);
    assert_eq!(
        out,
        "r3 is set aside; order it on the instrument by hand (act 5)\n"
    );
    let out = act(&lab, &["set-aside", "r4"], 0);
    assert_eq!(out, "r4 is set aside (act 6)\n");
    let no = act(&lab, &["accept-unit", "r5"], 1);
    assert!(no.contains("[not-needed]"), "{no}");
    assert_eq!(check(&lab.labwire(&["held", "list"]), 0), "nothing waits\n");
    let ledger = check(&lab.labwire(&["ledger"]), 0);
    assert!(ledger.contains("set aside"), "{ledger}");
    // What people mapped and linked is no difference between the journal and the store.
    let again = check(&lab.labwire(&["replay", "--since", "2026-03-10"]), 0);
    assert!(again.contains("0 would differ"), "{again}");
}

#[test]
fn the_queue_is_seen_and_changed_while_the_bridge_holds_the_store() {
    let mut lab = Lab::new();
    assert_eq!(
        check(&lab.labwire(&["queue", "list"]), 0),
        "nothing waits\n"
    );
    lab.order("P1", "T1", &["WBC"]);
    lab.measure(&records("T1", &[("WBC", "6.45", "10*9/L")]));
    lab.deliver("AR");
    assert_snapshot!("queue-list", check(&lab.labwire(&["queue", "list"]), 0));
    let json = check(
        &lab.labwire(&["queue", "list", "--state", "set-aside", "--json"]),
        0,
    );
    assert!(
        json.starts_with(r#"{"id":1,"destination":"host:his""#),
        "{json}"
    );
    let none = check(&lab.labwire(&["queue", "list", "--to", "host:lis"]), 0);
    assert_eq!(none, "nothing waits\n");
    assert_snapshot!(
        "queue-show",
        check(&lab.labwire(&["queue", "show", "1"]), 0)
    );
    check(&lab.labwire(&["queue", "show", "9"]), 1);

    let out = check(&lab.labwire(&["queue", "retry", "1"]), 0);
    assert_eq!(out, "queue 1 is tried again now, asked for by lan\n");
    check(&lab.labwire(&["queue", "discard", "1"]), 2);
    check(&lab.labwire(&["queue", "discard", "1", "--reason", " "]), 2);
    let discard = [
        "queue",
        "discard",
        "1",
        "--reason",
        "order withdrawn",
        "--as",
        "minh",
    ];
    check(&lab.labwire(&discard), 0);
    let told = lab.labwire(&discard);
    check(&told, 1);
    assert!(told.err.contains("queue 1 is discarded"), "{}", told.err);
    let out = check(&lab.labwire(&["queue", "show", "1"]), 0);
    for part in ["lan  queue-retry", "minh  queue-discard: order withdrawn"] {
        assert!(out.contains(part), "{out}");
    }
    let out = check(&lab.labwire(&["ledger"]), 0);
    assert!(out.contains("discarded by minh"), "{out}");
    check(&lab.labwire(&["trace", "T1"]), 0);
    lab.close();
}

#[test]
fn a_backup_taken_while_the_bridge_runs_can_be_restored_when_it_has_stopped() {
    let mut lab = Lab::after_a_morning();
    check(&lab.labwire(&["backup", "copy.db"]), 0);
    check(&lab.labwire(&["backup", "copy.db"]), 2);
    lab.measure(&records("T9", &[("GLU", "6.00", "mmol/L")]));
    let told = lab.labwire(&["restore", "copy.db", "--replace"]);
    check(&told, 2);
    assert!(told.err.contains("STORE-0007"), "{}", told.err);
    let lab = lab.close();
    let told = lab.labwire(&["restore", "copy.db"]);
    check(&told, 2);
    assert!(told.err.contains("--replace"), "{}", told.err);
    assert!(check(&lab.labwire(&["ledger"]), 0).contains("5 messages"));

    let out = check(&lab.labwire(&["restore", "copy.db", "--replace"]), 0);
    let kept = out.rsplit("kept as ").next().unwrap().trim();
    assert!(check(&lab.labwire(&["ledger"]), 0).contains("4 messages"));
    let former = ["ledger", "--store", &format!("sqlite:{kept}")];
    assert!(check(&lab.labwire(&former), 0).contains("5 messages"));
    let mut store = Beside::reader(&lab.url()).unwrap();
    let restored = store.read(|db| journal::meta(db, RESTORED_AT)).unwrap();
    assert!(restored.unwrap().parse::<i64>().unwrap() > MORNING);
}

#[test]
fn the_store_of_a_killed_bridge_is_put_aside_with_what_its_log_holds() {
    let mut lab = Lab::after_a_morning();
    let killed = tempfile::tempdir().unwrap();
    check(&lab.labwire(&["backup", "copy.db"]), 0);
    lab.measure(&records("T9", &[("GLU", "6.00", "mmol/L")]));
    for file in ["labwire.db", "labwire.db-wal", "lab.toml", "copy.db"] {
        fs::copy(lab.path(file), killed.path().join(file)).unwrap();
    }
    let told = labwire_in(killed.path(), &["restore", "copy.db", "--replace"]);
    let out = check(&told, 0);
    let kept = format!("sqlite:{}", out.rsplit("kept as ").next().unwrap().trim());
    let messages = |args: &[&str]| check(&labwire_in(killed.path(), args), 0);
    assert!(messages(&["ledger", "--store", &kept]).contains("5 messages"));
    assert!(messages(&["ledger"]).contains("4 messages"));
}

#[test]
fn what_is_no_backup_is_not_restored() {
    let lab = Lab::after_a_morning().close();
    fs::write(lab.path("garbage"), "this is no database at all").unwrap();
    for file in ["garbage", "missing"] {
        check(&lab.labwire(&["restore", file, "--replace"]), 2);
    }
    assert!(check(&lab.labwire(&["ledger"]), 0).contains("4 messages"));
    let left: Vec<_> = fs::read_dir(lab.path("")).unwrap().collect();
    assert!(left.iter().all(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        !name.to_str().unwrap().contains("restore")
    }));
}

#[test]
fn a_store_that_is_not_there_is_named_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let told = labwire_in(folder.path(), &["ledger", "--store", "sqlite:none.db"]);
    check(&told, 2);
    assert!(
        told.err.contains("none.db") && told.err.contains("STORE-0108"),
        "{}",
        told.err
    );
    assert!(!folder.path().join("none.db").exists());
}

// Those that look into the store; what is done with files alone is SQLite's.
on_postgres_too! {
    the_journal_read_again_shows_only_what_differs
    everything_about_a_tube_is_on_one_page
    a_result_and_a_control_id_lead_to_the_same_bytes
    a_sound_store_has_a_ledger_without_findings
    the_store_of_an_older_labwire_is_left_alone
    the_queue_is_seen_and_changed_while_the_bridge_holds_the_store
}
