"""A program's first SkyJob: lists the clusters, creates a job, watches it to its end, says what came of it, deletes it."""

import sys

from kubernetes import client, config, watch

GROUP, VERSION, NAMESPACE = "skymanager.io", "v1alpha1", "default"

config.load_kube_config()
api = client.CustomObjectsApi()

for cluster in api.list_cluster_custom_object(GROUP, VERSION, "skyclusters")["items"]:
    free = cluster.get("status", {}).get("free", {}).get("cpu", "?")
    print(f"{cluster['metadata']['name']}: {free} cpu free")

job = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": "SkyJob",
    "metadata": {"name": "first-job"},
    "spec": {
        "replicas": 2,
        "run": "echo hello from $SKY_CLUSTER",
        "resources": {"cpu": "100m", "memory": "16Mi"},
    },
}
api.create_namespaced_custom_object(GROUP, VERSION, NAMESPACE, "skyjobs", job)


def end(status):
    """Complete, or why it never will be; None while it goes on."""
    for condition in status.get("conditions", []):
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed", "Stalled"):
            return condition
    return None


ended = None
changes = watch.Watch()
for change in changes.stream(
    api.list_namespaced_custom_object,
    GROUP,
    VERSION,
    NAMESPACE,
    "skyjobs",
    field_selector="metadata.name=first-job",
    timeout_seconds=120,
):
    status = change["object"].get("status", {})
    print(status.get("phase", "not seen yet"), status.get("summary", ""))
    ended = end(status)
    if ended:
        changes.stop()

api.delete_namespaced_custom_object(GROUP, VERSION, NAMESPACE, "skyjobs", "first-job")
if not ended or ended["type"] != "Complete":
    sys.exit(f"not complete: {ended}")
