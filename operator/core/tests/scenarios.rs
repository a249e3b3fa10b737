//! Decisions as text: each file of `scenarios/` sets up clusters and workloads above `---` and shows below it what is
//! decided. `SCENARIOS=bless` writes what is decided now into the files, but for those that begin with `# DISPUTED`:
//! they show what the design demands and the code does not do yet.
#![expect(
    clippy::expect_used,
    reason = "a scenario that cannot be read or written is a failed test"
)]

mod language;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use language::difference::difference;

/// Fewer files than this were lost, not retired.
const FEWEST: usize = 120;
/// What parts a scenario from what is decided.
const RULE: &str = "---\n";

/// What came of one file.
enum Found {
    AsExpected,
    Disputed(String),
    Blessed,
    Wrong(String),
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// Files of all topics, by path.
fn files() -> Vec<PathBuf> {
    let list = |folder: &Path| {
        let entries = fs::read_dir(folder).expect("a folder");
        entries
            .map(|entry| entry.expect("an entry").path())
            .collect::<Vec<_>>()
    };
    let topics = list(&folder()).into_iter().filter(|path| path.is_dir());
    let mut files: Vec<PathBuf> = topics.flat_map(|topic| list(&topic)).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    files.sort();
    files
}

fn check(path: &Path, bless: bool) -> Found {
    let text = fs::read_to_string(path).expect("a text");
    let first = text.lines().next().unwrap_or_default();
    let disputed = first.starts_with("# DISPUTED ");
    if !first.contains('§') && !first.contains("Original") {
        return Found::Wrong("the first line cites no sentence of the design (# §4.3: …)".into());
    }
    let (setting, expected) = match text.split_once(RULE) {
        Some((setting, expected)) => (setting, Some(expected)),
        None => (text.as_str(), None),
    };
    let found = match language::parse(setting) {
        Ok(scenario) => language::report::report(scenario),
        Err(error) => return Found::Wrong(error),
    };
    if found.is_empty() {
        return Found::Wrong("asks nothing".into());
    }
    match expected {
        Some(expected) if expected == found && disputed => {
            Found::Wrong("is disputed no more: take the word DISPUTED off".into())
        }
        Some(expected) if expected == found => Found::AsExpected,
        Some(expected) if disputed => Found::Disputed(difference(expected, &found)),
        _ if bless && !disputed => {
            let between = if setting.ends_with('\n') { "" } else { "\n" };
            fs::write(path, format!("{setting}{between}{RULE}{found}")).expect("a file to write");
            Found::Blessed
        }
        Some(expected) => Found::Wrong(difference(expected, &found)),
        None => Found::Wrong(format!("has no expectation; this is decided:\n{found}")),
    }
}

/// Past the test's capture, so that counts are seen of a test that passes.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[test]
fn everything_is_decided_as_the_scenarios_say() {
    let bless = std::env::var("SCENARIOS").is_ok_and(|word| word == "bless");
    let (mut topics, mut blessed) = (BTreeMap::<String, usize>::new(), 0);
    let (mut disputed, mut wrong) = (Vec::new(), Vec::new());
    let files = files();
    for path in &files {
        let name = path.strip_prefix(folder()).unwrap_or(path).display().to_string();
        let topic = name.split('/').next().unwrap_or_default();
        *topics.entry(topic.to_owned()).or_default() += 1;
        match check(path, bless) {
            Found::AsExpected => {}
            Found::Blessed => blessed += 1,
            Found::Disputed(how) => disputed.push(format!("{name}\n{how}")),
            Found::Wrong(how) => wrong.push(format!("{name}\n{how}")),
        }
    }
    let topics: Vec<String> = topics
        .iter()
        .map(|(topic, count)| format!("{topic} {count}"))
        .collect();
    for one in &disputed {
        say(&format!("disputed: {one}"));
    }
    let (all, open) = (files.len(), disputed.len());
    say(&format!(
        "{all} scenarios ({}), {blessed} blessed, {open} disputed",
        topics.join(", ")
    ));
    assert!(
        wrong.is_empty(),
        "{} of {all} scenarios fail\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    assert!(all >= FEWEST, "{all} scenarios, want at least {FEWEST}");
}

#[test]
fn a_line_that_says_nothing_known_is_an_error_that_shows_it() {
    let error = |text: &str| language::parse(text).err().unwrap_or_default();
    assert!(error("# a comment\n\njbo train").starts_with("line 3: \"jbo\" begins no line"));
    assert!(error("job train replicsa 4").contains("\"replicsa\" says nothing about a workload"));
    assert!(error("cluster a | node: cpus 4").contains("\"cpus\" says nothing about a node"));
    assert!(error("stays train on a?").contains("no workload \"train\""));
}
