//! The words of the HL7 instruments, as templates; see the ASTM ones for the places.
//!
//! `{type}` is NM or ST, `{control}` is MSH-10, `{report}` OBR-25.

use std::time::Duration;

use super::{CHEMISTRY_ANALYTES, COUNTER_ANALYTES, Persona, Section, Shape, WithoutOrder};

/// How an HL7 instrument writes its segments.
#[derive(Clone, Copy, Debug)]
pub struct Hl7Shape {
    /// MSH with `{kind}`, the content of MSH-9.
    pub header: &'static str,
    /// MSH-9 of results.
    pub kind_result: &'static str,
    /// MSH-9 of a query.
    pub kind_query: &'static str,
    /// MSH-9 of the acknowledgement of an order.
    pub kind_ack: &'static str,
    /// Segments of a query behind MSH; none if it never asks.
    pub query: &'static [&'static str],
    /// Segments between MSH and the results, patient's run.
    pub before: &'static [&'static str],
    /// The same of a control's run.
    pub before_control: &'static [&'static str],
    /// OBX.
    pub result: &'static str,
    /// Segments behind the results.
    pub after: &'static [&'static str],
    /// The same of a control's run.
    pub after_control: &'static [&'static str],
    /// OBX segments that `before` holds, so that set ids go on.
    pub first_set_id: usize,
    /// OBX-8 of a value that the instrument doubts.
    pub suspect_flag: &'static str,
    /// What stands in the value field of an analysis that failed.
    pub error_value: &'static str,
    /// Control material: what stands where a patient's barcode stands.
    pub control_id: &'static str,
    /// MSH-11 of a control's run.
    pub control_processing: &'static str,
}

pub(super) const MINDRAY_BC5000: Persona = Persona {
    name: "mindray-bc5000",
    title: "Mindray BC-5000, haematology; HL7 2.3.1, asks with ORM^O01",
    shape: Shape::Hl7(&Hl7Shape {
        header: r"MSH|^~\&|BC-5000|Mindray|||{time}||{kind}|{control}|{processing}|2.3.1||||||UNICODE",
        kind_result: "ORU^R01",
        kind_query: "ORM^O01",
        kind_ack: "ACK^R01",
        query: &["ORC|RF|{id}|||IP"],
        before: &[
            "PID|1",
            "PV1|1",
            "OBR|1||{id}|00001^Automated Count^99MRC|||{completed}|||||||||||||||||HM",
            "OBX|1|IS|08001^Take Mode^99MRC||A||||||F",
            "OBX|2|IS|08002^Blood Mode^99MRC||W||||||F",
            "OBX|3|IS|08003^Test Mode^99MRC||CBC+DIFF||||||F",
        ],
        before_control: &[
            "OBR|1||{id}|00003^LJ QCR^99MRC|||{completed}|||||||||||||||||HM",
            "OBX|1|IS|05001^QC Level^99MRC||M||||||F",
            "OBX|2|IS|08002^Blood Mode^99MRC||W||||||F",
            "OBX|3|IS|08003^Test Mode^99MRC||CBC+DIFF||||||F",
        ],
        result: "OBX|{n}|{type}|{loinc}^{code}^LN||{value}|{unit}|{range}|{flag}|||{status}",
        after: &[],
        after_control: &[],
        first_set_id: 4,
        suspect_flag: "W",
        error_value: "***.**",
        control_id: "QC-MB-M",
        control_processing: "Q",
    }),
    section: Section::Haematology,
    analytes: COUNTER_ANALYTES,
    default_panel: 21,
    queries: true,
    without_order: WithoutOrder::DefaultPanel,
    answer_timeout: Duration::from_secs(10),
};

pub(super) const GENERIC_HL7: Persona = Persona {
    name: "generic-hl7",
    title: "An analyzer exactly by HL7 2.5.1, biochemistry; ORU^R01",
    shape: Shape::Hl7(&Hl7Shape {
        before: &[
            "PID|1",
            "OBR|1||{id}|CHEM^Chemistry^L|||{started}||||||||||||||||||{report}",
        ],
        before_control: &["OBR|1||{id}|CHEM^Chemistry^L|||{started}||||||||||||||||||{report}"],
        after: &["SPM|1|{id}||SER^Serum^HL70487|||||||P"],
        after_control: &["SPM|1|{id}||SER^Serum^HL70487|||||||Q"],
        kind_result: "ORU^R01^ORU_R01",
        ..MODERN
    }),
    section: Section::Biochemistry,
    analytes: CHEMISTRY_ANALYTES,
    default_panel: 10,
    queries: false,
    without_order: WithoutOrder::DefaultPanel,
    answer_timeout: Duration::from_secs(10),
};

pub(super) const GENERIC_HL7_OUL: Persona = Persona {
    name: "generic-hl7-oul",
    title: "The same, specimen-centric; OUL^R22",
    shape: Shape::Hl7(&Hl7Shape {
        before: &[
            "SPM|1|{id}||SER^Serum^HL70487|||||||P",
            "OBR|1|||CHEM^Chemistry^L|||{started}||||||||||||||||||{report}",
        ],
        before_control: &[
            "SPM|1|{id}||SER^Serum^HL70487|||||||Q",
            "OBR|1|||CHEM^Chemistry^L|||{started}||||||||||||||||||{report}",
        ],
        after: &[],
        after_control: &[],
        kind_result: "OUL^R22^OUL_R22",
        ..MODERN
    }),
    ..GENERIC_HL7
};

/// What both shapes of HL7 2.5.1 share.
const MODERN: Hl7Shape = Hl7Shape {
    header: r"MSH|^~\&|ANALYZER2|LAB|BRIDGE|LAB|{time}||{kind}|{control}|{processing}|2.5.1||||||UNICODE UTF-8",
    kind_result: "",
    kind_query: "",
    kind_ack: "ACK",
    query: &[],
    before: &[],
    before_control: &[],
    result: "OBX|{n}|{type}|{loinc}^{code}^LN^{code}^{code}^L||{value}|{unit}^{unit}^UCUM|{range}|{flag}|||{status}|||{completed}||||ANALYZER2",
    after: &[],
    after_control: &[],
    first_set_id: 1,
    suspect_flag: "W",
    error_value: "----",
    control_id: "QC1",
    control_processing: "P",
};
