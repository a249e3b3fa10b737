//! The conformance suite on the fake: what tests of the operator rely on holds for it as for real members.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use sky_core::labels::Labels;
use sky_core::share::{Program, Share, ShareKey};
use sky_member::Member;
use sky_member::conformance::{Failure, Subject, Verdict, cases};
use sky_member::fake::{Call, Fake, Fault, node};

const ORIGIN: &str = "conformance";

struct Subjected(Fake);

#[async_trait]
impl Subject for Subjected {
    fn member(&self) -> Arc<dyn Member> {
        Arc::new(self.0.clone())
    }

    fn origin(&self) -> &str {
        ORIGIN
    }

    fn lose_next_reply(&self) {
        self.0.fault(Call::Ensure, Fault::LostReply);
    }

    async fn plant(&self, key: &ShareKey) -> Verdict {
        self.0.plant(key.clone());
        Ok(())
    }

    async fn is_untouched(&self, key: &ShareKey) -> Result<bool, Failure> {
        Ok(self.0.has_foreign(key))
    }

    async fn count(&self, namespace: &str) -> Result<usize, Failure> {
        Ok(self
            .0
            .keys()
            .iter()
            .filter(|key| key.namespace == namespace)
            .count())
    }

    async fn has_namespace(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.0.has_namespace(name))
    }

    async fn namespace_labels(&self, name: &str) -> Result<Option<Labels>, Failure> {
        Ok(self.0.namespace(name).map(|seen| seen.labels))
    }

    async fn label_namespace(&self, name: &str, key: &str, value: &str) -> Verdict {
        self.0.edit_namespace(name, |labels, _| {
            labels.insert(key.to_owned(), value.to_owned());
        });
        Ok(())
    }

    async fn put_secret(&self, namespace: &str) -> Verdict {
        self.0.edit_namespace(namespace, |_, contents| {
            contents.insert("1 secrets".to_owned());
        });
        Ok(())
    }

    async fn delete(&self, key: &ShareKey) -> Verdict {
        self.0.delete_key(key);
        Ok(())
    }

    async fn start(&self, share: &Share) -> Verdict {
        self.0.place(&share.stamp.name);
        self.0.start(&share.stamp.name);
        Ok(())
    }

    fn refused(&self) -> (Program, &'static str) {
        (
            Program::Template(json!({"spec": {"containers": []}})),
            "spec.template.spec.containers",
        )
    }
}

#[tokio::test(start_paused = true)]
async fn the_fake_does_what_every_manager_must() {
    let mut failed = Vec::new();
    for case in cases() {
        let fake = Fake::new("fake", ORIGIN, vec![node("n-0", 1_000_000)]);
        if let Err(failure) = case.check(&Subjected(fake), "").await {
            failed.push(format!("{}: {failure}", case.name));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
