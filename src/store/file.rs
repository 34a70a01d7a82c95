//! Files that hold patient data.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::error::StoreError;

/// Creates an empty file that nobody but its owner may read, where the system knows owners; leaves
/// a file alone that is there. SQLite gives the files beside a database the same rights.
pub(super) fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(cannot_open(path, error)),
        _ => Ok(()),
    }
}

/// Which file it is, whatever its name; `None` when nothing is there under the name. Where the system
/// has no numbers for files, that there is one.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    let data = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Some((data.dev(), data.ino()))
    }
    #[cfg(not(unix))]
    {
        data.is_file().then_some((0, 0))
    }
}

/// Refuses a database whose folder is not there.
pub(super) fn check_folder(database: &Path) -> Result<(), StoreError> {
    match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(StoreError::FolderMissing {
                path: folder.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// Puts the finished file `part` under the name `target`: its content on disk first, then the
/// name, then the name on disk.
pub(crate) fn publish(part: &Path, target: &Path) -> Result<(), StoreError> {
    let failed = |error| cannot_open(target, error);
    File::open(part)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    std::fs::rename(part, target).map_err(failed)?;
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // A folder cannot be opened for this on every system; where it can, a failure counts.
    match File::open(folder) {
        Ok(folder) => folder.sync_all().map_err(failed),
        Err(_) => Ok(()),
    }
}

/// Removes what an earlier attempt may have left.
pub(super) fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_open(path, error)),
        _ => Ok(()),
    }
}

/// Where a restore puts its copy together.
pub(super) fn restore_part(database: &Path) -> PathBuf {
    beside(database, ".restore")
}

/// Whether a restore of `database` began and never ended.
pub(super) fn is_restore_cut_off(database: &Path) -> bool {
    let part = restore_part(database);
    part.exists() || beside(&part, ".part").exists()
}

/// The name of a file that belongs to `path`.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The system does not let us have `path`.
pub(super) fn cannot_open(path: &Path, source: io::Error) -> StoreError {
    StoreError::CannotOpen {
        path: path.display().to_string().into(),
        source: Arc::new(source),
    }
}
