//! Patient data that must never reach a log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Wraps patient data so that `Debug` and `Display` show nothing of it; [`Private::expose`] is the
/// only way to the value, and easy to search for.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Private<T>(T);

impl<T> Private<T> {
    /// Takes the value into custody.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for matching, storing, sending or showing to a logged-in person.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Gives the value up.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

impl<T> fmt::Display for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

impl<T> From<T> for Private<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patient_data_is_not_shown_by_debug_or_display() {
        let name = Private::new("TRẦN THỊ BÌNH".to_owned());
        assert_eq!(format!("{name:?} {name}"), "[private] [private]");
        assert_eq!(name.expose(), "TRẦN THỊ BÌNH");
    }
}
