//! A night without the HIS, over real ports: an order is keyed in, a device asks and measures, the ward
//! gets a sheet, and when the HIS orders it gets every value once under its own numbers.

use std::time::Duration;

use labwire::{console::Limits, people::Role};
use labwire_sims::{
    analyzer::{Nature, Operator, Tube},
    his::{Answering, Control, Expected},
    port::Port,
};
use tokio_util::sync::CancellationToken;

use crate::{
    console::{Browser, Watched},
    hospital::request,
    wire_to_his::astm,
};

const TUBE: &str = "26031000091";

/// What is typed from the paper form; `more` goes before it.
fn form<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("host", "his"),
        ("barcode", TUBE),
        ("number", "PN26031000091"),
        ("name", "Trần Thị Bình"),
        ("birth", "5/11/1991"),
        ("sex", "F"),
        ("ward", "KKB"),
        ("codes", "WBC"),
        ("test-HGB", "on"),
    ];
    fields.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
    fields.extend_from_slice(more);
    fields
}

async fn key_in(browser: &mut Browser, more: &[(&str, &str)]) -> crate::console::Answer {
    browser.get("/downtime").await;
    browser.post("/downtime", &form(more)).await
}

/// Plugs the counter in, and waits until it has measured the tube.
async fn measured(watched: &Watched, cancel: &CancellationToken) -> Operator {
    let address = watched.bridge.address("xn-1").await.expect("it listens");
    let device = astm("sysmex-xn", Port::Connect(address.to_string()), cancel);
    device.load(Tube::patient(TUBE));
    let is_done = || {
        device.with_log(|log| log.acknowledged.iter().any(|one| one.specimen == TUBE))
            && device.is_idle()
    };
    watched.bridge.until("it is measured", is_done).await;
    device
}

/// The results of the tube as the console tells them: test, state.
async fn results(browser: &mut Browser) -> Vec<(String, String)> {
    let sheet = browser
        .get(&format!("/api/v1/specimens?q={TUBE}"))
        .await
        .json();
    let results = sheet["results"].as_array().cloned().unwrap_or_default();
    let text = |one: &serde_json::Value| one.as_str().unwrap_or_default().to_owned();
    results
        .iter()
        .map(|one| (text(&one["code"]), text(&one["state"])))
        .collect()
}

/// Looks until all that was ordered stands in that state.
async fn until_all(browser: &mut Browser, state: &str) {
    let wait = async {
        loop {
            let found = results(browser).await;
            let ordered = found
                .iter()
                .filter(|(code, _)| code == "WBC" || code == "HGB");
            let states: Vec<&str> = ordered.map(|(_, state)| state.as_str()).collect();
            if states.len() == 2 && states.iter().all(|one| *one == state) {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), wait).await;
    assert!(in_time.is_ok(), "{state}: {:?}", results(browser).await);
}

/// A person looks at everything that is held of the tube, and keeps it for the ward.
async fn keep_for_ward(browser: &mut Browser) {
    let paper = browser.get(&format!("/downtime/paper?q={TUBE}")).await;
    assert!(
        paper.body.contains("Chưa có kết quả nào được duyệt"),
        "{}",
        paper.body
    );
    let ids: Vec<String> = paper
        .body
        .split("name=\"result-")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(|id| format!("result-{id}"))
        .collect();
    assert!(ids.len() >= 2, "{}", paper.body);
    let mut fields = vec![("q", TUBE), ("reason", "gọi khoa")];
    fields.extend(ids.iter().map(|id| (id.as_str(), "on")));
    let released = browser.post("/downtime/release", &fields).await;
    assert_eq!(released.status, 303, "{}", released.body);
}

/// What the device measured of what was ordered.
fn measured_of(device: &Operator) -> Vec<Expected> {
    let log = device.log();
    let ordered = log
        .acknowledged
        .iter()
        .filter(|one| one.nature == Nature::Ordinary)
        .filter(|one| one.test == "WBC" || one.test == "HGB");
    ordered
        .map(|one| Expected {
            patient: format!("PN{TUBE}"),
            barcode: TUBE.to_owned(),
            code: one.test.clone(),
            text: one.text.clone(),
            is_required: true,
        })
        .collect()
}

/// The HIS has every value once, under the numbers that it gave.
async fn is_at_the_his(watched: &Watched, wanted: &[Expected]) {
    let found = || {
        let findings = watched.his.book.verify(wanted);
        findings.iter().map(ToString::to_string).collect()
    };
    watched.bridge.until_empty("at the HIS", found).await;
    let placers = watched.his.book.with_ledger(|ledger| {
        let seen = ledger.observations().iter();
        seen.map(|one| one.placer.clone()).collect::<Vec<_>>()
    });
    let is_own = |placer: &String| placer.starts_with(&format!("P{TUBE}-"));
    assert!(placers.iter().all(is_own), "{placers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_keyed_in_at_night_reaches_the_his_once_under_its_own_numbers() {
    let mut watched = Watched::open(Answering::good(), Limits::default()).await;
    let cancel = CancellationToken::new();
    let mut technician = watched.logged_in(Role::Technician).await;
    let done = key_in(&mut technician, &[]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    let to = done.header("location").to_owned();
    assert!(to.starts_with("/downtime?number=T"), "{to}");
    let page = technician.get(&to).await;
    assert!(page.body.contains("Trần Thị Bình"), "{}", page.body);
    let worklist = technician.get("/downtime/worklist").await.body;
    assert!(
        worklist.contains(TUBE) && worklist.contains("nhập tay"),
        "{worklist}"
    );
    let device = measured(&watched, &cancel).await;
    let orders = device.log().orders;
    let mut asked: Vec<String> = orders.iter().flat_map(|one| one.tests.clone()).collect();
    asked.sort_unstable();
    assert_eq!(asked, ["HGB", "WBC"], "exactly what was keyed in");
    until_all(&mut technician, "held").await;
    keep_for_ward(&mut technician).await;
    until_all(&mut technician, "kept").await;
    let sent = watched.his.book.verify(&[]);
    assert!(sent.is_empty(), "nothing was told to the HIS: {sent:?}");
    technician.get("/downtime").await;
    let printed = technician.post("/downtime/paper", &[("q", TUBE)]).await;
    let wanted = measured_of(&device);
    assert_eq!(wanted.len(), 2);
    for what in wanted.iter().map(|one| one.text.as_str()).chain([
        "KẾT QUẢ TẠM THỜI",
        "In bởi technician",
        "KKB",
    ]) {
        assert!(printed.body.contains(what), "{what}: {}", printed.body);
    }
    // The HIS is back.
    watched.his.order(TUBE, &["WBC", "HGB"]);
    until_all(&mut technician, "released").await;
    is_at_the_his(&watched, &wanted).await;
    let orders = technician.get("/api/v1/downtime").await.json();
    assert_eq!(orders["orders"][0]["state"], "taken-over", "{orders}");
    let mut verifier = watched.logged_in(Role::Verifier).await;
    let audit = verifier.get("/api/v1/audit").await.body;
    for what in ["order-keyed", "printed-provisional", "gọi khoa"] {
        assert!(audit.contains(what), "{what} in {audit}");
    }
    numbers(&mut technician).await;
    cancel.cancel();
    watched.stop().await;
}

/// What was measured is counted, and its way to the HIS is timed.
async fn numbers(browser: &mut Browser) {
    let wait = async {
        loop {
            let told = browser.get("/api/v1/numbers").await.json();
            let row = told["rows"][0].clone();
            if row["steps"]["whole"]["count"] == 2 {
                return row;
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), wait).await;
    let row = in_time.expect("both are acknowledged");
    assert_eq!(row["section"], "xn-1", "{row}");
    assert_eq!(row["released"], 2, "{row}");
    assert!(row["steps"]["released"]["p50_ms"].is_i64(), "{row}");
    let page = browser.get("/numbers").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("data-daily="), "{}", page.body);
    let file = browser.get("/numbers/csv").await;
    assert!(file.header("content-type").starts_with("text/csv"));
    assert!(
        file.body
            .starts_with("day,section,results,released,held,set_aside,received_count"),
        "{}",
        file.body
    );
    let rows: Vec<&str> = file.body.trim_end().split("\r\n").collect();
    assert_eq!(rows.len(), 2, "{}", file.body);
    assert!(rows[1].contains(",xn-1,"), "{}", file.body);
    let holds = browser.get("/numbers/csv?what=holds").await.body;
    assert!(holds.starts_with("day,section,reason,count\r\n"), "{holds}");
    for wrong in [
        "from=x",
        "from=2020-01-01",
        "what=all",
        "from=2026-03-10&to=2026-03-09",
    ] {
        let answer = browser.get(&format!("/numbers/csv?{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_patient_of_the_his_on_a_keyed_barcode_is_shown_and_printed_for_nobody() {
    let mut watched = Watched::open(Answering::good(), Limits::default()).await;
    let mut technician = watched.logged_in(Role::Technician).await;
    let script = "<script>alert(1)</script> Bình";
    let done = key_in(&mut technician, &[("name", script), ("number", "PN7")]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    let page = technician.get("/downtime").await.body;
    assert!(!page.contains("<script>alert"), "a name is a name");
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    let mut form = request(Control::New, TUBE, &["WBC"]);
    form.patient.family = "LÊ".to_owned();
    let written = watched.his.writer.request(&form, "20260310090000+0700");
    watched.his.orders.push(written);
    let orders = &watched.his.orders;
    let is_answered = || orders.waiting() == 0;
    watched.bridge.until("it is answered", is_answered).await;
    let orders = technician.get("/api/v1/downtime").await.json();
    assert_eq!(orders["orders"][0]["state"], "differs", "{orders}");
    technician.get("/downtime").await;
    let printed = technician.post("/downtime/paper", &[("q", TUBE)]).await;
    assert_eq!(printed.status, 409, "nobody knows whose the values are");
    let number = orders["orders"][0]["number"].as_str().expect("a number");
    let without = [("number", number), ("reason", " ")];
    assert_eq!(
        technician.post("/downtime/withdraw", &without).await.status,
        400
    );
    technician.get("/downtime").await;
    let taken = [("number", number), ("reason", "nhập sai")];
    assert_eq!(
        technician.post("/downtime/withdraw", &taken).await.status,
        303
    );
    let orders = technician.get("/api/v1/downtime").await.json();
    assert_eq!(orders["orders"][0]["state"], "withdrawn", "{orders}");
    assert_eq!(technician.get("/downtime").await.status, 200);
    assert_eq!(
        technician.post("/downtime/withdraw", &taken).await.status,
        404
    );
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_cannot_be_an_order_comes_back_with_what_is_wrong() {
    let watched = Watched::open(Answering::good(), Limits::default()).await;
    let mut technician = watched.logged_in(Role::Technician).await;
    for (wrong, why) in [
        (
            vec![("barcode", "\"><script>x</script> 1")],
            "Mã vạch trống",
        ),
        (vec![("barcode", "")], "Mã vạch trống"),
        (vec![("birth", "32/13/1991")], "Ngày sinh không đúng"),
        (vec![("number", ""), ("birth", "")], "Cần mã số người bệnh"),
        (
            vec![("codes", "'; DROP TABLE result;--")],
            "không làm xét nghiệm",
        ),
        (
            vec![("codes", ""), ("test-HGB", "")],
            "Chưa chọn xét nghiệm",
        ),
        (vec![("host", "lis")], "Không có hệ thống"),
    ] {
        let answer = key_in(&mut technician, &wrong).await;
        assert_eq!(answer.status, 200, "{wrong:?}");
        assert!(answer.body.contains(why), "{why}: {}", answer.body);
        assert!(!answer.body.contains("<script>x"), "{}", answer.body);
        assert!(
            answer.body.contains("Trần Thị Bình"),
            "what was typed is kept"
        );
    }
    let none = technician.get("/api/v1/downtime").await.json();
    assert_eq!(none["orders"].as_array().map(Vec::len), Some(0), "{none}");
    let mut viewer = watched.logged_in(Role::Viewer).await;
    let page = viewer.get("/downtime").await;
    assert_eq!(page.status, 200);
    assert!(
        !page.body.contains("action=\"/downtime\""),
        "no form for a viewer"
    );
    watched.stop().await;
}
