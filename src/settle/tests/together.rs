//! Messages settled together come to the same as one after the other.

use proptest::prelude::*;

use super::{
    super::{Message, settle_all},
    *,
};

/// One message: what it repeats when it comes again, and its results.
type Sent = (String, Vec<Observation>);

fn result() -> impl Strategy<Value = Observation> {
    let tube = prop::sample::select(vec!["T1", "T2", "T3", ""]);
    let test = prop::sample::select(vec!["WBC", "HGB", "EXTRA"]);
    let text = prop::sample::select(vec!["6.4", "7.1", "9.9"]);
    let hold = prop::sample::select(vec![
        None,
        None,
        None,
        Some(HoldReason::StatusNotFinal),
        Some(HoldReason::SuspectFlag),
        Some(HoldReason::Incomplete),
    ]);
    let status = prop::sample::select(vec![
        ResultStatus::Final,
        ResultStatus::Final,
        ResultStatus::Correction,
    ]);
    let patient = prop::sample::select(vec!["", "MRN1", "MRN9"]);
    (tube, test, text, hold, status, patient).prop_map(|(tube, test, text, hold, status, id)| {
        let plain = Observation {
            status,
            specimen: Some(SpecimenRead {
                sent: tube.to_owned(),
                id: tube.to_owned(),
                rack: String::new(),
                position: String::new(),
            }),
            patient: PatientSeen {
                ids: (!id.is_empty())
                    .then(|| Private::new(id.to_owned()))
                    .into_iter()
                    .collect(),
                ..PatientSeen::default()
            },
            ..observation(test, text)
        };
        hold.map_or(plain.clone(), |reason| held(plain, reason))
    })
}

/// A few different messages, each possibly more than once.
fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let message = prop::collection::vec(result(), 1..4);
    let different = prop::collection::vec(message, 1..6);
    (
        different,
        prop::collection::vec(any::<prop::sample::Index>(), 1..10),
    )
        .prop_map(|(different, order)| {
            let pick = |index: prop::sample::Index| {
                let n = index.index(different.len());
                (format!("message {n}"), different[n].clone())
            };
            order.into_iter().map(pick).collect()
        })
}

/// A laboratory with one tube that is ordered, one that two patients have, and one unknown.
fn lab(unordered: bool) -> Lab {
    let mut lab = Lab::new();
    lab.site.unordered = unordered;
    lab.order(&Order {
        tests: &["WBC", "HGB"],
        ..CBC
    });
    let second = Order {
        barcode: "T2",
        placer: "P2",
        ..CBC
    };
    lab.order(&second);
    lab.order(&Order {
        patient: "MRN2",
        placer: "P3",
        ..second
    });
    lab
}

/// What every tube shows, what the counts were, what would go to the host.
fn outcome(lab: &Lab, settled: &[Settled]) -> String {
    let tubes: Vec<String> = ["T1", "T2", "T3", ""].map(|tube| lab.shown(tube)).into();
    let told: Vec<String> = lab.lease().into_iter().map(|(_, text)| text).collect();
    format!("{tubes:#?}\n{told:#?}\n{settled:#?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn messages_together_come_to_the_same_as_one_after_the_other(
        sent in sent(),
        unordered in any::<bool>(),
    ) {
        let mut alone = lab(unordered);
        let one_by_one: Vec<Settled> = sent
            .iter()
            .map(|(raw, results)| alone.result_message(raw, results.clone()))
            .collect();
        let mut together = lab(unordered);
        let rows: Vec<(i64, String, Vec<Item>)> = sent
            .iter()
            .map(|(raw, results)| {
                let items = results.iter().cloned();
                let items = items.map(|one| Item::Observation(Box::new(one))).collect();
                (together.journal(raw), raw.clone(), items)
            })
            .collect();
        let (now, site) = (together.now, together.site);
        let at_once = together.work(move |db| {
            let messages: Vec<Message<'_>> = rows
                .iter()
                .map(|(message, raw, items)| Message {
                    context: settle_context(*message, now, raw.as_bytes(), &site),
                    items,
                })
                .collect();
            settle_all(db, &messages)
        });
        prop_assert_eq!(outcome(&alone, &one_by_one), outcome(&together, &at_once));
    }
}

crate::on_postgres_too! {
    messages_together_come_to_the_same_as_one_after_the_other
}
