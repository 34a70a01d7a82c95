//! Histograms in messages and scattergrams in files: exactly their bytes reach a HIS that wants
//! them, whichever of file and result comes first, and nothing is lost between the two.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use labwire::{
    image,
    model::{ImageBytes, ImageSeen, ImageSource, ObservationKind, SpecimenRead},
    people::Role,
    settle::SettleContext,
    store::{Fault, FaultPoint, Faults, StoreOptions, Turn},
};
use labwire_sims::{clock::Clock, his::Answering, port::Port, runner::Wire};
use tokio_util::sync::CancellationToken;

use crate::{
    account,
    cluster::Cluster,
    console::{Browser, Watched, short},
    hospital::{Bridge, His, Site, ZONE, tests},
    scripted::Script,
};

/// A whole picture that no other is: signature, one chunk with the number, the end.
fn png(number: u8) -> Vec<u8> {
    let mut bytes = vec![0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A];
    bytes.extend([0, 0, 0, 3]);
    bytes.extend(b"tEXt");
    bytes.extend([number, 0xFF, 0x00, 1, 2, 3, 4]);
    bytes.extend([0, 0, 0, 0]);
    bytes.extend(b"IEND");
    bytes.extend([0xAE, 0x42, 0x60, 0x82]);
    bytes
}

/// A laboratory with a counter that sends its pictures and one that writes them to a share.
struct Lab {
    his: His,
    site: Site,
    bridge: Bridge,
    bc: Script,
    xn: Script,
    cancel: CancellationToken,
}

impl Lab {
    async fn open(images: &str, url: Option<&str>) -> Self {
        Self::with(images, url, StoreOptions::default()).await
    }

    async fn with(images: &str, url: Option<&str>, store: StoreOptions) -> Self {
        let his = His::open(Answering::good()).await;
        let [xn, bc] = ["sysmex/xn", "mindray/bc-5000"].map(tests);
        let rest = format!(
            r#"
[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "{}"
{images}

[[instrument]]
id = "bc-1"
profile = "mindray/bc-5000"
port = "mllp-listen://127.0.0.1:0"
{bc}

[[instrument]]
id = "xn-1"
profile = "sysmex/xn"
port = "tcp-listen://127.0.0.1:0"
images = "share"
{xn}
"#,
            his.results
        );
        let site = url.map_or_else(|| Site::new(&rest), |url| Site::on(url, &rest));
        std::fs::create_dir_all(share(&site)).expect("the folder is writable");
        let bridge = site.start_with(store).await;
        let mut lab = Self {
            his,
            site,
            bridge,
            bc: Script::default(),
            xn: Script::default(),
            cancel: CancellationToken::new(),
        };
        lab.plug().await;
        lab
    }

    async fn plug(&mut self) {
        self.his
            .place(self.bridge.address("host:his").await.expect("it listens"));
        (self.bc, self.xn) = (Script::default(), Script::default());
        for (line, device) in [("bc-1", &self.bc), ("xn-1", &self.xn)] {
            let address = self.bridge.address(line).await.expect("it listens");
            let mut wire = Wire::new(Clock::real(ZONE));
            wire.cancel = self.cancel.clone();
            let port = Port::Connect(address.to_string());
            match line {
                "bc-1" => device.plug_mllp(port, wire),
                _ => device.plug_astm(port, wire),
            }
        }
    }

    /// Stops the bridge, does something, and starts it again on the same store.
    async fn restart(mut self, meanwhile: impl FnOnce(&Site)) -> Self {
        self.cancel.cancel();
        self.bridge.stop().await;
        meanwhile(&self.site);
        self.bridge = self.site.start().await;
        self.cancel = CancellationToken::new();
        self.plug().await;
        self
    }

    async fn order(&mut self, barcode: &str) {
        let control = self.his.order(barcode, &["WBC"]);
        let orders = &self.his.orders;
        self.bridge
            .until("the order is answered", || {
                orders.answer(&control).is_some()
            })
            .await;
    }

    fn file(&self, name: &str, number: u8) {
        write(&self.site, name, number);
    }

    /// A count that names a picture.
    fn count(&self, barcode: &str, name: &str) {
        self.xn.say(format!(
            "H|\\^&|||XN-10\rP|1\rO|1||^^{barcode:>22}^B|^^^^WBC|||||||N||||||||||||||F\r\
             R|1|^^^^WBC^1|6.40|10*3/uL||N||F\rR|2|^^^^SCAT_WDF|PNG&R&20260310&R&{name}|||N||F\rL|1|N\r"
        ));
    }

    /// Waits until the HIS has the value of a tube.
    async fn has_value(&self, barcode: &str) {
        let is_there = || {
            self.his.book.with_ledger(|ledger| {
                let mut all = ledger.observations().iter();
                all.any(|one| one.barcode == barcode && one.text == "6.40")
            })
        };
        self.bridge.until("the value is at the HIS", is_there).await;
    }

    /// Waits until the HIS has exactly these pictures of a tube.
    async fn has_pictures(&self, barcode: &str, wanted: &[Vec<u8>]) {
        let what = format!("{} pictures of {barcode} at the HIS", wanted.len());
        self.bridge
            .until(&what, || pictures(&self.his, barcode).len() >= wanted.len())
            .await;
        assert_eq!(pictures(&self.his, barcode), wanted, "exactly the bytes");
    }

    /// Waits until as many files were taken.
    async fn has_taken(&self, count: usize) {
        let store = self.bridge.store.clone();
        self.bridge
            .until("the file is taken", || {
                let known = store.read_blocking(|db| image::known_files(db, "xn-1", 0));
                known.is_ok_and(|known| known.len() >= count)
            })
            .await;
    }

    async fn close(self) {
        let findings = account::findings(&self.site.store());
        assert!(findings.is_empty(), "{findings:#?}");
        self.cancel.cancel();
        self.bridge.stop().await;
    }
}

fn share(site: &Site) -> PathBuf {
    site.lab().with_file_name("share")
}

/// As an analyzer writes: in a folder of the day, in two pieces.
fn write(site: &Site, name: &str, number: u8) {
    let folder = share(site).join("20260310");
    std::fs::create_dir_all(&folder).expect("the folder is writable");
    let (path, bytes) = (folder.join(name), png(number));
    std::fs::write(&path, &bytes[..11]).expect("the folder is writable");
    std::fs::write(&path, &bytes).expect("the folder is writable");
}

/// Every picture that the HIS took of a tube, in the order of its messages.
fn pictures(his: &His, barcode: &str) -> Vec<Vec<u8>> {
    let messages: Vec<String> = his.book.with_ledger(|ledger| {
        let taken = ledger.messages().values().filter(|one| one.is_taken);
        let texts = taken.map(|one| String::from_utf8(one.bytes.to_vec()).expect("UTF-8"));
        texts.collect()
    });
    let own = messages.iter().filter(|text| text.contains(barcode));
    let segments = own.flat_map(|text| text.split('\r'));
    let encapsulated = segments.filter(|segment| segment.split('|').nth(2) == Some("ED"));
    encapsulated
        .map(|segment| {
            let value = segment.split('|').nth(5).unwrap_or_default();
            let data = value.rsplit('^').next().unwrap_or_default();
            BASE64_STANDARD.decode(data).expect("Base64")
        })
        .collect()
}

/// Of a counter that sends a histogram in its message.
fn count_with_histogram(barcode: &str, picture: &[u8]) -> String {
    let data = BASE64_STANDARD.encode(picture);
    format!(
        "MSH|^~\\&|BC-5000|Mindray|||20260310100000||ORU^R01|7|P|2.3.1||||||UNICODE\rPID|1\r\
         OBR|1||{barcode}|00001^Automated Count^99MRC\r\
         OBX|1|NM|6690-2^WBC^LN||6.40|10*9/L|||||F\r\
         OBX|2|ED|15008^WBC Histogram. BMP^99MRC||^Image^PNG^Base64^{data}||||||F\r"
    )
}

/// All of it, on one kind of store.
async fn pictures_reach_the_his(url: Option<&str>) {
    let mut lab = Lab::open("images = \"ed\"", url).await;
    for barcode in [
        "2603100001",
        "2603100002",
        "2603100003",
        "2603100004",
        "2603100005",
    ] {
        lab.order(barcode).await;
    }
    lab.bc.say(count_with_histogram("2603100001", &png(1)));
    lab.has_value("2603100001").await;
    lab.has_pictures("2603100001", &[png(1)]).await;
    // The file first.
    lab.file("2026_2_WDF.PNG", 2);
    lab.has_taken(1).await;
    lab.count("2603100002", "2026_2_WDF.PNG");
    lab.has_pictures("2603100002", &[png(2)]).await;
    // The result first, and sent; then the file.
    lab.count("2603100003", "2026_3_WDF.PNG");
    lab.has_value("2603100003").await;
    lab.file("2026_3_WDF.PNG", 3);
    lab.has_pictures("2603100003", &[png(3)]).await;
    // The bridge ends between the file and its result, and between a result and its file.
    lab.file("2026_4_WDF.PNG", 4);
    lab.has_taken(3).await;
    lab.count("2603100005", "2026_5_WDF.PNG");
    lab.has_value("2603100005").await;
    let lab = lab.restart(|site| write(site, "2026_5_WDF.PNG", 5)).await;
    lab.count("2603100004", "2026_4_WDF.PNG");
    lab.has_pictures("2603100004", &[png(4)]).await;
    lab.has_pictures("2603100005", &[png(5)]).await;
    let left = std::fs::read_dir(share(&lab.site).join("20260310")).expect("it is there");
    assert_eq!(
        left.count(),
        4,
        "nothing is deleted in the folder of the device"
    );
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_bytes_of_pictures_reach_a_his_that_wants_them() {
    pictures_reach_the_his(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_bytes_of_pictures_reach_a_his_that_wants_them_on_postgres() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    pictures_reach_the_his(Some(&cluster.new_schema())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_his_that_wants_no_pictures_gets_none_and_a_file_that_never_comes_holds_nothing() {
    let mut lab = Lab::open("", None).await;
    lab.order("2603100001").await;
    lab.order("2603100002").await;
    lab.bc.say(count_with_histogram("2603100001", &png(1)));
    lab.count("2603100002", "never.PNG");
    lab.has_value("2603100001").await;
    lab.has_value("2603100002").await;
    assert_eq!(pictures(&lab.his, "26031"), [[0; 0]; 0]);
    let store = lab.bridge.store.clone();
    let [kept, awaited] = ["2603100001", "2603100002"].map(|barcode| {
        let read = move |db: &mut dyn labwire::store::Db| image::of_barcode(db, barcode, 10);
        store.read_blocking(read).expect("the store works")
    });
    assert_eq!(
        kept[0].content.as_ref().map(|(kind, _)| kind.as_str()),
        Some("image/png")
    );
    assert_eq!((awaited.len(), &awaited[0].content), (1, &None));
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_a_full_disk_did_not_keep_is_taken_once_there_is_room() {
    let disk = Arc::new(Refusing::default());
    let faults = Some(Arc::clone(&disk) as Arc<dyn Faults>);
    let options = StoreOptions {
        faults,
        ..StoreOptions::default()
    };
    let mut lab = Lab::with("images = \"ed\"\n", None, options).await;
    lab.order("2603100001").await;
    lab.count("2603100001", "2026_1_WDF.PNG");
    lab.has_value("2603100001").await;
    disk.is_full.store(true, Ordering::SeqCst);
    lab.file("2026_1_WDF.PNG", 1);
    // Nothing else is going on, so it is the file that is refused, at one look after the other.
    lab.bridge
        .until("the file is refused", || {
            disk.refused.load(Ordering::SeqCst) >= 3
        })
        .await;
    disk.is_full.store(false, Ordering::SeqCst);
    lab.has_pictures("2603100001", &[png(1)]).await;
    lab.close().await;
}

/// A disk that may be full, and says how often it refused.
#[derive(Debug, Default)]
struct Refusing {
    is_full: AtomicBool,
    refused: AtomicUsize,
}

impl Faults for Refusing {
    fn at(&self, point: FaultPoint) -> Option<Fault> {
        let is_full = self.is_full.load(Ordering::SeqCst) && point == FaultPoint::Commit;
        self.refused.fetch_add(is_full.into(), Ordering::SeqCst);
        is_full.then_some(Fault::DiskFull)
    }
}

/// Keeps a picture as if a device had sent it.
async fn keep(bridge: &Bridge, barcode: &'static str, bytes: Vec<u8>) {
    let site = Arc::clone(&bridge.site);
    let seen = ImageSeen {
        kind: ObservationKind::Patient,
        specimen: Some(SpecimenRead {
            sent: barcode.to_owned(),
            id: barcode.to_owned(),
            rack: String::new(),
            position: String::new(),
        }),
        code: "SCAT_WDF".to_owned(),
        text: String::new(),
        declared: "text/html".to_owned(),
        source: ImageSource::Bytes(ImageBytes::new(bytes)),
        span: 0..0,
    };
    let work = move |db: &mut dyn labwire::store::Db| {
        let context = SettleContext {
            message: 1,
            line: "xn-1",
            received_at: 1,
            now: 1,
            specimen_age_max: 1,
            digest_input: b"",
            site: site.as_ref(),
        };
        image::keep(db, &context, &seen)
    };
    let kept = bridge.store.transact(Turn::Background, work).await;
    kept.expect("the store works");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_are_shown_to_people_as_what_they_are_and_to_nobody_else() {
    let mut watched = Watched::open(Answering::good(), short()).await;
    watched.measure("2603100001", "TRẦN").await;
    let gif = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;".to_vec();
    keep(&watched.bridge, "2603100001", gif).await;
    keep(
        &watched.bridge,
        "2603100001",
        b"<script>alert(1)</script>".to_vec(),
    )
    .await;
    let mut stranger = Browser::new(watched.address());
    let answer = stranger.get("/images/1").await;
    assert_eq!((answer.status, answer.body.contains("GIF")), (303, false));
    let mut viewer = watched.logged_in(Role::Viewer).await;
    let page = viewer.get("/specimens?q=2603100001").await;
    assert!(page.body.contains("src=\"/images/1\""), "{}", page.body);
    assert!(
        page.body.contains("href=\"/images/2\""),
        "a file to keep: {}",
        page.body
    );
    let answer = viewer.get("/images/1").await;
    assert_eq!(answer.header("content-type"), "image/gif");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.body.starts_with("GIF89a"), "{}", answer.body);
    let answer = viewer.get("/images/2").await;
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(answer.header("content-disposition"), "attachment");
    for nothing in ["/images/99", "/images/x", "/images/-1", "/images/..%2f1"] {
        assert_eq!(viewer.get(nothing).await.status, 404, "{nothing}");
    }
    let mut verifier = watched.logged_in(Role::Verifier).await;
    let read = verifier.get("/audit?subject=specimen%3A2603100001").await;
    let count = read.body.matches("viewer").count();
    assert!(count >= 3, "the page and both pictures: {}", read.body);
    watched.stop().await;
}
