//! How fast the machines take bytes: the ASTM link frame by frame, the MLLP endpoint block by
//! block, every commit answered at once. The base is a sum over the same bytes.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use labwire_protocols::{
    astm::link::{Dialect, Link, frame},
    mllp,
    wire::{Input, Machine, Mono, Output},
};

/// The frames of 24 records, with ENQ before and EOT after them, in the reads of a driver.
fn astm() -> Vec<Bytes> {
    let mut records = vec![
        r"H|\^&|||LOAD^1.0|||||LABWIRE||P|LIS2-A2|20250115103000".to_owned(),
        "P|1".to_owned(),
        "O|1|25011500017||^^^ALL|R||||||||||||||||||||F".to_owned(),
    ];
    records.extend((1..=20).map(|number| {
        format!("R|{number}|^^^T{number:02}|5.4|mmol/L|3.9 to 6.1|N||F||OP||20250115103000|LOAD1")
    }));
    records.push("L|1|N".to_owned());
    let frames = records
        .iter()
        .zip(1_u8..)
        .map(|(record, number)| frame(number % 8, format!("{record}\r").as_bytes(), true));
    let mut reads = vec![Bytes::from_static(b"\x05")];
    reads.extend(frames);
    reads.push(Bytes::from_static(b"\x04"));
    reads
}

fn hl7() -> Vec<Bytes> {
    let mut block = b"\x0bMSH|^~\\&|A|B|C|D|20250115103000||ORU^R01|1|P|2.5.1\r".to_vec();
    for number in 1..=20 {
        block.extend_from_slice(
            format!("OBX|{number}|NM|T{number:02}^Test^L||5.4|mmol/L|3.9-6.1|N|||F|||20250115\r")
                .as_bytes(),
        );
    }
    block.extend_from_slice(b"\x1c\r");
    vec![block.into()]
}

/// Feeds the reads and answers every commit; returns how many commits there were.
fn drive(machine: &mut dyn Machine, now: &mut u64, reads: &[Bytes], reply: Option<&Bytes>) -> u64 {
    let mut commits = 0;
    for read in reads {
        *now += 1;
        machine.handle(Mono::from_micros(*now), Input::Bytes(black_box(read)));
        while let Some(output) = machine.poll() {
            if let Output::Commit(id, _) = black_box(output) {
                commits += 1;
                let input = Input::Committed(id, reply.cloned());
                machine.handle(Mono::from_micros(*now), input);
            }
        }
    }
    commits
}

/// A name, what comes in, the machine, and how many commits that makes.
type Line = (&'static str, Vec<Bytes>, Box<dyn Machine>, u64);

fn link(c: &mut Criterion) {
    let reply = Bytes::from_static(b"MSH|^~\\&|C|D|A|B|20250115||ACK|2|P|2.5.1\rMSA|AA|1\r");
    let mut group = c.benchmark_group("link");
    let lines: [Line; 2] = [
        (
            "ASTM, 24 frames",
            astm(),
            Box::new(Link::new(Dialect::default())),
            24,
        ),
        (
            "MLLP, one block",
            hl7(),
            Box::new(mllp::Endpoint::new(mllp::Config::default())),
            1,
        ),
    ];
    for (name, reads, mut machine, commits) in lines {
        let size: usize = reads.iter().map(Bytes::len).sum();
        group.throughput(Throughput::Bytes(u64::try_from(size).expect("small")));
        group.bench_function(format!("base: sum of the bytes of {name}"), |b| {
            b.iter(|| {
                let sum = |sum: u8, byte: &u8| sum.wrapping_add(*byte);
                reads
                    .iter()
                    .map(|read| black_box(read).iter().fold(0, sum))
                    .fold(0, u8::wrapping_add)
            });
        });
        let mut now = 0;
        machine.handle(Mono::from_micros(now), Input::Opened);
        while machine.poll().is_some() {}
        assert_eq!(
            drive(machine.as_mut(), &mut now, &reads, Some(&reply)),
            commits
        );
        group.bench_function(name, |b| {
            b.iter(|| drive(machine.as_mut(), &mut now, &reads, Some(&reply)))
        });
    }
    group.finish();
}

criterion_group!(benches, link);
criterion_main!(benches);
