//! Instruments of further departments that speak ASTM: coagulation, blood transfusion, a small counter.

use std::time::Duration;

use super::{
    Analyte, AstmShape, Persona, Section, Shape, WithoutOrder, astm::Control, choice, number,
};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Reagents by the short names that a site gave them.
const STA_ANALYTES: &[Analyte] = &[
    number(("SPT", "PT", "5902-2"), "S", (100, 140), 1),
    number(("SAP", "APTT", "14979-9"), "S", (250, 370), 1),
    number(("FIB", "FIB", "3255-7"), "g/l", (200, 400), 2),
];

pub(super) const STAGO_STA: Persona = Persona {
    name: "stago-sta",
    title: "Stago STA Satellite Max, coagulation; its own number in O.3, the tube in O.4",
    shape: Shape::Astm(&AstmShape {
        header: r"H|\^&|||STA_Satellite_Max^CL70012345^1|||||||P|1|{time}",
        purpose_query: "",
        purpose_result: "",
        query: "Q|1|^{id}||ALL||||||||O",
        patient: "P|1",
        order: "O|1|{message}|{id}||R||||||{action}||||||||||||||F",
        test: "^^^{code}",
        repeat: '\\',
        result: "R|{n}|^^^{code}^F^64|{value}|{unit}||{flag}||{status}||op1||{completed}",
        comment: "",
        extras: &[],
        suspect_flag: "W",
        absent_value: "",
        error_value: "----",
        preliminary: "P",
        control: Control {
            id: "CONTROLN",
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
    section: Section::Coagulation,
    analytes: STA_ANALYTES,
    default_panel: 2,
    queries: true,
    without_order: WithoutOrder::Skip,
    answer_timeout: ANSWER_TIMEOUT,
};

/// Grades of reactions, 0 to 40.
const GRADES: &[&str] = &["0", "40", "30", "20"];

const IH_COM_ANALYTES: &[Analyte] = &[
    choice(("AntiA", "RXA", ""), GRADES),
    choice(("AntiB", "RXB", ""), GRADES),
    choice(("AntiD", "RXD", ""), &["40", "30", "0"]),
    choice(
        ("Result", "BGSUM", ""),
        &["0^POS^NEG", "A^POS^NEG", "B^POS^NEG", "AB^NEG^NEG"],
    ),
    // Cells that the patient's plasma is typed with; a card of its own, which a site names.
    choice(("A1", "RXA1", ""), GRADES),
    choice(("B", "RXBC", ""), GRADES),
];

pub(super) const IH_COM: Persona = Persona {
    name: "ih-com",
    title: "Bio-Rad IH-500 behind IH-Com, blood transfusion; reactions and their sum",
    shape: Shape::Astm(&AstmShape {
        header: r"H|\^&|||Bio-Rad|IH v5.2||||||||{time}",
        purpose_query: "",
        purpose_result: "",
        query: "Q|1|^{id}||ALL||||||||O",
        patient: "P|1",
        order: "O|1|{id}|{id}^^^|^^^MO10^^{message}^|R|{started}|{started}||||{action}|||||||11||||{completed}|||F",
        test: "^^^{code}",
        repeat: '\\',
        result: "R|{n}|^^^{code}^MO10^Bloodgroup: A,B,D (5005)^|{value}^^|C||||{reaction}||op7^op9|{started}|{completed}|11|IH-500|0300002|op7",
        comment: "",
        extras: &[],
        suspect_flag: "W",
        absent_value: "-115",
        error_value: "-999",
        preliminary: "R",
        control: Control {
            id: "QC-IH1",
            action: "Q",
            processing: "",
            descriptor: "",
        },
        patient_action: "",
        answer_id: 1,
        answer_code: 4,
        panels: &[("MO10", &["AntiA", "AntiB", "AntiD", "A1", "B", "Result"])],
        one_record_per_frame: true,
    }),
    section: Section::Transfusion,
    analytes: IH_COM_ANALYTES,
    default_panel: 4,
    queries: true,
    without_order: WithoutOrder::Skip,
    answer_timeout: ANSWER_TIMEOUT,
};

/// Analyses as a site set them up: group, D, screen, and a crossmatch with one donor unit.
const VISION_ANALYTES: &[Analyte] = &[
    choice(("ABO", "ABO", ""), &["O", "A", "B", "AB"]),
    choice(("Rh", "RHD", ""), &["POS", "NEG"]),
    choice(("ABScr", "ABSCR", ""), &["NEG", "POS"]),
    choice(("XM_IgG", "XM", ""), &["Compatible", "Incompatible"]),
];

pub(super) const VISION: Persona = Persona {
    name: "vision",
    title: "Ortho VISION, blood transfusion; interpretations, crossmatches by donor unit",
    shape: Shape::Astm(&AstmShape {
        header: r"H|\^&|||OCD^VISION^5.13.1.46935^J60000001|||||||P|LIS2-A|{time}",
        purpose_query: "",
        purpose_result: "",
        query: "Q|1|^{id}||||||||||O",
        patient: "P|1",
        order: "O|1|{id}||{tests}|N|{started}|||||{action}||||CENTBLOOD|||||||{completed}|||F",
        test: "{code}",
        repeat: '\\',
        result: "R|{n}|{code}{donor}|{value}|||{flag}{hand}||{status}||Automatic||{completed}|J60000001",
        comment: "",
        extras: &[],
        suspect_flag: "I",
        absent_value: "",
        error_value: "",
        preliminary: "P",
        control: Control {
            id: "QCABO1",
            action: "Q",
            processing: "",
            descriptor: "",
        },
        patient_action: "",
        answer_id: 1,
        answer_code: 1,
        panels: &[("ABO", &["ABO", "Rh"])],
        one_record_per_frame: true,
    }),
    section: Section::Transfusion,
    analytes: VISION_ANALYTES,
    default_panel: 2,
    queries: true,
    without_order: WithoutOrder::Skip,
    answer_timeout: ANSWER_TIMEOUT,
};

/// A count with three kinds of white cells, in SI units.
const XP_ANALYTES: &[Analyte] = &[
    number(("WBC", "WBC", "6690-2"), "10*9/L", (40, 100), 1),
    number(("RBC", "RBC", "789-8"), "10*12/L", (400, 580), 2),
    number(("HGB", "HGB", "718-7"), "g/L", (120, 170), 0),
    number(("HCT", "HCT", "4544-3"), "L/L", (360, 500), 3),
    number(("MCV", "MCV", "787-2"), "fL", (800, 1_000), 1),
    number(("MCH", "MCH", "785-6"), "pg", (270, 340), 1),
    number(("MCHC", "MCHC", "786-4"), "g/L", (320, 360), 0),
    number(("PLT", "PLT", "777-3"), "10*9/L", (150, 400), 0),
];

pub(super) const SYSMEX_XP: Persona = Persona {
    name: "sysmex-xp",
    title: "Sysmex XP-300, haematology; never asks, the whole message in one frame",
    shape: Shape::Astm(&AstmShape {
        header: r"H|\^&|||XP-300^00-13^^^^A1001^BS123456||||||||E1394-97",
        purpose_query: "",
        purpose_result: "",
        query: "Q|1|^{id}||ALL||||||||O",
        patient: "P|1",
        order: "O|1||^^{id22}^B|{tests}|||||||{action}||||||||||||||F",
        test: "^^^^{code}",
        repeat: '\\',
        result: "R|{n}|^^^^{code}^1|{value}|{unit}||{flag}||||KTV01          ||{completed}",
        comment: "",
        extras: &[],
        suspect_flag: "W",
        absent_value: "----",
        error_value: "----",
        preliminary: "",
        control: Control {
            id: "QC-300",
            action: "Q",
            processing: "",
            descriptor: "",
        },
        patient_action: "N",
        answer_id: 3,
        answer_code: 5,
        panels: &[],
        one_record_per_frame: false,
    }),
    section: Section::Haematology,
    analytes: XP_ANALYTES,
    default_panel: 8,
    queries: false,
    without_order: WithoutOrder::DefaultPanel,
    answer_timeout: ANSWER_TIMEOUT,
};
