//! Scenarios over the whole bridge: real ports, a real store, simulated devices and hosts.
#![expect(
    unreachable_pub,
    reason = "modules of one test binary; `pub` marks what scenarios use"
)]

mod account;
mod automation;
mod bad_input;
#[path = "../cluster.rs"]
#[expect(dead_code, reason = "other tests share one cluster")]
mod cluster;
mod console;
mod console_alerts;
mod console_attacks;
mod console_calls;
mod courier;
mod crash;
mod hospital;
mod http_host;
mod law;
mod lines;
mod load;
mod orders;
mod postgres;
mod privacy;
mod scripted;
mod transfusion;
mod vendor_wires;
mod wire_to_his;
