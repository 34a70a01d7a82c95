//! Scenarios over the whole bridge: real ports, a real store, simulated devices and hosts.
#![expect(
    unreachable_pub,
    reason = "modules of one test binary; `pub` marks what scenarios use"
)]

mod account;
mod automation;
mod bad_input;
#[path = "../cluster.rs"]
mod cluster;
mod console;
mod console_alerts;
mod console_attacks;
mod console_calls;
mod console_downtime;
mod console_tls;
mod console_work;
mod courier;
mod crash;
mod crash_backup;
mod crash_bench;
mod crash_clock;
mod crash_disk;
mod crash_half;
mod crash_points;
mod crash_power;
mod crash_tools;
mod crash_trace;
mod families;
mod hands;
mod hospital;
mod http_host;
mod identity;
mod images;
mod law;
mod lines;
mod load;
mod nodes;
mod orders;
mod overload;
#[path = "../../drivers/src/tests/paper.rs"]
mod paper;
mod postgres;
mod privacy;
mod restore;
mod scripted;
mod service;
mod soak;
mod stop;
mod tls;
mod transfusion;
mod vendor_wires;
mod wire_to_his;
