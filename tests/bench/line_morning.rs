//! Mornings on the automation line, with and without the routing advice.
//!
//! ```text
//! cargo run --release --example line-morning                    ten mornings on the example line
//! cargo run --release --example line-morning -- 7 8             those seeds
//! cargo run --release --example line-morning -- --calm          mornings on which nothing fails
//! cargo run --release --example line-morning -- --line my.toml  another line
//! ```
//!
//! Times are those of the simulated morning: the same on every machine.

use std::{
    fs,
    io::{Write as _, stdout},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use labwire::{
    config::problem::{Problems, render, source},
    track::{
        model::Line,
        simulate::{Morning, Outcome, Policy, Spread, simulate},
    },
};

const EXAMPLE: &str = include_str!("../../config/example/line.toml");
/// The constants of the forecast were chosen on seeds 1 to 10; these are others.
const SEEDS: std::ops::RangeInclusive<u64> = 11..=20;

fn main() -> anyhow::Result<()> {
    let mut name = "config/example/line.toml".to_owned();
    let mut text = EXAMPLE.to_owned();
    let mut seeds = Vec::new();
    let mut has_faults = true;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--line" {
            name = arguments.next().context("--line wants a file")?;
            text = fs::read_to_string(&name).with_context(|| format!("read {name}"))?;
        } else if argument == "--calm" {
            has_faults = false;
        } else {
            let seed = argument.parse();
            seeds.push(seed.with_context(|| format!("`{argument}` is no seed"))?);
        }
    }
    if seeds.is_empty() {
        seeds.extend(SEEDS);
    }
    let mut problems = Problems::default();
    let Some(line) = Line::read(&source(&name, text), &mut problems) else {
        bail!("{}", render(&problems, false));
    };
    let line = Arc::new(line);
    let mut out = stdout().lock();
    writeln!(
        out,
        "{}: mornings of 1,200 tubes, seeds {seeds:?}\n",
        line.name
    )?;
    writeln!(
        out,
        "| seed | without: first analyzer, longest lane queue, mean wait | round robin | with the advice |"
    )?;
    writeln!(out, "|---|---|---|---|")?;
    let mut all: Vec<(Policy, Vec<Outcome>)> =
        Policy::ALL.map(|policy| (policy, Vec::new())).into();
    for &seed in &seeds {
        let morning = Morning {
            has_faults,
            ..Morning::of_seed(seed)
        };
        write!(out, "| {seed} |")?;
        for (policy, outcomes) in &mut all {
            let outcome = simulate(&line, morning, *policy);
            let (queue, wait) = (outcome.longest_lane_queue, outcome.wait.mean);
            write!(out, " {queue} ({}), {wait:.0} s |", outcome.longest_at)?;
            outcomes.push(outcome);
        }
        writeln!(out)?;
        out.flush()?;
    }
    writeln!(
        out,
        "\nMean over the seeds ± standard deviation between them:\n"
    )?;
    table(&mut out, &all)?;
    Ok(())
}

/// One figure of an outcome.
type Figure = fn(&Outcome) -> f64;
/// A figure that was measured several times in one.
type Figures = fn(&Outcome) -> Spread;

/// What is shown of an outcome.
const ROWS: &[(&str, Figure)] = &[
    ("longest lane queue, tubes", |o| {
        f64::from(o.longest_lane_queue)
    }),
    ("longest queue of a module, tubes", |o| {
        f64::from(o.longest_module_queue)
    }),
    ("mean wait, s", |o| o.wait.mean),
    ("95th percentile of the wait, s", |o| o.wait.p95),
    ("STAT: mean wait, s", |o| o.stat_wait.mean),
    ("STAT: 95th percentile of the wait, s", |o| o.stat_wait.p95),
    ("arrival to last test, mean, s", |o| o.turnaround.mean),
    ("STAT: arrival to last test, mean, s", |o| {
        o.stat_turnaround.mean
    }),
    ("STAT: arrival to last test, 95th percentile, s", |o| {
        o.stat_turnaround.p95
    }),
    ("tubes in storage", |o| f64::from(o.stored)),
    ("tubes in outlets", |o| {
        f64::from(o.outlets.values().sum::<u32>())
    }),
    ("advices changed on the way", |o| f64::from(o.changed)),
    ("queues over their limit", |o| {
        f64::from(o.forecast.excesses)
    }),
    ("… announced before", |o| f64::from(o.forecast.announced)),
    ("announcements without an excess", |o| {
        f64::from(o.forecast.mistaken)
    }),
];

fn table(out: &mut impl std::io::Write, all: &[(Policy, Vec<Outcome>)]) -> std::io::Result<()> {
    write!(out, "| |")?;
    for (policy, _) in all {
        write!(out, " {} |", policy.name())?;
    }
    writeln!(out, "\n|---|---|---|---|")?;
    for (what, figure) in ROWS {
        write!(out, "| {what} |")?;
        for (_, outcomes) in all {
            let figures: Vec<f64> = outcomes.iter().map(figure).collect();
            let (mean, spread) = mean_and_spread(&figures);
            write!(out, " {mean:.1} ± {spread:.1} |")?;
        }
        writeln!(out)?;
    }
    let forecasts: [(&str, Figures); 2] = [
        ("mean time from announcement to excess, s", |o| {
            o.forecast.lead
        }),
        ("mean error of the time foretold, s", |o| o.forecast.error),
    ];
    for (what, figure) in forecasts {
        write!(out, "| {what} |")?;
        for (_, outcomes) in all {
            let (count, sum) = outcomes
                .iter()
                .map(figure)
                .fold((0.0, 0.0), |(count, sum), of| {
                    let weight = f64::from(of.count);
                    (count + weight, sum + weight * of.mean)
                });
            write!(out, " {:.0} (of {count:.0}) |", sum / f64::max(count, 1.0))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn mean_and_spread(figures: &[f64]) -> (f64, f64) {
    let count = f64::from(u32::try_from(figures.len()).unwrap_or(u32::MAX)).max(1.0);
    let mean = figures.iter().sum::<f64>() / count;
    let squares: f64 = figures.iter().map(|figure| (figure - mean).powi(2)).sum();
    (mean, (squares / f64::max(count - 1.0, 1.0)).sqrt())
}
