//! Texts out of blocks.
//!
//! A text goes on while its blocks carry a number and the same columns before it, and ends with a
//! block that carries `E`. An analyzer that was refused the same block twice goes on with the
//! next one (AU2700/5400 online specification 4.1), so a block can be missing although every
//! number fits: it is the one before `E`. A refused block is therefore remembered until it has
//! come, and a text that ends without it is incomplete.

use bytes::{Bytes, BytesMut};

use super::super::{
    code::Code,
    dialect::Dialect,
    layout::{BlockId, CODE_COLUMNS},
    notes,
};
use crate::wire::{Note, Received};

/// The texts of one line.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// Counts texts from 1.
    session: u64,
    open: Option<OpenText>,
    /// The block id of what was refused and has not come again.
    refused: Option<BlockId>,
}

#[derive(Debug)]
struct OpenText {
    bytes: BytesMut,
    blocks: u32,
    /// Code to block id, the same in every block of a text.
    header: Bytes,
    /// The number of the next block, if it is not the last.
    next_number: u8,
    is_broken: bool,
}

/// What a block made of its text.
#[derive(Debug)]
pub(super) struct Added {
    pub(super) session: u64,
    /// Counts the blocks of the text from 0.
    pub(super) index: u32,
    /// The text, if this block ended it.
    pub(super) message: Option<Received>,
    pub(super) note: Option<Note>,
    /// The text that was open before and does not go on with this block.
    pub(super) left_over: Option<Received>,
}

impl Assembler {
    /// Whether a text waits for its next block.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Bytes of the open text, if `block` belongs to it.
    pub(super) fn length_with(&self, block: &[u8], dialect: &Dialect) -> usize {
        let known = self
            .open
            .as_ref()
            .filter(|open| open.goes_on(block, dialect));
        known
            .map_or(0, |open| open.bytes.len())
            .saturating_add(block.len())
    }

    /// A block was refused. Whether it comes again only the peer knows.
    pub(super) fn on_refused(&mut self, block: &[u8], dialect: &Dialect) {
        let is_known = Code::of(block).and_then(Code::kind).is_some();
        self.refused = match dialect.layout.block_id(block) {
            // Such a text has one block, which comes again whole or not at all.
            BlockId::Nowhere if is_known => None,
            id @ (BlockId::Nowhere | BlockId::Number(_) | BlockId::Last | BlockId::Odd) => Some(id),
        };
    }

    /// Takes a block; `is_damaged` where it is kept although it is not as it was sent.
    pub(super) fn add(&mut self, block: &Bytes, is_damaged: bool, dialect: &Dialect) -> Added {
        let goes_on = self
            .open
            .as_ref()
            .is_some_and(|open| open.goes_on(block, dialect));
        let left_over = if goes_on { None } else { self.finish() };
        let id = dialect.layout.block_id(block);
        let refused = self.refused.take();
        let mut open = self.open.take().unwrap_or_else(|| {
            self.session = self.session.saturating_add(1);
            OpenText::new(block, dialect)
        });
        let is_missing = open.expects_other(id) || misses(refused, id);
        open.is_broken |= is_damaged || is_missing;
        if let BlockId::Number(number) = id {
            open.next_number = number.saturating_add(1);
        }
        open.bytes.extend_from_slice(block);
        let index = open.blocks;
        open.blocks = open.blocks.saturating_add(1);
        let note = is_missing.then(|| notes::BLOCK_MISSING.at(super::count(open.bytes.len())));
        let session = self.session;
        let message = if ends(block, id, dialect) {
            Some(received(session, open))
        } else {
            self.open = Some(open);
            None
        };
        Added {
            session,
            index,
            message,
            note,
            left_over,
        }
    }

    /// What is left of the open text, incomplete.
    pub(super) fn finish(&mut self) -> Option<Received> {
        let mut open = self.open.take()?;
        open.is_broken = true;
        Some(received(self.session, open))
    }
}

impl OpenText {
    fn new(block: &Bytes, dialect: &Dialect) -> Self {
        Self {
            bytes: BytesMut::new(),
            blocks: 0,
            header: block.slice_ref(header(block, dialect)),
            next_number: 0,
            is_broken: false,
        }
    }

    fn goes_on(&self, block: &[u8], dialect: &Dialect) -> bool {
        let id = dialect.layout.block_id(block);
        header(block, dialect) == self.header && id != BlockId::Number(0)
    }

    /// Whether a block with this id leaves a gap, or cannot be placed.
    fn expects_other(&self, id: BlockId) -> bool {
        match id {
            BlockId::Number(number) => number != self.next_number,
            BlockId::Odd => true,
            BlockId::Last | BlockId::Nowhere => false,
        }
    }
}

/// Whether a block with this id is not the one that was refused before it. Numbered blocks are
/// told by `expects_other`; only the last has no number.
fn misses(refused: Option<BlockId>, id: BlockId) -> bool {
    id == BlockId::Last && refused.is_some_and(|refused| refused != BlockId::Last)
}

/// Whether the text ends here: by its end code, and its block id does not speak against it.
fn ends(block: &[u8], id: BlockId, dialect: &Dialect) -> bool {
    let is_text_end = block.last() == Some(&dialect.text_end);
    is_text_end && !matches!(id, BlockId::Number(_))
}

/// Code to block id; only the code where the columns are not known.
fn header<'b>(block: &'b [u8], dialect: &Dialect) -> &'b [u8] {
    let kind = Code::of(block).and_then(Code::kind);
    let columns = kind
        .and_then(|kind| dialect.layout.block_id_at(kind))
        .unwrap_or(CODE_COLUMNS);
    block.get(..columns).unwrap_or(block)
}

fn received(session: u64, open: OpenText) -> Received {
    Received {
        session,
        bytes: open.bytes.freeze(),
        is_complete: !open.is_broken,
    }
}
