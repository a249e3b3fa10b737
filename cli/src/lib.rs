//! The kubectl plugin of Sky Manager: `kubectl sky …`. One file per command under `commands/`.
//!
//! Talks to the host with the user's own kubeconfig; to members only in join, unjoin and logs. It never has a right
//! that the user's credentials do not have.

pub mod client;
pub mod commands;
pub mod diagnosis;
pub mod documents;
pub mod errors;
pub mod fleet;
pub mod kinds;
pub mod kubeconfig;
pub mod member;
#[cfg(test)]
mod mock;
pub mod output;
pub mod pairs;
pub mod quantity;
#[cfg(test)]
mod stage;
pub mod subject;
pub mod table;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

/// Parses the arguments, runs the command, prints an error in one line.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match commands::Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            // A closed pipe is all that can go wrong here, and nobody is left to tell.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match commands::run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => errors::report(&error),
    }
}
