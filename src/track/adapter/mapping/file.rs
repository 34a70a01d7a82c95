//! Reading a mapping file, and its worked examples.

use std::{ops::Range, sync::Arc};

use labwire_protocols::charset::Charset;
use miette::NamedSource;

use super::{Form, Mapped, Mapping, Meaning, Rule, record::FIELDS};
use crate::{
    config::{
        problem::Problems,
        read::{At, File, Table},
    },
    profile::{Condition, FieldPath, Protocol},
};

/// One `[[example]]`: a message as the line sends it, and what it means.
#[derive(Clone, Debug)]
pub struct Example {
    /// What it shows.
    pub name: At<String>,
    /// The message, one record a line.
    pub wire: String,
    /// What comes out, in order.
    pub expect: Vec<Mapped>,
}

impl Mapping {
    /// Reads a mapping file and runs its examples; every mistake is added to `problems`. There is a
    /// mapping only when no mistake forbids it.
    pub fn load(source: &Arc<NamedSource<String>>, problems: &mut Problems) -> Option<Self> {
        let mut own = Problems::default();
        let mapping = File::read(source, &mut own, read);
        if !own.has_errors() {
            let file = File::new(source);
            run_examples(&mapping, &file);
            own.extend(file.into_problems());
        }
        let is_usable = !own.has_errors();
        problems.extend(own);
        is_usable.then_some(mapping)
    }
}

/// Tells every example whose message means something else than it says.
pub fn run_examples(mapping: &Mapping, file: &File) {
    for example in &mapping.examples {
        // A record a line is how people write; a record ends with CR on every wire.
        let lines: Vec<&str> = example.wire.lines().map(str::trim_start).collect();
        let wire = lines.join("\r");
        let encoded = mapping.charset.encode(&wire).unwrap_or_default();
        let found = mapping.mapped(&encoded).unwrap_or_default();
        if found != example.expect {
            let help = format!("what came out: {found:?}");
            let message = format!("example `{}` is not met", example.name.value);
            file.error(
                "CONF-0312",
                example.name.span.clone(),
                message,
                "not what came out",
                help,
            );
        }
    }
}

fn read(root: &Table<'_>) -> Mapping {
    let about = root.table("mapping");
    if about.is_none() {
        root.missing("mapping", "{ records = \"astm\" }");
    }
    let form = about
        .as_ref()
        .map(|table| table.choice::<Form>("records").value)
        .unwrap_or_default();
    let text = |key, default: &str| match &about {
        Some(table) => table.text_or(key, default),
        None => At::unwritten(default.to_owned()),
    };
    let delimiter = text("delimiter", ";");
    let charset = text("charset", "utf-8");
    let format = text("time_format", "").value;
    let pairs = |key| {
        let pairs = root.pairs(key).into_iter();
        pairs.map(|(sent, own)| (sent.value, own.value)).collect()
    };
    Mapping {
        source: text("source", "").value,
        form,
        charset: Charset::from_label(&charset).unwrap_or_else(|| {
            let known = "a name such as `utf-8`, `windows-1252` or `latin1`";
            wrong(root, charset.span.clone(), "`charset`", known);
            Charset::Utf8
        }),
        delimiter: delimiter.chars().next().unwrap_or(';'),
        time_format: (!format.is_empty()).then_some(format),
        modules: pairs("modules"),
        lanes: pairs("lanes"),
        rules: root
            .tables("event")
            .iter()
            .map(|table| rule(table, form))
            .collect(),
        examples: root.tables("example").iter().map(example).collect(),
    }
}

/// The notation of places.
const fn notation(form: Form) -> Protocol {
    match form {
        Form::Astm => Protocol::Astm,
        Form::Hl7 | Form::Fields => Protocol::Hl7,
    }
}

fn wrong(table: &Table<'_>, span: Range<usize>, what: &str, help: &str) {
    table.file().error(
        "CONF-0311",
        span,
        format!("{what} cannot be read"),
        "not understood",
        help,
    );
}

fn rule(table: &Table<'_>, form: Form) -> Rule {
    let path = |key: &'static str| {
        let text = table.text(key)?;
        place(table, key, &text, form)
    };
    let conditions = table.texts("when").unwrap_or_default();
    let positions = table.texts("position").unwrap_or_default();
    let when = conditions.iter().filter_map(|rule| {
        let read = Condition::parse(rule, notation(form));
        read.map_err(|help| wrong(table, rule.span.clone(), "a rule of `when`", &help))
            .ok()
    });
    let rule = Rule {
        on: table.text_or("on", FIELDS).value,
        when: when.collect(),
        kind: table.choice("kind").value,
        tube: path("tube"),
        module: path("module"),
        module_is: table.text_or("module_is", "").value,
        lane: path("lane"),
        to: path("to"),
        position: positions
            .iter()
            .filter_map(|text| place(table, "position", text, form))
            .collect(),
        time: path("time"),
    };
    if rule.module.is_none() && rule.module_is.is_empty() && rule.kind != Meaning::Nothing {
        table.missing("module", "R.4.1");
    }
    let is_of_tube = !matches!(
        rule.kind,
        Meaning::Unread
            | Meaning::Up
            | Meaning::Jam
            | Meaning::Full
            | Meaning::Down
            | Meaning::Nothing
    );
    if is_of_tube && rule.tube.is_none() {
        table.missing("tube", "O.3.1");
    }
    rule
}

fn place(table: &Table<'_>, key: &str, text: &At<String>, form: Form) -> Option<FieldPath> {
    let read = FieldPath::parse(text, notation(form)).and_then(|path| {
        let is_named = form != Form::Fields || path.record == FIELDS;
        match (path.is_open, is_named) {
            (false, true) => Ok(path),
            (true, _) => Err("name one component, without `+`".to_owned()),
            (false, false) => Err(format!("fields are `{FIELDS}-1`, `{FIELDS}-2` and so on")),
        }
    });
    read.map_err(|help| wrong(table, text.span.clone(), &format!("`{key}`"), &help))
        .ok()
}

fn example(table: &Table<'_>) -> Example {
    let expect = table.tables("expect");
    Example {
        name: table.text_or("name", ""),
        wire: table.text_or("wire", "").value,
        expect: expect
            .iter()
            .map(|table| {
                let text = |key| table.text_or(key, "").value;
                Mapped {
                    kind: table.choice("kind").value,
                    tube: text("tube"),
                    module: text("module"),
                    lane: text("lane"),
                    to: text("to"),
                    position: text("position"),
                    time: text("time"),
                }
            })
            .collect(),
    }
}
