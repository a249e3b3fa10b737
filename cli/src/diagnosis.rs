//! What was found about each cluster, as JSON and as a table. Made of a decision, or of a status where the user may
//! see no more; shown by simulate and why.

use serde::Serialize;
use sky_core::decision::{Decision, Outcome, Verdict};
use sky_crds::status::ClusterDiagnosis;

use crate::table::Table;

/// What was found about one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterAnswer {
    /// Cluster name.
    pub cluster: String,
    /// Whether it passed every filter.
    pub feasible: bool,
    /// Replicas it can take now, at most those asked for; absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<i64>,
    /// 0..100, from preferences; absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// Sum of the plugins' points times their weights; absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<i64>,
    /// `CODE: words`, why it is not used.
    pub reasons: Vec<String>,
    /// Points by plugin.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Points>,
}

/// What one plugin gave a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Points {
    /// The plugin.
    pub plugin: String,
    /// 0..100.
    pub points: i64,
    /// What they are multiplied with.
    pub weight: i64,
    /// What the plugin has to say about them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Replicas on a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Cluster name.
    pub cluster: String,
    /// How many.
    pub replicas: i64,
}

/// What `decision` found about each cluster, by name, when `replicas` were asked for.
#[must_use]
pub fn of_decision(decision: &Decision, replicas: i64) -> Vec<ClusterAnswer> {
    let short = !matches!(decision.outcome, Outcome::Placed(_));
    let each = decision.verdicts.iter();
    each.map(|verdict| of_verdict(verdict, short.then_some(replicas)))
        .collect()
}

fn of_verdict(verdict: &Verdict, short_of: Option<i64>) -> ClusterAnswer {
    let reason = match (&verdict.refusal, short_of) {
        (Some((_, refusal)), _) => Some(format!("{}: {}", refusal.reason, refusal.message)),
        (None, Some(replicas)) if verdict.fit < replicas => {
            Some(format!("TooFewReplicas: room for {} of {replicas}", verdict.fit))
        }
        _ => None,
    };
    let scores = verdict.scores.iter().map(|given| Points {
        plugin: given.plugin.to_string(),
        points: given.points,
        weight: given.weight,
        note: given.note.as_ref().map(ToString::to_string),
    });
    ClusterAnswer {
        cluster: verdict.cluster.to_string(),
        feasible: verdict.refusal.is_none(),
        fit: Some(verdict.fit),
        weight: Some(verdict.weight),
        score: Some(verdict.score),
        reasons: reason.into_iter().collect(),
        scores: scores.collect(),
    }
}

/// What the operator wrote into a status.
#[must_use]
pub fn of_status(diagnosis: &[ClusterDiagnosis]) -> Vec<ClusterAnswer> {
    let each = diagnosis.iter().map(|found| {
        let words = found.message.as_deref().filter(|words| !words.is_empty());
        ClusterAnswer {
            cluster: found.cluster.clone(),
            feasible: found.reason == "TooFewReplicas",
            fit: None,
            weight: None,
            score: None,
            reasons: vec![match words {
                Some(words) => format!("{}: {words}", found.reason),
                None => found.reason.clone(),
            }],
            scores: Vec::new(),
        }
    });
    each.collect()
}

/// `c1:2,c2:1`.
#[must_use]
pub fn summary(parts: &[Part]) -> String {
    let each = parts
        .iter()
        .map(|part| format!("{}:{}", part.cluster, part.replicas));
    each.collect::<Vec<_>>().join(",")
}

/// A row for each cluster; `parts` are the replicas that the decision gives it. With `wide` what each plugin gave.
#[must_use]
pub fn table(clusters: &[ClusterAnswer], parts: &[Part], wide: bool) -> Table {
    let mut headers = vec![
        "CLUSTER", "FEASIBLE", "FIT", "WEIGHT", "SCORE", "REPLICAS", "REASON",
    ];
    headers.extend(wide.then_some("SCORES"));
    let mut table = Table::new(headers);
    for answer in clusters {
        let part = parts.iter().find(|part| part.cluster == answer.cluster);
        let mut row = vec![
            answer.cluster.clone(),
            if answer.feasible { "yes" } else { "no" }.to_owned(),
            number(answer.fit),
            number(answer.weight.map(i64::from)),
            number(answer.score),
            part.map_or(0, |part| part.replicas).to_string(),
            answer
                .reasons
                .iter()
                .map(|reason| words(reason))
                .collect::<Vec<_>>()
                .join("; "),
        ];
        row.extend(wide.then(|| scores(&answer.scores)));
        table.row(row);
    }
    table
}

fn number(number: Option<i64>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

/// A reason without its code, which is for programs.
fn words(reason: &str) -> &str {
    reason.split_once(": ").map_or(reason, |(_, words)| words)
}

/// `FreeCapacity=75,SpareAccelerators=100x2`.
fn scores(scores: &[Points]) -> String {
    let each = scores.iter().map(|given| {
        let times = if given.weight == 1 {
            String::new()
        } else {
            format!("x{}", given.weight)
        };
        let note = given
            .note
            .as_ref()
            .map(|note| format!(" ({note})"))
            .unwrap_or_default();
        format!("{}={}{times}{note}", given.plugin, given.points)
    });
    each.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use sky_core::plugin::Refusal;

    use super::*;

    fn verdict(cluster: &str, fit: i64, refusal: Option<Refusal>) -> Verdict {
        Verdict {
            cluster: cluster.into(),
            refusal: refusal.map(|refusal| ("Taints".into(), refusal)),
            fit,
            weight: 50,
            score: 275,
            scores: vec![
                sky_core::decision::Points {
                    plugin: "FreeCapacity".into(),
                    points: 75,
                    weight: 1,
                    note: None,
                },
                sky_core::decision::Points {
                    plugin: "SpareAccelerators".into(),
                    points: 100,
                    weight: 2,
                    note: None,
                },
            ]
            .into(),
        }
    }

    #[test]
    fn a_table_names_what_refuses_and_what_is_short() {
        let verdicts = vec![
            verdict("c1", 2, None),
            verdict("c2", 0, Some(Refusal::new("Tainted", "tainted gpu"))),
        ];
        let decision = Decision {
            outcome: Outcome::Queued("no".into()),
            verdicts,
        };
        let answers = of_decision(&decision, 4);
        assert_eq!(answers[0].reasons, ["TooFewReplicas: room for 2 of 4"]);
        assert_eq!(answers[1].reasons, ["Tainted: tainted gpu"]);
        let text = table(&answers, &[], true).render();
        assert!(
            text.contains("room for 2 of 4   FreeCapacity=75,SpareAccelerators=100x2"),
            "{text}"
        );
        assert!(text.contains("c2        no         0"), "{text}");
    }

    #[test]
    fn what_a_status_does_not_say_is_not_made_up() {
        let found = ClusterDiagnosis {
            cluster: "c1".into(),
            reason: "Cordoned".into(),
            message: Some("cordoned".into()),
        };
        let answers = of_status(&[found]);
        let json = serde_json::to_value(&answers).unwrap();
        assert_eq!(
            json,
            serde_json::json!([{"cluster": "c1", "feasible": false, "reasons": ["Cordoned: cordoned"]}])
        );
        assert!(
            table(&answers, &[], false)
                .render()
                .contains("c1        no         ?")
        );
    }
}
