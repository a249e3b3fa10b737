//! The `sky-e2e` program, behind `cargo e2e`: reads the command line, `sky_e2e::commands` does the rest.

use std::process::ExitCode;

use clap::Parser;
use sky_e2e::commands::{self, CommandLine};

#[tokio::main]
async fn main() -> ExitCode {
    match commands::run(CommandLine::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
