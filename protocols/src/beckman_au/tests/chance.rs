//! The link against chance: hostile bytes, cuts of the stream, and a channel that loses.

use bytes::Bytes;
use proptest::prelude::*;

use super::{framer, open};
use crate::{
    beckman_au::{
        Bcc, Class, Code, Content, Dialect, Limits, Link, Model, Writer,
        dialect::{DETACHED_MAX, Durability, OUTPUTS_MAX},
        read,
        writer::{SampleText, TestText},
    },
    transcript::channel::World,
    wire::{CommitId, Input, Machine, Mono, OutId, Outgoing, OutgoingKind, Output, SendOutcome},
};

/// Pieces that lead somewhere, so that chance reaches more than the first state.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let control = prop::sample::select(vec![2_u8, 3, 4, 5, 6, 10, 13, 21, 23, 255]);
    let block = prop::sample::select(vec![
        "RB00",
        "R 00000301 00010009063962    ",
        "R 00000302 00020009063963    ",
        "S 000301 00010009063962    E0160",
        "+D 00000301 00010009063962    00016    161.3        ",
        "+D 00000301 00010009063962    10017      1.0        ",
        "D 00000301 00010009063962    E0020      4.2        ",
        "DA00",
        "DE00",
        "X",
        "",
    ]);
    prop_oneof![
        4 => control.prop_map(|byte| vec![byte]),
        2 => prop::collection::vec(any::<u8>(), 0..12),
        6 => block.prop_map(framer),
        1 => Just(b"\x02RB00\x03\x00".to_vec()),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..40).prop_map(|pieces| pieces.concat())
}

fn dialect() -> impl Strategy<Value = Dialect> {
    (any::<[bool; 6]>(), 0..3_usize).prop_map(|(switch, bcc)| {
        let mut dialect = if switch[0] {
            Dialect::host(Model::Au5800)
        } else {
            Dialect::instrument(Model::Au5800)
        };
        dialect.class = if switch[1] { Class::A } else { Class::B };
        dialect.bcc = [Bcc::Strict, Bcc::Warn, Bcc::Off][bcc];
        dialect.answers_enq = switch[2];
        dialect.block_end = if switch[3] { 3 } else { 0x17 };
        if switch[4] {
            dialect.durability = Durability::Message;
        }
        if switch[5] {
            dialect.timers.turnaround = std::time::Duration::ZERO;
        }
        dialect.limits = Limits {
            block: 90,
            text: 200,
            inbox: 512,
            outgoing: 4,
        };
        dialect
    })
}

const ANSWER: &[u8] = b"S 000301 00010009063962    E0160\x03";

fn outgoing(payload: &'static [u8], kind: OutgoingKind) -> Outgoing {
    Outgoing {
        payload: Bytes::from_static(payload),
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
    Send(OutgoingKind),
    Withdraw,
    Close,
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop::sample::select(vec![OutgoingKind::Answer, OutgoingKind::Download]);
    prop_oneof![
        8 => piece().prop_map(Event::Bytes),
        3 => (0..4_000_u64).prop_map(Event::Wait),
        4 => (0..4_u64).prop_map(Event::Durable),
        1 => (0..4_u64).prop_map(Event::Fails),
        2 => kind.prop_map(Event::Send),
        1 => Just(Event::Withdraw),
        1 => Just(Event::Close),
    ]
}

/// Everything the link says to a stream; no deadline is served, and the store answers last.
fn outputs(dialect: &Dialect, pieces: &[&[u8]]) -> Vec<Output> {
    let mut link = Link::new(dialect.clone());
    let now = Mono::from_millis(1);
    link.handle(now, Input::Opened);
    let mut said = Vec::new();
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
        // Nobody gives a machine more than it accepts.
        let mut dialect = dialect;
        dialect.limits.inbox = stream.len();
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
                Event::Send(kind) => {
                    asked += 1;
                    bench.handle(Input::Send(OutId(asked), outgoing(ANSWER, kind)));
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

    /// What a host acknowledged is durable in the store, whatever came between.
    #[test]
    fn nothing_is_acknowledged_that_is_not_durable(
        pieces in prop::collection::vec(piece(), 1..40),
        answers in prop::collection::vec(0..3_u8, 40),
    ) {
        let mut dialect = Dialect::host(Model::Au5800);
        dialect.timers.turnaround = std::time::Duration::ZERO;
        let mut link = Link::new(dialect);
        let now = Mono::from_millis(1);
        link.handle(now, Input::Opened);
        let (mut open, mut durable) = (0_usize, 0_usize);
        for (piece, answer) in pieces.iter().zip(answers) {
            link.handle(now, Input::Bytes(piece));
            let mut last = None;
            while let Some(output) = link.poll() {
                match output {
                    Output::Commit(id, _) => {
                        open += 1;
                        last = Some(id);
                    }
                    // A repeat of what was acknowledged before may be acknowledged at once.
                    Output::Transmit(bytes) if bytes[..] == [6] => prop_assert!(durable > 0),
                    Output::Transmit(_)
                    | Output::Note(_)
                    | Output::Finished(..)
                    | Output::Close(_) => {}
                }
            }
            let Some(id) = last else { continue };
            match answer {
                0 => continue,
                1 => link.handle(now, Input::CommitFailed(id, None)),
                _ => {
                    durable += 1;
                    link.handle(now, Input::Committed(id, None));
                }
            }
            let replies: Vec<_> = std::iter::from_fn(|| link.poll()).collect();
            let is_ack = |output: &Output| matches!(output, Output::Transmit(b) if b[..] == [6]);
            prop_assert!(answer == 2 || !replies.iter().any(is_ack));
        }
        prop_assert!(durable <= open);
    }
}

#[test]
fn a_storm_of_enq_is_answered_in_bounded_portions() {
    let mut dialect = Dialect::host(Model::Au5800);
    dialect.answers_enq = true;
    let mut link = Link::new(dialect);
    link.handle(Mono::default(), Input::Opened);
    link.handle(Mono::default(), Input::Bytes(&[5; 16_000]));
    let (mut acks, mut most) = (0, 0);
    while let Some(output) = link.poll() {
        acks += usize::from(matches!(output, Output::Transmit(_)));
        most = most.max(link.held()[1]);
    }
    assert_eq!(acks, 16_000);
    assert!(most <= OUTPUTS_MAX + 2, "{most}");
}

#[test]
fn a_store_that_never_answers_costs_no_more_than_its_limit() {
    for class in [Class::A, Class::B] {
        let mut dialect = Dialect::host(Model::Au5800);
        dialect.class = class;
        let mut bench = open(dialect);
        for number in 0..2_000 {
            bench.handle(Input::Bytes(&framer(&format!("DE{number:04}"))));
        }
        assert!(bench.machine.held()[2] <= DETACHED_MAX, "{class:?}");
        assert!(bench.machine.held()[0] <= bench.machine.dialect().limits.inbox);
    }
}

fn reports(count: u64) -> Vec<Bytes> {
    let one = |number: u64| {
        let sample = format!("D 00000301 {number:04}{number:010}    ");
        let results = |block, test| format!("{sample}{block}0{test:03}{number:9}        ");
        let text = match number % 3 {
            0 => format!("{}\x03", results("E", 16)),
            1 => format!("{}\x17{}\x03", results("0", 16), results("E", 20)),
            _ => format!(
                "{}\x17{}\x17{}\x03",
                results("0", 16),
                results("1", 17),
                results("E", 20)
            ),
        };
        Bytes::from(text)
    };
    (1..=count).map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Over a channel that loses, damages and doubles, with a store that is slow and fails: what
    /// the instrument believes to be taken is there, whole, once; and nothing is there that was
    /// never sent.
    #[test]
    fn what_was_acknowledged_is_stored_whole_and_once(
        chance in prop::collection::vec(any::<u8>(), 0..200),
        count in 1..6_u64,
    ) {
        let ends = [
            Link::new(Dialect::host(Model::Au5800)),
            Link::new(Dialect::instrument(Model::Au5800)),
        ];
        let mut world = World::new(ends, chance, 60);
        let sent = reports(count);
        for (id, payload) in (1..).zip(&sent) {
            let kind = OutgoingKind::Download;
            let outgoing = Outgoing { payload: payload.clone(), kind, expires_after: None };
            world.send(1, id, outgoing);
        }
        let mut steps = 0;
        while world.step() {
            steps += 1;
            prop_assert!(steps < 20_000);
        }
        prop_assert_eq!(world.finished[1].len(), sent.len());
        let stored = world.stored(0);
        for (id, outcome) in &world.finished[1] {
            let payload = &sent[usize::try_from(id.0).unwrap() - 1];
            let times = stored.iter().filter(|stored| stored.bytes == payload).count();
            if *outcome == SendOutcome::Sent {
                prop_assert_eq!(times, 1, "message {}", id.0);
            }
            prop_assert!(times <= 1);
        }
        // A text after a block that was given up may be doubted, but never the other way round.
        prop_assert!(stored.iter().all(|text| !text.is_complete || sent.contains(&text.bytes)));
    }

    /// Requests are answered for their own samples, or not at all.
    #[test]
    fn an_order_that_arrives_is_the_one_for_its_sample(
        chance in prop::collection::vec(any::<u8>(), 0..200),
        count in 1..6_u64,
    ) {
        let dialect = Dialect::host(Model::Au5800);
        let ends = [Link::new(dialect.clone()), Link::new(Dialect::instrument(Model::Au5800))];
        let mut world = World::new(ends, chance, 40);
        let mut answers = Vec::new();
        for id in 1..=count {
            let payload = format!("R 00000301 {id:04}{id:010}    \x03").into();
            let kind = OutgoingKind::Download;
            world.send(1, id, Outgoing { payload, kind, expires_after: None });
            while world.step() {
                while let Some((end, message)) = world.news.pop_front() {
                    let (0, true) = (end, message.is_complete) else { continue };
                    let Ok((text, _)) = read(&message.bytes, &dialect) else { continue };
                    let Content::Request(sample) = text.content else { continue };
                    let payload = Writer::new(&dialect)
                        .order(Code::ORDER, &SampleText::from(&sample), &[TestText {
                            test_no: &sample.sample_no.raw()[1..],
                            dilution: b"0",
                        }])
                        .expect("it fits");
                    answers.push(payload.clone());
                    let kind = OutgoingKind::Answer;
                    let answer = Outgoing { payload, kind, expires_after: None };
                    world.send(0, u64::try_from(answers.len()).unwrap(), answer);
                }
            }
        }
        let orders: Vec<_> = world.stored(1).into_iter().map(|text| text.bytes).collect();
        prop_assert!(orders.iter().all(|order| answers.contains(order)));
        for (id, outcome) in &world.finished[0] {
            if *outcome == SendOutcome::Sent {
                let answer = &answers[usize::try_from(id.0).unwrap() - 1];
                prop_assert!(orders.contains(answer));
            }
        }
        prop_assert_eq!(world.finished[0].len(), answers.len());
    }
}

#[test]
fn without_trouble_every_request_is_answered_and_every_report_stored() {
    let ends = [
        Link::new(Dialect::host(Model::Au5800)),
        Link::new(Dialect::instrument(Model::Au5800)),
    ];
    let mut world = World::new(ends, vec![255; 400], 0);
    let sent = reports(6);
    for (id, payload) in (1..).zip(&sent) {
        let kind = OutgoingKind::Download;
        let outgoing = Outgoing {
            payload: payload.clone(),
            kind,
            expires_after: None,
        };
        world.send(1, id, outgoing);
    }
    while world.step() {}
    let stored = world.stored(0);
    assert!(stored.iter().all(|text| text.is_complete));
    assert!(stored.iter().map(|text| &text.bytes).eq(&sent));
    assert!(
        world.finished[1]
            .iter()
            .all(|(_, outcome)| *outcome == SendOutcome::Sent)
    );
}
