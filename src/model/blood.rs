//! What a blood transfusion result says, in words that rules can compare.
//!
//! A catalogue says what each test is ([`BloodTest`]) and which word each of its codes means;
//! nothing here knows a device. What has no word is no finding: it is looked at by a person, never
//! guessed.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal, $text:literal;)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $(#[doc = $text] #[serde(rename = $word)] $variant),* }

        impl $name {
            /// Every word, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As catalogues and the store write it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// The inverse of [`Self::word`].
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    )*};
}

words! {
    /// An ABO group (LOINC 883-9).
    Abo {
        A = "A", "Antigen A.";
        B = "B", "Antigen B.";
        Ab = "AB", "Both.";
        O = "O", "Neither.";
    }

    /// A Rh(D) type (LOINC 10331-7). Weak and partial D are types of their own: whether they count
    /// as positive depends on who gives and who receives, which is no matter of a program.
    RhD {
        Positive = "POS", "Antigen D.";
        Negative = "NEG", "No antigen D.";
        Weak = "WEAK", "Weak D.";
        Partial = "PARTIAL", "Partial D.";
    }

    /// What a screen, an antiglobulin test or an antigen typing found.
    Finding {
        Negative = "NEG", "Nothing.";
        Positive = "POS", "What was looked for.";
        Indeterminate = "INDETERMINATE", "Not to be told.";
    }

    /// What a crossmatch found, of one donor unit (LOINC 1250-0).
    Match {
        Compatible = "COMPATIBLE", "No reaction.";
        Incompatible = "INCOMPATIBLE", "A reaction.";
        Indeterminate = "INDETERMINATE", "Not to be told.";
    }

    /// How strongly the cells of one well clumped. What is no grade is no auto-interpretation
    /// either: mixed field, double population, haemolysis, a doubtful picture.
    Strength {
        Negative = "0", "No clump.";
        Weak = "w", "Barely.";
        One = "1+", "Many small clumps.";
        Two = "2+", "Clumps of middle size.";
        Three = "3+", "Several large clumps.";
        Four = "4+", "One clump.";
        MixedField = "mf", "Two kinds of cells in one well.";
        DoublePopulation = "dp", "The same, as column agglutination calls it.";
        Haemolysis = "H", "Cells burst: an antibody at work, and no grade.";
        Unsure = "?", "The device could not tell.";
    }

    /// What one well holds besides the patient's cells or plasma.
    Reagent {
        AntiA = "anti-A", "Patient's cells with anti-A.";
        AntiB = "anti-B", "Patient's cells with anti-B.";
        AntiAb = "anti-AB", "Patient's cells with anti-A,B.";
        AntiD = "anti-D", "Patient's cells with anti-D.";
        Control = "control", "Patient's cells without an antibody: never positive.";
        A1Cells = "A1", "Patient's plasma with A1 cells.";
        A2Cells = "A2", "Patient's plasma with A2 cells.";
        BCells = "B", "Patient's plasma with B cells.";
        OCells = "O", "Patient's plasma with O cells: never positive.";
    }

    /// What a catalogue test is to the transfusion service.
    BloodKind {
        Abo = "abo", "The ABO group.";
        RhD = "rhd", "The Rh(D) type.";
        AboRhD = "abo-rhd", "Both in one value.";
        Forward = "forward", "The patient's cells: a well, or the group that they alone say.";
        Reverse = "reverse", "The patient's plasma: a well, or the group that it alone says.";
        Screen = "screen", "The antibody screen, or a well of it.";
        Antibody = "antibody", "The antibodies that were identified.";
        Crossmatch = "crossmatch", "Patient's plasma with a donor unit.";
        Dat = "dat", "The direct antiglobulin test, or a well of it.";
        Phenotype = "phenotype", "Other antigens; kept word for word.";
    }

    /// How a crossmatch was done.
    Technique {
        Iat = "iat", "With antiglobulin: the full crossmatch.";
        ImmediateSpin = "immediate-spin", "Without it.";
        Electronic = "electronic", "By records alone.";
    }
}

impl Strength {
    /// Whether it is a grade, and whether that is a reaction; `None` for what is no grade.
    pub const fn is_positive(self) -> Option<bool> {
        match self {
            Self::Negative => Some(false),
            Self::Weak | Self::One | Self::Two | Self::Three | Self::Four => Some(true),
            Self::MixedField | Self::DoublePopulation | Self::Haemolysis | Self::Unsure => None,
        }
    }
}

/// What the catalogue says of a test of transfusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BloodTest {
    /// What it is.
    pub kind: BloodKind,
    /// Of a forward or reverse well, what is in it; `None` for the group that all wells say.
    pub reagent: Option<Reagent>,
    /// Of a crossmatch, where it is known.
    pub technique: Option<Technique>,
    /// Codes of the catalogue that are no words here, and the word that each means.
    pub means: Vec<(String, String)>,
}

/// A group, as far as one result says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// ABO, where it says so.
    pub abo: Option<Abo>,
    /// Rh(D), where it says so.
    pub rhd: Option<RhD>,
}

impl Group {
    /// Whether both say something of ABO or of D, and not the same.
    pub fn differs(self, other: Self) -> bool {
        let abo = matches!((self.abo, other.abo), (Some(one), Some(two)) if one != two);
        let rhd = matches!((self.rhd, other.rhd), (Some(one), Some(two)) if one != two);
        abo || rhd
    }

    /// What is in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            abo: if self.abo.is_some() {
                self.abo
            } else {
                other.abo
            },
            rhd: if self.rhd.is_some() {
                self.rhd
            } else {
                other.rhd
            },
        }
    }

    /// Whether it says nothing.
    pub const fn is_empty(self) -> bool {
        self.abo.is_none() && self.rhd.is_none()
    }
}

/// What a result says; the text as sent stays beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A group.
    Group(Group),
    /// The reaction of one well.
    Well(Strength),
    /// A finding.
    Finding(Finding),
    /// A match.
    Match(Match),
    /// Words that are kept and not read: a phenotype, the names of antibodies.
    Words,
    /// No value, or one that no word stands for: a technical code, a grade that nobody knows.
    Unreadable,
}

impl BloodTest {
    /// A test of this kind whose codes are words already.
    pub const fn of(kind: BloodKind) -> Self {
        Self {
            kind,
            reagent: None,
            technique: None,
            means: Vec::new(),
        }
    }

    /// What a code of the catalogue says; `None` is a device's mark that it has no value.
    pub fn meaning(&self, code: Option<&str>) -> Meaning {
        let Some(code) = code.map(str::trim).filter(|code| !code.is_empty()) else {
            return Meaning::Unreadable;
        };
        let meant = self.means.iter().find(|(own, _)| own == code);
        self.read(meant.map_or(code, |(_, word)| word.as_str()))
            .unwrap_or(Meaning::Unreadable)
    }

    /// What a word says of a test of this kind; `None` for one that is no word of it.
    pub fn read(&self, word: &str) -> Option<Meaning> {
        let well = || Strength::from_word(word).map(Meaning::Well);
        let finding = || Finding::from_word(word).map(Meaning::Finding);
        match self.kind {
            BloodKind::Abo => abo(word),
            BloodKind::RhD => rhd(word),
            BloodKind::AboRhD => abo_rhd(word),
            BloodKind::Forward | BloodKind::Reverse if self.reagent.is_some() => well(),
            BloodKind::Forward | BloodKind::Reverse => abo(word),
            BloodKind::Screen | BloodKind::Dat => finding().or_else(well),
            BloodKind::Crossmatch => Match::from_word(word).map(Meaning::Match).or_else(well),
            BloodKind::Antibody => Some(finding().unwrap_or(Meaning::Words)),
            BloodKind::Phenotype => Some(finding().or_else(well).unwrap_or(Meaning::Words)),
        }
    }

    /// Whether it says a group that the patient is known by.
    pub const fn is_group(&self) -> bool {
        matches!(
            self.kind,
            BloodKind::Abo | BloodKind::RhD | BloodKind::AboRhD
        )
    }

    /// Whether it belongs to typing: a group, or what a group is read from.
    pub const fn is_typing(&self) -> bool {
        self.is_group() || matches!(self.kind, BloodKind::Forward | BloodKind::Reverse)
    }
}

fn abo(word: &str) -> Option<Meaning> {
    let group = Abo::from_word(word).map(|abo| Group {
        abo: Some(abo),
        rhd: None,
    });
    group.map(Meaning::Group).or_else(|| untold(word))
}

fn rhd(word: &str) -> Option<Meaning> {
    let group = RhD::from_word(word).map(|rhd| Group {
        abo: None,
        rhd: Some(rhd),
    });
    group.map(Meaning::Group).or_else(|| untold(word))
}

/// `A POS`: ABO, a blank, D.
fn abo_rhd(word: &str) -> Option<Meaning> {
    let both = word.split_once(' ').and_then(|(abo, rhd)| {
        Some(Group {
            abo: Some(Abo::from_word(abo)?),
            rhd: Some(RhD::from_word(rhd)?),
        })
    });
    both.map(Meaning::Group).or_else(|| untold(word))
}

fn untold(word: &str) -> Option<Meaning> {
    (word == Finding::Indeterminate.word()).then_some(Meaning::Finding(Finding::Indeterminate))
}

impl Meaning {
    /// Whether what was looked for is there; `None` where that is not to be told.
    pub const fn is_positive(self) -> Option<bool> {
        match self {
            Self::Well(strength) => strength.is_positive(),
            Self::Finding(Finding::Positive) | Self::Match(Match::Incompatible) => Some(true),
            Self::Finding(Finding::Negative) | Self::Match(Match::Compatible) => Some(false),
            Self::Finding(Finding::Indeterminate)
            | Self::Match(Match::Indeterminate)
            | Self::Group(_)
            | Self::Words
            | Self::Unreadable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_what_its_kind_of_test_says_and_nothing_else() {
        let check = |kind: BloodKind, reagent: Option<Reagent>, word: &str, expected| {
            let test = BloodTest {
                reagent,
                ..BloodTest::of(kind)
            };
            assert_eq!(test.meaning(Some(word)), expected, "{kind} {word}");
        };
        let group = |abo, rhd| Meaning::Group(Group { abo, rhd });
        check(BloodKind::Abo, None, "AB", group(Some(Abo::Ab), None));
        check(BloodKind::Abo, None, "0", Meaning::Unreadable);
        check(BloodKind::Abo, None, "a", Meaning::Unreadable);
        check(
            BloodKind::Abo,
            None,
            "INDETERMINATE",
            Meaning::Finding(Finding::Indeterminate),
        );
        check(BloodKind::RhD, None, "WEAK", group(None, Some(RhD::Weak)));
        check(
            BloodKind::AboRhD,
            None,
            "O NEG",
            group(Some(Abo::O), Some(RhD::Negative)),
        );
        check(BloodKind::AboRhD, None, "O", Meaning::Unreadable);
        let anti_a = Some(Reagent::AntiA);
        check(
            BloodKind::Forward,
            anti_a,
            "3+",
            Meaning::Well(Strength::Three),
        );
        check(BloodKind::Forward, anti_a, "A", Meaning::Unreadable);
        check(BloodKind::Forward, None, "A", group(Some(Abo::A), None));
        check(
            BloodKind::Screen,
            None,
            "POS",
            Meaning::Finding(Finding::Positive),
        );
        check(BloodKind::Screen, None, "w", Meaning::Well(Strength::Weak));
        check(
            BloodKind::Crossmatch,
            None,
            "COMPATIBLE",
            Meaning::Match(Match::Compatible),
        );
        check(BloodKind::Phenotype, None, "ccee", Meaning::Words);
    }

    #[test]
    fn only_a_grade_is_positive_or_negative() {
        let told: Vec<(&str, Option<bool>)> = Strength::ALL
            .iter()
            .map(|strength| (strength.word(), strength.is_positive()))
            .collect();
        assert_eq!(
            told,
            [
                ("0", Some(false)),
                ("w", Some(true)),
                ("1+", Some(true)),
                ("2+", Some(true)),
                ("3+", Some(true)),
                ("4+", Some(true)),
                ("mf", None),
                ("dp", None),
                ("H", None),
                ("?", None),
            ]
        );
    }

    #[test]
    fn groups_differ_in_what_both_say() {
        let group = |abo: &str, rhd: &str| Group {
            abo: Abo::from_word(abo),
            rhd: RhD::from_word(rhd),
        };
        assert!(group("A", "").differs(group("B", "POS")));
        assert!(group("A", "POS").differs(group("A", "NEG")));
        assert!(group("", "WEAK").differs(group("", "NEG")));
        assert!(!group("A", "").differs(group("", "NEG")));
        assert!(!group("A", "POS").differs(group("A", "POS")));
    }

    #[test]
    fn a_code_of_the_site_means_its_word() {
        let test = BloodTest {
            means: vec![("112144000".to_owned(), "A".to_owned())],
            ..BloodTest::of(BloodKind::Abo)
        };
        let a = Group {
            abo: Some(Abo::A),
            rhd: None,
        };
        assert_eq!(test.meaning(Some("112144000")), Meaning::Group(a));
        assert_eq!(test.meaning(Some("112149005")), Meaning::Unreadable);
        assert_eq!(test.meaning(None), Meaning::Unreadable);
    }
}
