//! What a host does to a process that is not killed: a file that is damaged, locked or has no room, and a request to end
//! while deliveries are under way.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lessor::wire::{deployment, google::Any};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    judge::judge,
    life::{compile, create, is_ready, is_released, take_bid, try_upload},
    served::{Begun, ByHand, Served, status},
    support::eventually,
    world::{LIMIT, World, example},
};

#[tokio::test]
async fn a_damaged_file_is_refused_by_name_and_left_as_it_is() {
    let world = World::new("");
    Served::up(&world).await.process.kill();
    let whole = std::fs::read(world.store()).unwrap();
    let mut scribbled = whole.clone();
    scribbled[100..4096].fill(0xA5);
    let half = whole[..whole.len() / 2].to_vec();
    for (what, bytes) in [
        ("no database", b"not a database at all, not at all".to_vec()),
        ("scribbled over", scribbled),
        ("cut in half", half),
    ] {
        for beside in ["lessor.db-wal", "lessor.db-shm"] {
            // There may be none.
            let _ = std::fs::remove_file(world.path(beside));
        }
        std::fs::write(world.store(), &bytes).unwrap();
        let _ = std::fs::remove_file(world.log());
        let mut refusing = Served::start(&world);
        let ended = eventually(what, LIMIT, async || refusing.process.ended()).await;
        let said = std::fs::read_to_string(world.log()).unwrap();
        assert!(!ended.success(), "{what}: {said}");
        assert!(said.contains(world.store().to_str().unwrap()), "{what}: {said}");
        assert!(said.contains("restore it from a backup"), "{what}: {said}");
        assert!(!said.contains("panicked"), "{what}: {said}");
        assert!(std::fs::read(world.store()).unwrap() == bytes, "{what}: the file was changed");
    }
}

/// Holds the only write lock of a world's file until it is dropped.
async fn lock(world: &World) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(world.store());
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    connection
}

async fn unlock(mut connection: SqliteConnection) {
    sqlx::query("ROLLBACK").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
#[ignore = "half a minute: tests/run runs it as \"troubles of the host\""]
async fn a_file_that_another_process_locks_is_waited_for_and_nothing_is_lost() {
    let mut world = World::new("");
    let mut served = Served::up(&world).await;
    world.start_relay();
    let tenant = world.tenant(0);
    let document = compile(&example("web.yaml"));
    let id = create(&tenant, 7, &document).await;
    let delivery = ByHand::new(&world, "by-hand").await;

    let locked = lock(&world).await;
    let lease = {
        // The bid may be in a block already, or its transaction in no row yet.
        let refused = delivery.send(&world).await.expect("an answer");
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.retry_after.is_some(), "{refused:?}");
        unlock(locked).await;
        take_bid(&tenant, &id).await
    };
    let locked = lock(&world).await;
    assert!(try_upload(&tenant, &lease, &document).await.is_err(), "it cannot be durable");
    unlock(locked).await;

    let taken = delivery.send(&world).await.expect("an answer");
    assert!((200..300).contains(&taken.status), "{taken:?}");
    upload_and_close(&world, &mut served, &id, &document, &lease).await;
    end_and_judge(&mut world, served, &[id]).await;
}

#[tokio::test]
#[ignore = "half a minute: tests/run runs it as \"troubles of the host\""]
async fn a_process_without_room_for_another_connection_answers_when_there_is_some() {
    let world = World::new("");
    let mut served = Served::up(&world).await;
    let process = served.process.id();
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    let limit = format!("--nofile={}:", open + 8);
    let done = Command::new("prlimit").args(["--pid", &process.to_string(), &limit]).status();
    assert!(done.unwrap().success());
    let address = world.url.trim_start_matches("http://").to_owned();
    let many: Vec<_> = (0..32).map(|_| std::net::TcpStream::connect(&address).unwrap()).collect();
    eventually("it says that it has no room", LIMIT, async || {
        let said = std::fs::read_to_string(world.log()).unwrap_or_default();
        said.contains("no connection can be taken").then_some(())
    })
    .await;
    drop(many);
    served.is_up(&world).await;
}

async fn upload_and_close(
    world: &World,
    served: &mut Served,
    id: &lessor::domain::DeploymentId,
    document: &lessor::manifest::Compiled,
    lease: &lessor::domain::LeaseId,
) {
    let tenant = world.tenant(0);
    eventually("the manifest is taken", LIMIT, async || {
        served.check(world);
        try_upload(&tenant, lease, document).await.ok()
    })
    .await;
    eventually("it is ready", LIMIT, async || is_ready(world, id, document).await).await;
    let message = deployment::MsgCloseDeployment::new(id);
    tenant.send("the closing", vec![Any::pack(&message)]).await.unwrap();
}

async fn end_and_judge(
    world: &mut World,
    mut served: Served,
    ids: &[lessor::domain::DeploymentId],
) {
    eventually("everything is released", LIMIT, async || {
        served.check(world);
        is_released(world, ids).await
    })
    .await;
    let tip = world.tip().await;
    world.stop_relay_after(tip).await;
    served.ask_to_end();
    served.ends().await;
    judge(world).await;
}

#[tokio::test]
#[ignore = "half a minute: tests/run runs it as \"troubles of the host\""]
async fn a_request_to_end_lets_deliveries_under_way_become_durable() {
    const DELIVERIES: usize = 40;
    /// The gateway's own time to drain.
    const DRAIN: Duration = Duration::from_secs(8);
    let world = World::new("");
    let mut served = Served::up(&world).await;
    let mut deliveries = Vec::new();
    for number in 0..DELIVERIES {
        deliveries.push(ByHand::new(&world, &format!("under-way-{number}")).await);
    }
    // While the file is locked every delivery is under way.
    let locked = lock(&world).await;
    let mut begun = Vec::new();
    for delivery in &deliveries {
        begun.push(delivery.begin(&world).await);
    }
    let sending = futures_util::future::join_all(begun.into_iter().map(Begun::status));
    let ending = async {
        under_way(&world, DELIVERIES).await;
        served.ask_to_end();
        eventually("it takes no more", LIMIT, async || {
            let answer = status(&world, "/livez").await;
            (answer != Some(200)).then_some(())
        })
        .await;
        unlock(locked).await;
        served.ends().await
    };
    let (answers, took) = tokio::join!(sending, ending);
    assert!(took < DRAIN + Duration::from_secs(4), "{took:?}");
    let (kept, others) = sort(&deliveries, &answers);
    println!(
        "{} were answered that they are durable, {} not, ended in {took:?}",
        kept.len(),
        others.len()
    );
    assert!(!kept.is_empty(), "none that was under way was answered");

    let mut served = Served::up(&world).await;
    for delivery in kept {
        let again = delivery.send(&world).await.expect("an answer");
        assert_eq!(again.status, 200, "it is not known: {} {again:?}", delivery.id());
    }
    for delivery in others {
        let again = delivery.send(&world).await.expect("an answer");
        assert!((200..300).contains(&again.status), "{again:?}");
    }
    served.ask_to_end();
    served.ends().await;
}

/// Waits until the gateway has read so many requests.
async fn under_way(world: &World, connections: usize) {
    let port: u16 = world.url.rsplit(':').next().unwrap().parse().unwrap();
    let local = format!("0100007F:{port:04X}");
    eventually("deliveries are under way", LIMIT, async || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let open = table.lines().filter(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, here, _, state, queues, _, _, _, _, inode, ..] = fields[..] else {
                return false;
            };
            // Open, nothing of it unread, and taken out of the listener's backlog, where a connection has no inode.
            here == local && state == "01" && queues == "00000000:00000000" && inode != "0"
        });
        (open.count() >= connections).then_some(())
    })
    .await;
}

/// Those that were answered 2xx, and the others, which must not have been refused for good.
fn sort<'a>(
    deliveries: &'a [ByHand],
    answers: &[Option<u16>],
) -> (Vec<&'a ByHand>, Vec<&'a ByHand>) {
    let mut sorted = (Vec::new(), Vec::new());
    for (delivery, answer) in deliveries.iter().zip(answers) {
        match answer {
            Some(status) if *status < 300 => sorted.0.push(delivery),
            Some(status) => {
                assert_eq!(*status, 503);
                sorted.1.push(delivery);
            }
            None => sorted.1.push(delivery),
        }
    }
    sorted
}

/// A place with little room.
enum Disk {
    /// A file system in memory, as root can mount one: the error is the real one.
    Mounted(PathBuf),
    /// Files of the process may not grow, its log neither.
    Limited,
}

impl Disk {
    /// A file system of its own; `None` without the right to mount.
    fn mounted(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,mode=700", "lessor-crash"])
            .arg(at)
            .output()
            .unwrap();
        mounted.status.success().then(|| Self::Mounted(at.to_owned()))
    }

    /// A process that gets an error when a file may not grow, in place of a signal.
    fn command(&self, world: &World) -> Command {
        let serve = world.serve();
        if matches!(self, Self::Mounted(_)) {
            return serve;
        }
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
        command
            .arg(serve.get_program())
            .args(serve.get_args())
            .env_clear()
            .env("PATH", "/usr/bin:/bin");
        command
    }

    fn fill(&self, served: &Served) {
        match self {
            Self::Mounted(path) => {
                let mut ballast = std::fs::File::create(path.join("ballast")).unwrap();
                for size in [4096, 1] {
                    while ballast.write_all(&vec![0; size]).is_ok() {}
                }
            }
            Self::Limited => Self::limit(served, "1:"),
        }
    }

    fn free(&self, served: &Served) {
        match self {
            Self::Mounted(path) => std::fs::remove_file(path.join("ballast")).unwrap(),
            Self::Limited => Self::limit(served, "unlimited:"),
        }
    }

    fn limit(served: &Served, size: &str) {
        let done = Command::new("prlimit")
            .args(["--pid", &served.process.id().to_string(), &format!("--fsize={size}")])
            .status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Mounted(path) = self {
            // The folder goes next, and says so if this failed.
            let _ = Command::new("umount").arg("-l").arg(path).status();
        }
    }
}

#[tokio::test]
#[ignore = "half a minute: tests/run runs it as \"troubles of the host\""]
async fn a_full_disk_refuses_what_it_cannot_keep_and_goes_on_when_there_is_room() {
    let mut world = World::new("");
    let Some(disk) = Disk::mounted(&world.path("disk")) else {
        println!("without the right to mount a file system, files that may not grow stand for it");
        return;
    };
    world.move_store("disk/lessor.db");
    fill_and_free(world, disk).await;
}

#[tokio::test]
#[ignore = "half a minute: tests/run runs it as \"troubles of the host\""]
async fn files_that_may_not_grow_and_a_log_without_room_stop_no_answer() {
    fill_and_free(World::new(""), Disk::Limited).await;
}

async fn fill_and_free(mut world: World, disk: Disk) {
    let mut served = Served::start_as(&world, disk.command(&world));
    served.is_up(&world).await;
    world.start_relay();
    let tenant = world.tenant(0);
    let document = compile(&example("web.yaml"));
    let first = create(&tenant, 7, &document).await;
    let lease = take_bid(&tenant, &first).await;
    eventually("the manifest is taken", LIMIT, async || {
        try_upload(&tenant, &lease, &document).await.ok()
    })
    .await;
    eventually("it is ready", LIMIT, async || is_ready(&world, &first, &document).await).await;

    disk.fill(&served);
    let delivery = ByHand::new(&world, "by-hand").await;
    let refused = delivery.send(&world).await.expect("an answer");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.body["code"], "store_unavailable", "{refused:?}");
    let message = deployment::MsgCloseDeployment::new(&first);
    tenant.send("the closing", vec![Any::pack(&message)]).await.unwrap();
    let second = create(&tenant, 8, &document).await;
    world.relay_fails("answer 503").await;
    assert_eq!(status(&world, "/livez").await, Some(200));
    served.check(&world);

    disk.free(&served);
    let taken = delivery.send(&world).await.expect("an answer");
    assert!((200..300).contains(&taken.status), "{taken:?}");
    let lease = take_bid(&tenant, &second).await;
    upload_and_close(&world, &mut served, &second, &document, &lease).await;
    end_and_judge(&mut world, served, &[first, second]).await;
    drop(disk);
}
