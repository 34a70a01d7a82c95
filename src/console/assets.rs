//! What a browser fetches beside pages, all of it in the binary. The name of a file has the hash of
//! its content in it, so that a browser may keep it for ever and a new release is seen at once.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest as _, Sha256};

use crate::people::hex;

/// A file of the console.
#[derive(Debug)]
pub(super) struct Asset {
    file: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! assets {
    ($($name:ident = $file:literal, $kind:expr;)*) => {
        $(pub(super) static $name: LazyLock<Address> = LazyLock::new(|| Address::of(&Asset {
            file: $file,
            kind: $kind,
            content: include_bytes!(concat!("assets/", $file)),
        }));)*

        fn all() -> Vec<&'static Address> {
            vec![$(&*$name),*]
        }
    };
}

assets! {
    CONSOLE_CSS = "console.css", STYLE;
    CONSOLE_JS = "console.js", SCRIPT;
    CHART_JS = "chart.js", SCRIPT;
    HTMX_JS = "htmx-2.0.11.min.js", SCRIPT;
    SSE_JS = "htmx-ext-sse-2.2.4.min.js", SCRIPT;
    UPLOT_JS = "uplot-1.6.32.min.js", SCRIPT;
    UPLOT_CSS = "uplot-1.6.32.min.css", STYLE;
    MARK = "mark.svg", "image/svg+xml";
}

/// Where a file is fetched from.
#[derive(Debug)]
pub(super) struct Address {
    name: String,
    kind: &'static str,
    content: &'static [u8],
}

impl Address {
    fn of(asset: &Asset) -> Self {
        let digest = Sha256::digest(asset.content);
        let hash = hex(digest.get(..8).unwrap_or_default());
        Self {
            name: format!("{hash}-{}", asset.file),
            kind: asset.kind,
            content: asset.content,
        }
    }

    /// For `src` and `href`.
    pub(super) fn path(&self) -> String {
        format!("/assets/{}", self.name)
    }
}

/// Gives a file. A name is compared with those there are, so no path leads anywhere else.
pub(super) async fn serve(Path(name): Path<String>) -> Response {
    let Some(found) = all().into_iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, found.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, found.content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_others_are_as_their_packages_have_them() {
        let listed = include_str!("assets/README.md");
        for asset in all() {
            let file = asset.name.split_once('-').map_or("", |(_, file)| file);
            if listed.contains(&format!("| `{file}` |")) {
                let hash = hex(&Sha256::digest(asset.content));
                assert!(listed.contains(&hash), "{file} is {hash}");
            }
        }
    }

    #[test]
    fn a_page_with_everything_it_needs_stays_under_a_hundred_kilobytes() {
        let needed = [&CONSOLE_CSS, &CONSOLE_JS, &HTMX_JS, &SSE_JS, &MARK];
        let bytes: usize = needed.iter().map(|asset| asset.content.len()).sum();
        assert!(bytes < 85_000, "{bytes} bytes before the page itself");
    }
}
