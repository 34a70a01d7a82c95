//! What people are shown of a certificate: until when it is valid, and how it is compared.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// A certificate, as far as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// When it begins to be valid: microseconds since 1970-01-01T00:00:00Z.
    pub not_before_utc_micros: i64,
    /// When it ends to be valid: microseconds since 1970-01-01T00:00:00Z.
    pub not_after_utc_micros: i64,
    /// SHA-256 of its DER, as browsers show it: `AB:CD:…`, 95 characters.
    pub fingerprint: String,
}

impl Certificate {
    /// Reads a certificate in DER (RFC 5280 4.1). `None` where its validity cannot be found.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(der, SEQUENCE)?;
        let (to_be_signed, _) = expect(certificate, SEQUENCE)?;
        let rest = match element(to_be_signed)? {
            (EXPLICIT_0, _, rest) => rest,
            _ => to_be_signed,
        };
        let (_, rest) = expect(rest, INTEGER)?;
        let (_, rest) = expect(rest, SEQUENCE)?;
        let (_, rest) = expect(rest, SEQUENCE)?;
        let (validity, _) = expect(rest, SEQUENCE)?;
        let (kind, from, rest) = element(validity)?;
        let not_before_utc_micros = time(kind, from)?;
        let (kind, until, _) = element(rest)?;
        Some(Self {
            not_before_utc_micros,
            not_after_utc_micros: time(kind, until)?,
            fingerprint: fingerprint(der),
        })
    }
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The version, which version 1 leaves out.
const EXPLICIT_0: u8 = 0xA0;

/// The first element of `der` (X.690 8.1): its tag, its contents, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        // Three bytes are 16 MB; no certificate is longer.
        let count = usize::from(first & 0x7F);
        if count == 0 || count > 3 {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(count)?;
        let length = bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        (length, rest)
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

fn expect(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, contents, rest) = element(der)?;
    (tag == wanted).then_some((contents, rest))
}

/// A time in UTC to the second (RFC 5280 4.1.2.5), in microseconds since 1970.
fn time(kind: u8, text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| {
        let value = |sum: i64, digit: &u8| sum * 10 + i64::from(digit - b'0');
        digits.iter().fold(0, value)
    };
    let (year, rest) = match (kind, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at(2);
            let year = number(year);
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at(4);
            (number(year), rest)
        }
        _ => return None,
    };
    let mut parts = rest.chunks(2).map(number);
    let mut next = || parts.next();
    let (month, day) = (next()?, next()?);
    let (hour, minute, second) = (next()?, next()?, next()?);
    let is_time = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    is_time.then(|| {
        let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
        seconds * 1_000_000
    })
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, by years that begin in March.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let since_march = (month + 9) % 12;
    let of_year = (153 * since_march + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
        - 719_468
}

fn fingerprint(der: &[u8]) -> String {
    let mut text = String::new();
    for (index, byte) in Sha256::digest(der).iter().enumerate() {
        let between = if index == 0 { "" } else { ":" };
        // Writing to a string cannot fail.
        if write!(text, "{between}{byte:02X}").is_err() {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(years: (i32, i32)) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["lab.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.0, 2, 28);
        params.not_after = date_time_ymd(years.1, 3, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn validity_is_read_in_both_forms_of_time() {
        // From 2050 on the year has four digits.
        for (from, until, seconds) in [
            (2024, 2025, [1_709_078_400, 1_740_787_200]),
            (1999, 2049, [920_160_000, 2_498_169_600]),
            (2000, 2051, [951_696_000, 2_561_241_600]),
            (2096, 2100, [3_981_225_600, 4_107_542_400]),
        ] {
            let read = Certificate::read(&certificate((from, until))).unwrap();
            let [not_before, not_after] = seconds.map(|at: i64| at * 1_000_000);
            assert_eq!(read.not_before_utc_micros, not_before, "{from}");
            assert_eq!(read.not_after_utc_micros, not_after, "{until}");
            assert_eq!(read.fingerprint.len(), 95);
        }
    }

    #[test]
    fn a_certificate_cut_anywhere_breaks_nothing() {
        let der = certificate((2024, 2026));
        for length in 0..der.len() {
            drop(Certificate::read(&der[..length]));
        }
        assert_eq!(Certificate::read(b""), None);
        assert_eq!(
            Certificate::read(&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]),
            None
        );
    }
}
