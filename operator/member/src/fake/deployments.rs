//! Shares of SkyDeployments on a fake member: made as wanted at once, replicas added and taken away. Part of `state`.

use sky_core::share::Share;

use super::held::Replica;
use super::state::{State, taken, vet};
use crate::{Class, Ensured, MemberError, Scale};

impl State {
    /// Creates the share, or makes it as wanted.
    pub(super) fn deploy(&mut self, share: Share) -> Result<Ensured, MemberError> {
        let key = share.key.clone();
        if self.foreign.contains(&key) {
            return Err(taken(&key));
        }
        let Some(held) = self.held.get_mut(&key) else {
            vet(&share)?;
            self.need_namespace(&key.namespace, &share.stamp.origin)?;
            self.record("create", &share.stamp);
            self.hold(share, None);
            return Ok(Ensured::AsWanted(1));
        };
        if !held.share.stamp.is_of_same_share(&share.stamp) {
            return Err(taken(&key));
        }
        if held.share != share {
            vet(&share)?;
            let held = self.held.get_mut(&key).ok_or_else(|| taken(&key))?;
            held.generation += 1;
            let count = usize::try_from(share.replicas).unwrap_or_default();
            if held.share.stamp.spec_hash != share.stamp.spec_hash {
                // Another template: every replica is made anew.
                held.replicas.clear();
            }
            held.replicas.resize(count, Replica::Pending);
            held.share = share.clone();
            self.record("apply", &share.stamp);
            self.tell(&key);
        }
        Ok(Ensured::AsWanted(
            self.held.get(&key).map_or(1, |held| held.generation),
        ))
    }

    /// Somebody on the member sets another number of replicas.
    pub(super) fn meddle(&mut self, workload: &str, replicas: i64) {
        for key in self.keys_of(workload) {
            let Some(held) = self.held.get_mut(&key) else {
                continue;
            };
            held.generation += 1;
            held.share.replicas = replicas;
            held.replicas
                .resize(usize::try_from(replicas).unwrap_or_default(), Replica::Pending);
            let stamp = held.share.stamp.clone();
            self.record("meddle", &stamp);
            self.tell(&key);
        }
    }

    /// Changes only the number of replicas.
    pub(super) fn scale(&mut self, scale: &Scale) -> Result<Ensured, MemberError> {
        let Some(held) = self.held.get(&scale.key) else {
            return Err(MemberError::new(Class::Throttled, "it was deleted meanwhile"));
        };
        if !held.share.stamp.is_of_same_share(&scale.stamp) {
            return Err(taken(&scale.key));
        }
        self.deploy(Share {
            replicas: scale.replicas,
            ..held.share.clone()
        })
    }
}
