//! The real program under kill -9: whatever the moment, nothing acknowledged is lost, doubled or
//! changed, in either direction.
//!
//! `labwire run` is a child process; simulated analyzers and a simulated HIS live on while it is
//! killed and started again: queries, results resent until they are acknowledged, corrections,
//! orders, additions, cancels, new patient data and merges. In the end everything drains, and the
//! store and the book of the HIS are compared with what was promised.
//!
//! Ten kills as a test among others; a hundred by
//! `LABWIRE_SOAK=1 cargo test --release --test scenarios crash -- --nocapture`. The seed is printed;
//! `LABWIRE_SEED` gives it again. Moments of a process are not the same twice, so a seed repeats the
//! load and the plan of the kills, not every interleaving.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    net::TcpListener as Probe,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use labwire_drivers::{Clock as _, SystemClock};
use labwire_sims::{
    chance::Chance,
    his::{Answering, Policy},
};

use crate::{
    account,
    hospital::{His, PATIENCE, Site, comes},
    load::{Lines, Load},
};

/// Kills in an ordinary run, a tenth of a soak.
const KILLS: usize = 10;
/// Kills in a soak.
const KILLS_SOAK: usize = 100;
/// The load and the plan of an ordinary run; a soak takes new ones.
const SEED: u64 = 20_260_310;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_kill_9_at_any_moment_loses_doubles_and_changes_nothing() {
    let is_soak = std::env::var_os("LABWIRE_SOAK").is_some();
    let kills = if is_soak { KILLS_SOAK } else { KILLS };
    let seed = seed();
    let mut chance = Chance::fork(seed, "kills");
    let his = His::open(Answering::by_chance(
        [
            (30, Policy::Cut),
            (30, Policy::Busy),
            (50, Policy::Slow(Duration::from_millis(30))),
            (20, Policy::Late),
        ],
        seed,
    ))
    .await;
    let (site, lines, mut labwire) = first_start(&his, &mut chance, None).await;
    let mut load = Load::plug(seed, &lines, &his);
    for _ in 0..kills {
        load.add(12);
        if chance.happens(700) {
            // In the middle of the load: after so many more acknowledgements of any kind.
            let aim = load.progress() + 1 + chance.below(40);
            let is_there = comes(PATIENCE, || {
                load.watch();
                load.progress() >= aim || load.is_idle()
            });
            let is_there = is_there.await;
            let state = load.state();
            assert!(
                is_there,
                "no progress, seed {seed}: {state}; {}",
                labwire.log()
            );
        } else {
            // While it starts: after so many lines of its log, from none at all.
            let aim = chance.index(9);
            let starts = comes(PATIENCE, || {
                load.watch();
                labwire.lines() >= aim
            });
            assert!(starts.await, "it does not start: {}", labwire.log());
        }
        labwire.kill();
        labwire = Labwire::start(&site.lab());
    }
    load.add(12);
    let url = site.store();
    let drained = comes(PATIENCE, || {
        load.watch();
        load.is_idle() && account::open_work(&url).is_empty()
    });
    assert!(
        drained.await,
        "not drained, seed {seed}: {}; {:#?}; {}",
        load.state(),
        account::open_work(&url),
        labwire.log()
    );
    labwire.stop();
    let told = Command::new(env!("CARGO_BIN_EXE_labwire"))
        .args(["ledger", "--findings", "-c"])
        .arg(site.lab())
        .output()
        .expect("labwire ledger runs");
    let summary = String::from_utf8(told.stdout).unwrap_or_default();
    let (figures, wrong) = account::check(&load, &his.book, &url);
    report(&format!(
        "crash: seed {seed}, {kills} kills, {figures}; ledger: {summary}"
    ));
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    assert!(told.status.success(), "seed {seed}: {summary}");
    load.unplug();
}

fn seed() -> u64 {
    let given = std::env::var("LABWIRE_SEED").ok();
    let given = given.and_then(|text| text.parse().ok());
    if std::env::var_os("LABWIRE_SOAK").is_none() {
        return given.unwrap_or(SEED);
    }
    // A new one each time: a soak looks for what nobody thought of.
    given.unwrap_or_else(|| u64::try_from(SystemClock::default().utc_micros()).unwrap_or(0))
}

#[expect(clippy::print_stderr, reason = "the figures of a soak are its result")]
fn report(line: &str) {
    eprintln!("{line}");
}

/// Starts on ports of its own; if another program was quicker at one, on others. The store is at
/// `store`, or in the site's folder.
pub async fn first_start(
    his: &His,
    chance: &mut Chance,
    store: Option<&str>,
) -> (Site, Lines, Labwire) {
    for _ in 0..20 {
        let lines = Lines(std::array::from_fn(|_| free_port(chance)));
        let lab = lines.lab(&his.results);
        let site = store.map_or_else(|| Site::new(&lab), |url| Site::on(url, &lab));
        let labwire = Labwire::start(&site.lab());
        let has = |words| labwire.count(words);
        let is_at_work = comes(PATIENCE, || {
            has("listening at=") >= lines.0.len() || has("cannot open the port") > 0
        });
        assert!(is_at_work.await, "it does not start: {}", labwire.log());
        if has("cannot open the port") == 0 {
            return (site, lines, labwire);
        }
    }
    unreachable!("twenty times another program was quicker at a port")
}

/// A port that was free a moment ago, below those that the system gives to whoever dials: while
/// labwire is dead, a dialling simulator must not be given the port that it dials.
pub fn free_port(chance: &mut Chance) -> u16 {
    loop {
        let salt = u64::from(std::process::id());
        let drawn = 15_000 + (chance.draw() ^ salt) % 15_000;
        let port = u16::try_from(drawn).unwrap_or(15_000);
        if Probe::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// What a command says, and whether it ended well.
pub fn command(site: &Site, args: &[&str]) -> (String, bool) {
    said(run(site, args, &[]))
}

/// Runs a command beside, with these variables.
pub fn run(site: &Site, args: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new("sh")
        .args(["-c", r#"ulimit -c 0; exec "$0" "$@""#])
        .arg(env!("CARGO_BIN_EXE_labwire"))
        .args(args)
        .arg("-c")
        .arg(site.lab())
        .env("NO_COLOR", "1")
        .envs(variables.iter().copied())
        .output()
        .expect("labwire runs")
}

/// What it said, and whether it ended well.
pub fn said(done: Output) -> (String, bool) {
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8(said).expect("it speaks UTF-8");
    (said, done.status.success())
}

/// Everything that our own crates say, at every level; of others what an operator sees.
const LOG: &str = "info,labwire=trace,labwire_drivers=trace,labwire_protocols=trace";

/// The program, running.
pub struct Labwire {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Labwire {
    pub fn start(lab: &Path) -> Self {
        Self::start_in(lab, &[])
    }

    /// With more in its environment.
    pub fn start_in(lab: &Path, environment: &[(&str, &OsStr)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_labwire"));
        command.envs(environment.iter().copied());
        Self::start_by(command, lab)
    }

    /// To die at a point of [`labwire_drivers::crash`], without a dump of its memory.
    pub fn start_to_die(lab: &Path, plan: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"ulimit -c 0; exec "$0" "$@""#]);
        shell.arg(env!("CARGO_BIN_EXE_labwire"));
        shell.env("LABWIRE_CRASH_AT", plan);
        Self::start_by(shell, lab)
    }

    /// By a command that becomes or begins `labwire` with the arguments that are added to it.
    pub fn start_by(mut command: Command, lab: &Path) -> Self {
        if command.get_envs().all(|(name, _)| name != "RUST_LOG") {
            command.env("RUST_LOG", LOG);
        }
        let mut child = command
            .args([PathBuf::from("run"), "-c".into(), lab.into()])
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("labwire starts");
        let stderr = child.stderr.take().expect("it is piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
        Self { child, log }
    }

    pub fn with_log<T>(&self, look: impl FnOnce(&[String]) -> T) -> T {
        look(&self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be asked")
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn lines(&self) -> usize {
        self.with_log(<[String]>::len)
    }

    pub fn count(&self, words: &str) -> usize {
        self.with_log(|log| log.iter().filter(|line| line.contains(words)).count())
    }

    /// Its last words.
    pub fn log(&self) -> String {
        self.with_log(|log| log[log.len().saturating_sub(40)..].join("\n"))
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub fn kill(&mut self) {
        let early = self.child.try_wait().expect("it can be asked");
        assert!(early.is_none(), "it ended by itself: {}", self.log());
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// SIGSTOP: it does nothing until [`Self::resume`], and cannot know.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Waits until it ends by itself; its exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let mut code = None;
        let has_ended = comes(PATIENCE, || {
            let status = self.ended();
            code = status.and_then(|status| status.code());
            status.is_some()
        });
        assert!(has_ended.await, "it does not end");
        code
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let told = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status();
        assert!(told.is_ok_and(|status| status.success()), "it can be told");
    }

    /// SIGTERM: in order.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}: {}", self.log());
    }
}

impl Drop for Labwire {
    fn drop(&mut self) {
        // After a failed test it may still run; after a good one it is gone.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
