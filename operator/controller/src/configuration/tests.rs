//! A file that changes, breaks, vanishes and comes back.

use std::fs;

use sky_core::plugins;
use tempfile::TempDir;

use super::*;

const HEAD: &str = "apiVersion: config.skymanager.io/v1alpha1\nkind: OperatorConfiguration\n";

fn with_timeout(seconds: i64) -> String {
    format!("{HEAD}defaults:\n  pendingTimeoutSeconds: {seconds}\n")
}

async fn started(path: &Path) -> (Follower, Configured) {
    Follower::start(Some(path.to_owned()), plugins::builtin())
        .await
        .unwrap()
}

async fn refusal(path: PathBuf) -> String {
    match Follower::start(Some(path), plugins::builtin()).await {
        Ok(_) => panic!("started"),
        Err(error) => error.to_string(),
    }
}

/// As often as it takes for a change to count.
async fn look(follower: &mut Follower) {
    follower.look().await;
    follower.look().await;
}

fn timeout(configured: &Configured) -> i64 {
    configured.current.borrow().defaults.pending_timeout_seconds
}

fn last_error(configured: &Configured) -> String {
    configured.last_error.borrow().clone().unwrap_or_default()
}

#[tokio::test]
async fn a_bad_or_absent_file_ends_the_start() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("c.yaml");
    assert!(refusal(path.clone()).await.contains("No such file"));
    fs::write(
        &path,
        format!("{HEAD}scheduler:\n  plugins:\n    - name: Tains\n"),
    )
    .unwrap();
    let words = refusal(path.clone()).await;
    assert!(
        words.starts_with(&format!("use the configuration {}: ", path.display())),
        "{words}"
    );
    assert!(
        words.contains("scheduler.plugins[0].name, line 5, column 13: "),
        "{words}"
    );
    fs::write(&path, b"\xff\xfe").unwrap();
    let words = refusal(path).await;
    assert!(words.contains("utf-8"), "{words}");
    let words = refusal(folder.path().to_owned()).await;
    assert!(words.contains("directory"), "{words}");
}

#[test]
fn the_example_is_accepted() {
    let text = include_str!("../../examples/configuration.yaml");
    let configuration = parse_for(text, &plugins::builtin()).unwrap();
    assert_eq!(configuration.expressions.len(), 3);
    assert_eq!(configuration.plugins.len(), plugins::builtin().len() - 1 + 3);
}

#[tokio::test]
async fn without_a_file_every_plugin_is_in_force() {
    let (mut follower, configured) = Follower::start(None, plugins::builtin()).await.unwrap();
    look(&mut follower).await;
    assert_eq!(
        configured.current.borrow().plugins.len(),
        plugins::builtin().len()
    );
    assert!(!configured.current.has_changed().unwrap());
}

#[tokio::test]
async fn new_content_counts_when_it_has_settled() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("c.yaml");
    fs::write(&path, with_timeout(1)).unwrap();
    let (mut follower, configured) = started(&path).await;
    fs::write(&path, with_timeout(2)).unwrap();
    follower.look().await;
    assert_eq!(timeout(&configured), 1);
    fs::write(&path, with_timeout(3)).unwrap();
    follower.look().await;
    assert_eq!(timeout(&configured), 1);
    follower.look().await;
    assert_eq!(timeout(&configured), 3);
}

#[tokio::test]
async fn bad_content_leaves_the_last_good_and_says_so_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("c.yaml");
    fs::write(&path, with_timeout(1)).unwrap();
    let (mut follower, mut configured) = started(&path).await;
    let bad = "scheduler:\n  expressions:\n    - name: eu\n      filter: cluster.lables.region == \"eu\"\n";
    fs::write(&path, format!("{HEAD}{bad}")).unwrap();
    look(&mut follower).await;
    assert_eq!(timeout(&configured), 1);
    let words = last_error(&configured);
    assert!(
        words.contains("scheduler.expressions[0].filter, line 6, column 23: "),
        "{words}"
    );
    assert!(words.contains("did you mean \"labels\"?"), "{words}");
    configured.last_error.mark_unchanged();
    look(&mut follower).await;
    assert!(!configured.last_error.has_changed().unwrap());
    assert!(!configured.current.has_changed().unwrap());
    fs::write(&path, with_timeout(2)).unwrap();
    look(&mut follower).await;
    assert_eq!(
        (timeout(&configured), last_error(&configured)),
        (2, String::new())
    );
}

#[tokio::test]
async fn a_vanished_file_leaves_the_last_good() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("c.yaml");
    fs::write(&path, with_timeout(1)).unwrap();
    let (mut follower, mut configured) = started(&path).await;
    fs::remove_file(&path).unwrap();
    look(&mut follower).await;
    assert_eq!(timeout(&configured), 1);
    assert!(last_error(&configured).contains("No such file"));
    configured.last_error.mark_unchanged();
    look(&mut follower).await;
    assert!(!configured.last_error.has_changed().unwrap());
    fs::write(&path, with_timeout(1)).unwrap();
    look(&mut follower).await;
    assert_eq!(last_error(&configured), "");
}

/// As kubelet does it: the file is a link through `..data`, a link that is replaced as a whole.
#[tokio::test]
async fn a_swapped_link_is_noticed() {
    use std::os::unix::fs::symlink;
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, seconds) in [("v1", 1), ("v2", 2)] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("c.yaml"), with_timeout(seconds)).unwrap();
    }
    symlink("v1", at("..data")).unwrap();
    symlink("..data/c.yaml", at("c.yaml")).unwrap();
    let (mut follower, configured) = started(&at("c.yaml")).await;
    symlink("v2", at("..next")).unwrap();
    fs::rename(at("..next"), at("..data")).unwrap();
    fs::remove_dir_all(at("v1")).unwrap();
    look(&mut follower).await;
    assert_eq!(timeout(&configured), 2);
}

#[tokio::test(start_paused = true)]
async fn the_file_is_followed_until_stopped() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("c.yaml");
    fs::write(&path, with_timeout(1)).unwrap();
    let (follower, mut configured) = started(&path).await;
    let stop = CancellationToken::new();
    let following = tokio::spawn(follower.run(stop.clone()));
    let begun = tokio::time::Instant::now();
    fs::write(&path, with_timeout(2)).unwrap();
    configured.current.changed().await.unwrap();
    assert_eq!(timeout(&configured), 2);
    assert!(begun.elapsed() <= INTERVAL * 3);
    stop.cancel();
    following.await.unwrap();
}
