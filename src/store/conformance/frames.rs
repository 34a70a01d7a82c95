//! The promises of the journal: every frame and message, once, to the byte, in order.

use futures_util::future::FutureExt as _;
use labwire_protocols::wire::{Commit, Received};

use super::{
    super::{
        Db, Fault, FaultPoint, StoreError, StoreOptions, Turn, journal, journal::MessageState,
        start::wait_for,
    },
    FailOnce, Ground, adopt_orphans, entry, frame, raws, received, together, write,
};

/// And the frames go.
pub fn frames_become_the_message_that_they_make(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    assert_eq!(
        write(&store, "xn", frame(0, "H\r", &[])).unwrap(),
        [0_i64; 0]
    );
    assert_eq!(
        write(&store, "xn", frame(1, "P\r", &[])).unwrap(),
        [0_i64; 0]
    );
    assert_eq!(raws(&store, "xn"), [""; 0]);
    let ids = write(&store, "xn", frame(2, "L\r", &["H\rP\rL\r"])).unwrap();
    assert_eq!(ids.len(), 1);
    assert_eq!(raws(&store, "xn"), ["H\rP\rL\r"]);
    assert_eq!(adopt_orphans(&store), [0_i64; 0]);
    wait_for(store.close());
}

/// The ACK may have been late: the peer sends again what is on disk.
pub fn a_frame_sent_again_is_the_same_row(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    for _ in 0..2 {
        write(&store, "xn", frame(0, "H\r", &[])).unwrap();
    }
    let last = || write(&store, "xn", frame(1, "L\rH\r", &["H\rL\r"])).unwrap();
    assert_eq!(last(), last());
    assert_eq!(raws(&store, "xn"), ["H\rL\r"]);
    write(&store, "xn", frame(2, "L\r", &["H\rL\r"])).unwrap();
    assert_eq!(
        raws(&store, "xn"),
        ["H\rL\r", "H\rL\r"],
        "nothing is de-duplicated here"
    );
    assert_eq!(adopt_orphans(&store), [0_i64; 0]);
    wait_for(store.close());
}

/// An error means that nothing is promised, not that nothing was written.
pub fn a_frame_whose_commit_was_reported_as_failed_is_the_same_row(ground: &dyn Ground) {
    for fault in [Fault::DiskFull, Fault::DiskFailed] {
        let store = ground.open(FailOnce::options(FaultPoint::Committed, fault));
        let line = format!("{fault:?}");
        let ending = || write(&store, &line, frame(0, "H\rL\r", &["H\rL\r"]));
        assert!(ending().unwrap_err().is_unavailable());
        assert_eq!(ending().unwrap().len(), 1);
        assert_eq!(raws(&store, &line), ["H\rL\r"]);
        wait_for(store.close());
    }
}

/// Its neighbours in the group are written.
pub fn a_frame_with_other_bytes_is_refused_alone(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    write(&store, "a", frame(0, "H\r", &[])).unwrap();
    let calls = vec![
        store
            .journal(entry("b", frame(0, "H\r", &[])))
            .boxed_local(),
        store
            .journal(entry("a", frame(0, "X\r", &[])))
            .boxed_local(),
        store
            .journal(entry("c", Commit::Message(received("m"))))
            .boxed_local(),
    ];
    let outcomes = together(&store, Turn::Background, calls);
    let codes: Vec<_> = outcomes
        .iter()
        .map(|o| o.as_ref().err().map(StoreError::code))
        .collect();
    assert_eq!(codes, [None, Some("STORE-0302"), None]);
    assert_eq!(raws(&store, "c"), ["m"]);
    adopt_orphans(&store);
    assert_eq!(
        (raws(&store, "a"), raws(&store, "b")),
        (vec!["H\r".into()], vec!["H\r".into()])
    );
    wait_for(store.close());
}

/// It was acknowledged with the frame it came in.
pub fn the_begin_of_the_next_message_outlives_its_frame(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    write(&store, "xn", frame(0, "H\rP\r", &[])).unwrap();
    let ids = write(
        &store,
        "xn",
        frame(1, "L\rH\rL\rH\r", &["H\rP\rL\r", "H\rL\r"]),
    )
    .unwrap();
    assert_eq!(ids.len(), 2);
    write(&store, "xn", frame(2, "O\r", &[])).unwrap();
    wait_for(store.close());
    let store = ground.open(StoreOptions::default());
    assert_eq!(adopt_orphans(&store).len(), 1);
    assert_eq!(raws(&store, "xn"), ["H\rP\rL\r", "H\rL\r", "H\rO\r"]);
    wait_for(store.close());
}

/// What was left of a session ends as an incomplete message.
pub fn a_whole_message_takes_its_frames_along(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    write(&store, "xn", frame(0, "H\r", &[])).unwrap();
    write(&store, "other", frame(0, "H\r", &[])).unwrap();
    let rest = Received {
        is_complete: false,
        ..received("H\r")
    };
    let id = write(&store, "xn", Commit::Message(rest)).unwrap()[0];
    let found = wait_for(store.read(move |db| journal::message(db, id)))
        .unwrap()
        .unwrap();
    assert!(!found.is_complete);
    assert_eq!(adopt_orphans(&store).len(), 1, "that of the other line");
    assert_eq!(raws(&store, "xn"), ["H\r"]);
    wait_for(store.close());
}

/// Acknowledged frames are shown, never lost.
pub fn frames_of_a_dead_process_become_an_incomplete_message(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    for line in ["a", "b"] {
        for (index, text) in (0..12).zip(["H\r", "P\r", "O\r", "R\r"].into_iter().cycle()) {
            write(&store, line, frame(index, text, &[])).unwrap();
        }
    }
    wait_for(store.close());
    let store = ground.open(StoreOptions::default());
    let ids = adopt_orphans(&store);
    assert_eq!(ids.len(), 2);
    assert_eq!(raws(&store, "b"), ["H\rP\rO\rR\r".repeat(3)]);
    let id = ids[0];
    let found = wait_for(store.read(move |db| journal::message(db, id)))
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.is_complete, found.received_at, found.line.as_str()),
        (false, 77, "a")
    );
    assert_eq!(adopt_orphans(&store), [0_i64; 0]);
    wait_for(store.close());
}

/// Also when a hundred messages are one statement.
pub fn ids_follow_the_order_of_arrival(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    let texts: Vec<String> = (0..150).map(|number| format!("message {number}")).collect();
    let calls = texts.iter().map(|text| {
        store
            .journal(entry("his", Commit::Message(received(text))))
            .boxed_local()
    });
    let ids: Vec<i64> = together(&store, Turn::Background, calls.collect())
        .into_iter()
        .flat_map(|outcome| outcome.unwrap().messages)
        .collect();
    assert_eq!(ids.len(), texts.len());
    assert!(
        ids.is_sorted_by(|earlier, later| earlier < later),
        "{ids:?}"
    );
    assert_eq!(raws(&store, "his"), texts);
    wait_for(store.close());
}

/// A poison message is known by its attempts, over a restart too.
pub fn unparsed_messages_wait_in_order_and_attempts_count(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    let ids: Vec<i64> = ["1", "2", "3"]
        .into_iter()
        .flat_map(|text| write(&store, "xn", Commit::Message(received(text))).unwrap())
        .collect();
    let (first, second) = (ids[0], ids[1]);
    for _ in 1..=2 {
        let begun = move |db: &mut dyn Db| journal::begin_attempts(db, &[second]);
        store.transact_blocking(Turn::Canonical, begun).unwrap();
    }
    let outcome = Some(r#"{"results":20}"#);
    let parsed = move |db: &mut dyn Db| journal::mark(db, first, MessageState::Parsed, outcome);
    store.transact_blocking(Turn::Canonical, parsed).unwrap();
    wait_for(store.close());

    let store = ground.open(StoreOptions::default());
    let lines = store.read_blocking(journal::unparsed_lines).unwrap();
    assert_eq!(lines, [("xn".to_owned(), 2)]);
    let page = store
        .read_blocking(|db| journal::unparsed(db, "xn", (0, i64::MAX), 1))
        .unwrap();
    assert_eq!((page.len(), page[0].id, page[0].attempts), (1, second, 2));
    let rest = store
        .read_blocking(move |db| journal::unparsed(db, "xn", (second, i64::MAX), 9))
        .unwrap();
    assert_eq!(
        rest.iter().map(|message| message.id).collect::<Vec<_>>(),
        [ids[2]]
    );
    let lost = |db: &mut dyn Db| journal::mark(db, 999, MessageState::Held, None);
    assert_eq!(
        store
            .transact_blocking(Turn::Canonical, lost)
            .unwrap_err()
            .code(),
        "STORE-0403"
    );
    wait_for(store.close());
}

/// An image, or a batch of a whole day.
pub fn a_message_of_ten_megabytes_is_kept(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    let bytes: Vec<u8> = (0..10_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let message = Received {
        session: 1,
        bytes: bytes.clone().into(),
        is_complete: true,
    };
    let id = write(&store, "xn", Commit::Message(message)).unwrap()[0];
    let found = wait_for(store.read(move |db| journal::message(db, id)))
        .unwrap()
        .unwrap();
    assert!(found.raw == bytes);
    wait_for(store.close());
}

/// A portion of what waits is bounded by its bytes; what is larger than a portion comes alone.
pub fn large_messages_that_wait_are_read_few_at_a_time(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    let keep = |megabytes: usize| {
        let message = Received {
            session: 1,
            bytes: vec![0x41; megabytes * 1_000_000].into(),
            is_complete: true,
        };
        write(&store, "xn", Commit::Message(message)).unwrap()[0]
    };
    let ids = [3, 3, 3, 10, 1, 0].map(keep);
    let (mut after, mut pages) = (0, Vec::new());
    loop {
        let read = move |db: &mut dyn Db| journal::unparsed(db, "xn", (after, i64::MAX), 64);
        let page: Vec<i64> = store
            .read_blocking(read)
            .unwrap()
            .iter()
            .map(|message| message.id)
            .collect();
        let Some(last) = page.last() else { break };
        after = *last;
        pages.push(page);
    }
    let [a, b, c, d, e, f] = ids;
    assert_eq!(pages, [vec![a, b], vec![c], vec![d], vec![e, f]]);
    wait_for(store.close());
}
