//! The calls of join, in their order: on the member, then on the host; a second run makes the same ones.

use serde_json::{Value, json};

use super::*;
use crate::client::mock;
use crate::mock::{Call, failure, lines, serve};

fn options(arguments: &[&str]) -> Options {
    use clap::Parser as _;
    let line = ["sky", "join", "m", "--from-context", "c"]
        .iter()
        .chain(arguments);
    match crate::commands::Cli::try_parse_from(line).unwrap().command {
        crate::commands::Command::Join(args) => args.options,
        other => panic!("{other:?}"),
    }
}

const TOKEN: &str = "/api/v1/namespaces/sky-system/serviceaccounts/sky-manager/token";

#[tokio::test]
async fn the_member_gets_namespace_account_rights_and_bindings_before_the_token() {
    let (member, server) = mock("member");
    let answers = |call: &Call| {
        if call.line.ends_with("/token") {
            let status = json!({"token": "very-secret", "expirationTimestamp": "2026-01-02T00:00:00Z"});
            return (
                201,
                json!({"metadata": {}, "spec": {"audiences": []}, "status": status}),
            );
        }
        (200, call.body.clone())
    };
    let served = tokio::spawn(serve(server, answers));
    account::ensure(&member).await.unwrap();
    let token = account::token(&member, 600).await.unwrap();
    account::ensure(&member).await.unwrap();
    drop(member);
    let calls = served.await.unwrap();
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let once = [
        "PATCH /api/v1/namespaces/sky-system".to_owned(),
        "PATCH /api/v1/namespaces/sky-system/serviceaccounts/sky-manager".to_owned(),
        format!("PATCH {rbac}/clusterroles/sky-manager"),
        format!("PATCH {rbac}/namespaces/sky-system/roles/sky-manager-token"),
        format!("PATCH {rbac}/clusterrolebindings/sky-manager"),
        format!("PATCH {rbac}/namespaces/sky-system/rolebindings/sky-manager-token"),
    ];
    let mut expected: Vec<String> = once.to_vec();
    expected.push(format!("POST {TOKEN}"));
    expected.extend(once);
    assert_eq!(lines(&calls), expected);
    assert!(
        calls[0].query.contains("fieldManager=kubectl-sky"),
        "{}",
        calls[0].query
    );
    assert_eq!(calls[6].body["spec"]["expirationSeconds"], 600);
    assert_eq!(token.text, "very-secret");
    assert!(!format!("{token:?}").contains("very-secret"));
}

#[tokio::test]
async fn the_accounts_rights_are_least() {
    let (member, server) = mock("member");
    let served = tokio::spawn(serve(server, |call: &Call| (200, call.body.clone())));
    account::ensure(&member).await.unwrap();
    drop(member);
    let calls = served.await.unwrap();
    let rules = calls[2].body["rules"].to_string();
    for never in ["exec", "\"*\"", "token"] {
        assert!(!rules.contains(never), "{rules}");
    }
    // Copies of Secrets are made and removed by name: those of others cannot be listed.
    let all = calls[2].body["rules"].as_array().unwrap();
    let of_secrets: Vec<_> = all
        .iter()
        .filter(|rule| rule["resources"].to_string().contains("secrets"))
        .map(|rule| &rule["verbs"])
        .collect();
    assert_eq!(of_secrets, [&json!(["get", "create", "update", "delete"])]);
    let tokens = &calls[3].body["rules"];
    assert_eq!(
        *tokens,
        json!([{"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["sky-manager"],
                "verbs": ["create"]}])
    );
}

#[tokio::test]
async fn a_right_that_is_missing_on_the_member_is_named() {
    let (member, server) = mock("member");
    let message =
        "clusterroles.rbac.authorization.k8s.io \"sky-manager\" is forbidden: User \"u\" cannot patch";
    let served = tokio::spawn(serve(server, move |call: &Call| match call.line.as_str() {
        line if line.contains("clusterroles") => failure(403, "Forbidden", message),
        _ => (200, call.body.clone()),
    }));
    let error = format!("{:#}", account::ensure(&member).await.unwrap_err());
    drop(member);
    assert_eq!(served.await.unwrap().len(), 3);
    assert!(
        error.contains("write ClusterRole sky-manager") && error.contains("cannot patch"),
        "{error}"
    );
    assert!(
        error.contains("ask an administrator of https://member"),
        "{error}"
    );
}

fn host_answers(allowed: bool, namespace: bool) -> impl Fn(&Call) -> (u16, Value) {
    move |call| match call.line.as_str() {
        "GET /apis/skymanager.io/v1alpha1" => (
            200,
            json!({"groupVersion": "skymanager.io/v1alpha1", "resources": []}),
        ),
        "GET /apis/skymanager.io/v1alpha1/skyclusters" => {
            let metadata = json!({"name": "old", "annotations": {"skymanager.io/server": "https://a"}});
            let item = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata});
            (
                200,
                json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {}, "items": [item]}),
            )
        }
        "GET /api/v1/namespaces/sky-system" if !namespace => failure(404, "NotFound", "no such namespace"),
        line if line.contains("selfsubjectaccessreviews") => (
            201,
            json!({"spec": call.body["spec"], "status": {"allowed": allowed}}),
        ),
        line if line.starts_with("GET /api/v1/namespaces") => (
            200,
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "sky-system"}}),
        ),
        _ => (200, call.body.clone()),
    }
}

#[tokio::test]
async fn the_check_finds_members_and_makes_a_missing_namespace() {
    let (host, server) = mock("host");
    let served = tokio::spawn(serve(server, host_answers(true, false)));
    let joined = register::check(&host, "sky-system").await.unwrap();
    drop(host);
    assert_eq!(
        lines(&served.await.unwrap()).last(),
        Some(&"PATCH /api/v1/namespaces/sky-system")
    );
    assert_eq!(joined.name_of("https://A:443/"), Some("old"));
    joined.allows("old", "https://a").unwrap();
    joined.allows("new", "https://b").unwrap();
    assert!(
        joined
            .allows("old", "https://b")
            .unwrap_err()
            .to_string()
            .contains("annotate skycluster old")
    );
    assert!(
        joined
            .allows("new", "https://a")
            .unwrap_err()
            .to_string()
            .contains("under the name old")
    );
}

#[tokio::test]
async fn missing_rights_and_kinds_stop_join_before_it_writes() {
    let (host, server) = mock("host");
    let served = tokio::spawn(serve(server, host_answers(false, true)));
    let error = register::check(&host, "sky-system")
        .await
        .unwrap_err()
        .to_string();
    drop(host);
    assert!(
        error.contains(
            "may not create skyclusters, patch skyclusters, create secrets in namespace sky-system"
        ),
        "{error}"
    );
    assert!(
        served
            .await
            .unwrap()
            .iter()
            .all(|call| !call.line.starts_with("PATCH"))
    );

    let (host, server) = mock("host");
    let served = tokio::spawn(serve(server, |_: &Call| {
        (
            404,
            json!({"kind": "Status", "code": 404, "message": "404 page not found", "reason": ""}),
        )
    }));
    let error = register::check(&host, "sky-system")
        .await
        .unwrap_err()
        .to_string();
    drop(host);
    assert!(error.contains("kubectl apply -f crds/manifests"), "{error}");
    assert_eq!(served.await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_secret_is_labelled_and_says_how_to_renew_unless_the_credential_is_copied() {
    for copied in [false, true] {
        let (host, server) = mock("host");
        let served = tokio::spawn(serve(server, |call: &Call| (200, call.body.clone())));
        let renewal = (!copied).then_some(Renewal {
            service_account: account::REFERENCE,
            token_seconds: 600,
        });
        let kubeconfig = Kubeconfig::default();
        let options = options(&[]);
        register::write(&host, &options, ("m", "https://m"), &kubeconfig, renewal.as_ref())
            .await
            .unwrap();
        drop(host);
        let calls = served.await.unwrap();
        assert_eq!(
            lines(&calls),
            ["PATCH /api/v1/namespaces/sky-system/secrets/member-m"]
        );
        let metadata = &calls[0].body["metadata"];
        assert_eq!(metadata["labels"], json!({"skymanager.io/member": "m"}));
        let renewed = json!({"skymanager.io/service-account": "sky-system/sky-manager",
            "skymanager.io/token-seconds": "600", "skymanager.io/server": "https://m"});
        let kept = json!({"skymanager.io/server": "https://m"});
        assert_eq!(metadata["annotations"], if copied { kept } else { renewed });
    }
}

#[tokio::test]
async fn a_skycluster_is_made_once_and_then_only_patched() {
    let labels = BTreeMap::from([("purpose".to_owned(), "dev".to_owned())]);
    let (host, server) = mock("host");
    let served = tokio::spawn(serve(server, |call: &Call| match call.line.split(' ').next() {
        Some("POST") => (201, call.body.clone()),
        _ => failure(404, "NotFound", "no such cluster"),
    }));
    register::cluster(&host, "m", "https://m", &labels).await.unwrap();
    drop(host);
    let calls = served.await.unwrap();
    let path = "/apis/skymanager.io/v1alpha1/skyclusters";
    assert_eq!(
        lines(&calls),
        [
            format!("GET {path}/m"),
            format!("PATCH {path}/m"),
            format!("POST {path}")
        ]
    );
    let made = &calls[2].body;
    assert_eq!(
        made["spec"]["kubernetes"]["kubeconfigSecretRef"],
        json!({"name": "member-m", "key": "kubeconfig"})
    );
    assert_eq!(made["metadata"]["labels"], json!({"purpose": "dev"}));

    let (host, server) = mock("host");
    let served = tokio::spawn(serve(server, move |call: &Call| {
        match call.line.split(' ').next() {
            Some("GET") => (
                200,
                json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "m"}}),
            ),
            _ => (
                200,
                json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyCluster", "metadata": {"name": "m"},
                          "spec": {"manager": "kubernetes"}}),
            ),
        }
    }));
    register::cluster(&host, "m", "https://m", &BTreeMap::new())
        .await
        .unwrap();
    drop(host);
    let calls = served.await.unwrap();
    assert_eq!(
        lines(&calls),
        [format!("GET {path}/m"), format!("PATCH {path}/m")]
    );
    assert!(
        calls[1].body["spec"].get("manager").is_none(),
        "a merge patch sets only what join owns"
    );
}
