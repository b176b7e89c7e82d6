//! The catalogue of problems: every code that an answer of `/v1`, `/webhooks` or `/internal` can carry, in one table.
//! Codes are for programs and never change their meaning; titles are for people.

use http::StatusCode;

/// Declares the codes from the table.
macro_rules! catalogue {
    ($($case:ident = $code:literal, $status:ident, $title:literal, $when:literal;)*) => {
        /// A stable name of a problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $when] $case,)* }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$case,)*];

            /// The code's text in answers and in its page's address.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$case => $code,)* }
            }

            /// The status that it is answered with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$case => StatusCode::$status,)* }
            }

            /// What it is, in a few words; the same in every answer.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$case => $title,)* }
            }

            /// When it is answered and what to do about it.
            #[must_use]
            pub const fn when(self) -> &'static str {
                match self { $(Self::$case => $when,)* }
            }

            /// The code with this text.
            #[must_use]
            pub fn find(text: &str) -> Option<Self> {
                match text { $($code => Some(Self::$case),)* _ => None }
            }
        }
    };
}

catalogue! {
    MalformedBody = "malformed_body", BAD_REQUEST, "The body cannot be read",
        "The body is not JSON, or not of the documented shape. Line and column are in the detail.";
    MalformedPath = "malformed_path", BAD_REQUEST, "A part of the path cannot be read",
        "An owner in the path is not an address, or a sequence number is not a whole number from 1.";
    MalformedQuery = "malformed_query", BAD_REQUEST, "A query parameter cannot be read",
        "A query parameter is unknown, given twice, or not of the documented form.";
    MalformedDelivery = "malformed_delivery", BAD_REQUEST, "The delivery is not CloudEvents",
        "The body of a webhook is not JSON, is nested too deep, or breaks rules of the envelope; all of them are listed.";
    CredentialsMissing = "credentials_missing", UNAUTHORIZED, "Credentials are required",
        "The route needs a token in `Authorization: Bearer …`: a tenant's own, or the operator's.";
    CredentialsInvalid = "credentials_invalid", UNAUTHORIZED, "The credentials do not count",
        "The token is malformed, its algorithm is neither ES256K nor ES256KADR36, its issuer has no key on chain, its signature is not the issuer's, its claims break a rule, or it is not the operator's.";
    TokenExpired = "token_expired", UNAUTHORIZED, "The token is outside its time",
        "The token is rightly signed and expired or not valid yet. Make a new one; check the clock.";
    SessionExpired = "session_expired", UNAUTHORIZED, "The session does not count any more",
        "The session's cookie has expired, was signed out, or was made with another operator's token. Sign in again.";
    SignatureInvalid = "signature_invalid", UNAUTHORIZED, "The delivery's signature does not count",
        "A webhook's signature headers are missing or malformed, or no valid key of the stream made the signature over the raw body.";
    OutsideTimeWindow = "outside_time_window", UNAUTHORIZED, "The delivery's time is too far from ours",
        "A webhook is rightly signed, but its timestamp is too old or too new; `clock_skew_seconds` is our clock less the sender's. Sign each attempt anew.";
    ScopeMissing = "scope_missing", FORBIDDEN, "The token does not allow this",
        "The token is the owner's but lacks the scope, the provider, the deployment or the service that is asked for.";
    OperatorOnly = "operator_only", FORBIDDEN, "Only the operator may do this",
        "The route is the operator's and the token is a tenant's.";
    CsrfMismatch = "csrf_mismatch", FORBIDDEN, "A change by cookie needs the session's CSRF value",
        "The request changes something, comes with a session's cookie, and its `x-lessor-csrf` header is not what `GET /v1/session` gives.";
    NotFound = "not_found", NOT_FOUND, "There is no such thing",
        "What is asked for is absent, or not the caller's.";
    RouteNotFound = "route_not_found", NOT_FOUND, "There is no such route",
        "The path is none of those in /openapi.json.";
    LeaseNotFound = "lease_not_found", NOT_FOUND, "There is no such lease",
        "The lease is unknown here, or not the caller's. A lease that was just made on chain is known after the next block.";
    ServiceNotFound = "service_not_found", NOT_FOUND, "The lease has no such service",
        "The name is none of the services in the lease's manifest.";
    OrderNotFound = "order_not_found", NOT_FOUND, "There is no such order",
        "The order is unknown here, or not the caller's.";
    DecisionNotFound = "decision_not_found", NOT_FOUND, "Nothing was decided yet",
        "The order is known and no decision about a bid has been made.";
    StreamNotFound = "stream_not_found", NOT_FOUND, "There is no such stream",
        "The name is none of the streams in the settings.";
    NotStuck = "not_stuck", NOT_FOUND, "Nothing to be tried",
        "No step of that subject failed last, or one is at work on it. /v1/stuck lists those whose steps come to nothing.";
    SessionNotFound = "session_not_found", NOT_FOUND, "There is no session",
        "The request came with a token and without a session's cookie.";
    ProblemNotFound = "problem_not_found", NOT_FOUND, "There is no such problem",
        "The code is not in the catalogue.";
    NotInCluster = "not_in_cluster", NOT_FOUND, "Nothing of it is in the cluster",
        "The lease is known, but nothing of it runs: no manifest was taken, or all of it is gone.";
    NoLease = "no_lease", NOT_FOUND, "There is no lease for the deployment",
        "A manifest came for a deployment of which no lease with this provider is active. Make the lease first, then send the manifest again.";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The route has no such method",
        "The path is known, with the methods in the `Allow` header.";
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The request took too long to arrive",
        "The body did not arrive in time. Send it again.";
    Conflict = "conflict", CONFLICT, "It does not go with what is there",
        "The request contradicts the present state; the detail says how.";
    DeliveryBodyDiffers = "delivery_body_differs", CONFLICT, "The same delivery came with another body",
        "A webhook-id was used before with another body. Nothing of this one was taken, and the operator is alarmed. An id belongs to one body for ever.";
    StreamGap = "stream_gap", CONFLICT, "The delivery does not join the one before",
        "The stream is strict, and the delivery's `prev_height` is not the stream's cursor. Send from the block after `expected_prev_height` on.";
    NothingMissing = "nothing_missing", CONFLICT, "Nothing of the stream is missing",
        "A backfill was asked for without a range, and the stream has no gap. Name a range to pull it once more.";
    HostnameTaken = "hostname_taken", CONFLICT, "Another lease holds the hostname",
        "A hostname in the manifest belongs to another lease until that ends or gives it back.";
    ClusterRefused = "cluster_refused", CONFLICT, "The cluster refused it",
        "The cluster understood the change and will not make it.";
    ExecRefused = "exec_refused", CONFLICT, "The command cannot be run",
        "The service has no replica of that number, the replica is not ready, or the program does not exist; the detail says which.";
    PolicyVersionDiffers = "policy_version_differs", PRECONDITION_FAILED, "Another version is in force",
        "The policy was changed since the version that `If-Match` names; `version` is the one in force. Read it, and make the change on top of it.";
    StreamDeleted = "stream_deleted", GONE, "The stream was deleted",
        "The operator deleted the stream. Stop sending to it.";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large",
        "The body has more bytes than the route takes, before or after decompression. The limit is in the detail.";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The media type is not read here",
        "The content type or the content encoding is none that the route reads; those it reads are in the detail.";
    TooManyEvents = "too_many_events", UNPROCESSABLE_ENTITY, "The delivery holds too many events",
        "A batch holds more events than a delivery may. Split it; a block that is larger alone is sent in parts.";
    DatarefRefused = "dataref_refused", UNPROCESSABLE_ENTITY, "Data elsewhere is not fetched",
        "An event names its data by address. Send the data itself.";
    WrongChain = "wrong_chain", UNPROCESSABLE_ENTITY, "The events are of another chain",
        "A delivery carries another chain id than the one that this provider serves.";
    ManifestInvalid = "manifest_invalid", UNPROCESSABLE_ENTITY, "The manifest breaks rules",
        "The manifest does not decode, breaks rules of its own, or does not go with the groups that were ordered; all violations are listed.";
    MaintenanceInvalid = "maintenance_invalid", UNPROCESSABLE_ENTITY, "The reason will not do",
        "A pause needs a reason of one line, at most 500 characters.";
    RangeInvalid = "range_invalid", UNPROCESSABLE_ENTITY, "The range will not do",
        "The heights are the wrong way round, begin below 1, or are too many at once; the limit is in the detail.";
    SdlInvalid = "sdl_invalid", UNPROCESSABLE_ENTITY, "The SDL breaks rules",
        "The SDL document cannot be read or breaks rules; all violations are listed with line and column.";
    ManifestHashMismatch = "manifest_hash_mismatch", UNPROCESSABLE_ENTITY, "The manifest is not the deployment's",
        "The manifest's hash is not the one that the deployment carries on chain. Update the deployment, or send the manifest that belongs to it.";
    PolicyInvalid = "policy_invalid", UNPROCESSABLE_ENTITY, "The policy breaks rules",
        "Policy or prices have unknown keys, values of another form, or make no sense together; all violations are listed.";
    HostnameRequired = "hostname_required", UNPROCESSABLE_ENTITY, "A service needs a hostname",
        "A service is exposed over HTTP without a hostname and this provider gives none out.";
    HostnameBlocked = "hostname_blocked", UNPROCESSABLE_ENTITY, "The provider blocks the hostname",
        "A hostname in the manifest is on the operator's list of blocked names.";
    UpgradeRequired = "upgrade_required", UPGRADE_REQUIRED, "The route is a websocket",
        "The request is no handshake of a websocket (RFC 6455, version 13).";
    VersionMissing = "version_missing", PRECONDITION_REQUIRED, "The version that is changed must be named",
        "The request changes something that has versions and has no `If-Match` with the version that it is made on. Read it first; the version is its `ETag`.";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests",
        "Tokens of unknown issuers cost the chain too many reads lately, wrong operator's tokens were tried too often, or one address had too many documents checked. Ask again after `Retry-After`.";
    TooManyReaders = "too_many_readers", TOO_MANY_REQUESTS, "Too many pages are open",
        "As many live streams are open as this process keeps. Close one, or ask again after `Retry-After`.";
    InboxFull = "inbox_full", TOO_MANY_REQUESTS, "The inbox is full",
        "So many events wait that no more are taken. Send the same delivery again after `Retry-After`.";
    TickRunning = "tick_running", TOO_MANY_REQUESTS, "A tick is running",
        "One tick runs at a time. Ask again after `Retry-After`.";
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong here",
        "The request was not at fault. The request id in `instance` finds the cause in the log.";
    ChainUnavailable = "chain_unavailable", BAD_GATEWAY, "The chain gave no answer",
        "The answer needs a read of the chain and no node gave one. Nothing was changed; ask again.";
    ClusterUnavailable = "cluster_unavailable", BAD_GATEWAY, "The cluster gave no answer",
        "The answer needs the cluster and it gave none. Nothing was changed; ask again.";
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "The store is busy",
        "The durable rows cannot be read or written at the moment. Nothing was changed; ask again after `Retry-After`.";
    AdminNotConfigured = "admin_not_configured", SERVICE_UNAVAILABLE, "The operator's routes are closed",
        "No operator's token is configured. Set `admin.token_file` to open these routes.";
    Draining = "draining", SERVICE_UNAVAILABLE, "This process is stopping",
        "The process finishes what it has and takes nothing new. Ask another, or again after `Retry-After`.";
    GatewayTimeout = "gateway_timeout", GATEWAY_TIMEOUT, "The answer took too long",
        "Chain, cluster or store did not answer within the request's time. Whether a change was made is shown by reading it back.";
}
