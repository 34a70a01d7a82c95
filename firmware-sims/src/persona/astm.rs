//! The words of the ASTM instruments, as templates.
//!
//! Places that are filled: `{id}` and `{id22}` (right-justified to 22), `{rack}`, `{pos}`, `{seq}`,
//! `{tests}`, `{attribute}` (B, of a control A), `{action}`, `{purpose}`, `{processing}`,
//! `{descriptor}`, `{message}`, `{time}`, `{day}`, `{started}`, `{completed}`; in results also
//! `{n}`, `{code}`, `{loinc}`, `{value}`, `{unit}`, `{range}`, `{flag}`, `{status}`, `{alarm}`; of blood
//! `{donor}` (`^` and the unit, or nothing), `{hand}` (M where somebody changed the reading) and
//! `{reaction}` (R, or C where it corrects).

use std::time::Duration;

use super::{
    ACCESS_ANALYTES, CHEMISTRY_ANALYTES, COUNTER_ANALYTES, E411_ANALYTES, Persona, Section, Shape,
    WithoutOrder, XN_ANALYTES, XPERT_ANALYTES,
};

/// How an ASTM instrument writes its records and where it finds what it is told.
#[derive(Clone, Copy, Debug)]
pub struct AstmShape {
    /// H.
    pub header: &'static str,
    /// `{purpose}` of a query.
    pub purpose_query: &'static str,
    /// `{purpose}` of results.
    pub purpose_result: &'static str,
    /// Q.
    pub query: &'static str,
    /// P.
    pub patient: &'static str,
    /// O in front of results.
    pub order: &'static str,
    /// One test in `{tests}`.
    pub test: &'static str,
    /// Between tests; the repeat delimiter of its header.
    pub repeat: char,
    /// R.
    pub result: &'static str,
    /// After every R; empty for none.
    pub comment: &'static str,
    /// Further R records at the end of a run.
    pub extras: &'static [&'static str],
    /// `{flag}` of a value that the instrument doubts.
    pub suspect_flag: &'static str,
    /// `{value}` of a result that could not be had, with status X.
    pub absent_value: &'static str,
    /// `{value}` of an analysis that failed, with status F.
    pub error_value: &'static str,
    /// `{status}` of a first run that will be repeated.
    pub preliminary: &'static str,
    /// Specimen id of a control, `{action}`, `{processing}` and `{descriptor}` of its run.
    pub control: Control,
    /// `{action}` of a patient's run.
    pub patient_action: &'static str,
    /// Component of O.3 in an answer that holds the specimen id.
    pub answer_id: usize,
    /// Component of a repeat of O.5 in an answer that holds the test code.
    pub answer_code: usize,
    /// Codes in an answer that stand for several of its own.
    pub panels: &'static [(&'static str, &'static [&'static str])],
    /// Every record has a frame of its own; otherwise the whole message is one.
    pub one_record_per_frame: bool,
}

/// How a run of control material is marked.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    /// What stands where a patient's barcode stands.
    pub id: &'static str,
    /// O.12.
    pub action: &'static str,
    /// H.12.
    pub processing: &'static str,
    /// O.16.
    pub descriptor: &'static str,
}

/// Answers come within the 10 s that most hosts need at worst.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) const SYSMEX_XN: Persona = Persona {
    name: "sysmex-xn",
    title: "Sysmex XN-1000, haematology; asks by rack, position and id",
    shape: Shape::Astm(&AstmShape {
        header: r"H|\^&|||    XN-1000^00-24^10001^^^^AB123456||||||||E1394-97",
        purpose_query: "",
        purpose_result: "",
        query: "Q|1|{rack}^{pos}^{id22}^B||ALL|0|{time}",
        patient: "P|1",
        order: "O|1||{rack}^{pos}^{id22}^{attribute}|{tests}|||||||{action}||||||||||||||F",
        test: "^^^^{code}",
        repeat: '\\',
        result: "R|{n}|^^^^{code}^1|{value}|{unit}||{flag}||{status}||||{completed}",
        comment: "",
        extras: &[
            "R|{n}|^^^^Left_Shift?|0|||||F||||{completed}",
            "R|{n}|^^^^SCAT_WDF|PNG&R&{day}&R&{completed}_WDF.PNG|||N||F||||{completed}",
        ],
        suspect_flag: "W",
        absent_value: "",
        error_value: "----",
        preliminary: "P",
        control: Control {
            id: "QC-12345678",
            action: "N",
            processing: "",
            descriptor: "",
        },
        patient_action: "N",
        answer_id: 3,
        answer_code: 5,
        panels: &[],
        one_record_per_frame: true,
    }),
    section: Section::Haematology,
    analytes: XN_ANALYTES,
    default_panel: 21,
    queries: true,
    without_order: WithoutOrder::DefaultPanel,
    answer_timeout: ANSWER_TIMEOUT,
};

pub(super) const COBAS_E411: Persona = Persona {
    name: "cobas-e411",
    title: "Roche cobas e411, immunology; whole message in one frame, asks with TSREQ",
    shape: Shape::Astm(&AstmShape {
        header: r"H|\^&|||cobas-e411^1|||||host|{purpose}|P|1",
        purpose_query: "TSREQ^REAL",
        purpose_result: "RSUPL^REAL",
        query: "Q|1|^^{id}^{seq}^0^{pos}^^S1^SC||ALL||||||||O",
        patient: "P|1",
        order: "O|1|{id}|{seq}^0^{pos}^^S1^SC|{tests}|R||||||{action}||||1|||||||{completed}|||F",
        test: "^^^{code}^",
        repeat: '\\',
        result: "R|{n}|^^^{code}/|{value}|{unit}||{flag}||{status}||op|{started}|{completed}|E1",
        comment: "C|1|I|{alarm}|I",
        extras: &[],
        suspect_flag: "W",
        absent_value: "",
        error_value: "----",
        preliminary: "P",
        control: Control {
            id: "PCU1",
            action: "Q",
            processing: "",
            descriptor: "",
        },
        patient_action: "N",
        answer_id: 1,
        answer_code: 4,
        panels: &[],
        one_record_per_frame: false,
    }),
    section: Section::Immunology,
    analytes: E411_ANALYTES,
    default_panel: 2,
    queries: true,
    without_order: WithoutOrder::Skip,
    // The instrument's own limit (TS timeout).
    answer_timeout: Duration::from_secs(25),
};

pub(super) const ACCESS2: Persona = Persona {
    name: "access2",
    title: "Beckman Access 2, immunology",
    shape: Shape::Astm(&AstmShape {
        header: r"H|\^&|||ACCESS^500001|||||LIS||P|1|{time}",
        purpose_query: "",
        purpose_result: "",
        query: "Q|1|^{id}||ALL||||||||O",
        patient: "P|1",
        order: "O|1|{id}|^{rack}^{pos}|{tests}|||||||{action}||||Serum||||||||||F",
        test: "^^^{code}^1",
        repeat: '\\',
        result: "R|{n}|^^^{code}^1|{value}|{unit}||{flag}||{status}||||{completed}|500001",
        comment: "",
        extras: &[],
        suspect_flag: "W",
        absent_value: "",
        error_value: "----",
        preliminary: "P",
        control: Control {
            id: "QC-LEVEL1",
            action: "Q",
            processing: "",
            descriptor: "",
        },
        patient_action: "",
        answer_id: 1,
        answer_code: 4,
        panels: &[],
        one_record_per_frame: true,
    }),
    section: Section::Immunology,
    analytes: ACCESS_ANALYTES,
    default_panel: 2,
    queries: true,
    without_order: WithoutOrder::Skip,
    answer_timeout: ANSWER_TIMEOUT,
};

pub(super) const YUMIZEN_H500: Persona = Persona {
    name: "yumizen-h500",
    title: "Horiba Yumizen H500, haematology; never asks, marks controls in H.12",
    shape: Shape::Astm(&AstmShape {
        header: r"H|\^&|||H500^910YOXH00000^2.2.2.2b|||||||{processing}|LIS2-A2|{time}",
        purpose_query: "",
        purpose_result: "",
        query: "Q|1|^{id}||ALL||||||||O",
        patient: "P|1",
        order: "O|1|{id}||^^^DIF|R|{started}|||||||||{descriptor}||||||||||F",
        test: "^^^{code}",
        repeat: '\\',
        result: "R|{n}|^^^{code}^{loinc}|{value}|{unit}||{flag}||{status}||||{completed}",
        comment: "",
        extras: &[],
        suspect_flag: "W",
        absent_value: "-----",
        error_value: "-----",
        preliminary: "W",
        control: Control {
            id: "PX440N",
            action: "",
            processing: "Q",
            descriptor: "CTRL^^CTRL MEDIUM",
        },
        patient_action: "",
        answer_id: 1,
        answer_code: 4,
        panels: &[],
        one_record_per_frame: true,
    }),
    section: Section::Haematology,
    analytes: COUNTER_ANALYTES,
    default_panel: 21,
    queries: false,
    without_order: WithoutOrder::DefaultPanel,
    answer_timeout: ANSWER_TIMEOUT,
};

pub(super) const GENEXPERT: Persona = Persona {
    name: "genexpert",
    title: "Cepheid GeneXpert, MTB/RIF; delimiters of its own, result and details",
    shape: Shape::Astm(&AstmShape {
        header: r"H|@^\|URM-{message}||LAB^GeneXpert^4.8|||||host||{processing}|1394-97|{time}",
        purpose_query: "",
        purpose_result: "",
        query: "Q|1|^{id}||^^^MTB-RIF||||||||O",
        patient: "P|1",
        order: "O|1|{id}||^^^MTB-RIF|R|{started}|||||{action}||||ORH||||||||||F",
        test: "^^^{code}",
        repeat: '@',
        result: "R|{n}|^MTB-RIF^^MTB-RIF^Xpert MTB-RIF^5^{code}^|{value}^|||{flag}||{status}||op|{started}|{completed}",
        comment: "",
        extras: &[
            "R|{n}|^MTB-RIF^^MTB-RIF^Xpert MTB-RIF^5^rpoB1^Ct|^0.0|||||F||op|{started}|{completed}",
            "R|{n}|^MTB-RIF^^MTB-RIF^Xpert MTB-RIF^5^rpoB1^EndPt|^3.0|||||F||op|{started}|{completed}",
        ],
        suspect_flag: "W",
        absent_value: "",
        error_value: "ERROR",
        preliminary: "P",
        control: Control {
            id: "QC-MTB",
            action: "Q",
            processing: "P",
            descriptor: "",
        },
        patient_action: "",
        answer_id: 1,
        answer_code: 4,
        panels: &[("MTB-RIF", &["MTB", "Rif"])],
        one_record_per_frame: true,
    }),
    section: Section::Molecular,
    analytes: XPERT_ANALYTES,
    default_panel: 2,
    queries: true,
    without_order: WithoutOrder::Skip,
    answer_timeout: ANSWER_TIMEOUT,
};

pub(super) const GENERIC_ASTM: Persona = Persona {
    name: "generic-astm",
    title: "An analyzer exactly by LIS02-A2, biochemistry",
    shape: Shape::Astm(&AstmShape {
        header: r"H|\^&|||ANALYZER1^1.0|||||BRIDGE||{processing}|LIS2-A2|{time}",
        purpose_query: "",
        purpose_result: "",
        query: "Q|1|^{id}||ALL||||||||O",
        patient: "P|1",
        order: "O|1|{id}||{tests}|R||||||{action}||||||||||||||F",
        test: "^^^{code}",
        repeat: '\\',
        result: "R|{n}|^^^{code}|{value}|{unit}|{range}|{flag}||{status}||OPER1|{started}|{completed}|ANALYZER1",
        comment: "",
        extras: &[],
        suspect_flag: "W",
        absent_value: "",
        error_value: "----",
        preliminary: "P",
        control: Control {
            id: "QC1",
            action: "Q",
            processing: "Q",
            descriptor: "",
        },
        patient_action: "",
        answer_id: 1,
        answer_code: 4,
        panels: &[],
        one_record_per_frame: true,
    }),
    section: Section::Biochemistry,
    analytes: CHEMISTRY_ANALYTES,
    default_panel: 10,
    queries: true,
    without_order: WithoutOrder::Skip,
    answer_timeout: ANSWER_TIMEOUT,
};
