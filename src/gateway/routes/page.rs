//! The dashboard and the viewer of the API: files of `web/`, embedded, and the one answer that is made for the moment, the
//! page itself with the verdict in it.
//!
//! The files stand under a folder that is named after all their contents, so that a browser may keep them for ever and a
//! new version is a new address. The page names the folder and is never kept.
//!
//! The one surprising fact: the page says how things stand before any script runs, and without one it comes again every
//! half minute by itself.

use std::{
    io::Write as _,
    sync::{LazyLock, OnceLock},
};

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::super::wire as texts;
use crate::{
    gateway::{State, auth::session},
    provider::views::{self, OverviewView, ProviderVerdict},
};

/// A file of `web/`.
struct Asset {
    path: &'static str,
    bytes: &'static [u8],
    /// Compressed, once somebody asked for it so.
    gzip: OnceLock<Vec<u8>>,
}

/// Embeds files of `web/`.
macro_rules! assets {
    ($($path:literal),* $(,)?) => {
        [$(Asset {
            path: $path,
            bytes: include_bytes!(concat!("../../../web/", $path)),
            gzip: OnceLock::new(),
        }),*]
    };
}

static ASSETS: [Asset; 25] = assets![
    "api.js",
    "app.js",
    "format.js",
    "icon.svg",
    "live.js",
    "panels.css",
    "panels/capacity.js",
    "panels/deadlines.js",
    "panels/decision.js",
    "panels/funnel.js",
    "panels/leases.js",
    "panels/login.js",
    "panels/maintain.js",
    "panels/streams.js",
    "panels/totals.js",
    "panels/verdict.js",
    "parts.js",
    "session.js",
    "state.js",
    "style.css",
    "vendor/htm/standalone.module.js",
    "docs/docs.css",
    "docs/docs.js",
    "vendor/swagger-ui/swagger-ui-bundle.js",
    "vendor/swagger-ui/swagger-ui.css",
];

const PAGE: &str = include_str!("../../../web/index.html");
const DOCS: &str = include_str!("../../../web/docs/index.html");

/// Everything from here, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";
/// The viewer's own style sheet has its icons inside.
const DOCS_POLICY: &str = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; \
                           frame-ancestors 'none'; object-src 'none'";

/// The name of the folder: a digest of every file's path and content.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for asset in &ASSETS {
        digest.update(asset.path);
        digest.update((asset.bytes.len() as u64).to_le_bytes());
        digest.update(asset.bytes);
    }
    base16ct::lower::encode_string(&digest.finalize()[..10])
});

/// `GET /`: the dashboard. `operated` says whether the operator's routes are on this listener.
pub async fn page(state: State, headers: HeaderMap, operated: bool) -> Response {
    let overview = views::overview(&state.provider, state.shutdown.is_cancelled()).await;
    // A script cannot see the cookie: the page tells it whether to ask for the session.
    let has_session = operated && matches!(session::of(&state, &headers).await, Ok(Some(_)));
    let overview = if has_session { overview } else { overview.for_everyone() };
    let OverviewView { verdict, message, detail, action, version, chain_id, provider, .. } =
        overview;
    let html = fill(PAGE, |name| match name {
        "assets" => format!("/assets/{}", *VERSION),
        "operator" => yes_no(operated),
        "session" => yes_no(has_session),
        "verdict" => word(verdict).to_owned(),
        "message" => escape(&message),
        "detail" => escape(detail.as_deref().unwrap_or_default()),
        "action" => escape(&action),
        "version" => escape(version),
        "chain" => escape(chain_id.as_deref().unwrap_or("no chain yet")),
        "provider" => escape(&provider),
        "at" => escape(&state.provider.clock.now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
        _ => String::new(),
    });
    document(html, POLICY)
}

/// The verdict's word, as the overview has it.
const fn word(verdict: ProviderVerdict) -> &'static str {
    match verdict {
        ProviderVerdict::Bidding => "bidding",
        ProviderVerdict::Paused => "paused",
        ProviderVerdict::Deaf => "deaf",
        ProviderVerdict::Degraded => "degraded",
        ProviderVerdict::Maintenance => "maintenance",
    }
}

fn yes_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

/// `GET /docs`: the viewer of `/openapi.json`.
pub async fn docs() -> Response {
    document(fill(DOCS, |_| format!("/assets/{}", *VERSION)), DOCS_POLICY)
}

/// `GET /assets/{version}/{path}`: a file that the pages are made of.
pub async fn asset(Path((version, path)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let found = ASSETS.iter().find(|asset| version == *VERSION && asset.path == path);
    let Some(asset) = found else { return texts::not_found() };
    let tag = format!("W/\"{}\"", *VERSION);
    let asked = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let same = asked.is_some_and(|asked| asked == "*" || asked.contains(tag.as_str()));
    let mut response = if same {
        StatusCode::NOT_MODIFIED.into_response()
    } else if takes_gzip(&headers) {
        ([(header::CONTENT_ENCODING, "gzip")], asset.compressed().await).into_response()
    } else {
        asset.bytes.into_response()
    };
    let always = [
        (header::CONTENT_TYPE, media_type(asset.path)),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::VARY, "accept-encoding"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let answer = response.headers_mut();
    for (name, value) in always {
        // The body came with a media type of its own, which this replaces.
        answer.insert(name, HeaderValue::from_static(value));
    }
    answer.extend(HeaderValue::try_from(tag).map(|tag| (header::ETAG, tag)));
    response
}

impl Asset {
    async fn compressed(&'static self) -> &'static [u8] {
        if let Some(done) = self.gzip.get() {
            return done;
        }
        // The viewer is large: nobody else waits for it.
        let made = tokio::task::spawn_blocking(|| self.gzip.get_or_init(|| gzip(self.bytes)));
        made.await.map_or(&[], Vec::as_slice)
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let mut codings = accepted.unwrap_or_default().split(',');
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named =
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        let refused = |weight: &str| {
            let zero = |q: &str| q.bytes().all(|byte| matches!(byte, b'0' | b'.'));
            weight.strip_prefix("q=").is_some_and(zero)
        };
        named && !parts.any(refused)
    })
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

fn document(html: String, policy: &'static str) -> Response {
    let headers: [(HeaderName, &str); 6] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    (headers, html).into_response()
}

/// Puts `value(NAME)` where the template says `{{NAME}}`. A value is not looked at again.
fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut filled = String::with_capacity(template.len() + 512);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else { break };
        filled.push_str(before);
        filled.push_str(&value(name));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
