//! The soak: the real program with hundreds of lines on noisy wires, killed again and again, under a
//! HIS that is slow, refuses, and is away for more than a third of the time. In the end everybody's
//! books are compared: what was acknowledged is at the HIS once, or held with a reason.
//!
//! ```text
//! LABWIRE_SOAK=1 cargo test --release --test scenarios soak -- --nocapture     512 lines, 10 minutes
//! LABWIRE_SOAK_STORE=postgres                                                  on a cluster of its own
//! LABWIRE_SOAK_LINES=64 LABWIRE_SOAK_SECONDS=60 LABWIRE_SOAK_EVERY=10          another size
//! LABWIRE_SOAK_PROGRAM=/usr/bin/labwire                                        another program
//! ```
//!
//! Among the other tests it is 48 lines for some fifteen seconds. The figures are a row of the table in
//! RELIABILITY.md. `LABWIRE_SEED` gives a load again; moments of processes are not the same twice.

use std::{net::SocketAddr, time::Duration};

use labwire_drivers::{Clock as _, SystemClock};
use labwire_sims::{
    chance::Chance,
    clock::Clock,
    his::{self, Answering, Book, Policy},
};
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;

mod books;
mod process;
mod ward;

use self::{books::Figures, process::Process, ward::Ward};
use crate::{
    account,
    cluster::Cluster,
    hospital::{PATIENCE, Site, ZONE, comes},
};

/// How large a run is.
#[derive(Clone, Debug)]
struct Plan {
    lines: usize,
    lasts: Duration,
    kills: u32,
    /// Every line measures a tube so often.
    every: Duration,
    seed: u64,
    is_postgres: bool,
}

impl Plan {
    fn read() -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_soak = std::env::var_os("LABWIRE_SOAK").is_some();
        let (lines, seconds, every) = if is_soak { (512, 600, 8) } else { (48, 15, 3) };
        let seconds = number("LABWIRE_SOAK_SECONDS").unwrap_or(seconds);
        let lines = number("LABWIRE_SOAK_LINES").unwrap_or(lines);
        let every = number("LABWIRE_SOAK_EVERY").unwrap_or(every);
        // A soak looks for what nobody thought of.
        let now = u64::try_from(SystemClock::default().utc_micros()).unwrap_or(0);
        let seed = number("LABWIRE_SEED").unwrap_or(if is_soak { now } else { 20_261_128 });
        Self {
            lines: usize::try_from(lines).unwrap_or(48),
            lasts: Duration::from_secs(seconds),
            kills: u32::try_from(seconds / 40).unwrap_or(2).max(2),
            every: Duration::from_secs(every),
            seed,
            is_postgres: std::env::var("LABWIRE_SOAK_STORE").is_ok_and(|kind| kind == "postgres"),
        }
    }

    /// How long everything may take to be done when nobody sends any more.
    fn patience(&self) -> Duration {
        PATIENCE.max(self.lasts)
    }
}

/// The HIS's port for results, which may be away.
pub struct Results {
    pub book: Book,
    pub at: SocketAddr,
    serving: Option<CancellationToken>,
}

impl Results {
    pub async fn open(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        let book = Book::new(usual(seed), Clock::real(ZONE));
        let mut results = Self {
            book,
            at,
            serving: None,
        };
        results.serve(listener);
        results
    }

    fn serve(&mut self, listener: TcpListener) {
        let cancel = CancellationToken::new();
        tokio::spawn(his::serve_results(
            listener,
            self.book.clone(),
            cancel.clone(),
        ));
        self.serving = Some(cancel);
    }

    /// Nothing listens any more, and every connection is gone.
    pub fn go_away(&mut self) {
        if let Some(cancel) = self.serving.take() {
            cancel.cancel();
        }
    }

    pub async fn come_back(&mut self) {
        if self.serving.is_none() {
            let listener = TcpListener::bind(self.at).await;
            self.serve(listener.expect("nobody took its port meanwhile"));
        }
    }
}

/// On a good day.
fn usual(seed: u64) -> Answering {
    let rates = [
        (10, Policy::Cut),
        (10, Policy::Busy),
        (30, Policy::Slow(Duration::from_millis(50))),
        (10, Policy::Late),
    ];
    Answering::by_chance(rates, seed)
}

/// When it takes things, it takes its time; four of ten it does not take.
fn unwilling(seed: u64) -> Answering {
    let rates = [
        (400, Policy::Busy),
        (200, Policy::Slow(Duration::from_millis(300))),
        (20, Policy::Cut),
    ];
    Answering::by_chance(rates, seed)
}

/// What the HIS is like, in per cent of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Usual,
    Away,
    Unwilling,
}

impl Phase {
    fn at(per_cent: u128) -> Self {
        match per_cent {
            20..60 => Self::Away,
            60..75 => Self::Unwilling,
            _ => Self::Usual,
        }
    }
}

/// A run under way.
struct Run {
    plan: Plan,
    site: Site,
    process: Process,
    results: Results,
    ward: Ward,
    recoveries: Vec<Duration>,
    phase: Phase,
}

impl Run {
    /// One look at everything: tubes that are due go in, the HIS is as it should be.
    async fn step(&mut self, since: Instant) {
        let elapsed = since.elapsed();
        self.ward.load_due(elapsed, self.plan.every);
        self.ward.attend();
        let phase = Phase::at(100 * elapsed.as_millis() / self.plan.lasts.as_millis().max(1));
        if phase != self.phase {
            self.phase = phase;
            let seed = self.plan.seed;
            match phase {
                Phase::Away => self.results.go_away(),
                Phase::Unwilling => {
                    self.results.book.set_answering(unwilling(seed));
                    self.results.come_back().await;
                }
                Phase::Usual => {
                    self.results.book.set_answering(usual(seed));
                    self.results.come_back().await;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    /// Kills the program, starts it again, and waits for the first acknowledgement on any line.
    async fn kill(&mut self, since: Instant) {
        let killed = Instant::now();
        self.process.kill();
        self.process.start(&self.site.lab());
        // What was on its way to a device when it died is not of the new one.
        while !self.process.says("listening at=") {
            self.step(since).await;
            self.assert_soon(killed);
        }
        let before = self.ward.acknowledged();
        while self.ward.acknowledged() == before {
            self.step(since).await;
            self.assert_soon(killed);
        }
        self.recoveries.push(killed.elapsed());
    }

    fn assert_soon(&self, since: Instant) {
        assert!(
            since.elapsed() < PATIENCE,
            "nothing is acknowledged after a kill: {}",
            self.process.log()
        );
    }

    /// Everything that was begun ends.
    async fn drain(&mut self) -> Duration {
        self.phase = Phase::Usual;
        self.results.book.set_answering(usual(self.plan.seed));
        self.results.come_back().await;
        let began = Instant::now();
        let url = self.site.store();
        let ward = &mut self.ward;
        let said = comes(self.plan.patience(), || {
            ward.attend();
            ward.is_idle()
        });
        let seed = self.plan.seed;
        assert!(
            said.await,
            "still to be said, seed {seed}: {}; {}",
            self.ward.state(),
            self.process.log()
        );
        let mut looked = Instant::now();
        let done = comes(self.plan.patience(), || {
            // A look at the store costs more than one at the simulators.
            let is_time = looked.elapsed() > Duration::from_millis(200);
            if is_time {
                looked = Instant::now();
            }
            is_time && account::open_work(&url).is_empty()
        });
        assert!(
            done.await,
            "not drained, seed {seed}: {:#?}; {}",
            account::open_work(&url),
            self.process.log()
        );
        began.elapsed()
    }
}

async fn begin(plan: Plan, cluster: Option<&Cluster>) -> Run {
    let mut chance = Chance::fork(plan.seed, "ports");
    let results = Results::open(plan.seed).await;
    let store = cluster.map(Cluster::new_schema);
    for _ in 0..20 {
        let ward = Ward::new(&plan, &mut chance, &results.book);
        let lab = ward.lab(results.at);
        let site = match &store {
            Some(url) => Site::on(url, &lab),
            None => Site::new(&lab),
        };
        site.file("catalogue.toml", ward::CATALOGUE);
        let mut process = Process::default();
        process.start(&site.lab());
        let is_at_work = comes(PATIENCE, || {
            process.count("listening at=") > plan.lines || process.says("cannot open the port")
        });
        assert!(is_at_work.await, "it does not start: {}", process.log());
        if process.says("cannot open the port") {
            // Another program was quicker at a port.
            process.kill();
            continue;
        }
        return Run {
            plan,
            site,
            process,
            results,
            ward,
            recoveries: Vec::new(),
            phase: Phase::Usual,
        };
    }
    unreachable!("twenty times another program was quicker at a port")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_with_kills_faults_and_an_outage_loses_and_doubles_nothing() {
    let plan = Plan::read();
    let cluster = if plan.is_postgres {
        Some(Cluster::start().expect("PostgreSQL was asked for"))
    } else {
        None
    };
    let mut run = begin(plan.clone(), cluster.as_ref()).await;
    run.ward.plug();
    let mut chance = Chance::fork(plan.seed, "kills");
    let since = Instant::now();
    let between = plan.lasts / (plan.kills + 1);
    for kill in 1..=plan.kills {
        // Somewhere in the second half of its share of the time.
        let early = Duration::from_millis(chance.below(500) * plan.lasts.as_secs()) / plan.kills;
        let at = (between * kill).saturating_sub(early / 2);
        while since.elapsed() < at {
            run.step(since).await;
        }
        run.kill(since).await;
    }
    while since.elapsed() < plan.lasts {
        run.step(since).await;
    }
    let drained_in = run.drain().await;
    let used = run.process.stop();
    let url = run.site.store();
    let (books, wrong) = books::compare(&run.ward, &run.results.book, &url);
    let findings = account::findings(&url);
    let figures = Figures {
        plan: &plan,
        books,
        used,
        drained_in,
        recoveries: &run.recoveries,
    };
    report(&format!("{figures}"));
    run.ward.unplug();
    let seed = plan.seed;
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    assert!(findings.is_empty(), "seed {seed}: {findings:#?}");
}

#[expect(clippy::print_stderr, reason = "the figures of a soak are its result")]
fn report(line: &str) {
    eprintln!("{line}");
}
