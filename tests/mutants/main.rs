//! Builds that break a promise on purpose, and the simulation that has to find each.
//!
//! A mutant is a text of one file and what takes its place (`mutants.toml`). The tree is copied below
//! the target folder, one mutant at a time is applied, and the test that it names must fail with the
//! rule that it names. It takes some minutes, so `LABWIRE_MUTANTS=1` asks for it; `.ci/run` does.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

/// What is copied: everything that a build needs.
const PARTS: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "clippy.toml",
    "config",
    "drivers",
    "firmware-sims",
    "protocols",
    "src",
    "tests",
    "rustfmt.toml",
];
/// Seeds that a broken build gets.
const SEEDS: &str = "120";

/// A broken build.
struct Mutant {
    name: String,
    file: String,
    find: String,
    replace: String,
    test: String,
    rule: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn mutants() -> Vec<Mutant> {
    let text = fs::read_to_string(root().join("tests/mutants/mutants.toml")).expect("the list");
    let list: toml::Table = text.parse().expect("the list is TOML");
    let mutants = list["mutant"].as_array().expect("mutants");
    let mutants = mutants.iter().map(|one| {
        let text = |key: &str| one[key].as_str().expect("a text").to_owned();
        Mutant {
            name: text("name"),
            file: text("file"),
            find: text("find"),
            replace: text("replace"),
            test: text("test"),
            rule: text("rule"),
        }
    });
    mutants.collect()
}

#[test]
fn every_mutant_fits_the_tree() {
    let mutants = mutants();
    assert!(mutants.len() >= 3);
    for Mutant {
        name,
        file,
        find,
        rule,
        ..
    } in mutants
    {
        let text = fs::read_to_string(root().join(&file)).expect("a file of the tree");
        assert_eq!(
            text.matches(&find).count(),
            1,
            "{name}: the text to find in {file}"
        );
        let rules = ["account", "checks", "colleague", "run"].map(|part| {
            let path = root().join(format!("src/bridge/simulation/{part}.rs"));
            fs::read_to_string(path).expect("a file of the simulation")
        });
        let is_known = rules
            .iter()
            .any(|text| text.contains(&format!("\"{rule}\"")));
        assert!(is_known, "{name}: no such rule: {rule}");
    }
}

#[test]
fn every_mutant_is_found_by_the_simulation() {
    if std::env::var_os("LABWIRE_MUTANTS").is_none() {
        // Past the captured output, because a test that passes shows none.
        let said = "left out: builds that break a promise on purpose (bash .ci/run builds them)\n";
        drop(io::stderr().write_all(said.as_bytes()));
        return;
    }
    // Below the target folder, and always the same, so that a second run builds little.
    let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    fs::create_dir_all(&tree).expect("the target folder takes the tree");
    for part in PARTS {
        copy(&root().join(part), &tree.join(part)).expect("the target folder takes the tree");
    }
    for mutant in mutants() {
        let file = tree.join(&mutant.file);
        let sound = fs::read_to_string(&file).expect("it was copied");
        fs::write(&file, sound.replace(&mutant.find, &mutant.replace)).expect("it is ours");
        let (is_found, said) = run(&tree, &mutant);
        fs::write(&file, sound).expect("it is ours");
        assert!(is_found, "{} was not found: {said}", mutant.name);
        eprintln!("{}: found by [{}]", mutant.name, mutant.rule);
    }
}

/// Runs the mutant's test; whether it failed by the mutant's rule, and what it said.
fn run(tree: &Path, mutant: &Mutant) -> (bool, String) {
    let target: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..");
    let output = Command::new(env!("CARGO"))
        .args(["test", "--package", "labwire", "--lib", &mutant.test])
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target)
        .env("LABWIRE_SEEDS", SEEDS)
        .env_remove("LABWIRE_SEED")
        .output()
        .expect("cargo runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("cargo speaks UTF-8");
    let was_run = said.contains("1 failed");
    let has_rule = said.contains(&format!("[{}]", mutant.rule));
    (!output.status.success() && was_run && has_rule, said)
}

/// Copies a file or a folder, and leaves alone what is the same: its time then stays too.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
        return Ok(());
    }
    let text = fs::read(from)?;
    match fs::read(to) {
        Ok(known) if known == text => Ok(()),
        _ => fs::write(to, text),
    }
}
