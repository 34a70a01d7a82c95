//! The people who use the console: who they are, what they may do, and that they are there.
//!
//! A password is kept as argon2id, a session as the hash of what its cookie says; neither can be
//! read back. Every change is a row of the audit.

mod lockout;
mod password;
mod person;
mod session;

pub use self::{
    lockout::{Locked, Lockout},
    password::{Digest, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, is_long_enough, one_time},
    person::{
        ExistsAlready, NewPerson, Person, Role, Settings, add, by_id, by_login, count, disable,
        is_login, list, set_password, set_role, set_settings,
    },
    session::{IDLE_MICROS, Ticket, begin, check, end, end_all, sweep},
};

#[cfg(test)]
use crate::store::Sql;

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static Sql> {
    [person::ALL, session::ALL].concat()
}

/// Random bytes of the system.
///
/// # Errors
/// The system has none; nothing secret can be made then.
pub fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
