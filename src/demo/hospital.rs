//! The site of the demo: its `lab.toml`, its catalogue, and who is plugged in where.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use labwire_protocols::mllp;
use labwire_sims::{
    clock::Clock,
    line::{POWER_EXPRESS, Setup, TrackLine, befall, troubles},
    morning::{Addresses, Attached, FedByLine, Way},
    persona::Persona,
    port::{Port, keep},
    runner::Wire,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::bridge::Running;

use super::DemoError;

/// The catalogue of the library, as it is: the demo shows that it and the profiles fit.
pub(super) const CATALOGUE: &str = include_str!("../../config/catalogue.toml");

/// Simulated patients are well. So that somebody has to be called now and then, the highest of their
/// haemoglobin values are critical here.
fn catalogue() -> String {
    CATALOGUE.replace(
        "critical = { low = 70, high = 200 }",
        "critical = { low = 70, high = 175 }",
    )
}

/// The automation line of the example site. The simulated one is as much faster as the morning is, so no
/// way has a least time.
const LINE: &str = include_str!("../../config/example/line.toml");

/// Where pneumatic tubes end in the line.
pub(super) const TEMPUS: &str = "TEMPUS1";

/// The line's id in `lab.toml`.
const LINE_ID: &str = "line-1";

/// The way of serum and plasma: spun and opened before, closed after.
const fn spun(module: &'static str) -> Way {
    Way {
        module,
        before: &[&["CENT1", "DECAP1"], &["CENT2", "DECAP1"]],
        after: &["RECAP1", "STORE1"],
    }
}

/// The way of whole blood.
const fn whole(module: &'static str) -> Way {
    Way {
        module,
        before: &[],
        after: &["STORE1"],
    }
}

/// The analyzers that the line feeds; people carry tubes to the others.
const ON_LINE: &[(&str, Way)] = &[
    ("bio-1", spun("AU1")),
    ("bio-2", spun("AU2")),
    ("access-1", spun("DXI1")),
    ("xn-1", whole("XN1")),
    ("sta-1", spun("ACL1")),
    ("sta-2", spun("ACL2")),
];

/// A department of the hospital's laboratory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Department {
    /// Clinical chemistry and immunology.
    Biochemistry,
    /// Blood counts and coagulation.
    Haematology,
    /// Blood groups.
    Transfusion,
}

impl Department {
    /// All of them, as they are told.
    pub const ALL: &'static [Self] = &[Self::Biochemistry, Self::Haematology, Self::Transfusion];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Biochemistry => "biochemistry",
            Self::Haematology => "haematology",
            Self::Transfusion => "transfusion",
        }
    }
}

/// One analyzer of the demo.
pub(super) struct Bench {
    /// Its id in `lab.toml`.
    pub(super) id: &'static str,
    persona: &'static str,
    profile: &'static str,
    scheme: &'static str,
    section: &'static str,
    tests: &'static str,
}

/// Reagents by the short names that the site gave them.
const STA_TESTS: &str = "{ SPT = \"PT\", SAP = \"APTT\", FIB = \"FIB\" }";

/// The analyzers, in the order in which the morning numbers them. It looks for the bench of a tube in
/// this order, so neighbours are of different sections: each gets a like share.
pub(super) const BENCHES: &[Bench] = &[
    Bench {
        tests: "{ GLU = \"GLU\", UREA = \"UREA\", CREA = \"CREA\", AST = \"AST\", ALT = \"ALT\", \
                NA = \"NA\", K = \"K\", CL = \"CL\", CA = \"CA\", CHOL = \"CHOL\" }",
        ..tcp("bio-1", "generic-astm", "generic/astm", "biochemistry")
    },
    Bench {
        tests: STA_TESTS,
        ..tcp("sta-1", "stago-sta", "stago/sta", "coagulation")
    },
    tcp("xn-1", "sysmex-xn", "sysmex/xn", "haematology"),
    tcp("access-1", "access2", "beckman/access2", "immunology"),
    Bench {
        scheme: "mllp-listen",
        // This one names its tests by LOINC.
        tests: "{ \"2345-7\" = \"GLU\", \"22664-7\" = \"UREA\", \"2160-0\" = \"CREA\", \
                \"1920-8\" = \"AST\", \"1742-6\" = \"ALT\", \"2951-2\" = \"NA\", \"2823-3\" = \"K\", \
                \"2075-0\" = \"CL\", \"17861-6\" = \"CA\", \"2093-3\" = \"CHOL\" }",
        ..tcp("bio-2", "generic-hl7", "generic/hl7", "biochemistry")
    },
    Bench {
        tests: STA_TESTS,
        ..tcp("sta-2", "stago-sta", "stago/sta", "coagulation")
    },
    tcp(
        "h500-1",
        "yumizen-h500",
        "horiba/yumizen-h500",
        "haematology",
    ),
    tcp("e411-1", "cobas-e411", "roche/cobas-e411", "immunology"),
    Bench {
        scheme: "mllp-listen",
        ..tcp("bc-1", "mindray-bc5000", "mindray/bc-5000", "haematology")
    },
    Bench {
        // Wells of reverse typing, on a card of its own.
        tests: "{ \"MO10^A1\" = \"RXA1\", \"MO10^B\" = \"RXBC\" }",
        ..tcp("ih-1", "ih-com", "biorad/ih-com", "transfusion")
    },
];

const fn tcp(
    id: &'static str,
    persona: &'static str,
    profile: &'static str,
    section: &'static str,
) -> Bench {
    Bench {
        id,
        persona,
        profile,
        scheme: "tcp-listen",
        section,
        tests: "",
    }
}

impl Bench {
    /// Who plays it.
    pub(super) fn persona(&self) -> Option<&'static Persona> {
        Persona::named(self.persona)
    }

    /// Whose it is.
    pub(super) fn department(&self) -> Department {
        match self.section {
            "haematology" | "coagulation" => Department::Haematology,
            "transfusion" => Department::Transfusion,
            _ => Department::Biochemistry,
        }
    }
}

/// Writes `lab.toml` and `catalogue.toml`; returns the path of the first.
pub(super) fn write(folder: &Path, results: SocketAddr) -> io::Result<PathBuf> {
    fs::write(folder.join("catalogue.toml"), catalogue())?;
    fs::write(folder.join("line.toml"), line())?;
    let lab = folder.join("lab.toml");
    fs::write(&lab, toml(results))?;
    Ok(lab)
}

fn toml(results: SocketAddr) -> String {
    let mut text = format!(
        "# The site of a demo. Port 0 is any free one: a new demo writes this file anew.\n\n\
         [lab]\nname = \"Khoa Xét nghiệm (demo)\"\ncatalogue = \"catalogue.toml\"\n\
         timezone = \"Asia/Ho_Chi_Minh\"\n\n[store]\nurl = \"sqlite:labwire.db\"\n\n\
         [console]\ncall_within_min = 2\n\n\
         [[host]]\nid = \"his\"\norders = \"mllp-listen://127.0.0.1:0\"\n\
         results = \"mllp://{results}\"\nconnections = 2\n"
    );
    for bench in BENCHES {
        let Bench {
            id,
            profile,
            scheme,
            section,
            tests,
            ..
        } = bench;
        text.push_str(&format!(
            "\n[[instrument]]\nid = \"{id}\"\nprofile = \"{profile}\"\n\
             port = \"{scheme}://127.0.0.1:0\"\nsection = \"{section}\"\nqc_every_h = 24\n"
        ));
        if !tests.is_empty() {
            text.push_str(&format!("tests = {tests}\n"));
        }
    }
    text.push_str(&format!(
        "\n[[track]]\nid = \"{LINE_ID}\"\nport = \"mllp-listen://127.0.0.1:0\"\n\
         file = \"line.toml\"\n"
    ));
    text
}

fn line() -> String {
    let mut text = String::new();
    for line in LINE.lines() {
        let key = line.split('=').next().unwrap_or_default().trim();
        match key {
            "transit_min_s" => {}
            "transit_s" => text.push_str(&format!("{line}\ntransit_min_s = 0\n")),
            "by_hand_s" => text.push_str("by_hand_s = 1\n"),
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    for (bench, way) in ON_LINE {
        let module = way.module;
        let id = format!("id = \"{module}\"\n");
        // The example names the counter's instrument itself.
        if !text.contains(&format!("instrument = \"{bench}\"\n")) {
            text = text.replace(&id, &format!("{id}instrument = \"{bench}\"\n"));
        }
    }
    text
}

/// Plugs the simulated line in, `speed` times as fast as a real one, with what goes wrong in a morning
/// of that seed and length; it runs until `stop`.
pub(super) async fn plug_line(
    running: &Running,
    speed: f64,
    (seed, span): (u64, Duration),
    stop: CancellationToken,
) -> Result<FedByLine, DemoError> {
    const TRANSIT: Duration = Duration::from_secs(40);
    let port = Port::Connect(address(running, LINE_ID).await?);
    let clock = Clock::real(7 * 60);
    let speed = speed.max(0.001);
    let mut line = TrackLine::new(Setup {
        layout: POWER_EXPRESS,
        transit: TRANSIT.div_f64(speed),
        dwell: Duration::ZERO,
        pace: Some(speed),
        stops_when_idle: false,
        clock,
    });
    let attendant = line.attendant();
    let mut wire = Wire::new(clock);
    wire.cancel = stop.clone();
    wire.wake = attendant.wake();
    tokio::spawn(async move {
        let mut endpoint = mllp::Endpoint::new(mllp::Config::default());
        keep(port, &mut endpoint, &mut line, &mut wire).await
    });
    let troubles = troubles(seed, span, &POWER_EXPRESS);
    let befalls = befall(attendant.clone(), troubles, speed);
    tokio::spawn(async move { stop.run_until_cancelled(befalls).await });
    let on_line = |bench: &Bench| ON_LINE.iter().find(|(id, _)| *id == bench.id);
    let ways = BENCHES.iter().enumerate();
    let ways = ways.filter_map(|(index, bench)| Some((index, on_line(bench)?.1)));
    Ok(FedByLine {
        attendant,
        ways: ways.collect(),
    })
}

/// Plugs every simulator into the port that its line was given.
pub(super) async fn plug(running: &Running, results: TcpListener) -> Result<Addresses, DemoError> {
    let mut instruments = Vec::new();
    for bench in BENCHES {
        let persona = bench.persona().ok_or_else(|| DemoError::Simulation {
            why: format!("there is no persona {}", bench.persona),
        })?;
        let port = Port::Connect(address(running, bench.id).await?);
        instruments.push(Attached { persona, port });
    }
    Ok(Addresses {
        orders: address(running, "host:his").await?,
        results,
        instruments,
    })
}

async fn address(running: &Running, line: &str) -> Result<String, DemoError> {
    match running.address(line).await {
        Some(address) => Ok(address.to_string()),
        None => Err(DemoError::Port(io::Error::other(format!(
            "line {line} does not listen"
        )))),
    }
}
