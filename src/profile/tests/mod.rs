//! Promises that hold for every profile.

mod answers;
mod bci;
mod beckman_au;
mod blood;
mod captures;
mod codes;
mod controls;
mod decoding;
mod dimension;
mod files;
mod hostile;
mod images;
mod poct1a;
mod suspect;
mod sysmex_legacy;

use std::sync::Arc;

use super::{
    BUILT_IN, Decoded, Library, LineProfile, LineSettings, Profile, decode, load, run_examples,
};
use crate::{
    config::problem::render,
    model::{Item, Observation},
};

/// A built-in profile.
pub(super) fn profile(name: &str) -> Arc<Profile> {
    let text = BUILT_IN
        .iter()
        .find(|(own, _)| *own == name)
        .expect("a built-in name")
        .1;
    let (profile, problems) = load(name, text);
    Arc::new(profile.unwrap_or_else(|| panic!("{}", render(&problems, false))))
}

/// A built-in profile on a line without settings.
fn line(name: &str) -> LineProfile {
    profile(name).for_line(LineSettings {
        line: "line-1".to_owned(),
        ..LineSettings::default()
    })
}

/// A profile from text, on a line without settings.
fn line_of(text: &str) -> LineProfile {
    let (profile, problems) = load("test/profile", text);
    let profile = profile.unwrap_or_else(|| panic!("{}", render(&problems, false)));
    Arc::new(profile).for_line(LineSettings {
        line: "line-1".to_owned(),
        ..Default::default()
    })
}

fn observations(decoded: &Decoded) -> Vec<&Observation> {
    let items = decoded.items.iter();
    items
        .filter_map(|item| match item {
            Item::Observation(observation) => Some(observation.as_ref()),
            Item::Image(_) | Item::Query(_) | Item::Device(_) | Item::Incomplete(_) => None,
        })
        .collect()
}

fn decode_text(line: &LineProfile, text: &str) -> Decoded {
    decode(line, None, text.as_bytes(), true)
}

#[test]
fn every_built_in_profile_is_valid_and_meets_its_examples() {
    let (library, mut problems) = Library::load(None);
    for profile in library.iter() {
        problems.extend(run_examples(profile));
    }
    assert!(problems.is_empty(), "{}", render(&problems, false));
    assert_eq!(library.names().len(), BUILT_IN.len());
}
