//! Keeps the tree as `ARCHITECTURE.md` says it is: who may use whom, what a protocol machine must
//! not touch, what stands where. Every check is a function of text, and is shown here to fail.
#![expect(
    clippy::panic,
    reason = "helpers of tests: a panic is how a test fails"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use labwire::profile::BUILT_IN;

/// Our crates by folder, and what each may use.
const EDGES: &[(&str, &str, &[&str])] = &[
    ("protocols", "labwire-protocols", &[]),
    ("drivers", "labwire-drivers", &["labwire-protocols"]),
    ("firmware-sims", "labwire-sims", &["labwire-protocols"]),
    (
        ".",
        "labwire",
        &["labwire-protocols", "labwire-drivers", "labwire-sims"],
    ),
];

/// What the top level may hold besides documents (`*.md`, `LICENSE-*`) and dotfiles.
const TOP_FOLDERS: &[&str] = &[
    "src",
    "drivers",
    "protocols",
    "config",
    "firmware-sims",
    "tests",
];
const TOP_FILES: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "clippy.toml",
    "rustfmt.toml",
    "deny.toml",
];

/// A file this long does two things. Tests count too.
const LINES_MAX: usize = 800;

/// Longer files, each with its reason; one that shrank has to leave this list.
const LONG_FILES: &[(&str, &str)] = &[];

/// What a machine that is a value cannot need.
const NOT_IN_PROTOCOLS: &[&str] = &[
    "std::net",
    "std::fs",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
    "std::env",
    "std::process",
    "tokio",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `folder`, relative to the root, `/` between the parts.
fn files_below(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(relative(&path));
            }
        }
    }
    found.sort();
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder of this project is readable").path())
        .collect()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .expect("only paths below the root are made here")
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

fn rust_files(folder: &str) -> Vec<String> {
    let mut files = files_below(folder);
    files.retain(|file| has_extension(file, "rs"));
    files
}

fn has_extension(file: &str, extension: &str) -> bool {
    Path::new(file)
        .extension()
        .is_some_and(|found| found == extension)
}

/// The files of this project that people write, lock file and captures aside.
fn written_files() -> Vec<String> {
    let mut files: Vec<String> = TOP_FOLDERS
        .iter()
        .flat_map(|folder| files_below(folder))
        .filter(|file| {
            ["rs", "toml", "md", "py", "sh", "sql", "yml", "yaml", "ci"]
                .iter()
                .any(|extension| has_extension(file, extension))
        })
        .filter(|file| !file.contains("__pycache__"))
        .collect();
    for path in entries(root()) {
        if has_extension(&relative(&path), "md") || has_extension(&relative(&path), "toml") {
            files.push(relative(&path));
        }
    }
    if root().join(".ci").is_dir() {
        files.extend(files_below(".ci"));
    }
    files
}

// --- the arrows -----------------------------------------------------------------------------

/// The names of all dependencies of a manifest, of every kind and platform.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
    let mut names = BTreeSet::new();
    let mut tables = vec![&manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    for table in tables {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(listed) = table.get(kind).and_then(toml::Value::as_table) else {
                continue;
            };
            for (name, value) in listed {
                let renamed = value.get("package").and_then(toml::Value::as_str);
                names.insert(renamed.unwrap_or(name).to_owned());
            }
        }
    }
    names
}

/// Our crates that `manifest` uses and `allowed` does not list.
fn forbidden_edges(manifest: &str, allowed: &[&str]) -> Vec<String> {
    dependencies(manifest)
        .into_iter()
        .filter(|name| name.starts_with("labwire") && !allowed.contains(&name.as_str()))
        .collect()
}

#[test]
fn arrows_between_crates_point_down_only() {
    for (folder, name, allowed) in EDGES {
        let manifest = read(&root().join(folder).join("Cargo.toml"));
        let parsed: toml::Table = manifest.parse().expect("a manifest is TOML");
        let package = parsed
            .get("package")
            .and_then(|package| package.get("name"));
        assert_eq!(
            package.and_then(toml::Value::as_str),
            Some(*name),
            "{folder}"
        );
        let wrong = forbidden_edges(&manifest, allowed);
        assert!(wrong.is_empty(), "{name} must not use {wrong:?}");
    }
}

#[test]
fn every_member_of_the_workspace_has_its_arrows_written_down() {
    let manifest: toml::Table = read(&root().join("Cargo.toml"))
        .parse()
        .expect("a manifest is TOML");
    let members: BTreeSet<&str> = manifest["workspace"]["members"]
        .as_array()
        .expect("members are a list")
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    let known: BTreeSet<&str> = EDGES
        .iter()
        .map(|(folder, ..)| *folder)
        .filter(|folder| *folder != ".")
        .collect();
    assert_eq!(members, known);
}

#[test]
fn an_arrow_that_points_up_is_found_in_any_table() {
    let protocols_only = &["labwire-protocols"];
    for wrong in [
        "[dependencies]\nlabwire.workspace = true",
        "[dev-dependencies]\nlabwire-sims = { path = \"../firmware-sims\" }",
        "[build-dependencies]\nlabwire-drivers = \"1\"",
        "[target.'cfg(unix)'.dependencies]\nlabwire-drivers = \"1\"",
        "[dependencies]\ninnocent = { package = \"labwire-drivers\", path = \"../drivers\" }",
    ] {
        assert_eq!(forbidden_edges(wrong, protocols_only).len(), 1, "{wrong}");
    }
    let right = "[dependencies]\nlabwire-protocols.workspace = true\ntokio = \"1\"";
    assert!(forbidden_edges(right, protocols_only).is_empty());
}

/// Simulators serve the demonstration, and the simulation that is a test; the bridge of a hospital must
/// not know them.
#[test]
fn simulators_are_used_by_the_demonstration_alone() {
    let users: Vec<String> = rust_files("src")
        .into_iter()
        .filter(|file| uses(&read(&root().join(file)), "labwire_sims"))
        .filter(|file| {
            !file
                .split('/')
                .any(|part| matches!(part.trim_end_matches(".rs"), "demo" | "simulation"))
        })
        .collect();
    let bridge = read(&root().join("src/bridge/mod.rs"));
    assert!(bridge.contains("#[cfg(test)]\nmod simulation;\n"));
    assert!(users.is_empty(), "labwire_sims is used by {users:?}");
}

// --- what code names ------------------------------------------------------------------------

/// The text without its comments; strings are left alone, for none of ours hides a path.
fn code(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Words and the signs between them, blanks left out.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|character| !is_word(character))
                .unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        if !first.is_whitespace() {
            found.push(token);
        }
        rest = after;
    }
    found
}

/// Every path that the code names, the trees of `use` taken apart: `a::{b, c::d}` is `a::b` and
/// `a::c::d`.
fn paths(text: &str) -> BTreeSet<String> {
    let code = code(text);
    let mut found = BTreeSet::new();
    let mut prefixes: Vec<Vec<&str>> = vec![Vec::new()];
    let mut path: Vec<&str> = Vec::new();
    let mut is_open = false;
    for token in tokens(&code) {
        if token == "use" {
            path = prefixes.last().cloned().unwrap_or_default();
        } else if token == "::" {
            is_open = true;
        } else if token == "{" && is_open {
            prefixes.push(path.clone());
            is_open = false;
        } else if token.starts_with(is_word) && is_open {
            path.push(token);
            is_open = false;
        } else {
            found.insert(path.join("::"));
            if token == "}" && prefixes.len() > 1 {
                prefixes.pop();
            } else if token == "{" {
                // A block: nothing in it continues a path.
                prefixes.push(Vec::new());
            }
            path = prefixes.last().cloned().unwrap_or_default();
            if token.starts_with(is_word) {
                path.push(token);
            }
        }
    }
    found.insert(path.join("::"));
    found
}

fn uses(text: &str, path: &str) -> bool {
    // Most files do not even have the word; taking them apart would cost seconds.
    let word = path.rsplit("::").next().unwrap_or(path);
    if !text.contains(word) {
        return false;
    }
    paths(text)
        .iter()
        .any(|found| found == path || found.starts_with(&format!("{path}::")))
}

#[test]
fn a_protocol_machine_touches_no_socket_file_clock_or_thread() {
    for file in rust_files("protocols/src") {
        let text = read(&root().join(&file));
        for path in NOT_IN_PROTOCOLS {
            assert!(!uses(&text, path), "{file} uses {path}");
        }
    }
    let manifest = read(&root().join("protocols/Cargo.toml"));
    for name in dependencies(&manifest) {
        assert!(
            !name.starts_with("tokio") && name != "mio",
            "protocols uses {name}"
        );
    }
}

#[test]
fn only_one_file_knows_the_hl7_parser_crate() {
    let users: Vec<String> = TOP_FOLDERS
        .iter()
        .flat_map(|folder| rust_files(folder))
        .filter(|file| file != "tests/tidy.rs" && uses(&read(&root().join(file)), "hl7_parser"))
        .collect();
    assert_eq!(users, ["protocols/src/hl7/message.rs"]);
}

#[test]
fn a_forbidden_path_is_found_however_it_is_written() {
    for (text, path) in [
        ("use std::net::TcpStream;", "std::net"),
        ("use std::{fmt, net::TcpStream};", "std::net"),
        (
            "use std::{fmt, time::{Duration, Instant}};",
            "std::time::Instant",
        ),
        ("use std::{\n    fmt,\n    fs,\n};", "std::fs"),
        (
            "fn now() { let x = std::time::SystemTime::now(); }",
            "std::time::SystemTime",
        ),
        (
            "fn f() { match x { A => { std::thread::spawn(g); } } }",
            "std::thread",
        ),
        ("use ::tokio::net;", "tokio"),
        ("use hl7_parser as deep;", "hl7_parser"),
        ("pub(crate) use std::{self, fs as files};", "std::fs"),
    ] {
        assert!(uses(text, path), "{text}: {:?}", paths(text));
    }
    for (text, path) in [
        ("use std::time::Duration;", "std::time::Instant"),
        ("// std::net is not for us", "std::net"),
        ("struct Instant; fn f(at: Instant) {}", "std::time::Instant"),
        ("use std::{fmt, time::Duration}; mod net {}", "std::net"),
        ("use crate::std_net;", "std::net"),
    ] {
        assert!(!uses(text, path), "{text}: {:?}", paths(text));
    }
}

// --- what stands where ----------------------------------------------------------------------

/// Whether an entry may stand at the top; `target` and databases are what `.gitignore` names.
fn may_stand_at_the_top(name: &str, is_folder: bool) -> bool {
    if name.starts_with('.') || (is_folder && name == "target") {
        return true;
    }
    if is_folder {
        return TOP_FOLDERS.contains(&name);
    }
    TOP_FILES.contains(&name)
        || name.starts_with("LICENSE-")
        || [".md", ".db", ".db-wal", ".db-shm"]
            .iter()
            .any(|end| name.ends_with(end))
}

#[test]
fn the_top_level_holds_what_it_is_meant_to() {
    for path in entries(root()) {
        let name = relative(&path);
        assert!(
            may_stand_at_the_top(&name, path.is_dir()),
            "{name} has no place at the top level"
        );
    }
    for folder in TOP_FOLDERS {
        assert!(root().join(folder).is_dir(), "{folder} is missing");
    }
    for (name, is_folder, expected) in [
        ("benches", true, false),
        ("build.rs", false, false),
        ("src", false, false),
        ("README.md", false, true),
        (".ci", true, true),
    ] {
        assert_eq!(may_stand_at_the_top(name, is_folder), expected, "{name}");
    }
}

/// Files over the limit without a reason, and reasons without a file over the limit.
fn wrong_lengths(lines: &BTreeMap<String, usize>, reasons: &[(&str, &str)]) -> Vec<String> {
    let long = lines
        .iter()
        .filter(|(file, lines)| {
            **lines > LINES_MAX && !reasons.iter().any(|(name, _)| name == file)
        })
        .map(|(file, lines)| format!("{file} has {lines} lines"));
    let idle = reasons
        .iter()
        .filter(|(name, _)| lines.get(*name).is_none_or(|lines| *lines <= LINES_MAX))
        .map(|(name, _)| format!("{name} needs no exception"));
    long.chain(idle).collect()
}

#[test]
fn no_file_is_longer_than_it_should_be() {
    let lines = TOP_FOLDERS
        .iter()
        .flat_map(|folder| rust_files(folder))
        .map(|file| {
            let count = read(&root().join(&file)).lines().count();
            (file, count)
        })
        .collect();
    let wrong = wrong_lengths(&lines, LONG_FILES);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_long_file_and_an_idle_exception_are_found() {
    let lines = BTreeMap::from([("a.rs".to_owned(), 801), ("b.rs".to_owned(), 800)]);
    assert_eq!(wrong_lengths(&lines, &[]).len(), 1);
    assert!(wrong_lengths(&lines, &[("a.rs", "why")]).is_empty());
    let idle = [("a.rs", ""), ("b.rs", "")];
    assert_eq!(wrong_lengths(&lines, &idle).len(), 1);
    assert_eq!(
        wrong_lengths(&lines, &[("a.rs", ""), ("gone.rs", "")]).len(),
        1
    );
}

/// Paths of one machine and hosts of registries: they break elsewhere. Put together here, so that
/// this file does not name them itself.
fn machine_words(file: &str, text: &str) -> Vec<String> {
    let shared = concat!("shared", "/");
    let captures = concat!("../shared", "/captures");
    let mut words = vec![concat!("/wo", "rk/"), concat!("/home", "/"), shared];
    words.extend([
        concat!("crates", ".io"),
        concat!("py", "pi.org"),
        concat!("npm", "js"),
    ]);
    // Tests may look for captures that stand beside the project, and must do without them.
    let text = if file.split('/').any(|part| part.starts_with("tests")) {
        text.replace(captures, "")
    } else {
        text.to_owned()
    };
    words.retain(|word| text.contains(*word));
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn nothing_names_one_machine_or_a_registry() {
    for file in written_files() {
        let found = machine_words(&file, &read(&root().join(&file)));
        assert!(found.is_empty(), "{file} names {found:?}");
    }
    let machine = concat!("cd /wo", "rk/main");
    assert_eq!(machine_words("README.md", machine).len(), 1);
    let captures = concat!("\"../shared", "/captures\"");
    assert_eq!(machine_words("src/host/mod.rs", captures).len(), 1);
    assert!(machine_words("src/profile/tests/captures.rs", captures).is_empty());
}

#[test]
fn files_are_found_at_all() {
    assert!(rust_files("protocols/src").len() > 20);
    assert!(written_files().iter().any(|file| file == "README.md"));
    assert!(written_files().iter().any(|file| file == ".ci/run"));
}

// --- lists that must agree with folders -----------------------------------------------------

/// What only one of the two has.
fn differences<'a>(listed: &[&'a str], there: &[&'a str]) -> Vec<&'a str> {
    let listed: BTreeSet<_> = listed.iter().copied().collect();
    let there: BTreeSet<_> = there.iter().copied().collect();
    listed.symmetric_difference(&there).copied().collect()
}

#[test]
fn every_profile_of_the_library_is_built_in_and_no_other() {
    let files = files_below("config/profiles");
    let there: Vec<&str> = files
        .iter()
        .filter_map(|file| {
            file.strip_prefix("config/profiles/")
                .and_then(|file| file.strip_suffix(".toml"))
        })
        .collect();
    let listed: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    assert_eq!(differences(&listed, &there), Vec::<&str>::new());
    assert!(!there.is_empty());
}

/// The files that `migrate.rs` includes, in its order.
fn included_migrations(text: &str) -> Vec<&str> {
    text.split("include_str!(\"migrations/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

/// Whether files are numbered 0001, 0002 … in their order.
fn are_numbered(files: &[&str]) -> bool {
    files
        .iter()
        .zip(1..)
        .all(|(file, number): (_, usize)| file.starts_with(&format!("{number:04}_")))
}

#[test]
fn every_migration_is_listed_in_order() {
    let text = read(&root().join("src/store/migrate.rs"));
    let listed = included_migrations(&text);
    let files = files_below("src/store/migrations");
    let there: Vec<&str> = files
        .iter()
        .filter_map(|file| file.strip_prefix("src/store/migrations/"))
        .collect();
    // Each in both dialects, under the same name.
    let split = |files: &[&str]| -> (Vec<String>, Vec<String>) {
        let own = |file: &&str| (*file).to_owned();
        let postgres = files
            .iter()
            .filter_map(|file| file.strip_prefix("postgres/"));
        let sqlite = files.iter().filter(|file| !file.contains('/'));
        (
            sqlite.map(own).collect(),
            postgres.map(str::to_owned).collect(),
        )
    };
    let (sqlite, postgres) = split(&listed);
    assert_eq!((&sqlite, &postgres), (&split(&there).0, &split(&there).1));
    assert_eq!(sqlite, postgres);
    let names: Vec<&str> = sqlite.iter().map(String::as_str).collect();
    assert!(!names.is_empty() && are_numbered(&names), "{names:?}");
}

#[test]
fn a_list_that_lags_behind_its_folder_is_found() {
    assert_eq!(differences(&["a"], &["a", "b"]), ["b"]);
    assert_eq!(differences(&["a", "c"], &["a"]), ["c"]);
    assert_eq!(
        included_migrations("sqlite: include_str!(\"migrations/0001_a.sql\"),"),
        ["0001_a.sql"]
    );
    assert!(!are_numbered(&["0001_a.sql", "0003_b.sql"]));
    assert!(!are_numbered(&["0002_a.sql", "0001_b.sql"]));
}

/// The tests of a file, and those of them that run on PostgreSQL too.
fn tests_and_on_postgres(text: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let (tests, listed) = text
        .split_once("crate::on_postgres_too! {")
        .unwrap_or((text, ""));
    let functions = tests.split("#[test]\n").skip(1);
    let names = functions.filter_map(|rest| rest.split_once("fn ")?.1.split('(').next());
    let listed = listed.split('}').next().unwrap_or_default();
    (names.collect(), listed.split_whitespace().collect())
}

/// Where every test of a file is one of a rule that holds on every database, below `src`.
const ON_BOTH: &str = "alerts/tests audit/chain/tests bridge/orders/tests bridge/tests downtime/tests \
    host/tests/inbound host/tests/results settle/tests/calls settle/tests/depth \
    settle/tests/leases settle/tests/matching settle/tests/merges settle/tests/orders settle/tests/racks \
    settle/tests/repeats settle/tests/together settle/tests/unordered settle/tests/versions \
    worklist/tests/acts worklist/tests/calls worklist/tests/mapping worklist/tests/undone \
    worklist/tests/worklist";

#[test]
fn every_test_of_a_rule_runs_on_postgres_too() {
    for file in ON_BOTH.split_whitespace() {
        let text = read(&root().join(format!("src/{file}.rs")));
        let (tests, listed) = tests_and_on_postgres(&text);
        assert!(!tests.is_empty(), "{file}");
        assert_eq!(tests, listed, "{file}");
    }
    let lags = "#[test]\nfn a() {}\n#[test]\nfn b() {}\ncrate::on_postgres_too! {\n    a\n}\n";
    let (tests, listed) = tests_and_on_postgres(lags);
    assert_eq!((tests.len(), listed.len()), (2, 1));
}

/// Code and text of every note that a file makes: `Note::new("CODE", "text")`.
fn notes(text: &str) -> Vec<(&str, &str)> {
    text.split("Note::new(")
        .skip(1)
        .filter_map(|rest| {
            let mut strings = rest.split(')').next()?.split('"').skip(1).step_by(2);
            Some((strings.next()?, strings.next()?))
        })
        .collect()
}

/// What `list` lacks of these notes, and the rows of the same prefix that no note has.
fn unexplained(notes: &[(&str, &str)], list: &str, prefix: &str) -> Vec<String> {
    let is_listed = |code: &str, text: &str| list.contains(&format!("| {code} | {text} | "));
    let missing = notes
        .iter()
        .filter(|(code, text)| !is_listed(code, text))
        .map(|(code, text)| format!("{code} ({text}) is not explained"));
    let idle = list
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
        .filter(|word| word.starts_with(prefix) && !notes.iter().any(|(code, _)| code == word))
        .map(|word| format!("{word} is the code of no note"));
    missing.chain(idle).collect()
}

#[test]
fn every_note_of_the_records_is_explained() {
    let text = read(&root().join("protocols/src/astm/record/notes.rs"));
    let notes = notes(&text);
    let list = read(&root().join("protocols/CLAUSES.md"));
    assert_eq!(unexplained(&notes, &list, "ASTM-02"), Vec::<String>::new());
    assert!(notes.len() > 20, "{} notes", notes.len());

    let two = [("ASTM-0201", "one"), ("ASTM-0202", "two")];
    assert_eq!(
        unexplained(&two, "| ASTM-0201 | one | Do. |", "ASTM-02").len(),
        1
    );
    assert_eq!(
        unexplained(
            &two[..1],
            "| ASTM-0201 | one | Do. |\n| ASTM-0203 | x | Do. |",
            "ASTM-02"
        )
        .len(),
        1
    );
}

/// Names of tests in a document: in backticks, of four words or more.
fn named_tests(text: &str) -> Vec<&str> {
    let is_name = |word: &&str| {
        word.matches('_').count() >= 3
            && word
                .chars()
                .all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_')
    };
    text.split('`').skip(1).step_by(2).filter(is_name).collect()
}

/// A guard that was renamed guards nothing that a reader could find.
#[test]
fn every_test_that_a_document_names_exists() {
    let sources: String = TOP_FOLDERS
        .iter()
        .flat_map(|folder| rust_files(folder))
        .map(|file| read(&root().join(file)))
        .collect();
    for document in ["ARCHITECTURE.md", "RELIABILITY.md", "CONTRIBUTING.md"] {
        let text = read(&root().join(document));
        for name in named_tests(&text) {
            assert!(
                sources.contains(&format!("fn {name}(")),
                "{document}: {name}"
            );
        }
    }
    assert_eq!(
        named_tests("`a_b_c_d` and `a_b` in `src/a_b_c_d.rs`"),
        ["a_b_c_d"]
    );
}

/// The first TOML block of a document.
fn toml_block(text: &str) -> &str {
    text.split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap_or_default()
}

/// What a newcomer copies first has to be right.
#[test]
fn the_site_in_the_readme_is_clean_in_fifteen_lines() {
    let readme = read(&root().join("README.md"));
    let site = toml_block(&readme);
    let lines = site.lines().filter(|line| !line.trim().is_empty()).count();
    assert!((10..=15).contains(&lines), "{lines} lines");
    let folder = tempfile::tempdir().expect("a folder of our own");
    fs::write(folder.path().join("lab.toml"), site).expect("lab.toml");
    fs::copy(
        root().join("config/catalogue.toml"),
        folder.path().join("catalogue.toml"),
    )
    .expect("the catalogue");
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_labwire"))
        .args(["check", "--no-ports"])
        .current_dir(folder.path())
        .output()
        .expect("labwire runs");
    let said = String::from_utf8([checked.stdout, checked.stderr].concat()).expect("UTF-8");
    assert!(
        checked.status.success() && !said.contains("warning"),
        "{said}"
    );
}

fn is_unread_snapshot(file: &str) -> bool {
    file.ends_with(".snap.new") || file.ends_with(".pending-snap")
}

#[test]
fn no_snapshot_waits_to_be_read() {
    let unread: Vec<String> = TOP_FOLDERS
        .iter()
        .flat_map(|folder| files_below(folder))
        .filter(|file| is_unread_snapshot(file))
        .collect();
    assert!(unread.is_empty(), "{unread:?}");
    assert!(is_unread_snapshot("src/x/snapshots/a.snap.new"));
    assert!(!is_unread_snapshot("src/x/snapshots/a.snap"));
}

/// What needs more than Rust, and what of it `.ci/run` runs.
const BEYOND_RUST: [(&str, &str); 5] = [
    ("the console in Chromium", "tests/browser/run.sh"),
    ("peers that are not ours", "tests/peers/run.sh"),
    ("licences, sources, advisories", "tests/supply/run.sh"),
    ("the Debian package", "tests/package/run.sh"),
    (
        "messages to hosts, validated by hl7apy",
        "tests/validate/strict.py",
    ),
];

/// On a machine with Rust alone these are left out, which is said; `.ci/run` leaves out none of them.
#[test]
fn what_needs_more_than_rust_is_run_by_ci_and_named_here() {
    let ci = read(&root().join(".ci/run"));
    for (what, script) in BEYOND_RUST {
        assert!(ci.contains(script), ".ci/run does not run {script}");
        assert!(root().join(script).is_file(), "{script} is not there");
        if std::env::var_os("CI").is_none() {
            // Past the test's captured output, because a test that passes shows none.
            let said = format!("left out: {what} (bash .ci/run runs {script})\n");
            drop(std::io::stderr().write_all(said.as_bytes()));
        }
    }
}
