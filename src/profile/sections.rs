//! The tables of a profile file, one function each.

mod own_wire;
mod sysmex;

use std::collections::BTreeMap;

use labwire_protocols::{beckman_au, charset::Charset, poct1a};
use toml::Spanned;

use super::{
    AnswerForm, AnswerRules, ChecksumMode, CommentRule, Condition, Device, DownloadRules, Example,
    FieldPath, IgnoreRule, ImagePlace, ImageRule, KindRule, LinkRules, NegativeRules,
    NegativeStyle, PartRule, Pattern, Protocol, QueryKind, QueryRules, ResultRules, SpecimenRules,
    Template, Test, TestRule, TextRules, Wire,
    answer::OrderForDevice,
    defaults,
    load::{Loader, Words},
    schema,
};
use crate::{
    config::units::{UnitProof, prove_spelling},
    model::{ImageFormat, Priority, Private, ResultStatus, Sex},
};

impl Loader {
    pub(super) fn device(&mut self, raw: &schema::Device) -> Option<Device> {
        let Some(protocol) = &raw.protocol else {
            self.problem(
                "PROF-0203",
                None,
                Words {
                    message: "`[device] protocol` is missing",
                    label: "",
                    help: "write `protocol = \"astm\"` or `\"hl7\"`; config/profiles/README.md lists the others",
                },
            );
            return None;
        };
        // LAW is HL7 with work order steps.
        let plain = Protocol::ALL.map(|(word, protocol)| (word, (protocol, false)));
        let words: Vec<_> = plain
            .into_iter()
            .chain([("law", (Protocol::Hl7, true))])
            .collect();
        let is_law;
        (self.protocol, is_law) = self.word(protocol, &words)?;
        let sure = ["standard", "specification", "trace", "inferred", "assumed"];
        if let Some(confidence) = &raw.confidence {
            self.word(confidence, &sure.map(|word| (word, ())));
        }
        let text = |text: &Option<schema::Text>| {
            text.as_ref()
                .map(|text| text.get_ref().clone())
                .unwrap_or_default()
        };
        Some(Device {
            vendor: text(&raw.vendor),
            models: raw.models.clone(),
            protocol: self.protocol,
            is_law,
            source: text(&raw.source),
            confidence: text(&raw.confidence),
            sender: raw
                .sender
                .0
                .iter()
                .map(|pattern| Pattern::new(pattern.get_ref()))
                .collect(),
        })
    }

    pub(super) fn text(&mut self, raw: schema::TextRules) -> TextRules {
        let usual = match self.protocol {
            Protocol::Astm
            | Protocol::BeckmanAu
            | Protocol::Dimension
            | Protocol::Bci
            | Protocol::SysmexLegacy => Charset::Latin1,
            Protocol::Hl7 | Protocol::Poct1a => Charset::Utf8,
        };
        let charset = raw.charset.map(|label| {
            Charset::from_label(label.get_ref()).unwrap_or_else(|| {
                let known: Vec<_> = Charset::all().map(Charset::label).collect();
                self.problem(
                    "PROF-0206",
                    Some(label.span()),
                    Words {
                        message: &format!(
                            "`{}` is no character set that Labwire knows",
                            label.get_ref()
                        ),
                        label: "unknown",
                        help: &format!("write one of {}", known.join(", ")),
                    },
                );
                usual
            })
        });
        TextRules {
            charset: charset.unwrap_or(usual),
            from_message: raw.from_message,
            transliterate: raw.transliterate,
        }
    }

    pub(super) fn link(&mut self, raw: schema::Link) -> LinkRules {
        let modes = [
            ("strict", ChecksumMode::Strict),
            ("warn", ChecksumMode::Warn),
            ("off", ChecksumMode::Off),
        ];
        let numbers = raw
            .frame_numbers
            .and_then(|word| self.word(&word, &[("strict", false), ("lenient", true)]));
        let classes = [("A", beckman_au::Class::A), ("B", beckman_au::Class::B)];
        let wraps = [
            ("none", poct1a::Wrap::Plain),
            ("lf", poct1a::Wrap::Line),
            ("mllp", poct1a::Wrap::Mllp),
        ];
        let elements = [poct1a::AckName::AckControlId, poct1a::AckName::ControlId]
            .map(|name| (name.element(), name));
        LinkRules {
            class: raw.class.and_then(|word| self.word(&word, &classes)),
            start: raw.start,
            block_end: raw.block_end,
            text_end: raw.text_end,
            checksum_covers_start: raw.checksum_covers_start,
            answers_enq: raw.answers_enq,
            turnaround_ms: raw.turnaround_ms,
            acceptance_timeout_ms: raw.acceptance_timeout_ms,
            checksum_counts_line_ends: raw.checksum_counts_line_ends,
            record_width: raw.record_width.map(Spanned::into_inner),
            is_continuous: raw.is_continuous,
            asks_events: raw.asks_events,
            wrap: raw.wrap.and_then(|word| self.word(&word, &wraps)),
            ack_name: raw.ack_element.and_then(|word| self.word(&word, &elements)),
            repeat_within_ms: raw.repeat_within_ms,
            checksum: raw.checksum.and_then(|word| self.word(&word, &modes)),
            has_lenient_frame_numbers: numbers.unwrap_or(false),
            frame_text_max: raw.frame_text_max.map(Spanned::into_inner),
            one_record_per_frame: raw.one_record_per_frame,
            accepts_unframed: raw.accepts_unframed,
            accepts_frames_without_enq: raw.accepts_frames_without_enq,
            serves_enq_in_transfer: raw.serves_enq_in_transfer,
            ignores_idle_bytes: raw.ignores_idle_bytes,
            stale_reply_ms: raw.stale_reply_ms,
            sends_max: raw.sends_max.map(Spanned::into_inner),
            enq_attempts_max: raw.enq_attempts_max.map(Spanned::into_inner),
            establishment_timeout_ms: raw.establishment_timeout_ms,
            busy_wait_ms: raw.busy_wait_ms,
            contention_wait_ms: raw.contention_wait_ms,
            between_sessions_ms: raw.between_sessions_ms,
            reply_timeout_ms: raw.reply_timeout_ms,
            receive_timeout_ms: raw.receive_timeout_ms,
            inter_byte_timeout_ms: raw.inter_byte_timeout_ms,
            answer_within_ms: raw.answer_within_ms,
            silent_after_s: raw.silent_after_s.and_then(|text| self.silence(&text)),
            message_bytes_max: raw.message_bytes_max.map(Spanned::into_inner),
            accepts_lone_fs: raw.accepts_lone_fs,
            idle_end_ms: raw.idle_end_ms,
            pending_max: raw.pending_max.map(Spanned::into_inner),
        }
    }

    /// A silence that ends a connection must have a length, and an end within a day.
    fn silence(&mut self, seconds: &Spanned<u64>) -> Option<u64> {
        if (1..=SILENT_AFTER_MAX_S).contains(seconds.get_ref()) {
            return Some(*seconds.get_ref());
        }
        self.problem(
            "PROF-0206",
            Some(seconds.span()),
            Words {
                message: &format!(
                    "`silent_after_s` is {}, and may be 1 to {SILENT_AFTER_MAX_S}",
                    seconds.get_ref()
                ),
                label: "no such silence",
                help: "write three times the heartbeat of the device; leave it out where the device \
                       has none",
            },
        );
        None
    }

    pub(super) fn specimen(&mut self, raw: schema::Specimen) -> SpecimenRules {
        let restart = raw
            .restart
            .and_then(|word| self.word(&word, &[("message", false), ("record", true)]));
        let unread = raw
            .unread
            .iter()
            .filter_map(|text| self.parsed("PROF-0205", text, Test::parse));
        SpecimenRules {
            unread: unread.collect(),
            unread_when: self.conditions(&raw.unread_when),
            restarts_at_record: restart.unwrap_or(false),
            id: self.paths(raw.id),
            rack: self.paths(raw.rack),
            position: self.paths(raw.position),
            padding: raw.padding,
        }
    }

    pub(super) fn result(&mut self, raw: schema::Result) -> ResultRules {
        self.check_pieces(&raw);
        self.check_aspects(&raw);
        // The usual device writes its dilution behind its code.
        let usual_dilution = raw.dilution_after_cut.then_some(CODE_PIECE + 1);
        let dilution_pieces = raw.dilution_pieces.into_iter().map(Spanned::into_inner);
        let value = self.paths(raw.value);
        let whole = value.first().map(|path| FieldPath {
            component: None,
            subcomponent: None,
            is_open: false,
            ..path.clone()
        });
        ResultRules {
            code: self.paths(raw.code),
            cut_at: raw.cut_at.map(Spanned::into_inner).unwrap_or_default(),
            code_piece: raw.code_piece.map_or(CODE_PIECE, Spanned::into_inner),
            dilution_pieces: usual_dilution.into_iter().chain(dilution_pieces).collect(),
            aspect: self.paths(raw.aspect),
            plain_aspects: raw
                .plain_aspects
                .into_iter()
                .map(Spanned::into_inner)
                .collect(),
            qualifiers: self.paths(raw.qualifiers),
            about: self.paths(raw.about),
            text: self.paths(raw.text).into_iter().next().or(whole),
            value,
            unit: self.paths(raw.unit),
            range: self.paths(raw.range),
            flags: self.flags(raw.flags),
            status: self.paths(raw.status),
            report_type: self.paths(raw.report_type),
            operator: self.paths(raw.operator),
            completed: self.paths(raw.completed),
            instrument: self.paths(raw.instrument),
            run: self.paths(raw.run),
            supersedes: self.conditions(&raw.supersedes),
            dilution: self.paths(raw.dilution),
            no_dilution: raw.no_dilution.unwrap_or_default(),
            is_multiplied: raw.is_multiplied,
            decimal_comma: raw.decimal_comma,
            is_text: raw.is_text,
            coded: raw.coded,
            padding: raw.padding,
            absent: raw.absent,
            over_range: raw.over_range.unwrap_or_else(|| vec!["++++".to_owned()]),
        }
    }

    /// Pieces are counted from 1, and there are none where nothing is cut.
    fn check_pieces(&mut self, raw: &schema::Result) {
        let code = raw.code_piece.iter();
        for piece in code.chain(&raw.dilution_pieces) {
            let label = if raw.cut_at.is_none() {
                "there is no `cut_at`"
            } else if *piece.get_ref() == 0 {
                "counted from 1"
            } else {
                continue;
            };
            self.problem(
                "PROF-0206",
                Some(piece.span()),
                Words {
                    message: &format!("there is no piece {}", piece.get_ref()),
                    label,
                    help: "of `1.0000+950+1.0` with `cut_at = \"+\"` the code is piece 2, and pieces 1 \
                           and 3 are dilutions",
                },
            );
        }
    }

    fn check_aspects(&mut self, raw: &schema::Result) {
        let first = raw.plain_aspects.first();
        if let Some(aspect) = first.filter(|_| raw.aspect.0.is_empty()) {
            self.problem(
                "PROF-0203",
                Some(aspect.span()),
                Words {
                    message: "`plain_aspects` without `aspect` would change nothing",
                    label: "of which place?",
                    help: "write where it stands: `aspect = \"R.3.8\"`",
                },
            );
        }
    }

    /// Spellings of units for codes that only a site maps.
    pub(super) fn units(
        &mut self,
        raw: BTreeMap<String, schema::Text>,
    ) -> BTreeMap<String, String> {
        for (sent, ucum) in &raw {
            self.prove(sent, ucum);
        }
        let unit = |(sent, ucum): (String, schema::Text)| (sent, ucum.into_inner());
        raw.into_iter().map(unit).collect()
    }

    pub(super) fn statuses(
        &mut self,
        raw: BTreeMap<String, schema::Text>,
    ) -> BTreeMap<String, ResultStatus> {
        let words = [
            ("final", ResultStatus::Final),
            ("not-final", ResultStatus::NotFinal),
            ("correction", ResultStatus::Correction),
            ("retransmission", ResultStatus::Retransmission),
            ("cannot-be-done", ResultStatus::CannotBeDone),
        ];
        let mut statuses = defaults::statuses(self.protocol);
        for (code, word) in raw {
            if let Some(status) = self.word(&word, &words) {
                statuses.insert(code, status);
            }
        }
        statuses
    }

    pub(super) fn kind(&mut self, raw: schema::When) -> KindRule {
        KindRule {
            when: self.conditions(&raw.when),
            control: self.paths(raw.control),
            lot: self.paths(raw.lot),
            lot_after: raw.lot_after,
            lot_code: raw.lot_code.map(|code| Pattern::new(code.get_ref())),
            level: self.paths(raw.level),
            levels: raw
                .levels
                .into_iter()
                .map(|(text, level)| (Pattern::new(text.get_ref()), level))
                .collect(),
            level_code: raw.level_code.map(|code| Pattern::new(code.get_ref())),
        }
    }

    /// A picture has a way to be known and one place.
    pub(super) fn image(&mut self, raw: schema::Image) -> Option<ImageRule> {
        let span = raw.file.0.first().or(raw.data.0.first());
        let span = span.or(raw.code.as_ref()).map(Spanned::span);
        let is_known = raw.code.is_some() || !raw.when.is_empty();
        let media_type = raw.media_type.filter(|text| self.is_picture(text));
        let file = self.paths(raw.file).into_iter().next();
        let data = self.paths(raw.data).into_iter().next();
        let place = match (file, data) {
            (Some(path), None) => Some(ImagePlace::File(path)),
            (None, Some(path)) => Some(ImagePlace::Data(path)),
            (None, None) | (Some(_), Some(_)) => None,
        };
        if let Some(place) = place.filter(|_| is_known) {
            return Some(ImageRule {
                code: raw.code.map(|code| Pattern::new(code.get_ref())),
                when: self.conditions(&raw.when),
                place,
                media_type: media_type.map(Spanned::into_inner).unwrap_or_default(),
            });
        }
        self.problem(
            "PROF-0203",
            span,
            Words {
                message: "an `[[image]]` needs `code` or `when`, and one of `file` and `data`",
                label: "this entry",
                help: "write `code = \"SCAT_*\"` and `file = \"R.4\"`, where the file is named",
            },
        );
        None
    }

    fn is_picture(&mut self, text: &schema::Text) -> bool {
        let known = ImageFormat::ALL.map(|format| (format.media_type(), ()));
        self.word(text, &known).is_some()
    }

    /// The profile's flags, and what the wire itself doubts.
    fn flags(&mut self, raw: schema::Paths) -> Vec<FieldPath> {
        let [_, _, doubts] = defaults::controls(self.protocol);
        let doubts = doubts
            .iter()
            .filter_map(|place| FieldPath::parse(place, self.protocol).ok());
        let doubts: Vec<_> = doubts.collect();
        self.paths(raw).into_iter().chain(doubts).collect()
    }

    /// Controls: what the wire tells, and what the profile says besides.
    pub(super) fn controls(&mut self, raw: schema::When) -> KindRule {
        let [rules, places, _] = defaults::controls(self.protocol);
        self.kind_of_wire(raw, rules, places)
    }

    /// Calibrations, as [`Loader::controls`].
    pub(super) fn calibrations(&mut self, raw: schema::When) -> KindRule {
        let [rules, places] = defaults::calibrations(self.protocol);
        self.kind_of_wire(raw, rules, places)
    }

    fn kind_of_wire(&mut self, raw: schema::When, rules: &[&str], places: &[&str]) -> KindRule {
        let mut own = self.kind(raw);
        let rules = rules
            .iter()
            .filter_map(|rule| Condition::parse(rule, self.protocol).ok());
        let places = places
            .iter()
            .filter_map(|place| FieldPath::parse(place, self.protocol).ok());
        own.when.extend(rules);
        own.control.extend(places);
        let [lots, levels] = defaults::material(self.protocol).map(|places| {
            let places = places.iter();
            places.filter_map(|place| FieldPath::parse(place, self.protocol).ok())
        });
        own.lot.extend(lots);
        own.level.extend(levels);
        own
    }

    pub(super) fn ignore(&mut self, raw: schema::Ignore) -> Option<IgnoreRule> {
        if raw.code.is_none() && raw.when.is_empty() {
            let span = raw.event.as_ref().map(Spanned::span);
            self.problem("PROF-0203", span, Words {
                message: "an `[[ignore]]` with neither `code` nor `when` would swallow every result",
                label: "this entry",
                help: "write `code = \"SCAT_*\"` or `when = [\"R.3.8 = Ct\"]`",
            });
            return None;
        }
        Some(IgnoreRule {
            code: raw.code.map(|code| Pattern::new(code.get_ref())),
            when: self.conditions(&raw.when),
            event: raw
                .event
                .map_or_else(|| "ignored".to_owned(), Spanned::into_inner),
            holds_when: self.conditions(&raw.holds_when),
        })
    }

    /// A part has a name and a place.
    pub(super) fn part(&mut self, raw: schema::Part) -> Option<PartRule> {
        let when = self.conditions(&raw.when);
        let value = self.paths(raw.value).into_iter().next();
        if let (Some(aspect), Some(value)) = (raw.aspect, value) {
            return Some(PartRule {
                when,
                aspect: aspect.into_inner(),
                value,
            });
        }
        self.problem(
            "PROF-0203",
            None,
            Words {
                message: "a `[[part]]` needs `aspect` and `value`",
                label: "",
                help: "write `aspect = \"ABO\"` and `value = \"R.4.1\"`",
            },
        );
        None
    }

    /// A comment reads one record, for a record says whose comment it is.
    pub(super) fn comment_rule(&mut self, raw: schema::Comment) -> Option<CommentRule> {
        let span = raw.text.0.first().map(Spanned::span);
        let rule = CommentRule {
            label: raw.label.map(Spanned::into_inner).unwrap_or_default(),
            text: self.paths(raw.text),
            coded: raw.coded,
            holds_when: self.conditions(&raw.holds_when),
            edited_when: self.conditions(&raw.edited_when),
        };
        let is_one = rule.text.iter().all(|path| path.record == rule.record());
        if is_one && !rule.text.is_empty() {
            return Some(rule);
        }
        self.problem(
            "PROF-0203",
            span,
            Words {
                message: "a `[[comment]]` without `text`, or of several records, is nobody's",
                label: "of one record",
                help: "write places of one record: `text = [\"M.3\", \"M.6.1\"]`",
            },
        );
        None
    }

    pub(super) fn query(&mut self, raw: schema::Query) -> QueryRules {
        let protocol = self.protocol;
        let mut echo = Vec::new();
        for (name, path) in raw.echo {
            let parse = |text: &str| FieldPath::parse(text, protocol);
            echo.extend(
                self.parsed("PROF-0204", &path, parse)
                    .map(|path| (name, path)),
            );
        }
        let kinds = [
            ("container", QueryKind::Container),
            ("additional", QueryKind::Additional),
            ("all", QueryKind::All),
            ("place", QueryKind::Place),
            ("isolate", QueryKind::Isolate),
            ("sequence", QueryKind::Sequence),
        ];
        let mut names = BTreeMap::new();
        for (name, kind) in raw.names {
            names.extend(self.word(&kind, &kinds).map(|kind| (name, kind)));
        }
        QueryRules {
            names,
            messages: raw.messages,
            id: self.paths(raw.id),
            range_end: self.paths(raw.range_end),
            rack: self.paths(raw.rack),
            position: self.paths(raw.position),
            has_bare_repeats: raw.bare_repeats,
            codes: self.paths(raw.codes),
            all: raw.all,
            cancel: self.conditions(&raw.cancel),
            echo,
        }
    }

    pub(super) fn answer(
        &mut self,
        raw: schema::Answer,
        down: schema::Download,
        wire: &Wire,
    ) -> Option<AnswerRules> {
        let id_length_max = match wire {
            Wire::Astm | Wire::Hl7 => defaults::ID_LENGTH_MAX,
            Wire::BeckmanAu(dialect) => dialect.layout.sample_id,
            Wire::Dimension(dialect) => dialect.layout.sample_id_max,
            Wire::Poct1a(_) | Wire::Bci(_) | Wire::SysmexLegacy(_) => defaults::ID_LENGTH_MAX,
        };
        let forms = [
            ("records", AnswerForm::Records),
            ("orr-o02", AnswerForm::OrrO02),
            ("qck-dsr", AnswerForm::QckDsr),
            ("beckman-au", AnswerForm::BeckmanAu),
            ("dimension", AnswerForm::Dimension),
            ("law", AnswerForm::Law),
            ("bci", AnswerForm::Bci),
        ];
        let written = raw.form?;
        let form = self.word(&written, &forms)?;
        self.check_form(&written, form, &raw.o);
        let text = |text: Option<schema::Text>, usual: &str| {
            text.map_or_else(|| usual.to_owned(), Spanned::into_inner)
        };
        let style = raw
            .negative
            .style
            .and_then(|word| self.word(&word, &NegativeStyle::WORDS));
        let negative = NegativeRules {
            style: style.unwrap_or_default(),
            order: self.fields(raw.negative.o),
            terminator: text(raw.negative.terminator, "I"),
        };
        let download = DownloadRules {
            broadcast: down.broadcast,
            header: self.fields(down.h),
            order: self.fields(down.o),
            terminator: text(down.terminator, "N"),
            cancel: down.cancel.is_possible.then(|| self.fields(down.cancel.o)),
        };
        Some(AnswerRules {
            form,
            delimiters: self.delimiters(raw.delimiters),
            header: self.fields(raw.h),
            patient: self.fields(raw.p),
            order: self.fields(raw.o),
            msh: self.fields(raw.msh),
            spm: self.fields(raw.spm),
            sac: self.fields(raw.sac),
            test: raw
                .test
                .and_then(|t| self.test_template(&t))
                .unwrap_or_default(),
            one_order_per_test: raw.one_order_per_test,
            blood_mode: raw.blood_mode,
            modes: raw.modes,
            terminator: text(raw.terminator, "F"),
            actions: raw.actions,
            priorities: raw.priorities,
            specimen_types: raw.specimen_types,
            max_id_length: raw.max_id_length.map_or(id_length_max, Spanned::into_inner),
            negative,
            download,
        })
    }

    /// The syntax of one test names `{code}`, which stands nowhere else.
    pub(super) fn test_template(&mut self, text: &schema::Text) -> Option<Template> {
        let parse = |text: &str| Template::parse(&text.replace("{code}", "{tests}"));
        self.parsed("PROF-0207", text, parse)
    }

    pub(super) fn delimiters(&mut self, raw: Option<schema::Text>) -> [u8; 4] {
        let usual = *b"|\\^&";
        let Some(text) = raw else { return usual };
        let read: Option<[u8; 4]> = text.get_ref().as_bytes().try_into().ok();
        let is_usable = read.filter(|bytes| {
            let fresh = |(at, byte): (usize, &u8)| !bytes.iter().take(at).any(|b| b == byte);
            bytes.iter().all(u8::is_ascii_punctuation) && bytes.iter().enumerate().all(fresh)
        });
        is_usable.unwrap_or_else(|| {
            self.problem(
                "PROF-0206",
                Some(text.span()),
                Words {
                    message: "delimiters are four different punctuation characters",
                    label: "not four of them",
                    help: "write field, repeat, component, escape: `'|\\^&'`",
                },
            );
            usual
        })
    }

    pub(super) fn tests(&mut self, raw: Vec<schema::Test>) -> Vec<TestRule> {
        let mut tests: Vec<TestRule> = Vec::new();
        for entry in raw {
            let (Some(code), Some(test)) = (&entry.code, &entry.test) else {
                let span = entry
                    .code
                    .as_ref()
                    .or(entry.test.as_ref())
                    .map(Spanned::span);
                self.problem("PROF-0203", span, Words {
                    message: "a `[[test]]` needs both `code` and `test`",
                    label: "half an entry",
                    help: "write `code = \"WBC\"` (the device's) and `test = \"WBC\"` (the catalogue's)",
                });
                continue;
            };
            let is_same = |other: &&TestRule| {
                other.code == *code.get_ref() && other.qualifiers == entry.qualifiers
            };
            if tests.iter().find(is_same).is_some() {
                self.problem(
                    "PROF-0208",
                    Some(code.span()),
                    Words {
                        message: &format!("the code `{}` has two entries", code.get_ref()),
                        label: "the second",
                        help: "keep one of them, or tell them apart by `qualifiers`",
                    },
                );
            }
            for (sent, ucum) in &entry.units {
                self.prove(sent, ucum);
            }
            if let Some(ucum) = &entry.unit {
                self.prove(ucum.get_ref(), ucum);
            }
            let unit = |(sent, ucum): (String, Spanned<String>)| (sent, ucum.into_inner());
            tests.push(TestRule {
                code: code.get_ref().clone(),
                test: test.get_ref().clone(),
                span: test.span(),
                qualifiers: entry.qualifiers,
                units: entry.units.into_iter().map(unit).collect(),
                unit: entry.unit.map(Spanned::into_inner).unwrap_or_default(),
                coded: entry.coded,
                order: entry.order.map(Spanned::into_inner),
            });
        }
        tests
    }

    /// Labwire converts no value, so both sides of a unit map must be one unit.
    fn prove(&mut self, sent: &str, ucum: &schema::Text) {
        let mapped = ucum.get_ref();
        // No unit was sent: there is nothing to compare, but what it stands for must be a unit.
        let spelling = if sent.is_empty() { mapped } else { sent };
        let (why, is_error) = match prove_spelling(spelling, mapped) {
            UnitProof::Proven => return,
            UnitProof::CannotBeProven { why } => (why, false),
            UnitProof::FactorDiffers(factor) => {
                (format!("1 `{sent}` is {factor} `{mapped}`"), true)
            }
            UnitProof::NotComparable => ("they measure different things".to_owned(), true),
            UnitProof::NotUcum { which } => (format!("`{which}` is no UCUM code"), true),
        };
        let words = Words {
            message: &format!("`{sent}` = `{mapped}`: {why}"),
            label: if is_error {
                "not the same unit"
            } else {
                "cannot be proven"
            },
            help: "write the UCUM code of exactly the unit that the device sends",
        };
        if is_error {
            self.problem("PROF-0209", Some(ucum.span()), words);
        } else {
            self.warning("PROF-0209", ucum.span(), words);
        }
    }

    pub(super) fn example(&mut self, raw: schema::Example) -> Option<Example> {
        let (Some(name), Some(wire)) = (&raw.name, &raw.wire) else {
            let span = raw.name.as_ref().or(raw.wire.as_ref()).map(Spanned::span);
            self.problem("PROF-0203", span, Words {
                message: "an `[[example]]` needs `name`, `wire` and `expect`",
                label: "half an example",
                help: "write what the device sends as `wire` and what must come out as `expect`",
            });
            return None;
        };
        let expect_span = raw
            .expect
            .as_ref()
            .map_or_else(|| wire.span(), Spanned::span);
        Some(Example {
            name: name.get_ref().clone(),
            wire: wire.get_ref().clone(),
            wire_span: wire.span(),
            expect: raw.expect.map(Spanned::into_inner).unwrap_or_default(),
            expect_span,
            tests: raw.tests,
            units: raw.units,
            orders: raw.orders.into_iter().map(example_order).collect(),
            answer_span: raw
                .answer
                .as_ref()
                .map_or_else(|| wire.span(), Spanned::span),
            answer: raw.answer.map(Spanned::into_inner),
        })
    }
}

/// The code is what stands before the first cut, unless the profile says otherwise.
const CODE_PIECE: usize = 1;

/// A device that is silent for longer has no heartbeat; a day is what nobody waits for.
const SILENT_AFTER_MAX_S: u64 = 86_400;

fn example_order(raw: schema::ExampleOrder) -> OrderForDevice {
    OrderForDevice {
        specimen: raw.specimen,
        tests: raw.tests,
        patient_id: Private::new(raw.patient_id),
        family: Private::new(raw.family),
        given: Private::new(raw.given),
        birth: Private::new(raw.birth),
        sex: Sex::from_code(&raw.sex),
        priority: Priority::from_code(&raw.priority),
        collected: raw.collected,
        specimen_type: raw.specimen_type,
        numbers: raw.numbers,
        ..OrderForDevice::default()
    }
}
