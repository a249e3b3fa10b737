//! The conformance suite on a real Slurm member, named by SKY_CONFORMANCE_SLURM_URL, _USER, _TOKEN_FILE and _CONF (its
//! slurm.conf). The suite closes the partition `main` while it runs, so that what is submitted waits; `short` is open.

#![expect(clippy::expect_used, reason = "what a test cannot go on without")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sky_core::config::ConfigName;
use sky_core::labels::Labels;
use sky_core::resources::Resources;
use sky_core::share::{Container, Entry, Program, Share, ShareKey, SlurmOptions};
use sky_member::Member;
use sky_member::conformance::{Description, Failure, Subject, Verdict, cases};
use sky_member::slurm::{Access, Slurm};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ORIGIN: &str = "conformance";

struct Real {
    /// Its slurm.conf: by it Slurm's own commands see the cluster as it is.
    conf: String,
    user: String,
    member: Arc<Slurm>,
    lose_next: Arc<AtomicBool>,
    planted: Mutex<BTreeMap<ShareKey, String>>,
}

fn variable(name: &str) -> String {
    let name = format!("SKY_CONFORMANCE_SLURM_{name}");
    std::env::var(&name).expect(&name)
}

impl Real {
    async fn new() -> Self {
        let token = std::fs::read_to_string(variable("TOKEN_FILE")).expect("a readable token");
        let lose_next = Arc::new(AtomicBool::new(false));
        let user = variable("USER");
        let access = Access {
            endpoint: losing(&variable("URL"), lose_next.clone()).await,
            user: user.clone(),
            partition: Some("main".into()),
            max_array_size: 1001,
            ..Access::default()
        };
        let member = Slurm::new(
            "real",
            ORIGIN,
            None,
            access,
            &token,
            &sky_member::gate::Gate::always_open(),
        )
        .expect("a usable access");
        Self {
            conf: variable("CONF"),
            user,
            member: Arc::new(member),
            lose_next,
            planted: Mutex::default(),
        }
    }

    fn command(&self, program: &str, args: &[&str]) -> Result<String, Failure> {
        let output = Command::new(program)
            .env("SLURM_CONF", &self.conf)
            .args(args)
            .output();
        let output = output.map_err(|error| Failure(format!("{program}: {error}")))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(Failure(format!("{program} {args:?}: {words}")))
        }
    }

    /// Fields of every job record that slurmctld has.
    fn records(&self) -> Result<Vec<BTreeMap<String, String>>, Failure> {
        let text = self.command("scontrol", &["show", "job", "-o"])?;
        let fields = |line: &str| {
            let pairs = line.split(' ').filter_map(|word| word.split_once('='));
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        };
        Ok(text.lines().map(fields).collect())
    }

    /// Ids of the arrays under the key's name that wait or run.
    fn live(&self, key: &ShareKey) -> Result<BTreeSet<String>, Failure> {
        let records = self.records()?;
        let live = records.iter().filter(|record| {
            let state = record.get("JobState").map(String::as_str);
            record.get("JobName") == Some(&key.object) && matches!(state, Some("PENDING" | "RUNNING"))
        });
        Ok(live
            .filter_map(|record| record.get("ArrayJobId").or(record.get("JobId")).cloned())
            .collect())
    }
}

/// The URL of a way to `url` that loses the answer to a submit when `lose_next` is set.
async fn losing(url: &str, lose_next: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = url.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (server, lose_next) = (server.clone(), lose_next.clone());
            tokio::spawn(async move {
                let Ok(mut upstream) = TcpStream::connect(&server).await else {
                    return;
                };
                let mut first = vec![0_u8; 4096];
                let length = client.read(&mut first).await.unwrap_or(0);
                let request = &first[..length];
                let submits = request.starts_with(b"POST") && {
                    let text = String::from_utf8_lossy(request);
                    text.lines()
                        .next()
                        .is_some_and(|line| line.contains("job/submit"))
                };
                if upstream.write_all(request).await.is_err() {
                    return;
                }
                if submits && lose_next.swap(false, Ordering::SeqCst) {
                    let (mut from, mut to) = client.split();
                    let (mut answer, mut rest) = upstream.split();
                    let mut seen = [0_u8; 1];
                    tokio::select! {
                        _ = tokio::io::copy(&mut from, &mut rest) => {}
                        _ = answer.read(&mut seen) => {}
                    }
                    let _ = to.shutdown().await;
                    return;
                }
                let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
            });
        }
    });
    format!("http://{address}")
}

fn no_namespaces() -> Failure {
    Failure("Slurm has no namespaces".into())
}

#[async_trait]
impl Subject for Real {
    fn member(&self) -> Arc<dyn Member> {
        self.member.clone()
    }

    fn description(&self) -> Description {
        Description {
            namespaces: false,
            deployments: true,
            configs: false,
            confirms: true,
            asks: Resources::new(1000, 50 << 20),
            script: "sleep 40",
        }
    }

    fn origin(&self) -> &str {
        ORIGIN
    }

    fn lose_next_reply(&self) {
        self.lose_next.store(true, Ordering::SeqCst);
    }

    async fn plant(&self, key: &ShareKey) -> Verdict {
        let args = [
            "--parsable",
            "-H",
            "-p",
            "main",
            "-J",
            &key.object,
            "--uid",
            &self.user,
            "-D",
            "/tmp",
            "-o",
            "/dev/null",
            "--wrap",
            "true",
        ];
        let id = self.command("sbatch", &args)?.trim().to_owned();
        self.planted.lock().expect("planted").insert(key.clone(), id);
        Ok(())
    }

    async fn is_untouched(&self, key: &ShareKey) -> Result<bool, Failure> {
        let planted = self.planted.lock().expect("planted").get(key).cloned();
        let records = self.records()?;
        let found = records
            .iter()
            .find(|record| record.get("JobId") == planted.as_ref());
        Ok(found.is_some_and(|record| {
            record.get("JobState").map(String::as_str) == Some("PENDING") && !record.contains_key("Comment")
        }))
    }

    /// A record that is over cannot be deleted: what was removed, or cancelled by others, is none.
    async fn count(&self, namespace: &str) -> Result<usize, Failure> {
        let mark = format!("\"ns\":\"{namespace}\"");
        let records = self.records()?;
        let there = records.iter().filter(|record| {
            let comment = record.get("Comment").map(String::as_str).unwrap_or_default();
            let cancelled = record.get("JobState").map(String::as_str) == Some("CANCELLED");
            comment.contains(&mark)
                && !comment.contains("\"gone\":true")
                && (!cancelled || comment.contains("\"tomb\":"))
        });
        let ids: BTreeSet<&String> = there
            .filter_map(|record| record.get("ArrayJobId").or(record.get("JobId")))
            .collect();
        Ok(ids.len())
    }

    async fn namespace_labels(&self, _: &str) -> Result<Option<Labels>, Failure> {
        Err(no_namespaces())
    }

    async fn label_namespace(&self, _: &str, _: &str, _: &str) -> Verdict {
        Err(no_namespaces())
    }

    async fn put_secret(&self, _: &str) -> Verdict {
        Err(no_namespaces())
    }

    async fn put_config(&self, _: &str, _: &ConfigName) -> Verdict {
        Err(no_namespaces())
    }

    async fn config(&self, _: &str, _: &ConfigName) -> Result<Option<BTreeMap<String, String>>, Failure> {
        Err(no_namespaces())
    }

    async fn has_namespace(&self, _: &str) -> Result<bool, Failure> {
        Err(Failure("Slurm has no namespaces".into()))
    }

    async fn delete(&self, key: &ShareKey) -> Verdict {
        for id in self.live(key)? {
            self.command("scancel", &[&id])?;
        }
        Ok(())
    }

    /// It moves to the open partition, and Slurm starts it.
    async fn start(&self, share: &Share) -> Verdict {
        for id in self.live(&share.key)? {
            let id = format!("JobId={id}");
            let mut tries = 0;
            // 26.05 says now and then that a resource is temporarily unavailable.
            while let Err(failure) =
                self.command("scontrol", &["update", &id, "TimeLimit=1", "Partition=short"])
            {
                tries += 1;
                if tries > 20 {
                    return Err(failure);
                }
                tokio::time::sleep(std::time::Duration::from_millis(250)).await;
            }
        }
        let runs = |record: &BTreeMap<String, String>| {
            record.get("JobName") == Some(&share.key.object)
                && record.get("JobState").map(String::as_str) == Some("RUNNING")
        };
        let start = async {
            while !self.records()?.iter().any(runs) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Ok::<_, Failure>(())
        };
        let late = Failure("it did not start within 30 s".into());
        let patience = std::time::Duration::from_secs(30);
        tokio::time::timeout(patience, start).await.map_err(|_| late)?
    }

    fn refused(&self) -> (Program, &'static str) {
        let options = SlurmOptions {
            partition: Some("nowhere".into()),
            ..SlurmOptions::default()
        };
        let program = Container {
            entry: Entry::Script("true".into()),
            no_image: true,
            slurm: Some(Box::new(options)),
            ..Container::default()
        };
        (Program::Container(program), "Invalid partition name specified")
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SKY_CONFORMANCE_SLURM_*; run by cargo e2e test member"]
async fn a_slurm_member_does_what_every_manager_must() {
    let real = Real::new().await;
    real.command("scontrol", &["update", "PartitionName=main", "State=DOWN"])
        .expect("main closed");
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let run = format!("{:?}", started.expect("a time after 1970"));
    let only = std::env::var("SKY_CONFORMANCE_ONLY").unwrap_or_default();
    let mut failed = Vec::new();
    for case in cases().into_iter().filter(|case| case.name.contains(&only)) {
        if !(case.concerns)(&real.description()) {
            println!("n/a    {}", case.name);
            continue;
        }
        let verdict = case.check(&real, &run).await;
        println!(
            "{} {}",
            if verdict.is_ok() { "ok    " } else { "FAILED" },
            case.name
        );
        if let Err(failure) = verdict {
            failed.push(format!("{}: {failure}", case.name));
        }
        real.command("scancel", &["-u", &real.user])
            .expect("everything cancelled");
    }
    real.command("scontrol", &["update", "PartitionName=main", "State=UP"])
        .expect("main open");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
