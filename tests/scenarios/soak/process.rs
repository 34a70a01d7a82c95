//! The program as a child, over all its lives: what it said, and what it used.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Lines of the log that are kept for the words of a test that failed.
const KEPT: usize = 40;

/// What it used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// The most memory that one of its lives had, kB.
    pub(super) memory_kb: u64,
    /// Processor time of all of them.
    pub(super) cpu: Duration,
    /// The most open files.
    pub(super) files: usize,
}

#[derive(Default)]
struct Log {
    /// Of this life.
    lines: VecDeque<String>,
    listening: usize,
    cannot_open: usize,
}

/// The program.
#[derive(Default)]
pub(super) struct Process {
    child: Option<Child>,
    log: Arc<Mutex<Log>>,
    used: Used,
}

impl Process {
    pub(super) fn start(&mut self, lab: &Path) {
        let other = std::env::var_os("LABWIRE_SOAK_PROGRAM");
        let program = other.unwrap_or_else(|| env!("CARGO_BIN_EXE_labwire").into());
        let mut child = Command::new(program)
            .arg("run")
            .arg("-c")
            .arg(lab)
            .env("NO_COLOR", "1")
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("labwire starts");
        let stderr = child.stderr.take().expect("it is piped");
        let log = Arc::new(Mutex::new(Log::default()));
        self.log = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.listening += usize::from(line.contains("listening at="));
                log.cannot_open += usize::from(line.contains("cannot open the port"));
                if log.lines.len() == KEPT {
                    log.lines.pop_front();
                }
                log.lines.push_back(line);
            }
        });
        self.child = Some(child);
    }

    fn with_log<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often this life said so: of what is counted.
    pub(super) fn count(&self, words: &str) -> usize {
        self.with_log(|log| match words {
            "listening at=" => log.listening,
            "cannot open the port" => log.cannot_open,
            _ => log.lines.iter().filter(|line| line.contains(words)).count(),
        })
    }

    pub(super) fn says(&self, words: &str) -> bool {
        self.count(words) > 0
    }

    /// Its last words.
    pub(super) fn log(&self) -> String {
        self.with_log(|log| log.lines.iter().cloned().collect::<Vec<_>>().join("\n"))
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub(super) fn kill(&mut self) {
        self.measure();
        let log = self.log();
        let mut child = self.child.take().expect("it was started");
        let early = child.try_wait().expect("it can be asked");
        assert!(early.is_none(), "it ended by itself: {log}");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// SIGTERM: in order. Says what all its lives used.
    pub(super) fn stop(&mut self) -> Used {
        self.measure();
        let log = self.log();
        let mut child = self.child.take().expect("it was started");
        let told = Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", child.id())])
            .status();
        assert!(told.is_ok_and(|status| status.success()), "it can be told");
        let status = child.wait().expect("it ends");
        assert!(status.success(), "{status}: {log}");
        self.used
    }

    /// Where the system tells it; elsewhere nothing is counted.
    fn measure(&mut self) {
        let Some(child) = &self.child else {
            return;
        };
        let of = |file: &str| format!("/proc/{}/{file}", child.id());
        let status = std::fs::read_to_string(of("status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        self.used.memory_kb = self.used.memory_kb.max(peak.unwrap_or(0));
        let stat = std::fs::read_to_string(of("stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
        self.used.cpu += Duration::from_millis(ticks * 10);
        let files = std::fs::read_dir(of("fd")).map_or(0, Iterator::count);
        self.used.files = self.used.files.max(files);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After a failed test it may still run.
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
