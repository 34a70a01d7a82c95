//! Where the buttons of a result stand. What they do is [`crate::settle`]'s to offer; until it does,
//! there are none, and a held result says what to do in words.

use maud::{Markup, html};

use crate::settle::StoredResult;

use super::gate::Who;

/// The acts that somebody may do to a held or waiting result.
pub(super) fn of_result(_: &Who, _: &StoredResult) -> Markup {
    html! {}
}
