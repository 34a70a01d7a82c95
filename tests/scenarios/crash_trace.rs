//! Reads what `strace` writes down of the program: every call that reads, writes or syncs, with all
//! its bytes and the place where each began and ended. And a disk for it that loses what was not
//! synced.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::Path,
    process::Command,
};

use labwire_sims::chance::Chance;

/// The calls that are written down.
const CALLS: &str = "trace=read,recvfrom,readv,recvmsg,write,sendto,writev,sendmsg,pwrite64,pwritev,\
                     fsync,fdatasync,openat,ftruncate,unlink,unlinkat";

/// `strace`, writing into a file, to which a program and its arguments are added. The program stays the
/// child of whoever starts it.
pub fn strace(into: &Path, rest: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-o"]).arg(into).args(rest);
    command
}

/// The same with everything that [`read`] wants to know.
pub fn strace_all(into: &Path) -> Command {
    strace(into, &["-s", "70000", "-xx", "-yy", "-e", CALLS])
}

/// What has to be known of a server that keeps the log: its writes and its syncs.
const CALLS_OF_A_LOG: &str = "trace=pwrite64,pwritev,fsync,fdatasync";

/// The same with times, so that traces of two programs fit together: [`read_timed`].
pub fn strace_timed(into: &Path) -> Command {
    let mut command = strace_all(into);
    command.args(["-ttt", "-T"]);
    command
}

/// The same of a server, whose log alone matters.
pub fn strace_log(into: &Path) -> Vec<OsString> {
    let options = [
        "-s",
        "70000",
        "-xx",
        "-yy",
        "-ttt",
        "-T",
        "-e",
        CALLS_OF_A_LOG,
    ];
    let command = strace(into, &options);
    let program = command.get_program();
    std::iter::once(program)
        .chain(command.get_args())
        .map(OsStr::to_owned)
        .collect()
}

/// One system call that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub thread: u32,
    pub name: String,
    /// Path or addresses of what its first argument names, or the path itself.
    pub of: String,
    pub bytes: Vec<u8>,
    /// The arguments behind the bytes.
    rest: String,
    pub returned: i64,
    /// Places in the trace, or microseconds: what ended before another began has happened before it.
    pub begun: usize,
    pub ended: usize,
}

impl Call {
    pub fn is_read(&self) -> bool {
        matches!(
            self.name.as_str(),
            "read" | "recvfrom" | "readv" | "recvmsg"
        )
    }

    pub fn is_write(&self) -> bool {
        matches!(
            self.name.as_str(),
            "write" | "sendto" | "writev" | "sendmsg"
        )
    }

    /// A sync that succeeded.
    pub fn is_sync(&self) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync") && self.returned == 0
    }

    /// Whether its bytes hold these.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.bytes
            .windows(bytes.len())
            .any(|window| window == bytes)
    }

    fn last_number(&self) -> usize {
        let last = self.rest.rsplit(',').next().unwrap_or_default().trim();
        last.parse().expect("the last argument is a number")
    }
}

/// Every call of a trace that ended, in the order of their ends.
pub fn read(trace: &str) -> Vec<Call> {
    calls(trace, |place, text| Some((place, text, None)))
}

/// The same of traces with times, as one, with the microseconds at which each call began and ended.
pub fn read_timed(traces: &[String]) -> Vec<Call> {
    let traces = traces
        .iter()
        .map(|trace| calls(trace, |_, text| timed(text)));
    let mut calls: Vec<Call> = traces.flatten().collect();
    calls.sort_by_key(|call| call.ended);
    calls
}

/// The time before a line, and how long its call took, if it ended there.
fn timed(text: &str) -> Option<(usize, &str, Option<usize>)> {
    let micros = |text: &str| text.replace('.', "").parse::<usize>().ok();
    let (at, text) = text.split_once(' ')?;
    let at = micros(at)?;
    let ends = text
        .strip_suffix('>')
        .and_then(|text| text.rsplit_once(" <"))
        .and_then(|(text, took)| Some((text, micros(took)?)));
    // Both times are cut off to whole microseconds: it ended no later than so.
    Some(match ends {
        Some((text, took)) => (at, text, Some(took + 2)),
        None => (at, text, None),
    })
}

/// `at` gives the place of a line or its time, what is left of it, and how long its call took.
fn calls(
    trace: &str,
    at: impl Fn(usize, &str) -> Option<(usize, &str, Option<usize>)>,
) -> Vec<Call> {
    let mut begun: BTreeMap<u32, (usize, String)> = BTreeMap::new();
    let mut calls = Vec::new();
    for (place, line) in trace.lines().enumerate() {
        let Some((thread, text)) = line.trim_start().split_once(' ') else {
            continue;
        };
        let thread: u32 = thread.parse().expect("a thread's number begins a line");
        let Some((at, text, took)) = at(place, text.trim_start()) else {
            continue;
        };
        let end = |from: usize| took.map_or(at, |took| from + took);
        if let Some(begin) = text.strip_suffix("<unfinished ...>") {
            begun.insert(thread, (at, begin.trim_end().to_owned()));
        } else if let Some(rest) = text.strip_prefix("<... ") {
            let Some((_, rest)) = rest.split_once(" resumed>") else {
                continue;
            };
            if let Some((from, begin)) = begun.remove(&thread) {
                calls.extend(call(thread, &format!("{begin}{rest}"), [from, end(from)]));
            }
        } else {
            calls.extend(call(thread, text, [at, end(at)]));
        }
    }
    calls
}

fn call(thread: u32, text: &str, [begun, ended]: [usize; 2]) -> Option<Call> {
    // What was returned stands in a column of its own where there is room.
    let (text, returned) = text.rsplit_once("= ")?;
    let text = text.trim_end().strip_suffix(')')?;
    let returned = returned.split([' ', '<']).next()?.parse().ok()?;
    let (name, arguments) = text.split_once('(')?;
    let mut bytes = Vec::new();
    let mut parts = arguments.split('"');
    let first = parts.next()?;
    let mut rest = first;
    while let (Some(inside), Some(outside)) = (parts.next(), parts.next()) {
        bytes.extend(unescape(inside));
        rest = outside;
    }
    let of = match first.split_once('<') {
        Some((_, of)) if name != "openat" && name != "unlinkat" => {
            let is_path = of.starts_with("\\x");
            let end = if is_path {
                of.find(['<', '>'])
            } else {
                of.rfind('>')
            };
            let (of, _) = of.split_at(end.unwrap_or(of.len()));
            of.to_owned()
        }
        // The path is what stands in quotes.
        _ => String::from_utf8(bytes.clone()).ok()?,
    };
    let of = if of.starts_with("\\x") {
        String::from_utf8(unescape(&of)).ok()?
    } else {
        of
    };
    Some(Call {
        thread,
        name: name.to_owned(),
        of,
        bytes,
        rest: rest.to_owned(),
        returned,
        begun,
        ended,
    })
}

/// `\x41\x42` as bytes.
fn unescape(text: &str) -> Vec<u8> {
    let pairs = text.split("\\x").skip(1);
    let bytes = pairs.map(|pair| u8::from_str_radix(pair, 16).expect("two digits"));
    bytes.collect()
}

/// A promise that was given before what it promises was on disk; see [`promises`].
#[derive(Debug, PartialEq, Eq)]
pub struct Promise {
    /// What was promised to keep.
    pub token: String,
    /// When the reply began to leave.
    pub at: usize,
    /// The log with it was written and synced in between.
    pub is_kept: bool,
}

/// Whose log it is that a promise needs.
#[derive(Clone, Copy, Debug)]
pub enum Log {
    /// Of SQLite, written and synced by the program itself.
    Sqlite,
    /// Of PostgreSQL, by its server.
    Postgres,
}

/// A page of PostgreSQL's log, and what stands at its beginning: more in the first of a file.
const PAGE: usize = 8_192;
const PAGE_HEAD: usize = 24;
const FILE_HEAD: usize = 40;

impl Log {
    fn is_of(self, call: &Call) -> bool {
        match self {
            Self::Sqlite => call.of.ends_with("-wal"),
            Self::Postgres => call.of.contains("/pg_wal/"),
        }
    }

    fn wrote(self, call: &Call, token: &str) -> bool {
        if call.name != "pwrite64" || call.returned < 0 {
            return false;
        }
        let Self::Postgres = self else {
            return call.holds(token.as_bytes());
        };
        // What is longer than the rest of a page goes on behind the head of the next.
        let head = |n| match (n, call.last_number()) {
            (0, 0) => FILE_HEAD,
            _ => PAGE_HEAD,
        };
        let pages = call.bytes.chunks(PAGE).enumerate();
        let content = pages.flat_map(|(n, page)| page.iter().skip(head(n)).copied());
        let content: Vec<u8> = content.collect();
        content
            .windows(token.len())
            .any(|window| window == token.as_bytes())
    }
}

/// For each of the tokens, which a peer sent once and was answered: whether between the read that
/// brought it and the reply of the same connection it was written into the log, and that file was
/// synced after the write and before the reply.
///
/// # Panics
/// When a token was not read or not answered.
#[expect(clippy::panic, reason = "a test ends here, and says which token")]
pub fn promises(calls: &[Call], tokens: &[String], log: Log) -> Vec<Promise> {
    let promise = |token: &String| {
        let read = calls
            .iter()
            .find(|call| call.is_read() && call.holds(token.as_bytes()))
            .unwrap_or_else(|| panic!("{token} was never read"));
        let reply = calls
            .iter()
            .filter(|call| call.is_write() && call.of == read.of && call.begun > read.ended)
            .min_by_key(|call| call.begun)
            .unwrap_or_else(|| panic!("{token} was never answered"));
        let mut between = calls
            .iter()
            .filter(|call| log.is_of(call))
            .filter(|call| call.begun > read.ended && call.ended < reply.begun);
        let written = between.clone().find(|call| log.wrote(call, token));
        let is_kept = written.is_some_and(|written| {
            between
                .any(|call| call.is_sync() && call.of == written.of && call.begun > written.ended)
        });
        Promise {
            token: token.clone(),
            at: reply.begun,
            is_kept,
        }
    };
    tokens.iter().map(promise).collect()
}

/// The files of a store on a disk that keeps for certain only what was synced.
#[derive(Debug, Default)]
pub struct Disk {
    files: BTreeMap<String, File>,
    /// Nothing is ever synced, to see what a power cut costs then.
    is_deaf: bool,
}

#[derive(Debug, Default)]
struct File {
    kept: Vec<u8>,
    /// Not synced yet, in their order.
    pending: Vec<Change>,
    /// The folder names it, for certain.
    is_named: bool,
    /// What became of the name since, at which place.
    renamed: Option<(usize, bool)>,
}

#[derive(Debug)]
struct Change {
    ended: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl What {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at..end].copy_from_slice(bytes);
            }
            Self::Truncate(to_length) => to.resize(*to_length, 0),
        }
    }
}

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

impl Disk {
    /// One that is told of no sync.
    pub fn deaf() -> Self {
        Self {
            is_deaf: true,
            ..Self::default()
        }
    }

    /// A call has ended; those of the files whose paths begin with `store` and of their folder count.
    pub fn take(&mut self, call: &Call, store: &str) {
        let folder = Path::new(store).parent().expect("a folder");
        if Path::new(&call.of) == folder && call.is_sync() {
            return self.sync_folder(call);
        }
        if !call.of.starts_with(store) || call.of.ends_with("-shm") || call.returned < 0 {
            return;
        }
        let file = self.files.entry(call.of.clone()).or_default();
        let ended = call.ended;
        match call.name.as_str() {
            "openat" if call.rest.contains("O_CREAT") && !file.exists() => {
                file.renamed = Some((ended, true));
                file.kept.clear();
                file.pending.clear();
            }
            "unlink" | "unlinkat" => file.renamed = Some((ended, false)),
            "pwrite64" => {
                let written = usize::try_from(call.returned).expect("a length");
                assert_eq!(written, call.bytes.len(), "a write was written down short");
                let what = What::Write(call.last_number(), call.bytes.clone());
                file.pending.push(Change { ended, what });
            }
            "ftruncate" => {
                let what = What::Truncate(call.last_number());
                file.pending.push(Change { ended, what });
            }
            _ if call.is_sync() && !self.is_deaf => file.sync(call.begun),
            _ => {}
        }
    }

    fn sync_folder(&mut self, call: &Call) {
        for file in self.files.values_mut().filter(|_| !self.is_deaf) {
            if let Some((at, is_there)) = file.renamed
                && at < call.begun
            {
                file.is_named = is_there;
                file.renamed = None;
            }
        }
    }

    /// Writes what a power cut leaves into a folder: what was synced, and of the rest, sector by
    /// sector, what `chance` has, or nothing.
    pub fn cut(&self, folder: &Path, mut chance: Option<&mut Chance>) {
        let happens = |chance: &mut Option<&mut Chance>| {
            chance.as_mut().is_some_and(|chance| chance.happens(500))
        };
        for (path, file) in &self.files {
            let is_named = match file.renamed {
                Some((_, is_there)) if happens(&mut chance) => is_there,
                _ => file.is_named,
            };
            if !is_named {
                continue;
            }
            let mut left = file.kept.clone();
            for change in &file.pending {
                match &change.what {
                    What::Write(at, bytes) => {
                        for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                            if happens(&mut chance) {
                                What::Write(at + n * SECTOR, sector.to_vec()).apply(&mut left);
                            }
                        }
                    }
                    what @ What::Truncate(_) if happens(&mut chance) => what.apply(&mut left),
                    What::Truncate(_) => {}
                }
            }
            let name = Path::new(path).file_name().expect("a name");
            std::fs::write(folder.join(name), left).expect("the folder is writable");
        }
    }
}

impl File {
    fn exists(&self) -> bool {
        self.renamed.map_or(self.is_named, |(_, is_there)| is_there)
    }

    /// What had been written when the sync began.
    fn sync(&mut self, begun: usize) {
        let (synced, rest) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|change| change.ended < begun);
        self.pending = rest;
        let synced: Vec<Change> = synced;
        for change in synced {
            change.what.apply(&mut self.kept);
        }
    }
}

/// Where a trace ends up, and whether the process is written down as gone.
pub fn is_whole(trace: &Path, pid: u32) -> bool {
    let text = std::fs::read_to_string(trace).unwrap_or_default();
    let pid = pid.to_string();
    text.lines().rev().any(|line| {
        let Some((thread, rest)) = line.split_once(' ') else {
            return false;
        };
        // Perhaps there is a time between.
        let is_time = |sign: char| sign.is_ascii_digit() || sign == '.' || sign == ' ';
        let rest = rest.trim_start_matches(is_time);
        thread == pid && (rest.starts_with("+++ killed by") || rest.starts_with("+++ exited"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame, its page in the log, the sync and the ACK; then one whose ACK leaves before the sync.
    const TRACE: &str = r#"10 recvfrom(7<TCP:[127.0.0.1:1->127.0.0.1:2]>,  <unfinished ...>
11 pwrite64(5<\x2f\x61\x2d\x77\x61\x6c>, "\x00", 1, 0) = 1
10 <... recvfrom resumed>"\x54\x31", 99, 0, NULL, NULL) = 2
11 pwrite64(5<\x2f\x61\x2d\x77\x61\x6c>, "\x54\x31", 2, 24) = 2
11 fdatasync(5<\x2f\x61\x2d\x77\x61\x6c> <unfinished ...>
11 <... fdatasync resumed>)              = 0
10 sendto(7<TCP:[127.0.0.1:1->127.0.0.1:2]>, "\x06", 1, 0, NULL, 0) = 1
10 recvfrom(7<TCP:[127.0.0.1:1->127.0.0.1:2]>, "\x54\x32", 99, 0, NULL, NULL) = 2
11 pwrite64(5<\x2f\x61\x2d\x77\x61\x6c>, "\x54\x32", 2, 26) = 2
11 fdatasync(5<\x2f\x61\x2d\x77\x61\x6c> <unfinished ...>
10 sendto(7<TCP:[127.0.0.1:1->127.0.0.1:2]>, "\x06", 1, 0, NULL, 0) = 1
11 <... fdatasync resumed>) = 0
10 +++ killed by SIGKILL +++
"#;

    #[test]
    fn an_ack_before_the_sync_is_found_in_a_trace() {
        let calls = read(TRACE);
        let tokens = ["T1".to_owned(), "T2".to_owned()];
        let found = promises(&calls, &tokens, Log::Sqlite);
        let kept: Vec<bool> = found.iter().map(|promise| promise.is_kept).collect();
        assert_eq!(kept, [true, false]);
    }

    /// What a program and its server do for three frames: the second is answered after the write alone,
    /// the third by a sync that began before its write had ended.
    const PROGRAM: &str = r#"10 5.000010 recvfrom(7<TCP:[127.0.0.1:1->127.0.0.1:2]>, "\x54\x31", 99, 0, NULL, NULL) = 2 <0.000002>
10 5.000090 sendto(7<TCP:[127.0.0.1:1->127.0.0.1:2]>, "\x06", 1, 0, NULL, 0) = 1 <0.000005>
10 5.000100 recvfrom(7<TCP:[127.0.0.1:1->127.0.0.1:2]>,  <unfinished ...>
11 5.000110 futex(1 <unfinished ...>
10 5.000120 <... recvfrom resumed>"\x54\x32", 99, 0, NULL, NULL) = 2 <0.000020>
10 5.000160 sendto(7<TCP:[127.0.0.1:1->127.0.0.1:2]>, "\x06", 1, 0, NULL, 0) = 1 <0.000005>
10 5.000200 recvfrom(7<TCP:[127.0.0.1:1->127.0.0.1:2]>, "\x54\x33", 99, 0, NULL, NULL) = 2 <0.000002>
10 5.000290 sendto(7<TCP:[127.0.0.1:1->127.0.0.1:2]>, "\x06", 1, 0, NULL, 0) = 1 <0.000005>
10 5.000300 +++ killed by SIGKILL +++
"#;
    const SERVER: &str = r#"20 5.000020 pwrite64(3</d/pg_wal/01>, "\x54\x31", 2, 24576) = 2 <0.000004>
20 5.000040 fdatasync(3</d/pg_wal/01> <unfinished ...>
21 5.000050 fsync(4</d/base/1>) = 0 <0.000001>
20 5.000070 <... fdatasync resumed>) = 0 <0.000030>
20 5.000130 pwrite64(3</d/pg_wal/01>, "\x54\x32", 2, 24576) = 2 <0.000004>
20 5.000140 fdatasync(3</d/pg_wal/01>) = 0 <0.000030>
21 5.000210 fdatasync(3</d/pg_wal/01> <unfinished ...>
20 5.000220 pwrite64(3</d/pg_wal/01>, "\x54\x33", 2, 24576) = 2 <0.000004>
21 5.000240 <... fdatasync resumed>) = 0 <0.000030>
"#;

    #[test]
    fn an_ack_before_the_sync_of_the_server_is_found_in_two_traces() {
        // What stands at the beginning of a page is no part of what was written down.
        let head = "\\x00".repeat(PAGE_HEAD);
        let server = SERVER.replace("\"\\x54", &format!("\"{head}\\x54"));
        let tokens = ["T1", "T2", "T3"].map(str::to_owned);
        let kept = |server: String| -> Vec<bool> {
            let calls = read_timed(&[PROGRAM.to_owned(), server]);
            let found = promises(&calls, &tokens, Log::Postgres);
            found.iter().map(|promise| promise.is_kept).collect()
        };
        assert_eq!(kept(server.clone()), [true, false, false]);
        assert_eq!(kept(server.replace("fdatasync", "fadvise")), [false; 3]);
        assert_eq!(
            kept(server.replace("pg_wal/01>, ", "base/2>, ")),
            [false; 3]
        );
        assert_eq!(kept(server.replace(") = 0 <", ") = -1 EIO <")), [false; 3]);
    }

    #[test]
    fn what_goes_over_two_pages_of_a_log_is_found() {
        let mut bytes = vec![b'-'; 2 * PAGE];
        bytes[PAGE - 2..PAGE].copy_from_slice(b"TO");
        bytes[PAGE + PAGE_HEAD..PAGE + PAGE_HEAD + 3].copy_from_slice(b"KEN");
        let call = Call {
            name: "pwrite64".to_owned(),
            bytes,
            rest: ", 16384, 8192".to_owned(),
            ..Call::default()
        };
        assert!(Log::Postgres.wrote(&call, "TOKEN"));
        assert!(!Log::Sqlite.wrote(&call, "TOKEN"));
    }

    #[test]
    fn the_disk_loses_what_was_not_synced() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("a-wal");
        let left_at = |place: usize| {
            let mut disk = Disk::default();
            disk.files.entry("/a-wal".to_owned()).or_default().is_named = true;
            for call in read(TRACE).iter().filter(|call| call.ended < place) {
                disk.take(call, "/a");
            }
            disk.cut(folder.path(), None);
            std::fs::read(&log).expect("the log")
        };
        assert_eq!(left_at(5), b"");
        assert_eq!(left_at(6).len(), 26);
        assert_eq!(left_at(11).len(), 26, "its ACK left before");
        assert_eq!(&left_at(12)[26..], b"T2");
    }
}
