//! One result record or segment.

use std::borrow::Cow;

use jiff::{
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use labwire_protocols::hl7::time::{Precision, Timestamp};

use super::{Decoder, Entry, Parent, context::trim};
use crate::{
    model::{
        Absent, DeviceEvent, Item, Observation, ObservationKind, PatientSeen, Private,
        ResultStatus, Sex, SpecimenRead, Value, WallTime,
    },
    profile::{
        FieldPath, IgnoreRule, KindRule, TestRule, defaults,
        definition::ASPECT_MARK,
        rows::{Row, is_undecodable, shorten, show},
        value::{self, Reading},
    },
};

impl Decoder<'_> {
    /// Exactly one item for the result row in force.
    pub(super) fn result(&mut self, row: &Row<'_>) {
        let code = self.code();
        let profile = &self.line.profile;
        let ignored = profile
            .ignore
            .iter()
            .find(|rule| self.is_ignored(rule, &code));
        let entry = match ignored {
            Some(rule) => self.ignored(rule, &code, row),
            None => Entry {
                item: Item::Observation(Box::new(self.observation(code, row, None))),
                group: self.group.number,
                taints: self.own_taint(row),
            },
        };
        let is_told = matches!(entry.item, Item::Observation(_));
        self.entries.push(entry);
        self.parent = Parent::Entry(self.entries.len().saturating_sub(1));
        if is_told {
            self.parts(row);
        }
    }

    /// The further results that the row in force says in its value.
    fn parts(&mut self, row: &Row<'_>) {
        let code = self.code();
        let profile = &self.line.profile;
        let said: Vec<Entry> = profile
            .parts
            .iter()
            .filter(|part| part.when.is_empty() || self.context.any(&part.when))
            .filter(|part| !self.context.plain(&part.value, " ").is_empty())
            .map(|part| {
                let code = format!("{code}{ASPECT_MARK}{}", part.aspect);
                let own = Some(&part.value);
                Entry {
                    item: Item::Observation(Box::new(self.observation(code, row, own))),
                    group: self.group.number,
                    taints: None,
                }
            })
            .collect();
        self.entries.extend(said);
    }

    /// The code, cut out of its field, with the aspect where that is not a plain one.
    fn code(&self) -> String {
        let rules = &self.line.profile.result;
        let text = self.context.text(&rules.code, &rules.padding);
        let code = rules.piece(&text, rules.code_piece).unwrap_or(&text);
        let aspect = self.context.text(&rules.aspect, &rules.padding);
        if aspect.is_empty() || rules.plain_aspects.contains(&aspect) {
            return code.to_owned();
        }
        format!("{code}{ASPECT_MARK}{aspect}")
    }

    /// Dilution as sent, unless it is none.
    fn dilution(&self) -> Option<String> {
        let rules = &self.line.profile.result;
        let text = self.context.text(&rules.code, &rules.padding);
        // A text that is the code as a whole has no pieces beside it.
        let is_cut = rules.piece(&text, rules.code_piece).is_some();
        let pieces = rules.dilution_pieces.iter().filter(|_| is_cut);
        let pieces = pieces.filter_map(|number| rules.piece(&text, *number).map(str::to_owned));
        let own = rules.dilution.iter();
        own.filter_map(|path| self.some(std::slice::from_ref(path)))
            .chain(pieces)
            .find(|text| !text.is_empty() && !self.is_no_dilution(text))
    }

    fn is_ignored(&self, rule: &IgnoreRule, code: &str) -> bool {
        rule.code
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(code))
            && (rule.when.is_empty() || self.context.any(&rule.when))
    }

    fn ignored(&self, rule: &IgnoreRule, code: &str, row: &Row<'_>) -> Entry {
        let field = self
            .line
            .profile
            .result
            .text
            .as_ref()
            .map_or("", |path| row.get(path));
        Entry {
            item: Item::Device(DeviceEvent {
                code: rule.event.clone(),
                text: shorten(format!("{code} {}", show(field)).trim()),
                specimen: self.specimen_id(),
                span: row.span.clone(),
            }),
            group: self.group.number,
            taints: self.context.any(&rule.holds_when).then(|| code.to_owned()),
        }
    }

    /// The row in force as an observation; `part` is where the value stands if it is a part of it.
    fn observation(&self, code: String, row: &Row<'_>, part: Option<&FieldPath>) -> Observation {
        let profile = &self.line.profile;
        let rules = &profile.result;
        let kind = self.kind();
        let qualifiers: Vec<String> = rules
            .qualifiers
            .iter()
            .map(|path| show(&self.context.plain(path, " ")))
            .collect();
        let rule = self.line.rule(&code, &qualifiers);
        let test = self.line.test(&code, rule);
        let field = part
            .or(rules.text.as_ref())
            .map_or("", |path| self.context.raw(path));
        let mut notes = Vec::new();
        let value = self.value(test.as_deref(), rule, (row, part), &mut notes);
        let unit = self.context.text(&rules.unit, &rules.padding);
        Observation {
            kind,
            specimen: self.specimen(),
            patient: self.patient(),
            qualifiers,
            about: self.some(&rules.about),
            text: show(field),
            value,
            ucum: self.ucum(test.as_deref(), rule, &unit),
            unit,
            range: self.context.text(&rules.range, ""),
            flags: self.flags(),
            status: self.status(),
            status_sent: self.context.text(&rules.status, " "),
            run: self.some(&rules.run),
            dilution: self.dilution(),
            operator: self.context.text(&rules.operator, " "),
            instrument: self
                .some(&rules.instrument)
                .unwrap_or_else(|| self.line.settings.line.clone()),
            completed: self.some(&rules.completed).map(|sent| self.wall_time(sent)),
            comments: self
                .group
                .comments
                .iter()
                .map(|(text, _)| text.clone())
                .chain(self.own_comments(row))
                .chain(self.lot(kind))
                .collect(),
            control: self.control(kind),
            supersedes: self.context.any(&rules.supersedes),
            span: row.span.clone(),
            // The full list is made when the whole message was read; this one needs the row.
            holds: if is_undecodable(&row.text) {
                vec![super::hold::undecodable()]
            } else {
                vec![]
            },
            notes,
            code,
            test,
        }
    }

    fn kind(&self) -> ObservationKind {
        let profile = &self.line.profile;
        if self.context.any(&profile.qc.when) {
            ObservationKind::Control
        } else if self.context.any(&profile.calibration.when) {
            ObservationKind::Calibration
        } else {
            ObservationKind::Patient
        }
    }

    fn control(&self, kind: ObservationKind) -> Option<String> {
        self.some(&self.kind_rule(kind)?.control)
    }

    fn lot(&self, kind: ObservationKind) -> Option<String> {
        let lot = self.some(&self.kind_rule(kind)?.lot)?;
        Some(shorten(&format!("lot {lot}")))
    }

    fn kind_rule(&self, kind: ObservationKind) -> Option<&KindRule> {
        match kind {
            ObservationKind::Patient => None,
            ObservationKind::Control => Some(&self.line.profile.qc),
            ObservationKind::Calibration => Some(&self.line.profile.calibration),
        }
    }

    fn some(&self, paths: &[FieldPath]) -> Option<String> {
        Some(self.context.text(paths, " ")).filter(|text| !text.is_empty())
    }

    /// The tube in force, as far as the device named it.
    pub(super) fn specimen(&self) -> Option<SpecimenRead> {
        let rules = &self.line.profile.specimen;
        let rack = self.context.text(&rules.rack, " ");
        let position = self.context.text(&rules.position, " ");
        let paths = rules.id.iter();
        let sent = paths.map(|path| (path, self.context.plain(path, &rules.padding)));
        let is_read = !self.context.any(&rules.unread_when);
        let found = sent.into_iter().find(|(_, id)| {
            is_read && !id.is_empty() && !rules.unread.iter().any(|made_up| made_up.holds(id))
        });
        match found {
            Some((path, id)) => Some(SpecimenRead {
                sent: show(self.context.raw(path)),
                id: show(&id),
                rack,
                position,
            }),
            None if rack.is_empty() && position.is_empty() => None,
            None => Some(SpecimenRead {
                sent: String::new(),
                id: String::new(),
                rack,
                position,
            }),
        }
    }

    fn patient(&self) -> PatientSeen {
        let rules = &self.line.profile.patient;
        let birth = self.context.text(&rules.birth, " ");
        PatientSeen {
            ids: self
                .context
                .all(&rules.ids, " ")
                .into_iter()
                .map(Private::new)
                .collect(),
            name: Private::new(self.context.text(&rules.name, " ")),
            birth: Private::new(whole_date(&birth)),
            sex: Sex::from_code(&self.context.text(&rules.sex, " ")),
        }
    }

    /// All flags, every repeat, without what the profile says is no flag.
    fn flags(&self) -> Vec<String> {
        let rules = &self.line.profile.result;
        let mut flags = self.context.all(&rules.flags, &rules.padding);
        flags.retain(|flag| !self.line.profile.ignored_flags.contains(flag));
        flags
    }

    /// The status of the result, or of its whole report where that is less final.
    fn status(&self) -> ResultStatus {
        let profile = &self.line.profile;
        let of = |code: &str| {
            profile
                .statuses
                .get(code)
                .copied()
                .unwrap_or(ResultStatus::NotFinal)
        };
        let codes = self.context.all(&profile.result.status, " ");
        let own = match codes.as_slice() {
            [] => of(""),
            // `F\R`: final, and sent before. One that is not final decides for all.
            [first, ..] => codes
                .iter()
                .map(|code| of(code))
                .find(|status| *status != ResultStatus::Final)
                .unwrap_or_else(|| of(first)),
        };
        let report = self.context.text(&profile.result.report_type, " ");
        match (own, defaults::report_status(&report)) {
            (ResultStatus::Final | ResultStatus::Retransmission, Some(status)) => status,
            _ => own,
        }
    }

    fn is_no_dilution(&self, text: &str) -> bool {
        let is_one = |text: &str| matches!(text, "1" | "1.0" | "1.00" | "1:1");
        is_one(text)
            || self
                .line
                .profile
                .result
                .no_dilution
                .iter()
                .any(|none| none == text)
    }

    fn ucum(&self, test: Option<&str>, rule: Option<&TestRule>, unit: &str) -> Option<String> {
        let by_rule = rule.and_then(|rule| rule.units.get(unit));
        let same = || {
            let own = test.and_then(|test| self.catalogue?.unit(test));
            own.filter(|own| *own == unit && !unit.is_empty())
                .map(str::to_owned)
        };
        let by_profile = || test.and_then(|_| self.line.profile.units.get(unit));
        by_rule.or_else(by_profile).cloned().or_else(same)
    }

    fn value(
        &self,
        test: Option<&str>,
        rule: Option<&TestRule>,
        (row, part): (&Row<'_>, Option<&FieldPath>),
        notes: &mut Vec<String>,
    ) -> Value {
        let rules = &self.line.profile.result;
        let paths = part.map_or(rules.value.as_slice(), std::slice::from_ref);
        let sent = paths.iter().map(|path| (path, row.get(path)));
        let filled = |raw: &str| !trim(raw, &rules.padding).is_empty();
        let first = sent.clone().next();
        let Some((path, raw)) = sent.into_iter().find(|(_, raw)| filled(raw)).or(first) else {
            return Value::Absent { why: Absent::Empty };
        };
        let typed = typed_segment(row, path, raw);
        let is_kept = |value: &Value| !rules.is_text || matches!(value, Value::Image { .. });
        if let Some(value) = typed.filter(is_kept) {
            return value;
        }
        let mut found = Vec::new();
        let text = row.plain(raw, &mut found);
        notes.extend(found.iter().map(|note| note.code.to_owned()));
        let text: Cow<'_, str> = Cow::Owned(show(trim(&text, &rules.padding)));
        let reading = Reading {
            decimal_comma: rules.decimal_comma,
            is_text: rules.is_text,
            absent: &rules.absent,
            over_range: &rules.over_range,
        };
        let code_of = |text: &str| {
            let by_rule = rule.and_then(|rule| value::coded(&rule.coded, text));
            by_rule
                .or_else(|| self.catalogue?.coded(test?, text))
                .or_else(|| value::coded(&rules.coded, text))
        };
        reading.value(&text, code_of, notes)
    }

    /// A device's wall time, with the instant where it is whole and the line has a zone.
    fn wall_time(&self, sent: String) -> WallTime {
        let utc = instant(&sent, self.line.settings.zone.as_ref());
        WallTime { sent, utc }
    }
}

/// OBX-2 says what OBX-5 is where that changes how it is read: SN and ED.
fn typed_segment(row: &Row<'_>, path: &FieldPath, raw: &str) -> Option<Value> {
    if !row.is("OBX") || path.component.is_some() {
        return None;
    }
    let component = |n: usize| {
        let path = FieldPath {
            component: Some(n),
            ..path.clone()
        };
        row.get(&path)
    };
    match row.field(2) {
        "SN" if !raw.is_empty() => {
            let parts: Vec<&str> = (1..=5).map(component).collect();
            value::structured(parts.strip_suffix(&[""])?)
        }
        "ED" if !component(5).is_empty() => Some(Value::Image {
            media_type: format!("{}/{}", component(2), component(3)).to_lowercase(),
            at: {
                let span = row.span_of(component(5));
                (span.start, span.len())
            },
        }),
        _ => None,
    }
}

/// `YYYYMMDD` of a date that is whole and not the zero date of Delphi programs.
fn whole_date(text: &str) -> String {
    let digits = text
        .get(..8)
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let is_real = Timestamp::parse(text).is_ok_and(|time| time.day.is_some());
    digits
        .filter(|date| is_real && *date != "18991230")
        .unwrap_or_default()
        .to_owned()
}

/// Microseconds since 1970 of a time that is whole to the minute.
pub(super) fn instant(text: &str, zone: Option<&TimeZone>) -> Option<i64> {
    let time = Timestamp::parse(text).ok()?;
    let is_whole = matches!(
        time.precision(),
        Precision::Minute | Precision::Second | Precision::Fraction
    );
    // Programs write day zero (1899-12-30, 1970-01-01) where they have no time.
    if !is_whole || time.year < 1971 {
        return None;
    }
    let part = |part: Option<u8>| part.and_then(|part| i8::try_from(part).ok());
    let civil = DateTime::new(
        i16::try_from(time.year).ok()?,
        part(time.month)?,
        part(time.day)?,
        part(time.hour)?,
        part(time.minute)?,
        part(time.second).unwrap_or(0),
        nanoseconds(time.fraction),
    )
    .ok()?;
    let zone = match time.offset_minutes {
        Some(minutes) => TimeZone::fixed(Offset::from_seconds(i32::from(minutes) * 60).ok()?),
        None => zone?.clone(),
    };
    Some(zone.to_timestamp(civil).ok()?.as_microsecond())
}

fn nanoseconds(fraction: &str) -> i32 {
    format!("{fraction:0<9}")
        .get(..9)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}
