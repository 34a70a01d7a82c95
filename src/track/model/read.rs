//! Reading the file of a line.

use std::{collections::BTreeMap, sync::Arc};

use miette::NamedSource;

use super::{
    Condition, Edge, Kind, Lane, LaneNo, Limits, Line, Module, ModuleNo, Reason, Routing, Want,
    check, way::Ways,
};
use crate::config::{
    choice::Choice,
    did_you_mean, one_of,
    problem::Problems,
    read::{At, File, Table},
};

/// A line while it is read: what it says and where.
pub(super) struct Written {
    pub(super) line: Line,
    /// The id of each module.
    pub(super) modules: Vec<At<String>>,
    /// The id of each lane.
    pub(super) lanes: Vec<At<String>>,
}

impl Line {
    /// Reads the file of a line and checks it; every mistake is added to `problems`. There is a line
    /// only when no mistake forbids it.
    pub fn read(source: &Arc<NamedSource<String>>, problems: &mut Problems) -> Option<Self> {
        let mut own = Problems::default();
        let line = File::read(source, &mut own, |root| {
            let written = written(root);
            check::check(&written, root.file());
            written.line
        });
        let is_usable = !own.has_errors();
        problems.extend(own);
        is_usable.then_some(line)
    }
}

fn written(root: &Table<'_>) -> Written {
    let lane_tables = root.tables("lane");
    let module_tables = root.tables("module");
    let lane_ids: Vec<_> = lane_tables.iter().map(|table| id(table, "L1")).collect();
    let module_ids: Vec<_> = module_tables.iter().map(|table| id(table, "IN1")).collect();
    let names = Names {
        modules: module_ids.iter().map(|id| id.value.as_str()).collect(),
        lanes: lane_ids.iter().map(|id| id.value.as_str()).collect(),
    };
    let edges: Vec<Edge> = root
        .tables("edge")
        .iter()
        .flat_map(|table| edges(table, &names))
        .collect();
    let about = root.table("line");
    let modules: Vec<Module> = module_tables
        .iter()
        .zip(&module_ids)
        .map(|(table, id)| module(table, id))
        .collect();
    let line = Line {
        name: about
            .as_ref()
            .map(|table| table.text_or("name", "").value)
            .unwrap_or_default(),
        limits: limits(about.as_ref()),
        routing: routing(root.table("routing").as_ref()),
        lanes: lane_tables
            .iter()
            .zip(&lane_ids)
            .map(|(table, id)| lane(table, id))
            .collect(),
        ways: Ways::new(modules.len(), &edges),
        modules,
        edges,
        notify: notify(root),
    };
    Written {
        line,
        modules: module_ids,
        lanes: lane_ids,
    }
}

fn id(table: &Table<'_>, example: &str) -> At<String> {
    table.required_text("id", example).unwrap_or_default()
}

const HOUR_S: u32 = 3_600;

fn seconds(table: &Table<'_>, key: &'static str, default: u32) -> u64 {
    u64::from(table.whole(key, default, 0..=24 * HOUR_S).value) * 1_000
}

fn limits(table: Option<&Table<'_>>) -> Limits {
    let whole = |key, default, most| {
        table.map_or(default, |table| table.whole(key, default, 1..=most).value)
    };
    Limits {
        // Four mornings of a large hospital; some hundred bytes and its steps each.
        tubes_max: usize::try_from(whole("tubes_max", 20_000, 1_000_000)).unwrap_or(usize::MAX),
        forget_after_ms: u64::from(whole("forget_after_h", 24, 24 * 14)) * super::HOUR_MS,
        by_hand_ms: u64::from(whole("by_hand_s", 20, HOUR_S)) * 1_000,
        overdue_percent: u64::from(whole("overdue_percent", 300, 10_000)),
        commands: table
            .map(|table| table.choice("commands").value)
            .unwrap_or_default(),
    }
}

fn routing(table: Option<&Table<'_>>) -> Routing {
    let span = |key, default: u32| {
        table.map_or(u64::from(default) * 1_000, |table| {
            seconds(table, key, default)
        })
    };
    Routing {
        switch_ms: span("switch_s", 45),
        switch_percent: table.map_or(20, |table| {
            u64::from(table.whole("switch_percent", 20, 0..=100).value)
        }),
        qc_due_ms: span("qc_due_s", 300),
        jam_ms: span("jam_s", 300),
        wait_max_ms: span("wait_max_s", 600),
    }
}

fn notify(root: &Table<'_>) -> BTreeMap<String, Condition> {
    let mut found = BTreeMap::new();
    let Some(table) = root.table("notify") else {
        return found;
    };
    for (code, value) in table.entries() {
        let [word] = &table.as_texts("notify", value)[..] else {
            continue;
        };
        if let Some(condition) = word_of(&table, "notify", word) {
            found.insert(code.value, condition);
        }
    }
    found
}

/// One of a few words, told with its place when it is not.
fn word_of<E: Choice>(table: &Table<'_>, key: &str, word: &At<String>) -> Option<E> {
    let known = E::from_word(word);
    if known.is_none() {
        let words: Vec<&str> = E::ALL.iter().map(|value| value.word()).collect();
        let help = match did_you_mean(word, &words) {
            Some(meant) => format!("did you mean `{meant}`? `{key}` is {}", one_of(&words)),
            None => format!("`{key}` is {}", one_of(&words)),
        };
        let message = format!("`{}` is no value of `{key}`", word.value);
        let file = table.file();
        file.error(
            "CONF-0105",
            word.span.clone(),
            message,
            "not one of the values",
            help,
        );
    }
    known
}

fn lane(table: &Table<'_>, id: &At<String>) -> Lane {
    Lane {
        id: id.value.clone(),
        class: table.choice("class").value,
        direction: table.choice("direction").value,
        capacity: table.whole("capacity", 60, 1..=10_000).value,
    }
}

/// What a kind of module usually does: tubes an hour, batch, seconds inside, queue.
const fn usual(kind: Kind) -> (u32, u32, u32, u32) {
    match kind {
        Kind::Inlet => (1_200, 1, 3, 400),
        Kind::StatInlet => (600, 1, 3, 40),
        Kind::Tempus => (900, 1, 3, 60),
        // 40 tubes in 8 minutes are the 300 an hour that its maker names.
        Kind::Centrifuge => (300, 40, 480, 80),
        Kind::Decapper => (600, 1, 6, 60),
        Kind::Aliquoter => (150, 1, 30, 30),
        Kind::Analyzer => (240, 1, 60, 40),
        Kind::Recapper => (500, 1, 7, 40),
        Kind::Outlet => (1_200, 1, 3, 60),
        Kind::Storage => (800, 1, 5, 60),
    }
}

fn module(table: &Table<'_>, id: &At<String>) -> Module {
    let kind: At<Kind> = table.choice("kind");
    if !kind.is_written() {
        table.missing("kind", "centrifuge");
    }
    let (rate, batch, dwell_s, queue) = usual(kind.value);
    let takes = table.texts("takes").unwrap_or_default();
    let capacity = table.whole("capacity", 0, 0..=1_000_000).value;
    let also = table.texts("also").unwrap_or_default();
    let tests = table.texts("tests").unwrap_or_default();
    let wants = table.texts("wants").unwrap_or_default();
    Module {
        id: id.value.clone(),
        also: also.into_iter().map(|name| name.value).collect(),
        kind: kind.value,
        rate_per_hour: table.whole("rate_per_hour", rate, 1..=100_000).value,
        batch: table.whole("batch", batch, 1..=1_000).value,
        batch_wait_ms: seconds(table, "batch_wait_s", 240),
        stat_wait_ms: seconds(table, "stat_wait_s", 60),
        dwell_ms: seconds(table, "dwell_s", dwell_s),
        queue_max: table.whole("queue_max", queue, 1..=100_000).value,
        capacity: (capacity > 0).then_some(capacity),
        tests: tests.into_iter().map(|test| test.value).collect(),
        takes: takes
            .iter()
            .filter_map(|word| word_of::<Reason>(table, "takes", word))
            .collect(),
        instrument: table.text_or("instrument", "").value,
        fed_by_hand: table.yes("fed_by_hand"),
        wants: wants
            .iter()
            .filter_map(|word| word_of::<Want>(table, "wants", word))
            .collect(),
    }
}

/// The names that an edge may use.
struct Names<'a> {
    modules: Vec<&'a str>,
    lanes: Vec<&'a str>,
}

/// One `[[edge]]` is every way from one of `from` to one of `to` on one of `lanes`.
fn edges(table: &Table<'_>, names: &Names<'_>) -> Vec<Edge> {
    let from = places(table, "from", "IN1", &names.modules);
    let to = places(table, "to", "CENT1", &names.modules);
    let lanes = places(table, "lanes", "L1", &names.lanes);
    let transit_ms = seconds(table, "transit_s", 30);
    let least = u32::try_from(transit_ms / 2_000).unwrap_or(u32::MAX);
    let transit_min_ms = seconds(table, "transit_min_s", least);
    if transit_min_ms > transit_ms {
        table.file().error(
            "CONF-0308",
            table.span(),
            "an [[edge]] is usually faster than it can be",
            "`transit_min_s` is more than `transit_s`",
            "`transit_min_s` is the shortest time that is possible",
        );
    }
    let mut found = Vec::new();
    for &from in &from {
        for &to in to.iter().filter(|to| **to != from) {
            for &lane in &lanes {
                found.push(Edge {
                    from: ModuleNo(from),
                    to: ModuleNo(to),
                    lane: LaneNo(lane),
                    transit_ms,
                    transit_min_ms,
                });
            }
        }
    }
    found
}

fn places(table: &Table<'_>, key: &'static str, example: &str, known: &[&str]) -> Vec<usize> {
    let Some(written) = table.texts(key) else {
        table.missing(key, example);
        return Vec::new();
    };
    let mut found = Vec::new();
    for name in written {
        if let Some(at) = known.iter().position(|known| *known == *name) {
            found.push(at);
            continue;
        }
        let help = match did_you_mean(&name, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("`{key}` is of {}", one_of(known)),
        };
        let message = format!("`{}` is nothing that `{key}` can name", name.value);
        let file = table.file();
        file.error(
            "CONF-0302",
            name.span,
            message,
            "not a name of this file",
            help,
        );
    }
    found
}
