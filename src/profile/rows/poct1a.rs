//! The rows of a POCT1-A message: the device that said hello, a row for each measurement and what it is
//! of, then one for each finding.

use std::{borrow::Cow, ops::Range};

use labwire_protocols::{
    charset::Charset,
    poct1a::{
        Body, Control, Message, Observation, Service, Value,
        message::{Coded, Device, Event},
        observation::{Material, Patient, Subject},
        read,
    },
};

use super::{Places, Role, Row, Rows};
use crate::profile::places::{POCT_HELLO, POCT_OBSERVATION, POCT_SERVICE};

/// Reads one message. What cannot be read safely is refused as a whole.
pub(super) fn read_rows<'a>(raw: &'a [u8], opening: Option<&[u8]>, charset: Charset) -> Rows<'a> {
    let (message, notes) = match read(raw) {
        Ok(read) => read,
        Err(error) => return Rows::refused(format!("{} {error}", error.code()), Vec::new(), raw),
    };
    let mut rows = vec![header(opening, charset)];
    rows.extend(rows_of(raw, &message, charset));
    let told = rows.iter().filter(|row| row.role == Role::Result).count();
    let is_hidden = tags(raw) > told;
    Rows {
        rows,
        notes,
        is_whole: true,
        refused: is_hidden.then(|| (HIDDEN.to_owned(), 0..raw.len())),
    }
}

const HIDDEN: &str = "an observation stands where none is known";

/// How many elements `OBS` a message has, wherever they stand: none of them may go unmentioned.
fn tags(raw: &[u8]) -> usize {
    let opens = |window: &&[u8]| {
        let after = window.strip_prefix(b"<OBS");
        after.is_some_and(|after| matches!(after, [b'>' | b'/' | b' ' | b'\t' | b'\r' | b'\n']))
    };
    raw.windows(5).filter(opens).count()
}

/// The device of the conversation, as far as it said who it is.
fn header<'a>(opening: Option<&[u8]>, charset: Charset) -> Row<'a> {
    let hello = opening.and_then(|opening| read(opening).ok());
    let places = match hello.as_ref().map(|(message, _)| &message.body) {
        Some(Body::Hello(device)) => of_device(device),
        _ => Places::new(),
    };
    Row::of_owned(Role::Header, &POCT_HELLO, 0..0, &places, charset)
}

fn of_device<'m>(device: &Device<'m>) -> Places<'m> {
    vec![
        one(device.id),
        one(device.name),
        one(device.vendor),
        one(device.model),
        one(device.serial),
        one(device.software),
    ]
}

fn one(value: Option<Value<'_>>) -> Vec<Cow<'_, [u8]>> {
    value.into_iter().map(|value| value.unescaped()).collect()
}

fn all<'m>(values: &[Value<'m>]) -> Vec<Cow<'m, [u8]>> {
    values.iter().map(Value::unescaped).collect()
}

fn said(text: &'static str) -> Vec<Cow<'static, [u8]>> {
    vec![Cow::Borrowed(text.as_bytes())]
}

fn code_of<'m>(coded: Option<Coded<'m>>) -> Option<Value<'m>> {
    coded.map(|coded| coded.value)
}

/// Who is there, what is new and that it ends say nothing by themselves.
fn rows_of<'a>(raw: &'a [u8], message: &Message<'a>, charset: Charset) -> Vec<Row<'a>> {
    match &message.body {
        Body::Observations(services) => of_services(raw, services, charset),
        Body::Events(events) => events
            .iter()
            .map(|event| told(raw, of_event(event), charset))
            .collect(),
        Body::Hello(_)
        | Body::Status(_)
        | Body::Acknowledgement(_)
        | Body::EndOfTopic(_)
        | Body::End(_)
        | Body::Escape(_)
        | Body::KeepAlive => Vec::new(),
        // In a capture the requests of the data manager stand beside what they brought.
        Body::Request(request) if request.code.is_some_and(is_of_host) => Vec::new(),
        Body::Request(request) => vec![named(raw, message, request.code, charset)],
        Body::Directive(command) => vec![named(raw, message, *command, charset)],
        Body::Other => vec![named(raw, message, None, charset)],
    }
}

fn is_of_host(code: Value<'_>) -> bool {
    matches!(code.raw(), b"ROBS" | b"RDEV")
}

/// A message by its name and what it asks for; the rest may name people.
fn named<'a>(
    raw: &[u8],
    message: &Message<'_>,
    code: Option<Value<'_>>,
    charset: Charset,
) -> Row<'a> {
    let code = code.map(|code| code.unescaped()).unwrap_or_default();
    let text = [message.name, &*code].join(&b' ');
    told(raw, text.trim_ascii().to_vec(), charset)
}

/// Severity, what happened, and when.
fn of_event(event: &Event<'_>) -> Vec<u8> {
    let texts = [event.severity, event.description, event.time].into_iter();
    let texts: Vec<_> = texts.flatten().map(|text| text.unescaped()).collect();
    texts.join(&b' ')
}

fn told<'a>(raw: &[u8], text: Vec<u8>, charset: Charset) -> Row<'a> {
    let whole: &[&[u8]] = &[&text];
    Row::of_places(Role::Manufacturer, "", 0..raw.len(), &[whole], charset)
}

fn of_services<'a>(raw: &[u8], services: &[Service<'a>], charset: Charset) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    let mut from = 0;
    for service in services {
        for group in &service.groups {
            let first = group.observations.first().map(|one| one.span.start);
            let start = first.unwrap_or(raw.len());
            let span = from.min(start)..start;
            let places = of_service(service, &group.subject);
            rows.push(Row::of_owned(
                Role::Order,
                &POCT_SERVICE,
                span,
                &places,
                charset,
            ));
            let findings = group.observations.iter();
            rows.extend(findings.map(|finding| of_finding(finding, charset)));
            from = group.observations.last().map_or(from, |last| last.span.end);
        }
        if service.groups.is_empty() {
            let (places, span) = (of_service(service, &Subject::None), from..raw.len());
            rows.push(Row::of_owned(
                Role::Order,
                &POCT_SERVICE,
                span,
                &places,
                charset,
            ));
        }
    }
    rows
}

fn of_service<'m>(service: &Service<'m>, subject: &Subject<'m>) -> Places<'m> {
    let is_calibration = service.role.is_some_and(|role| role.raw() == b"CAL");
    let (kind, doubt) = match service.control() {
        Control::No => ("result", ""),
        Control::Yes if is_calibration => ("calibration", ""),
        Control::Yes => ("control", ""),
        Control::Doubtful => ("result", "control?"),
    };
    let (patient, control) = match subject {
        Subject::Patient(patient) => (Some(patient), None),
        Subject::Control(control) => (None, Some(control)),
        Subject::None => (None, None),
    };
    let of_patient = |place: fn(&Patient<'m>) -> Option<Value<'m>>| one(patient.and_then(place));
    let of_control = |place: fn(&Material<'m>) -> Option<Value<'m>>| one(control.and_then(place));
    vec![
        said(kind),
        one(service.role),
        time(service.time),
        one(service.status),
        one(service.reason),
        one(service.operator),
        one(service.order.and_then(|order| order.id)),
        one(code_of(service.order.and_then(|order| order.service))),
        of_patient(|patient| patient.id),
        of_patient(|patient| patient.location),
        of_patient(|patient| patient.name),
        time(patient.and_then(|patient| patient.birth_date)),
        of_patient(|patient| patient.gender),
        of_control(|control| control.name),
        of_control(|control| control.lot),
        of_control(|control| code_of(control.level)),
        one(service.reagent.and_then(|reagent| reagent.name)),
        one(service.reagent.and_then(|reagent| reagent.lot)),
        all(&service.notes),
        said(doubt),
    ]
}

fn of_finding<'a>(finding: &Observation<'a>, charset: Charset) -> Row<'a> {
    let number = finding.value.filter(|number| !number.value.is_blank());
    let words = code_of(finding.qualitative);
    // Words in place of a number are the value; beside one they are a remark.
    let (value, beside) = match number {
        Some(number) => (Some(number.value), words),
        None => (words, None),
    };
    let places = vec![
        one(Some(finding.id.value)),
        one(finding.id.name),
        one(finding.id.system),
        one(value),
        one(number.and_then(|number| number.unit)),
        one(beside),
        one(finding.method),
        one(finding.status),
        one(finding.interpretation),
        time(finding.time),
        one(finding.normal),
        one(finding.critical),
        all(&finding.notes),
    ];
    let span: Range<usize> = finding.span.clone();
    Row::of_owned(Role::Result, &POCT_OBSERVATION, span, &places, charset)
}

/// As other devices write a time; what is none stays as it is.
fn time(value: Option<Value<'_>>) -> Vec<Cow<'_, [u8]>> {
    let sent = one(value);
    let text = sent.first().and_then(|sent| std::str::from_utf8(sent).ok());
    match text.and_then(|text| written(text.trim())) {
        Some(written) => vec![Cow::Owned(written.into_bytes())],
        None => sent,
    }
}

/// `20190222110244+0700` of `2019-02-22T11:02:44+07:00`. By RFC 3339 (4.3) `-00:00` says that the zone is
/// not known.
fn written(text: &str) -> Option<String> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut written = digits(date, '-', &[4, 2, 2])?;
    if rest.is_empty() {
        return Some(written);
    }
    let rest = rest.strip_prefix('T')?;
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let clock = digits(clock, ':', &[2, 2, 2]).or_else(|| digits(clock, ':', &[2, 2]))?;
    written.push_str(&clock);
    if !fraction.is_empty() {
        written.push('.');
        written.push_str(&digits(fraction, '.', &[fraction.len()])?);
    }
    match zone {
        "" | "-00:00" => {}
        "Z" => written.push_str("+0000"),
        _ => {
            let (sign, offset) = zone.split_at_checked(1)?;
            written.push_str(sign);
            written.push_str(&digits(offset, ':', &[2, 2])?);
        }
    }
    Some(written)
}

/// Groups of so many digits each, joined.
fn digits(text: &str, mark: char, lengths: &[usize]) -> Option<String> {
    let groups: Vec<&str> = text.split(mark).collect();
    let is_group = |(group, length): (&&str, &usize)| {
        group.len() == *length && group.bytes().all(|byte| byte.is_ascii_digit())
    };
    let fits = groups.len() == lengths.len() && groups.iter().zip(lengths).all(is_group);
    fits.then(|| groups.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_other_devices_write_them() {
        let check = |sent: &str, expected: Option<&str>| {
            assert_eq!(written(sent).as_deref(), expected, "{sent}");
        };
        check("2019-02-22T11:02:44+07:00", Some("20190222110244+0700"));
        check("2019-02-22T11:02:44.25Z", Some("20190222110244.25+0000"));
        check("2019-02-22T11:02:44-00:00", Some("20190222110244"));
        check("2019-02-22T11:02", Some("201902221102"));
        check("1956-01-02", Some("19560102"));
        for odd in [
            "",
            "20190222110244",
            "2019-2-22",
            "2019-02-22 11:02",
            "2019-02-22Té:02",
        ] {
            check(odd, None);
        }
    }
}
