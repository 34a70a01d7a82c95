//! A morning on a line, from a seed: tubes come with their peak, modules jam, fail and are mended,
//! and the books, the forecast and the advice are the ones that serve a real line.
//!
//! The same morning runs with the advice and without ([`Policy`]), so that what the advice gains is
//! a number and not a promise. The line of the simulation is simple where no data are at hand: a
//! queue has no end, a lane only slows down, tests of a tube all take the rate of their analyzer.

mod morning;
mod policy;
mod random;
mod score;
mod world;

use std::sync::Arc;

pub use self::{
    morning::Morning,
    policy::Policy,
    score::{ForecastScore, Outcome, Spread},
};
use super::model::Line;

/// Runs a morning.
pub fn simulate(line: &Arc<Line>, morning: Morning, policy: Policy) -> Outcome {
    world::World::new(line, morning, policy).run()
}
