//! Leads a violation in the built groups or manifest back to the document that the tenant wrote.

use crate::manifest::violation::pointer;

/// Where each part of what was built comes from.
#[derive(Debug, Default)]
pub(in crate::manifest) struct Origins {
    /// In the order of the built groups.
    pub(super) groups: Vec<GroupOrigin>,
}

/// One group.
#[derive(Debug, Default)]
pub(super) struct GroupOrigin {
    pub(super) placement: String,
    /// The compute profile of each resource unit.
    pub(super) profiles: Vec<String>,
    /// In the order of the manifest's services.
    pub(super) services: Vec<ServiceOrigin>,
}

/// One service of the manifest.
#[derive(Debug, Default)]
pub(super) struct ServiceOrigin {
    pub(super) name: String,
    /// For each expose its place in the document's list.
    pub(super) exposes: Vec<usize>,
}

impl Origins {
    /// The document's pointer for one into the groups or the manifest; the two never mean different things.
    pub(in crate::manifest) fn translate(&self, built: &str) -> String {
        let tokens: Vec<&str> = built.split('/').skip(1).collect();
        let mut tokens = tokens.as_slice();
        let mut next = || {
            let (first, rest) = tokens.split_first()?;
            tokens = rest;
            Some(*first)
        };
        let number = |token: Option<&str>| token.and_then(|token| token.parse::<usize>().ok());
        let Some(group) = number(next()).and_then(|index| self.groups.get(index)) else {
            return "/deployment".to_owned();
        };
        let placement = pointer("/profiles/placement", &group.placement);
        let (part, index) = (next(), number(next()));
        match part {
            Some("resources") => {
                let Some(profile) = index.and_then(|index| group.profiles.get(index)) else {
                    return placement;
                };
                let compute = pointer("/profiles/compute", profile);
                match next() {
                    Some("price") => pointer(&format!("{placement}/pricing"), profile),
                    // Volumes are sorted, so their places differ; the message has the name.
                    Some("resource") => match (next(), next()) {
                        (Some(part @ ("cpu" | "memory" | "gpu")), Some(field)) => {
                            format!("{compute}/resources/{part}/{field}")
                        }
                        (Some(part), _) => format!("{compute}/resources/{part}"),
                        (None, _) => compute,
                    },
                    _ => compute,
                }
            }
            Some("services") => {
                let Some(service) = index.and_then(|index| group.services.get(index)) else {
                    return placement;
                };
                let at = pointer("/services", &service.name);
                match (next(), next()) {
                    (Some("expose"), Some(index)) => {
                        let index =
                            number(Some(index)).and_then(|index| service.exposes.get(index));
                        let Some(index) = index else { return format!("{at}/expose") };
                        let at = format!("{at}/expose/{index}");
                        match (next(), next()) {
                            (Some("hosts"), Some(host)) => format!("{at}/accept/{host}"),
                            (Some(field), _) => format!("{at}/{field}"),
                            (None, _) => at,
                        }
                    }
                    (Some("name") | None, _) => at,
                    (Some(field), Some(index)) => format!("{at}/{field}/{index}"),
                    (Some(field), None) => format!("{at}/{field}"),
                }
            }
            _ => placement,
        }
    }
}
