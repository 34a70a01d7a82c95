//! One object a line for what a message says: the format of `labwire replay --json`.

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::Decoded;
use crate::model::{
    ImageSeen, ImageSource, Item, Observation, ObservationKind, Query, QueryAction, QuerySubject,
    ResultStatus, SpecimenRead, Value,
};

/// The keys of a line, in the order in which they are written.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Line {
    kind: &'static str,
    specimen: Option<String>,
    code: Option<String>,
    test: Option<String>,
    text: String,
    unit: String,
    flags: Vec<String>,
    status: Option<&'static str>,
    measured_at: Option<String>,
    held: Option<&'static str>,
    notes: Vec<String>,
    /// Not written to lines; what an example may expect besides.
    #[serde(skip)]
    more: Map<String, Json>,
}

/// The lines of a decoded message. Notes on the message as a whole stand on its first line.
pub fn json_lines(decoded: &Decoded) -> Vec<String> {
    // A struct of texts always serialises.
    lines(decoded)
        .iter()
        .filter_map(|line| serde_json::to_string(line).ok())
        .collect()
}

pub(super) fn lines(decoded: &Decoded) -> Vec<Line> {
    let mut lines: Vec<Line> = decoded.items.iter().flat_map(of_item).collect();
    if let Some(first) = lines.first_mut() {
        let mut notes: Vec<String> = Vec::new();
        for code in decoded.notes.iter().map(|note| note.code) {
            if !notes.iter().any(|known| known == code) {
                notes.push(code.to_owned());
            }
        }
        first.notes.splice(0..0, notes);
    }
    lines
}

impl Line {
    /// What an example may name, by key.
    pub(super) fn keys(&self) -> Map<String, Json> {
        let mut keys = object(serde_json::to_value(self).unwrap_or_default());
        keys.extend(self.more.clone());
        keys
    }
}

fn object(value: Json) -> Map<String, Json> {
    if let Json::Object(map) = value {
        map
    } else {
        Map::new()
    }
}

fn of_item(item: &Item) -> Vec<Line> {
    match item {
        Item::Observation(observation) => vec![of_observation(observation)],
        Item::Image(image) => vec![of_image(image)],
        Item::Query(query) => of_query(query),
        Item::Device(event) => vec![Line {
            kind: "device",
            specimen: event.specimen.clone(),
            code: Some(event.code.clone()),
            text: event.text.clone(),
            ..Line::default()
        }],
        Item::Incomplete(incomplete) => {
            vec![Line {
                kind: "incomplete",
                text: incomplete.why.clone(),
                ..Line::default()
            }]
        }
    }
}

/// A picture: its field as sent, and in words what it was found to be.
fn of_image(image: &ImageSeen) -> Line {
    let (found, bytes) = match &image.source {
        ImageSource::Bytes(own) => (own.media_type(), Some(own.bytes.len())),
        ImageSource::File(name) => (name.as_str(), None),
        ImageSource::Unreadable(fault) => (fault.code(), None),
    };
    let more = json!({
        "declared": image.declared,
        "found": found,
        "bytes": bytes,
        "source": match image.source {
            ImageSource::Bytes(_) => "message",
            ImageSource::File(_) => "file",
            ImageSource::Unreadable(_) => "unreadable",
        },
        "of": if image.kind == ObservationKind::Patient { "result" } else { "qc" },
    });
    let tube = image.specimen.as_ref();
    Line {
        kind: "image",
        specimen: tube.map(|tube| tube.id.clone()).filter(|id| !id.is_empty()),
        code: Some(image.code.clone()),
        text: image.text.clone(),
        more: object(more),
        ..Line::default()
    }
}

fn of_observation(observation: &Observation) -> Line {
    let specimen = observation.specimen.as_ref();
    let part = |part: fn(&SpecimenRead) -> &String| specimen.map(part).cloned();
    let more = json!({
        "value": value_kind(&observation.value),
        "is_calibration": observation.kind == ObservationKind::Calibration,
        "qualifiers": observation.qualifiers,
        "about": observation.about,
        "comments": observation.comments,
        "range": observation.range,
        "run": observation.run,
        "dilution": observation.dilution,
        "instrument": observation.instrument,
        "operator": observation.operator,
        "control": observation.control,
        "lot": observation.lot,
        "level": observation.level,
        "supersedes": observation.supersedes,
        "rack": part(|specimen| &specimen.rack),
        "position": part(|specimen| &specimen.position),
        "holds": observation.holds.iter().map(|hold| hold.reason.code()).collect::<Vec<_>>(),
    });
    Line {
        kind: if observation.kind == ObservationKind::Patient {
            "result"
        } else {
            "qc"
        },
        specimen: part(|specimen| &specimen.id).filter(|id| !id.is_empty()),
        code: Some(observation.code.clone()),
        test: observation.test.clone(),
        text: observation.text.clone(),
        unit: observation
            .ucum
            .clone()
            .unwrap_or_else(|| observation.unit.clone()),
        flags: observation.flags.clone(),
        status: Some(status(observation.status)),
        measured_at: observation.completed.as_ref().map(|time| time.sent.clone()),
        held: observation.holds.first().map(|hold| hold.reason.code()),
        notes: observation.notes.clone(),
        more: object(more),
    }
}

/// One line for each tube that was asked for.
fn of_query(query: &Query) -> Vec<Line> {
    let line = |tube: Option<&SpecimenRead>, text: &str| {
        let mut more = Map::new();
        for (name, text) in &query.echo {
            more.insert(format!("echo.{name}"), json!(text));
        }
        if let Some(tube) = tube {
            more.insert("rack".to_owned(), json!(tube.rack));
            more.insert("position".to_owned(), json!(tube.position));
        }
        Line {
            kind: "query",
            specimen: tube.map(|tube| tube.id.clone()).filter(|id| !id.is_empty()),
            code: (!query.codes.is_empty()).then(|| query.codes.join(" ")),
            text: text.to_owned(),
            status: Some(match query.action {
                QueryAction::Ask => "ask",
                QueryAction::AskMore => "ask-more",
                QueryAction::Cancel => "cancel",
            }),
            more,
            ..Line::default()
        }
    };
    match &query.subject {
        QuerySubject::All => vec![line(None, "ALL")],
        QuerySubject::Range(first, last) => vec![line(None, &format!("{first}..{last}"))],
        QuerySubject::Specimens(tubes) if tubes.is_empty() => vec![line(None, "")],
        QuerySubject::Specimens(tubes) => tubes
            .iter()
            .map(|tube| line(Some(tube), &tube.sent))
            .collect(),
    }
}

/// HL7 table 0085, the part that Labwire decides.
const fn status(status: ResultStatus) -> &'static str {
    match status {
        ResultStatus::Final | ResultStatus::Retransmission => "F",
        ResultStatus::NotFinal => "P",
        ResultStatus::Correction => "C",
        ResultStatus::CannotBeDone => "X",
    }
}

/// The typed value as an example writes it: its kind and what it holds.
fn value_kind(value: &Value) -> String {
    match value {
        Value::Quantity { comparator, number } => {
            let sign = comparator.map_or("", crate::model::Comparator::as_str);
            format!("number {sign}{number}")
        }
        Value::Coded { code } => format!("code {code}"),
        Value::Text { .. } => "text".to_owned(),
        Value::Titre { denominator } => format!("titre 1:{denominator}"),
        Value::Ratio {
            numerator,
            denominator,
        } => format!("ratio {numerator}:{denominator}"),
        Value::Image { media_type, .. } => format!("image {media_type}"),
        Value::Absent { .. } => "absent".to_owned(),
    }
}
