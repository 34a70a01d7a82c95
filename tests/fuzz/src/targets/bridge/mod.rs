//! Targets of everything above the protocols.

mod hosts;
mod laboratory;
mod profiles;
mod queues;
mod texts;

use crate::targets::Target;

/// Name, function, and what has to hold, in one line.
pub(crate) const TARGETS: &[Target] = &[
    (
        "profile_decode",
        profiles::decode_by_any,
        "every item lies in its message; a record or segment that begins like a result is in exactly one item; what is answered can be read again",
    ),
    (
        "profile_file",
        profiles::file,
        "no file breaks the reader; a profile that is read decodes a message and loses no result of it",
    ),
    (
        "lab_file",
        texts::lab_file,
        "no file breaks the reader; problems lie in the file and can be shown",
    ),
    (
        "catalogue_file",
        texts::catalogue_file,
        "no file breaks the reader; problems lie in the file and can be shown; every test that is kept is found by its id",
    ),
    (
        "ucum",
        texts::ucum,
        "a unit equals itself; two are equal, or comparable, both ways alike",
    ),
    (
        "learn",
        texts::learn,
        "no stream breaks the listener; a draft is a profile that can be read",
    ),
    (
        "host_inbound",
        hosts::inbound,
        "no message makes the store fail; a reply is a message that names what it answers; the same message again gets the same answer and nothing new",
    ),
    (
        "host_orders",
        hosts::orders,
        "no page of JSON makes the store fail; every entry gets one answer, the same page again none",
    ),
    (
        "host_answer",
        hosts::answer,
        "only AA and CA are taken for acceptance; an acknowledgement of any message is a message",
    ),
    (
        "queue",
        queues::operations,
        "operations in any order: transitions of the table alone, one control id one body for ever, a lease to one worker, a late verdict changes nothing, nothing vanishes",
    ),
];
