//! Files that people write, units, and devices that nobody knows yet.

use std::{io, path::Path, sync::Arc};

use labwire::{
    config::{
        Catalogue, LabConfig, Problems, Seams, render,
        ucum::{Relation, Unit},
    },
    learn::Learner,
    profile,
};
use miette::NamedSource;

use super::laboratory;
use crate::targets::feed::{self, Feed};

/// Problems lie in the file, and can be shown.
fn shown(problems: &Problems, length: usize) {
    for problem in problems.iter() {
        assert!(!problem.code.is_empty() && !problem.message.is_empty());
        if let Some(span) = &problem.span {
            assert!(span.start <= span.end && span.end <= length, "{problem:?}");
        }
    }
    assert_eq!(render(problems, false).is_empty(), problems.is_empty());
}

pub(crate) fn lab_file(data: &[u8]) {
    let text = feed::text(data).into_owned();
    let length = text.len();
    let source = Arc::new(NamedSource::new("lab.toml", text));
    let nothing = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let seams = Seams {
        read: &nothing,
        profiles: Some(vec!["sysmex/xn".to_owned()]),
        ..Seams::default()
    };
    let mut problems = Problems::default();
    let lab = LabConfig::read(&source, &seams, &mut problems);
    shown(&problems, length);
    for host in &lab.hosts {
        std::hint::black_box(host.barcode_path());
    }
    std::hint::black_box(lab.lab.zone());
}

pub(crate) fn catalogue_file(data: &[u8]) {
    let text = feed::text(data).into_owned();
    let length = text.len();
    let source = Arc::new(NamedSource::new("catalogue.toml", text));
    let mut problems = Problems::default();
    let catalogue = Catalogue::read(&source, &mut problems);
    shown(&problems, length);
    for test in catalogue.tests() {
        assert!(catalogue.test(&test.id).is_some());
        assert!(!catalogue.expand("his", test.his_code("his")).is_empty() || problems.has_errors());
    }
    for panel in catalogue.panels() {
        assert!(catalogue.panel(&panel.id).is_some());
        assert!(
            catalogue
                .members(panel)
                .all(|test| catalogue.test(&test.id).is_some())
        );
    }
}

pub(crate) fn ucum(data: &[u8]) {
    let text = feed::text(data);
    let (one, other) = text.split_once('\n').unwrap_or((&text, "g/L"));
    let Some(one) = Unit::parse(one) else { return };
    assert_eq!(one.relation(&one), Relation::Equal);
    std::hint::black_box(one.equivalents_as_moles());
    let Some(other) = Unit::parse(other) else {
        return;
    };
    match (one.relation(&other), other.relation(&one)) {
        (Relation::FactorDiffers(_), Relation::FactorDiffers(_)) => {}
        (there, back) => assert_eq!(there, back),
    }
}

pub(crate) fn learn(data: &[u8]) {
    let mut feed = Feed(data);
    let cut = usize::from(feed.byte()) + 1;
    let mut learner = Learner::default();
    for (stream, piece) in (0..).zip(feed.0.chunks(cut * 8)) {
        learner.take(stream % 2, piece);
    }
    learner.finish();
    std::hint::black_box(learner.fits());
    let name = learner.name();
    if let Some(draft) = learner.draft(&name, &laboratory::catalogue(), "") {
        let (profile, problems) = profile::load(&draft.name, &draft.text);
        assert!(
            profile.is_some() && !problems.has_errors(),
            "{}",
            draft.text
        );
    }
}
