//! What the watch of Deployments says. Part of `cache`.

use std::collections::HashMap;

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use sky_core::workload::Kind as Workload;

use super::{Cache, job_id, share_key};
use crate::kubernetes::deployment;

impl Cache {
    pub(super) fn hear_deployment(&mut self, event: Event<Deployment>) {
        let key =
            |object: &Deployment| share_key(Workload::SkyDeployment, object.namespace(), object.name_any());
        let row = |object: &Deployment| deployment::trim(object).map(|row| (key(object), row));
        match event {
            Event::Apply(object) => {
                let Some((key, row)) = row(&object) else { return };
                self.touched_shares.insert(key.clone());
                self.deployments.present.insert(job_id(&key), (key, row));
            }
            Event::Delete(object) => {
                let key = key(&object);
                self.deployments.present.remove(&job_id(&key));
                self.touched_shares.insert(key);
            }
            Event::Init => self.deployments.listing = Some(HashMap::new()),
            Event::InitApply(object) => {
                if let Some((key, row)) = row(&object) {
                    self.deployments.list(job_id(&key), (key, row));
                }
            }
            Event::InitDone => self.reset |= self.deployments.replace(),
        }
    }
}
