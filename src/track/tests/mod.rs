//! Tests of the whole module: its files, its books, its advice, its mornings.

mod advice;
mod books;
mod chapter13;
mod files;
mod morning;
mod queues;

use std::sync::{Arc, LazyLock};

use super::{
    Time, TubeId,
    model::{Condition, Line, ModuleNo},
    state::{Event, Track, What},
};
use crate::config::problem::{Problems, render, source};

const EXAMPLE: &str = include_str!("../../../config/example/line.toml");

/// Reads a line; panics with what is wrong.
fn read(text: &str) -> Line {
    let mut problems = Problems::default();
    let line = Line::read(&source("line.toml", text), &mut problems);
    assert!(problems.is_empty(), "{}", render(&problems, false));
    line.unwrap()
}

fn example() -> Arc<Line> {
    static LINE: LazyLock<Arc<Line>> = LazyLock::new(|| Arc::new(read(EXAMPLE)));
    Arc::clone(&LINE)
}

/// The module of that name.
fn at(line: &Line, name: &str) -> ModuleNo {
    line.module_named(name).unwrap()
}

/// Books that are told things by name and second.
struct Bench {
    line: Arc<Line>,
    track: Track,
}

impl Bench {
    fn new() -> Self {
        let line = example();
        Self {
            track: Track::new(Arc::clone(&line)),
            line,
        }
    }

    fn at(&self, name: &str) -> ModuleNo {
        at(&self.line, name)
    }

    fn event(&self, second: u64, tube: &str, module: &str, what: What) -> Event {
        Event::Tube {
            tube: TubeId::new(tube),
            module: self.at(module),
            what,
            at: Time::from_s(second),
        }
    }

    fn tell(&mut self, second: u64, tube: &str, module: &str, what: What) {
        let event = self.event(second, tube, module, what);
        self.track.on_event(Time::from_s(second), event);
    }

    fn set(&mut self, second: u64, module: &str, condition: Condition) {
        let event = Event::Module {
            module: self.at(module),
            condition,
            at: Time::from_s(second),
        };
        self.track.on_event(Time::from_s(second), event);
    }

    fn left_for(&self, module: &str) -> What {
        What::Left {
            to: Some(self.at(module)),
            lane: self.line.lane_named("L2"),
        }
    }

    fn codes(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.track.poll())
            .map(|finding| finding.code())
            .collect()
    }
}

const SEEN: What = What::Seen { lane: None };
