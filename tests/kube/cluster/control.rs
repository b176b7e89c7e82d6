//! The control plane: etcd, the API server, and what acts on objects.

use std::{fs, path::Path, time::Duration};

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};

use super::{
    PATIENCE, Ring,
    assets::Assets,
    audit,
    certificates::Authority,
    login,
    process::{Place, Process, free_port},
};
use crate::support::eventually;

/// The range of Services' addresses.
const SERVICES: &str = "10.96.0.0/16";
/// How often new ports are tried when others took ours between the look and the use.
const TRIES: u32 = 3;

/// The processes of the control plane.
pub(crate) struct Control {
    /// The API server.
    pub(crate) api_server: Process,
    /// Its store.
    pub(crate) etcd: Process,
    /// What acts on objects, none with [`Ring::Api`].
    pub(crate) controllers: Option<Process>,
    scheduler: Option<Process>,
    port: u16,
}

impl Control {
    pub(super) async fn start(
        ring: Ring,
        assets: &Assets,
        place: &Place,
        authority: &Authority,
        folder: &Path,
    ) -> Self {
        let signed = authority.server("api-server", place.address);
        authority.client("api-server-to-kubelet", "api-server-to-kubelet", &["system:masters"]);
        fs::write(folder.join("audit-policy.yaml"), audit::policy().to_string()).unwrap();
        let (etcd, api_server, port) = store_and_server(assets, place, folder, &signed).await;
        let mut control = Self { api_server, etcd, controllers: None, scheduler: None, port };
        let server = control.server(place);
        login(authority, &server, folder, "admin", "admin", &["system:masters"]);
        if ring != Ring::Api {
            control.act(assets, place, authority, folder);
        }
        control
    }

    /// The API server's URL.
    pub(super) fn server(&self, place: &Place) -> String {
        format!("https://{}:{}", place.address, self.port)
    }

    /// Starts what acts on objects.
    fn act(&mut self, assets: &Assets, place: &Place, authority: &Authority, folder: &Path) {
        let server = self.server(place);
        let part = |name: &str, user: &str, more: &[String]| {
            // As an administrator, so that it needs no roles; the audit log tells it by its name.
            let kubeconfig = login(authority, &server, folder, name, user, &["system:masters"]);
            let mut arguments = flags(&[
                ("kubeconfig", &kubeconfig.display().to_string()),
                ("bind-address", "127.0.0.1"),
                ("secure-port", &free_port().to_string()),
                ("leader-elect", "false"),
                ("kube-api-qps", "500"),
                ("kube-api-burst", "1000"),
            ]);
            arguments.extend(more.iter().cloned());
            Process::start(name, place, folder, &assets.program(name), &arguments)
        };
        let at = |name: &str| folder.join(name).display().to_string();
        self.controllers = Some(part(
            "kube-controller-manager",
            "system:kube-controller-manager",
            &flags(&[
                ("service-account-private-key-file", &at("sa.key")),
                ("root-ca-file", &at("ca.crt")),
                ("cluster-signing-cert-file", &at("ca.crt")),
                ("cluster-signing-key-file", &at("ca.key")),
            ]),
        ));
        self.scheduler = Some(part("kube-scheduler", "system:kube-scheduler", &[]));
    }

    /// Waits until the API server answers, and until namespaces get their service account where something acts.
    pub(super) async fn ready(&mut self, admin: &Client) {
        let acts = self.controllers.is_some();
        let begun = tokio::time::Instant::now();
        let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), "default");
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            let ready = admin.request_text(request).await.is_ok();
            if ready && (!acts || matches!(accounts.get_opt("default").await, Ok(Some(_)))) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "the control plane is not ready: {}", self.state());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What each process printed last.
    pub(crate) fn state(&mut self) -> String {
        let parts = [Some(&mut self.etcd), Some(&mut self.api_server)];
        let others = [self.controllers.as_mut(), self.scheduler.as_mut()];
        let states = parts.into_iter().chain(others).flatten().map(Process::state);
        states.collect::<Vec<_>>().join("\n")
    }
}

/// Starts the two, with other ports when somebody was faster.
async fn store_and_server(
    assets: &Assets,
    place: &Place,
    folder: &Path,
    signed: &super::Signed,
) -> (Process, Process, u16) {
    for _ in 1..TRIES {
        let (client, peer, port) = (free_port(), free_port(), free_port());
        let mut etcd = Process::start(
            "etcd",
            place,
            folder,
            &assets.program("etcd"),
            &store(folder, client, peer),
        );
        let arguments = api_server(folder, place, signed, client, port);
        let program = assets.program("kube-apiserver");
        let mut server = Process::start("kube-apiserver", place, folder, &program, &arguments);
        let listens =
            eventually("etcd and the API server listen or have ended", PATIENCE, async || {
                if etcd.lost_its_port() || server.lost_its_port() {
                    return Some(false);
                }
                let opened = tokio::net::TcpStream::connect((place.address, port)).await;
                opened.is_ok().then_some(true)
            });
        if listens.await {
            return (etcd, server, port);
        }
    }
    panic!("no free ports were found {TRIES} times");
}

fn store(folder: &Path, client: u16, peer: u16) -> Vec<String> {
    let client = format!("http://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let mut arguments = flags(&[
        ("name", "e"),
        ("data-dir", &folder.join("etcd").display().to_string()),
        ("log-level", "warn"),
        ("listen-client-urls", &client),
        ("advertise-client-urls", &client),
        ("listen-peer-urls", &peer),
        ("initial-advertise-peer-urls", &peer),
        ("initial-cluster", &format!("e={peer}")),
    ]);
    // What a test wrote need not outlive the machine.
    arguments.push("--unsafe-no-fsync".to_owned());
    arguments
}

fn api_server(
    folder: &Path,
    place: &Place,
    signed: &super::Signed,
    store: u16,
    port: u16,
) -> Vec<String> {
    let at = |name: &str| folder.join(name).display().to_string();
    let address = place.address.to_string();
    // A loopback address is no endpoint that the API server may publish.
    let publishes = if place.address.is_loopback() { "none" } else { "lease" };
    flags(&[
        ("etcd-servers", &format!("http://127.0.0.1:{store}")),
        ("bind-address", &address),
        ("advertise-address", &address),
        ("secure-port", &port.to_string()),
        ("tls-cert-file", &signed.certificate.display().to_string()),
        ("tls-private-key-file", &signed.key.display().to_string()),
        ("client-ca-file", &at("ca.crt")),
        ("service-account-issuer", "https://kubernetes.default.svc"),
        ("service-account-key-file", &at("sa.pub")),
        ("service-account-signing-key-file", &at("sa.key")),
        ("authorization-mode", "Node,RBAC"),
        ("service-cluster-ip-range", SERVICES),
        ("allow-privileged", "true"),
        ("endpoint-reconciler-type", publishes),
        ("kubelet-client-certificate", &at("api-server-to-kubelet.crt")),
        ("kubelet-client-key", &at("api-server-to-kubelet.key")),
        ("kubelet-certificate-authority", &at("ca.crt")),
        ("kubelet-preferred-address-types", "InternalIP"),
        ("audit-policy-file", &at("audit-policy.yaml")),
        ("audit-log-path", &at("audit.jsonl")),
        ("profiling", "false"),
    ])
}

/// `--name=value` each.
pub(super) fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}
