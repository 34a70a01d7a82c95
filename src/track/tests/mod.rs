//! Tests of the whole module: its files, its books, its advice, its mornings.

mod morning;

use std::sync::Arc;

use super::model::Line;
use crate::config::problem::{Problems, render, source};

/// Reads a line; panics with what is wrong.
fn read(text: &str) -> Line {
    let mut problems = Problems::default();
    let line = Line::read(&source("line.toml", text), &mut problems);
    assert!(problems.is_empty(), "{}", render(&problems, false));
    line.unwrap()
}

fn example() -> Arc<Line> {
    Arc::new(read(include_str!("../../../config/example/line.toml")))
}
