//! Results: ORU^R01 and R30 to R32, OUL^R21 to R24 (HL7 v2.5.1 7.3), read by position.
//!
//! Strict grammars fail on what analyzers send (IHE LAW puts INV after OBX), so segments are taken
//! where they stand: an OBR opens a group, an OBX is an observation of it, and everything between
//! two observations belongs to the first. ORC comes before OBR in ORU and after it in OUL. No
//! segment is left out: [`Report::loose`] holds what belongs to no group.

use super::{Component, Field, Message, ParseError, Segment, header::Header};

/// A result message, grouped.
#[derive(Clone, Debug)]
pub struct Report<'m, 'a> {
    /// MSH.
    pub header: Header<'a>,
    /// One for each OBR, in the order sent; further ones for observations without OBR.
    pub groups: Vec<Group<'m, 'a>>,
    /// Segments before the first group that are not its context (SFT, message NTE), and segments
    /// whose names cannot be read.
    pub loose: Vec<Segment<'a>>,
}

/// One OBR with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'m, 'a> {
    /// The PID that holds for it.
    pub pid: Option<Segment<'a>>,
    /// The PV1 that holds for it.
    pub pv1: Option<Segment<'a>>,
    /// Its ORC.
    pub orc: Option<Segment<'a>>,
    /// Its OBR; absent for observations of a specimen alone.
    pub obr: Option<Segment<'a>>,
    /// Its specimens: the SPM it stands under, or those that follow it.
    pub specimens: Vec<Segment<'a>>,
    /// The SAC segments of those specimens.
    pub containers: Vec<Segment<'a>>,
    /// Its other segments outside of observations: NTE, TQ1, INV and so on.
    pub others: Vec<Segment<'a>>,
    /// Its observations.
    pub observations: Vec<Obx<'m, 'a>>,
}

/// One OBX with what follows it up to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obx<'m, 'a> {
    /// The segment.
    pub segment: Segment<'a>,
    /// NTE, TCD, INV, SID and so on after it.
    pub tail: &'m [Segment<'a>],
    /// Whether it stands where the grammar describes the specimen (directly under SPM, after the
    /// observations of the order or before any), not the ordered test.
    pub is_about_specimen: bool,
}

impl<'m, 'a> Report<'m, 'a> {
    /// Groups a result message.
    ///
    /// # Errors
    /// [`ParseError::WrongType`] when MSH-9.1 is neither ORU nor OUL.
    pub fn read(message: &'m Message<'a>) -> Result<Self, ParseError> {
        let header = message.header();
        let has_obr_first = match header.message_type() {
            "ORU" => false,
            "OUL" => true,
            _ => return Err(ParseError::WrongType),
        };
        let mut reader = Reader {
            has_obr_first,
            ..Reader::default()
        };
        let segments = message.segments();
        let mut at = 1_usize;
        while let Some(segment) = segments.get(at) {
            let next = at.saturating_add(1);
            at = if segment.name() == "OBX" {
                let rest = segments.get(next..).unwrap_or_default();
                let len = rest.iter().position(ends_observation).unwrap_or(rest.len());
                reader.on_obx(*segment, rest.get(..len).unwrap_or_default());
                next.saturating_add(len)
            } else {
                reader.on_segment(*segment);
                next
            };
        }
        reader.end_group();
        Ok(Self {
            header,
            groups: reader.groups,
            loose: reader.loose,
        })
    }

    /// All observations with their groups, in the order sent.
    pub fn observations(&self) -> impl Iterator<Item = (&Group<'m, 'a>, &Obx<'m, 'a>)> {
        self.groups
            .iter()
            .flat_map(|group| group.observations.iter().map(move |obx| (group, obx)))
    }
}

/// Segments that begin something of their own; a bad one does, so that it is seen.
fn ends_observation(segment: &Segment<'_>) -> bool {
    let own = [
        "OBX", "OBR", "ORC", "PID", "PV1", "SPM", "SAC", "DSC", "MSH", "FT1", "CTI",
    ];
    own.contains(&segment.name()) || segment.is_bad()
}

/// Every OBX of a slice with its tail, in order.
pub(crate) fn observations<'m, 'a>(
    segments: &'m [Segment<'a>],
    is_about_specimen: bool,
) -> impl Iterator<Item = Obx<'m, 'a>> + use<'m, 'a> {
    let all = segments.iter().enumerate();
    let found = all.filter(|(_, segment)| segment.name() == "OBX");
    found.map(move |(index, segment)| {
        let rest = segments.get(index.saturating_add(1)..).unwrap_or_default();
        let len = rest.iter().position(ends_observation).unwrap_or(rest.len());
        Obx {
            segment: *segment,
            tail: rest.get(..len).unwrap_or_default(),
            is_about_specimen,
        }
    })
}

#[derive(Debug, Default)]
struct Reader<'m, 'a> {
    has_obr_first: bool,
    pid: Option<Segment<'a>>,
    pv1: Option<Segment<'a>>,
    /// The specimen that groups stand under, where SPM comes before OBR.
    above: Vec<Segment<'a>>,
    above_containers: Vec<Segment<'a>>,
    is_specimen_first: bool,
    /// The last of SPM, SAC, ORC and OBR was SPM or SAC.
    is_in_specimen: bool,
    open: Option<Group<'m, 'a>>,
    groups: Vec<Group<'m, 'a>>,
    loose: Vec<Segment<'a>>,
}

impl<'m, 'a> Reader<'m, 'a> {
    fn on_segment(&mut self, segment: Segment<'a>) {
        match segment.name() {
            "PID" => {
                self.end_group();
                (self.pid, self.pv1) = (Some(segment), None);
                self.above.clear();
                self.above_containers.clear();
            }
            "PV1" => self.pv1 = Some(segment),
            "ORC" => self.on_orc(segment),
            "OBR" => self.on_obr(segment),
            "SPM" => self.on_spm(segment),
            "SAC" => self.on_sac(segment),
            _ => match self.open.as_mut().filter(|_| !segment.is_bad()) {
                Some(open) => open.others.push(segment),
                None => self.loose.push(segment),
            },
        }
    }

    fn on_orc(&mut self, segment: Segment<'a>) {
        self.is_in_specimen = false;
        let follows_obr = self.open.as_ref().is_some_and(|open| {
            open.obr.is_some() && open.orc.is_none() && open.observations.is_empty()
        });
        if !(self.has_obr_first && follows_obr) {
            self.begin_group();
        }
        if let Some(open) = &mut self.open {
            open.orc = Some(segment);
        }
    }

    fn on_obr(&mut self, segment: Segment<'a>) {
        self.is_in_specimen = false;
        let waits = self.open.as_ref().is_some_and(|open| {
            open.obr.is_none() && open.orc.is_some() && open.observations.is_empty()
        });
        if !waits {
            self.begin_group();
        }
        if let Some(open) = &mut self.open {
            open.obr = Some(segment);
        }
    }

    fn on_spm(&mut self, segment: Segment<'a>) {
        self.is_in_specimen = true;
        let follows_obr = self.open.as_ref().is_some_and(|open| open.obr.is_some());
        if follows_obr && !self.is_specimen_first {
            if let Some(open) = &mut self.open {
                open.specimens.push(segment);
            }
            return;
        }
        self.end_group();
        self.is_specimen_first = true;
        self.above = vec![segment];
        self.above_containers.clear();
    }

    fn on_sac(&mut self, segment: Segment<'a>) {
        self.is_in_specimen = true;
        match self.open.as_mut().filter(|_| !self.is_specimen_first) {
            Some(open) => open.containers.push(segment),
            None => {
                // OUL^R23: one specimen, several containers, each with orders of its own.
                if self.open.is_some() {
                    self.end_group();
                    self.above_containers.clear();
                }
                self.above_containers.push(segment);
            }
        }
    }

    fn on_obx(&mut self, segment: Segment<'a>, tail: &'m [Segment<'a>]) {
        if self.open.is_none() {
            self.begin_group();
        }
        let Some(open) = &mut self.open else { return };
        let has_own = open.observations.iter().any(|obx| !obx.is_about_specimen);
        let is_about_specimen = self.is_in_specimen && (has_own || open.obr.is_none());
        open.observations.push(Obx {
            segment,
            tail,
            is_about_specimen,
        });
    }

    fn begin_group(&mut self) {
        self.end_group();
        self.open = Some(Group {
            pid: self.pid,
            pv1: self.pv1,
            orc: None,
            obr: None,
            specimens: self.above.clone(),
            containers: self.above_containers.clone(),
            others: Vec::new(),
            observations: Vec::new(),
        });
    }

    fn end_group(&mut self) {
        self.groups.extend(self.open.take());
    }
}

impl<'a> Group<'_, 'a> {
    /// OBR-2, or ORC-2 where that is empty, as sent.
    pub fn placer_number(&self) -> &'a str {
        self.number(2)
    }

    /// OBR-3, or ORC-3 where that is empty, as sent.
    pub fn filler_number(&self) -> &'a str {
        self.number(3)
    }

    /// SPM-2.1.1 of its first specimen, else SAC-3.1 of its first container, as sent.
    pub fn specimen_id(&self) -> &'a str {
        let spm = self
            .specimens
            .first()
            .map(|spm| spm.field(2).subcomponent(1, 1).raw());
        let sac = self
            .containers
            .first()
            .map(|sac| sac.field(3).component(1).raw());
        spm.into_iter()
            .chain(sac)
            .find(|id| !id.is_empty())
            .unwrap_or_default()
    }

    fn number(&self, n: usize) -> &'a str {
        let both = [self.obr, self.orc].into_iter().flatten();
        both.map(|segment| segment.field(n).raw())
            .find(|raw| !raw.is_empty())
            .unwrap_or_default()
    }
}

impl<'m, 'a> Obx<'m, 'a> {
    /// Its position among the segments of the message.
    pub const fn index(&self) -> usize {
        self.segment.index()
    }

    /// OBX-1 as sent.
    pub fn set_id(&self) -> &'a str {
        self.segment.field(1).raw()
    }

    /// OBX-2 as sent; some devices leave it empty.
    pub fn value_type(&self) -> &'a str {
        self.segment.field(2).raw()
    }

    /// OBX-3.
    pub fn code(&self) -> Field<'a> {
        self.segment.field(3)
    }

    /// Component `n` of OBX-3.
    pub fn code_part(&self, n: usize) -> Component<'a> {
        self.segment.field(3).component(n)
    }

    /// OBX-4 as sent; in LAW `run^group^sequence^identifier`.
    pub fn sub_id(&self) -> &'a str {
        self.segment.field(4).raw()
    }

    /// OBX-5: the whole field, repeats included.
    pub fn value(&self) -> Field<'a> {
        self.segment.field(5)
    }

    /// OBX-6.
    pub fn units(&self) -> Field<'a> {
        self.segment.field(6)
    }

    /// OBX-7 as sent.
    pub fn reference_range(&self) -> &'a str {
        self.segment.field(7).raw()
    }

    /// OBX-8, first component of each repeat, empty ones left out.
    pub fn flags(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let repeats = self
            .segment
            .field(8)
            .repeats()
            .map(|repeat| repeat.component(1).raw());
        repeats.filter(|flag| !flag.is_empty())
    }

    /// OBX-11 as sent.
    pub fn status(&self) -> &'a str {
        self.segment.field(11).raw()
    }

    /// OBX-14 as sent.
    pub fn observed_at(&self) -> &'a str {
        self.segment.field(14).raw()
    }

    /// OBX-16.
    pub fn observer(&self) -> Field<'a> {
        self.segment.field(16)
    }

    /// OBX-18.
    pub fn equipment(&self) -> Field<'a> {
        self.segment.field(18)
    }

    /// OBX-19 as sent.
    pub fn analysed_at(&self) -> &'a str {
        self.segment.field(19).raw()
    }

    /// NTE after it.
    pub fn notes(&self) -> impl Iterator<Item = Segment<'a>> + use<'m, 'a> {
        self.tail
            .iter()
            .copied()
            .filter(|segment| segment.name() == "NTE")
    }
}

#[cfg(test)]
#[path = "observation_tests.rs"]
mod tests;
