//! The operator's binary: settings from flags and environment, logs, and the run until a signal.

use clap::Parser;
use sky_operator::settings::Settings;

fn main() -> anyhow::Result<()> {
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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(sky_operator::run::run(settings))
}
