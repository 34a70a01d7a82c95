//! A trace as a person reads it.

use std::fmt::{self, Write as _};

use jiff::tz::TimeZone;

use crate::{
    model::{Hold, QueueState, ResultState},
    queue::QueueRow,
    store::journal::Message,
    text::{self, Language},
};

use super::{
    OrderedItem, Trace, TracedResult, Tube,
    bytes::{lines, visible},
    course::course,
    when::instant,
};

/// Lines of a message that are shown; of a longer one only those that results came from, too.
const LINES_MAX: usize = 200;

/// Characters of a line that are shown: images stand in lines of megabytes.
const LINE_CHARS_MAX: usize = 400;

/// Writes a trace. Times are shown in `zone`; with `colour`, what results came from is bold.
pub fn render(trace: &Trace, zone: &TimeZone, colour: bool) -> String {
    let mut page = Page {
        text: String::new(),
        zone,
        colour,
    };
    match page.trace(trace) {
        // Writing to a string cannot fail; were it to, what was written remains.
        Ok(()) | Err(fmt::Error) => page.text,
    }
}

struct Page<'a> {
    text: String,
    zone: &'a TimeZone,
    colour: bool,
}

impl Page<'_> {
    fn time(&self, at: i64) -> String {
        instant(at, self.zone)
    }

    fn trace(&mut self, trace: &Trace) -> fmt::Result {
        writeln!(self.text, "Trace of {}", trace.title)?;
        let steps = course(trace);
        self.heading("What happened", steps.is_empty())?;
        for step in &steps {
            let at = self.time(step.at);
            let what = visible(step.what.as_bytes());
            let by_its_clock = step.by_its_clock.map_or_else(String::new, |at| {
                format!(" (by its clock {})", self.time(at))
            });
            writeln!(self.text, "  {at}  {}  {what}{by_its_clock}", step.place)?;
        }
        self.heading("What was sent", trace.queue.is_empty())?;
        for row in trace.queue.values() {
            self.queue_row(row, trace)?;
        }
        self.heading("What was decided", trace.results.is_empty())?;
        for result in &trace.results {
            self.result(result)?;
        }
        self.heading("What was received", trace.messages.is_empty())?;
        for message in trace.messages.values() {
            self.message(message, trace)?;
        }
        self.heading("What was ordered", trace.tubes.is_empty())?;
        for tube in &trace.tubes {
            self.tube(tube)?;
        }
        self.heading("Who did what", trace.audit.is_empty())?;
        for row in &trace.audit {
            let at = self.time(row.at);
            let detail = if row.detail.is_empty() {
                String::new()
            } else {
                format!(": {}", visible(row.detail.as_bytes()))
            };
            let (actor, action, subject) = (&row.actor, &row.action, &row.subject);
            writeln!(self.text, "  {at}  {actor}  {action}  {subject}{detail}")?;
        }
        Ok(())
    }

    fn heading(&mut self, title: &str, is_empty: bool) -> fmt::Result {
        let nothing = if is_empty { ": nothing" } else { "" };
        if self.colour {
            writeln!(self.text, "\n\x1b[1m{title}\x1b[0m{nothing}")
        } else {
            writeln!(self.text, "\n{title}{nothing}")
        }
    }

    fn queue_row(&mut self, row: &QueueRow, trace: &Trace) -> fmt::Result {
        let carries: Vec<String> = trace
            .results
            .iter()
            .filter(|result| result.rows.contains(&row.id))
            .map(|result| format!("r{}", result.stored.id))
            .collect();
        let with = if carries.is_empty() {
            String::new()
        } else {
            format!(" with {}", carries.join(", "))
        };
        let (id, kind, to) = (row.id, &row.kind, &row.destination);
        writeln!(self.text, "  queue {id}: {kind}{with} to {to}")?;
        let state = queue_state(row);
        let tries = match row.attempts {
            1 => "1 try".to_owned(),
            count => format!("{count} tries"),
        };
        let closed = row
            .closed_at
            .map_or_else(String::new, |at| format!(" {}", self.time(at)));
        writeln!(self.text, "    {state}{closed} after {tries}")?;
        if let Some(control_id) = &row.control_id {
            writeln!(self.text, "    control id: {control_id}")?;
        }
        self.field("answer", &row.answer)?;
        self.field("reason", &row.reason)?;
        self.field("given up by", &row.closed_by)?;
        let created = self.time(row.created_at);
        writeln!(self.text, "    queued: {created}")
    }

    fn field(&mut self, name: &str, value: &str) -> fmt::Result {
        if value.is_empty() {
            return Ok(());
        }
        let value = visible(value.as_bytes());
        writeln!(self.text, "    {name}: {value}")
    }

    fn result(&mut self, result: &TracedResult) -> fmt::Result {
        let stored = &result.stored;
        let seen = &stored.observation;
        let test = seen.test.as_deref().unwrap_or("(no test)");
        let value = visible(seen.text.as_bytes());
        let unit = visible(seen.unit.as_bytes());
        let (id, version) = (stored.id, stored.version);
        writeln!(
            self.text,
            "  r{id}: {test} = {value} {unit}, version {version}, {}",
            result_state(stored.state)
        )?;
        match result.decided_at {
            Some(at) => {
                let at = self.time(at);
                writeln!(self.text, "    decided: {at}")?;
            }
            None => writeln!(self.text, "    decided: not yet")?,
        }
        for hold in &stored.holds {
            self.hold(hold)?;
        }
        if let Some(before) = stored.supersedes {
            let how = if stored.state == ResultState::Repeat {
                "the same as"
            } else {
                "comes after"
            };
            writeln!(self.text, "    {how} r{before}")?;
        }
        let sent = format!("code {}", seen.code);
        let flags = seen.flags.join(" ");
        let status = &seen.status_sent;
        let measured = seen.completed.as_ref().map_or("", |time| &time.sent);
        let parts = [
            ("", sent.as_str()),
            ("flags ", flags.as_str()),
            ("status ", status.as_str()),
            ("measured ", measured),
            ("by ", seen.instrument.as_str()),
        ];
        let said: Vec<String> = parts
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}{}", visible(value.as_bytes())))
            .collect();
        writeln!(self.text, "    the device says: {}", said.join(", "))?;
        self.field("notes", &seen.notes.join(", "))?;
        let (message, span) = (stored.message, &seen.span);
        let line = &stored.line;
        writeln!(
            self.text,
            "    came in: message {message} on {line}, bytes {}..{}",
            span.start, span.end
        )
    }

    fn hold(&mut self, hold: &Hold) -> fmt::Result {
        let words = text::hold(Language::En, hold.reason);
        let detail = if hold.detail.is_empty() {
            String::new()
        } else {
            format!(" ({})", visible(hold.detail.as_bytes()))
        };
        let code = hold.reason.code();
        writeln!(
            self.text,
            "    held: {code}{detail}: {} {}",
            words.what, words.todo
        )
    }

    fn message(&mut self, message: &Message, trace: &Trace) -> fmt::Result {
        let at = self.time(message.received_at);
        let end = if message.is_complete {
            ""
        } else {
            ", without its end"
        };
        let (id, line, bytes) = (message.id, &message.line, message.raw.len());
        let state = message.state.code();
        writeln!(
            self.text,
            "  message {id} on {line}, {at}, {bytes} bytes{end}, {state}"
        )?;
        let mut hidden = 0_usize;
        for (number, line) in lines(&message.raw).into_iter().enumerate() {
            let marks: Vec<String> = trace
                .results
                .iter()
                .filter(|result| result.stored.message == message.id)
                .filter(|result| {
                    let span = &result.stored.observation.span;
                    span.start < line.end && line.start < span.end
                })
                .map(|result| format!("r{}", result.stored.id))
                .collect();
            let is_told = trace.track.iter().any(|row| {
                let is_here = row.span.start < line.end && line.start < row.span.end;
                row.message == message.id && is_here
            });
            let marks = if is_told && marks.is_empty() {
                vec!["tube".to_owned()]
            } else {
                marks
            };
            if number >= LINES_MAX && marks.is_empty() {
                hidden += 1;
                continue;
            }
            let bytes = message.raw.get(line).unwrap_or_default();
            self.message_line(&marks.join(","), bytes)?;
        }
        if hidden > 0 {
            writeln!(self.text, "    … and {hidden} lines more")?;
        }
        Ok(())
    }

    fn message_line(&mut self, mark: &str, bytes: &[u8]) -> fmt::Result {
        let whole = visible(bytes);
        let mut shown: String = whole.chars().take(LINE_CHARS_MAX).collect();
        if shown.len() < whole.len() {
            shown.push_str(&format!("… ({} bytes)", bytes.len()));
        }
        match (mark.is_empty(), self.colour) {
            (true, _) => writeln!(self.text, "           {shown}"),
            (false, true) => writeln!(self.text, "  {mark:>6} > \x1b[1m{shown}\x1b[0m"),
            (false, false) => writeln!(self.text, "  {mark:>6} > {shown}"),
        }
    }

    fn tube(&mut self, tube: &Tube) -> fmt::Result {
        let at = self.time(tube.ordered_at);
        let (host, generation) = (&tube.host, tube.generation);
        let collected = tube
            .collected_at
            .map_or_else(String::new, |at| format!(", collected {}", self.time(at)));
        writeln!(
            self.text,
            "  by {host}, use {generation} of the barcode, last {at}{collected}"
        )?;
        for item in &tube.items {
            self.item(item)?;
        }
        Ok(())
    }

    fn item(&mut self, item: &OrderedItem) -> fmt::Result {
        let at = self.time(item.created_at);
        let tests = item.tests.join(", ");
        let (placer, filler) = (visible(item.placer.as_bytes()), &item.filler);
        let service = visible(item.service.as_bytes());
        let (status, message) = (&item.status, item.message);
        writeln!(
            self.text,
            "    {at}  {service} ({tests}), placer {placer}, filler {filler}, status {status}, from \
             message {message}"
        )?;
        for (line, at) in &item.told {
            let at = self.time(*at);
            writeln!(self.text, "      {at}  {line} was told")?;
        }
        Ok(())
    }
}

fn queue_state(row: &QueueRow) -> &'static str {
    match row.state {
        QueueState::Waiting if row.attempts == 0 => "waiting, not tried yet,",
        QueueState::Waiting => "waiting to be tried again",
        QueueState::Leased => "being sent",
        QueueState::Delivered => "acknowledged",
        QueueState::SetAside => "refused for good, set aside",
        QueueState::Discarded => "discarded",
        QueueState::Superseded => "superseded",
    }
}

const fn result_state(state: ResultState) -> &'static str {
    match state {
        ResultState::Waiting => "waiting for its order",
        ResultState::Held => "held",
        ResultState::Released => "released",
        ResultState::Kept => "kept, nobody ordered it",
        ResultState::Repeat => "sent again by the device",
        ResultState::Confirmed => "confirms the value released before",
        ResultState::Replaced => "replaced by a later version",
        ResultState::SetAside => "set aside",
        ResultState::Control => "control",
    }
}
