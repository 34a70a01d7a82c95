//! What people decide about what waits, by the functions behind command line and console, over a
//! bridge at work; and what the HIS has of a tube by then.

use labwire::{
    model::HoldReason,
    settle,
    store::{Db, Turn},
    worklist::{Act, Acting, Done, Leave, Outcome, Person, Refused, Role, UNDO},
};
use labwire_drivers::{Clock as _, SystemClock};

use crate::hospital::{Bridge, His, PATIENCE};

/// A result as it waits: its row, and the codes of its reasons, in alphabetical order.
pub struct Held {
    pub id: i64,
    pub reasons: Vec<String>,
}

/// The last result of a test on a tube, once it is held or waits for its order.
pub async fn held(bridge: &Bridge, barcode: &str, test: &str) -> Held {
    held_when(bridge, barcode, test, |_| true).await
}

/// The same, once its reasons are these, in alphabetical order.
pub async fn held_as(bridge: &Bridge, barcode: &str, test: &str, wanted: &[&str]) -> i64 {
    let is_so = |reasons: &[String]| reasons == wanted;
    let found = held_when(bridge, barcode, test, is_so).await;
    assert_eq!(found.reasons, wanted, "{barcode} {test}");
    found.id
}

/// Ends at a result that is so, or, when patience ends, at the last that was seen.
async fn held_when(
    bridge: &Bridge,
    barcode: &str,
    test: &str,
    is_so: impl Fn(&[String]) -> bool,
) -> Held {
    let mut seen = None;
    let look = async {
        loop {
            let of = barcode.to_owned();
            let rows = bridge.store.read(move |db| settle::of_barcode(db, &of));
            let rows = rows.await.expect("the store can be read");
            let is_of = |row: &&settle::StoredResult| row.observation.test.as_deref() == Some(test);
            if let Some(row) = rows.iter().rfind(is_of)
                && matches!(row.state.code(), "held" | "waiting")
            {
                let mut reasons: Vec<String> = row
                    .holds
                    .iter()
                    .map(|hold| hold.reason.code().to_owned())
                    .collect();
                reasons.sort_unstable();
                let is_there = is_so(&reasons);
                seen = Some(Held {
                    id: row.id,
                    reasons,
                });
                if is_there {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    // What is still not so is what the caller shows.
    let is_in_time = tokio::time::timeout(PATIENCE, look).await.is_ok();
    assert!(is_in_time || seen.is_some(), "{barcode} {test}: never held");
    seen.expect("it was seen")
}

/// Does an act. It happened as long ago as an act can be undone, so that what it releases leaves.
pub async fn act<T: Send + 'static>(
    bridge: &Bridge,
    role: Role,
    act: impl FnOnce(&Acting<'_>, &mut dyn Db) -> Outcome<T> + Send + 'static,
) -> Result<T, Refused> {
    let site = std::sync::Arc::clone(&bridge.site);
    let now = SystemClock::default().utc_micros() - UNDO;
    let work = move |db: &mut dyn Db| {
        let person = Person {
            name: "lan".to_owned(),
            role,
        };
        let acting = Acting {
            site: &site,
            person: &person,
            reason: "looked at it",
            now,
        };
        act(&acting, db)
    };
    let done = bridge.store.transact(Turn::Background, work).await;
    done.expect("the store takes it")
}

/// Releases a result.
pub async fn release(bridge: &Bridge, role: Role, id: i64) -> Result<Done, Refused> {
    act(bridge, role, move |acting, db| {
        acting.release(db, id, Leave::Later)
    })
    .await
}

/// Nobody may release it while this reason stands.
pub async fn never_released(bridge: &Bridge, id: i64, reason: HoldReason) {
    let refused = release(bridge, Role::Verifier, id).await;
    let is_for = matches!(
        refused,
        Err(Refused::NotFor { reason: told, act: Act::Release }) if told == reason
    );
    assert!(is_for, "{refused:?}");
}

/// A technician may not release it; a verifier does.
pub async fn released_by_a_verifier(bridge: &Bridge, id: i64) {
    let refused = release(bridge, Role::Technician, id).await;
    assert_eq!(refused, Err(Refused::NeedsVerifier));
    let done = release(bridge, Role::Verifier, id).await;
    let done = done.expect("a verifier may");
    assert_eq!(done.state.map(|state| state.code()), Some("released"));
}

/// Gives a result up.
pub async fn set_aside(bridge: &Bridge, id: i64) {
    let done = act(bridge, Role::Technician, move |acting, db| {
        acting.set_aside(db, id)
    });
    done.await.expect("anyone may give a result up");
}

/// Code, value, status and patient of what the HIS took of a tube, in its order.
pub fn posted(his: &His, barcode: &str) -> Vec<String> {
    his.book.with_ledger(|ledger| {
        let of_tube = ledger.observations().iter();
        let of_tube = of_tube.filter(|one| one.barcode == barcode);
        of_tube
            .map(|one| format!("{} {} {} {}", one.code, one.text, one.status, one.patient))
            .collect()
    })
}

/// Waits until the HIS has this of a tube, and nothing else.
pub async fn reaches(bridge: &Bridge, his: &His, barcode: &str, wanted: &[String]) {
    let what = format!("{barcode} at the HIS: {wanted:?}");
    bridge
        .until(&what, || posted(his, barcode).len() >= wanted.len())
        .await;
    assert_eq!(posted(his, barcode), wanted, "{barcode}");
}
