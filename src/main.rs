//! Labwire on the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    labwire::cli::main()
}
