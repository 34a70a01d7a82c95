//! When copies are made, which stay, and what happens when they cannot be made.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::civil::Time;
use labwire_protocols::wire::Mono;
use proptest::prelude::*;

use super::*;
use crate::store::{
    check_backup,
    ground::new_store,
    seal::{Keys, new_key},
};

/// A clock that a test sets.
#[derive(Debug)]
struct Set(AtomicI64);

impl Clock for Set {
    fn mono(&self) -> Mono {
        Mono::default()
    }

    fn utc_micros(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn plan(folder: &Path, when: When) -> Plan {
    Plan {
        folder: folder.join("backups"),
        when,
        zone: TimeZone::get("Asia/Ho_Chi_Minh").unwrap(),
        keep: 3,
        recipients: Recipients::default(),
        is_file: true,
    }
}

fn micros(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

#[test]
fn a_backup_is_due_at_its_time_of_day_or_after_its_hours() {
    let daily = plan(Path::new(""), When::At(Time::constant(2, 30, 0, 0)));
    // Half past two in Vietnam is 19:30 of the day before in UTC.
    for (last, due) in [
        ("2026-03-10T19:29:00Z", "2026-03-10T19:30:00Z"),
        ("2026-03-10T19:30:00Z", "2026-03-11T19:30:00Z"),
        ("2026-03-10T05:00:00Z", "2026-03-10T19:30:00Z"),
    ] {
        assert_eq!(daily.due(Some(micros(last))), micros(due), "{last}");
    }
    assert_eq!(daily.due(None), i64::MIN);
    let hourly = plan(Path::new(""), When::Every(6));
    let last = micros("2026-03-10T05:00:00Z");
    assert_eq!(hourly.due(Some(last)), micros("2026-03-10T11:00:00Z"));
}

proptest! {
    #[test]
    fn the_next_time_is_always_ahead_and_within_two_days(last in 0_i64..4_000_000_000_000_000) {
        let due = plan(Path::new(""), When::At(Time::constant(2, 30, 0, 0))).due(Some(last));
        prop_assert!(due > last && due <= last + 48 * HOUR);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_site_with_recipients_has_encrypted_backups_alone_and_so_many_as_it_wants() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let begin = micros("2026-03-10T05:00:00Z");
    let clock = Arc::new(Set(AtomicI64::new(begin)));
    let (store, ground) = new_store(Arc::clone(&clock) as Arc<dyn Clock>);
    let key = ground.folder().join("key");
    let public = new_key(&key).unwrap();
    let mut keeper = Keeper {
        plan: Plan {
            recipients: Recipients::read(&[public.as_str()]).unwrap(),
            ..plan(ground.folder(), When::Every(6))
        },
        store: store.clone(),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        not_before: i64::MIN,
    };
    let folder = keeper.plan.folder.clone();
    for round in 0..5 {
        clock.0.store(begin + round * 6 * HOUR, Ordering::SeqCst);
        assert!(runtime.block_on(keeper.look()).unwrap());
        assert!(!runtime.block_on(keeper.look()).unwrap());
        if round == 0 {
            fs::write(folder.join("labwire.db"), "of somebody else").unwrap();
            for left in ["part", "part-journal"] {
                let left = format!("labwire-20260101T000000Z.db.{left}");
                fs::write(folder.join(left), "left").unwrap();
            }
            keeper.plan.clear_parts().unwrap();
        }
    }
    let kept = [
        "labwire-20260310T170000Z.jsonl.gz.age",
        "labwire-20260310T230000Z.jsonl.gz.age",
        "labwire-20260311T050000Z.jsonl.gz.age",
        "labwire.db",
    ];
    assert_eq!(names(&folder), kept);
    let known = store.read_blocking(last).unwrap().unwrap();
    assert!(known.is_encrypted && known.file.ends_with(kept[2]));
    assert_eq!(
        store
            .read_blocking(move |db| hours_without(db, begin + 33 * HOUR))
            .unwrap(),
        Some(9)
    );
    let keys = Keys::read(&key).unwrap();
    check_backup(&folder.join(kept[2]), Some(&keys)).unwrap();
    drop(keeper);
    runtime.block_on(store.close());
}

#[test]
fn a_backup_that_fails_is_tried_again_and_its_age_is_known() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let begin = micros("2026-03-10T05:00:00Z");
    let clock = Arc::new(Set(AtomicI64::new(begin)));
    let (store, ground) = new_store(Arc::clone(&clock) as Arc<dyn Clock>);
    let mut keeper = Keeper {
        plan: plan(ground.folder(), When::Every(1)),
        store: store.clone(),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        not_before: i64::MIN,
    };
    runtime.block_on(keeper.begin()).unwrap();
    // No folder can be made where a file is.
    fs::write(&keeper.plan.folder, "").unwrap();
    runtime.block_on(keeper.look()).unwrap_err();
    assert!(
        !runtime.block_on(keeper.look()).unwrap(),
        "not at once again"
    );
    let later = begin + 30 * HOUR;
    assert_eq!(
        store
            .read_blocking(move |db| hours_without(db, later))
            .unwrap(),
        Some(30)
    );
    fs::remove_file(&keeper.plan.folder).unwrap();
    clock.0.store(begin + AGAIN_AFTER, Ordering::SeqCst);
    assert!(runtime.block_on(keeper.look()).unwrap());
    assert_eq!(
        store
            .read_blocking(move |db| hours_without(db, later))
            .unwrap(),
        Some(29)
    );
    drop(keeper);
    runtime.block_on(store.close());
}

crate::on_postgres_too! {
    a_site_with_recipients_has_encrypted_backups_alone_and_so_many_as_it_wants
    a_backup_that_fails_is_tried_again_and_its_age_is_known
    a_backup_is_due_at_its_time_of_day_or_after_its_hours
    the_next_time_is_always_ahead_and_within_two_days
}
