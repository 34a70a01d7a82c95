//! What settling asks of the site.

use crate::{
    book::BookPatient,
    calls::Critical,
    model::{Observation, blood::BloodTest},
    tubes::whereabouts::OnLine,
};

/// What the site says about releasing.
pub trait SiteRules: Send + Sync {
    /// Whether results of this host are released without a person, where nothing holds them.
    fn releases_automatically(&self, host: &str) -> bool;
    /// Whether a test nobody ordered, on a tube that has an order, is posted to this host.
    fn posts_extras(&self, host: &str) -> bool;
    /// The host to which a result of this line is posted although nobody ordered on its tube;
    /// `None` where such a result waits for its order.
    fn posts_unordered(&self, _line: &str) -> Option<String> {
        None
    }
    /// Whether the test, measured on this line, belongs to blood transfusion.
    fn is_transfusion(&self, line: &str, test: &str) -> bool;
    /// Whether the line asks about every tube that it reads; one that is told its orders may ask only
    /// about those that it was not told of.
    fn asks_about_every_tube(&self, _line: &str) -> bool {
        true
    }
    /// What the test is to the transfusion service, where the catalogue says so.
    fn blood(&self, _test: &str) -> Option<&BloodTest> {
        None
    }
    /// Whether the value is beyond a critical limit of its patient, as old as on the day `at`
    /// (microseconds UTC).
    fn critical(
        &self,
        _observation: &Observation,
        _patient: Option<&BookPatient>,
        _at: i64,
    ) -> Option<Critical> {
        None
    }
    /// Whether a tube of one of these types, as ordered, will do for the test; `None` where that is
    /// not known.
    fn fits_tube(&self, _test: &str, _types: &[&str]) -> Option<bool> {
        None
    }
    /// Whether the site has an automation line.
    fn has_tracks(&self) -> bool {
        false
    }
    /// Where the device of a line stands on an automation line that alone feeds it; `None` where it
    /// stands on none, or people put tubes on it as well.
    fn on_track(&self, _line: &str) -> Option<OnLine<'_>> {
        None
    }
}
