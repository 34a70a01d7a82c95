use proptest::prelude::*;

use super::*;

#[test]
fn pairs_of_spellings_relate_as_ucum_says() {
    let check = |a: &str, b: &str, expected: &str| {
        let found = match same(a, b) {
            Relation::Equal => "=".to_owned(),
            Relation::FactorDiffers(factor) => factor.to_string(),
            Relation::NotComparable => "/".to_owned(),
            Relation::NotUcum { which } => format!("? {which}"),
        };
        assert_eq!(found, expected, "{a} and {b}");
    };
    check("10*3/uL", "10*9/L", "=");
    check("10^3/uL", "10*9/L", "=");
    check("10*6/uL", "10*12/L", "=");
    check("10*3/mm3", "10*9/L", "=");
    check("10*3/uL", "10*12/L", "0.001");
    check("/uL", "10*6/L", "=");
    check("{cells}/uL", "/uL", "=");
    check("10*3{cells}/uL", "10*9/L", "=");
    check("g/dL", "g/L", "10");
    check("g/dl", "g/dL", "=");
    check("g%", "g/dL", "=");
    check("mg/dL", "g/L", "0.01");
    check("ug/mL", "mg/L", "=");
    check("ng/mL", "ug/L", "=");
    check("pg/mL", "ng/L", "=");
    check("um3", "fL", "=");
    check("mm[Hg]", "kPa", "66661/500000");
    check("%", "L/L", "0.01");
    check("%{HbA1c}", "%", "=");
    check("1", "{INR}", "=");
    check("mmol/L", "umol/L", "1000");
    check("mmol/L", "mg/dL", "/");
    check("mmol/L", "meq/L", "/");
    check("mosm/kg", "mmol/kg", "/");
    check("U/L", "nkat/L", "50/3");
    check("kat", "mol/s", "=");
    check("U", "umol/min", "=");
    check("u[iU]/mL", "m[IU]/L", "=");
    check("u[iU]/mL", "mU/L", "/");
    check("[iU]/mL", "[iU]/L", "1000");
    check("[arb'U]/mL", "[iU]/mL", "/");
    check("mm/h", "mm/h", "=");
    check("min", "s", "60");
    check("mL/min/{1.73_m2}", "mL/min", "=");
    check("mol/(L.s)", "mol/L/s", "=");
    check("m/s2", "m.s-2", "=");
    check("10*-3.mol", "mmol", "=");
    check("Cel", "K", "/");
    check("[pH]", "[pH]", "=");
    check("[pH]", "1", "/");
    check("10*3/uL", "G/L", "? G/L");
    check("T/L", "10*12/L", "? T/L");
    check("IU/mL", "[iU]/mL", "? IU/mL");
    check("pg", "fg", "1000");
    check("d", "h", "24");
    check("dL", "L", "0.1");
}

#[test]
fn what_is_no_ucum_expression_is_not_read_as_one() {
    for text in [
        "",
        " ",
        "G/L",
        "10E3/uL",
        "µmol/L",
        "mmol / L",
        "g/",
        "//L",
        "g..L",
        "2mg",
        "(g/L",
        "g)",
        "{x",
        "mg/L}",
        "m-",
        "m0",
        "10**3",
        "min2x",
        "kmin",
        "IU/L",
        "mcg",
        "sec",
        "0",
        "10*999",
        "m[Hg",
        "99999999999999999999999",
    ] {
        assert_eq!(Unit::parse(text), None, "{text}");
    }
}

#[test]
fn deep_brackets_are_refused_not_followed() {
    assert_eq!(
        Unit::parse(&format!("{}g{}", "(".repeat(40), ")".repeat(40))),
        None
    );
    assert!(Unit::parse("((g))").is_some());
}

proptest! {
    #[test]
    fn no_text_breaks_the_parser(text in "[a-zA-Z0-9*^./(){}\\[\\]'%+-]{0,24}") {
        if let Some(unit) = Unit::parse(&text) {
            prop_assert_eq!(unit.relation(&unit), Relation::Equal);
        }
    }

    #[test]
    fn factors_are_each_others_inverse(a in 0_usize..8, b in 0_usize..8) {
        let units = ["g/L", "mg/dL", "ug/mL", "kg/m3", "pg/fL", "g%", "ng/uL", "mg/L"];
        let (a, b) = (Unit::parse(units[a]).expect("UCUM"), Unit::parse(units[b]).expect("UCUM"));
        let there = a.factor.over(&b.factor).expect("small");
        let back = b.factor.over(&a.factor).expect("small");
        prop_assert_eq!(there.times(&back), Some(Factor::ONE));
    }
}
