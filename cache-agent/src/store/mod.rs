//! The history: what invocations did, how large roots were, which thresholds were crossed. One SQLite file.
//!
//! Takes: finished records, through a bounded channel. Gives: answers about the past. Never: makes its
//! callers wait for a disk, or ends the agent because a disk is full or a file damaged.

pub mod files;
pub mod query;
pub mod record;
pub mod retain;
pub mod schema;
mod seen;
mod thread;
pub mod why;
pub mod write;
pub mod writer;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use self::files::{Identity, PlaceError};
use crate::{
    config::{Config, history::History},
    sys::clock::stamp,
};

/// Name of the database in the state directory.
pub const FILE_NAME: &str = "history.db";

/// Word in the name of a damaged database.
const DAMAGED: &str = "corrupt";
/// Word in the name of a database that could not grow.
const FULL: &str = "full";

/// A writer waits that long for another process' transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the history is, and how much of it is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Whether anything is kept at all.
    pub enabled: bool,
    /// The state directory.
    pub directory: PathBuf,
    /// Older records are removed.
    pub max_age: Duration,
    /// The oldest records are removed beyond that size of the file, in bytes.
    pub max_size: u64,
}

impl Settings {
    /// What a configuration says of the history.
    pub fn of(config: &Config) -> Self {
        let History {
            enabled,
            max_age,
            max_size,
        } = config.history;
        Self {
            enabled,
            directory: config.state.directory.clone(),
            max_age,
            max_size,
        }
    }
}

/// Why the history cannot be used, or not now.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Directory or file are not as they must be.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Another version of the agent wrote it: it is left alone.
    #[error(
        "{} has schema {found}, and this agent knows schemas up to {known}: it is left alone; \
         use the newer agent that wrote it, or another state directory",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest one known.
        known: i64,
    },
    /// A reader may not bring it up to date.
    #[error(
        "{} has schema {found}, older than {known}: `cache-agent run` brings it up to date",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The one needed.
        known: i64,
    },
    /// What SQLite says.
    #[error("the history cannot be used: {0}")]
    Database(rusqlite::Error),
}

/// Part of the sentence, so not a `source` that is printed again.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// What is to be done about an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// The file is no database, or no whole one.
    Damaged,
    /// There is no room.
    Full,
    /// Somebody else writes.
    Busy,
    /// Anything else.
    Other,
}

impl StoreError {
    /// The system does not let this user write there: not to be told to somebody who never asked for it.
    pub fn is_forbidden(&self) -> bool {
        match self {
            Self::Place(place) => place.is_forbidden(),
            Self::Database(error) => error.sqlite_error_code() == Some(ErrorCode::ReadOnly),
            Self::Newer { .. } | Self::Older { .. } => false,
        }
    }

    /// What kind of error it is.
    pub fn trouble(&self) -> Trouble {
        let Self::Database(error) = self else {
            return match self {
                Self::Place(place) if place.is_full() => Trouble::Full,
                _ => Trouble::Other,
            };
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Damaged,
            Some(ErrorCode::DiskFull) => Trouble::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Busy,
            _ => Trouble::Other,
        }
    }
}

/// An open history.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    identity: Identity,
}

impl Store {
    /// Opens the history of a state directory for writing; makes what is missing, brings the schema up to date.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let directory = files::prepare(directory)?;
        let path = directory.join(FILE_NAME);
        let identity = files::create_file(&path)?;
        let mut connection = Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX
                | OpenFlags::SQLITE_OPEN_NOFOLLOW,
        )?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        schema::refuse_newer(&connection, &path, schema::KNOWN)?;
        schema::configure(&connection)?;
        schema::migrate(&mut connection, &path, schema::MIGRATIONS)?;
        Ok(Self {
            connection,
            path,
            identity,
        })
    }

    /// Opens the history whatever became of it: one that was full is taken up again once there is room, a damaged
    /// one is set aside and another one made.
    pub fn open_or_replace(directory: &Path) -> Result<Opened, StoreError> {
        let directory = files::prepare(directory)?;
        let path = directory.join(FILE_NAME);
        let back = files::take_back(&path, FULL)?;
        if let Some(back) = &back {
            tracing::info!(path = %back.display(), "the history that was full is taken up again");
        }
        let is_back = back.is_some();
        match Self::open(&directory) {
            Err(error) if error.trouble() == Trouble::Damaged => {
                let aside = set_aside(&path, DAMAGED, &error)?;
                let store = Self::open(&directory)?;
                Ok(Opened {
                    store,
                    aside: Some(aside),
                    is_back,
                })
            }
            opened => opened.map(|store| Opened {
                store,
                aside: None,
                is_back,
            }),
        }
    }

    /// Opens the history of a state directory for reading only.
    pub fn read(directory: &Path) -> Result<Self, StoreError> {
        let path = files::find(directory)?.join(FILE_NAME);
        let identity = files::find_file(&path)?;
        let connection = connect_to_read(&path)?;
        let (found, known) = (schema::version(&connection)?, schema::KNOWN);
        match found.cmp(&known) {
            std::cmp::Ordering::Greater => Err(StoreError::Newer { path, found, known }),
            std::cmp::Ordering::Less => Err(StoreError::Older { path, found, known }),
            std::cmp::Ordering::Equal => Ok(Self {
                connection,
                path,
                identity,
            }),
        }
    }

    /// Closes a database that was displaced. Whatever has its name now, and the log of that, is left alone:
    /// otherwise SQLite would remove the log by name.
    fn abandon(self) {
        let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if let Err(error) = self.connection.set_db_config(keep_log, true) {
            tracing::debug!(%error, "cannot close a displaced history without its log");
            // Left open rather than closed in a harmful way.
            std::mem::forget(self.connection);
        }
    }

    /// The database.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path still leads to the file that is open: it may have been removed or set aside by others.
    pub fn is_in_place(&self) -> bool {
        files::find_file(&self.path).is_ok_and(|found| found == self.identity)
    }
}

/// A history, and what had to be done for it.
#[derive(Debug)]
pub struct Opened {
    /// The history.
    pub store: Store,
    /// What was set aside and why, one sentence.
    pub aside: Option<String>,
    /// It had been set aside before.
    pub is_back: bool,
}

/// Sets a database aside; one sentence about it.
fn set_aside(path: &Path, reason: &str, error: &StoreError) -> Result<String, StoreError> {
    let aside = files::set_aside(path, reason, &stamp())?;
    tracing::error!(%error, aside = %aside.display(), "history set aside");
    Ok(format!("{error}; it was set aside as {}", aside.display()))
}

/// A database with a write-ahead log needs its shared memory file even to be read. Where that file is absent
/// and cannot be made (the directory is somebody else's), nobody writes, and the file alone is the whole truth.
fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connect = |path: &Path, more: OpenFlags| {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(path, flags | more)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        schema::configure_to_read(&connection)?;
        Ok(connection)
    };
    match connect(path, OpenFlags::empty()) {
        Err(rusqlite::Error::SqliteFailure(error, _))
            if matches!(error.code, ErrorCode::CannotOpen | ErrorCode::ReadOnly)
                && !files::with_suffix(path, "-wal").exists() =>
        {
            connect(&files::immutable_uri(path), OpenFlags::SQLITE_OPEN_URI)
        }
        connected => connected,
    }
}

#[cfg(test)]
mod tests;
