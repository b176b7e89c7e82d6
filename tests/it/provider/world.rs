//! The whole world of a provider in one process: chain, cluster, clock, tenants, and any number of workers over one store.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::{SignedDuration, Timestamp};
use lessor::{
    bidengine::{Policy, Prices},
    chain::AccountKey,
    domain::{
        Address, Coin, Denom, DeploymentId, GroupSpec, Height, LeaseId, OrderId, Price, inventory,
    },
    event::envelope::{BlockEvent, CloudEvent, Payload},
    manifest::Manifest,
    provider::{
        Parts, Provider, Settings,
        port::{
            AuditLine, Clock, Delivery, Entropy, Indexer, Ingested, Maintenance, OrderRow,
            Reservation, Signer, Store as _,
        },
        settings::StreamSettings,
        step::{Budget, Pass},
        submit::{SubmitError, Submitted},
    },
    store::{self, Sqlite},
    wire::{deployment, google::Any, market},
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{
    document::{group, manifest},
    fault::{Gate, Rates},
    ground::{Ground, Window},
    market::{Market, address, key},
    node::Node,
};

/// The stream that the tests deliver on.
pub(super) const STREAM: &str = "main";
/// Between blocks, unless the test says otherwise.
pub(super) const BLOCK: SignedDuration = SignedDuration::from_secs(6);
/// More steps than one pass may ever need here: a pass that reaches it turns in circles.
const MANY: u32 = 3_000;

pub(super) struct Manual(Mutex<Timestamp>);

impl Clock for Manual {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// The same bits for the same seed.
pub(super) struct Seeded {
    seed: u64,
    drawn: AtomicU64,
}

impl Entropy for Seeded {
    fn bits(&self) -> u64 {
        let drawn = self.drawn.fetch_add(1, Ordering::SeqCst);
        let mut hasher = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(&(self.seed, "entropy", drawn), &mut hasher);
        std::hash::Hasher::finish(&hasher)
    }
}

/// See the module.
pub(super) struct World {
    pub(super) market: Arc<Mutex<Market>>,
    pub(super) ground: Arc<Mutex<Ground>>,
    pub(super) clock: Arc<Manual>,
    entropy: Arc<Seeded>,
    pub(super) settings: Settings,
    pub(super) manifests: BTreeMap<DeploymentId, Manifest>,
    folder: TempDir,
    file: PathBuf,
    pub(super) reader: Sqlite,
    next_dseq: u64,
    /// What a tenant puts into escrow.
    pub(super) deposit: u128,
    /// What stands between the next worker and the node that gives blocks again.
    pub(super) indexer: Option<Around>,
}

/// Puts something between a worker and the node that gives blocks again.
pub(super) type Around = fn(Arc<dyn Indexer>) -> Arc<dyn Indexer>;

/// One process of the provider.
pub(super) struct Worker {
    pub(super) provider: Arc<Provider>,
    pub(super) gate: Arc<Gate>,
    clock: Arc<Manual>,
}

pub(super) fn provider() -> Address {
    address("provider")
}

fn settings() -> Settings {
    let stream = StreamSettings {
        keys: Vec::new(),
        strict: false,
        deleted: false,
        deaf_after: SignedDuration::from_secs(60),
        reads_per_minute: 300,
        pull_url: None,
        backfill_after: SignedDuration::from_secs(10),
        tolerance: SignedDuration::from_secs(300),
        backfill_blocks: 600,
    };
    Settings {
        policy: Policy::default(),
        prices: Prices::default(),
        bid_timeout: Some(SignedDuration::from_secs(300)),
        manifest_timeout: Some(SignedDuration::from_secs(300)),
        failing_limit: None,
        transaction_ttl: SignedDuration::from_secs(60),
        messages_together: 10,
        fee_budget: None,
        withdraw_every: Some(SignedDuration::from_hours(24)),
        gas_price: Price { denom: Denom::uakt(), amount: "0.025".parse().unwrap() },
        inventory_max_age: SignedDuration::from_secs(10),
        teardown_limit: None,
        quarantine: None,
        windows: Vec::new(),
        registration_max_age: SignedDuration::from_secs(60),
        reconcile_every: SignedDuration::from_secs(120),
        claim_ttl: SignedDuration::from_secs(30),
        static_hosts: true,
        static_hosts_domain: "ingress.test".to_owned(),
        blocked_hostnames: Vec::new(),
        public_hostname: "provider.test".to_owned(),
        keep: SignedDuration::from_hours(30 * 24),
        keep_audit: SignedDuration::from_hours(365 * 24),
        streams: BTreeMap::from([(STREAM.to_owned(), stream)]),
    }
}

/// Frames that end a commit, by SQLite's write-ahead log format: 32 bytes of header, then frames of 24 bytes and a page,
/// whose second number is not zero at a commit and whose salts are the header's while the frame counts.
fn commits_in(log: &[u8]) -> usize {
    let number =
        |at: usize| log.get(at..at + 4).map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
    let page = number(8).unwrap() as usize;
    let frames = (32..log.len()).step_by(24 + page);
    frames
        .filter(|at| log.get(at + 8..at + 16) == log.get(16..24))
        .filter(|at| number(at + 4).is_some_and(|size| size != 0))
        .count()
}

/// A folder for a store; in memory where there is such a place, since each commit waits for the disk.
fn folder() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap()
}

impl World {
    /// A cluster of these machines, and a chain at height 1.
    pub(super) async fn new(seed: u64, nodes: Vec<inventory::Node>) -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let folder = folder();
        let file = folder.path().join("lessor-0.db");
        let reader = open(&file).await;
        Self {
            market: Arc::new(Mutex::new(Market::new(start, seed))),
            ground: Arc::new(Mutex::new(Ground::new(nodes, seed))),
            clock: Arc::new(Manual(Mutex::new(start))),
            entropy: Arc::new(Seeded { seed, drawn: AtomicU64::new(0) }),
            settings: settings(),
            manifests: BTreeMap::new(),
            folder,
            file,
            reader,
            next_dseq: 1,
            deposit: 50_000_000,
            indexer: None,
        }
    }

    /// Puts an empty store in place of the old one.
    pub(super) async fn lose_the_rows(&mut self) {
        self.file = self.folder.path().join(format!("lessor-{}.db", self.entropy.bits()));
        self.reader = open(&self.file).await;
    }

    /// A count of the commits in the store's log, as long as nothing folds the log into the file.
    pub(super) fn commits(&self) -> impl Fn() -> usize + Send + 'static {
        let log = PathBuf::from(format!("{}-wal", self.file.display()));
        move || commits_in(&std::fs::read(&log).unwrap())
    }

    /// A backup of the rows as they are now, while processes work on them.
    pub(super) async fn back_up(&self) -> PathBuf {
        let target = self.folder.path().join(format!("backup-{}", self.entropy.bits()));
        store::backup::backup(&self.file, &target).await.unwrap();
        target
    }

    /// Puts a backup in the place of the rows, and lets bids go on.
    pub(super) async fn put_back(&mut self, backup: &std::path::Path) {
        self.put_back_paused(backup).await;
        let line = AuditLine {
            at: self.clock.now(),
            actor: "operator".to_owned(),
            action: "maintenance".to_owned(),
            subject: "provider".to_owned(),
            reason: "bidding".to_owned(),
        };
        let bidding = Maintenance::default();
        self.reader.set_maintenance(&bidding, &line, &[], self.clock.now()).await.unwrap();
    }

    /// Puts a backup in the place of the rows.
    pub(super) async fn put_back_paused(&mut self, backup: &std::path::Path) {
        self.file = self.folder.path().join(format!("lessor-{}.db", self.entropy.bits()));
        let settings = store_settings(self.folder.path());
        store::backup::restore(backup, &self.file, &settings, false, self.clock.now())
            .await
            .unwrap();
        self.reader = open(&self.file).await;
    }

    /// Starts a process over the store.
    pub(super) async fn worker(&self) -> Worker {
        self.worker_with(Some(Arc::new(AccountKey::from(key("provider"))))).await
    }

    /// Starts a process that may not sign, over the same store.
    pub(super) async fn worker_without_key(&self) -> Worker {
        self.worker_with(None).await
    }

    pub(super) async fn worker_with(&self, signer: Option<Arc<dyn Signer>>) -> Worker {
        let gate = Arc::new(Gate::default());
        let node = Arc::new(Node::new(self.market.clone(), gate.clone()));
        let settings = store_settings(self.folder.path());
        let store = Sqlite::open(&self.file, store::Settings { readers: 2, ..settings });
        let provider = Provider::new(Parts {
            store: Arc::new(store.await.unwrap()),
            chain: node.clone(),
            cluster: Arc::new(Window::new(self.ground.clone(), self.market.clone(), gate.clone())),
            signer,
            indexer: Some(match self.indexer {
                Some(around) => around(node),
                None => node,
            }),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            address: provider(),
            settings: self.settings.clone(),
        });
        Worker { provider: Arc::new(provider), gate, clock: self.clock.clone() }
    }

    pub(super) fn market(&self) -> MutexGuard<'_, Market> {
        self.market.lock().unwrap()
    }

    pub(super) fn ground(&self) -> MutexGuard<'_, Ground> {
        self.ground.lock().unwrap()
    }

    pub(super) fn set_faults(&self, rates: Rates) {
        self.market().faults.rates = rates;
        self.ground().faults.rates = rates;
    }

    // ------------------------------------------------------------------------------------------------------- time

    /// The host's clock goes on; the chain does not.
    pub(super) fn wait(&self, time: SignedDuration) {
        let mut now = self.clock.0.lock().unwrap();
        *now = now.checked_add(time).unwrap();
    }

    /// A block after so much time, which the host's clock sees too.
    pub(super) fn block_after(&self, time: SignedDuration) -> Height {
        self.wait(time);
        self.market().block(time)
    }

    pub(super) fn block(&self) -> Height {
        self.block_after(BLOCK)
    }

    /// Empty blocks up to this height, of which no process hears until it looks.
    pub(super) fn pass_blocks_to(&self, height: u64) {
        while self.market().ledger.height() < height {
            self.market().block(SignedDuration::from_millis(1));
        }
    }

    /// The chain as a test looks at it.
    pub(super) fn node(&self) -> Node {
        Node::new(self.market.clone(), Arc::new(Gate::default()))
    }

    /// Blocks and steps until nothing changes any more for a while: `rounds` blocks.
    pub(super) async fn go_on(&self, worker: &Worker, rounds: u32) {
        for _ in 0..rounds {
            self.block();
            worker.step().await;
        }
    }

    // ----------------------------------------------------------------------------------------------------- tenants

    /// Asks for `count` replicas with so many thousandths of a core each. The order is there with the next block.
    pub(super) fn ask(&mut self, who: &str, cpu_milli: u64, count: u32) -> OrderId {
        self.ask_for(who, cpu_milli, count, None)
    }

    /// As [`World::ask`], for a lease that ends only after a notice of so many seconds.
    pub(super) fn ask_with_notice(&mut self, who: &str, cpu_milli: u64, notice_s: u64) -> OrderId {
        self.ask_for(who, cpu_milli, 1, Some(notice_s))
    }

    /// As [`World::ask`], with so many groups alike. Their orders are numbered from 1.
    pub(super) fn ask_groups(&mut self, who: &str, cpu_milli: u64, groups: usize) -> DeploymentId {
        let order = self.ask_with(who, cpu_milli, 1, None, groups);
        order.deployment().clone()
    }

    fn ask_for(&mut self, who: &str, cpu_milli: u64, count: u32, notice_s: Option<u64>) -> OrderId {
        self.ask_with(who, cpu_milli, count, notice_s, 1)
    }

    fn ask_with(
        &mut self,
        who: &str,
        cpu_milli: u64,
        count: u32,
        notice_s: Option<u64>,
        groups: usize,
    ) -> OrderId {
        let id = DeploymentId::new(address(who), self.next_dseq);
        self.next_dseq += 1;
        let manifest = manifest(cpu_milli, count, 1);
        let groups: Vec<GroupSpec> = (1..=groups)
            .map(|number| {
                let name = if number == 1 { "akash".to_owned() } else { format!("akash-{number}") };
                GroupSpec { name, ..group(cpu_milli, count) }
            })
            .collect();
        let deposit = Coin { denom: Denom::uact(), amount: self.deposit };
        let message = deployment::MsgCreateDeployment::new(
            &id,
            &groups,
            &manifest.hash(),
            &deposit,
            notice_s,
        );
        self.market().send(who, vec![Any::pack(&message)]);
        self.manifests.insert(id.clone(), manifest);
        id.group(1).order(1)
    }

    /// A message of the owner, in the next block.
    pub(super) fn owner_sends<M: prost::Name>(&self, owner: &Address, message: &M) -> String {
        let who = if *owner == address("tenant") { "tenant" } else { "tenant2" };
        self.market().send(who, vec![Any::pack(message)])
    }

    /// The tenant takes `bidder`'s bid.
    pub(super) fn take(&self, order: &OrderId, bidder: &str) -> LeaseId {
        let bid = order.bid(&address(bidder));
        self.owner_sends(order.owner(), &market::MsgCreateLease::new(&bid));
        bid.lease()
    }

    pub(super) fn close(&self, id: &DeploymentId) {
        self.owner_sends(&id.owner, &deployment::MsgCloseDeployment::new(id));
    }

    /// The owner announces another version of the manifest.
    pub(super) fn update(&mut self, id: &DeploymentId, cpu_milli: u64, count: u32, version: u32) {
        self.announce(id, manifest(cpu_milli, count, version));
    }

    /// The owner announces another manifest.
    pub(super) fn announce(&mut self, id: &DeploymentId, manifest: Manifest) {
        self.owner_sends(&id.owner, &deployment::MsgUpdateDeployment::new(id, &manifest.hash()));
        self.manifests.insert(id.clone(), manifest);
    }

    /// Another provider bids less than we do.
    pub(super) fn rival_bids(&self, order: &OrderId) {
        let spec = {
            let market = self.market();
            let orders = market.orders(None);
            orders.into_iter().find(|found| found.id == *order).unwrap().spec
        };
        let message = market::MsgCreateBid::new(
            &order.bid(&address("provider2")),
            &Price { denom: Denom::uact(), amount: "0.5".parse().unwrap() },
            &Coin { denom: Denom::uact(), amount: 500_000 },
            &spec.units,
            None,
        );
        self.market().send("provider2", vec![Any::pack(&message)]);
    }

    /// The owner uploads the newest manifest.
    pub(super) async fn upload(
        &self,
        worker: &Worker,
        id: &DeploymentId,
    ) -> Result<Submitted, SubmitError> {
        worker.provider.submit_manifest(&id.owner, id.dseq, &self.manifests[id]).await
    }

    // ----------------------------------------------------------------------------------------------------- deliveries

    /// Delivers blocks as they are given.
    pub(super) async fn deliver(
        &self,
        worker: &Worker,
        id: &str,
        blocks: &[BlockEvent],
    ) -> Ingested {
        let events: Vec<CloudEvent> = blocks.iter().cloned().map(event).collect();
        let body = serde_json::to_vec(&events).unwrap();
        let delivery = Delivery {
            stream: STREAM.to_owned(),
            id: id.to_owned(),
            digest: Sha256::digest(&body).into(),
            received_at: self.clock.now(),
            origin: "webhook",
        };
        worker.provider.ingest(delivery, events, Some("2026")).await.unwrap()
    }

    /// Delivers the newest block with events.
    pub(super) async fn deliver_newest(&self, worker: &Worker) {
        let newest = self.market().sent.last().unwrap().clone();
        self.deliver(worker, &format!("block-{}", newest.at.height), &[newest]).await;
    }

    /// A block, its delivery, and what follows from it until nothing is due.
    pub(super) async fn tell(&self, worker: &Worker) {
        self.block();
        self.deliver_newest(worker).await;
        worker.step().await;
    }

    /// An order that we bid on, open on chain and known to be.
    pub(super) async fn order_with_bid(&mut self, worker: &Worker, cpu_milli: u64) -> OrderId {
        let order = self.ask("tenant", cpu_milli, 1);
        self.tell(worker).await;
        self.tell(worker).await;
        assert_eq!(self.row(&order).await.unwrap().phase, "open");
        order
    }

    /// A lease of ours, known to be.
    pub(super) async fn lease(&mut self, worker: &Worker, cpu_milli: u64) -> LeaseId {
        let order = self.order_with_bid(worker, cpu_milli).await;
        let lease = self.take(&order, "provider");
        self.tell(worker).await;
        assert_eq!(self.row(&order).await.unwrap().phase, "won");
        lease
    }

    // ---------------------------------------------------------------------------------------------------------- rows

    pub(super) async fn row(&self, order: &OrderId) -> Option<OrderRow> {
        self.reader.order(order).await.unwrap()
    }

    pub(super) async fn reserved(&self) -> Vec<Reservation> {
        self.reader.reservations().await.unwrap().held
    }

    pub(super) async fn is_reserved(&self, order: &OrderId) -> bool {
        self.reserved().await.iter().any(|held| held.order == *order)
    }

    /// Thousandths of cores that are promised.
    pub(super) async fn promised_cores(&self) -> u64 {
        self.reserved()
            .await
            .iter()
            .flat_map(|held| &held.placement.assignments)
            .map(|assignment| assignment.needs.cpu_milli)
            .sum()
    }

    /// The word for where our lease of an order stands.
    pub(super) async fn lease_phase(&self, order: &OrderId) -> Option<String> {
        let row = self.row(order).await?;
        row.body.pointer("/lease/phase/phase")?.as_str().map(str::to_owned)
    }

    /// Effects that are neither done nor given up.
    pub(super) async fn unfinished_effects(&self) -> Vec<String> {
        const UNFINISHED: &str = "SELECT key FROM effects WHERE state IN ('wanted', 'begun')";
        sqlx::query_scalar(UNFINISHED).fetch_all(&self.rows().await).await.unwrap()
    }

    /// What became of the effects about an order, for a failure's text.
    pub(super) async fn effects_about(&self, order: &OrderId) -> String {
        type Row = (String, String, Option<String>, Option<String>);
        const ABOUT: &str =
            "SELECT key, state, outcome, last_error FROM effects WHERE instr(key, $1)";
        let rows: Vec<Row> = sqlx::query_as(ABOUT)
            .bind(order.to_string())
            .fetch_all(&self.rows().await)
            .await
            .unwrap();
        format!("{rows:#?}")
    }

    /// Every hostname that is held, and by whom.
    pub(super) async fn hostnames(&self) -> Vec<(String, LeaseId)> {
        let held: Vec<(String, String)> = sqlx::query_as("SELECT hostname, lease FROM hostnames")
            .fetch_all(&self.rows().await)
            .await
            .unwrap();
        held.into_iter().map(|(hostname, lease)| (hostname, lease.parse().unwrap())).collect()
    }

    /// The rows themselves, for what the port does not tell.
    async fn rows(&self) -> sqlx::SqlitePool {
        sqlx::SqlitePool::connect(&format!("sqlite:{}", self.file.display())).await.unwrap()
    }

    /// What must never happen and did.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut found = self.market().violations.clone();
        found.extend(self.ground().violations.clone());
        found
    }
}

impl Worker {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Does what is due. `None` when the process died over it.
    pub(super) async fn step(&self) -> Option<Pass> {
        let budget = Budget { steps: MANY, until: Timestamp::MAX };
        tokio::select! {
            biased;
            () = self.gate.died.notified() => None,
            pass = self.provider.step(budget) => {
                let pass = pass.unwrap();
                assert!(pass.idle, "a pass turns in circles: {pass:?} at {}", self.clock.now());
                Some(pass)
            }
        }
    }
}

async fn open(file: &std::path::Path) -> Sqlite {
    store::migrate(file).await.unwrap();
    let settings = store_settings(file.parent().unwrap());
    Sqlite::open(file, store::Settings { readers: 1, ..settings }).await.unwrap()
}

/// All stores of a world have one key file: a backup is put back under another name.
fn store_settings(folder: &std::path::Path) -> store::Settings {
    store::Settings {
        keys: Some(store::seal::SealKeys::File(folder.join("seal.key"))),
        ..Default::default()
    }
}

fn event(block: BlockEvent) -> CloudEvent {
    CloudEvent {
        id: format!("{}:{}", block.chain_id, block.at.height),
        source: "urn:test:indexer".to_owned(),
        subject: None,
        time: None,
        sequence: None,
        partition_key: None,
        payload: Payload::Block(block),
    }
}
