//! Which instruments there are: their tests, their habits and their words, as data.

use std::time::Duration;

mod astm;
mod departments;
mod hl7;
mod own;

pub use self::{
    astm::AstmShape,
    hl7::Hl7Shape,
    own::{
        AuShape, BciShape, DimensionShape, LawShape, OwnShape, OwnWire, Poct1aShape, SysmexColumn,
    },
};

/// One simulated model.
#[derive(Clone, Copy, Debug)]
pub struct Persona {
    /// What the command line calls it.
    pub name: &'static str,
    /// What it plays.
    pub title: &'static str,
    /// How it writes and reads.
    pub shape: Shape,
    /// Where it stands.
    pub section: Section,
    /// What it measures; the first `default_panel` of them without being asked.
    pub analytes: &'static [Analyte],
    /// How many analytes it measures when nobody said which.
    pub default_panel: usize,
    /// Whether it asks the host what to do with a tube.
    pub queries: bool,
    /// What it does with a tube that the host knows nothing of.
    pub without_order: WithoutOrder,
    /// How long it waits for the answer to a query.
    pub answer_timeout: Duration,
}

/// How a persona writes and reads.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// LIS01-A2 and LIS02-A2.
    Astm(&'static AstmShape),
    /// HL7 over MLLP.
    Hl7(&'static Hl7Shape),
    /// IHE LAW, or a wire of the vendor's own.
    Own(&'static OwnShape),
}

/// The bench a persona stands at; it decides which tubes it gets in a simulated morning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Blood counts.
    Haematology,
    /// Hormones and markers.
    Immunology,
    /// Clinical chemistry.
    Biochemistry,
    /// Nucleic acids.
    Molecular,
    /// Clotting.
    Coagulation,
    /// Blood groups and antibodies.
    Transfusion,
}

/// What an instrument does with a tube that the host knows nothing of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutOrder {
    /// It measures its default panel.
    DefaultPanel,
    /// It lets the tube pass.
    Skip,
}

/// One thing that an instrument measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Analyte {
    /// The instrument's code.
    pub code: &'static str,
    /// The laboratory's test, which is also what the simulated HIS calls it.
    pub test: &'static str,
    /// LOINC.
    pub loinc: &'static str,
    /// The unit as the instrument sends it.
    pub unit: &'static str,
    /// Its values.
    pub scale: Scale,
}

/// The values of an analyte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A number: its reference range in units of the last decimal.
    Number {
        /// Lower end of the reference range.
        low: i64,
        /// Upper end of the reference range.
        high: i64,
        /// Digits behind the point.
        decimals: u32,
    },
    /// One of these texts; the first is the usual one.
    Choice(&'static [&'static str]),
}

/// All personas, in the order in which they are listed.
pub const ALL: &[Persona] = &[
    astm::SYSMEX_XN,
    astm::COBAS_E411,
    astm::ACCESS2,
    astm::YUMIZEN_H500,
    astm::GENEXPERT,
    departments::SYSMEX_XP,
    departments::STAGO_STA,
    departments::IH_COM,
    departments::VISION,
    astm::GENERIC_ASTM,
    hl7::MINDRAY_BC5000,
    hl7::GENERIC_HL7,
    hl7::GENERIC_HL7_OUL,
    own::IHE_LAW,
    own::BECKMAN_AU,
    own::BECKMAN_AU480,
    own::DIMENSION,
    own::I_STAT,
    own::SYSMEX_KX21,
    own::MINI_VIDAS,
];

impl Persona {
    /// The persona of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|persona| persona.name == name)
    }

    /// The analyte with this instrument code.
    pub fn analyte(&self, code: &str) -> Option<&'static Analyte> {
        self.analytes.iter().find(|analyte| analyte.code == code)
    }

    /// What it measures when nobody said what.
    pub fn default_codes(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.analytes
            .iter()
            .take(self.default_panel)
            .map(|analyte| analyte.code)
    }

    /// A barcode made from a seed. On most wires it has eleven digits; on some there is room for ten.
    pub fn barcode(&self, seed: u64, number: u32) -> String {
        match self.shape {
            Shape::Own(_) => format!("26{:03}{number:05}", seed % 1_000),
            Shape::Astm(_) | Shape::Hl7(_) => format!("26{:03}{number:06}", seed % 1_000),
        }
    }

    /// The protocol in a word.
    pub const fn protocol(&self) -> &'static str {
        match self.shape {
            Shape::Astm(_) => "astm",
            Shape::Hl7(_) => "hl7",
            Shape::Own(shape) => match shape.wire {
                OwnWire::Law(_) => "law",
                OwnWire::BeckmanAu(_) => "beckman-au",
                OwnWire::Dimension(_) => "dimension",
                OwnWire::Poct1a(_) => "poct1a",
                OwnWire::SysmexLegacy(_) => "sysmex-legacy",
                OwnWire::Bci(_) => "bci",
            },
        }
    }
}

/// A number with its reference range; for tables.
const fn number(
    names: (&'static str, &'static str, &'static str),
    unit: &'static str,
    range: (i64, i64),
    decimals: u32,
) -> Analyte {
    Analyte {
        code: names.0,
        test: names.1,
        loinc: names.2,
        unit,
        scale: Scale::Number {
            low: range.0,
            high: range.1,
            decimals,
        },
    }
}

/// A text out of a list; for tables.
const fn choice(
    names: (&'static str, &'static str, &'static str),
    choices: &'static [&'static str],
) -> Analyte {
    Analyte {
        code: names.0,
        test: names.1,
        loinc: names.2,
        unit: "",
        scale: Scale::Choice(choices),
    }
}

/// The blood count as Sysmex names it: name, LOINC, unit, range, decimals. In SI units, to which a
/// Vietnamese laboratory sets its analyzers; the factory units (g/dL, %) are another setting.
const XN_ANALYTES: &[Analyte] = &[
    number(("WBC", "WBC", "6690-2"), "10*9/L", (400, 1_000), 2),
    number(("RBC", "RBC", "789-8"), "10*12/L", (400, 580), 2),
    number(("HGB", "HGB", "718-7"), "g/L", (120, 170), 0),
    number(("HCT", "HCT", "4544-3"), "L/L", (360, 500), 3),
    number(("MCV", "MCV", "787-2"), "fL", (800, 1_000), 1),
    number(("MCH", "MCH", "785-6"), "pg", (270, 340), 1),
    number(("MCHC", "MCHC", "786-4"), "g/L", (320, 360), 0),
    number(("PLT", "PLT", "777-3"), "10*9/L", (150, 400), 0),
    number(("RDW-SD", "RDWSD", "21000-5"), "fL", (350, 560), 1),
    number(("RDW-CV", "RDWCV", "788-0"), "%", (110, 160), 1),
    number(("MPV", "MPV", "32623-1"), "fL", (90, 130), 1),
    number(("NEUT%", "NEUTP", "770-8"), "%", (400, 740), 1),
    number(("LYMPH%", "LYMPHP", "736-9"), "%", (190, 480), 1),
    number(("MONO%", "MONOP", "5905-5"), "%", (34, 90), 1),
    number(("EO%", "EOP", "713-8"), "%", (0, 70), 1),
    number(("BASO%", "BASOP", "706-2"), "%", (0, 15), 1),
    number(("NEUT#", "NEUT", "751-8"), "10*9/L", (190, 800), 2),
    number(("LYMPH#", "LYMPH", "731-0"), "10*9/L", (90, 520), 2),
    number(("MONO#", "MONO", "742-7"), "10*9/L", (16, 100), 2),
    number(("EO#", "EO", "711-2"), "10*9/L", (0, 80), 2),
    number(("BASO#", "BASO", "704-7"), "10*9/L", (0, 20), 2),
];

/// The blood count of smaller counters, in SI units.
const COUNTER_ANALYTES: &[Analyte] = &[
    number(("WBC", "WBC", "6690-2"), "10*9/L", (400, 1_000), 2),
    number(("RBC", "RBC", "789-8"), "10*12/L", (400, 580), 2),
    number(("HGB", "HGB", "718-7"), "g/L", (120, 170), 0),
    number(("HCT", "HCT", "4544-3"), "L/L", (360, 500), 3),
    number(("MCV", "MCV", "787-2"), "fL", (800, 1_000), 1),
    number(("MCH", "MCH", "785-6"), "pg", (270, 340), 1),
    number(("MCHC", "MCHC", "786-4"), "g/L", (320, 360), 0),
    number(("PLT", "PLT", "777-3"), "10*9/L", (150, 400), 0),
    number(("NEU%", "NEUTP", "770-8"), "%", (400, 740), 1),
    number(("LYM%", "LYMPHP", "736-9"), "%", (190, 480), 1),
    number(("MON%", "MONOP", "5905-5"), "%", (34, 90), 1),
    number(("EOS%", "EOP", "713-8"), "%", (0, 70), 1),
    number(("BAS%", "BASOP", "706-2"), "%", (0, 15), 1),
    number(("NEU#", "NEUT", "751-8"), "10*9/L", (190, 800), 2),
    number(("LYM#", "LYMPH", "731-0"), "10*9/L", (90, 520), 2),
    number(("MON#", "MONO", "742-7"), "10*9/L", (16, 100), 2),
    number(("EOS#", "EO", "711-2"), "10*9/L", (0, 80), 2),
    number(("BAS#", "BASO", "704-7"), "10*9/L", (0, 20), 2),
    number(("RDW-CV", "RDWCV", "788-0"), "%", (110, 160), 1),
    number(("RDW-SD", "RDWSD", "21000-5"), "fL", (350, 560), 1),
    number(("MPV", "MPV", "32623-1"), "fL", (90, 130), 1),
];

/// The Elecsys application codes of common assays.
const E411_ANALYTES: &[Analyte] = &[
    number(("10", "TSH", "3016-3"), "uIU/mL", (270, 4_200), 3),
    number(("30", "FT4", "14920-3"), "pmol/L", (1_200, 2_200), 2),
    number(("40", "FT3", "14928-6"), "pmol/L", (310, 680), 2),
    number(("60", "CEA", "2039-6"), "ng/mL", (0, 470), 2),
    number(("61", "AFP", "1834-1"), "ng/mL", (0, 700), 2),
    number(("71", "PSA", "2857-1"), "ng/mL", (0, 400), 2),
];

const ACCESS_ANALYTES: &[Analyte] = &[
    number(("TSH", "TSH", "3016-3"), "uIU/mL", (38, 533), 2),
    number(("FRT4", "FT4", "14920-3"), "pmol/L", (786, 1_441), 2),
    number(("FRT3", "FT3", "14928-6"), "pmol/L", (384, 600), 2),
    number(("Ferritin", "FERR", "2276-4"), "ng/mL", (110, 3_068), 1),
    number(("TotBhCG", "BHCG", "21198-7"), "mIU/mL", (0, 500), 2),
];

const CHEMISTRY_ANALYTES: &[Analyte] = &[
    number(("GLU", "GLU", "2345-7"), "mmol/L", (39, 64), 1),
    number(("UREA", "UREA", "22664-7"), "mmol/L", (25, 75), 1),
    number(("CREA", "CREA", "2160-0"), "umol/L", (62, 106), 0),
    number(("AST", "AST", "1920-8"), "U/L", (0, 37), 0),
    number(("ALT", "ALT", "1742-6"), "U/L", (0, 41), 0),
    number(("NA", "NA", "2951-2"), "mmol/L", (135, 145), 0),
    number(("K", "K", "2823-3"), "mmol/L", (35, 51), 1),
    number(("CL", "CL", "2075-0"), "mmol/L", (98, 107), 0),
    number(("CA", "CA", "17861-6"), "mmol/L", (215, 255), 2),
    number(("CHOL", "CHOL", "2093-3"), "mmol/L", (300, 520), 2),
];

const XPERT_ANALYTES: &[Analyte] = &[
    choice(
        ("MTB", "MTB", "38379-4"),
        &["NOT DETECTED", "MTB DETECTED LOW", "MTB DETECTED HIGH"],
    ),
    choice(("Rif", "RIF", "46244-0"), &["NOT DETECTED", "DETECTED"]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_persona_has_its_own_name_and_no_test_twice() {
        let names: BTreeSet<_> = ALL.iter().map(|persona| persona.name).collect();
        assert_eq!(names.len(), ALL.len());
        for persona in ALL {
            let codes: BTreeSet<_> = persona.analytes.iter().map(|a| a.code).collect();
            let tests: BTreeSet<_> = persona.analytes.iter().map(|a| a.test).collect();
            assert_eq!(codes.len(), persona.analytes.len(), "{}", persona.name);
            assert_eq!(tests.len(), persona.analytes.len(), "{}", persona.name);
            assert!((1..=persona.analytes.len()).contains(&persona.default_panel));
            assert!(Persona::named(persona.name).is_some());
        }
    }
}
