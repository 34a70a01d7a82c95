//! Reads `[[test]]` and `[[panel]]`.

use std::sync::Arc;

use miette::NamedSource;
use rust_decimal::Decimal;

use super::{
    Age, Catalogue, Delta, HisCode, Limits, Name, Panel, ReferenceRange, Test, check,
    range::RangeSex, transfusion,
};
use crate::config::{
    choice::Index,
    problem::Problems,
    read::{At, File, Table},
};

/// Reads and checks a whole catalogue.
pub(super) fn catalogue(source: &Arc<NamedSource<String>>, problems: &mut Problems) -> Catalogue {
    File::read(source, problems, |root| {
        let mut catalogue = Catalogue {
            tests: root.tables("test").iter().filter_map(test).collect(),
            panels: root.tables("panel").iter().filter_map(panel).collect(),
            source: Some(Arc::clone(source)),
            ..Catalogue::default()
        };
        check::index(&mut catalogue, root.file());
        check::tests(&catalogue, root.file());
        check::panels(&mut catalogue, root.file());
        catalogue
    })
}

fn test(table: &Table<'_>) -> Option<Test> {
    let id = table.required_text("id", "GLU");
    let test = Test {
        id: id.clone().unwrap_or_default(),
        name: name(table),
        section: table.text_or("section", "").value,
        class: table.choice("class").value,
        specimen: texts(table, "specimen"),
        unit: table.text("unit").filter(|unit| !unit.is_empty()),
        decimals: table
            .value("decimals")
            .map(|_| table.whole("decimals", 0, 0..=6).value),
        loinc: table.text("loinc").filter(|code| !code.is_empty()),
        his: his(table),
        ma_dich_vu: table.text_or("ma_dich_vu", "").value,
        ma_chi_so: table.text_or("ma_chi_so", "").value,
        ranges: table.tables("ranges").iter().map(range).collect(),
        critical: critical(table),
        delta: table.table("delta").map(|table| delta(&table)),
        haemolysis_limit: haemolysis_limit(table),
        coded: table.pairs("coded"),
        blood: transfusion::read(table),
    };
    id.map(|_| test)
}

/// `index = "haemolysis"` and its limit: which station sends haemolysed tubes is counted by it.
fn haemolysis_limit(table: &Table<'_>) -> Option<Decimal> {
    let limit = table.decimal("index_limit");
    table.value("index")?;
    // The only word there is; another is told as every wrong word is.
    let _: At<Index> = table.choice("index");
    if limit.is_none() {
        table.missing("index_limit", "50");
    }
    limit.map(|limit| limit.value)
}

fn panel(table: &Table<'_>) -> Option<Panel> {
    let id = table.required_text("id", "CBC");
    let panel = Panel {
        id: id.clone().unwrap_or_default(),
        name: name(table),
        his: his(table),
        loinc: table.text("loinc").filter(|code| !code.is_empty()),
        ma_dich_vu: table.text_or("ma_dich_vu", "").value,
        tests: table.texts("tests").unwrap_or_default(),
        members: Vec::new(),
    };
    if panel.tests.is_empty() {
        table.missing("tests", "GLU");
    }
    id.map(|_| panel)
}

/// `name = "…"` in both languages alike, or `name = { vi = "…", en = "…" }`.
fn name(table: &Table<'_>) -> Name {
    let Some(value) = table.value("name") else {
        return Name::default();
    };
    if value.get_ref().is_str() {
        let both = table.text_or("name", "").value;
        return Name {
            vi: both.clone(),
            en: both,
        };
    }
    let Some(names) = table.table("name") else {
        return Name::default();
    };
    Name {
        vi: names.text_or("vi", "").value,
        en: names.text_or("en", "").value,
    }
}

fn texts(table: &Table<'_>, key: &'static str) -> Vec<String> {
    table
        .texts(key)
        .unwrap_or_default()
        .into_iter()
        .map(|text| text.value)
        .collect()
}

/// `his = "…"`, `his = ["…"]`, or `his = { host = "…" }`.
fn his(table: &Table<'_>) -> Vec<HisCode> {
    let Some(value) = table.value("his") else {
        return Vec::new();
    };
    if !value.get_ref().is_table() {
        let codes = table.texts("his").unwrap_or_default();
        return codes
            .into_iter()
            .map(|code| HisCode { host: None, code })
            .collect();
    }
    let Some(hosts) = table.table("his") else {
        return Vec::new();
    };
    let entries = hosts.entries();
    entries
        .into_iter()
        .flat_map(|(host, value)| {
            let codes = hosts.as_texts(&host, value);
            codes.into_iter().map(move |code| HisCode {
                host: Some(host.clone()),
                code,
            })
        })
        .collect()
}

fn range(table: &Table<'_>) -> ReferenceRange {
    let sex: At<RangeSex> = table.choice("sex");
    ReferenceRange {
        sex: sex.value,
        from: age(table, "from"),
        below: age(table, "below"),
        limits: limits(table),
        text: table.text_or("text", "").value,
    }
}

/// `critical = { low = 2.0 }` for everyone, or `[[test.critical]]` by sex and age.
fn critical(table: &Table<'_>) -> Vec<ReferenceRange> {
    let is_list = table
        .value("critical")
        .is_some_and(|value| value.get_ref().is_array());
    if is_list {
        return table.tables("critical").iter().map(range).collect();
    }
    let for_all = table.table("critical").map(|one| ReferenceRange {
        sex: RangeSex::Any,
        from: None,
        below: None,
        limits: limits(&one),
        text: String::new(),
    });
    for_all.into_iter().collect()
}

fn age(table: &Table<'_>, key: &'static str) -> Option<Age> {
    let text = table.text(key)?;
    let age = text.parse().ok();
    if age.is_none() {
        table.file().error(
            "CONF-0108",
            text.span.clone(),
            format!("`{}` is no age", *text),
            "not a number and d, w, m or y",
            "write days as \"28d\", weeks \"6w\", months \"3m\", years \"18y\"",
        );
    }
    age
}

fn limits(table: &Table<'_>) -> Limits {
    let (low, high) = (table.decimal("low"), table.decimal("high"));
    if let (Some(low), Some(high)) = (&low, &high)
        && low.value > high.value
    {
        table.file().error(
            "CONF-0308",
            low.span.clone(),
            format!("the lower limit {low} is above the upper limit {high}"),
            "above `high`",
            "exchange the two, or mend the one that is mistyped",
        );
    }
    Limits {
        low: low.map(|at| at.value),
        high: high.map(|at| at.value),
    }
}

fn delta(table: &Table<'_>) -> Delta {
    let delta = Delta {
        percent: table.decimal("percent").map(|at| at.value),
        absolute: table.decimal("absolute").map(|at| at.value),
        hours: table.whole("hours", 72, 1..=8760).value,
    };
    if delta.percent.is_none() && delta.absolute.is_none() {
        table.missing("percent", "50");
    }
    delta
}
