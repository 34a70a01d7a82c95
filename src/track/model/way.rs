//! Shortest ways between all modules, found once.

use super::{Edge, ModuleNo};

/// Shortest times between modules.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    modules: usize,
    usual: Vec<Option<u64>>,
    least: Vec<Option<u64>>,
}

impl Ways {
    /// Of a line with so many modules.
    pub(super) fn new(modules: usize, edges: &[Edge]) -> Self {
        Self {
            modules,
            usual: shortest(modules, edges, |edge| edge.transit_ms),
            least: shortest(modules, edges, |edge| edge.transit_min_ms),
        }
    }

    pub(super) fn usual(&self, from: ModuleNo, to: ModuleNo) -> Option<u64> {
        self.usual
            .get(from.0 * self.modules + to.0)
            .copied()
            .flatten()
    }

    pub(super) fn least(&self, from: ModuleNo, to: ModuleNo) -> Option<u64> {
        self.least
            .get(from.0 * self.modules + to.0)
            .copied()
            .flatten()
    }
}

/// Floyd and Warshall: a line has some dozens of modules.
fn shortest(modules: usize, edges: &[Edge], cost: impl Fn(&Edge) -> u64) -> Vec<Option<u64>> {
    let mut times: Vec<Option<u64>> = vec![None; modules * modules];
    for module in 0..modules {
        times[module * modules + module] = Some(0);
    }
    for edge in edges {
        let slot = &mut times[edge.from.0 * modules + edge.to.0];
        *slot = Some(slot.map_or(cost(edge), |known| known.min(cost(edge))));
    }
    for via in 0..modules {
        for from in 0..modules {
            let Some(first) = times[from * modules + via] else {
                continue;
            };
            for to in 0..modules {
                let Some(second) = times[via * modules + to] else {
                    continue;
                };
                let over = first.saturating_add(second);
                let slot = &mut times[from * modules + to];
                *slot = Some(slot.map_or(over, |known| known.min(over)));
            }
        }
    }
    times
}
