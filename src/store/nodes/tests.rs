//! What a node decides about the others, as values.

use std::collections::BTreeSet;

use super::{Act, Lease, Look, NodeRow, plan};

const SECOND: i64 = 1_000_000;
const NOW: i64 = 1_000 * SECOND;

/// Nodes with the seconds since each was seen (`!`: its connection is gone); leases as `unit=run`,
/// `unit=run>asker`, or `unit` alone where it is free since long ago.
fn look(nodes: &str, leases: &str) -> Look {
    let node = |text: &str| {
        let (run, unseen) = text.split_once(':').unwrap_or((text, "0"));
        let seconds: i64 = unseen.trim_end_matches('!').parse().unwrap();
        NodeRow {
            run: run.to_owned(),
            name: run.to_owned(),
            version: String::new(),
            started_at: 0,
            seen_at: NOW - seconds * SECOND,
            is_present: !unseen.ends_with('!'),
        }
    };
    let lease = |text: &str| {
        let (unit, holder) = text.split_once('=').unwrap_or((text, ""));
        let (run, asked_by) = holder.split_once('>').unwrap_or((holder, ""));
        let named = |run: &str| (!run.is_empty()).then(|| run.to_owned());
        Lease {
            unit: unit.to_owned(),
            run: named(run),
            token: 1,
            since: NOW - if unit.ends_with('\'') { 0 } else { 60 * SECOND },
            asked_by: named(asked_by),
        }
    };
    Look {
        now: NOW,
        nodes: nodes.split_whitespace().map(node).collect(),
        leases: leases.split_whitespace().map(lease).collect(),
    }
}

fn check(nodes: &str, leases: &str, expected: &str) {
    let look = look(nodes, leases);
    let units: BTreeSet<String> = look.leases.iter().map(|one| one.unit.clone()).collect();
    let acts = plan(&look, "a", &units, true);
    let acts: Vec<String> = acts
        .iter()
        .map(|act| match act {
            Act::Fence(run, _) => format!("fence {run}"),
            Act::Take(unit) => format!("take {unit}"),
            Act::Ask(unit) => format!("ask {unit}"),
        })
        .collect();
    assert_eq!(acts.join(", "), expected, "{nodes}; {leases}");
}

#[test]
fn a_node_takes_what_nobody_serves_up_to_its_share() {
    check("a", "u1' u2' u3'", "take u1', take u2', take u3'");
    check("a b", "u1' u2' u3'", "take u1', take u2'");
    check("a b", "u1=b u2=b u3'", "take u3'");
    // What nobody took for a while is taken beyond the share: the other may not know of it.
    check("a b", "u1=a u2=a u3", "take u3");
    check("a b", "u1=a u2=a u3'", "");
}

#[test]
fn a_node_that_joins_asks_for_no_more_than_its_share_and_nothing_moves_after_that() {
    check("a b", "u1=b u2=b u3=b u4=b", "ask u4, ask u3");
    check("a b", "u1=b u2=b u3=b u4=b>a", "ask u3");
    check("a b", "u1=b u2=b u3=b>a u4=b>a", "");
    check("a b", "u1=b u2=b u3=a", "");
    check("a b c", "u1=b u2=b u3=c u4=c", "ask u4");
    check("a b c", "u1=b u2=c", "");
}

#[test]
fn a_node_is_fenced_when_it_is_silent_or_its_connection_is_gone_and_never_by_itself() {
    check("a b:3!", "u1=b", "");
    check("a b:4!", "u1=b", "fence b");
    check("a b:5", "u1=b", "");
    check("a b:6", "u1=b", "fence b");
    check("a:60! b", "u1=a u2=b", "");
    // Who was away itself judges nobody yet.
    let look = look("a b:60!", "u1=b");
    assert_eq!(plan(&look, "a", &BTreeSet::from(["u1".into()]), false), []);
}

#[test]
fn a_node_that_is_fenced_does_nothing() {
    check("b", "u1", "");
}
