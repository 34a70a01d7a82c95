//! Promises of the command line that need no process.

use clap::CommandFactory as _;

use super::{Cli, failure::Failure};
use crate::store::StoreError;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_an_example_in_its_help() {
    fn walk(command: &clap::Command) {
        let name = command.get_name();
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        assert!(
            help.contains("Example") && help.contains("labwire "),
            "{name}: {help}"
        );
        command.get_subcommands().for_each(walk);
    }
    walk(&Cli::command());
}

#[test]
fn a_failure_tells_its_code_and_its_causes() {
    let failure = Failure::from(StoreError::DiskFull {
        path: "labwire.db".into(),
        source: Some(std::sync::Arc::new(std::io::Error::other("no space left"))),
    });
    assert_eq!(
        failure.told(),
        "labwire: the disk with labwire.db is full: free some space; devices keep their results \
         until then [STORE-0001]\n  because: no space left\n"
    );
}
