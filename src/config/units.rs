//! Proves that the spelling a device sends, the UCUM code it is mapped to and the catalogue's unit
//! are one unit. Labwire converts no value: a factor other than one is refused, not applied.

use super::{
    read::{At, File},
    ucum::{Factor, Relation, Unit, same},
};

/// What can be said about one entry of a `units` map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitProof {
    /// One unit in two spellings.
    Proven,
    /// Nothing known says what this spelling means; a person must.
    CannotBeProven {
        /// Why, for a person.
        why: String,
    },
    /// The same quantity, but one of the spelling is this many of the other.
    FactorDiffers(Factor),
    /// Units of different quantities.
    NotComparable,
    /// What should be a UCUM code is none.
    NotUcum {
        /// The text.
        which: String,
    },
}

/// Whether `sent`, as a device writes it, is the unit `ucum`.
pub fn prove_spelling(sent: &str, ucum: &str) -> UnitProof {
    let Some(mapped) = Unit::parse(ucum) else {
        return UnitProof::NotUcum {
            which: ucum.to_owned(),
        };
    };
    let meanings = meanings(sent);
    if meanings.is_empty() {
        let why = format!("`{sent}` is neither UCUM nor a spelling that Labwire knows");
        return UnitProof::CannotBeProven { why };
    }
    let mut proof = UnitProof::NotComparable;
    for meaning in meanings {
        match meaning.relation(&mapped) {
            Relation::Equal => return UnitProof::Proven,
            Relation::FactorDiffers(factor) => proof = UnitProof::FactorDiffers(factor),
            Relation::NotComparable | Relation::NotUcum { .. } => {
                let as_moles = meaning.equivalents_as_moles();
                if as_moles.relation(&mapped.equivalents_as_moles()) == Relation::Equal {
                    let why = "equivalents and osmoles count as moles for some substances only";
                    proof = UnitProof::CannotBeProven {
                        why: why.to_owned(),
                    };
                }
            }
        }
    }
    proof
}

/// Whether the UCUM code of a map is the catalogue's unit.
pub fn prove_catalogue(ucum: &str, catalogue: &str) -> UnitProof {
    match same(ucum, catalogue) {
        Relation::Equal => UnitProof::Proven,
        Relation::FactorDiffers(factor) => UnitProof::FactorDiffers(factor),
        Relation::NotComparable => UnitProof::NotComparable,
        Relation::NotUcum { which } => UnitProof::NotUcum { which },
    }
}

/// Checks the `units` map of one test of a profile (as sent = UCUM), and tells what is wrong where
/// it stands. Both sides of an entry must be one unit. Against the catalogue's unit an entry that
/// differs is only a warning while another one fits, because a device may send one of several and
/// what it sends in the others is held; where none fits, no result of the test could ever go on.
pub fn check_map(
    file: &File,
    test: &str,
    units: &[(At<String>, At<String>)],
    catalogue: Option<&str>,
) {
    for (sent, ucum) in units {
        check_entry(file, test, sent, ucum);
    }
    let Some(unit) = catalogue else { return };
    let fits = |ucum: &str| prove_catalogue(ucum, unit) == UnitProof::Proven;
    let any_fits = units.iter().any(|(_, ucum)| fits(ucum));
    for (_, ucum) in units
        .iter()
        .filter(|(_, ucum)| Unit::parse(ucum).is_some() && !fits(ucum))
    {
        let message = format!("`{test}` is in {unit} in the catalogue, not in {}", **ucum);
        let label = match prove_catalogue(ucum, unit) {
            UnitProof::FactorDiffers(factor) => format!("one of these is {factor} {unit}"),
            UnitProof::Proven
            | UnitProof::CannotBeProven { .. }
            | UnitProof::NotComparable
            | UnitProof::NotUcum { .. } => format!("not {unit}"),
        };
        let help = format!("set the device to {unit}; values are never converted");
        if any_fits {
            file.warning("CONF-0405", ucum.span.clone(), message, label, help);
        } else {
            file.error("CONF-0405", ucum.span.clone(), message, label, help);
        }
    }
}

fn check_entry(file: &File, test: &str, sent: &At<String>, ucum: &At<String>) {
    let both = format!("`{}` of `{test}` is not {}", **sent, **ucum);
    match prove_spelling(sent, ucum) {
        UnitProof::Proven => {}
        UnitProof::FactorDiffers(factor) => file.error(
            "CONF-0401",
            ucum.span.clone(),
            both,
            format!("one {} is {factor} {}", **sent, **ucum),
            "write the unit that is sent; values are never converted",
        ),
        UnitProof::NotComparable => file.error(
            "CONF-0402",
            ucum.span.clone(),
            both,
            "units of different quantities",
            "write the unit that is sent; values are never converted",
        ),
        UnitProof::CannotBeProven { why } => file.warning(
            "CONF-0403",
            sent.span.clone(),
            format!("that `{}` is {} cannot be proven: {why}", **sent, **ucum),
            "check this by hand",
            "compare with the manual of the device, value by value",
        ),
        UnitProof::NotUcum { which } => file.error(
            "CONF-0404",
            ucum.span.clone(),
            format!("`{which}` is not UCUM"),
            "not UCUM",
            ucum_for(&which).map_or_else(
                || "write the UCUM code, such as \"10*9/L\"".to_owned(),
                |code| format!("in UCUM that is \"{code}\""),
            ),
        ),
    }
}

/// Spellings that laboratories and devices use for what UCUM writes otherwise. They go before
/// UCUM, because some of them are UCUM by accident: `K/uL` is not kelvin. Where usage has two
/// meanings, both stand here: IU/L is said of enzymes (U/L) and of hormones ([iU]/L).
const CONVENTIONAL: &[(&str, &[&str])] = &[
    ("G/L", &["10*9/L"]),
    ("Giga/L", &["10*9/L"]),
    ("T/L", &["10*12/L"]),
    ("Tera/L", &["10*12/L"]),
    ("K/uL", &["10*3/uL"]),
    ("K/mm3", &["10*3/mm3"]),
    ("M/uL", &["10*6/uL"]),
    ("M/mm3", &["10*6/mm3"]),
    ("cells/uL", &["/uL"]),
    ("copies/mL", &["{copies}/mL"]),
    ("cell/uL", &["/uL"]),
    ("cells/L", &["/L"]),
    ("/100WBC", &["%"]),
    ("/100 WBC", &["%"]),
    ("um^3", &["um3"]),
    ("IU/L", &["[iU]/L", "U/L"]),
    ("mIU/L", &["m[iU]/L"]),
    ("uIU/L", &["u[iU]/L"]),
    ("kIU/L", &["k[iU]/L"]),
    ("IU/mL", &["[iU]/mL"]),
    ("mIU/mL", &["m[iU]/mL"]),
    ("uIU/mL", &["u[iU]/mL"]),
    ("kIU/mL", &["k[iU]/mL"]),
    ("UI/L", &["[iU]/L", "U/L"]),
    ("mUI/L", &["m[iU]/L"]),
    ("UI/mL", &["[iU]/mL"]),
    ("mUI/mL", &["m[iU]/mL"]),
    ("uUI/mL", &["u[iU]/mL"]),
    ("IU/dL", &["[iU]/dL"]),
    ("mEq/L", &["meq/L"]),
    ("mOsm/kg", &["mosm/kg"]),
    ("mOsm/L", &["mosm/L"]),
    ("mOsmol/kg", &["mosm/kg"]),
    ("mmHg", &["mm[Hg]"]),
    ("mm Hg", &["mm[Hg]"]),
    ("mm/hr", &["mm/h"]),
    ("mm/1h", &["mm/h"]),
    ("S", &["s"]),
    ("sec", &["s"]),
    ("sec.", &["s"]),
    ("secs", &["s"]),
    ("seconds", &["s"]),
    ("mcg/dL", &["ug/dL"]),
    ("mcg/L", &["ug/L"]),
    ("mcg/mL", &["ug/mL"]),
    ("mcmol/L", &["umol/L"]),
    ("umol/l", &["umol/L"]),
    ("gm/dL", &["g/dL"]),
    ("gr/dL", &["g/dL"]),
    ("gr/L", &["g/L"]),
    ("mg%", &["mg/dL"]),
    ("mM", &["mmol/L"]),
    ("uM", &["umol/L"]),
    ("nM", &["nmol/L"]),
    ("pH", &["[pH]"]),
    ("INR", &["{INR}"]),
    ("ratio", &["{ratio}"]),
    ("Ratio", &["{ratio}"]),
    ("index", &["{index}"]),
    ("Index", &["{index}"]),
    ("COI", &["{COI}"]),
    ("S/CO", &["{S/CO}"]),
    ("S/C", &["{S/CO}"]),
    ("mg/L FEU", &["mg/L"]),
    ("ug/mL FEU", &["ug/mL"]),
    ("ng/mL FEU", &["ng/mL"]),
    ("ug FEU/mL", &["ug/mL"]),
    ("mL/min/1.73m2", &["mL/min/{1.73_m2}"]),
    ("mL/min/1.73 m2", &["mL/min/{1.73_m2}"]),
    ("°C", &["Cel"]),
];

/// The UCUM code of a well-known spelling that is not UCUM, to offer as a remedy.
pub fn ucum_for(spelling: &str) -> Option<String> {
    let plain = plainly(spelling);
    let listed = CONVENTIONAL
        .iter()
        .find(|(listed, _)| *listed == spelling || *listed == plain);
    if let Some((_, codes)) = listed {
        return codes.first().map(|code| (*code).to_owned());
    }
    Unit::parse(&plain).map(|_| plain)
}

/// Every unit that the spelling may mean: none, mostly one, by usage sometimes two.
fn meanings(sent: &str) -> Vec<Unit> {
    let plain = plainly(sent);
    let listed = |spelling: &str| {
        let same_text = |listed: &str| listed == spelling || listed.replace('L', "l") == spelling;
        CONVENTIONAL.iter().find(|(listed, _)| same_text(listed))
    };
    if let Some((_, codes)) = listed(sent).or_else(|| listed(&plain)) {
        return codes.iter().filter_map(|code| Unit::parse(code)).collect();
    }
    Unit::parse(sent)
        .or_else(|| Unit::parse(&plain))
        .into_iter()
        .collect()
}

/// Undoes what printing does to a unit: micro signs, raised digits, a multiplication sign, the E
/// of a calculator.
fn plainly(sent: &str) -> String {
    let mut plain = String::with_capacity(sent.len());
    let mut is_raised = false;
    for c in sent.trim().chars() {
        let (mapped, raised) = match c {
            'µ' | 'μ' => ('u', false),
            '⁰' => ('0', true),
            '¹' => ('1', true),
            '²' => ('2', true),
            '³' => ('3', true),
            '⁴'..='⁹' => (char::from(b'0' + raised_digit(c)), true),
            '⁻' => ('-', true),
            c => (c, false),
        };
        // `10⁹` is ten to the ninth, but `mm³` is written without a sign.
        if raised && !is_raised && plain.ends_with("10") {
            plain.push('*');
        }
        is_raised = raised;
        plain.push(mapped);
    }
    let text = plain.trim_start_matches(['x', 'X', '×', '*']).trim_start();
    for tens in ["10E", "10e", "10**"] {
        if let Some(rest) = text.strip_prefix(tens) {
            return format!("10*{}", rest.trim_start_matches('+'));
        }
    }
    text.to_owned()
}

/// The digit of `⁴` to `⁹`.
fn raised_digit(c: char) -> u8 {
    let offset = u32::from(c).saturating_sub(u32::from('⁰'));
    u8::try_from(offset).unwrap_or_default().min(9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem;

    #[test]
    fn every_listed_meaning_is_ucum() {
        for (spelling, codes) in CONVENTIONAL {
            for code in *codes {
                assert!(Unit::parse(code).is_some(), "{spelling} = {code}");
            }
        }
    }

    #[test]
    fn spellings_are_proven_refused_or_left_to_a_person() {
        let check = |sent: &str, ucum: &str, expected: &str| {
            let found = match prove_spelling(sent, ucum) {
                UnitProof::Proven => "proven".to_owned(),
                UnitProof::CannotBeProven { .. } => "person".to_owned(),
                UnitProof::FactorDiffers(factor) => factor.to_string(),
                UnitProof::NotComparable => "other".to_owned(),
                UnitProof::NotUcum { which } => format!("? {which}"),
            };
            assert_eq!(found, expected, "{sent} = {ucum}");
        };
        check("10*3/uL", "10*9/L", "proven");
        check("10^3/uL", "10*9/L", "proven");
        check("10E3/uL", "10*9/L", "proven");
        check("10e9/L", "10*9/L", "proven");
        check("x10^9/L", "10*9/L", "proven");
        check("×10⁹/L", "10*9/L", "proven");
        check("10³/µL", "10*9/L", "proven");
        check("10*3/mm3", "10*9/L", "proven");
        check("G/L", "10*9/L", "proven");
        check("G/l", "10*9/L", "proven");
        check("T/L", "10*12/L", "proven");
        check("T/L", "10*9/L", "1000");
        check("K/uL", "10*9/L", "proven");
        check("um3", "fL", "proven");
        check("µm³", "fL", "proven");
        check("g/dl", "g/dL", "proven");
        check("g/dl", "g/L", "10");
        check("g/dL", "g/L", "10");
        check("mg/dl", "mmol/L", "other");
        check("µmol/L", "umol/L", "proven");
        check("IU/mL", "[iU]/mL", "proven");
        check("µIU/ml", "u[iU]/mL", "proven");
        check("µUI/ml", "m[iU]/L", "proven");
        check("mUI/ml", "[iU]/L", "proven");
        check("mUI/ml", "[iU]/mL", "0.001");
        check("S", "s", "proven");
        check("mIU/ml", "[iU]/mL", "0.001");
        check("uIU/mL", "m[iU]/L", "proven");
        check("mIU/L", "m[iU]/L", "proven");
        check("IU/L", "U/L", "proven");
        check("IU/L", "[iU]/L", "proven");
        check("sec", "s", "proven");
        check("mmHg", "mm[Hg]", "proven");
        check("mEq/L", "mmol/L", "person");
        check("mOsm/kg", "mmol/kg", "person");
        check("", "10*9/L", "person");
        check("PTU", "%", "person");
        check("fl", "fL", "proven");
        check("10*3/uL", "G/L", "? G/L");
    }

    #[test]
    fn a_units_map_is_refused_warned_of_or_passed() {
        let check = |sent: &str, ucum: &str, catalogue: Option<&str>, expected: &[&str]| {
            let source = problem::source("p.toml", format!("{sent}={ucum}"));
            let file = File::new(&source);
            let at = |text: &str, from: usize| At::new(text.to_owned(), from..from + text.len());
            check_map(
                &file,
                "T",
                &[(at(sent, 0), at(ucum, sent.len() + 1))],
                catalogue,
            );
            let problems = file.into_problems();
            let mark = |is_warning: bool| if is_warning { "warning" } else { "error" };
            let found: Vec<String> = problems
                .iter()
                .map(|p| format!("{} {}", p.code, mark(p.is_warning)))
                .collect();
            assert_eq!(found, expected, "{sent} = {ucum}");
        };
        check("10*3/uL", "10*9/L", Some("10*9/L"), &[]);
        check("G/L", "10*9/L", Some("10*9/L"), &[]);
        check("G/L", "10*9/L", None, &[]);
        check("g/dL", "g/L", Some("g/L"), &["CONF-0401 error"]);
        check("g/dL", "g/dL", Some("g/L"), &["CONF-0405 error"]);
        check("mg/dL", "mmol/L", Some("mmol/L"), &["CONF-0402 error"]);
        check("PTU", "%", Some("%"), &["CONF-0403 warning"]);
        check("10*3/uL", "G/L", Some("10*9/L"), &["CONF-0404 error"]);
    }

    #[test]
    fn a_second_unit_that_the_catalogue_does_not_have_is_only_warned_of() {
        let source = problem::source("p.toml", "g/L g/dL");
        let file = File::new(&source);
        let both = |text: &str| {
            (
                At::unwritten(text.to_owned()),
                At::unwritten(text.to_owned()),
            )
        };
        check_map(&file, "HGB", &[both("g/L"), both("g/dL")], Some("g/L"));
        let problems = file.into_problems();
        assert!(!problems.has_errors() && problems.iter().count() == 1);
    }

    #[test]
    fn a_mapped_unit_must_be_the_catalogues() {
        assert_eq!(prove_catalogue("10*3/uL", "10*9/L"), UnitProof::Proven);
        assert!(matches!(
            prove_catalogue("g/dL", "g/L"),
            UnitProof::FactorDiffers(_)
        ));
        assert_eq!(prove_catalogue("mg/dL", "mmol/L"), UnitProof::NotComparable);
    }
}
