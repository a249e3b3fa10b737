//! The five CustomResourceDefinitions, made from the types: what the derive cannot say is added here.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// All CRDs, by kind name, as they are written to `manifests/`.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        crate::FilterPolicy::crd(),
        crate::SkyCluster::crd(),
        crate::SkyDeployment::crd(),
        crate::SkyJob::crd(),
        crate::SkyNamespace::crd(),
    ]
}
