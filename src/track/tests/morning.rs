//! Simulated mornings.

use super::example;
use crate::track::simulate::{Morning, Policy, simulate};

#[test]
fn show() {
    let line = example();
    for seed in 1..=3 {
        for policy in Policy::ALL {
            println!(
                "{seed} {policy:?} {:#?}",
                simulate(&line, Morning::of_seed(seed), policy)
            );
        }
    }
}
