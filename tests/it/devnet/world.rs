//! A running world and whoever signs in it.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use jiff::Timestamp;
use lessor::{
    devnet::{
        genesis::{CHAIN_ID, Genesis, test_key},
        node::Clock,
        server::{Running, Settings, StartError, start},
    },
    domain::{Address, Height},
    wire::{
        Query, base, cosmos, deployment,
        google::Any,
        key::{PublicKey, SecretKey},
        market,
        rpc::{
            Call, Response, ResponseError,
            answer::{AbciQuery, AbciResponse, BroadcastTx, Tx, TxResult},
        },
        tx::{Draft, Sequencing},
    },
};
use prost::Message as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const TENANT: u32 = 0;
pub(crate) const PROVIDER: u32 = 1;
pub(crate) const TENANT2: u32 = 3;
pub(crate) const PROVIDER2: u32 = 4;
pub(crate) const AUDITOR: u32 = 5;

/// The clock stands still: block time grows by a nanosecond a block, and by what tests make it jump.
pub(crate) fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub(crate) struct World {
    pub(crate) running: Running,
    pub(crate) folder: TempDir,
    pub(crate) http: reqwest::Client,
}

pub(crate) fn settings(folder: &TempDir) -> Settings {
    let clock: Clock = Arc::new(now);
    let hosts = [1, 4].map(|index| (index, "https://localhost:8443".to_owned()));
    Settings {
        data: folder.path().join("world"),
        listen: ([127, 0, 0, 1], 0).into(),
        // Blocks come when a test asks for them.
        interval: Duration::from_hours(1),
        genesis: Genesis::development(CHAIN_ID, now(), &hosts),
        clock,
        cluster: None,
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap()).await.unwrap()
    }

    pub(crate) async fn in_folder(folder: TempDir) -> Result<Self, StartError> {
        // Somebody else may have installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        let running = start(settings(&folder)).await?;
        Ok(Self { running, folder, http })
    }

    /// Stops and starts on the same folder.
    pub(crate) async fn restart(self) -> Self {
        self.running.shutdown().await;
        Self::in_folder(self.folder).await.unwrap()
    }

    pub(crate) async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ResponseError> {
        let request = self.http.post(self.running.rpc_url()).json(&call.to_json(1));
        let body = request.send().await.unwrap().bytes().await.unwrap();
        Response::<T>::decode(&body)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.running.rpc_url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// Asks the control surface for something; its status and its answer.
    pub(crate) async fn control(&self, path: &str, body: &Value) -> (u16, String) {
        let url = format!("{}/devnet/{path}", self.running.rpc_url());
        let answer = self.http.post(url).json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) async fn blocks(&self, count: u32) {
        let (status, answer) = self.control("blocks", &json!({ "count": count })).await;
        assert_eq!(status, 200, "{answer}");
    }

    pub(crate) async fn raw_query(&self, path: &str, data: Vec<u8>, height: u64) -> AbciResponse {
        let call = Call::AbciQuery { path: path.to_owned(), data, height: Height(height) };
        self.call::<AbciQuery>(&call).await.unwrap().response
    }

    /// The answer to a query, or code and log.
    pub(crate) async fn query<Q: Query>(&self, request: &Q) -> Result<Q::Response, (u32, String)> {
        let answer = self.raw_query(Q::PATH, request.encode_to_vec(), 0).await;
        if answer.code != 0 {
            return Err((answer.code, answer.log));
        }
        Ok(Q::Response::decode(answer.value.as_slice()).unwrap())
    }

    pub(crate) async fn account(&self, address: &Address) -> cosmos::BaseAccount {
        let request = cosmos::QueryAccountRequest { address: address.to_string() };
        self.query(&request).await.unwrap().account.unwrap().unpack().unwrap()
    }

    pub(crate) async fn balance(&self, address: &Address, denom: &str) -> u128 {
        let request =
            cosmos::QueryBalanceRequest { address: address.to_string(), denom: denom.to_owned() };
        self.query(&request).await.unwrap().balance.unwrap().amount.parse().unwrap()
    }

    pub(crate) async fn broadcast(&self, tx: Vec<u8>) -> BroadcastTx {
        self.call(&Call::BroadcastTxSync { tx }).await.unwrap()
    }

    /// Signs with the account's next sequence.
    pub(crate) async fn signed(&self, signer: u32, messages: Vec<Any>) -> Vec<u8> {
        let key = key(signer);
        let account = self.account(key.public_key().address()).await;
        sign(key, account.account_number, &draft(messages, account.sequence))
    }

    /// Carries messages out in a block of their own.
    pub(crate) async fn carry_out(&self, signer: u32, messages: Vec<Any>) -> TxResult {
        let tx = self.signed(signer, messages).await;
        let checked = self.broadcast(tx).await;
        assert_eq!(checked.code, 0, "{}", checked.log);
        self.blocks(1).await;
        let hash = lessor::wire::text::from_hex(&checked.hash).unwrap();
        self.call::<Tx>(&Call::Tx { hash }).await.unwrap().tx_result
    }

    /// Carries messages out, which must succeed; the types of the market's own events.
    pub(crate) async fn done(&self, signer: u32, messages: Vec<Any>) -> Vec<String> {
        let result = self.carry_out(signer, messages).await;
        assert_eq!(result.code, 0, "{}", result.log);
        let kinds = result.events.into_iter().map(|event| event.r#type);
        kinds.filter_map(|kind| kind.split_once("Event").map(|(_, name)| name.to_owned())).collect()
    }
}

/// The test key of an account. Derived once: in a build without optimisation that takes a tenth of a second.
pub(crate) fn key(index: u32) -> &'static SecretKey {
    static KEYS: LazyLock<Vec<SecretKey>> =
        LazyLock::new(|| (0..6).map(|index| test_key(index).unwrap()).collect());
    &KEYS[index as usize]
}

pub(crate) fn address(index: u32) -> Address {
    key(index).public_key().address().clone()
}

pub(crate) fn draft(messages: Vec<Any>, sequence: u64) -> Draft {
    Draft {
        messages,
        memo: String::new(),
        sequencing: Sequencing::Ordered { sequence, timeout: None },
        fee: vec!["10000uakt".parse().unwrap()],
        gas_limit: 1_000_000,
    }
}

pub(crate) fn sign(key: &SecretKey, number: u64, draft: &Draft) -> Vec<u8> {
    sign_for(key, key.public_key(), CHAIN_ID, number, draft)
}

pub(crate) fn sign_for(
    key: &SecretKey,
    named: &PublicKey,
    chain_id: &str,
    number: u64,
    draft: &Draft,
) -> Vec<u8> {
    let unsigned = draft.unsigned(named);
    let signature = key.sign(&unsigned.sign_doc(chain_id, number));
    unsigned.with_signature(&signature)
}

fn deposit(amount: u32, denom: &str) -> base::Deposit {
    base::Deposit {
        amount: cosmos::Coin { denom: denom.to_owned(), amount: amount.to_string() },
        sources: vec![base::Source::Balance as i32],
    }
}

/// A price of whole units on the wire.
pub(crate) fn price(units: u32, denom: &str) -> cosmos::DecCoin {
    let amount = if units == 0 { "0".to_owned() } else { format!("{units}000000000000000000") };
    cosmos::DecCoin { denom: denom.to_owned(), amount }
}

/// A group of one service for at most 30 uact.
pub(crate) fn group() -> deployment::GroupSpec {
    let value = |number: u64| base::ResourceValue { val: number.to_string().into_bytes() };
    let resources = base::Resources {
        id: 1,
        cpu: Some(base::Cpu { units: value(100), attributes: Vec::new() }),
        memory: Some(base::Memory { quantity: value(134_217_728), attributes: Vec::new() }),
        storage: vec![base::Storage {
            name: "default".to_owned(),
            quantity: value(536_870_912),
            attributes: Vec::new(),
        }],
        gpu: Some(base::Gpu { units: value(0), attributes: Vec::new() }),
        endpoints: vec![base::Endpoint { kind: 0, sequence_number: 0 }],
    };
    deployment::GroupSpec {
        name: "westcoast".to_owned(),
        requirements: base::PlacementRequirements::default(),
        resources: vec![deployment::ResourceUnit {
            resource: resources,
            count: 1,
            price: price(30, "uact"),
        }],
    }
}

pub(crate) fn create_deployment(
    owner: u32,
    dseq: u64,
    spec: deployment::GroupSpec,
) -> deployment::MsgCreateDeployment {
    deployment::MsgCreateDeployment {
        id: deployment::DeploymentId { owner: address(owner).to_string(), dseq },
        groups: vec![spec],
        hash: vec![7; 32],
        deposit: deposit(5_000_000, "uact"),
        reclamation: None,
    }
}

pub(crate) fn bid_id(owner: u32, dseq: u64, oseq: u32, provider: u32) -> market::BidId {
    market::BidId {
        owner: address(owner).to_string(),
        dseq,
        gseq: 1,
        oseq,
        provider: address(provider).to_string(),
        bseq: 0,
    }
}

pub(crate) fn lease_id(owner: u32, dseq: u64, oseq: u32, provider: u32) -> market::LeaseId {
    let market::BidId { owner, dseq, gseq, oseq, provider, bseq } =
        bid_id(owner, dseq, oseq, provider);
    market::LeaseId { owner, dseq, gseq, oseq, provider, bseq }
}

pub(crate) fn create_bid(id: market::BidId) -> market::MsgCreateBid {
    market::MsgCreateBid {
        id,
        price: price(10, "uact"),
        deposit: deposit(500_000, "uakt"),
        resources_offer: Vec::new(),
        reclamation_window: None,
    }
}

pub(crate) fn send(from: &Address, to: &Address, amount: u32) -> cosmos::MsgSend {
    cosmos::MsgSend {
        from_address: from.to_string(),
        to_address: to.to_string(),
        amount: vec![cosmos::Coin { denom: "uakt".to_owned(), amount: amount.to_string() }],
    }
}
