//! Mistakes in profile files: all of them told at once, each where it stands.

use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

use super::{line_of, profile};
use crate::{
    config::problem::render,
    profile::{BUILT_IN, Library, load, run_examples},
};

#[test]
fn every_mistake_is_told_with_its_place_and_remedy() {
    let text = r#"
[device]
vendor = "Acme"
protocol = "astm"
confidence = "certain"
colour = "red"

[link]
checksum = "maybe"
frame_text_max = "240"

[text]
charset = "latin-nine-and-a-half"

[specimen]
id = "OBR-3"

[result]
code = ["R.3.4", "R.3.x"]
flags = 7

[qc]
when = ["O.3 begins QC"]

[[ignore]]
event = "nothing"

[answer]
form = "records"
delimiters = "|^^&"
o = { 1 = "x", 5 = "{test}" }

[[test]]
code = "GLU"
test = "GLU"
units = { "mg/dL" = "mmol/L", "g/dL" = "g/L" }

[[test]]
code = "GLU"
test = "GLUCOSE"

[[test]]
code = "NA"

[[example]]
name = "half"
"#;
    let (profile, problems) = load("acme/one", text);
    assert!(profile.is_none());
    insta::assert_snapshot!(render(&problems, false));
}

#[test]
fn a_silence_without_length_or_longer_than_a_day_is_refused() {
    let (_, text) = BUILT_IN
        .iter()
        .find(|(name, _)| *name == "generic/astm")
        .expect("built in");
    let with = |seconds: &str| {
        let link = format!("[link]\nsilent_after_s = {seconds}\n");
        load("acme/beat", &text.replacen("[link]\n", &link, 1))
    };
    for wrong in ["0", "86401"] {
        let (profile, problems) = with(wrong);
        let told = render(&problems, false);
        assert!(profile.is_none(), "{wrong}: {told}");
        assert!(
            told.contains("PROF-0206") && told.contains("1 to 86400"),
            "{wrong}: {told}"
        );
    }
    for right in [1, 30, 86_400] {
        let (profile, problems) = with(&right.to_string());
        let profile = profile.unwrap_or_else(|| panic!("{}", render(&problems, false)));
        let silence = Some(Duration::from_secs(right));
        assert_eq!(profile.link.silent_after(), silence);
    }
    // Who sends no heartbeat may be silent for hours.
    assert_eq!(profile("generic/astm").link.silent_after(), None);
}

#[test]
fn a_file_that_is_no_toml_says_so() {
    let (profile, problems) = load("acme/two", "[device\nprotocol = astm\n");
    assert!(profile.is_none() && problems.has_errors());
}

#[test]
fn a_changed_profile_names_the_example_that_it_breaks() {
    let (name, text) = BUILT_IN
        .iter()
        .find(|(name, _)| *name == "beckman/access2")
        .expect("built in");
    let changed = text.replacen("flags = \"R.7\"", "flags = \"R.8\"", 1);
    let (profile, problems) = load(name, &changed);
    let profile = Arc::new(profile.unwrap_or_else(|| panic!("{}", render(&problems, false))));
    let told = render(&run_examples(&profile), false).replace("\n  | ", " ");
    assert!(told.contains("example `a result, and one beyond the range`: item 1, `flags`: expected [\"N\"], came []"), "{told}");
    assert!(
        told.contains("example `a flagged result, its comment, and one without a value`"),
        "{told}"
    );
    assert!(!told.contains("example `a control`:"), "{told}");
}

#[test]
fn an_example_whose_answer_differs_shows_both_lines() {
    let (name, text) = BUILT_IN
        .iter()
        .find(|(name, _)| *name == "beckman/access2")
        .expect("built in");
    let changed = text.replacen("terminator = \"I\"", "terminator = \"N\"", 1);
    let (profile, _) = load(name, &changed);
    let told = render(&run_examples(&Arc::new(profile.expect("valid"))), false);
    assert!(
        told.contains("- L|1|I<CR>") && told.contains("+ L|1|N<CR>"),
        "{told}"
    );
}

#[test]
fn a_broken_frame_in_an_example_is_seen() {
    let text = r#"
[device]
protocol = "astm"
[specimen]
id = "O.3"
[result]
code = "R.3.4"
value = "R.4"
[[example]]
name = "wrong checksum"
wire = '<ENQ><STX>1H|\^&<CR><ETX>00<CR><LF><EOT>'
expect = []
"#;
    let told = render(&run_examples(line_of(text).profile()), false);
    assert!(told.contains("0 items expected, 1 came out"), "{told}");
    assert!(told.contains("checksum is 00, its bytes give E5"), "{told}");
}

#[test]
fn a_site_file_wins_over_the_built_in_one_and_a_broken_one_hides_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_, text) = BUILT_IN
        .iter()
        .find(|(name, _)| *name == "sysmex/xn")
        .expect("built in");
    fs::create_dir(folder.path().join("sysmex")).expect("created");
    fs::create_dir(folder.path().join("acme")).expect("created");
    let own = text.replacen("vendor = \"Sysmex\"", "vendor = \"Ours\"", 1);
    fs::write(folder.path().join("sysmex/xn.toml"), own).expect("written");
    fs::write(folder.path().join("acme/one.toml"), text).expect("written");
    fs::write(folder.path().join("acme/notes.txt"), "not a profile").expect("written");
    let (library, problems) = Library::load(Some(folder.path()));
    assert!(problems.is_empty(), "{}", render(&problems, false));
    let vendor = |name| {
        library
            .get(name)
            .map(|profile| profile.device.vendor.clone())
    };
    assert_eq!(vendor("sysmex/xn").as_deref(), Some("Ours"));
    assert_eq!(vendor("acme/one").as_deref(), Some("Sysmex"));
    assert_eq!(library.names().len(), BUILT_IN.len() + 1);

    fs::write(folder.path().join("sysmex/xn.toml"), "[device]\n").expect("written");
    let (library, problems) = Library::load(Some(folder.path()));
    assert!(problems.has_errors() && library.get("sysmex/xn").is_none());
}

#[test]
fn a_missing_site_folder_is_told() {
    let (_, problems) = Library::load(Some(std::path::Path::new("/nonexistent/profiles")));
    assert!(problems.has_errors());
}

#[test]
fn every_built_in_profile_says_where_it_comes_from() {
    for (name, _) in BUILT_IN {
        let device = profile(name).device.clone();
        assert!(
            !device.vendor.is_empty() && !device.source.is_empty(),
            "{name}"
        );
        assert!(
            !device.confidence.is_empty() && !device.models.is_empty(),
            "{name}"
        );
        assert!(profile(name).examples.len() >= 2, "{name}");
    }
}

/// What a profile declares, key by key; not whose it is, how it is connected, its tests and examples.
fn facts(text: &str) -> BTreeSet<String> {
    fn walk(place: &str, value: &toml::Value, found: &mut BTreeSet<String>) {
        match value.as_table() {
            Some(table) => table
                .iter()
                .for_each(|(key, value)| walk(&format!("{place}.{key}"), value, found)),
            None => {
                found.insert(format!("{place} = {value}"));
            }
        }
    }
    let mut table: toml::Table = text.parse().expect("a profile is TOML");
    for other in ["device", "transport", "test", "example"] {
        table.remove(other);
    }
    let mut found = BTreeSet::new();
    walk("", &toml::Value::Table(table), &mut found);
    found
}

#[test]
fn every_profile_declares_three_things_that_the_generic_ones_do_not() {
    let text = |wanted: &str| BUILT_IN.iter().find(|(name, _)| *name == wanted);
    let generic: BTreeSet<String> = ["generic/astm", "generic/hl7", "generic/law"]
        .into_iter()
        .flat_map(|name| facts(text(name).expect("built in").1))
        .collect();
    for (name, text) in BUILT_IN
        .iter()
        .filter(|(name, _)| !name.starts_with("generic/"))
    {
        let own = facts(text);
        let own: Vec<_> = own.difference(&generic).collect();
        assert!(own.len() >= 3, "{name}: {own:?}");
    }
}
