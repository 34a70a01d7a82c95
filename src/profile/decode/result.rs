//! One result record or segment.

use std::borrow::Cow;

use jiff::{
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use labwire_protocols::hl7::time::{Precision, Timestamp};

use super::{Decoder, Entry, Parent};
use crate::{
    model::{Absent, DeviceEvent, Item, Observation, ResultStatus, Value, WallTime},
    profile::{
        FieldPath, IgnoreRule, Pattern, TestRule, defaults,
        definition::ASPECT_MARK,
        fields::trim,
        rows::{Row, shorten, show, shown},
        value::{self, Reading},
    },
};

impl<'a> Decoder<'a> {
    /// Exactly one item for the result row in force.
    pub(super) fn result(&mut self, row: &Row<'_>) {
        self.share();
        let code = self.code();
        self.name_control(&code, row);
        if let Some(entry) = self.image(&code, row) {
            self.entries.push(entry);
            self.parent = Parent::Entry(self.entries.len().saturating_sub(1));
            return;
        }
        let line = self.line;
        let rules = line.profile.ignore.iter();
        let entry = match rules.into_iter().find(|rule| self.is_ignored(rule, &code)) {
            Some(rule) => self.ignored(rule, &code, row),
            None => Entry {
                taints: self.own_taint(row),
                edits: self.own_edit(row),
                ..self.observation(code, row, None)
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
        let line = self.line;
        if line.profile.parts.is_empty() {
            return;
        }
        let code = self.code();
        for part in &line.profile.parts {
            let counts = part.when.is_empty() || self.context.any(&part.when);
            if counts && !self.context.plain(&part.value, " ").is_empty() {
                let code = format!("{code}{ASPECT_MARK}{}", part.aspect);
                let own = self.observation(code, row, Some(&part.value));
                self.entries.push(Entry {
                    taints: None,
                    edits: None,
                    ..own
                });
            }
        }
    }

    /// The code, cut out of its field, with the aspect where that is not a plain one.
    fn code(&self) -> String {
        let rules = &self.line.profile.result;
        let text = self.context.text(&rules.code, &rules.padding);
        let aspect = self.context.text(&rules.aspect, &rules.padding);
        let is_whole = rules.cut_at.is_empty() && rules.code_piece == 1;
        let code = if is_whole {
            text
        } else {
            let piece = rules.piece(&text, rules.code_piece);
            Cow::Owned(piece.unwrap_or(&text).to_owned())
        };
        if aspect.is_empty() || rules.plain_aspects.contains(&*aspect) {
            return code.into_owned();
        }
        format!("{code}{ASPECT_MARK}{aspect}")
    }

    /// Dilution as sent, unless it is none.
    fn dilution(&self) -> Option<String> {
        let rules = &self.line.profile.result;
        if rules.dilution.is_empty() && rules.dilution_pieces.is_empty() {
            return None;
        }
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

    /// What a row of an order of controls says of the material, where it is not a result of it.
    fn name_control(&mut self, code: &str, row: &Row<'_>) {
        let line = self.line;
        let Some(rule) = self.kind_rule(self.shared.kind) else {
            return;
        };
        let is = |pattern: &Option<Pattern>| pattern.as_ref().is_some_and(|own| own.is_match(code));
        let (is_lot, is_level) = (is(&rule.lot_code), is(&rule.level_code));
        if !is_lot && !is_level {
            return;
        }
        let rules = &line.profile.result;
        let path = rules.value.iter().find(|path| !row.get(path).is_empty());
        let text = path.map(|path| self.context.plain(path, &rules.padding));
        let text = shorten(&show(&text.unwrap_or_default()));
        let found = (
            is_lot.then(|| rule.lot_of(&text)),
            is_level.then(|| rule.level_of(&text)),
        );
        let named = self.named.entry(self.group.number).or_default();
        named.0 = found.0.flatten().or(named.0.take());
        named.1 = found.1.flatten().or(named.1.take());
    }

    fn is_ignored(&self, rule: &IgnoreRule, code: &str) -> bool {
        rule.code
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(code))
            && (rule.when.is_empty() || self.context.any(&rule.when))
    }

    fn ignored(&self, rule: &IgnoreRule, code: &str, row: &Row<'_>) -> Entry<'a> {
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
            rule: None,
            unit: None,
            edits: None,
        }
    }

    /// The row in force as an observation; `part` is where the value stands if it is a part of it.
    fn observation(&mut self, code: String, row: &Row<'_>, part: Option<&FieldPath>) -> Entry<'a> {
        let line = self.line;
        let rules = &line.profile.result;
        let completed = self.completed();
        let qualifiers: Vec<String> = rules
            .qualifiers
            .iter()
            .map(|path| shown(self.context.plain(path, " ")).into_owned())
            .collect();
        let rule = line.rule(&code, &qualifiers);
        let test = line.test(&code, rule);
        let field = part
            .or(rules.text.as_ref())
            .map_or("", |path| self.context.raw(path));
        let own_unit = self.unit_of(test.as_deref());
        let mut notes = Vec::new();
        let value = self.value(test.as_deref(), rule, (row, part), &mut notes);
        let unit = self.context.text(&rules.unit, &rules.padding);
        let learned = || test.as_ref().and(line.learned_unit(&code, &unit));
        let ucum = self
            .ucum((&code, test.is_some()), rule, &unit, own_unit)
            .or_else(learned);
        let observation = Observation {
            kind: self.shared.kind,
            specimen: self.shared.specimen.clone(),
            patient: self.shared.patient.clone(),
            qualifiers,
            about: self.some(&rules.about),
            text: show(field),
            value,
            ucum,
            unit: unit.into_owned(),
            range: self.context.own(&rules.range, ""),
            flags: self.flags(),
            status: self.status(),
            status_sent: self.context.own(&rules.status, " "),
            run: self.some(&rules.run),
            dilution: self.dilution(),
            operator: self.context.own(&rules.operator, " "),
            instrument: self
                .some(&rules.instrument)
                .unwrap_or_else(|| line.settings.line.clone()),
            completed,
            comments: self
                .group
                .comments
                .iter()
                .map(|(text, _)| text.clone())
                .chain(self.own_comments(row))
                .collect(),
            control: self.shared.control.clone(),
            lot: self.shared.lot.clone(),
            level: self.shared.level.clone(),
            supersedes: self.context.any(&rules.supersedes),
            span: row.span.clone(),
            // The full list is made when the whole message was read; this one needs the row.
            holds: Vec::from_iter(row.is_undecodable().then(super::hold::undecodable)),
            notes,
            code,
            test,
        };
        Entry {
            item: Item::Observation(Box::new(observation)),
            group: self.group.number,
            taints: None,
            edits: None,
            rule,
            unit: own_unit,
        }
    }

    /// The unit of a test in the catalogue.
    fn unit_of(&self, test: Option<&str>) -> Option<&'a str> {
        let catalogue = self.catalogue;
        test.and_then(|test| catalogue?.unit(test))
    }

    fn some(&self, paths: &[FieldPath]) -> Option<String> {
        let text = self.context.text(paths, " ");
        (!text.is_empty()).then(|| text.into_owned())
    }

    /// All flags, every repeat, without what the profile says is no flag.
    fn flags(&self) -> Vec<String> {
        let rules = &self.line.profile.result;
        let ignored = &self.line.profile.ignored_flags;
        let mut flags = Vec::new();
        self.context.each(&rules.flags, &rules.padding, |flag| {
            if !ignored.contains(&*flag) {
                flags.push(flag.into_owned());
            }
        });
        flags
    }

    /// The status of the result, or of its whole report where that is less final.
    fn status(&self) -> ResultStatus {
        let profile = &self.line.profile;
        let of = |code: &str| {
            let status = profile.statuses.get(code).copied();
            status.unwrap_or(ResultStatus::NotFinal)
        };
        // `F\R`: final, and sent before. The first that is not final decides for all.
        let mut own = None;
        self.context.each(&profile.result.status, " ", |code| {
            if own.is_none_or(|own| own == ResultStatus::Final) {
                own = Some(of(&code));
            }
        });
        let own = own.unwrap_or_else(|| of(""));
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

    /// The unit in UCUM, of a code that is mapped or not; `own` is the unit of the test in the
    /// catalogue.
    fn ucum(
        &self,
        (code, has_test): (&str, bool),
        rule: Option<&TestRule>,
        unit: &str,
        own: Option<&str>,
    ) -> Option<String> {
        if unit.is_empty()
            && let Some(declared) = self.line.declared_unit(code, rule)
        {
            return Some(declared.to_owned());
        }
        let by_rule = rule.and_then(|rule| rule.units.get(unit));
        let of_profile = || self.line.profile.units.get(unit).filter(|_| has_test);
        let by_profile = by_rule.or_else(of_profile).map(String::as_str);
        let same = || own.filter(|own| *own == unit && !unit.is_empty());
        by_profile.or_else(same).map(str::to_owned)
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
        let text = shown(Cow::Borrowed(trim(&text, &rules.padding)));
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

    /// When the measurement was completed: the device's wall time, with the instant where it is
    /// whole and the line has a zone. The results of a message mostly name the same second.
    fn completed(&mut self) -> Option<WallTime> {
        let paths = &self.line.profile.result.completed;
        let sent = self.context.text(paths, " ");
        if sent.is_empty() {
            return None;
        }
        if self
            .last_time
            .as_ref()
            .is_none_or(|last| last.sent != *sent)
        {
            self.last_time = Some(WallTime {
                utc: instant(&sent, self.line.settings.zone.as_ref()),
                sent: sent.into_owned(),
            });
        }
        self.last_time.clone()
    }
}

/// OBX-2 says what OBX-5 is where that changes how it is read: SN and ED.
fn typed_segment(row: &Row<'_>, path: &FieldPath, raw: &str) -> Option<Value> {
    if !row.is("OBX") || path.component.is_some() {
        return None;
    }
    let component = |n: usize| row.component(path.field, n);
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

/// Microseconds since 1970 of a time that is whole to the minute.
pub(in crate::profile) fn instant(text: &str, zone: Option<&TimeZone>) -> Option<i64> {
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
