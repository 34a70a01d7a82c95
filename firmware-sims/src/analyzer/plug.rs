//! Any instrument with the machine that it speaks through.

use labwire_protocols::{
    astm::link::Link, bci, beckman_au, dimension, mllp, poct1a, sysmex_legacy, wire::Machine,
};

use super::{
    AnyLanguage, AstmLanguage, Hl7Language, Instrument, Operator, Setup, bci::BciLanguage,
    beckman_au::AuLanguage, dimension::DimensionLanguage, endpoint_config, law::LawLanguage,
    link_dialect, poct1a::Poct1aLanguage, sysmex_legacy::SysmexLanguage,
};
use crate::{
    persona::{OwnWire, Persona, Shape},
    runner::Device,
};

/// An instrument, ready for [`keep`](crate::port::keep) or [`session`](crate::runner::session).
pub struct Plugged {
    /// Its side of the protocol.
    pub machine: Box<dyn Machine>,
    /// The instrument.
    pub device: Box<dyn Device>,
    /// Whoever stands in front of it.
    pub operator: Operator,
}

impl std::fmt::Debug for Plugged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Plugged");
        shown.field("machine", &self.machine.state());
        shown
            .field("operator", &self.operator)
            .finish_non_exhaustive()
    }
}

/// The instrument of this setup, whatever its persona speaks.
pub fn plug(setup: Setup) -> Plugged {
    let machine = machine(setup.persona);
    let language = language(&setup);
    let device = Instrument::with_language(setup, language);
    Plugged {
        machine,
        operator: device.operator(),
        device: Box::new(device),
    }
}

/// The machine of a persona, in the role of the instrument.
pub fn machine(persona: &Persona) -> Box<dyn Machine> {
    let shape = match persona.shape {
        Shape::Astm(_) => return Box::new(Link::new(link_dialect(persona))),
        Shape::Hl7(_) => return Box::new(mllp::Endpoint::new(endpoint_config(persona))),
        Shape::Own(shape) => shape,
    };
    match shape.wire {
        OwnWire::Law(_) => Box::new(mllp::Endpoint::new(endpoint_config(persona))),
        OwnWire::BeckmanAu(shape) => {
            let dialect = super::beckman_au::dialect(&shape);
            Box::new(beckman_au::Link::new(dialect))
        }
        OwnWire::Dimension(_) => Box::new(dimension::Link::new(dimension::Dialect::instrument())),
        OwnWire::Poct1a(_) => Box::new(poct1a::Link::new(poct1a::Dialect::device())),
        OwnWire::SysmexLegacy(_) => {
            let dialect = sysmex_legacy::Dialect::instrument();
            Box::new(sysmex_legacy::Link::new(dialect))
        }
        OwnWire::Bci(_) => Box::new(bci::Link::new(bci::Dialect::instrument())),
    }
}

/// What a persona says, and how.
pub(super) fn language(setup: &Setup) -> AnyLanguage {
    let persona = setup.persona;
    let shape = match persona.shape {
        Shape::Astm(shape) => return Box::new(AstmLanguage::new(shape)),
        Shape::Hl7(shape) => return Box::new(Hl7Language::new(shape, setup)),
        Shape::Own(shape) => shape,
    };
    match shape.wire {
        OwnWire::Law(shape) => Box::new(LawLanguage::new(shape, setup)),
        OwnWire::BeckmanAu(shape) => Box::new(AuLanguage::new(shape)),
        OwnWire::Dimension(shape) => Box::new(DimensionLanguage::new(shape, persona)),
        OwnWire::Poct1a(shape) => Box::new(Poct1aLanguage::new(shape, setup.clock)),
        OwnWire::SysmexLegacy(columns) => Box::new(SysmexLanguage::new(columns, persona)),
        OwnWire::Bci(shape) => Box::new(BciLanguage::new(shape)),
    }
}
