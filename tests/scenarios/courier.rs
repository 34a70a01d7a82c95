//! What a courier does with what it has leased ahead of a host that takes its time.

use std::sync::{Arc, Mutex};

use labwire::{
    model::QueueState,
    queue::{self, QueueRow},
};
use labwire_protocols::charset::Charset;
use labwire_sims::his::{Answering, Control, Request};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use crate::{
    hospital::{Bridge, His, PATIENCE, Site, comes, glucose, one_analyzer, request},
    scripted::Script,
};

/// A host for results that acknowledges one message a permit.
#[derive(Clone)]
pub struct Slow {
    pub permits: Arc<Semaphore>,
    heard: Arc<Mutex<Vec<String>>>,
    pub address: String,
}

impl Slow {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let slow = Self {
            permits: Arc::new(Semaphore::new(0)),
            heard: Arc::default(),
            address: format!("mllp://{}", listener.local_addr().expect("bound")),
        };
        let host = slow.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(host.clone().serve(stream));
            }
        });
        slow
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(read) = stream.read(&mut chunk).await
            && read > 0
        {
            bytes.extend_from_slice(&chunk[..read]);
            while let Some(end) = bytes.iter().position(|byte| *byte == 0x1C) {
                let block: Vec<u8> = bytes.drain(..=end).collect();
                let text = Charset::Utf8
                    .decode(&block)
                    .unwrap_or_default()
                    .into_owned();
                let control = field(&text, "MSH", 9);
                self.heard
                    .lock()
                    .expect("no panic holds it")
                    .push(barcode(&text));
                let Ok(permit) = self.permits.acquire().await else {
                    return;
                };
                permit.forget();
                let answer = format!(
                    "\u{b}MSH|^~\\&|HIS||||20260310090000||ACK|A{control}|P|2.5.1\rMSA|AA|{control}\r\u{1c}\r"
                );
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }

    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("no panic holds it").clone()
    }
}

/// SPM-2.1.1, the tube as it was ordered.
fn barcode(message: &str) -> String {
    let field = field(message, "SPM", 2);
    let component = field.split('^').next().unwrap_or_default();
    component.split('&').next().unwrap_or_default().to_owned()
}

/// A field of the first segment of this name, by delimiters passed.
fn field(message: &str, name: &str, number: usize) -> String {
    let mut segments = message.split(['\r', '\u{b}']);
    let segment = segments.find(|segment| segment.starts_with(name));
    let field = segment.and_then(|segment| segment.split('|').nth(number));
    field.unwrap_or_default().to_owned()
}

const TUBES: usize = 12;

struct Ward {
    orders: His,
    host: Slow,
    site: Site,
    device: Script,
    cancel: CancellationToken,
}

impl Ward {
    async fn open() -> Self {
        let host = Slow::open().await;
        let site = Site::new(&one_analyzer(&host.address, 120));
        Self {
            orders: His::open(Answering::good()).await,
            host,
            site,
            device: Script::default(),
            cancel: CancellationToken::new(),
        }
    }

    async fn plug(&self, bridge: &Bridge) {
        bridge.plug(&self.orders, &self.device, &self.cancel).await;
    }

    /// Orders on a tube, and measures it once the order is answered.
    async fn measure(&mut self, bridge: &Bridge, barcode: &str, is_stat: bool) {
        let request = Request {
            is_stat,
            ..request(Control::New, barcode, &["GLU"])
        };
        let written = self.orders.writer.request(&request, "20260310090000+0700");
        let control = written.control_id.clone();
        self.orders.orders.push(written);
        let orders = &self.orders.orders;
        bridge
            .until("the order is answered", || {
                orders.answer(&control).is_some()
            })
            .await;
        self.device.say(glucose(barcode));
    }
}

fn rows(bridge: &Bridge, state: QueueState) -> Vec<QueueRow> {
    bridge
        .store
        .read_blocking(move |db| queue::list(db, state, 0, 1_000))
        .expect("the store reads")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urgent_result_overtakes_what_was_leased_ahead() {
    let mut ward = Ward::open().await;
    let bridge = ward.site.start().await;
    ward.plug(&bridge).await;
    for n in 0..TUBES {
        ward.measure(&bridge, &format!("T{n}"), false).await;
    }
    bridge
        .until("all are leased, one is on its way", || {
            rows(&bridge, QueueState::Leased).len() == TUBES
        })
        .await;
    ward.measure(&bridge, "URGENT", true).await;
    bridge
        .until("the urgent one is leased too", || {
            rows(&bridge, QueueState::Leased).len() == TUBES + 1
        })
        .await;
    assert_eq!(ward.host.heard().len(), 1, "one message at a time");
    // One answer after the other: the row says that it is leased a moment before the courier has it.
    for count in 2..=TUBES + 1 {
        ward.host.permits.add_permits(1);
        bridge
            .until("the next is on its way", || {
                ward.host.heard().len() == count
            })
            .await;
    }
    ward.host.permits.add_permits(1);
    let heard = ward.host.heard();
    let place = heard.iter().position(|tube| tube == "URGENT");
    assert!(place.is_some_and(|place| place < TUBES / 2), "{heard:?}");
    ward.cancel.cancel();
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_leased_ahead_at_the_stop_is_sent_by_the_next_run_and_once() {
    let mut ward = Ward::open().await;
    let bridge = ward.site.start().await;
    ward.plug(&bridge).await;
    for n in 0..TUBES {
        ward.measure(&bridge, &format!("T{n}"), false).await;
    }
    bridge
        .until("all are leased, one is on its way", || {
            rows(&bridge, QueueState::Leased).len() == TUBES
        })
        .await;
    ward.cancel.cancel();
    let store = bridge.store.clone();
    let stop = tokio::spawn(bridge.stop());
    let given_back = comes(PATIENCE, || {
        let waiting = store.read_blocking(|db| queue::list(db, QueueState::Waiting, 0, 1_000));
        waiting.is_ok_and(|rows| rows.len() == TUBES - 1)
    });
    assert!(
        given_back.await,
        "what was not begun goes back to the queue"
    );
    // The answer to what is under way comes while the bridge waits for it.
    ward.host.permits.add_permits(1);
    stop.await.expect("it stops");
    let first_run = ward.host.heard();
    assert_eq!(first_run.len(), 1, "nothing was begun after the stop");

    let bridge = ward.site.start().await;
    ward.host.permits.add_permits(TUBES);
    bridge
        .until("all are delivered", || {
            rows(&bridge, QueueState::Delivered).len() == TUBES
        })
        .await;
    let mut heard = ward.host.heard();
    heard.sort();
    let mut tubes: Vec<String> = (0..TUBES).map(|n| format!("T{n}")).collect();
    tubes.sort();
    assert_eq!(heard, tubes, "each once");
    bridge.stop().await;
}
