//! The house in order: arrows between crates, sizes, headers, names, and what must not appear. Reads what git tracks.
//!
//! A ratchet: rules are only ever tightened, and an exception that nobody needs any more fails like a fault.
#![expect(
    clippy::expect_used,
    reason = "a checkout that cannot be read is a failed test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Crates and the crates of ours that each depends on, tests included.
const ARROWS: [(&str, &[&str]); 7] = [
    ("sky-crds", &[]),
    ("sky-core", &[]),
    ("sky-convert", &["sky-core", "sky-crds"]),
    ("sky-member", &["sky-core"]),
    (
        "sky-operator",
        &["sky-convert", "sky-core", "sky-crds", "sky-member"],
    ),
    ("kubectl-sky", &["sky-convert", "sky-core", "sky-crds"]),
    ("sky-e2e", &["sky-crds"]),
];

/// What sky-core depends on outside tests: nothing that could read a clock, a socket or a cluster. cel comes without its
/// feature chrono.
const CORE_NEEDS: [&str; 8] = [
    "cel",
    "json-patch",
    "regex",
    "serde",
    "serde_json",
    "sha2",
    "smallvec",
    "thiserror",
];

/// Lines of a file without its tests.
const MOST_LINES: usize = 500;
/// `//!` lines that open a file.
const MOST_HEADER: usize = 6;
/// Lines of ARCHITECTURE.md.
const MOST_ARCHITECTURE: usize = 150;

/// Words that say nothing or stand for a word of the glossary: in no name of a file, module, function or type.
const AVOIDED: &[&str] = &[
    "helper", "util", "common", "misc", "data", "info", "process", "handle", "hub", "worker", "task",
];

/// What code outside tests must not contain: where, but for these files, what, and why.
const ABSENT: [(&str, &[&str], &[&str], &str); 5] = [
    (
        "operator/core/src/",
        &[],
        &[
            "Instant",
            "SystemTime",
            "std::env",
            "std::fs",
            "std::net",
            "std::thread",
            "async fn",
        ],
        "core has no clock, no environment and no I/O",
    ),
    (
        "operator/convert/src/",
        &[],
        &[
            "Instant",
            "SystemTime",
            "Timestamp::now",
            "std::env",
            "std::fs",
            "async fn",
        ],
        "convert is pure, time is an argument",
    ),
    (
        "operator/",
        &[
            "operator/controller/src/run.rs",
            "operator/controller/src/fleet/mod.rs",
        ],
        &["spawn("],
        "only run and fleet spawn",
    ),
    (
        "operator/member/src/lib.rs",
        &[],
        &["k8s_openapi", "kube::"],
        "no Kubernetes type crosses the trait Member",
    ),
    (
        "cli/src/",
        &["cli/src/member.rs", "cli/src/commands/logs.rs"],
        &["sky_member"],
        "the plugin uses sky-member for logs and exec only",
    ),
];

/// Rule, file, reason. Nothing is added here.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    (
        "header",
        "crds/src/lib.rs",
        "lists what is guaranteed of an object that the API server has accepted",
    ),
    (
        "header",
        "crds/src/schema.rs",
        "lists what the schema leaves to the reader of a spec",
    ),
];

/// A file or crate that breaks a rule, and how.
struct Fault(String, String);

fn fault(place: &str, what: impl Into<String>) -> Fault {
    Fault(place.to_owned(), what.into())
}

/// Fails with every fault that no exception covers, and every exception that covers none.
fn judge(rule: &str, faults: &[Fault]) {
    let exceptions: Vec<&str> = EXCEPTIONS
        .iter()
        .filter(|(of, ..)| *of == rule)
        .map(|(_, path, _)| *path)
        .collect();
    let found = faults
        .iter()
        .filter(|fault| !exceptions.contains(&fault.0.as_str()));
    let found = found.map(|Fault(place, what)| format!("{place}: {what}"));
    let stale = exceptions
        .iter()
        .filter(|path| faults.iter().all(|fault| fault.0 != **path));
    let stale = stale.map(|path| format!("{path}: needs no exception any more, remove it"));
    let all: Vec<String> = found.chain(stale).collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .current_dir(root())
        .output()
        .expect(program);
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Text files that git tracks, by path, without those deleted in the working tree.
fn tracked() -> Vec<(String, String)> {
    let paths = output("git", &["ls-files", "-z"]);
    let read = |path: &str| Some((path.to_owned(), fs::read_to_string(root().join(path)).ok()?));
    paths.split_terminator('\0').filter_map(read).collect()
}

fn sources() -> Vec<(String, String)> {
    tracked()
        .into_iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .collect()
}

/// What of a source file is not its tests.
fn code<'t>(path: &str, text: &'t str) -> &'t str {
    if path.contains("/tests/") || path.ends_with("/tests.rs") {
        return "";
    }
    text.find("#[cfg(test)]\nmod ")
        .map_or(text, |tests| &text[..tests])
}

fn packages() -> Vec<Value> {
    let args = [
        "metadata",
        "--no-deps",
        "--offline",
        "--locked",
        "--format-version=1",
    ];
    let metadata: Value = serde_json::from_str(&output(env!("CARGO"), &args)).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn crates_depend_on_each_other_as_designed() {
    let (mut found, mut faults) = (BTreeSet::new(), Vec::new());
    for package in packages() {
        let from = string(&package["name"]);
        if ARROWS.iter().all(|(name, _)| *name != from) {
            faults.push(fault(&from, "a crate that the design does not know"));
        }
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = string(&dependency["name"]);
            if from == to {
                continue;
            } else if !dependency["path"].is_null() {
                found.insert((from.clone(), to));
            } else if from == "sky-core" && dependency["kind"].is_null() && !CORE_NEEDS.contains(&to.as_str())
            {
                faults.push(fault(&from, format!("depends on {to}, but core is pure")));
            }
        }
    }
    let drawn = ARROWS
        .iter()
        .flat_map(|(from, to)| to.iter().map(|to| ((*from).to_owned(), (*to).to_owned())));
    let drawn: BTreeSet<(String, String)> = drawn.collect();
    let wrong = found.difference(&drawn);
    faults.extend(wrong.map(|(from, to)| fault(from, format!("{from} -> {to} is no arrow of the design"))));
    let gone = drawn.difference(&found);
    faults
        .extend(gone.map(|(from, to)| fault(from, format!("{from} -> {to} is gone, remove it from ARROWS"))));
    judge("arrow", &faults);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let manifests = packages()
        .into_iter()
        .map(|package| string(&package["manifest_path"]));
    let without = manifests.filter(|path| {
        let manifest = fs::read_to_string(path).expect("a manifest");
        !manifest.contains("[lints]\nworkspace = true\n")
    });
    let faults: Vec<Fault> = without
        .map(|path| fault(&path, "lacks `workspace = true` under `[lints]`"))
        .collect();
    judge("lint", &faults);
}

#[test]
fn files_are_short() {
    let mut faults = Vec::new();
    for (path, text) in tracked() {
        let (lines, most) = match path.as_str() {
            "ARCHITECTURE.md" => (text.lines().count(), MOST_ARCHITECTURE),
            source if source.ends_with(".rs") => (code(source, &text).lines().count(), MOST_LINES),
            _ => continue,
        };
        if lines > most {
            faults.push(fault(
                &path,
                format!("{lines} lines without tests, at most {most}"),
            ));
        }
    }
    judge("size", &faults);
}

#[test]
fn every_source_file_opens_with_its_job() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let header = text.lines().take_while(|line| line.starts_with("//!")).count();
        if !(1..=MOST_HEADER).contains(&header) {
            faults.push(fault(
                &path,
                format!("opens with {header} `//!` lines, wanted are 1 to {MOST_HEADER}"),
            ));
        }
    }
    judge("header", &faults);
}

#[test]
fn no_name_has_a_word_that_the_glossary_avoids() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let of_path = path.trim_end_matches(".rs").split('/');
        let of_code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(names);
        let bad = of_path
            .chain(of_code)
            .filter_map(|name| Some((name, avoided(name)?)));
        faults.extend(bad.map(|(name, word)| fault(&path, format!("the name {name}: avoid {word}"))));
    }
    judge("name", &faults);
}

/// Modules, functions and types that a line of code defines.
fn names(line: &str) -> Vec<&str> {
    let tokens: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let defined = tokens
        .windows(2)
        .filter(|pair| ["mod", "fn", "struct", "enum", "trait"].contains(&pair[0]));
    defined.map(|pair| pair[1]).collect()
}

/// The avoided word in a name of either case, singular or plural.
fn avoided(name: &str) -> Option<&'static str> {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    let has = |word: &str| {
        snake
            .split(['_', '-'])
            .any(|part| part.trim_end_matches('s') == word.trim_end_matches('s'))
    };
    AVOIDED.iter().copied().find(|word| has(word))
}

#[test]
fn what_the_design_excludes_is_absent() {
    let attributes = ["#[", "#!["].map(|opened| format!("{opened}allow("));
    let mut faults = Vec::new();
    for (path, text) in sources() {
        for (place, but_for, excluded, why) in ABSENT {
            if path.starts_with(place) && !but_for.contains(&path.as_str()) {
                let found = excluded.iter().filter(|word| code(&path, &text).contains(**word));
                faults.extend(found.map(|word| fault(&path, format!("has `{word}`: {why}"))));
            }
        }
        if attributes.iter().any(|attribute| text.contains(attribute)) {
            faults.push(fault(
                &path,
                "silences a lint for good, use `#[expect(…, reason = …)]`",
            ));
        }
    }
    judge("absent", &faults);
}

#[test]
fn nothing_is_bound_to_one_machine() {
    let folders = ["work", "root", "home"].map(|folder| format!("/{folder}/"));
    let crates_io = "registry+https://github.com/rust-lang/crates.io-index";
    let mut faults = Vec::new();
    for (path, text) in tracked() {
        let found = folders.iter().filter(|folder| text.contains(*folder));
        faults.extend(found.map(|folder| fault(&path, format!("names {folder}, a folder of one machine"))));
        if path == "Cargo.lock" {
            let elsewhere = text
                .lines()
                .filter(|line| line.starts_with("source = ") && !line.contains(crates_io));
            faults.extend(elsewhere.map(|line| fault(&path, format!("not from crates.io: {line}"))));
        }
        if path == ".cargo/config.toml"
            && ["[source", "[registr"]
                .iter()
                .any(|section| text.contains(section))
        {
            faults.push(fault(
                &path,
                "names a registry, which is for each machine's own configuration",
            ));
        }
    }
    judge("machine", &faults);
}
