//! The crash table, fifth part: a disk that is full, may not be written or fails, and a page that is
//! damaged. The peer is told so, nothing is promised, and it goes on by itself where it can.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::{
    account,
    crash::{Labwire, command},
    crash_bench::{ACK, Bench, NAK, Peer, message, reads_everything, tell},
    crash_tools::{left_out, runs, says},
    crash_trace::strace,
    hospital::{PATIENCE, Site, comes},
};

const SEED: u64 = 20_260_316;

/// A file system of its own in memory, gone with this.
struct Small(tempfile::TempDir);

impl Small {
    /// `None` where nothing may be mounted.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().to_str().expect("a path of text");
        let is_there = runs("mount", &["-t", "tmpfs", "-o", "size=16m", "tmpfs", place]);
        is_there.then_some(Self(folder))
    }

    fn store(&self) -> String {
        format!("sqlite:{}", self.0.path().join("labwire.db").display())
    }

    fn remount(&self, how: &str) {
        let place = self.0.path().to_str().expect("a path of text");
        assert!(runs("mount", &["-o", how, place]), "{how}");
    }

    /// Leaves not a byte; the file that took them.
    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut filler = std::fs::File::create(&path).expect("room for a name");
        for size in [65_536, 4_096, 1] {
            let block = vec![0_u8; size];
            while filler.write_all(&block).is_ok() {}
        }
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let place = self.0.path().display().to_string();
        runs("umount", &["-l", &place]);
    }
}

/// A frame and a message are refused with the code, and nothing of them is promised.
async fn refuses(labwire: &Labwire, (astm, hl7): (&mut Peer, &mut Peer), code: &str) {
    let reply = hl7.say(&message("REFUSED1")).await;
    assert!(!reply.contains("\rMSA|AA|"), "{reply}");
    assert!(reply.contains("|207"), "{reply}");
    let answers = tell(astm, "REFUSED2").await;
    assert_eq!(answers[1..], [NAK; 5], "{}", labwire.log());
    assert!(labwire.count(code) > 0, "{code}: {}", labwire.log());
}

/// Everything is taken.
async fn takes(labwire: &Labwire, (astm, hl7): (&mut Peer, &mut Peer), token: &str) {
    assert_eq!(tell(astm, token).await, [ACK; 6], "{}", labwire.log());
    let reply = hl7.say(&message(&format!("{token}H"))).await;
    assert!(reply.contains("\rMSA|AA|"), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_to_every_peer_and_when_there_is_room_it_goes_on_by_itself() {
    let Some(disk) = Small::mount() else {
        return says("left out: a disk that is really full (nothing may be mounted here)");
    };
    let bench = Bench::new(SEED, Some(&disk.store()));
    let mut labwire = bench.start().await;
    let (mut astm, mut hl7) = bench.dial().await;
    takes(&labwire, (&mut astm, &mut hl7), "BEFORE").await;
    let url = bench.site.store();
    let is_read = comes(PATIENCE, || account::open_work(&url).is_empty());
    assert!(is_read.await, "{}", labwire.log());
    let filler = disk.fill();
    refuses(&labwire, (&mut astm, &mut hl7), "STORE-0001").await;
    std::fs::remove_file(filler).expect("it can be removed");
    // The devices send again what they kept.
    takes(&labwire, (&mut astm, &mut hl7), "REFUSED2").await;
    let reply = hl7.say(&message("REFUSED1")).await;
    assert!(reply.contains("\rMSA|AA|"), "{reply}");
    reads_everything(&mut labwire, &bench.site).await;
    for barcode in ["BEFORE-3", "BEFOREH", "REFUSED2-3", "REFUSED2H", "REFUSED1"] {
        assert_eq!(account::states(&url, barcode).len(), 1, "{barcode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_may_not_be_written_is_said_at_a_start_and_nothing_listens() {
    let Some(disk) = Small::mount() else {
        return says(
            "left out: a file system that may not be written (nothing may be mounted here)",
        );
    };
    let bench = Bench::new(SEED + 1, Some(&disk.store()));
    let mut labwire = bench.start().await;
    let (mut astm, mut hl7) = bench.dial().await;
    takes(&labwire, (&mut astm, &mut hl7), "BEFORE").await;
    reads_everything(&mut labwire, &bench.site).await;
    disk.remount("remount,ro");
    let (said, is_well) = command(&bench.site, &["run"]);
    assert!(!is_well && said.contains("STORE-000"), "{said}");
    assert!(!said.contains("listening at="), "{said}");
    disk.remount("remount,rw");
    let mut labwire = bench.start().await;
    let (mut astm, mut hl7) = bench.dial().await;
    takes(&labwire, (&mut astm, &mut hl7), "AFTER").await;
    reads_everything(&mut labwire, &bench.site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_for_the_log_is_told_and_the_next_message_is_taken() {
    fails("inject=pwrite64:error=ENOSPC:when=40..43", "STORE-0001").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_became_read_only_is_told_and_the_next_message_is_taken() {
    fails("inject=pwrite64:error=EROFS:when=40..43", "STORE-000").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_is_not_acknowledged_and_the_next_one_is() {
    fails("inject=fsync,fdatasync:error=EIO:when=9..11", "STORE-0002").await;
}

/// The system refuses some calls on the log of the real program.
async fn fails(how: &str, code: &str) {
    if !runs("strace", &["true"]) {
        return left_out("a disk that fails", "strace does not run here");
    }
    let bench = Bench::new(SEED + 2, None);
    bench.start().await.stop();
    let trace = bench.site.lab().with_file_name("trace");
    let log = bench.site.lab().with_file_name("labwire.db-wal");
    let log = log.to_str().expect("a path of text");
    let mut begin = strace(
        &trace,
        &["-P", log, "-e", "trace=pwrite64,fsync,fdatasync", "-e", how],
    );
    begin.arg(env!("CARGO_BIN_EXE_labwire"));
    let mut labwire = bench.start_by(begin).await;
    let (_astm, mut hl7) = bench.dial().await;
    let (mut taken, mut refused) = (Vec::new(), 0);
    for n in 0..24 {
        let token = format!("MESSAGE{n:04}");
        // Again, as a device does, until it is taken.
        while !hl7.say(&message(&token)).await.contains("\rMSA|AA|") {
            refused += 1;
        }
        taken.push(token);
    }
    let told = labwire.count(code);
    assert!(refused > 0 || told > 0, "nothing failed: {}", labwire.log());
    assert!(told > 0, "{code}: {}", labwire.log());
    labwire.kill();
    let url = bench.site.store();
    let lacking = account::lacks(&url, taken.clone()).expect("the store reads");
    assert!(lacking.is_empty(), "{lacking:?}");
    reads_everything(&mut bench.start().await, &bench.site).await;
    for barcode in taken {
        assert_eq!(account::states(&url, &barcode).len(), 1, "{barcode}");
    }
}

/// A database of which nothing but its first page is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_is_said_at_a_start_and_the_backup_takes_its_place() {
    let bench = Bench::new(SEED + 3, None);
    let copy = with_backup(&bench).await;
    let store = bench.site.lab().with_file_name("labwire.db");
    root_of(&store, "message").await;
    let pages = std::fs::read(&store).expect("the store").len() / PAGE;
    damage(&store, 2..=pages);
    let (said, is_well) = command(&bench.site, &["run"]);
    assert!(!is_well && said.contains("STORE-0201"), "{said}");
    assert!(said.contains("labwire restore"), "{said}");
    restored(&bench, &copy).await;
}

/// One page that a start does not read, and the first frame that ends a message does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_page_met_at_work_promises_nothing_and_the_backup_takes_its_place() {
    let bench = Bench::new(SEED + 4, None);
    let copy = with_backup(&bench).await;
    let store = bench.site.lab().with_file_name("labwire.db");
    let root = root_of(&store, "message_frame").await;
    damage(&store, root..=root);
    let mut labwire = bench.start().await;
    let (mut astm, _hl7) = bench.dial().await;
    let answers = tell(&mut astm, "REFUSED").await;
    assert_eq!(answers.last(), Some(&NAK), "{}", labwire.log());
    assert!(labwire.count("STORE-0201") > 0, "{}", labwire.log());
    labwire.kill();
    restored(&bench, &copy).await;
}

/// The first page of a table or an index. Whoever closes the store last copies the log into the file,
/// which nobody could damage otherwise: the log has the pages too.
async fn root_of(store: &Path, name: &str) -> usize {
    let options = SqliteConnectOptions::new().filename(store);
    let mut session = options.connect().await.expect("the store");
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = $1";
    let root = sqlx::query_scalar::<_, i64>(root).bind(name);
    let root = root.fetch_one(&mut session).await.expect("a page");
    session.close().await.expect("it closes");
    let log = store.with_extension("db-wal");
    assert!(!log.exists(), "the log is not in the file");
    usize::try_from(root).expect("a page")
}

/// Bytes of a page.
const PAGE: usize = 8_192;

/// Overwrites pages, which count from one.
fn damage(store: &Path, pages: std::ops::RangeInclusive<usize>) {
    let mut bytes = std::fs::read(store).expect("the store");
    bytes[(pages.start() - 1) * PAGE..pages.end() * PAGE].fill(0xA5);
    std::fs::write(store, bytes).expect("the folder is writable");
}

/// Something is taken and read, and backed up; then the bridge stops.
async fn with_backup(bench: &Bench) -> String {
    let mut labwire = bench.start().await;
    let (mut astm, mut hl7) = bench.dial().await;
    takes(&labwire, (&mut astm, &mut hl7), "BEFORE").await;
    reads_everything(&mut labwire, &bench.site).await;
    let copy = bench.site.lab().with_file_name("copy.db");
    let copy = copy.display().to_string();
    let (said, is_done) = command(&bench.site, &["backup", &copy]);
    assert!(is_done, "{said}");
    copy
}

/// The backup is put back, and the bridge works on it.
async fn restored(bench: &Bench, copy: &str) {
    let site: &Site = &bench.site;
    let (said, is_done) = command(site, &["restore", "--replace", "--as", "lan", copy]);
    assert!(is_done, "{said}");
    let mut labwire = bench.start().await;
    let (mut astm, mut hl7) = bench.dial().await;
    takes(&labwire, (&mut astm, &mut hl7), "AFTER").await;
    reads_everything(&mut labwire, site).await;
    for barcode in ["BEFORE-3", "BEFOREH", "AFTER-3", "AFTERH"] {
        assert_eq!(
            account::states(&site.store(), barcode).len(),
            1,
            "{barcode}"
        );
    }
}
