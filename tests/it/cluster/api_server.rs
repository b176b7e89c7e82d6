//! What lessor makes of an API server that refuses, is busy, breaks off or says nothing. The server here is made by hand,
//! so that it can misbehave; what a real one does is tested in `tests/kube`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Body,
    extract::State,
    http::{Method, Request, StatusCode},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use lessor::{
    cluster::kubernetes::{Kubernetes, settings::Settings},
    provider::port::{Cluster, ClusterError, ClusterErrorKind},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{lease, service, workload};
use crate::support::install_tls;

/// How the server answers some of its requests.
#[derive(Clone, Copy)]
enum Answer {
    /// With a `Status` object of this code, reason and message.
    Refusal(u16, &'static str, &'static str),
    /// As a server on the way would.
    Page(u16),
    HalfWritten,
    Silence,
}

struct Script {
    method: Method,
    /// A part of the path.
    path: &'static str,
    answer: Answer,
}

struct FakeServer {
    asked: Arc<Mutex<Vec<String>>>,
    cluster: Kubernetes,
    task: JoinHandle<()>,
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeServer {
    /// A server that answers as told where the method and a part of the path fit, and as an empty cluster elsewhere.
    async fn new(method: Method, path: &'static str, answer: Answer) -> Self {
        install_tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::default();
        let script = Arc::new(Script { method, path, answer });
        let router =
            axum::Router::new().fallback(answered).with_state((Arc::clone(&asked), script));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut config = kube::Config::new(url.parse().unwrap());
        config.default_retry = false;
        let client = kube::Client::try_from(config).unwrap();
        let cluster = Kubernetes::with(client, Settings::default(), Duration::from_millis(500));
        Self { asked, cluster, task }
    }

    fn asked(&self, verb: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|request| request.starts_with(verb)).cloned().collect()
    }

    async fn apply(&self) -> Result<(), ClusterError> {
        self.cluster.apply(&workload(&lease(1), 1, &[service("web", "nginx:1")])).await
    }
}

type World = (Arc<Mutex<Vec<String>>>, Arc<Script>);

async fn answered(State((asked, script)): State<World>, request: Request<Body>) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    asked.lock().unwrap().push(format!("{method} {path}"));
    if method == script.method && path.contains(script.path) {
        return told(script.answer).await;
    }
    let known = json!({ "metadata": { "resourceVersion": "7", "uid": "u" } });
    let empty = json!({ "metadata": { "resourceVersion": "7" }, "items": [] });
    let body = if method == Method::GET { empty } else { known };
    axum::Json(body).into_response()
}

async fn told(answer: Answer) -> Response {
    match answer {
        Answer::Refusal(code, reason, message) => {
            let status: Value = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure",
                "code": code, "reason": reason, "message": message,
            });
            (StatusCode::from_u16(code).unwrap(), axum::Json(status)).into_response()
        }
        Answer::Page(code) => {
            (StatusCode::from_u16(code).unwrap(), "<html>no</html>").into_response()
        }
        Answer::HalfWritten => {
            let parts =
                [Ok("{\"metadata\": {\"resourceVersion\""), Err(std::io::Error::other("cut"))];
            Body::from_stream(stream::iter(parts)).into_response()
        }
        Answer::Silence => std::future::pending().await,
    }
}

const OVER_QUOTA: &str =
    "services \"web\" is forbidden: exceeded quota: lease, requested: services=1";

#[tokio::test]
async fn a_refused_write_is_refused_in_the_server_s_words_and_nothing_is_removed() {
    let refusals = [
        (422, "Invalid", "Deployment.apps \"web\" is invalid: spec.replicas: Invalid value: -1"),
        (403, "Forbidden", OVER_QUOTA),
        (
            403,
            "Forbidden",
            "admission webhook \"images.example.com\" denied the request: not allowed",
        ),
        (400, "BadRequest", "strict decoding error: unknown field \"spec.x\""),
    ];
    for (code, reason, message) in refusals {
        let answer = Answer::Refusal(code, reason, message);
        let server = FakeServer::new(Method::PATCH, "/deployments/", answer).await;
        let error = server.apply().await.unwrap_err();
        assert_eq!(error.kind, ClusterErrorKind::Refused, "{error}");
        assert_eq!(error.detail, format!("Deployment web: {message}"));
        assert_eq!(server.asked("DELETE"), [""; 0]);
        let manifests = server.asked("PATCH");
        assert!(!manifests.iter().any(|path| path.contains("/manifests/")), "{manifests:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_busy_or_breaks_off_is_asked_again_later() {
    let troubles = [
        (Answer::Refusal(429, "TooManyRequests", "busy"), "busy"),
        (Answer::Refusal(500, "InternalError", "failed calling webhook"), "failed calling webhook"),
        (Answer::Refusal(409, "Conflict", "the object has been modified"), "modified"),
        (Answer::Refusal(404, "NotFound", "namespaces \"x\" not found"), "not found"),
        (Answer::Page(502), "something that is not the API server answered 502"),
        (Answer::HalfWritten, ""),
        (Answer::Silence, "no answer within 500 ms"),
    ];
    for (answer, told) in troubles {
        let server = FakeServer::new(Method::PATCH, "/deployments/", answer).await;
        let error = server.apply().await.unwrap_err();
        assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{error}");
        assert!(error.detail.contains(told), "{error}");
        assert_eq!(server.asked("DELETE"), [""; 0]);
    }
}

#[tokio::test]
async fn a_secret_that_a_refusal_quotes_is_not_told() {
    let message = "Deployment is invalid: env[1].value: Invalid value: \"hunter2\"";
    let answer = Answer::Refusal(422, "Invalid", message);
    let server = FakeServer::new(Method::PATCH, "/deployments/", answer).await;
    let error = server.apply().await.unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(error.detail.contains("env[1].value"), "{error}");
}

#[tokio::test]
async fn nothing_is_gone_because_something_on_the_way_says_404() {
    for path in ["/namespaces/", "/manifests"] {
        for method in [Method::GET, Method::DELETE] {
            let server = FakeServer::new(method, path, Answer::Page(404)).await;
            let torn_down = server.cluster.teardown(&lease(1)).await;
            assert!(!torn_down.is_ok_and(|teardown| teardown.is_gone()), "{path}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_unknown_and_never_empty() {
    for answer in [Answer::Silence, Answer::HalfWritten, Answer::Page(404)] {
        let server = FakeServer::new(Method::GET, "/nodes", answer).await;
        let error = server.cluster.inventory().await.unwrap_err();
        assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{error}");
        assert!(error.detail.starts_with("Node (never read): "), "{error}");

        let server = FakeServer::new(Method::GET, "/namespaces", answer).await;
        let error = server.cluster.leases().await.unwrap_err();
        assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{error}");
        let error = server.cluster.status(&lease(1)).await.unwrap_err();
        assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{error}");
    }
}

#[tokio::test]
async fn no_request_is_repeated_by_itself() {
    let answer = Answer::Refusal(503, "ServiceUnavailable", "etcd");
    let server = FakeServer::new(Method::PATCH, "/namespaces/", answer).await;
    server.apply().await.unwrap_err();
    assert_eq!(server.asked("PATCH").len(), 1);
}

#[tokio::test]
async fn many_who_ask_while_the_server_is_away_are_told_by_one_request() {
    let server = FakeServer::new(Method::GET, "/nodes", Answer::Silence).await;
    let asked = (0..50).map(|_| server.cluster.inventory());
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(Result::is_err));
    assert!(server.asked("GET /api/v1/nodes").len() <= 3, "{:?}", server.asked("GET"));
}
