//! The state table, and what holds whatever happens.

use proptest::prelude::*;

use super::{
    tests::{Bench, asking, block, message, reply},
    *,
};

/// One state a line can be in, as steps that lead there.
fn states() -> Vec<(&'static str, Bench)> {
    let one = Config {
        pending_commits_max: 1,
        ..Config::default()
    };
    let mut states = vec![
        ("closed", Bench::new(Config::default())),
        ("between blocks", Bench::open(Config::default())),
        ("in block", Bench::open(Config::default())),
        ("after FS", Bench::open(Config::default())),
        ("waiting for reply", Bench::open(Config::default())),
        ("commit pending", Bench::open(Config::default())),
        ("store behind, a block unread", Bench::open(one)),
        (
            "closing",
            Bench::open(Config {
                block_bytes_max: 200,
                ..Config::default()
            }),
        ),
    ];
    states[2].1.bytes(b"\x0Bab");
    states[3].1.bytes(b"\x0Bab\x1C");
    states[4].1.send(1, &message("M1"));
    states[5].1.bytes(b"\x0Bab\x1C\r");
    states[6].1.bytes(b"\x0Bab\x1C\r\x0Bcd\x1C\r");
    states[7].1.bytes(&block(&"x".repeat(201)));
    for (_, bench) in &mut states {
        bench.said.clear();
    }
    states
}

type Event = (&'static str, fn(&mut Bench));

const EVENTS: [Event; 17] = [
    ("Opened", |b| b.put(Input::Opened)),
    ("Bytes VT", |b| b.put(Input::Bytes(b"\x0B"))),
    ("Bytes FS", |b| b.put(Input::Bytes(b"\x1C"))),
    ("Bytes CR", |b| b.put(Input::Bytes(b"\r"))),
    ("Bytes LF", |b| b.put(Input::Bytes(b"\n"))),
    ("Bytes other", |b| b.put(Input::Bytes(b"x"))),
    ("Bytes a message", |b| {
        b.put(Input::Bytes(&block("MSH|^~\\&|Z\r")))
    }),
    ("Bytes the reply", |b| {
        b.put(Input::Bytes(&block(&reply("AA", "M1"))))
    }),
    ("Bytes a stranger's reply", |b| {
        b.put(Input::Bytes(&block(&reply("AA", "S"))))
    }),
    ("Deadline", |b| {
        b.now = Mono::from_millis(600_000);
        b.put(Input::Deadline);
    }),
    ("Committed with reply", |b| {
        b.committed(1, "ok");
    }),
    ("Committed without", |b| {
        b.committed(1, "");
    }),
    ("CommitFailed with reply", |b| {
        b.failed(1, Some("no"));
    }),
    ("CommitFailed without", |b| {
        b.failed(1, None);
    }),
    ("Send", |b| {
        b.send(2, "MSH|^~\\&|A|B|C|D|1||ORU|M2\r");
    }),
    ("Withdraw", |b| b.put(Input::Withdraw(OutId(1)))),
    ("Closed", |b| b.put(Input::Closed)),
];

#[test]
fn every_cell_of_state_and_event_is_frozen() {
    let mut table = String::new();
    for index in 0..states().len() {
        for (event, act) in EVENTS {
            let (name, mut bench) = states().remove(index);
            act(&mut bench);
            let timer = bench
                .machine
                .deadline()
                .map_or("-".to_owned(), |(_, t)| format!("{t:?}"));
            let said = if bench.said.is_empty() {
                "-".to_owned()
            } else {
                bench.said.join("; ")
            };
            let state = bench.machine.state();
            table.push_str(&format!(
                "{name} + {event} => {said} => {state}, timer {timer}\n"
            ));
        }
        table.push('\n');
    }
    insta::assert_snapshot!("mllp_state_event", table);
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(vec![VT]),
        Just(vec![FS]),
        Just(vec![b'\r']),
        Just(vec![b'\n']),
        Just(vec![FS, b'\r']),
        Just(b"ab\r".to_vec()),
        Just(block("MSH|^~\\&|Q\r")),
        Just(block(&reply("AA", "M1"))),
        Just(block(&reply("CA", "M2"))),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_stream_means_the_same_however_it_is_split(
        bytes in stream(),
        cuts in proptest::collection::vec(1..40_usize, 1..40),
        pending in 1..4_usize,
    ) {
        // Both under way at once: else a reply could come in the same read as the one that let its
        // message go, before that message was sent.
        let config = Config {
            pending_commits_max: pending,
            block_bytes_max: 120,
            in_flight_max: 2,
            ..Config::default()
        };
        let run = |cuts: &[usize]| {
            let mut bench = Bench::open(config.clone());
            bench.send(1, &message("M1")).send(2, &asking("M2", "AL", "AL"));
            let mut rest = bytes.as_slice();
            let mut cuts = cuts.iter().cycle();
            let mut answered = 0;
            while !rest.is_empty() {
                let cut = (*cuts.next().unwrap()).min(rest.len());
                bench.put(Input::Bytes(&rest[..cut]));
                rest = &rest[cut..];
                // The store answers as soon as it is asked; each answer lets more be read.
                while let Some(id) = bench.said.iter().filter(|s| s.starts_with("commit")).count()
                    .checked_sub(answered).filter(|left| *left > 0).map(|_| answered + 1)
                {
                    answered = id;
                    bench.committed(u64::try_from(id).unwrap(), "ok");
                }
            }
            bench.put(Input::Closed);
            // What we write falls between what we read wherever the store happened to answer.
            let (mut sent, mut rest): (Vec<_>, Vec<_>) =
                bench.said.into_iter().partition(|said| said.starts_with("transmit"));
            sent.sort();
            rest.retain(|said| said != "note MLLP-0206");
            if rest.iter().any(|said| said.starts_with("close")) {
                sent.clear();
            }
            (sent, rest)
        };
        prop_assert_eq!(run(&[bytes.len().max(1)]), run(&cuts));
    }

    #[test]
    fn replies_leave_in_order_of_arrival(
        order in Just((1..=8_u64).collect::<Vec<_>>()).prop_shuffle(),
        silent in proptest::collection::vec(any::<bool>(), 8),
    ) {
        let mut bench = Bench::open(Config::default());
        let blocks: Vec<u8> = (1..=8).flat_map(|n| block(&format!("m{n}"))).collect();
        bench.bytes(&blocks).said.clear();
        let is_silent = |id: u64| silent[usize::try_from(id).unwrap() - 1];
        for &id in &order {
            bench.committed(id, &if is_silent(id) { String::new() } else { format!("r{id}") });
        }
        let expected: Vec<_> = (1..=8)
            .filter(|&id| !is_silent(id))
            .map(|id| format!("transmit <VT>r{id}<FS><CR>"))
            .collect();
        prop_assert_eq!(bench.said, expected);
    }

    #[test]
    fn whatever_happens_every_send_ends_once_and_the_store_is_never_flooded(
        steps in proptest::collection::vec((0..9_u8, stream(), 0..40_000_u64), 0..60),
        in_flight in 1..4_usize,
    ) {
        let config = Config {
            in_flight_max: in_flight,
            pending_commits_max: 3,
            queue_max: 4,
            block_bytes_max: 100,
            ..Config::default()
        };
        let mut bench = Bench::new(config);
        let mut sent = 0;
        for (kind, bytes, number) in steps {
            bench.now = bench.now.after(Duration::from_millis(number));
            match kind {
                0 => bench.put(Input::Opened),
                1..=3 => bench.put(Input::Bytes(&bytes)),
                4 => bench.put(Input::Deadline),
                5 => {
                    bench.committed(number % 20, "ok");
                }
                6 => {
                    bench.failed(number % 20, Some("no").filter(|_| number % 2 == 0));
                }
                7 => {
                    sent += 1;
                    bench.send(sent, &asking(&format!("M{}", number % 3), "", ""));
                }
                _ if number % 5 == 0 => bench.put(Input::Closed),
                _ => bench.put(Input::Withdraw(OutId(number % 20))),
            }
            let open = bench.machine.line == Line::Open;
            prop_assert!(!open || bench.machine.pending.len() <= 3);
            prop_assert!(open || bench.machine.accepts() == 0);
            prop_assert!(open || bench.machine.deadline().is_none());
        }
        bench.put(Input::Closed);
        for id in 1..=sent {
            let start = format!("finished {id} ");
            let ends = bench.said.iter().filter(|said| said.starts_with(&start)).count();
            prop_assert_eq!(ends, 1);
        }
        let mut commits: Vec<_> =
            bench.said.iter().filter_map(|said| said.strip_prefix("commit ")?.split(' ').next()).collect();
        let all = commits.len();
        commits.sort_unstable();
        commits.dedup();
        prop_assert_eq!(commits.len(), all);
    }
}
