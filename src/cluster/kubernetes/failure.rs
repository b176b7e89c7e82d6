//! What an API server's refusal, silence or nonsense means to the caller.
//!
//! It owns the one place where answers are judged: whether the same request may be sent again, and what of the answer
//! may be told. It does not own when to try again.
//!
//! The surprising fact: a 404 proves nothing by itself. Any web server on the way gives one; only a `Status` object that
//! says `NotFound` is the API server's word that something is absent.

use std::{collections::BTreeSet, time::Duration};

use kube::core::Status;
use serde_json::Value;

use crate::provider::port::{ClusterError, ClusterErrorKind};

/// The most of a server's message that is told, in bytes.
const MAX_MESSAGE: usize = 2_000;
/// Shorter texts are words that a message may well have for itself.
const MIN_SECRET: usize = 4;
/// The most causes of an error that are told.
const MAX_CAUSES: usize = 8;
/// What kube writes as the reason where the answer was no `Status` object.
const NOT_A_STATUS: &str = "Failed to parse error data";

/// A request that did not get what it asked for.
#[derive(Debug)]
pub(super) enum Failure {
    /// The API server said no.
    Status(Box<Status>),
    /// Something answered with this HTTP status that does not speak as an API server does. An API server itself answers
    /// so for a kind that it does not serve.
    Stranger(u16),
    /// No whole answer came in time.
    Silence(Duration),
    /// The connection or the answer broke.
    Broken(String),
    /// It could not even be asked.
    Malformed(String),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.reason == NOT_A_STATUS => {
                Self::Stranger(status.code)
            }
            kube::Error::Api(status) => Self::Status(status),
            kube::Error::BuildRequest(error) => Self::Malformed(error.to_string()),
            // The text of the answer may hold what nobody should read.
            kube::Error::SerdeError(error) => Self::Broken(format!(
                "the answer cannot be read at line {}, column {}",
                error.line(),
                error.column()
            )),
            error => Self::Broken(told(&error)),
        }
    }
}

impl Failure {
    /// Whether the API server itself said that the object is not there.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Status(status) if status.code == 404 && status.reason == "NotFound")
    }

    /// Whether the API server, or something on the way to it, does not know the kind.
    pub(super) const fn is_unknown_path(&self) -> bool {
        matches!(self, Self::Stranger(404))
    }

    /// Whether a watch asked for a version that is not kept any more.
    pub(super) fn is_expired(&self) -> bool {
        matches!(self, Self::Status(status) if status.code == 410)
    }

    /// How long the server asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let Self::Status(status) = self else { return None };
        let seconds = status.details.as_ref()?.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }

    /// Whether the same request can be right later.
    pub(super) fn kind(&self) -> ClusterErrorKind {
        match self {
            Self::Status(status) => meaning(status),
            Self::Malformed(_) => ClusterErrorKind::Refused,
            Self::Stranger(_) | Self::Silence(_) | Self::Broken(_) => ClusterErrorKind::Unavailable,
        }
    }

    /// The failure in the port's words.
    pub(super) fn into_error(self, doing: &'static str) -> ClusterError {
        ClusterError { doing, kind: self.kind(), detail: self.detail() }
    }

    /// The failure of writing `body`, none of whose secrets is told.
    pub(super) fn of_writing(&self, body: &Value) -> String {
        masked(self.detail(), body)
    }

    /// What happened, in words.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Status(status) => match self.retry_after() {
                Some(wait) => {
                    format!("{} (again in {} s)", shortened(&said(status)), wait.as_secs())
                }
                None => shortened(&said(status)),
            },
            Self::Stranger(code) => format!("something that is not the API server answered {code}"),
            Self::Silence(within) => format!("no answer within {} ms", within.as_millis()),
            Self::Broken(detail) | Self::Malformed(detail) => shortened(detail),
        }
    }
}

fn meaning(status: &Status) -> ClusterErrorKind {
    match status.code {
        404 => ClusterErrorKind::NotFound,
        // The request was not looked at, or the cluster is not what it was when it was written.
        0 | 401 | 408 | 410 | 429 | 500.. => ClusterErrorKind::Unavailable,
        403 if is_going(status) || is_not_permitted(status) => ClusterErrorKind::Unavailable,
        409 if !is_owned_by_another(status) => ClusterErrorKind::Unavailable,
        _ => ClusterErrorKind::Refused,
    }
}

/// A namespace that goes takes nothing new; soon it is gone, and then the same request is right.
fn is_going(status: &Status) -> bool {
    causes(status).any(|cause| cause == "NamespaceTerminating")
}

/// The role does not allow it, which the operator mends and the tenant cannot. Quotas and webhooks answer 403 as well,
/// but name no user.
fn is_not_permitted(status: &Status) -> bool {
    status.message.contains("User \"") && status.message.contains(" cannot ")
}

fn is_owned_by_another(status: &Status) -> bool {
    causes(status).any(|cause| cause == "FieldManagerConflict")
}

fn causes(status: &Status) -> impl Iterator<Item = &str> {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice());
    causes.unwrap_or_default().iter().map(|cause| cause.reason.as_str())
}

fn said(status: &Status) -> String {
    let message = match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => return format!("the API server answered {}", status.code),
        ("", reason) => reason,
        (message, _) => message,
    };
    message.to_owned()
}

/// An error with its causes: the first alone often says only that there is one.
fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    for _ in 0..MAX_CAUSES {
        let Some(cause) = source else { break };
        let cause_text = cause.to_string();
        if !told.contains(&cause_text) {
            told = format!("{told}: {cause_text}");
        }
        source = cause.source();
    }
    told
}

fn shortened(message: &str) -> String {
    if message.len() <= MAX_MESSAGE {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(MAX_MESSAGE);
    format!("{}…", &message[..end])
}

/// The message without any value of the body's that only the tenant should know: servers quote what they refuse.
fn masked(message: String, body: &Value) -> String {
    let mut secrets = BTreeSet::new();
    collect(body, false, &mut secrets);
    // The longest first, since one may be part of another.
    let mut secrets: Vec<&str> = secrets.into_iter().collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.into_iter().fold(message, |message, secret| message.replace(secret, "…"))
}

/// The members under which nothing is told.
const SECRET: [&str; 7] =
    ["env", "credentials", "data", "stringData", "command", "args", "annotations"];

fn collect<'b>(value: &'b Value, is_secret: bool, into: &mut BTreeSet<&'b str>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            // The names of variables are no secrets, and an error without them helps nobody.
            let is_name = is_secret && name == "name";
            collect(value, !is_name && (is_secret || SECRET.contains(&name.as_str())), into);
        }),
        Value::Array(items) => items.iter().for_each(|item| collect(item, is_secret, into)),
        Value::String(text) if is_secret => {
            let value = text.split_once('=').map_or(text.as_str(), |(_, value)| value);
            into.extend([text.as_str(), value].into_iter().filter(|text| text.len() >= MIN_SECRET));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(body: Value) -> Failure {
        let status: Status = serde_json::from_value(body).unwrap();
        Failure::from(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn a_refusal_is_refused_and_a_moment_s_trouble_is_not() {
        let refused = [
            json!({ "code": 422, "reason": "Invalid", "message": "spec.replicas: Invalid value: -1" }),
            json!({ "code": 403, "reason": "Forbidden", "message": "pods \"a\" is forbidden: exceeded quota: lease" }),
            json!({ "code": 403, "reason": "Forbidden",
                "message": "admission webhook \"w.example.com\" denied the request: no" }),
            json!({ "code": 400, "reason": "BadRequest", "message": "strict decoding error" }),
            json!({ "code": 409, "reason": "Conflict", "message": "Apply failed with 1 conflict",
                "details": { "causes": [{ "reason": "FieldManagerConflict", "message": "", "field": ".spec" }] } }),
        ];
        for body in refused {
            let failure = status(body);
            assert_eq!(failure.kind(), ClusterErrorKind::Refused, "{}", failure.detail());
        }
        let later = [
            json!({ "code": 429, "reason": "TooManyRequests", "message": "slow down" }),
            json!({ "code": 500, "reason": "InternalError", "message": "failed calling webhook" }),
            json!({ "code": 503, "reason": "ServiceUnavailable", "message": "etcd" }),
            json!({ "code": 401, "reason": "Unauthorized", "message": "Unauthorized" }),
            json!({ "code": 409, "reason": "Conflict", "message": "the object has been modified" }),
            json!({ "code": 403, "reason": "Forbidden", "message": "ns is being terminated",
                "details": { "causes": [{ "reason": "NamespaceTerminating", "message": "", "field": "" }] } }),
            json!({ "code": 403, "reason": "Forbidden",
                "message": "deployments.apps \"web\" is forbidden: User \"w\" cannot patch resource \"deployments\"" }),
        ];
        for body in later {
            let failure = status(body);
            assert_eq!(failure.kind(), ClusterErrorKind::Unavailable, "{}", failure.detail());
        }
    }

    #[test]
    fn only_the_api_server_s_own_status_says_that_something_is_absent() {
        let absent = status(
            json!({ "code": 404, "reason": "NotFound", "message": "namespaces \"a\" not found" }),
        );
        assert!(absent.is_absence());
        assert_eq!(absent.kind(), ClusterErrorKind::NotFound);

        let page = Status::failure("404 page not found", NOT_A_STATUS).with_code(404);
        let page = Failure::from(kube::Error::Api(page.boxed()));
        assert!(!page.is_absence() && page.is_unknown_path());
        assert_eq!(page.kind(), ClusterErrorKind::Unavailable);
    }

    #[test]
    fn how_long_the_server_wants_to_be_left_alone_is_told() {
        let busy = status(json!({ "code": 429, "reason": "TooManyRequests", "message": "busy",
            "details": { "retryAfterSeconds": 3 } }));
        assert_eq!(busy.retry_after(), Some(Duration::from_secs(3)));
        assert_eq!(busy.detail(), "busy (again in 3 s)");
    }

    #[test]
    fn what_only_the_tenant_should_know_is_not_told() {
        let body = json!({ "spec": { "containers": [{
            "name": "web",
            "env": [{ "name": "TOKEN_NAME", "value": "hunter2222" }],
            "args": ["--password=s3cret"],
        }] } });
        let refused = status(json!({ "code": 422, "reason": "Invalid",
            "message": "TOKEN_NAME: Invalid value: \"hunter2222\"; also s3cret and --password=s3cret in web" }));
        let told = refused.of_writing(&body);
        assert_eq!(told, "TOKEN_NAME: Invalid value: \"…\"; also … and … in web");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let failure = Failure::Broken("é".repeat(MAX_MESSAGE));
        assert!(failure.detail().len() <= MAX_MESSAGE + 4);
        assert!(failure.detail().ends_with("é…"));
    }
}
