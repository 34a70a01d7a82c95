//! What a simulated line consists of, as data.

/// What a module does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Tubes come onto the line.
    Inlet,
    /// Tubes come by pneumatic tube.
    Tempus,
    /// Works before or after the tests.
    Prepares,
    /// Measures.
    Analyzer,
    /// Keeps tubes for a person.
    Outlet,
    /// Keeps tubes.
    Storage,
}

impl Kind {
    /// Whether a tube's way ends here.
    pub const fn keeps(self) -> bool {
        matches!(self, Self::Outlet | Self::Storage)
    }
}

/// One module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name in messages.
    pub id: &'static str,
    /// What it does.
    pub kind: Kind,
    /// Tubes an hour that it begins with; 0 for any number.
    pub rate_per_hour: u32,
    /// How long it works on one, in seconds.
    pub work_s: u32,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Its modules.
    pub modules: &'static [Module],
    /// Its lanes; the last one goes back.
    pub lanes: &'static [&'static str],
}

impl Layout {
    /// What the module of that name does.
    pub fn kind(&self, id: &str) -> Option<Kind> {
        self.module(id).map(|module| module.kind)
    }

    /// The module of that name.
    pub fn module(&self, id: &str) -> Option<&'static Module> {
        self.modules.iter().find(|module| module.id == id)
    }
}

const fn module(id: &'static str, kind: Kind) -> Module {
    works(id, kind, 0, 0)
}

const fn works(id: &'static str, kind: Kind, rate_per_hour: u32, work_s: u32) -> Module {
    Module {
        id,
        kind,
        rate_per_hour,
        work_s,
    }
}

/// A Power Express with four lanes and a Tempus600 inlet, by the names and rates of the example site's
/// file: each centrifuge 300 tubes an hour, decapper 600, recapper 500.
pub const POWER_EXPRESS: Layout = Layout {
    modules: &[
        module("IN1", Kind::Inlet),
        module("STAT1", Kind::Inlet),
        module("TEMPUS1", Kind::Tempus),
        works("CENT1", Kind::Prepares, 300, 480),
        works("CENT2", Kind::Prepares, 300, 480),
        works("DECAP1", Kind::Prepares, 600, 6),
        works("ALIQ1", Kind::Prepares, 150, 30),
        works("AU1", Kind::Analyzer, 220, 40),
        works("AU2", Kind::Analyzer, 140, 40),
        works("DXI1", Kind::Analyzer, 110, 45),
        works("DXI2", Kind::Analyzer, 110, 45),
        works("XN1", Kind::Analyzer, 100, 60),
        works("XN2", Kind::Analyzer, 100, 60),
        works("ACL1", Kind::Analyzer, 60, 60),
        works("ACL2", Kind::Analyzer, 60, 60),
        works("RECAP1", Kind::Prepares, 500, 7),
        module("STORE1", Kind::Storage),
        module("ERR1", Kind::Outlet),
        module("OUT1", Kind::Outlet),
    ],
    lanes: &["L1", "L2", "L3", "L4"],
};
