//! Shares as arrays: amounts, defaults, images; and strings that would be commands if they were ever read by a shell.

use super::*;
use sky_core::ranks::Ranks;
use sky_core::resources::Resources;
use sky_core::share::{Accelerator, ShareKey, Stamp};
use sky_core::workload::Kind;

fn access(runtime: Runtime) -> Access {
    Access {
        endpoint: "http://127.0.0.1:1".into(),
        user: "sky".into(),
        partition: Some("main".into()),
        work_dir: Some("/work".into()),
        logs: Some("/logs/".into()),
        runtime,
        images: [("known:1".to_owned(), "/bundles/known".to_owned())].into(),
        max_array_size: 1001,
        confirm_seconds: 6,
        ..Access::default()
    }
}

fn share() -> Share {
    Share {
        key: ShareKey {
            kind: sky_core::workload::Kind::SkyJob,
            namespace: "ns".into(),
            object: "job-0a1b2c3d".into(),
        },
        stamp: Stamp {
            origin: "o".into(),
            kind: Kind::SkyJob,
            namespace: "ns".into(),
            name: "job".into(),
            uid: "u".into(),
            run: String::new(),
            share: "1-0".into(),
            attempt: 1,
            spec_hash: "h".into(),
        },
        cluster: "hpc".into(),
        replicas: 3,
        total_replicas: 8,
        ranks: Ranks::consecutive(5, 3),
        suspended: false,
        known: false,
        instance: None,
        labels: Default::default(),
        annotations: Default::default(),
        program: Program::Container(container()),
        requests: Resources::new(1500, 100 << 20),
        accelerator: None,
        retry: Retry::Replace(2),
        progress_deadline: None,
        patches: vec![],
    }
}

fn container() -> Container {
    Container {
        image: "known:1".into(),
        entry: Entry::Script("echo hello".into()),
        no_image: true,
        slurm: Some(Box::default()),
        ..Container::default()
    }
}

fn with(change: impl FnOnce(&mut Container)) -> Share {
    let mut container = container();
    change(&mut container);
    Share {
        program: Program::Container(container),
        ..share()
    }
}

fn made(share: &Share, runtime: Runtime) -> Result<Submission, MemberError> {
    of(share, &access(runtime), "comment".into())
}

fn executed(submission: &Submission) -> Vec<String> {
    let count: usize = submission.environment["SKY_SLURM_WORDS"]
        .parse()
        .expect("a number");
    let word = |index: usize| submission.environment[&format!("SKY_SLURM_WORD_{index}")].clone();
    (0..count).map(word).collect()
}

#[test]
fn a_share_is_one_array_with_what_each_replica_asks_for() {
    let made = made(&share(), Runtime::None).expect("a submission");
    assert_eq!(
        (made.array.as_str(), made.cpus, made.memory, made.hold),
        ("0-2", 2, 100, true)
    );
    assert_eq!(made.output, "/logs/job-0a1b2c3d-%a.out");
    assert_eq!(
        (made.partition.as_deref(), made.work_dir.as_str()),
        (Some("main"), "/work")
    );
    let seen = |name: &str| made.environment[name].as_str();
    assert_eq!(
        (seen("SKY_JOB"), seen("SKY_CLUSTER"), seen("SKY_REPLICAS")),
        ("job", "hpc", "8")
    );
    assert_eq!((seen("SKY_RANKS"), seen("SKY_SLURM_RETRIES")), ("5,6,7", "2"));
    assert_eq!(executed(&made), ["/bin/sh", "-c", "echo hello"]);
}

#[test]
fn gpus_are_asked_for_by_model_or_without() {
    let asked = |models: &[&str]| {
        let mut share = share();
        share.accelerator = Some(Accelerator {
            resource: "gpu".into(),
            count: 2,
            models: models.iter().map(|model| (*model).to_owned()).collect(),
        });
        made(&share, Runtime::None).expect("a submission").gres
    };
    assert_eq!(asked(&["a100"]).as_deref(), Some("gpu:a100:2"));
    assert_eq!(asked(&[]).as_deref(), Some("gpu:2"));
    let mut other = share();
    other.requests.extended.insert("example.com/fpga".into(), 1);
    assert!(made(&other, Runtime::None).is_err());
}

#[test]
fn what_the_workload_says_goes_before_what_the_cluster_says() {
    let share = with(|container| {
        container.slurm = Some(Box::new(SlurmOptions {
            partition: Some("gpu".into()),
            account: Some("physics".into()),
            qos: Some("high".into()),
            time_limit: Some(30),
            work_dir: Some("/data/x".into()),
            directives: [
                ("nice".to_owned(), "5".to_owned()),
                ("wckey".to_owned(), "k".to_owned()),
            ]
            .into(),
        }));
    });
    let made = made(&share, Runtime::None).expect("a submission");
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    assert_eq!(
        (text(&made.partition), text(&made.account), text(&made.qos)),
        ("gpu".into(), "physics".into(), "high".into())
    );
    assert_eq!((made.time_limit, made.work_dir.as_str()), (Some(30), "/data/x"));
    assert_eq!(
        (&made.directives["nice"], &made.directives["wckey"]),
        (&json!(5), &json!("k"))
    );
}

#[test]
fn an_image_runs_where_there_is_a_runtime_for_it() {
    let check = |runtime, image: &str, bare: bool, wanted: Result<&[&str], &str>| {
        let share = with(|container| {
            container.image = image.into();
            container.no_image = bare;
        });
        match (made(&share, runtime), wanted) {
            (Ok(made), Ok(words)) => assert_eq!(executed(&made)[..words.len()], *words, "{runtime:?}"),
            (Err(error), Err(words)) => {
                assert!(error.message.contains(words), "{error}");
                assert_eq!(error.class, Class::Rejected);
            }
            (made, wanted) => panic!("{runtime:?} {image}: {made:?}, wanted {wanted:?}"),
        }
    };
    check(Runtime::None, "known:1", true, Ok(&["/bin/sh"]));
    check(Runtime::None, "known:1", false, Err("spec.image"));
    check(Runtime::Oci, "known:1", false, Ok(&["/bin/sh"]));
    check(Runtime::Oci, "other", false, Err("imageMap"));
    check(
        Runtime::Apptainer,
        "known:1",
        false,
        Ok(&["apptainer", "exec", "/bundles/known", "/bin/sh"]),
    );
    check(
        Runtime::Apptainer,
        "other",
        false,
        Ok(&["apptainer", "exec", "docker://other"]),
    );
    check(
        Runtime::Pyxis,
        "other",
        false,
        Ok(&["srun", "--container-image=other", "--", "/bin/sh"]),
    );
    let silent = with(|container| container.slurm = None);
    let error = made(&silent, Runtime::None).expect_err("nobody allowed it");
    assert!(error.message.contains("spec.slurm"), "{error}");
}

const HOSTILE: [&str; 9] = [
    "'; touch /tmp/pwned; '",
    "\"; touch /tmp/pwned; \"",
    "$(touch /tmp/pwned)",
    "`touch /tmp/pwned`",
    "a\n#SBATCH --uid=0\nb",
    "a\r\nb",
    "\\",
    "--container-image=x",
    "${IFS}",
];

#[test]
fn no_shell_text_is_made_of_what_a_user_wrote() {
    for hostile in HOSTILE {
        let share = with(|container| {
            container.env = vec![("USERS".into(), EnvValue::Literal(hostile.into()))];
            container.entry = Entry::Command {
                command: vec!["printf".into(), hostile.into()],
                args: vec![hostile.into()],
            };
        });
        let made = made(&share, Runtime::None).expect("a submission");
        assert_eq!(made.script, WRAPPER, "{hostile}");
        assert_eq!(made.environment["USERS"], hostile);
        assert_eq!(executed(&made), ["printf", hostile, hostile]);
        let script = with(|container| container.entry = Entry::Script(hostile.into()));
        let made = self::made(&script, Runtime::None).expect("a submission");
        assert_eq!(
            (made.script.as_str(), executed(&made)[2].as_str()),
            (WRAPPER, hostile)
        );
    }
}

#[test]
fn names_and_paths_with_line_breaks_or_nul_are_refused() {
    for bad in ["a\nb", "a\rb", "a\0b"] {
        let fields: [fn(&mut SlurmOptions, String); 5] = [
            |options, bad| options.partition = Some(bad),
            |options, bad| options.account = Some(bad),
            |options, bad| options.qos = Some(bad),
            |options, bad| options.work_dir = Some(bad),
            |options, bad| drop(options.directives.insert("wckey".into(), bad)),
        ];
        for set in fields {
            let share = with(|container| {
                let mut options = SlurmOptions::default();
                set(&mut options, bad.into());
                container.slurm = Some(Box::new(options));
            });
            let error = made(&share, Runtime::None).expect_err(bad);
            assert_eq!(error.class, Class::Rejected);
        }
    }
}

#[test]
fn what_a_program_cannot_be_given_is_refused() {
    let refused = |change: fn(&mut Container)| {
        let error = made(&with(change), Runtime::None).expect_err("refused");
        assert_eq!(error.class, Class::Rejected);
        error.message
    };
    assert!(refused(|c| c.entry = Entry::Script("a\0b".into())).contains("NUL"));
    assert!(refused(|c| c.env = vec![("A".into(), EnvValue::Literal("\0".into()))]).contains("env \"A\""));
    assert!(refused(|c| c.entry = Entry::Script("x".repeat(140_000))).contains("run, command or args"));
    assert!(
        refused(|c| {
            let value = "x".repeat(60_000);
            c.env = (0..20)
                .map(|n| (format!("V{n}"), EnvValue::Literal(value.clone())))
                .collect();
        })
        .contains("1048576")
    );
    assert!(
        refused(|c| c.env = vec![("SLURM_JOB_ID".into(), EnvValue::Literal("1".into()))]).contains("taken")
    );
    assert!(refused(|c| c.env = vec![("A".into(), EnvValue::From(json!({})))]).contains("valueFrom"));
    assert!(refused(|c| c.entry = Entry::default()).contains("run or command"));
    let many = Share {
        replicas: 1002,
        ..share()
    };
    assert!(
        made(&many, Runtime::None)
            .expect_err("too many")
            .message
            .contains("MaxArraySize")
    );
    let template = Share {
        program: Program::Template(json!({})),
        ..share()
    };
    assert!(made(&template, Runtime::None).is_err());
}

/// Runs the wrapper as slurmd would: with this environment alone.
fn run(submission: &Submission, index: &str, restarts: &str) -> (Option<i32>, String) {
    let mut shell = std::process::Command::new("/bin/sh");
    shell.arg("-c").arg(&submission.script).env_clear();
    shell.envs(&submission.environment);
    shell
        .env("SLURM_ARRAY_TASK_ID", index)
        .env("SLURM_RESTART_COUNT", restarts);
    let output = shell.output().expect("a shell");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[test]
fn the_wrapper_hands_every_word_over_as_it_is() {
    let words: Vec<String> = HOSTILE.iter().map(|word| (*word).to_owned()).collect();
    let share = with(|container| {
        container.env = vec![("USERS".into(), EnvValue::Literal("a b\n$(id)\"'".into()))];
        container.entry = Entry::Command {
            command: vec![
                "/bin/sh".into(),
                "-c".into(),
                "printf '[%s]' \"$USERS\" \"$@\"".into(),
                "x".into(),
            ],
            args: words.clone(),
        };
    });
    let made = made(&share, Runtime::None).expect("a submission");
    let wanted: String = words.iter().map(|word| format!("[{word}]")).collect();
    assert_eq!(
        run(&made, "0", "0"),
        (Some(0), format!("[a b\n$(id)\"']{wanted}"))
    );
    assert!(!std::path::Path::new("/tmp/pwned").exists());
}

#[test]
fn a_replica_sees_its_rank_and_nothing_of_the_wrapper() {
    let script = "echo $SKY_RANK $JOB_COMPLETION_INDEX $SKY_RANKS; env | grep -c SKY_SLURM_WORD; true";
    let share = with(|container| container.entry = Entry::Script(script.into()));
    let mut made = made(&share, Runtime::None).expect("a submission");
    made.environment.insert("SKY_SLURM_RETRIES".into(), "0".into());
    assert_eq!(run(&made, "1", "0"), (Some(0), "6 1 5,6,7\n0\n".into()));
}

#[test]
fn a_replica_is_tried_again_as_often_as_is_allowed_and_never_by_slurm_alone() {
    let share = with(|container| container.entry = Entry::Script("echo try; exit 3".into()));
    let mut made = made(&share, Runtime::None).expect("a submission");
    assert_eq!(run(&made, "0", "0"), (Some(3), "try\ntry\ntry\n".into()));
    made.environment.insert("SKY_SLURM_RETRIES".into(), "0".into());
    assert_eq!(run(&made, "0", "0"), (Some(3), "try\n".into()));
    assert_eq!(run(&made, "0", "1"), (Some(190), String::new()));
}

#[test]
fn a_replica_of_a_deployment_is_an_array_and_runs_as_often_as_it_is_submitted() {
    let mut share = with(|container| container.entry = Entry::Script("echo $SKY_DEPLOYMENT; exit 3".into()));
    share.key.kind = Kind::SkyDeployment;
    let made = of_slot(&share, 7, &access(Runtime::None), "comment".into()).expect("a submission");
    assert_eq!((made.array.as_str(), made.hold, made.append), ("7", false, true));
    let name = format!("{}\n", share.stamp.name);
    assert_eq!(run(&made, "7", "0"), (Some(3), name.clone()));
    assert_eq!(run(&made, "7", "2"), (Some(3), name), "started again by Slurm");
}

#[test]
fn what_has_run_does_not_run_again_when_slurmctld_forgot_it() {
    let share = with(|container| container.entry = Entry::Script("echo ran; exit 3".into()));
    let mut made = made(&share, Runtime::None).expect("a submission");
    made.environment.insert("SKY_SLURM_RETRIES".into(), "0".into());
    let marks = std::env::temp_dir().join(format!("sky-marks-{}", std::process::id()));
    std::fs::create_dir(&marks).expect("a directory");
    let mark = marks.join(".job").display().to_string();
    made.environment.insert("SKY_SLURM_MARK".into(), mark);
    assert_eq!(run(&made, "0", "0"), (Some(3), "ran\n".into()));
    assert_eq!(
        run(&made, "0", "0"),
        (Some(3), String::new()),
        "its result is kept"
    );
    assert_eq!(run(&made, "1", "0"), (Some(3), "ran\n".into()), "another replica");
    std::fs::remove_file(marks.join(".job-0.0/code")).expect("the code");
    assert_eq!(
        run(&made, "0", "0"),
        (Some(190), String::new()),
        "it was killed, or runs on"
    );
    std::fs::remove_dir_all(&marks).expect("the marks gone");
}
