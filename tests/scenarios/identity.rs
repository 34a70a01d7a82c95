//! Whether a result is of the tube and the person that it names: what people do wrong with tubes, by
//! simulated devices over real ports. Each case is held with its reason, nothing of it is at the HIS
//! before a person acts, and what the act allows is what gets there.
//!
//! | case | reason | test |
//! |---|---|---|
//! | one id in two places | `tube-in-two-places` | `one_id_in_two_places_is_given_up_and_measured_again_when_one_tube_is_left` |
//! | a tube that never passed that analyzer's inlet | `tube-not-at-analyzer` | `a_tube_that_never_came_to_the_analyzer_is_not_released_until_the_line_saw_it_there` |
//! | a position used again without a reading | `position-reused` | `a_tube_in_a_position_that_was_anothers_and_was_not_read_there_needs_a_verifier` |
//! | tubes and results of a rack do not count up | `rack-count` | `tubes_that_changed_places_after_they_were_read_do_not_count_up` |
//! | a rack id equals a specimen id | `rack-is-specimen` | `the_label_of_a_rack_read_as_a_tube_is_linked_to_the_tube_and_never_released` |
//! | a tube type that does not fit the test | `tube-type` | `a_count_from_a_serum_tube_is_never_released_and_one_from_its_own_tube_is` |
//! | no mistake at all | | `a_rack_without_a_mistake_is_at_the_his_without_a_person` |
//! | another group than before | `group-differs` | `transfusion::a_group_that_differs_from_an_earlier_one_is_never_released_and_the_other_draw_confirms` |
//! | forward and reverse disagree | `group-discrepant` | `transfusion::cells_and_plasma_that_disagree_are_no_group` |
//! | a first group without a second specimen | `group-unconfirmed` | `transfusion::a_first_group_waits_for_a_second_draw_or_a_verifier` |
//! | a group that its device corrects | `group-corrected` | `transfusion::a_corrected_group_is_not_told_behind_the_back_of_the_ward` |
//! | two patients of different groups become one | `group-conflict` | `transfusion::patients_of_different_groups_who_are_merged_keep_their_groups_apart` |
//! | antibodies, and a crossmatch that is not the full one | `antibody-history` | `transfusion::a_crossmatch_of_a_patient_with_antibodies_needs_a_verifier` |
//! | a reading that somebody changed by hand | `manual-edit` | `transfusion::a_reading_changed_by_hand_needs_a_second_person` |
//! | a group from a wrong tube | `tube-type` | `transfusion::a_group_from_a_serum_tube_is_never_released` |

use labwire::{
    model::HoldReason,
    settle,
    store::{Db, Turn},
    tubes::rows::{self, TrackRow, kinds},
    worklist::{self, Role},
};
use labwire_drivers::{Clock as _, SystemClock};
use labwire_sims::{
    analyzer::{Mistake, Operator, Tube, rack},
    his::{Answering, Control},
    line::Fault,
    port::Port,
};
use tokio_util::sync::CancellationToken;

use crate::{
    account,
    automation::Lab as OnLine,
    hands::{
        act, held, held_as, never_released, posted, reaches, released_by_a_verifier, set_aside,
    },
    hospital::{Bridge, His, Site, request},
    wire_to_his::astm,
};

/// The library's own, whose tests name the tubes that they take.
const CATALOGUE: &str = include_str!("../../config/catalogue.toml");

/// A counter that asks by rack, position and id, and a HIS.
struct Lab {
    his: His,
    site: Site,
    bridge: Bridge,
    counter: Operator,
    cancel: CancellationToken,
}

impl Lab {
    async fn open() -> Self {
        let his = His::open(Answering::good()).await;
        let site = Site::new(&format!(
            r#"catalogue = "catalogue.toml"

[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "{}"

[[instrument]]
id = "xn-1"
profile = "sysmex/xn"
port = "tcp-listen://127.0.0.1:0"
section = "haematology"
"#,
            his.results
        ));
        site.file("catalogue.toml", CATALOGUE);
        let bridge = site.start().await;
        let cancel = CancellationToken::new();
        let address = bridge.address("xn-1").await.expect("it listens");
        let counter = astm("sysmex-xn", Port::Connect(address.to_string()), &cancel);
        his.place(bridge.address("host:his").await.expect("it listens"));
        Self {
            his,
            site,
            bridge,
            counter,
            cancel,
        }
    }

    /// Orders haemoglobin on a tube of this type.
    async fn order(&mut self, barcode: &str, tube_type: &str) {
        let mut form = request(Control::New, barcode, &["HGB"]);
        tube_type.clone_into(&mut form.tube_type);
        let control = self.his.request(&form);
        let orders = &self.his.orders;
        self.bridge
            .until("the order is answered", || {
                orders.answer(&control).is_some()
            })
            .await;
        let answer = orders.answer(&control).expect("it was answered");
        assert!(answer.is_accepted(), "{}", answer.text);
    }

    /// Puts a rack in; what goes wrong with it goes wrong.
    fn load(&self, id: &str, barcodes: &[&str], mistake: Option<Mistake>) {
        for tube in rack(id, barcodes, mistake) {
            self.counter.load(tube);
        }
    }

    /// What the HIS is to have of a tube whose haemoglobin was measured under this id.
    fn value(&self, measured_as: &str, barcode: &str) -> String {
        let log = self.counter.log();
        let mut of_tube = log.acknowledged.iter().rev();
        let found = of_tube.find(|one| one.specimen == measured_as && one.test == "HGB");
        let text = &found.expect("it was measured").text;
        format!("HGB {text} F PN{barcode}")
    }

    async fn reaches(&self, barcode: &str) {
        self.measured(barcode).await;
        let wanted = [self.value(barcode, barcode)];
        reaches(&self.bridge, &self.his, barcode, &wanted).await;
    }

    async fn measured(&self, barcode: &str) {
        let counter = &self.counter;
        self.bridge
            .until("it is measured", || {
                counter.with_log(|log| log.acknowledged.iter().any(|one| one.specimen == barcode))
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

const EDTA: &str = "EDTA^EDTA blood^L";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rack_without_a_mistake_is_at_the_his_without_a_person() {
    let mut lab = Lab::open().await;
    let tubes = ["26031000801", "26031000802", "26031000803"];
    for tube in tubes {
        lab.order(tube, EDTA).await;
    }
    lab.load("000041", &tubes, None);
    for tube in tubes {
        lab.reaches(tube).await;
    }
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tube_in_a_position_that_was_anothers_and_was_not_read_there_needs_a_verifier() {
    let mut lab = Lab::open().await;
    let [first, second] = ["26031000811", "26031000812"];
    for tube in [first, second] {
        lab.order(tube, EDTA).await;
    }
    lab.load("000042", &[first, second], Some(Mistake::Replaced));
    lab.reaches(first).await;
    let id = held_as(&lab.bridge, second, "HGB", &["position-reused"]).await;
    assert!(posted(&lab.his, second).is_empty());
    released_by_a_verifier(&lab.bridge, id).await;
    lab.reaches(second).await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tubes_that_changed_places_after_they_were_read_do_not_count_up() {
    let mut lab = Lab::open().await;
    let [first, second] = ["26031000821", "26031000822"];
    for tube in [first, second] {
        lab.order(tube, EDTA).await;
    }
    lab.load("000043", &[first, second], Some(Mistake::Swapped));
    let moved = held_as(&lab.bridge, second, "HGB", &["rack-count"]).await;
    // The other one stands where the first result came from by now.
    let other = held(&lab.bridge, first, "HGB").await;
    assert_eq!(other.reasons, ["position-reused"]);
    for tube in [first, second] {
        assert!(posted(&lab.his, tube).is_empty(), "{tube}");
    }
    released_by_a_verifier(&lab.bridge, moved).await;
    set_aside(&lab.bridge, other.id).await;
    lab.reaches(second).await;
    assert!(posted(&lab.his, first).is_empty());
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_label_of_a_rack_read_as_a_tube_is_linked_to_the_tube_and_never_released() {
    let mut lab = Lab::open().await;
    let [tube, label, known_label] = ["26031000831", "000044", "000045"];
    lab.order(tube, EDTA).await;
    // Somebody else's order happens to have the number that stands on a rack.
    lab.order(known_label, EDTA).await;
    lab.load(known_label, &["26031000839"], Some(Mistake::RackRead));
    let id = held_as(&lab.bridge, known_label, "HGB", &["rack-is-specimen"]).await;
    never_released(&lab.bridge, id, HoldReason::RackIsSpecimen).await;
    set_aside(&lab.bridge, id).await;

    lab.load(label, &[tube], Some(Mistake::RackRead));
    let reasons = ["rack-is-specimen", "unknown-specimen"];
    let id = held_as(&lab.bridge, label, "HGB", &reasons).await;
    assert!(posted(&lab.his, tube).is_empty());
    let linked = act(&lab.bridge, Role::Technician, move |acting, db| {
        let of_tube = worklist::tubes(db, tube, 0)?;
        acting.link(db, id, of_tube[0].id)
    });
    let done = linked.await.expect("the rack list says which tube it was");
    assert_eq!(done.state.map(|state| state.code()), Some("released"));
    let wanted = [lab.value(label, tube)];
    reaches(&lab.bridge, &lab.his, tube, &wanted).await;
    for label in [label, known_label] {
        assert!(posted(&lab.his, label).is_empty(), "{label}");
    }
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_from_a_serum_tube_is_never_released_and_one_from_its_own_tube_is() {
    let mut lab = Lab::open().await;
    let [wrong, right] = ["26031000841", "26031000842"];
    lab.order(wrong, "SERUM^Serum^L").await;
    lab.order(right, EDTA).await;
    lab.load("000046", &[wrong, right], None);
    let id = held_as(&lab.bridge, wrong, "HGB", &["tube-type"]).await;
    never_released(&lab.bridge, id, HoldReason::TubeType).await;
    lab.reaches(right).await;
    set_aside(&lab.bridge, id).await;
    assert!(posted(&lab.his, wrong).is_empty());
    lab.close().await;
}

/// A person says that the second tube was found, as `labwire line clear` writes it down.
async fn cleared(lab: &OnLine, tube: &'static str) {
    let work = move |db: &mut dyn Db| {
        let told = rows::of_barcode(db, tube)?;
        let found = told.iter().rfind(|row| row.kind == kinds::TWO_PLACES);
        let now = SystemClock::default().utc_micros();
        let row = TrackRow {
            kind: kinds::CLEARED.to_owned(),
            at: now,
            received_at: now,
            ..found.expect("two tubes had the barcode").clone()
        };
        rows::insert(db, &[row])
    };
    let done = lab.bridge.store.transact(Turn::Background, work).await;
    done.expect("the store takes it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_in_two_places_is_given_up_and_measured_again_when_one_tube_is_left() {
    let mut lab = OnLine::open("none", "").await;
    let tube = "26031000851";
    lab.order(tube).await;
    lab.arrive(tube, &["CENT1", "DECAP1"]);
    lab.until_row(tube, "finished").await;
    lab.line.sight(tube, "IN1");
    lab.until_row(tube, "tube-in-two-places").await;
    lab.line.sight(tube, "DXI1");
    lab.analyzer.load(Tube::patient(tube));
    let id = held_as(&lab.bridge, tube, "TSH", &["tube-in-two-places"]).await;
    never_released(&lab.bridge, id, HoldReason::TubeInTwoPlaces).await;
    assert!(posted(&lab.his, tube).is_empty());
    // The tube that was drawn for somebody else is taken off, and the other measured again.
    lab.line.break_down(Fault::Lost(tube.to_owned()));
    let again = act(&lab.bridge, Role::Technician, move |acting, db| {
        acting.rerun(db, id)
    });
    again.await.expect("anyone may have it measured again");
    cleared(&lab, tube).await;
    lab.line.sight(tube, "DXI1");
    lab.analyzer.load(Tube::patient(tube));
    lab.bridge
        .until("the second value is at the HIS", || {
            posted(&lab.his, tube).len() == 1
        })
        .await;
    let log = lab.analyzer.log();
    let values: Vec<_> = log.acknowledged.iter().map(|one| &one.text).collect();
    let wanted = [format!("TSH {} F PN{tube}", values[1])];
    assert_eq!(posted(&lab.his, tube), wanted);
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tube_that_never_came_to_the_analyzer_is_not_released_until_the_line_saw_it_there() {
    let mut lab = OnLine::open("none", "").await;
    let [away, late] = ["26031000861", "26031000862"];
    for tube in [away, late] {
        lab.order(tube).await;
        lab.arrive(tube, &["CENT1"]);
        lab.until_row(tube, "finished").await;
        lab.analyzer.load(Tube::patient(tube));
    }
    let reasons = ["tube-not-at-analyzer"];
    let id = held_as(&lab.bridge, away, "TSH", &reasons).await;
    held_as(&lab.bridge, late, "TSH", &reasons).await;
    never_released(&lab.bridge, id, HoldReason::TubeNotAtAnalyzer).await;
    for tube in [away, late] {
        assert!(posted(&lab.his, tube).is_empty(), "{tube}");
    }
    lab.line.sight(late, "DXI1");
    lab.reaches(late).await;
    set_aside(&lab.bridge, id).await;
    assert!(posted(&lab.his, away).is_empty());
    let stored = lab.read(|db| settle::of_barcode(db, away));
    assert_eq!(stored[0].state.code(), "set-aside");
    lab.close().await;
}
