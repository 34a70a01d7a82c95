//! A bounded reader of the XML that POCT1-A uses: elements, attributes, text, comments, CDATA.
//!
//! It reads no document type and no entity of a document's own, follows nothing, resolves nothing,
//! and builds at most [`ELEMENTS_MAX`] elements, [`DEPTH_MAX`] deep. What it gives are views of the
//! bytes: nothing is decoded before [`Value::unescaped`] is asked for.

use std::{borrow::Cow, ops::Range};

use thiserror::Error;

use super::dialect::{ATTRIBUTES_MAX, DEPTH_MAX, ELEMENTS_MAX, NAME_BYTES_MAX};

/// Text of an attribute or an element, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'m> {
    raw: &'m [u8],
    start: usize,
    is_cdata: bool,
}

impl<'m> Value<'m> {
    /// The bytes exactly as sent, references included.
    pub const fn raw(&self) -> &'m [u8] {
        self.raw
    }

    /// Where they lie in the message.
    pub const fn span(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.raw.len())
    }

    /// The bytes that are meant: the five references of XML and those to characters by number
    /// (written in UTF-8) replaced. Any other `&` stays as it is; see [`Value::has_odd_reference`].
    pub fn unescaped(&self) -> Cow<'m, [u8]> {
        if self.is_cdata || !self.raw.contains(&b'&') {
            return Cow::Borrowed(self.raw);
        }
        let mut out = Vec::with_capacity(self.raw.len());
        for piece in Pieces(self.raw) {
            match piece {
                Piece::Plain(bytes) | Piece::Odd(bytes) => out.extend_from_slice(bytes),
                Piece::Character(meant) => {
                    out.extend_from_slice(meant.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        Cow::Owned(out)
    }

    /// Whether an `&` begins none of the references that XML knows.
    pub fn has_odd_reference(&self) -> bool {
        let is_odd = |piece| matches!(piece, Piece::Odd(_));
        !self.is_cdata && Pieces(self.raw).any(is_odd)
    }

    /// Nothing but white space, or nothing.
    pub fn is_blank(&self) -> bool {
        self.raw.iter().all(u8::is_ascii_whitespace)
    }

    /// A count; `None` if it is no number of at most nine digits.
    pub fn count(&self) -> Option<u32> {
        let digits = self.raw.trim_ascii();
        let is_number = (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        let value = |sum: u32, digit: &u8| {
            sum.saturating_mul(10)
                .saturating_add(u32::from(digit.saturating_sub(b'0')))
        };
        is_number.then(|| digits.iter().fold(0, value))
    }
}

enum Piece<'m> {
    Plain(&'m [u8]),
    Character(char),
    /// An `&` that begins nothing.
    Odd(&'m [u8]),
}

struct Pieces<'m>(&'m [u8]);

/// The longest reference: `&#x10FFFF;`.
const REFERENCE_BYTES_MAX: usize = 10;

impl<'m> Iterator for Pieces<'m> {
    type Item = Piece<'m>;

    fn next(&mut self) -> Option<Piece<'m>> {
        let rest = self.0;
        let first = rest.first()?;
        if *first != b'&' {
            let length = rest.iter().position(|byte| *byte == b'&');
            let (plain, after) = rest.split_at(length.unwrap_or(rest.len()));
            self.0 = after;
            return Some(Piece::Plain(plain));
        }
        let end = rest
            .iter()
            .take(REFERENCE_BYTES_MAX)
            .position(|byte| *byte == b';');
        let named = end.and_then(|end| {
            let (reference, after) = rest.split_at(end.saturating_add(1));
            Some((character(reference)?, after))
        });
        let (ampersand, after_it) = rest.split_at(1);
        self.0 = named.map_or(after_it, |(_, after)| after);
        Some(named.map_or(Piece::Odd(ampersand), |(meant, _)| Piece::Character(meant)))
    }
}

fn character(reference: &[u8]) -> Option<char> {
    match reference {
        b"&lt;" => return Some('<'),
        b"&gt;" => return Some('>'),
        b"&amp;" => return Some('&'),
        b"&quot;" => return Some('"'),
        b"&apos;" => return Some('\''),
        _ => {}
    }
    let number = reference.strip_prefix(b"&#")?.strip_suffix(b";")?;
    let (digits, radix) = match number {
        [b'x', hex @ ..] => (hex, 16),
        decimal => (decimal, 10),
    };
    // `from_str_radix` would take a sign.
    let is_number = digits.iter().all(u8::is_ascii_alphanumeric);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    char::from_u32(u32::from_str_radix(digits, radix).ok()?).filter(|meant| *meant != '\0')
}

/// One attribute of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'m> {
    /// Its name.
    pub name: &'m [u8],
    /// What it says.
    pub value: Value<'m>,
}

#[derive(Debug)]
struct Node<'m> {
    name: &'m [u8],
    span: Range<usize>,
    attributes: Vec<Attribute<'m>>,
    text: Option<Value<'m>>,
    first: Option<usize>,
    last: Option<usize>,
    next: Option<usize>,
}

/// One message as a tree of views.
#[derive(Debug)]
pub struct Document<'m> {
    nodes: Vec<Node<'m>>,
}

/// One element of a [`Document`].
#[derive(Clone, Copy, Debug)]
pub struct Element<'d, 'm> {
    document: &'d Document<'m>,
    node: &'d Node<'m>,
}

impl<'d, 'm> Element<'d, 'm> {
    /// Its name, such as `HDR.control_id`.
    pub const fn name(&self) -> &'m [u8] {
        self.node.name
    }

    /// Where it lies in the message, tags included.
    pub fn span(&self) -> Range<usize> {
        self.node.span.clone()
    }

    /// Its attributes, in order.
    pub fn attributes(&self) -> &'d [Attribute<'m>] {
        &self.node.attributes
    }

    /// The attribute of that name.
    pub fn attribute(&self, name: &[u8]) -> Option<Value<'m>> {
        let mut all = self.node.attributes.iter();
        let found = all.find(|attribute| attribute.name == name)?;
        Some(found.value)
    }

    /// The first text in it that is not blank.
    pub const fn text(&self) -> Option<Value<'m>> {
        self.node.text
    }

    /// What it says: its attribute `V`; where that is missing or empty, its text (StatStrip).
    pub fn value(&self) -> Option<Value<'m>> {
        let attribute = self.attribute(b"V");
        let is_said = attribute.is_some_and(|value| !value.raw.is_empty());
        if is_said {
            attribute
        } else {
            self.text().or(attribute)
        }
    }

    /// Its children, in order.
    pub fn children(&self) -> impl Iterator<Item = Self> + use<'d, 'm> {
        let document = self.document;
        let element = move |at: usize| document.element(at);
        std::iter::successors(self.node.first.and_then(element), move |child| {
            child.node.next.and_then(element)
        })
    }
}

/// What is wrong with the XML of a message, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{fault} at {at}")]
pub struct XmlError {
    /// What.
    pub fault: Fault,
    /// The offset in the message.
    pub at: usize,
}

/// What can be wrong with XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// It ends inside something.
    #[error("it ends too early")]
    Unended,
    /// A tag, name or attribute that is none.
    #[error("no tag")]
    Tag,
    /// An end tag of something else than what is open.
    #[error("the wrong element is ended")]
    Mismatch,
    /// One attribute twice in an element: there is no telling which is meant.
    #[error("an attribute stands twice")]
    Twice,
    /// Something else than white space before or after the root element.
    #[error("something stands outside the root element")]
    Outside,
    /// A document type, or a processing instruction inside.
    #[error("a declaration that is not read")]
    Forbidden,
    /// More elements, attributes, depth or name than the limits.
    #[error("a limit is passed")]
    Limit,
}

impl<'m> Document<'m> {
    /// Reads a whole message.
    ///
    /// # Errors
    /// The first thing that is not well-formed or past a limit.
    pub fn read(bytes: &'m [u8]) -> Result<Self, XmlError> {
        let mut reader = Reader {
            bytes,
            at: 0,
            nodes: Vec::new(),
            open: Vec::new(),
        };
        while reader.at < bytes.len() {
            reader.step()?;
        }
        if reader.nodes.is_empty() || !reader.open.is_empty() {
            return Err(reader.fault(Fault::Unended));
        }
        Ok(Self {
            nodes: reader.nodes,
        })
    }

    /// The root element.
    pub fn root(&self) -> Option<Element<'_, 'm>> {
        self.element(0)
    }

    fn element(&self, at: usize) -> Option<Element<'_, 'm>> {
        let document = self;
        self.nodes.get(at).map(|node| Element { document, node })
    }
}

struct Reader<'m> {
    bytes: &'m [u8],
    at: usize,
    nodes: Vec<Node<'m>>,
    /// The elements that are open, the root first.
    open: Vec<usize>,
}

impl<'m> Reader<'m> {
    const fn fault(&self, fault: Fault) -> XmlError {
        XmlError { fault, at: self.at }
    }

    fn rest(&self) -> &'m [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    /// One tag, or the text before it.
    fn step(&mut self) -> Result<(), XmlError> {
        let rest = self.rest();
        match rest {
            [b'<', b'/', ..] => self.end_tag(),
            [b'<', b'?', ..] => self.instruction(),
            [b'<', b'!', b'-', b'-', ..] => self.until(b"<!--", b"-->").map(|_| ()),
            [b'<', b'!', ..] => self.cdata(),
            [b'<', ..] => self.start_tag(),
            _ => self.text(),
        }
    }

    /// What stands between an opening and a closing mark; both are passed.
    fn until(&mut self, from: &[u8], to: &[u8]) -> Result<Value<'m>, XmlError> {
        let start = self.at.saturating_add(from.len());
        let inside = self.bytes.get(start..).unwrap_or_default();
        let length = inside
            .windows(to.len())
            .position(|window| window == to)
            .ok_or_else(|| self.fault(Fault::Unended))?;
        self.at = start.saturating_add(length).saturating_add(to.len());
        Ok(Value {
            raw: inside.get(..length).unwrap_or_default(),
            start,
            is_cdata: true,
        })
    }

    fn instruction(&mut self) -> Result<(), XmlError> {
        if self.nodes.is_empty() {
            return self.until(b"<?", b"?>").map(|_| ());
        }
        Err(self.fault(Fault::Forbidden))
    }

    fn cdata(&mut self) -> Result<(), XmlError> {
        const OPENS: &[u8] = b"<![CDATA[";
        if !self.rest().starts_with(OPENS) {
            return Err(self.fault(Fault::Forbidden));
        }
        if self.open.is_empty() {
            return Err(self.fault(Fault::Outside));
        }
        let text = self.until(OPENS, b"]]>")?;
        self.keep_text(text);
        Ok(())
    }

    fn text(&mut self) -> Result<(), XmlError> {
        let rest = self.rest();
        let length = rest.iter().position(|byte| *byte == b'<');
        let length = length.unwrap_or(rest.len());
        let text = Value {
            raw: rest.get(..length).unwrap_or_default(),
            start: self.at,
            is_cdata: false,
        };
        if self.open.is_empty() && !text.is_blank() {
            return Err(self.fault(Fault::Outside));
        }
        self.keep_text(text);
        self.skip(length);
        Ok(())
    }

    fn keep_text(&mut self, text: Value<'m>) {
        let node = self.open.last().and_then(|at| self.nodes.get_mut(*at));
        if let Some(node) = node
            && !text.is_blank()
            && node.text.is_none()
        {
            node.text = Some(text);
        }
    }

    fn name(&mut self) -> Result<&'m [u8], XmlError> {
        let rest = self.rest();
        let length = rest.iter().position(|byte| !is_name_byte(*byte));
        let name = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
        if !name.first().is_some_and(|byte| is_name_start(*byte)) {
            return Err(self.fault(Fault::Tag));
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(self.fault(Fault::Limit));
        }
        self.skip(name.len());
        Ok(name)
    }

    fn space(&mut self) -> usize {
        let is_other = |byte: &u8| !byte.is_ascii_whitespace();
        let length = self.rest().iter().position(is_other);
        let length = length.unwrap_or(self.rest().len());
        self.skip(length);
        length
    }

    fn end_tag(&mut self) -> Result<(), XmlError> {
        let start = self.at;
        self.skip(2);
        let name = self.name()?;
        self.space();
        if self.rest().first() != Some(&b'>') {
            return Err(self.fault(Fault::Tag));
        }
        self.skip(1);
        let end = self.at;
        let open = self.open.pop().and_then(|at| self.nodes.get_mut(at));
        match open {
            Some(node) if node.name == name => {
                node.span.end = end;
                Ok(())
            }
            _ => Err(XmlError {
                fault: Fault::Mismatch,
                at: start,
            }),
        }
    }

    fn start_tag(&mut self) -> Result<(), XmlError> {
        let start = self.at;
        if self.open.is_empty() && !self.nodes.is_empty() {
            return Err(self.fault(Fault::Outside));
        }
        if self.open.len() >= DEPTH_MAX || self.nodes.len() >= ELEMENTS_MAX {
            return Err(self.fault(Fault::Limit));
        }
        self.skip(1);
        let name = self.name()?;
        let attributes = self.attributes()?;
        let is_empty = self.rest().starts_with(b"/>");
        if !is_empty && self.rest().first() != Some(&b'>') {
            return Err(self.fault(Fault::Tag));
        }
        self.skip(if is_empty { 2 } else { 1 });
        let at = self.nodes.len();
        self.nodes.push(Node {
            name,
            span: start..self.at,
            attributes,
            text: None,
            first: None,
            last: None,
            next: None,
        });
        self.link(at);
        if !is_empty {
            self.open.push(at);
        }
        Ok(())
    }

    /// Makes a new element the last child of the one that is open.
    fn link(&mut self, at: usize) {
        let parent = self.open.last().and_then(|open| self.nodes.get_mut(*open));
        let Some(parent) = parent else { return };
        let before = parent.last.replace(at);
        parent.first.get_or_insert(at);
        if let Some(before) = before.and_then(|before| self.nodes.get_mut(before)) {
            before.next = Some(at);
        }
    }

    fn attributes(&mut self) -> Result<Vec<Attribute<'m>>, XmlError> {
        let mut attributes: Vec<Attribute<'m>> = Vec::new();
        while self.space() > 0 && self.rest().first().copied().is_some_and(is_name_start) {
            let name = self.name()?;
            if attributes.len() >= ATTRIBUTES_MAX {
                return Err(self.fault(Fault::Limit));
            }
            if attributes.iter().any(|attribute| attribute.name == name) {
                return Err(self.fault(Fault::Twice));
            }
            let value = self.attribute_value()?;
            attributes.push(Attribute { name, value });
        }
        Ok(attributes)
    }

    fn attribute_value(&mut self) -> Result<Value<'m>, XmlError> {
        self.space();
        if self.rest().first() != Some(&b'=') {
            return Err(self.fault(Fault::Tag));
        }
        self.skip(1);
        self.space();
        let quote = match self.rest().first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            _ => return Err(self.fault(Fault::Tag)),
        };
        let value = self.until(&[quote], &[quote])?;
        if value.raw.contains(&b'<') {
            return Err(self.fault(Fault::Tag));
        }
        Ok(Value {
            is_cdata: false,
            ..value
        })
    }
}

/// Letters of other scripts are taken for letters; which they are does not matter here.
pub(super) const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':') || byte >= 0x80
}

pub(super) const fn is_name_byte(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit() || matches!(byte, b'.' | b'-')
}
