//! The link against chance: hostile bytes, cuts of the stream, and a channel that loses.

use bytes::Bytes;
use proptest::prelude::*;

use super::{framer, message, open};
use crate::{
    bci::{
        Dialect, Limits, Link,
        dialect::{ChecksumRule, DETACHED_MAX, OUTPUTS_MAX},
    },
    transcript::channel::World,
    wire::{CommitId, Input, Machine, Mono, OutId, Outgoing, OutgoingKind, Output, SendOutcome},
};

const ORDER: &str = "mtmpr|ci7|rtTSH|qd1|";

/// Pieces that lead somewhere, so that chance reaches more than the first state.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let control = prop::sample::select(vec![2_u8, 3, 4, 5, 6, 10, 13, 21, 29, 30, 255]);
    let whole = prop::sample::select(vec![
        "mtrsl|ci7|rtTSH|qn1.0|",
        "mtrsl|ci8|rtTSH|qn2.0|",
        ORDER,
        "mtxyz|",
        "x|",
    ]);
    let session = prop::sample::select(vec![5_u8, 6, 6, 21, 4]);
    prop_oneof![
        3 => control.prop_map(|byte| vec![byte]),
        3 => session.prop_map(|byte| vec![byte]),
        2 => prop::collection::vec(any::<u8>(), 0..12),
        6 => whole.prop_map(framer),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..40).prop_map(|pieces| pieces.concat())
}

fn dialect() -> impl Strategy<Value = Dialect> {
    (any::<[bool; 3]>(), 0..3_usize).prop_map(|(switch, rule)| {
        let mut dialect = if switch[0] {
            Dialect::default()
        } else {
            Dialect::instrument()
        };
        dialect.checksum = [ChecksumRule::Strict, ChecksumRule::Warn, ChecksumRule::Off][rule];
        dialect.sums_line_ends = switch[1];
        dialect.sends_max = if switch[2] { 1 } else { 3 };
        dialect.limits = Limits {
            message: 90,
            outgoing: 4,
            inbox: 512,
        };
        dialect
    })
}

fn outgoing(payload: &str, kind: OutgoingKind) -> Outgoing {
    Outgoing {
        payload: message(payload).into(),
        kind,
        expires_after: None,
    }
}

#[derive(Clone, Debug)]
enum Event {
    Bytes(Vec<u8>),
    Wait(u64),
    Durable(u64),
    Fails(u64),
    Send(OutgoingKind, &'static str),
    Withdraw,
    Close,
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop::sample::select(vec![OutgoingKind::Answer, OutgoingKind::Download]);
    let payload = prop::sample::select(vec![ORDER, "mtrsl|ci9|", "no message"]);
    prop_oneof![
        8 => piece().prop_map(Event::Bytes),
        3 => (0..8_000_u64).prop_map(Event::Wait),
        4 => (0..4_u64).prop_map(Event::Durable),
        1 => (0..4_u64).prop_map(Event::Fails),
        3 => (kind, payload).prop_map(|(kind, payload)| Event::Send(kind, payload)),
        1 => Just(Event::Withdraw),
        1 => Just(Event::Close),
    ]
}

/// Everything the link says to a stream; no deadline is served, and the store answers last.
fn outputs(dialect: &Dialect, pieces: &[&[u8]]) -> Vec<Output> {
    let mut link = Link::new(dialect.clone());
    let now = Mono::from_millis(1);
    link.handle(now, Input::Opened);
    for id in 1..4 {
        let order = outgoing(ORDER, OutgoingKind::Download);
        link.handle(now, Input::Send(OutId(id), order));
    }
    let mut said: Vec<_> = std::iter::from_fn(|| link.poll()).collect();
    for piece in pieces {
        link.handle(now, Input::Bytes(piece));
        said.extend(std::iter::from_fn(|| link.poll()));
    }
    for id in 1.. {
        let is_asked =
            |output: &Output| matches!(output, Output::Commit(asked, _) if asked.0 == id);
        if !said.iter().any(is_asked) {
            return said;
        }
        link.handle(now, Input::Committed(CommitId(id), None));
        said.extend(std::iter::from_fn(|| link.poll()));
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_cut_of_the_stream_gives_the_same_outputs(
        stream in stream(),
        dialect in dialect(),
        cuts in prop::collection::vec(1..9_usize, 1..20),
    ) {
        let whole = outputs(&dialect, &[&stream]);
        let mut pieces = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at(rest.len().min(*cut));
            pieces.push(piece);
            rest = later;
        }
        prop_assert_eq!(&outputs(&dialect, &pieces), &whole);
        let single: Vec<_> = stream.chunks(1).collect();
        prop_assert_eq!(&outputs(&dialect, &single), &whole);
    }

    #[test]
    fn nothing_a_peer_or_a_store_does_panics_or_grows_without_end(
        dialect in dialect(),
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut bench = open(dialect);
        let mut asked = 0;
        for event in events {
            match event {
                Event::Bytes(bytes) => bench.handle(Input::Bytes(&bytes)),
                Event::Wait(millis) => bench.wait(std::time::Duration::from_millis(millis)),
                Event::Durable(back) => {
                    let id = bench.commits.last().map_or(0, |(id, _)| id.0);
                    bench.handle(Input::Committed(CommitId(id.saturating_sub(back)), None));
                }
                Event::Fails(back) => {
                    let id = bench.commits.last().map_or(0, |(id, _)| id.0);
                    bench.handle(Input::CommitFailed(CommitId(id.saturating_sub(back)), None));
                }
                Event::Send(kind, payload) => {
                    asked += 1;
                    bench.handle(Input::Send(OutId(asked), outgoing(payload, kind)));
                }
                Event::Withdraw => bench.handle(Input::Withdraw(OutId(asked))),
                Event::Close => {
                    bench.handle(Input::Closed);
                    prop_assert!(bench.machine.deadline().is_none() || bench.machine.awaits_store());
                    bench.handle(Input::Opened);
                }
            }
            prop_assert!(bench.machine.accepts() <= 512);
            prop_assert!(bench.machine.held()[0] <= 512);
        }
        // Every message that was taken gets exactly one last word.
        bench.handle(Input::Closed);
        let mut finished: Vec<_> = bench.outputs.iter().filter_map(|output| match output {
            Output::Finished(id, _) => Some(id.0),
            Output::Transmit(_) | Output::Commit(..) | Output::Note(_) | Output::Close(_) => None,
        }).collect();
        finished.sort_unstable();
        prop_assert_eq!(finished, (1..=asked).collect::<Vec<_>>());
    }
}

#[test]
fn a_storm_of_enq_is_answered_in_bounded_portions() {
    let mut link = Link::new(Dialect::default());
    link.handle(Mono::default(), Input::Opened);
    link.handle(Mono::default(), Input::Bytes(&[5; 30_000]));
    let (mut acks, mut most) = (0, 0);
    while let Some(output) = link.poll() {
        acks += usize::from(matches!(output, Output::Transmit(_)));
        most = most.max(link.held()[1]);
    }
    assert_eq!(acks, 30_000);
    assert!(most <= OUTPUTS_MAX + 2, "{most}");
}

#[test]
fn a_store_that_never_answers_costs_no_more_than_its_limit() {
    let mut bench = open(Dialect::default());
    for number in 0..2_000 {
        bench.handle(Input::Bytes(&framer(&format!("mtrsl|ci{number}|"))));
    }
    assert!(bench.machine.held()[2] <= DETACHED_MAX);
}

#[test]
fn a_message_without_end_costs_no_more_than_its_limit() {
    let mut dialect = Dialect::default();
    dialect.limits.message = 1_000;
    let mut bench = open(dialect);
    bench.handle(Input::Bytes(&[2]));
    for _ in 0..100 {
        bench.handle(Input::Bytes(&[b'x'; 100]));
        assert!(bench.machine.held()[0] <= 100);
    }
    assert!(bench.notes.contains(&"BCI-0105"));
    assert!(bench.commits.is_empty());
}

fn report(number: u64) -> Bytes {
    message(&format!("mtrsl|ci{number}|rtTSH|qn{number}.0|")).into()
}

fn order(number: u64) -> Bytes {
    message(&format!("mtmpr|ci{number}|rtTSH|qd1|")).into()
}

/// Who receives, and what.
type Side = (usize, fn(u64) -> Bytes);

const SIDES: [Side; 2] = [(0, report), (1, order)];

/// Reports of an instrument and orders of a host, all over a bad channel.
fn morning(chance: Vec<u8>, trouble: u8, count: u64) -> World<Link> {
    let ends = [
        Link::new(Dialect::default()),
        Link::new(Dialect::instrument()),
    ];
    let mut world = World::new(ends, chance, trouble);
    let download = |payload| Outgoing {
        payload,
        kind: OutgoingKind::Download,
        expires_after: None,
    };
    for id in 1..=count {
        world.send(0, id, download(order(id)));
        world.send(1, id, download(report(id)));
    }
    let mut steps = 0;
    while world.step() {
        world.news.clear();
        steps += 1;
        assert!(steps < 20_000);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Over a channel that loses, damages and doubles, with a store that is slow and fails: what was
    /// acknowledged is there, and nothing is there that was never sent.
    #[test]
    fn what_was_acknowledged_is_stored_and_nothing_else_is(
        chance in prop::collection::vec(any::<u8>(), 0..300),
        count in 1..5_u64,
    ) {
        let world = morning(chance, 50, count);
        for (end, sent) in SIDES {
            let stored = world.stored(end);
            for (id, outcome) in &world.finished[1 - end] {
                let message = sent(id.0);
                let times = stored.iter().filter(|stored| stored.bytes == message).count();
                prop_assert!(times <= 1);
                if *outcome == SendOutcome::Sent {
                    prop_assert_eq!(times, 1, "{}", id.0);
                }
            }
            for stored in &stored {
                prop_assert!((1..=count).any(|id| sent(id) == stored.bytes));
            }
        }
    }
}

#[test]
fn without_trouble_everything_is_stored_in_order() {
    let world = morning(vec![255; 400], 0, 3);
    for (end, sent) in SIDES {
        let stored: Vec<_> = world
            .stored(end)
            .into_iter()
            .map(|stored| stored.bytes)
            .collect();
        assert_eq!(stored, [sent(1), sent(2), sent(3)]);
        let is_sent = |(_, outcome): &(OutId, SendOutcome)| *outcome == SendOutcome::Sent;
        assert!(world.finished[end].iter().all(is_sent));
    }
}
