//! Lines over TLS on loopback ports: who is let in, who is told what, and what a session notices.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use labwire_protocols::wire::OutId;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use super::{
    paper::{Authority, Issued},
    support::{PATIENCE, Seen, config, expect_end, expect_text, message, soon, start},
};
use crate::{
    Direction, Endpoint, FaultPlan, FaultPort, LineConfig, LineEvent, LineHandle, Look, LostReason,
    PortError, RefusedReason, SystemClock, Tls, TlsFault, TlsFiles, TlsSide, check_line,
};

fn files(own: Option<&Issued>) -> TlsFiles {
    TlsFiles {
        certificate: own.map(|own| own.certificate.clone()),
        key: own.map(|own| own.key.clone()),
        ..TlsFiles::default()
    }
}

fn tls(files: TlsFiles, side: TlsSide) -> Arc<Tls> {
    Arc::new(Tls::new("test", files, side, Arc::new(SystemClock::new())))
}

/// A line that listens with `own`, and asks for certificates by `client_ca`.
fn listening(own: &Issued, client_ca: Option<PathBuf>) -> LineConfig {
    let files = TlsFiles {
        client_ca,
        ..files(Some(own))
    };
    LineConfig {
        tls: Some(tls(files, TlsSide::Server)),
        ..config(Endpoint::TlsListen("127.0.0.1:0".to_owned()))
    }
}

/// A line that dials `to`.
fn dialling(to: &str, files: TlsFiles) -> LineConfig {
    LineConfig {
        tls: Some(tls(files, TlsSide::Client)),
        ..config(Endpoint::TlsConnect(to.to_owned()))
    }
}

async fn plain(line: &LineHandle) -> TcpStream {
    let at = soon("the address", line.local_addr())
        .await
        .expect("the line listens");
    TcpStream::connect(at).await.unwrap()
}

async fn shake(
    line: &LineHandle,
    client: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = plain(line).await;
    soon(
        "the handshake",
        TlsConnector::from(Arc::clone(client)).connect(name, stream),
    )
    .await
}

async fn talk(device: &mut TlsStream<TcpStream>, text: &str) {
    let line = format!("{text}\n");
    device.write_all(line.as_bytes()).await.unwrap();
    device.flush().await.unwrap();
    expect_text(device, &format!("+{text}\n")).await;
}

async fn refused(seen: &mut Seen) -> RefusedReason {
    seen.event(|event| match event {
        LineEvent::Refused { why, .. } => Some(*why),
        _ => None,
    })
    .await
}

async fn fault(seen: &mut Seen) -> TlsFault {
    seen.event(|event| match event {
        LineEvent::Unavailable(error) => match &**error {
            PortError::Handshake { fault, .. } => Some(*fault),
            _ => None,
        },
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_device_talks_over_tls_and_the_capture_holds_what_was_said() {
    let authority = Authority::new();
    let (line, _seen) = start(listening(&authority.issue("us", "127.0.0.1"), None), false);
    let mut device = shake(&line, &authority.client(None)).await.unwrap();
    talk(&mut device, "result").await;
    line.send(OutId(1), message("order\n")).await.unwrap();
    expect_text(&mut device, "order\n").await;
    let capture = line.capture();
    let said = |way| {
        let parts = capture.iter().filter(|entry| entry.direction == way);
        let bytes: Vec<u8> = parts.flat_map(|entry| entry.bytes.to_vec()).collect();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(said(Direction::In), "result\n");
    assert_eq!(said(Direction::Out), "+result\norder\n");
    assert_eq!(line.status().endpoint, "tls-listen://127.0.0.1:0");
}

#[tokio::test]
async fn a_port_that_asks_for_certificates_lets_in_only_who_shows_one_of_its_authority() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let us = ours.issue("us", "127.0.0.1");
    let (line, mut seen) = start(listening(&us, Some(ours.file())), false);
    let check = async |own: Option<&Issued>, seen: &mut Seen| {
        // With TLS 1.3 the device learns of it at its first read.
        if let Ok(mut device) = shake(&line, &ours.client(own)).await {
            expect_end(&mut device).await;
        }
        refused(seen).await
    };
    let found = check(None, &mut seen).await;
    assert_eq!(found, RefusedReason::Tls(TlsFault::NoCertificate));
    let stranger = theirs.issue("stranger", "analyzer");
    let found = check(Some(&stranger), &mut seen).await;
    assert_eq!(found, RefusedReason::Tls(TlsFault::UnknownAuthority));
    let late = ours.issue_until("late", "analyzer", 2021);
    let found = check(Some(&late), &mut seen).await;
    assert_eq!(found, RefusedReason::Tls(TlsFault::Expired));
    let known = ours.issue("known", "analyzer");
    let mut device = shake(&line, &ours.client(Some(&known))).await.unwrap();
    talk(&mut device, "let in").await;
    assert_eq!(line.status().counters.refusals, 3);
    assert_eq!(line.status().counters.connections, 1);
}

#[tokio::test]
async fn a_device_without_tls_is_told_apart_by_its_first_byte() {
    let authority = Authority::new();
    let us = authority.issue("us", "127.0.0.1");
    let (line, mut seen) = start(listening(&us, None), false);
    // ENQ, and then an ASTM device waits.
    let mut device = plain(&line).await;
    device.write_all(&[5]).await.unwrap();
    let found = refused(&mut seen).await;
    assert_eq!(found, RefusedReason::Tls(TlsFault::NotTls));
    expect_end(&mut device).await;
    let problem = line.status().last_problem.unwrap();
    assert_eq!(problem.code, "DRV-0521");
    assert!(
        problem.text.contains("switch TLS on there"),
        "{}",
        problem.text
    );
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up_and_stalls_nobody() {
    let authority = Authority::new();
    let us = authority.issue("us", "127.0.0.1");
    let config = LineConfig {
        handshake_timeout: Duration::from_secs(3),
        ..listening(&us, None)
    };
    let (line, mut seen) = start(config, false);
    let mut silent = plain(&line).await;
    silent.write_all(&[22, 3]).await.unwrap();
    let mut device = shake(&line, &authority.client(None)).await.unwrap();
    talk(&mut device, "beside it").await;
    let found = refused(&mut seen).await;
    assert_eq!(found, RefusedReason::Tls(TlsFault::Slow));
    expect_end(&mut silent).await;
    talk(&mut device, "as before").await;
}

#[tokio::test]
async fn those_who_connect_and_say_nothing_do_not_keep_a_device_out() {
    let authority = Authority::new();
    let us = authority.issue("us", "127.0.0.1");
    let config = LineConfig {
        handshake_timeout: PATIENCE,
        ..listening(&us, None)
    };
    let (line, mut seen) = start(config, false);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(plain(&line).await);
    }
    let mut device = shake(&line, &authority.client(None)).await.unwrap();
    talk(&mut device, "here").await;
    let found = refused(&mut seen).await;
    assert_eq!(found, RefusedReason::Tls(TlsFault::Slow));
    expect_end(&mut silent.remove(0)).await;
}

/// A device that listens with `own`.
async fn device(authority: &Authority, own: &Issued, asks: bool) -> (TcpListener, TlsAcceptor) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener, authority.server(own, asks).into())
}

#[tokio::test]
async fn a_line_dials_over_tls_with_its_certificate() {
    let authority = Authority::new();
    let own = authority.issue("device", "analyzer.lab");
    let (listener, acceptor) = device(&authority, &own, true).await;
    let to = listener.local_addr().unwrap().to_string();
    let us = authority.issue("us", "labwire");
    let files = TlsFiles {
        ca: Some(authority.file()),
        server_name: Some("analyzer.lab".to_owned()),
        ..files(Some(&us))
    };
    let (line, mut seen) = start(dialling(&to, files), false);
    let (stream, _) = soon("the call", listener.accept()).await.unwrap();
    let mut device = soon("the handshake", acceptor.accept(stream))
        .await
        .unwrap();
    seen.connected().await;
    device.write_all(b"result\n").await.unwrap();
    expect_text(&mut device, "+result\n").await;
    line.stop().await;
    expect_end(&mut device).await;
}

#[tokio::test]
async fn a_line_says_why_it_does_not_take_a_devices_certificate() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let check = async |own: &Issued, of: &Authority, expected: TlsFault| {
        let (listener, acceptor) = device(of, own, false).await;
        let to = listener.local_addr().unwrap().to_string();
        let files = TlsFiles {
            ca: Some(ours.file()),
            ..TlsFiles::default()
        };
        let config = dialling(&to, files);
        let answering = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                drop(acceptor.accept(stream).await);
            }
        };
        let checking = async {
            let (_line, mut seen) = start(config.clone(), false);
            assert_eq!(fault(&mut seen).await, expected);
            let error = check_line(&config).await.unwrap_err();
            assert_eq!(error.code(), "DRV-0115", "{error}");
            assert!(error.to_string().contains(expected.code()), "{error}");
        };
        tokio::select! {
            () = answering => {}
            () = checking => {}
        }
    };
    let wrong = ours.issue("wrong", "another.lab");
    check(&wrong, &ours, TlsFault::WrongName).await;
    let late = ours.issue_until("late", "127.0.0.1", 2021);
    check(&late, &ours, TlsFault::Expired).await;
    let stranger = theirs.issue("stranger", "127.0.0.1");
    check(&stranger, &theirs, TlsFault::UnknownAuthority).await;
}

#[tokio::test]
async fn a_line_says_that_the_device_wants_a_certificate_of_ours() {
    let authority = Authority::new();
    let own = authority.issue("device", "127.0.0.1");
    let (listener, acceptor) = device(&authority, &own, true).await;
    let to = listener.local_addr().unwrap().to_string();
    let files = TlsFiles {
        ca: Some(authority.file()),
        ..TlsFiles::default()
    };
    let (_line, mut seen) = start(dialling(&to, files), false);
    let (stream, _) = soon("the call", listener.accept()).await.unwrap();
    assert!(acceptor.accept(stream).await.is_err());
    // With TLS 1.3 the alert comes after our side of the handshake is done.
    let (_, why) = seen.lost().await;
    assert_eq!(why, LostReason::Tls(TlsFault::OursIsMissing));
    assert!(why.is_alarm());
}

#[tokio::test]
async fn a_line_says_that_a_device_speaks_without_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let authority = Authority::new();
    let files = TlsFiles {
        ca: Some(authority.file()),
        ..TlsFiles::default()
    };
    let (_line, mut seen) = start(dialling(&to, files), false);
    let (mut stream, _) = soon("the call", listener.accept()).await.unwrap();
    stream.write_all(b"\x0bMSH|^~\\&|").await.unwrap();
    assert_eq!(fault(&mut seen).await, TlsFault::NotTls);
}

#[tokio::test]
async fn a_certificate_is_replaced_while_the_line_runs_and_a_bad_one_is_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let us = old.issue("us", "127.0.0.1");
    let config = listening(&us, None);
    let tls = Arc::clone(config.tls.as_ref().unwrap());
    let (line, _seen) = start(config, false);
    let mut device = shake(&line, &old.client(None)).await.unwrap();
    talk(&mut device, "before").await;
    assert!(matches!(tls.look(), Look::Same));

    us.replace_by(&new.issue("us", "127.0.0.1"));
    assert!(matches!(tls.look(), Look::Renewed));
    talk(&mut device, "goes on").await;
    assert!(shake(&line, &old.client(None)).await.is_err());
    let mut device = shake(&line, &new.client(None)).await.unwrap();
    talk(&mut device, "after").await;

    let before = tls.status().certificate.unwrap();
    let check = async |code: &str| {
        let Look::Kept(error) = tls.look() else {
            panic!("{code} was not kept out")
        };
        assert_eq!(error.code(), code, "{error}");
        assert!(matches!(tls.look(), Look::Same), "it is told once");
        let status = tls.status();
        assert_eq!(status.certificate.as_ref(), Some(&before));
        assert_eq!(status.problem.unwrap().code(), code);
        let mut device = shake(&line, &new.client(None)).await.unwrap();
        talk(&mut device, code).await;
    };
    let good = (
        fs::read(&us.certificate).unwrap(),
        fs::read(&us.key).unwrap(),
    );
    fs::write(&us.key, "no key").unwrap();
    check("DRV-0504").await;
    fs::copy(&new.issue("other", "127.0.0.1").key, &us.key).unwrap();
    check("DRV-0505").await;
    fs::write(&us.certificate, "").unwrap();
    check("DRV-0503").await;
    fs::remove_file(&us.certificate).unwrap();
    check("DRV-0502").await;
    us.replace_by(&new.issue_until("late", "127.0.0.1", 2021));
    check("DRV-0508").await;

    fs::write(&us.certificate, good.0).unwrap();
    fs::write(&us.key, good.1).unwrap();
    assert!(matches!(tls.look(), Look::Renewed));
    assert!(tls.status().problem.is_none());
}

#[tokio::test]
async fn a_line_whose_files_are_not_there_yet_opens_when_they_are() {
    let authority = Authority::new();
    let us = authority.issue("us", "127.0.0.1");
    let certificate = fs::read(&us.certificate).unwrap();
    fs::remove_file(&us.certificate).unwrap();
    let config = listening(&us, None);
    let tls = Arc::clone(config.tls.as_ref().unwrap());
    let (line, mut seen) = start(config, false);
    let (code, words) = seen.unavailable().await;
    assert_eq!(code, "DRV-0114", "{words}");
    fs::write(&us.certificate, certificate).unwrap();
    assert!(matches!(tls.look(), Look::Renewed));
    let mut device = shake(&line, &authority.client(None)).await.unwrap();
    talk(&mut device, "at last").await;
}

#[tokio::test]
async fn a_device_that_reads_nothing_is_cut_off_over_tls_too() {
    let authority = Authority::new();
    let us = authority.issue("us", "127.0.0.1");
    let config = LineConfig {
        write_timeout: Duration::from_millis(200),
        transmit_buffer_max: 64 << 20,
        ..listening(&us, None)
    };
    let (line, mut seen) = start(config, false);
    let mut device = shake(&line, &authority.client(None)).await.unwrap();
    // More than the buffers of both systems hold.
    device
        .write_all("flood\n".repeat(16).as_bytes())
        .await
        .unwrap();
    device.flush().await.unwrap();
    assert_eq!(seen.lost().await, (1, LostReason::WriteStalled));
    let written = line.status().counters.bytes_out;
    assert!(written < 16 << 20, "{written} bytes are said to be written");
}

#[tokio::test]
async fn much_is_written_whole_and_counted_once() {
    let authority = Authority::new();
    let us = authority.issue("us", "127.0.0.1");
    let (line, _seen) = start(listening(&us, None), false);
    let mut device = shake(&line, &authority.client(None)).await.unwrap();
    device
        .write_all("flood\n".repeat(4).as_bytes())
        .await
        .unwrap();
    device.flush().await.unwrap();
    let mut all = vec![0; 4 << 20];
    soon("all bytes", device.read_exact(&mut all))
        .await
        .unwrap();
    assert!(all.iter().all(|byte| *byte == b'x'));
    talk(&mut device, "and then").await;
    assert_eq!(line.status().counters.bytes_out, (4 << 20) + 10);
}

#[tokio::test]
async fn a_device_that_ends_its_side_still_gets_its_reply() {
    let authority = Authority::new();
    let us = authority.issue("us", "127.0.0.1");
    let (line, mut seen) = start(listening(&us, None), true);
    let mut device = shake(&line, &authority.client(None)).await.unwrap();
    device.write_all(b"last\n").await.unwrap();
    device.shutdown().await.unwrap();
    seen.commit().await.durable();
    expect_text(&mut device, "+last\n").await;
    assert_eq!(seen.lost().await, (1, LostReason::PeerClosed));
    // And one that goes without a word is no broken line either.
    let device = shake(&line, &authority.client(None)).await.unwrap();
    seen.connected().await;
    let (mut stream, _) = device.into_inner();
    stream.shutdown().await.unwrap();
    assert_eq!(seen.lost().await, (2, LostReason::PeerClosed));
}

#[tokio::test]
async fn faults_beneath_tls_end_the_connection_and_never_change_a_byte() {
    let authority = Authority::new();
    let us = authority.issue("us", "127.0.0.1");
    let (line, mut seen) = start(listening(&us, None), true);
    let mut committed = 0;
    for seed in 0..12 {
        let plan = FaultPlan {
            split_per_mille: 300,
            delay_per_mille: 100,
            flip_per_mille: if seed % 2 == 0 { 0 } else { 120 },
            ..FaultPlan::new(seed)
        };
        let port = FaultPort::new(plain(&line).await, plan);
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connector = TlsConnector::from(authority.client(None));
        let Ok(mut device) = soon("the handshake", connector.connect(name, port)).await else {
            assert_eq!(seed % 2, 1, "a whole line was not opened");
            continue;
        };
        let text = format!("result {seed}");
        device
            .write_all(format!("{text}\n").as_bytes())
            .await
            .unwrap();
        device.flush().await.unwrap();
        // A flip on the way to the device is noticed there; what came here is whole.
        let asked = seen.commit().await;
        assert_eq!(asked.message.bytes, text.as_bytes());
        committed += 1;
        asked.durable();
        let mut reply = vec![0; text.len() + 2];
        match soon("the reply", device.read_exact(&mut reply)).await {
            Ok(_) => assert_eq!(reply, format!("+{text}\n").as_bytes()),
            Err(_) => assert_eq!(seed % 2, 1, "a whole line broke"),
        }
    }
    assert!(committed >= 6, "{committed}");
}
