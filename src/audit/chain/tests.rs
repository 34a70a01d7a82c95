//! What a chain proves, on both databases.

use std::sync::Arc;

use labwire_drivers::SystemClock;

use super::*;
use crate::{
    audit,
    store::{Param, Store, StoreError, Turn, ground},
};

const FREE: Sql = Sql {
    sqlite: "DROP TRIGGER audit_change",
    postgres: "DROP TRIGGER audit_change ON audit",
};
const FREE_REMOVAL: Sql = Sql {
    sqlite: "DROP TRIGGER audit_removal",
    postgres: "DROP TRIGGER audit_removal ON audit",
};
const CHANGE: Sql = Sql::same("UPDATE audit SET detail = $2 WHERE id = $1");
const REMOVE: Sql = Sql::same("DELETE FROM audit WHERE id = $1");
const FORGET: Sql = Sql::same("UPDATE audit SET hash = NULL WHERE id <= $1");

struct Book {
    store: Store,
    _ground: Box<dyn ground::Ground>,
}

impl Book {
    /// Three rows by one statement and two by one each.
    fn new() -> Self {
        let (store, ground) = ground::new_store(Arc::new(SystemClock::default()));
        let book = Self {
            store,
            _ground: ground,
        };
        book.work(|db| {
            let row = |n: &'static str| ["line:xn-1", "result", "result:1", n];
            audit::write_all(db, 5, &[row("a"), row("b"), row("c")])?;
            audit::write(db, 6, "lan", "release", "result:1", "checked")?;
            audit::write(db, 7, "lan", "undo", "result:1", "")
        })
        .expect("rows are added");
        book
    }

    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.store.transact_blocking(Turn::Canonical, work)
    }

    /// As somebody who may do anything to the database.
    fn tamper(&self, sql: &'static Sql, id: i64, text: Option<&'static str>) {
        self.work(move |db| {
            db.exec(&FREE, &[])?;
            db.exec(&FREE_REMOVAL, &[])?;
            let mut params = vec![id.into()];
            params.extend(text.map(Param::from));
            db.exec(sql, &params)
        })
        .expect("nothing stops them");
    }

    fn walk(&self, noted: Option<Head>) -> (Walk, Result<(), Break>) {
        self.work(move |db| {
            let mut walk = Walk::new(noted);
            loop {
                if let Some(end) = walk.next_page(db)? {
                    return Ok((walk, end));
                }
            }
        })
        .expect("it can be read")
    }

    fn head(&self) -> Head {
        let (walk, end) = self.walk(None);
        assert_eq!(end, Ok(()));
        walk.head().expect("there are rows").clone()
    }
}

#[test]
fn every_row_follows_from_the_one_before_it() {
    let book = Book::new();
    let (walk, end) = book.walk(None);
    assert_eq!((end, walk.rows, walk.unchained), (Ok(()), 5, 0));
    let noted = book.head();
    assert_eq!(
        book.work(|db| newest(db)).expect("it can be read"),
        Some(noted.clone())
    );
    assert_eq!(noted.to_string().parse(), Ok(noted.clone()));
    book.work(|db| audit::write(db, 8, "hoa", "login", "person:hoa", ""))
        .expect("a row is added");
    assert_eq!(
        book.walk(Some(noted)).1,
        Ok(()),
        "what was noted is still there"
    );
}

#[test]
fn work_that_was_undone_leaves_no_gap() {
    let book = Book::new();
    let undone: Result<(), _> = book.work(|db| {
        audit::write(db, 8, "lan", "release", "result:2", "")?;
        Err(StoreError::value("on purpose"))
    });
    assert!(undone.is_err());
    book.work(|db| audit::write(db, 9, "lan", "release", "result:3", ""))
        .expect("a row is added");
    let (walk, end) = book.walk(None);
    assert_eq!((end, walk.rows), (Ok(()), 6));
}

#[test]
fn nobody_changes_or_removes_a_row_by_the_way() {
    let book = Book::new();
    for (sql, params) in [
        (&CHANGE, vec![1.into(), "x".into()]),
        (&REMOVE, vec![1.into()]),
    ] {
        let refused = book.work(move |db| db.exec(sql, &params));
        assert!(refused.is_err());
    }
    assert_eq!(book.walk(None).1, Ok(()));
}

#[test]
fn a_row_that_was_changed_or_removed_is_found() {
    let not_following = |id, at, before| Err(Break::NotFollowing { id, at, before });
    let book = Book::new();
    book.tamper(&CHANGE, 4, Some("nobody looked"));
    let (walk, end) = book.walk(None);
    assert_eq!((end, walk.rows), (not_following(4, 6, Some(3)), 3));

    let book = Book::new();
    book.tamper(&REMOVE, 2, None);
    assert_eq!(book.walk(None).1, not_following(3, 5, Some(1)));

    let book = Book::new();
    book.tamper(&REMOVE, 1, None);
    assert_eq!(book.walk(None).1, not_following(2, 5, None));
}

#[test]
fn a_chain_that_was_made_anew_is_told_by_what_was_noted() {
    let book = Book::new();
    let noted = book.head();
    book.tamper(&REMOVE, 5, None);
    assert_eq!(book.walk(None).1, Ok(()), "by itself it is a shorter chain");
    let end = book.walk(Some(noted.clone())).1;
    assert_eq!(end, Err(Break::NotAsNoted(noted.clone())));
    book.work(|db| audit::write(db, 7, "lan", "other", "result:1", ""))
        .expect("a row is added");
    let end = book.walk(Some(noted.clone())).1;
    assert_eq!(end, Err(Break::NotAsNoted(noted)));
}

/// Rows of a store that is older than the chain have no hash; none of the chain loses its own.
#[test]
fn rows_of_before_the_chain_are_counted_and_no_others() {
    let book = Book::new();
    book.tamper(&FORGET, 5, None);
    book.work(|db| audit::write(db, 8, "lan", "release", "result:4", ""))
        .expect("a row is added");
    let (walk, end) = book.walk(None);
    assert_eq!((end, walk.rows, walk.unchained), (Ok(()), 1, 5));

    let book = Book::new();
    let at = 5;
    book.tamper(&FORGET, 1, None);
    let end = book.walk(None).1;
    let before = None;
    assert_eq!(end, Err(Break::NotFollowing { id: 2, at, before }));
}

#[test]
fn what_people_note_down_is_read_back() {
    for (text, is_one) in [
        (format!("12:{}", "aB".repeat(32)), true),
        (format!("12:{}", "ab".repeat(31)), false),
        (format!("x:{}", "ab".repeat(32)), false),
        ("12".to_owned(), false),
        (format!("12:{}", "zz".repeat(32)), false),
    ] {
        assert_eq!(text.parse::<Head>().is_ok(), is_one, "{text}");
    }
}

crate::on_postgres_too! {
    every_row_follows_from_the_one_before_it
    work_that_was_undone_leaves_no_gap
    nobody_changes_or_removes_a_row_by_the_way
    a_row_that_was_changed_or_removed_is_found
    a_chain_that_was_made_anew_is_told_by_what_was_noted
    rows_of_before_the_chain_are_counted_and_no_others
    what_people_note_down_is_read_back
}
