//! Character sets of analyzers and hospital systems.
//!
//! Nothing is replaced in silence: a byte that does not decode is an error with its position, and a
//! character that cannot be written is an error too, unless the caller asked for a name that may
//! lose its marks ([`Charset::encode_or_transliterate`]).

use std::{borrow::Cow, fmt};

use encoding_rs::{DecoderResult, EncoderResult, Encoding};
use thiserror::Error;

mod tables;
mod vietnamese;

/// Names one character set; [`Charset::from_label`] reads it from a file or from MSH-18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Charset {
    /// 7 bit; a byte from 0x80 is refused.
    Ascii,
    /// ISO 8859-1 itself, where 0x80 to 0x9F are control characters; not windows-1252.
    Latin1,
    /// ISO 8859-2, Central European.
    Iso8859_2,
    /// ISO 8859-3, South European.
    Iso8859_3,
    /// ISO 8859-4, North European.
    Iso8859_4,
    /// ISO 8859-5, Cyrillic.
    Iso8859_5,
    /// ISO 8859-6, Arabic.
    Iso8859_6,
    /// ISO 8859-7, Greek.
    Iso8859_7,
    /// ISO 8859-8, Hebrew.
    Iso8859_8,
    /// ISO 8859-9, Turkish; not windows-1254.
    Iso8859_9,
    /// ISO 8859-10, Nordic.
    Iso8859_10,
    /// ISO 8859-13, Baltic.
    Iso8859_13,
    /// ISO 8859-14, Celtic.
    Iso8859_14,
    /// ISO 8859-15, Latin-1 with the euro sign.
    Iso8859_15,
    /// ISO 8859-16, South-Eastern European.
    Iso8859_16,
    /// Thai, windows-874 (a superset of TIS-620).
    Windows874,
    /// Central European.
    Windows1250,
    /// Cyrillic.
    Windows1251,
    /// Western European.
    Windows1252,
    /// Greek.
    Windows1253,
    /// Turkish.
    Windows1254,
    /// Hebrew.
    Windows1255,
    /// Arabic.
    Windows1256,
    /// Baltic.
    Windows1257,
    /// Vietnamese: vowels, then combining tones; decoded into single letters.
    Windows1258,
    /// Russian KOI8-R.
    Koi8R,
    /// The IBM PC code page 437.
    Cp437,
    /// DOS Latin 1, code page 850.
    Cp850,
    /// UTF-8; a byte order mark at the start is dropped.
    Utf8,
    /// Chinese, all of Unicode.
    Gb18030,
    /// Traditional Chinese.
    Big5,
    /// Korean, KS X 1001 (with the additions of windows-949).
    EucKr,
    /// Japanese.
    ShiftJis,
}

/// Bytes that are not text in the character set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("decode {charset}: no character at byte {at}")]
pub struct DecodeError {
    /// The character set that was tried.
    pub charset: Charset,
    /// Offset of the first byte that does not decode.
    pub at: usize,
}

/// Text that the character set cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("encode {charset}: no code for the character at byte {at}")]
pub struct EncodeError {
    /// The character set that was tried.
    pub charset: Charset,
    /// Offset of the character in the UTF-8 text.
    pub at: usize,
    /// The character; it may belong to a name, so it is not part of the message.
    pub ch: char,
}

/// How a character set is read and written.
enum Codec {
    Ascii,
    Latin1,
    Latin5,
    Table(&'static [char; 128]),
    Utf8,
    Web(&'static Encoding),
    /// The web's tables give unassigned bytes the C1 control of the same number; refused here.
    WebWithoutControls(&'static Encoding),
}

/// Each character set: its label first, then other names, all in lower case letters and digits.
/// The names of HL7 table 0211 are among them.
#[rustfmt::skip]
const LABELS: &[(Charset, &str, &[&str])] = &[
    (Charset::Ascii, "us-ascii", &["usascii", "ascii", "isoir6", "ansix341968", "646us"]),
    (Charset::Latin1, "iso-8859-1", &["iso88591", "88591", "latin1", "l1", "isoir100"]),
    (Charset::Iso8859_2, "iso-8859-2", &["iso88592", "88592", "latin2", "l2", "isoir101"]),
    (Charset::Iso8859_3, "iso-8859-3", &["iso88593", "88593", "latin3", "l3", "isoir109"]),
    (Charset::Iso8859_4, "iso-8859-4", &["iso88594", "88594", "latin4", "l4", "isoir110"]),
    (Charset::Iso8859_5, "iso-8859-5", &["iso88595", "88595", "cyrillic", "isoir144"]),
    (Charset::Iso8859_6, "iso-8859-6", &["iso88596", "88596", "arabic", "isoir127"]),
    (Charset::Iso8859_7, "iso-8859-7", &["iso88597", "88597", "greek", "isoir126"]),
    (Charset::Iso8859_8, "iso-8859-8", &["iso88598", "88598", "hebrew", "isoir138"]),
    (Charset::Iso8859_9, "iso-8859-9", &["iso88599", "88599", "latin5", "l5", "isoir148"]),
    (Charset::Iso8859_10, "iso-8859-10", &["iso885910", "885910", "latin6", "isoir157"]),
    (Charset::Iso8859_13, "iso-8859-13", &["iso885913", "885913", "latin7"]),
    (Charset::Iso8859_14, "iso-8859-14", &["iso885914", "885914", "latin8"]),
    (Charset::Iso8859_15, "iso-8859-15", &["iso885915", "885915", "latin9"]),
    (Charset::Iso8859_16, "iso-8859-16", &["iso885916", "885916", "latin10"]),
    (Charset::Windows874, "windows-874", &["windows874", "cp874", "tis620", "isoir166"]),
    (Charset::Windows1250, "windows-1250", &["windows1250", "cp1250", "win1250"]),
    (Charset::Windows1251, "windows-1251", &["windows1251", "cp1251", "win1251"]),
    (Charset::Windows1252, "windows-1252", &["windows1252", "cp1252", "win1252"]),
    (Charset::Windows1253, "windows-1253", &["windows1253", "cp1253", "win1253"]),
    (Charset::Windows1254, "windows-1254", &["windows1254", "cp1254", "win1254"]),
    (Charset::Windows1255, "windows-1255", &["windows1255", "cp1255", "win1255"]),
    (Charset::Windows1256, "windows-1256", &["windows1256", "cp1256", "win1256"]),
    (Charset::Windows1257, "windows-1257", &["windows1257", "cp1257", "win1257"]),
    (Charset::Windows1258, "windows-1258", &["windows1258", "cp1258", "win1258"]),
    (Charset::Koi8R, "koi8-r", &["koi8r", "koi8"]),
    (Charset::Cp437, "cp437", &["cp437", "ibm437", "437"]),
    (Charset::Cp850, "cp850", &["cp850", "ibm850", "850"]),
    (Charset::Utf8, "utf-8", &["utf8", "unicode", "unicodeutf8", "isoir192"]),
    (Charset::Gb18030, "gb18030", &["gb18030", "gb180302000"]),
    (Charset::Big5, "big5", &["big5", "cp950"]),
    (Charset::EucKr, "euc-kr", &["euckr", "ksx1001", "cp949", "windows949"]),
    (Charset::ShiftJis, "shift_jis", &["shiftjis", "sjis", "cp932", "windows31j"]),
];

impl Charset {
    /// The character set of that name: as written in `lab.toml`, by IANA, by Windows, or in HL7
    /// table 0211 (`8859/1`, `UNICODE UTF-8`). Case, spaces and punctuation do not matter.
    pub fn from_label(label: &str) -> Option<Self> {
        let name: String = label
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        LABELS
            .iter()
            .find(|(_, _, names)| names.contains(&name.as_str()))
            .map(|(set, _, _)| *set)
    }

    /// The name to write in a file; [`Charset::from_label`] reads it back.
    pub fn label(self) -> &'static str {
        LABELS
            .iter()
            .find(|(set, _, _)| *set == self)
            .map_or("", |(_, label, _)| label)
    }

    /// Every character set.
    pub fn all() -> impl Iterator<Item = Self> {
        LABELS.iter().map(|(set, _, _)| *set)
    }

    /// Whether every byte below 0x80 is that ASCII character. Where it is not, a delimiter may be
    /// half of a character, and splitting records before decoding is not safe.
    pub const fn is_ascii_superset(self) -> bool {
        !matches!(
            self,
            Self::Gb18030 | Self::Big5 | Self::EucKr | Self::ShiftJis
        )
    }

    /// The text of `bytes`, borrowed where no byte changes.
    ///
    /// # Errors
    /// The offset of the first byte that is no character; nothing is ever replaced.
    pub fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, DecodeError> {
        let refuse = |at| DecodeError { charset: self, at };
        if let Some(ascii) = as_ascii(bytes) {
            return Ok(Cow::Borrowed(ascii));
        }
        match self.codec() {
            Codec::Ascii => Err(refuse(ascii_prefix(bytes))),
            Codec::Utf8 => decode_utf8(bytes).map(Cow::Borrowed).map_err(refuse),
            Codec::Latin1 => Ok(bytes.iter().map(|b| char::from(*b)).collect()),
            Codec::Latin5 => Ok(bytes.iter().map(|b| latin5_char(*b)).collect()),
            Codec::Table(high) => Ok(bytes
                .iter()
                .map(|b| table_char(high, *b))
                .collect::<String>()
                .into()),
            Codec::Web(encoding) => decode_web(encoding, bytes).map(Cow::Owned).map_err(refuse),
            Codec::WebWithoutControls(encoding) => {
                let text = decode_web(encoding, bytes).map_err(refuse)?;
                // One byte is one character in all of these sets, so the count is the offset.
                if let Some(at) = text.chars().position(is_c1) {
                    return Err(refuse(at));
                }
                Ok(Cow::Owned(if self == Self::Windows1258 {
                    vietnamese::compose(&text)
                } else {
                    text
                }))
            }
        }
    }

    /// The bytes of `text`.
    ///
    /// # Errors
    /// The first character that the set cannot hold.
    pub fn encode(self, text: &str) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::with_capacity(text.len());
        if text.is_ascii() || self == Self::Utf8 {
            bytes.extend_from_slice(text.as_bytes());
            return Ok(bytes);
        }
        let codec = self.codec();
        for (at, ch) in text.char_indices() {
            if !self.push(&codec, ch, &mut bytes) {
                return Err(EncodeError {
                    charset: self,
                    at,
                    ch,
                });
            }
        }
        Ok(bytes)
    }

    /// The bytes of `text`, which may lose marks to fit: Vietnamese letters become their ASCII
    /// letters, and a character that still cannot be held becomes `?`. The flag says that the peer
    /// will read something other than `text`. For names only, never for an id.
    pub fn encode_or_transliterate(self, text: &str) -> (Vec<u8>, bool) {
        if let Ok(bytes) = self.encode(text) {
            return (bytes, false);
        }
        let codec = self.codec();
        let mut bytes = Vec::with_capacity(text.len());
        let mut is_changed = false;
        for ch in vietnamese::compose(text).chars() {
            if self.push(&codec, ch, &mut bytes) {
                continue;
            }
            is_changed = true;
            if !vietnamese::is_mark(ch) && !self.push(&codec, vietnamese::plain(ch), &mut bytes) {
                bytes.push(b'?');
            }
        }
        (bytes, is_changed)
    }

    /// Appends one character; `false` if the set does not hold it.
    fn push(self, codec: &Codec, ch: char, bytes: &mut Vec<u8>) -> bool {
        let byte = match codec {
            _ if ch.is_ascii() => u8::try_from(ch).ok(),
            Codec::Ascii => None,
            Codec::Latin1 => u8::try_from(ch).ok(),
            Codec::Latin5 => latin5_byte(ch),
            Codec::Table(high) => table_byte(high, ch),
            Codec::Utf8 => {
                bytes.extend_from_slice(ch.encode_utf8(&mut [0; 4]).as_bytes());
                return true;
            }
            Codec::Web(encoding) => return push_web(encoding, ch, bytes),
            Codec::WebWithoutControls(_) if is_c1(ch) => None,
            Codec::WebWithoutControls(encoding) => {
                return push_web(encoding, ch, bytes)
                    || self == Self::Windows1258 && push_toned(encoding, ch, bytes);
            }
        };
        bytes.extend(byte);
        byte.is_some()
    }

    fn codec(self) -> Codec {
        use encoding_rs as e;
        match self {
            Self::Ascii => Codec::Ascii,
            Self::Latin1 => Codec::Latin1,
            Self::Iso8859_2 => Codec::Web(e::ISO_8859_2),
            Self::Iso8859_3 => Codec::Web(e::ISO_8859_3),
            Self::Iso8859_4 => Codec::Web(e::ISO_8859_4),
            Self::Iso8859_5 => Codec::Web(e::ISO_8859_5),
            Self::Iso8859_6 => Codec::Web(e::ISO_8859_6),
            Self::Iso8859_7 => Codec::Web(e::ISO_8859_7),
            Self::Iso8859_8 => Codec::Web(e::ISO_8859_8),
            Self::Iso8859_9 => Codec::Latin5,
            Self::Iso8859_10 => Codec::Web(e::ISO_8859_10),
            Self::Iso8859_13 => Codec::Web(e::ISO_8859_13),
            Self::Iso8859_14 => Codec::Web(e::ISO_8859_14),
            Self::Iso8859_15 => Codec::Web(e::ISO_8859_15),
            Self::Iso8859_16 => Codec::Web(e::ISO_8859_16),
            Self::Windows874 => Codec::WebWithoutControls(e::WINDOWS_874),
            Self::Windows1250 => Codec::WebWithoutControls(e::WINDOWS_1250),
            Self::Windows1251 => Codec::WebWithoutControls(e::WINDOWS_1251),
            Self::Windows1252 => Codec::WebWithoutControls(e::WINDOWS_1252),
            Self::Windows1253 => Codec::WebWithoutControls(e::WINDOWS_1253),
            Self::Windows1254 => Codec::WebWithoutControls(e::WINDOWS_1254),
            Self::Windows1255 => Codec::WebWithoutControls(e::WINDOWS_1255),
            Self::Windows1256 => Codec::WebWithoutControls(e::WINDOWS_1256),
            Self::Windows1257 => Codec::WebWithoutControls(e::WINDOWS_1257),
            Self::Windows1258 => Codec::WebWithoutControls(e::WINDOWS_1258),
            Self::Koi8R => Codec::Web(e::KOI8_R),
            Self::Cp437 => Codec::Table(&tables::CP437),
            Self::Cp850 => Codec::Table(&tables::CP850),
            Self::Utf8 => Codec::Utf8,
            Self::Gb18030 => Codec::Web(e::GB18030),
            Self::Big5 => Codec::Web(e::BIG5),
            Self::EucKr => Codec::Web(e::EUC_KR),
            Self::ShiftJis => Codec::Web(e::SHIFT_JIS),
        }
    }
}

impl fmt::Display for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Vietnamese letters without their marks (ă → a, Đ → D), combining marks dropped; every other
/// character stays.
pub fn transliterate(text: &str) -> String {
    text.chars()
        .filter(|c| !vietnamese::is_mark(*c))
        .map(vietnamese::plain)
        .collect()
}

fn as_ascii(bytes: &[u8]) -> Option<&str> {
    if bytes.is_ascii() {
        std::str::from_utf8(bytes).ok()
    } else {
        None
    }
}

fn ascii_prefix(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii()).count()
}

/// The unassigned places of a Windows code page, as the web decodes them.
fn is_c1(ch: char) -> bool {
    ('\u{80}'..='\u{9f}').contains(&ch)
}

fn decode_utf8(bytes: &[u8]) -> Result<&str, usize> {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    let (text, skipped) = match bytes.strip_prefix(MARK) {
        Some(text) => (text, MARK.len()),
        None => (bytes, 0),
    };
    std::str::from_utf8(text).map_err(|e| skipped + e.valid_up_to())
}

fn decode_web(encoding: &'static Encoding, bytes: &[u8]) -> Result<String, usize> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let room = decoder.max_utf8_buffer_length_without_replacement(bytes.len());
    let mut text = String::with_capacity(room.unwrap_or(0));
    let mut done = 0;
    loop {
        let rest = bytes.get(done..).unwrap_or_default();
        let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut text, true);
        done += read;
        match result {
            DecoderResult::InputEmpty => return Ok(text),
            DecoderResult::OutputFull => text.reserve(rest.len().max(16)),
            DecoderResult::Malformed(bad, after) => {
                return Err(done.saturating_sub(usize::from(bad) + usize::from(after)));
            }
        }
    }
}

/// Appends one character, or nothing and `false`.
fn push_web(encoding: &'static Encoding, ch: char, bytes: &mut Vec<u8>) -> bool {
    // Four bytes is the longest code of any of these sets (GB 18030); eight leave room for more.
    let mut code = [0; 8];
    let mut utf8 = [0; 4];
    let (result, _, written) = encoding.new_encoder().encode_from_utf8_without_replacement(
        ch.encode_utf8(&mut utf8),
        &mut code,
        true,
    );
    let code = code.get(..written).unwrap_or_default();
    // Shift_JIS and Big5 of the web write look-alikes for a few characters (U+00A5 as 0x5C).
    let is_held = result == EncoderResult::InputEmpty
        && encoding
            .decode_without_bom_handling_and_without_replacement(code)
            .is_some_and(|back| back.chars().eq([ch]));
    if is_held {
        bytes.extend_from_slice(code);
    }
    is_held
}

/// windows-1258 holds a toned vowel as the vowel and a combining tone.
fn push_toned(encoding: &'static Encoding, ch: char, bytes: &mut Vec<u8>) -> bool {
    let Some((vowel, tone)) = vietnamese::tone_of(ch) else {
        return false;
    };
    push_web(encoding, vowel, bytes) && push_web(encoding, tone, bytes)
}

fn table_char(high: &[char; 128], byte: u8) -> char {
    let index = usize::from(byte).checked_sub(128);
    index
        .and_then(|i| high.get(i))
        .copied()
        .unwrap_or(char::from(byte))
}

fn table_byte(high: &[char; 128], ch: char) -> Option<u8> {
    let index = high.iter().position(|c| *c == ch)?;
    u8::try_from(index + 128).ok()
}

/// Where ISO 8859-9 differs from ISO 8859-1.
const LATIN5: [(u8, char); 6] = [
    (0xD0, 'Ğ'),
    (0xDD, 'İ'),
    (0xDE, 'Ş'),
    (0xF0, 'ğ'),
    (0xFD, 'ı'),
    (0xFE, 'ş'),
];

fn latin5_char(byte: u8) -> char {
    LATIN5
        .iter()
        .find(|(b, _)| *b == byte)
        .map_or(char::from(byte), |(_, c)| *c)
}

fn latin5_byte(ch: char) -> Option<u8> {
    if let Some((byte, _)) = LATIN5.iter().find(|(_, c)| *c == ch) {
        return Some(*byte);
    }
    let byte = u8::try_from(ch).ok()?;
    (latin5_char(byte) == ch).then_some(byte)
}

#[cfg(test)]
mod tests;
