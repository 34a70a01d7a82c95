//! How fast ASTM records become typed values, beside what the machine can do with the same bytes.
//!
//! The aim is 200 MB/s on one core, from the bytes of a message to the values of its results.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use labwire_protocols::{
    astm::record::{
        Delimiters, FieldValue, Message, MessageWriter, ResultStatus, TerminationCode, View,
    },
    charset::Charset,
};

/// Analytes of a blood count: code, value, unit, range.
const ANALYTES: [(&str, &str, &str, &str); 20] = [
    ("WBC", "7.42", "10*3/uL", "4.00 to 10.00"),
    ("RBC", "4.61", "10*6/uL", "3.80 to 5.80"),
    ("HGB", "13.4", "g/dL", "11.5 to 17.0"),
    ("HCT", "40.2", "%", "36.0 to 50.0"),
    ("MCV", "87.2", "fL", "80.0 to 100.0"),
    ("MCH", "29.1", "pg", "27.0 to 34.0"),
    ("MCHC", "33.3", "g/dL", "32.0 to 36.0"),
    ("PLT", "265", "10*3/uL", "150 to 400"),
    ("RDW-SD", "41.2", "fL", "37.0 to 54.0"),
    ("RDW-CV", "12.9", "%", "11.0 to 16.0"),
    ("PDW", "12.4", "fL", "9.0 to 17.0"),
    ("MPV", "10.3", "fL", "9.0 to 13.0"),
    ("P-LCR", "27.5", "%", "13.0 to 43.0"),
    ("PCT", "0.27", "%", "0.17 to 0.35"),
    ("NEUT#", "4.25", "10*3/uL", "2.00 to 7.50"),
    ("LYMPH#", "2.34", "10*3/uL", "1.00 to 4.00"),
    ("MONO#", "0.58", "10*3/uL", "0.20 to 1.00"),
    ("EO#", "0.21", "10*3/uL", "0.02 to 0.50"),
    ("BASO#", "0.04", "10*3/uL", "0.00 to 0.10"),
    ("NRBC#", "0.00", "10*3/uL", "0.00 to 0.02"),
];

fn text(value: &str) -> FieldValue<'_> {
    FieldValue::Text(value)
}

/// A haematology message of 24 records.
fn message() -> Vec<u8> {
    let header = [
        (5, FieldValue::Components(vec!["XN-1000", "00-22", "11001"])),
        (12, text("P")),
    ];
    let mut writer =
        MessageWriter::header(Delimiters::STANDARD, Charset::Latin1, &header).expect("fits");
    let name = FieldValue::Name(vec!["NGUYEN", "THI B"]);
    let patient = [
        (3, text("PID0098")),
        (6, name),
        (8, text("19911105")),
        (9, text("F")),
    ];
    let order = [
        (3, text("25011500021")),
        (5, FieldValue::Components(vec!["", "", "", "CBC+DIFF"])),
        (6, text("R")),
        (8, text("20250115094000")),
        (26, text("F")),
    ];
    writer
        .patient(&patient)
        .expect("fits")
        .order(&order)
        .expect("in place");
    for (code, value, unit, range) in ANALYTES {
        let result = [
            (3, FieldValue::Components(vec!["", "", "", code, "1"])),
            (4, text(value)),
            (5, text(unit)),
            (6, text(range)),
            (7, text("N")),
            (9, text("F")),
            (11, text("lab")),
            (13, text("20250115101530")),
        ];
        writer.result(&result).expect("in place");
    }
    writer
        .terminator(TerminationCode::Normal)
        .expect("fits")
        .bytes
}

/// Everything the bridge takes from a message: who, which tube, and each result as typed values.
fn read(bytes: &[u8]) -> usize {
    let (message, notes) = Message::parse(black_box(bytes));
    let mut values = notes.len();
    for record in message.records() {
        match record.view() {
            View::Result(result) => {
                let code = result.test_id().component(4).text(Charset::Latin1);
                let value = result.value().text(Charset::Latin1);
                let unit = result.unit().text(Charset::Latin1);
                let range = result.reference_range().text(Charset::Latin1);
                let flags = result
                    .abnormal_flags()
                    .repeats()
                    .map(|f| f.raw().len())
                    .sum::<usize>();
                let is_final = result.result_status() == Some(ResultStatus::Final);
                let completed = result.completed_at().timestamp();
                black_box((&code, &value, &unit, &range, flags, is_final, completed));
                values += usize::from(is_final);
            }
            View::Order(order) => {
                let specimen = order.specimen_id().text(Charset::Latin1);
                black_box((&specimen, order.collected_at().timestamp(), order.report()));
            }
            View::Patient(patient) => {
                let name = patient.name().component(1).text(Charset::Latin1);
                black_box((&name, patient.birth_date().timestamp()));
            }
            View::Header(header) => {
                black_box((header.sender().component(1).raw(), header.processing_id()));
            }
            View::Terminator(end) => {
                black_box(end.termination_code());
            }
            View::Comment(_)
            | View::Request(_)
            | View::Scientific(_)
            | View::Manufacturer(_)
            | View::Unknown(_) => {}
        }
    }
    values
}

fn records(c: &mut Criterion) {
    let bytes = message();
    assert_eq!(Message::parse(&bytes).0.records().len(), 24);
    assert_eq!(read(&bytes), ANALYTES.len());
    let mut group = c.benchmark_group("records");
    group.throughput(Throughput::Bytes(
        u64::try_from(bytes.len()).expect("small"),
    ));
    // The bases of the ratio, in the same run: moving the bytes, and looking at each of them.
    group.bench_function("base: copy", |b| b.iter(|| black_box(&bytes[..]).to_vec()));
    group.bench_function("base: count delimiters one by one", |b| {
        b.iter(|| {
            black_box(&bytes[..])
                .split(|byte| matches!(byte, b'|' | b'\r'))
                .map(black_box)
                .count()
        });
    });
    group.bench_function("split into records", |b| {
        b.iter(|| Message::parse(black_box(&bytes)))
    });
    group.bench_function("records to typed values", |b| b.iter(|| read(&bytes)));
    group.finish();
}

criterion_group!(benches, records);
criterion_main!(benches);
