use std::collections::HashMap;

use super::*;
use crate::{
    config::choice::{
        AckMode, Durability, Extras, HostKind, Release, Reply, Unmapped, Unordered, Version,
    },
    text::Language,
};

const CATALOGUE: &str = r#"
[[test]]
id = "RETP"
section = "haematology"
unit = "%"
[[test]]
id = "ABO"
section = "bank"
class = "transfusion"
"#;

/// Loads a `lab.toml` from memory, with the catalogue above beside it.
fn read(text: &str) -> (Option<Loaded>, Problems) {
    let files = HashMap::from([("site/lab.toml", text), ("site/catalogue.toml", CATALOGUE)]);
    let seams = Seams {
        read: &|path| {
            let text = files.get(path.to_str().unwrap_or_default());
            text.map(|text| (*text).to_owned())
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        },
        profiles: Some(vec!["sysmex/xn".to_owned(), "generic/astm".to_owned()]),
        ..Seams::default()
    };
    load(Path::new("site/lab.toml"), &seams)
}

fn check(text: &str, expected: &[&str]) {
    let (_, problems) = read(text);
    let codes: Vec<&str> = problems
        .sorted()
        .iter()
        .map(|problem| problem.code)
        .collect();
    assert_eq!(codes, expected, "{text}\n{}", render(&problems, false));
}

const HOST: &str = "[[host]]\nid = \"his\"\nresults = \"mllp://127.0.0.1:2576\"\n";
const INSTRUMENT: &str = "[[instrument]]\nid = \"xn-1\"\nprofile = \"sysmex/xn\"\n\
                          port = \"tcp-listen://127.0.0.1:5001\"\n";

#[test]
fn a_config_with_five_mistakes_shows_five() {
    let (_, problems) = read(
        r#"[lab]
name = "Khoa Xét nghiệm"
catalogue = "catalogue.toml"
timezone = "Asia/Ho_Chi_Min"

[[host]]
id = "his"
results = "mllp://127.0.0.1:2576"
release = "automatic"

[[instrument]]
id = "xn-1"
profile = "sysmex/xm"
port = "tcp-listen://127.0.0.1:5001"
secton = "haematology"
tests = { "RET%" = "RETQ" }
"#,
    );
    assert_eq!(problems.iter().count(), 5);
    insta::assert_snapshot!(render(&problems, false));
}

#[test]
fn every_key_has_its_default() {
    let (loaded, problems) = read(&format!("{HOST}{INSTRUMENT}"));
    assert!(problems.is_empty(), "{}", render(&problems, false));
    let loaded = loaded.expect("it was read");
    let lab = &loaded.lab.lab;
    assert_eq!(
        (lab.name.as_str(), lab.specimen_days, lab.language),
        ("", 14, Language::Vi)
    );
    assert_eq!(*lab.timezone, "Asia/Ho_Chi_Minh");
    assert!(lab.catalogue.is_none() && lab.profiles.is_none() && loaded.catalogue.is_empty());
    assert_eq!(*loaded.lab.store.url, "sqlite:labwire.db");
    assert_eq!(*loaded.lab.console.listen, "127.0.0.1:8080");
    assert_eq!(*loaded.lab.console.call_within_min, 30);
    let alerts = &loaded.lab.alerts;
    assert!(alerts.email.is_none() && alerts.webhook.is_none());
    assert_eq!((*alerts.quiet_factor, *alerts.disk_percent), (2, 90));
    let host = loaded.lab.host("his").expect("written");
    assert_eq!((host.kind, host.version), (HostKind::Mllp, Version::V251));
    assert_eq!(
        (*host.release, *host.unordered),
        (Release::Auto, Unordered::Hold)
    );
    assert_eq!(
        (host.extras, host.reply, host.ack),
        (Extras::Keep, Reply::Orl, AckMode::Original)
    );
    assert_eq!(
        (host.permanent.as_ref(), host.charset.as_str()),
        (None, "UTF-8")
    );
    assert_eq!(host.barcode_path().to_string(), "SPM-2.1");
    assert_eq!(
        (host.connections, host.reply_timeout_s, host.poll_s),
        (1, 30, 5)
    );
    assert_eq!(
        (
            host.retry_first_s,
            host.retry_longest_s,
            host.refusals_shown
        ),
        (1, 30, 10)
    );
    assert_eq!(
        (
            host.sending_application.as_str(),
            host.sending_facility.as_str()
        ),
        ("LABWIRE", "")
    );
    assert_eq!(
        (
            host.receiving_application.as_str(),
            host.receiving_facility.as_str()
        ),
        ("", "")
    );
    let xn = loaded.lab.instrument("xn-1").expect("written");
    assert_eq!(
        (xn.durability, *xn.unmapped),
        (Durability::Frame, Unmapped::Hold)
    );
    assert_eq!((xn.section.as_str(), xn.ma_may.as_str()), ("", ""));
    assert!(xn.charset.is_none() && xn.timezone.is_none() && xn.tests.is_empty());
}

#[test]
fn the_whole_shape_of_the_contract_is_read() {
    let (loaded, problems) = read(
        r#"
[lab]
name = "Khoa Xét nghiệm"
catalogue = "catalogue.toml"
profiles = "profiles"
specimen_days = 30
timezone = "Asia/Bangkok"
language = "en"
[store]
url = "sqlite:/var/lib/labwire/labwire.db"
[console]
listen = "127.0.0.1:8443"
[[host]]
id = "his"
orders  = "mllp-listen://127.0.0.1:2575"
results = "mllp://127.0.0.1:2576"
version = "2.3.1"
barcode = "OBR-20"
release = "review"
unordered = "post"
extras = "post"
reply = "ack"
ack = "enhanced"
permanent = ["AR", "204"]
connections = 4
charset = "windows-1258"
[[host]]
id = "web"
kind = "http"
orders = "http://his.local/orders"
results = "http://his.local/results"
[[instrument]]
id = "xn-1"
profile = "sysmex/xn"
port = "serial:///dev/ttyUSB0?baud=9600&bits=8&parity=none&stop=1"
section = "haematology"
durability = "message"
charset = "iso-8859-1"
ma_may = "HH.1.01234"
unmapped = "hold"
timezone = "UTC"
tests = { "RET%" = "RETP", "X" = "RETP" }
"#,
    );
    assert!(problems.is_empty(), "{}", render(&problems, false));
    let loaded = loaded.expect("it was read");
    let host = loaded.lab.host("his").expect("written");
    assert_eq!(host.barcode_path().to_string(), "OBR-20");
    assert_eq!(
        host.permanent.as_deref(),
        Some(&["AR".to_owned(), "204".to_owned()][..])
    );
    let xn = loaded.lab.instrument("xn-1").expect("written");
    assert_eq!(xn.test_for("RET%"), Some("RETP"));
    assert_eq!(xn.test_for("RET"), None);
    assert_eq!(loaded.lab.timezone_of(xn).iana_name(), Some("UTC"));
    assert_eq!(loaded.lab.lab.zone().iana_name(), Some("Asia/Bangkok"));
    assert_eq!(loaded.profiles(), Some(PathBuf::from("site/profiles")));
}

#[test]
fn every_word_that_is_no_value_is_told_with_the_values() {
    let check = |table: &str, key: &str, remedy: &str| {
        let text = match table {
            "lab" => format!("[lab]\n{key} = \"autoo\"\n"),
            "host" => format!("{HOST}{key} = \"autoo\"\n"),
            _ => format!("{INSTRUMENT}{key} = \"autoo\"\n"),
        };
        let (_, problems) = read(&text);
        let problem = problems.iter().next().expect("one problem");
        assert_eq!(problem.code, "CONF-0105", "{key}");
        let span = problem.span.clone().expect("underlined");
        assert_eq!(text.get(span), Some("\"autoo\""), "{key}");
        assert!(problem.help.contains(remedy), "{key}: {}", problem.help);
    };
    check("lab", "language", "`vi` or `en`");
    check("host", "kind", "`mllp` or `http`");
    check("host", "version", "`2.3.1`, `2.4`, `2.5.1` or `2.6`");
    check(
        "host",
        "release",
        "did you mean `auto`? `release` is `auto` or `review`",
    );
    check("host", "unordered", "`hold` or `post`");
    check("host", "extras", "`keep` or `post`");
    check("host", "reply", "`orl` or `ack`");
    check("host", "ack", "`original` or `enhanced`");
    check("instrument", "durability", "`frame` or `message`");
    check("instrument", "unmapped", "`hold` or `pass`");
}

#[test]
fn a_time_for_calls_that_is_none_is_told() {
    check("[console]\ncall_within_min = 0", &["CONF-0106"]);
    check("[console]\ncall_within_min = \"30m\"", &["CONF-0102"]);
    check("[console]\ncall_within_min = 60", &[]);
}

#[test]
fn limits_and_receivers_of_alerts_are_checked() {
    check("[alerts]\nqueue_depth = 0", &["CONF-0106"]);
    check(
        "[alerts]\nwebhook = \"https://127.0.0.1/x\"",
        &["CONF-0245"],
    );
    check("[alerts]\nwebhook = \"nowhere\"", &["CONF-0245"]);
    check("[alerts]\nwebhook = \"http://127.0.0.1:9000/x\"", &[]);
    check(
        "[alerts]\nemail_server = \"127.0.0.1:25\"",
        &["CONF-0103", "CONF-0103"],
    );
    let mail = |server: &str, to: &str| {
        format!(
            "[alerts]\nemail_server = \"{server}\"\nemail_from = \"a@b.example\"\n\
             email_to = [\"{to}\"]"
        )
    };
    check(&mail("127.0.0.1:25", "c@d.example"), &[]);
    check(&mail("127.0.0.1", "c@d.example"), &["CONF-0244"]);
    check(&mail("127.0.0.1:25", "nobody"), &["CONF-0244"]);
}

#[test]
fn a_console_listens_where_it_is_told() {
    check("[console]\nlisten = \"8080\"", &["CONF-0203"]);
    for open in [
        "0.0.0.0:8080",
        "10.0.0.5:8080",
        "[::]:8080",
        "lab.example:80",
    ] {
        check(&format!("[console]\nlisten = \"{open}\""), &[]);
    }
    let own = "certificate = \"a.pem\"";
    check(&format!("[console]\n{own}"), &["CONF-0222"]);
    check(&format!("[console]\n{own}\nkey = \"a.key\""), &[]);
}

#[test]
fn what_guards_a_port_is_whole_and_guards_something() {
    let port = |port: &str, more: &str| {
        format!(
            "[[instrument]]\nid = \"xn-1\"\nprofile = \"sysmex/xn\"\nport = \"{port}\"\n{more}\n"
        )
    };
    let own = "certificate = \"a.pem\"\nkey = \"a.key\"\n";
    let (listens, dials) = ("tls-listen://0.0.0.0:5001", "tls://10.0.0.7:5001");
    check(&port(listens, own), &[]);
    check(
        &port(
            listens,
            &format!("{own}client_ca = \"ca.pem\"\nallow = [\"10.0.0.0/8\", \"::1\"]"),
        ),
        &[],
    );
    check(
        &port(dials, "ca = \"ca.pem\"\nserver_name = \"xn.lab\""),
        &[],
    );
    check(&port(dials, own), &[]);
    check(&port(listens, ""), &["CONF-0223"]);
    check(
        &port(listens, "key = \"a.key\""),
        &["CONF-0223", "CONF-0222"],
    );
    check(
        &port(listens, &format!("{own}ca = \"ca.pem\"")),
        &["CONF-0224"],
    );
    check(&port(dials, "client_ca = \"ca.pem\""), &["CONF-0224"]);
    check(&port(dials, "allow = [\"10.0.0.7\"]"), &["CONF-0224"]);
    check(
        &port("tcp-listen://0.0.0.0:5001", own),
        &["CONF-0224", "CONF-0224"],
    );
    check(
        &port("tcp-listen://0.0.0.0:5001", "allow = \"10.0.0.0/8\""),
        &[],
    );
    check(
        &port(
            "tcp-listen://0.0.0.0:5001",
            "allow = [\"10.0.0.0/40\", \"lab\"]",
        ),
        &["CONF-0225", "CONF-0225"],
    );
    let host = "[[host]]\nid = \"his\"\nkind = \"http\"\nresults = \"https://his.lab/results\"\n";
    check(&format!("{host}ca = \"ca.pem\""), &[]);
    check(&host.replace("https", "http"), &[]);
    let plain = host.replace("https", "http");
    check(&format!("{plain}ca = \"ca.pem\""), &["CONF-0224"]);
}

#[test]
fn each_mistake_of_a_lab_file_is_told() {
    let host = |more: &str| format!("{HOST}{more}\n");
    let instrument = |more: &str| format!("{INSTRUMENT}{more}\n");
    check("", &[]);
    check("[lab]\nname = 5", &["CONF-0102"]);
    check("lab = 5", &["CONF-0102"]);
    check("[host]\nid = \"his\"", &["CONF-0102"]);
    check("[lab]\nspecimen_days = 0", &["CONF-0106"]);
    check("[lab]\nspecimen_days = -1", &["CONF-0106"]);
    check("[lab]\nspecimen_days = \"14\"", &["CONF-0102"]);
    check("[lab]\ncatalogue = \"none.toml\"", &["CONF-0001"]);
    check("[laboratory]\nname = \"x\"", &["CONF-0107"]);
    check("[store]\nurl = \"mysql://x\"", &["CONF-0211"]);
    for closed in ["127.0.0.1:8080", "[::1]:8080", "localhost:8080"] {
        check(&format!("[console]\nlisten = \"{closed}\""), &[]);
    }
    check("[[host]]\nid = \"his\"", &["CONF-0103"]);
    check("[[host]]\nresults = \"mllp://a:1\"", &["CONF-0103"]);
    check(
        "[[host]]\nid = \"a b\"\nresults = \"mllp://a:1\"",
        &["CONF-0108"],
    );
    check(
        "[[host]]\nid = \"\"\nresults = \"mllp://a:1\"",
        &["CONF-0104"],
    );
    check(
        "[[host]]\nid = \"a\"\nresults = \"http://a\"",
        &["CONF-0203"],
    );
    check(
        "[[host]]\nid = \"a\"\nresults = \"tcp://a:1\"",
        &["CONF-0203"],
    );
    check(
        "[[host]]\nid = \"a\"\nkind = \"http\"\nresults = \"mllp://a:1\"",
        &["CONF-0203"],
    );
    check(&host("version = \"2.4\""), &["CONF-0209"]);
    check(&host("version = \"2.4\"\nbarcode = \"OBR-3.1\""), &[]);
    check(&host("barcode = \"OBR.3\""), &["CONF-0108"]);
    check(&host("barcode = \"OBR-0\""), &["CONF-0108"]);
    check(&host("permanent = [\"AA\", \"204\"]"), &["CONF-0108"]);
    check(&host("charset = \"klingon\""), &["CONF-0213"]);
    check(&host("connections = 0"), &["CONF-0106"]);
    check(&host("retry_first_s = 90"), &["CONF-0106"]);
    check(&(host("") + &host("")), &["CONF-0201"]);
    check(
        &(host("") + &instrument("").replace("xn-1", "his")),
        &["CONF-0201"],
    );
    check(
        &instrument("section = 1\nprot = 2"),
        &["CONF-0102", "CONF-0107"],
    );
    check(&instrument("tests = \"RET\""), &["CONF-0102"]);
    check(&instrument("tests = { \"RET\" = \"\" }"), &["CONF-0206"]);
    check(&instrument("timezone = \"Hanoi\""), &["CONF-0205"]);
    check(&INSTRUMENT.replace("tcp-listen", "udp"), &["CONF-0203"]);
    check(
        &INSTRUMENT.replace("sysmex/xn", "sysmex/xs"),
        &["CONF-0204"],
    );
    check("[[instrument]]\nid = \"a\"", &["CONF-0103", "CONF-0103"]);
}

/// What `run` does not have, `check` does not let through.
#[test]
fn what_the_start_would_refuse_is_told() {
    for url in ["postgres:", "mysql://me@db/x", "sqlite:", "sqlite::memory:"] {
        check(&format!("[store]\nurl = \"{url}\""), &["CONF-0211"]);
    }
    for url in [
        "postgres://me:secret@db/x",
        "postgres://me@db/x?password=secret",
    ] {
        let told = ["CONF-0212", "CONF-0229"];
        check(&format!("[store]\nurl = \"{url}\""), &told);
    }
    let proven = "?sslmode=verify-full&sslrootcert=/etc/db.pem";
    for (url, is_told) in [
        ("postgresql://me@db/x".to_owned(), true),
        (
            "postgres://me@10.0.0.3:5433/x?sslmode=require".to_owned(),
            true,
        ),
        (format!("postgres://me@db/x{proven}"), false),
        ("postgres://me@localhost/x".to_owned(), false),
        ("postgres://me@127.0.0.1:5433/x".to_owned(), false),
        ("postgres:///x?host=/run/postgresql".to_owned(), false),
        ("postgres://me@localhost/x?host=db".to_owned(), true),
    ] {
        let told: &[&str] = if is_told { &["CONF-0229"] } else { &[] };
        check(&format!("[store]\nurl = \"{url}\""), told);
    }
    let https = "[[host]]\nid = \"a\"\nkind = \"http\"\n";
    let with_password = format!("{https}results = \"https://me:secret@a/x\"");
    check(&with_password, &["CONF-0247"]);
    let webhook = "[alerts]\nwebhook = \"http://me:secret@a/x\"";
    check(webhook, &["CONF-0247"]);
    check(&format!("{https}results = \"https:///x\""), &["CONF-0203"]);
    check(
        &format!("{https}orders = \"ftp://a/x\"\nresults = \"https://a/x\""),
        &["CONF-0203"],
    );
}

#[test]
fn what_two_open_at_one_address_is_told() {
    let second = INSTRUMENT.replace("xn-1", "xn-2");
    check(&format!("{INSTRUMENT}{second}"), &["CONF-0202"]);
    check(
        &format!("{INSTRUMENT}{}", second.replace("127.0.0.1", "0.0.0.0")),
        &["CONF-0202"],
    );
    check(
        &format!("{INSTRUMENT}{}", second.replace("5001", "5002")),
        &[],
    );
    check(
        &format!("{INSTRUMENT}{}", second.replace("tcp-listen", "tcp")),
        &[],
    );
    check(&INSTRUMENT.replace("5001", "8080"), &["CONF-0202"]);
    let serial = |id: &str| {
        let port = "serial:///dev/ttyS0?baud=9600";
        INSTRUMENT
            .replace("xn-1", id)
            .replace("tcp-listen://127.0.0.1:5001", port)
    };
    check(&format!("{}{}", serial("a"), serial("b")), &["CONF-0202"]);
    let orders = format!("{HOST}orders = \"mllp-listen://127.0.0.1:5001\"\n");
    check(&format!("{orders}{INSTRUMENT}"), &["CONF-0202"]);
    // A device's second line is a port as any other.
    let apart = |port: &str| format!("{INSTRUMENT}orders_port = \"{port}\"\n");
    check(&apart("tcp-listen://127.0.0.1:5001"), &["CONF-0202"]);
    check(&apart("carrier pigeon"), &["CONF-0203"]);
    check(&apart("tcp-listen://127.0.0.1:5002"), &[]);
}

#[test]
fn what_the_catalogue_does_not_have_is_told() {
    let with = |more: &str| format!("[lab]\ncatalogue = \"catalogue.toml\"\n{INSTRUMENT}{more}\n");
    check(
        &with("tests = { \"a\" = \"RETP\", \"b\" = \"RETPP\" }"),
        &["CONF-0206"],
    );
    check(&with("section = \"hematology\""), &["CONF-0214"]);
    check(&with("section = \"haematology\""), &[]);
    // A unit that the device does not send is the catalogue's, of a code that the site maps.
    let units = |unit: &str| with(&format!("tests = {{ a = \"RETP\" }}\nunits = {{ {unit} }}"));
    check(&units("a = \"%\""), &[]);
    check(&units("a = \"10*9/L\""), &["CONF-0220"]);
    check(&units("a = \"furlong\""), &["CONF-0220"]);
    check(&units("b = \"%\""), &["CONF-0220"]);
    // Without a catalogue, `tests` alone says which tests there are.
    check(&format!("{INSTRUMENT}tests = {{ \"b\" = \"ANY\" }}"), &[]);
}

#[test]
fn passing_unmapped_codes_is_refused_for_transfusion_and_warned_of_with_auto() {
    let with = |more: &str| {
        format!("[lab]\ncatalogue = \"catalogue.toml\"\n{INSTRUMENT}unmapped = \"pass\"\n{more}\n")
    };
    check(&with(""), &[]);
    check(&with("section = \"haematology\""), &[]);
    check(&with("section = \"bank\""), &["CONF-0207"]);
    check(&with("tests = { \"x\" = \"ABO\" }"), &["CONF-0207"]);
    check(
        &format!("{INSTRUMENT}unmapped = \"pass\"\nsection = \"transfusion\""),
        &["CONF-0207"],
    );
    for section in ["Blood Bank", "blood-transfusion", "immunohaematology"] {
        let text = format!("{INSTRUMENT}unmapped = \"pass\"\nsection = \"{section}\"");
        check(&text, &["CONF-0207"]);
    }
    check(&with(HOST), &["CONF-0208"]);
    check(&with(&format!("{HOST}release = \"review\"")), &[]);
}

#[test]
fn passing_unmapped_codes_is_refused_where_the_profile_measures_for_transfusion() {
    let (loaded, _) = read(&format!(
        "[lab]\ncatalogue = \"catalogue.toml\"\n{INSTRUMENT}unmapped = \"pass\"\n"
    ));
    let loaded = loaded.expect("it was read");
    let check = |test: &str, expected: usize| {
        let problems = check_profile_tests(&loaded, &|_| vec![test.to_owned()]);
        assert_eq!(problems.iter().count(), expected, "{test}");
    };
    check("ABO", 1);
    check("RETP", 0);
}

#[test]
fn two_hosts_that_take_unordered_results_are_warned_of() {
    let second = HOST.replace("\"his\"", "\"lis\"");
    check(&format!("{HOST}{second}"), &[]);
    check(
        &format!("{HOST}unordered = \"post\"\n{second}unordered = \"post\""),
        &["CONF-0210"],
    );
    let text = format!("{HOST}unordered = \"post\"\n{second}unordered = \"post\"");
    let told = render(&read(&text).1, false);
    assert!(told.contains("posted to neither"), "{told}");
}

#[test]
fn a_host_that_orders_and_takes_no_results_is_warned_of() {
    let orders = "orders = \"mllp-listen://127.0.0.1:2575\"";
    check(&format!("[[host]]\nid = \"his\"\n{orders}"), &["CONF-0215"]);
    check(&format!("{HOST}{orders}"), &[]);
    check(HOST, &[]);
}

#[test]
fn broken_toml_is_told_with_what_else_is_wrong() {
    let (loaded, problems) = read("[lab]\nname = Khoa\nspecimen_days = 0\n[[host]\nid = \"his\"\n");
    assert!(loaded.is_some());
    let codes: Vec<&str> = problems
        .sorted()
        .iter()
        .map(|problem| problem.code)
        .collect();
    assert!(
        codes.contains(&"CONF-0101") && codes.contains(&"CONF-0106"),
        "{codes:?}"
    );
    assert!(!codes.contains(&"CONF-0103"), "{codes:?}");
}

#[test]
fn a_file_that_is_not_there_is_one_problem() {
    let (loaded, problems) = load(Path::new("no/such/lab.toml"), &Seams::default());
    assert!(loaded.is_none());
    let text = render(&problems, false);
    assert!(
        text.contains("no/such/lab.toml") && text.ends_with("1 error\n"),
        "{text}"
    );
}

#[test]
fn colour_is_only_there_when_asked_for() {
    let (_, problems) = read("[lab]\nlanguage = \"fr\"");
    assert!(render(&problems, true).contains('\u{1b}'));
    assert!(!render(&problems, false).contains('\u{1b}'));
}

/// The files under `config/`, from wherever the tests run.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name)
}

#[test]
fn the_example_site_loads_without_a_word() {
    let (loaded, problems) = load(&example("example/lab.toml"), &Seams::default());
    assert!(problems.is_empty(), "{}", render(&problems, false));
    let loaded = loaded.expect("it was read");
    assert_eq!(loaded.lab.instruments.len(), 3);
    let bank = loaded.lab.instrument("bank-1").expect("written");
    assert_eq!(bank.test_for("RH"), Some("RHD"));
}

#[test]
fn the_example_catalogue_orders_a_blood_count_as_its_tests() {
    let (loaded, _) = load(&example("example/lab.toml"), &Seams::default());
    let catalogue = loaded.expect("it was read").catalogue;
    let tests: Vec<&str> = catalogue
        .expand("his", "CTM")
        .iter()
        .map(|t| t.id.as_str())
        .collect();
    assert_eq!(tests.len(), 20, "{tests:?}");
    for test in catalogue.tests() {
        assert!(
            !test.name.vi.is_empty() && !test.name.en.is_empty(),
            "{}",
            test.id
        );
        assert!(
            !test.specimen.is_empty() && !test.section.is_empty(),
            "{}",
            test.id
        );
        let is_transfusion = test.section == "transfusion";
        assert_eq!(
            test.class == choice::Class::Transfusion,
            is_transfusion,
            "{}",
            test.id
        );
    }
    assert_eq!(catalogue.panels_of("NEUTP").count(), 2);
}

#[test]
fn what_is_missing_or_broken_is_shown_where_it_should_stand() {
    let (_, problems) =
        read("[lab]\nname = Khoa Xét nghiệm\n\n[[instrument]]\nid = \"xn-1\"\nid = \"xn-2\"\n");
    let broken = render(&problems, false);
    let (_, problems) =
        read("[[instrument]]\nid = \"xn-1\"\n\n[[host]]\nresults = \"tcp://a:1\"\n");
    insta::assert_snapshot!(format!("{broken}\n{}", render(&problems, false)));
}

proptest::proptest! {
    #[test]
    fn no_damage_to_a_file_breaks_the_reading_or_the_rendering(
        from in 0_usize..1400, cut in 0_usize..60, put in "[\\[\\]{}\"'=,.#é\n -]{0,4}",
    ) {
        let whole = fs::read_to_string(example("example/lab.toml")).expect("it is there");
        let chars: Vec<char> = whole.chars().filter(|c| *c != '\r').collect();
        let head: String = chars.iter().take(from * 2).collect();
        let tail: String = chars.iter().skip(from * 2 + cut).collect();
        let (_, problems) = read(&format!("{head}{put}{tail}"));
        let text = render(&problems, false);
        proptest::prop_assert_eq!(text.is_empty(), problems.is_empty());
    }
}
