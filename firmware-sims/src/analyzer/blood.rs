//! Whose blood is in a tube, and what a blood bank's wells say of it.
//!
//! A patient's blood is the same in every tube; what differs is what went wrong with the tube. So a
//! group that differs comes from a tube that somebody else bled into, and cells and plasma that
//! disagree from wells that react where they should not.

use crate::chance::Chance;

/// An ABO group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abo {
    /// Antigen A.
    A,
    /// Antigen B.
    B,
    /// Both.
    Ab,
    /// Neither.
    O,
}

/// The blood of one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blood {
    /// The ABO group.
    pub abo: Abo,
    /// Whether the cells have antigen D.
    pub is_d_positive: bool,
    /// Whether the plasma has antibodies that it should not have.
    pub has_antibodies: bool,
}

/// What a well shows where it reacts strongly, as column agglutination grades it.
const STRONG: &str = "40";
/// What a well of the plasma shows where it reacts.
const CLEAR: &str = "30";
/// What a well shows where nothing reacts.
const NOTHING: &str = "0";

impl Blood {
    /// Blood of this group with antigen D and without antibodies.
    pub const fn of_group(abo: Abo) -> Self {
        Self {
            abo,
            is_d_positive: true,
            has_antibodies: false,
        }
    }

    /// The blood of a patient of a simulated hospital: the same for the same seed and number. Groups
    /// are as frequent as among donors in Vietnam: O 42, B 31, A 21, AB 6 of a hundred; one of a
    /// thousand lacks D.
    pub fn of_patient(seed: u64, patient: &str) -> Self {
        let mut chance = Chance::fork(seed, &format!("blood of {patient}"));
        let abo = match chance.below(100) {
            0..42 => Abo::O,
            42..73 => Abo::B,
            73..94 => Abo::A,
            _ => Abo::Ab,
        };
        Self {
            abo,
            is_d_positive: !chance.happens(1),
            has_antibodies: chance.happens(10),
        }
    }

    /// What an instrument reports of a test of the laboratory; `None` for one that blood decides
    /// nothing about.
    pub fn says(self, test: &str) -> Option<String> {
        let (has_a, has_b) = match self.abo {
            Abo::A => (true, false),
            Abo::B => (false, true),
            Abo::Ab => (true, true),
            Abo::O => (false, false),
        };
        let reacts = |does, how: &str| if does { how } else { NOTHING }.to_owned();
        Some(match test {
            "RXA" => reacts(has_a, STRONG),
            "RXB" => reacts(has_b, STRONG),
            "RXD" => reacts(self.is_d_positive, STRONG),
            // Whoever lacks an antigen has the antibody against it.
            "RXA1" => reacts(!has_a, CLEAR),
            "RXBC" => reacts(!has_b, CLEAR),
            "ABO" => self.letter("O"),
            "RHD" => sign(self.is_d_positive),
            "ABSCR" => sign(self.has_antibodies),
            // The sum of a panel writes group O as the digit.
            "BGSUM" => format!(
                "{}^{}^{}",
                self.letter("0"),
                sign(self.is_d_positive),
                sign(self.has_antibodies)
            ),
            "XM" => if self.has_antibodies {
                "Incompatible"
            } else {
                "Compatible"
            }
            .to_owned(),
            _ => return None,
        })
    }

    fn letter(self, neither: &str) -> String {
        match self.abo {
            Abo::A => "A",
            Abo::B => "B",
            Abo::Ab => "AB",
            Abo::O => neither,
        }
        .to_owned()
    }
}

fn sign(is_positive: bool) -> String {
    if is_positive { "POS" } else { "NEG" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_plasma_of_every_group_agree() {
        for (abo, wells, sum) in [
            (Abo::A, ["40", "0", "0", "30"], "A^POS^NEG"),
            (Abo::B, ["0", "40", "30", "0"], "B^POS^NEG"),
            (Abo::Ab, ["40", "40", "0", "0"], "AB^POS^NEG"),
            (Abo::O, ["0", "0", "30", "30"], "0^POS^NEG"),
        ] {
            let blood = Blood::of_group(abo);
            let said = ["RXA", "RXB", "RXA1", "RXBC"].map(|well| blood.says(well));
            assert_eq!(said, wells.map(|well| Some(well.to_owned())));
            assert_eq!(blood.says("BGSUM").as_deref(), Some(sum));
        }
        assert_eq!(Blood::of_group(Abo::A).says("WBC"), None);
    }

    #[test]
    fn a_patients_blood_is_always_the_same_and_every_group_occurs() {
        let of = |number: u32| Blood::of_patient(3, &format!("BN{number}"));
        assert_eq!(of(1), of(1));
        for abo in [Abo::A, Abo::B, Abo::Ab, Abo::O] {
            assert!((0..200).any(|number| of(number).abo == abo), "{abo:?}");
        }
        assert!((0..2_000).any(|number| !of(number).is_d_positive));
        assert!((0..1_000).any(|number| of(number).has_antibodies));
    }
}
