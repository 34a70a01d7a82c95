//! The link against chance: hostile bytes, cuts of the stream, and a channel that loses.

use bytes::Bytes;
use proptest::prelude::*;

use super::{continuous, framer, message, open};
use crate::{
    poct1a::{
        Dialect, Document, Limits, Link, Mode, Wrap,
        dialect::{ELEMENTS_MAX, OUTPUTS_MAX},
        read,
    },
    transcript::channel::World,
    wire::{CommitId, Input, Machine, Mono, OutId, Outgoing, OutgoingKind, Output, SendOutcome},
};

/// Pieces that lead somewhere, so that chance reaches more than the first state.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let mark = prop::sample::select(vec![
        "<",
        ">",
        "/",
        "\"",
        "'",
        "</",
        "/>",
        "<!",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?",
        "?>",
        " ",
        "=",
        "&",
        "&lt;",
        "<A>",
        "</A>",
        "<A V=\"1\"/>",
        "<OBS.R01>",
        "</OBS.R01>",
        "<KPA.R01/>",
        "<!DOCTYPE a>",
        "\u{b}",
        "\r\n",
    ]);
    let whole = prop::sample::select(vec![
        "hel 1",
        "hel 2",
        "dst 3 1 0",
        "dst 4 0 1",
        "dst 5 0 0",
        "obs 6",
        "obs 7",
        "qc 8",
        "evs 9",
        "eot 10 OBS",
        "rpat 11",
        "kpa 12",
        "end 13",
        "ack 14 1",
        "ack 14 2",
        "ack 14 3",
        "ack 14 4",
        "ack 14 5",
        "nack 15 3",
        "esc 16 3",
        "new 17",
    ]);
    prop_oneof![
        3 => mark.prop_map(|mark| mark.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
        6 => whole.prop_map(framer),
        1 => whole_cut(),
    ]
}

fn whole_cut() -> impl Strategy<Value = Vec<u8>> {
    (0..200_usize).prop_map(|length| {
        let mut bytes = framer("obs 6");
        bytes.truncate(length);
        bytes
    })
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..30).prop_map(|pieces| pieces.concat())
}

fn dialect() -> impl Strategy<Value = Dialect> {
    (any::<[bool; 3]>(), 0..3_usize).prop_map(|(switch, wrap)| {
        let mut dialect = if switch[0] {
            Dialect::default()
        } else {
            Dialect::device()
        };
        if switch[1] {
            dialect.mode = Mode::Continuous;
        }
        dialect.asks_events = switch[2];
        dialect.wrap = [Wrap::Plain, Wrap::Line, Wrap::Mllp][wrap];
        dialect.limits = Limits {
            message: 2_048,
            outgoing: 4,
            inbox: 32_768,
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
    let payload = prop::sample::select(vec!["dtv own LOCK", "ptl own", "hel own", "no message"]);
    prop_oneof![
        8 => piece().prop_map(Event::Bytes),
        3 => (0..40_000_u64).prop_map(Event::Wait),
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
        let order = outgoing("dtv own LOCK", OutgoingKind::Download);
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
        cuts in prop::collection::vec(1..90_usize, 1..20),
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
                    prop_assert!(bench.machine.deadline().is_none());
                    bench.handle(Input::Opened);
                }
            }
            prop_assert!(bench.machine.accepts() <= 32_768);
            prop_assert!(bench.machine.held()[1] <= 2_048);
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

    /// What the link takes for a message is one for the reader, or neither reads it.
    #[test]
    fn every_message_of_a_stream_is_read_whole_or_refused(stream in stream()) {
        let _read = read(&stream).is_ok();
        let mut bench = open(Dialect::default());
        bench.is_prompt = true;
        bench.handle(Input::Bytes(&stream));
        for (_, commit) in &bench.commits {
            let crate::wire::Commit::Message(received) = commit else { panic!("{commit:?}") };
            let document = Document::read(&received.bytes).expect("it is well-formed");
            prop_assert!(document.root().is_some());
        }
    }
}

#[test]
fn a_storm_of_messages_is_answered_in_bounded_portions() {
    let mut link = Link::new(Dialect::default());
    link.handle(Mono::default(), Input::Opened);
    let storm = "<KPA.R01/>".repeat(6_000);
    link.handle(Mono::default(), Input::Bytes(storm.as_bytes()));
    let (mut acks, mut most) = (0, 0);
    while let Some(output) = link.poll() {
        acks += usize::from(matches!(output, Output::Transmit(_)));
        most = most.max(link.held()[2]);
    }
    assert_eq!(acks, 6_000);
    assert!(most <= OUTPUTS_MAX + 2, "{most}");
}

#[test]
fn a_message_without_end_costs_no_more_than_its_limit() {
    let mut dialect = Dialect::default();
    dialect.limits.message = 4_096;
    for endless in [
        "<A>x",
        "<A V=\"x",
        "<A><!-- ",
        "<A><![CDATA[",
        "<?x ",
        "<A ",
        "<A>",
        "<",
    ] {
        let mut bench = open(dialect.clone());
        bench.handle(Input::Bytes(endless.as_bytes()));
        for _ in 0..2_000 {
            bench.handle(Input::Bytes(b"<B>xxxxxxxxxxxxxxxx "));
            let [inbox, message, _] = bench.machine.held();
            assert!(inbox + message <= 4_096 + 64);
        }
        assert!(!bench.notes.is_empty(), "{endless}");
        assert!(bench.commits.is_empty());
    }
}

#[test]
fn a_document_has_no_more_elements_than_its_limit() {
    let many = format!("<A>{}</A>", "<B/>".repeat(ELEMENTS_MAX));
    assert!(Document::read(many.as_bytes()).is_err());
    let most = format!("<A>{}</A>", "<B/>".repeat(ELEMENTS_MAX - 1));
    let document = Document::read(most.as_bytes()).expect("it fits");
    let children = document.root().expect("a root").children().count();
    assert_eq!(children, ELEMENTS_MAX - 1);
}

fn report(number: u64) -> Bytes {
    message("obs own")
        .replace("P-17", &format!("P-{number}"))
        .into()
}

/// A device that says hello, how it is, and what it has, all of it over a bad channel.
fn morning(chance: Vec<u8>, count: u64) -> World<Link> {
    let ends = [Link::new(continuous()), Link::new(Dialect::device())];
    let mut world = World::new(ends, chance, 40);
    let kind = OutgoingKind::Download;
    world.send(1, 1_001, outgoing("hel own", kind));
    world.send(1, 1_002, outgoing("dst own 0 0", kind));
    world.send(0, 1, outgoing("dtv own LOCK", kind));
    for id in 1..=count {
        let report = Outgoing {
            payload: report(id),
            kind,
            expires_after: None,
        };
        world.send(1, id, report);
    }
    let mut steps = 0;
    while world.step() {
        world.news.clear();
        steps += 1;
        assert!(steps < 20_000);
    }
    world
}

/// Whether a stored message is this report, whatever its control id.
fn is_report(stored: &[u8], number: u64) -> bool {
    let (mark, stored) = (
        format!("\"P-{number}\""),
        String::from_utf8(stored.to_vec()),
    );
    stored.is_ok_and(|stored| stored.contains(&mark))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Over a channel that loses and doubles, with a store that is slow and fails: what was accepted
    /// is there. (Damage is left to TCP: the protocol has no check of its own.)
    #[test]
    fn what_was_accepted_is_stored(
        chance in prop::collection::vec(any::<u8>(), 0..300),
        count in 1..5_u64,
    ) {
        let is_damage = |roll: &u8| *roll < 40 && roll % 4 == 1;
        let chance = chance.into_iter().filter(|roll| !is_damage(roll)).collect();
        let world = morning(chance, count);
        let host = world.stored(0);
        for id in 1..=count {
            let outcomes = world.finished[1].iter().filter(|(finished, _)| finished.0 == id);
            let outcomes: Vec<_> = outcomes.map(|(_, outcome)| outcome).collect();
            prop_assert!(outcomes.len() <= 1);
            let is_accepted = outcomes.iter().any(|outcome| {
                matches!(outcome, SendOutcome::Answered(ack) if ack.windows(6).any(|w| w == b"V=\"AA\""))
            });
            if is_accepted {
                prop_assert!(host.iter().any(|stored| is_report(&stored.bytes, id)), "{}", id);
            }
        }
    }
}

#[test]
fn without_trouble_everything_is_stored_once() {
    let ends = [Link::new(continuous()), Link::new(Dialect::device())];
    let mut world = World::new(ends, vec![255; 400], 0);
    let kind = OutgoingKind::Download;
    for (id, payload) in ["hel own", "dst own 0 0", "obs own", "qc own", "evs own"]
        .into_iter()
        .enumerate()
    {
        let id = u64::try_from(id).expect("few");
        world.send(1, id, outgoing(payload, kind));
    }
    world.send(0, 9, outgoing("dtv own LOCK", kind));
    while world.step() {}
    let names = |end: usize| -> Vec<String> {
        let stored = world.stored(end);
        let name = |bytes: &Bytes| {
            let document = Document::read(bytes).expect("it is well-formed");
            let root = document.root().expect("a root");
            String::from_utf8(root.name().to_vec()).expect("ASCII")
        };
        stored
            .iter()
            .map(|received| name(&received.bytes))
            .collect()
    };
    assert_eq!(names(0), ["HEL.R01", "OBS.R01", "OBS.R02", "EVS.R01"]);
    assert_eq!(names(1), ["DTV.R01", "DTV.R01"]);
    let is_answered =
        |(_, outcome): &(OutId, SendOutcome)| matches!(outcome, SendOutcome::Answered(_));
    assert!(world.finished[0].iter().all(is_answered));
    assert!(world.finished[1].iter().all(is_answered));
    assert_eq!(world.finished[1].len(), 5);
}
