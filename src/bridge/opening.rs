//! The store of a run, and what names the run in it.

use std::sync::Arc;

use labwire_drivers::Clock;

use crate::{
    config::Loaded,
    store::{NodeRun, Store, StoreOptions, journal},
};

use super::{device::Ids, start::StartError};

/// Another run began within the same millisecond: so often another number is tried.
const RUNS_TRIED: i64 = 8;

/// The store, and the numbers of this run.
pub(super) async fn open_store(
    loaded: &Loaded,
    options: StoreOptions,
    clock: &Arc<dyn Clock>,
) -> Result<(Store, Arc<Ids>), StartError> {
    let url = store_url(loaded);
    // Nodes that start together draw different milliseconds.
    let salt = match &loaded.lab.node {
        Some(_) => i64::from(std::process::id()) % RUNS_TRIED * 1_000,
        None => 0,
    };
    let mut began = clock.utc_micros() + salt;
    loop {
        let ids = Ids::new(began);
        let mut options = options.clone();
        options.node = loaded.lab.node.as_ref().map(|node| NodeRun {
            name: node.id.to_string(),
            run: ids.run().to_owned(),
        });
        let store = Store::open(&url, options, Arc::clone(clock)).await?;
        let restored = store
            .read(|db| journal::meta(db, crate::store::RESTORED_AT))
            .await?;
        let not_before = run_began(began, restored.as_deref());
        if not_before == began {
            return Ok((store, Arc::new(ids)));
        }
        // The clock was set back to before the restore.
        store.close().await;
        began = not_before + salt;
    }
}

/// What names this run in control ids: its start, and never a moment before the store was restored. A
/// host has seen control ids of runs that began between the backup and the restore and that the store
/// knows nothing of; with a clock that was set back this run could take the name of one of them.
fn run_began(now: i64, restored_at: Option<&str>) -> i64 {
    let restored_at = restored_at.and_then(|text| text.parse::<i64>().ok());
    // Runs are named by the millisecond.
    restored_at.map_or(now, |at| now.max(at.saturating_add(1_000)))
}

/// A relative path of the store lies beside `lab.toml`.
fn store_url(loaded: &Loaded) -> String {
    match loaded.lab.store.url.strip_prefix("sqlite:") {
        Some(path) if !path.starts_with('/') && !path.starts_with(':') => {
            format!("sqlite:{}", loaded.base.join(path).display())
        }
        _ => loaded.lab.store.url.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_after_a_restore_is_named_like_none_before_it_whatever_the_clock_says() {
        let restored_at = 1_773_129_600_000_500;
        let name =
            |now, restored: Option<&str>| Ids::new(run_began(now, restored)).run().to_owned();
        let text = restored_at.to_string();
        let before: Vec<String> = (0..5)
            .map(|ago| name(restored_at - ago * 400, None))
            .collect();
        for now in [restored_at - 3_600_000_000, restored_at - 400, restored_at] {
            assert!(!before.contains(&name(now, Some(&text))), "{now}");
        }
        assert_eq!(
            name(restored_at + 5_000, Some(&text)),
            name(restored_at + 5_000, None)
        );
    }
}
