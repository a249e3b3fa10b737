//! What hurts: each network mode and each signal does what it says, and is undone. Part of the suite `lab`.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{KWOK, REAL, job, need_real, shared};
use crate::cluster::Cluster;
use crate::network::Network;
use crate::runner::Context;
use crate::slot::Port;
use crate::wait;

const BOUND: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(5);
const A_WHILE: Duration = Duration::from_millis(700);

pub(super) async fn network(context: &Context) -> Result<()> {
    let lab = shared(context).await?;
    let member = lab.member(KWOK)?;
    let port = member.port(Port::Network);
    let ask = [
        "--context",
        KWOK,
        "get",
        "namespace",
        "default",
        "--request-timeout=2s",
    ];

    let mut old = connect(port).await?;
    member.network(Network::Refuse).await?;
    let end = timeout(SOON, old.read(&mut [0; 1])).await?;
    ensure!(end.is_ok_and(|length| length == 0), "refuse closes what existed");
    let refused = connect(port).await.map_err(|error| error.kind());
    ensure!(
        refused
            .as_ref()
            .is_err_and(|kind| *kind == ErrorKind::ConnectionRefused),
        "{refused:?}"
    );
    ensure!(lab.kubectl(&ask).await.is_err(), "kubectl is refused");
    member.kubectl(&["get", "namespace", "default"]).await?;

    member.network(Network::Pass).await?;
    lab.kubectl(&ask).await?;

    let mut old = connect(port).await?;
    member.network(Network::Hang).await?;
    let mut new = connect(port).await?;
    for stream in [&mut old, &mut new] {
        stream.write_all(QUESTION).await?;
        ensure!(
            timeout(A_WHILE, stream.read(&mut [0; 1])).await.is_err(),
            "hang forwards nothing"
        );
    }
    ensure!(lab.kubectl(&ask).await.is_err(), "kubectl times out");
    member.network(Network::Pass).await?;
    answered(&mut old).await?;
    answered(&mut new).await?;

    freeze(&member).await?;
    member.network(Network::Delay(Duration::from_millis(300))).await?;
    let slow = round_trip(port).await?;
    ensure!(
        slow >= Duration::from_millis(600),
        "300 ms each way took {slow:?}"
    );
    lab.kubectl(&["--context", KWOK, "get", "namespace", "default"])
        .await?;
    member.network(Network::Pass).await?;
    let fast = round_trip(port).await?;
    ensure!(fast < Duration::from_millis(600), "no delay took {fast:?}");

    let mut old = connect(port).await?;
    member.network(Network::Reset).await?;
    ensure!(was_reset(&mut old).await?, "reset resets what existed");
    // The reset may come before connect returns.
    match connect(port).await {
        Ok(mut new) => ensure!(was_reset(&mut new).await?, "reset resets what is new"),
        Err(error) => ensure!(error.kind() == ErrorKind::ConnectionReset, "{error}"),
    }
    member.network(Network::Pass).await?;
    lab.kubectl(&ask).await?;
    Ok(())
}

/// What existed freezes, what is new passes.
async fn freeze(member: &Cluster) -> Result<()> {
    let port = member.port(Port::Network);
    let mut old = connect(port).await?;
    member.network(Network::Freeze).await?;
    old.write_all(QUESTION).await?;
    round_trip(port).await?;
    ensure!(
        timeout(A_WHILE, old.read(&mut [0; 1])).await.is_err(),
        "freeze forwards nothing of what existed"
    );
    member.network(Network::Pass).await?;
    answered(&mut old).await
}

pub(super) async fn daemon(context: &Context) -> Result<()> {
    let lab = shared(context).await?;
    let member = lab.member(KWOK)?;
    let server = member.daemon("kube-apiserver")?;
    let ask = ["get", "namespace", "survivor", "--request-timeout=2s"];
    member.kubectl(&["create", "namespace", "survivor"]).await?;

    server.stop()?;
    ensure!(server.running(), "a stopped daemon still runs");
    ensure!(
        member.kubectl(&ask).await.is_err(),
        "a stopped server answers nothing"
    );
    server.cont()?;
    member.api_ready(BOUND).await?;
    member.kubectl(&ask).await?;

    server.kill().await?;
    ensure!(!server.running(), "a killed daemon is gone");
    let refused = connect(member.port(Port::ApiServer))
        .await
        .map_err(|error| error.kind());
    ensure!(
        refused.is_err_and(|kind| kind == ErrorKind::ConnectionRefused),
        "its port is closed"
    );
    ensure!(server.stop().is_err(), "what does not run cannot be stopped");

    server.restart().await?;
    member.api_ready(BOUND).await?;
    member.kubectl(&ask).await?;
    let other = member.daemon("kubelet").map(|_| ());
    ensure!(
        other.is_err_and(|error| error.to_string().contains("kwok")),
        "a kwok member has no kubelet"
    );
    Ok(())
}

pub(super) async fn etcd(context: &Context) -> Result<()> {
    let member = shared(context).await?.member(KWOK)?;
    let etcd = member.daemon("etcd")?;
    member.kubectl(&["create", "namespace", "kept"]).await?;
    etcd.kill().await?;
    let write = member
        .kubectl(&["create", "namespace", "lost", "--request-timeout=2s"])
        .await;
    ensure!(write.is_err(), "nothing is written without etcd");
    etcd.restart().await?;
    member.api_ready(BOUND).await?;
    member.kubectl(&["get", "namespace", "kept"]).await?;
    Ok(())
}

pub(super) async fn node_daemons(context: &Context) -> Result<()> {
    need_real()?;
    let member = shared(context).await?.member(REAL)?;
    member.apply(&job("survivor", "echo up; sleep 600", &[])).await?;
    member
        .kubectl(&[
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            "pod",
            "-l",
            "job-name=survivor",
        ])
        .await?;
    for program in ["kubelet", "containerd"] {
        member.daemon(program)?.restart().await?;
        wait::until(&format!("exec after a restart of {program}"), BOUND, async || {
            member
                .kubectl(&["exec", "job/survivor", "--request-timeout=5s", "--", "true"])
                .await
        })
        .await?;
    }
    let path = "jsonpath={.items[*].status.containerStatuses[0].restartCount}";
    let restarts = member
        .kubectl(&["get", "pods", "-l", "job-name=survivor", "-o", path])
        .await?;
    ensure!(restarts == "0", "restarts: {restarts:?}");
    let log = member.kubectl(&["logs", "job/survivor"]).await?;
    ensure!(log == "up\n", "the log is {log:?}");
    member.apply(&job("after", "echo after", &[])).await?;
    member
        .kubectl(&["wait", "--for=condition=Complete", "--timeout=60s", "job/after"])
        .await?;
    member
        .kubectl(&["delete", "job", "survivor", "after", "--cascade=foreground"])
        .await?;
    Ok(())
}

/// What an API server refuses in plain text, and thereby answers.
const QUESTION: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

async fn connect(port: u16) -> std::io::Result<TcpStream> {
    timeout(SOON, TcpStream::connect(("127.0.0.1", port))).await?
}

async fn answered(stream: &mut TcpStream) -> Result<()> {
    let mut answer = [0; 8];
    timeout(SOON, stream.read_exact(&mut answer)).await??;
    ensure!(answer == *b"HTTP/1.0", "the answer begins with {answer:?}");
    Ok(())
}

async fn round_trip(port: u16) -> Result<Duration> {
    let begin = Instant::now();
    let mut stream = connect(port).await?;
    stream.write_all(QUESTION).await?;
    answered(&mut stream).await?;
    Ok(begin.elapsed())
}

async fn was_reset(stream: &mut TcpStream) -> Result<bool> {
    let end = timeout(SOON, stream.read(&mut [0; 1])).await?;
    Ok(end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset))
}
