//! The remote signer: its policy, its record, and both sides of its socket.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use lessor::{
    chain::signer::{
        Allowed, Answer, Guard, MAX_LINE, Policy, Record, RecordError, Refused, Remote, ServeError,
        bind, serve,
    },
    cmd::host,
    devnet::genesis::test_key,
    domain::{Address, BidId, CloseReason, Coin, OrderId, Price, Provider},
    provider::port::Signer,
    wire::{
        cosmos::{MsgSend, SignDoc},
        google::Any,
        key::SecretKey,
        market::{MsgCloseBid, MsgCreateBid},
        provider::MsgCreateProvider,
        tx::{Draft, Sequencing},
    },
};
use prost::Message;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

const CHAIN: &str = "lessor-devnet-1";

fn key() -> SecretKey {
    test_key(1).unwrap()
}

fn now() -> Timestamp {
    "2026-11-01T12:00:00Z".parse().unwrap()
}

fn coin(text: &str) -> Coin {
    text.parse().unwrap()
}

fn policy() -> Policy {
    Policy {
        chain_id: CHAIN.to_owned(),
        allow: [Allowed::CreateBid, Allowed::CloseBid].into(),
        max_fee: vec![coin("5000uakt")],
        per_minute: 3,
        per_day: vec![coin("20000uakt"), coin("1200000uact")],
    }
}

fn bid(provider: &Address, dseq: u64) -> BidId {
    let owner = test_key(0).unwrap().public_key().address().clone();
    OrderId::new(owner, dseq, 1, 1).bid(provider)
}

fn create_bid(provider: &Address, dseq: u64, deposit: &str) -> Any {
    let price = Price { denom: "uact".parse().unwrap(), amount: "1".parse().unwrap() };
    Any::pack(&MsgCreateBid::new(&bid(provider, dseq), &price, &coin(deposit), &[], None))
}

fn close_bid(provider: &Address, dseq: u64) -> Any {
    Any::pack(&MsgCloseBid::new(&bid(provider, dseq), CloseReason::Decommission))
}

/// A sign doc as lessor makes it, of `key`'s account.
fn document(key: &SecretKey, messages: Vec<Any>, fee: &str, chain: &str) -> Vec<u8> {
    let draft = Draft {
        messages,
        memo: String::new(),
        sequencing: Sequencing::Unordered { timeout: now() },
        fee: vec![coin(fee)],
        gas_limit: 200_000,
    };
    draft.unsigned(key.public_key()).sign_doc(chain, 7)
}

fn judged(document: &[u8]) -> Result<Vec<Coin>, &'static str> {
    let judged = policy().judge(key().public_key(), document);
    judged.map(|judged| judged.spend).map_err(|refused| refused.code())
}

#[test]
fn only_what_is_allowed_to_this_account_on_this_chain_is_signed() {
    let (key, other) = (key(), test_key(4).unwrap());
    let own = key.public_key().address();
    let strange = other.public_key().address();
    let good = document(
        &key,
        vec![create_bid(own, 1, "500000uact"), close_bid(own, 2)],
        "4000uakt",
        CHAIN,
    );
    assert_eq!(judged(&good), Ok(vec![coin("4000uakt"), coin("500000uact")]));

    let send = MsgSend {
        from_address: own.to_string(),
        to_address: strange.to_string(),
        amount: Vec::new(),
    };
    let record = Provider {
        owner: own.clone(),
        host_uri: "https://a.example".to_owned(),
        attributes: Vec::new(),
        email: String::new(),
        website: String::new(),
    };
    let register = Any::pack(&MsgCreateProvider::new(&record));
    for (case, document, expected) in [
        ("a transfer", document(&key, vec![Any::pack(&send)], "1uakt", CHAIN), "message"),
        ("not on the list", document(&key, vec![register], "1uakt", CHAIN), "message"),
        ("another chain", document(&key, vec![close_bid(own, 1)], "1uakt", "akashnet-2"), "chain"),
        ("another's bid", document(&key, vec![close_bid(strange, 1)], "1uakt", CHAIN), "signer"),
        ("another's key", document(&other, vec![close_bid(own, 1)], "1uakt", CHAIN), "signer"),
        ("a high fee", document(&key, vec![close_bid(own, 1)], "5001uakt", CHAIN), "fee"),
        ("a fee in another denom", document(&key, vec![close_bid(own, 1)], "1uact", CHAIN), "fee"),
        ("nothing", document(&key, Vec::new(), "1uakt", CHAIN), "malformed"),
        ("no sign doc", b"hunter2".to_vec(), "malformed"),
        (
            "hidden among good ones",
            document(&key, vec![close_bid(own, 1), Any::pack(&send)], "1uakt", CHAIN),
            "message",
        ),
    ] {
        assert_eq!(judged(&document), Err(expected), "{case}");
    }
}

#[test]
fn a_field_that_is_not_understood_is_never_signed() {
    let key = key();
    let message = close_bid(key.public_key().address(), 1);
    let good = document(&key, vec![message.clone()], "1uakt", CHAIN);
    assert!(judged(&good).is_ok());
    // Field 15, a varint: in the message, in the body, in the auth info, in the sign doc itself.
    let unknown = [0x78, 0x01];
    let mut inner = message;
    inner.value.extend(unknown);
    let mut body = SignDoc::decode(good.as_slice()).unwrap();
    body.body_bytes.extend(unknown);
    let mut auth = SignDoc::decode(good.as_slice()).unwrap();
    auth.auth_info_bytes.extend(unknown);
    for document in [
        document(&key, vec![inner], "1uakt", CHAIN),
        body.encode_to_vec(),
        auth.encode_to_vec(),
        [good.as_slice(), &unknown].concat(),
    ] {
        assert_eq!(judged(&document), Err("malformed"));
    }
}

#[test]
fn rate_and_spend_are_counted_and_a_restart_forgets_neither() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("signed");
    let spend = |amount: &str| vec![coin(amount)];
    let policy = policy();
    let later = |seconds: i64| now() + SignedDuration::from_secs(seconds);
    let mut record = Record::open(&path, now()).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(Record::open(&path, now()), Err(RecordError::Taken { .. })));
    for (at, doc) in [(0, b"a"), (1, b"b"), (2, b"c")] {
        record.count(&policy, doc, &spend("300000uact"), later(at)).unwrap();
    }
    let rate = Refused::Rate { allowed: 3 };
    assert_eq!(record.count(&policy, b"d", &[], later(59)), Err(rate.clone()));
    // The same document once more costs nothing, whatever was signed meanwhile.
    record.count(&policy, b"a", &spend("300000uact"), later(59)).unwrap();

    drop(record);
    let mut record = Record::open(&path, later(59)).unwrap();
    assert_eq!(record.count(&policy, b"d", &[], later(59)), Err(rate));
    record.count(&policy, b"d", &spend("300000uact"), later(61)).unwrap();
    let refused = record.count(&policy, b"e", &spend("1uact"), later(7_200)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "1200000uact left in the last 24 hours, 1uact more would be above the cap, 1200000uact"
    );
    assert_eq!(
        record.count(&policy, b"e", &spend("1uusd"), later(7_200)).unwrap_err().code(),
        "spend"
    );
    drop(record);
    let mut record = Record::open(&path, later(7_200)).unwrap();
    assert_eq!(
        record.count(&policy, b"e", &spend("1uact"), later(7_200)).unwrap_err().code(),
        "spend"
    );
    // A day after the first ones, what they spent may be spent again.
    record.count(&policy, b"e", &spend("900000uact"), later(86_403)).unwrap();
    assert_eq!(
        record.count(&policy, b"f", &spend("1uact"), later(86_404)).unwrap_err().code(),
        "spend"
    );
}

#[test]
fn a_torn_line_of_the_record_is_dropped_and_a_foreign_one_is_not_accepted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("signed");
    let mut record = Record::open(&path, now()).unwrap();
    record.count(&policy(), b"a", &[coin("1200000uact")], now()).unwrap();
    drop(record);
    let append = |text: &str| {
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    };
    append("{\"at\":\"2026-11-01T12:0");
    let mut record = Record::open(&path, now()).unwrap();
    let refused = record.count(&policy(), b"b", &[coin("1uact")], now()).unwrap_err();
    assert_eq!(refused.code(), "spend");
    drop(record);
    append("rm -rf\n");
    let error = Record::open(&path, now()).unwrap_err();
    assert!(matches!(error, RecordError::Line { line: 2, .. }), "{error}");
    assert!(!error.to_string().contains("rm -rf"), "{error}");
}

/// A signer that serves in this process.
struct Served {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    async fn start(folder: &Path) -> Self {
        let record = Record::open(&folder.join("signed"), host::now()).unwrap();
        let listener = bind(&folder.join("socket")).await.unwrap();
        let guard = Guard { key: key(), policy: policy(), record: record.into(), now: host::now };
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, Arc::new(guard), stop.clone()));
        Self { stop, task }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn asked(socket: &Path, line: &[u8]) -> Option<Answer> {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    // The other side may hang up before it has read everything.
    let _ = stream.write_all(line).await;
    let mut answer = String::new();
    let read = BufReader::new(stream).read_line(&mut answer).await;
    read.ok().filter(|count| *count > 0).map(|_| serde_json::from_str(&answer).unwrap())
}

#[tokio::test]
async fn a_signature_over_the_socket_is_the_key_s_own() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("socket");
    let served = Served::start(folder.path()).await;
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");

    let remote = Remote::connect(&socket).await.unwrap();
    assert_eq!((remote.address(), remote.chain_id()), (key().public_key().address(), Some(CHAIN)));
    let document = document(&key(), vec![close_bid(remote.address(), 1)], "10uakt", CHAIN);
    assert_eq!(remote.sign(&document).await.unwrap(), key().sign(&document));
    let refused = remote.sign(b"hunter2").await.unwrap_err();
    assert!(refused.is_final, "nothing makes this a sign doc");
    let refused = refused.to_string();
    assert!(refused.contains("the signer refused (malformed)"), "{refused}");
    assert_eq!(remote.trouble(), None, "a signer that refuses is there");

    for line in [&b"{\"ask\":\"key\"}\n"[..], b"hunter2\n", b"{\"ask\":\"sign\",\"sign_doc\":7}\n"]
    {
        match asked(&socket, line).await.unwrap() {
            Answer::Refused { refused, detail } => {
                assert!(["question", "malformed"].contains(&refused.as_str()), "{refused}");
                assert!(!detail.contains("hunter2"), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(asked(&socket, &vec![b'x'; MAX_LINE + 1]).await, None, "too long a line ends it");
    assert!(matches!(bind(&socket).await, Err(ServeError::Taken { .. })));
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    assert!(matches!(bind(&plain).await, Err(ServeError::NoSocket { .. })));
    served.end().await;
}

#[tokio::test]
async fn a_signer_that_is_away_is_named_until_it_is_back() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("socket");
    assert!(Remote::connect(&socket).await.unwrap_err().to_string().contains("socket"));
    let remote = Remote::awaited(&socket, key().public_key().clone());
    assert!(remote.trouble().unwrap().contains("away"));
    let document = document(&key(), vec![close_bid(remote.address(), 1)], "10uakt", CHAIN);
    assert!(remote.sign(&document).await.is_err());

    let served = Served::start(folder.path()).await;
    assert_eq!(remote.sign(&document).await.unwrap(), key().sign(&document));
    assert_eq!(remote.trouble(), None);
    served.end().await;
    assert!(remote.sign(&document).await.is_err());
    assert!(remote.trouble().is_some());

    // The socket that was left behind is replaced; what was counted before is still counted.
    let served = Served::start(folder.path()).await;
    assert_eq!(remote.sign(&document).await.unwrap(), key().sign(&document));
    served.end().await;
    let lines = fs::read_to_string(folder.path().join("signed")).unwrap();
    assert_eq!(lines.lines().count(), 1, "{lines}");
}

#[tokio::test]
async fn a_signer_with_another_key_or_without_a_word_gives_no_signature() {
    let folder = TempDir::new().unwrap();
    let served = Served::start(folder.path()).await;
    let remote =
        Remote::awaited(&folder.path().join("socket"), test_key(4).unwrap().public_key().clone());
    let own = key().public_key().address().clone();
    let document = document(&key(), vec![close_bid(&own, 1)], "10uakt", CHAIN);
    let error = remote.sign(&document).await.unwrap_err().to_string();
    assert!(error.contains("the answer is not understood"), "{error}");
    served.end().await;

    // One that takes the question and says nothing is given up after a while, and named.
    let silent = folder.path().join("silent");
    let listener = UnixListener::bind(&silent).unwrap();
    let remote = Remote::awaited(&silent, key().public_key().clone());
    let held = tokio::spawn(async move { listener.accept().await.map(|(stream, _)| stream) });
    let error = remote.sign(&document).await.unwrap_err();
    assert!(error.to_string().contains("no answer within") && !error.is_final, "{error}");
    assert!(remote.trouble().unwrap().contains("no answer within"));
    drop(held.await.unwrap());

    let hangs_up = folder.path().join("mute");
    let listener = UnixListener::bind(&hangs_up).unwrap();
    let remote = Remote::awaited(&hangs_up, key().public_key().clone());
    let (signed, ()) = tokio::join!(remote.sign(&document), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut first = [0];
        stream.read_exact(&mut first).await.unwrap();
    });
    assert!(signed.is_err());
}
