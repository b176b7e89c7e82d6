//! The gateway with everything behind it: the real router and store, and small stand-ins for chain and cluster.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use axum::{Router, body::Body};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use k256::ecdsa::{Signature, SigningKey, VerifyingKey, signature::Signer};
use lessor::{
    bidengine::{
        Check, Decision, Outcome, Policy, Prices, Rule, Stage, StageName, order::OrderPhase,
    },
    domain::{
        Address, Bid, BidState, CloseReason, Deployment, DeploymentState, Group, GroupState,
        Height, Lease, LeaseId, LeaseState, OrderId, Price, market::BlockTime,
    },
    event::{key::PrivateKey, key::SigningKey as WebhookKey, signature::StreamKey},
    gateway::{self, State, router},
    manifest::{Compiled, Dialect, compile},
    provider::{
        Parts, Provider,
        deployment::OrderRecord,
        lease::{LeaseRecord, Phase},
        port::{
            Clock, Commit, Committed, Entropy, FunnelStage, LeaseStatus, OrderRow, Reached,
            ServiceStatus, Store, Subject,
        },
        settings::{Settings, StreamSettings},
    },
    store::{self, Sqlite},
    telemetry::Metrics,
};
use ripemd::Ripemd160;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::backends::{FakeChain, FakeCluster};

pub(super) const CHAIN: &str = "lessor-devnet";
pub(super) const OPERATOR_TOKEN: &str = "operator-token-of-the-tests";
pub(super) const PROVIDER: &str = "akash1sdgu90m8yzlvafp56yr8ztlg06jp4eqmelnulg";
/// The dseq of every deployment in these tests.
pub(super) const DSEQ: u64 = 4005;

pub(super) const SDL: &str = r#"
version: "2.0"
services:
  db:
    image: redis:7
    expose:
      - port: 6379
        to: [{ service: web }]
  web:
    image: nginx:1
    expose:
      - port: 80
        as: 80
        accept: [app.example.com]
        to: [{ global: true }]
profiles:
  compute:
    small:
      resources: { cpu: { units: 0.5 }, memory: { size: 512Mi }, storage: { size: 1Gi } }
  placement:
    here:
      pricing: { small: { denom: uact, amount: 1000 } }
deployment:
  db: { here: { profile: small, count: 1 } }
  web: { here: { profile: small, count: 1 } }
"#;

/// A clock that stands until it is set.
pub(super) struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    pub(super) fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap() = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn bits(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Someone with a chain account.
pub(super) struct Tenant {
    pub(super) address: Address,
    key: SigningKey,
}

pub(super) fn address_of(key: &VerifyingKey) -> Address {
    let digest = Ripemd160::digest(Sha256::digest(key.to_sec1_point(true).as_bytes()));
    Address::from_bytes(&digest).unwrap()
}

impl Tenant {
    pub(super) fn new(seed: u8) -> Self {
        let key = SigningKey::from_slice(&[seed; 32]).unwrap();
        Self { address: address_of(key.verifying_key()), key }
    }

    pub(super) fn public_key(&self) -> Vec<u8> {
        self.key.verifying_key().to_sec1_point(true).as_bytes().to_vec()
    }

    /// A token that counts for an hour around the start of the tests.
    pub(super) fn token(&self, leases: &Value) -> String {
        let now = start().as_second();
        self.token_between(now - 1800, now + 1800, leases)
    }

    pub(super) fn token_between(&self, from: i64, until: i64, leases: &Value) -> String {
        let claims = json!({
            "iss": self.address, "iat": from, "nbf": from, "exp": until, "version": "v1",
            "leases": leases,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "ES256K", "typ": "JWT"})), part(&claims));
        let signature: Signature = self.key.sign(signed.as_bytes());
        let signature = signature.normalize_s();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    pub(super) fn full(&self) -> String {
        self.token(&json!({"access": "full"}))
    }

    pub(super) fn scoped(&self, scope: &[&str]) -> String {
        self.token(&json!({"access": "scoped", "scope": scope}))
    }

    pub(super) fn order(&self) -> OrderId {
        OrderId::new(self.address.clone(), DSEQ, 1, 1)
    }

    pub(super) fn lease(&self) -> LeaseId {
        self.order().lease(&PROVIDER.parse().unwrap())
    }

    /// `/v1/leases/owner/dseq/gseq/oseq` of this tenant.
    pub(super) fn lease_path(&self) -> String {
        format!("/v1/leases/{}", self.order())
    }
}

pub(super) fn start() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// What was answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of the problem, which must be a whole and consistent document.
    pub(super) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        let code = problem["code"].as_str().unwrap().to_owned();
        assert_eq!(problem["type"], format!("/problems/{code}"));
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["instance"], self.header("x-request-id"));
        assert!(!problem["title"].as_str().unwrap().is_empty());
        if self.status == StatusCode::UNAUTHORIZED {
            assert!(self.headers.contains_key("www-authenticate"), "{code}");
        }
        code
    }
}

pub(super) struct World {
    pub(super) router: Router,
    pub(super) state: State,
    pub(super) provider: Arc<Provider>,
    pub(super) chain: Arc<FakeChain>,
    pub(super) cluster: Arc<FakeCluster>,
    pub(super) store: Arc<Sqlite>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) alice: Tenant,
    pub(super) bob: Tenant,
    pub(super) indexer: WebhookKey,
    pub(super) compiled: Compiled,
    folder: tempfile::TempDir,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(Some(OPERATOR_TOKEN)).await
    }

    /// As [`World::new`], with room for so many waiting subjects.
    pub(super) async fn bounded(max_waiting: u32) -> Self {
        let settings = store::Settings { max_waiting, ..store::Settings::default() };
        Self::build(Some(OPERATOR_TOKEN), settings).await
    }

    pub(super) async fn with(admin_token: Option<&str>) -> Self {
        Self::build(admin_token, store::Settings::default()).await
    }

    async fn build(admin_token: Option<&str>, rows: store::Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lessor.db");
        store::migrate(&path).await.unwrap();
        let store = Arc::new(Sqlite::open(&path, rows).await.unwrap());
        let (chain, cluster) = (Arc::new(FakeChain::default()), Arc::new(FakeCluster::default()));
        let clock = Arc::new(ManualClock(Mutex::new(start())));
        let indexer = WebhookKey::Private(PrivateKey::from_seed(&[9; 32]));
        let provider = Arc::new(Provider::new(Parts {
            store: store.clone(),
            chain: chain.clone(),
            cluster: cluster.clone(),
            signer: None,
            indexer: None,
            clock: clock.clone(),
            entropy: Arc::new(Counting::default()),
            address: PROVIDER.parse().unwrap(),
            settings: settings(&indexer),
        }));
        let settings = gateway::Settings {
            admin_token: admin_token.map(Into::into),
            ..gateway::Settings::default()
        };
        let metrics = Arc::new(Metrics::default());
        let state = State::new(provider.clone(), settings, metrics, CancellationToken::new());
        let (alice, bob) = (Tenant::new(1), Tenant::new(2));
        for tenant in [&alice, &bob] {
            let key = Some(tenant.public_key());
            chain.keys.lock().unwrap().insert(tenant.address.clone(), key);
        }
        let compiled = compile(SDL, Dialect::Go).unwrap();
        Self {
            router: router::merged(&state),
            state,
            provider,
            chain,
            cluster,
            store,
            clock,
            alice,
            bob,
            indexer,
            compiled,
            folder,
        }
    }

    /// The rows themselves, for what no route tells.
    pub(super) async fn connection(&self) -> sqlx::SqlitePool {
        let path = self.folder.path().join("lessor.db");
        sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.unwrap()
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    /// The bytes of the store's file.
    pub(super) fn rows(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("lessor.db")).unwrap()
    }

    pub(super) async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.send(request("GET", path, token, Body::empty())).await
    }

    pub(super) async fn put(&self, path: &str, token: &str, media: &str, body: String) -> Answer {
        let mut request = request("PUT", path, Some(token), Body::from(body));
        request.headers_mut().insert(header::CONTENT_TYPE, media.parse().unwrap());
        self.send(request).await
    }

    /// Alice has a lease on chain for the deployment of [`SDL`].
    pub(super) fn lease_on_chain(&self) {
        self.lease_on_chain_of(Some(&self.alice.address));
    }

    /// Someone has such a lease.
    pub(super) fn lease_on_chain_of(&self, owner: Option<&Address>) {
        let Some(owner) = owner else { return };
        let lease = OrderId::new(owner.clone(), DSEQ, 1, 1).lease(&PROVIDER.parse().unwrap());
        let id = lease.deployment().clone();
        let groups = self.compiled.groups.iter().zip(1..).map(|(spec, gseq)| Group {
            id: id.group(gseq),
            state: GroupState::Open,
            spec: spec.clone(),
        });
        self.chain.deployments.lock().unwrap().push(Deployment {
            state: DeploymentState::Active,
            hash: hex(&self.compiled.hash),
            created_at: Height(900),
            groups: groups.collect(),
            funds: None,
            settled_at: Height(900),
            id,
        });
        self.chain.leases.lock().unwrap().push(chain_lease(lease));
    }

    /// The rows know Alice's lease: it runs, with both services, and there was a decision.
    pub(super) async fn lease_in_rows(&self) {
        let lease = self.alice.lease();
        let mut record = LeaseRecord::seen(&chain_lease(lease.clone()), Height(950), start(), None);
        let hash = hex(&self.compiled.hash);
        record.phase = Phase::Running { hash: hash.clone() };
        record.applied = Some(hash.clone());
        let status = LeaseStatus {
            manifest_hash: hash,
            services: vec![service("db", 1, &[]), service("web", 1, &["app.example.com"])],
            forwarded_ports: Vec::new(),
        };
        record.status = Some((start(), status.clone()));
        self.cluster.statuses.lock().unwrap().insert(lease.clone(), status);
        let order = OrderRecord {
            id: lease.order.clone(),
            phase: OrderPhase::Won,
            created_at: Some(Height(900)),
            group: Some("here".to_owned()),
            seen_at: start(),
            changed_at: start(),
            decided: None,
            bid: Some(Bid {
                id: lease.bid(),
                state: BidState::Active,
                price: price(),
                created_at: Height(910),
                reclamation_window_s: None,
            }),
            lease: Some(record),
            dead_creates: 0,
            dead_closes: 0,
            close_again_at: None,
            notices: 0,
        };
        let row = OrderRow {
            id: lease.order.clone(),
            phase: "won".to_owned(),
            bid: Some("active".to_owned()),
            lease: Some("active".to_owned()),
            reached: Reached { stage: FunnelStage::Deployed, held_by: None },
            seen_at: start(),
            changed_at: start(),
            body: serde_json::to_value(&order).unwrap(),
        };
        let commit = Commit {
            state: Some(json!({"orders": {}, "hash": null, "seen_at": 950})),
            orders: vec![row],
            decisions: vec![decision(&lease.order)],
            ..Commit::default()
        };
        self.commit(Subject::Deployment(lease.deployment().clone()), &commit).await;
    }

    pub(super) async fn commit(&self, subject: Subject, commit: &Commit) {
        let now = self.clock.now();
        self.store.wake(&[subject], None, now).await.unwrap();
        let until = now.saturating_add(SignedDuration::from_secs(60)).unwrap();
        let loaded = self.store.claim("test", now, until, 1).await.unwrap().remove(0);
        let committed = self.store.commit(&loaded.claim, now, commit).await.unwrap();
        assert_eq!(committed, Committed::Done);
    }
}

pub(super) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

pub(super) fn request(method: &str, path: &str, token: Option<&str>, body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(body).unwrap()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn price() -> Price {
    Price { denom: "uact".parse().unwrap(), amount: "2.30112".parse().unwrap() }
}

pub(super) fn service(name: &str, ready: u32, hostnames: &[&str]) -> ServiceStatus {
    ServiceStatus {
        name: name.to_owned(),
        ready,
        total: 1,
        updated: 1,
        generation: 1,
        hostnames: hostnames.iter().map(|name| (*name).to_owned()).collect(),
        reason: None,
    }
}

fn chain_lease(id: LeaseId) -> Lease {
    Lease {
        id,
        state: LeaseState::Active,
        price: price(),
        created_at: Height(920),
        closed_on: None,
        reason: CloseReason::Invalid,
        reclamation_window_s: None,
        reclaim_until: None,
    }
}

fn decision(order: &OrderId) -> Decision {
    let check = Check {
        name: Rule::OrderOpen,
        passed: true,
        needed: "an open order".to_owned(),
        there: "open".to_owned(),
    };
    Decision {
        order: order.clone(),
        at: BlockTime { height: Height(905), time: start() },
        policy_version: 1,
        outcome: Outcome::Bid { price: price() },
        stages: vec![Stage { name: StageName::Free, checks: vec![check] }],
        placement: None,
        shortage: None,
        price: None,
        order_price: Some(price()),
    }
}

fn settings(indexer: &WebhookKey) -> Settings {
    let stream = |strict, deleted| StreamSettings {
        keys: vec![StreamKey {
            name: "2026".to_owned(),
            key: indexer.verifying(),
            not_before: None,
            not_after: None,
        }],
        strict,
        deleted,
        deaf_after: SignedDuration::from_secs(90),
        reads_per_minute: 300,
        pull_url: None,
        backfill_after: SignedDuration::from_secs(10),
        tolerance: SignedDuration::from_secs(300),
        backfill_blocks: 600,
    };
    let streams = [
        ("main", stream(false, false)),
        ("strict", stream(true, false)),
        ("gone", stream(false, true)),
    ];
    Settings {
        keep: SignedDuration::from_hours(30 * 24),
        keep_audit: SignedDuration::from_hours(365 * 24),
        policy: Policy::default(),
        prices: Prices::default(),
        bid_timeout: None,
        manifest_timeout: None,
        failing_limit: None,
        transaction_ttl: SignedDuration::from_secs(60),
        messages_together: 10,
        fee_budget: None,
        withdraw_every: Some(SignedDuration::from_hours(24)),
        gas_price: Price { denom: "uakt".parse().unwrap(), amount: "0.025".parse().unwrap() },
        inventory_max_age: SignedDuration::from_secs(30),
        teardown_limit: None,
        quarantine: None,
        windows: Vec::new(),
        registration_max_age: SignedDuration::from_secs(30),
        reconcile_every: SignedDuration::from_secs(300),
        claim_ttl: SignedDuration::from_secs(60),
        static_hosts: false,
        static_hosts_domain: "provider.localhost".to_owned(),
        blocked_hostnames: vec![".blocked.example.com".to_owned()],
        public_hostname: "provider.localhost".to_owned(),
        streams: streams.into_iter().map(|(name, stream)| (name.to_owned(), stream)).collect(),
    }
}
