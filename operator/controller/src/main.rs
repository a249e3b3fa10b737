//! The operator's binary: settings from flags and environment, logs, and the run until a signal.

use std::process::ExitCode;

use clap::Parser;
use sky_operator::leader::{self, Lost};
use sky_operator::probe;
use sky_operator::settings::{Command, Settings};
use sky_operator::startup::{self, Unfit};

fn main() -> ExitCode {
    let settings = Settings::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,kube_runtime=warn"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stdout()));
    if settings.log_json {
        logs.json().init()
    } else {
        logs.init()
    }
    let outcome = run(settings);
    if let Err(error) = &outcome {
        tracing::error!("{error:#}");
    }
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Lost>() => ExitCode::from(leader::LOST),
        Err(error) if error.is::<Unfit>() => ExitCode::from(startup::UNFIT),
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        match &settings.command {
            Some(Command::Probe(wanted)) => probe::run(&settings, wanted).await,
            None => sky_operator::run::run(settings).await,
        }
    });
    // What is still under way is not waited for: it has had its time, or may write no more.
    runtime.shutdown_background();
    outcome
}
