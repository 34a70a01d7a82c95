//! Standard output and standard error, written without losing a byte or a failure.

use std::{
    env, fmt,
    io::{self, BufWriter, IsTerminal, Write as _},
};

use super::failure::Failure;

/// Where the answer goes.
pub(crate) struct Out {
    to: BufWriter<Box<dyn io::Write>>,
    colour: bool,
    is_terminal: bool,
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out")
            .field("colour", &self.colour)
            .finish_non_exhaustive()
    }
}

impl Out {
    /// Standard output, locked for as long as the command runs.
    pub(crate) fn stdout() -> Self {
        let to = io::stdout().lock();
        let is_terminal = to.is_terminal();
        Self {
            colour: is_colour_welcome(&to),
            is_terminal,
            to: BufWriter::new(Box::new(to)),
        }
    }

    /// Whether colours are welcome.
    pub(crate) const fn colour(&self) -> bool {
        self.colour
    }

    /// Whether a person watches what is written.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes text as it is.
    pub(crate) fn text(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        self.to
            .write_all(text.to_string().as_bytes())
            .map_err(failed)
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.to.write_all(bytes).map_err(failed)
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        self.text(format_args!("{text}\n"))
    }

    /// Hands over what is still buffered.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.to.flush().map_err(failed)
    }
}

fn failed(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::PipeClosed
    } else {
        Failure::CannotWrite(error)
    }
}

/// Whether a person watches who has not asked for plain text. https://no-color.org: any value of
/// `NO_COLOR` but the empty one means no colours.
pub(super) fn is_colour_welcome(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
        && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && env::var_os("TERM").is_none_or(|value| value != "dumb")
}

/// Writes to standard error. If that fails too, nobody is left to be told.
pub(crate) fn complain(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}
