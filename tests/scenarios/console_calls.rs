//! Critical values over the whole bridge: a device measures, and somebody has to be called.

use labwire::{console::Limits, people::Role};
use labwire_sims::{
    clock::Clock,
    his::{Answering, Control},
    port::Port,
    runner::Wire,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    account,
    console::{Browser, Watched},
    hospital::{His, Site, ZONE, request},
    scripted::Script,
};

const CATALOGUE: &str = "[[test]]\nid = \"K\"\nname = { vi = \"Kali\", en = \"Potassium\" }\n\
                         unit = \"mmol/L\"\ncritical = { low = 2.80, high = 6.20 }\n";

/// A host and a chemistry analyzer; potassium has critical limits.
fn site(his: &His) -> Site {
    site_with(his, "")
}

/// The same with further tables.
pub fn site_with(his: &His, more: &str) -> Site {
    let results = &his.results;
    let site = Site::new(&format!(
        "catalogue = \"catalogue.toml\"\n\n[console]\ncall_within_min = 20\n\n\
         [[host]]\nid = \"his\"\norders = \"mllp-listen://127.0.0.1:0\"\nresults = \"{results}\"\n\n\
         [[instrument]]\nid = \"bio-1\"\nprofile = \"generic/astm\"\n\
         port = \"tcp-listen://127.0.0.1:0\"\ntests = {{ \"K\" = \"K\" }}\n\n{more}"
    ));
    site.file("catalogue.toml", CATALOGUE);
    site
}

/// One value of potassium.
pub fn records(tube: &str, value: &str) -> String {
    format!(
        "H|\\^&|||BIO||||||||E1394-97\rP|1\rO|1|{tube}||^^^K|R\r\
         R|1|^^^K|{value}|mmol/L||N||F\rL|1|N\r"
    )
}

/// The open calls, when there are so many.
async fn open_calls(browser: &mut Browser, count: usize) -> Vec<Value> {
    loop {
        let calls = browser.get("/api/v1/calls").await.json();
        let open = calls["open"].as_array().expect("a list").clone();
        if open.len() >= count {
            return open;
        }
    }
}

async fn order(watched: &mut Watched, barcode: &str) {
    let mut form = request(Control::New, barcode, &["K"]);
    form.ward = "HSTC".to_owned();
    let written = watched.his.writer.request(&form, "20260310090000+0700");
    watched.his.orders.push(written);
    let orders = &watched.his.orders;
    watched
        .bridge
        .until("the order is answered", || orders.waiting() == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_critical_potassium_is_called_until_somebody_has_read_it_back() {
    let his = His::open(Answering::good()).await;
    let site = site(&his);
    let mut watched = Watched::over(&site, his, Limits::default()).await;
    order(&mut watched, "26031000091").await;
    let cancel = CancellationToken::new();
    let mut wire = Wire::new(Clock::real(ZONE));
    wire.cancel = cancel.clone();
    let address = watched.bridge.address("bio-1").await.expect("it listens");
    let script = Script::default();
    script.plug_astm(Port::Connect(address.to_string()), wire);
    script.say(records("26031000091", "6.9"));
    script.say(records("26031000092", "4.1"));

    let mut technician = watched.logged_in(Role::Technician).await;
    let id = shown_to_its_roles(&watched, &mut technician).await;
    let path = format!("/calls/{id}/attempt");
    told_without_read_back(&mut technician, &path).await;
    // Sessions end after fifteen minutes without an act.
    watched.clock.minutes(14);
    technician.get("/calls").await;
    watched.clock.minutes(7);
    let page = technician.get("/calls").await.body;
    assert!(page.contains("Quá hạn: báo ngay"), "{page}");
    assert_eq!(
        open_calls(&mut technician, 1).await[0]["is_escalated"],
        true
    );

    let name = "<script>alert(1)</script>";
    let fields = [
        ("told_to", name),
        ("contact", "BS trực"),
        ("outcome", "told"),
        ("read_back", "yes"),
    ];
    assert_eq!(technician.post(&path, &fields).await.status, 303);
    assert_eq!(technician.post(&path, &fields).await.status, 409, "once");
    let api = format!("/api/v1/calls/{id}/attempt");
    assert_eq!(technician.post(&api, &fields).await.status, 409);
    assert_eq!(
        technician
            .post("/api/v1/calls/77/attempt", &fields)
            .await
            .status,
        404
    );
    closed_and_found(&mut technician, name).await;
    // Whatever people are told, the host has its result.
    watched
        .bridge
        .until_empty("at the ledger", || account::findings(&site.store()))
        .await;
    cancel.cancel();
    watched.stop().await;
}

/// The call with all that one needs to make it, and a form for those who may; returns its number.
async fn shown_to_its_roles(watched: &Watched, technician: &mut Browser) -> i64 {
    let call = open_calls(technician, 1).await.remove(0);
    assert_eq!(
        (
            call["value"].as_str(),
            call["limit"].as_str(),
            call["ward"].as_str()
        ),
        (Some("6.9"), Some("> 6.20"), Some("HSTC")),
        "{call}"
    );
    assert_eq!(call["is_escalated"], false);
    let id = call["id"].as_i64().expect("an id");
    let path = format!("/calls/{id}/attempt");
    let page = technician.get("/calls").await.body;
    for word in [
        "6.9 mmol/L",
        "TRẦN THỊ BÌNH",
        "Kali",
        "HSTC",
        "26031000091",
        &path,
    ] {
        assert!(page.contains(word), "{word} in {page}");
    }
    let mut viewer = watched.logged_in(Role::Viewer).await;
    let seen = viewer.get("/calls").await.body;
    assert!(
        seen.contains("6.9 mmol/L") && !seen.contains(&path),
        "no form for a viewer"
    );
    id
}

/// Told, and not read back: written down and still open. Without a name nothing is written down.
async fn told_without_read_back(technician: &mut Browser, path: &str) {
    let told = [("told_to", "Hoa"), ("contact", ""), ("outcome", "told")];
    assert_eq!(technician.post(path, &told).await.status, 303);
    for wrong in [
        [("told_to", " "), ("outcome", "told"), ("read_back", "yes")],
        [
            ("told_to", "Hoa"),
            ("outcome", "shouted"),
            ("read_back", "yes"),
        ],
        [
            ("told_to", "Hoa"),
            ("outcome", "busy"),
            ("read_back", "yes"),
        ],
    ] {
        assert_eq!(technician.post(path, &wrong).await.status, 400, "{wrong:?}");
        technician.get("/calls").await;
    }
    let open = open_calls(technician, 1).await;
    assert_eq!(open[0]["state"], "open");
    assert_eq!(open[0]["attempts"].as_array().map(Vec::len), Some(1));
    assert_eq!(open[0]["attempts"][0]["is_read_back"], false);
    let page = technician.get("/calls").await.body;
    assert!(page.contains("chưa đọc lại"), "{page}");
}

async fn closed_and_found(technician: &mut Browser, name: &str) {
    let calls = technician
        .get("/api/v1/calls?barcode=26031000091")
        .await
        .json();
    assert_eq!(calls["open"].as_array().map(Vec::len), Some(0));
    assert_eq!(calls["closed"][0]["state"], "told");
    assert_eq!(calls["closed"][0]["closed_by"], "technician");
    assert_eq!(calls["closed"][0]["attempts"][1]["told_to"], name);
    let none = technician
        .get("/api/v1/calls?barcode=26031000092")
        .await
        .json();
    assert_eq!(none["closed"].as_array().map(Vec::len), Some(0));
    let page = technician.get("/calls").await.body;
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{page}"
    );
    assert!(!page.contains("<script>alert"), "{page}");
    assert!(page.contains("Đã báo hết."), "{page}");
}
