//! What is read when somebody asks: the board, the fleet, the gate. Made anew each time, so that nothing is shown of
//! clusters that are gone. Called by `health`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use prometheus::proto::MetricFamily;
use prometheus::{Encoder, Error, IntGaugeVec, Opts, Registry, TextEncoder};
use sky_core::decision::Outcome;
use sky_core::observation::{End, Observation};
use sky_member::gate::Gate;

use super::table::{self, Definition};
use crate::clock;
use crate::fleet::{Contact, Fleet};
use crate::leader::LEASE;
use crate::scheduler::{Board, Sources, Waiting};

/// What is asked.
#[derive(Clone)]
pub struct Scrape {
    /// Workloads that wait.
    pub board: Arc<Board>,
    /// Members.
    pub fleet: Arc<Fleet>,
    /// Whether this operator leads.
    pub gate: Gate,
    /// What is promised on members; there once this operator has led.
    pub sources: Arc<OnceLock<Arc<Sources>>>,
}

impl Scrape {
    /// Everything, in Prometheus' text format.
    ///
    /// # Errors
    /// When a metric is not as its table says.
    pub fn text(&self) -> Result<String, Error> {
        let mut families = super::installed().map(super::Metrics::gather).unwrap_or_default();
        let clusters = self.fleet.survey(|_| ());
        for family in &mut families {
            let known = |metric: &prometheus::proto::Metric| {
                let mut labels = metric.get_label().iter();
                labels.all(|label| label.name() != "cluster" || clusters.contains_key(label.value()))
            };
            let kept = family.take_metric().into_iter().filter(known).collect();
            family.set_metric(kept);
        }
        families.retain(|family| !family.get_metric().is_empty());
        families.extend(self.gauges()?);
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        String::from_utf8(text).map_err(|error| Error::Msg(error.to_string()))
    }

    fn gauges(&self) -> Result<Vec<MetricFamily>, Error> {
        let registry = Registry::new();
        let waiting = self.board.waiting();
        self.queue(&registry, &waiting)?;
        self.members(&registry)?;
        let reserved = gauge(&registry, &table::RESERVED)?;
        let promised = self.sources.get().map(|sources| self.board.promised(sources));
        for cluster in self.fleet.survey(|_| ()).keys() {
            let count = promised.as_ref().and_then(|promised| promised.get(cluster));
            reserved
                .with_label_values(&[cluster])
                .set(count.copied().unwrap_or(0));
        }
        let leader = gauge(&registry, &table::LEADER)?;
        leader
            .with_label_values(&[LEASE])
            .set(i64::from(self.gate.is_open()));
        Ok(registry.gather())
    }

    fn queue(&self, registry: &Registry, waiting: &[Waiting]) -> Result<(), Error> {
        let pending = gauge(registry, &table::PENDING)?;
        let by_plugin = gauge(registry, &table::UNSCHEDULABLE)?;
        for reason in ["undecided", "unschedulable", "too_large"] {
            pending.with_label_values(&[reason]).set(0);
        }
        for one in waiting {
            let reason = match one.answer.as_ref().map(|answer| &answer.outcome) {
                None | Some(Outcome::Placed(_)) => "undecided",
                Some(Outcome::Queued(_)) => "unschedulable",
                Some(Outcome::TooLarge(_)) => "too_large",
            };
            pending.with_label_values(&[reason]).inc();
            let verdicts = one.answer.iter().flat_map(|answer| &answer.verdicts);
            let refusals = verdicts.filter_map(|verdict| verdict.refusal.as_ref());
            let plugins: std::collections::BTreeSet<&str> = refusals.map(|(plugin, _)| &**plugin).collect();
            for plugin in plugins {
                by_plugin.with_label_values(&[plugin]).inc();
            }
        }
        let depth = i64::try_from(waiting.len()).unwrap_or(i64::MAX);
        gauge(registry, &table::QUEUE_DEPTH)?
            .with_label_values::<&str>(&[])
            .set(depth);
        let now = clock::now().as_second();
        let oldest = waiting.iter().map(|one| now - one.workload.created).max();
        gauge(registry, &table::QUEUE_AGE)?
            .with_label_values::<&str>(&[])
            .set(oldest.unwrap_or(0).max(0));
        Ok(())
    }

    fn members(&self, registry: &Registry) -> Result<(), Error> {
        let members = gauge(registry, &table::MEMBERS)?;
        let ready = gauge(registry, &table::MEMBER_READY)?;
        let shares = gauge(registry, &table::SHARES)?;
        for state in ["ready", "waiting", "silent"] {
            members.with_label_values(&[state]).set(0);
        }
        let seen = self.fleet.survey(|view| {
            let mut states: BTreeMap<&'static str, i64> = BTreeMap::new();
            for share in view.shares() {
                *states.entry(state(share)).or_default() += 1;
            }
            (view.contact().clone(), states)
        });
        for (cluster, (contact, states)) in seen {
            let state = match contact {
                Contact::Synced => "ready",
                Contact::Waiting => "waiting",
                Contact::Silent { .. } => "silent",
            };
            members.with_label_values(&[state]).inc();
            ready
                .with_label_values(&[&cluster])
                .set(i64::from(state == "ready"));
            for (state, count) in states {
                shares.with_label_values(&[&*cluster, state]).set(count);
            }
        }
        Ok(())
    }
}

/// What a share is doing, in one word.
fn state(share: &Observation) -> &'static str {
    match &share.end {
        _ if share.tombstone.is_some() => "tombstone",
        _ if share.deleting => "going",
        Some(End::Complete) => "complete",
        Some(End::Failed(_)) => "failed",
        None if share.suspended => "suspended",
        None if share.counts.running > 0 => "running",
        None => "pending",
    }
}

fn gauge(registry: &Registry, of: &Definition) -> Result<IntGaugeVec, Error> {
    let made = IntGaugeVec::new(Opts::new(of.name, of.meaning), of.labels)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}
