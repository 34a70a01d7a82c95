//! Orders as ASTM records, by the profile's templates.

use std::collections::BTreeMap;

use labwire_protocols::astm::record::{Delimiters, escape_into};

use super::{AnswerError, OrderAction, OrderForDevice, Slots, Stamp, tubes};
use crate::{
    model::Query,
    profile::{AnswerRules, LineProfile, NegativeStyle, Template},
};

/// Writes the records of one message.
struct Writer<'a> {
    line: &'a LineProfile,
    rules: &'a AnswerRules,
    stamp: &'a Stamp,
    delimiters: Delimiters,
    echo: &'a [(String, String)],
    bytes: Vec<u8>,
    patients: usize,
    orders: usize,
}

/// A tube of a message.
#[derive(Clone, Copy)]
struct Tube<'a> {
    id: &'a str,
    index: usize,
    order: Option<&'a OrderForDevice>,
}

type FieldMap = BTreeMap<usize, Template>;

const NONE: &FieldMap = &BTreeMap::new();

pub(super) fn answer(
    line: &LineProfile,
    rules: &AnswerRules,
    query: &Query,
    orders: &[OrderForDevice],
    stamp: &Stamp,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    let tubes = tubes(query, orders);
    let has_tests = |order: &&OrderForDevice| !order.tests.is_empty();
    let of = |id: &str| -> Vec<&OrderForDevice> {
        orders
            .iter()
            .filter(has_tests)
            .filter(|order| order.specimen == id)
            .collect()
    };
    let is_found = tubes.iter().any(|(_, id)| !of(id).is_empty());
    let negative = &rules.negative;
    if !is_found && negative.style == NegativeStyle::Silent {
        return Ok(Vec::new());
    }
    let mut writer = Writer::new(line, rules, stamp, &query.echo)?;
    writer.header(NONE)?;
    for (index, id) in tubes {
        let found = of(id);
        if found.is_empty() && negative.style == NegativeStyle::Order {
            let tube = Tube {
                id,
                index,
                order: None,
            };
            writer.patient(tube)?;
            writer.order(tube, Vec::new(), &negative.order)?;
        }
        for order in found {
            let tube = Tube {
                id,
                index,
                order: Some(order),
            };
            writer.patient(tube)?;
            writer.tests(tube, NONE)?;
        }
    }
    let terminator = if is_found {
        &rules.terminator
    } else {
        &negative.terminator
    };
    Ok(vec![writer.finish(terminator)])
}

pub(super) fn download(
    line: &LineProfile,
    rules: &AnswerRules,
    orders: &[OrderForDevice],
    stamp: &Stamp,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    let download = &rules.download;
    let mut messages = Vec::new();
    for order in orders {
        if order.tests.is_empty() {
            return Err(AnswerError::NoTest);
        }
        let own = match (order.action, &download.cancel) {
            (OrderAction::Cancel, Some(cancel)) => cancel,
            _ => &download.order,
        };
        let mut writer = Writer::new(line, rules, stamp, &[])?;
        writer.header(&download.header)?;
        let tube = Tube {
            id: &order.specimen,
            index: 0,
            order: Some(order),
        };
        writer.patient(tube)?;
        writer.tests(tube, own)?;
        messages.push(writer.finish(&download.terminator));
    }
    Ok(messages)
}

impl<'a> Writer<'a> {
    fn new(
        line: &'a LineProfile,
        rules: &'a AnswerRules,
        stamp: &'a Stamp,
        echo: &'a [(String, String)],
    ) -> Result<Self, AnswerError> {
        let [field, repeat, component, escape] = rules.delimiters;
        let delimiters = Delimiters::new(field, repeat, component, escape).map_err(|_| {
            AnswerError::Delimiters {
                profile: line.profile.name.clone(),
            }
        })?;
        let (bytes, patients, orders) = (Vec::new(), 0, 0);
        Ok(Self {
            line,
            rules,
            stamp,
            delimiters,
            echo,
            bytes,
            patients,
            orders,
        })
    }

    fn header(&mut self, own: &FieldMap) -> Result<(), AnswerError> {
        let [_, rest @ ..] = self.rules.delimiters;
        let tube = Tube {
            id: "",
            index: 0,
            order: None,
        };
        self.record(
            b'H',
            rest.to_vec(),
            tube,
            Vec::new(),
            [&self.rules.header, own],
        )
    }

    fn patient(&mut self, tube: Tube<'_>) -> Result<(), AnswerError> {
        self.patients += 1;
        self.orders = 0;
        let number = self.patients.to_string().into_bytes();
        self.record(b'P', number, tube, Vec::new(), [&self.rules.patient, NONE])
    }

    /// The order of a tube: one O with a list of tests, or one O for each.
    fn tests(&mut self, tube: Tube<'_>, own: &FieldMap) -> Result<(), AnswerError> {
        let codes = tube
            .order
            .map(|order| order.tests.as_slice())
            .unwrap_or_default();
        let written: Vec<Vec<u8>> = self
            .asked(codes)
            .map(|code| self.test(tube, code))
            .collect::<Result<_, _>>()?;
        if self.rules.one_order_per_test {
            return written
                .into_iter()
                .try_for_each(|test| self.order(tube, test, own));
        }
        self.order(tube, written.join(&self.delimiters.repeat()), own)
    }

    /// The codes to write: of modes, the last includes the others.
    fn asked<'c>(&self, codes: &'c [String]) -> impl Iterator<Item = &'c String> {
        let modes = &self.rules.modes;
        let rank = |code: &String| modes.iter().position(|mode| mode == code);
        let last = codes.iter().filter_map(rank).max();
        codes
            .iter()
            .filter(move |code| rank(code).is_none_or(|own| Some(own) == last))
    }

    fn test(&self, tube: Tube<'_>, code: &str) -> Result<Vec<u8>, AnswerError> {
        let mut escaped = Vec::new();
        let charset = self.line.text().charset;
        let bytes = charset.encode(code).map_err(|_| AnswerError::Unencodable {
            what: "tests".to_owned(),
            charset: charset.label(),
        })?;
        // A code may hold components of its own (`30^2`); only what would end the field or the
        // repeat is escaped.
        let component = self.delimiters.component();
        for (at, part) in bytes.split(|byte| *byte == component).enumerate() {
            if at > 0 {
                escaped.push(component);
            }
            escape_into(part, self.delimiters, &mut escaped);
        }
        self.slots(tube, escaped).render(&self.rules.test)
    }

    fn order(&mut self, tube: Tube<'_>, tests: Vec<u8>, own: &FieldMap) -> Result<(), AnswerError> {
        self.orders += 1;
        let number = self.orders.to_string().into_bytes();
        self.record(b'O', number, tube, tests, [&self.rules.order, own])
    }

    /// One record: letter, field 2, and the templates, of which the later ones win.
    fn record(
        &mut self,
        letter: u8,
        second: Vec<u8>,
        tube: Tube<'_>,
        tests: Vec<u8>,
        templates: [&FieldMap; 2],
    ) -> Result<(), AnswerError> {
        let slots = self.slots(tube, tests);
        let mut fields: BTreeMap<usize, Vec<u8>> = BTreeMap::from([(1, vec![letter]), (2, second)]);
        for (number, template) in templates.into_iter().flatten() {
            fields.insert(*number, slots.render(template)?);
        }
        // A name without its parts, or an echo of nothing, leaves its delimiters only.
        let component = self.delimiters.component();
        fields.retain(|number, bytes| *number < 3 || bytes.iter().any(|byte| *byte != component));
        let last = fields.keys().next_back().copied().unwrap_or(1);
        for number in 1..=last {
            if number > 1 {
                self.bytes.push(self.delimiters.field());
            }
            self.bytes
                .extend(fields.remove(&number).unwrap_or_default());
        }
        self.bytes.push(b'\r');
        Ok(())
    }

    fn slots<'s>(&'s self, tube: Tube<'s>, tests: Vec<u8>) -> Slots<'s> {
        Slots {
            line: self.line,
            rules: self.rules,
            stamp: self.stamp,
            specimen: tube.id,
            order: tube.order,
            index: tube.index,
            echo: self.echo,
            tests,
            delimiters: Some(self.delimiters),
        }
    }

    fn finish(mut self, terminator: &str) -> Vec<u8> {
        let field = self.delimiters.field();
        self.bytes.extend([b'L', field, b'1', field]);
        self.bytes.extend_from_slice(terminator.as_bytes());
        self.bytes.push(b'\r');
        self.bytes
    }
}
