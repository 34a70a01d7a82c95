//! Passwords, as argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq as _;

use super::{hex, random};

/// What OWASP asks of argon2id at least: 19 MiB, two passes, one lane. A login costs a bench PC's
/// server some 30 ms, and a guess as much.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// The shortest password, in characters (NIST SP 800-63B asks for eight; lengths beat rules).
pub const PASSWORD_CHARS_MIN: usize = 10;
/// The longest, so that hashing costs the same for everyone.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// Whether a person may choose it.
pub fn is_long_enough(password: &str) -> bool {
    password.chars().count() >= PASSWORD_CHARS_MIN && password.len() <= PASSWORD_BYTES_MAX
}

/// What is kept of a password: `argon2id$memory$passes$lanes$salt$key`.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest(String);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[digest]")
    }
}

impl Digest {
    /// Hashes a password; takes tens of milliseconds of a thread.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn of(password: &str) -> Result<Self, getrandom::Error> {
        let salt: [u8; SALT_BYTES] = random()?;
        let cost = [MEMORY_KIB, PASSES, LANES];
        let key = derive(password, &salt, cost).unwrap_or_default();
        let [memory, passes, lanes] = cost;
        Ok(Self(format!(
            "argon2id${memory}${passes}${lanes}${}${}",
            hex(&salt),
            hex(&key)
        )))
    }

    /// What stands for the password of nobody: comparing with it takes as long as with anyone's, so
    /// that the time of an answer does not tell which names exist.
    pub fn of_nobody() -> Self {
        let salt = "00".repeat(SALT_BYTES);
        let key = "00".repeat(KEY_BYTES);
        Self(format!(
            "argon2id${MEMORY_KIB}${PASSES}${LANES}${salt}${key}"
        ))
    }

    /// As stored.
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// To be stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `password` is the one. What cannot be read is nobody's.
    pub fn is_of(&self, password: &str) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        let parts: Vec<&str> = self.0.split('$').collect();
        let [algorithm, memory, passes, lanes, salt, key] = parts.as_slice() else {
            return false;
        };
        let cost: Option<Vec<u32>> = [memory, passes, lanes]
            .iter()
            .map(|number| number.parse().ok())
            .collect();
        let Some(&[memory, passes, lanes]) = cost.as_deref() else {
            return false;
        };
        let (Some(salt), Some(key)) = (unhex(salt), unhex(key)) else {
            return false;
        };
        let Some(derived) = derive(password, &salt, [memory, passes, lanes]) else {
            return false;
        };
        *algorithm == "argon2id" && key.len() == KEY_BYTES && bool::from(derived.ct_eq(&key))
    }
}

fn derive(password: &str, salt: &[u8], [memory, passes, lanes]: [u32; 3]) -> Option<Vec<u8>> {
    // Parameters of a damaged row must not take all memory there is.
    if memory > 4 * MEMORY_KIB || passes > 16 {
        return None;
    }
    let params = Params::new(memory, passes, lanes, Some(KEY_BYTES)).ok()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = vec![0; KEY_BYTES];
    argon2
        .hash_password_into(password.as_bytes(), salt, &mut key)
        .ok()?;
    Some(key)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    Some(
        pairs
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect(),
    )
}

/// Letters and digits that nobody takes for one another when they are read aloud.
const READABLE: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// A password to be given to somebody once: four groups of four, some 79 bits.
///
/// # Errors
/// The system gives no random bytes.
pub fn one_time() -> Result<String, getrandom::Error> {
    let mut password = String::new();
    while password.len() < 19 {
        let [byte]: [u8; 1] = random()?;
        // Bytes beyond the last whole multiple would favour the first letters.
        if usize::from(byte) >= READABLE.len() * 8 {
            continue;
        }
        if password.len() % 5 == 4 {
            password.push('-');
        }
        let letter = READABLE.get(usize::from(byte) % READABLE.len());
        password.extend(letter.map(|letter| char::from(*letter)));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_password_is_the_one() {
        let digest = Digest::of("trực đêm 2026").expect("random bytes");
        assert!(digest.is_of("trực đêm 2026"));
        assert!(!digest.is_of("truc dem 2026"));
        assert!(!digest.is_of(""));
        assert!(Digest::stored(digest.as_str()).is_of("trực đêm 2026"));
        assert_ne!(digest, Digest::of("trực đêm 2026").expect("random bytes"));
        assert_eq!(format!("{digest:?}"), "[digest]");
    }

    #[test]
    fn a_damaged_digest_is_nobodys() {
        for damaged in [
            "",
            "argon2id$1$1$1$00$",
            "argon2id$4000000000$2$1$00$00",
            "md5$1$1$1$x$x",
        ] {
            assert!(!Digest::stored(damaged).is_of(""), "{damaged}");
        }
        assert!(!Digest::of_nobody().is_of("anything"));
    }

    #[test]
    fn a_one_time_password_is_long_enough_and_another_each_time() {
        let [one, other] = [one_time(), one_time()].map(|made| made.expect("random bytes"));
        assert!(
            is_long_enough(&one) && one.len() == 19 && one != other,
            "{one}"
        );
    }
}
