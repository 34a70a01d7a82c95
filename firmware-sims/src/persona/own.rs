//! Instruments on wires of their own: IHE LAW, Beckman AU, Siemens Dimension, POCT1-A, older Sysmex and
//! bioMérieux BCI. Each fits the built-in profile that its title names.

use std::time::Duration;

use labwire_protocols::beckman_au::Model;

use super::{Analyte, Persona, Section, Shape, WithoutOrder, number};

/// How an instrument on a wire of its own writes.
#[derive(Clone, Copy, Debug)]
pub struct OwnShape {
    /// Its wire.
    pub wire: OwnWire,
    /// Control material: what stands where a patient's barcode stands.
    pub control_id: &'static str,
    /// The flag of a value that the instrument doubts.
    pub suspect_flag: &'static str,
    /// What stands in the value field of a result that could not be had.
    pub absent_value: &'static str,
    /// The same of an analysis that failed.
    pub error_value: &'static str,
}

/// The wire, and what on it is the model's or the site's.
#[derive(Clone, Copy, Debug)]
pub enum OwnWire {
    /// IHE LAW over MLLP.
    Law(LawShape),
    /// Texts of fixed columns.
    BeckmanAu(AuShape),
    /// Siemens Dimension.
    Dimension(DimensionShape),
    /// POCT1-A.
    Poct1a(Poct1aShape),
    /// Older Sysmex: one line of fixed columns.
    SysmexLegacy(&'static [SysmexColumn]),
    /// bioMérieux BCI.
    Bci(BciShape),
}

/// How a LAW analyzer names things.
#[derive(Clone, Copy, Debug)]
pub struct LawShape {
    /// MSH-3 and the model in OBX-18.
    pub application: &'static str,
    /// MSH-4.
    pub facility: &'static str,
    /// The coding system of its tests, and of reagents and controls.
    pub coding: &'static str,
}

/// The parameter sheet of a Beckman AU, in columns.
#[derive(Clone, Copy, Debug)]
pub struct AuShape {
    /// Whose defaults of the link it has.
    pub model: Model,
    /// Unit number behind the code: `00` or nothing.
    pub unit_no: &'static str,
    /// Columns of the sample id.
    pub sample_id: usize,
    /// Whether the id stands at the right end of them.
    pub is_right: bool,
    /// Columns behind the block id of a result text.
    pub patient: usize,
    /// What stands before the test number of a result.
    pub unit: &'static str,
    /// Columns of a value, right-justified.
    pub value: usize,
    /// Columns of all marks.
    pub marks: usize,
    /// Columns of a block.
    pub block: usize,
}

/// How a Dimension is set up.
#[derive(Clone, Copy, Debug)]
pub struct DimensionShape {
    /// Its name in a poll.
    pub name: &'static str,
    /// How often it polls.
    pub polls_every: Duration,
}

/// What a POCT1-A device says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Poct1aShape {
    /// DEV.device_id.
    pub device: &'static str,
    /// DEV.vendor_id.
    pub vendor: &'static str,
    /// DEV.model_id.
    pub model: &'static str,
    /// DEV.serial_id.
    pub serial: &'static str,
    /// The cartridge, which is what is ordered.
    pub service: &'static str,
}

/// One column of an older Sysmex: four digits and a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SysmexColumn {
    /// The parameter; one that is no analyte of the persona has the digits below.
    pub code: &'static str,
    /// What stands there of no analyte.
    pub digits: &'static str,
}

/// How a VIDAS is set up.
#[derive(Clone, Copy, Debug)]
pub struct BciShape {
    /// Whether it writes a comma where others have a point, as in French and Vietnamese.
    pub has_comma: bool,
}

/// Assays with codes of the site's own, in the analyzer's coding system; units are UCUM's.
const LAW_ANALYTES: &[Analyte] = &[
    number(("TSH", "TSH", "3016-3"), "m[iU]/L", (27, 420), 2),
    number(("FT4", "FT4", "14920-3"), "pmol/L", (1_200, 2_200), 2),
    number(("FT3", "FT3", "14928-6"), "pmol/L", (310, 680), 2),
    number(("PSA", "PSA", "2857-1"), "ug/L", (0, 400), 2),
    number(("CEA", "CEA", "2039-6"), "ug/L", (0, 470), 2),
    number(("AFP", "AFP", "1834-1"), "ug/L", (0, 700), 2),
];

pub(super) const IHE_LAW: Persona = Persona {
    name: "ihe-law",
    title: "An analyzer by IHE LAW, immunology; asks QBP^Q11, takes OML^O33 (generic/law)",
    shape: Shape::Own(&OwnShape {
        wire: OwnWire::Law(LawShape {
            application: "AN1",
            facility: "LAB",
            coding: "99LAB",
        }),
        control_id: "CTRL-1",
        suspect_flag: "W",
        absent_value: "",
        error_value: "----",
    }),
    section: Section::Immunology,
    analytes: LAW_ANALYTES,
    default_panel: 2,
    queries: true,
    without_order: WithoutOrder::Skip,
    answer_timeout: Duration::from_secs(10),
};

/// Online test numbers are a table of the site: these are one site's.
const AU_ANALYTES: &[Analyte] = &[
    number(("010", "GLU", "2345-7"), "mmol/L", (39, 64), 1),
    number(("011", "UREA", "22664-7"), "mmol/L", (25, 75), 1),
    number(("012", "CREA", "2160-0"), "umol/L", (62, 106), 0),
    number(("016", "ALT", "1742-6"), "U/L", (0, 410), 1),
    number(("020", "AST", "1920-8"), "U/L", (0, 370), 1),
    number(("021", "GGT", "2324-2"), "U/L", (80, 610), 1),
    number(("030", "CHOL", "2093-3"), "mmol/L", (300, 520), 2),
    number(("031", "TRIG", "2571-8"), "mmol/L", (46, 188), 2),
    number(("040", "CA", "17861-6"), "mmol/L", (215, 255), 2),
    number(("041", "PHOS", "2777-1"), "mmol/L", (81, 145), 2),
    number(("050", "TP", "2885-2"), "g/L", (660, 830), 1),
    number(("051", "ALB", "1751-7"), "g/L", (350, 520), 1),
];

/// T1: an AU that has no order after two seconds goes on without.
const AU_ANSWER: Duration = Duration::from_secs(2);

const AU5800: AuShape = AuShape {
    model: Model::Au5800,
    unit_no: "00",
    sample_id: 10,
    is_right: false,
    patient: 0,
    unit: "0",
    value: 9,
    marks: 8,
    block: 256,
};

const fn au(name: &'static str, title: &'static str, shape: &'static OwnShape) -> Persona {
    Persona {
        name,
        title,
        shape: Shape::Own(shape),
        section: Section::Biochemistry,
        analytes: AU_ANALYTES,
        default_panel: 12,
        queries: true,
        without_order: WithoutOrder::Skip,
        answer_timeout: AU_ANSWER,
    }
}

/// `*` is a reaction that was not linear, `?` a result that could not be calculated, both hold.
const fn au_shape(shape: AuShape) -> OwnShape {
    OwnShape {
        wire: OwnWire::BeckmanAu(shape),
        control_id: "012",
        suspect_flag: "*",
        absent_value: "",
        error_value: "?",
    }
}

pub(super) const BECKMAN_AU: Persona = au(
    "beckman-au",
    "Beckman Coulter AU5800, biochemistry; asks with R, class B (beckman/au)",
    &au_shape(AU5800),
);

pub(super) const BECKMAN_AU480: Persona = au(
    "beckman-au480",
    "Beckman Coulter AU480 as one site has it; asks with R, no block check (beckman/au480)",
    &au_shape(AuShape {
        model: Model::Au480,
        unit_no: "",
        sample_id: 19,
        is_right: true,
        patient: 27,
        unit: "",
        value: 6,
        marks: 2,
        ..AU5800
    }),
);

const DIMENSION_ANALYTES: &[Analyte] = &[
    number(("GLUC", "GLU", "2345-7"), "mmol/L", (39, 64), 1),
    number(("NA", "NA", "2951-2"), "mmol/L", (135, 145), 0),
    number(("K", "K", "2823-3"), "mmol/L", (35, 51), 1),
    number(("CL", "CL", "2075-0"), "mmol/L", (98, 107), 0),
    number(("AST", "AST", "1920-8"), "U/L", (10, 37), 0),
    number(("ALTI", "ALT", "1742-6"), "U/L", (10, 41), 0),
    number(("GGT", "GGT", "2324-2"), "U/L", (8, 61), 0),
    number(("ALB", "ALB", "1751-7"), "g/L", (35, 52), 0),
    number(("CHOL", "CHOL", "2093-3"), "mmol/L", (300, 520), 2),
];

pub(super) const DIMENSION: Persona = Persona {
    name: "dimension",
    title: "Siemens Dimension RxL, biochemistry; polls, and asks with I (siemens/dimension)",
    shape: Shape::Own(&OwnShape {
        wire: OwnWire::Dimension(DimensionShape {
            name: "DIM1",
            polls_every: Duration::from_secs(15),
        }),
        control_id: "QCL1",
        suspect_flag: "6",
        absent_value: "",
        error_value: "",
    }),
    section: Section::Biochemistry,
    analytes: DIMENSION_ANALYTES,
    default_panel: 4,
    queries: true,
    without_order: WithoutOrder::Skip,
    answer_timeout: Duration::from_secs(10),
};

/// A cartridge CHEM8+ by LOINC's codes of whole blood.
const I_STAT_ANALYTES: &[Analyte] = &[
    number(("2947-0", "NA", "2947-0"), "mmol/L", (135, 145), 0),
    number(("6298-4", "K", "6298-4"), "mmol/L", (35, 51), 1),
    number(("2069-3", "CL", "2069-3"), "mmol/L", (98, 107), 0),
    number(("1994-3", "ICA", "1994-3"), "mmol/L", (115, 133), 2),
    number(("15074-8", "GLU", "15074-8"), "mmol/L", (39, 64), 1),
    number(("59826-8", "CREA", "59826-8"), "umol/L", (62, 106), 0),
];

pub(super) const I_STAT: Persona = Persona {
    name: "i-stat",
    title: "Abbott i-STAT at the bedside; POCT1-A, reports when asked by REQ (abbott/i-stat)",
    shape: Shape::Own(&OwnShape {
        wire: OwnWire::Poct1a(Poct1aShape {
            device: "00-0D-F0-11-22-33",
            vendor: "ABT",
            model: "i-STAT 1",
            serial: "358712",
            service: "CHEM8",
        }),
        control_id: "L1-26071",
        suspect_flag: "W",
        absent_value: "",
        error_value: "***",
    }),
    section: Section::Biochemistry,
    analytes: I_STAT_ANALYTES,
    default_panel: 6,
    queries: false,
    without_order: WithoutOrder::DefaultPanel,
    answer_timeout: Duration::from_secs(30),
};

/// Numbers of a KX-21, whose columns have no point: it stands where the profile says.
const KX_ANALYTES: &[Analyte] = &[
    number(("WBC", "WBC", "6690-2"), "10*9/L", (40, 100), 1),
    number(("RBC", "RBC", "789-8"), "10*12/L", (400, 580), 2),
    number(("HGB", "HGB", "718-7"), "g/L", (120, 170), 0),
    number(("HCT", "HCT", "4544-3"), "L/L", (360, 500), 3),
    number(("MCV", "MCV", "787-2"), "fL", (800, 1_000), 1),
    number(("MCH", "MCH", "785-6"), "pg", (270, 340), 1),
    number(("MCHC", "MCHC", "786-4"), "g/L", (320, 360), 0),
    number(("PLT", "PLT", "777-3"), "10*9/L", (150, 400), 0),
    number(("LYM%", "LYMPHP", "736-9"), "%", (190, 480), 1),
    number(("MXD%", "MXDP", "32155-4"), "%", (30, 120), 1),
    number(("NEUT%", "NEUTP", "770-8"), "%", (400, 740), 1),
    number(("LYM#", "LYMPH", "731-0"), "10*9/L", (9, 52), 1),
    number(("MXD#", "MXD", "32154-7"), "10*9/L", (2, 12), 1),
    number(("NEUT#", "NEUT", "751-8"), "10*9/L", (19, 80), 1),
    number(("PDW", "PDW", "32207-3"), "fL", (90, 170), 1),
    number(("MPV", "MPV", "32623-1"), "fL", (90, 130), 1),
    number(("P-LCR", "PLCR", "48386-7"), "%", (130, 430), 1),
];

const fn column(code: &'static str) -> SysmexColumn {
    SysmexColumn { code, digits: "" }
}

/// The order of a KX-21's columns; RDW is a CV or an SD, and so no analyte.
const KX_COLUMNS: &[SysmexColumn] = &[
    column("WBC"),
    column("RBC"),
    column("HGB"),
    column("HCT"),
    column("MCV"),
    column("MCH"),
    column("MCHC"),
    column("PLT"),
    column("LYM%"),
    column("MXD%"),
    column("NEUT%"),
    column("LYM#"),
    column("MXD#"),
    column("NEUT#"),
    SysmexColumn {
        code: "RDW",
        digits: "0133",
    },
    column("PDW"),
    column("MPV"),
    column("P-LCR"),
];

pub(super) const SYSMEX_KX21: Persona = Persona {
    name: "sysmex-kx21",
    title: "Sysmex KX-21, haematology; fixed columns, counts whatever it is given (sysmex/kx-21)",
    shape: Shape::Own(&OwnShape {
        wire: OwnWire::SysmexLegacy(KX_COLUMNS),
        control_id: "QC",
        suspect_flag: "1",
        absent_value: "****",
        error_value: "****",
    }),
    section: Section::Haematology,
    analytes: KX_ANALYTES,
    default_panel: 17,
    queries: false,
    without_order: WithoutOrder::DefaultPanel,
    answer_timeout: Duration::from_secs(15),
};

/// Kits by the manufacturer's codes.
const VIDAS_ANALYTES: &[Analyte] = &[
    number(("TSH", "TSH", "3016-3"), "uUI/ml", (25, 500), 2),
    number(("HCG", "BHCG", "21198-7"), "mUI/ml", (200, 1_000), 2),
];

pub(super) const MINI_VIDAS: Persona = Persona {
    name: "mini-vidas",
    title: "bioMérieux mini VIDAS, immunology; BCI, takes orders, never asks (biomerieux/vidas)",
    shape: Shape::Own(&OwnShape {
        wire: OwnWire::Bci(BciShape { has_comma: true }),
        control_id: "QC1",
        suspect_flag: "expired",
        absent_value: "",
        error_value: "",
    }),
    section: Section::Immunology,
    analytes: VIDAS_ANALYTES,
    default_panel: 1,
    queries: false,
    without_order: WithoutOrder::DefaultPanel,
    answer_timeout: Duration::from_secs(15),
};
