//! Command lines, from the arguments to the last line printed.

use std::sync::{Arc, Mutex};

use labwire_protocols::{
    astm::link::{Dialect, Link},
    dimension, mllp,
    wire::{Commit, CommitId, Mono, OutId, SendOutcome},
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_serial::SerialPortBuilderExt;

use super::*;
use crate::{
    clock::Clock,
    runner::{Actions, Device, End, Verdict, Wire, session},
};

/// A host that keeps everything and answers nothing.
#[derive(Debug, Default)]
struct Keeper(Vec<String>);

impl Device for Keeper {
    fn on_open(&mut self, _: Mono, _: &mut Actions) {}

    fn on_commit(&mut self, _: Mono, id: CommitId, commit: Commit, out: &mut Actions) {
        let messages = match commit {
            Commit::Frame { messages, .. } => messages,
            Commit::Message(message) => vec![message],
        };
        for message in messages {
            self.0
                .push(String::from_utf8(message.bytes.to_vec()).expect("text"));
        }
        out.answer(id, Verdict::Kept(None));
    }

    fn on_finished(&mut self, _: Mono, _: OutId, _: SendOutcome, _: &mut Actions) {}
    fn on_wake(&mut self, _: Mono, _: &mut Actions) {}
    fn on_close(&mut self, _: Mono) {}

    fn deadline(&self) -> Option<Mono> {
        None
    }
}

/// What is printed, readable while it is being written.
#[derive(Clone, Debug, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Printed {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }

    /// The text, once it has this part.
    async fn until(&self, part: &str) -> String {
        loop {
            let text = self.text();
            if text.contains(part) {
                return text;
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

type Running = JoinHandle<anyhow::Result<ExitCode>>;

fn start(line: &str, cancel: &CancellationToken) -> (Printed, Running) {
    let printed = Printed::default();
    let mut out = printed.clone();
    let words: Vec<_> = std::iter::once("labwire-sim")
        .chain(line.split(' '))
        .collect();
    let words: Vec<_> = words.into_iter().map(std::ffi::OsString::from).collect();
    let cancel = cancel.clone();
    let running = tokio::spawn(async move { run(words, &mut out, cancel).await });
    (printed, running)
}

async fn complete(line: &str) -> (String, ExitCode) {
    let (printed, running) = start(line, &CancellationToken::new());
    let code = running.await.expect("no panic").expect(line);
    (printed.text(), code)
}

#[test]
fn the_command_is_well_formed() {
    command().debug_assert();
}

#[tokio::test]
async fn the_list_names_every_persona() {
    let (text, code) = complete("list").await;
    assert_eq!(code, ExitCode::SUCCESS);
    for persona in ALL {
        assert!(text.contains(persona.name), "{text}");
    }
}

#[tokio::test]
async fn a_command_line_that_means_nothing_is_refused() {
    let check = async |line: &str, part: &str| {
        let (_, running) = start(line, &CancellationToken::new());
        let error = running.await.expect("no panic").expect_err(line);
        assert!(error.to_string().contains(part), "{error}");
    };
    check("sysmex-xn --specimen 1", "--connect").await;
    check(
        "sysmex-xn --pty --listen 127.0.0.1:0",
        "cannot be used with",
    )
    .await;
    check("sysmex-xn --pty --faults melt=1", "is no fault").await;
    check("nothing", "unrecognized subcommand").await;
    check("his", "--results").await;
    check("his --results 127.0.0.1:0 --policy refuse=XX", "wants AE").await;
    check(
        "morning --orders a --results 127.0.0.1:0 --instrument x=y",
        "there is no `x`",
    )
    .await;
}

#[tokio::test]
async fn an_analyzer_that_dials_ends_when_its_results_are_acknowledged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let host = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut keeper = Keeper::default();
        let mut wire = Wire::new(Clock::real(0));
        session(
            stream,
            &mut Link::new(Dialect::default()),
            &mut keeper,
            &mut wire,
        )
        .await;
        keeper.0
    });
    let line = format!("sysmex-xn --connect {address} --specimen 25011500017 --tests WBC,PLT --qc");
    let (text, code) = complete(&line).await;
    let received = host.await.expect("no panic");
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(received.len(), 2);
    assert!(text.contains("25011500017 WBC "), "{text}");
    assert!(
        text.contains("results 23 sent, 23 acknowledged; messages 2 (+0 repeated"),
        "{text}"
    );
}

#[tokio::test]
async fn an_analyzer_on_a_wire_of_its_own_is_run_like_any_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let host = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut keeper = Keeper::default();
        let mut wire = Wire::new(Clock::real(0));
        let mut link = dimension::Link::new(dimension::Dialect::default());
        session(stream, &mut link, &mut keeper, &mut wire).await;
        keeper.0
    });
    let line = format!("dimension --connect {address} --specimens 2 --tests K,NA --qc --seed 3");
    let (text, code) = complete(&line).await;
    let received = host.await.expect("no panic");
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(received.len(), 3);
    // Ten digits, for which every wire has room.
    assert!(text.contains("\n2600300001 K "), "{text}");
    assert!(
        text.contains("results 8 sent, 8 acknowledged; messages 3 (+0 repeated"),
        "{text}"
    );
}

#[tokio::test]
async fn an_analyzer_on_a_pseudo_terminal_prints_the_path_to_open() {
    let cancel = CancellationToken::new();
    let (printed, running) = start(
        "generic-astm --pty --specimen 25011500017 --tests GLU",
        &cancel,
    );
    let text = printed.until("\n").await;
    let path = text.trim().strip_prefix("pty ").expect("a path").to_owned();
    let port = tokio_serial::new(path, 9_600)
        .open_native_async()
        .expect("the other end");
    let mut keeper = Keeper::default();
    let mut wire = Wire::new(Clock::real(0));
    wire.cancel = cancel.clone();
    let host = async {
        session(
            port,
            &mut Link::new(Dialect::default()),
            &mut keeper,
            &mut wire,
        )
        .await
    };
    let analyzer = async {
        let code = running.await.expect("no panic").expect("an end");
        cancel.cancel();
        code
    };
    let (end, code) = tokio::join!(host, analyzer);
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(
        matches!(end, End::Cancelled | End::Io(_) | End::PeerClosed),
        "{end:?}"
    );
    assert_eq!(keeper.0.len(), 1);
}

#[tokio::test]
async fn a_his_orders_and_stops_when_its_results_are_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let cancel = CancellationToken::new();
    let line = format!(
        "his --orders {address} --results 127.0.0.1:0 --order 25011500017=CBC --until 2 --chance busy=500"
    );
    let (printed, running) = start(&line, &cancel);
    let text = printed.until("results ").await;
    let results = text
        .lines()
        .next()
        .expect("a line")
        .trim_start_matches("results ")
        .to_owned();
    // The load generator's host acknowledges the order; its sender brings two results.
    let mut tasks = JoinSet::new();
    tasks.spawn(load::acknowledge_mllp(listener));
    printed.until("orders 1 accepted").await;
    let orders = crate::his::Orders::default();
    for (control, code) in [("M1", "WBC"), ("M2", "RBC")] {
        let text = format!(
            "MSH|^~\\&|L|L|HIS|B|20250115||ORU^R01|{control}|P|2.5.1\rPID|1||BN25011500017\rOBR|1|R25011500017-1|F1|CBC\rOBX|1|NM|{code}||5.1||||||F\r"
        );
        orders.push(crate::his::Written {
            control_id: control.to_owned(),
            bytes: text.into(),
        });
    }
    let mut placer = crate::his::Placer::new(orders.clone(), true);
    let stream = tokio::net::TcpStream::connect(results)
        .await
        .expect("a connection");
    let mut wire = Wire::new(Clock::real(0));
    let mut endpoint = mllp::Endpoint::new(mllp::Config::default());
    session(stream, &mut endpoint, &mut placer, &mut wire).await;
    let code = running.await.expect("no panic").expect("an end");
    let text = printed.text();
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(text.contains("BN25011500017 25011500017 WBC 5.1"), "{text}");
    assert!(
        text.contains("1 accepted, 0 refused, 0 waiting; results 2 in 2 messages"),
        "{text}"
    );
}

#[tokio::test]
async fn a_load_prints_its_figures() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let mut tasks = JoinSet::new();
    tasks.spawn(load::acknowledge_mllp(listener));
    let (text, code) = complete(&format!("load mllp {address} --messages 5 --connections 2")).await;
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(text.starts_with("10 messages (0 refused) in "), "{text}");
}
