//! Labwire beside the limits of the machine it runs on, measured in one run.
//!
//! ```text
//! cargo bench --bench load                        the table
//! cargo bench --bench load -- --quick             the table in about a minute, less exact
//! cargo bench --bench load -- burst               the rows whose name holds `burst`
//! cargo bench --bench load -- --stored 10000000   with so many results stored before
//! cargo bench --bench load -- --store postgres    the store on PostgreSQL, in a cluster of its own
//! ```
//!
//! Nothing here fails on a slow machine: every figure stands beside its limit, and the ratio tells.
//! The log is written as `labwire run` writes it, to nowhere.
#![expect(
    unreachable_pub,
    reason = "modules of one program; `pub` marks what other modules use"
)]

mod astm;
mod child;
#[path = "../cluster.rs"]
#[expect(dead_code, reason = "tests do more with a cluster")]
mod cluster;
mod consoles;
mod copies;
mod decode;
mod limits;
mod mllp;
mod outage;
mod site;
mod stored;
mod table;

use std::io::{Write as _, stdout};

use anyhow::Context as _;

use crate::{limits::Limits, table::Table};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Smaller counts.
    pub is_quick: bool,
    /// Only rows whose names hold one of these.
    names: Vec<String>,
    /// Results stored before the rows about a store that has grown.
    pub stored: i64,
    /// The store is on PostgreSQL.
    is_postgres: bool,
}

impl Wanted {
    fn read(arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut wanted = Self {
            is_quick: false,
            names: Vec::new(),
            stored: 0,
            is_postgres: false,
        };
        let mut arguments = arguments.skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {}
                "--quick" => wanted.is_quick = true,
                "--stored" => {
                    let count = arguments.next().context("--stored wants a number")?;
                    wanted.stored = count.parse().context("--stored wants a number")?;
                }
                "--store" => match arguments.next().as_deref() {
                    Some("sqlite") => wanted.is_postgres = false,
                    Some("postgres") => wanted.is_postgres = true,
                    _ => anyhow::bail!("--store wants sqlite or postgres"),
                },
                name => wanted.names.push(name.to_owned()),
            }
        }
        if wanted.stored == 0 {
            wanted.stored = wanted.count(1_000_000, 100_000).cast_signed();
        }
        Ok(wanted)
    }

    /// A count for the full run or the quick one.
    pub fn count(&self, full: u64, quick: u64) -> u64 {
        if self.is_quick { quick } else { full }
    }

    fn takes(&self, row: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| row.contains(name.as_str()))
    }
}

fn main() -> anyhow::Result<()> {
    let wanted = Wanted::read(std::env::args())?;
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(std::io::sink)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&wanted))
}

async fn run(wanted: &Wanted) -> anyhow::Result<()> {
    let mut table = Table::default();
    table.note(machine());
    if wanted.is_postgres {
        tokio::task::spawn_blocking(site::start_server).await??;
        table.note("the store is on PostgreSQL".to_owned());
    }
    let limits = Limits::measure(wanted).await?;
    limits.notes().into_iter().for_each(|note| table.note(note));
    macro_rules! row {
        ($name:literal, $work:expr) => {
            if wanted.takes($name) {
                let before = table.rows();
                if let Err(error) = $work(&mut table, wanted, &limits).await {
                    table.failed($name, &error);
                }
                table.show_from(before)?;
            }
        };
    }
    row!("decode", decode::decode);
    row!("acknowledgement", mllp::acknowledgement);
    row!("burst-16", mllp::burst_16);
    row!("burst-64", mllp::burst_64);
    row!("end-to-end", mllp::end_to_end);
    row!("astm-frame", astm::by_frame);
    row!("astm-message", astm::by_message);
    row!("serial", astm::serial);
    row!("query", stored::query);
    row!("growth", stored::growth);
    row!("consoles", consoles::consoles);
    row!("memory", child::memory);
    row!("restart", child::restart);
    row!("outage", outage::outage);
    row!("binary", child::binary);
    table.note(machine());
    writeln!(stdout().lock(), "\n{table}")?;
    Ok(())
}

/// Cores and how busy they are, for whoever reads the figures later.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    format!("{cores} cores, load average {}", load.join(" "))
}
