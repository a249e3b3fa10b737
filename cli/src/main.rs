//! The binary `kubectl-sky`, which kubectl runs as `kubectl sky`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    kubectl_sky::run(std::env::args_os()).await
}
