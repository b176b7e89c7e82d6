//! Compares what two readings made of a document, part by part.

use super::{Difference, Topic};
use crate::{
    domain::{Attribute, GroupSpec, ResourceUnit},
    manifest::{
        Credentials, Expose, Group, HttpOptions, List, Manifest, Service, ServiceEndpoint,
        ServiceVolume,
        canonical::{Field, Spelling},
        sdl::Traced,
    },
};

/// How many groups, services of a group or exposes of a service are compared; nobody reads more.
const MOST: usize = 1000;

/// Two readings and what differs between them.
pub(super) struct Comparison<'r> {
    go: &'r Traced,
    npm: &'r Traced,
    differences: Vec<Difference>,
}

/// A service in both readings, with its places among the groups and the services of each.
struct Pair<'r> {
    go: &'r Service,
    npm: &'r Service,
    at_go: (usize, usize),
    at_npm: (usize, usize),
}

impl<'r> Comparison<'r> {
    /// Everything that differs.
    pub(super) fn of(go: &'r Traced, npm: &'r Traced) -> Vec<Difference> {
        let mut comparison = Self { go, npm, differences: Vec::new() };
        comparison.groups();
        comparison.group_specs();
        comparison.reclamation();
        comparison.differences
    }

    /// Notes a difference at a place in what Go built.
    fn note(&mut self, topic: Topic, built: &str, go: impl Into<String>, npm: impl Into<String>) {
        let pointer = self.go.origins.translate(built);
        let known = self.differences.iter();
        let (go, npm) = (go.into(), npm.into());
        let repeated = known
            .rev()
            .any(|known| known.topic == topic.name && known.pointer == pointer && known.npm == npm);
        if !repeated && self.differences.len() < crate::manifest::MAX_VIOLATIONS {
            let Topic { name: topic, reason } = topic;
            let place = (None, None);
            let (line, column) = place;
            self.differences.push(Difference { topic, pointer, line, column, go, npm, reason });
        }
    }

    fn groups(&mut self) {
        let (go, npm) = (&self.go.compiled.manifest, &self.npm.compiled.manifest);
        if !names(go.groups(), |group| &group.name).eq(names(npm.groups(), |group| &group.name)) {
            self.note(Topic::NAME_TEXT, "", shown_names(go), shown_names(npm));
        }
        for (g, group) in go.groups().iter().take(MOST).enumerate() {
            let found = npm.groups().iter().position(|other| other.name == group.name);
            let Some(n) = found else { continue };
            self.services(g, group, n, &npm.groups()[n]);
        }
    }

    fn services(&mut self, g: usize, go: &'r Group, n: usize, npm: &'r Group) {
        let name = |service: &'r Service| -> &'r str { &service.name };
        let (ours, theirs) =
            (sorted(go.services.iter().map(name)), sorted(npm.services.iter().map(name)));
        let at = format!("/{g}");
        if ours != theirs {
            self.note(Topic::NAME_TEXT, &at, ours.join(", "), theirs.join(", "));
        } else if !go.services.iter().map(name).eq(npm.services.iter().map(name)) {
            let list =
                |group: &'r Group| group.services.iter().map(name).collect::<Vec<_>>().join(", ");
            self.note(Topic::SERVICE_ORDER, &at, list(go), list(npm));
        }
        for (s, service) in go.services.iter().take(MOST).enumerate() {
            let found = npm.services.iter().position(|other| other.name == service.name);
            let Some(t) = found else { continue };
            let pair = Pair { go: service, npm: &npm.services[t], at_go: (g, s), at_npm: (n, t) };
            self.service(&pair);
        }
    }

    fn service(&mut self, pair: &Pair<'_>) {
        let (g, s) = pair.at_go;
        let at = format!("/{g}/services/{s}");
        for (name, go, npm) in [
            ("command", &pair.go.command, &pair.npm.command),
            ("args", &pair.go.args, &pair.npm.args),
            ("env", &pair.go.env, &pair.npm.env),
        ] {
            self.list(&format!("{at}/{name}"), go, npm);
        }
        self.credentials(&at, pair.go.credentials.as_ref(), pair.npm.credentials.as_ref());
        self.count(pair, &at);
        self.resources(pair, &at);
        self.exposes(pair, &at);
        self.params(pair, &at);
        self.separators(pair, &at);
    }

    fn list(&mut self, at: &str, go: &List<String>, npm: &List<String>) {
        if go.is_null() != npm.is_null() {
            let shown = |list: &List<String>| if list.is_null() { "null" } else { "[]" };
            self.note(Topic::EMPTY_LIST, at, shown(go), shown(npm));
        } else if go != npm {
            self.note(Topic::EXACT_TYPES, at, "the texts as written", "the texts as values");
        }
    }

    fn credentials(&mut self, at: &str, go: Option<&Credentials>, npm: Option<&Credentials>) {
        let (Some(go), Some(npm)) = (go, npm) else { return };
        if go == npm {
            return;
        }
        let at = format!("{at}/credentials");
        if go.email.is_empty() && !npm.email.is_empty() {
            self.note(Topic::CREDENTIALS_EMAIL, &at, "no email", "the email");
        } else {
            self.note(Topic::CREDENTIALS_SPACES, &at, "trimmed", "as written");
        }
    }

    fn count(&mut self, pair: &Pair<'_>, at: &str) {
        let (go, npm) = (pair.go.count, self.spelled(pair, Field::Count, &pair.npm.count));
        if go.to_string() != npm {
            self.note(number_topic(&npm), &format!("{at}/count"), go.to_string(), npm);
        }
    }

    /// What npm writes for a number of the service.
    fn spelled(&self, pair: &Pair<'_>, field: Field, number: &impl ToString) -> String {
        let (group, service) = pair.at_npm;
        let unfit: &Spelling = &self.npm.spelling;
        unfit.unfit.get(&(group, service, field)).cloned().unwrap_or_else(|| number.to_string())
    }

    fn resources(&mut self, pair: &Pair<'_>, at: &str) {
        let (go, npm) = (&pair.go.resources, &pair.npm.resources);
        // A unit's place among Go's is its id's.
        let unit = format!("/{}/resources/{}/resource", pair.at_go.0, go.id.saturating_sub(1));
        if go.id != npm.id {
            let topic = if self.units(pair.at_go.0).0 == self.units(pair.at_npm.0).1 {
                Topic::UNIT_ORDER
            } else {
                Topic::SHARED_UNIT
            };
            self.note(topic, at, format!("unit {}", go.id), format!("unit {}", npm.id));
        }
        for (part, field, go, npm, topic) in [
            ("cpu", Field::Cpu, &go.cpu, &npm.cpu, Topic::CPU_FRACTION),
            ("gpu", Field::Gpu, &go.gpu, &npm.gpu, Topic::GPU_UNITS),
        ] {
            let (Some(go), Some(npm)) = (go, npm) else { continue };
            let spelled = self.spelled(pair, field, &npm.units);
            if go.units.to_string() != spelled {
                self.note(topic, &format!("{unit}/{part}/units"), go.units.to_string(), spelled);
            }
            let (order, text) = match field {
                Field::Gpu => (Topic::GPU_ORDER, Topic::GPU_MODEL),
                _ => (Topic::ATTRIBUTE_ORDER, Topic::ATTRIBUTE_TEXT),
            };
            let at = format!("{unit}/{part}/attributes");
            self.attributes(&at, &go.attributes, &npm.attributes, order, text);
        }
        if let (Some(go), Some(npm)) = (&go.memory, &npm.memory) {
            let npm = self.spelled(pair, Field::Memory, &npm.size);
            self.size(&format!("{unit}/memory/size"), &go.size.to_string(), &npm);
        }
        self.storage(pair, &format!("{unit}/storage"), &go.storage, &npm.storage);
        self.endpoints(&format!("{at}/expose"), &go.endpoints, &npm.endpoints);
    }

    /// How many units the group has in each reading.
    fn units(&self, group: usize) -> (usize, usize) {
        let count = |traced: &Traced| {
            traced.compiled.groups.get(group).map_or(0, |group| group.units.len())
        };
        (count(self.go), count(self.npm))
    }

    fn size(&mut self, at: &str, go: &str, npm: &str) {
        if go == npm {
            return;
        }
        // A fraction of a byte makes one byte; the same letters with another factor make more.
        let near = match (go.parse::<u64>(), npm.parse::<u64>()) {
            (Ok(go), Ok(npm)) => go.abs_diff(npm) <= 1.max(go >> 50),
            _ => false,
        };
        let topic = if near { Topic::SIZE_FRACTION } else { Topic::SIZE_SUFFIX };
        self.note(topic, at, format!("{go} bytes"), format!("{npm} bytes"));
    }

    fn attributes(
        &mut self,
        at: &str,
        go: &[Attribute],
        npm: &[Attribute],
        order: Topic,
        text: Topic,
    ) {
        if go == npm {
            // Equal in value, but npm also writes what is empty.
            if go.iter().any(|attribute| attribute.value.is_empty() || attribute.key.is_empty()) {
                self.note(Topic::ATTRIBUTE_EMPTY, at, "no value", "an empty value");
            }
            return;
        }
        let shown = |attributes: &[Attribute]| {
            let pairs = attributes.iter().map(|Attribute { key, value }| format!("{key}={value}"));
            pairs.collect::<Vec<_>>().join(", ")
        };
        let pairs = |attributes: &[Attribute]| {
            sorted(attributes.iter().map(|of| (of.key.clone(), of.value.clone())))
        };
        let topic = if pairs(go) == pairs(npm) { order } else { text };
        self.note(topic, at, shown(go), shown(npm));
    }

    fn storage(&mut self, pair: &Pair<'_>, at: &str, go: &[ServiceVolume], npm: &[ServiceVolume]) {
        let names = |volumes: &[ServiceVolume]| -> Vec<String> {
            volumes.iter().map(|volume| volume.name.clone()).collect()
        };
        let (ours, theirs) = (names(go), names(npm));
        if sorted(ours.iter()) != sorted(theirs.iter()) {
            self.note(Topic::STORAGE_NAME, at, ours.join(", "), theirs.join(", "));
        } else if ours != theirs {
            self.note(Topic::STORAGE_ORDER, at, ours.join(", "), theirs.join(", "));
        }
        for (index, theirs) in npm.iter().enumerate() {
            let alone = go.len() == 1 && npm.len() == 1;
            let found = go.iter().find(|ours| alone || ours.name == theirs.name);
            let Some(ours) = found else { continue };
            let size = self.spelled(pair, Field::Volume(index), &theirs.size);
            self.size(at, &ours.size.to_string(), &size);
            let topic = Topic::STORAGE_ATTRIBUTES;
            self.attributes(at, &ours.attributes, &theirs.attributes, topic, topic);
        }
    }

    fn endpoints(&mut self, at: &str, go: &[ServiceEndpoint], npm: &[ServiceEndpoint]) {
        if go == npm {
            return;
        }
        let kinds =
            |endpoints: &[ServiceEndpoint]| endpoints.iter().map(|of| of.kind).collect::<Vec<_>>();
        let (ours, theirs) = (kinds(go), kinds(npm));
        let topic = if ours == theirs { Topic::ENDPOINT_NUMBER } else { Topic::ENDPOINT_ORDER };
        self.note(topic, at, shown_endpoints(go), shown_endpoints(npm));
    }

    fn exposes(&mut self, pair: &Pair<'_>, at: &str) {
        let (go, npm) = (&pair.go.expose, &pair.npm.expose);
        let at = format!("{at}/expose");
        if go.len() != npm.len() {
            let count = |list: &List<Expose>| format!("{} exposes", list.len());
            self.note(Topic::EXPOSE_WITHOUT_TO, &at, count(go), count(npm));
        }
        // Exposes are the same by what they open to whom.
        let identity = |expose: &Expose| {
            (
                expose.port,
                expose.external_port,
                expose.proto.clone(),
                expose.service.clone(),
                expose.global,
                expose.ip.clone(),
            )
        };
        let mut left: Vec<(usize, &Expose)> = npm.iter().take(MOST).enumerate().collect();
        let mut order = Vec::new();
        for (index, ours) in go.iter().take(MOST).enumerate() {
            let same = |theirs: &Expose| identity(theirs) == identity(ours);
            let exact = left.iter().position(|(_, of)| same(of) && of.hosts == ours.hosts);
            let found = exact.or_else(|| left.iter().position(|(_, theirs)| same(theirs)));
            let Some(found) = found else { continue };
            let (place, theirs) = left.remove(found);
            order.push(place);
            self.expose(pair, &format!("{at}/{index}"), ours, theirs, place);
        }
        if !order.is_sorted() {
            let ports = |list: &List<Expose>| {
                list.iter().map(|of| of.port.to_string()).collect::<Vec<_>>().join(", ")
            };
            self.note(Topic::EXPOSE_ORDER, &at, ports(go), ports(npm));
        } else if go.len() == npm.len() && !left.is_empty() {
            let ports = |list: &List<Expose>| {
                let one = |of: &Expose| format!("{} as {}", of.port, of.external_port);
                list.iter().map(one).collect::<Vec<_>>().join(", ")
            };
            self.note(Topic::OCTAL, &at, ports(go), ports(npm));
        }
    }

    fn expose(&mut self, pair: &Pair<'_>, at: &str, go: &Expose, npm: &Expose, place: usize) {
        self.list(&format!("{at}/hosts"), &go.hosts, &npm.hosts);
        let (ours, theirs) = (go.endpoint_sequence_number, npm.endpoint_sequence_number);
        if ours != theirs {
            let (ours, theirs) = (ours.to_string(), theirs.to_string());
            self.note(Topic::ENDPOINT_NUMBER, at, ours, theirs);
        }
        let at = format!("{at}/http_options");
        let numbers = |of: &HttpOptions| {
            [
                of.max_body_size,
                of.proxy_buffer_size,
                of.read_timeout,
                of.send_timeout,
                of.next_tries,
                of.next_timeout,
            ]
        };
        let names = [
            "max_body_size",
            "proxy_buffer_size",
            "read_timeout",
            "send_timeout",
            "next_tries",
            "next_timeout",
        ];
        let (ours, theirs) = (numbers(&go.http_options), numbers(&npm.http_options));
        for ((name, ours), theirs) in names.into_iter().zip(ours).zip(theirs) {
            let theirs = match name {
                "next_tries" => self.spelled(pair, Field::NextTries(place), &theirs),
                "next_timeout" => self.spelled(pair, Field::NextTimeout(place), &theirs),
                _ => theirs.to_string(),
            };
            if ours.to_string() != theirs {
                let topic = if theirs == "0" { Topic::HTTP_ZERO } else { number_topic(&theirs) };
                self.note(topic, &at, format!("{name} {ours}"), format!("{name} {theirs}"));
            }
        }
        let (ours, theirs) = (&go.http_options.next_cases, &npm.http_options.next_cases);
        if ours != theirs {
            self.note(Topic::NEXT_CASES, &at, ours.join(", "), theirs.join(", "));
        }
    }

    fn params(&mut self, pair: &Pair<'_>, at: &str) {
        let (Some(go), Some(npm)) = (&pair.go.params, &pair.npm.params) else { return };
        let at = format!("{at}/params");
        if go.storage.is_null() != npm.storage.is_null() {
            self.note(Topic::EMPTY_MOUNTS, &at, "null", "[]");
        } else if go.storage != npm.storage {
            self.note(Topic::NAME_TEXT, &at, "names as written", "names as values");
        }
        let empty = npm.permissions.as_ref().is_some_and(|permissions| permissions.read.is_empty());
        if empty {
            self.note(Topic::PERMISSIONS_EMPTY, &at, "{}", r#"{"read":[]}"#);
        }
    }

    /// Texts that both read alike and write differently; which one is not told, as it may be a secret.
    fn separators(&mut self, pair: &Pair<'_>, at: &str) {
        let separated = |text: &str| text.contains(['\u{2028}', '\u{2029}']);
        // Debug text of a service has no secrets, so every text is looked at by itself.
        let alone = Manifest::new(vec![Group {
            name: String::new(),
            services: vec![pair.npm.clone()].into(),
        }]);
        if separated(&alone.spelled(&Spelling::of(self.npm.spelling.dialect))) {
            self.note(Topic::LINE_SEPARATOR, at, "escaped", "as it is");
        }
    }

    fn group_specs(&mut self) {
        for (g, go) in self.go.compiled.groups.iter().take(MOST).enumerate() {
            let mut others = self.npm.compiled.groups.iter().enumerate();
            let Some((n, npm)) = others.find(|(_, npm)| npm.name == go.name) else { continue };
            let requirements = (&go.requirements, &npm.requirements);
            let at = format!("/{g}");
            let (ours, theirs) = (&requirements.0.attributes, &requirements.1.attributes);
            if ours != theirs {
                let (order, text) = (Topic::ATTRIBUTE_ORDER, Topic::ATTRIBUTE_TEXT);
                self.attributes(&at, ours, theirs, order, text);
            }
            self.unit_lists((g, go), (n, npm));
        }
    }

    fn unit_lists(&mut self, (g, go): (usize, &GroupSpec), (n, npm): (usize, &GroupSpec)) {
        if go.units.len() != npm.units.len() {
            let count = |group: &GroupSpec| format!("{} units", group.units.len());
            self.note(Topic::SHARED_UNIT, &format!("/{g}"), count(go), count(npm));
            return;
        }
        for (u, (ours, theirs)) in go.units.iter().zip(&npm.units).enumerate() {
            let at = format!("/{g}/resources/{u}");
            let odd = self.npm.odd_prices.iter().find(|(group, unit, _)| (*group, *unit) == (n, u));
            let price = odd.map_or_else(|| theirs.price.to_string(), |(_, _, text)| text.clone());
            if ours.price.to_string() != price {
                let at = format!("{at}/price");
                self.note(Topic::PRICE_TEXT, &at, ours.price.to_string(), price);
            }
            let endpoints = |unit: &ResourceUnit| -> Vec<ServiceEndpoint> {
                unit.resources.endpoints.iter().map(|endpoint| (*endpoint).into()).collect()
            };
            let (ours, theirs) = (endpoints(ours), endpoints(theirs));
            let kinds = |of: &[ServiceEndpoint]| of.iter().map(|of| of.kind).collect::<Vec<_>>();
            if kinds(&ours) != kinds(&theirs) {
                let (ours, theirs) = (shown_endpoints(&ours), shown_endpoints(&theirs));
                self.note(Topic::GROUP_ENDPOINT_ORDER, &at, ours, theirs);
            }
        }
    }

    fn reclamation(&mut self) {
        let (go, npm) = (self.go.compiled.reclamation, self.npm.compiled.reclamation);
        if go != npm {
            let shown = |time: Option<std::time::Duration>| {
                time.map_or_else(|| "none".to_owned(), |time| format!("{} s", time.as_secs()))
            };
            let Topic { name: topic, reason } = Topic::RECLAMATION;
            let pointer = "/reclamation/min_window".to_owned();
            let (go, npm) = (shown(go), shown(npm));
            self.differences.push(Difference {
                topic,
                pointer,
                line: None,
                column: None,
                go,
                npm,
                reason,
            });
        }
    }
}

/// Why two whole numbers differ: one of them is none of 32 bits, or they were read in two bases.
fn number_topic(npm: &str) -> Topic {
    if npm.parse::<u32>().is_ok() { Topic::OCTAL } else { Topic::NUMBER_RANGE }
}

fn names<'a, T>(items: &'a [T], name: fn(&'a T) -> &'a String) -> impl Iterator<Item = &'a String> {
    items.iter().map(name)
}

fn shown_names(manifest: &Manifest) -> String {
    let names = manifest.groups().iter().map(|group| group.name.as_str());
    names.collect::<Vec<_>>().join(", ")
}

fn shown_endpoints(endpoints: &[ServiceEndpoint]) -> String {
    let one = |endpoint: &ServiceEndpoint| match endpoint.kind {
        0 => "HTTP".to_owned(),
        1 => "port".to_owned(),
        _ => format!("address {}", endpoint.sequence_number),
    };
    endpoints.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items
}
