//! Asked before an object is created in a namespace: takes the idle mark off that announces its removal.

use sky_core::namespace::{Namespace, Wanted};
use sky_member::{Desired, Member, MemberError};

use crate::fleet::Fleet;

/// Makes sure that this namespace of `member` is not removed under what is to be created in it. Costs a call only when
/// it is marked. A removal that is on its way fails by it, or has happened: then the namespace is made again.
///
/// # Errors
/// The member's; `Throttled` while the namespace is being terminated.
pub async fn claim(
    fleet: &Fleet,
    member: &dyn Member,
    namespace: &str,
    origin: &str,
) -> Result<(), MemberError> {
    let marked = |seen: &sky_core::namespace::SeenNamespace| seen.created && seen.idle_since.is_some();
    let found = fleet.read(member.name(), |view| {
        view.namespace(namespace).is_some_and(marked)
    });
    if found != Some(true) {
        return Ok(());
    }
    let wanted = Namespace {
        name: namespace.to_owned(),
        origin: origin.to_owned(),
        wanted: Wanted::Needed,
    };
    member
        .ensure(Desired::Namespace(Box::new(wanted)))
        .await
        .map(drop)
}
