//! Pictures beside the results of a tube, and their bytes.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use maud::{Markup, html};

use crate::{
    image::{self, FILE_LATE, Shown},
    model::{ImageFormat, UNKNOWN_MEDIA_TYPE},
};

use super::{
    App,
    fault::Fault,
    gate::Who,
    page::{Tone, state, when},
    words::Words,
    work::note_reading,
};

/// Pictures of one barcode shown: some ten blood counts.
pub(super) const SHOWN_MAX: i64 = 200;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/images/{id}", get(serve))
}

/// `GET /images/{id}`: the bytes, as what they were found to be and nothing else. A picture that no
/// browser should show is a file to keep.
async fn serve(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let id: i64 = id.parse().map_err(|_| Fault::NOT_FOUND)?;
    let found = app.read(move |db| image::bytes(db, id)).await?;
    let (barcode, media_type, bytes) = found.ok_or(Fault::NOT_FOUND)?;
    let subject = match barcode.as_str() {
        "" => format!("image:{id}"),
        barcode => format!("specimen:{barcode}"),
    };
    note_reading(&app, &who, &subject).await?;
    let (kind, disposition) = match ImageFormat::from_media_type(&media_type) {
        Some(format) => (format.media_type(), "inline"),
        None => (UNKNOWN_MEDIA_TYPE, "attachment"),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, bytes).into_response())
}

/// The pictures of a tube, newest first; nothing where there are none.
pub(super) fn section(app: &App, words: Words, images: &[Shown]) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    html! {
        @if !images.is_empty() {
            section aria-labelledby="images-title" {
                h2 id="images-title" { (words.t("images.title")) }
                div.charts { @for one in images {
                    figure.card {
                        @if let Some((media_type, size)) = &one.content {
                            @if ImageFormat::from_media_type(media_type).is_some() {
                                img src={ "/images/" (one.id) } loading="lazy"
                                    alt=(words.f("images.alt", &[("name", &one.code)]));
                            } @else {
                                a href={ "/images/" (one.id) } { (words.t("images.file")) } " "
                                (words.f("images.bytes", &[("count", &words.count(*size))]))
                            }
                        } @else { p { (absent(words, one, now)) } }
                        figcaption {
                            strong { (one.code) } " "
                            a href={ "/devices/" (one.line) } { (one.line) } " "
                            (when(one.received_at, zone, now))
                            @if !one.is_patient { " " (words.t("images.control")) }
                        }
                    }
                } }
            }
        }
    }
}

/// Why there is none, or none yet.
fn absent(words: Words, one: &Shown, now: i64) -> Markup {
    let file = [("file", one.file.as_str())];
    match one.fault {
        Some(fault) => {
            let why = words.f(&format!("images.fault.{}", fault.code()), &file);
            let at = words.f("images.message", &[("message", &one.message.to_string())]);
            html! { (state(Tone::Look, &why)) " " (at) }
        }
        None if now.saturating_sub(one.received_at) > FILE_LATE => {
            state(Tone::Look, &words.f("images.late", &file))
        }
        None => state(Tone::Calm, &words.f("images.awaited", &file)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::ImageFault, text::Language};

    #[test]
    fn every_reason_why_there_is_no_picture_has_words_in_both_languages() {
        for language in Language::ALL {
            for fault in ImageFault::ALL {
                let key = format!("images.fault.{}", fault.code());
                let said = Words(*language).f(&key, &[("file", "A.PNG")]);
                assert!(!said.contains(&key), "{key} in {language:?}");
            }
        }
    }
}
