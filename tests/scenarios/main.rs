//! Scenarios over the whole bridge: real ports, a real store, simulated devices and hosts.
#![expect(
    unreachable_pub,
    reason = "modules of one test binary; `pub` marks what scenarios use"
)]

mod account;
mod automation;
mod bad_input;
mod courier;
mod crash;
mod hospital;
mod http_host;
mod lines;
mod load;
mod orders;
mod privacy;
mod scripted;
mod vendor_wires;
mod wire_to_his;
