//! Texts as views of their bytes: fields by columns, each with its span in the message.
//!
//! A text of several blocks has its header in every block. They must agree, or it is not read:
//! results under two sample ids are nobody's. A layout that does not fit the site shows itself in
//! test numbers that are no numbers, and such a text is not read either. Nothing is trimmed,
//! converted or filled in.

use thiserror::Error;

use super::{
    code::{Code, Kind},
    columns::Columns,
    dialect::{BLOCKS_MAX, Dialect},
    layout::{BLOCK_ID_COLUMNS, CODE_COLUMNS, GroupLayout, Layout},
    notes,
};
use crate::wire::Note;

/// One text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'m> {
    /// What kind of text it is.
    pub code: Code,
    /// The unit number, as far as texts of this kind have one.
    pub unit_no: Columns<'m>,
    /// The rest.
    pub content: Content<'m>,
    /// False where its last block or one before it is missing.
    pub is_whole: bool,
}

/// What a text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'m> {
    /// `RB`, `RE`, `DB`, `DE`: nothing but where requests or results begin and end.
    Mark,
    /// `R…`: the sample whose order is asked for.
    Request(Sample<'m>),
    /// `S…`.
    Order(Order<'m>),
    /// `SE`, and the sample it is about where it says so.
    NoOrder(Option<Sample<'m>>),
    /// `D…`, `d…`.
    Result(Results<'m>),
    /// `DQ`, `dQ`.
    Control(Control<'m>),
    /// `DA`, `DR`: the blocks as sent, for their columns are not known. Never a patient's.
    Unread(Vec<Columns<'m>>),
}

/// Where a sample stands and what it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'m> {
    /// Rack number.
    pub rack_no: Columns<'m>,
    /// Cup position.
    pub cup: Columns<'m>,
    /// Sample type, see [`Sample::specimen`].
    pub sample_type: Columns<'m>,
    /// Sample number, see [`Sample::urgency`].
    pub sample_no: Columns<'m>,
    /// Sample id: the barcode, or what was typed.
    pub sample_id: Columns<'m>,
    /// The columns after the id that the layout does not name; an answer gives them back.
    pub dummy: Columns<'m>,
}

/// What kind of specimen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specimen {
    /// A space.
    Serum,
    /// `U`.
    Urine,
    /// `X`.
    Other,
}

/// How soon a sample was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A number alone.
    Routine,
    /// `E` before the number.
    Emergency,
    /// `P` before the number.
    Stat,
}

impl Sample<'_> {
    /// The specimen; `None` for a letter that is not known.
    pub fn specimen(&self) -> Option<Specimen> {
        match self.sample_type.unpadded() {
            b"" => Some(Specimen::Serum),
            b"U" => Some(Specimen::Urine),
            b"X" => Some(Specimen::Other),
            _ => None,
        }
    }

    /// The urgency; `None` where the number begins with another letter.
    pub fn urgency(&self) -> Option<Urgency> {
        match self.sample_no.unpadded() {
            [b'E', ..] => Some(Urgency::Emergency),
            [b'P', ..] => Some(Urgency::Stat),
            [b'0'..=b'9', ..] | [] => Some(Urgency::Routine),
            _ => None,
        }
    }
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order<'m> {
    /// The sample.
    pub sample: Sample<'m>,
    /// The tests; none where the host has no order.
    pub tests: Vec<OrderedTest<'m>>,
}

/// One test of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderedTest<'m> {
    /// Online test number.
    pub test_no: Columns<'m>,
    /// Dilution: `0` none, `1` dilute, `2` concentrate.
    pub dilution: Columns<'m>,
}

/// Results of one patient's sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results<'m> {
    /// The sample.
    pub sample: Sample<'m>,
    /// Patient information, of the first block.
    pub patient: Columns<'m>,
    /// The results, in order.
    pub groups: Vec<Group<'m>>,
}

/// Results of a control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control<'m> {
    /// Where the control stood.
    pub sample: Sample<'m>,
    /// Control number.
    pub control_no: Columns<'m>,
    /// Unit, of the first block.
    pub unit: Columns<'m>,
    /// The results, in order.
    pub groups: Vec<Group<'m>>,
}

/// One result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'m> {
    /// Unit or reagent that measured it.
    pub unit: Columns<'m>,
    /// Online test number: an entry of the site's table, not a test that other sites know.
    pub test_no: Columns<'m>,
    /// The value as sent.
    pub value: Columns<'m>,
    /// The flags; fewer than the layout has, where the analyzer cut spaces off.
    pub marks: Vec<Columns<'m>>,
}

/// Why a text is not read. Its bytes are in the journal all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Not even a code.
    #[error("read a text: it is shorter than a distinction code")]
    Empty,
    /// A code of which nothing is known.
    #[error("read a text: unknown distinction code")]
    UnknownCode,
    /// A block that ends before its first group.
    #[error("read block at {at}: shorter than its header")]
    HeaderShort {
        /// Offset of the block.
        at: usize,
    },
    /// A group that ends inside its test number or value.
    #[error("read group at {at}: shorter than a test number and a value")]
    GroupShort {
        /// Offset of the group.
        at: usize,
    },
    /// A test number with something else than digits: the layout is not this site's.
    #[error("read group at {at}: the test number is no number")]
    TestNo {
        /// Offset of the test number.
        at: usize,
    },
    /// Two blocks with different columns before their block ids.
    #[error("read block at {at}: its header is not that of the first block")]
    HeaderDiffers {
        /// Offset of the block.
        at: usize,
    },
    /// A request with columns that the layout does not know.
    #[error("read a sample: the text goes on at {at} where the layout ends")]
    SampleLong {
        /// Where.
        at: usize,
    },
    /// More blocks than a text can have.
    #[error("read block at {at}: more blocks than a text has")]
    TooManyBlocks {
        /// Offset of the block.
        at: usize,
    },
}

impl ReadError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "BAU-0301",
            Self::UnknownCode => "BAU-0302",
            Self::HeaderShort { .. } => "BAU-0303",
            Self::GroupShort { .. } => "BAU-0304",
            Self::TestNo { .. } => "BAU-0305",
            Self::HeaderDiffers { .. } => "BAU-0306",
            Self::TooManyBlocks { .. } => "BAU-0307",
            Self::SampleLong { .. } => "BAU-0308",
        }
    }
}

/// Reads one message of the link: the blocks of one text, each ended by its end code.
///
/// # Errors
/// What of it cannot be read safely. A text that is read for a part is not read.
pub fn read<'m>(message: &'m [u8], dialect: &Dialect) -> Result<(Text<'m>, Vec<Note>), ReadError> {
    let blocks = split(message, dialect)?;
    let first = blocks.first().copied().ok_or(ReadError::Empty)?;
    let code = Code::of(first.bytes).ok_or(ReadError::Empty)?;
    let kind = code.kind().ok_or(ReadError::UnknownCode)?;
    let mut reader = Reader {
        layout: &dialect.layout,
        kind,
        notes: Vec::new(),
    };
    let content = reader.content(&blocks)?;
    let is_whole = reader.is_whole(&blocks, dialect);
    let has_unit_no = dialect.layout.has_unit_no(kind);
    let unit_no = if has_unit_no {
        dialect.layout.unit_no
    } else {
        0
    };
    let text = Text {
        code,
        unit_no: first.padded(CODE_COLUMNS, unit_no),
        content,
        is_whole,
    };
    Ok((text, reader.notes))
}

/// One block without its end code.
#[derive(Clone, Copy, Debug)]
struct Block<'m> {
    bytes: &'m [u8],
    /// Where it lies in the message.
    start: usize,
    end_code: Option<u8>,
}

fn split<'m>(message: &'m [u8], dialect: &Dialect) -> Result<Vec<Block<'m>>, ReadError> {
    let mut blocks = Vec::new();
    let mut start = 0;
    for piece in message.split_inclusive(|byte| dialect.is_end(*byte)) {
        if blocks.len() >= BLOCKS_MAX {
            return Err(ReadError::TooManyBlocks { at: start });
        }
        let (bytes, end_code) = match piece.split_last() {
            Some((last, bytes)) if dialect.is_end(*last) => (bytes, Some(*last)),
            _ => (piece, None),
        };
        blocks.push(Block {
            bytes,
            start,
            end_code,
        });
        start = start.saturating_add(piece.len());
    }
    Ok(blocks)
}

impl<'m> Block<'m> {
    /// Columns that must be there.
    fn columns(&self, at: usize, width: usize) -> Result<Columns<'m>, ReadError> {
        let raw = self.bytes.get(at..at.saturating_add(width));
        let start = self.start.saturating_add(at);
        raw.map(|raw| Columns::new(raw, start))
            .ok_or(ReadError::HeaderShort { at: self.start })
    }

    /// Columns of which spaces at the end of the text may be missing.
    fn padded(&self, at: usize, width: usize) -> Columns<'m> {
        let from = at.min(self.bytes.len());
        let to = at.saturating_add(width).min(self.bytes.len());
        let raw = self.bytes.get(from..to).unwrap_or_default();
        Columns::new(raw, self.start.saturating_add(from))
    }
}

struct Reader<'l> {
    layout: &'l Layout,
    kind: Kind,
    notes: Vec<Note>,
}

impl Reader<'_> {
    fn content<'m>(&mut self, blocks: &[Block<'m>]) -> Result<Content<'m>, ReadError> {
        let first = blocks.first().ok_or(ReadError::Empty)?;
        Ok(match self.kind {
            Kind::RequestStart | Kind::RequestEnd | Kind::ResultStart | Kind::ResultEnd => {
                Content::Mark
            }
            Kind::Request => Content::Request(self.sample_alone(first)?),
            Kind::NoOrder => Content::NoOrder(match first.bytes.len() {
                0..=CODE_COLUMNS => None,
                _ => Some(self.sample_alone(first)?),
            }),
            Kind::Order => Content::Order(self.order(blocks)?),
            Kind::Result => Content::Result(self.results(blocks)?),
            Kind::Control => Content::Control(self.control(blocks)?),
            Kind::Calibration | Kind::ReagentBlank => {
                let whole = |block: &Block<'m>| block.padded(0, block.bytes.len());
                Content::Unread(blocks.iter().map(whole).collect())
            }
        })
    }

    /// The id is the last thing of a request, so its spaces may be missing; what is before it may
    /// not.
    fn sample<'m>(&self, block: &Block<'m>) -> Result<Sample<'m>, ReadError> {
        let layout = self.layout;
        let mut at = layout.sample_start(layout.has_unit_no(self.kind));
        let mut next = |width: usize| {
            let columns = block.columns(at, width);
            at = at.saturating_add(width);
            columns
        };
        Ok(Sample {
            rack_no: next(layout.rack_no)?,
            cup: next(layout.cup)?,
            sample_type: next(layout.sample_type)?,
            sample_no: next(layout.sample_no)?,
            sample_id: block.padded(at, layout.sample_id),
            dummy: block.padded(self.sample_end(), self.dummy()),
        })
    }

    /// A text that is nothing but a sample. What stands behind its last column may be the rest of
    /// an id that is longer than the layout says, and half an id is another patient's.
    fn sample_alone<'m>(&self, block: &Block<'m>) -> Result<Sample<'m>, ReadError> {
        let end = self.sample_end().saturating_add(self.dummy());
        let rest = block.padded(end, block.bytes.len());
        if !rest.is_blank() {
            let at = rest.span().start;
            return Err(ReadError::SampleLong { at });
        }
        self.sample(block)
    }

    const fn dummy(&self) -> usize {
        self.layout.after_id(self.kind)
    }

    fn sample_end(&self) -> usize {
        self.layout.sample_end(self.layout.has_unit_no(self.kind))
    }

    fn order<'m>(&mut self, blocks: &[Block<'m>]) -> Result<Order<'m>, ReadError> {
        let sample = self.header(blocks)?;
        let (test_no, dilution) = (self.layout.order.test_no, self.layout.order.dilution);
        let group = GroupLayout {
            unit: 0,
            test_no,
            value: dilution,
            mark: 0,
            marks: 0,
        };
        let read = self.groups(blocks, &group)?;
        let tests = read.into_iter().map(|group| OrderedTest {
            test_no: group.test_no,
            dilution: group.value,
        });
        Ok(Order {
            sample,
            tests: tests.collect(),
        })
    }

    fn results<'m>(&mut self, blocks: &[Block<'m>]) -> Result<Results<'m>, ReadError> {
        let sample = self.header(blocks)?;
        let patient = self.after_block_id(blocks, self.layout.patient)?;
        let group = self.layout.group;
        let groups = self.groups(blocks, &group)?;
        Ok(Results {
            sample,
            patient,
            groups,
        })
    }

    fn control<'m>(&mut self, blocks: &[Block<'m>]) -> Result<Control<'m>, ReadError> {
        let control = self.layout.control;
        let sample = self.header(blocks)?;
        let first = blocks.first().ok_or(ReadError::Empty)?;
        let at = self.sample_end().saturating_add(control.before_number);
        let control_no = first.columns(at, control.control_no)?;
        let unit = self.after_block_id(blocks, control.unit)?;
        let groups = self.groups(blocks, &control.group)?;
        Ok(Control {
            sample,
            control_no,
            unit,
            groups,
        })
    }

    fn block_id_at(&self) -> Result<usize, ReadError> {
        let at = self.layout.block_id_at(self.kind);
        at.ok_or(ReadError::UnknownCode)
    }

    /// The sample of the first block; the other blocks must repeat all that is before their ids.
    fn header<'m>(&self, blocks: &[Block<'m>]) -> Result<Sample<'m>, ReadError> {
        let first = blocks.first().ok_or(ReadError::Empty)?;
        let columns = self.block_id_at()?;
        let header = first.columns(0, columns)?;
        for block in blocks {
            // The block id belongs to the header: without it there is no telling where we are.
            block.columns(columns, BLOCK_ID_COLUMNS)?;
            if block.columns(0, columns)?.raw() != header.raw() {
                return Err(ReadError::HeaderDiffers { at: block.start });
            }
        }
        self.sample(first)
    }

    /// An order without tests may be cut off after its block id.
    fn after_block_id<'m>(
        &self,
        blocks: &[Block<'m>],
        width: usize,
    ) -> Result<Columns<'m>, ReadError> {
        let first = blocks.first().ok_or(ReadError::Empty)?;
        let at = self.block_id_at()?.saturating_add(BLOCK_ID_COLUMNS);
        Ok(first.padded(at, width))
    }

    fn groups<'m>(
        &mut self,
        blocks: &[Block<'m>],
        layout: &GroupLayout,
    ) -> Result<Vec<Group<'m>>, ReadError> {
        let start = self
            .layout
            .groups_at(self.kind)
            .ok_or(ReadError::UnknownCode)?;
        let mut groups = Vec::new();
        for block in blocks {
            let mut at = start;
            while at < block.bytes.len() {
                groups.push(self.group(block, at, layout)?);
                at = at.saturating_add(layout.columns().max(1));
            }
        }
        Ok(groups)
    }

    fn group<'m>(
        &mut self,
        block: &Block<'m>,
        start: usize,
        layout: &GroupLayout,
    ) -> Result<Group<'m>, ReadError> {
        let at = block.start.saturating_add(start);
        let mut next = start;
        let mut take = |width: usize| {
            let columns = block.columns(next, width);
            next = next.saturating_add(width);
            columns.map_err(|_| ReadError::GroupShort { at })
        };
        let (unit, test_no) = (take(layout.unit)?, take(layout.test_no)?);
        let value = take(layout.value)?;
        if !test_no.raw().iter().all(u8::is_ascii_digit) {
            let at = test_no.span().start;
            return Err(ReadError::TestNo { at });
        }
        // A mark whose space was cut off is a mark all the same: a result must not lose it.
        let marks = (0..layout.marks).map_while(|_| {
            let mark = block.padded(next, layout.mark);
            next = next.saturating_add(layout.mark);
            (!mark.raw().is_empty()).then_some(mark)
        });
        let marks: Vec<_> = marks.collect();
        let ends_at = start.saturating_add(layout.columns());
        if block.bytes.len() < ends_at {
            self.notes.push(notes::GROUP_SHORT.at(count(block.start)));
        }
        Ok(Group {
            unit,
            test_no,
            value,
            marks,
        })
    }

    /// Whether blocks `0`, `1` and so on to `E` are all there, where the text has block ids.
    fn is_whole(&mut self, blocks: &[Block<'_>], dialect: &Dialect) -> bool {
        let last = blocks.last();
        let has_end = last.is_some_and(|block| block.end_code == Some(dialect.text_end));
        let start = last.map_or(0, |block| block.start);
        let mut is_whole = has_end;
        if let Some(at) = self.layout.block_id_at(self.kind) {
            let ids = blocks.iter().map(|block| block.bytes.get(at).copied());
            let numbers = b'0'..=b'9';
            let before = blocks.len().saturating_sub(1);
            let expected = numbers.take(before).chain([b'E']).map(Some);
            let fits = ids.eq(expected);
            if has_end && !fits && before == 0 {
                self.notes.push(notes::END_CODE_ODD.at(count(start)));
            }
            is_whole &= fits;
        }
        if !is_whole {
            self.notes.push(notes::NOT_WHOLE.at(count(start)));
        }
        is_whole
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
