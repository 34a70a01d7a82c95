//! Targets that need `labwire-protocols` alone.

mod codecs;
mod hl7;
mod links;
mod machine;

use super::Target;

/// Name, function, and what has to hold, in one line.
pub(crate) const TARGETS: &[Target] = &[
    (
        "astm_link",
        links::astm_link,
        "operations in any order: bounded, an ACK follows its commit, one last word for every send, a deadline while it waits, any split gives the same outputs",
    ),
    (
        "mllp_endpoint",
        links::mllp_endpoint,
        "operations in any order: bounded, a reply follows its commit, one last word for every send, a deadline while it waits, any split commits the same",
    ),
    (
        "beckman_link",
        links::beckman_link,
        "operations in any order: bounded, an ACK follows its commit, one last word for every send, any split gives the same outputs",
    ),
    (
        "dimension_link",
        links::dimension_link,
        "operations in any order: bounded, an ACK follows its commit, one last word for every send, any split gives the same outputs",
    ),
    (
        "poct1a_link",
        links::poct1a_link,
        "operations in any order: bounded, one last word for every send, any split gives the same outputs",
    ),
    (
        "bci_link",
        links::bci_link,
        "operations in any order: bounded, an ACK follows its commit, one last word for every send, a deadline while it waits, any split gives the same outputs",
    ),
    (
        "sysmex_link",
        links::sysmex_link,
        "operations in any order: bounded, an ACK follows its commit, one last word for every send, any split gives the same outputs",
    ),
    (
        "astm_records",
        codecs::astm_records,
        "every byte is in one record, fields joined are their record, what is refused is noted; a continuation lies inside both parts",
    ),
    (
        "astm_deframe",
        codecs::astm_deframe,
        "a capture of any bytes is read; what is found is no longer than the capture",
    ),
    (
        "hl7_message",
        hl7::message,
        "segments, fields, components joined are the text; every answer written is a message; a copied segment means the same",
    ),
    (
        "law_tree",
        hl7::law,
        "every segment but MSH is in the tree once and in order",
    ),
    (
        "automation_message",
        hl7::automation,
        "every segment but MSH is in a group once and in order; an answer written is a message",
    ),
    (
        "beckman_text",
        codecs::beckman_text,
        "no text breaks the reader; what it reads lies inside the text",
    ),
    (
        "dimension_message",
        codecs::dimension_message,
        "no message breaks the reader; what it reads lies inside the message",
    ),
    (
        "poct1a_xml",
        codecs::poct1a_xml,
        "no document breaks the reader; elements and values lie inside it; a text written is read back the same",
    ),
    (
        "bci_message",
        codecs::bci_message,
        "no message breaks the reader; fields lie inside it, in order and apart",
    ),
    (
        "sysmex_text",
        codecs::sysmex_text,
        "no text breaks the reader; a line that is read is as wide as its layout",
    ),
    (
        "charset",
        codecs::charset,
        "what decodes and encodes again decodes to the same; what encodes decodes to itself",
    ),
];
