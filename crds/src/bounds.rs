//! How long, how many and of what form: the schema fragments that bound every string, list and map of the five kinds.
//! Named by the field attributes of the kinds; the limits of status fields are read by whoever writes status.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Longest `message` in a status, in characters; writers cut longer ones.
pub const MAX_MESSAGE: usize = 32_768;
/// Longest `reason` in a status.
pub const MAX_REASON: usize = 1024;
/// Longest `summary` in a status.
pub const MAX_SUMMARY: usize = 4096;
/// Longest `ranks` of a share: every second rank of the largest SkyJob fits.
pub const MAX_RANKS: usize = 300_000;
/// Most conditions in a status.
pub const MAX_CONDITIONS: usize = 16;
/// Most shares of one placement.
pub const MAX_SHARES: usize = 2048;
/// Most clusters in one list of a status.
pub const MAX_CLUSTERS: usize = 1024;
/// Most clusters in `status.diagnosis`.
pub const MAX_DIAGNOSIS: usize = 32;
/// Most entries in `status.evictions`.
pub const MAX_EVICTIONS: usize = 10;
/// Most entries in `status.runs`.
pub const MAX_RUNS: usize = 20;
/// Most entries in a SkyCluster's `status.nodeShapes`.
pub const MAX_NODE_SHAPES: usize = 64;
/// Most taints of one node shape.
pub const MAX_NODE_TAINTS: usize = 64;
/// Most resources in one map of a status.
pub const MAX_RESOURCES: usize = 128;
/// Most replicas of a workload.
pub const MAX_REPLICAS: i64 = 100_000;

const LABEL_KEY: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?\
                         [A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const DNS_SUBDOMAIN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const QUANTITY: &str = "^[+-]?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";
const SLURM_NAME: &str = "^[A-Za-z0-9_][-A-Za-z0-9_.,:@+]*$";

fn text(max: usize, pattern: &str) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": max, "pattern": pattern})
}

/// Name of a SkyCluster: a DNS label.
pub(crate) fn cluster_name(_: &mut SchemaGenerator) -> Schema {
    text(63, DNS_LABEL)
}

/// Name of an object, such as a Secret: a DNS subdomain.
pub(crate) fn object_name(_: &mut SchemaGenerator) -> Schema {
    text(253, DNS_SUBDOMAIN)
}

/// Key of a Secret.
pub(crate) fn secret_key(_: &mut SchemaGenerator) -> Schema {
    text(253, "^[-._a-zA-Z0-9]+$")
}

/// A name that only appears in messages.
pub(crate) fn display_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 253})
}

/// Key of a label or taint.
pub(crate) fn label_key(_: &mut SchemaGenerator) -> Schema {
    text(317, LABEL_KEY)
}

/// Value of a label or taint; may be empty.
pub(crate) fn label_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 63, "pattern": LABEL_VALUE})
}

/// Values of a label expression.
pub(crate) fn label_values(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 64, "items": label_value(generator)})
}

/// Labels by key.
pub(crate) fn labels(generator: &mut SchemaGenerator) -> Schema {
    map(32, 317, &label_value(generator))
}

/// Labels of nodes in a status.
pub(crate) fn reported_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 253},
    })
}

/// Key of a node's taint in a status.
pub(crate) fn reported_key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 317})
}

/// Annotations by key.
pub(crate) fn annotations(_: &mut SchemaGenerator) -> Schema {
    map(64, 317, &json_schema!({"type": "string", "maxLength": 16_384}))
}

/// A map whose keys are bounded by a rule, since a CRD may not say `propertyNames`.
fn map(max: usize, longest_key: usize, value: &Schema) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": max,
        "additionalProperties": value,
        "x-kubernetes-validations": [{
            "rule": format!("self.all(k, size(k) <= {longest_key})"),
            "message": format!("a key is longer than {longest_key} characters: shorten it"),
        }],
    })
}

/// Names of SkyClusters, each once.
pub(crate) fn cluster_names(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 256,
        "items": cluster_name(generator),
        "x-kubernetes-list-type": "set",
    })
}

/// Names of SkyClusters in a status.
pub(crate) fn reported_clusters(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_CLUSTERS,
        "items": {"type": "string", "maxLength": 253},
    })
}

/// Resources by name in a status.
pub(crate) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MAX_RESOURCES,
        "additionalProperties": {"x-kubernetes-int-or-string": true, "maxLength": 64, "pattern": QUANTITY},
    })
}

/// Conditions of a status, one of each type.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_CONDITIONS,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "minLength": 1, "maxLength": 316},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "reason": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_REASON,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {"type": "string", "maxLength": MAX_MESSAGE},
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            },
        },
    })
}

/// A generation in a status; -1 before the first look.
pub(crate) fn observed_generation(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": -1})
}

/// A reason code in a status.
pub(crate) fn reason(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": MAX_REASON})
}

/// Words for people in a status.
pub(crate) fn message(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": MAX_MESSAGE})
}

/// Clusters and numbers in one line of a status.
pub(crate) fn summary(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": MAX_SUMMARY})
}

/// One word in a status, such as a phase, a version, a resource's model.
pub(crate) fn word(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 253})
}

/// A container image.
pub(crate) fn image(_: &mut SchemaGenerator) -> Schema {
    text(1024, "^\\S+$")
}

/// A shell script.
pub(crate) fn script(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 65_536})
}

/// Words of a command line.
pub(crate) fn words(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 128, "items": {"type": "string", "maxLength": 65_536}})
}

/// Name of an environment variable.
pub(crate) fn variable_name(_: &mut SchemaGenerator) -> Schema {
    text(256, "^[-._a-zA-Z][-._a-zA-Z0-9]*$")
}

/// Value of an environment variable.
pub(crate) fn variable_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 65_536})
}

/// Name of a port.
pub(crate) fn port_name(_: &mut SchemaGenerator) -> Schema {
    text(15, DNS_LABEL)
}

/// Name of a run.
pub(crate) fn run_id(_: &mut SchemaGenerator) -> Schema {
    text(128, "^[A-Za-z0-9][-A-Za-z0-9._:/+@]*$")
}

/// Name of a run in a status; empty for a run without one.
pub(crate) fn reported_run_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 128})
}

/// Ranks of a share: ranges and single numbers.
pub(crate) fn ranks(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": MAX_RANKS,
        "pattern": "^([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?$",
    })
}

/// A partition, account, user or quality of service of Slurm.
pub(crate) fn slurm_name(_: &mut SchemaGenerator) -> Schema {
    text(256, SLURM_NAME)
}

/// An absolute path.
pub(crate) fn absolute_path(_: &mut SchemaGenerator) -> Schema {
    text(1024, "^/[^\\n\\r]*$")
}

/// One line of text.
pub(crate) fn line(_: &mut SchemaGenerator) -> Schema {
    text(1024, "^[^\\n\\r]+$")
}

/// URL of slurmrestd: no user, no query; or its unix socket, on the operator's own machine.
pub(crate) fn endpoint(_: &mut SchemaGenerator) -> Schema {
    text(
        1024,
        "^(https?://[^/?#@\\s]+(/[^?#\\s]*)?|unix:///[^/?#\\s][^?#\\s]*)$",
    )
}

/// PEM certificates.
pub(crate) fn certificates(_: &mut SchemaGenerator) -> Schema {
    text(131_072, "-----BEGIN CERTIFICATE-----")
}

/// Image names to what a container runtime takes.
pub(crate) fn image_map(generator: &mut SchemaGenerator) -> Schema {
    map(256, 512, &line(generator))
}

/// Further submit options of Slurm, by the names that are allowed.
pub(crate) fn directives(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 6,
        "additionalProperties": line(generator),
        "x-kubernetes-validations": [{
            "rule": "self.all(k, k in ['constraints', 'dependency', 'exclusive', 'nice', 'reservation', 'wckey'])",
            "message": "a directive is not one of constraints, dependency, exclusive, nice, reservation, wckey: remove it",
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::{MAX_RANKS, MAX_REPLICAS};

    #[test]
    fn every_second_rank_of_the_largest_job_fits() {
        let ranks: Vec<String> = (0..MAX_REPLICAS)
            .skip(1)
            .step_by(2)
            .map(|rank| rank.to_string())
            .collect();
        assert!(ranks.join(",").len() <= MAX_RANKS);
    }
}
