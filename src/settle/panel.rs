//! Whether what one tube says of its blood group agrees with itself.

use crate::model::blood::{Abo, BloodKind, BloodTest, Finding, Group, Meaning, Reagent, RhD};

/// One reading of a tube: what the test is, and what it says.
pub(super) type Reading<'a> = (&'a BloodTest, Meaning);

/// The first thing that does not agree, in words without a value: ABO groups are read twice, from
/// cells and from plasma, and one without the other's agreement is no group (AABB Standards
/// 5.14, BCSH guideline on pre-transfusion compatibility procedures). `None`: nothing speaks
/// against it.
pub(super) fn discrepancy(readings: &[Reading<'_>]) -> Option<&'static str> {
    for (test, meaning) in readings {
        if let Some(what) = unread(test, *meaning) {
            return Some(what);
        }
    }
    let said = Said::of(readings);
    said.abo().or_else(|| said.rhd())
}

/// A reading that by itself leaves the group open.
fn unread(test: &BloodTest, meaning: Meaning) -> Option<&'static str> {
    let is_well = test.reagent.is_some();
    match meaning {
        Meaning::Unreadable if is_well => Some("a well cannot be read"),
        Meaning::Unreadable | Meaning::Finding(Finding::Indeterminate) => {
            Some("the device told no group")
        }
        Meaning::Well(strength) if is_well && strength.is_positive().is_none() => {
            Some("a well is no clear reaction")
        }
        Meaning::Well(strength) => match (test.reagent, strength.is_positive()) {
            (Some(Reagent::Control), Some(true)) => Some("the control reacts"),
            (Some(Reagent::OCells), Some(true)) => Some("O cells react"),
            _ => None,
        },
        Meaning::Group(_) | Meaning::Finding(_) | Meaning::Match(_) | Meaning::Words => None,
    }
}

/// What wells and groups say, each by itself.
struct Said {
    wells: Vec<(Reagent, bool)>,
    /// Groups that typing of cells alone says.
    forward: Vec<Abo>,
    /// Groups that typing of plasma alone says.
    reverse: Vec<Abo>,
    /// Groups that the device made of both.
    groups: Vec<Group>,
}

impl Said {
    fn of(readings: &[Reading<'_>]) -> Self {
        let mut said = Self {
            wells: Vec::new(),
            forward: Vec::new(),
            reverse: Vec::new(),
            groups: Vec::new(),
        };
        for (test, meaning) in readings {
            match (test.kind, *meaning) {
                (_, Meaning::Well(strength)) => {
                    let well = test.reagent.zip(strength.is_positive());
                    said.wells.extend(well);
                }
                (BloodKind::Forward, Meaning::Group(group)) => said.forward.extend(group.abo),
                (BloodKind::Reverse, Meaning::Group(group)) => said.reverse.extend(group.abo),
                (_, Meaning::Group(group)) => said.groups.push(group),
                _ => {}
            }
        }
        said
    }

    fn abo(&self) -> Option<&'static str> {
        let groups = self.groups.iter().filter_map(|group| group.abo);
        let told: Vec<Abo> = groups.chain(self.forward.iter().copied()).collect();
        let told = [told, self.reverse.clone()].concat();
        if told.iter().any(|one| Some(one) != told.first()) {
            return Some("two ABO groups on one tube");
        }
        if let Some(abo) = told.first() {
            let is_against = |(reagent, is_positive): &(Reagent, bool)| {
                expected(*reagent, *abo).is_some_and(|wanted| wanted != *is_positive)
            };
            return self
                .wells
                .iter()
                .any(is_against)
                .then_some("a well speaks against the ABO group");
        }
        // Without a word for the group, the wells must fit one group at least.
        let fits = |abo: &Abo| {
            self.wells.iter().all(|(reagent, is_positive)| {
                expected(*reagent, *abo).is_none_or(|wanted| wanted == *is_positive)
            })
        };
        let fits_none = !Abo::ALL.iter().any(fits);
        fits_none.then_some("wells of cells and plasma fit no ABO group")
    }

    fn rhd(&self) -> Option<&'static str> {
        let mut types = self.groups.iter().filter_map(|group| group.rhd);
        let first = types.next();
        if types.any(|other| Some(other) != first) {
            return Some("two Rh(D) types on one tube");
        }
        let wells = self
            .wells
            .iter()
            .filter(|(reagent, _)| *reagent == Reagent::AntiD);
        let wells: Vec<bool> = wells.map(|(_, is_positive)| *is_positive).collect();
        // One anti-D may miss what another finds: that is how weak and partial D show.
        let may_differ = matches!(first, Some(RhD::Weak | RhD::Partial));
        if !may_differ && wells.iter().any(|one| Some(one) != wells.first()) {
            return Some("two wells of anti-D differ");
        }
        match (first, wells.first()) {
            (Some(RhD::Positive), Some(false)) | (Some(RhD::Negative), Some(true)) => {
                Some("a well speaks against the Rh(D) type")
            }
            _ => None,
        }
    }
}

/// Whether a well reacts in a patient of this group; `None` where the group says nothing of it.
const fn expected(reagent: Reagent, abo: Abo) -> Option<bool> {
    let (has_a, has_b) = match abo {
        Abo::A => (true, false),
        Abo::B => (false, true),
        Abo::Ab => (true, true),
        Abo::O => (false, false),
    };
    match reagent {
        Reagent::AntiA => Some(has_a),
        Reagent::AntiB => Some(has_b),
        Reagent::AntiAb => Some(has_a || has_b),
        // Whoever lacks an antigen has the antibody against it (Landsteiner).
        Reagent::A1Cells | Reagent::A2Cells => Some(!has_a),
        Reagent::BCells => Some(!has_b),
        Reagent::AntiD | Reagent::Control | Reagent::OCells => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(kind: &str, reagent: &str) -> BloodTest {
        BloodTest {
            reagent: Reagent::from_word(reagent),
            ..BloodTest::of(BloodKind::from_word(kind).expect("a kind"))
        }
    }

    /// `anti-A 4+, A1 0, = A POS`: wells by reagent, groups by kind.
    fn found(text: &str) -> Option<&'static str> {
        let readings: Vec<(BloodTest, String)> = text
            .split(", ")
            .map(|part| {
                let (what, word) = part.split_once(' ').expect("what and word");
                let test = match what {
                    "=" => test("abo", ""),
                    "=D" => test("rhd", ""),
                    "==" => test("abo-rhd", ""),
                    "fwd" => test("forward", ""),
                    "rev" => test("reverse", ""),
                    "A1" | "A2" | "B" | "O" => test("reverse", what),
                    reagent => test("forward", reagent),
                };
                (test, word.to_owned())
            })
            .collect();
        let readings: Vec<Reading<'_>> = readings
            .iter()
            .map(|(test, word)| (test, test.meaning(Some(word.as_str()))))
            .collect();
        discrepancy(&readings)
    }

    #[test]
    fn every_group_whose_wells_are_as_expected_agrees_with_itself() {
        for panel in [
            "anti-A 4+, anti-B 0, control 0, A1 0, B 4+, = A",
            "anti-A 0, anti-B 4+, anti-AB 4+, A1 3+, A2 2+, B 0, = B",
            "anti-A 4+, anti-B 3+, A1 0, B 0, O 0, == AB POS, anti-D 4+",
            "anti-A 0, anti-B 0, anti-AB 0, A1 4+, B 4+, = O, =D NEG, anti-D 0",
            // Reverse typing of a newborn is not done; that is no disagreement.
            "anti-A 4+, anti-B 0, = A",
            "anti-A w, anti-B 0",
            "fwd A, rev A, = A",
            "=D WEAK, anti-D w, anti-D 0",
            "=D PARTIAL, anti-D 0",
        ] {
            assert_eq!(found(panel), None, "{panel}");
        }
    }

    #[test]
    fn whatever_does_not_agree_is_a_discrepancy() {
        for (panel, expected) in [
            (
                "anti-A 4+, anti-B 0, B 0, = A",
                "a well speaks against the ABO group",
            ),
            (
                "anti-A 0, anti-B 0, A1 4+, B 4+, = A",
                "a well speaks against the ABO group",
            ),
            ("anti-AB 4+, = O", "a well speaks against the ABO group"),
            (
                "anti-A 4+, anti-B 0, A1 3+, B 4+",
                "wells of cells and plasma fit no ABO group",
            ),
            (
                "anti-A 4+, A1 0, A2 4+",
                "wells of cells and plasma fit no ABO group",
            ),
            ("fwd A, rev O", "two ABO groups on one tube"),
            ("= A, == O POS", "two ABO groups on one tube"),
            ("anti-A mf, = A", "a well is no clear reaction"),
            ("anti-A dp", "a well is no clear reaction"),
            ("A1 H", "a well is no clear reaction"),
            ("anti-A -115, = A", "a well cannot be read"),
            ("control 1+, = A", "the control reacts"),
            ("O w", "O cells react"),
            ("= INDETERMINATE", "the device told no group"),
            ("== NTD", "the device told no group"),
            ("=D POS, anti-D 0", "a well speaks against the Rh(D) type"),
            ("=D NEG, anti-D w", "a well speaks against the Rh(D) type"),
            ("anti-D 4+, anti-D 0", "two wells of anti-D differ"),
            ("=D POS, == A NEG", "two Rh(D) types on one tube"),
        ] {
            assert_eq!(found(panel), Some(expected), "{panel}");
        }
    }
}
