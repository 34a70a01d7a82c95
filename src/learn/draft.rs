//! A draft profile, with the evidence beside every key that was guessed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use labwire_protocols::charset::Charset;

use super::{
    Protocol,
    codes::{Code, Mapped, mapped_elsewhere},
    examples::{Worked, choose, expected, string},
    findings::{Findings, Guess},
    heard::Counts,
    rows::Marks,
};
use crate::{
    config::{
        Catalogue, Problems,
        units::{UnitProof, prove_catalogue, prove_spelling, ucum_for},
    },
    profile::{Profile, load, run_examples},
};

/// A profile as it will be written.
#[derive(Clone, Debug)]
pub struct Draft {
    /// `VENDOR/MODEL`.
    pub name: String,
    /// The text of the file.
    pub text: String,
    /// What is wrong with it; a draft that was made has no errors.
    pub problems: Problems,
    /// Examples left out because something of what was heard could have stood in them.
    pub left_out: usize,
}

/// What a draft is made of.
pub(super) struct Drafting<'d> {
    pub(super) findings: &'d Findings,
    pub(super) counts: &'d Counts,
    pub(super) catalogue: &'d Catalogue,
    pub(super) name: &'d str,
    /// The port as it was given, for the next one who connects such a device.
    pub(super) port: &'d str,
}

impl Drafting<'_> {
    /// Writes the draft, and proves it as `labwire check` does.
    pub(super) fn draft(&self) -> Draft {
        let head = self.head();
        let (profile, problems) = load(self.name, &head);
        let Some(profile) = profile.map(Arc::new) else {
            return self.without_examples(head, problems, 0);
        };
        let worked = choose(self.findings, self.counts, self.example_charset());
        let offered = worked.len();
        let mut kept = 0;
        let mut text = head;
        for example in &worked {
            let longer = format!("{text}{}", example_text(&profile, example));
            // An example that cannot be read back as it came is worth nothing.
            if self
                .problems(&longer)
                .is_some_and(|found| !found.has_errors())
            {
                text = longer;
                kept += 1;
            }
        }
        let problems = self.problems(&text).unwrap_or_default();
        self.without_examples(text, problems, offered - kept)
    }

    fn without_examples(&self, text: String, problems: Problems, left_out: usize) -> Draft {
        Draft {
            name: self.name.to_owned(),
            text,
            problems,
            left_out,
        }
    }

    fn problems(&self, text: &str) -> Option<Problems> {
        let (profile, mut problems) = load(self.name, text);
        problems.extend(run_examples(&Arc::new(profile?)));
        Some(problems)
    }

    /// Everything but the examples.
    fn head(&self) -> String {
        let mut out = Lines::default();
        out.comment(
            "Drafted by `labwire profile learn` from what a device said. What stands here was guessed \
             from the evidence beside it: compare it with the manual before a patient's result depends on it.",
        );
        self.device(&mut out);
        self.link(&mut out);
        self.text(&mut out);
        self.specimen(&mut out);
        self.result(&mut out);
        self.kinds(&mut out);
        self.query(&mut out);
        self.tests(&mut out);
        out.text
    }

    fn device(&self, out: &mut Lines) {
        let (vendor, model) = self.name.split_once('/').unwrap_or(("unknown", self.name));
        let name = match self.findings.name() {
            "" => model,
            name => name,
        };
        let protocol = match self.findings.protocol {
            Protocol::Astm => "astm",
            Protocol::Hl7 => "hl7",
        };
        let findings = self.findings;
        out.table("device");
        out.key("vendor", &string(vendor), "from the name of this file");
        out.key(
            "models",
            &format!("[{}]", string(name)),
            "as it calls itself",
        );
        out.key("protocol", &string(protocol), &framing(self.counts));
        let source = format!(
            "labwire profile learn: {} messages, {} with results, {} queries",
            findings.messages, findings.results, findings.queries
        );
        out.key("source", &string(&source), "");
        out.key("confidence", "\"trace\"", "");
        if let Some((sender, seen)) = findings.senders.first() {
            let pattern = match self.marks() {
                Some(marks) if sender.contains(marks.component) => {
                    format!("{name}{}*", marks.component)
                }
                _ => sender.clone(),
            };
            out.idle(
                &format!("sender = [{}]", string(&pattern)),
                &format!(
                    "seen in {seen} of {} messages; results of any other are held then",
                    findings.messages
                ),
            );
        }
        if !self.port.is_empty() {
            out.table("transport");
            out.key("note", &string(&format!("Heard at {}", self.port)), "");
        }
    }

    fn marks(&self) -> Option<Marks> {
        self.findings.marks.first().map(|(marks, _)| *marks)
    }

    fn link(&self, out: &mut Lines) {
        let counts = self.counts;
        if self.findings.protocol == Protocol::Hl7 || counts.frames() == 0 && counts.bare == 0 {
            return;
        }
        out.table("link");
        let frames = counts.frames();
        let wrong = counts.sums_wrong + counts.sums_foreign;
        let (rule, why) = if frames == 0 {
            ("off", "no frames were heard".to_owned())
        } else if counts.sums_absent > 0 {
            (
                "off",
                format!("absent in {} of {frames} frames", counts.sums_absent),
            )
        } else if counts.sums_right == 0 {
            (
                "warn",
                format!("wrong in all {frames} frames: it counts in another way"),
            )
        } else {
            (
                "strict",
                format!(
                    "right in {} of {frames} frames, wrong in {wrong}",
                    counts.sums_right
                ),
            )
        };
        out.key("checksum", &string(rule), &why);
        if counts.numbers_odd > 0 {
            let why = format!("{} frame numbers stand still or skip", counts.numbers_odd);
            out.key("frame_numbers", "\"lenient\"", &why);
        }
        if counts.bare > 0 {
            let why = format!("{} messages came without frames", counts.bare);
            out.key("accepts_unframed", "true", &why);
        }
        if frames > 0 && counts.bids == 0 {
            out.key("accepts_frames_without_enq", "true", "no ENQ was heard");
        }
    }

    fn charset(&self) -> Charset {
        let fits = self.findings.charsets.first().copied();
        match (fits, self.findings.protocol) {
            (None | Some(Charset::Ascii), Protocol::Hl7) => Charset::Utf8,
            (None | Some(Charset::Ascii), Protocol::Astm) => Charset::Latin1,
            (Some(charset), _) => charset,
        }
    }

    fn example_charset(&self) -> Charset {
        self.charset()
    }

    fn text(&self, out: &mut Lines) {
        let all: Vec<&str> = self.findings.charsets.iter().map(|c| c.label()).collect();
        let why = match all.as_slice() {
            [] => "no character set decodes every byte".to_owned(),
            ["us-ascii" | "ascii"] => {
                "only ASCII was heard; look again with a name in it".to_owned()
            }
            [one] => format!("{one} alone decodes every byte"),
            all => format!("these decode every byte: {}", all.join(", ")),
        };
        out.table("text");
        out.key("charset", &string(self.charset().label()), &why);
        if self.findings.names_charset > 0 {
            let why = format!(
                "MSH-18 is filled in {} of {} messages",
                self.findings.names_charset, self.findings.messages
            );
            out.key("from_message", "true", &why);
        }
    }

    fn specimen(&self, out: &mut Lines) {
        let fallback = match self.findings.protocol {
            Protocol::Astm => "O.3.1",
            Protocol::Hl7 => "OBR-3.1",
        };
        out.table("specimen");
        let specimen = self.findings.specimen.as_ref();
        out.guess("id", specimen, Some(fallback));
        let why = if self.findings.is_padded {
            "blanks around ids were seen"
        } else {
            "standard"
        };
        out.key("padding", "\" \"", why);
        if let Some(patient) = &self.findings.patient {
            out.table("patient");
            out.guess("ids", Some(patient), None);
        }
    }

    fn result(&self, out: &mut Lines) {
        let findings = self.findings;
        let fallback = match findings.protocol {
            Protocol::Astm => ["R.3.4", "R.4"],
            Protocol::Hl7 => ["OBX-3.1", "OBX-5"],
        };
        out.table("result");
        out.guess("code", findings.codes.place.as_ref(), Some(fallback[0]));
        if let Some(mark) = findings.codes.cut_at {
            let why = format!("every code has `{mark}`");
            out.key("cut_at", &string(&mark.to_string()), &why);
        }
        out.guess("aspect", findings.codes.aspect.as_ref(), None);
        out.guess("value", findings.value.as_ref(), Some(fallback[1]));
        out.guess("unit", findings.unit.as_ref(), None);
        out.guess("range", findings.range.as_ref(), None);
        out.guess("flags", findings.flags.as_ref(), None);
        out.guess("status", findings.status.as_ref(), None);
        out.key(
            "report_type",
            match findings.protocol {
                Protocol::Astm => "\"O.26\"",
                Protocol::Hl7 => "\"OBR-25\"",
            },
            "standard",
        );
        out.guess("operator", findings.operator.as_ref(), None);
        out.guess("completed", findings.completed.as_ref(), None);
        out.guess("instrument", findings.instrument.as_ref(), None);
        out.key("padding", "\" \"", "standard");
        let told = |map: &BTreeMap<String, usize>| {
            let all = map
                .iter()
                .map(|(code, seen)| format!("`{code}` {seen} times"));
            all.collect::<Vec<_>>().join(", ")
        };
        if !findings.statuses.is_empty() {
            out.comment(&format!(
                "Status codes heard: {}. What the standard does not know is not final; see [status].",
                told(&findings.statuses)
            ));
        }
        if !findings.flags_seen.is_empty() {
            out.comment(&format!(
                "Flags heard: {}. Any but N L H LL HH < > A holds its result until [flags] says otherwise.",
                told(&findings.flags_seen)
            ));
        }
    }

    fn kinds(&self, out: &mut Lines) {
        let (usual, control): (&[&str], _) = match self.findings.protocol {
            Protocol::Astm => (&["O.12 = Q", "H.12 = Q"], "O.3.1"),
            Protocol::Hl7 => (&["MSH-11.1 = Q", "SPM-11.1 = Q", "OBR-15.7 = Q"], "OBR-3.1"),
        };
        let heard = &self.findings.controls;
        let mut rules: Vec<&str> = usual.to_vec();
        rules.extend(heard.iter().map(|control| control.rule.as_str()));
        let mut seen = BTreeSet::new();
        rules.retain(|rule| seen.insert(*rule));
        let rules: Vec<String> = rules.into_iter().map(string).collect();
        let mut why: Vec<String> = heard
            .iter()
            .map(|control| {
                let doubt = if control.is_standard {
                    ""
                } else {
                    ", by the id alone: confirm"
                };
                format!("{} seen {} times{doubt}", control.rule, control.seen)
            })
            .collect();
        if why.is_empty() {
            why.push("standard; no control was heard".to_owned());
        }
        out.table("qc");
        out.key("when", &format!("[{}]", rules.join(", ")), &why.join("; "));
        let place = self.findings.specimen.as_ref().and_then(Guess::first);
        let place = place.map_or(control.to_owned(), ToString::to_string);
        out.key("control", &string(&place), "");
    }

    fn query(&self, out: &mut Lines) {
        let Some(query) = &self.findings.query else {
            out.text.push('\n');
            out.comment(if self.findings.queries == 0 {
                "It asked for no orders while it was heard."
            } else {
                "It asks for orders, but no place in its queries looks like an id: [query] is missing."
            });
            return;
        };
        out.table("query");
        if self.findings.protocol == Protocol::Hl7 {
            let kinds: Vec<String> = self
                .findings
                .query_kinds
                .iter()
                .map(|k| string(k))
                .collect();
            out.key("messages", &format!("[{}]", kinds.join(", ")), "heard");
        }
        out.guess("id", Some(query), None);
        out.comment(
            "How it is answered ([answer]) cannot be heard from its side: see the manual, or copy it from the \
             profile that fits best.",
        );
    }

    fn tests(&self, out: &mut Lines) {
        let elsewhere = mapped_elsewhere(self.findings.protocol);
        let mut taken = BTreeSet::new();
        for (code, seen) in &self.findings.codes.seen {
            out.text.push('\n');
            out.comment(&told(seen));
            let entry = Entry::of(code, seen, self.catalogue);
            match entry {
                Some(entry) if taken.insert(entry.test.clone()) => out.entry(code, &entry, ""),
                Some(entry) => out.entry(code, &entry, "# "),
                None => {
                    let proposed = self.proposed(code, seen, elsewhere);
                    match &proposed {
                        Some((_, why)) => out.comment(&format!("Not certain: {why}.")),
                        None => out.comment("Nothing in the catalogue has this name."),
                    }
                    let test = proposed.map_or_else(|| "?".to_owned(), |(test, _)| test);
                    let units = units(seen);
                    out.entry(code, &Entry { test, units }, "# ");
                }
            }
        }
    }

    /// A test of the catalogue that may be meant, and why.
    fn proposed(&self, code: &str, seen: &Code, elsewhere: &Mapped) -> Option<(String, String)> {
        if let Some(test) = named(code, self.catalogue) {
            let unit = self.catalogue.test(&test)?.unit.as_ref();
            let unit = unit.map_or("no unit", |unit| unit.as_str());
            return Some((
                test,
                format!("the name is right, the unit in the catalogue is {unit}"),
            ));
        }
        let by_loinc = seen.loinc.as_ref().and_then(|loinc| {
            let has = |test: &&crate::config::catalogue::Test| {
                test.loinc.as_ref().is_some_and(|own| own.as_str() == loinc)
            };
            let test = self.catalogue.tests().find(has)?;
            Some((
                test.id.value.clone(),
                format!("LOINC {loinc} stood beside it"),
            ))
        });
        by_loinc.or_else(|| {
            let tests = elsewhere.get(code)?;
            let (test, count) = tests.iter().max_by_key(|(_, count)| **count)?;
            self.catalogue.test(test)?;
            Some((
                test.clone(),
                format!("{count} built-in profiles call it so"),
            ))
        })
    }
}

/// What a code is mapped to.
struct Entry {
    test: String,
    /// As sent = UCUM; `?` where it is not known.
    units: Vec<(String, String)>,
}

impl Entry {
    /// The entry of a code whose test is certain: it has the test's own name and a unit that can
    /// pass.
    fn of(code: &str, seen: &Code, catalogue: &Catalogue) -> Option<Self> {
        let test = named(code, catalogue)?;
        let units = units(seen);
        let own = catalogue
            .test(&test)?
            .unit
            .as_ref()
            .map(|unit| unit.as_str());
        let is_known = units.iter().all(|(_, ucum)| ucum != "?");
        let fits = match own {
            None => units.is_empty(),
            Some(own) => units
                .iter()
                .any(|(_, ucum)| prove_catalogue(ucum, own) == UnitProof::Proven),
        };
        (is_known && fits).then_some(Self { test, units })
    }
}

/// The test whose id, or code at a HIS, is this code to the letter.
fn named(code: &str, catalogue: &Catalogue) -> Option<String> {
    if let Some(test) = catalogue.test(code) {
        return Some(test.id.value.clone());
    }
    let mut by_alias = catalogue
        .tests()
        .filter(|test| test.his.iter().any(|his| his.code.value == code));
    let first = by_alias.next()?;
    by_alias.next().is_none().then(|| first.id.value.clone())
}

/// The units of a code as sent, each with its UCUM code where it is proven.
fn units(seen: &Code) -> Vec<(String, String)> {
    let sent = seen.units.keys().filter(|unit| !unit.is_empty());
    sent.map(|unit| {
        let ucum = ucum_for(unit).filter(|ucum| prove_spelling(unit, ucum) == UnitProof::Proven);
        (unit.clone(), ucum.unwrap_or_else(|| "?".to_owned()))
    })
    .collect()
}

fn told(seen: &Code) -> String {
    let list = |all: &mut dyn Iterator<Item = &String>| {
        all.map(|one| format!("`{one}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut text = format!("Results heard: {}", seen.rows);
    let mut add = |what: &str, all: String| {
        if !all.is_empty() {
            text.push_str(&format!("; {what} {all}"));
        }
    };
    let units = &mut seen.units.keys().filter(|unit| !unit.is_empty());
    add("unit", list(units));
    add("range", list(&mut seen.ranges.iter()));
    add("flags", list(&mut seen.flags.keys()));
    add("values like", list(&mut seen.shapes.iter()));
    add("words", list(&mut seen.words.iter()));
    add("type", list(&mut seen.types.iter()));
    text.push('.');
    text
}

pub(super) fn framing(counts: &Counts) -> String {
    let mut parts = Vec::new();
    if counts.frames() > 0 {
        parts.push(format!("{} ASTM frames", counts.frames()));
    }
    if counts.blocks > 0 {
        parts.push(format!("{} MLLP blocks", counts.blocks));
    }
    if counts.bare > 0 {
        parts.push(format!("{} messages without frames", counts.bare));
    }
    if parts.is_empty() {
        parts.push("nothing of a known kind".to_owned());
    }
    format!("{} heard", parts.join(", "))
}

fn example_text(profile: &Arc<Profile>, worked: &Worked) -> String {
    let rows = expected(profile, worked);
    let mut text = format!(
        "\n[[example]]\nname = {}\n# Names, ids, days and comments are invented. `expect` was produced by \
         this draft:\n# check it by hand.\nwire = '''\n{}'''\nexpect = [\n",
        string(&worked.name),
        worked.notation
    );
    for row in rows {
        text.push_str(&format!("  {row},\n"));
    }
    text.push_str("]\n");
    text
}

/// The file as it grows.
#[derive(Default)]
struct Lines {
    text: String,
}

/// Columns of a comment.
const WIDTH: usize = 100;

impl Lines {
    fn comment(&mut self, text: &str) {
        let mut line = "#".to_owned();
        for word in clean(text).split(' ') {
            if line.chars().count() + word.chars().count() >= WIDTH && line.len() > 1 {
                self.text.push_str(&format!("{line}\n"));
                line = "#".to_owned();
            }
            line.push_str(&format!(" {word}"));
        }
        self.text.push_str(&format!("{line}\n"));
    }

    fn table(&mut self, name: &str) {
        self.text.push_str(&format!("\n[{name}]\n"));
    }

    fn key(&mut self, key: &str, value: &str, why: &str) {
        let line = format!("{key} = {value}");
        if why.is_empty() {
            self.text.push_str(&format!("{line}\n"));
        } else {
            self.text
                .push_str(&format!("{line:<36} # {}\n", clean(why)));
        }
    }

    /// A key that a person may make active.
    fn idle(&mut self, line: &str, why: &str) {
        self.text
            .push_str(&format!("# {:<34} # {}\n", clean(line), clean(why)));
    }

    fn guess(&mut self, key: &str, guess: Option<&Guess>, fallback: Option<&str>) {
        match (guess, fallback) {
            (Some(guess), _) => {
                let places: Vec<String> = guess
                    .places
                    .iter()
                    .map(|place| string(&place.to_string()))
                    .collect();
                let value = match places.as_slice() {
                    [one] => one.clone(),
                    all => format!("[{}]", all.join(", ")),
                };
                self.key(key, &value, &guess.why);
            }
            (None, Some(usual)) => {
                self.key(key, &string(usual), "standard; nothing was heard there")
            }
            (None, None) => {}
        }
    }

    fn entry(&mut self, code: &str, entry: &Entry, mark: &str) {
        let mut lines = vec![
            "[[test]]".to_owned(),
            format!("code = {}", string(code)),
            format!("test = {}", string(&entry.test)),
        ];
        if !entry.units.is_empty() {
            let pairs = entry
                .units
                .iter()
                .map(|(sent, ucum)| format!("{} = {}", quoted(sent), string(ucum)));
            let pairs: Vec<String> = pairs.collect();
            lines.push(format!("units = {{ {} }}", pairs.join(", ")));
        }
        for line in lines {
            self.text.push_str(&format!("{mark}{}\n", clean(&line)));
        }
    }
}

/// A TOML key.
fn quoted(key: &str) -> String {
    string(key)
}

/// No line of a file may break because of what a device sent.
fn clean(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}
