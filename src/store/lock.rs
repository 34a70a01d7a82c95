//! One process a store: a locked file beside the database.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Write as _},
    path::Path,
    sync::Arc,
};

use super::{
    error::StoreError,
    file::{beside, cannot_open},
};

/// Longest process number that is read back from a lock file.
const PID_BYTES_MAX: u64 = 20;

/// Holds the store for this process until it is dropped. The file stays: to delete it would let a
/// third process lock a new file while a second still waits for the old one.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `database`.
    pub(super) fn take(database: &Path) -> Result<Self, StoreError> {
        let path = beside(database, ".lock");
        let shown: Arc<str> = database.display().to_string().into();
        let cannot = |error| cannot_open(&path, error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse {
                    path: shown,
                    pid: owner(&file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(cannot(source)),
        }
        file.set_len(0).map_err(cannot)?;
        // The number is help for a person, not part of the lock: a full disk must not stop a start
        // that could still serve queries.
        drop(file.write_all(std::process::id().to_string().as_bytes()));
        Ok(Self { _file: file })
    }

    /// Whether a process holds the lock of `database`.
    pub(super) fn is_held(database: &Path) -> bool {
        File::open(beside(database, ".lock"))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

fn owner(file: &File) -> Option<String> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    let pid = text.trim();
    (!pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit())).then(|| pid.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_who_holds_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("labwire.db");
        let held = Lock::take(&database).unwrap();
        let error = Lock::take(&database).unwrap_err();
        assert_eq!(error.code(), "STORE-0007");
        assert!(
            error.to_string().contains(&std::process::id().to_string()),
            "{error}"
        );
        drop(held);
        Lock::take(&database).unwrap();
    }
}
