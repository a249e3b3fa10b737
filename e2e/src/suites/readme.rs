//! Suite `readme`: what README.md tells a newcomer works as it stands. Its `sh` blocks run in order in one shell;
//! blocks of other languages are not run. The demonstration that it names runs too.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::FutureExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Case, Skip, Suite};
use crate::machine;
use crate::runner::Context;
use crate::workspace;

pub const SUITE: Suite = Suite {
    name: "readme",
    about: "the README can be typed line by line, and the demonstration holds",
    cases: &[
        Case {
            name: "every_shell_block_of_the_readme_succeeds",
            run: |context| blocks(context).boxed_local(),
        },
        Case {
            name: "every_claim_of_the_demonstration_holds",
            run: |context| demonstration(context).boxed_local(),
        },
    ],
};

const BOUND: Duration = Duration::from_secs(600);

/// What differs from a reader's shell: `cargo e2e` is the program that runs now, without waiting for a build, and
/// a watch, which a reader ends by Ctrl-C, ends by itself.
const PRELUDE: &str = r#"
cargo() {
  if [[ $1 = e2e ]]; then "$README_E2E" "${@:2}"; else command cargo "$@"; fi
}
kubectl() {
  if [[ " $* " = *" --watch "* ]]; then timeout 8 kubectl "$@" || [[ $? = 124 ]]; else command kubectl "$@"; fi
}
trap 'echo "failed: $BASH_COMMAND"' ERR
"#;

async fn blocks(context: &Context) -> Result<()> {
    if let Some(reason) = machine::no_real_nodes() {
        return Err(Skip(format!(
            "it reads logs, and there are no real nodes here: {reason}"
        ))
        .into());
    }
    let readme = std::fs::read_to_string(workspace::root().join("README.md")).context("read README.md")?;
    let blocks = shell_blocks(&readme);
    ensure!(blocks.len() >= 5, "{} blocks of sh in README.md", blocks.len());
    let mut bash = Command::new("bash");
    bash.args([
        "-Eeuo",
        "pipefail",
        "-c",
        &format!("{PRELUDE}\n{}", blocks.join("\n")),
    ]);
    let said = run(bash, &context.fresh_dir()).await?;
    for wanted in ["hello_sky", "mluo-onprem:1", "No resources found", "Sky!"] {
        ensure!(said.contains(wanted), "nothing says {wanted:?}:\n{said}");
    }
    context.remark(format!("{} blocks", blocks.len()));
    Ok(())
}

async fn demonstration(context: &Context) -> Result<()> {
    let mut demo = Command::new(ourselves());
    demo.arg("demo");
    let said = run(demo, &context.fresh_dir()).await?;
    let held = said.lines().filter(|line| line.starts_with("ok  ")).count();
    let skipped = said.lines().filter(|line| line.starts_with("skipped ")).count();
    ensure!(held > 0, "it claims nothing:\n{said}");
    context.remark(format!("{held} claims, {skipped} skipped"));
    Ok(())
}

/// Runs `command` in the checkout with a lab's place of its own; returns all it said.
async fn run(mut command: Command, dir: &Path) -> Result<String> {
    let mut output = tempfile::tempfile().context("make a file for the output")?;
    let mut child = command
        .current_dir(workspace::root())
        .env("SKY_LAB_DIR", dir)
        .env("README_E2E", ourselves())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .kill_on_drop(true)
        .spawn()
        .context("start it")?;
    let status = timeout(BOUND, child.wait()).await;
    let mut said = Vec::new();
    output.seek(SeekFrom::Start(0))?;
    output.read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said).into_owned();
    match status {
        Err(_) => bail!("not done in {} s:\n{said}", BOUND.as_secs()),
        Ok(status) => {
            let status = status?;
            ensure!(status.success(), "{status}:\n{said}");
            Ok(said)
        }
    }
}

/// The program that runs now, whatever cargo put in its place meanwhile.
fn ourselves() -> String {
    format!("/proc/{}/exe", std::process::id())
}

/// The part of a page from this heading to the next of its level.
pub(super) fn section<'a>(text: &'a str, heading: &str) -> Result<&'a str> {
    let (_, rest) = text
        .split_once(&format!("\n## {heading}\n"))
        .with_context(|| format!("no heading {heading:?}"))?;
    Ok(rest.split_once("\n## ").map_or(rest, |(part, _)| part))
}

/// The contents of the fenced blocks marked `sh`.
pub(super) fn shell_blocks(text: &str) -> Vec<String> {
    blocks_of(text, "sh")
}

/// The contents of the fenced blocks marked as of this language.
pub(super) fn blocks_of(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}");
    let (mut blocks, mut block) = (Vec::new(), None::<String>);
    for line in text.lines() {
        match &mut block {
            None if line == fence => block = Some(String::new()),
            None => {}
            Some(_) if line == "```" => blocks.extend(block.take()),
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_of_sh_are_run() {
        let text = "a\n```sh\none\ntwo\n```\n```text\nthree\n```\n```sh\nfour\n```\n";
        assert_eq!(shell_blocks(text), ["one\ntwo\n", "four\n"]);
    }

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let text = "# T\n\n## A\none\n### B\ntwo\n\n## C\nthree\n";
        assert_eq!(section(text, "A").unwrap(), "one\n### B\ntwo\n");
        assert_eq!(section(text, "C").unwrap(), "three\n");
        assert!(section(text, "B").is_err());
    }
}
