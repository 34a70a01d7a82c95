//! Reads a profile file and says everything that is wrong with it at once.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use labwire_protocols::charset::Charset;
use miette::NamedSource;
use serde::Deserialize as _;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer},
};

use super::{
    AnswerForm, AnswerRules, ChecksumMode, Condition, Device, DownloadRules, Example, FieldPath,
    IgnoreRule, KindRule, LinkRules, NegativeRules, NegativeStyle, PatientRules, Pattern, Profile,
    Protocol, QueryRules, ResultRules, SpecimenRules, Template, Test, TestRule, TextRules,
    Transport, answer::OrderForDevice, defaults, schema,
};
use crate::{
    config::problem::{Problem, Problems, source},
    model::{Priority, Private, ResultStatus, Sex},
};

/// Reads the profile `name` (`vendor/model`) from the text of its file. The profile is there only
/// when no problem is an error; its examples are not run here.
pub fn load(name: &str, text: &str) -> (Option<Profile>, Problems) {
    let mut loader = Loader::new(name, text);
    let file = loader.deserialize(text);
    let profile = loader.profile(name, file);
    let profile = if loader.problems.has_errors() {
        None
    } else {
        profile
    };
    (profile, loader.problems)
}

/// Most mistakes of form that one file is searched for; each costs one more pass over the file.
const MISTAKES_MAX: usize = 50;

struct Loader {
    file: Arc<NamedSource<String>>,
    problems: Problems,
    protocol: Protocol,
}

impl Loader {
    fn new(name: &str, text: &str) -> Self {
        Self {
            file: source(format!("{name}.toml"), text),
            problems: Problems::default(),
            protocol: Protocol::Astm,
        }
    }

    fn problem(&mut self, code: &'static str, span: Option<Range<usize>>, what: Words<'_>) {
        self.problems.push(Problem {
            code,
            message: what.message.to_owned(),
            label: what.label.to_owned(),
            help: what.help.to_owned(),
            source: Some(Arc::clone(&self.file)),
            span,
            is_warning: false,
        });
    }

    /// Reads the file's form. A key that cannot be read is reported, taken out, and the rest read.
    fn deserialize(&mut self, text: &str) -> schema::File {
        let (mut table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            self.problem(
                "PROF-0201",
                error.span(),
                Words {
                    message: error.message(),
                    label: "not TOML",
                    help: "see https://toml.io for the notation",
                },
            );
        }
        for _ in 0..MISTAKES_MAX {
            let error = match schema::File::deserialize(Deserializer::from(table.clone())) {
                Ok(file) => return file,
                Err(error) => error,
            };
            let help = error.message().split_once(", expected ").map_or_else(
                || "write a value of the kind that is expected".to_owned(),
                |(_, expected)| format!("remove it, or write {expected}"),
            );
            self.problem(
                "PROF-0202",
                error.span(),
                Words {
                    message: error.message(),
                    label: "not understood",
                    help: &help,
                },
            );
            if !error
                .span()
                .is_some_and(|span| remove_at(table.get_mut(), &span))
            {
                break;
            }
        }
        schema::File::default()
    }

    fn profile(&mut self, name: &str, file: schema::File) -> Option<Profile> {
        let device = self.device(file.device)?;
        let text = self.text(file.text);
        let profile = Profile {
            name: name.to_owned(),
            transport: Transport {
                port: file
                    .transport
                    .port
                    .map(Spanned::into_inner)
                    .unwrap_or_default(),
                serial: file
                    .transport
                    .serial
                    .map(Spanned::into_inner)
                    .unwrap_or_default(),
                note: file.transport.note,
            },
            link: self.link(file.link),
            text,
            specimen: self.specimen(file.specimen),
            patient: PatientRules {
                ids: self.paths(file.patient.ids),
                name: self.paths(file.patient.name),
                birth: self.paths(file.patient.birth),
                sex: self.paths(file.patient.sex),
            },
            result: self.result(file.result),
            statuses: self.statuses(file.status),
            normal_flags: file.flags.normal.into_iter().collect(),
            ignored_flags: file.flags.ignore.into_iter().collect(),
            qc: self.kind(file.qc),
            calibration: self.kind(file.calibration),
            ignore: file
                .ignore
                .into_iter()
                .filter_map(|rule| self.ignore(rule))
                .collect(),
            query: self.query(file.query),
            answer: self.answer(file.answer, file.download),
            tests: self.tests(file.test),
            examples: file
                .example
                .into_iter()
                .filter_map(|e| self.example(e))
                .collect(),
            device,
            file: Arc::clone(&self.file),
        };
        self.require(&profile);
        Some(profile)
    }

    /// What no profile can do without.
    fn require(&mut self, profile: &Profile) {
        let example = match self.protocol {
            Protocol::Astm => ["id = \"O.3\"", "code = \"R.3.4\"", "value = \"R.4\""],
            Protocol::Hl7 => [
                "id = \"OBR-3.1\"",
                "code = \"OBX-3.1\"",
                "value = \"OBX-5\"",
            ],
        };
        let missing = [
            (profile.specimen.id.is_empty(), "[specimen] id"),
            (profile.result.code.is_empty(), "[result] code"),
            (profile.result.value.is_empty(), "[result] value"),
        ];
        for ((is_missing, key), line) in missing.into_iter().zip(example) {
            if is_missing {
                self.problem(
                    "PROF-0203",
                    None,
                    Words {
                        message: &format!("{}: `{key}` is missing", profile.name),
                        label: "",
                        help: &format!("write for instance `{line}`"),
                    },
                );
            }
        }
    }

    fn device(&mut self, raw: schema::Device) -> Option<Device> {
        let Some(protocol) = raw.protocol else {
            self.problem(
                "PROF-0203",
                None,
                Words {
                    message: "`[device] protocol` is missing",
                    label: "",
                    help: "write `protocol = \"astm\"` or `protocol = \"hl7\"`",
                },
            );
            return None;
        };
        self.protocol = self.word(
            &protocol,
            &[("astm", Protocol::Astm), ("hl7", Protocol::Hl7)],
        )?;
        let sure = ["standard", "specification", "trace", "inferred", "assumed"];
        if let Some(confidence) = &raw.confidence {
            self.word(confidence, &sure.map(|word| (word, ())));
        }
        let text = |text: Option<schema::Text>| text.map(Spanned::into_inner).unwrap_or_default();
        Some(Device {
            vendor: text(raw.vendor),
            models: raw.models,
            protocol: self.protocol,
            source: text(raw.source),
            confidence: text(raw.confidence),
        })
    }

    fn text(&mut self, raw: schema::TextRules) -> TextRules {
        let usual = match self.protocol {
            Protocol::Astm => Charset::Latin1,
            Protocol::Hl7 => Charset::Utf8,
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

    fn link(&mut self, raw: schema::Link) -> LinkRules {
        let modes = [
            ("strict", ChecksumMode::Strict),
            ("warn", ChecksumMode::Warn),
            ("off", ChecksumMode::Off),
        ];
        let numbers = raw
            .frame_numbers
            .and_then(|word| self.word(&word, &[("strict", false), ("lenient", true)]));
        LinkRules {
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
            message_bytes_max: raw.message_bytes_max.map(Spanned::into_inner),
            accepts_lone_fs: raw.accepts_lone_fs,
            idle_end_ms: raw.idle_end_ms,
            pending_max: raw.pending_max.map(Spanned::into_inner),
        }
    }

    fn specimen(&mut self, raw: schema::Specimen) -> SpecimenRules {
        let restart = raw
            .restart
            .and_then(|word| self.word(&word, &[("message", false), ("record", true)]));
        let unread = raw
            .unread
            .iter()
            .filter_map(|text| self.parsed("PROF-0205", text, Test::parse));
        SpecimenRules {
            unread: unread.collect(),
            restarts_at_record: restart.unwrap_or(false),
            id: self.paths(raw.id),
            rack: self.paths(raw.rack),
            position: self.paths(raw.position),
            padding: raw.padding,
        }
    }

    fn result(&mut self, raw: schema::Result) -> ResultRules {
        let value = self.paths(raw.value);
        let whole = value.first().map(|path| FieldPath {
            component: None,
            subcomponent: None,
            is_open: false,
            ..path.clone()
        });
        ResultRules {
            code: self.paths(raw.code),
            cut_at: raw.cut_at,
            qualifiers: self.paths(raw.qualifiers),
            text: self.paths(raw.text).into_iter().next().or(whole),
            value,
            unit: self.paths(raw.unit),
            range: self.paths(raw.range),
            flags: self.paths(raw.flags),
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
            padding: raw.padding,
            absent: raw.absent,
            over_range: raw.over_range.unwrap_or_else(|| vec!["++++".to_owned()]),
        }
    }

    fn statuses(&mut self, raw: BTreeMap<String, schema::Text>) -> BTreeMap<String, ResultStatus> {
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

    fn kind(&mut self, raw: schema::When) -> KindRule {
        KindRule {
            when: self.conditions(&raw.when),
            control: self.paths(raw.control),
        }
    }

    fn ignore(&mut self, raw: schema::Ignore) -> Option<IgnoreRule> {
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

    fn query(&mut self, raw: schema::Query) -> QueryRules {
        let protocol = self.protocol;
        let mut echo = Vec::new();
        for (name, path) in raw.echo {
            let parse = |text: &str| FieldPath::parse(text, protocol);
            echo.extend(
                self.parsed("PROF-0204", &path, parse)
                    .map(|path| (name, path)),
            );
        }
        QueryRules {
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

    fn answer(&mut self, raw: schema::Answer, down: schema::Download) -> Option<AnswerRules> {
        let forms = [
            ("records", AnswerForm::Records),
            ("orr-o02", AnswerForm::OrrO02),
            ("qck-dsr", AnswerForm::QckDsr),
        ];
        let form = self.word(&raw.form?, &forms)?;
        let styles = [
            ("terminator", NegativeStyle::Terminator),
            ("order", NegativeStyle::Order),
            ("silent", NegativeStyle::Silent),
        ];
        let text = |text: Option<schema::Text>, usual: &str| {
            text.map_or_else(|| usual.to_owned(), Spanned::into_inner)
        };
        let style = raw
            .negative
            .style
            .and_then(|word| self.word(&word, &styles));
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
            max_id_length: raw
                .max_id_length
                .map_or(defaults::ID_LENGTH_MAX, Spanned::into_inner),
            negative,
            download,
        })
    }

    /// The syntax of one test names `{code}`, which stands nowhere else.
    fn test_template(&mut self, text: &schema::Text) -> Option<Template> {
        let parse = |text: &str| Template::parse(&text.replace("{code}", "{tests}"));
        self.parsed("PROF-0207", text, parse)
    }

    fn delimiters(&mut self, raw: Option<schema::Text>) -> [u8; 4] {
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

    fn tests(&mut self, raw: Vec<schema::Test>) -> Vec<TestRule> {
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
            let unit = |(sent, ucum): (String, Spanned<String>)| (sent, ucum.into_inner());
            tests.push(TestRule {
                code: code.get_ref().clone(),
                test: test.get_ref().clone(),
                span: test.span(),
                qualifiers: entry.qualifiers,
                units: entry.units.into_iter().map(unit).collect(),
                coded: entry.coded,
                order: entry.order.map(Spanned::into_inner),
            });
        }
        tests
    }

    fn example(&mut self, raw: schema::Example) -> Option<Example> {
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
            orders: raw.orders.into_iter().map(example_order).collect(),
            answer_span: raw
                .answer
                .as_ref()
                .map_or_else(|| wire.span(), Spanned::span),
            answer: raw.answer.map(Spanned::into_inner),
        })
    }

    fn paths(&mut self, raw: schema::Paths) -> Vec<FieldPath> {
        let protocol = self.protocol;
        let parse = |text: &str| FieldPath::parse(text, protocol);
        raw.0
            .iter()
            .filter_map(|text| self.parsed("PROF-0204", text, parse))
            .collect()
    }

    fn conditions(&mut self, raw: &[schema::Text]) -> Vec<Condition> {
        let protocol = self.protocol;
        let parse = |text: &str| Condition::parse(text, protocol);
        raw.iter()
            .filter_map(|text| self.parsed("PROF-0205", text, parse))
            .collect()
    }

    fn fields(&mut self, raw: schema::Fields) -> BTreeMap<usize, Template> {
        let mut fields = BTreeMap::new();
        for (number, template) in raw {
            let parse = |text: &str| match text.parse() {
                Ok(number @ 2..=999) => Ok(number),
                _ => Err(format!("`{text}` is no field number from 2 on")),
            };
            let number = self.parsed("PROF-0204", &number, parse);
            let template = self.parsed("PROF-0207", &template, Template::parse);
            fields.extend(number.zip(template));
        }
        fields
    }

    fn parsed<T>(
        &mut self,
        code: &'static str,
        text: &schema::Text,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(text.get_ref())
            .map_err(|why| {
                self.problem(
                    code,
                    Some(text.span()),
                    Words {
                        message: &format!("`{}` cannot be read", text.get_ref()),
                        label: "this",
                        help: &why,
                    },
                );
            })
            .ok()
    }

    fn word<T: Copy>(&mut self, text: &schema::Text, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text.get_ref());
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.problem(
                "PROF-0206",
                Some(text.span()),
                Words {
                    message: &format!("`{}` is not known here", text.get_ref()),
                    label: "unknown",
                    help: &format!("write one of {}", known.join(", ")),
                },
            );
        }
        found.map(|(_, value)| *value)
    }
}

/// What a problem says.
struct Words<'a> {
    message: &'a str,
    label: &'a str,
    help: &'a str,
}

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
        ..OrderForDevice::default()
    }
}

/// Takes the entry whose key or value holds `span` out of the table.
fn remove_at(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    if table
        .iter_mut()
        .any(|(_, value)| remove_inside(value.get_mut(), span))
    {
        return true;
    }
    let found = table
        .iter()
        .find(|(key, value)| holds(key.span()) || holds(value.span()));
    let Some(key) = found.map(|(key, _)| key.clone()) else {
        return false;
    };
    table.remove(&key).is_some()
}

fn remove_inside(value: &mut DeValue<'_>, span: &Range<usize>) -> bool {
    match value {
        DeValue::Table(table) => remove_at(table, span),
        DeValue::Array(array) => remove_in_array(array, span),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => false,
    }
}

fn remove_in_array(array: &mut DeArray<'_>, span: &Range<usize>) -> bool {
    array
        .iter_mut()
        .any(|element| remove_inside(element.get_mut(), span))
}
