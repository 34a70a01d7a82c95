//! Lines over loopback TCP.

use std::time::Duration;

use labwire_protocols::wire::{OutId, SendFailure, SendOutcome};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};

use super::support::{
    PATIENCE, Seen, config, expect_end, expect_text, listening, message, soon, start,
};
use crate::{
    Concurrency, Direction, Endpoint, LineConfig, LineEvent, LineGone, LineHandle, LostReason,
    Phase, RefusedReason, TrySendError,
};

async fn connect(line: &LineHandle) -> TcpStream {
    let at = soon("the address", line.local_addr())
        .await
        .expect("the line listens");
    TcpStream::connect(at).await.unwrap()
}

/// One line of text there and back.
async fn talk(device: &mut TcpStream, text: &str) {
    device
        .write_all(format!("{text}\n").as_bytes())
        .await
        .unwrap();
    expect_text(device, &format!("+{text}\n")).await;
}

fn lost() -> SendOutcome {
    SendOutcome::Failed(SendFailure::LineLost)
}

async fn refused(seen: &mut Seen) -> RefusedReason {
    seen.event(|event| match event {
        LineEvent::Refused { why, .. } => Some(*why),
        _ => None,
    })
    .await
}

async fn retry(seen: &mut Seen) -> Duration {
    seen.event(|event| match event {
        LineEvent::Retry { after } => Some(*after),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn newest_connection_replaces_the_old_one() {
    let (line, mut seen) = start(listening(), false);
    let mut old = connect(&line).await;
    talk(&mut old, "one").await;
    let mut new = connect(&line).await;
    talk(&mut new, "two").await;
    expect_end(&mut old).await;
    let replaced = seen.event(|event| match event {
        LineEvent::Replaced { old, new } => Some((*old, *new)),
        _ => None,
    });
    assert_eq!(replaced.await, (1, 2));
    assert_eq!(seen.lost().await, (1, LostReason::Replaced));
    line.send(OutId(1), message("order\n")).await.unwrap();
    expect_text(&mut new, "order\n").await;
}

#[tokio::test]
async fn commit_of_a_replaced_connection_goes_on() {
    let (line, mut seen) = start(listening(), true);
    let mut old = connect(&line).await;
    old.write_all(b"one\n").await.unwrap();
    let one = seen.commit().await;
    let mut new = connect(&line).await;
    expect_end(&mut old).await;
    new.write_all(b"one\n").await.unwrap();
    let again = seen.commit().await;
    assert_eq!((one.connection, again.connection), (1, 2));
    one.durable();
    again.durable();
    expect_text(&mut new, "+one\n").await;
    line.stop().await;
    assert_eq!(line.status().counters.messages, 2);
}

#[tokio::test]
async fn several_connections_are_served_at_once_up_to_the_limit() {
    let config = LineConfig {
        concurrency: Concurrency::Many(2),
        ..listening()
    };
    let (line, mut seen) = start(config, false);
    let (mut one, mut two) = (connect(&line).await, connect(&line).await);
    for text in ["a", "b"] {
        talk(&mut one, text).await;
        talk(&mut two, text).await;
    }
    let mut three = connect(&line).await;
    assert_eq!(refused(&mut seen).await, RefusedReason::TooMany);
    expect_end(&mut three).await;
    drop(one);
    assert_eq!(seen.lost().await, (1, LostReason::PeerClosed));
    assert_eq!(line.status().connections.len(), 1);
}

#[tokio::test]
async fn stranger_is_refused() {
    let config = LineConfig {
        peers_allowed: vec!["192.0.2.0/24".parse().unwrap()],
        ..listening()
    };
    let (line, mut seen) = start(config, false);
    let mut stranger = connect(&line).await;
    assert_eq!(refused(&mut seen).await, RefusedReason::NotAllowed);
    expect_end(&mut stranger).await;
    let allowed = vec!["::ffff:127.0.0.1".parse().unwrap()];
    let (line, _seen) = start(
        LineConfig {
            peers_allowed: allowed,
            ..listening()
        },
        false,
    );
    talk(
        &mut connect(&line).await,
        "known by the other form of its address",
    )
    .await;
}

#[tokio::test]
async fn reconnecting_peer_cannot_pile_up_commits() {
    let config = LineConfig {
        orphans_max: 2,
        ..listening()
    };
    let (line, mut seen) = start(config, true);
    let mut asked = Vec::new();
    for _ in 0..2 {
        connect(&line).await.write_all(b"cut").await.unwrap();
        asked.push(seen.commit().await);
        seen.lost().await;
    }
    let mut device = connect(&line).await;
    assert_eq!(refused(&mut seen).await, RefusedReason::StoreBehind);
    expect_end(&mut device).await;
    asked.into_iter().for_each(super::support::Asked::durable);
    line.stop().await;
    assert_eq!(line.status().counters.incomplete_messages, 2);
}

#[tokio::test]
async fn dialled_line_connects_again_after_a_loss() {
    let device = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = device.local_addr().unwrap().to_string();
    let (line, mut seen) = start(config(Endpoint::TcpConnect(to)), false);
    for number in 1..=3 {
        let (mut port, _) = soon("a connection", device.accept()).await.unwrap();
        assert_eq!(seen.connected().await.number, number);
        talk(&mut port, "hello").await;
        drop(port);
        assert_eq!(seen.lost().await, (number, LostReason::PeerClosed));
        assert_eq!(
            retry(&mut seen).await,
            Duration::from_millis(5),
            "a good one resets the wait"
        );
    }
    line.stop().await;
    assert_eq!(line.status().counters.losses, 3);
}

#[tokio::test]
async fn waits_between_attempts_grow_to_their_limit() {
    // Bound, so that nobody else gets the port, but not listening yet.
    let device = TcpSocket::new_v4().unwrap();
    device.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = device.local_addr().unwrap();
    let (_line, mut seen) = start(config(Endpoint::TcpConnect(at.to_string())), false);
    for millis in [5, 10, 20, 40, 40] {
        let (code, words) = seen.unavailable().await;
        assert_eq!(code, "DRV-0106", "{words}");
        assert_eq!(retry(&mut seen).await, Duration::from_millis(millis));
    }
    let device = device.listen(1).unwrap();
    let (mut port, _) = soon("a connection", device.accept()).await.unwrap();
    talk(&mut port, "here at last").await;
}

#[tokio::test]
async fn device_that_hangs_up_at_once_is_not_dialled_without_pause() {
    let device = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = device.local_addr().unwrap().to_string();
    let (_line, mut seen) = start(config(Endpoint::TcpConnect(to)), false);
    for millis in [5, 10, 20, 40, 40] {
        drop(soon("a connection", device.accept()).await.unwrap());
        assert_eq!(retry(&mut seen).await, Duration::from_millis(millis));
    }
}

#[tokio::test]
async fn port_in_use_is_said_and_taken_when_it_is_free() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = other.local_addr().unwrap();
    let (line, mut seen) = start(config(Endpoint::TcpListen(at.to_string())), false);
    let (code, words) = seen.unavailable().await;
    assert_eq!(code, "DRV-0101");
    assert!(
        words.starts_with(&format!("port {at} is in use by another program:")),
        "{words}"
    );
    let problem = line.status().last_problem.unwrap();
    assert_eq!((problem.code, problem.text), (code, words));
    drop(other);
    talk(&mut connect(&line).await, "listening now").await;
}

#[tokio::test]
async fn message_given_with_nobody_connected_fails_at_once() {
    let (line, mut seen) = start(listening(), false);
    line.send(OutId(5), message("order\n")).await.unwrap();
    assert_eq!(seen.finished().await, (5, lost()));
}

#[tokio::test]
async fn every_message_has_one_last_word_when_the_line_is_lost() {
    let (line, mut seen) = start(listening(), false);
    let mut device = connect(&line).await;
    seen.connected().await;
    for id in 1..=40 {
        line.send(OutId(id), message("order\n")).await.unwrap();
    }
    expect_text(&mut device, "order\n").await;
    device.write_all(b"ok\n").await.unwrap();
    assert_eq!(seen.finished().await, (1, SendOutcome::Sent));
    drop(device);
    for id in 2..=40 {
        assert_eq!(seen.finished().await, (id, lost()));
    }
    line.stop().await;
    let counters = line.status().counters;
    assert_eq!((counters.sent, counters.send_failures), (1, 39));
}

#[tokio::test]
async fn stop_finishes_the_reply_under_way() {
    let config = LineConfig {
        stop_timeout: PATIENCE,
        ..listening()
    };
    let (line, mut seen) = start(config, true);
    let mut device = connect(&line).await;
    device.write_all(b"one\n").await.unwrap();
    let asked = seen.commit().await;
    let stopping = tokio::spawn({
        let line = line.clone();
        async move { line.stop().await }
    });
    asked.durable();
    expect_text(&mut device, "+one\n").await;
    expect_end(&mut device).await;
    soon("the stop", stopping).await.unwrap();
    assert_eq!(line.status().phase, Phase::Stopped);
    assert_eq!(line.send(OutId(1), message("late\n")).await, Err(LineGone));
    assert_eq!(
        line.try_send(OutId(1), message("late\n")),
        Err(TrySendError::Gone)
    );
    let mut last = None;
    while let Ok(event) = seen.events.try_recv() {
        last = Some(event);
    }
    assert!(matches!(last, Some(LineEvent::Stopped)), "{last:?}");
}

#[tokio::test]
async fn stop_ends_although_a_commit_never_does() {
    let config = LineConfig {
        stop_timeout: Duration::from_millis(20),
        ..listening()
    };
    let (line, mut seen) = start(config, true);
    let mut device = connect(&line).await;
    device.write_all(b"one\n").await.unwrap();
    let _never_answered = seen.commit().await;
    soon("the stop", line.stop()).await;
    expect_end(&mut device).await;
}

#[tokio::test]
async fn line_without_an_owner_stops() {
    let (line, mut seen) = start(listening(), false);
    let mut device = connect(&line).await;
    talk(&mut device, "one").await;
    drop(line);
    expect_end(&mut device).await;
    seen.event(|event| matches!(event, LineEvent::Stopped).then_some(()))
        .await;
}

#[tokio::test]
async fn panic_ends_its_connection_and_no_other() {
    let config = LineConfig {
        concurrency: Concurrency::Many(2),
        ..listening()
    };
    let (line, mut seen) = start(config, false);
    let mut good = connect(&line).await;
    talk(&mut good, "one").await;
    let mut bad = connect(&line).await;
    talk(&mut bad, "two").await;
    line.send(OutId(1), message("order\n")).await.unwrap();
    expect_text(&mut bad, "order\n").await;
    bad.write_all(b"panic\n").await.unwrap();
    assert_eq!(seen.finished().await, (1, lost()));
    assert_eq!(seen.lost().await, (2, LostReason::Panicked));
    expect_end(&mut bad).await;
    talk(&mut good, "still here").await;
}

#[tokio::test]
async fn peer_that_does_not_read_cannot_stall_another_line() {
    let config = LineConfig {
        transmit_buffer_max: 64 << 20,
        // It is to stay stalled, however long the other line takes on a busy machine.
        write_timeout: Duration::from_secs(3_600),
        ..listening()
    };
    let (bad_line, _bad_seen) = start(config, false);
    let (good_line, _good_seen) = start(listening(), false);
    let mut bad = connect(&bad_line).await;
    for _ in 0..32 {
        bad.write_all(b"flood\n").await.unwrap();
    }
    let mut good = connect(&good_line).await;
    for _ in 0..100 {
        talk(&mut good, "no trouble here").await;
    }
    assert_eq!(
        bad_line.status().phase,
        Phase::Connected,
        "it is still stalled"
    );
}

/// While the device sends without pause, and reads what it is answered, `expected` comes out too.
async fn check_during_flood(first: &str, order: Option<&'static str>, expected: &str) {
    let config = LineConfig {
        stop_timeout: Duration::from_millis(20),
        ..listening()
    };
    let (line, mut seen) = start(config, false);
    let mut device = connect(&line).await;
    seen.connected().await;
    device.write_all(first.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = device.into_split();
    let flooding = tokio::spawn(async move {
        let lines = "x\n".repeat(4096);
        while writer.write_all(lines.as_bytes()).await.is_ok() {}
    });
    if let Some(order) = order {
        line.send(OutId(1), message(order)).await.unwrap();
    }
    let mut received = Vec::new();
    let finding = async {
        while !received
            .windows(expected.len())
            .any(|window| window == expected.as_bytes())
        {
            received.drain(..received.len().saturating_sub(expected.len()));
            assert!(reader.read_buf(&mut received).await.unwrap() > 0);
        }
    };
    soon(expected, finding).await;
    line.stop().await;
    drop(reader);
    soon("the end of the flood", flooding).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_bytes_does_not_keep_the_line_from_sending() {
    check_during_flood("", Some("ORDER"), "ORDER").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_bytes_does_not_hold_up_a_deadline() {
    check_during_flood("tick 10\n", None, "tock").await;
}

#[tokio::test]
async fn half_open_peer_is_found_by_the_idle_timeout() {
    let config = LineConfig {
        idle_timeout: Some(Duration::from_millis(30)),
        ..listening()
    };
    let (line, mut seen) = start(config, false);
    let mut device = connect(&line).await;
    assert_eq!(seen.lost().await, (1, LostReason::Silent));
    expect_end(&mut device).await;
    assert_eq!(line.status().phase, Phase::Listening);
}

#[tokio::test]
async fn status_and_capture_show_what_happened() {
    let (line, mut seen) = start(listening(), false);
    assert_eq!(line.status().last_byte_utc_micros, None);
    let mut device = connect(&line).await;
    talk(&mut device, "NGUYEN^VAN A").await;
    seen.event(|event| matches!(event, LineEvent::Written { .. }).then_some(()))
        .await;
    let status = line.status();
    assert_eq!(status.phase, Phase::Connected);
    assert_eq!(status.connections[0].machine_state, "Idle");
    assert_eq!(
        (status.counters.bytes_in, status.counters.bytes_out),
        (13, 14)
    );
    assert_eq!(status.counters.messages, 1);
    assert!(status.last_message_utc_micros.is_some());
    assert!(status.last_acknowledgement_utc_micros >= status.last_byte_utc_micros);

    let capture = line.capture();
    let sides: Vec<_> = capture.iter().map(|entry| entry.direction).collect();
    assert_eq!(sides, [Direction::In, Direction::Out]);
    assert_eq!(capture[1].bytes, "+NGUYEN^VAN A\n");
    assert!(capture[0].utc_micros > 0 && capture[0].utc_micros <= capture[1].utc_micros);
    assert!(
        !format!("{line:?}{capture:?}").contains("NGUYEN"),
        "no content in a debug print"
    );
}
