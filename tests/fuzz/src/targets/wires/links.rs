//! Every protocol machine as operations.

use std::time::Duration;

use labwire_protocols::{
    astm::link::{self, ChecksumRule, Durability, FrameNumberRule},
    bci, beckman_au, dimension, mllp, poct1a, sysmex_legacy,
    wire::{Commit, Machine},
};

use super::machine::{Promise, Split, Wire, drive};
use crate::targets::feed::Feed;

const ACK: u8 = 6;
const EOT: u8 = 4;
const RULES: [ChecksumRule; 3] = [ChecksumRule::Strict, ChecksumRule::Warn, ChecksumRule::Off];

fn boxed<M: Machine + 'static>(machine: M) -> Box<dyn Machine> {
    Box::new(machine)
}

fn is_whole(commit: &Commit) -> bool {
    matches!(commit, Commit::Message(received) if received.is_complete)
}

/// LIS01-A2, both roles.
pub(crate) fn astm_link(data: &[u8]) {
    let mut feed = Feed(data);
    let on = feed.switches();
    let more = feed.switches();
    let dialect = link::Dialect {
        checksum: *feed.pick(&RULES),
        frame_numbers: if on[0] {
            FrameNumberRule::Lenient
        } else {
            FrameNumberRule::Strict
        },
        durability: if on[1] {
            Durability::Message
        } else {
            Durability::Frame
        },
        accepts_unframed: on[2],
        accepts_frames_without_enq: on[3],
        serves_enq_in_transfer: on[4],
        ignores_idle_bytes: on[5],
        one_record_per_frame: on[6],
        frame_text_max: if on[7] { 7 } else { 240 },
        stale_reply: Duration::from_millis(if more[0] { 50 } else { 0 }),
        limits: link::Limits {
            frame_text: 64,
            record: 48,
            message: 96,
            session: 400,
            outgoing: 4,
            inbox: 512,
            ..link::Limits::default()
        },
        ..if more[1] {
            link::Dialect::instrument()
        } else {
            link::Dialect::default()
        }
    };
    let is_each_frame = !on[1];
    let has_promise = !on[2];
    let number = std::cell::Cell::new(0_u8);
    let frame = move |text: &[u8]| match text {
        // Marks go as they are.
        [_] | [] => text.to_vec(),
        // Numbered in turn, so that a session comes about; a session begins with 1.
        _ => {
            number.set(number.get() % 7 + 1);
            let is_last = text.last() == Some(&b'\r');
            let sent = if text.starts_with(b"H") {
                number.replace(1).min(1)
            } else {
                number.get()
            };
            link::frame(sent.max(1), text, is_last).to_vec()
        }
    };
    let answers: fn(&Commit) -> bool = if is_each_frame {
        |commit| matches!(commit, Commit::Frame { .. })
    } else {
        is_whole
    };
    let wire = Wire {
        make: Box::new(move || boxed(link::Link::new(dialect.clone()))),
        inbox: 512,
        frame: Box::new(frame),
        pieces: ASTM_PIECES,
        payloads: ASTM_PAYLOADS,
        promise: has_promise.then_some(Promise::Bytes(&[ACK, EOT], answers)),
        waits_with_deadline: true,
        split: Split::All,
    };
    drive(&wire, &mut feed);
}

/// MLLP, both roles.
pub(crate) fn mllp_endpoint(data: &[u8]) {
    let mut feed = Feed(data);
    let on = feed.switches();
    let config = mllp::Config {
        block_bytes_max: 100,
        pending_commits_max: feed.below(3) + 1,
        in_flight_max: feed.below(3) + 1,
        queue_max: 4,
        keeps_cut_blocks: on[0],
        closes: *feed.pick(&[
            mllp::Closes::AsAsked,
            mllp::Closes::FirstReply,
            mllp::Closes::ApplicationReply,
        ]),
        tolerance: mllp::Tolerance {
            fs_lf: on[1],
            fs_alone: on[2].then(|| Duration::from_millis(200)),
            no_fs: on[3].then(|| Duration::from_millis(500)),
        },
        ..mllp::Config::default()
    };
    let frame = |text: &[u8]| match text {
        [_] | [] => text.to_vec(),
        _ => [&[mllp::VT][..], text, &[mllp::FS, b'\r']].concat(),
    };
    let wire = Wire {
        make: Box::new(move || boxed(mllp::Endpoint::new(config.clone()))),
        // What it may hold unread is what one read gives.
        inbox: mllp::READ_BYTES * 2,
        frame: Box::new(frame),
        pieces: MLLP_PIECES,
        payloads: MLLP_PAYLOADS,
        promise: Some(Promise::Reply),
        waits_with_deadline: true,
        split: Split::Commits,
    };
    drive(&wire, &mut feed);
}

/// Beckman AU, both roles, classes A and B.
pub(crate) fn beckman_link(data: &[u8]) {
    let mut feed = Feed(data);
    let on = feed.switches();
    let model = beckman_au::Model::Au5800;
    let mut dialect = if on[0] {
        beckman_au::Dialect::host(model)
    } else {
        beckman_au::Dialect::instrument(model)
    };
    dialect.class = if on[1] {
        beckman_au::Class::A
    } else {
        beckman_au::Class::B
    };
    dialect.bcc = *feed.pick(&[
        beckman_au::Bcc::Strict,
        beckman_au::Bcc::Warn,
        beckman_au::Bcc::Off,
    ]);
    dialect.answers_enq = on[2];
    dialect.block_end = if on[3] { 3 } else { 0x17 };
    if on[4] {
        dialect.durability = Durability::Message;
    }
    if on[5] {
        dialect.timers.turnaround = Duration::ZERO;
    }
    dialect.limits = beckman_au::Limits {
        block: 90,
        text: 200,
        inbox: 512,
        outgoing: 4,
    };
    let has_replies = !on[1];
    let answers: fn(&Commit) -> bool = if on[4] {
        is_whole
    } else {
        |commit| matches!(commit, Commit::Frame { .. })
    };
    let framing = dialect.clone();
    let wire = Wire {
        make: Box::new(move || boxed(beckman_au::Link::new(dialect.clone()))),
        inbox: 512,
        frame: Box::new(move |text| match text {
            [_] | [] => text.to_vec(),
            _ => beckman_au::link::frame(text, &framing).to_vec(),
        }),
        pieces: BECKMAN_PIECES,
        payloads: BECKMAN_PAYLOADS,
        promise: has_replies.then_some(Promise::Bytes(&[ACK], answers)),
        waits_with_deadline: false,
        split: Split::All,
    };
    drive(&wire, &mut feed);
}

/// Siemens Dimension, both roles.
pub(crate) fn dimension_link(data: &[u8]) {
    let mut feed = Feed(data);
    let on = feed.switches();
    let mut dialect = if on[0] {
        dimension::Dialect::default()
    } else {
        dimension::Dialect::instrument()
    };
    dialect.checksum = *feed.pick(&RULES);
    dialect.answers_enq = on[1];
    if on[2] {
        dialect.unanswered = dimension::Unanswered::Silence;
    }
    dialect.limits = dimension::Limits {
        message: 90,
        outgoing: 4,
        inbox: 512,
    };
    let wire = Wire {
        make: Box::new(move || boxed(dimension::Link::new(dialect.clone()))),
        inbox: 512,
        frame: Box::new(|text| match text {
            [_] | [] => text.to_vec(),
            _ => dimension::link::frame(text).to_vec(),
        }),
        pieces: DIMENSION_PIECES,
        payloads: DIMENSION_PAYLOADS,
        promise: Some(Promise::Bytes(&[ACK], is_whole)),
        waits_with_deadline: false,
        split: Split::All,
    };
    drive(&wire, &mut feed);
}

/// POCT1-A conversations, both roles, over streams of XML.
pub(crate) fn poct1a_link(data: &[u8]) {
    let mut feed = Feed(data);
    let on = feed.switches();
    let mut dialect = if on[0] {
        poct1a::Dialect::default()
    } else {
        poct1a::Dialect::device()
    };
    if on[1] {
        dialect.mode = poct1a::Mode::Continuous;
    }
    dialect.asks_events = on[2];
    dialect.wrap = *feed.pick(&[poct1a::Wrap::Plain, poct1a::Wrap::Line, poct1a::Wrap::Mllp]);
    dialect.limits = poct1a::Limits {
        message: 2_048,
        outgoing: 4,
        inbox: 32_768,
    };
    let wire = Wire {
        make: Box::new(move || boxed(poct1a::Link::new(dialect.clone()))),
        inbox: 32_768,
        frame: Box::new(|text| text.to_vec()),
        pieces: POCT1A,
        payloads: &[
            b"<OPL.R01><HDR><HDR.control_id V=\"4\"/><HDR.version_id V=\"POCT1\"/></HDR></OPL.R01>",
            b"<DTV.R01><HDR><HDR.control_id V=\"5\"/></HDR><DTV><DTV.command_cd V=\"LOCK\"/></DTV></DTV.R01>",
            b"", b"<A>", b"no message",
        ],
        promise: None,
        waits_with_deadline: false,
        split: Split::All,
    };
    drive(&wire, &mut feed);
}

const POCT1A: &[&[u8]] = &[
    b"<HEL.R01><HDR><HDR.control_id V=\"1\"/><HDR.version_id V=\"POCT1\"/><HDR.creation_dttm V=\"2025-01-15T08:00:00\"/></HDR><DEV><DEV.device_id V=\"0a\"/><DCP><DCP.application_timeout V=\"60\"/></DCP></DEV></HEL.R01>",
    b"<DST.R01><HDR><HDR.control_id V=\"2\"/></HDR><DST><DST.status_dttm V=\"2025-01-15T08:00:00\"/><DST.new_observations_qty V=\"1\"/><DST.new_events_qty V=\"1\"/></DST></DST.R01>",
    b"<OBS.R01><HDR><HDR.control_id V=\"3\"/></HDR><SVC><SVC.role_cd V=\"OBS\"/><SVC.observation_dttm V=\"2025-01-15T08:00:00\"/><PT><PT.patient_id V=\"7\"/><OBS><OBS.observation_id V=\"GLU\"/><OBS.value V=\"5.4\" U=\"mmol/L\"/></OBS></PT></SVC></OBS.R01>",
    b"<EVS.R01><HDR><HDR.control_id V=\"4\"/></HDR><EVT><EVT.description V=\"x\"/></EVT></EVS.R01>",
    b"<EOT.R01><HDR><HDR.control_id V=\"5\"/></HDR><EOT><EOT.topic_cd V=\"OBS\"/></EOT></EOT.R01>",
    b"<KPA.R01><HDR><HDR.control_id V=\"6\"/></HDR></KPA.R01>",
    b"<END.R01><HDR><HDR.control_id V=\"7\"/></HDR><TRM><TRM.reason_cd V=\"NRM\"/></TRM></END.R01>",
    b"<ACK.R01><HDR><HDR.control_id V=\"8\"/></HDR><ACK><ACK.type_cd V=\"AA\"/><ACK.ack_control_id V=\"1\"/></ACK></ACK.R01>",
    b"<ACK.R01><HDR><HDR.control_id V=\"9\"/></HDR><ACK><ACK.type_cd V=\"AE\"/><ACK.ack_control_id V=\"2\"/></ACK></ACK.R01>",
    b"<ESC.R01><HDR><HDR.control_id V=\"10\"/></HDR><ESC><ESC.esc_control_id V=\"2\"/></ESC></ESC.R01>",
    b"<", b">", b"</", b"/>", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?xml?>", b"\x0b", b"\x1c\r", b"&lt;",
    b"<A>", b"</A>", b"<OBS.R01>", b"</OBS.R01>", b"<!DOCTYPE a>", b"\xef\xbb\xbf",
];

/// bioMérieux BCI, both roles.
pub(crate) fn bci_link(data: &[u8]) {
    let mut feed = Feed(data);
    let on = feed.switches();
    let mut dialect = if on[0] {
        bci::Dialect::default()
    } else {
        bci::Dialect::instrument()
    };
    dialect.checksum = *feed.pick(&RULES);
    dialect.sums_line_ends = on[1];
    dialect.sends_max = if on[2] { 1 } else { 3 };
    dialect.limits = bci::Limits {
        message: 90,
        outgoing: 4,
        inbox: 512,
    };
    let sums_line_ends = on[1];
    let wire = Wire {
        make: Box::new(move || boxed(bci::Link::new(dialect.clone()))),
        inbox: 512,
        frame: Box::new(move |text| match text {
            [_] | [] => text.to_vec(),
            _ => bci::link::frame(text, sums_line_ends).to_vec(),
        }),
        pieces: BCI_PIECES,
        payloads: BCI_PAYLOADS,
        promise: Some(Promise::Bytes(&[ACK], is_whole)),
        waits_with_deadline: true,
        split: Split::All,
    };
    drive(&wire, &mut feed);
}

/// The older Sysmex texts, both roles, classes A and B.
pub(crate) fn sysmex_link(data: &[u8]) {
    let mut feed = Feed(data);
    let on = feed.switches();
    let has_replies = !on[1];
    let dialect = sysmex_legacy::Dialect {
        class: if on[1] {
            sysmex_legacy::Class::A
        } else {
            sysmex_legacy::Class::B
        },
        limits: sysmex_legacy::Limits {
            text: 90,
            outgoing: 4,
            inbox: 2_048,
        },
        ..if on[0] {
            sysmex_legacy::Dialect::default()
        } else {
            sysmex_legacy::Dialect::instrument()
        }
    };
    let wire = Wire {
        make: Box::new(move || boxed(sysmex_legacy::Link::new(dialect.clone()))),
        inbox: 2_048,
        frame: Box::new(|text| match text {
            [_] | [] => text.to_vec(),
            _ => sysmex_legacy::link::frame(text).to_vec(),
        }),
        pieces: SYSMEX_PIECES,
        payloads: SYSMEX_PAYLOADS,
        promise: has_replies.then_some(Promise::Bytes(&[ACK], is_whole)),
        waits_with_deadline: false,
        split: Split::All,
    };
    drive(&wire, &mut feed);
}

const ASTM_PIECES: &[&[u8]] = &[
    b"\x05",
    b"\x06",
    b"\x15",
    b"\x04",
    b"\x02",
    b"\x03",
    b"\r",
    b"\n",
    b"\x05",
    b"H|\\^&\r",
    b"P|1\r",
    b"O|1|25||^^^A\r",
    b"R|1|^^^A|5.4\r",
    b"L|1\r",
    b"H|\\^&\rP|1\rL|1\r",
    b"R|1|^^^A|",
    b"5.4\r",
];

const ASTM_PAYLOADS: &[&[u8]] = &[
    b"H|\\^&\rP|1\rO|1|25||^^^A\rL|1\r",
    b"H|\\^&\rL|1\r",
    b"",
    b"\x02",
    b"H|\\^&\rP|1||0123456789012345678901234567890123456789012345678901234567890123\rL|1\r",
];

const MLLP_PIECES: &[&[u8]] = &[
    b"\x0b",
    b"\x1c",
    b"\r",
    b"\n",
    b"MSH|^~\\&|A|B|C|D|1||ORU^R01|Q|P|2.5\r",
    b"MSH|^~\\&|||||||ACK|9\rMSA|AA|M1\r",
    b"MSH|^~\\&|||||||ACK|9\rMSA|CA|M1\r",
    b"MSH|^~\\&|||||||ACK|9\rMSA|AE|M2\r",
    b"MSH|^~\\&|||||||ACK|9\rMSA|AA|Z\r",
    b"MSH|^~\\&",
];

const MLLP_PAYLOADS: &[&[u8]] = &[
    b"MSH|^~\\&|A|B|C|D|1||ORU^R01|M1|P|2.5\r",
    b"MSH|^~\\&|A|B|C|D|1||ORU^R01|M2|P|2.5\r",
    b"MSH|^~\\&|A|B|C|D|1||ORU^R01|M1|P|2.5|||AL|AL\r",
    b"MSH|^~\\&|A|B|C|D|1||ORU^R01|M2|P|2.5|||NE|NE\r",
    b"",
    b"not a message",
    b"MSH|^~\\&|A|B|C|D|1||ORU^R01|\x0b|P|2.5\r",
];

const BECKMAN_PIECES: &[&[u8]] = &[
    b"\x02",
    b"\x03",
    b"\x05",
    b"\x06",
    b"\x15",
    b"\x06",
    b"RB00\x03",
    b"R 00000301 00010009063962    \x03",
    b"R 00000302 00020009063963    \x03",
    b"S 000301 00010009063962    E0160\x03",
    b"D 00000301 00010009063962    00016    161.3        \x17",
    b"D 00000301 00010009063962    10017      1.0        \x17",
    b"D 00000301 00010009063962    E0020      4.2        \x03",
    b"DA00\x03",
    b"DE00\x03",
    b"X\x03",
];

const BECKMAN_PAYLOADS: &[&[u8]] = &[
    b"S 000301 00010009063962    E0160\x03",
    b"S 000302 00020009063963    E0160\x03",
    b"",
    b"X",
];

const DIMENSION_PIECES: &[&[u8]] = &[
    b"\x02",
    b"\x03",
    b"\x05",
    b"\x06",
    b"\x15",
    b"\x06",
    b"P\x1cDIM1\x1c1\x1c1\x1c0\x1c",
    b"P\x1cDIM1\x1c0\x1c0\x1c0\x1c",
    b"I\x1c7\x1c",
    b"I\x1c8\x1c",
    b"N\x1c",
    b"M\x1cA\x1c\x1c",
    b"M\x1cR\x1c5\x1c",
    b"D\x1c0\x1c0\x1cA\x1cA\x1c7\x1c1\x1c\x1c0\x1c1\x1c**\x1c1\x1c1\x1cNA\x1c",
    b"R\x1c*\x1cA\x1c7\x1c1\x1c\x1c0\x1c433910270718\x1c1\x1c1\x1c1\x1cNA\x1c139\x1cmmol/L\x1c\x1c",
    b"X\x1c1\x1c",
    b"R\x1c",
];

const DIMENSION_PAYLOADS: &[&[u8]] = &[
    b"D\x1c0\x1c0\x1cA\x1cA\x1c7\x1c1\x1c\x1c0\x1c1\x1c**\x1c1\x1c1\x1cNA\x1c",
    b"N\x1c",
    b"P\x1cDIM1\x1c0\x1c1\x1c0\x1c",
    b"I\x1c7\x1c",
    b"M\x1cA\x1c\x1c",
    b"",
    b"x",
];

const BCI_PIECES: &[&[u8]] = &[
    b"\x02",
    b"\x03",
    b"\x04",
    b"\x05",
    b"\x06",
    b"\x15",
    b"\x1d",
    b"\x1e",
    b"\x05",
    b"\x06",
    b"\x1emtrsl|\x1eci7|\x1ertTSH|\x1eqn1.0|",
    b"\x1emtrsl|\x1eci8|\x1ertTSH|\x1eqn2.0|",
    b"\x1emtmpr|\x1eci7|\x1ertTSH|\x1eqd1|",
    b"\x1emtxyz|",
    b"\x1ex|",
];

const BCI_PAYLOADS: &[&[u8]] = &[
    b"\x1emtmpr|\x1eci7|\x1ertTSH|\x1eqd1|",
    b"\x1emtrsl|\x1eci9|",
    b"no message",
    b"",
];

const SYSMEX_PIECES: &[&[u8]] = &[
    b"\x02", b"\x03", b"\x05", b"\x06", b"\x15", b"\r", b"\x06", b"D1U7", b"D1U8", b"D2U7",
    b"R1000", b"xx",
];

const SYSMEX_PAYLOADS: &[&[u8]] = &[b"S1order", b"D1U9", b"\x02", b""];
