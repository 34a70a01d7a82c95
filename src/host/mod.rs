//! The hosts: orders from them, results to them.

mod convert;
mod device_ack;
mod inbound;
mod obx;
mod orders;
mod render;
mod reply;
mod report;
mod site;
mod verdict;

pub use self::{
    convert::instant,
    device_ack::device_ack,
    inbound::{Heard, Inbound, hear},
    render::ResultRenderer,
    site::{HostSite, Laboratory},
    verdict::{HostAnswer, Permanence},
};

#[cfg(test)]
mod tests;
