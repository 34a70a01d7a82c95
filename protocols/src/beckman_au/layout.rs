//! The columns of a text, as numbers that a profile sets.
//!
//! The order of the fields is fixed, their widths are what the site's parameter sheet says ("digits").
//! Field sets A and B of a result, offsets from the first letter of the code:
//!
//! ```text
//!            code unit rack cup type no  sample id   dummy block  patient  groups
//! set A        0    2    4   8   10   11  15 (10)    25    29        -      30, 21 each
//! set B        0    -    2   6    8    9  13 (19)    32    36       37      64, 11 each
//! ```

use super::code::{Code, Kind};

/// Letters of the distinction code.
pub(super) const CODE_COLUMNS: usize = 2;
/// The block id is one column: `0` to `9`, then `E`.
pub(super) const BLOCK_ID_COLUMNS: usize = 1;
/// Most columns of one field: an id of the longest barcode anyone prints is 26.
pub const FIELD_COLUMNS_MAX: usize = 64;
/// Most flags ("marks", "data flags") of one result.
pub const MARKS_MAX: usize = 16;

/// Where a short text stands in its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Spaces follow.
    Left,
    /// Spaces come first.
    Right,
}

/// How a host says that it has no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoOrder {
    /// `SE` with the sample it is about (field set A).
    EndWithSample,
    /// `SE` alone.
    End,
    /// An order without tests. On a batch request `SE` would end the asking for all samples.
    EmptyOrder,
}

/// What stands in the column of the block id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockId {
    /// Texts of this kind have none, or it is not known where.
    Nowhere,
    /// A number: another block follows.
    Number(u8),
    /// `E`.
    Last,
    /// Something else, or the block is shorter.
    Odd,
}

/// The columns of one test of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderLayout {
    /// Online test number.
    pub test_no: usize,
    /// Dilution: 0 none, 1 dilute, 2 concentrate; 0 columns where it is off.
    pub dilution: usize,
}

/// The columns of one result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLayout {
    /// Unit or reagent that measured it, before the test number.
    pub unit: usize,
    /// Online test number.
    pub test_no: usize,
    /// The value.
    pub value: usize,
    /// One flag.
    pub mark: usize,
    /// How many flags.
    pub marks: usize,
}

impl GroupLayout {
    /// Columns of the whole group.
    pub const fn columns(&self) -> usize {
        self.needed()
            .saturating_add(self.mark.saturating_mul(self.marks))
    }

    /// Columns without which a result is not one.
    pub(super) const fn needed(&self) -> usize {
        self.unit
            .saturating_add(self.test_no)
            .saturating_add(self.value)
    }
}

/// The columns of a control's text that are not those of a patient's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlLayout {
    /// Columns between the sample id and the control number.
    pub before_number: usize,
    /// Control number.
    pub control_no: usize,
    /// Unit, after the block id.
    pub unit: usize,
    /// One result.
    pub group: GroupLayout,
}

/// The columns of all texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Unit number after the code, 2 where it is on.
    pub unit_no: usize,
    /// Whether the host's texts carry the unit number too.
    pub has_unit_no_in_orders: bool,
    /// Rack number.
    pub rack_no: usize,
    /// Cup position.
    pub cup: usize,
    /// Sample type.
    pub sample_type: usize,
    /// Sample number, an urgent one with `E` or `P` in its first column.
    pub sample_no: usize,
    /// Sample id.
    pub sample_id: usize,
    /// Where a short sample id stands, when we write it.
    pub sample_id_side: Side,
    /// Columns after the sample id that nobody uses.
    pub dummy: usize,
    /// Columns of patient information after the block id of a result.
    pub patient: usize,
    /// Columns of patient information after the block id of an order.
    pub order_patient: usize,
    /// One result.
    pub group: GroupLayout,
    /// One test of an order.
    pub order: OrderLayout,
    /// A control's text.
    pub control: ControlLayout,
    /// What a host writes when it has no order.
    pub no_order: NoOrder,
    /// Longest block that is written, without STX, end code and block check ("max. text length").
    pub block_text_max: usize,
}

impl Layout {
    /// Field set A, from a working AU5800 driver, block check on.
    pub const SET_A: Self = Self {
        unit_no: 2,
        has_unit_no_in_orders: false,
        rack_no: 4,
        cup: 2,
        sample_type: 1,
        sample_no: 4,
        sample_id: 10,
        sample_id_side: Side::Left,
        dummy: 4,
        patient: 0,
        order_patient: 0,
        group: GroupLayout {
            unit: 1,
            test_no: 3,
            value: 9,
            mark: 2,
            marks: 4,
        },
        order: OrderLayout {
            test_no: 3,
            dilution: 1,
        },
        control: ControlLayout {
            before_number: 1,
            control_no: 3,
            // The unit is at 30 and the groups begin at 32; 31 is counted to the unit.
            unit: 2,
            group: GroupLayout {
                unit: 0,
                test_no: 3,
                value: 9,
                mark: 2,
                marks: 4,
            },
        },
        no_order: NoOrder::EndWithSample,
        block_text_max: 256,
    };

    /// Field set B, from an AU480 site without block check. Of its header of 64 columns the id
    /// and the end are known; what stands after the block id is taken for patient information.
    /// Its control text is not known and taken to be like set A's.
    pub const SET_B: Self = {
        let group = GroupLayout {
            unit: 0,
            test_no: 3,
            value: 6,
            mark: 2,
            marks: 1,
        };
        Self {
            unit_no: 0,
            sample_id: 19,
            sample_id_side: Side::Right,
            patient: 27,
            group,
            control: ControlLayout {
                group,
                ..Self::SET_A.control
            },
            ..Self::SET_A
        }
    };

    /// Columns from the code to the end of the sample id, in texts with or without unit number.
    pub(super) const fn sample_end(&self, has_unit_no: bool) -> usize {
        self.sample_start(has_unit_no)
            .saturating_add(self.rack_no)
            .saturating_add(self.cup)
            .saturating_add(self.sample_type)
            .saturating_add(self.sample_no)
            .saturating_add(self.sample_id)
    }

    /// Where the rack number begins.
    pub(super) const fn sample_start(&self, has_unit_no: bool) -> usize {
        if has_unit_no {
            CODE_COLUMNS.saturating_add(self.unit_no)
        } else {
            CODE_COLUMNS
        }
    }

    /// Columns between the sample id and what is known next.
    pub(super) const fn after_id(&self, kind: Kind) -> usize {
        if matches!(kind, Kind::Control) {
            self.control.before_number
        } else {
            self.dummy
        }
    }

    /// Whether texts of this kind carry the unit number.
    pub(super) const fn has_unit_no(&self, kind: Kind) -> bool {
        match kind {
            Kind::Order | Kind::NoOrder => self.has_unit_no_in_orders,
            Kind::RequestStart
            | Kind::Request
            | Kind::RequestEnd
            | Kind::ResultStart
            | Kind::Result
            | Kind::Control
            | Kind::Calibration
            | Kind::ReagentBlank
            | Kind::ResultEnd => true,
        }
    }

    /// Where the block id of a text of this kind stands; `None` if it has none, or if its columns
    /// are not known (calibration, reagent blank).
    pub const fn block_id_at(&self, kind: Kind) -> Option<usize> {
        let sample_end = self.sample_end(self.has_unit_no(kind));
        match kind {
            Kind::Order | Kind::Result => Some(sample_end.saturating_add(self.dummy)),
            Kind::Control => Some(
                sample_end
                    .saturating_add(self.control.before_number)
                    .saturating_add(self.control.control_no),
            ),
            Kind::RequestStart
            | Kind::Request
            | Kind::RequestEnd
            | Kind::NoOrder
            | Kind::ResultStart
            | Kind::Calibration
            | Kind::ReagentBlank
            | Kind::ResultEnd => None,
        }
    }

    /// Where the groups of a text of this kind begin.
    pub(super) const fn groups_at(&self, kind: Kind) -> Option<usize> {
        let Some(block_id) = self.block_id_at(kind) else {
            return None;
        };
        let after = match kind {
            Kind::Order => self.order_patient,
            Kind::Control => self.control.unit,
            Kind::Result => self.patient,
            Kind::RequestStart
            | Kind::Request
            | Kind::RequestEnd
            | Kind::NoOrder
            | Kind::ResultStart
            | Kind::Calibration
            | Kind::ReagentBlank
            | Kind::ResultEnd => return None,
        };
        Some(
            block_id
                .saturating_add(BLOCK_ID_COLUMNS)
                .saturating_add(after),
        )
    }

    /// The block id of a block.
    pub(super) fn block_id(&self, block: &[u8]) -> BlockId {
        let kind = Code::of(block).and_then(Code::kind);
        let Some(at) = kind.and_then(|kind| self.block_id_at(kind)) else {
            return BlockId::Nowhere;
        };
        match block.get(at) {
            Some(b'E') => BlockId::Last,
            Some(id @ b'0'..=b'9') => BlockId::Number(*id - b'0'),
            _ => BlockId::Odd,
        }
    }

    /// Rack number to sample id of a block, if its kind names a sample and the block reaches its
    /// id. Spaces at the end of a text may be missing.
    pub(super) fn sample(&self, block: &[u8]) -> Option<Vec<u8>> {
        let has_unit_no = self.has_unit_no(Code::of(block)?.kind()?);
        let (start, end) = (self.sample_start(has_unit_no), self.sample_end(has_unit_no));
        let text = match block {
            [text @ .., last] if *last < b' ' => text,
            text => text,
        };
        if text.len() < end.saturating_sub(self.sample_id) {
            return None;
        }
        let columns = end.saturating_sub(start);
        let there = text.get(start..)?.iter().copied();
        Some(there.chain(std::iter::repeat(b' ')).take(columns).collect())
    }

    /// Every width with its name, for [`super::Dialect::check`].
    pub(super) const fn widths(&self) -> [(&'static str, usize); 24] {
        let (group, control) = (&self.group, &self.control);
        [
            ("unit_no", self.unit_no),
            ("rack_no", self.rack_no),
            ("cup", self.cup),
            ("sample_type", self.sample_type),
            ("sample_no", self.sample_no),
            ("sample_id", self.sample_id),
            ("dummy", self.dummy),
            ("patient", self.patient),
            ("order_patient", self.order_patient),
            ("group.unit", group.unit),
            ("group.test_no", group.test_no),
            ("group.value", group.value),
            ("group.mark", group.mark),
            ("group.marks", group.marks),
            ("order.test_no", self.order.test_no),
            ("order.dilution", self.order.dilution),
            ("control.before_number", control.before_number),
            ("control.control_no", control.control_no),
            ("control.unit", control.unit),
            ("control.group.unit", control.group.unit),
            ("control.group.test_no", control.group.test_no),
            ("control.group.value", control.group.value),
            ("control.group.mark", control.group.mark),
            ("control.group.marks", control.group.marks),
        ]
    }
}
