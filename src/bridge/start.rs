//! Starting and stopping: the store first, what the last run left, then lines and couriers.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, thread};

use labwire_drivers::{
    Clock, Concurrency, LineConfig, LineHandle, MachineFactory, Ports, Tls, TlsFiles, TlsSide,
    Upstream,
    endpoint::{self, Framing},
    spawn_line,
};
use labwire_protocols::{
    astm::link::{Dialect, Link},
    mllp,
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
        choice::{HostKind, ImagesTaken},
    },
    profile::Library,
    queue::{self, Backoff},
    retention,
    store::{Db, Store, StoreError, StoreOptions, Turn, journal},
    tubes,
    vitals::Vitals,
};

use super::{
    courier::{Courier, Finished, ResultLine},
    desk::{Desk, Destination},
    device::{Answers, DeviceLine, Ids},
    doubt::Doubts,
    folder::Folder,
    host_line::HostLine,
    http_courier,
    lookout::Lookout,
    machine::machine_of,
    news::News,
    node::Node,
    opening::open_store,
    parser::{self, Parser, Size, Workers},
    replay,
    site::{LineSite, Site},
    tenure::Tenure,
    track::{Keeper, LineBooks, Parts, TrackLine},
    unit::{Open, Opened, Unit},
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
    /// Where lines get their connections, in the place of the system's: for simulations.
    pub ports: Option<Arc<dyn Ports>>,
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
    /// Another node took over what this one served.
    #[error("this node ended")]
    ShutOut(#[source] StoreError),
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
    /// Whether all of it gets on.
    pub vitals: Arc<Vitals>,
    /// What is open now: as a node among others, this changes.
    pub open: Open,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    units: Vec<Opened>,
    node: Option<Node>,
    workers: Workers,
}

/// Host connections that send orders at once; more are refused, visibly.
const HOST_CONNECTIONS_MAX: usize = 16;

/// Messages for a host that are leased before a connection is free: what a host takes while one
/// transaction goes to disk.
const HOST_AHEAD_MAX: usize = 128;

/// Opens the store, finishes what the last run left, and opens every line. As one node of several
/// (`[node]`), it opens what it gets a lease of, as long as it has it.
///
/// # Errors
/// See [`StartError`].
pub async fn start(setup: Setup, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    let Setup {
        loaded,
        library,
        store: options,
        ports,
    } = setup;
    let (store, ids) = open_store(&loaded, options, &clock).await?;
    let catalogue = Arc::new(loaded.catalogue.clone());
    let mut problems = Problems::default();
    let tracks = tubes::site::load(&loaded, config::endpoint::read, &mut problems);
    if tracks.len() < loaded.lab.tracks.len() {
        let why = config::render(&problems, false);
        return Err(StartError::Track { why });
    }
    let site = Site::new(&loaded.lab, catalogue, &library).with_tracks(tracks);
    let site = Arc::new(site);
    let (mut starter, workers) = Starter::new(store, site, loaded, clock, ids)?;
    starter.ports = ports;
    let starter = Arc::new(starter);
    let stop = CancellationToken::new();
    let looking = Arc::clone(&starter.certificates).run(stop.clone());
    let lookout = Arc::clone(&starter.lookout).run(
        starter.store.clone(),
        Arc::clone(&starter.clock),
        Arc::clone(&starter.downloads_changed),
        stop.clone(),
    );
    let vitals = Vitals::new(
        starter.store.clone(),
        Arc::new(starter.open.clone()),
        workers.beats(),
        Arc::clone(&starter.clock),
    );
    let mut running = Running {
        vitals: Arc::new(vitals),
        certificates: Arc::clone(&starter.certificates),
        open: starter.open.clone(),
        lines: BTreeMap::new(),
        tracks: BTreeMap::new(),
        store: starter.store.clone(),
        site: Arc::clone(&starter.site),
        stop,
        tasks: vec![tokio::spawn(looking), tokio::spawn(lookout)],
        units: Vec::new(),
        node: None,
        workers,
    };
    if let Some(seat) = starter.store.seat() {
        running.node = Some(Node::start(starter, seat)?);
        return Ok(running);
    }
    starter.take_up(None).await?;
    for unit in Unit::all(&starter.loaded.lab) {
        running.units.push(starter.open(&unit).await?);
    }
    running.lines = running.open.lines();
    running.tracks = running.open.tracks();
    Ok(running)
}

/// What all units share, and how each is opened.
pub(super) struct Starter {
    pub(super) store: Store,
    pub(super) loaded: Loaded,
    pub(super) open: Open,
    pub(super) tenure: Tenure,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<Ids>,
    pub(super) parser: Parser,
    pub(super) results_changed: Arc<News>,
    pub(super) downloads_changed: Arc<News>,
    /// Wakes the couriers of devices after `downloads_changed`.
    lookout: Arc<Lookout>,
    site: Arc<Site>,
    certificates: Arc<Certificates>,
    answers: Arc<Answers>,
    ports: Option<Arc<dyn Ports>>,
}

/// What the parser tells: answers for devices, news for couriers.
struct Ears {
    answers: Arc<Answers>,
    ids: Arc<Ids>,
    results_changed: Arc<News>,
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
        loaded: Loaded,
        clock: Arc<dyn Clock>,
        ids: Arc<Ids>,
    ) -> Result<(Self, Workers), StartError> {
        let answers = Arc::new(Answers::default());
        let results_changed = Arc::new(News::default());
        let ears = Arc::new(Ears {
            answers: Arc::clone(&answers),
            ids: Arc::clone(&ids),
            results_changed: Arc::clone(&results_changed),
            runtime: tokio::runtime::Handle::current(),
        });
        let count = thread::available_parallelism()
            .map_or(2, usize::from)
            .min(8);
        // Which line has which worker is the same on every machine.
        #[cfg(test)]
        let count = store.by_hand().map_or(count, |_| 2);
        let (parser, workers) = Parser::start(
            Size::of(count),
            &store,
            &site,
            ears,
            Arc::clone(&clock),
            ids.run(),
        )?;
        let starter = Self {
            open: Open::default(),
            tenure: Tenure::of(store.seat().is_some(), &clock),
            store,
            site,
            loaded,
            certificates: Arc::new(Certificates::new(Arc::clone(&clock))),
            clock,
            ids,
            parser,
            answers,
            results_changed,
            downloads_changed: Arc::new(News::default()),
            lookout: Arc::default(),
            ports: None,
        };
        Ok((starter, workers))
    }

    /// Finishes what the last holder of a unit left, of all units where none is named: frames of a
    /// message without its end, rows on their way, messages that were not read. Before it is opened.
    pub(super) async fn take_up(&self, unit: Option<&Unit>) -> Result<(), StartError> {
        let name = unit.map(|unit| unit.name().to_owned());
        let line = unit.map(|unit| unit.line().to_owned());
        let of = line.clone();
        let work = move |db: &mut dyn Db| {
            journal::orphans_of(db, of.as_deref())?;
            let last = of.map_or(Ok(0), |line| journal::last_connection(db, &line))?;
            let freed = match &name {
                None => queue::void_all_leases(db)?,
                Some(name) => queue::void_leases(db, name)?,
            };
            Ok((freed, last))
        };
        let (freed, last) = self.store.transact(Turn::Background, work).await?;
        if let Some(line) = &line {
            let epoch = self.clock.utc_micros().max(last.saturating_add(1));
            self.ids.begin_line(line, epoch);
        }
        let learned = Arc::clone(&self.site.learned);
        let learn = move |db: &mut dyn Db| crate::worklist::learn(db, &learned);
        self.store.read(learn).await?;
        let (store, run) = (&self.store, self.ids.run());
        let replayed = replay::replay(store, &self.site, &self.clock, run, line.as_deref()).await?;
        tracing::info!(
            unit = unit.map_or("all", Unit::name),
            replayed = replayed.count,
            lines_behind = replayed.left.len(),
            freed,
            "what the last run left is taken up"
        );
        for (line, span) in &replayed.left {
            self.parser.resume(line, *span);
        }
        Ok(())
    }

    /// Takes up what the last holder of a unit left, and opens it.
    pub(super) async fn serve(&self, unit: &Unit) -> Result<Opened, StartError> {
        self.take_up(Some(unit)).await?;
        self.open(unit).await
    }

    /// Opens a unit.
    pub(super) async fn open(&self, unit: &Unit) -> Result<Opened, StartError> {
        let mut out = Opened::new(unit, &self.open);
        match unit {
            Unit::Line(_, instrument) => {
                self.instrument(instrument, &mut out)?;
                self.folder(instrument, &mut out);
            }
            Unit::Track(_, track) => self.track(track, &mut out).await?,
            Unit::Host(_, host) => self.host(host, &mut out)?,
            Unit::Site => {
                self.backups(&mut out);
                self.archives(&mut out);
            }
        }
        self.open.add(&out);
        Ok(out)
    }

    fn instrument(&self, instrument: &Instrument, out: &mut Opened) -> Result<(), StartError> {
        let loaded = &self.loaded;
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
        out.answers = Some(Arc::clone(&self.answers));
        out.lines.push((id.clone(), handle.clone()));
        let mut told_by = handle;
        if let Some((config, machine)) = apart {
            told_by = spawn_line(config, Arc::new(of_orders), clock(), machine);
            self.answers.add_orders_line(&id, told_by.clone());
            out.lines.push((format!("{id}:orders"), told_by.clone()));
        }
        self.courier(
            out,
            Destination::Device(line),
            (vec![told_by], news),
            Backoff::default(),
            i64::MAX,
        );
        Ok(())
    }

    /// Takes the pictures that a device writes into a folder.
    fn folder(&self, instrument: &Instrument, out: &mut Opened) {
        let Some(written) = &instrument.images else {
            return;
        };
        let hosts = self.site.hosts.values().filter(|host| host.gets_images);
        let folder = Folder {
            line: instrument.id.to_string(),
            path: self.loaded.path(written),
            deletes: *instrument.images_taken == ImagesTaken::Delete,
            hosts: hosts.map(|host| host.id.clone()).collect(),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            results_changed: Arc::clone(&self.results_changed),
        };
        out.tasks.push(tokio::spawn(folder.run(out.stop.clone())));
    }

    /// Makes the backups that the site wants.
    fn backups(&self, out: &mut Opened) {
        let Some(plan) = backups::Plan::of(&self.loaded) else {
            return;
        };
        let keeper = backups::Keeper {
            plan,
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            not_before: i64::MIN,
        };
        out.tasks.push(tokio::spawn(keeper.run(out.stop.clone())));
    }

    /// Archives what the site need not keep in the store.
    fn archives(&self, out: &mut Opened) {
        let Some(plan) = retention::Plan::of(&self.loaded) else {
            return;
        };
        let keeper = retention::Keeper::new(plan, self.store.clone(), Arc::clone(&self.clock));
        out.tasks.push(tokio::spawn(keeper.run(out.stop.clone())));
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

    fn host(&self, host: &Host, out: &mut Opened) -> Result<(), StartError> {
        let loaded = &self.loaded;
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
                stop: out.stop.clone(),
                tenure: self.tenure.clone(),
            };
            let tasks = http_courier::start(&parts).map_err(|error| StartError::Port {
                line: id,
                why: error.to_string(),
            })?;
            out.tasks.extend(tasks);
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
            out.lines.push((name, handle));
        }
        match &host.results {
            Some(results) => self.results(host, site, results, out),
            None => Ok(()),
        }
    }

    async fn track(&self, track: &Track, out: &mut Opened) -> Result<(), StartError> {
        let id = track.id.to_string();
        let Some(site) = self.site.tracks.get(&id).cloned() else {
            return Ok(());
        };
        let guard = (&track.guard, &self.loaded);
        let (framing, config) = self.line_config(&id, &track.port, guard)?;
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
        out.lines.push((id.clone(), handle.clone()));
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
        out.track = Some((id, keeper.books()));
        let task = keeper.run(out.stop.clone());
        out.tasks.push(tokio::spawn(task));
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
        &self,
        host: &Host,
        site: Arc<crate::host::HostSite>,
        results: &str,
        out: &mut Opened,
    ) -> Result<(), StartError> {
        let (finished, news) = mpsc::unbounded_channel::<Finished>();
        let reply_timeout = std::time::Duration::from_secs(host.reply_timeout_s.into());
        let mut handles = Vec::new();
        let name = format!("host:{}:results", *host.id);
        // All connections have one certificate.
        let (_, of_all) = self.line_config(&name, results, (&host.guard, &self.loaded))?;
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
        out.result_lines.extend(handles.iter().cloned());
        let backoff = backoff_of(host);
        let shown = i64::from(host.refusals_shown);
        self.courier(
            out,
            Destination::Host(site),
            (handles, news),
            backoff,
            shown,
        );
        Ok(())
    }

    fn courier(
        &self,
        out: &mut Opened,
        destination: Destination,
        (lines, finished): (Vec<LineHandle>, mpsc::UnboundedReceiver<Finished>),
        backoff: Backoff,
        refusals_shown: i64,
    ) {
        let queue_changed = match &destination {
            Destination::Host(_) | Destination::Http(_) => Arc::clone(&self.results_changed),
            Destination::Device(line) => self.lookout.news_of(&format!("line:{}", line.id)),
        };
        let desk = Desk {
            destination,
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            backoff,
            tenure: self.tenure.clone(),
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
        out.tasks.push(tokio::spawn(courier.run(out.stop.clone())));
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
        config.ports.clone_from(&self.ports);
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
}

/// The waits between tries that the site set.
pub(super) fn backoff_of(host: &Host) -> Backoff {
    Backoff {
        first: i64::from(host.retry_first_s) * 1_000_000,
        longest: i64::from(host.retry_longest_s) * 1_000_000,
    }
}

impl Running {
    /// Where a listening line listens.
    pub async fn address(&self, line: &str) -> Option<SocketAddr> {
        self.lines.get(line)?.local_addr().await
    }

    /// The connections on which results go to hosts, each by its name.
    pub fn result_lines(&self) -> impl Iterator<Item = (String, LineHandle)> + '_ {
        let lines = self.units.iter().flat_map(|unit| &unit.result_lines);
        lines.map(|line| (line.status().id, line.clone()))
    }

    /// What is left of a process that died: nothing of it reaches anybody any more, and its tasks end.
    #[cfg(test)]
    pub(super) fn bury(self) {
        self.stop.cancel();
        self.tasks.iter().for_each(JoinHandle::abort);
        // A unit that is dropped ends at once.
        drop(self.units);
    }

    /// Resolves when this node was shut out by another, or cannot go on as one: nothing that it still
    /// has may be used then, and the process has to end. Never, where there is one owner.
    pub async fn shut_out(&mut self) -> StoreError {
        match &mut self.node {
            Some(node) => node.shut_out().await,
            None => std::future::pending().await,
        }
    }

    /// Stops in order: devices and hosts first, so that nothing new is promised; what was handed
    /// over is settled; what is on its way to a host may still be answered.
    pub async fn stop(self) {
        let Self {
            store,
            stop,
            tasks,
            units,
            node,
            workers,
            ..
        } = self;
        futures_util::future::join_all(units.iter().map(Opened::close)).await;
        futures_util::future::join_all(units.into_iter().map(Opened::stop)).await;
        if let Some(node) = node {
            node.stop().await;
        }
        stop.cancel();
        for task in tasks {
            // A task that panicked has been logged by the runtime.
            drop(task.await);
        }
        let joined = tokio::task::spawn_blocking(move || workers.stop());
        drop(joined.await);
        store.close().await;
    }

    /// Ends without order, after [`Self::shut_out`]: what is under way is not promised to anybody.
    pub async fn cut(self) {
        if let Some(node) = self.node {
            node.cut().await;
        }
        self.store.close().await;
    }
}
