//! What is there, what is missing and what to do about it, without changing anything.
//! Called by `commands`; looks through the same eyes as `up`.

use std::path::Path;

use anyhow::Result;

use crate::lab::Lab;
use crate::machine;
use crate::packages::{self, Package};
use crate::procfs;
use crate::programs::{self, go_version};
use crate::report::Reporter;
use crate::state;
use crate::sweep;

/// MiB that host and three members take.
const MEMORY: u64 = 3000;

/// Looks at everything; false when `up` would fail.
pub fn run(dir: &Path, reporter: &Reporter) -> Result<bool> {
    let say = |good: bool, text: String| {
        reporter.result(format!("{} {text}", if good { "ok     " } else { "MISSING" }));
        good
    };
    let real = machine::no_real_nodes();
    match &real {
        None => say(true, "real nodes and Slurm members can run here".to_owned()),
        Some(reason) => say(
            true,
            format!("no real nodes here ({reason}): kwok nodes instead; no Slurm members"),
        ),
    };
    let mut good = say(cfg!(target_os = "linux"), "Linux".to_owned());
    if real.is_none() {
        good &= check_packages("real nodes", &packages::of_real_nodes(), &say);
        // The default lab has no Slurm member.
        check_packages("Slurm members", &packages::of_slurm(true, true, true), &say);
    }
    // Nor has it what single suites need.
    for (suite, packages) in packages::of_suites() {
        check_packages(suite, &packages, &say);
    }
    good &= check_programs(real.is_none(), &say)?;
    good &= say(
        machine::find("setsid").is_some(),
        "setsid (util-linux)".to_owned(),
    );
    let memory = machine::memory_available().unwrap_or(0);
    say(
        memory >= MEMORY,
        format!("{memory} MiB of memory available; four clusters take {MEMORY}"),
    );
    good &= check_dir(dir, &say);
    reporter.result(if good {
        "`cargo e2e up` can run"
    } else {
        "`cargo e2e up` would fail"
    });
    Ok(good)
}

fn check_packages(what: &str, packages: &[Package], say: &impl Fn(bool, String) -> bool) -> bool {
    for package in packages {
        match &package.found {
            Some(path) => say(true, format!("{}, for {what} ({})", package.name, path.display())),
            None => say(false, format!("{}, for {what}", package.name)),
        };
    }
    let missing = packages::missing(packages);
    if missing.is_empty() {
        return true;
    }
    let installs = machine::is_root() && machine::find("apt-get").is_some();
    let who = if installs {
        "`up` installs them"
    } else {
        "install them"
    };
    say(installs, format!("{who}; {}", packages::remedy(&missing)))
}

fn check_programs(real: bool, say: &impl Fn(bool, String) -> bool) -> Result<bool> {
    let (mut notes, mut to_build) = (Vec::new(), Vec::new());
    for name in programs::wanted(real, true) {
        match programs::look(name, &mut notes)? {
            Some(found) => {
                say(
                    true,
                    format!(
                        "{name} {} ({}, {})",
                        found.version,
                        found.from,
                        found.path.display()
                    ),
                );
            }
            None => to_build.push(name),
        }
    }
    for note in notes {
        say(true, note);
    }
    let go = go_version();
    if to_build.is_empty() {
        return Ok(true);
    }
    say(
        true,
        format!("to be built by `up`, once, some minutes: {}", to_build.join(", ")),
    );
    Ok(match go {
        Ok(version) => say(true, version),
        Err(error) => say(false, error.to_string()),
    })
}

fn check_dir(dir: &Path, say: &impl Fn(bool, String) -> bool) -> bool {
    let place = dir.display();
    if Lab::open(dir).is_ok() {
        let count = procfs::of_lab(dir).len();
        return say(true, format!("a lab is up at {place}, {count} programs run"));
    }
    let left = sweep::leftovers(dir);
    if !left.is_empty() {
        return say(
            true,
            format!(
                "{} leftovers of a lab at {place}: `up` and `down` take them away",
                left.len()
            ),
        );
    }
    let empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    if empty || state::is_lab(dir) {
        return say(true, format!("no lab is up at {place}"));
    }
    say(
        false,
        format!("{place} holds something else than a lab: use --dir"),
    )
}
