//! Lines over real sockets and ptys, sessions over memory with paused time.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test picks the one event it waits for"
)]

mod codes;
mod paper;
mod serial;
mod session;
mod support;
mod tcp;
mod tls;
