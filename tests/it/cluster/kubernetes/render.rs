//! A workload becomes exactly these objects.

use std::collections::BTreeMap;

use lessor::{
    bidengine::placement::GpuKind,
    cluster::kubernetes::{
        object::Kind,
        render::{Facts, Unrenderable, render},
        settings::{HttpMode, Percent, PodSecurity, PoolSize, PullPolicy, Settings},
        todays::Part,
    },
    provider::port::{HostnameRoute, Workload},
};
use serde_json::{Value, json};

use super::{body, facts, ids, object, rendered, settings, workload};

const WEB: &str = r#"
version: "2.0"
services:
  web:
    image: nginx:1.27
    env: [GREETING=hello=there, EMPTY=, AKASH_OWNER=mine]
    expose:
      - {port: 8080, as: 80, accept: [www.example.com], to: [{global: true}]}
profiles:
  compute:
    web:
      resources: {cpu: {units: 0.5}, memory: {size: 512Mi}, storage: {size: 1Gi}}
  placement:
    west:
      pricing: {web: {denom: uakt, amount: 100}}
deployment:
  web: {west: {profile: web, count: 2}}
"#;

const GAME: &str = r#"
version: "2.1"
endpoints:
  arena_1: {kind: ip}
services:
  db:
    image: registry.example.com/db:7
    credentials: {host: " registry.example.com ", username: user, password: hunter2000}
    params:
      storage:
        data: {mount: /var/lib/db}
        shm: {mount: /dev/shm}
        scratch: {mount: /scratch, readOnly: true}
    expose:
      - {port: 5432, to: [{service: game}, {service: watch}]}
  game:
    image: game:3
    command: [/game]
    args: [--fast]
    expose:
      - {port: 80, to: [{global: true}], http_options: {max_body_size: 2097152, read_timeout: 30500, send_timeout: 1000, next_tries: 2, next_timeout: 1500, next_cases: [error, "502"]}}
      - {port: 7000, as: 7777, proto: tcp, to: [{global: true}]}
      - {port: 7000, as: 7777, proto: udp, to: [{global: true}]}
      - {port: 9000, proto: udp, to: [{global: true, ip: arena_1}]}
  watch:
    image: watch:1
    params:
      permissions: {read: [logs, events]}
    expose:
      - {port: 9090, to: [{service: game}]}
profiles:
  compute:
    db:
      resources:
        cpu: {units: 1}
        memory: {size: 1Gi}
        storage:
          - {size: 2Gi}
          - {name: scratch, size: 3Gi}
          - {name: data, size: 10Gi, attributes: {persistent: true, class: beta3}}
          - {name: shm, size: 256Mi, attributes: {persistent: false, class: ram}}
    game:
      resources:
        cpu: {units: 4}
        memory: {size: 8Gi}
        gpu: {units: 2, attributes: {vendor: {nvidia: [{model: a100, interface: sxm}, {model: h100, ram: 80Gi}]}}}
        storage: {size: 5Gi}
    watch:
      resources: {cpu: {units: 0.1}, memory: {size: 64Mi}, storage: {size: 128Mi}}
  placement:
    west:
      pricing:
        db: {denom: uakt, amount: 100}
        game: {denom: uakt, amount: 100}
        watch: {denom: uakt, amount: 100}
deployment:
  db: {west: {profile: db, count: 1}}
  game: {west: {profile: game, count: 1}}
  watch: {west: {profile: watch, count: 1}}
"#;

fn route(hostname: &str, service: &str, port: u16) -> HostnameRoute {
    HostnameRoute { hostname: hostname.to_owned(), service: service.to_owned(), port }
}

fn web() -> Workload {
    Workload {
        hostnames: vec![
            route("www.example.com", "web", 8080),
            route("lvk4s3lapt8fb2pc0ijnjvk4s3.ingress.example.com", "web", 8080),
        ],
        ..workload(WEB)
    }
}

fn game() -> Workload {
    let workload = workload(GAME);
    let unit = workload.group.services.iter().find(|one| one.name == "game").unwrap();
    let chosen = GpuKind {
        vendor: "nvidia".to_owned(),
        model: "a100".to_owned(),
        ram: Some("80Gi".to_owned()),
        interface: Some("sxm".to_owned()),
    };
    let gpus = BTreeMap::from([(unit.resources.id, vec![chosen])]);
    Workload { gpus, hostnames: vec![route("play.example.com", "game", 80)], ..workload }
}

fn bodies(workload: &Workload, settings: &Settings) -> Vec<Value> {
    rendered(workload, settings).objects.iter().map(|object| object.body.clone()).collect()
}

#[test]
fn a_service_on_the_web_with_the_safe_defaults() {
    insta::assert_json_snapshot!(bodies(&web(), &settings()));
}

/// Every kind of object: volumes of all sorts, GPUs, a leased address, ports of the nodes, a login, permissions.
#[test]
fn a_game_with_its_database_behind_an_ingress_controller() {
    let mut settings = settings();
    settings.http.mode = HttpMode::Ingress;
    settings.overcommit.cpu_percent = Percent(50);
    settings.ip_pool = "public".to_owned();
    insta::assert_json_snapshot!(bodies(&game(), &settings));
}

/// Each of the defaults that are harder than today's provider's can be given up.
#[test]
fn a_service_on_the_web_with_everything_open() {
    let mut settings = settings();
    settings.security.pod_security = PodSecurity::None;
    settings.security.seccomp = false;
    settings.security.drop_capabilities = false;
    settings.security.service_links = true;
    settings.security.quota_percent = 0;
    settings.security.limit_range = false;
    settings.network.ipv6 = false;
    settings.network.private = true;
    settings.network.nodes = true;
    settings.network.dns.clear();
    settings.http.timeouts = true;
    settings.image_pull_policy = PullPolicy::Always;
    settings.image_pull_secret = "common".to_owned();
    settings.nodes.tolerate = vec!["nvidia.com/gpu".to_owned()];
    settings.runtime_classes.default = "gvisor".to_owned();
    insta::assert_json_snapshot!(bodies(&web(), &settings));
}

#[test]
fn a_lease_of_one_service_needs_nine_objects_and_seven_without_quota_and_limit_range() {
    let one_host = Workload { hostnames: web().hostnames[..1].to_vec(), ..web() };
    assert_eq!(rendered(&one_host, &settings()).objects.len(), 9);
    let mut less = settings();
    less.security.quota_percent = 0;
    less.security.limit_range = false;
    assert_eq!(
        rendered(&one_host, &less).objects.len(),
        7,
        "{:?}",
        ids(&rendered(&one_host, &less))
    );
}

#[test]
fn an_update_of_one_of_three_services_changes_its_objects_and_the_manifests_resource_only() {
    let before = rendered(&game(), &settings());
    let text = GAME.replace("image: watch:1", "image: watch:2");
    let mut after = Workload { group: workload(&text).group, ..game() };
    after.manifest_hash = "cd".repeat(32);
    let after = rendered(&after, &settings());
    let changed: Vec<_> = after
        .objects
        .iter()
        .filter(|object| !before.objects.iter().any(|other| other.hash == object.hash))
        .map(|object| (object.id.kind, object.id.name.clone()))
        .collect();
    let expected =
        [(Kind::Deployment, "watch".to_owned()), (Kind::Manifest, after.namespace.clone())];
    assert_eq!(changed, expected);
}

#[test]
fn another_port_before_it_changes_no_ports_name() {
    let text = GAME.replace(
        "      - {port: 7000, as: 7777, proto: tcp",
        "      - {port: 6000, to: [{global: true}]}\n      - {port: 7000, as: 7777, proto: tcp",
    );
    let more = Workload { group: workload(&text).group, ..game() };
    let ports = |workload: &Workload| {
        let rendered = rendered(workload, &settings());
        body(&rendered, Kind::Service, "game-np")["spec"]["ports"].as_array().unwrap().clone()
    };
    let (before, after) = (ports(&game()), ports(&more));
    assert_eq!(after.len(), before.len() + 1);
    assert!(before.iter().all(|port| after.contains(port)), "{after:?}");
}

#[test]
fn tcp_and_udp_of_one_number_are_two_ports() {
    let rendered = rendered(&game(), &settings());
    let ports = &body(&rendered, Kind::Service, "game-np")["spec"]["ports"];
    for protocol in ["TCP", "UDP"] {
        let found = ports.as_array().unwrap().iter().filter(|port| {
            port["port"] == 7777 && port["protocol"] == protocol && port["targetPort"] == 7000
        });
        assert_eq!(found.count(), 1, "{protocol}: {ports}");
    }
}

#[test]
fn what_is_leased_is_what_a_container_may_take() {
    let rendered = rendered(&game(), &settings());
    let pod = &body(&rendered, Kind::StatefulSet, "db")["spec"]["template"]["spec"];
    let limits = &pod["containers"][0]["resources"]["limits"];
    assert_eq!(limits["memory"], (1280_u64 << 20).to_string(), "memory and the volume in memory");
    assert_eq!(limits["ephemeral-storage"], (5_u64 << 30).to_string(), "both volumes on disk");
    assert_eq!(pod["containers"][0]["resources"]["requests"], *limits);
    let volumes = pod["volumes"].as_array().unwrap();
    assert_eq!(volumes.len(), 2, "what is mounted and not claimed: {volumes:?}");
    let disk = volumes.iter().find(|volume| volume["name"] == "db-scratch").unwrap();
    assert_eq!(disk["emptyDir"], json!({ "sizeLimit": (3_u64 << 30).to_string() }));
}

#[test]
fn overcommit_is_a_percentage() {
    let cpu = |percent: u32| {
        let mut settings = settings();
        settings.overcommit.cpu_percent = Percent(percent);
        let rendered = rendered(&web(), &settings);
        body(&rendered, Kind::Deployment, "web")["spec"]["template"]["spec"]["containers"][0]
            ["resources"]
            .clone()
    };
    for (percent, request) in [(0, "500m"), (50, "333m"), (100, "250m"), (150, "200m")] {
        let resources = cpu(percent);
        assert_eq!(resources["requests"]["cpu"], request, "{percent} %");
        assert_eq!(resources["limits"]["cpu"], "500m");
    }
}

fn gpu_terms(workload: &Workload) -> Vec<Vec<String>> {
    let rendered = rendered(workload, &settings());
    let spec = &body(&rendered, Kind::Deployment, "game")["spec"]["template"]["spec"];
    let selector =
        &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = selector["nodeSelectorTerms"].as_array().unwrap();
    let keys = |term: &Value| {
        let expressions = term["matchExpressions"].as_array().unwrap();
        let keys = expressions.iter().map(|one| one["key"].as_str().unwrap().to_owned());
        keys.filter(|key| key.contains("gpu")).collect()
    };
    terms.iter().map(keys).collect()
}

#[test]
fn a_pod_goes_to_the_gpus_that_were_offered_or_else_to_any_that_were_asked_for() {
    let a100 = "akash.network/capabilities.gpu.vendor.nvidia.model.a100";
    let h100 = "akash.network/capabilities.gpu.vendor.nvidia.model.h100";
    let sxm = vec![a100.to_owned(), format!("{a100}.interface.sxm")];
    assert_eq!(gpu_terms(&game()), std::slice::from_ref(&sxm));
    let nothing_chosen = Workload { gpus: BTreeMap::new(), ..game() };
    let ram = vec![h100.to_owned(), format!("{h100}.ram.80Gi")];
    assert_eq!(gpu_terms(&nothing_chosen), [sxm, ram]);
    let models = "[{model: a100, interface: sxm}, {model: h100, ram: 80Gi}]";
    let any = GAME.replace(models, "[{model: \"*\"}]");
    assert_ne!(any, GAME);
    let any = Workload { gpus: BTreeMap::new(), group: workload(&any).group, ..game() };
    assert_eq!(gpu_terms(&any), [[""; 0]]);
}

#[test]
fn egress_leaves_out_what_is_not_the_world_and_nothing_twice() {
    let rendered = rendered(&web(), &settings());
    let policy = body(&rendered, Kind::NetworkPolicy, "akash-deployment-restrictions");
    let rules = policy["spec"]["egress"].as_array().unwrap();
    let world = rules.last().unwrap()["to"].as_array().unwrap();
    let v4 = [
        "10.0.0.0/8",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "203.0.113.7/32",
        "203.0.113.9/32",
    ];
    assert_eq!(world[0]["ipBlock"], json!({ "cidr": "0.0.0.0/0", "except": v4 }));
    let v6 = ["2001:db8::9/128", "fc00::/7", "fe80::/10"];
    assert_eq!(world[1]["ipBlock"], json!({ "cidr": "::/0", "except": v6 }));
}

#[test]
fn an_entrance_that_is_no_pod_reaches_the_ports_of_http_services_only() {
    let mut settings = settings();
    settings.http.mode = HttpMode::None;
    settings.http.from_addresses = vec!["198.51.100.0/24".parse().unwrap()];
    let rendered = rendered(&game(), &settings);
    let policy = body(&rendered, Kind::NetworkPolicy, "akash-deployment-restrictions");
    let expected = json!({
        "from": [{ "ipBlock": { "cidr": "198.51.100.0/24" } }],
        "ports": [{ "port": 80, "protocol": "TCP" }],
    });
    assert_eq!(policy["spec"]["ingress"][1], expected);
    let routes = ids(&rendered);
    assert!(!routes.iter().any(|id| id.starts_with("Ingress") || id.starts_with("HttpRoute")));
    assert!(routes.contains(&"ProviderHost play.example.com".to_owned()), "{routes:?}");
}

#[test]
fn without_policies_no_policy_is_wanted() {
    let mut settings = settings();
    settings.network.policies = false;
    assert!(!ids(&rendered(&game(), &settings)).iter().any(|id| id.starts_with("NetworkPolicy")));
}

#[test]
fn a_registrys_password_is_in_its_secret_and_elsewhere_only_when_the_operator_says_so() {
    let holding = |settings: &Settings| {
        let rendered = rendered(&game(), settings);
        assert!(!format!("{rendered:?}").contains("hunter2000"));
        let holds = |body: &Value| body.to_string().contains("hunter2000");
        let kinds = rendered.objects.iter().filter(|object| holds(&object.body));
        kinds.map(|object| object.id.kind).collect::<Vec<_>>()
    };
    assert_eq!(holding(&settings()), [], "the Secret has it in base64");
    let rendered = rendered(&game(), &settings());
    let secret = body(&rendered, Kind::Secret, "docker-creds-db");
    let data = secret["data"][".dockerconfigjson"].as_str().unwrap();
    let data = data_encoding::BASE64.decode(data.as_bytes()).unwrap();
    let login: Value = serde_json::from_slice(&data).unwrap();
    assert_eq!(login["auths"]["registry.example.com"]["password"], "hunter2000");
    assert_eq!(login["auths"]["registry.example.com"]["auth"], "dXNlcjpodW50ZXIyMDAw");
    let with = Settings { credentials_in_manifest: true, ..settings() };
    assert_eq!(holding(&with), [Kind::Manifest]);
}

#[test]
fn a_variable_stands_once_and_the_tenants_goes_first() {
    let text = WEB.replace("EMPTY=,", "EMPTY=, GREETING=twice, BARE,");
    let rendered = rendered(&workload(&text), &settings());
    let env = &body(&rendered, Kind::Deployment, "web")["spec"]["template"]["spec"]["containers"]
        [0]["env"];
    let values: Vec<_> = env
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["value"].as_str()))
        .collect();
    assert_eq!(
        values[..4],
        [
            ("GREETING", Some("twice")),
            ("EMPTY", None),
            ("BARE", None),
            ("AKASH_OWNER", Some("mine"))
        ]
    );
    assert_eq!(values.iter().filter(|(name, _)| *name == "AKASH_OWNER").count(), 1);
    assert_eq!(values.len(), 9);
}

#[test]
fn the_hash_is_of_the_object_and_of_nothing_else() {
    let (one, two) = (rendered(&game(), &settings()), rendered(&game(), &settings()));
    assert_eq!(one, two);
    let mut hashes: Vec<_> = one.objects.iter().map(|object| &object.hash).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), one.objects.len());
    let hash = &object(&one, Kind::Deployment, "watch").hash;
    assert_eq!(
        body(&one, Kind::Deployment, "watch")["metadata"]["annotations"]["lessor.network/hash"],
        **hash
    );
}

fn refused(workload: &Workload, settings: &Settings) -> Unrenderable {
    render(workload, settings, &Facts::default()).unwrap_err()
}

#[test]
fn what_kubernetes_cannot_run_is_refused_with_what_is_allowed() {
    let one = "- {port: 8080, as: 80,";
    let text =
        WEB.replace(one, &format!("- {{port: 9000, as: 80, to: [{{service: web}}]}}\n      {one}"));
    assert_ne!(text, WEB);
    let refusal = refused(&workload(&text), &settings()).to_string();
    assert!(refusal.starts_with("service \"web\": port 80 TCP is to lead to port"), "{refusal}");
    let long = "a".repeat(64);
    let named = |text: &str, from: &str, to: &str| {
        text.replace(&format!("\n  {from}:\n    image"), &format!("\n  {to}:\n    image"))
            .replace(&format!("\n  {from}: {{west"), &format!("\n  {to}: {{west"))
    };
    let text = named(WEB, "web", &long);
    let refusal = refused(&workload(&text), &settings());
    assert!(refusal.allowed.contains("allowed are up to 63"), "{refusal}");
    let text = named(GAME, "db", &"d".repeat(53));
    let refusal = refused(&Workload { hostnames: Vec::new(), ..workload(&text) }, &settings());
    assert!(refusal.allowed.contains("allowed are up to 52"), "{refusal}");
    let mut twice = web();
    let mut services = twice.group.services.to_vec();
    services.push(services[0].clone());
    twice.group.services = services.into();
    assert_eq!(
        refused(&twice, &settings()).to_string(),
        "service \"web\": two services of the group have this name; on Kubernetes a name is used once: rename one"
    );
    let nowhere = Workload { hostnames: vec![route("a.example.com", "api", 80)], ..web() };
    assert!(
        refused(&nowhere, &settings()).to_string().contains("\"a.example.com\" leads to nothing")
    );
    let mut no_vendor = settings();
    no_vendor.nodes.gpu_resources.clear();
    assert_eq!(refused(&game(), &no_vendor).service.as_deref(), Some("game"));
}

#[test]
fn a_confidential_service_needs_a_runtime_that_the_operator_has() {
    let text = WEB.replace("    expose:", "    params: {tee: cpu}\n    expose:");
    let Ok(compiled) = lessor::manifest::compile(
        &text.replace("\"2.0\"", "\"2.1\""),
        lessor::manifest::Dialect::Go,
    ) else {
        panic!("the document is valid")
    };
    let workload = Workload { group: compiled.manifest.groups()[0].clone(), ..web() };
    assert!(refused(&workload, &settings()).what.contains("confidential"));
    let mut settings = settings();
    settings.runtime_classes.tee.insert("cpu".to_owned(), "kata-qemu-snp".to_owned());
    let rendered = render(&workload, &settings, &facts()).unwrap();
    let spec = &body(&rendered, Kind::Deployment, "web")["spec"]["template"]["spec"];
    assert_eq!(spec["runtimeClassName"], "kata-qemu-snp");
}

#[test]
fn sizes_of_pools_are_read_from_text() {
    assert_eq!(PoolSize::try_from("auto".to_owned()), Ok(PoolSize::Auto));
    assert_eq!(PoolSize::try_from("1Ti".to_owned()), Ok(PoolSize::Bytes(1 << 40)));
    assert!(PoolSize::try_from("much".to_owned()).is_err());
}

#[test]
fn what_a_part_of_todays_provider_writes_is_left_to_it_until_lessor_is_told_to_take_over() {
    let with = |parts: &[Part]| Facts { todays: parts.iter().copied().collect(), ..facts() };
    let (game, settings) = (game(), settings());
    let operators = with(&[Part::HostnameOperator, Part::IpOperator]);
    let rest = render(&game, &settings, &operators).unwrap();
    let all = rendered(&game, &settings);
    let left: Vec<_> = all.objects.iter().filter(|one| !rest.objects.contains(one)).collect();
    let names: Vec<_> = left.iter().map(|one| (one.id.kind, one.id.name.as_str())).collect();
    assert_eq!(names, [(Kind::Service, "game-ip-9000-udp"), (Kind::HttpRoute, "play.example.com")]);
    assert!(left.iter().all(|one| rest.leaves(&one.id) && !all.leaves(&one.id)));
    assert!(rest.objects.iter().all(|one| !rest.leaves(&one.id)));
    let told = Settings { take_over: true, ..settings };
    assert_eq!(render(&game, &told, &operators).unwrap(), all);
}
