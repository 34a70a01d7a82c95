//! What is finished when Labwire is told to stop, and what it does not wait for: the real program, its
//! signals and its exit code.

use std::process::ExitStatus;

use labwire::{bridge::STOP_WITHIN, model::QueueState, queue, store::journal};
use labwire_sims::{
    his::{Answering, Control},
    runner::Wire,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use crate::{
    account::look,
    cluster::Cluster,
    courier::Slow,
    crash::Labwire,
    hospital::{His, PATIENCE, Site, ZONE, comes, request},
    scripted::Script,
};

/// The program with a HIS that answers when it is told to, a device, and one result on its way.
struct Ward {
    host: Slow,
    site: Site,
    labwire: Labwire,
    cancel: CancellationToken,
    _orders: His,
}

impl Ward {
    /// Everything up to the moment when the result is at the HIS and not answered.
    async fn with_a_result_under_way(store: Option<&str>) -> Self {
        let host = Slow::open().await;
        let rest = format!(
            "[console]\nlisten = \"127.0.0.1:0\"\n\n\
             [[host]]\nid = \"his\"\norders = \"mllp-listen://127.0.0.1:0\"\nresults = \"{}\"\n\
             reply_timeout_s = 120\n\n\
             [[instrument]]\nid = \"dev-1\"\nprofile = \"generic/hl7\"\n\
             port = \"mllp-listen://127.0.0.1:0\"\ntests = {{ GLU = \"GLU\" }}\n\n\
             [[instrument]]\nid = \"astm-1\"\nprofile = \"generic/astm\"\n\
             port = \"tcp-listen://127.0.0.1:0\"\ntests = {{ GLU = \"GLU\" }}\n",
            host.address
        );
        let site = store.map_or_else(|| Site::new(&rest), |url| Site::on(url, &rest));
        let labwire = Labwire::start(&site.lab());
        let mut orders = His::open(Answering::good()).await;
        let cancel = CancellationToken::new();
        orders.place(address(&labwire, "host:his").await);
        let control = orders.request(&request(Control::New, "T1", &["GLU"]));
        let answered = comes(PATIENCE, || orders.orders.answer(&control).is_some());
        assert!(
            answered.await,
            "the order is not answered: {}",
            labwire.log()
        );
        let device = Script::default();
        let mut wire = Wire::new(labwire_sims::clock::Clock::real(ZONE));
        wire.cancel = cancel.child_token();
        let at = address(&labwire, "dev-1").await;
        device.plug_mllp(labwire_sims::port::Port::Connect(at.to_string()), wire);
        device.say(
            "MSH|^~\\&|DEV||||20260310091000||ORU^R01|M1|P|2.5.1\rPID|1\r\
             OBR|1||T1|GLU\rOBX|1|NM|GLU||5.1|mmol/L|||||F|||20260310091000\r",
        );
        let is_there = comes(PATIENCE, || host.heard() == ["T1"]);
        assert!(is_there.await, "the result is not there: {}", labwire.log());
        Self {
            host,
            site,
            labwire,
            cancel,
            _orders: orders,
        }
    }

    async fn ends(&mut self) -> ExitStatus {
        let ends = comes(PATIENCE, || self.labwire.ended().is_some()).await;
        assert!(ends, "it does not end: {}", self.labwire.log());
        self.cancel.cancel();
        self.labwire.ended().expect("it has ended")
    }

    /// Rows of the queue in this state, once the program has ended.
    fn rows(&self, state: QueueState) -> usize {
        let rows = look(&self.site.store(), |db| queue::list(db, state, 0, 100));
        rows.expect("the store reads").len()
    }

    /// The bytes of all messages of a line, once the program has ended.
    fn kept_of(&self, line: &'static str) -> String {
        let kept = look(&self.site.store(), |db| {
            let mut kept = String::new();
            for id in 1..=journal::last(db)? {
                let message = journal::message(db, id)?.filter(|message| message.line == line);
                if let Some(message) = message {
                    kept.push_str(&message.raw.escape_ascii().to_string());
                }
            }
            Ok(kept)
        });
        kept.expect("the store reads")
    }
}

/// Where a line listens, as the log tells it.
async fn address(labwire: &Labwire, line: &str) -> std::net::SocketAddr {
    let of_line = format!("line=\"{line}\"");
    let find = || {
        labwire.with_log(|log| {
            log.iter()
                .filter(|said| said.contains(&of_line) || said.contains(&format!("line={line}")))
                .find_map(|said| {
                    said.split("listening at=")
                        .nth(1)?
                        .split(' ')
                        .next()?
                        .parse()
                        .ok()
                })
        })
    };
    let listens = comes(PATIENCE, || find().is_some()).await;
    assert!(listens, "{line} does not listen: {}", labwire.log());
    find().expect("it was there a moment ago")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_the_answer_to_what_is_under_way_and_writes_it_down() {
    let mut ward = Ward::with_a_result_under_way(None).await;
    ward.labwire.signal("TERM");
    let is_stopping = comes(PATIENCE, || ward.labwire.count("stopping in order") > 0);
    assert!(is_stopping.await, "{}", ward.labwire.log());
    ward.host.permits.add_permits(1);
    let ended = ward.ends().await;
    assert_eq!(ended.code(), Some(0), "{}", ward.labwire.log());
    assert_eq!(ward.rows(QueueState::Delivered), 1);
    assert_eq!(ward.rows(QueueState::Leased), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_his_that_never_answers_holds_up_no_stop_and_is_asked_again() {
    let mut ward = Ward::with_a_result_under_way(None).await;
    let began = tokio::time::Instant::now();
    ward.labwire.signal("TERM");
    let ended = ward.ends().await;
    assert_eq!(ended.code(), Some(0), "{}", ward.labwire.log());
    assert!(began.elapsed() < STOP_WITHIN, "{:?}", began.elapsed());
    assert_eq!(ward.rows(QueueState::Delivered), 0);
    // The next run sends it again.
    ward.host.permits.add_permits(100);
    ward.labwire = Labwire::start(&ward.site.lab());
    let again = comes(PATIENCE, || ward.host.heard() == ["T1", "T1"]);
    assert!(
        again.await,
        "{:?}: {}",
        ward.host.heard(),
        ward.labwire.log()
    );
    ward.labwire.stop();
    assert_eq!(ward.rows(QueueState::Delivered), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_sigterm_ends_at_once_and_says_so() {
    let mut ward = Ward::with_a_result_under_way(None).await;
    ward.labwire.signal("TERM");
    let is_stopping = comes(PATIENCE, || ward.labwire.count("stopping in order") > 0);
    assert!(is_stopping.await, "{}", ward.labwire.log());
    ward.labwire.signal("TERM");
    let ended = ward.ends().await;
    assert_eq!(ended.code(), Some(1), "{}", ward.labwire.log());
    assert_eq!(
        ward.labwire.count("told to stop a second time: ending now"),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_while_the_database_server_is_away_ends_and_says_what_is_left() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.new_schema();
    let mut ward = Ward::with_a_result_under_way(Some(&url)).await;
    cluster.stop();
    // The answer comes, and cannot be written down.
    ward.host.permits.add_permits(1);
    let is_noticed = comes(PATIENCE, || {
        ward.labwire.count("the queue cannot be written") > 0
    });
    assert!(is_noticed.await, "{}", ward.labwire.log());
    let began = tokio::time::Instant::now();
    ward.labwire.signal("TERM");
    let ended = ward.ends().await;
    assert_eq!(ended.code(), Some(1), "{}", ward.labwire.log());
    assert!(began.elapsed() < STOP_WITHIN, "{:?}", began.elapsed());
    assert_eq!(
        ward.labwire.count("the store cannot be written, so that"),
        1
    );
    cluster.resume();
    ward.host.permits.add_permits(100);
    ward.labwire = Labwire::start(&ward.site.lab());
    let again = comes(PATIENCE, || ward.host.heard() == ["T1", "T1"]);
    assert!(
        again.await,
        "the next run takes it up: {}",
        ward.labwire.log()
    );
    ward.labwire.stop();
    assert_eq!(ward.rows(QueueState::Delivered), 1);
}

/// One frame of a transfer, with its checksum.
fn frame(number: u8, text: &str) -> Vec<u8> {
    let body = format!("{number}{text}\r\u{3}");
    let sum = body.bytes().fold(0_u8, u8::wrapping_add);
    format!("\u{2}{body}{sum:02X}\r\n").into_bytes()
}

const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_under_way_at_the_stop_is_kept_where_it_was_acknowledged() {
    let mut ward = Ward::with_a_result_under_way(None).await;
    ward.host.permits.add_permits(1);
    let mut device = TcpStream::connect(address(&ward.labwire, "astm-1").await)
        .await
        .expect("it listens");
    device.write_all(&[ENQ]).await.expect("it is open");
    assert_eq!(device.read_u8().await.expect("an answer"), ACK);
    device
        .write_all(&frame(1, "H|\\^&|||DEV||||||||E1394-97"))
        .await
        .expect("it is open");
    assert_eq!(device.read_u8().await.expect("an answer"), ACK);
    // Half of a frame is on its way when the word comes.
    let second = frame(2, "P|1|||NOBODY");
    let (half, rest) = second.split_at(second.len() / 2);
    device.write_all(half).await.expect("it is open");
    ward.labwire.signal("TERM");
    let is_stopping = comes(PATIENCE, || ward.labwire.count("stopping in order") > 0);
    assert!(is_stopping.await, "{}", ward.labwire.log());
    // It may be taken or not; what counts is that the answer is true.
    drop(device.write_all(rest).await);
    let mut said = Vec::new();
    drop(tokio::time::timeout(PATIENCE, device.read_to_end(&mut said)).await);
    let ended = ward.ends().await;
    assert_eq!(ended.code(), Some(0), "{}", ward.labwire.log());
    // What was acknowledged is in the journal as an incomplete message after the next start.
    ward.labwire = Labwire::start(&ward.site.lab());
    address(&ward.labwire, "astm-1").await;
    ward.labwire.stop();
    let kept = ward.kept_of("astm-1");
    assert!(kept.contains("|||DEV"), "{kept}");
    let has_second = kept.contains("P|1|||NOBODY");
    let was_acknowledged = said.contains(&ACK);
    assert!(has_second || !was_acknowledged, "{said:?}: {kept}");
}
