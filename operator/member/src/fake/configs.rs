//! ConfigMaps and Secrets of a fake member: copies of ours, which go with the last share that uses them, and foreign
//! ones. Part of `state`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sky_core::config::{Config, ConfigName, Content, User, Wanted};
use sky_core::share::ShareKey;

use super::state::State;
use crate::{Class, Ensured, MemberError};

/// One of them.
#[derive(Clone, Debug)]
struct Kept {
    /// Whose copy it is; `None`: it is nobody's.
    origin: Option<String>,
    content: Arc<Content>,
    /// Instances of the shares that use it.
    users: BTreeSet<(ShareKey, String)>,
}

/// All of them, by namespace and name.
#[derive(Debug, Default)]
pub(super) struct Configs(BTreeMap<(String, ConfigName), Kept>);

impl Configs {
    /// Somebody else puts one there, over what is there.
    pub(super) fn plant(&mut self, namespace: &str, name: &ConfigName, content: Content) {
        let kept = Kept {
            origin: None,
            content: Arc::new(content),
            users: BTreeSet::new(),
        };
        self.0.insert((namespace.to_owned(), name.clone()), kept);
    }

    /// Somebody else removes it.
    pub(super) fn remove(&mut self, namespace: &str, name: &ConfigName) {
        self.0.remove(&(namespace.to_owned(), name.clone()));
    }

    /// What it holds, whoever's it is.
    pub(super) fn get(&self, namespace: &str, name: &ConfigName) -> Option<Arc<Content>> {
        let kept = self.0.get(&(namespace.to_owned(), name.clone()))?;
        Some(kept.content.clone())
    }

    /// The object of this share is gone: what nobody else uses goes with it.
    pub(super) fn collect(&mut self, gone: &ShareKey) {
        self.0.retain(|_, kept| {
            let before = kept.users.len();
            kept.users.retain(|(key, _)| key != gone);
            before == 0 || !kept.users.is_empty()
        });
    }

    /// Makes it as it is wanted.
    fn ensure(&mut self, config: &Config) -> Result<Ensured, MemberError> {
        let at = (config.namespace.clone(), config.name.clone());
        let present = self.0.get_mut(&at);
        match (&config.wanted, present) {
            (Wanted::There, None) => Ok(Ensured::Absent),
            (Wanted::There, Some(_)) | (Wanted::Released(_), None) => Ok(Ensured::Present),
            (Wanted::Held { content, user }, None) => {
                let kept = Kept {
                    origin: Some(config.origin.clone()),
                    content: content.clone(),
                    users: used_by(user).into_iter().collect(),
                };
                self.0.insert(at, kept);
                Ok(Ensured::Created)
            }
            (Wanted::Held { .. }, Some(kept)) if kept.origin.as_ref() != Some(&config.origin) => {
                let words = format!("the {} there is not ours, and is not overwritten", config.name);
                Err(MemberError::new(Class::Conflict, words))
            }
            (Wanted::Held { content, user }, Some(kept)) => {
                let mut users = kept.users.clone();
                users.retain(|(key, uid)| *key != user.key || Some(uid) == user.instance.as_ref());
                users.extend(used_by(user));
                if kept.content == *content && kept.users == users {
                    return Ok(Ensured::Present);
                }
                kept.content = content.clone();
                kept.users = users;
                Ok(Ensured::Updated)
            }
            (Wanted::Released(_), Some(kept)) if kept.origin.as_ref() != Some(&config.origin) => {
                Ok(Ensured::Present)
            }
            (Wanted::Released(user), Some(kept)) => {
                let before = kept.users.len();
                kept.users.retain(|(key, _)| Some(key) != user.as_ref());
                let after = kept.users.len();
                if after == 0 {
                    self.0.remove(&at);
                }
                Ok(if after == 0 || after < before {
                    Ensured::Updated
                } else {
                    Ensured::Present
                })
            }
        }
    }
}

fn used_by(user: &User) -> Option<(ShareKey, String)> {
    Some((user.key.clone(), user.instance.clone()?))
}

impl State {
    /// Makes a ConfigMap or Secret as it is wanted.
    pub(super) fn ensure_config(&mut self, config: &Config) -> Result<Ensured, MemberError> {
        if let Wanted::Held { .. } = config.wanted {
            self.need_namespace(&config.namespace, &config.origin)?;
        }
        let done = self.configs.ensure(config)?;
        let verb = match (&config.wanted, done) {
            (Wanted::Held { .. }, Ensured::Created) => "copy",
            (Wanted::Held { .. }, Ensured::Updated) => "change",
            (Wanted::Released(_), Ensured::Updated) => "release",
            _ => return Ok(done),
        };
        self.effects.push(format!("{verb} {}", config.name));
        Ok(done)
    }
}
