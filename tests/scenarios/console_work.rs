//! The work list of the console over real HTTP: what waits, every act, and the way back.

use labwire::{
    console::Limits,
    people::Role,
    store::{
        Turn,
        journal::{self, MessageState},
    },
};
use labwire_sims::{clock::Clock, his::Answering, port::Port, runner::Wire};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    console::{Browser, Watched, encoded, refusing},
    hospital::{His, PATIENCE, Site, ZONE, comes},
    scripted::Script,
};

const CATALOGUE: &str = include_str!("../../config/catalogue.toml");

/// A bridge with one analyzer that says what a test gives it.
struct Ward {
    watched: Watched,
    device: Script,
    cancel: CancellationToken,
}

impl Ward {
    async fn open() -> Self {
        Self::before(Answering::good()).await
    }

    /// Before a HIS that answers like this.
    async fn before(answering: Answering) -> Self {
        let his = His::open(answering).await;
        let results = &his.results;
        let site = Site::new(&format!(
            "catalogue = \"catalogue.toml\"\n\n\
             [[host]]\nid = \"his\"\norders = \"mllp-listen://127.0.0.1:0\"\nresults = \"{results}\"\n\n\
             [[instrument]]\nid = \"bio-1\"\nprofile = \"generic/astm\"\n\
             port = \"tcp-listen://127.0.0.1:0\"\n\
             tests = {{ \"GLU\" = \"GLU\", \"NA\" = \"NA\", \"WBC\" = \"WBC\", \"ABO\" = \"ABO\" }}\n"
        ));
        site.file("catalogue.toml", CATALOGUE);
        let watched = Watched::over(&site, his, Limits::default()).await;
        let (device, cancel) = (Script::default(), CancellationToken::new());
        let address = watched.bridge.address("bio-1").await.expect("it listens");
        let mut wire = Wire::new(Clock::real(ZONE));
        wire.cancel = cancel.clone();
        device.plug_astm(Port::Connect(address.to_string()), wire);
        Self {
            watched,
            device,
            cancel,
        }
    }

    async fn order(&mut self, barcode: &str, services: &[&str]) {
        self.watched.his.order(barcode, services);
        let orders = &self.watched.his.orders;
        let bridge = &self.watched.bridge;
        bridge
            .until("the order is answered", || orders.waiting() == 0)
            .await;
    }

    /// The device says results of a tube: code, value, unit, flag.
    fn say(&self, tube: &str, results: &[(&str, &str, &str, &str)]) {
        let mut text = format!("H|\\^&|||ANALYZER1\rP|1\rO|1|{tube}||^^^GLU|R\r");
        for (number, (code, value, unit, flag)) in results.iter().enumerate() {
            let number = number + 1;
            text.push_str(&format!("R|{number}|^^^{code}|{value}|{unit}||{flag}||F\r"));
        }
        text.push_str("L|1|N\r");
        self.device.say(text);
    }

    /// The list, once so many entries wait for a person.
    async fn list(&self, browser: &mut Browser, count: i64) -> Vec<Value> {
        let look = async {
            loop {
                let now = browser.get("/api/v1/work").await.json();
                if now["to_decide"] == count {
                    return now["entries"].as_array().expect("entries").clone();
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, look).await;
        found.expect("so many entries wait in time")
    }

    /// Waits until the HIS has so many values.
    async fn at_the_his(&self, values: &[&str]) {
        let book = &self.watched.his.book;
        let has = || {
            book.with_ledger(|ledger| {
                let told: Vec<&str> = ledger
                    .observations()
                    .iter()
                    .map(|one| one.text.as_str())
                    .collect();
                values.iter().all(|value| told.contains(value))
            })
        };
        assert!(comes(PATIENCE, has).await, "{values:?} at the HIS");
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.watched.stop().await;
    }
}

/// The number and the key of the entry with this value.
fn found(entries: &[Value], value: &str) -> (i64, String) {
    let mut entries = entries.iter();
    let entry = entries.find(|entry| entry["subject"]["observation"]["text"] == value);
    let entry = entry.expect("an entry has this value");
    let id = entry["subject"]["id"].as_i64().expect("an id");
    (id, entry["key"].as_str().expect("a key").to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_result_says_why_and_its_release_is_undone_by_the_same_person() {
    let mut ward = Ward::open().await;
    ward.order("26031000081", &["GLU", "NA"]).await;
    ward.say(
        "26031000081",
        &[
            ("GLU", "31.5", "mmol/L", "CLOT"),
            ("NA", "141", "mmol/L", "CLOT"),
        ],
    );
    let mut lan = ward.watched.logged_in(Role::Technician).await;
    let entries = ward.list(&mut lan, 2).await;
    assert_eq!(entries[0]["urgency"]["critical"], "high", "critical first");
    let (glu, glu_key) = found(&entries, "31.5");

    let page = lan.get("/").await.body;
    for part in ["TRẦN THỊ BÌNH", "31.5", "CLOT", "Giá trị báo động ↑", "(2)"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let hold = labwire::text::hold(
        labwire::text::Language::Vi,
        labwire::model::HoldReason::SuspectFlag,
    );
    assert!(
        page.contains(&hold.what) && page.contains(&hold.todo),
        "{page}"
    );
    let one = lan.get(&format!("/held/{glu}")).await;
    assert!(one.body.contains("Trả và gửi ngay"), "{}", one.body);

    // Released, and back: the way back is in the page, and leads to the entry.
    let act = format!("/held/{glu}/release?at={glu_key}");
    let done = lan.post(&act, &[]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    let page = lan.get(done.header("location")).await.body;
    let undo = page
        .split("action=\"/acts/")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let undo = format!("/acts/{}", undo.expect("a way back").replace("&amp;", "&"));
    assert!(page.contains("Đã trả kết quả"), "{page}");
    ward.list(&mut lan, 1).await;

    // Not by somebody else, not without the page's token.
    let mut hoa = ward.watched.logged_in(Role::Verifier).await;
    hoa.get("/").await;
    let refused = hoa.post(&undo, &[]).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(
        refused.body.contains("Việc này do người khác làm"),
        "{}",
        refused.body
    );
    let mut forging = lan.clone();
    forging.form = "0".repeat(64);
    assert_eq!(forging.post(&undo, &[]).await.status, 403);
    let undone = lan.post(&undo, &[]).await;
    assert_eq!(undone.status, 303, "{}", undone.body);
    assert!(
        undone.header("location").contains("&on="),
        "{}",
        undone.head
    );
    ward.list(&mut lan, 2).await;

    ward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giving_up_needs_a_reason_and_a_critical_value_may_leave_at_once() {
    let mut ward = Ward::open().await;
    ward.order("26031000083", &["GLU", "NA"]).await;
    let both = [
        ("GLU", "31.5", "mmol/L", "CLOT"),
        ("NA", "141", "mmol/L", "CLOT"),
    ];
    ward.say("26031000083", &both);
    let mut lan = ward.watched.logged_in(Role::Technician).await;
    let entries = ward.list(&mut lan, 2).await;
    let ((glu, glu_key), (na, _)) = (found(&entries, "31.5"), found(&entries, "141"));
    lan.get("/").await;
    // Without a reason nothing is given up; with one it is, once.
    let aside = format!("/held/{na}/set-aside?at=");
    let without = lan.post(&aside, &[("from", "entry")]).await;
    assert_eq!(without.status, 400, "{}", without.body);
    assert!(without.body.contains("Hãy ghi lý do"), "{}", without.body);
    let with = lan.post(&aside, &[("reason", "mẫu đông")]).await;
    assert_eq!(with.status, 303, "{}", with.body);
    lan.get("/").await;
    let again = lan.post(&aside, &[("reason", "mẫu đông")]).await;
    assert_eq!(again.status, 409, "{}", again.body);
    assert!(
        again.body.contains("Đã có người quyết định"),
        "{}",
        again.body
    );
    assert!(again.body.contains("31.5"), "the list stands below");
    let history = lan.get(&format!("/held/{na}")).await.body;
    assert!(
        history.contains("technician") && history.contains("mẫu đông"),
        "{history}"
    );

    // A critical value may leave at once: it is at the HIS, and cannot be taken back.
    let act = format!("/held/{glu}/release?at={glu_key}");
    let now = lan.post(&act, &[("leave", "now")]).await;
    assert_eq!(now.status, 303, "{}", now.body);
    ward.at_the_his(&["31.5"]).await;
    ward.list(&mut lan, 0).await;
    ward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_mapped_once_and_everything_that_waits_for_it_goes_to_the_his() {
    let mut ward = Ward::open().await;
    // What is released leaves ten seconds later by the console's clock, which is late.
    ward.watched.clock.minutes(-1);
    let tubes = ["26031000091", "26031000092", "26031000093"];
    for (at, tube) in tubes.iter().enumerate() {
        ward.order(tube, &["K", "WBC"]).await;
        ward.say(tube, &[("POT", &format!("4.{at}"), "mmol/L", "N")]);
    }
    ward.say(tubes[0], &[("WBC", "6.41", "10*3/uL", "N")]);
    let mut lan = ward.watched.logged_in(Role::Technician).await;
    let entries = ward.list(&mut lan, 4).await;
    let (id, key) = found(&entries, "4.1");
    let page = lan.get(&format!("/held/{id}/map?at={key}")).await.body;
    assert!(
        page.contains("POT") && page.contains("3 kết quả đang chờ"),
        "{page}"
    );
    let sought = lan
        .get(&format!("/held/{id}/map?q={}", encoded("dinh luong kali")))
        .await;
    assert!(sought.body.contains("value=\"K\""), "{}", sought.body);

    let act = format!("/held/{id}/map?at={key}");
    for (fields, status, words) in [
        (
            vec![("test", "NO-SUCH"), ("reason", "x")],
            409,
            "Danh mục không có",
        ),
        (vec![("test", "K"), ("reason", " ")], 400, "Hãy ghi lý do"),
    ] {
        let refused = lan.post(&act, &fields).await;
        assert_eq!(refused.status, status, "{}", refused.body);
        assert!(refused.body.contains(words), "{}", refused.body);
    }
    let done = lan
        .post(&act, &[("test", "K"), ("reason", "tờ thuốc thử")])
        .await;
    assert_eq!(done.status, 303, "{}", done.body);
    let bar = lan.get(done.header("location")).await.body;
    assert!(bar.contains("Đã gán mã"), "{bar}");
    ward.at_the_his(&["4.0", "4.1", "4.2"]).await;

    // The unit that is the test's in another spelling.
    let entries = ward.list(&mut lan, 1).await;
    let (id, key) = found(&entries, "6.41");
    let page = lan.get(&format!("/held/{id}?at={key}")).await.body;
    assert!(
        page.contains("10*3/uL") && page.contains("10*9/L"),
        "{page}"
    );
    let done = lan
        .post(&format!("/held/{id}/accept-unit?at={key}"), &[])
        .await;
    assert_eq!(done.status, 303, "{}", done.body);
    ward.at_the_his(&["6.41"]).await;
    let entries = ward.list(&mut lan, 0).await;
    assert!(entries.is_empty());
    let page = lan.get("/").await.body;
    assert!(
        page.contains("Không có việc nào cần người xử lý."),
        "{page}"
    );
    ward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_without_a_tube_are_linked_side_by_side_with_it() {
    let mut ward = Ward::open().await;
    ward.watched.clock.minutes(-1);
    ward.order("26031000101", &["GLU", "NA"]).await;
    ward.say(
        "",
        &[("GLU", "5.31", "mmol/L", "N"), ("NA", "139", "mmol/L", "N")],
    );
    let mut lan = ward.watched.logged_in(Role::Technician).await;
    let entries = ward.list(&mut lan, 2).await;
    let (id, key) = found(&entries, "5.31");
    let mut tube = String::new();
    for asked in [
        "26031000101",
        "26031",
        "tran binh",
        "Trần Thị Bình",
        "PN26031000101",
    ] {
        let page = lan
            .get(&format!("/held/{id}/link?at={key}&q={}", encoded(asked)))
            .await
            .body;
        let chosen = page
            .split("&amp;tube=")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        chosen
            .unwrap_or_else(|| panic!("{asked}: {page}"))
            .clone_into(&mut tube);
    }
    let none = lan.get(&format!("/held/{id}/link?q=nobody")).await.body;
    assert!(none.contains("Không có ống mẫu nào"), "{none}");
    let pair = lan
        .get(&format!("/held/{id}/link?at={key}&tube={tube}"))
        .await
        .body;
    for part in [
        "TRẦN THỊ BÌNH",
        "05/11/1991",
        "26031000101",
        "có chỉ định",
        "NA 139",
    ] {
        assert!(pair.contains(part), "{part} in {pair}");
    }
    let act = format!("/held/{id}/link?at={key}");
    assert_eq!(
        lan.post(&act, &[("reason", "x")]).await.status,
        400,
        "no tube"
    );
    let fields = [
        ("tube", tube.as_str()),
        ("others", "yes"),
        ("reason", "danh sách giá"),
    ];
    let done = lan.post(&act, &fields).await;
    assert_eq!(done.status, 303, "{}", done.body);
    ward.at_the_his(&["5.31", "139"]).await;
    ward.list(&mut lan, 0).await;
    ward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_could_not_be_read_is_set_aside_and_a_rerun_says_what_the_device_hears() {
    let mut ward = Ward::open().await;
    ward.order("26031000111", &["GLU"]).await;
    ward.say("26031000111", &[("GLU", "5.61", "mmol/L", "CLOT")]);
    let mut lan = ward.watched.logged_in(Role::Technician).await;
    let entries = ward.list(&mut lan, 1).await;
    let (id, key) = found(&entries, "5.61");
    let message = entries[0]["subject"]["message"]
        .as_i64()
        .expect("a message");
    lan.get("/").await;
    let done = lan.post(&format!("/held/{id}/rerun?at={key}"), &[]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    let bar = lan.get(done.header("location")).await.body;
    assert!(bar.contains("Đã gác lại để chạy lại"), "{bar}");
    assert!(
        bar.contains("Máy sẽ nhận") || bar.contains("gửi lại cho máy"),
        "{bar}"
    );
    ward.list(&mut lan, 0).await;

    let store = &ward.watched.bridge.store;
    store
        .transact(Turn::Background, move |db| {
            journal::mark(db, message, MessageState::Held, None)
        })
        .await
        .expect("it is held");
    let entries = ward.list(&mut lan, 1).await;
    assert_eq!(entries[0]["subject"]["kind"], "message");
    let page = lan.get("/").await.body;
    assert!(page.contains("Không đọc được"), "{page}");
    let page = lan.get(&format!("/messages/{message}")).await.body;
    assert!(page.contains("26031000111"), "its bytes are shown: {page}");
    let act = format!("/messages/{message}/set-aside?at=");
    let without = lan.post(&act, &[("from", "entry")]).await;
    assert_eq!(without.status, 400, "{}", without.body);
    let done = lan.post(&act, &[("reason", "đọc trên máy")]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    ward.list(&mut lan, 0).await;
    lan.get("/").await;
    assert_eq!(lan.post(&act, &[("reason", "x")]).await.status, 404, "once");
    ward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_value_stands_beside_the_result_and_a_blood_group_wants_a_verifier() {
    let mut ward = Ward::open().await;
    ward.order("26031000121", &["GLU", "ABO"]).await;
    ward.say("26031000121", &[("GLU", "5.11", "mmol/L", "N")]);
    ward.at_the_his(&["5.11"]).await;
    ward.say("26031000121", &[("GLU", "9.87", "mmol/L", "CLOT")]);
    ward.say("26031000121", &[("ABO", "A", "", "N")]);
    let mut lan = ward.watched.logged_in(Role::Technician).await;
    let entries = ward.list(&mut lan, 2).await;
    let page = lan.get("/").await.body;
    assert!(
        page.contains("Lần trước: <span class=\"value\">5.11</span>"),
        "{page}"
    );
    assert!(page.contains("Chỉ người duyệt mới được trả"), "{page}");
    let (group, key) = found(&entries, "A");
    let act = format!("/held/{group}/release?at={key}");
    assert!(
        !page.contains(&format!("/held/{group}/release")),
        "no button"
    );
    let refused = lan.post(&act, &[]).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(
        refused.body.contains("Chỉ người duyệt mới được trả"),
        "{}",
        refused.body
    );
    ward.list(&mut lan, 2).await;
    let mut hoa = ward.watched.logged_in(Role::Verifier).await;
    let page = hoa.get("/").await.body;
    assert!(page.contains(&format!("/held/{group}/release")), "{page}");
    let done = hoa.post(&act, &[]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    ward.list(&mut hoa, 1).await;
    let mut viewer = ward.watched.logged_in(Role::Viewer).await;
    let page = viewer.get("/").await.body;
    assert!(
        page.contains("9.87") && !page.contains("formaction"),
        "{page}"
    );
    let page = viewer.get(&format!("/held/{group}")).await.body;
    assert!(
        page.contains("verifier") && !page.contains("action=\"/held"),
        "{page}"
    );
    ward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_his_refused_is_decided_about_from_the_work_list() {
    let mut ward = Ward::before(refusing()).await;
    ward.order("26031000131", &["GLU"]).await;
    ward.say("26031000131", &[("GLU", "5.21", "mmol/L", "N")]);
    let mut lan = ward.watched.logged_in(Role::Technician).await;
    let entries = ward.list(&mut lan, 1).await;
    assert_eq!(entries[0]["subject"]["kind"], "queue");
    let id = entries[0]["subject"]["id"].as_i64().expect("an id");
    let key = entries[0]["key"].as_str().expect("a key").to_owned();
    let page = lan.get("/").await.body;
    assert!(
        page.contains(&format!("/queue/{id}/retry?at={key}")),
        "{page}"
    );
    let page = lan.get(&format!("/queue/{id}?at={key}")).await.body;
    let act = format!("/queue/{id}/discard?at={key}");
    assert!(page.contains(&act), "{page}");
    let done = lan.post(&act, &[("reason", "đã báo khoa")]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(done.header("location"), format!("/?at={key}"));
    ward.list(&mut lan, 0).await;
    ward.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_comes_in_small_pages_and_programs_act_as_people_do() {
    let mut ward = Ward::open().await;
    let tubes: Vec<String> = (0..30).map(|at| format!("260310002{at:02}")).collect();
    for tube in &tubes {
        ward.order(tube, &["GLU", "NA"]).await;
        ward.say(
            tube,
            &[
                ("GLU", "5.71", "mmol/L", "CLOT"),
                ("NA", "141", "mmol/L", "CLOT"),
            ],
        );
    }
    let mut lan = ward.watched.logged_in(Role::Technician).await;
    let first = ward.list(&mut lan, 60).await;
    let page = lan.get("/").await.body;
    assert!(page.len() < 100_000, "{} bytes", page.len());
    assert!(page.contains("20 trong 60 mục"), "{page}");
    let next = lan.get("/api/v1/work").await.json()["next"].clone();
    let next = next.as_str().expect("there are more").to_owned();
    let second = lan.get(&format!("/?after={next}")).await.body;
    let one = first[0]["subject"]["id"].as_i64().expect("an id");
    assert!(
        !second.contains(&format!("\"/held/{one}?")),
        "no entry twice"
    );

    let post = async |who: &mut Browser, path: &str, body: &str| {
        let form = who.get("/api/v1/me").await.json()["form"].clone();
        let form = form.as_str().expect("a token").to_owned();
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nX-Labwire-Form: {form}\r\n\
             Content-Length: {length}\r\n"
        );
        who.send(&head, body).await
    };
    let path = format!("/api/v1/held/{one}/release");
    let done = post(&mut lan, &path, "{}").await;
    assert_eq!(done.status, 200, "{}", done.body);
    let done = done.json();
    assert_eq!(done["state"], "released");
    let twice = post(&mut lan, &path, "{}").await;
    assert_eq!(twice.status, 409, "{}", twice.body);
    assert_eq!(twice.header("content-type"), "application/problem+json");
    assert_eq!(twice.json()["type"], "urn:labwire:problem:refused-not-open");
    assert_eq!(twice.json()["instance"], path.as_str());
    let undo = format!("/api/v1/acts/{}/undo", done["act"]);
    let mut hoa = ward.watched.logged_in(Role::Verifier).await;
    assert_eq!(post(&mut hoa, &undo, "{}").await.status, 403);
    ward.watched.clock.minutes(1);
    let late = post(&mut lan, &undo, "{}").await;
    assert_eq!(late.status, 409, "{}", late.body);
    assert_eq!(late.json()["type"], "urn:labwire:problem:refused-too-late");
    let aside = format!("/api/v1/held/{}/set-aside", first[1]["subject"]["id"]);
    assert_eq!(post(&mut lan, &aside, "{}").await.status, 400, "a reason");
    let told = post(&mut lan, &aside, "{\"reason\":\"clotted\"}").await;
    assert_eq!(told.status, 200, "{}", told.body);
    let unknown = post(&mut lan, "/api/v1/held/999999/release", "{}").await;
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    ward.stop().await;
}
