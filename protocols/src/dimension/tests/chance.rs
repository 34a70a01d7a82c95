//! The link against chance: hostile bytes, cuts of the stream, and a channel that loses.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::{framer, message, open};
use crate::{
    dimension::{
        Dialect, Limits, Link, Message, Unanswered,
        dialect::{ChecksumRule, DETACHED_MAX, OUTPUTS_MAX},
        read,
    },
    transcript::channel::World,
    wire::{CommitId, Input, Machine, Mono, OutId, Outgoing, OutgoingKind, Output, SendOutcome},
};

const ORDER: &str = "D|0|0|A|A|7|1||0|1|**|1|1|NA";

/// Pieces that lead somewhere, so that chance reaches more than the first state.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let control = prop::sample::select(vec![2_u8, 3, 4, 5, 6, 10, 13, 21, 28, 255]);
    let whole = prop::sample::select(vec![
        "P|DIM1|1|1|0",
        "P|DIM1|0|0|0",
        "I|7",
        "I|8",
        "N",
        "M|A|",
        "M|R|5",
        ORDER,
        "R|*|A|7|1||0|433910270718|1|1|1|NA|139|mmol/L|",
        "C|GLUC|mg/dL|LOT1|CHEM|LOT2|OP|433910270718|1|0|0|0",
        "X|1",
        "R",
    ]);
    prop_oneof![
        4 => control.prop_map(|byte| vec![byte]),
        2 => prop::collection::vec(any::<u8>(), 0..12),
        6 => whole.prop_map(framer),
        1 => Just(b"\x02N\x1c00\x03".to_vec()),
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
        dialect.answers_enq = switch[1];
        if switch[2] {
            dialect.unanswered = Unanswered::Silence;
        }
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
    let payload = prop::sample::select(vec![ORDER, "N", "P|DIM1|0|1|0", "I|7", "M|A|"]);
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
        bench.handle(Input::Bytes(&framer(&format!("X|{number}"))));
    }
    assert!(bench.machine.held()[2] <= DETACHED_MAX);
}

fn report(number: u64) -> Bytes {
    let text = format!("R|*|A|{number}|1||0|433910270718|1|1|1|NA|{number}|mmol/L|");
    message(&text).into()
}

fn order_for(sample: &str) -> String {
    format!("D|0|0|A|A|{sample}|1||0|1|**|1|1|NA")
}

/// What the owners do: the analyzer accepts every order, the host answers every query.
fn serve(world: &mut World<Link>, next: &mut u64, orders: &mut BTreeMap<u64, Bytes>) {
    while let Some((end, received)) = world.news.pop_front() {
        let layout = Dialect::default().layout;
        let Ok((read, _)) = read(&received.bytes, &layout) else {
            continue;
        };
        *next += 1;
        match (end, read) {
            (1, Message::Order(_)) => {
                world.send(1, *next, outgoing("M|A|", OutgoingKind::Answer));
            }
            (0, Message::Query(query)) => {
                let sample = std::str::from_utf8(query.sample_id.raw()).expect("ASCII");
                let answer = outgoing(&order_for(sample), OutgoingKind::Answer);
                orders.insert(*next, answer.payload.clone());
                world.send(0, *next, answer);
            }
            _ => {}
        }
    }
}

/// Polls, reports and queries of an instrument and orders of a host, all over a bad channel.
/// Returns the world and the orders that were sent, by id.
fn morning(chance: Vec<u8>, count: u64) -> (World<Link>, BTreeMap<u64, Bytes>) {
    let ends = [
        Link::new(Dialect::default()),
        Link::new(Dialect::instrument()),
    ];
    let mut world = World::new(ends, chance, 50);
    let (mut next, mut orders) = (1_000, BTreeMap::new());
    let kind = OutgoingKind::Download;
    for id in 1..=count {
        let order = outgoing(&order_for(&format!("9{id}")), kind);
        orders.insert(id, order.payload.clone());
        world.send(0, id, order);
        world.send(1, id * 10, outgoing("P|DIM1|0|1|0", kind));
        let report = Outgoing {
            payload: report(id),
            kind,
            expires_after: None,
        };
        world.send(1, id * 10 + 1, report);
        world.send(1, id * 10 + 2, outgoing(&format!("I|{id}"), kind));
    }
    let mut steps = 0;
    while world.step() {
        serve(&mut world, &mut next, &mut orders);
        steps += 1;
        assert!(steps < 20_000);
    }
    (world, orders)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Over a channel that loses, damages and doubles, with a store that is slow and fails: a
    /// report that was accepted is there, and once; an order that answered a poll and was accepted
    /// is there; and nothing is there that was never sent.
    #[test]
    fn what_was_accepted_is_stored_and_nothing_else_is(
        chance in prop::collection::vec(any::<u8>(), 0..300),
        count in 1..5_u64,
    ) {
        let (world, orders) = morning(chance, count);
        let (host, instrument) = (world.stored(0), world.stored(1));
        for id in 1..=count {
            let times = host.iter().filter(|stored| stored.bytes == report(id)).count();
            prop_assert!(times <= 1);
            let outcomes = world.finished[1].iter();
            let outcome = outcomes.filter(|(finished, _)| finished.0 == id * 10 + 1);
            let outcomes: Vec<_> = outcome.map(|(_, outcome)| outcome).collect();
            prop_assert_eq!(outcomes.len(), 1);
            if matches!(outcomes[0], SendOutcome::Answered(_)) {
                prop_assert_eq!(times, 1, "report {}", id);
            }
        }
        for (id, outcome) in &world.finished[0] {
            if let (1..1_000, SendOutcome::Answered(_)) = (id.0, outcome) {
                let sent = &orders[&id.0];
                prop_assert!(instrument.iter().any(|stored| stored.bytes == sent));
            }
        }
        for stored in &instrument {
            let is_order = orders.values().any(|order| order == &stored.bytes);
            prop_assert!(is_order || stored.bytes == message("N"));
        }
    }
}

#[test]
fn without_trouble_everything_is_stored_and_answered() {
    let ends = [
        Link::new(Dialect::default()),
        Link::new(Dialect::instrument()),
    ];
    let mut world = World::new(ends, vec![255; 400], 0);
    world.send(0, 1, outgoing(&order_for("91"), OutgoingKind::Download));
    world.send(1, 10, outgoing("P|DIM1|1|1|0", OutgoingKind::Download));
    let kind = OutgoingKind::Download;
    world.send(
        1,
        11,
        Outgoing {
            payload: report(1),
            kind,
            expires_after: None,
        },
    );
    world.send(1, 12, outgoing("I|7", kind));
    world.send(1, 13, outgoing("P|DIM1|0|1|0", kind));
    let (mut next, mut orders) = (1_000, BTreeMap::new());
    while world.step() {
        serve(&mut world, &mut next, &mut orders);
    }
    let bytes = |end: usize| -> Vec<Bytes> {
        world
            .stored(end)
            .into_iter()
            .map(|message| message.bytes)
            .collect()
    };
    assert_eq!(bytes(0), [report(1), message("I|7").into()]);
    let expected = [order_for("91"), order_for("7"), "N".to_owned()];
    assert_eq!(bytes(1), expected.map(|text| Bytes::from(message(&text))));
    let answered = |outcome: &SendOutcome| matches!(outcome, SendOutcome::Answered(_));
    let host: Vec<_> = world.finished[0]
        .iter()
        .map(|(id, o)| (id.0, answered(o)))
        .collect();
    assert_eq!(host, [(1, true), (1_003, true)]);
}
