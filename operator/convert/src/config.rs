//! ConfigMaps and Secrets of the host as core sees them, without what belongs to the host alone; those that are never
//! copied are told from the others here.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sky_core::config::Content;
use sky_crds::names;

use crate::job::copied;

/// Types of Secrets that are good on their own cluster alone.
const OF_ITS_CLUSTER: [&str; 2] = [
    "kubernetes.io/service-account-token",
    "bootstrap.kubernetes.io/token",
];
/// Type of a Secret that names none.
const OPAQUE: &str = "Opaque";

/// What a ConfigMap holds.
#[must_use]
pub fn of_config_map(map: ConfigMap) -> Content {
    let bytes = map.binary_data.unwrap_or_default();
    Content {
        texts: map.data.unwrap_or_default(),
        bytes: bytes.into_iter().map(|(key, bytes)| (key, bytes.0)).collect(),
        immutable: map.immutable.unwrap_or(false),
        ..of_metadata(&map.metadata)
    }
}

/// What a Secret holds.
///
/// # Errors
/// Why it is never copied.
pub fn of_secret(secret: Secret) -> Result<Content, String> {
    let kind = secret.type_.unwrap_or_else(|| OPAQUE.to_owned());
    if OF_ITS_CLUSTER.contains(&kind.as_str()) {
        return Err(format!(
            "is of type {kind}, good on its own cluster alone, and is never copied"
        ));
    }
    let labels = secret.metadata.labels.as_ref();
    if labels.is_some_and(|labels| labels.contains_key(names::SECRET_MEMBER_LABEL)) {
        return Err("is the credential of a member, and is never copied".to_owned());
    }
    let bytes = secret.data.unwrap_or_default();
    Ok(Content {
        bytes: bytes.into_iter().map(|(key, bytes)| (key, bytes.0)).collect(),
        secret_type: Some(kind),
        immutable: secret.immutable.unwrap_or(false),
        ..of_metadata(&secret.metadata)
    })
}

fn of_metadata(metadata: &ObjectMeta) -> Content {
    Content {
        source: metadata.uid.clone().unwrap_or_default(),
        labels: copied(metadata.labels.as_ref()),
        annotations: copied(metadata.annotations.as_ref()),
        ..Content::default()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    fn secret(value: serde_json::Value) -> Result<Content, String> {
        of_secret(serde_json::from_value(value).expect("a Secret"))
    }

    #[test]
    fn what_a_config_map_holds_is_taken_over_without_what_marks_owners() {
        let map: ConfigMap = serde_json::from_value(json!({
            "metadata": {
                "uid": "u", "labels": {"team": "red", "skymanager.io/origin": "o", "argocd.argoproj.io/instance": "a"},
                "annotations": {"note": "n", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
            },
            "data": {"a": "1"}, "binaryData": {"b": ByteString(vec![0, 255])}, "immutable": true,
        }))
        .expect("a ConfigMap");
        let wanted = Content {
            source: "u".into(),
            labels: [("team".to_owned(), "red".to_owned())].into(),
            annotations: [("note".to_owned(), "n".to_owned())].into(),
            texts: [("a".to_owned(), "1".to_owned())].into(),
            bytes: [("b".to_owned(), vec![0, 255])].into(),
            secret_type: None,
            immutable: true,
        };
        assert_eq!(of_config_map(map), wanted);
    }

    #[test]
    fn a_secret_keeps_its_type() {
        let content = secret(json!({"metadata": {"uid": "u"}, "data": {"a": ByteString(vec![1])}}));
        let content = content.expect("a content");
        assert_eq!(content.secret_type.as_deref(), Some("Opaque"));
        assert_eq!(content.bytes["a"], [1]);
        let registry = secret(json!({"type": "kubernetes.io/dockerconfigjson", "metadata": {}}));
        let kind = registry.expect("a content").secret_type;
        assert_eq!(kind.as_deref(), Some("kubernetes.io/dockerconfigjson"));
    }

    #[test]
    fn credentials_of_clusters_are_never_copied() {
        for (value, word) in [
            (
                json!({"type": "kubernetes.io/service-account-token", "metadata": {}}),
                "service-account-token",
            ),
            (
                json!({"metadata": {"labels": {"skymanager.io/member": "a"}}}),
                "credential of a member",
            ),
        ] {
            let words = secret(value).expect_err("a refusal");
            assert!(words.contains(word), "{words}");
        }
    }
}
