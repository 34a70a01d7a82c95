//! Starting and stopping: the store first, what the last run left, then lines and couriers.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, thread};

use labwire_drivers::{
    Clock, Concurrency, LineConfig, LineHandle, MachineFactory, Tls, TlsFiles, TlsSide, Upstream,
    endpoint::{self, Framing},
    spawn_line,
};
use labwire_protocols::{
    astm::link::{Dialect, Durability, Link},
    bci, beckman_au, dimension, mllp, poct1a, sysmex_legacy,
    wire::Machine,
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    backups,
    certificates::Certificates,
    config::{
        self, Guard, Host, Instrument, Loaded, Problems, Track,
        choice::{Durability as Promise, HostKind, ImagesTaken},
    },
    profile::{Library, Wire},
    queue::{self, Backoff},
    retention,
    store::{Store, StoreError, StoreOptions, Turn, journal},
    tubes,
};

use super::{
    courier::{Courier, Finished, ResultLine},
    desk::{Desk, Destination},
    device::{Answers, DeviceLine, Ids},
    doubt::Doubts,
    folder::Folder,
    host_line::HostLine,
    http_courier,
    parser::{self, Parser, Size, Workers},
    site::{LineSite, Site},
    track::{Keeper, LineBooks, Parts, TrackLine},
};

/// A checked configuration.
#[derive(Debug)]
pub struct Setup {
    /// `lab.toml` and the catalogue.
    pub loaded: Loaded,
    /// The profiles.
    pub library: Library,
    /// Faults and limits of the store, for tests.
    pub store: StoreOptions,
}

/// Why the bridge did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error("the store cannot be opened")]
    Store(#[from] StoreError),
    /// A port string; the check tells of them before.
    #[error("line {line}: {why}")]
    Port {
        /// The line.
        line: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file of an automation line; the check tells of its mistakes before.
    #[error("an automation line cannot be opened: {why}")]
    Track {
        /// The mistakes.
        why: String,
    },
    /// The system gave no thread.
    #[error("a worker thread cannot be started")]
    Thread(#[from] std::io::Error),
}

/// The bridge at work.
#[derive(Debug)]
pub struct Running {
    /// Every line by its id; a host's order line is `host:<id>`.
    pub lines: BTreeMap<String, LineHandle>,
    /// The store.
    pub store: Store,
    /// The site, resolved.
    pub site: Arc<Site>,
    /// The books of every automation line by its id.
    pub tracks: BTreeMap<String, LineBooks>,
    /// The certificates of all its ports.
    pub certificates: Arc<Certificates>,
    stop: CancellationToken,
    couriers: Vec<JoinHandle<()>>,
    result_lines: Vec<LineHandle>,
    workers: Workers,
}

/// Host connections that send orders at once; more are refused, visibly.
const HOST_CONNECTIONS_MAX: usize = 16;

/// Messages for a host that are leased before a connection is free: what a host takes while one
/// transaction goes to disk.
const HOST_AHEAD_MAX: usize = 128;

/// Opens the store, finishes what the last run left, and opens every line.
///
/// # Errors
/// See [`StartError`].
pub async fn start(setup: Setup, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    let Setup {
        loaded,
        library,
        store: options,
    } = setup;
    let url = store_url(&loaded);
    let store = Store::open(&url, options, Arc::clone(&clock)).await?;
    let catalogue = Arc::new(loaded.catalogue.clone());
    let mut problems = Problems::default();
    let tracks = tubes::site::load(&loaded, config::endpoint::read, &mut problems);
    if tracks.len() < loaded.lab.tracks.len() {
        let why = config::render(&problems, false);
        return Err(StartError::Track { why });
    }
    let site = Site::new(&loaded.lab, catalogue, &library).with_tracks(tracks);
    let site = Arc::new(site);
    let restored = store
        .read(|db| journal::meta(db, crate::store::RESTORED_AT))
        .await?;
    let ids = Ids::new(run_began(clock.utc_micros(), restored.as_deref()));
    let ids = Arc::new(ids);
    let freed = store
        .transact(Turn::Background, |db| {
            journal::orphans(db)?;
            queue::void_all_leases(db)
        })
        .await?;
    let learned = Arc::clone(&site.learned);
    store
        .read(move |db| crate::worklist::learn(db, &learned))
        .await?;
    let replayed = parser::replay(&store, &site, &clock, ids.run()).await?;
    tracing::info!(
        replayed = replayed.count,
        lines_behind = replayed.left.len(),
        freed,
        "what the last run left is taken up"
    );
    let mut starter = Starter::new(store, site, clock, ids)?;
    for (line, span) in &replayed.left {
        starter.parser.resume(line, *span);
    }
    for instrument in &loaded.lab.instruments {
        starter.instrument(instrument, &loaded)?;
        starter.folder(instrument, &loaded);
    }
    for track in &loaded.lab.tracks {
        starter.track(track, &loaded).await?;
    }
    for host in &loaded.lab.hosts {
        starter.host(host, &loaded)?;
    }
    starter.backups(&loaded);
    starter.archives(&loaded);
    Ok(starter.finish())
}

/// What names this run in control ids: its start, and never a moment before the store was restored. A
/// host has seen control ids of runs that began between the backup and the restore and that the store
/// knows nothing of; with a clock that was set back this run could take the name of one of them.
fn run_began(now: i64, restored_at: Option<&str>) -> i64 {
    let restored_at = restored_at.and_then(|text| text.parse::<i64>().ok());
    // Runs are named by the millisecond.
    restored_at.map_or(now, |at| now.max(at.saturating_add(1_000)))
}

/// A relative path of the store lies beside `lab.toml`.
fn store_url(loaded: &Loaded) -> String {
    match loaded.lab.store.url.strip_prefix("sqlite:") {
        Some(path) if !path.starts_with('/') && !path.starts_with(':') => {
            format!("sqlite:{}", loaded.base.join(path).display())
        }
        _ => loaded.lab.store.url.to_string(),
    }
}

struct Starter {
    store: Store,
    site: Arc<Site>,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    certificates: Arc<Certificates>,
    parser: Parser,
    answers: Arc<Answers>,
    results_changed: Arc<Notify>,
    downloads_changed: Arc<Notify>,
    stop: CancellationToken,
    lines: BTreeMap<String, LineHandle>,
    tracks: BTreeMap<String, LineBooks>,
    result_lines: Vec<LineHandle>,
    couriers: Vec<JoinHandle<()>>,
    workers: Workers,
}

/// What the parser tells: answers for devices, news for couriers.
struct Ears {
    answers: Arc<Answers>,
    ids: Arc<Ids>,
    results_changed: Arc<Notify>,
    runtime: tokio::runtime::Handle,
}

impl parser::Heard for Ears {
    fn queue_changed(&self) {
        self.results_changed.notify_waiters();
    }

    fn answer(&self, line: &LineSite, connection: u64, payloads: Vec<Vec<u8>>) {
        let _entered = self.runtime.enter();
        self.answers.send(line, connection, payloads, &self.ids);
    }
}

impl Starter {
    fn new(
        store: Store,
        site: Arc<Site>,
        clock: Arc<dyn Clock>,
        ids: Arc<Ids>,
    ) -> Result<Self, StartError> {
        let answers = Arc::new(Answers::default());
        let results_changed = Arc::new(Notify::new());
        let ears = Arc::new(Ears {
            answers: Arc::clone(&answers),
            ids: Arc::clone(&ids),
            results_changed: Arc::clone(&results_changed),
            runtime: tokio::runtime::Handle::current(),
        });
        let count = thread::available_parallelism()
            .map_or(2, usize::from)
            .min(8);
        let (parser, workers) = Parser::start(
            Size::of(count),
            &store,
            &site,
            ears,
            Arc::clone(&clock),
            ids.run(),
        )?;
        Ok(Self {
            store,
            site,
            certificates: Arc::new(Certificates::new(Arc::clone(&clock))),
            clock,
            ids,
            parser,
            answers,
            results_changed,
            downloads_changed: Arc::new(Notify::new()),
            stop: CancellationToken::new(),
            lines: BTreeMap::new(),
            tracks: BTreeMap::new(),
            result_lines: Vec::new(),
            couriers: Vec::new(),
            workers,
        })
    }

    fn instrument(&mut self, instrument: &Instrument, loaded: &Loaded) -> Result<(), StartError> {
        let id = instrument.id.to_string();
        let Some(line) = self.site.lines.get(&id).cloned() else {
            let why = format!("there is no profile {}", *instrument.profile);
            return Err(StartError::Port { line: id, why });
        };
        let guard = (&instrument.guard, loaded);
        let (framing, mut config) = self.line_config(&id, &instrument.port, guard)?;
        config.idle_timeout = line.profile.profile().link.silent_after();
        let machine = machine_of(&line, framing, instrument).map_err(|why| StartError::Port {
            line: id.clone(),
            why,
        })?;
        let apart = self.orders_line(&line, instrument, loaded)?;
        let (finished, news) = mpsc::unbounded_channel();
        let upstream = DeviceLine {
            line: Arc::clone(&line),
            site: Arc::clone(&self.site),
            store: self.store.clone(),
            doubts: Doubts::new(&line, &self.store, &self.parser),
            parser: self.parser.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            finished,
            answers: Arc::clone(&self.answers),
            is_of_orders: false,
        };
        let of_orders = DeviceLine {
            is_of_orders: true,
            ..upstream.clone()
        };
        let clock = || Arc::clone(&self.clock);
        let handle = spawn_line(config, Arc::new(upstream), clock(), machine);
        self.answers.add_line(&id, handle.clone());
        self.lines.insert(id.clone(), handle.clone());
        let mut told_by = handle;
        if let Some((config, machine)) = apart {
            told_by = spawn_line(config, Arc::new(of_orders), clock(), machine);
            self.answers.add_orders_line(&id, told_by.clone());
            self.lines.insert(format!("{id}:orders"), told_by.clone());
        }
        self.courier(
            Destination::Device(line),
            vec![told_by],
            news,
            Backoff::default(),
            i64::MAX,
        );
        Ok(())
    }

    /// Takes the pictures that a device writes into a folder.
    fn folder(&mut self, instrument: &Instrument, loaded: &Loaded) {
        let Some(written) = &instrument.images else {
            return;
        };
        let hosts = self.site.hosts.values().filter(|host| host.gets_images);
        let folder = Folder {
            line: instrument.id.to_string(),
            path: loaded.path(written),
            deletes: *instrument.images_taken == ImagesTaken::Delete,
            hosts: hosts.map(|host| host.id.clone()).collect(),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            results_changed: Arc::clone(&self.results_changed),
        };
        self.couriers
            .push(tokio::spawn(folder.run(self.stop.clone())));
    }

    /// Makes the backups that the site wants.
    fn backups(&mut self, loaded: &Loaded) {
        let Some(plan) = backups::Plan::of(loaded) else {
            return;
        };
        let keeper = backups::Keeper {
            plan,
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            not_before: i64::MIN,
        };
        self.couriers
            .push(tokio::spawn(keeper.run(self.stop.clone())));
    }

    /// Archives what the site need not keep in the store.
    fn archives(&mut self, loaded: &Loaded) {
        let Some(plan) = retention::Plan::of(loaded) else {
            return;
        };
        let keeper = retention::Keeper::new(plan, self.store.clone(), Arc::clone(&self.clock));
        self.couriers
            .push(tokio::spawn(keeper.run(self.stop.clone())));
    }

    /// The line of a device that takes orders on a connection of their own.
    fn orders_line(
        &self,
        line: &Arc<LineSite>,
        instrument: &Instrument,
        loaded: &Loaded,
    ) -> Result<Option<(LineConfig, MachineFactory)>, StartError> {
        let Some(port) = &instrument.orders_port else {
            return Ok(None);
        };
        let id = format!("{}:orders", line.id);
        let (framing, config) = self.line_config(&id, port, (&instrument.guard, loaded))?;
        match machine_of(line, framing, instrument) {
            Ok(machine) => Ok(Some((config, machine))),
            Err(why) => Err(StartError::Port { line: id, why }),
        }
    }

    fn host(&mut self, host: &Host, loaded: &Loaded) -> Result<(), StartError> {
        let id = host.id.to_string();
        let Some(site) = self.site.hosts.get(&id).cloned() else {
            return Ok(());
        };
        if host.kind == HostKind::Http {
            let parts = http_courier::Parts {
                tls: self.tls_of_url(host, loaded),
                host: host.clone(),
                site,
                lab: Arc::clone(&self.site),
                store: self.store.clone(),
                clock: Arc::clone(&self.clock),
                ids: Arc::clone(&self.ids),
                changed: [
                    Arc::clone(&self.results_changed),
                    Arc::clone(&self.downloads_changed),
                ],
                stop: self.stop.clone(),
            };
            let tasks = http_courier::start(&parts).map_err(|error| StartError::Port {
                line: id,
                why: error.to_string(),
            })?;
            self.couriers.extend(tasks);
            return Ok(());
        }
        if let Some(orders) = &host.orders {
            let name = format!("host:{id}");
            let (_, mut config) = self.line_config(&name, orders, (&host.guard, loaded))?;
            config.concurrency = Concurrency::Many(HOST_CONNECTIONS_MAX);
            let upstream: Arc<dyn Upstream> = Arc::new(self.host_line(&site));
            let machine = Arc::new(|| -> Box<dyn Machine> {
                Box::new(mllp::Endpoint::new(mllp::Config::default()))
            });
            let handle = spawn_line(config, upstream, Arc::clone(&self.clock), machine);
            self.lines.insert(name, handle);
        }
        match &host.results {
            Some(results) => self.results(host, site, results, loaded),
            None => Ok(()),
        }
    }

    async fn track(&mut self, track: &Track, loaded: &Loaded) -> Result<(), StartError> {
        let id = track.id.to_string();
        let Some(site) = self.site.tracks.get(&id).cloned() else {
            return Ok(());
        };
        let (framing, config) = self.line_config(&id, &track.port, (&track.guard, loaded))?;
        let machine: MachineFactory = match framing {
            Framing::Mllp => Arc::new(|| Box::new(mllp::Endpoint::new(mllp::Config::default()))),
            Framing::Stream => Arc::new(|| Box::new(Link::new(Dialect::default()))),
        };
        let (sender, news) = mpsc::unbounded_channel();
        let journalled = Arc::new(Notify::new());
        // What the last run left is taken at once.
        journalled.notify_one();
        let upstream = TrackLine {
            track: Arc::clone(&site),
            site: Arc::clone(&self.site),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            journalled: Arc::clone(&journalled),
            news: sender,
        };
        let handle = spawn_line(config, Arc::new(upstream), Arc::clone(&self.clock), machine);
        self.lines.insert(id.clone(), handle.clone());
        let parts = Parts {
            track: site,
            site: Arc::clone(&self.site),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            answers: Arc::clone(&self.answers),
            results_changed: Arc::clone(&self.results_changed),
            journalled,
        };
        let keeper = Keeper::open(parts, handle, news).await?;
        self.tracks.insert(id, keeper.books());
        let task = keeper.run(self.stop.clone());
        self.couriers.push(tokio::spawn(task));
        Ok(())
    }

    fn host_line(&self, host: &Arc<crate::host::HostSite>) -> HostLine {
        HostLine {
            host: Arc::clone(host),
            site: Arc::clone(&self.site),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            changed: [
                Arc::clone(&self.results_changed),
                Arc::clone(&self.downloads_changed),
            ],
        }
    }

    fn results(
        &mut self,
        host: &Host,
        site: Arc<crate::host::HostSite>,
        results: &str,
        loaded: &Loaded,
    ) -> Result<(), StartError> {
        let (finished, news) = mpsc::unbounded_channel::<Finished>();
        let reply_timeout = std::time::Duration::from_secs(host.reply_timeout_s.into());
        let mut handles = Vec::new();
        let name = format!("host:{}:results", *host.id);
        // All connections have one certificate.
        let (_, of_all) = self.line_config(&name, results, (&host.guard, loaded))?;
        let is_listener = of_all.endpoint.listens();
        let count = if is_listener { 1 } else { host.connections };
        for number in 1..=count {
            let mut config = of_all.clone();
            config.id = format!("{name}-{number}");
            let upstream: Arc<dyn Upstream> = Arc::new(ResultLine {
                orders: self.host_line(&site),
                finished: finished.clone(),
            });
            let machine = Arc::new(move || -> Box<dyn Machine> {
                Box::new(mllp::Endpoint::new(mllp::Config {
                    reply_timeout,
                    ..mllp::Config::default()
                }))
            });
            handles.push(spawn_line(
                config,
                upstream,
                Arc::clone(&self.clock),
                machine,
            ));
        }
        self.result_lines.extend(handles.iter().cloned());
        let backoff = backoff_of(host);
        let shown = i64::from(host.refusals_shown);
        self.courier(Destination::Host(site), handles, news, backoff, shown);
        Ok(())
    }

    fn courier(
        &mut self,
        destination: Destination,
        lines: Vec<LineHandle>,
        finished: mpsc::UnboundedReceiver<Finished>,
        backoff: Backoff,
        refusals_shown: i64,
    ) {
        let queue_changed = match &destination {
            Destination::Host(_) | Destination::Http(_) => Arc::clone(&self.results_changed),
            Destination::Device(_) => Arc::clone(&self.downloads_changed),
        };
        let desk = Desk {
            destination,
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            backoff,
        };
        let ahead_max = match &desk.destination {
            Destination::Host(_) => HOST_AHEAD_MAX,
            // A device is told as late as possible: an order may be cancelled until then.
            Destination::Http(_) | Destination::Device(_) => 0,
        };
        let courier = Courier {
            desk,
            ahead_max,
            lines,
            finished,
            queue_changed,
            refusals_shown,
        };
        self.couriers
            .push(tokio::spawn(courier.run(self.stop.clone())));
    }

    /// How a line is driven, and who may be at its other end.
    fn line_config(
        &self,
        id: &str,
        port: &str,
        (guard, loaded): (&Guard, &Loaded),
    ) -> Result<(Framing, LineConfig), StartError> {
        let (framing, endpoint) = endpoint::parse(port).map_err(|error| StartError::Port {
            line: id.to_owned(),
            why: error.to_string(),
        })?;
        let side = endpoint.tls_side();
        let mut config = LineConfig::new(id, endpoint);
        config.peers_allowed = guard.peers_allowed();
        config.tls = side.map(|side| self.tls(id, guard.files(loaded), side));
        Ok((framing, config))
    }

    fn tls(&self, owner: &str, files: TlsFiles, side: TlsSide) -> Arc<Tls> {
        let tls = Tls::new(owner, files, side, Arc::clone(&self.clock));
        let tls = Arc::new(tls);
        self.certificates.add(Arc::clone(&tls));
        tls
    }

    /// The TLS of a host that is reached over HTTP, where one of its addresses is of `https://`.
    fn tls_of_url(&self, host: &Host, loaded: &Loaded) -> Option<Arc<Tls>> {
        let urls = [&host.orders, &host.results];
        let has_tls = |url: &config::read::At<String>| url.starts_with("https://");
        let is_needed = urls.into_iter().flatten().any(has_tls);
        let owner = format!("host:{}", *host.id);
        is_needed.then(|| self.tls(&owner, host.guard.files(loaded), TlsSide::Client))
    }

    fn finish(mut self) -> Running {
        let looking = Arc::clone(&self.certificates).run(self.stop.clone());
        self.couriers.push(tokio::spawn(looking));
        Running {
            certificates: self.certificates,
            lines: self.lines,
            store: self.store,
            site: self.site,
            tracks: self.tracks,
            stop: self.stop,
            couriers: self.couriers,
            result_lines: self.result_lines,
            workers: self.workers,
        }
    }
}

/// The waits between tries that the site set.
pub(super) fn backoff_of(host: &Host) -> Backoff {
    Backoff {
        first: i64::from(host.retry_first_s) * 1_000_000,
        longest: i64::from(host.retry_longest_s) * 1_000_000,
    }
}

fn machine_of(
    line: &Arc<LineSite>,
    framing: Framing,
    instrument: &Instrument,
) -> Result<MachineFactory, String> {
    let profile = line.profile.profile();
    let protocol = profile.device.protocol;
    if protocol.is_mllp() != (framing == Framing::Mllp) {
        let (instead, written) = if protocol.is_mllp() {
            ("mllp-listen:// or mllp://", "tcp")
        } else {
            ("tcp-listen://, tcp:// or serial://", "mllp")
        };
        return Err(format!(
            "profile {} speaks {}: write {instead} in place of {written}",
            profile.name,
            protocol.name()
        ));
    }
    let durability = match instrument.durability {
        Promise::Frame => Durability::Frame,
        Promise::Message => Durability::Message,
    };
    Ok(match &profile.wire {
        Wire::Astm => {
            let mut dialect = profile.link.dialect();
            dialect.durability = durability;
            Arc::new(move || Box::new(Link::new(dialect.clone())))
        }
        Wire::Hl7 => {
            let config = profile.link.mllp();
            Arc::new(move || Box::new(mllp::Endpoint::new(config.clone())))
        }
        Wire::BeckmanAu(dialect) => {
            let mut dialect = beckman_au::Dialect::clone(dialect);
            dialect.durability = durability;
            Arc::new(move || Box::new(beckman_au::Link::new(dialect.clone())))
        }
        // One message is one frame: both promises are the same.
        Wire::Dimension(dialect) => {
            let dialect = Arc::clone(dialect);
            Arc::new(move || Box::new(dimension::Link::new(dimension::Dialect::clone(&dialect))))
        }
        Wire::Poct1a(dialect) => {
            let dialect = Arc::clone(dialect);
            Arc::new(move || Box::new(poct1a::Link::new(poct1a::Dialect::clone(&dialect))))
        }
        Wire::Bci(wire) => {
            let wire = Arc::clone(wire);
            Arc::new(move || Box::new(bci::Link::new(wire.dialect.clone())))
        }
        Wire::SysmexLegacy(wire) => {
            let wire = Arc::clone(wire);
            Arc::new(move || Box::new(sysmex_legacy::Link::new(wire.dialect.clone())))
        }
    })
}

impl Running {
    /// Where a listening line listens.
    pub async fn address(&self, line: &str) -> Option<SocketAddr> {
        self.lines.get(line)?.local_addr().await
    }

    /// The connections on which results go to hosts, each by its name.
    pub fn result_lines(&self) -> impl Iterator<Item = (String, LineHandle)> + '_ {
        let lines = self.result_lines.iter();
        lines.map(|line| (line.status().id, line.clone()))
    }

    /// Stops in order: devices and hosts first, so that nothing new is promised; what was handed
    /// over is settled; what is on its way to a host may still be answered.
    pub async fn stop(self) {
        let Self {
            lines,
            store,
            site: _,
            tracks: _,
            certificates: _,
            stop,
            couriers,
            result_lines,
            workers,
        } = self;
        futures_util::future::join_all(lines.values().map(LineHandle::stop)).await;
        stop.cancel();
        for line in &result_lines {
            line.stop().await;
        }
        for courier in couriers {
            // A courier that panicked has been logged by the runtime.
            drop(courier.await);
        }
        drop(lines);
        drop(result_lines);
        let joined = tokio::task::spawn_blocking(move || workers.stop());
        drop(joined.await);
        store.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_after_a_restore_is_named_like_none_before_it_whatever_the_clock_says() {
        let restored_at = 1_773_129_600_000_500;
        let name =
            |now, restored: Option<&str>| Ids::new(run_began(now, restored)).run().to_owned();
        let text = restored_at.to_string();
        let before: Vec<String> = (0..5)
            .map(|ago| name(restored_at - ago * 400, None))
            .collect();
        for now in [restored_at - 3_600_000_000, restored_at - 400, restored_at] {
            assert!(!before.contains(&name(now, Some(&text))), "{now}");
        }
        assert_eq!(
            name(restored_at + 5_000, Some(&text)),
            name(restored_at + 5_000, None)
        );
    }
}
