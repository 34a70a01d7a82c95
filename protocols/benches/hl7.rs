//! How fast an ORU^R01 of 20 results is read, beside what the machine can do with the same bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use labwire_protocols::hl7::{Message, header, observation::Report};

/// A chemistry message of 20 results.
fn message() -> String {
    let mut text = "MSH|^~\\&|ANALYZER|LAB|LABWIRE|LAB|20250115103000||ORU^R01^ORU_R01|A1|P|2.5.1||||||UNICODE UTF-8\r\
        PID|1||0012345^^^BV^MR||NGUYỄN^VĂN A||19800312|M\r\
        OBR|1||25011500017|CHEM^Chemistry^L|||20250115094000\r"
        .to_owned();
    for number in 1..=20 {
        text.push_str(&format!(
            "OBX|{number}|NM|T{number:02}^Test number {number}^L||{}.{}|mmol/L^mmol/L^UCUM|3.9-6.1|N|||F|||20250115102812||OP1^NAME^GIVEN||CHEM^1\r",
            number % 10,
            number % 7
        ));
    }
    text.push_str("SPM|1|25011500017||SER^Serum^HL70487\r");
    text
}

/// Everything the bridge takes from a message.
fn read(bytes: &[u8]) -> usize {
    let peek = header::peek(black_box(bytes));
    black_box(peek.map(|peek| peek.message_type.len()));
    let Ok(text) = std::str::from_utf8(bytes) else {
        return 0;
    };
    let Ok((message, notes)) = Message::parse(text) else {
        return 0;
    };
    let Ok(report) = Report::read(&message) else {
        return 0;
    };
    let mut values = notes.len();
    for (group, obx) in report.observations() {
        let code = obx.code_part(1).text();
        let value = obx.value().text();
        let unit = obx.units().component(1).text();
        black_box((&code, &value, &unit, obx.reference_range(), obx.status()));
        black_box((obx.observed_at(), obx.flags().count(), group.specimen_id()));
        values += 1;
    }
    values
}

fn hl7(c: &mut Criterion) {
    let text = message();
    assert_eq!(read(text.as_bytes()), 20);
    let mut group = c.benchmark_group("hl7");
    group.throughput(Throughput::Bytes(u64::try_from(text.len()).expect("small")));
    // The bases of the ratio, in the same run: moving the bytes, and looking at each of them.
    group.bench_function("base: copy", |b| {
        b.iter(|| black_box(text.as_bytes()).to_vec())
    });
    group.bench_function("base: count delimiters one by one", |b| {
        b.iter(|| {
            black_box(text.as_bytes())
                .split(|byte| matches!(byte, b'|' | b'\r'))
                .map(black_box)
                .count()
        });
    });
    group.bench_function("split into segments", |b| {
        b.iter(|| Message::parse(black_box(&text)).map(|(message, _)| message.segments().len()))
    });
    group.bench_function("ORU to typed values", |b| b.iter(|| read(text.as_bytes())));
    group.finish();
}

criterion_group!(benches, hl7);
criterion_main!(benches);
