//! What a node has to do about the others, as a value: who is dead, what to take, what to ask for.

use std::collections::{BTreeMap, BTreeSet};

use super::{FREE, GONE, Look, NodeRow, SILENT, micros};

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Shut this run out, for this reason.
    Fence(String, &'static str),
    /// Serve this unit, which nobody serves.
    Take(String),
    /// Ask its holder for this unit.
    Ask(String),
}

/// What `run`, which knows of `units`, has to do. With `may_judge` it may take others for dead.
///
/// Units stay where they are: a node takes what nobody serves while it has less than its share, and
/// asks for no more than what makes the shares equal.
pub fn plan(look: &Look, run: &str, units: &BTreeSet<String>, may_judge: bool) -> Vec<Act> {
    let mut acts = Vec::new();
    let mut live = Vec::new();
    for node in &look.nodes {
        match verdict(node, look.now) {
            Some(why) if may_judge && node.run != run => {
                acts.push(Act::Fence(node.run.clone(), why));
            }
            _ => live.push(node.run.as_str()),
        }
    }
    if !acts.is_empty() || !live.contains(&run) {
        return acts;
    }
    let mut held: BTreeMap<&str, usize> = live.iter().map(|run| (*run, 0)).collect();
    // What was asked for counts as if it had come.
    for lease in &look.leases {
        let to = lease.asked_by.as_deref().filter(|to| held.contains_key(to));
        if let Some(count) = to.or(lease.run.as_deref()).and_then(|to| held.get_mut(to)) {
            *count += 1;
        }
    }
    let total = units.len();
    let most = total.div_ceil(live.len());
    let mut own = held.get(run).copied().unwrap_or(0);
    let known = look.leases.iter().filter(|one| units.contains(&one.unit));
    let (free, taken): (Vec<_>, Vec<_>) = known.partition(|lease| lease.run.is_none());
    for lease in free {
        let is_left = look.now - lease.since >= micros(FREE);
        if own < most || is_left {
            own += 1;
            acts.push(Act::Take(lease.unit.clone()));
        }
    }
    for lease in taken.iter().rev().filter(|lease| lease.asked_by.is_none()) {
        let Some(holder) = lease.run.as_deref().filter(|holder| *holder != run) else {
            continue;
        };
        let theirs = held.get(holder).copied().unwrap_or(0);
        if own < total / live.len() && theirs > own + 1 {
            own += 1;
            held.insert(holder, theirs - 1);
            acts.push(Act::Ask(lease.unit.clone()));
        }
    }
    acts
}

/// Why a node is to be taken for dead.
fn verdict(node: &NodeRow, now: i64) -> Option<&'static str> {
    let unseen = now.saturating_sub(node.seen_at);
    if !node.is_present && unseen >= micros(GONE) {
        Some("its connection is gone")
    } else if unseen >= micros(SILENT) {
        Some("it fell silent")
    } else {
        None
    }
}
