//! An analyzer that speaks IHE LAW, over a real port: what it asks, what it is told to do, step by
//! step, and what becomes of what it refuses.

use labwire::{
    model::QueueState,
    profile::BUILT_IN,
    queue::{self, QueueRow},
};
use labwire_protocols::hl7::{
    Message,
    ack::{Outcome, Own},
    law::{
        Envelope, StepNumber,
        analyzer::{
            Broadcast, ObservationDraft, QueryDraft, QueryReply, SpecimenStatus, StepAnswer,
            StepStatus, build_order_reply, build_query, build_status_change,
        },
        query::QueryName,
    },
    material::ContainerDraft,
    tables::{OrderStatus, ResultStatus, SpecimenRole},
};
use labwire_sims::his::{Answering, Control};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    account,
    hospital::{Bridge, His, PATIENCE, Site, request},
};

/// The analyzer's end of a connection.
struct Analyzer {
    stream: TcpStream,
    read: Vec<u8>,
    said: usize,
}

impl Analyzer {
    async fn connect(bridge: &Bridge, line: &str) -> Self {
        let address = bridge.address(line).await.expect("it listens");
        Self {
            stream: TcpStream::connect(address).await.expect("it listens"),
            read: Vec::new(),
            said: 0,
        }
    }

    async fn says(&mut self, message: &str) {
        let block = format!("\x0b{message}\x1c\r");
        let written = self.stream.write_all(block.as_bytes()).await;
        written.expect("the line reads");
    }

    /// The next message of the bridge.
    async fn hears(&mut self) -> String {
        loop {
            let end = self.read.windows(2).position(|end| end == b"\x1c\r");
            if let Some(end) = end {
                let block: Vec<u8> = self.read.drain(..end + 2).collect();
                let text = block.strip_prefix(b"\x0b").expect("a block");
                return String::from_utf8(text[..end - 1].to_vec()).expect("UTF-8");
            }
            let read = self.stream.read_buf(&mut self.read);
            let count = timeout(PATIENCE, read).await.expect("in time");
            assert_ne!(count.expect("the line writes"), 0, "it hung up");
        }
    }

    fn id(&mut self) -> String {
        self.said += 1;
        format!("A{}", self.said)
    }

    /// Asks for the work of a tube, and hears that it was understood.
    async fn asks(&mut self, barcode: &str) {
        self.asks_by(QueryName::Container, barcode).await;
    }

    async fn asks_by(&mut self, name: QueryName<'_>, barcode: &str) {
        let id = self.id();
        let draft = QueryDraft {
            tag: &format!("T-{id}"),
            container: barcode,
            carrier: ["S54", "14"],
            ..QueryDraft::default()
        };
        let query = build_query(&envelope(&id), name, &draft).expect("written");
        self.says(&query).await;
        let heard = self.hears().await;
        let (message, _) = Message::parse(&heard).expect("HL7");
        let reply = QueryReply::read(&message).expect("RSP^K11 comes before any work");
        assert_eq!(reply.answer.code_raw, "AA");
        assert_eq!(reply.answer.control_id, id);
        assert_eq!(
            (reply.tag(), reply.status()),
            (format!("T-{id}").as_str(), "OK")
        );
        let qpd = query.split('\r').find(|segment| segment.starts_with("QPD"));
        assert_eq!(reply.qpd.map(|qpd| qpd.raw()), qpd, "to the byte");
        assert_eq!(reply.header.profiles().collect::<Vec<_>>(), ["LAB-27^IHE"]);
    }

    /// Hears an order message, answers its steps by `says` (a control and a status each), and gives
    /// back what it ordered: ORC-1, code and number of each step.
    async fn is_told(&mut self, says: &[(&str, OrderStatus<'_>)]) -> Vec<[String; 3]> {
        let heard = self.hears().await;
        let (message, _) = Message::parse(&heard).expect("HL7");
        let (broadcast, notes) = Broadcast::read(&message).expect("OML^O33");
        assert_eq!(notes, [], "as the profile wants it: {heard}");
        let steps: Vec<[String; 3]> = broadcast
            .tree
            .steps()
            .map(|(_, step)| {
                let number = match step.number() {
                    StepNumber::Given(number) => number.id.into_owned(),
                    StepNumber::Null | StepNumber::Missing | StepNumber::Conflict { .. } => {
                        String::new()
                    }
                };
                let code = step.obr.map(|obr| obr.field(4).component(1).raw());
                let code = code.unwrap_or_default().to_owned();
                [step.control().to_owned(), code, number]
            })
            .collect();
        let answers: Vec<StepAnswer<'_>> = says
            .iter()
            .map(|(control, status)| StepAnswer {
                control,
                status: *status,
            })
            .collect();
        let id = self.id();
        let own = Own {
            application: "AN1",
            time: "20260310090100+0700",
            control_id: &id,
            ..Own::default()
        };
        let reply = build_order_reply(&broadcast, (Outcome::Accepted, &[]), &answers, &own);
        self.says(&reply.expect("written")).await;
        steps
    }

    /// Sends a value of one step.
    async fn measures(&mut self, barcode: &str, step: &[String; 3], value: &str) {
        self.says_of(barcode, step, OrderStatus::Completed, &[(value, "N")])
            .await;
    }

    /// Sends the status of one step, and values with a flag each, and hears that it was taken.
    async fn says_of(
        &mut self,
        barcode: &str,
        step: &[String; 3],
        status: OrderStatus<'_>,
        values: &[(&str, &str)],
    ) {
        let (id, message) = self.status(barcode, step, status, values);
        self.says(&message).await;
        self.is_acknowledged(&id).await;
    }

    /// A status change, and its control id.
    fn status(
        &mut self,
        barcode: &str,
        [_, code, number]: &[String; 3],
        status: OrderStatus<'_>,
        values: &[(&str, &str)],
    ) -> (String, String) {
        let id = self.id();
        let code = code.as_str();
        let parts = [code, code, "99LAB"];
        let fields: Vec<_> = values
            .iter()
            .map(|(value, flag)| ([*value], [*flag]))
            .collect();
        let observations: Vec<ObservationDraft<'_>> = fields
            .iter()
            .map(|(value, flags)| ObservationDraft {
                value_type: "NM",
                code: &parts,
                run: &["1"],
                value,
                unit: &["mmol/L", "", "UCUM"],
                flags,
                status: ResultStatus::Final,
                devices: &[["AN1", "VENDOR"]],
                analysed_at: "20260310091500",
                reagents: &[["R-1", "LOT1"]],
            })
            .collect();
        let steps = [StepStatus {
            number: Some(number),
            service: [code, code, "99LAB"],
            status,
            parents: &[],
            observations: &observations,
        }];
        let specimen = SpecimenStatus {
            id: [barcode, "LABWIRE"],
            kind: ["SER", "Serum", "HL70487"],
            role: SpecimenRole::Patient,
            container: ContainerDraft::new().id(&[barcode]),
            materials: &[],
            steps: &steps,
        };
        let message = build_status_change(&envelope(&id), None, &[specimen]).expect("written");
        (id, message)
    }

    async fn is_acknowledged(&mut self, id: &str) {
        let heard = self.hears().await;
        assert!(heard.contains("|ACK^R22^ACK|"), "{heard}");
        assert!(heard.contains("|||LAB-29^IHE\r"), "{heard}");
        assert!(heard.ends_with(&format!("\rMSA|AA|{id}\r")), "{heard}");
    }
}

const fn envelope(control_id: &str) -> Envelope<'_> {
    Envelope {
        sending_application: "AN1",
        sending_facility: "LAB",
        receiving_application: "LABWIRE",
        receiving_facility: "",
        time: "20260310090000+0700",
        control_id,
        profile: "",
        acks: None,
        charset: "",
    }
}

const OK: (&str, OrderStatus<'_>) = ("OK", OrderStatus::Scheduled);
const UNABLE: (&str, OrderStatus<'_>) = ("UA", OrderStatus::Cancelled);

/// A bridge with a HIS and a LAW analyzer on the line `an-1`.
struct Ward {
    his: His,
    site: Site,
    bridge: Bridge,
}

impl Ward {
    /// `reply_ms` is how long an answer of the analyzer may take.
    async fn open(line: &str, reply_ms: u64) -> Self {
        let his = His::open(Answering::good()).await;
        let site = Site::new(&format!(
            r#"profiles = "profiles"

[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "{}"

[[instrument]]
id = "an-1"
profile = "site/law"
port = "mllp-listen://127.0.0.1:0"
tests = {{ TSH = "TSH", FT4 = "FT4", PSA = "PSA" }}
{line}

[[instrument]]
id = "hl7-1"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:0"
tests = {{ GLU = "GLU" }}
"#,
            his.results
        ));
        let law = BUILT_IN.iter().find(|(name, _)| *name == "generic/law");
        let law = law.expect("built in").1;
        let hasty = law.replace(
            "reply_timeout_ms = 30000",
            &format!("reply_timeout_ms = {reply_ms}"),
        );
        assert_ne!(hasty, law);
        site.profile("site/law.toml", &hasty);
        let bridge = site.start().await;
        let ward = Self { his, site, bridge };
        let orders = ward.bridge.address("host:his").await.expect("it listens");
        ward.his.place(orders);
        ward
    }

    async fn places(&mut self, control: Control, barcode: &str, services: &[&str]) {
        let request = request(control, barcode, services);
        let written = self.his.writer.request(&request, "20260310090000+0700");
        let control = written.control_id.clone();
        self.his.orders.push(written);
        let orders = &self.his.orders;
        self.bridge
            .until("it is answered", || orders.answer(&control).is_some())
            .await;
        let answer = orders.answer(&control).expect("it was answered");
        assert!(answer.is_accepted(), "{}", answer.text);
    }

    /// What was set aside, once there are so many rows.
    async fn set_aside(&self, count: usize) -> Vec<QueueRow> {
        let url = self.site.store();
        let rows = || account::queue(&url, |db| queue::list(db, QueueState::SetAside, 0, 100));
        self.bridge
            .until("it is set aside", || rows().len() == count)
            .await;
        rows()
    }

    /// Waits until so many steps stand so.
    async fn steps(&self, state: &str, count: i64) {
        let url = self.site.store();
        self.bridge
            .until(state, || account::steps(&url, state) == count)
            .await;
    }

    async fn close(self) {
        let findings = account::findings(&self.site.store());
        assert!(findings.is_empty(), "{findings:#?}");
        self.bridge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_law_analyzer_gets_exactly_the_ordered_tests_and_its_values_reach_the_his() {
    let mut ward = Ward::open("orders = \"query\"", 60_000).await;
    let mut analyzer = Analyzer::connect(&ward.bridge, "an-1").await;
    ward.his.order("T1", &["TSH", "FT4", "GLU"]);
    let url = ward.site.store();
    let items = || account::items(&url, "T1") == 3;
    ward.bridge.until("it is ordered", items).await;
    analyzer.asks("T1").await;
    let steps = analyzer.is_told(&[OK, OK]).await;
    let ordered: Vec<_> = steps
        .iter()
        .map(|[control, code, _]| (control.as_str(), code.as_str()))
        .collect();
    assert_eq!(
        ordered,
        [("NW", "TSH"), ("NW", "FT4")],
        "glucose is not its test"
    );
    // Several messages before the first is acknowledged; each has its own answer, in their order.
    let messages = [
        analyzer.status("T1", &steps[1], OrderStatus::InProcess, &[]),
        analyzer.status("T1", &steps[0], OrderStatus::Completed, &[("2.31", "N")]),
        analyzer.status("T1", &steps[1], OrderStatus::Completed, &[("15.40", "N")]),
    ];
    for (_, message) in &messages {
        analyzer.says(message).await;
    }
    for (id, _) in &messages {
        analyzer.is_acknowledged(id).await;
    }
    let observed = |his: &His| {
        his.book.with_ledger(|ledger| {
            let seen = ledger.observations().iter();
            let mut seen: Vec<_> = seen
                .map(|seen| (seen.code.clone(), seen.text.clone()))
                .collect();
            seen.sort();
            seen
        })
    };
    ward.bridge
        .until("both values are there", || observed(&ward.his).len() == 2)
        .await;
    let values = [("FT4", "15.40"), ("TSH", "2.31")]
        .map(|(code, value)| (code.to_owned(), value.to_owned()));
    assert_eq!(observed(&ward.his), values);
    // Nothing is left to do, and of another tube nobody knows.
    for barcode in ["T1", "T9"] {
        analyzer.asks(barcode).await;
        assert_eq!(analyzer.is_told(&[]).await, [["DC", "", ""]], "{barcode}");
    }
    ward.set_aside(0).await;
    ward.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_the_analyzer_refuses_is_set_aside_with_its_reason_and_asked_again_is_a_new_one()
 {
    let mut ward = Ward::open("orders = \"query\"", 60_000).await;
    let mut analyzer = Analyzer::connect(&ward.bridge, "an-1").await;
    ward.places(Control::New, "T2", &["TSH", "FT4"]).await;
    analyzer.asks("T2").await;
    let first = analyzer.is_told(&[OK, UNABLE]).await;
    let aside = ward.set_aside(1).await;
    let row = &aside[0];
    assert_eq!(
        (
            row.destination.as_str(),
            row.kind.as_str(),
            row.barcode.as_str()
        ),
        ("line:an-1", "order", "T2")
    );
    assert!(row.reason.contains("FT4 refused (UA CA)"), "{}", row.reason);
    assert!(!row.reason.contains("TSH"), "{}", row.reason);
    // It has the first step already and says so; that is no news.
    analyzer.asks("T2").await;
    let second = analyzer.is_told(&[UNABLE, OK]).await;
    assert_eq!(first[0], second[0], "the same step");
    assert_ne!(
        first[1][2], second[1][2],
        "a refused number is not used again"
    );
    analyzer.measures("T2", &second[0], "1.00").await;
    ward.bridge
        .until("its value is there", || {
            ward.his
                .book
                .with_ledger(|ledger| ledger.observations().len())
                == 1
        })
        .await;
    assert_eq!(ward.set_aside(1).await, aside);
    // What was ordered since, for a rerun or a reflex.
    ward.places(Control::New, "T2", &["PSA"]).await;
    analyzer.asks_by(QueryName::Additional, "T2").await;
    let more = analyzer.is_told(&[OK]).await;
    let more: Vec<_> = more.iter().map(|[_, code, _]| code.as_str()).collect();
    assert_eq!(more, ["PSA"]);
    analyzer.asks_by(QueryName::Additional, "T2").await;
    assert_eq!(analyzer.is_told(&[]).await, [["DC", "", ""]]);
    ward.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_law_analyzer_is_told_of_orders_additions_and_cancels_under_their_numbers() {
    let mut ward = Ward::open("orders = \"both\"", 60_000).await;
    let mut analyzer = Analyzer::connect(&ward.bridge, "an-1").await;
    ward.places(Control::New, "T3", &["TSH", "FT4"]).await;
    let told = analyzer.is_told(&[OK, OK]).await;
    ward.places(Control::New, "T3", &["PSA"]).await;
    let added = analyzer.is_told(&[OK]).await;
    assert_eq!(added[0][..2], ["NW", "PSA"]);
    ward.steps("accepted", 3).await;
    // Told before it asks, it gets the same steps under the same numbers.
    analyzer.asks("T3").await;
    let mut all = [told.clone(), added].concat();
    let mut asked = analyzer.is_told(&[UNABLE, UNABLE, UNABLE]).await;
    all.sort();
    asked.sort();
    assert_eq!(asked, all);
    ward.places(Control::Cancel, "T3", &["FT4"]).await;
    let cancelled = analyzer.is_told(&[("CR", OrderStatus::Cancelled)]).await;
    assert_eq!(cancelled, [["CA", "FT4", told[1][2].as_str()]]);
    ward.steps("cancelled", 1).await;
    ward.set_aside(0).await;
    // What it measures already it cannot leave.
    ward.places(Control::Cancel, "T3", &["TSH"]).await;
    analyzer.is_told(&[("UC", OrderStatus::InProcess)]).await;
    let aside = ward.set_aside(1).await;
    assert_eq!(aside[0].kind, "cancel");
    assert!(
        aside[0]
            .reason
            .contains("TSH cannot be cancelled any more (UC IP)"),
        "{}",
        aside[0].reason
    );
    ward.places(Control::New, "T4", &["TSH"]).await;
    analyzer.is_told(&[UNABLE]).await;
    let aside = ward.set_aside(2).await;
    assert!(
        aside[1].reason.contains("TSH refused (UA CA)"),
        "{}",
        aside[1].reason
    );
    ward.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_nobody_answers_is_sent_again_on_the_connection_of_orders_and_then_told_of() {
    let mut ward = Ward::open(
        "orders = \"query\"\norders_port = \"mllp-listen://127.0.0.1:0\"",
        300,
    )
    .await;
    let mut asking = Analyzer::connect(&ward.bridge, "an-1").await;
    let mut told = Analyzer::connect(&ward.bridge, "an-1:orders").await;
    let line = &ward.bridge.lines["an-1:orders"];
    ward.bridge
        .until("it is connected", || !line.status().connections.is_empty())
        .await;
    ward.places(Control::New, "T5", &["TSH"]).await;
    asking.asks("T5").await;
    let first = told.hears().await;
    assert!(first.contains("|OML^O33^OML_O33|"), "{first}");
    // `sends_max` of the profile, to the byte.
    assert_eq!(told.hears().await, first);
    assert_eq!(told.hears().await, first);
    let url = ward.site.store();
    ward.bridge
        .until("it is told of", || {
            account::audited(&url, "order-not-taken") == 1
        })
        .await;
    ward.steps("told", 1).await;
    // Asked again, it is the same step: the device may have it.
    asking.asks("T5").await;
    let [[_, _, number]] = told.is_told(&[OK]).await.try_into().expect("one step");
    assert!(
        first.contains(&format!("\rOBR||{number}||TSH^")),
        "{number}"
    );
    ward.steps("accepted", 1).await;
    ward.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_was_measured_or_given_up_is_ordered_again_under_a_new_number_only() {
    let mut ward = Ward::open("orders = \"query\"", 60_000).await;
    let mut analyzer = Analyzer::connect(&ward.bridge, "an-1").await;
    ward.places(Control::New, "T6", &["TSH", "FT4", "PSA"])
        .await;
    analyzer.asks("T6").await;
    let first = analyzer.is_told(&[OK, OK, OK]).await;
    ward.steps("accepted", 3).await;
    analyzer
        .says_of("T6", &first[0], OrderStatus::InProcess, &[])
        .await;
    analyzer
        .says_of("T6", &first[1], OrderStatus::Cancelled, &[])
        .await;
    // Held for its flag: the tube may be put on again.
    analyzer
        .says_of("T6", &first[2], OrderStatus::Completed, &[("4.1", "ERR7")])
        .await;
    ward.steps("cancelled", 1).await;
    let url = ward.site.store();
    ward.bridge
        .until("it is held", || {
            account::states(&url, "T6") == ["PSA held suspect-flag"]
        })
        .await;
    analyzer.asks("T6").await;
    let second = analyzer.is_told(&[UNABLE, OK, OK]).await;
    assert_eq!(second[0], first[0], "under way");
    assert_ne!(second[1][2], first[1][2], "given up");
    assert_ne!(second[2][2], first[2][2], "measured");
    assert_eq!(
        account::events(&url),
        [
            format!("step-in-process T6 TSH {}", first[0][2]),
            format!("step-cancelled T6 FT4 {}", first[1][2]),
        ]
    );
    ward.set_aside(0).await;
    ward.close().await;
}
