//! Which database a test stands on, so that the tests of the domain run on each of them unchanged.

use std::{cell::Cell, path::Path, sync::Arc};

use super::{Clock, Sql, Store, StoreOptions, start::wait_for, tests::File};

#[path = "../../tests/cluster.rs"]
#[expect(unreachable_pub, reason = "the scenarios use the file too")]
mod cluster;

pub(crate) use self::cluster::Cluster;
pub(crate) use super::conformance::Ground;

thread_local! {
    static IS_SERVER: Cell<bool> = const { Cell::new(false) };
}

/// Runs a test whose stores, opened by [`new_store`], are on PostgreSQL; says so where it cannot.
pub(crate) fn on_postgres(test: impl FnOnce()) {
    /// With one thread for all tests, the next one is on it too.
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            IS_SERVER.set(false);
        }
    }
    if Cluster::shared().is_some() {
        IS_SERVER.set(true);
        let _back = Back;
        test();
    }
}

/// An empty database of the kind that this test stands on.
pub(crate) fn here() -> Box<dyn Ground> {
    if IS_SERVER.get() {
        Box::new(Server::new().expect("the test would not run otherwise"))
    } else {
        Box::new(File::new())
    }
}

/// A store that is new, and what its files need to stay.
pub(crate) fn new_store(clock: Arc<dyn Clock>) -> (Store, Box<dyn Ground>) {
    let ground = here();
    let store = ground.open_with(StoreOptions::default(), clock);
    (store, ground)
}

/// Every constant statement that the program may give a database.
pub(crate) fn every_statement() -> Vec<&'static Sql> {
    let of_domain = [
        crate::alerts::statements(),
        crate::audit::statements(),
        crate::book::statements(),
        crate::calls::statements(),
        crate::cli::statements(),
        crate::console::statements(),
        crate::demo::statements(),
        crate::downtime::statements(),
        crate::image::statements(),
        crate::ledger::statements(),
        crate::people::statements(),
        crate::queue::statements(),
        crate::retention::statements(),
        crate::settle::statements(),
        crate::trace::ALL.to_vec(),
        crate::tubes::statements(),
        crate::worklist::statements(),
    ];
    super::statements().chain(of_domain.concat()).collect()
}

/// Makes each of these tests, which [`new_store`] opens the stores of, a test on PostgreSQL too.
/// `tests/tidy.rs` sees to it that none of a file is left out.
#[macro_export]
macro_rules! on_postgres_too {
    ($($test:ident)+) => {
        mod on_postgres {
            $(#[test]
            fn $test() {
                $crate::store::ground::on_postgres(super::$test);
            })+
        }
    };
}

/// An empty schema of the cluster of the tests.
pub(crate) struct Server {
    url: String,
    folder: tempfile::TempDir,
}

impl Server {
    /// `None` where there is no PostgreSQL.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            url: Cluster::shared()?.new_schema(),
            folder: tempfile::tempdir().expect("a folder for the test"),
        })
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Ground for Server {
    fn open_with(&self, options: StoreOptions, clock: Arc<dyn Clock>) -> Store {
        wait_for(Store::open(&self.url, options, clock)).expect("a store on the test's server")
    }

    fn open_copy(&self, path: &Path) -> Store {
        unreachable!(
            "{}: PostgreSQL makes no backup of this kind",
            path.display()
        )
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}
