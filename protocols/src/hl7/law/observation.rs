//! One OBX of an analyzer: which kind of result, of which run, in which state, measured with what.

use std::collections::BTreeSet;

use crate::hl7::{
    Segment,
    material::{Substance, SubstanceUse, TestDetail},
    observation::{self, Obx},
    tables::ResultStatus,
    views::named,
};

/// An OBX with what follows it: TCD, INV (an addition of this profile), SID, NTE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation<'m, 'a> {
    /// The segment with its tail, and its fields as any OBX has them.
    pub obx: Obx<'m, 'a>,
}

/// What kind of value an observation is (OBX-3.4 to 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class<'a> {
    /// The result of the step.
    Main,
    /// `S_RAW`: what was measured, before it was calculated.
    Raw,
    /// `S_OTHER`: something else that was found out on the way.
    Supplemental,
    /// Another code of the profile's own coding system: not to be taken for the result.
    Other(&'a str),
}

/// The coding system of the profile.
pub const CODING_SYSTEM: &str = "IHELAW";
/// OBX-3.4 of a raw value.
pub const RAW: &str = "S_RAW";
/// OBX-3.4 of a supplemental value.
pub const SUPPLEMENTAL: &str = "S_OTHER";

/// OBX-4 (OG): which run, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run<'a> {
    /// The whole field as sent.
    pub raw: &'a str,
    /// OG.1: the run, from 1; a rerun of the same step counts on. `None` where it is no number.
    pub number: Option<u32>,
    /// OG.2 as sent: tells several analytes or channels of one test apart.
    pub group: &'a str,
    /// OG.3 as sent.
    pub sequence: &'a str,
    /// OG.4 as sent.
    pub identifier: &'a str,
}

/// What no run counter passes; a longer number is something else.
const RUN_DIGITS_MAX: usize = 6;

impl<'m, 'a> Observation<'m, 'a> {
    /// The kind of value. A code in components 4 to 6 of another coding system is a second name
    /// for the same test, not a class, unless it is one of the profile's.
    pub fn class(&self) -> Class<'a> {
        let [code, system] = [4, 6].map(|n| self.obx.code_part(n).raw());
        match (code, system) {
            ("", _) => Class::Main,
            (RAW, _) => Class::Raw,
            (SUPPLEMENTAL, _) => Class::Supplemental,
            (other, CODING_SYSTEM) => Class::Other(other),
            _ => Class::Main,
        }
    }

    /// OBX-4.
    pub fn run(&self) -> Run<'a> {
        let field = self.obx.segment.field(4);
        let part = |n| field.component(n).raw();
        let first = part(1);
        let is_number =
            first.len() <= RUN_DIGITS_MAX && first.bytes().all(|byte| byte.is_ascii_digit());
        Run {
            raw: field.raw(),
            number: if is_number { first.parse().ok() } else { None },
            group: part(2),
            sequence: part(3),
            identifier: part(4),
        }
    }

    /// OBX-11; `None` when it is empty.
    pub fn status(&self) -> Option<ResultStatus<'a>> {
        let code = self.obx.status();
        (!code.is_empty()).then(|| ResultStatus::read(code))
    }

    /// TCD after it: how the test was run.
    pub fn details(&self) -> impl Iterator<Item = TestDetail<'a>> + use<'m, 'a> {
        named(self.obx.tail, TestDetail::NAME).map(TestDetail::new)
    }

    /// INV after it: the reagents, calibrators and so on that it was measured with.
    pub fn substances(&self) -> impl Iterator<Item = Substance<'a>> + use<'m, 'a> {
        named(self.obx.tail, Substance::NAME).map(Substance::new)
    }

    /// SID after it.
    pub fn substance_uses(&self) -> impl Iterator<Item = SubstanceUse<'a>> + use<'m, 'a> {
        named(self.obx.tail, SubstanceUse::NAME).map(SubstanceUse::new)
    }

    /// OBX-16, every repeat as sent: who answered for it.
    pub fn operators(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        repeats(self.obx.segment, 16)
    }

    /// OBX-18, every repeat as sent: model with manufacturer, then serial number, then module.
    pub fn devices(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        repeats(self.obx.segment, 18)
    }

    /// OBX-29 as sent (of 2.8): `RSLT` for a result.
    pub fn observation_type(&self) -> &'a str {
        self.obx.segment.field(29).raw()
    }
}

/// The repeats of a field that are not empty, as sent.
pub(super) fn repeats<'a>(
    segment: Segment<'a>,
    n: usize,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let all = segment.field(n).repeats().map(|repeat| repeat.raw());
    all.filter(|raw| !raw.is_empty())
}

/// Every OBX of a slice, in order.
pub(super) fn observations<'m, 'a>(
    segments: &'m [Segment<'a>],
    is_about_specimen: bool,
) -> impl Iterator<Item = Observation<'m, 'a>> + use<'m, 'a> {
    observation::observations(segments, is_about_specimen).map(|obx| Observation { obx })
}

/// The runs that some observations name, in order.
pub(super) fn runs<'m>(observations: impl Iterator<Item = Observation<'m, 'm>>) -> BTreeSet<u32> {
    observations
        .filter_map(|observation| observation.run().number)
        .collect()
}
