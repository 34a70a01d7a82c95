//! Observations: what was measured, of whom or of what control, by whom and when.

use std::ops::Range;

use super::{
    message::{Coded, ReadError, Unknown, count, inner},
    notes,
    take::{Children, coded},
    xml::{Element, Value},
};
use crate::wire::Note;

/// Whether an observation is a control's or a calibration's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Message, role and subject are a patient's.
    No,
    /// Message and subject are not.
    Yes,
    /// They contradict each other: a person must look.
    Doubtful,
}

/// `SVC`: one measurement and everything it gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service<'m> {
    /// `OBS` patient, `LQC` liquid control, `EQC` electronic control, `CAL` calibration, `PRF`
    /// proficiency test.
    pub role: Option<Value<'m>>,
    /// When it was measured.
    pub time: Option<Value<'m>>,
    /// `NRM`: normally.
    pub status: Option<Value<'m>>,
    /// `NEW`, or `RES` for one that is sent again.
    pub reason: Option<Value<'m>>,
    /// Of whom or of what, and the observations; usually one.
    pub groups: Vec<Group<'m>>,
    /// Who measured.
    pub operator: Option<Value<'m>>,
    /// The order.
    pub order: Option<Order<'m>>,
    /// The cassette, strip or reagent.
    pub reagent: Option<Material<'m>>,
    /// Remarks on all of it.
    pub notes: Vec<Value<'m>>,
    /// Everything else.
    pub unknown: Vec<Unknown<'m>>,
    control: Control,
}

impl<'m> Service<'m> {
    /// Whether this is a control's or a calibration's result.
    pub const fn control(&self) -> Control {
        self.control
    }

    fn with(mut self, unknown: Vec<Unknown<'m>>) -> Self {
        self.unknown.extend(unknown);
        self
    }

    pub(super) fn all_unknown(&self) -> impl Iterator<Item = &Unknown<'m>> {
        let groups = self.groups.iter().flat_map(|group| {
            let inside = group.observations.iter();
            group
                .unknown
                .iter()
                .chain(inside.flat_map(|observation| &observation.unknown))
        });
        self.unknown.iter().chain(groups)
    }
}

/// Observations of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'m> {
    /// Of whom or of what.
    pub subject: Subject<'m>,
    /// What was found.
    pub observations: Vec<Observation<'m>>,
    /// Everything else in the subject.
    pub unknown: Vec<Unknown<'m>>,
}

/// Of whom or of what observations are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject<'m> {
    /// `PT`.
    Patient(Patient<'m>),
    /// `CTC`.
    Control(Material<'m>),
    /// The observation does not say.
    None,
}

/// `PT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patient<'m> {
    /// What was typed or scanned: a patient's, a visit's or a sample's id, as the site has it.
    pub id: Option<Value<'m>>,
    /// Location.
    pub location: Option<Value<'m>>,
    /// Name.
    pub name: Option<Value<'m>>,
    /// Date of birth.
    pub birth_date: Option<Value<'m>>,
    /// Gender.
    pub gender: Option<Value<'m>>,
}

/// `CTC` or `RGT`: a control, a calibrator, a reagent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Material<'m> {
    /// Name.
    pub name: Option<Value<'m>>,
    /// Lot.
    pub lot: Option<Value<'m>>,
    /// Until when it may be used.
    pub expires: Option<Value<'m>>,
    /// Level of a control.
    pub level: Option<Coded<'m>>,
}

/// `ORD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order<'m> {
    /// Its number.
    pub id: Option<Value<'m>>,
    /// What was ordered.
    pub service: Option<Coded<'m>>,
}

/// A number with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity<'m> {
    /// `V` as sent; words stand here, too.
    pub value: Value<'m>,
    /// `U`.
    pub unit: Option<Value<'m>>,
}

/// `OBS`: one finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation<'m> {
    /// Of what.
    pub id: Coded<'m>,
    /// The value, with a note if it is missing and [`Observation::qualitative`] is, too.
    pub value: Option<Quantity<'m>>,
    /// The value in words.
    pub qualitative: Option<Coded<'m>>,
    /// `M` measured, `C` calculated, `D` default, `E` estimated.
    pub method: Option<Value<'m>>,
    /// `A` accepted, `D` discarded, `R` rejected; see the device's manual.
    pub status: Option<Value<'m>>,
    /// `H`, `L`, `HH`, `LL`, `N` …
    pub interpretation: Option<Value<'m>>,
    /// When, where it differs from the service's time.
    pub time: Option<Value<'m>>,
    /// Reference range, as `[80;120]`.
    pub normal: Option<Value<'m>>,
    /// Critical limits, as `[60;140]`.
    pub critical: Option<Value<'m>>,
    /// Remarks; HemoScreen's flags stand here.
    pub notes: Vec<Value<'m>>,
    /// Where it lies in the message, tags included.
    pub span: Range<usize>,
    /// Everything else.
    pub unknown: Vec<Unknown<'m>>,
}

/// The services of a message: `OBS.R01` is for patients, `OBS.R02` for the rest.
pub(super) fn services<'m>(
    children: &mut Children<'_, 'm>,
    is_patients: bool,
    notes: &mut Vec<Note>,
) -> Result<Vec<Service<'m>>, ReadError> {
    let all = children.all(b"SVC").into_iter();
    all.map(|element| service(element, is_patients, notes))
        .collect()
}

fn service<'m>(
    element: Element<'_, 'm>,
    is_patients: bool,
    notes: &mut Vec<Note>,
) -> Result<Service<'m>, ReadError> {
    let mut svc = Children::of(element);
    let role = svc.value(b"SVC.role_cd")?;
    let mut groups = Vec::new();
    for patient in svc.all(b"PT") {
        groups.push(group(patient, patient_of, notes)?);
    }
    for control in svc.all(b"CTC") {
        groups.push(group(control, control_of, notes)?);
    }
    let loose = svc.all(b"OBS");
    if !loose.is_empty() {
        groups.push(Group {
            subject: Subject::None,
            observations: observations(&loose, notes)?,
            unknown: Vec::new(),
        });
    }
    let control = control(is_patients, role, &groups);
    let is_odd_role = role.is_some_and(|role| is_patient_role(role) != is_patients);
    if control == Control::Doubtful || is_odd_role {
        notes.push(notes::ROLE_ODD.at(count(element.span().start)));
    }
    let mut unknown = Vec::new();
    let operator = inner(&mut svc, b"OPR", b"OPR.operator_id", &mut unknown)?;
    let order = svc.one(b"ORD")?.map(|ord| order(ord, &mut unknown));
    let reagent = svc.one(b"RGT")?.map(|rgt| reagent(rgt, &mut unknown));
    let service = Service {
        role,
        time: svc.value(b"SVC.observation_dttm")?,
        status: svc.value(b"SVC.status_cd")?,
        reason: svc.value(b"SVC.reason_cd")?,
        groups,
        operator,
        order: order.transpose()?,
        reagent: reagent.transpose()?,
        notes: svc.notes(),
        unknown,
        control,
    };
    Ok(service.with(svc.unknown()))
}

fn reagent<'m>(
    element: Element<'_, 'm>,
    unknown: &mut Vec<Unknown<'m>>,
) -> Result<Material<'m>, ReadError> {
    let mut rgt = Children::of(element);
    let found = material(&mut rgt, "RGT")?;
    unknown.extend(rgt.unknown());
    Ok(found)
}

fn is_patient_role(role: Value<'_>) -> bool {
    role.raw() == b"OBS"
}

/// Sofia calls the role of its controls and calibrations `OBS`, too: a message for controls with
/// nothing but controls in it is enough. A patient's result must be a patient's throughout.
fn control(is_patients: bool, role: Option<Value<'_>>, groups: &[Group<'_>]) -> Control {
    let is_of = |patient: bool| {
        let of = |group: &Group<'_>| match group.subject {
            Subject::Patient(_) => patient,
            Subject::Control(_) => !patient,
            Subject::None => false,
        };
        groups.iter().all(of)
    };
    if is_patients && role.is_none_or(is_patient_role) && is_of(true) {
        Control::No
    } else if !is_patients && is_of(false) {
        Control::Yes
    } else {
        Control::Doubtful
    }
}

type SubjectOf<'d, 'm> = fn(&mut Children<'d, 'm>) -> Result<Subject<'m>, ReadError>;

fn group<'d, 'm>(
    element: Element<'d, 'm>,
    subject: SubjectOf<'d, 'm>,
    notes: &mut Vec<Note>,
) -> Result<Group<'m>, ReadError> {
    let mut children = Children::of(element);
    let found = children.all(b"OBS");
    Ok(Group {
        observations: observations(&found, notes)?,
        subject: subject(&mut children)?,
        unknown: children.unknown(),
    })
}

fn patient_of<'m>(pt: &mut Children<'_, 'm>) -> Result<Subject<'m>, ReadError> {
    Ok(Subject::Patient(Patient {
        id: pt.value(b"PT.patient_id")?,
        location: pt.value(b"PT.location")?,
        name: pt.value(b"PT.name")?,
        birth_date: pt.value(b"PT.birth_date")?,
        gender: pt.value(b"PT.gender_cd")?,
    }))
}

fn control_of<'m>(ctc: &mut Children<'_, 'm>) -> Result<Subject<'m>, ReadError> {
    Ok(Subject::Control(material(ctc, "CTC")?))
}

fn material<'m>(children: &mut Children<'_, 'm>, prefix: &str) -> Result<Material<'m>, ReadError> {
    let name = |field: &str| format!("{prefix}.{field}").into_bytes();
    Ok(Material {
        name: children.value(&name("name"))?,
        lot: children.value(&name("lot_number"))?,
        expires: children.value(&name("expiration_date"))?,
        level: children.coded(&name("level_cd"))?,
    })
}

fn order<'m>(
    element: Element<'_, 'm>,
    unknown: &mut Vec<Unknown<'m>>,
) -> Result<Order<'m>, ReadError> {
    let mut ord = Children::of(element);
    let order = Order {
        id: ord.value(b"ORD.order_id")?,
        service: ord.coded(b"ORD.universal_service_id")?,
    };
    unknown.extend(ord.unknown());
    Ok(order)
}

fn observations<'m>(
    elements: &[Element<'_, 'm>],
    notes: &mut Vec<Note>,
) -> Result<Vec<Observation<'m>>, ReadError> {
    let all = elements.iter();
    all.map(|element| observation(*element, notes)).collect()
}

fn observation<'m>(
    element: Element<'_, 'm>,
    notes: &mut Vec<Note>,
) -> Result<Observation<'m>, ReadError> {
    let span = element.span();
    let mut obs = Children::of(element);
    let id = obs.one(b"OBS.observation_id")?.and_then(coded);
    let id = id.filter(|id| !id.value.is_blank());
    let id = id.ok_or(ReadError::Nameless { at: span.start })?;
    let quantity = |element: Element<'_, 'm>| {
        Some(Quantity {
            value: element.value()?,
            unit: element.attribute(b"U"),
        })
    };
    let value = obs.one(b"OBS.value")?.and_then(quantity);
    let qualitative = obs.coded(b"OBS.qualitative_value")?;
    if value.is_none() && qualitative.is_none() {
        notes.push(notes::NO_VALUE.at(count(span.start)));
    }
    Ok(Observation {
        id,
        value,
        qualitative,
        method: obs.value(b"OBS.method_cd")?,
        status: obs.value(b"OBS.status_cd")?,
        interpretation: obs.value(b"OBS.interpretation_cd")?,
        time: obs.value(b"OBS.observation_dttm")?,
        normal: obs.value(b"OBS.normal_lo-hi_limit")?,
        critical: obs.value(b"OBS.critical_lo-hi_limit")?,
        notes: obs.notes(),
        span,
        unknown: obs.unknown(),
    })
}
