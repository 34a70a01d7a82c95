//! The profiles that there are, and whether their worked examples come out as written.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use maud::html;
use serde::Serialize;

use crate::{
    config::Loaded,
    profile::{Library, run_examples},
};

use super::{
    App,
    fault::Fault,
    gate::Who,
    page::{Page, Place, Tone, state},
};

/// A profile of the library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Listed {
    pub(super) name: String,
    /// The word of its file: `trace` down to `assumed`.
    pub(super) confidence: String,
    /// Lines that use it.
    pub(super) lines: Vec<String>,
    pub(super) examples: usize,
    /// What does not come out as written.
    pub(super) differences: Vec<String>,
}

/// Every profile, those that lines use first. Reads the files and runs all examples: some tenths of a
/// second, so it is done once, when somebody first asks, of the files as they are then.
pub(super) fn list(loaded: &Loaded) -> Vec<Listed> {
    let (library, _) = Library::load(loaded.profiles().as_deref());
    let lines_of = |name: &str| -> Vec<String> {
        let instruments = loaded.lab.instruments.iter();
        instruments
            .filter(|one| *one.profile == *name)
            .map(|one| one.id.to_string())
            .collect()
    };
    let of = |profile: &Arc<crate::profile::Profile>| Listed {
        name: profile.name.clone(),
        confidence: profile.device.confidence.clone(),
        lines: lines_of(&profile.name),
        examples: profile.examples.len(),
        differences: run_examples(profile)
            .iter()
            .map(|problem| problem.message.clone())
            .collect(),
    };
    let mut all: Vec<Listed> = library.iter().map(of).collect();
    all.sort_by_key(|one| (one.lines.is_empty(), one.name.clone()));
    all
}

/// The list, made when it is first asked for.
pub(super) async fn known(app: &Arc<App>) -> Result<Arc<Vec<Listed>>, Fault> {
    let make = || {
        let loaded = Arc::clone(&app.parts.loaded);
        async move {
            let made = tokio::task::spawn_blocking(move || Arc::new(list(&loaded))).await;
            made.map_err(|_| Fault::OUR_BUG)
        }
    };
    app.profiles.get_or_try_init(make).await.cloned()
}

/// `GET /settings/profiles`
pub(super) async fn show(State(app): State<Arc<App>>, who: Who) -> Result<Response, Fault> {
    let words = who.words();
    let all = known(&app).await?;
    let content = html! {
        p.hint { (words.t("profiles.hint")) }
        div.wide { table {
            thead { tr { @for key in ["profile", "used-by", "source", "examples"] {
                th scope="col" { (words.t(&format!("column.{key}"))) }
            } } }
            tbody { @for one in all.iter() { tr {
                th.code scope="row" { (one.name) }
                td { @for line in &one.lines { a.code href={ "/devices/" (line) } { (line) } " " } }
                td { (words.t(&format!("profiles.sure.{}", one.confidence))) }
                td {
                    @if one.differences.is_empty() {
                        (state(Tone::Good, &words.f("profiles.green", &[("count", &words.count(u64::try_from(one.examples).unwrap_or(0)))])))
                    } @else {
                        (state(Tone::Look, &words.t("profiles.differs")))
                        @for difference in &one.differences { p.hint lang="en" { (difference) } }
                    }
                }
            } } }
        } }
    };
    Ok(Page::new(&app, &who, Place::Settings, words.t("profiles.title")).show(&content))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        config::{self, Seams},
        text::{Language, has},
    };

    fn listed(folder: &Path) -> Vec<Listed> {
        let (loaded, _) = config::load(&folder.join("lab.toml"), &Seams::default());
        list(&loaded.expect("a site"))
    }

    #[test]
    fn every_profile_is_listed_and_one_whose_example_differs_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        write(
            "lab.toml",
            "[lab]\nprofiles = \"profiles\"\n\n[[instrument]]\nid = \"xp-1\"\nprofile = \"sysmex/xp\"\n\
             port = \"tcp-listen://127.0.0.1:5001\"\n",
        );
        write("profiles/README", "none yet");
        let all = listed(folder.path());
        assert_eq!(all.len(), Library::load(None).0.names().len());
        assert!(
            all.iter()
                .all(|one| one.differences.is_empty() && one.examples > 0)
        );
        let first = all.first().expect("profiles");
        assert_eq!((first.name.as_str(), first.lines.len()), ("sysmex/xp", 1));
        for one in &all {
            for language in Language::ALL {
                let key = format!("console.profiles.sure.{}", one.confidence);
                assert!(has(*language, &key), "{language:?} {key}");
            }
        }

        let own = include_str!("../../config/profiles/sysmex/xp.toml");
        let broken = own.replacen("text = \"", "text = \"9", 1);
        assert_ne!(own, broken);
        write("profiles/sysmex/xp.toml", &broken);
        let all = listed(folder.path());
        let found = all.iter().find(|one| one.name == "sysmex/xp");
        assert_eq!(found.map(|one| one.differences.len()), Some(1));
    }
}
