//! Peculiarities of the Go dialect, each as one change to a small document and the hash that Go gives it.

use lessor::{
    domain::EndpointKind,
    manifest::{Compiled, Dialect, compile},
};

/// Version, members of the service, resources beside the CPU, further services, further sections.
struct Document<'a> {
    version: &'a str,
    service: &'a str,
    expose: &'a str,
    memory: &'a str,
    storage: &'a str,
    more_resources: &'a str,
    more_services: &'a str,
    more_deployed: &'a str,
    more_sections: &'a str,
}

const PLAIN: Document<'static> = Document {
    version: "2.0",
    service: "",
    expose: "[{port: 80, as: 80, to: [{global: true}]}]",
    memory: "512Mi",
    storage: "{size: 1Gi}",
    more_resources: "",
    more_services: "",
    more_deployed: "",
    more_sections: "",
};

impl Document<'_> {
    fn compile(&self) -> Compiled {
        let Self { version, service, expose, memory, storage, .. } = self;
        let Self { more_resources, more_services, more_deployed, more_sections, .. } = self;
        let text = format!(
            r#"
version: "{version}"
services:
  web: {{image: nginx, expose: {expose}{service}}}
  {more_services}
profiles:
  compute:
    web:
      resources: {{cpu: {{units: 1}}, memory: {{size: {memory}}}, storage: {storage}{more_resources}}}
  placement: {{akash: {{pricing: {{web: {{denom: uakt, amount: 100}}}}}}}}
deployment:
  web: {{akash: {{profile: web, count: 1}}}}
  {more_deployed}
{more_sections}
"#
        );
        compile(&text, Dialect::Go).unwrap_or_else(|violations| panic!("{violations:#?}\n{text}"))
    }

    fn hash(&self) -> String {
        self.compile().hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[test]
fn each_peculiarity_of_the_dialect_has_its_published_hash() {
    let cases = [
        (PLAIN, "a9bc0132f8fc7ee06a7f8edda436bb4425e84e3d173a5cfa23ffad42430aacc3"),
        // An explicit zero is as good as no value.
        (
            Document {
                expose: "[{port: 80, as: 80, to: [{global: true}], http_options: \
                         {max_body_size: 0, read_timeout: 0, send_timeout: 0, next_tries: 0}}]",
                ..PLAIN
            },
            "a9bc0132f8fc7ee06a7f8edda436bb4425e84e3d173a5cfa23ffad42430aacc3",
        ),
        // An empty list is not an absent one.
        (
            Document { service: ", env: []", ..PLAIN },
            "cb02a95fbe004ca765c57fe8a8e662d4921bad88e059b5fa44d0c0b2582df05c",
        ),
        // What HTML would read is escaped, and so are the two line separators of Unicode.
        (
            Document { service: r#", args: ['<a href="x">&amp;</a>']"#, ..PLAIN },
            "4fbd721d942e2b89691274d9cbd41e03fe9ecb8f6450be33f6455462d752c758",
        ),
        (
            Document { service: r#", args: ["\u2028"]"#, ..PLAIN },
            "e0d4a247b764e7820469c601beb59f930602b7af9ca241a806d6337cd455284d",
        ),
        (
            Document { service: r#", args: ["\b\f\t\x01\x1f\n\r"]"#, ..PLAIN },
            "0e820f45845bf2f6aad07b2e4b404fd9b3cc9c1ee20857a70e9beab81c94005c",
        ),
        (
            Document {
                service: ", params: {permissions: {read: [logs, events, deployment]}}",
                ..PLAIN
            },
            "8fd7662b88e6a9c621822767fb750a6c7f2928d1473932a2a405552c4a939767",
        ),
        (
            Document {
                expose: "[{port: 80, as: 80, to: [{global: true}], http_options: {proxy_buffer_size: 16384}}]",
                ..PLAIN
            },
            "4dbeaa8edd7739a3b94bab9371a77dc4039de94d5a174fbc273bab4b1dfff72c",
        ),
        // Volumes of equal size are reversed, unless they are persistent: then the name decides.
        (
            Document {
                storage: "[{name: a, size: 1Gi}, {name: b, size: 1Gi}, {name: c, size: 1Gi}]",
                ..PLAIN
            },
            "6047e873fb5e4f482dd8edc232603dc5ff7ac6f0791df280c8571940af41f16a",
        ),
        (
            Document {
                storage: "[{name: c, size: 1Gi, attributes: {persistent: true, class: beta1}}, \
                          {name: a, size: 1Gi, attributes: {persistent: true, class: beta3}}, \
                          {name: b, size: 1Gi, attributes: {persistent: true, class: beta2}}]",
                service: ", params: {storage: {a: {mount: /a}, b: {mount: /b}, c: {mount: /c}}}",
                ..PLAIN
            },
            "38b772aa53c2cdbc70b7bffa723cca377502acbb33cfdeff24206019cc317152",
        ),
        // Models of GPUs are sorted.
        (
            Document {
                more_resources: ", gpu: {units: 1, attributes: {vendor: {nvidia: \
                                 [{model: t4}, {model: a100}, {model: h100}]}}}",
                ..PLAIN
            },
            "199b7121a700fd1e1a1c107010bada95b0cc7736bd0212109fc09b178ab23493",
        ),
        // Fractions of a byte are cut off.
        (
            Document { memory: "0.3Gi", ..PLAIN },
            "3020c911adb3206ecf72330412f825a8ea0a7741c8a120442cbaa733babc7b56",
        ),
        // An expose to nobody is open to the group.
        (
            Document {
                expose: "[{port: 80, as: 80, to: [{global: true}]}, {port: 8080}]",
                ..PLAIN
            },
            "0d96611f8a04f112c459a6dc740683689a1c78fa2c34973a725fcf0cd735249a",
        ),
        // The number of a leased address counts the exposes to services too.
        (
            Document {
                expose: "[{port: 80, as: 80, to: [{global: true, ip: myip}, {service: db}]}]",
                more_sections: "endpoints: {myip: {kind: ip}}",
                ..PLAIN
            },
            "f2e1c086b4436cf1192006702c63e333cf97abeb91e24841ebbb7a6fac69a76c",
        ),
    ];
    for (index, (document, expected)) in cases.iter().enumerate() {
        let manifest = document.compile().manifest.canonical();
        assert_eq!(document.hash(), *expected, "case {index}: {manifest}");
    }
}

#[test]
fn credentials_lose_their_address_in_2_0_and_their_spaces_in_2_1() {
    let service = ", credentials: {host: 'https://index.docker.io/v1/', email: 'a@b.co ', \
                   username: ' user ', password: secret12}";
    for (version, expected) in [
        ("2.0", "93572134966f139d0f3630b9a23087456e5aebc59dc8d1fe5c3a75d11086df7e"),
        ("2.1", "15416daaffe7f5d56d3320431319a7fb2d8885390d739e3180de16d2893dd35d"),
    ] {
        assert_eq!(Document { version, service, ..PLAIN }.hash(), expected);
    }
}

#[test]
fn services_of_one_profile_share_a_unit_from_2_1_on() {
    let two = Document {
        more_services: "db: {image: pg, expose: [{port: 5432, to: [{service: web}]}, \
                        {port: 5433, as: 5433, to: [{global: true}]}]}",
        more_deployed: "db: {akash: {profile: web, count: 2}}",
        ..PLAIN
    };
    for (version, expected, counts) in [
        ("2.0", "8660f16dd4b1c61999cdcee044aab2eb713da8434d35e0ce3678913f6fe5d199", &[2, 1][..]),
        ("2.1", "3ccd7af93880ffaef87290a7c1593c356a73739a54fa2674ef5d8b31e04c721d", &[3]),
    ] {
        let document = Document { version, ..two };
        assert_eq!(document.hash(), expected);
        let compiled = document.compile();
        let units = &compiled.groups[0].units;
        assert_eq!(units.iter().map(|unit| unit.count).collect::<Vec<_>>(), counts);
        let kinds: Vec<_> = units
            .iter()
            .flat_map(|unit| &unit.resources.endpoints)
            .map(|found| found.kind)
            .collect();
        assert_eq!(kinds, [EndpointKind::RandomPort, EndpointKind::SharedHttp]);
        assert_eq!(compiled.manifest.check_against(&compiled.groups), []);
    }
}
