//! Name mapping, inlining, and what is never copied or read.

use proptest::prelude::*;

use super::*;

fn parsed(user: &str) -> Kubeconfig {
    let text = format!(
        "apiVersion: v1\nkind: Config\n\
         clusters: [{{name: c, cluster: {{server: 'https://h:6443', certificate-authority-data: Q0E=}}}}]\n\
         users: [{{name: u, user: {user}}}]\n\
         contexts: [{{name: x, context: {{cluster: c, user: u}}}}, {{name: broken, context: {{cluster: none, user: u}}}}]\n"
    );
    Kubeconfig::from_yaml(&text).unwrap()
}

#[test]
fn context_names_become_cluster_names() {
    for (context, name) in [
        ("mluo-onprem", Some("mluo-onprem")),
        ("Kind_Dev.Local", Some("kind-dev-local")),
        (
            "arn:aws:eks:us-east-1:42:cluster/prod",
            Some("arn-aws-eks-us-east-1-42-cluster-prod"),
        ),
        ("--a--", Some("a")),
        ("admin@corp", Some("admin-corp")),
        ("***", None),
        ("", None),
    ] {
        assert_eq!(cluster_name(context).as_deref(), name, "{context}");
    }
    assert_eq!(cluster_name(&"a".repeat(80)).unwrap().len(), 63);
}

proptest! {
    #[test]
    fn every_cluster_name_is_a_dns_label_and_maps_to_itself(context in ".{0,90}") {
        if let Some(name) = cluster_name(&context) {
            prop_assert!(name.len() <= 63 && !name.starts_with('-') && !name.ends_with('-'));
            prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            prop_assert_eq!(cluster_name(&name), Some(name.clone()));
        }
    }
}

#[test]
fn equal_servers_are_found_in_other_spellings() {
    for (one, other, same) in [
        ("https://Host", "https://host:443/", true),
        ("https://host:6443", "https://host:6443/", true),
        ("https://host:6443", "https://host:6444", false),
        ("https://host/a", "https://host/b", false),
        ("http://host", "https://host", false),
    ] {
        assert_eq!(same_server(one, other), same, "{one} {other}");
    }
}

#[test]
fn contexts_that_miss_something_are_named() {
    let kubeconfig = parsed("{token: t}");
    assert_eq!(server(&kubeconfig, "x").unwrap(), "https://h:6443");
    assert!(
        server(&kubeconfig, "y")
            .unwrap_err()
            .to_string()
            .contains("it has: x, broken")
    );
    assert!(
        server(&kubeconfig, "broken")
            .unwrap_err()
            .to_string()
            .contains("\"none\"")
    );
}

#[test]
fn files_are_inlined() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let user = format!(
        "{{tokenFile: {}, client-certificate: {}, client-key: {}}}",
        path("token", "secret\n"),
        path("crt", "CRT"),
        path("key", "KEY")
    );
    let kubeconfig = parsed(&user);
    let user = inline_user(super::user(&kubeconfig, "x").unwrap()).unwrap();
    let authority = Cluster {
        server: Some("https://h".into()),
        certificate_authority: Some(path("ca", "CA")),
        ..Cluster::default()
    };
    let cluster = inline_cluster(&authority).unwrap();
    assert_eq!(cluster.certificate_authority_data.as_deref(), Some("Q0E="));
    let text = serde_saphyr::to_string(&for_member("m", "sky-manager", cluster, user)).unwrap();
    assert!(
        text.contains("secret") && text.contains("Q1JU") && text.contains("S0VZ"),
        "{text}"
    );
    assert!(!text.contains(&directory.path().display().to_string()), "{text}");
    assert_eq!(vetted(&text).unwrap().current_context.as_deref(), Some("m"));
}

#[test]
fn commands_and_other_credentials_that_cannot_be_copied_are_refused() {
    for (user, reason) in [
        (
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: aws}}",
            "exec",
        ),
        ("{auth-provider: {name: gcp}}", "auth-provider"),
        ("{username: a, password: b}", "password"),
        ("{token: t, as: root}", "impersonates"),
        ("{}", "neither a token"),
        ("{client-certificate-data: QQ==}", "neither a token"),
        ("{tokenFile: /does/not/exist}", "/does/not/exist"),
    ] {
        let kubeconfig = parsed(user);
        let error = format!(
            "{:#}",
            inline_user(super::user(&kubeconfig, "x").unwrap()).unwrap_err()
        );
        assert!(error.contains(reason), "{user}: {error}");
    }
}

#[test]
fn a_members_kubeconfig_that_runs_or_reads_is_not_used() {
    for text in [
        "users: [{name: u, user: {exec: {command: sh}}}]",
        "users: [{name: u, user: {tokenFile: /etc/passwd}}]",
        "clusters: [{name: c, cluster: {server: 'https://h', certificate-authority: /ca}}]",
        "clusters: [{name: c, cluster: {server: 'http://h'}}]",
        "clusters: [{name: c, cluster: {server: 'https://h', insecure-skip-tls-verify: true}}]",
        "users: {",
    ] {
        assert!(vetted(text).is_err(), "{text}");
    }
    let error = vetted("users: [{token: very-secret").unwrap_err().to_string();
    assert!(!error.contains("very-secret"), "{error}");
}
