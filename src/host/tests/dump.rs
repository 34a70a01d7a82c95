//! One of every kind of message that Labwire sends to a HIS, for a strict validator that is not
//! ours: `LABWIRE_DUMP=<folder> cargo test -p labwire --lib every_kind_of_message`, then
//! `tests/validate/strict.py <folder>`.

use std::{fs, path::PathBuf};

use super::*;
use crate::config::choice::{AckMode, Reply, Version};

/// A message of every kind by its name; the test that calls this checks that each can be read.
fn every_kind() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for version in [Version::V231, Version::V24, Version::V251, Version::V26] {
        results(version, &mut all);
    }
    enhanced(&mut all);
    replies_to_orders(&mut all);
    acknowledgements(&mut all);
    all
}

type Named = Vec<(String, Vec<u8>)>;

fn bench(version: Version) -> Bench {
    let barcode = if version.has_spm() {
        "SPM-2.1"
    } else {
        "OBR-3.1"
    };
    let mut bench = Bench::old(version, barcode);
    bench.site.posts_extras = true;
    bench.site.posts_unordered = true;
    bench
}

fn keep(all: &mut Named, name: &str, messages: Vec<Vec<u8>>) {
    let several = messages.len() > 1;
    for (index, message) in messages.into_iter().enumerate() {
        let name = if several {
            format!("{name}-{}", index + 1)
        } else {
            name.to_owned()
        };
        all.push((name, message));
    }
}

fn bodies(bench: &Bench) -> Vec<Vec<u8>> {
    let leased = bench.lease();
    bench.accept(&leased);
    leased.into_iter().map(|row| row.body).collect()
}

/// Every kind of value on one tube, with notes, flags of both sorts and an odd clock.
fn values() -> Vec<Observation> {
    let code = "POS".to_owned();
    let media_type = "image/png".to_owned();
    let denominator = Decimal::from(128);
    vec![
        full("TSH", "2.310", "m[IU]/L"),
        Observation {
            completed: None,
            flags: vec!["<".to_owned(), "*".to_owned()],
            ..full("X1", "<0.30", "ug/L")
        },
        Observation {
            comments: vec!["Mẫu hơi tán huyết | lần 2".to_owned()],
            ..quantity("X2", "5,40")
        },
        observation("HBSAG", "Dương tính", Value::Coded { code }),
        observation("X3", "1:128", Value::Titre { denominator }),
        words("X4", r"mọi ký tự ^~\&| và #"),
        words("X5", &"rất dài ".repeat(60)),
        observation(
            "X6",
            "^IM^PNG^Base64^iVBORw0KGgo=",
            Value::Image {
                media_type,
                at: (0, 12),
            },
        ),
        Observation {
            status: ResultStatus::CannotBeDone,
            ..words("X7", "không đủ mẫu")
        },
        Observation {
            status: ResultStatus::NotFinal,
            ..quantity("X8", "7")
        },
    ]
}

fn results(version: Version, all: &mut Named) {
    let word = crate::config::choice::Choice::word(version);
    let name = |what: &str| format!("{word}-oru-{what}");
    let mut host = bench(version);
    let order = if version.has_spm() {
        format!("{CBC}{TSH}")
    } else {
        "ORC|NW|REQ1^HIS\nOBR|1|REQ1^HIS|T1^HIS|CBC^CBC^L|||20260310143000||||||||EDTA\n\
         ORC|NW|REQ2^HIS\nOBR|2|REQ2^HIS|T1^HIS|TSH^TSH^L\n"
            .to_owned()
    };
    host.replies(&oml("M1", &order));
    host.measure(vec![full("HGB", "131", "g/L")]);
    keep(all, &name("partial"), bodies(&host));
    host.measure(vec![full("WBC", "6.40", "10*9/L")]);
    keep(all, &name("complete"), bodies(&host));
    host.measure(vec![Observation {
        status: ResultStatus::Correction,
        ..full("WBC", "6.04", "10*9/L")
    }]);
    keep(all, &name("correction"), bodies(&host));
    host.measure(values());
    keep(all, &name("values"), bodies(&host));

    let mut host = bench(version);
    let mut one = full("TSH", "2.31", "m[IU]/L");
    one.patient.ids = vec![crate::model::Private::new("D7".to_owned())];
    host.measure(vec![one]);
    keep(all, &name("unordered"), bodies(&host));
}

fn enhanced(all: &mut Named) {
    let mut host = bench(Version::V251);
    host.site.ack = AckMode::Enhanced;
    host.replies(&oml("M1", TSH));
    host.measure(vec![full("TSH", "2.31", "m[IU]/L")]);
    keep(all, "2.5.1-oru-enhanced", bodies(&host));
}

fn ask(host: &mut Bench, message: &str) -> Vec<Vec<u8>> {
    host.hear(message.replace('\n', "\r").as_bytes()).replies
}

fn replies_to_orders(all: &mut Named) {
    let mut host = Bench::new();
    let unknown = "ORC|NW|REQ9\nOBR|3|REQ9||NOPE\nSPM|1|T1\n";
    let new = oml("M1", &format!("{CBC}{TSH}{unknown}"));
    keep(all, "2.5.1-orl-new", ask(&mut host, &new));
    let both = new.replace("|M1|P|2.5.1||||", "|M2|P|2.5.1|||AL|AL");
    keep(all, "2.5.1-orl-enhanced", ask(&mut host, &both));
    let change = "ORC|XO|REQ1^HIS\nOBR|1|REQ1^HIS||CBC^CBC^L\nORC|CA|REQ2^HIS\n";
    keep(
        all,
        "2.5.1-orl-change-and-cancel",
        ask(&mut host, &oml("M3", change)),
    );
    let vague = "ORC|NW|A\nOBR|1|A||TSH\nSPM|1|T1\nORC|NW|B\nOBR|2|B||TSH\nSPM|1|T2\n\
                 ORC|NW|C\nOBR|3|C||TSH\n";
    keep(all, "2.5.1-orl-refused", ask(&mut host, &oml("M4", vague)));
    let o33 = format!(
        "MSH|^~\\&|HIS|BV01|||20260310||OML^O33^OML_O33|M5|P|2.5.1\n{PID}\nSPM|1|T5||EDTA\n\
         ORC|NW|R5\nOBR|1|R5||TSH^TSH^L\nORC|NW|R6\nOBR|2|R6||CBC^CBC^L\n"
    );
    keep(all, "2.5.1-orl-by-specimen", ask(&mut host, &o33));
    for (version, barcode) in [("2.3.1", Version::V231), ("2.4", Version::V24)] {
        let mut host = bench(barcode);
        let orm = |id: &str, body: &str| {
            format!("MSH|^~\\&|HIS|BV01|||20260310||ORM^O01|{id}|P|{version}\n{PID}\n{body}")
        };
        let new = "ORC|NW|R1\nOBR|1|R1|T1|TSH^TSH^L\nORC|NW|R2\nOBR|2|R2|T1|NOPE\n";
        keep(
            all,
            &format!("{version}-orr-new"),
            ask(&mut host, &orm("M1", new)),
        );
        let cancel = "ORC|CA|R1\nOBR|1|R1||TSH^TSH^L\n";
        keep(
            all,
            &format!("{version}-orr-cancel"),
            ask(&mut host, &orm("M2", cancel)),
        );
        let none = orm("M3", "");
        keep(
            all,
            &format!("{version}-orr-refused"),
            ask(&mut host, &none),
        );
    }
}

fn acknowledgements(all: &mut Named) {
    for version in ["2.3.1", "2.4", "2.5.1", "2.6"] {
        for (mode, fields) in [("original", ""), ("enhanced", "|||AL|NE")] {
            let mut host = Bench::with(|site| site.reply = Reply::Ack);
            let mut adt = |what: &str, kind: &str, body: &str| {
                let message = format!(
                    "MSH|^~\\&|HIS|BV01|||20260310||{kind}|M{what}|P|{version}{fields}\n\
                     EVN||20260310\n{body}"
                );
                let name = format!("{version}-ack-{mode}-{what}");
                keep(all, &name, ask(&mut host, &message));
            };
            adt("accepted", "ADT^A08^ADT_A01", &format!("{PID}\nPV1|1|O\n"));
            adt("error", "ADT^A40^ADT_A39", &format!("{PID}\n"));
            adt("rejected", "SIU^S12^SIU_S12", "");
        }
    }
    let mut host = Bench::new();
    let raw = b"MSH|^~\\&|HIS|BV01|||20260310||OML^O21^OML_O21|M9|P|2.5.1\rPID|1||\xFF\r";
    keep(all, "2.5.1-ack-undecodable", host.hear(raw).replies);
    let not_stored = labwire_protocols::hl7::ack::Outcome::NotStored;
    let time = "20260310150000+0700";
    let unstored = crate::host::device_ack(raw, not_stored, "R1", time);
    keep(all, "2.5.1-ack-not-stored", unstored);
}

#[test]
fn every_kind_of_message_can_be_read_and_is_dumped_where_asked() {
    let all = every_kind();
    assert!(all.len() > 50, "{} kinds", all.len());
    for (name, bytes) in &all {
        let text = std::str::from_utf8(bytes).expect("UTF-8");
        let read = labwire_protocols::hl7::Message::parse(text);
        assert!(
            read.is_ok_and(|(_, notes)| notes.is_empty()),
            "{name}: {text}"
        );
    }
    let Some(folder) = std::env::var_os("LABWIRE_DUMP").map(PathBuf::from) else {
        return;
    };
    fs::create_dir_all(&folder).expect("the folder to dump to");
    for (name, bytes) in all {
        let path = folder.join(format!("{name}.hl7"));
        fs::write(path, bytes).expect("a file to dump to");
    }
}
