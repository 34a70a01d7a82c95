//! Instrument profiles: everything that differs between analyzers, as data.
//!
//! A profile is one TOML file. [`Library`] finds it (a site's file wins over the built-in one of
//! the same name), [`Profile::for_line`] lays a line's own settings over it, [`decode()`] reads a
//! device's message with it, [`answer`] writes orders for the device, and [`run_examples`] proves
//! that the file says what its author meant.

mod condition;
mod decode;
mod defaults;
mod definition;
mod digest;
mod example;
mod fields;
mod joined;
mod json;
mod learned;
mod library;
mod line;
mod link;
mod load;
mod path;
mod places;
mod rows;
mod schema;
mod sections;
mod template;
mod value;
mod wire;

pub mod answer;

#[cfg(test)]
mod tests;

pub use self::{
    answer::{
        AnswerError, OrderAction, OrderForDevice, Stamp, answer, cancel, download, refusal_of,
    },
    condition::{Condition, Pattern, Test},
    decode::{Decoded, STEP_CANCELLED, decode, decode_after},
    definition::{
        AnswerForm, AnswerRules, BciWire, ChecksumMode, CommentRule, DateOrder, Device,
        DownloadRules, Example, IgnoreRule, ImagePlace, ImageRule, KindRule, LinkRules,
        NegativeRules, NegativeStyle, PartRule, PatientRules, Profile, Protocol, QueryKind,
        QueryRules, ResultRules, SpecimenRules, SysmexWire, TestRule, TextRules, Transport, Wire,
    },
    digest::{digest_input, written_at},
    example::run_examples,
    joined::Joined,
    json::json_lines,
    learned::{Learned, OfLine},
    library::{BUILT_IN, Library},
    line::{Catalogue, LineProfile, LineSettings},
    load::load,
    path::FieldPath,
    template::Template,
    value::{NOTE_DECIMAL_COMMA, NOTE_NUMBER_TOO_LONG},
    wire::decode_capture,
};
