//! Typed views: the fields of each record type under the names of LIS02-A2 7 to 15.

use std::ops::Range;

use super::{
    codes::{
        ActionCode, CommentSource, CommentType, Priority, ProcessingId, ReportType, RequestStatus,
        ResultStatus, TerminationCode,
    },
    field::Field,
    message::{Record, RecordKind},
};
use crate::places::places;

/// The places of the first `N` fields of a record, found in one pass.
#[derive(Clone, Copy, Debug)]
struct Index<const N: usize> {
    /// Where each field ends in the record; the next begins one byte later.
    ends: [u32; N],
    length: u32,
}

impl<const N: usize> Index<N> {
    fn of(record: &Record<'_>) -> Self {
        let delimiter = record.delimiters().field();
        // A record is far shorter than 4 GB (RECORD_BYTES_MAX).
        let place = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let length = place(record.bytes().len());
        let mut ends = [length; N];
        for (end, at) in ends.iter_mut().zip(places(record.bytes(), delimiter)) {
            *end = place(at);
        }
        Self { ends, length }
    }

    /// Where field `n`, counted from 1, lies; the empty range at the end if it was not sent.
    fn range(&self, n: usize) -> Range<usize> {
        let end = |n: usize| n.checked_sub(1).and_then(|i| self.ends.get(i)).copied();
        let start = match n.checked_sub(1) {
            Some(0) => 0,
            Some(before) => end(before)
                .unwrap_or(self.length)
                .saturating_add(1)
                .min(self.length),
            None => self.length,
        };
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        place(start)..place(end(n).unwrap_or(self.length))
    }
}

/// Makes a typed view from a table of fields: `number name "what it is"`.
macro_rules! record_view {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $count:literal {
        $($n:literal $field:ident $about:literal;)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name<'a> {
            record: Record<'a>,
            index: Index<$count>,
        }

        impl<'a> $name<'a> {
            /// The view of a record; `None` if it is of another type.
            pub fn of(record: &Record<'a>) -> Option<Self> {
                (record.kind() == RecordKind::$kind).then(|| Self::new(record))
            }

            fn new(record: &Record<'a>) -> Self {
                Self { record: *record, index: Index::of(record) }
            }

            /// The record itself, for fields that the standard does not have.
            pub const fn record(&self) -> &Record<'a> {
                &self.record
            }

            $(
                #[doc = concat!("Field ", stringify!($n), ": ", $about, ".")]
                pub fn $field(&self) -> Field<'a> {
                    self.record.field_at($n, self.index.range($n))
                }
            )+
        }
    };
}

record_view! {
    /// `H`, the message header (LIS02-A2 7).
    HeaderRecord, Header, 14 {
        2 delimiters "repeat, component and escape delimiter";
        3 control_id "message control id, echoed where the dialect demands it";
        4 password "access password";
        5 sender "sender name or id: model, software, serial number";
        6 sender_address "sender's address";
        7 reserved "reserved";
        8 sender_telephone "sender's telephone";
        9 sender_characteristics "characteristics of the sender";
        10 receiver "receiver id";
        11 comment "comment or special instructions";
        12 processing "processing id";
        13 version "version of the standard";
        14 sent_at "date and time of the message";
    }
}

record_view! {
    /// `P`, patient (LIS02-A2 8).
    PatientRecord, Patient, 35 {
        2 sequence "sequence number";
        3 practice_id "patient id of the practice";
        4 laboratory_id "patient id of the laboratory";
        5 third_id "third patient id, such as a national one";
        6 name "name: last, first, middle, suffix, title";
        7 mother_maiden_name "mother's maiden name";
        8 birth_date "birth date";
        9 sex "sex: M, F or U";
        10 race "race or ethnic origin";
        11 address "address";
        12 reserved "reserved";
        13 telephone "telephone numbers";
        14 attending_physician "attending physicians";
        15 special_1 "special field 1";
        16 special_2 "special field 2";
        17 height "height, cm unless a unit is given";
        18 weight "weight, kg unless a unit is given";
        19 diagnosis "known or suspected diagnoses";
        20 medications "active medications";
        21 diet "diet";
        22 practice_field_1 "practice field 1, returned with results";
        23 practice_field_2 "practice field 2, returned with results";
        24 admission_dates "dates of admission and of discharge";
        25 admission_status "admission status";
        26 location "ward or bed";
        27 alternative_code_nature "nature of the alternative diagnostic code";
        28 alternative_code "alternative diagnostic code";
        29 religion "religion";
        30 marital_status "marital status";
        31 isolation_status "isolation status";
        32 language "language";
        33 hospital_service "hospital service";
        34 hospital_institution "hospital institution";
        35 dosage_category "dosage category";
    }
}

record_view! {
    /// `O`, test order (LIS02-A2 9).
    OrderRecord, Order, 31 {
        2 sequence "sequence number";
        3 specimen_id "specimen id";
        4 instrument_specimen_id "the instrument's own specimen id";
        5 test_id "universal test ids, one a repeat";
        6 priority "priorities";
        7 ordered_at "when it was ordered";
        8 collected_at "when collection began";
        9 collected_until "when collection ended";
        10 collection_volume "collection volume, mL unless a unit is given";
        11 collector "collector";
        12 action "action codes";
        13 danger_code "danger code";
        14 clinical_information "relevant clinical information";
        15 received_at "when the specimen was received";
        16 specimen_descriptor "specimen type and source";
        17 physician "ordering physician";
        18 physician_telephone "the physician's telephone";
        19 user_field_1 "user field 1, returned with the answer";
        20 user_field_2 "user field 2, returned with the answer";
        21 laboratory_field_1 "laboratory field 1";
        22 laboratory_field_2 "laboratory field 2";
        23 reported_at "when results were reported or last modified";
        24 charge "instrument charge";
        25 section "instrument section";
        26 report_type "report types";
        27 reserved "reserved";
        28 collection_location "location of collection";
        29 nosocomial_flag "nosocomial infection flag";
        30 specimen_service "specimen service";
        31 specimen_institution "specimen institution";
    }
}

record_view! {
    /// `R`, result (LIS02-A2 10).
    ResultRecord, Result, 14 {
        2 sequence "sequence number";
        3 test_id "universal test id";
        4 value "value";
        5 unit "unit";
        6 reference_range "reference ranges";
        7 abnormal_flags "abnormal flags";
        8 abnormality_nature "nature of abnormality testing";
        9 status "result status";
        10 normals_changed_at "when normal values or units changed";
        11 operator "operator: performer and verifier";
        12 started_at "when the test was started";
        13 completed_at "when the test was completed";
        14 instrument "instrument id";
    }
}

record_view! {
    /// `C`, comment (LIS02-A2 11).
    CommentRecord, Comment, 5 {
        2 sequence "sequence number";
        3 source "who comments";
        4 text "comment, perhaps code and text";
        5 comment_type "kind of comment";
    }
}

record_view! {
    /// `Q`, request for information (LIS02-A2 12).
    RequestRecord, Request, 13 {
        2 sequence "sequence number";
        3 starting_range "first id, or a list: patient, specimen, vendor's own; or ALL";
        4 ending_range "last id of a range";
        5 test_id "universal test ids, or ALL";
        6 time_nature "whether the times are of collection (S) or of the result (R)";
        7 begins_at "beginning of the time";
        8 ends_at "end of the time";
        9 physician "requesting physician";
        10 physician_telephone "the physician's telephone";
        11 user_field_1 "user field 1";
        12 user_field_2 "user field 2";
        13 status "request status codes";
    }
}

record_view! {
    /// `L`, message terminator (LIS02-A2 13).
    TerminatorRecord, Terminator, 3 {
        2 sequence "sequence number, 1";
        3 termination "termination code";
    }
}

record_view! {
    /// `S`, scientific (LIS02-A2 14).
    ScientificRecord, Scientific, 21 {
        2 sequence "sequence number";
        3 method "analytical method";
        4 instrumentation "instrumentation";
        5 reagents "reagents";
        6 method_units "units of measure";
        7 quality_control "quality control";
        8 specimen_descriptor "specimen descriptor";
        9 reserved "reserved";
        10 container "container";
        11 specimen_id "specimen id";
        12 analyte "analyte";
        13 result "result";
        14 result_units "units of the result";
        15 collected_at "when the specimen was collected";
        16 resulted_at "when the result was made";
        17 preprocessing "preprocessing of the specimen";
        18 diagnosis "patient's diagnosis";
        19 birth_date "patient's birth date";
        20 sex "patient's sex";
        21 race "patient's race";
    }
}

record_view! {
    /// `M`, manufacturer information (LIS02-A2 15): fields from 3 on are the vendor's.
    ManufacturerRecord, Manufacturer, 3 {
        2 sequence "sequence number";
        3 first "the first of the vendor's fields; the others by the record";
    }
}

impl HeaderRecord<'_> {
    /// What the message may be used for; `None` if empty or not of the standard.
    pub fn processing_id(&self) -> Option<ProcessingId> {
        ProcessingId::from_code(self.processing().raw())
    }
}

impl OrderRecord<'_> {
    /// The first priority; `None` if empty or not of the standard.
    pub fn first_priority(&self) -> Option<Priority> {
        Priority::from_code(self.priority().repeat(1).raw())
    }

    /// What to do with the order; `None` if empty, several or not of the standard.
    pub fn action_code(&self) -> Option<ActionCode> {
        ActionCode::from_code(self.action().raw())
    }

    /// What the record is; `None` if empty, several or not of the standard.
    pub fn report(&self) -> Option<ReportType> {
        ReportType::from_code(self.report_type().raw())
    }
}

impl ResultRecord<'_> {
    /// How final it is; `None` if empty, several or not of the standard. Vendors misuse these codes.
    pub fn result_status(&self) -> Option<ResultStatus> {
        ResultStatus::from_code(self.status().raw())
    }
}

impl CommentRecord<'_> {
    /// Who comments; `None` if empty or not of the standard.
    pub fn comment_source(&self) -> Option<CommentSource> {
        CommentSource::from_code(self.source().raw())
    }

    /// What kind of comment; `None` if empty or not of the standard.
    pub fn kind_of_comment(&self) -> Option<CommentType> {
        CommentType::from_code(self.comment_type().raw())
    }
}

impl RequestRecord<'_> {
    /// What is asked for; `None` if empty, several or not of the standard.
    pub fn request_status(&self) -> Option<RequestStatus> {
        RequestStatus::from_code(self.status().raw())
    }

    /// Whether all open orders are asked for, instead of named specimens.
    pub fn is_for_all(&self) -> bool {
        self.starting_range().raw() == b"ALL"
    }
}

impl TerminatorRecord<'_> {
    /// How the message ends; an empty field is normal, `None` is not of the standard.
    pub fn termination_code(&self) -> Option<TerminationCode> {
        if self.termination().is_null() {
            return Some(TerminationCode::Normal);
        }
        TerminationCode::from_code(self.termination().raw())
    }
}

/// A record under its own type.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// `H`.
    Header(HeaderRecord<'a>),
    /// `P`.
    Patient(PatientRecord<'a>),
    /// `O`.
    Order(OrderRecord<'a>),
    /// `R`.
    Result(ResultRecord<'a>),
    /// `C`.
    Comment(CommentRecord<'a>),
    /// `Q`.
    Request(RequestRecord<'a>),
    /// `L`.
    Terminator(TerminatorRecord<'a>),
    /// `S`.
    Scientific(ScientificRecord<'a>),
    /// `M`.
    Manufacturer(ManufacturerRecord<'a>),
    /// A record of no known type.
    Unknown(Record<'a>),
}

impl<'a> Record<'a> {
    /// The record under its own type.
    pub fn view(&self) -> View<'a> {
        match self.kind() {
            RecordKind::Header => View::Header(HeaderRecord::new(self)),
            RecordKind::Patient => View::Patient(PatientRecord::new(self)),
            RecordKind::Order => View::Order(OrderRecord::new(self)),
            RecordKind::Result => View::Result(ResultRecord::new(self)),
            RecordKind::Comment => View::Comment(CommentRecord::new(self)),
            RecordKind::Request => View::Request(RequestRecord::new(self)),
            RecordKind::Terminator => View::Terminator(TerminatorRecord::new(self)),
            RecordKind::Scientific => View::Scientific(ScientificRecord::new(self)),
            RecordKind::Manufacturer => View::Manufacturer(ManufacturerRecord::new(self)),
            RecordKind::Unknown(_) => View::Unknown(*self),
        }
    }
}
