"""Each of the five kinds is created, read, listed, updated, watched and deleted, by the same lines."""

import sys

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

GROUP, VERSION, NAMESPACE, NAME = "skymanager.io", "v1alpha1", "default", "example"
NO_SECRET = {"kubeconfigSecretRef": {"name": "no-such-secret"}}
# Kind, plural, namespaced, spec.
KINDS = [
    ("SkyCluster", "skyclusters", False, {"manager": "kubernetes", "kubernetes": NO_SECRET}),
    ("SkyNamespace", "skynamespaces", False, {"labels": {"team": "a"}}),
    (
        "FilterPolicy",
        "filterpolicies",
        True,
        {"clusterFilter": {"exclude": ["eu-1"]}, "labelsSelector": {"only": "example"}},
    ),
    ("SkyJob", "skyjobs", True, {"run": "true", "suspend": True}),
    ("SkyDeployment", "skydeployments", True, {"replicas": 0, "run": "sleep 600"}),
]

config.load_kube_config()
api = client.CustomObjectsApi()


def life(kind, plural, namespaced, spec):
    """One kind from its creation to its end."""
    scope = "namespaced" if namespaced else "cluster"
    place = (GROUP, VERSION, NAMESPACE, plural) if namespaced else (GROUP, VERSION, plural)

    def call(verb, *arguments, **options):
        return getattr(api, f"{verb}_{scope}_custom_object")(*place, *arguments, **options)

    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": {"name": NAME}, "spec": spec}
    created = call("create", body)
    uid = created["metadata"]["uid"]
    assert call("get", NAME)["metadata"]["uid"] == uid, "another one"
    assert uid in [found["metadata"]["uid"] for found in call("list")["items"]], "not listed"

    # The operator writes status meanwhile: then the newer version is to be read again.
    for _ in range(10):
        found = call("get", NAME)
        found["metadata"].setdefault("labels", {})["example"] = "updated"
        try:
            updated = call("replace", NAME, found)
            break
        except ApiException as error:
            if error.status != 409:
                raise
    else:
        sys.exit(f"{kind}: changed by others 10 times in a row")

    call("delete", NAME)
    changes = watch.Watch()
    for change in changes.stream(
        getattr(api, f"list_{scope}_custom_object"),
        *place,
        field_selector=f"metadata.name={NAME}",
        resource_version=updated["metadata"]["resourceVersion"],
        # A namespace that was made is left idle for a minute before it goes.
        timeout_seconds=200,
    ):
        if change["type"] == "DELETED":
            assert change["object"]["metadata"]["labels"]["example"] == "updated", "the update is lost"
            print(f"{kind}: created, read, listed, updated, watched, deleted")
            return
    sys.exit(f"{kind} is not gone in time")


for each in KINDS:
    life(*each)
