//! The conformance suite on the fake: what tests of the operator rely on holds for it as for real members.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use sky_core::config::{ConfigName, Content};
use sky_core::labels::Labels;
use sky_core::share::{Program, Share, ShareKey};
use sky_member::Member;
use sky_member::conformance::{Description, Failure, Subject, Verdict, cases};
use sky_member::fake::{Call, Fake, Fault, node};

const ORIGIN: &str = "conformance";

struct Subjected {
    fake: Fake,
    confirms: bool,
}

#[async_trait]
impl Subject for Subjected {
    fn member(&self) -> Arc<dyn Member> {
        Arc::new(self.fake.clone())
    }

    fn description(&self) -> Description {
        Description {
            confirms: self.confirms,
            ..Description::default()
        }
    }

    fn origin(&self) -> &str {
        ORIGIN
    }

    fn lose_next_reply(&self) {
        self.fake.fault(Call::Ensure, Fault::LostReply);
    }

    async fn plant(&self, key: &ShareKey) -> Verdict {
        self.fake.plant(key.clone());
        Ok(())
    }

    async fn is_untouched(&self, key: &ShareKey) -> Result<bool, Failure> {
        Ok(self.fake.has_foreign(key))
    }

    async fn count(&self, namespace: &str) -> Result<usize, Failure> {
        Ok(self
            .fake
            .keys()
            .iter()
            .filter(|key| key.namespace == namespace)
            .count())
    }

    async fn has_namespace(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.fake.has_namespace(name))
    }

    async fn namespace_labels(&self, name: &str) -> Result<Option<Labels>, Failure> {
        Ok(self.fake.namespace(name).map(|seen| seen.labels))
    }

    async fn label_namespace(&self, name: &str, key: &str, value: &str) -> Verdict {
        self.fake.edit_namespace(name, |labels, _| {
            labels.insert(key.to_owned(), value.to_owned());
        });
        Ok(())
    }

    async fn put_secret(&self, namespace: &str) -> Verdict {
        self.fake.edit_namespace(namespace, |_, contents| {
            contents.insert("1 secrets".to_owned());
        });
        Ok(())
    }

    async fn put_config(&self, namespace: &str, name: &ConfigName) -> Verdict {
        let theirs = Content {
            texts: [("theirs".to_owned(), "stays".to_owned())].into(),
            ..Content::default()
        };
        self.fake.plant_config(namespace, name, theirs);
        Ok(())
    }

    async fn config(
        &self,
        namespace: &str,
        name: &ConfigName,
    ) -> Result<Option<BTreeMap<String, String>>, Failure> {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        Ok(self.fake.config(namespace, name).map(|content| {
            let bytes = content
                .bytes
                .iter()
                .map(|(key, bytes)| (key.clone(), text(bytes)));
            bytes.chain(content.texts.clone()).collect()
        }))
    }

    async fn delete(&self, key: &ShareKey) -> Verdict {
        self.fake.delete_key(key);
        Ok(())
    }

    async fn start(&self, share: &Share) -> Verdict {
        self.fake.place(&share.stamp.name);
        self.fake.start(&share.stamp.name);
        Ok(())
    }

    fn refused(&self) -> (Program, &'static str) {
        (
            Program::Template(json!({"spec": {"containers": []}})),
            "spec.template.spec.containers",
        )
    }
}

async fn check(confirms: bool) {
    let mut failed = Vec::new();
    for case in cases() {
        let fake = Fake::new("fake", ORIGIN, vec![node("n-0", 1_000_000)]);
        fake.confirm(confirms.then_some(0));
        let subject = Subjected { fake, confirms };
        if !(case.concerns)(&subject.description()) {
            continue;
        }
        if let Err(failure) = case.check(&subject, "").await {
            failed.push(format!("{}: {failure}", case.name));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn the_fake_does_what_every_manager_must() {
    check(false).await;
}

#[tokio::test(start_paused = true)]
async fn the_fake_that_holds_back_until_an_instance_is_named_does_so_too() {
    check(true).await;
}
