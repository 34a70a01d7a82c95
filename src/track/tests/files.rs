//! The file of a line and its mistakes.

use super::*;

fn codes(text: &str) -> Vec<&'static str> {
    let mut problems = Problems::default();
    let line = Line::read(&source("line.toml", text), &mut problems);
    assert_eq!(line.is_none(), problems.has_errors());
    problems
        .sorted()
        .iter()
        .map(|problem| problem.code)
        .collect()
}

#[test]
fn the_example_line_is_clean_and_has_the_rates_of_its_maker() {
    let line = example();
    assert_eq!(line.lanes.len(), 4);
    let rate = |name| line.module(at(&line, name)).rate_per_hour;
    assert_eq!(
        [rate("CENT1"), rate("CENT2"), rate("DECAP1"), rate("RECAP1")],
        [300, 300, 600, 500]
    );
    assert_eq!(line.module(at(&line, "CENT2")).interval_ms(), 480_000);
    assert_eq!(line.module_named("BL1"), line.module_named("IN1"));
}

#[test]
fn what_a_file_leaves_out_is_usual_for_the_kind() {
    let bare = EXAMPLE
        .replace("rate_per_hour = 300\n", "")
        .replace("rate_per_hour = 600\ndwell_s = 6", "dwell_s = 6")
        .replace("rate_per_hour = 500\n", "");
    let line = read(&bare);
    let rate = |name| line.module(at(&line, name)).rate_per_hour;
    assert_eq!(
        [rate("CENT1"), rate("DECAP1"), rate("RECAP1")],
        [300, 600, 500]
    );
}

#[test]
fn every_mistake_of_a_line_is_told() {
    for (from, to, code) in [
        ("id = \"CENT2\"", "id = \"CENT1\"", "CONF-0301"),
        ("id = \"L3\"", "id = \"L2\"", "CONF-0301"),
        (
            "to = [\"CENT1\", \"CENT2\"]",
            "to = [\"CENT1\", \"CENT3\"]",
            "CONF-0302",
        ),
        ("lanes = [\"L4\"]", "lanes = [\"L5\"]", "CONF-0302"),
        ("\"unread\", ", "", "CONF-0303"),
        ("kind = \"storage\"", "kind = \"recapper\"", "CONF-0303"),
        (
            "tests = [\"WBC\", \"RBC\", \"HGB\", \"PLT\"]",
            "",
            "CONF-0304",
        ),
        ("to = [\"RECAP1\", \"STORE1\"]", "to = [\"RECAP1\"]", ""),
        ("batch = 40 ", "batch = 90 ", "CONF-0307"),
        ("transit_min_s = 10", "transit_min_s = 40", "CONF-0308"),
        ("class = \"bypass\"", "class = \"by-pass\"", "CONF-0105"),
        ("CEN0007 = \"jam\"", "CEN0007 = \"jammed\"", "CONF-0105"),
        ("capacity = 5000", "capacity = -1", "CONF-0106"),
        ("switch_percent", "switch_percents", "CONF-0107"),
        ("kind = \"decapper\"", "", "CONF-0103"),
    ] {
        assert!(EXAMPLE.contains(from), "{from}");
        let found = codes(&EXAMPLE.replacen(from, to, 1));
        let is_told = if code.is_empty() {
            found.is_empty()
        } else {
            found.contains(&code)
        };
        assert!(is_told, "{to}: {found:?}");
    }
}

#[test]
fn a_module_without_a_way_to_it_or_from_it_is_told() {
    let lonely = format!("{EXAMPLE}\n[[module]]\nid = \"X1\"\nkind = \"aliquoter\"\n");
    assert_eq!(codes(&lonely), ["CONF-0305", "CONF-0306"]);
    assert!(codes("").contains(&"CONF-0303"));
    assert!(codes("[[module]\n").contains(&"CONF-0101"));
}

#[test]
fn ways_are_the_shortest_and_no_tube_is_faster() {
    let line = example();
    let [inlet, centrifuge, decapper, store] =
        ["IN1", "CENT1", "DECAP1", "STORE1"].map(|n| at(&line, n));
    assert_eq!(line.transit_ms(inlet, centrifuge), Some(30_000));
    assert_eq!(line.transit_ms(inlet, store), Some(100_000));
    assert_eq!(line.transit_ms(store, inlet), None);
    assert_eq!(line.apart_ms(inlet, centrifuge), 10_000);
    // By hand in any direction.
    assert_eq!(line.apart_ms(store, inlet), 20_000);
    assert_eq!(line.apart_ms(inlet, inlet), 0);
    assert_eq!(line.first_edges(inlet, centrifuge).count(), 2);
    assert_eq!(line.feeds(centrifuge), [decapper]);
    assert!(line.feeds(decapper).is_empty());
}
