//! The OpenAPI document: made of the routes themselves, with every problem that each of them can answer.
//!
//! An operation names its problems by code (`x-problems`); the answers are written from the catalogue, so that document
//! and catalogue cannot differ. The document is committed, and a test compares.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{
        Components,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    auth::session,
    problem::{self, Code},
    router,
};

/// The committed document.
pub const COMMITTED: &str = include_str!("../../openapi/lessor.json");

/// The JSON Schema of SDL documents.
pub const SDL_SCHEMA: &str = include_str!("../../openapi/sdl.schema.json");

/// The extension in which an operation names its problems.
const PROBLEMS: &str = "x-problems";
/// The scheme that stands for the operator's token wherever that is taken.
const SESSION: &str = "session";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "lessor",
        description = "An Akash provider as an HTTP service: indexers push signed chain events, tenants upload manifests and \
                       look after their leases, the operator reads why. Errors of `/v1`, `/webhooks` and `/internal` are \
                       problem documents (RFC 9457) whose codes are under `/problems/`; routes at the root answer as \
                       today's gateway does.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "indexer", description = "Where chain events are pushed."),
        (name = "tenant", description = "Leases and manifests of whoever holds the chain account."),
        (name = "operator", description = "What was decided, and why. With the operator's token."),
        (name = "platform", description = "What platforms ask of a process."),
        (name = "wire", description = "The routes of today's gateway, with its texts."),
    ),
)]
struct Head;

/// The document, pretty, with a newline at its end; the same for the same code.
#[must_use]
pub fn document() -> String {
    let mut api = Head::openapi();
    api.merge(router::all().into_openapi());
    add_components(api.components.get_or_insert_default());
    let mut document = serde_json::to_value(&api).unwrap_or_default();
    list_codes(&mut document);
    for (path, method, operation) in operations_mut(&mut document) {
        allow_sessions(operation);
        write_problems(&path, &method, operation);
    }
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn add_components(components: &mut Components) {
    let bearer = |text: &str| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text));
        SecurityScheme::Http(scheme.build())
    };
    components.add_security_scheme(
        "tenant",
        bearer(
            "A token as AEP-64 describes it: signed with the tenant's account key (ES256K, or ES256KADR36 from a wallet) \
             and checked with the key that the chain holds for the account.",
        ),
    );
    components.add_security_scheme("operator", bearer("The token of `admin.token_file`."));
    components.add_security_scheme(
        SESSION,
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            session::COOKIE,
            "The cookie of `POST /v1/session`, in place of the operator's token. A change needs the session's CSRF value too, in \
             the header `x-lessor-csrf`.",
        ))),
    );
    components.add_security_scheme(
        "webhook_signature",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "webhook-signature",
            "Standard Webhooks 1.0.0 over `webhook-id.webhook-timestamp.body`, the body as sent.",
        ))),
    );
    let mut schemas = Vec::new();
    problem::Document::schemas(&mut schemas);
    schemas.push((problem::Document::name().into_owned(), problem::Document::schema()));
    components.schemas.extend(schemas);
}

/// The codes, where the problem's schema names its code.
fn list_codes(document: &mut Value) {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] = json!(codes);
}

/// Path, method and operation of every operation.
fn operations_mut(document: &mut Value) -> Vec<(String, String, &mut Value)> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let items = paths.into_iter().flatten();
    let operations = items.flat_map(|(path, item)| {
        let members = item.as_object_mut().into_iter().flatten();
        members.map(|(method, operation)| (path.clone(), method.clone(), operation))
    });
    operations.filter(|(_, _, operation)| operation.get("operationId").is_some()).collect()
}

/// The codes that an operation may answer: its own, and those that come with what it asks of its caller.
fn problems_of(path: &str, method: &str, operation: &Value) -> BTreeSet<Code> {
    let named = operation.get(PROBLEMS).and_then(Value::as_array).into_iter().flatten();
    let mut codes: BTreeSet<Code> =
        named.filter_map(Value::as_str).filter_map(Code::find).collect();
    let schemes: BTreeSet<&str> = operation
        .get("security")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .flat_map(|scheme| scheme.keys().map(String::as_str))
        .collect();
    if schemes.contains("tenant") || schemes.contains("operator") {
        codes.extend([
            Code::CredentialsMissing,
            Code::CredentialsInvalid,
            Code::TokenExpired,
            Code::RateLimited,
            Code::ChainUnavailable,
            Code::SessionExpired,
            Code::StoreUnavailable,
        ]);
        if method != "get" {
            codes.insert(Code::CsrfMismatch);
        }
    }
    if schemes.contains("operator") && !schemes.contains("tenant") {
        codes.extend([Code::OperatorOnly, Code::AdminNotConfigured]);
    }
    if operation.get("requestBody").is_some() {
        codes.extend([Code::RequestTimeout, Code::BodyTooLarge, Code::MalformedBody]);
    }
    if ["/v1/", "/webhooks/", "/internal/"].iter().any(|root| path.starts_with(root)) {
        codes.extend([Code::Internal, Code::GatewayTimeout]);
    }
    codes
}

/// Where the operator's token is taken, a session's cookie is.
fn allow_sessions(operation: &mut Value) {
    let Some(schemes) = operation.get_mut("security").and_then(Value::as_array_mut) else {
        return;
    };
    if schemes.iter().any(|scheme| scheme.get("operator").is_some()) {
        schemes.push(json!({ SESSION: [] }));
    }
}

fn write_problems(path: &str, method: &str, operation: &mut Value) {
    let is_wire = operation["tags"] == json!(["wire"]);
    if is_wire {
        return;
    }
    let codes = problems_of(path, method, operation);
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in &codes {
        by_status.entry(code.status().as_u16()).or_default().push(*code);
    }
    for (status, codes) in by_status {
        let lines: Vec<String> =
            codes.iter().map(|code| format!("`{}`: {}.", code.as_str(), code.title())).collect();
        let response = json!({
            "description": lines.join(" "),
            "content": {
                problem::MEDIA_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" } },
            },
        });
        let responses = &mut operation["responses"];
        if responses.get(status.to_string()).is_none() {
            responses[status.to_string()] = response;
        }
    }
    if !codes.is_empty() {
        let texts: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
        operation[PROBLEMS] = json!(texts);
    }
}
