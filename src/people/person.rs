//! People as rows.

use serde::Serialize;

use crate::{
    audit,
    store::{Db, Row, Sql, StoreError},
    text::Language,
};

use super::{Digest, session};

const BY_LOGIN: Sql = Sql::same(
    "SELECT id, login, name, role, password, must_change, is_disabled, language, theme, \
     created_at FROM person WHERE login = $1",
);
const BY_ID: Sql = Sql::same(
    "SELECT id, login, name, role, password, must_change, is_disabled, language, theme, \
     created_at FROM person WHERE id = $1",
);
const LIST: Sql = Sql::same(
    "SELECT id, login, name, role, password, must_change, is_disabled, language, theme, \
     created_at FROM person ORDER BY is_disabled, login",
);
const COUNT: Sql = Sql::same("SELECT count(*) FROM person");
const INSERT: Sql = Sql::same(
    "INSERT INTO person (login, name, role, password, must_change, is_disabled, language, theme, \
     created_at, changed_at) VALUES ($1, $2, $3, $4, $5, 0, '', '', $6, $6) RETURNING id",
);
const PASSWORD: Sql = Sql::same(
    "UPDATE person SET password = $2, must_change = $3, is_disabled = 0, changed_at = $4 \
     WHERE id = $1",
);
const DISABLE: Sql = Sql::same("UPDATE person SET is_disabled = 1, changed_at = $2 WHERE id = $1");
const ROLE: Sql = Sql::same("UPDATE person SET role = $2, changed_at = $3 WHERE id = $1");
const SETTINGS: Sql = Sql::same("UPDATE person SET language = $2, theme = $3 WHERE id = $1");

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &BY_LOGIN, &BY_ID, &LIST, &COUNT, &INSERT, &PASSWORD, &DISABLE, &ROLE, &SETTINGS,
];

/// What a person may do; each may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees everything, changes nothing.
    Viewer,
    /// Decides about what waits: everything but what needs a verifier.
    Technician,
    /// Releases what needs a second pair of eyes, such as blood groups.
    Verifier,
    /// Manages people.
    Administrator,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: &'static [Self] = &[
        Self::Viewer,
        Self::Technician,
        Self::Verifier,
        Self::Administrator,
    ];

    /// As stored and written.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Technician => "technician",
            Self::Verifier => "verifier",
            Self::Administrator => "administrator",
        }
    }

    /// Reads what [`Role::code`] wrote.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.code() == code)
    }
}

/// How somebody likes the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `None`: the laboratory's.
    pub language: Option<Language>,
    /// True dark, false light, `None`: as the screen says.
    pub is_dark: Option<bool>,
}

/// Somebody who may use the console.
#[derive(Clone, Debug)]
pub struct Person {
    /// Row id.
    pub id: i64,
    /// The name to log in with, in lower case.
    pub login: String,
    /// The name as people say it.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What is kept of the password.
    pub password: Digest,
    /// Whether somebody else gave the password, so that it has to be changed first.
    pub must_change: bool,
    /// Whether they may not log in any more.
    pub is_disabled: bool,
    /// How they like the console.
    pub settings: Settings,
    /// UTC microseconds.
    pub created_at: i64,
}

/// Somebody to be added.
#[derive(Clone, Debug)]
pub struct NewPerson {
    /// See [`is_login`].
    pub login: String,
    /// The name as people say it.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What is kept of the password.
    pub password: Digest,
    /// Whether somebody else gave the password.
    pub must_change: bool,
}

/// There is somebody of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExistsAlready;

/// Whether a name can be logged in with: it stands in the audit and on the command line.
pub fn is_login(login: &str) -> bool {
    let is_plain =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    (2..=40).contains(&login.len()) && login.chars().all(is_plain)
}

fn read(row: &Row) -> Result<Person, StoreError> {
    let role =
        Role::from_code(row.text(3)?).ok_or_else(|| StoreError::value("unknown role in a row"))?;
    let language = row.text(7)?;
    let language = Language::ALL
        .iter()
        .copied()
        .find(|one| one.code() == language);
    Ok(Person {
        id: row.int(0)?,
        login: row.text(1)?.to_owned(),
        name: row.text(2)?.to_owned(),
        role,
        password: Digest::stored(row.text(4)?),
        must_change: row.bool(5)?,
        is_disabled: row.bool(6)?,
        settings: Settings {
            language,
            is_dark: match row.text(8)? {
                "dark" => Some(true),
                "light" => Some(false),
                _ => None,
            },
        },
        created_at: row.int(9)?,
    })
}

/// Somebody by the name to log in with.
///
/// # Errors
/// The store's.
pub fn by_login(db: &mut dyn Db, login: &str) -> Result<Option<Person>, StoreError> {
    let row = db.row_opt(&BY_LOGIN, &[login.into()])?;
    row.as_ref().map(read).transpose()
}

/// Somebody by row id.
///
/// # Errors
/// The store's.
pub fn by_id(db: &mut dyn Db, id: i64) -> Result<Option<Person>, StoreError> {
    let row = db.row_opt(&BY_ID, &[id.into()])?;
    row.as_ref().map(read).transpose()
}

/// Everybody, those who may log in first.
///
/// # Errors
/// The store's.
pub fn list(db: &mut dyn Db) -> Result<Vec<Person>, StoreError> {
    db.rows(&LIST, &[])?.iter().map(read).collect()
}

/// How many people there are, disabled ones too.
///
/// # Errors
/// The store's.
pub fn count(db: &mut dyn Db) -> Result<u64, StoreError> {
    db.row(&COUNT, &[])?.count(0)
}

/// Adds somebody.
///
/// # Errors
/// The store's.
pub fn add(
    db: &mut dyn Db,
    person: &NewPerson,
    actor: &str,
    now: i64,
) -> Result<Result<i64, ExistsAlready>, StoreError> {
    if by_login(db, &person.login)?.is_some() {
        return Ok(Err(ExistsAlready));
    }
    let params = [
        person.login.as_str().into(),
        person.name.as_str().into(),
        person.role.code().into(),
        person.password.as_str().into(),
        person.must_change.into(),
        now.into(),
    ];
    let id = db.insert(&INSERT, &params)?;
    let subject = format!("person:{}", person.login);
    audit::write(db, now, actor, "person-add", &subject, person.role.code())?;
    Ok(Ok(id))
}

/// Gives somebody a new password and ends their sessions; somebody disabled may log in again.
///
/// # Errors
/// The store's.
pub fn set_password(
    db: &mut dyn Db,
    person: &Person,
    (password, must_change): (&Digest, bool),
    actor: &str,
    now: i64,
) -> Result<(), StoreError> {
    let params = [
        person.id.into(),
        password.as_str().into(),
        must_change.into(),
        now.into(),
    ];
    db.exec(&PASSWORD, &params)?;
    session::end_all(db, person.id)?;
    let subject = format!("person:{}", person.login);
    let detail = if must_change { "by another" } else { "own" };
    audit::write(db, now, actor, "person-password", &subject, detail)
}

/// Somebody may not log in any more; their sessions end.
///
/// # Errors
/// The store's.
pub fn disable(db: &mut dyn Db, person: &Person, actor: &str, now: i64) -> Result<(), StoreError> {
    db.exec(&DISABLE, &[person.id.into(), now.into()])?;
    session::end_all(db, person.id)?;
    let subject = format!("person:{}", person.login);
    audit::write(db, now, actor, "person-disable", &subject, "")
}

/// Somebody may do other things from now on.
///
/// # Errors
/// The store's.
pub fn set_role(
    db: &mut dyn Db,
    person: &Person,
    role: Role,
    actor: &str,
    now: i64,
) -> Result<(), StoreError> {
    db.exec(&ROLE, &[person.id.into(), role.code().into(), now.into()])?;
    let subject = format!("person:{}", person.login);
    let detail = format!("{} to {}", person.role.code(), role.code());
    audit::write(db, now, actor, "person-role", &subject, &detail)
}

/// Keeps how somebody likes the console.
///
/// # Errors
/// The store's.
pub fn set_settings(db: &mut dyn Db, person: i64, settings: Settings) -> Result<(), StoreError> {
    let theme = match settings.is_dark {
        Some(true) => "dark",
        Some(false) => "light",
        None => "",
    };
    let language = settings.language.map_or("", Language::code);
    db.exec(&SETTINGS, &[person.into(), language.into(), theme.into()])?;
    Ok(())
}
