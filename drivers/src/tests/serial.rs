//! Lines over pseudo terminals.
#![cfg(unix)]

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio_serial::{SerialPort as _, SerialStream};

use super::support::{config, expect_text, start};
use crate::{Endpoint, LineConfig, LostReason, Peer, SerialSettings};

/// The device's end of a pty, and the path of ours.
fn pty() -> (SerialStream, PathBuf) {
    let (device, mut ours) = SerialStream::pair().unwrap();
    // Else only root could open it again.
    ours.set_exclusive(false).unwrap();
    let path = PathBuf::from(ours.name().unwrap());
    (device, path)
}

fn on(path: &Path, locks: &TempDir) -> LineConfig {
    let endpoint = Endpoint::Serial(SerialSettings::new(path));
    LineConfig {
        lock_dir: locks.path().to_owned(),
        ..config(endpoint)
    }
}

#[tokio::test]
async fn serial_line_talks() {
    let locks = TempDir::new().unwrap();
    let (mut device, path) = pty();
    let (line, mut seen) = start(on(&path, &locks), false);
    assert_eq!(seen.connected().await.peer, Peer::Serial(path));
    device.write_all(b"one\x11\x13\0\xFF\n").await.unwrap();
    let mut answer = [0; 9];
    super::support::soon(
        "the answer",
        tokio::io::AsyncReadExt::read_exact(&mut device, &mut answer),
    )
    .await
    .unwrap();
    assert_eq!(&answer, b"+one\x11\x13\0\xFF\n");
    assert!(
        line.status().notes.is_empty(),
        "a pty takes no line settings, which is no news"
    );
    line.stop().await;
}

#[tokio::test]
async fn adapter_that_is_pulled_and_plugged_in_is_found_by_its_stable_path() {
    let dir = TempDir::new().unwrap();
    let stable = dir.path().join("usb-adapter");
    let (mut device, path) = pty();
    std::os::unix::fs::symlink(&path, &stable).unwrap();
    let (line, mut seen) = start(on(&stable, &dir), false);
    seen.connected().await;
    device.write_all(b"one\n").await.unwrap();
    expect_text(&mut device, "+one\n").await;

    std::fs::remove_file(&stable).unwrap();
    drop(device);
    let (number, why) = seen.lost().await;
    assert_eq!(number, 1);
    assert!(
        matches!(why, LostReason::PeerClosed | LostReason::Broken(_)),
        "{why:?}"
    );
    let (code, words) = seen.unavailable().await;
    assert_eq!(code, "DRV-0109", "{words}");

    let (mut device, path) = pty();
    std::os::unix::fs::symlink(&path, &stable).unwrap();
    assert_eq!(seen.connected().await.number, 2);
    device.write_all(b"two\n").await.unwrap();
    expect_text(&mut device, "+two\n").await;
    line.stop().await;
}

#[tokio::test]
async fn second_line_on_a_port_is_refused_until_the_first_stops() {
    let locks = TempDir::new().unwrap();
    let (mut device, path) = pty();
    let (first, mut first_seen) = start(on(&path, &locks), false);
    first_seen.connected().await;
    // By another name, as a symbolic link under /dev/serial is.
    let name = locks.path().join("other-name");
    std::os::unix::fs::symlink(&path, &name).unwrap();
    let (second, mut second_seen) = start(on(&name, &locks), false);
    let (code, words) = second_seen.unavailable().await;
    assert_eq!(code, "DRV-0111");
    assert!(words.contains("another line of this Labwire"), "{words}");
    first.stop().await;
    second_seen.connected().await;
    device.write_all(b"one\n").await.unwrap();
    expect_text(&mut device, "+one\n").await;
    second.stop().await;
}
