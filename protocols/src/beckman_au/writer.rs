//! Writes texts that are valid by construction.
//!
//! What does not fit its columns is refused, never cut: a cut id is another patient's. Numbers
//! must fill their columns or be empty, because leading zeros belong to them. What is written is
//! what [`super::Link`] takes: blocks, each ended by its end code.

use bytes::Bytes;
use thiserror::Error;

use super::{
    code::{Code, Kind},
    dialect::{BLOCKS_MAX, Dialect},
    layout::{GroupLayout, Layout, NoOrder, Side},
    text::Sample,
};

/// The columns that name a sample, to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleText<'t> {
    /// Rack number: all its columns, or empty.
    pub rack_no: &'t [u8],
    /// Cup position: all its columns, or empty.
    pub cup: &'t [u8],
    /// Sample type: empty for serum, `U`, `X`.
    pub sample_type: &'t [u8],
    /// Sample number: all its columns, or empty.
    pub sample_no: &'t [u8],
    /// Sample id, padded on the side that the layout says.
    pub sample_id: &'t [u8],
    /// The columns after the id: as the request had them, or empty.
    pub dummy: &'t [u8],
}

impl<'t> From<&Sample<'t>> for SampleText<'t> {
    /// The sample as it was asked for, padding and all.
    fn from(sample: &Sample<'t>) -> Self {
        Self {
            rack_no: sample.rack_no.raw(),
            cup: sample.cup.raw(),
            sample_type: sample.sample_type.raw(),
            sample_no: sample.sample_no.raw(),
            sample_id: sample.sample_id.raw(),
            dummy: sample.dummy.raw(),
        }
    }
}

/// One test of an order, to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestText<'t> {
    /// Online test number, all its digits.
    pub test_no: &'t [u8],
    /// Dilution; empty where it is off.
    pub dilution: &'t [u8],
}

/// One result, to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupText<'t> {
    /// Unit or reagent: all its columns, or empty.
    pub unit: &'t [u8],
    /// Online test number, all its digits.
    pub test_no: &'t [u8],
    /// The value; spaces come before a short one.
    pub value: &'t [u8],
    /// The flags, as many as there are.
    pub marks: &'t [&'t [u8]],
}

/// Why a text cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// Longer than its columns.
    #[error("write `{field}`: {length} characters do not fit {columns} columns")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its columns.
        columns: usize,
        /// What was given.
        length: usize,
    },
    /// A number that neither fills its columns nor is empty.
    #[error("write `{field}`: {length} characters given, {columns} needed")]
    NotFilled {
        /// The field.
        field: &'static str,
        /// Its columns.
        columns: usize,
        /// What was given.
        length: usize,
    },
    /// A control character.
    #[error("write `{field}`: control character")]
    Control {
        /// The field.
        field: &'static str,
    },
    /// A test number that is no number.
    #[error("write `{field}`: digits only")]
    NotDigits {
        /// The field.
        field: &'static str,
    },
    /// An empty value, an order without tests.
    #[error("write `{field}`: nothing given")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// More than a text of eleven blocks holds.
    #[error("write a text: {groups} groups do not fit")]
    TooMany {
        /// How many.
        groups: usize,
    },
    /// The code is not one for such a text.
    #[error("write a text: its distinction code is for another kind")]
    WrongCode,
    /// The dialect's own columns do not fit its block.
    #[error("write a text: the layout has no room for one group")]
    NoRoom,
}

impl WriteError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "BAU-0401",
            Self::NotFilled { .. } => "BAU-0402",
            Self::Control { .. } => "BAU-0403",
            Self::NotDigits { .. } => "BAU-0404",
            Self::Missing { .. } => "BAU-0405",
            Self::TooMany { .. } => "BAU-0406",
            Self::WrongCode => "BAU-0407",
            Self::NoRoom => "BAU-0408",
        }
    }
}

/// Writes texts in one dialect.
///
/// ```
/// use labwire_protocols::beckman_au::{
///     Code, Content, Dialect, Model, Writer, read,
///     writer::{SampleText, TestText},
/// };
///
/// let dialect = Dialect::host(Model::Au5800);
/// let (request, _) = read(b"R 00000301 00010009063962    \x03", &dialect)?;
/// let Content::Request(sample) = request.content else {
///     panic!("a request")
/// };
/// let tests = [b"016", b"020"].map(|test_no| TestText { test_no, dilution: b"0" });
/// let order = Writer::new(&dialect).order(Code::ORDER, &SampleText::from(&sample), &tests)?;
/// assert_eq!(order, &b"S 000301 00010009063962    E01600200\x03"[..]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Writer<'d> {
    dialect: &'d Dialect,
}

impl<'d> Writer<'d> {
    /// A writer of texts in `dialect`.
    pub const fn new(dialect: &'d Dialect) -> Self {
        Self { dialect }
    }

    const fn layout(&self) -> &'d Layout {
        &self.dialect.layout
    }

    /// `RB`, `RE`, `DB`, `DE`.
    ///
    /// # Errors
    /// Another code.
    pub fn mark(&self, code: Code) -> Result<Bytes, WriteError> {
        match code.kind() {
            Some(Kind::RequestStart | Kind::RequestEnd | Kind::ResultStart | Kind::ResultEnd) => {}
            _ => return Err(WriteError::WrongCode),
        }
        let block = Row::begin(code, self.unit_no(code));
        Ok(self.single(block))
    }

    /// `R…`: asks for the order of a sample.
    ///
    /// # Errors
    /// What does not fit.
    pub fn request(&self, code: Code, sample: &SampleText<'_>) -> Result<Bytes, WriteError> {
        let block = self.header(code, Kind::Request, sample)?;
        Ok(self.single(block))
    }

    /// `S…`: the tests of a sample, in as many blocks as they need.
    ///
    /// # Errors
    /// What does not fit, and an order without tests: see [`Writer::no_order`].
    pub fn order(
        &self,
        code: Code,
        sample: &SampleText<'_>,
        tests: &[TestText<'_>],
    ) -> Result<Bytes, WriteError> {
        let field = "tests";
        if tests.is_empty() {
            return Err(WriteError::Missing { field });
        }
        let header = self.header(code, Kind::Order, sample)?;
        let order = self.layout().order;
        let row = |test: &TestText<'_>| {
            let mut row = Row::default();
            row.digits("test_no", test.test_no, order.test_no)?;
            row.text("dilution", test.dilution, order.dilution, Side::Left)?;
            Ok(row)
        };
        let rows: Vec<Row> = tests.iter().map(row).collect::<Result<_, _>>()?;
        self.blocks(header, self.layout().order_patient, &rows)
    }

    /// That the host has no order for the sample, as the layout says it.
    ///
    /// # Errors
    /// What does not fit. `request` is the code of the request.
    pub fn no_order(&self, request: Code, sample: &SampleText<'_>) -> Result<Bytes, WriteError> {
        let code = request.answer().ok_or(WriteError::WrongCode)?;
        match self.layout().no_order {
            NoOrder::End => {
                let unit_no = self.unit_no(Code::NO_ORDER);
                Ok(self.single(Row::begin(Code::NO_ORDER, unit_no)))
            }
            NoOrder::EndWithSample => {
                Ok(self.single(self.header(Code::NO_ORDER, Kind::NoOrder, sample)?))
            }
            NoOrder::EmptyOrder => {
                let header = self.header(code, Kind::Order, sample)?;
                self.blocks(header, self.layout().order_patient, &[])
            }
        }
    }

    /// `D…`, `d…`: results of a sample, in as many blocks as they need.
    ///
    /// # Errors
    /// What does not fit.
    pub fn results(
        &self,
        code: Code,
        sample: &SampleText<'_>,
        groups: &[GroupText<'_>],
    ) -> Result<Bytes, WriteError> {
        let header = self.header(code, Kind::Result, sample)?;
        let rows = rows(groups, &self.layout().group)?;
        self.blocks(header, self.layout().patient, &rows)
    }

    /// `DQ`, `dQ`: results of a control.
    ///
    /// # Errors
    /// What does not fit.
    pub fn control(
        &self,
        code: Code,
        sample: &SampleText<'_>,
        control_no: &[u8],
        groups: &[GroupText<'_>],
    ) -> Result<Bytes, WriteError> {
        let control = &self.layout().control;
        let mut header = self.header(code, Kind::Control, sample)?;
        header.filled("control_no", control_no, control.control_no)?;
        let rows = rows(groups, &control.group)?;
        self.blocks(header, control.unit, &rows)
    }

    /// Zeros, as one analyzer without units has.
    fn unit_no(&self, code: Code) -> usize {
        let layout = self.layout();
        match code.kind() {
            Some(kind) if layout.has_unit_no(kind) => layout.unit_no,
            _ => 0,
        }
    }

    fn header(&self, code: Code, kind: Kind, sample: &SampleText<'_>) -> Result<Row, WriteError> {
        if code.kind() != Some(kind) {
            return Err(WriteError::WrongCode);
        }
        let layout = self.layout();
        let mut row = Row::begin(code, self.unit_no(code));
        row.filled("rack_no", sample.rack_no, layout.rack_no)?;
        row.filled("cup", sample.cup, layout.cup)?;
        row.text(
            "sample_type",
            sample.sample_type,
            layout.sample_type,
            Side::Left,
        )?;
        row.filled("sample_no", sample.sample_no, layout.sample_no)?;
        let side = layout.sample_id_side;
        row.text("sample_id", sample.sample_id, layout.sample_id, side)?;
        if kind != Kind::NoOrder {
            row.text("dummy", sample.dummy, layout.after_id(kind), Side::Left)?;
        }
        Ok(row)
    }

    fn single(&self, mut block: Row) -> Bytes {
        block.bytes.push(self.dialect.text_end);
        block.bytes.into()
    }

    /// The header, block id and `after` blank columns before every block's share of the groups.
    fn blocks(&self, header: Row, after: usize, groups: &[Row]) -> Result<Bytes, WriteError> {
        let width = groups.first().map_or(1, |row| row.bytes.len()).max(1);
        let before = header.bytes.len().saturating_add(after).saturating_add(1);
        let room = self.layout().block_text_max.checked_sub(before);
        let share = room.map_or(0, |room| room / width);
        if share == 0 {
            return Err(WriteError::NoRoom);
        }
        let count = groups.len().div_ceil(share).max(1);
        if count > BLOCKS_MAX {
            let groups = groups.len();
            return Err(WriteError::TooMany { groups });
        }
        let mut out = Row::default();
        for (number, index) in (b'0'..).zip(0..count) {
            let is_last = index.saturating_add(1) == count;
            out.bytes.extend_from_slice(&header.bytes);
            out.bytes.push(if is_last { b'E' } else { number });
            out.blank(after);
            let share = groups.iter().skip(index.saturating_mul(share)).take(share);
            share.for_each(|row| out.bytes.extend_from_slice(&row.bytes));
            out.bytes.push(if is_last {
                self.dialect.text_end
            } else {
                self.dialect.block_end
            });
        }
        Ok(out.bytes.into())
    }
}

fn rows(groups: &[GroupText<'_>], layout: &GroupLayout) -> Result<Vec<Row>, WriteError> {
    if groups.is_empty() {
        return Err(WriteError::Missing { field: "groups" });
    }
    let row = |group: &GroupText<'_>| {
        let mut row = Row::default();
        row.filled("unit", group.unit, layout.unit)?;
        row.digits("test_no", group.test_no, layout.test_no)?;
        if group.value.is_empty() {
            return Err(WriteError::Missing { field: "value" });
        }
        row.text("value", group.value, layout.value, Side::Right)?;
        if group.marks.len() > layout.marks {
            return Err(WriteError::TooLong {
                field: "marks",
                columns: layout.marks,
                length: group.marks.len(),
            });
        }
        for index in 0..layout.marks {
            let mark = group.marks.get(index).copied().unwrap_or_default();
            row.text("mark", mark, layout.mark, Side::Left)?;
        }
        Ok(row)
    };
    groups.iter().map(row).collect()
}

/// Columns under way.
#[derive(Clone, Debug, Default)]
struct Row {
    bytes: Vec<u8>,
}

impl Row {
    fn begin(code: Code, unit_no: usize) -> Self {
        let mut bytes = code.letters().to_vec();
        bytes.resize(bytes.len().saturating_add(unit_no), b'0');
        Self { bytes }
    }

    fn blank(&mut self, columns: usize) {
        let length = self.bytes.len().saturating_add(columns);
        self.bytes.resize(length, b' ');
    }

    fn text(
        &mut self,
        field: &'static str,
        text: &[u8],
        columns: usize,
        side: Side,
    ) -> Result<(), WriteError> {
        let length = text.len();
        let Some(spaces) = columns.checked_sub(length) else {
            return Err(WriteError::TooLong {
                field,
                columns,
                length,
            });
        };
        if text.iter().any(|byte| *byte < b' ' || *byte == 0x7F) {
            return Err(WriteError::Control { field });
        }
        if side == Side::Right {
            self.blank(spaces);
        }
        self.bytes.extend_from_slice(text);
        if side == Side::Left {
            self.blank(spaces);
        }
        Ok(())
    }

    /// All columns or none: half a number is another number.
    fn filled(
        &mut self,
        field: &'static str,
        text: &[u8],
        columns: usize,
    ) -> Result<(), WriteError> {
        let length = text.len();
        if length != 0 && length < columns {
            return Err(WriteError::NotFilled {
                field,
                columns,
                length,
            });
        }
        self.text(field, text, columns, Side::Left)
    }

    fn digits(
        &mut self,
        field: &'static str,
        text: &[u8],
        columns: usize,
    ) -> Result<(), WriteError> {
        if text.is_empty() {
            return Err(WriteError::Missing { field });
        }
        if !text.iter().all(u8::is_ascii_digit) {
            return Err(WriteError::NotDigits { field });
        }
        self.filled(field, text, columns)
    }
}
