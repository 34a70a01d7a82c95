//! Children of an element, taken by name; what nobody took is kept as unknown.

use super::{
    message::{Coded, ReadError, Unknown},
    xml::{Element, Value},
};

pub(super) struct Children<'d, 'm> {
    rest: Vec<Element<'d, 'm>>,
}

impl<'d, 'm> Children<'d, 'm> {
    pub(super) fn of(element: Element<'d, 'm>) -> Self {
        Self {
            rest: element.children().collect(),
        }
    }

    pub(super) fn all(&mut self, name: &[u8]) -> Vec<Element<'d, 'm>> {
        self.rest
            .extract_if(.., |child| child.name() == name)
            .collect()
    }

    /// The only one of that name: of two there is no telling which is meant.
    pub(super) fn one(&mut self, name: &[u8]) -> Result<Option<Element<'d, 'm>>, ReadError> {
        match self.all(name).as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(*only)),
            [_, second, ..] => Err(ReadError::Twice {
                at: second.span().start,
            }),
        }
    }

    pub(super) fn value(&mut self, name: &[u8]) -> Result<Option<Value<'m>>, ReadError> {
        Ok(self.one(name)?.and_then(|element| element.value()))
    }

    pub(super) fn coded(&mut self, name: &[u8]) -> Result<Option<Coded<'m>>, ReadError> {
        Ok(self.one(name)?.and_then(coded))
    }

    /// The texts of all notes (`NTE`); one that has no text, or more than a text, stays.
    pub(super) fn notes(&mut self) -> Vec<Value<'m>> {
        let is_note = |child: &mut Element<'d, 'm>| {
            let mut inside = child.children();
            let first = inside.next();
            let is_text = first.is_some_and(|first| first.name() == b"NTE.text");
            child.name() == b"NTE" && is_text && inside.next().is_none()
        };
        let taken: Vec<_> = self.rest.extract_if(.., is_note).collect();
        let text = |note: &Element<'d, 'm>| note.children().next()?.value();
        taken.iter().filter_map(text).collect()
    }

    pub(super) fn unknown(self) -> Vec<Unknown<'m>> {
        let kept = |element: Element<'d, 'm>| Unknown {
            name: element.name(),
            span: element.span(),
        };
        self.rest.into_iter().map(kept).collect()
    }
}

pub(super) fn coded<'m>(element: Element<'_, 'm>) -> Option<Coded<'m>> {
    Some(Coded {
        value: element.value()?,
        name: element.attribute(b"DN"),
        system: element.attribute(b"SN"),
    })
}
