//! What is shown, in which order.

use super::*;

fn list(lab: &Lab, after: Option<String>, count_max: usize) -> Page {
    part(lab, Part::All, after, count_max)
}

fn part(lab: &Lab, part: Part, after: Option<String>, count_max: usize) -> Page {
    let (site, now) = (Arc::clone(&lab.site), lab.now);
    lab.work(move |db| {
        let asked = Waiting {
            site: &site,
            now,
            targets: Targets::default(),
            language: crate::text::Language::En,
            role: Role::Technician,
            after: after.as_deref(),
            count_max,
            with_kept: false,
            part,
        };
        waiting(db, &asked)
    })
}

/// What an entry is, in a word.
fn name(entry: &Entry) -> String {
    match &entry.subject {
        Subject::Result(one) => format!("r{}", one.id),
        Subject::Message { id, .. } => format!("m{id}"),
        Subject::Queue(one) => format!("q{}", one.id),
        Subject::Late(one) => format!("o{}", one.item),
    }
}

fn names(page: &Page) -> String {
    let names: Vec<String> = page.entries.iter().map(name).collect();
    names.join(" ")
}

#[test]
fn critical_comes_before_stat_before_late_before_old() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.order_at("P2", "T2", "MRN2", &["WBC"], Priority::Stat);
    lab.order("P3", "T3", "MRN3", &["WBC"]);
    lab.measure("T9", ("WBC", "6.0", "10*9/L", "N"));
    lab.measure("T2", ("WBC", "6.1", "10*9/L", "!"));
    lab.measure("T3", ("WBC", "31", "10*9/L", "!"));
    assert_eq!(names(&list(&lab, None, 10)), "r3 r2 r1");
    // Routine is due after four hours, STAT after one.
    lab.now = MORNING + 239 * 60 * SECOND;
    lab.order("P4", "T4", "MRN4", &["WBC"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "!"));
    lab.measure("T4", ("WBC", "6.4", "10*9/L", "!"));
    assert_eq!(names(&list(&lab, None, 10)), "r3 o2 r2 r4 r1 r5");
}

#[test]
fn the_list_is_paged_without_losing_or_repeating_an_entry() {
    let mut lab = Lab::new();
    for value in 1..=7 {
        lab.measure("T9", ("WBC", &value.to_string(), "10*9/L", "N"));
    }
    let whole = names(&list(&lab, None, 100));
    let (mut after, mut parts) = (None, Vec::new());
    loop {
        let page = list(&lab, after, 3);
        parts.push(names(&page));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(parts.len(), 3);
    assert_eq!(parts.join(" "), whole);
}

#[test]
fn an_entry_says_why_what_was_before_and_what_may_be_done() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T1", ("WBC", "5.5", "10*9/L", "N"));
    lab.order("P2", "T2", "MRN1", &["WBC", "ABO"]);
    lab.measure("T2", ("WBC", "6.4", "10*9/L", "!"));
    lab.measure("T2", ("ABO", "O", "", "N"));
    let page = list(&lab, None, 10);
    let Subject::Result(suspect) = &page.entries[0].subject else {
        panic!("{page:?}");
    };
    assert_eq!(page.entries[0].reasons[0].title, "Suspect");
    assert_eq!(page.entries[0].reasons[0].detail, "!");
    assert_eq!(suspect.previous.len(), 1);
    assert_eq!(suspect.previous[0].text.expose(), "5.5");
    assert_eq!(suspect.acts, ["release", "set-aside", "rerun"]);
    let Subject::Result(group) = &page.entries[1].subject else {
        panic!("{page:?}");
    };
    assert_eq!(
        group.acts,
        ["set-aside", "rerun"],
        "a technician is no verifier"
    );
    assert!(
        !format!("{page:?}").contains("6.4"),
        "values do not reach a log"
    );
}

#[test]
fn messages_and_refusals_wait_too_and_are_counted() {
    let mut lab = Lab::new();
    let message = lab.journal("xn-1", "garbage");
    lab.work(move |db| journal::mark(db, message, MessageState::Held, Some("{}")));
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T1", ("WBC", "5.5", "10*9/L", "N"));
    lab.measure("T1", ("HGB", "131", "g/L", "N"));
    lab.measure("T9", ("HGB", "132", "g/L", "N"));
    let now = lab.now;
    lab.work(move |db| {
        let terms = LeaseTerms {
            destination: "host:his",
            owner: "worker",
            now,
            until: now + DAY,
            count_max: 1,
            more_urgent_than: LeaseTerms::ANY_PRIORITY,
        };
        let row = queue::lease(db, &terms, &mut Texts)?.remove(0);
        let verdict = Verdict::Refused {
            reason: "unknown patient".to_owned(),
            answer: "AR".to_owned(),
        };
        queue::settle_attempt(db, row.id, "worker", &verdict, Backoff::default(), now)
    });
    let counted = lab.work(counts);
    let expected = Counts {
        held: 0,
        waiting: 1,
        messages: 1,
        refused: 1,
        held_since: None,
        waiting_since: Some(now - SECOND),
    };
    assert_eq!(counted.to_decide(), 2);
    assert_eq!(counted, expected);
    let page = list(&lab, None, 10);
    assert_eq!(names(&page), "m1 r3 q1");
    assert_eq!(page.left_off, 0);
}

#[test]
fn critical_limits_are_those_of_the_patients_age() {
    let site = site("");
    let test = site.laboratory.catalogue.as_ref().expect("a catalogue");
    let test = test.test("HGB").expect("it is there");
    let day = jiff::civil::date(2026, 3, 10);
    let low = |birth: Option<jiff::civil::Date>| {
        let limits = test.critical_of(None, birth, day);
        limits.low.map(|low| low.to_string())
    };
    assert_eq!(
        low(Some(jiff::civil::date(2025, 12, 1))).as_deref(),
        Some("100")
    );
    assert_eq!(
        low(Some(jiff::civil::date(1980, 3, 12))).as_deref(),
        Some("70")
    );
    assert_eq!(low(None).as_deref(), Some("70"));
}

#[test]
fn every_part_of_the_list_is_as_long_as_its_count() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC", "HGB"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "!"));
    lab.measure("T9", ("WBC", "6.5", "10*9/L", "N"));
    lab.now = MORNING + 300 * 60 * SECOND;
    let counted = lab.work(counts);
    assert_eq!((counted.to_decide(), counted.waiting), (1, 1));
    assert_eq!(counted.held_since, Some(MORNING));
    let of = |own| {
        let page = part(&lab, own, None, 10);
        (names(&page), page.total)
    };
    assert_eq!(of(Part::Decide), ("r1".to_owned(), 1));
    assert_eq!(of(Part::Unordered), ("r2".to_owned(), 1));
    assert_eq!(of(Part::Late).1, 1);
    assert_eq!(of(Part::All).1, 3);
    assert_eq!(
        part(&lab, Part::All, None, 1).total,
        3,
        "of the list, not of the page"
    );
}

crate::on_postgres_too! {
    critical_comes_before_stat_before_late_before_old
    the_list_is_paged_without_losing_or_repeating_an_entry
    an_entry_says_why_what_was_before_and_what_may_be_done
    messages_and_refusals_wait_too_and_are_counted
    critical_limits_are_those_of_the_patients_age
    every_part_of_the_list_is_as_long_as_its_count
}
