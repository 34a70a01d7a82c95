//! Messages that could not be read.

use crate::store::{
    Db,
    journal::{self, MessageState},
};

use super::{Acting, Done, Outcome, Refused, granted, record::Changes};

impl Acting<'_> {
    /// Sets a message aside that could not be read; its bytes stay in the journal.
    ///
    /// # Errors
    /// The store's.
    pub fn set_aside_message(&self, db: &mut dyn Db, id: i64) -> Outcome<Done> {
        granted!(self.check());
        let held = journal::message(db, id)?.filter(|one| one.state == MessageState::Held);
        if held.is_none() {
            return Ok(Err(Refused::NotFound));
        }
        let outcome = journal::outcome(db, id)?;
        journal::mark(db, id, MessageState::SetAside, outcome.as_deref())?;
        let changes = Changes {
            message: Some((id, outcome)),
            ..Changes::default()
        };
        let done = self.keep(db, "set-aside", &format!("message:{id}"), &changes)?;
        Ok(Ok(done))
    }
}
