//! Puts invented texts of the same shape in the place of everything that could be a patient's.
//!
//! The rule is a list of what stays, not of what goes: delimiters, names of rows, numbers of rows,
//! test codes, units, flags, status codes, numbers measured, well-known words, and how the device
//! and its message are named. A place that nobody thought of is invented.

use std::collections::{BTreeMap, BTreeSet};

use labwire_protocols::charset::Charset;

use super::Protocol;
use super::{
    codes::Codes,
    findings::Findings,
    rows::{Marks, Row, Sheet},
    shape::{is_common_word, is_control, is_loinc, is_number, is_range, is_time, is_unit},
};

/// Letters of a field that are kept; a picture in base64 says nothing after so many.
const FIELD_MAX: usize = 80;
/// The day of every invented instant.
const DAY: &str = "20250115";
/// The birthday of every invented patient.
const BIRTHDAY: &str = "19800101";
/// Of those that were born on that day.
const OTHER_BIRTHDAY: &str = "19810202";
/// Letters of a word below which it is found everywhere and proves nothing.
const WORD_MIN: usize = 4;
/// Letters above which a word is looked for inside others too.
const WORD_MAX: usize = 8;

/// Invents, the same for the same text, so that what belongs together stays together.
pub(super) struct Inventor<'f> {
    findings: &'f Findings,
    charset: Charset,
    seed: u64,
    known: BTreeMap<String, String>,
    /// What was replaced, to be looked for in what is written.
    replaced: BTreeSet<String>,
    /// Words that belong to the device.
    own: BTreeSet<String>,
}

impl<'f> Inventor<'f> {
    pub(super) fn new(findings: &'f Findings, charset: Charset, seed: u64) -> Self {
        Self {
            own: own_words(findings),
            findings,
            charset,
            seed,
            known: BTreeMap::new(),
            replaced: BTreeSet::new(),
        }
    }

    /// The rows of a message with everything replaced that could be a patient's.
    pub(super) fn rows(&mut self, sheet: &Sheet) -> Vec<String> {
        sheet
            .rows
            .iter()
            .map(|row| self.row(row, sheet.marks))
            .collect()
    }

    /// Whether a text holds anything that was replaced. Short words count as whole words: four digits
    /// stand in any longer number by chance.
    pub(super) fn is_told_in(&self, text: &str) -> bool {
        let words: BTreeSet<&str> = text
            .split(|letter: char| !letter.is_alphanumeric())
            .collect();
        self.replaced.iter().any(|word| {
            words.contains(word.as_str()) || word.chars().count() > WORD_MAX && text.contains(word)
        })
    }

    fn row(&mut self, row: &Row, marks: Marks) -> String {
        let mut pieces = Vec::with_capacity(row.pieces.len());
        for (index, piece) in row.pieces.iter().enumerate() {
            let number = row.number(index);
            pieces.push(if index == 0 || declares(row, number) {
                piece.clone()
            } else {
                self.field(row, number, piece, marks)
            });
        }
        pieces.join(&marks.field.to_string())
    }

    fn field(&mut self, row: &Row, number: usize, text: &str, marks: Marks) -> String {
        let mut told = String::new();
        let mut part = String::new();
        let mut before = None;
        for letter in shortened(text, marks).chars() {
            if !marks.is_mark(letter) {
                part.push(letter);
                continue;
            }
            let is_escape = letter == marks.escape && before == Some(marks.escape);
            if is_escape && is_escaped(&part) {
                told.push_str(&part);
            } else {
                told.push_str(&self.part(row, number, &part));
            }
            told.push(letter);
            part.clear();
            before = Some(letter);
        }
        told.push_str(&self.part(row, number, &part));
        told
    }

    fn part(&mut self, row: &Row, number: usize, part: &str) -> String {
        let plain = part.trim();
        if plain.is_empty() || stays(self.findings, row, number, plain) {
            return part.to_owned();
        }
        let invented = if is_time(plain) && !names_somebody(row, number) {
            self.instant(plain, is_birthday(row, number))
        } else {
            self.invented(plain)
        };
        part.replace(plain, &invented)
    }

    /// The hour stays: it tells what is before what, and nothing about a person.
    fn instant(&mut self, text: &str, is_birthday: bool) -> String {
        let sent = text.get(..8).unwrap_or_default();
        let day = match is_birthday {
            false => DAY,
            true if sent == BIRTHDAY => OTHER_BIRTHDAY,
            true => BIRTHDAY,
        };
        if sent != day {
            self.replaced.insert(sent.to_owned());
        }
        format!("{day}{}", text.get(8..).unwrap_or_default())
    }

    fn invented(&mut self, text: &str) -> String {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let mut state = hash(self.seed, text);
        let mut invented = text.to_owned();
        // A letter alone may be its own replacement; a word may not.
        for _ in 0..8 {
            invented = text
                .chars()
                .map(|letter| self.letter(letter, &mut state))
                .collect();
            if invented != text {
                break;
            }
        }
        self.remember(text);
        self.known.insert(text.to_owned(), invented.clone());
        invented
    }

    fn remember(&mut self, text: &str) {
        let words = text.split(|letter: char| !letter.is_alphanumeric());
        for word in words.chain([text]) {
            let is_long = word.chars().count() >= WORD_MIN;
            if is_long && !self.own.contains(&word.to_uppercase()) {
                self.replaced.insert(word.to_owned());
            }
        }
    }

    fn letter(&self, letter: char, state: &mut u64) -> char {
        *state = mix(*state);
        let pick = |letters: &'static [u8]| {
            let count = u64::try_from(letters.len()).unwrap_or(1).max(1);
            let index = usize::try_from(*state % count).unwrap_or(0);
            letters.get(index).map_or('X', |byte| char::from(*byte))
        };
        match letter {
            '0'..='9' => pick(b"0123456789"),
            'A'..='Z' => pick(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
            'a'..='z' => pick(b"abcdefghijklmnopqrstuvwxyz"),
            other if other.is_ascii() => other,
            other => self.foreign(other),
        }
    }

    /// A letter beyond ASCII, so that the character set can still be told.
    fn foreign(&self, letter: char) -> char {
        let instead = if !letter.is_alphabetic() {
            return '?';
        } else if letter.is_uppercase() {
            ['\u{CA}', 'X']
        } else if letter.is_lowercase() {
            ['\u{EA}', 'x']
        } else {
            ['\u{4E59}', 'X']
        };
        let fits = |letter: &char| self.charset.encode(letter.encode_utf8(&mut [0; 4])).is_ok();
        instead.into_iter().find(fits).unwrap_or('X')
    }
}

/// A long field up to its last whole repeat.
fn shortened(text: &str, marks: Marks) -> &str {
    let Some((end, _)) = text.char_indices().nth(FIELD_MAX) else {
        return text;
    };
    let short = text.get(..end).unwrap_or_default();
    short
        .rsplit_once(marks.repeat)
        .map_or(short, |(whole, _)| whole)
}

/// What stands for a delimiter between two escape marks.
fn is_escaped(part: &str) -> bool {
    matches!(part, "F" | "S" | "T" | "R" | "E" | "H" | "N" | ".br")
        || part.strip_prefix('X').is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}

/// Places of ids: digits there are no day, whatever they look like.
fn names_somebody(row: &Row, number: usize) -> bool {
    matches!(
        (row.name.as_str(), number),
        ("P", 3..=5)
            | ("O", 3 | 4)
            | ("Q", 3 | 4)
            | ("PID", 2..=4)
            | ("SPM" | "ORC" | "OBR", 2 | 3)
            | ("SAC" | "QPD", 3)
            | ("QRD", 8)
    )
}

/// `H` and `MSH` declare their delimiters.
fn declares(row: &Row, number: usize) -> bool {
    matches!(row.name.as_str(), "H" | "MSH") && number == 2
}

fn is_birthday(row: &Row, number: usize) -> bool {
    matches!((row.name.as_str(), number), ("P", 8) | ("PID", 7))
}

/// Whether a text says nothing about a patient.
fn stays(findings: &Findings, row: &Row, number: usize, text: &str) -> bool {
    let is_short = text.chars().count() <= 3;
    let is_code = is_short && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match (row.name.as_str(), number) {
        ("ORC", 1) => is_code,
        (_, 2) if findings.protocol == Protocol::Astm => is_set_id(text),
        (_, 1) if findings.protocol == Protocol::Hl7 => is_set_id(text),
        ("H", 5 | 10 | 11 | 12 | 13) | ("MSH", 3..=6 | 9 | 11 | 12 | 15..=19) => !is_time(text),
        ("R", 3) | ("OBX", 3) | ("O", 5) | ("OBR", 4) => {
            is_code || is_loinc(text) || is_vocabulary(&findings.codes, text)
        }
        ("O", 3 | 4) | ("SPM", 2) | ("OBR", 3) | ("SAC", 3) => is_control(text),
        ("R", 4) | ("OBX", 5) if is_media(text) => true,
        ("R", 4) | ("OBX", 5) => is_number(text) || is_common_word(text) || is_symbol(text),
        ("R", 5) | ("OBX", 6) => is_unit(text) || is_unit_seen(&findings.codes, text),
        ("R", 6) | ("OBX", 7) => is_number(text) || is_range(text) || is_symbol(text),
        ("R", 7) | ("OBX", 8) => findings.flags_seen.keys().any(|flags| flags.contains(text)),
        ("R", 9) | ("OBX", 2 | 11) => is_code,
        ("O", 6 | 12 | 26) | ("OBR", 5 | 25) | ("P", 9) | ("PID", 8) => is_code,
        ("SPM", 4 | 11) | ("O", 16) | ("L", 3) | ("ORC", 5) | ("QRD", 2 | 3 | 9 | 10) => is_code,
        ("Q", 5) => text == "ALL" || is_vocabulary(&findings.codes, text),
        ("Q", 13) | ("C", 3 | 5) => text.len() == 1,
        _ => false,
    }
}

/// Numbers of rows within their message.
fn is_set_id(text: &str) -> bool {
    text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// How a picture is named.
fn is_media(text: &str) -> bool {
    const NAMES: &[&str] = &["Image", "BMP", "JPG", "JPEG", "PNG", "Base64"];
    NAMES.iter().any(|name| name.eq_ignore_ascii_case(text))
}

/// `----`, `***.**`.
fn is_symbol(text: &str) -> bool {
    !text.chars().any(char::is_alphanumeric)
}

fn is_vocabulary(codes: &Codes, text: &str) -> bool {
    let is_piece = |code: &String| code == text || code.split('^').any(|piece| piece == text);
    codes.seen.keys().any(|code| {
        let cut = codes.cut_at.and_then(|mark| text.split(mark).next());
        is_piece(code) || cut.is_some_and(|cut| cut == code)
    })
}

fn is_unit_seen(codes: &Codes, text: &str) -> bool {
    let has = |units: &BTreeMap<String, usize>| units.get(text).is_some_and(|times| *times > 1);
    codes.seen.values().any(|code| has(&code.units))
}

/// Words in upper case that a profile may name: the device's, not a patient's.
fn own_words(findings: &Findings) -> BTreeSet<String> {
    let mut own = BTreeSet::new();
    let mut add = |text: &str| {
        for word in text.split(|letter: char| !letter.is_alphanumeric()) {
            own.insert(word.to_uppercase());
        }
        own.insert(text.to_uppercase());
    };
    for code in findings.codes.seen.keys() {
        add(code);
    }
    for (sender, _) in &findings.senders {
        add(sender);
    }
    own
}

fn hash(seed: u64, text: &str) -> u64 {
    // FNV-1a: the same text gets the same replacement in every run.
    let start = 0xCBF2_9CE4_8422_2325 ^ mix(seed);
    text.bytes().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// The finalizer of SplitMix64.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
