//! The hosts: orders from them, results to them.

mod convert;
mod inbound;
mod obx;
mod orders;
mod render;
mod reply;
mod site;
mod verdict;

pub use self::{
    convert::instant,
    inbound::{Heard, Inbound, hear},
    render::ResultRenderer,
    site::{HostSite, Laboratory},
    verdict::{HostAnswer, Permanence},
};
