//! The claim of a file: one process at a time has it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A file in a data folder that this process alone uses, for as long as this lives.
///
/// The lock is on a file beside it, which a kill frees and a restart finds free.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    _lock: File,
}

/// Why a data file is not this process's.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The folder or the lock file cannot be made.
    #[error("cannot make or write the data folder {path}; choose one that is writable")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{path} is in use by another process; stop it or choose another data folder")]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

// === impl Claim ===

impl Claim {
    /// Claims `name` in `folder`, which is made if it is missing; the file itself is not.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be written, or another process has the file.
    pub(crate) fn of(folder: &Path, name: &str) -> Result<Self, ClaimError> {
        let path = folder.join(name);
        let lock = lock(folder, &path.with_extension("lock")).map_err(|source| {
            let path = folder.to_owned();
            ClaimError::Folder { path, source }
        })?;
        match lock {
            Some(_lock) => Ok(Self { path, _lock }),
            None => Err(ClaimError::InUse { path }),
        }
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// None when another process has it.
fn lock(folder: &Path, path: &Path) -> io::Result<Option<File>> {
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
