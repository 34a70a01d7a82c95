//! The hosts: orders from them, results to them.

mod convert;
mod device_ack;
pub mod http;
mod inbound;
mod json;
mod obx;
mod orders;
mod pull;
mod render;
mod reply;
mod report;
mod site;
mod verdict;

pub use self::{
    convert::instant,
    device_ack::device_ack,
    inbound::{Heard, Inbound, hear},
    json::JsonRenderer,
    pull::{PullState, answer_taken, hear_page, pull_state},
    render::ResultRenderer,
    site::{HostSite, Laboratory},
    verdict::{HostAnswer, Permanence},
};

pub(crate) use self::reply::codes as ack_codes;

#[cfg(test)]
mod tests;
