//! The values of `vars.rs` as the interpreter takes them: each field is made when an expression reads it, strings are
//! borrowed, and labels are looped over in the order of their keys, so that an answer never depends on a hash.

use std::any::type_name;
use std::sync::{Arc, OnceLock};

use cel::ExecutionError;
use cel::common::traits::{self, Container, Indexer, Iterable, Sizer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};

use super::vars::{ClusterVars, RequestVars, Room, WorkloadVars};
use crate::cluster::{Effect, Taint};
use crate::labels::Labels;

/// Something with fields.
#[derive(Clone, Copy, Debug)]
pub(super) enum Object<'v> {
    Cluster(&'v ClusterVars<'v>),
    Workload(&'v WorkloadVars<'v>),
    Taint(&'v Taint),
    Room(Room),
    Request(RequestVars<'v>),
}

impl<'v> Object<'v> {
    /// The field's value; `None`: there is none of that name.
    fn field(self, name: &str) -> Option<Box<dyn Val + 'v>> {
        match self {
            Self::Cluster(cluster) => of_cluster(cluster, name),
            Self::Workload(workload) => of_workload(workload, name),
            Self::Taint(taint) => match name {
                "key" => Some(string(&taint.key)),
                "value" => Some(string(&taint.value)),
                "effect" => Some(string(match taint.effect {
                    Effect::NoSchedule => "NoSchedule",
                    Effect::NoExecute => "NoExecute",
                })),
                _ => None,
            },
            Self::Room(room) => match name {
                "cpu" => Some(cores(room.cpu)),
                "memory" => Some(int(room.memory)),
                "accelerators" => Some(int(room.accelerators)),
                _ => None,
            },
            Self::Request(request) => match name {
                "cpu" => Some(cores(request.cpu)),
                "memory" => Some(int(request.memory)),
                "accelerators" => Some(int(request.accelerators)),
                "model" => Some(string(request.model)),
                _ => None,
            },
        }
    }
}

fn of_cluster<'v>(cluster: &'v ClusterVars<'v>, field: &str) -> Option<Box<dyn Val + 'v>> {
    Some(match field {
        "name" => string(cluster.name),
        "manager" => string(cluster.manager),
        "labels" => labels(cluster.labels),
        "taints" => list(cluster.taints.iter().map(|taint| object(Object::Taint(taint)))),
        "unschedulable" => bool(cluster.unschedulable),
        "nodes" => int(cluster.nodes),
        "free" => object(Object::Room(cluster.free)),
        "allocatable" => object(Object::Room(cluster.allocatable)),
        "models" => list(cluster.models.iter().map(|model| string(model))),
        _ => return None,
    })
}

fn of_workload<'v>(workload: &'v WorkloadVars<'v>, field: &str) -> Option<Box<dyn Val + 'v>> {
    Some(match field {
        "kind" => string(workload.kind),
        "namespace" => string(workload.namespace),
        "name" => string(workload.name),
        "labels" => labels(workload.labels),
        "priority" => int(workload.priority),
        "replicas" => int(workload.replicas),
        "gang" => bool(workload.gang),
        "resources" => object(Object::Request(workload.resources)),
        _ => return None,
    })
}

fn string(value: &str) -> Box<dyn Val + '_> {
    Box::new(CelString::from(value))
}

fn int<'v>(value: i64) -> Box<dyn Val + 'v> {
    Box::new(CelInt::from(value))
}

fn bool<'v>(value: bool) -> Box<dyn Val + 'v> {
    Box::new(CelBool::from(value))
}

fn cores<'v>(millicores: i64) -> Box<dyn Val + 'v> {
    Box::new(CelDouble::from(millicores as f64 / 1000.0))
}

fn object<'v>(value: Object<'v>) -> Box<dyn Val + 'v> {
    Box::new(value)
}

fn labels(of: &Labels) -> Box<dyn Val + '_> {
    Box::new(LabelMap {
        of,
        keys: OnceLock::new(),
    })
}

fn list<'v>(elements: impl Iterator<Item = Box<dyn Val + 'v>>) -> Box<dyn Val + 'v> {
    Box::new(CelList::from(elements.collect::<Vec<_>>()))
}

/// A key as a string; every other is refused by the checker.
fn key(index: &dyn Val) -> Result<&str, ExecutionError> {
    let key = index.downcast_ref::<CelString>().map(CelString::inner);
    key.ok_or_else(|| ExecutionError::UnexpectedType {
        got: index.get_type().name().to_owned(),
        want: type_name::<str>().to_owned(),
    })
}

fn absent(key: &str) -> ExecutionError {
    ExecutionError::NoSuchKey(Arc::new(key.to_owned()))
}

impl<'a> Val for Object<'a> {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl<'a> Indexer for Object<'a> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let name = key(index)?;
        self.field(name).map(CowVal::Owned).ok_or_else(|| absent(name))
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

/// Labels; the keys as values are made when they are first looped over.
#[derive(Debug)]
struct LabelMap<'v> {
    of: &'v Labels,
    keys: OnceLock<Vec<CelString<'v>>>,
}

impl<'a> Val for LabelMap<'a> {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(LabelMap {
            of: self.of,
            keys: OnceLock::new(),
        })
    }
}

impl Container for LabelMap<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.of.contains_key(key(value)?))
    }
}

impl<'a> Indexer for LabelMap<'a> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let name = key(index)?;
        let value: &'a String = self.of.get(name).ok_or_else(|| absent(name))?;
        Ok(CowVal::Owned(string(value)))
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

impl<'a> Iterable for LabelMap<'a> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn traits::Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        let keys = self
            .keys
            .get_or_init(|| self.of.keys().map(|key| CelString::from(key.as_str())).collect());
        Box::new(Keys(keys.iter()))
    }
}

impl Sizer for LabelMap<'_> {
    fn size(&self) -> CelInt {
        i64::try_from(self.of.len()).unwrap_or(i64::MAX).into()
    }
}

struct Keys<'b, 'a>(std::slice::Iter<'b, CelString<'a>>);

impl<'b, 'a: 'v, 'v> traits::Iterator<'b, 'v> for Keys<'b, 'a> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.0.next().map(|key| key as &(dyn Val + 'v))
    }
}
