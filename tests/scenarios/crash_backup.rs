//! The crash table, second part: death during a migration, a backup and a restore.

use std::{
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
};

use labwire_drivers::{Clock as _, SystemClock};
use labwire_sims::{chance::Chance, his::Answering};
use sha2::{Digest as _, Sha256};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _,
    sqlite::SqliteConnectOptions,
};

use crate::{
    account,
    crash::{Labwire, command, first_start, run, said},
    crash_points::drains,
    hospital::{His, PATIENCE, Site, comes},
    load::Load,
};

const SEED: u64 = 20_260_313;
const ABORTED: i32 = 6;

/// A message that an older labwire acknowledged and never read.
const LEFT: &str = "MSH|^~\\&|ANALYZER|LAB|||20260310080000||ORU^R01|A1|P|2.5.1||||||UNICODE UTF-8\r\
    PID|1\rOBR|1||260000001|X\rOBX|1|NM|NA||139|mmol/L||N|||F|||20260310080000\r";

const SITE: &str = r#"
[[instrument]]
id = "hl7-1"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:0"
tests = { NA = "NA" }
"#;

/// A store of an older labwire, with a message that waits to be read: each start that is to bring it
/// up to date dies after one change more, the last one with all of them and before the commit. None
/// leaves half a schema, and what was acknowledged is read by the start that lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step_of_a_migration_and_brought_up_to_date_by_the_next_start() {
    if cfg!(not(debug_assertions)) {
        return;
    }
    let files = migrations();
    for older in [1, files.len() - 2] {
        let site = Site::new(SITE);
        write_older(&site, &files[..older]).await;
        let steps = files.len() - older;
        let plans = (1..=steps).map(|step| format!("migrating#{step}"));
        for plan in plans.chain(["migrated#1".to_owned()]) {
            let mut dying = Labwire::start_to_die(&site.lab(), &plan);
            let mut status = None;
            let dies = comes(PATIENCE, || {
                status = dying.ended();
                status.is_some()
            });
            assert!(dies.await, "{plan} is never passed: {}", dying.log());
            let signal = status.and_then(|status| status.signal());
            assert_eq!(signal, Some(ABORTED), "{plan}: {status:?}, {}", dying.log());
            assert_eq!(changes(&site).await, older, "half a schema after {plan}");
        }
        let mut labwire = Labwire::start(&site.lab());
        let url = site.store();
        let is_read = comes(PATIENCE, || {
            labwire.count("listening at=") > 0 && account::open_work(&url).is_empty()
        });
        assert!(is_read.await, "{}", labwire.log());
        labwire.stop();
        assert_eq!(changes(&site).await, files.len());
        assert_eq!(
            account::states(&url, "260000001"),
            ["NA waiting unknown-specimen"]
        );
        let (said, is_clean) = command(&site, &["ledger", "--findings"]);
        assert!(is_clean, "{said}");
    }
}

/// The changes of the schema, in order: name and text.
fn migrations() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migrations");
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let is_sql = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "sql");
    let mut files: Vec<_> = files.filter(is_sql).collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().expect("a name").display().to_string();
        (name, std::fs::read_to_string(&path).expect("it reads"))
    };
    files.into_iter().map(read).collect()
}

fn options(site: &Site) -> SqliteConnectOptions {
    let store = site.store();
    let file = store.strip_prefix("sqlite:").expect("a file");
    SqliteConnectOptions::new().filename(file)
}

async fn write_older(site: &Site, files: &[(String, String)]) {
    let mut store = options(site)
        .create_if_missing(true)
        .connect()
        .await
        .expect("a store");
    let mut script = String::from(
        "PRAGMA application_id = 0x4C574442; CREATE TABLE schema_change (number INTEGER NOT NULL \
         PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at INTEGER NOT NULL);",
    );
    for (number, (name, text)) in (1..).zip(files) {
        let hash = Sha256::digest(text.as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        script += &format!(
            "{text};\nINSERT INTO schema_change VALUES ({number}, '{name}', '{hash}', 0);\n"
        );
    }
    let run = store.execute(sqlx::raw_sql(AssertSqlSafe(script)));
    run.await.expect("the schema of then");
    let insert = "INSERT INTO message (line, connection, session, received_at, is_complete, raw) \
                  VALUES ('hl7-1', 1, 1, $1, 1, $2)";
    let now = SystemClock::default().utc_micros();
    let insert = sqlx::query(insert).bind(now).bind(LEFT.as_bytes());
    store.execute(insert).await.expect("a message of then");
    store.close().await.expect("it closes");
}

/// How many changes the store has.
async fn changes(site: &Site) -> usize {
    let mut store = options(site).connect().await.expect("the store");
    let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM schema_change");
    let count = count.fetch_one(&mut store).await.expect("its changes");
    store.close().await.expect("it closes");
    usize::try_from(count).expect("a count")
}

/// A backup that dies leaves nothing under its name, harms no running bridge, and the next one is
/// whole. A restore that dies before its last step leaves the former store in its place; one that
/// dies between putting that aside and its end lets no bridge begin an empty store, and goes through
/// when it is asked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_during_a_backup_and_a_restore_and_both_go_through_the_next_time() {
    if cfg!(not(debug_assertions)) {
        return;
    }
    let mut chance = Chance::fork(SEED, "backup");
    let his = His::open(Answering::good()).await;
    let (site, lines, mut labwire) = first_start(&his, &mut chance, None).await;
    let mut load = Load::plug(SEED, &lines, &his);
    let copy = site.lab().with_file_name("copy.db");
    let copy_name = copy.display().to_string();
    let back_up = ["backup", copy_name.as_str()];
    for plan in ["backup-copied#1", "backup-checked#1"] {
        load.add(6);
        dies(&site, &back_up, plan);
        assert!(!copy.exists(), "{plan}: a backup that was not finished");
    }
    let url = site.store();
    let drained = comes(PATIENCE, || {
        load.watch();
        load.is_idle() && account::open_work(&url).is_empty()
    });
    assert!(drained.await, "not drained: {}", labwire.log());
    let (said, is_done) = command(&site, &back_up);
    assert!(is_done, "{said}");
    labwire.kill();
    let restore = ["restore", "--replace", "--as", "lan", copy_name.as_str()];
    dies(&site, &restore, "restore-copied#1");
    labwire = Labwire::start(&site.lab());
    let starts = comes(PATIENCE, || labwire.count("listening at=") >= lines.0.len());
    assert!(starts.await, "the former store: {}", labwire.log());
    labwire.kill();
    dies(&site, &restore, "restore-aside#1");
    let (said, is_begun) = command(&site, &["run"]);
    assert!(!is_begun && said.contains("STORE-0113"), "{said}");
    let (said, is_done) = command(&site, &restore);
    assert!(is_done, "{said}");
    drains(Labwire::start(&site.lab()), &site, load, &his).await;
}

/// Runs a command that dies at its point.
fn dies(site: &Site, args: &[&str], plan: &str) {
    let done = run(site, args, &[("LABWIRE_CRASH_AT", plan)]);
    let signal = done.status.signal();
    assert_eq!(signal, Some(ABORTED), "{plan}: {}", said(done).0);
}
