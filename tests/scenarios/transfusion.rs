//! A blood bank: groups over a simulated analyzer, with the library's own catalogue and profile.

use bytes::Bytes;
use labwire::settle;
use labwire_sims::{
    clock::Clock,
    his::{Answering, Control, Written},
    port::Port,
    runner::Wire,
};
use tokio_util::sync::CancellationToken;

use crate::{
    hospital::{Bridge, His, PATIENCE, Site, ZONE, request},
    scripted::Script,
};

/// As it is: the scenario shows that it and the profile fit.
const CATALOGUE: &str = include_str!("../../config/catalogue.toml");

/// A laboratory with one blood group analyzer, whose wells of reverse typing the site maps.
struct Bank {
    his: His,
    bridge: Bridge,
    device: Script,
    cancel: CancellationToken,
}

impl Bank {
    async fn open() -> Self {
        let his = His::open(Answering::good()).await;
        let site = Site::new(&format!(
            r#"catalogue = "catalogue.toml"

[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "{}"

[[instrument]]
id = "echo-1"
profile = "immucor/galileo"
port = "tcp-listen://127.0.0.1:0"
section = "transfusion"
tests = {{ "A1 Cells" = "RXA1", "B Cells" = "RXBC" }}
"#,
            his.results
        ));
        site.file("catalogue.toml", CATALOGUE);
        let bridge = site.start().await;
        let (cancel, device) = (CancellationToken::new(), Script::default());
        let mut wire = Wire::new(Clock::real(ZONE));
        wire.cancel = cancel.clone();
        let address = bridge.address("echo-1").await.expect("it listens");
        device.plug_astm(Port::Connect(address.to_string()), wire);
        his.place(bridge.address("host:his").await.expect("it listens"));
        Self {
            his,
            bridge,
            device,
            cancel,
        }
    }

    /// Orders the group on a tube of this type, for a patient, drawn at 8:30.
    async fn order(&mut self, patient: &str, barcode: &str, tube_type: &str) {
        self.order_drawn(patient, barcode, tube_type, "20260310083000")
            .await;
    }

    async fn order_drawn(&mut self, patient: &str, barcode: &str, tube_type: &str, drawn: &str) {
        let mut form = request(Control::New, barcode, &["ABORH"]);
        form.patient.id = patient.to_owned();
        form.collected = drawn.to_owned();
        let mut written = self.his.writer.request(&form, "20260310090000+0700");
        let text = String::from_utf8(written.bytes.to_vec()).expect("an order in UTF-8");
        assert!(text.contains("SER^Serum"), "the HIS says a tube type");
        written.bytes = Bytes::from(text.replace("SER^Serum", tube_type));
        let control = written.control_id.clone();
        self.his.orders.push(written);
        let orders = &self.his.orders;
        let is_answered = || orders.answer(&control).is_some();
        self.bridge
            .until("the order is answered", is_answered)
            .await;
        let answer = orders.answer(&control).expect("it was answered");
        assert!(answer.is_accepted(), "{}", answer.text);
    }

    /// Measures a tube: codes and values as the device sends them.
    async fn measure(&self, barcode: &str, results: &[(&str, &str)]) -> Vec<String> {
        let mut text = format!(
            "H|\\^&|||Echo|||||LIS|||LIS2-A2|20260310093000\rP|1\rO|1|{barcode}||^^^ABOD Full|R\r"
        );
        for (n, (code, value)) in results.iter().enumerate() {
            text.push_str(&format!(
                "R|{}|^^^{code}|{value}|||||F||op7||20260310093000|M0002\r",
                n + 1
            ));
        }
        text.push_str("L|1|N\r");
        self.device.say(text);
        self.held(barcode, "ABORH").await
    }

    /// Why the group of a tube is held, once it is there.
    async fn held(&self, barcode: &str, test: &str) -> Vec<String> {
        let look = async {
            loop {
                let of = barcode.to_owned();
                let rows = self
                    .bridge
                    .store
                    .read(move |db| settle::of_barcode(db, &of));
                let rows = rows.await.expect("the store can be read");
                let found = rows
                    .iter()
                    .rfind(|row| row.observation.test.as_deref() == Some(test));
                if let Some(row) = found {
                    assert_eq!(row.state.code(), "held");
                    let holds = row.holds.iter().map(|hold| hold.reason.code().to_owned());
                    return holds.collect();
                }
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, look).await;
        in_time.expect("the group is settled in time")
    }

    /// The hospital says that two patients are one.
    async fn merge(&mut self, survivor: &str, gone: &str) {
        let control = format!("MRG{survivor}{gone}");
        let text = format!(
            "MSH|^~\\&|HIS|BV|LABWIRE|LAB|20260310100000+0700||ADT^A40^ADT_A39|{control}|P|2.5.1\r\
             EVN|A40|20260310100000+0700\rPID|1||{survivor}^^^BV01^PI||TRẦN^BÌNH^THỊ||19911105|F\r\
             MRG|{gone}^^^BV01^PI\r"
        );
        self.his.orders.push(Written {
            control_id: control.clone(),
            bytes: Bytes::from(text),
        });
        let orders = &self.his.orders;
        let is_answered = || orders.answer(&control).is_some();
        self.bridge
            .until("the merge is answered", is_answered)
            .await;
        let answer = orders.answer(&control).expect("it was answered");
        assert!(answer.is_accepted(), "{}", answer.text);
    }

    /// Nothing of it went to the HIS.
    async fn close(self) {
        let posted = self.his.book.with_ledger(|ledger| ledger.messages().len());
        assert_eq!(posted, 0, "transfusion went out by itself");
        self.cancel.cancel();
        self.bridge.stop().await;
    }
}

const A_POS: &[(&str, &str)] = &[
    ("Anti-A", "4+^4+^99"),
    ("Anti-B", "0^0^2"),
    ("A1 Cells", "0^0^1"),
    ("B Cells", "3+^3+^80"),
    ("ABOD Full Interp", "A Pos"),
];

const O_POS: &[(&str, &str)] = &[
    ("Anti-A", "0^0^1"),
    ("Anti-B", "0^0^2"),
    ("A1 Cells", "4+^4+^99"),
    ("B Cells", "3+^3+^80"),
    ("ABOD Full Interp", "O Pos"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_group_waits_for_a_second_draw_and_one_that_differs_holds_both() {
    let mut bank = Bank::open().await;
    bank.order("PN1", "26031000701", "EDTA").await;
    let first = bank.measure("26031000701", A_POS).await;
    assert_eq!(first, ["group-unconfirmed", "transfusion"]);
    // A second tube, drawn in the same moment by the order's word, confirms nothing.
    bank.order("PN1", "26031000702", "EDTA").await;
    let second = bank.measure("26031000702", A_POS).await;
    assert_eq!(second, ["group-unconfirmed", "transfusion"]);
    let later = "20260310091500";
    bank.order_drawn("PN1", "26031000705", "EDTA", later).await;
    let drawn_anew = bank.measure("26031000705", A_POS).await;
    assert_eq!(drawn_anew, ["transfusion"]);
    let first = bank.held("26031000701", "ABORH").await;
    assert_eq!(first, ["transfusion"]);
    bank.order("PN1", "26031000703", "EDTA").await;
    let other = bank.measure("26031000703", O_POS).await;
    assert_eq!(other, ["group-differs", "group-unconfirmed", "transfusion"]);
    let first = bank.held("26031000701", "ABORH").await;
    assert_eq!(
        first,
        ["transfusion", "group-differs", "group-unconfirmed"],
        "what is contested confirms nothing"
    );
    // Another patient's group is nobody else's history.
    bank.order("PN2", "26031000704", "EDTA").await;
    let stranger = bank.measure("26031000704", O_POS).await;
    assert_eq!(stranger, ["group-unconfirmed", "transfusion"]);
    bank.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_cells_and_plasma_disagree_and_one_from_a_wrong_tube_are_held_for_it() {
    let mut bank = Bank::open().await;
    bank.order("PN1", "26031000711", "EDTA").await;
    let mut wells = A_POS.to_vec();
    wells[2] = ("A1 Cells", "2+^2+^40");
    let discrepant = bank.measure("26031000711", &wells).await;
    assert_eq!(
        discrepant,
        ["group-discrepant", "group-unconfirmed", "transfusion"]
    );
    bank.order("PN2", "26031000712", "EDTA").await;
    let mut wells = A_POS.to_vec();
    wells[0] = ("Anti-A", "mf^mf^50");
    let mixed = bank.measure("26031000712", &wells).await;
    assert_eq!(
        mixed,
        ["group-discrepant", "group-unconfirmed", "transfusion"]
    );
    bank.order("PN3", "26031000713", "SERUM").await;
    let wrong = bank.measure("26031000713", A_POS).await;
    assert_eq!(wrong, ["tube-type", "group-unconfirmed", "transfusion"]);
    bank.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patients_of_different_groups_who_are_merged_are_one_and_their_groups_are_held() {
    let mut bank = Bank::open().await;
    bank.order("PN1", "26031000721", "EDTA").await;
    bank.measure("26031000721", A_POS).await;
    bank.order("PN2", "26031000722", "EDTA").await;
    bank.measure("26031000722", O_POS).await;
    bank.merge("PN2", "PN1").await;
    for barcode in ["26031000721", "26031000722"] {
        assert_eq!(
            bank.held(barcode, "ABORH").await,
            ["group-unconfirmed", "transfusion", "group-conflict"]
        );
    }
    // An order under the old number is the survivor's, and nothing of its blood goes on.
    bank.order("PN1", "26031000723", "EDTA").await;
    let later = bank.measure("26031000723", A_POS).await;
    assert_eq!(
        later,
        [
            "group-differs",
            "group-conflict",
            "group-unconfirmed",
            "transfusion"
        ]
    );
    bank.close().await;
}
