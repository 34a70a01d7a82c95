//! Where a message that was cut goes on (LIS02-A2 5.5, storage and recovery).
//!
//! After a failure of the line a sender may go on at the first record that it cannot presume saved,
//! and repeats before it the records that lead there: header, patient, order. Some devices repeat
//! none. Which records are new is told by their sequence numbers, nothing else.

/// How the second part follows the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continuation {
    /// Bytes of the first part that stand: its whole records. A record that was cut is sent again.
    pub kept: usize,
    /// Where the first record of the second part lies that the first part does not have.
    pub from: usize,
}

/// How `next` goes on with `cut`, the records of a message that ended without its terminator; `None`
/// where it is another message.
///
/// Every record that `next` repeats must be equal to the byte (a header in its delimiters and its
/// sender), and the first that is new must have the number that follows, under the patient and the
/// order that `next` repeats last. So the results of one patient never continue those of another.
pub fn continuation(cut: &[u8], next: &[u8]) -> Option<Continuation> {
    let kept = whole_records(cut);
    let first: Vec<Line<'_>> = lines(cut.get(..kept)?).collect();
    let header = first.first().filter(|line| line.letter() == Some(b'H'))?;
    let mark = *header.bytes.get(1)?;
    let sequence = Sequence::after(&first, mark)?;

    let mut coming = lines(next).peekable();
    if let Some(own) = coming.next_if(|line| line.letter() == Some(b'H'))
        && !is_same_header(header.bytes, own.bytes, mark)
    {
        return None;
    }
    let mut repeated = Repeated::default();
    let mut seen = 1;
    while let Some(line) = coming.peek() {
        let rest = first.get(seen..).unwrap_or_default();
        let Some(found) = rest.iter().position(|one| one.bytes == line.bytes) else {
            break;
        };
        repeated.take(line, seen + found);
        seen += found + 1;
        coming.next();
    }
    let new = coming.peek()?;
    (repeated.leads_to(new, &sequence) && sequence.is_next(new, mark, repeated.is_any())).then_some(
        Continuation {
            kept,
            from: new.start,
        },
    )
}

fn whole_records(bytes: &[u8]) -> usize {
    let end = bytes.iter().rposition(|byte| matches!(byte, b'\r' | b'\n'));
    end.map_or(0, |at| at + 1)
}

#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    bytes: &'a [u8],
    start: usize,
}

impl Line<'_> {
    fn letter(&self) -> Option<u8> {
        self.bytes.first().map(u8::to_ascii_uppercase)
    }

    /// Field 2 of all records but H.
    fn number(&self, mark: u8) -> Option<u32> {
        let field = self.bytes.split(|byte| *byte == mark).nth(1)?;
        std::str::from_utf8(field).ok()?.trim().parse().ok()
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    let all = bytes.split(|byte| matches!(byte, b'\r' | b'\n'));
    let placed = all.map(move |bytes| {
        let line = Line { bytes, start };
        start += bytes.len() + 1;
        line
    });
    placed.filter(|line| !line.bytes.is_empty())
}

/// H.2 and H.5 are equal; time, control id and the rest are the transmission's own.
fn is_same_header(one: &[u8], other: &[u8], mark: u8) -> bool {
    let mut fields = [one, other].map(|header| header.split(|byte| *byte == mark));
    let [first, second] = &mut fields;
    let [one, other] = [first, second].map(|fields| {
        let delimiters = fields.nth(1);
        (delimiters, fields.nth(2))
    });
    one == other
}

/// Where the last records of the first part stand, and their numbers.
#[derive(Debug, Default)]
struct Sequence {
    patient: Counted,
    order: Counted,
    result: Counted,
    request: Counted,
    comment: Counted,
    manufacturer: Counted,
}

/// The last record of a type under the present parents.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    number: u32,
    at: Option<usize>,
}

impl Sequence {
    /// `None` for a message that is at its end, or whose records are not numbered.
    fn after(records: &[Line<'_>], mark: u8) -> Option<Self> {
        let mut sequence = Self::default();
        for (at, record) in records.iter().enumerate().skip(1) {
            let counted = Counted {
                number: record.number(mark)?,
                at: Some(at),
            };
            match record.letter()? {
                b'P' => {
                    sequence = Self {
                        patient: counted,
                        ..Self::default()
                    }
                }
                b'O' => {
                    sequence = Self {
                        patient: sequence.patient,
                        order: counted,
                        ..Self::default()
                    }
                }
                b'R' => {
                    sequence.result = counted;
                    sequence.forget_notes();
                }
                b'Q' => {
                    sequence.request = counted;
                    sequence.forget_notes();
                }
                b'C' => sequence.comment = counted,
                b'M' | b'S' => sequence.manufacturer = counted,
                _ => return None,
            }
        }
        Some(sequence)
    }

    fn forget_notes(&mut self) {
        self.comment = Counted::default();
        self.manufacturer = Counted::default();
    }

    fn is_next(&self, new: &Line<'_>, mark: u8, follows_repeated: bool) -> bool {
        let before = match new.letter() {
            Some(b'P') => self.patient,
            Some(b'O') => self.order,
            Some(b'R') => self.result,
            Some(b'Q') => self.request,
            Some(b'C') => self.comment,
            Some(b'M' | b'S') => self.manufacturer,
            // Alone it may be the sign of life of another message: it says nothing about this one.
            Some(b'L') => return follows_repeated,
            _ => return false,
        };
        new.number(mark) == before.number.checked_add(1)
    }
}

/// The patient and the order that the second part repeated last, as places in the first.
#[derive(Debug, Default)]
struct Repeated {
    last: Option<usize>,
    patient: Option<usize>,
    order: Option<usize>,
}

impl Repeated {
    fn take(&mut self, line: &Line<'_>, at: usize) {
        self.last = Some(at);
        match line.letter() {
            Some(b'P') => {
                self.patient = Some(at);
                self.order = None;
            }
            Some(b'O') => self.order = Some(at),
            _ => {}
        }
    }

    const fn is_any(&self) -> bool {
        self.last.is_some()
    }

    /// Whether the records repeated are those that the new one stands under in the first part.
    fn leads_to(&self, new: &Line<'_>, sequence: &Sequence) -> bool {
        let is_patient = self
            .patient
            .is_none_or(|at| sequence.patient.at == Some(at));
        let is_order = self.order.is_none_or(|at| sequence.order.at == Some(at));
        match new.letter() {
            Some(b'P' | b'L') => true,
            Some(b'O') => is_patient,
            _ => is_patient && is_order,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message of LIS02-A2 5.5 (PROTOCOLS B.6), by its letters A to Q.
    const RECORDS: [&str; 17] = [
        "H|\\^&|||XN^1",
        "P|1||PID1",
        "O|1|TUBE1",
        "R|1|^^^GLU|5.1",
        "O|2|TUBE2",
        "O|3|TUBE3",
        "P|2||PID2",
        "O|1|TUBE4",
        "C|1|I|one",
        "R|1|^^^GLU|5.2",
        "C|1|I|two",
        "R|2|^^^K|4.0",
        "O|2|TUBE5",
        "P|3||PID3",
        "O|1|TUBE6",
        "R|1|^^^GLU|5.3",
        "L|1|N",
    ];

    /// All of it, as letters.
    const WHOLE: &[u8] = b"ABCDEFGHIJKLMNOPQ";

    fn message(letters: impl AsRef<[u8]>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for letter in letters.as_ref() {
            let record = RECORDS[usize::from(letter - b'A')];
            bytes.extend_from_slice(record.as_bytes());
            bytes.push(b'\r');
        }
        bytes
    }

    fn joined(cut: &[u8], next: &[u8]) -> Option<Vec<u8>> {
        let found = continuation(cut, next)?;
        Some([&cut[..found.kept], &next[found.from..]].concat())
    }

    #[test]
    fn every_restart_of_the_standards_table_gives_the_whole_message() {
        let resent = [
            ("C", "ABC"),
            ("D", "ABCD"),
            ("E", "ABCDE"),
            ("F", "ABEF"),
            ("G", "ABEFG"),
            ("H", "AGH"),
            ("I", "AGHI"),
            ("J", "AGHIJ"),
            ("K", "AGHIJK"),
            ("L", "AGHIJKL"),
            ("M", "AGHLM"),
            ("N", "AGMN"),
            ("O", "ANO"),
            ("P", "ANOP"),
            ("Q", "ANOPQ"),
        ];
        for (failed, restart) in resent {
            let at = usize::from(failed.as_bytes()[0] - b'A');
            let cut = message(&WHOLE[..at]);
            let next = message([restart.as_bytes(), &WHOLE[at + 1..]].concat());
            assert_eq!(
                joined(&cut, &next),
                Some(message(WHOLE)),
                "cut before {failed}"
            );
        }
    }

    #[test]
    fn a_device_that_repeats_nothing_goes_on_all_the_same() {
        for at in 3..16 {
            let (cut, next) = (message(&WHOLE[..at]), message(&WHOLE[at..]));
            assert_eq!(joined(&cut, &next), Some(message(WHOLE)), "cut at {at}");
        }
    }

    #[test]
    fn a_record_that_was_cut_is_taken_from_the_second_part() {
        let mut cut = message("ABCD");
        cut.truncate(cut.len() - 3);
        assert_eq!(
            joined(&cut, &message("ABCDE")),
            Some(message("ABCDE")),
            "the value was 5. and became 5.1"
        );
    }

    #[test]
    fn another_message_is_no_continuation() {
        let cut = message("ABCD");
        let none = |next: &[u8]| assert_eq!(continuation(&cut, next), None, "{next:?}");
        // The same from its begin: a whole message, or one that was cut and sent again.
        none(&message("ABCD"));
        none(b"");
        // The next patient of a device that begins at one.
        none(b"H|\\^&|||XN^1\rP|1||PID9\rO|1|TUBE9\rR|1|^^^GLU|9\rL|1|N\r");
        // A number that does not follow, another device, a sign of life, another order.
        none(b"H|\\^&|||XN^1\rP|1||PID1\rO|1|TUBE1\rR|3|^^^K|4\rL|1|N\r");
        none(b"H|\\^&|||XN^2\rP|1||PID1\rO|1|TUBE1\rR|2|^^^K|4\rL|1|N\r");
        none(b"H|\\^&|||XN^1\rL|1|N\r");
        none(b"H|\\^&|||XN^1\rP|1||PID1\rO|1|TUBE2\rR|2|^^^K|4\rL|1|N\r");
        // The number follows, and the order that it names is not the last one.
        let two = message("ABCDE");
        let next = b"H|\\^&|||XN^1\rP|1||PID1\rO|1|TUBE1\rR|1|^^^K|4\rL|1|N\r";
        assert_eq!(continuation(&two, next), None);
        // What has its end needs nothing.
        assert_eq!(continuation(&message("ABCDQ"), &message("ABCE")), None);
    }

    #[test]
    fn time_and_control_id_of_the_header_may_differ() {
        let cut = b"H|\\^&|7||XN^1|||||||P|1|20260310090000\rP|1\rO|1|T\rR|1|^^^A|1\r";
        let next = b"H|\\^&|8||XN^1|||||||P|1|20260310090100\rP|1\rO|1|T\rR|2|^^^B|2\rL|1\r";
        let found = continuation(cut, next).expect("it goes on");
        assert_eq!(&next[found.from..], b"R|2|^^^B|2\rL|1\r");
    }
}
