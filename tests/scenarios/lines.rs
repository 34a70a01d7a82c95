//! What a line does by itself, and what it tells people of it.

use std::time::Duration;

use labwire_drivers::LostReason;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::hospital::{PATIENCE, Site};

/// A device that says something every few hundred milliseconds while it is there.
const WITH_A_HEARTBEAT: &str = r#"
[device]
protocol = "astm"
[link]
silent_after_s = 1
[specimen]
id = "O.3"
[result]
code = "R.3.4"
value = "R.4"
"#;

async fn called(device: &TcpListener) -> TcpStream {
    let call = timeout(PATIENCE, device.accept()).await;
    call.expect("nobody calls").expect("a connection").0
}

#[tokio::test]
async fn a_half_open_device_with_a_heartbeat_is_found_and_called_again() {
    let device = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = device.local_addr().expect("bound");
    let site = Site::new(&format!(
        "profiles = \"profiles\"\n\n\
         [[instrument]]\nid = \"beats\"\nprofile = \"acme/beat\"\nport = \"tcp://{port}\"\n"
    ));
    site.profile("acme/beat.toml", WITH_A_HEARTBEAT);
    let bridge = site.start().await;
    // The device is there for the operating system, and says nothing any more: as if its program
    // stood still, or its power had gone.
    let half_open = called(&device).await;
    let again = called(&device).await;
    let status = bridge.lines["beats"].status();
    let problem = status.last_problem.expect("why the first connection ended");
    assert_eq!(problem.code, LostReason::Silent.code());
    drop((half_open, again));
    bridge.stop().await;
}

#[tokio::test]
async fn a_device_without_a_heartbeat_may_be_silent() {
    let device = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = device.local_addr().expect("bound");
    let site = Site::new(&format!(
        "[[instrument]]\nid = \"quiet\"\nprofile = \"generic/astm\"\nport = \"tcp://{port}\"\n"
    ));
    let bridge = site.start().await;
    let quiet = called(&device).await;
    // Longer than the silence that ends the connection of a device with a heartbeat.
    let again = timeout(Duration::from_millis(1_500), device.accept()).await;
    assert!(again.is_err(), "it was called again");
    drop(quiet);
    bridge.stop().await;
}
