//! Which contexts `--all-contexts` joins, and under which names. Pure.

use std::collections::BTreeMap;

use kube::config::Kubeconfig;

use super::register::Joined;
use crate::kubeconfig;

/// A context, and the name it is joined under or why it is skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) context: String,
    pub(super) name: Result<String, String>,
}

/// Every context but the host's, in the kubeconfig's order. A server that is joined already keeps its name; of two
/// contexts of one server, or two that make the same name, the first is taken.
pub(super) fn candidates(kubeconfig: &Kubeconfig, host: &str, joined: &Joined) -> Vec<Candidate> {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let mut servers: Vec<(String, String)> = Vec::new();
    let mut candidates = Vec::new();
    for named in &kubeconfig.contexts {
        let context = named.name.clone();
        let server = kubeconfig::server(kubeconfig, &context);
        if server
            .as_ref()
            .is_ok_and(|server| kubeconfig::same_server(server, host))
        {
            continue;
        }
        let name = match server {
            Err(error) => Err(format!("{error:#}")),
            Ok(server) => choose(&context, &server, joined, &taken, &servers).inspect(|name| {
                taken.insert(name.clone(), context.clone());
                servers.push((server.clone(), context.clone()));
            }),
        };
        candidates.push(Candidate { context, name });
    }
    candidates
}

fn choose(
    context: &str,
    server: &str,
    joined: &Joined,
    taken: &BTreeMap<String, String>,
    servers: &[(String, String)],
) -> Result<String, String> {
    if let Some((_, first)) = servers
        .iter()
        .find(|(other, _)| kubeconfig::same_server(other, server))
    {
        return Err(format!("it reaches the same server as context {first:?}"));
    }
    let name = match joined.name_of(server) {
        Some(name) => name.to_owned(),
        None => kubeconfig::cluster_name(context)
            .ok_or("no cluster name can be made of it; join it with a name of your own")?,
    };
    match taken.get(&name) {
        Some(first) => Err(format!(
            "its name would be {name}, as that of context {first:?}; join it with a name of your own"
        )),
        None => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(contexts: &[(&str, &str)]) -> Kubeconfig {
        let mut text = String::from("apiVersion: v1\nkind: Config\nclusters:\n");
        for (index, (_, server)) in contexts.iter().enumerate() {
            text += &format!("- {{name: c{index}, cluster: {{server: '{server}'}}}}\n");
        }
        text += "contexts:\n";
        for (index, (context, _)) in contexts.iter().enumerate() {
            text += &format!("- {{name: '{context}', context: {{cluster: c{index}, user: u}}}}\n");
        }
        Kubeconfig::from_yaml(&text).unwrap()
    }

    #[test]
    fn the_hosts_contexts_are_left_out_and_names_are_made() {
        let kubeconfig = kubeconfig(&[
            ("host", "https://host:6443"),
            ("host-readonly", "https://HOST:6443/"),
            ("mluo-cloud", "https://a"),
            ("Admin@Prod", "https://b"),
            ("again", "https://b:443"),
            ("admin.prod", "https://c"),
            ("!!", "https://d"),
            ("kept", "https://e"),
            ("empty", ""),
        ]);
        let joined = Joined::from([("my-name".to_owned(), Some("https://e:443/".to_owned()))]);
        let candidates = candidates(&kubeconfig, "https://host:6443", &joined);
        let told: Vec<String> = candidates
            .into_iter()
            .map(|candidate| match candidate.name {
                Ok(name) => format!("{} = {name}", candidate.context),
                Err(reason) => format!("{}: {reason}", candidate.context),
            })
            .collect();
        assert_eq!(
            told,
            [
                "mluo-cloud = mluo-cloud",
                "Admin@Prod = admin-prod",
                "again: it reaches the same server as context \"Admin@Prod\"",
                "admin.prod: its name would be admin-prod, as that of context \"Admin@Prod\"; join it with a name of your own",
                "!!: no cluster name can be made of it; join it with a name of your own",
                "kept = my-name",
                "empty: the cluster of context \"empty\" has no server",
            ]
        );
    }
}
