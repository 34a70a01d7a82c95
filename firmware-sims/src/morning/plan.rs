//! What will happen in a morning: who is ill, what is ordered, when which tube stands where.

use std::time::Duration;

use crate::{
    analyzer::{Blood, Tube},
    chance::Chance,
    his::{Control, Item, Patient, Request},
    persona::{Persona, Section},
};

/// At the normal speed one specimen comes every six seconds on average: some six hundred an hour,
/// which is the morning of a hospital of a thousand beds.
const SECONDS_A_SPECIMEN: u64 = 6;
/// Per mille of the tubes that nobody ordered anything for.
const UNKNOWN: u16 = 15;
/// Per mille of the tubes that are measured before their order comes.
const LATE: u16 = 15;
/// Per mille of the requests that are cancelled before the tube is drawn.
const CANCELLED: u16 = 10;
/// Per mille of the requests that are urgent.
const STAT: u16 = 80;

/// Something that the HIS lets people order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The HIS's code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// The bench that does it.
    pub section: Section,
    /// The laboratory's tests in it.
    pub tests: Vec<String>,
}

impl Service {
    fn new(code: &str, name: &str, section: Section, tests: &[&str]) -> Self {
        Self {
            code: code.to_owned(),
            name: name.to_owned(),
            section,
            tests: tests.iter().map(|test| (*test).to_owned()).collect(),
        }
    }
}

/// The services of the built-in morning: a blood count, electrolytes, and single tests. Services and
/// tests are named as in the catalogue of Labwire's library, where some personas measure more than a
/// service contains.
pub fn services() -> Vec<Service> {
    use Section::{Biochemistry, Coagulation, Haematology, Immunology, Molecular, Transfusion};
    let count = [
        "WBC", "RBC", "HGB", "HCT", "MCV", "MCH", "MCHC", "RDWCV", "PLT", "MPV", "NEUT", "NEUTP",
        "LYMPH", "LYMPHP", "MONO", "MONOP", "EO", "EOP", "BASO", "BASOP",
    ];
    let mut all = vec![
        Service::new("CBC", "Tổng phân tích tế bào máu", Haematology, &count),
        Service::new("DGD", "Điện giải đồ", Biochemistry, &["NA", "K", "CL"]),
        Service::new("MTBRIF", "Xpert MTB/RIF", Molecular, &["MTB", "RIF"]),
    ];
    for (code, name) in [
        ("GLU", "Glucose"),
        ("UREA", "Ure"),
        ("CREA", "Creatinin"),
        ("AST", "AST (GOT)"),
        ("ALT", "ALT (GPT)"),
        ("CHOL", "Cholesterol"),
    ] {
        all.push(Service::new(code, name, Biochemistry, &[code]));
    }
    for (code, name) in [
        ("PT", "Thời gian prothrombin"),
        ("APTT", "APTT"),
        ("FIB", "Fibrinogen"),
    ] {
        all.push(Service::new(code, name, Coagulation, &[code]));
    }
    let group = ["RXA", "RXB", "RXD", "BGSUM"];
    all.push(Service::new(
        "NHOMMAUPU",
        "Định nhóm máu ABO, Rh(D) kèm phản ứng",
        Transfusion,
        &group,
    ));
    all.push(Service::new(
        "NHOMMAU",
        "Định nhóm máu ABO và Rh(D)",
        Transfusion,
        &["ABO", "RHD"],
    ));
    for (code, name) in [("TSH", "TSH"), ("FT4", "FT4"), ("FT3", "FT3")] {
        all.push(Service::new(code, name, Immunology, &[code]));
    }
    all
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The HIS sends a request.
    Order(Request),
    /// The HIS sends new patient data.
    Update(Patient),
    /// Somebody puts a tube into instrument number so-and-so.
    Load(usize, Tube),
}

/// Something that happens, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Since the start of the morning, at the normal speed.
    pub at: Duration,
    /// What.
    pub act: Act,
}

/// What became of a tube in the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specimen {
    /// The barcode.
    pub barcode: String,
    /// The request behind it; none for an unknown tube.
    pub request: Option<Request>,
    /// The laboratory's tests in that request.
    pub tests: Vec<String>,
    /// Whether the request is cancelled before the tube is drawn.
    pub is_cancelled: bool,
}

/// A morning, written down beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In order of time.
    pub steps: Vec<Step>,
    /// All tubes of patients.
    pub specimens: Vec<Specimen>,
}

impl Plan {
    /// The morning of this seed with so many specimens, for these instruments.
    pub fn new(seed: u64, specimens: usize, personas: &[&Persona], services: &[Service]) -> Self {
        let mut maker = Maker {
            chance: Chance::fork(seed, "morning"),
            personas,
            services,
            span: span(specimens),
            seed,
            steps: Vec::new(),
            specimens: Vec::new(),
        };
        maker.controls();
        while maker.specimens.len() < specimens && !personas.is_empty() {
            maker.patient(specimens);
        }
        maker.steps.sort_by_key(|step| step.at);
        Self {
            steps: maker.steps,
            specimens: maker.specimens,
        }
    }
}

/// In how long so many tubes come.
pub(super) fn span(specimens: usize) -> Duration {
    let specimens = u64::try_from(specimens).unwrap_or(u64::MAX);
    Duration::from_secs(SECONDS_A_SPECIMEN.saturating_mul(specimens))
}

/// The tube that a bench works with, as the HIS writes it into SPM-4.
const fn tube_type(section: Section) -> &'static str {
    match section {
        Section::Haematology | Section::Transfusion => "EDTA^Máu EDTA^L",
        Section::Biochemistry | Section::Immunology => "SERUM^Huyết thanh^L",
        Section::Coagulation => "CITRATE^Huyết tương citrat^L",
        Section::Molecular => "SPUTUM^Đờm^L",
    }
}

struct Maker<'a> {
    chance: Chance,
    personas: &'a [&'a Persona],
    services: &'a [Service],
    span: Duration,
    seed: u64,
    steps: Vec<Step>,
    specimens: Vec<Specimen>,
}

impl Maker<'_> {
    fn push(&mut self, at: Duration, act: Act) {
        self.steps.push(Step { at, act });
    }

    /// Every instrument runs a control before the first tube, and one in the middle.
    fn controls(&mut self) {
        for (index, persona) in self.personas.iter().enumerate() {
            for at in [Duration::ZERO, self.span / 2] {
                let act = Act::Load(index, Tube::control(persona));
                self.steps.push(Step { at, act });
            }
        }
    }

    /// One patient: one to three tubes, each for another bench.
    fn patient(&mut self, wanted: usize) {
        let patient = self.person();
        let at = self.round();
        let tubes = 1 + self.chance.index(3);
        let first = self.chance.index(self.personas.len());
        let mut sections = Vec::new();
        for offset in 0..self.personas.len() {
            let index = (first + offset) % self.personas.len();
            let Some(persona) = self.personas.get(index) else {
                continue;
            };
            let is_enough = sections.len() >= tubes || self.specimens.len() >= wanted;
            if !is_enough && !sections.contains(&persona.section) {
                sections.push(persona.section);
                self.tube(&patient, at, index, persona);
            }
        }
        if self.chance.happens(20) {
            self.push(at + self.span / 20, Act::Update(patient));
        }
    }

    /// Blood is drawn in rounds, so that orders come in bursts; most of them early in the middle.
    fn round(&mut self) -> Duration {
        let half = |chance: &mut Chance| u32::try_from(chance.below(50)).unwrap_or(0);
        let percent = half(&mut self.chance) + half(&mut self.chance);
        self.span * (percent - percent % 4) / 125
    }

    fn tube(&mut self, patient: &Patient, ordered: Duration, index: usize, persona: &Persona) {
        let number = self.specimens.len() + 1;
        let barcode = format!("25{:03}{number:06}", self.seed % 1_000);
        let is_unknown = self.chance.happens(UNKNOWN);
        let is_late = self.chance.happens(LATE);
        let is_cancelled = self.chance.happens(CANCELLED);
        let is_stat = self.chance.happens(STAT);
        let walk = self.walk(is_stat);
        let (request, tests) = self.request(patient, &barcode, persona, is_stat);
        let arrives = ordered + walk;
        if !is_unknown {
            let at = if is_late {
                arrives + self.span / 10
            } else {
                ordered
            };
            self.push(at, Act::Order(request.clone()));
        }
        if is_cancelled && !is_unknown && !is_late {
            let cancel = Request {
                control: Control::Cancel,
                ..request.clone()
            };
            self.push(ordered + walk / 2, Act::Order(cancel));
        } else {
            let tube = Tube::patient(barcode.clone());
            let tube = if persona.section == Section::Transfusion {
                tube.filled(Blood::of_patient(self.seed, &patient.id))
            } else {
                tube
            };
            self.push(arrives, Act::Load(index, tube));
        }
        self.specimens.push(Specimen {
            barcode,
            request: (!is_unknown).then_some(request),
            tests: if is_unknown { Vec::new() } else { tests },
            is_cancelled: is_cancelled && !is_unknown && !is_late,
        });
    }

    /// From the order to the instrument: by tube transport for what is urgent, else on foot.
    fn walk(&mut self, is_stat: bool) -> Duration {
        let percent = if is_stat {
            3
        } else {
            5 + self.chance.below(20)
        };
        let percent = u32::try_from(percent).unwrap_or(5);
        (self.span * percent / 100).max(Duration::from_secs(10))
    }

    fn request(
        &mut self,
        patient: &Patient,
        barcode: &str,
        persona: &Persona,
        is_stat: bool,
    ) -> (Request, Vec<String>) {
        let has = |test: &str| persona.analytes.iter().any(|analyte| analyte.test == test);
        // The sum of a panel says group and D as well.
        let of_sum = |test: &str| matches!(test, "ABO" | "RHD") && has("BGSUM");
        let measures = |test: &String| has(test) || of_sum(test);
        let all = self
            .services
            .iter()
            .filter(|service| service.section == persona.section);
        let possible: Vec<_> = all
            .filter(|service| service.tests.iter().any(measures))
            .collect();
        let mut chosen: Vec<&Service> = Vec::new();
        for service in &possible {
            if self.chance.happens(600) {
                chosen.push(service);
            }
        }
        if chosen.is_empty() {
            chosen.extend(possible.first());
        }
        let tests = chosen
            .iter()
            .flat_map(|service| service.tests.iter().cloned());
        let tests = tests.filter(measures).collect();
        let items = chosen.iter().zip(1..).map(|(service, number)| Item {
            placer: format!("R{barcode}-{number}"),
            service: service.code.clone(),
            name: service.name.clone(),
        });
        let wards = ["KKB", "CC", "NOI1", "NGOAI", "SAN", "NHI", "HSTC"];
        let request = Request {
            control: Control::New,
            patient: patient.clone(),
            group: format!("R{barcode}"),
            barcode: barcode.to_owned(),
            items: items.collect(),
            is_stat,
            ward: self
                .chance
                .pick(&wards)
                .copied()
                .unwrap_or("KKB")
                .to_owned(),
            visit: format!("V{barcode}"),
            // Filled in when it is sent: the plan knows no time of day.
            collected: String::new(),
            tube_type: tube_type(persona.section).to_owned(),
        };
        (request, tests)
    }

    fn person(&mut self) -> Patient {
        let families = [
            "NGUYỄN", "TRẦN", "LÊ", "PHẠM", "HOÀNG", "HUỲNH", "PHAN", "VŨ", "ĐẶNG", "BÙI",
        ];
        let (women, men) = (["THỊ", "NGỌC", "THU"], ["VĂN", "HỮU", "ĐỨC"]);
        let given_women = ["HOA", "LAN", "HƯƠNG", "MAI", "THẢO", "YẾN", "BÌNH"];
        let given_men = ["AN", "DŨNG", "HÙNG", "MINH", "SƠN", "TUẤN", "ƯỚC"];
        let is_woman = self.chance.happens(510);
        let (middles, givens) = if is_woman {
            (women, given_women)
        } else {
            (men, given_men)
        };
        let number = 1_000 + self.specimens.len();
        let born = (
            self.chance.between(1935, 2024),
            self.chance.between(1, 12),
            self.chance.between(1, 28),
        );
        Patient {
            id: format!("BN{:03}{number:06}", self.seed % 1_000),
            national_id: format!("0{:011}", self.chance.below(100_000_000_000)),
            insurance: format!("DN4{:012}", self.chance.below(1_000_000_000_000)),
            family: self
                .chance
                .pick(&families)
                .copied()
                .unwrap_or_default()
                .to_owned(),
            middle: self
                .chance
                .pick(&middles)
                .copied()
                .unwrap_or_default()
                .to_owned(),
            given: self
                .chance
                .pick(&givens)
                .copied()
                .unwrap_or_default()
                .to_owned(),
            birth: format!("{:04}{:02}{:02}", born.0, born.1, born.2),
            sex: if is_woman { "F" } else { "M" }.to_owned(),
        }
    }
}
