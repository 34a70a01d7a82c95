//! The bridge at work: lines opened, messages journalled and answered, results on their way.
//!
//! One line's way through here: [`device`] journals what its machine accepted and wakes the
//! [`parser`], whose worker threads decode and settle, answer queries, and wake the couriers;
//! [`host_line`] applies and answers what a host sends; a [`courier`] takes queue rows to hosts and
//! devices. Data is handed on by row id; what a channel carries can be lost in a crash and is found
//! again in the store.
//!
//! What belongs together is opened and closed as one ([`unit`]): by one owner all of it at a start, by
//! one [`node`] of several as its leases say.

mod backlog;
mod courier;
mod desk;
mod device;
mod doubt;
mod folder;
mod host_line;
mod http_courier;
mod joined;
mod law;
mod lookout;
mod machine;
mod news;
mod node;
mod opening;
mod orders;
mod parser;
mod reading;
mod replay;
mod run;
#[cfg(test)]
mod simulation;
mod site;
mod start;
mod tenure;
#[cfg(test)]
mod tests;
mod track;
mod unit;

pub(crate) use self::unit::SITE;
pub use self::{
    host_line::follow_up_by_hand,
    run::{Ended, STOP_WITHIN, run},
    site::Site,
    start::{Running, Setup, StartError, start},
    track::LineBooks,
    unit::Open,
};
