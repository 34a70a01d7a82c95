use std::collections::{BTreeMap, BTreeSet};

use labwire_drivers::{Certificate, TlsFiles};

use super::*;
use crate::store::nodes::NodeRow;

/// Where every metric has a sample.
fn view() -> View {
    let line = LineStatus {
        id: "xn\"1\\\n".to_owned(),
        phase: Phase::Connected,
        last_byte_utc_micros: Some(1_700_000_000_000_000),
        last_message_utc_micros: Some(1_700_000_000_000_000),
        ..LineStatus::default()
    };
    let mut moment = Moment {
        lines: vec![line],
        is_readable: true,
        now: 90_000_000,
        ..Moment::default()
    };
    moment.counts.queue.push(Open {
        destination: "his".to_owned(),
        state: "waiting".to_owned(),
        count: 7,
        oldest_at: 30_000_000,
    });
    moment.nodes.push(Listed {
        node: NodeRow {
            run: "LW1".to_owned(),
            name: "a".to_owned(),
            version: "0.1.0".to_owned(),
            started_at: 0,
            seen_at: 89_000_000,
            is_present: true,
        },
        units: vec![("line:xn-1".to_owned(), 1)],
    });
    let certificate = TlsStatus {
        owner: "console".to_owned(),
        certificate: Some(Certificate {
            not_after_utc_micros: 1_800_000_000_000_000,
            not_before_utc_micros: 0,
            fingerprint: String::new(),
        }),
        files: TlsFiles::default(),
        problem: None,
    };
    View {
        moment,
        health: Health::default(),
        backup: Some(backups::Last {
            at: 1_773_129_600_000_000,
            file: "labwire.age".to_owned(),
            bytes: 1_024,
            sha256: String::new(),
            is_encrypted: true,
        }),
        certificates: vec![certificate],
        is_live: true,
        is_ready: false,
    }
}

fn written() -> String {
    view().written()
}

/// A sample, taken apart.
#[derive(Debug)]
struct Read {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// One line of a sample, by the text format of Prometheus 0.0.4.
fn sample(line: &str) -> Option<Read> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        let mut letters = inner.char_indices();
        let mut begun = 0;
        let mut label = String::new();
        let mut text: Option<String> = None;
        loop {
            let (at, letter) = letters.next()?;
            match (&mut text, letter) {
                (Some(value), '\\') => match letters.next()?.1 {
                    'n' => value.push('\n'),
                    letter @ ('\\' | '"') => value.push(letter),
                    _ => return None,
                },
                (Some(value), '"') => {
                    labels.push((label.clone(), value.clone()));
                    text = None;
                    begun = at + 1;
                }
                (Some(_), '\n') => return None,
                (Some(value), letter) => value.push(letter),
                (None, '=') => label = inner.get(begun..at)?.to_owned(),
                (None, '"') => text = Some(String::new()),
                (None, ',') => begun = at + 1,
                (None, '}') => {
                    rest = inner.get(at + 1..)?;
                    break;
                }
                (None, _) => {}
            }
        }
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    let name = name.to_owned();
    Some(Read {
        name,
        labels,
        value,
    })
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_lowercase())
        && letters
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

/// What promtool looks at: order and form of lines, names, types, labels, units.
fn mistakes(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut kinds = BTreeMap::new();
    let (mut helped, mut present) = (String::new(), String::new());
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            helped = name.to_owned();
            if help.is_empty() || !is_name(name) || kinds.contains_key(name) {
                wrong.push(line.to_owned());
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
            present = name.to_owned();
            if name != helped || !["counter", "gauge"].contains(&kind) {
                wrong.push(line.to_owned());
            }
            if (kind == "counter") != name.ends_with("_total") {
                wrong.push(format!("{name} is a {kind}"));
            }
            let other_units = [
                "_ms", "_micros", "_minutes", "_hours", "_percent", "_mb", "_kb",
            ];
            if other_units.iter().any(|unit| name.contains(unit)) {
                wrong.push(format!("{name} has a unit that is no base unit"));
            }
            kinds.insert(name.to_owned(), kind.to_owned());
        } else {
            let read = sample(line);
            let is_right = read.as_ref().is_some_and(|read| {
                let labels = read.labels.iter();
                read.name == present
                    && read.value.is_finite()
                    && labels.clone().all(|(label, _)| is_name(label))
                    && seen.insert((read.name.clone(), read.labels.clone()))
            });
            if !is_right {
                wrong.push(line.to_owned());
            }
        }
    }
    if !text.ends_with('\n') {
        wrong.push("no line break at the end".to_owned());
    }
    wrong
}

#[test]
fn what_is_written_is_as_prometheus_reads_it() {
    let text = written();
    assert_eq!(mistakes(&text), Vec::<String>::new());
    let line = text
        .lines()
        .find(|line| line.starts_with("labwire_line_connected{"));
    let read = line.and_then(sample).expect("a sample");
    assert_eq!(read.labels, [("line".to_owned(), "xn\"1\\\n".to_owned())]);
    assert!(
        text.contains(
            "labwire_queue_oldest_age_seconds{destination=\"his\",state=\"waiting\"} 60\n"
        )
    );
    assert!(
        text.contains(
            "labwire_certificate_expires_timestamp_seconds{owner=\"console\"} 1800000000\n"
        )
    );
    assert!(text.contains("labwire_ready 0\n"));
}

#[test]
fn a_text_that_prometheus_would_refuse_is_found_to_be_one() {
    for (wrong, count) in [
        (
            "# HELP a_total A.\n# TYPE a_total counter\na_total 1\na_total 1\n",
            1,
        ),
        ("# HELP a A.\n# TYPE a counter\na 1\n", 1),
        ("# HELP a_ms A.\n# TYPE a_ms gauge\na_ms 1\n", 1),
        ("# HELP a A.\n# TYPE a gauge\na{b=\"\\x\"} 1\n", 1),
        ("# HELP a A.\n# TYPE a gauge\nb 1\n", 1),
        ("# HELP a A.\n# TYPE a gauge\na one\n", 1),
        ("a 1\n", 1),
    ] {
        assert_eq!(
            mistakes(wrong).len(),
            count,
            "{wrong}: {:?}",
            mistakes(wrong)
        );
    }
}

#[test]
fn nothing_is_counted_that_could_not_be_read() {
    let mut view = view();
    view.moment.is_readable = false;
    let text = view.written();
    assert!(text.contains("labwire_store_readable 0\n"), "{text}");
    for name in [
        "labwire_queue_open",
        "labwire_results_undecided",
        "labwire_alerts_open",
    ] {
        let has_sample = text.lines().any(|line| line.starts_with(name));
        assert!(!has_sample, "{name}");
    }
}

/// The rows of the table: name, type, labels; and whether it says when to worry.
fn documented() -> Vec<([String; 3], bool)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/METRICS.md");
    let text = std::fs::read_to_string(path).expect("the table is there");
    let rows = text.lines().filter(|line| line.starts_with("| `labwire_"));
    let cells = rows.map(|line| {
        line.trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect::<Vec<_>>()
    });
    cells
        .map(|cells| {
            let [name, kind, labels, meaning, worry] = cells.as_slice() else {
                panic!("five columns: {cells:?}")
            };
            let plain = |text: &str| text.replace(['`', '–'], "");
            let row = [name, kind, labels].map(|text| plain(text));
            (row, !meaning.is_empty() && !worry.is_empty())
        })
        .collect()
}

#[test]
fn every_metric_is_in_the_table_and_the_table_has_no_other() {
    let told: Vec<[String; 3]> = ALL
        .iter()
        .map(|metric| {
            [
                metric.name.to_owned(),
                metric.kind.to_owned(),
                metric.labels.join(", "),
            ]
        })
        .collect();
    let documented = documented();
    let rows: Vec<[String; 3]> = documented.iter().map(|(row, _)| row.clone()).collect();
    assert_eq!(rows, told);
    let silent: Vec<_> = documented.iter().filter(|(_, is_told)| !is_told).collect();
    assert!(silent.is_empty(), "{silent:?}");
    let written = written();
    for metric in ALL {
        let name = metric.name;
        let has_sample = written
            .lines()
            .filter_map(sample)
            .any(|read| read.name == name);
        assert!(has_sample, "{name} has no sample where there is everything");
    }
}
