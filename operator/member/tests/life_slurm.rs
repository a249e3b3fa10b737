//! Shares run to their end on a real Slurm member, named as for conformance_slurm.rs; each replica runs once and gets what
//! it was given, which is hostile to shells.

#![expect(clippy::expect_used, reason = "what a test cannot go on without")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use sky_core::observation::{End, Item, ItemKey, MemberEvent, Observation};
use sky_core::ranks::Ranks;
use sky_core::resources::Resources;
use sky_core::share::{Accelerator, Container, Entry, EnvValue, Program, Retry, Share, ShareKey, Stamp};
use sky_core::workload::Kind;
use sky_member::slurm::{Access, Slurm};
use sky_member::{Desired, LogQuery, Member};

const HOSTILE: &str = "a 'b' \"c\" $(id) `id`\n#SBATCH --hold\n;exit 7 \\ é";
const SHARES: usize = 20;

fn variable(name: &str) -> String {
    let name = format!("SKY_CONFORMANCE_SLURM_{name}");
    std::env::var(&name).expect(&name)
}

fn share(run: &str, number: usize, directory: &str) -> Share {
    let name = format!("life-{run}-{number}");
    let script = format!("echo \"$SKY_JOB $SKY_RANK\" >> {directory}/ledger; printf '%s' \"$TEXT\"");
    Share {
        key: ShareKey {
            kind: sky_core::workload::Kind::SkyJob,
            namespace: "life".into(),
            object: name.clone(),
        },
        stamp: Stamp {
            origin: "life".into(),
            kind: Kind::SkyJob,
            namespace: "life".into(),
            name: name.clone(),
            uid: name,
            run: String::new(),
            share: "1-0".into(),
            attempt: 1,
            spec_hash: "h".into(),
        },
        cluster: "hpc".into(),
        replicas: 3,
        total_replicas: 3,
        ranks: Ranks::consecutive(0, 3),
        suspended: false,
        known: false,
        instance: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        program: Program::Container(Container {
            entry: Entry::Script(script),
            env: vec![("TEXT".into(), EnvValue::Literal(HOSTILE.into()))],
            no_image: true,
            slurm: Some(Box::default()),
            ..Container::default()
        }),
        requests: Resources::new(1000, 50 << 20),
        accelerator: number.is_multiple_of(4).then(|| Accelerator {
            resource: "gpu".into(),
            count: 1,
            models: vec!["a100".into()],
        }),
        retry: Retry::Replace(0),
        progress_deadline: None,
        patches: vec![],
    }
}

/// What is known of the shares, as an operator would.
struct Book {
    shares: BTreeMap<ShareKey, Share>,
    seen: BTreeMap<ShareKey, Observation>,
    released: BTreeSet<ShareKey>,
    done: BTreeSet<ShareKey>,
}

impl Book {
    fn hear(&mut self, event: MemberEvent) {
        let (items, gone) = match event {
            MemberEvent::Reset(items) => {
                self.seen.clear();
                (items, Vec::new())
            }
            MemberEvent::Changed { upserts, gone } => (upserts, gone),
            MemberEvent::Lost(_) => return,
        };
        for item in items {
            // Those of runs before are listed until slurmctld forgets them.
            let Item::Share(seen) = item else { continue };
            if !self.shares.contains_key(&seen.key) {
                continue;
            }
            assert!(!matches!(seen.end, Some(End::Failed(_))), "{seen:?}");
            if seen.end == Some(End::Complete) {
                self.done.insert(seen.key.clone());
            }
            self.seen.insert(seen.key.clone(), seen);
        }
        for key in gone {
            if let ItemKey::Share(key) = key {
                self.seen.remove(&key);
            }
        }
    }

    /// Submits what is not there and was never released, releases what is due.
    async fn act(&mut self, member: &Slurm, now: i64) {
        for (key, share) in &self.shares {
            let seen = self.seen.get(key);
            let due = seen.and_then(|seen| seen.confirm).is_some_and(|at| at <= now);
            let mut wanted = share.clone();
            match seen {
                None if !self.released.contains(key) => {}
                // As long as the member asks to confirm it, it is held: an answer that got lost is asked for again.
                Some(seen) if due => {
                    wanted.instance = Some(seen.instance.clone());
                    self.released.insert(key.clone());
                }
                _ => continue,
            }
            let _ = member.ensure(Desired::Share(Box::new(wanted))).await;
        }
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("a time after 1970").as_secs()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SKY_CONFORMANCE_SLURM_*; run by cargo e2e test member"]
async fn every_replica_runs_once_and_gets_what_it_was_given() {
    let run = now().to_string();
    let directory = std::env::temp_dir().join(format!("sky-life-{run}"));
    std::fs::create_dir(&directory).expect("a directory");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&directory, open).expect("a directory for everybody");
    let directory = directory.display().to_string();
    let access = Access {
        endpoint: variable("URL"),
        user: variable("USER"),
        partition: Some("main".into()),
        work_dir: Some(directory.clone()),
        max_array_size: 1001,
        confirm_seconds: 6,
        ..Access::default()
    };
    let token = std::fs::read_to_string(variable("TOKEN_FILE")).expect("a readable token");
    let member = Slurm::new(
        "hpc",
        "life",
        None,
        access,
        &token,
        &sky_member::gate::Gate::always_open(),
    )
    .expect("a usable access");
    let shares = (0..SHARES).map(|number| share(&run, number, &directory));
    let mut book = Book {
        shares: shares.map(|share| (share.key.clone(), share)).collect(),
        seen: BTreeMap::new(),
        released: BTreeSet::new(),
        done: BTreeSet::new(),
    };
    let mut events = member.events();
    let live = async {
        while book.done.len() < SHARES {
            let heard = tokio::time::timeout(Duration::from_secs(1), events.next()).await;
            if let Ok(Some(event)) = heard {
                book.hear(event);
            }
            book.act(&member, now()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(240), live)
        .await
        .expect("every share complete");
    let ledger = std::fs::read_to_string(format!("{directory}/ledger")).expect("a ledger");
    let lines: Vec<&str> = ledger.lines().collect();
    let distinct: BTreeSet<&str> = lines.iter().copied().collect();
    assert_eq!((lines.len(), distinct.len()), (SHARES * 3, SHARES * 3));
    let query = LogQuery {
        key: book.shares.keys().next().expect("a share").clone(),
        index: 2,
        follow: false,
        tail: None,
    };
    let mut output = Vec::new();
    let mut chunks = member.logs(query).await.expect("an output");
    while let Some(chunk) = chunks.next().await {
        output.extend_from_slice(&chunk.expect("a chunk"));
    }
    assert_eq!(String::from_utf8_lossy(&output), HOSTILE);
    std::fs::remove_dir_all(&directory).expect("the directory gone");
}
