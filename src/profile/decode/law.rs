//! What IHE LAW says otherwise than other HL7: details of a test behind its results, the status of
//! work order steps, and the names of queries.

use labwire_protocols::hl7::{law::query::QueryName, tables::OrderStatus};

use super::{Decoder, Parent};
use crate::{
    model::{Item, QueryAction, QuerySubject, SpecimenRead},
    profile::{
        QueryKind, QueryRules,
        fields::RowName,
        rows::{Role, Row, show},
    },
};

/// Results of one measurement that stand before their TCD: a value, its interpretation, signals.
/// Ten is twice what any device is known to send.
const BEFORE_DETAILS_MAX: usize = 10;
/// Event codes of steps without a result.
const IN_PROCESS: &str = "step-in-process";
const COMPLETED: &str = "step-completed";
/// Code of the event that a device has given a work order step up; its text ends with the number.
pub const CANCELLED: &str = "step-cancelled";

impl Decoder<'_> {
    /// TCD follows the results that it is about: it comes into force with them.
    pub(super) fn place_details(&mut self, index: usize) {
        self.context.leave("TCD");
        let Some(own) = self.rows.get(index) else {
            return;
        };
        let code = |row: &Row<'_>| show(row.field(3)).split('^').next().map(str::to_owned);
        let mut before = 0;
        for (at, row) in self.rows.iter().enumerate().skip(index + 1) {
            if row.is("TCD") {
                return self.context.enter(at);
            }
            before += 1;
            let may_follow =
                row.role == Role::Result && row.field(4) == own.field(4) && code(row) == code(own);
            if !may_follow || before > BEFORE_DETAILS_MAX {
                return;
            }
        }
    }

    /// A segment that gives context: INV and TCD behind a result are about that one, not about the
    /// tube, and a new specimen ends all that was said of the one before.
    pub(super) fn structure(&mut self, index: usize, row: &Row<'_>) {
        let is_detail = row.is("INV") || row.is("TCD");
        match self.parent {
            Parent::Entry(at) if is_detail => return self.detail(index, row, at),
            Parent::None | Parent::Order | Parent::Entry(_) => {}
        }
        if row.is("SPM") {
            self.close_order();
            self.context.leave("INV");
            self.context.leave("TCD");
            self.parent = Parent::None;
        }
        self.context.enter(index);
    }

    /// What a `[[comment]]` says of a reagent goes to the result before it. TCD was read with that.
    fn detail(&mut self, index: usize, row: &Row<'_>, at: usize) {
        let entry = self.entries.get(at).map(|entry| &entry.item);
        let rules = &self.line.profile.comments;
        let is_told = rules.iter().any(|rule| row.is(rule.record()));
        if row.is("TCD") || !is_told || !matches!(entry, Some(Item::Observation(_))) {
            return;
        }
        let material = self.context.index("INV");
        self.manufacturer(index, row);
        self.context.forget(index);
        if let Some(material) = material {
            self.context.enter(material);
        }
    }

    /// What ORC says of a step that has no result: the code of its event, and test and number.
    pub(super) fn step_status(&self, order: usize) -> Option<(&'static str, String)> {
        if !self.line.profile.device.is_law {
            return None;
        }
        let obr = self.rows.get(order)?;
        let after = self.rows.get(order + 1..)?.iter();
        let mut own = after.take_while(|row| !matches!(row.role, Role::Order | Role::Result));
        let orc = own.find(|row| row.is("ORC"))?;
        let code = match OrderStatus::read(orc.field(5)) {
            OrderStatus::InProcess => IN_PROCESS,
            OrderStatus::Completed => COMPLETED,
            OrderStatus::Cancelled => CANCELLED,
            OrderStatus::SomeResults
            | OrderStatus::Discontinued
            | OrderStatus::Error
            | OrderStatus::Held
            | OrderStatus::Replaced
            | OrderStatus::Scheduled
            | OrderStatus::Other(_) => return None,
        };
        let first = |field| show(field).split('^').next().unwrap_or_default().to_owned();
        let text = format!("{} {}", first(obr.field(4)), first(obr.field(2)));
        Some((code, text.trim().to_owned()))
    }

    /// What a query of LAW asks for, by its name; `None` for other protocols.
    pub(super) fn law_subject(
        &self,
        tubes: &[SpecimenRead],
    ) -> Option<(QueryAction, QuerySubject)> {
        if !self.line.profile.device.is_law {
            return None;
        }
        let name = self
            .context
            .row(RowName::of("QPD"))
            .map_or("", |qpd| qpd.field(1));
        let name = name.split('^').next().unwrap_or_default();
        let tubes = tubes.to_vec();
        let no_tube = || {
            let nameless = |tube: SpecimenRead| SpecimenRead {
                id: String::new(),
                ..tube
            };
            tubes.clone().into_iter().map(nameless).collect()
        };
        Some(match self.line.profile.query.kind(name) {
            Some(QueryKind::Container | QueryKind::Isolate) => {
                (QueryAction::Ask, QuerySubject::Specimens(tubes))
            }
            Some(QueryKind::Additional) => (QueryAction::AskMore, QuerySubject::Specimens(tubes)),
            Some(QueryKind::All) => (QueryAction::Ask, QuerySubject::All),
            Some(QueryKind::Place | QueryKind::Sequence) | None => {
                (QueryAction::Ask, QuerySubject::Specimens(no_tube()))
            }
        })
    }
}

impl QueryRules {
    /// What a name in QPD-1.1 means: by the profile, else by IHE LAW; `None` for any other.
    pub(crate) fn kind(&self, name: &str) -> Option<QueryKind> {
        self.names
            .get(name)
            .copied()
            .or(match QueryName::read(name) {
                QueryName::Container | QueryName::Roche => Some(QueryKind::Container),
                QueryName::Additional => Some(QueryKind::Additional),
                QueryName::All => Some(QueryKind::All),
                QueryName::Rack | QueryName::Tray => Some(QueryKind::Place),
                QueryName::Isolate => Some(QueryKind::Isolate),
                QueryName::Other(_) => None,
            })
    }
}
