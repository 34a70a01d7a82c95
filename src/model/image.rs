//! Pictures that devices send beside their results: histograms, scattergrams.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{ObservationKind, SpecimenRead};

/// Bytes of one picture. A scattergram of a haematology analyzer has some 50 kB, the largest bitmap
/// seen 1 MB; the longest message that is read has 8 MiB.
pub const IMAGE_BYTES_MAX: usize = 6 * 1024 * 1024;

/// A picture that a message brings, or says where it lies. It is no result: it has no value, waits
/// for no mapping and holds nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSeen {
    /// Whose it is: a control's is never shown with a patient's.
    pub kind: ObservationKind,
    /// The tube, where the device named one.
    pub specimen: Option<SpecimenRead>,
    /// What the device calls it: `SCAT_WDF`, `WBC Histogram. BMP`.
    pub code: String,
    /// The whole value field exactly as sent, before unescaping, as of a result.
    pub text: String,
    /// The media type that the message or the profile says; empty where neither does. What counts
    /// is what the bytes are found to be.
    pub declared: String,
    /// The picture, or where it is.
    pub source: ImageSource,
    /// Where its record or segment lies in the journalled message, in bytes.
    pub span: Range<usize>,
}

/// Where a picture is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageSource {
    /// In the message.
    Bytes(ImageBytes),
    /// In the device's folder, under this name; it has no folder in it.
    File(String),
    /// Nowhere: what the message has cannot be read. The message is kept as sent.
    Unreadable(ImageFault),
}

/// Why there is no picture where one was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageFault {
    /// The field of its data is empty.
    NoData,
    /// Nothing says how its data is encoded.
    NoEncoding,
    /// By a code that is neither Base64 nor Hex (HL7 table 0299).
    OtherEncoding,
    /// Its Base64 or Hex has other characters, or an end that it cannot have.
    Damaged,
    /// More than [`IMAGE_BYTES_MAX`].
    TooLarge,
    /// The field that names its file is empty.
    NoName,
    /// What names its file is no name of a file.
    BadName,
    /// Results of several tubes name one file.
    SeveralTubes,
    /// Several files of this name came, and none was linked yet.
    SeveralFiles,
}

impl ImageFault {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NoData,
        Self::NoEncoding,
        Self::OtherEncoding,
        Self::Damaged,
        Self::TooLarge,
        Self::NoName,
        Self::BadName,
        Self::SeveralTubes,
        Self::SeveralFiles,
    ];

    /// As it is stored, and the end of its key among the texts of technicians.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoData => "no-data",
            Self::NoEncoding => "no-encoding",
            Self::OtherEncoding => "other-encoding",
            Self::Damaged => "damaged",
            Self::TooLarge => "too-large",
            Self::NoName => "no-name",
            Self::BadName => "bad-name",
            Self::SeveralTubes => "several-tubes",
            Self::SeveralFiles => "several-files",
        }
    }

    /// The fault of that code.
    pub fn from_code(code: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|fault| fault.code() == code)
    }
}

/// The bytes of a picture.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageBytes {
    /// What they are, if they are a picture and whole.
    pub format: Option<ImageFormat>,
    /// All of them, at most [`IMAGE_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

impl ImageBytes {
    /// Looks at what the bytes are.
    pub fn new(bytes: Vec<u8>) -> Self {
        let format = ImageFormat::of(&bytes).filter(|format| format.is_whole(&bytes));
        Self { format, bytes }
    }

    /// IANA media type of what the bytes were found to be.
    pub const fn media_type(&self) -> &'static str {
        match self.format {
            Some(format) => format.media_type(),
            None => UNKNOWN_MEDIA_TYPE,
        }
    }
}

/// Shows the size alone: a picture is patient data.
impl std::fmt::Debug for ImageBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageBytes")
            .field("format", &self.format)
            .field("len", &self.bytes.len())
            .finish()
    }
}

/// Bytes that are no picture known here (RFC 2046, 4.5.1).
pub const UNKNOWN_MEDIA_TYPE: &str = "application/octet-stream";

/// Formats of pictures that are recognised by their own bytes. No other is ever shown in a browser,
/// whatever its sender calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageFormat {
    /// Portable Network Graphics (ISO/IEC 15948).
    Png,
    /// JPEG (ITU-T T.81).
    Jpeg,
    /// GIF 87a and 89a.
    Gif,
    /// Windows bitmap.
    Bmp,
}

impl ImageFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Png, Self::Jpeg, Self::Gif, Self::Bmp];

    /// IANA media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
        }
    }

    /// The format of that media type.
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|format| format.media_type() == media_type)
    }

    /// What bytes begin as.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let begins = |with: &[u8]| bytes.starts_with(with);
        if begins(PNG_SIGNATURE) {
            Some(Self::Png)
        } else if begins(&[0xFF, 0xD8, 0xFF]) {
            Some(Self::Jpeg)
        } else if begins(b"GIF87a") || begins(b"GIF89a") {
            Some(Self::Gif)
        } else if begins(b"BM") {
            Some(Self::Bmp)
        } else {
            None
        }
    }

    /// Whether the end of the picture is there: a file that is still being written has none.
    pub fn is_whole(self, bytes: &[u8]) -> bool {
        match self {
            Self::Png => has_png_end(bytes),
            // EOI, behind which some writers fill up a block (T.81 B.1.1.3).
            Self::Jpeg => trimmed(bytes).ends_with(&[0xFF, 0xD9]),
            Self::Gif => trimmed(bytes).ends_with(&[0x3B]),
            Self::Bmp => has_bmp_size(bytes),
        }
    }
}

/// ISO/IEC 15948, 5.2.
const PNG_SIGNATURE: &[u8] = &[0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A];

/// Whether the chunks lead to IEND (ISO/IEC 15948, 5.3): length, type, data, CRC.
fn has_png_end(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(PNG_SIGNATURE.len()..).unwrap_or_default();
    while let Some(([a, b, c, d, kind @ ..], _)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([*a, *b, *c, *d]);
        let chunk = usize::try_from(length).ok();
        let chunk = chunk.and_then(|length| length.checked_add(PNG_CHUNK_FRAME));
        let Some(after) = chunk.and_then(|end| rest.get(end..)) else {
            return false;
        };
        if kind == b"IEND" {
            return true;
        }
        rest = after;
    }
    false
}

/// Length, type and CRC of a chunk.
const PNG_CHUNK_FRAME: usize = 12;

/// Whether as many bytes are there as the header says (BITMAPFILEHEADER bfSize, little-endian).
fn has_bmp_size(bytes: &[u8]) -> bool {
    let said = bytes.get(2..6).and_then(|four| four.try_into().ok());
    let said = said.map(u32::from_le_bytes).map(usize::try_from);
    matches!(said, Some(Ok(said)) if said >= BMP_BYTES_MIN && bytes.len() >= said)
}

/// A file header and the smallest header of a bitmap.
const BMP_BYTES_MIN: usize = 14 + 12;

/// Without the zeros behind the end.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0);
    bytes.get(..end.map_or(0, |at| at + 1)).unwrap_or_default()
}

/// The name of a file that a device says, without the folders before it; `None` where that is no
/// name, or one that would mean something else than a file of the folder.
///
/// Analyzers write paths of their own machine, `PNG\20250115\…_WDF.PNG`; only the last part counts.
pub fn file_name(sent: &str) -> Option<&str> {
    let name = sent.rsplit(['/', '\\']).next()?.trim();
    let is_hostile = |c: char| c.is_control() || ":*?\"<>|".contains(c);
    let is_name = !name.is_empty()
        && name.len() <= FILE_NAME_BYTES_MAX
        && !name.starts_with('.')
        && !name.contains(is_hostile);
    is_name.then_some(name)
}

/// What file systems take.
const FILE_NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    /// One black point.
    fn png() -> Vec<u8> {
        let mut bytes = PNG_SIGNATURE.to_vec();
        for (kind, data) in [(b"IHDR", &[0; 13][..]), (b"IDAT", &[1, 2]), (b"IEND", &[])] {
            let length = u32::try_from(data.len()).expect("short");
            bytes.extend(length.to_be_bytes());
            bytes.extend(kind);
            bytes.extend(data);
            bytes.extend([0; 4]);
        }
        bytes
    }

    fn bmp() -> Vec<u8> {
        let mut bytes = vec![0; 58];
        bytes[..6].copy_from_slice(&[b'B', b'M', 58, 0, 0, 0]);
        bytes
    }

    #[test]
    fn a_picture_is_known_by_its_bytes_and_whole_by_its_end() {
        let whole = [
            (png(), ImageFormat::Png),
            (
                vec![0xFF, 0xD8, 0xFF, 0xE0, 7, 0xFF, 0xD9],
                ImageFormat::Jpeg,
            ),
            (b"GIF89a....;".to_vec(), ImageFormat::Gif),
            (bmp(), ImageFormat::Bmp),
        ];
        for (bytes, format) in whole {
            assert_eq!(ImageBytes::new(bytes.clone()).format, Some(format));
            for cut in 0..bytes.len() {
                let part = ImageBytes::new(bytes[..cut].to_vec());
                assert_eq!(part.format, None, "{format:?} cut at {cut}");
                assert_eq!(part.media_type(), UNKNOWN_MEDIA_TYPE);
            }
            assert_eq!(
                ImageFormat::from_media_type(format.media_type()),
                Some(format)
            );
        }
        assert_eq!(
            ImageBytes::new(b"<svg onload=alert(1)>".to_vec()).format,
            None
        );
        assert_eq!(ImageBytes::new(b"BM".to_vec()).format, None);
    }

    #[test]
    fn a_chunk_that_says_more_than_there_is_ends_nothing() {
        let mut bytes = png();
        bytes[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(!ImageFormat::Png.is_whole(&bytes));
    }

    #[test]
    fn of_a_path_only_the_name_counts_and_no_other_name_is_one() {
        let name = "2025_01_15_09_55_00_WDF.PNG";
        for sent in [
            name.to_owned(),
            format!("PNG\\20250115\\{name}"),
            format!("/srv/../../{name}"),
            format!("C:\\PNG\\{name} "),
        ] {
            assert_eq!(file_name(&sent), Some(name), "{sent}");
        }
        let long = "x".repeat(256);
        for hostile in [
            "", "..", ".", "/", "\\", "a/..", "..\\..", ".hidden", "C:", "a:b", "a\0b", "a\nb",
            "*.png", &long,
        ] {
            assert_eq!(file_name(hostile), None, "{hostile}");
        }
    }
}
