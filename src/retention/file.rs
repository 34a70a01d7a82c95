//! Files of archives: written, brought to disk, read again; and read by people.
//!
//! Lines of JSON. The first says what the file is, then one line for each unit: `rows` is what left the
//! store, by table and column, `about` what it is to be read with (patient, tube, orders, pictures). The
//! last line has the number of units and the SHA-256 of every byte before it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::unit::Unit;
use crate::{
    people::hex,
    store::{
        StoreError, publish,
        seal::{self, Keys, Lines, Recipients, Seal, Writer, damaged, shown},
    },
};

const FORMAT: u32 = 1;

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    units: u64,
    sha256: String,
}

/// What a file holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    pub(super) kind: &'static str,
    pub(super) before: i64,
    pub(super) now: i64,
}

/// Writes a file, reads all of it again, and gives it its name.
pub(super) fn write(
    target: &Path,
    recipients: &Recipients,
    about: About,
    units: &[Value],
) -> Result<Seal, StoreError> {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut writer = Writer::create(&part, recipients)?;
    let mut hash = Sha256::new();
    let instant = |at| {
        jiff::Timestamp::from_microsecond(at)
            .unwrap_or_default()
            .to_string()
    };
    let header = json!({
        "labwire": "archive", "format": FORMAT, "program": env!("CARGO_PKG_VERSION"),
        "kind": about.kind, "before": instant(about.before), "made": instant(about.now),
    });
    for value in [&header].into_iter().chain(units) {
        let line = line(value)?;
        hash.update(&line);
        writer.add(&line)?;
    }
    let end = End {
        units: u64::try_from(units.len()).unwrap_or(0),
        sha256: hex(&hash.finalize()),
    };
    writer.add(&line(&end)?)?;
    let (written, witness) = writer.finish()?;
    let unsound = || StoreError::BackupUnsound {
        path: shown(target),
        finding: "the disk holds other bytes than were written".to_owned(),
    };
    if seal::sha256(&part)? != written.sha256 {
        return Err(unsound());
    }
    let mut at = 0;
    let mut is_same = true;
    read(&part, Some(&witness), &mut |value| {
        is_same &= units.get(at) == Some(&value);
        at += 1;
    })?;
    if !is_same || at != units.len() {
        return Err(unsound());
    }
    publish(&part, target)?;
    Ok(written)
}

fn line(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut line = serde_json::to_vec(value)
        .map_err(|_| StoreError::value("a line of an archive that cannot be written"))?;
    line.push(b'\n');
    Ok(line)
}

/// Reads a file and proves that it is whole; gives each unit to `each`.
pub(super) fn read(
    path: &Path,
    keys: Option<&Keys>,
    each: &mut dyn FnMut(Value),
) -> Result<u64, StoreError> {
    let mut lines = Lines::open(path, keys)?;
    let wrong = |what: &str| damaged(&shown(path), what);
    let mut hash = Sha256::new();
    let mut count = 0_u64;
    let mut has_header = false;
    while let Some(bytes) = lines.next()? {
        let value: Value = serde_json::from_slice(bytes).map_err(|_| wrong("a line is no JSON"))?;
        if !has_header {
            if value.get("labwire").is_none_or(|kind| kind != "archive") {
                return Err(StoreError::NotLabwire { path: shown(path) });
            }
            has_header = true;
        } else if value.get("sha256").is_some() {
            let end: End = serde_json::from_value(value).map_err(|_| wrong("its end is broken"))?;
            let is_whole = end.sha256 == hex(&hash.finalize()) && end.units == count;
            return match (is_whole, lines.next()?) {
                (true, None) => Ok(count),
                _ => Err(wrong("it is not what was written")),
            };
        } else {
            count += 1;
            each(value);
        }
        hash.update(bytes);
    }
    Err(wrong("its end is missing"))
}

/// A unit as a line.
pub(super) fn of_unit(unit: &Unit) -> Value {
    json!({ "tubes": unit.barcodes(), "rows": unit.rows, "about": unit.about })
}

/// Names of the archives of a folder, oldest first.
///
/// # Errors
/// What the system says.
pub fn list(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        names.extend(
            name.to_str()
                .filter(|name| is_archive(name))
                .map(str::to_owned),
        );
    }
    names.sort();
    Ok(names)
}

/// Whether a name is one that archives have.
pub(super) fn is_archive(name: &str) -> bool {
    name.starts_with("labwire-archive-")
        && (name.ends_with(".jsonl.gz") || name.ends_with(".jsonl.gz.age"))
}

/// Reads all of a file and proves that it is whole; returns how many units it has.
///
/// # Errors
/// [`StoreError::CopyDamaged`], and what is wrong with a key.
pub fn verify(path: &Path, keys: Option<&Keys>) -> Result<u64, StoreError> {
    read(path, keys, &mut |_| {})
}

/// What was found of a tube.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// In which file.
    pub file: PathBuf,
    /// The unit, as it stands there.
    pub unit: Value,
}

/// The units of a tube in one file.
///
/// # Errors
/// As [`verify`].
pub fn search(path: &Path, keys: Option<&Keys>, barcode: &str) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    read(path, keys, &mut |unit| {
        let tubes = unit.get("tubes").and_then(Value::as_array);
        if tubes.is_some_and(|tubes| tubes.iter().any(|tube| tube == barcode)) {
            let file = path.to_owned();
            found.push(Found { file, unit });
        }
    })?;
    Ok(found)
}
