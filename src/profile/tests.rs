//! Promises that hold for every profile.

use super::{BUILT_IN, Library, run_examples};
use crate::config::problem::render;

#[test]
fn every_built_in_profile_is_valid_and_meets_its_examples() {
    let (library, mut problems) = Library::load(None);
    for profile in library.iter() {
        problems.extend(run_examples(profile));
    }
    assert!(problems.is_empty(), "{}", render(&problems, false));
    assert_eq!(library.names().len(), BUILT_IN.len());
}
