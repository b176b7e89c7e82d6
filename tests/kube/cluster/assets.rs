//! The programs of a cluster, and whether it can run here.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::Ring;

/// The folder that `tests/kube/build` prints.
#[derive(Debug, Clone)]
pub(super) struct Assets(PathBuf);

impl Assets {
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The test's images, as one archive.
    pub(super) fn images(&self) -> PathBuf {
        self.0.join("images.tar")
    }

    /// Files with definitions of custom resources: the Gateway API's, and our own.
    pub(super) fn definitions(&self) -> Vec<PathBuf> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes/crds");
        let mut files = Vec::new();
        for folder in [self.0.join("gateway-api"), own] {
            let entries = fs::read_dir(&folder).unwrap();
            files.extend(entries.map(|entry| entry.unwrap().path()));
        }
        files.sort();
        files
    }
}

/// The programs for a ring; `None` when it cannot run here.
pub(super) fn found(ring: Ring) -> Option<Assets> {
    let Some(folder) = std::env::var_os("KUBE_ASSETS") else {
        return cannot_run("KUBE_ASSETS is not set");
    };
    let assets = Assets(folder.into());
    let mut programs = vec!["etcd", "kube-apiserver"];
    if ring != Ring::Api {
        programs.extend(["kube-controller-manager", "kube-scheduler"]);
    }
    if ring == Ring::Node {
        programs.extend(["kubelet", "kube-proxy", "images.tar"]);
    }
    if let Some(absent) = programs.into_iter().find(|name| !assets.program(name).exists()) {
        return cannot_run(&format!("{absent} is not in {}", assets.0.display()));
    }
    if ring == Ring::Node {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return cannot_run("a real node needs root");
        }
        for tool in ["containerd", "ctr", "runc", "ip", "nsenter", "unshare", "nft", "conntrack"] {
            let path = std::env::var("PATH").unwrap_or_default();
            if !path.split(':').any(|folder| Path::new(folder).join(tool).exists()) {
                return cannot_run(&format!("{tool} is not installed"));
            }
        }
    }
    Some(assets)
}

fn cannot_run(why: &str) -> Option<Assets> {
    println!("skipped: {why}");
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{why}");
    None
}
