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
        let module = self.modules.iter().find(|module| module.id == id);
        module.map(|module| module.kind)
    }
}

const fn module(id: &'static str, kind: Kind) -> Module {
    Module { id, kind }
}

/// A Power Express with four lanes and a Tempus600 inlet, by the names of the example site's file.
pub const POWER_EXPRESS: Layout = Layout {
    modules: &[
        module("IN1", Kind::Inlet),
        module("STAT1", Kind::Inlet),
        module("TEMPUS1", Kind::Tempus),
        module("CENT1", Kind::Prepares),
        module("CENT2", Kind::Prepares),
        module("DECAP1", Kind::Prepares),
        module("ALIQ1", Kind::Prepares),
        module("AU1", Kind::Analyzer),
        module("AU2", Kind::Analyzer),
        module("DXI1", Kind::Analyzer),
        module("DXI2", Kind::Analyzer),
        module("XN1", Kind::Analyzer),
        module("XN2", Kind::Analyzer),
        module("ACL1", Kind::Analyzer),
        module("ACL2", Kind::Analyzer),
        module("RECAP1", Kind::Prepares),
        module("STORE1", Kind::Storage),
        module("ERR1", Kind::Outlet),
        module("OUT1", Kind::Outlet),
    ],
    lanes: &["L1", "L2", "L3", "L4"],
};
