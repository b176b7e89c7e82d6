//! Whose an object is, by its name alone: events name objects that may be gone, so nothing else is left of them.
//!
//! Kubernetes names a Deployment's pod `<service>-<hash>-<five>` and a `StatefulSet`'s `<service>-<number>`. The hash and the
//! five come from an alphabet without vowels, which keeps most names of services from looking like one.

/// The alphabet of the endings that Kubernetes makes up.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// The length of a pod's own ending.
const SUFFIX: usize = 5;

/// The service that an event is about: what it regards by kind, name and field (`spec.containers{web}`).
pub(super) fn service<'a>(kind: &str, name: &'a str, field: &'a str) -> Option<&'a str> {
    // A container has its service's name.
    let container = field.strip_prefix("spec.containers{").and_then(|rest| rest.strip_suffix('}'));
    match kind {
        _ if container.is_some() => container,
        "Pod" => of_pod(name),
        "ReplicaSet" => of_replica_set(name),
        "Deployment" | "StatefulSet" => Some(name),
        "Service" => Some(name.strip_suffix("-np").unwrap_or(name)),
        _ => None,
    }
}

fn of_pod(name: &str) -> Option<&str> {
    let (rest, last) = name.rsplit_once('-')?;
    if last.len() == SUFFIX
        && is_made_up(last)
        && let Some(service) = of_replica_set(rest)
    {
        return Some(service);
    }
    (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())).then_some(rest)
}

fn of_replica_set(name: &str) -> Option<&str> {
    let (service, hash) = name.rsplit_once('-')?;
    ((6..=10).contains(&hash.len()) && is_made_up(hash)).then_some(service)
}

fn is_made_up(text: &str) -> bool {
    text.bytes().all(|byte| SAFE.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_service() {
        for (kind, name, field, expected) in [
            ("Pod", "web-6d4cf56db6-x2x7k", "", Some("web")),
            ("Pod", "web-1-6d4cf56db6-x2x7k", "", Some("web-1")),
            ("Pod", "db-0", "", Some("db")),
            ("Pod", "db-2-0", "", Some("db-2")),
            ("Pod", "web", "", None),
            ("Pod", "web-6d4cf56db6-x2x7k", "spec.containers{other}", Some("other")),
            ("ReplicaSet", "web-6d4cf56db6", "", Some("web")),
            ("Deployment", "web-1", "", Some("web-1")),
            ("Service", "web-np", "", Some("web")),
            ("Ingress", "app.example.com", "", None),
        ] {
            assert_eq!(service(kind, name, field), expected, "{kind} {name}");
        }
    }
}
