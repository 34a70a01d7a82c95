//! The crash table, fifth part: death in the middle of writing a backup.
//!
//! Half a file has a name of its own, and what it holds is refused as a backup; the next backup, by
//! hand or by the bridge itself, is whole and takes its place; the store knows nothing of it.

use std::{
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    account,
    cluster::Cluster,
    crash::{Labwire, command, run, said},
    crash_bench::{ACK, Bench, reads_everything, tell},
    crash_tools::{left_out, runs},
    hospital::{PATIENCE, Site, comes},
};

const SEED: u64 = 20_260_316;
const ABORTED: i32 = 6;
const KILLED: i32 = 9;
/// Lines go to the file piece by piece: the head, what is compressed and encrypted, the end. This is in
/// the head of an encrypted one.
const PIECE: &str = "sealing#2";
/// Writes of a copy of SQLite before which the process is killed: of its first pages, and later.
const WRITES: [usize; 3] = [2, 5, 30];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_a_backup_and_half_a_file_is_never_taken_for_one() {
    dies_in_the_middle(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_a_backup_of_postgresql_and_half_a_file_is_never_taken_for_one() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    dies_in_the_middle(Some(&cluster.new_schema())).await;
}

async fn dies_in_the_middle(store: Option<&str>) {
    if cfg!(not(debug_assertions)) {
        // A release build has no such points.
        return;
    }
    let bench = Bench::new(SEED, store);
    let site = &bench.site;
    let mut labwire = bench.start().await;
    let (mut astm, _) = bench.dial().await;
    assert_eq!(tell(&mut astm, "BEFORE").await, [ACK; 6]);
    labwire.kill();
    let key = site.lab().with_file_name("key").display().to_string();
    let (public, is_made) = command(site, &["backup", "--new-key", &key]);
    assert!(is_made, "{public}");
    let identity = ["--identity", key.as_str()];
    let plain = std::fs::read_to_string(site.lab()).expect("the folder is readable");
    let secret = format!(
        "{plain}\n[backup]\nfolder = \"backups\"\nevery_h = 24\nrecipients = [\"{}\"]\n",
        public.trim()
    );
    site.file("lab.toml", &secret);
    let mut labwire = by_itself(site, &identity).await;
    let (mut astm, _) = bench.dial().await;
    assert_eq!(tell(&mut astm, "MEANWHILE").await, [ACK; 6]);
    pieces_of_lines(site, "secret.age", &identity);
    site.file("lab.toml", &plain);
    if store.is_none() {
        copies_of_sqlite(site);
    } else {
        pieces_of_lines(site, "plain.jsonl.gz", &[]);
    }
    assert_eq!(tell(&mut astm, "AFTER").await, [ACK; 6]);
    reads_everything(&mut labwire, site).await;
    for token in ["BEFORE-3", "MEANWHILE-3", "AFTER-3"] {
        assert_eq!(account::states(&site.store(), token).len(), 1, "{token}");
    }
}

/// A plain copy of a file is written by SQLite itself, without a point of ours: it is killed from
/// outside, at the beginning of a write into the copy.
fn copies_of_sqlite(site: &Site) {
    if !runs("strace", &["true"]) {
        return left_out(
            "a copy of SQLite that is cut off",
            "strace does not run here",
        );
    }
    for when in WRITES {
        let file = site.lab().with_file_name(format!("copy{when}.db"));
        let status = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", "trace=pwrite64", "-e"])
            .arg(format!("inject=pwrite64:signal=KILL:when={when}"))
            .arg("-P")
            .arg(part(&file))
            .arg(env!("CARGO_BIN_EXE_labwire"))
            .arg("backup")
            .arg(&file)
            .arg("-c")
            .arg(site.lab())
            .status()
            .expect("strace runs");
        assert_eq!(status.signal(), Some(KILLED), "write {when}: {status}");
        is_half(site, &file, &[]);
        goes_through(site, &file, &[]);
    }
}

/// Lines that fit either database, plain or encrypted: dies before the second piece, the third, the
/// fifth and so on, until there are not so many.
fn pieces_of_lines(site: &Site, name: &str, identity: &[&str]) {
    let file = site.lab().with_file_name(name);
    let path = file.display().to_string();
    let mut deaths = 0;
    for piece in (0..16).map(|power| 1 + (1 << power)) {
        let plan = format!("sealing#{piece}");
        let done = run(site, &["backup", &path], &[("LABWIRE_CRASH_AT", &plan)]);
        if done.status.success() {
            break;
        }
        let signal = done.status.signal();
        assert_eq!(signal, Some(ABORTED), "{plan}: {}", said(done).0);
        is_half(site, &file, identity);
        deaths += 1;
    }
    assert!(
        deaths >= 1,
        "{name}: the file is written in {deaths} pieces"
    );
    assert!(!part(&file).exists(), "{path}");
    is_whole(site, &file, identity);
}

/// The bridge dies in the middle of the backup that it makes by itself; the next one clears away what
/// is left, and makes it anew.
async fn by_itself(site: &Site, identity: &[&str]) -> Labwire {
    let folder = site.lab().with_file_name("backups");
    let mut dying = Labwire::start_to_die(&site.lab(), PIECE);
    let mut status = None;
    let dies = comes(PATIENCE, || {
        status = dying.ended();
        status.is_some()
    });
    assert!(dies.await, "no backup is made: {}", dying.log());
    let signal = status.and_then(|status| status.signal());
    assert_eq!(signal, Some(ABORTED), "{status:?}: {}", dying.log());
    let left = files(&folder);
    assert_eq!(left.len(), 1, "{left:?}");
    let name = left[0].display().to_string();
    let file = PathBuf::from(
        name.strip_suffix(".part")
            .expect("not the name of a backup"),
    );
    is_half(site, &file, identity);
    let labwire = Labwire::start(&site.lab());
    let is_made = comes(PATIENCE, || {
        labwire.count("listening at=") == 2 && labwire.count("backup written and checked") == 1
    });
    assert!(is_made.await, "{}", labwire.log());
    let made = files(&folder);
    assert_eq!(made.len(), 1, "{made:?}");
    is_whole(site, &made[0], identity);
    labwire
}

/// Nothing has the name of the backup; something has that of its part, and is refused as a backup.
fn is_half(site: &Site, file: &Path, identity: &[&str]) {
    assert!(!file.exists(), "{}", file.display());
    let part = part(file);
    let length = std::fs::metadata(&part).map_or(0, |data| data.len());
    assert!(length > 0, "nothing was written: {}", part.display());
    let path = part.display().to_string();
    let mut check = vec!["restore", "--check", &path];
    check.extend(identity);
    let (said, is_sound) = command(site, &check);
    assert!(!is_sound, "half a file is taken for a backup: {said}");
    assert!(REFUSALS.iter().any(|code| said.contains(code)), "{said}");
    // With it in the store's place the bench could not go on: into a new file it is refused as well.
    let other = site.lab().with_file_name("other.db");
    let store = format!("sqlite:{}", other.display());
    let mut into = vec!["restore", "--as", "lan", "--store", &store, &path];
    into.extend(identity);
    let (said, is_done) = command(site, &into);
    assert!(!is_done && !other.exists(), "{said}");
}

/// What half a file is refused with: it is damaged, as a copy or as a database, or is none.
const REFUSALS: [&str; 4] = ["STORE-0105", "STORE-0201", "STORE-0202", "STORE-0203"];

/// The same backup once more takes the place of its part.
fn goes_through(site: &Site, file: &Path, identity: &[&str]) {
    let (said, is_done) = command(site, &["backup", &file.display().to_string()]);
    assert!(is_done, "{said}");
    assert!(!part(file).exists(), "{}", file.display());
    is_whole(site, file, identity);
}

fn is_whole(site: &Site, file: &Path, identity: &[&str]) {
    let path = file.display().to_string();
    let mut check = vec!["restore", "--check", &path];
    check.extend(identity);
    let (said, is_sound) = command(site, &check);
    assert!(is_sound, "{said}");
}

fn part(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder of backups");
    let files = entries.map(|entry| entry.expect("an entry").path());
    files.collect()
}
