//! Which protocol machine drives the line of an instrument.

use std::sync::Arc;

use labwire_drivers::{MachineFactory, endpoint::Framing};
use labwire_protocols::{
    astm::link::{Durability, Link},
    bci, beckman_au, dimension, mllp, poct1a, sysmex_legacy,
};

use crate::{
    config::{Instrument, choice::Durability as Promise},
    profile::Wire,
};

use super::site::LineSite;

/// What makes a machine for each connection; why not, where port and profile do not go together.
pub(super) fn machine_of(
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
