//! A member whose calls are counted and timed. Every member that is seated is put into one, so that no call is missed.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use sky_core::observation::MemberEvent;
use sky_core::share::ShareKey;
use sky_member::{Desired, Ensured, LogQuery, Member, MemberError, Probe, Withdraw, Withdrawn};

use crate::metrics;

/// A member, measured.
#[derive(Debug)]
pub(super) struct Measured(pub(super) Arc<dyn Member>);

impl Measured {
    async fn measure<T>(
        &self,
        request: &str,
        call: impl Future<Output = Result<T, MemberError>> + Send,
    ) -> Result<T, MemberError> {
        let begun = Instant::now();
        let answer = call.await;
        let result = answer.as_ref().err().map_or("ok", |error| error.class.as_str());
        metrics::requested(self.0.name(), request, result, begun.elapsed());
        answer
    }
}

#[async_trait]
impl Member for Measured {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn probe(&self) -> Result<Probe, MemberError> {
        self.measure("probe", self.0.probe()).await
    }

    async fn ensure(&self, desired: Desired) -> Result<Ensured, MemberError> {
        self.measure("ensure", self.0.ensure(desired)).await
    }

    async fn withdraw(&self, key: &ShareKey, how: Withdraw) -> Result<Withdrawn, MemberError> {
        self.measure("withdraw", self.0.withdraw(key, how)).await
    }

    fn events(&self) -> BoxStream<'static, MemberEvent> {
        self.0.events()
    }

    async fn logs(
        &self,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<Bytes, MemberError>>, MemberError> {
        self.measure("logs", self.0.logs(query)).await
    }
}
