//! What a failed test leaves to whoever looks into it: the objects of the clusters that run, what their parts and the pods
//! printed last, and the last requests. Where it lies is printed.
//!
//! A panic is noticed before anything is dropped, so nothing has ended yet and no test needs to do anything for it.

use std::{
    fs, panic,
    path::{Path, PathBuf},
    sync::{Mutex, Once, PoisonError},
    thread,
    time::Duration,
};

use kube::Client;

use super::{client, process::tail};

/// How long one answer of the API server may take: it may stand still.
const PATIENCE: Duration = Duration::from_secs(3);
const LINES: usize = 2_000;
/// So many last lines of the provider are printed too, for who sees nothing but the test's output.
const PRINTED: usize = 12;
/// The thread that looks; what goes wrong there is no failure of a test.
const LOOKING: &str = "dump";

const OBJECTS: [&str; 15] = [
    "/api/v1/namespaces",
    "/api/v1/nodes",
    "/api/v1/pods",
    "/api/v1/services",
    "/api/v1/events",
    "/api/v1/resourcequotas",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/replicasets",
    "/apis/apps/v1/statefulsets",
    "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/gateway.networking.k8s.io/v1/httproutes",
    "/apis/coordination.k8s.io/v1/leases",
    "/apis/akash.network/v2beta2/manifests",
    "/apis/akash.network/v2beta2/providerhosts",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
];

/// The folders of the clusters that run.
static RUNNING: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// From now on a failing test dumps the cluster of this folder too.
pub(super) fn include(folder: &Path) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            before(panic);
            let name = thread::current().name().unwrap_or("test").replace("::", "-");
            if name != LOOKING {
                all(&name);
            }
        }));
    });
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(folder.to_owned());
}

/// The cluster has ended.
pub(super) fn leave_out(folder: &Path) {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|running| running != folder);
}

/// Dumps every cluster, one after the other, on a thread that has no runtime yet.
fn all(test: &str) {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for folder in running {
        let name = folder.file_name().unwrap_or_default();
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kube").join(test).join(name);
        let look = {
            let to = to.clone();
            move || {
                fs::create_dir_all(&to).unwrap();
                logs(&folder, &folder, &to);
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    objects(&client(&folder.join("admin.kubeconfig")), &to).await;
                });
            }
        };
        let looked = thread::Builder::new().name(LOOKING.to_owned()).spawn(look);
        let whole = looked.is_ok_and(|looked| looked.join().is_ok());
        let how = if whole { "" } else { ", as far as it could be read" };
        eprintln!("the cluster as it was lies in {}{how}", to.display());
    }
}

async fn objects(client: &Client, to: &Path) {
    for path in OBJECTS {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let Ok(answer) = tokio::time::timeout(PATIENCE, client.request_text(request)).await else {
            eprintln!("the API server does not say what objects there are");
            return;
        };
        let text = answer.unwrap_or_else(|error| error.to_string());
        let (_, kind) = path.rsplit_once('/').unwrap_or_default();
        fs::write(to.join(format!("{kind}.json")), text).unwrap();
    }
}

/// The last lines of every log below a folder, those of pods too.
fn logs(top: &Path, folder: &Path, to: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = path.extension().and_then(|extension| extension.to_str());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // Not what is in containers.
            if !["images", "state", "kubelet", "etcd", "chain"]
                .contains(&entry.file_name().to_str().unwrap_or_default())
            {
                logs(top, &path, to);
            }
        } else if matches!(kind, Some("log" | "jsonl")) {
            let name = path.strip_prefix(top).unwrap_or(&path).display().to_string();
            fs::write(to.join(name.replace('/', "_")), tail(&path, LINES)).unwrap();
            if name.ends_with("serve.log") {
                eprintln!("{name}:\n{}", tail(&path, PRINTED));
            }
        }
    }
}
