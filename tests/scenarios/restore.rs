//! A backup takes the place of a store that was lost, while the HIS goes on: it has seen more than the
//! store that comes back knows of.

use std::{collections::BTreeMap, path::PathBuf};

use labwire_sims::his::{Answering, Policy};
use tokio_util::sync::CancellationToken;

use crate::{
    account,
    crash::command,
    hospital::{Bridge, His, Site, glucose, one_analyzer},
    scripted::Script,
};

struct Ward {
    his: His,
    site: Site,
}

/// A bridge with its device and its HIS at the far ends.
struct Shift {
    bridge: Bridge,
    device: Script,
    cancel: CancellationToken,
}

impl Ward {
    async fn open() -> Self {
        let his = His::open(Answering::good()).await;
        let site = Site::new(&one_analyzer(&his.results, 1));
        Self { his, site }
    }

    async fn begin(&self) -> Shift {
        let bridge = self.site.start().await;
        let (device, cancel) = (Script::default(), CancellationToken::new());
        bridge.plug(&self.his, &device, &cancel).await;
        Shift {
            bridge,
            device,
            cancel,
        }
    }

    /// Orders on a tube, until the order is taken.
    async fn order(&mut self, shift: &Shift, tube: &str) {
        let control = self.his.order(tube, &["GLU"]);
        let orders = &self.his.orders;
        let is_answered = || {
            orders
                .answer(&control)
                .is_some_and(|said| said.is_accepted())
        };
        shift.bridge.until("the order is taken", is_answered).await;
    }

    /// Under which control ids the HIS has heard of this tube, and how often under each.
    fn heard(&self, tube: &str) -> BTreeMap<String, u32> {
        self.his.book.with_ledger(|ledger| {
            let messages = ledger.messages().iter();
            let of_tube = messages.filter(|(_, message)| {
                let mut parts = message.bytes.windows(tube.len());
                parts.any(|part| part == tube.as_bytes())
            });
            of_tube
                .map(|(control, message)| (control.clone(), message.times))
                .collect()
        })
    }

    async fn until_delivered(&self, shift: &Shift, tube: &str) {
        let url = self.site.store();
        shift
            .bridge
            .until("the HIS has it, and nothing waits", || {
                !self.heard(tube).is_empty() && account::open_work(&url).is_empty()
            })
            .await;
    }

    /// The store that was put aside still tells of what came after the backup.
    fn aside_is_read(&self) {
        let lab = self.site.lab();
        let folder = lab.parent().expect("in a folder");
        let entries = std::fs::read_dir(folder).expect("the folder reads");
        let mut files = entries.map(|entry| entry.expect("an entry").path());
        let is_aside = |path: &PathBuf| {
            let ending = path.extension().and_then(|ending| ending.to_str());
            ending.is_some_and(|ending| {
                ending.starts_with("before-restore-") && ending.ends_with('Z')
            })
        };
        let aside = files.find(is_aside);
        let aside = aside.expect("the former store is kept");
        let other = Site::on(&format!("sqlite:{}", aside.display()), "");
        let (said, is_known) = command(&other, &["trace", "RST-BETWEEN"]);
        assert!(is_known && said.contains("5.1"), "{said}");
    }
}

impl Shift {
    fn measure(&self, tube: &str) {
        self.device.say(glucose(tube));
    }

    async fn end(self) {
        self.cancel.cancel();
        self.bridge.stop().await;
    }
}

/// The HIS has taken a result whose answer the backup does not know: it comes again as it came. What is
/// new never comes under a control id that the HIS has seen between backup and restore: it would take
/// it for a repetition, and the result would be lost. A tube that was ordered in between is unknown, so
/// its result waits in sight until the HIS says the order again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_store_repeats_what_it_does_not_know_as_taken_and_uses_no_control_id_again() {
    let mut ward = Ward::open().await;
    if !ward.site.store().starts_with("sqlite:") {
        // A server's store is never overwritten: it is restored into another one.
        return;
    }
    let shift = ward.begin().await;
    ward.order(&shift, "RST-KNOWN").await;
    shift.measure("RST-KNOWN");
    ward.until_delivered(&shift, "RST-KNOWN").await;
    ward.his
        .book
        .set_answering(Answering::always(Policy::Silent));
    ward.order(&shift, "RST-TAKEN").await;
    shift.measure("RST-TAKEN");
    let is_taken = || !ward.heard("RST-TAKEN").is_empty();
    shift.bridge.until("the HIS has taken it", is_taken).await;
    let copy = ward.site.lab().with_file_name("copy.db");
    let copy = copy.display().to_string();
    let (said, is_done) = command(&ward.site, &["backup", &copy]);
    assert!(is_done, "{said}");
    // What the backup knows nothing of.
    ward.his.book.set_answering(Answering::good());
    ward.until_delivered(&shift, "RST-TAKEN").await;
    ward.order(&shift, "RST-BETWEEN").await;
    shift.measure("RST-BETWEEN");
    ward.until_delivered(&shift, "RST-BETWEEN").await;
    shift.end().await;
    let taken = ward.heard("RST-TAKEN");
    let between = ward.heard("RST-BETWEEN");
    let all_before = ward.heard("RST-");

    let restore = ["restore", "--replace", "--as", "lan", &copy];
    let (said, is_done) = command(&ward.site, &restore);
    assert!(is_done, "{said}");
    ward.aside_is_read();
    let shift = ward.begin().await;
    ward.order(&shift, "RST-AFTER").await;
    shift.measure("RST-AFTER");
    ward.until_delivered(&shift, "RST-AFTER").await;
    let again = ward.heard("RST-TAKEN");
    let ids = |heard: &BTreeMap<String, u32>| heard.keys().cloned().collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&taken), "one control id");
    assert!(again > taken, "it was not said again: {again:?}");
    assert_eq!(ward.heard("RST-KNOWN").into_values().sum::<u32>(), 1);
    let is_new = |heard: BTreeMap<String, u32>| {
        let mut ids = heard.into_keys();
        ids.any(|control| !all_before.contains_key(&control))
    };
    assert!(
        is_new(ward.heard("RST-AFTER")),
        "a control id was used again"
    );
    // Its analyzer says it once more; the order is not there, until the HIS says that, too.
    let url = ward.site.store();
    shift.measure("RST-BETWEEN");
    let waits = || account::states(&url, "RST-BETWEEN") == ["GLU waiting unknown-specimen"];
    shift.bridge.until("it waits in sight", waits).await;
    assert_eq!(ward.heard("RST-BETWEEN"), between);
    ward.order(&shift, "RST-BETWEEN").await;
    let has_come = || ward.heard("RST-BETWEEN").len() > between.len();
    shift.bridge.until("it follows its order", has_come).await;
    ward.until_delivered(&shift, "RST-BETWEEN").await;
    assert!(is_new(ward.heard("RST-BETWEEN")));
    let conflicts = ward
        .his
        .book
        .with_ledger(|ledger| ledger.conflicts().to_vec());
    assert!(
        conflicts.is_empty(),
        "one id with two bodies: {conflicts:?}"
    );
    shift.end().await;
    let (said, is_clean) = command(&ward.site, &["ledger", "--findings"]);
    assert!(is_clean, "{said}");
}
