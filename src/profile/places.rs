//! Places with names, of wires whose messages have neither records nor segments: `sample_id`,
//! `marks`. The names are those of the wire's views in `labwire-protocols`.

use super::{FieldPath, Protocol, fields::RowName};

/// What a message says once, or once for each result, and the names of its places in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// What a row of it is called.
    pub(super) row: &'static str,
    /// Field 1 and on.
    pub(super) places: &'static [&'static str],
}

/// A Beckman AU text as a whole.
pub(super) const AU_TEXT: Part = Part {
    row: "au-text",
    places: &[
        "kind",
        "code",
        "run",
        "unit_no",
        "rack_no",
        "cup",
        "sample_type",
        "sample_no",
        "sample_id",
        "dummy",
        "patient",
        "control_no",
        "control_unit",
    ],
};

/// One result of a Beckman AU text.
pub(super) const AU_GROUP: Part = Part {
    row: "au-group",
    places: &["group_unit", "test_no", "value", "marks"],
};

/// A Dimension message as a whole.
pub(super) const DIMENSION_MESSAGE: Part = Part {
    row: "dimension-message",
    places: &[
        "kind",
        "sample_id",
        "carrier",
        "patient",
        "sample_type",
        "location",
        "priority",
        "completed",
        "cups",
        "dilution",
        "doubt",
    ],
};

/// One result of a Dimension message.
pub(super) const DIMENSION_TEST: Part = Part {
    row: "dimension-test",
    places: &["test", "value", "units", "error"],
};

/// The POCT1-A device that said hello in this conversation.
pub(super) const POCT_HELLO: Part = Part {
    row: "poct-hello",
    places: &[
        "device_id",
        "device_name",
        "vendor",
        "model",
        "serial",
        "software",
    ],
};

/// One measurement of a POCT1-A device, and of whom or what it is.
pub(super) const POCT_SERVICE: Part = Part {
    row: "poct-service",
    places: &[
        "kind",
        "role",
        "measured_at",
        "service_status",
        "reason",
        "operator",
        "order_id",
        "ordered",
        "patient_id",
        "location",
        "patient_name",
        "birth_date",
        "gender",
        "control_name",
        "control_lot",
        "control_level",
        "reagent",
        "reagent_lot",
        "service_note",
        "doubt",
    ],
};

/// One finding of a POCT1-A measurement.
pub(super) const POCT_OBSERVATION: Part = Part {
    row: "poct-observation",
    places: &[
        "code",
        "code_name",
        "code_system",
        "value",
        "unit",
        "words",
        "method",
        "status",
        "interpretation",
        "observed_at",
        "normal",
        "critical",
        "note",
    ],
};

/// A BCI message as a whole.
pub(super) const BCI_MESSAGE: Part = Part {
    row: "bci-message",
    places: &[
        "patient_id",
        "patient_name",
        "birth_date",
        "sex",
        "specimen_id",
        "sample_id",
    ],
};

/// One test of a BCI message, or one drug of an antibiogram.
pub(super) const BCI_TEST: Part = Part {
    row: "bci-test",
    places: &[
        "code",
        "name",
        "completed",
        "value",
        "unit",
        "words",
        "dilution",
        "calibration",
        "organism",
        "organism_name",
    ],
};

/// A line of an older Sysmex text.
pub(super) const SYSMEX_LINE: Part = Part {
    row: "sysmex-line",
    places: &[
        "kind",
        "line",
        "sample_id",
        "rack",
        "position",
        "patient_id",
        "operator",
        "analysis",
        "completed",
    ],
};

/// One number of such a line.
pub(super) const SYSMEX_CELL: Part = Part {
    row: "sysmex-cell",
    places: &["code", "value", "flag", "digits"],
};

const PARTS: [&[Part]; 5] = [&AU, &DIMENSION, &POCT, &BCI, &SYSMEX];
const AU: [Part; 2] = [AU_TEXT, AU_GROUP];
const DIMENSION: [Part; 2] = [DIMENSION_MESSAGE, DIMENSION_TEST];
const BCI: [Part; 2] = [BCI_MESSAGE, BCI_TEST];
const SYSMEX: [Part; 2] = [SYSMEX_LINE, SYSMEX_CELL];
const POCT: [Part; 3] = [POCT_HELLO, POCT_SERVICE, POCT_OBSERVATION];

const fn parts(protocol: Protocol) -> &'static [Part] {
    match protocol {
        Protocol::Astm | Protocol::Hl7 => &[],
        Protocol::BeckmanAu => &AU,
        Protocol::Dimension => &DIMENSION,
        Protocol::Poct1a => &POCT,
        Protocol::Bci => &BCI,
        Protocol::SysmexLegacy => &SYSMEX,
    }
}

/// Reads a place by its name; the error lists the names.
pub(super) fn parse(text: &str, protocol: Protocol) -> Result<FieldPath, String> {
    let named = parts(protocol).iter().find_map(|part| {
        let index = part.places.iter().position(|name| *name == text)?;
        Some((part.row, index + 1))
    });
    let (row, field) = named.ok_or_else(|| {
        let names = parts(protocol).iter().flat_map(|part| part.places);
        let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
        format!("write one of {}", names.join(", "))
    })?;
    Ok(FieldPath {
        record: row.to_owned(),
        name: RowName::of_places(row),
        field,
        component: None,
        subcomponent: None,
        is_open: false,
    })
}

fn part_of(row: &str) -> Option<&'static Part> {
    PARTS.into_iter().flatten().find(|part| part.row == row)
}

/// The names of a row's places, in order.
pub(super) fn names(row: &str) -> &'static [&'static str] {
    part_of(row).map_or(&[], |part| part.places)
}

/// The name of a place; `None` if it is no place with a name.
pub(super) fn name(path: &FieldPath) -> Option<&'static str> {
    part_of(&path.record)?
        .places
        .get(path.field.checked_sub(1)?)
        .copied()
}
