//! The workspace's own checks: format, lints, tests, with their counts. Run by `runner` before the suites.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, anyhow};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::report::Reporter;
use crate::runner::Counts;

/// The checkout.
pub fn root() -> PathBuf {
    let crate_folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().map(PathBuf::from).unwrap_or(crate_folder)
}

/// The cargo that runs us, so that the pinned toolchain is kept.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Runs all checks, one after the other, and shows what cargo says. Answers a line for each that failed.
pub async fn check(reporter: &Reporter) -> Result<(Counts, Vec<String>)> {
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    let lints: [(&str, &[&str]); 2] = [
        ("format", &["fmt", "--all", "--", "--check"]),
        (
            "lints",
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ],
        ),
    ];
    for (name, arguments) in lints {
        let step = reporter.step(name);
        let (success, _) = run(arguments, &[], reporter).await?;
        step.done();
        counts.add(if success { Counts::PASSED } else { Counts::FAILED });
        let line = format!("{} {name}", if success { "ok" } else { "FAILED" });
        reporter.result(&line);
        if !success {
            failures.push(line);
        }
    }
    let step = reporter.step("tests of the workspace");
    let (success, lines) = run(
        &["test", "--workspace", "--locked", "--no-fail-fast"],
        &[],
        reporter,
    )
    .await?;
    let mut tests = Counts::default();
    lines.iter().for_each(|line| tests.add(test_result(line)));
    step.done();
    if !success && tests.failed == 0 {
        // They did not even compile.
        tests.add(Counts::FAILED);
        failures.push("FAILED to compile the tests".to_owned());
    }
    counts.add(tests);
    let failed = |line: &String| line.starts_with("test ") && line.ends_with("... FAILED");
    failures.extend(lines.into_iter().filter(failed));
    Ok((counts, failures))
}

/// Runs cargo with these variables and passes its output on; answers whether it succeeded, and what it printed.
pub async fn run(
    arguments: &[&str],
    env: &[(&str, &str)],
    reporter: &Reporter,
) -> Result<(bool, Vec<String>)> {
    let mut child = Command::new(cargo())
        .args(arguments)
        .envs(env.iter().copied())
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("run cargo {}", arguments.join(" ")))?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| anyhow!("cargo without stdout"))?;
    let mut unread = BufReader::new(stdout).lines();
    let mut lines = Vec::new();
    while let Some(line) = unread.next_line().await? {
        reporter.result(&line);
        lines.push(line);
    }
    Ok((child.wait().await?.success(), lines))
}

/// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; …`
fn test_result(line: &str) -> Counts {
    let Some(rest) = line.trim().strip_prefix("test result:") else {
        return Counts::default();
    };
    let number = |what: &str| {
        let part = rest
            .split([';', '.'])
            .find_map(|part| part.trim().strip_suffix(what));
        part.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    };
    Counts {
        passed: number("passed"),
        failed: number("failed"),
        skipped: number("ignored"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_cargo_are_added_up() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.1s";
        assert_eq!(
            test_result(line),
            Counts {
                passed: 5,
                failed: 2,
                skipped: 1
            }
        );
        assert_eq!(test_result("test a::result ... ok"), Counts::default());
    }
}
