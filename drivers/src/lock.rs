//! Locks of serial ports: opening one twice succeeds (always so as root), and then each reader gets
//! half of the bytes. A lock file keeps other processes out, a set keeps other lines of this one out.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::error::PortError;

/// The ports that lines of this process have.
static TAKEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Holds a serial port for one line; dropping it lets go.
#[derive(Debug)]
pub(crate) struct PortLock {
    device: PathBuf,
    /// The system lets go of the lock when the file is closed, also when the process dies.
    _file: File,
}

impl PortLock {
    /// Takes `device`, a path without symbolic links, so that two names of one port collide.
    pub(crate) fn take(device: &Path, lock_dir: &Path) -> Result<Self, PortError> {
        if !taken().insert(device.to_owned()) {
            let by = "another line of this Labwire".to_owned();
            return Err(PortError::SerialInUse {
                path: device.to_owned(),
                by,
            });
        }
        match lock_file(device, lock_dir) {
            Ok(file) => Ok(Self {
                device: device.to_owned(),
                _file: file,
            }),
            Err(error) => {
                taken().remove(device);
                Err(error)
            }
        }
    }
}

impl Drop for PortLock {
    fn drop(&mut self) {
        taken().remove(&self.device);
    }
}

fn taken() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock_file(device: &Path, lock_dir: &Path) -> Result<File, PortError> {
    let path = lock_dir.join(file_name(device));
    let in_words = |source| PortError::LockFile {
        path: path.clone(),
        source,
    };
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(in_words)?;
    match file.try_lock() {
        Ok(()) => write_owner(&mut file).map_err(in_words).map(|()| file),
        Err(TryLockError::WouldBlock) => Err(PortError::SerialInUse {
            path: device.to_owned(),
            by: owner(&mut file),
        }),
        Err(TryLockError::Error(source)) => Err(in_words(source)),
    }
}

/// `/dev/ttyUSB0` gives `labwire-dev-ttyUSB0.lock`.
fn file_name(device: &Path) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = device.to_string_lossy().chars().map(plain).collect();
    format!("labwire-{}.lock", name.trim_matches('-'))
}

fn write_owner(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(std::process::id().to_string().as_bytes())
}

fn owner(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(20).read_to_string(&mut text) {
        Ok(_) if !text.is_empty() => format!("the process {text}"),
        Ok(_) | Err(_) => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> PathBuf {
        PathBuf::from(format!("/dev/lock-test-{name}"))
    }

    #[test]
    fn second_line_is_refused_until_the_first_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let first = PortLock::take(&device("a"), dir.path()).unwrap();
        let error = PortLock::take(&device("a"), dir.path()).unwrap_err();
        assert_eq!(error.code(), "DRV-0111");
        assert!(
            error.to_string().contains("another line of this Labwire"),
            "{error}"
        );
        drop(first);
        PortLock::take(&device("a"), dir.path()).unwrap();
    }

    #[test]
    fn another_process_is_refused_and_named() {
        let dir = tempfile::tempdir().unwrap();
        // What another process does: it locks the file, and knows nothing of our set.
        let mut theirs = File::create(dir.path().join(file_name(&device("b")))).unwrap();
        theirs.try_lock().unwrap();
        theirs.write_all(b"4711").unwrap();
        let error = PortLock::take(&device("b"), dir.path()).unwrap_err();
        assert!(
            error.to_string().contains("in use by the process 4711"),
            "{error}"
        );
        drop(theirs);
        PortLock::take(&device("b"), dir.path()).unwrap();
    }

    #[test]
    fn lock_directory_that_is_missing_is_named_and_blocks_nobody_later() {
        let dir = tempfile::tempdir().unwrap();
        let error = PortLock::take(&device("c"), &dir.path().join("missing")).unwrap_err();
        assert_eq!(error.code(), "DRV-0112");
        PortLock::take(&device("c"), dir.path()).unwrap();
    }
}
