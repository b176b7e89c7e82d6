//! Reads an uploaded manifest exactly as Go's `encoding/json` reads it into the provider's structures.
//!
//! Member names match without regard to case, unknown members and whatever follows the first value are ignored, `null`
//! leaves a scalar as it was, a repeated member is read over the earlier one. Two deliberate differences: text that is not
//! UTF-8 and lone surrogates are refused, where Go would silently replace them, and the size has a limit.

mod quantity;
mod read;

use read::{At, Names, Read, ReadParts, Target, read_by_parts};
use serde::de::{IgnoredAny, MapAccess};

use super::{
    MAX_DOCUMENT_BYTES,
    model::{
        Credentials, Expose, Group, HttpOptions, Manifest, Mount, Permissions, Service,
        ServiceEndpoint, ServiceParams, ServiceResources, ServiceVolume, Size, Tee, Units,
    },
    violation::{Violation, Violations},
};
use crate::domain::Attribute;

impl Manifest {
    /// Reads the JSON that a tenant uploads. Only its shape is checked here; [`Manifest::check`] judges the content.
    ///
    /// # Errors
    /// Everything that does not fit the shape, or the one place where the text stops being JSON.
    pub fn from_json(body: &[u8]) -> Result<Self, Vec<Violation>> {
        let mut violations = Violations::default();
        let mut manifest = Self::default();
        if let Some(text) = text(body, &mut violations) {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            if let Err(error) = manifest.groups.read(&mut deserializer, &At::ROOT, &mut violations)
            {
                // What was found before the text stops being JSON says nothing.
                violations = Violations::default();
                violations
                    .add("json-syntax", "", format!("manifest is not JSON: {error}"))
                    .at(error.line(), error.column());
            }
        }
        if violations.is_empty() { Ok(manifest) } else { Err(violations.into_vec()) }
    }
}

/// The most objects that a manifest may have, so that a small body cannot become a large manifest.
const MAX_OBJECTS: usize = 20_000;

/// How many objects begin outside of texts.
fn objects(body: &[u8]) -> usize {
    let (mut count, mut in_text, mut escaped) = (0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' if !in_text => count += 1,
            _ => {}
        }
    }
    count
}

/// The body as text, if it is one and not too large.
fn text<'a>(body: &'a [u8], violations: &mut Violations) -> Option<&'a str> {
    if body.len() > MAX_DOCUMENT_BYTES {
        let message =
            format!("manifest has {} bytes, at most {MAX_DOCUMENT_BYTES} are read", body.len());
        violations.add("document-too-large", "", message);
        return None;
    }
    if body.len() > MAX_OBJECTS && objects(body) > MAX_OBJECTS {
        let message = format!("manifest has more than {MAX_OBJECTS} objects");
        violations.add("document-too-large", "", message);
        return None;
    }
    let text = std::str::from_utf8(body);
    if let Err(error) = &text {
        let message = format!("byte {} is not UTF-8", error.valid_up_to());
        violations.add("not-utf8", "", message);
    }
    text.ok()
}

macro_rules! read_structures {
    ($($type:ident as $structure:literal { $($name:literal: $field:tt),+ })+) => {$(
        read_by_parts!([] $type);

        impl ReadParts for $type {
            const WANTED: &'static str = "an object";

            fn object<'de, A: MapAccess<'de>>(
                &mut self,
                mut members: A,
                at: &At<'_>,
                violations: &mut Violations,
            ) -> Result<(), A::Error> {
                const NAMES: &[&str] = &[$($name),+];
                while let Some(known) = members.next_key_seed(Names(NAMES))? {
                    let Some(name) = known.map(|index| NAMES[index]) else {
                        members.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let at = &at.member($structure, name);
                    match name {
                        $($name => members
                            .next_value_seed(Target { into: &mut self.$field, at, violations })?,)+
                        _ => {}
                    }
                }
                Ok(())
            }
        }
    )+};
}

read_structures! {
    Group as "Group" { "name": name, "services": services }
    Service as "Service" {
        "name": name, "image": image, "command": command, "args": args, "env": env,
        "resources": resources, "count": count, "expose": expose, "params": params,
        "credentials": credentials
    }
    ServiceResources as "Resources" {
        "id": id, "cpu": cpu, "memory": memory, "storage": storage, "gpu": gpu,
        "endpoints": endpoints
    }
    Units as "CPU" { "units": units, "attributes": attributes }
    Size as "Memory" { "size": size, "attributes": attributes }
    ServiceVolume as "Storage" { "name": name, "size": size, "attributes": attributes }
    Attribute as "Attribute" { "key": key, "value": value }
    ServiceEndpoint as "Endpoint" { "kind": kind, "sequence_number": sequence_number }
    Expose as "ServiceExpose" {
        "port": port, "externalPort": external_port, "proto": proto, "service": service,
        "global": global, "hosts": hosts, "httpOptions": http_options, "ip": ip,
        "endpointSequenceNumber": endpoint_sequence_number
    }
    HttpOptions as "ServiceExposeHTTPOptions" {
        "maxBodySize": max_body_size, "readTimeout": read_timeout, "sendTimeout": send_timeout,
        "nextTries": next_tries, "nextTimeout": next_timeout, "nextCases": next_cases,
        "proxyBufferSize": proxy_buffer_size
    }
    ServiceParams as "ServiceParams" {
        "storage": storage, "credentials": credentials, "permissions": permissions, "tee": tee
    }
    Mount as "StorageParams" { "name": name, "mount": mount, "readOnly": read_only }
    Permissions as "ServicePermissions" { "read": read }
    Tee as "TEEParams" { "type": kind, "attestation": attestation }
    Credentials as "ImageCredentials" {
        "host": host, "email": email, "username": username, "password": password
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_misfit_is_reported_with_its_pointer() {
        let body = br#"[{"name": 1, "services": [{"count": -1, "expose": {}}]}]"#;
        let violations = Manifest::from_json(body).unwrap_err();
        let pointers: Vec<_> = violations.iter().map(|found| found.pointer.as_str()).collect();
        assert_eq!(pointers, ["/0/name", "/0/services/0/count", "/0/services/0/expose"]);
    }

    #[test]
    fn deeply_nested_unknown_members_are_skipped_without_recursion() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body = format!(r#"[{{"name": "g", "unknown": {deep}}}] and more"#);
        assert_eq!(Manifest::from_json(body.as_bytes()).unwrap().groups()[0].name, "g");
    }
}
