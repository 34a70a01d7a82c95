//! Why a command could not be carried out, in words for the technician on night duty.

use std::{error::Error, io, path::PathBuf, sync::Arc};

use labwire_drivers::PortError;
use thiserror::Error;

use crate::{bridge::StartError, demo::DemoError, store::StoreError};

/// Why a command could not be carried out: what was tried, and what to do about it.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bridge did not start.
    #[error("labwire did not start")]
    Start(#[from] StartError),
    /// The demo could not be played.
    #[error("the demo could not be played")]
    Demo(#[from] DemoError),
    /// A file cannot be read.
    #[error("cannot read {path}: check the name, and that you may read it")]
    CannotRead {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A capture is too long to be one.
    #[error(
        "{path} is longer than {limit_mb} MB: cut the part in question out of it, messages are found \
         again wherever it begins"
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit_mb: u64,
    },
    /// The files of the site are wrong; the text is the whole list.
    #[error("{list}")]
    Files {
        /// As [`render`](crate::config::render) wrote it.
        list: String,
    },
    /// A port cannot be opened.
    #[error("cannot listen")]
    Port(#[source] Arc<PortError>),
    /// A file cannot be written.
    #[error("cannot write {path}: check the folder, and that you may write there")]
    CannotKeep {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The command line asks for something that is not there or makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Standard output cannot be written.
    #[error("cannot write the answer: the disk or the program that reads it does not take it")]
    CannotWrite(#[source] io::Error),
    /// A thread or a runtime could not be started.
    #[error("cannot start: the system has run out of threads or memory")]
    CannotStart(#[source] io::Error),
    /// Whoever read the output has heard enough; no failure.
    #[error("the reader of the output went away")]
    PipeClosed,
}

impl Failure {
    /// The stable code that the manual explains.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Start(StartError::Store(error)) => error.code(),
            Self::Start(_) => "CLI-0301",
            Self::Demo(_) => "CLI-0302",
            Self::CannotRead { .. } => "CLI-0001",
            Self::TooLong { .. } => "CLI-0002",
            Self::Files { .. } => "CLI-0003",
            Self::CannotKeep { .. } => "CLI-0004",
            Self::Port(error) => error.code(),
            Self::Usage(_) => "CLI-0101",
            Self::CannotWrite(_) => "CLI-0201",
            Self::CannotStart(_) => "CLI-0202",
            Self::PipeClosed => "CLI-0000",
        }
    }

    /// The failure and its causes, each on a line.
    pub(crate) fn told(&self) -> String {
        let mut text = format!("labwire: {self} [{}]\n", self.code());
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(&format!("  because: {error}\n"));
            cause = error.source();
        }
        text
    }
}
