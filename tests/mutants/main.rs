//! Builds that break a promise on purpose, and what has to find each.
//!
//! A mutant is an expression of one file and what takes its place (`mutants.toml`). The tree is copied
//! below the target folder and built once with all of them in it, each asleep until
//! `LABWIRE_MUTANT` names it. Then, one after the other, the test that it names must fail: the
//! simulation with the rule that the mutant names, any other test with the words that it names. While
//! all sleep the same tests must pass. It takes some minutes, so `LABWIRE_MUTANTS=1` asks for it, or a
//! part of a name for some of them; `.ci/run` does.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use labwire_drivers::{Clock as _, SystemClock};

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
/// The packages that mutants are in, or that are built of those.
const OURS: [&str; 4] = [
    "labwire",
    "labwire-drivers",
    "labwire-protocols",
    "labwire-sims",
];

/// Seeds that a broken build gets.
const SEEDS: &str = "120";
/// Seeds that must pass while all mutants are asleep.
const SEEDS_ASLEEP: &str = "8";

/// Names the mutant that is awake.
const AWAKE: &str = "LABWIRE_MUTANT";

/// What a test says where PostgreSQL is not installed; with `LABWIRE_POSTGRES=required` it fails.
const LEFT_OUT: &str = "left out: what PostgreSQL does";

/// A broken build.
struct Mutant {
    name: String,
    file: String,
    find: String,
    replace: String,
    test: String,
    breaks: Breaks,
}

/// How the test has to fail.
enum Breaks {
    /// By a rule of the simulation.
    Rule(String),
    /// With these words; the test is named with its whole path, and nothing else runs.
    Words(String),
}

impl Mutant {
    /// What takes the place of the expression: itself, or the broken one where this mutant is awake.
    fn asleep(&self) -> String {
        let Self {
            name,
            find,
            replace,
            ..
        } = self;
        format!(
            "{{ static AWAKE: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| \
             std::env::var_os({AWAKE:?}).is_some_and(|name| name == {name:?})); \
             if *AWAKE {{ {replace} }} else {{ {find} }} }}"
        )
    }
}

impl Breaks {
    /// What has to stand in what the test says.
    fn shown(&self) -> String {
        match self {
            Self::Rule(rule) => format!("[{rule}]"),
            Self::Words(words) => words.clone(),
        }
    }
}

/// What became of a mutant.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Found,
    /// Its test needs what is not installed here.
    LeftOut,
    Missed,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn mutants() -> Vec<Mutant> {
    let text = fs::read_to_string(root().join("tests/mutants/mutants.toml")).expect("the list");
    let list: toml::Table = text.parse().expect("the list is TOML");
    let mutants = list["mutant"].as_array().expect("mutants");
    let mutants = mutants.iter().map(|one| {
        let may = |key: &str| Some(one.get(key)?.as_str().expect("a text").to_owned());
        let text = |key: &str| may(key).expect("every key is there");
        Mutant {
            name: text("name"),
            file: text("file"),
            find: text("find"),
            replace: text("replace"),
            test: text("test"),
            breaks: match may("rule") {
                Some(rule) => Breaks::Rule(rule),
                None => Breaks::Words(text("words")),
            },
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
        test,
        breaks,
        ..
    } in mutants
    {
        let text = fs::read_to_string(root().join(&file)).expect("a file of the tree");
        assert_eq!(
            text.matches(&find).count(),
            1,
            "{name}: the text to find in {file}"
        );
        let function = format!("fn {}(", test.rsplit("::").next().unwrap_or_default());
        let is_there = holds(&root().join("src"), &function);
        assert!(is_there, "{name}: no such test: {test}");
        let Breaks::Rule(rule) = breaks else { continue };
        let rules = ["account", "checks", "colleague", "conveyor", "run"].map(|part| {
            let path = root().join(format!("src/bridge/simulation/{part}.rs"));
            fs::read_to_string(path).expect("a file of the simulation")
        });
        let is_known = rules
            .iter()
            .any(|text| text.contains(&format!("\"{rule}\"")));
        assert!(is_known, "{name}: no such rule: {rule}");
    }
}

/// Whether a file of Rust in the folder has this text.
fn holds(folder: &Path, text: &str) -> bool {
    let entries = fs::read_dir(folder).expect("a folder of the tree");
    entries
        .map(|entry| entry.expect("an entry").path())
        .any(|path| {
            if path.is_dir() {
                return holds(&path, text);
            }
            let is_rust = path.extension().is_some_and(|ending| ending == "rs");
            is_rust && fs::read_to_string(&path).is_ok_and(|file| file.contains(text))
        })
}

#[test]
fn a_mutant_is_found_by_its_test_and_its_words_alone() {
    let mutant = |breaks| Mutant {
        name: String::new(),
        file: String::new(),
        find: String::new(),
        replace: String::new(),
        test: "a::b".to_owned(),
        breaks,
    };
    let words = mutant(Breaks::Words("on an `Ok` value".to_owned()));
    let failed = "panicked: on an `Ok` value\ntest a::b ... FAILED\n0 passed; 1 failed; 0 ignored";
    assert_eq!(judge(&words, false, failed), Fate::Found);
    let others = [
        "error: it does not build",
        "running 0 tests\n0 passed; 0 failed; 9 filtered out",
        "panicked: the server is not there\n0 passed; 1 failed; 0 ignored",
    ];
    for said in others {
        assert_eq!(judge(&words, false, said), Fate::Missed, "{said}");
    }
    assert_eq!(judge(&words, true, "1 passed; 0 failed"), Fate::Missed);
    let nowhere = "left out: what PostgreSQL does under the store\n1 passed; 0 failed";
    assert_eq!(judge(&words, true, nowhere), Fate::LeftOut);
    let nothing = "left out: what PostgreSQL does under the store\n0 passed; 0 failed";
    assert_eq!(judge(&words, true, nothing), Fate::Missed);
    let rule = mutant(Breaks::Rule("a rule".to_owned()));
    assert_eq!(judge(&rule, false, "[a rule] 1 failed"), Fate::Found);
    assert_eq!(judge(&rule, false, "a rule, 1 failed"), Fate::Missed);
}

#[test]
fn every_mutant_is_found() {
    let Ok(wanted) = std::env::var("LABWIRE_MUTANTS") else {
        // Past the captured output, because a test that passes shows none.
        let said = "left out: builds that break a promise on purpose (bash .ci/run builds them)\n";
        drop(io::stderr().write_all(said.as_bytes()));
        return;
    };
    // Below the target folder, and always the same, so that a second run builds little.
    let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    fs::create_dir_all(&tree).expect("the target folder takes the tree");
    let mut mutants = mutants();
    let mut mutated: BTreeMap<PathBuf, String> = BTreeMap::new();
    for mutant in &mutants {
        let file = root().join(&mutant.file);
        let sound = || fs::read_to_string(&file).expect("a file of the tree");
        let text = mutated.entry(file.clone()).or_insert_with(sound);
        *text = text.replace(&mutant.find, &mutant.asleep());
    }
    for part in PARTS {
        let copied = copy(&root().join(part), &tree.join(part), &mutated);
        copied.expect("the target folder takes the tree");
    }
    mutants.retain(|mutant| wanted == "1" || mutant.name.contains(&wanted));
    assert!(!mutants.is_empty(), "no mutant is named so: {wanted}");
    let clock = SystemClock::new();
    let since = |began| clock.mono().since(began).as_secs();
    let tests: BTreeSet<_> = mutants.iter().map(|mutant| &mutant.test).collect();
    for test in tests {
        let began = clock.mono();
        let (has_passed, said) = run(&tree, test, None);
        assert!(
            has_passed && said.contains("1 passed"),
            "{test} fails while all mutants sleep: {said}"
        );
        eprintln!("all asleep: {test} passes ({} s)", since(began));
    }
    for mutant in mutants {
        let began = clock.mono();
        let (has_passed, said) = run(&tree, &mutant.test, Some(&mutant));
        match judge(&mutant, has_passed, &said) {
            Fate::Found => {
                let by = mutant.breaks.shown();
                eprintln!("{}: found by {by} ({} s)", mutant.name, since(began));
            }
            Fate::LeftOut => eprintln!("left out: {} (no PostgreSQL)", mutant.name),
            Fate::Missed => unreachable!("{} was not found: {said}", mutant.name),
        }
    }
}

/// Runs one test while this mutant is awake, or none: whether it passed, and what it said.
fn run(tree: &Path, test: &str, awake: Option<&Mutant>) -> (bool, String) {
    let (name, seeds) = awake.map_or(("", SEEDS_ASLEEP), |mutant| (&mutant.name, SEEDS));
    // A broken promise breaks others with it: the simulation goes on until it has found this one.
    let rule = awake.map_or_else(String::new, |mutant| mutant.breaks.shown());
    let target: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..");
    let mut command = Command::new(env!("CARGO"));
    command.arg("test");
    // The target folder is shared, which spares building all that others wrote. What is ours needs a name
    // of its own there, which it has by a profile of its own: Cargo would take a mutant for the program
    // that has its name, and build no other.
    for package in OURS {
        command.arg("--config");
        command.arg(format!("profile.dev.package.{package}.debug=false"));
    }
    command.args(["--package", "labwire", "--lib", test, "--", "--exact"]);
    // Cargo tells a test of its package; a build of others that looks at these begins anew each time.
    let told = std::env::vars_os().map(|(name, _)| name);
    let is_of_package = |name: &OsString| {
        let name = name.to_str().unwrap_or_default();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    };
    for name in told.filter(is_of_package) {
        command.env_remove(name);
    }
    let output = command
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target)
        .env("LABWIRE_SEEDS", seeds)
        .env("LABWIRE_RULE", rule)
        .env(AWAKE, name)
        .env_remove("LABWIRE_SEED")
        .output()
        .expect("cargo runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("cargo speaks UTF-8");
    (output.status.success(), said)
}

/// What a run says of the mutant: a test that was not run, or failed in another way, found nothing.
fn judge(mutant: &Mutant, has_passed: bool, said: &str) -> Fate {
    let was_run = said.contains("1 failed");
    if !has_passed && was_run && said.contains(&mutant.breaks.shown()) {
        Fate::Found
    } else if has_passed && said.contains(LEFT_OUT) && said.contains("1 passed") {
        Fate::LeftOut
    } else {
        Fate::Missed
    }
}

/// Copies a file or a folder, a file that is `mutated` with its new text, and leaves alone what is the
/// same: its time then stays too.
fn copy(from: &Path, to: &Path, mutated: &BTreeMap<PathBuf, String>) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name), mutated)?;
        }
        return Ok(());
    }
    let text = match mutated.get(from) {
        Some(text) => text.clone().into_bytes(),
        None => fs::read(from)?,
    };
    match fs::read(to) {
        Ok(known) if known == text => Ok(()),
        _ => fs::write(to, text),
    }
}
