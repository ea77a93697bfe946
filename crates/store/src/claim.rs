//! An exclusive lock on a file, held by one process at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Ownership of a file in a data folder: no other process can claim it until this is dropped.
///
/// The lock is on a file beside it, with the extension `lock`. The system releases it when the
/// process ends, also by SIGKILL.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    _lock: File,
}

/// Why a file cannot be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The folder or the lock file cannot be created or written.
    #[error("cannot create or write the data folder {path}; choose a writable one")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process has claimed it.
    #[error("{path} is in use by another process; stop it or choose another data folder")]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

// === impl Claim ===

impl Claim {
    /// Claims the file `name` in `folder`. Creates the folder if it is missing, but not the file.
    pub(crate) fn new(folder: &Path, name: &str) -> Result<Self, ClaimError> {
        let path = folder.join(name);
        let lock = try_lock(folder, &path.with_extension("lock")).map_err(|source| {
            let path = folder.to_owned();
            ClaimError::Folder { path, source }
        })?;
        match lock {
            Some(_lock) => Ok(Self { path, _lock }),
            None => Err(ClaimError::InUse { path }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// None where another process holds the lock.
fn try_lock(folder: &Path, path: &Path) -> io::Result<Option<File>> {
    fs::create_dir_all(folder)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
