//! A blood bank of two simulated analyzers, with the library's own catalogue and profiles: nothing of
//! it goes to the HIS by itself, and what speaks against a group is said. What each test is for, the
//! table in [`identity`](crate::identity) says.

use labwire::{model::HoldReason, worklist::Role};
use labwire_sims::{
    analyzer::{Abo, Blood, Mark, Operator, Reading, Tube},
    his::{Answering, Control},
    port::Port,
};
use tokio_util::sync::CancellationToken;

use crate::{
    account,
    hands::{
        held, held_as, never_released, posted, reaches, release, released_by_a_verifier, set_aside,
    },
    hospital::{Bridge, His, Site, patient, request},
    wire_to_his::astm,
};

/// As it is: the scenarios show that it, the profiles and the simulators fit.
const CATALOGUE: &str = include_str!("../../config/catalogue.toml");

/// A laboratory with an IH-500 behind IH-Com, whose wells of reverse typing the site maps, and a
/// VISION for screens and crossmatches.
struct Bank {
    his: His,
    site: Site,
    bridge: Bridge,
    groups: Operator,
    crossmatches: Operator,
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
id = "ih-1"
profile = "biorad/ih-com"
port = "tcp-listen://127.0.0.1:0"
section = "transfusion"
tests = {{ "MO10^A1" = "RXA1", "MO10^B" = "RXBC" }}

[[instrument]]
id = "vision-1"
profile = "ortho/vision"
port = "tcp-listen://127.0.0.1:0"
section = "transfusion"
tests = {{ "ABScr" = "ABSCR" }}
"#,
            his.results
        ));
        site.file("catalogue.toml", CATALOGUE);
        let bridge = site.start().await;
        let cancel = CancellationToken::new();
        let mut plugged = Vec::new();
        for (id, persona) in [("ih-1", "ih-com"), ("vision-1", "vision")] {
            let address = bridge.address(id).await.expect("it listens");
            plugged.push(astm(persona, Port::Connect(address.to_string()), &cancel));
        }
        let crossmatches = plugged.pop().expect("two were plugged in");
        let groups = plugged.pop().expect("two were plugged in");
        his.place(bridge.address("host:his").await.expect("it listens"));
        Self {
            his,
            site,
            bridge,
            groups,
            crossmatches,
            cancel,
        }
    }

    /// Orders services on a tube of a patient, drawn then.
    async fn order(&mut self, (owner, barcode, drawn): (&str, &str, &str), services: &[&str]) {
        let tube_type = "EDTA^EDTA blood^L";
        self.order_on((owner, barcode, drawn), tube_type, services)
            .await;
    }

    async fn order_on(
        &mut self,
        (owner, barcode, drawn): (&str, &str, &str),
        tube_type: &str,
        services: &[&str],
    ) {
        let mut form = request(Control::New, barcode, services);
        owner.clone_into(&mut form.patient.id);
        drawn.clone_into(&mut form.collected);
        tube_type.clone_into(&mut form.tube_type);
        let control = self.his.request(&form);
        self.answered(&control).await;
    }

    async fn answered(&self, control: &str) {
        let orders = &self.his.orders;
        let is_answered = || orders.answer(control).is_some();
        self.bridge.until("the HIS is answered", is_answered).await;
        let answer = orders.answer(control).expect("it was answered");
        assert!(answer.is_accepted(), "{}", answer.text);
    }

    /// The hospital says that two patients are one.
    async fn merge(&mut self, survivor: &str, gone: &str) {
        let mut one = patient(survivor);
        survivor.clone_into(&mut one.id);
        let written = self.his.writer.merge(&one, gone, "20260310100000+0700");
        let control = written.control_id.clone();
        self.his.orders.push(written);
        self.answered(&control).await;
    }

    /// Waits until the HIS has this of a tube of a patient, and nothing else.
    async fn reaches(&self, owner: &str, barcode: &str, values: &[&str]) {
        let wanted: Vec<String> = values.iter().map(|one| format!("{one} {owner}")).collect();
        reaches(&self.bridge, &self.his, barcode, &wanted).await;
    }

    /// The HIS has nothing of these tubes.
    fn nothing_of(&self, barcodes: &[&str]) {
        for barcode in barcodes {
            let posted = posted(&self.his, barcode);
            assert!(
                posted.is_empty(),
                "{barcode} went out by itself: {posted:?}"
            );
        }
    }

    async fn close(self) {
        let findings = account::findings(&self.site.store());
        assert!(findings.is_empty(), "{findings:#?}");
        self.cancel.cancel();
        self.bridge.stop().await;
    }
}

const GROUP: &[&str] = &["ABO", "RHD"];
const EARLY: &str = "20260310083000";
const LATER: &str = "20260310091500";

/// A tube with blood of this group.
fn tube(barcode: &str, abo: Abo) -> Tube {
    Tube::patient(barcode).filled(Blood::of_group(abo))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_group_waits_for_a_second_draw_or_a_verifier() {
    let mut bank = Bank::open().await;
    let [first, same_moment, anew] = ["26031000701", "26031000702", "26031000703"];
    bank.order(("PN1", first, EARLY), GROUP).await;
    bank.groups.load(tube(first, Abo::A));
    let alone = ["group-unconfirmed", "transfusion"];
    let id = held_as(&bank.bridge, first, "ABO", &alone).await;
    let refused = release(&bank.bridge, Role::Technician, id).await;
    assert!(refused.is_err(), "{refused:?}");
    // A second tube, drawn in the same moment by the order's word, confirms nothing.
    bank.order(("PN1", same_moment, EARLY), GROUP).await;
    bank.groups.load(tube(same_moment, Abo::A));
    held_as(&bank.bridge, same_moment, "ABO", &alone).await;
    held_as(&bank.bridge, first, "ABO", &alone).await;
    bank.order(("PN1", anew, LATER), GROUP).await;
    bank.groups.load(tube(anew, Abo::A));
    held_as(&bank.bridge, anew, "ABO", &["transfusion"]).await;
    let id = held_as(&bank.bridge, first, "ABO", &["transfusion"]).await;
    bank.nothing_of(&[first, same_moment, anew]);
    released_by_a_verifier(&bank.bridge, id).await;
    bank.reaches("PN1", first, &["ABO A F"]).await;
    bank.nothing_of(&[same_moment, anew]);
    // Another patient's group is nobody else's history; where no second tube can be had, a
    // verifier decides.
    let stranger = "26031000704";
    bank.order(("PN2", stranger, EARLY), GROUP).await;
    bank.groups.load(tube(stranger, Abo::O));
    let id = held_as(&bank.bridge, stranger, "ABO", &alone).await;
    bank.nothing_of(&[stranger]);
    released_by_a_verifier(&bank.bridge, id).await;
    bank.reaches("PN2", stranger, &["ABO 0 F"]).await;
    bank.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_differs_from_an_earlier_one_is_never_released_and_the_other_draw_confirms() {
    let mut bank = Bank::open().await;
    let [first, other, third] = ["26031000711", "26031000712", "26031000713"];
    bank.order(("PN1", first, EARLY), GROUP).await;
    bank.groups.load(tube(first, Abo::A));
    held(&bank.bridge, first, "ABO").await;
    // Somebody else's blood in a tube with this patient's name.
    bank.order(("PN1", other, LATER), GROUP).await;
    bank.groups.load(tube(other, Abo::O));
    let both = ["group-differs", "group-unconfirmed", "transfusion"];
    let wrong = held_as(&bank.bridge, other, "ABO", &both).await;
    let right = held_as(&bank.bridge, first, "ABO", &both).await;
    for id in [wrong, right] {
        never_released(&bank.bridge, id, HoldReason::GroupDiffers).await;
    }
    bank.nothing_of(&[first, other]);
    // A third draw says which one was wrong: that one is given up.
    set_aside(&bank.bridge, wrong).await;
    bank.order(("PN1", third, "20260310094500"), GROUP).await;
    bank.groups.load(tube(third, Abo::A));
    let id = held(&bank.bridge, third, "ABO").await.id;
    released_by_a_verifier(&bank.bridge, id).await;
    bank.reaches("PN1", third, &["ABO A F"]).await;
    bank.nothing_of(&[first, other]);
    bank.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cells_and_plasma_that_disagree_are_no_group() {
    let mut bank = Bank::open().await;
    let [plasma, unclear] = ["26031000721", "26031000722"];
    bank.order(("PN1", plasma, EARLY), GROUP).await;
    let reacts = tube(plasma, Abo::A).reading(Reading::of("A1", "20"));
    bank.groups.load(reacts);
    let reasons = ["group-discrepant", "group-unconfirmed", "transfusion"];
    let id = held_as(&bank.bridge, plasma, "ABO", &reasons).await;
    never_released(&bank.bridge, id, HoldReason::GroupDiscrepant).await;
    // A well of two kinds of cells, in the device's own number for it.
    bank.order(("PN2", unclear, EARLY), GROUP).await;
    let mixed = tube(unclear, Abo::B).reading(Reading::of("AntiB", "-115"));
    bank.groups.load(mixed);
    let id = held_as(&bank.bridge, unclear, "ABO", &reasons).await;
    never_released(&bank.bridge, id, HoldReason::GroupDiscrepant).await;
    set_aside(&bank.bridge, id).await;
    bank.nothing_of(&[plasma, unclear]);
    bank.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_from_a_serum_tube_is_never_released() {
    let mut bank = Bank::open().await;
    let wrong = "26031000731";
    bank.order_on(("PN1", wrong, EARLY), "SERUM^Serum^L", GROUP)
        .await;
    bank.groups.load(tube(wrong, Abo::A));
    let reasons = ["group-unconfirmed", "transfusion", "tube-type"];
    let id = held_as(&bank.bridge, wrong, "ABO", &reasons).await;
    never_released(&bank.bridge, id, HoldReason::TubeType).await;
    bank.nothing_of(&[wrong]);
    bank.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrected_group_is_not_told_behind_the_back_of_the_ward() {
    let mut bank = Bank::open().await;
    let barcode = "26031000741";
    bank.order(("PN1", barcode, EARLY), GROUP).await;
    bank.groups.load(tube(barcode, Abo::A));
    let alone = ["group-unconfirmed", "transfusion"];
    let id = held_as(&bank.bridge, barcode, "ABO", &alone).await;
    released_by_a_verifier(&bank.bridge, id).await;
    bank.reaches("PN1", barcode, &["ABO A F"]).await;
    // The device read the card once more, and says that it corrects.
    let mut again = tube(barcode, Abo::B);
    for code in ["AntiA", "AntiB", "AntiD", "A1", "B", "Result"] {
        again = again.reading(Reading::as_it_is(code).marked(Mark::Corrected));
    }
    bank.groups.load(again);
    let reasons = [
        "group-corrected",
        "group-differs",
        "group-unconfirmed",
        "transfusion",
    ];
    let id = held_as(&bank.bridge, barcode, "ABO", &reasons).await;
    never_released(&bank.bridge, id, HoldReason::GroupDiffers).await;
    bank.reaches("PN1", barcode, &["ABO A F"]).await;
    bank.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patients_of_different_groups_who_are_merged_keep_their_groups_apart() {
    let mut bank = Bank::open().await;
    let [one, two, later] = ["26031000751", "26031000752", "26031000753"];
    bank.order(("PN1", one, EARLY), GROUP).await;
    bank.groups.load(tube(one, Abo::A));
    held(&bank.bridge, one, "ABO").await;
    bank.order(("PN2", two, EARLY), GROUP).await;
    bank.groups.load(tube(two, Abo::O));
    held(&bank.bridge, two, "ABO").await;
    bank.merge("PN2", "PN1").await;
    let reasons = ["group-conflict", "group-unconfirmed", "transfusion"];
    for barcode in [one, two] {
        let id = held_as(&bank.bridge, barcode, "ABO", &reasons).await;
        let refused = release(&bank.bridge, Role::Verifier, id).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    // An order under the old number is the survivor's, and nothing of its blood goes on.
    bank.order(("PN1", later, LATER), GROUP).await;
    bank.groups.load(tube(later, Abo::A));
    let found = held(&bank.bridge, later, "ABO").await;
    for reason in ["group-conflict", "group-differs"] {
        assert!(found.reasons.iter().any(|one| one == reason), "{reason}");
    }
    bank.nothing_of(&[one, two, later]);
    bank.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crossmatch_of_a_patient_with_antibodies_needs_a_verifier() {
    let mut bank = Bank::open().await;
    let [screened, matched, stranger] = ["26031000761", "26031000762", "26031000763"];
    bank.order(("PN1", screened, EARLY), &["ABSCR"]).await;
    let blood = Blood {
        has_antibodies: true,
        ..Blood::of_group(Abo::A)
    };
    bank.crossmatches
        .load(Tube::patient(screened).filled(blood));
    held_as(&bank.bridge, screened, "ABSCR", &["transfusion"]).await;
    // The unit fits by this well; that the patient has antibodies, the well does not know.
    bank.order(("PN1", matched, LATER), &["XM"]).await;
    let unit = Reading {
        text: Some("Compatible".to_owned()),
        ..Reading::of_donor("XM_IgG", "D0001")
    };
    let of_patient = Tube::patient(matched).filled(blood);
    bank.crossmatches.load(of_patient.reading(unit));
    let reasons = ["antibody-history", "transfusion"];
    let id = held_as(&bank.bridge, matched, "XM", &reasons).await;
    bank.nothing_of(&[screened, matched]);
    released_by_a_verifier(&bank.bridge, id).await;
    bank.reaches("PN1", matched, &["XM Compatible F"]).await;
    // Without antibodies nothing speaks against it but what it is.
    bank.order(("PN2", stranger, LATER), &["XM"]).await;
    let unit = Reading::of_donor("XM_IgG", "D0002");
    let other = tube(stranger, Abo::A).reading(unit);
    bank.crossmatches.load(other);
    held_as(&bank.bridge, stranger, "XM", &["transfusion"]).await;
    bank.nothing_of(&[screened, stranger]);
    bank.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_changed_by_hand_needs_a_second_person() {
    let mut bank = Bank::open().await;
    let barcode = "26031000771";
    bank.order(("PN1", barcode, EARLY), &["ABSCR"]).await;
    let edited = Reading::of("ABScr", "NEG").marked(Mark::Edited);
    let by_hand = tube(barcode, Abo::A).reading(edited);
    bank.crossmatches.load(by_hand);
    let reasons = ["manual-edit", "transfusion"];
    let id = held_as(&bank.bridge, barcode, "ABSCR", &reasons).await;
    bank.nothing_of(&[barcode]);
    released_by_a_verifier(&bank.bridge, id).await;
    bank.reaches("PN1", barcode, &["ABSCR NEG F"]).await;
    bank.close().await;
}
