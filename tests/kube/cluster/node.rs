//! One real node: containerd, kubelet and kube-proxy in a network namespace of their own, with a bridge for pods.
//!
//! | | |
//! |---|---|
//! | `10.199.0.2` – `10.199.0.1` | host – node; the control plane listens at the node's |
//! | `10.200.0.0/24` | pods |
//! | `10.96.0.0/16` | Services |
//!
//! All of the node's processes are children of one that has its own process and mount namespaces: when that one is
//! killed, nothing of them is left, no container, no mount. What a killed test leaves is one network namespace, a pair
//! of interfaces and empty control groups, which the next one removes.

use std::{
    fmt::Write as _,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::{Api, runtime::wait::await_condition};
use serde_json::json;

use super::{
    Cluster, PATIENCE,
    assets::Assets,
    control::flags,
    login,
    process::{Place, Process, afterwards, run, signal},
};
use crate::support::eventually;

/// The node's name.
pub(crate) const NAME: &str = "node1";
/// The node's address; the host reaches it through a pair of interfaces.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 199, 0, 1);
const NETWORK: &str = "kube-test";
/// The network of a machine beyond the node.
const OUTSIDE: &str = "kube-test-out";
const PODS: &str = "10.200.0.0/24";
const SERVICES: &str = "10.96.0.0/16";
const GROUP: &str = "kube-test";

/// Waits until no other process of this machine has a node, and cleans up after those that had.
pub(super) fn take_turn() -> File {
    let lock = File::create(std::env::temp_dir().join("kube-test-node.lock")).unwrap();
    lock.lock().unwrap();
    let _ = Command::new("bash").args(["-c", &remove()]).output();
    lock
}

/// What removes a node's network and control groups.
fn remove() -> String {
    format!(
        "ip netns delete {NETWORK} 2>/dev/null; ip netns delete {OUTSIDE} 2>/dev/null; \
         ip link delete {NETWORK}-h 2>/dev/null; \
         find /sys/fs/cgroup -depth -type d -path '*/{GROUP}*' -exec rmdir {{}} + 2>/dev/null; true"
    )
}

/// The node's network namespace, joined with the host.
pub(super) fn make_network() -> Place {
    let script = format!(
        "set -e
        ip netns add {NETWORK}
        ip link add {NETWORK}-h type veth peer name eth0 netns {NETWORK}
        ip address add 10.199.0.2/30 dev {NETWORK}-h
        ip link set {NETWORK}-h up
        inside() {{ nsenter --net=/run/netns/{NETWORK} \"$@\"; }}
        inside ip link set lo up
        inside ip address add {ADDRESS}/30 dev eth0
        inside ip link set eth0 up
        inside ip route add default via 10.199.0.2
        inside sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
        inside sh -c 'echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables' 2>/dev/null || true
        ip route replace {PODS} via {ADDRESS}
        ip route replace {SERVICES} via {ADDRESS}"
    );
    run("bash", &["-c", &script]);
    afterwards(&format!("sleep 2; {}", remove()));
    Place {
        address: IpAddr::V4(ADDRESS),
        enter: vec!["nsenter".to_owned(), format!("--net=/run/netns/{NETWORK}")],
    }
}

/// A node that runs pods.
pub(crate) struct Node {
    process: Process,
    folder: PathBuf,
    /// The program of the tests' images.
    tenant: PathBuf,
}

impl Node {
    /// Starts it and waits until it is ready and has the test's images.
    pub(super) async fn start(cluster: &Cluster, assets: &Assets) -> Self {
        let folder = cluster.folder.join("node");
        fs::create_dir_all(&folder).unwrap();
        make_groups();
        configure(cluster, &folder);
        let init = folder.join("init");
        fs::write(&init, script(cluster, assets, &folder)).unwrap();
        let arguments = [
            "--pid",
            "--fork",
            "--kill-child",
            "--mount",
            "--mount-proc",
            "--propagation",
            "private",
            "bash",
        ];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
        arguments.push(init.display().to_string());
        let process =
            Process::start("node", cluster.place(), &folder, Path::new("unshare"), &arguments);
        let mut node = Self { process, folder, tenant: assets.program("tenant") };
        node.take_images(assets).await;
        node.ready(cluster).await;
        node
    }

    /// Gives an image that the node has another name, under which documents know it.
    pub(crate) fn tag(&self, image: &str, name: &str) {
        // The tool removes what has the name and makes it anew, which two must not do at once.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        self.containerd(&["images", "tag", "--force", image, name]);
    }

    /// Runs a command in the node's network.
    #[expect(clippy::unused_self, reason = "who has no node has no network of it")]
    pub(crate) fn inside(&self, program: &str, arguments: &[&str]) -> String {
        let network = format!("--net=/run/netns/{NETWORK}");
        let mut all = vec![network.as_str(), program];
        all.extend(arguments);
        run("nsenter", &all)
    }

    /// Whether packets between two pods pass the tables too, although they stay on one bridge.
    pub(crate) fn filters_its_bridge(&self) -> bool {
        let file = "/proc/sys/net/bridge/bridge-nf-call-iptables";
        self.inside("sh", &["-c", &format!("cat {file} 2>/dev/null || true")]).trim() == "1"
    }

    /// A machine beyond the node that answers at these addresses, on port 80, until it is dropped.
    pub(crate) fn machine_outside(&self, addresses: &[Ipv4Addr]) -> Outside {
        let mut script = format!(
            "set -e
            ip netns add {OUTSIDE}
            node() {{ nsenter --net=/run/netns/{NETWORK} \"$@\"; }}
            out() {{ nsenter --net=/run/netns/{OUTSIDE} \"$@\"; }}
            node ip link add outside type veth peer name eth0 netns {OUTSIDE}
            node ip address add 198.51.100.1/30 dev outside
            node ip link set outside up
            out ip link set lo up
            out ip address add 198.51.100.2/30 dev eth0
            out ip link set eth0 up
            out ip route add default via 198.51.100.1\n"
        );
        for address in addresses {
            let _ = writeln!(
                script,
                "out ip address add {address}/32 dev lo
                node ip route add {address}/32 via 198.51.100.2"
            );
        }
        run("bash", &["-c", &script]);
        let place = Place {
            address: IpAddr::V4(addresses[0]),
            enter: vec!["nsenter".to_owned(), format!("--net=/run/netns/{OUTSIDE}")],
        };
        let arguments = [
            "PORT=80".to_owned(),
            "LOG_EVERY_MS=60000".to_owned(),
            self.tenant.display().to_string(),
            "serve".to_owned(),
        ];
        Outside(Process::start("outside", &place, &self.folder, Path::new("env"), &arguments))
    }

    /// Stops the kubelet where it stands, until the answer is dropped. Containers run on.
    pub(crate) fn freeze_kubelet(&self) -> Frozen {
        let wanted = format!("--config={}", self.folder.join("kubelet.yaml").display());
        let has_it = |entry: &fs::DirEntry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == wanted.as_bytes())
        };
        let found = fs::read_dir("/proc").unwrap().filter_map(Result::ok).find(has_it);
        let id = found.expect("the kubelet runs").file_name();
        let id = id.to_str().unwrap().parse().unwrap();
        signal(id, "STOP");
        Frozen(id)
    }

    /// Containerd's own tool, which needs no network.
    fn containerd(&self, arguments: &[&str]) -> String {
        let socket = socket(&self.folder);
        let mut all = vec!["--address", &socket, "--namespace", "k8s.io"];
        all.extend(arguments);
        run("ctr", &all)
    }

    async fn take_images(&mut self, assets: &Assets) {
        let socket = socket(&self.folder);
        eventually("containerd answers", PATIENCE, async || {
            let answer = Command::new("ctr").args(["--address", &socket, "version"]).output();
            answer.unwrap().status.success().then_some(())
        })
        .await;
        self.containerd(&["images", "import", &assets.images().display().to_string()]);
    }

    async fn ready(&mut self, cluster: &Cluster) {
        let nodes: Api<NodeObject> = Api::all(cluster.admin());
        let is_ready = |node: Option<&NodeObject>| {
            let conditions = node.and_then(|node| node.status.as_ref()?.conditions.as_ref());
            conditions.into_iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True")
        };
        let ready = tokio::time::timeout(PATIENCE, await_condition(nodes, NAME, is_ready)).await;
        assert!(ready.is_ok(), "the node is not ready: {}", self.state());
        ready.unwrap().unwrap();
    }

    /// What its parts printed last.
    pub(crate) fn state(&mut self) -> String {
        let parts = ["containerd", "kubelet", "kube-proxy"];
        let logs = parts.map(|part| {
            let log = self.folder.join(format!("{part}.log"));
            format!("{part}:\n{}", super::process::tail(&log, 15))
        });
        format!("{}\n{}", self.process.state(), logs.join("\n"))
    }
}

/// A machine beyond the node.
pub(crate) struct Outside(#[expect(dead_code, reason = "it ends with this")] Process);

impl Drop for Outside {
    fn drop(&mut self) {
        // With its network go both ends of the way there.
        let _ = Command::new("ip").args(["netns", "delete", OUTSIDE]).status();
    }
}

/// A process that stands still until this is dropped.
pub(crate) struct Frozen(u32);

impl Drop for Frozen {
    fn drop(&mut self) {
        signal(self.0, "CONT");
    }
}

fn socket(folder: &Path) -> String {
    folder.join("c.sock").display().to_string()
}

/// The control groups that pods live in: one a controller, or one in all where the kernel has version 2.
fn make_groups() {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        fs::create_dir_all(root.join(GROUP)).unwrap();
        return;
    }
    for entry in fs::read_dir(root).unwrap() {
        let controller = entry.unwrap().path();
        if controller.is_symlink() || !controller.join("tasks").exists() {
            continue;
        }
        let group = controller.join(GROUP);
        fs::create_dir_all(&group).unwrap();
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(all) = fs::read(controller.join(file)) {
                fs::write(group.join(file), all).unwrap();
            }
        }
    }
}

/// Writes the files that the node's programs read.
fn configure(cluster: &Cluster, folder: &Path) {
    let at = |name: &str| folder.join(name).display().to_string();
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    // Every registry is one that does not listen, so an image that the node lacks fails at once.
    write("certs.d/_default/hosts.toml", &format!("server = \"http://{ADDRESS}:5000\"\n"));
    write("resolv.conf", &format!("nameserver {ADDRESS}\n"));
    let network = json!({
        "cniVersion": "0.4.0", "name": "pods", "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
                "ipMasq": false, "ipam": {
                    "type": "host-local", "dataDir": at("addresses"),
                    "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    write("cni/pods.conflist", &network.to_string());
    let containerd = json!({
        "version": 2, "root": at("images"), "state": at("state"),
        "grpc": {"address": socket(folder)},
        "plugins": {
            "io.containerd.internal.v1.opt": {"path": at("opt")},
            "io.containerd.grpc.v1.cri": {
                "sandbox_image": "registry.test/pause:1",
                // Without the right to lower its score, the runtime dies otherwise.
                "restrict_oom_score_adj": true,
                "containerd": {"snapshotter": "overlayfs", "runtimes": {"runc": {
                    "runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": false},
                }}},
                "cni": {"bin_dir": "/usr/lib/cni", "conf_dir": at("cni")},
                "registry": {"config_path": at("certs.d")},
            },
        },
    });
    write("containerd.toml", &toml::to_string(&containerd).unwrap());
    let signed = cluster.authority.server("kubelet-server", IpAddr::V4(ADDRESS));
    let kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": {
            "anonymous": {"enabled": false}, "webhook": {"enabled": true},
            "x509": {"clientCAFile": cluster.authority.certificate()},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": signed.certificate, "tlsPrivateKeyFile": signed.key,
        "containerRuntimeEndpoint": format!("unix://{}", socket(folder)),
        "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{GROUP}"), "failCgroupV1": false,
        "failSwapOn": false,
        "evictionHard": {
            "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        "podLogsDir": at("logs"), "volumePluginDir": at("volumes"),
        "resolvConf": at("resolv.conf"), "clusterDNS": [ADDRESS], "clusterDomain": "cluster.local",
        "serializeImagePulls": false,
        "nodeStatusUpdateFrequency": "5s", "syncFrequency": "5s",
    });
    write("kubelet.yaml", &kubelet.to_string());
}

/// The first process of the node's namespaces: it starts the three, and takes in the orphans that containers leave.
fn script(cluster: &Cluster, assets: &Assets, folder: &Path) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    let account = |file: &str, user: &str, groups: &[&str]| {
        let path = login(&cluster.authority, cluster.server(), folder, file, user, groups);
        path.display().to_string()
    };
    let kubelet = flags(&[
        ("config", &at("kubelet.yaml")),
        ("kubeconfig", &account("kubelet", &format!("system:node:{NAME}"), &["system:nodes"])),
        ("hostname-override", NAME),
        ("node-ip", &ADDRESS.to_string()),
        ("root-dir", &at("kubelet")),
        ("cert-dir", &at("pki")),
    ]);
    let proxy = flags(&[
        ("kubeconfig", &account("kube-proxy", "system:kube-proxy", &[])),
        ("proxy-mode", "nftables"),
        ("cluster-cidr", PODS),
        ("hostname-override", NAME),
        // What it would set, a network namespace does not let it.
        ("conntrack-max-per-core", "0"),
        ("conntrack-tcp-timeout-established", "0s"),
        ("conntrack-tcp-timeout-close-wait", "0s"),
    ]);
    let begin = |name: &str, program: &Path, arguments: &[String]| {
        let log = at(&format!("{name}.log"));
        format!("{} {} >>{log} 2>&1 &\n", program.display(), arguments.join(" "))
    };
    let mut script = String::from(
        "mount --make-rshared /\nmount -t tmpfs tmpfs /run/netns\nmkdir -p /run/containerd\n\
         mount -t tmpfs tmpfs /run/containerd\n",
    );
    let configuration = [format!("--config={}", at("containerd.toml"))];
    script += &begin("containerd", Path::new("containerd"), &configuration);
    // The kubelet does not wait for it.
    let _ = writeln!(script, "until [ -S {} ]; do sleep 0.05; done", socket(folder));
    script += &begin("kubelet", &assets.program("kubelet"), &kubelet);
    script += &begin("kube-proxy", &assets.program("kube-proxy"), &proxy);
    script += "while :; do wait -n || sleep 1; done\n";
    script
}
